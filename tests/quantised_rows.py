"""What stand-in kernels for searches of product-quantised rows have in common: plain numpy, in float32."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class InOrder:
    """Sums in the order of the terms; rows of equal distance in the order of their ids."""

    codebook: Array
    """float32 (M, 256, sd)."""

    def table(self, residual: Array) -> Array:
        """The squared distances of a residual's parts, float32 (M * sd,), to all centroids, float32 (M, 256)."""
        parts = residual.reshape(len(self.codebook), 1, -1)
        table: Array = np.square(parts - self.codebook).cumsum(axis=2, dtype=np.float32)[..., -1]
        return table

    def scan(self, table: Array, block: Array) -> Array:
        """What the table has for the codes of each row, uint8 (M, n), added up to float32 (n,)."""
        total = np.zeros(block.shape[1], np.float32)
        for terms, column in zip(table, block, strict=True):
            total += terms[column]
        return total

    def order(self, distances: Array) -> Array:
        return np.argsort(distances, kind="stable")


class FromTheEnd(InOrder):
    """Every sum from its end; rows of equal distance in descending order of their ids."""

    def table(self, residual: Array) -> Array:
        parts = residual.reshape(len(self.codebook), 1, -1)
        table: Array = np.square(parts - self.codebook)[..., ::-1].cumsum(axis=2, dtype=np.float32)[..., -1]
        return table

    def scan(self, table: Array, block: Array) -> Array:
        return super().scan(table[::-1], block[::-1])

    def order(self, distances: Array) -> Array:
        return np.lexsort((-np.arange(distances.size), distances))
