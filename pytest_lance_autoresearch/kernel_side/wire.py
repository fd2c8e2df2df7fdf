"""What parent and worker process share: memory with a fixed layout, and one-byte answers.

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
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pytest_lance_autoresearch.errors import MemoryLacking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_lance_autoresearch.records import Call

READY, DONE, FAILED, GO = b"r", b"d", b"f", b"g"
TARGET_FAILED = b"t"
"""What failed are the target's own files, says the worker: believed, since it never helps a kernel."""
NO_ROOM = b"n"
"""The kernel returned more than there is room for, says the worker."""

ALIGNMENT = 64
TEXT_BYTES = 16_384
"""Room for a worker's message, before the results."""
DIRECT_BYTES = 65_536
"""An argument of this size or more is read where it lies; the smaller ones are copied just before their call."""
MAX_ITEMS = 32
MAX_DIMS = 4
RESULT_BYTES = 4096
"""Least room for one call's result."""
LEAST_BYTES = 2**16
"""Least memory that is mapped."""
BEHIND_BYTES = 4096
"""Always mapped behind what a window needs."""
SPARE_FRACTION = 4
MOST_ROOM = 2
"""Times of what a window needs that may be mapped for it."""

DTYPES = ("|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8")
_CODES = {np.dtype(name): code for code, name in enumerate(DTYPES)}
_HEAD = struct.Struct("<qq")
_ITEM = struct.Struct("<qqqqqq")
_ITEMS = tuple(struct.Struct(f"<qq{ndim}q") for ndim in range(MAX_DIMS + 1))
"""An item by its number of dimensions; what follows the last dimension is not read."""
_HEADER_BYTES = -(-(_HEAD.size + MAX_ITEMS * _ITEM.size) // ALIGNMENT) * ALIGNMENT
_NONE, _ONE, _TUPLE = 0, 1, 2
_NUMPY_NUMBER, _PYTHON_NUMBER = -1, -2
"""In place of the number of dimensions: an item that is a number, of numpy or of Python itself."""
PYTHON_NUMBERS = {bool: np.dtype("|b1"), int: np.dtype("<i8"), float: np.dtype("<f8")}
_NUMPY_NUMBERS = {dtype.type: dtype for dtype in _CODES}
_FORMS = "a numpy.ndarray or a number"
_FORMS_OF_ALL = "a numpy.ndarray, a number, or a tuple of them"
_TEXT_SIZE = struct.Struct("<q")
_MAX_DIM = 2**40
_NOTHING = mmap.mmap(-1, 1)
"""In place of memory that was given back."""
_SHARED_AND_PRESENT = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)


class ResultError(Exception):
    """A result that is not an array, a number or a tuple of them, or that does not fit; the text says which."""


class RoomError(ResultError):
    """A result that is larger than its room."""


class _ItemRefused(Exception):
    """One item of a result, before it is known where in the result it stands; no `expected` is another form."""

    def __init__(self, found: str, expected: str = "") -> None:
        super().__init__(found, expected)
        self.found = found
        self.expected = expected


class ArrayArgument(NamedTuple):
    """An array argument: its place in the memory; its bytes arrive after the worker said READY."""

    offset: int
    dtype: str
    shape: tuple[int, ...]
    direct: bool


class PlainArgument(NamedTuple):
    """Any other argument (an int, None ...), sent with the order."""

    value: Any


class CallPlan(NamedTuple):
    """Where one call's arguments lie and where its result goes, each in its block of memory."""

    arguments: tuple[ArrayArgument | PlainArgument, ...]
    small: tuple[int, int]
    """The bounds of the arrays that are not direct: they lie side by side, to be copied at once."""
    result_offset: int
    result_bytes: int


@dataclass(frozen=True)
class WindowPlan:
    """One window: the bound kernel `key`, called once per plan."""

    key: str
    calls: tuple[CallPlan, ...]
    arguments_bytes: int
    results_bytes: int
    """How much of either block it needs."""
    is_one_by_one: bool = False
    """Whether each call waits to be started, and is answered by itself."""
    times: int = 1
    """So many times as much memory is mapped: a window that is so much longer finds it mapped."""

    def span(self, index: int) -> tuple[int, int]:
        """Between which bytes a call's arguments lie."""
        after = index + 1
        end = self.calls[after].small[0] if after < len(self.calls) else self.arguments_bytes
        return self.calls[index].small[0], end


