"""Oracle and kernel of pq-l2-lossy on real indexes: made by Lance 14.0.2, read from its files, answered by Lance.

Establishes that the nearest rows of the oracle are those of Lance, which are exact, and that the kernel finds as
many of them as its capsule tells of generated partitions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import battery
import lance_files
import numpy as np
import pytest

from pytest_lance_autoresearch import compare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pytest_lance_autoresearch.target_files.load import Target

    Floats = NDArray[np.float32]

pytestmark = pytest.mark.upstream

FOLDER: Final = battery.TARGETS / "pq-l2-lossy"
ROWS: Final = 5003
QUERIES: Final = 40
K: Final = 10
CLUSTERS: Final = 8
INDEXES: Final = {"sd-8": (128, 16, 1), "sd-8-in-3-partitions": (128, 16, 3), "sd-12": (96, 8, 1)}
"""Dimensions, sub-vectors and partitions."""
FEWEST: Final = 0.8
"""Share of the nearest rows; the floor of the target's clustered data."""


def vectors(dim: int, rng: np.random.Generator) -> Floats:
    centres = rng.standard_normal((CLUSTERS, dim))
    drawn = centres[rng.integers(0, CLUSTERS, ROWS + QUERIES)] + 0.5 * rng.standard_normal((ROWS + QUERIES, dim))
    return drawn.astype(np.float32)


def answers(folder: Path, name: str, target: Target) -> Iterator[tuple[Any, Floats, Floats]]:
    """A partition as state, a query's residual there, and Lance's distance of every row of it."""
    dim, sub_vectors, partitions = INDEXES[name]
    drawn = vectors(dim, np.random.default_rng(dim + partitions))
    dataset = lance_files.create_ivf_pq(folder, drawn[:-QUERIES], sub_vectors, partitions)
    files = lance_files.read_ivf_pq(lance_files.index_folder(dataset))
    for query in drawn[-QUERIES:]:
        by_row = np.full(ROWS, np.nan, np.float32)
        row_ids, distances = lance_files.search(dataset, query, ROWS, partitions)
        by_row[row_ids] = distances
        for centroid, part in zip(files.centroids, files.partitions, strict=True):
            yield target.inputs.bare_state(files.codebook, part.codes, K), query - centroid, by_row[part.row_ids]


@pytest.mark.parametrize("name", INDEXES)
def test_oracle_and_kernel_find_what_lance_finds(name: str, target: Target, kernel: Any, tmp_path: Path) -> None:
    found = []
    for state, residual, lance in answers(tmp_path / name, name, target):
        expected = target.wiring.bind(target.reference, state)(residual)
        compare.max_abs_err(lance, expected[2], expected[3], dtype=np.float32, what="distances of Lance")
        assert compare.recall(expected[0], lance, K) == 1.0
        answer = target.wiring.bind(kernel, state)(residual)
        share = target.wiring.check(answer, expected, (residual,))
        assert share == pytest.approx(compare.recall(answer[0], lance, K), abs=0.11)
        found.append(share)
    assert FEWEST <= np.mean(found) <= 1
