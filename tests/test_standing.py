"""Where a target stands: the next step by rule, the room of its cases, what failures have in common."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from nights import BASELINE, KEEP, discards, doubtful, night, trial

from pytest_lance_autoresearch.log import standing
from pytest_lance_autoresearch.log.night import Trial
from pytest_lance_autoresearch.log.standing import PLATEAU, RoomBy, Step
from pytest_lance_autoresearch.records import Cause, DoubtDigest, Interval, Rules, Status

WRONG = trial(3, Status.INCORRECT)


def left_open(
    number: int, speedup: float = 1.5, budget: float = 600.0, *, seconds: float | None = 700.0, **row: Any
) -> Trial:
    """An inconclusive trial that gained, and that so many seconds more would settle, too many at once."""
    digest = {"doubt": DoubtDigest("50x1-flat", 0.97, 0.94, 1.0, seconds), "max_seconds": budget}
    return trial(number, Status.INCONCLUSIVE, speedup, Cause.BUDGET, digest=digest, **row)


def step(*trials: Trial) -> Step:
    return standing.of(night(*trials)).next.step


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ([trial(1, Status.INCORRECT)], Step.MEND),
        ([trial(1, Status.REGRESSED, 0.9, Cause.SLOWER)], Step.BASELINE),
        ([BASELINE], Step.GO_ON),
        ([BASELINE, KEEP], Step.GO_ON),
        ([BASELINE, trial(2, Status.INVALID)], Step.MAINTAINER),
        ([BASELINE, trial(2, Status.INCORRECT)], Step.MEND),
        ([BASELINE, trial(2, Status.REFUSED)], Step.MEND),
        ([BASELINE, trial(2, Status.DISCARD, 0.9, Cause.SLOWER)], Step.IDEA),
        ([BASELINE, trial(2, Status.DISCARD, 1.0, Cause.WITHIN_NOISE)], Step.IDEA),
        ([BASELINE, trial(2, Status.DISCARD, 1.0, Cause.TOO_SMALL)], Step.IDEA),
        ([BASELINE, trial(2, Status.DISCARD, 1.1, Cause.CASE_REGRESSED)], Step.CASE),
        ([BASELINE, trial(2, Status.DISCARD, None, Cause.MEMORY)], Step.MEMORY),
        ([BASELINE, trial(2, Status.DISCARD, None, Cause.BUILDING)], Step.BUILDING),
        ([BASELINE, trial(2, Status.DISCARD, 1.1, Cause.CPU_DISAGREES)], Step.CPU_TIME),
        ([BASELINE, trial(2, Status.DISCARD, None, Cause.IDENTICAL)], Step.EDIT),
        ([BASELINE, trial(2, Status.DISCARD, 0.9, Cause.SLOWER, recorded=False)], Step.IDEA),
        ([BASELINE, doubtful(2, 90.0)], Step.LONGER),
        ([BASELINE, doubtful(2, 301.0)], Step.IDEA),
        ([BASELINE, doubtful(2, None)], Step.IDEA),
        ([BASELINE, doubtful(2, 90.0), doubtful(3, 90.0, kernel=f"{2:064x}")], Step.IDEA),
        ([BASELINE, *discards(PLATEAU - 1, first=2)], Step.IDEA),
        ([BASELINE, *discards(PLATEAU, first=2)], Step.ANOTHER_WAY),
        ([BASELINE, *discards(PLATEAU, 1.005, first=2)], Step.COMBINE),
        ([BASELINE, *discards(PLATEAU, first=2), doubtful(90, 90.0)], Step.LONGER),
        ([BASELINE, *discards(PLATEAU, first=2), trial(90, Status.CRASH)], Step.ANOTHER_WAY),
        ([BASELINE, left_open(2), *discards(PLATEAU, 1.005)], Step.LONGER),
        ([BASELINE, left_open(2), left_open(3, kernel=f"{2:064x}"), *discards(PLATEAU, 1.005, 4)], Step.LONGER),
        ([BASELINE, left_open(2), left_open(3, 1.02, 900.0), *discards(PLATEAU, 1.005, 4)], Step.LONGER),
        ([BASELINE, left_open(2, 1.02), *discards(PLATEAU, 1.005)], Step.COMBINE),
        ([BASELINE, left_open(2, seconds=None), *discards(PLATEAU, 1.005)], Step.COMBINE),
        (
            [BASELINE, left_open(2), left_open(3, 1.5, 1900.0, kernel=f"{2:064x}"), *discards(PLATEAU, 1.005, 4)],
            Step.COMBINE,
        ),
        ([BASELINE, left_open(2, 1.02), *discards(PLATEAU - 1), trial(90, Status.CRASH)], Step.ANOTHER_WAY),
        ([BASELINE, *discards(PLATEAU, first=2), trial(90, Status.KEEP, 1.1, Cause.FASTER)], Step.GO_ON),
    ],
)
def test_the_next_step_is_the_first_rule_s_that_holds(trials: list[Trial], expected: Step) -> None:
    assert step(*trials) is expected


def test_every_step_is_some_rule_s() -> None:
    (mark,) = (
        one
        for one in test_the_next_step_is_the_first_rule_s_that_holds.pytestmark  # type: ignore[attr-defined]
        if one.name == "parametrize"
    )
    assert {expected for _, expected in mark.args[1]} == set(Step)


@pytest.mark.parametrize(("seconds", "budget"), [(90.0, 780), (41.0, 690), (0.0, 630)])
def test_what_is_measured_longer_has_time_to_spare(seconds: float, budget: int) -> None:
    """At least a look more where no more time was said to be needed."""
    found = standing.of(night(BASELINE, doubtful(2, seconds))).next
    assert (found.max_seconds, found.case) == (budget, "50x1-flat")


def test_a_small_budget_is_no_reason_to_give_up() -> None:
    """The trial ended with its look, long after its budget, and would need another one."""
    doubt = doubtful(2, 25.0, None)
    assert doubt.digest is not None
    digest = replace(doubt.digest, max_seconds=3.0, looks=1)
    found = standing.of(night(BASELINE, replace(doubt, digest=digest, row=replace(doubt.row, seconds=33.0)))).next
    assert (found.step, found.max_seconds) == (Step.LONGER, 100)


def test_the_case_that_gained_least_has_the_most_room() -> None:
    found = standing.of(night(BASELINE, KEEP))
    assert found.room_by is RoomBy.GAIN
    assert [room.case for room in found.rooms] == ["50x1-flat", "2x3-sorted", "2x3-flat"]
    assert [room.overall for room in found.rooms] == pytest.approx(
        [(1.4 / 1.05) ** (1 / 3), (1.4 / 1.2) ** (1 / 3), 1.0]
    )
    assert found.next.case == "50x1-flat"


@pytest.mark.parametrize(
    "trials", [[BASELINE], [BASELINE, replace(KEEP, digest=None)], [trial(1, Status.BASELINE, recorded=False)]]
)
def test_without_gains_the_longest_call_comes_first_where_it_is_known(trials: list[Trial]) -> None:
    found = standing.of(night(*trials))
    known = trials[-1].digest is not None
    assert found.room_by is RoomBy.TIME
    assert [room.case for room in found.rooms] == (["50x1-flat", "2x3-sorted", "2x3-flat"] if known else [])


def test_a_case_that_a_discard_showed_to_be_faster_is_seen() -> None:
    faster = trial(3, Status.DISCARD, 1.0, Cause.CASE_REGRESSED, speedups={"2x3-flat": 1.3, "50x1-flat": 0.8})
    unsure = trial(4, Status.DISCARD, 1.0, Cause.WITHIN_NOISE, speedups={"2x3-sorted": 1.005})
    seen = {room.case: room.seen for room in standing.of(night(BASELINE, KEEP, faster, unsure)).rooms}
    assert seen == {
        "2x3-flat": standing.Seen(3, Interval(1.3 * 0.99, 1.3, 1.3 * 1.01)),
        "2x3-sorted": None,
        "50x1-flat": None,
    }


def test_failures_are_told_by_cause_the_most_frequent_first() -> None:
    regressed = trial(3, Status.DISCARD, 1.1, Cause.CASE_REGRESSED)
    found = standing.of(
        night(BASELINE, WRONG, *discards(2, first=4), regressed, doubtful(7, None, None), KEEP, BASELINE)
    )
    assert found.failures == ()
    found = standing.of(night(BASELINE, WRONG, *discards(2, first=4), regressed, doubtful(7, None, None), KEEP))
    told = [(one.cause, one.case, [each.row.trial for each in one.trials]) for one in found.failures]
    assert told == [
        ("within noise", "", [5, 4]),
        ("inconclusive", "", [7]),
        ("case regressed", "50x1-flat", [3]),
        ("incorrect", "", [3]),
    ]


def test_the_cause_of_a_discard_without_a_record_is_not_known() -> None:
    unknown = trial(2, Status.DISCARD, 0.9, Cause.SLOWER, recorded=False)
    (failure,) = standing.of(night(BASELINE, unknown)).failures
    assert (failure.cause, failure.case) == ("", "")


def test_near_misses_are_gains_over_the_best_kernel() -> None:
    before = trial(2, Status.DISCARD, 1.05, Cause.CASE_REGRESSED)
    found = standing.of(
        night(BASELINE, before, KEEP, *discards(1, 1.004), *discards(1, 1.03, 4), *discards(1, 0.9, 5))
    )
    assert [one.row.trial for one in found.near_misses] == [4, 3]
    assert standing.of(night(before)).near_misses == ()


def test_a_near_miss_of_one_kernel_is_named_once() -> None:
    same = trial(4, Status.INCONCLUSIVE, 1.5, kernel=f"{3:064x}")
    found = standing.of(night(BASELINE, *discards(1, 1.4), same, *discards(1, 1.1, 5)))
    assert [one.row.trial for one in found.near_misses] == [4, 5]


def test_a_large_gain_that_time_left_open_is_measured_once_more_with_time_to_spare() -> None:
    found = standing.of(night(BASELINE, left_open(2), *discards(PLATEAU, 1.005))).next
    assert found.trial is not None
    assert (found.trial.row.trial, found.case, found.max_seconds) == (2, "50x1-flat", 2000)


def test_what_a_keep_needs_is_what_the_newest_trial_was_judged_by() -> None:
    strict = trial(3, Status.DISCARD, 1.0, Cause.WITHIN_NOISE, digest={"min_effect": 0.02, "case_limit": 0.1})
    unknown = trial(4, Status.DISCARD, 1.0, Cause.WITHIN_NOISE, digest={"min_effect": None, "case_limit": None})
    found = standing.of(night(BASELINE, strict, unknown))
    assert (found.min_effect, found.case_limit) == (0.02, 0.1)
    rules, unrecorded = Rules(), standing.of(night(trial(1, Status.BASELINE, recorded=False)))
    assert (unrecorded.min_effect, unrecorded.case_limit) == (rules.min_effect, rules.case_limit)


def test_the_figures_since_the_newest_baseline() -> None:
    small = trial(3, Status.KEEP, 1.02, Cause.FASTER, seconds=50.0)
    simpler = trial(4, Status.KEEP, 0.998, Cause.SIMPLER, seconds=10.0)
    found = standing.of(night(BASELINE, KEEP, small, simpler))
    assert found.least_kept is not None
    assert found.least_kept.point == 1.02
    assert found.seconds == {Status.BASELINE: (1, 30.0), Status.KEEP: (3, 30.0)}
