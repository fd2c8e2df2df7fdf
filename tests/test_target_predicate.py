"""The target predicate: honest rewrites pass on every case, wrong kernels fail wherever their mistake can show.

The stand-in kernels are plain numpy; each overrides one step of the first.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.bench import oracles
from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("predicate")
Array = Any
Known = tuple[Array, Array]
"""Rows that are TRUE, and rows that are not NULL."""


class InOrder:
    """Unsigned keys of the order with one zero, comparisons one way round, binary search for IN."""

    def __init__(self, expression: tuple[Any, ...]) -> None:
        self.expression = expression

    def evaluate(self, columns: Any, validity: Any, out_true: Array, out_valid: Array) -> None:
        rows = columns[0].size
        valid = tuple(
            np.ones(rows, bool) if bits is None else np.unpackbits(bits, count=rows, bitorder="little").view(bool)
            for bits in validity
        )
        for out, bits in zip((out_true, out_valid), self.known(self.expression, columns, valid), strict=True):
            self.pack(bits, out)

    def known(self, expression: tuple[Any, ...], columns: Any, valid: Any) -> Known:
        match expression:
            case ("not", inner):
                return self.negate(*self.known(inner, columns, valid))
            case ("and", left, right):
                return self.join_and(self.known(left, columns, valid), self.known(right, columns, valid))
            case ("or", left, right):
                return self.join_or(self.known(left, columns, valid), self.known(right, columns, valid))
            case ("is_null", column):
                return ~valid[column], np.ones_like(valid[column])
            case ("in", column, values, has_null):
                found = self.is_in(columns[column], values) & valid[column]
                return found, self.valid_in(found, valid[column], has_null)
            case (name, column, values):
                return self.under_null(self.compare(name, columns[column], values), valid[column]), valid[column]
        raise AssertionError(expression)

    def key(self, values: Array) -> Array:
        return self.total_order(np.where(values == 0, values.dtype.type(0), values))

    def total_order(self, values: Array) -> Array:
        bits = values.view(f"u{values.itemsize}")
        top = bits.dtype.type(1 << 8 * values.itemsize - 1)
        return np.where((values.dtype.kind == "f") & (bits >= top), ~bits, bits ^ top)

    def compare(self, name: str, column: Array, values: Array) -> Array:
        keys, literals = self.key(column), self.key(values)
        if name == "between":
            return self.between(keys, *literals)
        return getattr(np, name)(keys, literals[0])

    def between(self, keys: Array, low: Array, high: Array) -> Array:
        return (low <= keys) & (keys <= high)

    def is_in(self, column: Array, values: Array) -> Array:
        keys, ordered = self.key(column), np.sort(self.key(values))
        if not ordered.size:
            return np.zeros(column.size, bool)
        return ordered[np.searchsorted(ordered, keys).clip(max=ordered.size - 1)] == keys

    def valid_in(self, found: Array, valid: Array, has_null: bool) -> Array:
        return valid & found if has_null else valid

    def under_null(self, holds: Array, valid: Array) -> Array:
        return holds & valid

    def negate(self, true: Array, known: Array) -> Known:
        return known & ~true, known

    def join_and(self, left: Known, right: Known) -> Known:
        true = left[0] & right[0]
        return true, (left[1] & right[1]) | (left[1] & ~left[0]) | (right[1] & ~right[0])

    def join_or(self, left: Known, right: Known) -> Known:
        return left[0] | right[0], (left[1] & right[1]) | left[0] | right[0]

    def pack(self, bits: Array, out: Array) -> None:
        out[:] = np.packbits(bits, bitorder="little")


class DeMorgan(InOrder):
    """OR by NOT and AND; BETWEEN as one unsigned comparison; short lists one value after the other."""

    def join_or(self, left: Known, right: Known) -> Known:
        return self.negate(*self.join_and(self.negate(*left), self.negate(*right)))

    def between(self, keys: Array, low: Array, high: Array) -> Array:
        return (keys - low <= high - low) & (low <= high)

    def is_in(self, column: Array, values: Array) -> Array:
        if values.size > 8:
            return super().is_in(column, values)
        found, keys = np.zeros(column.size, bool), self.key(column)
        for key in self.key(values):
            found |= keys == key
        return found


class FloatingPoint(InOrder):
    """Compares floats as such, and by their keys only NaNs, where the two orders differ."""

    def compare(self, name: str, column: Array, values: Array) -> Array:
        by_key = super().compare(name, column, values)
        if name == "between" or np.isnan(values[0]):
            return by_key
        return np.where(np.isnan(column), by_key, getattr(np, name)(column, values[0]))


class ZerosInTheFilter(InOrder):
    """Moves the zeros of the filter instead of the column's, as Lance does, and looks for both in a list."""

    def key(self, values: Array) -> Array:
        return self.total_order(values)

    def compare(self, name: str, column: Array, values: Array) -> Array:
        if name == "between":
            low, high = values[:1], values[1:]
            return self.compare("greater_equal", column, low) & self.compare("less_equal", column, high)
        if name in ("equal", "not_equal"):
            return self.is_in(column, values) == (name == "equal")
        zero = -0.0 if name in ("less", "greater_equal") else 0.0
        return super().compare(name, column, self.zero_as(zero, values))

    def is_in(self, column: Array, values: Array) -> Array:
        return super().is_in(column, np.append(self.zero_as(-0.0, values), self.zero_as(0.0, values)))

    def zero_as(self, zero: float, values: Array) -> Array:
        return np.where(values == 0, values.dtype.type(zero), values)


