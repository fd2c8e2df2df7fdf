"""What parent and worker process share: one block of memory with a fixed layout, and one-byte answers.

Owns the layout of arguments and results in that memory. Parent to worker (trusted): pickled orders through a
pipe, argument bytes through the memory. Worker to parent (untrusted): one-byte answers through a pipe, arrays
and a short text through the memory; nothing that comes from a worker is ever executed or unpickled, and every
number in it is checked before it is used.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_lance_autoresearch.errors import MemoryLacking

if TYPE_CHECKING:
    from collections.abc import Callable

READY, DONE, FAILED, GO = b"r", b"d", b"f", b"g"
TARGET_FAILED = b"t"
"""What failed are the target's own files, says the worker: believed, since it never helps a kernel."""
NO_ROOM = b"n"
"""The kernel returned more than there is room for, says the worker."""

ALIGNMENT = 64
TEXT_BYTES = 16_384
"""Room for a worker's message, at the start of the memory."""
DIRECT_BYTES = 65_536
"""An argument of this size or more is read where it lies; a smaller one is copied just before its call."""
MAX_ITEMS = 8
MAX_DIMS = 4
RESULT_BYTES = 4096
"""Least room for one call's result."""

_DTYPES = ("|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8")
_CODES = {np.dtype(name): code for code, name in enumerate(_DTYPES)}
_HEAD = struct.Struct("<qq")
_ITEM = struct.Struct("<qqqqqq")
_HEADER_BYTES = 448
_NONE, _ARRAY, _TUPLE = 0, 1, 2
_TEXT_SIZE = struct.Struct("<q")
_MAX_DIM = 2**40


class ResultError(Exception):
    """A result that is not an array or a tuple of arrays, or that does not fit; the text says which."""


class RoomError(ResultError):
    """A result that is larger than its room."""


@dataclass(frozen=True)
class ArrayArgument:
    """An array argument: its place in the memory; its bytes arrive after the worker said READY."""

    offset: int
    dtype: str
    shape: tuple[int, ...]
    direct: bool


@dataclass(frozen=True)
class PlainArgument:
    """Any other argument (an int, None ...), sent with the order."""

    value: Any


@dataclass(frozen=True)
class CallPlan:
    """Where one call's arguments lie and where its result goes."""

    arguments: tuple[ArrayArgument | PlainArgument, ...]
    result_offset: int
    result_bytes: int


@dataclass(frozen=True)
class WindowPlan:
    """One window: the bound kernel `key`, called once per plan."""

    key: str
    calls: tuple[CallPlan, ...]
    memory_bytes: int


@dataclass(frozen=True)
class Echo:
    """The result of a call, to be returned again: arrays, and positions of arguments that were returned."""

    parts: tuple[np.ndarray[Any, Any] | int, ...]
    is_tuple: bool

    def function(self) -> Callable[..., Any]:
        """A kernel that does nothing but return it."""
        parts, is_tuple = self.parts, self.is_tuple
        if not any(isinstance(part, int) for part in parts):
            result = parts if is_tuple else parts[0]
            return lambda *_: result

        def returned(*arguments: Any) -> Any:
            items = tuple([arguments[part] if isinstance(part, int) else part for part in parts])
            return items if is_tuple else items[0]

        return returned


