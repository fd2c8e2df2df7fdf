"""What the kernel is fed: shapes, distributions and their generators. An agent never edits this file."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


class Shape(NamedTuple):
    """The sizes of one workload."""

    rows: int
    width: int


class State(NamedTuple):
    """What exists before the first call."""

    rows: Bytes  # (rows, width), eight bits in each


Call = tuple[Bytes]
"""The query, uint8 (width,)."""

SHAPES = (Shape(16384, 32), Shape(8192, 64), Shape(12001, 37))
DISTRIBUTIONS = ("uniform", "near", "sparse")
EDGE_DISTRIBUTIONS = ("equal", "opposite")


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make what exists before the first call."""
    one = _bytes(distribution, (shape.width,), rng)
    if distribution in EDGE_DISTRIBUTIONS:
        return State(np.tile(one, (shape.rows, 1)))
    rows = _bytes(distribution, (shape.rows, shape.width), rng)
    return State(one ^ rows if distribution == "near" else rows)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a state of nearly the same size, which no kernel can have prepared for."""
    rows = int(rng.integers(shape.rows * 9 // 10, shape.rows * 11 // 10 + 1))
    return make_state(shape._replace(rows=rows), distribution, rng)


def make_call(shape: Shape, distribution: str, state: State, rng: np.random.Generator) -> Call:
    """Make a query: like a row, a few bits beside one, one of them, or its complement."""
    query = _bytes(distribution, (shape.width,), rng)
    if distribution in ("uniform", "sparse") or len(state.rows) == 0:
        return (query,)
    row = state.rows[rng.integers(len(state.rows))]
    return ({"near": row ^ query, "equal": row, "opposite": ~row}[distribution],)


def _bytes(distribution: str, size: tuple[int, ...], rng: np.random.Generator) -> Bytes:
    """Random bytes: each bit is set in one of two, or in one of eight where bits are few."""
    drawn = rng.integers(0, 256, (3, *size), np.uint8)
    few = distribution in ("near", "sparse")
    return drawn[0] & drawn[1] & drawn[2] if few else drawn[0]
