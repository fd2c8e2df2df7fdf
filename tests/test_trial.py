"""A trial in a plain Python call: what it begins with, what each of its items does, what it gives back.

Its processes, its measurements and its clock are faked. How it ends is in test_trial_end.py.
"""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import toys
from fake_measuring import CASE_S, REFUSAL, TURN_S, FakedProcess, Lab, first, installed, run_items

from pytest_lance_autoresearch.bench import check, properties
from pytest_lance_autoresearch.errors import (
    AutoresearchError,
    KernelCrashed,
    KernelIncorrect,
    KernelTimeout,
    MemoryLacking,
    TargetError,
    TrialInvalid,
)
from pytest_lance_autoresearch.machine import turns
from pytest_lance_autoresearch.records import Call, Case, Progress, Rules, Status, Step
from pytest_lance_autoresearch.runs.trial import Item, ItemKind, Trial
from pytest_lance_autoresearch.target_files import generate, seeds

PROPERTIES = f"{toys.TARGET}\ndef properties():\n    raise NotImplementedError\n"
WRONG = toys.kernel("return result + 1")
SEED = 7
SEEDED: list[dict[str, Any]] = [{"seed": SEED}, {"seed": SEED, "gate": True}]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return installed(tmp_path, monkeypatch)


# What it begins with


