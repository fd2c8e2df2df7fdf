"""Records on disk: what is written is what is read, and what earlier versions wrote stays readable."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import CASES, everywhere, evidence, pair, quick, spread
from hypothesis import given
from hypothesis import strategies as st

from pytest_lance_autoresearch.command.verbs import main
from pytest_lance_autoresearch.log import archive, codec, history, results
from pytest_lance_autoresearch.records import (
    Building,
    Calibration,
    CaseTimes,
    Cause,
    Dealt,
    Evidence,
    KernelTimes,
    Pair,
    Recalled,
    RecallRules,
    RegressionRules,
    Rules,
    Status,
    TrialRecord,
    Window,
)

SCHEMA_1 = Path(__file__).parent / "archives" / "schema-1"
"""Five trials that version 0.1.0 judged: baseline, keep, discard, invalid, and one whose time ran out."""


def record(of: Evidence, rules: Rules | None = None) -> TrialRecord:
    return TrialRecord(
        target="demo",
        status=Status.KEEP,
        reason="keep: faster",
        cause=Cause.FASTER,
        candidate="a" * 64,
        baseline="b" * 64,
        baseline_trial=1,
        harness="inputs:1",
        host="here (a processor)",
        versions={"python": "3.11.9"},
        seed=str(2**127),
        rules=Rules() if rules is None else rules,
        evidence=of,
    )


counts = st.none() | st.integers(0, 10**12)
windows = st.builds(Window, st.integers(1, 1024), st.integers(0, 10**12), counts, counts, counts)
times = st.builds(CaseTimes, st.sampled_from(CASES), st.floats(0.1, 1e9), st.floats(0, 1e6), st.tuples(windows))


DEALT = (Dealt(CASES[0], Window(50, 7, 6, 0, 0), Window(50, 9, 8, None, None)),)


@quick
@given(st.lists(st.floats(-1, 1), max_size=4), st.none() | st.tuples(times), st.floats(0, 1e6))
def test_what_is_written_is_what_is_read(ratios: list[float], alone: Any, seconds: float) -> None:
    known = None if alone is None else KernelTimes(alone, 2**28)
    one = replace(pair(everywhere(ratios)), seconds=1.5, building={CASES[0]: Building(1, 2, 3)}, dealt=DEALT)
    one = replace(one, recalled=(Recalled(CASES[0], 0.9, 1.0, 7),))
    measured = Evidence(90, 100, (one,), known, looks=3, seconds=seconds, waited_s=0.25)
    recall = RecallRules(0.01, {CASES[0]: 0.9})
    written = record(measured, Rules(min_effect=0.02, build_ms_per_mb=0.5, recall=recall))
    assert codec.trial_from_json(codec.trial_to_json(written)) == written


@pytest.mark.parametrize("rules", [Rules(), RegressionRules()])
def test_rules_from_before_recall_asked_for_none(rules: Rules) -> None:
    known = json.loads(codec.trial_to_json(record(evidence(pair(everywhere([0.0]))), rules)))
    assert known["rules"].pop("recall", "missing") is None
    assert codec.trial_from_json(json.dumps(known).encode()).rules == rules


def test_a_pair_and_a_calibration_are_stored_in_the_same_way() -> None:
    one = pair(everywhere(spread(0.01)))
    assert codec.from_json(codec.to_json(one, indent=-1), Pair) == one
    assert b"\n" not in codec.to_json(one, indent=-1)
    known = Calibration("demo", "here", "2026-11-22T20:05:01+00:00", 20, 12.4, 0.006, 0.0025, 0.02, 19, 0.0214)
    assert codec.from_json(codec.to_json(known), Calibration) == known


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "Input data was truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"schema": 4}', "Object missing required field `target`"),
        (b"{}", "it is not a trial's record: KeyError: 'overhead_ns'"),
        (b'{"schema": 5}', "schema 5, this version reads schemas 1 to 4"),
        (b'{"schema": 0}', "schema 0, this version reads schemas 1 to 4"),
        (b'{"a": ' + b"[" * 10_000, "it is nested too deeply"),
    ],
)
def test_what_holds_no_record_is_refused_with_a_sentence(text: bytes, sentence: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        codec.trial_from_json(text)
    assert str(raised.value) == sentence


def test_a_number_that_is_a_text_is_refused() -> None:
    raw = json.loads(codec.trial_to_json(record(evidence(pair(everywhere([0.1]))))))
    raw["evidence"]["pairs"][0]["blocks"][0]["windows"][3]["wall_ns"] = "1"
    with pytest.raises(ValueError, match=r"Expected `int`, got `str` - at .*windows.*wall_ns"):
        codec.trial_from_json(json.dumps(raw).encode())


def test_what_was_recorded_under_the_second_schema_was_judged_otherwise() -> None:
    raw = json.loads(codec.trial_to_json(record(evidence())))
    assert codec.trial_from_json(json.dumps(raw | {"schema": 2}).encode()).rules is None


def test_what_was_recorded_under_the_third_schema_was_judged_alike_without_calls_one_by_one() -> None:
    written = record(evidence(pair(everywhere([0.1]))))
    raw = json.loads(codec.trial_to_json(written)) | {"schema": 3}
    del raw["evidence"]["pairs"][0]["dealt"]
    assert codec.trial_from_json(json.dumps(raw).encode()) == written


@pytest.mark.parametrize("rules", [Rules(), RegressionRules(slowdown_limit=0.03)])
@pytest.mark.parametrize(("more", "fewer"), [({"process_sd": 0.003}, set()), ({}, {"pairs"}), ({}, set())])
def test_thresholds_of_another_version_are_not_guessed(
    rules: Rules, more: dict[str, float], fewer: set[str]
) -> None:
    raw = json.loads(codec.trial_to_json(record(evidence(), rules)))
    raw["rules"] = {name: value for name, value in raw["rules"].items() if name not in fewer} | more
    expected = None if more or fewer else rules
    assert codec.trial_from_json(json.dumps(raw).encode()).rules == expected


@pytest.mark.parametrize("rules", [3, "x", ["pairs"], {"pairs": 3}, None])
def test_what_are_no_thresholds_are_none(rules: object) -> None:
    raw = json.loads(codec.trial_to_json(record(evidence())))
    assert codec.trial_from_json(json.dumps(raw | {"rules": rules}).encode()).rules is None


def test_a_threshold_that_is_a_text_is_refused() -> None:
    raw = json.loads(codec.trial_to_json(record(evidence())))
    raw["rules"]["pairs"] = "4"
    with pytest.raises(ValueError, match=r"Expected `int`, got `str` - at .*pairs"):
        codec.trial_from_json(json.dumps(raw).encode())


# What version 0.1.0 left


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A project of before: its log, and its archive."""
    shutil.copytree(SCHEMA_1 / "archive", tmp_path / archive.FOLDER)
    return Path(shutil.copy(SCHEMA_1 / "results.tsv", tmp_path))


