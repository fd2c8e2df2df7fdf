"""The archive of a log: every judged kernel's source and every trial's raw windows.

Owns `.autoresearch/`, and in which folder it lies. Kernels are found by the hash of their bytes, trials by the
hash of their record, so that a row of the log can be checked and measured again; what came of measuring again is
kept too. What a record comes to is kept beside it, so that hundreds are read at once.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.log import codec, git
from pytest_lance_autoresearch.machine import files
from pytest_lance_autoresearch.records import Calibration, Digest, Replay, TrialRecord
from pytest_lance_autoresearch.words import wording

FOLDER = ".autoresearch"
SPARE_BYTES = 4 * 2**20
"""Room for a trial's record, its kernel and its row, held while the trial runs."""


def home(log_path: Path, root: Path) -> Path:
    """The folder that holds the archive of a log, from wherever its trials are started.

    The nearest one above the log that holds an archive already; else `root`, the session's, where the log lies
    below it; else the log's own.
    """
    folder = log_path.resolve().parent
    is_below = folder.is_relative_to(root.resolve())
    return next(_holders(folder), root if is_below else folder)


def unwritable(log_path: Path, root: Path) -> str:
    """Why a trial cannot leave its row or its archive in the folders of both; '' where it can."""
    for folder in (log_path.parent, home(log_path, root)):
        if not folder.is_dir():
            return f"{folder}: there is no such folder; a judged trial leaves its row there"
        if not os.access(folder, os.W_OK):
            return f"{folder}: cannot be written; a judged trial leaves its row or its archive there"
    return ""


def root_of(log_path: Path) -> Path:
    """The folder that holds the archive of a log that has one; LogError where it has none."""
    found = next(_holders(log_path.resolve().parent), None)
    if found is None:
        raise LogError(f"{log_path}: no folder above it holds {FOLDER}; name the one that does with --root")
    return found


def place(root: Path) -> str:
    """The archive of a folder, for a sentence."""
    return wording.shown(root / FOLDER)


def _holders(folder: Path) -> Iterator[Path]:
    """Of the folder and those above it, each that holds an archive, the nearest first."""
    resolved = folder.resolve()
    return (each for each in (resolved, *resolved.parents) if (each / FOLDER).is_dir())


def hold_room(root: Path) -> None:
    """Take the room that a trial's end will need; LogError when the disk is full already.

    What trials that were killed still hold is freed.
    """
    for held in (root / FOLDER).glob("spare-*"):
        if not _is_alive(held.name.removeprefix("spare-")):
            held.unlink(missing_ok=True)
    _store(root, _spare(), bytes(SPARE_BYTES))


def give_room_back(root: Path) -> None:
    """Free what `hold_room` took; safe more than once."""
    with suppress(OSError):
        (root / FOLDER / _spare()).unlink(missing_ok=True)


def _spare() -> str:
    return f"spare-{os.getpid()}"


def _is_alive(pid: str) -> bool:
    """Whether there is such a process; another user's counts."""
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def store_kernel(root: Path, text: bytes) -> str:
    """Keep the kernel's bytes; returns their sha256."""
    digest = hashlib.sha256(text).hexdigest()
    _store(root, _kernel_name(digest), text)
    return digest


def store_trial(root: Path, record: TrialRecord) -> str:
    """Keep a trial's record; returns the sha256 of its bytes."""
    text = codec.trial_to_json(record)
    digest = hashlib.sha256(text).hexdigest()
    _store(root, f"trials/{_record_name(record.target, digest)}", text)
    return digest


def store_digest(root: Path, target: str, sha256: str, digest: Digest) -> None:
    """Keep what the record with that sha256 comes to; where it cannot be written it will be made again."""
    with suppress(LogError):
        _store(root, f"digests/{_record_name(target, sha256)}", codec.digest_to_json(sha256, digest))


