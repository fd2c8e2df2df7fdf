"""Whether a kernel's answers to some calls are right.

Owns what one check is: fresh calls in one window, and the first of them once more. Knows nothing of time.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_lance_autoresearch.errors import KernelIncorrect
from pytest_lance_autoresearch.verdict import stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_lance_autoresearch.bench.oracles import Oracle
    from pytest_lance_autoresearch.bench.runner import Answers, Runner
    from pytest_lance_autoresearch.records import Call
    from pytest_lance_autoresearch.target_files.load import Target

CALLS_PER_CHECK = 3
"""Calls of each case in the correctness battery, per seed."""
CALLS_FOR_RECALL = 32
"""The same where answers may be approximate: a few tell nothing of a share."""
_ALPHA = 1e-4
"""Chance to call a recall too low that is not, of each case and seed."""


def calls_of(target: Target) -> int:
    """How many calls of each case, per seed, are checked."""
    return CALLS_PER_CHECK if target.lossy is None else CALLS_FOR_RECALL


def check_calls(
    runner: Runner[Answers],
    oracle: Oracle,
    key: str,
    calls: Sequence[Call],
    what: str,
    seed: int | None = None,
    floor: float | None = None,
) -> Answers:
    """Run the calls and the first one again, as one window, and verify every answer; returns them all.

    `floor` is the least recall where answers may be approximate: which are shown to have less are wrong.
    """
    answers = oracle.run(runner, key, [*calls, calls[0]], oracle.room(calls))
    recalls = []
    for index, call in enumerate(calls):
        where = f"{key}, {what} call {index + 1} of {len(calls)}"
        recalls.append(oracle.verify(answers[index], call, where, seed))
    refuse_low_recall(recalls, floor, f"{key}: the recall of {len(calls)} {what} calls", seed)
    if _bits(answers[0]) != _bits(answers[len(calls)]):
        where = f"{key}, {what} call 1 of {len(calls)}"
        raise KernelIncorrect(f"{where}: asked once more, the kernel answered with other bits", seed)
    return answers


def refuse_low_recall(
    recalls: Sequence[float | None], floor: float | None, subject: str, seed: int | None = None
) -> None:
    """KernelIncorrect, which begins with the subject, where recalls of calls are shown to lie below the floor.

    Nothing where there is none, as answers are exact.
    """
    if floor is None:
        return
    counts = Counter(one for one in recalls if one is not None)
    if stats.mean_bounds(counts, _ALPHA, _ALPHA).high < floor:
        raise KernelIncorrect(f"{subject} is {stats.weighted_mean(counts):.3f}; expected at least {floor:g}", seed)


def _bits(answer: Any) -> list[bytes]:
    return [np.asarray(item).tobytes() for item in (answer if isinstance(answer, tuple) else (answer,))]
