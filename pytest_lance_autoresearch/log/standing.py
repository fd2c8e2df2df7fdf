"""Where a target stands after its trials, and which step is next.

Owns what failures have in common, which case has the most room, and the rules that pick the next step. Measures
nothing, writes no words.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pytest_lance_autoresearch.log.night import Night, Trial
from pytest_lance_autoresearch.records import CaseDigest, Cause, Interval, Rules, Status
from pytest_lance_autoresearch.words.report import WRONG

PLATEAU = 8
"""Trials without a keep after which single ideas are no longer the next step."""
SHORT = 0.5
"""The most that a short time is of the time budget, or of the documented one where that is larger."""
FAR = 3.0
"""A near miss that gained so many times the smallest gain that is kept is measured longer, and not combined."""
SPARE = 2.0
"""How many times that time the next budget has in addition: it is an estimate."""
_NO_FAILURE = (Status.BASELINE, Status.KEEP, Status.PASS)


class Step(StrEnum):
    """What to do next, in the order of the rules."""

    MAINTAINER = "tell the maintainer"
    MEND = "mend or drop it"
    BASELINE = "record a baseline"
    LONGER = "measure longer"
    COMBINE = "combine near misses"
    ANOTHER_WAY = "go another way"
    EDIT = "edit the kernel"
    MEMORY = "take less memory"
    BUILDING = "build less"
    CASE = "spare the case that regressed"
    CPU_TIME = "look at the CPU time"
    IDEA = "take another idea"
    GO_ON = "go on from the best kernel"


class RoomBy(StrEnum):
    """By what the cases are ordered, the one with the most room first."""

    GAIN = "least gain since the baseline"
    TIME = "longest call"


@dataclass(frozen=True)
class Room:
    """What is known of the room that a case has."""

    case: str
    gained: Interval | None
    """Its claimed speed-up over the newest baseline; None where that is not known."""
    ns_per_call: float
    """Of the best kernel."""
    overall: float | None
    """The overall speed-up, if it gained as much as the case that gained most."""
    seen: Seen | None
    """A trial that was faster in it than the best kernel, and was not kept."""


@dataclass(frozen=True)
class Seen:
    """A trial that showed a case to be faster than the best kernel has it."""

    trial: int
    speedup: Interval
    """Over the best kernel."""


@dataclass(frozen=True)
class Failure:
    """Trials that were not kept, for the same cause."""

    cause: str
    """That of a discard, else their status; '' for a discard of which nothing else is known."""
    case: str
    """The case that regressed, or was in doubt; '' where it was none."""
    trials: tuple[Trial, ...]
    """Newest first."""


@dataclass(frozen=True)
class Next:
    """The next step, and what it is about."""

    step: Step
    trial: Trial | None = None
    case: str = ""
    """One in doubt or that regressed, else the one with the most room; '' where nothing tells of any: a long call
    is no room."""
    max_seconds: int | None = None
    """The time budget to measure with, where the step is to measure longer."""


@dataclass(frozen=True)
class Standing:
    """Where a target stands."""

    night: Night
    min_effect: float
    """What a keep must gain at least, by the rules of the newest trial, ..."""
    case_limit: float
    """... and what no case may lose."""
    least_kept: Interval | None
    """The smallest gain that was kept since the newest baseline."""
    seconds: Mapping[Status, tuple[int, float]]
    """By status: how many trials since the newest baseline, and the median of their seconds."""
    rooms: tuple[Room, ...]
    """Most room first; none where the best kernel's record cannot be had."""
    room_by: RoomBy
    failures: tuple[Failure, ...]
    """Of the trials since the newest baseline, the most frequent cause first, then the newest."""
    near_misses: tuple[Trial, ...]
    """Trials since the best kernel that measured a gain over it, the largest first; of each kernel one."""
    next: Next


def of(night: Night) -> Standing:
    """Where the target of a night stands; its log has a trial of it."""
    rooms, room_by = _rooms(night)
    near = _near_misses(night)
    rules = next((one for one in reversed(night.trials) if one.digest and one.digest.min_effect is not None), None)
    known, documented = rules.digest if rules else None, Rules()
    min_effect = documented.min_effect if known is None or known.min_effect is None else known.min_effect
    return Standing(
        night,
        min_effect,
        documented.case_limit if known is None or known.case_limit is None else known.case_limit,
        min(_gains(night.keeps), key=lambda gain: gain.point, default=None),
        _seconds(night.current),
        rooms,
        room_by,
        _failures(night.current),
        near,
        _next(night, near, min_effect, rooms[0].case if rooms and room_by is RoomBy.GAIN else ""),
    )


def why(trial: Trial) -> str:
    """Why a trial was not kept, in a word: the cause of a discard, else its status; '' where it is not known."""
    if trial.row.status not in (Status.DISCARD, Status.REGRESSED):
        return trial.row.status
    return trial.digest.cause or "" if trial.digest else ""


def case_of(trial: Trial) -> str:
    """The case for which a trial was not kept; '' where it was none, or is not known."""
    digest = trial.digest
    if digest is None:
        return ""
    if trial.row.status is Status.INCONCLUSIVE:
        return (digest.doubt.case if digest.doubt else None) or ""
    return trial.row.worst_case if digest.cause is Cause.CASE_REGRESSED else ""


def _gains(trials: Iterable[Trial]) -> list[Interval]:
    intervals = (trial.row.interval for trial in trials)
    return [one for one in intervals if one and one.is_possible and one.point > 1]


