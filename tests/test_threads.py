"""Kernels of several threads: how many they may have, where they run, what they may do, and what decides."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any, NamedTuple

import psutil
import pytest
import toys
import workers
from test_sandbox import needs_linux

from pytest_lance_autoresearch.bench.comparison import Comparison
from pytest_lance_autoresearch.bench.oracles import Oracle
from pytest_lance_autoresearch.bench.process import KernelProcess, WindowAnswers
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.errors import KernelIncorrect, KernelRefused, TargetError
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.log import history, results
from pytest_lance_autoresearch.machine import environment
from pytest_lance_autoresearch.plugin import options
from pytest_lance_autoresearch.records import Call, Rules
from pytest_lance_autoresearch.target_files import discover, generate, load
from pytest_lance_autoresearch.target_files.contract import cases_of

TWO = f"THREADS = 2\n{toys.TARGET}"
LACKING = (
    "target 'toy': target.THREADS is 2, so timing needs 3 cores, one of them for what is not timed; "
    "this process may use 2"
)


def loaded(root: Path, threads: int = 2, **files: str) -> load.Target:
    folder = toys.write(root, **{"target": f"THREADS = {threads}\n{toys.TARGET}", **files})
    return load.load(discover.inspect(folder))


def on_cores(monkeypatch: pytest.MonkeyPatch, *cores: int) -> None:
    monkeypatch.setattr(environment, "_cores", lambda: frozenset(cores))


# The number


@pytest.mark.parametrize("number", ["0", "-1", "257", "2.0", "True", "'2'", "None"])
def test_a_number_of_threads_that_is_none_is_refused(tmp_path: Path, number: str) -> None:
    target = load.load(discover.inspect(toys.write(tmp_path, target=f"THREADS = {number}\n{toys.TARGET}")))
    with pytest.raises(TargetError) as raised:
        cases_of(target)
    value = ast.literal_eval(number)
    assert str(raised.value) == f"target 'toy': target.THREADS is {value!r}; expected a whole number from 1 to 256"


def test_one_thread_is_the_rule(tmp_path: Path) -> None:
    assert load.load(discover.inspect(toys.write(tmp_path))).threads == 1
    assert loaded(tmp_path, 256).threads == 256
    assert len(cases_of(loaded(tmp_path, 256))) == len(toys.CASES)


# Cores


@pytest.mark.parametrize(
    ("cores", "threads", "measuring"),
    [
        ((), 1, set()),
        ((0,), 1, set()),
        ((0, 1), 1, {1}),
        ((0, 1), 2, set()),
        ((7, 2, 4, 0), 1, {7}),
        ((7, 2, 4, 0), 3, {2, 4, 7}),
        ((7, 2, 4, 0), 4, set()),
    ],
)
def test_so_many_threads_have_the_highest_cores_and_leave_one(
    monkeypatch: pytest.MonkeyPatch, cores: tuple[int, ...], threads: int, measuring: set[int]
) -> None:
    on_cores(monkeypatch, *cores)
    assert environment.measuring_cores(threads) == measuring
    assert bool(environment.lacking_cores(threads)) == (threads > 1 and not measuring)


def test_where_cores_cannot_be_chosen_none_are_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    on_cores(monkeypatch)
    assert environment.lacking_cores(8) == ""


@needs_linux
def test_kernels_of_two_threads_are_placed_on_two_cores_and_this_process_off_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_cores(monkeypatch, 0, 1, 2, 3)
    before, moved = os.sched_getaffinity(0), list[tuple[int | str, set[int]]]()
    monkeypatch.setattr(environment, "_move", lambda pid, cores: moved.append((pid, set(cores))))
    with environment.placed([7, 8], 2):
        assert moved == [(7, {2, 3}), (8, {2, 3}), ("self", {0, 1})]
    assert moved[3:] == [("self", before)]


def test_a_kernel_is_not_timed_where_cores_are_lacking(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is right there can be told all the same."""
    on_cores(monkeypatch, 0, 1)
    toys.write(pytester.path, target=TWO)
    result = pytester.runpytest(*toys.GATE)
    assert result.ret == 1
    result.stdout.fnmatch_lines([LACKING, "verdict: invalid", f"reason: invalid: {LACKING}"])
    assert result.parseoutcomes()["passed"] == len(toys.CASES)
    pytester.runpytest("-p", "no:randomly", "-q").assert_outcomes(passed=toys.ITEMS)


