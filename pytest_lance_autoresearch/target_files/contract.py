"""The cases of a target, and the check of its protocol.

Owns which names a target's modules must have, what its case ids may look like, and the sentences about both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.errors import TargetError
from pytest_lance_autoresearch.records import Case, Lossy, RecallRules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_lance_autoresearch.records import Rules
    from pytest_lance_autoresearch.target_files.load import Target

MAX_THREADS = 256
MOST_MARGIN = 0.1
"""Of recall: what gives up more is another answer."""
MIN_SHAPES = 3
MIN_TIMED_DISTRIBUTIONS = 3
MIN_DISTRIBUTIONS = 5
_DECLARED = {
    "BIT_EXACT": "every bit of a result is the contract",
    "INTRINSICS": "the kernel uses intrinsics of its own",
}
"""What target.py may say with True, and what it means."""
_ID = re.compile(r"[A-Za-z0-9_+=-]+")


def cases_of(target: Target) -> tuple[Case, ...]:
    """Every shape x distribution of the target, timed ones first within a shape; TargetError at a fault."""
    for fault in _faults(target):
        raise TargetError(f"target '{target.name}': {fault}")
    timed = tuple(target.inputs.DISTRIBUTIONS)
    edge = tuple(target.inputs.EDGE_DISTRIBUTIONS)
    found = tuple(
        Case(target.name, shape, shape_id(shape), distribution, distribution in timed)
        for shape in target.inputs.SHAPES
        for distribution in (*timed, *edge)
    )
    for fault in _twins("the case ids", [case.id for case in found]):
        raise TargetError(f"target '{target.name}': {fault}")
    return found


def ops_per_call(target: Target, case: Case) -> float:
    """How many operations one call of the case is; TargetError unless it is a positive number of any type."""
    ops = target.wiring.ops(case.shape)
    if not _is_positive(ops):
        raise TargetError(
            f"target '{target.name}': target.ops returned {ops!r} for {case.shape_id}; "
            f"expected a positive number of operations per call"
        )
    return int(ops) if isinstance(ops, Integral) else float(ops)


def build_budget(target: Target) -> float | None:
    """The longest building that a candidate may need, in milliseconds per megabyte of state; None if unset."""
    budget = getattr(target.wiring, "BUILD_BUDGET", None)
    return None if budget is None else float(budget)


def rules_of(target: Target, rules: Rules) -> Rules:
    """The rules of a trial, with what its target demands."""
    return replace(rules, build_ms_per_mb=build_budget(target), recall=_recall_rules(target))


def recall_floor(target: Target, case: Case) -> float | None:
    """The least recall of a kernel on that case; None where answers are exact."""
    return None if target.lossy is None else float(target.lossy.floors[case.distribution])


def _recall_rules(target: Target) -> RecallRules | None:
    if target.lossy is None:
        return None
    floors = {case.id: target.lossy.floors[case.distribution] for case in cases_of(target) if case.timed}
    return RecallRules(target.lossy.margin, floors)


def smallest(target: Target) -> list[Case]:
    """The cases of the shape whose calls are the fewest operations."""
    found = cases_of(target)
    shape = min(found, key=lambda case: ops_per_call(target, case)).shape_id
    return [case for case in found if case.shape_id == shape]


def shape_id(shape: Any) -> str:
    """A shape's fields joined by 'x': PqShape(128, 16, 256) is '128x16x256'."""
    return "x".join(str(value) for value in shape)


def _faults(target: Target) -> Iterator[str]:
    yield from _missing_names(target)
    yield from _shape_faults(target.inputs.SHAPES)
    yield from _distribution_faults(target.inputs.DISTRIBUTIONS, target.inputs.EDGE_DISTRIBUTIONS)
    unit = target.wiring.UNIT
    if not isinstance(unit, str) or not unit.isidentifier():
        yield f"target.UNIT is {unit!r}; expected one word such as 'query', it becomes part of a key"
    yield from _share_faults(getattr(target.wiring, "COST_FRACTION", None))
    budget = getattr(target.wiring, "BUILD_BUDGET", None)
    if budget is not None and not _is_positive(budget):
        yield f"target.BUILD_BUDGET is {budget!r}; expected milliseconds per megabyte of state, a number above 0"
    threads = getattr(target.wiring, "THREADS", 1)
    if type(threads) is not int or not 1 <= threads <= MAX_THREADS:
        yield f"target.THREADS is {threads!r}; expected a whole number from 1 to {MAX_THREADS}"
    yield from _lossy_faults(target)
    for name, meaning in _DECLARED.items():
        value = getattr(target.wiring, name, False)
        if not isinstance(value, bool):
            yield f"target.{name} is {value!r}; expected True where {meaning}"


