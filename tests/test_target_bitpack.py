"""The target bitpack: honest rewrites pass its checks on every case, wrong kernels fail wherever they are wrong.

The stand-in kernels are plain numpy. They find a value's place from its row; the oracle goes the other way.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("bitpack")
Array = np.ndarray[Any, Any]

WITH_ZERO_WIDTH = (
    "growing",
    "every_width",
    "boundary_widths",
    "mostly_zero_width",
    "ones",
    "one_bit",
    "alternating",
)
ONE_WIDTH = ("constant", "full_width")
TIMED = ("constant", "mixed", "growing")
"""With 16 bits these are levels, every chunk of width 1."""
PERIODIC = ("ones", "alternating")
"""A chunk's values are equal, or those of every second row: the order of octets of rows does not show."""


class RowByRow:
    """Every row of all chunks of one width at once, from the one or two words that hold it."""

    def __init__(self, bits: int) -> None:
        self.bits, self.lanes = bits, 1024 // bits

    def unpack_chunks(self, words: Array, word_off: Array, widths: Array, n: int, out: Array) -> None:  # noqa: ARG002
        for width in np.unique(widths).tolist():
            chosen = np.flatnonzero(widths == width)
            packed = words[word_off[chosen, None] + np.arange(width * self.lanes)]
            rows = self.rows(packed.reshape(chosen.size, width, self.lanes), width)
            out.reshape(-1, 8, 128)[chosen] = self.in_place(rows).reshape(-1, 8, 128)

    def rows(self, packed: Array, width: int) -> Array:
        """Return the values, (chunks, bits, lanes), of `packed`, (chunks, width, lanes)."""
        rows = np.zeros((len(packed), self.bits, self.lanes), packed.dtype)
        if width:
            for row in range(self.bits):
                word, shift = divmod(row * width, self.bits)
                rows[:, row] = packed[:, word] >> shift
                if shift + width > self.bits:
                    rows[:, row] += self.carried(packed[:, word + 1], self.bits - shift)
        return self.masked(rows, width)

    def carried(self, words: Array, shift: int) -> Array:
        return words << shift

    def masked(self, rows: Array, width: int) -> Array:
        mask: Array = rows.dtype.type(2**width - 1)
        return rows & mask

    def in_place(self, rows: Array) -> Array:
        """Octets of rows come in bit-reversed order; each of an octet's rows fills a part of another 128."""
        octets = [octet for octet in (0, 4, 2, 6, 1, 5, 3, 7) if octet < self.bits // 8]
        by_octet = rows.reshape(len(rows), -1, 8, self.lanes)
        return by_octet[:, octets].swapaxes(1, 2)


class BitByBit(RowByRow):
    """Every bit by itself."""

    def rows(self, packed: Array, width: int) -> Array:
        strings = np.ascontiguousarray(packed.swapaxes(1, 2)).view(np.uint8)
        bits = np.unpackbits(strings, axis=2, bitorder="little").reshape(len(packed), self.lanes, self.bits, width)
        padded = np.zeros((*bits.shape[:3], self.bits), np.uint8)
        padded[..., :width] = bits
        return np.packbits(padded, axis=3, bitorder="little").view(packed.dtype)[..., 0].swapaxes(1, 2)


class WordByWord(RowByRow):
    """Every word read once, as Lance does it: what is left of a word goes to the next row."""

    def rows(self, packed: Array, width: int) -> Array:
        rows = np.zeros((len(packed), self.bits, self.lanes), packed.dtype)
        for word in range(width):
            first, last = word * self.bits // width, ((word + 1) * self.bits - 1) // width
            for row in range(first, last + 1):
                shift = row * width - word * self.bits
                rows[:, row] += packed[:, word] >> shift if shift >= 0 else packed[:, word] << -shift
        return self.masked(rows, width)


class PaddingOverwritten(RowByRow):
    def unpack_chunks(self, words: Array, word_off: Array, widths: Array, n: int, out: Array) -> None:
        super().unpack_chunks(words, word_off, widths, n, out)
        out[n:] = 77


class Wrong(RowByRow):
    """A wrong kernel; says on which cases it is right all the same."""

    @staticmethod
    def is_right(bits: int, distribution: str) -> bool:  # noqa: ARG004
        return False


class RowsInOrder(Wrong):
    def in_place(self, rows: Array) -> Array:
        return rows

    @staticmethod
    def is_right(bits: int, distribution: str) -> bool:
        return bits == 8 or distribution == "ones"


class OctetsInOrder(Wrong):
    def in_place(self, rows: Array) -> Array:
        return rows.reshape(len(rows), -1, 8, self.lanes).swapaxes(1, 2)

    @staticmethod
    def is_right(bits: int, distribution: str) -> bool:
        return bits <= 16 or distribution in PERIODIC


class FullWidthCopied(Wrong):
    """Takes words of full width for values in order."""

    def rows(self, packed: Array, width: int) -> Array:
        rows = super().rows(packed, width)
        if width < self.bits:
            return rows
        octets = self.in_place(np.arange(1024).reshape(1, self.bits, self.lanes)).ravel()
        return packed.reshape(-1, 1024)[:, np.argsort(octets)].reshape(rows.shape)

    @staticmethod
    def is_right(bits: int, distribution: str) -> bool:
        return bits == 8 or distribution not in ("every_width", "boundary_widths", "full_width", "one_bit")


class SplitValuesCut(Wrong):
    """Forgets the bits that lie in the next word."""

    def carried(self, words: Array, shift: int) -> Array:  # noqa: ARG002
        return np.zeros_like(words)

    @staticmethod
    def is_right(bits: int, distribution: str) -> bool:
        return distribution == "full_width" or (bits == 16 and distribution in (*TIMED, "mostly_zero_width"))


class NothingMasked(Wrong):
    def masked(self, rows: Array, width: int) -> Array:  # noqa: ARG002
        return rows

    @staticmethod
    def is_right(bits: int, distribution: str) -> bool:  # noqa: ARG004
        return distribution == "full_width"


class ThroughDouble(Wrong):
    """What mixed signed and unsigned arithmetic comes to in numba: float64."""

    def masked(self, rows: Array, width: int) -> Array:
        values = super().masked(rows, width).astype(np.float64)
        return np.minimum(values, np.nextafter(2.0**self.bits, 0)).astype(rows.dtype)

    @staticmethod
    def is_right(bits: int, distribution: str) -> bool:
        wide = ("growing", "every_width", "boundary_widths", "full_width", "ones", "alternating")
        return bits < 64 or distribution not in wide


class PackedWithoutGaps(Wrong):
    """Takes each chunk for the neighbour of the one before."""

    def unpack_chunks(self, words: Array, word_off: Array, widths: Array, n: int, out: Array) -> None:
        sizes = widths.astype(np.int64) * self.lanes
        super().unpack_chunks(words, word_off[0] + np.cumsum(sizes) - sizes, widths, n, out)


class WidthFromThePage(Wrong):
    """Looks for the width before a chunk's words, where levels have none; what is there means nothing here."""

    def unpack_chunks(self, words: Array, word_off: Array, widths: Array, n: int, out: Array) -> None:
        found = (words[word_off - 1] % (self.bits + 1)).astype(widths.dtype)
        room = np.concatenate((words, np.zeros(1024, words.dtype)))
        super().unpack_chunks(room, word_off, found, n, out)


class ZeroWidthLeftOut(Wrong):
    """Writes nothing where nothing is stored."""

    def unpack_chunks(self, words: Array, word_off: Array, widths: Array, n: int, out: Array) -> None:
        before = out.copy()
        super().unpack_chunks(words, word_off, widths, n, out)
        of_width_0 = np.repeat(widths == 0, 1024)
        out[of_width_0] = before[of_width_0]

    @staticmethod
    def is_right(bits: int, distribution: str) -> bool:
        return distribution not in WITH_ZERO_WIDTH or (bits == 16 and distribution in TIMED)


class FirstWidthForAll(Wrong):
    def unpack_chunks(self, words: Array, word_off: Array, widths: Array, n: int, out: Array) -> None:
        room = np.concatenate((words, np.zeros(1024, words.dtype)))
        super().unpack_chunks(room, word_off, np.full_like(widths, widths[0]), n, out)

    @staticmethod
    def is_right(bits: int, distribution: str) -> bool:
        return distribution in ONE_WIDTH or (bits == 16 and distribution in TIMED)


class LastChunkLeftOut(Wrong):
    def unpack_chunks(self, words: Array, word_off: Array, widths: Array, n: int, out: Array) -> None:
        super().unpack_chunks(words, word_off[:-1], widths[:-1], n, out[:-1024])


class LastValueLeftOut(Wrong):
    def unpack_chunks(self, words: Array, word_off: Array, widths: Array, n: int, out: Array) -> None:
        before = out[n - 1]
        super().unpack_chunks(words, word_off, widths, n, out)
        out[n - 1] = before


HONEST = (RowByRow, BitByBit, WordByWord, PaddingOverwritten)
WRONG = (
    RowsInOrder,
    OctetsInOrder,
    FullWidthCopied,
    SplitValuesCut,
    NothingMasked,
    ThroughDouble,
    PackedWithoutGaps,
    WidthFromThePage,
    ZeroWidthLeftOut,
    FirstWidthForAll,
    LastChunkLeftOut,
    LastValueLeftOut,
)


def verify(kernel: type[RowByRow], case_id: str) -> None:
    BATTERY.verify(SimpleNamespace(Bitpack=kernel), case_id)


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for kernel in HONEST:
        verify(kernel, case_id)


@pytest.mark.parametrize("kernel", WRONG)
def test_wrong_kernels_fail_wherever_they_are_wrong(kernel: type[Wrong]) -> None:
    passed = set()
    for case_id in BATTERY.cases:
        try:
            verify(kernel, case_id)
        except KernelIncorrect:
            continue
        passed.add(case_id)
    is_right = {
        case_id for case_id, case in BATTERY.cases.items() if kernel.is_right(case.shape.bits, case.distribution)
    }
    assert passed == is_right


class Stored(NamedTuple):
    """A value worked out by hand: the words that hold its bits, all others 0, and where it comes out."""

    bits: int
    width: int
    words: dict[int, int]
    place: int
    value: int


BY_HAND = {
    "row 2 of lane 5, one bit": Stored(8, 1, {5: 0b100}, 2 * 128 + 5, 1),
    "row 2 of lane 3, bits 24 to 35 of its lane": Stored(32, 12, {3: 0xBC << 24, 32 + 3: 0xA}, 2 * 128 + 3, 0xABC),
    "row 9 of lane 5, octet 1 of 2": Stored(16, 16, {9 * 64 + 5: 0x8001}, 64 + 128 + 5, 0x8001),
    "row 8 of lane 0, octet 1 of 4": Stored(32, 32, {8 * 32: 2**32 - 1}, 64, 2**32 - 1),
    "row 24 of lane 2, octet 3 of 8": Stored(64, 64, {24 * 16 + 2: 2**63 + 1}, 96 + 2, 2**63 + 1),
    "row 63 of lane 15, the last bits": Stored(64, 20, {19 * 16 + 15: 0xFEDCB << 44}, 1023, 0xFEDCB),
}


@pytest.mark.parametrize("kernels", ["kernels", "reference"])
@pytest.mark.parametrize("name", BY_HAND)
def test_a_value_comes_out_where_it_does_by_hand(name: str, kernels: str) -> None:
    bits, width, stored, place, value = BY_HAND[name]
    module = BATTERY.kernels if kernels == "kernels" else BATTERY.target.reference
    words = np.zeros(1024 * width // bits, f"u{bits // 8}")
    for at, word in stored.items():
        words[at] = word
    out = np.full(1024, 77, words.dtype)
    module.Bitpack(bits).unpack_chunks(words, np.zeros(1, np.int64), np.array([width], np.uint8), 1024, out)
    assert np.flatnonzero(out).tolist() == [place]
    assert out[place] == value


def test_the_sentence_names_the_value_that_is_wrong() -> None:
    with pytest.raises(KernelIncorrect, match=r"values: \d+ of \d+ values differ .* first at \[\d+\]: kernel"):
        verify(NothingMasked, "32x9x256-constant")
