"""Small blocks of rows, and batches of queries."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Shape(NamedTuple):
    """Rows of a block, their length, and the queries of one call."""

    rows: int
    dim: int
    queries: int


class State(NamedTuple):
    """The block of rows, float32 (rows, dim)."""

    rows: NDArray[np.float32]


SHAPES = (Shape(256, 32, 8), Shape(64, 128, 10), Shape(1000, 3, 20))
DISTRIBUTIONS = ("normal", "uniform", "sparse")
EDGE_DISTRIBUTIONS = ("large_dynamic_range", "equal_rows")


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make the block of rows."""
    rows = _values(distribution, (shape.rows, shape.dim), rng)
    return State(np.repeat(rows[:1], shape.rows, axis=0) if distribution == "equal_rows" else rows)


def make_call(
    shape: Shape, distribution: str, _state: State, rng: np.random.Generator
) -> tuple[NDArray[np.float32]]:
    """Make one call's queries, float32 (queries, dim)."""
    return (_values(distribution, (shape.queries, shape.dim), rng),)


def _values(distribution: str, size: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    values = rng.random(size) if distribution == "uniform" else rng.standard_normal(size)
    if distribution == "sparse":
        values *= rng.random(size) < 0.25
    elif distribution == "large_dynamic_range":
        values *= 10.0 ** rng.uniform(-3, 3, size)
    return values.astype(np.float32)
