"""What a kernel's result may differ in, and the words about what it may not."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import quick
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_lance_autoresearch.compare import Mismatch, exact, max_abs_err, recall, top_k

F4 = np.float32
HUGE = 1e300


def f4(*values: float) -> Any:
    return np.array(values, F4)


def ids(*values: int) -> Any:
    return np.array(values, np.uint32)


class Tagged(np.ndarray[Any, Any]):
    """A subclass that could answer every comparison as it likes."""


# exact


@pytest.mark.parametrize("dtype", ["?", "i1", "u8", "f2", "f4", "f8", "c16"])
def test_exact_accepts_a_copy_of_any_dtype(dtype: str) -> None:
    for shape in ((), (0,), (2, 3)):
        value = np.ones(shape, dtype)
        exact(value.copy(), value)


def test_exact_accepts_equal_nan_bits_and_infinities() -> None:
    value = f4(np.nan, np.inf, -np.inf, -0.0)
    exact(value.copy(), value)


def test_exact_ignores_memory_order() -> None:
    value = np.arange(6.0).reshape(2, 3)
    exact(np.asfortranarray(value), value)


def test_exact_tells_minus_zero_from_zero() -> None:
    with pytest.raises(Mismatch) as raised:
        exact(f4(1.0, -0.0), f4(1.0, 0.0))
    assert str(raised.value) == (
        "result: 1 of 2 values differ (bits must be equal); first at [1]: kernel -0, reference 0"
    )


def test_exact_tells_one_nan_from_another() -> None:
    other = np.array([0x7FC00001], np.uint32).view(F4)
    with pytest.raises(Mismatch) as raised:
        exact(other, f4(np.nan), "norms")
    assert str(raised.value) == (
        "norms: 1 of 1 values differ (bits must be equal); first at [0]: kernel nan, reference nan"
    )


@pytest.mark.parametrize(("kernel", "reference"), [(1, 2), (1j, 2j)])
def test_exact_compares_arrays_without_dimensions(kernel: Any, reference: Any) -> None:
    with pytest.raises(Mismatch, match=r"^result: 1 of 1 values differ \(bits must be equal\); first at \[\]: "):
        exact(np.array(kernel), np.array(reference))


@pytest.mark.parametrize(
    ("kernel", "reference"), [(1, 1), (1.5, 1.5), (np.float32(2), f4(2)[0]), (True, np.True_), (3, np.int64(3))]
)
def test_exact_takes_a_number_for_an_array_without_dimensions(kernel: Any, reference: Any) -> None:
    exact(kernel, reference)
    exact((kernel, kernel), (reference, np.asarray(reference)))
    max_abs_err(kernel, reference)


def test_max_abs_err_says_how_far_a_number_is_off() -> None:
    with pytest.raises(Mismatch) as raised:
        max_abs_err(1.5, 1.0, what="mean")
    assert str(raised.value) == (
        "mean: 1 of 1 values differ by more than 0.0001; "
        "first and worst at []: kernel 1.5, reference 1 (error 0.5, limit 0.0001)"
    )


def test_exact_compares_every_byte_of_a_wide_item() -> None:
    with pytest.raises(Mismatch, match=r"1 of 2 values differ .* first at \[1\]"):
        exact(np.array([1, 2 + 1j]), np.array([1, 2 + 3j]))


def test_exact_names_the_item_of_a_tuple() -> None:
    with pytest.raises(Mismatch) as raised:
        exact((ids(1), ids(1, 2)), (ids(1), ids(1, 3)), "lists")
    assert str(raised.value) == (
        "lists[1]: 1 of 2 values differ (bits must be equal); first at [1]: kernel 2, reference 3"
    )


@pytest.mark.parametrize(
    ("actual", "expected", "sentence"),
    [
        ((f4(1),), (f4(1), f4(2)), "result: a tuple of 1, expected a tuple of 2"),
        (f4(1), (f4(1),), "result: a ndarray, expected a tuple of 1"),
        ((f4(1),), f4(1), "result: a tuple of 1, expected a numpy.ndarray"),
        ([1.0], f4(1), "result: a list, expected a numpy.ndarray"),
        (None, f4(1), "result: a NoneType, expected a numpy.ndarray"),
        (f4(1).view(Tagged), f4(1), "result: a Tagged, expected a numpy.ndarray"),
        (np.ma.array(f4(1)), f4(1), "result: a MaskedArray, expected a numpy.ndarray"),
        ("1", 1.0, "result: a str, expected a numpy.ndarray or a number"),
        (f4(1)[0], f4(1), "result: float32 of shape (), expected float32 of shape (1,)"),
        (1, 1.0, "result: int64 of shape (), expected float64 of shape ()"),
        (True, 1, "result: bool of shape (), expected int64 of shape ()"),
        (np.ones(3), f4(1, 1, 1), "result: float64 of shape (3,), expected float32 of shape (3,)"),
        (np.ones((3, 1), F4), f4(1, 1, 1), "result: float32 of shape (3, 1), expected float32 of shape (3,)"),
        (np.ones((), F4), f4(1), "result: float32 of shape (), expected float32 of shape (1,)"),
        (np.ones(1, ">f4"), f4(1), "result: >f4 of shape (1,), expected float32 of shape (1,)"),
    ],
)
def test_exact_refuses_another_form(actual: Any, expected: Any, sentence: str) -> None:
    with pytest.raises(Mismatch) as raised:
        exact(actual, expected)
    assert str(raised.value) == sentence


def test_a_list_of_arrays_is_no_tuple() -> None:
    with pytest.raises(Mismatch) as raised:
        exact([f4(1), f4(2)], (f4(1), f4(2)))
    assert str(raised.value) == "result: a list, expected a tuple of 2"


def test_exact_shows_what_differs_in_float64() -> None:
    with pytest.raises(Mismatch) as raised:
        exact(np.nextafter(np.array([0.1]), 1), np.array([0.1]))
    kernel, reference = str(raised.value).split("kernel ")[1].split(", reference ")
    assert kernel != reference


# max_abs_err


def test_errors_up_to_the_limit_pass() -> None:
    max_abs_err(np.array([1.0, 2.25]), np.array([1.25, 2.0]), 0.25)


def test_the_default_limit_is_for_values_near_one() -> None:
    max_abs_err(np.array([1.00009]), np.array([1.0]))
    with pytest.raises(Mismatch, match=r"by more than 0.0001; "):
        max_abs_err(np.array([1.00011]), np.array([1.0]))


def test_max_abs_err_names_the_first_and_the_worst() -> None:
    actual, expected = np.zeros((2, 3)), np.zeros((2, 3))
    actual[0, 1], actual[1, 2] = 0.25183, -0.5
    with pytest.raises(Mismatch) as raised:
        max_abs_err(actual, expected, 0.125, what="distances")
    assert str(raised.value) == (
        "distances: 2 of 6 values differ by more than 0.125; "
        "first at [0, 1]: kernel 0.25183, reference 0 (error 0.252, limit 0.125); "
        "worst at [1, 2]: kernel -0.5, reference 0 (error 0.5, limit 0.125)"
    )


def test_each_value_has_its_own_limit() -> None:
    with pytest.raises(Mismatch) as raised:
        max_abs_err(np.array([1.5, 1.5]), np.array([1.0, 1.0]), np.array([1.0, 0.125]))
    assert str(raised.value) == (
        "result: 1 of 2 values differ by more than their limit; "
        "first and worst at [1]: kernel 1.5, reference 1 (error 0.5, limit 0.125)"
    )


def test_the_worst_is_the_one_farthest_beyond_its_own_limit() -> None:
    with pytest.raises(Mismatch, match=r"; worst at \[1\]: kernel 1, reference 0 \(error 1, limit 0\.01\)$"):
        max_abs_err(np.array([2.0, 1.0]), np.zeros(2), np.array([1.0, 0.01]))


def test_equal_infinities_and_equal_nan_masks_pass() -> None:
    expected = np.array([np.inf, -np.inf, np.nan, 1.0])
    max_abs_err(expected.astype(F4), expected, 0.0, dtype=F4)


@pytest.mark.parametrize(
    ("kernel", "reference"),
    [
        (np.nan, 1.0),
        (1.0, np.nan),
        (np.nan, np.inf),
        (np.inf, np.nan),
        (np.inf, -np.inf),
        (np.inf, 1.0),
        (1.0, np.inf),
    ],
)
def test_no_finite_limit_lets_nan_or_infinity_through(kernel: float, reference: float) -> None:
    with pytest.raises(Mismatch, match=f"kernel {kernel:g}, reference {reference:g} "):
        max_abs_err(np.array([0.0, kernel]), np.array([0.0, reference]), HUGE)


def test_nan_fails_even_an_infinite_limit_and_a_nan_limit_passes_no_error() -> None:
    with pytest.raises(Mismatch, match=r"\(error nan, limit inf\)$"):
        max_abs_err(np.array([np.nan]), np.array([1.0]), np.inf)
    with pytest.raises(Mismatch, match=r"\(error 1, limit nan\)$"):
        max_abs_err(np.array([2.0]), np.array([1.0]), np.nan)


def test_a_nan_is_the_worst_of_all() -> None:
    with pytest.raises(Mismatch) as raised:
        max_abs_err(np.array([5.0, np.nan]), np.array([0.0, 1.0]), 1.0)
    assert str(raised.value) == (
        "result: 2 of 2 values differ by more than 1; first at [0]: kernel 5, reference 0 (error 5, limit 1); "
        "worst at [1]: kernel nan, reference 1 (error nan, limit 1)"
    )


@pytest.mark.parametrize(
    ("actual", "sentence"),
    [
        (np.ones(2), "result: float64 of shape (2,), expected float32 of shape (2,)"),
        (np.ones((1, 2), F4), "result: float32 of shape (1, 2), expected float32 of shape (2,)"),
        (np.ones(2, np.float16), "result: float16 of shape (2,), expected float32 of shape (2,)"),
        (f4(1, 1).view(Tagged), "result: a Tagged, expected a numpy.ndarray"),
        ([1.0, 1.0], "result: a list, expected a numpy.ndarray"),
    ],
)
def test_max_abs_err_refuses_another_form(actual: Any, sentence: str) -> None:
    with pytest.raises(Mismatch) as raised:
        max_abs_err(actual, np.ones(2), HUGE, dtype=F4)
    assert str(raised.value) == sentence


def test_without_a_dtype_the_oracles_counts() -> None:
    with pytest.raises(Mismatch, match=r"float32 of shape .* expected float64"):
        max_abs_err(f4(1), np.array([1.0]), HUGE)


def test_nothing_to_compare_passes() -> None:
    max_abs_err(np.zeros((0, 3), F4), np.zeros((0, 3)), 0.0, dtype=F4)


def test_max_abs_err_compares_arrays_without_dimensions() -> None:
    with pytest.raises(Mismatch) as raised:
        max_abs_err(np.array(1.5), np.array(1.0), 0.125)
    assert str(raised.value) == (
        "result: 1 of 1 values differ by more than 0.125; "
        "first and worst at []: kernel 1.5, reference 1 (error 0.5, limit 0.125)"
    )


def test_infinities_are_equal_whatever_the_limit() -> None:
    with pytest.raises(Mismatch):
        max_abs_err(np.array([3.0]), np.array([np.inf]), np.inf)


# Numbers that float64 rounds


def whole(draw: st.DrawFn, dtype: Any) -> int:
    """Any integer of the dtype, mostly near a power of two or an end of its range."""
    least, most = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    near = st.sampled_from([0, 2**31, 2**52, 2**53, 2**62, 2**63, -(2**53), least, most])
    return min(most, max(least, draw(near | st.integers(least, most)) + draw(st.integers(-3, 3))))


@st.composite
def whole_numbers(draw: st.DrawFn) -> tuple[Any, Any, int | float]:
    kinds: st.SearchStrategy[Any] = st.sampled_from([np.int64, np.uint64, np.int32, np.uint32, np.int8])
    kinds_of = draw(kinds), draw(kinds)
    actual = whole(draw, kinds_of[0])
    least, most = int(np.iinfo(kinds_of[1]).min), int(np.iinfo(kinds_of[1]).max)
    close = min(most, max(least, actual + draw(st.integers(-3, 3))))
    expected = draw(st.just(close) | st.just(whole(draw, kinds_of[1])))
    limit = draw(st.sampled_from([0, 1, abs(actual - expected), abs(actual - expected) - 1, 0.5, 2.0**63, np.nan]))
    return np.array([actual], kinds_of[0]), np.array([expected], kinds_of[1]), limit


@given(whole_numbers())
@settings(quick, max_examples=500)
def test_integers_are_compared_as_python_compares_them(numbers: tuple[Any, Any, int | float]) -> None:
    actual, expected, limit = numbers
    apart = abs(int(actual[0]) - int(expected[0]))
    if apart <= limit:
        max_abs_err(actual, expected, limit, dtype=actual.dtype)
    else:
        with pytest.raises(Mismatch):
            max_abs_err(actual, expected, limit, dtype=actual.dtype)


@pytest.mark.parametrize(
    ("dtype", "kernel", "reference"),
    [(np.int64, 2**62 + 1, 2**62), (np.uint64, 2**64 - 1, 2**64 - 2), (np.int64, -(2**63), -(2**63) + 1)],
)
@pytest.mark.parametrize("shape", [(), (1,)])
def test_one_is_no_error_to_overlook(dtype: Any, kernel: int, reference: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(Mismatch) as raised:
        max_abs_err(np.full(shape, kernel, dtype), np.full(shape, reference, dtype), 0)
    assert str(raised.value) == (
        f"result: 1 of 1 values differ by more than 0; first and worst at {[0][: len(shape)]}: "
        f"kernel {kernel}, reference {reference} (error 1, limit 0)"
    )
    max_abs_err(np.full(shape, kernel, dtype), np.full(shape, reference, dtype), 1)


def test_integers_of_any_sign_are_compared_with_each_other() -> None:
    max_abs_err(np.array([2**63 - 1]), np.array([2**63 - 1], np.uint64), 0, dtype=np.int64)
    with pytest.raises(Mismatch, match=r"\(error 1\.84e\+19, limit 0\)$"):
        max_abs_err(np.array([-1]), np.array([2**64 - 1], np.uint64), 0, dtype=np.int64)


def test_integers_are_compared_with_an_oracle_in_float64_as_it_is() -> None:
    max_abs_err(np.array([2**62]), np.array([2.0**62]), 0, dtype=np.int64)
    with pytest.raises(Mismatch, match=r"\(error 1, limit 0\)$"):
        max_abs_err(np.array([2**62 + 1]), np.array([2.0**62]), 0, dtype=np.int64)
    with pytest.raises(Mismatch, match=r"\(error nan, limit inf\)$"):
        max_abs_err(np.array([2**62]), np.array([np.inf]), np.inf, dtype=np.int64)


def test_the_nearest_rows_are_found_among_integers_that_float64_does_not_tell_apart() -> None:
    oracle = np.array([2**62 + 1, 2**62, 2**62 + 2])
    for dtype, sign in ((np.int64, 1), (np.int64, -1), (np.uint64, 1)):
        values = (sign * oracle).astype(dtype)
        chosen = ids(1, 0)
        top_k(chosen, values[chosen], values, 2, 0, dtype=dtype, largest=sign < 0)
        wrong = ids(0, 2)
        with pytest.raises(Mismatch, match=r"2 of 2 ranks are wrong"):
            top_k(wrong, values[wrong], values, 2, 0, dtype=dtype, largest=sign < 0)


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.int32])
def test_the_largest_integers_come_first(kind: Any) -> None:
    most, least = np.iinfo(kind).max, np.iinfo(kind).min
    scores = np.array([least, most, 0], kind)
    top_k(ids(1, 2), np.array([most, 0], kind), scores, 2, 0, dtype=kind, largest=True)


# Whatever the filters: every test here runs with warnings as errors

SIGNALLING = np.array([0x7FA00000], np.uint32).view(F4)


@pytest.mark.parametrize(
    ("kernel", "reference", "limit", "said"),
    [
        (np.array([3e38], F4), np.array([-1.7e308]), 1.0, "error 1.7e+308, limit 1"),
        (np.array([1.7e308]), np.array([-1.7e308]), 1.0, "error inf, limit 1"),
        (np.array([1e300]), np.array([0.0]), 1e-300, "error 1e+300, limit 1e-300"),
        (np.array([65504], np.float16), np.array([-65504.0]), 5e-324, "error 1.31e+05, limit 4.94e-324"),
        (np.array([np.inf]), np.array([-np.inf]), np.inf, "error nan, limit inf"),
        (SIGNALLING, np.array([1.0]), 1.0, "error nan, limit 1"),
        (np.array([1.0]), SIGNALLING, 0.0, "error nan, limit 0"),
        (np.array([1.0]), np.array([3.0]), 0.0, "error 2, limit 0"),
    ],
)
def test_what_overflows_is_a_difference_and_no_warning(
    kernel: Any, reference: Any, limit: float, said: str
) -> None:
    with np.errstate(all="raise"), pytest.raises(Mismatch) as raised:
        max_abs_err(kernel, reference, limit, dtype=kernel.dtype)
    assert str(raised.value).endswith(f"({said})")


def test_the_bounds_of_a_rank_may_overflow() -> None:
    with np.errstate(all="raise"):
        oracle = np.array([-1.7e308, 1.7e308, np.inf, -np.inf, np.nan])
        top_k(ids(3, 0, 1), np.array([-np.inf, -1.7e308, 1.7e308]), oracle, 3, 1e308, dtype=np.float64)
        exact(SIGNALLING, SIGNALLING.copy())
        with pytest.raises(Mismatch, match="kernel nan, reference 1 "):
            top_k(ids(1), SIGNALLING, np.array([2.0, 1.0]), 1, np.inf)


def test_an_id_that_is_no_number_is_no_row() -> None:
    with pytest.raises(Mismatch, match=r"^top-k ids: 1 of 1 are not rows; first at \[0\]: nan, expected 0 to 4$"):
        top_k(np.array([np.nan]), f4(1), ORACLE, 1, 0.25, id_dtype=np.float64)


def test_no_imaginary_part_is_left_out() -> None:
    with pytest.raises(TypeError, match="complex numbers are compared by their real and imaginary parts"):
        max_abs_err(np.array([1.0]), np.array([1 + 9j]), dtype=np.float64)
    with pytest.raises(TypeError, match="complex numbers are compared by their real and imaginary parts"):
        top_k(ids(0), f4(1), np.array([1 + 9j]), 1, 0.0)


reals = st.floats(-1e3, 1e3, width=32)


@quick
@given(st.lists(reals, min_size=1, max_size=30), st.data())
def test_one_value_beyond_its_limit_is_always_found(values: list[float], data: st.DataObject) -> None:
    expected = np.array(values)
    limits = np.array(data.draw(st.lists(st.floats(1e-6, 1e3), min_size=len(values), max_size=len(values))))
    within = np.array(data.draw(st.lists(st.floats(-0.99, 0.99), min_size=len(values), max_size=len(values))))
    actual = expected + within * limits
    max_abs_err(actual, expected, limits)
    at = data.draw(st.integers(0, len(values) - 1))
    actual[at] = expected[at] + data.draw(st.sampled_from([-1.01, 1.01, 1e6, np.inf, np.nan])) * limits[at]
    with pytest.raises(Mismatch, match=rf"^result: 1 of {len(values)} values .* first and worst at \[{at}\]: "):
        max_abs_err(actual, expected, limits)


# top_k

ORACLE = np.array([4.0, 1.0, 3.0, 1.0, 2.0])


def test_the_nearest_rows_pass_in_any_order_within_a_tie() -> None:
    top_k(ids(1, 3, 4), f4(1, 1, 2), ORACLE, 3, 0.0)
    top_k(ids(3, 1, 4), f4(1, 1, 2), ORACLE, 3, 0.0)


def test_either_row_of_a_tie_at_the_cut_is_right() -> None:
    top_k(ids(1), f4(1), ORACLE, 1, 0.0)
    top_k(ids(3), f4(1), ORACLE, 1, 0.0)


def test_rows_closer_than_the_limit_may_swap() -> None:
    oracle = np.array([1.0, 1.125, 9.0])
    top_k(ids(1, 0), f4(1.0625, 1.0625), oracle, 2, 0.125)
    with pytest.raises(Mismatch):
        top_k(ids(1, 0), f4(1.125, 1.0), oracle, 2, 0.0)


def test_fewer_rows_than_asked_for_are_all_returned() -> None:
    top_k(ids(1, 3, 4, 2, 0), f4(1, 1, 2, 3, 4), ORACLE, 9, 0.0)


def test_no_rows_give_an_empty_list() -> None:
    top_k(ids(), f4(), np.zeros(0), 3, 0.0)


def test_rows_without_a_distance_rank_last() -> None:
    oracle = np.array([np.nan, 2.0, 1.0])
    top_k(ids(2, 1, 0), f4(1, 2, np.nan), oracle, 3, 0.0)
    with pytest.raises(Mismatch):
        top_k(ids(0, 2), f4(np.nan, 1), oracle, 2, 0.0)


@pytest.mark.parametrize(
    ("chosen", "distances", "sentence"),
    [
        (
            ids(1, 1, 4),
            f4(1, 1, 2),
            "top-k ids: row 1 is returned 2 times; first at [0]",
        ),
        (
            ids(1, 3, 5),
            f4(1, 1, 2),
            "top-k ids: 1 of 3 are not rows; first at [2]: 5, expected 0 to 4",
        ),
        (
            ids(1, 3, 2),
            f4(1, 1, 2),
            "top-k distances of the returned ids: 1 of 3 values differ by more than their limit; "
            "first and worst at [2]: kernel 2, reference 3 (error 1, limit 0.25)",
        ),
        (
            ids(1, 3, 2),
            f4(1, 1, 3),
            "top-k distances: 1 of 3 ranks are wrong; first at [2]: kernel 3, reference 1.75 to 2.25",
        ),
        (
            ids(1, 3, 4),
            f4(1.25, 1, 2),
            "top-k distances: not ascending; first at [1]: 1 after 1.25",
        ),
        (
            ids(1, 3),
            f4(1, 1),
            "top-k ids: uint32 of shape (2,), expected uint32 of shape (3,)",
        ),
        (
            np.array([1, 3, 4]),
            f4(1, 1, 2),
            "top-k ids: int64 of shape (3,), expected uint32 of shape (3,)",
        ),
        (
            ids(1, 3, 4),
            np.array([1.0, 1.0, 2.0]),
            "top-k distances: float64 of shape (3,), expected float32 of shape (3,)",
        ),
        (
            ids(1, 3, 4).view(Tagged),
            f4(1, 1, 2),
            "top-k ids: a Tagged, expected a numpy.ndarray",
        ),
        (
            ids(1, 3, 4),
            f4(1, np.nan, 2),
            "top-k distances of the returned ids: 1 of 3 values differ by more than their limit; "
            "first and worst at [1]: kernel nan, reference 1 (error nan, limit 0.25)",
        ),
    ],
)
def test_a_wrong_list_is_refused(chosen: Any, distances: Any, sentence: str) -> None:
    with pytest.raises(Mismatch) as raised:
        top_k(chosen, distances, ORACLE, 3, 0.25)
    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    ("chosen", "scores", "sentence"),
    [
        (ids(0, 2), f4(4), "top-k scores: float32 of shape (1,), expected float32 of shape (2,)"),
        (
            ids(2, 0),
            f4(3, 4),
            "top-k scores: 2 of 2 ranks are wrong; first at [0]: kernel 3, reference 3.75 to 4.25",
        ),
        (
            ids(4, 2),
            f4(1.75, 3),
            "top-k scores: 1 of 2 ranks are wrong; first at [0]: kernel 1.75, reference 3.75 to 4.25",
        ),
    ],
)
def test_a_wrong_list_of_scores_is_refused(chosen: Any, scores: Any, sentence: str) -> None:
    with pytest.raises(Mismatch) as raised:
        top_k(chosen, scores, ORACLE, 2, 0.25, largest=True)
    assert str(raised.value) == sentence


def test_the_largest_scores_come_first_and_rows_without_one_last() -> None:
    top_k(ids(0, 2, 4), f4(4, 3, 2), ORACLE, 3, 0.0, largest=True)
    top_k(ids(1, 2, 0), f4(2, 1, np.nan), np.array([np.nan, 2.0, 1.0]), 3, 0.0, largest=True)
    near = np.array([1.0, 1.125])
    with pytest.raises(Mismatch, match=r"^top-k scores: not descending; first at \[1\]: 1.125 after 1.0625$"):
        top_k(ids(0, 1), f4(1.0625, 1.125), near, 2, 0.125, largest=True)


def test_negative_ids_are_no_rows() -> None:
    with pytest.raises(Mismatch, match=r"^hits ids: 1 of 1 are not rows; first at \[0\]: -1, expected 0 to 4$"):
        top_k(np.array([-1], np.int32), f4(4), ORACLE, 1, 0.25, id_dtype=np.int32, what="hits")


def test_right_distances_do_not_excuse_wrong_ids() -> None:
    with pytest.raises(Mismatch, match=r"^top-k distances of the returned ids: 3 of 3 "):
        top_k(ids(0, 2, 4), f4(1, 1, 1.5), ORACLE, 3, 0.25)


def test_an_honest_list_passes_where_limits_differ_between_rows() -> None:
    top_k(ids(1, 2, 0), f4(11, 12, 15), np.array([10.0, 11.0, 12.0]), 3, np.array([5.0, 0.0, 0.0]))


@st.composite
def ranked(draw: st.DrawFn) -> tuple[Any, Any, Any, int]:
    """Ids in groups of near ties, shuffled inside each group, with one distance per group; the oracle; k."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=6))
    n = sum(sizes)
    rows = draw(st.permutations(range(n)))
    oracle = np.empty(n)
    chosen: list[int] = []
    distances: list[int] = []
    for group, size in enumerate(sizes):
        for row in rows[len(chosen) : len(chosen) + size]:
            oracle[row] = group + draw(st.floats(-0.125, 0.125))
            chosen.append(row)
            distances.append(group)
    k = draw(st.integers(1, n))
    return np.array(chosen[:k], np.uint32), np.array(distances[:k], F4), oracle, k


