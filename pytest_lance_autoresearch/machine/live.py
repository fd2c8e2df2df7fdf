"""One line that says where long work stands: rewritten on a terminal, elsewhere a line now and then.

Owns when anything is written and how it is taken back, so that nothing of it is left behind. It goes to stderr:
what a program answers, on stdout, stays the answer alone. What it says is its caller's.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from typing import NamedTuple, TextIO

from pytest_lance_autoresearch.machine import clocks

SELDOM_S = 30.0
"""Between two lines, at least, where none is rewritten and nothing happened that is worth one."""
_ERASE = "\x1b[K"
"""Erases from the cursor to the end of the line."""


class Place(NamedTuple):
    """Where the line would be written now."""

    room: int | None
    """Columns that are free in the terminal's line; None where no line is rewritten."""
    is_behind: bool = False
    """Whether that line has been begun by others, whose part stays."""


class LiveLine:
    """The line of one piece of work.

    `write` puts text to where it is read at once, `place` says where that is.
    """

    def __init__(
        self, write: Callable[[str], None], place: Callable[[], Place], now_s: Callable[[], float] = clocks.now_s
    ) -> None:
        self._write = write
        self._place = place
        self._now_s = now_s
        self._next_s = math.inf
        """When a line is due where none is rewritten."""
        self.is_shown = False
        """Whether a line is there that others must not write into."""

    def show(self, text: str, *, is_event: bool = False) -> None:
        """Say where it stands; an event stays in a line of its own."""
        place = self._place()
        if is_event:
            self._stay(text, place)
        elif place.room is not None:
            shown = _fitting(f"{'  ' if place.is_behind else ''}{text}", place.room)
            back = f"\x1b[{len(shown)}D" if shown else ""
            self._write(f"{_start(place)}{shown}{back}")
            self.is_shown = True
        elif self._now_s() >= self._next_s:
            self._stay(text, place)
        elif self._next_s == math.inf:
            self._next_s = self._now_s() + SELDOM_S

    def take_back(self) -> None:
        """Leave nothing of a rewritten line; before others write, and at the end. Safe more than once."""
        if self.is_shown:
            self._write(_start(self._place()))
            self.is_shown = False

    def _stay(self, text: str, place: Place) -> None:
        self.take_back()
        lead = "\n" if place.is_behind else ""
        self._write(f"{lead}{text}\n")
        self._next_s = self._now_s() + SELDOM_S


def _fitting(text: str, room: int) -> str:
    """As many of its parts, which two blanks part, as have room; of the first of them what has."""
    while len(text) > room and "  " in text.strip():
        text = text.rpartition("  ")[0]
    return text[: max(0, room)]


def _start(place: Place) -> str:
    """Goes to where the line begins, over what a terminal echoed there, and erases the rest."""
    return _ERASE if place.is_behind else f"\r{_ERASE}"


def columns(stream: TextIO) -> int | None:
    """Columns of the terminal that the stream leads to, but the last; None where no line is rewritten there."""
    is_plain = os.environ.get("TERM") == "dumb" or bool(os.environ.get("NO_COLOR"))
    return None if is_plain or not stream.isatty() else shutil.get_terminal_size().columns - 1
