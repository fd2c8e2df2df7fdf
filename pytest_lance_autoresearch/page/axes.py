"""The axes on which trials stand, and how they stand there: speed-ups as ratios, trials side by side, words.

Owns which speed-ups are drawn where, and what says that one lies beyond an edge. A trial without a speed-up has no
place on an axis of speed-ups: it stands in the row of a word.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.markers import CARETDOWNBASE, CARETLEFTBASE, CARETRIGHTBASE, CARETUPBASE
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from pytest_lance_autoresearch.log.night import Trial
from pytest_lance_autoresearch.page import palette
from pytest_lance_autoresearch.page.content import TrialRow
from pytest_lance_autoresearch.records import Interval

NEAR = 1.25
"""Points farther above what was kept than this factor stand at the edge. So do those farther below 1, or farther
than the root of what was kept, whichever is more."""
FULL_SIZE = 28
"""Of a point, as matplotlib counts it."""
MANY = 60
"""Beyond so many, points are smaller."""
_LINE = palette.COLOURS["line"].light
_RULER = (1, 1.5, 2, 3, 5, 7)
"""The numbers on an axis whose edges are more than a factor of 3 apart; on others they have equal steps."""


class Edges(NamedTuple):
    """The range of speed-ups that is drawn."""

    low: float
    high: float

    def nearest(self, value: float) -> float:
        """The value, or the edge beyond which it lies."""
        return min(self.high, max(self.low, value))

    def stands(self, value: float) -> float:
        """Where a point of that value stands: what lies beyond an edge, just within it."""
        inset = math.pow(self.high / self.low, 0.025)
        return min(self.high / inset, max(self.low * inset, value))

    def cut(self, one: Interval) -> bool:
        """Whether the interval, or a part of it, lies beyond an edge."""
        return one.low < self.low or one.high > self.high


class Placed(NamedTuple):
    """A trial with a speed-up, and its place among the others."""

    at: int
    row: TrialRow
    speedup: Interval


def edges(found: Sequence[Interval], kept: Sequence[float]) -> Edges:
    """Wide enough for all points but those far off, and of intervals for what is near them."""
    most = max([1.0, *kept])
    least, most = 1 / max(NEAR, math.sqrt(most)), most * NEAR
    points = [1.0, *(point for point in (*kept, *(one.point for one in found)) if least <= point <= most)]
    bottom, top = min(points), max(points)
    bounds = [bound for one in found for bound in (one.low, one.high) if bottom / 1.15 <= bound <= top * 1.15]
    low, high = min([bottom, *bounds]), max([top, *bounds])
    size = max(NEAR, high / low)
    return Edges(low / size**0.07, high * size**0.04)


def speedups(panel: Any, axis: str, drawn: Edges) -> None:
    """Make that axis one of ratios: 2 is as far from 1 as 4 from 2."""
    own = {"x": panel.xaxis, "y": panel.yaxis}[axis]
    panel.set(**{f"{axis}scale": "log", f"{axis}lim": drawn})
    is_long = drawn.high > 3 * drawn.low
    steps = LogLocator(subs=_RULER, numticks=99) if is_long else MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10])
    own.set_major_locator(steps)
    own.set_minor_locator(NullLocator())
    own.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.grid(axis=axis, color=_LINE, linewidth=0.7)
    panel.set_axisbelow(True)


def trials(panel: Any, shown: Sequence[Trial]) -> None:
    """Make the lower axis one of trials, side by side, with their numbers in the log."""

    def number(place: float, _: int) -> str:
        return str(shown[int(place) - 1].row.trial) if place in range(1, len(shown) + 1) else ""

    panel.set_xlim(0.4, len(shown) + 0.6)
    panel.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, min_n_ticks=1))
    panel.xaxis.set_major_formatter(FuncFormatter(number))
    panel.set_xlabel("trial")


def words(panel: Any, shown: Sequence[str]) -> None:
    """Make the axis at the side one of rows, each with its word, the first one at the top, at 0, then -1."""
    panel.set_yticks(range(0, -len(shown), -1), shown)
    panel.set_ylim(0.4 - len(shown), 0.6)
    panel.tick_params(axis="y", length=0)


def intervals(
    panel: Any, mark: palette.Mark, placed: Sequence[Placed], drawn: Edges, count: int, *, upright: bool
) -> None:
    """Trials that ended alike, of `count` in all, each with its interval, and an arrowhead where that goes on."""
    if not placed:
        return
    colour = palette.COLOURS[mark.colour].light
    where = [(at, drawn.stands(one.point)) for at, _, one in placed]
    lows = [min(point, drawn.nearest(one.low)) for (_, point), (*_, one) in zip(where, placed, strict=True)]
    highs = [max(point, drawn.nearest(one.high)) for (_, point), (*_, one) in zip(where, placed, strict=True)]
    lines = panel.vlines if upright else panel.hlines
    lines([at for at, _ in where], lows, highs, color=colour, linewidth=1, zorder=1.8)
    points(panel, mark, [row for _, row, _ in placed], where if upright else _turned(where), count)
    heads = (CARETDOWNBASE, CARETUPBASE) if upright else (CARETLEFTBASE, CARETRIGHTBASE)
    below = [(at, drawn.low) for at, _, one in placed if one.low < drawn.low]
    above = [(at, drawn.high) for at, _, one in placed if one.high > drawn.high]
    for head, beyond in zip(heads, (below, above), strict=True):
        if beyond:
            across, up = zip(*(beyond if upright else _turned(beyond)), strict=True)
            panel.scatter(across, up, marker=head, s=_size(count), c=colour, linewidths=0, clip_on=False)


def points(
    panel: Any, mark: palette.Mark, rows: Sequence[TrialRow], where: Sequence[tuple[float, float]], count: int
) -> None:
    """Trials that ended alike, of `count` in all, each a link to its row."""
    across, up = zip(*where, strict=True)
    above = 3 if mark.is_kept else 1.9  # the line of the best kernels lies in between
    look = {"marker": mark.marker, "s": _size(count), "c": palette.COLOURS[mark.colour].light, "linewidths": 0}
    drawn = panel.scatter(across, up, label=mark.word, zorder=above, clip_on=False, **look)
    # One more than there are points: a lone one would be drawn without its link by matplotlib 3.8.
    drawn.set_urls([*(f"#{row.anchor}" for row in rows), None])


def _size(count: int) -> float:
    return FULL_SIZE * min(1.0, max(0.3, MANY / count))


def _turned(where: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(up, across) for across, up in where]
