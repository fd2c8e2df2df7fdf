"""The workload of posting-intersect: shapes, distributions, and seeded generators of posting lists.

Owns every number that is checked or timed, and the writer of Lance's blocks. Lists of the timed cases are cut out
of streams, lists twice as long as needed: a new piece of each, encoded beforehand, costs little to make. Whatever
decides which doc is in which list is compared or added, never rounded, so that a seed gives the same bits on every
machine.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ids = NDArray[np.uint32]
    Bytes = NDArray[np.uint8]
    Numbers = NDArray[np.int64]
    Part = tuple[Bytes, Numbers]
    """The bytes of a part of each row, one row after the other, and how many each row has."""

Call = tuple[Any, ...]
"""The arguments of `kernels.intersect`."""


class Shape(NamedTuple):
    """Docs that the lists span, lengths of a query's lists, ascending, and postings of a block."""

    docs: int
    lengths: str
    block: int


QUERIES: Final = {
    Shape(1_000_000, "50000+50000", 128): 1,
    Shape(1_000_000, "5000+50000+200000", 128): 1,
    Shape(200_000, "20000+40000+60000+80000+100000", 256): 1,
    Shape(1_000_000, "200+500000", 256): 4,  # the outlier: rare words, each with the same common one
}
"""Queries of one call, per shape. Each has a first list of its own; they share the others."""

SHAPES: Final = tuple(QUERIES)
DISTRIBUTIONS: Final = ("uniform", "clustered", "correlated")
EDGE_DISTRIBUTIONS: Final = (
    "interleaved",
    "apart",
    "identical",
    "nested",
    "consecutive",
    "wide",
    "block_edges",
    "many_blocks",
    "short",
)

PATCHED: Final = 256
"""Blocks of so many postings have patches, and no maximum."""

MOST_PATCHES: Final = 31
"""A block of frequencies with more patches is never written."""

SHARED: Final = {"clustered": 0.5, "correlated": 0.9}
"""The share of a list that comes from the next longer one: docs, or the topics that docs are clustered in."""

TOPIC_DOCS: Final = 50
IN_TOPIC: Final = 0.9
"""The share of a topic's docs that have its words."""

ROOM: Final = 16_384
"""The output has a multiple of so many ids, 64 KiB: from there on it is handed to the kernel, not copied."""

FAR: Final = 70
"""Blocks of the longest list where blocks are many: more than two groups of the 32 that Lance passes at once."""

LARGEST_ID: Final = 2**32 - 2


class Stream(NamedTuple):
    """A list to take pieces of: `ids`, ascending, and `frequencies`, uint32 (n,), and its encoded blocks."""

    ids: Ids
    frequencies: Ids
    blocks: Bytes
    offsets: Numbers