class Ieee(InOrder):
    """No NaN is less, greater or equal."""

    def key(self, values: Array) -> Array:
        return values


class TwoZeros(InOrder):
    """The whole of the total order, -0.0 below 0.0: the rule of Lance 1.0.0."""

    def key(self, values: Array) -> Array:
        return self.total_order(values)


class TwoZerosInLists(InOrder):
    """Comparisons have one zero, the set of IN holds the bits that its list has."""

    def is_in(self, column: Array, values: Array) -> Array:
        return np.isin(column.view(f"i{column.itemsize}"), values.view(f"i{values.itemsize}"))


class NanOnTop(InOrder):
    """Every NaN above infinity, whatever its sign."""

    def key(self, values: Array) -> Array:
        return super().key(np.where(np.isnan(values), np.abs(values), values))


class SinglePrecision(InOrder):
    def key(self, values: Array) -> Array:
        return super().key(values.astype(np.float32) if values.dtype == np.float64 else values)


class Unsigned(InOrder):
    def key(self, values: Array) -> Array:
        return values.view(f"u{values.itemsize}") if values.dtype.kind == "i" else super().key(values)


class InDouble(InOrder):
    """Whole numbers as float64, which holds 53 bits of them."""

    def key(self, values: Array) -> Array:
        return values.astype(np.float64) if values.dtype.kind == "i" else super().key(values)


class EndsIncluded(InOrder):
    """`<=` for `<`."""

    def compare(self, name: str, column: Array, values: Array) -> Array:
        return super().compare({"less": "less_equal"}.get(name, name), column, values)


class EndLeftOut(InOrder):
    def between(self, keys: Array, low: Array, high: Array) -> Array:
        return (low <= keys) & (keys < high)


class EndsSwapped(InOrder):
    """BETWEEN works whichever end comes first."""

    def between(self, keys: Array, low: Array, high: Array) -> Array:
        return super().between(keys, min(low, high), max(low, high))


class NullsTrue(InOrder):
    """What a comparison says of the value under a null stays in `out_true`."""

    def under_null(self, holds: Array, valid: Array) -> Array:  # noqa: ARG002
        return holds


class NotOfNull(InOrder):
    def negate(self, true: Array, known: Array) -> Known:
        return ~true, known


class NullsSpread(InOrder):
    """A row is NULL as soon as one side is, even if the other decides."""

    def join_and(self, left: Known, right: Known) -> Known:
        known = left[1] & right[1]
        return left[0] & right[0] & known, known

    def join_or(self, left: Known, right: Known) -> Known:
        known = left[1] & right[1]
        return (left[0] | right[0]) & known, known


