"""Wrong kernels and honest rewrites of any target, as a self-test judges them.

Owns what each of them would have answered: the right answers changed afterwards, or those of the target's own
kernel on coarser inputs or compiled in another way. Pure functions; `selftest` runs the kernel and judges.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import decode_source
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pytest_lance_autoresearch.errors import KernelFailure
from pytest_lance_autoresearch.target_files import seeds, sources

if TYPE_CHECKING:
    from pytest_lance_autoresearch.records import Call, Case

Array = np.ndarray[Any, Any]
AnswersOrFailure = Sequence[Any] | KernelFailure
"""What one kernel answered to the calls of a case, or how it failed."""

KERNEL: Final = "kernel"
FASTMATH: Final = "fastmath"
FLOAT16: Final = "float16"
LAST_PART: Final = 100
"""`tail` changes the last hundredth of a result: a buffer may hold less than its size, its end unchecked."""


class NotApplicable(Exception):
    """The stand-in cannot be made for this target; the text says why."""


@dataclass(frozen=True)
class Sample:
    """The published calls of one case: what is right, and what the kernel and its variants answered."""

    case: Case
    calls: Sequence[Call]
    expected: Sequence[Any]
    answers: Mapping[str, AnswersOrFailure]
    """By `KERNEL`, `FASTMATH` and, where any input is a floating-point number, `FLOAT16`."""

    def answer_of(self, kind: str, number: int) -> Any:
        """One answer; raises the failure when the kernel gave none."""
        if kind not in self.answers:
            raise NotApplicable("no input is a floating-point number")
        answers = self.answers[kind]
        if isinstance(answers, KernelFailure):
            raise answers
        return answers[number]


StandIn = Callable[[Sample, int], Any]
"""From a sample and the number of a call to what the stand-in answers."""


def _each(change: Callable[[Array], Array]) -> StandIn:
    """Changes every array and every number of the right answer."""

    def changed(right: Any) -> Any:
        return _in_place_of(right, change(np.asarray(right)))

    def answer(sample: Sample, number: int) -> Any:
        right = sample.answer_of(KERNEL, number)
        return tuple(map(changed, right)) if isinstance(right, tuple) else changed(right)

    return answer


def _in_place_of(right: Any, other: Array) -> Any:
    """Other values in the form of the right ones: a number stays a number."""
    return other if isinstance(right, np.ndarray) else type(right)(other[()])


def _items(right: Any) -> tuple[Any, ...]:
    return right if isinstance(right, tuple) else (right,)


def _rearranged(change: Callable[[Array], Array]) -> StandIn:
    """The same where the values take each other's places, which numbers have none of."""

    def answer(sample: Sample, number: int) -> Any:
        if not any(isinstance(item, np.ndarray) for item in _items(sample.answer_of(KERNEL, number))):
            raise NotApplicable("no result is an array")
        return _each(change)(sample, number)

    return answer


def _answer_of(kind: str) -> StandIn:
    return lambda sample, number: sample.answer_of(kind, number)


def _constant(right: Array) -> Array:
    return np.full_like(right, right.flat[0]) if right.size else right


def _nan(right: Array) -> Array:
    """NaN; in whole numbers the largest there is."""
    if right.dtype.kind == "f":
        return np.full_like(right, np.nan)
    return np.full_like(right, True if right.dtype.kind == "b" else np.iinfo(right.dtype).max)


def _leftovers(right: Array) -> Array:
    """Any bits, as memory holds that nobody wrote to."""
    rng = seeds.rng(seeds.PUBLISHED_SEED, "self-test", right.size)
    bits = np.frombuffer(rng.bytes(right.nbytes), np.uint8)
    return (bits % 2 == 1 if right.dtype.kind == "b" else bits.view(right.dtype)).reshape(right.shape)


