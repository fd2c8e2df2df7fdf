"""The workload of fts-bm25: shapes, distributions, and seeded generators of inverted indexes and queries.

Owns every number that is checked or timed. Timed indexes are made as real ones are: documents are drawn token by
token, and the posting lists follow. Edge cases are drawn as a matrix that says which term is in which document.

The same seed gives the same bits on every machine: nothing is drawn through a logarithm or a power.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.uint32]
    Integers = NDArray[np.int64]


class Shape(NamedTuple):
    """Documents, terms of the vocabulary, terms of a query, and results asked for."""

    documents: int
    vocabulary: int
    terms: int
    k: int


QUERIES: Final = {
    Shape(100_000, 30_000, 3, 10): 4,
    Shape(200_000, 50_000, 5, 10): 2,
    Shape(200_000, 50_000, 1, 100): 8,
    Shape(5_003, 3_001, 50, 10): 1,  # a long query, as from a paragraph
}
"""Queries of one call, per shape: enough for 50 us and more, and for the rare and the frequent terms."""

SHAPES: Final = tuple(QUERIES)
DISTRIBUTIONS: Final = ("text", "topics", "titles")
EDGE_DISTRIBUTIONS: Final = (
    "identical_lists",
    "disjoint_lists",
    "everywhere",
    "block_lengths",
    "huge_counts",
    "few_matches",
)

STOP_WORDS: Final = 8
"""The most frequent terms, which no query has."""

BLOCK: Final = 128
TOPICS: Final = 64
GRAIN: Final = 2**20
EDGE_DOCUMENTS: Final = 3_001
LENGTHS: Final = (1, 127, 128, 129, 255, 256, 257, 1000)
"""Postings of a list in block_lengths: around whole blocks of 128."""


class State(NamedTuple):
    """An inverted index as it is before the first query, and what its queries are drawn from.

    `indptr` is int64 (V + 1,), `doc_ids` and `freqs` uint32 (nnz,), `doc_lengths` uint32 (N,), `k` the results
    asked for, `queries` the queries of a call. `frequent_first`, int32 (m,), are the terms that queries have, by
    their number of documents, and `cumulative`, int64 (m,), how often the first of them occur by Zipf's law;
    `planted`, int32 each, are terms of some documents, the first of them a term that must not be left out.
    """

    indptr: Integers
    doc_ids: Ids
    freqs: Ids
    doc_lengths: Ids
    k: int
    queries: int
    frequent_first: NDArray[np.int32]
    cumulative: Integers
    planted: tuple[NDArray[np.int32], ...]


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make an index with the published number of documents."""
    return _make_state(shape, distribution, _documents(shape, distribution), rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make an index whose number of documents is drawn, within 10 % of the published one."""
    documents = _documents(shape, distribution)
    return _make_state(shape, distribution, int(rng.integers(documents * 9 // 10, documents * 11 // 10 + 1)), rng)


def make_call(
    shape: Shape,
    distribution: str,  # noqa: ARG001
    state: State,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int32]]:
    """Make the queries of a call, int32 (queries, terms), each of different terms.

    A query's terms are drawn from all ranges of frequency, as Zipf's law has them, one from each. The first query
    has the terms of a planted document, as far as they go: that one is likely among the best, so that a kernel
    which forgets the last postings of a list, or those at the edges of blocks, is found out.
    """
    ranges = state.queries * shape.terms
    depths = (np.arange(ranges) + rng.random(ranges)) / ranges
    queries = _terms_at(depths.reshape(shape.terms, state.queries).T, state)
    first, *others = state.planted[rng.integers(len(state.planted))].tolist()
    queries[0] = list(dict.fromkeys([first, *rng.permutation(others).tolist(), *queries[0].tolist()]))[
        : shape.terms
    ]
    return (rng.permuted(queries, axis=1),)


def bare_state(indptr: Integers, doc_ids: Ids, freqs: Ids, doc_lengths: Ids, k: int) -> State:
    """Return an index given by its parts; queries for it come from elsewhere."""
    return State(indptr, doc_ids, freqs, doc_lengths, k, 0, np.zeros(0, np.int32), np.zeros(0, np.int64), ())


def from_pairs(
    terms: NDArray[np.integer], documents: NDArray[np.integer], vocabulary: int, size: int
) -> tuple[Integers, Ids, Ids]:
    """Return indptr, doc_ids and freqs of the index with these (term, document) pairs, `size` documents in all."""
    pairs = terms.astype(np.int64)
    pairs *= size
    pairs += documents
    pairs.sort()
    is_first = np.ones(pairs.size, np.bool_)
    is_first[1:] = pairs[1:] != pairs[:-1]
    starts = np.flatnonzero(is_first)
    freqs = np.diff(starts, append=pairs.size).astype(np.uint32)
    different = pairs[starts]
    indptr = np.searchsorted(different, np.arange(vocabulary + 1) * size)
    different %= size
    return indptr, different.astype(np.uint32), freqs


def _documents(shape: Shape, distribution: str) -> int:
    return EDGE_DOCUMENTS if distribution in EDGE_DISTRIBUTIONS else shape.documents


def _make_state(shape: Shape, distribution: str, documents: int, rng: np.random.Generator) -> State:
    if distribution in EDGE_DISTRIBUTIONS:
        index = _edge_index(distribution, 4 * shape.terms, documents, rng)
        skipped = 0
    else:
        index = _text_index(distribution, shape.vocabulary, documents, rng)
        skipped = STOP_WORDS
    indptr, doc_ids, _, _ = index
    counts = np.diff(indptr)
    frequent_first = np.argsort(-counts, kind="stable")[skipped : np.count_nonzero(counts)].astype(np.int32)
    cumulative = np.cumsum(2**40 // np.arange(1 + skipped, 1 + skipped + frequent_first.size))
    planted = _planted(indptr, doc_ids, frequent_first, rng)
    return State(*index, shape.k, QUERIES[shape], frequent_first, cumulative, planted)


def _text_index(
    distribution: str, vocabulary: int, documents: int, rng: np.random.Generator
) -> tuple[Integers, Ids, Ids, Ids]:
    """Draw documents token by token; the ids of the terms tell nothing of their frequency."""
    titles = distribution == "titles"
    lengths = rng.integers(4, 11, documents) if titles else _lengths(documents, rng)
    owners = np.repeat(np.arange(documents, dtype=np.int32), lengths)
    terms = _zipf(vocabulary)[rng.integers(0, GRAIN, owners.size)]
    if distribution == "topics":
        own = _zipf(vocabulary // TOPICS - 2)[rng.integers(0, GRAIN, owners.size)]
        topic = owners * TOPICS // documents  # documents of a topic follow each other
        terms = np.where(rng.random(owners.size, dtype=np.float32) < 0.4, (own + 1) * TOPICS + topic, terms)
        del own, topic
    terms = rng.permutation(vocabulary).astype(np.int32)[terms]
    indptr, doc_ids, freqs = from_pairs(terms, owners, vocabulary, documents)
    if titles:
        freqs[:] = 1
    return indptr, doc_ids, freqs, _token_counts(doc_ids, freqs, documents)


def _edge_index(
    distribution: str, vocabulary: int, documents: int, rng: np.random.Generator
) -> tuple[Integers, Ids, Ids, Ids]:
    """Draw which of a few terms are in which documents, and how often."""
    size = (vocabulary, documents)
    if distribution == "identical_lists":
        present = np.broadcast_to(rng.random(documents) < 0.3, size)
    elif distribution == "disjoint_lists":
        present = rng.integers(0, vocabulary, documents) == np.arange(vocabulary)[:, None]
    elif distribution == "everywhere":
        present = np.ones(size, np.bool_)
    elif distribution == "block_lengths":
        places = np.argsort(rng.random(size), axis=1)
        present = places < np.resize(LENGTHS, vocabulary)[:, None]
    elif distribution == "few_matches":
        present = np.zeros(size, np.bool_)
        present[np.arange(vocabulary)[:, None], rng.integers(0, documents, (vocabulary, 2))] = True
    else:
        present = rng.random(size) < np.minimum(3 / np.arange(2, vocabulary + 2), 0.5)[:, None]
    terms, doc_ids = np.nonzero(present)
    freqs = np.ones(doc_ids.size, np.uint32)
    if distribution in ("everywhere", "block_lengths"):
        freqs = rng.integers(1, 5, doc_ids.size, dtype=np.uint32)
    if distribution == "huge_counts":
        largest = np.uint32(1) << rng.integers(0, 21, doc_ids.size, dtype=np.uint32)
        freqs = rng.integers(1, largest + 1, dtype=np.uint32)
    lengths = _token_counts(doc_ids, freqs, documents)
    if distribution in ("few_matches", "block_lengths", "disjoint_lists"):
        lengths += rng.integers(0, 100, documents, dtype=np.uint32)
    indptr = np.searchsorted(terms, np.arange(vocabulary + 1))
    return indptr, doc_ids.astype(np.uint32), freqs, np.maximum(lengths, 1)


def _lengths(documents: int, rng: np.random.Generator) -> Integers:
    """Draw lengths whose logarithms are near normal, as those of English texts are: products of whole numbers."""
    first, second, third = rng.integers([[2], [2], [1]], [[6], [6], [6]], (3, documents))
    return first * second * third


def _token_counts(doc_ids: NDArray[np.integer], freqs: Ids, documents: int) -> Ids:
    return np.bincount(doc_ids, weights=freqs, minlength=documents).astype(np.uint32)


def _zipf(vocabulary: int) -> NDArray[np.int32]:
    """Return a table of GRAIN ranks in which rank r stands as often as Zipf's law says, 1 / (r + 1)."""
    cumulative = np.cumsum(1 / np.arange(1, vocabulary + 1))
    return np.searchsorted(cumulative, (np.arange(GRAIN) + 0.5) * (cumulative[-1] / GRAIN)).astype(np.int32)


def _terms_at(depths: NDArray[np.float64], state: State) -> NDArray[np.int32]:
    """Return different terms at depths, 0 to 1 and ascending along the last axis, of all their occurrences."""
    offsets = np.arange(depths.shape[-1])
    ranks = np.searchsorted(state.cumulative, depths * state.cumulative[-1]) - offsets
    largest = state.cumulative.size - offsets.size
    return state.frequent_first[np.clip(np.maximum.accumulate(ranks, axis=-1), 0, largest) + offsets]


def _planted(
    indptr: Integers, doc_ids: Ids, frequent_first: NDArray[np.int32], rng: np.random.Generator
) -> tuple[NDArray[np.int32], ...]:
    """Return, of the terms given, those of the last documents and of some at the ends of lists or edges of blocks.

    The first term of each is the one in whose list the document has that place.
    """
    ends = indptr[frequent_first + 1] - 1
    places = [ends[np.argsort(doc_ids[ends], kind="stable")[-4:]], rng.choice(ends, 6)]
    with_blocks = frequent_first[np.diff(indptr)[frequent_first] > BLOCK]
    if with_blocks.size:
        terms = rng.choice(with_blocks, 6)
        edges = rng.integers(1, (indptr[terms + 1] - indptr[terms] - 1) // BLOCK + 1) * BLOCK
        places.append(indptr[terms] + edges - rng.integers(0, 2, edges.size))
    planted = []
    for place in np.concatenate(places):
        of_document = np.append(place, np.flatnonzero(doc_ids == doc_ids[place]))
        terms = np.searchsorted(indptr, of_document, side="right") - 1
        planted.append(terms[np.isin(terms, frequent_first)].astype(np.int32))
    return tuple(planted)
