"""The oracle of topk-merge against Lance 1.0.0, pyarrow and faiss.

Lance merges by a sort of (_distance, _rowid) with a limit. The tests take the distance of every row from Lance,
hand them to the oracle as runs in another order, and expect the rows of Lance's own, limited answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import lance_files
import numpy as np
import pytest

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.target_files import discover, load, seeds

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

    from pytest_lance_autoresearch.target_files.load import Target

    Keys = NDArray[np.float32]
    RowIds = NDArray[np.uint64]

pytestmark = pytest.mark.upstream

FOLDER: Final = Path(__file__).parents[2] / "targets" / "topk-merge"
MISSING: Final = "needs the extra 'upstream' (pip install 'pytest-lance-autoresearch[upstream]')"
PARTITIONS: Final = 8
DIM: Final = 16
ROWS: Final = 1500
SPECIAL: Final = np.array(
    [0x7FC00000, 0xFFC00000, 0x7F800000, 0xFF800000, 0, 0x80000000, 0x3F800000, 0xBF800000, 0x40000000], np.uint32
).view(np.float32)


@pytest.fixture(scope="module")
def lance() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANCE_LOG", "error")
        module: ModuleType = pytest.importorskip("lance", reason=MISSING)
    assert module.__version__ == lance_files.LANCE_VERSION, "the order is that of this version; see the extra"
    return module


@pytest.fixture(scope="module")
def target() -> Target:
    return load.load(discover.inspect(FOLDER))


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return seeds.rng(seeds.PUBLISHED_SEED, "upstream", "topk-merge", request.node.name)


def write(lance: ModuleType, folder: Path, vectors: NDArray[np.float32], fragments: int = 1) -> Any:
    import pyarrow as pa

    values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    table = pa.table({lance_files.COLUMN: values})
    return lance.write_dataset(table, folder / "data", max_rows_per_file=-(-len(vectors) // fragments))


def as_runs(groups: list[NDArray[np.intp]], rng: np.random.Generator) -> tuple[NDArray[np.intp], Any]:
    """Return the rows of all groups, each shuffled, and their offsets, int64 (1, S + 1)."""
    rows = np.concatenate([rng.permutation(group) for group in groups])
    return rows, np.cumsum([0, *map(len, groups)])[None]


def flat_search(dataset: Any, query: Keys, k: int, metric: str) -> tuple[Keys, RowIds]:
    nearest = {"column": lance_files.COLUMN, "q": query, "k": k, "metric": metric, "use_index": False}
    found = dataset.to_table(nearest=nearest, columns=["_distance"], with_row_id=True)
    return found["_distance"].to_numpy(), found["_rowid"].to_numpy()


@pytest.mark.parametrize("k", [1, 10, 100, ROWS])
def test_the_rows_of_an_index_come_in_the_oracle_s_order(
    lance: ModuleType, target: Target, tmp_path: Path, rng: np.random.Generator, k: int
) -> None:
    """Establishes the merge of partitions: their best k rows, in any order, make Lance's answer."""
    dataset = write(lance, tmp_path, rng.standard_normal((ROWS, DIM), dtype=np.float32))
    dataset.create_index(lance_files.COLUMN, "IVF_FLAT", metric="L2", num_partitions=PARTITIONS)
    storage = lance_files.read_storage(lance_files.index_folder(dataset))
    partition_of = np.empty(ROWS, np.int64)
    partition_of[storage.columns["_rowid"].to_numpy()] = np.repeat(np.arange(PARTITIONS), storage.lengths)
    for query in rng.standard_normal((3, DIM), dtype=np.float32):
        every, distances = lance_files.search(dataset, query, ROWS, PARTITIONS)
        assert every.size == ROWS
        best = [np.flatnonzero(partition_of[every] == partition)[:k] for partition in range(PARTITIONS)]
        rows, offsets = as_runs(best, rng)
        merged = target.reference.topk_merge(distances[rows], every[rows], offsets, k, False, False)
        compare.exact(merged, lance_files.search(dataset, query, k, PARTITIONS)[::-1])


@pytest.mark.parametrize("k", [1, 7, 60, 300])
@pytest.mark.parametrize("metric", ["l2", "dot"])
def test_special_distances_come_in_the_oracle_s_order(
    lance: ModuleType, target: Target, tmp_path: Path, rng: np.random.Generator, metric: str, k: int
) -> None:
    """Establishes IEEE's total order, ties by row id, and row ids whose upper half is the fragment."""
    vectors = np.column_stack((rng.choice(SPECIAL, 300), rng.choice(SPECIAL[4:], 300)))
    dataset = write(lance, tmp_path, vectors, fragments=3)
    query = np.array([1, 2], np.float32)
    distances, every = flat_search(dataset, query, 300, metric)
    assert np.isnan(distances).any()
    assert np.isinf(distances).any()
    assert (every >> np.uint64(32)).max() == 2
    rows, offsets = as_runs([np.flatnonzero(every >> np.uint64(32) == fragment) for fragment in range(3)], rng)
    merged = target.reference.topk_merge(distances[rows], every[rows], offsets, k, False, False)
    compare.exact(merged, flat_search(dataset, query, k, metric))
    of_floats = np.lexsort((every, distances))[:k]
    with pytest.raises(compare.Mismatch):  # every NaN last, as numpy and pyarrow have it
        compare.exact(merged, (distances[of_floats], every[of_floats]))


@pytest.mark.parametrize("descending", [False, True])
def test_pyarrow_agrees_on_ties_and_disagrees_on_what_is_no_number(
    target: Target, rng: np.random.Generator, descending: bool
) -> None:
    """Establishes ties in both directions; and that pyarrow, with every NaN last, is no oracle for the rest."""
    pa = pytest.importorskip("pyarrow", reason=MISSING)
    compute = pytest.importorskip("pyarrow.compute", reason=MISSING)
    rowid = rng.permutation(2000).astype(np.uint64) << np.uint64(52)
    offsets = np.arange(0, 2001, 100)[None]
    keys = ("dist", "descending" if descending else "ascending"), ("rowid", "ascending")
    for special in (False, True):
        dist = rng.integers(-20, 20, 2000).astype(np.float32)
        if special:
            dist[:200] = rng.choice(SPECIAL[:2], 200)
        table = pa.table({"dist": dist, "rowid": rowid})
        order = compute.sort_indices(table, sort_keys=keys).to_numpy()[:300]
        merged = target.reference.topk_merge(dist, rowid, offsets, 300, False, descending)
        if special:
            with pytest.raises(compare.Mismatch):
                compare.exact(merged, (dist[order], rowid[order]))
        else:
            compare.exact(merged, (dist[order], rowid[order]))


@pytest.mark.parametrize(("runs", "k"), [(20, 10), (20, 100), (1024, 10)])
def test_faiss_agrees_on_sorted_runs_without_ties(
    target: Target, rng: np.random.Generator, runs: int, k: int
) -> None:
    faiss = pytest.importorskip("faiss", reason=MISSING)
    faiss.omp_set_num_threads(1)
    dist = np.sort(rng.permutation(runs * k).astype(np.float32).reshape(runs, k), axis=1)
    rowid = rng.permutation(runs * k).astype(np.uint64).reshape(runs, k)
    (distances,), (ids,) = faiss.merge_knn_results(dist[:, None], rowid.view(np.int64)[:, None])
    offsets = np.arange(0, runs * k + 1, k)[None]
    merged = target.reference.topk_merge(dist.ravel(), rowid.ravel(), offsets, k, True, False)
    compare.exact(merged, (distances, ids.astype(np.uint64)))
