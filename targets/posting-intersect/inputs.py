"""The workload of posting-intersect: shapes, distributions, and seeded generators of posting lists.

Owns every number that is checked or timed, and the writer of Lance's blocks. Lists of the timed cases are cut out
of streams, lists twice as long as needed: a new piece of each, encoded beforehand, costs little to make. Whatever
decides which doc is in which list is compared or added, never rounded, so that a seed gives the same bits on every
machine.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ids = NDArray[np.uint32]
    Bytes = NDArray[np.uint8]
    Offsets = NDArray[np.int64]

Call = tuple[Any, ...]
"""The arguments of `kernels.intersect` or of `kernels.intersect_blocks`."""


class Shape(NamedTuple):
    """Docs that the lists span, lengths of a query's lists, ascending, and how they arrive: as ids or blocks."""

    docs: int
    lengths: str
    form: str


QUERIES: Final = {
    Shape(1_000_000, "50000+50000", "ids"): 1,
    Shape(200_000, "20000+40000+60000+80000+100000", "ids"): 1,
    Shape(1_000_000, "5000+50000+200000", "blocks"): 1,
    Shape(1_000_000, "200+500000", "blocks"): 12,  # the outlier: rare words, each with the same common one
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
    "short",
)

BLOCK: Final = 128
SHARED: Final = {"clustered": 0.5, "correlated": 0.9}
"""The share of a list that comes from the next longer one: docs, or the topics that docs are clustered in."""

TOPIC_DOCS: Final = 50
IN_TOPIC: Final = 0.9
"""The share of a topic's docs that have its words."""

ROOM: Final = 16_384
"""The output has a multiple of so many ids, 64 KiB: from there on it is handed to the kernel, not copied."""

EDGE_LENGTHS: Final = (127, 128, 129, 255, 256, 257, 300, 640, 1000)
LARGEST_ID: Final = 2**32 - 2


class Stream(NamedTuple):
    """One list of which pieces are used: `ids`, ascending, and `frequencies`, uint32 (n,), and its encoded blocks.

    The blocks are empty where lists arrive as ids.
    """

    ids: Ids
    frequencies: Ids
    blocks: Bytes
    offsets: Offsets


