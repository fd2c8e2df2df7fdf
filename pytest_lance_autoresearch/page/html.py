"""The page: what it says, put into one file that needs nothing else.

Owns that foreign text stays text: Jinja escapes all of it, and characters that a browser would obey or not show
are spelt out. The page has no script and asks no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from pytest_lance_autoresearch.page import belief, content, palette, pictures
from pytest_lance_autoresearch.page.facts import Facts
from pytest_lance_autoresearch.words import wording

_HERE = Path(__file__).parent
_TEMPLATE, _STYLE_SHEET = "report.html.jinja", "report.css"


def page(found: Sequence[Facts], empty: Sequence[Path], written: str, version: str, refresh_s: int = 0) -> bytes:
    """The page about all of them; `empty` are the logs without a trial, `refresh_s` is for a page that goes on."""
    sections = content.sections(found)
    return (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            sections=sections,
            empty=[str(log) for log in empty],
            title=_title(sections),
            written=written,
            version=version,
            refresh_s=refresh_s,
            style=Markup(_style()),
            picture=pictures.in_page,
            measured=lambda section: len(pictures.measured_rows(section)),
            most_in_forest=pictures.FOREST_TRIALS,
            heat=_heat,
            times=wording.times,
            Kind=belief.Kind,
        )
        .encode("utf-8", "backslashreplace")
    )


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_plain,
    )


def _plain(value: Any) -> Any:
    """What is no markup of this package's own is spelt out."""
    return value if isinstance(value, Markup) else wording.printable(str(value))


def _title(sections: Sequence[content.Section]) -> str:
    if len(sections) == 1:
        return f"{sections[0].name}: {sections[0].headline}"
    return f"{wording.many(len(sections), 'target')}: {', '.join(section.name for section in sections)}"


def _style() -> str:
    """The style sheet, after the colours of light and of dark ground."""
    light, dark = (
        " ".join(f"--{name}: {getattr(colour, ground)};" for name, colour in palette.COLOURS.items())
        for ground in ("light", "dark")
    )
    colours = f":root {{ {light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
    return colours + (_HERE / _STYLE_SHEET).read_text(encoding="utf-8")


def _heat(speedup: float) -> Markup:
    """The ground of a cell."""
    name, strength = palette.heat(speedup)
    percent = round(100 * palette.MOST_GROUND * strength)
    return Markup(f"background: color-mix(in srgb, var(--{name}) {percent}%, transparent)")