class RightSideForgotten(InOrder):
    def join_and(self, left: Known, right: Known) -> Known:  # noqa: ARG002
        return left

    def join_or(self, left: Known, right: Known) -> Known:  # noqa: ARG002
        return left


class NullInListForgotten(InOrder):
    def valid_in(self, found: Array, valid: Array, has_null: bool) -> Array:  # noqa: ARG002
        return valid


class LastOfListForgotten(InOrder):
    def is_in(self, column: Array, values: Array) -> Array:
        return super().is_in(column, values[:-1])


def with_lists_of(most: int) -> type[InOrder]:
    """Return a kernel that looks for the first `most` values of a list, as many as it has places for."""

    class Cut(InOrder):
        def is_in(self, column: Array, values: Array) -> Array:
            return super().is_in(column, values[:most])

    return Cut


FirstThree, FirstFour, FirstEight, First32 = map(with_lists_of, (3, 4, 8, 32))


class ListFilledUp(InOrder):
    """Lists have a multiple of 16 places, and a place that is left over holds 0."""

    def is_in(self, column: Array, values: Array) -> Array:
        return super().is_in(column, np.append(values, np.zeros(-values.size % 16, values.dtype)))


class LowerHalfLookedUp(InOrder):
    """A set of the lower halves of the keys, whose upper halves nobody compares."""

    def is_in(self, column: Array, values: Array) -> Array:
        half = f"u{column.itemsize // 2}"
        return super().is_in(self.key(column).astype(half), self.key(values).astype(half))


class HighBitFirst(InOrder):
    def pack(self, bits: Array, out: Array) -> None:
        out[:] = np.packbits(bits)


class TailForgotten(InOrder):
    def pack(self, bits: Array, out: Array) -> None:
        whole = bits.size // 8
        out[:whole] = np.packbits(bits, bitorder="little")[:whole]


class TailNotCleared(InOrder):
    def pack(self, bits: Array, out: Array) -> None:
        padding = np.ones(-bits.size % 8, bool)
        out[:] = np.packbits(np.concatenate((bits, padding)), bitorder="little")


class SecondHalfGuessed(InOrder):
    """The second half of the rows is taken to be like the first."""

    def pack(self, bits: Array, out: Array) -> None:
        half = bits.size // 2
        super().pack(np.concatenate((bits[: bits.size - half], bits[:half])), out)


HONEST: Final = (InOrder, DeMorgan, FloatingPoint, ZerosInTheFilter)
LESS, AND, OR = "lessx262144", "andx98304", "orx262147"
IN4, IN8, IN32, IN1000 = "in4x65536", "in8x65536", "in32x65536", "in1000x65536"
IN: Final = (IN4, IN8, IN32, IN1000)
EDGES: Final = ("none", "all", "low_cardinality", "neighbours", "special", "all_null")
UNEVEN: Final = (*(f"{shape}-{name}" for shape in (LESS, *IN, AND) for name in EDGES), OR)
"""Cases whose rows end within a byte."""

WITH_NULLS: Final = ("rare", "sorted", "low_cardinality", "neighbours", "special")
ON_LISTS: Final = ("uniform", "rare", "sorted", "low_cardinality", "neighbours")
"""Where a list's values are found everywhere in it; `special` has those that matter at the end."""

