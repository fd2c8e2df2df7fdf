"""How the ends of trials and the sizes of gains are told apart: by shape, by colour and by word.

Owns every colour, on light and on dark ground. The hues are those of Okabe and Ito, which the colour-blind can
tell apart; nothing is told by a colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from pytest_lance_autoresearch.records import Status


class Colour(NamedTuple):
    """A colour on light ground, and the one in its place on dark ground."""

    light: str
    dark: str


COLOURS: Mapping[str, Colour] = {
    "ink": Colour("#1b1b1b", "#e8e8e8"),
    "line": Colour("#d4d4d4", "#454545"),
    "green": Colour("#007a59", "#2fc598"),
    "vermillion": Colour("#bd5200", "#ff8a3d"),
    "blue": Colour("#0072b2", "#4aa9e6"),
    "purple": Colour("#b0568a", "#e39ac4"),
    "sky": Colour("#56b4e9", "#8fd0f7"),
    "orange": Colour("#e69f00", "#f3bb3f"),
    "grey": Colour("#767676", "#a0a0a0"),
}
"""By the name that the page's style sheet gives to each."""


class Mark(NamedTuple):
    """How trials that ended alike are shown."""

    word: str
    ends: tuple[Status, ...]
    symbol: str
    """In text."""
    marker: str
    """In pictures, as matplotlib calls it."""
    colour: str

    @property
    def is_kept(self) -> bool:
        return Status.KEEP in self.ends or Status.BASELINE in self.ends


MARKS = (
    Mark("baseline", (Status.BASELINE,), "■", "s", "ink"),
    Mark("kept", (Status.KEEP,), "●", "o", "green"),
    Mark("passed", (Status.PASS,), "▲", "^", "green"),
    Mark("discarded", (Status.DISCARD,), "▼", "v", "vermillion"),
    Mark("regressed", (Status.REGRESSED,), "◀", "<", "vermillion"),
    Mark("inconclusive", (Status.INCONCLUSIVE,), "◆", "D", "blue"),
    Mark("wrong", (Status.INCORRECT, Status.CRASH, Status.TIMEOUT, Status.REFUSED), "✕", "X", "purple"),
    Mark("no verdict", (Status.INVALID,), "✚", "P", "grey"),
)
_BY_STATUS = {status: mark for mark in MARKS for status in mark.ends}


def mark_of(status: Status) -> Mark:
    return _BY_STATUS[status]


MOST_GROUND = 0.55
"""Of a colour behind a number, so that the number can be read on it."""


class Heat(NamedTuple):
    """The ground of a speed-up in a table."""

    colour: str
    strength: float
    """0 to 1: none at a speed-up of 1, all of it from 4 times as fast or as slow."""


def heat(speedup: float) -> Heat:
    """Blue where it is faster, orange where it is slower."""
    size = min(1.0, abs(math.log2(speedup)) / 2) if speedup > 0 else 1.0
    return Heat("blue" if speedup >= 1 else "orange", round(size**0.5, 2))
