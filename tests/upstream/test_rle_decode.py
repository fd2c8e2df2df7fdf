"""The oracle and the kernel of rle-decode beside Lance 14.0.2: its own pages, also with faults made afterwards.

Establishes that both make of a page's own bytes the values that Lance was given, for every word size and both
forms of a chunk's header, that the workload lays chunks out as Lance does, and that both refuse what Lance does,
for its reason: Lance reads the spoiled files itself. Runs beyond a chunk's count are not refused but cut off.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

import lance_pages
import numpy as np
import pytest

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.target_files import seeds
from pytest_lance_autoresearch.target_files.load import Target

pytestmark = pytest.mark.upstream

Array = np.ndarray[Any, Any]

FOLDER: Final = Path(__file__).parents[2] / "targets" / "rle-decode"
VERSIONS: Final = {"2.1": 16, "2.2": 32}
"""File versions, and the bits of a size in a chunk's header."""
TYPES: Final = ("i1", "u2", "f4", "i8")
NO_DICTIONARY: Final = {"lance-encoding:dict-size-ratio": "0.0000001"}
"""Keeps Lance from run-length encoding the indices of a dictionary in place of the values."""
LENGTHS: Final = (1, 2, 3, 17, 254, 255, 256, 510, 511, 900)
ROWS: Final = 9001
SPOILED: Final = 30
"""Files that are spoiled, of each type and version."""

FINE, EMPTY, UNDIVIDED, UNEQUAL, ZERO_RUN, TOO_FEW = range(6)
SENTENCES: Final = {
    EMPTY: r"Empty buffers but expected \d+ values",
    UNDIVIDED: r"Invalid buffer sizes for RLE u\d+ decoding",
    UNEQUAL: r"Inconsistent RLE buffers: \d+ runs but \d+ length entries",
    ZERO_RUN: r"RLE decoding encountered a zero run length",
    TOO_FEW: r"RLE decoding produced \d+ values, expected \d+",
}


class Page(NamedTuple):
    """A page as it lies in a file, where its chunks are, and the bits of a word and of a size."""

    path: Path
    data: bytes
    starts: Array
    counts: Array
    runs: Array
    bits: int
    size_bits: int


@pytest.fixture(scope="module")
def decoders(target: Target, kernel: Any) -> list[Any]:
    """The oracle and the kernel."""
    return [target.reference, kernel]


@pytest.fixture(params=[(name, version) for version in VERSIONS for name in TYPES], ids="-".join)
def page(request: pytest.FixtureRequest, pa: ModuleType, target: Target, tmp_path: Path) -> Page:
    """A page of two whole chunks or more and a part of one, with runs of all lengths that matter."""
    name, version = request.param
    values = column(np.dtype(name))
    lance_pages.write(tmp_path / "page", pa.array(values), version, NO_DICTIONARY)
    stored = lance_pages.only_page(tmp_path / "page")
    assert "Rle" in stored.encoding
    chunks = lance_pages.chunks(stored)
    runs = np.array([len(chunk.buffers[1]) for chunk in chunks])
    bits, size_bits = 8 * values.itemsize, VERSIONS[version]
    starts = target.inputs.layout(bits, size_bits, runs)
    assert starts[-1] == len(stored.buffers[1])
    counts = np.array([chunk.size for chunk in chunks])
    assert counts.tolist() == [4096, 4096, ROWS - 8192]
    return Page(tmp_path / "page", stored.buffers[1], starts, counts, runs, bits, size_bits)


def column(dtype: np.dtype[Any]) -> Array:
    """Values of random bits, each repeated."""
    rng = np.random.default_rng(dtype.num)
    lengths = rng.choice(LENGTHS, ROWS)
    words = rng.integers(0, 256, ROWS * dtype.itemsize, dtype=np.uint8).view(f"u{dtype.itemsize}")
    return np.repeat(words, lengths)[:ROWS].view(dtype)


def decoded(decoder: Any, page: Page, data: bytes) -> tuple[Array, Array]:
    """Faults, and values as unsigned words."""
    out = np.full(page.counts.sum(), 77, f"u{page.bits // 8}")
    rle = decoder.Rle(page.bits, page.size_bits)
    return rle.decode_chunks(np.frombuffer(data, np.uint8), page.starts, page.counts, out), out


