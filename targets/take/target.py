"""The wiring of take: which kernel a state is for, what a call returns, how it is compared, what else is tried.

Owns nothing of the algorithms: `bind` gets the kernels' or the oracle's module as an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import inputs
import numpy as np

from pytest_lance_autoresearch import compare

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from hypothesis.strategies import SearchStrategy
    from numpy.typing import NDArray

UNIT = "row"
INTRINSICS = True
"""The kernel may define intrinsics of its own; correctness is checked for any processor as well."""


def ops(shape: inputs.Shape) -> int:
    """Return the operations of one call: one for each row that is asked for."""
    return shape.indices


def bind(impl: ModuleType, state: inputs.State) -> Callable[..., Any]:
    """Return the timed call of the state's job. Nothing is built before it.

    It takes what `inputs.make_call` made and returns the buffer that it filled. Where that is only its first part,
    the part's length follows: of `binary` (offsets, bytes, their number), of `remap` (positions, their number).
    """

    def gather(indices: NDArray[Any], out: NDArray[Any]) -> NDArray[Any]:
        take(*state.table, indices, out)
        return out

    def concatenate(
        indices: NDArray[Any], out_offsets: NDArray[Any], out: NDArray[Any]
    ) -> tuple[NDArray[Any], ...]:
        total = impl.take_binary(*state.table, indices, out_offsets, out)
        return out_offsets, out, np.array([total], np.int64)

    def remap(requested: NDArray[Any], returned: NDArray[Any], out: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        found = impl.remap(requested, returned, out)
        return out, np.array([found], np.int64)

    if state.job == "remap":
        return remap
    if state.job == "binary":
        return concatenate
    take = getattr(impl, f"take_{state.job}")
    return gather


def check(actual: Any, expected: Any, call: tuple[NDArray[Any], ...]) -> None:  # noqa: ARG001
    """Require every bit; what is in a buffer after the part that was filled may be anything."""
    if isinstance(expected, tuple) and isinstance(actual, tuple) and len(actual) == len(expected):
        *offsets, buffer, size = actual
        filled = int(expected[-1][0])
        compare.exact((*offsets, size, buffer[:filled]), (*expected[:-2], expected[-1], expected[-2][:filled]))
    else:
        compare.exact(actual, expected)


class Example(NamedTuple):
    """What a property test draws; all arrays follow from it."""

    job: str
    rows: int
    indices: int
    distribution: str
    dtype: str
    index_dtype: str
    seed: int


def properties() -> SearchStrategy[tuple[inputs.State, tuple[Any, ...]]]:
    """Return a strategy of (state, call) pairs outside the battery: few rows, no rows, other dtypes.

    Only whole numbers and names are drawn, so that a failure shrinks fast and prints short.
    """
    from hypothesis import strategies as st

    return st.builds(
        Example,
        job=st.sampled_from(("fixed", "rows", "binary", "bits", "remap")),
        rows=st.integers(1, 40),
        indices=st.integers(0, 9) | st.sampled_from((15, 16, 17, 63, 64, 65, 127)),
        distribution=st.sampled_from(inputs.DISTRIBUTIONS + inputs.EDGE_DISTRIBUTIONS),
        dtype=st.sampled_from(("uint8", "int16", "float32", "float64")),
        index_dtype=st.sampled_from(("uint32", "uint64")),
        seed=st.integers(0, 2**32 - 1),
    ).map(realise)


def realise(example: Example) -> tuple[inputs.State, tuple[Any, ...]]:
    """Make the table and the call of an example."""
    rng = np.random.default_rng(example.seed)
    state = inputs.make_table(example.job, example.rows, example.indices, rng, example.dtype)
    indices = inputs.indices_of(example.distribution, example.rows, example.indices, rng)
    return state, inputs.call_for(state, indices, rng, example.index_dtype)
