"""The pictures of a night: figures, as parts of the page or as files of their own.

Owns what each shows and how it is drawn. In the page a figure's colours and letters are the page's, and its points
lead to the rows of their trials.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from pytest_lance_autoresearch.log.night import Trial
from pytest_lance_autoresearch.page import palette
from pytest_lance_autoresearch.page.content import SPENT, Section, TrialRow, title
from pytest_lance_autoresearch.records import Interval, Status
from pytest_lance_autoresearch.words import wording

FOREST_TRIALS = 60
"""The newest that are measured; more cannot be read in one picture, and the table has them all."""
NEAR = 1.25
"""Points farther above what was kept than this factor stand at the edge. So do those farther below 1, or farther
than the root of what was kept, whichever is more."""
BROAD_IN, SLIM_IN = 7.6, 4.3
"""How wide a picture is where there is room for it, and on a telephone."""
_INK, _LINE = palette.COLOURS["ink"].light, palette.COLOURS["line"].light
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "night",
    "text.parse_math": False,
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
    "hatch.linewidth": 0.6,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK),
}
_LAYERS = (("blue", ""), ("sky", ""), ("orange", ""), ("grey", "///"), ("line", "..."))
"""The colour and the hatching of each part of `Spent`."""
_OWN_COLOURS = {colour.light: f"var(--{name})" for name, colour in palette.COLOURS.items()}


def staircase(section: Section, width_in: float) -> Figure:
    """The best kernel so far, trial by trial, and where each of the others would have led from it."""
    figure, panel = _figure(width_in, 3.6)
    trials = section.night.trials
    for place, stairs in _stairs(trials):
        best, places = [trial.best for trial in stairs], range(place, place + len(stairs))
        panel.step([*places, places[-1] + 0.5], [*best, best[-1]], color=_INK, where="post", linewidth=1.6)
        if place > 1:
            panel.axvline(place, color=_INK, linestyle=":", linewidth=1)
    edges = _edges([trial.reached for trial in trials if trial.reached], [trial.best for trial in trials])
    _along(panel, "y", edges)
    for mark in palette.MARKS:
        own = [(place, row) for place, row in enumerate(section.trials, 1) if row.mark is mark]
        _measured(
            panel, mark, [(place, row, row.trial.reached) for place, row in own], edges, len(trials), upright=True
        )
    panel.set_ylabel(f"times as fast as the {section.first}")
    _trial_axis(panel, trials)
    _legend(figure, panel)
    return figure


def _stairs(trials: Sequence[Trial]) -> Iterator[tuple[int, Sequence[Trial]]]:
    """The place of each baseline with the trials until the next; what comes before the first is one, too."""
    starts = [i for i, trial in enumerate(trials) if i == 0 or trial.row.status is Status.BASELINE]
    for first, end in zip(starts, [*starts[1:], len(trials)], strict=True):
        yield first + 1, trials[first:end]


def forest(section: Section, width_in: float) -> Figure:
    """The interval of each trial's own speed-up over the kernel that it was judged against."""
    rows = forest_rows(section)
    figure, panel = _figure(width_in, 0.9 + 0.19 * max(3, len(rows)))
    found = [(row.trial, row.trial.row.interval) for row in rows if row.trial.row.interval]
    edges = _edges([one for _, one in found], [one.point for trial, one in found if trial.is_kept])
    _along(panel, "x", edges)
    panel.axvline(1.0, color=_INK, linewidth=1)
    for mark in palette.MARKS:
        own = [(-i, row) for i, row in enumerate(rows) if row.mark is mark]
        _measured(
            panel,
            mark,
            [(place, row, row.trial.row.interval) for place, row in own],
            edges,
            len(rows),
            upright=False,
        )
    panel.set_yticks(range(0, -len(rows), -1), [f"{row.trial.row.trial} {row.trial.status_word}" for row in rows])
    panel.set_ylim(0.4 - len(rows), 0.6)
    panel.tick_params(axis="y", length=0)
    panel.set_xlabel("times as fast as the kernel before")
    _legend(figure, panel)
    return figure


def forest_rows(section: Section) -> list[TrialRow]:
    """The trials in the forest."""
    return measured_rows(section)[-FOREST_TRIALS:]


def measured_rows(section: Section) -> list[TrialRow]:
    """The trials with an interval that can be drawn."""
    return [row for row in section.trials if (one := row.trial.row.interval) and one.is_possible]


