"""The measuring of a kernel that has no baseline.

Owns the windows of each case and the process that they ran in.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.bench import measure
from pytest_lance_autoresearch.bench.oracles import Oracle
from pytest_lance_autoresearch.machine import environment
from pytest_lance_autoresearch.records import CaseTimes, Evidence, KernelTimes, Step
from pytest_lance_autoresearch.target_files import contract, generate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_lance_autoresearch.bench.measurement import Show
    from pytest_lance_autoresearch.bench.processes import Processes
    from pytest_lance_autoresearch.records import Case
    from pytest_lance_autoresearch.target_files.load import Target

WINDOWS = 24
"""Of each case."""
WINDOWS_BRIEF = 2
"""The same where a speed item is no more than a sign of life."""


class Alone:
    """One kernel, case by case, in a process of its own.

    A `brief` one is a sign of life: few windows, in the process that checks, wherever the system puts it.
    """

    def __init__(
        self, target: Target, processes: Processes, timed: int, show: Show, *, brief: bool = False
    ) -> None:
        self._target = target
        self._processes = processes
        self._timed = timed
        self._show = show
        self._brief = brief
        self._times: dict[str, CaseTimes] = {}
        self._peak_rss_bytes = 0

    def measure_case(self, case: Case, state: Any, seed: int) -> CaseTimes:
        """The case's windows."""
        process, null = self._processes.measured(shared=self._brief), self._processes.null()
        feed = generate.Feed(self._target, case, state, seed, "timed")
        text, oracle = generate.pickled(self._target, state), Oracle(self._target, state)
        with nullcontext() if self._brief else environment.placed([null.pid, process.pid]):
            plan = measure.plan_case(case.id, text, oracle, feed, null, {"B": process})
            self._show(case.id, Step(len(self._times) + 1, self._timed), None)
            windows = measure.measure_alone(plan, process, WINDOWS_BRIEF if self._brief else WINDOWS)
        self._peak_rss_bytes = max(self._peak_rss_bytes, process.peak_rss_bytes())
        ops = contract.ops_per_call(self._target, case)
        self._times[case.id] = CaseTimes(case.id, ops, plan.call_overhead_ns, windows)
        return self._times[case.id]

    def decide(self, timed: Sequence[Case], seconds: Callable[[], float], seed: int) -> None:
        """There is nothing to compare with."""

    def candidate(self) -> KernelTimes:
        """The windows of every case measured so far, and the largest peak."""
        return KernelTimes(tuple(self._times.values()), self._peak_rss_bytes)

    def evidence(self) -> Evidence:
        """The same, for the archive."""
        return Evidence(self._target.kernel.code_size, alone=self.candidate())

    def goes_on(self) -> bool:
        """Each case could have a process of its own."""
        return False
