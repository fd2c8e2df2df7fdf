"""The wiring of pq-l2-lossy: what is built once, what is timed, how results are compared, what else is tried.

Owns nothing of the algorithm: `bind` gets the kernel's or the oracle's module as an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import inputs
import numpy as np

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.records import Lossy

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from hypothesis.strategies import SearchStrategy
    from numpy.typing import NDArray

UNIT = "query"
INTRINSICS = True
"""The kernel may define intrinsics of its own; correctness is checked for any processor as well."""

LOSSY = Lossy(
    margin=0.01,
    floors={
        "clustered": 0.8,
        "uniform": 0.9,
        "sparse": 0.85,
        "gaussian": 0.9,
        "large_dynamic_range": 0.85,
        "mostly_zero": 0.6,
        "duplicates": 0.7,
        "constant_codes": 1.0,
        "k_exceeds_n": 1.0,
    },
)
"""Of the k nearest rows. The floors lie below what tables of bytes find, and far above half of the rows."""


def ops(shape: inputs.Shape) -> int:  # noqa: ARG001
    """Return the operations of one call: it answers one query."""
    return 1


def bind(impl: ModuleType, state: inputs.State) -> Callable[[NDArray[np.float32]], tuple[NDArray[Any], ...]]:
    """Build the search of `impl` over the state, untimed, and return the timed call.

    The call takes a query, float32 (D,), and returns the kernel's (ids, distances) or the oracle's `Found`, see
    reference.py.
    """
    kernel = impl.PqKernel(state.codebook, state.codes)
    k = state.k

    def search(query: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
        return tuple(kernel.search(query, k))

    return search


class Expected(NamedTuple):
    """The oracle's result: the fields of its `Found`."""

    ids: NDArray[np.uint32]
    distances: NDArray[np.float32]
    every_distance: NDArray[np.float64]
    limit: NDArray[np.float64]


def check(
    actual: tuple[NDArray[Any], ...],
    expected: tuple[NDArray[Any], ...],
    call: tuple[NDArray[np.float32]],  # noqa: ARG001
) -> float:
    """Require rows, each once, in the order of their distances, which are theirs but for steps of a byte.

    Returns the share of the nearest rows that are among them.
    """
    assert len(actual) == 2, f"result: a tuple of {len(actual)}, expected (ids, distances)"
    ids, distances = actual
    right = Expected(*expected)
    share = compare.recall(ids, right.every_distance, right.ids.size)
    assert ids.dtype == np.uint32, f"ids: {ids.dtype}, expected uint32"
    theirs, limit = right.every_distance[ids], right.limit[ids]
    compare.max_abs_err(distances, theirs, limit, dtype=np.float32, what="distances of the returned ids")
    assert (np.diff(distances) >= 0).all(), "distances: not ascending"
    return share


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

    Only whole numbers and names are drawn, so that a failure shrinks fast and prints short. What such a call
    finds of the nearest rows is not judged, since a single call tells nothing of a share.
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
