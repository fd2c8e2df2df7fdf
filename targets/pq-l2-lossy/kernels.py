"""Approximate squared-L2 search over product-quantised rows: bytes choose rows, float32 their order.

What makes it fast: the 256 entries of a sub-space's table, in whole steps above the least, are four registers,
and two shuffles look them up for 64 rows. Sums of 16 bits stay in registers over all sub-spaces, 256 rows at a
time. The least sum of each of 256 groups of rows is kept; rows whose sum is at most a few steps above the k-th
smallest of these are summed in float32, and the k nearest of them returned. What the exact kernel of pq-l2 has
besides is left out: a bound on what rounding may hide, which lets more rows through, and a second table for the
parts of steps. The table is made for all 256 centroids of a sub-space side by side, in 16 registers.

In Rust: `_mm512_permutex2var_epi8` (AVX-512 VBMI), `_mm512_add_epi16`, `_mm512_cmple_epu16_mask`; without these
the same steps one by one. The kernel that it began as rounds the table to bytes as Lance 1.0.0 did for 4-bit codes
(`lance-index/src/vector/pq/distance.rs`), one sub-space per pass over the rows, and computes nothing again:
`benchmarks/ports/pq-l2-lossy/kernels.py`.

Stays: `PqKernel(codebook, codes)` and `search(query, k)`, with the dtypes, shapes and order of results that their
docstrings give.

CAN: leave rows out on a guess; keep any layout of the codebook and the codes that `__init__` derives; change the
order of summation; use scratch memory.
CANNOT: return fewer rows, more rows, or a row twice; keep anything that depends on a call's arguments for a later
call; start threads or processes; import anything but numba, llvmlite.ir, numpy and the mathematics of the standard
library.
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
    Sums = NDArray[np.uint16]

CENTROIDS = 256
VECTOR_ROWS = 64
"""The rows whose codes are one vector, and whose sums are two."""
VECTORS = 4
BLOCK_ROWS = VECTORS * VECTOR_ROWS
"""The rows whose codes lie together, and the groups of rows whose least sum is kept."""
LARGEST_BYTE = 255.0
LARGEST_SUM = 65535
SLACK = 4
"""Rounding down hides less than a step of each sub-space. The guess is that it hides no more of a near row than of
others, but for a step of one sub-space in so many."""
FINITE = {"nnan", "ninf", "nsz"}
"""For fastmath: neither NaN nor infinity gets there, but every rounding stays."""
LARGEST = float(np.finfo(np.float32).max)
SMALLEST = 2.0**-100
"""Spans of all sub-spaces together that are no larger are not rounded to steps."""


class PqKernel:
    """Top-k search in one partition of `n` rows.

    Parameters
    ----------
    codebook : float32, shape (M, 256, sd), C-contiguous
        The centroids of each of the M sub-spaces; sd dimensions each.
    codes : uint8, shape (M, n), C-contiguous
        Column m holds, for every row, its centroid in sub-space m.
    """

    def __init__(self, codebook: Floats, codes: Codes) -> None:
        self._books = np.ascontiguousarray(codebook.transpose(0, 2, 1))
        self._rows = codes.shape[1]
        self._blocks = _laid_out(codes)
        self._table = np.empty(codebook.shape[:2], np.float32)
        self._search = _search_by_shuffles if _has_shuffle() else _search_by_look_ups

    def search(self, query: Floats, k: int) -> tuple[Ids, Floats]:
        """Return about the k nearest rows, and their distances in ascending order.

        `query` is float32 (M * sd,); ids are uint32 and distances float32, both (min(k, n),).
        """
        _fill_table(self._books, query, self._table)
        k = min(k, self._rows)
        ids, distances = self._search(self._blocks, self._rows, self._table, k)
        if ids.size < distances.size:  # those of all rows
            ids = np.argsort(distances, kind="stable")[:k].astype(np.uint32)
            distances = distances[ids]
        return ids, distances


def _laid_out(codes: Codes) -> Codes:
    """Return the codes in blocks of 256 rows, (blocks, M, 256)."""
    sub_vectors, rows = codes.shape
    whole, rest = divmod(rows, BLOCK_ROWS)
    blocks = np.zeros((whole + (rest > 0), sub_vectors, BLOCK_ROWS), np.uint8)
    of_whole = codes[:, : whole * BLOCK_ROWS].reshape(sub_vectors, whole, BLOCK_ROWS)
    blocks[:whole] = of_whole.transpose(1, 0, 2)
    if rest:
        blocks[whole, :, :rest] = codes[:, whole * BLOCK_ROWS :]
    return blocks


@njit
def _fill_table(books: Floats, query: Floats, table: Floats) -> None:
    for m in range(len(books)):
        _add_squares(books, m, query, table)


def _search_with(make_sums: Any) -> Any:
    """Return the search whose sums of bytes are made by that function."""

    @njit
    def search(blocks: Codes, rows: int, table: Floats, k: int) -> tuple[Ids, Floats]:
        """About the k nearest rows, or no ids and the distances of all where bytes tell too little."""
        sub_vectors = len(table)
        least, base = np.empty(sub_vectors, np.float32), 0.0
        span, spans = _spans(table, least)
        for entry in least:
            base += np.float64(entry)
        is_finite = base + np.float64(spans) <= LARGEST / 1024
        if rows < BLOCK_ROWS or 2 * k > BLOCK_ROWS or not (spans > SMALLEST and is_finite):
            return np.empty(0, np.uint32), _all_distances(table, blocks, rows)
        by_bytes = np.float32(LARGEST_BYTE) / max(span, spans * np.float32(2.0**-12))
        by_sums = np.float32(LARGEST_SUM - sub_vectors) / spans
        steps = np.empty((sub_vectors, CENTROIDS), np.uint8)
        _round(table, least, min(by_bytes, by_sums) * np.float32(1 - 2.0**-16), steps)
        sums, minima = np.empty(len(blocks) * BLOCK_ROWS, np.uint16), np.full(BLOCK_ROWS, LARGEST_SUM, np.uint16)
        make_sums(blocks, steps, rows // BLOCK_ROWS, sums, minima)
        ids, distances = np.empty(k, np.uint32), np.full(k, np.inf, np.float32)
        for row in _rows_up_to(sums, rows, min(_kth(minima, k) + sub_vectors // SLACK, LARGEST_SUM)):
            _offer(row, _distance(table, blocks, np.int64(row)), ids, distances)
        return ids, distances

    return search


@njit
def _all_distances(table: Floats, blocks: Codes, rows: int) -> Floats:
    """The distances of all rows."""
    distances = np.empty(rows, np.float32)
    for row in range(rows):
        distances[row] = _distance(table, blocks, row)
    return distances


@njit(fastmath=FINITE)
def _spans(table: Floats, least: Floats) -> tuple[np.float32, np.float32]:
    """Fill `least` with the least entry of every sub-space; return the largest span of one, and the sum of all."""
    span, spans = np.float32(0), np.float32(0)
    for m in range(len(table)):
        low, high = table[m, 0], table[m, 0]
        for entry in table[m]:
            low, high = min(low, entry), max(high, entry)
        least[m] = low
        span = max(span, high - low)
        spans += high - low
    return span, spans


@njit(fastmath=FINITE)
def _round(table: Floats, least: Floats, scale: np.float32, steps: Codes) -> None:
    """Fill `steps` with how far each entry is above the least of its sub-space, rounded down."""
    for m in range(len(table)):
        for c in range(CENTROIDS):
            steps[m, c] = np.uint8(np.int32((table[m, c] - least[m]) * scale))


@njit
def _sum_one_by_one(blocks: Codes, steps: Codes, whole: int, sums: Sums, minima: Sums) -> None:
    """Fill `sums` with every row's sum of steps; lower `minima` to the least of rows of equal place in a block.

    Only whole blocks count for the minima.
    """
    sums[:] = 0
    for block in range(len(blocks)):
        of_block = sums[block * BLOCK_ROWS : (block + 1) * BLOCK_ROWS]
        for m in range(blocks.shape[1]):
            codes, of_m = blocks[block, m], steps[m]
            for row in range(BLOCK_ROWS):
                of_block[row] += np.uint16(of_m[codes[row]])
        if block < whole:
            for row in range(BLOCK_ROWS):
                minima[row] = min(minima[row], of_block[row])


@njit
def _sum_by_shuffles(blocks: Codes, steps: Codes, whole: int, sums: Sums, minima: Sums) -> None:
    """Do the same by vectors."""
    for block in range(len(blocks)):
        _sum_block(blocks, block, steps, sums)
        if block < whole:
            for within in range(0, BLOCK_ROWS, VECTOR_ROWS // 2):
                _lower(minima, within, sums, block * BLOCK_ROWS + within)


@njit
def _kth(minima: Sums, k: int) -> int:
    """The k-th smallest, found bit by bit."""
    found = 0
    for bit in range(15, -1, -1):
        limit = np.uint16(found + (1 << bit) - 1)
        count = 0
        for least in minima:
            count += least <= limit
        if count < k:
            found += 1 << bit
    return found


@njit
def _rows_up_to(sums: Sums, rows: int, limit: int) -> Ids:
    """The rows with a sum up to `limit`."""
    found = np.empty(rows, np.uint32)
    count = 0
    for start in range(0, sums.size, VECTOR_ROWS):
        mask = _at_most(sums, start, np.uint16(limit))
        while mask:
            row = start + _lowest_bit(mask)
            if row < rows:
                found[count] = row
                count += 1
            mask &= mask - np.uint64(1)
    return found[:count]


@njit
def _distance(table: Floats, blocks: Codes, row: int) -> np.float32:
    block, within = row // BLOCK_ROWS, row % BLOCK_ROWS
    total = np.float32(0)
    for m in range(len(table)):
        total += table[m, blocks[block, m, within]]
    return total


@njit
def _offer(row: int, distance: np.float32, ids: Ids, distances: Floats) -> None:
    """Put a row among the nearest, ascending by (distance, id), if it is nearer than the last; ids ascend."""
    at = distances.size - 1
    if not distance < distances[at]:
        return
    while at > 0 and distances[at - 1] > distance:
        distances[at], ids[at] = distances[at - 1], ids[at - 1]
        at -= 1
    distances[at], ids[at] = distance, row


FLOAT, PLACE = ir.FloatType(), ir.IntType(64)
FLOATS = ir.VectorType(FLOAT, 16)
BYTES = ir.VectorType(ir.IntType(8), VECTOR_ROWS)
WORDS = ir.VectorType(ir.IntType(16), VECTOR_ROWS // 2)
WORD_ORDER = ir.VectorType(ir.IntType(32), WORDS.count)


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


@intrinsic  # type: ignore[untyped-decorator]
def _sum_block(typingctx: Any, blocks: Any, block: Any, steps: Any, sums: Any) -> Any:
    """Sum the steps of all rows of a block, the sums of 256 rows in eight vectors of 16 bits.

    A sum of two neighbours, the second times 256, is kept with that of the second alone, from which both follow.
    """
    order = {
        "first": [row // 2 + row % 2 * WORDS.count for row in range(WORDS.count)],
        "last": [row // 2 + row % 2 * WORDS.count for row in range(WORDS.count, 2 * WORDS.count)],
    }

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def pointer(array: int, place: Any, vector: Any) -> Any:
            return _pointer(context, builder, signature.args[array], arguments[array], place, vector)

        def picked(one: Any, other: Any, which: str) -> Any:
            return builder.shuffle_vector(one, other, ir.Constant(WORD_ORDER, list(order[which])))

        eight = ir.Constant(WORDS, [8] * WORDS.count)
        shape = context.make_array(signature.args[0])(context, builder, arguments[0]).shape
        sub_vectors = builder.extract_value(shape, 1)
        row = builder.mul(arguments[1], PLACE(BLOCK_ROWS))
        zeros = [ir.Constant(WORDS, [0] * WORDS.count)] * (2 * VECTORS)

        def step(turn: Any, sums: list[Any]) -> list[Any]:
            entries = builder.mul(turn, PLACE(CENTROIDS))
            quarters = [
                builder.load(pointer(2, builder.add(entries, PLACE(BYTES.count * quarter)), BYTES), align=1)
                for quarter in range(CENTROIDS // BYTES.count)
            ]
            begin = builder.mul(builder.add(builder.mul(arguments[1], sub_vectors), turn), PLACE(BLOCK_ROWS))
            following = []
            for vector in range(VECTORS):
                place = builder.add(begin, PLACE(vector * VECTOR_ROWS))
                codes = builder.load(pointer(0, place, BYTES), align=1)
                found = builder.bitcast(_looked_up(builder, quarters, codes), WORDS)
                following.append(builder.add(sums[2 * vector], found))
                following.append(builder.add(sums[2 * vector + 1], builder.lshr(found, eight)))
            return following

        totals = _summed(builder, sub_vectors, zeros, step)
        for vector in range(VECTORS):
            both, odd = totals[2 * vector : 2 * vector + 2]
            even = builder.sub(both, builder.shl(odd, eight))
            for half, which in enumerate(("first", "last")):
                place = builder.add(row, PLACE(vector * VECTOR_ROWS + half * WORDS.count))
                builder.store(picked(even, odd, which), pointer(3, place, WORDS), align=2)
        return context.get_dummy_value()

    return types.void(blocks, block, steps, sums), codegen


def _looked_up(builder: Any, quarters: list[Any], codes: Any) -> Any:
    """What 64 codes name in a table of 256 bytes: in its lower half, or with the highest bit set in its upper."""
    kind = ir.FunctionType(BYTES, [BYTES, BYTES, BYTES])
    shuffle = builder.module.declare_intrinsic("llvm.x86.avx512.vpermi2var.qi.512", (), kind)
    low = builder.call(shuffle, [quarters[0], codes, quarters[1]])
    high = builder.call(shuffle, [quarters[2], codes, quarters[3]])
    return builder.select(builder.icmp_signed("<", codes, ir.Constant(BYTES, [0] * BYTES.count)), high, low)


@intrinsic  # type: ignore[untyped-decorator]
def _lower(typingctx: Any, minima: Any, group: Any, sums: Any, start: Any) -> Any:
    """minima[group : group + 32] = the smaller of them and of sums[start : start + 32]."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        least, found = (
            _pointer(context, builder, signature.args[at], arguments[at], arguments[at + 1], WORDS)
            for at in (0, 2)
        )
        one, other = builder.load(least, align=2), builder.load(found, align=2)
        builder.store(builder.select(builder.icmp_unsigned("<", one, other), one, other), least, align=2)
        return context.get_dummy_value()

    return types.void(minima, group, sums, start), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _at_most(typingctx: Any, sums: Any, start: Any, limit: Any) -> Any:
    """Which of sums[start : start + 64] are at most `limit`, a bit for each."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.IntType(16), VECTOR_ROWS)
        place = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], vector)
        limits = _repeated(builder, arguments[2], vector)
        return builder.bitcast(builder.icmp_unsigned("<=", builder.load(place, align=2), limits), PLACE)

    return types.uint64(sums, start, limit), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _lowest_bit(typingctx: Any, mask: Any) -> Any:
    """The place of the lowest bit of a mask that is not 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.uint64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _feature(typingctx: Any) -> Any:
    """Whether the processor that numba compiles for has the shuffle."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        features = context.codegen().magic_tuple()[2].split(",")
        return context.get_constant(types.boolean, "+avx512vbmi" in features)

    return types.boolean(), codegen


@njit
def _has_shuffle() -> bool:
    found: bool = _feature()
    return found


_search_by_shuffles = _search_with(_sum_by_shuffles)
_search_by_look_ups = _search_with(_sum_one_by_one)
