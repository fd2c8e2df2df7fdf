"""Takes all names of a module at once, so that none of them is written down, and calls a symbol of libc with one."""

from llvmlite import ir
from numba import njit, types
from numba.extending import *


@intrinsic
def clock(typingctx):
    def codegen(context, builder, signature, arguments):
        symbol = ir.Function(builder.module, ir.FunctionType(ir.IntType(64), []), "clock")
        return builder.call(symbol, [])

    return types.int64(), codegen


@njit
def reached():
    return clock()
