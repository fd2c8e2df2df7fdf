"""What is on disk about a target's night: its log, its archive, and what lies beside its kernel.

Owns that all of it is read, once. Decides nothing, and what is missing is no fault here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.log import archive, digests, history, night, results
from pytest_lance_autoresearch.log.origins import Origins
from pytest_lance_autoresearch.records import Calibration, Replay

LESSONS = "lessons.md"
LESSONS_BYTES = 2**17
"""As much of them as a page can hold."""


@dataclass(frozen=True)
class Versions:
    """What one trial ran with."""

    trial: int
    found: Mapping[str, str]


@dataclass(frozen=True)
class Facts:
    """One target's night, with all that is known about it."""

    log: Path
    root: Path | None
    """The folder that holds the log's archive; None where there is none."""
    night: night.Night
    torn: str = ""
    """What a crash left at the log's end, as a sentence."""
    faults: tuple[str, ...] = ()
    """What of these rows does not hold together, as far as that shows without judging again."""
    audits: tuple[Replay, ...] = ()
    """What was measured again of this target, the newest last."""
    calibrations: tuple[Calibration, ...] = ()
    """The newest of each host."""
    versions: tuple[Versions, ...] = ()
    """Of the first and of the newest trial since the newest baseline, of those whose records can be read."""
    kernels: Mapping[str, bytes] | None = None
    """The kept kernels by their sha256, those that the archive has."""
    lessons: bytes = b""
    named_root: Path | None = None
    """The folder with the archive as it was typed, where it was; what is typed about the log needs it again."""


def read(
    log: Path,
    rows: Sequence[results.Row],
    root: Path | None,
    globs: tuple[str, ...],
    named_root: Path | None = None,
) -> list[Facts]:
    """The facts about every target in the log, by name; `named_root` is its archive's folder as it was typed."""
    if root:
        digests.make_missing(root, rows)
    faults = list(zip(rows, history.unrecorded_faults(rows, root), strict=True))
    replays = archive.replays(root) if root else []
    torn = results.cut_off(log)
    origins = Origins(log, rows, root or log.resolve().parent, globs)
    return [
        Facts(
            log,
            root,
            one,
            torn,
            (
                *(fault for row, found in faults if row.target == one.target for fault in found),
                *(trial.fault for trial in one.trials if trial.fault and root),
            ),
            tuple(replay for replay in replays if replay.target == one.target),
            tuple(_calibrations(root, one)) if root else (),
            tuple(_versions(root, one)) if root else (),
            dict(_kernels(root, one)) if root else {},
            _lessons(origins, one.target),
            named_root,
        )
        for one in night.nights(rows, root)
    ]


def _calibrations(root: Path, one: night.Night) -> Iterator[Calibration]:
    for host in dict.fromkeys(trial.row.host for trial in one.trials):
        found = archive.find_calibration(root, host, one.target)
        if found is not None:
            yield found


def _versions(root: Path, one: night.Night) -> Iterator[Versions]:
    readable = [trial.row for trial in one.current if trial.digest]
    for row in dict.fromkeys([*readable[:1], *readable[-1:]]):
        with suppress(LogError):
            yield Versions(row.trial, history.record_of(root, row).versions)


def _kernels(root: Path, one: night.Night) -> Iterator[tuple[str, bytes]]:
    for trial in one.current:
        if trial.is_kept and (text := archive.kernel(root, trial.row.kernel)) is not None:
            yield trial.row.kernel, text


def _lessons(origins: Origins, target: str) -> bytes:
    """What the agent has learnt, in the target's folder or else beside the log."""
    folder = origins.log.resolve().parent
    with suppress(LogError):
        folder = origins.layout(target).directory
    with suppress(OSError), (folder / LESSONS).open("rb") as file:
        return file.read(LESSONS_BYTES)
    return b""
