"""The oracle and the kernel of utf8-validate beside Lance 14.0.2, which says itself what is wrong with a file.

Establishes that both find the same fault at the same place as Lance does in files of its own that were spoiled
afterwards: bytes, and offsets that end inside a character, in strings stored plain; offsets that descend or lie
beyond in dictionaries, for plain strings are refused earlier where these do.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import lance_pages
import numpy as np
import pytest

from pytest_lance_autoresearch.target_files import seeds
from pytest_lance_autoresearch.target_files.load import Target

pytestmark = pytest.mark.upstream

Array = np.ndarray[Any, Any]

FOLDER: Final = Path(__file__).parents[2] / "targets" / "utf8-validate"
PLAIN: Final = {"lance-encoding:compression": "none", "lance-encoding:dict-size-ratio": "0.0000001"}
ROWS: Final = 64
SPOILED: Final = 80
"""Files that are spoiled, of each type and version."""

VALID, DESCENDING, NEGATIVE, BEYOND, NOT_UTF8, SPLIT = range(6)
SENTENCES: Final = {
    DESCENDING: r"non-monotonic offset at position (\d+)",
    BEYOND: r"offset at position (\d+) is out of bounds",
    NOT_UTF8: r"(?:invalid utf-8 sequence of \d bytes|incomplete utf-8 byte sequence) from index (\d+)",
    SPLIT: r"offset at position (\d+) splits a UTF-8 character",
}
EARLIER: Final = "corrupt file (?:binary mini-block|variable-width block): "
"""What the decoders say that read the offsets before."""


@pytest.fixture(scope="module")
def validators(target: Target, kernel: Any) -> list[Any]:
    """The oracle and the kernel."""
    return [target.reference, kernel]


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return seeds.rng(seeds.PUBLISHED_SEED, "upstream", "utf8-validate", request.node.name)


def said_by_lance(path: Path, batch_size: int = ROWS) -> tuple[int, int] | None:
    """What Lance finds in a column as it reads it; None where another of its checks refuses it earlier."""
    from lance.file import LanceFileReader

    try:
        LanceFileReader(str(path)).read_all(batch_size=batch_size).to_table()
    except Exception as error:
        said = str(error)
    else:
        return VALID, -1
    for fault, sentence in SENTENCES.items():
        if found := re.search(rf"invalid variable-width layout for (?:Large)?Utf8: {sentence}", said):
            return fault, int(found[1])
    assert re.search(EARLIER, said), said
    return None


def said_by(validators: list[Any], data: Array, offsets: Array) -> tuple[int, int]:
    """What oracle and kernel find, which must be the same."""
    found, other = (impl.validate(data, offsets[None]).tolist() for impl in validators)
    assert found == other
    ((fault, place),) = found
    return fault, place


def strings(target: Target) -> list[str]:
    """Rows of text of all scripts."""
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "utf8-validate")
    state = target.inputs.new_state(target.inputs.Shape(1, ROWS, 4, 40, 32), "mixed", rng)
    text = state.text.tobytes().decode()
    cuts = np.sort(rng.integers(0, len(text) + 1, ROWS - 1)).tolist()
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]


class Spoiled:
    """A file that Lance wrote, whose offsets and bytes lie in one buffer, and copies of it with a fault."""

    def __init__(self, path: Path, buffer: bytes, offsets: Array, begin: int) -> None:
        """`offsets` lie in the buffer as they are, and count from its byte `begin`."""
        self.path, self.buffer, self.offsets, self.begin = path, buffer, offsets, begin

    def spoil(self, target: Target, distribution: str, rng: np.random.Generator) -> tuple[Path, Array, Array]:
        """Write a copy with one fault; return it with the bytes that its offsets count from, and the offsets."""
        data, offsets = np.frombuffer(self.buffer, np.uint8)[self.begin :].copy(), self.offsets.copy()
        target.inputs.spoil(distribution, data, offsets, rng)
        if self.begin == 0:  # the offsets are among the bytes that they count
            at = self.buffer.index(self.offsets.tobytes())
            data[at : at + offsets.nbytes] = offsets.view(np.uint8)
            spoiled = data.tobytes()
        else:
            head = self.buffer[: self.begin].replace(self.offsets.tobytes(), offsets.tobytes())
            spoiled = head + data.tobytes()
        copy = self.path.with_name("spoiled")
        copy.write_bytes(self.path.read_bytes())
        lance_pages.exchange(copy, self.buffer, spoiled)
        return copy, data, offsets


@pytest.fixture(params=[(kind, version) for version in ("2.1", "2.2") for kind in ("string", "large_string")])
def plain(request: pytest.FixtureRequest, pa: ModuleType, target: Target, tmp_path: Path) -> Spoiled:
    """Strings as they are: a chunk's buffer has offsets that count from its own beginning, then the bytes."""
    kind, version = request.param
    lance_pages.write(tmp_path / "plain", pa.array(strings(target), getattr(pa, kind)()), version, PLAIN)
    (chunk,) = lance_pages.chunks(lance_pages.only_page(tmp_path / "plain"))
    offsets = np.frombuffer(chunk.buffers[0], "i8" if kind == "large_string" else "i4", ROWS + 1)
    return Spoiled(tmp_path / "plain", chunk.buffers[0], offsets, 0)


