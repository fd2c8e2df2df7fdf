"""Kernels that are wrong, crash, hang or break a rule: each ends as its own item's failure, with its sentence."""

from __future__ import annotations

import re

import pytest
import toys

from pytest_lance_autoresearch.kernel_side import modules, worker

ONE = "targets/toy/kernels.py::test_correctness[64x32-uniform]"
PLAIN = ("-p", "no:randomly", "-p", "no:cacheprovider", "--autoresearch-timeout=2")
RUN_AGAIN = f"run again: pytest '{ONE}' --autoresearch-timeout=2"

pytestmark = pytest.mark.usefixtures("any_source")


def failure(pytester: pytest.Pytester, text: str, *options: str) -> list[str]:
    """What is said of one case of this kernel; nothing else fails and no warning is given."""
    toys.write(pytester.path, text=text)
    result = pytester.runpytest(*PLAIN, ONE, *options)
    result.assert_outcomes(failed=1)
    start = next(i for i, line in enumerate(result.outlines) if line.startswith("___"))
    end = next(i for i, line in enumerate(result.outlines) if "short test summary" in line)
    return result.outlines[start + 1 : end]


def test_a_wrong_value(pytester: pytest.Pytester) -> None:
    said = failure(pytester, toys.kernel("result[7] += 1; result[9] = 0; return result"))
    assert re.fullmatch(
        r"64x32-uniform, published call 1 of 3: result: 2 of 2048 values differ \(bits must be equal\); "
        r"first at \[7\]: kernel 1\.\d+, reference 0\.\d+",
        said[0],
    )
    assert said[1:] == ["seed: published", RUN_AGAIN]


def test_nan_is_never_right(pytester: pytest.Pytester) -> None:
    said = failure(pytester, toys.kernel("result[:] = np.nan; return result"))
    assert "2048 of 2048 values differ (bits must be equal); first at [0]: kernel nan, reference 0." in said[0]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("return result.astype('f4')", "result: float32 of shape (2048,), expected float64 of shape (2048,)"),
        ("return result[1:]", "result: float64 of shape (2047,), expected float64 of shape (2048,)"),
        ("return 1.5", "result: float64 of shape (), expected float64 of shape (2048,)"),
    ],
)
def test_another_form(pytester: pytest.Pytester, body: str, sentence: str) -> None:
    said = failure(pytester, toys.kernel(body))
    assert said[0] == f"64x32-uniform, published call 1 of 3: {sentence}"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("return 1j", "returned a complex; expected a numpy.ndarray, a number, or a tuple of them"),
        ("return 2**63", "returned 9223372036854775808; expected whole numbers that fit 64 bits"),
        ("return None", "returned a NoneType; expected a numpy.ndarray, a number, or a tuple of them"),
        ("return list(result)", "returned a list; expected a numpy.ndarray, a number, or a tuple of them"),
        (
            "return result.view(np.recarray)",
            "returned a recarray; expected a numpy.ndarray, a number, or a tuple of them",
        ),
        ("return result.astype('c16')", "returned an array of dtype complex128; expected plain numbers"),
        ("return (result,) * 33", "returned a tuple of 33; expected 32 items at most"),
        ("return np.zeros(2**21)", "returned 16777216 bytes; there is room for 32768"),
    ],
)
def test_no_array(pytester: pytest.Pytester, body: str, sentence: str) -> None:
    assert failure(pytester, toys.kernel(body)) == [f"64x32-uniform: the kernel {sentence}", RUN_AGAIN]


def test_an_exception_is_shown_with_the_kernels_own_lines(pytester: pytest.Pytester) -> None:
    said = failure(pytester, toys.kernel("return helper(result)", "def helper(x):\n    return x[0] / nothing"))
    assert said == [
        "64x32-uniform: the kernel raised NameError: name 'nothing' is not defined, at targets/toy/kernels.py:5",
        "  targets/toy/kernels.py:15, in product: return helper(result)",
        "  targets/toy/kernels.py:5, in helper: return x[0] / nothing",
        RUN_AGAIN,
    ]


