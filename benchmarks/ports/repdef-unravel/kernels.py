"""Repetition and definition levels to offsets and validity bitmaps. The file that an agent edits.

A port of what Lance 14.0.2 runs for every nullable column and every list that it decodes:
`CompositeRepDefUnraveler::unravel_validity` and `unravel_offsets`, which call those of `RepDefUnraveler` for each
page (rust/lance-encoding/src/repdef.rs, read at lancedb/lance d2039d750, November 2025, and corrected where the
wheel of 14.0.2 does otherwise). Layers are unravelled from the innermost to the outermost: a bit for each item
goes to a builder, and a loop over the levels makes the offsets of a layer of lists, and moves the levels that
begin a list to the front, where the next layer finds them.

Stays: `unravel(repetition, definition, starts, meanings, items, offsets, validity)`, with the dtypes and shapes
that its docstring gives.

CAN: make all layers in one pass, or take several passes over the levels; write in words of any size, and anything
behind the entries of a row of `offsets` or `validity`; have special paths for columns of one layer, for pages
without nulls, for long lists.
CANNOT: keep anything that depends on a call's arguments for a later call; write to other arguments than `offsets`
and `validity`; start threads or processes; import anything but numba, llvmlite.ir, numpy and the mathematics of
the standard library.
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

ALL_VALID_ITEM, ALL_VALID_LIST, NULLABLE_ITEM, NULLABLE_LIST, EMPTYABLE_LIST, NULLABLE_AND_EMPTYABLE_LIST = range(
    6
)
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
        To be filled: row j with the offsets of the j-th layer of lists, the innermost first. They begin with 0
        and go on through all pages: list i has the entries `offsets[i]` to `offsets[i + 1]` of the layer inside.
    validity : uint8, shape (l, m), 8 * m >= n and m a multiple of 8
        To be filled: row j with a bit for each entry of layer j, the lowest bit of a byte first: 1 is valid, 0 is
        null. The bits of the last byte behind the last entry are 0. Where layer j is nullable in no page, its row
        may become anything.

    Returns
    -------
    counts : int64, shape (l,)
        How many entries each layer has. What lies behind `counts[j] + 1` offsets and `counts[j]` bits, rounded
        up to bytes, may become anything.
    offsets, validity : the arguments
    """
    counts = np.empty(len(validity), np.int64)
    entries, sizes, valid_levels = items.copy(), np.diff(starts), np.zeros_like(items)
    levels = repetition, definition
    kept = np.empty_like(repetition), np.empty_like(repetition)
    lists = 0
    for layer in range(len(validity)):
        pages = starts, sizes, meanings, layer, valid_levels, entries
        nullable = np.isin(meanings[:, layer], (NULLABLE_ITEM, NULLABLE_LIST, NULLABLE_AND_EMPTYABLE_LIST)).any()
        if meanings[0, layer] not in (ALL_VALID_ITEM, NULLABLE_ITEM):
            _unravel_offsets(*levels, *kept, *pages, nullable, offsets[lists], validity[layer])
            levels = kept
            lists += 1
        elif nullable:
            _unravel_validity(levels[1], *pages, lists, validity[layer])
        counts[layer] = entries.sum()
    return counts, offsets, validity


@njit()
def _unravel_validity(
    definition: Levels,
    starts: Numbers,
    sizes: Numbers,
    meanings: Bytes,
    layer: int,
    valid_levels: Numbers,
    entries: Numbers,
    lists: int,
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
    nullable: bool,
    offsets: Offsets,
    validity: Bytes,
) -> None:
    """Make the offsets and bits of a layer of lists, page after page, and keep the levels of the layers outside.

    Lance keeps them in place. The arguments of a call stay as they are, so that here they go to arrays of their
    own from the first layer of lists on. `sizes` and `entries` become those of this layer.
    """
    count, length = 0, 0
    for page in range(len(sizes)):
        first, levels = count, slice(starts[page], starts[page] + sizes[page])
        if _has_definition(meanings[page]):
            meant = _list_levels(meanings[page], layer, valid_levels[page])
            valid_levels[page] = meant[2]
            kept, count, length = _offsets_of_page(
                repetition[levels],
                definition[levels],
                kept_repetition[levels],
                kept_definition[levels],
                meant,
                nullable,
                offsets,
                validity,
                count,
                length,
            )
        else:
            kept, length = _offsets_of_valid_page(
                repetition[levels], kept_repetition[levels], offsets, count, length
            )
            count = _append_valid(validity, count, kept)
        sizes[page] = kept
        entries[page] = count - first
    offsets[count] = length


