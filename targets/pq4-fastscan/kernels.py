"""The k nearest rows over 4-bit product-quantised codes. The file that an agent edits.

What makes it fast: the 16 entries of a sub-space's table, in bytes, are one register, and one shuffle looks them
up for 64 rows. A byte is a whole number of steps, rounded down, so that a row's sum of bytes is a bound of its
distance. While sums are made, the least of each of 256 groups of rows is kept; the k-th smallest of these says
which sums may belong to one of the k nearest rows, and only such rows are summed in float32. Where the bytes
tell too few rows apart, as they do where a few sub-spaces are far larger than the others, the next seven bits of
every entry are looked up in the same way. The table is made for all 16 centroids of a sub-space side by side.

In Rust: `_mm512_shuffle_epi8` (AVX-512BW) or `_mm256_shuffle_epi8`, as Lance 14.0.2 has them in
rust/lance-linalg/src/simd/dist_table.rs; `_mm512_min_epu16` for the groups and `_mm512_cmple_epu16_mask` for
what is left of the rows. `benchmarks/ports/pq4-fastscan/kernels.py` is a port of what Lance runs for one query
in a partition of an IVF_PQ index with num_bits=4 (`accumulate_topk_with_scratch`,
rust/lance-index/src/vector/pq/storage.rs), without its shuffles.

Stays: `Pq4Kernel(codebook, codes)` and `top_k(query, k)`, with the dtypes and shapes that their docstrings give.

CAN: keep codebook and codes in another layout, made in `__init__`; define intrinsics, with a portable branch
beside them; filter by any bound that holds for every input.
CANNOT: return a distance with another bit; leave out a row that is not proved to be further away; keep anything
that depends on a query for a later call; start threads or processes; import anything but numba, llvmlite.ir,
numpy and the mathematics of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Bytes = NDArray[np.uint8]
    Sums = NDArray[np.uint16]
    Ids = NDArray[np.uint32]
    Totals = NDArray[np.int64]

CENTROIDS = 16
LANES = 8
VECTOR_ROWS = 64
"""The rows whose codes are one vector, and whose sums are two."""
VECTORS = 4
BLOCK_ROWS = VECTORS * VECTOR_ROWS
GROUPS_PER_ROW = 8
"""How many groups there should be for each of the k rows."""
LARGEST_BYTE = np.float32(255)
LARGEST_SUM = 65535
FINE = 128
"""The parts that a step has where bytes do not tell rows apart."""
MOST_FINE = LARGEST_SUM // (FINE - 1)
"""The most sub-spaces whose parts of steps can be summed in 16 bits."""
FEW = 16
"""Rows are looked at more finely where more than one in so many is left."""
LOST = 0.01
"""More than float32 loses of a step, or of a part of one, while an entry is made to whole ones."""
LARGEST = np.float32(np.finfo(np.float32).max)
INFINITY_BITS = np.uint32(0x7F800000)
ROUNDING = 2.0**-24
"""Largest relative error of one float32 operation."""


class Pq4Kernel:
    """Search in one partition of n rows.

    Parameters
    ----------
    codebook : float32, shape (M, 16, sd)
        The centroids of the M sub-spaces; M is even, sd 1 to 16.
    codes : uint8, shape (M / 2, n)
        Byte m of a row has its centroid in sub-space 2m in the low four bits, that in 2m + 1 in the high four.
    """

    def __init__(self, codebook: Floats, codes: Bytes) -> None:
        self._codebook = np.ascontiguousarray(codebook.transpose(0, 2, 1))
        self._rows = codes.shape[1]
        self._blocks = np.empty((-(-self._rows // BLOCK_ROWS), len(codes), BLOCK_ROWS), np.uint8)
        _fill_blocks(codes, self._blocks)
        self._search = _search_by_shuffles if _has_shuffle() else _search_by_look_ups

    def top_k(self, query: Floats, k: int) -> tuple[Ids, Floats]:
        """Find the k nearest rows.

        Parameters
        ----------
        query : float32, shape (M * sd,)
            May hold NaN and infinity.
        k : int
            1 or more, and perhaps more than n.

        Returns
        -------
        ids : uint32, shape (r,)
        distances : float32, shape (r,)
            The rows ascending by squared distance, a tie in any order. A row whose distance is NaN, infinite or
            the largest float32 is left out, so r is k, or the number of other rows if that is less.
        """
        found: tuple[Ids, Floats] = self._search(self._codebook, self._blocks, self._rows, query, k)
        return found


@njit
def _fill_blocks(codes: Bytes, blocks: Bytes) -> None:
    """Fill blocks of 256 rows, (blocks, M / 2, 256), the last one up with zeros."""
    for block in range(len(blocks)):
        first = block * BLOCK_ROWS
        for byte in range(len(codes)):
            for row in range(min(BLOCK_ROWS, codes.shape[1] - first)):
                blocks[block, byte, row] = codes[byte, first + row]
            for row in range(codes.shape[1] - first, BLOCK_ROWS):
                blocks[block, byte, row] = 0


class Bounds(NamedTuple):
    """What a row's distance may be if its sum in steps is q: bias + q * step, and so much less or more."""

    bias: float
    step: float
    below: float
    above: float
    gamma: float
    """The largest relative rounding error of a distance in float32."""


