"""A night is read from a log and its archive: what each trial came to, and where it stands by what is claimed."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import toys
from builders import everywhere, evidence, pairs_of_a_look, spread
from logged_trials import write_failure, write_row

from pytest_lance_autoresearch.log import archive, codec, digests, history, night, results
from pytest_lance_autoresearch.log.night import Night
from pytest_lance_autoresearch.records import Cause, Evidence, Interval, Rules, Status, TrialRecord
from pytest_lance_autoresearch.verdict import judge, stats
from pytest_lance_autoresearch.words.wording import shown

FASTER, FASTER_STILL, SLOWER = everywhere(spread(0.05)), everywhere(spread(0.08)), everywhere(spread(-0.03))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a log: baseline, keep, discard, incorrect, keep."""
    root, text = tmp_path_factory.mktemp("night"), toys.KERNEL
    write_row(root, [], text)
    write_row(root, [pairs_of_a_look(FASTER)] * 2, text + "ONE = 1\n")
    write_row(root, [pairs_of_a_look(SLOWER)], text + "TWO = 2\n")
    write_failure(root, text + "THREE = 3\n")
    write_row(root, [pairs_of_a_look(FASTER_STILL)] * 2, text + "FOUR = 4\n")
    return root


@pytest.fixture
def root(recorded: Path, tmp_path: Path) -> Path:
    shutil.copytree(recorded, tmp_path, dirs_exist_ok=True)
    return tmp_path


def log_of(root: Path) -> Path:
    return root / "targets/toy/results.tsv"


def read(root: Path) -> Night:
    (found,) = night.nights(results.read(log_of(root)), root)
    return found


def test_the_best_kernel_is_the_product_of_the_keeps(root: Path) -> None:
    found = read(root)
    statuses = [trial.row.status for trial in found.trials]
    assert statuses == [Status.BASELINE, Status.KEEP, Status.DISCARD, Status.INCORRECT, Status.KEEP]
    first, second = (trial.row.speedup for trial in found.keeps)
    assert first is not None
    assert second is not None
    best = [trial.best for trial in found.trials]
    assert best == pytest.approx([1.0, first, first, first, first * second])
    assert found.claimed is not None
    assert found.claimed.point == pytest.approx(first * second)
    assert found.claimed.low < found.claimed.point < found.claimed.high


def test_a_trial_stands_where_it_would_have_led_from_the_best_of_its_time(root: Path) -> None:
    kept, discarded, wrong = read(root).trials[1:4]
    assert kept.reached is not None
    assert discarded.reached is not None
    assert discarded.row.speedup is not None
    assert discarded.reached.point == pytest.approx(kept.reached.point * discarded.row.speedup)
    assert wrong.reached is None


def test_what_a_case_gained_is_the_product_over_the_keeps(root: Path) -> None:
    found = read(root)
    cases = found.claimed_cases()
    points = [trial.digest.cases["2x3-flat"].speedup for trial in found.keeps if trial.digest]
    assert cases["2x3-flat"].point == pytest.approx(math.prod(point for point in points if point))


@pytest.mark.parametrize("damage", [{"low": None, "high": None}, {"low": 0.0}, {"speedup": -1.0}, {"high": 0.5}])
def test_a_case_without_bounds_in_a_keep_is_claimed_nothing_of(
    root: Path, damage: dict[str, float | None]
) -> None:
    """Nor is one with bounds that no speed-up has: an archive may hold anything."""
    found = read(root)
    last = found.trials[-1]
    assert last.digest is not None
    damaged = replace(last.digest.cases["2x3-flat"], **damage)  # type: ignore[arg-type]
    digest = replace(last.digest, cases={**last.digest.cases, "2x3-flat": damaged})
    changed = replace(found, trials=(*found.trials[:-1], replace(last, digest=digest)))
    assert set(found.claimed_cases()) - set(changed.claimed_cases()) == {"2x3-flat"}


def test_a_new_baseline_begins_the_claims_anew(root: Path) -> None:
    write_row(root, [], toys.KERNEL + "FIVE = 5\n", rebaseline=True)
    found = read(root)
    assert [trial.row.trial for trial in found.current] == [6]
    assert found.trials[-1].best == 1.0
    assert found.claimed == Interval(1.0, 1.0, 1.0)
    assert found.claimed_cases() == {}


def test_the_best_kernel_is_the_last_one_kept(root: Path) -> None:
    found = read(root)
    assert found.best is found.trials[-1]
    assert found.kept == 2
    assert replace(found, trials=found.trials[2:4]).best is None


def test_the_noise_is_the_median_half_width_of_what_was_measured(root: Path) -> None:
    found = read(root)
    widths = [(one.row.ci_high - one.row.ci_low) / 2 / one.row.speedup for one in found.trials if one.row.speedup]  # type: ignore[operator]
    assert found.noise == pytest.approx(sorted(widths)[1])
    assert replace(found, trials=found.trials[:1]).noise is None


def test_what_was_tried_since_the_best_kernel(root: Path) -> None:
    assert read(root).since_best == ()
    write_failure(root, toys.KERNEL + "SIX = 6\n")
    assert [trial.row.trial for trial in read(root).since_best] == [6]


