"""The wiring of dictionary: what is built once, what is timed, how results are compared, what else is tried.

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

    Arrays = tuple[NDArray[Any], ...]

UNIT = "row"
INTRINSICS = True
"""The kernel may define intrinsics of its own; correctness is checked for any processor as well."""

COST_FRACTION = CostFraction(
    0.6,
    "middle of the 55-70 % of the scan of a dictionary-encoded string column, 1 million rows, one thread, "
    "pylance 1.0.0: 41 ns per row, 18 for the same strings stored plain",
)


def ops(shape: inputs.Shape) -> int:
    """Return the operations of one call: it decodes this many rows."""
    return shape.rows


def bind(impl: ModuleType, state: inputs.State) -> Callable[..., NDArray[Any] | Arrays]:
    """Prepare the dictionary with `impl`, untimed, and return the timed call.

    For values of a fixed width it takes (indices, out) and returns out. Otherwise it takes (indices,
    out_offsets, out_data), or (values, runs, out_offsets, out_data) where indices come in runs, and returns
    (total, out_offsets, out_data), the total as int64 (1,).
    """
    if state.fixed:
        values = impl.prepare_fixed(state.data)

        def fixed(indices: NDArray[Any], out: NDArray[np.uint8]) -> NDArray[np.uint8]:
            impl.decode_fixed(indices, values, out)
            return out

        return fixed

    entries = impl.prepare_binary(state.offsets, state.data)
    total = np.empty(1, np.int64)

    def binary(indices: NDArray[Any], out_offsets: NDArray[Any], out_data: NDArray[np.uint8]) -> Arrays:
        total[0] = impl.decode_binary(indices, entries, out_offsets, out_data)
        return total, out_offsets, out_data

    def in_runs(
        values: NDArray[Any], runs: NDArray[np.uint8], out_offsets: NDArray[Any], out_data: NDArray[np.uint8]
    ) -> Arrays:
        total[0] = impl.decode_runs(values, runs, entries, out_offsets, out_data)
        return total, out_offsets, out_data

    return in_runs if state.run else binary


def check(actual: NDArray[Any] | Arrays, expected: NDArray[Any] | Arrays, _call: Arrays) -> None:
    """Require every bit of the oracle's result, but for the bytes after the total."""
    if not isinstance(expected, tuple):
        compare.exact(actual, expected, "values")
        return
    assert len(actual) == 3, f"result: {len(actual)} arrays, expected (total, out_offsets, out_data)"
    compare.exact(actual[:2], expected[:2], "(total, offsets)")
    total = int(expected[0][0])
    compare.exact(actual[2][:total], expected[2][:total], "bytes")


class Example(NamedTuple):
    """What a property test draws; all arrays follow from it."""

    rows: int
    entries: int
    longest: int
    types: tuple[str, int]
    run: int
    seed: int


def properties() -> SearchStrategy[tuple[inputs.State, Arrays]]:
    """Return a strategy of (state, call) pairs outside the battery; shrinks to few rows and entries.

    The entries are of 0 to `longest` bytes, so that all may be empty; types are those of the indices and the
    number of bits of an offset, where 0 stands for values of a fixed width; `run` is the mean of runs, and 0
    stands for plain indices.
    """
    from hypothesis import strategies as st

    types = (("uint32", 32), ("uint64", 64), ("uint8", 32), ("uint16", 32), ("uint32", 0), ("uint8", 0))
    return st.builds(
        Example,
        rows=st.integers(0, 40) | st.sampled_from((0, 1, 7, 255, 1001)),
        entries=st.integers(1, 40) | st.sampled_from((1, 255, 256)),
        longest=st.sampled_from((0, 1, 7, 8, 9, 16, 17, 33, 70)),
        types=st.sampled_from(types),
        run=st.sampled_from((0, 0, 1, 3, 300)),
        seed=st.integers(0, 2**32 - 1),
    ).map(realise)


def realise(example: Example) -> tuple[inputs.State, Arrays]:
    """Make the dictionary and the call of an example."""
    rng = np.random.default_rng(example.seed)
    dtype, bits = example.types
    longest = example.longest if bits else max(example.longest, 1)
    shape = inputs.Shape(example.rows, example.entries, 0, longest, bits, example.run if bits else 0)
    state = inputs.make_state(shape, "uniform", rng)._replace(index_dtype=dtype)
    return state, inputs.make_call(shape, "uniform", state, rng)
