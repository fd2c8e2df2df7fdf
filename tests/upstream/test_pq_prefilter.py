"""Oracle, port and kernel of pq-prefilter on real indexes: made by Lance, read from its files, and asked there.

Establishes that `reference.py` computes the `_distance` of Lance within its own limits for every row that a filter
allows, that the port computes its bits and its top-k over all partitions, that the kernel passes the checks of a
trial, that all leave out the rows that Lance leaves out, and that faiss agrees.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import lance_files
import lance_wheel
import numpy as np
import pytest

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.target_files import discover, load, seeds

pytestmark = pytest.mark.upstream

FOLDER: Final = Path(__file__).parents[2] / "targets" / "pq-prefilter"
TARGET: Final = load.load(discover.inspect(FOLDER))
QUERIES: Final = 3
FILTERS: Final = {
    "one in a thousand": "draw < 0.001",
    "one in a hundred": "draw < 0.01",
    "one in ten": "draw < 0.1",
    "half": "draw < 0.5",
    "all": "draw < 1",
    "a range": "day >= 700 and day < 1100",
    "a group": "group_ = 0",
    "none": "draw > 1",
}

Array = np.ndarray[Any, Any]


class Corpus(NamedTuple):
    """Vectors to generate around the centroids of the partitions, each `copies` times."""

    dim: int
    sub_vectors: int
    partitions: int
    rows: int = 2011
    copies: int = 1


CORPORA: Final = {
    "sd-1": Corpus(12, 12, 2),
    "sd-4": Corpus(64, 16, 3),
    "sd-8": Corpus(128, 16, 4),
    "sd-8-of-96-sub-spaces": Corpus(768, 96, 3, rows=1307),
    "sd-10": Corpus(100, 10, 3),
    "sd-15": Corpus(120, 8, 2),
    "sd-16": Corpus(384, 24, 4),
    "sd-17": Corpus(136, 8, 3),
    "sd-20": Corpus(160, 8, 2),
    "one-partition": Corpus(128, 16, 1),
    "duplicates": Corpus(128, 16, 1, copies=15),
}
ONE_PARTITION: Final = ("one-partition", "duplicates")


class Index(NamedTuple):
    """What Lance indexed, the same as the target has it, k of all rows, and what the filters ask for.

    Columns are in the order of the index: `row_ids`, `draw`, `day`, `group_`.
    """

    dataset: Any
    state: Any
    columns: dict[str, Array]
    queries: Array

    def allowed(self, name: str) -> Array:
        """The rows that a filter allows, uint32, by numpy."""
        draw, day, group = (self.columns[column] for column in ("draw", "day", "group_"))
        chosen = {
            "one in a thousand": draw < 0.001,
            "one in a hundred": draw < 0.01,
            "one in ten": draw < 0.1,
            "half": draw < 0.5,
            "all": draw < 1,
            "a range": (day >= 700) & (day < 1100),
            "a group": group == 0,
            "none": draw > 1,
        }
        return np.flatnonzero(chosen[name]).astype(np.uint32)

    def lance(self, query: Array, k: int, name: str) -> tuple[Array, Array]:
        """The rows and the distances that Lance finds, with the rows' numbers in the index."""
        found, distances = lance_files.search(
            self.dataset, query, k, len(self.state.centroids), prefilter=FILTERS[name]
        )
        places = np.argsort(self.columns["row_ids"])
        return places[found.astype(np.int64)], distances


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
    middles = rng.standard_normal((partitions, dim), dtype=np.float32)
    codebook = np.float32(0.7) * rng.standard_normal((sub_vectors, 256, dim // sub_vectors), dtype=np.float32)
    group = rng.integers(0, partitions, rows // copies + QUERIES)
    vectors = middles[group] + np.float32(0.7) * rng.standard_normal((group.size, dim), dtype=np.float32)
    stored = rng.permutation(np.resize(np.arange(QUERIES, group.size), rows))
    given = middles, codebook
    others = {"draw": rng.random(rows), "day": np.arange(rows), "group_": group[stored]}
    dataset = lance_files.create_ivf_pq(folder, vectors[stored], sub_vectors, partitions, given, others=others)
    return read(dataset, others, vectors[:QUERIES])


def read(dataset: Any, others: dict[str, Array], queries: Array) -> Index:
    files = lance_files.read_ivf_pq(lance_files.index_folder(dataset))
    codes = np.concatenate([part.codes.ravel() for part in files.partitions])
    offsets = np.cumsum([0, *(part.row_ids.size for part in files.partitions)])
    row_ids = np.concatenate([part.row_ids for part in files.partitions]).astype(np.int64)
    columns = {"row_ids": row_ids, **{name: values[row_ids] for name, values in others.items()}}
    state = TARGET.inputs.bare_state(files.codebook, codes, offsets, files.centroids, row_ids.size)
    return Index(dataset, state, columns, queries)


def compare_with_oracle(index: Index, state: Any, name: str) -> None:
    """Lance's distance of every allowed row, against the oracle of what may be another state."""
    allowed = index.allowed(name)
    oracle = TARGET.wiring.bind(TARGET.reference, state)
    for query in index.queries:
        rows, distances = index.lance(query, len(index.columns["row_ids"]), name)
        assert np.array_equal(np.sort(rows), allowed)
        _, _, every, limit = oracle(query, allowed)
        compare.max_abs_err(distances, every[rows], limit[rows], dtype=np.float32, what="distances of Lance")


@pytest.mark.parametrize("name", FILTERS)
def test_lance_finds_the_allowed_rows_and_their_distances_are_the_oracle_s(index: Index, name: str) -> None:
    """Establishes that the oracle is right about scale, centroids, codes, partitions, sum and filter."""
    compare_with_oracle(index, index.state, name)


def last_code_one_off(state: Any) -> Any:
    codes = state.codes.copy()
    codes[-1] ^= 1
    return state._replace(codes=codes)


def no_centroids(state: Any) -> Any:
    return state._replace(centroids=np.zeros_like(state.centroids))


def codes_row_by_row(state: Any) -> Any:
    sub_vectors = len(state.codebook)
    parts = np.split(state.codes, state.offsets[1:-1] * sub_vectors)
    turned = [part.reshape(-1, sub_vectors).T.ravel() for part in parts]
    return state._replace(codes=np.concatenate(turned))


@pytest.mark.parametrize("misread", [last_code_one_off, no_centroids, codes_row_by_row])
def test_the_oracle_refuses_lance_s_distances_when_the_index_is_misread(index: Index, misread: Any) -> None:
    """Establishes that the test before this one can fail: one wrong code of one row is enough."""
    with pytest.raises(compare.Mismatch, match="distances of Lance"):
        compare_with_oracle(index, misread(index.state), "all")


def test_the_rows_of_a_partition_are_in_the_order_of_the_table(index: Index) -> None:
    """Establishes that a filter for a range of the table allows a range of every partition."""
    for row_ids in np.split(index.columns["row_ids"], index.state.offsets[1:-1]):
        assert (np.diff(row_ids) > 0).all()


@pytest.mark.parametrize("name", FILTERS)
def test_the_port_s_distance_of_every_row_has_the_bits_of_lance(index: Index, port: Any, name: str) -> None:
    """Establishes that the port is one of Lance 14.0.2, order of summation and all."""
    search = TARGET.wiring.bind(port, index.state)
    for query in index.queries:
        ids, distances = search(query, index.allowed(name))
        rows, by_lance = index.lance(query, len(index.columns["row_ids"]), name)
        compare.exact(distances[np.argsort(ids)], by_lance[np.argsort(rows)], "distances of all rows")


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("k", [1, 10, 100])
def test_the_port_s_top_k_of_all_partitions_is_lance_s(index: Index, port: Any, k: int, name: str) -> None:
    """Establishes that it finds the same rows; the last place may be tied with rows that were left out."""
    search = TARGET.wiring.bind(port, index.state._replace(k=k))
    for query in index.queries:
        ids, distances = search(query, index.allowed(name))
        rows, by_lance = index.lance(query, k, name)
        compare.exact(distances, by_lance)
        inside = distances < distances[-1:]
        assert set(ids[inside]) == set(rows[inside])


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("k", [1, 10, 100, 5000])
def test_port_and_kernel_pass_the_checks_of_a_trial(
    index: Index, port: Any, kernel: Any, k: int, name: str
) -> None:
    """Establishes that both are right on what Lance made of data, also where k is more than a filter allows."""
    state = index.state._replace(k=k)
    oracle, *searches = (TARGET.wiring.bind(side, state) for side in (TARGET.reference, port, kernel))
    for query in index.queries:
        call = query, index.allowed(name)
        expected = oracle(*call)
        for search in searches:
            TARGET.wiring.check(search(*call), expected, call)


@pytest.mark.parametrize("k", [10, 100])
@pytest.mark.parametrize("corpus", ONE_PARTITION)
def test_the_port_keeps_the_rows_of_lance_where_they_are_tied(
    indexes: dict[str, Index], port: Any, corpus: str, k: int
) -> None:
    """Establishes that which of equal rows are kept follows from the heap, whose steps are those of Rust's."""
    index = indexes[corpus]
    search = TARGET.wiring.bind(port, index.state._replace(k=k))
    for query in index.queries:
        ids, _ = search(query, index.allowed("half"))
        assert ids.tolist() == index.lance(query, k, "half")[0].tolist()


def test_the_kth_place_is_tied_among_duplicates(indexes: dict[str, Index]) -> None:
    """Establishes that the test before this one meets ties where they matter, at the last place returned."""
    index = indexes["duplicates"]
    _, ascending = index.lance(index.queries[0], 1000, "half")
    assert ascending[9] == ascending[10] or ascending[99] == ascending[100]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0**65])
def test_a_query_without_distances_finds_nothing(
    indexes: dict[str, Index], port: Any, kernel: Any, value: float
) -> None:
    """Establishes that all drop all rows: NaN, and what is too large for float32."""
    index = indexes["sd-10"]
    query = index.queries[0].copy()
    query[11] = value
    sides = (TARGET.wiring.bind(side, index.state) for side in (TARGET.reference, port, kernel))
    answers = [side(query, index.allowed("half"))[:2] for side in sides]
    found = index.lance(query, 10, "half")
    assert [(ids.size, distances.size) for ids, distances in (found, *answers)] == [(0, 0)] * 4


def test_rows_that_are_too_far_are_dropped_one_by_one(port: Any, kernel: Any, tmp_path: Path) -> None:
    """Establishes the same of one partition beside another; a query near it finds its rows instead."""
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "far")
    middles = np.zeros((2, 16), np.float32)
    middles[1, 3] = 2.0**65
    vectors = middles[np.arange(600) % 2] + rng.standard_normal((600, 16), dtype=np.float32)
    codebook = rng.standard_normal((4, 256, 4), dtype=np.float32)
    others = {"draw": rng.random(600), "day": np.arange(600), "group_": np.arange(600) % 2}
    dataset = lance_files.create_ivf_pq(tmp_path, vectors, 4, 2, (middles, codebook), others=others)
    index = read(dataset, others, middles)
    oracle, *searches = (TARGET.wiring.bind(side, index.state) for side in (TARGET.reference, port, kernel))
    for group, query in enumerate(middles):
        call = query, index.allowed("half")
        rows, by_lance = index.lance(query, 600, "half")
        by_port, by_kernel = (search(*call) for search in searches)
        compare.exact(by_port[1], by_lance)
        assert set(index.columns["group_"][rows]) == {group}
        for ids, distances in (by_port, by_kernel):
            assert set(ids) == set(rows)
            TARGET.wiring.check((ids, distances), oracle(*call), call)


