"""The oracle: the same products in float64."""

import numpy as np
from numpy.typing import NDArray

ROUNDING = 2.0**-24


def score(
    rows: NDArray[np.float32], queries: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the products and the largest error allowed in each (Higham, 2nd ed., section 3.1)."""
    wide_rows, wide_queries = rows.astype(np.float64), queries.astype(np.float64)
    limit = (rows.shape[1] + 1) * ROUNDING * (np.abs(wide_queries) @ np.abs(wide_rows.T))
    return wide_queries @ wide_rows.T, limit
