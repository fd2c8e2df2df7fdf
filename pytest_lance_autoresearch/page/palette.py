"""How the ends of trials and the sizes of gains are told apart: by shape, by colour and by word.

Owns every colour, on light and on dark ground. The hues are those of Okabe and Ito, which the colour-blind can
tell apart; nothing is told by a colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
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
GROUNDS: Mapping[str, Colour] = {
    "faster": Colour("#0072b2", "#0072b2"),
    "slower": Colour("#e69f00", "#b37400"),
}
"""The same of what lies behind a number."""


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
    Mark("failed", (Status.INCORRECT, Status.CRASH, Status.TIMEOUT, Status.REFUSED), "✕", "X", "purple"),
    Mark("no verdict", (Status.INVALID,), "✚", "P", "grey"),
)
_BY_STATUS = {status: mark for mark in MARKS for status in mark.ends}


def mark_of(status: Status) -> Mark:
    return _BY_STATUS[status]


MOST_GROUND = 0.75
"""Of a colour behind a number, so that the number can be read on it."""
LEAST_SPAN = 1.25
"""Where all speed-ups are nearer to 1 than this, no ground is at its strongest."""
_IMPOSSIBLE = 1e6
"""A speed-up that nothing has; a log may hold anything."""


class Heat(NamedTuple):
    """The ground of a speed-up in a table."""

    colour: str
    strength: float
    """Of the colour, 0 to `MOST_GROUND`."""


class Scale(NamedTuple):
    """How strong the grounds of the speed-ups in one table are: in proportion to their logarithms."""

    farthest: float
    """The speed-up that is farthest from 1, the strongest."""

    def heat(self, speedup: float) -> Heat:
        """Blue where it is faster, orange where it is slower, nothing at 1."""
        size = _distance(speedup) / max(_distance(self.farthest), math.log(LEAST_SPAN))
        return Heat("faster" if speedup >= 1 else "slower", round(MOST_GROUND * min(1.0, size), 2))


def scale(speedups: Iterable[float]) -> Scale:
    """The scale of a table with these."""
    return Scale(max(speedups, key=_distance, default=1.0))


def _distance(speedup: float) -> float:
    """How far it is from 1, to both sides alike."""
    return abs(math.log(min(max(speedup, 1 / _IMPOSSIBLE), _IMPOSSIBLE)))
