"""A log, one of its trials and where it stands, told to a person and to a program."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import toys
from builders import everywhere, pairs_of_a_look, spread
from command_line import Said, Say
from logged_trials import write_failure, write_row
from nights import BASELINE, KEEP, discards, doubtful, night, trial

from pytest_lance_autoresearch.command import audit_report, log_report, status_report, telling, trial_report, verbs
from pytest_lance_autoresearch.log import results, standing
from pytest_lance_autoresearch.log.night import Trial
from pytest_lance_autoresearch.log.standing import Step
from pytest_lance_autoresearch.records import Cause, DoubtDigest, Interval, Judgement, Status, Verdict
from pytest_lance_autoresearch.runs.replay import Replayed

ROOT = Path(__file__).parent.parent
OUTPUT = (ROOT / "docs" / "output.md").read_text(encoding="utf-8")
FASTER, SLOWER = everywhere(spread(0.05)), everywhere(spread(-0.03))
LOG = Path("targets/toy/results.tsv")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a log: baseline, keep, incorrect, discard."""
    root, text = tmp_path_factory.mktemp("telling"), toys.KERNEL
    write_row(root, [], text)
    write_row(root, [pairs_of_a_look(FASTER)] * 2, text + "ONE = 1\n")
    write_failure(root, text + "THREE = 3\n")
    write_row(root, [pairs_of_a_look(SLOWER)], text + "TWO = 2\n")
    return root


