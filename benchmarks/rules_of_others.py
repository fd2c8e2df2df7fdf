"""What other rules would say about two runs of a kernel: keep the new one, or not.

Each rule is a function of the nanoseconds per call of every window, by case, of the run before and of the new one.
The tools report cases one by one; a kernel counts as kept when some case is better by the tool's own rule and none
is worse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from pytest_lance_autoresearch.records import Pair, Window
from pytest_lance_autoresearch.verdict import aggregate

Times = Mapping[str, NDArray[np.float64]]
Rule = Callable[[Times, Times], bool]
RESAMPLES = 400


def times(run: Sequence[Pair], side: str) -> Times:
    """Wall time per call of each window of a side, 'A' or 'B', as a tool would see it, by case."""
    found: dict[str, list[float]] = {}
    for block in (block for pair in run for block in pair.blocks):
        found.setdefault(block.case, []).extend(w.wall_ns / w.calls for w in block.side(side))
    return {case: np.array(values) for case, values in found.items()}


def at_gain(pair: Pair, gains: Mapping[str, float]) -> Pair:
    """The pair with every window of the baseline as it would be, were its kernel slower by the case's gain."""
    blocks = []
    for block in pair.blocks:
        first, second, third, fourth = (
            _prolonged(window, gains[block.case], pair.call_overhead_ns[block.case]) if letter == "A" else window
            for window, letter in zip(block.windows, block.order, strict=True)
        )
        blocks.append(replace(block, windows=(first, second, third, fourth)))
    return replace(pair, blocks=tuple(blocks))


def _prolonged(window: Window, gain: float, overhead_ns: float) -> Window:
    more_ns = round(gain * aggregate.kernel_ns(window, overhead_ns))
    cpu_ns = None if window.cpu_ns is None else window.cpu_ns + more_ns
    return replace(window, wall_ns=window.wall_ns + more_ns, cpu_ns=cpu_ns)


def intervals_apart(before: Times, after: Times) -> bool:
    """The original's gate: the 90 % intervals of the two runs' geomeans do not overlap."""
    return _geomean_bounds(after)[1] < _geomean_bounds(before)[0]


def one_percent(before: Times, after: Times) -> bool:
    """The original's other rule: the geomean is 1 % better than the last run's."""
    return _geomean(after) < 0.99 * _geomean(before)


def compare_fail_mean(before: Times, after: Times) -> bool:
    """--benchmark-compare-fail=mean:5% passes, and the geomean of the means is better."""
    changes = [after[case].mean() / before[case].mean() for case in before]
    return max(changes) <= 1.05 and float(np.mean(np.log(changes))) < 0


def mann_whitney(before: Times, after: Times) -> bool:
    """The test of benchstat and asv, unpaired, at its usual 5 %."""
    signs = []
    for case in before:
        p = scipy_stats.mannwhitneyu(after[case], before[case]).pvalue
        signs.append(np.sign(np.median(after[case]) - np.median(before[case])) if p < 0.05 else 0)
    return -1 in signs and 1 not in signs


def criterion(before: Times, after: Times) -> bool:
    """Criterion.rs: the 95 % bootstrap interval of the mean's change lies beyond its noise threshold of 1 %."""
    random = np.random.default_rng(1)
    signs = []
    for case in before:
        changes = _resampled_means(after[case], random) / _resampled_means(before[case], random) - 1
        low, high = np.percentile(changes, [2.5, 97.5])
        signs.append(-1 if high < -0.01 else 1 if low > 0.01 else 0)
    return -1 in signs and 1 not in signs


RULES: dict[str, Rule] = {
    "original: 90 % intervals apart": intervals_apart,
    "original: 1 % better than the last run": one_percent,
    "pytest-benchmark: mean:5%": compare_fail_mean,
    "Mann-Whitney (benchstat, asv)": mann_whitney,
    "criterion": criterion,
}


def _geomean(times: Times) -> float:
    return float(np.exp(np.mean([np.log(np.median(values)) for values in times.values()])))


def _geomean_bounds(times: Times) -> tuple[float, float]:
    random = np.random.default_rng(1)
    total = np.zeros(RESAMPLES)
    for values in times.values():
        picks = random.integers(0, values.size, (RESAMPLES, values.size))
        total += np.log(np.median(values[picks], axis=1))
    low, high = np.exp(np.percentile(total / len(times), [5, 95]))
    return float(low), float(high)


def _resampled_means(values: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    means: NDArray[np.float64] = values[random.integers(0, values.size, (RESAMPLES, values.size))].mean(axis=1)
    return means
