"""The processes of one trial.

Owns starting them, remembering why a kernel does not start, and ending them all.
"""

from __future__ import annotations

import functools
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.bench.inprocess import InProcessRunner
from pytest_lance_autoresearch.bench.process import KernelProcess
from pytest_lance_autoresearch.bench.scratch import NOTHING_COMPILED
from pytest_lance_autoresearch.errors import (
    AutoresearchError,
    KernelCrashed,
    KernelFailure,
    KernelIncorrect,
    KernelRaised,
    KernelRefused,
    KernelTimeout,
    TargetError,
    TrialInvalid,
)
from pytest_lance_autoresearch.machine import environment, turns
from pytest_lance_autoresearch.target_files import policy, sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from pytest_lance_autoresearch.bench.runner import Answers, Runner
    from pytest_lance_autoresearch.bench.scratch import Compiled
    from pytest_lance_autoresearch.kernel_side import wire
    from pytest_lance_autoresearch.records import Source
    from pytest_lance_autoresearch.target_files.load import Target

_FOR_ANY = "(in the portable branch: numba compiled for any processor, NUMBA_CPU_NAME=generic)"
MAX_ENDS = 3
"""Worker processes that one kernel may bring to their end before the rest of the trial is given up.

One that hangs gets no second chance: each would cost the whole deadline.
"""


@contextmanager
def for_any_processor() -> Iterator[None]:
    """Tell with a failure that numba compiled for any processor."""
    try:
        yield
    except KernelFailure as failure:
        headline, *rest = str(failure).splitlines()
        failure.args = ("\n".join([f"{headline} {_FOR_ANY}", *rest]),)
        raise


class Processes:
    """Where a target's kernels run during one trial."""

    def __init__(
        self,
        target: Target,
        timeout_s: float,
        *,
        in_process: bool,
        checks_bounds: bool = False,
        checks_portably: bool = True,
    ) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._in_process = in_process
        self._checks_bounds = checks_bounds
        self._checks_portably = checks_portably and target.has_intrinsics and not in_process
        self._resources = ExitStack()
        self._checker: Runner[Answers] | None = None
        self._portable_checker: KernelProcess | None = None
        self._beside: KernelProcess | None = None
        self._null: KernelProcess | None = None
        self._ends: list[KernelFailure] = []
        self._started: list[KernelProcess] = []
        """Those that are not given back."""
        self._is_broken_off = False
        self.is_confined = True
        """Whether every process so far had put its locks on; asked of the system, not of the processes."""
        self._load_failure: AutoresearchError | None = None

    def checker(self) -> Runner[Answers]:
        """Where correctness runs, every index checked if `checks_bounds` is; a new one when the last ended."""
        if self._checker is None:
            if self._in_process:
                self._checker = InProcessRunner(self._target)
            else:
                self._checker = self.start(self._target.kernel, checks_bounds=self._checks_bounds)
        return self._checker

    def checkers(self) -> Iterator[tuple[Runner[Answers], AbstractContextManager[None]]]:
        """Where correctness runs, each with what tells so of a failure there.

        That is the checker, and where the kernel may have intrinsics, one for which numba compiles for any
        processor: the branch that needs no special one is checked as well.
        """
        yield self.checker(), nullcontext()
        if self._checks_portably:
            if self._portable_checker is None:
                with for_any_processor():
                    self._portable_checker = self.start(
                        self._target.kernel, checks_bounds=self._checks_bounds, is_portable=True
                    )
            yield self._portable_checker, for_any_processor()

    def timed_checker(self) -> KernelProcess:
        """The same where it is a process, for times that need not be compared; where it is none, one beside it."""
        checker = self.checker()
        if isinstance(checker, KernelProcess):
            return checker
        if self._beside is None:
            self._beside = self.start(self._target.kernel)
        return self._beside

    def null(self) -> KernelProcess:
        """A process without a kernel, in which it shows what the runner itself costs.

        Not even there where the target's files import the kernel's package.
        """
        if self._null is None:
            kernel = self._target.kernel
            self._null = self.start(sources.make(b"", kernel.path, kernel.home))
        return self._null

    def start(
        self,
        source: Source,
        *,
        checks_bounds: bool = False,
        is_portable: bool = False,
        compiled: Compiled = NOTHING_COMPILED,
    ) -> KernelProcess:
        """A new process with a kernel, ready; the candidate's failure to load is final."""
        process = self.spawn(source, checks_bounds=checks_bounds, is_portable=is_portable, compiled=compiled)
        self.introduce(process)
        return process

    def spawn(
        self,
        source: Source,
        *,
        checks_bounds: bool = False,
        is_portable: bool = False,
        compiled: Compiled = NOTHING_COMPILED,
        shared: wire.Arena | None = None,
    ) -> KernelProcess:
        """A new process that is starting, and must be introduced before it is used."""
        if source is self._target.kernel:
            self._refuse_to_start()
        process = KernelProcess(
            self._target,
            source,
            self._timeout_s,
            checks_bounds=checks_bounds,
            is_portable=is_portable,
            compiled=compiled,
            shared=shared,
        )
        self._resources.callback(process.close)
        self._started.append(process)
        if self._is_broken_off:
            raise KeyboardInterrupt
        if turns.others_measure():
            environment.put_aside(process.pid)  # until it is placed
        return process

    def introduce(self, process: KernelProcess) -> None:
        """Wait until it has started, and let it load its kernel."""
        try:
            process.introduce()
        except (KernelFailure, TargetError, TrialInvalid) as failure:
            if process.source is self._target.kernel:
                self._load_failure = failure
            raise
        if not process.is_confined:
            self.is_confined = False

    def give_back_first(self, close: Callable[[], None]) -> None:
        """Call that before the processes that are started so far are ended."""
        self._resources.callback(close)

    def lost_a_process(self, failure: AutoresearchError) -> bool:
        """Whether the failure cost a process (crash, hang, refusal), as wrong answers and exceptions do not."""
        if not isinstance(failure, KernelFailure) or isinstance(failure, KernelIncorrect | KernelRaised):
            return False
        self._ends.append(failure)
        return True

    def clear(self) -> None:
        """End every process; what is asked for next starts a new one. Safe more than once."""
        self._resources.close()
        self._started.clear()
        self._checker = self._portable_checker = self._beside = self._null = None

    def break_off(self) -> None:
        """End every process now, for good, from another thread than the one that uses them and gives them back.

        Whoever waits for one of them hears that it has ended; whoever wants another is interrupted.
        """
        self._is_broken_off = True
        for process in list(self._started):
            process.end()

    @functools.cached_property
    def _violation(self) -> str:
        """Which rule the kernel's source breaks; read before it is run for the first time."""
        return "" if self._in_process else policy.violation_of(self._target)

    def _refuse_to_start(self) -> None:
        if self._violation:
            raise KernelRefused(self._violation)
        if self._load_failure is not None:
            raise type(self._load_failure)(str(self._load_failure))
        late = next((end for end in self._ends if isinstance(end, KernelTimeout)), None)
        if late is not None:
            raise KernelTimeout(f"not run: the kernel ran out of time already: {late.headline}")
        if len(self._ends) >= MAX_ENDS:
            raise KernelCrashed(
                f"not run: the kernel's process ended {len(self._ends)} times already; "
                f"first: {self._ends[0].headline}"
            )
