"""Merging candidate runs into the k best rows of each query. The file that an agent edits.

What makes it fast: no heap and no tree, for either kind of run, and hardly a branch that can be guessed wrong. The
keys of a query become whole numbers, 64 at a time, and with them the least key of each of 32 groups of rows, or of
512 where k is large; the k-th smallest of these is a limit that at least k rows keep, and hardly more. A compress
takes these out, and their row ids are asked for. When all queries have come so far, up to 16 rows of each are
ranked by key and row id in one vector, which counts for every row how many of the others are better, so that
queries overlap. More rows are ranked by their keys alone, 64 beside each key, and where keys are equal, each row
looks at its neighbours to see how many of these have to change sides with it.

In Rust: `_mm512_min_epu32`, `_mm512_maskz_compress_epi32`, `_mm_prefetch`, and `_mm512_cmplt_epu32_mask` with
`_mm512_mask_add_epi32`, or vectors of 128 bits and an append that stores each row and counts only some. Lance
14.0.2 has from DataFusion, for runs as a heap leaves them, the top-k of `SortExec` over (_distance, _rowid), a
heap of k whose root is replaced (`ann` and `flat_knn` in rust/lance/src/dataset/scanner.rs), and for sorted runs
the loser tree of `SortPreservingMergeExec`; `benchmarks/ports/topk-merge/kernels.py` is a port of both.

Stays: `topk_merge(dist, rowid, offsets, k, runs_sorted, descending)`, with the dtypes, shapes and order of results
that its docstring gives.

CAN: change the algorithm, for either kind of run, any size or k; pack keys; skip rows and runs that a bound proves
not to be among the k; use scratch memory of a call.
CANNOT: keep anything for a later call; use float comparisons where they lose NaN or -0.0; start threads or
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

    Keys = NDArray[np.uint32]
    RowIds = NDArray[np.uint64]
    Offsets = NDArray[np.int64]
    Places = NDArray[np.int64]

ALL = np.uint32(0xFFFFFFFF)
NONE = np.uint32(0)
SIGN = np.uint32(0x80000000)
NO_ROW = np.uint64(0xFFFFFFFFFFFFFFFF)
LANES = 64
"""The keys that are made at once. Keys of a query are filled up with the largest to a multiple of it."""
FEW = 16
"""So many rows are ranked by key and row id together. Where k is larger, there are more groups."""
FEW_GROUPS = 32
"""The groups of rows whose least key is kept, where k is small."""
GROUPS = 8 * LANES
"""The groups where k is large."""
MOST_RANKED = 1024
"""More rows than these, or than 4 k and a vector's, are not compared each with each: a heap takes the best of
them."""


def topk_merge(
    dist: NDArray[np.float32],
    rowid: RowIds,
    offsets: Offsets,
    k: int,
    runs_sorted: bool,  # both kinds are merged in the same way
    descending: bool,
) -> tuple[NDArray[np.float32], RowIds]:
    """Return the k best rows of every query, best first, one query after the other.

    Parameters
    ----------
    dist, rowid : float32 and uint64, shape (T,)
        The rows of all runs.
    offsets : int64, shape (Q, S + 1), C-contiguous
        Run s of query q is at offsets[q, s] to offsets[q, s + 1]; runs may be empty, S and Q 0.
    k : int
        At least 1.
    runs_sorted : bool
        Every run is in the order of the result. Otherwise it is in any order.
    descending : bool
        The largest keys first.

    Returns
    -------
    dist, rowid : float32 and uint64, shape (sum of min(k, rows of query q),)
        Ordered by key in IEEE's total order (ascending -NaN, -inf, ..., -0.0, 0.0, ..., inf, NaN), then by
        ascending row id. A row that occurs twice counts twice. Bits are those of the input.
    """
    bits, rowids = _merge(dist.view(np.uint32), rowid, offsets, k, ALL if descending else NONE)
    return bits.view(np.float32), rowids


@njit
def _merge(bits: Keys, rowid: RowIds, offsets: Offsets, k: int, flip: np.uint32) -> tuple[Keys, RowIds]:
    """Choose rows of every query, then rank those of every query, unless there are many: those are ranked at once.

    So the row ids are on their way meanwhile. The usual way has no call with an array for each query: numba would
    count its references.
    """
    rows, longest = _sizes(offsets, k)
    best, rowids = np.empty(rows + 1, np.uint32), np.empty(rows + 1, np.uint64)
    keys, minima = np.empty(longest + LANES, np.uint32), np.empty(GROUPS, np.uint32)
    most, counts = len(offsets) * FEW + longest + LANES, np.empty(len(offsets), np.int64)
    chosen, places = np.empty(most, np.uint32), np.empty(most, np.uint32)
    ids, ranks = np.empty(longest + LANES, np.uint64), np.empty(MOST_RANKED + LANES, np.uint32)
    sorted_keys = np.empty(MOST_RANKED + LANES, np.uint32)
    sorted_ids = np.empty(MOST_RANKED + LANES, np.uint64)
    step = np.uint32(min(k, 1))
    at = 0
    for q in range(len(offsets)):
        start, size = offsets[q, 0], offsets[q, -1] - offsets[q, 0]
        counts[q] = 0
        if size == 0:
            continue
        if start + size + LANES > bits.size:  # whole vectors would end behind the array
            for i in range(size):
                keys[i] = bits[start + i]
            _order(keys, 0, size, flip, keys, minima)
        else:
            _order(bits, start, size, flip, keys, minima)
        limit = _kth_of_few(minima, np.uint32(k), step) if k <= FEW else _limit(keys, size, k, minima, step)
        first = q * FEW
        count = first
        for begin in range(0, size, LANES):
            count = _choose(keys, begin, limit, chosen, places, count)
        count = min(count - first, size)  # what fills up the keys may have been chosen, last
        counts[q] = count
        _clear(places, first + count)
        _prefetch(rowid, start, places, first)
        end = at + min(k, size)
        if count > FEW:
            for i in range(count):
                ids[i] = rowid[np.uint64(start) + np.uint64(places[np.uint64(first + i)])]
            many = chosen[first:]
            if count <= min(4 * k + LANES, MOST_RANKED) and _sort(
                many, ids, count, ranks, sorted_keys, sorted_ids, step
            ):
                _put(sorted_keys, sorted_ids, count, ranks, best[at:end], rowids[at:end])
            else:
                _select_by_heap(many, ids, count, best[at:end], rowids[at:end])
        at = end
    _put_few(chosen, places, counts, rowid, offsets, k, ids, ranks, best, rowids, step)
    _restore(best, flip)
    return best[:rows], rowids[:rows]


@njit
def _sizes(offsets: Offsets, k: int) -> tuple[int, int]:
    """Return how many rows are to be found, and the rows of the longest query."""
    rows, longest = 0, 0
    for q in range(len(offsets)):
        size = offsets[q, -1] - offsets[q, 0]
        rows += min(k, size)
        longest = max(longest, size)
    return rows, longest


@njit
def _restore(keys: Keys, flip: np.uint32) -> None:
    """Make bits of keys."""
    for i in range(len(keys)):
        key = keys[i] ^ flip
        keys[i] = key ^ (SIGN if key & SIGN else ALL)


@njit
def _limit(keys: Keys, size: int, k: int, minima: Keys, step: np.uint32) -> np.uint32:
    """Return the k-th smallest of the least keys of groups, or the largest key where there are too few rows."""
    if not 2 * k <= GROUPS < size:
        return ALL
    minima[:] = ALL
    for start in range(0, size, LANES):
        _lower(minima, start % GROUPS, keys, start)
    return _kth(minima, k, step)


@njit
def _kth(minima: Keys, k: int, step: np.uint32) -> np.uint32:
    """Return a key that at least k of the minima keep, and hardly more: bits are tried until few more do."""
    least, differing = _least(minima), _differing(minima)
    width = _width(differing)
    found = np.uint32((np.uint64(least) >> width) << width)
    for bit in range(np.int64(width) - 1, -1, -1):
        limit = np.uint32(found | np.uint32((1 << bit) - 1))
        count = _number_at_most(minima, limit, step)
        if k <= count <= k + k // FEW:
            return limit
        if count < k:
            found |= np.uint32(1 << bit)
    return found


@njit
def _sort(
    keys: Keys, ids: RowIds, count: int, ranks: Keys, sorted_keys: Keys, sorted_ids: RowIds, step: np.uint32
) -> bool:
    """Sort by key, from place FEW on, and say in `ranks` how far each row is to move among its equals.

    Returns False where too many keys are equal. What fills up both ends has row ids that move nothing.
    """
    keys[count : count + LANES] = ALL
    for start in range(0, count, LANES):
        _rank(keys, start, count, ranks, step)
    for i in range(FEW):
        sorted_keys[i], sorted_ids[i] = NONE, np.uint64(0)
        sorted_keys[FEW + count + i], sorted_ids[FEW + count + i] = ALL, NO_ROW
        sorted_keys[2 * FEW + count + i], sorted_ids[2 * FEW + count + i] = ALL, NO_ROW
    for i in range(count):
        to = ranks[i] + np.uint32(FEW)
        sorted_keys[to], sorted_ids[to] = keys[i], ids[i]
    for start in range(0, count, FEW):
        _clear(ranks, start)
    last = (np.uint64(2) << np.uint64((count - 1) % FEW)) - np.uint64(1)
    for distance in range(1, FEW + 1):
        equal = np.uint64(0)
        for start in range(0, count, FEW):
            found = _move(sorted_keys, sorted_ids, start + FEW, distance, ranks, start)
            equal |= found & last if start + FEW >= count else found
        if equal == 0:
            return True
    return False


@njit
def _put_few(
    chosen: Keys,
    places: Keys,
    counts: Places,
    rowid: RowIds,
    offsets: Offsets,
    k: int,
    ids: RowIds,
    ranks: Keys,
    best: Keys,
    rowids: RowIds,
    step: np.uint32,
) -> None:
    """Put the best rows of every query that has 16 or fewer where they belong, and the others behind all rows."""
    at, behind = 0, len(best) - 1
    for q in range(len(offsets)):
        first, size, count = q * FEW, min(k, offsets[q, -1] - offsets[q, 0]), counts[q]
        if 0 < count <= FEW:
            for i in range(FEW):
                ids[i] = rowid[np.uint64(offsets[q, 0]) + np.uint64(places[np.uint64(first + i)])]
            _fill(ids, count)
            _rank_few(chosen, first, count, ids, ranks, step)
            for i in range(FEW):
                to = np.uint64(at + ranks[i] if ranks[i] < size else behind)
                best[to], rowids[to] = chosen[np.uint64(first + i)], ids[i]
        at += size


@njit
def _put(sorted_keys: Keys, sorted_ids: RowIds, count: int, moves: Keys, best: Keys, rowids: RowIds) -> None:
    """Put the best of the sorted rows where they belong, moved among their equals."""
    for i in range(count):
        to = i + np.int32(moves[i])
        if to < best.size:
            best[to], rowids[to] = sorted_keys[i + FEW], sorted_ids[i + FEW]


@njit
def _select_by_heap(keys: Keys, ids: RowIds, count: int, best: Keys, rowids: RowIds) -> None:
    """Keep the best rows in a max-heap, whose root is the worst of them; then sort it."""
    size = best.size
    for i in range(count):
        key, own = keys[i], ids[i]
        if i < size:
            best[i], rowids[i] = key, own
            if i == size - 1:
                for at in range(size // 2 - 1, -1, -1):
                    _sink(best, rowids, at, size)
        elif key < best[0] or (key == best[0] and own < rowids[0]):
            best[0], rowids[0] = key, own
            _sink(best, rowids, 0, size)
    for last in range(size - 1, 0, -1):
        best[0], best[last] = best[last], best[0]
        rowids[0], rowids[last] = rowids[last], rowids[0]
        _sink(best, rowids, 0, last)


@njit
def _sink(best: Keys, rowids: RowIds, at: int, size: int) -> None:
    """Let a row that may be better than those below it sink in a heap of that size."""
    while 2 * at + 1 < size:
        below = 2 * at + 1
        if below + 1 < size and _is_better(best, rowids, below, below + 1):
            below += 1
        if not _is_better(best, rowids, at, below):
            break
        best[at], best[below] = best[below], best[at]
        rowids[at], rowids[below] = rowids[below], rowids[at]
        at = below


@njit
def _is_better(best: Keys, rowids: RowIds, one: int, other: int) -> bool:
    return best[one] < best[other] or (best[one] == best[other] and rowids[one] < rowids[other])


KEY = ir.IntType(32)
PLACE = ir.IntType(64)
VECTOR = ir.VectorType(KEY, LANES)


def _vector(kind: Any, values: Any) -> Any:
    return ir.Constant(ir.VectorType(kind, len(values)), values)


def _at(context: Any, builder: Any, kind: Any, array: Any, place: Any, of: Any) -> Any:
    """Return where in an array something of another type begins, as a pointer to it."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), of.as_pointer())


