"""The wiring: what is built once, what is timed. An agent never edits this file.

There is no `check`: every value of the table must be the oracle's.
"""

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import inputs
import numpy as np

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

UNIT = "value"


def ops(shape: inputs.Shape) -> int:
    """Return how many values of the table one call computes."""
    return shape.text * shape.word


def bind(impl: ModuleType, state: inputs.State) -> Callable[..., Any]:
    """Build the kernel over the text, untimed; return the function that is timed."""
    return impl.Distances(state.text).fill


def properties() -> "SearchStrategy[tuple[inputs.State, inputs.Call]]":
    """Return a strategy of (state, call) pairs outside the battery: short and empty texts and words."""
    from hypothesis import strategies as st

    def example(shape: inputs.Shape, distribution: str, seed: int) -> tuple[inputs.State, inputs.Call]:
        rng = np.random.default_rng(seed)
        state = inputs.make_state(shape, distribution, rng)
        return state, inputs.make_call(shape, distribution, state, rng)

    shapes = st.builds(inputs.Shape, text=st.integers(0, 30), word=st.integers(0, 30))
    names = st.sampled_from(inputs.DISTRIBUTIONS + inputs.EDGE_DISTRIBUTIONS)
    return st.builds(example, shapes, names, st.integers(0, 2**32 - 1))
