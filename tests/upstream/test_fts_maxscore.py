"""The oracle and the kernel of fts-maxscore on real inverted indexes: made, searched and written by Lance.

Establishes that `reference.py` computes every bit of the `_score` of Lance, that `inputs.py` writes Lance's blocks
and has its bounds, that `kernels.py` as committed looks at as many documents as Lance does, in both formats, and
that bm25s agrees with the formula. Corpora have one partition each.
"""

from __future__ import annotations

import pickle
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import battery
import lance_postings
import lance_wheel
import numpy as np
import pytest
import workers

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.bench import check, oracles
from pytest_lance_autoresearch.errors import KernelIncorrect
from pytest_lance_autoresearch.target_files import seeds, sources

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_lance_autoresearch.bench.process import KernelProcess
    from pytest_lance_autoresearch.target_files.load import Target

    Results = tuple[NDArray[np.uint64], NDArray[np.float32]]

pytestmark = pytest.mark.upstream

FOLDER: Final = Path(__file__).parents[2] / "targets" / "fts-maxscore"
VOCABULARY: Final = 2000
TIMEOUT_S: Final = 300.0

QUERIES: Final = tuple((terms, k) for terms in (1, 2, 3, 4, 5, 8, 30) for k in (1, 10, 100))
"""Words and results of each query; in those for ten results one word more, the first again."""


class Index(NamedTuple):
    """An indexed corpus: what its files have, and what Lance answered to the queries.

    `answers` are of QUERIES, one for each, `queries` their terms, int32, and `scored` how many documents Lance
    looked at for each, as its plan says it: in thousands from 1,000 on.
    """

    postings: Any
    lists: Any
    block: int
    queries: tuple[NDArray[np.int32], ...]
    answers: tuple[Results, ...]
    scored: tuple[str, ...]


@pytest.fixture(scope="module", params=[128, 256])
def index(request: pytest.FixtureRequest, target: Target, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """One corpus of 4,000 documents whose words follow Zipf's law, indexed and searched."""
    lance_wheel.lance()
    pytest.importorskip("pyarrow", reason=lance_wheel.MISSING)
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "fts-maxscore", str(request.param))
    weights = 1 / np.arange(1, VOCABULARY + 1)
    lengths = rng.integers(1, 8, (2, 4000)).prod(axis=0) * 2
    drawn = rng.choice([f"w{number}" for number in range(VOCABULARY)], lengths.sum(), p=weights / weights.sum())
    texts = [" ".join(text) for text in np.split(drawn, np.cumsum(lengths)[:-1])]
    folder = tmp_path_factory.mktemp("index") / "data"
    dataset = lance_postings.create_inverted(folder, texts, block_size=request.param)
    (files,) = (folder / "_indices").iterdir()
    postings, lists = read_index(target, files, request.param)
    ids = token_ids(postings, texts)
    shares = np.array([postings.indptr[number + 1] - postings.indptr[number] for number in ids.values()])
    words = [rng.choice(list(ids), terms, replace=False, p=shares / shares.sum()).tolist() for terms, _ in QUERIES]
    queries = [query + query[:1] * (k == 10) for query, (_, k) in zip(words, QUERIES, strict=True)]
    asked = [(" ".join(query), k) for query, (_, k) in zip(queries, QUERIES, strict=True)]
    return Index(
        postings,
        lists,
        request.param,
        tuple(np.array([ids[word] for word in query], np.int32) for query in queries),
        tuple(lance_postings.search(dataset, *query) for query in asked),
        tuple(lance_postings.comparisons(dataset, *query) for query in asked),
    )


