"""Moving through compressed posting lists: next doc from a target on, or only the block. What an agent edits.

What makes it fast: nothing is decoded that no step asks for. Where a search enters a block, sums of 64
differences are compared with the target first; then 16 ids at a time are decoded, by sums of a vector in four
steps, only as far as the search goes; and which of the 16 is not below the target, a comparison of all of them
counts, without a branch. That count is also the answer to a step that goes nowhere or to a neighbour. A doc that
begins a block is known without the block. A frequency is taken out of its packed words alone. Of varints, 16
bytes are looked at together, and as many of them as are below 128 are numbers by themselves. The first ids of 32
blocks are compared at once.

In Rust: `_mm512_shrdv_epi32` of two neighbouring words (or shifts of 4 and 8 lanes), `_mm512_add_epi32` with
`_mm512_alignr_epi32` for the sums, `_mm512_cmplt_epu32_mask` and `count_ones` for the searches,
`_mm_movemask_epi8` and `_mm512_cvtepu8_epi32` for varints. None is needed: LLVM makes of the vectors here what a
processor has. Lance 14.0.2 decodes whole blocks and searches by halves: `PostingIterator::next_doc_id`,
`shallow_next`, `doc` and `block_idx_for_doc` (rust/lance-index/src/scalar/inverted/wand.rs), and encoding.rs
beside it; `benchmarks/ports/posting-seek/kernels.py` is a port of that.

Stays: `PostingLists(blocks, offsets, first_blocks, lengths, block)` and `run_traces(lists, operations, targets)`,
with the dtypes, shapes and order of results that their docstrings give.

CAN: keep up to 32 bytes per block that `__init__` derives, such as first ids; search in any way; decode ids and
frequencies in part or whole; keep scratch memory, and a decoded block within a call.
CANNOT: keep decoded lists; keep anything that depends on a call's arguments for a later call; start threads or
processes; import anything but numba, llvmlite.ir, numpy and the mathematics of the standard library.
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
    List = tuple[Bytes, Numbers, Ids, int, int, int]
    """The bytes, offsets and first ids of all blocks, the first of this list's and the end of them, its length."""

SMALL, LARGE = 128, 256
"""Postings of a block, by format."""

NEXT, SHALLOW, FREQ = 0, 1, 2
END = 2**32 - 1
LARGEST = np.uint32(END - 1)
"""Of all doc ids."""

STEPS, GROUP = 2, 32
"""Blocks that a search steps over one by one, and those that it then passes at once."""

LANES = 16
"""Numbers of a vector."""
AT_ONCE = 64
"""Differences of which only the sum is found where a search goes beyond them."""


