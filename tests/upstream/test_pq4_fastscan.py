"""The oracle and the kernel of pq4-fastscan beside Lance 14.0.2: its own IVF_PQ indexes of 4 bits.

Establishes that both read codebook and codes as Lance does, that they give its `_distance` of every row bit by
bit, for sub-vectors of 1 to 16 dimensions, and its nearest rows up to ties, and that they leave out the rows that
it does. The vectors are encoded by Lance.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import lance_files
import lance_wheel
import numpy as np
import pytest

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.target_files import seeds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_lance_autoresearch.target_files.load import Target

    Floats = NDArray[np.float32]
    Codes = NDArray[np.uint8]

pytestmark = pytest.mark.upstream

FOLDER: Final = Path(__file__).parents[2] / "targets" / "pq4-fastscan"
ROWS: Final = 3011
QUERIES: Final = 3


class Corpus(NamedTuple):
    """Vectors to generate, each `copies` times; `scale` is of all, `first` of the first sub-space besides."""

    dim: int
    sub_vectors: int
    partitions: int = 1
    copies: int = 1
    scale: float = 1.0
    first: float = 1.0


CORPORA: Final = {
    "sd-1-in-3-partitions": Corpus(24, 24, partitions=3),
    "sd-4": Corpus(128, 32),
    "sd-8-in-2-partitions": Corpus(64, 8, partitions=2),
    "sd-11": Corpus(110, 10),
    "sd-15": Corpus(60, 4),
    "sd-16": Corpus(768, 48),
    "sd-16-in-2-partitions": Corpus(160, 10, partitions=2),
    "duplicates": Corpus(64, 16, copies=15),
    "a-huge-span": Corpus(128, 32, first=13),
    "around-the-largest-float32": Corpus(64, 16, scale=1.6e18),
}
OF_ONE_PARTITION: Final = tuple(name for name, corpus in CORPORA.items() if corpus.partitions == 1)


class Index(NamedTuple):
    """A dataset that Lance indexed, its index as its files have it, the codebook that Lance was given, queries."""

    dataset: Any
    files: lance_files.IvfPq
    codebook: Floats
    queries: Floats

    def residuals(self, partition: int) -> Floats:
        residuals: Floats = self.queries - self.files.centroids[partition]
        return residuals


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Index]:
    """Every index, made once."""
    lance_wheel.pyarrow()
    folder = tmp_path_factory.mktemp("indexes")
    return {name: make_index(folder / name, corpus) for name, corpus in CORPORA.items()}


@pytest.fixture
def index(request: pytest.FixtureRequest, indexes: dict[str, Index]) -> Index:
    """The index that the test's parameter names."""
    return indexes[request.param]


