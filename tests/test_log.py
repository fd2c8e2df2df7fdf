"""The log is whole at every moment: numbered, chained, append-only, and as it was when a row cannot be written."""

from __future__ import annotations

import errno
import hashlib
import math
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

from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.log import results
from pytest_lance_autoresearch.log.results import Row
from pytest_lance_autoresearch.records import Status

TITLE = "# pytest-lance-autoresearch results, schema 1"
COLUMNS = [
    *("trial", "time", "target", "status", "speedup", "ci_low", "ci_high", "worst_case", "worst_speedup"),
    *("geomean_ns", "unit", "peak_rss_mb", "windows", "seconds", "kernel", "commit", "harness", "host"),
    *("description", "record", "previous"),
]
HEADER = f"{TITLE}\n" + "\t".join(COLUMNS) + "\n"
CR_ONLY = r"\rtrial\ttime\ttarget\tstatus\tspeedup\tc"
"""What is shown of the columns where carriage returns are the only line ends."""
TAKE_BACK = "another program changed the file, take it back from git or from a copy"
KEEP_ONE_SIDE = (
    "keep the rows of one side whole, each follows from the one before it (git checkout --ours or --theirs)"
)
KEEP = Row(
    target="demo",
    status=Status.KEEP,
    speedup=1.04,
    ci_low=1.03,
    ci_high=1.05,
    description="unroll by four",
)
CRASH = Row(target="demo", status=Status.CRASH, description="µ-kernel")


def line_with(row: Row, column: str, value: str) -> bytes:
    """The row's line, with a text in one column that something else wrote there."""
    cells = results._line(row).removesuffix("\n").split("\t")
    cells[COLUMNS.index(column)] = value
    return ("\t".join(cells) + "\n").encode()


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
    assert results.read(path) == ()
    assert not path.exists()


def test_the_header_carries_the_schema_and_the_columns(path: Path) -> None:
    results.append(path, KEEP)
    title, columns, row = path.read_text(encoding="utf-8").splitlines()
    assert title == TITLE
    assert columns.split("\t") == COLUMNS
    assert row.split("\t") == [
        *("1", "", "demo", "keep", "1.04000", "1.03000", "1.05000"),
        *[""] * 11,
        *("unroll by four", "", ""),
    ]


def test_rows_are_numbered_and_read_back_as_they_were_returned(path: Path) -> None:
    returned = [results.append(path, row) for row in (KEEP, CRASH, KEEP)]
    assert [row.trial for row in returned] == [1, 2, 3]
    assert results.read(path) == tuple(returned)
    assert replace(returned[1], trial=0, previous="") == CRASH


@pytest.mark.parametrize("high", [471892243173837760.0, math.inf])
def test_a_bound_beyond_all_that_is_measured_is_the_largest_there_is(path: Path, high: float) -> None:
    """As two pairs of processes on a busy machine may give it."""
    written = results.append(path, replace(KEEP, ci_low=1e-18, ci_high=high))
    assert results.read(path) == (written,)
    assert (written.ci_low, written.ci_high) == (0.0, 1e9)


def test_each_row_carries_the_hash_of_the_row_before(path: Path) -> None:
    rows = [results.append(path, row) for row in (KEEP, CRASH, KEEP)]
    lines = path.read_bytes().splitlines(keepends=True)[2:]
    assert rows[0].previous == ""
    assert [row.previous for row in rows[1:]] == [hashlib.sha256(line).hexdigest()[:16] for line in lines[:-1]]


def test_an_existing_row_is_never_touched(path: Path) -> None:
    results.append(path, KEEP)
    before = path.read_bytes()
    results.append(path, CRASH)
    assert path.read_bytes().startswith(before)


def test_tabs_and_line_ends_in_a_description_are_flattened(path: Path) -> None:
    results.append(path, replace(KEEP, description="  one\ttwo\r\nthree\u2028four \v five\n"))
    results.append(path, KEEP)
    assert [row.description for row in results.read(path)] == ["one two three four five", "unroll by four"]


