"""Every sentence and every block, whole, as a person or an agent reads them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from builders import RSS_BYTES, SPEEDUP, figures, outcome

from pytest_lance_autoresearch.errors import KernelCrashed
from pytest_lance_autoresearch.records import (
    Ahead,
    BuildPrice,
    CaseRecall,
    CaseTimes,
    Cause,
    Disturbance,
    Doubt,
    Figures,
    Interval,
    Judgement,
    Progress,
    Race,
    RecallRules,
    RegressionRules,
    Rules,
    Status,
    Step,
    Verdict,
    Window,
)
from pytest_lance_autoresearch.words import report

MB = 2**20
CASE_SPEEDUPS = {"2x3-flat": SPEEDUP, "2x3-sorted": SPEEDUP, "50x1-flat": Interval(0.9, 0.91, 0.94)}


BUILDING = BuildPrice(9_040_000, 99_960_000, "50x1-flat", 2_000_000, 80_000_000, 10_000_000.0)
DOUBT = Doubt("50x1-flat", CASE_SPEEDUPS["50x1-flat"], None)


def judgement(kind: Verdict, cause: Cause, point: float = 1.04) -> Judgement:
    speedup = Interval(point - 0.01, point, point + 0.01)
    return Judgement(
        kind,
        cause,
        speedup,
        CASE_SPEEDUPS,
        Interval(0.99, 1.0, 1.02),
        "50x1-flat",
        RSS_BYTES,
        300 * MB,
        120,
        90,
        BUILDING,
        DOUBT,
        Race(16, 3, 0.0234, is_last=False),
        ahead=Ahead(0.414, 0.306),
        recalls=RECALLS if cause is Cause.RECALL else {},
        low_recall="50x1-flat" if cause is Cause.RECALL else "",
    )


RECALLS = {
    "2x3-flat": CaseRecall(0.9512, 0.9508, 0.94, 0.96, -0.004, 0.003, 1024),
    "2x3-sorted": CaseRecall(0.98, 0.99, 0.98, 1.0, 0.004, 0.02, 1024),
    "50x1-flat": CaseRecall(0.96, 0.93, 0.91, 0.95, -0.045, -0.015, 1024),
}
LOSSY = Rules(recall=RecallRules(0.01, dict.fromkeys(RECALLS, 0.9)))


# The block

KEEP = replace(
    outcome(Status.KEEP, "keep: geomean 1.04 -> 1.00 us/query (-3.8 %)"),
    figures=figures(),
    judgement=Judgement(Verdict.KEEP, Cause.FASTER, SPEEDUP, CASE_SPEEDUPS, SPEEDUP, building=BUILDING),
    waited_s=70.04,
    windows=1152,
    trial=7,
    baseline_trial=3,
    disturbance=Disturbance(288, 2, 0.034),
    log=Path("targets/demo/results.tsv"),
)
FAILED = replace(
    outcome(Status.INCORRECT, "incorrect: 2x3-flat: 1 of 6 values differ"),
    correct=23,
    failed=1,
    trial=8,
    log=KEEP.log,
)


def test_the_block_of_a_keep() -> None:
    assert report.block(KEEP) == [
        "---",
        "target: demo",
        "correctness: pass (24 of 24 items passed)",
        "geomean_ns_per_query: 1000.0",
        "worst_ns_per_query: 1250.0",
        "best_ns_per_query: 800.0",
        "slowest_case: 50x1-flat",
        "fastest_case: 2x3-flat",
        "peak_rss_mb: 300.0",
        "build_ms: 100.0 (baseline 9.0)",
        "total_seconds: 12.3",
        "waited_seconds: 70.0",
        "speedup: 1.0400 [1.0300, 1.0500]",
        "most_gained: 2x3-sorted 1.0400 [1.0300, 1.0500]",
        "most_gained: 2x3-flat 1.0400 [1.0300, 1.0500]",
        "least_gained: 50x1-flat 0.9100 [0.9000, 0.9400]",
        "verdict: keep",
        "reason: keep: geomean 1.04 -> 1.00 us/query (-3.8 %)",
        "disturbed: time spent waiting for a core: 3.4 %, taken off; 2 of 288 blocks set aside",
        "trial: 7",
        "log: targets/demo/results.tsv",
    ]


@pytest.mark.parametrize(
    ("correct", "failed", "cause", "word"),
    [
        (24, 0, None, "pass"),
        (23, 1, None, "fail"),
        (23, 0, None, "incomplete"),
        (0, 0, None, "incomplete"),
        (0, 0, Cause.IDENTICAL, "not run"),
        (24, 0, Cause.IDENTICAL, "pass"),
        (24, 0, Cause.NEW, "pass"),
    ],
)
def test_correctness_is_one_word_of_four(correct: int, failed: int, cause: Cause | None, word: str) -> None:
    """A kernel that is its baseline is checked only where the target's other files changed."""
    one = replace(outcome(Status.PASS), correct=correct, failed=failed)
    one = replace(one, judgement=Judgement(Verdict.PASS, cause) if cause else None)
    assert report.as_json(one)["correctness"] == {"word": word, "passed": correct, "items": 24}
    assert report.correctness(one).startswith(f"{word} (")


def test_a_failure_that_is_not_the_kernels_is_no_fail() -> None:
    """Its baseline failed, or its target."""
    one = replace(outcome(Status.INVALID), correct=15, failed=1, judgement=None)
    assert report.correctness(one) == "incomplete (15 of 24 items passed)"
    assert report.correctness(replace(one, status=Status.CRASH)) == "fail (15 of 24 items passed)"