def test_neither_is_it_compared_or_calibrated(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    on_cores(monkeypatch, 0, 1)
    target = loaded(pytester.path)
    processes = Processes(target, workers.TIMEOUT_S, in_process=False)
    with pytest.raises(TargetError) as raised:
        Comparison(target, target.kernel, cases_of(target), Rules(), processes, lambda *_: None)
    assert str(raised.value) == LACKING
    result = pytester.runpytest(*toys.GATE[:-1], "--autoresearch-calibrate", "-k", "calibration")
    result.stdout.fnmatch_lines([LACKING])


# The kernel's process


class Kernel(NamedTuple):
    """A kernel that is bound, in a process of its own."""

    process: KernelProcess
    target: load.Target
    state: Any

    def run(self) -> tuple[Call, WindowAnswers]:
        """One call of it and its answer, which is not read yet."""
        case = cases_of(self.target)[0]
        (call,) = generate.Feed(self.target, case, self.state, 0, "check").draw(1)
        return call, Oracle(self.target, self.state).run(self.process, "key", [call])


@contextmanager
def running(target: load.Target) -> Iterator[Kernel]:
    state = generate.make_state(target, cases_of(target)[0], 0)
    process = workers.started(target)
    try:
        process.bind("key", generate.pickled(target, state))
        yield Kernel(process, target, state)
    finally:
        process.close()


def test_its_environment_asks_libraries_for_as_many_threads(tmp_path: Path) -> None:
    process = workers.started(loaded(tmp_path, 3))
    found = psutil.Process(process.pid).environ()
    process.close()
    assert {value for name, value in found.items() if name.endswith("_NUM_THREADS")} == {"3"}
    assert found["OMP_WAIT_POLICY"] == "PASSIVE"


def waiting_threads(count: int) -> str:
    return toys.kernel(
        f"for _ in range({count}):\n    Thread(target=Event().wait, daemon=True).start()\nreturn result",
        "from threading import Event, Thread",
    )


@pytest.mark.usefixtures("any_source")
@pytest.mark.parametrize(
    ("threads", "started", "said"),
    [
        (1, 1, "the kernel started a thread; one thread is the rule"),
        (1, 3, "the kernel started 3 threads; one thread is the rule"),
        (2, 3, "the kernel started 3 threads; target.THREADS is 2"),
    ],
)
def test_a_kernel_that_starts_more_threads_than_it_may_is_refused(
    tmp_path: Path, threads: int, started: int, said: str
) -> None:
    with (
        running(loaded(tmp_path, threads, text=waiting_threads(started))) as kernel,
        pytest.raises(KernelRefused) as raised,
    ):
        kernel.run()
    assert str(raised.value) == f"key: {said}"


@pytest.mark.usefixtures("any_source")
def test_as_many_as_it_may_beside_those_that_waited_when_it_was_loaded_are_none_too_many(tmp_path: Path) -> None:
    """What it imports may have a pool of threads: they share the cores, and CPU time tells if they do more."""
    waits = "Thread(target=Event().wait, daemon=True).start()\n"
    text = waiting_threads(2).replace("class Kernel", f"{waits}{waits}class Kernel")
    with running(loaded(tmp_path, 2, text=text)) as kernel:
        kernel.run()


# Between its windows

FILLED = toys.INPUTS.replace("Shape(64, 32)", "Shape(256, 32)").replace(
    "rng.random(state.weights.size),)", "rng.random(state.weights.size), rng.random(state.weights.size))"
)
"""Calls with an output argument."""
FILLS = toys.REFERENCE.replace("(self, x)", "(self, x, out)")
FILLS_LATER = """
import time
from threading import Thread
import numpy as np


class Kernel:
    def __init__(self, weights):
        self.weights = weights

    def product(self, x, out):
        Thread(target=self._fill, args=(x, out)).start()
        return out

    def _fill(self, x, out):
        time.sleep(0.02)
        np.multiply(self.weights, x, out=out)
"""
GOES_ON = toys.kernel(
    "Thread(target=lambda: all(iter(int, 1)), daemon=True).start()\nreturn result", "from threading import Thread"
)
"""It leaves a thread behind that works without end."""


def is_stopped(process: KernelProcess) -> bool:
    for _ in range(1000):  # ten seconds, where it takes none
        if psutil.Process(process.pid).status() == psutil.STATUS_STOPPED:
            return True
        sleep(0.01)
    return False


def settled_ns(process: KernelProcess) -> int:
    """Its CPU time once the last of its threads has stopped, which is a moment after the first."""
    used_ns = -1
    for _ in range(1000):
        before_ns, used_ns = used_ns, process._cpu.now_ns() or 0
        if used_ns == before_ns:
            break
        sleep(0.01)
    return used_ns


@pytest.mark.usefixtures("any_source")
def test_what_a_thread_finishes_after_the_answer_is_not_in_the_answer(tmp_path: Path) -> None:
    """However late the answer is read: the process is stopped with it, as wall time alone decides."""
    target = loaded(tmp_path, text=FILLS_LATER, inputs=FILLED, reference=FILLS)
    with running(target) as kernel:
        call, given = kernel.run()
        assert is_stopped(kernel.process)
        sleep(0.1)
        with pytest.raises(KernelIncorrect, match="8192 of 8192 values differ"):
            Oracle(target, kernel.state).verify(given[0], call, "here")


@pytest.mark.usefixtures("any_source")
def test_no_thread_takes_the_cores_from_the_other_side(tmp_path: Path) -> None:
    with running(loaded(tmp_path, text=GOES_ON)) as kernel:
        kernel.run()
        assert is_stopped(kernel.process)
        before_ns = settled_ns(kernel.process)
        sleep(0.1)
        assert kernel.process._cpu.now_ns() == before_ns
        kernel.process.release("key")  # and an order wakes it
        assert kernel.process._cpu.now_ns() != before_ns


@pytest.mark.parametrize("is_announced", [True, False])
def test_it_is_stopped_after_each_call_that_is_started_by_itself(tmp_path: Path, *, is_announced: bool) -> None:
    with running(loaded(tmp_path)) as kernel:
        calls = generate.Feed(kernel.target, cases_of(kernel.target)[0], kernel.state, 0, "check").draw(3)
        window = wire.Packer().pack("key", calls, 2**16, is_one_by_one=True)
        answers = kernel.process.run_window(window, is_announced=is_announced)
        assert is_stopped(kernel.process)
        oracle = Oracle(kernel.target, kernel.state)
        for index, call in enumerate(calls):
            oracle.verify(answers[index], call, "here")
        assert (answers.window.calls, answers.window.waited_ns) == (3, None)


@needs_linux
@pytest.mark.parametrize(("threads", "is_told"), [(1, True), (2, False)])
def test_waiting_for_one_s_own_threads_is_not_taken_off(tmp_path: Path, threads: int, is_told: bool) -> None:
    """The system tells only that there was no core, and not who had it."""
    with running(loaded(tmp_path, threads)) as kernel:
        _, given = kernel.run()
        assert (given.window.waited_ns is not None) == is_told


def test_a_kernel_of_one_thread_is_not_stopped(tmp_path: Path) -> None:
    with running(loaded(tmp_path, threads=1)) as kernel:
        kernel.run()
        assert psutil.Process(kernel.process.pid).status() != psutil.STATUS_STOPPED


def test_a_stop_that_is_longer_than_an_answer_may_take_is_no_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "TIMEOUT_S", 0.5)
    with running(loaded(tmp_path)) as kernel:
        kernel.run()
        sleep(1.0)
        kernel.run()


