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

UNIT = "code"
INTRINSICS = True
"""The kernel may define intrinsics of its own; correctness is checked for any processor as well."""


def ops(shape: inputs.Shape) -> int:
    """Return how many codes one call looks up."""
    return shape.codes


def bind(impl: ModuleType, state: inputs.State) -> Callable[..., Any]:
    """Build the kernel over the values, untimed; return the function that is timed."""
    return impl.Table(state.values).look_up


def properties() -> "SearchStrategy[tuple[inputs.State, inputs.Call]]":
    """Return a strategy of (state, call) pairs outside the battery: few codes, all lengths of a tail."""
    from hypothesis import strategies as st

    def example(codes: int, distribution: str, seed: int) -> tuple[inputs.State, inputs.Call]:
        rng, shape = np.random.default_rng(seed), inputs.Shape(codes)
        state = inputs.make_state(shape, distribution, rng)
        return state, inputs.make_call(shape, distribution, state, rng)

    names = st.sampled_from(inputs.DISTRIBUTIONS + inputs.EDGE_DISTRIBUTIONS)
    return st.builds(example, st.integers(0, 300), names, st.integers(0, 2**32 - 1))
