"""The wiring of posting-intersect: what is timed, how results are compared, what else is tried.

Owns nothing of the algorithm: `bind` gets the kernel's or the oracle's module as an argument.
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

    Result = tuple[NDArray[np.uint32], NDArray[np.int64]]

UNIT = "posting"
INTRINSICS = True
"""The kernel may define intrinsics of its own; correctness is checked for any processor as well."""


def ops(shape: inputs.Shape) -> int:
    """Return the lengths of all lists of all queries, added up."""
    return inputs.QUERIES[shape] * sum(int(length) for length in shape.lengths.split("+"))


def bind(impl: ModuleType, _state: inputs.State) -> Callable[..., Result]:
    """Return the timed call; nothing is built, the lists arrive with the call.

    It returns (out, ends): its last argument, filled, and where the ids of each query end in it.
    """

    def answer(*arguments: NDArray[Any]) -> Result:
        ends = impl.intersect(*arguments)
        return arguments[-1], ends

    return answer


def check(actual: Result, expected: Result, call: inputs.Call) -> None:  # noqa: ARG001
    """Require the same ids for every query; what lies in `out` after the last of them does not matter."""
    assert len(actual) == 2, f"result: a tuple of {len(actual)}, expected (out, ends)"
    (out, ends), (right, right_ends) = actual, expected
    compare.exact(ends, right_ends, "ends")
    compare.exact(out[: right_ends[-1]], right[: right_ends[-1]], "ids")


class Example(NamedTuple):
    """What a property test draws; all arrays follow from it."""

    block: int
    lengths: list[int]
    queries: int
    docs: int
    first: int
    seed: int


def properties() -> SearchStrategy[tuple[inputs.State, inputs.Call]]:
    """Return a strategy of (state, call) pairs outside the battery: 1 to 8 lists, from none to 512 ids each.

    Only whole numbers and names are drawn, so that a failure shrinks fast and prints short.
    """
    from hypothesis import strategies as st

    lengths = st.integers(0, 300) | st.sampled_from((0, 1, 127, 128, 129, 255, 256, 257, 512))
    return st.builds(
        Example,
        block=st.sampled_from((128, 256)),
        lengths=st.lists(lengths, min_size=1, max_size=8),
        queries=st.integers(1, 4),
        docs=st.sampled_from((512, 530, 900, 10_000, 2**31, inputs.LARGEST_ID + 1)),
        first=st.sampled_from((0, 1, 2**31 - 100, inputs.LARGEST_ID)),
        seed=st.integers(0, 2**32 - 1),
    ).map(realise)


def realise(example: Example) -> tuple[inputs.State, inputs.Call]:
    """Make the lists and the queries of an example; ids begin at `first`, or earlier to leave room for `docs`."""
    rng = np.random.default_rng(example.seed)
    first = min(example.first, inputs.LARGEST_ID + 1 - example.docs)
    lists = []
    for length in example.lengths:
        drawn = rng.permutation(example.docs) if example.docs < 1000 else rng.integers(0, example.docs, length)
        ids = np.unique(drawn[:length]) + first
        frequencies = rng.integers(1, 2 ** rng.integers(1, 32), len(ids), dtype=np.uint32)
        lists.append(inputs.encode(ids.astype(np.uint32), frequencies, example.block))
    queries = np.tile(np.arange(len(lists)), (example.queries, 1))
    call = inputs.call_of(example.block, lists, rng.permuted(queries, axis=1), rng)
    return inputs.bare_state(example.block), call
