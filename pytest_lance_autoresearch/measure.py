"""Timed windows: one kernel alone, or baseline and candidate interleaved.

Owns how long a window is, in which order windows run, and which of their answers are verified. Says nothing
about what the times mean.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch import clocks, wire
from pytest_lance_autoresearch.errors import KernelFailure, TrialInvalid
from pytest_lance_autoresearch.records import Block, Window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_lance_autoresearch.check import Feed, Oracle
    from pytest_lance_autoresearch.process import KernelProcess
    from pytest_lance_autoresearch.records import Call

WINDOW_NS = 6_000_000
"""Length that a window is planned for; below 5 ms the parent's own overhead shows."""
MAX_CALLS = 1024
MAX_ARGUMENT_BYTES = 2**28
"""Most shared memory that the arguments of one window may take."""
_OVERHEAD_WINDOWS = 7
_SIZING_CALLS = 4
"""Further calls whose results are looked at for their size."""
_WARM_UP_WINDOWS = 3
"""The fastest of them counts, so that one disturbed window does not decide."""
_BINDING_SHARE = 0.5
"""Most time for binding states anew, as a share of that for the blocks."""
_THOROUGH_SHARE = 0.25
_THOROUGH_CALLS = 256
_CHOICE = random.SystemRandom()


@dataclass(frozen=True)
class Handicap:
    """Known fractions by which the calls of either side are prolonged; None leaves the kernel untouched."""

    baseline: float | None = None
    candidate: float | None = None

    def of(self, letter: str) -> float | None:
        return self.baseline if letter == "A" else self.candidate


NO_HANDICAP = Handicap()


@dataclass
class Bench:
    """One case as it is measured: bound key and state, oracle, fresh calls and the plan of its windows."""

    key: str
    state: bytes
    oracle: Oracle
    feed: Feed
    calls: int
    """Calls per window, the same for every window and both sides."""
    result_bytes: int
    call_overhead_ns: float
    handicap: Handicap
    measuring_s: float = 0.0
    binding_s: float = 0.0
    """Spent on blocks so far, and on binding the state anew before them."""


