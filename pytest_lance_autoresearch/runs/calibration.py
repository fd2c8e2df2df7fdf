"""What this host can tell apart: a kernel against itself, and against itself with a known slow-down.

Owns the runs of a calibration and the figures made of them. Each run is what the first look of a verdict sees:
a few pairs of fresh processes over every timed case.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_lance_autoresearch.bench.comparison import Comparison
from pytest_lance_autoresearch.bench.measure import NO_HANDICAP, Handicap
from pytest_lance_autoresearch.errors import TargetError
from pytest_lance_autoresearch.machine import clocks, environment
from pytest_lance_autoresearch.records import Calibration, Case, Pair, Progress, Rules, Step
from pytest_lance_autoresearch.runs.pace import Pace
from pytest_lance_autoresearch.verdict import aggregate, stats
from pytest_lance_autoresearch.words import report

if TYPE_CHECKING:
    from pytest_lance_autoresearch.bench.measurement import Show
    from pytest_lance_autoresearch.bench.processes import Processes
    from pytest_lance_autoresearch.target_files.load import Target

INJECTED = 0.02
"""The known slow-down, as a fraction."""
RUNS = 20
"""Of either kind, unless the time budget ends first."""
LEAST_RUNS = 3
"""Fewer tell nothing."""
Run = Sequence[Pair]
"""The pairs of one look."""
_ALPHA = 0.05


class Budget(NamedTuple):
    """The time that a calibration may take; one under way is finished."""

    seconds: Callable[[], float]
    """Used so far."""
    max_seconds: float

    def left_s(self) -> float:
        return max(0.0, self.max_seconds - self.seconds())


def measure_run(
    target: Target,
    processes: Processes,
    states: Mapping[Case, Any],
    seed: int,
    handicap: Callable[[Case], Handicap] = lambda _: NO_HANDICAP,
    show: Show = lambda *_: None,
) -> Run:
    """The target's kernel against itself, in the pairs of one look."""
    comparison = Comparison(target, target.kernel, list(states), Rules(), processes, show, handicap=handicap)
    comparison.measure_all(lambda case: states[case], seed)
    return comparison.pairs()


def calibrate(
    target: Target,
    processes: Processes,
    states: Mapping[Case, Any],
    seed: int,
    budget: Budget,
    watch: Callable[[Progress], None],
) -> Calibration:
    """Runs of both kinds in turn until there are `RUNS`, or the time is over; TargetError when no time moves."""
    itself: list[Run] = []
    slowed: list[Run] = []
    every, least = (Pace([1.0] * runs, budget.seconds, is_measured=False) for runs in (RUNS, LEAST_RUNS))

    def show(*_: object) -> None:
        step, left_s = Step(len(slowed) + 1, RUNS), _left_s(every, least, budget)
        watch(Progress(target.name, "calibrating", step, None, budget.seconds(), left_s=left_s))

    while len(slowed) < RUNS and not (len(slowed) >= LEAST_RUNS and not budget.left_s()):
        show()
        itself.append(measure_run(target, processes, states, seed + 2 * len(itself), show=show))
        slowed.append(measure_run(target, processes, states, seed + 2 * len(slowed) + 1, _slowed, show))
        every.step_is_done()
        least.step_is_done()
    _refuse_unmoved(target, slowed)
    return summarise(target.name, environment.host(), itself, slowed)


def _left_s(every: Pace, least: Pace, budget: Budget) -> float | None:
    """Until all runs are done, or the time is over and the least of them are."""
    of_every, of_least = every.left_s(), least.left_s()
    if of_every is None or of_least is None:
        return None
    return min(of_every, max(of_least, budget.left_s()))


def _slowed(_: Case) -> Handicap:
    return Handicap(baseline=0.0, candidate=INJECTED)


def summarise(target: str, host: str, itself: Sequence[Run], slowed: Sequence[Run]) -> Calibration:
    """The figures of a calibration; pure but for the time that it is given."""
    ratios, ratios_of_slowed = (
        [list(map(aggregate.log_ratios, run)) for run in runs] for runs in (itself, slowed)
    )
    estimates, of_slowed = list(map(stats.overall, ratios)), list(map(stats.overall, ratios_of_slowed))
    square = statistics.fmean(estimate.point**2 for estimate in estimates)
    normal_95 = statistics.NormalDist().inv_cdf(1 - _ALPHA / 2)
    return Calibration(
        target=target,
        host=host,
        time=clocks.utc(),
        runs=len(itself),
        seconds=statistics.median(math.fsum(pair.seconds or 0.0 for pair in run) for run in itself),
        resolution=normal_95 * math.sqrt(square),
        pair_sd=stats.pooled_sd(ratios),
        injected=INJECTED,
        seen=sum(estimate.interval(_ALPHA).high < 0 for estimate in of_slowed),
        measured=math.expm1(-statistics.fmean(estimate.point for estimate in of_slowed)),
    )


def _refuse_unmoved(target: Target, slowed: Sequence[Run]) -> None:
    """A case whose time moves by less than half of what its kernel was slowed by does not measure the kernel."""
    cases = slowed[0][0].call_overhead_ns
    for case in cases:
        ratios = [ratio for run in slowed for pair in run for ratio in aggregate.log_ratios(pair)[case]]
        moved = stats.median_interval([-ratio for ratio in ratios], _ALPHA / len(cases))
        if moved.high < math.log1p(INJECTED) / 2:
            raise TargetError(report.unmoved(target.name, case, math.expm1(moved.point), INJECTED))