def read_by_lance(path: Path, page: Page) -> tuple[int, Array]:
    """What Lance says is wrong with a file, or the values that it reads, as unsigned words."""
    try:
        values = lance_pages.read(path)
    except Exception as error:
        (fault,) = (fault for fault, sentence in SENTENCES.items() if re.search(sentence, str(error)))
        return fault, np.zeros(0)
    return FINE, values.to_numpy(zero_copy_only=False).view(f"u{page.bits // 8}")


def test_oracle_and_kernel_decode_lance_s_pages(page: Page, decoders: list[Any]) -> None:
    said, values = read_by_lance(page.path, page)
    assert said == FINE
    for decoder in decoders:
        faults, out = decoded(decoder, page, page.data)
        assert not faults.any()
        compare.exact(out, values, "values of Lance")


def test_oracle_and_kernel_refuse_what_lance_refuses(page: Page, target: Target, decoders: list[Any]) -> None:
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "rle-decode", f"{page.bits} {page.size_bits}")
    found = set()
    for _ in range(SPOILED):
        data = np.frombuffer(page.data, np.uint8).copy()
        chunk = int(rng.integers(len(page.counts)))
        part = data[page.starts[chunk] : page.starts[chunk + 1]]
        runs = page.runs[chunk]
        sizes = np.array([runs * (page.bits // 8), runs], f"<u{page.size_bits // 8}")
        lengths = part[len(part) - -(-runs // 8) * 8 :][:runs]
        if rng.random() < 0.2:
            lengths = target.inputs.lengthened(lengths, rng)
        else:
            lengths = target.inputs.spoilt(lengths, sizes, rng)
        target.inputs.put(part, sizes, lengths)
        copy = page.path.with_name("spoiled")
        copy.write_bytes(page.path.read_bytes())
        lance_pages.exchange(copy, page.data, data.tobytes())
        said, values = read_by_lance(copy, page)
        for decoder in decoders:
            faults, out = decoded(decoder, page, data.tobytes())
            assert faults[chunk] == said
            assert np.delete(faults, chunk).tolist() == [FINE] * 2
            if said == FINE:
                compare.exact(out, values, "values of Lance")
        found.add(said)
    everywhere = {FINE, EMPTY, UNEQUAL, ZERO_RUN, TOO_FEW}
    assert found == (everywhere if page.bits == 8 else everywhere | {UNDIVIDED})


def a_length_wrong(page: Page) -> bytes:
    lengths_at = page.starts[1] - -(-page.runs[0] // 8) * 8
    lengths = page.data[lengths_at : lengths_at + 2]
    return page.data[:lengths_at] + bytes((lengths[0] - 1 or 2, lengths[1])) + page.data[lengths_at + 2 :]


def a_bit_of_a_value_wrong(page: Page) -> bytes:
    at = 8 if page.size_bits == 16 else 16
    return page.data[:at] + bytes((page.data[at] ^ 1,)) + page.data[at + 1 :]


@pytest.mark.parametrize("misread", [a_length_wrong, a_bit_of_a_value_wrong])
def test_the_oracle_refuses_misread_pages(page: Page, target: Target, misread: Any) -> None:
    """Establishes that the comparison can fail."""
    faults, out = decoded(target.reference, page, misread(page))
    _, values = read_by_lance(page.path, page)
    assert faults.any() or (out != values).any()


def test_a_run_of_none_after_the_last_value_is_refused_and_after_too_many_is_not(
    pa: ModuleType, target: Target, decoders: list[Any], tmp_path: Path
) -> None:
    """Establishes where Lance stops: at the first run that does not fit whole, not where the count is reached."""
    lance_pages.write(tmp_path / "page", pa.array(np.repeat(np.arange(5, dtype=np.int32), 200)), "2.2")
    stored = lance_pages.only_page(tmp_path / "page").buffers[1]
    lengths = bytes([200] * 5)
    for spoiled, said in (
        (b"\xc8\xc8\xff\xff\0", ZERO_RUN),
        (b"\xff\xff\xff\xeb\0", ZERO_RUN),
        (b"\xff\xff\xff\xec\0", FINE),
    ):
        copy = tmp_path / "spoiled"
        copy.write_bytes((tmp_path / "page").read_bytes())
        lance_pages.exchange(copy, lengths, spoiled)
        layout = target.inputs.layout(32, 32, np.array([5]))
        page = Page(copy, stored.replace(lengths, spoiled), layout, np.array([1000]), np.array([5]), 32, 32)
        assert read_by_lance(copy, page)[0] == said
        assert [decoded(decoder, page, page.data)[0].tolist() for decoder in decoders] == [[said]] * 2
