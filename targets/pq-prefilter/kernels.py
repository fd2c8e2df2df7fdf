"""Nearest of the rows that a filter allows, over product-quantised partitions. The file that an agent edits.

What makes it fast: no table where a partition has few allowed rows, whose squared differences are added up out of
the codebook; nothing at all where it has none. A row's codes lie side by side, so that an allowed row touches one
or two cache lines and not one for each sub-space. Where a table is worth it, the entries of all 256 centroids of a
sub-space are added up side by side, and stay in 16 vectors over all of its dimensions.

In Rust: `_mm512_fmadd_ps` with 16 sums in registers, and for a row without a table the lanes of a sub-vector; no
instruction is needed that not all processors have. Lance 14.0.2 makes a table for every partition that it probes,
also where no row is allowed, and reads the M codes of a row a column apart: `preprocess_query`
(rust/lance/src/index/vector/ivf/v2.rs), `build_distance_table_l2` (rust/lance-index/src/vector/pq/distance.rs),
`PQDistCalculator::distance` (vector/pq/storage.rs there) and `accumulate_filtered_topk_with_scratch`
(vector/storage.rs); `benchmarks/ports/pq-prefilter/kernels.py` is a port of that, bit for bit.
Here distances are summed in another order than Lance's, so their last bits differ.

Stays: `PqPrefilterKernel(codebook, codes, offsets, centroids)` and `top_k(query, allowed, k)`, with the dtypes,
shapes and order of results that their docstrings give.

CAN: keep any layout and any sums of the codebook, the codes and the centroids that `__init__` derives; choose for
each partition, by the rows that are allowed there, between a gather, a scan of all rows, and sums without a
table; change the order of summation; expand the square, and build one table for all partitions; use fastmath,
blocking, another selection, scratch memory.
CANNOT: keep anything that depends on a call's arguments for a later call; start threads or processes; use
float16; import anything but numba, llvmlite.ir, numpy and the mathematics of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Codes = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]
    Numbers = NDArray[np.int64]

CENTROIDS = 256
FEW = 24
"""Allowed rows of a partition for which a table takes longer than the squares of their differences."""
TURNED = 64
"""Rows whose codes are laid out together."""
ANY_ORDER = {"contract", "reassoc", "nsz"}
"""For fastmath: sums in any order, but NaN and infinity stay what they are."""
LARGEST = np.finfo(np.float32).max


class PqPrefilterKernel:
    """Top-k search among some of `n` rows, which lie in P partitions.

    Parameters
    ----------
    codebook : float32, shape (M, 256, sd), C-contiguous
        The centroids of each of the M sub-spaces; sd dimensions each.
    codes : uint8, shape (M * n,)
        One partition after the other. The n_p rows of a partition are (M, n_p): column m holds, for every row,
        its centroid in sub-space m. A row's centroids together are its residual: the row less the centroid of its
        partition.
    offsets : int64, shape (P + 1,)
        The first row of each partition, and n. A partition may be empty.
    centroids : float32, shape (P, M * sd), C-contiguous
        The middle of each partition.
    """

    def __init__(self, codebook: Floats, codes: Codes, offsets: Numbers, centroids: Floats) -> None:
        self._codebook = codebook
        self._by_dimension = np.ascontiguousarray(codebook.transpose(0, 2, 1))
        self._rows = np.empty_like(codes)
        _turn(codes, offsets, len(codebook), self._rows)
        self._offsets = offsets
        self._centroids = centroids

    def top_k(self, query: Floats, allowed: Ids, k: int) -> tuple[Ids, Floats]:
        """Search for `query`, float32 (M * sd,), among the rows `allowed`, uint32 (a,), ascending.

        A row's number counts from the first of all n, so that the rows of partition p are
        `offsets[p] <= row < offsets[p + 1]`.

        Returns
        -------
        ids : uint32, shape (r,)
            The k >= 1 nearest of the allowed rows, ascending by (distance, id).
        distances : float32, shape (r,)
            Their squared distances. A row whose distance is NaN, or the largest float32 and more, is never found:
            r is k, or the number of the allowed rows that have a distance, if that is less.
        """
        codebook, by_dimension = self._codebook, self._by_dimension
        return _top_k(codebook, by_dimension, self._rows, self._offsets, self._centroids, query, allowed, k)


@njit()
def _turn(codes: Codes, offsets: Numbers, sub_vectors: int, rows: Codes) -> None:
    """Write the codes of each row side by side, to `rows`, which has as many bytes."""
    for p in range(offsets.size - 1):
        first, count = offsets[p] * sub_vectors, offsets[p + 1] - offsets[p]
        for start in range(0, count, TURNED):
            for m in range(sub_vectors):
                column = first + m * count
                at = np.uint64(first + start * sub_vectors + m)
                for code in codes[column + start : column + min(start + TURNED, count)]:
                    rows[at] = code
                    at += np.uint64(sub_vectors)


@njit()
def _top_k(
    codebook: Floats,
    by_dimension: Floats,
    codes: Codes,
    offsets: Numbers,
    centroids: Floats,
    query: Floats,
    allowed: Ids,
    k: int,
) -> tuple[Ids, Floats]:
    """Search one partition after the other, with one heap for all of them."""
    heap = np.empty(min(k, allowed.size), np.float32)  # a max-heap: heap[0] is the farthest of the rows kept
    ids = np.empty(min(k, allowed.size), np.uint32)
    table, distances = np.empty((len(codebook), CENTROIDS), np.float32), np.empty(allowed.size, np.float32)
    kept, start = np.int64(0), np.int64(0)
    for p in range(offsets.size - 1):
        stop = start + np.searchsorted(allowed[start:], offsets[p + 1])
        if stop > start:
            rows, residual = allowed[start:stop], query - centroids[p]
            if rows.size <= FEW:
                _add_differences(codebook, codes, residual, rows, distances)
            else:
                for m in range(len(codebook)):
                    _add_squares(by_dimension, m, residual, table)
                _add_entries(table.reshape(-1), codes, rows, distances)
            kept = _keep_nearest(rows, distances, heap, ids, kept)
        start = stop
    _sort(heap[:kept], ids[:kept])
    return ids[:kept], heap[:kept]


@njit(fastmath=ANY_ORDER)
def _add_differences(codebook: Floats, codes: Codes, residual: Floats, rows: Ids, distances: Floats) -> None:
    """Fill `distances` with those of the rows, without a table."""
    sub_vectors, _, length = codebook.shape
    for i in range(rows.size):
        at, place, distance = np.uint64(rows[i]) * np.uint64(sub_vectors), np.uint64(0), np.float32(0)
        for m in range(sub_vectors):
            centroid = codebook[m, codes[at]]
            for d in range(length):
                difference = residual[place] - centroid[d]
                distance += difference * difference
                place += np.uint64(1)
            at += np.uint64(1)
        distances[i] = distance


@njit()  # with sums in any order LLVM gathers entries, which takes longer than one after the other
def _add_entries(table: Floats, codes: Codes, rows: Ids, distances: Floats) -> None:
    """Fill `distances` with those of the rows, one entry of the table for each sub-space."""
    sub_vectors = np.uint64(table.size // CENTROIDS)
    for i in range(rows.size):
        at, entries, distance = np.uint64(rows[i]) * sub_vectors, np.uint64(0), np.float32(0)
        for _ in range(sub_vectors):
            distance += table[entries + np.uint64(codes[at])]
            entries += np.uint64(CENTROIDS)
            at += np.uint64(1)
        distances[i] = distance


@njit()
def _keep_nearest(rows: Ids, distances: Floats, heap: Floats, ids: Ids, kept: int) -> int:
    """Take rows into the heap, which holds `kept` rows; return how many it holds then."""
    for i in range(rows.size):
        distance = distances[i]
        if not -LARGEST <= distance < LARGEST:
            continue
        if kept < heap.size:
            heap[kept], ids[kept] = distance, rows[i]
            _rise(heap, ids, kept)
            kept += 1
        elif heap[0] > distance:
            _remove_root(heap, ids)
            heap[kept - 1], ids[kept - 1] = distance, rows[i]
            _rise(heap, ids, kept - 1)
    return kept


@njit()
def _rise(heap: Floats, ids: Ids, at: int) -> None:
    while at > 0 and heap[at] > heap[(at - 1) // 2]:
        above = (at - 1) // 2
        heap[at], heap[above] = heap[above], heap[at]
        ids[at], ids[above] = ids[above], ids[at]
        at = above


@njit()
def _remove_root(heap: Floats, ids: Ids) -> None:
    """Leave the last place free, by the steps of Rust's BinaryHeap: they decide which of equals goes."""
    last = ids.size - 1
    heap[0], ids[0] = heap[last], ids[last]
    at, below = 0, 1
    while below < last:
        if below + 1 < last and heap[below] <= heap[below + 1]:
            below += 1
        heap[at], heap[below] = heap[below], heap[at]
        ids[at], ids[below] = ids[below], ids[at]
        at, below = below, 2 * below + 1
    _rise(heap, ids, at)


