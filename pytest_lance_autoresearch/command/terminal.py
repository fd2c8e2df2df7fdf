"""What a verb prints: lines on stdout and stderr, as the stream can show them, and where its work stands."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pytest_lance_autoresearch.machine import live
from pytest_lance_autoresearch.words import report, wording

if TYPE_CHECKING:
    from pytest_lance_autoresearch.records import Progress


def say(*lines: str) -> None:
    _write(sys.stdout, lines)


def tell(line: str) -> None:
    """Say what is no part of the answer."""
    _write(sys.stderr, [line])


def shown(path: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


class Live:
    """Where long work stands, on stderr; what a verb says meanwhile comes after `take_back`."""

    def __init__(self) -> None:
        self._line = live.LiveLine(_show, lambda: live.Place(live.columns(sys.stderr)))

    def __call__(self, progress: Progress) -> None:
        self._line.show(wording.printable(report.live_line(progress)), is_event=progress.is_event)

    def take_back(self) -> None:
        self._line.take_back()

    close = take_back


def _show(text: str) -> None:
    _put(sys.stderr, text)


def _write(stream: TextIO, lines: Iterable[str]) -> None:
    """A foreign log may hold anything."""
    _put(stream, "".join(f"{wording.printable(line)}\n" for line in lines))


def _put(stream: TextIO, text: str) -> None:
    """A stream may take ASCII only."""
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), end="", file=stream, flush=True)
