"""Chunks of a run-length encoded page, taken apart for the peers of rle-decode, which repeat values and no more.

That, and what a chunk may be refused for, costs them a few calls of numpy for each chunk.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

FINE, EMPTY, UNDIVIDED, UNEQUAL, ZERO_RUN, TOO_FEW = range(6)


def runs_of(
    page: np.ndarray, starts: np.ndarray, counts: np.ndarray, word: np.dtype, size_bytes: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield for each chunk its fault, its values, and their lengths, which add up to its count.

    A chunk that is faulty has one value then, which stands for all that it should have.
    """
    for start, count in zip(starts[:-1].tolist(), counts.tolist(), strict=True):
        sizes = page[start + 2 : start + 2 + 2 * size_bytes].tobytes()
        values_bytes, lengths_bytes = (
            int.from_bytes(sizes[at : at + size_bytes], "little") for at in (0, size_bytes)
        )
        values_at = start + _padded(2 + 2 * size_bytes)
        lengths_at = values_at + _padded(values_bytes)
        lengths = page[lengths_at : lengths_at + lengths_bytes]
        fault = _size_fault(values_bytes, lengths_bytes, word) or _fault(lengths, count)
        if fault:
            yield fault, np.zeros(1, word), np.array([count])
            continue
        values = page[values_at : values_at + values_bytes].view(word)
        if lengths.sum(dtype=np.int64) > count:
            lengths = np.diff(np.minimum(np.cumsum(lengths, dtype=np.int64), count), prepend=0)
        yield FINE, values, lengths


def _size_fault(values_bytes: int, lengths_bytes: int, word: np.dtype) -> int:
    if not values_bytes or not lengths_bytes:
        return EMPTY
    if values_bytes % word.itemsize:
        return UNDIVIDED
    return FINE if values_bytes // word.itemsize == lengths_bytes else UNEQUAL


def _fault(lengths: np.ndarray, count: int) -> int:
    if not lengths.all():
        ends = np.cumsum(lengths, dtype=np.int64)
        if (lengths[ends <= count] == 0).any():
            return ZERO_RUN
    return TOO_FEW if lengths.sum(dtype=np.int64) < count else FINE


def _padded(size: int) -> int:
    return -(-size // 8) * 8
