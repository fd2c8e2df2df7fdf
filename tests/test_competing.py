"""The verb for tournaments: how candidates are named, what it says, and how it ends."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toys
from builders import SPEEDUP, outcome
from command_line import Say

from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.interface import Target, trials
from pytest_lance_autoresearch.machine import files
from pytest_lance_autoresearch.records import Cause, Judgement, Outcome, Race, Status, Tournament, Verdict

KEPT = replace(
    outcome(Status.KEEP, "keep: geomean 160 -> 144 us/query"),
    trial=4,
    judgement=Judgement(Verdict.KEEP, Cause.FASTER, SPEEDUP),
)
OUTRUN = replace(
    outcome(Status.DISCARD, "discard: outrun"),
    trial=3,
    judgement=Judgement(Verdict.DISCARD, Cause.OUTRUN, SPEEDUP, race=Race(3, 2, 0.02, is_last=False)),
)
WRONG = replace(outcome(Status.INCORRECT, "incorrect: 2x3-flat: values differ"), trial=2)


class Held:
    """Stands for `trials.tournament`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str], dict[str, Any]]] = []
        self.outcomes: dict[str, Outcome] = {"c/b.py": KEPT, "c/a.py": OUTRUN, "d.py": WRONG}
        self.winner: str | None = "c/b.py"
        self.fault: BaseException | None = None

    def __call__(
        self, target: Target, candidates: Sequence[Path], *, watch: Callable[..., None], **options: Any
    ) -> Tournament:
        assert callable(watch)
        self.asked.append((target.name, list(map(str, candidates)), options))
        if self.fault is not None:
            raise self.fault
        return Tournament(self.outcomes, self.winner, 61.4, 0.0)


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Held:
    """In a project with a target and candidates."""
    monkeypatch.chdir(tmp_path)
    toys.write(tmp_path)
    folder = tmp_path / "c"
    folder.mkdir()
    for name in ("b.py", "a.py", "notes.md"):
        (folder / name).write_text(toys.KERNEL)
    (tmp_path / "d.py").write_text(toys.KERNEL)
    stand_in = Held()
    monkeypatch.setattr(trials, "tournament", stand_in)
    return stand_in


def test_a_winner_is_named_with_what_to_type_and_everybody_has_a_line(held: Held, say: Say) -> None:
    said = say("tournament", "toy", "c", "d.py", "c/a.py")
    assert said.code == 0
    assert said.out == [
        "rank  candidate  trial  status     speedup                  why",
        "1     c/b.py     4      keep       1.0400 [1.0300, 1.0500]  keep: geomean 160 -> 144 us/query",
        "2     c/a.py     3      discard    about 1.04               discard: outrun",
        "3     d.py       2      incorrect  none                     incorrect: 2x3-flat: values differ",
        "c/b.py was kept: 3 candidates in 61 s; put it into the target: "
        "python -m pytest_lance_autoresearch restore targets/toy/results.tsv",
    ]
    ((target, candidates, options),) = held.asked
    assert (target, candidates) == ("toy", ["c/a.py", "c/b.py", "d.py"])
    assert options == {"log": Path.cwd() / "targets/toy/results.tsv", "max_seconds": 3600.0, "ray": ""}


