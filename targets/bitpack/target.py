"""The wiring of bitpack: what is built once, what is timed, how results are compared, what else is tried.

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

    Words = NDArray[np.unsignedinteger[Any]]

UNIT = "value"

COST_FRACTION = CostFraction(
    0.05,
    "middle of the 3-7 % of a warm scan of one narrow integer column, measured with pylance 1.0.0 (4-6 ns/row, of "
    "which a vectorised unpacking takes 0.16-0.3 ns); the rest is allocation and copies for each chunk",
)


def ops(shape: inputs.Shape) -> int:
    """Return the values of one call, those of whole chunks."""
    return shape.chunks * inputs.CHUNK


def bind(impl: ModuleType, state: inputs.State) -> Callable[..., Words]:
    """Build the decoder of `impl`, untimed, and return the timed call, which fills and returns its output."""
    decoder = impl.Bitpack(state.bits)

    def unpack(words: Words, word_off: NDArray[np.int64], widths: NDArray[np.uint8], n: int, out: Words) -> Words:
        decoder.unpack_chunks(words, word_off, widths, n, out)
        return out

    return unpack


def check(actual: Words, expected: Words, call: inputs.Call) -> None:
    """Compare the values there are; after them, the last chunk has padding."""
    n = call[3]
    compare.exact(actual[:n], expected[:n], "values")


class Example(NamedTuple):
    """What a property test draws; the page follows from it."""

    bits: int
    widths: list[int]
    in_last: int
    content: str
    seed: int


def properties() -> SearchStrategy[tuple[inputs.State, inputs.Call]]:
    """Return a strategy of (state, call) pairs outside the battery; shrinks to few and narrow chunks.

    Only whole numbers and names are drawn, so that a failure shrinks fast and prints short.
    """
    from hypothesis import strategies as st

    def examples(bits: int) -> SearchStrategy[Example]:
        return st.builds(
            Example,
            bits=st.just(bits),
            widths=st.lists(st.integers(0, bits), max_size=5),
            in_last=st.sampled_from((1, 7, 127, 1023, 1024)) | st.integers(1, 1024),
            content=st.sampled_from(("random", "ones", "one_bit", "alternating")),
            seed=st.integers(0, 2**32 - 1),
        )

    return st.sampled_from((8, 16, 32, 64)).flatmap(examples).map(realise)


def realise(example: Example) -> tuple[inputs.State, inputs.Call]:
    """Make the state and the page of an example."""
    rng = np.random.default_rng(example.seed)
    widths = np.array(example.widths, np.uint8)
    state = inputs.new_state(example.bits, widths.size, rng)
    return state, inputs.make_page(state, widths, example.content, example.in_last, rng)
