"""Lance's data files: a column written at a given file version, and its pages read back as bytes.

Owns the layout of a page of the file versions 2.1 and 2.2 as Lance 1.0.0 and 14.0.2 write it: where its buffers
lie, the mini-block chunks, repetition and definition levels, and inline bit-packing.

    write(path, values, "2.1")                       a pyarrow array as a column
    page = only_page(path)                           .buffers (bytes) and .encoding (Lance's debug text)
    number(page, "num_items")                        a number of that text
    byte_string(page, "symbol_table")                bytes of that text
    for chunk in chunks(page):                       mini-block pages only
        chunk.size, chunk.definition, chunk.buffers  values, stored levels, stored values
    layers(page)                                     what each layer may be, the innermost first, by Lance's names
    definition_levels(page)                          uint16 (n,): 0 valid, 1 null, or more in lists and structs
    repetition_levels(page)                          uint16 (n,), or (0,) where the page has no lists
    exchange(path, old, new)                         other bytes in place of some that the file has once
    unpack_inline(chunk.buffers[0], np.uint32, chunk.size)

Bit-packing is read here bit by bit, by other means than any target does it, so that targets can be tested with it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike, NDArray

COLUMN: Final = "column"
CHUNK_VALUES: Final = 1024
"""Values of one bit-packed chunk."""

_ESCAPES: Final = {b"0": b"\0", b"t": b"\t", b"n": b"\n", b"r": b"\r", b'"': b'"', b"'": b"'", b"\\": b"\\"}


class Page(NamedTuple):
    """One page of a column: its buffers as they lie in the file, and the debug text of its encoding.

    Of a mini-block page, buffer 0 has a word for each chunk, buffer 1 the chunks, buffer 2 the dictionary if any.
    """

    encoding: str
    buffers: tuple[bytes, ...]


class Chunk(NamedTuple):
    """One mini-block chunk: how many values and how many levels it has, and its parts as stored, without padding.

    `repetition` is empty where the page has no lists, `definition` where it has no nulls and no empty lists;
    `buffers` are those of the values.
    """

    size: int
    levels: int
    repetition: bytes
    definition: bytes
    buffers: tuple[bytes, ...]


def write(path: Path, values: Any, version: str, metadata: dict[str, str] | None = None) -> None:
    """Write a pyarrow array as the column of a new file; `metadata` of the field can steer the encoding.

    Each chunk of a chunked array becomes a page of its own.

    For instance {"lance-encoding:compression": "none"}, or {"lance-encoding:rle-threshold": "0.0000001"}, which
    keeps run-length encoding away.
    """
    import pyarrow as pa
    from lance.file import LanceFileWriter

    schema = pa.schema([pa.field(COLUMN, values.type, metadata=metadata)])
    parts = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    cache = 1 if len(parts) > 1 else None  # one byte: whatever comes is written at once
    with LanceFileWriter(str(path), schema, version=version, data_cache_bytes=cache) as writer:
        for part in parts:
            writer.write_batch(pa.table([part], schema=schema))


def read(path: Path, batch_size: int = 1024) -> Any:
    """Return the column as Lance itself decodes it, that many rows at once, a pyarrow array."""
    from lance.file import LanceFileReader

    return LanceFileReader(str(path)).read_all(batch_size=batch_size).to_table()[COLUMN].combine_chunks()


def scan(path: Path, batch_size: int) -> int:
    """Let Lance decode the column, that many rows at once, and keep nothing but the number of rows."""
    from lance.file import LanceFileReader

    return sum(batch.num_rows for batch in LanceFileReader(str(path)).read_all(batch_size=batch_size).to_batches())


def pages(path: Path) -> tuple[Page, ...]:
    """Return the pages of the file's column."""
    from lance.file import LanceFileReader

    data = path.read_bytes()
    (column,) = LanceFileReader(str(path)).metadata().columns
    return tuple(
        Page(str(page.encoding), tuple(data[b.position : b.position + b.size] for b in page.buffers))
        for page in column.pages
    )


def only_page(path: Path) -> Page:
    """Return the column's page; there must be one."""
    (page,) = pages(path)
    return page