JUDGED_OTHERWISE = (
    "3 verdicts were not computed again: they were judged by version 0.1.0, whose thresholds were others"
)


def test_rows_of_before_are_whole_and_their_verdicts_are_not_judged_by_other_thresholds(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of before: what differs between processes was assumed, not measured."""
    assert main(["verify", str(log)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        JUDGED_OTHERWISE,
        "no fault: 5 rows, 0 verdicts computed again from raw windows",
    ]
    assert main(["rejudge", str(log)]) == 0
    assert capsys.readouterr().out.splitlines() == [JUDGED_OTHERWISE, "every other verdict stays"]


def test_a_record_of_before_gives_every_pair_the_one_figure_of_the_runners_cost(log: Path) -> None:
    baseline, keep, discard, invalid, late = (history.record_of(log.parent, row) for row in results.read(log))
    assert [each.call_overhead_ns for each in keep.evidence.pairs] == [dict.fromkeys(CASES, 2e6)] * 2
    assert keep.rules is None
    assert baseline.evidence.alone is not None
    assert [len(of.windows) for of in baseline.evidence.alone.cases] == [2, 2, 2]
    assert (discard.evidence.looks, invalid.status, invalid.evidence.pairs) == (1, Status.INVALID, ())
    assert late.evidence.seconds == Rules().max_seconds


def test_a_log_of_before_is_appended_to(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = log.read_bytes()
    row = results.append(log, results.Row(target="toy", status=Status.REFUSED))
    assert (row.trial, row.previous) == (6, results.read(log)[-2].digest)
    assert log.read_bytes().startswith(before)
    main(["verify", str(log)])
    assert "does not follow" not in capsys.readouterr().out
