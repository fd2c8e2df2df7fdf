"""The oracle and the kernel of posting-decode on real indexes with positions: lists and streams of their files.

Establishes, for blocks of 128 and of 256, that both decode every list to the postings of the texts, and the
positions of every doc, asked for alone, to the places of the word in the text; that the workload's encoder writes
the bytes of Lance; and that positions are what a phrase query of Lance goes by.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import lance_files
import lance_postings
import lance_wheel
import numpy as np
import pytest

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.bench import oracles
from pytest_lance_autoresearch.errors import KernelIncorrect
from pytest_lance_autoresearch.target_files import seeds

if TYPE_CHECKING:
    from pytest_lance_autoresearch.target_files.load import Target

    Array = np.ndarray[Any, Any]

pytestmark = pytest.mark.upstream

FOLDER: Final = Path(__file__).parents[2] / "targets" / "posting-decode"
DOCS: Final = 1500
WORDS: Final = 3000
"""Words of the vocabulary. Word x or a later one is in about one place of 2 x, so that most are in few docs."""

LONGEST: Final = 400
LONG_DOC: Final = 7
LONG: Final = 40_000
"""Words of one doc, whose positions take three bytes as varints, and its frequencies patches."""


class Index(NamedTuple):
    """A dataset that Lance indexed, its words, the places of each by doc, and the lists as the files have them.

    Row ids and doc ids are the same here, as Lance reads so few texts at once.
    """

    block: int
    dataset: Any
    words: list[str]
    places: list[dict[int, list[int]]]
    lists: list[lance_postings.PostingList]


@pytest.fixture(scope="module", params=[lance_postings.BLOCK, lance_postings.LARGE_BLOCK])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Index:
    lance_wheel.lance()
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "posting-decode")
    lengths = rng.integers(1, LONGEST, DOCS)
    lengths[LONG_DOC] = LONG
    numbers = rng.integers(0, WORDS // rng.integers(1, WORDS + 1, lengths.sum()))
    texts = [[f"w{number}" for number in each] for each in np.split(numbers, np.cumsum(lengths)[:-1])]
    folder = tmp_path_factory.mktemp("index")
    joined = [" ".join(words) for words in texts]
    dataset = lance_postings.create_inverted(folder, joined, with_position=True, block_size=request.param)
    (partition,) = lance_postings.read_inverted(lance_files.index_folder(dataset))
    assert partition.row_ids.tolist() == list(range(DOCS))
    places: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for doc, words in enumerate(texts):
        for place, word in enumerate(words):
            places[word][doc].append(place)
    numbers = lance_postings.token_ids(partition, joined)
    lists = [partition.postings[numbers[word]] for word in places]
    return Index(partition.block, dataset, list(places), list(places.values()), lists)


@pytest.fixture(params=["oracle", "kernel"])
def decoder(request: pytest.FixtureRequest, target: Target, kernel: Any, index: Index) -> Any:
    impl = target.reference if request.param == "oracle" else kernel
    return impl.PostingDecoder(index.block)


def lists_of(index: Index) -> tuple[Array, ...]:
    """Lance's own bytes, one list after the other, as a call has them."""
    blocks = [block for postings in index.lists for block in postings.blocks]
    return (
        np.frombuffer(b"".join(blocks), np.uint8),
        np.cumsum([0, *map(len, blocks)]),
        np.cumsum([0, *(len(postings.blocks) for postings in index.lists)]),
        np.array([postings.length for postings in index.lists]),
    )


def streams_of(index: Index) -> tuple[Array, Array]:
    streams = [stream for postings in index.lists for stream in postings.streams]
    return np.frombuffer(b"".join(streams), np.uint8), np.cumsum([0, *map(len, streams)])


