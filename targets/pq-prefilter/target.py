"""The wiring of pq-prefilter: what is built once, what is timed, how results are compared, what else is tried.

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
    0.1,
    "middle of the 5-15 % of a warm IVF_PQ query with a prefilter and a scalar index, with pylance 14.0.2: "
    "its own metrics for the tables, and its time for a row times the rows allowed",
)
BUILD_BUDGET = 4.0
"""Milliseconds for a megabyte: a partition stays in Lance's index cache, and answers many queries there."""


def ops(shape: inputs.Shape) -> int:  # noqa: ARG001
    """Return the operations of one call: it answers one query."""
    return 1


def bind(impl: ModuleType, state: inputs.State) -> Callable[..., tuple[NDArray[Any], ...]]:
    """Build the search of `impl` over the state, untimed, and return the timed call.

    The call takes a query, float32 (D,), and the allowed rows, uint32 (a,), and returns the kernel's (ids,
    distances) or the oracle's (ids, distances, every, limit).
    """
    top_k = impl.PqPrefilterKernel(state.codebook, state.codes, state.offsets, state.centroids).top_k
    k = state.k

    def search(query: NDArray[np.float32], allowed: NDArray[np.uint32]) -> tuple[NDArray[Any], ...]:
        found: tuple[NDArray[Any], ...] = top_k(query, allowed, k)
        return found

    return search


def check(
    actual: tuple[NDArray[Any], ...],
    expected: tuple[NDArray[Any], ...],
    call: inputs.Call,  # noqa: ARG001
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
    allowed: str
    k: str
    values: str
    seed: int


def properties() -> SearchStrategy[tuple[inputs.State, inputs.Call]]:
    """Return a strategy of (state, call) pairs outside the battery; shrinks to few rows and sub-spaces.

    Only whole numbers and names are drawn, so that a failure shrinks fast and prints short. Rows have neither
    NaN nor infinity: Lance drops such rows when it builds an index. A query may have them.
    """
    from hypothesis import strategies as st

    sizes = st.integers(0, 40) | st.sampled_from((0, 1, 7, 8, 9, 15, 16, 17, 255, 257))
    return st.builds(
        Example,
        sub_vectors=st.integers(1, 8),
        length=st.sampled_from((1, 4, 8, 12, 16, 17, 20, 32)),
        sizes=st.lists(sizes, min_size=1, max_size=4).map(tuple),
        allowed=st.sampled_from(("none", "first", "last", "one in ten", "half", "all but one", "all")),
        k=st.sampled_from(("one", "ten", "n", "n + 5")),
        values=st.sampled_from(("normal", "ties", "duplicate_rows", "large", "far_partition", "not_finite")),
        seed=st.integers(0, 2**32 - 1),
    ).map(realise)


def realise(example: Example) -> tuple[inputs.State, inputs.Call]:
    """Make the partitions, the query and the filter of an example."""
    rng = np.random.default_rng(example.seed)
    sub_vectors, length, sizes = example[:3]
    dim, rows = sub_vectors * length, sum(sizes)
    codebook = _values(example.values, (sub_vectors, 256, length), rng)
    query = _values(example.values, (dim,), rng)
    centroids = _values(example.values, (len(sizes), dim), rng)
    if example.values == "not_finite":
        query[rng.integers(dim)] = rng.choice((np.nan, np.inf, -np.inf, inputs.TOO_LARGE))
    if example.values == "far_partition":
        centroids[rng.integers(len(sizes)), rng.integers(dim)] = inputs.TOO_LARGE
    codes = rng.integers(0, 256, sub_vectors * rows, dtype=np.uint8)
    if example.values == "duplicate_rows":
        codes = np.repeat(codes[:sub_vectors], rows)
    k = {"one": 1, "ten": 10, "n": max(rows, 1), "n + 5": rows + 5}[example.k]
    state = inputs.bare_state(codebook, codes, np.cumsum((0, *sizes)), centroids, k)
    return state, (query, _allowed(example.allowed, rows, rng))


def _allowed(kind: str, rows: int, rng: np.random.Generator) -> NDArray[np.uint32]:
    every = np.arange(rows, dtype=np.uint32)
    if kind == "all but one":
        return np.delete(every, rng.integers(rows)) if rows else every
    if kind in ("one in ten", "half"):
        return every[rng.random(rows) < {"one in ten": 0.1, "half": 0.5}[kind]]
    return every[{"none": slice(0), "first": slice(1), "last": slice(-1, None), "all": slice(None)}[kind]]


def _values(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    if kind == "ties":
        return rng.integers(-1, 2, shape).astype(np.float32)
    values = rng.standard_normal(shape, dtype=np.float32)
    return values * np.float32(1e12) if kind == "large" else values
