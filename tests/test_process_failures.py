"""Who is blamed when a worker fails, and in which words. The workers are scripts."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import scripted
from scripted import READY, Start

from pytest_lance_autoresearch.bench import process
from pytest_lance_autoresearch.bench.process import GRACE_S, LOG_TAIL_BYTES, MOST_AGAIN, KernelProcess
from pytest_lance_autoresearch.bench.waiting import WaitCounter
from pytest_lance_autoresearch.errors import (
    AutoresearchError,
    KernelCrashed,
    KernelRaised,
    KernelRefused,
    KernelReturnedMore,
    KernelTimeout,
    TargetError,
    TrialInvalid,
)
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.kernel_side import worker as worker_module

KEY = "64x32-uniform"
NO_CALLS: list[tuple[Any, ...]] = [()]
"""One call without any argument."""
EXIT = "os._exit(3)"
ENDED = "the kernel's process ended (exit code 3) instead of answering"


def until_zombie(pid: int) -> None:
    while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        pass


PLACES = {
    "it starts": "before a kernel was loaded",
    "its target is loaded": (
        "target 'toy': inputs.py and target.py, while they were loaded in the kernel's process"
    ),
    "its kernel is loaded": "kernels.py, while it was loaded",
    "it is bound": f"{KEY}, while it was bound",
}
PARTIES = {"it starts": TrialInvalid, "its target is loaded": TargetError}
"""Before these stages are over nothing can be the kernel's fault."""


@pytest.mark.parametrize("stage", scripted.UNTIL)
@pytest.mark.parametrize(
    ("script", "kind", "what"),
    [
        ("say(b'f', 'raised ValueError: no')", KernelRaised, "{who} raised ValueError: no"),
        ("say(b'n', 'returned 9 bytes')", KernelReturnedMore, "{who} returned 9 bytes"),
        (EXIT, KernelCrashed, ENDED),
        (
            "os.write(2, b'line 3'); os.kill(os.getpid(), signal.SIGALRM)",
            KernelTimeout,
            "{who} did not answer within 20 s and was ended\nit was here:\nline 3",
        ),
    ],
    ids=["raised", "no room", "ended", "hung"],
)
def test_a_failure_is_the_fault_of_whoever_was_at_work(
    start: Start, tmp_path: Path, stage: str, script: str, kind: type[AutoresearchError], what: str
) -> None:
    with pytest.raises(AutoresearchError) as raised:
        start(f"{scripted.UNTIL[stage]}{script}\ntaken()").bind(KEY, b"")
    who = "the kernel's process" if stage in PARTIES else "the kernel"
    assert str(raised.value) == f"{PLACES[stage]}: {what.format(who=who)}"
    assert type(raised.value) is PARTIES.get(stage, kind)
    assert bool([*tmp_path.glob("kernel-*")]) == (stage == "it is bound")  # one that does not start is given back


@pytest.mark.parametrize("stage", scripted.UNTIL)
def test_a_worker_that_blames_its_target_is_believed(start: Start, stage: str) -> None:
    with pytest.raises(TargetError) as raised:
        start(f"{scripted.UNTIL[stage]}say(b't', 'target.py, line 8, failed')\ntaken()").bind(KEY, b"")
    assert str(raised.value) == (
        "target.py, line 8, failed; that was in the kernel's process: it works in an empty folder, without this "
        "environment, and may start no thread or process"
    )


@pytest.mark.parametrize(
    ("order", "place"),
    [
        (lambda worker: worker.imitate(KEY, wire.Echo((np.ones(1),), is_tuple=False)), ", while it was imitated"),
        (lambda worker: worker.release(KEY), ", while it was released"),
        (lambda worker: worker.run(KEY, [(np.zeros(2**20),)]), ", while its memory was mapped"),
        (lambda worker: worker.run(KEY, NO_CALLS), ""),
    ],
)
def test_a_failure_names_the_order(start: Start, order: Callable[[KernelProcess], None], place: str) -> None:
    with pytest.raises(KernelCrashed) as raised:
        order(start(f"{READY}taken(); {EXIT}"))
    assert str(raised.value) == f"{KEY}{place}: {ENDED}"


def test_an_end_within_a_window_is_one_of_its_case(start: Start) -> None:
    with pytest.raises(KernelCrashed) as raised:
        start(f"{READY}taken(); go(); {EXIT}").run(KEY, NO_CALLS)
    assert str(raised.value) == f"{KEY}: {ENDED}"


def test_a_worker_that_is_gone_takes_no_order(start: Start) -> None:
    worker = start(f"{READY}{EXIT}")
    until_zombie(worker.pid)
    with pytest.raises(KernelCrashed) as raised:
        worker.bind(KEY, bytes(2**21))
    assert str(raised.value) == f"{KEY}, while it was bound: {ENDED}"