@pytest.fixture
def project(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, as the current folder."""
    shutil.copytree(recorded, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    return tmp_path


# log


def test_a_log_as_a_table(project: Path, say: Say) -> None:
    told = say("log", LOG)
    rows = results.read(project / LOG)
    assert [line.split("  ")[-1] for line in told.out[:5]] == [
        "description",
        "the first",
        "an idea",
        "a wrong idea",
        "an idea",
    ]
    assert told.out[0].split() == [
        *("trial", "time", "target", "status", "change", "seconds", "looks", "waited", "kernel", "description"),
    ]
    when, kernel = rows[1].time[:16].replace("T", " "), rows[1].kernel[:12]
    assert told.out[2] == f"    2  {when}  toy     keep       -4.9 %       12      2       0  {kernel}  an idea"
    assert told.out[5:] == [
        "",
        "toy: 4 trials, 1 keep, best is trial 2, claimed 1.051x since its baseline, 2 trials without a keep, "
        "intervals of +-0.18 %",
    ]


def test_the_table_keeps_to_a_terminal_of_80_columns(
    project: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (project / LOG).read_text().splitlines(keepends=True)
    lines[-1] = lines[-1].replace("an idea", "an idea " * 40)
    (project / LOG).write_text("".join(lines))
    wide = say("log", LOG).out
    assert max(map(len, wide)) > 300
    monkeypatch.setenv("COLUMNS", "80")
    assert say("log", LOG, "--wide").out[:5] == wide[:5]
    lines = say("log", LOG).out
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["trial", "status", "change", "seconds", "looks", "waited", "description"]
    assert lines[4].endswith("...")


@pytest.mark.parametrize("columns", [1, 20, 40, 60, 80, 100, 120, 200])
def test_no_line_of_a_table_is_wider_than_the_terminal_where_that_can_be(columns: int) -> None:
    trials = [trial(n, Status.INCONCLUSIVE, 1.2, target="t" * 20, description="d" * 99) for n in range(1, 12)]
    lines = log_report.log_table(trials, columns)
    least = len("trial  inconclusive  -16.7 %  seconds  ...")
    assert max(map(len, lines)) <= max(columns, least)
    assert len(lines) == 12


def test_several_logs_stand_one_after_another(project: Path, say: Say) -> None:
    other = project / "other.tsv"
    shutil.copy(project / LOG, other)
    one, both = say("log", LOG).out, say("log", LOG, other).out
    assert both == [f"{LOG}:", *one, "", "other.tsv:", *one]
    told = json.loads("".join(say("log", LOG, other, "--json").out))
    assert [row["log"] for row in told["rows"]] == [str(LOG)] * 4 + ["other.tsv"] * 4
    assert [(target["log"], target["best_trial"]) for target in told["targets"]] == [
        (str(LOG), 2),
        ("other.tsv", 2),
    ]
    assert (told["rows"][1]["looks"], told["rows"][1]["waited_s"]) == (2, 0.0)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("verb", ["log", "status"])
def test_a_log_that_cannot_be_read_is_told_beside_the_others(say: Say, verb: str) -> None:
    """One that was mistyped; of two such logs both are told, and nothing else is."""
    sentence = "ERROR: none.tsv: there is no such log"
    alone, beside = say(verb, LOG), say(verb, "none.tsv", LOG)
    assert (beside.code, beside.err) == (2, [sentence])
    assert beside.out == [*([f"{LOG}:"] if verb == "log" else []), *alone.out]
    assert say(verb, "none.tsv", "lost.tsv") == Said(2, [], [sentence, "ERROR: lost.tsv: there is no such log"])


def test_a_changed_row_is_marked_in_the_table(project: Path, say: Say) -> None:
    rows, text = results.read(LOG), (project / LOG).read_text()
    (project / LOG).write_text(text.replace(f"\t{rows[1].speedup:.5f}\t", "\t9.00000\t", 1))
    assert ["(changed)" in line for line in say("log", LOG).out[:5]] == [False, False, True, False, False]


def test_a_row_that_was_cut_off_takes_nothing_else_from_where_a_target_stands() -> None:
    fault = "the log: line 7 was cut off after 6 bytes, as by a crash; " * 3
    whole = lines(BASELINE, KEEP, *discards(3))
    assert [line for line in lines(BASELINE, KEEP, *discards(3), faults=(fault,)) if line in whole] == whole


def test_a_fault_is_told_on_several_lines_of_a_narrow_terminal(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    assert say("verify", "a/b/c/d/e/f/g/h/i/j/k/results.tsv").err == [
        "ERROR: a/b/c/d/e/f/g/h/i/j/k/results.tsv: there is",
        "no such log",
    ]


def test_a_log_without_its_archive_lacks_looks_and_waiting(project: Path, say: Say) -> None:
    shutil.rmtree(project / ".autoresearch")
    told = json.loads("".join(say("log", LOG, "--json").out))
    assert {(row["looks"], row["waited_s"]) for row in told["rows"]} == {(None, None)}
    assert say("log", LOG).out[0].split()[-3:] == ["seconds", "kernel", "description"]
    assert say("log", LOG).out[7:] == [
        f"{LOG}: no folder above it holds .autoresearch; name the one that does with --root"
    ]


def test_a_summary_counts_what_was_kept_and_what_was_tried_since() -> None:
    found = log_report.summary_json(night(BASELINE, KEEP, *discards(1)))
    assert found == {
        "target": "toy",
        "trials": 3,
        "keeps": 1,
        "best_trial": 2,
        "claimed_speedup": pytest.approx(1.2),
        "plateau": 1,
        "noise": pytest.approx(0.01),
        "tried": ["idea 3"],
    }


def test_a_keep_for_smaller_code_says_so() -> None:
    simpler = trial(3, Status.KEEP, 1.0, Cause.SIMPLER)
    unknown = replace(simpler, digest=None)
    assert [" ".join(line.split()) for line in log_report.log_table([simpler], None)][1].startswith(
        "3 toy keep (simpler) "
    )
    gained = replace(unknown, row=replace(unknown.row, speedup=1.02, ci_low=1.01, ci_high=1.03))
    assert "keep (simpler)" in "".join(log_report.log_table([unknown], None))  # its interval shows no gain
    assert "(simpler)" not in "".join(log_report.log_table([gained], None))
    assert trial_report.sentences(simpler, None)[0].startswith("trial 3 of toy: keep (simpler), ")
    kernel = f"{3:064x}"[:12]
    told = "\n".join(lines(BASELINE, KEEP, simpler))
    assert f"best       trial 3, keep (simpler), kernel {kernel}, 1.200x" in told


def test_what_has_no_baseline_claims_nothing() -> None:
    found = night(trial(1, Status.CRASH))
    assert log_report.summary_line(found) == "toy: 1 trial, 0 keeps, nothing kept yet, 1 trial without a keep"
    assert log_report.summary_json(found)["claimed_speedup"] is None
    assert log_report.summary_line(night(BASELINE)) == (
        "toy: 1 trial, 0 keeps, best is trial 1, 0 trials without a keep"
    )


@pytest.mark.parametrize("verb", [["log"], ["status"], ["show", "1"], ["verify"]], ids=" ".join)
def test_what_is_no_log_is_one_sentence(project: Path, say: Say, verb: list[str]) -> None:
    name, *rest = verb
    told = say(name, "targets/toy", *rest)
    assert (told.code, told.out) == (2, [])
    assert told.err == ["ERROR: targets/toy: is a folder; expected a log, such as targets/toy/results.tsv"]
    assert say(name, "none.tsv", *rest).err == ["ERROR: none.tsv: there is no such log"]
    (project / "notes.txt").write_text("not a log\n")
    assert say(name, "notes.txt", *rest).err == [
        "ERROR: notes.txt: line 1 is not '# pytest-lance-autoresearch results, schema 1'; expected a log written "
        "by this plugin"
    ]


@pytest.mark.usefixtures("project")
def test_an_empty_log_says_that_it_is(say: Say) -> None:
    Path("empty.tsv").touch()
    sentence = "empty.tsv: no trial was logged yet"
    assert say("log", "empty.tsv").out == [sentence]
    assert say("status", "empty.tsv").out == [f"{sentence}; record the baselines with pytest -x --keep-gate"]
    assert say("show", "empty.tsv", 1).err == [f"ERROR: {sentence}"]


def test_a_row_that_was_cut_off_is_told(project: Path, say: Say) -> None:
    with (project / LOG).open("a") as file:
        file.write("5\t2026")
    sentence = (
        f"{LOG}: line 7 was cut off after 6 bytes, as by a crash; the trial that wrote it has no row, and the "
        f"next one moves what is left to 'results.tsv.torn'"
    )
    assert say("log", LOG).out[-1] == sentence
    assert json.loads("".join(say("log", LOG, "--json").out))["faults"] == [sentence]
    found = say("status", LOG).out[-6:-3]
    assert found[0].startswith(f"log        {LOG}: line 7 was cut off after 6 bytes")
    assert " ".join(line[11:] for line in found) == sentence
    assert json.loads("".join(say("status", LOG, "--json").out))["faults"] == [sentence]


def test_a_changed_number_leaves_the_claim_unknown(project: Path, say: Say) -> None:
    """The first fault is told in one line, and nothing is multiplied without the keep that was changed."""
    rows, text = results.read(LOG), (project / LOG).read_text()
    (project / LOG).write_text(text.replace(f"\t{rows[1].speedup:.5f}\t", "\t9.00000\t", 1))
    bounds = f"{rows[1].ci_low:g} to {rows[1].ci_high:g}"
    fault = f"trial 2: its speed-up 9 does not lie in its interval, {bounds}; the row was changed"
    unknown = "not known: trial 2 was changed or is missing; run verify"
    assert say("log", LOG).out[-2:] == [
        "toy: 4 trials, 1 keep, best is trial 2, 2 trials without a keep, intervals of +-0.25 %; claimed "
        f"{unknown}",
        f"{fault}; verify tells of 2 more faults",
    ]
    told = say("status", LOG).out
    assert [line[11:] for line in told[1:3]] == [
        f"trial 2, kernel {rows[1].kernel[:12]}, claimed not known: trial 2 was changed",
        "or is missing; run verify",
    ]
    assert any(line.startswith("log        trial 2: its speed-up 9 does not lie in its interval") for line in told)
    assert f"{fault}; verify tells of 2 more faults" in say("show", LOG, 2).out
    assert json.loads("".join(say("show", LOG, 2, "--json").out))["faults"][0] == fault
    for verb in ("log", "status"):
        (target,) = json.loads("".join(say(verb, LOG, "--json").out))["targets"]
        assert target["claimed_speedup"] is None


# status


def lines(*trials: Trial, faults: tuple[str, ...] = ()) -> list[str]:
    return status_report.lines(str(LOG), standing.of(night(*trials)), faults)


def test_where_a_target_stands(project: Path, say: Say) -> None:
    kernel = results.read(project / LOG)[1].kernel[:12]
    assert say("status", LOG).out == [
        "toy: 4 trials, 1 keep, 2 trials since the best kernel",
        f"best       trial 2, kernel {kernel}, 1.051x [1.050, 1.052] since trial 1",
        "           an idea",
        "to keep    a gain of 1 % or more overall, and no case slower than 5 %",
        "noise      intervals of +-0.18 % (median); smallest gain kept -4.9 %",
        "seconds    baseline 12, keep 12, incorrect 12, discard 12 (medians)",
        "cases      least gain first; in brackets the whole, if it gained as the best",
        "             2x3-flat    1.05x  95.1 ms a call  (+0.0 %)",
        "             2x3-sorted  1.05x  95.1 ms a call  (+0.0 %)",
        "             50x1-flat   1.05x  95.1 ms a call  (+0.0 %)",
        "failed     1 slower (4): an idea",
        "             why: judged",
        "           1 incorrect (3): a wrong idea",
        "             why: wrong",
        "next       take another idea, one with a larger effect; read what takes the time",
        "           in 2x3-flat",
        "           python -m pytest_lance_autoresearch explain toy 2x3-flat",
    ]


@pytest.mark.usefixtures("project")
def test_a_program_is_told_more(say: Say) -> None:
    told = json.loads("".join(say("status", LOG, "--json").out))
    (found,) = told["targets"]
    assert set(found) == documented("`status --json`")
    assert (found["log"], found["target"], found["trials"], found["keeps"]) == (str(LOG), "toy", 4, 1)
    assert (found["best"]["trial"], found["baseline_trial"], found["plateau"]) == (2, 1, 2)
    assert found["claimed_speedup"]["point"] == pytest.approx(1.0513, abs=1e-4)
    assert [(one["cause"], [each["trial"] for each in one["trials"]]) for one in found["failed"]] == [
        ("slower", [4]),
        ("incorrect", [3]),
    ]
    assert set(found["cases"][0]) == {"case", "gained", "ns_per_call", "overall", "seen"}
    assert found["next"] == {
        "step": "take another idea",
        "trial": 4,
        "case": "2x3-flat",
        "max_seconds": None,
        "sentence": "take another idea, one with a larger effect; read what takes the time in 2x3-flat",
        "commands": ["python -m pytest_lance_autoresearch explain toy 2x3-flat"],
    }


def cells(heading: str) -> list[tuple[str, str]]:
    """Both columns of the table after the line of the page that begins so."""
    below = OUTPUT[OUTPUT.index(f"\n{heading}") :].partition("\n\n")[2].partition("\n\n")[0]
    rows: list[tuple[str, str]] = re.findall(r"^\| (.+?) \| (.+) \|$", below, re.M)
    return rows[1:]


def documented(heading: str) -> set[str]:
    """The names in the first column of a table."""
    return {name for first, _ in cells(heading) for name in re.findall(r"`(\w+)`", first)}


@pytest.mark.parametrize("count", [0, 1, 3, 20])
@pytest.mark.parametrize("end", [doubtful(90, 90.0), trial(90, Status.CRASH), trial(90, Status.INVALID)])
def test_twenty_lines_hold_every_night(count: int, end: Trial) -> None:
    """However many causes there are, and however long what was tried is; a fault of the log is told whole."""
    text = "all of it in one loop, " * 20
    failed = [
        trial(n, Status.DISCARD, 1.1, Cause.CASE_REGRESSED, worst_case=f"{'c' * 40}{n}", description=text)
        for n in range(3, 3 + count)
    ]
    found = lines(BASELINE, replace(KEEP, row=replace(KEEP.row, description=text)), *failed, end, faults=(text,))
    typed = [line for line in found if "pytest" in line]
    fault = found[next(at for at, line in enumerate(found) if line.startswith("log  ")) :]
    fault = fault[: next(at for at, line in enumerate(fault) if line.startswith("next "))]
    assert " ".join(line[status_report._KEY :] for line in fault) == text.strip()
    assert len(found) <= status_report.LINES + len(fault)
    assert len(lines(BASELINE, KEEP, *failed, end)) <= status_report.LINES
    assert max(len(line) for line in found if line not in typed) <= status_report.WIDTH
    assert typed
    if count == 20:
        told = [line for line in found if re.search(r"^(failed| {6}) {5}\d+ (?!for other)\w", line)]
        (rest,) = re.findall(r"(\d+) (?:trials|for other causes); --json tells of all", "\n".join(found))
        assert len(told) + int(rest) == len(failed) + 1


def test_a_night_without_records_says_what_is_not_known() -> None:
    unknown = [replace(one, digest=None, fault="the log has no archive") for one in (BASELINE, KEEP, *discards(1))]
    found = lines(*unknown)
    assert "cases      not known: the log has no archive" in found
    assert "failed     1 discarded without a record (3): idea 3" in found
    assert found[-2:] == [
        "next       take another idea, one with a larger effect; read what takes the time",
        "           python -m pytest_lance_autoresearch explain toy",
    ]


def test_a_night_in_which_nothing_was_kept() -> None:
    """So there is nothing to restore."""
    assert lines(trial(1, Status.CRASH, digest={"reason": "crash: it ended; and more", "min_effect": None})) == [
        "toy: 1 trial, 0 keeps, nothing kept yet",
        "to keep    a gain of 1 % or more overall, and no case slower than 5 %",
        "seconds    crash 30 (medians)",
        "failed     1 crash (1): idea 1",
        "             why: it ended; and more",
        "next       mend or drop it: trial 1 is wrong; a slip is worth mending, a wrong",
        "           idea is not",
        "           python -m pytest_lance_autoresearch show targets/toy/results.tsv 1",
    ]


def test_a_case_that_a_discard_had_faster_is_pointed_at() -> None:
    faster = trial(3, Status.DISCARD, 1.004, Cause.WITHIN_NOISE, speedups={"2x3-flat": 1.3})
    found = lines(BASELINE, KEEP, faster)
    assert "             2x3-flat    1.40x  800 ns a call  (+0.0 %)  trial 3: -23.1 %" in found
    assert "near miss  gained, not kept: trial 3 (-0.4 %)" in found


def test_that_others_had_the_core_is_told_with_the_noise() -> None:
    busy = trial(3, Status.DISCARD, 1.0, Cause.WITHIN_NOISE, digest={"waited": 0.83})
    told = "noise      intervals of +-1.00 % (median); others had the core 83 % of the time"
    assert told in lines(BASELINE, busy, busy, busy)
    assert told not in lines(BASELINE, BASELINE, KEEP, busy)
    assert night(trial(1, Status.CRASH, recorded=False)).waited is None


def test_as_many_near_misses_are_told_as_a_line_has_room_for() -> None:
    found = lines(BASELINE, *discards(7, 1.2))
    assert "near miss  gained, not kept: trial 3 (-16.7 %), 4 (-16.7 %), 5 (-16.7 %), ..." in found


STANDINGS = {
    Step.BASELINE: [trial(1, Status.REGRESSED, 0.9, Cause.SLOWER)],
    Step.MAINTAINER: [BASELINE, trial(2, Status.INVALID)],
    Step.MEND: [BASELINE, trial(2, Status.INCORRECT)],
    Step.LONGER: [BASELINE, doubtful(2, 90.0)],
    Step.COMBINE: [BASELINE, *discards(8, 1.005, first=2)],
    Step.ANOTHER_WAY: [BASELINE, *discards(8, first=2)],
    Step.EDIT: [BASELINE, trial(2, Status.DISCARD, None, Cause.IDENTICAL)],
    Step.MEMORY: [BASELINE, trial(2, Status.DISCARD, None, Cause.MEMORY)],
    Step.BUILDING: [BASELINE, trial(2, Status.DISCARD, None, Cause.BUILDING)],
    Step.CASE: [BASELINE, trial(2, Status.DISCARD, 1.1, Cause.CASE_REGRESSED)],
    Step.CPU_TIME: [BASELINE, trial(2, Status.DISCARD, 1.1, Cause.CPU_DISAGREES)],
    Step.IDEA: [BASELINE, *discards(1, first=2)],
    Step.GO_ON: [BASELINE, KEEP],
}
SENTENCES = {
    Step.BASELINE: "record a baseline; nothing was kept yet",
    Step.MAINTAINER: "tell the maintainer: trial 2 came to no verdict",
    Step.MEND: "mend or drop it: trial 2 is wrong; a slip is worth mending, a wrong idea is not",
    Step.LONGER: "measure longer: more time would settle trial 2; once, for trying until it is kept makes chance "
    "decide",
    Step.COMBINE: "combine near misses, such as trials 2, 3, 4, 5, 6 and 7: none was kept alone for 8 trials",
    Step.ANOTHER_WAY: "go another way: nothing was kept for 8 trials; read what takes the time",
    Step.EDIT: "edit the kernel: trial 2 was the baseline's own code",
    Step.MEMORY: "take less memory: look at what the constructor keeps and what a call allocates",
    Step.BUILDING: "build less: look at what the constructor prepares",
    Step.CASE: "spare the case that regressed, 50x1-flat: treat it apart, or drop the idea",
    Step.CPU_TIME: "look at the CPU time: it does not show the gain that the clock shows",
    Step.IDEA: "take another idea, one with a larger effect; read what takes the time",
    Step.GO_ON: "go on from the best kernel; read what takes the time in 50x1-flat",
}


@pytest.mark.parametrize("step", Step)
def test_the_suggestion_of_every_step(step: Step) -> None:
    where = standing.of(night(*STANDINGS[step]))
    sentence, commands = status_report.suggestion("a log.tsv", where)
    assert where.next.step is step
    assert sentence == SENTENCES[step]
    assert sentence.startswith(step)
    assert commands
    for command in commands:
        assert "{" not in command
        words = shlex.split(command)
        assert words[0] == "pytest" or verbs.parser().parse_args(words[3:])


def test_an_archive_that_was_named_is_named_where_its_log_is() -> None:
    where = standing.of(night(*STANDINGS[Step.LONGER]))
    assert status_report.suggestion("a.tsv", where, Path("my night")).commands == (
        "python -m pytest_lance_autoresearch restore a.tsv --trial 2 --root 'my night'",
        "pytest -x --autoresearch=toy --keep-gate --autoresearch-max-seconds=780",
    )


def test_what_is_to_be_typed_to_measure_longer() -> None:
    where = standing.of(night(*STANDINGS[Step.LONGER]))
    assert status_report.suggestion(str(LOG), where).commands == (
        "python -m pytest_lance_autoresearch restore targets/toy/results.tsv --trial 2",
        "pytest -x --autoresearch=toy --keep-gate --autoresearch-max-seconds=780",
    )


def test_the_page_about_the_output_has_what_the_verbs_answer() -> None:
    claimed, now, other = (
        Interval(1.093, 1.105, 1.117),
        Interval(1.094, 1.104, 1.113),
        Interval(0.994, 1.004, 1.013),
    )
    missing = "trial 7: its record .autoresearch/trials/....json is missing"
    found = [
        Replayed("trial 2", claimed, now),
        Replayed("trial 5", claimed, other),
        Replayed("trial 7", claimed, None, missing),
    ]
    judgement = Judgement(Verdict.DISCARD, Cause.TOO_SMALL, Interval(1.0101, 1.0121, 1.0142))
    for line in (
        log_report.verified(14, 13, 0),
        log_report.verified(14, 13, 2),
        log_report.rejudged(3, "pq-l2", "keep", judgement),
        log_report.rejudged_total(1, is_of_all=True),
        log_report.rejudged_total(0, is_of_all=True),
        log_report.rejudged_total(0, is_of_all=False),
        *map(audit_report.replayed, found),
        audit_report.audited(found),
        results.no_trial(Path("targets/pq-l2/results.tsv")),
    ):
        assert f"\n    {line}\n" in OUTPUT


def test_the_page_about_the_output_has_every_step() -> None:
    assert [step for _, step in cells("The next step")] == [*map(str, Step)]


# show


def test_a_trial_with_its_cases_and_its_difference(project: Path, say: Say) -> None:
    first, row = results.read(project / LOG)[:2]
    told = say("show", LOG, 2).out
    assert told == [
        "trial 2 of toy: keep, -4.9 % [-5.0 %, -4.8 %] beside trial 1",
        "tried: an idea",
        "reason: judged",
        f"when: {row.time}, 12 s, 2 looks at 8 pairs of processes, on {row.host}",
        f"kernel: {row.kernel[:12]}",
        "CPU time: -4.9 %",
        "peak RSS: 200.0 -> 200.0 MB",
        "",
        "case        change          interval   a call  blocks  aside",
        "2x3-flat    -4.9 %  -4.9 % to -4.8 %  95.1 ms     128      0",
        "2x3-sorted  -4.9 %  -4.9 % to -4.8 %  95.1 ms     128      0",
        "50x1-flat   -4.9 %  -4.9 % to -4.8 %  95.1 ms     128      0",
        "",
        f"--- trial 1  {first.kernel[:12]}",
        f"+++ trial 2  {row.kernel[:12]}",
        "@@ -11,3 +11,4 @@",
        "         for _ in range(REPEATS):",
        "             result = np.multiply(self.weights, x)",
        "         return result",
        "+ONE = 1",
    ]


@pytest.mark.usefixtures("project")
def test_a_trial_for_a_program(say: Say) -> None:
    told = json.loads("".join(say("show", LOG, 2, "--json").out))
    assert set(told) == documented("`show --json`")
    assert (told["log"], told["row"]["trial"], told["baseline_trial"]) == (str(LOG), 2, 1)
    assert told["record"]["cases"]["2x3-flat"]["blocks"] == 128
    assert told["difference"][-1] == "+ONE = 1"
    assert told["no_difference"] is None


@pytest.mark.usefixtures("project")
def test_a_trial_that_was_wrong_has_no_cases(say: Say) -> None:
    told = say("show", LOG, 3).out
    assert told[:3] == ["trial 3 of toy: incorrect", "tried: a wrong idea", "reason: incorrect: wrong"]
    assert "case" not in [line.split()[0] for line in told if line]


def test_a_row_that_was_taken_out_is_missing(project: Path, say: Say) -> None:
    rows = (project / LOG).read_text().splitlines(keepends=True)
    (project / LOG).write_text("".join(row for row in rows if not row.startswith("3\t")))
    expected = f"ERROR: {LOG}: the row of trial 3 is missing, though others follow it; verify says more"
    assert say("show", LOG, 3).err == [expected]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is imitated by /dev/full")
@pytest.mark.usefixtures("project")
def test_an_answer_that_finds_no_room_is_a_fault_of_the_disk_and_not_of_the_log() -> None:
    command = [sys.executable, "-m", "pytest_lance_autoresearch", "log", str(LOG)]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    assert ended.stderr == "ERROR: the answer could not be written: No space left on device\n"
    assert ended.returncode == 2


@pytest.mark.usefixtures("project")
def test_the_first_kernel_has_no_difference(say: Say) -> None:
    assert say("show", LOG, 1).out[-1] == "no difference to show: it is a baseline itself"


def test_a_kernel_that_is_its_baseline_has_no_difference(project: Path, say: Say) -> None:
    text = (project / LOG).read_text()
    first, second = (row.kernel for row in results.read(project / LOG)[:2])
    (project / LOG).write_text(text.replace(second, first))
    assert say("show", LOG, 2).out[-1] == "no difference to show: the kernel is trial 1's, byte for byte"


def test_a_trial_without_its_record_says_what_the_row_says(project: Path, say: Say) -> None:
    shutil.rmtree(project / ".autoresearch")
    told = say("show", LOG, 4).out
    assert told[0] == "trial 4 of toy: discard, +3.0 % [+2.8 %, +3.3 %] beside trial 2"
    assert told[1] == "tried: an idea"
    assert told[4] == (
        f"cases: not known: {LOG}: no folder above it holds .autoresearch; name the one that does with --root"
    )
    assert re.fullmatch(
        r"no difference to show: trial 2: the kernel with sha256 \w{12} is not in .autoresearch, or was changed "
        r"there, and is not in git.*",
        told[-1],
    )


@pytest.mark.parametrize(
    ("doubt", "sentence"),
    [
        (doubtful(3, 90.0), "open: 50x1-flat, +3.1 % (+0.0 % to +6.4 %); about 90 s more would settle it"),
        (doubtful(3, 0.0), "open: 50x1-flat, +3.1 % (+0.0 % to +6.4 %); only the time was too short"),
        (doubtful(3, None, None), "open: the whole, +3.1 % (+0.0 % to +6.4 %); no measuring would settle it"),
        (
            trial(
                3,
                Status.INCONCLUSIVE,
                1.1,
                Cause.BUDGET,
                digest={"doubt": DoubtDigest("50x1-flat", 0.97, None, None, 20.0)},
            ),
            "open: 50x1-flat, +3.1 % (too few blocks); about 20 s more would settle it",
        ),
    ],
)
def test_what_kept_a_verdict_open_is_told(doubt: Trial, sentence: str) -> None:
    assert sentence in trial_report.sentences(doubt, BASELINE.row)


def test_what_kept_it_open_by_rules_that_are_not_known_is_left_to_its_reason() -> None:
    """Today's would ask for another time to settle it."""
    digest = {"doubt": DoubtDigest(None, 0.97, 0.94, 1.0, 90.0), "min_effect": None}
    foreign = trial(3, Status.INCONCLUSIVE, 1.1, Cause.BUDGET, digest=digest)
    assert not [line for line in trial_report.sentences(foreign, BASELINE.row) if line.startswith("open:")]
    assert "             why: judged" in lines(BASELINE, foreign)


def test_a_case_is_named_with_why_it_is() -> None:
    where = standing.of(night(BASELINE, KEEP, doubtful(3, None)))
    assert status_report.suggestion(str(LOG), where).sentence.endswith(" in 50x1-flat, which was in doubt")


def test_a_long_difference_is_cut_unless_all_of_it_is_asked_for(project: Path, say: Say) -> None:
    write_row(project, [pairs_of_a_look(SLOWER)], toys.KERNEL + "".join(f"N{n} = {n}\n" for n in range(99)))
    lines, whole = say("show", LOG, 5).out, say("show", LOG, 5, "--diff").out
    assert len(whole) > len(lines)
    assert lines[-1] == f"... {len(whole) - len(lines) + 1} more lines; --diff shows all of them"
    assert lines[:-1] == whole[: len(lines) - 1]


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("environment", "is_coloured"),
    [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"TERM": "xterm", "NO_COLOR": "1"}, False)],
)
def test_the_difference_is_coloured_on_a_terminal_alone(
    say: Say, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], *, is_coloured: bool
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain = say("show", LOG, 2).out
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert verbs.main(["show", str(LOG), "2"]) == 0
    lines = terminal.getvalue().splitlines()
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in lines] == plain
    coloured = [line for line in lines if "\x1b" in line]
    assert [line[:5] for line in coloured] == (
        ["\x1b[1m-", "\x1b[1m+", "\x1b[35m", "\x1b[32m"] if is_coloured else []
    )
    assert all(line.endswith("\x1b[0m") for line in coloured)


def test_a_row_that_stands_there_twice_is_shown(project: Path, say: Say) -> None:
    text = (project / LOG).read_bytes()
    (project / LOG).write_bytes(text + text.splitlines(keepends=True)[-1])
    assert say("show", LOG, 4).out[0].startswith("trial 4 of toy: discard, ")
    assert len(say("log", LOG).out) == 9
    assert say("log", LOG).out[-1] == "trial 4: stands where trial 5 should; a row is missing or out of order"


@pytest.mark.usefixtures("project")
def test_a_log_knows_its_trials_in_order() -> None:
    log = telling._log(LOG, None)
    assert [one.row.trial for one in log.trials] == [1, 2, 3, 4]
