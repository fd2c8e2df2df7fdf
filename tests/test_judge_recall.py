"""Nothing is kept whose recall is not shown to be high enough, and of an exact kernel none is asked for."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toys
from builders import CASES, everywhere, pairs_of_a_look, spread

from pytest_lance_autoresearch.records import (
    Cause,
    Evidence,
    Judgement,
    Lossy,
    Recalled,
    RecallRules,
    RegressionRules,
    Rules,
    Verdict,
)
from pytest_lance_autoresearch.target_files import contract, discover, load
from pytest_lance_autoresearch.verdict import judge
from pytest_lance_autoresearch.words import report

FASTER = everywhere(spread(0.05))
EQUAL = everywhere(spread(0.0))
WANTED = RecallRules(0.01, dict.fromkeys(CASES, 0.8))
LOSSY = Rules(recall=WANTED)
SAME = {(0.9, 0.9): 500, (1.0, 1.0): 500}
"""Calls by what the recall of baseline and candidate was."""


def judged(
    recalls: dict[str, dict[tuple[float, float], int]], rules: Rules = LOSSY, looks: int = 2, seconds: float = 60.0
) -> Judgement:
    """A kernel that is faster, with these recalls by case over all looks."""
    pairs = [one for _ in range(looks) for one in pairs_of_a_look(FASTER)]
    recalled = tuple(Recalled(case, *both, calls) for case, of in recalls.items() for both, calls in of.items())
    pairs[-1] = replace(pairs[-1], recalled=recalled)
    return judge.look(Evidence(100, 100, tuple(pairs), looks=looks, seconds=seconds), rules)


def verdict(*arguments: object, **options: object) -> tuple[Verdict, Cause]:
    found = judged(*arguments, **options)  # type: ignore[arg-type]
    return found.verdict, found.cause


def on_all(calls: dict[tuple[float, float], int]) -> dict[str, dict[tuple[float, float], int]]:
    return dict.fromkeys(CASES, calls)


def test_equal_recall_and_more_speed_is_a_keep() -> None:
    assert verdict(on_all(SAME)) == (Verdict.KEEP, Cause.FASTER)


def test_an_exact_kernel_is_asked_for_no_recall() -> None:
    assert verdict({}, Rules()) == (Verdict.KEEP, Cause.FASTER)
    assert judged({}, Rules()).recalls == {}


def test_too_few_calls_show_nothing() -> None:
    assert verdict(on_all({(0.9, 0.9): 300})) == (Verdict.UNDECIDED, Cause.RECALL)


def test_a_case_that_was_not_measured_is_open() -> None:
    assert verdict(dict.fromkeys(CASES[1:], SAME)) == (Verdict.UNDECIDED, Cause.RECALL)


def test_one_case_that_loses_more_than_the_margin_discards_a_gain() -> None:
    lossy = {(0.9, 0.9): 500, (1.0, 0.9): 500}
    found = judged({**on_all(SAME), CASES[1]: lossy})
    assert (found.verdict, found.cause, found.low_recall) == (Verdict.DISCARD, Cause.RECALL, CASES[1])


def test_recall_that_is_won_elsewhere_does_not_make_up_for_it() -> None:
    won, lost = {(0.8, 1.0): 1000}, {(0.95, 0.9): 1000}
    found = judged({CASES[0]: won, CASES[1]: won, CASES[2]: lost})
    assert (found.verdict, found.cause, found.low_recall) == (Verdict.DISCARD, Cause.RECALL, CASES[2])


def test_a_loss_within_the_margin_is_a_price_that_may_be_paid() -> None:
    assert verdict(on_all({(0.9, 0.9): 4000, (0.9, 0.85): 400})) == (Verdict.KEEP, Cause.FASTER)


def test_below_the_floor_nothing_is_kept_though_the_baseline_is_no_better() -> None:
    assert verdict(on_all({(0.7, 0.7): 1000})) == (Verdict.DISCARD, Cause.RECALL)
    assert verdict(on_all({(0.8, 0.8): 1000})) == (Verdict.UNDECIDED, Cause.RECALL)


def test_the_regression_gate_asks_for_the_same() -> None:
    rules = RegressionRules(recall=WANTED)
    assert verdict(on_all(SAME), rules) == (Verdict.PASS, Cause.NOT_SLOWER)
    assert verdict(on_all({(1.0, 0.9): 1000}), rules) == (Verdict.REGRESSED, Cause.RECALL)


def test_a_slower_kernel_is_discarded_for_that() -> None:
    pairs = [*pairs_of_a_look(everywhere(spread(-0.03)))]
    found = judge.look(Evidence(100, 100, tuple(pairs), looks=1, seconds=9.0), LOSSY)
    assert (found.verdict, found.cause) == (Verdict.DISCARD, Cause.SLOWER)


def test_when_the_time_is_up_the_open_recall_is_named() -> None:
    found = judged({**on_all(SAME), CASES[2]: {(0.9, 0.9): 100}}, seconds=600.0)
    assert (found.verdict, found.cause) == (Verdict.INCONCLUSIVE, Cause.BUDGET)
    assert found.doubt is not None
    assert (found.doubt.case, found.doubt.recall) == (CASES[2], found.recalls[CASES[2]])


@pytest.mark.parametrize("lost", [0.004, 0.02])
def test_simulated_kernels_are_kept_as_often_as_they_lose_no_more_than_the_margin(lost: float) -> None:
    """Each call finds ten rows; a worse kernel misses some more of them."""
    random, kept, runs = np.random.default_rng(3), 0, 40
    for _ in range(runs):
        found = random.binomial(10, 0.95, 6000)
        missed = random.binomial(found, lost)
        counts: dict[tuple[float, float], int] = {}
        for both in zip((found / 10).tolist(), ((found - missed) / 10).tolist(), strict=True):
            counts[both] = counts.get(both, 0) + 1
        kept += verdict(on_all(counts)) == (Verdict.KEEP, Cause.FASTER)
    assert kept == 0 if lost > WANTED.margin else kept >= 0.95 * runs


# What the target says, and what a reader is told


def test_a_targets_floors_are_those_of_its_timed_cases(tmp_path: Path) -> None:
    target = load.load(discover.inspect(toys.write(tmp_path)))
    distributions = (*target.inputs.DISTRIBUTIONS, *target.inputs.EDGE_DISTRIBUTIONS)
    floors = {name: 0.5 + number / 100 for number, name in enumerate(distributions)}
    vars(target.wiring).update(LOSSY=Lossy(0.02, floors), check=lambda *_: 1.0)
    cases = contract.cases_of(target)
    rules = contract.rules_of(target, Rules())
    assert rules.recall == RecallRules(0.02, {one.id: floors[one.distribution] for one in cases if one.timed})
    assert [contract.recall_floor(target, one) for one in cases] == [floors[one.distribution] for one in cases]


def test_the_clause_about_recall_has_both_numbers() -> None:
    assert report.recall_clause(judged(on_all(SAME))) == "; recall 0.9500 (baseline 0.9500)"
    assert report.recall_clause(judged({}, Rules())) == report.recall_clause(None) == ""


def test_a_loss_is_told_with_its_bounds_and_its_limit() -> None:
    found = judged({**on_all(SAME), CASES[1]: {(1.0, 0.9): 1000}})
    sentence = report._low_recall(found, LOSSY)
    low, high = (
        100 * bound for bound in (found.recalls[CASES[1]].change_low, found.recalls[CASES[1]].change_high)
    )
    assert sentence == f"the recall of {CASES[1]} changes by -10.00 [{low:+.2f}, {high:+.2f}] points (limit -1)"
    assert low < -10 < high < -1


def test_a_recall_below_its_floor_is_told_with_it() -> None:
    found = judged({**on_all(SAME), CASES[1]: {(0.7, 0.7): 1000}})
    assert report._low_recall(found, LOSSY) == f"the recall of {CASES[1]} is 0.7000 (expected at least 0.8)"


@pytest.mark.parametrize(
    ("calls", "beginning"),
    [
        ({}, "was not measured yet; more time would tell"),
        ({(0.9, 0.9): 100}, "changes by +0.00 [-"),
        ({(0.8, 0.8): 1000}, "may be 0.7"),
    ],
)
def test_what_is_open_about_a_recall_is_told(calls: dict[tuple[float, float], int], beginning: str) -> None:
    found = judged({**on_all(SAME), CASES[0]: calls}, seconds=600.0)
    assert found.doubt is not None
    assert report._open_recall(found.doubt, LOSSY).startswith(f"the recall of {CASES[0]} {beginning}")


def test_bounds_are_numbers_though_nothing_was_lost() -> None:
    one = judged(on_all(SAME)).recalls[CASES[0]]
    assert -0.01 < one.change_low < 0 < one.change_high < 0.02
    assert math.isclose(one.candidate, 0.95)
    assert one.calls == 1000
