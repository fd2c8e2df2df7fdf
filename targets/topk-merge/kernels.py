"""Merging candidate runs into the k best rows of each query. The file that an agent edits.

What makes it fast: no heap and no tree, for either kind of run. The keys of a query are one array of whole
numbers; the least key of each of 64 groups, or 512 where k is large, costs one instruction for 16 rows, and the
k-th smallest of these is a limit that at least k rows keep. Comparisons of 64 keys with the limit leave words of
bits, which name hardly more rows than k. The place of each of these in the answer is the number of the others
that are better, again by comparisons of 64, so that nothing is guessed wrong; row ids are looked at where keys
are equal.

In Rust: `_mm512_min_epu32`, `_mm512_cmple_epu32_mask` and `_mm512_cmplt_epu32_mask`, or four times as many of
128 bits. Lance 14.0.2 has from DataFusion, for runs as a heap leaves them, the top-k of `SortExec` over
(_distance, _rowid), a heap of k whose root is replaced (`ann` and `flat_knn` in
rust/lance/src/dataset/scanner.rs), and for sorted runs the loser tree of `SortPreservingMergeExec`;
`benchmarks/ports/topk-merge/kernels.py` is a port of both.

Stays: `topk_merge(dist, rowid, offsets, k, runs_sorted, descending)`, with the dtypes, shapes and order of results
that its docstring gives.

CAN: change the algorithm, for either kind of run, any size or k; pack keys; skip rows and runs that a bound proves
not to be among the k; use scratch memory of a call.
CANNOT: keep anything for a later call; use float comparisons where they lose NaN or -0.0; start threads or
processes; import anything but numba, llvmlite.ir, numpy and the mathematics of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Keys = NDArray[np.uint32]
    RowIds = NDArray[np.uint64]
    Offsets = NDArray[np.int64]
    Places = NDArray[np.int64]

ALL = np.uint32(0xFFFFFFFF)
NONE = np.uint32(0)
SIGN = np.uint32(0x80000000)
LANES = 64
"""The keys that are compared at once. Keys of a query are filled up with the largest to a multiple of it."""
GROUPS = 8 * LANES
"""The most groups of rows whose least key is kept."""
MOST_RANKED = 1024
"""More rows than these, or than 4 k and a vector's, are not compared each with each: a heap takes the best of
them."""


def topk_merge(
    dist: NDArray[np.float32],
    rowid: RowIds,
    offsets: Offsets,
    k: int,
    runs_sorted: bool,  # both kinds are merged in the same way
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
    bits, rowids = _merge(dist.view(np.uint32), rowid, offsets, k, ALL if descending else NONE)
    return bits.view(np.float32), rowids


@njit
def _merge(bits: Keys, rowid: RowIds, offsets: Offsets, k: int, flip: np.uint32) -> tuple[Keys, RowIds]:
    rows, longest = 0, 0
    for q in range(len(offsets)):
        size = offsets[q, -1] - offsets[q, 0]
        rows += min(k, size)
        longest = max(longest, size)
    best, rowids = np.empty(rows, np.uint32), np.empty(rows, np.uint64)
    keys, places = np.empty(longest + LANES, np.uint32), np.empty(longest, np.int64)
    minima = np.empty(GROUPS, np.uint32)
    at = 0
    for q in range(len(offsets)):
        start, size = offsets[q, 0], offsets[q, -1] - offsets[q, 0]
        end = at + min(k, size)
        for i in range(size):
            keys[i] = _ordered(bits[start + i]) ^ flip
        keys[size : size + LANES] = ALL
        count = _select(keys, size, k, minima, places)
        candidates = rowid[start : start + size]
        if count <= min(4 * k + LANES, MOST_RANKED):
            _rank(keys, count, candidates, places, best[at:end], rowids[at:end])
        else:
            _select_by_heap(keys, count, candidates, places, best[at:end], rowids[at:end])
        at = end
    for i in range(rows):
        best[i] = _unordered(best[i] ^ flip)
    return best, rowids


@njit
def _ordered(bits: np.uint32) -> np.uint32:
    """Return a whole number whose order is IEEE's total order of the float with these bits."""
    return bits ^ (ALL if bits & SIGN else SIGN)


@njit
def _unordered(key: np.uint32) -> np.uint32:
    return key ^ (SIGN if key & SIGN else ALL)


@njit
def _select(keys: Keys, size: int, k: int, minima: Keys, places: Places) -> int:
    """Move the keys that may be among the k best to the front, and their places to `places`; return how many.

    All of them, where there are too few rows for groups, or k is too large for them.
    """
    limit = ALL
    groups = LANES if 4 * k <= LANES else GROUPS
    if 2 * k <= groups < size:
        minima[:groups] = ALL
        for start in range(0, size, LANES):
            _lower(minima, start % groups, keys, start)
        limit = _kth(minima[:groups], k)
    count = 0
    for start in range(0, size, LANES):
        mask = _at_most(keys, start, limit)
        while mask:
            place = start + _lowest_bit(mask)
            if place < size:
                keys[count], places[count] = keys[place], place
                count += 1
            mask &= mask - np.uint64(1)
    keys[count : count + LANES] = ALL
    return count


