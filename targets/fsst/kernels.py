"""FSST decompression: codes of one byte, each for 1 to 8 bytes, back to strings. The file that an agent edits.

All strings are decoded as one run of codes, since no code crosses from one to the next.

What makes it fast: nothing is looked up code by code. Byte k of the symbols of 64 codes is looked up at once, in a
table of 256 bytes that four registers hold; so eight of these make 64 symbols, byte by byte. Interleaving them
three times puts whole symbols side by side, and codes that were put into another order before come out in their
own, eight to a vector of 64 bytes. Where no symbol of a table is longer than four or two bytes, as many are looked
up and interleaved once or twice less, and 16 or 32 codes share a vector. One instruction moves those bytes of it
together that count. Which these are is looked up as well, as masks with a bit for each byte of each symbol. As
many bits of a mask are set as its eight codes write bytes: eight such numbers are added up at once, so that all
places are known before the first vector is laid. Nothing waits for one length after the other, and nothing
branches on what a code is.

Escapes are found for 64 codes at once too: bits of a word say which codes are literal bytes, by the arithmetic
that finds escaped quotes in JSON (Langdale and Lemire, "Parsing gigabytes of JSON per second", 2019). A literal
byte is a symbol of one byte, an escape one of none. Strings are looked at once in a thousand codes: where one ends
is the place of its eight codes, and as many bytes on as there are bits below it in their mask. The last codes are
laid in a room of their own and copied, so that these too are decoded 64 at once; so is the end of every chunk of a
page, over whose end the next chunk is laid. Tables begin where a line of the cache does, since loads across two
lines take twice as long.

In Rust: `_mm512_permutex2var_epi8` and `_mm512_permutexvar_epi8` (AVX-512VBMI), `_mm512_unpacklo_epi8` and
its like (AVX-512BW), `_mm512_maskz_compress_epi8` (AVX-512VBMI2; into a register, since into memory it is slow
on AMD), `_mm512_popcnt_epi64` (AVX-512VPOPCNTDQ), `_pext_u64` (BMI2) and `u64::count_ones`, chosen by
`is_x86_feature_detected`; elsewhere the same symbol by symbol. Lance 1.0.0 decodes string by string and looks at
four codes at a time (`decompress_bulk`, rust/compression/fsst/src/fsst.rs); `benchmarks/ports/fsst/kernels.py` is
a port of that.

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
    Ints = NDArray[np.int64]

ESCAPE = 255
SYMBOL = 8
"""The most bytes that a code may stand for, and those of a word."""
GROUP = 8
"""Codes of which a mask and a place are written down, one word each."""
LANES = 64
"""Codes that are looked up at once, and the bytes of a vector."""
BLOCK = 1024
"""Codes after which the ends of strings are looked for; a multiple of LANES."""
KINDS = 256
"""Codes that there are."""
BITS = SYMBOL * KINDS
"""Where in the tables a byte for each code begins, with a bit for each byte that the code stands for."""
SYMBOLS = BITS + KINDS
"""Where in the tables the symbols begin, eight bytes each."""
WIDTHS = (2, 4, 8)
WIDTH = SYMBOLS + SYMBOL * KINDS
"""Where in the tables the least of these is that no symbol exceeds."""

ONE = np.uint64(1)
ODD = np.uint64(0xAAAAAAAAAAAAAAAA)
"""Every other bit, without the lowest one."""


class Decoder(NamedTuple):
    """What `_tables` returns, and the switch."""

    tables: Bytes
    compressed: bool


def prepare(table: Bytes) -> Decoder:
    """Return what `decode` needs of a symbol table. Not timed.

    `table` is uint8 (2312,) as Lance stores it: a little-endian word of 64 bits with the number of symbols n,
    0 to 255, in bits 0 to 7 and the switch in bit 24; n symbols of 8 bytes; n lengths, 1 to 8. All else means
    nothing, in particular the bytes of a symbol past its length. Switch 0: the strings are stored as they are.
    """
    return Decoder(_tables(table), _is_compressed(table))


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
    return _decode(decoder.tables, decoder.compressed, codes, offsets, out, out_offsets)


def decode_chunks(
    table: Bytes,
    page: Bytes,
    starts: Ints,
    counts: Ints,
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
    return _decode_chunks(table, page, starts, counts, out, out_offsets)


@njit
def _is_compressed(table: Bytes) -> bool:
    return table[3] & 1 != 0


@njit
def _tables(table: Bytes) -> Bytes:
    """Return byte k of all symbols in row k of 256, then the row of bits, the symbols and their width; else 0."""
    tables = _aligned(WIDTH + 1)
    tables[WIDTH] = WIDTHS[0]
    count = np.int64(table[0])
    for code in range(count):
        size = table[SYMBOL + SYMBOL * count + code]
        tables[BITS + code] = 255 >> (SYMBOL - size)
        while tables[WIDTH] < size:
            tables[WIDTH] *= 2
        for byte in range(SYMBOL):
            tables[byte * KINDS + code] = table[SYMBOL + SYMBOL * code + byte]
    tables[SYMBOLS : SYMBOLS + SYMBOL * count] = table[SYMBOL : SYMBOL + SYMBOL * count]
    return tables


@njit
def _aligned(size: int) -> Bytes:
    """Return so many bytes of 0, where no vector lies across two lines of the cache."""
    room = np.zeros(size + LANES, np.uint8)
    start = -_address(room) % LANES
    return room[start : start + size]


@njit
def _decode(
    tables: Bytes, compressed: bool, codes: Bytes, offsets: NDArray[Any], out: Bytes, out_offsets: NDArray[Any]
) -> int:
    if not compressed:
        return _copy(codes, offsets, out, 0, out_offsets)
    return _decompress(tables, codes, 0, offsets, out, 0, out_offsets, _scratch())


@njit
def _decode_chunks(
    table: Bytes,
    page: Bytes,
    starts: Ints,
    counts: Ints,
    out: Bytes,
    out_offsets: NDArray[Any],
) -> int:
    """Decode each chunk behind the one before, over what that one stored too much."""
    tables, compressed, scratch = _tables(table), _is_compressed(table), _scratch()
    at, string = 0, 0
    out_offsets[0] = 0
    words = page[: page.size // out_offsets.itemsize * out_offsets.itemsize].view(out_offsets.dtype)
    for chunk in range(starts.size):
        start = starts[chunk]
        first = start // words.itemsize
        offsets = words[first : first + counts[chunk] + 1]
        ends = out_offsets[string : string + counts[chunk] + 1]
        if compressed:
            at = _decompress(tables, page, start, offsets, out, at, ends, scratch)
        else:
            at = _copy(page[start:], offsets, out, at, ends)
        string += counts[chunk]
    return at


@njit
def _copy(codes: Bytes, offsets: NDArray[Any], out: Bytes, at: int, out_offsets: NDArray[Any]) -> int:
    total = int(offsets[-1]) - int(offsets[0])
    _move(_pointer(codes, offsets[0]), _pointer(out, at), total)
    for i in range(offsets.size):
        out_offsets[i] = offsets[i] - offsets[0] + at
    return at + total


@njit
def _scratch() -> tuple[Words, Words, Ints, Bytes, Bytes]:
    """Return room for a block: literals; masks and places, one more than groups; codes, and their bytes."""
    literals = _aligned(BLOCK // LANES * SYMBOL).view(np.uint64)
    masks, places = _aligned(BLOCK + SYMBOL).view(np.uint64), _aligned(BLOCK + SYMBOL).view(np.int64)
    return literals, masks, places, _aligned(BLOCK), np.empty(SYMBOL * BLOCK, np.uint8)


@njit
def _decompress(
    tables: Bytes,
    codes: Bytes,
    start: int,
    offsets: NDArray[Any],
    out: Bytes,
    at: int,
    out_offsets: NDArray[Any],
    scratch: tuple[Words, Words, Ints, Bytes, Bytes],
) -> int:
    """Decode block by block from out[at] on, and return what lies behind the last byte.

    Offsets count from codes[start]. A block is laid in the scratch where vectors would reach beyond `codes` or
    `out`.
    """
    literals, masks, places, few, room = scratch
    begin, end = start + np.int64(offsets[0]), start + np.int64(offsets[-1])
    string, after_escape = np.uint64(0), np.uint64(0)
    while begin < end:
        stop = min(begin + BLOCK, end)
        words = (stop - begin + LANES - 1) // LANES
        fits = begin + words * LANES <= codes.size and at + words * LANES * SYMBOL <= out.size
        source, target = _pointer(codes, begin), _pointer(out, at)
        if not fits:
            _move(source, _pointer(few, 0), stop - begin)
            source, target = _pointer(few, 0), _pointer(room, 0)
        table, literal = _pointer(tables, 0), _pointer(literals, 0)
        mask, place = _pointer(masks, 0), _pointer(places, 0)
        after_escape = _look_up_block(table, source, words, after_escape, literal, mask, place)
        _lay_block(table, source, words, literal, mask, place, target)
        total = _place(places, masks, np.uint64(stop - begin))
        if not fits:
            _move(target, _pointer(out, at), total)
        while offsets[string] + start < stop:
            out_offsets[string] = at + _place(places, masks, np.uint64(offsets[string] + start - begin))
            string += ONE
        at += total
        begin = stop
    out_offsets[string:] = at
    return at


@njit
def _look_up_block(
    tables: Any, source: Any, words: int, after_escape: np.uint64, literals: Any, masks: Any, places: Any
) -> np.uint64:
    """Write which codes are literal bytes, which bytes count, and where each group begins and the last one ends.

    Returns whether the next block begins with a literal byte. Of codes 255 in a row every other one is an escape.
    The subtraction carries through those of a row, so that `turns` has what is behind the row where its first code
    is at an odd place, as if the row were.
    """
    at = 0
    for word in range(words):
        escapes = _equal(source, word)
        turns = (((escapes << ONE) | ODD) - (escapes & ~after_escape)) ^ ODD
        at = _look_up(tables, source, word, turns ^ (escapes | after_escape), literals, masks, places, at)
        after_escape = (turns & escapes) >> np.uint64(LANES - 1)
    return after_escape


@njit
def _lay_block(tables: Any, source: Any, words: int, literals: Any, masks: Any, places: Any, target: Any) -> None:
    """Store the symbols of all groups one after the other."""
    for word in range(words):
        _lay(tables, source, word, literals, masks, places, target)


@njit
def _place(places: Ints, masks: Words, code: np.uint64) -> int:
    """Return where a code of the block begins in what the block writes."""
    group = code // np.uint64(GROUP)
    before = (ONE << (code % np.uint64(GROUP) * np.uint64(SYMBOL))) - ONE
    place: int = places[group] + _count(masks[group] & before)
    return place


BIT, BYTE, LANE_NUMBER, WORD = (ir.IntType(width) for width in (1, 8, 32, 64))
CODES = ir.VectorType(BYTE, LANES)
FLAGS = ir.VectorType(BIT, LANES)
WORDS = ir.VectorType(WORD, GROUP)
NOTHING = ir.Constant(WORDS, [0] * GROUP)


def _has_vectors(context: Any) -> bool:
    """Whether the processor has the instructions that look up and move bytes."""
    return {"+avx512vbmi", "+avx512vbmi2", "+bmi2"} <= set(context.codegen().magic_tuple()[2].split(","))


def _all(byte: int) -> ir.Constant:
    return ir.Constant(CODES, [byte] * LANES)


def _at(builder: Any, pointer: Any, offset: Any, kind: Any) -> Any:
    """Return a pointer to what lies so many bytes behind another one."""
    return builder.bitcast(builder.gep(pointer, [offset]), kind.as_pointer())


def _load(builder: Any, pointer: Any, offset: Any, kind: Any) -> Any:
    return builder.load(_at(builder, pointer, offset, kind), align=1)


def _store(builder: Any, value: Any, pointer: Any, offset: Any) -> None:
    builder.store(value, _at(builder, pointer, offset, value.type), align=1)


def _shuffled(builder: Any, low: Any, high: Any, places: list[int]) -> Any:
    """Return the elements of two vectors that these places name."""
    return builder.shuffle_vector(low, high, ir.Constant(ir.VectorType(LANE_NUMBER, len(places)), places))


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _address(typingctx: Any, array: Any) -> Any:
    """Where in memory an array begins."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ptrtoint(context.make_array(signature.args[0])(context, builder, arguments[0]).data, WORD)

    return types.int64(array), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(typingctx: Any, array: Any, index: Any) -> Any:
    """Where in memory an element of an array lies, of which helpers need not count the references."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.bitcast(builder.gep(data, [arguments[1]]), BYTE.as_pointer())

    return types.CPointer(types.uint8)(array, index), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _count(typingctx: Any, word: Any) -> Any:
    """How many bits are set."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(word), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _move(typingctx: Any, source: Any, target: Any, size: Any) -> Any:
    """Copy so many bytes to where no source is."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, target, size = arguments
        kind = ir.FunctionType(ir.VoidType(), [BYTE.as_pointer(), BYTE.as_pointer(), WORD, BIT])
        copy = builder.module.declare_intrinsic("llvm.memcpy", (BYTE.as_pointer(), BYTE.as_pointer(), WORD), kind)
        builder.call(copy, [target, source, size, BIT(0)])
        return context.get_dummy_value()

    return types.void(source, target, size), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _equal(typingctx: Any, source: Any, word: Any) -> Any:
    """Which of 64 codes are 255, a bit for each."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, word = arguments
        codes = _load(builder, source, builder.mul(word, WORD(LANES)), CODES)
        return builder.bitcast(builder.icmp_unsigned("==", codes, _all(ESCAPE)), WORD)

    return types.uint64(source, word), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _look_up(
    typingctx: Any,
    tables: Any,
    source: Any,
    word: Any,
    are_literal: Any,
    literals: Any,
    masks: Any,
    places: Any,
    at: Any,
) -> Any:
    """Write a byte for each of 64 codes: its row of bits, and 1 for a literal. Keep which are literal, too.

    The first of them begins at `at`. Write where each eight of them begin, and return where the last ones end.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tables, source, word, are_literal, literals, masks, places, at = arguments
        begin = builder.mul(word, WORD(LANES))
        look_up = _looked_up_by_vectors if _has_vectors(context) else _looked_up_one_by_one
        found = look_up(builder, tables, BITS, _load(builder, source, begin, CODES))
        found = builder.select(builder.bitcast(are_literal, FLAGS), _all(1), found)
        _store(builder, found, masks, begin)
        _store(builder, are_literal, literals, builder.mul(word, WORD(SYMBOL)))
        sizes = _added_up(builder, _counted(builder, builder.bitcast(found, WORDS)))
        start = builder.insert_element(NOTHING, at, LANE_NUMBER(0))
        ends = builder.add(sizes, _shuffled(builder, start, NOTHING, [0] * GROUP))
        _store(builder, at, places, begin)
        _store(builder, ends, places, builder.add(begin, WORD(SYMBOL)))
        return builder.add(at, builder.extract_element(sizes, LANE_NUMBER(GROUP - 1)))

    return types.int64(tables, source, word, are_literal, literals, masks, places, at), codegen


def _counted(builder: Any, masks: Any) -> Any:
    """How many bits of each word are set."""
    count = builder.module.declare_intrinsic("llvm.ctpop.v8i64", (), ir.FunctionType(WORDS, [WORDS]))
    return builder.call(count, [masks])


def _added_up(builder: Any, sizes: Any) -> Any:
    """Return the sum of each of eight sizes and those before it."""
    for step in (1, 2, 4):
        before = _shuffled(builder, NOTHING, sizes, list(range(GROUP - step, 2 * GROUP - step)))
        sizes = builder.add(sizes, before)
    return sizes


def _looked_up_by_vectors(builder: Any, tables: Any, row: int, codes: Any) -> Any:
    """Look up 64 bytes in a row of 256, by halves."""
    quarters = [_load(builder, tables, WORD(row + LANES * quarter), CODES) for quarter in range(4)]
    kind = ir.FunctionType(CODES, [CODES] * 3)
    permute = builder.module.declare_intrinsic("llvm.x86.avx512.vpermi2var.qi.512", (), kind)
    low, high = (builder.call(permute, [quarters[half], codes, quarters[half + 1]]) for half in (0, 2))
    return builder.select(builder.icmp_signed("<", codes, _all(0)), high, low)


def _looked_up_one_by_one(builder: Any, tables: Any, row: int, codes: Any) -> Any:
    """Do the same on any processor."""
    found = _all(0)
    for lane in map(LANE_NUMBER, range(LANES)):
        code = builder.zext(builder.extract_element(codes, lane), WORD)
        found = builder.insert_element(found, _load(builder, tables, builder.add(code, WORD(row)), BYTE), lane)
    return found


@intrinsic  # type: ignore[untyped-decorator]
def _lay(
    typingctx: Any,
    tables: Any,
    source: Any,
    word: Any,
    literals: Any,
    masks: Any,
    places: Any,
    target: Any,
) -> Any:
    """Store what 64 codes stand for at their places. Up to 64 bytes from the last place on are overwritten."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tables, source, word, literals, masks, places, target = arguments
        begin = builder.mul(word, WORD(LANES))
        are_literal = _load(builder, literals, builder.mul(word, WORD(SYMBOL)), WORD)
        source, masks, places = (builder.gep(pointer, [begin]) for pointer in (source, masks, places))
        if not _has_vectors(context):
            _lay_one_by_one(builder, tables, source, are_literal, masks, places, target)
            return context.get_dummy_value()
        exact = _load(builder, tables, WORD(WIDTH), BYTE)
        for width in WIDTHS:
            with builder.if_then(builder.icmp_unsigned("==", exact, BYTE(width))):
                _lay_by_vectors(builder, tables, source, are_literal, masks, places, target, width)
        return context.get_dummy_value()

    return types.void(tables, source, word, literals, masks, places, target), codegen


