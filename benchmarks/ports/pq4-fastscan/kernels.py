"""The k nearest rows over 4-bit product-quantised codes. The file that an agent edits.

A port of what Lance 14.0.2 runs in a partition of an IVF_PQ index with num_bits=4, for one query: the table of
exact distances (`build_distance_table_l2`, rust/lance-index/src/vector/pq/distance.rs); the same in bytes, with
bounds for what that may be off (`quantize_4bit_distance_table`); the sums of all rows in bytes
(`sum_4bit_dist_table_transposed`, rust/lance-linalg/src/simd/dist_table.rs), here without its byte shuffles; and
exact distances of the rows that the sums leave (`accumulate_topk_with_scratch`, pq/storage.rs).

Stays: `Pq4Kernel(codebook, codes)` and `top_k(query, k)`, with the dtypes and shapes that their docstrings give.

CAN: keep codebook and codes in another layout, made in `__init__`; define intrinsics, with a portable branch
beside them; filter by any bound that holds for every input.
CANNOT: return a distance with another bit; leave out a row that is not proved to be further away; keep anything
that depends on a query for a later call; start threads or processes; import anything but numba, llvmlite.ir,
numpy and the mathematics of the standard library.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Bytes = NDArray[np.uint8]
    Sums = NDArray[np.uint16]
    Ids = NDArray[np.uint32]

CENTROIDS = 16
LANES = 8
BLOCK_ROWS = 64
LARGEST_BYTE = np.float32(255)
LARGEST_SUM = 65535
LARGEST = np.float32(np.finfo(np.float32).max)
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
        self._codebook, self._codes = codebook, codes

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
        found: tuple[Ids, Floats] = _search(self._codebook, self._codes, query, k)
        return found


class Bounds(NamedTuple):
    """What a row's distance may be if its sum in bytes is q: bias + q * step, and so much less or more."""

    bias: float
    step: float
    below: float
    above: float
    gamma: float
    """The largest relative rounding error of a distance in float32."""


@njit()
def _search(codebook: Floats, codes: Bytes, query: Floats, k: int) -> tuple[Ids, Floats]:
    rows = codes.shape[1]
    ids = np.empty(min(k, rows), np.uint32)
    distances = np.empty(min(k, rows), np.float32)
    table = _distance_table(codebook, query)
    quantised = np.empty((len(codebook), CENTROIDS), np.uint8)
    is_bounded, bounds = _quantise(table, quantised)
    if is_bounded and rows > k:
        found = _nearest_by_sums(table, quantised, bounds, codes, ids, distances)
    else:
        found = _nearest_of_all(table, codes, ids, distances)
    return ids[:found], distances[:found]


@njit()
def _distance_table(codebook: Floats, query: Floats) -> Floats:
    """The order of sums is Lance's: eight lanes of fused steps, then what is left of the sub-vector, unfused."""
    sub_vectors, _, length = codebook.shape
    whole = length - length % LANES
    table = np.empty((sub_vectors, CENTROIDS), np.float32)
    lanes = np.empty(LANES, np.float32)
    for m in range(sub_vectors):
        for centroid in range(CENTROIDS):
            lanes[:] = 0
            for start in range(0, whole, LANES):
                for lane in range(LANES):
                    difference = query[m * length + start + lane] - codebook[m, centroid, start + lane]
                    lanes[lane] = _fused(difference, difference, lanes[lane])
            tail = np.float32(0)
            for place in range(whole, length):
                difference = query[m * length + place] - codebook[m, centroid, place]
                tail += difference * difference
            even = (lanes[0] + lanes[4]) + (lanes[2] + lanes[6])
            odd = (lanes[1] + lanes[5]) + (lanes[3] + lanes[7])
            table[m, centroid] = (even + odd) + tail
    return table


