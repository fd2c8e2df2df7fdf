"""The oracle of predicate on the filters of Lance itself, and on the compute functions of pyarrow.

Establishes that `reference.py` keeps the rows that Lance 14.0.2 keeps, and calls NULL what Lance calls NULL, for
every operator and every dtype, on the values at which orders of floats differ, with a scalar index and without.
pyarrow compares floats as IEEE 754 does and is asked about whole numbers only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import lance_wheel
import numpy as np
import pytest

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.target_files import seeds

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

    from pytest_lance_autoresearch.target_files.load import Target

pytestmark = pytest.mark.upstream

FOLDER: Final = Path(__file__).parents[2] / "targets" / "predicate"
ROWS: Final = 500
SQL_TYPES: Final = {"int32": "int", "int64": "bigint", "float32": "float", "float64": "double"}
DTYPES: Final = tuple(SQL_TYPES)
SIGNS: Final = {
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
    "equal": "=",
    "not_equal": "!=",
}
LITERALS: Final = ("-NaN", "-inf", "-1", "-0.0", "0.0", "0.5", "1", "inf", "NaN")
WHOLE: Final = (-(2**31), -1, 0, 2**31 - 1)
LISTS: Final = ((2, True), (3, False), (4, False), (8, True), (32, False), (1000, False))
"""Values of a list, and whether it has a NULL too; Lance makes comparisons of three or fewer, NULL counted."""


def expressions(column: int) -> list[tuple[Any, ...]]:
    """Return every comparison, range and list of one column, and what is made of them."""
    dtype = np.dtype(DTYPES[column])
    values = [np.array([text], dtype) for text in (LITERALS if dtype.kind == "f" else WHOLE)]
    compared = [(name, column, value) for name in SIGNS for value in values]
    listed = [("in", column, members(dtype, size), has_null) for size, has_null in LISTS]
    ends = np.concatenate(values)
    zeros = ends[3:5] if dtype.kind == "f" else np.zeros(2, dtype)
    pairs = ends[[1, -2]], ends[[0, -1]], zeros
    ranges = [("between", column, each.copy()) for pair in pairs for each in (pair, pair[::-1])]
    sides = compared[0], ("greater_equal", (column + 1) % 4, np.zeros(1, DTYPES[(column + 1) % 4]))
    missing = ("is_null", (column + 2) % 4)
    joined = [(name, *sides) for name in ("and", "or")]
    return [*compared, *ranges, *listed, *joined, ("or", ("not", joined[0]), missing), ("and", joined[1], missing)]


def members(dtype: np.dtype[Any], size: int) -> NDArray[Any]:
    """Return a list whose last values are in the table: of floats -0.0 and not 0.0, and NaN of one sign."""
    found = ("-NaN", "inf", "-0.0", "1") if dtype.kind == "f" else (-(2**31), 2, -1, 1)
    return np.array([*map(str, range(1000, 1000 + size)), *found], dtype)[-size:]


EVERY: Final = [expression for column in range(4) for expression in expressions(column)]
OF_THE_INDEX: Final = [
    expression
    for expression in expressions(3)
    if expression[0] in ("in", "between") or (expression[0] in SIGNS and expression[2][0] == 0)
]
"""Filters that a BTree answers, of lists, ranges and zeros."""


def sql(expression: tuple[Any, ...]) -> str:
    """The same as Lance reads it."""
    match expression:
        case ("not", inner):
            return f"NOT ({sql(inner)})"
        case (("and" | "or") as name, left, right):
            return f"({sql(left)}) {name.upper()} ({sql(right)})"
        case ("is_null", column):
            return f"c{column} IS NULL"
        case ("between", column, values):
            low, high = map(literal, values)
            return f"c{column} BETWEEN {low} AND {high}"
        case ("in", column, values, has_null):
            return f"c{column} IN ({', '.join([*map(literal, values), *['NULL'] * has_null])})"
        case (name, column, values):
            return f"c{column} {SIGNS[name]} {literal(values[0])}"
    raise AssertionError(expression)


def literal(value: Any) -> str:
    sign = "-" if np.isnan(value) and np.signbit(value) else ""
    return f"cast('{sign}{value}' as {SQL_TYPES[value.dtype.name]})"


def name_of(expression: tuple[Any, ...]) -> str:
    return sql(expression)[:90]


@pytest.fixture(scope="module")
def table(target: Target) -> Any:
    """Four columns of the values at which orders differ, a fifth of them null, and the rows' numbers."""
    pa = pytest.importorskip("pyarrow", reason=lance_wheel.MISSING)
    rng = seeds.rng(seeds.PUBLISHED_SEED, "upstream", "predicate")
    columns = {"id": pa.array(np.arange(ROWS))}
    for number, dtype in enumerate(DTYPES):
        values = rng.choice(np.append(target.inputs.special_values(dtype), np.arange(-2, 3).astype(dtype)), ROWS)
        columns[f"c{number}"] = pa.array(values, mask=rng.random(ROWS) < 0.2)
    return pa.table(columns)


