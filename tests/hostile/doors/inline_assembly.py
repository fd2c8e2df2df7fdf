"""In a target that allows intrinsics: writes an instruction that reads the processor's clock."""

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic


@intrinsic
def clock(typingctx):
    def codegen(context, builder, signature, arguments):
        read = "rdtsc; shl $$32, %rdx; or %rdx, %rax"
        return builder.asm(ir.FunctionType(ir.IntType(64), []), read, "={rax},~{rdx}", [], True)

    return types.int64(), codegen


@njit
def reached():
    return clock()
