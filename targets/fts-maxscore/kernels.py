"""Top-k of a few posting lists by BM25: all lists, added up in the order of the query. What an agent edits.

What makes it fast: a posting costs so little that all are added up. Blocks are decoded and scored by vectors, 16
postings at a time: packed numbers with shifts, documents with the sums of a vector in four steps, norms from a
table of all documents. A block is decoded when a window of documents comes to it, and its scores are added to a
float for each document of the window. Lists come in the order of the query, so that these sums are the scores, bit
for bit, and nothing is scored again. Sums are compared with the threshold and cleared 64 at a time; where a query
has few postings, only the sums that were added to are looked at. What is above the threshold is listed without
order; when the list is full, the k-th best is found by halves of its bits, with vectors that count, and is the new
threshold. A query of one list leaves out blocks whose bounds are not above it. The k best are sorted by the bytes
of their bits.

In Rust: `_mm512_shrdv_epi32` of two neighbouring words (or shifts of 4 and 8 lanes), `_mm512_add_epi32` with
`_mm512_alignr_epi32` for the sums of differences, `_mm512_div_ps` for scores, `_mm512_cmp_ps_mask` and
`trailing_zeros` for what is above the threshold, `_mm_movemask_epi8` and `_mm512_cvtepu8_epi32` for counts of one
byte. None is needed: LLVM makes of the vectors here what a processor has. The sums are a thread's own scratch
memory. Lance 14.0.2 runs bulk MAXSCORE instead: `Wand::maxscore_search` (wand.rs), wand_maxscore.rs, scorer.rs and
encoding.rs, all in rust/lance-index/src/scalar/inverted; `benchmarks/ports/fts-maxscore/kernels.py` is a port.

Stays: `InvertedIndex(...)` and `bm25_topk(terms, k)`, with the dtypes, shapes and order of results that their
docstrings give; and the bits of a score, whose terms are added in the order of the query.

CAN: keep norms, weights, bounds and the like that `__init__` derives; visit lists, blocks and
documents in any order; bound and estimate scores in any way, with fastmath too; use scratch memory, another
algorithm, if its result is exact.
CANNOT: keep decoded lists; keep anything that depends on a call's arguments for a later query; leave out a
document that no bound rules out; start threads or processes; import anything but numba, llvmlite.ir, numpy and the
mathematics of the standard library.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]
    Places = NDArray[np.int64]
    Clauses = NDArray[np.int64]

outer = partial(njit, error_model="numpy")
"""Without exceptions for a division by 0, which never comes: LLVM has vectors for the others only."""

inner = partial(njit, error_model="numpy", forceinline=True)
"""For what runs for each block or posting: a call that is not inlined counts the references of its arrays."""

K1 = np.float32(1.2)
B = np.float32(0.75)
ONE = np.float32(1)
NOTHING = np.float32(0)
SMALL, LARGE = 128, 256
"""Postings of a block, by format."""

LANES = 16
"""Numbers of a vector."""

AT_ONCE = 64
"""Scores that are compared with the threshold at once."""

WINDOW = 16384
"""Documents whose sums are kept at a time."""

SPARSE = 32
"""Where a query has fewer postings than a document of so many, the sums that have any are listed."""

END = np.uint32(2**32 - 1)
"""Above every document."""

INFINITY_BITS = np.uint32(0x7F800000)
"""Above the bits of every score."""

TERM, BLOCK, LIST_END, PLACE, COUNT = 0, 1, 2, 3, 4
"""Columns of a clause, which is a term of the query and where the search is in its list.

