"""Listings of machine code: what is read of them, what each instruction does, where the loops are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_lance_autoresearch.assembly import instructions, listing, loops
from pytest_lance_autoresearch.assembly.instructions import Effect
from pytest_lance_autoresearch.assembly.listing import Function, Instruction, Place
from pytest_lance_autoresearch.assembly.loops import Contents, Loop

RECORDED = Path(__file__).parent / "listings"
"""What numba 0.68 made of the same functions: a float sum, `a + 2 * b` in place, and a sum of look-ups."""


def recorded(machine: str) -> dict[str, Function]:
    return {function.name: function for function in listing.read((RECORDED / f"{machine}.txt").read_text())}


def held(function: Function, machine: str) -> list[Contents]:
    effects = loops.effects_of(function, instructions.READERS[machine])
    return [loops.contents(loop, effects) for loop in loops.loops_of(function, effects)]


def effect(line: str, machine: str = "x86_64") -> Effect:
    mnemonic, _, operands = line.partition(" ")
    return instructions.READERS[machine](Instruction(0, mnemonic, operands, listing.NOWHERE))


# Reading


def test_a_listing_is_read_with_names_places_and_labels() -> None:
    functions = recorded("x86_64")
    assert list(functions) == ["dot", "axpy", "looked_up"]
    dot = functions["dot"]
    assert dot.address == 0x7F0000000000
    assert dot.instructions[1] == Instruction(5, "testq", "%rsi, %rsi", Place("kernels.py", 8))
    assert str(dot.instructions[2]) == "jle .LBB0_1"
    assert dot.instructions[dot.labels[".LBB0_5"]].offset == 0x50


def test_a_file_is_known_by_its_name_wherever_llvm_writes_its_folder() -> None:
    forms = ['1 "/work" "kernels.py"', '1 "/work/kernels.py"', '1 "kernels.py"']
    read = [listing.read(f"function 1 f\n\t.file\t{form}\n\t.loc\t1 7 0\n0\tnop") for form in forms]
    assert [function.instructions[0].place for (function,) in read] == [Place("kernels.py", 7)] * 3


def test_an_address_is_that_of_the_instruction_that_reaches_there() -> None:
    functions = sorted(recorded("x86_64").values(), key=lambda one: one.address)
    dot = functions[0]
    assert dot.index_at(dot.address + 7) == 1
    assert dot.index_at(dot.address + dot.instructions[-1].offset + 100) is None
    assert listing.function_at(functions, dot.address + 0x50) is dot
    assert listing.function_at(functions, dot.address - 1) is None
    assert listing.function_at(functions, functions[1].address + 0x10) is functions[1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no listing at all\n\t.loc\tx y\n",
        "function 7f00 a\n",
        "function 7f00 a\n8\tnop\n4\tnop\n",
        "function xyz a\n0\tnop\n",
        "function 11112222333344445 a\n0\tnop\n",
        "0\tnop\n.L1:\n",
        f"{'9' * 5000} {'8' * 5000}:\n" * 50,
    ],
    ids=["nothing", "another text", "empty", "backwards", "no address", "too far", "no function", "long"],
)
def test_what_is_no_listing_holds_no_function(text: str) -> None:
    assert listing.read(text) == []


def test_symbols_that_are_not_numba_s_are_shown_as_they_are() -> None:
    assert listing.demangled("_ZN7kernels4axpyB2v2B54c8tJTC") == "axpy"
    assert listing.demangled("_ZN7cpython7kernels3dotB2v1B54c8") == "the wrapper of dot"
    assert listing.demangled("cfunc._ZN7kernels3dotB2v1B54c8") == "the wrapper of dot"
    assert listing.demangled("NRT_decref") == "NRT_decref"
    assert listing.demangled("_ZN99999999short") == "_ZN99999999short"
    assert listing.demangled("_ZN") == "_ZN"


# Instructions


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("movq 16(%rsp), %rsi", Effect(loads=True, on_stack=True)),
        ("movq %rsi, 16(%rsp)", Effect(stores=True, on_stack=True)),
        ("addl $1, (%rdi)", Effect(loads=True, stores=True)),
        ("incq (%rdi)", Effect(loads=True, stores=True)),
        ("cmpl %eax, (%rdi)", Effect(loads=True)),
        ("leaq (%rdx,%r8,8), %rdx", Effect()),
        ("vmovsd (%rcx,%r8,8), %xmm1", Effect(loads=True)),
        ("vmulsd (%rdx,%r8,8), %xmm1, %xmm1", Effect(loads=True, is_float=True)),
        ("vfmadd231ss %xmm1, %xmm2, %xmm3", Effect(is_float=True)),
        ("vaddpd %ymm0, %ymm1, %ymm0", Effect(vector_bits=256)),
        ("vpaddd (%rdx), %zmm1, %zmm2", Effect(loads=True, vector_bits=512)),
        ("vmovdqu %ymm0, (%rdx)", Effect(stores=True, moves_bits=256)),
        ("vmovdqu32 %zmm0, (%rdx) {%k1}", Effect(stores=True, moves_bits=512)),
        ("vxorps %xmm6, %xmm6, %xmm6", Effect()),
        ("vgatherqps (%rdx,%zmm4,4), %ymm6 {%k1}", Effect(gathers=8)),
        ("vpgatherdd (%rdx,%ymm4,4), %ymm6 {%k1}", Effect(gathers=8)),
        ("vpscatterdq %zmm6, (%rdx,%ymm4,8) {%k1}", Effect(stores=True, gathers=4)),
        ("vpshufb %xmm1, %xmm0, %xmm0", Effect(vector_bits=128, shuffles=True)),
        ("vsqrtsd %xmm1, %xmm0, %xmm0", Effect(is_float=True, divides=True)),
        ("idivq %rcx", Effect(divides=True)),
        ("jne .LBB0_5", Effect(jumps=".LBB0_5", is_conditional=True)),
        ("jmp .LBB0_5", Effect(jumps=".LBB0_5")),
        ("jmpq *%rax", Effect(jumps="?", is_conditional=False)),
        ("callq *%rax", Effect(calls="?")),
        ("callq memcpy", Effect(calls="memcpy")),
        ("retq", Effect(returns=True)),
        ("pushq %rbx", Effect(stores=True)),
        ("lock xaddq %rax, (%rdi)", Effect(loads=True, stores=True)),
        ("unheardof %rax, %rbx", Effect()),
    ],
)
def test_what_an_instruction_of_x86_does(line: str, expected: Effect) -> None:
    assert effect(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ldr x8, [sp, #40]", Effect(loads=True, on_stack=True)),
        ("stp x8, x9, [x0]", Effect(stores=True)),
        ("ldr q0, [x8]", Effect(loads=True, moves_bits=128)),
        ("fadd d0, d1, d0", Effect(is_float=True)),
        ("fadd v0.2d, v1.2d, v0.2d", Effect(vector_bits=128)),
        ("add v0.8b, v1.8b, v0.8b", Effect(vector_bits=64)),
        ("tbl v0.16b, { v1.16b }, v2.16b", Effect(vector_bits=128, shuffles=True)),
        ("sdiv x0, x1, x2", Effect(divides=True)),
        ("b.ne .LBB0_7", Effect(jumps=".LBB0_7", is_conditional=True)),
        ("cbz x0, .LBB0_7", Effect(jumps=".LBB0_7", is_conditional=True)),
        ("b .LBB0_7", Effect(jumps=".LBB0_7")),
        ("br x8", Effect(jumps="?")),
        ("bl memcpy", Effect(calls="memcpy")),
        ("blr x8", Effect(calls="?")),
        ("ret", Effect(returns=True)),
        ("bic x0, x1, x2", Effect()),
    ],
)
def test_what_an_instruction_of_aarch64_does(line: str, expected: Effect) -> None:
    assert effect(line, "aarch64") == expected


# Loops


def test_a_float_sum_has_no_vectors_and_the_loop_beside_it_has() -> None:
    functions = recorded("x86_64")
    assert held(functions["dot"], "x86_64") == [
        Contents(27, 16, 0, 0, 0, 1, (), {}, 0, 16, 0, 0, 16, 16),
        Contents(6, 2, 0, 0, 0, 1, (), {}, 0, 2, 0, 0, 2, 2),
    ]
    assert [one.vectors for one in held(functions["axpy"], "x86_64")] == [{}, {}, {256: 8}, {256: 2}]
    assert [one.gathers for one in held(functions["looked_up"], "x86_64")] == [32, 8]


def test_the_same_on_aarch64() -> None:
    functions = recorded("aarch64")
    assert [one.floats for one in held(functions["dot"], "aarch64")] == [16, 2]
    assert [one.vectors for one in held(functions["axpy"], "aarch64")] == [{}, {}, {128: 16}, {128: 4}]


def made(text: str) -> tuple[Function, list[Loop]]:
    """A function of lines, one byte each, and its loops."""
    lines = [line.strip() for line in text.strip().splitlines()]
    numbered, count = [], 0
    for line in lines:
        numbered.append(line if line.endswith(":") else f"{count:x}\t{line}")
        count += not line.endswith(":")
    (function,) = listing.read("\n".join(["function 1000 f", *numbered]))
    effects = loops.effects_of(function, instructions.READERS["x86_64"])
    return function, loops.loops_of(function, effects)


def test_a_loop_around_another_has_what_is_not_in_that() -> None:
    _, found = made(
        """
        nop
        .Louter:
        nop
        .Linner:
        nop
        jne .Linner
        jne .Louter
        retq
        """
    )
    assert [(loop.own, loop.is_innermost) for loop in found] == [((2, 3), True), ((1, 4), False)]


def test_blocks_that_lie_elsewhere_belong_to_their_loop() -> None:
    _, found = made(
        """
        .Lhead:
        jne .Laside
        .Lback:
        jne .Lhead
        retq
        .Laside:
        nop
        jmp .Lback
        """
    )
    assert [loop.own for loop in found] == [(0, 1, 3, 4)]


def test_a_jump_forward_and_code_that_is_never_reached_make_no_loop() -> None:
    assert made("jmp .Lend\n.Ldead:\njmp .Ldead\n.Lend:\nretq")[1] == []
    assert made("jne .Lnowhere\nretq")[1] == []


def test_a_computed_jump_may_lead_to_any_label_that_nothing_else_names() -> None:
    _, found = made(".Lhead:\njmpq *%rax\n.Lone:\njmp .Lhead\n.Lother:\nretq")
    assert [loop.own for loop in found] == [(0, 1)]


LOADS = "movq (%rdi), %rax\n"
BRANCHED = f"""
.Lhead:
{LOADS}
jne .Lshort
{5 * LOADS}
jne .Lback
{9 * LOADS}
jmp .Lback
.Lshort:
{2 * LOADS}
.Lback:
{LOADS}
jne .Lhead
retq
"""
"""A loop of three ways: with 4, 7 and 16 loads, of the 18 that are in it."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BRANCHED, [(18, 4)]),
        (BRANCHED.replace("jmp .Lback", "jmp .Lhead"), [(18, 4)]),
        (f".Lhead:\n{3 * LOADS}jne .Lhead\nretq", [(3, 3)]),
        (f".Lhead:\nvgatherdps (%rdx,%ymm4,4), %ymm6 {{%k1}}\n{LOADS}jne .Lhead\nretq", [(9, 9)]),
        (f".Lhead:\nvpscatterdq %zmm6, (%rdx,%ymm4,8) {{%k1}}\n{LOADS}jne .Lhead\nretq", [(1, 1)]),
        (f".Lhead:\n{LOADS}jne .Lback\n{LOADS}.Lback:\nnop\njne .Lhead\nretq", [(2, 1)]),
        (f".Lhead:\n{LOADS}.Linner:\n{7 * LOADS}jne .Linner\n{LOADS}jne .Lhead\nretq", [(7, 7), (2, 2)]),
        (f".Lhead:\n{LOADS}jmpq *%rax\n.Lone:\n{LOADS}jmp .Lhead\n.Lother:\nretq", [(2, 1)]),
    ],
    ids=[
        "three ways",
        "three ways, two of them back",
        "one way",
        "gathered",
        "scattered",
        "around it",
        "nested",
        "computed",
    ],
)
def test_whichever_way_a_pass_takes_it_reads_as_much_as_the_way_with_the_fewest_loads(
    text: str, expected: list[tuple[int, int]]
) -> None:
    function, _ = made(re.sub(r"\n+", "\n", text.strip()))
    assert [(one.reads, one.least_reads) for one in held(function, "x86_64")] == expected


def test_a_call_through_a_register_has_the_name_of_what_was_put_there() -> None:
    function, _ = made(
        "movabsq $_ZN7kernels4helpB2v2, %rbx\nmovabsq $NRT_incref, %rax\ncallq *%rax\ncallq *%rbx\n"
        "movq %rdi, %rbx\ncallq *%rbx"
    )
    effects = loops.effects_of(function, instructions.READERS["x86_64"])
    assert [one.calls for one in effects if one.calls] == ["NRT_incref", "_ZN7kernels4helpB2v2", "?"]


def test_in_a_function_without_end_no_loops_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "MOST_INSTRUCTIONS", 2)
    assert made(".Lhead:\nnop\nnop\njne .Lhead")[1] == []
