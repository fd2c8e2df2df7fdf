"""topk-merge by pyarrow: `select_k_unstable` with two sort keys, query by query.

NaN comes last whatever its sign and the direction, and -0.0 equals 0.0 (`special_values`, `descending_scores`,
`short_runs`). Rows that are equal in both keys may be swapped, which nobody can see.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

pa.set_cpu_count(1)


def topk_merge(
    dist: NDArray[np.float32],
    rowid: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    k: int,
    runs_sorted: bool,  # noqa: ARG001
    descending: bool,
) -> tuple[NDArray[np.float32], NDArray[np.uint64]]:
    """See the target's kernels.py."""
    table = pa.table({"dist": dist, "rowid": rowid})
    keys = [("dist", "descending" if descending else "ascending"), ("rowid", "ascending")]
    chosen = [np.zeros(0, np.uint64)]
    for start, end in zip(offsets[:, 0].tolist(), offsets[:, -1].tolist(), strict=True):
        of_query = table.slice(start, end - start)
        chosen.append(np.uint64(start) + pc.select_k_unstable(of_query, k, sort_keys=keys).to_numpy())
    best = np.concatenate(chosen)
    return dist[best], rowid[best]
