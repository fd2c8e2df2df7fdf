"""What an oracle may return, and how much room that leaves for a kernel's result; arguments that are objects."""

from __future__ import annotations

import array
import collections
import dataclasses
import types
from typing import Any

import numpy as np
import pytest
import toys

from pytest_lance_autoresearch.bench import oracles, properties
from pytest_lance_autoresearch.bench.room import Room
from pytest_lance_autoresearch.errors import KernelReturnedMore, TargetError
from pytest_lance_autoresearch.target_files import discover, generate, load

RUN = ("-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--autoresearch=toy", "-x")
HALF = np.zeros(50)
WHOLE = np.zeros(100)


@dataclasses.dataclass(slots=True)
class Slotted:
    value: Any
    more: Any = None


class Plain:
    """With an array, and with a reference to itself."""

    def __init__(self) -> None:
        self.value, self.myself = WHOLE, self


class Framed:
    """As pandas, pyarrow and others are: no array, but one can be had."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return WHOLE


class Closed:
    """As a tensor that records gradients: it says that an array can be had, and refuses."""

    def __init__(self) -> None:
        self.value = WHOLE

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("detach it first")


class Refusing:
    """Has no attribute, and says so in its own way."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")


@pytest.mark.parametrize(
    ("expected", "size"),
    [
        (WHOLE, 800),
        ((WHOLE, HALF), 1200),
        (((WHOLE, HALF), HALF), 1600),
        ([WHOLE, [HALF, HALF]], 1600),
        ({"values": WHOLE, "limit": {"each": HALF}}, 1200),
        (collections.OrderedDict(a=WHOLE), 800),
        ({3: 0.5, 4: 0.25}, 32),
        ({1, 2, 3}, 24),
        ([1, 2.5, True], 17),
        (1.5, 8),
        (np.float32(1.5), 4),
        (np.array([WHOLE, HALF], object), 1200),
        (Slotted(WHOLE, [HALF]), 1200),
        (Plain(), 800),
        (Framed(), 800),
        (Closed(), 800),
        (collections.deque([WHOLE, HALF]), 1200),
        ({"values": WHOLE}.values(), 800),
        ({"values": WHOLE}.items(), 800),
        (b"12345", 5),
        ([bytearray(6), memoryview(b"1234567")], 13),
        (array.array("d", [0.5, 1.5]), 16),
        (b"", 0),
        ((WHOLE, lambda: None), 800),
        (types.SimpleNamespace(values=WHOLE, close=np.isclose), 800),
        ((WHOLE, WHOLE), 1600),
        (None, 0),
        ("nothing", 0),
        (object(), 0),
        (np, 0),
        (Plain, 0),
    ],
)
def test_a_result_is_as_large_as_all_arrays_and_numbers_in_it(expected: Any, size: int) -> None:
    assert Room([expected]).bytes == 2 * size


def test_an_object_that_refuses_its_attributes_counts_for_nothing() -> None:
    assert Room([(Refusing(), WHOLE)]).bytes == 1600


# Room for the kernel's result

BIG = toys.INPUTS.replace("(64, 32)", "(64, 64)")


def reference(result: str, setup: str = "") -> str:
    return f"{setup}\n{toys.REFERENCE.replace('return self.weights * x', f'return {result}')}"


def checking(condition: str) -> str:
    return f"{toys.TARGET}\ndef check(actual, expected, call):\n    assert {condition}\n"


@pytest.mark.parametrize(
    ("result", "condition"),
    [
        ("((self.weights * x, 1), 2)", "(actual == expected[0][0]).all()"),
        ("[self.weights * x]", "(actual == expected[0]).all()"),
        ("{'product': self.weights * x, 'limit': 0}", "(actual == expected['product']).all()"),
        ("dict(enumerate((self.weights * x).tolist()))", "actual.tolist() == [*expected.values()]"),
    ],
)
def test_whatever_holds_the_expected_arrays_the_kernels_has_room(
    pytester: pytest.Pytester, result: str, condition: str
) -> None:
    toys.write(pytester.path, inputs=BIG, reference=reference(result), target=checking(condition))
    pytester.runpytest(*RUN, "-k", "64x64-uniform").assert_outcomes(passed=2, deselected=toys.ITEMS - 2)


def said_of(pytester: pytest.Pytester, **files: str) -> str:
    toys.write(pytester.path, inputs=BIG, **files)
    result = pytester.runpytest(*RUN, "-k", "64x64-uniform")
    result.assert_outcomes(failed=1)
    return next(line for line in result.outlines if line.startswith(("target 'toy'", "64x64-uniform")))


