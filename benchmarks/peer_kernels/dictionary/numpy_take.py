"""dictionary by numpy: `take` for values of a fixed width, one gather of all bytes for the others. Exact."""

from __future__ import annotations

from typing import Any

import numpy as np


def prepare_fixed(values: np.ndarray) -> Any:
    """See targets/dictionary/kernels.py; `take` copies values of void type as wholes."""
    return values.view(f"V{values.shape[1]}").ravel()


def decode_fixed(indices: np.ndarray, table: Any, out: np.ndarray) -> None:
    np.take(table, indices.astype(np.int64), out=out.view(table.dtype).ravel(), mode="clip")


def prepare_binary(offsets: np.ndarray, data: np.ndarray) -> Any:
    return offsets[:-1].astype(np.int64), np.diff(offsets).astype(np.int64), data


def decode_binary(indices: np.ndarray, table: Any, out_offsets: np.ndarray, out_data: np.ndarray) -> int:
    starts, lengths, data = table
    entries = indices.astype(np.int64)
    sizes = lengths.take(entries)
    out_offsets[0] = 0
    np.cumsum(sizes, out=out_offsets[1:])
    total = int(out_offsets[-1])
    places = np.repeat(starts.take(entries) - out_offsets[:-1], sizes)
    places += np.arange(total)
    np.take(data, places, out=out_data[:total], mode="clip")
    return total


def decode_runs(
    values: np.ndarray, runs: np.ndarray, table: Any, out_offsets: np.ndarray, out_data: np.ndarray
) -> int:
    return decode_binary(np.repeat(values, runs), table, out_offsets, out_data)
