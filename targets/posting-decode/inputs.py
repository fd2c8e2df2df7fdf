"""The workload of posting-decode: shapes, distributions, and seeded generators of posting lists and positions.

Owns every number that is checked or timed, and the writer of Lance's blocks and position streams. A state is a
pool of encoded lists, a few for each length; a call takes one of each, in any order. Everything is drawn with
whole numbers and square roots, which are exact, so that a seed gives the same bits on every machine.
"""

from __future__ import annotations

from bisect import bisect
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.uint32]
    Bytes = NDArray[np.uint8]
    Numbers = NDArray[np.int64]
    Part = tuple[Bytes, Numbers]
    """The bytes of a part of each row, one row after the other, and how many each row has."""

Call = tuple[Any, ...]
"""The arguments of `kernels.PostingDecoder.decode_lists` or of `.decode_positions`."""


class Shape(NamedTuple):
    """Postings of a block, what a call decodes, and of how many postings that is asked."""

    block: int
    part: str
    postings: int


SHAPES: Final = (
    Shape(128, "lists", 40_000),  # ids and frequencies of a query's words
    Shape(256, "lists", 40_000),
    Shape(128, "positions", 2_000),  # positions of the docs that a phrase is looked for in
    Shape(256, "positions", 1_501),  # the outlier: an odd number of docs
)
DISTRIBUTIONS: Final = ("scattered", "clustered", "zipf")
EDGE_DISTRIBUTIONS: Final = ("tails", "wide", "patched", "constant", "block_edges", "groups")

PATCHED: Final = 256
"""Blocks of so many postings have patches, and no maximum."""

MOST_PATCHES: Final = 31
"""A block of frequencies with more patches is never written."""

GROUP: Final = 128
"""Position differences that are packed together."""

QUERY: Final = (40, 25, 20, 10, 5)
"""The share of each of a query's words in all postings, in hundredths."""

VARIANTS: Final = {"zipf": 4}
MOST_VARIANTS: Final = 8
"""Lists of each rank in a pool; so many where `VARIANTS` has no other number."""

PIECES: Final = 24
"""Lists of a vocabulary that stay together: so many parts of it come in another order with every call."""

LISTED: Final = 16
"""Where positions are asked for, the lists have so many postings for each doc that is asked."""

ASKED_MORE: Final = (1, 4, 16)
"""Of a rare word most docs are asked, of a frequent one few: of a list this many times as many as of others."""

DOCS: Final = 200_000
RUN: Final = 50
"""Postings of a run of neighbouring docs, in the mean, where lists are clustered."""

WORDS: Final = 300
"""Positions of a doc, about."""

EDGE_LISTS: Final = 12
WIDE_SHARES: Final = (0, 0.01, 0.1, 0.12, 0.14)
"""Shares of wide frequencies in lists: of 256, none to more than the 31 that may be patched."""

LARGEST_ID: Final = 2**32 - 2
LARGEST: Final = 2**32 - 1
MOST_POSITIONS: Final = 200
"""The largest frequency where a doc's positions are written."""

ALIKE: Final = 300
"""Differences of positions that are all 0 or all 7, one after the other."""

VARINT_EDGES: Final = (1, 2, 127, 128, 129, 2**14 - 1, 2**14, 2**21 - 1, 2**21)


class Lists(NamedTuple):
    """Encoded lists, one after the other, as `kernels.PostingDecoder` says; without positions, no streams."""

    blocks: Bytes
    offsets: Numbers
    first_blocks: Numbers
    lengths: Numbers
    streams: Bytes
    stream_starts: Numbers


