"""Lance's inverted indexes: made from texts, searched through Lance, and their files read into numpy.

Owns the layout of `part_<i>_docs.lance` and `part_<i>_invert.lance` as Lance 14.0.2 writes them, in blocks of
128 or of 256, and a decoder of these that shares nothing with any kernel. Texts are split at blanks and nothing
is done to the tokens, so a test knows every posting beforehand.

    dataset = create_inverted(folder, texts)
    (partition,) = read_inverted(lance_files.index_folder(dataset))
    ids = token_ids(partition, texts)
    postings = partition.postings[ids["lance"]]
    row_ids, scores = search(dataset, "lance index", k=10)
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Ids = NDArray[np.uint32]
    Floats = NDArray[np.float32]

COLUMN: Final = "text"
BLOCK: Final = 128
"""Postings of a whole block, unless an index is made with others; the last block of a list may have fewer."""

LARGE_BLOCK: Final = 256
"""The other number that Lance knows; its blocks have no maximum, and their frequencies have patches."""


class PostingList(NamedTuple):
    """The documents of one token.

    `blocks` are the bytes of the file, one item per block; `doc_ids` (ascending) and `freqs`, uint32 (length,),
    what they hold; `block_maxima`, float32 (blocks,), none where blocks are large, and `max_score` are Lance's
    bounds of a score. `streams` are the positions of each block, as bytes; none in an index without positions.
    """

    blocks: tuple[bytes, ...]
    doc_ids: Ids
    freqs: Ids
    block_maxima: Floats
    max_score: np.float32
    length: int
    streams: tuple[bytes, ...]


class Partition(NamedTuple):
    """One partition: of each document, its row id, uint64 (N,), and length in tokens, uint32 (N,); N documents.

    A document's id is its place in these two. `postings` has one list for each token id, in blocks of `block`.
    """

    row_ids: NDArray[np.uint64]
    doc_lengths: Ids
    postings: tuple[PostingList, ...]
    block: int


def create_inverted(folder: Path, texts: Sequence[str], *, with_position: bool = False, **options: int) -> Any:
    """Write `texts` to a Lance dataset in `folder`, index them and return the dataset.

    The row id of a text is its place in `texts`. Lance reads up to 8,192 rows at a time; more texts than that may
    stand in another order in the index, and which, depends on its threads. `options` are Lance's own.
    """
    import lance
    import pyarrow as pa

    dataset: Any = lance.write_dataset(pa.table({COLUMN: pa.array(texts, pa.string())}), folder)
    dataset.create_scalar_index(
        COLUMN,
        "INVERTED",
        base_tokenizer="whitespace",
        stem=False,
        remove_stop_words=False,
        lower_case=False,
        ascii_folding=False,
        with_position=with_position,
        **options,
    )
    return dataset


def search(dataset: Any, query: str, k: int, operator: str = "OR") -> tuple[NDArray[np.uint64], Floats]:
    """Return the row ids and the scores, descending, that Lance's index gives to a query's tokens."""
    found = _scanner(dataset, query, k, operator).to_table()
    return found["_rowid"].to_numpy(), found["_score"].to_numpy()


def comparisons(dataset: Any, query: str, k: int) -> str:
    """Return how many documents Lance looked at to answer a query, as its plan has it: 999 or 1.23 K."""
    plan = _scanner(dataset, query, k, "OR").analyze_plan()
    (line,) = (line for line in plan.splitlines() if "MatchQuery" in line)
    assert "Flat" not in line, f"not a search in the index:\n{plan}"
    (count,) = re.findall(r"index_comparisons=([\d.]+(?: K)?)", line)
    return str(count)


def read_inverted(folder: Path) -> tuple[Partition, ...]:
    """Read every partition of an inverted index, in the order of their numbers."""
    numbers = sorted(int(path.name.split("_")[1]) for path in folder.glob("part_*_invert.lance"))
    return tuple(_read_partition(folder, number) for number in numbers)


def token_ids(partition: Partition, texts: Sequence[str]) -> dict[str, int]:
    """Return the token id of every token of a partition, found by comparing all its postings with the texts.

    Tokens with the same postings are told apart by their first occurrence: Lance counts in that order.
    """
    expected: dict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for doc, row in enumerate(partition.row_ids):
        for token, count in Counter(texts[int(row)].split()).items():
            expected[token][0].append(doc)
            expected[token][1].append(count)
    tokens = defaultdict(list)
    for token, (docs, counts) in expected.items():
        tokens[_signature(np.array(docs), np.array(counts))].append(token)
    assert len(expected) == len(partition.postings), "tokens of the texts and of the index"
    return {
        tokens[_signature(postings.doc_ids, postings.freqs)].pop(0): number
        for number, postings in enumerate(partition.postings)
    }


def decode_block(data: bytes, size: int, block: int = BLOCK) -> tuple[Ids, Ids]:
    """Return the doc ids and the frequencies of a block of `size` postings, uint32 (size,) each.

    A block of 128 begins with its maximum, float32. A whole one has, after that, the first doc id, uint32; a
    byte, the bits of a difference; the differences; a byte, the bits of a frequency; the frequencies. Before
    the frequencies a block of 256 has the number of patches behind them, each a place and a varint, which has
    the higher bits. A block that is not whole has the first doc id, the other differences and the frequencies
    as varints.
    """
    at = 0 if block == LARGE_BLOCK else 4
    if size < block:
        numbers, end = _varints(data, at, 2 * size)
        ids, freqs = np.array(numbers).reshape(2, size)
        ids = ids.cumsum()
    else:
        (first,) = np.frombuffer(data, "<u4", 1, offset=at)
        differences, end = _unpack(data, at + 5, data[at + 4], block)
        ids = first + differences.cumsum()
        bits = data[end]
        if block == LARGE_BLOCK:
            patches = data[end + 1]
            freqs, end = _unpack(data, end + 2, bits, block)
            for _ in range(patches):
                place = data[end]
                (high,), end = _varints(data, end + 1, 1)
                freqs[place] += high << bits
        else:
            freqs, end = _unpack(data, end + 1, bits, block)
    assert end == len(data), f"a block of {len(data)} bytes, {end} of them read"
    return ids.astype(np.uint32), freqs.astype(np.uint32)


def _unpack(data: bytes, at: int, bits: int, count: int) -> tuple[NDArray[np.int64], int]:
    """Return the `count` numbers of so many bits that begin at `at`, and where they end.

    Of 32 L numbers, i, i + L, i + 2 L ... fill a lane of 32-bit words from the lowest bit; the words of the L
    lanes alternate.
    """
    end = at + bits * count // 8
    lanes = np.ascontiguousarray(np.frombuffer(data[at:end], "<u4").reshape(bits, count // 32).T)
    digits = np.unpackbits(lanes.view(np.uint8), axis=1, bitorder="little").reshape(count // 32, 32, bits)
    return (digits @ (1 << np.arange(bits))).T.ravel(), end


def _varints(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """Return `count` numbers, seven bits a byte, lowest first, and where they end."""
    numbers = []
    for _ in range(count):
        number = shift = 0
        while data[at] > 127:
            number |= (data[at] & 127) << shift
            at, shift = at + 1, shift + 7
        numbers.append(number | data[at] << shift)
        at += 1
    return numbers, at


def _read_partition(folder: Path, number: int) -> Partition:
    docs = read_file(folder / f"part_{number}_docs.lance")
    lists = read_file(folder / f"part_{number}_invert.lance")
    header = lists.schema.metadata
    assert header[b"posting_tail_codec"] == b"varint_delta_v1", f"blocks of another layout: {header}"
    block = int(header[b"posting_block_size"])
    columns = [lists[name].to_pylist() for name in ("_posting", "_max_score", "_length")]
    if b"positions_codec" in header:
        assert header[b"positions_codec"] == b"packed_delta_v1", f"positions of another layout: {header}"
        columns += [lists[name].to_pylist() for name in ("_compressed_position", "_position_block_offset")]
    postings = tuple(_posting_list(block, *row) for row in zip(*columns, strict=True))
    return Partition(docs["_rowid"].to_numpy(), docs["_num_tokens"].to_numpy(), postings, block)


def _posting_list(
    block: int, blocks: list[bytes], max_score: float, length: int, stream: bytes = b"", begins: Sequence[int] = ()
) -> PostingList:
    """Return a list whose blocks' positions begin at these places of its stream."""
    sizes = [min(block, length - start) for start in range(0, length, block)]
    decoded = [decode_block(data, size, block) for data, size in zip(blocks, sizes, strict=True)]
    doc_ids, freqs = (np.concatenate(parts) for parts in zip(*decoded, strict=True))
    heads = [data[:4] for data in blocks if block != LARGE_BLOCK]
    maxima = np.frombuffer(b"".join(heads), "<f4")
    streams = tuple(stream[begin:end] for begin, end in pairwise((*begins, len(stream))))
    return PostingList(tuple(blocks), doc_ids, freqs, maxima, np.float32(max_score), length, streams)


def read_file(path: Path) -> Any:
    """Read a file of an index as a pyarrow.Table."""
    from lance.file import LanceFileReader

    return LanceFileReader(str(path)).read_all().to_table()


def _scanner(dataset: Any, query: str, k: int, operator: str) -> Any:
    from lance.query import FullTextOperator, MatchQuery

    match = MatchQuery(query, COLUMN, operator=FullTextOperator[operator.upper()])
    return dataset.scanner(columns=["_score"], with_row_id=True, full_text_query=match, limit=k)


def _signature(doc_ids: NDArray[Any], freqs: NDArray[Any]) -> bytes:
    return np.concatenate((doc_ids, freqs)).astype(np.uint32).tobytes()
