"""The oracle and the kernel of posting-intersect on a real index: blocks of its files, answers of its AND queries.

Establishes that the target reads and writes the blocks of Lance, that it finds the rows that Lance finds, and that
pyroaring finds the same. Texts are made so that every posting is known beforehand.
"""

from __future__ import annotations

from itertools import combinations, permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import lance_files
import lance_postings
import numpy as np
import pytest

from pytest_lance_autoresearch.bench import oracles
from pytest_lance_autoresearch.errors import KernelIncorrect
from pytest_lance_autoresearch.kernel_side import modules
from pytest_lance_autoresearch.target_files import discover, load, seeds

if TYPE_CHECKING:
    from pytest_lance_autoresearch.target_files.load import Target

    Array = np.ndarray[Any, Any]

pytestmark = pytest.mark.upstream

FOLDER: Final = Path(__file__).parents[3] / "targets" / "posting-intersect"
LANCE_VERSION: Final = "1.0.0"
MISSING: Final = "needs the extra 'upstream' (pip install 'pytest-lance-autoresearch[upstream]')"
DOCS: Final = 7000
WORDS: Final = {"in-all": 1.0, "common": 0.6, "usual": 0.3, "seldom": 0.05, "rare": 0.005, "block": 128 / DOCS}
"""Each word and the share of docs that have it, up to four times; "block" is in exactly 128."""

FORMS: Final = ("ids", "blocks")
QUERIES: Final = [words for count in (1, 2, 3, 6) for words in combinations(WORDS, count)]


class Index(NamedTuple):
    """A dataset that Lance indexed, the rows that were drawn for each word, and its lists as the files have them.

    Row ids and doc ids are the same here, as Lance reads so few texts at once.
    """

    dataset: Any
    docs: dict[str, set[int]]
    lists: dict[str, lance_postings.PostingList]
    row_ids: Array


@pytest.fixture(scope="module")
def target() -> Target:
    return load.load(discover.inspect(FOLDER))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANCE_LOG", "error")
        lance = pytest.importorskip("lance", reason=MISSING)
    assert lance.__version__ == LANCE_VERSION, "the layout is that of this version; see the extra"
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "posting-intersect")
    chosen = {word: np.sort(rng.permutation(DOCS)[: round(share * DOCS)]) for word, share in WORDS.items()}
    parts: list[list[str]] = [[] for _ in range(DOCS)]
    for word, docs in chosen.items():
        for doc, times in zip(docs, rng.integers(1, 5, len(docs)), strict=True):
            parts[doc] += [word] * times
    texts = [" ".join(words) for words in parts]
    dataset = lance_postings.create_inverted(tmp_path_factory.mktemp("index"), texts)
    (partition,) = lance_postings.read_inverted(lance_files.index_folder(dataset))
    numbers = lance_postings.token_ids(partition, texts)
    lists = {word: partition.postings[number] for word, number in numbers.items()}
    return Index(dataset, {word: set(docs.tolist()) for word, docs in chosen.items()}, lists, partition.row_ids)


def test_the_encoder_writes_the_bytes_of_lance(target: Target, index: Index) -> None:
    for postings in index.lists.values():
        ours = target.inputs.encode(postings.doc_ids, postings.freqs)
        assert np.diff(ours.offsets).tolist() == [len(block) for block in postings.blocks]
        for block, start in zip(postings.blocks, ours.offsets, strict=False):
            # The first 4 bytes are the maximal score, a stand-in here.
            assert ours.blocks[start + 4 : start + len(block)].tobytes() == block[4:]


@pytest.mark.parametrize("form", FORMS)
def test_the_oracle_finds_the_docs_that_lance_finds(target: Target, index: Index, form: str) -> None:
    for words in QUERIES:
        expected = set.intersection(*(index.docs[word] for word in words))
        row_ids, _ = lance_postings.search(index.dataset, " ".join(words), DOCS, "AND")
        assert set(row_ids.tolist()) == expected
        found = answer(target, index, form, words)
        assert index.row_ids[found].tolist() == sorted(expected)


@pytest.mark.parametrize("form", FORMS)
def test_the_kernel_passes_the_checks_of_a_trial(target: Target, index: Index, form: str) -> None:
    kernels = modules.execute_source(
        modules.module_name(target.name, "kernels"), target.kernel.text, str(target.kernel.path)
    )
    state = target.inputs.bare_state(form)
    kernel, oracle = target.wiring.bind(kernels, state), oracles.Oracle(target, state)
    for words in permutations(WORDS, 3):
        call = call_on(target, [stream_of(target, index.lists[word]) for word in words], form)
        oracle.verify(kernel(*(value.copy() for value in call)), call, " ".join(words))


def test_the_checks_refuse_the_kernel_on_other_blocks(target: Target, index: Index) -> None:
    """Establishes that the test before this one can fail: one difference of Lance's first block is doubled."""
    kernels = modules.execute_source(
        modules.module_name(target.name, "kernels"), target.kernel.text, str(target.kernel.path)
    )
    state = target.inputs.bare_state("blocks")
    kernel, oracle = target.wiring.bind(kernels, state), oracles.Oracle(target, state)
    call = call_on(target, [stream_of(target, index.lists[word]) for word in ("in-all", "common")], "blocks")
    other = tuple(value.copy() for value in call)
    other[0][9] ^= 0x10
    with pytest.raises(KernelIncorrect, match=r"ends: 1 of 1 values differ|ids: "):
        oracle.verify(kernel(*other), call, "in-all common")


def test_pyroaring_finds_the_same(target: Target, index: Index) -> None:
    pyroaring = pytest.importorskip("pyroaring", reason=MISSING)
    for words in QUERIES:
        bitmaps = [pyroaring.BitMap(index.lists[word].doc_ids) for word in words]
        expected = pyroaring.BitMap.intersection(*bitmaps)
        for form in FORMS:
            assert answer(target, index, form, words).tolist() == list(expected)


def stream_of(target: Target, postings: lance_postings.PostingList) -> Any:
    """Return a list of the target that has Lance's own bytes, at offsets that Lance's array gives them."""
    offsets = np.cumsum([0, *map(len, postings.blocks)])
    blocks = np.frombuffer(b"".join(postings.blocks), np.uint8)
    return target.inputs.Stream(postings.doc_ids, postings.freqs, blocks, offsets)


def call_on(target: Target, streams: list[Any], form: str) -> tuple[Any, ...]:
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "output")
    call: tuple[Any, ...] = target.inputs.call_of(form, streams, np.arange(len(streams))[None], rng)
    return call


def answer(target: Target, index: Index, form: str, words: tuple[str, ...]) -> Array:
    """Return the docs that the oracle finds for one query."""
    oracle = oracles.Oracle(target, target.inputs.bare_state(form))
    out, ends = oracle.expected(call_on(target, [stream_of(target, index.lists[word]) for word in words], form))
    found: Array = out[: ends[0]]
    return found
