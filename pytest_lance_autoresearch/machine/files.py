"""Files that are whole or not there: nobody ever sees a part of one, and a crash leaves what was there before.

Owns how they are written, and which must not be written over; what stands in them is their owner's.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path


def write_whole(path: Path, text: bytes) -> None:
    """Write the file, in the place and with the permissions of what is there, and onto the disk; or OSError."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


SOURCE, LOG = "a source", "a log"
"""What a report may not be written over."""


def lost_by_writing(path: Path, known: Mapping[Path, str]) -> str:
    """What is lost if the file is written whole: one that is `known`, by its resolved place, or a source or a log.

    '' where that is nothing.
    """
    place = path.resolve()
    return known.get(place, {".py": SOURCE, ".tsv": LOG}.get(place.suffix, ""))
