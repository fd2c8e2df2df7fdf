"""Says what a function of its own is lowered to, which may be a call of any symbol."""

from llvmlite import ir
from numba import njit, types
from numba.extending import lower_builtin, type_callable


def clock():
    pass


@type_callable(clock)
def typed(context):
    return lambda: types.int64


@lower_builtin(clock)
def lowered(context, builder, signature, arguments):
    symbol = ir.Function(builder.module, ir.FunctionType(ir.IntType(64), []), "clock")
    return builder.call(symbol, [])


@njit
def reached():
    return clock()
