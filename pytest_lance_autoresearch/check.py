"""Whether a kernel's answers are right.

Owns the oracle of a case, the comparison with it, and the drawing of fresh calls. Knows nothing of time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pytest_lance_autoresearch import compare, load, seeds, wire
from pytest_lance_autoresearch.errors import KernelFailure, KernelIncorrect, KernelRaised, TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from pytest_lance_autoresearch.load import Target
    from pytest_lance_autoresearch.records import Call, Case, Window

CALLS_PER_CHECK = 3
"""Calls of each case in the correctness battery, per seed."""


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

    def verify(self, actual: Any, call: Call, where: str, seed: int | None = None) -> None:
        """Compare one answer; KernelIncorrect with `where` and the difference."""
        self.compare(actual, self.expected(call), call, where, seed)

    def compare(self, actual: Any, expected: Any, call: Call, where: str, seed: int | None = None) -> None:
        """The same, with the expected result at hand."""
        compare_answer(self._target, actual, expected, call, where, seed)


def compare_answer(
    target: Target, actual: Any, expected: Any, call: Call, where: str, seed: int | None = None
) -> None:
    """Compare one answer with the oracle's; KernelIncorrect with `where` and the difference."""
    check = getattr(target.wiring, "check", None) or _exact
    try:
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
    """Bytes of an oracle's result; it may hold more than the kernel's."""
    return sum(np.asarray(item).nbytes for item in (expected if isinstance(expected, tuple) else (expected,)))


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


def refuse_other_randomness(feed: Feed) -> None:
    """Draw the feed's first call twice: a generator that uses anything but its `rng` cannot be replayed."""
    first, again = (replace(feed, drawn=0).draw(1)[0] for _ in range(2))
    if _drawn(first) != _drawn(again):
        raise TargetError(
            f"target '{feed.target.name}': inputs.make_call gave other numbers for the same rng on "
            f"{feed.case.id}; expected every random number to come from its argument rng"
        )


def _drawn(call: Call) -> list[bytes]:
    return [value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode() for value in call]


def check_calls(
    runner: Runner, oracle: Oracle, key: str, calls: Sequence[Call], what: str, seed: int | None = None
) -> None:
    """Run the calls and the first one again, as one window, and verify every answer."""
    runner.run(key, [*calls, calls[0]], oracle.result_bytes(calls))
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

    `seed` None means the published examples. Raises the failure of the smallest example found.
    """
    import hypothesis

    with _blaming(target, "target.py"), load.importable({"inputs": target.inputs}):
        strategy = target.wiring.properties()

    def holds(example: tuple[Any, Call]) -> None:
        if not (isinstance(example, tuple) and len(example) == 2 and isinstance(example[1], tuple)):
            raise TargetError(
                f"target '{target.name}': target.properties drew a {type(example).__name__}; "
                f"expected pairs (state, call), the call a tuple of arguments"
            )
        state, call = example
        where = f"properties, on {_describe(state)} and the call {_describe(call)}"
        oracle = Oracle(target, state)
        try:
            runner.bind("properties", pickled(target, state))
            runner.run("properties", [call], oracle.result_bytes([call]))
            answer = runner.answer(0)
        except KernelRaised:
            raise
        except KernelFailure as failure:
            raise _ProcessEnded(failure, where) from None
        oracle.verify(answer, call, where, seed)

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
    test: Callable[[], None] = settings(hypothesis.given(strategy)(holds))  # type: ignore[no-untyped-call]
    if seed is not None:
        test = hypothesis.seed(seed)(test)
    try:
        test()
    except _ProcessEnded as ended:
        raise type(ended.failure)(f"{ended.where}: {ended.failure}", seed) from None


class _ProcessEnded(BaseException):
    """Takes a failure that cannot be repeated past Hypothesis, which would try to shrink its example."""

    def __init__(self, failure: KernelFailure, where: str) -> None:
        self.failure, self.where = failure, where


def _describe(value: Any) -> str:
    """A value as a person can read it: arrays by dtype and shape, and whole when they are small."""
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
