"""What the kernel is fed: series and queries. An agent never edits this file."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Shape(NamedTuple):
    """Values of the series, and of a query."""

    series: int
    query: int


class State(NamedTuple):
    """What exists before the first call: the series, float64 (n,)."""

    series: NDArray[np.float64]


Call = tuple[NDArray[np.float64]]
"""A query, float64 (m,)."""

SHAPES = (Shape(20_000, 32), Shape(8_000, 100), Shape(3_001, 257))
DISTRIBUTIONS = ("noise", "walk", "sine")
EDGE_DISTRIBUTIONS = ("constant", "large_dynamic_range", "contains_query")


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a series."""
    return State(_values(distribution, shape.series, rng))


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a series of nearly the same length, which no kernel can have prepared for."""
    length = int(rng.integers(shape.series * 9 // 10, shape.series * 11 // 10 + 1))
    return make_state(shape._replace(series=length), distribution, rng)


def make_call(shape: Shape, distribution: str, state: State, rng: np.random.Generator) -> Call:
    """Make a query; no two are the same."""
    query = _values(distribution, shape.query, rng)
    if distribution == "contains_query":
        start = int(rng.integers(state.series.size - shape.query + 1))
        query = state.series[start : start + shape.query].copy()
    return (query,)


def _values(distribution: str, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    values = rng.standard_normal(size)
    if distribution == "walk":
        values = np.cumsum(values)
    elif distribution == "sine":
        values = np.sin(np.arange(size) * rng.uniform(0.01, 0.2) + rng.uniform(0, 6)) + 0.1 * values
    elif distribution == "constant":
        values = np.full(size, rng.standard_normal())
    elif distribution == "large_dynamic_range":
        values *= 10.0 ** rng.uniform(-6, 6, size)
    return values
