"""Repetition and definition levels to offsets and validity bitmaps. The file that an agent edits.

A port of what Lance 14.0.2 runs for every nullable column and every list that it decodes:
`CompositeRepDefUnraveler::unravel_validity` and `unravel_offsets`, and below them those of `RepDefUnraveler`
(rust/lance-encoding/src/repdef.rs, read at lancedb/lance d2039d750, November 2025, with the corrections that the
wheel shows). Layers are unravelled from the innermost to the outermost: a bit goes to a builder for each item, and a
loop over the levels makes the offsets of a layer of lists and moves the levels that begin a list to the front,
where the next layer finds them.

Stays: `unravel(repetition, definition, starts, meanings, items, offsets, validity)`, with the dtypes and shapes
that its docstring gives.

CAN: make all layers in one pass, or several passes over the levels; write in words of any size, and anything behind
the entries of a row of `offsets` or `validity`; treat columns of one layer, or pages that are all valid, alike.
CANNOT: keep anything that depends on a call's arguments for a later call; write to other arguments than `offsets`
and `validity`; start threads or processes; import anything but numba, llvmlite.ir, numpy and the mathematics of the
standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Levels = NDArray[np.uint16]
    Numbers = NDArray[np.int64]
    Offsets = NDArray[np.int32]
    Bytes = NDArray[np.uint8]

ALL_VALID_ITEM, ALL_VALID_LIST, NULLABLE_ITEM, NULLABLE_LIST, EMPTYABLE_LIST, NULLABLE_AND_EMPTYABLE_LIST = range(6)
"""What a layer of a page may be (`DefinitionInterpretation`). Structs are items."""


def unravel(
    repetition: Levels,
    definition: Levels,
    starts: Numbers,
    meanings: Bytes,
    items: Numbers,
    offsets: Offsets,
    validity: Bytes,
) -> tuple[Numbers, Offsets, Bytes]:
    """Unravel the levels of p pages into the layers of a column: l layers, k of them lists.

    Layer 0 is the innermost, the values. A layer has entries: values, structs or lists. An *item* layer has
    one entry for each entry of the layer inside it, a list layer one for each list.

    Parameters
    ----------
    repetition : uint16, shape (n,), or (0,) where k is 0
        For each level how many layers of lists begin a new list there, counted from the innermost: 0 goes on in
        the innermost list, k begins a new one in every layer. A page begins with k.
    definition : uint16, shape (n,)
        For each level 0, where everything is valid, or what is not. The layers of a page number theirs from the
        innermost, from 1: NULLABLE_ITEM, NULLABLE_LIST and EMPTYABLE_LIST have one number each, which says that
        the entry is null, or that the list is empty; NULLABLE_AND_EMPTYABLE_LIST has two, null and then empty;
        the others have none. Behind a list that is null or empty there is no entry in the layers inside it.
        Where an item is null, so are the entries of the layers inside it, up to the first list, which has none;
        but entries of an ALL_VALID_ITEM are always valid.
    starts : int64, shape (p + 1,)
        Page j has the levels `starts[j]` to `starts[j + 1]`, one or more; from 0 to n.
    meanings : uint8, shape (p, l)
        What the layers of each page are, from ALL_VALID_ITEM to NULLABLE_AND_EMPTYABLE_LIST. Whether a layer has
        items or lists is the same in all pages; layer 0 has items.
    items : int64, shape (p,)
        How many entries layer 0 has in each page.
    offsets : int32, shape (k, n + 1)
        To be filled: row j with the offsets of the j-th layer of lists, the innermost first. They begin with 0 in the
        first page and go on through all pages. List i has the entries `offsets[i]` to `offsets[i + 1]` of the layer
        inside it.
    validity : uint8, shape (l, m), 8 * m >= n and m a multiple of 8
        To be filled: row j with a bit for each entry of layer j, the lowest bit of a byte first: 1 is valid, 0 is
        null. The bits of the last byte behind the last entry are 0. Where layer j is nullable in no page, its row
        may become anything.

    Returns
    -------
    counts : int64, shape (l,)
        How many entries each layer has. What lies behind `counts[j] + 1` offsets and `counts[j]` bits, rounded up to
        bytes, may become anything.
    offsets, validity : the arguments
    """
    counts = np.empty(len(validity), np.int64)
    entries, sizes, valid_levels = items.copy(), np.diff(starts), np.zeros_like(items)
    levels = repetition, definition
    kept = np.empty_like(repetition), np.empty_like(repetition)
    lists = 0
    for layer in range(len(validity)):
        if meanings[0, layer] in (ALL_VALID_ITEM, NULLABLE_ITEM):
            if (meanings[:, layer] == NULLABLE_ITEM).any():
                _unravel_validity(
                    levels[1], starts, sizes, meanings, layer, lists, valid_levels, entries, validity[layer]
                )
        else:
            _unravel_offsets(
                *levels,
                *kept,
                starts,
                sizes,
                meanings,
                layer,
                valid_levels,
                entries,
                offsets[lists],
                validity[layer],
            )
            levels = kept
            lists += 1
        counts[layer] = entries.sum()
    return counts, offsets, validity


@njit()
def _unravel_validity(
    definition: Levels,
    starts: Numbers,
    sizes: Numbers,
    meanings: Bytes,
    layer: int,
    lists: int,
    valid_levels: Numbers,
    entries: Numbers,
    validity: Bytes,
) -> None:
    """Make the bits of a layer of items, page after page, with `lists` layers of lists inside it."""
    count = 0
    for page in range(len(sizes)):
        if meanings[page, layer] == ALL_VALID_ITEM:
            count = _append_valid(validity, count, entries[page])
            continue
        levels_to_rep = _levels_to_rep(meanings[page])
        valid_level = valid_levels[page]
        valid_levels[page] += 1
        for at in range(starts[page], starts[page] + sizes[page]):
            level = definition[at]
            if levels_to_rep[level] <= lists:
                _append(validity, count, level <= valid_level)
                count += 1


@njit()
def _unravel_offsets(
    repetition: Levels,
    definition: Levels,
    kept_repetition: Levels,
    kept_definition: Levels,
    starts: Numbers,
    sizes: Numbers,
    meanings: Bytes,
    layer: int,
    valid_levels: Numbers,
    entries: Numbers,
    offsets: Offsets,
    validity: Bytes,
) -> None:
    """Make the offsets and bits of a layer of lists, page after page, and keep the levels of the layers outside.

    Lance keeps them in place; the arguments of a call stay as they are, so here they go to arrays of their own from
    the first layer of lists on. `sizes` and `entries` become those of this layer.
    """
    is_nullable = _is_nullable(meanings[:, layer])
    count, length = 0, 0
    for page in range(len(sizes)):
        first, written = count, starts[page]
        valid_level, null_level, empty_level = valid_levels[page], 0, 0
        meaning = meanings[page, layer]
        if meaning == NULLABLE_LIST or meaning == NULLABLE_AND_EMPTYABLE_LIST:
            valid_levels[page] += 1
            null_level = valid_levels[page]
        if meaning == EMPTYABLE_LIST or meaning == NULLABLE_AND_EMPTYABLE_LIST:
            valid_levels[page] += 1
            empty_level = valid_levels[page]
        upper_null = valid_levels[page]
        max_level = _highest_visible(meanings[page], layer, upper_null)
        if _has_definition(meanings[page]):
            for at in range(starts[page], starts[page] + sizes[page]):
                if repetition[at] == 0:
                    length += 1
                    continue
                level = definition[at]
                kept_repetition[written] = repetition[at] - 1
                kept_definition[written] = level
                written += 1
                if level == 0:
                    offsets[count] = length
                    length += 1
                    is_valid = True
                elif level > max_level:  # a list outside is null or empty: nothing of it is in this layer
                    continue
                elif level == null_level or level > upper_null:  # null, or in a struct that is null
                    offsets[count] = length
                    is_valid = False
                elif level == empty_level:
                    offsets[count] = length
                    is_valid = True
                else:  # what it begins with is null or empty
                    offsets[count] = length
                    length += 1
                    is_valid = True
                if is_nullable:
                    _append(validity, count, is_valid)
                count += 1
        else:
            for at in range(starts[page], starts[page] + sizes[page]):
                if repetition[at] != 0:
                    offsets[count] = length
                    count += 1
                    kept_repetition[written] = repetition[at] - 1
                    written += 1
                length += 1
            if is_nullable:
                _append_valid(validity, first, count - first)
        sizes[page] = written - starts[page]
        entries[page] = count - first
    offsets[count] = length


@njit()
def _levels_to_rep(meanings: Bytes) -> Levels:
    """For each definition level of a page, how many layers of lists are inside what it is about, or that itself."""
    levels_to_rep = np.zeros(2 * len(meanings) + 1, np.uint16)
    level, lists = 0, 0
    for meaning in meanings:
        lists += meaning != ALL_VALID_ITEM and meaning != NULLABLE_ITEM
        for _ in range(_levels_of(meaning)):
            level += 1
            levels_to_rep[level] = lists
    return levels_to_rep


@njit()
def _highest_visible(meanings: Bytes, layer: int, level: int) -> int:
    """Return the highest level that is about a list of the layer or a struct right around it."""
    for meaning in meanings[layer + 1 :]:
        if meaning == NULLABLE_ITEM:
            level += 1
        elif meaning != ALL_VALID_ITEM:
            break
    return level


@njit()
def _has_definition(meanings: Bytes) -> bool:
    """Whether Lance stores definition levels for such a page."""
    total = 0
    for meaning in meanings:
        total += _levels_of(meaning)
    return total > 0


@njit()
def _levels_of(meaning: int) -> int:
    if meaning == NULLABLE_AND_EMPTYABLE_LIST:
        return 2
    return 1 if meaning >= NULLABLE_ITEM else 0


@njit()
def _is_nullable(meanings: Bytes) -> bool:
    """Whether a list may be null in any of the pages."""
    for meaning in meanings:
        if meaning == NULLABLE_LIST or meaning == NULLABLE_AND_EMPTYABLE_LIST:
            return True
    return False


@njit()
def _append(validity: Bytes, count: int, is_valid: bool) -> None:
    """Add a bit behind so many (`BooleanBufferBuilder::append`)."""
    if count % 8 == 0:
        validity[count // 8] = 0
    if is_valid:
        validity[count // 8] |= np.uint8(1 << (count % 8))


@njit()
def _append_valid(validity: Bytes, count: int, more: int) -> int:
    """Add bits of ones behind so many, byte by byte (`BooleanBufferBuilder::append_n`), and count them too."""
    end = count + more
    while count < end and count % 8 != 0:
        _append(validity, count, True)
        count += 1
    while count + 8 <= end:
        validity[count // 8] = 255
        count += 8
    while count < end:
        _append(validity, count, True)
        count += 1
    return count
