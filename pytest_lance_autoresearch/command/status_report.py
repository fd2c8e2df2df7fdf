"""The words about where a target stands: twenty lines for whoever picks the next experiment, and their JSON twin.

Owns the suggestions, one for each step. Decides nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_lance_autoresearch.command.log_report import first_fault
from pytest_lance_autoresearch.command.trial_report import doubt_of, doubt_sentence
from pytest_lance_autoresearch.log import results
from pytest_lance_autoresearch.log.standing import RoomBy, Step, case_of
from pytest_lance_autoresearch.words import report, wording

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_lance_autoresearch.log.night import Trial
    from pytest_lance_autoresearch.log.standing import Failure, Next, Room, Standing

LINES = 20
"""Without those about what is wrong with the log, which take none of these."""
WIDTH = 80
"""Of all lines but those that are to be typed: these stay whole."""
_KEY = 11
_ROOM = WIDTH - _KEY
"""Columns behind a key."""
_CASES = 3
_NEAR = 6
_FAULT_LINES = 3
MOST_WAITED = 0.2
"""Of the time: with more, a quieter machine is what a trial needs most."""
_WHY_LINES = 2
"""Of the reason of one failure, where there is room for both."""
_NUMBERS = 6
_PROGRAM = "python -m pytest_lance_autoresearch"


class Suggestion(NamedTuple):
    """What to do, and what to type for it; both with names in braces."""

    sentence: str
    commands: tuple[str, ...]


_SHOW, _RESTORE = f"{_PROGRAM} show {{log}} {{trial}}", f"{_PROGRAM} restore {{log}}"
_EXPLAIN, _GATE = f"{_PROGRAM} explain {{target}} {{case}}", "pytest -x --autoresearch={target} --keep-gate"
SUGGESTIONS: Mapping[Step, Suggestion] = {
    Step.MAINTAINER: Suggestion("tell the maintainer: trial {trial} came to no verdict", (_SHOW,)),
    Step.MEND: Suggestion(
        "mend or drop it: trial {trial} is wrong; a slip is worth mending, a wrong idea is not", (_SHOW, _RESTORE)
    ),
    Step.BASELINE: Suggestion("record a baseline; nothing was kept yet", (_GATE,)),
    Step.LONGER: Suggestion(
        "measure longer: more time would settle trial {trial}; once, for trying until it is kept makes chance "
        "decide",
        (f"{_RESTORE} --trial {{trial}}", f"{_GATE} --autoresearch-max-seconds={{max_seconds}}"),
    ),
    Step.COMBINE: Suggestion(
        "combine near misses, such as trials {near}: none was kept alone for {plateau} trials", (_SHOW,)
    ),
    Step.ANOTHER_WAY: Suggestion(
        "go another way: nothing was kept for {plateau} trials; read what takes the time{in_case}", (_EXPLAIN,)
    ),
    Step.EDIT: Suggestion("edit the kernel: trial {trial} was the baseline's own code", (_EXPLAIN,)),
    Step.MEMORY: Suggestion(
        "take less memory: look at what the constructor keeps and what a call allocates", (_SHOW,)
    ),
    Step.BUILDING: Suggestion("build less: look at what the constructor prepares", (_SHOW,)),
    Step.CASE: Suggestion("spare the case that regressed, {case}: treat it apart, or drop the idea", (_SHOW,)),
    Step.CPU_TIME: Suggestion("look at the CPU time: it does not show the gain that the clock shows", (_SHOW,)),
    Step.IDEA: Suggestion(
        "take another idea, one with a larger effect; read what takes the time{in_case}", (_EXPLAIN,)
    ),
    Step.GO_ON: Suggestion("go on from the best kernel; read what takes the time{in_case}", (_EXPLAIN,)),
}
"""By step; every sentence begins with the step's own words."""


def lines(log: str, where: Standing, faults: Sequence[str], root: Path | None = None) -> list[str]:
    """At most twenty lines, and more about the first of `faults`, which are what is wrong with the log.

    `root` is the folder of its archive, where that was named.
    """
    sentence, commands = suggestion(log, where, root)
    known = [
        _headline(where),
        *_rows("best", _best(where)),
        _row("to keep", _needs(where)),
        *_rows("noise", _noise(where)),
        *_rows("seconds", _seconds(where)),
        *_rows("cases", _rooms(where)),
        *_rows("near miss", _near(where)),
    ]
    broken = _rows("log", [line for fault in first_fault(faults) for line in _wrapped(fault)])
    end = _rows("next", [*_wrapped(sentence, 2), *commands])
    failed = _failures(where.failures, max(0, LINES - len(known) - len(end)))
    told = [*known, *_rows("failed", failed), *broken]
    return [*(wording.cut(wording.printable(line), WIDTH) for line in told), *end]


def no_trial(log: Path) -> str:
    return f"{results.no_trial(log)}; record the baselines with pytest -x --keep-gate"


