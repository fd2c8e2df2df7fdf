"""The page: what it says, put into one file that needs nothing else.

Owns that foreign text stays text: Jinja escapes all of it, and characters that a browser would obey or not show
are spelt out. The page has no script and asks no network.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from pytest_lance_autoresearch.page import belief, content, palette, pictures
from pytest_lance_autoresearch.page.facts import Facts
from pytest_lance_autoresearch.words import wording

_HERE = Path(__file__).parent
_NEVER_APART = re.compile(
    r"\d{4}-\d\d-\d\d|\[[^][,]{1,12}, [^][,]{1,12}\]|[-+.\d]+ (?:%|(?:h|min|s|ms|us|ns|MB)\b)"
)
_TEMPLATE, _STYLE_SHEET = "report.html.jinja", "report.css"


def page(found: Sequence[Facts], others: Sequence[str], written: str, version: str, refresh_s: int = 0) -> bytes:
    """The page about all of them; `others` are sentences about logs that it cannot tell of.

    `refresh_s` is for a page that goes on.
    """
    sections = content.sections(found)
    return (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            sections=sections,
            others=others,
            title=_title(sections),
            written=written,
            version=version,
            refresh_s=refresh_s,
            style=Markup(_style()),
            picture=pictures.in_page,
            under_staircase=pictures.under_staircase,
            under_forest=pictures.under_forest,
            lacking=pictures.lacking,
            heat=_heat,
            Kind=belief.Kind,
        )
        .encode("utf-8", "backslashreplace")
    )


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_plain,
    )
    made.filters["whole"] = _whole
    return made


def _plain(value: Any) -> Any:
    """What is no markup of this package's own is spelt out."""
    return value if isinstance(value, Markup) else wording.printable(str(value))


def _whole(sentence: str) -> Markup:
    """The sentence, in which no line ends within a date, an interval, or a number and its unit."""
    plain = str(escape(wording.printable(sentence)))
    return Markup(_NEVER_APART.sub(r'<span class="whole">\g<0></span>', plain))


def _title(sections: Sequence[content.Section]) -> str:
    if len(sections) == 1:
        return content.title(sections[0].night)
    targets = {section.night.target for section in sections}
    return f"{wording.many(len(targets), 'target')}: {', '.join(section.name for section in sections)}"


def _style() -> str:
    """The style sheet, after the colours of light and of dark ground."""
    colours = {**palette.COLOURS, **palette.GROUNDS}
    light, dark = (
        " ".join(f"--{name}: {getattr(colour, ground)};" for name, colour in colours.items())
        for ground in ("light", "dark")
    )
    named = f":root {{ {light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
    return named + (_HERE / _STYLE_SHEET).read_text(encoding="utf-8")


def _heat(speedup: float, scale: palette.Scale) -> Markup:
    """The ground of a cell."""
    name, strength = scale.heat(speedup)
    return Markup(f"background: color-mix(in srgb, var(--{name}) {100 * strength:.0f}%, transparent)")
