"""Oracle, kernel and port of pq-l2 on real indexes: made by Lance, read from its files, answered by Lance.

Establishes that `reference.py` computes the `_distance` of Lance within its own limits for every row of every
index, that kernel and port pass the checks of a trial there, and that faiss, given the same codebook and codes,
agrees. The port is of Lance 1.0.0, and has the bits of 14.0.2 where sub-vectors have more than 16 dimensions; the
new order of shorter ones is test_pq_cosine's. Lance trains the index of the digits itself; the others have a
codebook drawn beforehand.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import battery
import lance_files
import lance_wheel
import numpy as np
import pytest
import workers

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.bench import check, oracles
from pytest_lance_autoresearch.errors import KernelIncorrect
from pytest_lance_autoresearch.target_files import seeds, sources

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

    from pytest_lance_autoresearch.bench.process import KernelProcess
    from pytest_lance_autoresearch.bench.runner import Answers
    from pytest_lance_autoresearch.target_files.load import Target

    Floats = NDArray[np.float32]
    Codes = NDArray[np.uint8]

pytestmark = pytest.mark.upstream

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "targets" / "pq-l2"
PORT: Final = battery.PORTS / "pq-l2" / "kernels.py"
QUERIES: Final = 4
TIMEOUT_S: Final = 120.0


class Corpus(NamedTuple):
    """Vectors to generate, each `copies` times, in clusters that are the partitions of the index."""

    dim: int
    sub_vectors: int
    partitions: int = 1
    rows: int = 2011
    copies: int = 1


CORPORA: Final = {
    "sd-1": Corpus(12, 12),
    "sd-8": Corpus(128, 16),
    "sd-8-in-4-partitions": Corpus(128, 16, partitions=4),
    "sd-8-of-96-sub-spaces": Corpus(768, 96, rows=5003),  # enough for the kernel to give rows up
    "sd-12": Corpus(96, 8),
    "sd-12-in-3-partitions": Corpus(96, 8, partitions=3),
    "sd-16": Corpus(256, 16),
    "sd-16-in-4-partitions": Corpus(256, 16, partitions=4),
    "sd-17": Corpus(136, 8, partitions=2),
    "sd-20": Corpus(160, 8),  # a whole block of 16 dimensions, and 4 more
    "sd-20-duplicates": Corpus(160, 8, copies=15),
    "duplicates": Corpus(128, 16, copies=15),
}
DIGITS: Final = "digits-in-3-partitions"
NAMES: Final = (*CORPORA, DIGITS)
LONG: Final = tuple(name for name, corpus in CORPORA.items() if corpus.dim > 16 * corpus.sub_vectors)
"""Indexes whose sub-vectors are summed as in Lance 1.0.0."""
LONG_OF_ONE_PARTITION: Final = tuple(name for name in LONG if CORPORA[name].partitions == 1)


class Part(NamedTuple):
    """One partition of an index: its codes, and for each query the residual and Lance's distance of every row."""

    codes: Codes
    residuals: Floats
    lance: Floats


class Index(NamedTuple):
    """A dataset that Lance indexed, its index as its files have it, and what Lance answered to the queries.

    `given` is what Lance was told to use as centroids and codebook, None where it trained them.
    """

    dataset: Any
    files: lance_files.IvfPq
    given: tuple[Floats, Floats] | None
    queries: Floats
    parts: tuple[Part, ...]


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Index]:
    """Every index, made once."""
    lance_wheel.lance()
    pytest.importorskip("pyarrow", reason=lance_wheel.MISSING)
    folder = tmp_path_factory.mktemp("indexes")
    generated = {name: index_corpus(folder / name, corpus) for name, corpus in CORPORA.items()}
    return {**generated, DIGITS: index_digits(folder / DIGITS)}


@pytest.fixture
def index(request: pytest.FixtureRequest, indexes: dict[str, Index]) -> Index:
    """The index that the test's parameter names."""
    return indexes[request.param]


@pytest.fixture(scope="module")
def faiss() -> ModuleType:
    module: ModuleType = pytest.importorskip("faiss", reason=lance_wheel.MISSING)
    module.omp_set_num_threads(1)
    return module


def running(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelProcess]:
    """The target's kernel in a process of its own, as a trial runs it; compiled once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("kernel")))
        process = workers.started(target, TIMEOUT_S)
    yield process
    process.close()


@pytest.fixture(scope="module")
def kernel(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelProcess]:
    """The committed kernel, which sums in an order of its own."""
    yield from running(target, tmp_path_factory)


@pytest.fixture(scope="module")
def port(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelProcess]:
    """The port in the kernel's place."""
    yield from running(replace(target, kernel=sources.read(PORT)), tmp_path_factory)


@pytest.fixture(params=["kernel", "port"])
def either(request: pytest.FixtureRequest) -> KernelProcess:
    """For what holds of both."""
    process: KernelProcess = request.getfixturevalue(request.param)
    return process


on_every_index = pytest.mark.parametrize("index", NAMES, indirect=True)


