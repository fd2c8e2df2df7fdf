"""The oracle of rle-decode: each chunk cut by its header and repeated by numpy, and its faults as rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Words = NDArray[np.unsignedinteger[Any]]

FINE, EMPTY, UNDIVIDED, UNEQUAL, ZERO_RUN, TOO_FEW = range(6)


class Rle:
    """See `kernels.Rle`."""

    def __init__(self, bits: int, size_bits: int) -> None:
        self._words = np.dtype(f"<u{bits // 8}")
        self._header = np.dtype(
            [("levels", "<u2"), ("values", f"<u{size_bits // 8}"), ("lengths", f"<u{size_bits // 8}")]
        )

    def decode_chunks(
        self, page: Bytes, starts: NDArray[np.int64], counts: NDArray[np.int64], out: Words
    ) -> Bytes:
        """See `kernels.Rle.decode_chunks`."""
        faults = np.zeros(len(counts), np.uint8)
        ends = np.cumsum(counts)
        for chunk, (start, count, end) in enumerate(zip(starts[:-1], counts, ends, strict=True)):
            faults[chunk] = self._decode(page[start : starts[chunk + 1]].tobytes(), out[end - count : end])
        return faults

    def _decode(self, chunk: bytes, out: Words) -> int:
        ((_, values_bytes, lengths_bytes),) = np.frombuffer(chunk, self._header, 1).tolist()
        at = _padded(self._header.itemsize)
        if not values_bytes or not lengths_bytes:
            return EMPTY
        if values_bytes % self._words.itemsize:
            return UNDIVIDED
        if values_bytes // self._words.itemsize != lengths_bytes:
            return UNEQUAL
        values = np.frombuffer(chunk, self._words, lengths_bytes, at)
        lengths = np.frombuffer(chunk, np.uint8, lengths_bytes, at + _padded(values_bytes))
        ends = np.cumsum(lengths, dtype=np.int64)
        if (lengths[ends <= len(out)] == 0).any():
            return ZERO_RUN
        if ends[-1] < len(out):
            return TOO_FEW
        out[:] = np.repeat(values, lengths)[: len(out)]
        return FINE


def _padded(size: int) -> int:
    return -(-size // 8) * 8