Its block to be decoded next, the end of its blocks, and where in the block decoded last, of so many postings, the
next document is.
"""


class InvertedIndex:
    """One partition: N documents, V terms.

    Parameters
    ----------
    blocks, offsets : uint8 (bytes,), int64 (B + 1,)
        B blocks of `block` postings; block b is blocks[offsets[b]:offsets[b + 1]]. All numbers are little endian.
        A whole block of 128: what its terms add to a score at most, float32; first document, uint32; a byte W; 16
        W bytes of differences; a byte X; 16 X bytes of counts. A whole block of 256: first document, uint32; a
        byte W; 32 W bytes of differences; a byte X; a byte P; 32 X bytes of the lowest X bits of the counts; P
        patches, each a place, one byte, and the higher bits of the count there, a varint. The last block of a list
        may be shorter: the float32 (in blocks of 128), the differences as varints, the first a document, and the
        counts as varints. The k-th difference is from document k - 1 to k; that of the first is 0 where blocks are
        whole. Of packed numbers i, i + L, i + 2 L ... fill lane i % L from the lowest bit, L being 4 or 8; a lane
        has W words of 32 bits, word k of lane l is the (L k + l)-th. A varint has seven bits a byte, the lowest
        first, the eighth bit set in all bytes but the last.
    first_blocks, lengths : int64, shapes (V + 1,) and (V,)
        The list of term v has the blocks first_blocks[v] to first_blocks[v + 1] - 1 and lengths[v] postings, maybe
        none; documents ascend, counts are 1 or more.
    weights : float32, shape (V,)
        What each term counts, its idf.
    first_docs, last_docs : uint32, shape (B,)
        The first and the last document of each block.
    bounds, list_bounds : float32, shapes (B,) and (V,)
        The most that `doc_weight` is in each block and each list.
    doc_lengths : uint32, shape (N,)
        The tokens of each document, at least 1. In an index of blocks of 256 scores have them with their four
        highest bits kept and the others 0. The mean length is that of the exact ones in both.
    block : int
        128 or 256.
    """

    def __init__(
        self,
        blocks: Bytes,
        offsets: Places,
        first_blocks: Places,
        lengths: Places,
        weights: Floats,
        first_docs: Ids,
        last_docs: Ids,  # noqa: ARG002
        bounds: Floats,
        list_bounds: Floats,  # noqa: ARG002
        doc_lengths: Ids,
        block: int,
    ) -> None:
        mean_length = np.float32(doc_lengths.sum(dtype=np.int64)) / np.float32(max(doc_lengths.size, 1))
        norms = _norms(doc_lengths, mean_length, block == LARGE)
        self._lists = blocks, offsets, first_blocks, lengths, weights, first_docs, bounds, norms
        self._sums = np.zeros(WINDOW, np.float32)
        self._size = block

    def bm25_topk(self, terms: NDArray[np.int32], k: int) -> tuple[Ids, Floats]:
        """Return the k best documents of a query, uint32 (k',), and their scores, float32, descending.

        `terms`, int32 (t,), are terms of the index; one without postings adds nothing, one that is there twice
        adds twice. k' is k, or the number of documents that have any of the terms if that is less. A score is the
        float32 sum from 0 of `weight * doc_weight`, in the order of the query.
        """
        return _top_k(*self._lists, self._sums, terms, k, self._size)


@outer()
def _norms(doc_lengths: Ids, mean_length: np.float32, is_quantised: bool) -> Floats:
    """Return what a score adds to a count in its denominator, for each document."""
    norms = np.empty(doc_lengths.size, np.float32)
    for doc in range(doc_lengths.size):
        length = doc_lengths[doc]
        if is_quantised:
            length &= ~(_ones_of(length) >> np.uint32(4))
        norms[doc] = K1 * (ONE - B + B * np.float32(length) / mean_length)
    return norms


@inner()
def _ones_of(number: np.uint32) -> np.uint32:
    """Return as many ones as the number has bits."""
    ones = number | number >> np.uint32(1)
    ones |= ones >> np.uint32(2)
    ones |= ones >> np.uint32(4)
    ones |= ones >> np.uint32(8)
    return np.uint32(ones | ones >> np.uint32(16))


@outer()
def _top_k(
    blocks: Bytes,
    offsets: Places,
    first_blocks: Places,
    lengths: Places,
    weights: Floats,
    first_docs: Ids,
    bounds: Floats,
    norms: Floats,
    sums: Floats,
    terms: NDArray[np.int32],
    k: int,
    size: int,
) -> tuple[Ids, Floats]:
    """Return what `bm25_topk` does; `sums`, of WINDOW documents, are 0 before and after; `size` is of blocks.

    The best so far are listed without order, at most twice k and a few more.
    """
    clauses, postings = _open(first_blocks, lengths, terms)
    k = min(k, postings)
    if k == 0:
        return np.empty(0, np.uint32), np.empty(0, np.float32)
    docs = np.empty((len(clauses), size + LANES), np.uint32)
    scores = np.empty((len(clauses), size + LANES), np.float32)
    counts = np.empty(size + LANES, np.uint32)
    most = 2 * k + AT_ONCE
    best, ids = np.empty(most + AT_ONCE, np.float32), np.empty(most + AT_ONCE, np.uint32)
    if len(clauses) == 1:
        found = _follow(
            blocks, offsets, lengths, weights, bounds, norms, clauses, docs, scores, counts, best, ids, k, most
        )
    else:
        slots = np.empty(postings if postings * SPARSE < norms.size else 0, np.uint32)
        found = _add_up(
            blocks,
            offsets,
            lengths,
            weights,
            first_docs,
            norms,
            clauses,
            docs,
            scores,
            counts,
            sums,
            slots,
            best,
            ids,
            k,
            most,
        )
    if found > k:
        found, _ = _prune(best, ids, found, k)
    return _sorted(best[:found], ids[:found])


@outer()
def _open(first_blocks: Places, lengths: Places, terms: NDArray[np.int32]) -> tuple[Clauses, int]:
    """Make a clause for each term that has postings, in the order of the query; how many postings there are."""
    clauses = np.zeros((terms.size, 5), np.int64)
    number, postings = 0, 0
    for term in terms:
        if lengths[term] > 0:
            clauses[number, TERM] = term
            clauses[number, BLOCK], clauses[number, LIST_END] = first_blocks[term], first_blocks[term + 1]
            number += 1
            postings += lengths[term]
    return clauses[:number], postings


@outer()
def _follow(
    blocks: Bytes,
    offsets: Places,
    lengths: Places,
    weights: Floats,
    bounds: Floats,
    norms: Floats,
    clauses: Clauses,
    docs: Ids,
    scores: Floats,
    counts: Ids,
    best: Floats,
    ids: Ids,
    k: int,
    most: int,
) -> int:
    """Go through the only list, without the blocks that cannot exceed the threshold; return how many are found."""
    weight, found, threshold = weights[clauses[0, TERM]], 0, NOTHING
    for block in range(clauses[0, BLOCK], clauses[0, LIST_END]):
        if weight * bounds[block] > threshold:
            clauses[0, BLOCK] = block
            _load(blocks, offsets, lengths, weights, norms, clauses, docs, scores, counts, 0)
            for start in range(0, clauses[0, COUNT], AT_ONCE):
                before, found = found, _list_above(scores[0], start, threshold, best, ids, found)
                for i in range(before, found):
                    ids[i] = docs[0, ids[i]]
                if found >= most:
                    found, threshold = _prune(best, ids, found, k)
    return found


@outer()
def _add_up(  # noqa: PLR0912 - in parts it was slower: arrays that are handed on are counted each time
    blocks: Bytes,
    offsets: Places,
    lengths: Places,
    weights: Floats,
    first_docs: Ids,
    norms: Floats,
    clauses: Clauses,
    docs: Ids,
    scores: Floats,
    counts: Ids,
    sums: Floats,
    slots: Ids,
    best: Floats,
    ids: Ids,
    k: int,
    most: int,
) -> int:
    """Go through windows of documents, each list of a window after the other; return how many are found.

    Where there is room in `slots`, the sums that were added to are listed there.
    """
    is_sparse = slots.size > 0
    found, threshold, following = 0, NOTHING, np.int64(END)
    for clause in range(len(clauses)):
        following = min(following, np.int64(first_docs[clauses[clause, BLOCK]]))
    while following < END:
        start, following, listed = following, np.int64(END), 0
        last = min(start + WINDOW, np.int64(END)) - 1
        for clause in range(len(clauses)):
            at, end = clauses[clause, PLACE], clauses[clause, COUNT]
            while True:
                if at == end:
                    block = clauses[clause, BLOCK]
                    if block == clauses[clause, LIST_END]:
                        break
                    if first_docs[block] > last:
                        following = min(following, np.int64(first_docs[block]))
                        break
                    _load(blocks, offsets, lengths, weights, norms, clauses, docs, scores, counts, clause)
                    at, end = 0, clauses[clause, COUNT]
                stop = end
                if docs[clause, end - 1] > last:
                    stop = at
                    while docs[clause, stop] <= last:
                        stop += 1
                if is_sparse:
                    for i in range(at, stop):
                        slot = np.int64(docs[clause, i]) - start
                        sums[slot] += scores[clause, i]
                        slots[listed] = slot
                        listed += 1
                else:
                    for i in range(at, stop):
                        sums[np.int64(docs[clause, i]) - start] += scores[clause, i]
                at = stop
                if at < end:
                    following = min(following, np.int64(docs[clause, at]))
                    break
            clauses[clause, PLACE] = at
        if is_sparse:
            found, threshold = _take_listed(sums, slots, listed, start, threshold, best, ids, found, k, most)
        else:
            found, threshold = _take_all(sums, start, last, threshold, best, ids, found, k, most)
    return found


@inner()
def _take_listed(
    sums: Floats,
    slots: Ids,
    listed: int,
    start: int,
    threshold: np.float32,
    best: Floats,
    ids: Ids,
    found: int,
    k: int,
    most: int,
) -> tuple[int, np.float32]:
    """List the documents whose sums are listed and above the threshold, and make these sums 0."""
    for i in range(listed):
        slot = slots[i]
        if sums[slot] > threshold:
            best[found], ids[found] = sums[slot], start + slot
            found += 1
            if found >= most:
                found, threshold = _prune(best, ids, found, k)
        sums[slot] = 0
    return found, threshold


@inner()
def _take_all(
    sums: Floats,
    start: int,
    last: int,
    threshold: np.float32,
    best: Floats,
    ids: Ids,
    found: int,
    k: int,
    most: int,
) -> tuple[int, np.float32]:
    """List all documents of a window whose sums are above the threshold, and make all sums 0."""
    for slot in range(0, last - start + 1, AT_ONCE):
        before, found = found, _list_above(sums, slot, threshold, best, ids, found)
        _clear(sums, slot)
        for i in range(before, found):
            ids[i] += np.uint32(start)
        if found >= most:
            found, threshold = _prune(best, ids, found, k)
    return found, threshold


@inner()
def _list_above(values: Floats, start: int, threshold: np.float32, best: Floats, ids: Ids, found: int) -> int:
    """List which of the next values are above the threshold, and where they are; return how many are found."""
    above = _above(values, start, threshold)
    while above != 0:
        place = start + np.int64(_trailing_zeros(above))
        above &= above - np.uint64(1)
        best[found], ids[found] = values[place], place
        found += 1
    return found


@inner()
def _load(
    blocks: Bytes,
    offsets: Places,
    lengths: Places,
    weights: Floats,
    norms: Floats,
    clauses: Clauses,
    docs: Ids,
    scores: Floats,
    counts: Ids,
    clause: int,
) -> None:
    """Decode and score a clause's next block; scores of 0 follow."""
    size = counts.size - LANES
    term, block = clauses[clause, TERM], clauses[clause, BLOCK]
    count = min(size, lengths[term] - (lengths[term] - 1) // size * size)
    if block + 1 < clauses[clause, LIST_END]:
        count = np.int64(size)
    at = offsets[block] + _head(size)
    if count < size:
        at = _decode_rest(blocks, at, count, docs[clause])
        _decode_counts(blocks, at, count, counts)
    elif size == SMALL:
        _decode_small(blocks, at, docs[clause], counts)
    else:
        _decode_large(blocks, at, docs[clause], counts)
    weight = weights[term]
    for i in range(count):
        scores[clause, i] = norms[docs[clause, i]]
    for i in range(count):
        often = np.float32(counts[i])
        scores[clause, i] = weight * ((K1 + ONE) * often / (often + scores[clause, i]))
    scores[clause, count:] = 0
    clauses[clause, BLOCK], clauses[clause, PLACE], clauses[clause, COUNT] = block + 1, 0, count


@inner()
def _decode_small(blocks: Bytes, at: int, docs: Ids, counts: Ids) -> None:
    """Decode a whole block of 128 from behind its maximum on."""
    doc, width, at = _four(blocks, at), np.int64(blocks[at + 4]), at + 5
    for vector in range(SMALL // LANES):
        doc = _sum_4(blocks, at, width, vector, doc, docs)
    at += width * (SMALL // 8)
    width = np.int64(blocks[at])
    for vector in range(SMALL // LANES):
        _unpack_4(blocks, at + 1, width, vector, counts)


@inner()
def _decode_large(blocks: Bytes, at: int, docs: Ids, counts: Ids) -> None:
    """Decode a whole block of 256; patches have the higher bits of counts that are wider than the others."""
    doc, width, at = _four(blocks, at), np.int64(blocks[at + 4]), at + 5
    for vector in range(LARGE // LANES):
        doc = _sum_8(blocks, at, width, vector, doc, docs)
    at += width * (LARGE // 8)
    width, patches, at = np.int64(blocks[at]), np.int64(blocks[at + 1]), at + 2
    for vector in range(LARGE // LANES):
        _unpack_8(blocks, at, width, vector, counts)
    at += width * (LARGE // 8)
    for _ in range(patches):
        place = blocks[at]
        high, at = _varint(blocks, at + 1)
        counts[place] |= high << np.uint32(width)


@inner()
def _head(size: int) -> int:
    """Return the bytes of the maximum that a block begins with."""
    return 4 if size == SMALL else 0


@outer()
def _decode_rest(blocks: Bytes, at: int, count: int, docs: Ids) -> int:
    """Decode the documents of a shorter block, varints from `at` on; return where they end."""
    doc = np.uint32(0)
    for i in range(count):
        difference, at = _varint(blocks, at)
        doc += difference
        docs[i] = doc
    return at


@outer()
def _decode_counts(blocks: Bytes, at: int, count: int, counts: Ids) -> None:
    """Decode the counts of a shorter block, varints from `at` on, of which most are one byte."""
    done = np.int64(0)
    while done < count:
        if at + LANES <= blocks.size:
            short = min(np.int64(_leading_short(blocks, at)), count - done)
            _widen_bytes(blocks, at, counts, done)
            done, at = done + short, at + short
        if done < count:
            counts[done], at = _varint(blocks, at)
            done += 1


@inner()
def _varint(blocks: Bytes, at: int) -> tuple[np.uint32, int]:
    """Return the number that begins at `at`, and where it ends; of four bytes at once, where it has no more."""
    if at + 4 <= blocks.size:
        four = _four(blocks, at)
        ends = ~four & np.uint32(0x80808080)
        if ends != 0:
            four &= ends ^ (ends - np.uint32(1))
            number = (four & np.uint32(0x7F)) | (four >> np.uint32(1) & np.uint32(0x3F80))
            number |= (four >> np.uint32(2) & np.uint32(0x1FC000)) | (four >> np.uint32(3) & np.uint32(0xFE00000))
            return np.uint32(number), at + (np.int64(_trailing_zeros(ends)) + 1 >> 3)
    number, shift = np.uint32(0), np.uint32(0)
    while blocks[at] > 127:
        number |= np.uint32(blocks[at] & 127) << shift
        shift += np.uint32(7)
        at += 1
    return np.uint32(number | np.uint32(blocks[at]) << shift), at + 1


@outer()
def _prune(best: Floats, ids: Ids, found: int, k: int) -> tuple[int, np.float32]:
    """Keep the k best of more; return k and the least of them, the new threshold.

    Scores are positive, so that their bits have the same order.
    """
    bits = best.view(np.uint32)
    low, high = np.uint32(0), INFINITY_BITS
    while low + np.uint32(1) < high:  # k or more are not below low, and fewer not below high
        middle = (low + high) >> np.uint32(1)
        above = np.uint32(0)
        for i in range(found):
            above += np.uint32(bits[i] >= middle)
        if above >= k:
            low = np.uint32(middle)
        else:
            high = np.uint32(middle)
    equal, kept = k, 0
    for i in range(found):
        equal -= bits[i] > low
    for i in range(found):
        is_equal = bits[i] == low
        best[kept], ids[kept] = best[i], ids[i]
        kept += (bits[i] > low) | (is_equal & (equal > 0))
        equal -= is_equal
    return k, np.uint32(low).view(np.float32)


@outer()
def _sorted(best: Floats, ids: Ids) -> tuple[Ids, Floats]:
    """Sort by score, descending: by each byte of the bits, whose complements ascend."""
    keys, docs = ~best.view(np.uint32), ids.copy()
    other_keys, other_docs = np.empty_like(keys), np.empty_like(docs)
    starts = np.empty(256, np.int64)
    for shift in range(0, 32, 8):
        starts[:] = 0
        for key in keys:
            starts[key >> np.uint32(shift) & np.uint32(255)] += 1
        total = 0
        for digit in range(starts.size):
            total, starts[digit] = total + starts[digit], total
        for i in range(keys.size):
            digit = keys[i] >> np.uint32(shift) & np.uint32(255)
            other_keys[starts[digit]], other_docs[starts[digit]] = keys[i], docs[i]
            starts[digit] += 1
        keys, other_keys = other_keys, keys
        docs, other_docs = other_docs, docs
    return docs, (~keys).view(np.float32)


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


def _stored_sums(context: Any, builder: Any, vector: Any, last: Any, kind: Any, docs: Any, place: Any) -> Any:
    """Store the sums of a vector and what was before it; the last of them."""
    sums = builder.add(_summed(builder, vector), _repeated(builder, last))
    builder.store(sums, _pointer(context, builder, kind, docs, place, VECTOR), align=4)
    return builder.extract_element(sums, NUMBER(LANES - 1))


def _numbers(
    context: Any, builder: Any, kind: Any, lanes: int, data: Any, packed: Any, width: Any, vector: Any
) -> Any:
    """The vector-th 16 numbers of packed rows of so many lanes and of `width` bits, from `packed` on."""
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


def _summing(lanes: int) -> Any:
    """Return what decodes 16 documents of packed rows of so many lanes."""

    @intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
    def summed(typingctx: Any, blocks: Any, packed: Any, width: Any, vector: Any, last: Any, docs: Any) -> Any:
        """Write docs[16 * vector : 16 * (vector + 1)], and return the last of them."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data, packed, width, vector, last, docs = arguments
            numbers = _numbers(context, builder, signature.args[0], lanes, data, packed, width, vector)
            place = builder.mul(vector, vector.type(LANES))
            return _stored_sums(context, builder, numbers, last, signature.args[5], docs, place)

        return types.uint32(blocks, types.int64, types.int64, types.int64, types.uint32, docs), codegen

    return summed


def _unpacking(lanes: int) -> Any:
    """Return what unpacks 16 numbers of packed rows of so many lanes."""

    @intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
    def unpacked(typingctx: Any, blocks: Any, packed: Any, width: Any, vector: Any, out: Any) -> Any:
        """Write out[16 * vector : 16 * (vector + 1)]."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data, packed, width, vector, out = arguments
            numbers = _numbers(context, builder, signature.args[0], lanes, data, packed, width, vector)
            place = builder.mul(vector, vector.type(LANES))
            builder.store(numbers, _pointer(context, builder, signature.args[4], out, place, VECTOR), align=4)
            return context.get_dummy_value()

        return types.void(blocks, types.int64, types.int64, types.int64, out), codegen

    return unpacked


def _joined(builder: Any, parts: Any) -> Any:
    """Vectors of equal size, one behind the other."""
    while len(parts) > 1:
        lanes = ir.Constant(ir.VectorType(NUMBER, 2 * parts[0].type.count), list(range(2 * parts[0].type.count)))
        parts = [builder.shuffle_vector(*parts[i : i + 2], lanes) for i in range(0, len(parts), 2)]
    return parts[0]


_sum_4, _sum_8 = _summing(4), _summing(8)
_unpack_4, _unpack_8 = _unpacking(4), _unpacking(8)


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
def _four(typingctx: Any, blocks: Any, at: Any) -> Any:
    """Return the 4 bytes from `at` on as a number."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *arguments, NUMBER), align=1)

    return types.uint32(blocks, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _trailing_zeros(typingctx: Any, number: Any) -> Any:
    """Return how many bits are 0 below the lowest that is set."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return number(number), codegen


SCORES = ir.VectorType(ir.FloatType(), AT_ONCE)


@intrinsic  # type: ignore[untyped-decorator]
def _above(typingctx: Any, values: Any, start: Any, threshold: Any) -> Any:
    """Return which of the 64 values from `start` on are above the threshold, as bits."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = builder.load(_pointer(context, builder, signature.args[0], *arguments[:2], SCORES), align=4)
        is_above = builder.fcmp_ordered(">", found, _repeated(builder, arguments[2], AT_ONCE))
        return builder.bitcast(is_above, ir.IntType(AT_ONCE))

    return types.uint64(values, types.int64, types.float32), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _clear(typingctx: Any, values: Any, start: Any) -> Any:
    """Make the 64 values from `start` on 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to = _pointer(context, builder, signature.args[0], *arguments, SCORES)
        builder.store(ir.Constant(SCORES, [0.0] * AT_ONCE), to, align=4)
        return context.get_dummy_value()

    return types.void(values, types.int64), codegen