class State(NamedTuple):
    """What calls are made from: a pool of lists, the frequencies of all postings, and where each list's begin.

    Of R ranks, list number v R + r is variant v of rank r. Ranks pieces[p] to pieces[p + 1] - 1 stay together;
    pieces[-1] is R. The kernel is told `block` and `part` only.
    """

    block: int
    part: str
    pieces: Numbers
    pool: Lists
    frequencies: Ids
    starts: Numbers


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a pool whose calls have the published number of postings; what is never timed has 12 lists."""
    if distribution in EDGE_DISTRIBUTIONS:
        lengths = _edge_lengths(distribution, shape.block, rng)
        ids = [_edge_ids(distribution, length, rng) for length in lengths.tolist()]
        frequencies = _edge_frequencies(distribution, lengths, shape, rng)
        positions = _positions(distribution, frequencies, rng) if shape.part == "positions" else None
        pieces = np.arange(len(lengths) + 1)
        return state_of(shape.block, pieces, lengths, np.concatenate(ids), frequencies, positions)
    return _make_state(shape, distribution, shape.postings, rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a pool whose calls have a number of postings that is drawn, within 10 % of the published one."""
    if distribution in EDGE_DISTRIBUTIONS:
        return make_state(shape, distribution, rng)
    postings = int(rng.integers(shape.postings * 9 // 10, shape.postings * 11 // 10 + 1))
    return _make_state(shape, distribution, postings, rng)


def make_call(shape: Shape, _distribution: str, state: State, rng: np.random.Generator) -> Call:
    """Take one variant of each piece, in any order; where positions are asked, draw of which docs."""
    ranks = state.pieces[-1]
    order = rng.permutation(len(state.pieces) - 1)
    firsts = ranks * rng.integers(0, len(state.pool.lengths) // ranks, len(order))
    chosen = firsts[:, None] + np.stack((state.pieces[order], state.pieces[order + 1]), axis=1)
    return call_of(state, chosen, shape.postings, rng)


def call_of(state: State, chosen: Numbers, asked: int, rng: np.random.Generator) -> Call:
    """Return the arguments for the lists from each first to before each last; of their docs, `asked` or fewer.

    `chosen` are these firsts and lasts, (pieces, 2).
    """
    pool = state.pool
    of_blocks = pool.first_blocks[chosen]
    lengths = _rows(pool.lengths, chosen)
    lists = *_taken(pool.blocks, pool.offsets, of_blocks), _starts(_sizes(pool.first_blocks, chosen)), lengths
    if state.part == "lists":
        return lists
    shares = np.cumsum(lengths * rng.choice(ASKED_MORE, len(lengths)))
    asked_so_far = (shares * asked + rng.integers(0, shares[-1])) // shares[-1]
    counts = np.minimum(np.diff(asked_so_far, prepend=0), lengths)
    of_list = np.repeat(np.arange(len(counts)), counts)
    places = _distinct(counts, lengths, rng)
    docs = _rows(state.starts[:-1], chosen)[of_list] + places
    total = state.frequencies[docs].sum(dtype=np.int64)
    return *lists, *_taken(pool.streams, pool.stream_starts, of_blocks), of_list, places, int(total)


def state_of(
    block: int, pieces: Numbers, lengths: Numbers, ids: Ids, frequencies: Ids, positions: Ids | None
) -> State:
    """Encode lists, each of `lengths` postings: ids ascending, frequencies and as many positions each, or none.

    A block's maximal score, which no decoder reads, is its largest frequency.
    """
    indptr = _starts(lengths)
    first_blocks = _starts(-(-lengths // block))
    begins = _begins(indptr, block)
    heads = _as_bytes(np.maximum.reduceat(frequencies, begins).astype(np.float32))
    encoded = encode(indptr, ids, frequencies, heads[:, : 0 if block == PATCHED else 4], block)
    if positions is None:
        streams = np.empty(0, np.uint8), np.zeros(len(begins) + 1, np.int64)
    else:
        streams = encode_positions(np.add.reduceat(frequencies, begins, dtype=np.int64), frequencies, positions)
    part = "lists" if positions is None else "positions"
    return State(block, part, pieces, Lists(*encoded, first_blocks, lengths, *streams), frequencies, indptr)


def encode(indptr: Numbers, ids: Ids, frequencies: Ids, heads: Bytes, block: int) -> Part:
    """Write lists as Lance 14 does; return the blocks and where each begins.

    `heads`, (B, 4) or (B, 0), have the first bytes of each block. Whole blocks are packed, remainders are varints.
    """
    whole, left = np.divmod(np.diff(indptr), block)
    is_whole = _is_whole(np.diff(indptr), block)
    is_rest = _is_rest(whole, left)
    rows = (numbers[is_whole].reshape(-1, block) for numbers in (ids, frequencies))
    return _in_order(
        is_rest,
        _whole_blocks(heads[~is_rest], *rows),
        _remainders(heads[is_rest], ids[~is_whole], frequencies[~is_whole], left[left > 0]),
    )


def encode_positions(counts: Numbers, frequencies: Ids, positions: Ids) -> Part:
    """Write the positions of each block as Lance 14 does; return the streams and where each block's begins.

    `counts`, (B,), say how many positions a block has. Differences begin anew in each doc; whole groups of them
    are packed, a width before each, and remainders are varints.
    """
    differences = np.diff(positions, prepend=positions[:1])
    firsts = _starts(frequencies)[:-1]
    differences[firsts] = positions[firsts]
    whole, left = np.divmod(counts, GROUP)
    is_whole = _is_whole(counts, GROUP)
    groups = differences[is_whole].reshape(-1, GROUP)
    widths = _widths(groups.max(axis=1, initial=0))
    packed = _joined(_fixed(widths), _packed(groups, widths))
    rest = _varints(differences[~is_whole], left[left > 0])
    streams, starts = _in_order(_is_rest(whole, left), packed, rest)
    return streams, starts[_starts(whole + (left > 0))]


def _begins(indptr: Numbers, block: int) -> Numbers:
    """Return at which posting each block begins."""
    per_list = -(-np.diff(indptr) // block)
    before = _starts(per_list)
    return np.repeat(indptr[:-1] - block * before[:-1], per_list) + block * np.arange(before[-1])


def _is_whole(counts: Numbers, size: int) -> NDArray[np.bool_]:
    """Say of each number, of rows of `counts`, whether it is among those that fill pieces of `size`."""
    places = np.arange(counts.sum()) - np.repeat(_starts(counts)[:-1], counts)
    return places < np.repeat(counts - counts % size, counts)


def _is_rest(whole: Numbers, left: Numbers) -> NDArray[np.bool_]:
    """Say of each piece whether it is the remainder of its row, which has `whole` others."""
    ends = _starts(whole + (left > 0))
    is_rest = np.zeros(ends[-1], np.bool_)
    is_rest[ends[1:][left > 0] - 1] = True
    return is_rest


def _in_order(is_rest: NDArray[np.bool_], whole: Part, rest: Part) -> Part:
    """Put pieces that are whole and others into their order; return them and where each begins."""
    sizes = np.empty(len(is_rest), np.int64)
    sizes[~is_rest], sizes[is_rest] = whole[1], rest[1]
    is_rest_byte = np.repeat(is_rest, sizes)
    written = np.empty(is_rest_byte.size, np.uint8)
    written[~is_rest_byte], written[is_rest_byte] = whole[0], rest[0]
    return written, _starts(sizes)


def _whole_blocks(heads: Bytes, ids: Ids, frequencies: Ids) -> Part:
    """Write blocks of which each has a row: the first id, the width of the differences and they, then the counts.

    In blocks of 256 the width of the counts is the one that takes the fewest bytes; what is wider gives its higher
    bits as a patch behind them: a place, and a varint.
    """
    differences = np.diff(ids, axis=1, prepend=ids[:, :1])
    widths = _widths(differences.max(axis=1, initial=0))
    parts = [_fixed(heads), _fixed(_as_bytes(ids[:, 0])), _fixed(widths), _packed(differences, widths)]
    if ids.shape[1] != PATCHED:
        widths = _widths(frequencies.max(axis=1, initial=0))
        return _joined(*parts, _fixed(widths), _packed(frequencies, widths))
    widths = _patched_widths(frequencies)
    rows, places = np.nonzero(frequencies >> widths[:, None])
    highs = frequencies[rows, places] >> widths[rows]
    patches, sizes = _joined(_fixed(places), _varints(highs, np.ones_like(rows)))
    per_row = np.bincount(rows, minlength=len(ids))
    of_rows = np.bincount(rows, weights=sizes, minlength=len(ids)).astype(np.int64)
    return _joined(*parts, _fixed(widths), _fixed(per_row), _packed(frequencies, widths), (patches, of_rows))


def _remainders(heads: Bytes, ids: Ids, frequencies: Ids, counts: Numbers) -> Part:
    """Write the last `counts` postings of lists as varints: an id, differences, and then counts."""
    begins = _starts(counts)[:-1]
    differences = np.diff(ids, prepend=ids[:1])
    differences[begins] = ids[begins]
    return _joined(_fixed(heads), _varints(differences, counts), _varints(frequencies, counts))


def _fixed(values: NDArray[Any]) -> Part:
    """Return rows of bytes, or numbers below 256 of which each row has one, as a part."""
    rows = (
        values.astype(np.uint8).reshape(len(values), -1) if values.size else np.empty((len(values), 0), np.uint8)
    )
    return rows.ravel(), np.full(len(rows), rows.shape[1])


def _packed(rows: Ids, widths: Numbers) -> Part:
    """Pack the lowest bits of each row's numbers.

    Numbers i, i + L, i + 2 L ... of a row of 32 L fill a lane of 32-bit words from the lowest bit; the words of
    the L lanes alternate.
    """
    sizes = widths * (rows.shape[1] // 8)
    begins = _starts(sizes)
    packed = np.empty(begins[-1], np.uint8)
    for width in np.unique(widths[widths > 0]).tolist():
        chosen = np.flatnonzero(widths == width)
        lanes = (rows[chosen] & np.uint32(2**width - 1)).reshape(len(chosen), 32, -1)
        words = np.zeros((len(chosen), width, lanes.shape[2]), "<u4")
        for number in range(32):
            word, shift = divmod(number * width, 32)
            words[:, word] |= lanes[:, number] << np.uint32(shift)
            if shift + width > 32:
                words[:, word + 1] |= lanes[:, number] >> np.uint32(32 - shift)
        of_rows = words.reshape(len(chosen), -1).view(np.uint8)
        packed[begins[chosen, None] + np.arange(of_rows.shape[1])] = of_rows
    return packed, sizes


def _patched_widths(rows: Ids) -> Numbers:
    """Return the width of each row that takes the fewest bytes with its patches; of two the larger."""
    bits = _widths(rows)
    having = np.bincount((33 * np.arange(len(rows))[:, None] + bits).ravel(), minlength=33 * len(rows))
    having = having.reshape(-1, 33)  # how many numbers of each row have how many bits
    widths = bits.max(axis=1, initial=0)
    least = 32 * widths
    for width in range(31, -1, -1):
        too_wide = having[:, width + 1 :]
        sizes = 32 * width + too_wide @ (1 + -(-np.arange(1, 33 - width) // 7))
        better = (sizes < least) & (too_wide.sum(axis=1) <= MOST_PATCHES)
        widths[better], least[better] = width, sizes[better]
    return widths


def _varints(numbers: Ids, counts: Numbers) -> Part:
    """Write numbers seven bits a byte, lowest first; each row has as many of them as `counts` says."""
    sizes = sum((numbers >= 2**bits for bits in (7, 14, 21, 28)), np.ones(numbers.size, np.int64))
    begins = _starts(sizes)
    written = np.empty(begins[-1], np.uint8)
    at = begins[:-1]
    while numbers.size:
        goes_on = numbers > 127
        written[at] = numbers & 127 | goes_on * np.uint32(128)
        at, numbers = at[goes_on] + 1, numbers[goes_on] >> np.uint32(7)
    return written, np.diff(begins[_starts(counts)])


def _joined(*parts: Part) -> Part:
    """Put the bytes of each row's parts behind each other."""
    sizes = np.stack([of_rows for _, of_rows in parts], axis=1)
    owner = np.repeat(np.tile(np.arange(len(parts), dtype=np.uint8), len(sizes)), sizes.ravel())
    joined = np.empty(owner.size, np.uint8)
    for number, (written, _) in enumerate(parts):
        joined[owner == number] = written
    return joined, sizes.sum(axis=1)


def _as_bytes(values: NDArray[Any]) -> Bytes:
    """Return the bytes of each value of 4 bytes, as a row."""
    return values.astype(values.dtype.newbyteorder("<")).view(np.uint8).reshape(-1, 4)


def _widths(numbers: Ids) -> Numbers:
    """Return how many bits each number has."""
    return np.frexp(numbers)[1].astype(np.int64)


def _starts(counts: NDArray[Any]) -> Numbers:
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))


def _taken(written: Bytes, starts: Numbers, chosen: Numbers) -> Part:
    """Return the pieces from each first to before each last, where each begins, and the end behind them."""
    return _rows(written, starts[chosen]), _starts(_sizes(starts, chosen))


def _rows(values: NDArray[Any], chosen: Numbers) -> NDArray[Any]:
    """Return the values from each first to before each last."""
    return np.concatenate([values[first:last] for first, last in chosen.tolist()])


def _sizes(starts: Numbers, chosen: Numbers) -> Numbers:
    """Return how long the rows that begin at `starts` are, from each first to before each last."""
    return _rows(starts[1:], chosen) - _rows(starts[:-1], chosen)


def _make_state(shape: Shape, distribution: str, postings: int, rng: np.random.Generator) -> State:
    variants = VARIANTS.get(distribution, MOST_VARIANTS)
    listed = postings * LISTED if shape.part == "positions" else postings
    lengths = _lengths(distribution, listed)
    pieces = np.linspace(0, len(lengths), min(PIECES, len(lengths)) + 1).astype(np.int64)
    lengths = np.tile(rng.permutation(lengths), variants)
    if distribution == "clustered":
        ids = _clustered(lengths, rng)
    else:
        ids = _distinct(lengths, np.full(len(lengths), DOCS), rng).astype(np.uint32)
    frequencies = _frequencies(distribution, len(ids), rng)
    positions = _positions(distribution, frequencies, rng) if shape.part == "positions" else None
    return state_of(shape.block, pieces, lengths, ids, frequencies, positions)


def _lengths(distribution: str, postings: int) -> Numbers:
    """Return the length of each rank, so many postings together: of a query's words, or of a vocabulary's.

    In a vocabulary the r-th word has 1 / r of the first one's postings, down to one; the first has what is over.
    """
    if distribution == "zipf":
        lengths = _vocabulary(bisect(range(1, postings), postings, key=lambda words: _vocabulary(words).sum()))
    else:
        lengths = np.array([postings * share // 100 for share in QUERY])
    lengths[0] += postings - lengths.sum()
    return lengths


def _vocabulary(words: int) -> Numbers:
    return words // np.arange(1, words + 1)


def _distinct(counts: Numbers, below: Numbers, rng: np.random.Generator) -> Numbers:
    """Draw so many numbers for each row, each once and ascending, out of those below the row's limit."""
    rows = np.repeat(np.arange(len(counts)), counts) * below.max()
    drawn = rng.integers(0, np.repeat(below - counts, counts), endpoint=True)
    return np.sort(rows + drawn) - rows + _places(counts)


def _clustered(lengths: Numbers, rng: np.random.Generator) -> Ids:
    """Draw the docs of each list in runs of neighbours."""
    gap = DOCS // np.repeat(lengths, lengths)
    ends_a_run = rng.random(len(gap)) < 1 / RUN
    gaps = 1 + ends_a_run * rng.integers(0, 2 * RUN * gap)
    return summed(gaps, lengths)


def _frequencies(distribution: str, postings: int, rng: np.random.Generator) -> Ids:
    """Draw how often the word is in each doc: x times or more, up to 64, in one doc of x squared, or of x."""
    if distribution == "clustered":
        return (64 // rng.integers(1, 65, postings)).astype(np.uint32)
    return np.sqrt(4096 / rng.integers(1, 4097, postings)).astype(np.uint32)


def _positions(distribution: str, frequencies: Ids, rng: np.random.Generator) -> Ids:
    """Draw the positions of the word in each doc, ascending; at edges they may repeat."""
    of_position = np.repeat(frequencies.astype(np.int64), frequencies)
    if distribution == "constant":
        gaps = 7 * (np.arange(len(of_position)) // ALIKE % 2)
    elif distribution == "tails":
        gaps = rng.choice((0, *VARINT_EDGES), len(of_position))
    elif distribution == "wide":
        gaps = rng.integers(0, LARGEST // of_position, endpoint=True)
    else:
        gaps = rng.integers(1, 2 * WORDS // (of_position + 1) + 1, endpoint=True)
    return summed(gaps, frequencies)


def summed(gaps: Numbers, counts: NDArray[Any]) -> Ids:
    """Add gaps up, anew in each row of so many."""
    sums = np.cumsum(gaps)
    firsts = _starts(counts)[:-1]
    return (sums - np.repeat(sums[firsts] - gaps[firsts], counts)).astype(np.uint32)


def _places(counts: Numbers) -> Numbers:
    return np.arange(counts.sum()) - np.repeat(_starts(counts)[:-1], counts)


def _edge_lengths(distribution: str, block: int, rng: np.random.Generator) -> Numbers:
    """Return the lengths of lists: below a block, or around multiples of it."""
    if distribution == "tails":
        return np.array([1, 2, block - 1, *rng.integers(1, block, EDGE_LISTS - 3)])
    around = [number * block + more for number in (1, 2) for more in (-1, 0, 1)]
    return np.array([*around, 1, 2, 100, *rng.integers(block, 3 * block, EDGE_LISTS - len(around) - 3)])


def _edge_ids(distribution: str, length: int, rng: np.random.Generator) -> Ids:
    if distribution == "constant":
        return (rng.integers(0, LARGEST - length) + np.arange(length)).astype(np.uint32)
    if distribution == "wide":
        low, high = (np.sort(rng.permutation(2000)[:count]) for count in (length // 2, (length - 1) // 2))
        return np.concatenate((low, LARGEST_ID - 1 - high[::-1], [LARGEST_ID])).astype(np.uint32)
    gaps = rng.choice(VARINT_EDGES, length) if distribution == "tails" else rng.integers(1, 17, length)
    gaps[0] = rng.choice((0, 2**28 - 1, 2**28, 2**31, *VARINT_EDGES))
    return np.cumsum(gaps).astype(np.uint32)


def _edge_frequencies(distribution: str, lengths: Numbers, shape: Shape, rng: np.random.Generator) -> Ids:
    """Draw frequencies of any width, around 31 wide ones in 256, or of which 128 are reached again and again."""
    count = int(lengths.sum())
    frequencies = _frequencies("scattered", count, rng).astype(np.int64)
    if distribution == "constant":
        frequencies = np.repeat(rng.integers(1, 3, len(lengths)), lengths)
    elif distribution == "tails":
        frequencies = rng.choice((*VARINT_EDGES, 2**28 - 1, 2**28, LARGEST), count)
    elif distribution == "wide":
        frequencies = rng.integers(1, np.repeat(2 ** rng.integers(1, 33, len(lengths)), lengths))
    elif distribution == "patched":
        share = np.repeat(rng.permutation(np.resize(WIDE_SHARES, len(lengths))), lengths)
        wide = rng.random(count) < np.where(np.isin(_places(lengths) % PATCHED, (0, 255)), 4 * share, share)
        frequencies = np.where(wide, 2 ** rng.integers(3, 33, count) - 1, rng.integers(1, 4, count))
    elif distribution == "groups":
        frequencies = rng.choice((1, 1, 1, 1, 1, 2, 3, 63, 64, 65, 127, 128, 129, 256), count)
    most = MOST_POSITIONS if shape.part == "positions" else LARGEST
    return np.minimum(frequencies, most).astype(np.uint32)
