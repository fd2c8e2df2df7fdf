"""The self-test: it sees targets that find nothing or refuse honest kernels, and clears the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toys

from pytest_lance_autoresearch.records import Progress, Step
from pytest_lance_autoresearch.runs import standins
from pytest_lance_autoresearch.runs.selftest import NAMES, Selftest
from pytest_lance_autoresearch.target_files import contract, discover, load

PLAIN = ("-p", "no:randomly", "-p", "no:cacheprovider", "--autoresearch-selftest", "--autoresearch=toy", "-v")
BLIND = toys.TARGET + "\n\ndef check(actual, expected, call):\n    pass\n"
STRICT = """
def check(actual, expected, call):
    assert actual.tobytes() == expected[0].tobytes(), "not these bits"
"""
IN_FLOAT64 = toys.REFERENCE.replace("self.weights * x", "self.weights * x, 0.0")
FORGETS_SHAPE = """
def check(actual, expected, call):
    if expected.size != 64 * 32:
        assert actual.tobytes() == expected.tobytes(), "not these bits"
"""


def findings(pytester: pytest.Pytester, **changed: str) -> dict[str, str]:
    """What each item is shown with, by its stand-in; '' for one that was skipped."""
    toys.write(pytester.path, **changed)
    lines = pytester.runpytest_inprocess(*PLAIN).outlines
    shown = {}
    for line in lines:
        head, bracket, tail = line.partition("] ")
        if bracket and head.startswith("targets/toy/kernels.py::test_selftest["):
            finding, _, _ = tail.rpartition(" [")
            shown[head.partition("[")[2]] = "" if finding.startswith("SKIPPED") else finding.strip()
    return shown


def test_a_good_target_catches_every_wrong_kernel_and_accepts_every_honest_one(pytester: pytest.Pytester) -> None:
    shown = findings(pytester)
    assert tuple(shown) == NAMES
    assert shown.pop("wrong-ids_in_order") == ""  # no result is made of whole numbers
    of_two_shapes = shown.pop("wrong-largest_shape_only")
    assert of_two_shapes == "caught on 8 of 10 cases"  # of "zeros", zeros are right
    wrong = {finding for name, finding in shown.items() if name.startswith("wrong-")}
    assert wrong <= {"caught on 15 of 15 cases", "caught on 12 of 15 cases"}
    assert {shown[f"honest-{name}"] for name in standins.HONEST} == {"accepted on 15 of 15 cases"}


def test_a_target_whose_every_bit_counts_has_no_honest_fastmath(pytester: pytest.Pytester) -> None:
    """Its kernel sums compiled; another order is another result there, and a wrong one."""
    summing = """
import numba

@numba.njit
def product(weights, x):
    total = 0.0
    for i in range(len(weights)):
        total += weights[i] * x[i]
    return weights * total

class Kernel:
    def __init__(self, weights):
        self.weights = weights

    def product(self, x):
        return product(self.weights, x)
