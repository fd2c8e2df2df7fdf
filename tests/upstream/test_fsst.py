"""The oracle, the kernel and the port of fsst on real pages: compressed by Lance, decompressed by Lance.

Establishes that all make of the symbol table, the codes and the offsets in a page's own bytes the very strings
that Lance 14.0.2 was given, in mini-blocks and full-zip pages, batch by batch and a page at a time; that the
workload cuts pages into chunks as Lance does; what Lance compresses unasked; and that it reads no more of a table.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

import lance_pages
import numpy as np
import pytest

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.target_files.load import Target

pytestmark = pytest.mark.upstream

Array = np.ndarray[Any, Any]

FOLDER: Final = Path(__file__).parents[2] / "targets" / "fsst"
FSST: Final = {"lance-encoding:compression": "fsst", "lance-encoding:dict-size-ratio": "0.0000001"}
"""Asks Lance for it, and keeps it from making a dictionary of long strings."""

TABLE: Final = "symbol_table"
VERSIONS: Final = ("2.1", "2.2")
CHUNK_BYTES: Final = 4096
"""What Lance aims at for a chunk of strings."""


class Verdict(NamedTuple):
    """A column to write: its type, how many strings, how often each repeats its text, whether there are nulls."""

    type: str
    strings: int = 3000
    repeats: int = 1
    nulls: bool = False


KINDS: Final = {
    "mini-blocks": Verdict("string"),
    "mini-blocks-nulls": Verdict("string", nulls=True),
    "mini-blocks-64-bit": Verdict("large_string"),
    "full-zip": Verdict("string", 300, repeats=12),
    "full-zip-nulls": Verdict("string", 300, repeats=12, nulls=True),
    "full-zip-64-bit": Verdict("large_string", 300, repeats=12),
    "too-little-to-compress": Verdict("string", 200),
}


class Batch(NamedTuple):
    """What one call decompresses, and the strings that Lance was given."""

    table: Array
    codes: Array
    offsets: Array
    strings: tuple[bytes, ...]


class Stored(NamedTuple):
    """A page as Lance compressed it, its symbol table, the type of an offset, and the strings, None where null."""

    page: lance_pages.Page
    table: Array
    word: str
    strings: list[bytes | None]


@pytest.fixture
def decoders(target: Target, kernel: Any, port: Any) -> list[Any]:
    """The oracle, the kernel, and the port of Lance; what the kernel alone has is how it takes whole pages."""
    return [target.reference, kernel, port]


@pytest.fixture(params=[(kind, version) for kind in KINDS for version in VERSIONS], ids="-".join)
def batches(request: pytest.FixtureRequest, pa: ModuleType, tmp_path: Path) -> list[Batch]:
    """A page as Lance compressed it, by a table that it trained itself: batch by batch as Lance reads it."""
    name, version = request.param
    stored = store(pa, tmp_path / "page", KINDS[name], version)
    assert (stored.table[0] == 0) == name.startswith("too-little")
    assert ("FullZip" in stored.page.encoding) == name.startswith("full-zip")
    return full_zip(stored) if "FullZip" in stored.page.encoding else mini_blocks(stored)


def store(pa: ModuleType, path: Path, kind: Verdict, version: str) -> Stored:
    """Let Lance write such a column, and read its page."""
    strings = texts(kind)
    column = pa.array([None if s is None else s.decode() for s in strings], getattr(pa, kind.type)())
    lance_pages.write(path, column, version, FSST)
    page = lance_pages.only_page(path)
    table = np.frombuffer(lance_pages.byte_string(page, TABLE), np.uint8)
    return Stored(page, table, "i8" if "large" in kind.type else "i4", strings)


def texts(kind: Verdict) -> list[bytes | None]:
    """Return URLs, now and then with bytes that a table trained on them lacks, and empty strings."""
    rng = np.random.default_rng(kind.strings)
    rare = [chr(code) for code in rng.integers(0x80, 0x300, kind.strings)]
    urls = [
        f"https://www.example.org/{rng.integers(10**6)}/\0{rare[i] if i % 3 else ''}?lang=en" * kind.repeats
        for i in range(kind.strings)
    ]
    strings: list[bytes | None] = [b"" if i % 11 == 5 else url.encode() for i, url in enumerate(urls)]
    return [None if kind.nulls and i % 7 == 3 else string for i, string in enumerate(strings)]


def mini_blocks(stored: Stored) -> list[Batch]:
    """A chunk is offsets, absolute in its buffer, then codes; null strings are there and empty."""
    page, table, word, strings = stored
    batches = []
    at = 0
    for chunk in lance_pages.chunks(page):
        (buffer,) = chunk.buffers
        offsets = np.frombuffer(buffer, word, chunk.size + 1)
        assert offsets[0] == offsets.nbytes
        wanted = tuple(string or b"" for string in strings[at : at + chunk.size])
        batches.append(Batch(table, np.frombuffer(buffer + bytes(8), np.uint8), offsets, wanted))
        at += chunk.size
    assert at == len(strings)
    return batches


def full_zip(stored: Stored) -> list[Batch]:
    """A row is a control word where there may be nulls, the length and the codes; two batches share the codes."""
    page, table, word, strings = stored
    data, size = page.buffers[0], np.dtype(word).itemsize
    control = None in strings
    parts = []
    at = 0
    for string in strings:
        is_null = control and data[at] == 1
        assert is_null == (string is None)
        at += control
        length = 0 if is_null else int.from_bytes(data[at : at + size], "little")
        at += 0 if is_null else size
        parts.append(data[at : at + length])
        at += length
    assert at == len(data)
    codes = np.frombuffer(b"".join(parts) + bytes(8), np.uint8)
    offsets = np.cumsum([0, *map(len, parts)]).astype(word)
    wanted = tuple(string or b"" for string in strings)
    half = len(wanted) // 2
    first = Batch(table, codes, offsets[: half + 1], wanted[:half])
    return [first, Batch(table, codes, offsets[half:], wanted[half:])]


def compare_with(target: Target, module: Any, batch: Batch) -> None:
    """Decompress a batch through the target's own wiring and check."""
    state = target.inputs.State(batch.table, *[None] * 7)
    ends = np.cumsum([0, *map(len, batch.strings)]).astype(batch.offsets.dtype)
    out = np.full(ends[-1] + target.inputs.SLACK, 77, np.uint8)
    answer = target.wiring.bind(module, state)(batch.codes, batch.offsets, out, np.full_like(ends, -77))
    joined = np.frombuffer(b"".join(batch.strings), np.uint8)
    target.wiring.check(answer, (ends[-1:].astype(np.int64), ends, joined), ())