@pytest.mark.parametrize("index", CORPORA, indirect=True)
def test_the_files_hold_the_centroids_and_the_codebook_that_lance_was_given(index: Index) -> None:
    """Establishes that both are read in the right order; after training by Lance there is nothing to compare."""
    assert index.given is not None
    compare.exact((index.files.centroids, index.files.codebook), index.given)


@on_every_index
def test_the_files_hold_every_row_in_one_partition(index: Index) -> None:
    """Establishes that no row and no partition is left out of the comparisons below."""
    rows = np.concatenate([partition.row_ids for partition in index.files.partitions])
    assert np.array_equal(np.sort(rows), np.arange(index.dataset.count_rows()))
    assert all(partition.row_ids.size for partition in index.files.partitions)


@on_every_index
def test_lance_s_distance_of_every_row_is_within_the_oracle_s_limit(index: Index, target: Target) -> None:
    """Establishes that the oracle is right about codebook, codes, residual and sum."""
    for part in index.parts:
        compare_with_oracle(target, index, part)


def rows_moved_by_one(part: Part) -> Part:
    return part._replace(codes=np.roll(part.codes, 1, axis=1))


def sub_spaces_moved_by_one(part: Part) -> Part:
    return part._replace(codes=np.roll(part.codes, 1, axis=0))


def codes_row_by_row(part: Part) -> Part:
    return part._replace(codes=part.codes.reshape(part.codes.shape[::-1]).T)


def last_code_one_off(part: Part) -> Part:
    codes = part.codes.copy()
    codes[-1, -1] ^= 1
    return part._replace(codes=codes)


def residuals_backwards(part: Part) -> Part:
    return part._replace(residuals=part.residuals[:, ::-1])


MISREADINGS: Final = (
    rows_moved_by_one,
    sub_spaces_moved_by_one,
    codes_row_by_row,
    last_code_one_off,
    residuals_backwards,
)


@on_every_index
@pytest.mark.parametrize("misread", MISREADINGS)
def test_the_oracle_refuses_lance_s_distances_when_the_files_are_misread(
    index: Index, target: Target, misread: Callable[[Part], Part]
) -> None:
    """Establishes that the test before this one can fail: one wrong code of one row is enough."""
    for part in index.parts:
        with pytest.raises(compare.Mismatch, match="distances of Lance"):
            compare_with_oracle(target, index, misread(part))


@pytest.mark.parametrize("index", LONG, indirect=True)
def test_the_port_s_distance_of_every_row_has_the_bits_of_lance(
    index: Index, target: Target, port: KernelProcess
) -> None:
    """Establishes that Lance's order of summation is that of 1.0.0 for long sub-vectors."""
    for part in index.parts:
        answers = checked_answers(port, target, index, part, k=part.codes.shape[1])
        for (ids, distances), lance in zip(answers, part.lance, strict=True):
            compare.exact(distances, lance[ids], "distances of all rows")


@pytest.mark.parametrize("index", LONG_OF_ONE_PARTITION, indirect=True)
@pytest.mark.parametrize("k", [1, 10, 100])
def test_the_port_returns_the_rows_of_lance_in_its_order(
    index: Index, target: Target, port: KernelProcess, k: int
) -> None:
    """Establishes the same of the top-k; in duplicates, which of equal rows are kept follows from the heap."""
    row_ids = index.files.partitions[0].row_ids
    answers = checked_answers(port, target, index, index.parts[0], k)
    for query, (ids, distances) in zip(index.queries, answers, strict=True):
        compare.exact((row_ids[ids], distances), lance_files.search(index.dataset, query, k, probes=1))


@pytest.mark.parametrize("k", [10, 100])
def test_the_kth_place_is_tied_among_duplicates(indexes: dict[str, Index], k: int) -> None:
    """Establishes that the test before this one meets ties where they matter, at the last place returned."""
    ascending = np.sort(indexes["sd-20-duplicates"].parts[0].lance, axis=1)
    assert (ascending[:, k - 1] == ascending[:, k]).any()


@on_every_index
def test_faiss_agrees_on_the_same_codebook_and_codes(index: Index, target: Target, faiss: ModuleType) -> None:
    """Establishes that a second implementation is within the limits, for every row and for the top-k."""
    for part in index.parts:
        searcher = faiss_index(faiss, index.files.codebook, part.codes)
        for residual, (every, limit) in zip(part.residuals, expected(target, index, part), strict=True):
            for k in (10, every.size):
                distances, ids = searcher.search(residual[None], k)
                compare.top_k(ids[0], distances[0], every, k, limit, id_dtype=np.int64, what=f"faiss, k = {k}")


@on_every_index
@pytest.mark.parametrize("k", [10, 6000])
def test_kernel_and_port_pass_the_checks_of_a_trial(
    index: Index, target: Target, either: KernelProcess, k: int
) -> None:
    """Establishes that real codes go through the harness as generated ones do; 6000 is more than there are."""
    for part in index.parts:
        check_kernel(either, target, index, part, k)


