"""The kernel: the only file that an agent edits."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
BYTES = 64
"""Of a vector, and of the table."""


class Table:
    """The values of codes, each below 64.

    `__init__` is not timed: what it derives from `values`, uint8 (64,), may be kept.
    """

    def __init__(self, values: Bytes) -> None:
        self._values = values
        self._look_up = _by_vectors if _has_shuffle() else _one_by_one

    def look_up(self, codes: Bytes) -> Bytes:
        """Return the value of every code, uint8 (n,)."""
        found: Bytes = self._look_up(self._values, codes)
        return found


@njit
def _one_by_one(values: Bytes, codes: Bytes) -> Bytes:
    """The portable branch, for every processor."""
    found = np.empty_like(codes)
    for i in range(len(codes)):
        found[i] = values[codes[i]]
    return found


@njit
def _by_vectors(values: Bytes, codes: Bytes) -> Bytes:
    """The same, 64 codes at a time; compiled where the processor has the instruction, and nowhere else."""
    found = np.empty_like(codes)
    whole = len(codes) // BYTES * BYTES
    for i in range(0, whole, BYTES):
        _shuffle(values, codes, i, found)
    for i in range(whole, len(codes)):
        found[i] = values[codes[i]]
    return found


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _feature(typingctx: Any) -> Any:
    """Whether the processor that numba compiles for has the instruction."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        features = context.codegen().magic_tuple()[2].split(",")
        return context.get_constant(types.boolean, "+avx512vbmi" in features)

    return types.boolean(), codegen


@njit
def _has_shuffle() -> bool:
    found: bool = _feature()
    return found


@intrinsic  # type: ignore[untyped-decorator]
def _shuffle(typingctx: Any, values: Any, codes: Any, start: Any, found: Any) -> Any:
    """found[start : start + 64] = values[codes[start : start + 64]], with `vpermb`."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), BYTES)

        def vector_at(position: int, index: Any) -> Any:
            array = context.make_array(signature.args[position])(context, builder, arguments[position])
            return builder.bitcast(builder.gep(array.data, [index]), vector.as_pointer())

        none, start = context.get_constant(types.intp, 0), arguments[2]
        table = builder.load(vector_at(0, none), align=1)
        picked = builder.load(vector_at(1, start), align=1)
        kind = ir.FunctionType(vector, [vector, vector])
        shuffle = builder.module.declare_intrinsic("llvm.x86.avx512.permvar.qi.512", (), kind)
        builder.store(builder.call(shuffle, [table, picked]), vector_at(3, start), align=1)
        return context.get_dummy_value()

    return types.void(values, codes, start, found), codegen
