"""Offsets and UTF-8 of decoded string columns: is a batch what it says it is? The file that an agent edits.

A port of what Lance 14.0.2 runs for every batch of a string column before it becomes an Arrow array:
`VariableWidthBlock::validate_offsets_and_values` (rust/lance-encoding/src/data.rs), which scans the offsets
(`offset_violation_detail`), hands all bytes to Rust's `std::str::from_utf8` (`run_utf8_validation`,
library/core/src/str/validations.rs), and asks of every offset `is_char_boundary`.

Stays: `validate(data, offsets)`, with the dtypes and shapes that its docstring gives.

CAN: look at a batch's bytes in words of any size and in any order, at several batches at once, at offsets and
bytes together; read the bytes before and after a batch, there are always 16; look for the place of a fault
only once it is known that there is one.
CANNOT: keep anything that depends on a call's arguments for a later call; leave out a byte, an offset or a
batch; start threads or processes; import anything but numba, numpy and the mathematics of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Words = NDArray[np.uint64]
    Offsets = NDArray[Any]

VALID, DESCENDING, NEGATIVE, BEYOND, NOT_UTF8, SPLIT = range(6)
"""What a batch may be; the order is that in which Lance looks for it."""

ONE, TWO, THREE, FOUR, WORD = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4), np.uint64(8)
NON_ASCII = np.uint64(0x8080808080808080)
"""The highest bit of each byte of a word (`NONASCII_MASK`)."""

WIDTHS = np.zeros(256, np.uint8)
"""The bytes of a character by its first byte, 0 where no character begins so (`UTF8_CHAR_WIDTH`)."""
WIDTHS[0x00:0x80] = 1
WIDTHS[0xC2:0xE0] = 2
WIDTHS[0xE0:0xF0] = 3
WIDTHS[0xF0:0xF5] = 4


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
    _validate_batches(data, data[: len(data) // 8 * 8].view(np.uint64), offsets, found)
    return found


@njit()
def _validate_batches(data: Bytes, words: Words, offsets: Offsets, found: NDArray[np.int64]) -> None:
    for batch in range(len(offsets)):
        fault, place = _validate_offsets_and_values(data, words, offsets[batch])
        found[batch, 0] = fault
        found[batch, 1] = place


@njit()
def _validate_offsets_and_values(data: Bytes, words: Words, offsets: Offsets) -> tuple[int, int]:
    fault, place = _offset_violation(offsets, len(data))
    if fault != VALID:
        return fault, place
    first, last = np.int64(offsets[0]), np.int64(offsets[-1])
    valid_up_to = _run_utf8_validation(data, words, first, last)
    if valid_up_to < last:
        return NOT_UTF8, valid_up_to - first
    on_char_boundaries = True
    for at in offsets:
        on_char_boundaries &= at in (first, last) or not _is_continuation(data[at])
    if not on_char_boundaries:
        for position, at in enumerate(offsets):
            if at not in (first, last) and _is_continuation(data[at]):
                return SPLIT, position
    return VALID, -1


@njit()
def _offset_violation(offsets: Offsets, size: int) -> tuple[int, int]:
    """Scan without a branch; look for the place only where something is wrong (`offset_violation_detail`)."""
    is_monotonic = True
    for position in range(1, len(offsets)):
        is_monotonic &= offsets[position - 1] <= offsets[position]
    if is_monotonic and offsets[0] >= 0 and offsets[-1] <= size:
        return VALID, -1
    for position in range(1, len(offsets)):
        if offsets[position - 1] > offsets[position]:
            return DESCENDING, position
    for position in range(len(offsets)):
        if offsets[position] < 0:
            return NEGATIVE, position
        if offsets[position] > size:
            return BEYOND, position
    return VALID, -1


@njit()
def _run_utf8_validation(data: Bytes, words: Words, first: int, last: int) -> int:
    """Return where the valid bytes from `first` on end: `last`, or the first byte of what is no character.

    Places are unsigned, or numba would ask of each whether it is one from the end.
    """
    index, end = np.uint64(first), np.uint64(last)
    while index < end:
        lead = data[index]
        if lead < 0x80:
            if index % WORD:  # two words at a time, but only from where a word begins
                index += ONE
                continue
            word = index // WORD
            while index + TWO * WORD <= end and not (words[word] | words[word + ONE]) & NON_ASCII:
                index += TWO * WORD
                word += TWO
            while index < end and data[index] < 0x80:
                index += ONE
            continue
        width = WIDTHS[lead]
        if width < 2 or index + ONE >= end:
            break
        second = data[index + ONE]
        if width == 2:
            if not _is_continuation(second):
                break
            index += TWO
        elif width == 3:
            if not _begins_three(lead, second) or index + TWO >= end or not _is_continuation(data[index + TWO]):
                break
            index += THREE
        else:
            if (
                not _begins_four(lead, second)
                or (index + TWO >= end or not _is_continuation(data[index + TWO]))
                or (index + THREE >= end or not _is_continuation(data[index + THREE]))
            ):
                break
            index += FOUR
    return np.int64(index)


@njit()
def _begins_three(lead: int, second: int) -> bool:
    """Whether three bytes may begin so: not U+0000 to U+07FF, which take fewer, and no surrogate."""
    return (
        (lead == 0xE0 and 0xA0 <= second <= 0xBF)
        or (0xE1 <= lead <= 0xEC and 0x80 <= second <= 0xBF)
        or (lead == 0xED and 0x80 <= second <= 0x9F)
        or (lead >= 0xEE and 0x80 <= second <= 0xBF)
    )


@njit()
def _begins_four(lead: int, second: int) -> bool:
    """Whether four bytes may begin so: not what takes fewer, and nothing above U+10FFFF."""
    return (
        (lead == 0xF0 and 0x90 <= second <= 0xBF)
        or (0xF1 <= lead <= 0xF3 and 0x80 <= second <= 0xBF)
        or (lead == 0xF4 and 0x80 <= second <= 0x8F)
    )


@njit()
def _is_continuation(byte: int) -> bool:
    return (byte & 0xC0) == 0x80
