"""Arrays at guard pages: what is handed over, what comes back, and how a kernel ends that goes beyond one."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import toys
import workers

from pytest_lance_autoresearch.bench.process import KernelProcess
from pytest_lance_autoresearch.errors import KernelCrashed
from pytest_lance_autoresearch.kernel_side import guard
from pytest_lance_autoresearch.target_files import contract, discover, generate, load
from pytest_lance_autoresearch.target_files.load import Target

# What is handed over


class Nested(NamedTuple):
    """Of what states are made."""

    name: str
    parts: list[Any]


@dataclass
class Plain:
    """A state may be an object of any class."""

    array: np.ndarray[Any, Any]
    empty: np.ndarray[Any, Any]


def state() -> Nested:
    twice = np.arange(5, dtype=np.int16)
    columns = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    return Nested("n", [Plain(twice, np.zeros((2, 0), np.float32)), (columns, {"of": twice}), 7, np.float16(0.5)])


def test_a_copy_has_the_same_values_and_nothing_of_the_original() -> None:
    original = state()
    copy = guard.guarded(original)
    assert (type(copy), copy.name, copy.parts[2], copy.parts[3]) == (Nested, "n", 7, 0.5)
    assert copy.parts[0].array.tolist() == [0, 1, 2, 3, 4]
    assert copy.parts[0].array is copy.parts[1][1]["of"]
    assert (copy.parts[0].empty.shape, copy.parts[0].empty.dtype) == ((2, 0), np.float32)
    assert copy.parts[1][0].tolist() == original.parts[1][0].tolist()
    copy.parts[0].array[:] = 9
    assert original.parts[0].array.tolist() == [0, 1, 2, 3, 4]


TOUCHED = """
import ctypes, sys
import numpy as np
import test_guard
from pytest_lance_autoresearch.kernel_side import guard

state = guard.guarded(test_guard.state())
seen = []
arguments = np.arange(3, dtype=np.uint8), np.zeros(0), np.zeros(70000)
guard.Guarded(lambda *given: seen.extend(given))(*arguments)
plain, (columns, _), *_ = state.parts
arrays = dict(state=plain.array, empty=plain.empty, columns=columns, small=seen[0], none=seen[1], large=seen[2])
array = arrays[sys.argv[1]]
place = ctypes.c_uint8.from_address(array.ctypes.data + array.nbytes + int(sys.argv[2]))
if sys.argv[3] == "write":
    place.value = 1
