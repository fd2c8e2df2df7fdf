"""Who goes on in a tournament: a race that never drops its leader, and keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from builders import CASES, everywhere, evidence, pair, quick
from hypothesis import given
from hypothesis import strategies as st

from pytest_lance_autoresearch.records import Cause, Heat, Pair, Race, Rules, Verdict
from pytest_lance_autoresearch.verdict import judge, selection

log_ratios = st.floats(-0.1, 0.1).map(lambda value: round(value, 4))
tables = st.integers(2, 6).flatmap(
    lambda rounds: st.lists(st.lists(log_ratios, min_size=rounds, max_size=rounds), min_size=2, max_size=6)
)
"""What each candidate came to in each round."""


def pairs(values: Sequence[float]) -> tuple[Pair, ...]:
    """One of each round, with these log-ratios."""
    return tuple(pair(everywhere([value])) for value in values)


def heat(ahead: Sequence[float], *, is_last: bool = False) -> Heat:
    return Heat("race", 16, "sha256 of the leader", pairs(ahead), is_last)


def left(table: Mapping[str, Sequence[float]]) -> set[str]:
    """Who is not outrun by the leader."""
    rounds = {name: pairs(values) for name, values in table.items()}
    leader = selection.ranking({name: selection.speed(of_one) for name, of_one in rounds.items()})[0]
    ahead = Heat("race", len(table), leader, rounds[leader], is_last=False)
    return {name for name, of_one in rounds.items() if not selection.is_outrun(of_one, ahead)}


# The rule


@given(tables)
@quick
def test_the_leader_goes_on(table: list[list[float]]) -> None:
    named = {str(number): values for number, values in enumerate(table)}
    best = max(named, key=lambda name: (round(sum(named[name]), 9), -int(name)))
    assert {name for name in left(named) if sum(named[name]) == sum(named[best])}


@given(tables, st.randoms(use_true_random=False))
@quick
def test_the_order_of_candidates_and_of_rounds_plays_no_part(table: list[list[float]], random: object) -> None:
    named = {str(number): values for number, values in enumerate(table)}
    shuffled = list(named)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert left({name: named[name] for name in shuffled}) == left(named)
    assert selection.ranking({name: named[name][0] for name in shuffled}) == selection.ranking(
        {name: values[0] for name, values in named.items()}
    )


@given(tables)
@quick
def test_after_the_last_round_everybody_is_outrun_by_whoever_is_ranked_before(table: list[list[float]]) -> None:
    """To the last bit, so that nobody is left without a verdict."""
    rounds = {str(number): pairs(values) for number, values in enumerate(table)}
    ranked = selection.ranking({name: selection.speed(of_one) for name, of_one in rounds.items()})
    for ahead, behind in pairwise(ranked):
        last = Heat("race", len(table), ahead, rounds[ahead], is_last=True)
        assert selection.is_outrun(rounds[behind], last)


@given(st.integers(1, 40), st.integers(0, 40))
@quick
def test_it_ends_with_few_enough_or_after_the_last_round(count: int, leaving: int) -> None:
    rounds, remaining = 0, count
    while not selection.is_over(rounds, remaining):
        rounds += 1
        remaining = max(1, remaining - leaving) if rounds >= selection.LEAST_ROUNDS else remaining
    assert rounds <= selection.MOST_ROUNDS
    assert (rounds >= selection.LEAST_ROUNDS) == (count > 1)


@pytest.mark.parametrize(
    ("own", "is_outrun"),
    [
        ([0.0], False),  # a single round shows nothing
        ([0.0, 0.001], True),
        ([0.0, 0.02], False),  # slower by 3 % and by 1 %: t is 2, of 6.3
        ([0.0, 0.02, 0.0], True),  # t is 3.5, of 2.9
        ([0.03, 0.03], False),
    ],
)
def test_who_is_shown_to_be_slower_than_the_leader_is_outrun(own: list[float], is_outrun: bool) -> None:
    assert selection.is_outrun(pairs(own), heat([0.03] * len(own))) == is_outrun


@pytest.mark.parametrize(
    ("own", "is_outrun"), [([0.0, 0.0199], True), ([0.0, 0.02], True), ([0.0, 0.0201], False)]
)
def test_after_the_last_round_whoever_came_out_slower_leaves(own: list[float], is_outrun: bool) -> None:
    assert selection.is_outrun(pairs(own), heat([0.01, 0.01], is_last=True)) == is_outrun


@pytest.mark.parametrize(("finalists", "confidence"), [(1, 0.99), (2, 0.995)])
def test_the_finalists_share_what_a_trial_may_be_wrong(finalists: int, confidence: float) -> None:
    shared = selection.final_rules(Rules(max_seconds=7), finalists)
    assert shared.confidence == pytest.approx(confidence)
    assert replace(shared, confidence=0.99) == Rules(max_seconds=7)


# What a look at rounds says


def test_rounds_keep_nothing() -> None:
    """As fast as it may be: selection is no evidence."""
    seen = evidence(*pairs([0.3] * 40), looks=2)
    looked = judge.look(replace(seen, heat=heat([0.3] * 40)), Rules())
    assert (looked.verdict, looked.cause) == (Verdict.UNDECIDED, Cause.UNDECIDED)
    assert judge.look(seen, Rules()).verdict is Verdict.KEEP


def test_who_is_outrun_is_discarded_and_claims_nothing() -> None:
    looked = judge.look(replace(evidence(*pairs([0.1, 0.101])), heat=heat([0.3, 0.3])), Rules())
    assert (looked.verdict, looked.cause) == (Verdict.DISCARD, Cause.OUTRUN)
    assert looked.race == Race(16, 2, pytest.approx(0.2208, abs=1e-4), is_last=False)  # type: ignore[arg-type]


def test_what_the_gate_would_discard_is_discarded_for_that() -> None:
    slow = pairs([-0.1, -0.1])
    looked = judge.look(replace(evidence(*slow), heat=heat([0.3, 0.3])), Rules())
    assert (looked.verdict, looked.cause) == (Verdict.DISCARD, Cause.SLOWER)
    assert set(looked.cases) == set(CASES)
