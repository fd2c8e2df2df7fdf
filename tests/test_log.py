"""The log is whole at every moment: numbered, chained, append-only, and as it was when a row cannot be written."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from builders import quick
from hypothesis import given
from hypothesis import strategies as st

from pytest_lance_autoresearch import log
from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.log import Row

TITLE = "# pytest-lance-autoresearch results, schema 1"
COLUMNS = [
    *("trial", "time", "target", "status", "speedup", "ci_low", "ci_high", "worst_case", "worst_speedup"),
    *("geomean_ns", "unit", "peak_rss_mb", "windows", "seconds", "kernel", "commit", "harness", "host"),
    *("description", "record", "previous"),
]
KEEP = Row(target="demo", status="keep", speedup="1.04000", description="unroll by four")
CRASH = Row(target="demo", status="crash", description="µ-kernel")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.tsv"


def failing_write(written: int) -> Callable[[int, bytes], int]:
    """os.write on a disk with room for `written` more bytes."""
    room, write = written, os.write

    def limited(fd: int, data: bytes) -> int:
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = write(fd, data[:room])
        room -= done
        return done

    return limited


# Writing and reading back


def test_a_log_that_is_not_there_has_no_rows(path: Path) -> None:
    assert log.read(path) == ()
    assert not path.exists()


def test_the_header_carries_the_schema_and_the_columns(path: Path) -> None:
    log.append(path, KEEP)
    title, columns, row = path.read_text(encoding="utf-8").splitlines()
    assert title == TITLE
    assert columns.split("\t") == COLUMNS
    assert row.split("\t") == ["1", "", "demo", "keep", "1.04000", *[""] * 13, "unroll by four", "", ""]


def test_rows_are_numbered_and_read_back_as_they_were_returned(path: Path) -> None:
    returned = [log.append(path, row) for row in (KEEP, CRASH, KEEP)]
    assert [row.trial for row in returned] == [1, 2, 3]
    assert log.read(path) == tuple(returned)
    assert replace(returned[1], trial=0, previous="") == CRASH


def test_each_row_carries_the_hash_of_the_row_before(path: Path) -> None:
    rows = [log.append(path, row) for row in (KEEP, CRASH, KEEP)]
    lines = path.read_bytes().splitlines(keepends=True)[2:]
    assert rows[0].previous == ""
    assert [row.previous for row in rows[1:]] == [hashlib.sha256(line).hexdigest()[:16] for line in lines[:-1]]


def test_an_existing_row_is_never_touched(path: Path) -> None:
    log.append(path, KEEP)
    before = path.read_bytes()
    log.append(path, CRASH)
    assert path.read_bytes().startswith(before)


def test_tabs_and_line_ends_in_a_description_are_flattened(path: Path) -> None:
    log.append(path, replace(KEEP, description="  one\ttwo\r\nthree\u2028four \v five\n"))
    log.append(path, KEEP)
    assert [row.description for row in log.read(path)] == ["one two three four five", "unroll by four"]


@quick
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3))
def test_any_text_is_one_field_of_one_row(texts: list[str]) -> None:
    text = log._header() + "".join(log._line(replace(KEEP, trial=7, description=text)) for text in texts)
    rows = log._parse(Path("results.tsv"), text.encode())
    assert [row.description for row in rows] == [" ".join(text.split()) for text in texts]


def test_a_description_with_undecodable_bytes_is_logged(path: Path) -> None:
    log.append(path, replace(KEEP, description=os.fsdecode(b"\xff faster")))
    assert log.read(path)[0].description.endswith(" faster")


def test_four_processes_write_forty_whole_rows_with_numbers_of_their_own(path: Path) -> None:
    writer = (
        "import sys; from pathlib import Path; from pytest_lance_autoresearch import log\n"
        "for i in range(10): log.append(Path(sys.argv[1]), log.Row(target=sys.argv[2], description='x' * 200))\n"
    )
    command = [sys.executable, "-c", writer, str(path)]
    processes = [subprocess.Popen([*command, f"target-{i}"]) for i in range(4)]
    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    rows = log.read(path)
    assert [row.trial for row in rows] == list(range(1, 41))
    assert {row.target for row in rows} == {f"target-{i}" for i in range(4)}
    assert all(row.description == "x" * 200 for row in rows)
    assert all(row.previous == log.digest(before) for before, row in pairwise(rows))
    assert path.read_text().count(TITLE) == 1


# What a crash left


def test_a_row_cut_off_by_a_crash_is_left_out(path: Path) -> None:
    first = log.append(path, KEEP)
    with path.open("a") as file:
        file.write("2\t2025-11-15")
    assert log.read(path) == (first,)


def test_the_next_row_moves_what_was_cut_off_beside_the_log(path: Path) -> None:
    first = log.append(path, KEEP)
    whole = path.read_bytes()
    path.write_bytes(whole + b"2\t2025-11-15")
    second = log.append(path, CRASH)
    assert log.read(path) == (first, second)
    assert path.read_bytes().startswith(whole)
    assert path.with_name("results.tsv.torn").read_bytes() == b"2\t2025-11-15\n"


def test_a_log_torn_twice_keeps_both_pieces(path: Path) -> None:
    for piece in (b"one", b"two"):
        log.append(path, KEEP)
        path.write_bytes(path.read_bytes() + piece)
    log.append(path, KEEP)
    assert path.with_name("results.tsv.torn").read_bytes() == b"one\ntwo\n"


def test_a_row_cut_off_within_a_letter_is_left_out(path: Path) -> None:
    first = log.append(path, KEEP)
    path.write_bytes(path.read_bytes() + "2\tµ".encode()[:-1])
    assert log.read(path) == (first,)


def test_a_header_cut_off_after_its_first_line_is_written_again(path: Path) -> None:
    path.write_text(TITLE + "\ntrial\ttime\ttar")
    row = log.append(path, KEEP)
    assert log.read(path) == (row,)


# What cannot be written


@pytest.mark.parametrize("room", [0, 10, 300])
def test_a_full_disk_leaves_the_log_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    log.append(path, KEEP)
    before = path.read_bytes()
    monkeypatch.setattr(os, "write", failing_write(room))
    with pytest.raises(LogError) as raised:
        log.append(path, replace(CRASH, description="x" * 1000))
    monkeypatch.undo()
    assert str(raised.value) == (
        f"{path}: the row 'crash' of target 'demo' could not be written: No space left on device; "
        f"the log is as it was"
    )
    assert path.read_bytes() == before
    assert log.append(path, KEEP).trial == 2


def test_a_row_that_cannot_reach_the_disk_is_taken_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(LogError, match=r"Input/output error; the log is as it was$"):
        log.append(path, KEEP)
    assert log.read(path) == ()


def test_a_row_written_in_two_pieces_is_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, pieces = os.write, [50]
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: pieces.pop()] if pieces else data))
    row = log.append(path, KEEP)
    assert log.read(path) == (row,)


def test_a_row_written_in_many_pieces_is_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:50]))
    row = log.append(path, KEEP)
    assert log.read(path) == (row,)


def test_a_missing_directory_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "away" / "results.tsv"
    with pytest.raises(LogError) as raised:
        log.append(path, KEEP)
    assert str(raised.value) == (
        f"{path}: the row 'keep' of target 'demo' could not be written: No such file or directory; "
        f"the log is as it was"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_write_permission_is_said_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(LogError, match=r"could not be written: Permission denied; the log is as it was$"):
        log.append(tmp_path / "results.tsv", KEEP)


# What is no log of this version


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("trial\ttime\n1\tnow\n", f"line 1 is not '{TITLE}'; expected a log written by this plugin"),
        (
            TITLE.replace("schema 1", "schema 2") + "\n",
            "schema 2, this version reads schema 1; install the version that wrote it, "
            "or name another file with --baseline",
        ),
        (f"{TITLE}\ntrial\ttime\n", "line 2 does not name the columns of schema 1"),
        (
            f"{TITLE}\n" + "\t".join(COLUMNS) + "\n1\tnow\n",
            "line 3 has 2 fields; expected 21, as line 2 names",
        ),
    ],
)
def test_another_file_is_refused_and_left_alone(path: Path, text: str, sentence: str) -> None:
    path.write_text(text)
    for use in (lambda: log.read(path), lambda: log.append(path, KEEP)):
        with pytest.raises(LogError) as raised:
            use()
        assert str(raised.value) == f"{path}: {sentence}"
    assert path.read_text() == text


def test_a_file_that_is_no_text_is_refused(path: Path) -> None:
    path.write_bytes(b"\x93NUMPY\x01\x00\n")
    with pytest.raises(LogError, match=r": line 1 is not '# pytest-lance-autoresearch results, schema 1'"):
        log.read(path)


def test_a_directory_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(LogError) as raised:
        log.read(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path}: cannot be read: ")


def test_a_row_is_not_appended_to_what_is_no_text(path: Path) -> None:
    path.write_bytes(b"\x93NUMPY\x01\x00\n")
    with pytest.raises(LogError):
        log.append(path, KEEP)


@pytest.mark.parametrize("text", ["all of my notes", "notes\nmore notes"])
def test_a_foreign_file_without_a_last_line_end_is_left_alone(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(LogError, match="expected a log written by this plugin"):
        log.append(path, KEEP)
    assert path.read_text() == text


@pytest.mark.parametrize("trial", ["x", ""])
def test_a_row_without_a_number_is_refused(path: Path, trial: str) -> None:
    log.append(path, KEEP)
    path.write_text(path.read_text().replace("\n1\t", f"\n{trial}\t"))
    with pytest.raises(LogError, match=rf"^{path}: line 3 "):
        log.read(path)


@pytest.mark.parametrize("trial", ["x", "²"])
def test_the_sentence_about_a_row_without_a_number_names_the_number(path: Path, trial: str) -> None:
    log.append(path, KEEP)
    path.write_text(path.read_text().replace("\n1\t", f"\n{trial}\t"))
    with pytest.raises(LogError) as raised:
        log.read(path)
    assert f"'{trial}'" in str(raised.value)


# The baseline


def test_the_baseline_is_the_newest_kept_row_of_its_target() -> None:
    statuses = ["baseline", "keep", "discard", "crash"]
    rows = [Row(trial=i, target="demo", status=status) for i, status in enumerate(statuses)]
    other = Row(trial=9, target="other", status="keep")
    assert log.baseline([*rows, other], "demo") == rows[1]
    assert log.baseline([rows[0], other], "demo") == rows[0]


@pytest.mark.parametrize("status", ["discard", "inconclusive", "incorrect", "crash", "timeout", "invalid", ""])
def test_no_other_end_makes_a_baseline(status: str) -> None:
    assert log.baseline([Row(target="demo", status=status)], "demo") is None
    assert log.baseline([], "demo") is None
