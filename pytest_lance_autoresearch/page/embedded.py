"""A figure as a file, or as a part of the page with the page's own colours and letters.

Owns all that is known of how matplotlib writes SVG.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from pytest_lance_autoresearch.page import palette

_INK = palette.COLOURS["ink"].light
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "night",
    "text.parse_math": False,
    "font.size": 9,
    "font.family": "sans-serif",
    "figure.autolayout": False,
    "figure.constrained_layout.use": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.6,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK),
}
_OWN_COLOURS = {colour.light: f"var(--{name})" for name, colour in palette.COLOURS.items()}


@contextmanager
def styled() -> Iterator[None]:
    """What is drawn meanwhile has the package's style, whatever the user's own is."""
    with mpl.rc_context(_STYLE):
        yield


def saved(figure: Figure, kind: str) -> bytes:
    """The figure as a file, 'svg' or 'png'."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name may have letters that the font lacks
        _lay_out(figure)
        figure.savefig(file, format=kind, dpi=160, metadata={"Date": None} if kind == "svg" else None)
    return file.getvalue()


def _lay_out(figure: Figure) -> None:
    """Give all parts their places. While a figure has an engine for that, saving it draws all of it twice."""
    FigureCanvasSVG(figure)
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
    figure.set_layout_engine(None)


def part(figure: Figure, told: Mapping[str, str], name: str) -> Markup:
    """The figure as a part of the page; `told` is what is said of a row, by its anchor, and `name` is its own."""
    for ground in (figure.patch, *(panel.patch for panel in figure.axes)):
        ground.set_visible(False)
    return _named(_adapted(saved(figure, "svg").decode(), told), name)


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
