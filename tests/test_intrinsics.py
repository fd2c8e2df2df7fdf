"""Intrinsics of a kernel's own: what they may use, and that both of its branches are checked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import toys
from fake_measuring import Lab, first, installed

from pytest_lance_autoresearch.errors import KernelIncorrect, TargetError
from pytest_lance_autoresearch.target_files import contract, discover, intrinsics, load, policy

ROOT = Path(__file__).resolve().parent.parent
SIMD = ROOT / "targets" / "_simd" / "kernels.py"
TARGET = f"INTRINSICS = True\n{toys.TARGET}"
HEAD = "from llvmlite import ir\nfrom numba import types\nfrom numba.extending import intrinsic\n"
LINE = HEAD.count("\n") + 1
NO_SYMBOLS = "an intrinsic reaches no symbols, no code and no Python"
NO_INTRINSIC = "uses '.declare_intrinsic' for what is no intrinsic; expected a plain string, 'llvm.' and more"
MACHINE = "a kernel reads no clocks, no stack and no registers by their names"
NO_TEXT = "expected numbers, since text would be taken for code"
OF_IR = (
    "of 'llvmlite.ir' a kernel may use ArrayType, Constant, DoubleType, FloatType, FunctionType, HalfType, "
    "IntType, LiteralStructType, PointerType, Undefined, VectorType, VoidType"
)


def violation(text: str) -> str:
    modules = (*policy.MODULES, intrinsics.MODULE)
    return policy.violation(f"{HEAD}{text}".encode(), modules, has_intrinsics=True)


# What its source may contain


def test_the_pattern_is_for_targets_that_say_so() -> None:
    said = load.load(discover.inspect(SIMD.parent))
    assert said.has_intrinsics
    assert policy.violation_of(said) == ""
    may = ", ".join(policy.MODULES[1:])
    assert policy.violation(SIMD.read_bytes()) == (
        f"kernels.py, line 6: imports 'llvmlite.ir'; a kernel may import {may}"
    )
    may = f"{may}, llvmlite.ir"
    assert policy.violation(b"import llvmlite", (*policy.MODULES, intrinsics.MODULE), has_intrinsics=True) == (
        f"kernels.py, line 1: imports 'llvmlite'; a kernel may import {may}"
    )


@pytest.mark.parametrize(
    "text",
    [
        "import llvmlite.ir as i\ni.Constant(i.IntType(8), 3)",
        "from llvmlite.ir import VectorType",
        "def codegen(context, builder, signature, arguments):\n    return builder.add(*arguments)",
        'builder.call(builder.module.declare_intrinsic("llvm.ctpop", [kind]), [x])',
        'context.codegen().magic_tuple()[2].split(",")',
        "context.make_array(signature.args[0])(context, builder, arguments[0]).data",
    ],
)
def test_what_computes_may_be_used(text: str) -> None:
    assert violation(text) == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("from llvmlite import binding", "imports 'llvmlite.binding'; a kernel may import "),
        ("import llvmlite.ir\nllvmlite.binding.load_library", "uses 'llvmlite.binding'; of 'llvmlite' a"),
        ("ir.InlineAsm(kind, 'rdtsc', '')", f"uses 'llvmlite.ir.InlineAsm'; {OF_IR}"),
        ("ir.Function(module, kind, 'clock')", f"uses 'llvmlite.ir.Function'; {OF_IR}"),
        ("from llvmlite.ir import Function", f"imports 'llvmlite.ir.Function'; {OF_IR}"),
        ("from llvmlite.ir import *", "imports all of 'llvmlite.ir'; expected the names that are used"),
        ("from numba.extending import lower_builtin", "imports 'numba.extending.lower_builtin'; of 'numba.ext"),
        ("types.ExternalFunction", "uses 'numba.types.ExternalFunction'; of 'numba.types' a kernel may use "),
        ("builder.module.declare_intrinsic('clock', (), kind)", NO_INTRINSIC),
        ("builder.module.declare_intrinsic(name, (), kind)", NO_INTRINSIC),
        ("builder.module.declare_intrinsic(f'llvm.{name}', (), kind)", NO_INTRINSIC),
        ("declare = builder.module.declare_intrinsic", NO_INTRINSIC),
        ("module = builder.module", f"uses '.module'; {NO_SYMBOLS}"),
        ("builder.function.args", f"uses '.function'; {NO_SYMBOLS}"),
        ("builder.asm(kind, 'rdtsc', '', [], True)", f"uses '.asm'; {NO_SYMBOLS}"),
        ("builder.inttoptr(address, kind)", f"uses '.inttoptr'; {NO_SYMBOLS}"),
        ("context.get_python_api(builder)", f"uses '.get_python_api'; {NO_SYMBOLS}"),
        ("context.codegen().create_library('x')", f"uses '.codegen'; {NO_SYMBOLS}"),
        ("context.call_external_function(builder, a, b, c)", f"uses '.call_external_function'; {NO_SYMBOLS}"),
        ("context.add_dynamic_addr(builder, 1, 'x')", f"uses '.add_dynamic_addr'; {NO_SYMBOLS}"),
        ("context.printf(builder, 'x')", f"uses '.printf'; {NO_SYMBOLS}"),
        ("b.module.declare_intrinsic('llvm.readcyclecounter', ())", f"uses 'llvm.readcyclecounter'; {MACHINE}"),
        ("builder.module.declare_intrinsic('llvm.x86.rdtscp', ())", f"uses 'llvm.x86.rdtscp'; {MACHINE}"),
        ("ir.Constant(kind, 'ptrtoint (ptr @clock to i64)')", f"gives text to 'llvmlite.ir.Constant'; {NO_TEXT}"),
        ("ir.Constant(kind, f'{name}')", f"gives text to 'llvmlite.ir.Constant'; {NO_TEXT}"),
        ("ir.Constant(kind, constant='@clock')", f"gives text to 'llvmlite.ir.Constant'; {NO_TEXT}"),
        ("ir.IntType('64')", f"gives text to 'llvmlite.ir.IntType'; {NO_TEXT}"),
    ],
)  # fmt: skip
def test_what_reaches_beyond_the_kernel_is_refused(text: str, sentence: str) -> None:
    assert violation(text).startswith(f"kernels.py, line {LINE + text.count(chr(10))}: {sentence}")


def test_without_intrinsics_such_names_are_a_kernels_own() -> None:
    assert (
        policy.violation(b"class A:\n    def f(self): return self.module, self.parent.asm, self.function()") == ""
    )


@pytest.mark.parametrize("value", ["1", "'True'", "None"])
def test_intrinsics_is_true_or_false(tmp_path: Path, value: str) -> None:
    target = load.load(discover.inspect(toys.write(tmp_path, target=f"INTRINSICS = {value}\n{toys.TARGET}")))
    with pytest.raises(TargetError) as raised:
        contract.cases_of(target)
    assert str(raised.value) == (
        f"target 'toy': target.INTRINSICS is {value}; expected True where the kernel uses intrinsics of its own"
    )


# Both branches


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return installed(tmp_path, monkeypatch)


def test_a_case_and_the_properties_are_checked_once_more_for_any_processor(lab: Lab) -> None:
    trial = lab.begin(target=TARGET, gate=True)
    trial.check_case(trial.cases[0])
    trial.check_case(trial.cases[1])
    assert [process.is_portable for process in lab.processes] == [False, True]
    assert [process.checks_bounds for process in lab.processes] == [True, True]
    keys = [key for key, _ in lab.windows]
    assert [keys.count(case.id) for case in trial.cases[:2]] == [4, 4]
    assert [calls[0][0].tolist() for _, calls in lab.windows[:2]] == [
        calls[0][0].tolist() for _, calls in lab.windows[2:4]
    ]


def test_a_target_without_intrinsics_is_checked_once(lab: Lab) -> None:
    trial = lab.begin(gate=True)
    trial.check_case(first(trial))
    assert [process.is_portable for process in lab.processes] == [False]


def test_what_a_tournament_chooses_from_is_checked_on_this_processor_only(lab: Lab) -> None:
    """Its final checks both branches, as any trial does."""
    trial = lab.begin(target=TARGET, gate=True, is_entry=True)
    trial.check_case(first(trial))
    assert [process.is_portable for process in lab.processes] == [False]


def test_a_wrong_branch_for_any_processor_is_told_as_such(lab: Lab) -> None:
    trial = lab.begin(target=TARGET)
    case = first(trial)
    lab.failing[case.id, 2] = KernelIncorrect(f"{case.id}: 3 of 4 values differ\nand more")
    with pytest.raises(KernelIncorrect) as raised:
        trial.check_case(case)
    where = "(in the portable branch: numba compiled for any processor, NUMBA_CPU_NAME=generic)"
    assert str(raised.value) == f"{case.id}: 3 of 4 values differ {where}\nand more"
    assert trial.failures == [raised.value]


BRANCHES = """
import sys
import numpy as np
sys.path.insert(0, {folder!r})
import kernels
rng = np.random.default_rng(7)
values = rng.permutation(256)[:64].astype(np.uint8)
table = kernels.Table(values)
for n in (0, 1, 63, 64, 65, 1000):
    codes = rng.integers(0, 64, n, np.uint8)
    assert np.array_equal(table.look_up(codes), values[codes]), n
from llvmlite import binding
has = "avx512vbmi" in [name for name, there in binding.get_host_cpu_features().items() if there]
print(has, table._look_up.py_func.__name__)
"""


@pytest.mark.parametrize(("told", "branch"), [({}, ""), ({"NUMBA_CPU_NAME": "generic"}, "_one_by_one")])
def test_the_pattern_is_right_in_the_branch_of_its_processor(told: dict[str, Any], branch: str) -> None:
    code = BRANCHES.format(folder=str(SIMD.parent))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=told)
    assert done.returncode == 0, done.stderr
    has, taken = done.stdout.split()
    assert taken == (branch or {"True": "_by_vectors", "False": "_one_by_one"}[has])