def test_a_syntax_error(pytester: pytest.Pytester) -> None:
    assert failure(pytester, "x = 1\ny = (\n") == [
        "kernels.py, while it was loaded: the kernel raised SyntaxError: '(' was never closed, "
        "at targets/toy/kernels.py:2",
        "  targets/toy/kernels.py:2: y = (",
        RUN_AGAIN,
    ]


def described(text: bytes) -> list[str]:
    """What a worker says of a source that does not load, without the place in this file that loads it."""
    try:
        modules.execute_source("demo", text, "kernels.py")
    except Exception as error:
        return [line for line in worker.describe(error).splitlines() if "execute_source" not in line]
    raise AssertionError("it loaded")


def test_a_very_long_line_is_not_shown_whole() -> None:
    assert described(b"(" * 65_536) == [
        "raised SyntaxError: too many nested parentheses, at kernels.py:1",
        f"  kernels.py:1: {'(' * 200}...",
    ]
    last = described(b"x = 1;" * 9000 + b"1 / 0")[-1]
    assert last == f"  kernels.py:1, in <module>: {('x = 1;' * 40)[:200]}..."


def test_a_fault_of_the_whole_source_is_one_of_its_first_line() -> None:
    assert described(b"# coding: no-such\n") == [
        "raised SyntaxError: unknown encoding: no-such, at kernels.py:1",
        "  kernels.py:1",
    ]
    assert described(b"x = " + b"-" * 100_000 + b"1")[0].startswith("raised ")


def test_the_place_stands_behind_the_first_of_several_lines() -> None:
    assert described(b"raise ValueError('one\\ntwo')\n") == [
        "raised ValueError: one, at kernels.py:1",
        "two",
        "  kernels.py:1, in <module>: raise ValueError('one\\ntwo')",
    ]
    assert described(b"import json\njson.loads('')\n")[0].endswith("(char 0), at kernels.py:2")
    assert described(b"exec('1 / 0')\n") == [
        "raised ZeroDivisionError: division by zero, at kernels.py:1",
        "  kernels.py:1, in <module>: exec('1 / 0')",
    ]


def test_a_source_that_is_nested_too_deep_ends_no_session(pytester: pytest.Pytester) -> None:
    said = failure(pytester, f"x = {'+'.join('1' * 4000)}\n")
    assert said[0].startswith("kernels.py, while it was loaded: the kernel raised RecursionError: ")
    assert said[1:] == [RUN_AGAIN]


def test_a_missing_name(pytester: pytest.Pytester) -> None:
    said = failure(pytester, "x = 1\n")
    assert said[0] == (
        "64x32-uniform, while it was bound: the kernel raised AttributeError: "
        "module 'kernels' has no attribute 'Kernel', at targets/toy/target.py:8"
    )


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("os._exit(0)", "exit code 0"),
        ("os._exit(3)", "exit code 3"),
        ("os.kill(os.getpid(), 9)", "signal SIGKILL"),
    ],
)
def test_the_end_of_its_process_is_a_failure(pytester: pytest.Pytester, code: str, how: str) -> None:
    said = failure(pytester, toys.kernel(f"{code}; return result", "import os"))
    assert said == [f"64x32-uniform: the kernel's process ended ({how}) instead of answering", RUN_AGAIN]


def test_a_segmentation_fault_shows_its_line(pytester: pytest.Pytester) -> None:
    said = failure(pytester, toys.kernel("ctypes.string_at(0)\nreturn result", "import ctypes"))
    assert said[0] == "64x32-uniform: the kernel's process ended (signal SIGSEGV) instead of answering"
    assert any(re.search(r"toy/kernels.py\", line 14 in product", line) for line in said)


@pytest.mark.parametrize("code", ["sys.exit(0)", "raise KeyboardInterrupt", "raise SystemExit"])
def test_exceptions_that_end_programs_end_nothing(pytester: pytest.Pytester, code: str) -> None:
    said = failure(pytester, toys.kernel(f"{code}\nreturn result", "import sys"))
    assert re.match(r"64x32-uniform: the kernel raised (SystemExit|KeyboardInterrupt)", said[0])


def test_a_kernel_that_never_returns_is_ended_and_its_line_shown(pytester: pytest.Pytester) -> None:
    said = failure(pytester, toys.kernel("while True:\n    pass"))
    assert said[0] == "64x32-uniform: the kernel did not answer within 2 s and was ended"
    assert any('toy/kernels.py", line 1' in line for line in said)


