"""Files that are whole or not there: nobody ever sees a part of one, and a crash leaves what was there before.

Owns how they are written; what stands in them is their owner's.
"""

from __future__ import annotations

import os
import shutil
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
