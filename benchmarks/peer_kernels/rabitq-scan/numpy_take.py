"""rabitq-scan by numpy: one `take` of steps for each table, BLAS for the extra codes of the rows that are left.

Codes are unpacked beforehand, a byte for each nibble and for each extra code. The distances are within the
target's limits. The rows with the k least lower bounds are estimated first, and decide which others are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

BLOCK = 32
PERMUTED = np.arange(16).reshape(2, 8).T.ravel()
SUBSETS = (np.arange(16) >> np.arange(4)[:, None] & 1).astype(np.float32)


class RabitKernel:
    """See the target's kernels.py."""

    def __init__(self, codes: Bytes, factors: Floats, ex_codes: Bytes, ex_factors: Floats) -> None:
        self._nibbles = _nibbles(codes)
        self._whole = len(codes) // BLOCK * BLOCK
        self._add, self._scale, self._error = factors
        self._ex_factors = ex_factors
        padded = -(-codes.shape[1] // 8) * 64
        self._extra_bits = 8 * ex_codes.shape[1] // padded
        values = _values(ex_codes) if self._extra_bits == 4 else ex_codes
        self._values = values[:, : 8 * codes.shape[1]]

    def top_k(self, query: Floats, query_factor: float, k: int) -> tuple[NDArray[np.uint32], Floats]:
        total = query.sum()
        products = self._products(query.reshape(-1, 4) @ SUBSETS)
        estimates = (products - total / 2) * self._scale + self._add + np.float32(query_factor)
        if not self._extra_bits:
            return _nearest(np.arange(estimates.size), estimates, k)
        bounds = estimates - self._error * np.float32(query_factor**0.5)
        size = min(k, estimates.size)
        likely = np.argpartition(bounds, size - 1)[:size] if size < bounds.size else np.arange(bounds.size)
        farthest = self._distances(likely, products, query, total, query_factor).max(initial=-np.inf)
        left = np.flatnonzero(bounds <= farthest)
        return _nearest(left, self._distances(left, products, query, total, query_factor), k)

    def _products(self, table: Floats) -> Floats:
        least, span = table.min(), np.ptp(table)
        factor = np.float32(255) / span if span else np.float32(0)
        steps = np.rint((table - least) * factor).astype(np.uint32)
        sums = np.zeros(self._whole, np.uint32)
        rest = np.zeros(self._nibbles.shape[1] - self._whole, np.float32)
        for of_table, in_steps, codes in zip(table, steps, self._nibbles, strict=True):
            sums += in_steps.take(codes[: self._whole])
            rest += of_table.take(codes[self._whole :])
        in_blocks = sums.astype(np.float32) * (span / np.float32(255)) + np.float32(len(table)) * least
        return np.concatenate((in_blocks, rest))

    def _distances(
        self, rows: NDArray[np.intp], products: Floats, query: Floats, total: np.float32, query_factor: float
    ) -> Floats:
        add, scale = self._ex_factors[:, rows]
        doubled = np.float32(2**self._extra_bits)
        full = doubled * products[rows] + self._values[rows].astype(np.float32) @ query
        full -= (doubled - np.float32(0.5)) * total
        distances: Floats = full * scale + add + np.float32(query_factor)
        return distances


def _nearest(rows: NDArray[np.intp], distances: Floats, k: int) -> tuple[NDArray[np.uint32], Floats]:
    order = np.argsort(distances, kind="stable")[:k]
    return rows[order].astype(np.uint32), distances[order]


def _nibbles(codes: Bytes) -> Bytes:
    """Return (D / 4, n), a byte for each nibble of the packed sign codes."""
    rows, width = codes.shape
    whole = rows // BLOCK * BLOCK
    segments = codes[:whole].reshape(-1, 2 * width, 16)
    blocks = np.empty((len(segments), 2 * width, BLOCK), np.uint8)
    blocks[:, :, PERMUTED], blocks[:, :, 16 + PERMUTED] = segments & 15, segments >> 4
    rest = codes[whole:].reshape(width, rows - whole)
    tail = np.stack((rest & 15, rest >> 4), axis=1).reshape(2 * width, rows - whole)
    return np.hstack((blocks.swapaxes(0, 1).reshape(2 * width, whole), tail))


def _values(ex_codes: Bytes) -> Bytes:
    """Return (n, D), a byte for each extra code of 4 bits."""
    rows, width = ex_codes.shape
    groups = ex_codes.reshape(rows, width // 8, 1, 8)
    return np.concatenate((groups & 15, groups >> 4), axis=2).reshape(rows, 2 * width)
