"""A night in one plot: what its kept trials claim to come to, and where each of the others would have led.

    python benchmarks/night_plot.py docs/nights/bitpack-results.tsv docs/nights/bitpack.svg

Reads the log of one target. A step line joins the kernels that were kept. Every other trial stands where it would
have led from the best kernel of its time, or at the lower edge where it was not measured. Bars are the intervals
of the trials' own speed-ups.

Needs the extra 'benchmarks' (matplotlib).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pytest_lance_autoresearch.log import results
from pytest_lance_autoresearch.records import Interval, Status


class Marks(NamedTuple):
    """How the trials that ended alike are drawn."""

    name: str
    ends: tuple[Status, ...]
    marker: str
    colour: str


MEASURED = (
    Marks("kept", results.KEPT, "o", "black"),
    Marks("discarded", (Status.DISCARD,), "v", "tab:red"),
    Marks("inconclusive", (Status.INCONCLUSIVE,), "D", "tab:blue"),
)


@dataclass(frozen=True)
class Point:
    """Where one trial stands, by what its log claims: speed-ups over the newest baseline."""

    trial: int
    status: Status
    best: float
    """That of the best kernel after this trial."""
    reached: Interval | None
    """That of the trial's own kernel, as wide as the trial alone makes it; None where it was not measured."""


def points(rows: Sequence[results.Row]) -> Iterator[Point]:
    """A point for every row of a log."""
    best = 1.0
    for row in rows:
        own = row.interval
        if row.status is Status.BASELINE:
            best, own = 1.0, Interval(1.0, 1.0, 1.0)
        reached = own and Interval(best * own.low, best * own.point, best * own.high)
        if reached and row.status in results.KEPT:
            best = reached.point
        yield Point(row.trial, row.status, best, reached)


def title(target: str, night: Sequence[Point]) -> str:
    """What the night came to."""
    ends = [point.status for point in night if point.status is not Status.BASELINE]
    kept = f"{ends.count(Status.KEEP)} of {len(ends)} kept"
    return f"A night on {target}: {night[-1].best:.2f} times as fast, {kept}"


def draw(target: str, night: Sequence[Point], path: Path) -> None:
    """Claimed speed-up over the number of the trial."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator

    mpl.rcParams["svg.hashsalt"] = "night"
    figure, panel = plt.subplots(figsize=(7.2, 4.2))
    panel.step([point.trial for point in night], [point.best for point in night], "k-", where="post", linewidth=2)
    for marks in MEASURED:
        _draw_measured(panel, night, marks)
    _draw_others(panel, night)
    panel.set_title(title(target, night))
    panel.set_xlabel("trial")
    panel.set_ylabel("claimed speed-up over the night's first kernel")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.grid(alpha=0.3)
    panel.legend(loc="upper left", frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def _draw_measured(panel: Any, night: Sequence[Point], marks: Marks) -> None:
    found = {point.trial: point.reached for point in night if point.reached and point.status in marks.ends}
    if found:
        reached = found.values()
        panel.vlines(list(found), [i.low for i in reached], [i.high for i in reached], marks.colour, linewidth=1)
        panel.plot(list(found), [i.point for i in reached], marks.marker, color=marks.colour, label=marks.name)


def _draw_others(panel: Any, night: Sequence[Point]) -> None:
    """They have no speed-up, so their height says nothing: just above the lower edge."""
    trials = [point.trial for point in night if point.reached is None]
    if trials:
        heights, edge = [0.03] * len(trials), panel.get_xaxis_transform()
        panel.plot(trials, heights, "x", color="dimgrey", transform=edge, label="not measured")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, help="the night's results.tsv")
    parser.add_argument("plot", type=Path, help="the file to write, such as an .svg")
    chosen = parser.parse_args()
    rows = results.read(chosen.log)
    targets = sorted({row.target for row in rows})
    if len(targets) != 1:
        has = ", ".join(targets) or "no target"
        parser.error(f"{chosen.log}: has rows of {has}; expected the log of one target")
    draw(targets[0], list(points(rows)), chosen.plot)


if __name__ == "__main__":
    main()
