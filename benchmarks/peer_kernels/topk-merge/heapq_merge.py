"""topk-merge by the standard library: `heapq.merge` of sorted runs, `heapq.nsmallest` of others. Pure Python.

The results are the target's, bit for bit: rows are compared as (ordered bits, row id).
"""

from __future__ import annotations

import heapq
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray


def topk_merge(
    dist: NDArray[np.float32],
    rowid: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    k: int,
    runs_sorted: bool,
    descending: bool,
) -> tuple[NDArray[np.float32], NDArray[np.uint64]]:
    """See the target's kernels.py."""
    bits = dist.view(np.uint32)
    keys = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    if descending:
        keys = ~keys
    rows = list(zip(keys.tolist(), rowid.tolist(), range(dist.size), strict=True))
    best: list[int] = []
    for ends in offsets.tolist():
        if runs_sorted:
            runs = (rows[start:end] for start, end in pairwise(ends))
            found = islice(heapq.merge(*runs), k)
        else:
            found = heapq.nsmallest(k, rows[ends[0] : ends[-1]])
        best += (row for _, _, row in found)
    return dist[best], rowid[best]
