"""Statistics of paired windows: medians, intervals, ratios. Pure functions of numbers.

All estimates are of the natural logarithm of a ratio (baseline time / candidate time), so that swapping the
sides mirrors every result and scaling all times changes none.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pytest_lance_autoresearch.records import Interval

_LARGEST = 700.0
"""About the logarithm of the largest float."""
_BETS = (0.1, 0.3, 0.9)
"""Shares of what one has that are laid on each value: small ones tell of values that vary much."""
_HALVINGS = 40
"""Of the range of a mean: finer than any number of values can tell."""


class Bounds(NamedTuple):
    """Of a mean."""

    low: float
    high: float


@dataclass(frozen=True)
class LogEstimate:
    """An estimate on the log scale, with symmetric or asymmetric bounds."""

    low: float
    point: float
    high: float

    def __neg__(self) -> LogEstimate:
        """The same with the sides swapped."""
        return LogEstimate(-self.high, -self.point, -self.low)

    def ratio(self) -> Interval:
        """The same as a ratio."""
        return Interval(_exp(self.low), _exp(self.point), _exp(self.high))


def _exp(x: float) -> float:
    """Few pairs that differ much give bounds that no ratio can have."""
    return math.exp(x) if x < _LARGEST else math.inf


def geomean(values: Sequence[float]) -> float:
    """The geometric mean; ValueError for no values or one that is not positive."""
    if not values or not all(value > 0 and math.isfinite(value) for value in values):
        raise ValueError(f"the geometric mean needs positive numbers; got {list(values)}")
    return math.exp(math.fsum(math.log(value) for value in values) / len(values))


@dataclass(frozen=True)
class Mean:
    """A mean whose spread was estimated; 0 degrees of freedom where it was not, and any value is possible."""

    point: float
    se: float
    df: int

    def interval(self, alpha: float) -> LogEstimate:
        """The two-sided interval of confidence 1 - alpha (Student's t)."""
        half = student_quantile(1 - alpha / 2, self.df) * self.se if self.df else math.inf
        return LogEstimate(self.point - half, self.point, self.point + half)


def overall(pairs: Sequence[Mapping[str, Sequence[float]]]) -> Mean:
    """The overall log-ratio from each process pair's log-ratios by case.

    The point is the mean over pairs of the mean over cases of the median. How far it may be off is told by how
    much the pairs differ: whatever makes them differ is in it, on any host, and none of it is assumed.
    ValueError without data.
    """
    if not pairs:
        raise ValueError("an overall speed-up needs at least one pair")
    return mean(list(map(pair_point, pairs)))


def mean(points: Sequence[float]) -> Mean:
    """Of points that differ by chance; a single one tells nothing about by how much."""
    if len(points) == 1:
        return Mean(points[0], math.inf, 0)
    return Mean(statistics.fmean(points), statistics.stdev(points) / math.sqrt(len(points)), len(points) - 1)


def product(ratios: Sequence[Interval]) -> Interval:
    """Of independent ratios; half widths on the log scale add up as errors do. Without any it is exactly 1."""
    point = math.fsum(math.log(ratio.point) for ratio in ratios)
    half = math.sqrt(math.fsum((math.log(ratio.high / ratio.low) / 2) ** 2 for ratio in ratios))
    return LogEstimate(point - half, point, point + half).ratio()


def replicates(claimed: Interval, measured: Interval, *, is_gain: bool) -> bool:
    """Whether what was measured again does not lie below the claim, and where a gain was claimed, shows a gain."""
    return measured.high >= claimed.low and (measured.low > 1 or not (is_gain and claimed.low > 1))


def pooled_sd(runs: Sequence[Sequence[Mapping[str, Sequence[float]]]]) -> float:
    """By how much pairs differ, from the log-ratios by case of the pairs of several runs, each about its own mean.

    ValueError where no run has two pairs.
    """
    squares, df = 0.0, 0
    for run in runs:
        points = list(map(pair_point, run))
        squares += math.fsum((point - statistics.fmean(points)) ** 2 for point in points)
        df += len(points) - 1
    if df < 1:
        raise ValueError("a standard deviation needs two pairs of one run")
    return math.sqrt(squares / df)


def pair_point(cases: Mapping[str, Sequence[float]]) -> float:
    """The mean over cases of the median of one pair's log-ratios; ValueError where a case has none."""
    if not cases or not all(map(len, cases.values())):
        raise ValueError("an overall speed-up needs at least one log-ratio of every case")
    return math.fsum(statistics.median(values) for values in cases.values()) / len(cases)


def student_quantile(p: float, df: int) -> float:
    """The p-quantile, 0 < p < 1, of Student's t with a whole number of degrees of freedom, at least 1."""
    if p < 0.5:
        return -student_quantile(1 - p, df)
    low, high = 0.0, 1.0
    while student_cdf(high, df) < p:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if student_cdf(middle, df) < p else (low, middle)
    return high


def student_cdf(t: float, df: int) -> float:
    """P(T <= t), by the finite sums for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    theta = math.atan2(t, math.sqrt(df))
    cos, sin = math.cos(theta), math.sin(theta)
    term, total = (1.0, 1.0) if df % 2 == 0 else (cos, cos)
    for k in range(2 + df % 2, df - 1, 2):
        term *= (k - 1) / k * cos**2
        total += term
    if df % 2 == 0:
        return 0.5 + sin * total / 2
    return 0.5 + (theta + (sin * total if df > 1 else 0.0)) / math.pi


def weighted_mean(counts: Mapping[float, int]) -> float:
    """Of values, each as often as it says."""
    return math.fsum(value * count for value, count in counts.items()) / sum(counts.values())


def mean_bounds(counts: Mapping[float, int], alpha_low: float, alpha_high: float) -> Bounds:
    """Bounds of the mean of values from 0 to 1, each as often as it says; 0 and 1 without any.

    Each is wrong with the probability given for it at most, whatever the values' distribution, and however often
    one looks while they come in. They bet against each mean that is possible: whoever gains by a factor of
    1 / alpha by betting that values are larger has shown that they are (Waudby-Smith and Ramdas, Estimating means
    of bounded random variables by betting, JRSS B 86, 2024).
    """
    mirrored = [(1 - value, count) for value, count in counts.items()]
    return Bounds(_mean_at_least(list(counts.items()), alpha_low), 1 - _mean_at_least(mirrored, alpha_high))


def _mean_at_least(counts: Sequence[tuple[float, int]], alpha: float) -> float:
    """The largest mean of which it is shown that the values' own lies above it; 0 where none is."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_shown = _log_gain(counts, middle) >= -math.log(alpha)
        low, high = (middle, high) if is_shown else (low, middle)
    return low


def _log_gain(counts: Sequence[tuple[float, int]], mean: float) -> float:
    """The logarithm of what one unit became, a part of it in each bet, if the values' mean is said to be that."""
    gains = [math.fsum(count * math.log1p(bet * (value / mean - 1)) for value, count in counts) for bet in _BETS]
    largest = max(gains)
    return largest + math.log(math.fsum(math.exp(gain - largest) for gain in gains) / len(gains))


def median_interval(values: Sequence[float], alpha: float) -> LogEstimate:
    """The median with an exact two-sided sign-test interval of confidence at least 1 - alpha.

    Distribution-free (Conover, Practical Nonparametric Statistics, section 3.2): the bounds are order
    statistics. Too few values for the confidence give infinite bounds; no values raise ValueError.
    """
    if not values:
        raise ValueError("a median needs at least one value")
    ordered = sorted(values)
    rank = _sign_rank(len(ordered), alpha)
    point = statistics.median(ordered)
    if rank == 0:
        return LogEstimate(-math.inf, point, math.inf)
    return LogEstimate(ordered[rank - 1], point, ordered[-rank])


def values_for_bounds(alpha: float) -> int:
    """The fewest values with which `median_interval` has finite bounds."""
    return math.ceil(1 - math.log2(alpha))


def _sign_rank(n: int, alpha: float) -> int:
    """The largest r with P(Binomial(n, 1/2) < r) <= alpha / 2; 0 when there is none."""
    tail, rank = 0.0, 0
    for successes in range(n // 2 + 1):
        tail += math.comb(n, successes) / 2**n
        if tail > alpha / 2:
            break
        rank = successes + 1
    return rank
