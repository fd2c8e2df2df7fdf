"""What this host can tell apart: a kernel against itself, and against itself with a known slow-down.

Owns the runs of a calibration and the figures made of them. Each run is what the first look of a verdict sees: one
pair of fresh processes over every timed case.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch import aggregate, clocks, environment, report, stats
from pytest_lance_autoresearch.comparison import Comparison
from pytest_lance_autoresearch.errors import TargetError
from pytest_lance_autoresearch.measure import NO_HANDICAP, Handicap
from pytest_lance_autoresearch.records import Calibration, Case, Interval, PairRecord, Rules

if TYPE_CHECKING:
    from pytest_lance_autoresearch.load import Target
    from pytest_lance_autoresearch.workbench import Workbench

INJECTED = 0.02
"""The known slow-down, as a fraction."""
RUNS = 20
"""Of either kind, unless the time budget ends first."""
LEAST_RUNS = 3
"""Fewer tell nothing."""
_ALPHA = 0.05


@dataclass(frozen=True)
class Run:
    """One pair of processes, as it was measured."""

    pair: PairRecord
    overhead_ns: Mapping[str, float]
    seconds: float

    def log_ratios(self) -> dict[str, list[float]]:
        return aggregate.log_ratios(self.pair, self.overhead_ns)


def measure_run(
    target: Target,
    workbench: Workbench,
    states: Mapping[Case, Any],
    seed: int,
    handicap: Callable[[Case], Handicap] = lambda _: NO_HANDICAP,
) -> Run:
    """The target's kernel against itself, in one pair of fresh processes."""
    start_s = clocks.now_s()
    comparison = Comparison(target, target.kernel, Rules(), workbench, lambda *_: None, handicap)
    for case, state in states.items():
        comparison.measure_case(case, state, seed)
    comparison.end()
    (pair,) = comparison.pairs()
    return Run(pair, comparison.overhead_ns(), clocks.now_s() - start_s)


def calibrate(
    target: Target,
    workbench: Workbench,
    states: Mapping[Case, Any],
    seed: int,
    is_over: Callable[[], bool],
    show: Callable[[str, int, int, Interval | None], None],
) -> Calibration:
    """Runs of both kinds in turn until there are `RUNS`, or `is_over`; TargetError when the time does not move."""
    itself: list[Run] = []
    slowed: list[Run] = []
    while len(slowed) < RUNS and not (len(slowed) >= LEAST_RUNS and is_over()):
        show("calibrating", len(slowed) + 1, RUNS, None)
        itself.append(measure_run(target, workbench, states, seed + 2 * len(itself)))
        slowed.append(measure_run(target, workbench, states, seed + 2 * len(slowed) + 1, _slowed))
    _refuse_unmoved(target, slowed)
    return summarise(target.name, environment.host(), itself, slowed)


def _slowed(_: Case) -> Handicap:
    return Handicap(baseline=0.0, candidate=INJECTED)


def summarise(target: str, host: str, itself: Sequence[Run], slowed: Sequence[Run]) -> Calibration:
    """The figures of a calibration; pure but for the time that it is given."""
    estimates = [stats.overall([run.log_ratios()]) for run in itself]
    of_slowed = [stats.overall([run.log_ratios()], Rules().process_sd) for run in slowed]
    square = statistics.fmean(estimate.point**2 for estimate in estimates)
    within = statistics.fmean(estimate.se**2 for estimate in estimates)
    normal_95 = statistics.NormalDist().inv_cdf(1 - _ALPHA / 2)
    return Calibration(
        target=target,
        host=host,
        time=clocks.utc(),
        runs=len(itself),
        seconds=statistics.median(run.seconds for run in itself),
        resolution=normal_95 * math.sqrt(square),
        process_sd=math.sqrt(max(0.0, square - within)),
        injected=INJECTED,
        seen=sum(estimate.interval(_ALPHA).high < 0 for estimate in of_slowed),
        measured=math.expm1(-statistics.fmean(estimate.point for estimate in of_slowed)),
    )


def widened(rules: Rules, known: Calibration | None, target: str) -> Rules:
    """The rules, with intervals that allow for what processes on this host differ by, if that is more."""
    if known is None or known.target != target:
        return rules
    return replace(rules, process_sd=max(rules.process_sd, known.process_sd))


def _refuse_unmoved(target: Target, slowed: Sequence[Run]) -> None:
    """A case whose time moves by less than half of what its kernel was slowed by does not measure the kernel."""
    cases = slowed[0].overhead_ns
    for case in cases:
        ratios = [ratio for run in slowed for ratio in run.log_ratios()[case]]
        moved = stats.median_interval([-ratio for ratio in ratios], _ALPHA / len(cases))
        if moved.high < math.log1p(INJECTED) / 2:
            raise TargetError(report.unmoved(target.name, case, math.expm1(moved.point), INJECTED))
