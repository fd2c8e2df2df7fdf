"""The log of judged trials, `results.tsv`: append-only, one row per trial whatever its end.

Owns the file's format, its lock and its durability. A row is on disk before `append` returns, or the file is
as it was. Each row carries the hash of the row before it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.records import Status

SCHEMA = 1
HEADER_LINES = 2
KEPT = (Status.KEEP, Status.BASELINE)
"""The ends that make a kernel the baseline of the next ones."""
_TITLE = "# pytest-lance-autoresearch results, schema "


@dataclass(frozen=True)
class Row:
    """One judged trial. An empty field means that there is no such number; a failed trial has no time."""

    trial: int = 0
    time: str = ""
    target: str = ""
    status: str = ""
    speedup: str = ""
    ci_low: str = ""
    ci_high: str = ""
    worst_case: str = ""
    worst_speedup: str = ""
    geomean_ns: str = ""
    unit: str = ""
    peak_rss_mb: str = ""
    windows: str = ""
    seconds: str = ""
    kernel: str = ""
    commit: str = ""
    harness: str = ""
    host: str = ""
    description: str = ""
    record: str = ""
    """sha256 of the trial's raw windows in the archive."""
    previous: str = ""
    """First 16 hex digits of the sha256 of the row before; '' for the first."""


COLUMNS = tuple(field.name for field in fields(Row))


def read(path: Path) -> tuple[Row, ...]:
    """All rows; none when the file is not there yet. A row that was cut off by a crash is left out."""
    try:
        return _parse(path, path.read_bytes())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror or error}") from error


def baseline(rows: Sequence[Row], target: str) -> Row | None:
    """The row whose kernel the next one is judged against: the target's newest keep or baseline."""
    return next((row for row in reversed(rows) if row.target == target and row.status in KEPT), None)


def append(path: Path, row: Row, refuse: Callable[[Sequence[Row]], None] = lambda _: None) -> Row:
    """Write the row as the log's next trial; returns it with its number. LogError when it is not on disk.

    `refuse` sees the rows that are there, while nobody else can write, and may raise.
    """
    try:
        with _locked(path) as fd:
            rows = _repaired(path, fd)
            refuse(rows)
            last = rows[-1] if rows else None
            number = last.trial + 1 if last else 1
            numbered = replace(row, trial=number, previous=digest(last) if last else "")
            _write(fd, ("" if os.fstat(fd).st_size else _header()) + _line(numbered))
            return numbered
    except OSError as error:
        raise LogError(
            f"{path}: the row '{row.status}' of target '{row.target}' could not be written: "
            f"{error.strerror or error}; the log is as it was"
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def _repaired(path: Path, fd: int) -> tuple[Row, ...]:
    """The rows under the lock; what a crash cut off is moved to a file beside the log first."""
    data = path.read_bytes()
    rows = _parse(path, data)
    whole = data.rfind(b"\n") + 1
    if data.count(b"\n") < HEADER_LINES:
        whole = 0  # a header that was cut off holds nothing; it is written anew
    if whole < len(data):
        with path.with_name(path.name + ".torn").open("ab") as torn:
            torn.write(data[whole:] + b"\n")
        os.ftruncate(fd, whole)
    return rows


def _write(fd: int, text: str) -> None:
    before = os.fstat(fd).st_size
    data = memoryview(text.encode("utf-8"))
    try:
        while data:
            data = data[os.write(fd, data) :]
        os.fsync(fd)
    except OSError:
        os.ftruncate(fd, before)
        raise


def _header() -> str:
    return f"{_TITLE}{SCHEMA}\n" + "\t".join(COLUMNS) + "\n"


def _line(row: Row) -> str:
    return "\t".join(_field(getattr(row, name)) for name in COLUMNS) + "\n"


def _field(value: str | int) -> str:
    return " ".join(str(value).encode("utf-8", "replace").decode("utf-8").split())


def digest(row: Row) -> str:
    """What the row after this one carries as `previous`."""
    return hashlib.sha256(_line(row).encode("utf-8")).hexdigest()[:16]


def _parse(path: Path, data: bytes) -> tuple[Row, ...]:
    """The whole lines' rows; what follows the last line end is nothing, or was cut off."""
    title = f"{_TITLE}{SCHEMA}"
    if not data.startswith(_TITLE.encode()) and not _TITLE.encode().startswith(data):
        raise LogError(f"{path}: line 1 is not '{title}'; expected a log written by this plugin")
    try:
        lines = data[: data.rfind(b"\n") + 1].decode("utf-8").split("\n")[:-1]
    except UnicodeDecodeError as error:
        raise LogError(f"{path}: cannot be read: {error}") from error
    if lines and lines[0] != title:
        raise LogError(
            f"{path}: schema {lines[0].removeprefix(_TITLE)}, this version reads schema {SCHEMA}; "
            f"install the version that wrote it, or name another file with --baseline"
        )
    if len(lines) >= HEADER_LINES and lines[1].split("\t") != list(COLUMNS):
        raise LogError(f"{path}: line 2 does not name the columns of schema {SCHEMA}")
    return tuple(_row(path, number, line) for number, line in enumerate(lines[HEADER_LINES:], HEADER_LINES + 1))


def _row(path: Path, number: int, line: str) -> Row:
    values = line.split("\t")
    if len(values) != len(COLUMNS):
        raise LogError(f"{path}: line {number} has {len(values)} fields; expected {len(COLUMNS)}, as line 2 names")
    if not (values[0].isascii() and values[0].isdigit()):
        raise LogError(f"{path}: line {number} begins with '{values[0]}'; expected the trial's number")
    named = dict(zip(COLUMNS[1:], values[1:], strict=True))
    return Row(int(values[0]), **named)
