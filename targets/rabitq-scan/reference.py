"""The oracle of rabitq-scan: each row's estimate and lower bound in float64, and the error float32 may make.

Owns what is right and how far a float32 kernel may be from it; the comparison itself is in target.py. Plain numpy.

With u = 2**-24, a limit is roundings * u * sum of |terms|, for the terms that Lance sums. Sums of m terms count
4 sqrt(m) roundings, and never more than m (Higham and Mary, A New Approach to Probabilistic Rounding Error
Analysis, 2019). The table in 8-bit steps is part of what is right. Where an entry lies within `TIE` of the middle
between two steps, float32 may round it either way: a row whose code names such an entry may be off by one step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]

ROUNDING = 2.0**-24
"""Largest relative error of one float32 operation."""

STEPS = 255
"""The largest step of the table."""

TIE = 16 * STEPS * ROUNDING
"""What float32 may be off, in steps, before it rounds an entry: at most 8 roundings of STEPS, twice."""

BLOCK = 32
"""Rows of a block of packed codes."""

PERMUTED = np.arange(16).reshape(2, 8).T.ravel()
"""Byte j of a segment has the nibbles of the rows PERMUTED[j] and 16 + PERMUTED[j] of its block."""


class Found(NamedTuple):
    """The nearest rows by their estimates, and all that a kernel's answer is compared with."""

    ids: NDArray[np.uint32]
    """Shape (min(k, n),), ascending by (distance, id)."""
    distances: Floats
    """Theirs, rounded."""
    every: Doubles
    """Shape (n,), the estimate of every row."""
    limit: Doubles
    """The largest error allowed in each of them."""
    bounds: Doubles
    """Shape (n,), the lower bound of every row; with one bit the estimate itself."""
    bounds_limit: Doubles
    """The largest error allowed in each of them."""


class RabitKernel:
    """Top-k search in one partition of `n` rows; see `kernels.RabitKernel`, whose parameters it has."""

    def __init__(self, codes: Bytes, factors: Floats, ex_codes: Bytes, ex_factors: Floats) -> None:
        dim = 8 * codes.shape[1]
        self._nibbles = unpacked_nibbles(codes)
        self._whole = len(codes) // BLOCK * BLOCK
        self._add, self._scale, self._error = factors.astype(np.float64)
        self._extra_bits = 8 * ex_codes.shape[1] // padded(dim)
        self._values = unpacked_values(ex_codes, self._extra_bits)[:, :dim]
        self._ex_add, self._ex_scale = ex_factors.astype(np.float64)

    def top_k(self, query: Floats, query_factor: float, k: int) -> Found:
        """Search for `query`, float32 (D,), at the squared distance `query_factor` of the centroid."""
        rotated = query.astype(np.float64)
        total, total_error = rotated.sum(), _roundings(rotated.size) * ROUNDING * np.abs(rotated).sum()
        product, product_error = self._binary_products(rotated)
        estimate = (product - total / 2) * self._scale + self._add + query_factor
        limit = np.abs(self._scale) * (product_error + total_error / 2 + 2 * ROUNDING * np.abs(product))
        limit += 8 * ROUNDING * (np.abs((product - total / 2) * self._scale) + np.abs(self._add) + query_factor)
        if not self._extra_bits:
            return _found(estimate, limit, estimate, limit, k)
        reach = self._error * query_factor**0.5
        bounds, bounds_limit = estimate - reach, limit + 8 * ROUNDING * reach
        ex_product, ex_error = self._ex_products(rotated)
        doubled, bias = 2.0**self._extra_bits, 2.0**self._extra_bits - 0.5
        full = doubled * product + ex_product - bias * total
        error = doubled * product_error + ex_error + bias * total_error
        error += 4 * ROUNDING * (doubled * np.abs(product) + np.abs(ex_product) + bias * abs(total))
        every = full * self._ex_scale + self._ex_add + query_factor
        limit = np.abs(self._ex_scale) * error
        limit += 8 * ROUNDING * (np.abs(full * self._ex_scale) + np.abs(self._ex_add) + query_factor)
        return _found(every, limit, bounds, bounds_limit, k)

    def _binary_products(self, query: Doubles) -> tuple[Doubles, Doubles]:
        """Return the sum of the query's values where a row's sign is positive, (n,), and its largest error.

        In whole blocks it is a sum of steps; the rows after them are summed as they are.
        """
        table = _subset_sums(query)
        least, span = table.min(), np.ptp(table)
        scaled = (table - least) * (STEPS / span) if span else np.zeros_like(table)
        is_near_tie = np.abs(scaled - np.floor(scaled) - 0.5) <= TIE
        step = span / STEPS
        steps = _sum_by_nibble(np.rint(scaled), self._nibbles) * step
        doubtful = _sum_by_nibble(is_near_tie.astype(np.float64), self._nibbles) * step
        start = len(table) * least
        product, error = steps + start, doubtful + 8 * ROUNDING * (steps + abs(start))
        rest = self._nibbles[:, self._whole :]
        product[self._whole :] = _sum_by_nibble(table, rest)
        terms = _sum_by_nibble(_subset_sums(np.abs(query)), rest)
        error[self._whole :] = (4 + _roundings(len(table))) * ROUNDING * terms
        return product, error

    def _ex_products(self, query: Doubles) -> tuple[Doubles, Doubles]:
        """Return the products of the query with the rows' extra codes, (n,), and their largest errors."""
        return self._values @ query, (2 + _roundings(query.size)) * ROUNDING * (self._values @ np.abs(query))


