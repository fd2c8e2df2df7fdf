"""The target fts-maxscore: honest rewrites pass on every case, wrong kernels fail where they can be seen.

The stand-in kernels are plain numpy. Most score list by list; `Windows` prunes as MAXSCORE does, and its variants
are the traps of that.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("fts-maxscore")
REFERENCE: Any = BATTERY.target.reference
Array = np.ndarray[Any, Any]
F32 = np.float32


class TermByTerm(REFERENCE.InvertedIndex):  # type: ignore[misc]
    """Every posting scored, terms in the order of the query; equal scores by document."""

    def __init__(self, *parts: Any) -> None:
        *lists, doc_lengths, block = parts
        super().__init__(*lists, self.lengths(doc_lengths), self.format(block))
        self._block = block

    def lengths(self, doc_lengths: Array) -> Array:
        return doc_lengths

    def format(self, block: int) -> int:
        return block

    def order(self, terms: Array) -> Array:
        return terms

    def weights(self, term: int, docs: Array, freqs: Array) -> Array:
        counted = freqs.astype(F32)
        weights: Array = self._weights[term] * (F32(2.2) * counted / (counted + self.norms[docs]))
        return weights

    def scores(self, terms: Array) -> Array:
        total = np.zeros(self.norms.size, F32)
        for term in self.order(terms):
            docs, freqs = self.postings(term)
            total[docs] += self.weights(term, docs, freqs)
        return total

    def bm25_topk(self, terms: Array, k: int) -> tuple[Array, Array]:
        scores = self.scores(terms)
        ids = np.argsort(-scores, kind="stable")[: min(k, np.count_nonzero(scores))]
        return ids.astype(np.uint32), scores[ids]


class TiesBackwards(TermByTerm):
    """Equal scores in descending order of their documents."""

    def bm25_topk(self, terms: Array, k: int) -> tuple[Array, Array]:
        scores = self.scores(terms)
        ids = np.lexsort((-np.arange(scores.size), -scores))[: min(k, np.count_nonzero(scores))]
        return ids.astype(np.uint32), scores[ids]


class Windows(TermByTerm):
    """In each window terms whose bounds together cannot exceed the threshold bring no candidates."""

    size = 4096

    def prefix(self, bounds: Array) -> Array:
        """What the first terms add together at most, one, two and so on of them."""
        return np.cumsum(bounds.astype(np.float64)) * (1 + 2 * np.arange(bounds.size) * 2.0**-23)

    def survive(self, essential: Array, rest: Any, threshold: Any) -> Array:
        """Which documents may exceed the threshold, by what essential terms add, and the others at most."""
        survive: Array = (essential > 0) & ((essential + np.float64(rest)) * (1 + 1e-5) > threshold)
        return survive

    def last(self, stop: int) -> int:
        """Where a window ends."""
        return stop

    def scores(self, terms: Array) -> Array:
        lists = [self.postings(term) for term in terms]
        added = [self.weights(term, *each) for term, each in zip(terms, lists, strict=True)]
        bounds = np.array([each.max(initial=0) for each in added], F32)
        ascending = np.argsort(bounds, kind="stable")
        prefix = self.prefix(bounds[ascending])
        kept = np.zeros(self.norms.size, F32)
        best = np.zeros(self.k, F32)
        for start in range(0, kept.size, self.size):
            stop = self.last(min(start + self.size, kept.size))
            threshold = best.min(initial=np.inf)
            optional = int(np.count_nonzero(prefix <= threshold)) if threshold > 0 else 0
            every, essential = np.zeros(stop - start, F32), np.zeros(stop - start, F32)
            for number, ((docs, _), more) in enumerate(zip(lists, added, strict=True)):
                part = slice(*np.searchsorted(docs, (start, stop)))
                every[docs[part] - start] += more[part]
                if number in ascending[optional:]:
                    essential[docs[part] - start] += more[part]
            survive = self.survive(essential, prefix[optional - 1] if optional else 0.0, threshold)
            kept[start:stop] = np.where(survive, every, 0)
            best = np.sort(np.append(best, kept[start:stop]))[-self.k :]
        return kept

    def bm25_topk(self, terms: Array, k: int) -> tuple[Array, Array]:
        self.k = k
        return super().bm25_topk(terms, k)


class EssentialScoreAlone(Windows):
    """Drops documents whose essential score alone does not exceed the threshold."""

    def survive(self, essential: Array, rest: Any, threshold: Any) -> Array:  # noqa: ARG002
        survive: Array = essential > threshold
        return survive


class BoundsInFloat32(Windows):
    """Sums the bounds as scores are summed, from the least on."""

    def prefix(self, bounds: Array) -> Array:
        return np.cumsum(bounds)


class BoundsNotWidened(Windows):
    """Takes the exact sum of bounds for one that no float32 sum exceeds."""

    def prefix(self, bounds: Array) -> Array:
        return np.cumsum(bounds.astype(np.float64))


class LastOfWindowLeftOut(Windows):
    def last(self, stop: int) -> int:
        return stop - 1


class LeastFirst(TermByTerm):
    """Adds up the terms from the least weight on, as the clauses are sorted."""

    def order(self, terms: Array) -> Array:
        return terms[np.argsort(self._weights[terms], kind="stable")]


class RepeatedWordOnce(TermByTerm):
    def order(self, terms: Array) -> Array:
        return np.array(list(dict.fromkeys(terms.tolist())), np.int32)


class LengthsQuantised(TermByTerm):
    """In blocks of 128 too; the mean is that of the exact ones."""

    def format(self, _block: int) -> int:
        return 256


class LengthsExact(TermByTerm):
    """In blocks of 256 too."""

    def format(self, _block: int) -> int:
        return 128


class TailLeftOut(TermByTerm):
    """Whole blocks only, when there is one."""

    def postings(self, term: int) -> tuple[Array, Array]:
        docs, freqs = super().postings(term)
        whole = docs.size // self._block * self._block or docs.size
        return docs[:whole], freqs[:whole]


class TailCountsOfOneByte(TermByTerm):
    """Takes a varint for a byte, in the counts of the remainder."""

    def postings(self, term: int) -> tuple[Array, Array]:
        docs, freqs = super().postings(term)
        rest = docs.size // self._block * self._block
        return docs, np.append(freqs[:rest], np.where(freqs[rest:] > 127, freqs[rest:] & 127 | 128, freqs[rest:]))


class PatchesForgotten(TermByTerm):
    """Leaves out the higher bits of counts in blocks of 256."""

    def _patch(self, *_: Any) -> None:
        """Do nothing."""


class FirstOfBlockLeftOut(TermByTerm):
    """Steps over the first posting of every block but the first."""

    def postings(self, term: int) -> tuple[Array, Array]:
        docs, freqs = super().postings(term)
        kept = (np.arange(docs.size) % self._block > 0) | (np.arange(docs.size) < self._block)
        return docs[kept], freqs[kept]


class LastOfBlockLeftOut(TermByTerm):
    """Ends a window one document before the block does."""

    def postings(self, term: int) -> tuple[Array, Array]:
        docs, freqs = super().postings(term)
        kept = np.arange(docs.size) % self._block < self._block - 1
        return docs[kept], freqs[kept]


class LastDocumentsNeverSeen(TermByTerm):
    def scores(self, terms: Array) -> Array:
        total: Array = super().scores(terms)
        total[-16:] = 0
        return total


class AllTermsRequired(TermByTerm):
    def scores(self, terms: Array) -> Array:
        counts = np.zeros(self.norms.size, np.int64)
        for term in terms:
            counts[self.postings(term)[0]] += 1
        return np.where(counts == len(terms), super().scores(terms), 0)


class CountsIgnored(TermByTerm):
    def postings(self, term: int) -> tuple[Array, Array]:
        docs, freqs = super().postings(term)
        return docs, np.ones_like(freqs)


class WithoutKOnePlusOne(TermByTerm):
    """The formula of Lucene since version 8: the same order, smaller scores."""

    def weights(self, term: int, docs: Array, freqs: Array) -> Array:
        return super().weights(term, docs, freqs) / F32(2.2)


class WeightsHoisted(TermByTerm):
    """weight * 2.2 once for each term: a float32 away here and there, which no bound may be for a score."""

    def weights(self, term: int, docs: Array, freqs: Array) -> Array:
        counted = freqs.astype(F32)
        weights: Array = self._weights[term] * F32(2.2) * counted / (counted + self.norms[docs])
        return weights


class NoSuchMatch(TermByTerm):
    def bm25_topk(self, terms: Array, k: int) -> tuple[Array, Array]:
        ids, scores = super().bm25_topk(terms, k)
        return np.full_like(ids, 2**32 - 1), scores


HONEST = (TiesBackwards, Windows)
WRONG: dict[type[TermByTerm], Callable[[Any], bool]] = {
    WithoutKOnePlusOne: lambda _: True,
    TailLeftOut: lambda _: True,
    WeightsHoisted: lambda _: True,
    CountsIgnored: lambda case: case.distribution != "titles",
    AllTermsRequired: lambda case: case.shape.terms > 1,
    LeastFirst: lambda case: case.shape.terms > 3,
    EssentialScoreAlone: lambda case: 3 < case.shape.terms < 50,
    LengthsQuantised: lambda case: case.shape.block == 128 and case.distribution != "titles",
    LengthsExact: lambda case: case.shape.block == 256 and case.distribution != "titles",
}
"""Kernels that fail on every timed case but those where they are right."""

TRAPS: dict[type[TermByTerm], tuple[str, Callable[[Any], bool]]] = {
    RepeatedWordOnce: ("repeated_words", lambda _: True),
    BoundsInFloat32: ("one_ulp", lambda shape: shape.terms > 3),
    BoundsNotWidened: ("one_ulp", lambda shape: shape.terms > 3),
    LengthsQuantised: ("block_lengths", lambda shape: shape.block == 128),
    LengthsExact: ("block_lengths", lambda shape: shape.block == 256),
    TailCountsOfOneByte: ("huge_counts", lambda _: True),
    PatchesForgotten: ("huge_counts", lambda shape: shape.block == 256),
    FirstOfBlockLeftOut: ("block_edges", lambda _: True),
    LastOfBlockLeftOut: ("block_edges", lambda _: True),
    LeastFirst: ("huge_counts", lambda shape: shape.terms > 1),
}
"""Kernels that fail in an edge case that was made for them, in the shapes where they can."""

SOMEWHERE = (FirstOfBlockLeftOut, LastDocumentsNeverSeen, LastOfWindowLeftOut)
"""They are found out where a query meets one of a few documents: in some case of every shape."""

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
    case = BATTERY.cases[case_id]
    accepted = [kernel for kernel, is_wrong in WRONG.items() if is_wrong(case) and not is_refused(kernel, case_id)]
    assert accepted == []


@pytest.mark.parametrize("shape", SHAPES)
def test_each_trap_fails_in_the_case_that_was_made_for_it(shape: str) -> None:
    for kernel, (distribution, is_wrong) in TRAPS.items():
        case = BATTERY.cases[f"{shape}-{distribution}"]
        assert is_refused(kernel, case.id) == is_wrong(case.shape), (kernel, case.id)


@pytest.mark.parametrize("shape", SHAPES)
def test_kernels_wrong_for_some_documents_fail_on_every_shape(shape: str) -> None:
    cases = [case_id for case_id in BATTERY.cases if case_id.startswith(f"{shape}-")][::-1]  # small ones first
    for kernel in SOMEWHERE:
        assert any(is_refused(kernel, case_id) for case_id in cases), kernel


def test_every_sentence_names_the_query_and_the_value_that_is_wrong() -> None:
    said = {}
    for kernel in (WithoutKOnePlusOne, AllTermsRequired, NoSuchMatch):
        with pytest.raises(KernelIncorrect) as refused:
            verify(kernel, "100000x30000x3x10x128-few_matches")
        said[kernel] = str(refused.value)
    assert "query 1, by match: scores of the returned ids: " in said[WithoutKOnePlusOne]
    assert "numbers of ids and scores of each query: " in said[AllTermsRequired]
    assert "query 1: document 4294967295 has none of the terms" in said[NoSuchMatch]


def test_the_oracle_computes_a_score_by_hand() -> None:
    """Two documents, of 3 and 1 tokens: a a b, and b. The mean length is 2."""
    parts = ([0, 1, 3], np.int64), ([0, 0, 1], np.uint32), ([2, 1, 1], np.uint32), ([3, 1], np.uint32)
    postings = BATTERY.target.inputs.Postings(*(np.array(values, dtype) for values, dtype in parts))
    lists = BATTERY.target.inputs.lists_of(postings, BATTERY.target.inputs.weights_of(postings), 128)
    index = REFERENCE.InvertedIndex(*lists, postings.doc_lengths, 128)
    long, short = 1.2 * (0.25 + 0.75 * 3 / 2), 1.2 * (0.25 + 0.75 * 1 / 2)
    a = np.log((2 - 1 + 0.5) / (1 + 0.5) + 1) * 2.2 * 2 / (2 + long)
    b = np.log((2 - 2 + 0.5) / (2 + 0.5) + 1) * 2.2 * 1 / (1 + np.array([long, short]))
    ids, scores, matches, exact = index.bm25_topk(np.array([1, 0], np.int32), 10)
    assert ids.tolist() == matches.tolist() == [0, 1]
    assert np.allclose(exact, [a + b[0], b[1]], rtol=3e-7, atol=0)
    assert scores.tolist() == exact.tolist()
    twice = index.bm25_topk(np.array([1, 0, 1], np.int32), 10)[1]
    assert np.allclose(twice, [a + 2 * b[0], 2 * b[1]], rtol=3e-7, atol=0)


@pytest.mark.parametrize("case_id", TIMED)
def test_the_oracle_is_within_the_rounding_of_the_same_steps_in_float64(case_id: str) -> None:
    """11 roundings make a term and t - 1 add it (Higham, 2nd ed., section 4.2); all terms are positive."""
    state, oracle, calls = BATTERY.prepared(case_id)
    index = REFERENCE.InvertedIndex(*state.lists, state.doc_lengths, state.block)
    lengths = state.doc_lengths
    if state.block == 256:
        lengths = REFERENCE.quantised(lengths)
    norms = 1.2 * (0.25 + 0.75 * lengths / state.doc_lengths.mean())
    total = np.zeros(norms.size)
    terms = calls[0][0][0]
    for term in terms:
        docs, freqs = index.postings(term)
        total[docs] += state.lists.weights[term].astype(np.float64) * 2.2 * freqs / (freqs + norms[docs])
    sizes, *_, matches, exact, counts, _ = oracle.expected(calls[0])
    found = exact[: counts[0]] / total[matches[: counts[0]]] - 1
    assert sizes[0, 0] == min(state.k, counts[0])
    assert np.abs(found).max() <= (len(terms) + 10) * 2.0**-24


def test_equal_scores_stand_at_the_last_place_of_identical_lists() -> None:
    """Establishes that ties are where they matter; honest kernels return different ones of them."""
    for shape in SHAPES:
        _, oracle, calls = BATTERY.prepared(f"{shape}-identical_lists")
        sizes, _, _, _, exact, matches, _ = oracle.expected(calls[0])
        assert np.ptp(exact[: matches[0]]) == 0
        assert sizes[0, 0] < matches[0]
