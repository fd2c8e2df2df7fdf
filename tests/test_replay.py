"""Rows measured again: what replicates, what cannot be measured, what an audit adds up, and the exit codes."""

from __future__ import annotations

import functools
import math
import re
import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import fake_workers
import psutil
import pytest
import toys
from builders import everywhere, pair, quick
from command_line import CLAIM, FIFTH, FIRST, FOURTH, LOG, SECOND, THIRD, Said, Say, write_row
from fake_replay import LOSS, Measured, auditor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_lance_autoresearch.bench import measure
from pytest_lance_autoresearch.bench.process import KernelProcess
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.command.verbs import main
from pytest_lance_autoresearch.errors import KernelCrashed
from pytest_lance_autoresearch.log import archive, git, history, results
from pytest_lance_autoresearch.machine import environment
from pytest_lance_autoresearch.records import (
    Case,
    Interval,
    Pair,
    Rules,
    Source,
    Status,
)
from pytest_lance_autoresearch.runs import replay as replaying
from pytest_lance_autoresearch.runs.replay import Replayed
from pytest_lance_autoresearch.verdict import judge
from pytest_lance_autoresearch.words import report
from pytest_lance_autoresearch.words.wording import shown

MEASURING = "measuring trial 2 again, in 4 pairs of processes"
CRASHES = toys.kernel("os._exit(3)", "import os")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of a baseline and a keep, with its archive."""
    write_row(tmp_path, FIRST)
    write_row(tmp_path, SECOND, CLAIM)
    return tmp_path / LOG


def stored(root: Path, row: results.Row) -> Path:
    """The row's kernel in the archive."""
    return root / archive.FOLDER / "kernels" / f"{row.kernel}.py"


def contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


# The rule


@pytest.mark.parametrize(
    ("claimed", "now", "replicates"),
    [
        (Interval(1.1, 1.2, 1.3), Interval(1.15, 1.2, 1.25), True),
        (Interval(1.1, 1.2, 1.3), Interval(1.04, 1.08, 1.12), True),  # lower, but the ranges overlap
        (Interval(1.1, 1.2, 1.3), Interval(1.05, 1.08, 1.1), True),  # they touch
        (Interval(1.1, 1.2, 1.3), Interval(1.05, 1.07, 1.09), False),  # a gain, but below what was claimed
        (Interval(1.1, 1.2, 1.3), Interval(1.5, 1.6, 1.7), True),  # more than was claimed
        (Interval(1.01, 1.02, 1.03), Interval(0.99, 1.01, 1.04), False),  # overlaps, but may be no gain
        (Interval(1.01, 1.02, 1.03), Interval(1.0, 1.01, 1.04), False),
        (Interval(1.01, 1.02, 1.03), Interval(1.001, 1.01, 1.04), True),
        (Interval(0.995, 1.0, 1.005), Interval(0.99, 0.998, 1.002), True),  # simpler: equal speed was claimed
        (Interval(0.995, 1.0, 1.005), Interval(0.98, 0.985, 0.99), False),
        (Interval(1.0, 1.003, 1.006), Interval(0.999, 1.002, 1.005), True),
        (Interval(0.5, 0.6, 0.7), Interval(0.55, 0.6, 0.65), True),  # a loss
        (Interval(0.5, 0.6, 0.7), Interval(0.3, 0.4, 0.45), False),
    ],
)
def test_a_claim_replicates_when_it_is_not_below_and_still_a_gain_where_one_was_claimed(
    claimed: Interval, now: Interval, replicates: bool
) -> None:
    assert Replayed("trial 2", claimed, now).replicates is replicates


def test_what_was_not_measured_does_not_replicate() -> None:
    assert not Replayed("trial 2", Interval(0.1, 0.2, 0.3), None, "it crashed").replicates


def interval(point: float, below: float, above: float) -> Interval:
    """An interval whose bounds lie these distances of the logarithm from its point."""
    return Interval(math.exp(point - below), math.exp(point), math.exp(point + above))


widths = st.floats(1e-4, 0.5)
intervals = st.builds(interval, st.floats(-0.7, 1.5), widths, widths)


@quick
@given(intervals)
def test_the_same_numbers_again_replicate(claimed: Interval) -> None:
    assert Replayed("trial 2", claimed, claimed).replicates


@quick
@given(intervals, intervals, st.floats(1, 2))
def test_a_faster_measurement_never_fails_where_a_slower_one_replicates(
    claimed: Interval, now: Interval, factor: float
) -> None:
    faster = Interval(now.low * factor, now.point * factor, now.high * factor)
    slower_holds, faster_holds = (Replayed("", claimed, one).replicates for one in (now, faster))
    assert faster_holds or not slower_holds


# One row


def test_a_gain_that_is_still_there_replicates(path: Path, measured: Measured, say: Say) -> None:
    assert say("replay", path, 2) == Said(
        0,
        ["trial 2: claimed 1.200x [1.100, 1.300], measured 1.250x [1.150, 1.350]: replicates"],
        [f"toy: {MEASURING}"],
    )
    assert measured.asked == [(SECOND, FIRST)]
    assert measured.per_look == {2}


