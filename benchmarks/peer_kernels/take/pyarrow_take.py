"""take by pyarrow.compute: `take` on an array of each type, `index_in` for remap. Right in every bit.

pyarrow gathers into memory of its own: the copy to the caller's buffer is a cost that it would not have elsewhere.
Tables come in without a copy.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

pa.set_cpu_count(1)


def take_fixed(values: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
    """See targets/take/kernels.py."""
    taken = pc.take(pa.array(values), pa.array(indices), boundscheck=False)
    out[:] = np.frombuffer(taken.buffers()[1], values.dtype)[: out.size]


def take_rows(values: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
    """See targets/take/kernels.py; a row is a fixed-size list."""
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    taken = pc.take(lists, pa.array(indices), boundscheck=False)
    out[:] = taken.flatten().to_numpy().reshape(out.shape)


def take_binary(
    offsets: np.ndarray, data: np.ndarray, indices: np.ndarray, out_offsets: np.ndarray, out: np.ndarray
) -> int:
    """See targets/take/kernels.py."""
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    strings = pa.Array.from_buffers(pa.binary(), offsets.size - 1, buffers)
    taken = pc.take(strings, pa.array(indices), boundscheck=False)
    _, taken_offsets, taken_data = taken.buffers()
    out_offsets[:] = np.frombuffer(taken_offsets, np.int32)[: out_offsets.size] if indices.size else 0
    total = int(out_offsets[-1])
    if total:
        out[:total] = np.frombuffer(taken_data, np.uint8)[:total]
    return total


def take_bits(bits: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
    """See targets/take/kernels.py; pyarrow does not clear the bits after the last."""
    booleans = pa.Array.from_buffers(pa.bool_(), 8 * bits.size, [None, pa.py_buffer(bits)])
    taken = pc.take(booleans, pa.array(indices), boundscheck=False)
    out[:] = np.frombuffer(taken.buffers()[1], np.uint8)[: out.size] if indices.size else 0
    if indices.size % 8:
        out[-1] &= (1 << indices.size % 8) - 1


def remap(requested: np.ndarray, returned: np.ndarray, out: np.ndarray) -> int:
    """See targets/take/kernels.py; by a hash table."""
    found = pc.index_in(pa.array(requested), value_set=pa.array(returned)).drop_null()
    out[: len(found)] = found.to_numpy(zero_copy_only=False)
    return len(found)
