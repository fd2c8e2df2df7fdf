"""The oracle and the kernel of pq-cosine on real indexes: made by Lance, read from its files, answered by Lance.

Establishes that `reference.py` computes the `_distance` of Lance within its own limits for every row, that
`kernels.py` as committed computes its bits, and that faiss agrees with both.
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
from pytest_lance_autoresearch.kernel_side import modules
from pytest_lance_autoresearch.target_files import discover, load, seeds

pytestmark = pytest.mark.upstream

FOLDER: Final = Path(__file__).parents[3] / "targets" / "pq-cosine"
TARGET: Final = load.load(discover.inspect(FOLDER))
QUERIES: Final = 4
PORT_CODE_SHA256: Final = "40b419a37aa057acbeed9a9c5cb7c84b5951afbbbc6bbdbbed65f9f2e8af8673"
"""Code of the port of Lance 1.0.0. An optimised kernel may sum in another order: its bits are its own."""

Array = np.ndarray[Any, Any]


class Corpus(NamedTuple):
    """Vectors to generate around the centroids of the partitions."""

    dim: int
    sub_vectors: int
    partitions: int
    rows: int = 2011


CORPORA: Final = {
    "sd-8": Corpus(128, 16, 1),
    "sd-8-of-96-sub-spaces": Corpus(768, 96, 3, rows=1003),
    "sd-10": Corpus(100, 10, 3),
    "sd-16": Corpus(384, 24, 4),
    "sd-20": Corpus(160, 8, 2),  # a whole block of 16 dimensions, and 4 more
}


class Part(NamedTuple):
    """A partition as the target has it, and Lance's distance of every row, (queries, n)."""

    state: Any
    lance: Array


class Index(NamedTuple):
    """What Lance indexed, the queries, not normalised, and its answers."""

    dataset: Any
    row_ids: tuple[Array, ...]
    queries: Array
    parts: tuple[Part, ...]


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Index]:
    lance_wheel.lance(lance_wheel.EARLIER)
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
    by_row = np.full((QUERIES, rows), np.nan, np.float32)
    for query, answers in zip(queries, by_row, strict=True):
        row_ids, distances = lance_files.search(dataset, query, rows, partitions)
        answers[row_ids] = distances
    parts = tuple(
        Part(
            TARGET.inputs.bare_state(files.codebook, part.codes, centroid, part.codes.shape[1]),
            by_row[:, part.row_ids],
        )
        for centroid, part in zip(files.centroids, files.partitions, strict=True)
    )
    return Index(dataset, tuple(part.row_ids for part in files.partitions), queries, parts)


def compare_with_oracle(queries: Array, part: Part) -> None:
    oracle = oracles.Oracle(TARGET, part.state)
    for query, lance in zip(queries, part.lance, strict=True):
        _, _, every, limit = oracle.expected((query,))
        compare.max_abs_err(lance, every, limit, dtype=np.float32, what="distances of Lance")


def test_lance_s_distance_of_every_row_is_within_the_oracle_s_limit(index: Index) -> None:
    """Establishes that the oracle is right about scale, normalisation, centroid, codes and sum."""
    assert sum(part.lance.shape[1] for part in index.parts) == index.dataset.count_rows()
    for part in index.parts:
        compare_with_oracle(index.queries, part)


def last_code_one_off(state: Any) -> Any:
    codes = state.codes.copy()
    codes[-1, -1] ^= 1
    return state._replace(codes=codes)


def no_centroid(state: Any) -> Any:
    return state._replace(centroid=np.zeros_like(state.centroid))


def halved(state: Any) -> Any:
    """A codebook and a centroid as if 1 - cos were the scale."""
    half = np.float32(0.5**0.5)
    return state._replace(codebook=state.codebook * half, centroid=state.centroid * half)


@pytest.mark.parametrize("misread", [last_code_one_off, no_centroid, halved])
def test_the_oracle_refuses_lance_s_distances_when_the_index_is_misread(index: Index, misread: Any) -> None:
    """Establishes that the test before this one can fail: one wrong code of one row is enough."""
    for part in index.parts:
        with pytest.raises(compare.Mismatch, match="distances of Lance"):
            compare_with_oracle(index.queries, part._replace(state=misread(part.state)))


def test_the_kernel_s_distance_of_every_row_has_the_bits_of_lance(index: Index) -> None:
    """Establishes that the committed kernel is a port of Lance 1.0.0, order of summation and all."""
    if TARGET.kernel.code_sha256 != PORT_CODE_SHA256:
        pytest.skip("kernels.py is no longer the port of Lance 1.0.0, whose bits were compared while it was")
    kernels: Any = modules.execute_source(
        modules.module_name(TARGET.name, "kernels"), TARGET.kernel.text, str(TARGET.kernel.path)
    )
    for part in index.parts:
        search = TARGET.wiring.bind(kernels, part.state)
        for query, lance in zip(index.queries, part.lance, strict=True):
            ids, distances = search(query)
            compare.exact(distances, lance[ids], "distances of all rows")


def test_the_distance_is_twice_1_minus_cos_and_zeros_have_none(indexes: dict[str, Index]) -> None:
    """Establishes the scale, on rows as they are decoded, and what Lance says of a query without direction."""
    index = indexes["sd-8"]
    (part,) = index.parts
    rows = part.state.codebook[np.arange(16)[:, None], part.state.codes].swapaxes(0, 1).reshape(-1, 128)
    rows = (rows + part.state.centroid).astype(np.float64)
    query = index.queries[2].astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    cosines = rows @ query / lengths / np.linalg.norm(query)
    assert np.allclose(part.lance[2], (lengths - 1) ** 2 + 2 * lengths * (1 - cosines), atol=1e-5)
    _, distances = lance_files.search(index.dataset, np.zeros(128, np.float32), 10, 1)
    assert distances.size == 10
    assert np.isnan(distances).all()


def test_faiss_agrees_on_normalised_residuals(index: Index) -> None:
    """Establishes that a second implementation is within the limits, for every row and for the top-k."""
    faiss = pytest.importorskip("faiss", reason=lance_wheel.MISSING)
    faiss.omp_set_num_threads(1)
    for part in index.parts:
        sub_vectors, _, length = part.state.codebook.shape
        searcher = faiss.IndexPQ(sub_vectors * length, sub_vectors, 8)
        faiss.copy_array_to_vector(part.state.codebook.ravel(), searcher.pq.centroids)
        faiss.copy_array_to_vector(part.state.codes.T.ravel(), searcher.codes)
        searcher.is_trained, searcher.ntotal = True, part.state.codes.shape[1]
        oracle = oracles.Oracle(TARGET, part.state)
        for query in index.queries:
            _, _, every, limit = oracle.expected((query,))
            unit = query / np.sqrt(np.square(query).sum())
            distances, ids = searcher.search((unit - part.state.centroid)[None], every.size)
            compare.top_k(ids[0], distances[0], every, every.size, limit, id_dtype=np.int64, what="faiss")
