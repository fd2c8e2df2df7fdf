"""The log of judged trials, `results.tsv`: append-only, one row per trial whatever its end.

Owns the file's format, its lock and its durability. A row is on disk before `append` returns, or the file is
as it was. Each row carries the hash of the row before it.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.records import Interval, Status
from pytest_lance_autoresearch.words import wording

SCHEMA = 1
HEADER_LINES = 2
DIGEST_DIGITS = 16
"""Of a row, in hexadecimal."""
KEPT = (Status.KEEP, Status.BASELINE)
"""The ends that make a kernel the baseline of the next ones."""
_TITLE = "# pytest-lance-autoresearch results, schema "
SPEEDUP_DECIMALS = 5
_LARGEST_RATIO = 1e9
_INTERVAL = ("speedup", "ci_low", "ci_high")
_SHOWN_WIDTH = 80
_REMEMBERED = 10_000
"""Lines that were read."""
_TAKE_BACK = "another program changed the file, take it back from git or from a copy"
_MERGE_MARKERS = (b"<<<<<<< ", b"||||||| ", b">>>>>>> ")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One judged trial. None means that there is no such number; a failed trial has no time."""

    trial: int = 0
    time: str = ""
    """UTC, as ISO 8601 writes it."""
    target: str
    status: Status
    speedup: float | None = None
    """Baseline time / candidate time; above 1 is faster."""
    ci_low: float | None = None
    ci_high: float | None = None
    worst_case: str = ""
    """The case with the least speed-up, ..."""
    worst_speedup: float | None = None
    """... and how much that is."""
    geomean_ns: float | None = None
    """Nanoseconds per operation."""
    unit: str = ""
    peak_rss_mb: float | None = None
    windows: int | None = None
    seconds: float | None = None
    kernel: str = ""
    """sha256 of the kernel."""
    commit: str = ""
    """As `git.commit` gives it."""
    harness: str = ""
    """Fingerprint of the target's other files."""
    host: str = ""
    description: str = ""
    record: str = ""
    """sha256 of the trial's record in the archive."""
    previous: str = ""
    """The digest of the row before; '' for the first."""
    digest: str = field(default="", compare=False)
    """First 16 hex digits of the sha256 of the row's line, as it stands in the log; not a column of its own."""

    @property
    def interval(self) -> Interval | None:
        """The speed-up with its interval; None for a row that measured nothing beside a baseline."""
        if self.speedup is None or self.ci_low is None or self.ci_high is None:
            return None
        return Interval(self.ci_low, self.speedup, self.ci_high)


COLUMNS = tuple(field.name for field in fields(Row) if field.name != "digest")


def _ratio(value: float) -> str:
    """A bound that few pairs of processes give may be larger than any ratio that is measured, or infinite."""
    return f"{min(value, _LARGEST_RATIO):.{SPEEDUP_DECIMALS}f}"


_FORMATS: Mapping[str, Callable[[float], str]] = {
    **dict.fromkeys((*_INTERVAL, "worst_speedup"), _ratio),
    "geomean_ns": wording.ns,
    **dict.fromkeys(("peak_rss_mb", "seconds"), "{:.1f}".format),
    "windows": str,
}
"""How the numbers are written; the trial's own is always there, and whole."""


def read(path: Path) -> tuple[Row, ...]:
    """All rows; none when the file is not there yet. A row that was cut off by a crash is left out."""
    return _parse(path, _data(path))


def cut_off(path: Path) -> str:
    """What a crash left of a line at the log's end, as one sentence; '' where every line is whole."""
    lines, left = _lines(_data(path))
    if not left:
        return ""
    number, size = len(lines) + 1, wording.many(len(left), "byte")
    return (
        f"{path}: line {number} was cut off after {size}, as by a crash; the trial that "
        f"wrote it has no row, and the next one moves what is left to '{path.name}.torn'"
    )


def no_trial(path: Path) -> str:
    """Of a log without a row."""
    return f"{wording.shown(path)}: no trial was logged yet"


