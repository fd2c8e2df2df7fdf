"""Arguments and results cross the memory bit for bit, and nothing that a worker writes there harms the parent."""

from __future__ import annotations

import math
import os
import struct
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from builders import quick
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_lance_autoresearch.kernel_side import wire, worker
from pytest_lance_autoresearch.kernel_side.wire import ResultError

DTYPES = ["?", "i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"]
HEADER_BYTES = 1600
"""A result begins with kind and count, then eight items of code, number of dimensions and four dimensions."""
BIG = np.arange(wire.DIRECT_BYTES // 8, dtype=np.int64)


class Session:
    """Parent and worker in one process, with the memory between them."""

    def __init__(self, *calls: tuple[Any, ...], result_bytes: int = 0) -> None:
        window = wire.Packer().pack("key", calls, result_bytes)
        self.plan = window.plan
        self.memory = wire.Memory.create()
        self.memory.fit(self.plan)
        self.memory.fill(window.data)
        weakref.finalize(self, self.memory.close)

    def run(self, kernel: Callable[..., Any]) -> None:
        """The worker's side."""
        host = worker.KernelHost(self.memory)
        host._bound["key"] = kernel
        host.prepare(self.plan)
        (portion,) = host.portions()
        portion()

    def result(self, index: int = 0) -> Any:
        """The parent's side."""
        return wire.read_result(self.memory, self.plan.calls[index])

    def overwrite(self, header: bytes) -> None:
        start = self.plan.calls[0].result_offset
        self.memory.results.bytes[start : start + len(header)] = np.frombuffer(header, np.uint8)


@pytest.fixture
def arena() -> Iterator[wire.Arena]:
    made = wire.Arena.create(2 * wire.TEXT_BYTES)
    yield made
    made.close()


def returned(value: Any, *arguments: Any, result_bytes: int = 0) -> Any:
    """What the parent reads when a kernel returns `value`."""
    session = Session(arguments, result_bytes=result_bytes)
    session.run(lambda *_: value)
    return session.result()


def received(*arguments: Any) -> list[Any]:
    """Copies of what a kernel gets."""
    seen: list[Any] = []

    def kernel(*values: Any) -> Any:
        seen.extend(value.copy() if isinstance(value, np.ndarray) else value for value in values)
        return np.zeros(1)

    Session(arguments).run(kernel)
    return seen


def same(one: Any, other: Any) -> bool:
    return (
        type(one) is type(other) is np.ndarray
        and one.dtype == other.dtype
        and one.shape == other.shape
        and one.tobytes() == other.tobytes()
    )


def bits(dtype: str, shape: tuple[int, ...]) -> Any:
    """Every value another, NaNs of all kinds among the floats."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.random.default_rng(5).integers(0, 2 if dtype == "?" else 256, size, np.uint8)
    return raw.view(dtype).reshape(shape)


SHAPES: list[tuple[int, ...]] = [(), (0,), (1,), (7,), (3, 0, 2), (2, 3), (2, 1, 3, 2)]


# Arguments


@pytest.mark.parametrize("dtype", [*DTYPES, ">f4", "<c16", "<U3", "<M8[ns]"])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_array_argument_arrives_bit_for_bit(dtype: str, shape: tuple[int, ...]) -> None:
    value = np.full(shape, "abc", dtype) if dtype == "<U3" else bits(dtype, shape)
    (seen,) = received(value)
    assert same(seen, value)


def test_plain_values_arrive_as_they_are() -> None:
    values = (3, 2.5, None, "text", True, (1, 2), np.float32(7))
    assert tuple(received(*values)) == values


def test_arrays_and_plain_values_keep_their_places() -> None:
    first, flag, second = received(np.arange(3), True, np.arange(4.0))
    assert same(first, np.arange(3))
    assert flag is True
    assert same(second, np.arange(4.0))


@pytest.mark.parametrize("make", [lambda a: a[::2], lambda a: a.T, np.asfortranarray, lambda a: a[::-1, 1:]])
def test_an_argument_with_gaps_arrives_as_its_values(make: Callable[[Any], Any]) -> None:
    value = make(np.arange(24.0).reshape(4, 6))
    (seen,) = received(value)
    assert same(seen, np.ascontiguousarray(value))
    assert seen.flags.c_contiguous


def test_arguments_are_aligned_for_vector_instructions() -> None:
    places: list[int] = []

    def kernel(*arrays: Any) -> Any:
        places.extend(array.ctypes.data % wire.ALIGNMENT for array in arrays[1::2])
        return np.zeros(1)

    Session((np.zeros(3, np.uint8), BIG, np.zeros(5, np.uint8), BIG)).run(kernel)
    assert places == [0, 0]


def test_a_small_argument_is_a_private_copy_and_a_big_one_lies_in_the_memory() -> None:
    session = Session((BIG[:8], BIG))

    def kernel(small: Any, big: Any) -> Any:
        small += 1
        big += 1
        return np.zeros(1)

    session.run(kernel)
    small, big = session.plan.calls[0].arguments
    assert isinstance(small, wire.ArrayArgument)
    assert isinstance(big, wire.ArrayArgument)
    assert (small.direct, big.direct) == (False, True)
    assert same(session.memory.arguments.view(small.offset, BIG.dtype, small.shape), BIG[:8])
    assert same(session.memory.arguments.view(big.offset, BIG.dtype, big.shape), BIG + 1)


def test_each_call_of_a_window_has_its_own_arguments_and_result() -> None:
    calls = [(np.arange(3) + i, i) for i in range(20)]
    session = Session(*calls)
    session.run(lambda values, i: values * i)
    for i in range(20):
        assert same(session.result(i), (np.arange(3) + i) * i)


@pytest.mark.parametrize("growth", [0, 1000])
def test_small_arguments_have_the_same_address_in_every_call(growth: int) -> None:
    """However large the first of them is."""
    addresses: list[int] = []

    def kernel(_big: Any, values: Any) -> Any:
        addresses.append(values.ctypes.data)
        return np.zeros(1)

    Session(*[(BIG, np.arange(3 + i * growth)) for i in range(5)]).run(kernel)
    assert len({*addresses}) == 1
    assert addresses[0] % wire.ALIGNMENT == 0


def test_the_small_arguments_of_a_call_lie_side_by_side() -> None:
    """They are copied together, and the direct ones with none of them; all keep their positions."""
    first, second = np.arange(3, dtype=np.uint8), np.arange(5.0)
    plan = Session((BIG, first, 7, BIG + 1, second)).plan.calls[0]
    start, end = plan.small
    assert end - start == wire.ALIGNMENT + second.nbytes
    offsets = [each.offset - start for each in plan.arguments if isinstance(each, wire.ArrayArgument)]
    assert offsets == [128, 0, 128 + BIG.nbytes, 64]


# The window as it is packed


def window_of(packer: wire.Packer, *calls: tuple[Any, ...]) -> wire.PackedWindow:
    return packer.pack("key", calls, 0)


def test_a_window_is_packed_once_for_every_process() -> None:
    window, orders = window_of(wire.Packer(), (np.arange(3), 7), (BIG,)), iter([b"order"])
    assert [window.order(lambda _: next(orders)) for _ in "AB"] == [b"order"] * 2
    (first, seven), (second,) = window.calls()
    assert (len(window), seven) == (2, 7)
    assert same(first, np.arange(3))
    assert same(second, BIG)


def test_the_next_window_is_packed_in_the_same_memory_and_the_last_one_is_gone() -> None:
    packer = wire.Packer()
    earlier = window_of(packer, (BIG,))
    memory = earlier.data
    window = window_of(packer, (BIG + 1,))
    assert window.data.ctypes.data == memory.ctypes.data
    assert same(window.call(0)[0], BIG + 1)
    reads: list[Callable[[], Any]] = [lambda: earlier.data, lambda: earlier.call(0), earlier.calls]
    for read in reads:
        with pytest.raises(RuntimeError) as raised:
            read()
        assert str(raised.value) == "another window was packed since; the bytes of a window are gone then"


def test_a_window_that_is_larger_than_all_before_keeps_its_first_calls() -> None:
    packer = wire.Packer()
    window_of(packer, (np.arange(3),))
    window = window_of(packer, *[(np.arange(50_000) + i, np.arange(i)) for i in range(9)])
    for i, (large, small) in enumerate(window.calls()):
        assert same(large, np.arange(50_000) + i)
        assert same(small, np.arange(i))


def test_a_call_that_is_packed_is_not_kept() -> None:
    made: list[weakref.ref[Any]] = []

    def calls() -> Iterator[tuple[Any, ...]]:
        for i in range(9):
            assert sum(array() is not None for array in made) <= 1
            array = BIG + i
            made.append(weakref.ref(array))
            yield (array,)

    window = wire.Packer().pack("key", calls(), 0)
    assert not any(array() is not None for array in made)
    assert same(window.call(8)[0], BIG + 8)


def test_a_window_needs_no_argument_at_all() -> None:
    assert same(returned(np.arange(3)), np.arange(3))


@pytest.mark.parametrize("value", [np.array([None]), np.zeros(2, "f4,f4"), np.ma.masked_equal([1, 2], 2)])
def test_an_argument_that_cannot_arrive_whole_is_not_plain(value: Any) -> None:
    assert not wire.is_plain(value)
    assert all(wire.is_plain(np.zeros(2, dtype)) for dtype in DTYPES)


# Results


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_result_is_read_bit_for_bit(dtype: str, shape: tuple[int, ...]) -> None:
    value = bits(dtype, shape)
    assert same(returned(value), value)


def test_a_result_with_gaps_is_read_as_its_values() -> None:
    value = np.arange(24.0).reshape(4, 6)[::2, ::-1]
    assert same(returned(value), np.ascontiguousarray(value))


def test_a_tuple_stays_a_tuple_and_keeps_its_order() -> None:
    items = tuple(bits(DTYPES[i % len(DTYPES)], (i + 1,)) for i in range(wire.MAX_ITEMS))
    found = returned(items, result_bytes=wire.MAX_ITEMS * wire.RESULT_BYTES)
    assert type(found) is tuple
    assert len(found) == wire.MAX_ITEMS
    assert all(map(same, found, items))
    assert returned(()) == ()
    assert type(returned((np.zeros(2),))) is tuple


NUMBERS = (True, False, 0, -(2**63), 2**63 - 1, 0.0, -0.0, math.inf, 1e-300)


@pytest.mark.parametrize("number", [*NUMBERS, *(np.dtype(name).type(1) for name in DTYPES)], ids=repr)
def test_a_number_arrives_as_it_is(number: Any) -> None:
    found = returned(number)
    assert type(found) is type(number)
    assert repr(found) == repr(number)
    one, other = returned((number, np.arange(3)))
    assert repr(one) == repr(number)
    assert same(other, np.arange(3))


def test_no_number_is_no_number() -> None:
    assert math.isnan(returned(math.nan))


def test_a_number_that_does_not_fit_is_refused() -> None:
    items = (*(np.zeros(wire.RESULT_BYTES // 2, np.uint8) for _ in range(2)), 1.0)
    with pytest.raises(wire.RoomError, match=r"^returned 3 results that take 4160 bytes; there is room for 4096$"):
        returned(items)


def test_a_tuple_with_names_arrives_as_a_plain_one() -> None:
    found = returned(Pair([np.zeros(2), 3]))
    assert type(found) is tuple
    assert same(found[0], np.zeros(2))
    assert found[1] == 3


@pytest.mark.parametrize("value", [3, 2.5, True, np.float32(4), (np.int8(1), 2.0, np.arange(3)), (BIG, 7)])
def test_what_does_nothing_returns_the_same_numbers(value: Any) -> None:
    """So it costs the runner the same; an argument that was returned is returned again."""
    session = Session((BIG,))
    session.run(lambda argument: (argument, value[1]) if isinstance(value, tuple) and value[0] is BIG else value)
    echo = wire.read_echo(session.memory, session.plan.calls[0])
    argument = BIG.copy()
    given = echo.function()(argument)
    pairs = zip(*((one if isinstance(one, tuple) else (one,)) for one in (given, value)), strict=True)
    for item, wanted in pairs:
        assert item is argument if wanted is BIG else (type(item) is type(wanted) and np.all(item == wanted))


def test_a_result_is_the_parents_own_copy() -> None:
    session = Session(())
    session.run(lambda: np.arange(3))
    found = session.result()
    session.memory.results.bytes[:] = 255
    assert same(found, np.arange(3))


def test_a_kernel_may_return_the_same_buffer_each_time() -> None:
    buffer = np.zeros(3)

    def kernel(i: int) -> Any:
        buffer[:] = i
        return buffer

    session = Session((1,), (2,))
    session.run(kernel)
    assert same(session.result(0), np.full(3, 1.0))
    assert same(session.result(1), np.full(3, 2.0))


def test_results_of_other_forms_may_follow_each_other_in_one_place() -> None:
    values = [np.arange(4), np.arange(4.0), np.zeros((2, 2)), (np.zeros(4, bool), np.ones(4)), np.zeros(())]
    session = Session(*[(i,) for i in range(len(values))])
    for _ in range(2):
        session.run(lambda i: values[i])
        for i, value in enumerate(values):
            found = session.result(i)
            assert all(map(same, found, value)) if isinstance(value, tuple) else same(found, value)


def test_what_a_kernel_did_not_return_is_no_result() -> None:
    session = Session(())
    with pytest.raises(ResultError, match=r"^wrote no result$"):
        session.result()


def test_a_result_of_an_earlier_window_is_not_read_again() -> None:
    session = Session(())
    session.run(lambda: np.arange(3))
    wire.clear_result(session.memory, session.plan.calls[0])
    with pytest.raises(ResultError, match=r"^wrote no result$"):
        session.result()


class Tagged(np.ndarray[Any, Any]):
    pass


class Whole(int):
    """A number of a class of one's own."""


class Pair(tuple[Any, ...]):
    pass


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([1, 2], "returned a list; expected a numpy.ndarray, a number, or a tuple of them"),
        (None, "returned a NoneType; expected a numpy.ndarray, a number, or a tuple of them"),
        (3j, "returned a complex; expected a numpy.ndarray, a number, or a tuple of them"),
        (np.complex64(3), "returned a complex64; expected a numpy.ndarray, a number, or a tuple of them"),
        (Whole(3), "returned a Whole; expected a numpy.ndarray, a number, or a tuple of them"),
        (-(2**63) - 1, "returned -9223372036854775809; expected whole numbers that fit 64 bits"),
        (np.zeros(2).view(Tagged), "returned a Tagged; expected a numpy.ndarray, a number, or a tuple of them"),
        (np.ma.zeros(2), "returned a MaskedArray; expected a numpy.ndarray, a number, or a tuple of them"),
        (
            (np.zeros(2), [1]),
            "returned a tuple whose item 2 is a list; expected a numpy.ndarray or a number",
        ),
        ((1, (2, 3)), "returned a tuple whose item 2 is a tuple; expected a numpy.ndarray or a number"),
        ((None, 1), "returned a tuple whose item 1 is a NoneType; expected a numpy.ndarray or a number"),
        (
            (np.zeros(2), 1, 2**63),
            "returned a tuple whose item 3 is 9223372036854775808; expected whole numbers that fit 64 bits",
        ),
        (
            (1, np.zeros(2, complex)),
            "returned a tuple whose item 2 is an array of dtype complex128; expected plain numbers",
        ),
        (
            (np.zeros((1,) * 5),),
            "returned a tuple whose item 1 is an array of 5 dimensions; expected 4 at most",
        ),
        ((np.zeros(2),) * 33, "returned a tuple of 33; expected 32 items at most"),
        (np.zeros((1,) * 5), "returned an array of 5 dimensions; expected 4 at most"),
        (np.zeros(2, complex), "returned an array of dtype complex128; expected plain numbers"),
        (np.zeros(2, ">f4"), "returned an array of dtype >f4; expected plain numbers"),
        (np.zeros(2, object), "returned an array of dtype object; expected plain numbers"),
        (np.zeros(2, "M8[s]"), "returned an array of dtype datetime64[s]; expected plain numbers"),
        (
            np.zeros(2, "f4,f4"),
            "returned an array of dtype [('f0', '<f4'), ('f1', '<f4')]; expected plain numbers",
        ),
    ],
)
def test_what_is_no_plain_array_is_refused(value: Any, sentence: str) -> None:
    with pytest.raises(ResultError) as raised:
        returned(value)
    assert str(raised.value) == sentence