def _measured(
    panel: Any,
    mark: palette.Mark,
    found: Sequence[tuple[int, TrialRow, Interval | None]],
    edges: tuple[float, float],
    count: int,
    *,
    upright: bool,
) -> None:
    """Trials that ended alike, of `count` in all, each with its interval and a link to its row.

    Those without a speed-up stand at the lower edge, where their place says nothing.
    """
    if not found:
        return
    low, high = edges
    colour = palette.COLOURS[mark.colour].light
    bars = [
        (at, max(low, one.low), min(high, one.high)) for at, _, one in found if one and low < one.high > one.low
    ]
    lines = panel.vlines if upright else panel.hlines
    lines(*([bar[i] for bar in bars] for i in range(3)), color=colour, linewidth=1, zorder=1.8)
    places = [at for at, _, _ in found]
    values = [min(high, max(low, one.point)) if one else low for _, _, one in found]
    across, up = (places, values) if upright else (values, places)
    size = 28 * min(1.0, max(0.3, FOREST_TRIALS / count))
    above = 3 if mark.is_kept else 1.9  # the line of the best kernels lies in between
    look = {"marker": mark.marker, "s": size, "c": colour, "linewidths": 0, "zorder": above, "clip_on": False}
    points = panel.scatter(across, up, label=mark.word, **look)
    # One more than there are points: a lone one would be drawn without its link by matplotlib 3.8.
    points.set_urls([*(f"#{row.anchor}" for _, row, _ in found), None])


def time(section: Section, width_in: float) -> Figure:
    """Where the wall time of each trial went."""
    figure, panel = _figure(width_in, 2.6)
    sides = [place + 0.5 for place in range(len(section.spent) + 1)]
    floor = [0.0] * len(section.spent)
    for part, name, (colour, hatch) in zip(zip(*section.spent, strict=True), SPENT, _LAYERS, strict=True):
        if any(part):
            top = [below + seconds for below, seconds in zip(floor, part, strict=True)]
            look = {"facecolor": palette.COLOURS[colour].light, "edgecolor": _INK, "hatch": hatch, "linewidth": 0}
            panel.stairs(top, sides, baseline=floor, fill=True, label=name, **look)
            floor = top
    panel.set_ylabel("seconds")
    panel.set_ylim(bottom=0)
    _trial_axis(panel, section.night.trials)
    _legend(figure, panel)
    return figure


def cases(section: Section, width_in: float) -> Figure:
    """What every case gained over the newest baseline, after each of the newest keeps."""
    table = section.cases
    assert table is not None
    columns = [f"trial {trial.row.trial}" for trial in table.keeps] + ["audited"] * table.has_audit
    audited = [(row.audited.point if row.audited else None,) * table.has_audit for row in table.rows]
    shown = [(*row.after, *of_row) for row, of_row in zip(table.rows, audited, strict=True)]
    figure, panel = _figure(width_in, 0.8 + 0.24 * len(shown))
    panel.imshow([[_ground(value) for value in row] for row in shown], aspect="auto")
    for y, row in enumerate(shown):
        for x, value in enumerate(row):
            panel.text(x, y, f"{value:.2f}" if value else "-", ha="center", va="center")
    panel.set_xticks(range(len(columns)), columns, rotation=30 if len(columns) > 7 else 0)
    panel.set_yticks(range(len(shown)), [wording.printable(row.name) for row in table.rows])
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    return figure


def _ground(speedup: float | None) -> tuple[float, float, float]:
    """The colour behind a number, on white."""
    if speedup is None:
        return (1.0, 1.0, 1.0)
    name, strength = palette.heat(speedup)
    red, green, blue = (int(palette.COLOURS[name].light[i : i + 2], 16) / 255 for i in (1, 3, 5))
    part = palette.MOST_GROUND * strength
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
    with _styled():
        figure = PICTURES[picture](section, BROAD_IN)
        figure.axes[0].set_title(wording.printable(title(section.night)), loc="left")
        for points in figure.axes[0].collections:
            points.set_urls([])  # there are no rows that they could lead to
        return _saved(figure, kind)


