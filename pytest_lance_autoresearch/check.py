"""Whether a kernel's answers are right.

Owns the oracle of a case, the comparison with it, and the drawing of fresh calls. Knows nothing of time.
"""

from __future__ import annotations

import io
import pickle
import warnings
from collections import deque
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import repeat
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pytest_lance_autoresearch import compare, load, seeds, wire
from pytest_lance_autoresearch.errors import (
    KernelFailure,
    KernelIncorrect,
    KernelRaised,
    KernelReturnedMore,
    TargetError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from hypothesis.strategies import SearchStrategy

    from pytest_lance_autoresearch.load import Target
    from pytest_lance_autoresearch.records import Call, Case, Window

CALLS_PER_CHECK = 3
"""Calls of each case in the correctness battery, per seed."""
_PROPERTIES = "properties"
"""Stands for a case where there is none."""


class Runner(Protocol):
    """Where a kernel runs: a worker process, or this process under a debugger."""

    def bind(self, key: str, state: bytes) -> None: ...
    def release(self, key: str) -> None: ...
    def run(self, key: str, calls: Sequence[Call], result_bytes: int = 0) -> Window: ...
    def answer(self, index: int) -> Any: ...


class Oracle:
    """The reference, bound to one state."""

    def __init__(self, target: Target, state: Any) -> None:
        self._target = target
        with _blaming(target, "reference.py"):
            self._function = target.wiring.bind(target.reference, state)

    def expected(self, call: Call) -> Any:
        """The reference's result on a private copy of the arguments."""
        copies = tuple(value.copy() if isinstance(value, np.ndarray) else value for value in call)
        with _blaming(self._target, "reference.py"):
            return self._function(*copies)

    def result_bytes(self, calls: Sequence[Call]) -> int:
        """Room that surely holds a kernel's result of such calls."""
        return 2 * max(_size(self.expected(call)) for call in calls)

    def run(self, runner: Runner, key: str, calls: Sequence[Call], result_bytes: int | None = None) -> Window:
        """Run the calls as one window, with `result_bytes` of room for each result, or as much as they need."""
        room = self.result_bytes(calls) if result_bytes is None else result_bytes
        try:
            return runner.run(key, calls, room)
        except KernelReturnedMore as failure:
            self._refuse_unforeseen(calls, room, failure)
            raise

    def _refuse_unforeseen(self, calls: Sequence[Call], room: int, failure: KernelReturnedMore) -> None:
        """TargetError where the reference gave no way to know how much room a right result needs."""
        results = [self.expected(call) for call in calls]
        blank = [result for result in results if next(_arrays(result), None) is None]
        if blank:
            why = f"and the reference returned a {type(blank[0]).__name__} without any array in it"
        elif 2 * max(map(_size, results)) > room:
            why = "twice what the reference returned for other calls, and for these it returned more"
        else:
            return
        raise TargetError(
            f"target '{self._target.name}': {failure}, {why}; expected the reference to return what a kernel "
            f"returns, alone or with more beside it, and about as much for every call of a case"
        ) from failure

    def verify(self, actual: Any, call: Call, where: str, seed: int | None = None) -> None:
        """Compare one answer; KernelIncorrect with `where` and the difference."""
        self.compare(actual, self.expected(call), call, where, seed)

    def compare(self, actual: Any, expected: Any, call: Call, where: str, seed: int | None = None) -> None:
        """The same, with the expected result at hand."""
        compare_answer(self._target, actual, expected, call, where, seed)


def compare_answer(
    target: Target, actual: Any, expected: Any, call: Call, where: str, seed: int | None = None
) -> None:
    """Compare one answer with the oracle's; KernelIncorrect with `where` and the difference.

    What a kernel answers may overflow in `check`: the user's filters for warnings do not decide about a kernel.
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
    if said is not None:
        raise TargetError(
            f"target '{target.name}': target.check returned {said!r}; expected None, "
            f"and a failed assert or compare helper for a wrong result"
        )


def _size(expected: Any) -> int:
    """Bytes of all arrays in an oracle's result; it may hold more than the kernel's."""
    return sum(array.nbytes for array in _arrays(expected))


def _arrays(value: Any, around: tuple[int, ...] = ()) -> Iterator[np.ndarray[Any, Any]]:
    """The arrays and numbers in an oracle's result, whatever holds them; `around` tells what holds this value."""
    if id(value) in around or isinstance(value, type | ModuleType):
        return
    array = _as_array(value)
    if array is not None and not array.dtype.hasobject:
        yield array
        return
    for part in _parts(value if array is None else list(array.flat)):
        yield from _arrays(part, (*around, id(value)))


def _as_array(value: Any) -> np.ndarray[Any, Any] | None:
    """A number, what offers an array and keeps its word, or a buffer such as bytes; None for all else."""
    with suppress(Exception):
        if isinstance(value, bool | int | float | complex) or hasattr(value, "__array__"):
            return np.asarray(value)
    with suppress(Exception):
        return np.asarray(memoryview(value))
    return None


def _parts(value: Any) -> Iterable[Any]:
    """What a container holds, or an object has as its state."""
    if isinstance(value, Mapping):
        return (*value.keys(), *value.values())
    if isinstance(value, tuple | list | set | frozenset | deque | KeysView | ValuesView | ItemsView):
        return value
    with suppress(Exception):
        return (value.__getstate__(),)
    return ()


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


@dataclass
class Feed:
    """Fresh calls of one case: every draw is a new stream, none is ever drawn twice."""

    target: Target
    case: Case
    state: Any
    seed: int
    stream: str
    drawn: int = 0

    def draw(self, count: int) -> list[Call]:
        return [self._one() for _ in range(count)]

    def _one(self) -> Call:
        rng = seeds.rng(self.seed, self.target.name, self.case.id, self.stream, self.drawn)
        self.drawn += 1
        make_call = self.target.inputs.make_call
        with _blaming(self.target, "inputs.py"):
            call = make_call(self.case.shape, self.case.distribution, self.state, rng)
        if not isinstance(call, tuple):
            raise TargetError(
                f"target '{self.target.name}': inputs.make_call returned a {type(call).__name__} for "
                f"{self.case.id}; expected a tuple of one call's arguments"
            )
        for position, value in enumerate(call):
            if isinstance(value, np.ndarray) and not wire.is_plain(value):
                raise TargetError(
                    f"target '{self.target.name}': argument {position} of inputs.make_call for {self.case.id} "
                    f"is a {type(value).__name__} of dtype {value.dtype}; expected a plain array of numbers"
                )
        return call


def make_state(target: Target, case: Case, seed: int, *, hidden: str = "") -> Any:
    """What exists before the case's first call; `hidden` names a stream of states of nearly the published size."""
    maker = getattr(target.inputs, "make_hidden_state", None) if hidden else None
    stream = f"hidden state, {hidden}" if hidden else "state"
    with _blaming(target, "inputs.py"):
        return (maker or target.inputs.make_state)(
            case.shape, case.distribution, seeds.rng(seed, target.name, case.id, stream)
        )


def pickled(target: Target, state: Any) -> bytes:
    """The state as it is sent to a kernel's process."""
    return load.pickled(target, state, "inputs.make_state")


def refuse_other_states(target: Target, case: Case, state: Any, *, hidden: str = "") -> None:
    """Make a published state, just made, once more: one drawn from anything but its `rng` cannot be replayed."""
    again = make_state(target, case, seeds.PUBLISHED_SEED, hidden=hidden)
    if pickled(target, state) != pickled(target, again):
        maker = "make_hidden_state" if hidden and hasattr(target.inputs, "make_hidden_state") else "make_state"
        raise TargetError(
            f"target '{target.name}': inputs.{maker} gave another state for the same rng on {case.id}; "
            f"expected every random number to come from its argument rng"
        )


def refuse_other_randomness(feed: Feed) -> None:
    """Draw the feed's first call twice: a generator that uses anything but its `rng` cannot be replayed."""
    first, again = (replace(feed, drawn=0).draw(1)[0] for _ in range(2))
    if len(first) != len(again) or not all(map(_is_same, repeat(feed.target), first, again)):
        raise TargetError(
            f"target '{feed.target.name}': inputs.make_call gave other numbers for the same rng on "
            f"{feed.case.id}; expected every random number to come from its argument rng"
        )


def _is_same(target: Target, one: Any, other: Any) -> bool:
    """Whether two arguments have the same value, whatever they are called and wherever they lie."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    if len({load.pickled(target, value, "inputs.make_call") for value in (one, other)}) == 1:
        return True
    with suppress(Exception):
        return _pickled_by_value(one) == _pickled_by_value(other)
    return False


def _pickled_by_value(value: Any) -> bytes:
    """A pickle that does not tell whether two equal parts are one object, as after a cache they may be."""
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, protocol=5)
    pickler.fast = True
    pickler.dump(value)
    return stream.getvalue()


def check_calls(
    runner: Runner, oracle: Oracle, key: str, calls: Sequence[Call], what: str, seed: int | None = None
) -> None:
    """Run the calls and the first one again, as one window, and verify every answer."""
    oracle.run(runner, key, [*calls, calls[0]], oracle.result_bytes(calls))
    for index, call in enumerate(calls):
        where = f"{key}, {what} call {index + 1} of {len(calls)}"
        oracle.verify(runner.answer(index), call, where, seed)
    first, again = (_bits(runner.answer(index)) for index in (0, len(calls)))
    if first != again:
        where = f"{key}, {what} call 1 of {len(calls)}"
        raise KernelIncorrect(f"{where}: asked once more, the kernel answered with other bits", seed)


def _bits(answer: Any) -> list[bytes]:
    return [array.tobytes() for array in (answer if isinstance(answer, tuple) else (answer,))]


def check_properties(target: Target, runner: Runner, seed: int | None, examples: int) -> None:
    """Let Hypothesis look for a state and a call outside the battery on which the kernel is wrong.

    `seed` None means the published examples. Raises the failure of the smallest example found, which names it.
    """
    import hypothesis

    with _blaming(target, "target.py"), load.importable({"inputs": target.inputs}):
        strategy = target.wiring.properties()
    probe = _Probe(target, runner, seed)

    def holds(drawn: _Drawn) -> None:
        probe.holds(drawn.example)

    settings = hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=seed is None,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
        phases=[p for p in hypothesis.Phase if p is not hypothesis.Phase.explain],
    )
    test: Callable[[], None] = settings(hypothesis.given(_drawn(strategy))(holds))
    if seed is not None:
        test = hypothesis.seed(seed)(test)
    try:
        test()
    except _ProcessEnded as ended:
        raise ended.failure from None
    except Exception as error:
        if error is probe.failure:
            raise
        if isinstance(error, hypothesis.errors.Flaky) and isinstance(probe.failure, KernelFailure):
            raise type(probe.failure)(f"{probe.failure}; it was not seen a second time", seed) from None
        with _blaming(target, "target.py"):
            raise


@dataclass
class _Probe:
    """Tries one example after the other, and remembers what the last bad one raised."""

    target: Target
    runner: Runner
    seed: int | None
    failure: Exception | None = None

    def holds(self, example: tuple[Any, Call]) -> None:
        if not (isinstance(example, tuple) and len(example) == 2 and isinstance(example[1], tuple)):
            raise TargetError(
                f"target '{self.target.name}': target.properties drew a {type(example).__name__}; "
                f"expected pairs (state, call), the call a tuple of arguments"
            )
        try:
            self._verify(*example)
        except Exception as failure:
            self.failure = failure
            raise

    def _verify(self, state: Any, call: Call) -> None:
        """Every failure is raised with the example, a KernelFailure with the seed too."""
        shown = f"on {_describe(state)} and the call {_describe(call)}"
        where = f"{_PROPERTIES}, {shown}"
        try:
            oracle = Oracle(self.target, state)
            self.runner.bind(_PROPERTIES, pickled(self.target, state))
            oracle.run(self.runner, _PROPERTIES, [call])
            oracle.verify(self.runner.answer(0), call, where, self.seed)
        except KernelIncorrect:
            raise
        except KernelFailure as failure:
            named = type(failure)(f"{where}{str(failure).removeprefix(_PROPERTIES)}", self.seed)
            raise (named if isinstance(failure, KernelRaised) else _ProcessEnded(named)) from None
        except TargetError as fault:
            raise TargetError(f"{fault}; {shown}") from fault
        except Exception as error:  # the kernel's own, when it runs in this process
            error.add_note(where)
            raise


class _Drawn:
    """Hides an example from Hypothesis, which would call its __repr__, and that may raise."""

    def __init__(self, example: Any) -> None:
        self.example = example


def _drawn(strategy: SearchStrategy[Any]) -> SearchStrategy[_Drawn]:
    from hypothesis import strategies

    @strategies.composite
    def drawn(draw: Callable[[SearchStrategy[Any]], Any]) -> _Drawn:
        return _Drawn(draw(strategy))

    return drawn()


class _ProcessEnded(BaseException):
    """Takes a failure that cannot be repeated past Hypothesis, which would try to shrink its example."""

    def __init__(self, failure: KernelFailure) -> None:
        self.failure = failure


def _describe(value: Any) -> str:
    """A value as a person can read it, or its type where it cannot be shown."""
    try:
        return _shown(value)
    except Exception:
        return f"a {type(value).__name__}"


def _shown(value: Any) -> str:
    """Arrays by dtype and shape, and whole when they are small; tuples part by part."""
    if isinstance(value, np.ndarray):
        form = f"{value.dtype}{list(value.shape)}"
        return f"{form} {np.array2string(value, separator=', ')}" if 0 < value.size <= 8 else form
    if isinstance(value, tuple):
        names = getattr(value, "_fields", None)
        parts = [_describe(item) for item in value]
        if names:
            parts = [f"{name}={part}" for name, part in zip(names, parts, strict=True)]
        return f"{type(value).__name__ if names else ''}({', '.join(parts)})"
    return repr(value)


def _blaming(target: Target, file: str) -> AbstractContextManager[None]:
    return load.blaming(target.layout, file)
