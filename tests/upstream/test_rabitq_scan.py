"""The oracle and the kernel of rabitq-scan beside Lance 14.0.2, over the columns of indexes that Lance built.

Establishes the layout of sign codes and extra codes, the meaning of all factors, and that blocks are summed in
steps of the table while the rows after them are not: with every row asked for, the distances of all are compared.
With ten, a row is missing only where its estimate or its lower bound allows it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import lance_files
import lance_wheel
import numpy as np
import pytest

from pytest_lance_autoresearch.target_files import seeds

if TYPE_CHECKING:
    from pytest_lance_autoresearch.target_files.load import Target

pytestmark = pytest.mark.upstream

Array = np.ndarray[Any, Any]

FOLDER: Final = Path(__file__).parents[2] / "targets" / "rabitq-scan"
K: Final = 10
QUERIES: Final = 5
INDEXES: Final = (
    ("l2", 128, 1, 1037),
    ("l2", 128, 5, 1037),
    ("l2", 96, 9, 1037),  # the rotation of dimensions that are no power of two; extra codes with room for 128
    ("l2", 1536, 5, 333),  # sums that need more than 16 bits
    ("l2", 128, 5, 27),  # less than a block
    ("cosine", 96, 1, 1037),
    ("cosine", 128, 5, 1037),
    ("cosine", 128, 9, 1037),
)


class Index(NamedTuple):
    """A dataset that Lance indexed as one partition, what its files say of that, and queries for it."""

    dataset: Any
    metric: str
    storage: lance_files.Storage
    centroid: Array
    queries: Array

    def call(self, query: Array) -> tuple[Array, float]:
        """What Lance makes of a query before it searches the partition."""
        vector = query / np.float32(np.linalg.norm(query)) if self.metric == "cosine" else query
        signs = np.array(self.storage.metadata["fast_rotation_signs"], np.uint8)
        return rotated(vector, signs), float(np.square(vector - self.centroid).sum(dtype=np.float32))


@pytest.fixture(scope="module", params=INDEXES, ids=lambda index: "-".join(map(str, index)))
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Index:
    metric, dim, bits, rows = request.param
    lance_wheel.pyarrow()
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "rabitq-scan", *map(str, request.param))
    vectors = rng.standard_normal(dim) + rng.standard_normal((rows + QUERIES, dim))
    vectors = vectors.astype(np.float32)
    dataset = lance_files.write(tmp_path_factory.mktemp("index") / "data", vectors[:rows])
    dataset = dataset.create_index(lance_files.COLUMN, "IVF_RQ", metric=metric, num_partitions=1, num_bits=bits)
    folder = lance_files.index_folder(dataset)
    (centroid,) = lance_files.read_ivf(folder)
    return Index(dataset, metric, lance_files.read_storage(folder), centroid, vectors[rows:])


def rotated(vector: Array, signs: Array) -> Array:
    """Lance's rotation of a vector, float32 (D,): four rounds of random signs and Hadamard transforms."""
    values = vector.astype(np.float64)
    half = 2 ** (vector.size.bit_length() - 1)
    for turn, packed in enumerate(signs.reshape(4, -1)):
        values[np.unpackbits(packed, count=vector.size, bitorder="little") == 1] *= -1
        part = values[:half] if turn % 2 == 0 else values[vector.size - half :]
        part[:] = hadamard(part) / half**0.5
        if half != vector.size:
            left, right = np.split(values, 2)
            values = np.concatenate((left + right, left - right)) / 2**0.5
    return values.astype(np.float32)


def hadamard(values: Array) -> Array:
    """The Walsh-Hadamard transform of 2**m values."""
    for width in 2 ** np.arange(values.size.bit_length() - 1):
        pairs = values.reshape(-1, 2, width)
        values = np.stack((pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]), axis=1).ravel()
    return values


def state_of(index: Index, target: Target, k: int) -> Any:
    """The partition as the target has it."""
    columns = index.storage.columns
    rows = columns.num_rows

    def codes(name: str) -> Array:
        return np.stack(columns[name].to_numpy())

    def factors(*names: str) -> Array:
        return np.stack([columns[name].to_numpy() for name in names])

    ex_codes, ex_factors = np.zeros((rows, 0), np.uint8), np.zeros((2, 0), np.float32)
    if index.storage.metadata["num_bits"] > 1:
        ex_codes, ex_factors = codes("__blocked_ex_codes"), factors("__add_factors_ex", "__scale_factors_ex")
    return target.inputs.State(
        codes("_rabit_codes"),
        factors("__add_factors", "__scale_factors", "__error_factors"),
        ex_codes,
        ex_factors,
        k,
        index.centroid,
        np.zeros((0, index.centroid.size)),
    )


@pytest.mark.parametrize("k", [K, 2000])
def test_lance_and_the_kernel_agree_with_the_oracle(index: Index, target: Target, kernel: Any, k: int) -> None:
    state = state_of(index, target, k)
    oracle, bound = (target.wiring.bind(module, state) for module in (target.reference, kernel))
    row_ids = index.storage.columns["_rowid"].to_numpy()
    assert np.array_equal(np.sort(row_ids), np.arange(row_ids.size))
    places = np.argsort(row_ids).astype(np.uint32)
    for query in index.queries:
        call = index.call(query)
        expected = oracle(*call)
        target.wiring.check(bound(*call), expected, call)
        ids, distances = lance_files.search(index.dataset, query, k, 1)
        order = np.argsort(distances, kind="stable")
        target.wiring.check((places[ids][order], distances[order]), expected, call)
