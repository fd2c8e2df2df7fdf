"""Nested columns of pyarrow as repdef-unravel has them: layers, the innermost first, by offsets and bits.

layers = of_array(array)             what each layer of a list, struct or number has
to_array(layers)                     and back, with values from 0 on
call = call_of(pages)                the levels of Lance's pages, as arguments of the kernel
unravelled(impl, call)               and what an oracle or kernel makes of them
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import lance_pages
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MEANINGS: Final = (
    "RepdefAllValidItem",
    "RepdefAllValidList",
    "RepdefNullableItem",
    "RepdefNullableList",
    "RepdefEmptyableList",
    "RepdefNullAndEmptyList",
)
"""What Lance calls the meanings of the target, in their order."""
NULLABLE: Final = (2, 3, 5)
LISTS: Final = (1, 3, 4, 5)


class Layer(NamedTuple):
    """Entries of a layer, its offsets if these are lists, and its bits, None where nothing can be null.

    `offsets` is int32 (entries + 1,), `validity` uint8, a bit for each entry, rounded up to bytes.
    """

    entries: int
    offsets: NDArray[np.int32] | None
    validity: NDArray[np.uint8] | None


def of_array(array: Any) -> tuple[Layer, ...]:
    """Take an array apart, by its own buffers, as far as they have entries."""
    import pyarrow as pa

    assert array.offset == 0
    inside: tuple[Layer, ...] = ()
    offsets = None
    if pa.types.is_list(array.type):
        offsets = np.frombuffer(array.buffers()[1], np.int32)[: len(array) + 1]
        inside = of_array(array.values)
    elif pa.types.is_struct(array.type):
        inside = of_array(array.field(0))
    bits = array.buffers()[0]
    validity = None if bits is None else np.frombuffer(bits, np.uint8)[: -(-len(array) // 8)]
    return (*inside, Layer(len(array), offsets, validity))


def to_array(layers: Sequence[Layer]) -> Any:
    """Put an array together: 32-bit numbers in lists and structs."""
    import pyarrow as pa

    array = pa.array(np.arange(layers[0].entries, dtype=np.int32), mask=_mask(layers[0]))
    for layer in layers[1:]:
        mask = _mask(layer)
        null = None if mask is None else pa.array(mask)
        if layer.offsets is None:
            array = pa.StructArray.from_arrays([array], ["field"], mask=null)
        else:
            array = pa.ListArray.from_arrays(pa.array(layer.offsets), array, mask=null)
    return array


def unravelled(impl: Any, call: Sequence[Any]) -> tuple[Layer, ...]:
    """Return what an oracle or kernel makes of a call."""
    counts, offsets, validity = impl.unravel(*call)
    rows = iter(offsets)
    return tuple(
        Layer(
            int(count),
            next(rows)[: count + 1] if meanings[0] in LISTS else None,
            bits[: -(-count // 8)] if np.isin(meanings, NULLABLE).any() else None,
        )
        for count, bits, meanings in zip(counts, validity, call[3].T, strict=True)
    )


def call_of(pages: Sequence[lance_pages.Page]) -> tuple[Any, ...]:
    """Return the arguments of `unravel` for the levels of some pages, and outputs full of noise."""
    repetition = [lance_pages.repetition_levels(page) for page in pages]
    definition = [lance_pages.definition_levels(page) for page in pages]
    meanings = np.array([[MEANINGS.index(name) for name in lance_pages.layers(page)] for page in pages], np.uint8)
    sizes = [len(levels) for levels in definition]
    total = sum(sizes)
    return (
        np.concatenate(repetition),
        np.concatenate(definition),
        np.cumsum([0, *sizes]),
        meanings,
        np.array([_items(levels, each.tolist()) for levels, each in zip(definition, meanings, strict=True)]),
        np.full((int(np.isin(meanings[0], LISTS).sum()), total + 1), -77, np.int32),
        np.full((meanings.shape[1], -(-total // 64) * 8), 0xA5, np.uint8),
    )


def _items(definition: NDArray[np.uint16], meanings: list[int]) -> int:
    """Count the levels that are no list without entries: their level is about a layer inside the first list."""
    first_list = next((at for at, meaning in enumerate(meanings) if meaning in LISTS), len(meanings))
    return int((definition <= sum(meaning in NULLABLE for meaning in meanings[:first_list])).sum())


def _mask(layer: Layer) -> NDArray[np.bool_] | None:
    if layer.validity is None:
        return None
    return ~np.unpackbits(layer.validity, count=layer.entries, bitorder="little").astype(bool)
