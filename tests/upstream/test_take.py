"""The oracle of take on the kernels of pyarrow and on what Lance itself takes from a dataset.

Establishes that gathering and remapping together give the rows of Lance 14.0.2 in its order: duplicates again,
rows that are gone left out; and which requests Lance refuses instead. Lance runs the kernels of arrow-rs;
pyarrow's are another implementation of the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import lance_wheel
import numpy as np
import pytest

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.target_files import discover, load, seeds

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

pytestmark = pytest.mark.upstream

FOLDER: Final = Path(__file__).parents[2] / "targets" / "take"
ROWS: Final = 300
ROWS_PER_FRAGMENT: Final = 100
DIM: Final = 7
DELETED: Final = (0, 17, 99, 100, 250, 299)
REQUESTS: Final = {
    "ascending": range(3, 90, 4),
    "unsorted": (255, 1, 120, 119, 2),
    "ascending-with-duplicates": (1, 1, 50, 120, 120),
    "unsorted-with-duplicates": (120, 1, 120, 50, 1, 120),
    "some-deleted": (251, 250, 17, 18, 299, 0, 17),
    "all-deleted": (299, 0),
    "one": (200,),
}


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return load.load(discover.inspect(FOLDER)).reference


@pytest.fixture(scope="module")
def table() -> Any:
    """Numbers, vectors, and strings of which some are empty and some null."""
    pa = pytest.importorskip("pyarrow", reason=lance_wheel.MISSING)
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "take")
    strings = [rng.bytes(int(size)) for size in rng.integers(0, 40, ROWS) * rng.integers(0, 2, ROWS)]
    vectors = rng.integers(0, 2**32, ROWS * DIM, dtype=np.uint32).view(np.float32)
    return pa.table(
        {
            "number": pa.array(rng.integers(0, 2**63, ROWS), mask=rng.random(ROWS) < 0.3),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors), DIM),
            "string": pa.array(strings, pa.binary(), mask=rng.random(ROWS) < 0.2),
        }
    )


@pytest.fixture(scope="module")
def places() -> Any:
    """A vector of the plane for each row, whose distances are all numbers."""
    pa = pytest.importorskip("pyarrow", reason=lance_wheel.MISSING)
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "take", "places")
    return pa.FixedSizeListArray.from_arrays(pa.array(rng.standard_normal(2 * ROWS, dtype=np.float32)), 2)


@pytest.fixture(scope="module")
def dataset(table: Any, places: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The table in three fragments, with rows deleted from each."""
    lance = lance_wheel.lance()
    pa = pytest.importorskip("pyarrow")
    numbered = table.append_column("id", pa.array(np.arange(ROWS))).append_column("place", places)
    folder = tmp_path_factory.mktemp("take") / "rows"
    written = lance.write_dataset(numbered, folder, max_rows_per_file=ROWS_PER_FRAGMENT)
    written.delete(f"id IN ({', '.join(map(str, DELETED))})")
    return lance.dataset(folder)


def addresses(rows: Any) -> NDArray[np.uint64]:
    fragments, offsets = np.divmod(np.asarray(rows, np.uint64), np.uint64(ROWS_PER_FRAGMENT))
    return fragments << np.uint64(32) | offsets


def numbers_of(addresses: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return (addresses >> np.uint64(32)) * np.uint64(ROWS_PER_FRAGMENT) + (addresses & np.uint64(2**32 - 1))


def taken(reference: ModuleType, table: Any, rows: Any, index_dtype: str) -> Any:
    """Gather rows of `table` with the oracle; nulls go through `take_bits`, as Arrow keeps them."""
    import pyarrow as pa

    indices = np.asarray(rows, index_dtype)
    number, vector, string = (table[name].combine_chunks() for name in ("number", "vector", "string"))
    numbers = np.empty(indices.size, np.int64)
    reference.take_fixed(np.frombuffer(number.buffers()[1], np.int64)[:ROWS], indices, numbers)
    vectors = np.empty((indices.size, DIM), np.float32)
    reference.take_rows(vector.flatten().to_numpy().reshape(ROWS, DIM), indices, vectors)
    _, offsets, data = (np.frombuffer(buffer, np.uint8) for buffer in string.buffers())
    starts = offsets.view(np.int32)[: ROWS + 1]
    out_offsets = np.empty(indices.size + 1, np.int32)
    out = np.empty(int(np.diff(starts)[indices].sum()) + 64, np.uint8)
    total = reference.take_binary(starts, data, indices, out_offsets, out)
    of_strings = [validity_of(reference, string, indices), pa.py_buffer(out_offsets), pa.py_buffer(out[:total])]
    of_numbers = [validity_of(reference, number, indices), pa.py_buffer(numbers)]
    return pa.table(
        {
            "number": pa.Array.from_buffers(number.type, indices.size, of_numbers),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIM),
            "string": pa.Array.from_buffers(string.type, indices.size, of_strings),
        }
    )


