"""A kernel that works ahead is refused in place of a keep, and one that does not never is."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from builders import BASELINE_WALL_NS, CASES, each_window, everywhere, pair, pairs_of_a_look, spread

from pytest_lance_autoresearch.records import (
    Cause,
    Dealt,
    Evidence,
    Pair,
    RegressionRules,
    Rules,
    Verdict,
    Window,
)
from pytest_lance_autoresearch.verdict import ahead, judge

CALL_NS = 10**8
"""Of the candidate where it is as fast as the baseline, in windows of 100 calls."""
FASTER, SLOWER, EQUAL = (everywhere(spread(gain)) for gain in (0.05, -0.2, 0.0))
assert BASELINE_WALL_NS == 100 * CALL_NS


def dealt(case: str, dearer: float, *, waited_ns: int = 0, has_cpu: bool = True) -> Dealt:
    """Windows of 50 calls, which take that fraction longer where nothing is known of later ones."""

    def window(ns: float) -> Window:
        return Window(50, round(ns) + waited_ns, round(ns) if has_cpu else None, waited_ns)

    alone_ns = 50 * 1.5 * CALL_NS  # each with what it takes to be started by itself
    return Dealt(case, window(alone_ns), window(alone_ns + 50 * dearer * CALL_NS))


def measured(ratios: dict[str, list[float]], dearer: list[float], looks: int = 2) -> Evidence:
    """As after so many looks, with these windows in the pairs of the last."""
    pairs = [one for _ in range(looks) for one in pairs_of_a_look(ratios)]
    told = iter(dearer)
    last = [with_dealt(one, [next(told) for _ in CASES]) for one in pairs[-4:]]
    return Evidence(100, 100, (*pairs[:-4], *last), looks=looks, seconds=60.0)


def with_dealt(one: Pair, dearer: list[float]) -> Pair:
    return replace(one, dealt=tuple(map(dealt, CASES, dearer)))


def around(centre: float) -> list[float]:
    return spread(centre, 0.1, 4 * len(CASES))


@pytest.mark.parametrize(
    ("ratios", "rules", "instead_of"),
    [
        (FASTER, Rules(), Verdict.KEEP),
        (EQUAL, RegressionRules(), Verdict.PASS),
        (FASTER | {CASES[0]: spread(-0.047, 0.05)}, Rules(), Verdict.UNDECIDED),
    ],
    ids=["a keep", "a pass", "another look"],
)
def test_it_is_refused_in_place_of(ratios: dict[str, list[float]], rules: Rules, instead_of: Verdict) -> None:
    honest = judge.look(measured(ratios, around(0.0)), rules)
    assert (honest.verdict, honest.ahead) == (instead_of, None)
    found = judge.look(measured(ratios, around(0.4)), rules)
    assert (found.verdict, found.cause) == (Verdict.REFUSED, Cause.WORKS_AHEAD)
    assert found.speedup == honest.speedup
    assert found.ahead is not None
    assert found.ahead.dearer == pytest.approx(0.4, rel=0.06)  # of its own calls, which are a little faster
    assert 0.3 < found.ahead.least < found.ahead.dearer


def test_what_is_discarded_anyway_is_discarded() -> None:
    found = judge.look(measured(SLOWER, around(0.4)), Rules())
    assert (found.verdict, found.ahead) == (Verdict.DISCARD, None)


@pytest.mark.parametrize(
    ("values", "is_shown"),
    [
        (around(0.0), False),
        (around(0.08), False),  # by chance, it may be
        (around(0.15), True),
        (around(-0.5), False),
        ([0.06] * 12, True),
        ([0.05] * 12, False),
        ([9.0, 9.0, 9.0], False),
        ([3.0, *around(0.0)[1:]], False),  # one that was disturbed
    ],
)
def test_it_must_be_shown_to_be_more_than_noise(values: list[float], is_shown: bool) -> None:
    told = (with_dealt(pair(EQUAL), values[start:][: len(CASES)]) for start in range(0, len(values), len(CASES)))
    assert (ahead.shown(Evidence(1, 1, tuple(told))) is not None) == is_shown


def test_noise_alone_refuses_fewer_than_one_in_a_thousand() -> None:
    """Even without the limit: with it none is refused here."""
    drawn = random.Random(7)
    found = [ahead.estimate([drawn.gauss(0.0, 0.2) for _ in range(48)]) for _ in range(2000)]
    assert sum(one.least > 0 for one in found) <= 4
    assert max(one.least for one in found) < ahead.LIMIT


def test_it_is_told_by_cpu_time_or_else_by_the_time_that_was_not_waited() -> None:
    one = pair(EQUAL)
    uneven = dealt(CASES[0], 0.2)
    uneven = uneven._replace(dealt=replace(uneven.dealt, wall_ns=10 * uneven.dealt.wall_ns))
    assert ahead.dearer(replace(one, dealt=(uneven,)), 1) == pytest.approx([0.2])
    waited = replace(one, dealt=(dealt(CASES[0], 0.3, waited_ns=10**9, has_cpu=False),))
    assert ahead.dearer(waited, 1) == pytest.approx([0.3])
    threads = replace(one, dealt=(dealt(CASES[0], 0.3)._replace(announced=replace(uneven.announced, cpu_ns=1)),))
    assert ahead.dearer(threads, 2) == pytest.approx([0.3])


def test_a_call_is_measured_by_what_it_takes_in_windows_as_they_are_judged() -> None:
    one = pair(EQUAL)
    slower = tuple(each_window(block, lambda w: replace(w, cpu_ns=2 * (w.cpu_ns or 0))) for block in one.blocks)
    assert ahead.dearer(replace(one, blocks=slower, dealt=(dealt(CASES[0], 0.2),)), 1) == pytest.approx([0.1])


def test_where_nothing_of_the_kind_was_measured_nothing_is_said() -> None:
    assert ahead.measured(Evidence(1, 1, tuple(pairs_of_a_look(EQUAL)))) is None
    assert ahead.measured(Evidence(1, 1)) is None
    assert ahead.estimate([0.1, 0.2]) == pytest.approx((0.15, 0.15 - 0.05 * 318.309), rel=1e-4)