def unwritable(path: Path) -> str:
    """Why no row can be appended to the log that is there; '' where one can, and where there is no log yet."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NONBLOCK)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{path}: cannot be written: {error.strerror or error}; a judged trial appends its row there"
    is_file = stat.S_ISREG(os.fstat(fd).st_mode)
    os.close(fd)
    return "" if is_file else f"{path}: is not a file; a judged trial appends its row there"


def _data(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror or error}") from error


def _lines(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole lines without their ends, which the last may lack, and what a crash left of one more."""
    *lines, left = data.split(b"\n")
    if _is_whole(len(lines), left.removesuffix(b"\r")):
        lines, left = [*lines, left], b""
    return [line.removesuffix(b"\r") for line in lines], left  # git or an editor may write CRLF


def _is_whole(before: int, line: bytes) -> bool:
    """Whether nothing but its end is lacking in a line behind so many: its last field has the length that it must.

    A title alone is no whole header, and is written again with it.
    """
    if before < HEADER_LINES:
        return before == HEADER_LINES - 1 and line == "\t".join(COLUMNS).encode()
    fields = line.split(b"\t")
    is_first = before == HEADER_LINES
    return len(fields) == len(COLUMNS) and len(fields[-1]) in ({0, DIGEST_DIGITS} if is_first else {DIGEST_DIGITS})


def baseline(rows: Sequence[Row], target: str) -> Row | None:
    """The row whose kernel the next one is judged against: the target's newest keep or baseline."""
    return next((row for row in reversed(rows) if row.target == target and row.status in KEPT), None)


def append(path: Path, row: Row, refuse: Callable[[Sequence[Row]], None] = lambda _: None) -> Row:
    """Write the row as the log's next trial; returns it as it will be read. LogError when it is not on disk.

    `refuse` sees the rows that are there, while nobody else can write, and may raise. The row ends as the lines
    before it do, and nothing is written that could not be read back.
    """
    try:
        with _locked(path) as fd:
            data = path.read_bytes()
            rows = _parse(path, data)
            _set_aside_what_was_cut_off(path, fd, data)
            end = "\r\n" if data.partition(b"\n")[0].endswith(b"\r") else "\n"
            lacking = _lacking_end(data, end) if os.fstat(fd).st_size == len(data) else ""
            refuse(rows)
            last = rows[-1] if rows else None
            number = last.trial + 1 if last else 1
            line = _line(replace(row, trial=number, previous=last.digest if last else ""))
            written = _row(path, HEADER_LINES + len(rows) + 1, line.encode().removesuffix(b"\n"))
            text = ("" if os.fstat(fd).st_size else _header()) + line
            _write(fd, lacking + text.replace("\n", end))
            return written
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


def _set_aside_what_was_cut_off(path: Path, fd: int, data: bytes) -> None:
    """What a crash cut off is moved to a file beside the log; a header that is not whole is written again."""
    lines, left = _lines(data)
    whole = len(data) - len(left) if len(lines) >= HEADER_LINES else 0
    if left:
        with path.with_name(path.name + ".torn").open("ab") as torn:
            torn.write(data[whole:] + b"\n")
    if whole < len(data):
        os.ftruncate(fd, whole)


def _lacking_end(data: bytes, end: str) -> str:
    """What the last line lacks of its end."""
    if not data or data.endswith(b"\n"):
        return ""
    return "\n" if data.endswith(b"\r") else end


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
    """The row as it is written: each field on one line, of characters that can be shown."""
    return "\t".join(_cell(name, getattr(row, name)) for name in COLUMNS) + "\n"


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    return _FORMATS[name](value) if name in _FORMATS else wording.printable(" ".join(str(value).split()))


def _parse(path: Path, data: bytes) -> tuple[Row, ...]:
    """The rows of the whole lines; what was cut off is left out."""
    lines, left = _lines(data)
    _refuse_merge_markers(path, lines)
    _refuse_another_header(path, lines, left.removesuffix(b"\r"))
    return tuple(_row(path, n, line) for n, line in enumerate(lines, 1) if n > HEADER_LINES)


