"""Offsets and UTF-8 of decoded string columns: is a batch what it says it is? The file that an agent edits.

What makes it fast: bytes are looked at 64 at a time, and never characters. A byte is right or wrong by itself
and the three before it. Three look-ups of 16 bytes each, by the halves of the byte before and the upper half of
the byte itself, say which faults each pair of bytes may be part of; a fault is where all three agree (Keiser and
Lemire, "Validating UTF-8 in less than one instruction per byte", 2021). Nothing branches on what a character is,
so nothing is guessed wrong. Where something is wrong, its place is found character by character. Offsets are not
looked up where all bytes are ASCII.

In Rust: `_mm512_shuffle_epi8` and `_mm512_subs_epu8` (AVX-512BW), or `_mm256_shuffle_epi8` and `vqtbl1q_u8` for
32 and 16 bytes, as the crate simdutf8 has them. Lance 14.0.2 runs `std::str::from_utf8`, character by character;
`benchmarks/ports/utf8-validate/kernels.py` is a port of that.

Stays: `validate(data, offsets)`, with the dtypes and shapes that its docstring gives.

CAN: look at a batch's bytes in words of any size and in any order, at several batches at once, at offsets and
bytes together; read the bytes before and after a batch, there are always 16; look for the place of a fault
only once it is known that there is one.
CANNOT: keep anything that depends on a call's arguments for a later call; leave out a byte, an offset or a
batch; start threads or processes; import anything but numba, llvmlite.ir, numpy and the mathematics of the
standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Offsets = NDArray[Any]

VALID, DESCENDING, NEGATIVE, BEYOND, NOT_UTF8, SPLIT = range(6)
"""What a batch may be; the order is that in which Lance looks for it."""

BLOCK = 64
"""The bytes of a vector."""
STEP = 4 * BLOCK
"""The bytes that are looked at before anything branches."""
BEFORE = 3
"""The bytes before a byte that say whether it is right."""

TOO_SHORT, TOO_LONG, OVERLONG_3, TOO_LARGE, SURROGATE, OVERLONG_2, BEYOND_1000, TWO_CONTINUATIONS = (
    1 << bit for bit in range(8)
)
"""Faults that a pair of bytes may have: a first byte without its continuation, a continuation without its first
byte, what takes fewer than 3 bytes or 2, what is above U+10FFFF, a surrogate. `BEYOND_1000` is what is above
U+10FFFF, or takes fewer than 4 bytes. Two continuations are a fault only where no byte before asked for them."""
OVERLONG_4 = BEYOND_1000
ANY_LOWER = TOO_SHORT | TOO_LONG | TWO_CONTINUATIONS
"""The faults that do not depend on the lower half of the first byte."""

BY_FIRST_UPPER = (
    *(TOO_LONG,) * 8,
    *(TWO_CONTINUATIONS,) * 4,
    TOO_SHORT | OVERLONG_2,
    TOO_SHORT,
    TOO_SHORT | OVERLONG_3 | SURROGATE,
    TOO_SHORT | TOO_LARGE | BEYOND_1000,
)
BY_FIRST_LOWER = (
    ANY_LOWER | OVERLONG_3 | OVERLONG_2 | OVERLONG_4,
    ANY_LOWER | OVERLONG_2,
    *(ANY_LOWER,) * 2,
    ANY_LOWER | TOO_LARGE,
    *(ANY_LOWER | TOO_LARGE | BEYOND_1000,) * 8,
    ANY_LOWER | TOO_LARGE | BEYOND_1000 | SURROGATE,
    *(ANY_LOWER | TOO_LARGE | BEYOND_1000,) * 2,
)
CONTINUES = TOO_LONG | OVERLONG_2 | TWO_CONTINUATIONS
BY_SECOND_UPPER = (
    *(TOO_SHORT,) * 8,
    CONTINUES | OVERLONG_3 | BEYOND_1000,
    CONTINUES | OVERLONG_3 | TOO_LARGE,
    *(CONTINUES | SURROGATE | TOO_LARGE,) * 2,
    *(TOO_SHORT,) * 4,
)


def validate(data: Bytes, offsets: Offsets) -> NDArray[np.int64]:
    """Say of each batch whether Lance takes it, and if not, what it finds first and where.

    Parameters
    ----------
    data : uint8, shape (m,)
        The bytes of all batches. There are at least 16 before the first and after the last one.
    offsets : int32 or int64, shape (b, n + 1), C-contiguous; n is 1 or more
        Row r of batch b should be `data[offsets[b, r] : offsets[b, r + 1]]`. Nothing of that is certain.

    Returns
    -------
    int64, shape (b, 2)
        (VALID, -1), or the first of these that holds:
        (DESCENDING, i): offset i is the first that is less than the one before it;
        (NEGATIVE, 0): the first offset is negative;
        (BEYOND, i): offset i is the first that is larger than m;
        (NOT_UTF8, i): `data[offsets[b, 0] : offsets[b, n]]` is not UTF-8, and its first i bytes are;
        (SPLIT, i): offset i is the first that is inside a character.
    """
    found = np.empty((len(offsets), 2), np.int64)
    _validate_batches(data, offsets, found)
    return found


@njit
def _validate_batches(data: Bytes, offsets: Offsets, found: NDArray[np.int64]) -> None:
    for batch in range(len(offsets)):
        fault, place = _validate_batch(data, offsets, batch)
        found[batch, 0] = fault
        found[batch, 1] = place


@njit
def _validate_batch(data: Bytes, offsets: Offsets, batch: int) -> tuple[int, int]:
    fault, place = _offset_violation(offsets, batch, len(data))
    if fault != VALID:
        return fault, place
    first, last = np.int64(offsets[batch, 0]), np.int64(offsets[batch, -1])
    valid_up_to, is_ascii = _valid_up_to(data, first, last)
    if valid_up_to < last:
        return NOT_UTF8, valid_up_to - first
    if not is_ascii:
        place = _first_split(data, offsets, batch, last)
        if place >= 0:
            return SPLIT, place
    return VALID, -1


@njit
def _offset_violation(offsets: Offsets, batch: int, size: int) -> tuple[int, int]:
    """Scan without a branch; look for the place only where something is wrong (`offset_violation_detail`)."""
    count = offsets.shape[1]
    descends = False
    for position in range(1, count):
        descends |= offsets[batch, position - 1] > offsets[batch, position]
    if descends:
        for position in range(1, count):
            if offsets[batch, position - 1] > offsets[batch, position]:
                return DESCENDING, position
    if offsets[batch, 0] < 0:
        return NEGATIVE, 0
    if offsets[batch, count - 1] > size:
        for position in range(count):
            if offsets[batch, position] > size:
                return BEYOND, position
    return VALID, -1


@njit
def _first_split(data: Bytes, offsets: Offsets, batch: int, last: int) -> int:
    """Return the first offset that is inside a character, or -1. The bytes are known to be UTF-8.

    The first offset never is, and what equals the last one is at the end of them.
    """
    count = offsets.shape[1]
    while count > 0 and offsets[batch, count - 1] == last:
        count -= 1
    splits = 0
    for position in range(count):
        splits |= _is_continuation(data[np.uint64(offsets[batch, position])])
    if splits:
        for position in range(count):
            if _is_continuation(data[np.uint64(offsets[batch, position])]):
                return position
    return -1


@njit
def _valid_up_to(data: Bytes, first: int, last: int) -> tuple[int, bool]:
    """Return where the valid bytes from `first` on end, and whether they are known to be ASCII.

    The first characters are looked at one by one, so that a block never depends on bytes before the batch.
    """
    if last - first < BEFORE + BLOCK:
        return _characters_up_to(data, first, last, last), False
    is_ascii = (data[first] | data[first + 1] | data[first + 2]) < 0x80
    begin = _characters_up_to(data, first, first + BEFORE, last)
    if begin < first + BEFORE:
        return begin, False
    at = begin
    while at + STEP <= last:
        if (
            _is_ascii(data, at)
            & _is_ascii(data, at + BLOCK)
            & _is_ascii(data, at + 2 * BLOCK)
            & _is_ascii(data, at + 3 * BLOCK)
        ):
            if _is_cut(data, at):
                break
        elif (
            _has_fault(data, at)
            | _has_fault(data, at + BLOCK)
            | _has_fault(data, at + 2 * BLOCK)
            | _has_fault(data, at + 3 * BLOCK)
        ):
            break
        else:
            is_ascii = False
        at += STEP
    while at + BLOCK <= last and not _has_fault(data, at):
        is_ascii &= _is_ascii(data, at)
        at += BLOCK
    end = last - BLOCK
    if last - at < BLOCK and end >= begin and not _has_fault(data, end) and not _is_cut(data, last):
        return last, is_ascii and _is_ascii(data, end)
    at = max(begin, at - BEFORE)  # what begins there at the earliest may be unfinished
    while at > begin and _is_continuation(data[at]):
        at -= 1
    return _characters_up_to(data, at, last, last), False


@njit
def _is_cut(data: Bytes, end: int) -> bool:
    """Whether the bytes up to `end` begin a character that needs more of them."""
    return (data[end - 1] >= 0xC0) | (data[end - 2] >= 0xE0) | (data[end - 3] >= 0xF0)


@njit
def _characters_up_to(data: Bytes, begin: int, stop: int, last: int) -> int:
    """Return where the first character begins that is none, or the first that begins at `stop` or later.

    Places are unsigned, or numba would ask of each whether it is one from the end.
    """
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    index, end = np.uint64(begin), np.uint64(last)
    while index < np.uint64(stop):
        lead = data[index]
        if lead < 0x80:
            index += one
            continue
        if lead < 0xC2 or lead > 0xF4 or index + one >= end:
            break
        second = data[index + one]
        if lead < 0xE0:
            if not _is_continuation(second):
                break
            index += two
        elif lead < 0xF0:
            if not _begins_three(lead, second) or index + two >= end or not _is_continuation(data[index + two]):
                break
            index += three
        else:
            if (
                not _begins_four(lead, second)
                or (index + two >= end or not _is_continuation(data[index + two]))
                or (index + three >= end or not _is_continuation(data[index + three]))
            ):
                break
            index += four
    return np.int64(index)


@njit
def _begins_three(lead: int, second: int) -> bool:
    """Whether three bytes may begin so: not U+0000 to U+07FF, which take fewer, and no surrogate."""
    return (
        (lead == 0xE0 and 0xA0 <= second <= 0xBF)
        or (0xE1 <= lead <= 0xEC and 0x80 <= second <= 0xBF)
        or (lead == 0xED and 0x80 <= second <= 0x9F)
        or (lead >= 0xEE and 0x80 <= second <= 0xBF)
    )


@njit
def _begins_four(lead: int, second: int) -> bool:
    """Whether four bytes may begin so: not what takes fewer, and nothing above U+10FFFF."""
    return (
        (lead == 0xF0 and 0x90 <= second <= 0xBF)
        or (0xF1 <= lead <= 0xF3 and 0x80 <= second <= 0xBF)
        or (lead == 0xF4 and 0x80 <= second <= 0x8F)
    )


@njit
def _is_continuation(byte: int) -> bool:
    return (byte & 0xC0) == 0x80


VECTOR = ir.VectorType(ir.IntType(8), BLOCK)


def _all(byte: int) -> ir.Constant:
    return ir.Constant(VECTOR, [byte] * BLOCK)


def _loaded(context: Any, builder: Any, signature: Any, arguments: Any, back: int) -> Any:
    """Return the 64 bytes of the array from `back` bytes before the place on."""
    data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    begin = builder.sub(arguments[1], context.get_constant(types.intp, back))
    return builder.load(builder.bitcast(builder.gep(data, [begin]), VECTOR.as_pointer()), align=1)


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _is_ascii(typingctx: Any, data: Any, at: Any) -> Any:
    """Whether data[at : at + 64] is ASCII."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = builder.icmp_signed("<", _loaded(context, builder, signature, arguments, 0), _all(0))
        return builder.icmp_unsigned("==", builder.bitcast(found, ir.IntType(BLOCK)), ir.IntType(BLOCK)(0))

    return types.boolean(data, at), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _has_fault(typingctx: Any, data: Any, at: Any) -> Any:
    """Whether a byte of data[at : at + 64] cannot follow the three before it; what it begins may be unfinished."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte, before, second, third = (_loaded(context, builder, signature, arguments, back) for back in range(4))
        if "+avx512bw" in context.codegen().magic_tuple()[2].split(","):
            found = _fault_by_tables(builder, byte, before, second, third)
        else:
            found = _fault_by_ranges(builder, byte, before, second, third)
        return builder.icmp_unsigned("!=", builder.bitcast(found, ir.IntType(BLOCK)), ir.IntType(BLOCK)(0))

    return types.boolean(data, at), codegen


def _fault_by_tables(builder: Any, byte: Any, before: Any, second: Any, third: Any) -> Any:
    """Which bytes are wrong, by three look-ups; `second` is two bytes before, `third` three."""
    kind = ir.FunctionType(VECTOR, [VECTOR, VECTOR])
    shuffle = builder.module.declare_intrinsic("llvm.x86.avx512.pshuf.b.512", (), kind)
    subtract = builder.module.declare_intrinsic("llvm.usub.sat.v64i8", (), kind)

    def looked_up(table: tuple[int, ...], half: Any) -> Any:
        return builder.call(shuffle, [ir.Constant(VECTOR, table * 4), half])

    found = builder.and_(
        looked_up(BY_FIRST_UPPER, builder.lshr(before, _all(4))),
        looked_up(BY_FIRST_LOWER, builder.and_(before, _all(15))),
    )
    found = builder.and_(found, looked_up(BY_SECOND_UPPER, builder.lshr(byte, _all(4))))
    must_continue = builder.or_(
        builder.call(subtract, [second, _all(0xE0 - 0x80)]),
        builder.call(subtract, [third, _all(0xF0 - 0x80)]),
    )
    return builder.icmp_unsigned("!=", builder.and_(must_continue, _all(TWO_CONTINUATIONS)), found)


def _fault_by_ranges(builder: Any, byte: Any, before: Any, second: Any, third: Any) -> Any:
    """Do the same on any processor, by comparisons alone."""

    def is_in(value: Any, low: int, high: int = 0xFF) -> Any:
        return builder.icmp_unsigned("<=", builder.sub(value, _all(low)), _all(high - low))

    expected = builder.or_(builder.or_(is_in(before, 0xC0), is_in(second, 0xE0)), is_in(third, 0xF0))
    found = builder.xor(is_in(byte, 0x80, 0xBF), expected)
    found = builder.or_(found, builder.or_(is_in(byte, 0xC0, 0xC1), is_in(byte, 0xF5)))
    for lead, low, high in ((0xE0, 0x80, 0x9F), (0xED, 0xA0, 0xBF), (0xF0, 0x80, 0x8F), (0xF4, 0x90, 0xBF)):
        found = builder.or_(found, builder.and_(is_in(before, lead, lead), is_in(byte, low, high)))
    return found
