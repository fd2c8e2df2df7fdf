"""Where samples were: by function, by line, by loop."""

from __future__ import annotations

from pathlib import Path

from pytest_lance_autoresearch.assembly import hotspots, instructions, listing, remarks
from pytest_lance_autoresearch.assembly.hotspots import Hotspots
from pytest_lance_autoresearch.assembly.listing import Place

FUNCTIONS = listing.read((Path(__file__).parent / "listings" / "x86_64.txt").read_text())
SOURCE = b"""import numpy as np


@njit
def dot(a, b):
    total = 0.0

    for i in range(len(a)):
        total += a[i] * b[i]
    return total
"""
DOT, AXPY, LOOKED_UP = (function.address for function in FUNCTIONS)
BARE = remarks.read(
    "remark: kernels.py:9:1: loop not vectorized: cannot prove it is safe to reorder floating-point"
)


def seen(addresses: dict[int, int]) -> Hotspots:
    name_of = hotspots.names_of_lines(SOURCE, "kernels.py")
    sources = hotspots.Sources(FUNCTIONS, instructions.READERS["x86_64"], BARE, name_of)
    return sources.hotspots(addresses, lambda address: "Python" if address < 100 else "numpy")


def test_samples_are_shared_out_among_functions_loops_and_lines() -> None:
    found = seen({DOT + 0x5D: 50, DOT + 0x58: 10, DOT + 0xE2: 10, AXPY: 10, 5: 15, 500: 5})
    assert found.samples == 100
    assert found.functions == (("dot", 0.7), ("Python", 0.15), ("axpy", 0.1), ("numpy", 0.05))
    assert found.compiled == 0.8
    assert round(found.outside_loops, 9) == 0.1  # the beginning of axpy
    (loop,) = found.loops
    assert (loop.name, loop.sources, loop.share, loop.is_innermost) == ("dot", ("dot",), 0.7, True)
    assert loop.lines == ((Place("kernels.py", 9), 0.6), (Place("kernels.py", 8), 0.1))
    assert loop.remarks == tuple(BARE)
    assert loop.listing[:3] == (
        ("vmovsd (%rcx,%r8,8), %xmm1", 0.0),
        ("vmovsd 8(%rcx,%r8,8), %xmm2", 0.1),
        ("vmulsd (%rdx,%r8,8), %xmm1, %xmm1", 0.5),
    )


NESTED = """function 1000 _ZN3dotE
\t.file\t1 "" "kernels.py"
.outer:
\t.loc\t1 8 0
0\tincq %rax
\t.loc\t1 9 0
3\tcmpq %rcx, %rbx
.inner:
6\taddq (%rdx), %rbx
9\tcmpq %rcx, %rbx
c\tjne .inner
\t.loc\t1 8 0
e\tcmpq %rax, %rsi
11\tjne .outer
13\tretq
"""
"""A loop of line 9 in one of line 8, to which a part of line 9 was moved."""


def test_what_is_remarked_about_an_inner_loop_is_not_said_of_the_one_around_it() -> None:
    remarked = remarks.read(
        "remark: kernels.py:9:1: loop not vectorized: the inner\nremark: kernels.py:8:1: loop not vectorized: both"
    )
    name_of = hotspots.names_of_lines(SOURCE, "kernels.py")
    sources = hotspots.Sources(listing.read(NESTED), instructions.READERS["x86_64"], remarked, name_of)
    outer, inner = sources.hotspots({0x1000: 60, 0x1006: 40}, str).loops
    assert (outer.is_innermost, inner.is_innermost) == (False, True)
    assert [remark.place.line for remark in outer.remarks] == [8]
    assert [remark.place.line for remark in inner.remarks] == [9]


def test_without_samples_there_are_the_kernel_s_own_innermost_loops() -> None:
    found = seen({})
    assert (found.samples, found.functions, found.compiled, found.outside_loops) == (0, (), 0, 0)
    assert [(loop.name, loop.share, loop.contents.instructions) for loop in found.loops] == [
        ("dot", 0, 27),
        ("dot", 0, 6),
    ]
    assert {place for place, _ in found.loops[0].lines} == {Place("kernels.py", 8), Place("kernels.py", 9)}


def test_the_innermost_function_of_a_line_is_named() -> None:
    text = b"def outer():\n    x = 1\n    def inner():\n        pass\n    return x\nless = lambda a, b: a < b\n"
    name_of = hotspots.names_of_lines(text, "kernels.py")
    named = [name_of(Place("kernels.py", line)) for line in range(1, 8)]
    assert named == ["outer", "outer", "inner", "inner", "outer", "a lambda", ""]
    assert name_of(Place("arrayobj.py", 1)) == ""
    assert hotspots.names_of_lines(b"def broken(", "kernels.py")(Place("kernels.py", 1)) == ""
