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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.errors import KernelFailure, TrialInvalid
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.machine import clocks
from pytest_lance_autoresearch.records import Block, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_lance_autoresearch.bench.oracles import Oracle
    from pytest_lance_autoresearch.bench.process import KernelProcess, WindowAnswers
    from pytest_lance_autoresearch.records import Call
    from pytest_lance_autoresearch.target_files.generate import Feed

WINDOW_NS = 6_000_000
"""Length that a window is planned for; below 5 ms the parent's own overhead shows."""
MAX_CALLS = 1024
MAX_ARGUMENT_BYTES = 96 * 2**20
"""Most memory that the arguments of one window may take: in this process, and again in each that runs it.

Enough for windows of 6 ms of a kernel that reads 16 GB/s.
"""
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
    """What the runner itself costs."""
    handicap: Handicap
    measuring_s: float = 0.0
    binding_s: float = 0.0
    """Spent on blocks so far, and on binding the state again before them."""

    _packer: wire.Packer = field(default_factory=wire.Packer)

    def draw(self, count: int) -> wire.PackedWindow:
        """A window of fresh calls, for every process that is to run them."""
        return self.pack(self.feed.one_by_one(count))

    def pack(self, calls: Iterable[Call]) -> wire.PackedWindow:
        """The calls as one window, until the next is packed."""
        return self._packer.pack(self.key, calls, self.result_bytes)

    def run(self, process: KernelProcess, window: wire.PackedWindow) -> WindowAnswers:
        with self.oracle.judging_room(window.calls, self.result_bytes):
            return process.run_window(window)


