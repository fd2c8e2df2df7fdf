"""What a log tells afterwards: summaries, a check that finds every kind of tampering, other thresholds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import toys
from builders import everywhere, figures, no_overhead, outcome, pair, spread

from pytest_lance_autoresearch import archive, discover, gate, history, judge, load, log
from pytest_lance_autoresearch.__main__ import main
from pytest_lance_autoresearch.records import PairRecord, Rules, Status

FASTER, SLOWER = everywhere(spread(0.05)), everywhere(spread(-0.03))


def write_row(root: Path, pairs: list[PairRecord], kernel: str, looks: int = 2) -> log.Row:
    """Judge the pairs as a trial does, and log the verdict with its evidence."""
    folder = toys.write(root, text=kernel)
    target = load.load(discover.inspect(folder))
    evidence = {"rules": Rules(), "looks": looks, "overhead_ns": no_overhead(), "pairs": pairs}
    opened = gate.open_gate(target, root, folder / "results.tsv", rebaseline=False)
    if opened.row is None:
        first = replace(outcome(Status.BASELINE, "baseline"), target="toy")
        gate.write(opened, target, first, evidence, "the first")
        return log.read(opened.log_path)[-1]
    assert opened.baseline is not None
    sizes = opened.baseline.code_size, target.kernel.code_size
    judgement = judge.look(judge.Evidence(pairs, no_overhead(), *sizes, looks, 1.0), Rules())
    ended = replace(outcome(Status(judgement.kind), "judged"), figures=figures(), judgement=judgement)
    gate.write(opened, target, replace(ended, target="toy"), evidence, "an idea")
    return log.read(opened.log_path)[-1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of a baseline, a keep and a discard, each with its archive."""
    text = toys.KERNEL
    write_row(tmp_path, [], text)
    write_row(tmp_path, [pair(FASTER), pair(FASTER)], text + "ONE = 1\n")
    write_row(tmp_path, [pair(SLOWER)], text + "ONE = 1\nTWO = 2\n", looks=1)
    return tmp_path / "targets/toy/results.tsv"


def edited(path: Path, old: str, new: str, line: int) -> None:
    lines = path.read_text().splitlines()
    assert old in lines[line]
    lines[line] = lines[line].replace(old, new, 1)
    path.write_text("\n".join(lines) + "\n")


def found(path: Path) -> list[str]:
    return list(history.faults(log.read(path), archive.root_of(path)))


def test_a_summary_counts_what_was_kept_and_what_was_tried_since(path: Path) -> None:
    (summary,) = history.summaries(log.read(path))
    assert (summary.target, summary.trials, summary.keeps, summary.best_trial, summary.plateau) == (
        "toy",
        3,
        1,
        2,
        1,
    )
    assert summary.claimed_speedup == pytest.approx(float(log.read(path)[1].speedup))
    assert summary.tried == ("an idea",)
    assert summary.noise is not None
    assert 0 < summary.noise < 0.01


def test_a_log_of_failures_only_has_no_best() -> None:
    (summary,) = history.summaries([log.Row(trial=1, target="toy", status="crash")])
    assert (summary.best_trial, summary.claimed_speedup, summary.noise) == (None, 1.0, None)


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
    speedup = log.read(path)[1].speedup
    edited(path, speedup, "1.20000", 3)
    assert f"trial 2: says speedup 1.20000, its windows say {speedup}" in found(path)


def test_a_missing_row_is_found(path: Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], lines[4]]) + "\n")
    assert found(path) == ["trial 3: stands where trial 2 should; a row is missing or out of order"]


def test_a_changed_archive_is_found(path: Path) -> None:
    root, row = archive.root_of(path), log.read(path)[1]
    record = archive.trial_path(root, "toy", row.record)
    record.write_text(record.read_text().replace('"wall_ns": 1', '"wall_ns": 2', 1))
    kernel = root / archive.FOLDER / "kernels" / f"{row.kernel}.py"
    kernel.write_text(kernel.read_text() + "# changed\n")
    assert found(path) == [
        f"trial 2: its kernel (sha256 {row.kernel[:12]}) is not in the archive, or was changed",
        f"trial 2: its record {record} was changed; its sha256 is not the row's",
    ]
    record.unlink()
    assert f"trial 2: its record {record} cannot be read: No such file or directory" in found(path)


def test_other_thresholds_are_applied_to_the_same_windows(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rejudge", str(path)]) == 0
    assert capsys.readouterr().out.endswith("every verdict stays\n")
    assert main(["rejudge", str(path), "--min-effect", "0.2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("trial 2, toy: discard (gain too small), was keep, -4.9 % [")
    assert lines[1].startswith("trial 3, toy: discard (slower), as before, +3.0 % [")
    assert lines[2] == "1 verdict would change"


def test_the_log_can_be_read_by_people_and_programs(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "trial",
        "time",
        "target",
        "status",
        "change",
        "of",
        "time",
        "geomean",
        "description",
    ]
    assert "keep      -4.9 %          1.00 us/query  an idea" in lines[2]
    assert lines[-1].startswith(
        "toy: 3 trials, 1 keep, best is trial 2, claimed 1.051x since its baseline, 1 trial without a keep, "
    )
    assert main(["log", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in told["rows"]] == ["baseline", "keep", "discard"]
    assert told["targets"][0]["best_trial"] == 2


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", str(tmp_path / "none.tsv")]) == 2
    assert capsys.readouterr().err == f"ERROR: {tmp_path / 'none.tsv'}: there is no such log\n"
    lonely = tmp_path / "results.tsv"
    log.append(lonely, log.Row(target="toy", status="crash"))
    assert main(["verify", str(lonely)]) == 2
    assert capsys.readouterr().err == (
        f"ERROR: {lonely}: no folder above it holds .autoresearch; name the one that does with --root\n"
    )