def test_a_gain_that_is_gone_does_not_replicate(path: Path, measured: Measured, say: Say) -> None:
    measured.now = LOSS
    said = say("replay", path, 2)
    assert said.code == 1
    assert said.out == [
        "trial 2: claimed 1.200x [1.100, 1.300], measured 0.900x [0.850, 0.950]: DOES NOT REPLICATE"
    ]


def test_equal_speed_replicates_where_no_gain_was_claimed(path: Path, measured: Measured, say: Say) -> None:
    write_row(path.parent, THIRD, Interval(0.995, 1.001, 1.007))
    measured.now = Interval(0.99, 0.997, 1.004)
    assert say("replay", path, 3).code == 0
    measured.now = Interval(0.98, 0.985, 0.99)
    assert say("replay", path, 3).code == 1


@pytest.mark.parametrize("status", [Status.DISCARD, Status.INCONCLUSIVE])
def test_what_was_not_kept_can_be_measured_again_too(
    path: Path, measured: Measured, say: Say, status: Status
) -> None:
    write_row(path.parent, THIRD, LOSS, status=status)
    measured.now = LOSS
    assert say("replay", path, 3).code == 0
    assert measured.asked == [(THIRD, SECOND)]


def test_a_row_is_measured_against_the_baseline_of_its_own_time(path: Path, measured: Measured) -> None:
    """Whatever was kept since, and whatever kernels.py says now."""
    write_row(path.parent, THIRD, CLAIM)
    write_row(path.parent, FOURTH, CLAIM)
    toys.write(path.parent, text="x = (")
    auditor(path).replay(3)
    assert measured.asked == [(THIRD, SECOND)]


def test_a_row_of_before_a_new_baseline_can_be_measured_again(path: Path, measured: Measured) -> None:
    write_row(path.parent, THIRD, rebaseline=True)
    auditor(path).replay(2)
    assert measured.asked == [(SECOND, FIRST)]


