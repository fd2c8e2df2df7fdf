"""The wiring of repdef-unravel: what is built once, what is timed, how results are compared, what else is tried.

Owns nothing of the unravelling: `bind` gets the kernel's or the oracle's module as an argument.
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

    Unravelled = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint8]]

UNIT = "level"
INTRINSICS = True

NULLABLE = (inputs.NULLABLE_ITEM, inputs.NULLABLE_LIST, inputs.NULLABLE_AND_EMPTYABLE_LIST)

COST_FRACTION = CostFraction(
    0.45,
    "middle of the 26-74 % of the CPU time of a scan of nullable numbers, lists and structs, pylance 14.0.2, that "
    "unravelling the levels takes: 1.1-4.4 of 4.1-6.0 ns a level of a flat column, 3.4-12.5 of 9.4-19.6 of lists",
)


def ops(shape: inputs.Shape) -> int:
    """Return the levels of one call."""
    return shape.levels


def bind(impl: ModuleType, _state: inputs.State) -> Callable[..., Unravelled]:
    """Return the timed call, for which nothing is built."""
    unravel: Callable[..., Unravelled] = impl.unravel
    return unravel


def check(actual: Unravelled, expected: Unravelled, call: inputs.Call) -> None:
    """Require the same counts, offsets and bits, as far as the layers have entries and can be null."""
    assert len(actual) == 3, f"result: {len(actual)} arrays, expected (counts, offsets, validity)"
    compare.exact(actual[0], expected[0], "counts")
    meanings = call[3]
    lists = 0
    for layer, count in enumerate(expected[0].tolist()):
        if meanings[0, layer] not in (inputs.ALL_VALID_ITEM, inputs.NULLABLE_ITEM):
            offsets = (filled[1][lists, : count + 1] for filled in (actual, expected))
            compare.exact(*offsets, f"offsets of layer {layer}")
            lists += 1
        if np.isin(meanings[:, layer], NULLABLE).any():
            bits = (filled[2][layer, : -(-count // 8)] for filled in (actual, expected))
            compare.exact(*bits, f"validity of layer {layer}")


class Example(NamedTuple):
    """What a property test draws; the levels follow from it."""

    column: str
    levels: int
    pages: int
    length: int
    distribution: str
    seed: int


def properties() -> SearchStrategy[tuple[inputs.State, inputs.Call]]:
    """Return a strategy of (state, call) pairs outside the battery; shrinks to few levels."""
    from hypothesis import strategies as st

    return st.builds(
        Example,
        column=st.sampled_from(tuple(inputs.COLUMNS)),
        levels=st.integers(1, 40) | st.sampled_from((63, 64, 65, 511, 512, 513, 3000)),
        pages=st.integers(1, 6),
        length=st.sampled_from((1, 2, 5, 100)),
        distribution=st.sampled_from(inputs.DISTRIBUTIONS + inputs.EDGE_DISTRIBUTIONS),
        seed=st.integers(0, 2**32 - 1),
    ).map(realise)


def realise(example: Example) -> tuple[inputs.State, Any]:
    """Make the state and the levels of an example."""
    rng = np.random.default_rng(example.seed)
    shape = inputs.Shape(example.column, example.levels, example.pages, example.length)
    state = inputs.new_state(shape, example.distribution, rng)
    return state, inputs.make_call(shape, example.distribution, state, rng)
