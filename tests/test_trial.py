"""A trial in a plain Python call: what it begins with, what each of its items does, what it gives back.

Its processes, its measurements and its clock are faked. How it ends is in test_trial_end.py.
"""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from fake_measuring import CASE_S, FakedProcess, Lab, first, installed, run_items

from pytest_lance_autoresearch.bench import check, properties
from pytest_lance_autoresearch.errors import (
    AutoresearchError,
    KernelCrashed,
    KernelIncorrect,
    KernelTimeout,
    MemoryLacking,
    TargetError,
)
from pytest_lance_autoresearch.machine import environment
from pytest_lance_autoresearch.records import Call, Case, Progress, Rules, Step
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
        begun.measure_case(first(begun))
        (seed,) = lab.measurements[-1].seeds
        lab.failing[first(begun).id, 0] = failure = KernelIncorrect("wrong")
        with pytest.raises(KernelIncorrect):
            begun.measure_case(first(begun))
        lab.failing.clear()
        assert failure.seed == seed
        drawn.add(seed)
    assert len(drawn) == 2


@pytest.mark.parametrize(("settings", "seed"), [({}, None), *((each, SEED) for each in SEEDED)])
def test_properties_see_published_examples_or_secret_ones(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], seed: int | None
) -> None:
    asked = []

    def spied(_target: object, runner: object, seed: int | None, examples: int) -> None:
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
    assert tuple(measurement.times) == toys.TIMED


def test_with_a_baseline_it_is_measured_beside_it_by_the_given_rules(lab: Lab) -> None:
    baseline = lab.begin().target.kernel
    lab.judge()
    rules = Rules(min_effect=0.3)
    begun = lab.begin(toys.FASTER, gate=True, rules=rules)
    begun.measure_case(first(begun))
    assert (lab.measurements[-1].baseline, lab.measurements[-1].rules) == (baseline, rules)


@pytest.mark.parametrize(("brief", "locks"), [(False, len(toys.TIMED)), (True, 0)])
def test_timing_is_never_shared_unless_it_is_brief(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, locks: int, *, brief: bool
) -> None:
    taken = []

    @contextmanager
    def lock(_: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
        taken.append(len(lab.measurements))
        yield

    monkeypatch.setattr(environment, "timing_lock", lock)
    run_items(lab.begin(brief=brief))
    assert len(taken) == locks


def test_who_watches_is_told_where_the_measuring_stands(lab: Lab) -> None:
    begun = lab.begin()
    for case in begun.cases[:2]:
        begun.measure_case(case)
    assert lab.shown == [
        Progress("toy", toys.CASES[0], Step(1, len(toys.TIMED)), None, 0.0),
        Progress("toy", toys.CASES[1], Step(2, len(toys.TIMED)), None, CASE_S),
    ]


def test_where_timing_is_impossible_one_call_is_verified(lab: Lab) -> None:
    """It is done in a run that times nothing, and no verdict can rest on it."""
    begun = lab.begin(seed=SEED)
    begun.check_speed_once(first(begun))
    ((_, ran),) = lab.windows
    assert same(ran, calls_of(begun, first(begun), SEED, "timed", 1))
    assert begun.count_untimed() == 1
    begun.measure_case(first(begun))
    assert begun.count_untimed() == 1
    assert begun.conclude().correct == 1


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
    begun = lab.begin()
    begun.measure_case(first(begun))
    give_back(begun)
    begun.measure_case(first(begun))
    before, after = lab.measurements[0].states
    assert (before is after) is is_kept


@pytest.mark.parametrize("goes_on", [False, True])
def test_resting_gives_back_processes_unless_the_measurement_needs_them(lab: Lab, *, goes_on: bool) -> None:
    lab.goes_on = goes_on
    begun = lab.begin()
    begun.check_case(first(begun))
    assert len(lab.open_processes()) == 1
    begun.rest()
    assert lab.open_processes() == []
    begun.measure_case(first(begun))
    open_before = lab.open_processes()
    begun.rest()
    assert lab.open_processes() == (open_before if goes_on else [])
    begun.measure_case(begun.cases[1])
    assert [len(measurement.times) for measurement in lab.measurements] == [2]
    assert begun.conclude().correct == 3
    assert lab.open_processes() == []


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
def test_a_lost_process_takes_what_it_measured_along(lab: Lab, failure: BaseException, *, is_lost: bool) -> None:
    """Correctness that was shown stays shown; times are measured anew, in new processes."""
    begun = lab.begin(brief=True)
    checked, broken = begun.cases[:2]
    begun.check_case(checked)
    begun.measure_case(checked)
    lab.failing[broken.id, 1] = failure
    with pytest.raises(type(failure)):
        begun.check_case(broken)
    assert (lab.open_processes() == []) is is_lost
    assert begun.failures == ([failure] if isinstance(failure, AutoresearchError) else [])
    begun.close()
    assert begun.count_untimed() == 1
    assert begun.conclude().correct == (1 if is_lost else 2)


def test_after_a_lost_process_the_measuring_begins_anew(lab: Lab) -> None:
    begun = lab.begin()
    begun.measure_case(begun.cases[0])
    lab.failing[begun.cases[1].id, 0] = KernelCrashed("ended")
    with pytest.raises(KernelCrashed):
        begun.measure_case(begun.cases[1])
    assert lab.open_processes() == []
    begun.measure_case(begun.cases[2])
    assert [list(one.times) for one in lab.measurements] == [[toys.CASES[0]], [toys.CASES[2]]]
