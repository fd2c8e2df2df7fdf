"""rle-decode by pyarrow: `run_end_decode` of all chunks together. Exact.

pyarrow has the ends of runs and not their lengths: numpy adds these up before. It makes an array of its own, which
is copied to the output.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute
from rle_chunks import runs_of

pa.set_cpu_count(1)


class Rle:
    """See targets/rle-decode/kernels.py."""

    def __init__(self, bits: int, size_bits: int) -> None:
        self._word, self._size_bytes = np.dtype(f"u{bits // 8}"), size_bits // 8

    def decode_chunks(
        self, page: np.ndarray, starts: np.ndarray, counts: np.ndarray, out: np.ndarray
    ) -> np.ndarray:
        """See `kernels.Rle.decode_chunks`."""
        faults, values, lengths = zip(*runs_of(page, starts, counts, self._word, self._size_bytes), strict=True)
        joined = np.concatenate(lengths)
        is_run = joined > 0  # cut off at the count, some are none
        ends = np.cumsum(joined, dtype=np.int32)[is_run]
        encoded = pa.RunEndEncodedArray.from_arrays(pa.array(ends), pa.array(np.concatenate(values)[is_run]))
        out[:] = pa.compute.run_end_decode(encoded).to_numpy()
        return np.array(faults, np.uint8)
