"""What a trial came to, put together from what it knows at its end.

Owns the outcome of each way to end, and the notes that go with it. Measures nothing and decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.errors import AutoresearchError, KernelFailure
from pytest_lance_autoresearch.log.results import KEPT
from pytest_lance_autoresearch.machine import environment
from pytest_lance_autoresearch.records import (
    Calibration,
    Cause,
    Evidence,
    Figures,
    Judgement,
    KernelTimes,
    Outcome,
    Rules,
    Status,
)
from pytest_lance_autoresearch.verdict import aggregate, judge
from pytest_lance_autoresearch.words import report

if TYPE_CHECKING:
    from pytest_lance_autoresearch.log.gate import Gate
    from pytest_lance_autoresearch.target_files.load import Target


SHORT_CALL_NS = 50_000
"""A call that takes less is a warning: the runner's own cost, and how well it is known, matter too much."""
LEAST_WAIT_S = 1.0
"""Shorter waits are in the JSON, and no word about them."""


@dataclass(frozen=True)
class Facts:
    """What a trial knows at its end; each method is a way to end."""

    target: Target
    gate: Gate | None
    failures: Sequence[AutoresearchError]
    correct: int
    """Items that passed, ..."""
    items: int
    """... of those that a verdict needs."""
    seconds: float
    waited_s: float
    """For its turn to measure."""
    turn_fault: str
    """Why there were no turns, so that another trial may have measured at the same time; '' where there were."""
    evidence: Evidence
    times: KernelTimes | None
    """The candidate's; None where nothing was measured."""
    is_confined: bool
    of_hosts: tuple[str, ...] = ()
    """What a reader should know of the hosts that it was measured on."""

    @property
    def _kernels_run(self) -> int:
        """How many of the two have run: both beside each other, or the candidate for its correctness."""
        return 2 if self.times is not None else 1 if self.correct or self.failures else 0

    @property
    def is_complete(self) -> bool:
        return self.correct == self.items

    def ended(self, status: Status | None, reason: str) -> Outcome:
        """An end without figures."""
        confinement = () if self.is_confined else (report.NOT_CONFINED,)
        waited = report.waited(self.waited_s) if self.waited_s >= LEAST_WAIT_S else ""
        of_baseline = self.gate.notes_on(self._kernels_run) if self.gate and status is not None else ()
        is_exposed = self.gate is not None and self.target.is_imported_here
        exposed = report.imported_here(self.target.kernel.home.module) if is_exposed else ""
        notes = filter(
            None, [environment.missing(), waited, self.turn_fault, exposed, *of_baseline, *self.of_hosts]
        )
        makes_baseline = status in KEPT
        return Outcome(
            target=self.target.name,
            unit=self.target.wiring.UNIT,
            correct=self.correct,
            failed=len(self.failures),
            items=self.items,
            seconds=self.seconds,
            waited_s=self.waited_s,
            status=status,
            reason=reason,
            windows=aggregate.count_windows(self.evidence),
            baseline_trial=self.gate.row.trial if self.gate and self.gate.row else None,
            baseline_revision=str(self.gate.revision) if self.gate and self.gate.revision else "",
            gated=self.gate is not None,
            notes=(*notes, *(confinement if makes_baseline else ())),
            asides=() if makes_baseline else confinement,
        )

    def failed(self) -> Outcome:
        """The end of a trial in which something failed."""
        failure = _first(self.failures)
        return self.ended(status_of(failure), failed_reason(failure))

    def partial(self) -> Outcome:
        """The end of a trial of which not every item ran."""
        return self.unjudged(report.partial_reason(self.correct, self.items))

    def unjudged(self, reason: str) -> Outcome:
        """No verdict; figures only for a kernel whose every item passed: a wrong one has no time."""
        if self.failures:
            return self.ended(None, failed_reason(_first(self.failures)))
        figures = self._figures(self.times) if self.is_complete and self.times else None
        ended = self.ended(None, reason)
        notes = filter(None, [self._short_calls() if figures else ""])
        return replace(ended, figures=figures, notes=(*ended.notes, *notes))

    def standing(self, why: str, cause: Cause, rules: Rules) -> Outcome:
        """A candidate that nothing was measured of, since it is the baseline, or there is none of it."""
        verdict = judge.unchanged(rules)
        ended = self.ended(Status(verdict), f"{verdict}: {why}")
        return replace(ended, judgement=Judgement(verdict, cause))

    def judged(self, judgement: Judgement | None, rules: Rules, calibration: Calibration | None) -> Outcome:
        """A candidate that was measured; without a judgement it is the first baseline, or a new one."""
        assert self.gate is not None, "a verdict needs a gate"
        figures = self._figures(self.times) if self.times and self.times.cases else None
        if judgement is None:
            assert figures is not None, "a baseline needs times"
            absent_at = str(self.gate.revision) if self.gate.revision else ""
            reason = report.baseline_reason(figures, self.gate.newest, absent_at)
            ended = self.ended(Status.BASELINE, reason)
            notes = filter(None, [self._short_calls()])
            return replace(ended, figures=figures, notes=(*ended.notes, *notes))
        ended = self.ended(Status(judgement.verdict), report.judged_reason(judgement, figures, rules))
        calibrated = (report.calibration_note(calibration),) if calibration else ()
        return replace(
            ended,
            figures=figures,
            judgement=judgement,
            disturbance=aggregate.disturbance(self.evidence.pairs) if figures else None,
            notes=(*ended.notes, *self._share_note(judgement), *calibrated),
        )

    def _figures(self, times: KernelTimes) -> Figures:
        return aggregate.figures(self.target.wiring.UNIT, times)

    def _short_calls(self) -> str:
        """A note about cases whose calls are too short to be measured well; '' where there are none."""
        assert self.times is not None, "they were measured"
        calls_ns = {one.case: aggregate.case_ns_per_op(one) * one.ops_per_call for one in self.times.cases}
        short = {case: ns for case, ns in calls_ns.items() if ns < SHORT_CALL_NS}
        return report.short_calls(short) if short else ""

    def _share_note(self, judgement: Judgement) -> tuple[str, ...]:
        share = getattr(self.target.wiring, "COST_FRACTION", None)
        if share is None or judgement.speedup is None:
            return ()
        return (report.share_note(share, judgement.speedup),)


def status_of(failure: AutoresearchError) -> Status:
    """The end of a trial whose first failure it is."""
    return failure.status if isinstance(failure, KernelFailure) else Status.INVALID


def failed_reason(failure: AutoresearchError) -> str:
    return f"{status_of(failure)}: {failure.headline}"


def _first(failures: Sequence[AutoresearchError]) -> AutoresearchError:
    """The kernel's first failure, or else the first fault of its target."""
    kernels = (failure for failure in failures if isinstance(failure, KernelFailure))
    return next(kernels, failures[0])
