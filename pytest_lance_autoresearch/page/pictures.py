"""The pictures of a night: figures, as parts of the page or as files of their own.

Owns what each shows, and the sentences below it. In the page its points lead to the rows of their trials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from pytest_lance_autoresearch.log.night import Trial
from pytest_lance_autoresearch.page import axes, content, embedded, palette
from pytest_lance_autoresearch.page.content import SPENT, Section, TrialRow
from pytest_lance_autoresearch.records import Status
from pytest_lance_autoresearch.words import wording

FOREST_TRIALS = 60
"""The newest that are measured; more cannot be read in one picture, and the table has them all."""
BROAD_IN, SLIM_IN = 7.6, 4.3
"""How wide a picture is where there is room for it, and on a telephone."""
NO_PLACE = "place not known"
"""Of a trial that was measured beside a best kernel of which nothing is known."""
_SPEEDS_IN, _WORD_IN = 3.0, 0.19
"""How high an axis of speed-ups is, and the row of a word."""
_INK = palette.COLOURS["ink"].light
_LAYERS = (("blue", ""), ("sky", ""), ("orange", ""), ("grey", "///"), ("line", "..."))
"""The colour and the hatching of each part of `Spent`."""


def staircase(section: Section, width_in: float) -> Figure:
    """The best kernel so far, and how fast each trial's own was; below it the trials that have no speed-up."""
    trials, ends = section.night.trials, _ends(section)
    figure, panels = _figure(width_in, _SPEEDS_IN, *([_WORD_IN * len(ends)] if ends else []))
    speeds = panels[0]
    for at, stairs in _stairs(trials):
        places = [*range(at, at + len(stairs)), at + len(stairs) - 0.5]
        speeds.step(places, [*stairs, stairs[-1]], color=_INK, where="post", linewidth=1.6)
    for at, trial in enumerate(trials, 1):
        if at > 1 and trial.row.status is Status.BASELINE:
            speeds.axvline(at, color=_INK, linestyle=":", linewidth=1)
    placed, drawn = _climbed(section)
    axes.speedups(speeds, "y", drawn)
    _measured(speeds, placed, drawn, len(trials), upright=True)
    speeds.set_ylabel(f"times as fast as the {_start(section)}")
    for strip in panels[1:]:
        _unmeasured(strip, section, ends)
    axes.trials(panels[-1], trials)
    _legend(figure, speeds)
    return figure


def _start(section: Section) -> str:
    """What the speed-ups of all trials count from, each from its own."""
    return "first kernel" if content.baselines(section.night) == 1 else "baseline"


def _stairs(trials: Sequence[Trial]) -> Iterator[tuple[int, list[float]]]:
    """Where a line of the best kernels begins, and its steps: from each baseline on, as far as they are known."""
    stairs: list[float] = []
    for at, trial in enumerate(trials, 1):
        if stairs and (trial.best is None or trial.row.status is Status.BASELINE):
            yield at - len(stairs), stairs
            stairs = []
        if trial.best is not None:
            stairs.append(trial.best)
    if stairs:
        yield len(trials) + 1 - len(stairs), stairs


def _climbed(section: Section) -> tuple[list[axes.Placed], axes.Edges]:
    """The trials that have a place beside the line of the best kernels, and what of it is drawn."""
    found = ((at, row, row.trial.reached) for at, row in enumerate(section.trials, 1))
    placed = [axes.Placed(at, row, reached) for at, row, reached in found if reached]
    best = [trial.best for trial in section.night.trials if trial.best is not None]
    return placed, axes.edges([one.speedup for one in placed], best)


def _ends(section: Section) -> list[str]:
    """The words below which the trials without such a place stand, the first to come on top."""
    return list(dict.fromkeys(_end(row) for row in section.trials if not row.trial.reached))


def _end(row: TrialRow) -> str:
    return NO_PLACE if _is_measured(row) else content.end(row.trial)


def _unmeasured(panel: Any, section: Section, ends: Sequence[str]) -> None:
    axes.words(panel, ends)
    panel.spines["left"].set_visible(False)
    panel.grid(axis="y", color=palette.COLOURS["line"].light, linewidth=0.7)
    panel.set_axisbelow(True)
    for mark in palette.MARKS:
        own = [(at, row) for at, row in enumerate(section.trials, 1) if row.mark is mark and not row.trial.reached]
        if own:
            where = [(at, -ends.index(_end(row))) for at, row in own]
            axes.points(panel, mark, [row for _, row in own], where, len(section.trials))


