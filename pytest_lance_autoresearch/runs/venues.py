"""Where a tournament takes place: on this host, or on those of a cluster.

Owns what a tournament asks of either, and how this host does it. Several hosts are `elsewhere`'s.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, Protocol

from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.bench.rounds import Ground, Grounds, OneGround
from pytest_lance_autoresearch.machine import environment, interrupt
from pytest_lance_autoresearch.runs import checking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_lance_autoresearch.bench.measurement import Turn
    from pytest_lance_autoresearch.records import Case, Source, Step
    from pytest_lance_autoresearch.runs.over_hosts import Gather
    from pytest_lance_autoresearch.runs.trial import Trial
    from pytest_lance_autoresearch.target_files.load import Target

_INTERRUPT_S = 0.2
"""After how long an interrupt is looked for."""


class Venue(Protocol):
    """Where candidates are checked and measured."""

    def checked(self, trials: Mapping[str, Trial], begin: Callable[[str], None]) -> Iterator[str]:
        """The names of the candidates, each once its trial knows whether it is correct.

        `begin` is told whose turn it is.
        """

    def grounds(self) -> AbstractContextManager[Grounds]:
        """Where rounds are held."""

    def gather(self) -> Gather | None:
        """The hosts of a final; None where it is held here."""


class Here:
    """This host."""

    def __init__(
        self,
        target: Target,
        baseline: Source,
        cases: Sequence[Case],
        state_of: Callable[[Case], Any],
        timeout_s: float,
        show: Callable[[str, Step | None], None],
        turn: Turn,
    ) -> None:
        self._target = target
        self._baseline = baseline
        self._cases = cases
        self._state_of = state_of
        self._timeout_s = timeout_s
        self._show = show
        self._turn = turn

    def checked(self, trials: Mapping[str, Trial], begin: Callable[[str], None]) -> Iterator[str]:
        """As many at once as there are cores."""
        stop, lock = Event(), Lock()
        with _undisturbed(), ThreadPoolExecutor(environment.count_cores()) as pool:
            try:
                checks = {
                    name: pool.submit(checking.check, trial, lock, partial(begin, name), stop.is_set)
                    for name, trial in trials.items()
                }
                for name, check in checks.items():
                    _result(check)
                    yield name
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                for trial in trials.values():
                    trial.break_off()
                raise

    @contextmanager
    def grounds(self) -> Iterator[Grounds]:
        timed = [case for case in self._cases if case.timed]
        processes = Processes(self._target, self._timeout_s, in_process=False)
        run = (self._state_of, processes, self._show, self._turn)
        try:
            with environment.one_thread():
                yield OneGround(Ground(self._target, self._baseline, timed, *run))
        finally:
            processes.clear()

    def gather(self) -> None:
        """A final is an ordinary trial."""


@contextmanager
def _undisturbed() -> Iterator[None]:
    """What trials change of this process for a while, and change back, is put right once all have ended."""
    with environment.moved_back(), environment.one_thread(), warnings.catch_warnings():
        yield


def _result(check: Future[None]) -> None:
    """Wait for a check; an interrupt that comes as this thread begins to wait would not end a wait without end."""
    while wait([check], _INTERRUPT_S).not_done:
        interrupt.obey()
    check.result()