def test_the_block_of_a_discard_without_a_measurement() -> None:
    reason = "discard: " + report.identical_reason("trial 3", "0123456789abcdef", same_bytes=True)
    identical = Judgement(Verdict.DISCARD, Cause.IDENTICAL)
    discarded = replace(outcome(Status.DISCARD, reason), correct=0, trial=9, log=KEEP.log, judgement=identical)
    assert report.block(discarded) == [
        "---",
        "target: demo",
        "correctness: not run (the kernel's code is its baseline's)",
        "geomean_ns_per_query: none",
        "worst_ns_per_query: none",
        "best_ns_per_query: none",
        "slowest_case: none",
        "fastest_case: none",
        "peak_rss_mb: none",
        "build_ms: none",
        "total_seconds: 12.3",
        "waited_seconds: 0.0",
        "speedup: none",
        "verdict: discard",
        "reason: discard: the kernel is identical to the baseline, trial 3 (sha256 0123456789ab); "
        "nothing was measured",
        "trial: 9",
        "log: targets/demo/results.tsv",
    ]


def test_the_block_of_a_measured_discard_has_its_figures() -> None:
    discarded = replace(KEEP, status=Status.DISCARD, reason="discard: slower")
    lines = report.block(discarded)
    assert lines[3] == "geomean_ns_per_query: 1000.0"
    assert lines[-5:-3] == ["verdict: discard", "reason: discard: slower"]


def test_a_failed_trial_has_no_number_for_a_time() -> None:
    lines = dict(line.split(": ", 1) for line in report.block(FAILED)[1:])
    assert lines["correctness"] == "fail (23 of 24 items passed)"
    assert lines["verdict"] == "incorrect"
    without = (
        "geomean_ns_per_query",
        "worst_ns_per_query",
        "best_ns_per_query",
        "peak_rss_mb",
        "build_ms",
        "speedup",
    )
    assert {key: lines[key] for key in (*without, "slowest_case", "fastest_case")} == dict.fromkeys(
        (*without, "slowest_case", "fastest_case"), "none"
    )


def test_a_run_without_a_gate_has_figures_and_no_verdict() -> None:
    lines = report.block(replace(outcome(reason=report.NO_GATE), figures=figures(), notes=("Darwin: no clock",)))
    assert lines[-7:] == [
        "speedup: none",
        "fastest: 2x3-flat 800.0",
        "fastest: 2x3-sorted 1000.0",
        "slowest: 50x1-flat 1250.0",
        "verdict: none",
        "reason: no verdict without a gate; add --keep-gate",
        "note: Darwin: no clock",
    ]


def many_cases(count: int, name: str = "case") -> dict[str, Interval]:
    """Each gains a hundredth more than the one before."""
    return {f"{name}{n}": Interval(n / 100 + 0.995, n / 100 + 1, n / 100 + 1.005) for n in range(count)}


@pytest.mark.parametrize(
    ("count", "most", "least"),
    [
        (1, ["case0"], []),
        (2, ["case1"], ["case0"]),
        (5, ["case4", "case3", "case2"], ["case0", "case1"]),
        (6, ["case5", "case4", "case3"], ["case0", "case1", "case2"]),
        (40, ["case39", "case38", "case37"], ["case0", "case1", "case2"]),
    ],
)
def test_the_three_cases_at_each_end_are_shown_and_none_twice(
    count: int, most: list[str], least: list[str]
) -> None:
    assert KEEP.judgement is not None
    lines = report.block(replace(KEEP, judgement=replace(KEEP.judgement, cases=many_cases(count))))
    for key, expected in (("most_gained", most), ("least_gained", least)):
        assert [line.split()[1] for line in lines if line.startswith(f"{key}: ")] == expected


def test_a_case_that_was_measured_too_seldom_has_no_bounds_in_the_block() -> None:
    assert KEEP.judgement is not None
    unbounded = replace(KEEP.judgement, cases={"a": Interval(0.0, 1.5, math.inf)})
    assert "most_gained: a 1.5000" in report.block(replace(KEEP, judgement=unbounded))


WORDY = "inconclusive: geomean 165 -> 158 us/query (-4.2 %), undecided when the time budget of 600 s ended: " + (
    f"{'a' * 24}-clustered may be up to 6.1 % slower (measured +2.0 %, limit +5 %); about 90 s more at this rate, "
    "longer calls in that case, or a quieter machine would settle it"
)


@pytest.mark.parametrize("reason", ["short", WORDY, "crash: the kernel raised " + "x" * 5000, "clause 1, " * 300])
@pytest.mark.parametrize("name", ["case", "c" * 32])
def test_the_block_is_short_in_every_situation(reason: str, name: str) -> None:
    cases = many_cases(12, name)
    names = list(cases)
    seen = Figures("query", dict.fromkeys(names, 1e9), 1e9, names[0], names[1], 2**40)
    assert KEEP.judgement is not None
    worst = replace(
        KEEP,
        target="t" * 24,
        reason=reason,
        figures=seen,
        judgement=replace(KEEP.judgement, cases=cases),
        disturbance=Disturbance(100_000, 99_999, 0.999),
        log=Path("/home/somebody/projects/of/theirs/targets") / ("t" * 24) / "results.tsv",
        trial=12345,
    )
    for one in (worst, replace(worst, judgement=None), replace(FAILED, reason=reason)):
        lines = report.block(one)
        assert len(lines) <= report.BLOCK_LINES
        assert len("\n".join(lines)) < report.BLOCK_CHARACTERS
        (told,) = (line for line in lines if line.startswith("reason: "))
        assert told == f"reason: {reason}" or len(told) > report.LEAST_REASON