class State(NamedTuple):
    """What calls are made from: `streams`, the usual `lengths` of the pieces, and `ends`, docs to end at.

    Such a doc is an answer, so that the last block of a list counts. No kernel sees the state: all lists arrive
    with the call, in its `form`.
    """

    form: str
    streams: tuple[Stream, ...]
    lengths: tuple[int, ...]
    ends: Ids


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make the streams of the published lengths; edge cases need none."""
    if distribution in EDGE_DISTRIBUTIONS:
        return bare_state(shape.form)
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
        lists = [_whole(ids, state.form, rng) for ids in _edge_lists(distribution, first + others, rng)]
    else:
        end = state.ends[rng.integers(len(state.ends))]
        lists = [_piece(*each, end, state.form, rng) for each in zip(state.streams, state.lengths, strict=True)]
    return call_of(state.form, lists, queries, rng)


def bare_state(form: str) -> State:
    """Return a state without streams; calls are made from lists that come from elsewhere."""
    return State(form, (), (), np.zeros(0, np.uint32))


def call_of(form: str, lists: Sequence[Stream], queries: NDArray[np.int64], rng: np.random.Generator) -> Call:
    """Return the arguments for `queries`, int64 (Q, K), on `lists`; the output is filled with noise."""
    lengths = np.array([len(each.ids) for each in lists], np.int64)
    most = int(lengths[queries].min(axis=1).sum())
    out = rng.integers(0, 2**32, ROOM * max(1, -(-most // ROOM)), dtype=np.uint32)
    if form == "ids":
        return np.concatenate([each.ids for each in lists]), _starts(lengths), queries, out
    counts = [len(each.offsets) - 1 for each in lists]
    sizes = accumulate((int(each.offsets[-1]) for each in lists), initial=0)
    offsets = [each.offsets[:-1] + size for each, size in zip(lists, sizes, strict=False)]
    offsets.append(np.array([sum(len(each.blocks) for each in lists)]))
    blocks = np.concatenate([each.blocks for each in lists])
    first_ids = np.concatenate([each.ids[::BLOCK] for each in lists])
    return blocks, np.concatenate(offsets), first_ids, _starts(counts), lengths, queries, out


def encode(ids: Ids, frequencies: Ids) -> Stream:
    """Write a list as Lance does, in blocks of 128 and a remainder; ids ascending.

    A block's maximal score, which no intersection reads, is its largest frequency.
    """
    whole = len(ids) // BLOCK * BLOCK
    blocks = _encode_whole(ids[:whole].reshape(-1, BLOCK), frequencies[:whole].reshape(-1, BLOCK))
    if whole < len(ids):
        blocks.append(_encode_remainder(ids[whole:], frequencies[whole:]))
    offsets = np.array(list(accumulate(map(len, blocks), initial=0)), np.int64)
    return Stream(ids, frequencies, np.frombuffer(b"".join(blocks), np.uint8), offsets)


def _lengths(shape: Shape) -> list[int]:
    return [int(length) for length in shape.lengths.split("+")]


def _make_state(shape: Shape, distribution: str, lengths: Sequence[int], rng: np.random.Generator) -> State:
    """Make the streams; `lengths` has one length for each list of a query."""
    first = QUERIES[shape]
    each = (*lengths[:1] * first, *lengths[1:])
    docs = 2 * shape.docs
    members = _members(distribution, docs, [length / shape.docs for length in each], first, rng)
    streams = tuple(_whole(np.flatnonzero(member).astype(np.uint32), shape.form, rng) for member in members)
    answers = np.flatnonzero(np.any(members[:first], axis=0) & np.all(members[first:], axis=0))
    return State(shape.form, streams, each, answers[answers >= shape.docs].astype(np.uint32))


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


def _whole(ids: Ids, form: str, rng: np.random.Generator) -> Stream:
    """Give a list frequencies, most of them 1 or 2 and some up to 8, and encode it if that is its form."""
    frequencies = np.uint32(8) // rng.integers(1, 9, len(ids), dtype=np.uint32)
    if form == "blocks":
        return encode(ids, frequencies)
    return Stream(ids, frequencies, np.zeros(0, np.uint8), np.zeros(1, np.int64))


def _piece(stream: Stream, length: int, end: np.uint32, form: str, rng: np.random.Generator) -> Stream:
    """Cut out a list of about `length` ids, within 1 %, whose last is the last up to `end`.

    Blocks are copied as they are, so such a list begins where a block does, up to 127 ids earlier.
    """
    stop = int(np.searchsorted(stream.ids, end, side="right"))
    start = max(0, stop - int(rng.integers(length * 99 // 100, length * 101 // 100 + 1)))
    if form == "ids":
        return stream._replace(ids=stream.ids[start:stop])
    start -= start % BLOCK
    whole = stop - stop % BLOCK
    offsets = stream.offsets[start // BLOCK : whole // BLOCK + 1]
    blocks = stream.blocks[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    if whole < stop:
        remainder = _encode_remainder(stream.ids[whole:stop], stream.frequencies[whole:stop])
        blocks = np.concatenate((blocks, np.frombuffer(remainder, np.uint8)))
        offsets = np.append(offsets, len(blocks))
    return Stream(stream.ids[start:stop], stream.frequencies[start:stop], blocks, offsets)


def _edge_lists(distribution: str, count: int, rng: np.random.Generator) -> list[Ids]:
    """Draw lists that break kernels; a few docs are in all of them, so that no answer is empty."""
    lengths = rng.choice(EDGE_LENGTHS, count)
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
            lists.append(16 * places + (number + 1) * (places % BLOCK % (BLOCK - 1) > 0))
    else:
        lists = [np.union1d(_distinct(12, rng.integers(0, 5), rng), common[:1]) for _ in lengths]
    return [each.astype(np.uint32) for each in lists]


def _distinct(count: int, length: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.sort(rng.permutation(count)[:length])


def _encode_whole(ids: Ids, frequencies: Ids) -> list[bytes]:
    """Return blocks of 128, given as rows, (m, 128)."""
    firsts = ids[:, :1].astype("<u4")
    scores = frequencies.max(axis=1, initial=0).astype("<f4")
    differences = np.diff(ids, axis=1, prepend=ids[:, :1])
    parts = zip(scores, firsts, _packed(differences), _packed(frequencies), strict=True)
    return [b"".join((score.tobytes(), first.tobytes(), *packed)) for score, first, *packed in parts]


def _encode_remainder(ids: Ids, frequencies: Ids) -> bytes:
    score = frequencies.max().astype("<f4")
    return b"".join((score.tobytes(), ids.astype("<u4").tobytes(), frequencies.astype("<u4").tobytes()))


def _packed(rows: Ids) -> list[bytes]:
    """Pack rows of 128 numbers, each with the bits that its largest needs, after a byte that says how many.

    Numbers i, i + 4, i + 8 ... fill a lane of 32-bit words from the lowest bit; the words of the lanes alternate.
    """
    packed = [b""] * len(rows)
    widths = np.frexp(rows.max(axis=1, initial=0))[1]
    for width in np.unique(widths):
        chosen = np.flatnonzero(widths == width)
        little = rows[chosen].astype("<u4").reshape(-1, BLOCK // 4, 4, 1).view(np.uint8)
        bits = np.unpackbits(little, axis=3, count=int(width), bitorder="little").swapaxes(1, 2)
        lanes = np.packbits(bits.reshape(len(chosen), 4, -1), axis=2, bitorder="little")
        words = lanes.reshape(len(chosen), 4, width, 4).swapaxes(1, 2)
        for number, of_row in zip(chosen, words, strict=True):
            packed[number] = bytes([width]) + of_row.tobytes()
    return packed


def _starts(counts: Sequence[int] | Offsets) -> Offsets:
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
