"""The target fsst: honest rewrites pass its checks on every case, wrong kernels fail where they are wrong.

The stand-in kernels are plain Python; each wrong one has one mistake of those who write such kernels.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("fsst")
EVERY = tuple(BATTERY.cases)
Array = np.ndarray[Any, Any]


CHUNKED = tuple(case for case in EVERY if case.startswith("16411x12x36x32x4096"))


def cases(*distributions: str, among: tuple[str, ...] = EVERY) -> tuple[str, ...]:
    return tuple(case for case in among if case.rpartition("-")[2] in distributions)


class ByteByByte:
    """The plain loop; the base of all others."""

    def prepare(self, table: Array) -> Any:
        data = table.tobytes()
        return self.symbols(data), bool(data[3] & 1)

    def symbols(self, data: bytes) -> list[bytes]:
        count = data[0]
        lengths = data[8 + 8 * count : 8 + 9 * count]
        return [data[8 + 8 * code : 8 + 8 * code + length] for code, length in enumerate(lengths)]

    def decode(self, decoder: Any, codes: Array, offsets: Array, out: Array, out_offsets: Array) -> int:
        return self.write(self.strings(decoder, codes, offsets), out, out_offsets)

    def strings(self, decoder: Any, codes: Array, offsets: Array) -> list[bytes]:
        symbols, compressed = decoder
        data = codes.tobytes()
        strings = [data[start:end] for start, end in pairwise(offsets.tolist())]
        return [self.expand(symbols, string) for string in strings] if compressed else strings

    def expand(self, symbols: list[bytes], string: bytes) -> bytes:
        parts = []
        at = 0
        while at < len(string):
            escape = string[at] == 255
            parts.append(string[at + 1 : at + 2] if escape else symbols[string[at]])
            at += 1 + escape
        return b"".join(parts)

    def write(self, strings: list[bytes], out: Array, out_offsets: Array) -> int:
        """Write what fits: a wrong kernel shall be refused for its result."""
        ends = np.cumsum([0, *map(len, strings)])
        data = np.frombuffer(b"".join(strings)[: len(out)], np.uint8)
        out[: len(data)] = data
        out_offsets[:] = ends
        return int(ends[-1])


class Tokens(ByteByByte):
    """Takes a string apart before anything is looked up."""

    def expand(self, symbols: list[bytes], string: bytes) -> bytes:
        tokens = re.findall(rb"\xff.|[^\xff]", string, re.DOTALL)
        return b"".join([token[1:] or symbols[token[0]] for token in tokens])


class OneRun(ByteByByte):
    """Decodes all strings as one, and finds their ends by counting."""

    def decode(self, decoder: Any, codes: Array, offsets: Array, out: Array, out_offsets: Array) -> int:
        symbols, compressed = decoder
        if not compressed:
            return super().decode(decoder, codes, offsets, out, out_offsets)
        data = codes.tobytes()
        at, end, ends, parts = int(offsets[0]), int(offsets[-1]), {}, []
        total = 0
        while at < end:
            ends[at] = total
            escape = data[at] == 255
            parts.append(data[at + 1 : at + 2] if escape else symbols[data[at]])
            total += len(parts[-1])
            at += 1 + escape
        ends[end] = total
        out[:total] = np.frombuffer(b"".join(parts), np.uint8)
        out_offsets[:] = [ends[offset] for offset in offsets.tolist()]
        return total


class BehindTheEnd(ByteByByte):
    """Stores eight bytes for every code, also behind the total, where nobody looks."""

    def write(self, strings: list[bytes], out: Array, out_offsets: Array) -> int:
        total = super().write(strings, out, out_offsets)
        out[total:] = 77
        return total


class ByChunks(ByteByByte):
    """Takes all chunks of a page at once; the base of those that do so wrongly."""

    def decode_chunks(
        self, table: Array, page: Array, starts: Array, counts: Array, out: Array, out_offsets: Array
    ) -> int:
        decoder = self.prepare(table)
        strings = []
        for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
            offsets = page[start : start + (count + 1) * out_offsets.itemsize].view(out_offsets.dtype)
            strings += self.strings(decoder, page[start:], offsets)
        return self.write(strings, out, out_offsets)


class FirstTableKept(ByChunks):
    """Takes the table of the first page for that of all."""

    kept: Any = None

    def prepare(self, table: Array) -> Any:
        self.kept = self.kept or super().prepare(table)
        return self.kept


class LastChunkForgotten(ByChunks):
    def decode_chunks(
        self, table: Array, page: Array, starts: Array, counts: Array, out: Array, out_offsets: Array
    ) -> int:
        out_offsets[-counts[-1] :] = -1
        strings = out_offsets[: -counts[-1]]
        return super().decode_chunks(table, page, starts[:-1], counts[:-1], out, strings)


class EndsInTheChunk(ByChunks):
    """Counts the ends of strings from the beginning of their chunk's bytes."""

    def decode_chunks(
        self, table: Array, page: Array, starts: Array, counts: Array, out: Array, out_offsets: Array
    ) -> int:
        total = super().decode_chunks(table, page, starts, counts, out, out_offsets)
        firsts = np.cumsum(counts) - counts
        out_offsets[1:] -= np.repeat(out_offsets[firsts], counts)
        return total


