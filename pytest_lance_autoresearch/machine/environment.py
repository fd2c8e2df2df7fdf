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


def host() -> str:
    """The machine's name and processor, for the log."""
    return f"{platform.node() or 'unknown'} ({_processor()})"


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


def measuring_core() -> int | None:
    """The core that timed kernels run on, where there are two cores or more."""
    return max(_cores()) if len(_cores()) >= 2 else None


@contextmanager
def placed(pids: Sequence[int]) -> Iterator[None]:
    """Keep the workers together on the measuring core and this process off it."""
    core = measuring_core()
    if core is not None:
        for pid in pids:
            _move(pid, {core})
    with aside(), one_thread():
        yield


@contextmanager
def aside() -> Iterator[None]:
    """Keep this process off the measuring core."""
    core = measuring_core()
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    _move_threads(_cores() - {core})
    try:
        yield
    finally:
        _move_threads(before)


def put_aside(pid: int) -> None:
    """Keep another process off the measuring core, until it is placed."""
    core = measuring_core()
    if core is not None:
        _move(pid, _cores() - {core})


def _move(pid: int, cores: Collection[int]) -> None:
    with suppress(ProcessLookupError):  # a process that ended is found out at its next order
        os.sched_setaffinity(pid, cores)


def _move_threads(cores: Collection[int]) -> None:
    """Every thread of this process: an idle thread of a numerics library may spin for a while."""
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            os.sched_setaffinity(int(thread.name), cores)


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
