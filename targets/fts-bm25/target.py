"""The wiring of fts-bm25: what is built once, what is timed, how results are compared, what else is tried.

Owns nothing of the algorithm: `bind` gets the kernel's or the oracle's module as an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import inputs
import numpy as np

from pytest_lance_autoresearch import compare

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from hypothesis.strategies import SearchStrategy
    from numpy.typing import NDArray

    Queries = NDArray[np.int32]

UNIT = "query"


def ops(shape: inputs.Shape) -> int:
    """Return the queries of one call."""
    return inputs.QUERIES[shape]


def bind(impl: ModuleType, state: inputs.State) -> Callable[[Queries], tuple[NDArray[Any], ...]]:
    """Build the index of `impl` over the state, untimed, and return the timed call.

    The call takes queries, int32 (q, t), and returns the numbers of ids and scores of each, int64 (q, 2), and what
    the kernel (ids, scores) or the oracle (ids, scores, matches, exact, limit) found, one query after the other;
    for the oracle also the numbers of the other three, int64 (q,) each.
    """
    index = impl.InvertedIndex(state.indptr, state.doc_ids, state.freqs, state.doc_lengths)
    k = state.k

    def search(queries: Queries) -> tuple[NDArray[Any], ...]:
        found = [index.bm25_topk(terms, k) for terms in queries]
        sizes = np.array([[len(part) for part in result] for result in found])
        return (sizes[:, :2], *map(np.concatenate, zip(*found, strict=True)), *sizes.T[2:])

    return search


def check(actual: Any, expected: tuple[NDArray[Any], ...], _call: tuple[Queries]) -> None:
    """Compare the results of each query with the oracle's, within the limits that it computed."""
    assert len(actual) == 3, f"result: a tuple of {len(actual)}, expected (sizes, ids, scores)"
    sizes, ids, scores = actual
    compare.exact(sizes, expected[0], "numbers of ids and scores of each query")
    found = (_by_query(values, sizes[:, 0]) for values in (ids, scores))
    right = (_by_query(values, expected[-1]) for values in expected[3:6])
    for number, arguments in enumerate(zip(*found, *right, strict=True), 1):
        _check_query(*arguments, f"query {number}")


def _by_query(values: NDArray[Any], sizes: NDArray[np.int64]) -> list[NDArray[Any]]:
    return np.split(values, np.cumsum(sizes)[:-1])


def _check_query(
    ids: NDArray[Any],
    scores: NDArray[Any],
    matches: NDArray[np.uint32],
    exact: NDArray[np.float64],
    limit: NDArray[np.float64],
    what: str,
) -> None:
    """Compare with `exact`, the scores of the documents `matches`, which ascend; a row is a place in `matches`."""
    assert ids.dtype == np.uint32, f"{what}: ids are {ids.dtype}, expected uint32"
    rows = np.searchsorted(matches, ids)
    strangers = ids[matches.take(rows, mode="clip") != ids] if matches.size else ids
    assert not strangers.size, f"{what}: document {strangers[0]} has none of the terms"
    compare.top_k(rows.astype(np.uint32), scores, exact, ids.size, limit, largest=True, what=f"{what}, by match:")


class Example(NamedTuple):
    """What a property test draws; all arrays follow from it."""

    documents: int
    terms: int
    queries: int
    k: str
    lists: str
    values: str
    seed: int


def properties() -> SearchStrategy[tuple[inputs.State, tuple[Queries]]]:
    """Return a strategy of (state, call) pairs outside the battery; shrinks to few documents and terms.

    Only whole numbers and names are drawn, so that a failure shrinks fast and prints short.
    """
    from hypothesis import strategies as st

    return st.builds(
        Example,
        documents=st.integers(0, 40) | st.sampled_from((127, 128, 129, 256, 257, 600)),
        terms=st.integers(0, 6),
        queries=st.integers(1, 2),
        k=st.sampled_from(("zero", "one", "ten", "n + 5")),
        lists=st.sampled_from(("sparse", "dense", "first_half", "whole_blocks")),
        values=st.sampled_from(("ones", "few", "huge")),
        seed=st.integers(0, 2**32 - 1),
    ).map(realise)


def realise(example: Example) -> tuple[inputs.State, tuple[Queries]]:
    """Make the index and the queries of an example; its vocabulary has two terms more than a query."""
    rng = np.random.default_rng(example.seed)
    documents, vocabulary = example.documents, example.terms + 2
    share = {"sparse": 0.05, "dense": 0.9, "first_half": 0.5, "whole_blocks": 1.0}[example.lists]
    present = rng.random((vocabulary, documents)) < share
    if example.lists == "first_half":
        present[:, documents // 2 :] = False
    if example.lists == "whole_blocks":
        present[:, documents // 128 * 128 :] = False
    terms, doc_ids = np.nonzero(present)
    largest = {"ones": 1, "few": 4, "huge": 10**6}[example.values]
    freqs = rng.integers(1, largest + 1, doc_ids.size, dtype=np.uint32)
    lengths = np.bincount(doc_ids, weights=freqs, minlength=documents).astype(np.uint32)
    indptr = np.searchsorted(terms, np.arange(vocabulary + 1))
    k = {"zero": 0, "one": 1, "ten": 10, "n + 5": documents + 5}[example.k]
    state = inputs.bare_state(indptr, doc_ids.astype(np.uint32), freqs, np.maximum(lengths, 1), k)
    queries = np.argsort(rng.random((example.queries, vocabulary)), axis=1)[:, : example.terms]
    return state, (queries.astype(np.int32),)
