"""A paired measurement of candidate and baseline, until `judge` has decided.

Owns the pairs of worker processes and the blocks they produced; each look after the first adds a fresh pair.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch import aggregate, cases, check, environment, judge, measure
from pytest_lance_autoresearch.records import (
    Block,
    Case,
    CaseTimes,
    Figures,
    Interval,
    Judgement,
    Kind,
    PairRecord,
    Rules,
    Source,
)

if TYPE_CHECKING:
    from pytest_lance_autoresearch.load import Target
    from pytest_lance_autoresearch.process import KernelProcess
    from pytest_lance_autoresearch.workbench import Workbench

_CHOICE = random.SystemRandom()
Show = Callable[[str, int, int, Interval | None], None]
"""Called with what is measured, how much of it is done, of how much, and the speed-up so far."""


@dataclass
class _Sides:
    """One pair of processes with its blocks so far."""

    baseline: KernelProcess
    candidate: KernelProcess
    blocks: list[Block] = field(default_factory=list)

    def record(self) -> PairRecord:
        return PairRecord(tuple(self.blocks), self.baseline.peak_rss_bytes(), self.candidate.peak_rss_bytes())


class Comparison:
    """Candidate against baseline over the timed cases of one target."""

    def __init__(
        self,
        target: Target,
        baseline: Source,
        rules: Rules,
        workbench: Workbench,
        show: Show,
        handicap: Callable[[Case], measure.Handicap] = lambda _: measure.NO_HANDICAP,
    ) -> None:
        self._target = target
        self._baseline = baseline
        self._rules = rules
        self._workbench = workbench
        self._show = show
        self._handicap = handicap
        self.looks = 0
        """Taken so far; what the confidence was spent on."""
        self._so_far: Interval | None = None
        """The speed-up at the last look, for whoever watches."""
        self._sides: _Sides | None = None
        self._ended: list[PairRecord] = []
        self._overhead_ns: dict[str, float] = {}
        self._ops_per_call: dict[str, float] = {}

    def measure_case(self, case: Case, state: Any, seed: int) -> CaseTimes:
        """The case's blocks in the first pair of processes; returns the candidate's windows."""
        if self._sides is None:
            self._sides = self._new_sides()
        bench = self._measure(self._sides, case, state, seed, "timed")
        self._overhead_ns[case.id] = bench.call_overhead_ns
        self._ops_per_call[case.id] = cases.ops_per_call(self._target, case)
        return self._times(case.id)

    def decide(self, timed: Sequence[Case], seconds: Callable[[], float], seed: int) -> Judgement:
        """Look, measure again while the look asks for it, look again; ends with a verdict."""
        while True:
            self.looks += 1
            judgement = judge.look(self._evidence(seconds()), self._rules)
            if judgement.kind is not Kind.MORE:
                return judgement
            self._so_far = judgement.speedup
            self._show("measuring again in fresh processes", 0, 0, self._so_far)
            self.measure_again(timed, seed, lambda: seconds() >= self._rules.max_seconds)

    def measure_again(self, timed: Sequence[Case], seed: int, is_over: Callable[[], bool] = lambda: False) -> None:
        """Another pair of processes, with states and calls that no process has seen, at hidden sizes.

        Its first repetition verifies many answers. A pair that is over before its end counts for nothing.
        """
        self.end()
        number = len(self._ended) + 1
        sides = self._new_sides()
        for case in timed:
            if is_over():
                return
            stream = f"look {number}"
            state = check.make_state(self._target, case, seed, hidden=stream)
            self._measure(sides, case, state, seed, stream, thorough=number == judge.PAIRS_FOR_KEEP)
        self._sides = sides

    def end(self) -> None:
        """End the present pair of processes; what it measured stays."""
        if self._sides is not None:
            self._ended.append(self._sides.record())
            self._sides.baseline.close()
            self._sides.candidate.close()
            self._sides = None

    def pairs(self) -> list[PairRecord]:
        """Everything measured so far, one record per pair of processes."""
        return [*self._ended, *([self._sides.record()] if self._sides else [])]

    def overhead_ns(self) -> dict[str, float]:
        """The runner's cost per call, by case."""
        return dict(self._overhead_ns)

    def candidate_figures(self) -> Figures:
        """The candidate's times at the published sizes, that is in the first pair, and its largest peak."""
        peak = max(pair.candidate_peak_rss_bytes for pair in self.pairs())
        times = [self._times(case) for case in self._overhead_ns]
        return aggregate.figures(self._target.wiring.UNIT, times, peak)

    def _times(self, case_id: str) -> CaseTimes:
        blocks = (block for block in self.pairs()[0].blocks if block.case == case_id)
        windows = tuple(window for block in blocks for window in block.side("B"))
        return CaseTimes(case_id, self._ops_per_call[case_id], self._overhead_ns[case_id], windows)

    def _evidence(self, seconds: float) -> judge.Evidence:
        sizes = self._baseline.code_size, self._target.kernel.code_size
        return judge.Evidence(self.pairs(), self._overhead_ns, *sizes, self.looks, seconds)

    def _measure(
        self, sides: _Sides, case: Case, state: Any, seed: int, stream: str, *, thorough: bool = False
    ) -> measure.Bench:
        """Blocks of one case until enough are undisturbed; at most as many again are set aside."""
        wanted, undisturbed = self._rules.blocks, 0
        null = self._workbench.null()
        with environment.placed([null.pid, sides.baseline.pid, sides.candidate.pid]):
            bench = self._plan(sides, null, case, state, seed, stream)
            for _ in range(2 * wanted):
                self._show(case.id, undisturbed, wanted, self._so_far)
                block = measure.measure_block(bench, sides.baseline, sides.candidate, thorough=thorough)
                sides.blocks.append(block)
                undisturbed += not aggregate.is_disturbed(block)
                if undisturbed == wanted:
                    break
        return bench

    def _plan(
        self, sides: _Sides, null: KernelProcess, case: Case, state: Any, seed: int, stream: str
    ) -> measure.Bench:
        feed = check.Feed(self._target, case, state, seed, stream)
        oracle = check.Oracle(self._target, state)
        text = check.pickled(self._target, state)
        handicap = self._handicap(case)
        return measure.plan_bench(case.id, text, oracle, feed, null, sides.candidate, sides.baseline, handicap)

    def _new_sides(self) -> _Sides:
        """A fresh pair, started in a drawn order, so that what comes of being first is no side's for good."""
        started: dict[bool, KernelProcess] = {}
        for is_baseline in _CHOICE.sample((True, False), 2):
            with measure.blaming_baseline(is_baseline=is_baseline):
                started[is_baseline] = self._workbench.start(
                    self._baseline if is_baseline else self._target.kernel
                )
        return _Sides(started[True], started[False])
