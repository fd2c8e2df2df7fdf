"""The words and numbers that a person or an agent reads.

Owns every sentence about a verdict, the block at the end of a run, and its JSON twin. Decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.records import (
    Calibration,
    CaseTimes,
    Cause,
    Disturbance,
    Figures,
    Interval,
    Judgement,
    Kind,
    Outcome,
    Progress,
    Rules,
    Status,
)

if TYPE_CHECKING:
    from pytest_lance_autoresearch.history import Summary
    from pytest_lance_autoresearch.log import Row
    from pytest_lance_autoresearch.replay import Replayed

JSON_SCHEMA = 1
NONE = "none"
"""What stands for a number that does not exist; never 0."""
MB = 2**20
DESCRIPTION_WIDTH = 60
WRONG = (Status.INCORRECT, Status.CRASH, Status.TIMEOUT)


def block(outcome: Outcome) -> list[str]:
    """The block of one target, one `key: value` per line, after a lone `---`."""
    return [
        "---",
        *(f"{key}: {value}" for key, value in _pairs(outcome)),
        *(f"note: {n}" for n in outcome.notes),
    ]


def _pairs(outcome: Outcome) -> list[tuple[str, str]]:
    figures, unit = outcome.figures, outcome.unit
    verdict = verdict_word(outcome)
    pairs = [
        ("target", outcome.target),
        ("correctness", correctness(outcome)),
        (f"geomean_ns_per_{unit}", ns(figures.geomean_ns_per_op) if figures else NONE),
        (f"worst_ns_per_{unit}", ns(figures.ns_per_op[figures.worst_case]) if figures else NONE),
        (f"best_ns_per_{unit}", ns(figures.ns_per_op[figures.best_case]) if figures else NONE),
        ("worst_case", figures.worst_case if figures else NONE),
        ("best_case", figures.best_case if figures else NONE),
        ("peak_rss_mb", f"{figures.peak_rss_bytes / MB:.1f}" if figures else NONE),
        ("total_seconds", f"{outcome.seconds:.1f}"),
        (
            "speedup",
            interval(outcome.judgement.speedup) if outcome.judgement and outcome.judgement.speedup else NONE,
        ),
        ("verdict", verdict),
        ("reason", outcome.reason),
    ]
    if outcome.disturbance is not None:
        pairs.append(("disturbed", disturbed(outcome.disturbance)))
    if outcome.trial is not None:
        pairs += [("trial", str(outcome.trial)), ("log", str(outcome.log))]
    return pairs


def disturbed(found: Disturbance) -> str:
    """How much of the measuring others disturbed, and what was done about it."""
    share = "unknown" if found.waited is None else f"{found.waited * 100:.1f} %, taken off"
    return f"time spent waiting for a core: {share}; {found.set_aside} of {found.blocks} blocks set aside"


def correctness(outcome: Outcome) -> str:
    """'pass (50 of 50 items)', 'fail (...)', or 'incomplete (...)' when items did not run."""
    passed = outcome.correct == outcome.items
    wrong = outcome.failed and (not passed or outcome.status in WRONG)
    word = "fail" if wrong else "pass" if passed else "incomplete"
    return f"{word} ({outcome.correct} of {outcome.items} items passed)"


def verdict_word(outcome: Outcome) -> str:
    """The verdict as the block says it: the row's status, 'keep (simpler)' for that kind, or 'none'."""
    if outcome.status is None:
        return NONE
    simpler = outcome.judgement is not None and outcome.judgement.cause is Cause.SIMPLER
    return "keep (simpler)" if outcome.status is Status.KEEP and simpler else outcome.status.value


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The block as plain JSON values; a number that does not exist is null."""
    figures, judgement = outcome.figures, outcome.judgement
    return {
        "schema": JSON_SCHEMA,
        "target": outcome.target,
        "correctness": {"passed": outcome.correct, "items": outcome.items},
        "unit": outcome.unit,
        "geomean_ns_per_op": figures.geomean_ns_per_op if figures else None,
        "worst_case": figures.worst_case if figures else None,
        "best_case": figures.best_case if figures else None,
        "cases_ns_per_op": figures.ns_per_op if figures else None,
        "peak_rss_mb": figures.peak_rss_bytes / MB if figures else None,
        "total_seconds": outcome.seconds,
        "speedup": _interval_json(judgement.speedup if judgement else None),
        "cpu_speedup": _interval_json(judgement.cpu_speedup if judgement else None),
        "case_speedups": {c: _interval_json(i) for c, i in judgement.cases.items()} if judgement else None,
        "verdict": outcome.status.value if outcome.status else None,
        "cause": judgement.cause.value if judgement else None,
        "reason": outcome.reason,
        "windows": outcome.windows,
        "disturbance": asdict(outcome.disturbance) if outcome.disturbance else None,
        "trial": outcome.trial,
        "baseline_trial": outcome.baseline_trial,
        "log": str(outcome.log) if outcome.log else None,
        "exit_code": outcome.exit_code,
        "notes": list(outcome.notes),
    }


def judged_reason(judgement: Judgement, figures: Figures, rules: Rules) -> str:
    """One sentence for a measured verdict, with the numbers of both sides."""
    word = (
        "keep (simpler)"
        if judgement.kind is Kind.KEEP and judgement.cause is Cause.SIMPLER
        else judgement.kind.value
    )
    return f"{word}: {_geomean_change(judgement, figures)}{_explained(judgement, figures, rules)}"


def _explained(judgement: Judgement, figures: Figures, rules: Rules) -> str:
    band, effect = _percent(rules.noise_band), _percent(rules.min_effect)
    match judgement.cause:
        case Cause.FASTER:
            return f", no case slower than {_percent(rules.case_limit)}, confirmed in fresh processes"
        case Cause.SIMPLER:
            sizes = f"{judgement.baseline_code_size} -> {judgement.candidate_code_size} AST nodes"
            return f", equal within +-{band}, and the code is smaller ({sizes})"
        case Cause.SLOWER:
            return ", slower"
        case Cause.WITHIN_NOISE:
            return f", within noise (a gain of {effect} is ruled out)"
        case Cause.TOO_SMALL:
            return f", faster, but by less than the {effect} that is worth a change"
        case Cause.CASE_REGRESSED:
            return f", but {_case_change(judgement, figures, rules)}"
        case Cause.MEMORY:
            return f", but {_memory_change(judgement, rules)}"
        case Cause.CPU_DISAGREES:
            return f", but its CPU time says {_speedup_text(judgement.cpu_speedup)}; wall and CPU time must agree"
        case Cause.BUDGET:
            return f", undecided when the time budget of {rules.max_seconds:g} s ended"
        case _:
            return f", undecided after the last look: {_open_question(judgement, rules)}"


def identical_reason(trial: int, sha256: str, *, same_bytes: bool) -> str:
    what = "the kernel is" if same_bytes else "only comments or layout differ; the code is"
    return f"discard: {what} identical to the baseline, trial {trial} (sha256 {sha256[:12]}); nothing was measured"


def headline(fault: Exception) -> str:
    """A fault's first line; what follows it (a traceback, the kernel's output) is for the item's own report."""
    return str(fault).splitlines()[0]


