"""What a log tells afterwards: a check that finds every kind of tampering, other thresholds, foreign logs."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import toys
from builders import everywhere, evidence, figures, outcome, pairs_of_a_look, spread
from logged_trials import write_row

from pytest_lance_autoresearch.command.verbs import main
from pytest_lance_autoresearch.log import archive, gate, history, results
from pytest_lance_autoresearch.records import Interval, RegressionRules, Status
from pytest_lance_autoresearch.runs import replay
from pytest_lance_autoresearch.target_files import discover, load
from pytest_lance_autoresearch.verdict import judge
from pytest_lance_autoresearch.words.wording import shown

FASTER, SLOWER = everywhere(spread(0.05)), everywhere(spread(-0.03))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a log of a baseline, a keep and a discard, each with its archive."""
    root, text = tmp_path_factory.mktemp("recorded"), toys.KERNEL
    write_row(root, [], text)
    write_row(root, [pairs_of_a_look(FASTER)] * 2, text + "ONE = 1\n")
    write_row(root, [pairs_of_a_look(SLOWER)], text + "ONE = 1\nTWO = 2\n")
    return root


@pytest.fixture
def path(recorded: Path, tmp_path: Path) -> Path:
    """The log of such a project, to be changed."""
    shutil.copytree(recorded, tmp_path, dirs_exist_ok=True)
    return tmp_path / "targets/toy/results.tsv"


def edited(path: Path, old: str, new: str, line: int) -> None:
    lines = path.read_text().splitlines()
    assert old in lines[line]
    lines[line] = lines[line].replace(old, new, 1)
    path.write_text("\n".join(lines) + "\n")


def found(path: Path) -> list[str]:
    """Every fault of the log."""
    return [fault for one in history.check(results.read(path), archive.root_of(path)) for fault in one.faults]


def test_an_untouched_log_has_no_fault(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(path)]) == 0
    assert capsys.readouterr().out == "no fault: 3 rows, 2 verdicts computed again from raw windows\n"


@pytest.mark.parametrize(
    ("old", "new", "line", "sentence"),
    [
        ("\tdiscard\t", "\tkeep\t", 4, "trial 3: says 'keep', its windows say 'discard' (slower)"),
        (
            "an idea",
            "another idea",
            3,
            "trial 3: does not follow from the row before it; one of the two was changed",
        ),
        ("3\t", "4\t", 4, "trial 4: stands where trial 3 should; a row is missing or out of order"),
    ],
)
def test_an_edited_row_is_found(path: Path, old: str, new: str, line: int, sentence: str) -> None:
    edited(path, old, new, line)
    assert sentence in found(path)


def test_a_better_number_in_a_row_is_found(path: Path) -> None:
    speedup = results.read(path)[1].speedup
    edited(path, f"{speedup:.5f}", "1.20000", 3)
    assert f"trial 2: says speedup 1.2, its windows say {speedup}" in found(path)


def test_a_missing_row_is_found(path: Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], lines[4]]) + "\n")
    assert found(path) == ["trial 3: stands where trial 2 should; a row is missing or out of order"]


def test_a_changed_archive_is_found(path: Path) -> None:
    root, row = archive.root_of(path), results.read(path)[1]
    record = archive.trial_path(root, "toy", row.record)
    record.write_text(record.read_text().replace('"wall_ns": 1', '"wall_ns": 2', 1))
    kernel = root / archive.FOLDER / "kernels" / f"{row.kernel}.py"
    kernel.write_text(kernel.read_text() + "# changed\n")
    assert found(path) == [
        f"trial 2: its kernel (sha256 {row.kernel[:12]}) is not in the archive, or was changed",
        f"trial 2: its record {shown(record)} was changed; its sha256 is not the row's",
    ]
    record.unlink()
    assert f"trial 2: its record {shown(record)} is missing" in found(path)


