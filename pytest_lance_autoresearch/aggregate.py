"""From windows to figures: log-ratios of blocks, medians of cases, the geomean.

Owns the step from raw windows to the numbers that are judged and shown.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from pytest_lance_autoresearch import stats
from pytest_lance_autoresearch.records import Block, CaseTimes, Figures, PairRecord, Window

MIN_KERNEL_SHARE = 0.25
"""A window never counts as less than this share of its wall time, however large the runner's cost seems."""


def kernel_ns(window: Window, call_overhead_ns: float) -> float:
    """The window's time without what the runner itself costs."""
    return max(window.wall_ns - window.calls * call_overhead_ns, MIN_KERNEL_SHARE * window.wall_ns)


def log_ratio(block: Block, call_overhead_ns: float) -> float:
    """ln(baseline time / candidate time) of one block, the mean of its two pairs (a linear drift cancels)."""
    baseline = (math.log(kernel_ns(w, call_overhead_ns)) for w in block.side("A"))
    candidate = (math.log(kernel_ns(w, call_overhead_ns)) for w in block.side("B"))
    return (math.fsum(baseline) - math.fsum(candidate)) / 2


def cpu_log_ratio(block: Block) -> float | None:
    """The same of the CPU time that the system counted; None where it counts none."""
    sides = [[window.cpu_ns for window in block.side(letter)] for letter in "AB"]
    values = [value for side in sides for value in side if value]
    if len(values) < 4:
        return None
    return (math.log(values[0]) + math.log(values[1]) - math.log(values[2]) - math.log(values[3])) / 2


def log_ratios(pairs: Iterable[PairRecord], overhead_ns: Mapping[str, float]) -> dict[str, list[float]]:
    """Every block's log-ratio, by case."""
    found: dict[str, list[float]] = {case: [] for case in overhead_ns}
    for pair in pairs:
        for block in pair.blocks:
            found[block.case].append(log_ratio(block, overhead_ns[block.case]))
    return found


def cpu_log_ratios(pairs: Iterable[PairRecord]) -> dict[str, list[float]] | None:
    """Every block's CPU log-ratio, by case; None when any is missing."""
    found: dict[str, list[float]] = {}
    for pair in pairs:
        for block in pair.blocks:
            ratio = cpu_log_ratio(block)
            if ratio is None:
                return None
            found.setdefault(block.case, []).append(ratio)
    return found or None


def case_ns_per_op(times: CaseTimes) -> float:
    """The median over windows of the kernel's nanoseconds per operation."""
    per_call = (kernel_ns(w, times.call_overhead_ns) / w.calls for w in times.windows)
    return statistics.median(per_call) / times.ops_per_call


def figures(unit: str, times: Sequence[CaseTimes], peak_rss_bytes: int) -> Figures:
    """The figures of one kernel; ValueError when a case has no windows."""
    by_case = {t.case: case_ns_per_op(t) for t in times}
    return Figures(
        unit,
        by_case,
        stats.geomean(list(by_case.values())),
        max(by_case, key=lambda case: by_case[case]),
        min(by_case, key=lambda case: by_case[case]),
        peak_rss_bytes,
    )
