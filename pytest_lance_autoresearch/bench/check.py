"""Whether a kernel's answers to some calls are right.

Owns what one check is: fresh calls in one window, and the first of them once more. Knows nothing of time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_lance_autoresearch.errors import KernelIncorrect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_lance_autoresearch.bench.oracles import Oracle
    from pytest_lance_autoresearch.bench.runner import Answers, Runner
    from pytest_lance_autoresearch.records import Call

CALLS_PER_CHECK = 3
"""Calls of each case in the correctness battery, per seed."""


def check_calls(
    runner: Runner[Answers], oracle: Oracle, key: str, calls: Sequence[Call], what: str, seed: int | None = None
) -> Answers:
    """Run the calls and the first one again, as one window, and verify every answer; returns them all."""
    answers = oracle.run(runner, key, [*calls, calls[0]], oracle.room(calls))
    for index, call in enumerate(calls):
        where = f"{key}, {what} call {index + 1} of {len(calls)}"
        oracle.verify(answers[index], call, where, seed)
    if _bits(answers[0]) != _bits(answers[len(calls)]):
        where = f"{key}, {what} call 1 of {len(calls)}"
        raise KernelIncorrect(f"{where}: asked once more, the kernel answered with other bits", seed)
    return answers


def _bits(answer: Any) -> list[bytes]:
    return [np.asarray(item).tobytes() for item in (answer if isinstance(answer, tuple) else (answer,))]
