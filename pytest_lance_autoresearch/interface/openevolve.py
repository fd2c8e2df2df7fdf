"""An evaluator for OpenEvolve, in three lines of the file that it is told to evaluate with:

    from pytest_lance_autoresearch.interface.openevolve import evaluator

    evaluate = evaluator("targets/mine", baseline="initial.py")

Owns the metrics and artifacts of a candidate, and that they are made one at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.interface.scores import RULES, Scale
from pytest_lance_autoresearch.records import Rules

if TYPE_CHECKING:
    from openevolve.evaluation_result import EvaluationResult


def evaluator(
    target: str | Path, *, baseline: str | Path, rules: Rules = RULES, states: Path | None = None
) -> Callable[[str], EvaluationResult]:
    """What OpenEvolve calls with a program's path: the certain speed-up over `baseline` as `combined_score`.

    The artifacts are the verdict, its sentence (with the failing case of a wrong kernel), and the speed-ups of all
    cases. Raises TargetError and OSError at once where the target or the baseline is not there; the function that
    is returned raises TrialInvalid where the kernel is not to blame, which OpenEvolve tries again.
    """
    scale, alone = Scale(target, baseline, rules, states), Lock()

    def evaluate(program_path: str) -> EvaluationResult:
        from openevolve.evaluation_result import EvaluationResult

        with alone:  # OpenEvolve calls from threads, and lets one that ran out of time go on beside the next
            score = scale.score(program_path)
        told = {"verdict": score.verdict, "reason": score.reason, "cases": score.cases}
        return EvaluationResult(
            {"combined_score": score.value}, {name: text for name, text in told.items() if text}
        )

    return evaluate
