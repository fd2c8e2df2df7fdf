"""Which states are kept, and that one which was given up is made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toys

from pytest_lance_autoresearch.records import Case
from pytest_lance_autoresearch.target_files import discover, load
from pytest_lance_autoresearch.target_files.contract import cases_of
from pytest_lance_autoresearch.target_files.states import States


@pytest.fixture
def target(tmp_path: Path) -> load.Target:
    return load.load(discover.inspect(toys.write(tmp_path)))


@pytest.fixture(params=[False, True], ids=["in memory", "stored too"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path | None:
    return tmp_path if request.param else None


def of_shape(target: load.Target, shape: str) -> list[Case]:
    return [case for case in cases_of(target) if case.shape_id == shape]


def test_a_state_is_made_once(target: load.Target, folder: Path | None) -> None:
    first, second, *_ = of_shape(target, "64x32")
    states = States(target, folder=folder)
    assert states.of(first) is states.of(first)
    assert states.of(first) is not states.of(second)


def test_a_state_that_was_given_up_is_made_again_and_is_the_same(target: load.Target, folder: Path | None) -> None:
    case = of_shape(target, "64x32")[0]
    states = States(target, folder=folder)
    before = states.of(case)
    states.forget(case.id)
    again = states.of(case)
    assert again is not before
    assert np.array_equal(again.weights, before.weights)
    states.clear()
    assert states.of(case) is not again


def test_the_latest_used_are_kept_as_far_as_there_is_room(target: load.Target, folder: Path | None) -> None:
    """A state has 64 * 32 numbers of 8 bytes and a little more; two of them fit."""
    one, two, three, *_ = of_shape(target, "64x32")
    states = States(target, most_bytes=2.5 * 64 * 32 * 8, folder=folder)
    first, second = states.of(one), states.of(two)
    assert states.of(one) is first
    third = states.of(three)
    assert states.of(one) is first
    assert states.of(three) is third
    assert states.of(two) is not second


def test_one_that_is_too_large_is_kept_while_it_is_the_latest(target: load.Target, folder: Path | None) -> None:
    one, two, *_ = of_shape(target, "64x32")
    states = States(target, most_bytes=1, folder=folder)
    state = states.of(one)
    assert states.of(one) is state
    states.of(two)
    assert states.of(one) is not state