def exchange(path: Path, old: bytes, new: bytes) -> None:
    """Put as many other bytes where the file has `old`, which it must have once; a file has no check sums."""
    data = path.read_bytes()
    assert (data.count(old), len(new)) == (1, len(old)), "not one place, or not as many bytes"
    path.write_bytes(data.replace(old, new))


def number(page: Page, field: str) -> int:
    """Return the first number of that name in the page's description."""
    return _number(page.encoding, field)


def byte_string(page: Page, field: str) -> bytes:
    """Return the first byte string of that name in the page's description, which has it as Rust prints it."""
    found = re.search(rf'^ *{field}: b"(.*)",$', page.encoding, re.MULTILINE)
    assert found, f"no byte string {field!r} in the page's description"
    text = found[1].encode("ascii")
    return re.sub(rb"\\(x[0-9a-f]{2}|.)", lambda escape: _unescaped(escape[1]), text)


def chunks(page: Page) -> tuple[Chunk, ...]:
    """Take a mini-block page apart."""
    return tuple(_chunks(page))


def layers(page: Page) -> tuple[str, ...]:
    """Return what Lance calls the layers of the page's column, the innermost first, such as RepdefNullableItem."""
    found = re.search(r"layers: \[([^\]]*)\]", page.encoding)
    assert found, "no layers in the page's description"
    return tuple(re.findall(r"\w+", found[1]))


def definition_levels(page: Page) -> NDArray[np.uint16]:
    """Return the definition levels, uint16 (n,): 0 is valid. None are stored where all are 0.

    In a flat column there is one for each value, and 1 is null.
    """
    how = page.encoding.partition("def_compression: ")[2].partition("value_compression: ")[0]
    if "ConstantLayout" in page.encoding:
        return _block_levels(page.buffers[1], how, number(page, "num_def_values"))
    every = chunks(page)
    if not _has(page, "def"):
        return np.zeros(sum(chunk.levels for chunk in every), np.uint16)
    return np.concatenate([_levels(chunk.definition, how, chunk.levels) for chunk in every])


def repetition_levels(page: Page) -> NDArray[np.uint16]:
    """Return the repetition levels, uint16 (n,), or (0,) where the page has no lists."""
    how = page.encoding.partition("rep_compression: ")[2].partition("def_compression: ")[0]
    if "ConstantLayout" in page.encoding:
        return _block_levels(page.buffers[0], how, number(page, "num_rep_values"))
    if not _has(page, "rep"):
        return np.zeros(0, np.uint16)
    return np.concatenate([_levels(chunk.repetition, how, chunk.levels) for chunk in chunks(page)])


def unpack_inline(buffer: bytes, dtype: DTypeLike, size: int) -> NDArray[Any]:
    """Return the first `size` values of one chunk of inline bit-packing: a word with the width, then the bits."""
    word = np.dtype(dtype).itemsize
    return unpack(buffer[word:], dtype, int.from_bytes(buffer[:word], "little"))[:size]


