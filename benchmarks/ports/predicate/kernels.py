"""A filter, evaluated on a batch of columns to a bitmap. The file that an agent edits.

A port of what Lance 14.0.2 runs for each batch: `wrap_with_filter` (rust/lance/src/io/exec/filtered_read.rs) calls
DataFusion 54, which evaluates an expression node by node: `cmp::{eq, lt}` and `and_kleene` / `or_kleene` of
arrow-rs 58 on 64 rows at a time, a hash set of the column's type for IN, comparisons for three values or fewer.
Floats are compared in IEEE's total order, except that -0.0 equals 0.0: Lance puts that zero into a filter which
gives this answer (rust/lance-datafusion/src/signed_zero.rs).

Stays: `Predicate(expression)` and `evaluate(columns, validity, out_true, out_valid)`, with the dtypes, shapes
and bits that their docstrings give.

CAN: derive anything from the expression in `__init__`; fuse nodes, skip one whose result cannot matter, evaluate
any operator by another method; reuse scratch memory.
CANNOT: keep anything that depends on a call's arguments for a later call; use fastmath on the floats that are
compared; start threads or processes; import anything but numba, numpy and the mathematics of the standard library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Words = NDArray[np.uint64]
    Members = tuple[NDArray[np.int64], NDArray[np.uint8]]
    Columns = tuple[Array, ...]
    Validity = tuple[NDArray[np.uint8] | None, ...]
    Node = Callable[[Columns, Validity], tuple[Words, Words]]
    """Gives the rows that are TRUE and the rows that are not NULL; none is TRUE that is NULL."""

HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)
OPPOSITES = {"less_equal": "greater", "greater_equal": "less", "not_equal": "equal"}
FEW = 3
"""Values of a list that are compared one after the other, without a set."""


class Predicate:
    """One filter; `expression` is a tuple, the operator first.

    ("less", column, values) and "less_equal", "greater", "greater_equal", "equal", "not_equal";
    ("between", column, values) with both ends included; ("in", column, values, has_null); ("is_null", column);
    ("not", inner), ("and", left, right), ("or", left, right).

    `column` is the number of a column and `values` an array, (1,) of a comparison, (2,) of "between", (any,) of
    "in", with the column's dtype: int32, int64, float32 or float64. `has_null` says that the list has a NULL too.
    """

    def __init__(self, expression: tuple[Any, ...]) -> None:
        self._root = _node(expression)

    def evaluate(
        self, columns: Columns, validity: Validity, out_true: NDArray[np.uint8], out_valid: NDArray[np.uint8]
    ) -> None:
        """Fill `out_true` with the rows that are TRUE and `out_valid` with the rows that are not NULL.

        Parameters
        ----------
        columns : tuple of int32, int64, float32 or float64, each of shape (n,)
            What lies under a null is anything.
        validity : tuple of uint8, shape (ceil(n / 8),), or None where no row is null
            One for each column. Row i is bit i % 8 of byte i // 8, 1 where the row is valid.
        out_true, out_valid : uint8, shape (ceil(n / 8),)
            Bitmaps in the same order. The bits after row n - 1 are 0 in every bitmap.
        """
        true, valid = self._root(columns, validity)
        out_true[:] = true.view(np.uint8)[: out_true.size]
        out_valid[:] = valid.view(np.uint8)[: out_valid.size]


def _node(expression: tuple[Any, ...]) -> Node:
    match expression:
        case ("and", left, right):
            return _joined(_and_kleene, _node(left), _node(right))
        case ("or", left, right):
            return _joined(_or_kleene, _node(left), _node(right))
        case ("not", inner):
            return _negated(_node(inner))
        case ("is_null", column):
            return _is_null(column)
        case ("in", column, values, has_null) if has_null:
            return _null_unless_true(_node(("in", column, values, False)))
        case ("in", column, values, _) if 0 < values.size <= FEW:
            first, rest = ("equal", column, values[:1]), ("in", column, values[1:], False)
            return _node(("or", first, rest) if values.size > 1 else first)
        case ("in", column, values, _):
            return _in_set(column, values)
        case ("between", column, values):
            low, high = values[:1], values[1:]
            return _node(("and", ("greater_equal", column, low), ("less_equal", column, high)))
        case (name, column, values) if name in OPPOSITES:
            return _negated(_node((OPPOSITES[name], column, values)))
        case ("less", column, values):
            return _compared(_less, column, _zero_as(-0.0, values))
        case ("greater", column, values):
            return _compared(_greater, column, _zero_as(0.0, values))
        case ("equal", column, values):
            is_zero = values.dtype.kind == "f" and values[0] == 0
            return _in_set(column, values) if is_zero else _compared(_equal, column, values)
    raise ValueError(f"no operator '{expression[0]}'")


def _joined(join: Any, left: Node, right: Node) -> Node:
    def evaluate(columns: Columns, validity: Validity) -> tuple[Words, Words]:
        return join(*left(columns, validity), *right(columns, validity))

    return evaluate


def _negated(inner: Node) -> Node:
    def evaluate(columns: Columns, validity: Validity) -> tuple[Words, Words]:
        true, valid = inner(columns, validity)
        return valid ^ true, valid

    return evaluate


def _is_null(column: int) -> Node:
    def evaluate(columns: Columns, validity: Validity) -> tuple[Words, Words]:
        rows = columns[column].size
        every = _words(None, rows)
        return every ^ _words(validity[column], rows), every

    return evaluate


def _compared(compare: Any, column: int, values: Array) -> Node:
    """Compare a column with one value, both as whole numbers that are in the same order."""
    bits, flip = _as_integers(values)
    literal = _key(bits[0], flip)

    def evaluate(columns: Columns, validity: Validity) -> tuple[Words, Words]:
        bits, flip = _as_integers(columns[column])
        valid = _words(validity[column], bits.size)
        return compare(bits, literal, flip, valid), valid

    return evaluate


def _in_set(column: int, values: Array) -> Node:
    """Look a column up in a set of bits, which has both zeros where the list has one."""
    zeros = _zero_as(-0.0, values), _zero_as(0.0, values)
    members = _hash_set(np.unique(_as_integers(np.concatenate(zeros))[0]).astype(np.int64))

    def evaluate(columns: Columns, validity: Validity) -> tuple[Words, Words]:
        bits, _ = _as_integers(columns[column])
        valid = _words(validity[column], bits.size)
        return _contained(bits, members, None, valid), valid

    return evaluate


def _null_unless_true(inner: Node) -> Node:
    """What is not found in a list with a NULL may be equal to it: nobody knows."""

    def evaluate(columns: Columns, validity: Validity) -> tuple[Words, Words]:
        true, _ = inner(columns, validity)
        return true, true

    return evaluate


def _zero_as(zero: float, values: Array) -> Array:
    """Return `values` with this zero in place of -0.0 and 0.0; of whole numbers there is one only."""
    return np.where(values == 0, values.dtype.type(zero), values)


def _as_integers(values: Array) -> tuple[Array, Any]:
    """Return the bits of `values`, and what to flip in negative ones to have floats in total order."""
    bits = values.view(f"i{values.itemsize}")
    return bits, np.iinfo(bits.dtype).max if values.dtype.kind == "f" else None


def _words(bitmap: NDArray[np.uint8] | None, rows: int) -> Words:
    """Return a bitmap in words of 64 rows; without one, every row is in it."""
    size = (rows + 7) // 8
    padded = np.zeros((size + 7) // 8 * 8, np.uint8)
    padded[:size] = 255 if bitmap is None else bitmap
    if bitmap is None and rows % 8:
        padded[size - 1] = 255 >> (8 - rows % 8)
    return padded.view(np.uint64)


@njit()
def _key(bits: int, flip: int | None) -> int:
    if flip is None:
        return bits
    return bits ^ flip if bits < 0 else bits


def _packed(holds: Any) -> Any:
    """Return the loop of arrow-rs for one comparison: 64 rows to a word, the rest to the last word.

    `literal` is a key, or the set that a key is looked up in.
    """

    @njit()
    def compare(column: Array, literal: Any, flip: int | None, valid: Words) -> Words:
        true = np.empty(valid.size, np.uint64)
        for word in range(column.size // 64):
            rows = column[64 * word : 64 * word + 64]
            packed = np.uint64(0)
            for row in range(64):
                packed |= np.uint64(holds(_key(rows[row], flip), literal)) << np.uint64(row)
            true[word] = packed & valid[word]
        rest = column[column.size // 64 * 64 :]
        if rest.size:
            packed = np.uint64(0)
            for row in range(rest.size):
                packed |= np.uint64(holds(_key(rest[row], flip), literal)) << np.uint64(row)
            true[-1] = packed & valid[-1]
        return true

    return compare


_less = _packed(njit(lambda key, literal: key < literal))
_greater = _packed(njit(lambda key, literal: key > literal))
_equal = _packed(njit(lambda key, literal: key == literal))


@njit()
def _and_kleene(left: Words, left_valid: Words, right: Words, right_valid: Words) -> tuple[Words, Words]:
    true, valid = np.empty_like(left), np.empty_like(left)
    for word in range(left.size):
        true[word] = left[word] & right[word]
        valid[word] = true[word] | (left_valid[word] ^ left[word]) | (right_valid[word] ^ right[word])
    return true, valid


@njit()
def _or_kleene(left: Words, left_valid: Words, right: Words, right_valid: Words) -> tuple[Words, Words]:
    true, valid = np.empty_like(left), np.empty_like(left)
    for word in range(left.size):
        true[word] = left[word] | right[word]
        valid[word] = true[word] | (left_valid[word] & right_valid[word])
    return true, valid


@njit()
def _hash_set(values: NDArray[np.int64]) -> Members:
    """Return an open hash table, three of four places free or more: its keys, and a byte of each key's hash.

    The byte is looked at first, and is 0 where a place is free. Upstream's set looks at the bytes of 16 places at
    once, so that the first look decides; here the free places see to that.
    """
    size = 8
    while size < 4 * values.size:
        size *= 2
    keys, tags = np.zeros(size, np.int64), np.zeros(size, np.uint8)
    for value in values:
        hashed = _hash(value)
        place = hashed & (size - 1)
        while tags[place]:
            place = (place + 1) & (size - 1)
        keys[place], tags[place] = value, _tag(hashed)
    return keys, tags


@njit()
def _is_member(value: int, members: Members) -> bool:
    keys, tags = members
    hashed = _hash(value)
    place = hashed & (keys.size - 1)
    while tags[place]:
        if tags[place] == _tag(hashed) and keys[place] == value:
            return True
        place = (place + 1) & (keys.size - 1)
    return False


@njit()
def _hash(value: int) -> int:
    return np.int64((np.uint64(value) * HASH_FACTOR) >> np.uint64(32))


@njit()
def _tag(hashed: int) -> np.uint8:
    return np.uint8(hashed >> 24) | np.uint8(128)


_contained = _packed(_is_member)
