"""A paired measurement of candidate and baseline, until `judge` has decided.

Owns the pairs of worker processes, the blocks they produced, and the renewal of a pair before a keep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch import aggregate, cases, check, environment, judge, measure, seeds
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

Show = Callable[[str, int, int, Interval | None], None]
"""Called with what is measured, how much of it is done, of how much, and the speed-up so far."""


@dataclass
class _Sides:
    """One pair of processes with its benches and its blocks so far."""

    baseline: KernelProcess
    candidate: KernelProcess
    benches: dict[str, measure.Bench] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    def run(self, bench: measure.Bench, *, thorough: bool = False) -> None:
        block = measure.measure_block(bench, self.baseline, self.candidate, thorough=thorough)
        self.blocks.append(block)

    def record(self) -> PairRecord:
        return PairRecord(tuple(self.blocks), self.baseline.peak_rss_bytes(), self.candidate.peak_rss_bytes())


class Comparison:
    """Candidate against baseline over the timed cases of one target."""

    def __init__(
        self,
        target: Target,
        baseline: Source,
        rules: Rules,
        start: Callable[[Source], KernelProcess],
        show: Show,
    ) -> None:
        self._target = target
        self._baseline = baseline
        self._rules = rules
        self._start = start
        self._show = show
        self.looks = 0
        """Taken so far; what the confidence was spent on."""
        self._sides: _Sides | None = None
        self._ended: list[PairRecord] = []
        self._overhead_ns: dict[str, float] = {}
        self._ops_per_call: dict[str, float] = {}

    def measure_case(self, case: Case, state: Any, seed: int) -> CaseTimes:
        """The case's blocks before the first look; returns the candidate's windows."""
        if self._sides is None:
            self._sides = self._new_sides()
        with self._placed(self._sides):
            bench = self._add_bench(self._sides, case, state, seed, "timed")
            for done in range(self._rules.first_blocks):
                self._show(case.id, done, self._rules.first_blocks, None)
                self._sides.run(bench)
        self._overhead_ns[case.id] = bench.call_overhead_ns
        self._ops_per_call[case.id] = cases.ops_per_call(self._target, case)
        return self._times(case.id)

    def decide(self, timed: Sequence[Case], seconds: Callable[[], float], seed: int | None) -> Judgement:
        """Look, measure what the look asks for, look again; ends with a verdict."""
        while True:
            self.looks += 1
            judgement = judge.look(self._evidence(seconds()), self._rules)
            if judgement.kind is Kind.RENEW:
                self._renew(timed, seeds.secret_seed() if seed is None else seed + 1)
            elif judgement.kind is Kind.MORE:
                self._more_blocks(judgement.speedup)
            else:
                return judgement

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

    def _more_blocks(self, speedup: Interval | None) -> None:
        """One more round over all cases in the newest pair, the cases in turn."""
        assert self._sides is not None
        total = self._rules.first_blocks
        with self._placed(self._sides):
            for done in range(total):
                for bench in self._sides.benches.values():
                    self._show(bench.key, done, total, speedup)
                    self._sides.run(bench)

    def _renew(self, timed: Sequence[Case], seed: int) -> None:
        """Confirm in fresh processes: states and calls of a new seed, hidden sizes, many answers verified."""
        assert self._sides is not None
        self._ended.append(self._sides.record())
        self._sides.baseline.end()
        self._sides.candidate.end()
        self._show("confirming in fresh processes", 0, 0, None)
        states = [check.make_state(self._target, case, seed, hidden=True) for case in timed]
        self._sides = self._new_sides()
        with self._placed(self._sides):
            for case, state in zip(timed, states, strict=True):
                bench = self._add_bench(self._sides, case, state, seed, "confirm")
                for done in range(self._rules.first_blocks):
                    self._show(f"confirming {case.id}", done, self._rules.first_blocks, None)
                    self._sides.run(bench, thorough=True)

    def _new_sides(self) -> _Sides:
        candidate = self._start(self._target.kernel)
        with measure.blaming_baseline(is_baseline=True):
            return _Sides(self._start(self._baseline), candidate)

    def _add_bench(self, sides: _Sides, case: Case, state: Any, seed: int, stream: str) -> measure.Bench:
        text = check.pickled(self._target, state)
        with measure.blaming_baseline(is_baseline=True):
            sides.baseline.bind(case.id, text)
        sides.candidate.bind(case.id, text)
        feed = check.Feed(self._target, case, state, seed, stream)
        oracle = check.Oracle(self._target, state)
        bench = measure.plan_bench(case.id, oracle, feed, sides.candidate, sides.baseline)
        sides.benches[case.id] = bench
        return bench

    def _placed(self, sides: _Sides) -> Any:
        return environment.placed([sides.baseline.pid, sides.candidate.pid])