@njit
def _kth(minima: Keys, k: int) -> np.uint32:
    """Return the k-th smallest, found bit by bit."""
    found = np.uint32(0)
    for bit in range(31, -1, -1):
        limit = np.uint32(found | np.uint32((1 << bit) - 1))
        count = 0
        for start in range(0, minima.size, LANES):
            count += _number_of_bits(_at_most(minima, start, limit))
        if count < k:
            found |= np.uint32(1 << bit)
    return found


@njit
def _rank(keys: Keys, count: int, rowid: RowIds, places: Places, best: Keys, rowids: RowIds) -> None:
    """Put every row that is among the best where it belongs: behind those that are better.

    Of equal keys the smaller row id is better, and of the same row what comes first.
    """
    for i in range(count):
        rank, own = 0, rowid[places[i]]
        for start in range(0, count, LANES):
            less = _less(keys, start, keys[i])
            rank += _number_of_bits(less)
            equal = _at_most(keys, start, keys[i]) & ~less
            while equal:
                other = start + _lowest_bit(equal)
                if other < count:
                    rank += rowid[places[other]] < own or (rowid[places[other]] == own and other < i)
                equal &= equal - np.uint64(1)
        if rank < best.size:
            best[rank], rowids[rank] = keys[i], own


@njit
def _select_by_heap(keys: Keys, count: int, rowid: RowIds, places: Places, best: Keys, rowids: RowIds) -> None:
    """Keep the best rows in a max-heap, whose root is the worst of them; then sort it."""
    size = best.size
    for i in range(count):
        key, own = keys[i], rowid[places[i]]
        if i < size:
            best[i], rowids[i] = key, own
            if i == size - 1:
                for at in range(size // 2 - 1, -1, -1):
                    _sink(best, rowids, at, size)
        elif key < best[0] or (key == best[0] and own < rowids[0]):
            best[0], rowids[0] = key, own
            _sink(best, rowids, 0, size)
    for last in range(size - 1, 0, -1):
        best[0], best[last] = best[last], best[0]
        rowids[0], rowids[last] = rowids[last], rowids[0]
        _sink(best, rowids, 0, last)


@njit
def _sink(best: Keys, rowids: RowIds, at: int, size: int) -> None:
    """Let a row that may be better than those below it sink in a heap of that size."""
    while 2 * at + 1 < size:
        below = 2 * at + 1
        if below + 1 < size and _is_better(best, rowids, below, below + 1):
            below += 1
        if not _is_better(best, rowids, at, below):
            break
        best[at], best[below] = best[below], best[at]
        rowids[at], rowids[below] = rowids[below], rowids[at]
        at = below


@njit
def _is_better(best: Keys, rowids: RowIds, one: int, other: int) -> bool:
    return best[one] < best[other] or (best[one] == best[other] and rowids[one] < rowids[other])


VECTOR = ir.VectorType(ir.IntType(32), LANES)
PLACE = ir.IntType(64)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:
    """Where in an array a vector begins, as a pointer to it."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), VECTOR.as_pointer())


def _compared(operator: str) -> Any:
    """Return the comparison of keys[start : start + 64] with a key, a bit for each."""

    @intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
    def compared(typingctx: Any, keys: Any, start: Any, key: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            found = builder.load(_pointer(context, builder, signature.args[0], *arguments[:2]), align=4)
            vector = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), arguments[2], ir.IntType(32)(0))
            repeated = builder.shuffle_vector(vector, vector, ir.Constant(VECTOR, [0] * LANES))
            return builder.bitcast(builder.icmp_unsigned(operator, found, repeated), PLACE)

        return types.uint64(keys, start, types.uint32), codegen

    return compared


_less = _compared("<")
_at_most = _compared("<=")


@intrinsic  # type: ignore[untyped-decorator]
def _lower(typingctx: Any, minima: Any, group: Any, keys: Any, start: Any) -> Any:
    """minima[group : group + 64] = the smaller of them and of keys[start : start + 64]."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        least = _pointer(context, builder, signature.args[0], *arguments[:2])
        found = builder.load(_pointer(context, builder, signature.args[2], *arguments[2:]), align=4)
        so_far = builder.load(least, align=4)
        builder.store(builder.select(builder.icmp_unsigned("<", so_far, found), so_far, found), least, align=4)
        return context.get_dummy_value()

    return types.void(minima, group, keys, start), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _lowest_bit(typingctx: Any, mask: Any) -> Any:
    """The place of the lowest bit of a mask that is not 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.uint64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _number_of_bits(typingctx: Any, mask: Any) -> Any:
    """How many bits of a mask are set."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), codegen
