"""The oracle and the kernel of pq-dot on real indexes: made by Lance, read from its files, answered by Lance.

Establishes that `reference.py` computes the `_distance` of Lance within its own limits for every row of all
partitions, that the port computes its bits and its top-k, that the kernel passes the checks of a trial, and that
faiss agrees.
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

FOLDER: Final = Path(__file__).parents[2] / "targets" / "pq-dot"
TARGET: Final = load.load(discover.inspect(FOLDER))
QUERIES: Final = 4

Array = np.ndarray[Any, Any]


class Corpus(NamedTuple):
    """Vectors to generate in partitions, each `copies` times."""

    dim: int
    sub_vectors: int
    partitions: int
    rows: int = 2011
    copies: int = 1


CORPORA: Final = {
    "sd-1": Corpus(12, 12, 2),
    "sd-4": Corpus(64, 16, 3),
    "sd-8": Corpus(128, 16, 1),
    "sd-8-in-7-partitions": Corpus(64, 8, 7),
    "sd-8-of-96-sub-spaces": Corpus(768, 96, 3, rows=1003),
    "sd-10": Corpus(100, 10, 3),
    "sd-15": Corpus(120, 8, 2),
    "sd-16": Corpus(256, 16, 4),
    "sd-17": Corpus(136, 8, 3),
    "sd-20": Corpus(160, 8, 2),  # a whole block of 16 dimensions, and 4 more
    "duplicates": Corpus(128, 16, 4, copies=15),
}


class Index(NamedTuple):
    """What Lance indexed, the same as the target has it, k of all rows, and Lance's distances, (queries, n)."""

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
    dim, sub_vectors, partitions, rows, copies = corpus
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", *corpus)
    centroids = rng.standard_normal((partitions, dim), dtype=np.float32)
    codebook = rng.standard_normal((sub_vectors, 256, dim // sub_vectors), dtype=np.float32)
    distinct = rows // copies + QUERIES
    vectors = rng.standard_normal((distinct, dim), dtype=np.float32)
    vectors += centroids[rng.integers(0, partitions, distinct)]
    stored = vectors[rng.permutation(np.resize(np.arange(QUERIES, distinct), rows))]
    given = centroids, codebook
    dataset = lance_files.create_ivf_pq(folder, stored, sub_vectors, partitions, given, "dot")
    state, row_ids = read(dataset)
    queries, by_row = vectors[:QUERIES], np.full((QUERIES, rows), np.nan, np.float32)
    for query, answers in zip(queries, by_row, strict=True):
        found, distances = lance_files.search(dataset, query, rows, partitions)
        answers[found] = distances
    return Index(dataset, state, row_ids, queries, by_row[:, row_ids])


def read(dataset: Any) -> tuple[Any, Array]:
    """Return the partitions in the index's files as the target has them, k of all rows, and the rows' ids."""
    files = lance_files.read_ivf_pq(lance_files.index_folder(dataset))
    codes = np.concatenate([part.codes.ravel() for part in files.partitions])
    offsets = np.cumsum([0, *(part.row_ids.size for part in files.partitions)])
    row_ids = np.concatenate([part.row_ids for part in files.partitions])
    return TARGET.inputs.bare_state(files.codebook, codes, offsets, int(offsets[-1])), row_ids


def compare_with_oracle(index: Index, state: Any) -> None:
    oracle = oracles.Oracle(TARGET, state)
    for query, lance in zip(index.queries, index.lance, strict=True):
        _, _, every, limit = oracle.expected((query,))
        compare.max_abs_err(lance, every, limit, dtype=np.float32, what="distances of Lance")


def test_lance_s_distance_of_every_row_is_within_the_oracle_s_limit(index: Index) -> None:
    """Establishes that the oracle is right about codebook, codes, partitions, sum and offset."""
    assert np.array_equal(np.sort(index.row_ids), np.arange(index.dataset.count_rows()))
    compare_with_oracle(index, index.state)


def last_code_one_off(state: Any) -> Any:
    codes = state.codes.copy()
    codes[-1] ^= 1
    return state._replace(codes=codes)


def one_block(state: Any) -> Any:
    """All partitions read as one, or the only one cut in two."""
    rows = state.offsets[-1]
    return state._replace(offsets=np.array([0, rows] if state.offsets.size > 2 else [0, rows // 2, rows]))


def codebook_of_4_bits(state: Any) -> Any:
    """The last 240 centroids of every sub-space lost."""
    codebook = state.codebook.copy()
    codebook[:, 16:] = 0
    return state._replace(codebook=codebook)


@pytest.mark.parametrize("misread", [last_code_one_off, one_block, codebook_of_4_bits])
def test_the_oracle_refuses_lance_s_distances_when_the_index_is_misread(index: Index, misread: Any) -> None:
    """Establishes that the test before this one can fail: one wrong code of one row is enough."""
    with pytest.raises(compare.Mismatch, match="distances of Lance"):
        compare_with_oracle(index, misread(index.state))


def test_the_port_s_distance_of_every_row_has_the_bits_of_lance(index: Index, port: Any) -> None:
    """Establishes that the port is one of Lance 14.0.2, order of summation, offset and all."""
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
        row_ids, by_lance = lance_files.search(index.dataset, query, k, index.state.offsets.size - 1)
        compare.exact(distances, by_lance)
        inside = distances < distances[-1]  # the last place may be tied with rows that were left out
        assert set(index.row_ids[ids][inside]) == set(row_ids[inside])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_query_with_nan_or_infinity_finds_nothing(
    indexes: dict[str, Index], port: Any, kernel: Any, value: float
) -> None:
    """Establishes that Lance, the oracle and the kernel agree on it, whatever the other dimensions are."""
    index = indexes["sd-8-in-7-partitions"]
    query = index.queries[0].copy()
    query[11] = value
    found = lance_files.search(index.dataset, query, 10, index.state.offsets.size - 1)
    answers = [TARGET.wiring.bind(side, index.state)(query)[:2] for side in (TARGET.reference, port, kernel)]
    assert [(ids.size, distances.size) for ids, distances in (found, *answers)] == [(0, 0)] * 4


def test_rows_beyond_float32_are_not_found(port: Any, kernel: Any, tmp_path: Path) -> None:
    """Establishes the rule where two rows of three are at an infinity of either sign, for k of 10 and of all."""
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "beyond float32")
    codebook = rng.standard_normal((4, 256, 8), dtype=np.float32)
    codebook[0, 0::3, 0], codebook[0, 1::3, 0] = 3e38, -3e38
    vectors = rng.standard_normal((1000, 32), dtype=np.float32)
    vectors[0::3, 0], vectors[1::3, 0] = 2.9e38, -2.9e38
    given = rng.standard_normal((2, 32), dtype=np.float32), codebook
    query = rng.standard_normal(32, dtype=np.float32)
    query[0] = 2.5
    dataset = lance_files.create_ivf_pq(tmp_path, vectors, 4, 2, given, "dot")
    state, row_ids = read(dataset)
    found = set()
    for k in (10, 1000):
        search = TARGET.wiring.bind(port, state._replace(k=k))
        ids, distances = search(query)
        oracle = oracles.Oracle(TARGET, state._replace(k=k))
        for side in (port, kernel):
            answer = TARGET.wiring.bind(side, state._replace(k=k))(query)
            oracle.verify(answer, (query,), "rows beyond float32")
        compare.exact((row_ids[ids], distances), lance_files.search(dataset, query, k, 2))
        found.add(ids.size)
    assert found == {10, 333}


def test_faiss_agrees_on_the_same_codebook_and_codes(index: Index) -> None:
    """Establishes that a second implementation is within the limits, for every row and for the top-k."""
    faiss = pytest.importorskip("faiss", reason=lance_wheel.MISSING)
    faiss.omp_set_num_threads(1)
    sub_vectors, _, length = index.state.codebook.shape
    parts = np.split(index.state.codes, index.state.offsets[1:-1] * sub_vectors)
    searcher = faiss.IndexPQ(sub_vectors * length, sub_vectors, 8, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(index.state.codebook.ravel(), searcher.pq.centroids)
    by_row = np.concatenate([part.reshape(sub_vectors, -1).T for part in parts])
    faiss.copy_array_to_vector(by_row.ravel(), searcher.codes)
    searcher.is_trained, searcher.ntotal = True, len(by_row)
    oracle = oracles.Oracle(TARGET, index.state)
    for query in index.queries:
        _, _, every, limit = oracle.expected((query,))
        products, ids = searcher.search(query[None], every.size)
        compare.top_k(ids[0], 1 - products[0], every, every.size, limit, id_dtype=np.int64, what="faiss")
