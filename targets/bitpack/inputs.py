"""The workload of bitpack: shapes, width sequences, and seeded generators of pages.

Owns every number that is checked or timed. Time depends on the widths and not on the values, so a distribution
is a sequence of widths; nearly all bits of a page are random, those between and after the chunks too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Words = NDArray[np.unsignedinteger[Any]]
    Widths = NDArray[np.uint8]


class Shape(NamedTuple):
    """Bits of a word, the width that the distributions are built around, and chunks of 1024 values."""

    bits: int
    width: int
    chunks: int


SHAPES: Final = (
    Shape(32, 12, 256),  # ids and categories in an int32
    Shape(64, 20, 128),  # timestamps, offsets and counts in an int64
    Shape(16, 1, 256),  # definition levels: null or not
    Shape(8, 3, 1019),  # an odd number of chunks; a call of 250 of them would take 20 us
)
DISTRIBUTIONS: Final = ("constant", "mixed", "growing")
EDGE_DISTRIBUTIONS: Final = (
    "every_width",
    "boundary_widths",
    "full_width",
    "mostly_zero_width",
    "ones",
    "one_bit",
    "alternating",
)

CHUNK: Final = 1024
EDGE_CHUNKS: Final = 67
"""Enough for each of the 65 widths of 64-bit words, and for an output that no private copy is made of."""
ZERO_WIDTH: Final = {"growing": 0.25, "mostly_zero_width": 0.9}
"""The share of chunks of width 0."""
HEADER_BYTES: Final = 8
"""What stands before a chunk's own word with the width: numbers of levels and sizes."""

Call = tuple["Words", "NDArray[np.int64]", "Widths", int, "Words"]
"""words, word_off, widths, n and the output, as `Bitpack.unpack_chunks` takes them."""


class State(NamedTuple):
    """What is known before the first page: the bits of a word, the chunks of each page, an output's old contents.

    `old` is unsigned, `bits` bits, (1024,); the kernel is told the bits only.
    """

    bits: int
    chunks: int
    old: Words


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a state with the published number of chunks."""
    return new_state(shape.bits, _chunks(shape, distribution), rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a state whose number of chunks is drawn, within 10 % of the published one."""
    chunks = _chunks(shape, distribution)
    return new_state(shape.bits, int(rng.integers(chunks * 9 // 10, chunks * 11 // 10 + 1)), rng)


def make_call(shape: Shape, distribution: str, state: State, rng: np.random.Generator) -> Call:
    """Make a page and an output; how much of the last chunk counts is drawn."""
    widths = _widths(shape, distribution, state.chunks, rng)
    return make_page(state, widths, distribution, int(rng.integers(1, CHUNK + 1)), rng)


def new_state(bits: int, chunks: int, rng: np.random.Generator) -> State:
    """Make a state; what is in an output before the call is drawn."""
    return State(bits, chunks, _noise(bits, CHUNK, rng))


def make_page(state: State, widths: Widths, content: str, in_last: int, rng: np.random.Generator) -> Call:
    """Make a page of chunks of these widths, and an output; `in_last` values of the last chunk count."""
    word_off, size = layout(state.bits, widths)
    words = _noise(state.bits, size, rng)
    _fill(words, word_off, widths, content, rng)
    n = CHUNK * (widths.size - 1) + in_last if widths.size else 0
    return words, word_off, widths, n, np.tile(state.old, widths.size)


def layout(bits: int, widths: Widths) -> tuple[NDArray[np.int64], int]:
    """Return where each chunk's words begin, and the words of the page, as Lance lays a page out.

    A chunk is a header, a word with the width, and the packed words; the next begins at a multiple of 8 bytes.
    """
    before = HEADER_BYTES * 8 // bits + 1
    whole = 64 // bits
    sizes = -(-(before + CHUNK // bits * widths.astype(np.int64)) // whole) * whole
    ends = np.cumsum(sizes)
    return ends - sizes + before, int(sizes.sum())


def _chunks(shape: Shape, distribution: str) -> int:
    return EDGE_CHUNKS if distribution in EDGE_DISTRIBUTIONS else shape.chunks


def _widths(shape: Shape, distribution: str, chunks: int, rng: np.random.Generator) -> Widths:
    """Draw the width of each chunk."""
    bits, width = shape.bits, shape.width
    if distribution in ("constant", "mostly_zero_width"):
        widths = np.full(chunks, width)
    elif distribution == "mixed":
        widths = np.clip(width + rng.integers(-2, 3, chunks), 0, bits)
    elif distribution == "growing":
        widths = 1 + np.arange(chunks) * (2 * width) // chunks
    elif distribution == "full_width":
        widths = np.full(chunks, bits)
    elif distribution == "boundary_widths":
        widths = rng.choice((0, 1, bits - 1, bits), chunks)
    else:
        widths = rng.permutation(chunks) % (bits + 1)
    zeros = int(chunks * ZERO_WIDTH.get(distribution, 0))
    widths[rng.permutation(chunks)[:zeros]] = 0
    return widths.astype(np.uint8)


def _noise(bits: int, size: int, rng: np.random.Generator) -> Words:
    """Return random words; `size` is made up from words of 64 bits."""
    return rng.integers(0, 2**64, -(-size * bits // 64), dtype=np.uint64).view(f"u{bits // 8}")[:size]


def _fill(
    words: Words, word_off: NDArray[np.int64], widths: Widths, content: str, rng: np.random.Generator
) -> None:
    """Overwrite the random bits of the chunks where the distribution has others."""
    if content not in ("ones", "one_bit", "alternating"):
        return
    lanes = CHUNK // (8 * words.itemsize)
    for start, width in zip(word_off.tolist(), widths.tolist(), strict=True):
        packed = words[start : start + width * lanes].view(np.uint8)
        if content == "ones":
            packed[:] = 255
        elif content == "alternating":
            packed[:] = rng.choice((0x55, 0xAA))
        else:
            packed[:] = 0
            packed[rng.integers(max(packed.size, 1)) :][:1] = 1 << rng.integers(8)