def test_a_sentence_loses_words_before_it_loses_numbers() -> None:
    assert report.shortened(WORDY, len(WORDY)) == WORDY
    assert report.shortened(WORDY, len(WORDY) - 1) == WORDY.removesuffix(", or a quieter machine would settle it")
    assert report.shortened(WORDY, len(WORDY) - 60) == WORDY.removesuffix(
        ", longer calls in that case, or a quieter machine would settle it"
    )
    assert (
        report.shortened("memory grew, by 12.5 MB, beyond the limit of 3.5 MB", 30)
        == "memory grew, by 12.5 MB ..."
    )


def test_a_note_is_said_once_in_a_session() -> None:
    first, second = (replace(FAILED, target=name, notes=("Darwin: no clock", name)) for name in "ab")
    lines = report.blocks([first, second])
    assert lines == [*report.block(first), *report.block(replace(second, notes=("b",)))]
    assert lines.count("note: Darwin: no clock") == 1


def test_a_long_note_is_cut_in_the_block_and_whole_in_the_json() -> None:
    noted = replace(FAILED, notes=(f"12 % of it ({'x' * 200})",))
    assert report.block(noted)[-1] == f"note: 12 % of it ({'x' * 145}..."
    assert report.as_json(noted)["notes"] == list(noted.notes)


@pytest.mark.parametrize("status", Status)
def test_the_verdict_is_the_rows_status(status: Status) -> None:
    assert report.verdict_word(outcome(status)) == status.value


def test_a_keep_for_simpler_code_says_so() -> None:
    simpler = replace(KEEP, judgement=judgement(Verdict.KEEP, Cause.SIMPLER))
    assert report.verdict_word(simpler) == "keep (simpler)"
    assert report.verdict_word(replace(simpler, status=Status.INCORRECT)) == "incorrect"


# The JSON twin


def test_the_json_of_a_keep() -> None:
    text = {"low": 1.03, "point": 1.04, "high": 1.05}
    assert json.loads(json.dumps(report.as_json(KEEP), allow_nan=False)) == {
        "schema": 2,
        "target": "demo",
        "correctness": {"word": "pass", "passed": 24, "items": 24},
        "unit": "query",
        "geomean_ns_per_op": 1000.0,
        "slowest_case": "50x1-flat",
        "fastest_case": "2x3-flat",
        "cases_ns_per_op": {"2x3-flat": 800.0, "2x3-sorted": 1000.0, "50x1-flat": 1250.0},
        "peak_rss_mb": 300.0,
        "build_ms": {
            "candidate": 99.96,
            "baseline": 9.04,
            "case": "50x1-flat",
            "case_candidate": 80.0,
            "case_baseline": 2.0,
            "case_limit": 10.0,
        },
        "total_seconds": 12.34,
        "waited_s": 70.04,
        "speedup": text,
        "cpu_speedup": text,
        "case_speedups": {
            "2x3-flat": text,
            "2x3-sorted": text,
            "50x1-flat": {"low": 0.9, "point": 0.91, "high": 0.94},
        },
        "verdict": "keep",
        "cause": "faster",
        "reason": KEEP.reason,
        "recalls": None,
        "hosts": None,
        "doubt": None,
        "windows": 1152,
        "disturbance": {"blocks": 288, "set_aside": 2, "waited": 0.034},
        "trial": 7,
        "baseline_trial": 3,
        "baseline_revision": None,
        "log": "targets/demo/results.tsv",
        "exit_code": 0,
        "notes": [],
    }


def test_the_json_of_a_failed_trial_has_null_for_every_number_that_it_lacks() -> None:
    found = report.as_json(FAILED)
    lacking = {key for key, value in found.items() if value is None}
    assert lacking == {
        "geomean_ns_per_op",
        "slowest_case",
        "fastest_case",
        "cases_ns_per_op",
        "peak_rss_mb",
        "build_ms",
        "speedup",
        "cpu_speedup",
        "case_speedups",
        "recalls",
        "hosts",
        "cause",
        "doubt",
        "disturbance",
        "baseline_trial",
        "baseline_revision",
    }
    assert (found["verdict"], found["exit_code"]) == ("incorrect", 1)


def test_a_bound_that_does_not_exist_is_null() -> None:
    open_ended = replace(
        KEEP, judgement=Judgement(Verdict.INCONCLUSIVE, Cause.BUDGET, cases={"a": Interval(0.0, 1.5, math.inf)})
    )
    assert report.as_json(open_ended)["case_speedups"] == {"a": {"low": None, "point": 1.5, "high": None}}


@pytest.mark.parametrize("case", ["2x3-flat", None])
@pytest.mark.parametrize("seconds", [90.5, None])
def test_the_json_of_a_doubt(case: str | None, seconds: float | None) -> None:
    doubt = Doubt(case, Interval(0.94, 0.97, 1.0), seconds)
    undecided = replace(KEEP, judgement=Judgement(Verdict.INCONCLUSIVE, Cause.UNDECIDED, doubt=doubt))
    assert report.as_json(undecided)["doubt"] == {
        "case": case,
        "host": None,
        "speedup": {"low": 0.94, "point": 0.97, "high": 1.0},
        "cpu_speedup": None,
        "is_unconfirmed": False,
        "recall": None,
        "seconds_to_settle": seconds,
    }
    of_cpu = replace(doubt, is_unconfirmed=True, cpu_speedup=Interval(0.0, 0.99, math.inf))
    judgement = Judgement(Verdict.INCONCLUSIVE, Cause.BUDGET, doubt=of_cpu)
    told = report.as_json(replace(KEEP, judgement=judgement))["doubt"]
    assert (told["cpu_speedup"], told["is_unconfirmed"]) == ({"low": None, "point": 0.99, "high": None}, True)


def test_no_verdict_has_no_exit_code_of_a_keep() -> None:
    assert report.as_json(replace(outcome(None, report.partial_reason(3, 24)), gated=True))["exit_code"] == 13


# The sentences about a verdict


