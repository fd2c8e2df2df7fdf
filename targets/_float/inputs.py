"""What the kernel is fed: shapes, distributions and their generators. An agent never edits this file."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Shape(NamedTuple):
    """The sizes of one workload."""

    values: int
    window: int


class State(NamedTuple):
    """What exists before the first call."""

    series: NDArray[np.float64]  # (values,)


Call = tuple[NDArray[np.float64]]
"""The query, float64 (window,)."""

SHAPES = (Shape(8192, 64), Shape(2048, 256), Shape(5001, 97))
DISTRIBUTIONS = ("normal", "walk", "periodic")
EDGE_DISTRIBUTIONS = ("flat", "large_dynamic_range", "cancelling")


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make what exists before the first call."""
    return State(_values(distribution, shape.values, rng))


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a state of nearly the same size, which no kernel can have prepared for."""
    values = int(rng.integers(shape.values * 9 // 10, shape.values * 11 // 10 + 1))
    return make_state(shape._replace(values=values), distribution, rng)


def make_call(shape: Shape, distribution: str, _state: State, rng: np.random.Generator) -> Call:
    """Make a query, as the series is made."""
    return (_values(distribution, shape.window, rng),)


def _values(distribution: str, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    values = rng.standard_normal(size)
    if distribution == "walk":
        values = np.cumsum(values)
    elif distribution == "periodic":
        values = 0.1 * values + np.sin(0.2 * np.arange(size) + rng.uniform(0, 7))
    elif distribution == "flat":
        values = np.full(size, values[0] if size else 0.0)
    elif distribution == "large_dynamic_range":
        values *= 10.0 ** rng.uniform(-6, 6, size)
    elif distribution == "cancelling":
        values += 1e6
    return values
