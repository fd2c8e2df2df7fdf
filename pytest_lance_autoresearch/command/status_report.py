"""The words about where a target stands: twenty lines for whoever picks the next experiment, and their JSON twin.

Owns the suggestions, one for each step. Decides nothing.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_lance_autoresearch.log.standing import RoomBy, Step
from pytest_lance_autoresearch.words import report, wording

if TYPE_CHECKING:
    from pytest_lance_autoresearch.log.night import Trial
    from pytest_lance_autoresearch.log.standing import Failure, Room, Standing

LINES = 20
WIDTH = 80
"""Of all lines but those that are to be typed: these stay whole."""
_KEY = 11
_CASES = 3
_CAUSES = 6
_NEAR = 6
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
        "go another way: nothing gained for {plateau} trials; read what takes the time{in_case}", (_EXPLAIN,)
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


def lines(log: str, where: Standing, faults: Sequence[str]) -> list[str]:
    """At most twenty lines; `faults` are what is wrong with the log, of which the first is said."""
    sentence, commands = suggestion(log, where)
    step = textwrap.wrap(sentence, WIDTH - _KEY, break_on_hyphens=False, max_lines=2, placeholder=" ...")
    known = [
        _headline(where),
        *_rows("best", _best(where)),
        _row("to keep", _needs(where)),
        *_rows("noise", _noise(where)),
        *_rows("seconds", _seconds(where)),
        *_rows("cases", _rooms(where)),
        *_rows("near miss", _near(where)),
    ]
    broken, end = _rows("log", faults[:1]), _rows("next", [*step, *commands])
    room = min(_CAUSES, LINES - len(known) - len(broken) - len(end))
    told = [*known, *_rows("failed", _failures(where.failures, room)), *broken]
    return [*map(_cut, told), *end]


def no_trial(log: str) -> str:
    return f"{log}: no trial was logged yet; pytest -x --keep-gate records the baselines"


def suggestion(log: str, where: Standing) -> Suggestion:
    """The next step, with its names filled in."""
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
        "in_case": f" in {step.case}" if step.case else "",
    }
    typed = {name: shlex.quote(text) if text else "" for name, text in names.items()}
    commands = tuple(command.format(**typed).rstrip() for command in chosen.commands)
    return Suggestion(chosen.sentence.format(**told), commands)


def as_json(log: str, where: Standing, faults: Sequence[str]) -> dict[str, Any]:
    """The same, and what the lines leave out, as plain JSON values; a number that does not exist is null."""
    night, step, (sentence, commands) = where.night, where.next, suggestion(log, where)
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
        "description": row.description,
        "reason": trial.digest.reason if trial.digest else None,
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
        return [kernel, f"claimed: {report.claim_not_known(night.damaged)}", row.description]
    claimed = f", {wording.times(night.claimed)} since trial {night.current[0].row.trial}" if night.keeps else ""
    return [f"{kernel}{claimed}", row.description]


def _needs(where: Standing) -> str:
    effect, limit = wording.percent(where.min_effect), wording.percent(where.case_limit)
    return f"a gain of {effect} or more overall, and no case slower than {limit}"


def _noise(where: Standing) -> list[str]:
    if where.night.noise is None:
        return []
    least = f"; smallest gain kept {wording.change(where.least_kept.point)}" if where.least_kept else ""
    return [f"intervals of +-{where.night.noise * 100:.2f} % (median){least}"]


def _seconds(where: Standing) -> list[str]:
    told = [f"{status} {median:.0f}" for status, (_, median) in where.seconds.items()]
    return [f"{', '.join(told)} (medians)"] if told else []


def _rooms(where: Standing) -> list[str]:
    """The cases with the most room, and the one whose calls are the longest."""
    if not where.rooms:
        best = where.night.best
        return [f"not known: {best.fault or 'none was timed'}"] if best else []
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
    told = [f"{one.row.trial} ({wording.change(one.row.speedup or 1.0)})" for one in where.near_misses[:_NEAR]]
    return [f"since the best kernel: trial {', '.join(told)}"]


def _failures(failures: Sequence[Failure], room: int) -> list[str]:
    """One line for each cause, and one for those that have no room."""
    if len(failures) <= room:
        return list(map(_failure, failures))
    rest = [trial for failure in failures[max(0, room - 1) :] for trial in failure.trials]
    return [*map(_failure, failures[: room - 1]), f"{len(rest)} for other causes; --json tells of all"][:room]


def _failure(failure: Failure) -> str:
    of_case = f", {failure.case}" if failure.case else ""
    numbers = [str(trial.row.trial) for trial in failure.trials]
    more = ", ..." if len(numbers) > _NUMBERS else ""
    return (
        f"{len(numbers)} {failure.cause or 'discard, no record'}{of_case} "
        f"({', '.join(numbers[:_NUMBERS])}{more}): {_said(failure.trials[0])}"
    )


def _said(trial: Trial) -> str:
    """What a wrong kernel did wrong, else what was tried."""
    if trial.row.status in report.WRONG and trial.digest:
        return trial.digest.reason.removeprefix(f"{trial.row.status}: ").split(";")[0]
    return trial.row.description


def _rows(key: str, values: Sequence[str]) -> list[str]:
    return [_row(key if i == 0 else "", value) for i, value in enumerate(values)]


def _row(key: str, value: str) -> str:
    return f"{key:{_KEY}}{value}"


def _cut(line: str) -> str:
    shown = wording.printable(line)
    return shown if len(shown) <= WIDTH else f"{shown[: WIDTH - 3].rstrip()}..."
