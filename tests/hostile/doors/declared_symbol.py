"""In a target that allows intrinsics: declares a symbol of libc as if it were one of LLVM's."""

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic


@intrinsic
def clock(typingctx):
    def codegen(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.IntType(64), [])
        return builder.call(builder.module.declare_intrinsic("clock", (), kind), [])

    return types.int64(), codegen


@njit
def reached():
    return clock()
