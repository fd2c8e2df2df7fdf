"""Approximate squared-L2 search over product-quantised rows, by tables of bytes.

As Lance 1.0.0 searched its 4-bit codes (`lance-index/src/vector/pq/distance.rs`): the table of a query is rounded
to steps of a byte between its least and its largest entry, rows are compared by the sums of these steps, and their
distances are what the sums stand for. Nothing is computed again in float32. Here codes have 8 bits, as in pq-l2.
"""

import numpy as np
from numba import njit

STEPS = 255


class PqKernel:
    """Top-k search in one partition of `n` rows.

    Parameters
    ----------
    codebook : float32, shape (M, 256, sd), C-contiguous
        The centroids of each of the M sub-spaces.
    codes : uint8, shape (M, n), C-contiguous
        Column m holds, for every row, its centroid in sub-space m.
    """

    def __init__(self, codebook, codes):
        self._by_dimension = np.ascontiguousarray(codebook.transpose(0, 2, 1))
        self._codes = codes
        self._table = np.empty(codebook.shape[:2], np.float32)
        self._steps = np.empty(codebook.shape[:2], np.uint8)
        self._sums = np.empty(codes.shape[1], np.uint16)

    def search(self, query, k):
        """Return about the k nearest rows, and their distances in ascending order.

        `query` is float32 (M * sd,); ids are uint32 and distances float32, both (min(k, n),).
        """
        _fill_table(self._by_dimension, query, self._table)
        low, step = _quantise(self._table, self._steps)
        _scan(self._steps, self._codes, self._sums)
        ids, sums = _nearest(self._sums, min(k, self._sums.size))
        return ids, sums * np.float32(step) + np.float32(len(self._table) * low)


@njit
def _fill_table(by_dimension, query, table):
    """Write the squared distances of the query's sub-vectors to all centroids."""
    length = by_dimension.shape[1]
    for m in range(by_dimension.shape[0]):
        row = table[m]
        row[:] = np.float32(0)
        for d in range(length):
            coordinate = query[m * length + d]
            centroids = by_dimension[m, d]
            for c in range(row.size):
                difference = coordinate - centroids[c]
                row[c] += difference * difference


@njit
def _quantise(table, steps):
    """Write every entry as a number of steps above the least one; return that, and the size of a step."""
    low, high = table.min(), table.max()
    step = (high - low) / np.float32(STEPS)
    if step == 0:
        steps[:] = np.uint8(0)
        return low, step
    for m in range(table.shape[0]):
        for c in range(table.shape[1]):
            steps[m, c] = np.uint8((table[m, c] - low) / step + np.float32(0.5))
    return low, step


@njit
def _scan(steps, codes, sums):
    """Write the sum of every row's steps, one sub-space after the other; 257 sub-spaces fit."""
    sums[:] = np.uint16(0)
    for m in range(codes.shape[0]):
        of_sub_space, column = steps[m], codes[m]
        for i in range(column.size):
            sums[i] += of_sub_space[column[i]]


@njit
def _nearest(sums, k):
    """Return the ids of the k least sums and the sums, ascending; the first of equal ones come first."""
    ids, least = np.empty(k, np.uint32), np.empty(k, np.uint16)
    kept = 0
    for i in range(sums.size):
        total = sums[i]
        if kept == k and (k == 0 or total >= least[k - 1]):
            continue
        place = kept if kept < k else k - 1
        while place > 0 and least[place - 1] > total:
            ids[place], least[place] = ids[place - 1], least[place - 1]
            place -= 1
        ids[place], least[place] = i, total
        kept = min(kept + 1, k)
    return ids, least
