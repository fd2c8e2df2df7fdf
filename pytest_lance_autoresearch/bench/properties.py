"""Shapes and values outside the battery, on which Hypothesis looks for a wrong answer.

Owns how an example is tried and how it is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_lance_autoresearch.bench import memo
from pytest_lance_autoresearch.bench.oracles import Oracle
from pytest_lance_autoresearch.errors import KernelFailure, KernelIncorrect, KernelRaised, TargetError
from pytest_lance_autoresearch.kernel_side import modules
from pytest_lance_autoresearch.target_files import generate

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

    from pytest_lance_autoresearch.bench.runner import Answers, Runner
    from pytest_lance_autoresearch.records import Call
    from pytest_lance_autoresearch.target_files.load import Target

_KEY = "properties"
"""Stands for a case where there is none."""


def check_properties(
    target: Target, runner: Runner[Answers], seed: int | None, examples: int, shared: memo.Memo | None = None
) -> None:
    """Let Hypothesis look for a state and a call outside the battery on which the kernel is wrong.

    `seed` None means the published examples; `shared` has what the reference answered before. Raises the failure
    of the smallest example found, which names it.
    """
    import hypothesis

    with modules.blaming(target.layout, "target.py"), modules.importable({"inputs": target.inputs}):
        strategy = target.wiring.properties()
    probe = _Probe(target, runner, seed, shared)

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
        with modules.blaming(target.layout, "target.py"):
            raise


@dataclass
class _Probe:
    """Tries one example after the other, and remembers what the last bad one raised."""

    target: Target
    runner: Runner[Answers]
    seed: int | None
    shared: memo.Memo | None
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
        where = f"{_KEY}, {shown}"
        try:
            sent = generate.pickled(self.target, state)
            oracle = Oracle(self.target, state, memo.known(self.shared, sent))
            self.runner.bind(_KEY, sent)
            answers = oracle.run(self.runner, _KEY, [call])
            oracle.verify(answers[0], call, where, self.seed)
        except KernelIncorrect:
            raise
        except KernelFailure as failure:
            named = type(failure)(f"{where}{str(failure).removeprefix(_KEY)}", self.seed)
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
