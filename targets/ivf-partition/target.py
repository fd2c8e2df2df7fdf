"""The wiring of ivf-partition: what is built once, what is timed, how results are compared, what else is tried.

Owns nothing of the algorithm: `bind` gets the kernel's or the oracle's module as an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    "5-15 % of the kernels of an IVF_PQ query with 20 probes of 8192 rows and 96 sub-vectors, from timings of "
    "the parts; 30-60 % with 5 probes or fewer, or with 4096 partitions of 1536 dimensions",
)


def ops(shape: inputs.Shape) -> int:
    """Return the operations of one call: the queries that it answers."""
    return shape.queries


def bind(impl: ModuleType, state: inputs.State) -> Callable[..., tuple[NDArray[Any], ...]]:
    """Hand the centroids to `impl`, untimed, and return the timed call.

    The call takes queries, float32 (Q, D), and nprobes; it returns the kernel's (ids, distances) or the oracle's
    (ids, distances, all_distances, limits).
    """
    find: Callable[..., tuple[NDArray[Any], ...]] = impl.IvfModel(state.centroids, state.metric).find_partitions
    return find


def check(
    actual: tuple[NDArray[Any], ...],
    expected: tuple[NDArray[Any], ...],
    call: inputs.Call,  # noqa: ARG001
) -> None:
    """Compare the kernel's (ids, distances) with the oracle's; partitions closer than the limit may swap."""
    assert len(actual) == 2, f"result: a tuple of {len(actual)}, expected (ids, distances)"
    ids, distances = actual
    best, _, every, limits = expected
    for what, one in (("ids", ids), ("distances", distances)):
        assert np.shape(one) == best.shape, f"{what}: shape {np.shape(one)}, expected {best.shape}"
    for place in np.ndindex(best.shape[:2]):
        of = "partitions" if best.shape[:2] == (1, 1) else "partitions of table {} for query {}".format(*place)
        found, right = distances[place], every[place]
        compare.top_k(ids[place], _ranked(found), _ranked(right), best.shape[2], limits[place], what=of)
        compare.exact(np.isnan(found), np.isnan(right[ids[place]]), what=f"NaN among the distances of {of}")


def _ranked(distances: NDArray[Any]) -> NDArray[Any]:
    """Put an infinity of the same sign in the place of NaN, so that a comparison finds the total order."""
    return np.where(np.isnan(distances), np.copysign(np.inf, distances), distances)


def properties() -> SearchStrategy[tuple[inputs.State, inputs.Call]]:
    """Return a strategy of (state, call) pairs outside the battery: no partitions, few, odd sizes."""
    from hypothesis import strategies as st

    def example(shape: inputs.Shape, distribution: str, seed: int) -> tuple[inputs.State, inputs.Call]:
        rng = np.random.default_rng(seed)
        state = inputs.make_index(distribution, shape.tables, shape.partitions, shape.dim, rng)
        return state, inputs.make_call(shape, distribution, state, rng)

    shapes = st.builds(
        inputs.Shape,
        tables=st.integers(1, 3),
        partitions=st.integers(0, 40),
        dim=st.integers(1, 40) | st.sampled_from((15, 16, 17, 48, 100)),
        queries=st.integers(1, 3),
        nprobes=st.integers(1, 45),
    )
    names = st.sampled_from(inputs.DISTRIBUTIONS + inputs.EDGE_DISTRIBUTIONS)
    return st.builds(example, shapes, names, st.integers(0, 2**32 - 1))
