"""Intersection of posting lists, ascending lists of doc ids in Lance's blocks. The file that an agent edits.

What makes it fast: a block of the shortest list at a time is looked up in the other lists, the shorter ones
first, and only blocks that may have one of its docs are opened; 32 first ids are compared at once to find them.
To open a block whose differences have at most 7 bits, 64 of them at a time become bytes, by two permutations
around a shift of 8 lanes; sums of 16 bytes give the last id of each group of 16. These say in which group a doc
can be, with one comparison and no branch. The ids of a group are dot products of its bytes with ones, four for
16 ids; where few docs are asked for, only their groups are computed. Where two blocks have docs about equally
densely, 16 are compared with 8, and the step to the next ones has no branch either. Wider differences are taken
16 at a time and added up in four steps.

In Rust: `_mm512_permutex2var_epi8`, `_mm512_multishift_epi64_epi8` and `_mm512_permutexvar_epi8` for the bytes,
`_mm512_sad_epu8` for sums of 8, `_mm512_dpbusd_epi32` for ids, `_mm512_cmplt_epu32_mask` and `count_ones` for
searches, `_mm512_mask_cmpneq_epi32_mask` and `_mm512_maskz_compress_epi32` for 16 with 8; for wider differences
`_mm512_permutexvar_epi32`, `_mm512_shrdv_epi32` and `_mm512_alignr_epi32`. The bytes need AVX-512 with VBMI and
VNNI; without them, blocks are decoded whole, by vectors of any processor. Lance 14.0.2 has
`Wand::and_bulk_search` with `merge_window_docs_2` and `_3` (rust/lance-index/src/scalar/inverted/wand.rs),
`intersect` (wand_intersection.rs) and encoding.rs; `benchmarks/ports/posting-intersect/kernels.py` is a port of
that.

Stays: `intersect`, with the dtypes, shapes and order of results that its docstring gives.

CAN: decode less, later, or several blocks at once; search in any way; treat lists by their lengths; build bitmaps
or tables of a call's lists; keep scratch memory.
CANNOT: keep anything that depends on a call's arguments for a later call; start threads or processes; import
anything but numba, llvmlite.ir, numpy and the mathematics of the standard library.
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
    """Arrays, or in functions that run for every block pointers to their first items, which nothing counts."""

SMALL, LARGE = 128, 256
"""Postings of a block, by format."""

END = 2**32 - 1
"""Greater than every doc id."""

STEPS, GROUP = 2, 32
"""Blocks that a search steps over one by one, and those whose first ids it then compares at once."""

LANES = 16
"""Numbers of a vector, and ids of a group."""
HALF = 8
"""Ids that 16 docs are compared with, and bytes of a word."""
PART = 64
"""Differences that become bytes at once."""

NARROW, MEDIUM = 7, 16
"""Bits of differences that become bytes, and of those of which 16 are picked out of 64 bytes."""

FEW = 12
"""Docs of a block for which it is cheaper to compute only their groups, or to look them up one by one."""
DENSE = 2
"""Ids of another list, for each doc, up to which 16 docs are compared with 8 ids."""

LASTS = LARGE + 2 * LANES
DIFFERENCES = LASTS + LANES
ROW = DIFFERENCES + LARGE // 2
"""Scratch memory of a list: the ids of a block, 16 that are END, the first id, the last of each group, bytes."""


def _places(lanes: int) -> Bytes:
    """Return where the bytes of 64 differences lie, by their bits and by which 64, in rows of so many lanes.

    Of 8 rows, each lane has as many bytes as a difference has bits; 8 bytes are taken for every lane of 8 rows.
    """
    places = np.zeros((NARROW + 1, LARGE // PART, HALF, HALF), np.uint8)
    lane = np.tile(np.arange(lanes), HALF // lanes)
    rows = np.repeat(np.arange(HALF // lanes), lanes)
    for bits in range(1, NARROW + 1):
        for part in range(32 * lanes // PART):
            begin = HALF // lanes * part * bits % 4
            byte = begin + (rows * bits)[:, None] + np.arange(HALF)
            places[bits, part] = byte // 4 * 4 * lanes + 4 * lane[:, None] + byte % 4
    return places.ravel()


PLACES_4, PLACES_8 = _places(4), _places(8)


def intersect(
    blocks: Bytes,
    offsets: Numbers,
    first_ids: Ids,
    first_blocks: Numbers,
    lengths: Numbers,
    block: int,
    queries: Numbers,
    out: Ids,
) -> Numbers:
    """Fill `out` with the ids that every list of a query has, ascending, query by query.

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
    first_ids : uint32, shape (B,)
        The first doc id of each block.
    first_blocks, lengths : int64, shapes (L + 1,) and (L,)
        List i has the blocks first_blocks[i] to first_blocks[i + 1] - 1 and `lengths[i]` postings, maybe none;
        only the last block of a list may be shorter.
    block : int
        128 or 256.
    queries : int64, shape (Q, K)
        The K >= 1 lists of each query, by number, in any order.
    out : uint32
        Room for the shortest list of each query, all together.

    Returns
    -------
    ends : int64, shape (Q,)
        Where the ids of each query end in `out`; the next query's begin there. What follows the last is free.
    """
    places = PLACES_4 if block == SMALL else PLACES_8
    return _intersect(blocks, offsets, first_ids, first_blocks, lengths, block, queries, places, out)


@njit()
def _intersect(
    blocks: Bytes,
    offsets: Numbers,
    first_ids: Ids,
    first_blocks: Numbers,
    lengths: Numbers,
    size: int,
    queries: Numbers,
    places: Bytes,
    out: Ids,
) -> Numbers:
    """Answer the queries one by one, in the same scratch memory."""
    ends, width = np.empty(len(queries), np.int64), queries.shape[1]
    rows, cursors = np.zeros(ROW * (width + 1), np.uint32), np.empty(3 * width, np.int64)
    for number in range(width):
        rows[ROW * number + size : ROW * number + size + LANES] = END
    found = np.int64(0)  # a plain 0 would be a type of its own, and all that follows compiled for it too
    for q in range(len(queries)):
        query = _shortest_first(lengths, queries[q])
        if lengths[query[0]] > 0:
            found = _search(
                blocks, offsets, first_ids, first_blocks, lengths, size, query, places, rows, cursors, out, found
            )
        ends[q] = found
    return ends


@njit()
def _shortest_first(lengths: Numbers, query: Numbers) -> Numbers:
    order = query.copy()
    for end in range(1, len(order)):
        number, place = order[end], end
        while place > 0 and lengths[number] < lengths[order[place - 1]]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = number
    return order


@njit()
def _search(
    blocks: Bytes,
    offsets: Numbers,
    first_ids: Ids,
    first_blocks: Numbers,
    lengths: Numbers,
    size: int,
    query: Numbers,
    places: Bytes,
    rows: Ids,
    cursors: Numbers,
    out: Ids,
    found: int,
) -> int:
    """Look up the docs of the shortest list, a block at a time, in the others; return where the answers end.

    The docs that are left go to and fro between two rows, that of the shortest list and one behind all. For each
    other list `cursors` has its block, the block that is open in its row, and whether that has its ids there.
    """
    data, stop, starts, firsts, total = (
        _start(blocks),
        len(blocks),
        _start(offsets),
        _start(first_ids),
        len(first_ids),
    )
    ids, table = _start(rows), _start(places)
    for i in range(len(query)):
        cursors[3 * i], cursors[3 * i + 1] = first_blocks[query[i]], -1
    for block in range(first_blocks[query[0]], first_blocks[query[0] + 1]):
        count = min(size, lengths[query[0]] - (block - first_blocks[query[0]]) * size)
        if not _open(data, stop, offsets[block], count, size, table, ids, np.int64(0)):
            _fill(size, ids, np.int64(0))
        _put_all(ids, count, np.uint32(END))
        source, target = np.int64(len(query) * ROW), np.int64(0)
        for i in range(1, len(query)):
            source, target = target, source
            begin, end, length = first_blocks[query[i]], first_blocks[query[i] + 1], lengths[query[i]]
            count, cursors[3 * i], cursors[3 * i + 1], cursors[3 * i + 2] = _keep(
                data,
                stop,
                starts,
                firsts,
                total,
                begin,
                end,
                length,
                size,
                table,
                ids,
                i * ROW,
                source,
                target,
                count,
                cursors[3 * i],
                cursors[3 * i + 1],
                cursors[3 * i + 2] == 1,
            )
        _copy(ids, target, count, _start(out), found)
        found += count
    return found


@njit()
def _keep(
    data: Bytes,
    stop: int,
    starts: Numbers,
    firsts: Ids,
    total: int,
    begin: int,
    end: int,
    length: int,
    size: int,
    table: Bytes,
    ids: Ids,
    row: int,
    source: int,
    target: int,
    count: int,
    block: int,
    opened: int,
    has_ids: bool,
) -> tuple[int, int, int, bool]:
    """Copy those of `count` docs from `source` on that a list has to `target`; return how many, and its cursor.

    The list has the blocks from `begin` to `end` and `length` postings; `block` is where it was left.
    """
    place, kept, last = source, target, source + count
    while place < last:
        block = _block_of(firsts, total, block, end, _at(ids, place))
        upto = last if block + 1 == end else _first_from(ids, place, last, _at(firsts, block + 1))
        if opened != block:
            postings = min(size, length - (block - begin) * size)
            has_ids = _open(data, stop, _at(starts, block), postings, size, table, ids, row)
            opened = block
        few = upto - place <= FEW
        if not has_ids and not few:
            _fill(size, ids, row)
            has_ids = True
        other, after = (row, row) if few else _span(ids, row, place, upto)
        if not has_ids:
            kept = _keep_few(ids, row, place, upto, kept)
        elif few or after - other > DENSE * (upto - place):
            kept = _keep_some(ids, row, place, upto, kept)
        else:
            kept = _merge(ids, place, upto, other, after, kept)
        place = upto
    _put_all(ids, kept, np.uint32(END))
    return kept - target, block, opened, has_ids


@njit(forceinline=True)
def _block_of(firsts: Ids, total: int, block: int, end: int, target: np.uint32) -> int:
    """Return the last block, from `block` on and before `end`, whose first id is not above the target.

    One by one at first, then by doubling steps and by halves, and at last by comparing 32 first ids, unless these
    reach beyond the last of all.
    """
    for _ in range(STEPS):
        if block + 1 >= end or _at(firsts, block + 1) > target:
            return block
        block += 1
    step = np.int64(GROUP)
    while block + step < end and _at(firsts, block + step) <= target:
        block += step
        step *= 2
    while step > GROUP:
        step >>= 1
        if block + step < end and _at(firsts, block + step) <= target:
            block += step
    if block + GROUP < total:
        return block + _count_up_to(firsts, block + 1, end - block - 1, target)
    while block + 1 < end and _at(firsts, block + 1) <= target:
        block += 1
    return block


@njit(forceinline=True)
def _first_from(ids: Ids, place: int, last: int, target: np.uint32) -> int:
    """Return the first place from `place` on, or `last`, whose doc is not below the target.

    16 that are END follow the docs.
    """
    while place + LANES <= last and _at(ids, place + LANES - 1) < target:
        place += LANES
    return min(last, place + _count_below(ids, place, target))


@njit(forceinline=True)
def _keep_few(ids: Ids, row: int, place: int, upto: int, kept: int) -> int:
    """Copy the docs of a row that an open block has; compute of its ids the groups that may have them."""
    while place < upto:
        doc = _at(ids, place)
        _put(ids, kept, doc)
        kept += _is_in_group(ids, row, _count_below(ids, row + LASTS, doc), doc)
        place += 1
    return kept


@njit(forceinline=True)
def _keep_some(ids: Ids, row: int, place: int, upto: int, kept: int) -> int:
    """Copy the docs of a row that a decoded block has; compare each with the group that may have it."""
    while place < upto:
        doc = _at(ids, place)
        _put(ids, kept, doc)
        kept += _is_among(ids, row + LANES * _count_below(ids, row + LASTS, doc), doc)
        place += 1
    return kept


@njit(forceinline=True)
def _span(ids: Ids, row: int, place: int, upto: int) -> tuple[int, int]:
    """Return where the groups of a decoded block begin and end that may have docs of a row."""
    first = _count_below(ids, row + LASTS, _at(ids, place))
    last = _count_below(ids, row + LASTS, _at(ids, upto - 1))
    groups = _count_below(ids, row + LASTS, np.uint32(END))
    return row + LANES * first, row + LANES * min(last + 1, groups)


@njit(forceinline=True)
def _merge(ids: Ids, place: int, upto: int, other: int, end: int, kept: int) -> int:
    """Copy the docs from `place` on that are among others, comparing 16 with 8; those that end first move on.

    No doc from `upto` on is among them, so that 16 may reach beyond it.
    """
    common = np.int64(0)
    while place < upto and other < end:
        common |= _common(ids, place, other)
        last, other_last = _at(ids, place + LANES - 1), _at(ids, other + HALF - 1)
        moves, other_moves = np.int64(last <= other_last), np.int64(other_last <= last)
        kept += _squeeze(ids, place, common, kept) & -moves
        common &= moves - 1
        place += LANES * moves
        other += HALF * other_moves
    if place < upto:
        kept += _squeeze(ids, place, common, kept)
    return kept


@njit(forceinline=True)
def _copy(ids: Ids, place: int, count: int, out: Ids, found: int) -> None:
    """Copy so many ids to the results, and nothing behind them."""
    last = place + count
    while place + LANES <= last:
        _copy_all(ids, place, out, found)
        place, found = place + LANES, found + LANES
    while place < last:
        _put(out, found, _at(ids, place))
        place, found = place + 1, found + 1


@njit()
def _open(data: Bytes, stop: int, at: int, count: int, size: int, table: Bytes, ids: Ids, row: int) -> bool:
    """Write the last ids of the groups of a block that begins at `at`, and its ids, or only what `_fill` needs.

    Return whether the ids are there. Nothing is read from `stop` on.
    """
    at += 4 if size == SMALL else 0
    if count < size:
        _decode_rest(data, stop, at, count, ids, row)
        return True
    first, width, packed = _word(data, at), np.int64(_at(data, at + 4)), at + 5
    after = packed + size // 8 * width
    if _has_bytes() and 0 < width <= NARROW and after + 2 * PART <= stop:
        if size == SMALL:
            _spread_4(data, packed, width, first, table, ids, row)
        else:
            _spread_8(data, packed, width, first, table, ids, row)
        return False
    if width <= MEDIUM and after + PART <= stop:
        if size == SMALL:
            _decode_4(data, packed, width, first, ids, row)
        else:
            _decode_8(data, packed, width, first, ids, row)
    elif size == SMALL:
        _decode_wide_4(data, packed, width, first, ids, row)
    else:
        _decode_wide_8(data, packed, width, first, ids, row)
    return True


@njit(forceinline=True)
def _fill(size: int, ids: Ids, row: int) -> None:
    """Write the ids of a block that is open."""
    if size == SMALL:
        _fill_4(ids, row)
    else:
        _fill_8(ids, row)


@njit()
def _decode_rest(data: Bytes, stop: int, at: int, count: int, ids: Ids, row: int) -> None:
    """Decode the ids of a shorter block, varints from `at` on, and the last of its groups.

    The last id is repeated to fill its group.
    """
    done, last = np.int64(0), np.uint32(0)
    while done < count:
        upto = min(done + LANES, count)
        if at + LANES * HALF > stop:
            while done < upto:
                difference, at = _varint(data, at)
                last += difference
                _put(ids, row + done, last)
                done += 1
        elif _are_short(data, at):
            _add_up_bytes(data, at, last, ids, row + done)
            last, done, at = _at(ids, row + upto - 1), upto, at + LANES
        else:
            while done < upto:
                difference, at = _varint_of_word(data, at)
                last += difference
                _put(ids, row + done, last)
                done += 1
    _put_all(ids, row + count, last)
    groups = (count + LANES - 1) // LANES
    _put_all(ids, row + groups * LANES, np.uint32(END))
    _put_all(ids, row + LASTS, np.uint32(END))
    for group in range(groups):
        _put(ids, row + LASTS + group, _at(ids, row + group * LANES + LANES - 1))


@njit(forceinline=True)
def _varint(data: Bytes, at: int) -> tuple[np.uint32, int]:
    """Return the number that begins at `at`, and where it ends."""
    number, shift = np.uint32(0), np.uint32(0)
    byte = np.uint32(_at(data, at))
    while byte > 127:
        number |= (byte & np.uint32(127)) << shift
        shift += np.uint32(7)
        at += 1
        byte = np.uint32(_at(data, at))
    return np.uint32(number | byte << shift), at + 1


@njit(forceinline=True)
def _varint_of_word(data: Bytes, at: int) -> tuple[np.uint32, int]:
    """Return the same, without a branch, from 8 bytes."""
    word = _long(data, at)
    bits = _trailing_zeros(~word & np.uint64(0x80_8080_8080)) + np.uint64(1)
    word &= (np.uint64(1) << bits) - np.uint64(1)
    number = word & np.uint64(0x7F)
    number |= word >> np.uint64(1) & np.uint64(0x7F << 7)
    number |= word >> np.uint64(2) & np.uint64(0x7F << 14)
    number |= word >> np.uint64(3) & np.uint64(0x7F << 21)
    number |= word >> np.uint64(4) & np.uint64(0x7F << 28)
    return np.uint32(number), at + np.int64(bits >> np.uint64(3))


VECTOR = ir.VectorType(ir.IntType(32), LANES)
NUMBER = ir.IntType(32)
WORD = ir.IntType(64)
EIGHT = ir.VectorType(NUMBER, HALF)
BYTES = ir.VectorType(ir.IntType(8), PART)
WORDS = ir.VectorType(WORD, HALF)


def _has(context: Any, *features: str) -> bool:
    """Whether the processor has them all."""
    return {f"+{feature}" for feature in features} <= set(context.codegen().magic_tuple()[2].split(","))


def _spreads(context: Any) -> bool:
    """Whether differences become bytes here."""
    return _has(context, "avx512vbmi", "avx512vnni", "avx512bw")


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _has_bytes(typingctx: Any) -> Any:
    """Return whether differences become bytes here, a constant."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.IntType(1)(int(_spreads(context)))

    return types.boolean(), codegen


