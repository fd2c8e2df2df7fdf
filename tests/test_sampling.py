"""Looking at another process: where it is, what its core counts, and what the system says no to."""

from __future__ import annotations

import errno
import mmap
import os
import platform
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_lance_autoresearch.machine import sampling
from pytest_lance_autoresearch.machine.sampling import HardwareCounters, Refusal, StoppingSampler

LINUX = sys.platform.startswith("linux") and platform.machine() in ("x86_64", "aarch64")
pytestmark = pytest.mark.skipif(not LINUX, reason="Linux on x86-64 or AArch64 alone")
ENOUGH = 5
"""Samples that show that there are some."""


@pytest.fixture
def busy() -> Iterator[int]:
    """A process that works until it is ended; its id."""
    program = "print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def looked_at(sampler: sampling.Sampler) -> int:
    """How many samples there are once there are enough; all of them were in mapped memory."""
    for _ in range(2000):
        sampler.begin()
        os.sched_yield()
        subprocess.run([sys.executable, "-c", ""], check=True)
        sampler.end()
        if sampler.addresses.total() >= ENOUGH:
            break
    assert all(address > 0 for address in sampler.addresses)
    return sampler.addresses.total()


def test_a_process_is_sampled_in_whatever_way_the_system_allows(busy: int) -> None:
    found = sampling.sampler(busy)
    if not isinstance(found, Refusal):
        with closing(found):
            assert looked_at(found) >= ENOUGH


def test_where_events_are_not_allowed_the_process_is_stopped_and_goes_on(
    busy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, errno.EACCES)
    found = sampling.sampler(busy)
    if isinstance(found, Refusal):
        assert "; ptrace is refused too: " in found.why
        return
    with closing(found):
        assert isinstance(found, StoppingSampler)
        assert looked_at(found) >= ENOUGH
    os.kill(busy, 0)


def refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refused(*_: Any, **__: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(sampling, "_open", refused)


def test_a_process_that_is_gone_cannot_be_traced() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert StoppingSampler.fault(process.pid) != ""


def test_a_stop_that_a_signal_caused_hands_the_signal_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, ...]] = []
    tracer = sampling._Tracer(1)
    monkeypatch.setattr(tracer, "_ask", lambda *request: asked.append(request))
    monkeypatch.setattr(os, "waitid", lambda *_: SimpleNamespace(si_status=14))
    assert tracer.look() is None
    assert asked[-1] == (sampling._CONT, 0, 14)


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.ENOENT, "this machine has no such counters, as most virtual machines have none"),
        (errno.ENOSYS, "perf_event_open is Linux's alone, and is not there in each of its builds"),
        (errno.EMFILE, "perf_event_open failed: Too many open files"),
    ],
)
def test_why_nothing_is_counted_is_one_sentence(monkeypatch: pytest.MonkeyPatch, number: int, why: str) -> None:
    refuse(monkeypatch, number)
    with closing(HardwareCounters(os.getpid())) as counters:
        counters.begin()
        counters.end()
        assert (counters.counted(), counters.refusal) == ({}, why)


def test_what_is_not_allowed_is_told_with_the_setting_that_forbids_it(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, errno.EPERM)
    with closing(HardwareCounters(os.getpid())) as counters:
        why = counters.refusal
    assert why.startswith("perf_event_open is not allowed here: kernel.perf_event_paranoid is ")
    assert why.endswith(", expected 2 or less, and containers often forbid it")


def test_what_shared_a_register_is_scaled_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every counter's file holds its count, and how long it was enabled and ran."""
    files = count(100)
    monkeypatch.setattr(sampling, "_open", lambda *_: next(files))
    monkeypatch.setattr(sampling, "_threads", lambda _: [1])
    monkeypatch.setattr(sampling, "_switch", lambda *_: None)
    told = {100: (1000, 10, 5), 101: (3000, 10, 10), 102: (7, 10, 0), 103: (1, 1, 1), 104: (2, 1, 1)}
    monkeypatch.setattr(os, "read", lambda fd, _: struct.pack("<3Q", *told[fd]))
    monkeypatch.setattr(os, "close", lambda _: None)
    counters = HardwareCounters(1)
    assert counters.counted() == {
        "cycles": 2000.0,
        "instructions": 3000.0,
        "branches": 1.0,
        "branch misses": 2.0,
    }


def test_a_ring_is_read_across_its_end_and_what_is_no_sample_passed_over() -> None:
    page = mmap.PAGESIZE
    lost = struct.pack("<IHHQQ", 2, 0, 24, 1, 1)
    data = struct.pack("<IHHQ", 9, 2, 16, 0x1234) + lost + struct.pack("<IHHQ", 9, 2, 16, 0x5678)
    tail = 3 * page - 20
    with mmap.mmap(-1, 2 * page) as buffer:
        for place, byte in enumerate(data):
            buffer[page + (tail + place) % page] = byte
        struct.pack_into("<QQ", buffer, 1024, tail + len(data), tail)
        assert sampling._drain(buffer) == [0x1234, 0x5678]
        assert sampling._drain(buffer) == []
