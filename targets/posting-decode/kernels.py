"""Decoding posting lists: doc ids, frequencies, and the positions of single docs. The file that an agent edits.

What makes it fast: 16 numbers at a time. Of packed rows of 4 lanes, 16 numbers are picked out of 64 bytes by two
permutations, and shifted each by its own distance; rows of 8 lanes are loaded two by two. Sums of 16 take four
steps, and what was before them is added in every lane, so that no sum waits for a number to leave its vector. Of
varints, the high bits of 64 bytes tell where all numbers end: 16 numbers are gathered by these places and put
together, whatever their sizes up to 4 bytes. Up to 8 postings, most lists of a vocabulary, are one such vector:
ids and frequencies. For the positions of a doc its differences alone are taken out. A compress waits for what was
in its destination, on Zen 4 at least, even where it zeroes it: here it is a copy of a constant.

In Rust: `_mm512_permutexvar_epi32` and `_mm512_shrdv_epi32`; `_mm512_alignr_epi32` for the sums;
`_mm512_cmpge_epi8_mask`, `_mm512_mask_compress_epi8`, `_mm512_permutexvar_epi8`, `_mm512_maddubs_epi16` and
`_mm512_madd_epi16` for varints, `_pdep_u64` for the bytes that a number of them has. Without these (AVX-512 VBMI2
and BMI2) rows are loaded one by one, and varints are too. Lance 14.0.2 decodes a row of 4 or 8 lanes at a time and
adds up one by one: `decompress_posting_block`, `decompress_posting_remainder` and `seek_packed_doc_positions`
(rust/lance-index/src/scalar/inverted/encoding.rs), the cursor that calls the last one (`PostingIterator`,
inverted/wand.rs), and `BitPacker4x` and `BitPacker8x` (rust/compression/bitpacking/src/bitpacker_internal);
`benchmarks/ports/posting-decode/kernels.py` is a port of that.

Stays: `PostingDecoder(block)`, `decode_lists(blocks, offsets, first_blocks, lengths)` and
`decode_positions(..., streams, stream_starts, lists, places, total)`, with the dtypes, shapes and order of results
that their docstrings give.

CAN: read and write in words of any size; take several passes; decode a part of a block or of a group; keep scratch
memory, and return a part of it; write anything there behind what is returned.
CANNOT: read before or behind an argument; keep anything that depends on a call's arguments for a later call; start
threads or processes; import anything but numba, llvmlite.ir, numpy and the mathematics of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.uint32]
    Bytes = NDArray[np.uint8]
    Numbers = NDArray[np.int64]

SMALL, LARGE = 128, 256
"""Postings of a block, by format."""

GROUP, GROUP_SHIFT = 128, 7
"""Differences of positions that are packed together."""

LANES = 16
"""Numbers of a vector."""

FEW = 8
"""Postings whose ids and frequencies are the varints of one vector, and the sums of 64 bits of one."""

AT_ONCE = 64
"""Bytes that a vector has, and numbers that are added up in 64 bits together."""

LONGEST = 5
"""Bytes of a varint, at most."""

NARROW = 25
"""Of at most so many bits, any 16 numbers of rows of 4 lanes, from the first of a row on, lie in 64 bytes."""


class PostingDecoder:
    """Decoder of posting lists in blocks of `block` postings, 128 or 256.

    All numbers are little endian. W, X and P being bytes, a block has

    - whole, of 128: maximal score, float32; first doc id, uint32; W; 16 W bytes of differences; X; 16 X bytes of
      frequencies
    - whole, of 256: first doc id, uint32; W; 32 W bytes of differences; X; P; 32 X bytes of the lowest X bits of
      the frequencies; P patches, each a place, one byte, and the frequency's higher bits, a varint
    - shorter, the last of its list: maximal score, if blocks are of 128; first doc id and differences, and then
      frequencies, all varints

    The k-th difference is from id k - 1 to id k; in whole blocks that of the first is 0. Of packed numbers
    i, i + L, i + 2 L ... fill lane i % L from the lowest bit, L being 4 for 128 numbers and 8 for 256; a lane has
    W words of 32 bits, word k of lane l is the (L k + l)-th. A varint has seven bits a byte, the lowest first, and
    the eighth bit set in all bytes but the last.

    A block's positions are a stream: of the docs in their order, as many differences each as its frequency says.
    The first of a doc is its first position, each other one the difference from the position before. Of all
    differences of a block, 128 after 128 are a group: W; 16 W bytes of them, packed in 4 lanes. Those left are
    varints.
    """

    def __init__(self, block: int) -> None:
        self._block = block
        self._ids = self._frequencies = self._positions = np.empty(0, np.uint32)

    def decode_lists(
        self, blocks: Bytes, offsets: Numbers, first_blocks: Numbers, lengths: Numbers
    ) -> tuple[Ids, Ids]:
        """Return the doc ids and the frequencies of L lists, uint32 (the sum of lengths,), list after list.

        Parameters
        ----------
        blocks, offsets : uint8 (bytes,), int64 (B + 1,)
            Block b is blocks[offsets[b]:offsets[b + 1]].
        first_blocks, lengths : int64, shapes (L + 1,) and (L,)
            List i has the blocks first_blocks[i] to first_blocks[i + 1] - 1 and lengths[i] >= 1 postings; only its
            last block may be shorter.
        """
        count = _total(lengths)
        if count + LANES > len(self._ids):
            self._ids, self._frequencies = (np.empty(count + LANES, np.uint32) for _ in range(2))
        _decode_lists(blocks, offsets, first_blocks, lengths, self._block, self._ids, self._frequencies)
        return self._ids[:count], self._frequencies[:count]

    def decode_positions(
        self,
        blocks: Bytes,
        offsets: Numbers,
        first_blocks: Numbers,
        lengths: Numbers,
        streams: Bytes,
        stream_starts: Numbers,
        lists: Numbers,
        places: Numbers,
        total: int,
    ) -> tuple[Ids, Ids]:
        """Return the positions of Q docs, uint32 (total,), doc after doc, and how many each has, uint32 (Q,).

        Parameters
        ----------
        blocks, offsets, first_blocks, lengths
            The lists; see `decode_lists`.
        streams, stream_starts : uint8 (bytes,), int64 (B + 1,)
            The positions of block b are streams[stream_starts[b]:stream_starts[b + 1]].
        lists, places : int64 (Q,)
            Which docs: each a list, and a place in it, from 0. Ascending by list and place, each once.
        total : int
            How many positions these docs have together.
        """
        if total + LANES > len(self._positions):
            self._positions = np.empty(total + LANES, np.uint32)
        counts = np.empty(len(lists), np.uint32)
        _decode_positions(
            blocks,
            offsets,
            first_blocks,
            lengths,
            streams,
            stream_starts,
            lists,
            places,
            self._block,
            self._positions,
            counts,
        )
        return self._positions[:total], counts


@njit()
def _total(lengths: Numbers) -> int:
    """Return the sum, which numpy takes longer to begin with than to add up."""
    total = np.int64(0)
    for length in lengths:
        total += length
    return total


@njit()
def _decode_lists(
    blocks: Bytes, offsets: Numbers, first_blocks: Numbers, lengths: Numbers, size: int, ids: Ids, frequencies: Ids
) -> None:
    done, shift = np.int64(0), 7 if size == SMALL else 8
    for number in range(len(lengths)):
        whole, rest = lengths[number] >> shift, lengths[number] & (size - 1)
        block = first_blocks[number]
        for each in range(block, block + whole):
            if size == SMALL:
                _decode_block(blocks, offsets[each], SMALL, ids, frequencies, done)
            else:
                _decode_block(blocks, offsets[each], LARGE, ids, frequencies, done)
            done += size
        if rest > 0:
            at = offsets[block + whole] + _head(size)
            is_short = rest <= FEW and _is_inside(blocks, at)
            if not is_short or not _decode_few(blocks, at, rest, ids, frequencies, done):
                _decode_rest(blocks, at, rest, ids, frequencies, done)
            done += rest


@njit(forceinline=True)
def _decode_block(blocks: Bytes, at: int, size: int, ids: Ids, frequencies: Ids, first: int) -> None:
    """Decode a whole block to `ids[first:]` and `frequencies[first:]`; `size`, its postings, is a constant."""
    at += _head(size)
    doc, width = _word(blocks, at), np.int64(blocks[at + 4])
    at += 5
    end = at + size // 8 * width
    if size == LARGE:
        _sum_eights(blocks, at, width, doc, ids, first)
    elif width <= NARROW and _is_inside(blocks, end):
        _sum_narrow_fours(blocks, at, width, doc, ids, first)
    else:
        _sum_fours(blocks, at, width, doc, ids, first)
    _decode_frequencies(blocks, end, size, frequencies, first)


@njit(forceinline=True)
def _decode_frequencies(blocks: Bytes, at: int, size: int, frequencies: Ids, first: int) -> None:
    """Decode the frequencies of a whole block, which begin at `at`, to `frequencies[first:]`."""
    width = np.int64(blocks[at])
    if size == SMALL:
        _unpack(blocks, at + 1, width, size, frequencies, first)
    else:
        _unpack(blocks, at + 2, width, size, frequencies, first)
        if blocks[at + 1] > 0:
            _patch(blocks, at + 2 + size // 8 * width, blocks[at + 1], np.uint32(width), frequencies, first)


@njit(forceinline=True)
def _patch(blocks: Bytes, at: int, patches: int, width: np.uint32, frequencies: Ids, first: int) -> None:
    """Add to some frequencies what is above the lowest `width` bits."""
    for _ in range(patches):
        place = first + np.int64(blocks[at])
        high, at = _varint(blocks, at + 1)
        frequencies[place] |= high << width


@njit(forceinline=True)
def _unpack(packed: Bytes, at: int, width: int, size: int, out: Ids, first: int) -> None:
    """Unpack `size` numbers of `width` bits, which begin at `at`, to `out[first:]`.

    Without a loop: numba would count the references to both arrays at its beginning and its end.
    """
    if size == LARGE:
        _unpack_eights(packed, at, width, 0, out, first)
        _unpack_eights(packed, at, width, 1, out, first)
        _unpack_eights(packed, at, width, 2, out, first)
        _unpack_eights(packed, at, width, 3, out, first)
    elif width <= NARROW and _is_inside(packed, at + size // 8 * width):
        _unpack_narrow_fours(packed, at, width, 0, out, first)
        _unpack_narrow_fours(packed, at, width, 1, out, first)
    else:
        _unpack_fours(packed, at, width, 0, out, first)
        _unpack_fours(packed, at, width, 1, out, first)


@njit(forceinline=True)
def _decode_rest(blocks: Bytes, at: int, count: int, ids: Ids, frequencies: Ids, first: int) -> None:
    """Decode a block that is not whole to `ids[first:]` and `frequencies[first:]`."""
    done, doc = np.int64(0), np.uint32(0)
    while done < count:
        some = min(count - done, LANES)
        if _is_inside(blocks, at) and _sum_varints(blocks, at, some, doc, ids, first + done):
            at += _size_of(blocks, at, some)
            done += some
        else:
            difference, at = _varint(blocks, at)
            ids[first + done] = doc + difference
            done += 1
        doc = ids[first + done - 1]
    _unpack_varints(blocks, at, count, frequencies, first)


@njit(forceinline=True)
def _unpack_varints(packed: Bytes, at: int, count: int, out: Ids, first: int) -> None:
    """Unpack varints that begin at `at` to `out[first:]`."""
    done = np.int64(0)
    while done < count:
        some = min(count - done, LANES)
        if _is_inside(packed, at) and _gather_varints(packed, at, some, out, first + done):
            at += _size_of(packed, at, some)
            done += some
        else:
            out[first + done], at = _varint(packed, at)
            done += 1


@njit()
def _decode_positions(  # noqa: PLR0912 - what is decoded is kept in one place; arrays that are handed on are counted
    blocks: Bytes,
    offsets: Numbers,
    first_blocks: Numbers,
    lengths: Numbers,
    streams: Bytes,
    stream_starts: Numbers,
    lists: Numbers,
    places: Numbers,
    size: int,
    positions: Ids,
    counts: Ids,
) -> None:
    """Decode what a doc needs and is not there yet: its block's frequencies, some differences of a group."""
    frequencies, differences = np.empty(size + LANES, np.uint32), np.empty(GROUP + LANES, np.uint32)
    ids, ends = (
        np.empty(LANES, np.uint32),
        np.empty(size, np.int64),
    )  # ends of each doc's differences, in the block
    block, total = np.int64(-1), np.int64(0)  # the block that is there, and how many differences it has
    group, at, unpacked = np.int64(0), np.int64(0), np.int64(-1)  # a group, its place, the group that is there
    done, shift = np.int64(0), 7 if size == SMALL else 8
    for doc in range(len(lists)):
        number, place = lists[doc], places[doc] & (size - 1)
        of_doc = first_blocks[number] + (places[doc] >> shift)
        if block != of_doc:
            block, start = of_doc, offsets[of_doc] + _head(size)
            count = min(size, lengths[number] - (places[doc] - place))
            if count == size:
                start += 5 + size // 8 * np.int64(blocks[start + 4])
                _decode_frequencies(blocks, start, size, frequencies, 0)
            else:
                is_short = count <= FEW and _is_inside(blocks, start)
                if not is_short or not _decode_few(blocks, start, count, ids, frequencies, np.int64(0)):
                    _read_frequencies(blocks, start, count, frequencies)
            if count <= FEW:
                _sum_few(frequencies, np.int64(0), np.int64(0), ends)
            else:
                total = np.int64(0)
                for first in range(0, count, AT_ONCE):
                    total = _sum_many(frequencies, first, total, ends)
            total = ends[count - 1]
            group, at, unpacked = np.int64(0), stream_starts[block], np.int64(-1)
        counts[doc] = frequencies[place]
        i, position = ends[place] - np.int64(frequencies[place]), np.uint32(0)
        while i < ends[place]:
            while group < i >> GROUP_SHIFT:
                at += 1 + GROUP // 8 * np.int64(streams[at])
                group += 1
            inside = i & (GROUP - 1)
            count = min(ends[place] - i, GROUP - inside)
            width, is_packed = np.int64(streams[at]), total >= (group + 1) << GROUP_SHIFT
            is_narrow = is_packed and width <= NARROW and _is_inside(streams, at + 1 + GROUP // 8 * width)
            is_short = is_narrow and count + (inside & 3) <= LANES
            if is_packed and width == 0:  # no words, and no differences
                positions[done : done + count] = position
            elif not is_short or not _sum_some(streams, at + 1, width, inside, position, positions, done):
                if unpacked != group:
                    unpacked = group
                    if is_packed:
                        _unpack(streams, at + 1, width, GROUP, differences, np.int64(0))
                    else:
                        _unpack_varints(streams, at, total - (group << GROUP_SHIFT), differences, np.int64(0))
                for first in range(0, count, LANES):
                    _sum_up(differences, inside + first, position, positions, done + first)
                    position = positions[done + min(first + LANES, count) - 1]
            i, done = i + count, done + count
            position = positions[done - 1]


@njit()
def _read_frequencies(blocks: Bytes, at: int, count: int, frequencies: Ids) -> None:
    """Decode the frequencies of a block that is not whole and begins at `at`, without the ids."""
    left = np.int64(count)
    while left > 0:
        some = min(left, AT_ONCE // LONGEST)
        if _is_inside(blocks, at) and _has_vectors():
            at += _size_of(blocks, at, some)
            left -= some
        else:
            left -= blocks[at] < 128
            at += 1
    _unpack_varints(blocks, at, count, frequencies, np.int64(0))


@njit(forceinline=True)
def _is_inside(packed: Bytes, at: int) -> bool:
    """Return whether 64 bytes can be read from `at` on."""
    return at + AT_ONCE <= packed.size


@njit(forceinline=True)
def _head(size: int) -> int:
    """Return the bytes of the maximum that a block begins with."""
    return np.int64(4 if size == SMALL else 0)


@njit(forceinline=True)
def _varint(packed: Bytes, at: int) -> tuple[np.uint32, int]:
    """Return the number that begins at `at`, and where it ends."""
    read, shift = np.uint32(packed[at]), np.uint32(0)
    number = read & np.uint32(127)
    at += 1
    while read > 127:
        read, shift = np.uint32(packed[at]), np.uint32(shift + np.uint32(7))
        number |= (read & np.uint32(127)) << shift
        at += 1
    return number, at


@njit(forceinline=True)
def _word(packed: Bytes, at: int) -> np.uint32:
    """Return the 4 bytes at `at` as a number."""
    low = np.uint32(packed[at]) | np.uint32(packed[at + 1]) << np.uint32(8)
    return np.uint32(low | np.uint32(packed[at + 2]) << np.uint32(16) | np.uint32(packed[at + 3]) << np.uint32(24))


BIT, BYTE, NUMBER, WIDE = (ir.IntType(bits) for bits in (1, 8, 32, 64))
VECTOR, BYTES = ir.VectorType(NUMBER, LANES), ir.VectorType(BYTE, AT_ONCE)
WORDS, FLAGS = ir.VectorType(ir.IntType(16), AT_ONCE // 2), ir.VectorType(BIT, AT_ONCE)
COUNTED = ir.Constant(VECTOR, list(range(LANES)))


def _has_masks(context: Any) -> bool:
    """Whether the processor moves numbers, bytes and bits to where another vector or a mask says."""
    wanted = {"+avx512vbmi", "+avx512vbmi2", "+bmi2"}
    return wanted <= set(context.codegen().magic_tuple()[2].split(","))


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _has_vectors(typingctx: Any) -> Any:
    """Return whether varints are read many at a time."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return BIT(_has_masks(context))

    return types.boolean(), codegen


# Vectors in general


def _pointer(context: Any, builder: Any, kind: Any, array: Any, place: Any, to: Any) -> Any:
    """Where in an array something begins, as a pointer to it."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), to.as_pointer())


def _load(context: Any, builder: Any, kind: Any, array: Any, place: Any, wanted: Any) -> Any:
    """A vector that begins anywhere."""
    return builder.load(_pointer(context, builder, kind, array, place, wanted), align=1)


def _store(context: Any, builder: Any, vector: Any, kind: Any, out: Any, place: Any) -> None:
    """Store a vector from out[place] on."""
    pointer = _pointer(context, builder, kind, out, place, vector.type)
    builder.store(vector, pointer, align=vector.type.element.width // 8)


def _all(kind: Any, number: int) -> Any:
    """A constant with that number in every lane."""
    return ir.Constant(kind, [number] * kind.count)


def _picked(builder: Any, vector: Any, lanes: Any, other: Any = None) -> Any:
    """Lanes of a vector, known here, and behind them those of another."""
    places = ir.Constant(ir.VectorType(NUMBER, len(lanes)), list(lanes))
    return builder.shuffle_vector(vector, vector if other is None else other, places)


def _repeated(builder: Any, number: Any, lanes: int = LANES) -> Any:
    """A number in every lane."""
    kind = ir.VectorType(number.type, lanes)
    return _picked(
        builder, builder.insert_element(ir.Constant(kind, ir.Undefined), number, NUMBER(0)), [0] * lanes
    )


def _summed(builder: Any, vector: Any) -> Any:
    """The sums of each number and those before it, in as many steps as the number of lanes has bits."""
    count, step = vector.type.count, 1
    while step < count:
        lanes = [lane - step if lane >= step else count for lane in range(count)]
        vector = builder.add(vector, _picked(builder, vector, lanes, _all(vector.type, 0)))
        step *= 2
    return vector


def _last(builder: Any, vector: Any) -> Any:
    """The last number in every lane."""
    return _picked(builder, vector, [vector.type.count - 1] * vector.type.count)


def _permuted(builder: Any, vector: Any, lanes: Any) -> Any:
    """Lanes of a vector that another vector says."""
    kind = ir.FunctionType(VECTOR, [VECTOR, VECTOR])
    permute = builder.module.declare_intrinsic("llvm.x86.avx512.permvar.si.512", (), kind)
    return builder.call(permute, [vector, lanes])


# Packed numbers


def _packed_numbers(
    context: Any,
    builder: Any,
    kind: Any,
    data: Any,
    packed: Any,
    width: Any,
    row: Any,
    *,
    lanes: int,
    by_permutes: bool,
) -> Any:
    """16 numbers of `width` bits out of rows of so many lanes, from a row on; the rows begin at `packed`."""
    first = builder.mul(row, width)
    each = _repeated(builder, builder.trunc(width, NUMBER))
    bits = builder.add(
        _repeated(builder, builder.and_(builder.trunc(first, NUMBER), NUMBER(31))),
        builder.mul(each, ir.Constant(VECTOR, [lane // lanes for lane in range(LANES)])),
    )
    if by_permutes and _has_masks(context):
        begin = builder.add(packed, builder.mul(builder.lshr(first, WIDE(5)), WIDE(4 * lanes)))
        low, high = _words_by_permutes(builder, _load(context, builder, kind, data, begin, VECTOR), bits, lanes)
    else:
        low, high = _words_of_rows(context, builder, kind, data, packed, width, first, lanes)
    three = ir.FunctionType(VECTOR, [VECTOR] * 3)
    shifted = builder.call(builder.module.declare_intrinsic("llvm.fshr.v16i32", (), three), [high, low, bits])
    mask = builder.trunc(builder.sub(builder.shl(WIDE(1), width), WIDE(1)), NUMBER)
    return builder.and_(shifted, _repeated(builder, mask))


def _words_by_permutes(builder: Any, words: Any, bits: Any, lanes: int) -> tuple[Any, Any]:
    """The words that 16 numbers begin in, and those behind them, out of 16 words."""
    rows = builder.mul(builder.lshr(bits, _all(VECTOR, 5)), _all(VECTOR, lanes))
    low = builder.add(rows, ir.Constant(VECTOR, [lane % lanes for lane in range(LANES)]))
    high = builder.add(low, _all(VECTOR, lanes))
    return _permuted(builder, words, low), _permuted(builder, words, high)


def _words_of_rows(
    context: Any, builder: Any, kind: Any, data: Any, packed: Any, width: Any, first: Any, lanes: int
) -> tuple[Any, Any]:
    """The same, row by row; nothing behind the last row's words is read."""
    row, least, most = ir.VectorType(NUMBER, lanes), [], []
    for number in range(LANES // lanes):
        low = builder.lshr(builder.add(first, builder.mul(width, WIDE(number))), WIDE(5))
        next_one = builder.add(low, WIDE(1))
        high = builder.select(builder.icmp_unsigned("<", next_one, width), next_one, low)
        for found, at in ((least, low), (most, high)):
            place = builder.add(packed, builder.mul(at, WIDE(4 * lanes)))
            found.append(_load(context, builder, kind, data, place, row))
    return _joined(builder, least), _joined(builder, most)


def _joined(builder: Any, parts: Any) -> Any:
    """Vectors of equal size, one behind the other."""
    while len(parts) > 1:
        lanes = list(range(2 * parts[0].type.count))
        parts = [_picked(builder, parts[i], lanes, parts[i + 1]) for i in range(0, len(parts), 2)]
    return parts[0]


def _unpacking(lanes: int, *, by_permutes: bool) -> Any:
    """Return what unpacks 64 numbers of packed rows of so many lanes."""

    @intrinsic  # type: ignore[untyped-decorator]
    def unpacked(typingctx: Any, data: Any, packed: Any, width: Any, part: Any, out: Any, place: Any) -> Any:
        """Write the numbers of a part, of 64 each, to out[place + 64 * part:]."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data, packed, width, part, out, place = arguments
            before = builder.mul(part, WIDE(AT_ONCE))
            for number in range(0, AT_ONCE, LANES):
                here = builder.add(before, WIDE(number))
                numbers = _packed_numbers(
                    context,
                    builder,
                    signature.args[0],
                    data,
                    packed,
                    width,
                    builder.udiv(here, WIDE(lanes)),
                    lanes=lanes,
                    by_permutes=by_permutes,
                )
                _store(context, builder, numbers, signature.args[4], out, builder.add(place, here))
            return context.get_dummy_value()

        return types.void(data, types.int64, types.int64, types.int64, out, types.int64), codegen

    return unpacked


def _summing(size: int, *, by_permutes: bool) -> Any:
    """Return what adds up the differences of a block of so many postings."""
    lanes = size // 32

    @intrinsic  # type: ignore[untyped-decorator]
    def summed(typingctx: Any, data: Any, packed: Any, width: Any, before: Any, out: Any, place: Any) -> Any:
        """Write the sums of the differences, and of what is `before` them, from out[place] on."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data, packed, width, before, out, place = arguments
            before = _repeated(builder, before)
            for vector in range(size // LANES):
                numbers = _packed_numbers(
                    context,
                    builder,
                    signature.args[0],
                    data,
                    packed,
                    width,
                    WIDE(vector * LANES // lanes),
                    lanes=lanes,
                    by_permutes=by_permutes,
                )
                sums = _summed(builder, numbers)
                here = builder.add(place, WIDE(vector * LANES))
                _store(context, builder, builder.add(sums, before), signature.args[4], out, here)
                before = builder.add(before, _last(builder, sums))
            return context.get_dummy_value()

        return types.void(data, types.int64, types.int64, types.uint32, out, types.int64), codegen

    return summed


_unpack_fours, _sum_fours = _unpacking(4, by_permutes=False), _summing(SMALL, by_permutes=False)
_unpack_eights, _sum_eights = _unpacking(8, by_permutes=False), _summing(LARGE, by_permutes=False)
_unpack_narrow_fours, _sum_narrow_fours = _unpacking(4, by_permutes=True), _summing(SMALL, by_permutes=True)


@intrinsic  # type: ignore[untyped-decorator]
def _sum_some(
    typingctx: Any, data: Any, packed: Any, width: Any, start: Any, before: Any, out: Any, place: Any
) -> Any:
    """Write sums of the numbers from `start` on, of 4 lanes, to out[place : place + 16]; 13 of them are sums.

    If `start` is a multiple of 4, 16 are. `before` is added to all. Returns whether this could be done.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if not _has_masks(context):
            return BIT(0)
        data, packed, width, start, before, out, place = arguments
        row = builder.lshr(start, WIDE(2))
        kind = signature.args[0]
        numbers = _packed_numbers(context, builder, kind, data, packed, width, row, lanes=4, by_permutes=True)
        skipped = builder.and_(builder.trunc(start, NUMBER), NUMBER(3))
        numbers = _permuted(builder, numbers, builder.add(_repeated(builder, skipped), COUNTED))
        sums = builder.add(_summed(builder, numbers), _repeated(builder, before))
        _store(context, builder, sums, signature.args[5], out, place)
        return BIT(1)

    return (
        types.boolean(data, types.int64, types.int64, types.int64, types.uint32, out, types.int64),
        codegen,
    )


# Numbers that are no longer packed


@intrinsic  # type: ignore[untyped-decorator]
def _sum_up(typingctx: Any, data: Any, start: Any, before: Any, out: Any, place: Any) -> Any:
    """Write the sums of 16 numbers from `start` on, and of what is `before` them, to out[place : place + 16]."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data, start, before, out, place = arguments
        numbers = _load(context, builder, signature.args[0], data, start, VECTOR)
        sums = builder.add(_summed(builder, numbers), _repeated(builder, before))
        _store(context, builder, sums, signature.args[3], out, place)
        return context.get_dummy_value()

    return types.void(data, types.int64, types.uint32, out, types.int64), codegen


def _widening(count: int) -> Any:
    """Return what adds up so many numbers in 64 bits."""

    @intrinsic  # type: ignore[untyped-decorator]
    def summed(typingctx: Any, data: Any, start: Any, before: Any, out: Any) -> Any:
        """Write the sums of numbers from `start` on, and of what is `before` them, there too; return the last."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data, start, before, out = arguments
            before = _repeated(builder, before, FEW)
            for number in range(0, count, FEW):
                here = builder.add(start, WIDE(number))
                numbers = _load(context, builder, signature.args[0], data, here, ir.VectorType(NUMBER, FEW))
                sums = _summed(builder, builder.zext(numbers, before.type))
                _store(context, builder, builder.add(sums, before), signature.args[3], out, here)
                before = builder.add(before, _last(builder, sums))
            return builder.extract_element(before, NUMBER(0))

        return types.int64(data, types.int64, types.int64, out), codegen

    return summed


_sum_few, _sum_many = _widening(FEW), _widening(AT_ONCE)


# Varints: the high bits of 64 bytes tell where all of them end


def _window(context: Any, builder: Any, kind: Any, data: Any, at: Any) -> tuple[Any, Any]:
    """64 bytes, and which of them end a number."""
    found = _load(context, builder, kind, data, at, BYTES)
    return found, builder.icmp_signed(">=", found, _all(BYTES, 0))


def _gathered(builder: Any, found: Any, is_end: Any, count: Any) -> tuple[Any, Any]:
    """The first 16 varints of 64 bytes, and whether the first `count` have no more than 4 bytes each."""
    compress = builder.module.declare_intrinsic(
        "llvm.x86.avx512.mask.compress.v64i8", (), ir.FunctionType(BYTES, [BYTES, BYTES, FLAGS])
    )
    places = ir.Constant(BYTES, list(range(AT_ONCE)))
    ends = builder.call(compress, [places, places, is_end])
    before = _picked(
        builder, ends, [lane // 4 - 1 if lane >= 4 else AT_ONCE for lane in range(AT_ONCE)], _all(BYTES, -1)
    )
    index = builder.add(before, ir.Constant(BYTES, [1 + lane % 4 for lane in range(AT_ONCE)]))
    fourth = builder.lshr(builder.bitcast(index, VECTOR), _all(VECTOR, 24))
    spare = builder.sub(fourth, builder.zext(_picked(builder, ends, range(LANES)), VECTOR))
    permute = builder.module.declare_intrinsic(
        "llvm.x86.avx512.permvar.qi.512", (), ir.FunctionType(BYTES, [BYTES, BYTES])
    )
    moved = builder.bitcast(builder.call(permute, [found, index]), VECTOR)
    masks = ir.Constant(VECTOR, [0x7F7F7F7F, 0x7F7F7F, 0x7F7F, 0x7F] + [0] * (LANES - 4))
    kept = builder.bitcast(builder.and_(moved, _permuted(builder, masks, spare)), BYTES)
    is_long = builder.icmp_unsigned(">", spare, _all(VECTOR, 3))
    wanted = builder.trunc(builder.sub(builder.shl(WIDE(1), count), WIDE(1)), ir.IntType(LANES))
    long_ones = builder.and_(builder.bitcast(is_long, ir.IntType(LANES)), wanted)
    return _of_sevens(builder, kept), builder.icmp_unsigned("==", long_ones, ir.IntType(LANES)(0))


def _of_sevens(builder: Any, kept: Any) -> Any:
    """Numbers of 28 bits, each of which lies in four bytes of 7."""
    pairs = builder.module.declare_intrinsic(
        "llvm.x86.avx512.pmaddubs.w.512", (), ir.FunctionType(WORDS, [BYTES, BYTES])
    )
    fours = builder.module.declare_intrinsic(
        "llvm.x86.avx512.pmaddw.d.512", (), ir.FunctionType(VECTOR, [WORDS, WORDS])
    )
    fourteens = builder.call(pairs, [ir.Constant(BYTES, [1, -(2**7)] * (AT_ONCE // 2)), kept])  # 2**7, unsigned
    return builder.call(fours, [fourteens, ir.Constant(WORDS, [1, 2**14] * LANES)])


@intrinsic  # type: ignore[untyped-decorator]
def _size_of(typingctx: Any, data: Any, at: Any, count: Any) -> Any:
    """Return of how many bytes the next `count` varints are; they end in the next 64."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if not _has_masks(context):
            return WIDE(0)
        data, at, count = arguments
        _, is_end = _window(context, builder, signature.args[0], data, at)
        deposit = builder.module.declare_intrinsic("llvm.x86.bmi.pdep.64", (), ir.FunctionType(WIDE, [WIDE, WIDE]))
        nth = builder.shl(WIDE(1), builder.sub(count, WIDE(1)))
        last = builder.call(deposit, [nth, builder.bitcast(is_end, WIDE)])
        return builder.add(builder.cttz(last, BIT(1)), WIDE(1))

    return types.int64(data, types.int64, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _gather_varints(typingctx: Any, data: Any, at: Any, count: Any, out: Any, place: Any) -> Any:
    """Write up to 16 varints from `at` on to out[place : place + 16]; return whether that could be done."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if not _has_masks(context):
            return BIT(0)
        data, at, count, out, place = arguments
        numbers, is_done = _gathered(builder, *_window(context, builder, signature.args[0], data, at), count)
        _store(context, builder, numbers, signature.args[3], out, place)
        return is_done

    return types.boolean(data, types.int64, types.int64, out, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _sum_varints(typingctx: Any, data: Any, at: Any, count: Any, before: Any, out: Any, place: Any) -> Any:
    """Write the sums of up to 16 varints, and of what is `before` them; see `_gather_varints`."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if not _has_masks(context):
            return BIT(0)
        data, at, count, before, out, place = arguments
        numbers, is_done = _gathered(builder, *_window(context, builder, signature.args[0], data, at), count)
        sums = builder.add(_summed(builder, numbers), _repeated(builder, before))
        _store(context, builder, sums, signature.args[4], out, place)
        return is_done

    return types.boolean(data, types.int64, types.int64, types.uint32, out, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _decode_few(typingctx: Any, data: Any, at: Any, count: Any, ids: Any, frequencies: Any, place: Any) -> Any:
    """Write the ids and the frequencies of up to 8 postings, 8 each; return whether that could be done."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if not _has_masks(context):
            return BIT(0)
        data, at, count, ids, frequencies, place = arguments
        window, both = _window(context, builder, signature.args[0], data, at), builder.shl(count, WIDE(1))
        numbers, is_done = _gathered(builder, *window, both)
        sums = _summed(builder, _picked(builder, numbers, range(FEW)))
        _store(context, builder, sums, signature.args[3], ids, place)
        behind = builder.add(_repeated(builder, builder.trunc(count, NUMBER)), COUNTED)
        of_docs = _picked(builder, _permuted(builder, numbers, behind), range(FEW))
        _store(context, builder, of_docs, signature.args[4], frequencies, place)
        return is_done

    return types.boolean(data, types.int64, types.int64, ids, frequencies, types.int64), codegen
