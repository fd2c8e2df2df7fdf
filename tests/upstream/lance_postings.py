"""Lance's inverted indexes: made from texts, searched through Lance, and their files read into numpy.

Owns the layout of `part_<i>_docs.lance` and `part_<i>_invert.lance` as Lance 1.0.0 writes them, and a decoder of
their blocks that shares nothing with any kernel. Texts are split at blanks and nothing is done to the tokens, so
a test knows every posting beforehand.

    dataset = create_inverted(folder, texts)
    (partition,) = read_inverted(lance_files.index_folder(dataset))
    ids = token_ids(partition, texts)
    postings = partition.postings[ids["lance"]]
    row_ids, scores = search(dataset, "lance index", k=10)
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
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
"""Postings of a whole block; the last block of a list may have fewer."""


class PostingList(NamedTuple):
    """The documents of one token.

    `blocks` are the bytes of the file, one item per block of 128; `doc_ids` (ascending) and `freqs`, uint32
    (length,), what they hold; `block_maxima`, float32 (blocks,), and `max_score` are Lance's bounds of a score.
    """

    blocks: tuple[bytes, ...]
    doc_ids: Ids
    freqs: Ids
    block_maxima: Floats
    max_score: np.float32
    length: int


class Partition(NamedTuple):
    """One partition: of each document, its row id, uint64 (N,), and length in tokens, uint32 (N,); N documents.

    A document's id is its place in these two. `postings` has one list for each token id.
    """

    row_ids: NDArray[np.uint64]
    doc_lengths: Ids
    postings: tuple[PostingList, ...]


def create_inverted(folder: Path, texts: Sequence[str], **options: int) -> Any:
    """Write `texts` to a Lance dataset in `folder`, index them without positions and return the dataset.

    The row id of a text is its place in `texts`. Lance reads up to 8,192 rows at a time; more texts than that may
    stand in another order in the index, and which, depends on its threads. `options` are Lance's own.
    """
    import lance
    import pyarrow as pa

    dataset = lance.write_dataset(pa.table({COLUMN: pa.array(texts, pa.string())}), folder)
    dataset.create_scalar_index(
        COLUMN,
        "INVERTED",
        base_tokenizer="whitespace",
        stem=False,
        remove_stop_words=False,
        lower_case=False,
        ascii_folding=False,
        with_position=False,
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


def decode_block(block: bytes, size: int) -> tuple[Ids, Ids]:
    """Return the doc ids and the frequencies of a block of `size` postings, uint32 (size,) each.

    A whole block is: maximum, float32; first doc id, uint32; a byte, the bits of a difference; the differences;
    a byte, the bits of a frequency; the frequencies. A shorter one is: maximum, ids and frequencies, 4 bytes each.
    """
    if size < BLOCK:
        ids, freqs = np.frombuffer(block, "<u4", offset=4).reshape(2, size)
        return ids, freqs
    (first,) = np.frombuffer(block, "<u4", 1, offset=4)
    differences, end = _unpack(block, 8)
    freqs, end = _unpack(block, end)
    assert end == len(block), f"a block of {len(block)} bytes, {end} of them read"
    return (first + differences.cumsum()).astype(np.uint32), freqs.astype(np.uint32)


def _unpack(block: bytes, at: int) -> tuple[NDArray[np.int64], int]:
    """Return the 128 numbers whose width stands at `at`, and where they end.

    Numbers i, i + 4, i + 8 ... fill a lane of 32-bit words from the lowest bit; the words of the lanes alternate.
    """
    bits = block[at]
    end = at + 1 + bits * BLOCK // 8
    lanes = np.ascontiguousarray(np.frombuffer(block[at + 1 : end], "<u4").reshape(bits, 4).T)
    digits = np.unpackbits(lanes.view(np.uint8), axis=1, bitorder="little").reshape(4, BLOCK // 4, bits)
    return (digits @ (1 << np.arange(bits))).T.ravel(), end


def _read_partition(folder: Path, number: int) -> Partition:
    docs = read_file(folder / f"part_{number}_docs.lance")
    lists = read_file(folder / f"part_{number}_invert.lance")
    columns = (lists[name].to_pylist() for name in ("_posting", "_max_score", "_length"))
    postings = tuple(_posting_list(*row) for row in zip(*columns, strict=True))
    return Partition(docs["_rowid"].to_numpy(), docs["_num_tokens"].to_numpy(), postings)


def _posting_list(blocks: list[bytes], max_score: float, length: int) -> PostingList:
    sizes = [min(BLOCK, length - start) for start in range(0, length, BLOCK)]
    decoded = [decode_block(block, size) for block, size in zip(blocks, sizes, strict=True)]
    doc_ids, freqs = (np.concatenate(parts) for parts in zip(*decoded, strict=True))
    maxima = np.frombuffer(b"".join(block[:4] for block in blocks), "<f4")
    return PostingList(tuple(blocks), doc_ids, freqs, maxima, np.float32(max_score), length)


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
