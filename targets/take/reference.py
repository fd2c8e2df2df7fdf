"""The oracle of take: fancy indexing, slices of bytes, a dictionary. Plain numpy and Python; see kernels.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Indices = NDArray[np.uint32] | NDArray[np.uint64]


def take_fixed(values: Array, indices: Indices, out: Array) -> None:
    """Fill `out`, (n,), with the values, (m,), that `indices`, (n,), name."""
    out[:] = values[indices]


def take_rows(values: Array, indices: Indices, out: Array) -> None:
    """Fill `out`, (n, D), with the rows of `values`, (m, D), that `indices`, (n,), name."""
    out[:] = values[indices]


def take_binary(
    offsets: NDArray[np.int32],
    data: NDArray[np.uint8],
    indices: Indices,
    out_offsets: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> int:
    """Fill `out_offsets`, int32 (n + 1,), and the first bytes of `out`, uint8; return how many."""
    whole = memoryview(data)
    starts, ends = offsets[:-1][indices].tolist(), offsets[1:][indices].tolist()
    strings = [whole[start:end] for start, end in zip(starts, ends, strict=True)]
    joined = np.frombuffer(b"".join(strings), np.uint8)
    out[: joined.size] = joined
    out_offsets[:] = np.cumsum([0, *map(len, strings)])
    return joined.size


def take_bits(bits: NDArray[np.uint8], indices: Indices, out: NDArray[np.uint8]) -> None:
    """Fill `out`, uint8 (ceil(n / 8),), with the bits that `indices`, (n,), name; 0 after the last."""
    out[:] = np.packbits(np.unpackbits(bits, bitorder="little")[indices], bitorder="little")


def remap(requested: NDArray[np.uint64], returned: NDArray[np.uint64], out: NDArray[np.uint64]) -> int:
    """Write to `out` where in `returned` each of `requested` is, but for those that are not; count them."""
    place = {address: position for position, address in enumerate(returned.tolist())}
    found = [place[address] for address in requested.tolist() if address in place]
    out[: len(found)] = found
    return len(found)