def test_a_result_fits_up_to_the_room_there_is() -> None:
    room = 3 * wire.RESULT_BYTES
    assert same(returned(np.ones(room, np.uint8), result_bytes=room), np.ones(room, np.uint8))
    with pytest.raises(ResultError) as raised:
        returned(np.ones(room + wire.ALIGNMENT, np.uint8), result_bytes=room)
    assert str(raised.value) == f"returned {room + wire.ALIGNMENT} bytes; there is room for {room}"


def test_a_small_room_is_never_less_than_the_least() -> None:
    assert returned(np.ones(wire.RESULT_BYTES, np.uint8), result_bytes=8).size == wire.RESULT_BYTES


def test_items_of_a_tuple_share_the_room() -> None:
    half = np.ones(wire.RESULT_BYTES // 2 + 64, np.uint8)
    with pytest.raises(ResultError, match=r"^returned 2 results that take 4224 bytes; there is room for 4096$"):
        returned((half, half))


def test_of_an_output_argument_no_room_is_taken() -> None:
    output, other = np.zeros(wire.DIRECT_BYTES, np.uint8), np.zeros(2 * wire.RESULT_BYTES, np.uint8)
    with pytest.raises(wire.RoomError, match=r"^returned 2 results that take 8192 bytes; there is room for 4096$"):
        Session((output,)).run(lambda argument: (argument, other))


# Output arguments


def test_a_big_argument_that_is_returned_is_read_where_it_lies() -> None:
    session = Session((3, BIG.copy()))

    def fill(value: int, out: Any) -> Any:
        out[:] = value
        return out

    session.run(fill)
    assert same(session.result(), np.full_like(BIG, 3))
    assert wire.aliased_arguments(session.memory, session.plan.calls[0]) == {1}


def test_an_output_argument_may_be_one_item_of_a_tuple() -> None:
    session = Session((BIG.copy(), BIG.copy()))
    session.run(lambda first, second: (np.arange(3), second, first[:10]))
    count, whole, part = session.result()
    assert same(count, np.arange(3))
    assert same(whole, BIG)
    assert same(part, BIG[:10])
    assert wire.aliased_arguments(session.memory, session.plan.calls[0]) == {1}


def test_a_small_argument_that_is_returned_is_copied() -> None:
    session = Session((np.arange(3),))
    session.run(lambda values: values)
    assert same(session.result(), np.arange(3))
    assert wire.aliased_arguments(session.memory, session.plan.calls[0]) == set()


# What a worker may have written instead


def header(kind: int, count: int, *items: tuple[int, ...]) -> bytes:
    fields = [field for item in items for field in item]
    return struct.pack(f"<{2 + len(fields)}q", kind, count, *fields).ljust(HEADER_BYTES, b"\0")


def is_plain(value: Any) -> bool:
    items = value if type(value) is tuple else (value,)
    return all(type(item) is np.ndarray and item.dtype in [np.dtype(name) for name in DTYPES] for item in items)


def assert_harmless(text: bytes) -> None:
    """The parent reads plain arrays or refuses, and nothing else happens."""
    session = Session((np.arange(3), BIG, 7))
    session.overwrite(text)
    with suppress(ResultError):
        assert is_plain(session.result())
    assert wire.aliased_arguments(session.memory, session.plan.calls[0]) is not None


numbers = st.integers(-4, 14) | st.sampled_from([63, 2**20, 2**20 + 1, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63)])
some_items = st.lists(st.tuples(*[numbers] * 6), max_size=8)
HUGE_AND_EMPTY = header(1, 1, (0, 3, 0, 2**62, 2**62, 0))


