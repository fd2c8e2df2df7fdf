"""Timed windows: one kernel alone, or a baseline and candidates interleaved.

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
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pytest_lance_autoresearch.bench.oracles import Oracle
from pytest_lance_autoresearch.errors import KernelFailure, TrialInvalid
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.records import Block, Dealt, Window
from pytest_lance_autoresearch.target_files import generate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pytest_lance_autoresearch.bench.process import KernelProcess, WindowAnswers
    from pytest_lance_autoresearch.bench.room import Room
    from pytest_lance_autoresearch.records import Call, Case
    from pytest_lance_autoresearch.target_files.generate import Feed
    from pytest_lance_autoresearch.target_files.load import Target

BASELINE = "A"
"""The baseline's letter among the sides; every other is a candidate's."""
WINDOW_NS = 6_000_000
"""Length that a window of the fastest side is planned for; below 5 ms the parent's own overhead shows."""
LONGEST = 3
"""Times that length, a slower baseline's windows are long: then all have fewer calls."""
SHORTEST = 1 / 3
"""The part of that length that is left to the fastest side at least: the more it gains, the less an error says."""
WALL_PER_WINDOW = 2.5
"""Seconds of measuring for one second of windows, for whoever waits for its end."""
MAX_CALLS = 1024
MAX_ARGUMENT_BYTES = 64 * 2**20
"""Most memory that the arguments of one window may take: in this process, and again in each that runs it.

Enough for windows of 4 ms of a kernel that reads 16 GB/s, and more than caches hold: from them, the side that runs
second in a half block would read what the first one has left there.
"""
WARM_UP_FRACTION = 4
DEALT_CALLS = 64
"""Most of a window whose calls are started one by one: each of them wakes a process."""
_OVERHEAD_WINDOWS = 7
_SIZING_CALLS = 4
"""Further calls whose results are looked at for their size."""
_WARM_UP_WINDOWS = 2
"""The fastest of them counts, so that one disturbed window does not decide."""
_THOROUGH_SHARE = 0.25
_THOROUGH_CALLS = 32
"""Of one window: so many tell a kernel that is wrong in a tenth of its calls in 97 of 100 windows."""
_CHOICE = random.SystemRandom()
Recalls = dict[str, float | None]
"""Of each side's answer to one call, by its letter; None where answers are exact."""
S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class Handicap:
    """Known fractions by which the calls of a side are prolonged; None leaves the kernel untouched."""

    baseline: float | None = None
    candidate: float | None = None

    def of(self, letter: str) -> float | None:
        return self.baseline if letter == BASELINE else self.candidate


NO_HANDICAP = Handicap()


@dataclass
class CallTimes:
    """What a call of a case takes, as far as it is known from earlier fields: nanoseconds of each side."""

    of_side: dict[str, float] = field(default_factory=dict)
    of_runner: float | None = None
    """Of these, what the runner itself takes."""


