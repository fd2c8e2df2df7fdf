"""The wiring: what is built once, what is timed, how results are compared. An agent never edits this file.

Put here nothing of the algorithm: `impl` is the module kernels.py or reference.py, whichever is asked.
"""

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import inputs
import numpy as np
from numpy.typing import NDArray

from pytest_lance_autoresearch import compare

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

UNIT = "row"  # change: what one operation is; times read ns/row

# COST_FRACTION: add it when you have measured the kernel's share of a user's whole operation.


def ops(shape: inputs.Shape) -> int:
    """Return how many operations one call does. A call should last 50 us or more: batch shorter work."""
    return shape.rows  # change


def bind(impl: ModuleType, state: inputs.State) -> Callable[..., Any]:
    """Build the kernel over the state, untimed; return the function that is timed."""
    return impl.WeightedSums(state.rows).sums  # change


def check(
    actual: NDArray[np.float32], expected: tuple[NDArray[np.float64], NDArray[np.float64]], _call: inputs.Call
) -> None:
    """Compare the kernel's result with the oracle's; raise AssertionError where it is wrong."""
    sums, limit = expected  # change
    compare.max_abs_err(actual, sums, limit, dtype=np.float32, what="sums")


def properties() -> "SearchStrategy[tuple[inputs.State, inputs.Call]]":
    """Return a strategy of (state, call) pairs outside the battery: small and odd sizes, all distributions."""
    from hypothesis import strategies as st

    def example(shape: inputs.Shape, distribution: str, seed: int) -> tuple[inputs.State, inputs.Call]:
        rng = np.random.default_rng(seed)
        state = inputs.make_state(shape, distribution, rng)
        return state, inputs.make_call(shape, distribution, state, rng)

    shapes = st.builds(inputs.Shape, rows=st.integers(0, 20), dim=st.integers(1, 40))  # change: smallest sizes
    names = st.sampled_from(inputs.DISTRIBUTIONS + inputs.EDGE_DISTRIBUTIONS)
    return st.builds(example, shapes, names, st.integers(0, 2**32 - 1))