@njit()
def _quantise(table: Floats, quantised: Bytes) -> tuple[bool, Bounds]:
    """Fill `quantised` with the table in whole steps above each sub-space's least entry, and bound what that does.

    False where every row must be scored exactly: an entry is not finite, all entries of each sub-space are equal,
    or entries are so large that a sum may overflow.
    """
    sub_vectors = len(table)
    largest_span, spans = np.float32(0), np.float32(0)
    bias, magnitude = 0.0, 0.0
    nothing = Bounds(0.0, 0.0, 0.0, 0.0, 0.0)
    for m in range(sub_vectors):
        least, most = table[m, 0], table[m, 0]
        for entry in table[m]:
            if not math.isfinite(entry):
                return False, nothing
            least, most = min(least, entry), max(most, entry)
        largest_span = max(largest_span, most - least)
        spans += most - least
        bias += least
        magnitude += most
    if not (largest_span > 0 and magnitude <= LARGEST / 4):
        return False, nothing
    scale = min(LARGEST_BYTE / largest_span, np.float32(LARGEST_SUM - sub_vectors) / spans)
    step = np.float32(1) / scale
    if not (scale > 0 and math.isfinite(scale) and math.isfinite(step)):
        return False, nothing
    below, above, largest_sum = 0.0, 0.0, 0
    for m in range(sub_vectors):
        least = table[m].min()
        most_below, most_above, largest = 0.0, 0.0, 0
        for centroid in range(CENTROIDS):
            steps = np.uint8(min((table[m, centroid] - least) * scale + np.float32(0.5), LARGEST_BYTE))
            quantised[m, centroid] = steps
            error = steps * np.float64(step) - (np.float64(table[m, centroid]) - np.float64(least))
            most_below, most_above = max(most_below, error), max(most_above, -error)
            largest = max(largest, np.int64(steps))
        below += most_below
        above += most_above
        largest_sum += largest
    roundings = (sub_vectors // 2 + 1) * ROUNDING
    # Far more than float64 loses in `bias`, the errors, and what is made of them.
    slack = (sub_vectors + 64) * 2.0**-50 * (2 * magnitude + below + above + LARGEST_SUM * np.float64(step))
    bounds = Bounds(bias, np.float64(step), below + slack, above + slack, roundings / (1 - roundings))
    return largest_sum <= LARGEST_SUM, bounds


@njit()
def _nearest_by_sums(
    table: Floats, quantised: Bytes, bounds: Bounds, codes: Bytes, ids: Ids, distances: Floats
) -> int:
    """Fill `ids` and `distances` from the rows whose sums allow it, the least sum first."""
    k = len(ids)
    sums = _sums(quantised, codes)
    cutoff = _cutoff(bounds, _upper(bounds, _kth_sum_bound(sums, k)))
    found = 0
    for row in _by_sum(sums, cutoff):
        if sums[row] > cutoff:
            break
        distance = _distance(table, codes, row)
        if found == k and distance >= distances[k - 1]:
            continue
        found = _insert(row, distance, ids, distances, found)
        if found == k:
            cutoff = min(cutoff, _cutoff(bounds, np.float64(distances[k - 1])))
    return found


@njit()
def _nearest_of_all(table: Floats, codes: Bytes, ids: Ids, distances: Floats) -> int:
    """Fill `ids` and `distances` from all rows, and return how many there are."""
    found = 0
    for row in range(codes.shape[1]):
        distance = _distance(table, codes, row)
        if distance < LARGEST and (found < len(ids) or distance < distances[found - 1]):
            found = _insert(row, distance, ids, distances, found)
    return found


@njit()
def _sums(quantised: Bytes, codes: Bytes) -> Sums:
    """Every row's sum of bytes. Lance looks 64 rows up at once, by shuffles of bytes; this is one by one."""
    rows = codes.shape[1]
    sums = np.zeros(rows, np.uint16)
    for start in range(0, rows, BLOCK_ROWS):
        block = sums[start : start + BLOCK_ROWS]
        for byte in range(len(codes)):
            low, high = quantised[2 * byte], quantised[2 * byte + 1]
            column = codes[byte, start : start + BLOCK_ROWS]
            for row in range(len(block)):
                block[row] += np.uint16(low[column[row] & 15]) + np.uint16(high[column[row] >> 4])
    return sums


@njit()
def _kth_sum_bound(sums: Sums, k: int) -> int:
    """At least k rows have this sum or less: the k-th of the minima of about 4 k blocks."""
    length = max(len(sums) // (4 * k), 1)
    minima = np.empty((len(sums) + length - 1) // length, np.uint16)
    for block in range(len(minima)):
        minima[block] = sums[block * length : (block + 1) * length].min()
    return np.int64(np.sort(minima)[k - 1])


@njit()
def _by_sum(sums: Sums, cutoff: int) -> Ids:
    """The rows with a sum up to `cutoff`, ascending by sum."""
    starts = np.zeros(cutoff + 2, np.int64)
    for total in sums:
        if total <= cutoff:
            starts[total + 1] += 1
    starts = np.cumsum(starts)
    rows = np.empty(starts[-1], np.uint32)
    for row in range(len(sums)):
        if sums[row] <= cutoff:
            rows[starts[sums[row]]] = row
            starts[sums[row]] += 1
    return rows


@njit()
def _cutoff(bounds: Bounds, distance: float) -> int:
    """The largest sum of a row that may be as near as `distance`; -1 if none may."""
    guess = (distance / (1 - bounds.gamma) - bounds.bias + bounds.below) / bounds.step
    total = np.int64(min(max(guess, -1.0), LARGEST_SUM))
    while total < LARGEST_SUM and _lower(bounds, total + 1) <= distance:
        total += 1
    while total >= 0 and _lower(bounds, total) > distance:
        total -= 1
    return total


@njit()
def _lower(bounds: Bounds, total: int) -> float:
    """No row with this sum has a smaller distance."""
    return max(total * bounds.step + (bounds.bias - bounds.below), 0.0) * (1 - bounds.gamma)


@njit()
def _upper(bounds: Bounds, total: int) -> float:
    """No row with this sum has a larger distance."""
    return max(total * bounds.step + (bounds.bias + bounds.above), 0.0) * (1 + bounds.gamma)


@njit()
def _distance(table: Floats, codes: Bytes, row: int) -> np.float32:
    """A row's exact distance; the order of sums is Lance's."""
    total = np.float32(-0.0)
    for byte in range(len(codes)):
        code = codes[byte, row]
        total += table[2 * byte, code & 15] + table[2 * byte + 1, code >> 4]
    return total


@njit()
def _insert(row: int, distance: np.float32, ids: Ids, distances: Floats, found: int) -> int:
    """Put a row behind those that are as near or nearer; the last one is lost where there is no room."""
    place = min(found, len(ids) - 1)
    while place > 0 and distances[place - 1] > distance:
        ids[place], distances[place] = ids[place - 1], distances[place - 1]
        place -= 1
    ids[place], distances[place] = row, distance
    return min(found + 1, len(ids))


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _fused(typingctx: Any, one: Any, other: Any, addend: Any) -> Any:  # noqa: ARG001
    """one * other + addend, float32, with one rounding, on every processor."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), codegen
