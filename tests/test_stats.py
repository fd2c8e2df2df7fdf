"""The intervals hold what they promise: simulated data of known truth, and ranks counted independently."""

from __future__ import annotations

import functools
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


# Student's t

TABLE = {
    # degrees of freedom: the 0.9, 0.95, 0.975, 0.995 and 0.9995 quantiles, as tables print them
    1: (3.078, 6.314, 12.706, 63.657, 636.619),
    2: (1.886, 2.920, 4.303, 9.925, 31.599),
    3: (1.638, 2.353, 3.182, 5.841, 12.924),
    4: (1.533, 2.132, 2.776, 4.604, 8.610),
    5: (1.476, 2.015, 2.571, 4.032, 6.869),
    7: (1.415, 1.895, 2.365, 3.499, 5.408),
    11: (1.363, 1.796, 2.201, 3.106, 4.437),
    23: (1.319, 1.714, 2.069, 2.807, 3.768),
    30: (1.310, 1.697, 2.042, 2.750, 3.646),
    60: (1.296, 1.671, 2.000, 2.660, 3.460),
}


@pytest.mark.parametrize("df", TABLE)
def test_the_quantiles_are_those_of_the_tables(df: int) -> None:
    found = [stats.student_quantile(p, df) for p in (0.9, 0.95, 0.975, 0.995, 0.9995)]
    assert found == pytest.approx(TABLE[df], abs=5.1e-4)


def student_cdf_by_area(t: float, df: int) -> float:
    """1/2 and the area below the density from 0 to t, by Simpson's rule."""
    scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - math.log(df * math.pi) / 2
    x = np.linspace(0, t, 2001)
    weights = np.full(x.size, 2.0)
    weights[1::2], weights[0], weights[-1] = 4.0, 1.0, 1.0
    density = np.exp(scale - (df + 1) / 2 * np.log1p(x**2 / df))
    return 0.5 + float(weights @ density) * t / (3 * (x.size - 1))


@pytest.mark.parametrize("df", range(1, 61))
def test_the_distribution_is_the_area_below_its_density(df: int) -> None:
    for t in (-6.0, -1.3, 0.0, 0.2, 1.0, 2.5, 8.0):
        assert stats.student_cdf(t, df) == pytest.approx(student_cdf_by_area(t, df), abs=1e-9)


@quick
@given(st.floats(1e-6, 1 - 1e-6), st.integers(1, 60))
def test_a_quantile_is_the_inverse_of_the_distribution_and_symmetric(p: float, df: int) -> None:
    found = stats.student_quantile(p, df)
    assert stats.student_cdf(found, df) == pytest.approx(p, abs=1e-12)
    assert stats.student_quantile(1 - p, df) == pytest.approx(-found, rel=1e-6, abs=1e-9)


def test_fewer_degrees_of_freedom_reach_further_and_many_are_normal() -> None:
    found = [stats.student_quantile(0.975, df) for df in range(1, 61)]
    assert found == sorted(found, reverse=True)
    assert stats.student_quantile(0.975, 10_000) == pytest.approx(1.96020, abs=1e-5)


# overall


def pairs_at(*points: float) -> list[dict[str, list[float]]]:
    """Pairs of one case, each with this median."""
    return [{"a": [point - 0.1, point, point + 0.1]} for point in points]


def test_the_overall_point_is_the_mean_of_the_medians_and_then_of_the_pairs() -> None:
    first = {"a": [0.0, 0.1, 5.0], "b": [0.3], "c": [-0.2, -0.2]}
    second = {"a": [0.4], "b": [0.4], "c": [0.4]}
    assert stats.overall([first]).point == pytest.approx((0.1 + 0.3 - 0.2) / 3)
    assert stats.overall([first, second]).point == pytest.approx(((0.1 + 0.3 - 0.2) / 3 + 0.4) / 2)


def test_how_far_it_may_be_off_is_told_by_how_much_pairs_differ() -> None:
    found = stats.overall(pairs_at(0.01, 0.03, 0.02, 0.04))
    assert found.se == pytest.approx(math.sqrt(5e-4 / 3 / 4))
    assert found.df == 3
    bounds = found.interval(0.05)
    assert bounds.low == pytest.approx(0.025 - 3.182446 * found.se)
    assert bounds.high == pytest.approx(0.025 + 3.182446 * found.se)


