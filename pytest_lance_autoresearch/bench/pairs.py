"""A pair of worker processes, the baseline's and the candidate's, and what is measured in it.

Owns what happens to both sides before their first window: starting, compiling, building, the first call. All of it
happens to one as it happens to the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.bench import measure
from pytest_lance_autoresearch.bench.measurement import about
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.machine import clocks, interrupt
from pytest_lance_autoresearch.records import Block, Building, Pair

if TYPE_CHECKING:
    from pytest_lance_autoresearch.bench.measure import CasePlan
    from pytest_lance_autoresearch.bench.process import KernelProcess
    from pytest_lance_autoresearch.bench.processes import Processes
    from pytest_lance_autoresearch.bench.scratch import Compiled
    from pytest_lance_autoresearch.records import Source

_INTERRUPT_S = 0.2
"""After how long an interrupt is looked for."""


class KernelPair:
    """Two processes, and what was measured in them so far."""

    def __init__(self, sides: Mapping[str, KernelProcess], memory: wire.Arena, started_s: float) -> None:
        self.sides = sides
        """'A' is the baseline, 'B' the candidate."""
        self._memory = memory
        """What both sides use in turn for their windows: where it lies makes a difference of a percent or two."""
        self.blocks: list[Block] = []
        self._started_s = started_s
        self._call_overhead_ns: dict[str, float] = {}
        self._building: dict[str, Building] = {}
        self._peaks = {"A": 0, "B": 0}
        """Bytes, read after each case."""
        self._seconds = 0.0

    @classmethod
    def start(
        cls,
        processes: Processes,
        baseline: Source,
        candidate: Source,
        plans: Sequence[CasePlan],
        compiled: Mapping[str, Compiled],
    ) -> KernelPair:
        """A fresh pair whose kernels are built, and were called once on every case; `compiled` is by side.

        The sides are started in random order, and then go on side by side, on a core each where there are two.
        """
        started_s = clocks.now_s()
        memory = wire.Arena.create(wire.LEAST_BYTES)
        sources = {"A": baseline, "B": candidate}
        try:
            sides = measure.ask(
                sources,
                lambda one, letter: processes.spawn(one, compiled=compiled.get(letter, {}), shared=memory),
            )
        except BaseException:
            memory.close()
            raise
        pair = cls(sides, memory, started_s)
        try:
            pair._introduce(processes, plans)
        except BaseException:
            pair.close()
            raise
        return pair

    def begin(self) -> None:
        """Its time counts from here: before, it may have waited for its turn."""
        self._started_s = clocks.now_s()

    def pids(self) -> list[int]:
        return [process.pid for process in self.sides.values()]

    def _introduce(self, processes: Processes, plans: Sequence[CasePlan]) -> None:
        """Load, build and call both; what that took of memory is not counted.

        The first failure ends both. The candidate's is told where both have failed.
        """
        with ThreadPoolExecutor(len(self.sides)) as pool:
            try:
                futures = {
                    letter: pool.submit(self._introduce_side, processes, plans, letter) for letter in self.sides
                }
                answers = measure.ask(futures, lambda future, _: future.result(), _ended(futures))
            except BaseException:
                self.close()  # or the other side would be waited for
                raise
        for plan in plans:
            with about(plan.key):
                measure.verify_first(plan, {letter: of_side[plan.key] for letter, of_side in answers.items()})
        measure.ask(self.sides, lambda process, _: process.share())
        measure.ask(self.sides, lambda process, _: process.forget_warm_up())

    def _introduce_side(self, processes: Processes, plans: Sequence[CasePlan], letter: str) -> dict[str, Any]:
        """The side's answers, by case."""
        side, answers = {letter: self.sides[letter]}, {}
        processes.introduce(self.sides[letter])
        for plan in plans:
            with about(plan.key):
                measure.bind(plan, side)
                answers[plan.key] = measure.call_once(plan, side)[letter]
        return answers

    def compiled(self) -> dict[str, Compiled]:
        """What each side has compiled, by side."""
        return {letter: process.compiled() for letter, process in self.sides.items()}

    def price_building(self, plans: Sequence[CasePlan]) -> None:
        """Build both kernels once more on every case, all compiled by now, and note what it takes."""
        for plan in plans:
            with about(plan.key):
                took_ns = measure.price(plan, self.sides)
                self._building[plan.key] = Building(took_ns["A"], took_ns["B"], len(plan.state()))
        self._read_peaks()

    def warm_up(self, plan: CasePlan, null: KernelProcess) -> None:
        """Make both sides ready for windows of a case, whose size is found beside the look's first pair."""
        if plan.is_sized:
            measure.warm_up(plan, self.sides)
        else:
            measure.size(plan, self.sides, null)

    def note(self, plan: CasePlan) -> None:
        """Read from the system what is known of the pair once a case is measured."""
        self._call_overhead_ns[plan.key] = plan.call_overhead_ns
        self._read_peaks()
        self._seconds = clocks.now_s() - self._started_s

    def record(self) -> Pair:
        return Pair(
            tuple(self.blocks),
            dict(self._call_overhead_ns),
            self._peaks["A"],
            self._peaks["B"],
            self._seconds,
            dict(self._building),
        )

    def close(self) -> None:
        """End both processes; safe more than once."""
        for process in self.sides.values():
            process.close()
        self._memory.close()

    def _read_peaks(self) -> None:
        self._peaks = {letter: process.peak_rss_bytes() for letter, process in self.sides.items()}


def _ended(futures: Mapping[str, Future[Any]]) -> list[str]:
    """The sides that have ended, once both have or either has failed; the candidate first.

    An interrupt that comes as this thread begins to wait would not end a wait without end.
    """
    while True:
        done, others = wait(futures.values(), _INTERRUPT_S, FIRST_EXCEPTION)
        interrupt.obey()
        if not others or any(future.exception() for future in done):
            return [letter for letter in sorted(futures, reverse=True) if futures[letter].done()]
