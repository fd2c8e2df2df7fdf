"""The target fts-bm25: honest rewrites pass its checks on every case, wrong kernels fail where they can be seen.

The stand-in kernels are plain numpy and score list by list, where the port goes document by document.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("fts-bm25")
REFERENCE: Any = BATTERY.target.reference
Array = np.ndarray[Any, Any]
F32 = np.float32


class TermByTerm:
    """float32, every posting scored, terms in the order of the query; equal scores by document."""

    dtype: type[np.floating[Any]] = F32

    def __init__(self, indptr: Array, doc_ids: Array, freqs: Array, doc_lengths: Array) -> None:
        self.indptr, self.doc_ids, self.freqs = indptr, doc_ids, freqs
        lengths = self.lengths(doc_lengths).astype(self.dtype)
        average = self.dtype(doc_lengths.sum(dtype=np.int64) / doc_lengths.size)
        self.norms = self.dtype(1.2) * (self.dtype(0.25) + self.dtype(0.75) * lengths / average)

    def lengths(self, doc_lengths: Array) -> Array:
        return doc_lengths

    def postings(self, term: int) -> tuple[Array, Array]:
        part = slice(*self.indptr[term : term + 2])
        return self.doc_ids[part], self.freqs[part].astype(self.dtype)

    def idf(self, term: int) -> Any:
        return self.dtype(REFERENCE.idf(self.indptr[term + 1] - self.indptr[term], self.norms.size))

    def weights(self, docs: Array, freqs: Array) -> Array:
        weights: Array = self.dtype(2.2) * freqs / (freqs + self.norms[docs])
        return weights

    def scores(self, terms: Array) -> Array:
        total = np.zeros(self.norms.size, self.dtype)
        for term in terms:
            docs, freqs = self.postings(term)
            total[docs] += self.idf(term) * self.weights(docs, freqs)
        return total

    def bm25_topk(self, terms: Array, k: int) -> tuple[Array, Array]:
        scores = self.scores(terms)
        ids = np.argsort(-scores, kind="stable")[: min(k, np.count_nonzero(scores))]
        return ids.astype(np.uint32), scores[ids].astype(F32)


class FrequentFirst(TermByTerm):
    def scores(self, terms: Array) -> Array:
        return super().scores(terms[np.argsort(self.indptr[terms] - self.indptr[terms + 1])])


class InDouble(TermByTerm):
    dtype = np.float64


class WeightsHoisted(TermByTerm):
    """idf * 2.2 once for each term, and 1 - norm / (f + norm)."""

    def idf(self, term: int) -> Any:
        return super().idf(term) * F32(2.2)

    def weights(self, docs: Array, freqs: Array) -> Array:
        weights: Array = F32(1) - self.norms[docs] / (freqs + self.norms[docs])
        return weights


class TiesBackwards(TermByTerm):
    """Equal scores in descending order of their documents."""

    def bm25_topk(self, terms: Array, k: int) -> tuple[Array, Array]:
        scores = self.scores(terms)
        ids = np.lexsort((-np.arange(scores.size), -scores))[: min(k, np.count_nonzero(scores))]
        return ids.astype(np.uint32), scores[ids]


class TailLeftOut(TermByTerm):
    """Whole blocks of 128 only, when there is one."""

    def postings(self, term: int) -> tuple[Array, Array]:
        docs, freqs = super().postings(term)
        whole = docs.size // 128 * 128 or docs.size
        return docs[:whole], freqs[:whole]


class FirstOfBlockLeftOut(TermByTerm):
    """Steps over the first posting of every block but the first."""

    def postings(self, term: int) -> tuple[Array, Array]:
        docs, freqs = super().postings(term)
        kept = (np.arange(docs.size) % 128 > 0) | (np.arange(docs.size) < 128)
        return docs[kept], freqs[kept]


class LastDocumentsNeverSeen(TermByTerm):
    def scores(self, terms: Array) -> Array:
        total = super().scores(terms)
        total[-16:] = 0
        return total


class AllTermsRequired(TermByTerm):
    def scores(self, terms: Array) -> Array:
        counts = np.zeros(self.norms.size, np.int64)
        for term in terms:
            counts[self.postings(term)[0]] += 1
        return np.where(counts == len(terms), super().scores(terms), 0)


class MostFrequentTermIgnored(TermByTerm):
    """A rule for long lists: their weight is small."""

    def scores(self, terms: Array) -> Array:
        by_length = terms[np.argsort(self.indptr[terms + 1] - self.indptr[terms])]
        return super().scores(by_length[: max(len(terms) - 1, 1)])


class LengthsIgnored(TermByTerm):
    def lengths(self, doc_lengths: Array) -> Array:
        return np.full(doc_lengths.size, doc_lengths.mean())


class LengthsInAByte(TermByTerm):
    """Three bits of precision above 40 tokens, as search engines keep them."""

    def lengths(self, doc_lengths: Array) -> Array:
        bits = np.maximum(np.floor(np.log2(doc_lengths)).astype(np.int64) - 3, 0)
        return np.where(doc_lengths < 40, doc_lengths, doc_lengths >> bits << bits)


class CountsIgnored(TermByTerm):
    def postings(self, term: int) -> tuple[Array, Array]:
        docs, freqs = super().postings(term)
        return docs, np.ones_like(freqs)


class WithoutKOnePlusOne(TermByTerm):
    """The formula of Lucene since version 8: the same order, smaller scores."""

    def weights(self, docs: Array, freqs: Array) -> Array:
        return super().weights(docs, freqs) / F32(2.2)


class HalfPrecisionWeights(TermByTerm):
    def weights(self, docs: Array, freqs: Array) -> Array:
        return super().weights(docs, freqs).astype(np.float16).astype(F32)


class LooseBoundTaken(TermByTerm):
    """Drops every block whose maximum is less than half of the best, as a bound that is no bound would."""

    def scores(self, terms: Array) -> Array:
        total = super().scores(terms)
        for start in range(0, total.size, 128):
            block = total[start : start + 128]
            block[:] = np.where(block.max(initial=0) < total.max() * F32(0.7), 0, block)
        return total


class NoSuchMatch(TermByTerm):
    def bm25_topk(self, terms: Array, k: int) -> tuple[Array, Array]:
        ids, scores = super().bm25_topk(terms, k)
        return np.full_like(ids, 2**32 - 1), scores


HONEST = (TermByTerm, FrequentFirst, InDouble, WeightsHoisted, TiesBackwards)
WRONG_EVERYWHERE = (TailLeftOut, LengthsIgnored, WithoutKOnePlusOne, HalfPrecisionWeights, LooseBoundTaken)
RIGHT_FOR_TITLES = (LengthsInAByte, CountsIgnored)
RIGHT_FOR_ONE_TERM = (AllTermsRequired, MostFrequentTermIgnored)
WRONG_FOR_SOME_DOCUMENTS = (FirstOfBlockLeftOut, LastDocumentsNeverSeen)
"""They are found out where a query meets one of these documents: in some timed case of every shape."""

TIMED = tuple(case_id for case_id, case in BATTERY.cases.items() if case.timed)
SHAPES = tuple(dict.fromkeys(case_id.split("-")[0] for case_id in TIMED))


def verify(kernel: type[TermByTerm], case_id: str) -> None:
    BATTERY.verify(SimpleNamespace(InvertedIndex=kernel), case_id)


def is_refused(kernel: type[TermByTerm], case_id: str) -> bool:
    try:
        verify(kernel, case_id)
    except KernelIncorrect:
        return True
    return False


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for kernel in HONEST:
        verify(kernel, case_id)


@pytest.mark.parametrize("case_id", TIMED)
def test_wrong_kernels_fail_on_every_timed_case_where_they_are_wrong(case_id: str) -> None:
    wrong: tuple[type[TermByTerm], ...] = WRONG_EVERYWHERE
    wrong += () if case_id.endswith("titles") else RIGHT_FOR_TITLES
    wrong += () if BATTERY.cases[case_id].shape.terms == 1 else RIGHT_FOR_ONE_TERM
    assert [kernel for kernel in wrong if not is_refused(kernel, case_id)] == []


@pytest.mark.parametrize("shape", SHAPES)
def test_kernels_wrong_for_some_documents_fail_on_every_shape(shape: str) -> None:
    cases = [case_id for case_id in TIMED if case_id.startswith(f"{shape}-")]
    for kernel in WRONG_FOR_SOME_DOCUMENTS:
        assert any(is_refused(kernel, case_id) for case_id in cases), kernel


def test_every_sentence_names_the_query_and_the_value_that_is_wrong() -> None:
    said = {}
    for kernel in (WithoutKOnePlusOne, AllTermsRequired, NoSuchMatch):
        with pytest.raises(KernelIncorrect) as refused:
            verify(kernel, "100000x30000x3x10-few_matches")
        said[kernel] = str(refused.value)
    assert "query 1, by match: scores of the returned ids: " in said[WithoutKOnePlusOne]
    assert "numbers of ids and scores of each query: " in said[AllTermsRequired]
    assert "query 1: document 4294967295 has none of the terms" in said[NoSuchMatch]


def test_the_oracle_computes_a_score_by_hand() -> None:
    """Two documents, of 3 and 1 tokens: a a b, and b. The mean length is 2."""
    parts = ([0, 1, 3], np.int64), ([0, 0, 1], np.uint32), ([2, 1, 1], np.uint32), ([3, 1], np.uint32)
    index = REFERENCE.InvertedIndex(*(np.array(values, dtype) for values, dtype in parts))
    long, short = 1.2 * (0.25 + 0.75 * 3 / 2), 1.2 * (0.25 + 0.75 * 1 / 2)
    a = np.log((2 - 1 + 0.5) / (1 + 0.5) + 1) * 2.2 * 2 / (2 + long)
    b = np.log((2 - 2 + 0.5) / (2 + 0.5) + 1) * 2.2 * 1 / (1 + np.array([long, short]))
    ids, scores, matches, exact, limit = index.bm25_topk(np.array([1, 0], np.int32), 10)
    assert ids.tolist() == [0, 1]
    assert matches.tolist() == [0, 1]
    assert np.allclose(exact, [a + b[0], b[1]], rtol=3e-7, atol=0)
    assert scores.tolist() == exact.astype(F32).tolist()
    assert np.allclose(limit, 32 * 2.0**-24 * exact, rtol=1e-12, atol=0)
    assert index.bm25_topk(np.array([1], np.int32), 1)[0].tolist() == [1]


def test_equal_scores_stand_at_the_last_place_of_identical_lists() -> None:
    """Establishes that ties are where they matter; honest kernels return different ones of them."""
    for shape in SHAPES:
        _, oracle, calls = BATTERY.prepared(f"{shape}-identical_lists")
        sizes, _, _, _, exact, _, matches, _, _ = oracle.expected(calls[0])
        assert np.ptp(exact[: matches[0]]) == 0
        assert sizes[0, 0] < matches[0]