def _lay_by_vectors(
    builder: Any, tables: Any, source: Any, literals: Any, masks: Any, places: Any, target: Any, width: int
) -> None:
    """Move the bytes that count together, and store them all, for as many codes as share a vector."""
    kind = ir.FunctionType(CODES, [CODES, CODES, FLAGS])
    compress = builder.module.declare_intrinsic("llvm.x86.avx512.mask.compress.v64i8", (), kind)
    for number, symbols in enumerate(_joined(builder, tables, source, literals, width)):
        note = LANES // width * number
        mask = builder.bitcast(_mask(builder, masks, note, width), FLAGS)
        together = builder.call(compress, [symbols, _all(0), mask])
        _store(builder, together, target, _load(builder, places, WORD(note), WORD))


def _mask(builder: Any, masks: Any, note: int, width: int) -> Any:
    """Return the bits of a vector's codes, `width` for each."""
    bits = builder.module.declare_intrinsic("llvm.x86.bmi.pext.64", (), ir.FunctionType(WORD, [WORD] * 2))
    kept = WORD(int.from_bytes(bytes([(1 << width) - 1] * GROUP), "little"))
    mask = WORD(0)
    for part in range(SYMBOL // width):
        found = _load(builder, masks, WORD(note + GROUP * part), WORD)
        packed = found if width == SYMBOL else builder.call(bits, [found, kept])
        mask = builder.or_(mask, builder.shl(packed, WORD(GROUP * width * part)))
    return mask


def _joined(builder: Any, tables: Any, source: Any, literals: Any, width: int) -> list[Any]:
    """Return the symbols of 64 codes, and the codes themselves where they are literal, in so many vectors.

    Codes are looked up in the order that makes interleaving within the quarters of vectors put them in a row.
    """
    quarter = 16 // width
    shares = [(place // 16, place % 16 // quarter, place % quarter) for place in range(LANES)]
    order = [LANES // width * vector + quarter * part + code for part, vector, code in shares]
    codes = _load(builder, source, WORD(0), CODES)
    first = _looked_up_by_vectors(builder, tables, 0, codes)
    first = builder.select(builder.bitcast(literals, FLAGS), codes, first)
    codes = _shuffled(builder, codes, codes, order)
    rest = [_looked_up_by_vectors(builder, tables, KINDS * byte, codes) for byte in range(1, width)]
    columns = [[_shuffled(builder, first, first, order)], *([vector] for vector in rest)]
    for size in (1, 2, 4)[: WIDTHS.index(width) + 1]:
        columns = [
            [_interleaved(builder, *both, size, half) for both in zip(*pair, strict=True) for half in (0, 1)]
            for pair in zip(columns[::2], columns[1::2], strict=True)
        ]
    return columns[0]


def _interleaved(builder: Any, even: Any, odd: Any, width: int, half: int) -> Any:
    """Return units of `width` bytes by turns, from the lower or upper halves of the quarters of two vectors."""
    units = [(place // 16 * 16 + 8 * half, place % 16 // width, place % width) for place in range(LANES)]
    places = [base + unit // 2 * width + byte + unit % 2 * LANES for base, unit, byte in units]
    return _shuffled(builder, even, odd, places)


def _lay_one_by_one(
    builder: Any, tables: Any, source: Any, literals: Any, masks: Any, places: Any, target: Any
) -> None:
    """Do the same on any processor: every symbol is stored as a word, over the end of the one before."""
    for lane in range(LANES):
        code = builder.zext(_load(builder, source, WORD(lane), BYTE), WORD)
        symbol = _load(builder, tables, builder.add(builder.mul(code, WORD(SYMBOL)), WORD(SYMBOLS)), WORD)
        is_literal = builder.trunc(builder.lshr(literals, WORD(lane)), BIT)
        note = WORD(lane // GROUP * GROUP)
        earlier = WORD((1 << SYMBOL * (lane % GROUP)) - 1)
        before = builder.ctpop(builder.and_(_load(builder, masks, note, WORD), earlier))
        place = builder.add(_load(builder, places, note, WORD), before)
        _store(builder, builder.select(is_literal, code, symbol), target, place)
