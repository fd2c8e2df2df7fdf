"""The table and the sums of Lance's 4-bit product quantisation, by numpy, for the peers of pq4-fastscan.

numpy has no fused multiply-add. float64 takes its place, and rounds otherwise in one of about 2**29 steps; a case
that meets one is answered otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

LANES = 8
LARGEST = np.finfo(np.float32).max


def sums_of_pairs(by_dimension: Floats, query: Floats) -> Floats:
    """Return what each byte of a code adds to a distance, float32 (M / 2, 256).

    `by_dimension` is the codebook, float32 (sd, M, 16), `query` float32 (M * sd,).
    """
    length = len(by_dimension)
    differences = query.reshape(-1, length).T[..., None] - by_dimension
    whole = length - length % LANES
    lanes = np.zeros((LANES, *by_dimension.shape[1:]), np.float32)
    for start in range(0, whole, LANES):
        squares = np.square(differences[start : start + LANES], dtype=np.float64)
        lanes = (squares + lanes).astype(np.float32)
    tail = np.zeros(by_dimension.shape[1:], np.float32)
    for difference in differences[whole:]:
        tail += np.square(difference)
    pairs = lanes[:4] + lanes[4:]
    table = (pairs[0] + pairs[2]) + (pairs[1] + pairs[3]) + tail
    sums: Floats = (table[1::2, :, None] + table[::2, None]).reshape(-1, 256)
    return sums
