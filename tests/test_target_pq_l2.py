"""The target pq-l2: honest rewrites pass its checks on every case, wrong kernels fail on every case.

The stand-in kernels are plain numpy, so that no compiler's order of summation is taken for granted.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("pq-l2")
Array = np.ndarray[Any, Any]


class InOrder:
    """float32 in the order of the terms; results ascending by (distance, id)."""

    def __init__(self, codebook: Array, codes: Array) -> None:
        self.codebook, self.codes = codebook, codes

    def distance_table(self, query: Array, out: Array) -> None:
        parts = query.reshape(len(self.codebook), 1, -1)
        out[...] = np.square(parts - self.codebook).cumsum(axis=2, dtype=np.float32)[..., -1]

    def scan(self, table: Array) -> Array:
        total = np.zeros(self.codes.shape[1], np.float32)
        for terms, column in zip(table, self.codes, strict=True):
            total += terms[column]
        return total

    def probe_top_k(self, table: Array, k: int) -> tuple[Array, Array]:
        distances = self.scan(table)
        ids = np.argsort(distances, kind="stable")[:k].astype(np.uint32)
        return ids, distances[ids]


class Reversed(InOrder):
    def distance_table(self, query: Array, out: Array) -> None:
        parts = query.reshape(len(self.codebook), 1, -1)
        out[...] = np.square(parts - self.codebook)[..., ::-1].cumsum(axis=2, dtype=np.float32)[..., -1]

    def scan(self, table: Array) -> Array:
        total = np.zeros(self.codes.shape[1], np.float32)
        for terms, column in zip(table[::-1], self.codes[::-1], strict=True):
            total += terms[column]
        return total


class Expanded(InOrder):
    """q.q - 2 q.c + c.c, which cancels where q is near c."""

    def distance_table(self, query: Array, out: Array) -> None:
        parts = query.reshape(len(self.codebook), 1, -1)
        norms = np.square(parts).sum(axis=2) + np.square(self.codebook).sum(axis=2)
        out[...] = norms - np.float32(2) * (parts * self.codebook).sum(axis=2)


class InDouble(InOrder):
    def distance_table(self, query: Array, out: Array) -> None:
        parts = query.reshape(len(self.codebook), 1, -1).astype(np.float64)
        out[...] = np.square(parts - self.codebook).sum(axis=2)


class TiesBackwards(InOrder):
    """Equal distances in descending order of their ids."""

    def probe_top_k(self, table: Array, k: int) -> tuple[Array, Array]:
        distances = self.scan(table)
        ids = np.lexsort((-np.arange(distances.size), distances))[:k].astype(np.uint32)
        return ids, distances[ids]


class Zeros(InOrder):
    def distance_table(self, query: Array, out: Array) -> None:  # noqa: ARG002
        out[...] = 0


class NotANumber(InOrder):
    def probe_top_k(self, table: Array, k: int) -> tuple[Array, Array]:
        ids, distances = super().probe_top_k(table, k)
        return ids, np.full_like(distances, np.nan)


class NothingWritten(InOrder):
    def distance_table(self, query: Array, out: Array) -> None:
        """Leaves what the call before left."""


class HalfPrecision(InOrder):
    def distance_table(self, query: Array, out: Array) -> None:
        half = InOrder(self.codebook.astype(np.float16).astype(np.float32), self.codes)
        half.distance_table(query.astype(np.float16).astype(np.float32), out)


class LastSubSpaceLeftOut(InOrder):
    def scan(self, table: Array) -> Array:
        return InOrder(self.codebook[:-1], self.codes[:-1]).scan(table[:-1])


class OneRowOnly(InOrder):
    def probe_top_k(self, table: Array, k: int) -> tuple[Array, Array]:
        ids, distances = super().probe_top_k(table, k)
        return np.full_like(ids, ids[0]), np.full_like(distances, distances[0])


class WrongIds(InOrder):
    def probe_top_k(self, table: Array, k: int) -> tuple[Array, Array]:
        ids, distances = super().probe_top_k(table, k)
        return np.sort(ids)[::-1].copy(), distances


class FirstIds(InOrder):
    def probe_top_k(self, table: Array, k: int) -> tuple[Array, Array]:
        ids, distances = super().probe_top_k(table, k)
        return np.arange(ids.size, dtype=np.uint32), distances


class LastBlockNeverSeen(InOrder):
    def probe_top_k(self, table: Array, k: int) -> tuple[Array, Array]:
        return InOrder(self.codebook, self.codes[:, :-16]).probe_top_k(table, k)


HONEST = (InOrder, Reversed, Expanded, InDouble, TiesBackwards)
WRONG = (
    Zeros,
    NotANumber,
    NothingWritten,
    HalfPrecision,
    LastSubSpaceLeftOut,
    OneRowOnly,
    FirstIds,
    LastBlockNeverSeen,
)
ANY_ID_IS_RIGHT = "constant_codes"
"""Every row at the same distance: there, ids 0 to k-1 and any part of the rows are right."""


def verify(kernel: type[InOrder], case_id: str) -> None:
    BATTERY.verify(SimpleNamespace(PqKernel=kernel), case_id)


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for kernel in HONEST:
        verify(kernel, case_id)


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_wrong_kernels_fail_on_every_case(case_id: str) -> None:
    for kernel in WRONG:
        if case_id.endswith(ANY_ID_IS_RIGHT) and kernel in (FirstIds, LastBlockNeverSeen):
            continue
        with pytest.raises(KernelIncorrect):
            verify(kernel, case_id)


def test_every_sentence_names_the_value_that_is_wrong() -> None:
    said = {}
    for kernel in (NotANumber, HalfPrecision, OneRowOnly, WrongIds):
        with pytest.raises(KernelIncorrect) as refused:
            verify(kernel, "96x8x256-gaussian")
        said[kernel] = str(refused.value)
    assert (
        "10 of 10 values differ by more than their limit; first and worst at [0]: kernel nan" in said[NotANumber]
    )
    assert "distance table: " in said[HalfPrecision]
    assert "top-k ids: row " in said[OneRowOnly]
    assert "top-k distances of the returned ids: " in said[WrongIds]