def make_index(folder: Path, corpus: Corpus) -> Index:
    """Generate vectors around the centroids, queries like them, and a codebook like their residuals."""
    dim, sub_vectors, partitions, copies, scale, first = corpus
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "pq4-fastscan", folder.name)
    sizes = np.full(dim, scale, np.float32)
    sizes[: dim // sub_vectors] *= np.float32(first)
    centroids = rng.standard_normal((partitions, dim), dtype=np.float32) * sizes
    codebook = rng.standard_normal((sub_vectors, 16, dim // sub_vectors), dtype=np.float32)
    codebook *= sizes.reshape(sub_vectors, 1, -1)
    vectors = rng.standard_normal((ROWS // copies + QUERIES, dim), dtype=np.float32) * sizes
    vectors += centroids[rng.integers(0, partitions, len(vectors))]
    stored = rng.permutation(np.resize(np.arange(QUERIES, len(vectors)), ROWS))
    given = centroids, codebook
    dataset = lance_files.create_ivf_pq(folder, vectors[stored], sub_vectors, partitions, given, bits=4)
    files = lance_files.read_ivf_pq(lance_files.index_folder(dataset))
    return Index(dataset, files, codebook, vectors[:QUERIES])


def distances_of_lance(index: Index, query: Floats) -> Floats:
    """Return the `_distance` of every row, NaN where Lance gives none."""
    row_ids, distances = lance_files.search(index.dataset, query, ROWS, len(index.files.partitions))
    by_row = np.full(ROWS, np.nan, np.float32)
    by_row[row_ids] = distances
    return by_row


def distances_of(impl: Any, index: Index, number: int, change: Callable[[Codes], Codes] = np.copy) -> Floats:
    """Return what oracle or kernel give for every row to a query, NaN where they give none."""
    by_row = np.full(ROWS, np.nan, np.float32)
    for place, (row_ids, codes) in enumerate(index.files.partitions):
        found = impl.Pq4Kernel(index.files.codebook, change(codes)).top_k(index.residuals(place)[number], ROWS)
        by_row[row_ids[found[0]]] = found[1]
    return by_row


on_every_index = pytest.mark.parametrize("index", CORPORA, indirect=True)
on_one_partition = pytest.mark.parametrize("index", OF_ONE_PARTITION, indirect=True)


@on_every_index
def test_the_files_hold_the_codebook_and_every_row(index: Index) -> None:
    """Establishes that both are read in the right order, and that no row is left out of the comparisons below."""
    compare.exact(index.files.codebook, index.codebook)
    rows = np.concatenate([row_ids for row_ids, _ in index.files.partitions])
    assert np.sort(rows).tolist() == list(range(ROWS))
    assert len(index.files.partitions) == len(index.files.centroids)


@on_every_index
def test_oracle_and_kernel_have_lance_s_bits_for_every_row(index: Index, target: Target, kernel: Any) -> None:
    """Establishes every rounding: of the residual, of the table's fused and unfused steps, of the sum."""
    for number, query in enumerate(index.queries):
        lance = distances_of_lance(index, query)
        for impl in (target.reference, kernel):
            compare.exact(distances_of(impl, index, number), lance, "distances of all rows")


def test_some_rows_are_too_far_for_lance(indexes: dict[str, Index]) -> None:
    """Establishes that the test before this one sees rows that are left out, and rows that are not."""
    index = indexes["around-the-largest-float32"]
    missing = [np.isnan(distances_of_lance(index, query)).sum() for query in index.queries]
    assert all(0 < number < ROWS for number in missing)


def nibbles_swapped(codes: Codes) -> Codes:
    swapped: Codes = codes >> np.uint8(4) | codes << np.uint8(4)
    return swapped


def rows_moved_by_one(codes: Codes) -> Codes:
    return np.roll(codes, 1, axis=1)


def codes_row_by_row(codes: Codes) -> Codes:
    return codes.reshape(codes.shape[::-1]).T


def last_code_one_off(codes: Codes) -> Codes:
    codes = codes.copy()
    codes[-1, -1] ^= 16
    return codes


@pytest.mark.parametrize("misread", [nibbles_swapped, rows_moved_by_one, codes_row_by_row, last_code_one_off])
@pytest.mark.parametrize("index", ["sd-4", "sd-16-in-2-partitions"], indirect=True)
def test_the_oracle_has_other_bits_when_the_files_are_misread(
    index: Index, target: Target, misread: Callable[[Codes], Codes]
) -> None:
    """Establishes that the comparison can fail: one wrong code of one row is enough."""
    with pytest.raises(compare.Mismatch, match="distances of all rows"):
        compare.exact(
            distances_of(target.reference, index, 0, misread),
            distances_of_lance(index, index.queries[0]),
            "distances of all rows",
        )


@on_one_partition
@pytest.mark.parametrize("k", [1, 10, 100])
def test_the_rows_that_lance_filters_pass_the_checks_of_a_trial(
    index: Index, target: Target, kernel: Any, k: int
) -> None:
    """Establishes the same of Lance's filter, of which nothing shows, and of the kernel's."""
    ((row_ids, codes),) = index.files.partitions
    places = np.argsort(row_ids).astype(np.uint32)
    state = target.inputs.State(index.files.codebook, codes, k)
    oracle, search = (target.wiring.bind(impl, state) for impl in (target.reference, kernel))
    for query, residual in zip(index.queries, index.residuals(0), strict=True):
        found, distances = lance_files.search(index.dataset, query, k, probes=1)
        expected = oracle(residual)
        target.wiring.check((places[found], distances), expected, (residual,))
        target.wiring.check(search(residual), expected, (residual,))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("index", ["sd-4", "sd-8-in-2-partitions"], indirect=True)
def test_a_query_that_is_not_finite_or_too_far_finds_no_rows(
    index: Index, target: Target, kernel: Any, value: float
) -> None:
    query = index.queries[0].copy()
    query[5] = value
    row_ids, _ = lance_files.search(index.dataset, query, 10, len(index.files.partitions))
    assert row_ids.size == 0
    for place, (_, codes) in enumerate(index.files.partitions):
        residual = query - index.files.centroids[place]
        for impl in (target.reference, kernel):
            ids, distances = impl.Pq4Kernel(index.files.codebook, codes).top_k(residual, 10)[:2]
            assert ids.size == distances.size == 0