@njit()
def _offsets_of_page(
    repetition: Levels,
    definition: Levels,
    kept_repetition: Levels,
    kept_definition: Levels,
    meant: tuple[int, int, int, int],
    nullable: bool,
    offsets: Offsets,
    validity: Bytes,
    count: int,
    length: int,
) -> tuple[int, int, int]:
    """Go on behind `count` lists with `length` entries; return how many levels are kept, and both numbers."""
    null_level, empty_level, upper_null, highest_visible = meant
    kept = 0
    for at in range(len(repetition)):
        if repetition[at] == 0:
            length += 1
            continue
        level = definition[at]
        kept_repetition[kept] = repetition[at] - 1
        kept_definition[kept] = level
        kept += 1
        if level > highest_visible:  # a list outside is null or empty: this layer has nothing of it
            continue
        offsets[count] = length
        is_null = level != 0 and (level == null_level or level > upper_null)
        if not is_null and (level == 0 or level != empty_level):
            length += 1
        if nullable:
            _append(validity, count, not is_null)
        count += 1
    return kept, count, length


@njit()
def _offsets_of_valid_page(
    repetition: Levels, kept_repetition: Levels, offsets: Offsets, count: int, length: int
) -> tuple[int, int]:
    """Do the same for a page without definition levels, where all that begins a list is one of this layer."""
    kept = 0
    for at in range(len(repetition)):
        if repetition[at] != 0:
            offsets[count + kept] = length
            kept_repetition[kept] = repetition[at] - 1
            kept += 1
        length += 1
    return kept, length


@njit()
def _list_levels(meanings: Bytes, layer: int, valid_level: int) -> tuple[int, int, int, int]:
    """Return which level is a null list (or 0), which an empty one (or 0), up to which they are about the list or
    what is inside it, and up to which there is a list, since a struct around it that is null has one."""
    null_level, empty_level, level = 0, 0, valid_level
    if meanings[layer] in (NULLABLE_LIST, NULLABLE_AND_EMPTYABLE_LIST):
        level += 1
        null_level = level
    if meanings[layer] in (EMPTYABLE_LIST, NULLABLE_AND_EMPTYABLE_LIST):
        level += 1
        empty_level = level
    highest_visible = level
    for meaning in meanings[layer + 1 :]:
        if meaning == NULLABLE_ITEM:
            highest_visible += 1
        elif meaning != ALL_VALID_ITEM:
            break
    return null_level, empty_level, level, highest_visible


@njit()
def _levels_to_rep(meanings: Bytes) -> Levels:
    """Return for each definition level how many layers of lists are inside what it is about, or are that."""
    levels_to_rep = np.zeros(2 * len(meanings) + 1, np.uint16)
    level, lists = 0, 0
    for meaning in meanings:
        if meaning not in (ALL_VALID_ITEM, NULLABLE_ITEM):
            lists += 1
        for _ in range(_levels_of(meaning)):
            level += 1
            levels_to_rep[level] = lists
    return levels_to_rep


@njit()
def _has_definition(meanings: Bytes) -> bool:
    """Whether Lance has definition levels for such a page."""
    levels = 0
    for meaning in meanings:
        levels += _levels_of(meaning)
    return levels > 0


@njit()
def _levels_of(meaning: int) -> int:
    if meaning == NULLABLE_AND_EMPTYABLE_LIST:
        return 2
    return 1 if meaning >= NULLABLE_ITEM else 0


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
