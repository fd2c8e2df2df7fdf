"""The oracle of utf8-validate: Python's own decoder, and how many bytes each character takes that it finds."""

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
        text = values.decode()
    except UnicodeDecodeError as error:
        return NOT_UTF8, error.start
    if len(text) == len(values):
        return VALID, -1
    is_inside = np.ones(len(values) + 1, bool)
    is_inside[_places(text)] = False
    splits = is_inside[offsets - offsets[0]]
    return (SPLIT, int(splits.argmax())) if splits.any() else (VALID, -1)


def _places(text: str) -> NDArray[np.int64]:
    """Return where each character of a text begins in UTF-8, and where the last one ends."""
    points = np.frombuffer(text.encode("utf-32-le"), "<u4")
    widths = 1 + (points >= 0x80) + (points >= 0x800) + (points >= 0x10000)
    return np.append(0, np.cumsum(widths))
