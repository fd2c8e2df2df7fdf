"""The worker's loop: what it gives back, and when. Its orders come from a list here, its answers go to a pipe."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pytest_lance_autoresearch.kernel_side import wire, worker

BIG = 2**22
"""Far above what else a loop takes and gives back."""


def packed(*order: Any) -> bytes:
    data = pickle.dumps(order, protocol=5)
    return worker.LENGTH.pack(len(data)) + data


class Orders(io.BytesIO):
    """Orders that watch how much memory the worker holds when it asks for the next one."""

    def __init__(self, *orders: bytes) -> None:
        super().__init__(b"".join(orders))
        self.held: list[int] = []

    def read(self, size: int | None = -1, /) -> bytes:
        if size == worker.LENGTH.size:
            self.held.append(tracemalloc.get_traced_memory()[0])
        return super().read(size)


@pytest.fixture
def memory() -> Iterator[wire.Memory]:
    made = wire.Memory.create()
    yield made
    made.close()


@pytest.fixture
def _wired(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target whose kernel is a function that keeps its state."""

    def bind(_: Any, state: Any) -> Any:
        return lambda *_: state[:1]

    start = worker.KernelHost.__init__

    def wired(self: worker.KernelHost, memory: wire.Memory, shared_fd: int, *, guards: bool) -> None:
        start(self, memory, shared_fd, guards=guards)
        self._wiring = SimpleNamespace(bind=bind)

    monkeypatch.setattr(worker.KernelHost, "__init__", wired)
    monkeypatch.setattr(worker, "gc", SimpleNamespace(collect=lambda: 0, freeze=lambda: None))


def served(memory: wire.Memory, *orders: bytes, shared_fd: int = -1) -> tuple[bytes, list[int]]:
    """The answers, and the bytes held after each of the orders, above those held before the first."""
    answers, answer_fd = os.pipe()
    asked = Orders(*orders)
    tracemalloc.start()
    try:
        worker.serve(memory, asked, answer_fd, 0.0, shared_fd)
    finally:
        tracemalloc.stop()
        os.close(answer_fd)
    with os.fdopen(answers, "rb") as stream:
        said = stream.read()
    return said, [held - asked.held[0] for held in asked.held[1:]]


def window(*calls: tuple[Any, ...]) -> bytes:
    return packed("prepare", wire.Packer().pack("key", calls, 0).plan) + wire.GO


def bound(size: int) -> bytes:
    return taken(size) + packed("bind", "key")


def taken(size: int) -> bytes:
    return packed("take_state", pickle.dumps(np.zeros(size, np.uint8), protocol=5))


@pytest.mark.usefixtures("_wired")
def test_a_pickled_state_is_given_back_before_its_order_is_answered(memory: wire.Memory) -> None:
    said, (after_taking, after_binding) = served(memory, bound(BIG))
    assert said == wire.READY + wire.DONE * 2
    assert 2 * BIG <= after_taking < 2.5 * BIG  # what is unpickled again, should target.bind fail
    assert BIG <= after_binding < 1.5 * BIG  # the kernel's own copy, and not the pickle


@pytest.mark.usefixtures("_wired")
def test_a_kernel_that_is_not_built_gives_its_state_back(memory: wire.Memory) -> None:
    said, (_, after_failing) = served(memory, taken(BIG), packed("bind", []))  # a list names nothing
    assert said == wire.READY + wire.DONE + wire.FAILED
    assert after_failing < 0.5 * BIG


@pytest.mark.usefixtures("_wired")
def test_a_kernel_is_given_back_when_it_is_released_even_after_a_window(memory: wire.Memory) -> None:
    said, (*_, after_window, after_release) = served(memory, bound(BIG), window((1,)), packed("release", "key"))
    assert said == wire.READY + wire.DONE * 2 + wire.READY + wire.DONE + wire.DONE
    assert after_window >= BIG
    assert after_release < 0.5 * BIG


@pytest.mark.usefixtures("_wired")
def test_a_kernel_that_another_replaces_is_given_back_with_it(memory: wire.Memory) -> None:
    _, held = served(memory, bound(BIG), window((1,)), bound(1))
    assert held[-1] < 0.5 * BIG


@pytest.mark.usefixtures("_wired")
def test_what_a_window_was_fed_is_given_back_with_the_next_order_and_not_while_the_clock_runs(
    memory: wire.Memory,
) -> None:
    feed = bytes(BIG)
    _, (*_, after_window, after_the_next) = served(memory, bound(1), window((feed,)), window((1,)))
    assert BIG <= after_window < 1.5 * BIG
    assert after_the_next < 0.5 * BIG


@pytest.mark.usefixtures("_wired")
def test_an_order_that_fails_is_given_back_as_well(memory: wire.Memory) -> None:
    said, (*_, held) = served(memory, bound(1), packed("release", bytes(BIG)))
    assert said == wire.READY + wire.DONE * 2 + wire.FAILED
    assert held < 0.5 * BIG


def test_the_package_is_found_where_the_parents_is_and_not_where_another_is_installed(tmp_path: Path) -> None:
    theirs = shutil.copytree(Path(worker.__file__).parents[1], tmp_path / "pytest_lance_autoresearch")
    (theirs / "kernel_side" / "modules.py").write_text("raise SystemExit(42)")
    command = [
        sys.executable,
        "-I",
        theirs / "kernel_side" / "worker.py",
        *"0000000",
        "0",
        "free",
        "",
        "",
        tmp_path,
    ]
    assert subprocess.run(command, check=False, timeout=60).returncode == 42


def theirs(memory: wire.Memory) -> wire.Memory:
    return wire.Memory(*(wire.Arena(os.dup(one.fd), one.size) for one in (memory.arguments, memory.results)))


def test_the_worker_follows_when_more_or_less_is_mapped(memory: wire.Memory) -> None:
    worker_memory = theirs(memory)
    memory.arguments.fit(10**6)
    memory.results.fit(10)
    order = packed("remap", *memory.sizes())
    assert served(worker_memory, order)[0] == wire.READY + wire.DONE
    assert worker_memory.sizes() == memory.sizes()
    worker_memory.close()


@pytest.mark.usefixtures("_wired")
def test_the_worker_finds_its_arguments_in_the_shared_memory_once_it_is_told_to(memory: wire.Memory) -> None:
    shared, worker_memory = wire.Arena.create(2**17), theirs(memory)
    memory.arguments.bytes[0], shared.bytes[0] = 1, 2
    orders = packed("share", shared.size), packed("remap", shared.size, memory.results.size)
    assert served(worker_memory, *orders, shared_fd=os.dup(shared.fd))[0] == wire.READY + 2 * wire.DONE
    assert worker_memory.arguments.bytes[0] == 2
    worker_memory.close()
    shared.close()
