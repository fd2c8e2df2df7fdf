"""The archive beside the log: every judged kernel's source and every trial's raw windows.

Owns `.autoresearch/` at the project's root. Kernels are found by the hash of their bytes, trials by the hash
of their record, so that a row of the log can be checked and measured again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import subprocess
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.records import Calibration

if TYPE_CHECKING:
    from pytest_lance_autoresearch.log import Row

FOLDER = ".autoresearch"
SPARE_BYTES = 4 * 2**20
"""Room for a trial's record, its kernel and its row, held while the trial runs."""


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
    _store(root, f"kernels/{digest}.py", text)
    return digest


def store_trial(root: Path, target: str, record: Any) -> str:
    """Keep a trial's raw record (dataclasses and plain values) as JSON; returns its sha256."""
    text = json.dumps(record, default=_plain, indent=1, sort_keys=True, allow_nan=False).encode()
    digest = hashlib.sha256(text).hexdigest()
    _store(root, f"trials/{_trial_name(target, digest)}", text)
    return digest


def trial_path(root: Path, target: str, digest: str) -> Path:
    """Where the record with that sha256 lies."""
    return root / FOLDER / "trials" / _trial_name(target, digest)


def store_calibration(root: Path, calibration: Calibration) -> None:
    """Keep the host's newest calibration of a target."""
    text = json.dumps(asdict(calibration), indent=1, sort_keys=True).encode()
    _store(root, f"calibrations/{calibration.target}-{_host_name(calibration.host)}.json", text)


def find_calibration(root: Path, host: str, target: str) -> Calibration | None:
    """The host's newest calibration, of the target if it has one; what cannot be read counts as none."""
    found = []
    for path in (root / FOLDER / "calibrations").glob(f"*-{_host_name(host)}.json"):
        with suppress(OSError, ValueError, TypeError):
            one = Calibration(**json.loads(path.read_bytes()))
            datetime.fromisoformat(one.time)
            if math.isfinite(one.process_sd + one.resolution + one.seconds + one.measured):
                found.append(one)
    return max(found, key=lambda one: (one.target == target, one.time), default=None)


def _host_name(host: str) -> str:
    return hashlib.sha256(host.encode()).hexdigest()[:16]


def kernel(root: Path, sha256: str) -> bytes | None:
    """The archived kernel with that sha256; None when it is not there, or was changed."""
    with suppress(OSError):
        text = (root / FOLDER / "kernels" / f"{sha256}.py").read_bytes()
        if hashlib.sha256(text).hexdigest() == sha256:
            return text
    return None


def root_of(path: Path) -> Path:
    """The nearest folder above `path` that holds an archive; LogError without one."""
    for folder in path.resolve().parents:
        if (folder / FOLDER).is_dir():
            return folder
    raise LogError(f"{path}: no folder above it holds {FOLDER}; name the one that does with --root")


def find_kernel(root: Path, row: Row, kernel_path: Path) -> bytes | None:
    """The bytes of the row's kernel: from the archive, or from the row's git commit; None when both lack it."""
    return kernel(root, row.kernel) or _from_git(row, kernel_path)


def _trial_name(target: str, digest: str) -> str:
    return f"{target}-{digest[:16]}.json"


def _from_git(row: Row, kernel_path: Path) -> bytes | None:
    git = shutil.which("git")
    if git is None or not re.fullmatch("[0-9a-f]+", row.commit):
        return None
    command = [git, "-C", str(kernel_path.parent), "show", f"{row.commit}:./{kernel_path.name}"]
    with suppress(OSError, subprocess.TimeoutExpired):
        text = subprocess.run(command, capture_output=True, timeout=10, check=False).stdout
        if hashlib.sha256(text).hexdigest() == row.kernel:
            return text
    return None


def _store(root: Path, name: str, text: bytes) -> None:
    path = root / FOLDER / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _ignore(root / FOLDER)
        if path.exists() and path.read_bytes() == text:
            return
        partial = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            with partial.open("wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise LogError(f"{path}: cannot be written: {error.strerror or error}; nothing was logged") from error


def _ignore(folder: Path) -> None:
    """Keep the archive out of git without touching the project's own ignore file."""
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)
