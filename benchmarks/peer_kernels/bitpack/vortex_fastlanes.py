"""bitpack by Vortex, which packs integers in the same layout.

Vortex decodes arrays, not buffers: an array of the same width and length is made once and serialised, and its
packed buffer is exchanged for the page's. Chunks of one width are gathered and decoded together, in pieces whose
numbers of chunks are powers of two, so that few such arrays are needed. Vortex gives out a new array, which
is copied to the output: both are part of the time.

Differs from the contract: full width raises, because Vortex stores such values unpacked.
"""

from __future__ import annotations

import pickle
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import vortex

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Words = NDArray[np.unsignedinteger[Any]]

CHUNK = 1024


class Bitpack:
    """See `kernels.Bitpack`."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._lanes = CHUNK // bits

    def unpack_chunks(
        self,
        words: Words,
        word_off: NDArray[np.int64],
        widths: NDArray[np.uint8],
        n: int,  # noqa: ARG002
        out: Words,
    ) -> None:
        """See `kernels.Bitpack.unpack_chunks`."""
        chunks = out.reshape(-1, CHUNK)
        for width in np.unique(widths).tolist():
            of_width = np.flatnonzero(widths == width)
            if width == 0:
                chunks[of_width] = 0
                continue
            packed = words.take(word_off[of_width, None] + np.arange(width * self._lanes))
            for piece in _pieces(of_width.size):
                values = _decode(self._bits, width, packed[piece])
                chunks[of_width[piece]] = values.reshape(-1, CHUNK)


def _pieces(size: int) -> Iterator[slice]:
    start = 0
    for power in reversed(range(size.bit_length())):
        if size >> power & 1:
            yield slice(start, start + 2**power)
            start += 2**power


def _decode(bits: int, width: int, packed: Words) -> Words:
    head, buffers, place = _template(bits, width, len(packed))
    exchanged = [*buffers[:place], pickle.PickleBuffer(packed.view(np.uint8)), *buffers[place + 1 :]]
    values: Words = pickle.loads(head, buffers=exchanged).to_arrow_array().to_numpy()
    return values


@cache
def _template(bits: int, width: int, chunks: int) -> tuple[bytes, list[pickle.PickleBuffer], int]:
    """Return a serialised array of that form, and which of its buffers has the packed words."""
    values = np.random.default_rng(0).integers(0, 2**width - 1, CHUNK * chunks, dtype=np.uint64, endpoint=True)
    array = vortex.compress(vortex.array(pa.array(values.astype(f"u{bits // 8}"))))
    if not isinstance(array, vortex.FastLanesBitPackedArray) or array.bit_width != width:
        raise NotImplementedError(f"Vortex does not pack {width} of {bits} bits")
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(array, protocol=5, buffer_callback=buffers.append)
    (place,) = (i for i, buffer in enumerate(buffers) if buffer.raw().nbytes == CHUNK // 8 * width * chunks)
    return head, buffers, place