def test_what_blocks_of_one_pair_differ_by_is_no_part_of_it() -> None:
    noisy = [{"a": [point - 0.3, point, point + 0.2]} for point in (0.0, 0.01)]
    assert stats.overall(noisy) == stats.overall(pairs_at(0.0, 0.01))


def test_pairs_that_agree_leave_no_doubt_and_one_pair_alone_says_nothing() -> None:
    assert stats.overall(pairs_at(0.02, 0.02)).interval(0.01) == stats.LogEstimate(0.02, 0.02, 0.02)
    alone = stats.overall(pairs_at(0.02))
    assert (alone.se, alone.df) == (math.inf, 0)
    assert alone.interval(0.5) == stats.LogEstimate(-math.inf, 0.02, math.inf)


def test_bounds_that_no_ratio_can_have_are_none() -> None:
    """Two pairs that differ much, at a confidence of a look."""
    found = stats.overall(pairs_at(-1.0, 9.0)).interval(0.01 / 6).ratio()
    assert (found.low, found.high) == (0.0, math.inf)


def test_a_smaller_alpha_widens_the_interval() -> None:
    found = stats.overall(pairs_at(0.01, 0.03, 0.02))
    wide, narrow = found.interval(0.001), found.interval(0.1)
    assert wide.low < narrow.low < narrow.point < narrow.high < wide.high


def test_one_wild_window_hardly_moves_the_overall_point() -> None:
    values = noise(np.random.default_rng(6), 31)
    moved = stats.overall([{"a": [*values, 9.0]}]).point - stats.overall([{"a": values}]).point
    assert abs(moved) < 0.01


some_pairs = st.lists(st.lists(samples, min_size=2, max_size=2), min_size=2, max_size=5)


def named(values: list[list[list[float]]], *, sign: int = 1) -> list[dict[str, list[float]]]:
    return [{str(i): [sign * v for v in case] for i, case in enumerate(of_pair)} for of_pair in values]


@quick
@given(some_pairs, st.sampled_from([0.5, 0.05, 0.01 / 6]))
def test_swapping_the_sides_mirrors_the_overall_interval(values: list[list[list[float]]], alpha: float) -> None:
    found, mirrored = (stats.overall(named(values, sign=sign)).interval(alpha) for sign in (1, -1))
    assert (mirrored.low, mirrored.point, mirrored.high) == pytest.approx(
        (-found.high, -found.point, -found.low), abs=1e-9
    )


@quick
@given(some_pairs, st.randoms(use_true_random=False))
def test_the_overall_interval_does_not_depend_on_the_order_of_cases_or_of_pairs(
    values: list[list[list[float]]], random: object
) -> None:
    pairs = named(values)
    shuffled = [dict(reversed(one.items())) for one in pairs]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    found, again = stats.overall(pairs), stats.overall(shuffled)
    assert [again.point, again.se] == pytest.approx([found.point, found.se], abs=1e-12)


def test_an_overall_speedup_of_no_pairs_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^an overall speed-up needs at least one pair$"):
        stats.overall([])


@pytest.mark.parametrize("pairs", [[{}], [{"a": []}], [{"a": [0.1], "b": []}], [{"a": [0.1, 0.2]}, {"a": []}]])
def test_an_overall_speedup_without_data_is_an_error(pairs: list[dict[str, list[float]]]) -> None:
    with pytest.raises(ValueError, match=r"^an overall speed-up needs at least one log-ratio of every case$"):
        stats.overall(pairs)


