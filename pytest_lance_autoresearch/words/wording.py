"""How numbers are written: times, ratios, changes, counts; and how a path and a foreign text are.

Owns the rounding and the units. Percentages are changes of time.
"""

from __future__ import annotations

import math
import os
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_lance_autoresearch.records import Interval

NONE = "none"
"""What stands for a number that does not exist; never 0."""
MB = 2**20


def interval(value: Interval) -> str:
    """'1.0832 [1.0791, 1.0884]'; without bounds where it was measured too seldom for any."""
    bounds = f" [{value.low:.4f}, {value.high:.4f}]" if value.is_bounded else ""
    return f"{value.point:.4f}{bounds}"


def times(value: Interval) -> str:
    """'1.083x [1.079, 1.088]'"""
    return f"{value.point:.3f}x [{value.low:.3f}, {value.high:.3f}]"


def change_of_time(value: Interval | None) -> str:
    """The change of time that a speed-up means, with its interval: '-7.7 % [-8.1 %, -7.3 %]'."""
    if value is None:
        return NONE
    return f"{change(value.point)} [{change(value.high)}, {change(value.low)}]"


def change(ratio: float, digits: int = 1) -> str:
    """The change of time that a speed-up means: 1.25 is '-20.0 %'."""
    rounded = round((1 / ratio - 1) * 100, digits) if ratio else math.inf
    return f"{rounded + 0.0:+.{digits}f} %"


def digits_apart(value: float, limit: float) -> int:
    """The least number of decimals, 1 to 6, that shows on which side of a limit a value is."""
    return next((digits for digits in range(1, 6) if round(value, digits) != round(limit, digits)), 6)


def percent(fraction: float) -> str:
    return f"{fraction * 100:g} %"


def ns(value: float) -> str:
    """Nanoseconds as a plain decimal with four significant digits or more."""
    return f"{value:.1f}" if value >= 1000 else f"{value:.{max(1, 3 - math.floor(math.log10(value)))}f}"


_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns"))


def time(ns: float) -> str:
    scale, unit = _scale(ns)
    return f"{_three(ns / scale)} {unit}"


def time_change(before_ns: float, after_ns: float) -> str:
    scale, unit = _scale(max(before_ns, after_ns))
    return f"{_three(before_ns / scale)} -> {_three(after_ns / scale)} {unit}"


def _scale(ns: float) -> tuple[float, str]:
    return next((pair for pair in _UNITS if ns >= pair[0]), _UNITS[-1])


def _three(value: float) -> str:
    """Three significant digits at least, never an exponent."""
    digits = 3 if value <= 0 else max(0, 2 - math.floor(math.log10(value)))
    return f"{value:.{min(digits, 6)}f}"


def printable(text: str) -> str:
    """The text with all that a terminal would obey or could not show spelt out: controls, marks of direction."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shown(path: Path) -> str:
    """The path as one would type it here: seen from the current folder, where that is no longer."""
    return min(os.path.relpath(path), str(path), key=len)


def cut(text: str, most: int) -> str:
    """The text in at most so many characters: one that is longer ends behind a word of it, with ' ...'."""
    if len(text) <= most:
        return text
    room = most - len(" ...")
    end = text.rfind(" ", 0, room + 1)
    return f"{text[:end].rstrip(' ,;:')} ..." if end > room // 2 else f"{text[: most - 3]}..."


def wrapped(
    text: str, width: int, *, hanging: str = "", most: int | None = None, long_words: bool = True
) -> list[str]:
    """The text in lines of that width, `hanging` before all but the first, and of so many lines at most.

    A number and its unit stay together; words that are too long are broken only if they may be.
    """
    lines = textwrap.wrap(
        _NUMBER_WITH_UNIT.sub("\N{NO-BREAK SPACE}", text),
        width,
        subsequent_indent=hanging,
        max_lines=most,
        placeholder=" ...",
        break_on_hyphens=False,
        break_long_words=long_words,
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


_NUMBER_WITH_UNIT = re.compile(r"(?<=\d) (?=(?:%|[mun]?s|min|h|[kMG]i?B(?:/s)?|KiB)(?![\w/]))")


def listed(names: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def some(names: Sequence[str], most: int = 3) -> str:
    """As many of the names as a sentence can hold: 'a and b', 'a, b, c and 4 more'."""
    rest = len(names) - most
    return listed([*names[:most], f"{rest} more"] if rest > 0 else names)


def many(count: int, what: str) -> str:
    """'1 row', '2 rows'"""
    return f"{count} {what}{'' if count == 1 else 's'}"


_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def ordinal(number: int) -> str:
    """'third', '11th', '22nd'"""
    if number <= len(_ORDINALS):
        return _ORDINALS[number - 1]
    ending = "th" if number // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def about(seconds: float) -> str:
    """An estimate: 'about 5 s', the least that it says, 'about 90 s', 'about 4 min', 'about 3 h'."""
    if seconds < 100:
        return f"about {max(1, round(seconds / 5)) * 5} s"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 100 else f"about {round(seconds / 3600)} h"


def span(seconds: float) -> str:
    """How long something took: '5 s', '4 min 10 s', '3 h 25 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
