"""A paired measurement of candidate and baseline, until `judge` has decided.

Owns when there is another look at the two, and what the judge is shown.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.bench import measure
from pytest_lance_autoresearch.bench.looks import Looks
from pytest_lance_autoresearch.bench.measurement import Measurement, at_once
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
from pytest_lance_autoresearch.target_files import contract
from pytest_lance_autoresearch.verdict import judge, view

if TYPE_CHECKING:
    from pytest_lance_autoresearch.bench.measure import CasePlan, Handicap
    from pytest_lance_autoresearch.bench.measurement import Show, Turn
    from pytest_lance_autoresearch.bench.processes import Processes
    from pytest_lance_autoresearch.target_files.load import Target

_CANDIDATE = "B"
_LETTERS = (_CANDIDATE,)


class Judged(Measurement):
    """A candidate that is measured beside its baseline, look by look, until `judge` has decided."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._looks = 0
        self._seconds = 0.0
        """Of the trial, at the last look."""
        self._so_far: Interval | None = None
        """The speed-up at the last look, for whoever watches."""

    def decide(self, seconds: Callable[[], float], seed: int) -> Judgement:
        """Look, measure again while the look asks for it, look again; ends with a verdict."""
        while self.refusal is None:
            self._looks, self._seconds = self._looks + 1, seconds()
            judgement = judge.look(self.evidence(), self._rules)
            if judgement.verdict is not Verdict.UNDECIDED:
                return judgement
            self._so_far = judgement.speedup
            self._look_again(judgement, seconds, seed)
        return self.refusal

    @abstractmethod
    def _look_again(self, judgement: Judgement, seconds: Callable[[], float], seed: int) -> None:
        """Measure what this look leaves open."""


class Comparison(Judged):
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
        super().__init__(rules)
        self._target = target
        self._baseline = baseline
        self._cases = cases
        self._show = show
        sources = {measure.BASELINE: baseline, _CANDIDATE: target.kernel}
        self._fields = Looks(target, sources, cases, processes, self._show_block, turn, handicap)
        self._prepared: list[CasePlan] = []
        """The plans of the first look, where they are made already."""
        self._data_sets = 1
        """Published and hidden ones that were measured over; one for each look."""

    def prepare(self, state_of: Callable[[Case], Any], seed: int) -> None:
        """Let both kernels compile."""
        plans = self._fields.published(state_of, seed)
        self._fields.compile_ahead(plans, _LETTERS)
        self._prepared = plans

    def measure_all(self, state_of: Callable[[Case], Any], seed: int) -> None:
        """The first look: compile both kernels, refuse what a candidate must not cost, measure all cases."""
        plans, self._prepared = self._prepared or self._fields.published(state_of, seed), []
        with self._fields.first_field(plans, _LETTERS) as field:
            found = field.record()
            self.refusal = judge.refusal(replace(self.evidence(), pairs=tuple(found.values())), self._rules)
            if self.refusal is None:
                self._fields.measure(plans, field, _LETTERS, self._first_extent, narrowed=judge.narrowed)
            else:
                self._fields.add(found)

    def times(self, case: Case) -> CaseTimes:
        """In the pairs of the first look."""
        return times_of(self._target, case, self.pairs()[: self._rules.pairs])

    def _look_again(self, judgement: Judgement, seconds: Callable[[], float], seed: int) -> None:
        self._show(_again(judge.open_cases(judgement, self._rules)), None, self._so_far)
        extent = judge.next_look(judgement, self._rules)
        self.measure_again(seed, extent, lambda: seconds() >= self._rules.max_seconds)

    def measure_again(
        self, seed: int, extent: Extent | None = None, is_over: Callable[[], bool] = lambda: False
    ) -> None:
        """The pairs of another look, over states and with calls that no process has seen, at hidden sizes.

        `extent` is the first look's, unless it is given. In the second look many answers are verified. A pair that
        is over before its end counts for nothing.
        """
        self._data_sets += 1
        number = self._data_sets
        plans = self._fields.hidden(number, seed)
        thorough = number == view.LEAST_LOOKS
        with self._fields.first_field(plans, _LETTERS) as field:
            wanted = extent or self._first_extent
            self._fields.measure(plans, field, _LETTERS, wanted, is_over, thorough=thorough)

    def pairs(self) -> tuple[Pair, ...]:
        """Everything measured so far."""
        return self._fields.pairs(_CANDIDATE)

    def candidate(self) -> KernelTimes:
        """The candidate's windows at the published sizes, that is in the first look, and its largest peak."""
        return kernel_times(self.pairs(), self._cases, self.times)

    def evidence(self) -> Evidence:
        """What the next look sees, or the last one saw."""
        sizes = self._target.kernel.code_size, self._baseline.code_size
        pairs, threads = self.pairs(), self._target.threads
        return Evidence(*sizes, pairs, looks=self._looks, seconds=self._seconds, threads=threads)

    @property
    def _first_extent(self) -> Extent:
        return Extent(self._rules.pairs, {case.id: self._rules.blocks for case in self._cases})

    def _show_block(self, case: str, step: Step) -> None:
        self._show(case, step, self._so_far)


def times_of(target: Target, case: Case, pairs: Sequence[Pair]) -> CaseTimes:
    """The candidate's windows of a case in these pairs."""
    blocks = (block for pair in pairs for block in pair.blocks if block.case == case.id)
    windows = tuple(window for block in blocks for window in block.side("B"))
    ops = contract.ops_per_call(target, case)
    return CaseTimes(case.id, ops, pairs[0].call_overhead_ns[case.id], windows)


def kernel_times(pairs: Sequence[Pair], cases: Sequence[Case], times: Callable[[Case], CaseTimes]) -> KernelTimes:
    """The candidate's times of all cases, where any was measured, and its largest peak."""
    is_measured = any(pair.blocks for pair in pairs)
    peak = max((pair.candidate_peak_rss_bytes for pair in pairs), default=None)
    return KernelTimes(tuple(map(times, cases)) if is_measured else (), peak)


def _again(is_open: Sequence[str]) -> str:
    """What is done next, and for the sake of which cases."""
    what = "measuring again in fresh processes"
    if not is_open:
        return what
    more = f" and {len(is_open) - 1} more" if len(is_open) > 1 else ""
    return f"{what}, most of all {is_open[0]}{more}"