class State(NamedTuple):
    """What calls are made from: `streams`, the usual `lengths` of the pieces, and `ends`, docs to end at.

    Such a doc is an answer, so that the last block of a list counts. No kernel sees the state: all lists arrive
    with the call, in blocks of `block`.
    """

    block: int
    streams: tuple[Stream, ...]
    lengths: tuple[int, ...]
    ends: Ids


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make the streams of the published lengths; edge cases need none."""
    if distribution in EDGE_DISTRIBUTIONS:
        return bare_state(shape.block)
    return _make_state(shape, distribution, _lengths(shape), rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make streams for lists whose lengths are drawn, each within 10 % of the published one."""
    lengths = [int(rng.integers(length * 9 // 10, length * 11 // 10 + 1)) for length in _lengths(shape)]
    return _make_state(shape, distribution, lengths, rng)


def make_call(shape: Shape, distribution: str, state: State, rng: np.random.Generator) -> Call:
    """Draw lists and the queries on them; the lists of a query come in any order."""
    first, others = QUERIES[shape], len(_lengths(shape)) - 1
    queries = np.empty((first, others + 1), np.int64)
    queries[:, 0] = np.arange(first)
    queries[:, 1:] = np.arange(first, first + others)
    queries = rng.permuted(queries, axis=1)
    if not state.streams:
        draw = _far_lists if distribution == "many_blocks" else partial(_edge_lists, distribution)
        lists = [_whole(ids, state.block, rng) for ids in draw(first + others, state.block, rng)]
    else:
        end = state.ends[rng.integers(len(state.ends))]
        lists = _pieces(state, end, rng)
    return call_of(state.block, lists, queries, rng)


def bare_state(block: int) -> State:
    """Return a state without streams; calls are made from lists that come from elsewhere."""
    return State(block, (), (), np.zeros(0, np.uint32))


def call_of(block: int, lists: Sequence[Stream], queries: NDArray[np.int64], rng: np.random.Generator) -> Call:
    """Return the arguments for `queries`, int64 (Q, K), on `lists`; the output is filled with noise."""
    lengths = np.array([len(each.ids) for each in lists], np.int64)
    most = int(lengths[queries].min(axis=1).sum())
    out = rng.integers(0, 2**32, ROOM * max(1, -(-most // ROOM)), dtype=np.uint32)
    offsets = _starts(np.concatenate([np.diff(each.offsets) for each in lists]))
    blocks = np.concatenate([each.blocks for each in lists])
    first_ids = np.concatenate([each.ids[::block] for each in lists])
    first_blocks = _starts(-(-lengths // block))
    return blocks, offsets, first_ids, first_blocks, lengths, block, queries, out


def encode(ids: Ids, frequencies: Ids, block: int) -> Stream:
    """Write a list as Lance does; ids ascending, frequencies 1 or more."""
    heads = _heads(frequencies, np.arange(0, len(ids), block), block)
    return Stream(ids, frequencies, *_encode(np.array([0, len(ids)]), ids, frequencies, heads, block))


def _lengths(shape: Shape) -> list[int]:
    return [int(length) for length in shape.lengths.split("+")]


def _make_state(shape: Shape, distribution: str, lengths: Sequence[int], rng: np.random.Generator) -> State:
    """Make the streams; `lengths` has one length for each list of a query."""
    first = QUERIES[shape]
    each = (*lengths[:1] * first, *lengths[1:])
    docs = 2 * shape.docs
    members = _members(distribution, docs, [length / shape.docs for length in each], first, rng)
    streams = tuple(_whole(np.flatnonzero(member).astype(np.uint32), shape.block, rng) for member in members)
    answers = np.flatnonzero(np.any(members[:first], axis=0) & np.all(members[first:], axis=0))
    return State(shape.block, streams, each, answers[answers >= shape.docs].astype(np.uint32))


def _members(
    distribution: str, docs: int, densities: Sequence[float], first: int, rng: np.random.Generator
) -> list[NDArray[np.bool_]]:
    """Draw which docs are in each list, bool (docs,); clustered lists take whole topics, less a few docs."""
    shared = SHARED.get(distribution)
    if distribution != "clustered":
        return _chosen(docs, densities, first, shared, rng)
    topics = np.cumsum(rng.random(docs) < 1 / TOPIC_DOCS)
    chosen = _chosen(topics[-1] + 1, [density / IN_TOPIC for density in densities], first, shared, rng)
    return [of_topic[topics] & (rng.random(docs) < IN_TOPIC) for of_topic in chosen]


def _chosen(
    count: int, shares: Sequence[float], first: int, shared: float | None, rng: np.random.Generator
) -> list[NDArray[np.bool_]]:
    """Choose a share of `count` items for each list, bool (count,), from the last list to the first.

    Of a list's items `shared` are in the list after it, or as many as chance puts there; of the `first` lists,
    which are never asked for together, in the one after them all.
    """
    chosen = [rng.random(count) < shares[-1]]
    for number in reversed(range(len(shares) - 1)):
        longer = max(number + 1, first)
        inside = shares[longer] if shared is None else shared
        share_inside = inside * shares[number] / shares[longer]
        share_outside = (1 - inside) * shares[number] / (1 - shares[longer])
        chance = np.where(chosen[longer - number - 1], share_inside, share_outside)
        chosen.insert(0, rng.random(count) < chance)
    return chosen


def _whole(ids: Ids, block: int, rng: np.random.Generator) -> Stream:
    """Give a list frequencies, x or more, up to 64, in one doc of x squared, and encode it."""
    return encode(ids, np.sqrt(4096 / rng.integers(1, 4097, len(ids))).astype(np.uint32), block)


def _pieces(state: State, end: np.uint32, rng: np.random.Generator) -> list[Stream]:
    """Cut out a list of each stream, of about the usual length, within 1 %, whose last id is the last up to `end`.

    Blocks are copied as they are, so it begins where a block does, up to a block less one ids earlier.
    """
    stops = [int(np.searchsorted(stream.ids, end, side="right")) for stream in state.streams]
    lengths = [int(rng.integers(length * 99 // 100, length * 101 // 100 + 1)) for length in state.lengths]
    lasts = _last_blocks(state, stops)
    return [_piece(*each, state.block) for each in zip(state.streams, stops, lengths, lasts, strict=True)]


def _last_blocks(state: State, stops: Sequence[int]) -> list[Bytes]:
    """Write what each stream has between the last begin of a block and its stop; no bytes where nothing is."""
    counts = np.array(stops) % state.block
    bounds = [(stop - count, stop) for stop, count in zip(stops, counts.tolist(), strict=True)]
    ids, frequencies = (
        np.concatenate([values[first:last] for values, (first, last) in zip(parts, bounds, strict=True)])
        for parts in zip(*(stream[:2] for stream in state.streams), strict=True)
    )
    some = counts > 0
    heads = _heads(frequencies, _starts(counts[some])[:-1], state.block)
    sizes = np.zeros(len(counts), np.int64)
    written, sizes[some] = _remainders(heads, ids, frequencies, counts[some])
    return np.split(written, np.cumsum(sizes)[:-1])


def _piece(stream: Stream, stop: int, length: int, last: Bytes, block: int) -> Stream:
    """Cut out a list of `length` ids or, at its begin, a few more, before `stop`; its last block is given."""
    start = max(0, stop - length)
    start -= start % block
    offsets = stream.offsets[start // block : stop // block + 1]
    blocks = np.concatenate((stream.blocks[offsets[0] : offsets[-1]], last))
    offsets = offsets - offsets[0]
    if last.size:
        offsets = np.append(offsets, blocks.size)
    return Stream(stream.ids[start:stop], stream.frequencies[start:stop], blocks, offsets)


def _edge_lists(distribution: str, count: int, block: int, rng: np.random.Generator) -> list[Ids]:
    """Draw lists that break kernels; a few docs are in all of them, so that no answer is empty."""
    around = [number * block + more for number in (1, 2) for more in (-1, 0, 1)]
    lengths = rng.choice([*around, 300, 640, 1000], count)
    common = rng.integers(0, 1000, 3)
    lists: list[NDArray[Any]] = []
    if distribution == "interleaved":
        lists = [np.union1d(np.arange(length) * count + number, common) for number, length in enumerate(lengths)]
    elif distribution == "apart":
        for start, length in zip(np.cumsum(lengths) - lengths, lengths, strict=True):
            lists.append(np.append(start + np.arange(length), lengths.sum() + 7))
    elif distribution == "identical":
        lists = [_distinct(4 * lengths[0], lengths[0], rng)] * count
    elif distribution == "nested":
        lists = [_distinct(4000, 1000, rng)]
        for length in np.sort(lengths)[:0:-1]:
            lists.append(np.sort(rng.permutation(lists[-1])[:length]))
    elif distribution == "consecutive":
        lists = [rng.integers(0, 50) * (number > 0) + np.arange(length) for number, length in enumerate(lengths)]
    elif distribution == "wide":
        for length in lengths:
            low, high = _distinct(2000, length // 2, rng), LARGEST_ID - _distinct(2000, length // 2, rng)
            lists.append(np.union1d(np.union1d(low, high), (0, LARGEST_ID)))
    elif distribution == "block_edges":
        for number, length in enumerate(lengths):
            places = np.arange(length)
            lists.append(16 * places + (number + 1) * (places % block % (block - 1) > 0))
    else:
        lists = [np.union1d(_distinct(12, rng.integers(0, 5), rng), common[:1]) for _ in lengths]
    return [each.astype(np.uint32) for each in lists]


def _far_lists(count: int, block: int, rng: np.random.Generator) -> list[Ids]:
    """Draw a list of many blocks, the last, and others of few ids, at or beside the ends of its blocks.

    Those have most of their ids in common; which of these the longest list has, and which not, is chance.
    """
    longest = np.cumsum(rng.integers(1, 4, FAR * block - 1))
    edges = np.append(longest[::block], longest[block - 1 :: block])
    shared = np.append(rng.choice(edges, 8) + rng.integers(-1, 2, 8), rng.choice(edges, 4))
    lists = [np.union1d(shared, rng.choice(edges, 2)) for _ in range(count - 1)]
    return [each.astype(np.uint32) for each in (*lists, longest)]


def _distinct(count: int, length: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.sort(rng.permutation(count)[:length])


def _encode(indptr: Numbers, ids: Ids, frequencies: Ids, heads: Bytes, block: int) -> tuple[Bytes, Numbers]:
    """Write lists as Lance 14 does; return the blocks and where each begins.

    `heads`, (B, 4) or (B, 0), have the first bytes of each block. Whole blocks are packed, remainders are varints.
    """
    counts = np.diff(indptr)
    whole, left = np.divmod(counts, block)
    is_whole = np.arange(ids.size) - np.repeat(indptr[:-1], counts) < np.repeat(whole * block, counts)
    is_rest = np.zeros(len(heads), np.bool_)
    is_rest[_starts(whole + (left > 0))[1:][left > 0] - 1] = True
    rows = (numbers[is_whole].reshape(-1, block) for numbers in (ids, frequencies))
    packed, packed_sizes = _whole_blocks(heads[~is_rest], *rows)
    rest, rest_sizes = _remainders(heads[is_rest], ids[~is_whole], frequencies[~is_whole], left[left > 0])
    sizes = np.empty(len(heads), np.int64)
    sizes[is_rest], sizes[~is_rest] = rest_sizes, packed_sizes
    is_rest_byte = np.repeat(is_rest, sizes)
    blocks = np.empty(is_rest_byte.size, np.uint8)
    blocks[is_rest_byte], blocks[~is_rest_byte] = rest, packed
    return blocks, _starts(sizes)


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


def _heads(frequencies: Ids, begins: Numbers, block: int) -> Bytes:
    """Return the first bytes of the blocks that begin there, (B, 4) or (B, 0).

    A block's maximal score, which no intersection reads, is its largest frequency.
    """
    maxima = np.maximum.reduceat(frequencies, begins) if begins.size else begins
    return _as_bytes(maxima.astype(np.float32))[:, : 0 if block == PATCHED else 4]


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
    sizes = _varint_sizes(numbers)
    begins = _starts(sizes)
    written = np.empty(begins[-1], np.uint8)
    at = begins[:-1]
    while numbers.size:
        goes_on = numbers > 127
        written[at] = numbers & 127 | goes_on * np.uint32(128)
        at, numbers = at[goes_on] + 1, numbers[goes_on] >> np.uint32(7)
    return written, np.diff(begins[_starts(counts)])


def _varint_sizes(numbers: Ids) -> Numbers:
    return sum((numbers >= 2**bits for bits in (7, 14, 21, 28)), np.ones(numbers.size, np.int64))


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


def _starts(counts: Numbers) -> Numbers:
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
