"""Whether answers are right: examples that name themselves, states that can be made again, warnings."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys

from pytest_lance_autoresearch.bench import oracles, properties
from pytest_lance_autoresearch.bench.inprocess import InProcessRunner, KeptAnswers
from pytest_lance_autoresearch.errors import (
    KernelCrashed,
    KernelFailure,
    KernelIncorrect,
    KernelRaised,
    TargetError,
)
from pytest_lance_autoresearch.target_files import contract, discover, generate, load, seeds

PROPERTIES = """
import inputs

def properties():
    import numpy as np
    from hypothesis import strategies as st

    def example(size):
        return inputs.State(np.ones(size)), (np.ones(size),)

    return st.integers(0, 50).map(example)
"""
SHOWN = "on State(weights=float64[13]) and the call (float64[13])"
TOO_LONG = "    def product(self, x):\n        assert x.size < 13, 'too long'"


def target(root: Path, **changed: str) -> load.Target:
    changed.setdefault("target", toys.TARGET + PROPERTIES)
    return load.load(discover.inspect(toys.write(root, **changed)))


class Runner:
    """Stands for a worker process: its kernel answers with `function`, which gets weights and argument."""

    def __init__(self, loaded: load.Target, function: Callable[[Any, Any], Any]) -> None:
        self._inner = InProcessRunner(loaded)
        self._function = function

    def bind(self, key: str, state: bytes) -> None:
        self._inner.bind(key, state)

    def release(self, key: str) -> None:
        self._inner.release(key)

    def run(self, key: str, calls: Any, result_bytes: int = 0) -> Any:
        answers = self._inner.run(key, calls, result_bytes)
        return KeptAnswers(answers.window, [self._function(answers[0], calls[0][0])])


def failing(failure: KernelFailure) -> Callable[[Any, Any], Any]:
    """A kernel that fails from 13 values on."""

    def function(answer: Any, x: Any) -> Any:
        if x.size >= 13:
            raise failure
        return answer

    return function


# Properties


@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (KernelRaised("properties: the kernel raised ValueError: no"), ": the kernel raised ValueError: no"),
        (
            KernelRaised("properties, while it was bound: the kernel raised TypeError"),
            ", while it was bound: the kernel raised TypeError",
        ),
    ],
)
def test_an_exception_names_the_smallest_example_and_carries_the_seed(
    tmp_path: Path, seed: int | None, failure: KernelFailure, said: str
) -> None:
    loaded = target(tmp_path)
    with pytest.raises(KernelRaised) as raised:
        properties.check_properties(loaded, Runner(loaded, failing(failure)), seed, 100)
    assert str(raised.value) == f"properties, {SHOWN}{said}"
    assert raised.value.seed == seed


def test_the_end_of_a_process_names_its_example_and_carries_the_seed(tmp_path: Path) -> None:
    loaded = target(tmp_path)
    ended = KernelCrashed("properties: the kernel's process ended (exit code 3) instead of answering")
    with pytest.raises(KernelCrashed) as raised:
        properties.check_properties(loaded, Runner(loaded, failing(ended)), 7, 100)
    head, _, tail = str(raised.value).partition(": ")
    assert head.startswith("properties, on State(weights=float64[")
    assert tail == "the kernel's process ended (exit code 3) instead of answering"
    assert raised.value.seed == 7


def test_a_wrong_value_names_the_smallest_example_and_carries_the_seed(tmp_path: Path) -> None:
    loaded = target(tmp_path)
    wrong = Runner(loaded, lambda answer, x: answer + (x.size >= 13))
    with pytest.raises(KernelIncorrect) as raised:
        properties.check_properties(loaded, wrong, 7, 100)
    assert str(raised.value) == (
        f"properties, {SHOWN}: result: 13 of 13 values differ (bits must be equal); "
        f"first at [0]: kernel 2, reference 1"
    )
    assert raised.value.seed == 7


@pytest.mark.parametrize(
    ("stem", "text", "what"),
    [
        (
            "reference",
            toys.REFERENCE.replace("    def product(self, x):", TOO_LONG),
            "reference.py, line 7, raised AssertionError: too long",
        ),
        (
            "reference",
            toys.REFERENCE.replace("self.weights = weights", "self.weights = weights[:12] if 1 else 0"),
            "reference.py, line 7, raised ValueError: operands could not be broadcast together with shapes "
            "(12,) (13,) ",
        ),
        (
            "target",
            f"{toys.TARGET}{PROPERTIES}\n\ndef check(actual, expected, _):\n    return actual.size < 13 or None\n",
            "target.check returned True; expected None, and a failed assert or compare helper for a wrong result",
        ),
    ],
    ids=["oracle", "shape", "check"],
)
def test_a_fault_of_the_target_names_the_smallest_example(tmp_path: Path, stem: str, text: str, what: str) -> None:
    loaded = target(tmp_path, **{stem: text})
    shown = SHOWN.replace("13", "0") if stem == "target" else SHOWN
    with pytest.raises(TargetError) as raised:
        properties.check_properties(loaded, Runner(loaded, lambda answer, _: answer), None, 100)
    assert str(raised.value) == f"target 'toy': {what}; {shown}"


def test_what_cannot_be_drawn_is_a_fault_of_the_target(tmp_path: Path) -> None:
    loaded = target(
        tmp_path,
        target=toys.TARGET + PROPERTIES.replace("def example(size):", "def example(size):\n        1 / size"),
    )
    with pytest.raises(TargetError, match=r"^target 'toy': target.py, line 17, raised ZeroDivisionError: "):
        properties.check_properties(loaded, Runner(loaded, lambda answer, _: answer), None, 100)


def test_a_failure_that_is_not_seen_again_names_its_example(tmp_path: Path) -> None:
    loaded = target(tmp_path)
    seen: list[int] = []

    def once(answer: Any, x: Any) -> Any:
        seen.append(x.size)
        return answer + (len(seen) == 5)

    with pytest.raises(KernelIncorrect) as raised:
        properties.check_properties(loaded, Runner(loaded, once), 7, 100)
    size = seen[4]
    assert str(raised.value).startswith(f"properties, on State(weights=float64[{size}]")
    assert str(raised.value).endswith("; it was not seen a second time")
    assert raised.value.seed == 7


def test_under_a_debugger_the_kernels_own_exception_names_its_example(tmp_path: Path) -> None:
    text = toys.KERNEL.replace("    def product(self, x):", TOO_LONG)
    loaded = target(tmp_path, text=text)
    with pytest.raises(AssertionError, match="too long") as raised:
        properties.check_properties(loaded, InProcessRunner(loaded), None, 100)
    assert f"properties, {SHOWN}" in raised.value.__notes__


# States


@pytest.mark.parametrize(
    "drawn",
    [
        "np.random.rand(shape.rows)",
        "np.random.default_rng().random(shape.rows)",
        "rng.random(shape.rows) + __import__('time').perf_counter_ns()",
    ],
)
def test_a_state_that_is_drawn_from_elsewhere_is_refused(tmp_path: Path, drawn: str) -> None:
    loaded = target(tmp_path, inputs=toys.INPUTS.replace("rng.random(shape.rows * shape.width)", drawn))
    case = contract.cases_of(loaded)[0]
    with pytest.raises(TargetError) as raised:
        generate.refuse_other_states(loaded, case, generate.make_state(loaded, case, seeds.PUBLISHED_SEED))
    assert str(raised.value) == (
        "target 'toy': inputs.make_state gave another state for the same rng on 64x32-uniform; "
        "expected every random number to come from its argument rng"
    )


def test_a_hidden_state_that_is_drawn_from_elsewhere_is_refused(tmp_path: Path) -> None:
    hidden = "\n\ndef make_hidden_state(shape, distribution, rng):\n    return State(np.random.rand(9))\n"
    loaded = target(tmp_path, inputs=toys.INPUTS + hidden)
    case = contract.cases_of(loaded)[0]
    with pytest.raises(TargetError, match=r"^target 'toy': inputs.make_hidden_state gave another state "):
        generate.refuse_other_hidden_states(loaded, case, "look 2")


def test_a_trial_makes_one_state_twice_that_of_the_smallest_shape(pytester: pytest.Pytester) -> None:
    """Here all shapes have one operation, and the first is taken."""
    toys.write(
        pytester.path, inputs=toys.INPUTS.replace("rng.random(shape.rows * ", "np.random.rand(shape.rows * ")
    )
    result = pytester.runpytest("-q", "-p", "no:randomly", "-k", "uniform and correctness")
    result.assert_outcomes(failed=1, passed=2, deselected=21)
    result.stdout.fnmatch_lines(["target 'toy': inputs.make_state gave another state for the same rng on 64x32-*"])


# Warnings


def test_a_warning_in_a_check_does_not_decide(tmp_path: Path) -> None:
    overflowing = """
def check(actual, expected, call):
    import numpy as np
    import warnings
    warnings.warn("old", DeprecationWarning)
    assert (np.exp(actual * 1e6) >= 0).all()
"""
    loaded = target(tmp_path, target=toys.TARGET + overflowing)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        oracles.compare_answer(loaded, np.ones(3), np.ones(3), (), "here")
        with pytest.raises(KernelIncorrect, match=r"^here: target\.check failed$"):
            oracles.compare_answer(loaded, np.array([np.nan]), np.ones(1), (), "here")


def test_a_warning_in_the_oracle_is_the_targets_own(tmp_path: Path) -> None:
    """As in any code of the project, its filters decide about it; the sentence names the line."""
    loaded = target(tmp_path, reference="import numpy as np\n" + toys.REFERENCE.replace("* x", "* (x * 1e308)"))
    oracle = oracles.Oracle(loaded, loaded.inputs.State(np.ones(1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TargetError, match=r"reference.py, line 8, raised RuntimeWarning: overflow"):
            oracle.expected((np.full(1, 1e6),))
        warnings.simplefilter("ignore")
        assert np.isinf(oracle.expected((np.full(1, 1e6),)))
