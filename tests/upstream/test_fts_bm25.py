"""The oracle and the kernel of fts-bm25 on real inverted indexes: made, searched and written to files by Lance.

Establishes that `reference.py` computes the `_score` of Lance within its own limits, that the best documents are
those of an exhaustive search, that `kernels.py` as committed computes Lance's bits and scores as many documents
as Lance does, and that bm25s agrees with the formula. Corpora have one partition each.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import lance_files
import lance_postings
import numpy as np
import pytest
import workers

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.bench import check, oracles
from pytest_lance_autoresearch.errors import KernelIncorrect
from pytest_lance_autoresearch.kernel_side import modules
from pytest_lance_autoresearch.target_files import discover, load, seeds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_lance_autoresearch.bench.process import KernelProcess
    from pytest_lance_autoresearch.target_files.load import Target

    Results = tuple[NDArray[np.uint64], NDArray[np.float32]]

pytestmark = pytest.mark.upstream

FOLDER: Final = Path(__file__).parents[2] / "targets" / "fts-bm25"
MISSING: Final = "needs the extra 'upstream' (pip install 'pytest-lance-autoresearch[upstream]')"
VOCABULARY: Final = 2000
TIMEOUT_S: Final = 120.0
PORT_CODE_SHA256: Final = "ebfd20e093c73cd6606ccc37750ad5bfb459b5252c75b8ecb0340d8767e6c0e8"
"""Code of the port of Lance 1.0.0. An optimised kernel may sum in another order: its bits are its own."""

QUERIES: Final = tuple((terms, k) for terms in (1, 2, 3, 5, 8, 30) for k in (1, 10, 100))


class Index(NamedTuple):
    """An indexed corpus: what its files have, as arrays, and what Lance answered to the queries.

    `answers` are of QUERIES, one for each, `queries` their terms, int32, and `scored` how many documents Lance
    scored for each.
    """

    partition: lance_postings.Partition
    parts: tuple[NDArray[Any], ...]
    queries: tuple[NDArray[np.int32], ...]
    answers: tuple[Results, ...]
    scored: tuple[int, ...]


def draw_texts(kind: str, rng: np.random.Generator) -> list[str]:
    """Draw 4,000 documents with words that follow Zipf's law; titles are short and have no word twice."""
    words = rng.permutation([f"w{number}" for number in range(VOCABULARY)])
    weights = 1 / np.arange(1, VOCABULARY + 1)
    lengths = rng.integers(2, 11, 4000) if kind == "titles" else rng.integers(1, 8, (2, 4000)).prod(axis=0) * 2
    drawn = rng.choice(words, lengths.sum(), p=weights / weights.sum())
    texts = np.split(drawn, np.cumsum(lengths)[:-1])
    return [" ".join(np.unique(text) if kind == "titles" else text) for text in texts]


@pytest.fixture(scope="module", params=["text", "titles"])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """One corpus, indexed and searched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANCE_LOG", "error")
        lance = pytest.importorskip("lance", reason=MISSING)
    pytest.importorskip("pyarrow", reason=MISSING)
    assert lance.__version__ == lance_files.LANCE_VERSION, "the bits are those of this version; see the extra"
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", request.param)
    texts = draw_texts(request.param, rng)
    dataset = lance_postings.create_inverted(tmp_path_factory.mktemp("index") / "data", texts)
    (partition,) = lance_postings.read_inverted(lance_files.index_folder(dataset))
    assert np.array_equal(partition.row_ids, np.arange(len(texts))), "row ids are document ids below"
    ids = lance_postings.token_ids(partition, texts)
    weights = np.array([partition.postings[number].length for number in ids.values()])
    words = [rng.choice(list(ids), terms, replace=False, p=weights / weights.sum()) for terms, _ in QUERIES]
    asked = [(" ".join(query), k) for query, (_, k) in zip(words, QUERIES, strict=True)]
    return Index(
        partition,
        as_arrays(partition),
        tuple(np.array([ids[word] for word in query], np.int32) for query in words),
        tuple(lance_postings.search(dataset, *query) for query in asked),
        tuple(lance_postings.comparisons(dataset, *query) for query in asked),
    )


def as_arrays(partition: lance_postings.Partition) -> tuple[NDArray[Any], ...]:
    """Return indptr, doc_ids, freqs and doc_lengths, the arguments of `InvertedIndex`."""
    postings = partition.postings
    indptr = np.cumsum([0, *(of_token.length for of_token in postings)])
    doc_ids = np.concatenate([of_token.doc_ids for of_token in postings])
    return indptr, doc_ids, np.concatenate([of_token.freqs for of_token in postings]), partition.doc_lengths


@pytest.fixture(scope="module")
def target() -> Target:
    return load.load(discover.inspect(FOLDER))


@pytest.fixture(scope="module")
def kernel(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelProcess]:
    """The kernel in a process of its own, as a trial runs it; compiled once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("kernel")))
        running = workers.started(target, TIMEOUT_S)
    yield running
    running.close()


@pytest.fixture
def port(target: Target) -> None:
    """For what holds of the port only."""
    if target.kernel.code_sha256 != PORT_CODE_SHA256:
        pytest.skip("kernels.py is no longer the port of Lance 1.0.0, whose bits were compared while it was")