@quick
@given(ranked())
def test_any_order_inside_a_band_of_near_ties_passes(answer: tuple[Any, Any, Any, int]) -> None:
    chosen, distances, oracle, k = answer
    top_k(chosen, distances, oracle, k, 0.125)


@quick
@given(ranked(), st.data())
def test_one_distance_beyond_its_limit_fails(answer: tuple[Any, Any, Any, int], data: st.DataObject) -> None:
    chosen, distances, oracle, k = answer
    at = data.draw(st.integers(0, k - 1))
    distances[at] = oracle[chosen[at]] + data.draw(st.sampled_from([-0.26, 0.26, 10.0, np.nan]))
    with pytest.raises(Mismatch):
        top_k(chosen, distances, oracle, k, 0.125)


@quick
@given(ranked(), st.sampled_from([0.0, 0.26, np.nan]))
def test_scores_are_judged_as_distances_of_the_other_sign(answer: tuple[Any, Any, Any, int], error: float) -> None:
    chosen, distances, oracle, k = answer
    distances[-1] += error

    def refused(sign: int) -> bool:
        try:
            top_k(chosen, sign * distances, sign * oracle, k, 0.125, largest=sign < 0)
        except Mismatch:
            return True
        return False

    assert refused(1) == refused(-1)


@quick
@given(ranked(), st.data())
def test_one_id_replaced_by_a_farther_row_fails(answer: tuple[Any, Any, Any, int], data: st.DataObject) -> None:
    chosen, distances, oracle, k = answer
    at = data.draw(st.integers(0, k - 1))
    others = [row for row in range(len(oracle)) if abs(oracle[row] - oracle[chosen[at]]) > 0.5]
    chosen[at] = data.draw(st.sampled_from([*others, len(oracle), 2**32 - 1]))
    with pytest.raises(Mismatch):
        top_k(chosen, distances, oracle, k, 0.125)


