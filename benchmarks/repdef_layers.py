"""Layers of a column out of its levels by masks and sums of numpy, for the peers of repdef-unravel.

These pack the masks of what is valid into bits, each its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np

ALL_VALID_ITEM, ALL_VALID_LIST, NULLABLE_ITEM, NULLABLE_LIST, EMPTYABLE_LIST, NULLABLE_AND_EMPTYABLE_LIST = range(
    6
)
ITEMS = (ALL_VALID_ITEM, NULLABLE_ITEM)
NULLABLE = (NULLABLE_ITEM, NULLABLE_LIST, NULLABLE_AND_EMPTYABLE_LIST)
EMPTYABLE = (EMPTYABLE_LIST, NULLABLE_AND_EMPTYABLE_LIST)


class Layer(NamedTuple):
    """Entries of a layer of a page, which are valid, and of lists the offsets, from 0, without the last one."""

    entries: int
    is_valid: np.ndarray
    offsets: np.ndarray | None


def unravel(pack: Callable[[np.ndarray], np.ndarray], *call: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Do what targets/repdef-unravel/kernels.py does; `pack` makes bytes of a mask."""
    repetition, definition, starts, meanings, _, offsets, validity = call
    pages = [
        list(_layers(repetition[start:end].copy(), definition[start:end], each))
        for start, end, each in zip(starts[:-1].tolist(), starts[1:].tolist(), meanings.tolist(), strict=True)
    ]
    counts = np.array([[layer.entries for layer in page] for page in pages])
    lists = 0
    for at, layers in enumerate(zip(*pages, strict=True)):
        if np.isin(meanings[:, at], NULLABLE).any():
            packed = pack(np.concatenate([layer.is_valid for layer in layers]))
            validity[at, : len(packed)] = packed
        if meanings[0, at] not in ITEMS:
            row, end, before = offsets[lists], 0, 0
            for layer, inside in zip(layers, counts[:, at - 1].tolist(), strict=True):
                row[end : end + layer.entries] = layer.offsets
                row[end : end + layer.entries] += before
                end, before = end + layer.entries, before + inside
            row[end] = before
            lists += 1
    return counts.sum(axis=0), offsets, validity


def _layers(repetition: np.ndarray, definition: np.ndarray, meanings: list[int]) -> Iterator[Layer]:
    """Yield the layers of a page, the innermost first."""
    level, inside = 0, definition
    for at, meaning in enumerate(meanings):
        null = level + (meaning in NULLABLE)
        empty = null + (meaning in EMPTYABLE)
        around = takewhile(ITEMS.__contains__, meanings[at + 1 :])
        is_visible = definition <= empty + sum(outer == NULLABLE_ITEM for outer in around)
        if meaning not in ITEMS:
            is_begun = repetition > 0
            before = np.cumsum(inside)
            before -= inside
            repetition, definition = repetition[is_begun] - np.uint16(1), definition[is_begun]
            before, is_visible = before[is_begun], is_visible[is_begun]
        levels = definition[is_visible]
        is_valid = levels <= level
        if meaning in EMPTYABLE:
            is_valid |= levels == empty
        elif meaning == ALL_VALID_ITEM:
            is_valid[:] = True
        yield Layer(len(levels), is_valid, None if meaning in ITEMS else before[is_visible])
        level, inside = empty, is_visible
