"""Runs a target's kernel on every case, each array right before a page that may not be read.

A kernel that reads there is ended by a signal.

    python tests/guarded.py NAME    exit code 0 where it is right and reads nothing behind an argument

What a harness hands over has zeros behind it, so that such a kernel is found by nothing else. One call of each
published case; what lies before an array, or behind an empty one, is not seen. Linux and macOS only.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np
from battery import Battery

KEPT: list[mmap.mmap] = []
"""Maps that arrays lie in."""


def guarded(value: Any) -> Any:
    """The same, an array at the end of a map whose next page may not be read."""
    if not isinstance(value, np.ndarray) or value.nbytes == 0:
        return value
    size = -(-value.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    pages = mmap.mmap(-1, size + mmap.PAGESIZE)
    KEPT.append(pages)
    behind = ctypes.addressof(ctypes.c_char.from_buffer(pages)) + size
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(behind), mmap.PAGESIZE, 0) == 0
    moved = np.frombuffer(pages, np.uint8)[size - value.nbytes : size].view(value.dtype).reshape(value.shape)
    moved[...] = value
    return moved


def main(name: str) -> None:
    """KernelIncorrect where an answer is wrong; a signal ends the process where something behind is read."""
    battery = Battery(name)
    for case_id in battery.cases:
        state, oracle, calls = battery.prepared(case_id)
        answer = battery.target.wiring.bind(battery.kernels, type(state)(*map(guarded, state)))
        for call in calls[:1]:
            oracle.verify(answer(*map(guarded, call)), call, case_id)
        battery.prepared.cache_clear()


if __name__ == "__main__":
    main(sys.argv[1])
