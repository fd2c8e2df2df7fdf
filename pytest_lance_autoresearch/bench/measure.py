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

from pytest_lance_autoresearch.errors import KernelFailure, TrialInvalid
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.machine import clocks
from pytest_lance_autoresearch.records import Block, Window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_lance_autoresearch.bench.oracles import Oracle
    from pytest_lance_autoresearch.bench.process import KernelProcess, WindowAnswers
    from pytest_lance_autoresearch.records import Call
    from pytest_lance_autoresearch.target_files.generate import Feed

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
"""Most time for binding states again, as a share of that for the blocks."""
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
class CasePlan:
    """One case as it is measured: bound key and state, oracle, fresh calls and the size of its windows."""

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
    """Spent on blocks so far, and on binding the state again before them."""

    def run(self, process: KernelProcess, calls: list[Call]) -> WindowAnswers:
        """The calls as one window."""
        return self.oracle.run(process, self.key, calls, self.result_bytes)


def plan_case(
    key: str,
    state: bytes,
    oracle: Oracle,
    feed: Feed,
    null: KernelProcess,
    candidate: KernelProcess,
    baseline: KernelProcess | None = None,
    handicap: Handicap = NO_HANDICAP,
) -> CasePlan:
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
    call_ns, answers = _warm_up(candidate, key, oracle, feed, probe, result_bytes)
    echo = answers.echo(0)
    candidate.forget_warm_up()
    if baseline is not None:
        with blaming_baseline(is_baseline=True):
            call_ns = min(call_ns, _warm_up(baseline, key, oracle, feed, probe, result_bytes)[0])
        baseline.forget_warm_up()
    most = max(1, MAX_ARGUMENT_BYTES // max(1, _argument_bytes(probe[0])))
    calls = max(1, min(math.ceil(WINDOW_NS / call_ns), MAX_CALLS, most))
    overhead_ns = _call_overhead_ns(key, null, echo, probe * calls, result_bytes)
    return CasePlan(key, state, oracle, feed, calls, result_bytes, overhead_ns, handicap)


def _warm_up(
    process: KernelProcess, key: str, oracle: Oracle, feed: Feed, probe: list[Call], result_bytes: int
) -> tuple[float, WindowAnswers]:
    """Nanoseconds per call of a window that is long enough to tell, and the last answers.

    The first call compiles and is not counted.
    """
    answers = oracle.run(process, key, probe, result_bytes)
    oracle.verify(answers[0], probe[0], f"{key}, warm-up call", feed.seed)
    calls = 1
    while True:
        times = []
        for _ in range(_WARM_UP_WINDOWS):
            answers = oracle.run(process, key, feed.draw(calls), result_bytes)
            times.append(answers.window.wall_ns)
        if min(times) >= WINDOW_NS / 3 or calls >= MAX_CALLS:
            return min(times) / calls, answers
        calls = min(MAX_CALLS, 4 * calls)


def measure_alone(plan: CasePlan, process: KernelProcess, count: int) -> tuple[Window, ...]:
    """`count` windows of one kernel; one answer of each, chosen after it was given, is verified."""
    windows = []
    for _ in range(count):
        calls = plan.feed.draw(plan.calls)
        answers = plan.run(process, calls)
        windows.append(answers.window)
        index = _CHOICE.randrange(len(calls))
        _compare(plan, answers, calls, index, plan.oracle.expected(calls[index]))
    return tuple(windows)


def measure_block(
    plan: CasePlan, baseline: KernelProcess, candidate: KernelProcess, *, thorough: bool = False
) -> Block:
    """Four interleaved windows; `thorough` verifies far more of the candidate's answers.

    The sides take turns, and which begins is left to chance: a side whose two windows follow each other (ABBA)
    finds its caches warm in the second, which makes it 1 % faster there and the other side slower after it.
    """
    order = _CHOICE.choice(("ABAB", "BABA"))
    sides = {"A": baseline, "B": candidate}
    _bind_again(plan, sides, order[:2])
    start_s = clocks.now_s()
    first, second = _measure_half(plan, sides, order[:2], thorough=thorough)
    third, fourth = _measure_half(plan, sides, order[2:], thorough=thorough)
    plan.measuring_s += clocks.now_s() - start_s
    return Block(plan.key, order, (first, second, third, fourth))


def _measure_half(
    plan: CasePlan, sides: Mapping[str, KernelProcess], letters: str, *, thorough: bool
) -> tuple[Window, Window]:
    """A window of each side, in the order of their letters, on the same calls; answers of both are verified."""
    calls = plan.feed.draw(plan.calls)
    answers = {}
    for letter in letters:
        with blaming_baseline(is_baseline=letter == "A"):
            answers[letter] = plan.run(sides[letter], calls)
    _verify_half(plan, answers["A"], answers["B"], calls, thorough=thorough)
    first, second = (answers[letter].settled() for letter in letters)
    return first, second


def _bind_again(plan: CasePlan, sides: Mapping[str, KernelProcess], letters: str) -> None:
    """Give both sides fresh buffers, so that their places in memory differ from block to block.

    Left out while it would take too much of the time. The side whose window comes first is bound and warmed up
    first: each finds the caches as the other left them.
    """
    if plan.binding_s > _BINDING_SHARE * plan.measuring_s:
        return
    start_s = clocks.now_s()
    for letter in letters:
        with blaming_baseline(is_baseline=letter == "A"):
            sides[letter].release(plan.key)
            sides[letter].bind(plan.key, plan.state, plan.handicap.of(letter))
            plan.run(sides[letter], plan.feed.draw(1))
    plan.binding_s += clocks.now_s() - start_s


def _call_overhead_ns(
    key: str, null: KernelProcess, echo: wire.Echo, calls: Sequence[Call], result_bytes: int
) -> float:
    """What the runner costs per call, from windows like the timed ones of a kernel that does nothing."""
    null.imitate(key, echo)
    windows = [null.run(key, calls, result_bytes).window for _ in range(_OVERHEAD_WINDOWS)]
    null.release(key)
    return statistics.median((w.wall_ns - (w.waited_ns or 0)) / w.calls for w in windows)


def _verify_half(
    plan: CasePlan, baseline: WindowAnswers, candidate: WindowAnswers, calls: Sequence[Call], *, thorough: bool
) -> None:
    """Compare some answers of the candidate, and one of the baseline, with the oracle's.

    Which ones is left to chance, and decided only now that all were given: one, or in a thorough block, with a
    probability of a quarter for each half, all of them (256 at most).
    """
    count = len(calls)
    all_of_them = thorough and _CHOICE.random() < _THOROUGH_SHARE
    chosen = _CHOICE.sample(range(count), min(count, _THOROUGH_CALLS) if all_of_them else 1)
    for index in chosen:
        expected = plan.oracle.expected(calls[index])
        _compare(plan, candidate, calls, index, expected)
        if index == chosen[0]:
            with blaming_baseline(is_baseline=True):
                _compare(plan, baseline, calls, index, expected)


def _compare(plan: CasePlan, answers: WindowAnswers, calls: Sequence[Call], index: int, expected: Any) -> None:
    where = f"{plan.key}, timed call {index + 1} of {len(calls)}"
    plan.oracle.compare(answers[index], expected, calls[index], where, plan.feed.seed)


@contextmanager
def blaming_baseline(*, is_baseline: bool) -> Iterator[None]:
    """A failure of the baseline makes the trial invalid; the candidate is not to blame."""
    try:
        yield
    except KernelFailure as failure:
        if not is_baseline:
            raise
        raise TrialInvalid(f"the baseline kernel failed: {failure}") from failure


def _argument_bytes(call: Call) -> int:
    return sum(getattr(value, "nbytes", 0) for value in call)
