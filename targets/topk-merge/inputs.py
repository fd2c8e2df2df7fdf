"""The workload of topk-merge: shapes, distributions, and seeded generators of candidate runs.

Owns every number that is checked or timed. A state is a pool of runs, made beforehand, from which calls are put
together; a kernel never sees it. A call is a batch of queries, each with its runs, one after the other.

Keys are drawn as numbers and moved as bits: adding a whole number to the bits of positive floats makes new floats
in the same order, with the same ties, on every machine.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bits = NDArray[np.uint32]
    RowIds = NDArray[np.uint64]


class Shape(NamedTuple):
    """Runs of a query (deltas of an index, S), rows of the longest, rows asked for (k), and queries of a call.

    A single run is what a refining step sorts: candidates in the order of their approximate distances.
    """

    runs: int
    rows: int
    k: int
    queries: int


SHAPES: Final = (
    Shape(4, 10, 10, 128),  # three deltas, and rows that are not indexed yet
    Shape(500, 10, 10, 8),  # a delta for every commit
    Shape(8, 100, 100, 16),  # k = 10 and a refine factor of 10: the candidates of the deltas
    Shape(1, 500, 10, 64),  # a refine factor of 50: the candidates, their distances computed again
    Shape(199, 10, 10, 21),  # runs of 0 to k rows
)
RAGGED: Final = SHAPES[-1]
DISTRIBUTIONS: Final = ("deltas", "quantised", "iid")
EDGE_DISTRIBUTIONS: Final = (
    "special_values",
    "all_equal",
    "short_runs",
    "reversed_runs",
    "duplicate_rowids",
    "extreme_rowids",
    "descending_scores",
)

POOL_ROWS: Final = 2**16
SHIFT: Final = 2**20
"""Bound of what is added to the bits of a query's keys: up to 12 % of a key."""

NANS: Final = (0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFFFFFFF)
INFINITIES: Final = (0x7F800000, 0xFF800000)
ZEROS: Final = (0x00000000, 0x80000000)
SUBNORMALS: Final = (0x00000001, 0x80000001)
SPECIAL_BITS: Final = np.array(
    (*NANS, *INFINITIES, *ZEROS, *SUBNORMALS, 0x7F7FFFFF, 0xFF7FFFFF, 0x3F800000, 0xBF800000),  # largest, one
    np.uint32,
)
EXTREME_ROWIDS: Final = np.array((0, 2**31, 2**32, 2**53, 2**63, 2**63 + 2**32), np.uint64)
"""Where narrower, signed or floating row ids go wrong; row ids are drawn around these, modulo 2**64."""


class State(NamedTuple):
    """A pool of V runs for each of S places, and how a call orders its keys.

    `bits` are the keys' bits, uint32 (2, V, S, rows), and `rowids` uint64 of the same shape: first as they arrive,
    then sorted. `lengths`, int64 (V, S), says how many rows of each run count. `runs_sorted` None: a call draws
    it.
    """

    bits: Bits
    rowids: RowIds
    lengths: NDArray[np.int64]
    runs_sorted: bool | None
    descending: bool


