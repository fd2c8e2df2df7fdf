"""The parent's side of a worker: its clock, its memory, its beginning and its end. The workers are scripts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import sleep
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from scripted import READY, Start

from pytest_lance_autoresearch.bench import process
from pytest_lance_autoresearch.errors import KernelRaised
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.machine import clocks, interrupt
from pytest_lance_autoresearch.records import Window

KEY = "64x32-uniform"
NO_CALLS: list[tuple[Any, ...]] = [()]
"""One call without any argument."""


# A window


class Meters:
    """Stands for the clocks around a window, and notes in which order they are asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.has_arrived: Callable[[], bool] = bool
        """Whether the argument is in the memory."""
        self.times = iter((1_000, 5_000))

    def now_ns(self) -> int:
        self.asked.append(("clock", self.has_arrived()))
        return next(self.times)

    now_s = staticmethod(clocks.now_s)
    cpu_times: Iterator[int | None] = iter(())

    @property
    def cpu(self) -> SimpleNamespace:
        """The worker's account."""
        now_ns = partial(next, self.cpu_times)
        return SimpleNamespace(
            skip=self.skip, opens=self.opens, closes=self.closes, since=self.since, now_ns=now_ns
        )

    def skip(self) -> None:
        self.asked.append("skip")

    def opens(self, key: str, calls: int, order_bytes: int) -> int:
        self.asked.append(("opens", key, calls, order_bytes > 0, self.has_arrived()))
        return 100

    def closes(self, key: str, opened_ns: int, wall_ns: int) -> int:
        self.asked.append(("closes", key, opened_ns, wall_ns))
        return 30

    def since(self, opened_ns: int) -> int:
        return 170 - opened_ns

    def ordered(self) -> None:
        self.asked.append("ordered")

    def begin(self) -> None:
        self.asked.append("begin")

    def launched(self) -> None:
        self.asked.append("launched")

    def end(self) -> tuple[int, int]:
        self.asked.append("end")
        return 11, 22

    def close(self) -> None:
        pass


