"""Windows as they are planned, ordered and verified: simulated workers, on a clock that only they move."""

from __future__ import annotations

from itertools import chain, cycle, groupby
from pathlib import Path

import pytest
import toys
from builders import quick
from hypothesis import example, given
from hypothesis import strategies as st
from simulated import KEY, READ_NS, SEED, US, WEIGHTS, Lab, Worker

from pytest_lance_autoresearch.bench import measure
from pytest_lance_autoresearch.bench.measure import Handicap, blaming
from pytest_lance_autoresearch.bench.oracles import Oracle
from pytest_lance_autoresearch.errors import KernelIncorrect, KernelRaised, TargetError, TrialInvalid
from pytest_lance_autoresearch.records import Dealt, Window
from pytest_lance_autoresearch.target_files import discover, load

PLANNED_NS = 1_000_000
"""Length of a window here."""


@pytest.fixture(autouse=True)
def _planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "WINDOW_NS", PLANNED_NS)


@pytest.fixture
def lab() -> Lab:
    return Lab()


def given_to(lab: Lab, who: str) -> list[list[int]]:
    """The numbers of the calls of each window."""
    return lab.did(who, "run")


def wrong(call: int, where: str) -> str:
    """The sentence about a toy's answer that is too large by 1."""
    what = "result: 4 of 4 values differ (bits must be equal); first at [0]"
    return f"{KEY}, {where}: {what}: kernel {call + 1}, reference {call}"


# How many calls a window has


@quick
@given(candidate_ns=st.integers(1, 2 * PLANNED_NS), slower=st.none() | st.floats(0.5, 3.0))
@example(candidate_ns=PLANNED_NS, slower=None)
def test_the_faster_side_decides_how_many_calls_make_a_window(candidate_ns: int, slower: float | None) -> None:
    """As long as the baseline's are no more than three times as long."""
    lab = Lab()
    lab.candidate.call_ns = candidate_ns
    baseline_ns = lab.baseline.call_ns = int(candidate_ns * (slower or 1)) or 1
    calls = lab.plan(alone=slower is None).calls
    fastest_ns = min(candidate_ns, candidate_ns if slower is None else baseline_ns)
    assert calls * fastest_ns >= PLANNED_NS or calls == measure.MAX_CALLS
    assert (calls - 1) * fastest_ns < PLANNED_NS
    assert 1 <= calls <= measure.MAX_CALLS


@pytest.mark.parametrize(
    ("candidate_us", "baseline_us", "calls"),
    [
        (10, 30, 100),
        (10, 40, 75),  # 3 ms of the baseline's
        (10, 60, 50),
        (10, 1000, 34),  # a third of the planned length is left
        (60, 10, 100),  # a slower candidate takes away nothing
    ],
)
def test_beside_a_much_slower_baseline_windows_have_fewer_calls(
    lab: Lab, candidate_us: int, baseline_us: int, calls: int
) -> None:
    lab.candidate.call_ns, lab.baseline.call_ns = candidate_us * US, baseline_us * US
    assert lab.plan().calls == calls


@pytest.mark.parametrize(("room", "calls"), [(5 * 32, 5), (6 * 32 - 1, 5), (31, 1), (0, 1)])
def test_the_arguments_of_a_window_take_no_more_memory_than_allowed(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, room: int, calls: int
) -> None:
    """Neither do those of a window that its size is sought with."""
    monkeypatch.setattr(measure, "MAX_ARGUMENT_BYTES", room)
    assert lab.plan().calls == calls
    assert max(len(window) for window in given_to(lab, "B")) == calls


def test_neither_compiling_nor_one_disturbed_window_decides(lab: Lab) -> None:
    """The first window compiles; then there are two of one call and two of four, which are long enough.

    The last one has the final size, so that the memory has too.
    """
    for side in (lab.baseline, lab.candidate):
        side.extra_ns = dict.fromkeys((0, 1, 4), 10**9)
    assert lab.plan().calls == 10
    assert [len(window) for window in given_to(lab, "B")] == [1, 1, 1, 4, 4, 10]


