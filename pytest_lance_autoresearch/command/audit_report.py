"""The words about claims that are measured again: what is to come, each of them, and the end.

Owns these sentences. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.words.wording import about, many, times

if TYPE_CHECKING:
    from pytest_lance_autoresearch.runs.replay import Planned, Replayed


def beforehand(plan: Sequence[Planned], pairs: int, expected_s: float | None) -> Iterator[str]:
    """What an audit is going to measure, how long that takes, and what it need not measure."""
    to_measure, known = sum(one.is_open for one in plan), sum(one.known is not None for one in plan)
    if to_measure:
        takes = "no trial says how long that takes" if expected_s is None else f"that takes {about(expected_s)}"
        yield f"{many(to_measure, 'claim')} to measure, in {pairs} pairs of processes each: {takes}"
    if known:
        yield f"{many(known, 'claim')} measured before, and not measured again; --again measures everything"


def replayed(found: Replayed) -> str:
    """A claim and what was measured now, or before."""
    claimed = f"{found.what}: claimed {times(found.claimed)}"
    if found.measured is None:
        return f"{claimed}; could not be measured again: {found.fault}"
    word = "replicates" if found.replicates else "DOES NOT REPLICATE"
    earlier = f"; measured at {found.time}" if found.time else ""
    return f"{claimed}, measured {times(found.measured)}: {word}{earlier}"


def unkept(found: Replayed) -> str:
    """A measurement that the next audit has to make again."""
    return f"{found.what} was measured, but the next audit will not know of it: {found.unkept}"


def audited(found: Sequence[Replayed]) -> str:
    """The end of an audit; a claim that could not be measured is neither replicated nor refuted."""
    if not found:
        return "nothing was kept since the baseline; there is nothing to measure again"
    measured = [one.replicates for one in found if one.measured is not None]
    refuted, missed = measured.count(False), len(found) - len(measured)
    before = sum(bool(one.time) for one in found)
    if refuted:
        end = f"{refuted} {'does' if refuted == 1 else 'do'} not replicate"
    elif missed:
        end = "all that were measured replicate" if measured else "nothing could be measured"
    else:
        end = "all replicate"
    of_them = f", {before} of them before" if before else ""
    not_measured = f", {missed} could not be" if missed else ""
    return f"{end}: {many(len(measured), 'claim')} measured again{of_them}{not_measured}"


def broken_off(found: Sequence[Replayed], of: int) -> str:
    """What there is of an audit that was interrupted."""
    kept = sum(one.measured is not None and not one.unkept for one in found)
    if not kept:
        return f"none of {many(of, 'claim')} was measured to its end, and nothing was kept"
    were = "was" if kept == 1 else "were"
    return f"{kept} of {many(of, 'claim')} {were} measured and kept; the same command measures the others"
