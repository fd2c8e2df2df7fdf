"""The oracle of ivf-partition against Lance and faiss.

Lance does not give the partitions of a query away, but with k as large as the table it returns every row of the
partitions it probed: the sets of rows show them. The distances are those of the same functions in a search
without an index, over a table whose vectors are the centroids.
"""

from __future__ import annotations

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

pytestmark = pytest.mark.upstream

FOLDER: Final = Path(__file__).parents[2] / "targets" / "ivf-partition"
ROWS: Final = 2000
DIM: Final = 48
PARTITIONS: Final = 32
NPROBES: Final = (1, 2, 5, 20, 31, 32)
QUERIES: Final = 5
METRICS: Final = ("l2", "cosine", "dot")


class Index(NamedTuple):
    """A dataset that Lance indexed, the centroids in its files, and the row ids of each partition."""

    metric: str
    dataset: Any
    centroids: Floats
    rows: list[frozenset[int]]
    queries: Floats


@pytest.fixture(scope="module", params=METRICS)
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Rows around some centres, indexed by Lance's own training."""
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "ivf-partition", request.param)
    centres = 2 * rng.standard_normal((PARTITIONS, DIM), dtype=np.float32)
    vectors = centres[rng.integers(0, PARTITIONS, ROWS + QUERIES)]
    vectors += rng.standard_normal(vectors.shape, dtype=np.float32)
    dataset = lance_files.write(tmp_path_factory.mktemp("index") / "data", vectors[:ROWS])
    dataset.create_index(lance_files.COLUMN, "IVF_FLAT", metric=request.param, num_partitions=PARTITIONS)
    folder = lance_files.index_folder(dataset)
    storage = lance_files.read_storage(folder)
    row_ids = np.split(storage.columns["_rowid"].to_numpy(), np.cumsum(storage.lengths)[:-1])
    rows = [frozenset(part.tolist()) for part in row_ids]
    return Index(request.param, dataset, lance_files.read_ivf(folder), rows, vectors[ROWS:])


def predicted_rows(target: Target, index: Index, query: Floats, nprobes: int, metric: str) -> set[int]:
    """Return the rows of the partitions that the oracle ranks first."""
    ids = target.reference.IvfModel(index.centroids[None], metric).find_partitions(query[None], nprobes)[0]
    return set().union(*(index.rows[partition] for partition in ids[0, 0]))


def probed_rows(index: Index, query: Floats, nprobes: int) -> set[int]:
    row_ids, _ = lance_files.search(index.dataset, query, k=ROWS, probes=nprobes)
    return set(row_ids.tolist())


@pytest.mark.parametrize("nprobes", [*NPROBES, PARTITIONS + 3])
def test_lance_probes_the_partitions_that_the_oracle_ranks_first(
    index: Index, target: Target, nprobes: int
) -> None:
    """Establishes metric, order and clamping, and that cosine is L2 of the normalised query."""
    for query in index.queries:
        assert predicted_rows(target, index, query, nprobes, index.metric) == probed_rows(index, query, nprobes)


def test_another_query_predicts_other_partitions(index: Index, target: Target) -> None:
    """Establishes that the test before this one can fail."""
    wrong = [
        predicted_rows(target, index, -query, nprobes, index.metric) != probed_rows(index, query, nprobes)
        for query in index.queries
        for nprobes in NPROBES[:4]
    ]
    assert any(wrong)


@pytest.mark.parametrize("dim", [100, 768])
@pytest.mark.parametrize("metric", ["l2", "dot"])
def test_lance_s_distances_are_within_the_oracle_s_limit(
    target: Target, tmp_path: Path, metric: str, dim: int
) -> None:
    """Establishes both formulas and both limits; without its first dimension a query is refused."""
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "ivf-partition", metric, dim)
    centroids = rng.standard_normal((200, dim), dtype=np.float32)
    query = centroids[7] + np.float32(0.3) * rng.standard_normal(dim, dtype=np.float32)
    dataset = lance_files.write(tmp_path / "data", centroids)
    row_ids, distances = lance_files.find(dataset, query, len(centroids), metric=metric, use_index=False)
    result = row_ids.astype(np.uint32)[None, None], distances[None, None]
    oracle = target.wiring.bind(target.reference, target.inputs.State(centroids[None], metric))
    call = (query[None], len(centroids))
    target.wiring.check(result, oracle(*call), call)
    call[0][0, 0] = 0
    with pytest.raises(compare.Mismatch, match="partitions distances"):
        target.wiring.check(result, oracle(*call), call)


@pytest.mark.parametrize("metric", ["l2", "dot"])
def test_faiss_agrees(target: Target, metric: str) -> None:
    faiss = pytest.importorskip("faiss", reason=lance_wheel.MISSING)
    faiss.omp_set_num_threads(1)
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "ivf-partition", "faiss", metric)
    centroids = rng.standard_normal((1024, 768), dtype=np.float32)
    query = rng.standard_normal(768, dtype=np.float32)
    index = faiss.IndexFlatL2(768) if metric == "l2" else faiss.IndexFlatIP(768)
    index.add(centroids)
    distances, ids = index.search(query[None], 20)
    distances = distances if metric == "l2" else np.float32(1) - distances
    oracle = target.wiring.bind(target.reference, target.inputs.State(centroids[None], metric))
    call = (query[None], 20)
    target.wiring.check((ids.astype(np.uint32)[None], distances[None]), oracle(*call), call)


@pytest.mark.parametrize("dim", [1, 7, 8, 15, 16, 17, 100])
@pytest.mark.parametrize("metric", ["l2", "dot"])
def test_the_port_has_the_bits_of_lance(port: Any, tmp_path: Path, metric: str, dim: int) -> None:
    """Establishes the order of summation; the search without an index calls the same functions."""
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "ivf-partition bits", metric, dim)
    centroids = rng.standard_normal((300, dim), dtype=np.float32)
    dataset = lance_files.write(tmp_path / "data", centroids)
    model = port.IvfModel(centroids[None], metric)
    for query in rng.standard_normal((3, dim), dtype=np.float32):
        row_ids, of_lance = lance_files.find(dataset, query, 300, metric=metric, use_index=False)
        ids, distances = model.find_partitions(query[None], 300)
        np.testing.assert_array_equal(distances[0, 0][np.argsort(ids[0, 0])], of_lance[np.argsort(row_ids)])
