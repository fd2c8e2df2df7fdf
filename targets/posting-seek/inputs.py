"""The workload of posting-seek: shapes, distributions, and seeded generators of posting lists and traces.

Owns every number that is checked or timed, and the writer of Lance's blocks. Traces move as searches move a list:
most steps stay in the block, few go far. Sizes of jumps come from comparisons, products, quotients and square
roots, which are exact on every machine, so that a seed gives the same bits everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ids = NDArray[np.uint32]
    Bytes = NDArray[np.uint8]
    Numbers = NDArray[np.int64]
    Call = tuple[Numbers, Bytes, Ids]
    Part = tuple[Bytes, Numbers]
    """The bytes of a part of each row, one row after the other, and how many each row has."""


class Shape(NamedTuple):
    """Postings of a list, postings of a block, and what moves through the list: a key of `MOVES`."""

    postings: int
    block: int
    moves: str


class Plan(NamedTuple):
    """How many lists a state has, how many traces a call, and how many steps a trace."""

    lists: int
    traces: int
    steps: int


class Moves(NamedTuple):
    """What the steps are: which share of all is SHALLOW, which share of those after a NEXT is FREQ."""

    shallow: float
    counted: float


PLANS: Final = {
    Shape(100_000, 128, "wand"): Plan(10, 2, 4096),
    Shape(300_000, 128, "probe"): Plan(4, 2, 2048),
    Shape(60, 128, "tails"): Plan(2000, 256, 16),
    Shape(1_000_000, 256, "rare"): Plan(1, 2, 512),
    Shape(1_000_003, 256, "far"): Plan(1, 16, 32),  # the outlier
}
SHAPES: Final = tuple(PLANS)
DISTRIBUTIONS: Final = ("geometric", "clustered", "stride")
EDGE_DISTRIBUTIONS: Final = ("dense", "wide", "frequencies", "block_edges", "many_blocks", "backwards")

MOVES: Final = {
    "wand": Moves(0.4, 0.25),
    "tails": Moves(0.4, 0.25),
    "probe": Moves(0, 0.1),
    "rare": Moves(0, 0.1),
    "far": Moves(0, 0.1),
}
"""Shares measured in searches: WAND's on three words, and MAXSCORE's where it probes a list for candidates."""

NEXT, SHALLOW, FREQ = 0, 1, 2
PATCHED: Final = 256
"""Blocks of so many postings have patches, and no maximum."""

MOST_PATCHES: Final = 31
"""A block of frequencies with more patches is never written."""

DOC_GAP: Final = 8
"""Docs per posting, in the mean: the word is in every eighth doc."""

RUN: Final = 50
"""Postings of a run of neighbouring docs, in the mean, where lists are clustered."""

WAND_SHARES: Final = (0.36, 0.46)
"""Shares of jumps by 0 and by 1, of three words in 20,000 docs."""

LONGEST_JUMP: Final = 2500
UNIFORM_JUMPS: Final = {"rare": (64, 1025), "far": (2_000, 40_001)}
LARGEST_ID: Final = 2**32 - 2
LARGEST_TARGET: Final = 2**32 - 1
LARGEST_FREQUENCY: Final = 2**32 - 1
EDGE_STEPS: Final = 64
EDGE_JUMPS: Final = (0, 0, 1, 1, 2, 5, 30, 126, 127, 128, 129, 300)
EDGE_LISTS: Final = 12
GROUP: Final = 32
"""Blocks that Lance passes at once where a target is far."""


class State(NamedTuple):
    """Posting lists, encoded one after the other as `kernels.PostingLists` says, and what they hold.

    `ids`, uint32 (n,), has the doc ids of all lists; those of list i are ids[starts[i]:starts[i + 1]]. No kernel
    sees them, traces are made from them.
    """

    blocks: Bytes
    offsets: Numbers
    first_blocks: Numbers
    lengths: Numbers
    block: int
    ids: Ids
    starts: Numbers


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make lists of the published length; what is never timed has short lists of many lengths."""
    if distribution in EDGE_DISTRIBUTIONS:
        lengths = _edge_lengths(distribution, shape.block, rng)
        return state_of([_edge_list(distribution, length, rng) for length in lengths], shape.block)
    return _make_state(shape, distribution, shape.postings, rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make lists whose length is drawn, within 10 % of the published one."""
    postings = int(rng.integers(shape.postings * 9 // 10, shape.postings * 11 // 10 + 1))
    return _make_state(shape, distribution, postings, rng)


def make_call(shape: Shape, distribution: str, state: State, rng: np.random.Generator) -> Call:
    """Draw traces: the number of each one's list, int64 (B,), and its steps, uint8 and uint32 (B, T).

    The first step leads into the list. The last five are NEXT, FREQ, NEXT, FREQ and NEXT. In every second trace
    they find the last posting and its frequency, and no posting, twice; the last target is 0 then.
    """
    if distribution in EDGE_DISTRIBUTIONS:
        lists, size = rng.permutation(EDGE_LISTS), (EDGE_LISTS, EDGE_STEPS)
        jumps = rng.choice(EDGE_JUMPS, size)
        operations = rng.integers(0, 3, size, dtype=np.uint8)
    else:
        plan = PLANS[shape]
        lists, size = rng.integers(0, plan.lists, plan.traces), (plan.traces, plan.steps)
        jumps = _jumps(shape, size, rng)
        operations = _operations(MOVES[shape.moves], size, rng)
    operations[:, 0] = NEXT
    operations[:, -5:] = NEXT, FREQ, NEXT, FREQ, NEXT
    to_the_end = np.arange(len(lists)) % 2 == 1
    if distribution in ("block_edges", "many_blocks", "backwards"):
        targets = np.stack([_any_targets(distribution, state, number, rng) for number in lists])
    else:
        targets = _targets(state, lists, operations, jumps, to_the_end, rng)
    return lists, operations, targets


def state_of(lists: Sequence[tuple[Ids, Ids]], block: int) -> State:
    """Encode lists, each given as its ids, ascending, and its frequencies, at least 1; none is empty.

    A block's maximal score, which no step reads, is its largest frequency.
    """
    lengths = np.array([len(ids) for ids, _ in lists], np.int64)
    ids, frequencies = (np.concatenate(parts) for parts in zip(*lists, strict=True))
    starts = _starts(lengths)
    per_list = -(-lengths // block)
    first_blocks = _starts(per_list)
    begins = np.repeat(starts[:-1] - block * first_blocks[:-1], per_list) + block * np.arange(first_blocks[-1])
    heads = _as_bytes(np.maximum.reduceat(frequencies, begins).astype(np.float32))
    blocks, offsets = encode(starts, ids, frequencies, heads[:, : 0 if block == PATCHED else 4], block)
    return State(blocks, offsets, first_blocks, lengths, block, ids, starts)


def encode(indptr: Numbers, ids: Ids, frequencies: Ids, heads: Bytes, block: int) -> tuple[Bytes, Numbers]:
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


def _make_state(shape: Shape, distribution: str, postings: int, rng: np.random.Generator) -> State:
    count = PLANS[shape].lists
    lengths = rng.integers(1, 2 * postings, count).tolist() if shape.moves == "tails" else [postings] * count
    return state_of(
        [(_ids(distribution, length, rng), _frequencies(length, rng)) for length in lengths], shape.block
    )


def _ids(distribution: str, postings: int, rng: np.random.Generator) -> Ids:
    """Draw the docs of a word that is in about every eighth doc."""
    if distribution == "geometric":
        chosen = np.flatnonzero(rng.random(DOC_GAP * postings + 1000) < 1 / DOC_GAP)[:postings]
        if len(chosen) == postings:
            return chosen.astype(np.uint32)
        return _ids(distribution, postings, rng)
    gaps = np.full(postings, DOC_GAP)
    if distribution == "clustered":
        ends_a_run = rng.random(postings) < 1 / RUN
        gaps = 1 + ends_a_run * rng.integers(0, 2 * RUN * (DOC_GAP - 1), postings)
    return (rng.integers(0, 1000) + np.cumsum(gaps)).astype(np.uint32)


def _frequencies(postings: int, rng: np.random.Generator) -> Ids:
    """Draw how often the word is in each doc: x times or more, up to 64, in one doc of x squared."""
    return np.sqrt(4096 / rng.integers(1, 4097, postings)).astype(np.uint32)


def _edge_lengths(distribution: str, block: int, rng: np.random.Generator) -> Numbers:
    """Return the lengths of lists: around multiples of the block, or of many blocks."""
    if distribution == "many_blocks":
        most = [GROUP * block, GROUP * block + 1, 2 * GROUP * block - 1]
        return np.array([*most, *rng.integers(GROUP * block, 40 * block, EDGE_LISTS - len(most))])
    around = [number * block + more for number in (1, 2) for more in (-1, 0, 1)]
    return np.array([1, 2, 100, *around, 1000, 5 * block, 2011])


def _edge_list(distribution: str, length: int, rng: np.random.Generator) -> tuple[Ids, Ids]:
    frequencies = _frequencies(length, rng)
    if distribution == "dense":
        ids = rng.integers(0, 2**32 - 1 - length) + np.arange(length)
    elif distribution == "wide":
        near = rng.permutation(2 * length)[:length]
        ids = np.sort(np.where(rng.random(length) < 0.5, near, LARGEST_ID - near))
        ids[-1] = LARGEST_ID
    else:
        ids = np.sort(rng.permutation(4 * length)[:length])
    if distribution == "frequencies":
        frequencies = _edge_frequencies(length, rng)
    return ids.astype(np.uint32), frequencies


def _edge_frequencies(length: int, rng: np.random.Generator) -> Ids:
    """Draw frequencies: all 1, all the largest, of any width, or as many wide ones as a block has patches."""
    frequencies = np.full(length, LARGEST_FREQUENCY, np.uint32)
    kind = rng.integers(4)
    if kind == 0:
        frequencies[:] = 1
    elif kind > 1:
        frequencies >>= rng.integers(0, 32, length, dtype=np.uint32)
    if kind == 3:
        frequencies[rng.random(length) > MOST_PATCHES / PATCHED] = 1
    return frequencies


def _operations(moves: Moves, size: tuple[int, int], rng: np.random.Generator) -> Bytes:
    """Draw steps; FREQ comes after NEXT only."""
    operations = np.where(rng.random(size) < moves.shallow, SHALLOW, NEXT).astype(np.uint8)
    counted = (operations[:, :-1] == NEXT) & (rng.random((size[0], size[1] - 1)) < moves.counted)
    operations[:, 1:][counted] = FREQ
    return operations


def _jumps(shape: Shape, size: tuple[int, int], rng: np.random.Generator) -> Numbers:
    """Draw by how many postings each step moves.

    Those of WAND are 0 or 1 in most cases, those of MAXSCORE's probes half of them up to 7. The longer ones of
    both have a tail that falls as 1 / x, as it was measured.
    """
    if shape.moves in UNIFORM_JUMPS:
        return rng.integers(*UNIFORM_JUMPS[shape.moves], size)
    kind = 1 - rng.random(size)
    if shape.moves == "probe":
        return np.minimum(6 / kind - 5, LONGEST_JUMP).astype(np.int64)
    zero, one = WAND_SHARES
    left = kind / (1 - zero - one)  # of the longer ones, uniform in (0, 1]
    long = np.minimum(2 / left, LONGEST_JUMP).astype(np.int64)
    return np.where(kind > 1 - zero, 0, np.where(left > 1, 1, long))


def _targets(
    state: State,
    lists: Numbers,
    operations: Bytes,
    jumps: Numbers,
    to_the_end: NDArray[np.bool_],
    rng: np.random.Generator,
) -> Ids:
    """Return ascending targets that make the steps NEXT jump so far; a doc whose frequency is asked for is met.

    Other steps have the target of the NEXT after them.
    """
    jumps = jumps * (operations == NEXT)
    jumps[:, [0, -1, -3, -5]] = 0
    firsts, lasts = state.starts[lists, None], state.starts[lists + 1, None] - 1
    room = np.maximum(lasts - firsts - jumps.sum(axis=1, keepdims=True), 0)
    start = np.where(to_the_end[:, None], room, rng.integers(0, room + 1))
    places = np.minimum(firsts + start + np.cumsum(jumps, axis=1), lasts)
    places[to_the_end, -5:] = lasts[to_the_end]
    found = state.ids[places].astype(np.int64)
    before = np.where(places > firsts, state.ids[places - 1].astype(np.int64), -1)
    below = (rng.random(found.shape) * (found - before)).astype(np.int64)
    below[:, :-1][operations[:, 1:] == FREQ] = 0
    targets = np.maximum.accumulate(found - below, axis=1)
    targets[to_the_end, -3] += 1
    targets[to_the_end, -1] = 0
    steps = np.where(operations == NEXT, np.arange(operations.shape[1]), operations.shape[1])
    step_after = np.minimum.accumulate(steps[:, ::-1], axis=1)[:, ::-1]
    return np.take_along_axis(targets, step_after, axis=1).astype(np.uint32)


def _any_targets(distribution: str, state: State, number: int, rng: np.random.Generator) -> Ids:
    """Return targets beside the ends of blocks, ascending, or anywhere in any order; at last one beyond, and 0.

    In many blocks they are at or beside three ends, one of them that of a group.
    """
    ids = state.ids[state.starts[number] : state.starts[number + 1]].astype(np.int64)
    first, last = ids[:: state.block], ids[state.block - 1 :: state.block]
    around = np.append(ids, 0) if distribution == "backwards" else np.append(first, last)
    if distribution == "many_blocks":
        groups = np.append(first[GROUP::GROUP], last[GROUP - 1 :: GROUP])
        around = np.append(rng.choice(around, 2), rng.choice(groups)) + rng.choice((-1, 0, 0, 1), 3)
    targets = rng.choice(around, EDGE_STEPS)
    if distribution != "many_blocks":
        targets += rng.integers(-1, 2, EDGE_STEPS)
    if distribution != "backwards":
        targets.sort()
    targets = np.clip(targets, 0, ids[-1])
    targets[-3:] = LARGEST_TARGET, 0, 0
    return targets.astype(np.uint32)