@pytest.fixture
def dictionary(pa: ModuleType, target: Target, tmp_path: Path) -> Spoiled:
    """The dictionary of a page: it counts from the first byte of its strings, and is read as one batch."""
    entries = strings(target)
    keys = pa.array(np.arange(5 * ROWS, dtype=np.int32) % ROWS)
    lance_pages.write(tmp_path / "dictionary", pa.DictionaryArray.from_arrays(keys, entries), "2.1")
    buffer = lance_pages.only_page(tmp_path / "dictionary").buffers[2]
    offsets = np.cumsum([0, *(len(entry.encode()) for entry in entries)], dtype=np.int32)
    return Spoiled(tmp_path / "dictionary", buffer, offsets, buffer.index("".join(entries).encode()))


def compare_with_lance(
    spoiled: Spoiled,
    distributions: tuple[str, ...],
    target: Target,
    validators: list[Any],
    rng: np.random.Generator,
) -> set[int]:
    """Spoil a file many times; return what was found in those that Lance does not refuse before it looks."""
    assert said_by_lance(spoiled.path) == (VALID, -1)
    found = set()
    for _ in range(SPOILED):
        path, data, offsets = spoiled.spoil(target, distributions[rng.integers(len(distributions))], rng)
        said = said_by_lance(path)
        if said is not None:
            assert said_by(validators, data, offsets) == said
            found.add(said[0])
    return found


def test_oracle_and_kernel_find_what_lance_finds_in_strings(
    plain: Spoiled, target: Target, validators: list[Any], rng: np.random.Generator
) -> None:
    distributions = ("faulty_bytes", "flipped_bits", "faulty_offsets")
    found = compare_with_lance(plain, distributions, target, validators, rng)
    assert found == {VALID, NOT_UTF8, SPLIT}


def test_oracle_and_kernel_find_what_lance_finds_in_a_dictionary(
    dictionary: Spoiled, target: Target, validators: list[Any], rng: np.random.Generator
) -> None:
    found = compare_with_lance(dictionary, ("faulty_offsets",), target, validators, rng)
    assert found == {VALID, DESCENDING, BEYOND, SPLIT}


def test_places_count_from_the_first_row_of_a_batch(
    plain: Spoiled, target: Target, validators: list[Any], rng: np.random.Generator
) -> None:
    """Establishes that Lance looks at a batch and not at a page: the first faulty batch is told of."""
    size = ROWS // 4
    places = set()
    for _ in range(10):
        path, data, offsets = plain.spoil(target, "faulty_bytes", rng)
        batches = [said_by(validators, data, offsets[at : at + size + 1]) for at in range(0, ROWS, size)]
        faults = [(batch, found) for batch, found in enumerate(batches) if found[0] != VALID]
        if faults:
            assert said_by_lance(path, size) == faults[0][1]
            places.add(faults[0][0])
    assert len(places) > 1
