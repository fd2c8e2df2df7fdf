"""Where another process is while it works, and what its core counts: asked of Linux, without being root.

Owns perf_event_open(2), and where that is not allowed, ptrace(2): the process is stopped for some microseconds
each time and its program counter read. What the system does not allow is said in one sentence; nothing here
raises for that.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import signal
import struct
import sys
import threading
from collections import Counter
from contextlib import suppress
from itertools import chain
from pathlib import Path
from time import sleep
from typing import NamedTuple, Protocol

PERIOD_NS = 200_000
"""Of CPU time between two samples of the system."""
STOP_PERIOD_S = 0.0005
"""Between two stops of a process that is sampled by stopping it."""
_PAGES = 64
"""Of the buffer that samples are put into: some seconds of them."""

_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
_ATTRIBUTES = struct.Struct("<IIQQQQQII64x")  # type, size, config, period, sample_type, read_format, flags, ...
_HARDWARE, _SOFTWARE, _CPU_CLOCK = 0, 1, 0
_SAMPLE_IP = 1
_TIMES_TOO = 0b11
"""Of a counter: how long it was enabled and how long it ran, since several may share a register."""
_DISABLED, _NO_KERNEL, _NO_HYPERVISOR = 1 << 0, 1 << 5, 1 << 6
_CLOSE_ON_EXEC = 8
_ENABLE, _DISABLE = 0x2400, 0x2401
_HEAD_AT, _TAIL_AT = 1024, 1032
_RECORD = struct.Struct("<IHH")
_SAMPLE = 9
_WORD = struct.Struct("<Q")

_SEIZE, _INTERRUPT, _GETREGSET, _CONT, _DETACH = 0x4206, 0x4207, 0x4204, 7, 17
_GENERAL_REGISTERS = 1
_COUNTER_AT = {"x86_64": 16 * 8, "aarch64": 32 * 8}
"""Of the program counter among the general registers."""
_PATIENCE_S = 1.0
"""For a process that was asked to stop."""

EVENTS = {"cycles": 0, "instructions": 1, "cache misses": 3, "branches": 4, "branch misses": 5}
"""PERF_COUNT_HW_* of linux/perf_event.h."""


class Sampler(Protocol):
    """Notes where a process is, from `begin` to `end`, as often as one likes."""

    addresses: Counter[int]

    @property
    def how(self) -> str: ...
    @property
    def period_ns(self) -> float | None:
        """Of CPU time from one sample to the next; None where it is not known."""

    def begin(self) -> None: ...
    def end(self) -> None: ...
    def close(self) -> None: ...


class Refusal(NamedTuple):
    """What the system does not allow, as one sentence."""

    why: str


def sampler(pid: int) -> Sampler | Refusal:
    """The best that the system allows."""
    try:
        return EventSampler(pid)
    except OSError as error:
        first = _refused(error)
    if not sys.platform.startswith("linux") or platform.machine() not in _COUNTER_AT:
        return Refusal(first)
    if fault := StoppingSampler.fault(pid):
        return Refusal(f"{first}; ptrace is refused too: {fault}")
    return StoppingSampler(pid)


class EventSampler:
    """The system notes the program counter after each `PERIOD_NS` of CPU time of any of its threads.

    OSError where it will not.
    """

    how = f"the system's clock of CPU time, every {PERIOD_NS / 1e6:g} ms"
    period_ns = float(PERIOD_NS)

    def __init__(self, pid: int) -> None:
        self.addresses: Counter[int] = Counter()
        threads = _threads(pid)
        pages = 2 ** ((max(1, _PAGES // len(threads))).bit_length() - 1)
        self._fds: list[int] = []
        self._buffers: list[mmap.mmap] = []
        try:
            for thread in threads:
                self._fds.append(_open(thread, _SOFTWARE, _CPU_CLOCK, period=PERIOD_NS))
                self._buffers.append(mmap.mmap(self._fds[-1], (1 + pages) * mmap.PAGESIZE))
        except OSError:
            self.close()
            raise

    def begin(self) -> None:
        for fd in self._fds:
            _switch(fd, _ENABLE)

    def end(self) -> None:
        for fd, buffer in zip(self._fds, self._buffers, strict=True):
            _switch(fd, _DISABLE)
            self.addresses.update(_drain(buffer))

    def close(self) -> None:
        for buffer in self._buffers:
            buffer.close()
        for fd in self._fds:
            os.close(fd)
        self._fds, self._buffers = [], []


def _drain(buffer: mmap.mmap) -> list[int]:
    """The addresses in a ring that the system filled, which is empty after it."""
    (head,), (tail,) = (_WORD.unpack_from(buffer, at) for at in (_HEAD_AT, _TAIL_AT))
    size = len(buffer) - mmap.PAGESIZE
    ring = buffer[mmap.PAGESIZE :]
    start = tail % size
    data = (ring[start:] + ring[:start])[: head - tail]
    _WORD.pack_into(buffer, _TAIL_AT, head)
    found, at = [], 0
    while at + _RECORD.size <= len(data):
        kind, _, length = _RECORD.unpack_from(data, at)
        if kind == _SAMPLE:
            found.append(_WORD.unpack_from(data, at + _RECORD.size)[0])
        at += max(length, _RECORD.size)
    return found


class StoppingSampler:
    """A thread that stops the process for a moment, again and again, and reads where its first thread is.

    Only between `begin` and `end` is it anyone's tracer; a process that ends meanwhile is left to whoever waits.
    """

    how = f"stops, {STOP_PERIOD_S * 1e3:g} ms apart"
    period_ns = None

    def __init__(self, pid: int) -> None:
        self.addresses: Counter[int] = Counter()
        self._pid = pid
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    @staticmethod
    def fault(pid: int) -> str:
        """Why the process cannot be traced; '' where it can."""
        tracer = _Tracer(pid)
        try:
            tracer.attach()
            tracer.detach()
        except OSError as error:
            return os.strerror(error.errno or 0)
        return ""

    def begin(self) -> None:
        self._is_over.clear()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def end(self) -> None:
        if self._thread is not None:
            self._is_over.set()
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        self.end()

    def _sample(self) -> None:
        """All in one thread: it alone is the tracer."""
        with suppress(OSError):
            tracer = _Tracer(self._pid)
            tracer.attach()
            try:
                while not self._is_over.is_set():
                    sleep(STOP_PERIOD_S)
                    if (address := tracer.look()) is not None:
                        self.addresses[address] += 1
            finally:
                tracer.detach()


class _Tracer:
    """ptrace of one process, as far as it is needed; OSError where it is refused or the process ended."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._registers = ctypes.create_string_buffer(1024)

    def attach(self) -> None:
        self._ask(_SEIZE)

    def detach(self) -> None:
        """Possible while it is stopped only."""
        self._stop()
        self._ask(_DETACH)

    def look(self) -> int | None:
        """Where it is, if it was at work and no signal was on its way."""
        number = self._stop()
        vector = struct.pack("PN", ctypes.addressof(self._registers), len(self._registers))
        into = ctypes.create_string_buffer(vector, len(vector))
        self._ask(_GETREGSET, _GENERAL_REGISTERS, ctypes.addressof(into))
        self._ask(_CONT, 0, number)
        at = _COUNTER_AT[platform.machine()]
        return None if number else int(_WORD.unpack_from(self._registers, at)[0])

    def _stop(self) -> int:
        """Have it stopped; the signal that it is about to be given, or 0. Does not reap one that ended."""
        self._ask(_INTERRUPT)
        for _ in range(int(_PATIENCE_S / 20e-6)):
            found = os.waitid(os.P_PID, self._pid, os.WSTOPPED | os.WNOHANG)
            if found is not None:
                number = found.si_status & 0xFF
                return 0 if number == signal.SIGTRAP else number
            sleep(20e-6)
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    def _ask(self, request: int, address: int = 0, data: int = 0) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.ptrace.restype = ctypes.c_long
        libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        if libc.ptrace(request, self._pid, address, data) == -1:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class HardwareCounters:
    """What the core counts while a process works; `refusal` says why not, where it counts nothing.

    Not every core has every counter.
    """

    def __init__(self, pid: int) -> None:
        self.refusal = ""
        self._fds: dict[str, list[int]] = {}
        for name, config in EVENTS.items():
            try:
                self._fds[name] = [_open(thread, _HARDWARE, config) for thread in _threads(pid)]
            except OSError as error:
                self.refusal = self.refusal or _refused(error)

    def begin(self) -> None:
        for fd in chain.from_iterable(self._fds.values()):
            _switch(fd, _ENABLE)

    def end(self) -> None:
        for fd in chain.from_iterable(self._fds.values()):
            _switch(fd, _DISABLE)

    def counted(self) -> dict[str, float]:
        """By name; what shared its register with another is scaled up."""
        return {name: sum(map(_counted, fds)) for name, fds in self._fds.items() if all(map(_counted, fds[:1]))}

    def close(self) -> None:
        for fd in chain.from_iterable(self._fds.values()):
            os.close(fd)
        self._fds = {}