@quick
@given(st.lists(st.text(), min_size=1, max_size=3))
def test_any_text_is_one_field_of_one_row_that_can_be_shown(texts: list[str]) -> None:
    lines = [results._line(replace(KEEP, trial=7, description=text)) for text in texts]
    rows = results._parse(Path("results.tsv"), (results._header() + "".join(lines)).encode())
    assert [replace(row, description="") for row in rows] == [replace(KEEP, trial=7, description="")] * len(texts)
    assert all(row.description.isprintable() for row in rows)
    for row, text in zip(rows, texts, strict=True):
        if " ".join(text.split()).isprintable():
            assert row.description == " ".join(text.split())


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (os.fsdecode(b"\xff faster"), "\\udcff faster"),  # from a terminal in another encoding
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;a title\x07", "\\x1b]0;a title\\x07"),
        ("\x9b2J\x00\x7f", "\\x9b2J\\x00\\x7f"),
        ("right\u202etfel", "right\\u202etfel"),
        ("a tail of \\x1b", "a tail of \\x1b"),
        ("µ, 8 % schneller 🚀", "µ, 8 % schneller 🚀"),
    ],
)
def test_what_a_terminal_would_obey_or_cannot_show_is_spelt_out(path: Path, given: str, written: str) -> None:
    row = results.append(path, replace(KEEP, description=given, host=given))
    assert (row.description, row.host) == (written, written)
    assert results.read(path) == (row,)


def test_a_row_of_before_that_still_follows_from_the_one_before_it(path: Path) -> None:
    """Earlier versions wrote control characters; the chain is over what is in the file."""
    first = results.append(path, KEEP)
    path.write_bytes(path.read_bytes().replace(b"by four", b"by \x1b[31mfour"))
    (changed,) = results.read(path)
    line = path.read_bytes().splitlines(keepends=True)[2]
    second = results.append(path, KEEP)
    assert second.previous == hashlib.sha256(line).hexdigest()[:16] == changed.digest != first.digest
    assert results.read(path) == (changed, second)


def test_four_processes_write_forty_whole_rows_with_numbers_of_their_own(path: Path) -> None:
    writer = (
        "import sys; from pathlib import Path; from pytest_lance_autoresearch.log.results import Row, append\n"
        "from pytest_lance_autoresearch.records import Status\n"
        "row = Row(target=sys.argv[2], status=Status.KEEP, description='x' * 200)\n"
        "for i in range(10): append(Path(sys.argv[1]), row)\n"
    )
    command = [sys.executable, "-c", writer, str(path)]
    processes = [subprocess.Popen([*command, f"target-{i}"]) for i in range(4)]
    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    rows = results.read(path)
    assert [row.trial for row in rows] == list(range(1, 41))
    assert {row.target for row in rows} == {f"target-{i}" for i in range(4)}
    assert all(row.description == "x" * 200 for row in rows)
    assert all(row.previous == before.digest for before, row in pairwise(rows))
    assert path.read_text().count(TITLE) == 1


# What a crash left


def test_a_row_cut_off_by_a_crash_is_left_out(path: Path) -> None:
    first = results.append(path, KEEP)
    with path.open("a") as file:
        file.write("2\t2025-11-15")
    assert results.read(path) == (first,)


def test_the_next_row_moves_what_was_cut_off_beside_the_log(path: Path) -> None:
    first = results.append(path, KEEP)
    whole = path.read_bytes()
    path.write_bytes(whole + b"2\t2025-11-15")
    second = results.append(path, CRASH)
    assert results.read(path) == (first, second)
    assert path.read_bytes().startswith(whole)
    assert path.with_name("results.tsv.torn").read_bytes() == b"2\t2025-11-15\n"


def test_a_log_torn_twice_keeps_both_pieces(path: Path) -> None:
    for piece in (b"one", b"two"):
        results.append(path, KEEP)
        path.write_bytes(path.read_bytes() + piece)
    results.append(path, KEEP)
    assert path.with_name("results.tsv.torn").read_bytes() == b"one\ntwo\n"


def test_a_row_cut_off_within_a_letter_is_left_out(path: Path) -> None:
    first = results.append(path, KEEP)
    path.write_bytes(path.read_bytes() + "2\tµ".encode()[:-1])
    assert results.read(path) == (first,)