"""
    reference = summing.replace("import numba", "").replace("@numba.njit", "")
    shown = findings(pytester, text=summing, reference=reference)
    assert shown["honest-fastmath"].startswith("REFUSED on ")
    shown = findings(pytester, text=summing, reference=reference, target="BIT_EXACT = True\n" + toys.TARGET)
    assert shown["honest-fastmath"] == ""
    assert shown["honest-kernel"] == "accepted on 15 of 15 cases"


def test_a_target_that_checks_nothing_catches_none(pytester: pytest.Pytester) -> None:
    shown = findings(pytester, target=BLIND)
    for name in standins.WRONG:
        if name != "ids_in_order":
            assert shown[f"wrong-{name}"] == "NOT caught on any case of 64x32, 128x32, 129x31"
    assert shown["wrong-largest_shape_only"] == "NOT caught on any case of 128x32, 129x31"
    assert shown["honest-kernel"] == "accepted on 15 of 15 cases"


def test_a_shape_on_which_nothing_is_found_is_named(pytester: pytest.Pytester) -> None:
    shown = findings(pytester, target=toys.TARGET + FORGETS_SHAPE)
    assert shown["wrong-zeros"] == shown["wrong-tail"] == "NOT caught on any case of 64x32"


def test_a_limit_that_refuses_an_honest_kernel_shows_its_sentence(pytester: pytest.Pytester) -> None:
    exact_reference = IN_FLOAT64.replace("self.weights * x", "np.float64(self.weights * x * (1 + 1e-15))")
    shown = findings(pytester, target=toys.TARGET + STRICT, reference="import numpy as np\n" + exact_reference)
    assert shown["honest-float64"] == "accepted on 15 of 15 cases"
    assert shown["honest-kernel"] == (
        "REFUSED on 12 of 15 cases; first: 64x32-uniform, call 1 of 3: not these bits"
    )


def test_the_fault_is_one_sentence_and_the_exit_code_1(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path, target=BLIND)
    result = pytester.runpytest_inprocess(*PLAIN, "-k", "zeros")
    result.stdout.fnmatch_lines(["target 'toy': wrong-zeros is NOT caught on any case of 64x32, 128x32, 129x31"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_kernel_that_does_not_run_is_the_kernel_s_fault(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path, text=toys.kernel("raise ValueError('no')"))
    result = pytester.runpytest_inprocess(*PLAIN, "-k", "zeros")
    result.stdout.fnmatch_lines(["64x32-uniform: the kernel raised ValueError: no, at targets/toy/kernels.py:14"])


@pytest.mark.parametrize("other", ["--keep-gate", "--autoresearch-calibrate", "--autoresearch-in-process"])
def test_it_is_a_run_of_its_own(pytester: pytest.Pytester, other: str) -> None:
    toys.write(pytester.path)
    result = pytester.runpytest_inprocess(*PLAIN, other)
    assert result.ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (
            toys.INPUTS.replace(
                "rng.random(shape.rows", "(np.random if distribution == 'large' else rng).random(shape.rows"
            ),
            "make_state gave another state for the same rng on 64x32-large",
        ),
        (
            toys.INPUTS + "\n\ndef make_hidden_state(*_):\n    return State(np.random.rand(9))\n",
            "make_hidden_state gave another state for the same rng on 64x32-uniform",
        ),
    ],
)
def test_a_state_of_the_smallest_shape_that_cannot_be_made_again_is_found(
    pytester: pytest.Pytester, inputs: str, said: str
) -> None:
    toys.write(pytester.path, inputs=inputs)
    result = pytester.runpytest_inprocess(*PLAIN, "-k", "zeros")
    rest = "expected every random number to come from its argument rng"
    result.stdout.fnmatch_lines([f"target 'toy': inputs.{said}; {rest}"])


def test_without_names_it_tries_every_target(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path, "one")
    toys.write(pytester.path, "_pattern")
    pytester.makepyfile("def test_other(): assert False")
    result = pytester.runpytest_inprocess("--autoresearch-selftest", "-k", "zeros")
    result.assert_outcomes(passed=2)


def test_fastmath_reaches_every_form_of_the_decorator() -> None:
    text = b"import numba\nfrom numba import njit\n@njit\ndef a(): pass\n@njit()\ndef b(): pass\n"
    text += b"@numba.njit(fastmath=False, inline='always')\ndef c(): pass\n@other\ndef d(): pass\n"
    faster = standins.with_fastmath(text).decode()
    assert faster.count("fastmath=True") == 3
    assert "inline='always', fastmath=True" in faster
    assert "@other\n" in faster


def test_fastmath_leaves_everything_else_as_it_is() -> None:
    long = " + ".join(["v[0]"] * 900)
    text = f"# coding: latin-1\r\nN = '\xe9', 0x{'f' * 5000}  # \xe9\r\nclass A:\r\n    @njit(\r\n    )\r\n"
    text += f"    def f(v): return {long}\r\n"
    expected = "# coding: utf-8\n" + text.replace("(\r\n    )", "(fastmath=True)").replace("\r\n", "\n")
    assert standins.with_fastmath(text.encode("latin-1")).decode() == expected


def test_a_kernel_that_does_not_load_is_the_kernel_s_fault(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path, text="x = (\n")
    result = pytester.runpytest_inprocess(*PLAIN, "-k", "zeros")
    result.stdout.fnmatch_lines(
        [
            "kernels.py, while it was loaded: the kernel raised SyntaxError: '(' was never closed, "
            "at targets/toy/kernels.py:1"
        ]
    )


def test_only_floating_point_numbers_get_coarser() -> None:
    state = toys_state = (np.arange(3), "name", [np.array([0.1, 1e9], np.float32)])
    coarse = standins.coarser(toys_state)
    assert coarse[0] is state[0]
    assert coarse[2][0].dtype == np.float32
    assert coarse[2][0][0] == np.float32(np.float16(0.1))
    assert np.isinf(coarse[2][0][1])
    assert standins.coarser(state[:2]) == state[:2]


def test_who_watches_is_told_which_case_and_which_stand_in_it_is_at(tmp_path: Path) -> None:
    target = load.load(discover.inspect(toys.write(tmp_path)))
    cases = contract.cases_of(target)[:2]
    shown: list[Progress] = []
    selftest = Selftest(target, cases, 60, shown.append)
    try:
        selftest.judge("wrong-zeros")
    finally:
        selftest.close()
    assert [(one.target, one.what, one.step, one.left_s is None) for one in shown] == [
        ("toy", "self-test", Step(1, 2), True),
        ("toy", "self-test", Step(2, 2), False),
        ("toy", "self-test, wrong-zeros", Step(1, 2), True),
        ("toy", "self-test, wrong-zeros", Step(2, 2), False),
    ]
