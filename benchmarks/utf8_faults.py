"""What is wrong with a batch that a peer of utf8-validate refused, by Python's decoder; libraries say only that.

Few batches of a timed call are refused, and this takes them at the pace of the target's oracle.
"""

from __future__ import annotations

import numpy as np

VALID, DESCENDING, NEGATIVE, BEYOND, NOT_UTF8, SPLIT = range(6)


def fault_of(data: np.ndarray, offsets: np.ndarray) -> tuple[int, int]:
    """Return the fault and its place, see targets/utf8-validate/kernels.py; (VALID, -1) where there is none."""
    for fault, positions in (
        (DESCENDING, np.flatnonzero(offsets[1:] < offsets[:-1]) + 1),
        (NEGATIVE, np.flatnonzero(offsets < 0)),
        (BEYOND, np.flatnonzero(offsets > len(data))),
    ):
        if positions.size:
            return fault, int(positions[0])
    values = data[offsets[0] : offsets[-1]]
    try:
        values.tobytes().decode()
    except UnicodeDecodeError as error:
        return NOT_UTF8, error.start
    inner = offsets - offsets[0]
    splits = np.flatnonzero((np.append(values, np.uint8(0))[inner] & 0xC0) == 0x80)
    return (SPLIT, int(splits[0])) if splits.size else (VALID, -1)