def test_a_header_cut_off_after_its_first_line_is_written_again(path: Path) -> None:
    path.write_text(TITLE + "\ntrial\ttime\ttar")
    row = results.append(path, KEEP)
    assert results.read(path) == (row,)


@pytest.mark.parametrize(
    ("cut", "number", "left"),
    [("2\t2025-11-15", 4, "12 bytes"), ("2", 4, "1 byte"), ("2\t\r", 4, "3 bytes")],
)
def test_a_row_that_was_cut_off_is_told(path: Path, cut: str, number: int, left: str) -> None:
    results.append(path, KEEP)
    assert results.cut_off(path) == ""
    path.write_bytes(path.read_bytes() + cut.encode())
    assert results.cut_off(path) == (
        f"{path}: line {number} was cut off after {left}, as by a crash; the trial that wrote it has no row, and "
        f"the next one moves what is left to 'results.tsv.torn'"
    )
    results.append(path, KEEP)
    assert results.cut_off(path) == ""


@pytest.mark.parametrize(("text", "number"), [("# pytest", 1), (f"{TITLE}\ntrial\tti", 2)])
def test_a_header_that_was_cut_off_is_told(path: Path, text: str, number: int) -> None:
    path.write_text(text)
    assert results.read(path) == ()
    assert results.cut_off(path).startswith(f"{path}: line {number} was cut off after ")


@pytest.mark.parametrize(
    "text", ["", f"{TITLE}\n", HEADER, HEADER.rstrip()], ids=["empty", "title", "header", "header without its end"]
)
def test_a_log_that_is_not_there_or_empty_was_not_cut_off(path: Path, text: str) -> None:
    """However much of its header there is; nothing of that is kept beside the log."""
    assert results.cut_off(path) == ""
    path.write_text(text)
    assert (results.cut_off(path), results.read(path)) == ("", ())
    row = results.append(path, KEEP)
    assert results.read(path) == (row,)
    assert path.read_text().startswith(HEADER)
    assert not path.with_name("results.tsv.torn").exists()


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("lacks", [1, 2])
def test_a_row_that_lacks_its_line_end_alone_is_whole(path: Path, number: int, end: str, lacks: int) -> None:
    """It is read, nothing is told of a crash, and the next row mends its end."""
    rows = [results.append(path, KEEP) for _ in range(number)]
    path.write_bytes(path.read_bytes().replace(b"\n", end.encode()))
    whole = path.read_bytes()
    path.write_bytes(whole.removesuffix(end.encode()[-lacks:]))
    assert (results.read(path), results.cut_off(path)) == (tuple(rows), "")
    rows.append(results.append(path, CRASH))
    assert path.read_bytes().startswith(whole)
    assert path.read_bytes().count(end.encode()) == path.read_bytes().count(b"\n") == 2 + len(rows)
    assert results.read(path) == tuple(rows)
    assert not path.with_name("results.tsv.torn").exists()


def test_a_row_that_lacks_a_digit_of_its_last_field_was_cut_off(path: Path) -> None:
    first, _ = results.append(path, KEEP), results.append(path, CRASH)
    path.write_bytes(path.read_bytes()[:-2])
    assert results.read(path) == (first,)
    assert results.cut_off(path).startswith(f"{path}: line 4 was cut off after ")


# Line ends that git or an editor converted