def test_oracle_kernel_and_port_decompress_lance_s_pages(
    batches: list[Batch], target: Target, decoders: list[Any]
) -> None:
    for batch in batches:
        for decoder in decoders:
            compare_with(target, decoder, batch)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("full-zip")])
def test_oracle_kernel_and_port_decompress_a_page_at_a_time(
    kind: str, version: str, pa: ModuleType, target: Target, decoders: list[Any], tmp_path: Path
) -> None:
    """Establishes the shape of chunks: the page's own bytes, levels of nulls between the chunks too."""
    stored = store(pa, tmp_path / "page", KINDS[kind], version)
    page = np.frombuffer(stored.page.buffers[1] + bytes(target.inputs.SLACK), np.uint8)
    starts, counts = places(stored)
    ends = np.cumsum([0, *(len(string or b"") for string in stored.strings)]).astype(stored.word)
    wanted = (
        ends[-1:].astype(np.int64),
        ends,
        np.frombuffer(b"".join(s or b"" for s in stored.strings), np.uint8),
    )
    state = target.inputs.State(stored.table, *[None] * 7, CHUNK_BYTES)
    for decoder in decoders:
        out, out_offsets = np.full(ends[-1] + target.inputs.SLACK, 77, np.uint8), np.full_like(ends, -77)
        answer = target.wiring.bind(decoder, state)(stored.table, page, starts, counts, out, out_offsets)
        target.wiring.check(answer, wanted, ())


