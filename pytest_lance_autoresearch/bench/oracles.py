"""What is right: the reference bound to a state, and the comparison of answers with its results.

Owns the sentences about a wrong answer, and about a reference that cannot serve. Knows nothing of time.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.bench.memo import ask_each_time
from pytest_lance_autoresearch.bench.room import Room, arrays
from pytest_lance_autoresearch.errors import KernelIncorrect, KernelReturnedMore, TargetError
from pytest_lance_autoresearch.kernel_side import modules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pytest_lance_autoresearch.bench.memo import Known
    from pytest_lance_autoresearch.bench.runner import Answers, Runner
    from pytest_lance_autoresearch.records import Call
    from pytest_lance_autoresearch.target_files.load import Target

A = TypeVar("A", bound="Answers")


class Oracle:
    """The reference, bound to one state; `known` has what it answered over that state before."""

    def __init__(self, target: Target, state: Any, known: Known = ask_each_time) -> None:
        self._target = target
        self._known = known
        with modules.blaming(target.layout, "reference.py"):
            self._function = target.wiring.bind(target.reference, state)

    def expected(self, call: Call) -> Any:
        """The reference's result on a private copy of the arguments."""
        return self._known(call, lambda: self._computed(call))

    def _computed(self, call: Call) -> Any:
        copies = tuple(value.copy() if isinstance(value, np.ndarray) else value for value in call)
        with modules.blaming(self._target.layout, "reference.py"):
            return self._function(*copies)

    def room(self, calls: Iterable[Call]) -> Room:
        """Room that surely holds a kernel's result of such calls."""
        return Room(self.expected(call) for call in calls)

    def run(self, runner: Runner[A], key: str, calls: Sequence[Call], room: Room | None = None) -> A:
        """Run the calls as one window, with that room for each result, or as much as they need."""
        room = self.room(calls) if room is None else room
        with self.judging_room(lambda: calls, room):
            return runner.run(key, calls, room.bytes)

    @contextmanager
    def judging_room(self, calls: Callable[[], Sequence[Call]], room: Room) -> Iterator[None]:
        """Around a window of the calls: TargetError where the reference made the room too small."""
        try:
            yield
        except KernelReturnedMore as failure:
            self._refuse_unforeseen(calls(), room, failure)
            raise

    def _refuse_unforeseen(self, calls: Sequence[Call], room: Room, failure: KernelReturnedMore) -> None:
        """TargetError where the reference gave no way to know how much room a right result needs."""
        results = [self.expected(call) for call in calls]
        blank = [result for result in results if next(arrays(result), None) is None]
        if blank:
            why = f"and the reference returned a {type(blank[0]).__name__} without any array in it"
        elif any(map(room.is_too_small_for, results)):
            why = "twice what the reference returned for other calls, and for these it returned more"
        else:
            return
        raise TargetError(
            f"target '{self._target.name}': {failure}, {why}; expected the reference to return what a kernel "
            f"returns, alone or with more beside it, and about as much for every call of a case"
        ) from failure

    def verify(self, actual: Any, call: Call, where: str, seed: int | None = None) -> float | None:
        """Compare one answer; KernelIncorrect with `where` and the difference.

        Returns its recall where answers may be approximate.
        """
        return self.compare(actual, self.expected(call), call, where, seed)

    def compare(self, actual: Any, expected: Any, call: Call, where: str, seed: int | None = None) -> float | None:
        """The same, with the expected result at hand."""
        return compare_answer(self._target, actual, expected, call, where, seed)


def compare_answer(
    target: Target, actual: Any, expected: Any, call: Call, where: str, seed: int | None = None
) -> float | None:
    """Compare one answer with the oracle's; KernelIncorrect with `where` and the difference.

    Returns its recall, from 0 to 1, where answers may be approximate. What a kernel answers may overflow in
    `check`: the user's filters for warnings do not decide about a kernel.
    """
    check = getattr(target.wiring, "check", None)
    if check is None:
        _refuse_other_forms(target, expected)
        check = _exact
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            said = check(actual, expected, call)
    except AssertionError as difference:
        raise KernelIncorrect(f"{where}: {str(difference) or 'target.check failed'}", seed) from None
    except Exception as error:
        raise KernelIncorrect(
            f"{where}: target.check could not compare the result: {type(error).__name__}: {error}", seed
        ) from error
    if target.lossy is not None:
        return _share(target, said)
    if said is not None:
        raise TargetError(
            f"target '{target.name}': target.check returned {said!r}; expected None, "
            f"and a failed assert or compare helper for a wrong result"
        )
    return None


def _share(target: Target, said: object) -> float:
    """What a lossy target's check returns; TargetError for anything else."""
    if not isinstance(said, Real) or not 0 <= float(said) <= 1:
        raise TargetError(
            f"target '{target.name}': target.check returned {said!r}; expected the call's recall, a share from 0 "
            f"to 1 as compare.recall returns it, since target.py has a LOSSY"
        )
    return float(said)


def _refuse_other_forms(target: Target, expected: Any) -> None:
    """Without a check, what the reference returns must be what a kernel can return."""
    is_tuple = isinstance(expected, tuple)
    others = [item for item in (expected if is_tuple else (expected,)) if not _makes_an_array(item)]
    if others:
        what = f"a tuple with a {type(others[0]).__name__} in it" if is_tuple else f"a {type(expected).__name__}"
        raise TargetError(
            f"target '{target.name}': the reference returned {what}, and target.py has no function 'check' that "
            f"compares it; expected an array or a tuple of arrays, as a kernel returns"
        )


def _makes_an_array(item: Any) -> bool:
    """An array, a number, or a list of numbers."""
    if isinstance(item, list):
        return not any(isinstance(part, np.ndarray) for part in item) and all(map(_makes_an_array, item))
    return isinstance(item, np.ndarray | np.generic | bool | int | float)


def _exact(actual: Any, expected: Any, _call: Call) -> None:
    """The check of a target that has none."""
    compare.exact(actual, expected)