@pytest.mark.parametrize(("asked", "said"), [(2, 2), (5, 6), (6, 6)])
def test_as_many_pairs_as_were_asked_for_are_measured_over_two_looks(
    path: Path, measured: Measured, say: Say, asked: int, said: int
) -> None:
    """Half of them at published sizes, half at hidden ones: one more than an odd number."""
    measuring = f"toy: measuring trial 2 again, in {said} pairs of processes"
    assert say("replay", path, 2, "--pairs", asked).err == [measuring]
    assert say("audit", path, "--again", "--pairs", asked).err[1:] == [measuring]
    assert measured.per_look == {said // 2}


@pytest.mark.usefixtures("measured")
def test_the_archive_may_lie_elsewhere(path: Path, tmp_path: Path, say: Say) -> None:
    lonely = path.rename(tmp_path.parent / f"{tmp_path.name}.tsv")
    assert say("replay", lonely, 2).err == [
        f"ERROR: {lonely}: no folder above it holds .autoresearch; name the one that does with --root"
    ]
    assert say("replay", lonely, 2, "--root", tmp_path).code == 0
    assert say("audit", lonely, "--root", tmp_path).code == 0


@pytest.mark.usefixtures("measured")
def test_a_log_far_from_its_targets_is_audited_from_where_they_are(
    tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its archive lies beside it then."""
    write_row(tmp_path, FIRST)
    write_row(tmp_path, SECOND, CLAIM)
    far = tmp_path / "far"
    far.mkdir()
    for name in (LOG, archive.FOLDER):
        (tmp_path / name).rename(far / name)
    monkeypatch.chdir(tmp_path)
    assert say("audit", far / LOG).code == 0
    assert say("replay", far / LOG, 2).code == 0


# What there is nothing to replay of


def refused(said: Said, sentence: str, measured: Measured) -> bool:
    """Whether it ended with exit code 2 and one sentence, or an audit with a fault; and nothing was measured."""
    if said.code == 1:
        return said.out[0].endswith(f"; could not be measured again: {sentence}") and not measured.asked
    return said == Said(2, [], [f"ERROR: {sentence}"]) and not measured.asked


@pytest.mark.parametrize("number", [0, 3, 99])
def test_a_trial_that_is_not_there(path: Path, measured: Measured, say: Say, number: int) -> None:
    said = say("replay", path, number)
    assert refused(said, f"{shown(path)}: there is no trial {number}; the log has trials 1 to 2", measured)


@pytest.mark.parametrize(
    "status", [Status.INCORRECT, Status.CRASH, Status.TIMEOUT, Status.INVALID, Status.DISCARD]
)
def test_a_row_without_a_measurement(path: Path, measured: Measured, say: Say, status: Status) -> None:
    """A discard has none when its code is the baseline's."""
    text = SECOND if status is Status.DISCARD else THIRD
    write_row(path.parent, text, status=status)
    sentence = f"trial 3 ended as '{status}' without a measurement; there is nothing to replay"
    assert refused(say("replay", path, 3), sentence, measured)


@pytest.mark.parametrize("status", [Status.PASS, Status.REGRESSED])
def test_a_verdict_of_the_regression_gate_is_a_claim(
    path: Path, measured: Measured, say: Say, status: Status
) -> None:
    write_row(path.parent, THIRD, LOSS, status=status)
    measured.now = LOSS
    assert say("replay", path, 3).code == 0
    assert measured.asked == [(THIRD, SECOND)]


def test_a_baseline_claims_nothing(path: Path, measured: Measured, say: Say) -> None:
    sentence = "trial 1 is a baseline and was compared with nothing; there is nothing to replay"
    assert refused(say("replay", path, 1), sentence, measured)


@pytest.mark.parametrize("verb", ["replay", "audit"])
@pytest.mark.parametrize("side", [1, 2])
@pytest.mark.parametrize("edited", [False, True])
def test_a_kernel_that_the_archive_lost(
    path: Path, measured: Measured, say: Say, verb: str, side: int, edited: bool
) -> None:
    """An edited file is not the kernel that was measured: it is as good as missing, on either side."""
    row = results.read(path)[side - 1]
    file = stored(path.parent, row)
    if edited:
        file.write_text(f"{file.read_text()}# faster!\n")
    else:
        file.unlink()
    said = say(verb, path, *([2] if verb == "replay" else []))
    kernel = f"the kernel with sha256 {row.kernel[:12]}"
    lacks = f"is not in {archive.place(path.parent)}, or was changed there"
    sentence = f"trial 2: {kernel} {lacks}, and is not in git"
    assert refused(said, sentence, measured)


def test_a_record_that_was_changed_or_lost(path: Path, measured: Measured, say: Say) -> None:
    """It says which kernel was the baseline."""
    record = archive.trial_path(path.parent, "toy", results.read(path)[1].record)
    record.write_bytes(record.read_bytes() + b"\n")
    sentence = f"trial 2: its record {shown(record)} was changed; its sha256 is not the row's"
    assert refused(say("replay", path, 2), sentence, measured)
    record.unlink()
    sentence = f"trial 2: its record {shown(record)} is missing"
    assert refused(say("replay", path, 2), sentence, measured)


@pytest.mark.parametrize("verb", ["replay", "audit"])
def test_a_target_that_is_gone(
    path: Path, measured: Measured, say: Say, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(path.parent / "targets/toy")
    toys.write(path.parent, "other")
    said = say(verb, path, *([2] if verb == "replay" else []))
    places = f"{shown(path.parent / 'targets/*')} or targets/*"
    hint = "say where it is with --targets"
    assert refused(said, f"there is no target 'toy' in {places}; {hint}", measured)
    monkeypatch.chdir(path.parent)
    said = say(verb, path, *([2] if verb == "replay" else []))
    assert refused(said, f"there is no target 'toy' in targets/*; {hint}", measured)


def test_a_target_with_a_fault(path: Path, measured: Measured, say: Say) -> None:
    (path.parent / "targets/toy/helper.py").touch()
    said = say("replay", path, 2)
    assert said.code == 2
    assert said.err[0].startswith("ERROR: target 'toy': unexpected helper.py; ")
    assert not measured.asked


@pytest.mark.parametrize("stem", ["inputs", "reference", "target"])
@pytest.mark.parametrize(
    ("commit", "named"),
    [("0123456789ab", "0123456789ab"), ("0123456789ab+", "0123456789ab"), ("", "none was noted")],
)
def test_a_target_that_was_changed_since_the_row(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    measured: Measured,
    say: Say,
    stem: str,
    commit: str,
    named: str,
) -> None:
    monkeypatch.setattr(git, "commit", lambda *_: commit)
    write_row(tmp_path, FIRST)
    write_row(tmp_path, SECOND, CLAIM)
    changed = tmp_path / f"targets/toy/{stem}.py"
    changed.write_text(f"{changed.read_text()}# another one\n")
    sentence = (
        f"target 'toy': its files changed since trial 2; check out the commit of that row ({named}) "
        f"and run this again"
    )
    assert refused(say("replay", tmp_path / LOG, 2), sentence, measured)
    assert refused(say("audit", tmp_path / LOG), sentence, measured)


def test_a_log_that_cannot_be_read(tmp_path: Path, measured: Measured, say: Say) -> None:
    lonely = tmp_path / "none.tsv"
    assert refused(say("replay", lonely, 1), f"{lonely}: there is no such log", measured)
    assert refused(say("audit", lonely), f"{lonely}: there is no such log", measured)
    lonely.write_text("trial,speedup\n")
    assert say("audit", lonely, "--root", tmp_path).code == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["replay", "2", "--pairs", "1"],
            "--pairs: 1: expected 2 or more; one pair of processes is not enough",
        ),
        (
            ["audit", "--pairs", "1"],
            "--pairs: 1: expected 2 or more; one pair of processes is not enough",
        ),
        (
            ["audit", "--pairs", "-3"],
            "--pairs: -3: expected 2 or more; one pair of processes is not enough",
        ),
        (["audit", "--pairs", "many"], "--pairs: "),
        (["replay"], "the following arguments are required: N"),
        (["replay", "second"], "argument N: 'second' is no trial's number; expected one such as 7"),
        (["audit", "2"], "'2' is one argument too many; expected no more than the usage above names"),
    ],
)
def test_a_wrong_command_measures_nothing(
    path: Path, measured: Measured, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    verb, *rest = arguments
    with pytest.raises(SystemExit) as ended:
        main([verb, str(path), *rest])
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err
    assert not measured.asked


@pytest.mark.parametrize("claim", [Interval(0.0, 0.0, 0.0), Interval(1.3, 1.2, 1.1), Interval(0.0, 1.2, 1.3)])
def test_a_claim_that_no_measurement_could_give(path: Path, measured: Measured, say: Say, claim: Interval) -> None:
    write_row(path.parent, THIRD, claim)
    sentence = "trial 3: its speed-up does not lie in its interval; the row was changed"
    assert refused(say("replay", path, 3), sentence, measured)


# Audit


def test_one_keep_is_measured_alone(path: Path, measured: Measured, say: Say) -> None:
    assert say("audit", path) == Said(
        0,
        [
            "trial 2: claimed 1.200x [1.100, 1.300], measured 1.250x [1.150, 1.350]: replicates",
            "all replicate: 1 claim measured again",
        ],
        [
            "1 claim to measure, in 4 pairs of processes each: no trial says how long that takes",
            f"toy: {MEASURING}",
        ],
    )
    assert measured.asked == [(SECOND, FIRST)]


def test_several_keeps_are_measured_all_together_and_then_from_the_newest_to_the_oldest(
    tmp_path: Path, measured: Measured, say: Say
) -> None:
    """The product of the claims; half widths of 3 % and 4 % make one of 5 %."""
    write_row(tmp_path, FIRST)
    write_row(tmp_path, SECOND, interval(math.log(1.2), 0.03, 0.03))
    write_row(tmp_path, THIRD, interval(math.log(1.5), 0.04, 0.04))
    measured.of[THIRD, SECOND] = Interval(1.4, 1.5, 1.6)
    measured.of[THIRD, FIRST] = Interval(1.75, 1.8, 1.85)
    said = say("audit", tmp_path / LOG)
    assert said.code == 0
    assert said.out == [
        "toy, trial 3 against trial 1: claimed 1.800x [1.712, 1.892], measured 1.800x [1.750, 1.850]: replicates",
        "trial 3: claimed 1.500x [1.441, 1.561], measured 1.500x [1.400, 1.600]: replicates",
        "trial 2: claimed 1.200x [1.165, 1.237], measured 1.250x [1.150, 1.350]: replicates",
        "all replicate: 3 claims measured again",
    ]
    assert said.err[1] == "toy: measuring trial 3 against trial 1 again, in 4 pairs of processes"
    assert measured.asked == [(THIRD, FIRST), (THIRD, SECOND), (SECOND, FIRST)]


@pytest.mark.usefixtures("measured")
@settings(quick, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(claims=st.lists(intervals, min_size=1, max_size=4))
def test_claims_multiply_and_their_half_widths_add_in_quadrature(
    chain: tuple[Path, Sequence[results.Row]], claims: list[Interval]
) -> None:
    root, rows = chain
    keeps = [
        replace(row, speedup=claim.point, ci_low=claim.low, ci_high=claim.high)
        for row, claim in zip(rows[1:], claims, strict=False)
    ]
    found = [one.claim.claimed for one in auditor(root / LOG, 2, [rows[0], *keeps]).plan()]
    *total, _ = found[: len(found) - len(claims) + 1]
    assert found[len(total) :] == claims[::-1]
    if len(claims) == 1:
        assert not total
        return
    point = math.prod(claim.point for claim in claims)
    factor = math.exp(math.hypot(*(math.log(claim.high / claim.low) / 2 for claim in claims)))
    (together,) = total
    assert (together.low, together.point, together.high) == pytest.approx((point / factor, point, point * factor))


@pytest.fixture
def chain(tmp_path: Path) -> tuple[Path, Sequence[results.Row]]:
    """A baseline and four keeps."""
    write_row(tmp_path, FIRST)
    for text in (SECOND, THIRD, FOURTH, FIFTH):
        write_row(tmp_path, text, CLAIM)
    return tmp_path, results.read(tmp_path / LOG)


def test_all_together_may_be_less_than_each_alone(path: Path, measured: Measured, say: Say) -> None:
    write_row(path.parent, THIRD, CLAIM)
    measured.of[THIRD, FIRST] = Interval(1.1, 1.15, 1.2)
    said = say("audit", path)
    assert said.code == 1
    assert [line.rsplit(": ", 1)[1] for line in said.out[:3]] == ["DOES NOT REPLICATE", "replicates", "replicates"]
    assert said.out[3] == "1 does not replicate: 3 claims measured again"
    measured.now = LOSS
    assert say("audit", path, "--again").out[3] == "3 do not replicate: 3 claims measured again"


def test_only_keeps_since_the_newest_baseline_count(path: Path, measured: Measured, say: Say) -> None:
    write_row(path.parent, THIRD, rebaseline=True)
    write_row(path.parent, FOURTH, CLAIM)
    said = say("audit", path)
    assert said.code == 0
    assert said.out[-1] == "all replicate: 1 claim measured again"
    assert measured.asked == [(FOURTH, THIRD)]
    write_row(path.parent, FIFTH, CLAIM)
    measured.asked.clear()
    assert say("audit", path).out[0].startswith("toy, trial 5 against trial 3: claimed 1.440x [")
    assert measured.asked == [(FIFTH, THIRD), (FIFTH, FOURTH)]


def test_what_was_not_kept_is_not_audited(path: Path, measured: Measured, say: Say) -> None:
    write_row(path.parent, THIRD, LOSS, status=Status.DISCARD)
    write_row(path.parent, FOURTH, CLAIM, status=Status.INCONCLUSIVE)
    write_row(path.parent, FIFTH, status=Status.CRASH)
    assert say("audit", path).code == 0
    assert measured.asked == [(SECOND, FIRST)]


def test_every_target_of_a_log_is_audited_by_itself(tmp_path: Path, measured: Measured, say: Say) -> None:
    """By name, whatever the order of the rows; only its own keeps multiply."""
    write_row(tmp_path, FIRST)
    write_row(tmp_path, SECOND, name="other")
    write_row(tmp_path, SECOND, CLAIM)
    write_row(tmp_path, THIRD, CLAIM, name="other")
    write_row(tmp_path, FOURTH, CLAIM)
    said = say("audit", tmp_path / LOG)
    assert [line.split(":")[0] for line in said.out] == [
        "trial 4",
        "toy, trial 5 against trial 1",
        "trial 5",
        "trial 3",
        "all replicate",
    ]
    assert measured.asked == [(THIRD, SECOND), (FOURTH, FIRST), (FOURTH, SECOND), (SECOND, FIRST)]


def test_an_audit_without_its_target_says_so_once_and_measures_nothing(
    path: Path, measured: Measured, say: Say
) -> None:
    write_row(path.parent, THIRD, CLAIM)
    places = f"{shown(path.parent / 'gone/*')} or gone/*"
    sentence = f"ERROR: there is no target 'toy' in {places}; say where it is with --targets"
    assert say("audit", path, "--targets", "gone/*") == Said(2, [], [sentence])
    assert not measured.asked


def test_one_target_of_several_that_is_missing_ends_no_audit(tmp_path: Path, measured: Measured, say: Say) -> None:
    """Its claims cannot be measured, and no time is foreseen for them."""
    for name in ("toy", "other"):
        write_row(tmp_path, FIRST, name=name)
        write_row(tmp_path, SECOND, CLAIM, name=name)
    shutil.rmtree(tmp_path / "targets/other")
    said = say("audit", tmp_path / LOG)
    assert (said.code, said.err[0].split(",")[0]) == (1, "1 claim to measure")
    assert "could not be measured again: there is no target 'other' in " in said.out[0]
    assert said.out[2] == "all that were measured replicate: 1 claim measured again, 1 could not be"
    assert measured.asked == [(SECOND, FIRST)]


NOTHING_KEPT = "nothing was kept since the baseline; there is nothing to measure again"


def test_a_log_without_a_keep_claims_nothing(tmp_path: Path, measured: Measured, say: Say) -> None:
    write_row(tmp_path, FIRST)
    assert say("audit", tmp_path / LOG) == Said(0, [NOTHING_KEPT], [])
    write_row(tmp_path, SECOND, CLAIM)
    write_row(tmp_path, THIRD, rebaseline=True)
    assert say("audit", tmp_path / LOG) == Said(0, [NOTHING_KEPT], [])
    assert not measured.asked


@pytest.mark.usefixtures("measured")
def test_a_log_of_failures_only_claims_nothing(tmp_path: Path, say: Say) -> None:
    """A first kernel that is wrong is no baseline."""
    results.append(tmp_path / LOG, results.Row(target="toy", status=Status.INCORRECT))
    assert say("audit", tmp_path / LOG, "--root", tmp_path) == Said(0, [NOTHING_KEPT], [])


def test_keeps_whose_baseline_s_row_is_missing_cannot_be_measured(
    path: Path, measured: Measured, say: Say
) -> None:
    title, columns, _, keep = path.read_text().splitlines(keepends=True)
    path.write_text("".join([title, columns, keep]))
    assert say("audit", path) == Said(
        1,
        [
            "trial 2: claimed 1.200x [1.100, 1.300]; could not be measured again: the row of its baseline is "
            "missing",
            "nothing could be measured: 0 claims measured again, 1 could not be",
        ],
        [],
    )
    assert not measured.asked


def test_a_fault_of_the_log_ends_no_audit(path: Path, measured: Measured, say: Say) -> None:
    stored(path.parent, write_row(path.parent, THIRD, CLAIM)).unlink()
    said = say("audit", path)
    assert said.code == 1
    assert "could not be measured again: trial 3: the kernel with sha256 " in said.out[0]
    assert "could not be measured again: trial 3: the kernel with sha256 " in said.out[1]
    assert said.out[2] == "trial 2: claimed 1.200x [1.100, 1.300], measured 1.250x [1.150, 1.350]: replicates"
    assert said.out[-1] == "all that were measured replicate: 1 claim measured again, 2 could not be"
    assert measured.asked == [(SECOND, FIRST)]


@pytest.mark.usefixtures("measured")
def test_targets_that_lie_elsewhere_are_named(tmp_path: Path, say: Say) -> None:
    write_row(tmp_path, FIRST)
    write_row(tmp_path, SECOND, CLAIM)
    (tmp_path / "targets").rename(tmp_path / "kernels")
    assert say("replay", tmp_path / LOG, 2).code == 2
    assert say("replay", tmp_path / LOG, 2, "--targets", "kernels/*").code == 0


# Kernels that fail now


def test_a_kernel_that_fails_now_is_a_fault_and_the_others_are_measured(
    path: Path, measured: Measured, say: Say
) -> None:
    write_row(path.parent, THIRD, CLAIM)
    measured.of[SECOND, FIRST] = KernelCrashed("64x32-uniform: its process ended\nits last output:\nbye")
    measured.of[THIRD, FIRST] = Interval(1.3, 1.4, 1.5)
    said = say("audit", path)
    assert said.code == 1
    assert said.out[2] == (
        "trial 2: claimed 1.200x [1.100, 1.300]; could not be measured again: 64x32-uniform: its process ended"
    )
    assert [line.rsplit(": ", 1)[1] for line in said.out[:2]] == ["replicates", "replicates"]
    assert said.out[3] == "all that were measured replicate: 2 claims measured again, 1 could not be"
    measured.of[THIRD, FIRST] = LOSS
    assert say("audit", path, "--again").out[3] == "1 does not replicate: 2 claims measured again, 1 could not be"


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels really run, but few and short windows do: no test looks at what they say."""
    monkeypatch.setattr(measure, "WINDOW_NS", 100_000)
    monkeypatch.setattr(replaying, "Rules", functools.partial(Rules, blocks=1))
    monkeypatch.setattr(replaying, "ANSWER_TIMEOUT_S", 1.0)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Every process that is started: its kernel and its id."""
    found: list[tuple[str, int]] = []
    spawn = Processes.spawn

    def noted(self: Processes, source: Source, **options: Any) -> KernelProcess:
        process = spawn(self, source, **options)
        found.append((source.text.decode(), process.pid))
        return process

    monkeypatch.setattr(Processes, "spawn", noted)
    return found


def alive(started: Sequence[tuple[str, int]]) -> list[bool]:
    return [psutil.pid_exists(pid) for _, pid in started]


FAILING = [
    (toys.kernel("return result + 1"), r"64x32-uniform, warm-up call: result: .* values differ .*"),
    (CRASHES, r"64x32-uniform: the kernel's process ended \(exit code 3\) instead of answering"),
    (
        toys.kernel("return 1 / 0"),
        r"64x32-uniform: the kernel raised ZeroDivisionError: division by zero, at \S+/kernels\.py:14",
    ),
    (toys.kernel("while True: pass"), "64x32-uniform: the kernel did not answer within 1 s and was ended"),
    (
        "x = (",
        r"kernels\.py, while it was loaded: the kernel raised SyntaxError: '\(' was never closed, "
        r"at \S+/kernels\.py:1",
    ),
]


@pytest.mark.usefixtures("brief", "any_source")
@pytest.mark.parametrize(("text", "sentence"), FAILING, ids=["wrong", "crash", "raise", "hang", "syntax"])
def test_a_kernel_that_fails_now_could_not_be_measured_again(
    path: Path, started: list[tuple[str, int]], say: Say, text: str, sentence: str
) -> None:
    write_row(path.parent, text, CLAIM)
    said = say("replay", path, 3)
    assert said.code == 1
    claimed = "trial 3: claimed 1.200x [1.100, 1.300]; could not be measured again: "
    assert re.fullmatch(re.escape(claimed) + sentence, said.out[0])
    assert not any(alive(started))


@pytest.mark.usefixtures("brief")
def test_a_baseline_that_fails_now_is_said_to_be_the_one(
    tmp_path: Path, started: list[tuple[str, int]], say: Say
) -> None:
    write_row(tmp_path, CRASHES)
    write_row(tmp_path, SECOND, CLAIM)
    said = say("audit", tmp_path / LOG)
    assert said.code == 1
    assert said.out == [
        "trial 2: claimed 1.200x [1.100, 1.300]; could not be measured again: the baseline kernel failed: "
        "64x32-uniform: the kernel's process ended (exit code 3) instead of answering",
        "nothing could be measured: 0 claims measured again, 1 could not be",
    ]
    assert sorted(text for text, _ in started) == sorted([SECOND, CRASHES])
    assert not any(alive(started))


HIDDEN_SIZE = """
def make_hidden_state(shape, distribution, rng):
    return State(rng.random(shape.rows * shape.width + 8))
"""


@pytest.mark.usefixtures("brief")
def test_a_kernel_that_knows_the_published_sizes_only_is_found_out(
    tmp_path: Path, started: list[tuple[str, int]], say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toys, "INPUTS", toys.INPUTS + HIDDEN_SIZE)
    knowing = toys.kernel("return result if result.size in (2048, 4096, 3999) else result + 1")
    write_row(tmp_path, FIRST)
    write_row(tmp_path, knowing, CLAIM)
    said = say("replay", tmp_path / LOG, 2, "--pairs", 2)
    assert said.code == 1
    assert "could not be measured again: 64x32-uniform, warm-up call: result: 2056 of 2056" in said.out[0]
    compiling, published, hidden = [[knowing, FIRST]] * 3
    assert sorted(text for text, _ in started) == sorted([*compiling, *published, "", *hidden])
    assert not any(alive(started))


# Pairs of processes


@dataclass
class Prepared:
    """Stands for the comparison: pairs of processes whose every block shows the same log-ratio."""

    log_ratios: Sequence[float]
    order: list[str] = field(default_factory=list)
    seeds: set[int] = field(default_factory=set)

    cases: Sequence[Case] = ()
    rules: Rules | None = None

    def __call__(
        self, _target: object, _baseline: object, cases: Sequence[Case], rules: Rules, *_: object
    ) -> Prepared:
        self.cases, self.rules = cases, rules
        return self

    def measure_all(self, state_of: Callable[[Case], object], seed: int) -> None:
        assert all(state_of(case) is not None for case in self.cases)
        self.order.append("published")
        self.seeds.add(seed)

    def measure_again(self, seed: int) -> None:
        self.order.append("hidden")
        self.seeds.add(seed)

    def pairs(self) -> list[Pair]:
        return [pair(everywhere([ratio] * 4)) for ratio in self.log_ratios]


@pytest.mark.parametrize("log_ratios", [[0.05] * 4, [0.04, 0.06], [0.03, 0.05, 0.06, 0.06]])
def test_the_interval_is_that_of_all_pairs_with_a_confidence_of_95_percent(
    path: Path, monkeypatch: pytest.MonkeyPatch, log_ratios: list[float]
) -> None:
    prepared = Prepared(log_ratios)
    monkeypatch.setattr(replaying, "Comparison", prepared)
    now = auditor(path, len(log_ratios)).replay(2).measured
    assert now is not None
    reach = {2: 12.706205, 4: 3.182446}[len(log_ratios)]
    half = reach * statistics.stdev(log_ratios) / math.sqrt(len(log_ratios))
    assert [math.log(value) for value in (now.low, now.point, now.high)] == pytest.approx(
        [0.05 - half, 0.05, 0.05 + half], abs=1e-6
    )
    assert prepared.rules == judge.at_any_price(Rules(pairs=len(log_ratios) // 2))


def test_published_sizes_come_first_and_each_measuring_has_a_seed_of_its_own(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = Prepared([0.05] * 4)
    monkeypatch.setattr(replaying, "Comparison", prepared)
    for _ in range(2):
        auditor(path).replay(2)
    assert prepared.order == ["published", "hidden"] * 2
    assert [case.id for case in prepared.cases] == list(toys.TIMED)
    assert len(prepared.seeds) == 2


@pytest.mark.usefixtures("brief")
def test_as_many_pairs_of_processes_are_measured_as_were_asked_for(
    path: Path, started: list[tuple[str, int]], say: Say
) -> None:
    before = path.read_bytes()
    said = say("replay", path, 2, "--pairs", 2)
    measured = r"trial 2: claimed 1\.200x \[1\.100, 1\.300\], measured \d.*: (replicates|DOES NOT REPLICATE)"
    assert re.fullmatch(measured, said.out[0])
    assert path.read_bytes() == before
    compiling, published, hidden = [[SECOND, FIRST]] * 3
    assert sorted(text for text, _ in started) == sorted([*compiling, *published, "", *hidden])
    assert not any(alive(started))


@pytest.mark.parametrize("dear", ["peak_bytes", "build_ns"])
def test_a_kernel_that_costs_more_than_a_keep_may_is_measured_all_the_same(
    path: Path, machine: fake_workers.Machine, dear: str
) -> None:
    """As one that was kept before there were such limits, or before the target's were stricter."""
    machine.call_ns |= {FIRST: 400_000, SECOND: 200_000}
    getattr(machine, dear).update({FIRST: 10**7, SECOND: 10**10})
    now = auditor(path, 4).replay(2).measured
    assert now is not None
    assert now.point == pytest.approx(2.0)


# What stays as it was


def test_measuring_again_adds_what_was_measured_and_changes_nothing(
    path: Path, measured: Measured, say: Say
) -> None:
    """Neither log nor kernels nor records nor targets, whatever comes of it."""
    write_row(path.parent, THIRD, CLAIM)
    measured.of[THIRD, SECOND] = KernelCrashed("64x32-uniform: its process ended")
    before = contents(path.parent)
    assert say("replay", path, 2).code == 0
    assert say("replay", path, 3).code == 1
    assert say("replay", path, 4).code == 2
    assert say("audit", path).code == 1
    after = contents(path.parent)
    added = {file.relative_to(path.parent).parent for file in after.keys() - before.keys()}
    assert added == {Path(archive.FOLDER, "audits")}
    assert {file: after[file] for file in before} == before


# Rows of another version


def test_the_rules_of_a_record_are_those_it_was_judged_by(tmp_path: Path) -> None:
    rules = Rules(min_effect=0.02, confidence=0.9, blocks=24)
    row = write_row(tmp_path, FIRST, rules=rules)
    assert history.record_of(tmp_path, row).rules == rules


@pytest.mark.parametrize(
    ("versions", "named"),
    [({"pytest-lance-autoresearch": "0.0.9", "python": "3.11.0"}, "0.0.9"), ({"python": "3.11.0"}, "unknown")],
)
def test_the_thresholds_of_another_version_are_not_guessed_but_its_rows_can_be_measured_again(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    measured: Measured,
    say: Say,
    versions: dict[str, str],
    named: str,
) -> None:
    monkeypatch.setattr(environment, "versions", lambda: versions)
    row = write_row(path.parent, THIRD, CLAIM, rules=None)
    record = history.record_of(path.parent, row)
    assert (record.rules, record.judged_by) == (None, named)
    assert say("replay", path, 3).code == 0
    assert measured.asked == [(THIRD, SECOND)]


def test_a_log_of_another_version_is_not_judged_again_and_that_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Say
) -> None:
    monkeypatch.setattr(environment, "versions", lambda: {"pytest-lance-autoresearch": "0.0.9"})
    write_row(tmp_path, FIRST)
    write_row(tmp_path, SECOND, CLAIM, rules=None)
    rejudged, verified = say("rejudge", tmp_path / LOG), say("verify", tmp_path / LOG)
    assert (rejudged.code, verified.code) == (0, 0)
    sentence = "1 verdict was not computed again: it was judged by version 0.0.9, whose thresholds were others"
    assert rejudged.out == [sentence, "every other verdict stays"]
    assert verified.out == [sentence, "no fault: 2 rows, 0 verdicts computed again from raw windows"]


def test_verdicts_of_several_versions_are_told_in_one_line() -> None:
    assert report.of_other_versions([]) == []
    assert report.of_other_versions(["0.0.8", "0.0.9", "0.0.8"]) == [
        "3 verdicts were not computed again: they were judged by versions 0.0.8 and 0.0.9, whose thresholds were "
        "others"
    ]


# Real kernels


@pytest.fixture
def hundredfold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Interval], Path]:
    """A log whose keep does a hundredth of its baseline's work, with a claim about it."""
    monkeypatch.setattr(measure, "WINDOW_NS", 500_000)  # the baseline's windows are a hundred times as long
    monkeypatch.setattr(replaying, "Rules", functools.partial(Rules, blocks=2))

    def written(claim: Interval) -> Path:
        write_row(tmp_path, toys.KERNEL.replace("REPEATS = 40", "REPEATS = 400"))
        write_row(tmp_path, toys.KERNEL.replace("REPEATS = 40", "REPEATS = 4"), claim)
        return tmp_path / LOG

    return written


@pytest.mark.slow
def test_a_real_gain_replicates(hundredfold: Callable[[Interval], Path], say: Say) -> None:
    path = hundredfold(Interval(1.9, 2.0, 2.1))
    before = path.read_bytes()
    said = say("replay", path, 2, "--pairs", 4)
    assert said.out[0].endswith(": replicates"), said.out
    assert said.code == 0
    assert path.read_bytes() == before


@pytest.mark.slow
def test_a_claim_that_was_written_far_too_high_does_not_replicate(
    hundredfold: Callable[[Interval], Path], say: Say
) -> None:
    path = hundredfold(Interval(990.0, 1000.0, 1010.0))
    said = say("audit", path, "--pairs", 2)
    assert said.code == 1
    assert said.out[0].startswith("trial 2: claimed 1000.000x [990.000, 1010.000], measured "), said.out
    assert said.out[0].endswith(": DOES NOT REPLICATE")
    assert said.out[1] == "1 does not replicate: 1 claim measured again"