def _pointer(context: Any, builder: Any, kind: Any, start: Any, place: Any, to: Any) -> Any:
    """Where something begins, so many items after a pointer, as a pointer to it."""
    item = context.get_value_type(kind.dtype)
    return builder.bitcast(builder.gep(builder.bitcast(start, item.as_pointer()), [place]), to.as_pointer())


def _loaded(context: Any, builder: Any, kind: Any, start: Any, place: Any, what: Any) -> Any:
    """Load something that begins so many items after a pointer, at any address."""
    return builder.load(_pointer(context, builder, kind, start, place, what), align=1)


def _stored(context: Any, builder: Any, kind: Any, start: Any, place: Any, what: Any) -> Any:
    """Store something so many items after a pointer; return what numba takes for nothing."""
    builder.store(what, _pointer(context, builder, kind, start, place, what.type), align=1)
    return context.get_dummy_value()


def _plus(builder: Any, number: Any, more: int) -> Any:
    return builder.add(number, number.type(more))


def _repeated(builder: Any, number: Any, lanes: int = LANES) -> Any:
    """A number in every lane."""
    kind = ir.VectorType(number.type, lanes)
    vector = builder.insert_element(ir.Constant(kind, ir.Undefined), number, NUMBER(0))
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(NUMBER, lanes), [0] * lanes))


