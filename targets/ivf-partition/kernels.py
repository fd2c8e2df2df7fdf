"""Ranking of IVF partitions: distances from queries to all centroids, top-k. The file that an agent edits.

What makes it fast: reading less. Every centroid is kept a second time in bytes, a quarter of its size, with the
length of what the bytes leave out. The product of a query with such a centroid, in whole numbers, is its dot
product to within the query's length times that length (Cauchy and Schwarz), so that it bounds the distance from
both sides. The bytes of 32 centroids lie side by side, four dimensions of each, so that no product is summed
across a vector. Only a centroid whose lower bound is not above the nprobes-th smallest upper bound is read in
float32, and its distance is made as before. Where most are asked for, all are.

In Rust: `_mm512_dpbusd_epi32` (AVX-512 VNNI), which multiplies 64 bytes and adds them to 16 sums, or
`_mm256_madd_epi16` of widened bytes; the query has two bytes a dimension, of which the first is shifted to be
unsigned. Lance 14.0.2 computes every distance in float32 (`kmeans_find_partitions`,
rust/lance-index/src/vector/kmeans.rs); `benchmarks/ports/ivf-partition/kernels.py` is a port of that.

Stays: `IvfModel(centroids, metric)` and `find_partitions(queries, nprobes)`, with the dtypes, shapes and order of
results that their docstrings give.

CAN: keep any layout of the centroids, norms, or copies in another precision as a filter that `__init__` derives;
change the order of summation; use fastmath where NaN stays right, blocking, another selection, scratch memory.
CANNOT: keep anything that depends on a call's arguments for a later call; leave out a partition without a proof;
start threads or processes; import anything but numba, llvmlite.ir, numpy and the mathematics of the standard
library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]
    Ids = NDArray[np.uint32]
    Pairs = NDArray[np.uint64]

LANES = 16
"""The 32-bit sums of a vector; each takes the products of four bytes at once."""
QUAD = 4
ABREAST = 2 * LANES
"""The centroids whose codes lie side by side, in two vectors."""
LARGEST = 127
"""The largest code of a centroid, and the largest of a query's first byte."""
PARTS = 128
"""The steps of a query's second byte in one of its first."""
SHIFT = 128
"""What is added to a query's first byte, so that none is negative."""
MOST_DIMENSIONS = 2**31 // (255 * LARGEST)
"""With more, a sum of products may not fit into 32 bits."""
SMALLEST = np.float32(2.0**-100)
"""What is smaller, and not 0, is not told in bytes: their scale would be rounded too coarsely."""
FEW = 4
"""Centroids are left out where no more than one in so many is asked for."""
SLACK = 2.0**-20
"""More than float32 loses of a squared length that is kept in it."""
SIGN = np.uint32(1 << 31)


class Codes(NamedTuple):
    """Centroids in bytes: each is scale * codes to within `error`, the length of the difference. All but
    `codes`: (T, P)."""

    codes: NDArray[np.int8]
    """(T, ceil(P / 32), ceil(D / 4), 32, 4): four dimensions of 32 centroids, then the next four; zeros fill
    up."""
    scale: Floats
    sums: NDArray[np.int32]
    """Of each centroid's codes."""
    squares: Floats
    """The squared length of each centroid."""
    error: Floats
    is_bounded: NDArray[np.bool_]
    """Whether the rest holds of a centroid. One with NaN, for example, is never left out."""


class IvfModel:
    """The centroids of an IVF index with T tables of P partitions: one table, or one for each delta.

    Parameters
    ----------
    centroids : float32, shape (T, P, D), C-contiguous
        NaN may occur in a row, always of one sign within it; infinity does not occur.
    metric : "l2", "dot" or "cosine"
        Squared L2; 1 - dot product; squared L2 of the normalised query. The centroids are used as they are.
    """

    def __init__(self, centroids: Floats, metric: str) -> None:
        self._centroids = centroids
        self._codes = _coded(centroids)
        self._is_dot = metric == "dot"
        self._normalises = metric == "cosine"

    def find_partitions(self, queries: Floats, nprobes: int) -> tuple[NDArray[np.uint32], Floats]:
        """Return the ids, uint32 (T, Q, min(nprobes, P)), of the nearest partitions, and their distances, float32.

        `queries` are float32 (Q, D), `nprobes` is at least 1. Of each table and query ascending by distance in
        IEEE's total order (negative NaN first, positive NaN last), then by id.
        """
        tables, partitions, _ = self._centroids.shape
        shape = tables, len(queries), min(nprobes, partitions)
        ids, distances = np.empty(shape, np.uint32), np.empty(shape, np.float32)
        points = _normalised(queries) if self._normalises else queries
        if nprobes * FEW <= partitions and queries.shape[1] <= MOST_DIMENSIONS:
            _rank_few(self._centroids, self._codes, points, self._is_dot, ids, distances)
        else:
            for q, query in enumerate(points):
                for t, table in enumerate(self._centroids):
                    pairs = np.sort(_all_pairs(table, query, self._is_dot))[:nprobes]
                    _unpack(pairs, ids[t, q], distances[t, q])
        return ids, distances


