"""The workload of bitpack: shapes, width sequences, and seeded generators of pages.

Owns every number that is checked or timed. Time depends on the widths and not on the values, so a distribution
is a sequence of widths; nearly all bits of a page are random, those between and after the chunks too.

A page has the layout of Lance's files, versions 2.1 and 2.2 alike. Values carry their width with them. Levels,
which say which values are null, do not: a page has one width for all, and they lie before their chunk's values.
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


LEVELS: Final = Shape(16, 1, 512)
"""Definition levels, null or not; what is timed of this shape is levels, what is only checked is values."""
SHAPES: Final = (
    Shape(32, 9, 256),  # the indices of a dictionary of some hundred strings
    Shape(64, 41, 128),  # timestamps in milliseconds, from November 2004 on
    LEVELS,
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
"""What a chunk begins with: how many levels it has, the sizes of its parts, padding."""
COLUMN: Final = Shape(32, 12, LEVELS.chunks)
"""The column of values between whose chunks the timed levels lie."""

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
    in_last = int(rng.integers(1, CHUNK + 1))
    if shape == LEVELS and distribution in DISTRIBUTIONS:
        return make_levels(state, shape.width, _widths(COLUMN, distribution, state.chunks, rng), in_last, rng)
    widths = _widths(shape, distribution, state.chunks, rng)
    return make_page(state, widths, distribution, in_last, rng)


def new_state(bits: int, chunks: int, rng: np.random.Generator) -> State:
    """Make a state; what is in an output before the call is drawn."""
    return State(bits, chunks, _noise(bits, CHUNK, rng))


def make_page(state: State, widths: Widths, content: str, in_last: int, rng: np.random.Generator) -> Call:
    """Make a page of chunks of these widths, and an output; `in_last` values of the last chunk count."""
    word_off, size = layout(state.bits, widths)
    words = _noise(state.bits, size, rng)
    _fill(words, word_off, widths, content, rng)
    return words, word_off, widths, _count(widths, in_last), np.tile(state.old, widths.size)


def make_levels(state: State, width: int, beside: Widths, in_last: int, rng: np.random.Generator) -> Call:
    """Make a page of levels of `width` bits between values of 32 bits and the widths `beside`, and an output."""
    word_off, size = level_layout(width, COLUMN.bits, beside)
    words = _noise(state.bits, size, rng)
    return words, word_off, np.full_like(beside, width), _count(beside, in_last), np.tile(state.old, beside.size)


def layout(bits: int, widths: Widths) -> tuple[NDArray[np.int64], int]:
    """Return where each chunk's words begin, and the words of the page, as Lance lays a page out.

    A chunk is a header, a word with the width, and the packed words; the next begins at a multiple of 8 bytes.
    """
    before = HEADER_BYTES * 8 // bits + 1
    ends, sizes = _ends(HEADER_BYTES, bits, widths)
    return (ends - sizes) * 8 // bits + before, int(sizes.sum()) * 8 // bits


def level_layout(width: int, bits: int, beside: Widths) -> tuple[NDArray[np.int64], int]:
    """Return the same for levels of `width` bits, in words of 16, before values of `bits` bits, `beside` packed.

    A chunk is a header, 1024 packed levels, and then what comes after the header in a page without nulls.
    """
    ends, sizes = _ends(HEADER_BYTES + CHUNK // 8 * width, bits, beside)
    return (ends - sizes + HEADER_BYTES) * 8 // LEVELS.bits, int(sizes.sum()) * 8 // LEVELS.bits


def _ends(before: int, bits: int, widths: Widths) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ends and the sizes of chunks in bytes, which have `before` bytes before a word with the width."""
    sizes = -(-(before + bits // 8 + CHUNK // 8 * widths.astype(np.int64)) // 8) * 8
    return np.cumsum(sizes), sizes


def _count(widths: Widths, in_last: int) -> int:
    """Return how many values there are."""
    return CHUNK * (widths.size - 1) + in_last if widths.size else 0


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
        widths = 1 + np.arange(chunks) * min(2 * width, bits - 1) // chunks
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
