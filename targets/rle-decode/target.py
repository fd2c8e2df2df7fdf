"""The wiring of rle-decode: what is built once, what is timed, how results are compared, what else is tried.

Owns nothing of the decoding: `bind` gets the kernel's or the oracle's module as an argument.
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

    Decoded = tuple[NDArray[np.uint8], NDArray[np.unsignedinteger[Any]]]

UNIT = "value"
INTRINSICS = True

COST_FRACTION = CostFraction(
    0.3,
    "middle of the 6-48 % of the CPU time of a scan of run-length encoded columns, pylance 14.0.2: 2.5 of 5.2 ns "
    "a value for 32 bits in runs of 3, 1.1 of 3.0 in runs of 10, 0.06 of 1.0 for bytes in runs of 100",
)


def ops(shape: inputs.Shape) -> int:
    """Return the values of one call."""
    return shape.values


def bind(impl: ModuleType, state: inputs.State) -> Callable[..., Decoded]:
    """Build the decoder of `impl`, untimed, and return the timed call, which returns faults and its output."""
    decoder = impl.Rle(state.bits, state.size_bits)

    def decode(*call: Any) -> Decoded:
        return decoder.decode_chunks(*call), call[3]

    return decode


def check(actual: Decoded, expected: Decoded, call: inputs.Call) -> None:
    """Require the same faults, and the same values in the chunks that have none."""
    assert len(actual) == 2, f"result: {len(actual)} arrays, expected (faults, out)"
    compare.exact(actual[0], expected[0], "faults")
    is_faulty = np.repeat(expected[0] != 0, call[2])
    compare.exact(np.where(is_faulty, expected[1], actual[1]), expected[1], "values")


class Example(NamedTuple):
    """What a property test draws; the page follows from it."""

    bits: int
    mean: int
    values: int
    size_bits: int
    distribution: str
    seed: int


def properties() -> SearchStrategy[tuple[inputs.State, inputs.Call]]:
    """Return a strategy of (state, call) pairs outside the battery; shrinks to few values."""
    from hypothesis import strategies as st

    return st.builds(
        Example,
        bits=st.sampled_from((8, 16, 32, 64)),
        mean=st.sampled_from((1, 2, 5, 16, 90, 1000)),
        values=st.integers(1, 40) | st.sampled_from((1, 255, 256, 4095, 4096, 4097, 9000)),
        size_bits=st.sampled_from((16, 32)),
        distribution=st.sampled_from(inputs.DISTRIBUTIONS + inputs.EDGE_DISTRIBUTIONS),
        seed=st.integers(0, 2**32 - 1),
    ).map(realise)


def realise(example: Example) -> tuple[inputs.State, Any]:
    """Make the state and the page of an example."""
    rng = np.random.default_rng(example.seed)
    shape = inputs.Shape(example.bits, example.mean, example.values, example.size_bits)
    state = inputs.new_state(shape, example.distribution, rng)
    return state, inputs.make_call(shape, example.distribution, state, rng)
