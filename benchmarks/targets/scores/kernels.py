"""Scores of a few queries against a small block of rows: operations of microseconds."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit
def score(rows: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return every query's inner product with every row, float32 (queries, rows)."""
    scores = np.empty((queries.shape[0], rows.shape[0]), np.float32)
    for q in range(queries.shape[0]):
        for row in range(rows.shape[0]):
            total = np.float32(0)
            for i in range(rows.shape[1]):
                total += rows[row, i] * queries[q, i]
            scores[q, row] = total
    return scores
