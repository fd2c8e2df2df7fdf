"""What LLVM remarked while it compiled: which loops have vectors, which have none and why.

Owns the reading of those remarks, found among whatever else a process wrote, and what they mean for whoever
edits the source.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from pytest_lance_autoresearch.assembly.listing import Place

MOST = 2000
"""Remarks that are read."""
_REMARK = re.compile(r"remark: ([^:]*/)?([^:/]+):(\d{1,7}):\d+: (\S.{0,300})")
"""As much of it as is worth showing."""

MEANINGS = (
    (
        "reorder floating-point operations",
        "a float sum keeps its order, one addition after the other: fastmath=True, or several sums side by side",
    ),
    (
        "could not determine number of loop iterations",
        "its number of passes is not known beforehand: `for` over a range with a fixed end, no break, no return",
    ),
    (
        "early exit",
        "it may end early: `for` over a range with a fixed end, no break, no return",
    ),
    (
        "cannot identify array bounds",
        "what it looks up might be what it stores: do one after the other, in two loops, or sum in a local",
    ),
    (
        "unsafe dependent memory operations",
        "it might write what it reads later: write to another array, or read beforehand",
    ),
    (
        "control flow cannot be substituted for a select",
        "one way through it stores or may fail, the other not: compute both values and choose one",
    ),
    (
        "loop control flow is not understood",
        "it has more than one way out, or a way out in its middle: one condition, at its head",
    ),
    (
        "value that could not be identified as reduction",
        "a value goes from each pass to the next, and is no plain sum, minimum or maximum: split it off, or go "
        "several ways at once",
    ),
    (
        "cost-model indicates that vectorization is not beneficial",
        "LLVM could and sees no gain: mostly because data do not lie side by side, or few passes are left",
    ),
    ("call instruction cannot be vectorized", "it calls something: inline it, or compute it without a call"),
    ("instruction return type cannot be vectorized", "it handles something that no vector holds"),
    (
        "loop may invalidate its value",
        "it reads the same place again in every pass, since a store might change it: read it into a local before",
    ),
)
"""What stands in a remark, and what that means."""
EXACT_MEANINGS = (
    (
        "reorder floating-point operations",
        "a float sum keeps its order, and must: every bit of a result is compared, so that neither fastmath nor "
        "several sums side by side can be right; let sums of different results run beside each other",
    ),
)
"""The same where every bit of a result is the contract."""


class Remark(NamedTuple):
    """One remark about a line of source."""

    place: Place
    text: str

    @property
    def is_vectorized(self) -> bool:
        return self.text.startswith("vectorized loop")

    @property
    def is_refusal(self) -> bool:
        """Whether it says why there are no vectors."""
        return self.text.startswith("loop not vectorized")

    @property
    def meaning(self) -> str:
        """In plain words; '' where it needs none or nobody knows."""
        return _meaning(self.text, MEANINGS)

    @property
    def exact_meaning(self) -> str:
        """The same where every bit of a result is the contract."""
        return _meaning(self.text, EXACT_MEANINGS) or self.meaning


def _meaning(text: str, known: Iterable[tuple[str, str]]) -> str:
    return next((meaning for said, meaning in known if said in text), "")


def read(text: str) -> list[Remark]:
    """Every remark once, in order; what has no line is left out."""
    found: dict[Remark, None] = {}
    for line in text.splitlines():
        said = _REMARK.match(line)
        if said and int(said[3]) and len(found) < MOST:
            found[Remark(Place(said[2], int(said[3])), said[4])] = None
    return list(found)


def about(remarks: Iterable[Remark], places: Iterable[Place]) -> list[Remark]:
    """Those about some lines, with a reason where there is one: 'loop not vectorized' alone says nothing.

    Where there are vectors, what could not be moved out of the loop before was mended later.
    """
    wanted = set(places)
    found = [remark for remark in remarks if remark.place in wanted]
    if any(remark.is_vectorized for remark in found):
        found = [remark for remark in found if remark.is_vectorized or remark.is_refusal]
    explained = [remark for remark in found if remark.meaning or remark.is_vectorized or ":" in remark.text]
    return explained or found
