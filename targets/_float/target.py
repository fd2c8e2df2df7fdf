"""The wiring: what is built once, what is timed, how results are compared. An agent never edits this file."""

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import inputs
import numpy as np
from numpy.typing import NDArray

from pytest_lance_autoresearch import compare

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

UNIT = "window"


def ops(shape: inputs.Shape) -> int:
    """Return how many windows one call compares."""
    return shape.values - shape.window + 1


def bind(impl: ModuleType, state: inputs.State) -> Callable[..., Any]:
    """Build the kernel over the series, untimed; return the function that is timed."""
    return impl.Profile(state.series).distances


def check(
    actual: NDArray[np.float64], expected: tuple[NDArray[np.float64], NDArray[np.float64]], _call: inputs.Call
) -> None:
    """Compare the kernel's distances with the oracle's, each within its own limit."""
    distances, limit = expected
    compare.max_abs_err(actual, distances, limit, what="distances")


def properties() -> "SearchStrategy[tuple[inputs.State, inputs.Call]]":
    """Return a strategy of (state, call) pairs outside the battery: short series, windows up to the whole."""
    from hypothesis import strategies as st

    def example(window: int, more: int, distribution: str, seed: int) -> tuple[inputs.State, inputs.Call]:
        rng = np.random.default_rng(seed)
        shape = inputs.Shape(window + more, window)
        state = inputs.make_state(shape, distribution, rng)
        return state, inputs.make_call(shape, distribution, state, rng)

    names = st.sampled_from(inputs.DISTRIBUTIONS + inputs.EDGE_DISTRIBUTIONS)
    return st.builds(example, st.integers(1, 40), st.integers(0, 20), names, st.integers(0, 2**32 - 1))
