"""The wiring of fsst: what is built once, what is timed, how results are compared, what else is tried.

Owns nothing of the decoding: `bind` gets the kernel's or the oracle's module as an argument.
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

    Arrays = tuple[NDArray[Any], ...]

UNIT = "byte"
INTRINSICS = True

COST_FRACTION = CostFraction(
    0.3,
    "middle of 20-45 % of the CPU time of scanning a compressed column of URLs, 300,000 rows, pylance 1.0.0: "
    "1.9 ns per byte, of which a good decoder takes 0.3 to 0.8",
)


def ops(shape: inputs.Shape) -> int:
    """Return the operations of one call: it writes this many bytes on average."""
    return shape.strings * (shape.shortest + shape.longest) // 2


def bind(impl: ModuleType, state: inputs.State) -> Callable[..., Arrays]:
    """Prepare the symbol table with `impl`, untimed, and return the timed call.

    It takes (codes, offsets, out, out_offsets) and returns (total, out_offsets, out), the total as int64 (1,).
    """
    decoder = impl.prepare(state.table)
    total = np.empty(1, np.int64)

    def decode(
        codes: NDArray[np.uint8], offsets: NDArray[Any], out: NDArray[np.uint8], out_offsets: NDArray[Any]
    ) -> Arrays:
        total[0] = impl.decode(decoder, codes, offsets, out, out_offsets)
        return total, out_offsets, out

    return decode


def check(actual: Arrays, expected: Arrays, _call: Arrays) -> None:
    """Require every bit of the oracle's result, but for the bytes after the total."""
    assert len(actual) == 3, f"result: {len(actual)} arrays, expected (total, out_offsets, out)"
    compare.exact(actual[:2], expected[:2], "(total, offsets)")
    total = int(expected[0][0])
    compare.exact(actual[2][:total], expected[2][:total], "bytes")


class Example(NamedTuple):
    """What a property test draws; all arrays follow from it."""

    strings: int
    most_codes: int
    symbols: int
    escapes_percent: int
    offset_bits: int
    before: int
    seed: int


def properties() -> SearchStrategy[tuple[inputs.State, Arrays]]:
    """Return a strategy of (state, call) pairs outside the battery; shrinks to few strings and symbols.

    A string has 0 to `most_codes` codes, so that all strings may be empty; without symbols they are verbatim.
    """
    from hypothesis import strategies as st

    return st.builds(
        Example,
        strings=st.integers(0, 20) | st.sampled_from((255, 1001)),
        most_codes=st.integers(0, 12) | st.just(100),
        symbols=st.sampled_from((0, 1, 2, 100, 254, 255)),
        escapes_percent=st.sampled_from((0, 5, 50, 100)),
        offset_bits=st.sampled_from((32, 64)),
        before=st.sampled_from((0, 1, 7, 100)),
        seed=st.integers(0, 2**32 - 1),
    ).map(realise)


def realise(example: Example) -> tuple[inputs.State, Arrays]:
    """Make the table and the call of an example: the whole pool."""
    rng = np.random.default_rng(example.seed)
    escapes = example.escapes_percent / 100 if example.symbols else 0.0
    shape = inputs.Shape(example.strings, 0, example.most_codes, example.offset_bits)
    state = inputs.drawn_state(shape, inputs.Codes(example.symbols, escapes=escapes), rng, example.before)
    return state, inputs.arguments(state.codes, state.offsets, int(state.sizes.sum()), state, rng)