def _same(vector: Any, number: int) -> Any:
    """A constant in every lane of a vector of that type."""
    return ir.Constant(vector, [number] * vector.count)


def _summed(builder: Any, vector: Any) -> Any:
    """The sums of each number and those before it, in as many steps as the lanes have bits."""
    for step in (1, 2, 4, 8):
        lanes = [LANES + lane - step if lane >= step else lane for lane in range(LANES)]
        moved = builder.shuffle_vector(_same(VECTOR, 0), vector, ir.Constant(VECTOR, lanes))
        vector = builder.add(vector, moved)
    return vector


@intrinsic  # type: ignore[untyped-decorator]
def _start(typingctx: Any, array: Any) -> Any:
    """Return a pointer to the first item of an array."""
    kind = types.CPointer(array.dtype)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.bitcast(data, context.get_value_type(kind))

    return kind(array), codegen


def _loading(to: Any) -> Any:
    """Return what loads a number of that type, by default an item."""

    @intrinsic  # type: ignore[untyped-decorator]
    def load(typingctx: Any, start: Any, place: Any) -> Any:
        """Return what begins `place` items after `start`."""
        found = to or start.dtype

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return _loaded(context, builder, signature.args[0], *arguments, context.get_value_type(found))

        return found(start, types.int64), codegen

    return load