def validity_of(reference: ModuleType, array: Any, indices: NDArray[Any]) -> Any:
    import pyarrow as pa

    bitmap = np.empty((indices.size + 7) // 8, np.uint8)
    reference.take_bits(np.frombuffer(array.buffers()[0], np.uint8), indices, bitmap)
    return pa.py_buffer(bitmap)


def assert_same(actual: Any, expected: Any) -> None:
    """Require equal rows; vectors by their bits, because a NaN equals nothing."""
    for name in ("number", "string"):
        one, other = actual[name].combine_chunks(), expected[name].combine_chunks()
        one.validate(full=True)
        assert one.equals(other), name
    compare.exact(vectors_of(actual), vectors_of(expected), "vectors")


def vectors_of(table: Any) -> NDArray[np.float32]:
    values: NDArray[np.float32] = table["vector"].combine_chunks().flatten().to_numpy()
    return values


@pytest.mark.parametrize("index_dtype", ["uint32", "uint64"])
@pytest.mark.parametrize("rows", [*REQUESTS.values(), (), range(ROWS)], ids=[*REQUESTS, "none", "all"])
def test_the_oracle_gathers_as_pyarrow_does(
    reference: ModuleType, table: Any, rows: Any, index_dtype: str
) -> None:
    pa = pytest.importorskip("pyarrow")
    expected = table.take(pa.array(np.asarray(rows, index_dtype)))
    assert_same(taken(reference, table, rows, index_dtype), expected)


def remapped(
    reference: ModuleType, requested: NDArray[np.uint64], missing: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Return the addresses that are left, in the order of the request, through the oracle's `remap`."""
    returned = np.setdiff1d(requested, missing)
    out = np.empty(requested.size, np.uint64)
    return returned[out[: reference.remap(requested, returned, out)]]


@pytest.mark.parametrize("rows", REQUESTS.values(), ids=REQUESTS)
def test_the_oracle_remaps_and_gathers_what_lance_takes_by_address(
    reference: ModuleType, table: Any, dataset: Any, rows: Any
) -> None:
    numbers = numbers_of(remapped(reference, addresses(rows), addresses(DELETED)))
    taken_by_lance = dataset._take_rows(addresses(rows).tolist())
    assert taken_by_lance["id"].to_pylist() == numbers.tolist()
    assert_same(taken(reference, table, numbers, "uint64"), taken_by_lance)


def test_rows_of_a_search_come_in_its_order(reference: ModuleType, table: Any, dataset: Any) -> None:
    """Establishes that the columns of what was found are gathered by the search's row ids, one row for each."""
    nearest = {"column": "place", "q": np.zeros(2, np.float32), "k": 40}
    scanner = dataset.scanner(nearest=nearest, columns=["number", "vector", "string"], with_row_id=True)
    assert "source=stream(_rowid)" in scanner.explain_plan()
    found = scanner.to_table()
    rows = numbers_of(found["_rowid"].to_numpy())
    assert (np.diff(rows.astype(np.int64)) < 0).any()
    assert_same(taken(reference, table, rows, "uint64"), found)


@pytest.mark.parametrize("rows", [(3, 5, 10**6), (10**6,), (1, 1, 10**6)], ids=["last", "alone", "duplicates"])
def test_lance_refuses_rows_out_of_range_where_it_remaps_nothing(dataset: Any, rows: tuple[int, ...]) -> None:
    """Establishes that an ascending request is not remapped, one with duplicates neither."""
    with pytest.raises(OSError, match="belongs to non-existent fragment"):
        dataset.take(list(rows), columns=["id"])


@pytest.mark.parametrize("rows", [(5, 3, 10**6), (10**6, 5, 3), (5, 10**6, 3, 5)], ids=["last", "first", "inside"])
def test_lance_leaves_out_rows_out_of_range_as_the_oracle_does_tombstones(
    reference: ModuleType, dataset: Any, rows: tuple[int, ...]
) -> None:
    """Establishes what an unsorted request by row number does; such a row becomes the address 2**64 - 1."""
    live = np.setdiff1d(np.arange(ROWS), DELETED)
    requested = np.array([live[row] if row < live.size else 2**64 - 1 for row in rows], np.uint64)
    returned = np.unique(requested[requested < ROWS])
    out = np.empty(requested.size, np.uint64)
    left = returned[out[: reference.remap(requested, returned, out)]]
    assert dataset.take(list(rows), columns=["id"])["id"].to_pylist() == left.tolist()


def test_lance_leaves_out_fragments_that_are_not_there(reference: ModuleType, dataset: Any) -> None:
    requested = np.append(addresses((255, 1, 255)), np.array([9 << 32 | 1, 2**64 - 1], np.uint64))[[3, 0, 4, 1, 2]]
    left = remapped(reference, requested, np.append(addresses(DELETED), requested[[0, 2]]))
    assert dataset._take_rows(requested.tolist())["id"].to_pylist() == numbers_of(left).tolist() == [255, 1, 255]


def test_another_order_is_refused(reference: ModuleType, table: Any, dataset: Any) -> None:
    """Establishes that the comparisons can fail: two rows exchanged, and one vector's last bit."""
    rows = REQUESTS["unsorted"]
    expected = dataset._take_rows(addresses(rows).tolist())
    with pytest.raises(AssertionError):
        assert_same(taken(reference, table, (1, *rows[:1], *rows[2:]), "uint32"), expected)
    flipped = vectors_of(taken(reference, table, rows, "uint32")).copy()
    flipped.view(np.uint32)[-1] ^= 1
    with pytest.raises(compare.Mismatch, match="vectors"):
        compare.exact(flipped, vectors_of(expected), "vectors")
