"""What others' work takes from a window: waiting for a core, and time stolen by the hypervisor.

Owns reading both from the system, around one window. Says nothing about what they mean; where the system keeps no
such count, the numbers are None.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Counter:
    """Nanoseconds that the system counts up in a file; None where there is no such file, or no more."""

    def __init__(self, path: str, parse: Callable[[bytes], int]) -> None:
        self._parse = parse
        self._fd: int | None = None
        with suppress(OSError):
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def ns(self) -> int | None:
        if self._fd is None:
            return None
        with suppress(OSError, IndexError, ValueError):
            return self._parse(os.pread(self._fd, 256, 0))
        return None

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class WaitCounter:
    """Counts around the windows of one worker; call `begin`, `launched` and `end` in this order.

    Of this process only what comes after `launched` is counted: before, it waits while the worker works.
    """

    def __init__(self, worker_pid: int) -> None:
        self._worker = Counter(f"/proc/{worker_pid}/schedstat", _run_delay_ns)
        self._here = Counter("/proc/thread-self/schedstat", _run_delay_ns)
        self._steal = Counter("/proc/stat", _steal_ns)
        self._before: tuple[int | None, int | None] = (None, None)
        self._here_before: int | None = None
        self._ordered_ns = self._worker.ns()

    def ordered(self) -> None:
        """The worker is given an order."""
        self._ordered_ns = self._worker.ns()

    def begin(self) -> None:
        self._before = self._steal.ns(), self._worker.ns()

    def launched(self) -> None:
        self._here_before = self._here.ns()

    def end(self) -> tuple[int | None, int | None]:
        """Nanoseconds since `begin`: waited for a core, stolen."""
        stolen, worker = self._before
        parts = _since(self._here_before, self._here.ns()), _since(worker, self._worker.ns())
        waited = None if None in parts else sum(part or 0 for part in parts)
        return waited, _since(stolen, self._steal.ns())

    def waited_s(self) -> float:
        """Seconds that the worker has waited for a core since its last order; 0 where the system counts none."""
        return (_since(self._ordered_ns, self._worker.ns()) or 0) / 1e9

    def close(self) -> None:
        for counter in (self._worker, self._here, self._steal):
            counter.close()


def _since(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


def _run_delay_ns(line: bytes) -> int:
    """Second field: time spent ready to run without a core (Linux, Documentation/scheduler/sched-stats.rst)."""
    return int(line.split()[1])


def _steal_ns(text: bytes) -> int:
    """Ninth word of the first line: ticks stolen from all cores, see proc_stat(5)."""
    return int(text.split(maxsplit=9)[8]) * 10**9 // os.sysconf("SC_CLK_TCK")
