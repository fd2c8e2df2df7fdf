"""utf8-validate by polars: a cast of binary to strings, which looks at each row. Exact.

polars first makes a view of 16 bytes for each row; it trusts offsets, so numpy looks at these before.
POLARS_MAX_THREADS=1 must be in the environment before the first import, or polars uses every core.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
from utf8_faults import VALID, fault_of


def validate(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """See targets/utf8-validate/kernels.py."""
    kind = pa.binary() if offsets.dtype == np.int32 else pa.large_binary()
    values = pa.py_buffer(data)
    in_order = (offsets[:, 1:] >= offsets[:, :-1]).all(axis=1)
    in_bounds = (offsets[:, 0] >= 0) & (offsets[:, -1] <= len(data))
    found = [
        (VALID, -1) if may_be and _is_valid(kind, batch, values) else fault_of(data, batch)
        for may_be, batch in zip(in_order & in_bounds, offsets, strict=True)
    ]
    return np.array(found, np.int64)


def _is_valid(kind: pa.DataType, offsets: np.ndarray, values: pa.Buffer) -> bool:
    rows = pa.Array.from_buffers(kind, len(offsets) - 1, [None, pa.py_buffer(offsets), values])
    try:
        pl.Series(rows).cast(pl.String)
    except pl.exceptions.PolarsError:
        return False
    return True
