"""The log of judged trials, `results.tsv`: append-only, one row per trial whatever its end.

Owns the file's format, its lock and its durability. A row is on disk before `append` returns, or the file is
as it was. Each row carries the hash of the row before it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

from pytest_lance_autoresearch import wording
from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.records import Status

SCHEMA = 1
HEADER_LINES = 2
KEPT = (Status.KEEP, Status.BASELINE)
"""The ends that make a kernel the baseline of the next ones."""
_TITLE = "# pytest-lance-autoresearch results, schema "
_INTERVAL = ("speedup", "ci_low", "ci_high")
_NUMBERS = (*_INTERVAL, "worst_speedup", "geomean_ns", "peak_rss_mb", "windows", "seconds")
_SHOWN_WIDTH = 80
_TAKE_BACK = "another program changed the file, take it back from git or from a copy"
_MERGE_MARKERS = (b"<<<<<<< ", b"||||||| ", b">>>>>>> ")


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
    """As `git.commit` gives it."""
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
    return _parse(path, _data(path))


def cut_off(path: Path) -> str:
    """What a crash left of a line at the log's end, as one sentence; '' where every line is whole."""
    data = _data(path)
    whole, left = data.count(b"\n"), len(data) - data.rfind(b"\n") - 1
    if left == 0 and (whole >= HEADER_LINES or not data):
        return ""
    return (
        f"{path}: line {whole + 1} was cut off after {wording.many(left, 'byte')}, as by a crash; the trial that "
        f"wrote it has no row, and the next one moves what is left to '{path.name}.torn'"
    )


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
    return "" if is_file else f"{path}: is no file; a judged trial appends its row there"


def _data(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror or error}") from error


def baseline(rows: Sequence[Row], target: str) -> Row | None:
    """The row whose kernel the next one is judged against: the target's newest keep or baseline."""
    return next((row for row in reversed(rows) if row.target == target and row.status in KEPT), None)


def append(path: Path, row: Row, refuse: Callable[[Sequence[Row]], None] = lambda _: None) -> Row:
    """Write the row as the log's next trial; returns it with its number. LogError when it is not on disk.

    `refuse` sees the rows that are there, while nobody else can write, and may raise. The row ends as the lines
    before it do, and nothing is written that could not be read back.
    """
    try:
        with _locked(path) as fd:
            data = path.read_bytes()
            rows = _parse(path, data)
            _set_aside_what_was_cut_off(path, fd, data)
            refuse(rows)
            last = rows[-1] if rows else None
            number = last.trial + 1 if last else 1
            numbered = _clean(replace(row, trial=number, previous=digest(last) if last else ""))
            _row(path, HEADER_LINES + len(rows) + 1, _line(numbered).encode().removesuffix(b"\n"))
            text = ("" if os.fstat(fd).st_size else _header()) + _line(numbered)
            _write(fd, text.replace("\n", "\r\n") if data.partition(b"\n")[0].endswith(b"\r") else text)
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


def _set_aside_what_was_cut_off(path: Path, fd: int, data: bytes) -> None:
    """What a crash cut off is moved to a file beside the log."""
    whole = data.rfind(b"\n") + 1
    if data.count(b"\n") < HEADER_LINES:
        whole = 0  # a header that was cut off holds nothing; it is written anew
    if whole < len(data):
        with path.with_name(path.name + ".torn").open("ab") as torn:
            torn.write(data[whole:] + b"\n")
        os.ftruncate(fd, whole)


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
    return "\t".join(str(getattr(row, name)) for name in COLUMNS) + "\n"


def _clean(row: Row) -> Row:
    """The row as it is written: each field on one line, of characters that can be shown."""
    texts = {name: wording.printable(" ".join(getattr(row, name).split())) for name in COLUMNS[1:]}
    return Row(row.trial, **texts)


def digest(row: Row) -> str:
    """What the row after this one carries as `previous`."""
    return hashlib.sha256(_line(row).encode("utf-8")).hexdigest()[:16]


def _parse(path: Path, data: bytes) -> tuple[Row, ...]:
    """The whole lines' rows; what follows the last line end is nothing, or was cut off."""
    *lines, left = (line.removesuffix(b"\r") for line in data.split(b"\n"))  # git or an editor may write CRLF
    _refuse_merge_markers(path, lines)
    _refuse_another_header(path, lines, left)
    return tuple(_row(path, n, line) for n, line in enumerate(lines, 1) if n > HEADER_LINES)


def _refuse_merge_markers(path: Path, lines: Sequence[bytes]) -> None:
    marked = next((n for n, line in enumerate(lines, 1) if line.startswith(_MERGE_MARKERS)), None)
    if marked is not None and any(line.startswith(_TITLE.encode()) for line in lines):
        raise LogError(
            f"{path}: line {marked} is a merge marker, '{_shown(lines[marked - 1])}'; keep the rows of one side "
            f"whole, each follows from the one before it (git checkout --ours or --theirs)"
        )


def _refuse_another_header(path: Path, lines: Sequence[bytes], left: bytes) -> None:
    """A header that was cut off is none; anything else in its place is another file, or was changed."""
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


def _row(path: Path, number: int, line: bytes) -> Row:
    try:
        values = line.decode("utf-8").split("\t")
    except UnicodeDecodeError:
        raise LogError(f"{path}: line {number} is no UTF-8 text; expected a row of this log") from None
    if values == [""]:
        raise LogError(f"{path}: line {number} is empty; expected a row; take the line out")
    if len(values) != len(COLUMNS):
        fields = wording.many(len(values), "field")
        raise LogError(f"{path}: line {number} has {fields}; expected {len(COLUMNS)}, as line 2 names")
    if not re.fullmatch("[0-9]{1,15}", values[0]):
        raise LogError(f"{path}: line {number} begins with '{_shown(values[0])}'; expected the trial's number")
    named = dict(zip(COLUMNS[1:], values[1:], strict=True))
    _refuse_other_numbers(f"{path}: line {number}", named)
    return Row(int(values[0]), **named)


def _refuse_other_numbers(where: str, named: Mapping[str, str]) -> None:
    for name in _NUMBERS:
        if named[name] and not re.fullmatch(r"[0-9]{1,15}(\.[0-9]+)?", named[name]):
            raise LogError(
                f"{where}, column '{name}': '{_shown(named[name])}' is no number; expected one such as 1.105, "
                f"or nothing; {_TAKE_BACK}"
            )
    if len({named[name] == "" for name in _INTERVAL}) > 1:
        raise LogError(f"{where} has a part of 'speedup', 'ci_low' and 'ci_high' only; {_TAKE_BACK}")


def _shown(text: str | bytes) -> str:
    """As much of a foreign text as a sentence can hold."""
    known = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return wording.printable(known if len(known) <= _SHOWN_WIDTH else f"{known[:_SHOWN_WIDTH]}...")
