"""The oracle and the kernel of dictionary on real pages: written by Lance, decoded by Lance and by pyarrow.

Establishes that both make of the dictionary and the indices in a page's own bytes the very offsets and bytes that
Lance 14.0.2 makes of them, null rows too, for the types of values and of indices that it writes, and for runs.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

import lance_pages
import lance_wheel
import numpy as np
import pytest

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.target_files.load import Target

pytestmark = pytest.mark.upstream

Array = np.ndarray[Any, Any]

FOLDER: Final = Path(__file__).parents[2] / "targets" / "dictionary"
ROWS: Final = 5000
PACKED: Final = {"lance-encoding:rle-threshold": "0.0000001"}
"""Keeps Lance from run-length encoding the indices."""

TYPES: Final = ("string", "binary", "large_string", "large_binary", "decimal128")
KEYS: Final = ("int8", "uint8", "int16", "uint16", "int32")
VERSIONS: Final = ("2.1", "2.2")


class Column(NamedTuple):
    """A page as its bytes have it, dictionary and indices, and what Lance or pyarrow decodes it to.

    `runs` are None where indices are packed; else `indices` are the values of the runs. Of values of a fixed
    width, `data` and `decoded` are uint8 (k, 16) and (n, 16), and `offsets` are empty.
    """

    indices: Array
    runs: Array | None
    offsets: Array
    data: Array
    decoded: tuple[Array, ...]


@pytest.fixture(params=[(name, version) for version in VERSIONS for name in TYPES], ids="-".join)
def column(request: pytest.FixtureRequest, pa: ModuleType, tmp_path: Path) -> Column:
    """A page whose dictionary Lance made; one row in ten is null, and Lance itself decodes it."""
    name, version = request.param
    lance_pages.write(tmp_path / "page", values_of(pa, name), version, PACKED)
    lance = lance_pages.read(tmp_path / "page")
    assert lance.null_count == ROWS // 10
    return column_of(lance_pages.only_page(tmp_path / "page"), lance)


def values_of(pa: ModuleType, name: str) -> Any:
    """Return a column with 300 values, of 0 to 24 bytes where they are no numbers, and with nulls."""
    drawn = np.random.default_rng(len(name)).integers(0, 300, ROWS)
    if name == "decimal128":
        values: list[Any] = [decimal.Decimal((-1) ** int(i) * 3 ** int(50 + i % 20) + int(i)) for i in drawn]
        kind = pa.decimal128(38, 0)
    else:
        values = [f"{i}-é" * (i % 5) for i in drawn.tolist()]
        kind = getattr(pa, name)()
    values[::10] = [None] * (ROWS // 10)
    return pa.array(values, kind)


def column_of(page: lance_pages.Page, decoded: Any) -> Column:
    """Take a page apart; `decoded` is the pyarrow array that it stands for."""
    how, _, dictionary = page.encoding.partition("value_compression: ")[2].partition("dictionary: ")
    entries = lance_pages.number(page, "num_dictionary_items")
    buffer = page.buffers[2]
    if "CompressionAlgorithmLz4" in dictionary:
        buffer = lz4_unpacked(buffer)
    offsets, data = entries_of(buffer, entries, fixed="Variable {" not in dictionary)
    return Column(*indices_of(page, how), offsets, data, arrays_of(decoded, offsets))


def indices_of(page: lance_pages.Page, how: str) -> tuple[Array, Array | None]:
    """Read the indices of all chunks, or the values and lengths of their runs."""
    chunks = lance_pages.chunks(page)
    if "Rle {" in how:
        bits, lengths = re.findall(r"bits_per_value: (\d+)", how)
        assert lengths == "8"
        values, runs = (b"".join(chunk.buffers[part] for chunk in chunks) for part in (0, 1))
        return np.frombuffer(values, f"u{int(bits) // 8}"), np.frombuffer(runs, np.uint8)
    if "InlineBitpacking" not in how:  # indices that need all their bits
        bits = lance_pages.number(page._replace(encoding=how), "bits_per_value")
        return np.frombuffer(b"".join(chunk.buffers[0] for chunk in chunks), f"u{bits // 8}"), None
    bits = lance_pages.number(page._replace(encoding=how), "uncompressed_bits_per_value")
    return np.concatenate(
        [lance_pages.unpack_inline(chunk.buffers[0], f"u{bits // 8}", chunk.size) for chunk in chunks]
    ), None


def lz4_unpacked(buffer: bytes) -> bytes:
    """Undo LZ4: the size in 32 bits, then a block."""
    size = int.from_bytes(buffer[:4], "little")
    unpacked: bytes = lance_wheel.pyarrow().Codec("lz4_raw").decompress(buffer[4:], size, asbytes=True)
    return unpacked


def entries_of(buffer: bytes, entries: int, *, fixed: bool) -> tuple[Array, Array]:
    """Read a dictionary: bits of an offset, where the bytes start, offsets, bytes; or values of 128 bits."""
    if fixed:
        return np.zeros(0, np.int32), np.frombuffer(buffer, np.uint8).reshape(entries, 16)
    bits = int.from_bytes(buffer[:4], "little")
    _, start, *_ = header = np.frombuffer(buffer, f"i{bits // 8}", entries + 3)
    return header[2:], np.frombuffer(buffer, np.uint8)[start:]


def arrays_of(decoded: Any, offsets: Array) -> tuple[Array, ...]:
    """Return offsets and bytes of a pyarrow array, those of null rows among them, or its fixed values."""
    assert decoded.offset == 0
    if not offsets.size:
        return (np.frombuffer(decoded.buffers()[1], np.uint8, 16 * len(decoded)).reshape(-1, 16),)
    ends = np.frombuffer(decoded.buffers()[1], offsets.dtype, len(decoded) + 1)
    return ends, np.frombuffer(decoded.buffers()[2], np.uint8, ends[-1])


def compare_with(target: Target, module: Any, column: Column) -> None:
    """Decode a page through the target's own wiring and check."""
    indices, runs, offsets, data, decoded = column
    run = 0 if runs is None else 1
    state = target.inputs.State(offsets, data, len(indices), indices.dtype.name, run, np.zeros(0, np.int64))
    slack = np.zeros(target.inputs.SLACK, np.uint8)
    if state.fixed:
        answer = target.wiring.bind(module, state)(indices, np.full_like(decoded[0], 77))
        target.wiring.check(answer, decoded[0], ())
        return
    ends, joined = decoded
    out = np.full(len(joined) + len(slack), 77, np.uint8)
    given = (indices,) if runs is None else (indices, runs)
    answer = target.wiring.bind(module, state)(*given, np.full_like(ends, -77), out)
    target.wiring.check(answer, (ends[-1:].astype(np.int64), ends, np.append(joined, slack)), ())


