"""FSST decompression: codes of one byte, each for 1 to 8 bytes, back to strings. The file that an agent edits.

All strings are decoded as one run of codes, since no code crosses from one to the next.

What makes it fast: eight codes make one store. Their symbols are put side by side in a vector of 64 bytes, and
one instruction moves those bytes together that count. Which these are is looked up for 64 codes at once, as
masks with a bit for each byte of each symbol. As many bits of a mask are set as its eight codes write bytes; so
nothing waits for one length after the other, and nothing branches on what a code is. Escapes are found for 64
codes at once too: bits of a word say which codes are literal bytes, by the arithmetic that finds escaped quotes
in JSON (Langdale and Lemire, "Parsing gigabytes of JSON per second", 2019). A literal byte is a symbol of one
byte, an escape one of none. Strings are looked at once in a thousand codes: where one ends is the place of its
eight codes, and as many bytes on as there are bits below it in their mask.

In Rust: `_mm512_maskz_compress_epi8` (AVX-512VBMI2; into a register, since into memory it is slow on AMD's Zen 4),
`_mm512_permutex2var_epi8` (AVX-512VBMI) and `u64::count_ones`, chosen by `is_x86_feature_detected`; elsewhere the
same symbol by symbol. Lance 1.0.0 decodes string by string and looks at four codes at a time (`decompress_bulk`,
rust/compression/fsst/src/fsst.rs); `benchmarks/ports/fsst/kernels.py` is a port of that.

Chunks of a page are decoded one after the other straight into their places, by a table that is parsed once.

Stays: `prepare(table)`, `decode(decoder, codes, offsets, out, out_offsets)` and
`decode_chunks(table, page, starts, counts, out, out_offsets)`, with the dtypes and shapes of their docstrings.

CAN: derive any tables from the symbol table; decode several codes, or several places, at once; decode all
strings as one run, since no code crosses from one to the next; write into the slack after the output's total.
CANNOT: keep anything that depends on a call's arguments for a later call; start threads or processes; import
anything but numba, llvmlite.ir, numpy and the mathematics of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Words = NDArray[np.uint64]

ESCAPE = 255
COMPRESSED = 1 << 24
SYMBOL = 8
"""The most bytes that a code may stand for, and those of a word."""
GROUP = 8
"""Codes that are stored at once."""
LANES = 64
"""Codes whose masks are found at once, and the bytes of a vector."""
BLOCK = 1024
"""Codes after which the ends of strings are looked for; a multiple of LANES."""

ONE = np.uint64(1)
ODD = np.uint64(0xAAAAAAAAAAAAAAAA)
"""Every other bit, without the lowest one."""


class Decoder(NamedTuple):
    """A symbol table: `symbols` uint64 (256,), first byte lowest; `bits` uint8 (256,); and the switch.

    `bits` has a bit for each byte that a code stands for, from the lowest on, and none for an escape.
    """

    symbols: Words
    bits: Bytes
    compressed: bool


def prepare(table: Bytes) -> Decoder:
    """Return what `decode` needs of a symbol table. Not timed.

    `table` is uint8 (2312,) as Lance stores it: a little-endian word of 64 bits with the number of symbols n,
    0 to 255, in bits 0 to 7 and the switch in bit 24; n symbols of 8 bytes; n lengths, 1 to 8. All else means
    nothing, in particular the bytes of a symbol past its length. Switch 0: the strings are stored as they are.
    """
    header = int(table[:8].view(np.uint64)[0])
    count = header & 255
    symbols, bits = np.zeros(256, np.uint64), np.zeros(256, np.uint8)
    symbols[:count] = table[8 : 8 + 8 * count].view(np.uint64)
    bits[:count] = 255 >> (SYMBOL - table[8 + 8 * count : 8 + 9 * count])
    return Decoder(symbols, bits, bool(header & COMPRESSED))


def decode(decoder: Decoder, codes: Bytes, offsets: NDArray[Any], out: Bytes, out_offsets: NDArray[Any]) -> int:
    """Decompress every string, one after the other, and return the number of bytes written.

    Parameters
    ----------
    decoder : object
        What `prepare` returned.
    codes : uint8, shape (m,), C-contiguous
        Code c below n stands for its symbol, 255 says that the next byte is meant literally. No string ends
        between the two. At least 8 bytes follow the last string; they mean nothing, as do those before the first.
    offsets : int32 or int64, shape (n + 1,)
        String i is `codes[offsets[i] : offsets[i + 1]]`. The first offset need not be 0.
    out : uint8, shape (total + 8,)
        To be filled up to the total; what is in the last 8 bytes is not looked at.
    out_offsets : shape (n + 1,), dtype of `offsets`
        To be filled: 0, then the end of each string in `out`.
    """
    if not decoder.compressed:
        return _copy(codes, offsets, out, out_offsets)
    return _decompress(decoder.symbols, decoder.bits, codes, offsets, out, out_offsets)


def decode_chunks(
    table: Bytes,
    page: Bytes,
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
    out: Bytes,
    out_offsets: NDArray[Any],
) -> int:
    """Decompress the strings of all chunks of a page, one after the other, and return the number of bytes written.

    Parameters
    ----------
    table : uint8, shape (2312,)
        As `prepare` takes it; another one for each page.
    page : uint8, shape (m,), C-contiguous
        The chunks as they lie in the file. At least 8 bytes follow the last string.
    starts : int64, shape (c,)
        Where each chunk's n + 1 offsets begin, of the dtype of `out_offsets`, at a multiple of 8. They count from
        there: the codes of string i are `page[start + offset[i] : start + offset[i + 1]]`, as `decode` takes them.
    counts : int64, shape (c,)
        How many strings each chunk has, n.
    out : uint8, shape (total + 8,)
        To be filled up to the total of all chunks; what is in the last 8 bytes is not looked at.
    out_offsets : int32 or int64, shape (sum of n + 1,)
        To be filled: 0, then the end of each string in `out`.
    """
    symbols, bits, compressed = prepare(table)
    return _decompress_chunks(symbols, bits, compressed, page, starts, counts, out, out_offsets)


@njit
def _decompress_chunks(
    symbols: Words,
    bits: Bytes,
    compressed: bool,
    page: Bytes,
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
    out: Bytes,
    out_offsets: NDArray[Any],
) -> int:
    """Decode each chunk behind the one before, over what that one stored too much."""
    at, string = 0, 0
    out_offsets[0] = 0
    for chunk in range(starts.size):
        codes = page[starts[chunk] :]
        offsets = codes[: (counts[chunk] + 1) * out_offsets.itemsize].view(out_offsets.dtype)
        ends = out_offsets[string : string + counts[chunk] + 1]
        if compressed:
            total = _decompress(symbols, bits, codes, offsets, out[at:], ends)
        else:
            total = _copy(codes, offsets, out[at:], ends)
        for i in range(ends.size):
            ends[i] += at
        at += total
        string += counts[chunk]
    return at


@njit
def _copy(codes: Bytes, offsets: NDArray[Any], out: Bytes, out_offsets: NDArray[Any]) -> int:
    total = int(offsets[-1]) - int(offsets[0])
    out[:total] = codes[offsets[0] : offsets[-1]]
    np.subtract(offsets, offsets[0], out_offsets)
    return total


@njit
def _decompress(
    symbols: Words, bits: Bytes, codes: Bytes, offsets: NDArray[Any], out: Bytes, out_offsets: NDArray[Any]
) -> int:
    """Decode block by block, and the end code by code, where a store of a vector could reach beyond `out`."""
    literals = np.empty(BLOCK // LANES, np.uint64)
    masks = np.empty(BLOCK // GROUP, np.uint64)
    places = np.empty(BLOCK // GROUP, np.int64)
    begin, end = np.int64(offsets[0]), np.int64(offsets[-1])
    at, string, after_escape = 0, 0, np.uint64(0)
    while True:
        size = min(BLOCK, end - begin, (len(out) - LANES - at) // SYMBOL) // LANES * LANES
        if size <= 0:
            break
        after_escape = _find_literals(codes, begin, size, after_escape, literals)
        _find_masks(bits, codes, begin, size, literals, masks)
        at = _lay_block(symbols, codes, begin, size, literals, masks, out, at, places)
        while offsets[string] < begin + size:
            out_offsets[string] = _place(places, masks, np.uint64(offsets[string] - begin))
            string += 1
        begin += size
    return _lay_one_by_one(symbols, bits, codes, begin, offsets, out, at, out_offsets, string, after_escape != 0)


@njit
def _find_literals(codes: Bytes, begin: int, size: int, after_escape: np.uint64, literals: Words) -> np.uint64:
    """Write a bit for each code that is a literal byte, and return whether the next block begins with one.

    Of codes 255 in a row every other one is an escape. The subtraction carries through those of a row, so that
    `ends` has what is behind the row where its first code is at an odd place, as if the row were.
    """
    for word in range(size // LANES):
        escapes = _equal(codes, begin + word * LANES)
        turns = (((escapes << ONE) | ODD) - (escapes & ~after_escape)) ^ ODD
        literals[word] = turns ^ (escapes | after_escape)
        after_escape = (turns & escapes) >> np.uint64(LANES - 1)
    return after_escape


@njit
def _find_masks(bits: Bytes, codes: Bytes, begin: int, size: int, literals: Words, masks: Words) -> None:
    """Write a byte for each code: a bit for each byte that it stands for."""
    for word in range(size // LANES):
        _look_up(bits, codes, begin + word * LANES, literals[word], masks, word * (LANES // GROUP))


@njit
def _lay_block(
    symbols: Words,
    codes: Bytes,
    begin: int,
    size: int,
    literals: Words,
    masks: Words,
    out: Bytes,
    at: int,
    places: NDArray[np.int64],
) -> int:
    """Store the symbols of all groups one after the other; `places` says where each begins."""
    for group in range(size // GROUP):
        places[group] = at
        at += _lay(symbols, codes, begin + group * GROUP, literals, masks, group, out, at)
    return at


@njit
def _place(places: NDArray[np.int64], masks: Words, code: np.uint64) -> int:
    """Return where a code of the block begins in the output."""
    group = code // np.uint64(GROUP)
    before = (ONE << (code % np.uint64(GROUP) * np.uint64(SYMBOL))) - ONE
    place: int = places[group] + _count(masks[group] & before)
    return place


@njit
def _lay_one_by_one(
    symbols: Words,
    bits: Bytes,
    codes: Bytes,
    begin: int,
    offsets: NDArray[Any],
    out: Bytes,
    at: int,
    out_offsets: NDArray[Any],
    string: int,
    is_literal: bool,
) -> int:
    """Decode what is left from code `begin` on, where string number `string` is the next to begin or to end."""
    for i in range(begin, offsets[-1]):
        while offsets[string] == i:
            out_offsets[string] = at
            string += 1
        if is_literal:
            out[at] = codes[i]
            at += 1
            is_literal = False
        else:
            _store(out, at, symbols[codes[i]])
            at += _count(bits[codes[i]])
            is_literal = codes[i] == ESCAPE
    out_offsets[string:] = at
    return at


BIT, BYTE, LANE_NUMBER, WORD = (ir.IntType(width) for width in (1, 8, 32, 64))
CODES = ir.VectorType(BYTE, LANES)
FLAGS = ir.VectorType(BIT, LANES)
SYMBOLS = ir.VectorType(WORD, GROUP)


def _has_vectors(context: Any) -> bool:
    """Whether the processor has the instructions that look up and move bytes."""
    return {"+avx512vbmi", "+avx512vbmi2"} <= set(context.codegen().magic_tuple()[2].split(","))


def _all(byte: int) -> ir.Constant:
    return ir.Constant(CODES, [byte] * LANES)


def _pointers(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Return a function that points to an element of an array, which is an argument, as another type."""

    def pointer(argument: int, index: Any, kind: Any) -> Any:
        data = context.make_array(signature.args[argument])(context, builder, arguments[argument]).data
        return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())

    return pointer


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _count(typingctx: Any, word: Any) -> Any:
    """How many bits are set."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(builder.zext(arguments[0], WORD))

    return types.int64(word), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _store(typingctx: Any, out: Any, at: Any, word: Any) -> Any:
    """out[at : at + 8] = the bytes of the word."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointers(context, builder, signature, arguments)
        builder.store(arguments[2], pointer(0, arguments[1], WORD), align=1)
        return context.get_dummy_value()

    return types.void(out, at, word), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _equal(typingctx: Any, codes: Any, begin: Any) -> Any:
    """Which of the 64 codes from `begin` on are 255, a bit for each."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        loaded = builder.load(_pointers(context, builder, signature, arguments)(0, arguments[1], CODES), align=1)
        return builder.bitcast(builder.icmp_unsigned("==", loaded, _all(ESCAPE)), WORD)

    return types.uint64(codes, begin), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _look_up(typingctx: Any, bits: Any, codes: Any, begin: Any, literals: Any, masks: Any, group: Any) -> Any:
    """The bytes of masks[group : group + 8] are those of `bits` for 64 codes, and 1 for literals."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointers(context, builder, signature, arguments)
        loaded = builder.load(pointer(1, arguments[2], CODES), align=1)
        look_up = _looked_up_by_vectors if _has_vectors(context) else _looked_up_one_by_one
        found = look_up(builder, pointer(0, WORD(0), BYTE), loaded)
        found = builder.select(builder.bitcast(arguments[3], FLAGS), _all(1), found)
        builder.store(found, pointer(4, arguments[5], CODES), align=1)
        return context.get_dummy_value()

    return types.void(bits, codes, begin, literals, masks, group), codegen


