"""The oracle of fts-maxscore: every document's score, the terms added in the order of the query.

Owns what is right; the comparison itself is in target.py. Plain numpy, one posting list after the other, nothing
left out. Lists are decoded here, by shifts of whole columns, as no kernel does it.

A score is float32 and exact to the last bit: Lance adds the terms in the order of the query whatever order it
searched in, so that no way of searching shows in a score, nor in what is kept of documents that are one float32
apart. The same steps in float64 are within the rounding of a float32 sum: `tests/test_target_fts_maxscore.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]
    Integers = NDArray[np.int64]

K1 = np.float32(1.2)
B = np.float32(0.75)
ONE = np.float32(1)


class InvertedIndex:
    """One partition of N documents; see `kernels.InvertedIndex` for the arguments."""

    def __init__(
        self,
        blocks: Bytes,
        offsets: Integers,
        first_blocks: Integers,
        lengths: Integers,
        weights: Floats,
        _first_docs: Ids,
        _last_docs: Ids,
        _bounds: Floats,
        _list_bounds: Floats,
        doc_lengths: Ids,
        block: int,
    ) -> None:
        self._blocks, self._offsets, self._first_blocks, self._lengths = blocks, offsets, first_blocks, lengths
        self._weights, self._block = weights, block
        mean = np.float32(doc_lengths.sum(dtype=np.int64)) / np.float32(max(doc_lengths.size, 1))
        scored = doc_lengths if block == 128 else quantised(doc_lengths)
        self.norms = K1 * (ONE - B + B * scored.astype(np.float32) / mean)

    def bm25_topk(self, terms: NDArray[np.int32], k: int) -> tuple[Ids, Floats, Ids, Floats]:
        """Score every document that has any of `terms`; a term that is there twice counts twice.

        Returns
        -------
        ids : uint32, shape (k',)
            The best documents, descending by score, then ascending by id; k' is k or the number that match.
        scores : float32, shape (k',)
            Their scores.
        matches : uint32, shape (m,)
            Every document that has any of the terms, ascending.
        exact : float32, shape (m,)
            Their scores.
        """
        every = np.zeros(self.norms.size, np.float32)
        for term in terms:
            docs, freqs = self.postings(term)
            counted = freqs.astype(np.float32)
            every[docs] += self._weights[term] * ((K1 + ONE) * counted / (counted + self.norms[docs]))
        matches = np.flatnonzero(every > 0).astype(np.uint32)
        exact = every[matches]
        best = _largest(exact, k)
        return matches[best], exact[best], matches, exact

    def postings(self, term: int) -> tuple[Ids, Ids]:
        """Decode the documents of a term, ascending, and how often it is in each."""
        first, last = self._first_blocks[term : term + 2]
        whole, left = divmod(int(self._lengths[term]), self._block)
        docs = freqs = np.empty(0, np.uint32)
        if whole:
            docs, freqs = self._whole_blocks(self._offsets[first : first + whole])
        if left:
            numbers = _varints(self._blocks[self._offsets[last - 1] + self._head : self._offsets[last]])
            docs = np.append(docs, np.cumsum(numbers[:left], dtype=np.uint32))
            freqs = np.append(freqs, numbers[left:])
        return docs, freqs

    @property
    def _head(self) -> int:
        """Bytes of the maximum at the beginning of a block."""
        return 4 if self._block == 128 else 0

    def _whole_blocks(self, at: Integers) -> tuple[Ids, Ids]:
        """Decode the blocks that begin at `at`, all of the same number of postings."""
        at = at + self._head
        docs, ends = self._unpack(at + 5, self._blocks[at + 4])
        docs[:, 0] += self._blocks[at[:, None] + np.arange(4)].view("<u4")[:, 0]
        np.cumsum(docs, axis=1, out=docs)
        widths = self._blocks[ends]
        if self._block == 128:
            freqs, _ = self._unpack(ends + 1, widths)
        else:
            freqs, patches = self._unpack(ends + 2, widths)
            self._patch(freqs, widths, patches, self._blocks[ends + 1])
        return docs.ravel(), freqs.ravel()

    def _unpack(self, at: Integers, widths: Bytes) -> tuple[Ids, Integers]:
        """Return rows of numbers of so many bits, which begin at `at`, uint32 (n, block), and where they end.

        Numbers i, i + L, i + 2 L ... of 32 L fill a lane of 32-bit words from the lowest bit; the words of the L
        lanes alternate.
        """
        rows = np.zeros((at.size, 32, self._block // 32), np.uint32)
        for width in np.unique(widths).tolist():
            chosen = np.flatnonzero(widths == width)
            packed = self._blocks[at[chosen, None] + np.arange(width * (self._block // 8))]
            words = np.zeros((chosen.size, width + 1, rows.shape[2]), np.uint64)
            words[:, :width] = packed.view("<u4").reshape(chosen.size, width, -1)
            for number in range(32 * (width > 0)):
                word, shift = divmod(number * width, 32)
                pair = words[:, word] | words[:, word + 1] << np.uint64(32)
                rows[chosen, number] = pair >> np.uint64(shift) & np.uint64(2**width - 1)
        return rows.reshape(-1, self._block), at + widths.astype(np.int64) * (self._block // 8)

    def _patch(self, rows: Ids, widths: Bytes, at: Integers, counts: Bytes) -> None:
        """Add the higher bits of the numbers that are wider than their row: each a place and a varint."""
        data = memoryview(self._blocks)  # whose items are plain numbers
        for number, count in enumerate(counts.tolist()):
            place = int(at[number])
            for _ in range(count):
                end = place + 1
                while data[end] > 127:
                    end += 1
                high = sum((data[each] & 127) << 7 * (each - place - 1) for each in range(place + 1, end + 1))
                rows[number, data[place]] |= high << int(widths[number])
                place = end + 1


def quantised(lengths: Ids) -> Ids:
    """Return the lengths with their four highest bits kept and the others 0."""
    for bits in range(32, 4, -1):
        has_so_many = lengths >= 2 ** (bits - 1)
        lengths = np.where(has_so_many, lengths & ~np.uint32(2 ** (bits - 4) - 1), lengths)
    return lengths


def _varints(data: Bytes) -> Ids:
    """Return the numbers that the bytes hold, seven bits a byte, lowest first, the last byte below 128."""
    starts = np.concatenate(([0], np.flatnonzero(data < 128)[:-1] + 1))
    places = np.arange(data.size) - np.repeat(starts, np.diff(starts, append=data.size))
    parts = (data & 127).astype(np.uint64) << (7 * places).astype(np.uint64)
    return np.add.reduceat(parts, starts).astype(np.uint32)


def _largest(scores: Floats, k: int) -> NDArray[np.intp]:
    candidates = np.arange(scores.size)
    if 0 < k < scores.size:
        candidates = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
    return candidates[np.argsort(-scores[candidates], kind="stable")][:k]
