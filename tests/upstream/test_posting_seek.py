"""The oracle and the kernel of posting-seek on a real index: lists of its files, answers of its searches.

Establishes that the target reads and writes the blocks of Lance, those of 128 and those of 256, that a step finds
the postings that the texts have, and that an AND query taken as steps, from each doc of one word to the list of
another, finds Lance's rows.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import lance_files
import lance_postings
import lance_wheel
import numpy as np
import pytest

from pytest_lance_autoresearch.bench import oracles
from pytest_lance_autoresearch.errors import KernelIncorrect
from pytest_lance_autoresearch.target_files import seeds

if TYPE_CHECKING:
    from pytest_lance_autoresearch.target_files.load import Target

    Array = np.ndarray[Any, Any]

pytestmark = pytest.mark.upstream

FOLDER: Final = Path(__file__).parents[2] / "targets" / "posting-seek"
DOCS: Final = 7000
WORDS: Final = {"in-all": 1.0, "common": 0.6, "usual": 0.3, "seldom": 0.05, "rare": 0.005, "block": 128 / DOCS}
"""Each word and the share of docs that have it, mostly once, up to 64 times; "block" is in exactly 128."""

END: Final = 2**32 - 1
NEXT, SHALLOW, FREQ = 0, 1, 2


class Index(NamedTuple):
    """A dataset that Lance indexed, its texts by doc id, and the lists of `WORDS` as the files have them."""

    block: int
    dataset: Any
    texts: list[str]
    lists: list[lance_postings.PostingList]
    row_ids: Array


@pytest.fixture(scope="module", params=[lance_postings.BLOCK, lance_postings.LARGE_BLOCK])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Index:
    lance_wheel.lance()
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "posting-seek")
    parts: list[list[str]] = [[] for _ in range(DOCS)]
    for word, share in WORDS.items():
        docs = rng.permutation(DOCS)[: round(share * DOCS)]
        for doc, times in zip(docs, np.sqrt(4096 / rng.integers(1, 4097, len(docs))), strict=True):
            parts[doc] += [word] * int(times)
    texts = [" ".join(words) for words in parts]
    dataset = lance_postings.create_inverted(tmp_path_factory.mktemp("index"), texts, block_size=request.param)
    (partition,) = lance_postings.read_inverted(lance_files.index_folder(dataset))
    numbers = lance_postings.token_ids(partition, texts)
    lists = [partition.postings[numbers[word]] for word in WORDS]
    return Index(partition.block, dataset, [texts[row] for row in partition.row_ids], lists, partition.row_ids)


@pytest.fixture(scope="module")
def state(target: Target, index: Index) -> Any:
    """Lance's own bytes, one list after the other."""
    blocks = [block for postings in index.lists for block in postings.blocks]
    counts = [len(postings.blocks) for postings in index.lists]
    return target.inputs.State(
        np.frombuffer(b"".join(blocks), np.uint8),
        np.cumsum([0, *map(len, blocks)]),
        np.cumsum([0, *counts]),
        np.array([postings.length for postings in index.lists]),
        index.block,
        np.zeros(0, np.uint32),
        np.zeros(1, np.int64),
    )


