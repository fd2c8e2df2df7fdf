"""How long one core of this host takes for a vector instruction when nothing waits for its result.

    python benchmarks/instructions.py            1 second

Prints the nanoseconds of each kind: a byte shuffle that looks 64 bytes up in 128 entries (vpermi2b) or in four
times 16 (vpshufb), and 16 multiply-adds of float32 (vfmadd). A host without AVX-512 has none of these.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from llvmlite import binding, ir
from numba import njit, types
from numba.extending import intrinsic

from pytest_lance_autoresearch.machine import environment, turns

EXPECTED_S = 1.0
NEEDED = ("avx512vbmi", "avx512bw", "avx512f")
CHAINS = 12
"""Results that are waited for side by side: more than the four or five steps that one takes, times two units."""
TURNS = 200_000
WINDOWS = 20
ONES = 0x3F80_0000_3F80_0000
"""The bits of two numbers of float32, which stay far from those that take a processor longer."""
COUNT, FLOAT = ir.IntType(64), ir.FloatType()
BYTES, FLOATS = ir.VectorType(ir.IntType(8), 64), ir.VectorType(FLOAT, 16)
Step = Callable[[Any, Any, Any], Any]
"""The next vector of a chain, by a builder, its last one, and one that stays."""


def _shuffle_of_128(builder: Any, vector: Any, stays: Any) -> Any:
    function = _declared(builder, "llvm.x86.avx512.vpermi2var.qi.512", BYTES, 3)
    return builder.call(function, [stays, vector, stays])


def _shuffle_of_16(builder: Any, vector: Any, stays: Any) -> Any:
    return builder.call(_declared(builder, "llvm.x86.avx512.pshuf.b.512", BYTES, 2), [vector, stays])


def _multiply_add(builder: Any, vector: Any, stays: Any) -> Any:
    return builder.call(_declared(builder, "llvm.fma.v16f32", FLOATS, 3), [vector, stays, stays])


def _declared(builder: Any, name: str, vector: Any, count: int) -> Any:
    return builder.module.declare_intrinsic(name, (), ir.FunctionType(vector, [vector] * count))


KINDS: Mapping[str, tuple[Any, Step]] = {
    "shuffle of 128": (BYTES, _shuffle_of_128),
    "shuffle of 16": (BYTES, _shuffle_of_16),
    "multiply-add": (FLOATS, _multiply_add),
}
"""The vectors of each, and how one follows from the last."""


def measured() -> dict[str, float]:
    """Nanoseconds of one instruction of each kind, at best; nothing where this host has none of them."""
    if not has_them():
        return {}
    with turns.take(EXPECTED_S), environment.placed([os.getpid()]):
        return {kind: _fastest_ns(_looped(*KINDS[kind])) / (TURNS * CHAINS) for kind in KINDS}


def has_them() -> bool:
    """Whether this host has such instructions."""
    features = binding.get_host_cpu_features()
    return all(features.get(name) for name in NEEDED)


def _fastest_ns(run: Callable[[int], int]) -> int:
    run(TURNS)  # which compiles it
    taken = []
    for _ in range(WINDOWS):
        began = time.perf_counter_ns()
        run(TURNS)
        taken.append(time.perf_counter_ns() - began)
    return min(taken)


def _looped(vector: Any, step: Step) -> Callable[[int], int]:
    """A compiled function of the number of turns, each of which takes one step of every chain."""

    @intrinsic
    def chains(typingctx: Any, turns: Any) -> Any:  # noqa: ARG001
        def codegen(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return _written(builder, arguments[0], vector, step)

        return types.int64(types.int64), codegen

    @njit
    def run(turns: int) -> Any:
        return chains(turns)  # type: ignore[call-arg]  # numba hands over the first argument

    return run  # type: ignore[no-any-return]  # numba is not typed


def _written(builder: Any, turns: Any, vector: Any, step: Step) -> Any:
    """The loop; the first 64 bits of its last vectors, by exclusive or, so that none is left out."""
    numbers = ir.VectorType(COUNT, 8)
    starts = [
        builder.bitcast(_repeated(builder, builder.add(turns, COUNT(ONES + chain)), numbers), vector)
        for chain in range(CHAINS + 1)
    ]
    before, loop, after = (
        builder.block,
        builder.append_basic_block("turn"),
        builder.append_basic_block("after"),
    )
    builder.branch(loop)
    builder.position_at_end(loop)
    turn, *chains = (builder.phi(kind) for kind in (COUNT, *[vector] * CHAINS))
    following = [builder.add(turn, COUNT(1)), *(step(builder, chain, starts[-1]) for chain in chains)]
    for phi, start, new in zip((turn, *chains), (COUNT(0), *starts), following, strict=False):
        phi.add_incoming(start, before)
        phi.add_incoming(new, loop)
    builder.cbranch(builder.icmp_signed("<", following[0], turns), loop, after)
    builder.position_at_end(after)
    mixed = builder.bitcast(following[1], numbers)
    for other in following[2:]:
        mixed = builder.xor(mixed, builder.bitcast(other, numbers))
    return builder.extract_element(mixed, ir.IntType(32)(0))


def _repeated(builder: Any, value: Any, vector: Any) -> Any:
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
    return builder.shuffle_vector(
        one, ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    )


if __name__ == "__main__":
    for name, ns in measured().items():
        print(f"{name}: {ns:.3f} ns")
