"""The workload of rle-decode: shapes, run lengths and faults, and seeded generators of pages.

Owns every number that is checked or timed. Time depends on the run lengths and not on the values, so a
distribution is one of run lengths; all other bits of a page, those between its parts too, are random. The run
lengths are made with the state; a call has the chunks in another order, with other values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Words = NDArray[np.unsignedinteger[Any]]


class Shape(NamedTuple):
    """Bits of a word, mean length of a run, values of a page, and bits of a size in a chunk's header."""

    bits: int
    mean: int
    values: int
    size_bits: int


SHAPES: Final = (
    Shape(32, 3, 262_144, 32),  # keys of a child table in the order of its parent
    Shape(64, 10, 131_072, 32),  # timestamps of events that come together
    Shape(8, 100, 1_048_576, 32),  # states that seldom change
    Shape(16, 37, 499_979, 16),  # odd, in file version 2.1
)
DISTRIBUTIONS: Final = ("geometric", "skewed", "stretches")
EDGE_DISTRIBUTIONS: Final = ("ones", "constant", "around_255", "beyond_the_count", "faulty")

CHUNK_VALUES: Final = 4096
CHUNK_BYTES: Final = 8186
"""The most that a chunk holds; one that would be larger has half as many values, or a quarter ..."""
LONGEST: Final = 255
"""What a byte can say; longer runs are several."""
STRETCH: Final = 64
SINGLE: Final = 0.5
"""In stretches of 64 runs, the share of stretches whose runs are single values."""

FAULTY: Final = {"faulty": 0.75}
FAULTY_ELSEWHERE: Final = 1 / 64
"""The share of chunks that are spoiled. Few where time is measured, since a reader stops at the fault."""

Call = tuple["Bytes", "NDArray[np.int64]", "NDArray[np.int64]", "Words"]
"""page, starts, counts and the output, as `Rle.decode_chunks` takes them."""


class Chunk(NamedTuple):
    """How many values a chunk has, and the lengths of its runs, uint8."""

    count: int
    lengths: Bytes


