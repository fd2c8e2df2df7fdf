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


def table(found: Tournament) -> list[str]:
    """A line for each candidate, the best first."""
    head = ("rank", "candidate", "trial", "status", "speedup", "why")
    body = [
        (str(rank), name, _number(outcome), report.verdict_word(outcome), _speedup(outcome), outcome.reason)
        for rank, (name, outcome) in enumerate(found.outcomes.items(), 1)
    ]
    lines = [head, *body]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


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