def test_numpy_s_warnings_are_afterwards_what_they_were() -> None:
    """A helper that calls another, as `top_k` and nested tuples do."""
    with np.errstate(all="raise"):
        exact((np.ones(2), np.ones(2)), (np.ones(2), np.ones(2)))
        top_k(np.zeros(1, np.uint32), np.ones(1, np.float32), np.ones(1), 1, 0.0)
        assert set(np.geterr().values()) == {"raise"}


# The reference.


@pytest.mark.parametrize("helper", [exact, max_abs_err, top_k])
def test_a_helper_takes_what_the_reference_says(helper: Any) -> None:
    page = (Path(__file__).parent.parent / "docs" / "target-reference.md").read_text(encoding="utf-8")
    (shown,) = re.findall(rf"^\| `({helper.__name__}\(.*?\))` \|", page, re.M)
    call = ast.parse(shown, mode="eval").body
    assert isinstance(call, ast.Call)
    said = {keyword.arg: eval(ast.unparse(keyword.value), {"np": np}) for keyword in call.keywords}
    parameters = inspect.signature(helper).parameters
    assert [*map(ast.unparse, call.args), *said] == list(parameters)
    assert said == {name: one.default for name, one in parameters.items() if one.default is not one.empty}


# recall


def test_the_recall_is_the_share_of_the_nearest_rows_that_are_found() -> None:
    assert recall(ids(1, 3, 4), ORACLE, 3) == 1.0
    assert recall(ids(0, 3, 2), ORACLE, 3) == pytest.approx(1 / 3)
    assert recall(ids(0), ORACLE, 1) == 0.0


