"""The wiring of pq4-fastscan: what is built once, what is timed, how results are compared, what else is tried.

Owns nothing of the algorithm: `bind` gets the kernel's or the oracle's module as an argument.
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

UNIT = "query"

COST_FRACTION = CostFraction(
    0.05,
    "table 0.016 ms and scan with top-k 0.066 ms of the 1.6-1.9 ms of a warm IVF_PQ query with num_bits=4, "
    "pylance 14.0.2, 60,000 x 128, 32 sub-vectors, 8 partitions, all probed",
)
INTRINSICS = True
"""The kernel may define intrinsics of its own; correctness is checked for any processor as well."""
BIT_EXACT = True
"""Every bit of a distance is Lance's."""


def ops(shape: inputs.Shape) -> int:  # noqa: ARG001
    """Return the operations of one call: it answers one query."""
    return 1


def bind(impl: ModuleType, state: inputs.State) -> Callable[[NDArray[np.float32]], tuple[NDArray[Any], ...]]:
    """Build the search of `impl` over the state, untimed, and return the timed call.

    The call takes a query, float32 (D,), and returns the kernel's (ids, distances) or the oracle's `Found`.
    """
    kernel = impl.Pq4Kernel(state.codebook, state.codes)
    k = state.k

    def search(query: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
        found: tuple[NDArray[Any], ...] = kernel.top_k(query, k)
        return found

    return search


class Expected(NamedTuple):
    """The fields of the oracle's `Found`."""

    ids: NDArray[np.uint32]
    distances: NDArray[np.float32]
    every: NDArray[np.float32]


def check(
    actual: tuple[NDArray[Any], ...],
    expected: tuple[NDArray[Any], ...],
    call: inputs.Call,  # noqa: ARG001
) -> None:
    """Require the oracle's distances, every bit, and rows that have them; a tie may be in any order."""
    assert len(actual) == 2, f"result: a tuple of {len(actual)}, expected (ids, distances)"
    ids, distances = actual
    right = Expected(*expected)
    compare.top_k(ids, distances, right.every, right.ids.size, limit=0)
    compare.exact(distances, right.distances, "top-k distances")


class Example(NamedTuple):
    """What a property test draws; all arrays follow from it."""

    sub_vectors: int
    length: int
    rows: int
    k: str
    distribution: str
    seed: int


def properties() -> SearchStrategy[tuple[inputs.State, inputs.Call]]:
    """Return a strategy of (state, call) pairs outside the battery; shrinks to few rows and sub-spaces."""
    from hypothesis import strategies as st

    return st.builds(
        Example,
        sub_vectors=st.sampled_from((2, 4, 6, 8, 300)),
        length=st.integers(1, 16),
        rows=st.integers(1, 40) | st.sampled_from((1, 63, 64, 65, 127, 128, 129, 600)),
        k=st.sampled_from(("one", "ten", "n", "n + 5")),
        distribution=st.sampled_from(inputs.DISTRIBUTIONS + inputs.EDGE_DISTRIBUTIONS),
        seed=st.integers(0, 2**32 - 1),
    ).map(realise)


def realise(example: Example) -> tuple[inputs.State, inputs.Call]:
    """Make the partition and the query of an example."""
    rng = np.random.default_rng(example.seed)
    k = {"one": 1, "ten": 10, "n": example.rows, "n + 5": example.rows + 5}[example.k]
    shape = inputs.Shape(example.sub_vectors * example.length, example.sub_vectors, example.rows, k)
    state = inputs.new_state(shape, example.distribution, rng)
    return state, inputs.make_call(shape, example.distribution, state, rng)