def unpack(payload: bytes, dtype: DTypeLike, width: int) -> NDArray[Any]:
    """Return the 1024 values of `width` bits that are packed in the FastLanes layout.

    Word k of lane l is word k * lanes + l. The words of a lane are one string of bits, lowest first, that holds
    the values of its rows.
    """
    bits = np.dtype(dtype).itemsize * 8
    lanes = CHUNK_VALUES // bits
    words = np.frombuffer(payload, dtype).reshape(width, lanes)
    strings = np.unpackbits(np.ascontiguousarray(words.T).view(np.uint8), axis=1, bitorder="little")
    numbers = np.zeros((lanes, bits, bits), np.uint8)
    numbers[:, :, :width] = strings.reshape(lanes, bits, width)
    by_lane = np.packbits(numbers, axis=2, bitorder="little").view(dtype)[:, :, 0]
    row = np.arange(bits)
    reversed_octet = (row // 8 & 1) * 4 + (row // 8 & 2) + (row // 8 & 4) // 4
    values = np.empty(CHUNK_VALUES, dtype)
    values[np.arange(lanes)[:, None] + row % 8 * 128 + reversed_octet * 16] = by_lane
    return values


def _chunks(page: Page) -> Iterator[Chunk]:
    assert "MiniBlockLayout" in page.encoding, "no mini-block page"
    kinds = [kind for kind in ("rep", "def") if _has(page, kind)]
    word = "<u4" if "has_large_chunk: true" in page.encoding else "<u2"
    header = np.dtype(",".join(["<u2"] * (1 + len(kinds)) + [word] * number(page, "num_buffers")))
    words = np.frombuffer(page.buffers[0], word).tolist()
    left = number(page, "num_items")
    at = 0
    for position, described in enumerate(words):
        size = left if position == len(words) - 1 else 1 << (described & 15)
        end = at + ((described >> 4) + 1) * 8
        levels, *lengths = np.frombuffer(page.buffers[1], header, 1, at).item()
        parts = list(_parts(page.buffers[1][at:end], header.itemsize, lengths))
        stored = {kind: parts.pop(0) for kind in kinds}
        yield Chunk(size, levels or size, stored.get("rep", b""), stored.get("def", b""), tuple(parts))
        left, at = left - size, end
    assert (left, at) == (0, len(page.buffers[1])), "the chunks are not the whole page"


def _parts(chunk: bytes, header_bytes: int, lengths: list[int]) -> Iterator[bytes]:
    """Cut a chunk into its parts; header and parts begin at multiples of 8."""
    at = _aligned(header_bytes)
    for length in lengths:
        yield chunk[at : at + length]
        at = _aligned(at + length)
    assert at == len(chunk), "the parts are not the whole chunk"


def _has(page: Page, kind: str) -> bool:
    """Whether the page has levels of the kind, "rep" or "def"."""
    return f"{kind}_compression: None" not in page.encoding


def _levels(stored: bytes, how: str, size: int) -> NDArray[np.uint16]:
    """Decode the levels of one chunk by the description of their compression."""
    if "InlineBitpacking" in how:
        return unpack_inline(stored, np.uint16, size)
    if "Rle" in how:
        values, lengths = _runs(stored)
        return np.repeat(values, lengths)
    if len(stored) == 2 * size:  # not packed, or Lance gave up packing, or the tail is cheaper unpacked
        return np.frombuffer(stored, "<u2")
    assert "OutOfLineBitpacking" in how, f"levels compressed in an unknown way:\n{how}"
    return np.concatenate(list(_out_of_line(stored, _number(how, "bits_per_value"), size)))


def _out_of_line(stored: bytes, width: int, size: int) -> Iterator[NDArray[np.uint16]]:
    """Unpack one block of 1024 levels after the other, and the tail, which may be a block or stored as it is."""
    block = CHUNK_VALUES // 8 * width
    for left in range(size, 0, -CHUNK_VALUES):
        at = (size - left) // CHUNK_VALUES * block
        if len(stored) - at == 2 * left < 2 * CHUNK_VALUES:
            yield np.frombuffer(stored[at:], "<u2")
        else:
            yield unpack(stored[at : at + block], np.uint16, width)[:left]


def _block_levels(stored: bytes, how: str, size: int) -> NDArray[np.uint16]:
    """Decode the levels of a page without values; their number is 0 where they are stored as they are."""
    return _levels(stored, how, size or len(stored) // 2)


def _runs(stored: bytes) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Cut a run-length encoded block: the size of the values, the values, and a byte for each, its length."""
    end = 8 + int.from_bytes(stored[:8], "little")
    return np.frombuffer(stored[8:end], "<u2"), np.frombuffer(stored[end:], np.uint8)


def _number(text: str, field: str) -> int:
    found = re.search(rf"^ *{field}: (\d+),$", text, re.MULTILINE)
    assert found, f"no number {field!r} in the page's description"
    return int(found[1])


def _unescaped(escape: bytes) -> bytes:
    return bytes([int(escape[1:], 16)]) if len(escape) == 3 else _ESCAPES[escape]


def _aligned(place: int) -> int:
    return -(-place // 8) * 8
