"""What changed from one kernel to the next, line by line, with Python's words in their colours.

Owns how a difference is cut where it is long. Kernels are foreign text: what is no plain character is
spelt out.
"""

from __future__ import annotations

import difflib
import functools
import html
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from pygments import token
from pygments.lexers.python import PythonLexer

from pytest_lance_autoresearch.words import wording

MOST_LINES = 200
"""Of one difference on the page."""
MOST_BYTES = 2**18
"""Of a kernel that is compared at all."""
_DEFINITION = re.compile(r"@\w|def \w+\(|class \w+[(:]")
"""How the lines begin at which a kernel may be cut without a change of colours."""
_CLASSES = (
    (token.Comment, "comment"),
    (token.String, "string"),
    (token.Number, "numeral"),
    (token.Keyword, "keyword"),
    (token.Operator.Word, "keyword"),
    (token.Name.Function, "name"),
    (token.Name.Class, "name"),
    (token.Name.Decorator, "name"),
)


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
    lines = list(_unified(old, new, _coloured(old), _coloured(new)))
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


def _coloured(lines: Sequence[str]) -> list[Markup]:
    """Each line as HTML, definition by definition: few of a night's kernels are new from one keep to the next."""
    begins = [at for at, line in enumerate(lines) if _DEFINITION.match(line)]
    parts = itertools.pairwise(sorted({0, *begins, len(lines)}))
    return [shown for first, end in parts for shown in _coloured_part("\n".join(lines[first:end]))]


@functools.lru_cache(maxsize=1024)
def _coloured_part(text: str) -> list[Markup]:
    shown: list[list[str]] = [[]]
    for kind, piece in PythonLexer(stripnl=False, ensurenl=False).get_tokens(text):
        first, *others = html.escape(piece).split("\n")
        shown[-1].append(_span(kind, first))
        shown += [[_span(kind, part)] for part in others]
    return [Markup("".join(parts)) for parts in shown]


def _span(kind: token._TokenType, escaped: str) -> str:
    name = _class(kind) if escaped.strip() else ""
    return f'<span class="{name}">{escaped}</span>' if name else escaped


@functools.cache
def _class(kind: token._TokenType) -> str:
    return next((name for of, name in _CLASSES if kind in of), "")
