"""The oracle and the kernel of repdef-unravel beside Lance 14.0.2: the levels of its own pages, and what it reads.

Establishes that both make of the levels that lie in a file the offsets and the bits that Lance hands over, byte
for byte, for lists, structs and what is inside them in the file versions 2.1 and 2.2, over pages of which each may
have nulls and empty lists or not; and that the workload's levels are those that Lance writes for such a column.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, Final

import lance_layers
import lance_pages
import numpy as np
import pytest

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.target_files import seeds
from pytest_lance_autoresearch.target_files.load import Target

pytestmark = pytest.mark.upstream

Array = np.ndarray[Any, Any]
Parts = tuple[tuple[tuple[float, float], ...], ...]

FOLDER: Final = Path(__file__).parents[2] / "targets" / "repdef-unravel"
VERSIONS: Final = ("2.1", "2.2")
ROWS: Final = 3001
NONE: Final = (0.0, 0.0)
NULL: Final = (0.2, 0.0)
EMPTY: Final = (0.0, 0.2)
BOTH: Final = (0.2, 0.2)

COLUMNS: Final[dict[str, tuple[tuple[str, ...], Parts]]] = {
    "item": (("item",), ((NULL,), (NONE,), ((0.99, 0.0),))),
    "list": (("list", "item"), ((BOTH, NULL), (NONE, NULL), (EMPTY, NONE), (NULL, NULL), (NONE, NONE))),
    "all lists are null": (("list", "item"), (((1.0, 0.0), NULL),)),
    "all lists are empty": (("list", "item"), (((0.0, 1.0), NULL), (NULL, NONE))),
    "nearly all lists are empty": (("list", "item"), (((0.1, 0.85), NULL),)),
    "list_list": (
        ("list", "list", "item"),
        ((BOTH, BOTH, NULL), (NONE, NONE, NONE), (NONE, BOTH, NONE), (NULL, NONE, NULL), (NONE, NONE, NULL)),
    ),
    "list_struct": (
        ("list", "struct", "item"),
        ((BOTH, NULL, NULL), (EMPTY, NULL, NONE), (NONE, NONE, NULL), (NULL, NULL, NONE)),
    ),
    "struct_list": (
        ("struct", "list", "item"),
        ((NULL, BOTH, NULL), (NULL, NONE, NULL), (NULL, NULL, NONE), (NULL, NONE, NONE)),
    ),
    "struct_list_struct": (
        ("struct", "list", "struct", "item"),
        ((NULL, BOTH, NULL, NULL), (NULL, EMPTY, NONE, NONE), (NULL, NONE, NULL, NULL)),
    ),
    "list_struct_list": (
        ("list", "struct", "list", "item"),
        ((BOTH, NULL, BOTH, NULL), (EMPTY, NULL, BOTH, NONE), (BOTH, NULL, NONE, NULL)),
    ),
}
"""For each column its layers, the outermost first, and for each page the shares that are null and empty."""


@pytest.fixture(scope="module")
def unravellers(target: Target, kernel: Any) -> list[Any]:
    """The oracle and the kernel."""
    return [target.reference, kernel]


def column(
    pa: ModuleType, layers: tuple[str, ...], shares: tuple[tuple[float, float], ...], count: int, rng: Any
) -> Any:
    """Make an array of `count` entries; in its lists there is nothing behind what is null or empty."""
    null, empty = shares[0]
    drawn = rng.random(count)
    is_null = drawn < null
    if layers[0] == "item":
        return pa.array(rng.integers(0, 2**31, count, dtype=np.int32), mask=is_null if null else None)
    mask = pa.array(is_null) if null else None
    if layers[0] == "struct":
        return pa.StructArray.from_arrays([column(pa, layers[1:], shares[1:], count, rng)], ["field"], mask=mask)
    lengths = np.where(is_null | (drawn >= 1 - empty), 0, rng.geometric(0.25, count))
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), column(pa, layers[1:], shares[1:], int(offsets[-1]), rng), mask=mask
    )


def written(pa: ModuleType, path: Path, name: str, version: str) -> tuple[lance_pages.Page, ...]:
    """Write a column, and return its pages."""
    layers, parts = COLUMNS[name]
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "repdef-unravel", name)
    lance_pages.write(path, pa.chunked_array([column(pa, layers, part, ROWS, rng) for part in parts]), version)
    return lance_pages.pages(path)


def assert_same(actual: tuple[lance_layers.Layer, ...], expected: tuple[lance_layers.Layer, ...]) -> None:
    """Require the same layers, every byte of them."""
    assert len(actual) == len(expected)
    for layer, (ours, lances) in enumerate(zip(actual, expected, strict=True)):
        assert ours.entries == lances.entries, f"layer {layer}"
        for part in ("offsets", "validity"):
            one, other = getattr(ours, part), getattr(lances, part)
            assert (one is None) == (other is None), f"{part} of layer {layer}"
            if one is not None:
                compare.exact(one, other, f"{part} of layer {layer}")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", COLUMNS)
def test_oracle_and_kernel_unravel_lance_s_levels(
    name: str, version: str, pa: ModuleType, unravellers: list[Any], tmp_path: Path
) -> None:
    pages = written(pa, tmp_path / "column", name, version)
    assert len(pages) >= len(COLUMNS[name][1])
    array = lance_pages.read(tmp_path / "column", batch_size=10**6)
    for unraveller in unravellers:
        assert_same(lance_layers.unravelled(unraveller, lance_layers.call_of(pages)), lance_layers.of_array(array))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_pages_may_be_everything(version: str, pa: ModuleType, tmp_path: Path) -> None:
    """Establishes that the pages of the columns differ in what may be null or empty, in every way there is."""
    found = set()
    for name in COLUMNS:
        found |= {
            layer for page in written(pa, tmp_path / name, name, version) for layer in lance_pages.layers(page)
        }
    assert found == set(lance_layers.MEANINGS)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["item", "list", "list_list", "list_struct", "struct_list", "struct_list_struct"])
def test_the_workload_s_levels_are_those_that_lance_writes(
    name: str, version: str, target: Target, tmp_path: Path
) -> None:
    inputs = target.inputs
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "repdef-unravel", f"workload {name}")
    shape = inputs.Shape(name, 18_002, 2, 3)
    both = inputs.new_state(shape, "half", rng)
    state = both._replace(pages=both.pages[:1])  # it may be everything, and Lance leaves out what does not occur
    call = inputs.make_call(shape, "half", state, rng)
    array = lance_layers.to_array(lance_layers.unravelled(target.reference, call))
    lance_pages.write(tmp_path / "column", array, version)
    ours = lance_layers.call_of(lance_pages.pages(tmp_path / "column"))
    for at, part in enumerate(("repetition", "definition", "starts", "meanings", "items")):
        compare.exact(call[at], ours[at], part)


def one_level_wrong(call: tuple[Any, ...]) -> tuple[Any, ...]:
    definition = call[1].copy()
    definition[len(definition) // 2] ^= 1
    return (call[0], definition, *call[2:])


def one_list_less(call: tuple[Any, ...]) -> tuple[Any, ...]:
    repetition = call[0].copy()
    repetition[np.flatnonzero((repetition == 1) & (call[1] == 0))[0]] = 0
    return (repetition, *call[1:])


@pytest.mark.parametrize("misread", [one_level_wrong, one_list_less])
def test_the_oracle_refuses_misread_levels(misread: Any, pa: ModuleType, target: Target, tmp_path: Path) -> None:
    """Establishes that the comparison can fail."""
    call = misread(lance_layers.call_of(written(pa, tmp_path / "column", "list", "2.2")))
    expected = lance_layers.of_array(lance_pages.read(tmp_path / "column", batch_size=10**6))
    with pytest.raises(AssertionError):
        assert_same(lance_layers.unravelled(target.reference, call), expected)


def test_lance_cannot_read_structs_over_lists_whose_pages_differ(
    pa: ModuleType, unravellers: list[Any], tmp_path: Path
) -> None:
    """Establishes where Lance differs: for a page without null structs it counts the values, not the structs.

    Oracle and kernel make of the same levels the column that was written.
    """
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "repdef-unravel", "differing")
    layers = ("struct", "list", "item")
    parts = [column(pa, layers, shares, 500, rng) for shares in ((NULL, BOTH, NULL), (NONE, BOTH, NULL))]
    lance_pages.write(tmp_path / "column", pa.chunked_array(parts), "2.2")
    with pytest.raises(pa.ArrowInvalid, match=r"Incorrect number of nulls for StructArray, expected 1000 got \d+"):
        lance_pages.read(tmp_path / "column", batch_size=1000)
    call = lance_layers.call_of(lance_pages.pages(tmp_path / "column"))
    expected = [row for part in parts for row in lengths_of(part)]
    for unraveller in unravellers:
        assert lengths_of(lance_layers.to_array(lance_layers.unravelled(unraveller, call))) == expected


def lengths_of(array: Any) -> list[str | int]:
    """Say of each struct around a list whether it is null, or its list, or how many entries that has."""
    rows = array.to_pylist()
    return ["null" if row is None else "null list" if row["field"] is None else len(row["field"]) for row in rows]