@pytest.mark.parametrize(
    ("kind", "cause", "point", "sentence"),
    [
        (
            Verdict.KEEP,
            Cause.FASTER,
            1.04,
            "keep: geomean 1.04 -> 1.00 us/query (-3.8 %), no case slower than 5 %, confirmed in fresh processes",
        ),
        (
            Verdict.KEEP,
            Cause.SIMPLER,
            0.998,
            "keep (simpler): geomean 0.998 -> 1.00 us/query (+0.2 %), equal within +-1 %, and the code is smaller "
            "(120 -> 90 AST nodes)",
        ),
        (Verdict.DISCARD, Cause.SLOWER, 0.95, "discard: geomean 0.950 -> 1.00 us/query (+5.3 %), slower"),
        (
            Verdict.DISCARD,
            Cause.WITHIN_NOISE,
            1.005,
            "discard: geomean 1.00 -> 1.00 us/query (-0.5 %), within noise "
            "(a gain of 1 % is ruled out with 95 % confidence)",
        ),
        (
            Verdict.DISCARD,
            Cause.TOO_SMALL,
            1.006,
            "discard: geomean 1.01 -> 1.00 us/query (-0.6 %), "
            "faster, but by less than the 1 % that is worth a change (with 95 % confidence)",
        ),
        (
            Verdict.DISCARD,
            Cause.CASE_REGRESSED,
            1.04,
            "discard: geomean 1.04 -> 1.00 us/query (-3.8 %), but 50x1-flat 1.14 -> 1.25 us (+9.9 %, limit +5 %)",
        ),
        (
            Verdict.DISCARD,
            Cause.CASE_REGRESSED,
            0.95,
            "discard: geomean 0.950 -> 1.00 us/query (+5.3 %), and 50x1-flat 1.14 -> 1.25 us (+9.9 %, limit +5 %)",
        ),
        (
            Verdict.DISCARD,
            Cause.MEMORY,
            0.999,
            "discard: geomean 0.999 -> 1.00 us/query (+0.1 %), and peak RSS 200.0 -> 300.0 MB (limit 232.0 MB)",
        ),
        (
            Verdict.DISCARD,
            Cause.MEMORY,
            1.04,
            "discard: geomean 1.04 -> 1.00 us/query (-3.8 %), but peak RSS 200.0 -> 300.0 MB (limit 232.0 MB)",
        ),
        (
            Verdict.DISCARD,
            Cause.BUILDING,
            1.04,
            "discard: geomean 1.04 -> 1.00 us/query (-3.8 %), but building 50x1-flat takes 2.0 -> 80.0 ms of CPU "
            "(limit 10.0 ms)",
        ),
        (
            Verdict.DISCARD,
            Cause.CPU_DISAGREES,
            1.04,
            "discard: geomean 1.04 -> 1.00 us/query (-3.8 %), but its CPU time says +0.0 % [-2.0 %, +1.0 %]; "
            "wall and CPU time must agree",
        ),
        (
            Verdict.INCONCLUSIVE,
            Cause.UNDECIDED,
            1.02,
            "inconclusive: geomean 1.02 -> 1.00 us/query (-2.0 %), undecided after the last look: "
            "50x1-flat may be up to 11.1 % slower (measured +9.9 %, limit +5 %); "
            "at these numbers, more measuring would not make it a keep",
        ),
        (
            Verdict.INCONCLUSIVE,
            Cause.BUDGET,
            1.02,
            "inconclusive: geomean 1.02 -> 1.00 us/query (-2.0 %), undecided when the time budget of 600 s ended: "
            "50x1-flat may be up to 11.1 % slower (measured +9.9 %, limit +5 %); "
            "at these numbers, more measuring would not make it a keep",
        ),
    ],
)
def test_the_reason_of_each_measured_verdict(kind: Verdict, cause: Cause, point: float, sentence: str) -> None:
    assert report.judged_reason(judgement(kind, cause, point), figures(), Rules()) == sentence


def reason_of(cause: Cause, point: float = 1.04, rules: Rules | None = None, **changed: object) -> str:
    kind = Verdict.KEEP if cause is Cause.SIMPLER else Verdict.DISCARD
    return report.judged_reason(replace(judgement(kind, cause, point), **changed), figures(), rules or Rules())  # type: ignore[arg-type]


@pytest.mark.parametrize("cause", [Cause.CASE_REGRESSED, Cause.MEMORY, Cause.CPU_DISAGREES])
@pytest.mark.parametrize(
    ("point", "joint"),
    [(1.04, ", but "), (1.001, ", but "), (1.0001, ", and "), (1.0, ", and "), (0.96, ", and ")],
)
def test_what_is_worse_as_well_is_no_contrast(cause: Cause, point: float, joint: str) -> None:
    found = reason_of(cause, point, cpu_speedup=Interval(0.97, 0.98, 0.99))
    assert [word for word in (", but ", ", and ") if word in found] == [joint]


def test_a_gain_in_cpu_time_alone_is_a_contrast() -> None:
    found = reason_of(Cause.CPU_DISAGREES, 0.998, cpu_speedup=Interval(0.98, 1.005, 1.02))
    assert found == (
        "discard: geomean 0.998 -> 1.00 us/query (+0.2 %), but its CPU time says -0.5 % [-2.0 %, +2.0 %]; "
        "wall and CPU time must agree"
    )


def test_smaller_code_that_is_faster_than_the_band_is_not_called_equal() -> None:
    """Where a change must be worth more than the band, this one is kept for its code."""
    found = reason_of(Cause.SIMPLER, 1.03, Rules(min_effect=0.05))
    assert found == (
        "keep (simpler): geomean 1.03 -> 1.00 us/query (-2.9 %), not slower than 1 %, and the code is smaller "
        "(120 -> 90 AST nodes)"
    )


