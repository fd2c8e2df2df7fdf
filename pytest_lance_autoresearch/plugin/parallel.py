"""What xdist's workers found, each about the items that it ran, put together.

Owns the plain values that a worker sends, and the outcome that follows from all of them: correctness only, since
nothing is timed in parallel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from pytest_lance_autoresearch.records import Outcome
from pytest_lance_autoresearch.runs.conclusion import failed_reason
from pytest_lance_autoresearch.words import report

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_lance_autoresearch.runs.trial import Trial


class Share(TypedDict):
    """One worker's part in a target's trial."""

    target: str
    unit: str
    items: int
    """Of the whole target."""
    done: int
    seconds: float
    failures: list[str]
    """The first line of each."""


def share(trial: Trial) -> Share:
    """What this worker has to tell of a trial."""
    return Share(
        target=trial.target.name,
        unit=trial.target.wiring.UNIT,
        items=len(trial.expected()),
        done=trial.count_untimed(),
        seconds=trial.seconds(),
        failures=[failed_reason(failure) for failure in trial.failures],
    )


def outcomes(shares: Iterable[Share]) -> list[Outcome]:
    """One outcome for each target, by name; no item runs in two workers."""
    by_target: dict[str, list[Share]] = {}
    for one in shares:
        by_target.setdefault(one["target"], []).append(one)
    return [_outcome(by_target[name]) for name in sorted(by_target)]


def _outcome(shares: list[Share]) -> Outcome:
    failures = [failure for one in shares for failure in one["failures"]]
    return Outcome(
        target=shares[0]["target"],
        unit=shares[0]["unit"],
        correct=sum(one["done"] for one in shares),
        failed=len(failures),
        items=shares[0]["items"],
        seconds=max(one["seconds"] for one in shares),
        reason=failures[0] if failures else report.PARALLEL,
    )
