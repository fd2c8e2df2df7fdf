"""What an instruction does: loads, stores, jumps, and how wide its vectors are.

Owns the reading of x86-64 in AT&T's form and of AArch64, as LLVM writes both. What it does not know counts as an
instruction and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pytest_lance_autoresearch.assembly.listing import Instruction


@dataclass(frozen=True)
class Effect:
    """What one instruction does."""

    loads: bool = False
    stores: bool = False
    on_stack: bool = False
    """Its memory is the function's own stack: a value for which there was no register."""
    gathers: int = 0
    """Loads, or stores, that many entries of vectors, each from a place of its own."""
    jumps: str = ""
    """To which label; '?' where that is computed."""
    is_conditional: bool = False
    returns: bool = False
    calls: str = ""
    """What; '?' where that is computed."""
    vector_bits: int = 0
    """Computes with vectors of that width."""
    moves_bits: int = 0
    """Loads or stores a vector of that width, and does no more with it."""
    is_float: bool = False
    """Computes with one float."""
    shuffles: bool = False
    divides: bool = False


NOTHING = Effect()
Reader = Callable[[Instruction], Effect]

# x86-64

_X86_WIDTHS = {"x": 128, "y": 256, "z": 512}
_X86_REGISTER = re.compile(r"%([xyz])mm\d")
_X86_STACK = re.compile(r"\(%rsp[,)]")
_X86_READS = re.compile(r"(cmp|test|bt[lqw]?$|v?u?comis|vptest|vtest|kortest|ktest|prefetch|push|v?u?comi)")
_X86_WRITES_BACK = re.compile(
    r"(add|sub|and|or|xor|adc|sbb|inc|dec|neg|not|sh[lr]|sa[lr]|ro[lr]|xadd|xchg|cmpxchg|lock)"
)
_X86_LONE_FACTOR = re.compile(r"(i?mul|i?div)[bwlq]?$")
_X86_MOVES = re.compile(r"(v?mov(?!mskp)|v?lddqu|v?broadcast)")
_X86_WHOLE_MOVES = re.compile(r"v?mov([au]p[sd]|dq[au])|v?lddqu")
_X86_SCALAR = re.compile(r"v?(?!p)[a-z0-9]+(ss|sd|sh)z?$|v?cvt\w*(ss|sd)\w*|vfn?m\w+[123]{3}s[sd]")
_X86_ZERO = re.compile(r"v?p?xor\w* (%\w+), \1\b")
_X86_GATHER = re.compile(r"v(?:p?gather|p?scatter)[dq](ps|pd|d|q)")
_X86_MASK = re.compile(r"\s*\{[^}]*\}")
_X86_TO_SCALAR = re.compile(r"v?mov[dq]$|v?pextr|v?cvt\w+2s[id]|v?cvts[is]")
_X86_SHUFFLES = re.compile(
    r"v?(pshuf|shuf|perm|p?unpck|palignr|insert|extract|pinsr|pextr|p?broadcast|pcompress|pexpand|pmovzx|pmovsx|packs|packus)"
)


def _x86(instruction: Instruction) -> Effect:
    name, operands = instruction.mnemonic, _X86_MASK.sub("", instruction.operands)
    if name == "lock" or name.startswith("rep"):
        name = operands.split(maxsplit=1)[0] if operands else name
    if name.startswith("j"):
        return Effect(
            jumps="?" if "*" in operands else operands,
            is_conditional=not name.startswith("jmp"),
            loads="(" in operands,
        )
    if name.startswith("call"):
        return Effect(calls="?" if operands.startswith("*") else operands, loads="(" in operands)
    if name.startswith("ret"):
        return Effect(returns=True)
    loads, stores = _x86_memory(name, operands)
    widest = max((_X86_WIDTHS[letter] for letter in _X86_REGISTER.findall(operands)), default=0)
    is_float = bool(_X86_SCALAR.match(name)) and not _X86_MOVES.match(name)
    gathers = _x86_gathered(name, operands)
    is_moved = _X86_MOVES.match(name) or _X86_TO_SCALAR.match(name) or _X86_ZERO.match(f"{name} {operands}")
    return Effect(
        loads=loads and not gathers,
        stores=stores,
        on_stack=(loads or stores) and bool(_X86_STACK.search(operands)),
        gathers=gathers,
        vector_bits=0 if is_float or is_moved or gathers else widest,
        moves_bits=widest if (loads or stores) and _X86_WHOLE_MOVES.match(name) else 0,
        is_float=is_float,
        shuffles=bool(_X86_SHUFFLES.match(name)),
        divides=bool(re.match(r"i?div|v?div|v?sqrt", name)),
    )