_at = _loading(None)
_word = _loading(types.uint32)
_long = _loading(types.uint64)


@intrinsic  # type: ignore[untyped-decorator]
def _put(typingctx: Any, ids: Any, place: Any, doc: Any) -> Any:
    """Set ids[place]."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _stored(context, builder, signature.args[0], *arguments)

    return types.void(ids, types.int64, types.uint32), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _put_all(typingctx: Any, ids: Any, place: Any, doc: Any) -> Any:
    """Set ids[place : place + 16]."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        ids, place, doc = arguments
        return _stored(context, builder, signature.args[0], ids, place, _repeated(builder, doc))

    return types.void(ids, types.int64, types.uint32), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _copy_all(typingctx: Any, ids: Any, place: Any, out: Any, to: Any) -> Any:
    """Set out[to : to + 16] to ids[place : place + 16]."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = _loaded(context, builder, signature.args[0], *arguments[:2], VECTOR)
        return _stored(context, builder, signature.args[2], *arguments[2:], found)

    return types.void(ids, types.int64, out, types.int64), codegen


QUARTER = ir.VectorType(BYTES.element, LANES)


@intrinsic  # type: ignore[untyped-decorator]
def _are_short(typingctx: Any, data: Any, at: Any) -> Any:
    """Return whether the 16 bytes from `at` on are below 128, each a varint by itself."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = _loaded(context, builder, signature.args[0], *arguments, QUARTER)
        bits = builder.bitcast(builder.icmp_signed("<", found, _same(QUARTER, 0)), ir.IntType(LANES))
        return builder.icmp_unsigned("==", bits, bits.type(0))

    return types.boolean(data, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _add_up_bytes(typingctx: Any, data: Any, at: Any, last: Any, ids: Any, place: Any) -> Any:
    """Set ids[place : place + 16] to the sums of the bytes from `at` on, and of what was before them."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data, at, last, ids, place = arguments
        found = builder.zext(_loaded(context, builder, signature.args[0], data, at, QUARTER), VECTOR)
        sums = builder.add(_summed(builder, found), _repeated(builder, last))
        return _stored(context, builder, signature.args[3], ids, place, sums)

    return types.void(data, types.int64, types.uint32, ids, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _trailing_zeros(typingctx: Any, number: Any) -> Any:
    """Return how many of the lowest bits of a number, which is not 0, are 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.uint64(types.uint64), codegen


def _differences(
    context: Any, builder: Any, kind: Any, lanes: int, data: Any, packed: Any, width: Any, group: int
) -> Any:
    """16 differences of packed rows of so many lanes and of `width` bits, from `packed` on."""
    rows = LANES // lanes
    row = ir.VectorType(NUMBER, lanes)
    first = builder.mul(width, WORD(group * rows))
    least: list[Any] = []
    most: list[Any] = []
    for number in range(rows):
        low = builder.lshr(builder.add(first, builder.mul(width, WORD(number))), WORD(5))
        next_one = _plus(builder, low, 1)
        high = builder.select(builder.icmp_unsigned("<", next_one, width), next_one, low)
        for found, at in ((least, low), (most, high)):
            place = builder.add(packed, builder.mul(at, WORD(4 * lanes)))
            found.append(_loaded(context, builder, kind, data, place, row))
    bits = builder.add(_repeated(builder, builder.trunc(first, NUMBER)), _bits_of_rows(builder, lanes, width))
    return _cut(builder, _joined(builder, most), _joined(builder, least), bits, width)


def _near_differences(
    context: Any, builder: Any, kind: Any, lanes: int, data: Any, packed: Any, width: Any, group: int
) -> Any:
    """The same of at most MEDIUM bits, where 64 bytes from any row on may be read."""
    if not _has(context, "avx512f"):
        return _differences(context, builder, kind, lanes, data, packed, width, group)
    first = builder.mul(width, WORD(group * (LANES // lanes)))
    place = builder.add(packed, builder.mul(builder.lshr(first, WORD(5)), WORD(4 * lanes)))
    words = _loaded(context, builder, kind, data, place, VECTOR)
    bits = _repeated(builder, builder.trunc(builder.and_(first, WORD(31)), NUMBER))
    bits = builder.add(bits, _bits_of_rows(builder, lanes, width))
    least = builder.mul(builder.lshr(bits, _same(VECTOR, 5)), _same(VECTOR, lanes))
    least = builder.or_(least, ir.Constant(VECTOR, [lane % lanes for lane in range(LANES)]))
    most = builder.add(least, _same(VECTOR, lanes))
    kind = ir.FunctionType(VECTOR, [VECTOR] * 2)
    permute = builder.module.declare_intrinsic("llvm.x86.avx512.permvar.si.512", (), kind)
    least, most = (builder.call(permute, [words, places]) for places in (least, most))
    return _cut(builder, most, least, bits, width)


def _bits_of_rows(builder: Any, lanes: int, width: Any) -> Any:
    """At which bit each of 16 differences begins, after the first."""
    rows = ir.Constant(VECTOR, [lane // lanes for lane in range(LANES)])
    return builder.mul(_repeated(builder, builder.trunc(width, NUMBER)), rows)


def _cut(builder: Any, most: Any, least: Any, bits: Any, width: Any) -> Any:
    """Numbers of `width` bits, each cut out of two words from a bit of the lower on."""
    shift = builder.module.declare_intrinsic("llvm.fshr.v16i32", (), ir.FunctionType(VECTOR, [VECTOR] * 3))
    mask = builder.trunc(builder.sub(builder.shl(WORD(1), width), WORD(1)), NUMBER)
    return builder.and_(builder.call(shift, [most, least, bits]), _repeated(builder, mask))


def _joined(builder: Any, parts: Any) -> Any:
    """Vectors of equal size, one behind the other."""
    while len(parts) > 1:
        lanes = ir.Constant(ir.VectorType(NUMBER, 2 * parts[0].type.count), list(range(2 * parts[0].type.count)))
        parts = [builder.shuffle_vector(*parts[i : i + 2], lanes) for i in range(0, len(parts), 2)]
    return parts[0]


def _decoding(lanes: int, differences: Any) -> Any:
    """Return what decodes a block of packed rows of so many lanes, 16 ids at a time."""

    @intrinsic  # type: ignore[untyped-decorator]
    def decoded(typingctx: Any, data: Any, packed: Any, width: Any, first: Any, ids: Any, row: Any) -> Any:
        """Write all ids, and the last of each group."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data, packed, width, first, ids, row = arguments
            lasts, last = _same(VECTOR, END), _repeated(builder, first)
            for group in range(32 * lanes // LANES):
                numbers = differences(context, builder, signature.args[0], lanes, data, packed, width, group)
                sums = builder.add(_summed(builder, numbers), last)
                _stored(context, builder, signature.args[4], ids, _plus(builder, row, LANES * group), sums)
                last = builder.shuffle_vector(sums, sums, _same(VECTOR, LANES - 1))
                chosen = [LANES + lane if lane == group else lane for lane in range(LANES)]
                lasts = builder.shuffle_vector(lasts, last, ir.Constant(VECTOR, chosen))
            return _stored(context, builder, signature.args[4], ids, _plus(builder, row, LASTS), lasts)

        return types.void(data, types.int64, types.int64, types.uint32, ids, types.int64), codegen

    return decoded


def _spreading(lanes: int) -> Any:
    """Return what opens a block of packed rows of so many lanes whose differences are NARROW."""

    @intrinsic  # type: ignore[untyped-decorator]
    def spread(
        typingctx: Any, data: Any, packed: Any, width: Any, first: Any, table: Any, ids: Any, row: Any
    ) -> Any:
        """Write the differences as bytes, the first id, and the last of each group."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if not _spreads(context):
                return context.get_dummy_value()
            data, packed, width, first, table, ids, row = arguments
            kind, of_ids, totals = signature.args[0], signature.args[5], _same(WORDS, 0)
            for part in range(32 * lanes // PART):
                begin = builder.lshr(builder.mul(width, WORD(HALF // lanes * part)), WORD(2))
                at = builder.add(packed, builder.mul(begin, WORD(4 * lanes)))
                low, high = (
                    _loaded(context, builder, kind, data, _plus(builder, at, more), BYTES) for more in (0, PART)
                )
                at = _plus(builder, builder.mul(width, WORD(LARGE)), PART * part)
                places = _loaded(context, builder, kind, table, at, BYTES)
                found = _bytes_of(builder, lanes, low, high, places, width)
                to = _plus(builder, row, DIFFERENCES + LANES * part)
                _stored(context, builder, of_ids, ids, to, found)
                totals = builder.or_(totals, builder.shl(_eighths(builder, found), _same(WORDS, 16 * part)))
            lasts = builder.add(_group_sums(builder, lanes, totals), _repeated(builder, first))
            chosen = [lane if lane < 2 * lanes else LANES + lane for lane in range(LANES)]
            lasts = builder.shuffle_vector(lasts, _same(VECTOR, END), ir.Constant(VECTOR, chosen))
            _stored(context, builder, of_ids, ids, _plus(builder, row, LASTS), lasts)
            return _stored(context, builder, of_ids, ids, _plus(builder, row, LASTS - 1), first)

        return types.void(data, types.int64, types.int64, types.uint32, table, ids, types.int64), codegen

    return spread


def _bytes_of(builder: Any, lanes: int, low: Any, high: Any, places: Any, width: Any) -> Any:
    """64 differences as bytes, from 128 bytes and the places of those of each lane."""
    kind = ir.FunctionType(BYTES, [BYTES] * 2)
    pick = builder.module.declare_intrinsic(
        "llvm.x86.avx512.vpermi2var.qi.512", (), ir.FunctionType(BYTES, [BYTES] * 3)
    )
    shift = builder.module.declare_intrinsic("llvm.x86.avx512.pmultishift.qb.512", (), kind)
    order = builder.module.declare_intrinsic("llvm.x86.avx512.permvar.qi.512", (), kind)
    bits = builder.mul(width, WORD(0x07_06_05_04_03_02_01_00))
    mask = builder.trunc(builder.sub(builder.shl(WORD(1), width), WORD(1)), BYTES.element)
    found = builder.call(pick, [low, places, high])
    found = builder.call(shift, [builder.bitcast(_repeated(builder, bits, HALF), BYTES), found])
    rows = [divmod(number, lanes) for number in range(PART)]
    by_row = ir.Constant(BYTES, [HALF * (row // HALF * lanes + lane) + row % HALF for row, lane in rows])
    return builder.call(order, [builder.and_(found, _repeated(builder, mask, PART)), by_row])


def _eighths(builder: Any, found: Any) -> Any:
    """The sums of 8 bytes each."""
    kind = ir.FunctionType(WORDS, [BYTES] * 2)
    add = builder.module.declare_intrinsic("llvm.x86.avx512.psad.bw.512", (), kind)
    return builder.call(add, [found, _same(BYTES, 0)])


def _group_sums(builder: Any, lanes: int, totals: Any) -> Any:
    """The sums of the first 16, 32, 48 differences and so on; `totals` has 8 of each 64 in 16 bits of 8 words."""
    neighbours = ir.Constant(EIGHT, [lane ^ 1 for lane in range(HALF)])
    totals = builder.add(totals, builder.shuffle_vector(totals, totals, neighbours))
    totals = builder.bitcast(totals, ir.VectorType(ir.IntType(16), 2 * LANES))
    chosen = ir.Constant(VECTOR, [8 * (group % 4) + group // 4 for group in range(LANES)])
    return _summed(builder, builder.zext(builder.shuffle_vector(totals, totals, chosen), VECTOR))


def _group(context: Any, builder: Any, kind: Any, ids: Any, row: Any, group: Any) -> Any:
    """The 16 ids of a group: what is before it, and dot products of its bytes with ones up to each."""
    at = _plus(builder, builder.add(row, group), LASTS - 1)
    sums = _repeated(builder, _loaded(context, builder, kind, ids, at, NUMBER))
    products = builder.module.declare_intrinsic(
        "llvm.x86.avx512.vpdpbusd.512", (), ir.FunctionType(VECTOR, [VECTOR] * 3)
    )
    at = builder.add(row, builder.mul(group, WORD(4)))
    for four in range(4):
        place = _plus(builder, at, DIFFERENCES + four)
        numbers = _repeated(builder, _loaded(context, builder, kind, ids, place, NUMBER))
        ones = [sum(1 << 8 * byte for byte in range(4) if 4 * four + byte <= lane) for lane in range(LANES)]
        sums = builder.call(products, [sums, ir.Constant(VECTOR, ones), numbers])
    return sums


_decode_4, _decode_8 = _decoding(4, _near_differences), _decoding(8, _near_differences)
_decode_wide_4, _decode_wide_8 = _decoding(4, _differences), _decoding(8, _differences)
_spread_4, _spread_8 = _spreading(4), _spreading(8)


def _filling(lanes: int) -> Any:
    """Return what writes the ids of a block of packed rows of so many lanes that is open."""

    @intrinsic  # type: ignore[untyped-decorator]
    def filled(typingctx: Any, ids: Any, row: Any) -> Any:
        """Write all ids."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if not _spreads(context):
                return context.get_dummy_value()
            ids, row = arguments
            kind = signature.args[0]
            for group in range(2 * lanes):
                found = _group(context, builder, kind, ids, row, WORD(group))
                _stored(context, builder, kind, ids, _plus(builder, row, LANES * group), found)
            return context.get_dummy_value()

        return types.void(ids, types.int64), codegen

    return filled


_fill_4, _fill_8 = _filling(4), _filling(8)


def _is_any(builder: Any, found: Any, doc: Any) -> Any:
    """1 if one of 16 ids is the doc, else 0."""
    bits = builder.bitcast(builder.icmp_unsigned("==", found, _repeated(builder, doc)), ir.IntType(LANES))
    return builder.zext(builder.icmp_unsigned("!=", bits, bits.type(0)), WORD)


@intrinsic  # type: ignore[untyped-decorator]
def _is_in_group(typingctx: Any, ids: Any, row: Any, group: Any, doc: Any) -> Any:
    """Return 1 if one of the 16 ids of a group is the doc, else 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if not _spreads(context):
            return WORD(0)
        found = _group(context, builder, signature.args[0], *arguments[:3])
        return _is_any(builder, found, arguments[3])

    return types.int64(ids, types.int64, types.int64, types.uint32), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _is_among(typingctx: Any, ids: Any, place: Any, doc: Any) -> Any:
    """Return 1 if one of the 16 ids from `place` on is the doc, else 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = _loaded(context, builder, signature.args[0], *arguments[:2], VECTOR)
        return _is_any(builder, found, arguments[2])

    return types.int64(ids, types.int64, types.uint32), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _count_below(typingctx: Any, ids: Any, place: Any, target: Any) -> Any:
    """Return how many of the 16 ids from `place` on are below the target."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = _loaded(context, builder, signature.args[0], *arguments[:2], VECTOR)
        is_below = builder.icmp_unsigned("<", found, _repeated(builder, arguments[2]))
        return builder.zext(builder.ctpop(builder.bitcast(is_below, ir.IntType(LANES))), WORD)

    return types.int64(ids, types.int64, types.uint32), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _count_up_to(typingctx: Any, firsts: Any, place: Any, most: Any, target: Any) -> Any:
    """Return how many of `most` first ids from `place` on, and of 32, are not above the target."""
    kind = ir.VectorType(NUMBER, GROUP)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        firsts, place, most, target = arguments
        found = _loaded(context, builder, signature.args[0], firsts, place, kind)
        is_up_to = builder.icmp_unsigned("<=", found, _repeated(builder, target, GROUP))
        most = _repeated(builder, builder.trunc(most, NUMBER), GROUP)
        is_there = builder.icmp_signed("<", ir.Constant(kind, list(range(GROUP))), most)
        bits = builder.bitcast(builder.and_(is_up_to, is_there), ir.IntType(GROUP))
        return builder.zext(builder.ctpop(bits), WORD)

    return types.int64(firsts, types.int64, types.int64, types.uint32), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _common(typingctx: Any, ids: Any, place: Any, other: Any) -> Any:
    """Return a bit for each of 16 ids from `place` on, set if it is one of the 8 from `other` on."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        ids, place, other = arguments
        found = _loaded(context, builder, signature.args[0], ids, place, VECTOR)
        differs: list[Any] = []
        for lane in range(HALF):
            id_ = _loaded(context, builder, signature.args[0], ids, _plus(builder, other, lane), NUMBER)
            one = builder.icmp_unsigned("!=", found, _repeated(builder, id_))
            differs.append(builder.and_(differs[-1], one) if lane % (HALF // 2) else one)
        differ = builder.bitcast(builder.and_(differs[HALF // 2 - 1], differs[-1]), ir.IntType(LANES))
        return builder.zext(builder.not_(differ), WORD)

    return types.int64(ids, types.int64, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _squeeze(typingctx: Any, ids: Any, place: Any, bits: Any, to: Any) -> Any:
    """Copy those of 16 ids whose bits are set to ids[to] and on; return how many."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        ids, place, bits, to = arguments
        found = _loaded(context, builder, signature.args[0], ids, place, VECTOR)
        bits = builder.trunc(bits, ir.IntType(LANES))
        if _has(context, "avx512f"):
            chosen = builder.bitcast(bits, ir.VectorType(ir.IntType(1), LANES))
            kind = ir.FunctionType(VECTOR, [VECTOR, VECTOR, chosen.type])
            squeeze = builder.module.declare_intrinsic("llvm.x86.avx512.mask.compress.v16i32", (), kind)
            found = builder.call(squeeze, [found, found, chosen])
            _stored(context, builder, signature.args[0], ids, to, found)
        else:
            for lane in range(LANES):
                doc = builder.extract_element(found, NUMBER(lane))
                _stored(context, builder, signature.args[0], ids, to, doc)
                bit = builder.and_(builder.lshr(bits, bits.type(lane)), bits.type(1))
                to = builder.add(to, builder.zext(bit, WORD))
        return builder.zext(builder.ctpop(bits), WORD)

    return types.int64(ids, types.int64, types.int64, types.int64), codegen
