"""Top-k of a few posting lists by BM25, with block-max WAND. The file that an agent edits.

A port of what Lance 1.0.0 runs for one query and one partition of an inverted index, bit for bit: `Wand::search`
and what it calls (rust/lance-index/src/scalar/inverted/wand.rs), `Scorer::score` and `idf` (scorer.rs), and the
bounds of `calculate_block_max_scores` (index.rs), all in rust/lance-index/src/scalar/inverted.

Stays: `InvertedIndex(indptr, doc_ids, freqs, doc_lengths)` and `bm25_topk(terms, k)`, with the dtypes, shapes and
order of results that their docstrings give; `_idf`, whose float32 steps are part of the scores.

CAN: keep any layout, bounds, norms and weights that `__init__` derives; visit lists and documents in any order;
change the order of summation; use fastmath, scratch memory, another algorithm, if its result is exact.
CANNOT: keep anything that depends on a call's arguments for a later query; leave out a document that no bound
rules out; round lengths or weights to less than float32; start threads or processes; import anything but numba,
numpy and the mathematics of the standard library.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]
    Places = NDArray[np.int64]
    Cursors = NDArray[np.void]

BLOCK = 128
K1 = np.float32(1.2)
B = np.float32(0.75)
ONE = np.float32(1)
HALF = np.float32(0.5)
NO_DOC = 2**32
"""Greater than every doc id."""

# What runs in the loop of a search has forceinline: a call that is not inlined counts references, 20 to 30 ns.


class Lists(NamedTuple):
    """The posting lists of all terms, and the bounds that Lance stores beside them.

    Term v has the places `indptr[v]` to `indptr[v + 1]` of `doc_ids` and `freqs`, and from `block_indptr[v]` on
    one of `block_maxima` for each 128 of them; `list_maxima` and `idf` have one value for each term.
    """

    indptr: Places
    doc_ids: Ids
    freqs: Ids
    doc_lengths: Ids
    average_length: np.float32
    block_indptr: Places
    block_maxima: Floats
    list_maxima: Floats
    idf: Floats


CURSOR = np.dtype(
    [
        ("term", np.int64),
        ("start", np.int64),
        ("end", np.int64),
        ("at", np.int64),
        ("first_block", np.int64),
        ("block", np.int64),
        ("maximum", np.float32),
        ("idf", np.float32),
    ]
)
"""A cursor in the list of one term.