def read_index(target: Target, folder: Path, block: int) -> tuple[Any, Any]:
    """Read the files of a partition: what it holds, as the oracle decodes it, and the lists that a kernel gets."""
    lists = lance_postings.read_file(folder / "part_0_invert.lance")
    docs = lance_postings.read_file(folder / "part_0_docs.lance")
    assert np.array_equal(docs["_rowid"].to_numpy(), np.arange(docs.num_rows)), "row ids are document ids"
    doc_lengths = docs["_num_tokens"].to_numpy()
    blocks = [block for of_list in lists["_posting"].to_pylist() for block in of_list]
    counts = lists["_length"].to_numpy().astype(np.int64)
    first_blocks = np.cumsum([0, *(-(-counts // block))])
    mean = np.float32(doc_lengths.sum()) / np.float32(doc_lengths.size)
    impacts = [
        highest_impact(impact, mean)
        for of_list, number in zip(lists["_impacts"].to_pylist(), np.diff(first_blocks), strict=True)
        for impact in of_list[:number]
    ]
    last_docs, bounds = np.array([doc for doc, _ in impacts], np.uint32), np.array([bound for _, bound in impacts])
    parts = (
        np.frombuffer(b"".join(blocks), np.uint8),
        np.cumsum([0, *map(len, blocks)]),
        first_blocks,
        counts,
        np.zeros(counts.size, np.float32),
        np.zeros(last_docs.size, np.uint32),
        last_docs,
        bounds.astype(np.float32),
        np.maximum.reduceat(bounds, first_blocks[:-1]).astype(np.float32),
    )
    oracle = target.reference.InvertedIndex(*parts, doc_lengths, block)
    doc_ids, freqs = map(np.concatenate, zip(*map(oracle.postings, range(counts.size)), strict=True))
    postings = target.inputs.Postings(np.cumsum([0, *counts]), doc_ids, freqs, doc_lengths)
    places = np.arange(last_docs.size) - np.repeat(first_blocks[:-1], np.diff(first_blocks))
    first_docs = doc_ids[np.repeat(postings.indptr[:-1], np.diff(first_blocks)) + block * places]
    weights = target.inputs.weights_of(postings)
    return postings, target.inputs.Lists(*parts)._replace(weights=weights, first_docs=first_docs)


def highest_impact(impact: bytes, mean: np.float32) -> tuple[int, np.float32]:
    """Return the last document of a block and the most that one of its pairs weighs.

    A pair is a count and a length's byte: those before it are added; a length that grows by 1 has no byte.
    """
    numbers = []
    at = 0
    while at < len(impact):
        number, shift = 0, 0
        while True:
            number |= (impact[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if impact[at - 1] < 128:
                break
        numbers.append(number)
    last, pairs, *rest = numbers
    left = iter(rest)
    count, code, largest = 0, 0, np.float32(0)
    for _ in range(pairs):
        packed = next(left)
        count += (packed >> 1) + 1
        code += next(left) if packed & 1 else 1
        length = code if code < 8 else (code & 7 | 8) << (code >> 3) - 1
        k1, b, one = np.float32(1.2), np.float32(0.75), np.float32(1)
        norm = k1 * (one - b + b * np.float32(length) / mean)
        largest = max(largest, (k1 + one) * np.float32(count) / (np.float32(count) + norm))
    return last, largest


def token_ids(postings: Any, texts: list[str]) -> dict[str, int]:
    """Return the id of a word of each list: of words with the same documents and counts any one may be it."""
    expected: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for doc, text in enumerate(texts):
        for word, count in Counter(text.split()).items():
            expected[word].append((doc, count))
    words = {tuple(found): word for word, found in expected.items()}
    lists = zip(
        *(np.split(each, postings.indptr[1:-1]) for each in (postings.doc_ids, postings.freqs)), strict=True
    )
    numbers = {tuple(zip(docs.tolist(), freqs.tolist(), strict=True)): i for i, (docs, freqs) in enumerate(lists)}
    assert words.keys() == numbers.keys(), "the lists hold what the texts hold"
    return {word: numbers[found] for found, word in words.items()}


def state_of(target: Target, index: Index, k: int) -> Any:
    """The state of a case that has Lance's own lists."""
    return target.inputs.bare_state(index.postings, k, index.block)._replace(lists=index.lists)


@pytest.fixture(scope="module")
def kernel(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelProcess]:
    """The kernel in a process of its own, as a trial runs it; compiled once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("kernel")))
        running = workers.started(target, TIMEOUT_S)
    yield running
    running.close()


def compare_with_oracle(target: Target, index: Index, **other: Any) -> None:
    """Judge Lance's answers as a kernel's are; its row ids are document ids."""
    for terms, (_, k), (rows, scores) in zip(index.queries, QUERIES, index.answers, strict=True):
        oracle = oracles.Oracle(target, state_of(target, index, k)._replace(**other))
        sizes = np.array([[rows.size, scores.size]])
        oracle.verify((sizes, rows.astype(np.uint32), scores), (terms[None],), "Lance's answer")


def test_lance_s_answers_are_the_oracle_s_to_the_last_bit(index: Index, target: Target) -> None:
    """Establishes that the oracle is right about weights, lengths, repeated words and the order of a sum."""
    compare_with_oracle(target, index)


def test_the_oracle_refuses_lance_s_answers_when_the_files_are_misread(index: Index, target: Target) -> None:
    """Establishes that the test before this one can fail: by weights, lengths, and their format."""
    weights = np.nextafter(index.lists.weights, np.float32(0))
    lengths = index.postings.doc_lengths
    quantised = target.inputs.quantised(lengths)
    quantised[0] += lengths.sum() - quantised.sum()  # the mean is the same
    for other in (
        {"lists": index.lists._replace(weights=weights)},
        {"doc_lengths": np.roll(lengths, 1)},
        *([{"doc_lengths": quantised}] if index.block == 128 else []),
    ):
        with pytest.raises(KernelIncorrect, match="query 1"):
            compare_with_oracle(target, index, **other)


def test_inputs_writes_the_blocks_and_bounds_of_lance(index: Index, target: Target) -> None:
    ours = target.inputs.lists_of(index.postings, index.lists.weights, index.block)
    for name, expected in index.lists._asdict().items():
        compare.exact(getattr(ours, name), expected, name)


def test_the_kernel_has_the_bits_of_lance(index: Index, target: Target, kernel: KernelProcess) -> None:
    """In its own process, on Lance's own bytes. Inside a tie Lance keeps and orders others."""
    for number, (terms, (_, k), (_, scores)) in enumerate(zip(index.queries, QUERIES, index.answers, strict=True)):
        name = f"query {index.block} {number}"
        state = state_of(target, index, k)
        kernel.bind(name, pickle.dumps(state))
        _, _, found = check.check_calls(kernel, oracles.Oracle(target, state), name, [(terms[None],)], name)[0]
        compare.exact(found, scores, name)


def test_the_port_looks_at_as_many_documents_as_lance(index: Index, target: Target) -> None:
    """Establishes that it has the same windows and bounds, and passes over the same blocks."""
    port = sources.read(battery.PORTS / target.name / "kernels.py")
    text = port.text.decode()
    for plain, counting in (
        ("            _sort(scores, ids)\n", "            return ids[:1], scores\n"),
        (
            "        start = min(stop + 1, END)\n",
            "        start = min(stop + 1, END)\n        search[4][0] = candidates\n",
        ),
    ):
        assert text.count(plain) == 1
        text = text.replace(plain, counting)
    counter = battery.loaded(target, replace(port, text=text.encode()))
    found = counter.InvertedIndex(*index.lists, index.postings.doc_lengths, index.block)
    for terms, (_, k), shown in zip(index.queries, QUERIES, index.scored, strict=True):
        count = int(found.bm25_topk(terms, k)[0][0])
        assert (str(count) if count < 1000 else f"{count / 1000:.2f} K") == shown


@pytest.mark.parametrize("index", [128], indirect=True)
def test_bm25s_agrees_on_the_same_postings(index: Index, target: Target) -> None:
    """Establishes that a second implementation is within the rounding of a float32 sum, for every match.

    Its formula lacks the factor K1 + 1, and it has exact lengths.
    """
    bm25s = pytest.importorskip("bm25s", reason="needs bm25s")
    indptr, doc_ids, freqs, lengths = index.postings
    tokens = np.repeat(np.repeat(np.arange(indptr.size - 1), np.diff(indptr)), freqs)
    tokens = tokens[np.argsort(np.repeat(doc_ids, freqs), kind="stable")]
    texts = [text.tolist() for text in np.split(tokens, np.cumsum(lengths)[:-1])]
    searcher = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    searcher.index((texts, {str(term): term for term in range(indptr.size - 1)}), show_progress=False)
    oracle = target.reference.InvertedIndex(*index.lists, lengths, index.block)
    for terms in index.queries:
        _, _, matches, exact = oracle.bm25_topk(terms, 1)
        scores = searcher.get_scores_from_ids(terms.tolist()) * np.float32(2.2)
        assert np.count_nonzero(scores) == matches.size
        limit = 4 * (len(terms) + 6) * 2.0**-24 * exact.astype(np.float64)
        compare.max_abs_err(scores[matches], exact, limit, what="scores of bm25s")