def harness_changed(files: str, trial: int) -> str:
    return (
        f"{files} changed since the baseline, trial {trial}; speeds before and after such a change cannot be "
        f"compared; undo it, or record a new baseline with --autoresearch-rebaseline"
    )


def baseline_lost(trial: int, sha256: str) -> str:
    return (
        f"the source of the baseline, trial {trial} (sha256 {sha256[:12]}), is neither in .autoresearch/kernels "
        f"nor in git; restore it, or record a new baseline with --autoresearch-rebaseline"
    )


def baseline_reason(figures: Figures) -> str:
    return f"baseline: first kernel of this log, geomean {_time(figures.geomean_ns_per_op)}/{figures.unit}"


def partial_reason(done: int, items: int) -> str:
    return f"no verdict: {done} of {items} items ran; a verdict needs all of them, run without -k, -m, --lf or ids"


BROKEN_OFF = "no verdict: the run was broken off; nothing was logged"


def log_table(rows: Sequence[Row]) -> list[str]:
    """The rows of a log, short enough to read."""
    head = ("trial", "time", "target", "status", "change of time", "geomean", "description")
    body = [
        (
            str(row.trial),
            row.time[:16].replace("T", " "),
            row.target,
            row.status,
            _change(float(row.speedup)) if row.speedup else "",
            f"{_time(float(row.geomean_ns))}/{row.unit}" if row.geomean_ns else "",
            row.description if len(row.description) <= DESCRIPTION_WIDTH else f"{row.description[:57]}...",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in (head, *body)) for column in range(len(head))]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in (head, *body)]