`start`, `end` and `at` are places in `doc_ids`; `first_block` is the list's first place in `block_maxima`, `block`
the block that the bounds are taken from, counted from there; `maximum` is the bound of the whole list.
"""


class InvertedIndex:
    """One partition: N documents, V terms, nnz postings.

    Parameters
    ----------
    indptr : int64, shape (V + 1,)
        Where each term's postings begin; the last is nnz.
    doc_ids : uint32, shape (nnz,)
        The documents of a term, ascending, below N.
    freqs : uint32, shape (nnz,)
        How often the term is in each, at least 1.
    doc_lengths : uint32, shape (N,)
        The tokens of each document, at least 1.
    """

    def __init__(self, indptr: Places, doc_ids: Ids, freqs: Ids, doc_lengths: Ids) -> None:
        average_length = np.float32(doc_lengths.sum(dtype=np.int64)) / np.float32(max(doc_lengths.size, 1))
        bounds = _bounds(indptr, doc_ids, freqs, doc_lengths, average_length)
        self._lists = Lists(indptr, doc_ids, freqs, doc_lengths, average_length, *bounds)

    def bm25_topk(self, terms: NDArray[np.int32], k: int) -> tuple[Ids, Floats]:
        """Return the k best documents of a query, uint32 (k',), and their scores, float32, descending.

        `terms`, int32 (t,), are different terms of the index; one without postings adds nothing. k' is k, or the
        number of documents that have any of the terms if that is less.
        """
        return _search(self._lists, terms, k)


@njit()
def _bounds(
    indptr: Places, doc_ids: Ids, freqs: Ids, doc_lengths: Ids, average_length: np.float32
) -> tuple[Places, Floats, Floats, Floats]:
    """Return block_indptr, block_maxima, list_maxima and idf."""
    terms = indptr.size - 1
    block_indptr = np.zeros(terms + 1, np.int64)
    for term in range(terms):
        length = indptr[term + 1] - indptr[term]
        block_indptr[term + 1] = block_indptr[term] + (length + BLOCK - 1) // BLOCK
    block_maxima = np.zeros(block_indptr[terms], np.float32)
    list_maxima = np.zeros(terms, np.float32)
    idf = np.zeros(terms, np.float32)
    for term in range(terms):
        start, end = indptr[term], indptr[term + 1]
        if start < end:
            idf[term] = _idf(end - start, doc_lengths.size)
        for block in range(block_indptr[term], block_indptr[term + 1]):
            largest = np.float32(0)
            first = start + (block - block_indptr[term]) * BLOCK
            for at in range(first, min(first + BLOCK, end)):
                freq = np.float32(freqs[at])
                largest = max(largest, freq / (freq + _norm(doc_lengths[doc_ids[at]], average_length)))
            block_maxima[block] = largest * (idf[term] * (K1 + ONE))
            list_maxima[term] = max(list_maxima[term], block_maxima[block])
    return block_indptr, block_maxima, list_maxima, idf


@njit()
def _idf(documents: int, of: int) -> np.float32:
    """Weight of a term that is in some documents of all."""
    n = np.float32(documents)
    return np.float32(math.log((np.float32(of) - n + HALF) / (n + HALF) + ONE))


@njit()
def _norm(length: int, average_length: np.float32) -> np.float32:
    return K1 * (ONE - B + B * np.float32(length) / average_length)


@njit()
def _search(lists: Lists, terms: NDArray[np.int32], k: int) -> tuple[Ids, Floats]:
    docs, freqs, block_maxima, doc_lengths = lists.doc_ids, lists.freqs, lists.block_maxima, lists.doc_lengths
    cursors = _open(lists, terms)
    order = np.arange(cursors.size)  # of the cursors: by their documents, then by the maxima of their lists
    for place in range(order.size - 2, -1, -1):
        _bubble(docs, cursors, order, place)
    size = min(k, (cursors["end"] - cursors["start"]).sum())
    heap = np.empty(size, np.float32)  # a min-heap: heap[0] is the worst of the documents kept
    ids = np.empty(size, np.uint32)
    kept = 0
    threshold = np.float32(0)
    while size > 0:
        pivot, last = _find_pivot(docs, cursors, order, threshold)
        if pivot < 0:
            break
        doc = _doc(docs, cursors, order[pivot])
        if not _blocks_exceed(docs, block_maxima, cursors, order[: last + 1], doc, threshold):
            picked, least = _next_candidate(docs, cursors, order, last)
            if least == NO_DOC:
                break
            _advance(docs, cursors, order, picked, least)
        elif _align(docs, cursors, order, pivot, doc):
            norm = _norm(doc_lengths[doc], lists.average_length)
            score = _score(freqs, cursors, order[: last + 1], norm)
            if kept < size:
                heap[kept], ids[kept] = score, doc
                _rise(heap, ids, kept)
                kept += 1
            elif score > heap[0]:
                heap[0], ids[0] = score, doc
                _sink(heap, ids, size)
            if kept == k:
                threshold = heap[0]
            for place in range(last, -1, -1):
                _advance(docs, cursors, order, place, doc + 1)
    for end in range(kept - 1, 0, -1):
        heap[0], heap[end] = heap[end], heap[0]
        ids[0], ids[end] = ids[end], ids[0]
        _sink(heap, ids, end)
    return ids[:kept].copy(), heap[:kept].copy()


@njit()
def _open(lists: Lists, terms: NDArray[np.int32]) -> Cursors:
    """Return a cursor at the first document of each term that has any."""
    cursors = np.zeros(terms.size, CURSOR)
    opened = 0
    for term in terms:
        start, end = lists.indptr[term], lists.indptr[term + 1]
        if start < end:
            cursor = cursors[opened]
            cursor.term = term
            cursor.start = cursor.at = start
            cursor.end = end
            cursor.first_block = lists.block_indptr[term]
            cursor.maximum = lists.list_maxima[term]
            cursor.idf = lists.idf[term]
            opened += 1
    return cursors[:opened]


@njit(forceinline=True)
def _doc(docs: Ids, cursors: Cursors, cursor: int) -> int:
    """Return the document of a cursor, NO_DOC when its list is exhausted."""
    at = cursors[cursor].at
    return np.int64(docs[at]) if at < cursors[cursor].end else NO_DOC


@njit(forceinline=True)
def _first_doc(docs: Ids, cursors: Cursors, cursor: int, block: int) -> int:
    """Return the first document of a block, NO_DOC behind the last block."""
    at = cursors[cursor].start + block * BLOCK
    return np.int64(docs[at]) if at < cursors[cursor].end else NO_DOC


@njit(forceinline=True)
def _next(docs: Ids, cursors: Cursors, cursor: int, least: int) -> None:
    """Move a cursor, never back, to its first document that is not less than `least`."""
    at, start, end = cursors[cursor].at, cursors[cursor].start, cursors[cursor].end
    block = (at - start) // BLOCK
    while _first_doc(docs, cursors, cursor, block + 1) <= least:
        block += 1
    at = max(at, start + block * BLOCK)
    while at < end and docs[at] < least:
        at += 1
    cursors[cursor].at = at
    cursors[cursor].block = (at - start) // BLOCK


@njit(forceinline=True)
def _find_pivot(docs: Ids, cursors: Cursors, order: Places, threshold: np.float32) -> tuple[int, int]:
    """Return the first place where the maxima reach the threshold, and the last with the same document."""
    pivot = 0
    reached = cursors[order[0]].maximum
    while reached < threshold and pivot + 1 < order.size:
        pivot += 1
        reached += cursors[order[pivot]].maximum
    doc = _doc(docs, cursors, order[pivot])
    if reached < threshold or doc == NO_DOC:
        pivot = -1
    last = pivot
    while last + 1 < order.size and _doc(docs, cursors, order[last + 1]) == doc:
        last += 1
    return pivot, last


@njit(forceinline=True)
def _blocks_exceed(
    docs: Ids, block_maxima: Floats, cursors: Cursors, order: Places, doc: int, threshold: np.float32
) -> bool:
    """Move only the blocks to the document; say whether their maxima together exceed the threshold.

    The stored maxima have the factor K1 + 1 already; Lance multiplies by it again, so its bounds are loose.
    """
    total = np.float32(0)
    for cursor in order:
        block = cursors[cursor].block
        while _first_doc(docs, cursors, cursor, block + 1) <= doc:
            block += 1
        cursors[cursor].block = block
        total += block_maxima[cursors[cursor].first_block + block] * (K1 + ONE)
    return total > threshold


@njit(forceinline=True)
def _next_candidate(docs: Ids, cursors: Cursors, order: Places, last: int) -> tuple[int, int]:
    """Return whose cursor moves on, the one with the largest maximum, and to which document at least."""
    picked, least = last, NO_DOC
    for place in range(last, -1, -1):
        cursor = order[place]
        least = min(least, _first_doc(docs, cursors, cursor, cursors[cursor].block + 1))
        if cursors[cursor].maximum > cursors[order[picked]].maximum:
            picked = place
    for place in range(last + 1, order.size):
        least = min(least, _doc(docs, cursors, order[place]))
    return picked, least


@njit(forceinline=True)
def _align(docs: Ids, cursors: Cursors, order: Places, pivot: int, doc: int) -> bool:
    """Move the cursors up to the pivot to its document; say whether all have it."""
    for place in range(pivot, -1, -1):
        cursor = order[place]
        _advance(docs, cursors, order, place, doc)
        if _doc(docs, cursors, cursor) != doc:
            return False
    return True


@njit(forceinline=True)
def _advance(docs: Ids, cursors: Cursors, order: Places, place: int, least: int) -> None:
    """Move the cursor at a place to a document not less than `least`, and restore the order."""
    _next(docs, cursors, order[place], least)
    _bubble(docs, cursors, order, place)


@njit(forceinline=True)
def _score(freqs: Ids, cursors: Cursors, order: Places, norm: np.float32) -> np.float32:
    """Add up the terms in the order given."""
    score = np.float32(0)
    for cursor in order:
        freq = np.float32(freqs[cursors[cursor].at])
        score += cursors[cursor].idf * ((K1 + ONE) * freq / (freq + norm))
    return score


@njit(forceinline=True)
def _bubble(docs: Ids, cursors: Cursors, order: Places, place: int) -> None:
    """Move the cursor at a place behind those that precede it; an exhausted one to the end."""
    while place + 1 < order.size and _precedes(docs, cursors, order[place + 1], order[place]):
        order[place], order[place + 1] = order[place + 1], order[place]
        place += 1


@njit(forceinline=True)
def _precedes(docs: Ids, cursors: Cursors, one: int, other: int) -> bool:
    doc, other_doc = _doc(docs, cursors, one), _doc(docs, cursors, other)
    if doc != other_doc:
        return doc < other_doc
    if cursors[one].maximum != cursors[other].maximum:
        return cursors[one].maximum < cursors[other].maximum
    return cursors[one].term < cursors[other].term


@njit()
def _rise(heap: Floats, ids: Ids, at: int) -> None:
    while at > 0 and heap[at] < heap[(at - 1) // 2]:
        above = (at - 1) // 2
        heap[at], heap[above] = heap[above], heap[at]
        ids[at], ids[above] = ids[above], ids[at]
        at = above


@njit()
def _sink(heap: Floats, ids: Ids, size: int) -> None:
    """Move the root of the first `size` entries down to where it belongs."""
    at, below = 0, 1
    while below < size:
        if below + 1 < size and heap[below + 1] < heap[below]:
            below += 1
        if heap[at] <= heap[below]:
            return
        heap[at], heap[below] = heap[below], heap[at]
        ids[at], ids[below] = ids[below], ids[at]
        at, below = below, 2 * below + 1
