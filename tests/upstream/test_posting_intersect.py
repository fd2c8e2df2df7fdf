"""The oracle and the kernel of posting-intersect on a real index: blocks of its files, answers of its AND queries.

Establishes that the target reads and writes the blocks of Lance, those of 128 and those of 256, that it finds the
rows that Lance finds, and that pyroaring finds the same. Texts are made so that every posting is known beforehand.
"""

from __future__ import annotations

from itertools import combinations, permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import battery
import lance_files
import lance_postings
import lance_wheel
import numpy as np
import pytest

from pytest_lance_autoresearch.bench import oracles
from pytest_lance_autoresearch.errors import KernelIncorrect
from pytest_lance_autoresearch.target_files import seeds

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_lance_autoresearch.target_files.load import Target

    Array = np.ndarray[Any, Any]

pytestmark = pytest.mark.upstream

FOLDER: Final = Path(__file__).parents[2] / "targets" / "posting-intersect"
DOCS: Final = 7000
WORDS: Final = {"in-all": 1.0, "common": 0.6, "usual": 0.3, "seldom": 0.05, "rare": 0.005, "block": 128 / DOCS}
"""Each word and the share of docs that have it, mostly once, up to 64 times; "block" is in exactly 128."""

QUERIES: Final = [words for count in (1, 2, 3, 6) for words in combinations(WORDS, count)]


class Index(NamedTuple):
    """A dataset that Lance indexed, the rows that were drawn for each word, and its lists as the files have them.

    Row ids and doc ids are the same here, as Lance reads so few texts at once.
    """

    block: int
    dataset: Any
    docs: dict[str, set[int]]
    lists: dict[str, lance_postings.PostingList]
    row_ids: Array


@pytest.fixture(scope="module", params=[lance_postings.BLOCK, lance_postings.LARGE_BLOCK])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Index:
    lance_wheel.lance()
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "posting-intersect")
    chosen = {word: np.sort(rng.permutation(DOCS)[: round(share * DOCS)]) for word, share in WORDS.items()}
    parts: list[list[str]] = [[] for _ in range(DOCS)]
    for word, docs in chosen.items():
        for doc, times in zip(docs, np.sqrt(4096 / rng.integers(1, 4097, len(docs))), strict=True):
            parts[doc] += [word] * int(times)
    texts = [" ".join(words) for words in parts]
    dataset = lance_postings.create_inverted(tmp_path_factory.mktemp("index"), texts, block_size=request.param)
    (partition,) = lance_postings.read_inverted(lance_files.index_folder(dataset))
    numbers = lance_postings.token_ids(partition, texts)
    lists = {word: partition.postings[number] for word, number in numbers.items()}
    rows_of = {word: set(docs.tolist()) for word, docs in chosen.items()}
    return Index(partition.block, dataset, rows_of, lists, partition.row_ids)


def test_the_encoder_writes_the_bytes_of_lance(target: Target, index: Index) -> None:
    head = 4 if index.block == lance_postings.BLOCK else 0  # the maximal score, a stand-in here
    for postings in index.lists.values():
        ours = target.inputs.encode(postings.doc_ids, postings.freqs, index.block)
        assert np.diff(ours.offsets).tolist() == [len(block) for block in postings.blocks]
        for block, start in zip(postings.blocks, ours.offsets, strict=False):
            assert ours.blocks[start + head : start + len(block)].tobytes() == block[head:]


def test_the_oracle_finds_the_docs_that_lance_finds(target: Target, index: Index) -> None:
    for words in QUERIES:
        expected = set.intersection(*(index.docs[word] for word in words))
        row_ids, _ = lance_postings.search(index.dataset, " ".join(words), DOCS, "AND")
        assert set(row_ids.tolist()) == expected
        found = answer(target, index, words)
        assert index.row_ids[found].tolist() == sorted(expected)


def test_the_kernel_passes_the_checks_of_a_trial(target: Target, index: Index) -> None:
    kernel, oracle = bound(target, index.block)
    for words in (*permutations(WORDS, 3), *permutations(WORDS, 2), tuple(WORDS)):
        call = call_on(target, index, words)
        oracle.verify(kernel(*copied(call)), call, " ".join(words))


def test_the_checks_refuse_the_kernel_on_other_blocks(target: Target, index: Index) -> None:
    """Establishes that the test before this one can fail: one difference of Lance's first block is doubled."""
    kernel, oracle = bound(target, index.block)
    call = call_on(target, index, ("in-all", "common"))
    other = copied(call)
    other[0][9 if index.block == lance_postings.BLOCK else 5] ^= 0x10
    with pytest.raises(KernelIncorrect, match=r"ends: 1 of 1 values differ|ids: "):
        oracle.verify(kernel(*other), call, "in-all common")


def test_a_word_that_is_nowhere_leaves_nothing(index: Index) -> None:
    row_ids, _ = lance_postings.search(index.dataset, "in-all nowhere", DOCS, "AND")
    assert len(row_ids) == 0


def test_pyroaring_finds_the_same(target: Target, index: Index) -> None:
    pyroaring = pytest.importorskip("pyroaring", reason=lance_wheel.MISSING)
    for words in QUERIES:
        bitmaps = [pyroaring.BitMap(index.lists[word].doc_ids) for word in words]
        expected = pyroaring.BitMap.intersection(*bitmaps)
        assert answer(target, index, words).tolist() == list(expected)


def bound(target: Target, block: int) -> tuple[Callable[..., Any], oracles.Oracle]:
    """Return the kernel as a trial calls it, and the oracle."""
    kernels = battery.loaded(target, target.kernel)
    state = target.inputs.bare_state(block)
    return target.wiring.bind(kernels, state), oracles.Oracle(target, state)


def copied(call: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.copy() if isinstance(value, np.ndarray) else value for value in call)


def call_on(target: Target, index: Index, words: tuple[str, ...]) -> tuple[Any, ...]:
    """Return a call for one query on Lance's own bytes, at offsets that Lance's array gives them."""
    streams = []
    for postings in (index.lists[word] for word in words):
        offsets = np.cumsum([0, *map(len, postings.blocks)])
        blocks = np.frombuffer(b"".join(postings.blocks), np.uint8)
        streams.append(target.inputs.Stream(postings.doc_ids, postings.freqs, blocks, offsets))
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "output")
    query = np.arange(len(streams))[None]
    call: tuple[Any, ...] = target.inputs.call_of(index.block, streams, query, rng)
    return call


def answer(target: Target, index: Index, words: tuple[str, ...]) -> Array:
    """Return the docs that the oracle finds for one query."""
    oracle = oracles.Oracle(target, target.inputs.bare_state(index.block))
    out, ends = oracle.expected(call_on(target, index, words))
    found: Array = out[: ends[0]]
    return found