FAILS: Final[dict[type[InOrder], tuple[str, ...]]] = {
    Ieee: tuple(f"{shape}-special" for shape in (AND, OR, IN4, IN32)),
    TwoZeros: tuple(f"{shape}-special" for shape in (AND, OR, IN4, IN32)),
    TwoZerosInLists: (f"{IN4}-special", f"{IN32}-special"),
    NanOnTop: tuple(f"{shape}-special" for shape in (AND, OR, IN4, IN32)),
    SinglePrecision: (f"{AND}-neighbours", f"{OR}-neighbours", f"{IN32}-neighbours"),
    Unsigned: (f"{LESS}-uniform", f"{LESS}-rare", f"{LESS}-special"),
    InDouble: (f"{IN8}-neighbours", f"{IN1000}-neighbours"),
    EndsIncluded: (f"{LESS}-low_cardinality", f"{LESS}-neighbours", f"{AND}-neighbours"),
    EndLeftOut: (f"{OR}-low_cardinality", f"{OR}-neighbours"),
    NullsTrue: tuple(f"{shape}-{name}" for shape in (LESS, AND, OR) for name in WITH_NULLS),
    NotOfNull: tuple(f"{OR}-{name}" for name in WITH_NULLS),
    NullsSpread: tuple(f"{shape}-{name}" for shape in (AND, OR) for name in WITH_NULLS),
    RightSideForgotten: (f"{AND}-uniform", f"{AND}-rare", f"{AND}-sorted", f"{OR}-uniform", f"{OR}-rare"),
    NullInListForgotten: tuple(f"{shape}-special" for shape in IN),
    LastOfListForgotten: tuple(f"{shape}-{name}" for shape in (IN4, IN8) for name in ON_LISTS),
    FirstThree: tuple(f"{shape}-{name}" for shape in IN for name in ON_LISTS),
    FirstFour: tuple(f"{shape}-{name}" for shape in (IN8, IN32, IN1000) for name in ON_LISTS),
    FirstEight: tuple(f"{shape}-{name}" for shape in (IN32, IN1000) for name in ON_LISTS),
    First32: tuple(f"{IN1000}-{name}" for name in ON_LISTS),
    ListFilledUp: (f"{IN8}-special", f"{IN1000}-special"),
    LowerHalfLookedUp: tuple(f"{shape}-neighbours" for shape in IN),
    HighBitFirst: tuple(f"{shape}-uniform" for shape in (LESS, *IN, AND, OR)),
    TailForgotten: UNEVEN,
    TailNotCleared: UNEVEN,
    SecondHalfGuessed: ("-uniform", "-rare", "-sorted", "-neighbours", "-low_cardinality"),
}
"""Where each wrong kernel must fail: parts of the ids of cases."""


def verify(kernel: type[InOrder], case_id: str) -> None:
    BATTERY.verify(SimpleNamespace(Predicate=kernel), case_id)


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for kernel in HONEST:
        verify(kernel, case_id)


@pytest.mark.parametrize("kernel", FAILS)
def test_wrong_kernels_fail_wherever_their_mistake_can_show(kernel: type[InOrder]) -> None:
    refusing = [case for case in BATTERY.cases if any(part in case for part in FAILS[kernel])]
    assert len(refusing) >= len(FAILS[kernel])
    for case_id in refusing:
        with pytest.raises(KernelIncorrect):
            verify(kernel, case_id)


@pytest.mark.parametrize("kernel", [*FAILS, EndsSwapped])
def test_the_examples_of_the_properties_find_every_wrong_kernel(kernel: type[InOrder]) -> None:
    assert any(map(differs_on_example(kernel), range(400)))


@pytest.mark.parametrize("kernel", HONEST)
def test_the_examples_of_the_properties_let_honest_kernels_pass(kernel: type[InOrder]) -> None:
    assert not any(map(differs_on_example(kernel), range(400)))