def test_beginning_opens_no_file_and_starts_no_process(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the log or the archive of a judged trial."""
    loaded = lab.begin()
    before = sorted(lab.root.rglob("*"))

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a file is opened")

    with monkeypatch.context() as patched:
        for module in (builtins, io, os):
            patched.setattr(module, "open", refused)
        begun = Trial(loaded.target, loaded.cases, replace(loaded.settings, gate=True))
        assert begun.expected()
        assert (begun.failures, begun.outcome, begun.seconds(), begun.count_untimed()) == ([], None, 0.0, 0)
        begun.close()
    assert sorted(lab.root.rglob("*")) == before
    assert lab.processes == []


@pytest.mark.parametrize("calibrate", [False, True])
@pytest.mark.parametrize(("target", "more"), [(toys.TARGET, 0), (PROPERTIES, 1)])
def test_what_must_have_run_before_there_is_a_verdict(
    lab: Lab, target: str, more: int, *, calibrate: bool
) -> None:
    """A calibration takes the place of the speed items."""
    expected = lab.begin(target=target, calibrate=calibrate).expected()
    assert {item.case for item in expected if item.kind is ItemKind.CORRECTNESS} == set(toys.CASES)
    assert {item.case for item in expected if item.kind is ItemKind.SPEED} == (
        set() if calibrate else {*toys.TIMED}
    )
    assert (Item(ItemKind.CALIBRATION) in expected, Item(ItemKind.PROPERTIES) in expected) == (
        calibrate,
        bool(more),
    )
    assert len(expected) == len(toys.CASES) + (1 if calibrate else len(toys.TIMED)) + more


def test_processes_get_the_deadline_and_check_bounds_only_where_that_costs_no_measurement(lab: Lab) -> None:
    """In a brief run the process that checks is the one that is timed."""
    for brief in (False, True):
        begun = lab.begin(brief=brief, timeout_s=3.0)
        begun.check_case(first(begun))
        assert (lab.processes[-1].timeout_s, lab.processes[-1].checks_bounds) == (3.0, not brief)


# Correctness


def test_an_item_that_passes_is_done_and_one_that_fails_is_a_failure(lab: Lab) -> None:
    begun = lab.begin(toys.kernel("return result + (x.size == 129 * 31)"))
    for case in begun.cases[:2]:
        begun.check_case(case)
    assert (begun.count_untimed(), begun.failures) == (2, [])
    with pytest.raises(KernelIncorrect) as raised:
        begun.check_case(begun.cases[-1])
    assert begun.failures == [raised.value]
    begun.check_case(begun.cases[0])
    outcome = begun.conclude()
    assert (outcome.correct, outcome.failed, outcome.items) == (2, 1, toys.ITEMS)


def test_a_fault_of_the_target_is_a_failure_too(lab: Lab) -> None:
    begun = lab.begin(target=f"{toys.TARGET}\ndef check(actual, expected, call):\n    return False\n")
    with pytest.raises(TargetError) as raised:
        begun.check_case(first(begun))
    assert begun.failures == [raised.value]
    assert begun.count_untimed() == 0


def calls_of(begun: Trial, case: Case, seed: int, stream: str, count: int) -> list[Call]:
    """The calls of a window: fresh ones, and the first of them again."""
    state = generate.make_state(begun.target, case, seeds.PUBLISHED_SEED)
    calls = generate.Feed(begun.target, case, state, seed, stream).draw(count)
    return [*calls, calls[0]]


def same(ran: tuple[Call, ...], calls: list[Call]) -> bool:
    return len(ran) == len(calls) and all(np.array_equal(a, b) for (a,), (b,) in zip(ran, calls, strict=True))


@pytest.mark.parametrize("settings", [{}, {"brief": True}])
def test_a_run_that_is_not_judged_checks_published_calls_alone(lab: Lab, settings: dict[str, Any]) -> None:
    begun = lab.begin(**settings)
    begun.check_case(first(begun))
    ((key, ran),) = lab.windows
    assert key == first(begun).id
    assert same(ran, calls_of(begun, first(begun), seeds.PUBLISHED_SEED, "check", check.CALLS_PER_CHECK))


@pytest.mark.parametrize("settings", SEEDED)
def test_a_judged_or_seeded_run_checks_secret_calls_too(lab: Lab, settings: dict[str, Any]) -> None:
    begun = lab.begin(**settings)
    begun.check_case(first(begun))
    published, secret = (ran for _, ran in lab.windows)
    assert same(published, calls_of(begun, first(begun), seeds.PUBLISHED_SEED, "check", check.CALLS_PER_CHECK))
    assert same(secret, calls_of(begun, first(begun), SEED, "secret check", check.CALLS_PER_CHECK))


@pytest.mark.parametrize("failure", [KernelIncorrect("wrong"), TargetError("at fault"), MemoryLacking("full")])
@pytest.mark.parametrize(("window", "is_secret"), [(1, False), (2, True)])
def test_the_seed_is_noted_with_a_failure_on_secret_inputs(
    lab: Lab, failure: AutoresearchError, window: int, *, is_secret: bool
) -> None:
    """Where inputs play a part in it."""
    begun = lab.begin(seed=SEED)
    failure = type(failure)(*failure.args)
    lab.failing[first(begun).id, window] = failure
    with pytest.raises(type(failure)):
        begun.check_case(first(begun))
    assert failure.seed == (SEED if is_secret and not isinstance(failure, MemoryLacking) else None)


def test_a_seed_that_nobody_gave_is_drawn_for_each_trial(lab: Lab) -> None:
    drawn = set()
    for _ in range(2):
        begun = lab.begin(gate=True)
        lab.failing[begun.cases[1].id, 0] = failure = KernelIncorrect("wrong")
        with pytest.raises(KernelIncorrect):
            begun.measure_case(begun.cases[1])
        (seed,) = lab.measurements[-1].seeds
        assert failure.seed == seed
        drawn.add(seed)
    assert len(drawn) == 2


@pytest.mark.parametrize(("settings", "seed"), [({}, None), *((each, SEED) for each in SEEDED)])
def test_properties_see_published_examples_or_secret_ones(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], seed: int | None
) -> None:
    asked = []

    def spied(_target: object, runner: object, seed: int | None, examples: int, _shared: object) -> None:
        asked.append((seed, examples))
        assert isinstance(runner, FakedProcess)
        if len(asked) > 1:
            raise KernelIncorrect("properties: wrong")

    monkeypatch.setattr(properties, "check_properties", spied)
    begun = lab.begin(target=PROPERTIES, **settings)
    begun.check_properties()
    assert asked == [(seed, 100)]
    assert begun.count_untimed() == 1
    with pytest.raises(KernelIncorrect) as raised:
        begun.check_properties()
    assert (begun.failures, raised.value.seed) == ([raised.value], seed)


def test_a_kernel_and_its_state_are_released_after_each_case(lab: Lab) -> None:
    begun = lab.begin()
    for case in begun.cases[:3]:
        begun.check_case(case)
    (process,) = lab.processes
    for case in begun.cases[:3]:
        with pytest.raises(KeyError):
            process.release(case.id)


# Speed


@pytest.mark.parametrize("brief", [False, True])
def test_without_a_baseline_a_kernel_is_measured_alone(lab: Lab, *, brief: bool) -> None:
    begun = lab.begin(brief=brief, gate=not brief)
    run_items(begun)
    (measurement,) = lab.measurements
    assert (measurement.baseline, measurement.brief) == (None, brief)
    assert tuple(measurement.measured) == toys.TIMED


@pytest.mark.parametrize(("addition", "budget"), [("", None), ("BUILD_BUDGET = 2.5\n", 2.5)])
def test_with_a_baseline_it_is_measured_beside_it_by_the_given_rules(
    lab: Lab, addition: str, budget: float | None
) -> None:
    """What building may take is the target's rule."""
    target = toys.TARGET + addition
    baseline = lab.begin(target=target).target.kernel
    run_items(begun := lab.begin(target=target, gate=True))
    begun.log()
    rules = Rules(min_effect=0.3)
    begun = lab.begin(toys.FASTER, target=target, gate=True, rules=rules)
    begun.measure_case(first(begun))
    measurement = lab.measurements[-1]
    assert (measurement.baseline, measurement.rules) == (baseline, replace(rules, build_ms_per_mb=budget))
    assert [case.id for case in measurement.cases] == list(toys.TIMED)


@pytest.mark.parametrize("unprepared", [None, TrialInvalid("the baseline kernel failed")])
def test_what_is_going_to_be_timed_is_prepared_once_the_kernel_has_loaded(
    lab: Lab, unprepared: AutoresearchError | None
) -> None:
    """What fails there fails again where it counts."""
    lab.with_baseline()
    lab.processes.clear()
    lab.measurements.clear()
    lab.unprepared = unprepared
    begun = lab.begin(toys.FASTER, gate=True)
    run_items(begun)
    assert [measurement.prepared for measurement in lab.measurements] == [[1]]
    assert begun.failures == []
    assert begun.log().status is Status.KEEP


def refuse_to_gather(_show: Callable[[str], None]) -> NoReturn:
    raise AssertionError("hosts are gathered before anything is to be measured")


@pytest.mark.parametrize("what", ["no gate", "the same kernel", "some items", "a tournament", "other hosts"])
def test_what_is_not_going_to_be_timed_here_is_not_prepared(lab: Lab, what: str) -> None:
    lab.with_baseline()
    lab.measurements.clear()
    selected = frozenset([Item(ItemKind.CORRECTNESS, toys.CASES[0])]) if what == "some items" else None
    text = toys.KERNEL if what == "the same kernel" else toys.FASTER
    begun = lab.begin(text, gate=what != "no gate", selected=selected)
    if what == "a tournament":
        begun = Trial(begun.target, begun.cases, begun.settings, opened=begun._gate)
    if what == "other hosts":
        begun = Trial(begun.target, begun.cases, replace(begun.settings, gather=refuse_to_gather))
    begun.check_case(first(begun))
    assert not any(measurement.prepared for measurement in lab.measurements)


def test_all_cases_are_measured_in_one_turn(lab: Lab) -> None:
    """Whichever of them is asked for first."""
    begun = lab.begin()
    assert lab.expected_s == []
    begun.measure_case(begun.cases[2])
    assert (list(lab.measurements[0].measured), lab.expected_s) == ([*toys.TIMED], [TURN_S])
    run_items(begun)
    assert (len(lab.measurements), lab.expected_s) == (1, [TURN_S])


@pytest.mark.parametrize("gate", [False, True])
def test_a_case_that_no_item_is_about_is_not_measured(lab: Lab, *, gate: bool) -> None:
    """Which is no reason for a verdict: that needs all of them."""
    lab.judge()
    selected = frozenset(Item(ItemKind.SPEED, case) for case in (toys.TIMED[1], toys.TIMED[3], toys.CASES[-1]))
    begun = lab.begin(toys.FASTER, gate=gate, selected=selected)
    for case in begun.cases:
        begun.check_case(case)
        if case.id in (toys.TIMED[1], toys.TIMED[3]):
            begun.measure_case(case)
    assert list(lab.measurements[-1].measured) == [toys.TIMED[1], toys.TIMED[3]]
    outcome = begun.log()
    assert (outcome.correct, outcome.items, outcome.status) == (len(toys.CASES) + 2, toys.ITEMS, None)
    assert len(lab.rows()) == 1


def test_a_brief_run_takes_no_turn_and_measures_what_it_is_asked_for(lab: Lab) -> None:
    begun = lab.begin(brief=True)
    begun.measure_case(first(begun))
    assert (list(lab.measurements[0].measured), lab.expected_s) == ([first(begun).id], [])


def test_who_watches_is_told_where_the_measuring_stands(lab: Lab) -> None:
    begun = lab.begin()
    begun.measure_case(first(begun))
    assert lab.shown == [
        Progress("toy", case, Step(number, len(toys.TIMED)), None, CASE_S * (number - 1))
        for number, case in enumerate(toys.TIMED, 1)
    ]


def test_the_fourth_in_line_is_told_where_it_stands_and_waits_at_nobody_s_cost(lab: Lab) -> None:
    """A line of its own for each place in the line; what it waited is no part of its seconds."""
    lab.ahead = (40.0, 30.0, 20.0)
    begun = lab.begin()
    begun.measure_case(first(begun))
    waiting = [one for one in lab.shown if one.step is None]
    assert waiting == [
        Progress("toy", f"waiting for its turn to measure: {place}", None, None, None, is_event=True)
        for place in ("fourth in line, about 90 s", "third in line, about 50 s", "second in line, about 20 s")
    ]
    outcome = begun.conclude()
    assert (begun.seconds(), outcome.seconds, outcome.waited_s) == (TURN_S, TURN_S, 90.0)


def test_a_new_estimate_of_the_same_place_is_no_event(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is the place that it had at its last turn remembered for the next one."""

    def take(expected_s: float | None, show: Callable[[turns.Position], None]) -> turns.Turn:
        for seconds in (20.0, 10.0, None):
            show(turns.Position(2, seconds))
        return turns.Turn(expected_s)

    monkeypatch.setattr(turns, "take", take)
    for begun in (lab.begin(), lab.begin()):
        begun.measure_case(first(begun))
    place = "waiting for its turn to measure: second in line"
    waiting = [(one.what, one.is_event) for one in lab.shown if one.step is None]
    assert waiting == [(f"{place}, about 20 s", True), (f"{place}, about 10 s", False), (place, False)] * 2


def test_a_refused_candidate_is_not_timed(lab: Lab) -> None:
    """Its speed items are not done, and no verdict needs them; nobody waits for a turn."""
    lab.judge()
    lab.refusal, lab.expected_s = REFUSAL, []
    begun = lab.begin(toys.FASTER, gate=True)
    for case in begun.cases:
        begun.check_case(case)
    assert [begun.measure_case(case) for case in begun.cases if case.timed] == [None] * len(toys.TIMED)
    assert begun.untimed() == ("not timed: building 64x32-sparse takes 2.0 -> 80.0 ms of CPU (limit 10.0 ms)")
    assert {item.kind for item in begun.expected()} == {ItemKind.CORRECTNESS}
    assert (begun.failures, lab.expected_s) == ([], [])


@pytest.mark.parametrize(
    "failure", [KernelIncorrect("64x32-normal, timed call: wrong\nhow"), KernelCrashed("ended")], ids=repr
)
def test_a_failure_while_timed_is_its_case_s_alone(lab: Lab, failure: AutoresearchError) -> None:
    """The others are not timed, whether they come before or after; nothing is measured again."""
    begun = lab.begin(gate=True)
    failing, before, after = begun.cases[1], begun.cases[0], begun.cases[2]
    lab.failing[failing.id, 0] = failure
    assert begun.measure_case(before) is None
    assert begun.untimed() == f"not timed: {failure.headline}"
    assert begun.failures == []
    with pytest.raises(type(failure)):
        begun.measure_case(failing)
    assert begun.measure_case(after) is None
    assert (begun.failures, failure.case, begun.count_untimed()) == ([failure], failing.id, 0)
    assert [len(one.measured) for one in lab.measurements] == [1]
    assert begun.conclude().correct == 0


def test_a_failure_that_is_about_no_case_is_every_case_s(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    failure = TrialInvalid("no process starts")

    def take(*_: object) -> turns.Turn:
        raise failure

    monkeypatch.setattr(turns, "take", take)
    begun = lab.begin(gate=True)
    for case in begun.cases[:2]:
        with pytest.raises(TrialInvalid):
            begun.measure_case(case)
    assert (begun.failures, begun.conclude().reason) == ([failure, failure], "invalid: no process starts")


def test_where_timing_is_impossible_one_call_is_verified(lab: Lab) -> None:
    """It is done in a run that times nothing, and no verdict can rest on it."""
    begun = lab.begin(seed=SEED)
    begun.check_speed_once(first(begun))
    ((_, ran),) = lab.windows
    assert same(ran, calls_of(begun, first(begun), SEED, "timed", 1))
    assert begun.count_untimed() == 1
    assert begun.conclude().correct == 0


def test_a_wrong_answer_to_that_call_says_the_seed(lab: Lab) -> None:
    begun = lab.begin(WRONG, seed=SEED)
    with pytest.raises(KernelIncorrect) as raised:
        begun.check_speed_once(first(begun))
    assert str(raised.value).startswith(f"{first(begun).id}, timed call 1 of 1: result: ")
    assert (raised.value.seed, begun.failures, begun.count_untimed()) == (SEED, [raised.value], 0)


# States and processes


@pytest.mark.parametrize(
    ("give_back", "is_kept"),
    [
        (lambda begun: begun.forget(begun.cases[1].id), True),
        (lambda begun: begun.forget(begun.cases[0].id), False),
        (lambda begun: begun.rest(), False),
    ],
    ids=["another's", "its own", "all"],
)
def test_a_state_is_kept_until_it_is_given_back(
    lab: Lab, give_back: Callable[[Trial], None], *, is_kept: bool
) -> None:
    begun = lab.begin(brief=True)
    begun.measure_case(first(begun))
    give_back(begun)
    begun.measure_case(first(begun))
    before, after = lab.measurements[0].states
    assert (before is after) is is_kept


def test_resting_gives_back_processes_and_what_was_measured_stays(lab: Lab) -> None:
    begun = lab.begin()
    begun.check_case(first(begun))
    assert len(lab.open_processes()) == 1
    begun.rest()
    assert lab.open_processes() == []
    begun.measure_case(first(begun))
    assert lab.open_processes()
    begun.rest()
    assert lab.open_processes() == []
    begun.measure_case(begun.cases[1])
    assert [len(measurement.measured) for measurement in lab.measurements] == [len(toys.TIMED)]
    assert begun.conclude().correct == 3


@pytest.mark.parametrize(
    ("failure", "is_lost"),
    [
        (KernelIncorrect("wrong"), False),
        (MemoryLacking("full"), False),
        (KernelCrashed("ended"), True),
        (KernelTimeout("late"), True),
        (KeyboardInterrupt(), True),
        (RuntimeError("a bug"), True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_after_a_lost_process_what_is_done_stays_done(lab: Lab, failure: BaseException, *, is_lost: bool) -> None:
    """A failure that costs the kernel's process ends the others too: they may be out of step."""
    begun = lab.begin(brief=True)
    checked, broken = begun.cases[:2]
    begun.check_case(checked)
    begun.measure_case(checked)
    lab.failing[broken.id, 1] = failure
    with pytest.raises(type(failure)):
        begun.check_case(broken)
    assert (lab.open_processes() == []) is is_lost
    assert begun.failures == ([failure] if isinstance(failure, AutoresearchError) else [])
    assert begun.conclude().correct == 2