def summary_line(summary: Summary) -> str:
    """A target's history in one line."""
    best = f"best is trial {summary.best_trial}" if summary.best_trial else "nothing kept yet"
    noise = f", intervals of +-{summary.noise * 100:.2f} %" if summary.noise is not None else ""
    return (
        f"{summary.target}: {many(summary.trials, 'trial')}, {many(summary.keeps, 'keep')}, {best}, "
        f"claimed {summary.claimed_speedup:.3f}x since its baseline, "
        f"{many(summary.plateau, 'trial')} without a keep{noise}"
    )


def verified(rows: int, measured: int, faults: int) -> str:
    """The end of a check of a log."""
    found = "no fault" if faults == 0 else many(faults, "fault")
    return f"{found}: {many(rows, 'row')}, {many(measured, 'verdict')} computed again from raw windows"


def rejudged(trial: int, target: str, status: str, judgement: Judgement) -> str:
    """One trial under other thresholds."""
    word = judgement.kind.value if judgement.kind is not Kind.MORE else "undecided"
    same = "as before" if word == status else f"was {status}"
    return f"trial {trial}, {target}: {word} ({judgement.cause}), {same}, {_speedup_text(judgement.speedup)}"


def replayed(found: Replayed) -> str:
    """A claim and what was measured now."""
    claimed = f"{found.what}: claimed {_times(found.claimed)}"
    if found.measured is None:
        return f"{claimed}; could not be measured again: {found.fault}"
    word = "replicates" if found.replicates else "DOES NOT REPLICATE"
    return f"{claimed}, measured {_times(found.measured)}: {word}"


def audited(total: int, faults: int) -> str:
    if total == 0:
        return "nothing was kept since the baseline; there is nothing to measure again"
    found = "all replicate" if faults == 0 else f"{faults} {'does' if faults == 1 else 'do'} not replicate"
    return f"{found}: {many(total, 'claim')} measured again"


def _times(value: Interval) -> str:
    return f"{value.point:.3f}x [{value.low:.3f}, {value.high:.3f}]"


def rejudged_total(changes: int) -> str:
    return "every verdict stays" if changes == 0 else f"{many(changes, 'verdict')} would change"


def many(count: int, what: str) -> str:
    """'1 row', '2 rows'"""
    return f"{count} {what}{'' if count == 1 else 's'}"


def share_note(share: tuple[float, str], speedup: Interval, unit: str) -> str:
    """What the speed-up means for a whole operation of which the kernel is only a part (Amdahl)."""
    fraction, source = share
    whole = 1 / (1 - fraction + fraction / speedup.point)
    return f"a whole {unit} would change by {_change(whole)}: the kernel is {_percent(fraction)} of it ({source})"


NO_GATE = "no verdict without a gate; add --keep-gate"


def calibrated(found: Calibration) -> str:
    """What a host can tell apart, for the block of a calibration and for the verdicts that come after it."""
    return (
        f"this host tells +-{found.resolution * 100:.1f} % on {found.target} in {found.seconds:.0f} s; "
        f"a slow-down of {_percent(found.injected)} was seen in {found.seen} of {found.runs} runs, "
        f"as {found.measured * 100:+.1f} %"
    )


def calibration_note(found: Calibration | None, target: str) -> str:
    """The newest calibration of this host, or how to get one."""
    if found is None:
        return (
            f"this host is not calibrated; "
            f"pytest --autoresearch={target} --autoresearch-calibrate finds out what it can tell apart"
        )
    return f"{calibrated(found)} (calibrated {found.time[:10]})"


def unmoved(target: str, case: str, moved: float, injected: float) -> str:
    return (
        f"target '{target}': the time of {case} moved by {moved * 100:+.1f} % when its kernel was slowed by "
        f"{_percent(injected)}; expected the timed call to spend its time in kernels.py"
    )


def live_line(progress: Progress) -> str:
    """The status line while measuring."""
    so_far = f"  {_speedup_text(progress.speedup)}" if progress.speedup else ""
    place = f"  {progress.done}/{progress.total}" if progress.total else ""
    return f"{progress.target}: {progress.what}{place}{so_far}  {progress.seconds:.0f} s"