@pytest.mark.parametrize(
    ("ratio", "shown"), [(1 / 1.0504, "+5.04 %, limit +5 %"), (1 / 1.05004, "+5.004 %, limit +5 %")]
)
def test_a_case_just_beyond_its_limit_is_seen_to_be(ratio: float, shown: str) -> None:
    cases = {**CASE_SPEEDUPS, "50x1-flat": Interval(ratio, ratio, ratio)}
    assert f"({shown})" in reason_of(Cause.CASE_REGRESSED, cases=cases)
    in_doubt = reason_of(Cause.UNDECIDED, doubt=Doubt("50x1-flat", Interval(ratio, 1.0, 1.1), None))
    assert f"50x1-flat may be up to {shown.removeprefix('+').split(',')[0]} slower " in in_doubt


def test_memory_just_beyond_its_limit_is_seen_to_be() -> None:
    found = reason_of(Cause.MEMORY, candidate_peak_rss_bytes=232 * MB + MB // 100)
    assert found.endswith("peak RSS 200.00 -> 232.01 MB (limit 232.00 MB)")


@pytest.mark.parametrize(
    ("doubt", "sentence"),
    [
        (
            Doubt(None, Interval(0.997, 1.02, 1.04), 40.4),
            "the interval of the overall change is -3.8 % to +0.3 %; "
            "about 40 s more at this rate or a quieter machine would settle it",
        ),
        (
            Doubt(None, Interval(1.01, 1.02, 1.04), 0.0),
            "the interval of the overall change is -3.8 % to -1.0 %; "
            "nothing in that is open, only the time was too short; raise --autoresearch-max-seconds",
        ),
        (
            Doubt(None, Interval(0.998, 1.004, 1.01), None),
            "the interval of the overall change is -1.0 % to +0.2 %; "
            "at these numbers, more measuring would not make it a keep",
        ),
        (
            Doubt(None, Interval(1.01, 1.02, 1.04), 40.4, is_unconfirmed=True),
            "the second look was missing, which must confirm it over fresh inputs; "
            "about 40 s more at this rate would do",
        ),
        (
            Doubt(None, Interval(1.01, 1.02, 1.04), 40.4, cpu_speedup=Interval(0.998, 1.01, 1.02)),
            "its CPU time says -1.0 % [-2.0 %, +0.2 %]; wall and CPU time must agree; "
            "about 40 s more at this rate or a quieter machine would settle it",
        ),
        (
            Doubt("2x3-flat", Interval(0.93, 0.97, 1.01), 4000.0),
            "2x3-flat may be up to 7.5 % slower (measured +3.1 %, limit +5 %); "
            "about 67 min more at this rate, longer calls in that case, or a quieter machine would settle it",
        ),
        (
            Doubt("2x3-flat", Interval(0.93, 0.95, 0.97), None),
            "2x3-flat may be up to 7.5 % slower (measured +5.3 %, limit +5 %); "
            "at these numbers, more measuring would not make it a keep",
        ),
        (
            Doubt("2x3-flat", Interval(0.0, 1.2, math.inf), None),
            "2x3-flat was measured too seldom to say how much slower it may be (measured -16.7 %, limit +5 %); "
            "more time or a quieter machine would tell",
        ),
        (
            Doubt("2x3-flat", Interval(0.0, 1.2, math.inf), 12.0),
            "2x3-flat was measured too seldom to say how much slower it may be (measured -16.7 %, limit +5 %); "
            "about 10 s more at this rate or a quieter machine would tell",
        ),
    ],
)
@pytest.mark.parametrize(
    ("cause", "when"),
    [
        (Cause.UNDECIDED, "after the last look"),
        (Cause.BUDGET, "when the time budget of 600 s ended"),
    ],
)
def test_an_inconclusive_trial_says_what_is_open_and_what_would_settle_it(
    doubt: Doubt, sentence: str, cause: Cause, when: str
) -> None:
    undecided = replace(judgement(Verdict.INCONCLUSIVE, cause, 1.02), doubt=doubt)
    assert report.judged_reason(undecided, figures(), Rules()) == (
        f"inconclusive: geomean 1.02 -> 1.00 us/query (-2.0 %), undecided {when}: {sentence}"
    )


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        (Cause.BUILDING, "building 50x1-flat takes 2.0 -> 80.0 ms of CPU (limit 10.0 ms)"),
        (Cause.MEMORY, "peak RSS 200.0 -> 300.0 MB (limit 232.0 MB)"),
    ],
)
def test_a_refused_candidate_has_a_reason_without_times_and_items_that_say_it(cause: Cause, sentence: str) -> None:
    refused = replace(judgement(Verdict.DISCARD, cause), speedup=None, cases={})
    assert report.judged_reason(refused, None, Rules()) == f"discard: {sentence}; nothing was timed"
    assert report.refused_untimed(refused, Rules()) == f"not timed: {sentence}"


def test_building_that_takes_next_to_nothing_is_not_shown_as_nothing() -> None:
    quick = BUILDING._replace(case_baseline_ns=29_336)
    assert reason_of(Cause.BUILDING, building=quick).endswith("takes 0.03 -> 80.00 ms of CPU (limit 10.00 ms)")


def test_building_just_beyond_its_limit_is_seen_to_be() -> None:
    beyond = BUILDING._replace(case_candidate_ns=10_001_000)
    assert reason_of(Cause.BUILDING, building=beyond).endswith("takes 2.000 -> 10.001 ms of CPU (limit 10.000 ms)")


