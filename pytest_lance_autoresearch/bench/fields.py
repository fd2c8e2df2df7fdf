"""A field of worker processes, the baseline's and those of candidates, and what is measured in it.

Owns what happens to every side before its first window: starting, compiling, building, the first call. All of it
happens to one as it happens to the others. A trial's field is a pair; in a tournament several candidates share a
baseline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.bench import measure
from pytest_lance_autoresearch.bench.measurement import about
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.machine import clocks, environment, interrupt
from pytest_lance_autoresearch.records import Block, Building, Dealt, Pair, Recalled
from pytest_lance_autoresearch.verdict import aggregate

if TYPE_CHECKING:
    from pytest_lance_autoresearch.bench.measure import CasePlan
    from pytest_lance_autoresearch.bench.process import KernelProcess
    from pytest_lance_autoresearch.bench.processes import Processes
    from pytest_lance_autoresearch.bench.scratch import Compiled
    from pytest_lance_autoresearch.records import Source

_INTERRUPT_S = 0.2
"""After how long an interrupt is looked for."""


class Field:
    """A process for each side, and what was measured in them so far."""

    def __init__(
        self,
        sides: Mapping[str, KernelProcess],
        memory: wire.Arena,
        started_s: float,
        pool: ThreadPoolExecutor,
        introduced: dict[str, Future[dict[str, Any]]],
    ) -> None:
        """`introduced` are the first answers of each side to every case, which threads of the pool wait for."""
        self.sides = sides
        """'A' is the baseline, every other letter a candidate."""
        self._candidates = measure.candidates_of(sides)
        self._memory = memory
        """What all sides use in turn for their windows: where it lies makes a difference of a percent or two."""
        self._blocks: dict[str, list[Block]] = {letter: [] for letter in self._candidates}
        self._started_s = started_s
        self._dealt: dict[str, list[Dealt]] = {letter: [] for letter in self._candidates}
        self._recalled = {letter: Counter[tuple[str, Any, Any]]() for letter in self._candidates}
        """Calls by case and by what the recall of the baseline and of a candidate was."""
        self._call_overhead_ns: dict[str, float] = {}
        self._building: dict[str, dict[str, Building]] = {letter: {} for letter in self._candidates}
        self._peaks = dict.fromkeys(sides, 0)
        """Bytes, read after each case."""
        self._seconds = 0.0
        self.is_closed = False
        self._pool = pool
        self._introduced = introduced

    @classmethod
    def launch(
        cls,
        processes: Processes,
        sources: Mapping[str, Source],
        plans: Sequence[CasePlan],
        compiled: Mapping[str, Compiled],
    ) -> Field:
        """A fresh field whose kernels load, are built and called once on every case, from now on; all is by side.

        The sides are started in random order, and then go on side by side, as many at once as there are cores.
        They do so by themselves until they are joined.
        """
        started_s = clocks.now_s()
        memory = wire.Arena.create(wire.LEAST_BYTES)
        try:
            sides = measure.ask(
                sources,
                lambda one, letter: processes.spawn(one, compiled=compiled.get(letter, {}), shared=memory),
            )
        except BaseException:
            memory.close()
            raise
        pool = ThreadPoolExecutor(min(len(sides), max(2, environment.count_cores())))
        try:
            introduced = {
                letter: pool.submit(_introduce, processes, plans, letter, one) for letter, one in sides.items()
            }
            field = cls(sides, memory, started_s, pool, introduced)
            processes.give_back_first(field.close)
        except BaseException:  # or its threads would be waited for at the end of this process
            pool.shutdown(wait=False, cancel_futures=True)
            memory.close()
            raise
        return field

    def join(self, plans: Sequence[CasePlan]) -> None:
        """Wait until all are ready; what that took of memory is not counted.

        The first failure ends all. A candidate's is told where the baseline has failed too.
        """
        try:
            answers = measure.ask(self._introduced, lambda future, _: future.result(), _ended(self._introduced))
            for plan in plans:
                with about(plan.key):
                    measure.verify_first(plan, {letter: of_side[plan.key] for letter, of_side in answers.items()})
            measure.ask(self.sides, lambda process, _: process.share())
            measure.ask(self.sides, lambda process, _: process.forget_warm_up())
            self._introduced.clear()  # the answers may be large
        except BaseException:
            self.close()
            raise

    def begin(self) -> None:
        """Its time counts from here: before, it may have waited for its turn."""
        self._started_s = clocks.now_s()

    def pids(self) -> list[int]:
        return [process.pid for process in self.sides.values()]

    def compiled(self) -> dict[str, Compiled]:
        """What each side has compiled, by side."""
        return {letter: process.compiled() for letter, process in self.sides.items()}

    def price_building(self, plans: Sequence[CasePlan]) -> None:
        """Build all kernels once more on every case, all compiled by now, and note what it takes."""
        for plan in plans:
            with about(plan.key):
                took_ns, state_bytes = measure.price(plan, self.sides), len(plan.state())
                for letter, building in self._building.items():
                    building[plan.key] = Building(took_ns[measure.BASELINE], took_ns[letter], state_bytes)
        self._read_peaks()

    def warm_up(self, plan: CasePlan, null: KernelProcess) -> None:
        """Make all sides ready for windows of a case, whose size is found beside the look's first field."""
        if plan.is_sized:
            measure.warm_up(plan, self.sides)
        else:
            measure.size(plan, self.sides, null)

    def measure_block(self, plan: CasePlan, *, thorough: bool) -> bool:
        """A block of a case for every candidate; whether others' work disturbed none of them too much."""
        blocks, recalls = measure.measure_blocks(plan, self.sides, thorough=thorough)
        for letter, block in blocks.items():
            self._blocks[letter].append(block)
            self._recalled[letter].update((plan.key, one[measure.BASELINE], one[letter]) for one in recalls)
        return not any(map(aggregate.is_disturbed, blocks.values()))

    def measure_dealt(self, plan: CasePlan) -> None:
        """Windows of a case whose calls are started one by one."""
        for letter, dealt in measure.measure_dealt(plan, self.sides).items():
            self._dealt[letter].append(dealt)

    def note(self, plan: CasePlan) -> None:
        """Read from the system what is known of the field once a case is measured."""
        self._call_overhead_ns[plan.key] = plan.call_overhead_ns
        self._read_peaks()
        self._seconds = clocks.now_s() - self._started_s

    def record(self) -> dict[str, Pair]:
        """The baseline and each candidate as a pair of their own, by the candidate's letter.

        A pair has its share of the field's seconds.
        """
        return {
            letter: Pair(
                tuple(self._blocks[letter]),
                dict(self._call_overhead_ns),
                self._peaks[measure.BASELINE],
                self._peaks[letter],
                self._seconds / len(self._candidates),
                dict(self._building[letter]),
                tuple(self._dealt[letter]),
                tuple(Recalled(*one, calls) for one, calls in sorted(self._recalled[letter].items())),
            )
            for letter in self._candidates
        }

    def close(self) -> None:
        """End all processes; safe more than once, and after an interrupt of itself.

        Whoever still introduces one hears it before what both use is given back.
        """
        self.is_closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in self.sides.values():
            process.give_up()
        self._pool.shutdown()
        for process in self.sides.values():
            process.close()
        self._memory.close()

    def _read_peaks(self) -> None:
        self._peaks = {letter: process.peak_rss_bytes() for letter, process in self.sides.items()}


def _introduce(
    processes: Processes, plans: Sequence[CasePlan], letter: str, process: KernelProcess
) -> dict[str, Any]:
    """Load, build and call a side's kernel; its answers, by case."""
    side, answers = {letter: process}, {}
    processes.introduce(process)
    for plan in plans:
        with about(plan.key):
            measure.bind(plan, side)
            answers[plan.key] = measure.call_once(plan, side)[letter]
    return answers


def _ended(futures: Mapping[str, Future[Any]]) -> list[str]:
    """The sides that have ended, once all have or one has failed; the baseline last.

    An interrupt that comes as this thread begins to wait would not end a wait without end.
    """
    while True:
        done, others = wait(futures.values(), _INTERRUPT_S, FIRST_EXCEPTION)
        interrupt.obey()
        if not others or any(future.exception() for future in done):
            return [letter for letter in sorted(futures, reverse=True) if futures[letter].done()]
