"""Builders for tests: records whose times follow from log-ratios, and small targets on disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hypothesis import settings

from pytest_lance_autoresearch.log.gate import Measured
from pytest_lance_autoresearch.records import (
    Block,
    Evidence,
    Figures,
    Interval,
    Outcome,
    Pair,
    Rules,
    Status,
    Window,
)

CASES = ("2x3-flat", "2x3-sorted", "50x1-flat")
BASELINE_WALL_NS = 10**10
"""Long, so that rounding to whole nanoseconds does not show in a log-ratio."""
RSS_BYTES = 200 * 2**20

quick = settings(deadline=None, derandomize=True, database=None, max_examples=60)
"""Hypothesis without a clock and with the same examples in every run."""

Ratios = Mapping[str, Sequence[float]]


def spread(centre: float, width: float = 0.002, count: int = 16) -> list[float]:
    """`count` values evenly around `centre`, `width` to each side."""
    return [centre + width * (2 * i / (count - 1) - 1) for i in range(count)]


def everywhere(values: Sequence[float], cases: Sequence[str] = CASES) -> dict[str, list[float]]:
    return {case: list(values) for case in cases}


def block(case: str, log_ratio: float, cpu_log_ratio: float | None, order: str = "ABAB") -> Block:
    """A block with ln(baseline / candidate) = `log_ratio`, of wall time and of CPU time."""

    def window(side: str) -> Window:
        if side == "A":
            return Window(100, BASELINE_WALL_NS, None if cpu_log_ratio is None else BASELINE_WALL_NS)
        cpu_ns = None if cpu_log_ratio is None else round(BASELINE_WALL_NS * math.exp(-cpu_log_ratio))
        return Window(100, round(BASELINE_WALL_NS * math.exp(-log_ratio)), cpu_ns)

    first, second, third, fourth = (window(side) for side in order)
    return Block(case, order, (first, second, third, fourth))


def each_window(record: Block, change: Callable[[Window], Window]) -> Block:
    """The block with every window changed."""
    first, second, third, fourth = map(change, record.windows)
    return replace(record, windows=(first, second, third, fourth))


def on_a_slower_clock(record: Block, factor: int) -> Block:
    """The block with every time multiplied."""
    return each_window(
        record,
        lambda w: Window(w.calls, w.wall_ns * factor, None if w.cpu_ns is None else w.cpu_ns * factor),
    )


def shifted(ratios: Ratios, shift: float) -> dict[str, list[float]]:
    return {case: [value + shift for value in values] for case, values in ratios.items()}


def pairs_of_a_look(ratios: Ratios, apart: float = 0.001, count: int = Rules.pairs) -> list[Pair]:
    """The pairs of one look, `apart` to each side of these log-ratios in all."""
    return [pair(shifted(ratios, shift)) for shift in spread(0.0, apart, count)]


def pair(ratios: Ratios, cpu: Ratios | None = None, candidate_rss_bytes: int = RSS_BYTES) -> Pair:
    """One pair of processes with a block per log-ratio; CPU time as `cpu` says, or like the wall time."""
    blocks = (
        block(case, wall, of_cpu)
        for case, walls in ratios.items()
        for wall, of_cpu in zip(walls, (cpu or ratios)[case], strict=True)
    )
    return Pair(tuple(blocks), no_overhead(tuple(ratios)), RSS_BYTES, candidate_rss_bytes)


def evidence(
    *pairs: Pair, looks: int | None = None, seconds: float = 0.0, sizes: tuple[int, int] = (100, 100)
) -> Evidence:
    """What a look sees of the pairs, the last look of as many as there are pairs; `sizes` baseline's first."""
    baseline, candidate = sizes
    return Evidence(candidate, baseline, pairs, looks=len(pairs) if looks is None else looks, seconds=seconds)


def measured(*pairs: Pair, rules: Rules | None = None, looks: int | None = None) -> Measured:
    """What a trial hands over after as many looks as there are pairs."""
    return Measured(evidence(*pairs, looks=looks), Rules() if rules is None else rules, seed=1)


def no_overhead(cases: Sequence[str] = CASES) -> dict[str, float]:
    return dict.fromkeys(cases, 0.0)


def figures() -> Figures:
    ns_per_op = {"2x3-flat": 800.0, "2x3-sorted": 1000.0, "50x1-flat": 1250.0}
    return Figures("query", ns_per_op, 1000.0, "50x1-flat", "2x3-flat", 300 * 2**20)


def outcome(status: Status | None = None, reason: str = "no verdict") -> Outcome:
    return Outcome("demo", "query", correct=24, failed=0, items=24, seconds=12.34, status=status, reason=reason)


SPEEDUP = Interval(1.03, 1.04, 1.05)

SOURCES = {
    "inputs.py": """\
from typing import NamedTuple


class Shape(NamedTuple):
    rows: int
    columns: int


class State(NamedTuple):
    offset: int


SHAPES = (Shape(2, 3), Shape(3, 3), Shape(50, 1))
DISTRIBUTIONS = ("flat", "sorted", "random")
EDGE_DISTRIBUTIONS = ("zeros", "huge")


def make_state(shape, distribution, rng):
    return State(int(rng.integers(9)))


def make_call(shape, distribution, state, rng):
    return (rng.integers(0, 9, shape),)
""",
    "kernels.py": "def double(values):\n    return values + values\n",
    "program.md": "# Doubling\n",
    "reference.py": "def double(values):\n    return 2 * values\n",
    "target.py": """\
import inputs

UNIT = "value"


def ops(shape: inputs.Shape) -> int:
    return shape.rows * shape.columns


def bind(impl, state):
    return impl.double
""",
}


def write_target(folder: Path, changed: Mapping[str, str | None] | None = None) -> Path:
    """A small target in `folder`; `changed` replaces files by name, None leaves one out."""
    folder.mkdir(parents=True)
    for name, text in {**SOURCES, **(changed or {})}.items():
        if text is not None:
            (folder / name).write_text(text)
    return folder
