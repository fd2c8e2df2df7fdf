"""Facts about this machine, and the placing of processes on its cores.

Owns what is asked of the operating system. Where a system lacks something, `missing` says so in one
line; nothing here raises for that.
"""

from __future__ import annotations

import functools
import os
import platform
import sys
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import threadpoolctl

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

_PROCESSORS = Path("/proc/cpuinfo")
_NUMBERS = {"cpu family": "family", "model": "model"}
"""Those of a model of x86-64, as Linux calls them there, and as they are called here."""


def host() -> str:
    """The machine's name and processor, for the log."""
    return f"{platform.node() or 'unknown'} ({processor()})"


def versions() -> dict[str, str]:
    """What a measurement depends on besides the target's files."""
    packages = ("pytest-lance-autoresearch", "numpy", "numba", "llvmlite")
    found = {"python": platform.python_version()}
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def missing() -> str:
    """What measuring lacks on this system, in one line; '' on Linux, where nothing is missing."""
    if sys.platform.startswith("linux"):
        return ""
    return (
        f"{platform.system()}: no outside CPU clock and no processor affinity, so wall time alone decides; "
        f"peak RSS is sampled after the windows"
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Let numerics libraries of this process use one thread: on a busy machine several wait for each other."""
    with threadpoolctl.threadpool_limits(1):
        yield


@functools.cache
def _cores() -> frozenset[int]:
    """Those that this process might use when it was first asked, before it moved itself."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


def count_cores() -> int:
    """How many this process may use; 1 where the system does not tell."""
    return max(1, len(_cores()))


def measuring_cores(threads: int = 1) -> frozenset[int]:
    """The cores that timed kernels of so many threads run on; none where no other would be left."""
    return frozenset(sorted(_cores())[-threads:]) if len(_cores()) > threads else frozenset()


def lacking_cores(threads: int) -> str:
    """Why kernels of so many threads cannot be timed here; '' where they can, and where cores cannot be chosen."""
    if threads == 1 or not _cores() or measuring_cores(threads):
        return ""
    return (
        f"target.THREADS is {threads}, so timing needs {threads + 1} cores, one of them for what is not timed; "
        f"this process may use {len(_cores())}"
    )


@contextmanager
def placed(pids: Sequence[int], threads: int = 1) -> Iterator[None]:
    """Keep the workers together on the measuring cores and this process off them."""
    cores = measuring_cores(threads)
    if cores:
        for pid in pids:
            _move(pid, cores)
    with aside(threads), one_thread():
        yield


@contextmanager
def aside(threads: int = 1) -> Iterator[None]:
    """Keep this process off the measuring cores."""
    cores = measuring_cores(threads)
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    _move("self", _cores() - cores)
    try:
        yield
    finally:
        _move("self", before)


@contextmanager
def moved_back() -> Iterator[None]:
    """Give this process its cores back afterwards, whatever several threads did with `aside` meanwhile."""
    if not _cores():
        yield
        return
    before = os.sched_getaffinity(0)
    try:
        yield
    finally:
        _move("self", before)


def put_aside(pid: int) -> None:
    """Keep another process off the core that measures for most, until it is placed."""
    cores = measuring_cores()
    if cores:
        _move(pid, _cores() - cores)


def _move(pid: int | str, cores: Collection[int]) -> None:
    """Every thread of a process: an idle thread of a numerics library may spin for a while.

    That a process has ended is found out at its next order.
    """
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                os.sched_setaffinity(int(thread.name), cores)


def processor() -> str:
    """Its model, as the system calls it, and the numbers of it: a hypervisor calls many by one name."""
    said = _first_processor()
    numbers = [f"{what} {said[key]}" for key, what in _NUMBERS.items() if key in said]
    return ", ".join([said.get("model name") or platform.processor() or platform.machine(), *numbers])


def _first_processor() -> dict[str, str]:
    """What Linux says of the first one; nothing elsewhere."""
    try:
        text = _PROCESSORS.read_text()
    except OSError:
        return {}
    lines = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in lines}