class State(NamedTuple):
    """What the pages of a case have in common, and an output's old contents; the kernel is told the bits only."""

    bits: int
    size_bits: int
    chunks: tuple[Chunk, ...]
    old: Words


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make the run lengths of a page; what is never timed has a quarter of the values."""
    values = shape.values // 4 if distribution in EDGE_DISTRIBUTIONS else shape.values
    return new_state(shape._replace(values=values), distribution, rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a state whose number of values is drawn, within 10 % of the published one."""
    values = int(rng.integers(shape.values * 9 // 10, shape.values * 11 // 10 + 1))
    return make_state(shape._replace(values=values), distribution, rng)


def new_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Cut the values into chunks as Lance does: of 4096, or of a power of two that fits, and the last of any."""
    chunks = []
    left = shape.values
    while left:
        chunks.append(_chunk(shape, distribution, min(left, CHUNK_VALUES), rng))
        left -= chunks[-1].count
    old = rng.integers(0, 256, shape.values * shape.bits // 8, dtype=np.uint8).view(f"u{shape.bits // 8}")
    return State(shape.bits, shape.size_bits, tuple(chunks), old)


def make_call(_shape: Shape, distribution: str, state: State, rng: np.random.Generator) -> Call:
    """Make a page of the chunks in another order, the last but stays, and spoil some of them."""
    *others, last = range(len(state.chunks))
    chunks = [state.chunks[chunk] for chunk in (*rng.permutation(others).tolist(), last)]
    runs = np.array([len(lengths) for _, lengths in chunks])
    starts = layout(state.bits, state.size_bits, runs)
    sizes = np.column_stack((runs * (state.bits // 8), runs)).astype(f"<u{state.size_bits // 8}")
    page = rng.integers(0, 256, starts[-1], dtype=np.uint8)
    faulty = rng.random(len(chunks)) < FAULTY.get(distribution, FAULTY_ELSEWHERE)
    for chunk, start in enumerate(starts[:-1]):
        lengths = chunks[chunk].lengths
        if distribution == "beyond_the_count":
            lengths = lengthened(lengths, rng)
        if faulty[chunk]:
            lengths = spoilt(lengths, sizes[chunk], rng)
        put(page[start:], sizes[chunk], lengths)
    return page, starts, np.array([count for count, _ in chunks]), state.old.copy()


def layout(bits: int, size_bits: int, runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each chunk begins and the last one ends, as Lance lays a page out; chunks have so many runs."""
    header = _padded(2 + 2 * size_bits // 8)
    return np.append(0, np.cumsum(header + _padded(runs * (bits // 8)) + _padded(runs)))


def put(chunk: Bytes, sizes: NDArray[Any], lengths: Bytes) -> None:
    """Write what a chunk has but for its values: sizes in bytes of values and lengths, and the lengths."""
    chunk[2 : 2 + sizes.nbytes] = sizes.view(np.uint8)
    at = _padded(2 + sizes.nbytes) + _padded(int(sizes[0]))
    chunk[at : at + len(lengths)] = lengths


def spoilt(lengths: Bytes, sizes: NDArray[Any], rng: np.random.Generator) -> Bytes:
    """Make a fault in a chunk: in its run lengths, which are returned, or the sizes of its values and lengths."""
    lengths = lengths.copy()
    at = rng.integers(len(lengths))
    word = sizes[0] // sizes[1]
    fault = rng.integers(8)
    if fault == 0:
        lengths[at] = 0
    elif fault == 1:
        lengths[at] -= 1
    elif fault == 2:  # where there are too many values before it, nobody looks at a run of none
        lengths = lengthened(lengths, rng)
        lengths[-1] = 0
    elif fault == 3:
        sizes -= np.array((word, 1), sizes.dtype)
    elif fault == 4:
        sizes[0] -= 1
    elif fault == 5:
        sizes[0] -= word
    elif fault == 6:
        sizes[1] -= 1
    else:
        sizes[rng.integers(2)] = 0
    return lengths[: sizes[1]]


def lengthened(lengths: Bytes, rng: np.random.Generator) -> Bytes:
    """Let some runs go on, so that there are more values than the chunk has; early writers left such chunks."""
    longer = rng.integers(0, len(lengths), 1 + len(lengths) // 50)
    lengths = lengths.copy()
    lengths[longer] = np.minimum(lengths[longer] + rng.integers(1, 60, len(longer)), LONGEST)
    return lengths


def _chunk(shape: Shape, distribution: str, count: int, rng: np.random.Generator) -> Chunk:
    """Draw runs for that many values, or for fewer if they do not fit."""
    ends = np.cumsum(_runs(distribution, shape.mean, count, rng))
    whole = np.diff([0, *ends[ends < count], count])
    pieces = -(-whole // LONGEST)
    lengths = np.full(pieces.sum(), LONGEST, np.uint8)
    lengths[np.cumsum(pieces) - 1] = whole - (pieces - 1) * LONGEST
    if len(lengths) * (shape.bits // 8 + 1) > CHUNK_BYTES:
        return _chunk(shape, distribution, 1 << (count - 1).bit_length() - 1, rng)
    return Chunk(count, lengths)


def _runs(distribution: str, mean: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw lengths of runs, enough for that many values."""
    if distribution == "ones":
        return np.ones(count, np.int64)
    if distribution == "constant":
        return np.array([count])
    if distribution == "around_255":
        return rng.choice((1, 254, 255, 256, 509, 510, 511), count)
    if distribution == "skewed":  # Lomax, of the same mean: most are short, a few very long
        return np.ceil(rng.pareto(1.5, count) * mean / 2).astype(np.int64).clip(1)
    lengths = rng.geometric(1 / mean, count)
    if distribution == "stretches":
        single = rng.random(-(-count // STRETCH)) < SINGLE
        lengths = np.where(np.repeat(single, STRETCH)[:count], 1, 2 * lengths)
    return lengths


def _padded(size: Any) -> Any:
    return -(-size // 8) * 8
