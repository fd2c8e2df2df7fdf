"""Results that are no plain arrays, in real runs: numbers, tuples with names, many arrays, changed arguments."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import toys

from pytest_lance_autoresearch.runs.selftest import NAMES

PLAIN = ("-p", "no:randomly", "-p", "no:cacheprovider", "-q")
NAMED = """
from typing import NamedTuple
import numpy as np


class Sums(NamedTuple):
    total: float
    parts: np.ndarray


"""
ARGUMENTS = toys.INPUTS.replace("Shape(64, 32)", "Shape(256, 32)").replace(
    "rng.random(state.weights.size),)", "rng.random(state.weights.size), rng.random(state.weights.size))"
)
"""Of 64 KiB in the shape of 256 x 32, and of less in the others."""
RETURNED = {
    "python-number": "float((self.weights * x).sum())",
    "numpy-number": "np.float32((self.weights * x).sum())",
    "count": "int((x > 0.5).sum())",
    "truth": "bool(x[0] > 0.5)",
    "names": "Sums(float(x.sum()), self.weights * x)",
    "twelve-arrays": "tuple(self.weights * x + i for i in range(12))",
    "numbers-and-arrays": "(x.size, np.int16(3), self.weights * x)",
}
"""What the kernel returns, and the reference alike, by target; none has a `check`."""
IN_PLACE = "    def product(self, x, sums):\n        sums += self.weights * x\n        return sums\n"


def written(root: Path, name: str, returned: str) -> None:
    body = f"{NAMED}class Kernel:\n    def __init__(self, weights):\n        self.weights = weights\n\n"
    text = f"{body}    def product(self, x):\n        return {returned}\n"
    toys.write(root, name, text, reference=text)


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    for name, returned in RETURNED.items():
        written(pytester.path, name, returned)
    body = "class Kernel:\n    def __init__(self, weights):\n        self.weights = weights\n\n"
    toys.write(pytester.path, "in-place", body + IN_PLACE, reference=body + IN_PLACE, inputs=ARGUMENTS)
    return pytester


@pytest.mark.parametrize("options", [(), ("--autoresearch-in-process",)], ids=["worker", "in-process"])
def test_every_kind_of_result_is_checked_and_timed(project: pytest.Pytester, options: tuple[str, ...]) -> None:
    result = project.runpytest(*PLAIN, "-k", "64x32-uniform or 256x32-uniform or 129x31-zeros", *options)
    targets = len(RETURNED) + 1
    result.assert_outcomes(passed=3 * targets, deselected=(toys.ITEMS - 3) * targets)


def test_a_wrong_number_is_told_with_both(pytester: pytest.Pytester) -> None:
    written(pytester.path, "toy", "int((x > 0.5).sum())")
    kernel = pytester.path / "targets/toy/kernels.py"
    kernel.write_text(kernel.read_text().replace("return int(", "return 1 + int("))
    result = pytester.runpytest(*PLAIN, "-k", "correctness and 64x32-zeros")
    result.stdout.fnmatch_lines(
        [
            "64x32-zeros, published call 1 of 3: result: 1 of 1 values differ (bits must be equal); first at []: "
            "kernel 1, reference 0"
        ]
    )


def test_a_number_of_another_type_is_told_with_both_types(pytester: pytest.Pytester) -> None:
    written(pytester.path, "toy", "float(x.size)")
    kernel = pytester.path / "targets/toy/kernels.py"
    kernel.write_text(kernel.read_text().replace("return float(x.size)", "return x.size"))
    result = pytester.runpytest(*PLAIN, "-k", "correctness and 64x32-zeros")
    result.stdout.fnmatch_lines(["*: result: int64 of shape (), expected float64 of shape ()"])


SELFTEST = (*PLAIN[:-1], "-v", "--autoresearch=toy", "--autoresearch-selftest")


def found(pytester: pytest.Pytester) -> dict[str, str]:
    """What the self-test says of each stand-in."""
    lines = pytester.runpytest(*SELFTEST).outlines
    said = dict(re.findall(r"::test_selftest\[(\S+)\] (.+?) +\[ *\d+%\]", "\n".join(lines)))
    assert tuple(said) == NAMES
    return said


def test_a_self_test_knows_numbers(pytester: pytest.Pytester) -> None:
    """What takes the places of an array's values cannot be done to a number."""
    written(pytester.path, "toy", "float((self.weights * x).sum())")
    said = found(pytester)
    left_out = {name for name, finding in said.items() if finding.startswith("SKIPPED")}
    assert left_out == {"wrong-constant", "wrong-shifted", "wrong-ids_in_order"}
    wrong = {name: finding for name, finding in said.items() if name.startswith("wrong-")}
    assert all(finding.startswith("caught on ") for name, finding in wrong.items() if name not in left_out), said
    honest = {finding for name, finding in said.items() if name.startswith("honest-")}
    assert honest == {"accepted on 15 of 15 cases"}


def test_a_self_test_knows_tuples_with_numbers_in_them(pytester: pytest.Pytester) -> None:
    written(pytester.path, "toy", RETURNED["numbers-and-arrays"])
    said = found(pytester)
    assert all(finding.startswith(("caught on ", "accepted on 15")) for finding in said.values()), said