def padded(dim: int) -> int:
    """Return the dimensions that a row of extra codes has room for."""
    return -(-dim // 64) * 64


def unpacked_nibbles(codes: Bytes) -> Bytes:
    """Return each row's code in each of D / 4 tables, (D / 4, n), of packed sign codes, (n, D / 8)."""
    rows, width = codes.shape
    whole = rows // BLOCK * BLOCK
    nibbles = np.empty((2 * width, rows), np.uint8)
    segments = codes[:whole].reshape(-1, 2 * width, 16)  # block, table, byte
    in_blocks = np.empty((len(segments), 2 * width, BLOCK), np.uint8)
    in_blocks[:, :, PERMUTED] = segments & 15
    in_blocks[:, :, 16 + PERMUTED] = segments >> 4
    nibbles[:, :whole] = in_blocks.swapaxes(0, 1).reshape(2 * width, whole)
    columns = codes[whole:].reshape(width, rows - whole)
    nibbles[0::2, whole:], nibbles[1::2, whole:] = columns & 15, columns >> 4
    return nibbles


def unpacked_values(ex_codes: Bytes, bits: int) -> Doubles:
    """Return the extra codes of `bits` = 0, 4 or 8 bits, (n, D) with D padded to whole blocks of 64."""
    if bits != 4:
        return ex_codes.astype(np.float64)
    rows, width = ex_codes.shape
    groups = ex_codes.reshape(rows, width // 8, 1, 8)
    values = np.concatenate((groups & 15, groups >> 4), axis=2)
    return values.reshape(rows, 2 * width).astype(np.float64)


def _subset_sums(query: Doubles) -> Doubles:
    """Return the sums of all subsets of each four dimensions, (D / 4, 16)."""
    chosen = np.arange(16)[:, None] >> np.arange(4) & 1
    return query.reshape(-1, 4) @ chosen.T.astype(np.float64)


def _sum_by_nibble(tables: Doubles, nibbles: Bytes) -> Doubles:
    total = np.zeros(nibbles.shape[1])
    for table, codes in zip(tables, nibbles, strict=True):
        total += table.take(codes)
    return total


def _roundings(terms: int) -> float:
    return float(min(terms, 4 * terms**0.5))


def _found(every: Doubles, limit: Doubles, bounds: Doubles, bounds_limit: Doubles, k: int) -> Found:
    ids = np.lexsort((np.arange(every.size), every))[:k].astype(np.uint32)
    return Found(ids, every[ids].astype(np.float32), every, limit, bounds, bounds_limit)
