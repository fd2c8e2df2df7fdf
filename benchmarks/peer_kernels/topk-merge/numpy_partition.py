"""topk-merge by numpy: a partition of the ordered bits, then a lexical sort of what may be among the k.

The results are the target's, bit for bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def topk_merge(
    dist: NDArray[np.float32],
    rowid: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    k: int,
    runs_sorted: bool,  # noqa: ARG001
    descending: bool,
) -> tuple[NDArray[np.float32], NDArray[np.uint64]]:
    """See the target's kernels.py."""
    bits = dist.view(np.uint32)
    keys = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    if descending:
        keys = ~keys
    chosen = [np.zeros(0, np.intp)]
    for start, end in zip(offsets[:, 0].tolist(), offsets[:, -1].tolist(), strict=True):
        of_query = keys[start:end]
        rows = np.arange(start, end)
        if k < of_query.size:
            rows = start + np.flatnonzero(of_query <= np.partition(of_query, k - 1)[k - 1])
        chosen.append(rows[np.lexsort((rowid[rows], keys[rows]))[:k]])
    best = np.concatenate(chosen)
    return dist[best], rowid[best]
