"""The measuring of a kernel that has no baseline.

Owns the windows of each case and the process that they ran in.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.bench import measure
from pytest_lance_autoresearch.bench.compiling import Compiling
from pytest_lance_autoresearch.bench.measurement import Measurement, about, at_once, refuse_lacking_cores
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.machine import environment
from pytest_lance_autoresearch.records import CaseTimes, Evidence, KernelTimes, Step
from pytest_lance_autoresearch.target_files import contract

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_lance_autoresearch.bench.measure import CasePlan
    from pytest_lance_autoresearch.bench.measurement import Show, Turn
    from pytest_lance_autoresearch.bench.process import KernelProcess
    from pytest_lance_autoresearch.bench.processes import Processes
    from pytest_lance_autoresearch.records import Case
    from pytest_lance_autoresearch.target_files.load import Target

WINDOWS = 24
"""Of each case."""
WINDOWS_BRIEF = 2
"""The same where a speed item is no more than a sign of life."""
_ALONE = "B"
"""The kernel's side: it is a candidate without a baseline."""


class Alone(Measurement):
    """One kernel, case by case, in a process of its own.

    A `brief` one is a sign of life: few windows, in the process that checks, wherever the system puts it.
    """

    def __init__(
        self,
        target: Target,
        cases: Sequence[Case],
        processes: Processes,
        show: Show,
        turn: Turn = at_once,
        *,
        brief: bool = False,
    ) -> None:
        if not brief:
            refuse_lacking_cores(target)
        self._target = target
        self._cases = cases
        self._processes = processes
        self._show = show
        self._turn = turn
        self._packer = wire.Packer()
        self._brief = brief
        self._compiling = Compiling(processes)
        self._prepared: list[CasePlan] = []
        """The plans of all cases, where they are made already."""
        self._times: dict[str, CaseTimes] = {}
        self._peak_rss_bytes = 0

    def prepare(self, state_of: Callable[[Case], Any], seed: int) -> None:
        """Let the kernel compile."""
        plans = self._plans(state_of, seed)
        self._compiling.begin({_ALONE: self._target.kernel}, plans)
        self._prepared = plans

    def measure_case(self, case: Case, state_of: Callable[[Case], Any], seed: int) -> CaseTimes | None:
        """The case's windows; of a brief measurement, of this case alone."""
        if not self._brief:
            return super().measure_case(case, state_of, seed)
        with about(case.id):
            self._measure_briefly(case, self._plan(case, state_of, seed))
        return self.times(case)

    def measure_all(self, state_of: Callable[[Case], Any], seed: int) -> None:
        """Every case, one after the other."""
        plans, self._prepared = self._prepared or self._plans(state_of, seed), []
        null = self._processes.null()
        with closing(self._compiling.field({_ALONE: self._target.kernel}, plans)) as field:
            process = field.sides[_ALONE]
            with (
                self._turn(measure.expected_s(WINDOWS * len(plans))),
                environment.placed([null.pid, process.pid], self._target.threads),
            ):
                for case, plan in zip(self._cases, plans, strict=True):
                    with about(case.id):
                        self._measure(case, plan, process, WINDOWS)

    def times(self, case: Case) -> CaseTimes:
        return self._times[case.id]

    def _measure_briefly(self, case: Case, plan: CasePlan) -> None:
        """In the process that checks the kernel."""
        process = self._processes.timed_checker()
        side = {_ALONE: process}
        measure.bind(plan, side)
        measure.verify_first(plan, measure.call_once(plan, side))
        process.forget_warm_up()
        self._measure(case, plan, process, WINDOWS_BRIEF)

    def _measure(self, case: Case, plan: CasePlan, process: KernelProcess, windows: int) -> None:
        """The windows of a case to which the kernel has answered once."""
        measure.size(plan, {_ALONE: process}, self._processes.null())
        self._show(case.id, Step(len(self._times) + 1, len(self._cases)), None)
        measured = measure.measure_alone(plan, process, windows)
        self._peak_rss_bytes = max(self._peak_rss_bytes, process.peak_rss_bytes())
        ops = contract.ops_per_call(self._target, case)
        self._times[case.id] = CaseTimes(case.id, ops, plan.call_overhead_ns, measured)

    def _plans(self, state_of: Callable[[Case], Any], seed: int) -> list[CasePlan]:
        return [self._plan(case, state_of, seed) for case in self._cases]

    def _plan(self, case: Case, state_of: Callable[[Case], Any], seed: int) -> CasePlan:
        return measure.plan_of(self._target, case, state_of(case), seed, "timed", self._packer)

    def decide(self, seconds: Callable[[], float], seed: int) -> None:
        """There is nothing to compare with."""

    def candidate(self) -> KernelTimes:
        """The windows of every case measured so far, and the largest peak."""
        return KernelTimes(tuple(self._times.values()), self._peak_rss_bytes)

    def evidence(self) -> Evidence:
        """The same, for the archive."""
        target = self._target
        return Evidence(target.kernel.code_size, alone=self.candidate(), threads=target.threads)