print("touched", place.value)
"""


def touched(which: str, place: int, how: str) -> subprocess.CompletedProcess[str]:
    """A process that reads or writes a byte, counted from behind an array's last."""
    return subprocess.run(
        [sys.executable, "-c", TOUCHED, which, str(place), how],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("how", ["read", "write"])
@pytest.mark.parametrize("which", ["state", "empty", "columns", "small", "none", "large"])
def test_the_byte_behind_an_array_can_be_neither_read_nor_written(which: str, how: str) -> None:
    assert touched(which, 0, how).returncode in (-signal.SIGSEGV, -signal.SIGBUS)


@pytest.mark.parametrize("which", ["state", "columns", "small", "large"])
def test_its_last_byte_can(which: str) -> None:
    assert touched(which, -1, "write").stdout == "touched 1\n"


# What comes back


def test_the_caller_finds_what_the_kernel_left_in_its_arguments() -> None:
    def kernel(x: Any, count: int) -> int:
        x += 1
        return count

    own = np.arange(3)
    assert guard.Guarded(kernel)(own, 5) == 5
    assert own.tolist() == [1, 2, 3]


def test_an_argument_that_is_returned_is_the_caller_s() -> None:
    first, second = np.arange(3), np.arange(70_000)
    assert guard.Guarded(lambda a, _: a)(first, second) is first
    one, number, other = guard.Guarded(lambda a, b: (b, 4, a))(first, second)
    assert (one is second, number, other is first) == (True, 4, True)
    part = guard.Guarded(lambda a, _: a[1:])(first, second)
    assert part.tolist() == [1, 2]


def test_an_address_tells_nothing_of_a_call() -> None:
    """Arguments of one size lie at one place, as they do where nothing is guarded."""
    seen: list[int] = []
    guarded = guard.Guarded(lambda x: seen.append(x.ctypes.data))
    for value in range(3):
        guarded(np.full(100, value))
    guarded(np.zeros(1000))
    guarded(np.zeros(100))
    assert len(set(seen[:3])) == 1
    assert seen[3] + 8000 == seen[4] + 800


# A kernel's process

BEYOND = (
    "the kernel's process ended (signal SIGSEGV) instead of answering; it probably read or "
    "wrote past the end of an array, where a guard page lies while answers are checked"
)
PEEK = "import ctypes\n\n\ndef peek(a):\n    return ctypes.c_uint8.from_address(a.ctypes.data + a.nbytes)\n\n"
LARGE = toys.INPUTS.replace("Shape(64, 32)", "Shape(256, 64)")
"""Its first shape has arguments of 128 KiB, which are read where they lie."""


def target(folder: Path, body: str, inputs: str = toys.INPUTS) -> Target:
    text = toys.kernel(f"{body}\nreturn result", PEEK)
    return load.load(discover.inspect(toys.write(folder, text=text, inputs=inputs)))


def asked(process: KernelProcess, target: Target) -> tuple[Any, Any]:
    """The answer to a call of the first case, and the right one."""
    case = contract.cases_of(target)[0]
    state = generate.make_state(target, case, 1)
    (call,) = generate.Feed(target, case, state, 1, "check").draw(1)
    process.bind(case.id, generate.pickled(target, state))
    return process.run(case.id, [call], 2 * call[0].nbytes)[0], state.weights * call[0]


@pytest.mark.parametrize("inputs", [toys.INPUTS, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("body", ["peek(x).value", "peek(self.weights).value", "peek(x).value = 1"])
def test_a_kernel_that_goes_beyond_an_array_is_ended_where_bounds_are_checked(
    tmp_path: Path, body: str, inputs: str
) -> None:
    toy = target(tmp_path, body, inputs)
    with closing(workers.started(toy, checks_bounds=True)) as process:
        with pytest.raises(KernelCrashed) as raised:
            asked(process, toy)
        assert str(raised.value).splitlines()[0].endswith(BEYOND)
        assert "kernels.py" in str(raised.value)
        assert "guard.py" not in str(raised.value)


def test_where_bounds_are_not_checked_it_is_not(tmp_path: Path) -> None:
    """It finds what happens to lie there, and nobody sees it."""
    toy = target(tmp_path, "peek(x).value")
    with closing(workers.started(toy)) as process:
        answer, right = asked(process, toy)
        assert answer.tolist() == right.tolist()


@pytest.mark.parametrize("inputs", [toys.INPUTS, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("body", ["", "np.copyto(x, result)\nresult = x"], ids=["a result", "an output argument"])
def test_one_that_stays_within_its_arrays_is_answered_the_same(tmp_path: Path, body: str, inputs: str) -> None:
    toy = target(tmp_path, body, inputs)
    with closing(workers.started(toy, checks_bounds=True)) as process:
        answer, right = asked(process, toy)
        assert answer.tolist() == right.tolist()


LOADS = '''import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def sixteen(typingctx, array, place):
    """The last of the 16 bytes from a place on, which are loaded as one vector."""

    def codegen(context, builder, signature, arguments):
        held = context.make_array(signature.args[0])(context, builder, arguments[0])
        start = builder.gep(held.data, [arguments[1]])
        vector = ir.VectorType(ir.IntType(8), 16)
        loaded = builder.load(builder.bitcast(start, vector.as_pointer()), align=1)
        return builder.zext(builder.extract_element(loaded, ir.Constant(ir.IntType(32), 15)), ir.IntType(64))

    return types.int64(array, place), codegen


@numba.njit
def last(raw, room):
    return sixteen(raw, raw.size - room)


class Kernel:
    def __init__(self, weights):
        self.weights = weights

    def product(self, x):
        last(x.view(np.uint8), {room})
        return self.weights * x
'''


@pytest.mark.parametrize("room", [16, 8])
def test_a_vector_that_is_loaded_half_behind_an_argument_is_refused(pytester: pytest.Pytester, room: int) -> None:
    """No byte behind it changes an answer, so that no comparison tells."""
    toys.write(pytester.path, text=LOADS.replace("{room}", str(room)), target=f"INTRINSICS = True\n{toys.TARGET}")
    result = pytester.runpytest_inprocess(*toys.GATE, "-x")
    assert (BEYOND in result.stdout.str()) is (room == 8)
    assert int(result.ret) == (0 if room == 16 else 1)