@quick
@given(st.binary(min_size=HEADER_BYTES, max_size=HEADER_BYTES))
def test_random_bytes_in_the_result_are_harmless(text: bytes) -> None:
    assert_harmless(text)


@quick
@given(st.integers(1, 2), st.integers(0, 8), st.binary(min_size=HEADER_BYTES - 16, max_size=HEADER_BYTES - 16))
def test_random_items_behind_a_valid_head_are_harmless(kind: int, count: int, items: bytes) -> None:
    assert_harmless(struct.pack("<qq", kind, count) + items)


@quick
@given(st.integers(-1, 3), numbers, some_items)
@example(1, 1, [(0, 3, 0, 2**62, 2**62, 0)])
def test_crafted_headers_are_harmless(kind: int, count: int, items: list[tuple[int, ...]]) -> None:
    assert_harmless(header(kind, count, *items))


@pytest.mark.parametrize(
    "text",
    [
        header(0, 1),
        header(3, 1),
        header(1, 0),
        header(1, 2),
        header(2, 33),
        header(2, -1),
        header(-1, 1),
    ],
)
def test_a_head_of_another_kind_is_no_result(text: bytes) -> None:
    session = Session(())
    session.overwrite(text)
    with pytest.raises(ResultError, match=r"^wrote no result$"):
        session.result()