@njit(fastmath={"reassoc", "contract"})
def _normalised(queries: Floats) -> Floats:
    points = np.empty_like(queries)
    for q in range(len(queries)):
        total = np.float32(0)
        for value in queries[q]:
            total += value * value
        length = np.sqrt(total)
        for d in range(queries.shape[1]):
            points[q, d] = queries[q, d] / length
    return points


def _coded(centroids: Floats) -> Codes:
    """Return the centroids in bytes."""
    tables, partitions, dim = centroids.shape
    of_each = [np.zeros((tables, partitions), np.float32) for _ in range(3)]
    codes = Codes(
        np.zeros((tables, -(-partitions // ABREAST), -(-dim // QUAD), ABREAST, QUAD), np.int8),
        of_each[0],
        np.zeros((tables, partitions), np.int32),
        of_each[1],
        of_each[2],
        np.zeros((tables, partitions), np.bool_),
    )
    for t in range(tables):
        _code(centroids[t], centroids[t].view(np.uint32), codes, t)
    return codes


@njit(fastmath={"reassoc", "contract"})
def _code(table: Floats, bits: Ids, codes: Codes, t: int) -> None:
    for p in range(len(table)):
        largest_bits = np.uint32(0)
        for d in range(table.shape[1]):
            largest_bits = max(largest_bits, bits[p, d] & ~SIGN)
        largest = _float_of(largest_bits)
        codes.is_bounded[t, p] = largest == 0 or (largest >= SMALLEST and np.isfinite(largest))
        if not codes.is_bounded[t, p] or largest == 0:
            continue
        scale = largest / np.float32(LARGEST)
        total, square, error = np.int32(0), 0.0, 0.0
        beside = codes.codes[t, p // ABREAST, :, p % ABREAST]
        for d in range(table.shape[1]):
            value = np.float64(table[p, d])
            code = np.rint(table[p, d] / scale)
            beside[d // QUAD, d % QUAD] = np.int8(code)
            total += np.int32(code)
            square += value * value
            left = value - np.float64(code) * np.float64(scale)
            error += left * left
        codes.scale[t, p] = scale
        codes.sums[t, p] = total
        codes.squares[t, p] = square
        codes.error[t, p] = np.sqrt(error) * (1 + SLACK)


@njit
def _rank_few(centroids: Floats, codes: Codes, queries: Floats, is_dot: bool, ids: Any, distances: Any) -> None:
    tables, partitions, _ = centroids.shape
    nprobes = ids.shape[2]
    products = np.empty((2, codes.codes.shape[1] * ABREAST), np.int32)
    lower, upper = np.empty(partitions, np.float64), np.empty(partitions, np.float64)
    smallest = np.empty(nprobes, np.float64)
    pairs = np.empty(nprobes, np.uint64)
    width = codes.codes.shape[2] * QUAD
    first, second = np.zeros(width, np.uint8), np.zeros(width, np.uint8)
    for q in range(len(queries)):
        scale, lost, square = _split(queries[q], first, second)
        for t in range(tables):
            for block in range(codes.codes.shape[1]):
                _multiply(codes.codes, t * codes.codes.shape[1] + block, first, second, products, block * ABREAST)
            _bound(codes, t, products, scale, lost, square, is_dot, lower, upper)
            limit = _kth(upper, smallest)
            count = 0
            for p in range(partitions):
                if not lower[p] > limit:  # NaN, where a square overflows, is no reason to leave a centroid out
                    pair = _pair(_distance(centroids[t, p], queries[q], is_dot), p)
                    count = _insert(pair, pairs, count)
            _unpack(pairs, ids[t, q], distances[t, q])


@njit(fastmath={"reassoc", "contract"})
def _split(query: Floats, first: Bytes, second: Bytes) -> tuple[float, float, float]:
    """Fill two bytes a dimension: the query is scale * (PARTS * (first - SHIFT) + second).

    Returns the scale, the length of what is lost, and the query's squared length.
    """
    largest, square = np.float32(0), 0.0
    for value in query:
        largest = max(largest, abs(value))
        square += np.float64(value) * np.float64(value)
    if largest < SMALLEST:
        first[: query.size], second[: query.size] = SHIFT, 0
        return 0.0, np.sqrt(square), square
    scale = largest / np.float32(LARGEST * PARTS)
    lost = 0.0
    for d in range(query.size):
        code = np.int32(np.rint(query[d] / scale))
        first[d] = np.uint8((code >> 7) + SHIFT)
        second[d] = np.uint8(code & (PARTS - 1))
        left = np.float64(query[d]) - np.float64(code) * np.float64(scale)
        lost += left * left
    return np.float64(scale), np.sqrt(lost), square


@njit
def _bound(
    codes: Codes,
    t: int,
    products: NDArray[np.int32],
    scale: float,
    lost: float,
    square: float,
    is_dot: bool,
    lower: Doubles,
    upper: Doubles,
) -> None:
    """Fill `lower` and `upper` with bounds of the distances to the centroids of table t."""
    length = np.sqrt(square) + lost
    factor, offset = (1.0, 1.0) if is_dot else (2.0, square)
    for p in range(lower.size):
        of_centroid = np.float64(codes.squares[t, p])
        product = PARTS * (np.float64(products[0, p]) - SHIFT * np.float64(codes.sums[t, p])) + products[1, p]
        dot = product * scale * np.float64(codes.scale[t, p])
        doubt = (
            lost * np.sqrt(of_centroid) + length * np.float64(codes.error[t, p]) + SLACK * (square + of_centroid)
        )
        distance = offset - factor * dot + (0.0 if is_dot else of_centroid)
        lower[p], upper[p] = distance - factor * doubt, distance + factor * doubt
    for p in range(lower.size):
        if not codes.is_bounded[t, p]:
            lower[p], upper[p] = -np.inf, np.inf


@njit
def _kth(values: Doubles, smallest: Doubles) -> float:
    """Fill `smallest` with the smallest values, ascending, and return the last of them."""
    smallest[:] = np.inf
    for value in values:
        if value < smallest[-1]:
            place = smallest.size - 1
            while place > 0 and smallest[place - 1] > value:
                smallest[place] = smallest[place - 1]
                place -= 1
            smallest[place] = value
    return smallest[-1]


@njit(fastmath={"reassoc", "contract"})
def _distance(centroid: Floats, query: Floats, is_dot: bool) -> np.float32:
    total = np.float32(0)
    if is_dot:
        for d in range(query.size):
            total += query[d] * centroid[d]
        return np.float32(1) - total
    for d in range(query.size):
        difference = query[d] - centroid[d]
        total += difference * difference
    return total


@njit
def _all_pairs(table: Floats, query: Floats, is_dot: bool) -> Pairs:
    """The pair of every centroid of a table."""
    pairs = np.empty(len(table), np.uint64)
    for p in range(len(table)):
        pairs[p] = _pair(_distance(table[p], query, is_dot), p)
    return pairs


@njit
def _pair(distance: np.float32, p: int) -> np.uint64:
    """Distance and id in 64 bits, whose order is IEEE's total order of distances, then that of ids."""
    bits = _bits_of(distance)
    ordered = ~bits if bits & SIGN else bits | SIGN
    return np.uint64(ordered) << np.uint64(32) | np.uint64(p)


@njit
def _unpack(pairs: Pairs, ids: Ids, distances: Floats) -> None:
    for place in range(ids.size):
        ordered = np.uint32(pairs[place] >> np.uint64(32))
        ids[place] = np.uint32(pairs[place])
        distances[place] = _float_of(ordered ^ SIGN if ordered & SIGN else ~ordered)


@njit
def _insert(pair: np.uint64, pairs: Pairs, count: int) -> int:
    """Keep a pair among the smallest, ascending; return how many there are."""
    if count == pairs.size:
        if pair >= pairs[count - 1]:
            return count
        count -= 1
    place = count
    while place > 0 and pairs[place - 1] > pair:
        pairs[place] = pairs[place - 1]
        place -= 1
    pairs[place] = pair
    return count + 1


SUM, PLACE = ir.IntType(32), ir.IntType(64)
SUMS = ir.VectorType(SUM, LANES)
QUADS = ir.VectorType(ir.IntType(8), LANES * QUAD)


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _multiply(typingctx: Any, codes: Any, block: Any, first: Any, second: Any, products: Any, at: Any) -> Any:
    """Fill products[0, at : at + 32] with the sums of first * codes of the 32 centroids of a block, and
    products[1] so.

    A loop over groups of four dimensions, at least one; four vectors of sums stay in registers.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        arrays = {
            place: context.make_array(signature.args[place])(context, builder, arguments[place])
            for place in (0, 2, 3, 4)
        }

        def pointer(array: int, place: Any, kind: Any) -> Any:
            return builder.bitcast(builder.gep(arrays[array].data, [place]), kind.as_pointer())

        add = _add_products if _has_vnni(context) else _add_products_of_words
        count = builder.extract_value(arrays[0].shape, 2)
        start = builder.mul(arguments[1], builder.mul(count, PLACE(ABREAST * QUAD)))
        before, loop = builder.block, builder.append_basic_block("dimensions")
        builder.branch(loop)
        builder.position_at_end(loop)
        group, running = builder.phi(PLACE), [builder.phi(SUMS) for _ in range(4)]
        queries = [builder.load(pointer(array, builder.mul(group, PLACE(QUAD)), SUM), align=1) for array in (2, 3)]
        begin = builder.add(start, builder.mul(group, PLACE(ABREAST * QUAD)))
        sums = []
        for half in range(2):
            place = builder.add(begin, PLACE(half * LANES * QUAD))
            row = builder.load(pointer(0, place, QUADS), align=1)
            sums += [add(builder, running[2 * half + part], queries[part], row) for part in range(2)]
        following = builder.add(group, PLACE(1))
        group.add_incoming(PLACE(0), before)
        group.add_incoming(following, loop)
        for total, value in zip(running, sums, strict=True):
            total.add_incoming(ir.Constant(SUMS, [0] * LANES), before)
            total.add_incoming(value, loop)
        after = builder.append_basic_block("products")
        builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
        builder.position_at_end(after)
        width = builder.extract_value(arrays[4].shape, 1)
        for half in range(2):
            for part in range(2):
                place = builder.add(
                    builder.mul(width, PLACE(part)), builder.add(arguments[5], PLACE(half * LANES))
                )
                builder.store(sums[2 * half + part], pointer(4, place, SUMS), align=4)
        return context.get_dummy_value()

    return types.void(codes, block, first, second, products, at), codegen


def _has_vnni(context: Any) -> bool:
    return "+avx512vnni" in context.codegen().magic_tuple()[2].split(",")


def _add_products(builder: Any, sums: Any, query: Any, codes: Any) -> Any:
    """Add the products of four bytes of the query with those of each of 16 centroids, in one instruction."""
    kind = ir.FunctionType(SUMS, [SUMS, SUMS, SUMS])
    products = builder.module.declare_intrinsic("llvm.x86.avx512.vpdpbusd.512", (), kind)
    return builder.call(products, [sums, _repeated(builder, query), builder.bitcast(codes, SUMS)])


def _add_products_of_words(builder: Any, sums: Any, query: Any, codes: Any) -> Any:
    """Do the same on any processor, one of the four bytes at a time."""
    narrow = ir.VectorType(ir.IntType(8), LANES)
    for byte in range(QUAD):
        order = ir.Constant(SUMS, list(range(byte, LANES * QUAD, QUAD)))
        of_centroids = builder.sext(builder.shuffle_vector(codes, codes, order), SUMS)
        of_query = builder.zext(builder.trunc(builder.lshr(query, SUM(8 * byte)), narrow.element), SUM)
        sums = builder.add(sums, builder.mul(_repeated(builder, of_query), of_centroids))
    return sums


def _repeated(builder: Any, value: Any) -> Any:
    vector = builder.insert_element(ir.Constant(SUMS, ir.Undefined), value, SUM(0))
    return builder.shuffle_vector(vector, vector, ir.Constant(SUMS, [0] * LANES))


@intrinsic  # type: ignore[untyped-decorator]
def _bits_of(typingctx: Any, value: Any) -> Any:
    """The bits of a float32."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], SUM)

    return types.uint32(types.float32), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _float_of(typingctx: Any, bits: Any) -> Any:
    """The float32 with these bits."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), codegen
