"""The wiring: what is built once, what is timed. An agent never edits this file.

There is no `check`: every bit of a result must be the oracle's.
"""

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import inputs
import numpy as np

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

UNIT = "row"


def ops(shape: inputs.Shape) -> int:
    """Return how many rows one call compares."""
    return shape.rows


def bind(impl: ModuleType, state: inputs.State) -> Callable[..., Any]:
    """Build the kernel over the rows, untimed; return the function that is timed."""
    return impl.Codes(state.rows).distances


def properties() -> "SearchStrategy[tuple[inputs.State, inputs.Call]]":
    """Return a strategy of (state, call) pairs outside the battery: few rows, odd widths, all distributions."""
    from hypothesis import strategies as st

    def example(shape: inputs.Shape, distribution: str, seed: int) -> tuple[inputs.State, inputs.Call]:
        rng = np.random.default_rng(seed)
        state = inputs.make_state(shape, distribution, rng)
        return state, inputs.make_call(shape, distribution, state, rng)

    shapes = st.builds(inputs.Shape, rows=st.integers(0, 20), width=st.integers(1, 40))
    names = st.sampled_from(inputs.DISTRIBUTIONS + inputs.EDGE_DISTRIBUTIONS)
    return st.builds(example, shapes, names, st.integers(0, 2**32 - 1))