def compare_with_oracle(target: Target, index: Index, parts: tuple[NDArray[Any], ...]) -> None:
    """Judge Lance's answers as a kernel's are; its row ids are document ids."""
    for terms, (_, k), (rows, scores) in zip(index.queries, QUERIES, index.answers, strict=True):
        oracle = oracles.Oracle(target, target.inputs.bare_state(*parts, k))
        sizes = np.array([[rows.size, scores.size]])
        oracle.verify((sizes, rows.astype(np.uint32), scores), (terms[None],), "Lance's answer")


def test_lance_s_answers_are_within_the_oracle_s_limits(index: Index, target: Target) -> None:
    """Establishes that the oracle is right about idf, norms, sums, and which documents are the best."""
    compare_with_oracle(target, index, index.parts)


@pytest.mark.parametrize("part", range(4))
def test_the_oracle_refuses_lance_s_answers_when_the_files_are_misread(
    index: Index, target: Target, part: int
) -> None:
    """Establishes that the test before this one can fail, by each of the four arrays."""
    indptr, doc_ids, freqs, lengths = index.parts
    misread = (
        (np.minimum(indptr + 1, doc_ids.size), doc_ids, freqs, lengths),
        (indptr, np.roll(doc_ids, 1), freqs, lengths),
        (indptr, doc_ids, np.where(np.arange(freqs.size) % 128 == 0, freqs + 1, freqs), lengths),
        (indptr, doc_ids, freqs, np.roll(lengths, 1)),
    )
    with pytest.raises(KernelIncorrect, match="query 1"):
        compare_with_oracle(target, index, misread[part])


@pytest.mark.usefixtures("port")
def test_the_kernel_has_the_bits_of_lance(index: Index, target: Target, kernel: KernelProcess) -> None:
    """Establishes that the committed kernel is a port of Lance 1.0.0, order of summation and all.

    Scores have Lance's bits in its order. Of documents with equal scores Lance orders and keeps others: it goes
    on to compare their tokens as text, which the kernel does not have.
    """
    for number, (terms, (_, k), (rows, scores)) in enumerate(
        zip(index.queries, QUERIES, index.answers, strict=True)
    ):
        name = f"query {number}"
        kernel.bind(name, pickle.dumps(target.inputs.bare_state(*index.parts, k)))
        oracle = oracles.Oracle(target, target.inputs.bare_state(*index.parts, k))
        _, ids, found = check.check_calls(kernel, oracle, name, [(terms[None],)], name)[0]
        compare.exact(found, scores, name)
        inside = scores > scores[-1]
        assert set(ids[inside].tolist()) == set(rows[inside].tolist())


@pytest.mark.usefixtures("port")
def test_the_kernel_s_bounds_have_the_bits_of_lance(index: Index, target: Target) -> None:
    """Establishes that blocks are skipped by Lance's own maxima."""
    kernels: Any = modules.execute_source(
        modules.module_name(target.name, "kernels"), target.kernel.text, str(target.kernel.path)
    )
    lists = kernels.InvertedIndex(*index.parts)._lists
    compare.exact(
        lists.block_maxima, np.concatenate([of_token.block_maxima for of_token in index.partition.postings])
    )
    compare.exact(lists.list_maxima, np.array([of_token.max_score for of_token in index.partition.postings]))


@pytest.mark.usefixtures("port")
def test_the_kernel_scores_as_many_documents_as_lance(index: Index, target: Target) -> None:
    """Establishes that it skips what Lance skips, with Lance's loose bounds: the same walk over the lists."""
    text = target.kernel.text.decode()
    for plain, counting in (
        ("    kept = 0\n", "    kept = scored = 0\n"),
        ("            norm = ", "            scored += 1\n            norm = "),
        ("return ids[:kept].copy(), ", "return np.full(1, scored), "),
    ):
        assert text.count(plain) == 1
        text = text.replace(plain, counting)
    counter: Any = modules.execute_source(
        modules.module_name(target.name, "kernels"), text.encode(), str(target.kernel.path)
    )
    searcher = counter.InvertedIndex(*index.parts)
    found = [searcher.bm25_topk(terms, k)[0][0] for terms, (_, k) in zip(index.queries, QUERIES, strict=True)]
    assert found == list(index.scored)
    assert sum(found) < sum(index.partition.postings[term].length for terms in index.queries for term in terms) / 2


def test_bm25s_agrees_on_the_same_postings(index: Index, target: Target) -> None:
    """Establishes that a second implementation is within the limits, for every document that matches.

    Its formula lacks the factor K1 + 1.
    """
    bm25s = pytest.importorskip("bm25s", reason="needs bm25s")
    indptr, doc_ids, freqs, lengths = index.parts
    tokens = np.repeat(np.repeat(np.arange(indptr.size - 1), np.diff(indptr)), freqs)
    tokens = tokens[np.argsort(np.repeat(doc_ids, freqs), kind="stable")]
    texts = [text.tolist() for text in np.split(tokens, np.cumsum(lengths)[:-1])]
    searcher = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    searcher.index((texts, {str(term): term for term in range(indptr.size - 1)}), show_progress=False)
    oracle = target.reference.InvertedIndex(*index.parts)
    for terms in index.queries:
        _, _, matches, exact, limit = oracle.bm25_topk(terms, 1)
        scores = searcher.get_scores_from_ids(terms.tolist()) * np.float32(2.2)
        assert np.count_nonzero(scores) == matches.size
        compare.max_abs_err(scores[matches], exact, limit, dtype=np.float32, what="scores of bm25s")
