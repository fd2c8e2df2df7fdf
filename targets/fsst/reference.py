"""The oracle of fsst: every code and every literal byte is one of 512 symbols, looked up and laid end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Ints = NDArray[np.int64]

ESCAPE = 255
LITERAL = 256
"""What is added to a literal byte to make its symbol: 256 codes come first, then the bytes as they are."""


class Decoder(NamedTuple):
    """`symbols` uint8 (512, 8); `lengths` int64 (512,); `used` bool (512, 8), which bytes of a symbol count."""

    symbols: Bytes
    lengths: Ints
    used: NDArray[np.bool_]
    compressed: bool


def prepare(table: Bytes) -> Decoder:
    """See `kernels.prepare`."""
    count, switch = int(table[0]), int(table[3]) & 1
    symbols, lengths = np.zeros((512, 8), np.uint8), np.zeros(512, np.int64)
    symbols[:count] = table[8 : 8 + 8 * count].reshape(count, 8)
    lengths[:count] = table[8 + 8 * count : 8 + 9 * count]
    symbols[LITERAL:, 0] = np.arange(256)
    lengths[LITERAL:] = 1
    return Decoder(symbols, lengths, np.arange(8) < lengths[:, None], bool(switch))


def decode(decoder: Decoder, codes: Bytes, offsets: NDArray[Any], out: Bytes, out_offsets: NDArray[Any]) -> int:
    """See `kernels.decode`."""
    start = int(offsets[0])
    items = codes[start : offsets[-1]].astype(np.int64)
    if decoder.compressed:
        items[_escapes(items) + 1] += LITERAL  # an escape is left as code 255, which adds nothing
    else:
        items += LITERAL
    ends = np.append(0, np.cumsum(decoder.lengths.take(items)))
    total = int(ends[-1])
    symbols, used = decoder.symbols.take(items, axis=0), decoder.used.take(items, axis=0)
    out[:total] = symbols.ravel().compress(used.ravel())
    out_offsets[:] = ends[offsets - start]
    return total


def _escapes(codes: Ints) -> Ints:
    """Return the places of escapes: of bytes of 255 in a row, the first is one, and then every other one."""
    places = np.flatnonzero(codes == ESCAPE)
    number = np.arange(len(places))
    starts_run = np.diff(places, prepend=-2) > 1
    return places[(number - np.maximum.accumulate(number * starts_run)) % 2 == 0]