class CodesRightBehindTheOffsets(ByChunks):
    """Takes a chunk's offsets for those of the codes alone."""

    def strings(self, decoder: Any, codes: Array, offsets: Array) -> list[bytes]:
        symbols, compressed = decoder
        all_symbols = [*symbols, *[b""] * (256 - len(symbols))]
        return super().strings((all_symbols, compressed), codes[offsets.nbytes :], offsets)


class EscapesSkipped(ByteByByte):
    """Takes 255 for a symbol without bytes, and the literal for a code."""

    def expand(self, symbols: list[bytes], string: bytes) -> bytes:
        known = dict(enumerate(symbols))
        return b"".join(known.get(code, b"") for code in string)


class LiteralEscapes(ByteByByte):
    """Takes a literal 255 for another escape."""

    def expand(self, symbols: list[bytes], string: bytes) -> bytes:
        tokens = re.findall(rb"\xff+[^\xff]|[^\xff]", string, re.DOTALL)
        return b"".join([token[-1:] if len(token) > 1 else symbols[token[0]] for token in tokens])


class WholeQuadsOnly(ByteByByte):
    """Decodes four codes at a time and forgets the one to three at the end of a string."""

    def expand(self, symbols: list[bytes], string: bytes) -> bytes:
        tokens = re.findall(rb"\xff.|[^\xff]", string, re.DOTALL)
        return super().expand(symbols, b"".join(tokens[: len(tokens) // 4 * 4]))


class OneEscapeOfFour(ByteByByte):
    """Sees the first escape of four codes and takes the rest of the four for plain codes."""

    def expand(self, symbols: list[bytes], string: bytes) -> bytes:
        known = dict(enumerate(symbols))
        parts = []
        at = 0
        while at < len(string):
            escaped = False
            end = at + 4
            while at < min(end, len(string)):
                escape = string[at] == 255 and not escaped
                escaped |= escape
                parts.append(string[at + 1 : at + 2] if escape else known.get(string[at], b""))
                at += 1 + escape
        return b"".join(parts)


class LengthsAtTheEnd(ByteByByte):
    """Reads the lengths where a table of 256 symbols would have them."""

    def symbols(self, data: bytes) -> list[bytes]:
        return [data[8 + 8 * code : 8 + 8 * code + (data[2056 + code] & 7) + 1] for code in range(data[0])]


class EightBytesEach(ByteByByte):
    """Advances by a whole symbol of eight bytes."""

    def symbols(self, data: bytes) -> list[bytes]:
        return [data[8 + 8 * code : 16 + 8 * code] for code in range(data[0])]


class FromTheStart(ByteByByte):
    """Takes the first byte for the first code, whatever the first offset."""

    def decode(self, decoder: Any, codes: Array, offsets: Array, out: Array, out_offsets: Array) -> int:
        return super().decode(decoder, codes, offsets - offsets[0], out, out_offsets)

    def expand(self, symbols: list[bytes], string: bytes) -> bytes:
        return super().expand([*symbols, *[b""] * (256 - len(symbols))], string)


class SwitchNotRead(ByteByByte):
    """Decompresses what was stored as it is."""

    def prepare(self, table: Array) -> Any:
        return [bytes([code]) for code in range(256)] if table[0] == 0 else self.symbols(table.tobytes()), True


class EmptiesSkipped(ByteByByte):
    """Gives empty strings no offset."""

    def write(self, strings: list[bytes], out: Array, out_offsets: Array) -> int:
        kept = [string for string in strings if string]
        return super().write(kept, out, out_offsets[: len(kept) + 1])


class HalvesInWrongOrder(ByteByByte):
    """Decodes the second half of the strings first: the last store of the first half runs into it."""

    def write(self, strings: list[bytes], out: Array, out_offsets: Array) -> int:
        total = super().write(strings, out, out_offsets)
        middle = int(out_offsets[len(strings) // 2])
        out[middle : middle + 7] ^= 1
        return total


class LastStringForgotten(ByteByByte):
    """Leaves the bytes of the last string that is not empty as they were."""

    def write(self, strings: list[bytes], out: Array, out_offsets: Array) -> int:
        last = max(place for place, string in enumerate(strings) if string)
        total = super().write(strings, out, out_offsets)
        out[out_offsets[last] : total] ^= 1
        return total


HONEST = (ByteByByte, Tokens, OneRun, BehindTheEnd, ByChunks)
ESCAPED = ("all_escapes", "mixed_escapes", "one_symbol")
COMPRESSED = tuple(case for case in EVERY if not case.endswith("verbatim"))
WRONG = {
    EscapesSkipped: cases("english", *ESCAPED, "mostly_empty"),
    LiteralEscapes: cases(*ESCAPED),
    WholeQuadsOnly: COMPRESSED,
    OneEscapeOfFour: cases(*ESCAPED),
    LengthsAtTheEnd: cases("urls", "english", "random", "mixed_escapes", "one_symbol", "single_bytes"),
    EightBytesEach: cases("urls", "english", "random", "mixed_escapes", "one_symbol", "single_bytes"),
    FromTheStart: tuple(case for case in EVERY if case.startswith("256x") or "_" in case or "verbatim" in case)
    + CHUNKED,
    SwitchNotRead: cases("verbatim"),
    EmptiesSkipped: cases("mostly_empty") + tuple(case for case in EVERY if case.startswith("9001x")),
    HalvesInWrongOrder: EVERY,
    LastStringForgotten: EVERY,
    FirstTableKept: cases(
        "urls",
        "english",
        "random",
        "mixed_escapes",
        "longest_symbols",
        "single_bytes",
        "mostly_empty",
        among=CHUNKED,
    ),
    LastChunkForgotten: CHUNKED,
    EndsInTheChunk: CHUNKED,
    CodesRightBehindTheOffsets: CHUNKED,
}
"""Wrong kernels, and the cases in which each must be found out."""


@pytest.mark.parametrize("case_id", EVERY)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for kernel in HONEST:
        BATTERY.verify(kernel(), case_id)


@pytest.mark.parametrize("kernel", WRONG)
def test_wrong_kernels_fail_where_they_are_wrong(kernel: type[ByteByByte]) -> None:
    for case_id in WRONG[kernel]:
        with pytest.raises(KernelIncorrect):
            BATTERY.verify(kernel(), case_id)


def table_by_hand(symbols: list[bytes]) -> Array:
    """Symbols padded with what means nothing, then their lengths; 2312 bytes in all."""
    header = bytes([len(symbols), 0, 0, 1]) + b"TSSF"
    padded = b"".join(symbol.ljust(8, b"#") for symbol in symbols)
    return np.frombuffer((header + padded + bytes(map(len, symbols))).ljust(2312, b"\0"), np.uint8)


def test_the_oracle_decodes_codes_worked_out_by_hand() -> None:
    oracle = BATTERY.target.reference
    decoder = oracle.prepare(table_by_hand([b"http://", b"a", b"lance"]))
    codes = np.array([7, 0, 2, 255, 46, 255, 255, 1, 255, 255, 255, 2, *[1] * 8], np.uint8)
    out, out_offsets = np.full(26, 9, np.uint8), np.full(5, -1, np.int32)
    total = oracle.decode(decoder, codes, np.array([1, 5, 5, 8, 12], np.int32), out, out_offsets)
    assert (total, out_offsets.tolist()) == (17, [0, 13, 13, 15, 17])
    assert out.tobytes() == b"http://lance." + b"\xffa" + b"\xff\x02" + b"\x09" * 9


def test_the_symbol_table_of_the_inputs_is_laid_out_as_lance_does() -> None:
    made = BATTERY.target.inputs.symbol_table([b"http://", b"a", b"lance"], np.random.default_rng(0))
    by_hand = table_by_hand([b"http://", b"a", b"lance"])
    assert len(made) == 2312
    assert made[[0, 3, 4, 5, 6, 7]].tolist() == by_hand[[0, 3, 4, 5, 6, 7]].tolist()
    assert ByteByByte().prepare(made) == ByteByByte().prepare(by_hand)


def test_the_words_of_the_last_code_stay_inside_the_output() -> None:
    """The kernel may store words of 8 bytes: the last one ends with the 8 bytes that follow the total."""
    for impl in (BATTERY.target.reference, BATTERY.kernels):
        decoder = impl.prepare(table_by_hand([b"12345678"]))
        out, out_offsets = np.zeros(16, np.uint8), np.zeros(2, np.int64)
        assert impl.decode(decoder, np.zeros(9, np.uint8), np.array([0, 1]), out, out_offsets) == 8
        assert out[:8].tobytes() == b"12345678"


def test_text_is_compressed_as_much_as_such_text_is() -> None:
    """Ratios of bytes to codes: long symbols, short symbols and escapes, hardly any."""
    for case_id in cases("urls", "english", "random"):
        state = BATTERY.prepared(case_id)[0]
        ratio = state.sizes.sum() / len(state.codes)
        escapes = len(re.findall(rb"\xff.", state.codes.tobytes(), re.DOTALL)) / len(state.codes)
        least, most = {"urls": (2.5, 4.5), "english": (2, 2.7), "random": (1.2, 1.6)}[case_id.rpartition("-")[2]]
        assert least < ratio < most
        assert case_id.endswith("english") == (0.01 < escapes < 0.03)


def test_timed_calls_are_not_strings_of_the_pool_only() -> None:
    """A kernel that had seen the pool decoded would still not know the strings of a call."""
    state, _, calls = BATTERY.prepared("256x300x2000x32-english")
    pool = {state.codes[start:end].tobytes() for start, end in pairwise(state.offsets)}
    for codes, offsets, *_ in calls:
        assert not pool & {codes[start:end].tobytes() for start, end in pairwise(offsets)}


def test_the_sentence_names_the_part_that_is_wrong() -> None:
    said = {}
    for kernel in (HalvesInWrongOrder, WholeQuadsOnly):
        with pytest.raises(KernelIncorrect) as refused:
            BATTERY.verify(kernel(), "16384x8x16x32-urls")
        said[kernel] = str(refused.value)
    assert "bytes: 7 of " in said[HalvesInWrongOrder]
    assert "(total, offsets)[0]: 1 of 1 values differ (bits must be equal)" in said[WholeQuadsOnly]
