"""From windows to figures: log-ratios of blocks, medians of cases, the geomean.

Owns the step from raw windows to the numbers that are judged and shown.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence

from pytest_lance_autoresearch.records import (
    Block,
    CaseTimes,
    Disturbance,
    Evidence,
    Figures,
    KernelTimes,
    Pair,
    Window,
)
from pytest_lance_autoresearch.verdict import stats

MIN_KERNEL_SHARE = 0.25
"""A window never counts as less than this share of its wall time, however much is to be taken off."""
MAX_WAITED_SHARE = 0.67
"""A window that waited longer for a core was disturbed too much to be corrected."""


def kernel_ns(window: Window, call_overhead_ns: float) -> float:
    """The window's time without waiting for a core and without what the runner itself costs."""
    own_ns = window.wall_ns - (window.waited_ns or 0) - window.calls * call_overhead_ns
    return max(own_ns, MIN_KERNEL_SHARE * window.wall_ns)


def is_disturbed(block: Block) -> bool:
    """Whether others' work hides too much of the block: fixed beforehand, and blind to its result."""
    for window in block.windows:  # a night has a million of them
        stolen_ns, waited_ns = window.stolen_ns, window.waited_ns
        if (stolen_ns and stolen_ns > 0) or (waited_ns and waited_ns > MAX_WAITED_SHARE * window.wall_ns):
            return True
    return False


def undisturbed(pair: Pair) -> list[Block]:
    """The blocks that count: a case's undisturbed ones, or all of them where most are disturbed."""
    found = []
    for of_case in _by_case(pair).values():
        quiet = [block for block in of_case if not is_disturbed(block)]
        found += quiet if 2 * len(quiet) >= len(of_case) else of_case
    return found


def disturbance(pairs: Sequence[Pair]) -> Disturbance:
    """How many blocks do not count, and how much of the windows was waiting."""
    return Disturbance(
        blocks=sum(len(pair.blocks) for pair in pairs),
        set_aside=sum(len(pair.blocks) - len(undisturbed(pair)) for pair in pairs),
        waited=waited(pairs),
    )


def waited(pairs: Sequence[Pair]) -> float | None:
    """The share of the windows' time that was waiting; None where it is not known of every window."""
    windows = [window for pair in pairs for block in pair.blocks for window in block.windows]
    waits = [window.waited_ns for window in windows if window.waited_ns is not None]
    wall_ns = sum(window.wall_ns for window in windows)
    return sum(waits) / wall_ns if wall_ns and len(waits) == len(windows) else None


def count_windows(evidence: Evidence) -> int:
    """Those of all pairs, and of the kernel alone."""
    return sum(1 for _ in _windows(evidence))


def windows_ns(evidence: Evidence) -> int:
    """The wall time of all windows."""
    return sum(window.wall_ns for window in _windows(evidence))


def _windows(evidence: Evidence) -> Iterator[Window]:
    for pair in evidence.pairs:
        for block in pair.blocks:
            yield from block.windows
    for times in evidence.alone.cases if evidence.alone else ():
        yield from times.windows


def log_ratio(block: Block, call_overhead_ns: float) -> float:
    """ln(baseline time / candidate time) of one block, the mean of its halves (a linear drift cancels)."""
    (first, second), (third, fourth) = block.side("A"), block.side("B")
    baseline = math.log(kernel_ns(first, call_overhead_ns)) + math.log(kernel_ns(second, call_overhead_ns))
    candidate = math.log(kernel_ns(third, call_overhead_ns)) + math.log(kernel_ns(fourth, call_overhead_ns))
    return (baseline - candidate) / 2


def cpu_log_ratio(block: Block) -> float | None:
    """The same of the CPU time that the system counted; None where it counts none."""
    first, second, third, fourth = (window.cpu_ns for window in (*block.side("A"), *block.side("B")))
    if not (first and second and third and fourth):
        return None
    return (math.log(first) + math.log(second) - math.log(third) - math.log(fourth)) / 2


def log_ratios(pair: Pair) -> dict[str, list[float]]:
    """The log-ratio of every block that counts, by case."""
    found: dict[str, list[float]] = {case: [] for case in pair.call_overhead_ns}
    for block in undisturbed(pair):
        found[block.case].append(log_ratio(block, pair.call_overhead_ns[block.case]))
    return found


def cpu_log_ratios(pair: Pair) -> dict[str, list[float]] | None:
    """The CPU log-ratio of every block that counts, by case; None when any is missing."""
    found: dict[str, list[float]] = {}
    for block in undisturbed(pair):
        ratio = cpu_log_ratio(block)
        if ratio is None:
            return None
        found.setdefault(block.case, []).append(ratio)
    return found or None


def _by_case(pair: Pair) -> dict[str, list[Block]]:
    found: dict[str, list[Block]] = {}
    for block in pair.blocks:
        found.setdefault(block.case, []).append(block)
    return found


def ns_per_call(windows: Iterable[Window], call_overhead_ns: float) -> list[float]:
    """What a call of the kernel took, window by window."""
    return [kernel_ns(window, call_overhead_ns) / window.calls for window in windows]


def case_ns_per_op(times: CaseTimes) -> float:
    """The median over windows of the kernel's nanoseconds per operation."""
    return statistics.median(ns_per_call(times.windows, times.call_overhead_ns)) / times.ops_per_call


def figures(unit: str, times: KernelTimes) -> Figures:
    """The figures of one kernel; ValueError when a case has no windows."""
    by_case = {of_case.case: case_ns_per_op(of_case) for of_case in times.cases}
    return Figures(
        unit,
        by_case,
        stats.geomean(list(by_case.values())),
        max(by_case, key=lambda case: by_case[case]),
        min(by_case, key=lambda case: by_case[case]),
        times.peak_rss_bytes,
    )
