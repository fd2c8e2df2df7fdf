"""The wiring of topk-merge: what is timed, what else is tried. Every bit of a result counts: there is no `check`.

Owns nothing of the algorithm: `bind` gets the kernel's or the oracle's module as an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import inputs
import numpy as np

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
    0.04,
    "middle of 1-7 %: SortExec (53-109 us) beside ANNSubIndex (0.77-7 ms), in the metrics of pylance 14.0.2",
)


def ops(shape: inputs.Shape) -> int:
    """Return the queries of one call."""
    return shape.queries


def bind(impl: ModuleType, state: inputs.State) -> Callable[..., tuple[NDArray[Any], ...]]:  # noqa: ARG001
    """Return the timed call; nothing is prepared, a merge knows nothing before its rows arrive."""
    merge: Callable[..., tuple[NDArray[Any], ...]] = impl.topk_merge
    return merge


def properties() -> SearchStrategy[tuple[inputs.State, inputs.Call]]:
    """Return a strategy of (state, call) pairs outside the battery: few or no queries, runs and rows."""
    from hypothesis import strategies as st

    def example(
        shape: inputs.Shape, distribution: str, ragged: bool, seed: int
    ) -> tuple[inputs.State, inputs.Call]:
        rng = np.random.default_rng(seed)
        state = inputs.make_pool(distribution, shape, ragged, rng)
        return state, inputs.make_call(shape, distribution, state, rng)

    shapes = st.builds(
        inputs.Shape,
        runs=st.integers(0, 9) | st.just(33),
        rows=st.integers(1, 20),
        k=st.integers(1, 20),
        queries=st.integers(0, 3),
    )
    names = st.sampled_from(inputs.DISTRIBUTIONS + inputs.EDGE_DISTRIBUTIONS)
    return st.builds(example, shapes, names, st.booleans(), st.integers(0, 2**32 - 1))