def places(stored: Stored) -> tuple[Array, Array]:
    """Return where the offsets of each chunk begin in the page, and how many strings it has."""
    starts, counts, at = [], [], 0
    for chunk in lance_pages.chunks(stored.page):
        starts.append(at + 8 + -(-len(chunk.definition) // 8) * 8)
        counts.append(chunk.size)
        at = starts[-1] + -(-len(chunk.buffers[0]) // 8) * 8
    assert at == len(stored.page.buffers[1])
    return np.array(starts), np.array(counts)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["mini-blocks", "mini-blocks-64-bit", "too-little-to-compress"])
def test_the_workload_lays_pages_out_as_lance_does(
    kind: str, version: str, pa: ModuleType, target: Target, tmp_path: Path
) -> None:
    """Establishes how many strings a chunk has, and where its offsets and codes lie."""
    stored = store(pa, tmp_path / "page", KINDS[kind], version)
    batches = mini_blocks(stored)
    codes = np.concatenate([batch.codes[batch.offsets[0] : batch.offsets[-1]] for batch in batches])
    sizes = np.concatenate([np.diff(batch.offsets) for batch in batches])
    state = target.inputs.State(*[None] * 6, 8 * np.dtype(stored.word).itemsize, 0, CHUNK_BYTES)
    page, starts, counts = target.inputs.pages(
        codes, np.append(0, np.cumsum(sizes, dtype=np.int64)), state, np.random.default_rng(0)
    )
    compare.exact((starts, counts), places(stored), "chunks of Lance")
    assert len(page) == len(stored.page.buffers[1]) + target.inputs.SLACK
    for start, batch in zip(starts, batches, strict=True):
        compare.exact(page[start:][: batch.offsets[-1]], batch.codes[: batch.offsets[-1]], "a chunk of Lance")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("type_name", "compressed"), [("string", True), ("large_string", True), ("binary", False)]
)
def test_strings_are_compressed_where_nobody_asks_for_it_and_bytes_are_not(
    type_name: str, compressed: bool, version: str, pa: ModuleType, tmp_path: Path
) -> None:
    strings = [string for string in texts(KINDS["mini-blocks"]) if string is not None]
    column = pa.array([s if type_name == "binary" else s.decode() for s in strings], getattr(pa, type_name)())
    lance_pages.write(tmp_path / "page", column, version)
    assert ("symbol_table" in lance_pages.only_page(tmp_path / "page").encoding) == compressed


def a_code_wrong(batch: Batch) -> Batch:
    codes = batch.codes.copy()
    codes[batch.offsets[-1] - 1] ^= 1
    return batch._replace(codes=codes)


def offsets_from_zero(batch: Batch) -> Batch:
    return batch._replace(codes=batch.codes[1:])


def a_string_less(batch: Batch) -> Batch:
    offsets = batch.offsets.copy()
    offsets[-1] = offsets[np.searchsorted(offsets, offsets[-1]) - 1]
    return batch._replace(offsets=np.minimum(offsets, offsets[-1]))


@pytest.mark.parametrize("misread", [a_code_wrong, offsets_from_zero, a_string_less])
def test_the_oracle_refuses_misread_pages(
    batches: list[Batch], target: Target, misread: Callable[[Batch], Batch]
) -> None:
    """Establishes that the comparison can fail; the oracle may find no room for what it decodes."""
    for batch in batches:
        with pytest.raises((compare.Mismatch, ValueError, IndexError)):
            compare_with(target, target.reference, misread(batch))


def test_lance_reads_no_more_of_a_table_than_the_symbols_and_their_lengths(
    pa: ModuleType, target: Target, tmp_path: Path
) -> None:
    """Establishes that the noise in generated tables is legal: Lance reads its file after it was put in there."""
    strings = texts(KINDS["mini-blocks"])
    path = tmp_path / "page"
    lance_pages.write(path, pa.array([s.decode() for s in strings if s is not None]), "2.1", FSST)
    table = lance_pages.byte_string(lance_pages.only_page(path), TABLE)
    count = table[0]
    lengths = table[8 + 8 * count : 8 + 9 * count]
    symbols = [table[8 + 8 * code : 8 + 8 * code + length] for code, length in enumerate(lengths)]
    noisy = target.inputs.symbol_table(symbols, np.random.default_rng(0)).tobytes()
    assert sum(a != b for a, b in zip(table, noisy, strict=True)) > 500
    data = path.read_bytes()
    assert data.count(table) == 1
    path.write_bytes(data.replace(table, noisy))
    assert lance_pages.byte_string(lance_pages.only_page(path), TABLE) == noisy
    assert [text.encode() for text in lance_pages.read(path).to_pylist()] == strings
