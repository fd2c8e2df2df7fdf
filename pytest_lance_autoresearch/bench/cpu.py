"""What CPU time one worker uses, read from outside, and whether that fits its windows.

Owns the worker's CPU clock and the sum over its windows. Where the system has no clock of another process's CPU
time, nothing is counted and nothing is refused.
"""

from __future__ import annotations

import sys
from contextlib import suppress

from pytest_lance_autoresearch.errors import KernelRefused
from pytest_lance_autoresearch.machine import clocks

_TICK_NS = 10_000_000
"""How far the system's count of a running process's CPU time may lag behind."""
_AROUND_NS = 20_000_000
_AROUND_WINDOW_NS = 500_000
_AROUND_CALL_NS = 20_000
_AROUND_BYTE_NS = 100
"""What the worker itself may need around windows: once, to take an order, to lay out one call, and to unpack
one byte of the order and give it back (numbers in a list take up to 10 ns, small objects up to 40)."""
_MAX_CPU_PER_WALL = 1.15


class CpuAccount:
    """The CPU time of one worker, window by window: `opens`, `closes`; `skip` leaves out what came before."""

    def __init__(self, pid: int, threads: int = 1) -> None:
        self._clock = _clock_id(pid)
        self._threads = threads
        self._total_ns, self._allowed_ns = 0, _AROUND_NS
        self._counted_ns = self.now_ns()

    def now_ns(self) -> int | None:
        """None where there is no such clock, and for a worker that has ended: the pipe to it will say so."""
        if self._clock is not None:
            with suppress(OSError):
                return clocks.process_ns(self._clock)
        return None

    def skip(self) -> None:
        """Leave out what was used since the last window: to load and to bind takes what it takes.

        A part of that may be booked only after it was read.
        """
        self._counted_ns = self.now_ns()
        self._allowed_ns += _TICK_NS

    def opens(self, doing: str, calls: int, order_bytes: int) -> int | None:
        """A window is about to open: refuse work around the windows, burned before them or after their answers.

        The sum over all windows is judged, because the system books a running process's time late. `order_bytes`
        is the size of the order that the worker took for this window. Returns the clock, for `closes` and `since`.
        """
        opened_ns = self.now_ns()
        self._count(opened_ns)
        self._allowed_ns += _AROUND_WINDOW_NS + calls * _AROUND_CALL_NS + order_bytes * _AROUND_BYTE_NS
        if self._total_ns > self._allowed_ns:
            raise KernelRefused(
                f"{doing}: the kernel's process used {self._total_ns / 1e6:.0f} ms of CPU, and its windows "
                f"account for {self._allowed_ns / 1e6:.0f} ms at most; work outside the timed window is refused"
            )
        return opened_ns

    def closes(self, doing: str, opened_ns: int | None, wall_ns: int) -> int | None:
        """The CPU time of a window, opened then, that lasted `wall_ns`; refuses more than its threads can use."""
        now = self.now_ns()
        self._count(now)
        most_ns = _MAX_CPU_PER_WALL * self._threads * wall_ns
        self._allowed_ns += round(most_ns)
        cpu_ns = _elapsed(opened_ns, now)
        if cpu_ns is not None and cpu_ns > most_ns + self._threads * _TICK_NS:
            raise KernelRefused(
                f"{doing}: the kernel used {cpu_ns / 1e6:.1f} ms of CPU in a window of {wall_ns / 1e6:.1f} ms; "
                f"{threads_rule(self._threads)}"
            )
        return cpu_ns

    def since(self, opened_ns: int | None) -> int | None:
        """The CPU time since a window was opened, with what was used or booked after its answer."""
        return _elapsed(opened_ns, self.now_ns())

    def _count(self, now_ns: int | None) -> None:
        if now_ns is not None and self._counted_ns is not None:
            self._total_ns += now_ns - self._counted_ns
        self._counted_ns = now_ns


def threads_rule(threads: int) -> str:
    """How many threads a kernel may have, for a sentence."""
    return "one thread is the rule" if threads == 1 else f"target.THREADS is {threads}"


def _elapsed(before_ns: int | None, now_ns: int | None) -> int | None:
    return None if before_ns is None or now_ns is None else now_ns - before_ns


def _clock_id(pid: int) -> int | None:
    """Linux's clock of another process's CPU time (see clock_getcpuclockid(3)); None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    return (~pid << 3) | 2
