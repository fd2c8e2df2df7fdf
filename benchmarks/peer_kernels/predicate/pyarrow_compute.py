"""predicate by pyarrow.compute, whose arrays have these very bitmaps; nothing is copied on the way in.

Differs on floats: pyarrow compares as IEEE 754 does, so NaN is never less, greater or equal; its IN has two zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

pa.set_cpu_count(1)


class Predicate:
    """See targets/predicate/kernels.py."""

    def __init__(self, expression: tuple[Any, ...]) -> None:
        self._expression = _with_scalars(expression)

    def evaluate(self, columns: Any, validity: Any, out_true: np.ndarray, out_valid: np.ndarray) -> None:
        arrays = [_array(values, bitmap) for values, bitmap in zip(columns, validity, strict=True)]
        _write(_evaluate(self._expression, arrays), out_true, out_valid)


def _with_scalars(expression: tuple[Any, ...]) -> tuple[Any, ...]:
    match expression:
        case ("is_null", _):
            return expression
        case ("not" | "and" | "or", *inner):
            return (expression[0], *map(_with_scalars, inner))
        case ("in", column, values, has_null):
            return ("in", column, pa.array(values), has_null)
        case (name, column, values):
            return (name, column, [pa.scalar(value, pa.from_numpy_dtype(values.dtype)) for value in values])
    raise ValueError(f"no operator '{expression[0]}'")


def _evaluate(expression: tuple[Any, ...], arrays: list[pa.Array]) -> pa.BooleanArray:
    match expression:
        case ("not", inner):
            return pc.invert(_evaluate(inner, arrays))
        case ("and", left, right):
            return pc.and_kleene(_evaluate(left, arrays), _evaluate(right, arrays))
        case ("or", left, right):
            return pc.or_kleene(_evaluate(left, arrays), _evaluate(right, arrays))
        case ("is_null", column):
            return pc.is_null(arrays[column])
        case ("in", column, values, has_null):  # for pyarrow a null is in the list or not, as a value is
            found = pc.is_in(arrays[column], value_set=values)
            unknown = has_null or arrays[column].null_count > 0
            return pc.if_else(found if has_null else arrays[column].is_valid(), found, None) if unknown else found
        case ("between", column, (low, high)):
            return pc.and_kleene(pc.greater_equal(arrays[column], low), pc.less_equal(arrays[column], high))
        case (name, column, (value,)):
            return pc.call_function(name, [arrays[column], value])
    raise ValueError(f"no operator '{expression[0]}'")


def _array(values: np.ndarray, bitmap: np.ndarray | None) -> pa.Array:
    buffers = [None if bitmap is None else pa.py_buffer(bitmap), pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), values.size, buffers)


def _write(found: pa.BooleanArray, out_true: np.ndarray, out_valid: np.ndarray) -> None:
    """Copy both bitmaps; under a null and after the last row the bits of pyarrow are anything."""
    validity, values = found.buffers()
    out_valid[:] = 255 if validity is None else np.frombuffer(validity, np.uint8)[: out_valid.size]
    if len(found) % 8:
        out_valid[-1] &= (1 << len(found) % 8) - 1
    np.bitwise_and(np.frombuffer(values, np.uint8)[: out_true.size], out_valid, out=out_true)
