"""The files that a verb writes because its user named them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_lance_autoresearch.errors import AutoresearchError
from pytest_lance_autoresearch.machine import files


def refuse(output: Path, logs: Iterable[Path], example: str, endings: Sequence[str] = ()) -> None:
    """AutoresearchError where the file cannot be, or must not be, what is written; `example` is a name for it.

    Found out before the work of which the file is to tell. Its name has one of the endings, if any are given.
    """
    if lost := files.lost_by_writing(output, {log.resolve(): files.LOG for log in logs}):
        raise AutoresearchError(f"{output}: would overwrite {lost}; name another file")
    if output.is_dir():
        raise AutoresearchError(f"{output}: is a folder; name a file in it, such as {output / example}")
    if endings and output.suffix not in endings:
        raise AutoresearchError(f"{output}: expected a name that ends in {' or '.join(endings)}")
    if not output.parent.is_dir():
        raise AutoresearchError(f"{output}: there is no folder {output.parent}; make it first")
    if not os.access(output.parent, os.W_OK):
        raise AutoresearchError(f"{output}: cannot be written: its folder may not be written to")


def write(path: Path, text: bytes) -> None:
    """Write the file whole; AutoresearchError where that cannot be."""
    try:
        files.write_whole(path, text)
    except OSError as error:
        raise AutoresearchError(f"{path}: cannot be written: {error.strerror or error}") from error
