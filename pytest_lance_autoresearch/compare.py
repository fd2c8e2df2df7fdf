"""Comparisons of a kernel's result with the oracle's, for the `check` of a target.

Owns how two results are compared and how a difference is described. Each helper returns None or raises
`Mismatch` (an AssertionError) whose text names how many values differ, the first and the worst of them, both
values and the limit. Every test is written `ok = error <= limit`, so that NaN never passes. What overflows or is
no number on the way is an answer, not a warning: nothing depends on the user's filters.
"""

from __future__ import annotations

import functools
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, DTypeLike, NDArray

_P = ParamSpec("_P")
_R = TypeVar("_R")
UNIT_SCALE_LIMIT = 1e-4
"""Default limit of `max_abs_err`: fit for values near 1, and for nothing else."""


class Mismatch(AssertionError):
    """A kernel's result is not the oracle's."""


def _quietly(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Without numpy's warnings inside, and with those of before behind it.

    `np.errstate` as a decorator is one object: with numpy 1, a helper that calls another left them off for good.
    """

    @functools.wraps(function)
    def quiet(*arguments: _P.args, **named: _P.kwargs) -> _R:
        with np.errstate(all="ignore"):
            return function(*arguments, **named)

    return quiet


@_quietly
def exact(actual: Any, expected: Any, what: str = "result") -> None:
    """Require the same structure, dtype, shape and bits.

    Parameters
    ----------
    actual, expected : numpy.ndarray, a number, or a tuple of them
        Arrays of any dtype and shape, among which a number is one without dimensions; tuples are compared item
        by item. NaNs are equal when their bits are; 0.0 and -0.0 differ.
    what : str
        The name that the message gives to the value.

    Raises
    ------
    Mismatch
        On the first item that differs.
    """
    if isinstance(expected, tuple):
        if type(actual) is not tuple or len(actual) != len(expected):
            raise Mismatch(f"{what}: {_kind(actual)}, expected {_kind(expected)}")
        for index, (item, wanted) in enumerate(zip(actual, expected, strict=True)):
            exact(item, wanted, f"{what}[{index}]")
        return
    actual, wanted = _number_as_array(actual), np.asarray(expected)
    _same_form(actual, wanted.dtype, wanted.shape, what)
    differs = _bits(actual) != _bits(wanted)
    if differs.ndim > wanted.ndim:
        differs = differs.any(axis=-1)
    if differs.any():
        first = _first(differs)
        raise Mismatch(
            f"{what}: {_count(differs)} values differ (bits must be equal); "
            f"first at {_where(first)}: kernel {_show(actual[first])}, reference {_show(wanted[first])}"
        )


@_quietly
def max_abs_err(
    actual: Any,
    expected: ArrayLike,
    limit: ArrayLike = UNIT_SCALE_LIMIT,
    *,
    dtype: DTypeLike | None = None,
    what: str = "result",
) -> None:
    """Require `|actual - expected| <= limit` for every value, NaN exactly where the oracle has NaN.

    Parameters
    ----------
    actual : numpy.ndarray, or a number
        The kernel's values; a number is an array without dimensions.
    expected : array of the same shape
        The oracle's values, best in float64.
    limit : float or array that broadcasts to the shape
        The largest allowed absolute error. Integers of any size and sign are compared without rounding. For
        floating point, a bound that the oracle computes from the terms it summed,
        `c * 2**-24 * n_terms * sum(|terms|)` for float32 (Higham, Accuracy and Stability of Numerical Algorithms,
        section 4.2), accepts every order of summation and refuses half precision; the default 1e-4 fits values
        near 1 only.
    dtype : dtype, optional
        The dtype that `actual` must have; by default that of `expected`.
    what : str
        The name that the message gives to the value.

    Raises
    ------
    Mismatch
        When the type, dtype, shape or any value is wrong. Infinities must be equal.
    """
    actual, wanted = _number_as_array(actual), np.asarray(expected)
    _same_form(actual, np.dtype(dtype) if dtype is not None else wanted.dtype, wanted.shape, what)
    limits = np.broadcast_to(np.asarray(limit, dtype=np.float64), wanted.shape)
    error = _error(actual, wanted)
    wrong = np.asarray(~(error <= limits))
    for index, exact_error in _beyond_float64(actual, wanted):
        error[index], wrong[index] = exact_error, not exact_error <= _item(limit, limits, index)
    if not wrong.any():
        return
    worst = _first(_badness(error, limits))
    uniform = np.asarray(limit).ndim == 0
    head = f"differ by more than {float(limits.flat[0]):.3g}" if uniform else "differ by more than their limit"

    def side(index: tuple[Any, ...]) -> str:
        return (
            f"at {_where(index)}: kernel {_show(actual[index])}, reference {_show(wanted[index])} "
            f"(error {float(error[index]):.3g}, limit {float(limits[index]):.3g})"
        )

    first = _first(wrong)
    places = f"first and worst {side(first)}" if first == worst else f"first {side(first)}; worst {side(worst)}"
    raise Mismatch(f"{what}: {_count(wrong)} values {head}; {places}")


@_quietly
def top_k(
    ids: Any,
    distances: Any,
    oracle: ArrayLike,
    k: int,
    limit: ArrayLike,
    *,
    largest: bool = False,
    id_dtype: DTypeLike = np.uint32,
    dtype: DTypeLike = np.float32,
    what: str = "top-k",
) -> None:
    """Require a correct list of the k smallest distances, or largest scores; close rows may swap places.

    Parameters
    ----------
    ids : numpy.ndarray, shape (min(k, n),), dtype `id_dtype`
        Rows chosen by the kernel: unique and in range.
    distances : numpy.ndarray, shape (min(k, n),), dtype `dtype`
        Their distances in ascending order; each within its limit of the oracle's distance *of that row*, and
        of the oracle's distance of that rank.
    oracle : array, shape (n,)
        The oracle's distance of every row; NaN ranks last.
    k : int
        How many rows were asked for.
    limit : float or array, shape (n,)
        The largest allowed absolute error of each row's distance.
    largest : bool
        The values are scores: the k largest, in descending order.

    Raises
    ------
    Mismatch
        Naming the first rank that is wrong. Equal ids are never required: any order inside a tie is right.
    """
    every = np.asarray(oracle)
    every = every if _is_whole(every) else _real(every)
    limits = np.broadcast_to(np.asarray(limit, dtype=np.float64), every.shape)
    size = min(k, every.size)
    values = f"{what} {'scores' if largest else 'distances'}"
    _same_form(ids, np.dtype(id_dtype), (size,), f"{what} ids")
    _same_form(distances, np.dtype(dtype), (size,), values)
    _valid_ids(ids, every.size, f"{what} ids")
    rows = ids.astype(np.int64)
    max_abs_err(distances, every[rows], limits[rows], dtype=dtype, what=f"{values} of the returned ids")
    _right_ranks(distances, every, limits, values, largest=largest)
    _in_order(distances, values, descends=largest)


@_quietly
def recall(ids: Any, every_distance: ArrayLike, k: int, *, largest: bool = False, what: str = "ids") -> float:
    """How many of the k nearest rows are among the ids, as a share from 0 to 1.

    What the `check` of a lossy target returns.

    Parameters
    ----------
    ids : numpy.ndarray of integers, shape (min(k, n),)
        Rows chosen by the kernel: unique and in range, in any order.
    every_distance : array, shape (n,)
        The oracle's distance of every row; NaN ranks last.
    k : int
        How many rows were asked for.
    largest : bool
        The values are scores: the k largest are the nearest.

    Returns
    -------
    float
        The share of the ids that are no farther than the k-th nearest row: inside a tie any row is right. 1 where
        there are no rows.

    Raises
    ------
    Mismatch
        For another number of ids, and for ids that are not rows or stand there twice.
    """
    every = np.asarray(every_distance)
    size = min(k, every.size)
    if type(ids) is not np.ndarray:
        raise Mismatch(f"{what}: {_kind(ids)}, expected an array of whole numbers")
    if not _is_whole(ids):
        raise Mismatch(f"{what}: {ids.dtype}, expected whole numbers")
    _same_form(ids, ids.dtype, (size,), what)
    _valid_ids(ids, every.size, what)
    if size == 0:
        return 1.0
    farthest = _best(every, size, largest=largest)[-1]
    chosen = every[ids.astype(np.int64)]
    found = (chosen >= farthest) if largest else (chosen <= farthest)
    return float(np.mean(found | np.isnan(farthest)))


def _right_ranks(
    actual: NDArray[Any], every: NDArray[Any], limits: NDArray[np.float64], what: str, *, largest: bool
) -> None:
    """The r-th value lies between the r-th of the best lower and the r-th of the best upper bounds of all rows."""
    bounds = (every - limits, every + limits) if limits.any() else (every, every)  # integers stay integers
    low, high = (_best(bound, actual.size, largest=largest) for bound in bounds)
    right = ((low <= actual) & (actual <= high)) | (np.isnan(low) & np.isnan(actual))
    if not right.all():
        first = _first(~right)
        raise Mismatch(
            f"{what}: {_count(~right)} ranks are wrong; first at {_where(first)}: "
            f"kernel {_show(actual[first])}, reference {_show(low[first])} to {_show(high[first])}"
        )


def _best(values: NDArray[Any], size: int, *, largest: bool) -> NDArray[Any]:
    """The `size` smallest values, ascending, or the largest, descending; NaN ranks last."""
    keys = _reversed(values) if largest else values
    best = np.sort(np.partition(keys, size - 1)[:size] if 0 < size < keys.size else keys)[:size]
    return _reversed(best) if largest else best


def _reversed(values: NDArray[Any]) -> NDArray[Any]:
    """Values in the opposite order; the inverse of itself. No integer has a complement that overflows."""
    return ~values if _is_whole(values) else -values


def _in_order(actual: NDArray[Any], what: str, *, descends: bool) -> None:
    before, after = actual[:-1], actual[1:]
    unsorted = np.flatnonzero(after > before if descends else after < before)
    if unsorted.size:
        rank = int(unsorted[0])
        raise Mismatch(
            f"{what}: not {'descending' if descends else 'ascending'}; first at [{rank + 1}]: "
            f"{_show(after[rank])} after {_show(before[rank])}"
        )


def _valid_ids(ids: NDArray[Any], n: int, what: str) -> None:
    outside = ~((ids >= 0) & (ids < n))
    if outside.any():
        first = _first(outside)
        raise Mismatch(
            f"{what}: {_count(outside)} are not rows; first at {_where(first)}: "
            f"{_show(ids[first])}, expected 0 to {n - 1}"
        )
    values, first_seen, times = np.unique(ids, return_index=True, return_counts=True)
    if (times > 1).any():
        twice = int(np.argmax(times > 1))
        raise Mismatch(
            f"{what}: row {_show(values[twice])} is returned {int(times[twice])} times; "
            f"first at [{int(first_seen[twice])}]"
        )


def _number_as_array(value: Any) -> Any:
    """A number of numpy or Python as an array without dimensions; anything else as it is."""
    return np.asarray(value) if isinstance(value, bool | int | float | np.generic) else value


def _same_form(actual: Any, dtype: np.dtype[Any], shape: tuple[int, ...], what: str) -> None:
    if type(actual) is not np.ndarray:
        raise Mismatch(f"{what}: {_kind(actual)}, expected a numpy.ndarray{' or a number' if shape == () else ''}")
    if actual.dtype != dtype or actual.shape != shape:
        raise Mismatch(
            f"{what}: {actual.dtype} of shape {_shape(actual.shape)}, expected {dtype} of shape {_shape(shape)}"
        )


def _error(actual: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.float64]:
    """|actual - wanted| in float64: 0 where both are the same NaN or infinity, NaN where only one is."""
    one, other = _real(actual), _real(wanted)
    error = np.where(np.isfinite(one) & np.isfinite(other), np.abs(one - other), np.nan)
    return np.where((np.isnan(one) & np.isnan(other)) | (one == other), 0.0, error)


def _beyond_float64(actual: NDArray[Any], wanted: NDArray[Any]) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Where an integer is compared and float64 might not hold the difference: the index, and the exact error."""
    if not (_is_whole(actual) or _is_whole(wanted)):
        return
    one, other = _real(actual), _real(wanted)
    large = np.isfinite(one) & np.isfinite(other) & (np.maximum(np.abs(one), np.abs(other)) > 2**52)
    number: Callable[[Any], Any] = Fraction
    if _is_whole(actual) and _is_whole(wanted):
        large, number = large & _unequal(actual, wanted), int
    for index in map(tuple, np.argwhere(large)):
        yield index, abs(number(actual[index].item()) - number(wanted[index].item()))


def _unequal(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Of integers, exactly: numpy 1 compares an unsigned one with a signed one in float64."""
    return np.asarray((one.astype(np.uint64) != other.astype(np.uint64)) | ((one < 0) != (other < 0)))


def _real(values: NDArray[Any]) -> NDArray[np.float64]:
    """The values in float64, which would leave out imaginary parts without a word."""
    if values.dtype.kind == "c":
        raise TypeError("complex numbers are compared by their real and imaginary parts, one after the other")
    return np.asarray(values, np.float64)


def _is_whole(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "iu"


def _item(limit: ArrayLike, limits: NDArray[np.float64], index: tuple[int, ...]) -> Any:
    """The limit of one value as a number of Python: an integer as it was given, all others in float64."""
    given = np.asarray(limit)
    is_exact = given.dtype.kind in "iuO"  # O: a number that fits no other dtype
    return (np.broadcast_to(given, limits.shape) if is_exact else limits)[index].item()


def _badness(error: NDArray[np.float64], limits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Error in limits; NaN, which argmax takes for the largest, stays."""
    return np.where(error == 0, 0.0, error / limits)


def _bits(array: NDArray[Any]) -> NDArray[Any]:
    """The array's bytes, one trailing axis per value when an item is wider than one byte."""
    flat = np.ascontiguousarray(array).reshape(array.shape)
    if flat.dtype.itemsize in (1, 2, 4, 8):
        return flat.view(f"u{flat.dtype.itemsize}")
    return flat[..., None].view(np.uint8)


def _first(mask: NDArray[Any]) -> tuple[Any, ...]:
    """The index of the first largest value: of a mask, the first True."""
    return tuple(np.unravel_index(int(np.argmax(mask)), mask.shape))


def _count(mask: NDArray[np.bool_]) -> str:
    return f"{int(mask.sum())} of {mask.size}"


def _where(index: tuple[Any, ...]) -> str:
    return "[" + ", ".join(str(int(i)) for i in index) + "]"


def _shape(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"


def _show(value: Any) -> str:
    """A number with the digits that tell it from its neighbours."""
    if not isinstance(value, np.floating):
        return str(value)
    short = f"{float(value):.9g}"
    return repr(float(value)) if value.dtype.itemsize > 4 and float(short) != value else short


def _kind(value: Any) -> str:
    if type(value) is tuple:
        return f"a tuple of {len(value)}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
