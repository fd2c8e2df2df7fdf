"""The wiring of pq-cosine: what is built once, what is timed, how results are compared, what else is tried.

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
INTRINSICS = True
"""The kernel may define intrinsics of its own; correctness is checked for any processor as well."""

COST_FRACTION = CostFraction(
    0.35,
    "that of pq-l2, the middle of 10-60 % of a warm IVF_PQ query measured with pylance 1.0.0 and 14.0.2; "
    "cosine adds the normalisation of the query, under 1 % of the kernel",
)


def ops(shape: inputs.Shape) -> int:  # noqa: ARG001
    """Return the operations of one call: it answers one query."""
    return 1


def bind(impl: ModuleType, state: inputs.State) -> Callable[[NDArray[np.float32]], tuple[NDArray[Any], ...]]:
    """Build the search of `impl` over the state, untimed, and return the timed call.

    The call takes a query, float32 (D,), and returns the kernel's (ids, distances) or the oracle's
    (ids, distances, every, limit).
    """
    top_k = impl.PqCosineKernel(state.codebook, state.codes, state.offsets, state.centroids).top_k
    k = state.k

    def search(query: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
        found: tuple[NDArray[Any], ...] = top_k(query, k)
        return found

    return search


def check(
    actual: tuple[NDArray[Any], ...],
    expected: tuple[NDArray[Any], ...],
    call: tuple[NDArray[np.float32]],  # noqa: ARG001
) -> None:
    """Compare the kernel's (ids, distances) with the oracle's, within the limits that it computed."""
    assert len(actual) == 2, f"result: a tuple of {len(actual)}, expected (ids, distances)"
    best, _, every, limit = expected
    compare.top_k(*actual, every, best.size, limit)


class Example(NamedTuple):
    """What a property test draws; all arrays follow from it."""

    sub_vectors: int
    length: int
    sizes: tuple[int, ...]
    k: str
    values: str
    seed: int


def properties() -> SearchStrategy[tuple[inputs.State, tuple[NDArray[np.float32]]]]:
    """Return a strategy of (state, call) pairs outside the battery; shrinks to few rows and sub-spaces.

    Only whole numbers and names are drawn, so that a failure shrinks fast and prints short. Rows have neither
    NaN nor infinity: Lance drops such rows when it builds an index. A query may have them, or be zeros.
    """
    from hypothesis import strategies as st

    sizes = st.integers(0, 40) | st.sampled_from((0, 1, 7, 8, 9, 15, 16, 17, 255, 257))
    return st.builds(
        Example,
        sub_vectors=st.integers(1, 8),
        length=st.sampled_from((1, 4, 8, 12, 16, 20, 32)),
        sizes=st.lists(sizes, min_size=1, max_size=4).map(tuple),
        k=st.sampled_from(("one", "ten", "n", "n + 5")),
        values=st.sampled_from(
            ("normal", "ties", "duplicate_rows", "zero_centroids", "one_hot", "zero_query", "not_finite")
        ),
        seed=st.integers(0, 2**32 - 1),
    ).map(realise)


def realise(example: Example) -> tuple[inputs.State, tuple[NDArray[np.float32]]]:
    """Make the partitions and the query of an example."""
    rng = np.random.default_rng(example.seed)
    sub_vectors, length, sizes = example[:3]
    dim, rows = sub_vectors * length, sum(sizes)
    codebook = _values(example.values, (sub_vectors, 256, length), rng)
    query = _values(example.values, (dim,), rng)
    centroids = _values(example.values, (len(sizes), dim), rng)
    if example.values == "one_hot":
        query[:], query[rng.integers(dim)] = 0, -3
    if example.values == "zero_query":
        query[:] = 0
    if example.values == "not_finite":
        query[rng.integers(dim)] = rng.choice((np.nan, np.inf, -np.inf))
    if example.values == "zero_centroids":
        centroids[:] = 0
    codes = rng.integers(0, 256, sub_vectors * rows, dtype=np.uint8)
    if example.values == "duplicate_rows":
        codes = np.repeat(codes[:sub_vectors], rows)
    k = {"one": 1, "ten": 10, "n": max(rows, 1), "n + 5": rows + 5}[example.k]
    return inputs.bare_state(codebook, codes, np.cumsum((0, *sizes)), centroids, k), (query,)


def _values(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    if kind == "ties":
        return rng.integers(-1, 2, shape).astype(np.float32)
    return rng.standard_normal(shape, dtype=np.float32)
