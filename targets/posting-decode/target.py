"""The wiring of posting-decode: what is built once, what is timed, what else is tried.

Owns nothing of the algorithm: `bind` gets the kernel's or the oracle's module as an argument. Results are compared
bit by bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import inputs
import numpy as np

from pytest_lance_autoresearch.records import CostFraction

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from hypothesis.strategies import SearchStrategy

    Decoded = tuple[inputs.Ids, inputs.Ids]

UNIT = "posting"
INTRINSICS = True

COST_FRACTION = CostFraction(
    0.1,
    "by arithmetic, 4-19 % of the CPU time of OR, AND and phrases of 2 to 5 frequent words in 200,000 docs with "
    "pylance 14.0.2: 143,000 to 389,000 postings at 0.8 ns, of 0.6 to 3.3 ms, if all of them are decoded",
)


def ops(shape: inputs.Shape) -> int:
    """Return the postings that one call decodes, or of which it decodes the positions."""
    return shape.postings


def bind(impl: ModuleType, state: inputs.State) -> Callable[..., Decoded]:
    """Build the decoder of `impl`, untimed, and return the timed call."""
    decoder = impl.PostingDecoder(state.block)
    decode: Callable[..., Decoded] = decoder.decode_lists if state.part == "lists" else decoder.decode_positions
    return decode


class Example(NamedTuple):
    """What a property test draws; all arrays follow from it."""

    block: int
    part: str
    lists: int
    longest: int
    docs_per_posting: int
    first: int
    bits: int
    words: int
    seed: int


def properties() -> SearchStrategy[tuple[inputs.State, inputs.Call]]:
    """Return a strategy of (state, call) pairs outside the battery: up to 6 lists of up to 1,300 postings.

    Only whole numbers and names are drawn, so that a failure shrinks fast and prints short.
    """
    from hypothesis import strategies as st

    return st.builds(
        Example,
        block=st.sampled_from((128, 256)),
        part=st.sampled_from(("lists", "positions")),
        lists=st.integers(1, 6),
        longest=st.integers(1, 20) | st.sampled_from((127, 128, 129, 255, 256, 257, 512, 1300)),
        docs_per_posting=st.sampled_from((1, 2, 100, 2**21)),
        first=st.sampled_from((0, 1, 2**31, inputs.LARGEST_ID)),
        bits=st.integers(1, 32),
        words=st.sampled_from((0, 1, 20, 2**16, 2**24)),
        seed=st.integers(0, 2**32 - 1),
    ).map(realise)


def realise(example: Example) -> tuple[inputs.State, inputs.Call]:
    """Make the lists of an example, the first of the longest length, and a call that takes them all."""
    rng = np.random.default_rng(example.seed)
    lengths = rng.integers(1, example.longest, example.lists, endpoint=True)
    lengths[0] = example.longest
    gaps = rng.integers(1, example.docs_per_posting, lengths.sum(), endpoint=True)
    ids = np.concatenate([_ids(each, example.first) for each in np.split(gaps, np.cumsum(lengths)[:-1])])
    is_listed = example.part == "lists"
    frequencies = rng.integers(1, 2 ** (example.bits if is_listed else min(example.bits, 8)), len(ids))
    of_position = 0 if is_listed else int(frequencies.sum())
    gaps = rng.integers(0, example.words, of_position, endpoint=True)
    positions = None if is_listed else inputs.summed(gaps, frequencies)
    pieces = np.arange(example.lists + 1)
    state = inputs.state_of(example.block, pieces, lengths, ids, frequencies.astype(np.uint32), positions)
    order = rng.permutation(pieces[:-1])
    return state, inputs.call_of(state, np.stack((order, order + 1), axis=1), len(ids), rng)


def _ids(gaps: inputs.Numbers, first: int) -> inputs.Ids:
    """Return ids with these gaps, from `first` on or as near as there is room."""
    ids = np.cumsum(gaps) - gaps[0]
    return (ids + min(first, inputs.LARGEST_ID - ids[-1])).astype(np.uint32)