def test_a_verdict_of_the_regression_gate_is_computed_again_by_its_own_thresholds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """3 % slower: a pass where 4 % are allowed, and by no other gate's thresholds."""
    target = load.load(discover.inspect(toys.write(tmp_path)))
    log, rules = tmp_path / "gate.tsv", RegressionRules(slowdown_limit=0.04)
    seen = evidence(*pairs_of_a_look(SLOWER), looks=2)
    ended = replace(outcome(Status.PASS, "judged"), figures=figures(), judgement=judge.look(seen, rules))
    gate.write(gate.Gate(tmp_path, log), target, replace(ended, target="toy"), gate.Measured(seen, rules, 1), "")
    assert main(["verify", str(log)]) == 0
    assert main(["rejudge", str(log)]) == 0
    assert main(["log", str(log)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "no fault: 1 row, 1 verdict computed again from raw windows"
    )


def test_other_thresholds_are_applied_to_the_same_windows(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rejudge", str(path)]) == 0
    assert capsys.readouterr().out.endswith("every verdict stays\n")
    assert main(["rejudge", str(path), "--min-effect", "0.2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("trial 2, toy: discard (gain too small), was keep, -4.9 % [")
    assert lines[1].startswith("trial 3, toy: discard (slower), as before, +3.0 % [")
    assert lines[2] == "1 verdict would change"


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", str(tmp_path / "none.tsv")]) == 2
    assert capsys.readouterr().err == f"ERROR: {tmp_path / 'none.tsv'}: there is no such log\n"
    lonely = tmp_path / "results.tsv"
    results.append(lonely, results.Row(target="toy", status=Status.CRASH))
    assert main(["verify", str(lonely)]) == 2
    assert capsys.readouterr().err == (
        f"ERROR: {lonely}: no folder above it holds .autoresearch; name the one that does with --root\n"
    )


# A log that something else wrote in, and a reader's terminal

VERBS = [
    *(["log"], ["log", "--json"], ["verify"], ["rejudge"], ["status"], ["status", "--json"]),
    *(["show", "2"], ["show", "2", "--json"], ["audit"], ["replay", "2"]),
]
OF_ONE = [verb for verb in VERBS if verb[0] in ("show", "replay")]
OF_ALL = [verb for verb in VERBS if verb not in OF_ONE]
"""Those that are about every row."""
QUICK = [verb for verb in VERBS if verb[0] not in ("audit", "replay")]


def run(path: Path, verb: list[str]) -> int:
    name, *rest = verb
    return main([name, str(path), *rest])


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_number_that_a_spreadsheet_changed_is_one_sentence(
    path: Path, capsys: pytest.CaptureFixture[str], verb: list[str]
) -> None:
    speedup = results.read(path)[1].speedup
    edited(path, f"{speedup:.5f}", "1,05127", 3)
    assert run(path, verb) == 2
    assert capsys.readouterr() == (
        "",
        f"ERROR: {path}: line 4, column 'speedup': '1,05127' is not a number; expected one such as 1.105, or "
        f"nothing; another program changed the file, take it back from git or from a copy\n",
    )


@pytest.mark.parametrize("verb", QUICK, ids=" ".join)
def test_other_line_ends_change_nothing(path: Path, capsys: pytest.CaptureFixture[str], verb: list[str]) -> None:
    code, said = run(path, verb), capsys.readouterr()
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert (run(path, verb), capsys.readouterr()) == (code, said)
    assert code == 0


ESCAPES = "\x1b[31mred\x1b[0m \x9b2J \x07 \u202e"
SPELT_OUT = r"\x1b[31mred\x1b[0m \x9b2J \x07 \u202e"


def foreign_line(row: results.Row, text: str) -> bytes:
    """The row's line as something else might write it: with the text in place of 'FOREIGN'."""
    return results._line(row).replace("FOREIGN", text).encode()


def with_escapes(path: Path) -> None:
    """An earlier version wrote a description as it was given; another target's name is no better."""
    for row in results.read(path)[:2]:
        number = row.trial + 3
        changed = replace(
            row, trial=number, target="FOREIGN", kernel="FOREIGN", record="FOREIGN", description="FOREIGN"
        )
        path.write_bytes(path.read_bytes() + foreign_line(changed, ESCAPES))


@pytest.mark.parametrize("verb", [*OF_ALL, ["show", "5"], ["replay", "5"]], ids=" ".join)
def test_no_escape_of_a_foreign_log_reaches_the_terminal(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, verb: list[str]
) -> None:
    monkeypatch.setattr(replay, "_measure", lambda *_: replay.Measured(Interval(1.04, 1.05, 1.06), {}))
    with_escapes(path)
    run(path, verb)
    said = "".join(capsys.readouterr())
    assert all(line.isprintable() for line in said.split("\n"))
    assert "--json" in verb or SPELT_OUT in said
    if verb == ["log", "--json"]:
        assert json.loads(said)["rows"][3]["description"] == ESCAPES


def test_the_table_stays_a_table_where_escapes_are_spelt_out(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_escapes(path)
    run(path, ["log"])
    head, *rows = capsys.readouterr().out.splitlines()[:6]
    assert {row[head.index("target") - 2 :][:2] for row in rows} == {"  "}
    assert [row[head.index("description") :] for row in rows] == [
        "the first",
        "an idea",
        "an idea",
        SPELT_OUT,
        SPELT_OUT,
    ]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("verb", QUICK, ids=" ".join)
def test_a_terminal_without_the_letters_is_no_reason_to_fail(
    path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, verb: list[str]
) -> None:
    edited(path, "an idea", "µ-kernel 🚀", 3)
    shown = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", shown)
    assert run(path, verb) in (0, 1)
    shown.seek(0)
    if verb == ["log"]:
        letters = {"ascii": r"\xb5-kernel \U0001f680", "latin-1": r"µ-kernel \U0001f680", "utf-8": "µ-kernel 🚀"}
        assert letters[encoding] in shown.read()


def test_a_name_that_is_no_text_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", str(tmp_path / os.fsdecode(b"logs-\xff"))]) == 2
    assert capsys.readouterr().err == f"ERROR: {tmp_path}/logs-\\udcff: there is no such log\n"


def test_a_field_with_a_nul_names_no_file(path: Path) -> None:
    row = results.read(path)[1]
    changed = replace(row, trial=4, target="FOREIGN", kernel="FOREIGN")
    path.write_bytes(path.read_bytes() + foreign_line(changed, "a\0b"))
    assert [fault.partition("/")[0] for fault in found(path)] == [
        "trial 4: does not follow from the row before it; one of the two was changed",
        "trial 4: its kernel (sha256 a\0b) is not in the archive, or was changed",
        "trial 4: its record ",
    ]


# What a check counts


def test_a_verdict_whose_record_is_missing_was_not_computed_again(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = archive.trial_path(archive.root_of(path), "toy", results.read(path)[1].record)
    record.unlink()
    assert main(["verify", str(path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"trial 2: its record {shown(record)} is missing",
        "1 fault: 3 rows, 1 verdict computed again from raw windows",
    ]


def test_a_row_that_was_cut_off_is_a_fault(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with path.open("a") as file:
        file.write("4\t2026")
    assert main(["verify", str(path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: line 6 was cut off after 6 bytes, as by a crash; the trial that wrote it has no row, and the "
        f"next one moves what is left to 'results.tsv.torn'",
        "1 fault: 3 rows, 2 verdicts computed again from raw windows",
    ]


def test_a_row_that_stands_there_twice_is_a_fault(path: Path) -> None:
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[-1])
    assert found(path) == ["trial 3: stands where trial 4 should; a row is missing or out of order"]


def test_a_speed_up_without_windows_is_a_fault(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A number that somebody wrote into a row that measured nothing beside a baseline."""
    edited(path, "\tbaseline\t\t\t\t", "\tbaseline\t1.5\t1.4\t1.6\t", 2)
    sentence = "trial 1: says speedup 1.5, its record holds no windows of a baseline beside it"
    assert found(path)[0] == sentence
    assert main(["rejudge", str(path)]) == 2
    assert capsys.readouterr().err == f"ERROR: {sentence}\n"


def test_an_empty_log_is_shown_and_has_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """However much of its header there is; no archive is needed."""
    path = tmp_path / "results.tsv"
    sentence = f"{shown(path)}: no trial was logged yet"
    told = [verb for verb in OF_ALL if "--json" not in verb]
    for text in ("", results._header(), results._header().partition("\n")[0] + "\n"):
        path.write_text(text)
        assert [run(path, verb) for verb in OF_ALL] == [0] * len(OF_ALL)
        assert capsys.readouterr().out.count(sentence) == len(told)
        assert [run(path, verb) for verb in OF_ONE] == [2] * len(OF_ONE)
        assert capsys.readouterr().err == f"ERROR: {sentence}\n" * len(OF_ONE)


def test_a_reader_who_leaves_early_sees_no_traceback(path: Path) -> None:
    command = [sys.executable, "-m", "pytest_lance_autoresearch", "log", str(path)]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (2, b"")