@pytest.mark.usefixtures("held")
def test_a_reason_stands_below_its_candidate_on_a_narrow_terminal(
    say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert say("tournament", "toy", "c", "d.py").out == [
        "rank  candidate  trial  status     speedup",
        "1     c/b.py     4      keep       1.0400 [1.0300, 1.0500]",
        "      keep: geomean 160 -> 144 us/query",
        "2     c/a.py     3      discard    about 1.04",
        "      discard: outrun",
        "3     d.py       2      incorrect  none",
        "      incorrect: 2x3-flat: values differ",
        "c/b.py was kept: 3 candidates in 61 s; put it into the",
        "target: python -m pytest_lance_autoresearch restore",
        "targets/toy/results.tsv",
    ]
    monkeypatch.setenv("COLUMNS", "36")
    found = say("tournament", "toy", "c", "d.py").out
    assert found[2] == "      keep: geomean 160 -> 144 ..."
    assert found[7:9] == ["'show LOG N' says the whole reason", "of trial N"]


def test_without_a_winner_it_ends_as_a_discard(held: Held, say: Say) -> None:
    held.outcomes, held.winner = {"d.py": WRONG}, None
    said = say("tournament", "toy", "d.py", "--log", "mine.tsv", "--max-seconds", "90", "--ray", "auto")
    assert said.code == 10
    assert said.out[-1] == "none was kept: 1 candidate in 61 s; the baseline stays"
    assert held.asked[0][2] == {"log": Path("mine.tsv"), "max_seconds": 90.0, "ray": "auto"}


def test_the_json_has_every_outcome(held: Held, say: Say) -> None:
    assert held.winner
    say("tournament", "toy", "c", "--json", "out.json")
    found = json.loads(Path("out.json").read_text())
    named = {name: one["verdict"] for name, one in found.pop("candidates").items()}
    assert named == {"c/b.py": "keep", "c/a.py": "discard", "d.py": "incorrect"}
    assert found == {"schema": 1, "target": "toy", "winner": "c/b.py", "seconds": 61.4, "waited_s": 0.0}


@pytest.mark.usefixtures("held")
def test_a_folder_without_modules_is_refused(say: Say) -> None:
    Path("empty").mkdir()
    said = say("tournament", "toy", "empty")
    assert said.code == 2
    assert said.err == [
        "ERROR: empty: holds no *.py; expected a folder of candidates, or a candidate's file",
    ]


def test_what_cannot_be_read_is_named(held: Held, say: Say) -> None:
    held.fault = FileNotFoundError(2, "No such file or directory", "gone.py")
    assert say("tournament", "toy", "gone.py").err == ["ERROR: gone.py: cannot be read: No such file or directory"]
    held.fault = LogError("targets/toy/results.tsv: holds no baseline of target 'toy'")
    said = say("tournament", "toy", "c")
    assert (said.code, said.err) == (2, ["ERROR: targets/toy/results.tsv: holds no baseline of target 'toy'"])


def test_a_json_that_cannot_or_must_not_be_written_is_refused_before_anything_is_measured(
    held: Held, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("locked").mkdir()
    monkeypatch.setattr(os, "access", lambda folder, _: folder != Path("locked"))  # root may write anywhere
    places = {
        "no/such/out.json": "there is no folder no/such; make it first",
        "c": "is a folder; name a file in it, such as c/tournament.json",
        "targets/toy/results.tsv": "would overwrite a log; name another file",
        "targets/toy/kernels.py": "would overwrite a source; name another file",
        "locked/out.json": "cannot be written: its folder may not be written to",
    }
    for place, why in places.items():
        said = say("tournament", "toy", "c", "--json", place)
        assert (said.code, said.err) == (2, [f"ERROR: {place}: {why}"])
    assert held.asked == []


def test_the_table_stands_though_the_json_is_lost(held: Held, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_whole", fill)
    said = say("tournament", "toy", "c", "--json", "out.json")
    assert (said.code, said.err) == (2, ["ERROR: out.json: cannot be written: No space left on device"])
    assert said.out[-1].startswith(f"{held.winner} was kept: 3 candidates in 61 s")


def test_a_candidate_is_a_python_file(held: Held, say: Say) -> None:
    Path("notes.md").write_text("no kernel")
    said = say("tournament", "toy", "c", "notes.md")
    sentence = "ERROR: notes.md: is no Python source; a candidate's name ends with .py"
    assert (said.code, said.err) == (2, [sentence])
    assert held.asked == []


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("seconds", ["0", "inf", "soon"])
def test_a_budget_is_a_number_of_seconds(say: Say, capsys: pytest.CaptureFixture[str], seconds: str) -> None:
    with pytest.raises(SystemExit):
        say("tournament", "toy", "c", "--max-seconds", seconds)
    assert f"{seconds}: expected a number of seconds, more than 0" in capsys.readouterr().err


@pytest.mark.usefixtures("held")
def test_an_unknown_target_is_named(say: Say) -> None:
    said = say("tournament", "toi", "c")
    assert said.code == 2
    assert "toi" in said.err[0]


def test_an_interrupt_ends_it_as_a_shell_counts(held: Held, say: Say) -> None:
    sentence = "2 of 3 candidates have a row in the log; the same tournament tries all of them again"
    held.fault = KeyboardInterrupt(sentence)
    said = say("tournament", "toy", "c")
    assert said.code == 130
    assert said.err == [f"interrupted: {sentence}"]