def test_who_was_outrun_is_told_by_how_much_and_whether_that_is_shown() -> None:
    outrun = judgement(Verdict.DISCARD, Cause.OUTRUN)
    assert report.judged_reason(outrun, figures(), Rules()) == (
        "discard: geomean 1.04 -> 1.00 us/query (-3.8 %), outrun in round 3 of a tournament of 16: "
        "2.3 % slower than its leader (with 95 % confidence)"
    )
    last = replace(outrun, race=Race(16, 6, 0.0234, is_last=True))
    assert report.judged_reason(last, figures(), Rules()).endswith(
        "outrun in round 6 of a tournament of 16: 2.3 % slower than another, which was judged in its place"
    )


def test_who_works_ahead_is_told_by_how_much_and_how_sure_that_is() -> None:
    refused = replace(judgement(Verdict.REFUSED, Cause.WORKS_AHEAD), ahead=Ahead(0.414, 0.306))
    assert report.judged_reason(refused, figures(), Rules()) == (
        "refused: geomean 1.04 -> 1.00 us/query (-3.8 %), but its calls take 41 % longer where nothing can be "
        "known of later ones (at least 31 %, with 99.9 % confidence); a kernel works on the call that it was asked"
    )


def test_every_cause_has_a_sentence_of_its_own() -> None:
    unmeasured = {Cause.IDENTICAL, Cause.NEW}
    of_hosts = {Cause.HOST_REGRESSED, Cause.HOSTS_DIFFER}
    rules = {
        cause: RegressionRules() if cause is Cause.NOT_SLOWER else LOSSY
        for cause in Cause
        if cause not in unmeasured | of_hosts
    }
    sentences = {
        report.judged_reason(judgement(Verdict.DISCARD, cause), figures(), asked) for cause, asked in rules.items()
    }
    assert len(sentences) == len(rules)


def test_a_reason_names_the_rules_that_were_in_force() -> None:
    rules = Rules(min_effect=0.025, case_limit=0.1, max_seconds=90)

    def reason(cause: Cause) -> str:
        return report.judged_reason(judgement(Verdict.DISCARD, cause), figures(), rules)

    assert "less than the 2.5 % that" in reason(Cause.TOO_SMALL)
    assert "no case slower than 10 %" in reason(Cause.FASTER)
    assert "limit +10 %" in reason(Cause.CASE_REGRESSED)
    assert "time budget of 90 s" in reason(Cause.BUDGET)


def test_a_missing_cpu_clock_is_no_number() -> None:
    without = replace(judgement(Verdict.DISCARD, Cause.CPU_DISAGREES), cpu_speedup=None)
    assert ", but its CPU time says none; " in report.judged_reason(without, figures(), Rules())


def test_the_other_sentences() -> None:
    sha256 = "0123456789abcdef"
    assert report.identical_reason("trial 3", sha256, same_bytes=False) == (
        "only comments or layout differ; the code is identical to the baseline, trial 3 "
        "(sha256 0123456789ab); nothing was measured"
    )
    assert report.harness_changed("inputs.py, target.py", 3) == (
        "inputs.py, target.py changed since the baseline, trial 3; speeds before and after such a change cannot "
        "be compared; undo it, or record a new baseline with --autoresearch-rebaseline"
    )
    assert report.baseline_lost(3, sha256, "git") == (
        "the source of the baseline, trial 3 (sha256 0123456789ab), is neither in .autoresearch/kernels nor "
        "in git; restore it, or record a new baseline with --autoresearch-rebaseline"
    )
    assert report.baseline_reason(figures()) == (
        "baseline: first kernel of this target in the log, geomean 1.00 us/query"
    )
    assert report.baseline_reason(figures(), 3) == "baseline: recorded in place of trial 3, geomean 1.00 us/query"
    assert report.overtaken("trial 5 became the baseline meanwhile") == (
        "invalid: trial 5 became the baseline meanwhile; this kernel was not compared with it; run it again"
    )
    assert report.partial_reason(3, 24) == (
        "no verdict: 3 of 24 items ran; a verdict needs all of them, run without -k, -m, --lf or ids"
    )
    assert report.BROKEN_OFF == "no verdict: the run was broken off; nothing was logged"


# The regression gate

NOT_SLOWER = RegressionRules()


@pytest.mark.parametrize(
    ("kind", "cause", "point", "sentence"),
    [
        (
            Verdict.PASS,
            Cause.NOT_SLOWER,
            1.04,
            "pass: geomean 1.04 -> 1.00 us/query (-3.8 %), not slower than 2 % overall and 5 % in any case "
            "(with 99 % confidence)",
        ),
        (
            Verdict.REGRESSED,
            Cause.SLOWER,
            0.95,
            "regressed: geomean 0.950 -> 1.00 us/query (+5.3 %), slower than the limit of 2 % "
            "(with 99 % confidence)",
        ),
        (
            Verdict.REGRESSED,
            Cause.CASE_REGRESSED,
            1.04,
            "regressed: geomean 1.04 -> 1.00 us/query (-3.8 %), but 50x1-flat 1.14 -> 1.25 us "
            "(+9.9 %, limit +5 %)",
        ),
        (
            Verdict.REGRESSED,
            Cause.CPU_DISAGREES,
            1.04,
            "regressed: geomean 1.04 -> 1.00 us/query (-3.8 %), but its CPU time says +0.0 % [-2.0 %, +1.0 %]; "
            "wall and CPU time must agree",
        ),
        (
            Verdict.INCONCLUSIVE,
            Cause.BUDGET,
            1.02,
            "inconclusive: geomean 1.02 -> 1.00 us/query (-2.0 %), undecided when the time budget of 600 s ended: "
            "50x1-flat may be up to 11.1 % slower (measured +9.9 %, limit +5 %); "
            "at these numbers, more measuring would not make it a pass",
        ),
    ],
)
def test_the_reason_of_each_verdict_of_the_regression_gate(
    kind: Verdict, cause: Cause, point: float, sentence: str
) -> None:
    assert report.judged_reason(judgement(kind, cause, point), figures(), NOT_SLOWER) == sentence


