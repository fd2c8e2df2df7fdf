"""Top-k of a few posting lists by BM25, by bulk MAXSCORE. The file that an agent edits.

A port of what Lance 14.0.2 runs for one OR query and one partition of an inverted index: `Wand::maxscore_search`
and what it calls (wand.rs, wand_maxscore.rs), `bm25_doc_weight_with_norm` (scorer.rs), and the decoding of blocks
(encoding.rs), all in rust/lance-index/src/scalar/inverted.

Stays: `InvertedIndex(...)` and `bm25_topk(terms, k)`, with the dtypes, shapes and order of results that their
docstrings give; and the bits of a score, whose terms are added in the order of the query.

CAN: keep norms, weights, bounds and the like that `__init__` derives; visit lists, blocks and
documents in any order; bound and estimate scores in any way, with fastmath too; use scratch memory, another
algorithm, if its result is exact.
CANNOT: keep decoded lists; keep anything that depends on a call's arguments for a later query; leave out a
document that no bound rules out; start threads or processes; import anything but numba, numpy and the mathematics
of the standard library.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]
    Words = NDArray[np.uint64]
    Places = NDArray[np.int64]
    Clauses = NDArray[np.void]
    Index = tuple[Bytes, Places, Ids, Ids, Floats, Ids, np.float32, Bytes, Floats]
    """Blocks, offsets, first_docs, last_docs, bounds, doc_lengths, mean_length, codes, code_norms."""

    Search = tuple[Clauses, Ids, Ids, Floats, Ids, Floats]
    """Clauses; documents and counts of their blocks; the best scores and documents; terms' scores, (t,)."""

    Sums = tuple[Floats, Ids, Words]
    """Of each document of an inner window a score, the counts of all clauses, and a bit; all 0 between windows."""

    Chunk = tuple[Floats, Ids]
    """Documents of a block: rows 0 and 1 of the floats have what optional clauses add, others are named below."""