def test_a_kernel_that_does_not_hear_that_it_is_late_is_ended_by_the_parent(pytester: pytest.Pytester) -> None:
    code = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\nwhile True:\n    pass"
    said = failure(pytester, toys.kernel(code, "import signal"))
    assert said == ["64x32-uniform: the kernel did not answer within 2 s and was ended", RUN_AGAIN]


def test_a_hang_at_import_is_ended_too(pytester: pytest.Pytester) -> None:
    said = failure(pytester, "while True:\n    pass\n")
    assert said[0] == "kernels.py, while it was loaded: the kernel did not answer within 2 s and was ended"


def test_a_thread_is_refused(pytester: pytest.Pytester) -> None:
    setup = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    said = failure(pytester, toys.kernel("return result", setup))
    assert said == [
        "kernels.py, while it was loaded: the kernel started a thread; one thread is the rule",
        RUN_AGAIN,
    ]


def test_printing_disturbs_nothing(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path, text=toys.kernel("print('noise' * 10_000, flush=True); return result"))
    result = pytester.runpytest(*PLAIN, ONE, "-s")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*noise*")


def test_a_kernel_may_reuse_and_return_its_own_buffers(pytester: pytest.Pytester) -> None:
    body = "self.buffer = getattr(self, 'buffer', result); self.buffer[:] = result; return self.buffer"
    toys.write(pytester.path, text=toys.kernel(body))
    pytester.runpytest(*PLAIN, "-k", "64x32").assert_outcomes(passed=8, deselected=16)


def test_what_a_kernel_writes_into_its_arguments_reaches_nobody(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path, text=toys.kernel("x[:] = 0; return result"))
    pytester.runpytest(*PLAIN, "-k", "64x32").assert_outcomes(passed=8, deselected=16)


def test_a_large_argument_must_not_be_changed(pytester: pytest.Pytester) -> None:
    toys.write(
        pytester.path,
        text=toys.kernel("x[0] += 1; return result"),
        inputs=toys.INPUTS.replace("Shape(64, 32)", "Shape(64, 320)"),
    )
    result = pytester.runpytest(*PLAIN, "-k", "correctness and 64x320-uniform")
    result.stdout.fnmatch_lines(["64x320-uniform: the kernel changed its argument 0"])


def test_an_output_argument_may_be_returned(pytester: pytest.Pytester) -> None:
    toys.write(
        pytester.path,
        text=toys.KERNEL.replace("(self, x)", "(self, x, out)").replace(
            "return result", "out[:] = result; return out"
        ),
        reference=toys.REFERENCE.replace("(self, x)", "(self, x, out)"),
        inputs=toys.INPUTS.replace("(64, 32)", "(640, 32)").replace(
            "state.weights.size),)", "state.weights.size), np.full(state.weights.size, np.nan))"
        ),
    )
    pytester.runpytest(*PLAIN, "-k", "uniform").assert_outcomes(passed=6, deselected=18)


def test_after_three_ends_the_rest_is_not_run(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path, text=toys.kernel("os._exit(0)", "import os"))
    result = pytester.runpytest(*PLAIN)
    result.assert_outcomes(failed=toys.ITEMS)
    result.stdout.fnmatch_lines(
        [
            "not run: the kernel's process ended 3 times already; first: 64x32-uniform: the kernel's process "
            "ended (exit code 0) instead of answering"
        ]
    )


def test_after_one_hang_the_rest_is_not_run(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path, text=toys.kernel("while True:\n    pass"))
    result = pytester.runpytest(*PLAIN, "-k", "64x32")
    result.assert_outcomes(failed=8, deselected=16)
    late = "64x32-uniform: the kernel did not answer within 2 s and was ended"
    assert result.outlines.count(f"not run: the kernel ran out of time already: {late}") == 7


def test_an_edit_within_the_same_second_is_what_runs(pytester: pytest.Pytester) -> None:
    folder = toys.write(pytester.path)
    pytester.runpytest(*PLAIN, ONE).assert_outcomes(passed=1)
    (folder / "kernels.py").write_text(toys.KERNEL.replace("np.multiply", "np.subtract"))
    pytester.runpytest(*PLAIN, ONE).assert_outcomes(failed=1)
    assert not list(folder.glob("__pycache__"))