# Whole trials


def test_the_record_of_a_trial_says_how_many_threads_its_kernels_had(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_cores(monkeypatch, 0, 1, 5)
    toys.write(pytester.path, target=TWO)
    assert pytester.runpytest(*toys.GATE).ret == 0
    (row,) = results.read(pytester.path / "targets/toy/results.tsv")
    assert history.record_of(pytester.path, row).evidence.threads == 2


PARALLEL = """
import numpy as np
from numba import njit, prange


@njit(parallel=True)
def _product(weights, x):
    result = np.empty_like(x)
    for _ in range(REPEATS):
        for i in prange(x.size):
            result[i] = weights[i] * x[i]
    return result


class Kernel:
    def __init__(self, weights):
        self.weights = weights

    def product(self, x):
        return _product(self.weights, x)
"""


@pytest.mark.slow
def test_a_parallel_kernel_is_judged(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """On what are two cores of their own as far as anyone asks."""
    on_cores(monkeypatch, 0, 1, 5)
    monkeypatch.setattr(options, "Rules", partial(Rules, pairs=2, blocks=1))
    toys.write(pytester.path, target=TWO, text=PARALLEL.replace("REPEATS", "20"))
    assert pytester.runpytest(*toys.GATE).ret == 0
    toys.write(pytester.path, target=TWO, text=PARALLEL.replace("REPEATS", "2"))
    result = pytester.runpytest(*toys.GATE, "--autoresearch-max-seconds=1")
    row = results.read(pytester.path / "targets/toy/results.tsv")[-1]
    assert row.status in {"keep", "inconclusive"}, result.outlines
    assert history.record_of(pytester.path, row).evidence.threads == 2