def suggestion(log: str, where: Standing, root: Path | None = None) -> Suggestion:
    """The next step, with its names filled in; what is to be typed names the archive as it was named here.

    Where nothing was kept yet there is nothing to restore.
    """
    step, chosen = where.next, SUGGESTIONS[where.next.step]
    about = step.trial or next(iter(where.near_misses), None)
    names = {
        "log": log,
        "target": where.night.target,
        "trial": str(about.row.trial) if about else "",
        "case": step.case,
        "max_seconds": str(step.max_seconds),
    }
    told = {
        **names,
        "near": wording.listed([str(one.row.trial) for one in where.near_misses[:_NEAR]] or [""]),
        "plateau": len(where.night.since_best),
        "in_case": _in_case(step),
    }
    typed = {name: shlex.quote(text) if text else "" for name, text in names.items()}
    commands = (
        f"{command.format(**typed).rstrip()}{_root(root) if '{log}' in command else ''}"
        for command in chosen.commands
        if command != _RESTORE or where.night.best is not None
    )
    return Suggestion(chosen.sentence.format(**told), tuple(commands))


def _root(named: Path | None) -> str:
    return "" if named is None else f" --root {shlex.quote(str(named))}"


def _in_case(step: Next) -> str:
    """In which case time is to be looked for; one that has the most room needs no reason."""
    was_in_doubt = step.trial is not None and case_of(step.trial) == step.case
    return f" in {step.case}{', which was in doubt' if was_in_doubt else ''}" if step.case else ""


def as_json(log: str, where: Standing, faults: Sequence[str], root: Path | None = None) -> dict[str, Any]:
    """The same, and what the lines leave out, as plain JSON values; a number that does not exist is null."""
    night, step, (sentence, commands) = where.night, where.next, suggestion(log, where, root)
    best, baseline = night.best, night.current[0]
    return {
        "log": log,
        "faults": list(faults),
        "target": night.target,
        "trials": len(night.trials),
        "keeps": night.kept,
        "best": {**_told(best), "kernel": best.row.kernel} if best else None,
        "baseline_trial": baseline.row.trial if best else None,
        "claimed_speedup": asdict(night.claimed) if best and night.claimed else None,
        "to_keep": {"min_effect": where.min_effect, "case_limit": where.case_limit},
        "noise": night.noise,
        "waited": night.waited,
        "least_kept": asdict(where.least_kept) if where.least_kept else None,
        "seconds": {
            status.value: {"trials": count, "median": median} for status, (count, median) in where.seconds.items()
        },
        "room_by": where.room_by.value if where.rooms else None,
        "cases": [asdict(room) for room in where.rooms],
        "plateau": len(night.since_best),
        "failed": [
            {"cause": one.cause or None, "case": one.case or None, "trials": list(map(_told, one.trials))}
            for one in where.failures
        ],
        "near_misses": list(map(_told, where.near_misses)),
        "next": {
            "step": step.step.value,
            "trial": step.trial.row.trial if step.trial else None,
            "case": step.case or None,
            "max_seconds": step.max_seconds,
            "sentence": sentence,
            "commands": list(commands),
        },
    }


def _told(trial: Trial) -> dict[str, Any]:
    row = trial.row
    return {
        "trial": row.trial,
        "status": row.status.value,
        "speedup": row.speedup,
        "tried": trial.tried or None,
        "reason": trial.reason or None,
    }


def _headline(where: Standing) -> str:
    night = where.night
    plateau = wording.many(len(night.since_best), "trial")
    count = f"{wording.many(len(night.trials), 'trial')}, {wording.many(night.kept, 'keep')}"
    since = f"{plateau} since the best kernel" if night.best else "nothing kept yet"
    return f"{night.target}: {count}, {since}"


def _best(where: Standing) -> list[str]:
    night = where.night
    if night.best is None:
        return []
    row = night.best.row
    simpler = f", {night.best.status_word}" if night.best.status_word != row.status else ""
    kernel = f"trial {row.trial}{simpler}, kernel {row.kernel[:12]}"
    if night.claimed is None:
        return _wrapped(f"{kernel}, claimed {report.claim_not_known(night.damaged)}", 2)
    claimed = f", {wording.times(night.claimed)} since trial {night.current[0].row.trial}" if night.keeps else ""
    return [f"{kernel}{claimed}", row.description]


def _needs(where: Standing) -> str:
    effect, limit = wording.percent(where.min_effect), wording.percent(where.case_limit)
    return f"a gain of {effect} or more overall, and no case slower than {limit}"


def _noise(where: Standing) -> list[str]:
    if where.night.noise is None:
        return []
    more = f"; smallest gain kept {wording.change(where.least_kept.point)}" if where.least_kept else ""
    if (waited := where.night.waited or 0.0) >= MOST_WAITED:
        more = f"; others had the core {waited * 100:.0f} % of the time"
    return [f"intervals of +-{where.night.noise * 100:.2f} % (median){more}"]