def _repeated(builder: Any, value: Any, lanes: int) -> Any:
    """Return a vector whose lanes all hold a value."""
    vector = ir.VectorType(value.type, lanes)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, KEY(0))
    return builder.shuffle_vector(one, one, _vector(KEY, [0] * lanes))


def _part(builder: Any, vector: Any, begin: int, lanes: int) -> Any:
    return builder.shuffle_vector(vector, vector, _vector(KEY, list(range(begin, begin + lanes))))


def _raised(builder: Any, counts: Any, where: Any, step: Any) -> Any:
    """Add a step to some lanes. It is 1, and LLVM may not know: it would add a vector made of the mask."""
    return builder.select(where, builder.add(counts, _repeated(builder, step, FEW)), counts)


def _smaller(builder: Any, one: Any, other: Any) -> Any:
    return builder.select(builder.icmp_unsigned("<", one, other), one, other)


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _order(typingctx: Any, bits: Any, start: Any, size: Any, flip: Any, keys: Any, minima: Any) -> Any:
    """Make keys of bits[start : start + size], and keep the least of each of 32 groups.

    A key is a whole number whose order is IEEE's total order of the float, or its reverse.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start, size, flip = arguments[1:4]
        flips = _repeated(builder, flip, LANES)
        before, loop, done = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.branch(loop)
        builder.position_at_end(loop)
        at, least = builder.phi(PLACE), builder.phi(VECTOR)
        place = builder.add(start, at)
        found = builder.load(_at(context, builder, signature.args[0], arguments[0], place, VECTOR), align=4)
        negative = builder.ashr(found, _vector(KEY, [31] * LANES))
        key = builder.xor(builder.xor(found, flips), builder.or_(negative, _vector(KEY, [1 << 31] * LANES)))
        left = builder.sub(size, at)
        left = builder.select(builder.icmp_signed("<", left, PLACE(LANES)), left, PLACE(LANES))
        lefts = _repeated(builder, builder.trunc(left, KEY), LANES)
        is_row = builder.icmp_unsigned("<", _vector(KEY, list(range(LANES))), lefts)
        key = builder.select(is_row, key, _vector(KEY, [2**32 - 1] * LANES))
        builder.store(key, _at(context, builder, signature.args[4], arguments[4], at, VECTOR), align=4)
        lower = _smaller(builder, key, least)
        following = builder.add(at, PLACE(LANES))
        at.add_incoming(PLACE(0), before)
        at.add_incoming(following, loop)
        least.add_incoming(_vector(KEY, [2**32 - 1] * LANES), before)
        least.add_incoming(lower, loop)
        builder.cbranch(builder.icmp_signed("<", following, size), loop, done)
        builder.position_at_end(done)
        halves = [_part(builder, lower, begin, FEW_GROUPS) for begin in (0, FEW_GROUPS)]
        to = _at(context, builder, signature.args[5], arguments[5], PLACE(0), halves[0].type)
        builder.store(_smaller(builder, *halves), to, align=4)
        return context.get_dummy_value()

    return types.void(bits, types.int64, types.int64, types.uint32, keys, minima), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _kth_of_few(typingctx: Any, minima: Any, k: Any, step: Any) -> Any:
    """Return the k-th smallest of 32 keys: the least of those that at least k are not above."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(KEY, FEW)

        def load(place: int, of: Any) -> Any:
            at = _at(context, builder, signature.args[0], arguments[0], PLACE(place), of)
            return builder.load(at, align=4)

        keys = [load(begin, vector) for begin in range(0, FEW_GROUPS, FEW)]
        counts = [_vector(KEY, [0] * FEW) for _ in keys]
        for other in range(FEW_GROUPS):
            one = _repeated(builder, load(other, KEY), FEW)
            for part, key in enumerate(keys):
                counts[part] = _raised(builder, counts[part], builder.icmp_unsigned("<=", one, key), arguments[2])
        least = _vector(KEY, [2**32 - 1] * FEW)
        for key, count in zip(keys, counts, strict=True):
            enough = builder.icmp_unsigned(">=", count, _repeated(builder, arguments[1], FEW))
            least = builder.select(enough, _smaller(builder, key, least), least)
        kind = ir.FunctionType(KEY, [vector])
        return builder.call(builder.module.declare_intrinsic("llvm.vector.reduce.umin.v16i32", (), kind), [least])

    return types.uint32(minima, types.uint32, types.uint32), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _fill(typingctx: Any, ids: Any, start: Any) -> Any:
    """Make 16 row ids larger than any other."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        worst = _vector(PLACE, [2**64 - 1] * FEW)
        builder.store(worst, _at(context, builder, signature.args[0], *arguments, worst.type), align=8)
        return context.get_dummy_value()

    return types.void(ids, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _rank_few(typingctx: Any, keys: Any, first: Any, count: Any, ids: Any, ranks: Any, step: Any) -> Any:
    """ranks[i] = how many of 16 rows are better than the i-th, by key, then row id, then place.

    Makes the keys behind the first `count` worse than any other.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first, count = arguments[1:3]
        vector = ir.VectorType(KEY, FEW)

        def at(array: int, place: Any, of: Any) -> Any:
            return _at(context, builder, signature.args[array], arguments[array], place, of)

        counts = _repeated(builder, builder.trunc(count, KEY), FEW)
        is_row = builder.icmp_unsigned("<", _vector(KEY, list(range(FEW))), counts)
        key = builder.load(at(0, first, vector), align=4)
        key = builder.select(is_row, key, _vector(KEY, [2**32 - 1] * FEW))
        builder.store(key, at(0, first, vector), align=4)
        own = builder.load(at(3, PLACE(0), ir.VectorType(PLACE, FEW)), align=8)
        rank = _vector(KEY, [0] * FEW)
        for other in range(FEW):
            place = builder.add(first, PLACE(other))
            other_key = _repeated(builder, builder.load(at(0, place, KEY), align=4), FEW)
            other_id = _repeated(builder, builder.load(at(3, PLACE(other), PLACE), align=8), FEW)
            before = _vector(ir.IntType(1), [int(lane > other) for lane in range(FEW)])
            same = builder.and_(builder.icmp_unsigned("==", other_id, own), before)
            better = builder.or_(builder.icmp_unsigned("<", other_id, own), same)
            better = builder.and_(better, builder.icmp_unsigned("==", other_key, key))
            better = builder.or_(better, builder.icmp_unsigned("<", other_key, key))
            rank = _raised(builder, rank, better, arguments[5])
        builder.store(rank, at(4, PLACE(0), vector), align=4)
        return context.get_dummy_value()

    return types.void(keys, types.int64, types.int64, ids, ranks, types.uint32), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _rank(typingctx: Any, keys: Any, start: Any, count: Any, ranks: Any, step: Any) -> Any:
    """ranks[i] = how many of the keys are smaller than the i-th, or equal and before it, for 64 places."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start, count = arguments[1:3]
        vector = ir.VectorType(KEY, FEW)

        def at(array: int, place: Any, of: Any) -> Any:
            return _at(context, builder, signature.args[array], arguments[array], place, of)

        begins = range(0, LANES, FEW)
        places = [builder.add(start, PLACE(begin)) for begin in begins]
        own = [builder.load(at(0, place, vector), align=4) for place in places]

        def counted(place: Any, operator: str, ranks: Any) -> Any:
            one = _repeated(builder, builder.load(at(0, place, KEY), align=4), FEW)
            return [
                _raised(builder, rank, builder.icmp_unsigned(operator, one, key), arguments[4])
                for rank, key in zip(ranks, own, strict=True)
            ]

        def loop(begin: Any, end: Any, operator: str, ranks: Any) -> Any:
            before, body, done = builder.block, builder.append_basic_block(), builder.append_basic_block()
            builder.cbranch(builder.icmp_signed("<", begin, end), body, done)
            builder.position_at_end(body)
            place, *sums = phis = [builder.phi(PLACE), *(builder.phi(vector) for _ in ranks)]
            following = [builder.add(place, PLACE(1)), *counted(place, operator, sums)]
            for phi, first, value in zip(phis, (begin, *ranks), following, strict=True):
                phi.add_incoming(first, before)
                phi.add_incoming(value, body)
            builder.cbranch(builder.icmp_signed("<", following[0], end), body, done)
            builder.position_at_end(done)
            results = []
            for first, value in zip(ranks, following[1:], strict=True):
                result = builder.phi(vector)
                result.add_incoming(first, before)
                result.add_incoming(value, body)
                results.append(result)
            return results

        sums = loop(PLACE(0), start, "<=", [_vector(KEY, [0] * FEW)] * len(begins))
        for other in range(LANES):
            place = builder.add(start, PLACE(other))
            one = _repeated(builder, builder.load(at(0, place, KEY), align=4), FEW)
            for part, begin in enumerate(begins):
                is_before = [int(begin + lane > other) for lane in range(FEW)]
                smaller = builder.icmp_unsigned("<" if not all(is_before) else "<=", one, own[part])
                if any(is_before) and not all(is_before):
                    same = builder.icmp_unsigned("==", one, own[part])
                    smaller = builder.or_(smaller, builder.and_(same, _vector(ir.IntType(1), is_before)))
                sums[part] = _raised(builder, sums[part], smaller, arguments[4])
        sums = loop(builder.add(start, PLACE(LANES)), count, "<", sums)
        for place, total in zip(places, sums, strict=True):
            builder.store(total, at(3, place, vector), align=4)
        return context.get_dummy_value()

    return types.void(keys, types.int64, types.int64, ranks, types.uint32), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _clear(typingctx: Any, numbers: Any, start: Any) -> Any:
    """numbers[start : start + 16] = 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        none = _vector(KEY, [0] * FEW)
        builder.store(none, _at(context, builder, signature.args[0], *arguments, none.type), align=4)
        return context.get_dummy_value()

    return types.void(numbers, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _move(typingctx: Any, keys: Any, ids: Any, start: Any, distance: Any, moves: Any, to: Any) -> Any:
    """Count for 16 rows those of equal keys, so far before and behind, that stand on the wrong side of them.

    Returns a bit for each that has an equal there.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start, distance = arguments[2:4]
        vector, rows = ir.VectorType(KEY, FEW), ir.VectorType(PLACE, FEW)

        def load(place: Any) -> Any:
            key = builder.load(_at(context, builder, signature.args[0], arguments[0], place, vector), align=4)
            return key, builder.load(_at(context, builder, signature.args[1], arguments[1], place, rows), align=8)

        key, own = load(start)
        key_before, before = load(builder.sub(start, distance))
        key_behind, behind = load(builder.add(start, distance))
        at = _at(context, builder, signature.args[4], arguments[4], arguments[5], vector)
        equal_before = builder.icmp_unsigned("==", key, key_before)
        equal_behind = builder.icmp_unsigned("==", key, key_behind)
        forth = builder.and_(equal_behind, builder.icmp_unsigned("<", behind, own))
        back = builder.and_(equal_before, builder.icmp_unsigned(">", before, own))
        move = builder.add(builder.load(at, align=4), builder.zext(forth, vector))
        builder.store(builder.sub(move, builder.zext(back, vector)), at, align=4)
        equal = builder.bitcast(builder.or_(equal_before, equal_behind), ir.IntType(FEW))
        return builder.zext(equal, PLACE)

    return types.uint64(keys, ids, types.int64, types.int64, moves, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _choose(typingctx: Any, keys: Any, start: Any, limit: Any, chosen: Any, places: Any, count: Any) -> Any:
    """Append the keys[start : start + 64] that are not above a limit, and their places; return the new count."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector, count = ir.VectorType(KEY, FEW), arguments[5]
        has_compress = "+avx512f" in context.codegen().magic_tuple()[2].split(",")
        limits = _repeated(builder, arguments[2], FEW)
        first = _repeated(builder, builder.trunc(arguments[1], KEY), FEW)

        def append(array: int, value: Any) -> None:
            to = _at(context, builder, signature.args[array], arguments[array], count, value.type)
            builder.store(value, to, align=4)

        for begin in range(0, LANES, FEW):
            at = builder.add(arguments[1], PLACE(begin))
            key = builder.load(_at(context, builder, signature.args[0], arguments[0], at, vector), align=4)
            place = builder.add(first, _vector(KEY, list(range(begin, begin + FEW))))
            kept = builder.icmp_unsigned("<=", key, limits)
            if has_compress:
                kind = ir.FunctionType(vector, [vector, vector, kept.type])
                for array, values in ((3, key), (4, place)):
                    squeeze = builder.module.declare_intrinsic("llvm.x86.avx512.mask.compress.v16i32", (), kind)
                    append(array, builder.call(squeeze, [values, _vector(KEY, [0] * FEW), kept]))
                number = builder.ctpop(builder.bitcast(kept, ir.IntType(FEW)))
                count = builder.add(count, builder.zext(number, PLACE))
                continue
            for lane in range(FEW):
                append(3, builder.extract_element(key, KEY(lane)))
                append(4, builder.extract_element(place, KEY(lane)))
                count = builder.add(count, builder.zext(builder.extract_element(kept, KEY(lane)), PLACE))
        return count

    return types.int64(keys, types.int64, types.uint32, chosen, places, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _prefetch(typingctx: Any, rowid: Any, start: Any, places: Any, first: Any) -> Any:
    """Ask for the row ids of 16 places."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, KEY, KEY, KEY])
        ask = builder.module.declare_intrinsic("llvm.prefetch.p0", (), kind)
        for i in range(FEW):
            place = builder.add(arguments[3], PLACE(i))
            place = builder.load(_at(context, builder, signature.args[2], arguments[2], place, KEY), align=4)
            place = builder.add(arguments[1], builder.zext(place, PLACE))
            at = _at(context, builder, signature.args[0], arguments[0], place, ir.IntType(8))
            builder.call(ask, [at, KEY(0), KEY(3), KEY(1)])
        return context.get_dummy_value()

    return types.void(rowid, types.int64, places, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _lower(typingctx: Any, minima: Any, group: Any, keys: Any, start: Any) -> Any:
    """minima[group : group + 64] = the smaller of them and of keys[start : start + 64]."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        least = _at(context, builder, signature.args[0], *arguments[:2], VECTOR)
        found = builder.load(_at(context, builder, signature.args[2], *arguments[2:], VECTOR), align=4)
        builder.store(_smaller(builder, builder.load(least, align=4), found), least, align=4)
        return context.get_dummy_value()

    return types.void(minima, types.int64, keys, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _least(typingctx: Any, minima: Any) -> Any:
    """Return the least of 512 keys."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        parts = []
        for begin in range(0, GROUPS, FEW):
            vector = ir.VectorType(KEY, FEW)
            at = _at(context, builder, signature.args[0], arguments[0], PLACE(begin), vector)
            parts.append(builder.load(at, align=4))
        while len(parts) > 1:
            parts = [_smaller(builder, *pair) for pair in zip(parts[::2], parts[1::2], strict=True)]
        kind = ir.FunctionType(KEY, [parts[0].type])
        return builder.call(builder.module.declare_intrinsic("llvm.vector.reduce.umin.v16i32", (), kind), parts)

    return types.uint32(minima), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _differing(typingctx: Any, minima: Any) -> Any:
    """Return the bits in which 512 keys are not all equal to the first."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = builder.load(_at(context, builder, signature.args[0], arguments[0], PLACE(0), KEY), align=4)
        firsts, parts = _repeated(builder, first, FEW), []
        for begin in range(0, GROUPS, FEW):
            at = _at(context, builder, signature.args[0], arguments[0], PLACE(begin), firsts.type)
            parts.append(builder.xor(builder.load(at, align=4), firsts))
        while len(parts) > 1:
            parts = [builder.or_(*pair) for pair in zip(parts[::2], parts[1::2], strict=True)]
        kind = ir.FunctionType(KEY, [parts[0].type])
        return builder.call(builder.module.declare_intrinsic("llvm.vector.reduce.or.v16i32", (), kind), parts)

    return types.uint32(minima), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _number_at_most(typingctx: Any, minima: Any, limit: Any, step: Any) -> Any:
    """Return how many of 512 keys are not above a limit."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        limits = _repeated(builder, arguments[1], FEW)
        counts = [_vector(KEY, [0] * FEW) for _ in range(4)]
        for begin in range(0, GROUPS, FEW):
            at = _at(context, builder, signature.args[0], arguments[0], PLACE(begin), limits.type)
            kept = builder.icmp_unsigned("<=", builder.load(at, align=4), limits)
            part = begin // FEW % 4
            counts[part] = _raised(builder, counts[part], kept, arguments[2])
        total = builder.add(builder.add(*counts[:2]), builder.add(*counts[2:]))
        kind = ir.FunctionType(KEY, [total.type])
        sums = builder.module.declare_intrinsic("llvm.vector.reduce.add.v16i32", (), kind)
        return builder.zext(builder.call(sums, [total]), PLACE)

    return types.int64(minima, types.uint32, types.uint32), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _width(typingctx: Any, bits: Any) -> Any:
    """Return how many bits a number takes: 0 of 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.sub(KEY(32), builder.ctlz(arguments[0], ir.IntType(1)(0))), PLACE)

    return types.uint64(types.uint32), codegen
