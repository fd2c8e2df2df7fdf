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


def overall(cases: Mapping[str, Sequence[float]], alpha: float) -> LogEstimate:
    """The mean over cases of the median log-ratio, with a two-sided interval of confidence 1 - alpha.

    The interval is the normal one with the bootstrap's standard error, resampled within each case (Efron and
    Tibshirani, An Introduction to the Bootstrap, chapter 6): the mean over cases is near normal even where the
    median of one case is not. ValueError without data.
    """
    if not cases or not all(len(values) for values in cases.values()):
        raise ValueError("an overall speed-up needs at least one log-ratio of every case")
    random = np.random.default_rng(_BOOTSTRAP_SEED)
    point = math.fsum(float(np.median(values)) for values in cases.values()) / len(cases)
    total = np.zeros(RESAMPLES)
    for case in sorted(cases):
        array = np.asarray(cases[case], dtype=np.float64)
        picks = random.integers(0, array.size, (RESAMPLES, array.size))
        total += np.median(array[picks], axis=1)
    half = NormalDist().inv_cdf(1 - alpha / 2) * float(np.std(total / len(cases), ddof=1))
    if min(map(len, cases.values())) < 2:
        half = math.inf  # one value has no spread that could be seen
    return LogEstimate(point - half, point, point + half)


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
