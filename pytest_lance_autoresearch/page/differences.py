"""What changed from one kernel to the next, line by line, with Python's words in their colours.

Owns how a difference is cut where it is long. Kernels are foreign text: what is no plain character is
spelt out.
"""

from __future__ import annotations

import difflib
import functools
import html
import keyword
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pytest_lance_autoresearch.words import wording

MOST_LINES = 200
"""Of one difference on the page."""
MOST_BYTES = 2**18
"""Of a kernel that is compared at all."""
_KEYWORDS = "|".join(keyword.kwlist)
_WORDS = re.compile(
    rf"""
    (?P<comment> \#.* )
    | (?P<string> (?:\b[bBfFrRuU]{{1,2}})?
        (?: \"{{3}} (?s:.*?) (?:\"{{3}}|\Z) | "(?:\\.|[^"\\\n])*"?
          | '{{3}} (?s:.*?) (?:'{{3}}|\Z) | '(?:\\.|[^'\\\n])*'? ) )
    | (?P<numeral> \b\d(?:[\w.]|(?<=[eE])[-+])* )
    | (?P<name> (?<=\bdef\ )\w+ | (?<=\bclass\ )\w+ | ^\ *@[\w.]+ )
    | (?P<keyword> \b(?:{_KEYWORDS})\b )
    """,
    re.VERBOSE | re.MULTILINE,
)
"""Of Python, each kind by the name that the page's style sheet gives it. To colour a word wrongly does no harm."""


@dataclass(frozen=True)
class Line:
    """One line of a difference."""

    sign: str
    """'+', '-', ' ', or '@' for where in the file it goes on."""
    text: Markup


@dataclass(frozen=True)
class Difference:
    """What it takes to come from one kernel to another."""

    lines: tuple[Line, ...]
    added: int
    removed: int
    left_out: int
    """Lines at its end that are too many for a page."""


def between(before: bytes, after: bytes) -> Difference | None:
    """The difference of two kernels; None where one is too long to be compared."""
    if max(len(before), len(after)) > MOST_BYTES:
        return None
    old, new = (_lines(text) for text in (before, after))
    lines = list(_unified(old, new, _coloured("\n".join(old)), _coloured("\n".join(new))))
    signs = [line.sign for line in lines]
    return Difference(
        tuple(lines[:MOST_LINES]), signs.count("+"), signs.count("-"), max(0, len(lines) - MOST_LINES)
    )


def _lines(text: bytes) -> list[str]:
    """As they are shown: whatever is no plain character is spelt out."""
    plain = text.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return [wording.printable(line.replace("\t", "    ")) for line in plain.removesuffix("\n").split("\n")]


def _unified(
    old: Sequence[str], new: Sequence[str], old_shown: Sequence[Markup], new_shown: Sequence[Markup]
) -> Iterator[Line]:
    for group in difflib.SequenceMatcher(None, old, new).get_grouped_opcodes(3):
        yield Line("@", Markup(f"line {group[0][3] + 1}"))
        for what, i1, i2, j1, j2 in group:
            if what == "equal":
                yield from (Line(" ", text) for text in new_shown[j1:j2])
                continue
            yield from (Line("-", text) for text in old_shown[i1:i2])
            yield from (Line("+", text) for text in new_shown[j1:j2])


@functools.lru_cache(maxsize=4)
def _coloured(text: str) -> list[Markup]:
    """Each line as HTML. A kernel is the newer one of a difference, and then the older one of the next."""
    shown, end = [], 0
    for word in _WORDS.finditer(text):
        shown += [html.escape(text[end : word.start()]), _span(word.lastgroup or "", html.escape(word[0]))]
        end = word.end()
    shown.append(html.escape(text[end:]))
    return [Markup(line) for line in "".join(shown).split("\n")]


def _span(name: str, escaped: str) -> str:
    """What is so named, line by line."""
    lines = (f'<span class="{name}">{line}</span>' if line.strip() else line for line in escaped.split("\n"))
    return "\n".join(lines)