def differs_on_example(kernel: type[InOrder]) -> Any:
    wiring = BATTERY.target.wiring

    def differs(seed: int) -> bool:
        dtypes = [("int32", "float32"), ("float64", "int64")][seed % 2]
        values = ("special", "neighbours", "zeros", "same")[seed // 2 % 4]
        example = wiring.Example(dtypes, seed % 4, seed % 67, values, ("random", "")[seed % 5 // 4], seed)
        state, call = wiring.realise(example)
        expected = oracles.Oracle(BATTERY.target, state).expected(call)
        with np.errstate(all="ignore"):
            answer = wiring.bind(SimpleNamespace(Predicate=kernel), state)(*call)
        try:
            compare.exact(answer, expected)
        except compare.Mismatch:
            return True
        return False

    return differs


def evaluate(expression: tuple[Any, ...], *columns: Any) -> str:
    """The oracle's answer as one letter a row; a column is an array, or an array and its validity."""
    values = tuple(column[0] if isinstance(column, tuple) else column for column in columns)
    valid = tuple(np.packbits(c[1], bitorder="little") if isinstance(c, tuple) else None for c in columns)
    rows = values[0].size
    out = np.empty((2, (rows + 7) // 8), np.uint8)
    BATTERY.target.reference.Predicate(expression).evaluate(values, valid, *out)
    true, known = np.unpackbits(out, axis=1, count=rows, bitorder="little")
    return "".join("T" if t else "F" if k else "N" for t, k in zip(true, known, strict=True))


FLOATS = np.array([-np.nan, -np.inf, -1, -0.0, 0.0, 0.5, 1, np.inf, np.nan])


@pytest.mark.parametrize(
    ("name", "literal", "answer"),
    [
        ("equal", 0.0, "FFFTTFFFF"),
        ("equal", -0.0, "FFFTTFFFF"),
        ("less", 0.0, "TTTFFFFFF"),
        ("less_equal", -0.0, "TTTTTFFFF"),
        ("greater", -0.0, "FFFFFTTTT"),
        ("greater_equal", 0.0, "FFFTTTTTT"),
        ("greater", 0.5, "FFFFFFTTT"),
        ("equal", np.nan, "FFFFFFFFT"),
        ("not_equal", np.nan, "TTTTTTTTF"),
        ("greater_equal", np.inf, "FFFFFFFTT"),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_oracle_has_total_order_and_one_zero(name: str, literal: float, answer: str, dtype: Any) -> None:
    assert evaluate((name, 0, np.array([literal], dtype)), FLOATS.astype(dtype)) == answer


def test_the_oracle_knows_three_values() -> None:
    """Every pair of TRUE, FALSE and NULL: by rows T T T F F F N N N, and T F N three times."""
    left = np.array([1, 1, 1, 0, 0, 0, 1, 0, 1], np.int32), np.array([1, 1, 1, 1, 1, 1, 0, 0, 0], bool)
    right = np.array([1, 0, 1, 1, 0, 0, 1, 0, 1], np.int32), np.array([1, 1, 0, 1, 1, 0, 1, 1, 0], bool)
    one = np.ones(1, np.int32)
    sides = ("equal", 0, one), ("equal", 1, one)
    assert evaluate(("and", *sides), left, right) == "TFNFFFNFN"
    assert evaluate(("or", *sides), left, right) == "TTTTFNTNN"
    assert evaluate(("not", sides[0]), left, right) == "FFFTTTNNN"
    assert evaluate(("is_null", 1), left, right) == "FFTFFTFFT"


def test_the_oracle_s_list_and_range() -> None:
    column = np.array([1, 2, 3, 4], np.int64), np.array([1, 1, 1, 0], bool)
    assert evaluate(("in", 0, np.array([1, 3]), False), column) == "TFTN"
    assert evaluate(("in", 0, np.array([1, 3]), True), column) == "TNTN"
    assert evaluate(("not", ("in", 0, np.array([1, 3]), True)), column) == "FNFN"
    assert evaluate(("in", 0, np.zeros(0, np.int64), True), column) == "NNNN"
    assert evaluate(("between", 0, np.array([2, 3])), column) == "FTTN"
    assert evaluate(("between", 0, np.array([3, 2])), column) == "FFFN"


def test_row_0_is_the_lowest_bit_and_the_bits_after_the_last_row_are_0() -> None:
    out = np.full((2, 2), 255, np.uint8)
    rows = np.array([1, 0, 0, 0, 0, 0, 0, 1, 1, 0], np.int32)
    BATTERY.target.reference.Predicate(("equal", 0, np.ones(1, np.int32))).evaluate((rows,), (None,), *out)
    assert out.tolist() == [[0b10000001, 0b01], [0b11111111, 0b11]]
