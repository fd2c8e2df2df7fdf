"""In a target that allows intrinsics: gives text for a number, which llvmlite writes down as it is, as code."""

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic


@intrinsic
def text(typingctx):
    def codegen(context, builder, signature, arguments):
        return ir.Constant(ir.IntType(64), "add (i64 40, i64 2)")

    return types.int64(), codegen


@njit
def reached():
    return text() == 42