Call = tuple["NDArray[np.float32]", "RowIds", "NDArray[np.int64]", int, bool, bool]


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a pool for the published number of runs."""
    return make_pool(distribution, shape, shape == RAGGED, rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a pool for numbers of runs and of rows that are drawn, within 10 % of the published ones."""
    runs, rows = (int(rng.integers(-(-number * 9 // 10), number * 11 // 10 + 1)) for number in shape[:2])
    return make_pool(distribution, shape._replace(runs=runs, rows=rows), shape == RAGGED, rng)


def make_pool(distribution: str, shape: Shape, ragged: bool, rng: np.random.Generator) -> State:
    """Make runs of the shape's rows; all of them full unless `ragged`."""
    size = (max(8, POOL_ROWS // max(shape.runs * shape.rows, 256)), shape.runs, shape.rows)
    descending = distribution == "descending_scores"
    bits, rowids = _bits(distribution, size, rng), _rowids(distribution, size, rng)
    order = np.lexsort((rowids, ordered(bits, descending)), axis=-1)
    arranged = np.stack((_arrival(distribution, order, rng), order))
    return State(
        np.take_along_axis(bits[None], arranged, axis=-1),
        np.take_along_axis(rowids[None], arranged, axis=-1),
        _lengths(distribution, size, shape.k, ragged, rng),
        None if distribution in EDGE_DISTRIBUTIONS else distribution == "iid" and shape.runs > 1,
        descending,
    )


def make_call(shape: Shape, distribution: str, state: State, rng: np.random.Generator) -> Call:
    """Make the runs of some queries.

    Returns
    -------
    dist, rowid : float32 and uint64, shape (T,)
        The rows of all runs, query after query, run after run.
    offsets : int64, shape (Q, S + 1)
        Run s of query q is at offsets[q, s] to offsets[q, s + 1].
    k, runs_sorted, descending : int, bool, bool
    """
    _, pool, runs, _ = state.bits.shape
    runs_sorted = bool(rng.integers(2)) if state.runs_sorted is None else state.runs_sorted
    chosen = rng.integers(0, pool, (shape.queries, runs)) * runs + np.arange(runs)
    lengths = state.lengths.reshape(-1).take(chosen)
    bits, rowid = _chosen_rows(state.bits[int(runs_sorted)], state.rowids[int(runs_sorted)], chosen, lengths)
    offsets = _offsets(lengths)
    if distribution not in EDGE_DISTRIBUTIONS:
        shifts = rng.integers(0, SHIFT, shape.queries, dtype=np.uint32)
        bits += np.repeat(shifts, offsets[:, -1] - offsets[:, 0])
    return bits.view(np.float32), rowid, offsets, shape.k, runs_sorted, state.descending


def ordered(bits: Bits, descending: bool) -> Bits:
    """Return whole numbers in the order asked for, IEEE's total order of float32 or its reverse."""
    ascending = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return ~ascending if descending else ascending


def _bits(distribution: str, size: tuple[int, int, int], rng: np.random.Generator) -> Bits:
    """Draw the keys of runs, (V, S, rows)."""
    _, runs, rows = size
    if distribution == "special_values":
        return rng.choice(SPECIAL_BITS, size)
    if distribution == "descending_scores":
        scores = np.floor(32 * rng.random(size, dtype=np.float32)).view(np.uint32)
        return np.where(rng.random(size) < 0.05, rng.choice(SPECIAL_BITS, size), scores)
    if distribution == "deltas":
        keys = 1 + rng.exponential(size=size).cumsum(axis=-1) / _delta_sizes(size, rng)
    elif distribution in ("quantised", "extreme_rowids"):  # about four rows of a query at each distance
        levels = max(runs * rows // 4, 1)
        keys = 1 + rng.integers(0, levels, size) / levels
    elif distribution == "iid":
        keys = 1 + rng.random(size)
    elif distribution == "all_equal":
        keys = np.ones(size)
    elif distribution == "reversed_runs":  # the last run is the nearest
        keys = rng.standard_normal(size) - np.arange(runs)[:, None]
    else:  # ties within runs and across them
        keys = np.rint(4 * rng.standard_normal(size))
    return keys.astype(np.float32).view(np.uint32)


def _delta_sizes(size: tuple[int, int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw how densely each delta's rows lie, (V, S, 1): the largest, a half of it, a third ... in any order."""
    pool, runs, rows = size
    ranks = rng.permuted(np.tile(np.arange(1.0, runs + 1), (pool, 1)), axis=1)
    return runs * rows / ranks[..., None]


def _rowids(distribution: str, size: tuple[int, int, int], rng: np.random.Generator) -> RowIds:
    """Draw row addresses, a fragment above an offset; no two places of a query share one."""
    _, runs, rows = size
    if distribution == "extreme_rowids":
        return rng.choice(EXTREME_ROWIDS, size) + rng.integers(0, 1000, size, dtype=np.uint64) - np.uint64(500)
    if distribution == "duplicate_rowids":
        return rng.integers(0, max(runs * rows // 8, 1), size, dtype=np.uint64)
    offsets = (
        rng.integers(0, 2**20, size, dtype=np.uint64) * np.uint64(runs) + np.arange(runs, dtype=np.uint64)[:, None]
    )
    return rng.integers(0, 100, size, dtype=np.uint64) << np.uint64(32) | offsets


def _lengths(
    distribution: str, size: tuple[int, int, int], k: int, ragged: bool, rng: np.random.Generator
) -> NDArray[np.int64]:
    pool, runs, rows = size
    if distribution == "short_runs":  # about k rows in all, often fewer
        return np.where(rng.random((pool, runs)) * runs < 2, rng.integers(0, min(rows, k) + 1, (pool, runs)), 0)
    if ragged:
        return rng.integers(0, rows + 1, (pool, runs))
    return np.full((pool, runs), rows)


def _arrival(distribution: str, order: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Rearrange sorted places, (V, S, rows), as they arrive."""
    _, runs, rows = order.shape
    if distribution == "reversed_runs":
        return order[..., ::-1]
    if runs == 1:  # a distance and its approximation differ by a fifth of the ranks
        approximate = np.arange(rows) + rng.normal(0, rows / 5, order.shape)
        return np.take_along_axis(order, approximate.argsort(axis=-1), axis=-1)
    return _heap_order(order, rng)


def _heap_order(order: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Rearrange sorted places as a max-heap's array has them: the largest first, the rest loosely."""
    flat = order.reshape(-1, order.shape[-1])
    shuffled = rng.permuted(np.tile(np.arange(flat.shape[1]), (len(flat), 1)), axis=1)
    heaps = (-shuffled).tolist()
    for heap in heaps:
        heapq.heapify(heap)
    ranks = -np.array(heaps, np.int64).reshape(flat.shape)
    return np.take_along_axis(flat, ranks, axis=1).reshape(order.shape)


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where the runs of each query, (Q, S), begin and end, (Q, S + 1)."""
    queries, runs = lengths.shape
    offsets = np.zeros((queries, runs + 1), np.int64)
    np.cumsum(lengths, axis=1, out=offsets[:, 1:])
    offsets[1:] += offsets[:-1, -1:].cumsum(axis=0)
    return offsets


def _chosen_rows(
    bits: Bits, rowids: RowIds, chosen: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[Bits, RowIds]:
    """Return the first rows of the chosen runs of a pool, (V, S, rows), one run after the other."""
    width = bits.shape[-1]
    if (lengths == width).all():
        bits, rowids = (pool.reshape(-1, width).take(chosen, axis=0) for pool in (bits, rowids))
        return bits.reshape(-1), rowids.reshape(-1)
    chosen, lengths = chosen.reshape(-1), lengths.reshape(-1)
    ends = lengths.cumsum()
    rows = np.repeat(chosen * width - ends + lengths, lengths) + np.arange(ends[-1])
    return bits.reshape(-1).take(rows), rowids.reshape(-1).take(rows)
