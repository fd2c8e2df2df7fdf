"""dictionary by polars: `Series.gather`, then from polars' views to offsets and bytes by way of Arrow. Exact.

Gathering copies views of 16 bytes; the strings themselves are put together when the series is exported. Values of
a fixed width are gathered as binary too, for polars has no such type.
POLARS_MAX_THREADS=1 must be in the environment before the first import, or polars uses every core.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa


def prepare_fixed(values: np.ndarray) -> Any:
    """See targets/dictionary/kernels.py."""
    return pl.Series([value.tobytes() for value in values], dtype=pl.Binary)


def decode_fixed(indices: np.ndarray, table: Any, out: np.ndarray) -> None:
    _, _, data = _gather(indices, table)
    out.reshape(-1)[:] = np.frombuffer(data, np.uint8, out.size)


def prepare_binary(offsets: np.ndarray, data: np.ndarray) -> Any:
    entries = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    return pl.Series([data[start:end].tobytes() for start, end in entries], dtype=pl.Binary)


def decode_binary(indices: np.ndarray, table: Any, out_offsets: np.ndarray, out_data: np.ndarray) -> int:
    _, offsets, data = _gather(indices, table)
    out_offsets[:] = np.frombuffer(offsets, np.int64, len(out_offsets))
    total = int(out_offsets[-1])
    out_data[:total] = np.frombuffer(data, np.uint8, total)
    return total


def decode_runs(
    values: np.ndarray, runs: np.ndarray, table: Any, out_offsets: np.ndarray, out_data: np.ndarray
) -> int:
    return decode_binary(np.repeat(values, runs), table, out_offsets, out_data)


def _gather(indices: np.ndarray, entries: pl.Series) -> list[pa.Buffer]:
    gathered = entries.gather(indices.astype(np.uint32, copy=False))
    return gathered.to_arrow(compat_level=pl.CompatLevel.oldest()).buffers()
