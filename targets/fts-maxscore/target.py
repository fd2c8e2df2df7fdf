"""The wiring of fts-maxscore: what is built once, what is timed, how results are compared, what else is tried.

Owns nothing of the algorithm: `bind` gets the kernel's or the oracle's module as an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import inputs
import numpy as np

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.records import CostFraction

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from hypothesis.strategies import SearchStrategy
    from numpy.typing import NDArray

    Queries = NDArray[np.int32]

UNIT = "query"
BIT_EXACT = True
INTRINSICS = True
COST_FRACTION = CostFraction(
    0.7,
    "CPU time of an OR query of 5 words over 200,000 documents with pylance 14.0.2: 1.2 ms, any query 0.35 ms",
)


def ops(shape: inputs.Shape) -> int:
    """Return the queries of one call."""
    return inputs.QUERIES[shape]


def bind(impl: ModuleType, state: inputs.State) -> Callable[[Queries], tuple[NDArray[Any], ...]]:
    """Build the index of `impl` over the state, untimed, and return the timed call.

    The call takes queries, int32 (q, t), and returns the numbers of ids and scores of each, int64 (q, 2), and what
    the kernel (ids, scores) or the oracle (ids, scores, matches, exact) found, one query after the other; for the
    oracle also the numbers of the other two, int64 (q,) each.
    """
    index = impl.InvertedIndex(*state.lists, state.doc_lengths, state.block)
    k = state.k

    def search(queries: Queries) -> tuple[NDArray[Any], ...]:
        found = [index.bm25_topk(terms, k) for terms in queries]
        sizes = np.array([[len(part) for part in result] for result in found])
        return (sizes[:, :2], *map(np.concatenate, zip(*found, strict=True)), *sizes.T[2:])

    return search


def check(actual: Any, expected: tuple[NDArray[Any], ...], _call: tuple[Queries]) -> None:
    """Compare the results of each query with the oracle's: every bit of a score; inside a tie any document."""
    assert len(actual) == 3, f"result: a tuple of {len(actual)}, expected (sizes, ids, scores)"
    sizes, ids, scores = actual
    compare.exact(sizes, expected[0], "numbers of ids and scores of each query")
    found = (_by_query(values, sizes[:, 0]) for values in (ids, scores))
    right = (_by_query(values, expected[-1]) for values in expected[3:5])
    for number, arguments in enumerate(zip(*found, *right, strict=True), 1):
        _check_query(*arguments, f"query {number}")


def _by_query(values: NDArray[Any], sizes: NDArray[np.int64]) -> list[NDArray[Any]]:
    return np.split(values, np.cumsum(sizes)[:-1])


def _check_query(
    ids: NDArray[Any], scores: NDArray[Any], matches: NDArray[np.uint32], exact: NDArray[np.float32], what: str
) -> None:
    """Compare with `exact`, the scores of the documents `matches`, which ascend; a row is a place in `matches`."""
    assert ids.dtype == np.uint32, f"{what}: ids are {ids.dtype}, expected uint32"
    rows = np.searchsorted(matches, ids)
    strangers = ids[matches.take(rows, mode="clip") != ids] if matches.size else ids
    assert not strangers.size, f"{what}: document {strangers[0]} has none of the terms"
    compare.top_k(rows.astype(np.uint32), scores, exact, ids.size, 0, largest=True, what=f"{what}, by match:")


class Example(NamedTuple):
    """What a property test draws; all arrays follow from it."""

    documents: int
    terms: int
    queries: int
    k: str
    block: int
    lists: str
    values: str
    lengths: str
    seed: int


def properties() -> SearchStrategy[tuple[inputs.State, tuple[Queries]]]:
    """Return a strategy of (state, call) pairs outside the battery; shrinks to few documents and terms.

    Only whole numbers and names are drawn, so that a failure shrinks fast and prints short.
    """
    from hypothesis import strategies as st

    return st.builds(
        Example,
        documents=st.integers(0, 40) | st.sampled_from((127, 128, 129, 255, 256, 257, 600, 4097)),
        terms=st.integers(0, 6),
        queries=st.integers(1, 2),
        k=st.sampled_from(("zero", "one", "ten", "n + 5")),
        block=st.sampled_from((128, 256)),
        lists=st.sampled_from(("sparse", "dense", "first_half", "whole_blocks")),
        values=st.sampled_from(("ones", "few", "huge")),
        lengths=st.sampled_from(("exact", "longer")),
        seed=st.integers(0, 2**32 - 1),
    ).map(realise)


def realise(example: Example) -> tuple[inputs.State, tuple[Queries]]:
    """Make the index and the queries of an example; a query may have a term twice."""
    rng = np.random.default_rng(example.seed)
    documents, vocabulary = example.documents, example.terms + 2
    share = {"sparse": 0.05, "dense": 0.9, "first_half": 0.5, "whole_blocks": 1.0}[example.lists]
    present = rng.random((vocabulary, documents)) < share
    if example.lists == "first_half":
        present[:, documents // 2 :] = False
    if example.lists == "whole_blocks":
        present[:, documents // example.block * example.block :] = False
    terms, doc_ids = np.nonzero(present)
    largest = {"ones": 1, "few": 4, "huge": 10**6}[example.values]
    freqs = rng.integers(1, largest + 1, doc_ids.size, dtype=np.uint32)
    lengths = np.bincount(doc_ids, weights=freqs, minlength=documents).astype(np.uint32)
    if example.lengths == "longer":
        lengths += rng.integers(0, 1000, documents, dtype=np.uint32)
    indptr = np.searchsorted(terms, np.arange(vocabulary + 1))
    postings = inputs.Postings(indptr, doc_ids.astype(np.uint32), freqs, np.maximum(lengths, 1))
    k = {"zero": 0, "one": 1, "ten": 10, "n + 5": documents + 5}[example.k]
    queries = rng.integers(0, vocabulary, (example.queries, example.terms), dtype=np.int32)
    return inputs.bare_state(postings, k, example.block), (queries,)