def as_crlf(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def test_a_log_with_other_line_ends_is_the_same_log(path: Path) -> None:
    rows = tuple(results.append(path, row) for row in (KEEP, CRASH, KEEP))
    as_crlf(path)
    assert results.read(path) == rows
    assert all(row.previous == before.digest for before, row in pairwise(results.read(path)))


def test_a_row_ends_as_the_lines_before_it_do(path: Path) -> None:
    rows = [results.append(path, KEEP)]
    as_crlf(path)
    before = path.read_bytes()
    rows.append(results.append(path, CRASH))
    assert path.read_bytes().startswith(before)
    assert path.read_bytes().count(b"\n") == path.read_bytes().count(b"\r\n") == 4
    assert results.read(path) == tuple(rows)
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n"))
    assert results.read(path) == tuple(rows)
    assert rows[1].previous == rows[0].digest


@pytest.mark.parametrize("cut", [b"2\tke", b"2\tke\r"])
def test_a_row_cut_off_in_a_log_with_other_line_ends_is_set_aside(path: Path, cut: bytes) -> None:
    first = results.append(path, KEEP)
    as_crlf(path)
    path.write_bytes(path.read_bytes() + cut)
    second = results.append(path, CRASH)
    assert results.read(path) == (first, second)
    assert path.with_name("results.tsv.torn").read_bytes() == cut + b"\n"


def test_a_header_cut_off_before_its_other_line_end_is_written_again(path: Path) -> None:
    path.write_bytes(f"{TITLE}\r\ntrial\ttime\r".encode())
    row = results.append(path, KEEP)
    assert results.read(path) == (row,)


# What cannot be written


def test_a_row_that_could_not_be_read_back_is_not_written(path: Path) -> None:
    first = results.append(path, KEEP)
    with pytest.raises(LogError) as raised:
        results.append(path, replace(KEEP, geomean_ns=math.inf))
    assert str(raised.value).startswith(f"{path}: line 4, column 'geomean_ns': 'inf' is not a number; ")
    assert results.read(path) == (first,)


def test_a_log_that_can_be_appended_to_is_found_so_and_not_touched(path: Path) -> None:
    assert results.unwritable(path) == ""
    assert not path.exists()
    results.append(path, KEEP)
    before = path.read_bytes()
    assert results.unwritable(path) == ""
    assert path.read_bytes() == before


def test_a_log_that_cannot_be_appended_to_is_found_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one of another user, in a folder of one's own."""

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    results.append(path, KEEP)
    monkeypatch.setattr(os, "open", refuse)
    sentence = f"{path}: cannot be written: Permission denied; a judged trial appends its row there"
    assert results.unwritable(path) == sentence


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_log_without_write_permission_is_found_so(path: Path) -> None:
    results.append(path, KEEP)
    path.chmod(0o400)
    assert "cannot be written: Permission denied" in results.unwritable(path)


def test_what_is_no_file_cannot_be_appended_to(path: Path, tmp_path: Path) -> None:
    assert results.unwritable(tmp_path) == (
        f"{tmp_path}: cannot be written: Is a directory; a judged trial appends its row there"
    )
    os.mkfifo(path)
    for other in (path, Path(os.devnull)):
        assert results.unwritable(other) == f"{other}: is not a file; a judged trial appends its row there"


@pytest.mark.parametrize("room", [0, 10, 300])
def test_a_full_disk_leaves_the_log_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    results.append(path, KEEP)
    before = path.read_bytes()
    monkeypatch.setattr(os, "write", failing_write(room))
    with pytest.raises(LogError) as raised:
        results.append(path, replace(CRASH, description="x" * 1000))
    monkeypatch.undo()
    assert str(raised.value) == (
        f"{path}: the row 'crash' of target 'demo' could not be written: No space left on device; "
        f"the log is as it was"
    )
    assert path.read_bytes() == before
    assert results.append(path, KEEP).trial == 2


def test_a_row_that_cannot_reach_the_disk_is_taken_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(LogError, match=r"Input/output error; the log is as it was$"):
        results.append(path, KEEP)
    assert results.read(path) == ()


def test_a_row_written_in_two_pieces_is_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, pieces = os.write, [50]
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: pieces.pop()] if pieces else data))
    row = results.append(path, KEEP)
    assert results.read(path) == (row,)


def test_a_row_written_in_many_pieces_is_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:50]))
    row = results.append(path, KEEP)
    assert results.read(path) == (row,)


