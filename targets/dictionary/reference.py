"""The oracle of dictionary: entries looked up one by one and joined."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]


def prepare_fixed(values: Bytes) -> Bytes:
    """See `kernels.prepare_fixed`."""
    return values


def decode_fixed(indices: NDArray[Any], table: Bytes, out: Bytes) -> None:
    """See `kernels.decode_fixed`."""
    out[...] = table[indices.astype(np.int64)]


def prepare_binary(offsets: NDArray[Any], data: Bytes) -> tuple[list[bytes], NDArray[Any]]:
    """Return the entries and their lengths, see `kernels.prepare_binary`."""
    entries = [data[start:end].tobytes() for start, end in pairwise(offsets.tolist())]
    return entries, np.diff(offsets)


def decode_binary(
    indices: NDArray[Any], table: tuple[list[bytes], NDArray[Any]], out_offsets: NDArray[Any], out_data: Bytes
) -> int:
    """See `kernels.decode_binary`."""
    entries, lengths = table
    joined = b"".join([entries[index] for index in indices.tolist()])
    out_offsets[0] = 0
    out_offsets[1:] = np.cumsum(lengths[indices])
    out_data[: len(joined)] = np.frombuffer(joined, np.uint8)
    return len(joined)


def decode_runs(
    values: NDArray[Any],
    runs: Bytes,
    table: tuple[list[bytes], NDArray[Any]],
    out_offsets: NDArray[Any],
    out_data: Bytes,
) -> int:
    """See `kernels.decode_runs`."""
    return decode_binary(np.repeat(values, runs), table, out_offsets, out_data)
