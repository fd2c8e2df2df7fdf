"""The workload of posting-seek: shapes, distributions, and seeded generators of posting lists and traces.

Owns every number that is checked or timed, and the writer of Lance's blocks. Traces move as WAND moves a list:
most steps go nowhere or to the next doc, few leave the block. Sizes of jumps come from comparisons, products,
quotients and square roots, which are exact on every machine, so that a seed gives the same bits everywhere.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ids = NDArray[np.uint32]
    Numbers = NDArray[np.int64]
    Call = tuple[Numbers, NDArray[np.uint8], Ids]


class Shape(NamedTuple):
    """Postings of a list, and what moves through it: WAND on 3 or 5 words, AND with a rare word, or far jumps."""

    postings: int
    moves: str


class Plan(NamedTuple):
    """How many lists a state has, how many traces a call, and how many steps a trace."""

    lists: int
    traces: int
    steps: int


PLANS: Final = {
    Shape(100_000, "wand3"): Plan(10, 2, 4096),
    Shape(300_000, "wand5"): Plan(4, 2, 4096),
    Shape(1_000_000, "rare"): Plan(1, 2, 512),
    Shape(1_000_003, "far"): Plan(1, 12, 64),  # the outlier
}
SHAPES: Final = tuple(PLANS)
DISTRIBUTIONS: Final = ("geometric", "clustered", "stride")
EDGE_DISTRIBUTIONS: Final = ("dense", "wide", "frequencies", "block_edges", "backwards")

BLOCK: Final = 128
NEXT, SHALLOW = 0, 1
DOC_GAP: Final = 8
"""Docs per posting, in the mean: the word is in every eighth doc."""

RUN: Final = 50
"""Postings of a run of neighbouring docs, in the mean, where lists are clustered."""

SHALLOW_SHARE: Final = 0.4
WAND_SHARES: Final = {"wand3": (0.36, 0.46), "wand5": (0.38, 0.38)}
"""Shares of jumps by 0 and by 1, of three words in 20,000 docs and of five words in 100,000."""

LONGEST_JUMP: Final = 2500
UNIFORM_JUMPS: Final = {"rare": (64, 1025), "far": (2_000, 40_001)}
LARGEST_ID: Final = 2**32 - 2
LARGEST_TARGET: Final = 2**32 - 1
LARGEST_FREQUENCY: Final = 2**32 - 1
EDGE_STEPS: Final = 64
EDGE_JUMPS: Final = (0, 0, 1, 1, 2, 5, 30, 126, 127, 128, 129, 300)
EDGE_LENGTHS: Final = (1, 2, 100, 127, 128, 129, 255, 256, 257, 1000, 1280, 2011)


class State(NamedTuple):
    """Posting lists, encoded one after the other as `kernels.PostingLists` says, and what they hold.

    `ids`, uint32 (n,), has the doc ids of all lists; those of list i are ids[starts[i]:starts[i + 1]]. No kernel
    sees them, traces are made from them.
    """

    blocks: NDArray[np.uint8]
    offsets: Numbers
    first_blocks: Numbers
    lengths: Numbers
    ids: Ids
    starts: Numbers


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make lists of the published length; what is never timed has short lists of many lengths."""
    if distribution in EDGE_DISTRIBUTIONS:
        return state_of([_edge_list(distribution, length, rng) for length in EDGE_LENGTHS])
    return _make_state(shape, distribution, shape.postings, rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make lists whose length is drawn, within 10 % of the published one."""
    postings = int(rng.integers(shape.postings * 9 // 10, shape.postings * 11 // 10 + 1))
    return _make_state(shape, distribution, postings, rng)


def make_call(shape: Shape, distribution: str, state: State, rng: np.random.Generator) -> Call:
    """Draw traces: the number of each one's list, int64 (B,), and its steps, uint8 and uint32 (B, T).

    A step is NEXT or SHALLOW, and a target. The first leads into the list. Every second trace ends with its list:
    the last step but one finds the last posting, the last step none.
    """
    if distribution in EDGE_DISTRIBUTIONS:
        lists, size = rng.permutation(len(state.lengths)), (len(state.lengths), EDGE_STEPS)
        jumps = rng.choice(EDGE_JUMPS, size)
    else:
        plan = PLANS[shape]
        lists, size = rng.integers(0, plan.lists, plan.traces), (plan.traces, plan.steps)
        jumps = _jumps(shape, size, rng)
    operations = (rng.random(size) < SHALLOW_SHARE).astype(np.uint8)
    operations[:, [0, -2, -1]] = NEXT
    targets = np.empty(size, np.uint32)
    for trace, number in enumerate(lists):
        ids = state.ids[state.starts[number] : state.starts[number + 1]]
        if distribution in ("block_edges", "backwards"):
            targets[trace] = _any_targets(distribution, ids, rng)
        else:
            targets[trace] = _targets(ids, operations[trace], jumps[trace], trace % 2 == 1, rng)
    return lists, operations, targets


def state_of(lists: Sequence[tuple[Ids, Ids]]) -> State:
    """Encode lists, each given as its ids, ascending, and its frequencies, at least 1; none is empty."""
    encoded = [encode(*each) for each in lists]
    blocks = b"".join(block for of_list in encoded for block in of_list)
    offsets = _starts([len(block) for of_list in encoded for block in of_list])
    lengths = np.array([len(ids) for ids, _ in lists], np.int64)
    ids = np.concatenate([ids for ids, _ in lists])
    return State(
        np.frombuffer(blocks, np.uint8), offsets, _starts(list(map(len, encoded))), lengths, ids, _starts(lengths)
    )


def encode(ids: Ids, frequencies: Ids) -> list[bytes]:
    """Return the blocks of a list as Lance writes them: of 128 postings, and one with the remainder.

    A block's maximal score, which no step reads, is its largest frequency.
    """
    whole = len(ids) // BLOCK * BLOCK
    rows = ids[:whole].reshape(-1, BLOCK)
    of_rows = frequencies[:whole].reshape(-1, BLOCK)
    scores = of_rows.max(axis=1, initial=0).astype("<f4")
    differences = np.diff(rows, axis=1, prepend=rows[:, :1])
    parts = zip(scores, rows[:, :1].astype("<u4"), _packed(differences), _packed(of_rows), strict=True)
    blocks = [b"".join((score.tobytes(), first.tobytes(), *packed)) for score, first, *packed in parts]
    if whole < len(ids):
        score = frequencies[whole:].max().astype("<f4")
        remainder = (ids[whole:].astype("<u4"), frequencies[whole:].astype("<u4"))
        blocks.append(b"".join(part.tobytes() for part in (score, *remainder)))
    return blocks


def _make_state(shape: Shape, distribution: str, postings: int, rng: np.random.Generator) -> State:
    lists = [_ids(distribution, postings, rng) for _ in range(PLANS[shape].lists)]
    return state_of([(ids, _frequencies(postings, rng)) for ids in lists])


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
    """Draw how often the word is in each doc: mostly once or twice, at most 8 times."""
    return np.uint32(8) // rng.integers(1, 9, postings, dtype=np.uint32)


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
        kind = rng.integers(3)
        frequencies[:] = 1 if kind == 0 else LARGEST_FREQUENCY
        if kind == 2:
            frequencies >>= rng.integers(0, 32, length, dtype=np.uint32)
    return ids.astype(np.uint32), frequencies


def _jumps(shape: Shape, size: tuple[int, int], rng: np.random.Generator) -> Numbers:
    """Draw by how many postings each step moves.

    In WAND most jumps are 0 or 1. The longer ones have a tail that falls as 1 / x, or as 1 / x**0.8, as it was
    measured for three words and for five.
    """
    if shape.moves in UNIFORM_JUMPS:
        return rng.integers(*UNIFORM_JUMPS[shape.moves], size)
    zero, one = WAND_SHARES[shape.moves]
    kind = rng.random(size)
    left = (1 - kind) / (1 - zero - one)  # of the longer ones, uniform in (0, 1]
    long = 2 / left if shape.moves == "wand3" else 2 / (left * np.sqrt(np.sqrt(left)))
    long = np.minimum(long, LONGEST_JUMP).astype(np.int64)
    return np.where(kind < zero, 0, np.where(left > 1, 1, long))


def _targets(
    ids: Ids, operations: NDArray[np.uint8], jumps: Numbers, to_the_end: bool, rng: np.random.Generator
) -> Ids:
    """Return ascending targets that make the steps NEXT jump so far; SHALLOW has the target of the step after."""
    jumps = jumps * (operations == NEXT)
    jumps[[0, -1]] = 0
    last = len(ids) - 1
    room = max(0, last - int(jumps.sum()))
    start = room if to_the_end else rng.integers(0, room + 1)
    places = np.minimum(start + np.cumsum(jumps), last)
    if to_the_end:
        places[-2:] = last
    found = ids[places].astype(np.int64)
    before = np.where(places > 0, ids[places - 1].astype(np.int64), -1)
    below = (rng.random(len(found)) * (found - before)).astype(np.int64)
    targets = np.maximum.accumulate(found - below)
    if to_the_end:
        targets[-1] = np.int64(ids[-1]) + 1
    steps = np.arange(len(operations))
    step_after = np.minimum.accumulate(np.where(operations == NEXT, steps, len(steps))[::-1])[::-1]
    return targets[step_after].astype(np.uint32)


def _any_targets(distribution: str, ids: Ids, rng: np.random.Generator) -> Ids:
    """Return targets beside the ends of blocks, ascending, or anywhere in any order; then one beyond the list."""
    if distribution == "block_edges":
        edges = np.append(ids[::BLOCK], ids[BLOCK - 1 :: BLOCK]).astype(np.int64)
        targets = np.sort(rng.choice(edges, EDGE_STEPS) + rng.integers(-1, 2, EDGE_STEPS))
    else:
        targets = rng.choice(np.append(ids, 0).astype(np.int64), EDGE_STEPS) + rng.integers(-1, 2, EDGE_STEPS)
    targets[-2:] = LARGEST_TARGET, 0
    return np.clip(targets, 0, [*[ids[-1]] * (EDGE_STEPS - 2), LARGEST_TARGET, LARGEST_TARGET]).astype(np.uint32)


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


def _starts(counts: Sequence[int] | Numbers) -> Numbers:
    return np.array(list(accumulate(counts, initial=0)), np.int64)