@pytest.mark.parametrize(
    "item",
    [
        (12, 1, 1, 0, 0, 0),  # no such dtype
        (0, 5, 1, 1, 1, 1),  # too many dimensions
        (0, -3, 0, 0, 0, 0),
        (12, -1, 0, 0, 0, 0),  # a number of no such dtype
        (0, 1, -1, 0, 0, 0),
        (0, 1, wire.RESULT_BYTES + 1, 0, 0, 0),  # beyond the room
        (11, 2, 2**32, 2**32, 0, 0),  # 2**64 values: 0 in 64 bits
        (11, 4, 2**62, 2**62, 2**62, 2**62),
        (-1, 0, 0, 0, 0, 0),  # argument 0 is small: it is not where its bytes lie
        (-3, 0, 0, 0, 0, 0),  # argument 2 is no array
        (-4, 0, 0, 0, 0, 0),  # there is no argument 3
        (-(2**63), 0, 0, 0, 0, 0),
    ],
)
def test_an_item_that_cannot_be_is_refused(item: tuple[int, ...]) -> None:
    session = Session((np.arange(3), BIG, 7))
    session.overwrite(header(1, 1, item))
    with pytest.raises(ResultError, match=r"^wrote a result that cannot be read$"):
        session.result()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can seal the size of memory")