def test_a_window_is_timed_by_this_process_alone(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an order takes is left out of the CPU time. Arguments arrive when the worker has prepared all else."""
    meters, write = Meters(), os.write

    def noted(fd: int, data: bytes) -> int:
        if data == wire.GO:
            meters.asked.append("go")
        return write(fd, data)

    monkeypatch.setattr(process, "CpuAccount", lambda *_: meters.cpu)
    monkeypatch.setattr(process, "WaitCounter", lambda _: meters)
    monkeypatch.setattr(process, "clocks", meters)
    monkeypatch.setattr(os, "write", noted)
    worker = start(f"{READY}taken(); go(); assert arguments[0] == 7; say(b'd'); taken()")
    assert meters.asked == ["ordered", "skip"] * 2
    meters.asked.clear()
    meters.has_arrived = lambda: bool(worker._memory.arguments.bytes[0] == 7)
    answers = worker.run(KEY, [(np.array([7], np.uint8),), ()])
    assert meters.asked == [
        "ordered",
        ("opens", KEY, 2, True, False),
        ("clock", True),
        "begin",
        "go",
        "launched",
        "end",
        ("clock", True),
        ("closes", KEY, 100, 4_000),
    ]
    assert answers.window == Window(2, 4_000, 30, 11, 22)
    assert answers.settled() == replace(answers.window, cpu_ns=70)


@pytest.mark.parametrize(
    ("cpu_times", "took_ns"), [((70, 100), 30), ((None, None), 4_000), ((70, None), 4_000), ((None, 70), 4_000)]
)
def test_building_takes_the_cpu_time_of_the_order_that_builds(
    start: Start, monkeypatch: pytest.MonkeyPatch, cpu_times: tuple[int | None, ...], took_ns: int
) -> None:
    """Or this process's time where the system counts none. To send and unpickle a state is no part of it."""
    meters = Meters()
    meters.cpu_times = iter(cpu_times)
    monkeypatch.setattr(process, "CpuAccount", lambda *_: meters.cpu)
    monkeypatch.setattr(process, "clocks", meters)
    worker = start(f"{READY}taken(); say(b'd'); taken(); say(b'd'); taken()")
    meters.asked.clear()
    assert worker.bind(KEY, b"") == took_ns
    assert meters.asked[:3] == ["skip", ("clock", False), "skip"]


def test_what_a_worker_did_not_write_is_no_answer(start: Start) -> None:
    """Nor is what it wrote for the window before."""
    worker = start(f"{READY}taken(); go(); store(7, 8); say(b'd')\ntaken(); go(); say(b'd'); taken()")
    assert worker.run(KEY, NO_CALLS)[0].tolist() == [7, 8]
    with pytest.raises(KernelRaised) as raised:
        worker.run(KEY, NO_CALLS)[0]
    assert str(raised.value) == f"{KEY}: the kernel wrote no result"


def test_after_an_interrupt_no_window_begins(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def came() -> None:
        raise KeyboardInterrupt

    worker = start(f"{READY}taken()")
    monkeypatch.setattr(interrupt, "obey", came)
    with pytest.raises(KeyboardInterrupt):
        worker.run(KEY, NO_CALLS)


# Memory


def test_the_mark_is_counted_without_what_is_shared(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = start(f"{READY}taken()")
    monkeypatch.setattr(process, "_PROC_STATUS", str(tmp_path / "status-{pid}"))
    seen = []
    for kib in (300, 700, 500):
        (tmp_path / f"status-{worker.pid}").write_text(f"VmHWM:\t{kib} kB\nRssAnon:\t1 kB\nRssShmem:\t100 kB\n")
        seen.append(worker.peak_rss_bytes())
    assert seen == [200 * 1024, 600 * 1024, 600 * 1024]


@pytest.mark.parametrize("status", [None, "Name:\tpython\n", "VmHWM:\t300 kB\n"])
def test_without_a_mark_the_present_size_counts(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str | None
) -> None:
    worker, sizes = start(f"{READY}taken()"), iter((30, 70, 50))
    monkeypatch.setattr(process, "_PROC_STATUS", str(tmp_path / "status"))
    monkeypatch.setattr(psutil.Process, "memory_info", lambda _: SimpleNamespace(rss=next(sizes)))
    if status is not None:
        (tmp_path / "status").write_text(status)
    assert [worker.peak_rss_bytes() for _ in range(3)] == [30, 70, 70]


def test_a_worker_that_has_ended_has_no_memory_and_that_is_no_error(start: Start) -> None:
    worker = start(f"{READY}taken()")
    worker.end()
    worker.forget_warm_up()
    assert worker.peak_rss_bytes() == 0


# Beginning and end


@pytest.mark.parametrize("checks_bounds", [False, True])
def test_the_environment_is_one_thread_and_folders_of_its_own(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checks_bounds: bool
) -> None:
    monkeypatch.setenv("SECRET", "seed")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/lib")
    for name in ("DYLD_LIBRARY_PATH", "SYSTEMROOT"):
        monkeypatch.delenv(name, raising=False)
    found = psutil.Process(start(f"{READY}taken()", checks_bounds=checks_bounds).pid).environ()
    threads = {name: found.pop(name) for name in list(found) if name.endswith("_NUM_THREADS")}
    assert {*threads.values()} == {"1"}
    assert {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"} <= {*threads}
    own = {"TMPDIR", "HOME", "NUMBA_CACHE_DIR"}
    assert all(Path(found.pop(name)).parent.parent == tmp_path for name in own)
    bounds = {"NUMBA_BOUNDSCHECK": "1"} if checks_bounds else {}
    assert found == {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "OMP_WAIT_POLICY": "PASSIVE",
        "LD_LIBRARY_PATH": "/opt/lib",
        **bounds,
    }


def test_with_a_worker_end_the_processes_that_it_started(start: Start) -> None:
    worker = start(f"if not os.fork():\n    time.sleep(60)\n    os._exit(0)\n{READY}taken()")
    (child,) = psutil.Process(worker.pid).children()
    worker.end()
    for _ in range(1000):  # ten seconds, where it takes none
        if is_over(child):
            return
        sleep(0.01)
    raise AssertionError("the child is still there")


def is_over(child: psutil.Process) -> bool:
    """Its parent is gone, so that it may stay a zombie."""
    with suppress(psutil.NoSuchProcess):
        return bool(child.status() == psutil.STATUS_ZOMBIE)
    return True


def test_ending_and_closing_are_safe_more_than_once(start: Start, tmp_path: Path) -> None:
    worker = start(f"{READY}taken()")
    worker.end()
    worker.end()
    assert not psutil.pid_exists(worker.pid)
    worker.close()
    assert not [*tmp_path.glob("kernel-*")]
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(16)]  # they have the numbers that were given back
    worker.close()
    worker.end()
    for fd in others:
        os.close(fd)  # OSError if it was closed with the worker
