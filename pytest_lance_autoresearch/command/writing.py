"""The files that a verb writes because its user named them."""

from __future__ import annotations

from pathlib import Path

from pytest_lance_autoresearch.errors import AutoresearchError
from pytest_lance_autoresearch.machine import files


def write(path: Path, text: bytes) -> None:
    """Write the file whole; AutoresearchError where that cannot be."""
    try:
        files.write_whole(path, text)
    except OSError as error:
        raise AutoresearchError(f"{path}: cannot be written: {error.strerror or error}") from error