def _search_with(make_sums: Any) -> Any:
    """Return the search whose sums of bytes are made by that function."""

    @njit
    def search(codebook: Floats, blocks: Bytes, rows: int, query: Floats, k: int) -> tuple[Ids, Floats]:
        ids = np.empty(min(k, rows), np.uint32)
        distances = np.empty(min(k, rows), np.float32)
        table = _distance_table(codebook, query)
        coarse = np.empty((len(table), CENTROIDS), np.uint8)
        fine = np.empty((len(table), CENTROIDS), np.uint8)
        segments = min(rows // BLOCK_ROWS, (GROUPS_PER_ROW * k + BLOCK_ROWS - 1) // BLOCK_ROWS)
        is_bounded, bounds = _quantise(table, coarse, fine)
        if not is_bounded or 2 * k > segments * BLOCK_ROWS:
            found = _nearest_of_all(table, blocks, rows, ids, distances)
            return ids[:found], distances[:found]
        sums = np.empty(len(blocks) * BLOCK_ROWS, np.uint16)
        minima = np.full(segments * BLOCK_ROWS, LARGEST_SUM, np.uint16)
        make_sums(coarse, blocks, rows // BLOCK_ROWS, sums, minima)
        limit = _cutoff(bounds, _upper(bounds, _kth(minima, k)))
        left = _rows_up_to(sums, rows, limit)
        totals = np.empty(len(left), np.int64)
        for place, row in enumerate(left):
            totals[place] = sums[_place_of(row)]
        if len(left) > rows // FEW and len(table) <= MOST_FINE:
            make_sums(fine, blocks, rows // BLOCK_ROWS, sums, minima)
            for place, row in enumerate(left):
                totals[place] = totals[place] * FINE + sums[_place_of(row)]
            bounds = _finer(bounds, len(table))
        found = _nearest_of(left, totals, bounds, table, blocks, ids, distances)
        return ids[:found], distances[:found]

    return search


@njit
def _distance_table(codebook: Floats, query: Floats) -> Floats:
    """The order of sums is Lance's: eight lanes of fused steps, then what is left of the sub-vector, unfused.

    `codebook` is float32 (M, sd, 16), so that each step is made for all centroids at once.
    """
    sub_vectors, length, _ = codebook.shape
    whole = length - length % LANES
    table = np.empty((sub_vectors, CENTROIDS), np.float32)
    lanes = np.empty((LANES, CENTROIDS), np.float32)
    for m in range(sub_vectors):
        lanes[:] = 0
        for place in range(whole):
            part = query[m * length + place]
            for centroid in range(CENTROIDS):
                difference = part - codebook[m, place, centroid]
                lanes[place % LANES, centroid] = _fused(difference, difference, lanes[place % LANES, centroid])
        tail = table[m]
        tail[:] = 0
        for place in range(whole, length):
            part = query[m * length + place]
            for centroid in range(CENTROIDS):
                difference = part - codebook[m, place, centroid]
                tail[centroid] += difference * difference
        for centroid in range(CENTROIDS):
            even = (lanes[0, centroid] + lanes[4, centroid]) + (lanes[2, centroid] + lanes[6, centroid])
            odd = (lanes[1, centroid] + lanes[5, centroid]) + (lanes[3, centroid] + lanes[7, centroid])
            tail[centroid] += even + odd
    return table


@njit
def _quantise(table: Floats, coarse: Bytes, fine: Bytes) -> tuple[bool, Bounds]:
    """Fill `coarse` with the table in whole steps above each sub-space's least entry, `fine` with parts of the
    next.

    False where every row must be scored exactly: an entry is not finite, all entries of each sub-space are
    equal, or entries are so large that a sum may overflow. Entries are never negative, so that their bits are in
    their order.
    """
    sub_vectors = len(table)
    bits = table.view(np.uint32)
    nothing = Bounds(0.0, 0.0, 0.0, 0.0, 0.0)
    least_entries = np.empty(sub_vectors, np.float32)
    largest_span, spans = np.float32(0), np.float32(0)
    bias, magnitude = 0.0, 0.0
    for m in range(sub_vectors):
        least, most = bits[m, 0], bits[m, 0]
        for centroid in range(CENTROIDS):
            least, most = min(least, bits[m, centroid]), max(most, bits[m, centroid])
        if most >= INFINITY_BITS:
            return False, nothing
        least_entries[m] = _float_of(least)
        span = _float_of(most) - least_entries[m]
        largest_span = max(largest_span, span)
        spans += span
        bias += least_entries[m]
        magnitude += _float_of(most)
    if not (largest_span > 0 and magnitude <= LARGEST / 4):
        return False, nothing
    scale = min(LARGEST_BYTE / largest_span, np.float32(LARGEST_SUM - sub_vectors) / spans)
    parts = scale * np.float32(FINE)
    if not (scale > 0 and np.isfinite(parts) and np.isfinite(np.float32(1) / scale)):
        return False, nothing
    for m in range(sub_vectors):
        for centroid in range(CENTROIDS):
            steps = np.uint32((table[m, centroid] - least_entries[m]) * parts + np.float32(0.5))
            coarse[m, centroid] = steps // np.uint32(FINE)
            fine[m, centroid] = steps % np.uint32(FINE)
    step = 1 / np.float64(scale)
    roundings = (sub_vectors // 2 + 1) * ROUNDING
    # Far more than float64 loses in `bias`, and what is made of it.
    slack = (sub_vectors + 64) * 2.0**-50 * (2 * magnitude + LARGEST_SUM * step)
    below = LOST * sub_vectors * step + slack
    above = (1 + LOST) * sub_vectors * step + slack
    return True, Bounds(bias, step, below, above, roundings / (1 - roundings))


@njit
def _finer(bounds: Bounds, sub_vectors: int) -> Bounds:
    """The bounds of sums in parts of steps, which are rounded to the nearest."""
    step = bounds.step / FINE
    error = (0.5 + LOST) * sub_vectors * step + bounds.below / FINE
    return Bounds(bounds.bias, step, error, error, bounds.gamma)


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
def _place_of(row: int) -> int:
    """Where a row's sum is: even rows of 64 come first."""
    within = row % VECTOR_ROWS
    return row - within + within // 2 + within % 2 * (VECTOR_ROWS // 2)


@njit
def _rows_up_to(sums: Sums, rows: int, limit: int) -> Ids:
    """The rows with a sum up to `limit`, at most all."""
    found = np.empty(rows, np.uint32)
    count = 0
    if limit < 0:
        return found[:0]
    for start in range(0, len(sums), VECTOR_ROWS):
        mask = _up_to(sums, start, np.uint16(limit))
        while mask:
            place = _lowest_bit(mask)
            row = start + place % (VECTOR_ROWS // 2) * 2 + place // (VECTOR_ROWS // 2)
            if row < rows:
                found[count] = row
                count += 1
            mask &= mask - np.uint64(1)
    return found[:count]


@njit
def _nearest_of(
    left: Ids, totals: Totals, bounds: Bounds, table: Floats, blocks: Bytes, ids: Ids, distances: Floats
) -> int:
    """Fill `ids` and `distances` from the rows that are left, by their sums in steps; return how many there
    are."""
    k = len(ids)
    found, cutoff = 0, totals.max() if len(totals) else 0
    for place in range(len(left)):
        if totals[place] > cutoff:
            continue
        distance = _distance(table, blocks, left[place])
        if found == k and distance >= distances[k - 1]:
            continue
        found = _insert(left[place], distance, ids, distances, found)
        if found == k:
            cutoff = _cutoff(bounds, np.float64(distances[k - 1]))
    return found


@njit
def _nearest_of_all(table: Floats, blocks: Bytes, rows: int, ids: Ids, distances: Floats) -> int:
    """Fill `ids` and `distances` from all rows, and return how many there are."""
    found = 0
    for row in range(rows):
        distance = _distance(table, blocks, row)
        if distance < LARGEST and (found < len(ids) or distance < distances[found - 1]):
            found = _insert(row, distance, ids, distances, found)
    return found


@njit
def _cutoff(bounds: Bounds, distance: float) -> int:
    """The largest sum of a row that may be as near as `distance`; -1 if none may."""
    guess = (distance / (1 - bounds.gamma) - bounds.bias + bounds.below) / bounds.step
    total = np.int64(max(guess, -1.0))
    while _lower(bounds, total + 1) <= distance:
        total += 1
    while total >= 0 and _lower(bounds, total) > distance:
        total -= 1
    return total


@njit
def _lower(bounds: Bounds, total: int) -> float:
    """No row with this sum has a smaller distance."""
    return max(total * bounds.step + (bounds.bias - bounds.below), 0.0) * (1 - bounds.gamma)


@njit
def _upper(bounds: Bounds, total: int) -> float:
    """No row with this sum has a larger distance."""
    return max(total * bounds.step + (bounds.bias + bounds.above), 0.0) * (1 + bounds.gamma)


@njit
def _distance(table: Floats, blocks: Bytes, row: int) -> np.float32:
    """A row's exact distance; the order of sums is Lance's."""
    block, within = np.uint64(row // BLOCK_ROWS), np.uint64(row % BLOCK_ROWS)
    total = np.float32(-0.0)
    for byte in range(blocks.shape[1]):
        code = blocks[block, byte, within]
        total += table[2 * byte, code & 15] + table[2 * byte + 1, code >> 4]
    return total


@njit
def _insert(row: int, distance: np.float32, ids: Ids, distances: Floats, found: int) -> int:
    """Put a row behind those that are as near or nearer; the last one is lost where there is no room."""
    place = min(found, len(ids) - 1)
    while place > 0 and distances[place - 1] > distance:
        ids[place], distances[place] = ids[place - 1], distances[place - 1]
        place -= 1
    ids[place], distances[place] = row, distance
    return min(found + 1, len(ids))


@njit
def _sums_by_look_ups(quantised: Bytes, blocks: Bytes, whole: int, sums: Sums, minima: Sums) -> None:
    """Fill `sums` with every row's sum, even rows of 64 first, and lower `minima` to the least of each group.

    Groups are the rows of equal place in the first `whole` blocks, those that all rows of are there, in as many
    segments as `minima` is long.
    """
    segments = len(minima) // BLOCK_ROWS
    for block in range(len(blocks)):
        for row in range(BLOCK_ROWS):
            total = np.uint16(0)
            for byte in range(blocks.shape[1]):
                code = blocks[block, byte, row]
                total += np.uint16(quantised[2 * byte, code & 15]) + np.uint16(quantised[2 * byte + 1, code >> 4])
            place = _place_of(row)
            sums[block * BLOCK_ROWS + place] = total
            if block < whole:
                group = block % segments * BLOCK_ROWS + place
                minima[group] = min(minima[group], total)


@njit
def _sums_by_shuffles(quantised: Bytes, blocks: Bytes, whole: int, sums: Sums, minima: Sums) -> None:
    """Do the same by vectors."""
    segments = len(minima) // BLOCK_ROWS
    for block in range(len(blocks)):
        _sum_block(quantised, blocks, block, sums)
        if block < whole:
            for vector in range(BLOCK_ROWS // SUM_LANES):
                within = vector * SUM_LANES
                _lower_to(minima, block % segments * BLOCK_ROWS + within, sums, block * BLOCK_ROWS + within)


BYTE, WORD, PLACE = ir.IntType(8), ir.IntType(16), ir.IntType(64)
CODE_VECTOR = ir.VectorType(BYTE, VECTOR_ROWS)
TABLE_VECTOR = ir.VectorType(BYTE, CENTROIDS)
SUM_LANES = VECTOR_ROWS // 2
SUM_VECTOR = ir.VectorType(WORD, SUM_LANES)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, place: Any, vector: Any) -> Any:
    """Where in an array a vector begins, as a pointer to it."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), vector.as_pointer())


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _sum_block(typingctx: Any, quantised: Any, blocks: Any, block: Any, sums: Any) -> Any:
    """Sum the bytes of all rows of a block: a loop over its bytes, the sums of 256 rows in eight vectors of 16
    bits.

    A sum of the bytes of two neighbours is kept with that of the second one alone, from which both follow.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        shape = context.make_array(kinds[1])(context, builder, arguments[1]).shape
        count = builder.extract_value(shape, 1)
        first = builder.mul(arguments[2], builder.mul(count, PLACE(BLOCK_ROWS)))
        before, loop = builder.block, builder.append_basic_block("bytes")
        builder.branch(loop)
        builder.position_at_end(loop)
        byte = builder.phi(PLACE)
        byte.add_incoming(PLACE(0), before)
        both = [builder.phi(SUM_VECTOR) for _ in range(VECTORS)]
        odd = [builder.phi(SUM_VECTOR) for _ in range(VECTORS)]
        for running in (*both, *odd):
            running.add_incoming(ir.Constant(SUM_VECTOR, [0] * SUM_LANES), before)
        entries = builder.mul(byte, PLACE(2 * CENTROIDS))
        tables = [
            _repeated(builder, _pointer(context, builder, kinds[0], arguments[0], place, TABLE_VECTOR))
            for place in (entries, builder.add(entries, PLACE(CENTROIDS)))
        ]
        begin = builder.add(first, builder.mul(byte, PLACE(BLOCK_ROWS)))
        both_next, odd_next = [], []
        for vector in range(VECTORS):
            place = builder.add(begin, PLACE(vector * VECTOR_ROWS))
            codes = builder.load(_pointer(context, builder, kinds[1], arguments[1], place, CODE_VECTOR), align=1)
            sum_of_both, sum_of_odd = both[vector], odd[vector]
            for table, code in zip(tables, _halves(builder, codes), strict=True):
                found = builder.bitcast(_looked_up(builder, table, code), SUM_VECTOR)
                sum_of_both = builder.add(sum_of_both, found)
                sum_of_odd = builder.add(sum_of_odd, builder.lshr(found, _eights()))
            both_next.append(sum_of_both)
            odd_next.append(sum_of_odd)
        following = builder.add(byte, PLACE(1))
        byte.add_incoming(following, loop)
        for running, value in zip((*both, *odd), (*both_next, *odd_next), strict=True):
            running.add_incoming(value, loop)
        after = builder.append_basic_block("sums")
        builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
        builder.position_at_end(after)
        for vector in range(VECTORS):
            even = builder.sub(both_next[vector], builder.shl(odd_next[vector], _eights()))
            for half, value in enumerate((even, odd_next[vector])):
                place = builder.add(
                    builder.mul(arguments[2], PLACE(BLOCK_ROWS)), PLACE(vector * VECTOR_ROWS + half * SUM_LANES)
                )
                builder.store(
                    value, _pointer(context, builder, kinds[3], arguments[3], place, SUM_VECTOR), align=2
                )
        return context.get_dummy_value()

    return types.void(quantised, blocks, block, sums), codegen


def _eights() -> ir.Constant:
    return ir.Constant(SUM_VECTOR, [8] * SUM_LANES)


def _repeated(builder: Any, pointer: Any) -> Any:
    """Load a table of 16 bytes, four times side by side."""
    table = builder.load(pointer, align=1)
    order = ir.Constant(
        ir.VectorType(ir.IntType(32), VECTOR_ROWS), [lane % CENTROIDS for lane in range(VECTOR_ROWS)]
    )
    return builder.shuffle_vector(table, table, order)


def _halves(builder: Any, codes: Any) -> tuple[Any, Any]:
    """The low and the high four bits of every byte."""
    low = builder.and_(codes, ir.Constant(CODE_VECTOR, [CENTROIDS - 1] * VECTOR_ROWS))
    return low, builder.lshr(codes, ir.Constant(CODE_VECTOR, [4] * VECTOR_ROWS))


def _looked_up(builder: Any, table: Any, codes: Any) -> Any:
    kind = ir.FunctionType(CODE_VECTOR, [CODE_VECTOR, CODE_VECTOR])
    shuffle = builder.module.declare_intrinsic("llvm.x86.avx512.pshuf.b.512", (), kind)
    return builder.call(shuffle, [table, codes])


@intrinsic  # type: ignore[untyped-decorator]
def _lower_to(typingctx: Any, minima: Any, group: Any, sums: Any, start: Any) -> Any:
    """minima[group : group + 32] = the smaller of them and of sums[start : start + 32]."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        least, found = (
            _pointer(context, builder, signature.args[at], arguments[at], arguments[at + 1], SUM_VECTOR)
            for at in (0, 2)
        )
        one, other = builder.load(least, align=2), builder.load(found, align=2)
        builder.store(builder.select(builder.icmp_unsigned("<", one, other), one, other), least, align=2)
        return context.get_dummy_value()

    return types.void(minima, group, sums, start), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _up_to(typingctx: Any, sums: Any, start: Any, limit: Any) -> Any:
    """Which of sums[start : start + 64] are at most `limit`, a bit for each."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(WORD, VECTOR_ROWS)
        found = builder.load(
            _pointer(context, builder, signature.args[0], arguments[0], arguments[1], vector), align=2
        )
        limits = builder.insert_element(ir.Constant(vector, ir.Undefined), arguments[2], PLACE(0))
        order = ir.Constant(ir.VectorType(ir.IntType(32), VECTOR_ROWS), [0] * VECTOR_ROWS)
        limits = builder.shuffle_vector(limits, limits, order)
        return builder.bitcast(builder.icmp_unsigned("<=", found, limits), PLACE)

    return types.uint64(sums, start, limit), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _lowest_bit(typingctx: Any, mask: Any) -> Any:
    """The place of the lowest bit of a mask that is not 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.uint64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _float_of(typingctx: Any, bits: Any) -> Any:
    """The float32 with these bits."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _fused(typingctx: Any, one: Any, other: Any, addend: Any) -> Any:
    """one * other + addend, float32, with one rounding, on every processor."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _feature(typingctx: Any) -> Any:
    """Whether the processor that numba compiles for has the shuffle."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        features = context.codegen().magic_tuple()[2].split(",")
        return context.get_constant(types.boolean, "+avx512bw" in features)

    return types.boolean(), codegen


@njit
def _has_shuffle() -> bool:
    found: bool = _feature()
    return found


_search_by_shuffles = _search_with(_sums_by_shuffles)
_search_by_look_ups = _search_with(_sums_by_look_ups)