def test_where_the_reference_returns_no_array_a_larger_result_is_not_the_kernels_fault(
    pytester: pytest.Pytester,
) -> None:
    said = said_of(pytester, reference=reference("None"), target=checking("len(actual) == len(call[0])"))
    assert said == (
        "target 'toy': 64x64-uniform: the kernel returned 32768 bytes; there is room for 4096, and the reference "
        "returned a NoneType without any array in it; expected the reference to return what a kernel returns, "
        "alone or with more beside it, and about as much for every call of a case"
    )


def test_a_small_result_needs_no_array_of_the_reference(pytester: pytest.Pytester) -> None:
    toys.write(
        pytester.path,
        inputs=toys.INPUTS.replace("(64, 32)", "(4, 32)"),
        reference=reference("None"),
        target=checking("len(actual) == len(call[0])"),
    )
    result = pytester.runpytest(*RUN, "-k", "4x32-uniform")
    result.assert_outcomes(passed=2, deselected=toys.ITEMS - 2)


def test_where_the_reference_returns_arrays_a_larger_result_is_the_kernels_fault(
    pytester: pytest.Pytester,
) -> None:
    said = said_of(
        pytester,
        text=toys.kernel("return np.tile(result, 3)"),
        reference=reference("{'product': self.weights * x}"),
        target=checking("(actual == expected['product']).all()"),
    )
    assert said == "64x64-uniform: the kernel returned 98304 bytes; there is room for 65536"


class Runner:
    """Has no room for anything."""

    def run(self, key: str, _calls: Any, result_bytes: int = 0) -> Any:
        raise KernelReturnedMore(f"{key}: the kernel returned 9999 bytes; there is room for {result_bytes}")


def test_where_results_differ_too_much_in_size_it_is_not_the_kernels_fault(tmp_path: Any) -> None:
    target = load.load(discover.inspect(toys.write(tmp_path, reference=reference("x"))))
    oracle = oracles.Oracle(target, target.inputs.State(np.ones(3)))
    runner: Any = Runner()
    with pytest.raises(TargetError) as raised:
        oracle.run(runner, "key", [(np.ones(10),), (np.ones(1000),)], oracle.room([(np.ones(10),)]))
    assert str(raised.value) == (
        "target 'toy': key: the kernel returned 9999 bytes; there is room for 160, twice what the reference "
        "returned for other calls, and for these it returned more; expected the reference to return what a kernel "
        "returns, alone or with more beside it, and about as much for every call of a case"
    )
    with pytest.raises(KernelReturnedMore):
        oracle.run(runner, "key", [(np.ones(10),)])


def test_a_result_needs_room_for_those_parts_alone_whose_form_it_has() -> None:
    """Where two parts have its form, for the larger one; where none has, for all of them; of any candidate."""

    def expected(found: int) -> tuple[Any, ...]:
        return np.zeros(found, np.uint32), np.zeros(2 * found, np.uint32), (np.zeros(500), 0.5), np.zeros(4, "f4")

    results = [expected(found) for found in (0, 3, 1)]
    ids, distances = np.zeros(0, np.uint32), np.ones(4, np.float32)
    room = Room(iter(results))
    assert room.bytes == 2 * (36 + 4000 + 8 + 16)
    room.narrow([(ids, distances)])
    assert room.bytes == 2 * (24 + 16)
    assert not room.is_too_small_for(expected(3))
    assert room.is_too_small_for(expected(4))
    room.narrow([ids, (ids, distances), ()])
    assert room.bytes == 2 * (24 + 16)
    room.narrow([(ids, distances), (ids, np.zeros(4))])
    assert room.bytes == 2 * (36 + 4000 + 8 + 16)


# Without a check


@pytest.mark.parametrize(
    ("result", "what"),
    [
        ("{'product': self.weights * x}", "a dict"),
        ("None", "a NoneType"),
        ("[self.weights * x]", "a list"),
        ("((self.weights * x, 1), 2)", "a tuple with a tuple in it"),
        ("(self.weights * x, None)", "a tuple with a NoneType in it"),
    ],
)
def test_what_cannot_be_compared_bit_for_bit_needs_a_check(
    pytester: pytest.Pytester, result: str, what: str
) -> None:
    kernel = toys.kernel("return result[:1]")
    assert said_of(pytester, text=kernel, reference=reference(result)) == (
        f"target 'toy': the reference returned {what}, and target.py has no function 'check' that compares it; "
        f"expected an array or a tuple of arrays, as a kernel returns"
    )


@pytest.mark.parametrize("result", ["self.weights * x", "(self.weights * x).tolist()"])
def test_arrays_and_lists_of_numbers_need_none(pytester: pytest.Pytester, result: str) -> None:
    toys.write(pytester.path, reference=reference(result))
    result_ = pytester.runpytest(*RUN, "-k", "correctness and 64x32-uniform")
    result_.assert_outcomes(passed=1, deselected=toys.ITEMS - 1)


