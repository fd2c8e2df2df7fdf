"""take by numpy: `np.take`, `repeat` for strings, binary search for remap. Every bit is right.

`mode="clip"` because with the default numpy gathers into a buffer of its own first.
"""

from __future__ import annotations

import numpy as np


def take_fixed(values: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
    """See targets/take/kernels.py."""
    np.take(values, indices.view(f"i{indices.itemsize}"), axis=0, out=out, mode="clip")


take_rows = take_fixed


def take_binary(
    offsets: np.ndarray, data: np.ndarray, indices: np.ndarray, out_offsets: np.ndarray, out: np.ndarray
) -> int:
    """See targets/take/kernels.py; one index for each byte."""
    starts = offsets[:-1][indices]
    lengths = offsets[1:][indices] - starts
    out_offsets[0] = 0
    np.cumsum(lengths, out=out_offsets[1:])
    total = int(out_offsets[-1])
    if total:
        places = np.repeat(starts - out_offsets[:-1], lengths) + np.arange(total, dtype=np.int32)
        np.take(data, places, out=out[:total], mode="clip")
    return total


def take_bits(bits: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
    """See targets/take/kernels.py."""
    shifts = (indices & indices.dtype.type(7)).astype(np.uint8)
    out[:] = np.packbits((bits[indices >> indices.dtype.type(3)] >> shifts) & 1, bitorder="little")


def remap(requested: np.ndarray, returned: np.ndarray, out: np.ndarray) -> int:
    """See targets/take/kernels.py."""
    if not returned.size:
        return 0
    places = np.searchsorted(returned, requested)
    found = places[returned.take(places, mode="clip") == requested]
    out[: found.size] = found
    return found.size