@on_every_index
def test_the_checks_of_a_trial_refuse_both_when_their_rows_are_permuted(
    index: Index, target: Target, either: KernelProcess
) -> None:
    """Establishes that the test before this one can fail."""
    for part in index.parts:
        order = seeds.rng(seeds.PUBLISHED_SEED, "permuted").permutation(part.codes.shape[1])
        with pytest.raises(KernelIncorrect, match="top-k distances of the returned ids"):
            check_kernel(either, target, index, part, k=10, bound_to=np.ascontiguousarray(part.codes[:, order]))


def index_corpus(folder: Path, corpus: Corpus) -> Index:
    """Generate vectors around the centroids, queries like them, and a codebook like their residuals."""
    dim, sub_vectors, partitions, rows, copies = corpus
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", *corpus)
    centroids = rng.standard_normal((partitions, dim), dtype=np.float32)
    codebook = rng.standard_normal((sub_vectors, 256, dim // sub_vectors), dtype=np.float32)
    distinct = rows // copies + QUERIES
    vectors = rng.standard_normal((distinct, dim), dtype=np.float32)
    vectors += centroids[rng.integers(0, partitions, distinct)]
    stored = rng.permutation(np.resize(np.arange(QUERIES, distinct), rows))
    given = centroids, codebook
    dataset = lance_files.create_ivf_pq(folder, vectors[stored], sub_vectors, partitions, given)
    return ask_lance(dataset, vectors[:QUERIES], given)


def index_digits(folder: Path) -> Index:
    """Index handwritten digits, 8 x 8 pixels, by Lance's own training; the last few are the queries instead."""
    datasets = pytest.importorskip("sklearn.datasets", reason=lance_wheel.MISSING)
    images = datasets.load_digits().data.astype(np.float32)
    dataset = lance_files.create_ivf_pq(folder, images[:-QUERIES], sub_vectors=8, partitions=3)
    return ask_lance(dataset, images[-QUERIES:], None)


def ask_lance(dataset: Any, queries: Floats, given: tuple[Floats, Floats] | None) -> Index:
    """Read the index, ask Lance for the distance of every row, and hand the answers out by partition."""
    files = lance_files.read_ivf_pq(lance_files.index_folder(dataset))
    by_row = np.full((len(queries), dataset.count_rows()), np.nan, np.float32)
    for query, answers in zip(queries, by_row, strict=True):
        row_ids, distances = lance_files.search(dataset, query, answers.size, len(files.partitions))
        answers[row_ids] = distances
    parts = (
        Part(partition.codes, queries - centroid, by_row[:, partition.row_ids])
        for centroid, partition in zip(files.centroids, files.partitions, strict=True)
    )
    return Index(dataset, files, given, queries, tuple(parts))


def make_oracle(target: Target, index: Index, part: Part, k: int) -> oracles.Oracle:
    return oracles.Oracle(target, target.inputs.bare_state(index.files.codebook, part.codes, k))


def expected(target: Target, index: Index, part: Part) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return the oracle's distance of every row and its limit, for each query."""
    oracle = make_oracle(target, index, part, k=1)
    return [oracle.expected((residual,))[-2:] for residual in part.residuals]


def compare_with_oracle(target: Target, index: Index, part: Part) -> None:
    for lance, (every, limit) in zip(part.lance, expected(target, index, part), strict=True):
        compare.max_abs_err(lance, every, limit, dtype=np.float32, what="distances of Lance")


def check_kernel(
    kernel: KernelProcess, target: Target, index: Index, part: Part, k: int, bound_to: Codes | None = None
) -> Answers:
    """Run the queries in one partition and check every answer, as a trial does; returns the answers.

    The kernel works on the partition's own codes, or on those given as `bound_to`.
    """
    codes = part.codes if bound_to is None else bound_to
    kernel.bind("upstream", pickle.dumps(target.inputs.bare_state(index.files.codebook, codes, k)))
    calls = [(residual,) for residual in part.residuals]
    return check.check_calls(kernel, make_oracle(target, index, part, k), "upstream", calls, "real")


def checked_answers(
    kernel: KernelProcess, target: Target, index: Index, part: Part, k: int
) -> list[tuple[NDArray[np.uint32], Floats]]:
    """Return the kernel's ids and distances for each query, after the checks of a trial."""
    answers = check_kernel(kernel, target, index, part, k)
    return [answers[number][1:] for number in range(len(part.residuals))]


def faiss_index(faiss: ModuleType, codebook: Floats, codes: Codes) -> Any:
    """Return an IndexPQ of faiss with this codebook and these codes, which faiss keeps row by row."""
    sub_vectors, _, length = codebook.shape
    searcher = faiss.IndexPQ(sub_vectors * length, sub_vectors, 8)
    faiss.copy_array_to_vector(codebook.ravel(), searcher.pq.centroids)
    faiss.copy_array_to_vector(codes.T.ravel(), searcher.codes)
    searcher.is_trained, searcher.ntotal = True, codes.shape[1]
    return searcher