@dataclass
class CasePlan:
    """One case as it is measured: its key, oracle, fresh calls and the size of its windows."""

    key: str
    oracle: Oracle
    feed: Feed
    """Makes the calls, from the state that the kernels are built over."""
    first: Call
    """The first call that every process answers; it is never timed."""
    first_window: wire.PackedWindow
    room: Room
    """For each result."""
    packer: wire.Packer
    """Whose memory all cases of a target may share: they are measured one after the other."""
    handicap: Handicap
    calls: int = 1
    """Calls per window, the same for every window and both sides; before it is sized, a first guess."""
    is_sized: bool = False
    """Whether that is known."""
    known: CallTimes = field(default_factory=CallTimes)
    """What tells it; what is missing there is measured."""
    counts_recall: bool = False
    """Whether its timed answers tell a recall: approximate ones, over a state that nobody could know."""

    @property
    def call_overhead_ns(self) -> float:
        """What the runner itself costs per call; 0 until it is known."""
        return self.known.of_runner or 0.0

    def state(self) -> bytes:
        """As it is sent to a kernel's process; made each time, since all of a target's would take much memory."""
        return generate.pickled(self.feed.target, self.feed.state)

    def draw(self, count: int, *, times: int = 1) -> wire.PackedWindow:
        """A window of fresh calls, for every process that is to run them; memory is mapped for `times` as many."""
        return self.pack(self.feed.one_by_one(count), times=times)

    def deal(self) -> wire.PackedWindow:
        """A window of fresh calls that are started one by one, and lie where those of a longer one might.

        Where a call's arguments lie does not tell a kernel that this is none of the other windows.
        """
        count = min(self.calls, DEALT_CALLS)
        before = _CHOICE.randrange(self.calls - count + 1) * self.first_window.plan.arguments_bytes
        return self.pack(self.feed.one_by_one(count), is_one_by_one=True, before=before)

    def pack(
        self, calls: Iterable[Call], *, is_one_by_one: bool = False, times: int = 1, before: int = 0
    ) -> wire.PackedWindow:
        """The calls as one window, until the next is packed."""
        return self.packer.pack(
            self.key, calls, self.room.bytes, is_one_by_one=is_one_by_one, times=times, before=before
        )

    def run(
        self, process: KernelProcess, window: wire.PackedWindow, *, is_announced: bool = True
    ) -> WindowAnswers:
        with self.oracle.judging_room(window.calls, self.room):
            return process.run_window(window, is_announced=is_announced)


def plan_of(
    target: Target,
    case: Case,
    state: Any,
    seed: int,
    stream: str,
    packer: wire.Packer,
    handicap: Handicap = NO_HANDICAP,
) -> CasePlan:
    """The plan of a case over a state, whose calls are drawn from a stream of the seed."""
    feed = generate.Feed(target, case, state, seed, stream)
    return new_plan(case.id, Oracle(target, state), feed, packer, handicap)


def new_plan(
    key: str, oracle: Oracle, feed: Feed, packer: wire.Packer, handicap: Handicap = NO_HANDICAP
) -> CasePlan:
    """A plan whose windows have no size yet."""
    first, *more = feed.draw(1 + _SIZING_CALLS)
    room = oracle.room([first, *more])
    window = wire.Packer().pack(key, [first], room.bytes)
    return CasePlan(key, oracle, feed, first, window, room, packer, handicap)


def expected_s(windows: int) -> float:
    """About how many seconds it takes to measure so many windows."""
    return WALL_PER_WINDOW * windows * WINDOW_NS / 1e9


def ask(sides: Mapping[str, S], what: Callable[[S, str], T], letters: Sequence[str] = ()) -> dict[str, T]:
    """What each side answers, by its letter; asked in random order, unless the letters are given in order.

    `sides` are 'A', the baseline, and 'B' and further letters, the candidates, or a candidate alone. What happens
    to one happens to the others, in random order each time: whoever is bound first, or has its shared memory made
    larger first, is a little slower from then on. A failure of the baseline makes the trial invalid; one of a
    candidate says whose it is.
    """
    found = {}
    for letter in letters or _drawn_order(sides):
        with blaming(letter):
            found[letter] = what(sides[letter], letter)
    return found


def candidates_of(sides: Iterable[str]) -> list[str]:
    """The letters of all sides but the baseline's."""
    return [letter for letter in sides if letter != BASELINE]


def _drawn_order(sides: Iterable[str]) -> list[str]:
    letters = list(sides)
    return _CHOICE.sample(letters, len(letters))


def bind(plan: CasePlan, sides: Mapping[str, KernelProcess]) -> dict[str, int]:
    """Build the kernels over the plan's state; the nanoseconds that it took each."""
    state = plan.state()
    return ask(sides, lambda process, letter: process.bind(plan.key, state, plan.handicap.of(letter)))


