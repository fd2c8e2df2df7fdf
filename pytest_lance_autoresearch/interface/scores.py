"""What a kernel is worth to an evolutionary loop: one number on one scale, and the words that explain it.

Owns the scale. A loop compares the numbers of all its candidates, so that all are measured against the same
kernel, which nothing replaces while the loop runs. What the frameworks want to be handed is told by the modules
that bear their names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_lance_autoresearch.errors import TrialInvalid
from pytest_lance_autoresearch.interface import arguments
from pytest_lance_autoresearch.interface.arguments import Kernel
from pytest_lance_autoresearch.interface.trials import judge, load
from pytest_lance_autoresearch.records import Cause, Judgement, Outcome, Rules, Status
from pytest_lance_autoresearch.words import report, wording

AS_FAST = 1.0
"""The score of the baseline itself."""
NOTHING_KNOWN = 0.0
"""The least that a speed-up can be: of a wrong kernel no more is known."""
RULES = Rules(max_seconds=120)
"""A loop has many candidates, and waits for each."""
_BEHIND = (Status.DISCARD, Status.REGRESSED)


@dataclass(frozen=True)
class Score:
    """The end of one candidate."""

    value: float
    """What is certain of its speed-up over the baseline; above 1 only where the gate would not discard it."""
    is_correct: bool
    verdict: str
    reason: str
    """The sentence of the verdict; of a wrong kernel with the case that it fails."""
    cases: str
    """The speed-up of every case, the least first, a line each; '' where none was measured."""

    @property
    def feedback(self) -> str:
        """All that whoever writes the next candidate should read."""
        return "\n".join(filter(None, [self.reason, self.cases]))


class Scale:
    """One target and one baseline, against which every candidate of a loop is measured.

    The baseline is read now: what its file becomes later makes no difference. Raises TargetError for a folder that
    holds no target, and OSError for a baseline that cannot be read.
    """

    def __init__(
        self,
        target: str | Path,
        baseline: str | Path,
        rules: Rules = RULES,
        states: Path | None = None,
    ) -> None:
        arguments.refuse_other_rules(rules)
        self._target = load(target)
        self._baseline = arguments.source(baseline)
        self._rules = rules
        self._states = states

    def score(self, candidate: Kernel) -> Score:
        """Judge a kernel, a wrong one too. Raises TrialInvalid where the kernel is not to blame for the end."""
        outcome = judge(self._target, candidate, baseline=self._baseline, rules=self._rules, states=self._states)
        return score(outcome)


def score(outcome: Outcome) -> Score:
    """What a judged trial is worth. Raises TrialInvalid where there is no verdict, and so no score either."""
    if outcome.status in (None, Status.INVALID):
        raise TrialInvalid(outcome.reason)
    is_correct, judgement = outcome.status not in report.WRONG, outcome.judgement
    value = NOTHING_KNOWN
    if is_correct and judgement is not None:
        value = _certain(judgement, is_behind=outcome.status in _BEHIND)
    return Score(value, is_correct, report.verdict_word(outcome), outcome.reason, _cases(judgement))


def _certain(judgement: Judgement, *, is_behind: bool) -> float:
    if judgement.cause is Cause.IDENTICAL:
        return AS_FAST
    low = judgement.speedup.low if judgement.speedup else NOTHING_KNOWN
    return min(low, AS_FAST) if is_behind else low


def _cases(judgement: Judgement | None) -> str:
    cases = sorted(judgement.cases.items(), key=lambda one: one[1].point) if judgement else []
    return "\n".join(f"{case}: speed-up {wording.interval(speedup)}" for case, speedup in cases)
