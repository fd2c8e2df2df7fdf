"""The oracle of utf8-validate: Python's own decoder for the bytes, and rules over whole arrays for the offsets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

VALID, DESCENDING, NEGATIVE, BEYOND, NOT_UTF8, SPLIT = range(6)


def validate(data: NDArray[np.uint8], offsets: NDArray[Any]) -> NDArray[np.int64]:
    """See `kernels.validate`."""
    return np.array([_fault(data, batch) for batch in offsets], np.int64).reshape(-1, 2)


def _fault(data: NDArray[np.uint8], offsets: NDArray[Any]) -> tuple[int, int]:
    for fault, is_at_fault in (
        (DESCENDING, np.append(False, offsets[1:] < offsets[:-1])),
        (NEGATIVE, offsets < 0),
        (BEYOND, offsets > len(data)),
    ):
        if is_at_fault.any():
            return fault, int(is_at_fault.argmax())
    values = data[offsets[0] : offsets[-1]].tobytes()
    try:
        values.decode()
    except UnicodeDecodeError as error:
        return NOT_UTF8, error.start
    first_bytes = np.frombuffer(values + b"\0", np.uint8)[offsets - offsets[0]]
    splits = (first_bytes & 0b1100_0000) == 0b1000_0000
    return (SPLIT, int(splits.argmax())) if splits.any() else (VALID, -1)
