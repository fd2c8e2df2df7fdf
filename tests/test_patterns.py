"""The patterns that a new target is copied from: what their pages promise of right and wrong kernels holds.

That each finds wrong kernels and accepts honest ones in general is in test_targets.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from battery import Battery
from numpy.lib.stride_tricks import sliding_window_view

from pytest_lance_autoresearch.errors import KernelIncorrect

battery_of = lru_cache(maxsize=None)(Battery)


def kernel(name: str, method: str, answer: Callable[..., Any]) -> SimpleNamespace:
    """A module whose class `name` keeps its one argument, and whose `method` answers with it and the call."""

    def bound(state: Any) -> SimpleNamespace:
        return SimpleNamespace(**{method: lambda *call: answer(state, *call)})

    return SimpleNamespace(**{name: bound})


def expanded(series: Any, query: Any) -> Any:
    windows = sliding_window_view(series, len(query))
    return (windows * windows - 2 * windows * query + query * query).sum(axis=1)


def dot_products(series: Any, query: Any) -> Any:
    windows = sliding_window_view(series, len(query))
    return np.square(windows).sum(axis=1) - 2 * (windows @ query) + query @ query


def in_float32(series: Any, query: Any) -> Any:
    windows = sliding_window_view(series.astype(np.float32), len(query))
    return np.square(windows - query.astype(np.float32)).sum(axis=1).astype(np.float64)


def running_sums(series: Any, query: Any) -> Any:
    sums = np.concatenate(([0.0], np.cumsum(series * series)))
    squares = sums[len(query) :] - sums[: -len(query)]
    return squares - 2 * np.correlate(series, query) + query @ query


def words(rows: Any, query: Any) -> Any:
    """Bits counted in words of eight bytes, rows filled up with zeros."""
    more = -len(query) % 8
    found = np.pad(rows ^ query, ((0, 0), (0, more))).view(np.uint64)
    for shift, mask in ((1, 0x5555555555555555), (2, 0x3333333333333333), (4, 0x0F0F0F0F0F0F0F0F)):
        found = (found & np.uint64(mask)) + ((found >> np.uint64(shift)) & np.uint64(mask))
    return ((found * np.uint64(0x0101010101010101)) >> np.uint64(56)).sum(axis=1).astype(np.uint32)


def without_tail(rows: Any, query: Any) -> Any:
    whole = len(query) // 8 * 8
    return words(rows[:, :whole], query[:whole])


def diagonals(text: Any, word: Any, table: Any) -> Any:
    """Every value of a diagonal is independent of the others."""
    m, n = len(word), len(text)
    table[0], table[:, 0] = np.arange(n + 1), np.arange(m + 1)
    for total in range(2, m + n + 1):
        i = np.arange(max(1, total - n), min(m, total - 1) + 1)
        j = total - i
        replaced = table[i - 1, j - 1] + (word[i - 1] != text[j - 1])
        table[i, j] = np.minimum(replaced, np.minimum(table[i - 1, j], table[i, j - 1]) + 1)
    return table


def without_edges(text: Any, word: Any, table: Any) -> Any:
    right = diagonals(text, word, table.copy())
    table[1:, 1:] = right[1:, 1:]
    return table


FLOAT, EXACT, IN_OUT = (
    ("_float", "Profile", "distances"),
    ("_exact", "Codes", "distances"),
    ("_in-out", "Distances", "fill"),
)


def refusals(pattern: tuple[str, str, str], answer: Callable[..., Any]) -> set[str]:
    """The cases that refuse the kernel."""
    battery = battery_of(pattern[0])
    refused = set()
    for case in battery.cases:
        try:
            battery.verify(kernel(*pattern[1:], answer), case)
        except KernelIncorrect:
            refused.add(case)
    return refused


@pytest.mark.parametrize(
    ("pattern", "answer"),
    [(FLOAT, expanded), (FLOAT, dot_products), (EXACT, words), (IN_OUT, diagonals)],
    ids=["float: terms", "float: dot products", "exact: words", "in-out: diagonals"],
)
def test_a_rewrite_that_the_page_allows_is_right(
    pattern: tuple[str, str, str], answer: Callable[..., Any]
) -> None:
    assert refusals(pattern, answer) == set()


@pytest.mark.parametrize(
    ("pattern", "answer"),
    [(FLOAT, in_float32), (FLOAT, running_sums), (EXACT, without_tail), (IN_OUT, without_edges)],
    ids=["float: float32", "float: running sums", "exact: no tail", "in-out: no edges"],
)
def test_what_the_page_warns_of_is_wrong(pattern: tuple[str, str, str], answer: Callable[..., Any]) -> None:
    assert refusals(pattern, answer)