def _seconds(where: Standing) -> list[str]:
    told = [f"{status} {median:.0f}" for status, (_, median) in where.seconds.items()]
    return _wrapped(f"{', '.join(told)} (medians)", 2) if told else []


def _rooms(where: Standing) -> list[str]:
    """The cases with the most room, and the one whose calls are the longest."""
    if not where.rooms:
        best = where.night.best
        return _wrapped(f"not known: {best.fault or 'none was timed'}", _FAULT_LINES) if best else []
    first = where.rooms[:_CASES]
    longest = max(where.rooms, key=lambda room: room.ns_per_call)
    shown = first if longest in first else (*first, longest)
    width = max(len(room.case) for room in shown)
    return [_ORDER[where.room_by], *(f"  {room.case:{width}}  {_room(room)}" for room in shown)]


_ORDER: Mapping[RoomBy, str] = {
    RoomBy.GAIN: "least gain first; in brackets the whole, if it gained as the best",
    RoomBy.TIME: "longest call first; no gain of single cases is known",
}


def _room(room: Room) -> str:
    gained = f"{room.gained.point:.2f}x  " if room.gained else ""
    overall = f"  ({wording.change(room.overall)})" if room.overall else ""
    seen = f"  trial {room.seen.trial}: {wording.change(room.seen.speedup.point)}" if room.seen else ""
    return f"{gained}{wording.time(room.ns_per_call)} a call{overall}{seen}"


def _near(where: Standing) -> list[str]:
    if not where.near_misses:
        return []
    told = [f"{one.row.trial} ({wording.change(one.row.speedup or 1.0)})" for one in where.near_misses]
    about = "gained, not kept: trial "
    return [f"{about}{_as_many(told, _ROOM - len(about))}"]


def _as_many(items: Sequence[str], room: int) -> str:
    """The items that have room, at least one."""
    whole = ", ".join(items)
    if len(whole) <= room:
        return whole
    counts = range(len(items) - 1, 0, -1)
    return next((told for n in counts if len(told := ", ".join([*items[:n], "..."])) <= room), f"{items[0]}, ...")


def _failures(failures: Sequence[Failure], room: int) -> list[str]:
    """What was tried and why it failed, by cause; in one line those for which there is no room."""
    for most in range(_WHY_LINES, 0, -1):
        told = [_failure(failure, most) for failure in failures]
        if sum(map(len, told)) <= room:
            return [line for one in told for line in one]
    shown: list[str] = []
    while len(shown) + len(told[0]) < room:
        shown += told.pop(0)
    return [*shown, _others(failures[len(failures) - len(told) :], is_rest=bool(shown))][:room]


def _others(failures: Sequence[Failure], *, is_rest: bool) -> str:
    """Their causes and trials, or where they have no room, how many these are."""
    by_cause: dict[str, list[Trial]] = {}
    for failure in failures:
        by_cause.setdefault(_cause(failure), []).extend(failure.trials)
    named = ", ".join(f"{cause} ({_numbers(trials)})" for cause, trials in by_cause.items())
    told = f"{'also ' if is_rest else ''}{named}; --json tells of all"
    if len(told) <= _ROOM:
        return told
    count = sum(map(len, by_cause.values()))
    return f"{count} {'for other causes' if is_rest else 'trials'}; --json tells of all"


def _failure(failure: Failure, most: int) -> list[str]:
    """Its trials and what the newest of them tried; below that, why it failed, in so many lines at most."""
    of_case = f", {failure.case}" if failure.case else ""
    newest, count = failure.trials[0], len(failure.trials)
    return [
        f"{count} {_cause(failure)}{of_case} ({_numbers(failure.trials)}): {newest.tried or 'no description'}",
        *_wrapped(_why(newest), most, indent="  "),
    ]


def _cause(failure: Failure) -> str:
    return failure.cause or "discarded without a record"


def _numbers(trials: Sequence[Trial]) -> str:
    more = ", ..." if len(trials) > _NUMBERS else ""
    return f"{', '.join(str(trial.row.trial) for trial in trials[:_NUMBERS])}{more}"


def _why(trial: Trial) -> str:
    """Why it failed; of an inconclusive one what is open. '' where that is not known."""
    if trial.digest and (doubt := doubt_of(trial.digest)):
        return f"open: {doubt_sentence(doubt)}"
    return f"why: {trial.reason.removeprefix(f'{trial.row.status}: ')}" if trial.reason else ""


def _rows(key: str, values: Sequence[str]) -> list[str]:
    return [_row(key if i == 0 else "", value) for i, value in enumerate(values)]


def _row(key: str, value: str) -> str:
    return f"{key:{_KEY}}{value}"


def _wrapped(sentence: str, most: int | None = None, indent: str = "") -> list[str]:
    """A sentence in lines behind a key, in so many at most where it may be cut: what matters is told first."""
    return [f"{indent}{line}" for line in wording.wrapped(sentence, _ROOM - len(indent), most=most)]