def build_again(plan: CasePlan, sides: Mapping[str, KernelProcess]) -> dict[str, int]:
    """The same where they are built already."""
    ask(sides, lambda process, _: process.release(plan.key))
    return bind(plan, sides)


def price(plan: CasePlan, sides: Mapping[str, KernelProcess]) -> dict[str, int]:
    """What building takes where everything is compiled: nanoseconds of each side.

    What the first call takes beyond a second one like it counts too: a kernel that builds when it is first asked
    has built all the same.
    """
    built_ns = build_again(plan, sides)
    first_ns, second_ns = (ask(sides, lambda process, _: _used_ns(plan, process)) for _ in range(2))
    plan.calls = _fitting(plan, WINDOW_NS / 2, min(second_ns.values()))
    return {letter: built_ns[letter] + max(0, first_ns[letter] - second_ns[letter]) for letter in sides}


def _used_ns(plan: CasePlan, process: KernelProcess) -> int:
    """CPU time of the first call, or elapsed time where the system counts none."""
    window = plan.run(process, plan.first_window).settled()
    return window.wall_ns if window.cpu_ns is None else window.cpu_ns


def call_once(plan: CasePlan, sides: Mapping[str, KernelProcess]) -> dict[str, Any]:
    """The sides' answers to the first call, which compiles what is not compiled yet; not verified here."""
    return ask(sides, lambda process, _: plan.run(process, plan.first_window)[0])


def verify_first(plan: CasePlan, answers: Mapping[str, Any]) -> None:
    """Compare each side's answer to the first call with the oracle's; their form tells how much room they need."""
    _compare(plan, answers, plan.first, "warm-up call")
    plan.room.narrow(answers.values())


def size(plan: CasePlan, sides: Mapping[str, KernelProcess], null: KernelProcess) -> None:
    """Fix the calls per window, and what the runner costs per call; all sides are warm after it.

    Neither is measured again where it is known. `null` is a process without a kernel, in which the runner's own
    cost is measured.
    """
    known = plan.known
    if not known.of_side.keys() >= sides.keys():
        known.of_side |= _call_ns(plan, sides)
    call_ns = {letter: known.of_side[letter] for letter in sides}
    fastest_ns = min(call_ns.values())
    plan.calls = _fitting(plan, _window_ns(fastest_ns, call_ns.get(BASELINE, fastest_ns)), fastest_ns)
    if known.of_runner is None:
        window = plan.draw(plan.calls)
        echoes = ask(sides, lambda process, _: plan.run(process, window).echo(0))
        known.of_runner = _call_overhead_ns(plan, null, echoes[max(echoes)])
    else:
        warm_up(plan, sides)
    plan.is_sized = True


def _window_ns(fastest_ns: float, baseline_ns: float) -> float:
    """How long a window of the fastest side lasts, by the calls of both."""
    return WINDOW_NS * max(SHORTEST, min(1.0, LONGEST * fastest_ns / max(1.0, baseline_ns)))


def _fitting(plan: CasePlan, window_ns: float, call_ns: float) -> int:
    """How many calls make a window of that length, and are not too many."""
    return max(1, min(math.ceil(window_ns / max(1.0, call_ns)), _most_calls(plan)))