def _counted(fd: int) -> float:
    count, enabled, running = struct.unpack("<3Q", os.read(fd, 24))
    return count * enabled / running if running else 0.0


def _open(thread: int, kind: int, config: int, period: int = 0) -> int:
    """A disabled event of one thread, in user mode; OSError where the system has none."""
    number = _PERF_EVENT_OPEN.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    flags = _DISABLED | _NO_KERNEL | _NO_HYPERVISOR
    sample_type, read_format = (_SAMPLE_IP, 0) if period else (0, _TIMES_TOO)
    size = _ATTRIBUTES.size
    attributes = _ATTRIBUTES.pack(kind, size, config, period, sample_type, read_format, flags, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(number, attributes, thread, -1, -1, _CLOSE_ON_EXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(fd)


def _switch(fd: int, request: int) -> None:

    fcntl.ioctl(fd, request, 0)


def _threads(pid: int) -> list[int]:
    if not sys.platform.startswith("linux"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return sorted(int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir())


def _refused(error: OSError) -> str:
    """Why perf_event_open failed, as one sentence without a full stop."""
    if error.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV):
        return "this machine has no such counters, as most virtual machines have none"
    if error.errno in (errno.EPERM, errno.EACCES):
        level = "unknown"
        with suppress(OSError):
            level = Path("/proc/sys/kernel/perf_event_paranoid").read_text().strip()
        return (
            f"perf_event_open is not allowed here: kernel.perf_event_paranoid is {level}, expected 2 or less, "
            f"and containers often forbid it"
        )
    if error.errno == errno.ENOSYS:
        return "perf_event_open is Linux's alone, and is not there in each of its builds"
    return f"perf_event_open failed: {error.strerror}"