class Arena:
    """A block of shared memory that has no name, so that no end of any process leaves it behind."""

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, size)
        self.bytes = np.frombuffer(self._map, dtype=np.uint8)

    @classmethod
    def create(cls, size: int) -> Arena:
        fd = _anonymous_file()
        try:
            _take(fd, size)
        except MemoryLacking:
            os.close(fd)
            raise
        return cls(fd, size)

    @property
    def size(self) -> int:
        return int(self.bytes.size)

    def grow(self, size: int) -> bool:
        """Make room for `size` bytes, and say whether that took more memory; what lies in it stays."""
        if size <= self.size:
            return False
        _take(self.fd, size)
        self.remap(size)
        return True

    def remap(self, size: int) -> None:
        """Map the file again at its present size; older views keep the old mapping alive."""
        self._map = mmap.mmap(self.fd, size)
        self.bytes = np.frombuffer(self._map, dtype=np.uint8)

    def view(self, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        return np.ndarray(shape, dtype, self._map, offset)

    def pack(self, form: struct.Struct, offset: int, *values: int) -> None:
        form.pack_into(self._map, offset, *values)

    def unpack(self, form: struct.Struct, offset: int) -> tuple[int, ...]:
        return form.unpack_from(self._map, offset)

    def write_text(self, text: str) -> None:
        data = text.encode("utf-8", "replace")[: TEXT_BYTES - _TEXT_SIZE.size]
        self.pack(_TEXT_SIZE, 0, len(data))
        self.bytes[_TEXT_SIZE.size : _TEXT_SIZE.size + len(data)] = np.frombuffer(data, np.uint8)

    def read_text(self) -> str:
        """The worker's text with everything but printable characters and line ends taken out."""
        size = min(max(self.unpack(_TEXT_SIZE, 0)[0], 0), TEXT_BYTES - _TEXT_SIZE.size)
        text = self.bytes[_TEXT_SIZE.size : _TEXT_SIZE.size + size].tobytes().decode("utf-8", "replace")
        return "".join(c for c in text if c.isprintable() or c == "\n")

    def close(self) -> None:
        os.close(self.fd)


def is_plain(array: np.ndarray[Any, Any]) -> bool:
    """Whether the array arrives whole: a numpy.ndarray itself, of one of the plain dtypes."""
    return type(array) is np.ndarray and array.dtype in _CODES and array.dtype.fields is None


def plan_window(
    key: str, calls: list[tuple[Any, ...]], result_bytes: int
) -> tuple[WindowPlan, np.ndarray[Any, Any]]:
    """Lay out a window's calls; returns the plan and the argument bytes, to be written at TEXT_BYTES."""
    place = TEXT_BYTES
    arguments: list[tuple[ArrayArgument | PlainArgument, ...]] = []
    arrays: list[tuple[int, np.ndarray[Any, Any]]] = []
    for call in calls:
        planned: list[ArrayArgument | PlainArgument] = []
        for value in call:
            if isinstance(value, np.ndarray):
                direct = value.nbytes >= DIRECT_BYTES
                planned.append(ArrayArgument(place, value.dtype.str, value.shape, direct))
                arrays.append((place, value))
                place = _aligned(place + value.nbytes)
            else:
                planned.append(PlainArgument(value))
        arguments.append(tuple(planned))
    packed = np.zeros(place - TEXT_BYTES, np.uint8)
    for offset, array in arrays:
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        packed[offset - TEXT_BYTES : offset - TEXT_BYTES + flat.size] = flat
    room = _aligned(_HEADER_BYTES + max(result_bytes, RESULT_BYTES))
    plans = tuple(CallPlan(a, place + i * room, room) for i, a in enumerate(arguments))
    return WindowPlan(key, plans, place + len(calls) * room), packed


def clear_result(arena: Arena, plan: CallPlan) -> None:
    """Mark the result as not written, whatever the last window left there."""
    arena.pack(_HEAD, plan.result_offset, _NONE, 0)


class ResultSlot:
    """The worker's side of one call's result: copies a kernel's return value into the memory."""

    def __init__(self, arena: Arena, plan: CallPlan) -> None:
        self._arena = arena
        self._start = plan.result_offset
        self._end = plan.result_offset + plan.result_bytes

    def store(self, result: Any, arguments: tuple[Any, ...]) -> None:
        """Copy `result` at once, so that the kernel may reuse its buffers; an argument returned is named only."""
        items = result if type(result) is tuple else (result,)
        if len(items) > MAX_ITEMS:
            raise ResultError(f"returned a tuple of {len(items)}; expected {MAX_ITEMS} arrays at most")
        place = self._start + _HEADER_BYTES
        for index, item in enumerate(items):
            place = self._store_item(index, item, place, arguments)
        self._arena.pack(_HEAD, self._start, _TUPLE if type(result) is tuple else _ARRAY, len(items))

    def _store_item(self, index: int, item: Any, place: int, arguments: tuple[Any, ...]) -> int:
        if type(item) is not np.ndarray:
            raise ResultError(f"returned a {type(item).__name__}; expected numpy.ndarray or a tuple of them")
        shape = item.shape
        header = self._start + _HEAD.size + index * _ITEM.size
        if item.nbytes >= DIRECT_BYTES:
            for position, argument in enumerate(arguments):
                if argument is item:
                    self._arena.pack(_ITEM, header, -1 - position, 0, 0, 0, 0, 0)
                    return place
        view = self._view(item, place)
        np.copyto(view, item)
        self._arena.pack(_ITEM, header, _CODES[item.dtype], len(shape), *shape, *(0,) * (MAX_DIMS - len(shape)))
        return _aligned(place + view.nbytes)

    def _view(self, item: np.ndarray[Any, Any], place: int) -> np.ndarray[Any, Any]:
        if item.dtype not in _CODES:
            raise ResultError(f"returned an array of dtype {item.dtype}; expected plain numbers")
        if item.ndim > MAX_DIMS:
            raise ResultError(f"returned an array of {item.ndim} dimensions; expected {MAX_DIMS} at most")
        if place + item.nbytes > self._end:
            raise RoomError(f"returned {item.nbytes} bytes; there is room for {self._end - place}")
        return self._arena.view(place, item.dtype, item.shape)


def read_result(arena: Arena, plan: CallPlan) -> Any:
    """The parent's side: a private copy of one call's result; ResultError when it is not a valid one."""
    kind, count = arena.unpack(_HEAD, plan.result_offset)
    if kind not in (_ARRAY, _TUPLE) or not 0 <= count <= MAX_ITEMS or (kind == _ARRAY and count != 1):
        raise ResultError("wrote no result")
    place = plan.result_offset + _HEADER_BYTES
    items = []
    for index in range(count):
        item, place = _read_item(arena, plan, index, place)
        items.append(item)
    return tuple(items) if kind == _TUPLE else items[0]


def _read_item(arena: Arena, plan: CallPlan, index: int, place: int) -> tuple[np.ndarray[Any, Any], int]:
    header = plan.result_offset + _HEAD.size + index * _ITEM.size
    code, ndim, *dims = arena.unpack(_ITEM, header)
    if code < 0:
        return _argument_copy(arena, plan, -1 - code), place
    if code >= len(_DTYPES) or not 0 <= ndim <= MAX_DIMS or not all(0 <= d < _MAX_DIM for d in dims[:ndim]):
        raise ResultError("wrote a result that cannot be read")
    dtype, shape = np.dtype(_DTYPES[code]), tuple(dims[:ndim])
    size = dtype.itemsize
    for dim in shape:
        size *= dim
    if place + size > plan.result_offset + plan.result_bytes:
        raise ResultError("wrote a result that cannot be read")
    return arena.view(place, dtype, shape).copy(), _aligned(place + size)


def _argument_copy(arena: Arena, plan: CallPlan, position: int) -> np.ndarray[Any, Any]:
    argument = plan.arguments[position] if position < len(plan.arguments) else None
    if not isinstance(argument, ArrayArgument) or not argument.direct:
        raise ResultError("wrote a result that cannot be read")
    return arena.view(argument.offset, np.dtype(argument.dtype), argument.shape).copy()


def aliased_arguments(arena: Arena, plan: CallPlan) -> set[int]:
    """The positions of the arguments that the result names as its own arrays (output arguments)."""
    return {position for position in _named_arguments(arena, plan) if position is not None}


def read_echo(arena: Arena, plan: CallPlan) -> Echo:
    """What a kernel that does nothing must return to cost the runner the same; ResultError like `read_result`."""
    result = read_result(arena, plan)
    items = result if isinstance(result, tuple) else (result,)
    named = _named_arguments(arena, plan)
    parts = (item if position is None else position for item, position in zip(items, named, strict=True))
    return Echo(tuple(parts), isinstance(result, tuple))


def _named_arguments(arena: Arena, plan: CallPlan) -> list[int | None]:
    """For each item of the result the position of the argument that it is, or None."""
    _, count = arena.unpack(_HEAD, plan.result_offset)
    codes = (
        arena.unpack(_ITEM, plan.result_offset + _HEAD.size + index * _ITEM.size)[0]
        for index in range(min(max(count, 0), MAX_ITEMS))
    )
    return [-1 - code if code < 0 else None for code in codes]


def _aligned(place: int) -> int:
    return -(-place // ALIGNMENT) * ALIGNMENT


def _take(fd: int, size: int) -> None:
    """Make the file that large, with memory behind it: a page that is lacking later would end the process."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(fd, 0, size)
        else:
            os.ftruncate(fd, size)
    except OSError as error:
        raise MemoryLacking(
            f"{size / 2**20:.0f} MiB of memory to share with the kernel's process cannot be had: {error.strerror}"
        ) from error


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("autoresearch", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        # A worker that could shrink the memory could end this process with SIGBUS.
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        return fd
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
