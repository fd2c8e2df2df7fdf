"""The oracle of topk-merge against Lance 14.0.2, pyarrow and faiss.

Lance merges by a sort of (_distance, _rowid) with a limit. The tests take the distance of every row from Lance,
hand them to the oracle as runs in another order, and expect the rows of Lance's own, limited answers: of an index
with deltas and rows that are not in it yet, of a search that refines, and of a plain sort by two columns.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import lance_files
import lance_wheel
import numpy as np
import pytest

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.target_files import seeds

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

    from pytest_lance_autoresearch.target_files.load import Target

    Keys = NDArray[np.float32]
    RowIds = NDArray[np.uint64]

pytestmark = pytest.mark.upstream

FOLDER: Final = Path(__file__).parents[2] / "targets" / "topk-merge"
PARTITIONS: Final = 4
DIM: Final = 16
DELTAS: Final = (700, 3, 250, 40, 1)
"""Rows of each commit that is indexed: few have as many as are asked for."""

NOT_INDEXED: Final = 60
ROWS: Final = sum(DELTAS) + NOT_INDEXED
SPECIAL: Final = np.array(
    [0x7FC00000, 0xFFC00000, 0x7F800000, 0xFF800000, 0, 0x80000000, 0x3F800000, 0xBF800000, 0x40000000], np.uint32
).view(np.float32)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return seeds.rng(seeds.PUBLISHED_SEED, "upstream", "topk-merge", request.node.name)


def as_runs(groups: list[NDArray[np.intp]], rng: np.random.Generator) -> tuple[NDArray[np.intp], Any]:
    """Return the rows of all groups, each shuffled, and their offsets, int64 (1, S + 1)."""
    rows = np.concatenate([rng.permutation(group) for group in groups])
    return rows, np.cumsum([0, *map(len, groups)])[None]


@pytest.fixture(scope="module")
def indexed(lance: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An index with a delta for each of five commits, and a commit that is not indexed; many rows are alike."""

    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "topk-merge", "deltas")
    folder = tmp_path_factory.mktemp("topk-merge")
    for number, rows in enumerate((*DELTAS, NOT_INDEXED)):
        vectors = rng.integers(0, 3, (rows, DIM)).astype(np.float32)
        dataset = lance_files.write(folder / "data", vectors, mode="append")
        if number == 0:
            dataset.create_index(lance_files.COLUMN, "IVF_FLAT", metric="L2", num_partitions=PARTITIONS)
        elif number < len(DELTAS):
            dataset.optimize.optimize_indices(num_indices_to_merge=0)
    return lance.dataset(folder / "data")


def search(dataset: Any, query: Keys, k: int, *steps: str, **options: Any) -> tuple[Keys, RowIds]:
    """Return what a search finds, as the kernel returns it; its plan must have these steps."""
    row_ids, distances = lance_files.find(dataset, query, k, *steps, **options)
    return distances, row_ids


@pytest.mark.parametrize("options", [{}, {"refine_factor": 5}], ids=["plain", "refined"])
@pytest.mark.parametrize("k", [1, 10, 100, ROWS])
def test_deltas_of_an_index_come_in_the_oracle_s_order(
    target: Target, indexed: Any, rng: np.random.Generator, k: int, options: dict[str, int]
) -> None:
    """Establishes the merge of deltas, and of rows not indexed yet: their best k, in any order, make the answer.

    Ties are many, and decided by row id across deltas. Inside a delta the first come is kept, so every tied row of
    a delta is handed on here. The deltas are fragments: their numbers are the upper halves of the row ids.
    """
    steps = f"ANNSubIndex: name={lance_files.COLUMN}_idx", f"deltas={len(DELTAS)}", "UnionExec"
    for query in rng.integers(0, 3, (3, DIM)).astype(np.float32):
        distances, every = search(indexed, query, ROWS, nprobes=PARTITIONS)
        assert every.size == ROWS
        deltas = (every >> np.uint64(32)).astype(np.int64)
        rows, offsets = as_runs([np.flatnonzero(deltas == delta) for delta in range(len(DELTAS) + 1)], rng)
        merged = target.reference.topk_merge(distances[rows], every[rows], offsets, k, False, False)
        found = search(indexed, query, k, *steps, nprobes=PARTITIONS, **options)
        compare.exact(merged[0], found[0])
        certain = merged[0] < merged[0][-1]  # at the last distance, which of the rows came first counts
        compare.exact(merged[1][certain], found[1][certain])
        tied = every[distances == merged[0][-1]]
        last = found[1][~certain]
        assert (np.diff(last.astype(np.int64)) > 0).all()
        assert np.isin(last, tied).all()


