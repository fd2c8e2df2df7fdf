"""What is done on another host: a candidate is checked there, or measured beside its baseline.

Owns a target unpacked there, and what is kept of it from one order to the next. It is trusted as this host is: it
holds clock, oracle and inputs. It writes no log, and decides nothing but what a candidate must not cost.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pytest_lance_autoresearch.bench.comparison import Comparison
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.machine import clocks, environment, turns
from pytest_lance_autoresearch.records import Extent, Judgement, Pair, Rules, Source
from pytest_lance_autoresearch.runs.stopwatch import Stopwatch
from pytest_lance_autoresearch.target_files import contract, parcels
from pytest_lance_autoresearch.target_files.parcels import Parcel
from pytest_lance_autoresearch.target_files.states import States


@dataclass(frozen=True)
class Seen:
    """What a look added on one host."""

    pairs: tuple[Pair, ...]
    refusal: Judgement | None
    waited_s: float
    is_confined: bool


class Post:
    """A target on a host that works on it."""

    def __init__(self, parcel: Parcel, timeout_s: float) -> None:
        self._resources = ExitStack()
        self._resources.enter_context(environment.moved_back())
        self._resources.enter_context(environment.one_thread())
        self._folder = tempfile.TemporaryDirectory(prefix="autoresearch-")
        self._timeout_s = timeout_s
        self._target = parcel.unpacked(Path(self._folder.name))
        self._cases = contract.cases_of(self._target)
        self._timed = [case for case in self._cases if case.timed]
        self._states = States(self._target)
        self._processes = Processes(self._target, timeout_s, in_process=False)
        self._stopwatch = Stopwatch()

    def close(self) -> None:
        """End what runs, and leave nothing behind."""
        self._processes.clear()
        self._folder.cleanup()
        self._resources.close()

    def _settled(self, source: Source) -> Source:
        """A kernel as it was sent, as one of the target here."""
        return parcels.settled(source, self._target)

    def _turn(self, seconds: float) -> turns.Turn:
        with self._stopwatch.waiting():
            return turns.take(seconds)


class Bench(Post):
    """Measures the kernel of the target beside one baseline, look by look."""

    def __init__(self, parcel: Parcel, timeout_s: float, baseline: Source, rules: Rules, seed: int) -> None:
        super().__init__(parcel, timeout_s)
        self._seed = seed
        run = (self._processes, lambda *_: None, self._turn)
        self._comparison = Comparison(self._target, self._settled(baseline), self._timed, rules, *run)

    def first_look(self) -> Seen:
        return self._seen(lambda: self._comparison.measure_all(self._states.of, self._seed))

    def another_look(self, extent: Extent, left_s: float) -> Seen:
        """What is not over within that time counts for nothing."""
        end_s = clocks.now_s() + left_s
        waited_s = self._stopwatch.waited_s

        def is_over() -> bool:
            return clocks.now_s() - (self._stopwatch.waited_s - waited_s) >= end_s

        return self._seen(lambda: self._comparison.measure_again(self._seed, extent, is_over))

    def _seen(self, measure: Callable[[], None]) -> Seen:
        before, waited_s = len(self._comparison.pairs()), self._stopwatch.waited_s
        measure()
        pairs = self._comparison.pairs()[before:]
        waited_s = self._stopwatch.waited_s - waited_s
        return Seen(pairs, self._comparison.refusal, waited_s, self._processes.is_confined)