def test_a_missing_directory_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "away" / "results.tsv"
    with pytest.raises(LogError) as raised:
        results.append(path, KEEP)
    assert str(raised.value) == (
        f"{path}: the row 'keep' of target 'demo' could not be written: No such file or directory; "
        f"the log is as it was"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_write_permission_is_said_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(LogError, match=r"could not be written: Permission denied; the log is as it was$"):
        results.append(tmp_path / "results.tsv", KEEP)


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
        (HEADER + "nothing\n", "line 3 has 1 field; expected 21, as line 2 names"),
        (HEADER + "\x00" * 500 + "\n", "line 3 has 1 field; expected 21, as line 2 names"),
        (HEADER + "\n", "line 3 is empty; expected a row; take the line out"),
        (
            HEADER.replace("1\n", "1" + "\t" * 20 + "\n", 1),
            f"line 1 is '{TITLE}" + r"\t" * 20 + f"'; expected '{TITLE}' and nothing else; {TAKE_BACK}",
        ),
        (
            HEADER.replace("1\n", "1,,,\n", 1),
            f"line 1 is '{TITLE},,,'; expected '{TITLE}' and nothing else; {TAKE_BACK}",
        ),
        (
            "\ufeff" + HEADER,
            rf"line 1 is '\ufeff{TITLE}'; expected '{TITLE}' and nothing else; {TAKE_BACK}",
        ),
        (
            HEADER.replace("\n", "\r"),
            f"line 1 is '{TITLE}{CR_ONLY}...'; expected '{TITLE}' and nothing else; {TAKE_BACK}",
        ),
        (HEADER.replace("\n", " \n"), f"line 1 is '{TITLE} '; expected '{TITLE}' and nothing else; {TAKE_BACK}"),
        (f"{TITLE}\nnotes", "line 2 does not name the columns of schema 1"),
        (f"{TITLE} and notes", f"line 1 is '{TITLE} and notes'; expected '{TITLE}' and nothing else; {TAKE_BACK}"),
        (
            f"{HEADER}<<<<<<< HEAD\n1\tnow\n=======\n1\tthen\n>>>>>>> main\n",
            f"line 3 is a merge marker, '<<<<<<< HEAD'; {KEEP_ONE_SIDE}",
        ),
        (
            f"<<<<<<< HEAD\n{HEADER}=======\n{HEADER}>>>>>>> main\n",
            f"line 1 is a merge marker, '<<<<<<< HEAD'; {KEEP_ONE_SIDE}",
        ),
        (f"{HEADER}>>>>>>> a\x1b[2Jb\n", rf"line 3 is a merge marker, '>>>>>>> a\x1b[2Jb'; {KEEP_ONE_SIDE}"),
        (
            "<<<<<<< HEAD\nof my notes\n",
            f"line 1 is not '{TITLE}'; expected a log written by this plugin",
        ),
    ],
)
def test_another_file_is_refused_and_left_alone(path: Path, text: str, sentence: str) -> None:
    path.write_bytes(text.encode())
    for use in (lambda: results.read(path), lambda: results.append(path, KEEP)):
        with pytest.raises(LogError) as raised:
            use()
        assert str(raised.value) == f"{path}: {sentence}"
    assert path.read_bytes() == text.encode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "1,105") for name in ("speedup", "ci_low", "ci_high", "worst_speedup")),
        *((name, "1.105,5") for name in ("geomean_ns", "peak_rss_mb", "windows", "seconds")),
        *(
            ("speedup", value)
            for value in ("nan", "inf", "-", "-1.0", "1e3", "1_0", ".5", "1.", "\u0661", "9" * 400)
        ),
    ],
)
def test_a_field_that_is_no_number_is_one_sentence_with_its_line_and_column(
    path: Path, name: str, value: str
) -> None:
    results.append(path, CRASH)
    path.write_bytes(path.read_bytes() + line_with(replace(KEEP, trial=2), name, value))
    with pytest.raises(LogError) as raised:
        results.read(path)
    shown = value if len(value) < 80 else "9" * 80 + "..."
    assert str(raised.value) == (
        f"{path}: line 4, column '{name}': '{shown}' is not a number; expected one such as 1.105, or nothing; "
        f"{TAKE_BACK}"
    )


@pytest.mark.parametrize("missing", ["speedup", "ci_low", "ci_high"])
def test_a_speed_up_comes_with_its_interval(path: Path, missing: str) -> None:
    path.write_bytes(HEADER.encode() + line_with(replace(KEEP, trial=1), missing, ""))
    with pytest.raises(LogError) as raised:
        results.read(path)
    assert str(raised.value) == (
        f"{path}: line 3 has a part of 'speedup', 'ci_low' and 'ci_high' only; {TAKE_BACK}"
    )


