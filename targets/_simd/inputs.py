"""What the kernel is fed: shapes, distributions and their generators. An agent never edits this file."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


class Shape(NamedTuple):
    """The sizes of one workload."""

    codes: int


class State(NamedTuple):
    """What exists before the first call."""

    values: Bytes  # (64,)
    codes: int  # of a call


Call = tuple[Bytes]
"""The codes, uint8 (n,), each below 64."""

SHAPES = (Shape(262144), Shape(393216), Shape(150007))
DISTRIBUTIONS = ("uniform", "skewed", "runs")
EDGE_DISTRIBUTIONS = ("first", "last")


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make what exists before the first call."""
    return State(rng.permutation(256)[:64].astype(np.uint8), shape.codes)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a state whose calls have nearly the same size, which no kernel can have prepared for."""
    codes = int(rng.integers(shape.codes * 9 // 10, shape.codes * 11 // 10 + 1))
    return make_state(shape._replace(codes=codes), distribution, rng)


def make_call(shape: Shape, distribution: str, state: State, rng: np.random.Generator) -> Call:
    """Make codes: all alike often, few of them often, the same for a while, or always one of the two ends."""
    n = state.codes
    if distribution in EDGE_DISTRIBUTIONS:
        return (np.full(n, {"first": 0, "last": 63}[distribution], np.uint8),)
    drawn = rng.integers(0, 64, n, np.uint8)
    if distribution == "skewed":
        return (drawn & rng.integers(0, 64, n, np.uint8),)
    return (np.sort(drawn) if distribution == "runs" else drawn,)