def every_doc(index: Index) -> tuple[Any, ...]:
    """A call that asks every doc of every list for its positions."""
    *lists, lengths = lists_of(index)
    of_list = np.repeat(np.arange(len(lengths)), lengths)
    places = np.arange(len(of_list)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return *lists, lengths, *streams_of(index), of_list, places, len(true_positions(index))


def true_postings(index: Index) -> tuple[Array, Array]:
    """The ids and the frequencies of all words, from the texts."""
    ids = [doc for docs in index.places for doc in docs]
    frequencies = [len(found) for docs in index.places for found in docs.values()]
    return np.array(ids, np.uint32), np.array(frequencies, np.uint32)


def true_positions(index: Index) -> Array:
    return np.concatenate([found for docs in index.places for found in docs.values()]).astype(np.uint32)


def test_the_index_has_what_is_to_be_decoded(index: Index) -> None:
    """Blocks as asked, most lists a remainder only, patches, groups of differences, and varints of three bytes."""
    lengths = lists_of(index)[3]
    assert all(len(postings.blocks) == -(-postings.length // index.block) for postings in index.lists)
    assert np.mean(lengths < index.block) > 0.9
    first = index.lists[int(np.argmax(lengths))].blocks[0]
    assert index.block == lance_postings.BLOCK or first[5 + 32 * first[4] + 1] > 0
    assert max(len(found) for docs in index.places for found in docs.values()) > 10 * 128
    assert true_positions(index).max() > 2**14


def test_every_list_is_decoded_to_the_postings_of_the_texts(index: Index, decoder: Any) -> None:
    decoded = decoder.decode_lists(*lists_of(index))
    for actual, expected, what in zip(decoded, true_postings(index), ("ids", "frequencies"), strict=True):
        compare.exact(actual, expected, what)


def test_the_positions_of_every_doc_are_those_of_the_texts(index: Index, decoder: Any) -> None:
    positions, counts = decoder.decode_positions(*every_doc(index))
    compare.exact(counts, true_postings(index)[1], "counts")
    compare.exact(positions, true_positions(index), "positions")


def test_the_positions_of_some_docs_are_decoded_alone(index: Index, decoder: Any) -> None:
    *call, lists, places, _ = every_doc(index)
    counts = true_postings(index)[1]
    for step in (2, 7, 401):
        is_asked = np.arange(len(lists)) % step == step - 1
        expected = true_positions(index)[np.repeat(is_asked, counts)]
        positions, found = decoder.decode_positions(*call, lists[is_asked], places[is_asked], len(expected))
        compare.exact(found, counts[is_asked], "counts")
        compare.exact(positions, expected, "positions")


def test_the_encoder_writes_the_bytes_of_lance(target: Target, index: Index) -> None:
    blocks, offsets, first_blocks, lengths = lists_of(index)
    pieces = np.arange(len(lengths) + 1)
    ours = target.inputs.state_of(index.block, pieces, lengths, *true_postings(index), true_positions(index)).pool
    compare.exact(ours.offsets, offsets, "offsets")
    compare.exact(ours.first_blocks, first_blocks, "first blocks")
    is_maximum = np.zeros(len(blocks), np.bool_)  # a stand-in here
    if index.block == lance_postings.BLOCK:
        is_maximum[offsets[:-1, None] + np.arange(4)] = True
    assert (ours.blocks == blocks)[~is_maximum].all()
    streams, stream_starts = streams_of(index)
    compare.exact(ours.stream_starts, stream_starts, "where streams begin")
    compare.exact(ours.streams, streams, "streams")


def test_positions_find_the_phrases_that_lance_finds(target: Target, index: Index) -> None:
    """A doc has a phrase where a position of the first word and the next one, of the second, are both there."""
    found = 0
    oracle = target.reference.PostingDecoder(index.block)
    positions, counts = oracle.decode_positions(*every_doc(index))
    of_doc = np.split(positions, np.cumsum(counts)[:-1])
    lengths = lists_of(index)[3]
    starts = np.cumsum(lengths) - lengths
    for first, second in (("w0", "w1"), ("w1", "w0"), ("w3", "w5"), ("w40", "w0"), ("w7", "w300")):
        one, other = (
            dict(zip(index.lists[number].doc_ids.tolist(), of_doc[starts[number] :], strict=False))
            for number in (index.words.index(word) for word in (first, second))
        )
        having = {doc for doc in one if doc in other and np.isin(one[doc] + 1, other[doc]).any()}
        assert phrase_rows(index.dataset, f"{first} {second}") == having
        found += len(having)
    assert found > 100


def phrase_rows(dataset: Any, phrase: str) -> set[int]:
    from lance.query import PhraseQuery

    query = PhraseQuery(phrase, lance_postings.COLUMN)
    found = dataset.scanner(with_row_id=True, columns=[], full_text_query=query, limit=DOCS).to_table()
    return set(found["_rowid"].to_pylist())


def test_the_checks_refuse_the_kernel_on_other_bytes(target: Target, kernel: Any, index: Index) -> None:
    """Establishes that a comparison can fail: one bit of a frequency is another, or one of a position."""
    call = every_doc(index)
    lists = target.inputs.Lists(*call[:6])
    block = lists.first_blocks[np.argmax(lists.lengths)]
    other_blocks, other_streams = lists.blocks.copy(), lists.streams.copy()
    other_blocks[lists.offsets[block + 1] - 1] ^= 1
    other_streams[lists.stream_starts[block] + 1] ^= 1
    of_postings, of_positions = (other_blocks, *call[1:4]), (*call[:4], other_streams, *call[5:])
    for part, right, wrong, what in (
        ("lists", call[:4], of_postings, r"result\[1\]: "),
        ("positions", call, of_positions, r"result\[0\]: "),
    ):
        state = target.inputs.State(index.block, part, np.arange(2), lists, np.zeros(0, np.uint32), np.arange(1))
        decode, oracle = target.wiring.bind(kernel, state), oracles.Oracle(target, state)
        oracle.verify(decode(*right), right, part)
        with pytest.raises(KernelIncorrect, match=what):
            oracle.verify(decode(*wrong), right, part)
