"""A paired measurement of candidate and baseline, until `judge` has decided.

Owns the looks: what each is measured over, the pairs of worker processes that it takes, and what comes before the
first of its windows. Each pair is short; it is the pairs that tell how far a result may be trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.bench import measure
from pytest_lance_autoresearch.bench.measurement import Measurement, about, at_once, refuse_lacking_cores
from pytest_lance_autoresearch.bench.oracles import Oracle
from pytest_lance_autoresearch.bench.pairs import KernelPair
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.machine import environment
from pytest_lance_autoresearch.records import (
    Case,
    CaseTimes,
    Evidence,
    Extent,
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
from pytest_lance_autoresearch.verdict import aggregate, judge, view

if TYPE_CHECKING:
    from pytest_lance_autoresearch.bench.measure import CasePlan, Handicap
    from pytest_lance_autoresearch.bench.measurement import Show, Turn
    from pytest_lance_autoresearch.bench.processes import Processes
    from pytest_lance_autoresearch.bench.scratch import Compiled
    from pytest_lance_autoresearch.target_files.load import Target


class Comparison(Measurement):
    """Candidate against baseline over the timed cases of one target."""

    def __init__(
        self,
        target: Target,
        baseline: Source,
        cases: Sequence[Case],
        rules: Rules,
        processes: Processes,
        show: Show,
        turn: Turn = at_once,
        handicap: Callable[[Case], Handicap] = lambda _: measure.NO_HANDICAP,
    ) -> None:
        refuse_lacking_cores(target)
        self._target = target
        self._baseline = baseline
        self._cases = cases
        self._rules = rules
        self._processes = processes
        self._show = show
        self._turn = turn
        self._handicap = handicap
        self._packer = wire.Packer()
        self._compiled: dict[str, Compiled] = {}
        """By side, once it is known."""
        self._data_sets = 1
        """Published and hidden ones that were measured over; one for each look."""
        self._looks = 0
        self._seconds = 0.0
        """Of the trial, at the last look."""
        self._so_far: Interval | None = None
        """The speed-up at the last look, for whoever watches."""
        self._pairs: list[Pair] = []

    def measure_all(self, state_of: Callable[[Case], Any], seed: int) -> None:
        """The first look: compile both kernels, refuse what a candidate must not cost, measure all cases."""
        plans = self._plans({case: state_of(case) for case in self._cases}, seed, "timed")
        self._compile(plans)
        with self._first_pair(plans) as pair:
            self.refusal = judge.refusal(self._evidence_of(pair), self._rules)
            if self.refusal is None:
                self._look(plans, pair)
            else:
                self._pairs.append(pair.record())

    def times(self, case: Case) -> CaseTimes:
        """In the pairs of the first look."""
        pairs = self._pairs[: self._rules.pairs]
        blocks = (block for pair in pairs for block in pair.blocks if block.case == case.id)
        windows = tuple(window for block in blocks for window in block.side("B"))
        ops = contract.ops_per_call(self._target, case)
        return CaseTimes(case.id, ops, pairs[0].call_overhead_ns[case.id], windows)

    def decide(self, seconds: Callable[[], float], seed: int) -> Judgement:
        """Look, measure again while the look asks for it, look again; ends with a verdict."""
        while self.refusal is None:
            self._looks, self._seconds = self._looks + 1, seconds()
            judgement = judge.look(self.evidence(), self._rules)
            if judgement.verdict is not Verdict.UNDECIDED:
                return judgement
            self._so_far = judgement.speedup
            self._show(_again(judge.open_cases(judgement, self._rules)), None, self._so_far)
            extent = judge.next_look(judgement, self._rules)
            self.measure_again(seed, extent, lambda: seconds() >= self._rules.max_seconds)
        return self.refusal

    def measure_again(
        self, seed: int, extent: Extent | None = None, is_over: Callable[[], bool] = lambda: False
    ) -> None:
        """The pairs of another look, over states and with calls that no process has seen, at hidden sizes.

        `extent` is the first look's, unless it is given. In the second look many answers are verified. A pair that
        is over before its end counts for nothing.
        """
        self._data_sets += 1
        number = self._data_sets
        stream = f"look {number}"
        states = {case: generate.make_hidden_state(self._target, case, seed, stream) for case in self._cases}
        plans = self._plans(states, seed, stream)
        with self._first_pair(plans) as pair:
            self._look(plans, pair, extent, is_over, thorough=number == view.LEAST_LOOKS)

    def pairs(self) -> tuple[Pair, ...]:
        """Everything measured so far."""
        return tuple(self._pairs)

    def candidate(self) -> KernelTimes:
        """The candidate's windows at the published sizes, that is in the first look, and its largest peak."""
        is_measured = any(pair.blocks for pair in self._pairs)
        peak = max((pair.candidate_peak_rss_bytes for pair in self._pairs), default=None)
        return KernelTimes(tuple(map(self.times, self._cases)) if is_measured else (), peak)

    def evidence(self) -> Evidence:
        """What the next look sees, or the last one saw."""
        sizes = self._target.kernel.code_size, self._baseline.code_size
        pairs, threads = self.pairs(), self._target.threads
        return Evidence(*sizes, pairs, looks=self._looks, seconds=self._seconds, threads=threads)

    def _evidence_of(self, pair: KernelPair) -> Evidence:
        return replace(self.evidence(), pairs=(pair.record(),))

    def _plans(self, states: Mapping[Case, Any], seed: int, stream: str) -> list[CasePlan]:
        return [self._plan(case, state, seed, stream) for case, state in states.items()]

    def _plan(self, case: Case, state: Any, seed: int, stream: str) -> CasePlan:
        feed = generate.Feed(self._target, case, state, seed, stream)
        return measure.new_plan(case.id, Oracle(self._target, state), feed, self._packer, self._handicap(case))

    def _compile(self, plans: Sequence[CasePlan]) -> None:
        """Let both kernels compile in processes of their own, whose code all later ones take over.

        So a kernel is compiled once, and neither its memory nor its building is charged for that.
        """
        with self._pair(plans) as pair:
            self._compiled = pair.compiled()

    @contextmanager
    def _pair(self, plans: Sequence[CasePlan]) -> Iterator[KernelPair]:
        """A fresh pair of processes, ended afterwards."""
        sources = self._baseline, self._target.kernel
        pair = KernelPair.start(self._processes, *sources, plans, self._compiled)
        try:
            yield pair
        finally:
            pair.close()

    @contextmanager
    def _first_pair(self, plans: Sequence[CasePlan]) -> Iterator[KernelPair]:
        """The first pair of a look, with what building takes."""
        with self._pair(plans) as pair:
            self._processes.null()
            pair.price_building(plans)
            yield pair

    def _look(
        self,
        plans: Sequence[CasePlan],
        first: KernelPair,
        extent: Extent | None = None,
        is_over: Callable[[], bool] = lambda: False,
        *,
        thorough: bool = False,
    ) -> None:
        """The look's pairs, one after the other, in one turn; the first of them is ready, and ends as they do."""
        pairs, blocks = extent or Extent(self._rules.pairs, {plan.key: self._rules.blocks for plan in plans})
        with self._turn(measure.expected_s(4 * sum(blocks.values()) * pairs)):
            first.begin()
            for number in range(pairs):
                with closing(first) if number == 0 else self._pair(plans) as pair:
                    for plan in plans:
                        if is_over():
                            return
                        self._measure(pair, plan, blocks[plan.key], thorough=thorough)
                    self._pairs.append(pair.record())

    def _measure(self, pair: KernelPair, plan: CasePlan, wanted: int, *, thorough: bool) -> None:
        """Blocks of one case until enough are undisturbed; at most as many again are set aside."""
        null, undisturbed = self._processes.null(), 0
        with environment.placed([null.pid, *pair.pids()], self._target.threads), about(plan.key):
            pair.warm_up(plan, null)
            for _ in range(2 * wanted):
                self._show(plan.key, Step(undisturbed, wanted), self._so_far)
                block = measure.measure_block(plan, pair.sides, thorough=thorough)
                pair.blocks.append(block)
                undisturbed += not aggregate.is_disturbed(block)
                if undisturbed == wanted:
                    break
        pair.note(plan)


def _again(is_open: Sequence[str]) -> str:
    """What is done next, and for the sake of which cases."""
    what = "measuring again in fresh processes"
    if not is_open:
        return what
    more = f" and {len(is_open) - 1} more" if len(is_open) > 1 else ""
    return f"{what}, most of all {is_open[0]}{more}"