@pytest.mark.parametrize("metric", ["l2", "dot"])
@pytest.mark.parametrize("k", [1, 7, 60, 300])
def test_infinite_distances_come_in_the_oracle_s_order(
    target: Target, tmp_path: Path, rng: np.random.Generator, metric: str, k: int
) -> None:
    """Establishes ties by row id, whose upper half is the fragment, and that what is no number is left out."""
    vectors = np.column_stack((rng.choice(SPECIAL, 300), rng.choice(SPECIAL[4:], 300)))
    dataset = lance_files.write(tmp_path / "data", vectors, max_rows_per_file=-(-len(vectors) // 3))
    query = np.array([1, 2], np.float32)
    distances, every = search(dataset, query, 300, "KNNVectorDistance", metric=metric, use_index=False)
    assert every.size == 300 - np.isnan(vectors).any(axis=1).sum() < 300
    assert not np.isnan(distances).any()
    assert np.isinf(distances).any()
    assert (every >> np.uint64(32)).max() == 2
    rows, offsets = as_runs([np.flatnonzero(every >> np.uint64(32) == fragment) for fragment in range(3)], rng)
    merged = target.reference.topk_merge(distances[rows], every[rows], offsets, k, False, False)
    compare.exact(merged, search(dataset, query, k, metric=metric, use_index=False))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("k", [1, 50, 400])
def test_the_sort_of_lance_has_the_oracle_s_order(
    lance: ModuleType, target: Target, tmp_path: Path, rng: np.random.Generator, k: int, descending: bool
) -> None:
    """Establishes IEEE's total order, of NaN and -0.0 too, and that NULL comes after all of it.

    So it makes no difference that a search leaves rows without a distance out before it sorts.
    """
    import pyarrow as pa
    from lance.dataset import ColumnOrdering

    keys, ids = rng.choice(SPECIAL, 400), rng.permutation(400).astype(np.uint64) << np.uint64(55)
    missing = rng.random(400) < 0.1
    table = pa.table({"key": pa.array(keys, mask=missing), "id": ids})
    dataset = lance.write_dataset(table, tmp_path / "data")
    order = [ColumnOrdering("key", not descending, False), ColumnOrdering("id", True, False)]
    scanner = dataset.scanner(order_by=order, limit=k)
    assert "NULLS LAST" in scanner.explain_plan()
    found = scanner.to_table()
    present = np.flatnonzero(~missing)
    offsets = np.array([[0, present.size]])
    merged = target.reference.topk_merge(keys[present], ids[present], offsets, k, False, descending)
    size = merged[0].size
    values = found["key"].combine_chunks()
    compare.exact(merged, (np.frombuffer(values.buffers()[1], np.float32)[:size], found["id"].to_numpy()[:size]))
    assert values.null_count == k - size
    compare.exact(np.sort(ids[missing])[: k - size], found["id"].to_numpy()[size:])
    if k > 1:
        of_floats = np.lexsort((ids[present], -keys[present] if descending else keys[present]))[:k]
        with pytest.raises(compare.Mismatch):  # every NaN last, as numpy and pyarrow have it
            compare.exact(merged, (keys[present][of_floats], ids[present][of_floats]))


@pytest.mark.parametrize("descending", [False, True])
def test_pyarrow_agrees_on_ties_and_disagrees_on_what_is_no_number(
    target: Target, rng: np.random.Generator, descending: bool
) -> None:
    """Establishes ties in both directions; and that pyarrow, with every NaN last, is no oracle for the rest."""
    pa = pytest.importorskip("pyarrow", reason=lance_wheel.MISSING)
    compute = pytest.importorskip("pyarrow.compute", reason=lance_wheel.MISSING)
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
    faiss = pytest.importorskip("faiss", reason=lance_wheel.MISSING)
    faiss.omp_set_num_threads(1)
    dist = np.sort(rng.permutation(runs * k).astype(np.float32).reshape(runs, k), axis=1)
    rowid = rng.permutation(runs * k).astype(np.uint64).reshape(runs, k)
    (distances,), (ids,) = faiss.merge_knn_results(dist[:, None], rowid.view(np.int64)[:, None])
    offsets = np.arange(0, runs * k + 1, k)[None]
    merged = target.reference.topk_merge(dist.ravel(), rowid.ravel(), offsets, k, True, False)
    compare.exact(merged, (distances, ids.astype(np.uint64)))