def _looked_up_by_vectors(builder: Any, table: Any, codes: Any) -> Any:
    """Look up 64 bytes in a table of 256, by halves."""
    quarters = [
        builder.load(builder.bitcast(builder.gep(table, [WORD(LANES * quarter)]), CODES.as_pointer()), align=1)
        for quarter in range(4)
    ]
    kind = ir.FunctionType(CODES, [CODES] * 3)
    permute = builder.module.declare_intrinsic("llvm.x86.avx512.vpermi2var.qi.512", (), kind)
    low, high = (builder.call(permute, [quarters[half], codes, quarters[half + 1]]) for half in (0, 2))
    return builder.select(builder.icmp_signed("<", codes, _all(0)), high, low)


def _looked_up_one_by_one(builder: Any, table: Any, codes: Any) -> Any:
    """Do the same on any processor."""
    found = _all(0)
    for lane in map(LANE_NUMBER, range(LANES)):
        code = builder.zext(builder.extract_element(codes, lane), WORD)
        found = builder.insert_element(found, builder.load(builder.gep(table, [code])), lane)
    return found


@intrinsic  # type: ignore[untyped-decorator]
def _lay(
    typingctx: Any, symbols: Any, codes: Any, begin: Any, literals: Any, masks: Any, group: Any, out: Any, at: Any
) -> Any:
    """Store what the eight codes from `begin` on stand for at out[at], and return how many bytes that is.

    Up to 64 bytes from there on are overwritten.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointers(context, builder, signature, arguments)
        word = builder.load(pointer(1, arguments[2], WORD), align=1)
        looked_up = ir.Constant(SYMBOLS, ir.Undefined)
        for lane in range(GROUP):
            code = builder.and_(builder.lshr(word, WORD(8 * lane)), WORD(255))
            symbol = builder.load(pointer(0, code, WORD))
            looked_up = builder.insert_element(looked_up, symbol, LANE_NUMBER(lane))
        bytes_of_literals = builder.load(builder.gep(pointer(3, WORD(0), BYTE), [arguments[5]]))
        are_literal = builder.bitcast(bytes_of_literals, ir.VectorType(BIT, GROUP))
        as_they_are = builder.zext(builder.bitcast(word, ir.VectorType(BYTE, GROUP)), SYMBOLS)
        laid = builder.select(are_literal, as_they_are, looked_up)
        mask = builder.load(pointer(4, arguments[5], WORD))
        lay = _lay_by_vectors if _has_vectors(context) else _lay_words
        lay(builder, laid, mask, pointer(6, arguments[7], BYTE))
        return builder.ctpop(mask)

    return types.int64(symbols, codes, begin, literals, masks, group, out, at), codegen


def _lay_by_vectors(builder: Any, symbols: Any, mask: Any, out: Any) -> None:
    """Move the bytes that count together, and store them all."""
    kind = ir.FunctionType(CODES, [CODES, CODES, FLAGS])
    compress = builder.module.declare_intrinsic("llvm.x86.avx512.mask.compress.v64i8", (), kind)
    together = builder.call(compress, [builder.bitcast(symbols, CODES), _all(0), builder.bitcast(mask, FLAGS)])
    builder.store(together, builder.bitcast(out, CODES.as_pointer()), align=1)


def _lay_words(builder: Any, symbols: Any, mask: Any, out: Any) -> None:
    """Do the same on any processor: every symbol is stored as a word, over the end of the one before."""
    for lane in range(GROUP):
        symbol = builder.extract_element(symbols, LANE_NUMBER(lane))
        before = builder.ctpop(builder.and_(mask, WORD((1 << SYMBOL * lane) - 1)))
        builder.store(symbol, builder.bitcast(builder.gep(out, [before]), WORD.as_pointer()), align=1)
