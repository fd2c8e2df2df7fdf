"""The oracle of topk-merge: a sort of all rows of a query by (key, row id). Results must be equal bit for bit.

np.sort on the floats themselves would be wrong: it puts every NaN last, whatever its sign, and takes -0.0 and 0.0
for equal. The keys are therefore sorted as whole numbers made from their bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def topk_merge(
    dist: NDArray[np.float32],
    rowid: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    k: int,
    runs_sorted: bool,  # noqa: ARG001
    descending: bool,
) -> tuple[NDArray[np.float32], NDArray[np.uint64]]:
    """Return the k best rows of every query; see `kernels.topk_merge`."""
    keys = total_order(dist)
    if descending:
        keys = ~keys
    best = [np.zeros(0, np.intp)]
    for start, end in zip(offsets[:, 0], offsets[:, -1], strict=True):
        best.append(start + _nearest(keys[start:end], rowid[start:end], k))
    rows = np.concatenate(best)
    return dist[rows], rowid[rows]


def total_order(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return whole numbers in IEEE's total order: negative floats have all bits turned, others the sign set."""
    bits = values.view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _nearest(keys: NDArray[np.uint32], rowid: NDArray[np.uint64], k: int) -> NDArray[np.intp]:
    """Return the places of the k smallest (key, row id), smallest first."""
    if k < keys.size:
        candidates = np.flatnonzero(keys <= np.partition(keys, k - 1)[k - 1])
    else:
        candidates = np.arange(keys.size)
    return candidates[np.lexsort((rowid[candidates], keys[candidates]))][:k]
