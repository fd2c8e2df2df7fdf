"""take by polars: `Series.gather` on a series of each type, `search_sorted` for remap.

polars keeps strings as views, not as offsets and bytes, so take_binary is the conversion there and back as well.
It gathers into memory of its own, which is then copied. POLARS_MAX_THREADS=1 must be in the environment before the
first import, or polars uses every core.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa


def take_fixed(values: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
    """See targets/take/kernels.py."""
    out[:] = pl.Series(values).gather(indices).to_numpy()


def take_rows(values: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
    """See targets/take/kernels.py; a row is an array."""
    arrays = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    out[:] = pl.from_arrow(arrays).gather(indices).to_numpy()


def take_binary(
    offsets: np.ndarray, data: np.ndarray, indices: np.ndarray, out_offsets: np.ndarray, out: np.ndarray
) -> int:
    """See targets/take/kernels.py; as large binary, the layout that polars converts from and to."""
    buffers = [None, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(data)]
    strings = pa.Array.from_buffers(pa.large_binary(), offsets.size - 1, buffers)
    taken = pl.from_arrow(strings).gather(indices).to_arrow()
    _, taken_offsets, taken_data = taken.buffers()
    first = np.frombuffer(taken_offsets, np.int64)[taken.offset : taken.offset + out_offsets.size]
    out_offsets[:] = first - first[0]
    total = int(out_offsets[-1])
    if total:
        out[:total] = np.frombuffer(taken_data, np.uint8)[first[0] : first[-1]]
    return total


def take_bits(bits: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
    """See targets/take/kernels.py."""
    booleans = pa.Array.from_buffers(pa.bool_(), 8 * bits.size, [None, pa.py_buffer(bits)])
    out[:] = np.packbits(pl.from_arrow(booleans).gather(indices).to_numpy(), bitorder="little")


def remap(requested: np.ndarray, returned: np.ndarray, out: np.ndarray) -> int:
    """See targets/take/kernels.py."""
    if not returned.size:
        return 0
    places = pl.Series(returned).search_sorted(requested).to_numpy()
    found = places[returned.take(places, mode="clip") == requested]
    out[: found.size] = found
    return found.size