@pytest.mark.parametrize("count", [2, 4, 8, 24])
def test_overall_intervals_hold_the_truth_as_often_as_promised_whatever_the_spread(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each simulated host has a spread of its own, from 0.01 % to 10 %."""
    monkeypatch.setattr(stats, "student_quantile", functools.cache(stats.student_quantile))
    random, truth, hosts = np.random.default_rng(21), 0.02, 3000
    covered = 0
    for sd in 10 ** random.uniform(-4, -1, hosts):
        points = random.normal(truth, sd, count).tolist()
        found = stats.overall([{"a": [point]} for point in points]).interval(0.05)
        covered += found.low <= truth <= found.high
    assert 0.93 < covered / hosts < 0.97


# pooled_sd


def test_the_spread_of_several_runs_is_about_the_mean_of_each() -> None:
    runs = [pairs_at(0.01, 0.03), pairs_at(0.51, 0.52, 0.53)]
    assert stats.pooled_sd(runs) == pytest.approx(math.sqrt((2e-4 + 2e-4) / (1 + 2)))


def test_a_run_of_one_pair_says_nothing_of_the_spread() -> None:
    assert stats.pooled_sd([pairs_at(0.9), pairs_at(0.01, 0.03)]) == pytest.approx(math.sqrt(2e-4))
    with pytest.raises(ValueError, match=r"^a standard deviation needs two pairs of one run$"):
        stats.pooled_sd([pairs_at(0.1), pairs_at(0.2)])


# ratios


def test_a_log_estimate_becomes_a_ratio() -> None:
    ratio = stats.LogEstimate(-math.log(2), 0.0, math.log(4)).ratio()
    assert ratio == Interval(pytest.approx(0.5), 1.0, pytest.approx(4.0))  # type: ignore[arg-type]


# mean_bounds


def test_without_values_a_mean_may_be_anything() -> None:
    assert stats.mean_bounds({}, 0.01, 0.01) == pytest.approx((0.0, 1.0), abs=1e-9)


@pytest.mark.parametrize("count", [1, 10, 100, 1000])
def test_equal_values_leave_room_for_rare_others(count: int) -> None:
    """So many calls without a loss rule out a mean loss of 4.6 / count at most, whatever is laid on them."""
    low, high = stats.mean_bounds({0.5: count}, 0.01, 0.01)
    least = 0.5 * math.exp(math.log(0.01) / count)
    assert low <= least
    assert 1 - low == pytest.approx(high)
    if count >= 100:
        assert low > 0.5 - 2 * (0.5 - least)


@quick
@given(st.dictionaries(st.floats(0, 1), st.integers(1, 500), min_size=1, max_size=8))
def test_the_bounds_hold_the_mean_and_are_mirrored_with_the_values(counts: dict[float, int]) -> None:
    low, high = stats.mean_bounds(counts, 0.05, 0.01)
    assert low - 1e-9 <= stats.weighted_mean(counts) <= high + 1e-9
    mirrored: dict[float, int] = {}
    for value, count in counts.items():
        mirrored[1 - value] = mirrored.get(1 - value, 0) + count
    assert stats.mean_bounds(mirrored, 0.01, 0.05) == pytest.approx((1 - high, 1 - low), abs=1e-6)


@quick
@given(st.dictionaries(st.floats(0, 1), st.integers(1, 50), min_size=1, max_size=5), st.floats(1e-3, 0.2))
def test_surer_bounds_are_wider(counts: dict[float, int], alpha: float) -> None:
    sure, unsure = stats.mean_bounds(counts, alpha / 10, alpha / 10), stats.mean_bounds(counts, alpha, alpha)
    assert sure.low <= unsure.low
    assert unsure.high <= sure.high


def ever_wrong(values: np.ndarray, truth: float, alpha: float, looks: int) -> bool:
    """Whether the lower bound lies above the truth at any of so many looks while the values come in."""
    counts: dict[float, int] = {}
    for number, value in enumerate(values.tolist(), 1):
        counts[value] = counts.get(value, 0) + 1
        if number % (len(values) // looks) == 0 and stats.mean_bounds(counts, alpha, alpha).low > truth:
            return True
    return False


@pytest.mark.parametrize("rarely", [0.02, 0.3])
def test_a_bound_is_wrong_at_any_of_many_looks_no_more_often_than_it_says(rarely: float) -> None:
    """Changes of recall that are 0 but for rare losses, each as large as can be: the hardest to bound."""
    random, alpha, runs = np.random.default_rng(7), 0.1, 300
    wrong = sum(
        ever_wrong(np.where(random.random(400) < rarely, 0.0, 0.5), 0.5 * (1 - rarely), alpha, looks=8)
        for _ in range(runs)
    )
    assert wrong <= alpha * runs
