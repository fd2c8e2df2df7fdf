"""Arrays that end at a guard page: memory that may neither be read nor written.

Owns laying copies of arrays there, so that a kernel which touches what lies behind one is ended by a signal.
Elsewhere it would find zeros there, and could answer right. Used where correctness runs, and nothing is timed.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import pickle
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

_PROT_NONE = 0
_NOTHING = mmap.mmap(-1, mmap.PAGESIZE)
"""In place of memory that was not needed yet; no array lies in it."""


class Room:
    """Memory for one array at a time, whose last byte is the last before the guard page."""

    def __init__(self) -> None:
        self._pages, self._size = _NOTHING, -1

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """One that is not initialised; it lies where the last one did, unless it needs more room."""
        size = dtype.itemsize * math.prod(shape)
        if size > self._size:
            self._pages, self._size = _before_a_guard_page(size)
        return np.ndarray(shape, dtype, self._pages, self._size - size)


def guarded(value: Any) -> Any:
    """A copy whose arrays, wherever in it they are, each end at a guard page of their own."""
    found: list[pickle.PickleBuffer] = []
    rest = pickle.dumps(value, protocol=5, buffer_callback=found.append)
    return pickle.loads(rest, buffers=[_copied(np.frombuffer(one.raw(), np.uint8), Room()) for one in found])


class Guarded:
    """A kernel that is bound, called with copies of its array arguments that end at guard pages.

    The caller finds in its own arrays what the kernel has left in the copies, and where the kernel returns one of
    these, gets its own.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._rooms: defaultdict[int, Room] = defaultdict(Room)
        """By position among the arguments: an address tells a kernel nothing."""

    def __call__(self, *arguments: Any) -> Any:
        copies = [self._copy(position, argument) for position, argument in enumerate(arguments)]
        result = self._function(*copies)
        own = {}
        for argument, copy in zip(arguments, copies, strict=True):
            if isinstance(argument, np.ndarray):
                argument[...] = copy
                own[id(copy)] = argument
        if isinstance(result, tuple):
            return tuple(own.get(id(item), item) for item in result)
        return own.get(id(result), result)

    def _copy(self, position: int, argument: Any) -> Any:
        if not isinstance(argument, np.ndarray):
            return argument
        return _copied(argument, self._rooms[position])


def _copied(array: np.ndarray[Any, Any], room: Room) -> np.ndarray[Any, Any]:
    copy = room.array(array.shape, array.dtype)
    copy[...] = array
    return copy


def _before_a_guard_page(size: int) -> tuple[mmap.mmap, int]:
    """Memory of that size or a little more, with a guard page behind it; and how much it is without that page."""
    room = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    pages = mmap.mmap(-1, room + mmap.PAGESIZE)
    page = ctypes.addressof(ctypes.c_char.from_buffer(pages, room))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE), _PROT_NONE) != 0:
        raise OSError(ctypes.get_errno(), f"no guard page can be had: {os.strerror(ctypes.get_errno())}")
    return pages, room
