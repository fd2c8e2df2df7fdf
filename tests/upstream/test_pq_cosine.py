"""The oracle and the kernel of pq-cosine on real indexes: made by Lance, read from its files, answered by Lance.

Establishes that `reference.py` computes the `_distance` of Lance within its own limits for every row, that the
port computes its bits and its top-k, that the kernel passes the checks of a trial, and that faiss agrees.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import lance_files
import lance_wheel
import numpy as np
import pytest

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.bench import oracles
from pytest_lance_autoresearch.target_files import discover, load, seeds

pytestmark = pytest.mark.upstream

FOLDER: Final = Path(__file__).parents[2] / "targets" / "pq-cosine"
TARGET: Final = load.load(discover.inspect(FOLDER))
QUERIES: Final = 4

Array = np.ndarray[Any, Any]


class Corpus(NamedTuple):
    """Vectors to generate around the centroids of the partitions."""

    dim: int
    sub_vectors: int
    partitions: int
    rows: int = 2011


CORPORA: Final = {
    "sd-1": Corpus(12, 12, 2),
    "sd-4": Corpus(64, 16, 3),
    "sd-8": Corpus(128, 16, 1),
    "sd-8-of-96-sub-spaces": Corpus(768, 96, 3, rows=1003),
    "sd-10": Corpus(100, 10, 3),
    "sd-15": Corpus(120, 8, 2),
    "sd-16": Corpus(384, 24, 4),
    "sd-17": Corpus(136, 8, 3),
    "sd-20": Corpus(160, 8, 2),  # a whole block of 16 dimensions, and 4 more
}


class Index(NamedTuple):
    """What Lance indexed, the same as the target has it, k of all rows, and Lance's distances, (queries, n).

    The queries are not normalised.
    """

    dataset: Any
    state: Any
    row_ids: Array
    queries: Array
    lance: Array


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Index]:
    lance_wheel.lance()
    folder = tmp_path_factory.mktemp("indexes")
    return {name: make_index(folder / name, corpus) for name, corpus in CORPORA.items()}


@pytest.fixture(params=CORPORA)
def index(request: pytest.FixtureRequest, indexes: dict[str, Index]) -> Index:
    return indexes[request.param]


def make_index(folder: Path, corpus: Corpus) -> Index:
    dim, sub_vectors, partitions, rows = corpus
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", *corpus)
    middles = rng.standard_normal((partitions, dim), dtype=np.float32)
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    codebook = rng.standard_normal((sub_vectors, 256, dim // sub_vectors), dtype=np.float32)
    codebook *= np.float32(0.7 / dim**0.5)
    vectors = rng.standard_normal((rows + QUERIES, dim), dtype=np.float32)
    vectors += np.float32(dim**0.5) * middles[rng.integers(0, partitions, len(vectors))]
    given = np.float32(0.7) * middles, codebook
    dataset = lance_files.create_ivf_pq(folder, vectors[QUERIES:], sub_vectors, partitions, given, "cosine")
    queries = vectors[:QUERIES] * np.array([[1e-12], [0.01], [1], [1e12]], np.float32)
    files = lance_files.read_ivf_pq(lance_files.index_folder(dataset))
    codes = np.concatenate([part.codes.ravel() for part in files.partitions])
    offsets = np.cumsum([0, *(part.row_ids.size for part in files.partitions)])
    row_ids = np.concatenate([part.row_ids for part in files.partitions])
    by_row = np.full((QUERIES, rows), np.nan, np.float32)
    for query, answers in zip(queries, by_row, strict=True):
        found, distances = lance_files.search(dataset, query, rows, partitions)
        answers[found] = distances
    state = TARGET.inputs.bare_state(files.codebook, codes, offsets, files.centroids, rows)
    return Index(dataset, state, row_ids, queries, by_row[:, row_ids])


def compare_with_oracle(index: Index, state: Any) -> None:
    oracle = oracles.Oracle(TARGET, state)
    for query, lance in zip(index.queries, index.lance, strict=True):
        _, _, every, limit = oracle.expected((query,))
        compare.max_abs_err(lance, every, limit, dtype=np.float32, what="distances of Lance")


def test_lance_s_distance_of_every_row_is_within_the_oracle_s_limit(index: Index) -> None:
    """Establishes that the oracle is right about scale, normalisation, centroids, codes, partitions and sum."""
    assert np.array_equal(np.sort(index.row_ids), np.arange(index.dataset.count_rows()))
    compare_with_oracle(index, index.state)


def last_code_one_off(state: Any) -> Any:
    codes = state.codes.copy()
    codes[-1] ^= 1
    return state._replace(codes=codes)


def no_centroids(state: Any) -> Any:
    return state._replace(centroids=np.zeros_like(state.centroids))


def halved(state: Any) -> Any:
    """A codebook and centroids as if 1 - cos were the scale."""
    half = np.float32(0.5**0.5)
    return state._replace(codebook=state.codebook * half, centroids=state.centroids * half)


@pytest.mark.parametrize("misread", [last_code_one_off, no_centroids, halved])
def test_the_oracle_refuses_lance_s_distances_when_the_index_is_misread(index: Index, misread: Any) -> None:
    """Establishes that the test before this one can fail: one wrong code of one row is enough."""
    with pytest.raises(compare.Mismatch, match="distances of Lance"):
        compare_with_oracle(index, misread(index.state))


def test_the_port_s_distance_of_every_row_has_the_bits_of_lance(index: Index, port: Any) -> None:
    """Establishes that the port is one of Lance 14.0.2, order of summation and all."""
    search = TARGET.wiring.bind(port, index.state)
    for query, lance in zip(index.queries, index.lance, strict=True):
        ids, distances = search(query)
        compare.exact(distances, lance[ids], "distances of all rows")


@pytest.mark.parametrize("k", [1, 10, 5000])
def test_the_kernel_passes_the_checks_of_a_trial(index: Index, kernel: Any, k: int) -> None:
    """Establishes that it is right on what Lance made of data, more rows asked for than there are among it."""
    state = index.state._replace(k=k)
    search, oracle = (TARGET.wiring.bind(side, state) for side in (kernel, TARGET.reference))
    for query in index.queries:
        TARGET.wiring.check(search(query), oracle(query), (query,))


@pytest.mark.parametrize("k", [1, 10, 100])
def test_the_port_s_top_k_of_all_partitions_is_lance_s(index: Index, port: Any, k: int) -> None:
    """Establishes the same of the top-k: same distances, and the same rows, equal ones aside."""
    search = TARGET.wiring.bind(port, index.state._replace(k=k))
    for query in index.queries:
        ids, distances = search(query)
        row_ids, by_lance = lance_files.search(index.dataset, query, k, len(index.state.centroids))
        compare.exact(distances, by_lance)
        inside = distances < distances[-1]  # the last place may be tied with rows that were left out
        assert set(index.row_ids[ids][inside]) == set(row_ids[inside])


@pytest.mark.parametrize("length", [1, 4, 5, 8, 12, 15, 16, 17, 20, 32])
def test_lance_sums_squared_distances_in_the_same_order_by_l2(port: Any, tmp_path: Path, length: int) -> None:
    """Establishes that table and scan are those of pq-l2 too, of whose port the bits are those of Lance 1.0.0."""
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "l2", length)
    codebook = rng.standard_normal((6, 256, length), dtype=np.float32)
    vectors = rng.standard_normal((1003, 6 * length), dtype=np.float32)
    centroids = rng.standard_normal((2, 6 * length), dtype=np.float32)
    dataset = lance_files.create_ivf_pq(tmp_path, vectors[1:], 6, 2, (centroids, codebook))
    row_ids, lance = lance_files.search(dataset, vectors[0], 1002, 2)
    by_row = np.empty(1002, np.float32)
    by_row[row_ids] = lance
    files = lance_files.read_ivf_pq(lance_files.index_folder(dataset))
    for centroid, part in zip(files.centroids, files.partitions, strict=True):
        table = port._build_table(files.codebook, vectors[0] - centroid)
        compare.exact(port._scan(part.codes, table), by_row[part.row_ids])


@pytest.mark.parametrize("value", [0, np.nan, np.inf, -np.inf])
def test_a_query_without_direction_finds_nothing(
    indexes: dict[str, Index], port: Any, kernel: Any, value: float
) -> None:
    """Establishes that Lance, the oracle and the kernel agree on zeros, and on NaN or infinity in one place."""
    index = indexes["sd-10"]
    query = index.queries[2].copy()
    query[11 if value else slice(None)] = value
    found = lance_files.search(index.dataset, query, 10, len(index.state.centroids))
    answers = [TARGET.wiring.bind(side, index.state)(query)[:2] for side in (TARGET.reference, port, kernel)]
    assert [(ids.size, distances.size) for ids, distances in (found, *answers)] == [(0, 0)] * 4


def test_the_distance_is_twice_1_minus_cos(indexes: dict[str, Index]) -> None:
    """Establishes the scale, on rows as they are decoded."""
    index = indexes["sd-8"]
    codes = index.state.codes.reshape(16, -1)
    rows = index.state.codebook[np.arange(16)[:, None], codes].swapaxes(0, 1).reshape(-1, 128)
    rows = (rows + index.state.centroids[0]).astype(np.float64)
    query = index.queries[2].astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    cosines = rows @ query / lengths / np.linalg.norm(query)
    assert np.allclose(index.lance[2], (lengths - 1) ** 2 + 2 * lengths * (1 - cosines), atol=1e-5)


def test_faiss_agrees_on_normalised_residuals(index: Index) -> None:
    """Establishes that a second implementation is within the limits, for every row and for the top-k."""
    faiss = pytest.importorskip("faiss", reason=lance_wheel.MISSING)
    faiss.omp_set_num_threads(1)
    sub_vectors, _, length = index.state.codebook.shape
    oracle = oracles.Oracle(TARGET, index.state)
    blocks = np.split(index.state.codes, index.state.offsets[1:-1] * sub_vectors)
    for query in index.queries:
        _, _, every, limit = oracle.expected((query,))
        unit = query / np.sqrt(np.square(query).sum())
        of_partitions = np.split(every, index.state.offsets[1:-1]), np.split(limit, index.state.offsets[1:-1])
        for block, centroid, own, own_limit in zip(blocks, index.state.centroids, *of_partitions, strict=True):
            searcher = faiss.IndexPQ(sub_vectors * length, sub_vectors, 8)
            faiss.copy_array_to_vector(index.state.codebook.ravel(), searcher.pq.centroids)
            faiss.copy_array_to_vector(block.reshape(sub_vectors, -1).T.ravel(), searcher.codes)
            searcher.is_trained, searcher.ntotal = True, own.size
            distances, ids = searcher.search((unit - centroid)[None], own.size)
            compare.top_k(ids[0], distances[0], own, own.size, own_limit, id_dtype=np.int64, what="faiss")
