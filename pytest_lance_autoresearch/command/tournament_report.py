"""The words about a tournament: its table, its end, and what to type next.

Owns these sentences, and the JSON of a tournament. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.words import report, wording

if TYPE_CHECKING:
    from pytest_lance_autoresearch.records import Outcome, Tournament

JSON_SCHEMA = 1
_INDENT = " " * 6
"""Before a reason that stands below its candidate."""


def table(found: Tournament, columns: int | None) -> list[str]:
    """A line for each candidate, the best first, with its reason behind.

    Where so many columns have no room for that, the reason stands in a line below, and is cut to it.
    """
    head = ("rank", "candidate", "trial", "status", "speedup")
    body = [
        (str(rank), name, _number(outcome), report.verdict_word(outcome), _speedup(outcome))
        for rank, (name, outcome) in enumerate(found.outcomes.items(), 1)
    ]
    widths = [max(map(len, cells)) for cells in zip(head, *body, strict=True)]
    first, *rows = ["  ".join(map(str.ljust, line, widths)) for line in (head, *body)]
    lines = [f"{row}  {reason}".rstrip() for row, reason in zip(rows, _reasons(found), strict=True)]
    if columns is None or max(map(len, lines), default=0) <= columns:
        return [f"{first}  why", *lines]
    below = [f"{_INDENT}{wording.cut(reason, _room(columns))}" for reason in _reasons(found)]
    return [first.rstrip(), *(line.rstrip() for pair in zip(rows, below, strict=True) for line in pair)]


def cut_short(found: Tournament, columns: int | None) -> list[str]:
    """Where the rest of the reasons is that the table cuts; nothing where it cuts none."""
    is_cut = columns is not None and any(len(reason) > _room(columns) for reason in _reasons(found))
    return ["'show LOG N' says the whole reason of trial N"] if is_cut else []


def _room(columns: int) -> int:
    """Columns of a reason in a line of its own."""
    return max(len("..."), columns - len(_INDENT))


def _reasons(found: Tournament) -> list[str]:
    return [outcome.reason for outcome in found.outcomes.values()]


def _number(outcome: Outcome) -> str:
    return wording.NONE if outcome.trial is None else str(outcome.trial)


def _speedup(outcome: Outcome) -> str:
    """With its interval where it is a verdict's; of the rounds alone, about what it is."""
    judgement = outcome.judgement
    if judgement is None or judgement.speedup is None:
        return wording.NONE
    return f"about {judgement.speedup.point:.2f}" if judgement.race else wording.interval(judgement.speedup)


def ended(found: Tournament, log: Path) -> str:
    """Who won, and how its kernel is put into the target."""
    took = f"{wording.many(len(found.outcomes), 'candidate')} in {found.seconds:.0f} s"
    if found.waited_s >= 1:
        took += f" and {found.waited_s:.0f} s of waiting"
    if found.winner is None:
        return f"none was kept: {took}; the baseline stays"
    restore = f"python -m pytest_lance_autoresearch restore {wording.shown(log)}"
    return f"{found.winner} was kept: {took}; put it into the target: {restore}"


def as_json(target: str, found: Tournament) -> Mapping[str, Any]:
    """The tournament as plain JSON values, its outcomes as the gate writes them."""
    return {
        "schema": JSON_SCHEMA,
        "target": target,
        "winner": found.winner,
        "seconds": found.seconds,
        "waited_s": found.waited_s,
        "candidates": {name: report.as_json(outcome) for name, outcome in found.outcomes.items()},
    }