def test_nobody_can_shorten_the_memory(arena: wire.Arena) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(arena.fd, 0)


# The worker's text


def test_a_text_is_read_as_it_was_written(arena: wire.Arena) -> None:
    text = "raised ValueError: größer als 3 µs\n  line 4 of kernels.py, in scan: x = 1"
    arena.write_text(text)
    assert arena.read_text() == text


def test_no_text_is_an_empty_one(arena: wire.Arena) -> None:
    assert arena.read_text() == ""


def test_control_characters_are_taken_out_of_a_text(arena: wire.Arena) -> None:
    arena.write_text("a\x1b[2Jb\r\x07c\x00d\u202ee\tf\ng\ud800h")
    assert arena.read_text() == "a[2Jbcdef\ng?h"


def test_a_long_text_is_cut(arena: wire.Arena) -> None:
    arena.write_text("ä" * wire.TEXT_BYTES)
    text = arena.read_text()
    assert set(text) <= {"ä", "\ufffd"}
    assert len(text) == (wire.TEXT_BYTES - 8) // 2


@pytest.mark.parametrize("size", [-1, -(2**63), 2**63 - 1, wire.TEXT_BYTES])
def test_a_wrong_length_of_a_text_reads_no_further_than_its_room(arena: wire.Arena, size: int) -> None:
    arena.bytes[wire.TEXT_BYTES :] = ord("x")
    arena.write_text("short")
    arena.bytes[:8] = np.frombuffer(struct.pack("<q", size), np.uint8)
    assert arena.read_text() == ("" if size < 0 else "short")