def forest(section: Section, width_in: float) -> Figure:
    """The interval of each trial's own speed-up over the kernel that it was judged against."""
    rows, (placed, drawn) = forest_rows(section), _compared(section)
    figure, (panel,) = _figure(width_in, 0.3 + _WORD_IN * max(3, len(rows)))
    axes.words(panel, [f"{row.trial.row.trial} {row.trial.marked_status}" for row in rows])
    panel.tick_params(axis="y", pad=8)  # room for arrowheads
    axes.speedups(panel, "x", drawn)
    panel.axvline(1.0, color=_INK, linewidth=1)
    _measured(panel, placed, drawn, len(rows), upright=False)
    panel.set_xlabel("times as fast as the best kernel of its time")
    _legend(figure, panel)
    return figure


def _compared(section: Section) -> tuple[list[axes.Placed], axes.Edges]:
    """The trials in the forest, from the top, and what of their intervals is drawn."""
    found = ((-i, row, row.trial.row.interval) for i, row in enumerate(forest_rows(section)))
    placed = [axes.Placed(at, row, one) for at, row, one in found if one and not row.trial.is_damaged]
    kept = [one.speedup.point for one in placed if one.row.trial.is_kept]
    return placed, axes.edges([one.speedup for one in placed], kept)


def forest_rows(section: Section) -> list[TrialRow]:
    """The trials in the forest: each that was measured beside a baseline, and has a line without a mark where
    what the row says of that is not to be believed."""
    return _all_compared(section)[-FOREST_TRIALS:]


def _all_compared(section: Section) -> list[TrialRow]:
    return [row for row in section.trials if _is_measured(row) or _is_unplaced(row)]


def _is_unplaced(row: TrialRow) -> bool:
    """Whether it may have been measured beside a baseline, and its row was changed."""
    return row.trial.is_damaged and row.trial.row.status is not Status.BASELINE


def _is_measured(row: TrialRow) -> bool:
    """Whether it has an interval that can be drawn."""
    one = row.trial.row.interval
    return one is not None and one.is_possible


def _measured(panel: Any, placed: Sequence[axes.Placed], drawn: axes.Edges, count: int, *, upright: bool) -> None:
    for mark in palette.MARKS:
        axes.intervals(panel, mark, [one for one in placed if one.row.mark is mark], drawn, count, upright=upright)


def time(section: Section, width_in: float) -> Figure:
    """Where the wall time of each trial went."""
    figure, (panel,) = _figure(width_in, 2.0)
    sides = [place + 0.5 for place in range(len(section.spent) + 1)]
    floor = [0.0] * len(section.spent)
    for part, name, (colour, hatch) in zip(zip(*section.spent, strict=True), SPENT, _LAYERS, strict=True):
        if any(part):
            top = [below + seconds for below, seconds in zip(floor, part, strict=True)]
            look = {"facecolor": palette.COLOURS[colour].light, "edgecolor": _INK, "hatch": hatch, "linewidth": 0}
            panel.fill_between(sides, [*floor, 0], [*top, 0], step="post", label=name, **look)
            floor = top
    panel.set_ylabel("seconds")
    panel.set_ylim(bottom=0)
    axes.trials(panel, section.night.trials)
    _legend(figure, panel)
    return figure


def cases(section: Section, width_in: float) -> Figure:
    """What every case gained over the newest baseline, after each of the newest keeps."""
    table = section.cases
    assert table is not None
    columns = [f"trial {trial.row.trial}" for trial in table.keeps] + ["audited"] * table.has_audit
    audited = [(row.audited.point if row.audited else None,) * table.has_audit for row in table.rows]
    shown = [(*row.after, *of_row) for row, of_row in zip(table.rows, audited, strict=True)]
    figure, (panel,) = _figure(width_in, 0.3 + 0.24 * len(shown))
    panel.imshow([[_ground(value, table.scale) for value in row] for row in shown], aspect="auto")
    for y, row in enumerate(shown):
        for x, value in enumerate(row):
            panel.text(x, y, f"{value:.2f}" if value else "-", ha="center", va="center")
    panel.set_xticks(range(len(columns)), columns, rotation=30 if len(columns) > 7 else 0)
    panel.set_yticks(range(len(shown)), [wording.printable(row.name) for row in table.rows])
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    return figure


