"""predicate by polars' expressions; columns come in without a copy, bitmaps through pyarrow.

Differs on floats: every NaN is equal to every other and above infinity, whatever its sign.
POLARS_MAX_THREADS=1 must be in the environment before the first import, or polars uses every core.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

COMPARE = {
    "less": "lt",
    "less_equal": "le",
    "greater": "gt",
    "greater_equal": "ge",
    "equal": "eq",
    "not_equal": "ne",
}


class Predicate:
    """See targets/predicate/kernels.py."""

    def __init__(self, expression: tuple[Any, ...]) -> None:
        self._expression = _translated(expression).alias("true")

    def evaluate(self, columns: Any, validity: Any, out_true: np.ndarray, out_valid: np.ndarray) -> None:
        pairs = zip(columns, validity, strict=True)
        frame = pl.DataFrame({f"c{n}": _series(values, bitmap) for n, (values, bitmap) in enumerate(pairs)})
        found = frame.select(self._expression)["true"]
        known = found.is_not_null()
        out_valid[:] = np.packbits(known.to_numpy(), bitorder="little")
        out_true[:] = np.packbits(found.fill_null(False).to_numpy(), bitorder="little")


def _translated(expression: tuple[Any, ...]) -> pl.Expr:
    match expression:
        case ("not", inner):
            return ~_translated(inner)
        case ("and", left, right):
            return _translated(left) & _translated(right)
        case ("or", left, right):
            return _translated(left) | _translated(right)
        case ("is_null", column):
            return pl.col(f"c{column}").is_null()
        case ("in", column, values, has_null):
            found = pl.col(f"c{column}").is_in(pl.Series(values).implode())
            return pl.when(found).then(True) if has_null else found
        case ("between", column, values):
            return pl.col(f"c{column}").is_between(*(pl.lit(pl.Series(values[i : i + 1])) for i in range(2)))
        case (name, column, values):
            return getattr(pl.col(f"c{column}"), COMPARE[name])(pl.lit(pl.Series(values)))
    raise ValueError(f"no operator '{expression[0]}'")


def _series(values: np.ndarray, bitmap: np.ndarray | None) -> pl.Series:
    buffers = [None if bitmap is None else pa.py_buffer(bitmap), pa.py_buffer(values)]
    return pl.from_arrow(pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), values.size, buffers))
