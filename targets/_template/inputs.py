"""What the kernel is fed: shapes, distributions and their generators. An agent never edits this file.

Put here whatever is checked or timed, and draw it from `rng` only, so that a seed gives the same inputs again.
Comments that begin with "change" mark what belongs to the example; all other names are the protocol's.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Shape(NamedTuple):
    """The sizes of one workload. Whole numbers: joined by 'x' they name the tests, as in 4096x64."""

    rows: int  # change: the sizes of your data
    dim: int


class State(NamedTuple):
    """What exists before the first call."""

    rows: NDArray[np.float32]  # change: codebook, codes, posting lists ...; here float32 (rows, dim)


Call = tuple[NDArray[np.float32]]
"""The arguments of one call, always a tuple."""  # change: a query, a packed buffer ...; here float32 (dim,)

SHAPES = (Shape(4096, 64), Shape(2048, 128), Shape(1001, 301))  # change: sizes in use; the last is an outlier
DISTRIBUTIONS = ("normal", "uniform", "sparse")  # change: data in use; checked and timed
EDGE_DISTRIBUTIONS = ("large_dynamic_range", "cancelling")  # change: data that breaks kernels; checked only


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make what exists before the first call."""
    return State(_values(distribution, (shape.rows, shape.dim), rng))  # change


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a state of nearly the same size, which no kernel can have prepared for."""
    rows = int(rng.integers(shape.rows * 9 // 10, shape.rows * 11 // 10 + 1))  # change: the size that may vary
    return make_state(shape._replace(rows=rows), distribution, rng)


def make_call(shape: Shape, distribution: str, _state: State, rng: np.random.Generator) -> Call:
    """Make the arguments of one call; each is made from fresh random numbers, and none is ever timed twice."""
    weights = _values(distribution, (shape.dim,), rng)  # change
    if distribution == "cancelling":
        weights -= weights.mean()
    return (weights,)


def _values(distribution: str, size: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    values = rng.standard_normal(size)  # change: one branch for each distribution
    if distribution == "uniform":
        values = rng.random(size)
    elif distribution == "sparse":
        values *= rng.random(size) < 0.25
    elif distribution == "large_dynamic_range":
        values *= 10.0 ** rng.uniform(-3, 3, size)
    elif distribution == "cancelling":
        values += 100
    return values.astype(np.float32)