def _x86_gathered(name: str, operands: str) -> int:
    """As many entries as the vector that is loaded or stored has."""
    found = _X86_GATHER.match(name)
    registers = _X86_REGISTER.findall(operands)
    if found is None or not registers:
        return 0
    entry = 32 if found[1] in ("ps", "d") else 64
    return min(_X86_WIDTHS[letter] for letter in registers) // entry


def _x86_memory(name: str, operands: str) -> tuple[bool, bool]:
    """Whether it loads and whether it stores: what it writes is its last operand."""
    if name.startswith(("lea", "nop", "prefetch", "endbr")) or "(" not in operands:
        return name.startswith("pop"), name.startswith("push")
    into_memory = operands.endswith(")")
    if name.startswith("push"):
        return True, True
    if not into_memory or _X86_READS.match(name) or _X86_LONE_FACTOR.match(name):
        return True, False
    return bool(_X86_WRITES_BACK.match(name)), True


# AArch64

_ARM_VECTOR = re.compile(r"\bv\d+\.(8b|4h|2s|1d|16b|8h|4s|2d)\b|\bz\d+\.[bhsd]\b")
_ARM_WHOLE = re.compile(r"\bq\d+\b|\bv\d+\.(16b|8h|4s|2d)\b")
_ARM_SCALAR = re.compile(r"\b[hsd]\d+\b")
_ARM_JUMPS = re.compile(r"(b|br|b\.\w+|cbn?z|tbn?z)$")
_ARM_SHUFFLES = re.compile(r"(tbl|tbx|zip|uzp|trn|ext|rev|dup|ins|umov|smov|xtn|ushll|sshll)")


def _arm(instruction: Instruction) -> Effect:
    name, operands = instruction.mnemonic, instruction.operands
    if _ARM_JUMPS.match(name):
        target = operands.rsplit(",", 1)[-1].strip()
        return Effect(jumps="?" if name == "br" else target, is_conditional=name not in ("b", "br"))
    if name in ("bl", "blr"):
        return Effect(calls="?" if name == "blr" else operands)
    if name == "ret":
        return Effect(returns=True)
    loads, stores = name.startswith("ld"), name.startswith("st")
    vector = _ARM_VECTOR.search(operands)
    computes = vector and not (loads or stores) and not name.startswith(("mov", "umov", "smov"))
    return Effect(
        loads=loads,
        stores=stores,
        on_stack=(loads or stores) and "[sp" in operands,
        vector_bits=0 if not vector or not computes else 64 if vector[1] in ("8b", "4h", "2s", "1d") else 128,
        moves_bits=128 if (loads or stores) and _ARM_WHOLE.search(operands) else 0,
        is_float=name.startswith("f") and not vector and bool(_ARM_SCALAR.search(operands)) and name != "fmov",
        shuffles=bool(vector and _ARM_SHUFFLES.match(name)),
        divides=bool(re.match(r"[us]div|fdiv|fsqrt", name)),
    )


READERS: dict[str, Reader] = {"x86_64": _x86, "amd64": _x86, "aarch64": _arm, "arm64": _arm}
"""By the name of the machine, in small letters."""