def test_a_log_without_its_archive_is_read_all_the_same(root: Path) -> None:
    (found,) = night.nights(results.read(log_of(root)), None)
    assert {(trial.digest, trial.fault) for trial in found.trials} == {(None, "the log has no archive")}
    assert found.claimed == read(root).claimed


def test_a_record_that_is_gone_is_said(root: Path) -> None:
    shutil.rmtree(root / ".autoresearch")
    (root / ".autoresearch").mkdir()
    trial = read(root).trials[1]
    assert trial.digest is None
    path = archive.trial_path(root, "toy", trial.row.record)
    assert trial.fault == f"trial 2: its record {shown(path)} is missing"


def test_a_row_that_cannot_have_been_measured_claims_nothing(root: Path) -> None:
    rows = results.read(log_of(root))
    (found,) = night.nights([replace(row, ci_low=0.0) for row in rows], root)
    assert [trial.best for trial in found.trials] == [1.0, *[None] * 4]
    assert (found.damaged, found.claimed, found.claimed_cases()) == (2, None, {})


@pytest.mark.parametrize(
    ("line", "new", "damaged"),
    [
        (3, ("\tan idea\t", "\tanother idea\t"), 2),
        (4, ("\tdiscard\t", "\tkeep\t"), 3),
        (3, None, 2),
        (2, None, 1),
        (2, ("\tthe first\t", "\tthe very first\t"), 1),
    ],
)
def test_a_row_that_was_changed_or_is_missing_leaves_the_claim_unknown(
    root: Path, line: int, new: tuple[str, str] | None, damaged: int
) -> None:
    """Whatever it says now, it may have been a keep."""
    lines = log_of(root).read_text().splitlines(keepends=True)
    lines[line : line + 1] = [lines[line].replace(*new)] if new else []
    log_of(root).write_text("".join(lines))
    found = read(root)
    assert (found.damaged, found.claimed) == (damaged, None)


def test_from_the_first_damaged_row_to_the_next_baseline_no_best_is_known(root: Path) -> None:
    write_row(root, [], toys.KERNEL + "FIVE = 5\n", rebaseline=True)
    write_row(root, [pairs_of_a_look(FASTER)] * 2, toys.KERNEL + "SIX = 6\n")
    lines = log_of(root).read_text().splitlines(keepends=True)
    log_of(root).write_text("".join([*lines[:4], *lines[5:]]))
    found = read(root)
    assert [trial.row.trial for trial in found.trials] == [1, 2, 4, 5, 6, 7]
    assert [trial.best is None for trial in found.trials] == [False, False, True, True, False, False]
    assert [trial.reached is None for trial in found.trials] == [False, False, True, True, False, False]
    assert found.damaged is None


def test_without_a_baseline_there_is_no_best_and_each_trial_has_its_own_speed_up(root: Path) -> None:
    rows = results.read(log_of(root))
    compared = [replace(row, trial=i, status=Status.PASS) for i, row in enumerate(rows[1:3], 1)]
    first, second = compared
    (found,) = night.nights([first, replace(second, previous=first.digest)], None)
    assert [(trial.best, trial.reached) for trial in found.trials] == [(None, row.interval) for row in compared]


def test_what_was_changed_before_the_newest_baseline_bears_on_no_claim(root: Path) -> None:
    write_row(root, [], toys.KERNEL + "FIVE = 5\n", rebaseline=True)
    lines = log_of(root).read_text().splitlines(keepends=True)
    log_of(root).write_text("".join([*lines[:3], *lines[4:]]))
    assert (read(root).damaged, read(root).claimed) == (None, Interval(1.0, 1.0, 1.0))


def test_a_missing_row_may_have_been_any_target_s_and_a_changed_one_names_its_own(root: Path) -> None:
    rows = [replace(row, target="other" if row.trial == 4 else row.target) for row in results.read(log_of(root))]
    assert history.first_damaged([*rows[:3], rows[4]], "toy") == 4
    changed = [*rows[:3], replace(rows[3], digest="changed"), rows[4]]
    assert [history.first_damaged(changed, target) for target in ("toy", "other")] == [None, 4]


# Digests


def test_a_digest_is_what_the_gate_said(root: Path) -> None:
    row = results.read(log_of(root))[1]
    record = history.record_of(root, row)
    judgement = judge.look(record.evidence, Rules())
    found = digests.of(record)
    assert (found.cause, found.looks, found.pairs) == (Cause.FASTER, 2, len(record.evidence.pairs))
    assert {case: one.speedup for case, one in found.cases.items()} == {
        case: interval.point for case, interval in judgement.cases.items()
    }
    windows = [w for pair in record.evidence.pairs for block in pair.blocks for w in block.windows]
    assert found.windows_s == pytest.approx(sum(w.wall_ns for w in windows) / 1e9)
    assert sum(one.blocks for one in found.cases.values()) == len(windows) // 4


def test_the_gate_keeps_a_digest_beside_the_record(root: Path) -> None:
    for row in results.read(log_of(root)):
        assert archive.find_digest(root, "toy", row.record) == digests.of(history.record_of(root, row))


