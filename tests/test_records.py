"""What the records themselves promise: sides in order, exit codes for every end, nothing to change later."""

from __future__ import annotations

import dataclasses
import inspect

import pytest
from builders import outcome

from pytest_lance_autoresearch import records
from pytest_lance_autoresearch.records import (
    EXIT_CODES,
    Block,
    Case,
    Cause,
    Judgement,
    Status,
    Verdict,
    Window,
)

ALL = [value for value in vars(records).values() if inspect.isclass(value) and dataclasses.is_dataclass(value)]


@pytest.mark.parametrize("record", ALL)
def test_a_record_cannot_be_changed(record: type) -> None:
    assert record.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_a_case_is_named_by_its_shape_and_its_distribution() -> None:
    assert Case("pq-l2", (128, 16, 256), "128x16x256", "clustered", timed=True).id == "128x16x256-clustered"


@pytest.mark.parametrize(("order", "baseline", "candidate"), [("ABAB", (0, 2), (1, 3)), ("BABA", (1, 3), (0, 2))])
def test_a_blocks_sides_are_its_windows_in_the_order_they_ran(
    order: str, baseline: tuple[int, int], candidate: tuple[int, int]
) -> None:
    first, second, third, fourth = (Window(1, i, None) for i in range(4))
    block = Block("case", order, (first, second, third, fourth))
    assert tuple(window.wall_ns for window in block.side("A")) == baseline
    assert tuple(window.wall_ns for window in block.side("B")) == candidate


@pytest.mark.parametrize("order", ["AABB ", "ABB", "AAAB", ""])
def test_a_block_that_is_not_two_and_two_has_no_sides(order: str) -> None:
    first, second, third, fourth = (Window(1, i, None) for i in range(4))
    with pytest.raises(ValueError, match=f"order '{order}', side 'A': expected 'ABAB' or 'BABA'"):
        Block("case", order, (first, second, third, fourth)).side("A")


def test_every_status_has_an_exit_code_and_only_what_passes_a_gate_has_0() -> None:
    assert set(EXIT_CODES) == set(Status)
    assert {status for status, code in EXIT_CODES.items() if code == 0} == {
        Status.KEEP,
        Status.BASELINE,
        Status.PASS,
    }


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("keep", 0),
        ("baseline", 0),
        ("incorrect", 1),
        ("crash", 1),
        ("timeout", 1),
        ("pass", 0),
        ("discard", 10),
        ("regressed", 10),
        ("inconclusive", 11),
        ("invalid", 13),
    ],
)
def test_the_exit_codes_are_the_documented_ones(status: str, code: int) -> None:
    assert outcome(Status(status)).exit_code == code


def test_a_trial_whose_time_ran_out_has_an_exit_code_of_its_own() -> None:
    ended = dataclasses.replace(
        outcome(Status.INCONCLUSIVE), judgement=Judgement(Verdict.INCONCLUSIVE, Cause.BUDGET)
    )
    assert ended.exit_code == 12


def test_every_verdict_of_a_look_is_a_status_of_the_log() -> None:
    assert {Status(kind.value) for kind in Verdict if kind is not Verdict.UNDECIDED} == {
        Status.KEEP,
        Status.DISCARD,
        Status.PASS,
        Status.REGRESSED,
        Status.INCONCLUSIVE,
        Status.REFUSED,
    }