def find_digest(root: Path, target: str, sha256: str) -> Digest | None:
    """What was kept of the record with that sha256; None where there is none that can be believed."""
    for folder in _holders(root):
        with suppress(OSError, ValueError):
            text = (folder / FOLDER / "digests" / _record_name(target, sha256)).read_bytes()
            return codec.digest_from_json(sha256, text)
    return None


def trial_path(root: Path, target: str, digest: str) -> Path:
    """Where the record with that sha256 lies, or belongs."""
    name = Path(FOLDER, "trials", _record_name(target, digest))
    return next((path for folder in _holders(root) if (path := folder / name).exists()), root / name)


def store_calibration(root: Path, calibration: Calibration) -> None:
    """Keep the host's newest calibration of a target."""
    name = f"{calibration.target}-{_host_name(calibration.host)}.json"
    _store(root, f"calibrations/{name}", codec.to_json(calibration))


def find_calibration(root: Path, host: str, target: str) -> Calibration | None:
    """The host's newest calibration, of the target if it has one; what cannot be read counts as none."""
    found = []
    name = f"{FOLDER}/calibrations/*-{_host_name(host)}.json"
    for path in (path for folder in _holders(root) for path in folder.glob(name)):
        with suppress(OSError, ValueError):
            one = codec.from_json(path.read_bytes(), Calibration)
            datetime.fromisoformat(one.time)
            if math.isfinite(one.pair_sd + one.resolution + one.seconds + one.measured):
                found.append(one)
    return max(found, key=lambda one: (one.target == target, one.time), default=None)


def store_replay(root: Path, replay: Replay) -> None:
    """Keep what was measured again, beside all that was before."""
    text = codec.to_json(replay)
    _store(root, f"audits/{_record_name(replay.target, hashlib.sha256(text).hexdigest())}", text)


def replays(root: Path) -> list[Replay]:
    """All that was measured again, the newest last; what cannot be read counts as none."""
    found = []
    for path in (path for folder in _holders(root) for path in folder.glob(f"{FOLDER}/audits/*.json")):
        with suppress(OSError, ValueError):
            one = codec.from_json(path.read_bytes(), Replay)
            datetime.fromisoformat(one.time)
            if all(each.is_possible and each.is_bounded for each in (one.speedup, *one.cases.values())):
                found.append(one)
    return sorted(found, key=lambda one: one.time)


def _host_name(host: str) -> str:
    return hashlib.sha256(host.encode()).hexdigest()[:16]


def kernel_place(root: Path, sha256: str) -> Path:
    """Where `store_kernel` keeps the kernel with that sha256."""
    return root / FOLDER / _kernel_name(sha256)


def kernel(root: Path, sha256: str) -> bytes | None:
    """The archived kernel with that sha256; None when it is not there, or was changed."""
    for folder in _holders(root):
        with suppress(OSError, ValueError):
            text = kernel_place(folder, sha256).read_bytes()
            if hashlib.sha256(text).hexdigest() == sha256:
                return text
    return None


def find_kernel(root: Path, sha256: str, kernel_path: Path, commits: Iterable[str]) -> bytes | None:
    """The kernel with that sha256, from the archive or from git, `commits` first; None when both lack it."""
    archived = kernel(root, sha256)
    return git.kernel(kernel_path, sha256, commits) if archived is None else archived


def _kernel_name(sha256: str) -> str:
    return f"kernels/{sha256}.py"


def _record_name(target: str, digest: str) -> str:
    return f"{target}-{digest[:16]}.json"


def _store(root: Path, name: str, text: bytes) -> None:
    path = root / FOLDER / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _ignore(root / FOLDER)
        if path.exists() and path.read_bytes() == text:
            return
        files.write_whole(path, text)
    except OSError as error:
        raise LogError(f"{wording.shown(path)}: cannot be written: {error.strerror or error}") from error


def _ignore(folder: Path) -> None:
    """Keep the archive out of git without touching the project's own ignore file."""
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