def digest_path(root: Path, row: results.Row) -> Path:
    return next((root / ".autoresearch/digests").glob(f"toy-{row.record[:16]}*"))


@pytest.mark.parametrize("damage", [b"", b"{", b'{"schema": 0}', b'{"schema": 1}', b"\xff"])
def test_a_damaged_digest_is_made_again(root: Path, damage: bytes) -> None:
    row = results.read(log_of(root))[1]
    path = digest_path(root, row)
    whole = path.read_bytes()
    path.write_bytes(damage)
    assert codec.digest_to_json(row.record, digests.of_row(root, row)) == whole
    assert path.read_bytes() == whole


def test_an_edited_digest_and_another_record_s_are_made_again(root: Path) -> None:
    one, other = (digest_path(root, row) for row in results.read(log_of(root))[1:3])
    whole = one.read_bytes()
    for forged in (whole.replace(b"judged", b"forged"), other.read_bytes()):
        assert forged != whole
        one.write_bytes(forged)
        found = read(root).trials[1].digest
        assert found is not None
        assert found.reason == "judged"
        assert one.read_bytes() == whole


def test_a_digest_whose_record_is_gone_or_was_changed_is_not_shown(root: Path) -> None:
    kept, discarded = results.read(log_of(root))[1:3]
    archive.trial_path(root, "toy", kept.record).unlink()
    changed = archive.trial_path(root, "toy", discarded.record)
    changed.write_bytes(b"{}")
    _, first, second, *_ = read(root).trials
    assert (first.digest, second.digest) == (None, None)
    assert first.fault.endswith(" is missing")
    assert second.fault == f"trial 3: its record {shown(changed)} was changed; its sha256 is not the row's"


def test_a_row_that_says_otherwise_than_its_record_is_not_believed(root: Path) -> None:
    """Such as the last one, from which no row follows."""
    *before, last = results.read(log_of(root))
    assert last.speedup is not None
    high = replace(last, speedup=9.0, ci_high=9.5)
    (found,) = night.nights([*before, high], root)
    assert (found.damaged, found.claimed, found.trials[-1].digest) == (5, None, None)
    assert [trial.fault for trial in found.changed] == [
        f"trial 5: says speedup 9.0, its record says {last.speedup}; the row was changed"
    ]
    (found,) = night.nights([*before, replace(last, status=Status.DISCARD)], root)
    assert (found.damaged, found.claimed) == (5, None)
    assert [trial.fault for trial in found.changed] == [
        "trial 5: says 'discard', its record says 'keep'; the row was changed"
    ]


UNSURE = everywhere(spread(0.012, 0.05))


@pytest.mark.parametrize("looks", [1, 2])
def test_what_kept_a_verdict_open_is_in_its_digest(looks: int) -> None:
    """As the verdict says it; without bounds where there are none, which JSON could not hold."""
    rules = Rules(max_seconds=5.0)
    seen = evidence(*(pairs_of_a_look(UNSURE, 0.05) * looks), looks=looks, seconds=6.0)
    judgement = judge.look(seen, rules)
    assert judgement.doubt is not None
    digest = digests.of(record_of(seen, rules, judgement.cause))
    assert digest.doubt is not None
    assert (digest.doubt.case, digest.doubt.seconds) == (judgement.doubt.case, judgement.doubt.seconds)
    assert (digest.doubt.low is None) == (not judgement.doubt.speedup.is_bounded)
    assert (digest.min_effect, digest.case_limit, digest.max_seconds) == (0.01, 0.05, 5.0)
    assert codec.digest_from_json("f" * 64, codec.digest_to_json("f" * 64, digest)) == digest


def test_a_verdict_by_rules_that_are_not_known_was_the_last_look_s() -> None:
    seen = evidence(*(pairs_of_a_look(UNSURE, 0.05) * 2), looks=2)
    digest = digests.of(record_of(seen, None, Cause.UNDECIDED))
    assert digest.doubt is not None
    assert (digest.min_effect, digest.case_limit, digest.max_seconds) == (None, None, None)


def record_of(seen: Evidence, rules: Rules | None, cause: Cause) -> TrialRecord:
    """Of a trial that was judged by what was seen."""
    return TrialRecord(
        "toy", Status.INCONCLUSIVE, "judged", cause, "c" * 64, "b" * 64, 1, "h", "here", {}, "1", rules, seen
    )


def test_a_wrong_kernel_has_no_cases(root: Path) -> None:
    digest = read(root).trials[3].digest
    assert digest is not None
    assert (digest.cases, digest.reason, digest.cause) == ({}, "incorrect: wrong", None)


def test_a_product_of_ratios() -> None:
    assert stats.product([]) == Interval(1.0, 1.0, 1.0)
    one = Interval(1.1, 1.2, 1.2 * 1.2 / 1.1)
    found = stats.product([one, one])
    half = math.log(1.2 / 1.1) * math.sqrt(2)
    assert (found.low, found.point, found.high) == pytest.approx(
        (1.44 * math.exp(-half), 1.44, 1.44 * math.exp(half))
    )