def _seconds(trials: Iterable[Trial]) -> dict[Status, tuple[int, float]]:
    by_status: dict[Status, list[float]] = {}
    for trial in trials:
        if trial.row.seconds is not None:
            by_status.setdefault(trial.row.status, []).append(trial.row.seconds)
    return {status: (len(ones), statistics.median(ones)) for status, ones in by_status.items()}


def _rooms(night: Night) -> tuple[tuple[Room, ...], RoomBy]:
    """By gain where every case's is known, and there is one; else by the time of a call."""
    best = night.best
    cases = best.digest.cases if best and best.digest else {}
    gained = night.claimed_cases()
    is_by_gain = bool(cases) and set(cases) <= set(gained)
    most = max((gained[case].point for case in cases), default=1.0) if is_by_gain else 1.0
    rooms = [
        Room(
            case,
            gained.get(case),
            one.ns_per_call,
            (most / gained[case].point) ** (1 / len(cases)) if is_by_gain else None,
            _seen(case, night.since_best),
        )
        for case, one in cases.items()
    ]
    if is_by_gain:
        return tuple(sorted(rooms, key=lambda room: gained[room.case].point)), RoomBy.GAIN
    return tuple(sorted(rooms, key=lambda room: -room.ns_per_call)), RoomBy.TIME


def _seen(case: str, trials: Iterable[Trial]) -> Seen | None:
    """The trial that was shown to be the fastest in the case, of those that were faster than the best kernel."""
    found = []
    for trial in trials:
        one = trial.digest.cases.get(case) if trial.digest else None
        interval = _bounded(one) if one else None
        if interval and interval.low > 1:
            found.append(Seen(trial.row.trial, interval))
    return max(found, key=lambda seen: seen.speedup.point, default=None)


def _bounded(one: CaseDigest) -> Interval | None:
    if one.speedup is None or one.low is None or one.high is None:
        return None
    return Interval(one.low, one.speedup, one.high)


def _failures(trials: Sequence[Trial]) -> tuple[Failure, ...]:
    found: dict[tuple[str, str], list[Trial]] = {}
    for trial in reversed(trials):
        if trial.row.status not in _NO_FAILURE:
            found.setdefault((why(trial), case_of(trial)), []).append(trial)
    failures = [Failure(cause, case, tuple(ones)) for (cause, case), ones in found.items()]
    return tuple(sorted(failures, key=lambda failure: -len(failure.trials)))


def _near_misses(night: Night) -> tuple[Trial, ...]:
    found = [trial for trial in night.since_best if night.best and _gains([trial])]
    best: dict[str, Trial] = {}
    for trial in sorted(found, key=lambda trial: -(trial.row.speedup or 0)):
        best.setdefault(trial.row.kernel, trial)
    return tuple(best.values())


def _next(night: Night, near: Sequence[Trial], min_effect: float, room: str) -> Next:
    """The first rule that holds."""
    last = night.trials[-1]
    status = last.row.status
    if status is Status.INVALID:
        return Next(Step.MAINTAINER, last)
    if status in WRONG and (night.best is None or len(night.since_best) < PLATEAU):
        return Next(Step.MEND, last)
    if night.best is None:
        return Next(Step.BASELINE)
    if (budget := _longer(night)) is not None:
        return Next(Step.LONGER, last, case_of(last), budget)
    if len(night.since_best) >= PLATEAU and near and (budget := _again(night, near[0], min_effect)) is not None:
        return Next(Step.LONGER, near[0], case_of(near[0]), budget)
    if len(night.since_best) >= PLATEAU:
        return Next(Step.COMBINE if len(near) > 1 else Step.ANOTHER_WAY, case=room)
    step = _BY_CAUSE.get(why(last), Step.GO_ON if last.is_kept else Step.IDEA)
    return Next(step, last, case_of(last) or room)


_BY_CAUSE: Mapping[str, Step] = {
    Cause.IDENTICAL: Step.EDIT,
    Cause.MEMORY: Step.MEMORY,
    Cause.BUILDING: Step.BUILDING,
    Cause.CASE_REGRESSED: Step.CASE,
    Cause.CPU_DISAGREES: Step.CPU_TIME,
}


def _longer(night: Night) -> int | None:
    """The budget that would settle the last trial's doubt; None where that is not short, or was tried already."""
    *before, last = night.trials
    doubt = last.digest.doubt if last.digest else None
    if doubt is None or doubt.seconds is None or last.row.kernel in {one.row.kernel for one in before}:
        return None
    documented = Rules().max_seconds
    return _budget(last) if doubt.seconds <= SHORT * max(_budget_of(last), documented) else None


def _again(night: Night, near: Trial, min_effect: float) -> int | None:
    """The budget that would settle a near miss which gained by far enough; None where no time would.

    Nor where a second budget was tried already: trying until it is kept makes chance decide.
    """
    budgets = {_budget_of(one) for one in night.trials if one.row.kernel == near.row.kernel}
    gained_far = near.row.speedup is not None and near.row.speedup >= 1 + FAR * min_effect
    if near.row.status is not Status.INCONCLUSIVE or not gained_far or len(budgets) > 1:
        return None
    return _budget(near)


def _budget_of(trial: Trial) -> float:
    """That of a trial; the documented one where that is not known."""
    return (trial.digest.max_seconds if trial.digest else None) or Rules().max_seconds


def _budget(trial: Trial) -> int | None:
    """What a trial is to be measured with that ended in doubt; None where no time would settle that."""
    digest, taken = trial.digest, trial.row.seconds or 0.0
    if digest is None or digest.doubt is None or digest.doubt.seconds is None:
        return None
    look = taken / digest.looks
    return math.ceil((max(_budget_of(trial), taken) + SPARE * max(digest.doubt.seconds, look)) / 10) * 10
