"""Statistics of paired windows: medians, intervals, ratios. Pure functions of numbers.

All estimates are of the natural logarithm of a ratio (baseline time / candidate time), so that swapping the
sides mirrors every result and scaling all times changes none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from pytest_lance_autoresearch.records import Interval

RESAMPLES = 2000
_BOOTSTRAP_SEED = 20_251_115
"""Fixed, so that a verdict can be computed again from its windows, to the last digit."""


@dataclass(frozen=True)
class LogEstimate:
    """An estimate on the log scale, with symmetric or asymmetric bounds."""

    low: float
    point: float
    high: float

    def ratio(self) -> Interval:
        return Interval(math.exp(self.low), math.exp(self.point), math.exp(self.high))


def geomean(values: Sequence[float]) -> float:
    """The geometric mean; ValueError for no values or one that is not positive."""
    if not values or not all(value > 0 and math.isfinite(value) for value in values):
        raise ValueError(f"the geometric mean needs positive numbers; got {list(values)}")
    return math.exp(math.fsum(math.log(value) for value in values) / len(values))


@dataclass(frozen=True)
class Normal:
    """A nearly normal estimate on the log scale."""

    point: float
    se: float

    def interval(self, alpha: float) -> LogEstimate:
        """The two-sided interval of confidence 1 - alpha."""
        half = NormalDist().inv_cdf(1 - alpha / 2) * self.se
        return LogEstimate(self.point - half, self.point, self.point + half)


def overall(pairs: Sequence[Mapping[str, Sequence[float]]], process_sd: float = 0.0) -> Normal:
    """The overall log-ratio from each process pair's log-ratios by case.

    The point is the mean over pairs of the mean over cases of the median. Its variance is that of the windows
    (bootstrap within pair and case: Efron and Tibshirani, An Introduction to the Bootstrap, chapter 6) plus
    `process_sd` squared for each pair, or the variance seen between the pairs where that is larger.
    ValueError without data.
    """
    if not pairs or not all(cases and all(map(len, cases.values())) for cases in pairs):
        raise ValueError("an overall speed-up needs at least one log-ratio of every case")
    points = [_mean_of_medians(cases) for cases in pairs]
    variance = math.fsum(_bootstrap_variance(cases) + process_sd**2 for cases in pairs) / len(pairs)
    if len(pairs) > 1:
        variance = max(variance, float(np.var(points, ddof=1)))
    return Normal(math.fsum(points) / len(pairs), math.sqrt(variance / len(pairs)))


def _mean_of_medians(cases: Mapping[str, Sequence[float]]) -> float:
    return math.fsum(float(np.median(values)) for values in cases.values()) / len(cases)


def _bootstrap_variance(cases: Mapping[str, Sequence[float]]) -> float:
    """Of the mean over cases of the median; infinite where a case has one value, whose spread nobody sees."""
    if min(map(len, cases.values())) < 2:
        return math.inf
    random = np.random.default_rng(_BOOTSTRAP_SEED)
    total = np.zeros(RESAMPLES)
    for case in sorted(cases):
        array = np.asarray(cases[case], dtype=np.float64)
        picks = random.integers(0, array.size, (RESAMPLES, array.size))
        total += np.median(array[picks], axis=1)
    return float(np.var(total / len(cases), ddof=1))


def median_interval(values: Sequence[float], alpha: float) -> LogEstimate:
    """The median with an exact two-sided sign-test interval of confidence at least 1 - alpha.

    Distribution-free (Conover, Practical Nonparametric Statistics, section 3.2): the bounds are order
    statistics. Too few values for the confidence give infinite bounds; no values raise ValueError.
    """
    if not values:
        raise ValueError("a median needs at least one value")
    ordered = sorted(values)
    rank = _sign_rank(len(ordered), alpha)
    point = float(np.median(ordered))
    if rank == 0:
        return LogEstimate(-math.inf, point, math.inf)
    return LogEstimate(ordered[rank - 1], point, ordered[-rank])


def _sign_rank(n: int, alpha: float) -> int:
    """The largest r with P(Binomial(n, 1/2) < r) <= alpha / 2; 0 when there is none."""
    tail, rank = 0.0, 0
    for successes in range(n // 2 + 1):
        tail += math.comb(n, successes) / 2**n
        if tail > alpha / 2:
            break
        rank = successes + 1
    return rank
