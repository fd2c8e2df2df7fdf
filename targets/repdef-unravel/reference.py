"""The oracle of repdef-unravel: each layer by itself, from the levels as they are, by masks and sums of numpy.

Levels say of which layer they are, so for each layer it is looked up which of them are an entry of it and whether
that is valid; an offset is how many entries of the layer inside lie before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Levels = NDArray[np.uint16]
    Numbers = NDArray[np.int64]
    Mask = NDArray[np.bool_]

ALL_VALID_ITEM, ALL_VALID_LIST, NULLABLE_ITEM, NULLABLE_LIST, EMPTYABLE_LIST, NULLABLE_AND_EMPTYABLE_LIST = range(
    6
)

NUMBERED = {
    ALL_VALID_ITEM: (),
    ALL_VALID_LIST: (),
    NULLABLE_ITEM: ("null",),
    NULLABLE_LIST: ("null",),
    EMPTYABLE_LIST: ("empty",),
    NULLABLE_AND_EMPTYABLE_LIST: ("null", "empty"),
}
"""What the definition levels of a layer say, in their order."""


class Said(NamedTuple):
    """What a definition level says: what of which layer."""

    layer: int
    what: str


def unravel(
    repetition: Levels,
    definition: Levels,
    starts: Numbers,
    meanings: NDArray[np.uint8],
    _items: Numbers,
    offsets: NDArray[np.int32],
    validity: NDArray[np.uint8],
) -> tuple[Numbers, NDArray[np.int32], NDArray[np.uint8]]:
    """See `kernels.unravel`."""
    pages = [slice(*page) for page in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)]
    is_list = [meaning not in (ALL_VALID_ITEM, NULLABLE_ITEM) for meaning in meanings[0].tolist()]
    counts = np.zeros(len(is_list), np.int64)
    inside = np.zeros(len(definition), bool)
    for layer, lists in enumerate(np.cumsum(is_list).tolist()):
        begins = repetition >= lists if lists else np.ones(len(definition), bool)
        parts = [
            _entries(definition[page], meanings[at].tolist(), is_list, layer) for at, page in enumerate(pages)
        ]
        is_entry = begins & np.concatenate([part[0] for part in parts])
        is_valid = np.concatenate([part[1] for part in parts])[is_entry]
        counts[layer] = len(is_valid)
        packed = np.packbits(is_valid, bitorder="little")
        validity[layer, : len(packed)] = packed
        if is_list[layer]:
            before = np.append(0, np.cumsum(inside))
            offsets[lists - 1, : len(is_valid) + 1] = np.append(before[:-1][is_entry], before[-1])
        inside = is_entry
    return counts, offsets, validity


def _entries(levels: Levels, meanings: list[int], is_list: list[bool], layer: int) -> tuple[Mask, Mask]:
    """Say of each level of a page whether it can be an entry of the layer, and whether that is valid."""
    said = [Said(at, what) for at, meaning in enumerate(meanings) for what in NUMBERED[meaning]]
    can_be = [not any(is_list[layer + 1 : level.layer + 1]) for level in said]
    never_null = meanings[layer] == ALL_VALID_ITEM
    valid = [never_null or level.layer < layer or level == (layer, "empty") for level in said]
    return np.array([True, *can_be])[levels], np.array([True, *valid])[levels]