@quick
@given(st.binary(max_size=wire.TEXT_BYTES))
def test_any_bytes_make_a_printable_text(raw: bytes) -> None:
    arena = wire.Arena.create(wire.TEXT_BYTES)
    arena.bytes[: len(raw)] = np.frombuffer(raw, np.uint8)
    assert all(c.isprintable() or c == "\n" for c in arena.read_text())
    arena.close()


# The memory itself


def test_making_room_keeps_what_lies_in_the_memory(arena: wire.Arena) -> None:
    arena.write_text("kept")
    old = arena.bytes
    arena.fit(100_000)
    assert arena.size == 125_000 + wire.BEHIND_BYTES
    assert arena.read_text() == "kept"
    arena.write_text("seen through the older view")
    assert old[8:12].tobytes() == b"seen"


@pytest.mark.parametrize(
    ("size", "mapped"),
    [
        (1, 2**16),
        (2**16 - wire.BEHIND_BYTES, 2**17),
        (2**17 - wire.BEHIND_BYTES, 2**17),
        (2**17 - wire.BEHIND_BYTES + 1, 2**17 + 31_745),
        (2**16 - wire.BEHIND_BYTES - 1, 2**16 - 1 + 15_359),
    ],
)
def test_a_mapping_stays_where_it_has_room_and_is_not_much_more(size: int, mapped: int) -> None:
    arena = wire.Arena.create(2**17)
    arena.fit(size)
    assert arena.size == mapped
    arena.close()