@njit()
def _sort(distances: Floats, ids: Ids) -> None:
    for end in range(1, ids.size):
        at = end
        while at > 0 and (distances[at], ids[at]) < (distances[at - 1], ids[at - 1]):
            distances[at], distances[at - 1] = distances[at - 1], distances[at]
            ids[at], ids[at - 1] = ids[at - 1], ids[at]
            at -= 1


FLOAT, PLACE = ir.FloatType(), ir.IntType(64)
FLOATS = ir.VectorType(FLOAT, 16)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, place: Any, vector: Any) -> Any:
    """Where in an array a vector begins, as a pointer to it."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), vector.as_pointer())


def _repeated(builder: Any, value: Any, vector: Any) -> Any:
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
    return builder.shuffle_vector(
        one, one, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    )


def _summed(builder: Any, count: Any, firsts: list[Any], step: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
    """Build a loop of `count` turns, at least one, over sums that begin as `firsts`; return what they become.

    `step` gets the number of the turn and the sums, and returns the next ones.
    """
    before, loop = builder.block, builder.append_basic_block("loop")
    builder.branch(loop)
    builder.position_at_end(loop)
    turn, sums = builder.phi(PLACE), [builder.phi(first.type) for first in firsts]
    following = step(turn, sums)
    next_turn = builder.add(turn, PLACE(1))
    turn.add_incoming(PLACE(0), before)
    turn.add_incoming(next_turn, loop)
    for total, first, value in zip(sums, firsts, following, strict=True):
        total.add_incoming(first, before)
        total.add_incoming(value, loop)
    after = builder.append_basic_block("after")
    builder.cbranch(builder.icmp_signed("<", next_turn, count), loop, after)
    builder.position_at_end(after)
    return following


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _add_squares(typingctx: Any, books: Any, m: Any, query: Any, table: Any) -> Any:
    """Fill table[m] with the squared distances of a part of the query from all centroids, in 16 vectors."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def pointer(array: int, place: Any, vector: Any) -> Any:
            return _pointer(context, builder, signature.args[array], arguments[array], place, vector)

        shape = context.make_array(signature.args[0])(context, builder, arguments[0]).shape
        length = builder.extract_value(shape, 1)
        first = builder.mul(arguments[1], length)

        def step(turn: Any, sums: list[Any]) -> list[Any]:
            dimension = builder.add(first, turn)
            value = _repeated(builder, builder.load(pointer(2, dimension, FLOAT)), FLOATS)
            following = []
            for vector, total in enumerate(sums):
                place = builder.add(builder.mul(dimension, PLACE(CENTROIDS)), PLACE(vector * FLOATS.count))
                difference = builder.fsub(value, builder.load(pointer(0, place, FLOATS), align=4))
                square = builder.fmul(difference, difference, flags=("contract",))
                following.append(builder.fadd(total, square, flags=("contract",)))
            return following

        zero = ir.Constant(FLOATS, [0.0] * FLOATS.count)
        for vector, values in enumerate(_summed(builder, length, [zero] * (CENTROIDS // FLOATS.count), step)):
            place = builder.add(builder.mul(arguments[1], PLACE(CENTROIDS)), PLACE(vector * FLOATS.count))
            builder.store(values, pointer(3, place, FLOATS), align=4)
        return context.get_dummy_value()

    return types.void(books, m, query, table), codegen