def test_a_side_that_feigns_slowness_shortens_its_own_windows_only(lab: Lab) -> None:
    lab.candidate.call_ns = 50 * PLANNED_NS
    plan = lab.plan()
    lab.candidate.call_ns = 10 * US
    block = lab.block(plan)
    assert [window.wall_ns for window in block.side("A")] == [PLANNED_NS] * 2
    assert [window.wall_ns for window in block.side("B")] == [PLANNED_NS // 10] * 2


# What the runner costs


@pytest.mark.parametrize("waited_ns", [0, 700 * US, None])
def test_the_runners_cost_is_that_of_a_kernel_that_does_nothing(lab: Lab, waited_ns: int | None) -> None:
    """Waiting for a core is no cost of it, and neither three long windows of seven show nor three short ones."""
    lab.null.call_ns, lab.null.waited_ns = 2 * US, waited_ns
    lab.null.extra_ns = {0: 10**9, 1: -US, 3: 10**9, 4: -US, 5: 10**9, 6: -US}
    plan = lab.plan()
    assert plan.call_overhead_ns == 2 * US
    assert [verb for name, verb, _ in lab.events if name == "null"] == ["imitate", *["run"] * 7, "release"]
    assert {len(window) for window in given_to(lab, "null")} == {plan.calls}


def test_it_returns_what_the_candidate_returned(lab: Lab) -> None:
    lab.plan()
    ((key, echo),) = lab.did("null", "imitate")
    last_warm_up = given_to(lab, "B")[-1][0]
    assert key == KEY
    assert echo.function()(None).tolist() == (WEIGHTS * last_warm_up).tolist()


# Which calls are given


def test_warm_up_calls_are_never_timed_and_no_call_is_given_twice(lab: Lab) -> None:
    plan = lab.plan()
    warm_up = {*chain(*given_to(lab, "A"), *given_to(lab, "B"))}
    blocks = [lab.block(plan) for _ in range(6)]
    lab.alone(plan, 3)
    for side in "AB":
        numbers = [*chain(*given_to(lab, side))]
        assert len({*numbers}) == len(numbers)
        _, *timed = (window for window in given_to(lab, side) if len(window) == plan.calls)
        assert not warm_up & {*chain(*timed)}
        assert len(timed) == 2 * len(blocks) + 3 * (side == "B")


def test_both_sides_get_the_same_calls_in_a_half_and_others_in_the_next(lab: Lab) -> None:
    plan = lab.plan()
    lab.block(plan)
    _, first, second = (window for window in given_to(lab, "A") if len(window) == plan.calls)
    assert [first, second] == [window for window in given_to(lab, "B") if len(window) == plan.calls][1:]
    assert not {*first} & {*second}


@pytest.mark.parametrize("alone", [True, False])
def test_a_kernel_is_built_and_its_first_answer_read_before_its_windows_are_sized(lab: Lab, alone: bool) -> None:
    lab.plan(alone=alone)
    for side in "B" if alone else "AB":
        verbs = [verb for name, verb, _ in lab.events if name == side]
        assert verbs == ["bind", "run", "read", *["run"] * 5]


def test_each_side_has_its_own_handicap_whenever_it_is_bound(lab: Lab) -> None:
    plan = lab.plan(handicap=Handicap(baseline=0.25))
    measure.build_again(plan, lab.sides())
    assert lab.did("A", "bind") == [(KEY, None, 0.25)] * 2
    assert lab.did("B", "bind") == [(KEY, None, None)] * 2


def test_what_building_takes_is_told_of_each_side(lab: Lab) -> None:
    plan = lab.plan()
    lab.baseline.bind_ns, lab.candidate.bind_ns = 3 * US, 4 * US
    assert measure.build_again(plan, lab.sides()) == {"A": 3 * US, "B": 4 * US}
    assert [verb for name, verb, _ in lab.events if name == "B"][-2:] == ["release", "bind"]


def test_in_another_pair_a_part_of_a_window_warms_up(lab: Lab) -> None:
    plan = lab.plan()
    lab.block(plan)
    assert plan.is_sized
    lab.events.clear()
    measure.warm_up(plan, lab.sides())
    assert [[len(window) for window in given_to(lab, side)] for side in "AB"] == [[3]] * 2
    assert plan.calls == 10


@pytest.mark.parametrize(("second_ns", "windows"), [(100 * US, [5, 5, 10]), (10**9, [1, 1, 4, 4, 10])])
def test_the_size_is_sought_from_what_a_call_took_when_building_was_priced(
    lab: Lab, second_ns: int, windows: list[int]
) -> None:
    plan = lab.introduced(lab.sides())
    for side in (lab.baseline, lab.candidate):
        side.extra_ns = {side.runs + 1: second_ns - 100 * US}
    measure.price(plan, lab.sides())
    lab.events.clear()
    measure.size(plan, lab.sides(), lab.null)
    assert [len(window) for window in given_to(lab, "B")] == windows
    assert plan.calls == 10


def test_what_is_known_from_an_earlier_field_is_not_measured_again(lab: Lab) -> None:
    known = lab.plan().known
    plan = lab.introduced(lab.sides())
    lab.baseline.call_ns = lab.candidate.call_ns = lab.null.call_ns = 50 * US
    lab.events.clear()
    plan.known = known
    measure.size(plan, lab.sides(), lab.null)
    assert (plan.calls, plan.is_sized) == (10, True)
    assert [[len(window) for window in given_to(lab, side)] for side in "AB"] == [[3]] * 2
    assert not given_to(lab, "null")


def test_beside_a_side_that_is_new_all_are_measured_again(lab: Lab) -> None:
    known = lab.plan().known
    del known.of_side["B"]
    events = len(lab.events)
    lab.baseline.call_ns = lab.candidate.call_ns = 200 * US
    plan = lab.introduced(lab.sides())
    plan.known = known
    measure.size(plan, lab.sides(), lab.null)
    assert plan.calls == 5
    assert known.of_side == {"A": 200 * US, "B": 200 * US}
    assert not [verb for name, verb, _ in lab.events[events:] if name == "null"]


# What happens to both sides


@pytest.mark.parametrize("verb", ["release", "bind", "run"])
def test_either_side_is_the_first_to_whom_something_happens(verb: str) -> None:
    """And nothing happens to one alone: building, first call, every growing of its memory, building again."""
    firsts = set()
    for _ in range(40):
        lab = Lab()
        measure.build_again(lab.plan(), lab.sides())
        happened = [name for name, what, _ in lab.events if what == verb and name != "null"]
        in_turn = [sorted(happened[i : i + 2]) for i in range(0, len(happened), 2)]
        assert in_turn == [["A", "B"]] * (len(happened) // 2)
        firsts.add(happened[0])
    assert firsts == {"A", "B"}


# The order of windows


def test_the_sides_take_turns_and_either_begins(lab: Lab) -> None:
    lab.candidate.call_ns = 200 * US
    plan, orders = lab.plan(), set()
    for _ in range(20):
        start = len(lab.events)
        block = lab.block(plan)
        windows = [name for name, verb, calls in lab.events[start:] if verb == "run" and len(calls) == plan.calls]
        assert "".join(windows) == block.order
        assert [window.wall_ns // plan.calls for window in block.windows] == [
            {"A": 100 * US, "B": 200 * US}[letter] for letter in block.order
        ]
        assert (block.case, {window.calls for window in block.windows}) == (KEY, {plan.calls})
        orders.add(block.order)
    assert orders == {"ABAB", "BABA"}


def test_a_window_of_a_block_carries_cpu_time_until_the_answers_were_compared(lab: Lab) -> None:
    """The side that ran first has the other's window behind it, too."""
    lab.candidate.call_ns = 200 * US
    block = lab.block(lab.plan())
    first, later = block.windows[:2]
    assert later.cpu_ns == later.wall_ns + READ_NS
    assert first.cpu_ns == first.wall_ns + later.wall_ns + 2 * READ_NS


# Which answers are verified


@pytest.mark.parametrize(
    ("call_ns", "thorough", "luck", "verified"),
    [
        (100 * US, False, 0.0, 1),
        (100 * US, True, 0.25, 1),
        (100 * US, True, 0.2499, 10),
        (4 * US, True, 0.0, 32),
    ],
)
def test_one_answer_of_each_half_is_verified_or_with_luck_many(
    lab: Lab, call_ns: int, thorough: bool, luck: float, verified: int
) -> None:
    lab.luck, lab.baseline.call_ns = luck, call_ns
    plan = lab.plan()
    start = len(lab.events)
    lab.block(plan, thorough=thorough)
    lab.events = lab.events[start:]
    read = lab.did("B", "read")
    halves = read[:verified], read[verified:]
    assert [len({*half}) for half in halves] == [verified] * 2
    assert lab.did("A", "read") == read
    assert {*read} <= {*range(plan.calls)}


def test_a_sides_answers_are_taken_away_before_the_other_side_is_asked(lab: Lab) -> None:
    """Which is given the same memory."""
    plan = lab.plan()
    lab.events.clear()
    lab.block(plan)
    steps = [verb for verb, _ in groupby(verb for _, verb, _ in lab.events)]
    assert steps == ["chose", "run", "read", "run", "read"] * 2


def test_alone_one_answer_of_each_window_is_verified_once_it_is_given(lab: Lab) -> None:
    plan = lab.plan(alone=True)
    lab.events.clear()
    windows = lab.alone(plan, 40)
    assert windows == (Window(10, PLANNED_NS, PLANNED_NS, 0),) * 40
    assert [verb for verb, _ in groupby(verb for _, verb, _ in lab.events)] == ["run", "chose", "read"] * 40
    assert {*lab.did("B", "read")} == {*range(10)}


def test_a_reference_may_return_the_same_array_each_time(lab: Lab, tmp_path: Path) -> None:
    """What was expected of the first call is gone once it was asked for another."""
    reusing = "self.results[:] = self.weights * x\n        return self.results"
    text = toys.REFERENCE.replace("self.weights = weights", "self.weights, self.results = weights, 0 * weights")
    text = text.replace("return self.weights * x", reusing)
    target = load.load(discover.inspect(toys.write(tmp_path, reference=text)))
    lab.oracle = Oracle(target, target.inputs.State(WEIGHTS))
    plan = lab.plan()
    measure.verify_first(plan, measure.call_once(plan, lab.sides()))
    lab.luck = 0.0
    lab.block(plan, thorough=True)


# Calls that are started one by one


def test_calls_are_started_one_by_one_twice_and_once_nothing_is_known_of_later_ones(lab: Lab) -> None:
    plan = lab.plan()
    orders, firsts = set(), set()
    for _ in range(20):
        lab.events.clear()
        dealt = measure.measure_dealt(plan, lab.sides())
        runs = [event for event in lab.events if event[1].startswith("run")]
        assert len(runs) == 4
        for side in "AB":
            (first, some), (second, others) = ((verb, calls) for name, verb, calls in runs if name == side)
            orders.add((first, second))
            assert len({*some, *others}) == 2 * plan.calls == 20
            assert lab.did(side, "read") == [9, 9]
        firsts.add(runs[0][0])
        assert runs[0][2] == runs[1][2]
        assert runs[2][2] == runs[3][2]
    assert firsts == {"A", "B"}
    assert orders == {("run", "run unannounced"), ("run unannounced", "run")}
    read = PLANNED_NS + READ_NS
    assert dealt == {"B": Dealt(KEY, Window(10, PLANNED_NS, read, 0), Window(10, PLANNED_NS, read, 0))}


def test_where_windows_hold_a_single_call_there_is_nothing_to_know(lab: Lab) -> None:
    lab.baseline.call_ns = lab.candidate.call_ns = 10_000 * US
    plan = lab.plan()
    assert plan.calls == 1
    assert measure.measure_dealt(plan, lab.sides()) == {}


def test_no_more_than_64_calls_are_started_one_by_one(lab: Lab) -> None:
    """They lie anywhere where those of an ordinary window do."""
    lab.baseline.call_ns = lab.candidate.call_ns = 10 * US
    plan = lab.plan()
    assert plan.calls == 100
    dealt = measure.measure_dealt(plan, lab.sides())["B"]
    assert (dealt.dealt.calls, dealt.announced.calls) == (64, 64)
    ordinary, firsts = plan.draw(plan.calls).plan, set()
    for _ in range(1000):
        window = plan.deal().plan
        firsts.add(window.span(0)[0])
        assert window.is_one_by_one
        assert window.arguments_bytes <= ordinary.arguments_bytes
    assert firsts == {ordinary.span(index)[0] for index in range(100 - 64 + 1)}


def test_an_answer_that_was_read_early_is_verified(lab: Lab) -> None:
    plan = lab.plan()
    lab.candidate.fails = "right"
    with pytest.raises(KernelIncorrect, match="call 10 of 10, one by one: "):
        measure.measure_dealt(plan, lab.sides())


# Whose fault a failure is


def test_a_wrong_answer_is_named_with_its_seed(lab: Lab) -> None:
    lab.candidate.fails = "right"
    with pytest.raises(KernelIncorrect) as raised:
        lab.plan()
    assert (str(raised.value), raised.value.seed) == (wrong(0, "warm-up call"), SEED)
    lab.candidate.fails = ""
    plan = lab.plan(alone=True)
    lab.candidate.fails = "right"
    with pytest.raises(KernelIncorrect) as raised:
        lab.alone(plan, 1)
    index = lab.did("B", "read")[-1]
    call = given_to(lab, "B")[-1][index]
    assert (str(raised.value), raised.value.seed) == (wrong(call, f"timed call {index + 1} of 10"), SEED)


def failing(lab: Lab, side: Worker, what: str, *, in_a_block: bool) -> None:
    """A trial in which something fails in the planning, or in the second block."""
    plan = lab.plan() if in_a_block else None
    if plan:
        lab.block(plan)
    side.fails = what
    if plan:
        lab.block(plan)
    else:
        lab.plan()


FAULTS = [(what, False) for what in ("bind", "run", "window", "read", "right")]
FAULTS += [(what, True) for what in ("run", "window", "read", "right")]


@pytest.mark.parametrize(("what", "in_a_block"), FAULTS)
def test_a_failing_baseline_makes_the_trial_invalid(lab: Lab, what: str, in_a_block: bool) -> None:
    with pytest.raises(TrialInvalid) as raised:
        failing(lab, lab.baseline, what, in_a_block=in_a_block)
    cause = raised.value.__cause__
    assert isinstance(cause, KernelIncorrect if what == "right" else KernelRaised)
    assert str(raised.value) == f"the baseline kernel failed: {cause}"


@pytest.mark.parametrize(("what", "in_a_block"), FAULTS)
def test_a_failing_candidate_is_the_kernels_own_failure(lab: Lab, what: str, in_a_block: bool) -> None:
    with pytest.raises(KernelIncorrect if what == "right" else KernelRaised, match=f"^{KEY}"):
        failing(lab, lab.candidate, what, in_a_block=in_a_block)


@pytest.mark.parametrize("in_a_block", [True, False])
def test_where_both_sides_are_wrong_it_is_the_candidates_failure(lab: Lab, in_a_block: bool) -> None:
    """As in a calibration, where both are the same kernel."""
    plan = lab.plan() if in_a_block else None
    lab.baseline.fails = lab.candidate.fails = "right"
    for _ in range(10):
        with pytest.raises(KernelIncorrect):
            lab.block(plan) if plan else lab.plan()


def test_a_fault_of_the_target_stays_one_on_the_baselines_side() -> None:
    with pytest.raises(TargetError), blaming("A"):
        raise TargetError("target 'toy': reference.py, line 7, raised NameError: name 'y' is not defined")


# Several candidates


def test_every_candidate_has_a_block_of_its_own_with_the_baselines_windows_shared(lab: Lab) -> None:
    """And all sides have the same calls, in one order that is left to chance, twice."""
    plan, third, orders = lab.plan(), Worker(lab, "C"), set()
    lab.candidate.call_ns, third.call_ns = 200 * US, 300 * US
    for _ in range(40):
        start = len(lab.events)
        blocks = measure.measure_blocks(plan, {**lab.sides(), "C": third}).blocks
        windows = [(name, tuple(calls)) for name, verb, calls in lab.events[start:] if verb == "run"]
        order = "".join(name for name, _ in windows)
        orders.add(order[:3])
        assert order[:3] == order[3:]
        assert {calls for _, calls in windows[:3]} == {windows[0][1]}
        for letter, block in blocks.items():
            seen = order.replace({"B": "C", "C": "B"}[letter], "").replace(letter, "B")
            assert block.order == seen
            assert {w.wall_ns // plan.calls for w in block.side("B")} == {{"B": 200, "C": 300}[letter] * US}
        assert blocks["B"].side("A") == blocks["C"].side("A")
    assert orders == {"ABC", "ACB", "BAC", "BCA", "CAB", "CBA"}


def test_a_candidates_failure_says_whose_it_is(lab: Lab) -> None:
    plan, third = lab.plan(), Worker(lab, "C")
    third.fails = "right"
    with pytest.raises(KernelIncorrect) as raised:
        measure.measure_blocks(plan, {**lab.sides(), "C": third})
    assert raised.value.side == "C"


# Recall


def test_many_answers_of_each_half_tell_a_recall(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a plan that counts it: both sides' answers to the same calls."""
    plan = lab.plan()
    plan.calls, plan.counts_recall = 40, True
    shares = cycle([0.9, 0.8])
    monkeypatch.setattr(lab.oracle, "compare", lambda *_: next(shares))
    _, recalls = measure.measure_blocks(plan, lab.sides())
    assert recalls == [{"B": 0.9, "A": 0.8}] * 64


def test_where_recall_is_not_counted_none_is_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = lab.plan()
    monkeypatch.setattr(lab.oracle, "compare", lambda *_: 0.9)
    assert measure.measure_blocks(plan, lab.sides()).recalls == []
