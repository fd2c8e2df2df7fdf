"""Facts about this machine, and the placing of processes on its cores.

Owns what is asked of the operating system. Where a system lacks something, `missing` says so in one
line; nothing here raises for that.
"""

from __future__ import annotations

import fcntl
import os
import platform
import sys
import tempfile
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import threadpoolctl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


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


@contextmanager
def timing_lock(waiting: Callable[[], AbstractContextManager[None]] = nullcontext) -> Iterator[None]:
    """Held while one trial measures; a second trial of this user on this machine waits, inside `waiting()`."""
    path = Path(tempfile.gettempdir()) / f"pytest-lance-autoresearch-{os.getuid()}.lock"
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            with waiting():
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


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


@contextmanager
def placed(pids: Sequence[int]) -> Iterator[None]:
    """Keep the workers together on one core and this process off it, where there are two cores or more."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if len(cores) < 2:
        yield
        return
    core = max(cores)
    for pid in pids:
        with suppress(ProcessLookupError):  # a process that ended is found out at its next order
            os.sched_setaffinity(pid, {core})
    _move_threads(cores - {core})
    try:
        with one_thread():
            yield
    finally:
        _move_threads(cores)


def _move_threads(cores: set[int]) -> None:
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