def test_a_refused_candidate_has_regressed() -> None:
    refused = replace(judgement(Verdict.REGRESSED, Cause.MEMORY), speedup=None, cases={})
    assert report.judged_reason(refused, None, NOT_SLOWER) == (
        "regressed: peak RSS 200.0 -> 300.0 MB (limit 232.0 MB); nothing was timed"
    )


def test_its_reason_names_the_limits_that_were_in_force() -> None:
    rules = RegressionRules(slowdown_limit=0.035, case_limit=0.1, confidence=0.95)
    found = report.judged_reason(judgement(Verdict.PASS, Cause.NOT_SLOWER), figures(), rules)
    assert found.endswith("not slower than 3.5 % overall and 10 % in any case (with 95 % confidence)")


def test_the_sentences_about_a_revision() -> None:
    main = "main at 0123456789ab"
    assert report.identical_reason(main, "f" * 64, same_bytes=True) == (
        "the kernel is identical to the baseline, main at 0123456789ab (sha256 ffffffffffff); nothing was measured"
    )
    assert report.new_at(main, "demo") == (
        "target 'demo' is not there at main at 0123456789ab, so that there is nothing that it could be slower than"
    )
    assert report.moved(main, "targets/old", "demo") == (
        "at main at 0123456789ab target 'demo' was in targets/old; the kernel there is the baseline"
    )
    assert report.changed_since(main, ["target.py"], 2) == (
        "target.py has changed since main at 0123456789ab; "
        "the verdict rests on the working tree's, for both kernels"
    )
    assert report.changed_since(main, ["inputs.py", "reference.py", "target.py"], 1) == (
        "inputs.py, reference.py and target.py have changed since main at 0123456789ab; "
        "the kernel was checked by the working tree's"
    )
    assert report.changed_since(main, ["target.py"], 0) == "target.py has changed since main at 0123456789ab"
    imports = "modules that the kernel imports have changed since main at 0123456789ab"
    assert report.imports_changed(main, 2) == f"{imports}; each kernel was measured with its own"
    assert report.imports_changed(main, 1) == f"{imports}; the kernel ran with those of now"
    assert report.imports_changed(main, 0) == imports
    assert report.uncommitted(["src/lib/config.py"]) == (
        "src/lib/config.py is not committed as it is; the verdict is about what is in the working tree"
    )
    assert report.uncommitted([f"src/lib/{name}.py" for name in "abcde"]) == (
        "src/lib/a.py, src/lib/b.py, src/lib/c.py and 2 more are not committed as they are; "
        "the verdict is about what is in the working tree"
    )
    assert report.revision_unusable("git:x: why not") == "no verdict: git:x: why not"
    assert report.baseline_reason(figures(), absent_at=main) == (
        "baseline: the target is not there at main at 0123456789ab, geomean 1.00 us/query"
    )


def test_the_properties_of_the_gates_item_are_text() -> None:
    passed = replace(outcome(Status.PASS, "pass: not slower"), judgement=judgement(Verdict.PASS, Cause.NOT_SLOWER))
    assert report.properties(passed) == {
        "verdict": "pass",
        "reason": "pass: not slower",
        "speedup_low": "1.0300",
        "speedup_point": "1.0400",
        "speedup_high": "1.0500",
    }
    assert report.properties(outcome(reason="no verdict: why")) == {"verdict": "none", "reason": "no verdict: why"}


def test_the_json_names_the_revision() -> None:
    against = replace(outcome(Status.PASS, "pass"), baseline_revision="main at 0123456789ab")
    assert report.as_json(against)["baseline_revision"] == "main at 0123456789ab"
    assert report.as_json(outcome())["baseline_revision"] is None


def test_a_headline_is_the_first_line_of_a_fault() -> None:
    assert KernelCrashed("2x3-flat: ended\nits last output:\nboom").headline == "2x3-flat: ended"


# Status line and benchmark row


def test_the_status_line_grows_with_what_is_known() -> None:
    assert report.live_line(Progress("demo", "waiting", None, None, None)) == "demo: waiting"
    bare = Progress("demo", "working", None, None, 3.4)
    assert report.live_line(bare) == "demo: working  3 s"
    assert report.live_line(replace(bare, what="2x3-flat", step=Step(4, 16))) == "demo: 2x3-flat  4/16  3 s"
    assert report.live_line(Progress("demo", "2x3-flat", Step(4, 16), SPEEDUP, 61.0)) == (
        "demo: 2x3-flat  4/16  -3.8 % [-4.8 %, -2.9 %]  61 s"
    )


@pytest.mark.parametrize(
    ("number", "seconds", "said"),
    [
        (2, None, "second in line"),
        (2, 0.0, "second in line"),
        (2, 0.2, "second in line, about 5 s"),
        (3, 12.4, "third in line, about 10 s"),
        (3, 90.0, "third in line, about 90 s"),
        (3, 99.9, "third in line, about 100 s"),
        (4, 100.0, "fourth in line, about 2 min"),
        (10, 240.0, "tenth in line, about 4 min"),
        (11, 5939.0, "11th in line, about 99 min"),
        (12, 5980.0, "12th in line, about 2 h"),
        (13, None, "13th in line"),
        (21, None, "21st in line"),
        (22, None, "22nd in line"),
        (23, None, "23rd in line"),
        (24, None, "24th in line"),
        (111, None, "111th in line"),
    ],
)
def test_a_trial_that_waits_says_where_it_stands(number: int, seconds: float | None, said: str) -> None:
    assert report.waiting_line(number, seconds) == f"waiting for its turn to measure: {said}"


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "less than 1 s"), (1.0, "1 s"), (95.4, "95 s")])
def test_a_trial_that_waited_says_how_long(seconds: float, said: str) -> None:
    assert report.waited(seconds) == f"waited {said} for its turn to measure; that counts against no budget"


