"""What holds of every target: seeds decide everything, nothing repeats, the committed kernel is right."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from battery import NAMES, Battery

from pytest_lance_autoresearch.runs.selftest import NAMES as STAND_INS
from pytest_lance_autoresearch.runs.selftest import Selftest
from pytest_lance_autoresearch.runs.standins import NotApplicable
from pytest_lance_autoresearch.target_files import generate, policy


@pytest.fixture(params=NAMES, scope="module")
def battery(request: pytest.FixtureRequest) -> Battery:
    """Of one target after the other, each with all tests: their states together would take gigabytes."""
    return Battery(request.param)


def bits(value: Any) -> Any:
    """A state or a call as something that can be compared: arrays by their bytes."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, tuple | list):
        return tuple(bits(item) for item in value)
    return value


def sizes(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return tuple(sizes(item) for item in value)
    return value.shape if isinstance(value, np.ndarray) else value


def test_the_same_seed_makes_the_same_state_and_another_seed_another(battery: Battery) -> None:
    for case in list(battery.cases.values())[:2]:
        one, same, other = (bits(generate.make_state(battery.target, case, seed)) for seed in (1, 1, 2))
        assert one == same
        assert one != other


def test_no_timed_call_of_a_case_repeats(battery: Battery) -> None:
    for case_id, case in battery.cases.items():
        if case.timed:
            state, _, _ = battery.prepared(case_id)
            calls = generate.Feed(battery.target, case, state, 5, "timed").draw(20)
            assert len({bits(call) for call in calls}) == 20


def test_hidden_states_have_other_sizes_than_the_published_one(battery: Battery) -> None:
    if not hasattr(battery.target.inputs, "make_hidden_state"):
        return
    case = next(case for case in battery.cases.values() if case.timed)
    drawn = []
    for seed in range(3):
        state = generate.make_hidden_state(battery.target, case, seed, "look 2")
        call = generate.Feed(battery.target, case, state, 5, "timed").draw(1)[0]
        drawn.append(sizes((state, call)))
    assert len(set(drawn)) > 1


def test_the_committed_kernel_may_contain_what_it_contains(battery: Battery) -> None:
    assert policy.violation_of(battery.target) == ""


@pytest.mark.slow
def test_it_catches_wrong_kernels_and_accepts_honest_ones(battery: Battery) -> None:
    selftest = Selftest(battery.target, tuple(battery.cases.values()), timeout_s=60, states=Battery.stored)
    made = 0
    try:
        for name in STAND_INS:
            with suppress(NotApplicable):
                finding = selftest.judge(name)
                assert finding.is_right, f"{name}: {finding}"
                made += 1
    finally:
        selftest.close()
    assert made >= len(STAND_INS) - 2