class Returned(NamedTuple):
    """An argument that was returned, in the place of an item."""

    position: int


@dataclass(frozen=True)
class Echo:
    """The result of a call, to be returned again: arrays, numbers, and where arguments were returned, which."""

    parts: tuple[Any, ...]
    is_tuple: bool

    def function(self) -> Callable[..., Any]:
        """A kernel that does nothing but return it."""
        parts, is_tuple = self.parts, self.is_tuple
        if not any(isinstance(part, Returned) for part in parts):
            result = parts if is_tuple else parts[0]
            return lambda *_: result

        def returned(*arguments: Any) -> Any:
            items = tuple([arguments[part.position] if isinstance(part, Returned) else part for part in parts])
            return items if is_tuple else items[0]

        return returned


class Arena:
    """A block of shared memory that has no name, so that no end of any process leaves it behind."""

    occupant: object = None
    """Whoever may read the results that lie in it, on the parent's side."""

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self._file_bytes = size
        self.remap(size)

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
        """As much of it as is mapped, in bytes."""
        return int(self.bytes.size)

    def fit(self, size: int, *, is_touched: bool = True) -> None:
        """Map room for `size` bytes, and a quarter more, unless what is mapped has room and is not much more.

        So the windows of a case find the same mapping, though they differ in size. What lies in it stays. A kernel
        that loads a little beyond an array's end must not depend on what happens to be mapped behind the last.
        `is_touched` says whether this process goes over all of it.
        """
        least = size + BEHIND_BYTES
        if least <= self.size <= max(LEAST_BYTES, MOST_ROOM * least):
            return
        wanted = max(LEAST_BYTES, least + size // SPARE_FRACTION)
        if wanted > self._file_bytes:
            _take(self.fd, wanted)
            self._file_bytes = wanted
        self.remap(wanted, is_touched=is_touched)

    def follow(self, size: int) -> None:
        """Map that much of the file, as the other process does, unless it is mapped."""
        if size != self.size:
            self.remap(size)

    def remap(self, size: int, *, is_touched: bool = True) -> None:
        """Map that much of the file; older views keep the old mapping alive.

        Where all of it is touched, its pages are entered in this process's tables at once, or the first window
        that touches them would pay for it.
        """
        self._map(mmap.mmap(self.fd, size, flags=_SHARED_AND_PRESENT if is_touched else mmap.MAP_SHARED))

    def _map(self, mapped: mmap.mmap) -> None:
        self.map = mapped
        self.bytes = np.frombuffer(mapped, dtype=np.uint8)

    def move(self, fd: int, size: int) -> None:
        """Be that file from now on, and give the present one back."""
        self.close()
        self.fd = fd
        self.remap(size)

    def view(self, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        return np.ndarray(shape, dtype, self.map, offset)

    def span(self, start: int, end: int) -> memoryview:
        return memoryview(self.map)[start:end]

    def pack(self, form: struct.Struct, offset: int, *values: int) -> None:
        form.pack_into(self.map, offset, *values)

    def unpack(self, form: struct.Struct, offset: int) -> tuple[int, ...]:
        return form.unpack_from(self.map, offset)

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
        """Give the memory back, where nobody else has it; safe more than once.

        Whoever still holds the arena does not hold the memory.
        """
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self._map(_NOTHING)


@dataclass
class Memory:
    """What windows need: a block for arguments, which two kernels may use in turn, and one for results."""

    arguments: Arena
    results: Arena

    @classmethod
    def create(cls) -> Memory:
        """Some of both."""
        arguments = Arena.create(LEAST_BYTES)
        try:
            return cls(arguments, Arena.create(LEAST_BYTES))
        except MemoryLacking:
            arguments.close()
            raise

    def fit(self, plan: WindowPlan) -> None:
        """Map room for a window in both blocks.

        What is mapped for results does no harm to smaller ones: nothing is written behind these. Few of them are
        read here.
        """
        self.arguments.fit(plan.times * plan.arguments_bytes)
        results_bytes = plan.times * plan.results_bytes
        if results_bytes > self.results.size - BEHIND_BYTES:
            self.results.fit(results_bytes, is_touched=False)

    def sizes(self) -> tuple[int, int]:
        """As much of both as is mapped."""
        return self.arguments.size, self.results.size

    def fill(self, data: np.ndarray[Any, Any]) -> None:
        """Put a window's argument bytes where they belong, and zeros after them.

        A kernel can write there, and the other side, which is asked the same calls, could find its answers.
        """
        self.deal(data, 0, data.size)
        self.arguments.bytes[data.size :] = 0

    def deal(self, data: np.ndarray[Any, Any], start: int, end: int) -> None:
        """Put a part of the bytes there."""
        self.arguments.bytes[start:end] = data[start:end]

    def close(self) -> None:
        """Give both blocks back; safe more than once."""
        self.arguments.close()
        self.results.close()


def is_plain(array: np.ndarray[Any, Any]) -> bool:
    """Whether the array arrives whole: a numpy.ndarray itself, of one of the plain dtypes."""
    return type(array) is np.ndarray and array.dtype in _CODES and array.dtype.fields is None


class Packer:
    """Packs one window after the other, in memory of this process that is used again each time.

    Between the arguments lies what earlier windows left there: inputs that their kernels were given as well.
    """

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)
        self._count = 0
        """Windows so far; only the last one still has its bytes."""

    def pack(
        self,
        key: str,
        calls: Iterable[Call],
        result_bytes: int,
        *,
        is_one_by_one: bool = False,
        times: int = 1,
        before: int = 0,
    ) -> PackedWindow:
        """Lay out a window's calls and copy their arrays; a call is not needed once the next one is taken.

        The arguments begin `before` bytes behind the beginning.
        """
        self._count += 1
        place, laid_out = _aligned(before), []
        for call in calls:
            arguments, small, place = _lay_out(call, place)
            self._make_room(place)
            for argument, value in zip(arguments, call, strict=True):
                if isinstance(argument, ArrayArgument):
                    _packed(self._memory, argument, value.dtype)[...] = value
            laid_out.append((arguments, small))
        room = _aligned(_HEADER_BYTES + max(result_bytes, RESULT_BYTES))
        plans = tuple(CallPlan(*each, TEXT_BYTES + i * room, room) for i, each in enumerate(laid_out))
        plan = WindowPlan(key, plans, place, TEXT_BYTES + len(plans) * room, is_one_by_one, times)
        return PackedWindow(plan, self, self._count)

    def window_bytes(self, number: int, size: int) -> np.ndarray[Any, Any]:
        """The bytes of the window of that number, of that size; RuntimeError when they are gone."""
        if number != self._count:
            raise RuntimeError("another window was packed since; the bytes of a window are gone then")
        return self._memory[:size]

    def _make_room(self, size: int) -> None:
        if size > self._memory.size:
            larger = np.empty(2 * size, np.uint8)  # what is not written to takes no memory
            larger[: self._memory.size] = self._memory
            self._memory = larger


class PackedWindow:
    """A window that can be sent to one process after the other, until its packer packs the next."""

    def __init__(self, plan: WindowPlan, packer: Packer, number: int) -> None:
        self.plan = plan
        self._packer = packer
        self._number = number
        self._order: bytes | None = None

    def __len__(self) -> int:
        return len(self.plan.calls)

    @property
    def data(self) -> np.ndarray[Any, Any]:
        """The argument bytes."""
        return self._packer.window_bytes(self._number, self.plan.arguments_bytes)

    def order(self, pickled: Callable[[object], bytes]) -> bytes:
        """The order to prepare it, pickled when it is first asked for."""
        if self._order is None:
            self._order = pickled(("prepare", self.plan))
        return self._order

    def call(self, index: int) -> Call:
        """The arguments of a call; its arrays are those that are packed."""
        data = self.data
        return tuple(
            _packed(data, each, np.dtype(each.dtype)) if isinstance(each, ArrayArgument) else each.value
            for each in self.plan.calls[index].arguments
        )

    def calls(self) -> list[Call]:
        return [self.call(index) for index in range(len(self))]


def _lay_out(call: Call, place: int) -> tuple[tuple[ArrayArgument | PlainArgument, ...], tuple[int, int], int]:
    """Places for a call's arguments from `place` on, the bounds of its small arrays, and the end of all."""
    arguments: list[ArrayArgument | PlainArgument] = [PlainArgument(value) for value in call]
    start = small_end = place
    for direct in (False, True):
        for position, value in enumerate(call):
            if isinstance(value, np.ndarray) and (value.nbytes >= DIRECT_BYTES) is direct:
                arguments[position] = ArrayArgument(place, value.dtype.str, value.shape, direct)
                small_end = small_end if direct else place + value.nbytes
                place = _aligned(place + value.nbytes)
    return tuple(arguments), (start, small_end), place


def _packed(memory: np.ndarray[Any, Any], argument: ArrayArgument, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    return np.ndarray(argument.shape, dtype, memory, argument.offset)


def clear_result(memory: Memory, plan: CallPlan) -> None:
    """Mark the result as not written, whatever the last window left there."""
    memory.results.pack(_HEAD, plan.result_offset, _NONE, 0)


class ResultSlot:
    """The worker's side of one call's result: copies a kernel's return value into the memory.

    It runs within the timed window, so it looks at each item once and copies bytes, whatever their shape.
    """

    def __init__(self, results: Arena, plan: CallPlan) -> None:
        self._memory: Any = results.map  # takes the bytes of any array, which its type does not say before 3.12
        self._start = plan.result_offset
        self._end = plan.result_offset + plan.result_bytes

    def store(self, result: Any, arguments: tuple[Any, ...]) -> None:
        """Copy `result` at once, so that the kernel may reuse its buffers; an argument returned is named only."""
        is_tuple = isinstance(result, tuple)
        items = tuple(result) if is_tuple else (result,)
        if len(items) > MAX_ITEMS:
            raise ResultError(f"returned a tuple of {len(items)}; expected {MAX_ITEMS} items at most")
        memory, header, place = self._memory, self._start + _HEAD.size, self._start + _HEADER_BYTES
        try:
            for item in items:
                if type(item) is not np.ndarray:
                    place = self._store_number(item, header, place)
                    header += _ITEM.size
                    continue
                size = item.nbytes
                position = _position(item, arguments) if size >= DIRECT_BYTES else None
                if position is not None:
                    _ITEM.pack_into(memory, header, -1 - position, 0, 0, 0, 0, 0)
                else:
                    code, ndim, end = _CODES.get(item.dtype), item.ndim, place + size
                    if code is None or ndim > MAX_DIMS or end > self._end:
                        raise _refusal(item)
                    memory[place:end] = item if item.flags.c_contiguous else np.ascontiguousarray(item)
                    _ITEMS[ndim].pack_into(memory, header, code, ndim, *item.shape)
                    place = _aligned(end)
                header += _ITEM.size
        except RoomError:
            raise self._no_room(items, arguments) from None
        except _ItemRefused as refused:
            number = (header - self._start - _HEAD.size) // _ITEM.size + 1
            where, forms = (f"a tuple whose item {number} is ", _FORMS) if is_tuple else ("", _FORMS_OF_ALL)
            raise ResultError(f"returned {where}{refused.found}; expected {refused.expected or forms}") from None
        _HEAD.pack_into(memory, self._start, _TUPLE if is_tuple else _ONE, len(items))

    def _store_number(self, item: Any, header: int, place: int) -> int:
        """Write a number, and where the next item begins."""
        python = PYTHON_NUMBERS.get(type(item))
        dtype = python or _NUMPY_NUMBERS.get(type(item))
        if dtype is None:
            raise _ItemRefused(f"a {type(item).__name__}")
        end = place + dtype.itemsize
        if end > self._end:
            raise RoomError
        try:
            self._memory[place:end] = np.asarray(item, dtype).tobytes()
        except OverflowError:
            raise _ItemRefused(f"{item}", "whole numbers that fit 64 bits") from None
        kind = _NUMPY_NUMBER if python is None else _PYTHON_NUMBER
        _ITEM.pack_into(self._memory, header, _CODES[dtype], kind, 0, 0, 0, 0)
        return _aligned(end)

    def _no_room(self, items: tuple[Any, ...], arguments: tuple[Any, ...]) -> RoomError:
        """About all that was returned: which of several is the one too many depends on their order alone."""
        room, sizes = self._end - self._start - _HEADER_BYTES, [_size(item, arguments) for item in items]
        if len(sizes) == 1:
            return RoomError(f"returned {sizes[0]} bytes; there is room for {room}")
        total = sum(map(_aligned, sizes))
        return RoomError(f"returned {len(sizes)} results that take {total} bytes; there is room for {room}")


def _refusal(item: np.ndarray[Any, Any]) -> Exception:
    if item.dtype not in _CODES:
        return _ItemRefused(f"an array of dtype {item.dtype}", "plain numbers")
    if item.ndim > MAX_DIMS:
        return _ItemRefused(f"an array of {item.ndim} dimensions", f"{MAX_DIMS} at most")
    return RoomError()


def _size(item: Any, arguments: tuple[Any, ...]) -> int:
    """The room that an item takes; an output argument takes none."""
    if not isinstance(item, np.ndarray):
        return ALIGNMENT
    return 0 if item.nbytes >= DIRECT_BYTES and _position(item, arguments) is not None else item.nbytes


def _position(item: np.ndarray[Any, Any], arguments: tuple[Any, ...]) -> int | None:
    """Which argument the item is."""
    return next((position for position, argument in enumerate(arguments) if argument is item), None)


def read_result(memory: Memory, plan: CallPlan) -> Any:
    """The parent's side: a private copy of one call's result; ResultError when it is not a valid one."""
    kind, count = memory.results.unpack(_HEAD, plan.result_offset)
    if kind not in (_ONE, _TUPLE) or not 0 <= count <= MAX_ITEMS or (kind == _ONE and count != 1):
        raise ResultError("wrote no result")
    place = plan.result_offset + _HEADER_BYTES
    items = []
    for index in range(count):
        item, place = _read_item(memory, plan, index, place)
        items.append(item)
    return tuple(items) if kind == _TUPLE else items[0]


def _read_item(memory: Memory, plan: CallPlan, index: int, place: int) -> tuple[Any, int]:
    header = plan.result_offset + _HEAD.size + index * _ITEM.size
    code, ndim, *dims = memory.results.unpack(_ITEM, header)
    if code < 0:
        return _argument_copy(memory.arguments, plan, -1 - code), place
    is_number = ndim in (_NUMPY_NUMBER, _PYTHON_NUMBER)
    shape = () if is_number else tuple(dims[: max(ndim, 0)])
    if (
        code >= len(DTYPES)
        or not (is_number or 0 <= ndim <= MAX_DIMS)
        or not all(0 <= d < _MAX_DIM for d in shape)
    ):
        raise ResultError("wrote a result that cannot be read")
    dtype = np.dtype(DTYPES[code])
    size = dtype.itemsize
    for dim in shape:
        size *= dim
    if place + size > plan.result_offset + plan.result_bytes:
        raise ResultError("wrote a result that cannot be read")
    item = memory.results.view(place, dtype, shape).copy()
    if is_number:
        item = item.item() if ndim == _PYTHON_NUMBER else item[()]
    return item, _aligned(place + size)


def _argument_copy(arguments: Arena, plan: CallPlan, position: int) -> np.ndarray[Any, Any]:
    argument = plan.arguments[position] if position < len(plan.arguments) else None
    if not isinstance(argument, ArrayArgument) or not argument.direct:
        raise ResultError("wrote a result that cannot be read")
    return arguments.view(argument.offset, np.dtype(argument.dtype), argument.shape).copy()


def aliased_arguments(memory: Memory, plan: CallPlan) -> set[int]:
    """The positions of the arguments that the result names as its own arrays (output arguments)."""
    return {position for position in _named_arguments(memory.results, plan) if position is not None}


def read_echo(memory: Memory, plan: CallPlan) -> Echo:
    """What a kernel that does nothing must return to cost the runner the same; ResultError like `read_result`."""
    result = read_result(memory, plan)
    items = result if isinstance(result, tuple) else (result,)
    named = _named_arguments(memory.results, plan)
    parts = (item if position is None else Returned(position) for item, position in zip(items, named, strict=True))
    return Echo(tuple(parts), isinstance(result, tuple))


def _named_arguments(results: Arena, plan: CallPlan) -> list[int | None]:
    """For each item of the result the position of the argument that it is, or None."""
    _, count = results.unpack(_HEAD, plan.result_offset)
    codes = (
        results.unpack(_ITEM, plan.result_offset + _HEAD.size + index * _ITEM.size)[0]
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
            f"{-(-size // 2**20)} MiB of memory to share with the kernel's process cannot be had: {error.strerror}"
        ) from error


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("autoresearch", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        # A worker that could shrink the memory could end this process with SIGBUS.
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        return fd
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