def _refuse_merge_markers(path: Path, lines: Sequence[bytes]) -> None:
    marked = next((n for n, line in enumerate(lines, 1) if line.startswith(_MERGE_MARKERS)), None)
    if marked is not None and any(line.startswith(_TITLE.encode()) for line in lines):
        raise LogError(
            f"{path}: line {marked} is a merge marker, '{_shown(lines[marked - 1])}'; keep the rows of one side "
            f"whole, each follows from the one before it (git checkout --ours or --theirs)"
        )


def _refuse_another_header(path: Path, lines: Sequence[bytes], left: bytes) -> None:
    """A header may be cut off; anything else in its place belongs to another file, or was changed."""
    title, columns = f"{_TITLE}{SCHEMA}", "\t".join(COLUMNS)
    for n, (line, wanted) in enumerate(zip((*lines, left), (title.encode(), columns.encode()), strict=False)):
        is_cut_off = n == len(lines) and wanted.startswith(line)
        if line != wanted and not is_cut_off:
            raise LogError(f"{path}: {_header_fault(line, n + 1)}")


def _header_fault(line: bytes, number: int) -> str:
    """What is wrong with a line of the header."""
    title = f"{_TITLE}{SCHEMA}"
    if number > 1:
        return f"line {number} does not name the columns of schema {SCHEMA}"
    if _TITLE.encode() not in line:
        return f"line 1 is not '{title}'; expected a log written by this plugin"
    if other := re.fullmatch(re.escape(_TITLE) + "([0-9]+)", line.decode("utf-8", "replace")):
        return (
            f"schema {other[1]}, this version reads schema {SCHEMA}; "
            f"install the version that wrote it, or name another file with --baseline"
        )
    return f"line 1 is '{_shown(line)}'; expected '{title}' and nothing else; {_TAKE_BACK}"


@functools.lru_cache(_REMEMBERED)
def _row(path: Path, number: int, line: bytes) -> Row:
    """What the line holds; remembered, since every row that is appended asks for all before it."""
    try:
        values = line.decode("utf-8").split("\t")
    except UnicodeDecodeError:
        raise LogError(f"{path}: line {number} is not UTF-8 text; expected a row of this log") from None
    if values == [""]:
        raise LogError(f"{path}: line {number} is empty; expected a row; take the line out")
    if len(values) != len(COLUMNS):
        fields = wording.many(len(values), "field")
        raise LogError(f"{path}: line {number} has {fields}; expected {len(COLUMNS)}, as line 2 names")
    if not re.fullmatch("[0-9]{1,15}", values[0]):
        raise LogError(f"{path}: line {number} begins with '{_shown(values[0])}'; expected the trial's number")
    named = dict(zip(COLUMNS[1:], values[1:], strict=True))
    where = f"{path}: line {number}"
    if len({named[name] == "" for name in _INTERVAL}) > 1:
        raise LogError(f"{where} has a part of 'speedup', 'ci_low' and 'ci_high' only; {_TAKE_BACK}")
    numbers = {name: _number(where, name, named.pop(name)) for name in _FORMATS}
    status = _status(where, named.pop("status"))
    digest = hashlib.sha256(line + b"\n").hexdigest()[:DIGEST_DIGITS]
    return Row(trial=int(values[0]), status=status, digest=digest, **named, **numbers)  # type: ignore[arg-type]


def _number(where: str, column: str, text: str) -> float | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]+)?", text):
        raise LogError(
            f"{where}, column '{column}': '{_shown(text)}' is not a number; expected one such as 1.105, "
            f"or nothing; {_TAKE_BACK}"
        )
    return float(text) if "." in text else int(text)


def _status(where: str, text: str) -> Status:
    if text not in set(Status):
        raise LogError(
            f"{where}, column 'status': '{_shown(text)}'; expected one of {', '.join(Status)}; {_TAKE_BACK}, "
            f"or install the version that wrote it"
        )
    return Status(text)


def _shown(text: str | bytes) -> str:
    """As much of a foreign text as a sentence can hold."""
    known = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return wording.printable(known if len(known) <= _SHOWN_WIDTH else f"{known[:_SHOWN_WIDTH]}...")
