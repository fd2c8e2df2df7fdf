"""The intervals hold what they promise: simulated data of known truth, and ranks counted independently."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from builders import quick
from hypothesis import given
from hypothesis import strategies as st

from pytest_lance_autoresearch.records import Interval
from pytest_lance_autoresearch.verdict import stats

logs = st.floats(-3, 3)
samples = st.lists(logs, min_size=1, max_size=40)


def noise(random: np.random.Generator, count: int) -> list[float]:
    """Log-ratios around 0 as machines make them: 2 % of noise, and now and then a window that is 30 % slower."""
    outliers = random.choice([0, 0.3, -0.3], count, p=[0.95, 0.025, 0.025])
    return [float(value) for value in random.normal(0, 0.02, count) + outliers]


# geomean


def test_the_geomean_is_the_nth_root_of_the_product() -> None:
    assert stats.geomean([2.0, 8.0]) == pytest.approx(4.0, rel=1e-15)
    assert stats.geomean([1e300, 1e300, 1e-300]) == pytest.approx(1e100, rel=1e-12)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_the_geomean_refuses_what_is_no_time(bad: float) -> None:
    with pytest.raises(ValueError, match="the geometric mean needs positive numbers; got") as raised:
        stats.geomean([1.0, bad])
    assert str(raised.value) == f"the geometric mean needs positive numbers; got [1.0, {bad}]"


def test_the_geomean_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^the geometric mean needs positive numbers; got \[\]$"):
        stats.geomean([])


# median_interval


def rank_by_counting(n: int, alpha: float) -> int:
    """The largest r for which both tails beyond the r-th value from either end hold at most alpha."""
    ranks = range(1, (n + 1) // 2 + 1)
    fits = [r for r in ranks if Fraction(sum(math.comb(n, i) for i in range(r)), 2**n) <= Fraction(alpha) / 2]
    return max(fits, default=0)


@pytest.mark.parametrize("alpha", [0.32, 0.05, 0.05 / 6, 0.05 / 54, 1e-6])
def test_the_bounds_are_the_order_statistics_of_the_sign_test(alpha: float) -> None:
    random = np.random.default_rng(1)
    for n in range(1, 80):
        values = random.normal(size=n).tolist()
        ordered, rank = sorted(values), rank_by_counting(n, alpha)
        found = stats.median_interval(values, alpha)
        assert found.point == pytest.approx(float(np.median(values)))
        assert (found.low, found.high) == (
            (ordered[rank - 1], ordered[n - rank]) if rank else (-math.inf, math.inf)
        ), n


def test_five_values_say_nothing_at_95_percent_and_six_do() -> None:
    assert stats.median_interval([1, 2, 3, 4, 5], 0.05) == stats.LogEstimate(-math.inf, 3, math.inf)
    assert stats.median_interval([1, 2, 3, 4, 5, 6], 0.05) == stats.LogEstimate(1, 3.5, 6)


def test_more_than_a_thousand_values_are_no_overflow() -> None:
    found = stats.median_interval([i / 2000 for i in range(2001)], 0.05)
    assert 0.47 < found.low < found.point == 0.5 < found.high < 0.53


def test_a_median_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^a median needs at least one value$"):
        stats.median_interval([], 0.05)


@quick
@given(samples, st.floats(1e-6, 0.5))
def test_negating_the_values_mirrors_a_median_interval(values: list[float], alpha: float) -> None:
    found, mirrored = stats.median_interval(values, alpha), stats.median_interval([-v for v in values], alpha)
    assert (mirrored.low, mirrored.point, mirrored.high) == (-found.high, -found.point, -found.low)


@quick
@given(samples, st.floats(1e-6, 0.5), st.randoms(use_true_random=False))
def test_a_median_interval_does_not_depend_on_order(values: list[float], alpha: float, random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert stats.median_interval(shuffled, alpha) == stats.median_interval(values, alpha)


def test_median_intervals_hold_the_truth_as_often_as_promised() -> None:
    random = np.random.default_rng(20)
    found = [stats.median_interval([0.1 + v for v in noise(random, 20)], 0.05) for _ in range(3000)]
    covered = sum(estimate.low <= 0.1 <= estimate.high for estimate in found) / len(found)
    assert 0.945 < covered < 0.972  # 0.9586 for 20 values, whatever the noise


# overall


def interval(*pairs: dict[str, list[float]], alpha: float = 0.05, process_sd: float = 0.0) -> stats.LogEstimate:
    return stats.overall(pairs, process_sd).interval(alpha)


def width(found: stats.LogEstimate) -> float:
    return found.high - found.low


def test_the_overall_point_is_the_mean_of_the_medians_and_then_of_the_pairs() -> None:
    first = {"a": [0.0, 0.1, 5.0], "b": [0.3], "c": [-0.2, -0.2]}
    second = {"a": [0.4], "b": [0.4], "c": [0.4]}
    assert stats.overall([first]).point == pytest.approx((0.1 + 0.3 - 0.2) / 3)
    assert stats.overall([first, second]).point == pytest.approx(((0.1 + 0.3 - 0.2) / 3 + 0.4) / 2)


def test_the_same_values_give_the_same_interval_to_the_last_digit() -> None:
    cases = {"a": noise(np.random.default_rng(3), 16)}
    assert interval(cases) == interval(cases)


def test_a_smaller_alpha_widens_the_interval() -> None:
    cases = {"a": noise(np.random.default_rng(4), 16), "b": noise(np.random.default_rng(5), 16)}
    wide, narrow = interval(cases, alpha=0.001), interval(cases, alpha=0.1)
    assert wide.low < narrow.low < narrow.point < narrow.high < wide.high


def test_the_overall_interval_is_two_sided_and_normal() -> None:
    cases = {"a": noise(np.random.default_rng(4), 16)}
    at_95, at_68 = interval(cases), interval(cases, alpha=0.3173105)
    assert width(at_95) / width(at_68) == pytest.approx(1.959964, rel=1e-5)


def test_four_cases_halve_the_width_of_one() -> None:
    values = noise(np.random.default_rng(9), 40)
    four, one = interval(dict.fromkeys("abcd", values)), interval({"a": values})
    assert width(four) == pytest.approx(width(one) / 2, rel=0.1)


def test_what_differs_from_process_to_process_is_added_for_each_pair() -> None:
    steady = {"a": [0.1] * 16}
    assert stats.overall([steady], 0.003).se == pytest.approx(0.003)
    assert stats.overall([steady] * 4, 0.003).se == pytest.approx(0.0015)
    noisy = {"a": noise(np.random.default_rng(5), 16)}
    alone = stats.overall([noisy]).se
    assert stats.overall([noisy], 0.003).se == pytest.approx(math.hypot(alone, 0.003))


def test_pairs_that_disagree_more_than_was_allowed_for_widen_the_interval() -> None:
    low, high = {"a": [0.0] * 16}, {"a": [0.1] * 16}
    assert stats.overall([low, high], 0.003).se == pytest.approx(0.05)  # sqrt(0.1**2 / 2) / sqrt(2)
    assert stats.overall([low, low], 0.003).se == pytest.approx(0.003 / math.sqrt(2))


def test_one_wild_window_hardly_moves_the_overall_point() -> None:
    values = noise(np.random.default_rng(6), 31)
    moved = stats.overall([{"a": [*values, 9.0]}]).point - stats.overall([{"a": values}]).point
    assert abs(moved) < 0.01


@quick
@given(st.lists(st.lists(samples, min_size=2, max_size=2), min_size=1, max_size=3), st.floats(0, 0.1))
def test_negating_the_values_mirrors_the_overall_interval(values: list[list[list[float]]], sd: float) -> None:
    pairs = [{str(i): case for i, case in enumerate(of_pair)} for of_pair in values]
    negated = [{case: [-v for v in of_case] for case, of_case in of_pair.items()} for of_pair in pairs]
    found, mirrored = interval(*pairs, process_sd=sd), interval(*negated, process_sd=sd)
    assert (mirrored.low, mirrored.point, mirrored.high) == pytest.approx(
        (-found.high, -found.point, -found.low), abs=1e-12
    )


@pytest.mark.parametrize("pairs", [[], [{}], [{"a": []}], [{"a": [0.1], "b": []}], [{"a": [0.1, 0.2]}, {"a": []}]])
def test_an_overall_speedup_without_data_is_an_error(pairs: list[dict[str, list[float]]]) -> None:
    with pytest.raises(ValueError, match=r"^an overall speed-up needs at least one log-ratio of every case$"):
        stats.overall(pairs)


@pytest.mark.parametrize("pairs", [1, 2, 4])
def test_overall_intervals_hold_the_truth_as_often_as_promised(pairs: int) -> None:
    """Pairs of processes differ by 0.4 %, windows by 2 %, some by 30 %."""
    random, truth = np.random.default_rng(21), (0.0, 0.1, -0.04, 0.3)
    covered = 0
    for _ in range(400):
        shifts = random.normal(0, 0.004, pairs)
        measured = [
            {str(i): [centre + shift + v for v in noise(random, 16)] for i, centre in enumerate(truth)}
            for shift in shifts
        ]
        found = interval(*measured, alpha=0.1, process_sd=0.004)
        covered += found.low <= sum(truth) / 4 <= found.high
    assert 0.85 < covered / 400 < 0.96  # 0.90 promised


def test_one_value_alone_is_no_certainty() -> None:
    assert stats.overall([{"a": [0.5]}]).se == math.inf


def test_the_overall_interval_does_not_depend_on_the_order_of_the_cases() -> None:
    first, second = noise(np.random.default_rng(7), 16), noise(np.random.default_rng(8), 20)
    assert interval({"a": first, "b": second}) == interval({"b": second, "a": first})


def test_a_log_estimate_becomes_a_ratio() -> None:
    ratio = stats.LogEstimate(-math.log(2), 0.0, math.log(4)).ratio()
    assert ratio == Interval(pytest.approx(0.5), 1.0, pytest.approx(4.0))  # type: ignore[arg-type]
