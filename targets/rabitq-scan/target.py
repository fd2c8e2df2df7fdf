"""The wiring of rabitq-scan: what is built once, what is timed, how results are compared, what else is tried.

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

    Call = tuple[NDArray[np.float32], float]

UNIT = "query"
INTRINSICS = True

COST_FRACTION = CostFraction(
    0.2,
    "0.52 to 0.78 of 3.1 ms of CPU time of a warm IVF_RQ query to one partition of 60,000 rows of 128 dimensions "
    "with 5 bits, measured with pylance 14.0.2 on a shared machine",
)


def ops(shape: inputs.Shape) -> int:  # noqa: ARG001
    """Return the operations of one call: it answers one query."""
    return 1


def bind(impl: ModuleType, state: inputs.State) -> Callable[[NDArray[np.float32], float], tuple[Any, ...]]:
    """Build the search of `impl` over the state, untimed, and return the timed call.

    The call takes a query, float32 (D,), and its squared distance from the centroid. It returns the kernel's
    (ids, distances), or the oracle's with every row's estimate, lower bound and limits.
    """
    top_k = impl.RabitKernel(state.codes, state.factors, state.ex_codes, state.ex_factors).top_k
    k = state.k

    def search(query: NDArray[np.float32], query_factor: float) -> tuple[Any, ...]:
        found: tuple[Any, ...] = top_k(query, query_factor, k)
        return found

    return search


def check(actual: tuple[NDArray[Any], ...], expected: tuple[NDArray[Any], ...], call: Call) -> None:  # noqa: ARG001
    """Compare the kernel's (ids, distances) with the oracle's, within the limits that it computed.

    A row that was left out counts as far away as its estimate or its lower bound, whichever is more: so may a row
    be left out whose lower bound is no less than the farthest distance returned, and no other.
    """
    assert len(actual) == 2, f"result: a tuple of {len(actual)}, expected (ids, distances)"
    best, _, every, limit, bounds, bounds_limit = expected
    is_returned = np.isin(np.arange(every.size), actual[0])
    distances = np.where(is_returned, every, np.maximum(every, bounds))
    limits = np.where(is_returned, limit, np.maximum(limit, bounds_limit))
    compare.top_k(*actual, distances, best.size, limits)


class Example(NamedTuple):
    """What a property test draws; all arrays follow from it."""

    bytes: int
    bits: int
    rows: int
    k: str
    values: str
    seed: int


def properties() -> SearchStrategy[tuple[inputs.State, Call]]:
    """Return a strategy of (state, call) pairs outside the battery; shrinks to few rows and dimensions.

    Only whole numbers and names are drawn, so that a failure shrinks fast and prints short. NaN and infinity are
    outside this target's contract as inputs: Lance drops such rows when it builds an index. The query of zeros is
    inside, and so are rows of zeros.
    """
    from hypothesis import strategies as st

    return st.builds(
        Example,
        bytes=st.integers(1, 24) | st.sampled_from((128, 129)),
        bits=st.sampled_from((1, 5, 9)),
        rows=st.integers(0, 40) | st.sampled_from((0, 31, 32, 33, 63, 64, 65, 160, 257)),
        k=st.sampled_from(("one", "ten", "n", "n + 5")),
        values=st.sampled_from(("normal", "ties", "duplicate_rows", "zero_centroid", "zero_query", "negative")),
        seed=st.integers(0, 2**32 - 1),
    ).map(realise)


def realise(example: Example) -> tuple[inputs.State, Call]:
    """Make the partition and the query of an example."""
    rng = np.random.default_rng(example.seed)
    dim, rows, values = 8 * example.bytes, example.rows, example.values
    residuals = _values(values, (rows, dim), rng)
    centroid = _values(values, (dim,), rng)
    query = _values(values, (dim,), rng)
    if values == "normal":
        query *= 1.1  # off the grid
    if values == "zero_query":
        query[:] = 0
    if values == "zero_centroid":
        centroid[:] = 0
    if values == "duplicate_rows" and rows:
        residuals = residuals[rng.integers(0, 1 + rows // 8, rows)]
    k = {"one": 1, "ten": 10, "n": max(rows, 1), "n + 5": rows + 5}[example.k]
    rotated = query.astype(np.float32)
    query_factor = float(np.float32(np.square(rotated - centroid).sum()))
    return inputs.partition(residuals, centroid, example.bits, k), (rotated, query_factor)


def _values(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    if kind == "ties":
        return rng.integers(-1, 2, shape).astype(np.float64)
    values = inputs.on_grid(rng.standard_normal(shape))
    return -np.abs(values) if kind == "negative" else values
