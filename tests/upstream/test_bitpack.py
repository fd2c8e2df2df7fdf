"""Oracle, kernel and port of bitpack on real pages: written by Lance, and packed buffers made by Vortex.

Establishes that all decode what Lance 14.0.2 packed, for every word size, every width and several column types,
out of the page's own bytes; what it packs where nobody asks it to, such as levels, indices of dictionaries and
timestamps; and that the workload lays pages out as Lance does. Vortex packs in the same layout; its buffers are a
second, independent check.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
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

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "targets" / "bitpack"
TYPES: Final = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
VERSIONS: Final = ("2.1", "2.2")
TAIL: Final = 37
"""Values of the last chunk."""
PACKED: Final = {"lance-encoding:rle-threshold": "0.0000001", "lance-encoding:bss": "off"}
"""Keeps Lance from choosing another encoding."""


class Page(NamedTuple):
    """What a kernel needs of a page, and the values that Lance was given, as unsigned words."""

    words: Array
    word_off: Array
    widths: Array
    values: Array


@pytest.fixture(scope="module")
def decoders(target: Target, kernel: Any, port: Any) -> list[Any]:
    """The oracle, the kernel, and the port of Lance, all with the same names."""
    return [target.reference, kernel, port]


@pytest.fixture(scope="module", params=[(name, version) for version in VERSIONS for name in TYPES], ids="-".join)
def page(request: pytest.FixtureRequest, pa: ModuleType, target: Target, tmp_path_factory: Any) -> Page:
    """A page of every width, in random order, as Lance wrote it."""
    name, version = request.param
    values = column(np.dtype(name))
    path = tmp_path_factory.mktemp("pages") / "page.lance"
    lance_pages.write(path, pa.array(values), version, PACKED)
    assert lance_pages.read(path).to_numpy(zero_copy_only=False).tobytes() == values.tobytes()
    page = page_of(target, lance_pages.only_page(path), values.view(f"u{values.itemsize}"))
    assert set(page.widths.tolist()) == set(range(8 * values.itemsize + 1))
    return page


def column(dtype: np.dtype[Any]) -> Array:
    """Return values of every width of that type, a chunk each; for floats they are NaN, -0.0 and so on."""
    rng = np.random.default_rng(dtype.num)
    bits = 8 * dtype.itemsize
    chunks = [
        rng.integers(0, 2**64, 1024, dtype=np.uint64) >> np.uint64(64 - width) if width else np.zeros(1024, "u8")
        for width in rng.permutation(bits + 1)
    ]
    tail = rng.integers(0, 100, TAIL, dtype=np.uint64)
    return np.concatenate([*chunks, tail]).astype(f"u{dtype.itemsize}").view(dtype)


def page_of(target: Target, stored: lance_pages.Page, values: Array) -> Page:
    """Find the chunks by the layout that the workload has too; only the widths are read from the file."""
    assert "InlineBitpacking" in stored.encoding
    chunks = lance_pages.chunks(stored)
    size = values.itemsize
    widths = np.array([int.from_bytes(chunk.buffers[0][:size], "little") for chunk in chunks], np.uint8)
    word_off, length = target.inputs.layout(8 * size, widths)
    assert length * size == len(stored.buffers[1])
    return Page(np.frombuffer(stored.buffers[1], values.dtype), word_off, widths, values)


def compare_with_all(decoders: list[Any], page: Page) -> None:
    for decoder in decoders:
        compare_with(decoder, page)


def compare_with(decoder: Any, page: Page) -> None:
    out = np.full(1024 * page.widths.size, 77, page.words.dtype)
    n = page.values.size
    decoder.Bitpack(8 * page.words.itemsize).unpack_chunks(page.words, page.word_off, page.widths, n, out)
    compare.exact(out[:n], page.values, "values of Lance")


def test_oracle_kernel_and_port_decode_lance_s_pages(page: Page, decoders: list[Any]) -> None:
    compare_with_all(decoders, page)


def first_width_too_small(page: Page) -> Page:
    widths = page.widths.copy()
    widths[np.argmax(widths)] -= 1
    return page._replace(widths=widths)


def one_word_late(page: Page) -> Page:
    return page._replace(word_off=page.word_off - 1)


def one_bit_wrong(page: Page) -> Page:
    words = page.words.copy()
    words[page.word_off[np.argmax(page.widths)]] ^= 1
    return page._replace(words=words)


def two_values_exchanged(page: Page) -> Page:
    values = page.values.copy()
    at = 1024 * int(np.argmax(page.widths))
    first = at + int(np.argmax(values[at : at + 1024] != values[at]))
    values[[at, first]] = values[[first, at]]
    return page._replace(values=values)


@pytest.mark.parametrize("misread", [first_width_too_small, one_word_late, one_bit_wrong, two_values_exchanged])
def test_the_oracle_refuses_misread_pages(page: Page, target: Target, misread: Callable[[Page], Page]) -> None:
    """Establishes that the comparison can fail: one wrong bit of one value is enough."""
    with pytest.raises(compare.Mismatch, match="values of Lance"):
        compare_with(target.reference, misread(page))


def levels_of(target: Target, stored: lance_pages.Page, is_null: Array) -> Page:
    """Find the levels by the layout that the workload has too, before values of 32 bits."""
    assert "OutOfLineBitpacking" in stored.encoding
    chunks = lance_pages.chunks(stored)
    beside = np.array([int.from_bytes(chunk.buffers[0][:4], "little") for chunk in chunks], np.uint8)
    word_off, size = target.inputs.level_layout(1, 32, beside)
    assert 2 * size == len(stored.buffers[1])
    words = np.frombuffer(stored.buffers[1], np.uint16)
    return Page(words, word_off, np.ones_like(beside), is_null.astype(np.uint16))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_levels_and_the_values_of_a_nullable_column(
    version: str, pa: ModuleType, target: Target, decoders: list[Any], tmp_path: Path
) -> None:
    """Establishes the shape of levels: 64 words before the values of each chunk, and none for the width."""
    rng = np.random.default_rng(21)
    most = np.repeat(rng.integers(2**10, 2**14, 9), 1024)[:9000]
    values, is_null = rng.integers(0, most).astype(np.uint32), rng.random(9000) < 0.1
    values[is_null] = 0
    lance_pages.write(tmp_path / "page", pa.array(values, mask=is_null), version, PACKED)
    stored = lance_pages.only_page(tmp_path / "page")
    levels = levels_of(target, stored, is_null)
    compare_with_all(decoders, levels)
    chunks = lance_pages.chunks(stored)
    widths = np.array([chunk.buffers[0][0] for chunk in chunks], np.uint8)
    words = np.frombuffer(stored.buffers[1], np.uint32)
    compare_with_all(decoders, Page(words, levels.word_off // 2 + 32 + 1, widths, values))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("strings", "width"), [(16, 4), (300, 9), (2000, 11)])
def test_the_indices_of_a_dictionary(
    strings: int, width: int, version: str, pa: ModuleType, target: Target, decoders: list[Any], tmp_path: Path
) -> None:
    """Establishes that nobody need ask: strings that come often are indices of 32 bits in order of appearance."""
    drawn = np.random.default_rng(strings).integers(0, strings, 9 * 1024 + TAIL)
    column = pa.array([f"category number {number}" for number in drawn])
    lance_pages.write(tmp_path / "page", column, version)
    stored = lance_pages.only_page(tmp_path / "page")
    encoded = column.dictionary_encode()
    assert lance_pages.number(stored, "num_dictionary_items") == len(encoded.dictionary)
    page = page_of(target, stored, encoded.indices.to_numpy().astype(np.uint32))
    assert max(page.widths) == width
    compare_with_all(decoders, page)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("year", "width"), [(2001, 40), (2026, 41)])
def test_timestamps_in_milliseconds(
    year: int, width: int, version: str, pa: ModuleType, target: Target, decoders: list[Any], tmp_path: Path
) -> None:
    """Establishes that nobody need ask, and that neither a base nor the value before is taken off."""
    first = np.datetime64(f"{year}-03-01", "ms").astype(np.int64)
    values = np.sort(first + np.random.default_rng(year).integers(0, 10**9, 5000))
    lance_pages.write(tmp_path / "page", pa.array(values, pa.timestamp("ms")), version)
    page = page_of(target, lance_pages.only_page(tmp_path / "page"), values.view("u8"))
    assert set(page.widths.tolist()) == {width}
    compare_with_all(decoders, page)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("nulls", [False, True], ids=["no-nulls", "nulls"])
def test_a_chunk_begins_with_eight_bytes_in_both_versions(
    nulls: bool, version: str, pa: ModuleType, tmp_path: Path
) -> None:
    """Establishes what the workload leaves before a chunk: 16 bits, a size of 16 or 32 bits, padding of 0xfe."""
    values = np.random.default_rng(5).integers(0, 2**13, 5000).astype(np.int32)
    is_null = np.random.default_rng(6).random(5000) < 0.1
    lance_pages.write(tmp_path / "page", pa.array(values, mask=is_null if nulls else None), version)
    described, data = lance_pages.only_page(tmp_path / "page").buffers
    assert len(described) == 5 * (2 if version == "2.1" else 4)
    levels = 128 * nulls
    packed = 4 + 128 * 13
    size = packed.to_bytes(2 if version == "2.1" else 4, "little")
    header = (1024).to_bytes(2, "little") + levels.to_bytes(2, "little") + size if nulls else bytes(2) + size
    assert data[:8] == header.ljust(8, b"\xfe")
    assert data[8 + levels + packed :][:4] == b"\xfe" * 4
    assert len(data) == 5 * (8 + levels + packed + 4)


def test_levels_of_nulls_in_runs_are_not_packed(pa: ModuleType, tmp_path: Path) -> None:
    lance_pages.write(tmp_path / "page", pa.array(WIDE, mask=np.arange(WIDE.size) // 5000 % 2 == 1), "2.2")
    levels = lance_pages.only_page(tmp_path / "page").encoding.partition("value_compression")[0]
    assert "Rle" in levels
    assert "OutOfLineBitpacking" not in levels


NORMAL: Final = np.random.default_rng(8).normal(size=50 * 1024)
WIDE: Final = np.random.default_rng(9).integers(0, 10**6, 50 * 1024)
BY_DEFAULT: Final[dict[str, tuple[Array, set[int]]]] = {
    "floats with signs": (NORMAL, set()),
    "floats from 1 to 2": (1 + abs(NORMAL) % 1, {62}),
    "integers with signs": (WIDE - 500_000, set()),
    "integers, one of them negative": (np.where(np.arange(WIDE.size) == 20_000, -1, WIDE), {20, 64}),
}


@pytest.mark.parametrize("name", BY_DEFAULT)
def test_which_columns_of_64_bits_are_packed(name: str, pa: ModuleType, target: Target, tmp_path: Path) -> None:
    """Establishes that full width occurs in single chunks only: a page with nothing to gain is not packed."""
    values, widths = BY_DEFAULT[name]
    lance_pages.write(tmp_path / "page", pa.array(values), "2.2")
    stored = lance_pages.only_page(tmp_path / "page")
    if not widths:
        assert "Bitpacking" not in stored.encoding
        return
    page = page_of(target, stored, values.view("u8"))
    assert set(page.widths.tolist()) == widths
    compare_with(target.reference, page)


def test_a_negative_value_makes_its_chunk_full_width(pa: ModuleType, target: Target, tmp_path: Path) -> None:
    values = np.arange(2 * 1024, dtype=np.int32)
    values[3] = -1
    lance_pages.write(tmp_path / "page", pa.array(values), "2.1", PACKED)
    page = page_of(target, lance_pages.only_page(tmp_path / "page"), values.view("u4"))
    assert page.widths.tolist() == [32, 11]
    compare_with(target.reference, page)


@pytest.mark.parametrize("rows", [600, 1024, 2560, 5000])
def test_oracle_kernel_and_port_decode_lance_s_definition_levels(
    rows: int, pa: ModuleType, decoders: list[Any], tmp_path: Path
) -> None:
    """Establishes that levels are out of line, without a word for the width, or inline up to 1024 rows."""
    rng = np.random.default_rng(rows)
    is_null = rng.random(rows) < 0.3
    lance_pages.write(tmp_path / "page", pa.array(rng.integers(0, 99, rows), mask=is_null), "2.1", PACKED)
    stored = lance_pages.only_page(tmp_path / "page")
    before = rows <= 1024
    packed = b"".join(chunk.definition for chunk in lance_pages.chunks(stored))
    words = np.frombuffer(packed, np.uint16)
    chunks = -(-rows // 1024)
    assert words.size == 64 * chunks + before
    word_off = np.arange(chunks) * 64 + before
    page = Page(words, word_off, np.ones(chunks, np.uint8), is_null.astype(np.uint16))
    compare_with_all(decoders, page)
    compare.exact(lance_pages.definition_levels(stored), page.values)


@pytest.mark.parametrize("nulls", [slice(None, None, 3), slice(0, 100)], ids=["short-tail", "none-in-a-chunk"])
def test_definition_levels_that_lance_does_not_pack_are_read(nulls: slice, pa: ModuleType, tmp_path: Path) -> None:
    """Establishes when the levels are no bit-packed chunk: a short tail, or a chunk that has no null at all."""
    is_null = np.zeros(2085, bool)
    is_null[nulls] = True
    lance_pages.write(tmp_path / "page", pa.array(np.arange(2085), mask=is_null), "2.1", PACKED)
    stored = lance_pages.only_page(tmp_path / "page")
    assert len(lance_pages.chunks(stored)[-1].definition) == 2 * TAIL
    compare.exact(lance_pages.definition_levels(stored), is_null.astype(np.uint16))


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_oracle_kernel_and_port_decode_vortex_s_buffers(bits: int, pa: ModuleType, decoders: list[Any]) -> None:
    """Establishes the layout a second time, for every width but the full one, which Vortex does not pack."""
    vortex = pytest.importorskip("vortex", reason="needs vortex-data")
    draw = partial(np.random.default_rng(bits).integers, dtype=np.uint64)
    for width in range(1, bits):
        values = draw(0, 2**width, 4091).astype(f"u{bits // 8}")
        array = vortex.compress(vortex.array(pa.array(values)))
        assert type(array).__name__ == "FastLanesBitPackedArray"
        assert array.bit_width == width
        buffers: list[pickle.PickleBuffer] = []
        pickle.dumps(array, protocol=5, buffer_callback=buffers.append)
        (packed,) = (buffer.raw() for buffer in buffers if buffer.raw().nbytes == 4 * 128 * width)
        words = np.frombuffer(packed, values.dtype)
        word_off = np.arange(4) * (1024 * width // bits)
        page = Page(words, word_off, np.full(4, width, np.uint8), values)
        compare_with_all(decoders, page)