@pytest.fixture(scope="module")
def dataset(lance: ModuleType, table: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return lance.write_dataset(table, tmp_path_factory.mktemp("predicate") / "rows")


@pytest.fixture(scope="module")
def indexed(lance: ModuleType, table: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same rows with a scalar index."""
    rows = lance.write_dataset(table, tmp_path_factory.mktemp("predicate") / "indexed")
    rows.create_scalar_index("c3", "BTREE")
    plan = rows.scanner(columns=["id"], filter="c3 = cast('1' as double)").explain_plan()
    assert "ScalarIndexQuery" in plan
    return rows


def answer_of_lance(dataset: Any, expression: tuple[Any, ...]) -> NDArray[np.str_]:
    """One letter a row: T where the filter keeps it, F where its negation does, N where neither does."""
    letters = np.full(ROWS, "N")
    for letter, text in (("T", sql(expression)), ("F", f"NOT ({sql(expression)})")):
        kept = dataset.to_table(columns=["id"], filter=text)["id"].to_numpy()
        assert (letters[kept] == "N").all()
        letters[kept] = letter
    return letters


def answer_of_oracle(reference: ModuleType, expression: tuple[Any, ...], table: Any) -> NDArray[np.str_]:
    columns, validity = zip(*(arrow_parts(table[f"c{n}"].combine_chunks()) for n in range(4)), strict=True)
    out = np.empty((2, (ROWS + 7) // 8), np.uint8)
    reference.Predicate(expression).evaluate(columns, validity, *out)
    true, known = np.unpackbits(out, axis=1, count=ROWS, bitorder="little").astype(bool)
    return np.where(true, "T", np.where(known, "F", "N"))


def arrow_parts(array: Any) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return the buffers of a column: the target's bitmaps are Arrow's, but for the bits after the last row."""
    validity, values = array.buffers()
    bitmap = np.frombuffer(validity, np.uint8)[: (ROWS + 7) // 8].copy()
    bitmap[-1] &= (1 << ROWS % 8) - 1
    return np.frombuffer(values, array.type.to_pandas_dtype())[:ROWS], bitmap


@pytest.mark.parametrize("expression", EVERY, ids=name_of)
def test_the_oracle_says_true_false_and_null_where_lance_does(
    dataset: Any, table: Any, target: Target, expression: tuple[Any, ...]
) -> None:
    compare.exact(
        answer_of_oracle(target.reference, expression, table).view(np.uint32),
        answer_of_lance(dataset, expression).view(np.uint32),
    )


@pytest.mark.parametrize(
    ("name", "value"), [("less", 0.0), ("greater", 0.5), ("equal", np.nan), ("less_equal", -0.0)]
)
def test_lance_does_not_compare_floats_as_numpy_does(dataset: Any, table: Any, name: str, value: float) -> None:
    """Establishes that the test before this one meets NaN where it matters."""
    answer = answer_of_lance(dataset, (name, 3, np.array([value])))
    column = table["c3"].to_numpy()
    ieee = {"less": np.less, "greater": np.greater, "equal": np.equal, "less_equal": np.less_equal}[name]
    known = answer != "N"
    assert ((answer == "T") != ieee(column, value))[known].any()


@pytest.mark.parametrize("name", ["equal", "less", "less_equal", "greater", "greater_equal"])
def test_lance_has_one_zero(dataset: Any, table: Any, name: str) -> None:
    """Establishes that -0.0 and 0.0 are there, and one number, in the filter as in the column."""
    column = table["c3"].to_numpy()
    zeros = column == 0
    assert set(np.signbit(column[zeros])) == {False, True}
    answers = [answer_of_lance(dataset, (name, 3, np.array([zero])))[zeros] for zero in (0.0, -0.0)]
    assert set(np.concatenate(answers)) == {"T" if name.endswith("equal") else "F"}


@pytest.mark.parametrize("expression", OF_THE_INDEX, ids=name_of)
def test_the_oracle_says_what_lance_s_btree_does(
    indexed: Any, table: Any, target: Target, expression: tuple[Any, ...]
) -> None:
    compare.exact(
        answer_of_oracle(target.reference, expression, table).view(np.uint32),
        answer_of_lance(indexed, expression).view(np.uint32),
    )


@pytest.mark.parametrize("column", [0, 1])
def test_pyarrow_agrees_about_whole_numbers(table: Any, target: Target, column: int) -> None:
    """Establishes that a second implementation gives the same, operator by operator; its IN keeps no NULL."""
    pc = pytest.importorskip("pyarrow.compute", reason=lance_wheel.MISSING)
    for expression in expressions(column):
        if any(isinstance(part, tuple) or part == "in" for part in expression if not isinstance(part, np.ndarray)):
            continue
        values = table[f"c{column}"]
        if expression[0] == "between":
            low, high = (value.item() for value in expression[2])
            found = pc.and_kleene(pc.greater_equal(values, low), pc.less_equal(values, high))
        else:
            found = getattr(pc, expression[0])(values, expression[2][0].item())
        letters = np.array([{True: "T", False: "F", None: "N"}[value] for value in found.to_pylist()])
        assert (answer_of_oracle(target.reference, expression, table) == letters).all(), sql(expression)