def test_a_scalar_index_finds_the_same_rows(port: Any, tmp_path: Path) -> None:
    """Establishes that it does not matter how Lance finds out which rows a filter allows."""
    index = make_index(tmp_path, CORPORA["sd-16"])
    index.dataset.create_scalar_index("draw", "BTREE")
    search = TARGET.wiring.bind(port, index.state._replace(k=10))
    for query in index.queries:
        ids, distances = search(query, index.allowed("one in ten"))
        options = {"prefilter": FILTERS["one in ten"], "nprobes": len(index.state.centroids)}
        found, by_lance = lance_files.find(index.dataset, query, 10, "ScalarIndexQuery", "ANNSubIndex", **options)
        compare.exact(distances, by_lance)
        assert index.columns["row_ids"][ids].tolist() == found.tolist()


@pytest.mark.parametrize("name", ["one in ten", "half"])
def test_faiss_agrees_on_the_codes_of_the_allowed_rows(index: Index, name: str) -> None:
    """Establishes that a second implementation is within the limits, for every allowed row."""
    faiss = pytest.importorskip("faiss", reason=lance_wheel.MISSING)
    faiss.omp_set_num_threads(1)
    sub_vectors, _, length = index.state.codebook.shape
    oracle = TARGET.wiring.bind(TARGET.reference, index.state)
    allowed = index.allowed(name)
    parts = np.split(allowed, np.searchsorted(allowed, index.state.offsets[1:-1]))
    blocks = np.split(index.state.codes, index.state.offsets[1:-1] * sub_vectors)
    for query in index.queries:
        _, _, every, limit = oracle(query, allowed)
        for rows, block, first, centroid in zip(
            parts, blocks, index.state.offsets, index.state.centroids, strict=False
        ):
            searcher = faiss.IndexPQ(sub_vectors * length, sub_vectors, 8)
            faiss.copy_array_to_vector(index.state.codebook.ravel(), searcher.pq.centroids)
            chosen = block.reshape(sub_vectors, -1)[:, rows - first]
            faiss.copy_array_to_vector(chosen.T.ravel(), searcher.codes)
            searcher.is_trained, searcher.ntotal = True, rows.size
            (distances,), (places,) = searcher.search((query - centroid)[None], rows.size)
            found = rows[places]
            compare.max_abs_err(distances, every[found], limit[found], dtype=np.float32, what="faiss")