@pytest.mark.parametrize(
    ("calls_ns", "sentence"),
    [
        ({"a": 49_960.0}, "a call of a takes 50.0 us; "),
        ({"b": 20_000.0, "a": 1_234.0}, "a call of a takes 1.23 us, the shortest of 2 cases with short calls; "),
        (dict.fromkeys("abc", 999.0), "a call of a takes 999 ns, the shortest of 3 cases with short calls; "),
    ],
)
def test_calls_that_are_too_short_are_a_note_about_the_shortest(calls_ns: dict[str, float], sentence: str) -> None:
    assert report.short_calls(calls_ns) == (
        f"{sentence}below 50 us the runner's own cost weighs too much, so let a call of that shape do more"
    )


def test_a_benchmark_row_says_what_its_seconds_are_of() -> None:
    times = CaseTimes("2x3-flat", 6.0, 250.0, (Window(40, 6_000_000, None), Window(40, 6_100_000, None)))
    assert report.speed_row(times, 24.5, "value") == {
        "unit": "value",
        "ops_per_call": 6.0,
        "ns_per_value": 24.5,
        "calls_per_window": 40,
        "windows": 2,
        "runner_ns_per_call": 250.0,
    }


# Numbers


def geomean_text(ns: float) -> str:
    """The time as a sentence shows it."""
    whole = report.baseline_reason(Figures("value", {"a": ns}, ns, "a", "a", 0))
    return whole.removeprefix("baseline: first kernel of this target in the log, geomean ").removesuffix("/value")


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0.05, "0.0500 ns"),
        (0.1473, "0.147 ns"),
        (9.876, "9.88 ns"),
        (99.94, "99.9 ns"),
        (999.0, "999 ns"),
        (1000.0, "1.00 us"),
        (18_249.0, "18.2 us"),
        (1_234_567.0, "1.23 ms"),
        (1.5e9, "1.50 s"),
        (4.32e12, "4320 s"),
    ],
)
def test_times_have_three_digits_and_a_unit(ns: float, text: str) -> None:
    assert geomean_text(ns) == text


def test_both_sides_of_a_change_have_the_same_unit() -> None:
    found = report.judged_reason(judgement(Verdict.DISCARD, Cause.SLOWER, 0.5), figures(), Rules())
    assert found == "discard: geomean 0.500 -> 1.00 us/query (+100.0 %), slower"


@pytest.mark.parametrize(("ns", "text"), [(0.147, "0.147"), (0.04, "0.04"), (1.234, "1.23")])
def test_small_times_keep_their_digits_in_the_block(ns: float, text: str) -> None:
    small = Figures("value", {"a": ns}, ns, "a", "a", 0)
    lines = report.block(replace(outcome(), unit="value", figures=small))
    assert lines[3].startswith(f"geomean_ns_per_value: {text}")


@pytest.mark.parametrize("cause", [Cause.WITHIN_NOISE, Cause.TOO_SMALL])
def test_a_gain_is_ruled_out_with_the_confidence_of_the_rules(cause: Cause) -> None:
    found = report.judged_reason(judgement(Verdict.DISCARD, cause, 1.001), figures(), Rules(miss=0.1))
    assert found.endswith("with 90 % confidence)")


def test_no_change_has_no_sign_of_a_gain() -> None:
    found = report.judged_reason(judgement(Verdict.DISCARD, Cause.WITHIN_NOISE, 1.0001), figures(), Rules())
    assert "(-0.0 %)" not in found


def test_a_note_says_what_the_gain_means_for_a_whole_operation() -> None:
    note = report.share_note((0.35, "measured in a profile"), Interval(1.9, 2.0, 2.1))
    assert note == (
        "the whole operation would change by -17.5 %: the kernel is 35 % of it (measured in a profile)"
    )


# Recall


def test_a_block_about_approximate_answers_has_both_kernels_recall() -> None:
    told = report.block(replace(KEEP, judgement=replace(judgement(Verdict.KEEP, Cause.FASTER), recalls=RECALLS)))
    assert "recall: 0.9569 (baseline 0.9637); 50x1-flat -3.00 [-4.50, -1.50] points" in told
    assert len(told) <= report.BLOCK_LINES


def test_a_reason_has_both_kernels_recall() -> None:
    reason = report.judged_reason(judgement(Verdict.DISCARD, Cause.RECALL), figures(), LOSSY)
    assert reason == (
        "discard: geomean 1.04 -> 1.00 us/query (-3.8 %), but the recall of 50x1-flat changes by -3.00 "
        "[-4.50, -1.50] points (limit -1); recall 0.9569 (baseline 0.9637)"
    )


def test_the_json_of_a_recall_has_its_bounds() -> None:
    found = report.as_json(replace(KEEP, judgement=judgement(Verdict.DISCARD, Cause.RECALL)))
    assert found["recalls"]["50x1-flat"] == {
        "baseline": 0.96,
        "candidate": 0.93,
        "candidate_low": 0.91,
        "candidate_high": 0.95,
        "change_low": -0.045,
        "change_high": -0.015,
        "calls": 1024,
    }


def test_an_open_recall_is_in_the_json_of_its_doubt() -> None:
    open_one = replace(DOUBT, recall=RECALLS["50x1-flat"])
    found = report.as_json(
        replace(KEEP, judgement=replace(judgement(Verdict.INCONCLUSIVE, Cause.BUDGET), doubt=open_one))
    )
    assert (
        found["doubt"]["recall"]
        == report.as_json(replace(KEEP, judgement=judgement(Verdict.DISCARD, Cause.RECALL)))["recalls"][
            "50x1-flat"
        ]
    )
