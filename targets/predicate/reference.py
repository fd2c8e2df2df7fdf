"""The oracle of predicate: one boolean array for what is TRUE and one for what is not NULL, node by node.

Owns what is right: SQL's three-valued logic, and for floats the total order of IEEE 754 with one zero, which
Lance 14.0.2 uses: -NaN < -inf < ... < -0.0 = 0.0 < ... < inf < NaN, and of NaNs those with equal bits are equal.
Plain numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Booleans = NDArray[np.bool_]

COMPARE = {
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "equal": np.equal,
    "not_equal": np.not_equal,
}


class Predicate:
    """One filter; see `kernels.Predicate` for the form of `expression`."""

    def __init__(self, expression: tuple[Any, ...]) -> None:
        self._expression = expression

    def evaluate(
        self,
        columns: tuple[Array, ...],
        validity: tuple[NDArray[np.uint8] | None, ...],
        out_true: NDArray[np.uint8],
        out_valid: NDArray[np.uint8],
    ) -> None:
        """Fill `out_true` with the rows that are TRUE and `out_valid` with the rows that are not NULL.

        `columns` are arrays of shape (n,), all bitmaps uint8 (ceil(n / 8),), lowest bit first, 0 after the last
        row; `validity` has one for each column, or None where no row is null.
        """
        rows = columns[0].size
        valid = tuple(np.ones(rows, bool) if bitmap is None else _unpack(bitmap, rows) for bitmap in validity)
        true, known = _evaluate(self._expression, columns, valid)
        out_true[:] = np.packbits(true, bitorder="little")
        out_valid[:] = np.packbits(known, bitorder="little")


def ordered(values: Array) -> Array:
    """Return whole numbers in the order of `values`: for floats totalOrder (IEEE 754, section 5.10), one zero."""
    if values.dtype.kind != "f":
        return values
    bits = np.where(values == 0, values.dtype.type(0), values).view(f"i{values.itemsize}")
    return np.where(bits < 0, bits ^ np.iinfo(bits.dtype).max, bits)


def _evaluate(
    expression: tuple[Any, ...], columns: tuple[Array, ...], valid: tuple[Booleans, ...]
) -> tuple[Booleans, Booleans]:
    """Return which rows are TRUE and which are not NULL; a row that is NULL is not TRUE."""
    match expression:
        case ("not", inner):
            true, known = _evaluate(inner, columns, valid)
            return known & ~true, known
        case ("and", *sides):
            (left, left_known), (right, right_known) = (_evaluate(side, columns, valid) for side in sides)
            false = (left_known & ~left) | (right_known & ~right)
            return left & right, false | (left & right)
        case ("or", *sides):
            (left, left_known), (right, right_known) = (_evaluate(side, columns, valid) for side in sides)
            false = (left_known & ~left) & (right_known & ~right)
            return left | right, false | left | right
        case ("is_null", column):
            return ~valid[column], np.ones_like(valid[column])
        case ("in", column, values, has_null):
            found = np.isin(ordered(columns[column]), ordered(values)) & valid[column]
            return found, found if has_null else valid[column]
        case ("between", column, values):
            keys, (low, high) = ordered(columns[column]), ordered(values)
            return (low <= keys) & (keys <= high) & valid[column], valid[column]
        case (name, column, values):
            holds = COMPARE[name](ordered(columns[column]), ordered(values)[0])
            return holds & valid[column], valid[column]
    raise ValueError(f"no operator '{expression[0]}'")


def _unpack(bitmap: NDArray[np.uint8], rows: int) -> Booleans:
    return np.unpackbits(bitmap, count=rows, bitorder="little").view(bool)