def _most_calls(plan: CasePlan) -> int:
    """How many calls a window has at the most."""
    return max(1, min(MAX_CALLS, MAX_ARGUMENT_BYTES // max(1, _argument_bytes(plan.first))))


def warm_up(plan: CasePlan, sides: Mapping[str, KernelProcess]) -> None:
    """A part of a window on each side, where the size is known; whole ones find their memory mapped."""
    window = plan.draw(math.ceil(plan.calls / WARM_UP_FRACTION), times=WARM_UP_FRACTION)
    ask(sides, lambda process, _: plan.run(process, window))


def _call_ns(plan: CasePlan, sides: Mapping[str, KernelProcess]) -> dict[str, float]:
    """Nanoseconds per call of each side, in windows long enough to tell those of the fastest.

    The fastest side decides, so that the windows of all are long enough; one that feigns slowness shortens only
    its own windows.
    """
    calls, most = plan.calls, _most_calls(plan)
    while True:
        windows = [_wall_ns(plan, sides, calls) for _ in range(_WARM_UP_WINDOWS)]
        wall_ns = {letter: min(one[letter] for one in windows) for letter in sides}
        if min(wall_ns.values()) >= WINDOW_NS / 3 or calls >= most:
            return {letter: of_side / calls for letter, of_side in wall_ns.items()}
        calls = min(most, 4 * calls)


def _wall_ns(plan: CasePlan, sides: Mapping[str, KernelProcess], count: int) -> dict[str, int]:
    window = plan.draw(count)
    return ask(sides, lambda process, _: plan.run(process, window).window.wall_ns)


def make_ready(plan: CasePlan, process: KernelProcess, null: KernelProcess) -> Any:
    """Make a kernel ready to be measured alone: bind it, see that it is right, fix the size of its windows.

    Returns its answer to the first call.
    """
    side = {"B": process}
    bind(plan, side)
    answers = call_once(plan, side)
    verify_first(plan, answers)
    size(plan, side, null)
    return answers["B"]


def measure_alone(plan: CasePlan, process: KernelProcess, count: int) -> tuple[Window, ...]:
    """`count` windows of one kernel; one answer of each, chosen after it was given, is verified."""
    windows = []
    for _ in range(count):
        calls = plan.draw(plan.calls)
        answers = plan.run(process, calls)
        windows.append(answers.window)
        index = _CHOICE.randrange(len(calls))
        _compare(plan, {"B": answers[index]}, calls.call(index), f"timed call {index + 1} of {len(calls)}")
    return tuple(windows)


class Measured(NamedTuple):
    """What came of a block of windows."""

    blocks: dict[str, Block]
    """By the candidate's letter; they share the windows of the baseline."""
    recalls: list[Recalls]
    """Of the calls whose answers were verified, where the plan counts recall."""


def measure_blocks(plan: CasePlan, sides: Mapping[str, KernelProcess], *, thorough: bool = False) -> Measured:
    """A block for each candidate.

    Every side has two windows, in one order twice, which is left to chance: a side whose two windows follow each
    other (ABBA) finds its caches warm in the second, which makes it 1 % faster there and the next side slower
    after it. `thorough` verifies far more of the answers.
    """
    letters = _drawn_order(sides)
    halves, recalls = [], []
    for _ in range(2):
        windows, of_half = _measure_half(plan, sides, letters, thorough=thorough)
        halves.append(windows)
        recalls += of_half
    blocks = {letter: _block(plan.key, letters, halves, letter) for letter in candidates_of(sides)}
    return Measured(blocks, recalls if plan.counts_recall else [])


def measure_dealt(plan: CasePlan, sides: Mapping[str, KernelProcess]) -> dict[str, Dealt]:
    """Two windows of each side, in random order, that differ in one thing: what it can know of later calls.

    In both each call is started by itself, its arguments written just before it. In one window those of all calls
    lie there from the start, as they do in every other window; in the other, none but those of the calls so far.
    Returns the candidates', by letter: none where windows hold a single call.
    """
    if plan.calls == 1:
        return {}
    dealt = {}
    for is_announced in _CHOICE.sample((True, False), 2):
        dealt[is_announced] = _dealt_windows(plan, sides, is_announced=is_announced)
    return {letter: Dealt(plan.key, dealt[True][letter], dealt[False][letter]) for letter in candidates_of(sides)}


def _dealt_windows(plan: CasePlan, sides: Mapping[str, KernelProcess], *, is_announced: bool) -> dict[str, Window]:
    """A window of each side on the same calls; of each an answer is verified, read before the next call began."""
    calls = plan.deal()

    def run(process: KernelProcess, letter: str) -> Window:
        answers = plan.run(process, calls, is_announced=is_announced)
        index, answer = answers.early
        _compare(plan, {letter: answer}, calls.call(index), f"call {index + 1} of {len(calls)}, one by one")
        return answers.settled()

    return ask(sides, run)


def _block(key: str, letters: Sequence[str], halves: Sequence[Mapping[str, Window]], candidate: str) -> Block:
    """Baseline and one candidate alone, in their order among all sides."""
    both = [letter for letter in letters if letter in (BASELINE, candidate)]
    first, second, third, fourth = (half[letter] for half in halves for letter in both)
    order = "".join("A" if letter == BASELINE else "B" for letter in both)
    return Block(key, 2 * order, (first, second, third, fourth))


def _measure_half(
    plan: CasePlan, sides: Mapping[str, KernelProcess], letters: Sequence[str], *, thorough: bool
) -> tuple[dict[str, Window], list[Recalls]]:
    """A window of each side, in the order of their letters, on the same calls; answers of all are verified.

    A side's answers are taken away before the next side is asked, which is given the same memory.
    """
    calls = plan.draw(plan.calls)
    chosen = _chosen(len(calls), thorough=thorough, tells_recall=plan.counts_recall)
    answers = ask(sides, lambda process, _: _answers_of(plan, process, calls, chosen), letters)
    recalls = []
    for index in chosen:
        given = {letter: of_side[index] for letter, (_, of_side) in answers.items()}
        recalls.append(_compare(plan, given, calls.call(index), f"timed call {index + 1} of {len(calls)}"))
    return {letter: answers[letter][0].settled() for letter in letters}, recalls


def _chosen(count: int, *, thorough: bool, tells_recall: bool) -> Sequence[int]:
    """The calls of a window whose answers are verified: known to this process alone, and left to chance.

    One, or many where they tell a recall, or in a thorough block, with a probability of a quarter for each half.
    """
    many = tells_recall or (thorough and _CHOICE.random() < _THOROUGH_SHARE)
    return _CHOICE.sample(range(count), min(count, _THOROUGH_CALLS) if many else 1)


def _answers_of(
    plan: CasePlan, process: KernelProcess, calls: wire.PackedWindow, chosen: Sequence[int]
) -> tuple[WindowAnswers, dict[int, Any]]:
    answers = plan.run(process, calls)
    return answers, {index: answers[index] for index in chosen}


def _call_overhead_ns(plan: CasePlan, null: KernelProcess, echo: wire.Echo) -> float:
    """What the runner costs per call, from windows like the timed ones of a kernel that does nothing."""
    null.imitate(plan.key, echo)
    calls = plan.pack([plan.first] * plan.calls)
    windows = [plan.run(null, calls).window for _ in range(_OVERHEAD_WINDOWS)]
    null.release(plan.key)
    return statistics.median((w.wall_ns - (w.waited_ns or 0)) / w.calls for w in windows)


def _compare(plan: CasePlan, answers: Mapping[str, Any], call: Call, which: str) -> Recalls:
    """Compare each side's answer with the oracle's; a candidate's fault goes before the baseline's.

    The oracle is asked each time: what it returned before, it may have overwritten with its next result.
    """
    expected = plan.oracle.expected(call)
    where, seed = f"{plan.key}, {which}", plan.feed.seed
    candidate_first = sorted(answers, reverse=True)
    return ask(
        answers, lambda answer, _: plan.oracle.compare(answer, expected, call, where, seed), candidate_first
    )


@contextmanager
def blaming(letter: str) -> Iterator[None]:
    """A failure of the baseline makes the trial invalid, no candidate is to blame; else note whose it is."""
    try:
        yield
    except KernelFailure as failure:
        if letter == BASELINE:
            raise TrialInvalid(f"the baseline kernel failed: {failure}") from failure
        failure.side = letter
        raise


def _argument_bytes(call: Call) -> int:
    return sum(getattr(value, "nbytes", 0) for value in call)
