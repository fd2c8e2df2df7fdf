"""Merging candidate runs into the k best rows of each query. The file that an agent edits.

A port of the algorithms that Lance 14.0.2 has from DataFusion: for runs as a heap leaves them, one for each delta
of an index, and for candidates whose distances were computed again, the top-k of `SortExec` over (_distance,
_rowid), a heap of k whose root is replaced (`ann` and `flat_knn` in rust/lance/src/dataset/scanner.rs); for sorted
runs the loser tree of `SortPreservingMergeExec`.

Stays: `topk_merge(dist, rowid, offsets, k, runs_sorted, descending)`, with the dtypes, shapes and order of results
that its docstring gives.

CAN: change the algorithm, for either kind of run, any size or k; pack keys; skip rows and runs that a bound proves
not to be among the k; use scratch memory of a call.
CANNOT: keep anything for a later call; use float comparisons where they lose NaN or -0.0; start threads or
processes; import anything but numba, numpy and the mathematics of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Keys = NDArray[np.uint32]
    RowIds = NDArray[np.uint64]
    Offsets = NDArray[np.int64]

ALL = np.uint32(0xFFFFFFFF)
NONE = np.uint32(0)
SIGN = np.uint32(0x80000000)


def topk_merge(
    dist: NDArray[np.float32],
    rowid: RowIds,
    offsets: Offsets,
    k: int,
    runs_sorted: bool,
    descending: bool,
) -> tuple[NDArray[np.float32], RowIds]:
    """Return the k best rows of every query, best first, one query after the other.

    Parameters
    ----------
    dist, rowid : float32 and uint64, shape (T,)
        The rows of all runs.
    offsets : int64, shape (Q, S + 1), C-contiguous
        Run s of query q is at offsets[q, s] to offsets[q, s + 1]; runs may be empty, S and Q 0.
    k : int
        At least 1.
    runs_sorted : bool
        Every run is in the order of the result. Otherwise it is in any order.
    descending : bool
        The largest keys first.

    Returns
    -------
    dist, rowid : float32 and uint64, shape (sum of min(k, rows of query q),)
        Ordered by key in IEEE's total order (ascending -NaN, -inf, ..., -0.0, 0.0, ..., inf, NaN), then by
        ascending row id. A row that occurs twice counts twice. Bits are those of the input.
    """
    bits, rowids = _merge(dist.view(np.uint32), rowid, offsets, k, runs_sorted, ALL if descending else NONE)
    return bits.view(np.float32), rowids


@njit()
def _merge(
    bits: Keys, rowid: RowIds, offsets: Offsets, k: int, runs_sorted: bool, flip: np.uint32
) -> tuple[Keys, RowIds]:
    queries, runs = offsets.shape[0], offsets.shape[1] - 1
    rows = 0
    for q in range(queries):
        rows += min(k, offsets[q, runs] - offsets[q, 0])
    keys = np.empty(rows, np.uint32)
    rowids = np.empty(rows, np.uint64)
    at = 0
    for q in range(queries):
        end = at + min(k, offsets[q, runs] - offsets[q, 0])
        if runs_sorted:
            _merge_sorted(bits, rowid, offsets[q], flip, keys[at:end], rowids[at:end])
        else:
            _select(bits, rowid, offsets[q, 0], offsets[q, runs], flip, keys[at:end], rowids[at:end])
        at = end
    for i in range(rows):
        keys[i] = _unordered(keys[i] ^ flip)
    return keys, rowids


@njit()
def _ordered(bits: np.uint32) -> np.uint32:
    """Return a whole number whose order is IEEE's total order of the float with these bits."""
    return bits ^ (ALL if bits & SIGN else SIGN)


@njit()
def _unordered(key: np.uint32) -> np.uint32:
    return key ^ (SIGN if key & SIGN else ALL)


@njit()
def _select(bits: Keys, rowid: RowIds, start: int, end: int, flip: np.uint32, keys: Keys, rowids: RowIds) -> None:
    """Keep the best rows in a max-heap, whose root is the worst of them; then sort it."""
    filled = 0
    for i in range(start, end):
        key = _ordered(bits[i]) ^ flip
        if filled < keys.size:
            keys[filled], rowids[filled] = key, rowid[i]
            _rise(keys, rowids, filled)
            filled += 1
        elif key < keys[0] or (key == keys[0] and rowid[i] < rowids[0]):
            keys[0], rowids[0] = key, rowid[i]
            _sink(keys, rowids, filled)
    for last in range(filled - 1, 0, -1):
        keys[0], keys[last] = keys[last], keys[0]
        rowids[0], rowids[last] = rowids[last], rowids[0]
        _sink(keys, rowids, last)


@njit()
def _rise(keys: Keys, rowids: RowIds, at: int) -> None:
    while at > 0:
        above = (at - 1) // 2
        if not _less(keys, rowids, above, at):
            break
        keys[at], keys[above] = keys[above], keys[at]
        rowids[at], rowids[above] = rowids[above], rowids[at]
        at = above


@njit()
def _sink(keys: Keys, rowids: RowIds, size: int) -> None:
    at = 0
    while 2 * at + 1 < size:
        below = 2 * at + 1
        if below + 1 < size and _less(keys, rowids, below, below + 1):
            below += 1
        if not _less(keys, rowids, at, below):
            break
        keys[at], keys[below] = keys[below], keys[at]
        rowids[at], rowids[below] = rowids[below], rowids[at]
        at = below


@njit()
def _less(keys: Keys, rowids: RowIds, one: int, other: int) -> bool:
    return keys[one] < keys[other] or (keys[one] == keys[other] and rowids[one] < rowids[other])


@njit()
def _merge_sorted(
    bits: Keys, rowid: RowIds, offsets: Offsets, flip: np.uint32, keys: Keys, rowids: RowIds
) -> None:
    """Take the best head of all runs, again and again, from a tree whose nodes hold the losers below them."""
    runs = offsets.size - 1
    next_row = offsets[:-1].copy()
    heads = np.empty(runs, np.uint32)
    losers = np.full(max(runs, 1), -1)  # losers[0] is the winner
    for run in range(runs):
        if next_row[run] < offsets[run + 1]:
            heads[run] = _ordered(bits[next_row[run]]) ^ flip
        winner, node = run, (runs + run) // 2
        while node > 0 and losers[node] >= 0:
            if _loses(winner, losers[node], heads, rowid, next_row, offsets):
                winner, losers[node] = losers[node], winner
            node //= 2
        losers[node] = winner
    for i in range(keys.size):
        winner = losers[0]
        keys[i], rowids[i] = heads[winner], rowid[next_row[winner]]
        next_row[winner] += 1
        if next_row[winner] < offsets[winner + 1]:
            heads[winner] = _ordered(bits[next_row[winner]]) ^ flip
        node = (runs + winner) // 2
        while node > 0:
            if _loses(winner, losers[node], heads, rowid, next_row, offsets):
                winner, losers[node] = losers[node], winner
            node //= 2
        losers[0] = winner


@njit()
def _loses(one: int, other: int, heads: Keys, rowid: RowIds, next_row: Offsets, offsets: Offsets) -> bool:
    """Whether the head of one run comes after that of the other; a run without rows left loses."""
    if next_row[one] == offsets[one + 1]:
        return True
    if next_row[other] == offsets[other + 1]:
        return False
    if heads[one] != heads[other]:
        return heads[one] > heads[other]
    return rowid[next_row[one]] > rowid[next_row[other]]