inner = partial(njit, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For what Python never calls: it compiles a sixth faster without what Python would call."""

K1 = np.float32(1.2)
B = np.float32(0.75)
ONE = np.float32(1)
SMALL, LARGE = 128, 256
"""Postings of a block, by format."""

START = np.int64(0)
END = np.int64(2**32)
"""Not above, and above every document. Typed: what numba knows as a constant it compiles for once more."""

CEILING = np.nextafter(np.nextafter(K1 + ONE, np.float32(3)), np.float32(3))
"""What `_doc_weight` never exceeds."""

WINDOW = 4096
"""Documents of an inner window."""

CANDIDATES = 32
"""A window is to have so many candidates for each clause, in the mean, or the next ones are larger."""

STEPS, GROUP = 8, 32
"""Blocks that a search steps over one by one, and those that it then passes at once."""

MERGED = 2
"""So many optional clauses at most are merged; in more, documents are looked up."""

EPSILON = 2.0**-23
ESSENTIAL, SCORE, NORM = 2, 3, 4
DOC, FREQ = 0, 1
"""Rows of a chunk: what the essential clause adds, the score so far, the norm; the document, a count."""

CLAUSE = np.dtype(
    [
        ("rank", np.int64),
        ("weight", np.float32),
        ("first", np.int64),
        ("blocks", np.int64),
        ("length", np.int64),
        ("at", np.int64),
        ("block", np.int64),
        ("doc", np.int64),
        ("decoded", np.int64),
        ("bound", np.float32),
        ("prefix", np.float64),
    ]
)
"""A term of the query and where the search is in its list.

`rank` is its place in the query. The list has `length` postings in `blocks` blocks from `first` on, of which block
`decoded` is decoded. `at` is the posting whose document is `doc`, or END; `block` is the
block that bounds are taken from. `bound` limits what the term adds in the present window, `prefix` what it adds
together with the clauses before it.
"""

# What runs for each posting has forceinline: a call that is not inlined counts references, 20 to 30 ns.


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
        last_docs: Ids,
        bounds: Floats,
        list_bounds: Floats,  # noqa: ARG002
        doc_lengths: Ids,
        block: int,
    ) -> None:
        mean_length = np.float32(doc_lengths.sum(dtype=np.int64)) / np.float32(max(doc_lengths.size, 1))
        codes, code_norms = np.empty(0, np.uint8), np.empty(0, np.float32)
        if block == LARGE:
            codes = _codes(doc_lengths)
            code_norms = K1 * (ONE - B + B * _lengths_of_codes().astype(np.float32) / mean_length)
        self._index = (blocks, offsets, first_docs, last_docs, bounds, doc_lengths, mean_length, codes, code_norms)
        self._first_blocks, self._lengths, self._weights = first_blocks, lengths, weights
        self._shift = block.bit_length() - 1

    def bm25_topk(self, terms: NDArray[np.int32], k: int) -> tuple[Ids, Floats]:
        """Return the k best documents of a query, uint32 (k',), and their scores, float32, descending.

        `terms`, int32 (t,), are terms of the index; one without postings adds nothing, one that is there twice
        adds twice. k' is k, or the number of documents that have any of the terms if that is less. A score is the
        float32 sum from 0 of `weight * doc_weight`, in the order of the query.
        """
        clauses = np.zeros(terms.size, CLAUSE)
        clauses = clauses[: _open(clauses, self._first_blocks, self._lengths, self._weights, terms)]
        number, size = clauses.size, min(k, int(clauses["length"].sum()))
        scores, ids = np.zeros(size, np.float32), np.empty(size, np.uint32)
        if size > 0:
            block = 1 << self._shift
            docs, freqs = np.empty((number, block), np.uint32), np.empty((number, block), np.uint32)
            search = clauses, docs, freqs, scores, ids, np.empty(number, np.float32)
            sums = (
                np.zeros(WINDOW, np.float32),
                np.zeros((WINDOW, number), np.uint32),
                np.zeros(WINDOW // 64, np.uint64),
            )
            chunk = np.empty((5, block), np.float32), np.empty((2, block), np.uint32)
            _search(self._index, search, sums, chunk, np.arange(number), self._shift)
            _sort(scores, ids)
        found = np.count_nonzero(scores)
        return ids[:found], scores[:found]


def _codes(lengths: Ids) -> Bytes:
    """Return lengths as bytes: 8 times their bits less three, and the three bits after the highest."""
    bits = np.frexp(lengths)[1]
    dropped = np.maximum(bits - 4, 0)
    return np.where(bits < 4, lengths, lengths >> dropped & 7 | dropped + 1 << 3).astype(np.uint8)


def _lengths_of_codes() -> Places:
    """Return the length of each code of a uint32, and 0 for those that are of none."""
    codes = np.arange(256)
    shifts = np.maximum((codes >> 3) - 1, 0)
    return np.where(codes < 8, codes, np.where(shifts < 29, (codes & 7 | 8) << shifts, 0))


@njit
def _open(
    clauses: Clauses, first_blocks: Places, lengths: Places, weights: Floats, terms: NDArray[np.int32]
) -> int:
    """Make a clause for each term that has postings, in the order of the query; return how many there are."""
    opened = 0
    for term in terms:
        if lengths[term] > 0:
            clause = clauses[opened]
            clause.rank = opened
            clause.weight = weights[term]
            clause.first = first_blocks[term]
            clause.blocks = first_blocks[term + 1] - first_blocks[term]
            clause.length = lengths[term]
            clause.decoded = -1
            opened += 1
    return opened


@njit
def _search(index: Index, search: Search, sums: Sums, chunk: Chunk, order: Places, shift: int) -> None:
    """Go through windows of documents; in each, only clauses that can exceed the threshold bring candidates.

    The best scores, 0 at first, are a min-heap. A score of 0 is a free place.
    """
    blocks, offsets, first_docs, last_docs, bounds, _, _, codes, _ = index
    clauses, docs, freqs, scores, _, _ = search
    start = END
    for clause in range(clauses.size):
        _settle(blocks, offsets, clauses, docs, freqs, clause, START, shift)
        start = min(start, clauses[clause].doc)
    essential, windows, candidates, least = 0, 0, 0, 1
    while start < END:
        order = _live(clauses, order)
        if order.size == 0:
            break
        stop = END
        for place in range(order.size):
            each = clauses[order[place]]
            each.block = _block_of(first_docs, each.first, each.blocks, each.block, max(each.doc, start))
            if place >= min(essential, order.size - 1):
                stop = min(stop, _last_doc(first_docs, clauses, order[place]))
        if order.size > 1:
            least = min(2 * least, WINDOW) if candidates < windows * CANDIDATES * order.size else 1
            stop = max(stop, start + least - 1)
        for clause in order:
            clauses[clause].bound = _bound(first_docs, last_docs, bounds, codes, clauses, clause, stop)
        essential = _partition(clauses, order, scores[0])
        windows += 1
        if essential + 1 < order.size:
            candidates += _accumulate(index, search, sums, order, essential, start, stop, shift)
        elif essential + 1 == order.size:
            candidates += _follow(index, search, chunk, order, start, stop, shift)
        start = min(stop + 1, END)
        if essential == order.size == 1 and start < END:
            start = _next_promising(first_docs, bounds, clauses, order[0], start, scores[0])


@inner()
def _live(clauses: Clauses, order: Places) -> Places:
    """Leave out the clauses whose lists are exhausted."""
    live = 0
    for clause in order:
        if clauses[clause].doc < END:
            order[live] = clause
            live += 1
    return order[:live]


@inner()
def _partition(clauses: Clauses, order: Places, threshold: np.float32) -> int:
    """Sort the clauses by their bounds; return how many of them together cannot exceed the threshold.

    Without a threshold all are essential, in the order of the query.
    """
    if threshold <= 0:
        return 0
    for end in range(1, order.size):
        clause, place = order[end], end
        while place > 0 and clauses[clause].bound < clauses[order[place - 1]].bound:
            order[place] = order[place - 1]
            place -= 1
        order[place] = clause
    prefix = 0.0
    for place in range(order.size):
        longer = prefix + np.float64(clauses[order[place]].bound)
        if longer * _widening(place + 1) > threshold:
            return place
        prefix = longer
        clauses[order[place]].prefix = prefix
    return order.size


@inner(forceinline=True)
def _widening(number: int) -> float:
    """Return by how much a float32 sum of so many numbers may exceed their exact sum, in any order."""
    return 1.0 if number <= 2 else 1.0 + 2.0 * (number - 1) * EPSILON


@inner(forceinline=True)
def _cannot_exceed(partial: np.float32, rest: float, threshold: np.float32, clauses: int) -> bool:
    return threshold > 0 and (np.float64(partial) + rest) * _widening(clauses) <= threshold


@inner()
def _bound(
    first_docs: Ids, last_docs: Ids, bounds: Floats, codes: Bytes, clauses: Clauses, clause: int, stop: int
) -> np.float32:
    """Return what a clause adds at most to a document from its block on to `stop`.

    Beyond the block Lance takes what no document exceeds where lengths are quantised, though it has the bounds.
    """
    each = clauses[clause]
    block = each.first + each.block
    if each.doc > stop:
        return np.float32(0)
    if stop > last_docs[block] and codes.size > 0:
        return each.weight * CEILING
    largest = bounds[block]
    while block + 1 < each.first + each.blocks and first_docs[block + 1] <= stop:
        block += 1
        largest = max(largest, bounds[block])
    return each.weight * largest


@inner()
def _next_promising(
    first_docs: Ids, bounds: Floats, clauses: Clauses, clause: int, start: int, threshold: np.float32
) -> int:
    """Return where, from `start` on, the next block is that can exceed the threshold."""
    each = clauses[clause]
    block = _block_of(first_docs, each.first, each.blocks, each.block, start)
    while block < each.blocks and each.weight * bounds[each.first + block] <= threshold:
        block += 1
    return max(start, np.int64(first_docs[each.first + block])) if block < each.blocks else END


@inner()
def _accumulate(
    index: Index, search: Search, sums: Sums, order: Places, essential: int, start: int, stop: int, shift: int
) -> int:
    """Add up the essential clauses of inner windows, then complete what can exceed the threshold; return how
    many."""
    _, _, _, _, _, doc_lengths, mean_length, codes, code_norms = index
    clauses, _, _, best, ids, by_rank = search
    window_scores, counts, words = sums
    in_order = True
    for place in range(1, order.size):
        in_order &= clauses[order[place - 1]].rank < clauses[order[place]].rank
    rest = clauses[order[essential - 1]].prefix if essential > 0 else 0.0
    total = 0
    while True:
        first = END
        for place in range(essential, order.size):
            first = min(first, clauses[order[place]].doc)
        start = max(start, first)
        if start > stop or start == END:
            return total
        last = min(stop, start + WINDOW - 1)
        for place in range(essential, order.size):
            _collect(index, search, sums, order[place], place, start, last, shift)
        for number in range(words.size):
            word = words[number]
            words[number] = 0
            while word != 0:
                slot = number * 64 + _lowest_bit(word)
                word &= word - np.uint64(1)
                total += 1
                doc = start + slot
                score = window_scores[slot]
                window_scores[slot] = 0
                if not _cannot_exceed(score, rest, best[0], clauses.size):
                    norm = _norm(doc_lengths, mean_length, codes, code_norms, doc)
                    by_rank[:] = 0
                    if _look_up_all(index, search, order, essential, doc, score, norm, shift) == 0:
                        if essential > 0 or not in_order:
                            for place in range(essential, order.size):
                                each = clauses[order[place]]
                                by_rank[each.rank] = each.weight * _doc_weight(counts[slot, place], norm)
                            score = _sum(by_rank)
                        _offer(best, ids, score, doc)
                counts[slot] = 0
        if last >= stop:
            return total
        start = last + 1


@inner()
def _collect(
    index: Index, search: Search, sums: Sums, clause: int, column: int, start: int, last: int, shift: int
) -> None:
    """Add a clause's documents from `start` to `last` to the sums."""
    blocks, offsets, first_docs, _, _, doc_lengths, mean_length, codes, code_norms = index
    clauses, docs, freqs, _, _, _ = search
    scores, counts, words = sums
    each = clauses[clause]
    weight = each.weight
    if each.doc < start:
        _next(blocks, offsets, first_docs, clauses, docs, freqs, clause, start, shift)
    while each.doc <= last:
        at, stop = each.at, min(each.length, ((each.at >> shift) + 1) << shift)
        offset = at & ((1 << shift) - 1)
        while at < stop and docs[clause, offset] <= last:
            doc, freq = np.int64(docs[clause, offset]), freqs[clause, offset]
            slot = doc - start
            scores[slot] += weight * _doc_weight(freq, _norm(doc_lengths, mean_length, codes, code_norms, doc))
            counts[slot, column] = freq
            words[slot >> 6] |= np.uint64(1) << np.uint64(slot & 63)
            at += 1
            offset += 1
        _settle(blocks, offsets, clauses, docs, freqs, clause, at, shift)


@inner()
def _follow(index: Index, search: Search, chunk: Chunk, order: Places, start: int, stop: int, shift: int) -> int:
    """Take the one essential clause, the last, by blocks; return how many documents were looked at.

    What can exceed the threshold is completed: with one or two optional clauses by merging them, where blocks that
    cannot exceed it are passed over too, and with more by looking each document up.
    """
    blocks, offsets, first_docs, _, bounds, doc_lengths, mean_length, codes, code_norms = index
    clauses, docs, freqs, best, _, _ = search
    floats, whole = chunk
    clause, optional = order[-1], order.size - 1
    each = clauses[clause]
    rest = clauses[order[optional - 1]].prefix if optional > 0 else 0.0
    total = 0
    if each.doc < start:
        _next(blocks, offsets, first_docs, clauses, docs, freqs, clause, start, shift)
    while each.doc <= min(stop, END - 1):
        at, end = each.at, ((each.at >> shift) + 1) << shift
        bound = each.weight * bounds[each.first + (at >> shift)]
        if optional <= MERGED and _cannot_exceed(bound, rest, best[0], clauses.size):
            if stop < _last_doc(first_docs, clauses, clause):
                _next(blocks, offsets, first_docs, clauses, docs, freqs, clause, stop + 1, shift)
            else:
                _settle(blocks, offsets, clauses, docs, freqs, clause, end, shift)
            continue
        end = min(end, each.length)
        offset = at & ((1 << shift) - 1)
        found = 0
        while at < end and docs[clause, offset] <= stop:
            doc = np.int64(docs[clause, offset])
            norm = _norm(doc_lengths, mean_length, codes, code_norms, doc)
            score = each.weight * _doc_weight(freqs[clause, offset], norm)
            if not _cannot_exceed(score, rest, best[0], clauses.size):
                whole[DOC, found] = doc
                floats[NORM, found], floats[SCORE, found], floats[ESSENTIAL, found] = norm, score, score
                found += 1
            total += 1
            at += 1
            offset += 1
        _settle(blocks, offsets, clauses, docs, freqs, clause, at, shift)
        _finish(index, search, chunk, order, found, shift)
    return total


@inner()
def _finish(index: Index, search: Search, chunk: Chunk, order: Places, found: int, shift: int) -> None:
    """Complete the scores of the `found` documents of a chunk and offer them."""
    clauses, _, _, best, ids, by_rank = search
    floats, whole = chunk
    optional = order.size - 1
    if optional <= MERGED:
        found = _complete(index, search, chunk, order, found, shift)
    for place in range(found):
        doc = np.int64(whole[DOC, place])
        by_rank[:] = 0
        by_rank[clauses[order[optional]].rank] = floats[ESSENTIAL, place]
        left = 0
        if optional > MERGED:
            score, norm = floats[SCORE, place], floats[NORM, place]
            left = _look_up_all(index, search, order, optional, doc, score, norm, shift)
        else:
            for number in range(optional):
                by_rank[clauses[order[number]].rank] = floats[number, place]
        if left == 0:
            _offer(best, ids, _sum(by_rank), doc)


@inner()
def _complete(index: Index, search: Search, chunk: Chunk, order: Places, found: int, shift: int) -> int:
    """Add the optional clauses to the `found` documents of a chunk, the largest bound first; return how many are
    left.

    They move to the front. Where the essential clause, up to its bound, cannot exceed the threshold without the
    optional one of the largest bound, documents without that one are dropped.
    """
    clauses, _, _, best, _, _ = search
    floats, whole = chunk
    optional = order.size - 1
    bound = clauses[order[optional]].bound
    without_best = clauses[order[0]].prefix if optional == 2 else 0.0
    required = bound > 0 and _cannot_exceed(bound, without_best, best[0], clauses.size)
    for number in range(optional - 1, -1, -1):
        each = clauses[order[number]]
        if number < optional - 1:
            kept = START
            for place in range(found):
                if not _cannot_exceed(floats[SCORE, place], each.prefix, best[0], clauses.size):
                    _keep(floats, whole, place, kept)
                    kept += 1
            found, required = kept, False
        _merge(index, search, order[number], whole[DOC, :found], whole[FREQ], shift)
        kept = START
        for place in range(found):
            if whole[FREQ, place] > 0 or not required:
                _keep(floats, whole, place, kept)
                added = each.weight * _doc_weight(whole[FREQ, place], floats[NORM, kept])
                floats[number, kept] = added
                floats[SCORE, kept] += added
                kept += 1
        found = kept
    return found


@inner(forceinline=True)
def _keep(floats: Floats, whole: Ids, place: int, to: int) -> None:
    whole[DOC, to] = whole[DOC, place]
    for row in range(len(floats)):
        floats[row, to] = floats[row, place]


@inner()
def _merge(index: Index, search: Search, clause: int, wanted: Ids, found: Ids, shift: int) -> None:
    """Look up how often a term is in each of the documents `wanted`, which ascend; 0 where it is not."""
    blocks, offsets, first_docs, _, _, _, _, _, _ = index
    clauses, docs, freqs, _, _, _ = search
    each = clauses[clause]
    found[: wanted.size] = 0
    place = 0
    while place < wanted.size:
        doc = np.int64(wanted[place])
        if each.doc < doc:
            _next(blocks, offsets, first_docs, clauses, docs, freqs, clause, doc, shift)
        while place < wanted.size and wanted[place] < each.doc:
            place += 1
        if place < wanted.size and wanted[place] == each.doc:
            at, end = each.at, min(each.length, ((each.at >> shift) + 1) << shift)
            offset = at & ((1 << shift) - 1)
            while place < wanted.size and at < end:
                doc, other = docs[clause, offset], wanted[place]
                if doc == other:
                    found[place] = freqs[clause, offset]
                if doc <= other:
                    at += 1
                    offset += 1
                if doc >= other:
                    place += 1
            _settle(blocks, offsets, clauses, docs, freqs, clause, at, shift)


@inner(forceinline=True)
def _look_up_all(
    index: Index,
    search: Search,
    order: Places,
    left: int,
    doc: int,
    score: np.float32,
    norm: np.float32,
    shift: int,
) -> int:
    """Look a document up in the first `left` clauses, the last of them first, until it cannot exceed the
    threshold.

    What they add goes to `by_rank`. Returns how many are left: none, if the document may exceed it.
    """
    blocks, offsets, first_docs, _, _, _, _, _, _ = index
    clauses, docs, freqs, best, _, by_rank = search
    while left > 0 and not _cannot_exceed(score, clauses[order[left - 1]].prefix, best[0], clauses.size):
        left -= 1
        each = clauses[order[left]]
        if each.doc < doc:
            _next(blocks, offsets, first_docs, clauses, docs, freqs, order[left], doc, shift)
        if each.doc == doc:
            added = each.weight * _doc_weight(freqs[order[left], each.at & ((1 << shift) - 1)], norm)
            by_rank[each.rank] = added
            score += added
    return left


@inner()
def _next(
    blocks: Bytes,
    offsets: Places,
    first_docs: Ids,
    clauses: Clauses,
    docs: Ids,
    freqs: Ids,
    clause: int,
    least: int,
    shift: int,
) -> None:
    """Move a clause to its first document that is not less than `least`."""
    each = clauses[clause]
    block = _block_of(first_docs, each.first, each.blocks, each.at >> shift, least)
    at = max(each.at, block << shift)
    if each.decoded != block:
        _settle(blocks, offsets, clauses, docs, freqs, clause, at, shift)
    count = min(1 << shift, each.length - (block << shift))
    low, high = at & ((1 << shift) - 1), count
    while low < high:
        middle = (low + high) >> 1
        if docs[clause, middle] < least:
            low = middle + 1
        else:
            high = middle
    if low < count:
        each.at, each.block, each.doc = (block << shift) + low, block, docs[clause, low]
    else:
        _settle(blocks, offsets, clauses, docs, freqs, clause, (block + 1) << shift, shift)


@inner()
def _settle(
    blocks: Bytes, offsets: Places, clauses: Clauses, docs: Ids, freqs: Ids, clause: int, at: int, shift: int
) -> None:
    """Put a clause at a posting, or at the end."""
    each = clauses[clause]
    each.at = at
    each.block = at >> shift
    each.doc = END
    if at < each.length:
        if each.decoded != each.block:
            _decode(blocks, offsets, clauses, docs, freqs, clause, shift)
        each.doc = docs[clause, at & ((1 << shift) - 1)]


@inner(forceinline=True)
def _block_of(first_docs: Ids, first: int, blocks: int, block: int, least: int) -> int:
    """Return the last block, from `block` on, whose first document is not above `least`."""
    for _ in range(STEPS):
        if block + 1 >= blocks or first_docs[first + block + 1] > least:
            return block
        block += 1
    while block + GROUP < blocks and first_docs[first + block + GROUP] <= least:
        block += GROUP
    low, high = block + 1, min(block + GROUP, blocks)
    while low < high:
        middle = (low + high) >> 1
        if first_docs[first + middle] <= least:
            low = middle + 1
        else:
            high = middle
    return low - 1


@inner(forceinline=True)
def _last_doc(first_docs: Ids, clauses: Clauses, clause: int) -> int:
    """Return the last document before a clause's next block."""
    each = clauses[clause]
    following = each.block + 1
    return np.int64(first_docs[each.first + following]) - 1 if following < each.blocks else END


@inner(forceinline=True)
def _norm(doc_lengths: Ids, mean_length: np.float32, codes: Bytes, code_norms: Floats, doc: int) -> np.float32:
    """Return what a score adds to a count in its denominator: by a table where lengths are quantised."""
    if codes.size > 0:
        return code_norms[codes[doc]]
    return K1 * (ONE - B + B * np.float32(doc_lengths[doc]) / mean_length)


@inner(forceinline=True)
def _doc_weight(freq: int, norm: np.float32) -> np.float32:
    count = np.float32(freq)
    return (K1 + ONE) * count / (count + norm)


@inner(forceinline=True)
def _sum(by_rank: Floats) -> np.float32:
    """Add up what the terms add, in the order of the query."""
    score = np.float32(0)
    for added in by_rank:
        score += added
    return score


@inner(forceinline=True)
def _lowest_bit(word: np.uint64) -> int:
    """Return the number of the lowest bit that is set."""
    number = 0
    for shift in (32, 16, 8, 4, 2, 1):
        if word & np.uint64((1 << shift) - 1) == 0:
            word >>= np.uint64(shift)
            number += shift
    return number


@inner(forceinline=True)
def _offer(scores: Floats, ids: Ids, score: np.float32, doc: int) -> None:
    """Let a document take the place of the worst one, if it is strictly better."""
    if score > scores[0]:
        scores[0], ids[0] = score, doc
        _sink(scores, ids, scores.size)


@njit
def _sort(scores: Floats, ids: Ids) -> None:
    """Sort what was found by score, descending."""
    for end in range(scores.size - 1, 0, -1):
        scores[0], scores[end] = scores[end], scores[0]
        ids[0], ids[end] = ids[end], ids[0]
        _sink(scores, ids, end)


@inner()
def _sink(scores: Floats, ids: Ids, size: int) -> None:
    """Move the root of the first `size` entries down to where it belongs."""
    at, below = 0, 1
    while below < size:
        if below + 1 < size and scores[below + 1] < scores[below]:
            below += 1
        if scores[at] <= scores[below]:
            return
        scores[at], scores[below] = scores[below], scores[at]
        ids[at], ids[below] = ids[below], ids[at]
        at, below = below, 2 * below + 1


@inner()
def _decode(
    blocks: Bytes, offsets: Places, clauses: Clauses, docs: Ids, freqs: Ids, clause: int, shift: int
) -> None:
    """Decode the block in which a clause is."""
    each = clauses[clause]
    each.decoded = each.block
    start = offsets[each.first + each.block] + _head(1 << shift)
    count = each.length - (each.block << shift)
    if count < 1 << shift:
        _decode_rest(blocks, start, docs[clause, :count], freqs[clause, :count])
        return
    at = _unpack(blocks, start + 5, blocks[start + 4], docs[clause])
    _add_up(docs[clause], _word(blocks, start))
    if shift == 7:
        _unpack(blocks, at + 1, blocks[at], freqs[clause])
    else:
        patches = _unpack(blocks, at + 2, blocks[at], freqs[clause])
        _patch(blocks, patches, blocks[at + 1], blocks[at], freqs[clause])


@inner(forceinline=True)
def _head(size: int) -> int:
    """Return the bytes of the maximum that a block begins with."""
    return 4 if size == SMALL else 0


@inner()
def _decode_rest(blocks: Bytes, at: int, docs: Ids, freqs: Ids) -> None:
    doc = np.uint32(0)
    for i in range(docs.size):
        difference, at = _varint(blocks, at)
        doc += difference
        docs[i] = doc
    for i in range(freqs.size):
        freqs[i], at = _varint(blocks, at)


@inner()
def _add_up(docs: Ids, doc: np.uint32) -> None:
    for i in range(docs.size):
        doc += docs[i]
        docs[i] = doc


@inner()
def _unpack(blocks: Bytes, start: int, width: int, out: Ids) -> int:
    """Unpack numbers of `width` bits that begin at `start`; return where they end."""
    end = start + out.size // 8 * np.int64(width)
    words = np.frombuffer(blocks[start:end], np.uint32)
    mask = np.uint32((np.int64(1) << width) - 1)
    if width == 0:
        out[:] = 0
    elif out.size == SMALL:
        _unpack_lanes(words, np.int64(width), mask, out, 4)
    else:
        _unpack_lanes(words, np.int64(width), mask, out, 8)
    return end


@inner(forceinline=True)
def _unpack_lanes(words: Ids, width: int, mask: np.uint32, out: Ids, lanes: int) -> None:
    for row in range(32):
        word = row * width // 32 * lanes
        shift = row * width % 32
        if shift + width <= 32:
            for lane in range(lanes):
                out[row * lanes + lane] = words[word + lane] >> np.uint32(shift) & mask
        else:
            for lane in range(lanes):
                low = words[word + lane] >> np.uint32(shift)
                out[row * lanes + lane] = (low | words[word + lanes + lane] << np.uint32(32 - shift)) & mask


@inner()
def _patch(blocks: Bytes, at: int, patches: int, width: int, freqs: Ids) -> None:
    """Add the higher bits of the counts that have more than `width`."""
    for _ in range(patches):
        place = blocks[at]
        high, at = _varint(blocks, at + 1)
        freqs[place] |= high << np.uint32(width)


@inner(forceinline=True)
def _varint(blocks: Bytes, at: int) -> tuple[np.uint32, int]:
    """Return the number that begins at `at`, and where it ends."""
    number, shift = np.uint32(0), np.uint32(0)
    while blocks[at] > 127:
        number |= np.uint32(blocks[at] & 127) << shift
        shift += np.uint32(7)
        at += 1
    return np.uint32(number | np.uint32(blocks[at]) << shift), at + 1


@inner(forceinline=True)
def _word(blocks: Bytes, at: int) -> np.uint32:
    """Return the 4 bytes at `at` as a number."""
    low = np.uint32(blocks[at]) | np.uint32(blocks[at + 1]) << np.uint32(8)
    return np.uint32(low | np.uint32(blocks[at + 2]) << np.uint32(16) | np.uint32(blocks[at + 3]) << np.uint32(24))