def test_memory_that_was_left_is_found_again(arena: wire.Arena) -> None:
    arena.fit(1_000_000)
    arena.bytes[-1] = 7
    arena.fit(100_000)
    arena.fit(1_000_000)
    assert arena.bytes[-1] == 7


def test_room_for_results_stays_where_a_window_needs_less() -> None:
    memory, plan = wire.Memory.create(), wire.Packer().pack("case", [(np.zeros(10),)], 10**6).plan
    memory.fit(plan)
    sizes = memory.sizes()
    memory.fit(wire.Packer().pack("case", [(np.zeros(10),)], 10).plan)
    assert memory.sizes() == sizes
    assert sizes[1] > plan.results_bytes > 10**6
    memory.close()


def test_a_part_of_a_window_maps_what_the_whole_one_needs() -> None:
    call = (np.zeros(10_000),)
    packer, memory = wire.Packer(), wire.Memory.create()
    memory.fit(packer.pack("case", [call] * 10, 10**5, times=4).plan)
    sizes = memory.sizes()
    memory.fit(packer.pack("case", [call] * 40, 10**5).plan)
    assert memory.sizes() == sizes
    memory.close()


def test_what_is_mapped_as_it_should_be_is_not_mapped_again(arena: wire.Arena) -> None:
    before = arena.map
    arena.follow(arena.size)
    assert arena.map is before
    arena.fit(100_000)
    larger = wire.Arena(os.dup(arena.fd), wire.LEAST_BYTES)
    larger.follow(arena.size)
    assert larger.size == arena.size
    larger.close()


def test_where_a_window_has_no_arguments_there_are_zeros() -> None:
    """Or one kernel could find what another left there."""
    memory = wire.Memory.create()
    memory.arguments.bytes[:] = 7
    memory.fill(np.full(100, 3, np.uint8))
    assert same(memory.arguments.bytes[:100], np.full(100, 3, np.uint8))
    assert not memory.arguments.bytes[100:].any()
    memory.close()
    memory.close()


def test_an_arena_can_become_another(arena: wire.Arena) -> None:
    other = wire.Arena.create(2**17)
    other.write_text("in the other")
    arena.move(os.dup(other.fd), other.size)
    assert arena.read_text() == "in the other"
    other.close()


def test_two_mappings_of_one_file_are_one_memory(arena: wire.Arena) -> None:
    other = wire.Arena(os.dup(arena.fd), arena.size)
    other.write_text("from the worker")
    assert arena.read_text() == "from the worker"
    other.close()
