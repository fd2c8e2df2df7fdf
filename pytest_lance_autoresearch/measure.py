"""Timed windows: one kernel alone, or baseline and candidate interleaved.

Owns how long a window is, in which order windows run, and which of their answers are verified. Says nothing
about what the times mean.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch import wire, worker
from pytest_lance_autoresearch.errors import KernelFailure, TrialInvalid
from pytest_lance_autoresearch.records import Block, Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_lance_autoresearch.check import Feed, Oracle, Runner
    from pytest_lance_autoresearch.records import Call

WINDOW_NS = 6_000_000
"""Length that a window is planned for; below 5 ms the parent's own overhead shows."""
MAX_CALLS = 1024
MAX_ARGUMENT_BYTES = 2**28
"""Most shared memory that the arguments of one window may take."""
_OVERHEAD_REPEATS = 7
_OVERHEAD_CALLS = 32
_WARM_UP_WINDOWS = 3
"""The fastest of them counts, so that one disturbed window does not decide."""
_THOROUGH_SHARE = 0.25
_THOROUGH_CALLS = 256
_CHOICE = random.SystemRandom()


@dataclass(frozen=True)
class Bench:
    """One case as it is measured: bound key, oracle, fresh calls and the plan of its windows."""

    key: str
    oracle: Oracle
    feed: Feed
    calls: int
    """Calls per window, the same for every window and both sides."""
    result_bytes: int
    call_overhead_ns: float


def plan_bench(key: str, oracle: Oracle, feed: Feed, candidate: Runner, baseline: Runner | None = None) -> Bench:
    """Warm the sides up on inputs that are never timed, and fix the number of calls per window.

    The faster side decides, so that both windows are long enough; a side that feigns slowness in the warm-up
    shortens only its own windows.
    """
    probe = feed.draw(1)
    result_bytes = oracle.result_bytes(probe[0])
    call_ns = _warm_up(candidate, key, oracle, feed, probe, result_bytes)
    overhead_ns = call_overhead_ns(probe[0], candidate.answer(0))
    candidate.forget_warm_up()
    if baseline is not None:
        with blaming_baseline(is_baseline=True):
            call_ns = min(call_ns, _warm_up(baseline, key, oracle, feed, probe, result_bytes))
        baseline.forget_warm_up()
    most = max(1, MAX_ARGUMENT_BYTES // max(1, _argument_bytes(probe[0])))
    calls = max(1, min(math.ceil(WINDOW_NS / call_ns), MAX_CALLS, most))
    return Bench(key, oracle, feed, calls, result_bytes, overhead_ns)


def _warm_up(runner: Runner, key: str, oracle: Oracle, feed: Feed, probe: list[Call], result_bytes: int) -> float:
    """Nanoseconds per call of a window that is long enough to tell; the first call compiles and is not it."""
    runner.run(key, probe, result_bytes)
    oracle.verify(runner.answer(0), probe[0], f"{key}, warm-up call", feed.seed)
    calls = 1
    while True:
        times = [runner.run(key, feed.draw(calls), result_bytes).wall_ns for _ in range(_WARM_UP_WINDOWS)]
        if min(times) >= WINDOW_NS / 3 or calls >= MAX_CALLS:
            return min(times) / calls
        calls = min(MAX_CALLS, 4 * calls)


def measure_alone(bench: Bench, runner: Runner, count: int) -> tuple[Window, ...]:
    """`count` windows of one kernel; one answer of each, drawn after it was given, is verified."""
    windows = []
    for _ in range(count):
        calls = bench.feed.draw(bench.calls)
        windows.append(runner.run(bench.key, calls, bench.result_bytes))
        index = _CHOICE.randrange(len(calls))
        _compare(bench, runner, calls, index, bench.oracle.expected(calls[index]))
    return tuple(windows)


def measure_block(bench: Bench, baseline: Runner, candidate: Runner, *, thorough: bool = False) -> Block:
    """Four interleaved windows in a random ABBA order; `thorough` verifies far more of the candidate's answers."""
    order = _CHOICE.choice(("ABBA", "BAAB"))
    windows: list[Window] = []
    for half in (order[:2], order[2:]):
        calls = bench.feed.draw(bench.calls)
        for letter in half:
            with blaming_baseline(is_baseline=letter == "A"):
                side = baseline if letter == "A" else candidate
                windows.append(side.run(bench.key, calls, bench.result_bytes))
        _verify_pair(bench, baseline, candidate, calls, thorough=thorough)
    return Block(bench.key, order, (windows[0], windows[1], windows[2], windows[3]))


def call_overhead_ns(call: Call, answer: Any) -> float:
    """What the worker's loop costs per call with a kernel that does nothing, measured in this process."""
    plan, packed = wire.plan_window("null", [call] * _OVERHEAD_CALLS, 0)
    arena = wire.Arena.create(plan.memory_bytes)
    arena.bytes[wire.TEXT_BYTES : wire.TEXT_BYTES + packed.size] = packed
    host = worker.KernelHost(arena)
    host.adopt("null", lambda *_: answer)
    times = [_loop_ns(host, plan) / len(plan.calls) for _ in range(_OVERHEAD_REPEATS)]
    arena.close()
    return statistics.median(times)


def _loop_ns(host: worker.KernelHost, plan: wire.WindowPlan) -> int:
    function, calls = host.prepare(plan)
    start = time.perf_counter_ns()
    worker.run_calls(function, calls)
    return time.perf_counter_ns() - start


def _verify_pair(
    bench: Bench, baseline: Runner, candidate: Runner, calls: Sequence[Call], *, thorough: bool
) -> None:
    """Compare drawn answers of the candidate, and one of the baseline.

    Which answers count is drawn only now, after all were given: one, or in a thorough block every fourth time
    all of them (256 at most).
    """
    count = len(calls)
    all_of_them = thorough and _CHOICE.random() < _THOROUGH_SHARE
    drawn = _CHOICE.sample(range(count), min(count, _THOROUGH_CALLS) if all_of_them else 1)
    for index in drawn:
        expected = bench.oracle.expected(calls[index])
        _compare(bench, candidate, calls, index, expected)
        if index == drawn[0]:
            with blaming_baseline(is_baseline=True):
                _compare(bench, baseline, calls, index, expected)


def _compare(bench: Bench, runner: Runner, calls: Sequence[Call], index: int, expected: Any) -> None:
    where = f"{bench.key}, timed call {index + 1} of {len(calls)}"
    bench.oracle.compare(runner.answer(index), expected, calls[index], where, bench.feed.seed)


@contextmanager
def blaming_baseline(*, is_baseline: bool) -> Iterator[None]:
    """A failure of the baseline is no fault of the candidate: it makes the trial invalid."""
    try:
        yield
    except KernelFailure as failure:
        if not is_baseline:
            raise
        raise TrialInvalid(f"the baseline kernel failed: {failure}") from failure


def _argument_bytes(call: Call) -> int:
    return sum(getattr(value, "nbytes", 0) for value in call)