def test_a_secret_seed_is_named_and_can_be_replayed(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path, text=toys.kernel("result[0] += 1; return result"))
    speed = ONE.replace("correctness", "speed")
    result = pytester.runpytest(*PLAIN, speed)
    seed = next(line.removeprefix("seed: ") for line in result.outlines if line.startswith("seed: "))
    result.stdout.fnmatch_lines(
        [f"run again: pytest '{speed.replace('[', '[[]')}' --autoresearch-timeout=2 --autoresearch-seed={seed}"]
    )
    first = next(line for line in result.outlines if "first at" in line)
    again = pytester.runpytest(*PLAIN, speed, f"--autoresearch-seed={seed}")
    assert first.startswith("64x32-uniform, warm-up call: result: 1 of 2048 values differ")
    assert first in again.outlines  # the same call, the same numbers


def test_the_same_call_has_the_same_answer(pytester: pytest.Pytester) -> None:
    """Each answer is within the limit, and the second one to the same call is another."""
    check = "def check(actual, expected, call):\n    assert abs(actual - expected).max() < 1e-9\n"
    text = toys.kernel("ticks.append(0); result[3] += 1e-12 * len(ticks); return result", "ticks = []")
    toys.write(pytester.path, text=text, target=f"{toys.TARGET}\n\n{check}")
    result = pytester.runpytest(*PLAIN, ONE)
    result.stdout.fnmatch_lines(
        ["64x32-uniform, published call 1 of 3: asked once more, the kernel answered with other bits"]
    )


BEYOND = """
@numba.njit()
def last(values):
    total = 0.0
    for i in range(values.size + 1):
        total += values[i] * (i < values.size)
    return total
"""


@pytest.mark.slow
def test_a_trial_finds_an_index_outside_its_array(pytester: pytest.Pytester) -> None:
    """What lies behind the array does not change this answer, so that no comparison can find it."""
    text = toys.kernel("last(x); return result", f"import numba\n{BEYOND}")
    toys.write(pytester.path, text=text)
    plain = pytester.runpytest(*PLAIN, ONE)
    plain.assert_outcomes(passed=1)
    named = pytester.runpytest(*PLAIN, "--autoresearch=toy", "-x")
    named.stdout.fnmatch_lines(
        ["64x32-uniform: the kernel raised IndexError: index is out of bounds, at targets/toy/kernels.py:22"]
    )


def test_in_process_a_kernels_own_traceback_and_breakpoint_are_seen(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path, text=toys.kernel("return result / nothing"))
    result = pytester.runpytest(*PLAIN, ONE, "--autoresearch-in-process")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["targets/toy/kernels.py:14: NameError", ">*return result / nothing"][::-1])


def test_in_process_everything_else_passes(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path)
    pytester.runpytest(*PLAIN, "--autoresearch-in-process").assert_outcomes(passed=toys.ITEMS)


def test_properties_shrink_what_fails(pytester: pytest.Pytester) -> None:
    properties = """
def properties():
    import numpy as np
    from hypothesis import strategies as st
    import inputs

    def example(size):
        return inputs.State(np.ones(size)), (np.ones(size),)

    return st.integers(1, 50).map(example)
"""
    text = toys.kernel("result[12:13] = 0; return result")
    toys.write(pytester.path, text=text, target=f"import inputs\n{toys.TARGET}{properties}")
    result = pytester.runpytest(*PLAIN, "-k", "properties")
    result.stdout.fnmatch_lines(
        [
            "properties, on State(weights=float64[[]13]) and the call (float64[[]13]): result: 1 of 13 values "
            "differ (bits must be equal); first at [[]12]: kernel 0, reference 1",
            "seed: published",
        ]
    )


def test_a_fault_of_the_oracle_is_the_targets_not_the_kernels(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path, reference=toys.REFERENCE.replace("* x", "* y"))
    result = pytester.runpytest(*PLAIN, ONE)
    result.stdout.fnmatch_lines(["target 'toy': reference.py, line 7, raised NameError: name 'y' is not defined"])