def _lossy_faults(target: Target) -> Iterator[str]:
    """Where answers may be approximate, it is told how much of them must be right."""
    lossy = target.lossy
    if lossy is None:
        return
    if not isinstance(lossy, Lossy):
        yield f"target.LOSSY is {lossy!r}; expected records.Lossy(margin, floors)"
        return
    if getattr(target.wiring, "BIT_EXACT", False):
        yield "target.LOSSY and target.BIT_EXACT contradict each other; expected one of them"
    if not callable(getattr(target.wiring, "check", None)):
        yield "target.py has a LOSSY and no function 'check', which returns the recall of a call"
    if not (_is_positive(lossy.margin) and lossy.margin <= MOST_MARGIN):
        yield f"target.LOSSY.margin is {lossy.margin!r}; expected a share above 0 and at most {MOST_MARGIN:g}"
    distributions = {*target.inputs.DISTRIBUTIONS, *target.inputs.EDGE_DISTRIBUTIONS}
    if not isinstance(lossy.floors, Mapping) or set(lossy.floors) != distributions:
        yield f"target.LOSSY.floors is {lossy.floors!r}; expected a share for each distribution, and for no other"
    elif others := [one for one in lossy.floors.values() if not (_is_positive(one) and one <= 1)]:
        yield f"target.LOSSY.floors has {others[0]!r}; expected shares above 0 and at most 1"


def _is_positive(value: Any) -> bool:
    """Whether it is a finite number above 0, of any type."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return is_number and bool(0 < value < float("inf"))


def _share_faults(share: Any) -> Iterator[str]:
    if share is None:
        return
    right = isinstance(share, tuple) and len(share) == 2 and isinstance(share[0], float) and 0 < share[0] <= 1
    if not right or not isinstance(share[1], str):
        yield f"target.COST_FRACTION is {share!r}; expected (fraction from 0 to 1, its source)"


def _missing_names(target: Target) -> Iterator[str]:
    for name in ("SHAPES", "DISTRIBUTIONS", "EDGE_DISTRIBUTIONS"):
        value = getattr(target.inputs, name, None)
        if not isinstance(value, tuple):
            yield f"inputs.{name} is {_named(value)}; expected a tuple"
    for module, stem, names in (
        (target.inputs, "inputs", ("make_state", "make_call")),
        (target.wiring, "target", ("bind", "ops")),
    ):
        for name in names:
            if not callable(getattr(module, name, None)):
                yield f"{stem}.py has no function '{name}'"
    if not hasattr(target.wiring, "UNIT"):
        yield "target.py has no UNIT; expected a word such as UNIT = 'query'"


def _shape_faults(shapes: tuple[Any, ...]) -> Iterator[str]:
    if len(shapes) < MIN_SHAPES:
        yield f"inputs.SHAPES has {len(shapes)} shapes; expected {MIN_SHAPES} or more, one of them an outlier"
    for shape in shapes:
        if not isinstance(shape, tuple) or not hasattr(shape, "_fields"):
            yield f"inputs.SHAPES holds {shape!r}; expected instances of a NamedTuple"
        elif not _ID.fullmatch(shape_id(shape)):
            yield f"the shape {shape!r} makes the id '{shape_id(shape)}'; {_ID_RULE}"
    yield from _twins("inputs.SHAPES", [shape_id(shape) for shape in shapes])


def _distribution_faults(timed: tuple[str, ...], edge: tuple[str, ...]) -> Iterator[str]:
    if len(timed) < MIN_TIMED_DISTRIBUTIONS:
        yield f"inputs.DISTRIBUTIONS has {len(timed)} names; expected {MIN_TIMED_DISTRIBUTIONS} or more"
    if len(timed) + len(edge) < MIN_DISTRIBUTIONS:
        yield (
            f"inputs has {len(timed) + len(edge)} distributions in all; expected {MIN_DISTRIBUTIONS} or more, "
            f"adversarial ones among them"
        )
    for name in (*timed, *edge):
        if not isinstance(name, str) or not _ID.fullmatch(name):
            yield f"the distribution {name!r} cannot be part of a test id; {_ID_RULE}"
    yield from _twins("inputs.DISTRIBUTIONS and EDGE_DISTRIBUTIONS", [*timed, *edge])


_ID_RULE = "expected only letters, digits and '_+=-' (a dot breaks re-running one case in an IDE)"


def _twins(where: str, names: list[str]) -> Iterator[str]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{where}: '{name}' stands there {names.count(name)} times; expected once"


def _named(value: Any) -> str:
    return "missing" if value is None else f"a {type(value).__name__}"
