"""A paired measurement of candidate and baseline, until `judge` has decided.

Owns the pairs of worker processes and the blocks they produced; each look after the first adds a fresh pair.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.bench import measure
from pytest_lance_autoresearch.bench.oracles import Oracle
from pytest_lance_autoresearch.machine import clocks, environment
from pytest_lance_autoresearch.records import (
    Block,
    Case,
    CaseTimes,
    Evidence,
    Interval,
    Judgement,
    KernelTimes,
    Pair,
    Rules,
    Source,
    Step,
    Verdict,
)
from pytest_lance_autoresearch.target_files import contract, generate
from pytest_lance_autoresearch.verdict import aggregate, judge

if TYPE_CHECKING:
    from pytest_lance_autoresearch.bench.measurement import Show
    from pytest_lance_autoresearch.bench.process import KernelProcess
    from pytest_lance_autoresearch.bench.processes import Processes
    from pytest_lance_autoresearch.target_files.load import Target

_CHOICE = random.SystemRandom()


@dataclass
class _Sides:
    """One pair of processes, with what was measured in it so far."""

    baseline: KernelProcess
    candidate: KernelProcess
    started_s: float
    blocks: list[Block] = field(default_factory=list)
    call_overhead_ns: dict[str, float] = field(default_factory=dict)
    peaks: tuple[int, int] = (0, 0)
    """Bytes of the baseline's process and of the candidate's, read after each case."""
    seconds: float = 0.0

    def note(self, case: str, call_overhead_ns: float) -> None:
        """Read from the system what is known of the pair once a case is measured."""
        self.call_overhead_ns[case] = call_overhead_ns
        self.peaks = self.baseline.peak_rss_bytes(), self.candidate.peak_rss_bytes()
        self.seconds = clocks.now_s() - self.started_s

    def record(self) -> Pair:
        return Pair(tuple(self.blocks), dict(self.call_overhead_ns), *self.peaks, self.seconds)

    def by_letter(self) -> dict[str, KernelProcess]:
        """'A' is the baseline, 'B' the candidate."""
        return {"A": self.baseline, "B": self.candidate}

    def close(self) -> None:
        self.baseline.close()
        self.candidate.close()


class Comparison:
    """Candidate against baseline over the timed cases of one target."""

    def __init__(
        self,
        target: Target,
        baseline: Source,
        rules: Rules,
        processes: Processes,
        show: Show,
        handicap: Callable[[Case], measure.Handicap] = lambda _: measure.NO_HANDICAP,
    ) -> None:
        self._target = target
        self._baseline = baseline
        self._rules = rules
        self._processes = processes
        self._show = show
        self._handicap = handicap
        self._looks = 0
        self._seconds = 0.0
        """Of the trial, at the last look."""
        self._so_far: Interval | None = None
        """The speed-up at the last look, for whoever watches."""
        self._sides: _Sides | None = None
        self._ended: list[Pair] = []
        self._ops_per_call: dict[str, float] = {}

    def measure_case(self, case: Case, state: Any, seed: int) -> CaseTimes:
        """The case's blocks in the first pair of processes; returns the candidate's windows."""
        if self._sides is None:
            self._sides = self._new_sides()
        self._measure(self._sides, case, state, seed, "timed")
        self._ops_per_call[case.id] = contract.ops_per_call(self._target, case)
        return self._times(self.pairs()[0], case.id)

    def decide(self, timed: Sequence[Case], seconds: Callable[[], float], seed: int) -> Judgement:
        """Look, measure again while the look asks for it, look again; ends with a verdict."""
        while True:
            self._looks, self._seconds = self._looks + 1, seconds()
            judgement = judge.look(self.evidence(), self._rules)
            if judgement.verdict is not Verdict.UNDECIDED:
                return judgement
            self._so_far = judgement.speedup
            self._show("measuring again in fresh processes", None, self._so_far)
            self.measure_again(timed, seed, lambda: seconds() >= self._rules.max_seconds)

    def measure_again(self, timed: Sequence[Case], seed: int, is_over: Callable[[], bool] = lambda: False) -> None:
        """Another pair of processes, with states and calls that no process has seen, at hidden sizes.

        In the second pair many answers are verified. A pair that is over before its end counts for nothing.
        """
        self.end()
        number = len(self._ended) + 1
        sides = self._new_sides()
        for case in timed:
            if is_over():
                sides.close()
                return
            stream = f"look {number}"
            state = generate.make_hidden_state(self._target, case, seed, stream)
            self._measure(sides, case, state, seed, stream, thorough=number == judge.PAIRS_FOR_KEEP)
        self._sides = sides

    def end(self) -> None:
        """End the present pair of processes; what it measured stays."""
        if self._sides is not None:
            self._ended.append(self._sides.record())
            self._sides.close()
            self._sides = None

    def pairs(self) -> tuple[Pair, ...]:
        """Everything measured so far, one record per pair of processes."""
        return (*self._ended, *([self._sides.record()] if self._sides else []))

    def candidate(self) -> KernelTimes:
        """The candidate's windows at the published sizes, that is in the first pair, and its largest peak."""
        pairs = self.pairs()
        peak = max((pair.candidate_peak_rss_bytes for pair in pairs), default=None)
        return KernelTimes(tuple(self._times(pairs[0], case) for case in self._ops_per_call), peak)

    def evidence(self) -> Evidence:
        """What the next look sees, or the last one saw."""
        sizes = self._target.kernel.code_size, self._baseline.code_size
        return Evidence(*sizes, self.pairs(), looks=self._looks, seconds=self._seconds)

    def goes_on(self) -> bool:
        """All cases are measured in the same pair, and deciding may take further ones."""
        return self._sides is not None

    def _times(self, pair: Pair, case_id: str) -> CaseTimes:
        blocks = (block for block in pair.blocks if block.case == case_id)
        windows = tuple(window for block in blocks for window in block.side("B"))
        return CaseTimes(case_id, self._ops_per_call[case_id], pair.call_overhead_ns[case_id], windows)

    def _measure(
        self, sides: _Sides, case: Case, state: Any, seed: int, stream: str, *, thorough: bool = False
    ) -> None:
        """Blocks of one case until enough are undisturbed; at most as many again are set aside."""
        wanted, undisturbed = self._rules.blocks, 0
        null = self._processes.null()
        with environment.placed([null.pid, sides.baseline.pid, sides.candidate.pid]):
            plan = self._plan(sides, null, case, state, seed, stream)
            for _ in range(2 * wanted):
                self._show(case.id, Step(undisturbed, wanted), self._so_far)
                block = measure.measure_block(plan, sides.by_letter(), thorough=thorough)
                sides.blocks.append(block)
                undisturbed += not aggregate.is_disturbed(block)
                if undisturbed == wanted:
                    break
        sides.note(case.id, plan.call_overhead_ns)

    def _plan(
        self, sides: _Sides, null: KernelProcess, case: Case, state: Any, seed: int, stream: str
    ) -> measure.CasePlan:
        feed = generate.Feed(self._target, case, state, seed, stream)
        oracle = Oracle(self._target, state)
        text = generate.pickled(self._target, state)
        handicap = self._handicap(case)
        return measure.plan_case(case.id, text, oracle, feed, null, sides.by_letter(), handicap)

    def _new_sides(self) -> _Sides:
        """A fresh pair, started in random order, so that being first favours neither side."""
        started_s = clocks.now_s()
        started: dict[bool, KernelProcess] = {}
        for is_baseline in _CHOICE.sample((True, False), 2):
            with measure.blaming_baseline(is_baseline=is_baseline):
                started[is_baseline] = self._processes.start(
                    self._baseline if is_baseline else self._target.kernel
                )
        return _Sides(started[True], started[False], started_s)
