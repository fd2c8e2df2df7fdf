"""The wiring of fsst: what is built once, what is timed, how results are compared, what else is tried.

Owns nothing of the decoding: `bind` gets the kernel's or the oracle's module as an argument.
"""

from __future__ import annotations

from functools import partial
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
    Bytes = NDArray[np.uint8]
    Ints = NDArray[np.int64]

UNIT = "byte"
INTRINSICS = True

COST_FRACTION = CostFraction(
    0.3,
    "middle of 20-45 % of the CPU time of scanning a compressed column of URLs, 300,000 rows, pylance 1.0.0: "
    "1.9 ns per byte, of which a good decoder takes 0.3 to 0.8",
)


def ops(shape: inputs.Shape | inputs.ChunkedShape) -> int:
    """Return the operations of one call: it writes this many bytes on average."""
    return shape.strings * (shape.shortest + shape.longest) // 2


def bind(impl: ModuleType, state: inputs.State) -> Callable[..., Arrays]:
    """Prepare the symbol table with `impl`, untimed, and return the timed call.

    It takes (codes, offsets, out, out_offsets) and returns (total, out_offsets, out), the total as int64 (1,). In
    chunks it takes (table, page, starts, counts, out, out_offsets), and nothing is prepared.
    """
    decode = _by_chunks(impl) if state.chunk_bytes else partial(impl.decode, impl.prepare(state.table))
    total = np.empty(1, np.int64)

    def timed(*arguments: NDArray[Any]) -> Arrays:
        total[0] = decode(*arguments)
        return total, arguments[-1], arguments[-2]

    return timed


def _by_chunks(impl: ModuleType) -> Callable[..., int]:
    """Return the `decode_chunks` of `impl`, or what it comes to chunk by chunk where there is none.

    That is what Lance does: for each chunk the table is parsed, a buffer of eight times the codes is allocated and
    zeroed, and what was decoded is copied on.
    """

    def decode_chunks(
        table: Bytes, page: Bytes, starts: Ints, counts: Ints, out: Bytes, out_offsets: NDArray[Any]
    ) -> int:
        at = string = 0
        out_offsets[0] = 0
        for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
            codes = page[start:]
            offsets = codes[: (count + 1) * out_offsets.itemsize].view(out_offsets.dtype)
            room = np.zeros(inputs.LONGEST_SYMBOL * int(offsets[-1] - offsets[0]) + inputs.SLACK, np.uint8)
            ends = np.zeros_like(offsets)
            total = impl.decode(impl.prepare(table), codes, offsets, room, ends)
            own = out[at : at + total]
            own[:] = room[: own.size]
            out_offsets[string + 1 : string + count + 1] = ends[1:] + at
            at, string = at + total, string + count
        return at

    return getattr(impl, "decode_chunks", decode_chunks)


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
    chunk_bytes: int
    seed: int


def properties() -> SearchStrategy[tuple[inputs.State, Arrays]]:
    """Return a strategy of (state, call) pairs outside the battery; shrinks to few strings and symbols.

    A string has 0 to `most_codes` codes, so that all strings may be empty; without symbols they are verbatim. A
    third of the calls are one batch, a third have chunks as Lance has them, and a third very small ones.
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
        chunk_bytes=st.sampled_from((0, 32, 4096)),
        seed=st.integers(0, 2**32 - 1),
    ).map(realise)


def realise(example: Example) -> tuple[inputs.State, Arrays]:
    """Make the table and the call of an example: the whole pool."""
    rng = np.random.default_rng(example.seed)
    escapes = example.escapes_percent / 100 if example.symbols else 0.0
    shape = inputs.Shape(example.strings, 0, example.most_codes, example.offset_bits)
    codes = inputs.Codes(example.symbols, escapes=escapes)
    state = inputs.drawn_state(shape, codes, rng, example.before)._replace(chunk_bytes=example.chunk_bytes)
    return state, inputs.arguments(state.codes, state.offsets, int(state.sizes.sum()), state, rng)