class PostingLists:
    """L lists of postings, each a doc id with a frequency, ascending by doc id.

    Parameters
    ----------
    blocks, offsets : uint8 (bytes,), int64 (B + 1,)
        B blocks of `block` postings; block b is blocks[offsets[b]:offsets[b + 1]]. All numbers are little
        endian. W, X and P being bytes, a block has

        - whole, of 128: maximal score, float32; first doc id, uint32; W; 16 W bytes of differences; X; 16 X
          bytes of frequencies
        - whole, of 256: first doc id, uint32; W; 32 W bytes of differences; X; P; 32 X bytes of the lowest X
          bits of the frequencies; P patches, each a place, one byte, and the frequency's higher bits, a varint
        - shorter, the last of its list: maximal score, if blocks are of 128; first doc id and differences, and
          then frequencies, all varints

        The k-th difference is from id k - 1 to id k; in whole blocks that of the first is 0. Of packed numbers
        i, i + L, i + 2 L ... fill lane i % L from the lowest bit, L being 4 in blocks of 128 and 8 in those of
        256; a lane has W words of 32 bits, word k of lane l is the (L k + l)-th. A varint has seven bits a byte,
        the lowest first, and the eighth bit set in all bytes but the last.
    first_blocks, lengths : int64, shapes (L + 1,) and (L,)
        List i has the blocks first_blocks[i] to first_blocks[i + 1] - 1 and lengths[i] >= 1 postings; only its
        last block may be shorter.
    block : int
        128 or 256.
    """

    def __init__(
        self, blocks: Bytes, offsets: Numbers, first_blocks: Numbers, lengths: Numbers, block: int
    ) -> None:
        self._blocks, self._offsets = blocks, offsets
        self._first_blocks, self._lengths = first_blocks, lengths
        self._first_ids = _first_ids(blocks, offsets, first_blocks, lengths, block)
        self._shift = block.bit_length() - 1

    def run_traces(self, lists: Numbers, operations: Bytes, targets: Ids) -> tuple[Ids, Ids]:
        """Take the steps of B traces of T steps, each trace from the beginning of its list.

        A trace has a place, the number of a posting in the list, and a block; both begin at 0.

        NEXT (0) moves the place to the first posting from there on whose doc id is not below the target, or to the
        list's length; it never moves back. The block becomes that of the place. It gives (place, doc id), or
        (length, 2**32 - 1) at the end.

        SHALLOW (1) moves the block to the last one from there on whose first doc id is not above the target, or
        leaves it; the place stays. It gives (block, first doc id of the block). It never comes after the end.

        FREQ (2) moves nothing and has no use for its target. It gives (place, frequency of its posting), or
        (length, 0) at the end.

        Parameters
        ----------
        lists, operations, targets : int64 (B,), uint8 (B, T), uint32 (B, T)
            The number of each trace's list, and its steps. Targets are any, and mostly ascending.

        Returns
        -------
        places, values : uint32, shape (B, T)
        """
        return _run_traces(
            self._blocks,
            self._offsets,
            self._first_ids,
            self._first_blocks,
            self._lengths,
            self._shift,
            lists,
            operations,
            targets,
        )


@njit()
def _first_ids(blocks: Bytes, offsets: Numbers, first_blocks: Numbers, lengths: Numbers, block: int) -> Ids:
    """Return the first id of each block, and room for a search that looks beyond the last."""
    head = _head(block)
    first_ids = np.full(offsets.size - 1 + GROUP, END, np.uint32)
    for number in range(lengths.size):
        for each in range(first_blocks[number], first_blocks[number + 1]):
            is_whole = (each - first_blocks[number] + 1) * block <= lengths[number]
            at = offsets[each] + head
            first_ids[each] = _word(blocks, at) if is_whole else _varint(blocks, at)[0]
    return first_ids


@njit()
def _run_traces(
    blocks: Bytes,
    offsets: Numbers,
    first_ids: Ids,
    first_blocks: Numbers,
    lengths: Numbers,
    shift: int,
    lists: Numbers,
    operations: Bytes,
    targets: Ids,
) -> tuple[Ids, Ids]:
    places, values = np.empty(targets.shape, np.uint32), np.empty(targets.shape, np.uint32)
    ids, frequencies = np.empty(LARGE + LANES, np.uint32), np.empty(LARGE + LANES, np.uint32)
    for trace in range(len(lists)):
        number = lists[trace]
        of_list = blocks, offsets, first_ids, first_blocks[number], first_blocks[number + 1], lengths[number]
        of_trace = operations[trace], targets[trace], places[trace], values[trace]
        if 1 << shift == SMALL:
            _run_trace(of_list, SMALL, ids, frequencies, *of_trace)
        else:
            _run_trace(of_list, LARGE, ids, frequencies, *of_trace)
    return places, values