def test_a_byte_that_is_no_answer_is_an_end(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = start(f"{READY}taken(); say(b'?'); taken()")
    ticks = iter(range(1000))
    monkeypatch.setattr(process, "clocks", SimpleNamespace(now_s=lambda: next(ticks)))
    with pytest.raises(KernelCrashed) as raised:
        worker.bind(KEY, b"")
    assert str(raised.value) == f"{KEY}, while it was bound: {ENDED.replace('exit code 3', 'without a word')}"


def test_the_end_of_what_it_printed_is_shown_without_its_own_lines(start: Start) -> None:
    printed = "\nlast\x1b[2J\n  File '{}', line 3\nwords\n"
    worker = start(f"{READY}taken(); os.write(1, ('x' * 4000 + {printed!r}.format(__file__)).encode()); {EXIT}")
    with pytest.raises(KernelCrashed) as raised:
        worker.bind(KEY, b"")
    shown = LOG_TAIL_BYTES - len(printed.format(worker_module.__file__))
    assert str(raised.value) == (
        f"{KEY}, while it was bound: {ENDED}\nits last output:\n{'x' * shown}\nlast[2J\nwords"
    )


@pytest.mark.parametrize("threads", [(1, 1, 1, 1, 2), (1, 1, 1, 1, 1, 2)], ids=["before", "after"])
def test_a_thread_is_found_before_a_window_and_after_it(
    start: Start, monkeypatch: pytest.MonkeyPatch, threads: tuple[int, ...]
) -> None:
    counts = iter(threads)
    monkeypatch.setattr(psutil.Process, "num_threads", lambda _: next(counts))
    worker = start(f"{READY}taken(); go(); say(b'd'); taken()")
    with pytest.raises(KernelRefused) as raised:
        worker.run(KEY, NO_CALLS)
    assert str(raised.value) == f"{KEY}: the kernel started a thread; one thread is the rule"


def test_a_worker_that_is_gone_when_its_threads_are_counted_has_ended(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(watched: psutil.Process) -> int:
        raise psutil.NoSuchProcess(watched.pid)

    worker = start(f"{READY}taken(); say(b'r'); {EXIT}")
    monkeypatch.setattr(psutil.Process, "num_threads", gone)
    with pytest.raises(KernelCrashed) as raised:
        worker.run(KEY, NO_CALLS)
    assert str(raised.value) == f"{KEY}: {ENDED}"


LATE = f"{KEY}, while it was bound: the kernel did not answer within 20 s and was ended"


@pytest.mark.parametrize(
    ("waited_s", "expected_s"),
    [
        ([0.04], [20.0]),  # nothing to speak of
        ([12.0, 16.5, 16.5], [20.0, 12.0, 4.5]),
        ([*range(10, 1000, 10)], [20.0, *[10.0] * (MOST_AGAIN - 1)]),  # for ever
    ],
    ids=["idle", "busy", "starved"],
)
def test_a_deadline_does_not_run_while_the_worker_waits_for_a_core(
    start: Start, monkeypatch: pytest.MonkeyPatch, waited_s: list[float], expected_s: list[float]
) -> None:
    """When it is over the worker is told so, and has time to say where it is."""
    worker = start(f"{READY}taken(); taken()")
    polled_ms: list[float] = []
    never = SimpleNamespace(register=lambda *_: None, poll=polled_ms.append)
    monkeypatch.setattr(process, "select", SimpleNamespace(poll=lambda: never, POLLIN=select.POLLIN))
    counted = iter(waited_s)
    monkeypatch.setattr(WaitCounter, "waited_s", lambda _: next(counted))
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *what: told.append(what))
    with pytest.raises(KernelTimeout) as raised:
        worker.bind(KEY, b"")
    assert str(raised.value) == LATE
    assert polled_ms == pytest.approx([1000 * s for s in (*expected_s, GRACE_S)])
    assert told == [(worker.pid, signal.SIGALRM)]


def test_a_worker_that_is_late_says_where_it_is(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = "faulthandler.register(signal.SIGALRM, chain=True); import time; time.sleep(1000)"
    worker = start(f"import faulthandler\n{READY}taken(); {hangs}")
    monkeypatch.setattr(worker, "_timeout_s", 0.5)
    with pytest.raises(KernelTimeout) as raised:
        worker.bind(KEY, b"")
    said = str(raised.value).splitlines()
    assert said[:2] == [LATE.replace("20 s", "0.5 s"), "it was here:"]
    assert len(said) > 2
