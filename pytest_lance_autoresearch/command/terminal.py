"""What a verb prints: lines on stdout and stderr, as the stream can show them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from pytest_lance_autoresearch.words import wording


def say(*lines: str) -> None:
    _write(sys.stdout, lines)


def tell(line: str) -> None:
    """Say what is no part of the answer."""
    _write(sys.stderr, [line])


def shown(path: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _write(stream: TextIO, lines: Iterable[str]) -> None:
    """A foreign log may hold anything, a stream take ASCII only."""
    text = "\n".join(map(wording.printable, lines))
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
