"""The wiring of utf8-validate: what is timed, how results are compared, what else is tried.

Owns nothing of the validation: `bind` gets the kernel's or the oracle's module as an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import inputs
import numpy as np

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.records import CostFraction

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from hypothesis.strategies import SearchStrategy
    from numpy.typing import NDArray

UNIT = "byte"

INTRINSICS = True

COST_FRACTION = CostFraction(
    0.6,
    "middle of the 50-80 % of the CPU time of a scan of strings that are not ASCII, 200,000 of 90 bytes, "
    "stored plain, pylance 14.0.2; the same bytes scanned as binary are the rest; of ASCII it is 6 % or less",
)


def ops(shape: inputs.Shape) -> int:
    """Return the operations of one call: the bytes of all rows."""
    return inputs.size_of(shape)


def bind(impl: ModuleType, _state: inputs.State) -> Callable[..., NDArray[np.int64]]:
    """Return the timed call, which takes (data, offsets); nothing is built."""
    validate: Callable[..., NDArray[np.int64]] = impl.validate
    return validate


def check(actual: NDArray[np.int64], expected: NDArray[np.int64], _call: inputs.Call) -> None:
    """Require the same fault at the same place for every batch."""
    compare.exact(actual, expected, "(fault, place) of the batches")


class Example(NamedTuple):
    """What a property test draws; all arrays follow from it."""

    batches: int
    rows: int
    longest: int
    bits: int
    distribution: str
    seed: int


def properties() -> SearchStrategy[tuple[inputs.State, inputs.Call]]:
    """Return a strategy of (state, call) pairs outside the battery; shrinks to few and short rows."""
    from hypothesis import strategies as st

    return st.builds(
        Example,
        batches=st.integers(0, 5),
        rows=st.integers(1, 12) | st.sampled_from((1, 63, 64, 65)),
        longest=st.sampled_from((0, 1, 2, 3, 4, 7, 15, 16, 17, 33, 100)),
        bits=st.sampled_from((32, 64)),
        distribution=st.sampled_from(inputs.DISTRIBUTIONS + inputs.EDGE_DISTRIBUTIONS),
        seed=st.integers(0, 2**32 - 1),
    ).map(realise)


def realise(example: Example) -> tuple[inputs.State, Any]:
    """Make the text and the call of an example."""
    rng = np.random.default_rng(example.seed)
    shape = inputs.Shape(example.batches, example.rows, 0, example.longest, example.bits)
    state = inputs.new_state(shape, example.distribution, rng)
    return state, inputs.make_call(shape, example.distribution, state, rng)