def plan_bench(
    key: str,
    state: bytes,
    oracle: Oracle,
    feed: Feed,
    null: KernelProcess,
    candidate: KernelProcess,
    baseline: KernelProcess | None = None,
    handicap: Handicap = NO_HANDICAP,
) -> Bench:
    """Bind the state, warm the sides up on inputs that are never timed, and fix the calls per window.

    In `null`, a process without a kernel, it is measured what the runner itself costs. The faster side decides how
    many calls there are, so that both windows are long enough; a side that feigns slowness in the warm-up shortens
    only its own windows.
    """
    candidate.bind(key, state, handicap.candidate)
    if baseline is not None:
        with blaming_baseline(is_baseline=True):
            baseline.bind(key, state, handicap.baseline)
    probe = feed.draw(1)
    result_bytes = oracle.result_bytes([*probe, *feed.draw(_SIZING_CALLS)])
    call_ns = _warm_up(candidate, key, oracle, feed, probe, result_bytes)
    echo = candidate.echo(0)
    candidate.forget_warm_up()
    if baseline is not None:
        with blaming_baseline(is_baseline=True):
            call_ns = min(call_ns, _warm_up(baseline, key, oracle, feed, probe, result_bytes))
        baseline.forget_warm_up()
    most = max(1, MAX_ARGUMENT_BYTES // max(1, _argument_bytes(probe[0])))
    calls = max(1, min(math.ceil(WINDOW_NS / call_ns), MAX_CALLS, most))
    overhead_ns = _call_overhead_ns(key, null, echo, probe * calls, result_bytes)
    return Bench(key, state, oracle, feed, calls, result_bytes, overhead_ns, handicap)


def _warm_up(
    runner: KernelProcess, key: str, oracle: Oracle, feed: Feed, probe: list[Call], result_bytes: int
) -> float:
    """Nanoseconds per call of a window that is long enough to tell; the first call compiles and is not it."""
    oracle.run(runner, key, probe, result_bytes)
    oracle.verify(runner.answer(0), probe[0], f"{key}, warm-up call", feed.seed)
    calls = 1
    while True:
        times = [oracle.run(runner, key, feed.draw(calls), result_bytes).wall_ns for _ in range(_WARM_UP_WINDOWS)]
        if min(times) >= WINDOW_NS / 3 or calls >= MAX_CALLS:
            return min(times) / calls
        calls = min(MAX_CALLS, 4 * calls)


def measure_alone(bench: Bench, runner: KernelProcess, count: int) -> tuple[Window, ...]:
    """`count` windows of one kernel; one answer of each, drawn after it was given, is verified."""
    windows = []
    for _ in range(count):
        calls = bench.feed.draw(bench.calls)
        windows.append(bench.oracle.run(runner, bench.key, calls, bench.result_bytes))
        index = _CHOICE.randrange(len(calls))
        _compare(bench, runner, calls, index, bench.oracle.expected(calls[index]))
    return tuple(windows)


def measure_block(
    bench: Bench, baseline: KernelProcess, candidate: KernelProcess, *, thorough: bool = False
) -> Block:
    """Four interleaved windows; `thorough` verifies far more of the candidate's answers.

    The sides take turns, and which begins is drawn: a side whose two windows follow each other (ABBA) finds its
    caches warm in the second, which makes it 1 % faster there and the other side slower after it.
    """
    order = _CHOICE.choice(("ABAB", "BABA"))
    sides = {"A": baseline, "B": candidate}
    _bind_anew(bench, sides, order[:2])
    start_s = clocks.now_s()
    windows: list[Window] = []
    for half in (order[:2], order[2:]):
        calls = bench.feed.draw(bench.calls)
        ran: list[Window] = []
        for letter in half:
            with blaming_baseline(is_baseline=letter == "A"):
                ran.append(bench.oracle.run(sides[letter], bench.key, calls, bench.result_bytes))
        _verify_pair(bench, baseline, candidate, calls, thorough=thorough)
        windows += [sides[letter].with_rest(window) for letter, window in zip(half, ran, strict=True)]
    bench.measuring_s += clocks.now_s() - start_s
    return Block(bench.key, order, (windows[0], windows[1], windows[2], windows[3]))


def _bind_anew(bench: Bench, sides: Mapping[str, KernelProcess], letters: str) -> None:
    """Give both sides fresh buffers, so that where these happen to lie differs from block to block.

    Left out while it would take too much of the time. The side whose window comes first is bound and warmed up
    first: either finds the caches as the other left them.
    """
    if bench.binding_s > _BINDING_SHARE * bench.measuring_s:
        return
    start_s = clocks.now_s()
    for letter in letters:
        with blaming_baseline(is_baseline=letter == "A"):
            sides[letter].release(bench.key)
            sides[letter].bind(bench.key, bench.state, bench.handicap.of(letter))
            bench.oracle.run(sides[letter], bench.key, bench.feed.draw(1), bench.result_bytes)
    bench.binding_s += clocks.now_s() - start_s


def _call_overhead_ns(
    key: str, null: KernelProcess, echo: wire.Echo, calls: Sequence[Call], result_bytes: int
) -> float:
    """What the runner costs per call, from windows like the timed ones of a kernel that does nothing."""
    null.imitate(key, echo)
    windows = [null.run(key, calls, result_bytes) for _ in range(_OVERHEAD_WINDOWS)]
    null.release(key)
    return statistics.median((w.wall_ns - (w.waited_ns or 0)) / w.calls for w in windows)


def _verify_pair(
    bench: Bench, baseline: KernelProcess, candidate: KernelProcess, calls: Sequence[Call], *, thorough: bool
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


def _compare(bench: Bench, runner: KernelProcess, calls: Sequence[Call], index: int, expected: Any) -> None:
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