def plan_case(
    key: str,
    state: bytes,
    oracle: Oracle,
    feed: Feed,
    null: KernelProcess,
    sides: Mapping[str, KernelProcess],
    handicap: Handicap = NO_HANDICAP,
) -> CasePlan:
    """Bind the state, warm the sides up on inputs that are never timed, and fix the calls per window.

    `sides` are 'A', the baseline, and 'B', the candidate, or the candidate alone. What happens to one happens to
    the other, in random order each time: whoever is bound first, or has its shared memory made larger first, is a
    little slower from then on. `null` is a process without a kernel, in which the runner's own cost is measured.
    """
    for letter in _shuffled(sides):
        with blaming_baseline(is_baseline=letter == "A"):
            sides[letter].bind(key, state, handicap.of(letter))
    probe = feed.draw(1)
    result_bytes = oracle.result_bytes([*probe, *feed.draw(_SIZING_CALLS)])
    plan = CasePlan(key, state, oracle, feed, len(probe), result_bytes, 0.0, handicap)
    call_ns, echo = _warm_up(plan, sides, probe)
    most = max(1, MAX_ARGUMENT_BYTES // max(1, _argument_bytes(probe[0])))
    plan.calls = max(1, min(math.ceil(WINDOW_NS / call_ns), MAX_CALLS, most))
    for letter in _shuffled(sides):
        with blaming_baseline(is_baseline=letter == "A"):
            plan.run(sides[letter], plan.draw(plan.calls))  # its shared memory has its final size from now on
            sides[letter].forget_warm_up()
    plan.call_overhead_ns = _call_overhead_ns(plan, null, echo, probe)
    return plan


def _warm_up(plan: CasePlan, sides: Mapping[str, KernelProcess], probe: list[Call]) -> tuple[float, wire.Echo]:
    """Nanoseconds per call of the faster side, in windows long enough to tell, and an echo of the candidate.

    The faster side decides, so that the windows of both are long enough; one that feigns slowness shortens only
    its own windows. The first call compiles and is not counted.
    """
    first, window = {}, plan.pack(probe)
    for letter in _shuffled(sides):
        with blaming_baseline(is_baseline=letter == "A"):
            first[letter] = plan.run(sides[letter], window)[0]
    for letter in sorted(first, reverse=True):  # the candidate's fault is told, where both are at fault
        with blaming_baseline(is_baseline=letter == "A"):
            plan.oracle.verify(first[letter], probe[0], f"{plan.key}, warm-up call", plan.feed.seed)
    calls = 1
    while True:
        times, last = [], {}
        for letter in [each for _ in range(_WARM_UP_WINDOWS) for each in _shuffled(sides)]:
            with blaming_baseline(is_baseline=letter == "A"):
                last[letter] = plan.run(sides[letter], plan.draw(calls))
                times.append(last[letter].window.wall_ns)
        if min(times) >= WINDOW_NS / 3 or calls >= MAX_CALLS:
            return min(times) / calls, {letter: last[letter].echo(0) for letter in _shuffled(sides)}["B"]
        calls = min(MAX_CALLS, 4 * calls)


def _shuffled(sides: Mapping[str, KernelProcess]) -> list[str]:
    return _CHOICE.sample(list(sides), len(sides))


def measure_alone(plan: CasePlan, process: KernelProcess, count: int) -> tuple[Window, ...]:
    """`count` windows of one kernel; one answer of each, chosen after it was given, is verified."""
    windows = []
    for _ in range(count):
        calls = plan.draw(plan.calls)
        answers = plan.run(process, calls)
        windows.append(answers.window)
        index = _CHOICE.randrange(len(calls))
        _compare(plan, answers[index], calls, index, plan.oracle.expected(calls.call(index)))
    return tuple(windows)


def measure_block(plan: CasePlan, sides: Mapping[str, KernelProcess], *, thorough: bool = False) -> Block:
    """Four interleaved windows; `thorough` verifies far more of their answers.

    The sides take turns, and which begins is left to chance: a side whose two windows follow each other (ABBA)
    finds its caches warm in the second, which makes it 1 % faster there and the other side slower after it.
    """
    order = _CHOICE.choice(("ABAB", "BABA"))
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
    calls = plan.draw(plan.calls)
    answers = {}
    for letter in letters:
        with blaming_baseline(is_baseline=letter == "A"):
            answers[letter] = plan.run(sides[letter], calls)
    _verify_half(plan, answers, calls, thorough=thorough)
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
            plan.run(sides[letter], plan.draw(1))
    plan.binding_s += clocks.now_s() - start_s


def _call_overhead_ns(plan: CasePlan, null: KernelProcess, echo: wire.Echo, probe: list[Call]) -> float:
    """What the runner costs per call, from windows like the timed ones of a kernel that does nothing."""
    null.imitate(plan.key, echo)
    calls = plan.pack(probe * plan.calls)
    windows = [plan.run(null, calls).window for _ in range(_OVERHEAD_WINDOWS)]
    null.release(plan.key)
    return statistics.median((w.wall_ns - (w.waited_ns or 0)) / w.calls for w in windows)


def _verify_half(
    plan: CasePlan, answers: Mapping[str, WindowAnswers], calls: wire.PackedWindow, *, thorough: bool
) -> None:
    """Compare some answers of both sides with the oracle's.

    Which ones is left to chance, and decided only now that all were given: one, or in a thorough block, with a
    probability of a quarter for each half, all of them (256 at most).
    """
    count = len(calls)
    all_of_them = thorough and _CHOICE.random() < _THOROUGH_SHARE
    for index in _CHOICE.sample(range(count), min(count, _THOROUGH_CALLS) if all_of_them else 1):
        expected, given = plan.oracle.expected(calls.call(index)), {}
        for letter in _CHOICE.sample("AB", 2):
            with blaming_baseline(is_baseline=letter == "A"):
                given[letter] = answers[letter][index]
        for letter in "BA":  # the candidate's fault is told, where both are at fault
            with blaming_baseline(is_baseline=letter == "A"):
                _compare(plan, given[letter], calls, index, expected)


def _compare(plan: CasePlan, answer: Any, calls: wire.PackedWindow, index: int, expected: Any) -> None:
    where = f"{plan.key}, timed call {index + 1} of {len(calls)}"
    plan.oracle.compare(answer, expected, calls.call(index), where, plan.feed.seed)


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