def test_a_status_that_this_version_does_not_know_is_one_sentence(path: Path) -> None:
    path.write_bytes(HEADER.encode() + line_with(replace(KEEP, trial=1), "status", "kept"))
    with pytest.raises(LogError) as raised:
        results.read(path)
    assert str(raised.value) == (
        f"{path}: line 3, column 'status': 'kept'; expected one of baseline, keep, discard, pass, regressed, "
        f"inconclusive, incorrect, crash, timeout, refused, invalid; {TAKE_BACK}, or install the version that "
        f"wrote it"
    )


def test_numbers_are_numbers_when_they_are_read_and_text_in_the_file_only(path: Path) -> None:
    given = replace(KEEP, speedup=1.0512345, geomean_ns=1234.56, peak_rss_mb=46.84, windows=384, seconds=12.34)
    row = results.append(path, given)
    assert (row.speedup, row.geomean_ns, row.peak_rss_mb, row.windows, row.seconds) == (
        1.05123,
        1234.6,
        46.8,
        384,
        12.3,
    )
    assert (row.worst_speedup, results.read(path)) == (None, (row,))
    assert "\t1.05123\t1.03000\t1.05000\t" in path.read_text()


def test_a_row_that_is_no_text_is_refused(path: Path) -> None:
    path.write_bytes(HEADER.encode() + b"1\t\xff\n")
    with pytest.raises(LogError) as raised:
        results.read(path)
    assert str(raised.value) == f"{path}: line 3 is not UTF-8 text; expected a row of this log"


def test_a_file_that_is_no_text_is_refused(path: Path) -> None:
    path.write_bytes(b"\x93NUMPY\x01\x00\n")
    with pytest.raises(LogError, match=r": line 1 is not '# pytest-lance-autoresearch results, schema 1'"):
        results.read(path)


def test_a_directory_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(LogError) as raised:
        results.read(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path}: cannot be read: ")


def test_a_row_is_not_appended_to_what_is_no_text(path: Path) -> None:
    path.write_bytes(b"\x93NUMPY\x01\x00\n")
    with pytest.raises(LogError):
        results.append(path, KEEP)


@pytest.mark.parametrize("text", ["all of my notes", "notes\nmore notes"])
def test_a_foreign_file_without_a_last_line_end_is_left_alone(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(LogError, match="expected a log written by this plugin"):
        results.append(path, KEEP)
    assert path.read_text() == text


@pytest.mark.parametrize("trial", ["x", ""])
def test_a_row_without_a_number_is_refused(path: Path, trial: str) -> None:
    results.append(path, KEEP)
    path.write_text(path.read_text().replace("\n1\t", f"\n{trial}\t"))
    with pytest.raises(LogError, match=rf"^{path}: line 3 "):
        results.read(path)


@pytest.mark.parametrize("trial", ["x", "²"])
def test_the_sentence_about_a_row_without_a_number_names_the_number(path: Path, trial: str) -> None:
    results.append(path, KEEP)
    path.write_text(path.read_text().replace("\n1\t", f"\n{trial}\t"))
    with pytest.raises(LogError) as raised:
        results.read(path)
    assert f"'{trial}'" in str(raised.value)


# The baseline


def test_the_baseline_is_the_newest_kept_row_of_its_target() -> None:
    statuses = [Status.BASELINE, Status.KEEP, Status.DISCARD, Status.CRASH]
    rows = [Row(trial=i, target="demo", status=status) for i, status in enumerate(statuses)]
    other = Row(trial=9, target="other", status=Status.KEEP)
    assert results.baseline([*rows, other], "demo") == rows[1]
    assert results.baseline([rows[0], other], "demo") == rows[0]


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.KEEP, Status.BASELINE}))
def test_no_other_end_makes_a_baseline(status: Status) -> None:
    assert results.baseline([Row(target="demo", status=status)], "demo") is None
    assert results.baseline([], "demo") is None
