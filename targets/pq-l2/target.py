"""The wiring of pq-l2: what is built once, what is timed, how results are compared, what else is tried.

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
    "middle of the 10-60 % of a warm IVF_PQ query measured with pylance 1.0.0 and 14.0.2 "
    "(8192-row partitions); the share grows with the number of probes",
)


def ops(shape: inputs.Shape) -> int:  # noqa: ARG001
    """Return the operations of one call: it answers one query."""
    return 1


def bind(impl: ModuleType, state: inputs.State) -> Callable[[NDArray[np.float32]], tuple[NDArray[Any], ...]]:
    """Build the search of `impl` over the state, untimed, and return the timed call.

    The call takes a query, float32 (D,), and returns the kernel's (table, ids, distances) or the oracle's
    (table, *Found), see reference.py.
    """
    kernel = impl.PqKernel(state.codebook, state.codes)
    table = np.empty(state.codebook.shape[:2], np.float32)
    k = state.k

    def probe(query: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
        kernel.distance_table(query, table)
        return (table, *kernel.probe_top_k(table, k))

    return probe


class Expected(NamedTuple):
    """The oracle's result: its float32 table, and the fields of its `Found`."""

    table: NDArray[np.float32]
    ids: NDArray[np.uint32]
    distances: NDArray[np.float32]
    table64: NDArray[np.float64]
    table_limit: NDArray[np.float64]
    all_distances: NDArray[np.float64]
    distance_limit: NDArray[np.float64]


def check(
    actual: tuple[NDArray[Any], ...],
    expected: tuple[NDArray[Any], ...],
    call: tuple[NDArray[np.float32]],  # noqa: ARG001
) -> None:
    """Compare the kernel's (table, ids, distances) with the oracle's, within the limits that it computed."""
    assert len(actual) == 3, f"result: a tuple of {len(actual)}, expected (table, ids, distances)"
    table, ids, distances = actual
    right = Expected(*expected)
    compare.max_abs_err(table, right.table64, right.table_limit, dtype=np.float32, what="distance table")
    compare.top_k(ids, distances, right.all_distances, right.ids.size, right.distance_limit)


class Example(NamedTuple):
    """What a property test draws; all arrays follow from it."""

    sub_vectors: int
    length: int
    rows: int
    k: str
    values: str
    seed: int


def properties() -> SearchStrategy[tuple[inputs.State, tuple[NDArray[np.float32]]]]:
    """Return a strategy of (state, call) pairs outside the battery; shrinks to few rows and sub-spaces.

    Only whole numbers and names are drawn, so that a failure shrinks fast and prints short. NaN and infinity
    are outside this target's contract: Lance drops such rows when it builds an index.
    """
    from hypothesis import strategies as st

    return st.builds(
        Example,
        sub_vectors=st.integers(1, 8),
        length=st.sampled_from((1, 4, 8, 12, 16, 20, 32)),
        rows=st.integers(0, 40) | st.sampled_from((0, 1, 7, 8, 9, 15, 16, 17, 255, 257)),
        k=st.sampled_from(("one", "ten", "n", "n + 5")),
        values=st.sampled_from(("normal", "ties", "duplicate_rows", "large_dynamic_range", "zeros")),
        seed=st.integers(0, 2**32 - 1),
    ).map(realise)


def realise(example: Example) -> tuple[inputs.State, tuple[NDArray[np.float32]]]:
    """Make the partition and the query of an example."""
    rng = np.random.default_rng(example.seed)
    sub_vectors, length, rows = example[:3]
    codebook = _values(example.values, (sub_vectors, 256, length), rng)
    query = _values(example.values, (sub_vectors * length,), rng)
    codes = rng.integers(0, 256, (sub_vectors, rows), dtype=np.uint8)
    if example.values == "duplicate_rows" and rows:
        codes = np.ascontiguousarray(codes[:, rng.integers(0, 1 + rows // 8, rows)])
    k = {"one": 1, "ten": 10, "n": max(rows, 1), "n + 5": rows + 5}[example.k]
    return inputs.bare_state(codebook, codes, k), (query,)


def _values(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    if kind == "ties":
        return rng.integers(-1, 2, shape).astype(np.float32)
    values = rng.standard_normal(shape, dtype=np.float32)
    if kind == "large_dynamic_range":
        values *= np.float32(10) ** rng.uniform(-3, 3, shape).astype(np.float32)
    if kind == "zeros":
        values *= rng.random(shape, dtype=np.float32) < 0.05
    return values