def test_the_index_is_in_blocks_as_asked(request: pytest.FixtureRequest, index: Index) -> None:
    assert index.block == request.node.callspec.params["index"]
    assert [len(postings.blocks) for postings in index.lists] == [
        -(-postings.length // index.block) for postings in index.lists
    ]


def test_the_encoder_writes_the_bytes_of_lance(target: Target, index: Index, state: Any) -> None:
    ours = target.inputs.state_of([(postings.doc_ids, postings.freqs) for postings in index.lists], index.block)
    assert ours.offsets.tolist() == state.offsets.tolist()
    is_maximum = np.zeros(len(state.blocks), np.bool_)  # a stand-in here
    if index.block == lance_postings.BLOCK:
        is_maximum[ours.offsets[:-1, None] + np.arange(4)] = True
    assert (ours.blocks == state.blocks)[~is_maximum].all()


def test_some_frequencies_are_patched_where_blocks_are_large(index: Index) -> None:
    in_all = index.lists[0].blocks[0]
    patches = in_all[5 + 32 * in_all[4] + 1]
    assert patches > 0 or index.block == lance_postings.BLOCK


def test_next_finds_every_posting_of_the_texts(target: Target, index: Index, state: Any) -> None:
    """Each doc id as a target, in every list, also where the list has no such doc; and then its frequency."""
    targets = np.tile(np.repeat(np.arange(DOCS, dtype=np.uint32), 2), (len(WORDS), 1))
    operations = np.tile(np.array([NEXT, FREQ], np.uint8), (len(WORDS), DOCS))
    places, values = oracles.Oracle(target, state).expected((np.arange(len(WORDS)), operations, targets))
    assert (places[:, ::2] == places[:, 1::2]).all()
    counts = [Counter(text.split()) for text in index.texts]
    for number, word in enumerate(WORDS):
        having = [doc for doc in range(DOCS) if counts[doc][word]]
        expected = [bisect_left(having, doc) for doc in range(DOCS)]
        assert places[number, ::2].tolist() == expected
        found = [having[place] if place < len(having) else END for place in expected]
        assert values[number, ::2].tolist() == found
        assert values[number, 1::2].tolist() == [counts[doc][word] if doc != END else 0 for doc in found]


def test_shallow_finds_the_blocks_of_lance(target: Target, index: Index, state: Any) -> None:
    targets = np.tile(np.arange(DOCS, dtype=np.uint32), (len(WORDS), 1))
    call = np.arange(len(WORDS)), np.full(targets.shape, SHALLOW, np.uint8), targets
    blocks, firsts = oracles.Oracle(target, state).expected(call)
    for postings, of_list, of_blocks in zip(index.lists, blocks, firsts, strict=True):
        first_ids = postings.doc_ids[:: index.block].tolist()
        expected = [max(0, bisect_right(first_ids, doc) - 1) for doc in range(DOCS)]
        assert of_list.tolist() == expected
        assert of_blocks.tolist() == [first_ids[block] for block in expected]


def test_an_and_query_taken_as_steps_finds_the_rows_of_lance(target: Target, index: Index, state: Any) -> None:
    oracle = oracles.Oracle(target, state)
    words = list(WORDS)
    for one, postings in enumerate(index.lists):
        for other in range(len(words)):
            targets = postings.doc_ids[None]
            _, docs = oracle.expected((np.array([other]), np.zeros(targets.shape, np.uint8), targets))
            found = index.row_ids[docs[docs == targets]]
            row_ids, _ = lance_postings.search(index.dataset, f"{words[one]} {words[other]}", DOCS, "AND")
            assert sorted(found.tolist()) == sorted(row_ids.tolist())


def test_the_kernel_passes_the_checks_of_a_trial_and_fails_on_other_blocks(
    target: Target, kernel: Any, state: Any
) -> None:
    """Traces in all kinds of step; then frequencies of the first list are changed."""
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "traces")
    size = (len(WORDS), 200)
    operations = rng.integers(0, 3, size, dtype=np.uint8)
    lasts = np.array([[DOCS - 1 if share > 0.1 else 3000] for share in WORDS.values()])
    call = np.arange(len(WORDS)), operations, np.sort(rng.integers(0, lasts, size)).astype(np.uint32)
    oracle = oracles.Oracle(target, state)
    oracle.verify(target.wiring.bind(kernel, state)(*call), call, "real lists")
    blocks = state.blocks.copy()
    ends_of_whole = state.offsets[1 : state.first_blocks[1]]
    blocks[ends_of_whole[:, None] - 1 - np.arange(48)] ^= 1
    with pytest.raises(KernelIncorrect, match=r"result\[1\]: "):
        oracle.verify(target.wiring.bind(kernel, state._replace(blocks=blocks))(*call), call, "other lists")