def test_the_recall_of_scores_counts_the_largest() -> None:
    assert recall(ids(0, 2), ORACLE, 2, largest=True) == 1.0
    assert recall(ids(1, 2), ORACLE, 2, largest=True) == 0.5


def test_inside_a_tie_at_the_cut_any_row_is_found() -> None:
    assert recall(ids(3), ORACLE, 1) == recall(ids(1), ORACLE, 1) == 1.0


def test_of_rows_without_a_distance_any_will_do_once_they_are_among_the_nearest() -> None:
    oracle = np.array([np.nan, 2.0, np.nan, 1.0])
    assert recall(ids(3, 1, 0), oracle, 3) == 1.0
    assert recall(ids(3, 0), oracle, 2) == 0.5


def test_of_no_rows_all_are_found() -> None:
    assert recall(ids(), np.zeros(0), 3) == 1.0


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        (ids(1, 3, 4, 2), "ids: uint32 of shape (4,), expected uint32 of shape (3,)"),
        (ids(1, 3), "ids: uint32 of shape (2,), expected uint32 of shape (3,)"),
        (ids(1, 3, 3), "ids: row 3 is returned 2 times; first at [1]"),
        (ids(1, 3, 5), "ids: 1 of 3 are not rows; first at [2]: 5, expected 0 to 4"),
        (f4(1, 3, 4), "ids: float32, expected whole numbers"),
        ([1, 3, 4], "ids: a list, expected an array of whole numbers"),
    ],
)
def test_more_ids_than_asked_for_and_what_is_no_row_are_refused(chosen: Any, sentence: str) -> None:
    with pytest.raises(Mismatch) as raised:
        recall(chosen, ORACLE, 3)
    assert str(raised.value) == sentence