def _first_nine_tenths(right: Array) -> Array:
    changed = right.flatten()
    changed[right.size * 9 // 10 :] = 0
    return changed.reshape(right.shape)


def _tail(right: Array) -> Array:
    changed = right.flatten()
    end = changed[right.size - max(1, right.size // LAST_PART) :] if right.size else changed
    with np.errstate(all="ignore"):
        end[...] = _other_values(end)
    return changed.reshape(right.shape)


def _other_values(values: Array) -> Array:
    """Each of them changed."""
    match values.dtype.kind:
        case "f":
            return values * 1.5 + 1
        case "b":
            return ~values
        case _:
            return values + 1


def _shifted(right: Array) -> Array:
    return np.roll(right, 1)


def _ids_in_order(sample: Sample, number: int) -> Any:
    right = sample.answer_of(KERNEL, number)
    if all(np.asarray(item).dtype.kind not in "iu" for item in _items(right)):
        raise NotApplicable("no result is made of whole numbers")
    return _each(_counted)(sample, number)


def _counted(right: Array) -> Array:
    if right.dtype.kind not in "iu":
        return right
    return np.arange(right.size).astype(right.dtype).reshape(right.shape)


def _input_copied(sample: Sample, number: int) -> Any:
    arrays = [value for value in sample.calls[number] if isinstance(value, np.ndarray) and value.size]
    if not arrays:
        raise NotApplicable("no argument is an array")
    with np.errstate(all="ignore"):
        return _each(lambda right: np.resize(arrays[0].astype(right.dtype), right.shape))(sample, number)


def _previous_call(sample: Sample, number: int) -> Any:
    return sample.answer_of(KERNEL, number - 1)


def _float64(sample: Sample, number: int) -> Any:
    """The oracle's answer in place of the kernel's; what it returns beyond that is for `check`."""
    right, expected = sample.answer_of(KERNEL, number), sample.expected[number]
    if not isinstance(right, tuple):
        return _like(right, expected[0] if isinstance(expected, tuple) else expected)
    if not isinstance(expected, tuple) or len(expected) < len(right):
        raise NotApplicable("the oracle's result does not begin with what the kernel returns")
    return tuple(map(_like, right, expected))


def _like(right: Any, value: Any) -> Any:
    wanted = np.asarray(right)
    with suppress(ValueError):  # arrays of different shapes make none
        array = np.asarray(value)
        if array.shape == wanted.shape:
            return _in_place_of(right, array.astype(wanted.dtype))
    raise NotApplicable("the oracle's result does not begin with what the kernel returns")


WRONG: Final[Mapping[str, StandIn]] = {
    "zeros": _each(np.zeros_like),
    "constant": _rearranged(_constant),
    "nan": _each(_nan),
    "input_copied": _input_copied,
    "stale_buffer": _each(_leftovers),
    "previous_call": _previous_call,
    "first_nine_tenths": _each(_first_nine_tenths),
    "tail": _each(_tail),
    "shifted": _rearranged(_shifted),
    "ids_in_order": _ids_in_order,
    "float16": _answer_of(FLOAT16),
}
"""Each must be refused on every shape."""

HONEST: Final[Mapping[str, StandIn]] = {
    "kernel": _answer_of(KERNEL),
    "float64": _float64,
    "fastmath": _answer_of(FASTMATH),
}
"""Each must be accepted on every case."""


def coarser(value: Any) -> Any:
    """A state or a call with every floating-point number rounded to float16; the same object if there is none."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        with np.errstate(all="ignore"):
            return value.astype(np.float16).astype(value.dtype)
    if isinstance(value, tuple | list):
        parts = [coarser(part) for part in value]
        if all(new is old for new, old in zip(parts, value, strict=True)):
            return value
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def with_fastmath(text: bytes) -> bytes:
    """The source of a kernel that runs, with fastmath in every njit decorator: the compiler may sum in any order.

    Nothing else of it is touched: `ast.unparse` cannot write a long expression.
    """
    source = b"# coding: utf-8\n" + decode_source(text).encode()
    starts = [0, *accumulate(len(line) + 1 for line in source.split(b"\n"))]
    decorators = [found for node in ast.walk(sources.parsed(source)) for found in _compiling(node)]
    for decorator in sorted(decorators, key=lambda node: node.lineno, reverse=True):
        begin = starts[decorator.lineno - 1] + decorator.col_offset
        end = starts[(decorator.end_lineno or 0) - 1] + (decorator.end_col_offset or 0)
        source = source[:begin] + ast.unparse(_faster(decorator)).encode() + source[end:]
    return source


def _compiling(node: ast.AST) -> list[ast.expr]:
    """The decorators of a function that have numba compile it."""
    found = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    names = [one.func if isinstance(one, ast.Call) else one for one in found]
    return [
        one
        for one, name in zip(found, names, strict=True)
        if getattr(name, "id", getattr(name, "attr", "")) in ("njit", "jit")
    ]


def _faster(decorator: ast.expr) -> ast.Call:
    call = decorator if isinstance(decorator, ast.Call) else ast.Call(decorator, [], [])
    kept = [keyword for keyword in call.keywords if keyword.arg != "fastmath"]
    return ast.Call(call.func, call.args, [*kept, ast.keyword("fastmath", ast.Constant(True))])