def speed_row(times: CaseTimes, ns_per_op: float, unit: str) -> dict[str, Any]:
    """What a pytest-benchmark row carries besides its statistics (which are seconds per call)."""
    return {
        "unit": unit,
        "ops_per_call": times.ops_per_call,
        f"ns_per_{unit}": ns_per_op,
        "calls_per_window": times.windows[0].calls,
        "windows": len(times.windows),
        "runner_ns_per_call": times.call_overhead_ns,
    }


def interval(value: Interval) -> str:
    """'1.083 [1.079, 1.088]'"""
    return f"{value.point:.4f} [{value.low:.4f}, {value.high:.4f}]"


def _geomean_change(judgement: Judgement, figures: Figures) -> str:
    assert judgement.speedup is not None
    after = figures.geomean_ns_per_op
    before = after * judgement.speedup.point
    return f"geomean {_time_pair(before, after)}/{figures.unit} ({_change(judgement.speedup.point)})"


def _case_change(judgement: Judgement, figures: Figures, rules: Rules) -> str:
    case = judgement.worst_case
    assert case is not None
    ratio = judgement.cases[case].point
    after = figures.ns_per_op[case]
    return f"{case} {_time_pair(after * ratio, after)} ({_change(ratio)}, limit +{_percent(rules.case_limit)})"


def _memory_change(judgement: Judgement, rules: Rules) -> str:
    before, after = judgement.baseline_peak_rss_bytes, judgement.candidate_peak_rss_bytes
    limit = before + min(rules.memory_bytes, rules.memory_fraction * before)
    return f"peak RSS {before / MB:.1f} -> {after / MB:.1f} MB (limit {limit / MB:.1f} MB)"


def _open_question(judgement: Judgement, rules: Rules) -> str:
    """What the windows could not show: that no case regressed, or on which side of the least gain it is."""
    case = min(judgement.cases, key=lambda name: judgement.cases[name].low)
    low = judgement.cases[case].low
    if low > 1 / (1 + rules.case_limit):
        return f"the interval of the overall change is {_range(judgement.speedup)}"
    worst = "by any amount" if low <= 0 else f"by {(1 / low - 1) * 100:.1f} %"
    return f"{case} may be slower {worst} (limit +{_percent(rules.case_limit)})"


def _range(value: Interval | None) -> str:
    return NONE if value is None else f"{_change(value.high)} to {_change(value.low)}"


def _speedup_text(value: Interval | None) -> str:
    if value is None:
        return NONE
    return f"{_change(value.point)} [{_change(value.high)}, {_change(value.low)}]"


def _change(ratio: float) -> str:
    """The change of time that a speed-up means: 1.25 is '-20.0 %'."""
    percent = round((1 / ratio - 1) * 100, 1) if ratio else math.inf
    return f"{percent + 0.0:+.1f} %"


def _percent(fraction: float) -> str:
    return f"{fraction * 100:g} %"


def ns(value: float) -> str:
    """Nanoseconds as a plain decimal with four significant digits or more."""
    return f"{value:.1f}" if value >= 1000 else f"{value:.{max(1, 3 - math.floor(math.log10(value)))}f}"


_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns"))


def _time(ns: float) -> str:
    scale, unit = _scale(ns)
    return f"{_three(ns / scale)} {unit}"


def _time_pair(before_ns: float, after_ns: float) -> str:
    scale, unit = _scale(max(before_ns, after_ns))
    return f"{_three(before_ns / scale)} -> {_three(after_ns / scale)} {unit}"


def _scale(ns: float) -> tuple[float, str]:
    return next((pair for pair in _UNITS if ns >= pair[0]), _UNITS[-1])


def _three(value: float) -> str:
    """Three significant digits at least, never an exponent."""
    digits = 3 if value <= 0 else max(0, 2 - math.floor(math.log10(value)))
    return f"{value:.{min(digits, 6)}f}"


def _interval_json(value: Interval | None) -> dict[str, float | None] | None:
    if value is None:
        return None
    bounded = value.low > 0 and math.isfinite(value.high)
    return {"low": value.low if bounded else None, "point": value.point, "high": value.high if bounded else None}
