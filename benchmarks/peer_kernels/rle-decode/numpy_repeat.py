"""rle-decode by numpy: `repeat` for each chunk, copied to its place. Exact."""

from __future__ import annotations

import numpy as np
from rle_chunks import runs_of


class Rle:
    """See targets/rle-decode/kernels.py."""

    def __init__(self, bits: int, size_bits: int) -> None:
        self._word, self._size_bytes = np.dtype(f"u{bits // 8}"), size_bits // 8

    def decode_chunks(
        self, page: np.ndarray, starts: np.ndarray, counts: np.ndarray, out: np.ndarray
    ) -> np.ndarray:
        """See `kernels.Rle.decode_chunks`."""
        faults = np.empty(len(counts), np.uint8)
        end = 0
        for chunk, (fault, values, lengths) in enumerate(
            runs_of(page, starts, counts, self._word, self._size_bytes)
        ):
            faults[chunk] = fault
            begin, end = end, end + counts[chunk]
            out[begin:end] = np.repeat(values, lengths)
        return faults
