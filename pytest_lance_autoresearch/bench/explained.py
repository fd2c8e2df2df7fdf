"""A kernel's process that also says what numba made of the kernel, and lets others look while a window runs.

Owns the further orders of such a process, and the reading of the texts that it answers with: untrusted, bounded,
and printable once they are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pytest_lance_autoresearch.bench import measure
from pytest_lance_autoresearch.bench.process import KernelProcess
from pytest_lance_autoresearch.bench.waiting import WaitCounter
from pytest_lance_autoresearch.kernel_side import listing, profiling, wire

if TYPE_CHECKING:
    from pytest_lance_autoresearch.bench.measure import CasePlan
    from pytest_lance_autoresearch.records import Case
    from pytest_lance_autoresearch.target_files.load import Target

LISTING, PROFILED, PROFILE = "its listing", "itself, profiled", "its profile"
"""The keys of what is bound beside the kernel."""
_REMARK = "remark: "
"""What a line of LLVM's begins with."""
MAX_REMARKS_BYTES = 4 * 2**20
NO_ARGUMENTS: Sequence[tuple[()]] = [()]
"""One call without any."""


class Observer(Protocol):
    """Whoever looks while a window runs, from just before its calls until they are answered."""

    def begin(self) -> None: ...
    def end(self) -> None: ...


class _Observed(WaitCounter):
    """Counts what others take from a window, and lets an observer look at it."""

    def __init__(self, worker_pid: int, observer: Observer) -> None:
        super().__init__(worker_pid)
        self._observer = observer

    def begin(self) -> None:
        self._observer.begin()
        super().begin()

    def end(self) -> tuple[int | None, int | None]:
        counted = super().end()
        self._observer.end()
        return counted


class ExplainedProcess(KernelProcess):
    """A process whose kernel is compiled here and now, and listed."""

    _observer: Observer | None = None

    def _load_kernel(self) -> None:
        self._order("before its kernel was loaded", "listen")
        super()._load_kernel()

    @contextmanager
    def observed(self, observer: Observer) -> Iterator[None]:
        """Let the observer look at every window that is run meanwhile."""
        before, self._waits, self._observer = self._waits, _Observed(self.pid, observer), observer
        try:
            yield
        finally:
            observer.end()
            self._waits.close()
            self._waits, self._observer = before, None

    def _exit_code(self) -> int | None:
        """An observer that traces the process would have it stopped, which is taken for its end here."""
        if self._observer is not None:
            self._observer.end()
        return super()._exit_code()

    def listing(self) -> str:
        """The machine code of all that was compiled so far, as `kernel_side.listing` writes it."""
        self._order("while its machine code was listed", "bind_listing", LISTING)
        return self._told(LISTING, listing.MAX_BYTES)

    def bind_profiled(self, key: str) -> None:
        """Take as `PROFILED` the kernel that is bound as `key`, traced."""
        self._order(f"{key}, while it was bound again", "bind_profiled", PROFILED, key, PROFILE)

    def profile(self) -> str:
        """What that saw, as `kernel_side.profiling` writes it."""
        return self._told(PROFILE, profiling.MAX_BYTES)

    def remarks(self) -> str:
        """What the process wrote, LLVM's remarks among it; more than enough of them, from the first on."""
        self._log.seek(0)
        return _printable(self._log.read(MAX_REMARKS_BYTES))

    def _log_tail(self) -> str:
        """Without LLVM's remarks, which are not what it said of its end."""
        return "\n".join(line for line in super()._log_tail().splitlines() if not line.startswith(_REMARK))

    def _told(self, key: str, result_bytes: int) -> str:
        answer = self.run(key, NO_ARGUMENTS, result_bytes)[0]
        return _printable(answer.tobytes()) if isinstance(answer, np.ndarray) else ""


def new_plan(target: Target, case: Case, state: Any, seed: int) -> CasePlan:
    """How the case is measured in such a process."""
    return measure.plan_of(target, case, state, seed, "timed", wire.Packer())


def _printable(data: bytes) -> str:
    """Lines of text in which a tab is all that is not printable."""
    lines = data.decode("utf-8", "replace").splitlines()
    return "\n".join(line if line.isprintable() else "".join(filter(_is_shown, line)) for line in lines)


def _is_shown(character: str) -> bool:
    return character.isprintable() or character == "\t"
