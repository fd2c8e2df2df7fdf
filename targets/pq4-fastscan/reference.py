"""The oracle of pq4-fastscan: the distance of every row in float32, in Lance's order, and the nearest of them.

Plain numpy without a filter. Every rounding is Lance's, so that distances are right in every bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

LANES: Final = 8
LARGEST: Final = np.finfo(np.float32).max


class Found(NamedTuple):
    """The nearest rows, and what a kernel's are compared with."""

    ids: NDArray[np.uint32]
    """Shape (r,), ascending by (distance, id); r is k, or how many rows have a distance if that is less."""
    distances: Floats
    """Theirs."""
    every: Floats
    """Shape (n,), of every row; NaN where a row is left out."""


class Pq4Kernel:
    """See `kernels.Pq4Kernel`."""

    def __init__(self, codebook: Floats, codes: NDArray[np.uint8]) -> None:
        self._codebook, self._codes = codebook, codes

    def top_k(self, query: Floats, k: int) -> Found:
        """See `kernels.Pq4Kernel.top_k`."""
        with np.errstate(over="ignore", invalid="ignore"):
            every = distances(distance_table(self._codebook, query), self._codes)
        every[~(every < LARGEST)] = np.nan
        ids = np.argsort(every, kind="stable")[: min(k, np.count_nonzero(~np.isnan(every)))]
        return Found(ids.astype(np.uint32), every[ids], every)


def distance_table(codebook: Floats, query: Floats) -> Floats:
    """Return the squared distances of the parts of a query, (D,), from all centroids, float32 (M, 16)."""
    sub_vectors, centroids, length = codebook.shape
    differences = query.reshape(sub_vectors, 1, length) - codebook
    whole = length - length % LANES
    lanes = np.zeros((sub_vectors, centroids, LANES), np.float32)
    for start in range(0, whole, LANES):
        lanes = _add_square(differences[..., start : start + LANES], lanes)
    tail = np.zeros((sub_vectors, centroids), np.float32)
    for place in range(whole, length):
        tail += np.square(differences[..., place])
    pairs = lanes[..., :4] + lanes[..., 4:]
    return (pairs[..., 0] + pairs[..., 2]) + (pairs[..., 1] + pairs[..., 3]) + tail


def distances(table: Floats, codes: NDArray[np.uint8]) -> Floats:
    """Return the sums of all rows, float32 (n,): byte by byte, the two entries are added first, then their sum."""
    total = np.full(codes.shape[1], -0.0, np.float32)
    byte = np.arange(256)
    for low, high, column in zip(table[::2], table[1::2], codes, strict=True):
        total += (low[byte & 15] + high[byte >> 4])[column]
    return total


def _add_square(values: Floats, addends: Floats) -> Floats:
    """Return values ** 2 + addends with one rounding, as a fused multiply-add does.

    float64 holds the square, but perhaps not the sum. Where it does not, the sum is rounded to an odd last bit,
    from which float32 is rounded right (Boldo and Melquiond, Emulation of FMA, 2008).
    """
    squares, others = np.square(values.astype(np.float64)), addends.astype(np.float64)
    sums = squares + others
    of_others = sums - squares
    lost = (squares - (sums - of_others)) + (others - of_others)
    bits = sums.view(np.int64)  # all sums are positive
    step = np.where(lost > 0, 1, -1) * ((lost != 0) & (bits % 2 == 0))
    return (bits + step).view(np.float64).astype(np.float32)