def test_the_self_test_takes_whatever_the_oracle_returns(pytester: pytest.Pytester) -> None:
    toys.write(
        pytester.path,
        reference=reference("{'product': self.weights * x, 'ragged': ([1], [1, 2])}"),
        target=checking("(actual == expected['product']).all()"),
    )
    result = pytester.runpytest("-p", "no:randomly", "--autoresearch=toy", "--autoresearch-selftest", "-v")
    result.stdout.fnmatch_lines(["*wrong-zeros[]] caught on 12 of 15 cases*", "*honest-kernel[]] accepted*"])
    assert "Traceback" not in str(result.stdout)


# Arguments that are objects

OBJECT = """
class Query:
    def __init__(self, terms):
        self.terms = terms
{more}

def make_call(shape, distribution, state, rng):
    return rng.random(state.weights.size), Query(rng.integers(0, 9, 3).tolist())
"""
NO_REPR = "    def __repr__(self):\n        raise RuntimeError('no words')\n"
PROPERTIES = """
def properties():
    import inputs
    import numpy as np
    from hypothesis import strategies as st

    return st.just((inputs.State(np.ones(2)), (np.ones(2), inputs.Query([1]))))
"""


@pytest.mark.parametrize("more", ["", NO_REPR], ids=["with its address", "without a repr"])
def test_an_argument_object_is_compared_by_its_value(pytester: pytest.Pytester, more: str) -> None:
    toys.write(
        pytester.path,
        text=toys.KERNEL.replace("(self, x)", "(self, x, query)"),
        reference=toys.REFERENCE.replace("(self, x)", "(self, x, query)"),
        inputs=toys.INPUTS + OBJECT.format(more=more),
        target=f"import inputs\n{toys.TARGET}{PROPERTIES}",
    )
    result = pytester.runpytest(*RUN, "-k", "correctness and 64x32-uniform or properties")
    result.assert_outcomes(passed=2, deselected=toys.ITEMS - 1)


def test_an_argument_object_without_a_repr_can_be_told(pytester: pytest.Pytester) -> None:
    toys.write(
        pytester.path,
        text=toys.kernel("return result + 1").replace("(self, x)", "(self, x, query)"),
        reference=toys.REFERENCE.replace("(self, x)", "(self, x, query)"),
        inputs=toys.INPUTS + OBJECT.format(more=NO_REPR),
        target=f"import inputs\n{toys.TARGET}{PROPERTIES}",
    )
    result = pytester.runpytest(*RUN, "-k", "properties")
    where = "on State(weights=float64[[]2[]] [[]1., 1.[]]) and the call (float64[[]2[]] [[]1., 1.[]], a Query)"
    result.stdout.fnmatch_lines([f"properties, {where}: result: 2 of 2 values differ*"])


def test_other_numbers_for_the_same_rng_are_found_in_objects_too(pytester: pytest.Pytester) -> None:
    text = OBJECT.format(more="").replace("rng.integers(0, 9, 3).tolist()", "next(ticks)")
    toys.write(pytester.path, inputs=f"import itertools\nticks = itertools.count()\n{toys.INPUTS}{text}")
    result = pytester.runpytest(*RUN, "-k", "correctness and 64x32-uniform")
    result.stdout.fnmatch_lines(
        [
            "target 'toy': inputs.make_call gave other numbers for the same rng on 64x32-uniform; expected every "
            "random number to come from its argument rng"
        ]
    )


def test_equal_parts_are_equal_whether_they_are_one_object_or_not(tmp_path: Any) -> None:
    target = load.load(discover.inspect(toys.write(tmp_path)))
    word = "".join(["a", "b"])
    other = "".join(["a", "b"])
    assert generate._is_same(target, [word, word], [word, other])
    assert not generate._is_same(target, [word, word], [word, "ac"])
    cyclic: list[Any] = [1]
    cyclic.append(cyclic)
    assert generate._is_same(target, cyclic, cyclic)
    assert not generate._is_same(target, cyclic, [1])


class Numberless:
    def __repr__(self) -> str:
        return 3  # type: ignore[return-value]


class Misnamed(tuple[int, ...]):
    _fields = ("one", "two")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Numberless(), "a Numberless"),
        ((np.array([Numberless()], object), 1), "(a ndarray, 1)"),
        ((Misnamed((1,)), 2), "(a Misnamed, 2)"),
    ],
)
def test_what_cannot_be_described_is_told_by_its_type(value: Any, said: str) -> None:
    assert properties._describe(value) == said


def test_arrays_of_equal_bytes_are_equal_only_in_the_same_form(tmp_path: Any) -> None:
    target = load.load(discover.inspect(toys.write(tmp_path)))
    assert generate._is_same(target, np.zeros((2, 3)), np.zeros((2, 3)))
    assert not generate._is_same(target, np.zeros((2, 3)), np.zeros((3, 2)))
    assert not generate._is_same(target, np.zeros(2), np.zeros(2, np.int64))