def _ground(speedup: float | None, scale: palette.Scale) -> tuple[float, float, float]:
    """The colour behind a number, on white."""
    if speedup is None:
        return (1.0, 1.0, 1.0)
    name, part = scale.heat(speedup)
    red, green, blue = (int(palette.GROUNDS[name].light[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 1 - part * (1 - red), 1 - part * (1 - green), 1 - part * (1 - blue)


PICTURES: Mapping[str, Callable[[Section, float], Figure]] = {
    "staircase": staircase,
    "cases": cases,
    "forest": forest,
    "time": time,
}
"""By the name that the command line gives to each; drawn as wide as it is told."""


def lacking(section: Section, picture: str) -> str:
    """Why there is nothing that the picture could show; '' where there is."""
    if picture == "cases" and section.cases is None:
        return "nothing was kept"
    if picture == "forest" and not forest_rows(section):
        return "no trial was measured beside a baseline"
    return ""


def as_file(section: Section, picture: str, kind: str) -> bytes:
    """A picture of its own, 'svg' or 'png', on white and with what the night came to above it."""
    with embedded.styled():
        figure = PICTURES[picture](section, BROAD_IN)
        figure.axes[0].set_title(wording.printable(content.title(section.night)), loc="left")
        for points in (points for panel in figure.axes for points in panel.collections):
            points.set_urls([])  # there are no rows that they could lead to
        return embedded.saved(figure, kind)


def in_page(section: Section, picture: str) -> Markup:
    """A picture as a part of the page, which shows one of two: for broad windows and for slim ones."""
    told = {row.anchor: _told(row) for row in section.trials}
    parts = []
    for name, width_in in (("broad", BROAD_IN), ("slim", SLIM_IN)):
        with embedded.styled():
            part = embedded.part(PICTURES[picture](section, width_in), told, f"{section.anchor}-{picture}-{name}")
        parts.append(Markup('<div class="{}">{}</div>').format(name, part))
    return Markup("").join(parts)


def _told(row: TrialRow) -> str:
    """What a point says when it is pointed at."""
    own, change = row.trial.row, f", {row.change}" if row.change else ""
    return wording.printable(f"trial {own.trial}: {row.trial.marked_status}{change}: {own.description}")


def under_staircase(section: Section) -> Iterator[str]:
    """What has to be said of it, as sentences."""
    trials, has_line = section.night.trials, bool(list(_stairs(section.night.trials)))
    if has_line:
        yield "The line is the best kernel so far."
    yield "Each mark is a trial: its height is how fast its own kernel was, the bar its interval."
    if _ends(section):
        yield "A trial without a speed-up stands below, in the row of how it ended."
    yield from _beyond(*_climbed(section))
    if any(trial.row.status is Status.BASELINE for trial in trials[1:]):
        yield "At a dotted line a new baseline begins, and speed-ups count from it."
    if has_line and any(trial.best is None for trial in section.night.current):
        yield (
            "Where the line ends, a row was changed or is missing: from there on neither the best kernel's height "
            "is known nor that of a trial beside it."
        )
    yield "Every mark leads to its trial's row in the table."


def under_forest(section: Section) -> Iterator[str]:
    """What has to be said of it, as sentences."""
    placed, drawn = _compared(section)
    yield (
        "Each mark is a trial's speed-up over the kernel that was the best at the time, the bar its interval; "
        "right of the line it was faster."
    )
    if len(placed) < len(forest_rows(section)):
        yield "A line without a mark is a trial whose row was changed: what was measured there is not known."
    yield from _beyond(placed, drawn)
    if len(_all_compared(section)) > FOREST_TRIALS:
        yield f"These are the newest {FOREST_TRIALS}; the table of trials has all."


def _beyond(placed: Sequence[axes.Placed], drawn: axes.Edges) -> Iterator[str]:
    if any(drawn.cut(one.speedup) for one in placed):
        yield "An arrowhead at the edge: the bar goes on beyond it, or the mark lies there itself."


def _figure(width_in: float, *heights_in: float) -> tuple[Figure, Sequence[Any]]:
    """With panels of about these heights, one below the other."""
    figure = Figure(figsize=(width_in, sum(heights_in) + 0.6), layout="constrained")
    panels = figure.subplots(len(heights_in), sharex=True, height_ratios=heights_in, squeeze=False)
    return figure, list(panels.flat)


def _legend(figure: Figure, panel: Any) -> None:
    handles, labels = panel.get_legend_handles_labels()
    if handles:
        letters = sum(len(label) + 7 for label in labels)  # with the mark before each
        in_one = letters < 13 * figure.get_figwidth()
        columns = len(labels) if in_one else 3 if figure.get_figwidth() == BROAD_IN else 2
        made = figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False)
        for mark in made.legend_handles:
            if isinstance(mark, PathCollection):
                mark.set_sizes([axes.FULL_SIZE])