def in_page(section: Section, picture: str) -> Markup:
    """A picture as a part of the page, which shows one of two: for broad windows and for slim ones."""
    told = {row.anchor: _told(row) for row in section.trials}
    parts = {"broad": BROAD_IN, "slim": SLIM_IN}
    return Markup("").join(
        Markup('<div class="{}">{}</div>').format(
            name, _named(_adapted(_part(section, picture, width_in), told), f"{section.anchor}-{picture}-{name}")
        )
        for name, width_in in parts.items()
    )


def _part(section: Section, picture: str, width_in: float) -> str:
    with _styled():
        figure = PICTURES[picture](section, width_in)
        for ground in (figure.patch, *(panel.patch for panel in figure.axes)):
            ground.set_visible(False)
        return _saved(figure, "svg").decode()


def _told(row: TrialRow) -> str:
    """What a point says when it is pointed at."""
    own, change = row.trial.row, f", {row.change}" if row.change else ""
    return wording.printable(f"trial {own.trial}: {row.trial.status_word}{change}: {own.description}")


def _adapted(svg: str, told: Mapping[str, str]) -> str:
    """The figure in the page's colours and letters, with links that say where they lead.

    It is left to the page how large it is, and whoever reads it aloud finds its links in the table.
    """
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r' width="[\d.]+pt" height="[\d.]+pt"| height="[\d.]+pt"| width="[\d.]+pt"', "", svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)
    for colour, own in _OWN_COLOURS.items():
        svg = svg.replace(colour, own)
    return re.sub(
        r'<a xlink:href="#([^"]+)"[^>]*>',
        lambda to: f'<a href="#{to[1]}" tabindex="-1"><title>{escape(told[to[1]])}</title>',
        svg,
    )


def _named(svg: str, name: str) -> Markup:
    """The figure with names of its parts that no other figure has."""
    return Markup(re.sub(r'(\bid="|url\(#|<use xlink:href="#)', rf"\g<1>{name}-", svg))


def _saved(figure: Figure, kind: str) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name may have letters that the font lacks
        figure.savefig(file, format=kind, dpi=160, metadata={"Date": None} if kind == "svg" else None)
    return file.getvalue()


@contextmanager
def _styled() -> Iterator[None]:
    with mpl.rc_context(_STYLE):
        yield


def _figure(width_in: float, height_in: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width_in, height_in))
    return figure, figure.add_subplot()


def _edges(found: Sequence[Interval], kept: Sequence[float]) -> tuple[float, float]:
    """The range that is drawn: all points but those far off, and of intervals what is near them."""
    most = max([1.0, *kept])
    least, most = 1 / max(NEAR, math.sqrt(most)), most * NEAR
    points = [1.0, *(point for point in (*kept, *(one.point for one in found)) if least <= point <= most)]
    bottom, top = min(points), max(points)
    bounds = [bound for one in found for bound in (one.low, one.high) if bottom / 1.15 <= bound <= top * 1.15]
    low, high = min([bottom, *bounds]), max([top, *bounds])
    size = max(NEAR, high / low)
    return low / size**0.07, high * size**0.04


def _along(panel: Any, axis: str, edges: tuple[float, float]) -> None:
    """Speed-ups along an axis, as ratios: 2 is as far from 1 as 4 from 2."""
    own = {"x": panel.xaxis, "y": panel.yaxis}[axis]
    panel.set(**{f"{axis}scale": "log", f"{axis}lim": edges})
    own.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    own.set_minor_locator(NullLocator())
    own.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.grid(axis=axis, color=_LINE, linewidth=0.7)
    panel.set_axisbelow(True)


def _trial_axis(panel: Any, trials: Sequence[Trial]) -> None:
    """Trials one beside the other, by their numbers in the log."""

    def number(place: float, _: int) -> str:
        return str(trials[int(place) - 1].row.trial) if place in range(1, len(trials) + 1) else ""

    panel.set_xlim(0.4, len(trials) + 0.6)
    panel.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, min_n_ticks=1))
    panel.xaxis.set_major_formatter(FuncFormatter(number))
    panel.set_xlabel("trial")


def _legend(figure: Figure, panel: Any) -> None:
    handles, labels = panel.get_legend_handles_labels()
    if handles:
        letters = sum(len(label) + 7 for label in labels)  # with the mark before each
        in_one = letters < 13 * figure.get_figwidth()
        columns = len(labels) if in_one else 3 if figure.get_figwidth() == BROAD_IN else 2
        figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False)
