"""What a target must define, what its case ids look like, and the sentence about each thing that is wrong."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

from pytest_lance_autoresearch.errors import TargetError
from pytest_lance_autoresearch.records import Layout, Lossy
from pytest_lance_autoresearch.target_files import contract, sources
from pytest_lance_autoresearch.target_files.contract import cases_of, shape_id
from pytest_lance_autoresearch.target_files.load import Target

RULE = "expected only letters, digits and '_+=-' (a dot breaks re-running one case in an IDE)"


class Shape(NamedTuple):
    rows: Any
    columns: Any


INPUTS: dict[str, Any] = {
    "SHAPES": (Shape(2, 3), Shape(3, 3), Shape(50, 1)),
    "DISTRIBUTIONS": ("flat", "sorted", "random"),
    "EDGE_DISTRIBUTIONS": ("zeros", "huge"),
    "make_state": lambda *_: None,
    "make_call": lambda *_: (),
}
WIRING: dict[str, Any] = {
    "UNIT": "value",
    "bind": lambda *_: None,
    "ops": lambda _: 1,
    "BIT_EXACT": False,
    "BUILD_BUDGET": None,
    "LOSSY": None,
    "check": lambda *_: None,
}
ABSENT = object()


def target(**changed: Any) -> Target:
    """A target whose modules have these names; ABSENT leaves one out."""
    modules = []
    for stem, names in (("inputs", INPUTS), ("target", WIRING)):
        module = ModuleType(stem)
        known = {name: changed.get(name, value) for name, value in names.items()}
        vars(module).update({name: value for name, value in known.items() if value is not ABSENT})
        modules.append(module)
    inputs, wiring = modules
    kernel = sources.make(b"", Path("demo/kernels.py"))
    return Target(Layout("demo", Path("demo")), inputs, wiring, kernel, {}, "")


def fault(**changed: Any) -> str:
    with pytest.raises(TargetError) as raised:
        cases_of(target(**changed))
    return str(raised.value)


# Ids


def test_cases_are_every_shape_with_every_distribution_timed_ones_first() -> None:
    found = cases_of(target())
    assert [case.id for case in found] == [
        f"{shape}-{distribution}"
        for shape in ("2x3", "3x3", "50x1")
        for distribution in ("flat", "sorted", "random", "zeros", "huge")
    ]
    assert {case.distribution for case in found if case.timed} == {"flat", "sorted", "random"}
    assert found[0].shape is INPUTS["SHAPES"][0]
    assert {case.target for case in found} == {"demo"}


def test_a_shape_is_its_fields_joined_by_x() -> None:
    assert shape_id((128, 16, 256)) == "128x16x256"
    assert shape_id((7,)) == "7"
    assert shape_id(Shape("u8", -1)) == "u8x-1"


def test_all_characters_that_ids_may_have_pass() -> None:
    names = ("a_b", "a+b", "a=b", "a-b", "A9")
    found = cases_of(target(DISTRIBUTIONS=names[:3], EDGE_DISTRIBUTIONS=names[3:]))
    assert [case.distribution for case in found[:5]] == list(names)


# What is missing


@pytest.mark.parametrize("name", ["SHAPES", "DISTRIBUTIONS", "EDGE_DISTRIBUTIONS"])
def test_the_tuples_are_needed(name: str) -> None:
    assert fault(**{name: ABSENT}) == f"target 'demo': inputs.{name} is missing; expected a tuple"
    assert fault(**{name: ["flat"]}) == f"target 'demo': inputs.{name} is a list; expected a tuple"
    assert fault(**{name: "flat"}) == f"target 'demo': inputs.{name} is a str; expected a tuple"


@pytest.mark.parametrize(
    ("name", "file"), [("make_state", "inputs"), ("make_call", "inputs"), ("bind", "target"), ("ops", "target")]
)
@pytest.mark.parametrize("value", [ABSENT, 3])
def test_the_functions_are_needed(name: str, file: str, value: Any) -> None:
    assert fault(**{name: value}) == f"target 'demo': {file}.py has no function '{name}'"


def test_the_unit_is_needed() -> None:
    assert fault(UNIT=ABSENT) == "target 'demo': target.py has no UNIT; expected a word such as UNIT = 'query'"


@pytest.mark.parametrize("unit", ["", "ns/query", "two words", 3, None])
def test_the_unit_is_one_word(unit: Any) -> None:
    assert fault(UNIT=unit) == (
        f"target 'demo': target.UNIT is {unit!r}; expected one word such as 'query', it becomes part of a key"
    )


# Shapes


def test_there_are_three_shapes_or_more() -> None:
    assert fault(SHAPES=INPUTS["SHAPES"][:2]) == (
        "target 'demo': inputs.SHAPES has 2 shapes; expected 3 or more, one of them an outlier"
    )


@pytest.mark.parametrize("shape", [(2, 3), 7, "2x3", [2, 3]])
def test_a_shape_is_a_named_tuple(shape: Any) -> None:
    assert fault(SHAPES=(*INPUTS["SHAPES"], shape)) == (
        f"target 'demo': inputs.SHAPES holds {shape!r}; expected instances of a NamedTuple"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5x1"), ("a b", "a bx1"), ("a/b", "a/bx1"), ("é", "éx1"), ("a\n", "a\nx1"), ("", None)],
)
def test_a_shapes_id_has_only_what_test_ids_can_carry(value: Any, text: str | None) -> None:
    if text is None:
        assert cases_of(target(SHAPES=(*INPUTS["SHAPES"], Shape(value, 1))))[-1].shape_id == "x1"
        return
    shape = Shape(value, 1)
    assert (
        fault(SHAPES=(*INPUTS["SHAPES"], shape))
        == f"target 'demo': the shape {shape!r} makes the id '{text}'; {RULE}"
    )


def test_two_shapes_of_one_id_are_refused() -> None:
    assert fault(SHAPES=(*INPUTS["SHAPES"], Shape("2", "3"))) == (
        "target 'demo': inputs.SHAPES: '2x3' stands there 2 times; expected once"
    )


# Distributions


def test_three_distributions_or_more_are_timed() -> None:
    assert fault(DISTRIBUTIONS=("flat", "sorted")) == (
        "target 'demo': inputs.DISTRIBUTIONS has 2 names; expected 3 or more"
    )


def test_there_are_five_distributions_or_more_in_all() -> None:
    assert fault(EDGE_DISTRIBUTIONS=("zeros",)) == (
        "target 'demo': inputs has 4 distributions in all; expected 5 or more, adversarial ones among them"
    )


@pytest.mark.parametrize("name", ["mostly.zero", "mostly zero", "", "a/b", "[a]", "zeros\n", 3, None])
def test_a_distributions_name_has_only_what_test_ids_can_carry(name: Any) -> None:
    assert fault(EDGE_DISTRIBUTIONS=("zeros", "huge", name)) == (
        f"target 'demo': the distribution {name!r} cannot be part of a test id; {RULE}"
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"DISTRIBUTIONS": ("flat", "sorted", "random", "flat")},
        {"EDGE_DISTRIBUTIONS": ("zeros", "huge", "flat")},
    ],
)
def test_a_distribution_stands_once_in_both_lists_together(changed: Any) -> None:
    assert fault(**changed) == (
        "target 'demo': inputs.DISTRIBUTIONS and EDGE_DISTRIBUTIONS: 'flat' stands there 2 times; expected once"
    )


def test_two_cases_never_have_one_id() -> None:
    class Verdict(NamedTuple):
        name: str

    shapes = (Verdict("u8"), Verdict("u8-sorted"), Verdict("u16"))
    names = ("asc", "sorted-asc", "random")
    try:
        found = cases_of(target(SHAPES=shapes, DISTRIBUTIONS=names))
    except TargetError:
        return
    assert len({case.id for case in found}) == len(found)


@pytest.mark.parametrize("value", [1, "yes", None])
def test_bit_exact_is_true_or_false(value: Any) -> None:
    assert fault(BIT_EXACT=value) == (
        f"target 'demo': target.BIT_EXACT is {value!r}; expected True where every bit of a result is the contract"
    )


@pytest.mark.parametrize("value", [0, -1.5, float("inf"), float("nan"), True, "2", (1, "ms")])
def test_a_budget_of_building_is_a_number_above_0(value: Any) -> None:
    assert fault(BUILD_BUDGET=value) == (
        f"target 'demo': target.BUILD_BUDGET is {value!r}; expected milliseconds per megabyte of state, "
        f"a number above 0"
    )


@pytest.mark.parametrize("value", [None, 2, 0.5, np.float32(3)])
def test_a_budget_of_building_may_be_any_such_number_or_none(value: Any) -> None:
    one = target(BUILD_BUDGET=value)
    assert cases_of(one)
    budget = contract.build_budget(one)
    assert (budget, type(budget)) == (value, type(None) if value is None else float)


@pytest.mark.parametrize("share", [0.35, (35, "percent"), (0.35,), (0.35, 1), (1.5, "too much")])
def test_a_cost_fraction_is_a_fraction_and_its_source(share: Any) -> None:
    assert list(contract._share_faults(share)) == [
        f"target.COST_FRACTION is {share!r}; expected (fraction from 0 to 1, its source)"
    ]
    assert not list(contract._share_faults((0.35, "a profile")))


FLOORS = dict.fromkeys((*INPUTS["DISTRIBUTIONS"], *INPUTS["EDGE_DISTRIBUTIONS"]), 0.9)
MARGIN = "expected a share above 0 and at most 0.1"
SHARES = "expected a share for each distribution, and for no other"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"LOSSY": (0.01, FLOORS)}, f"target.LOSSY is {(0.01, FLOORS)!r}; expected records.Lossy(margin, floors)"),
        ({"BIT_EXACT": True}, "target.LOSSY and target.BIT_EXACT contradict each other; expected one of them"),
        ({"check": ABSENT}, "target.py has a LOSSY and no function 'check', which returns the recall of a call"),
        ({"LOSSY": Lossy(0, FLOORS)}, f"target.LOSSY.margin is 0; {MARGIN}"),
        ({"LOSSY": Lossy(0.2, FLOORS)}, f"target.LOSSY.margin is 0.2; {MARGIN}"),
        ({"LOSSY": Lossy(0.01, {"flat": 0.9})}, f"target.LOSSY.floors is {{'flat': 0.9}}; {SHARES}"),
        (
            {"LOSSY": Lossy(0.01, {**FLOORS, "huge": 1.5})},
            "target.LOSSY.floors has 1.5; expected shares above 0 and at most 1",
        ),
    ],
)
def test_a_lossy_target_says_how_much_must_be_right(changed: dict[str, Any], sentence: str) -> None:
    said = {"LOSSY": Lossy(0.01, FLOORS), "check": lambda *_: 1.0}
    assert cases_of(target(**said))
    assert fault(**{**said, **changed}) == f"target 'demo': {sentence}"


# Operations


@pytest.mark.parametrize(
    ("ops", "number"), [(3, 3), (2.5, 2.5), (np.int64(3), 3), (np.uint8(3), 3), (np.float32(2.5), 2.5)]
)
def test_any_real_number_is_a_number_of_operations(ops: Any, number: float) -> None:
    loaded = target(ops=lambda _: ops)
    found = contract.ops_per_call(loaded, cases_of(loaded)[0])
    assert found == number
    assert type(found) is type(number)


@pytest.mark.parametrize(
    "ops", [0, -1, None, "3", True, np.bool_(True), np.int64(0), np.float64("nan"), np.inf, np.ones(1), 3j]
)
def test_anything_else_is_none(ops: Any) -> None:
    loaded = target(ops=lambda _: ops)
    with pytest.raises(TargetError) as raised:
        contract.ops_per_call(loaded, cases_of(loaded)[0])
    assert str(raised.value) == (
        f"target 'demo': target.ops returned {ops!r} for 2x3; expected a positive number of operations per call"
    )


def test_the_smallest_shape_has_the_fewest_operations() -> None:
    loaded = target(ops=lambda shape: shape.columns)
    assert contract.smallest(loaded) == list(cases_of(loaded)[-5:])