def test_oracle_and_kernel_decode_lance_s_pages(column: Column, target: Target, kernel: Any) -> None:
    compare_with(target, target.reference, column)
    compare_with(target, kernel, column)


def test_all_null_rows_have_the_index_of_one_entry(column: Column) -> None:
    """Establishes that a null row is a row like any other, of no bytes where its length may vary."""
    (null,) = np.unique(column.indices[::10])
    if column.offsets.size:
        assert column.offsets[null] == column.offsets[null + 1]


def an_index_one_too_large(column: Column) -> Column:
    indices = column.indices.copy()
    indices[1] = (indices[1] + 1) % (indices.max() + 1)
    return column._replace(indices=indices)


def zero_is_null(column: Column) -> Column:
    return column._replace(indices=np.maximum(column.indices, 1) - 1)


def a_byte_wrong(column: Column) -> Column:
    data = column.data.copy()
    data[-1] ^= 1
    return column._replace(data=data)


@pytest.mark.parametrize("misread", [an_index_one_too_large, zero_is_null, a_byte_wrong])
def test_the_oracle_refuses_misread_pages(
    column: Column, target: Target, misread: Callable[[Column], Column]
) -> None:
    """Establishes that the comparison can fail; the oracle may find no room for what it decodes."""
    with pytest.raises((compare.Mismatch, ValueError)):
        compare_with(target, target.reference, misread(column))


@pytest.mark.parametrize("version", VERSIONS)
def test_oracle_and_kernel_decode_indices_in_runs(
    version: str, pa: ModuleType, target: Target, kernel: Any, tmp_path: Path
) -> None:
    """Establishes the form of runs, and that Lance makes them of sorted strings of few values by itself."""
    lengths = np.random.default_rng(2).integers(1, 700, 60)
    array = pa.array(np.repeat([f"entry {i}, é" * (i % 5) for i in range(60)], lengths).tolist())
    lance_pages.write(tmp_path / "page", array, version)
    column = column_of(lance_pages.only_page(tmp_path / "page"), lance_pages.read(tmp_path / "page"))
    assert column.runs is not None
    assert column.runs.sum(dtype=np.int64) == len(array)
    assert column.runs.max() == 255
    compare_with(target, target.reference, column)
    compare_with(target, kernel, column)
    wrong = column._replace(runs=column.runs[::-1].copy())
    with pytest.raises((compare.Mismatch, ValueError)):
        compare_with(target, target.reference, wrong)


@pytest.mark.parametrize("keys", KEYS)
def test_oracle_and_kernel_decode_arrow_dictionaries(
    keys: str, pa: ModuleType, target: Target, kernel: Any, tmp_path: Path
) -> None:
    """Establishes that the keys of an Arrow dictionary keep their width; pyarrow decodes them."""
    entries = 128 if keys == "int8" else 256
    drawn = pa.array(np.random.default_rng(1).integers(0, entries, ROWS).astype(keys))
    array = pa.DictionaryArray.from_arrays(drawn, [f"entry {i}" * (i % 4) for i in range(entries)])
    lance_pages.write(tmp_path / "page", array, "2.1", PACKED)
    column = column_of(lance_pages.only_page(tmp_path / "page"), array.dictionary_decode())
    assert column.indices.dtype == np.dtype(keys.replace("int", "uint").replace("uu", "u"))
    assert column.indices.max() == entries - 1
    compare_with(target, target.reference, column)
    compare_with(target, kernel, column)
