"""topk-merge by faiss: `merge_knn_results` over sorted runs of k rows each.

Shorter runs are filled up with infinity and row id -1, and runs in heap order are sorted first, with numpy, which
is most of the time. Ties come in the order of runs, NaN and infinity get lost: results are the target's only on
distinct, finite keys, as in `deltas` and `iid` but for a rare tie.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

faiss.omp_set_num_threads(1)


def topk_merge(
    dist: NDArray[np.float32],
    rowid: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    k: int,
    runs_sorted: bool,
    descending: bool,
) -> tuple[NDArray[np.float32], NDArray[np.uint64]]:
    """See the target's kernels.py."""
    lengths = np.diff(offsets, axis=1)
    queries, runs = lengths.shape
    width = max(int(lengths.max(initial=0)), k)
    if (lengths == width).all():
        keys = dist.reshape(queries, runs, width)
        ids = rowid.view(np.int64).reshape(queries, runs, width)
    else:
        used = np.arange(width) < lengths[..., None]
        keys = np.full(used.shape, -np.inf if descending else np.inf, np.float32)
        ids = np.full(used.shape, -1, np.int64)
        keys[used], ids[used] = dist, rowid.view(np.int64)
    if not runs_sorted:
        order = np.argsort(-keys if descending else keys, axis=-1)
        keys, ids = np.take_along_axis(keys, order, -1), np.take_along_axis(ids, order, -1)
    by_run = np.ascontiguousarray(keys[..., :k].swapaxes(0, 1)), np.ascontiguousarray(ids[..., :k].swapaxes(0, 1))
    distances, rows = faiss.merge_knn_results(*by_run, keep_max=descending)
    found = np.arange(k) < lengths.sum(axis=1)[:, None]
    return distances[found], rows[found].astype(np.uint64)