@njit(forceinline=True)
def _run_trace(  # noqa: PLR0912, PLR0915 - in parts it was slower: arrays that are handed on are counted each time
    of_list: List, size: int, ids: Ids, frequencies: Ids, operations: Bytes, targets: Ids, places: Ids, values: Ids
) -> None:
    """Take the steps of a trace; `size`, the postings of a block, is a constant.

    The place is in the block `here`, its doc is `doc`; a target below `limit` is not beyond the 16 ids that the
    place is among. `block` is where SHALLOW has gone. Of the block `decoded`, `ready` ids are decoded, the last of
    which is `last`. `rest` is the list's block that is shorter, or the end of its blocks; it is decoded whole, its
    ids end at `ids_end`, and its frequencies are decoded when `counted` is that block.
    """
    blocks, offsets, first_ids, begin, end, length = of_list
    rest = begin + length // size  # the block that is shorter, if there is one
    place, here, block = np.int64(0), begin, begin
    doc, last, limit = first_ids[begin], np.uint32(0), np.uint32(0)
    decoded, counted, ready, ids_end = np.int64(-1), np.int64(-1), np.int64(0), np.int64(0)
    for step in range(len(targets)):
        operation, target = operations[step], targets[step]
        if operation == NEXT:
            if target < limit:
                start = place % size // LANES * LANES
                inside = max(place % size, start + _count_below(ids, start, target))
                place, doc = (here - begin) * size + inside, ids[inside]
            elif target > doc:
                found = _block_of(first_ids, here, end, target)
                if found != here:
                    here, place, doc, limit = found, (found - begin) * size, first_ids[found], np.uint32(0)
                if target > doc:
                    if decoded != here:
                        decoded, ready, last = here, np.int64(0), first_ids[here]
                        if here == rest:
                            ids_end = _decode_rest(blocks, offsets[here] + _head(size), length % size, ids)
                    inside, count = place % size, length % size
                    if here == rest:
                        inside = _search_rest(ids, inside, target)
                    else:
                        count = size
                        inside, ready, last = _search(
                            blocks, offsets[here], size, ids, ready, last, inside, target
                        )
                    place = (here - begin) * size + inside
                    if inside < count:
                        doc = ids[inside]
                        limit = min(ids[inside // LANES * LANES + LANES - 1], LARGEST) + np.uint32(1)
                    else:
                        here, limit = here + 1, np.uint32(0)
                        doc = first_ids[here] if here < end else np.uint32(END)
            block = here
            places[step], values[step] = place, doc
        elif operation == SHALLOW:
            block = _block_of(first_ids, block, end, target)
            places[step], values[step] = block - begin, first_ids[block]
        else:
            frequency = np.uint32(0)
            if place < length and here != rest:
                frequency = _frequency(blocks, offsets[here], size, place % size)
            elif place < length:
                if counted != here:
                    if decoded != here:
                        decoded = here
                        ids_end = _decode_rest(blocks, offsets[here] + _head(size), length % size, ids)
                    _decode_counts(blocks, ids_end, length % size, frequencies)
                    counted = here
                frequency = frequencies[place % size]
            places[step], values[step] = place, frequency


@njit(forceinline=True)
def _block_of(first_ids: Ids, block: int, end: int, target: np.uint32) -> int:
    """Return the last block, from `block` on and before `end`, whose first id is not above the target."""
    for _ in range(STEPS):
        if block + 1 >= end or first_ids[block + 1] > target:
            return block
        block += 1
    while block + GROUP < end and first_ids[block + GROUP] <= target:
        block += GROUP
    return block + _count_up_to(first_ids, block + 1, end - block - 1, target)


@njit(forceinline=True)
def _search(
    blocks: Bytes, at: int, size: int, ids: Ids, ready: int, last: np.uint32, inside: int, target: np.uint32
) -> tuple[int, int, np.uint32]:
    """Return the first place from `inside` on in a whole block whose id is not below the target, or `size`.

    And how many ids are decoded then, and the last of them.
    """
    packed = at + _head(size) + 5
    width = np.int64(blocks[packed - 1])
    start = inside // LANES * LANES
    while True:
        if start == ready:
            while size == LARGE and start % AT_ONCE == 0 and start < size - AT_ONCE:
                total = _sum_8(blocks, packed, width, start // LANES)
                if last + total >= target:
                    break
                last += total
                start += AT_ONCE
            ready = start + LANES
            if size == SMALL:
                last = _unpack_4(blocks, packed, width, start // LANES, last, ids)
            else:
                last = _unpack_8(blocks, packed, width, start // LANES, last, ids)
        if ids[start + LANES - 1] >= target or start == size - LANES:
            return start + _count_below(ids, start, target), ready, last
        start += LANES


@njit(forceinline=True)
def _search_rest(ids: Ids, inside: int, target: np.uint32) -> int:
    """Return the same in a shorter block, whose ids end with one that no target is above."""
    start = inside // LANES * LANES
    while ids[start + LANES - 1] < target:
        start += LANES
    return start + _count_below(ids, start, target)


@njit()
def _decode_rest(blocks: Bytes, at: int, count: int, ids: Ids) -> int:
    """Decode the ids of a shorter block, varints from `at` on; return where they end. What follows them is END."""
    done, last = np.int64(0), np.uint32(0)
    while done < count:
        short = _short_ones(blocks, at, count - done)
        if short > 0:
            _add_up_bytes(blocks, at, last, ids, done)
            done, at = done + short, at + short
            last = ids[done - 1]
        if done < count:
            difference, at = _varint(blocks, at)
            last += difference
            ids[done] = last
            done += 1
    ids[count : count + LANES] = END
    return at


@njit()
def _decode_counts(blocks: Bytes, at: int, count: int, frequencies: Ids) -> None:
    """Decode the frequencies of a shorter block, varints from `at` on."""
    done = np.int64(0)
    while done < count:
        short = _short_ones(blocks, at, count - done)
        if short > 0:
            _widen_bytes(blocks, at, frequencies, done)
            done, at = done + short, at + short
        if done < count:
            frequencies[done], at = _varint(blocks, at)
            done += 1


@njit(forceinline=True)
def _short_ones(blocks: Bytes, at: int, most: int) -> int:
    """Return how many varints from `at` on are one byte each, of 16 and of `most`; none near the end of all."""
    if at + LANES > blocks.size:
        return np.int64(0)
    return min(np.int64(_leading_short(blocks, at)), most)


@njit(forceinline=True)
def _frequency(blocks: Bytes, at: int, size: int, place: int) -> np.uint32:
    """Return one frequency of the whole block that begins at `at`."""
    lanes = size // 32
    at += _head(size) + 4
    at += 1 + 4 * lanes * np.int64(blocks[at])
    width, packed = np.int64(blocks[at]), at + (1 if size == SMALL else 2)
    bit = place // lanes * width
    word, shift = packed + 4 * (bit // 32 * lanes + place % lanes), bit % 32
    number = np.uint64(_word(blocks, word)) >> np.uint64(shift)
    if shift + width > 32:
        number |= np.uint64(_word(blocks, word + 4 * lanes)) << np.uint64(32 - shift)
    number &= (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    if size == LARGE:
        number |= np.uint64(_patch(blocks, packed + 4 * lanes * width, blocks[at + 1], place)) << np.uint64(width)
    return np.uint32(number)


@njit(forceinline=True)
def _patch(blocks: Bytes, at: int, patches: int, place: int) -> np.uint32:
    """Return the higher bits of a frequency, of which there are so many from `at` on; 0 where it has none."""
    for _ in range(patches):
        own = blocks[at] == place
        high, at = _varint(blocks, at + 1)
        if own:
            return high
    return np.uint32(0)


@njit(forceinline=True)
def _head(size: int) -> int:
    """Return the bytes of the maximum that a block begins with."""
    return 4 if size == SMALL else 0


@njit(forceinline=True)
def _varint(blocks: Bytes, at: int) -> tuple[np.uint32, int]:
    """Return the number that begins at `at`, and where it ends."""
    number, shift = np.uint32(0), np.uint32(0)
    while blocks[at] > 127:
        number |= np.uint32(blocks[at] & 127) << shift
        shift += np.uint32(7)
        at += 1
    return np.uint32(number | np.uint32(blocks[at]) << shift), at + 1


@njit(forceinline=True)
def _word(blocks: Bytes, at: int) -> np.uint32:
    """Return the 4 bytes at `at` as a number."""
    low = np.uint32(blocks[at]) | np.uint32(blocks[at + 1]) << np.uint32(8)
    return np.uint32(low | np.uint32(blocks[at + 2]) << np.uint32(16) | np.uint32(blocks[at + 3]) << np.uint32(24))


VECTOR = ir.VectorType(ir.IntType(32), LANES)
NUMBER = ir.IntType(32)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, place: Any, to: Any) -> Any:
    """Where in an array something begins, as a pointer to it."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), to.as_pointer())


def _repeated(builder: Any, number: Any, lanes: int = LANES) -> Any:
    """A number in every lane."""
    kind = ir.VectorType(number.type, lanes)
    vector = builder.insert_element(ir.Constant(kind, ir.Undefined), number, NUMBER(0))
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(NUMBER, lanes), [0] * lanes))


def _summed(builder: Any, vector: Any) -> Any:
    """The sums of each number and those before it, in as many steps as the lanes have bits."""
    nothing = ir.Constant(VECTOR, [0] * LANES)
    for step in (1, 2, 4, 8):
        lanes = [LANES + lane - step if lane >= step else lane for lane in range(LANES)]
        moved = builder.shuffle_vector(nothing, vector, ir.Constant(VECTOR, lanes))
        vector = builder.add(vector, moved)
    return vector


def _stored_sums(context: Any, builder: Any, vector: Any, last: Any, kind: Any, ids: Any, place: Any) -> Any:
    """Store the sums of a vector and what was before it; the last of them."""
    sums = builder.add(_summed(builder, vector), _repeated(builder, last))
    builder.store(sums, _pointer(context, builder, kind, ids, place, VECTOR), align=4)
    return builder.extract_element(sums, NUMBER(LANES - 1))


def _differences(
    context: Any, builder: Any, kind: Any, lanes: int, data: Any, packed: Any, width: Any, vector: Any
) -> Any:
    """The vector-th 16 differences of packed rows of so many lanes and of `width` bits, from `packed` on."""
    rows = LANES // lanes
    row, word = ir.VectorType(NUMBER, lanes), width.type
    first = builder.mul(builder.mul(vector, word(rows)), width)
    least, most = [], []
    for number in range(rows):
        low = builder.lshr(builder.add(first, builder.mul(width, word(number))), word(5))
        next_one = builder.add(low, word(1))
        high = builder.select(builder.icmp_unsigned("<", next_one, width), next_one, low)
        for found, at in ((least, low), (most, high)):
            place = builder.add(packed, builder.mul(at, word(4 * lanes)))
            found.append(builder.load(_pointer(context, builder, kind, data, place, row), align=1))
    of_rows = ir.Constant(VECTOR, [lane // lanes for lane in range(LANES)])
    each = _repeated(builder, builder.trunc(width, NUMBER))
    bits = builder.add(_repeated(builder, builder.trunc(first, NUMBER)), builder.mul(each, of_rows))
    shifted = builder.call(
        builder.module.declare_intrinsic("llvm.fshr.v16i32", (), ir.FunctionType(VECTOR, [VECTOR] * 3)),
        [_joined(builder, most), _joined(builder, least), bits],
    )
    mask = builder.trunc(builder.sub(builder.shl(word(1), width), word(1)), NUMBER)
    return builder.and_(shifted, _repeated(builder, mask))


def _unpacking(lanes: int) -> Any:
    """Return what decodes 16 ids of packed rows of so many lanes."""

    @intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
    def unpacked(typingctx: Any, blocks: Any, packed: Any, width: Any, vector: Any, last: Any, ids: Any) -> Any:
        """Write ids[16 * vector : 16 * (vector + 1)], and return the last of them."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data, packed, width, vector, last, ids = arguments
            numbers = _differences(context, builder, signature.args[0], lanes, data, packed, width, vector)
            place = builder.mul(vector, vector.type(LANES))
            return _stored_sums(context, builder, numbers, last, signature.args[5], ids, place)

        return types.uint32(blocks, types.int64, types.int64, types.int64, types.uint32, ids), codegen

    return unpacked


def _adding(lanes: int) -> Any:
    """Return what adds up the differences of AT_ONCE ids."""

    @intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
    def added(typingctx: Any, blocks: Any, packed: Any, width: Any, vector: Any) -> Any:
        """Return the sum of the differences from the vector-th 16 on."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data, packed, width, vector = arguments
            total = ir.Constant(VECTOR, [0] * LANES)
            for number in range(AT_ONCE // LANES):
                place = builder.add(vector, vector.type(number))
                found = _differences(context, builder, signature.args[0], lanes, data, packed, width, place)
                total = builder.add(total, found)
            reduce = builder.module.declare_intrinsic(
                "llvm.vector.reduce.add.v16i32", (), ir.FunctionType(NUMBER, [VECTOR])
            )
            return builder.call(reduce, [total])

        return types.uint32(blocks, types.int64, types.int64, types.int64), codegen

    return added


def _joined(builder: Any, parts: Any) -> Any:
    """Vectors of equal size, one behind the other."""
    while len(parts) > 1:
        lanes = ir.Constant(ir.VectorType(NUMBER, 2 * parts[0].type.count), list(range(2 * parts[0].type.count)))
        parts = [builder.shuffle_vector(*parts[i : i + 2], lanes) for i in range(0, len(parts), 2)]
    return parts[0]


_unpack_4 = _unpacking(4)
_unpack_8 = _unpacking(8)
_sum_8 = _adding(8)


@intrinsic  # type: ignore[untyped-decorator]
def _add_up_bytes(typingctx: Any, blocks: Any, at: Any, last: Any, ids: Any, place: Any) -> Any:
    """Write the sums of 16 bytes, and of what was before them, to ids[place : place + 16]."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers = _wide_bytes(context, builder, signature.args[0], *arguments[:2])
        _stored_sums(context, builder, numbers, arguments[2], signature.args[3], *arguments[3:])
        return context.get_dummy_value()

    return types.void(blocks, types.int64, types.uint32, ids, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _widen_bytes(typingctx: Any, blocks: Any, at: Any, out: Any, place: Any) -> Any:
    """Write 16 bytes to out[place : place + 16]."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers = _wide_bytes(context, builder, signature.args[0], *arguments[:2])
        builder.store(numbers, _pointer(context, builder, signature.args[2], *arguments[2:], VECTOR), align=4)
        return context.get_dummy_value()

    return types.void(blocks, types.int64, out, types.int64), codegen


BYTES = ir.VectorType(ir.IntType(8), LANES)


def _wide_bytes(context: Any, builder: Any, kind: Any, blocks: Any, at: Any) -> Any:
    return builder.zext(builder.load(_pointer(context, builder, kind, blocks, at, BYTES), align=1), VECTOR)


@intrinsic  # type: ignore[untyped-decorator]
def _leading_short(typingctx: Any, blocks: Any, at: Any) -> Any:
    """Return how many of the 16 bytes from `at` on come before the first above 127."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = builder.load(_pointer(context, builder, signature.args[0], *arguments, BYTES), align=1)
        is_long = builder.icmp_signed("<", found, ir.Constant(BYTES, [0] * LANES))
        bits = builder.zext(builder.bitcast(is_long, ir.IntType(LANES)), NUMBER)
        return builder.cttz(builder.or_(bits, NUMBER(1 << LANES)), ir.IntType(1)(1))

    return types.int32(blocks, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _count_below(typingctx: Any, ids: Any, start: Any, target: Any) -> Any:
    """Return how many of the 16 ids from `start` on are below the target."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = builder.load(_pointer(context, builder, signature.args[0], *arguments[:2], VECTOR), align=4)
        is_below = builder.icmp_unsigned("<", found, _repeated(builder, arguments[2]))
        return builder.zext(builder.ctpop(builder.bitcast(is_below, ir.IntType(LANES))), ir.IntType(64))

    return types.int64(ids, types.int64, types.uint32), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _count_up_to(typingctx: Any, first_ids: Any, start: Any, most: Any, target: Any) -> Any:
    """Return how many of `most` first ids from `start` on, and of 32, are not above the target."""
    kind = ir.VectorType(NUMBER, GROUP)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = builder.load(_pointer(context, builder, signature.args[0], *arguments[:2], kind), align=4)
        is_up_to = builder.icmp_unsigned("<=", found, _repeated(builder, arguments[3], GROUP))
        most = _repeated(builder, builder.trunc(arguments[2], NUMBER), GROUP)
        is_there = builder.icmp_signed("<", ir.Constant(kind, list(range(GROUP))), most)
        bits = builder.bitcast(builder.and_(is_up_to, is_there), ir.IntType(GROUP))
        return builder.zext(builder.ctpop(bits), ir.IntType(64))

    return types.int64(first_ids, types.int64, types.int64, types.uint32), codegen
