"""The words that a person or an agent reads.

Owns every sentence about a verdict, the block at the end of a run, and its JSON twin. Decides nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pytest_lance_autoresearch.records import (
    BuildPrice,
    Calibration,
    CaseRecall,
    CaseTimes,
    Cause,
    Disturbance,
    Doubt,
    Figures,
    HostSpeedup,
    Interval,
    Judgement,
    Outcome,
    Progress,
    RecallRules,
    RegressionRules,
    Rules,
    Status,
    Verdict,
)
from pytest_lance_autoresearch.words import wording

JSON_SCHEMA = 2
NOT_RUN = "not run"
"""Of the items of a kernel that is its baseline."""
BLOCK_LINES = 25
BLOCK_CHARACTERS = 1200
NOTE_CHARACTERS = 160
"""Of a note in the block; the JSON has it whole."""
LEAST_REASON = 80
EXTREMES = 3
"""Cases at each end, ..."""
EXTREMES_OF_HOSTS = 1
"""... or where several hosts have lines of their own."""
HOSTS_AT_EACH_END = 2
WRONG = (Status.INCORRECT, Status.CRASH, Status.TIMEOUT, Status.REFUSED)


def blocks(outcomes: Iterable[Outcome]) -> list[str]:
    """The blocks of a session, in which every note is said once."""
    said: set[str] = set()
    lines = []
    for outcome in outcomes:
        lines += block(replace(outcome, notes=tuple(note for note in outcome.notes if note not in said)))
        said.update(outcome.notes)
    return lines


def block(outcome: Outcome) -> list[str]:
    """The block of one target, one `key: value` per line, after a lone `---`.

    Without its notes at most BLOCK_LINES lines and BLOCK_CHARACTERS characters, line ends included: the reason has
    what the others leave.
    """
    lines = _lines(outcome)
    others = sum(len(f"{key}: {value}\n") for key, value in lines) + len("---\n") - len(outcome.reason)
    told = {"reason": shortened(outcome.reason, max(LEAST_REASON, BLOCK_CHARACTERS - others))}
    return [
        "---",
        *(f"{key}: {told.get(key, value)}" for key, value in lines),
        *(f"note: {shortened(note, NOTE_CHARACTERS)}" for note in outcome.notes),
    ]


def shortened(sentence: str, most: int) -> str:
    """The sentence in at most so many characters: clauses without a number go first, the last of them first."""
    clauses = re.split(r"(?<=[,;]) ", sentence)
    for place in reversed(range(1, len(clauses))):
        if len(" ".join(clauses)) <= most:
            break
        if not re.search("[0-9]", clauses[place]):
            del clauses[place]
    return wording.cut(" ".join(clauses).rstrip(",;"), most)


def _lines(outcome: Outcome) -> list[tuple[str, str]]:
    figures, unit = outcome.figures, outcome.unit
    verdict = verdict_word(outcome)
    speedup = outcome.judgement.speedup if outcome.judgement else None
    peak_mb = _peak_mb(figures)
    lines = [
        ("target", outcome.target),
        ("correctness", correctness(outcome)),
        (f"geomean_ns_per_{unit}", wording.ns(figures.geomean_ns_per_op) if figures else wording.NONE),
        (f"worst_ns_per_{unit}", wording.ns(figures.ns_per_op[figures.slowest_case]) if figures else wording.NONE),
        (f"best_ns_per_{unit}", wording.ns(figures.ns_per_op[figures.fastest_case]) if figures else wording.NONE),
        ("slowest_case", figures.slowest_case if figures else wording.NONE),
        ("fastest_case", figures.fastest_case if figures else wording.NONE),
        ("peak_rss_mb", wording.NONE if peak_mb is None else f"{peak_mb:.1f}"),
        ("build_ms", _build_ms(outcome.judgement.building if outcome.judgement else None)),
        ("total_seconds", f"{outcome.seconds:.1f}"),
        ("waited_seconds", f"{outcome.waited_s:.1f}"),
        ("speedup", wording.interval(speedup) if speedup else wording.NONE),
        *_recall(outcome.judgement),
        *_extremes(outcome),
        *_hosts(outcome),
        ("verdict", verdict),
        ("reason", outcome.reason),
    ]
    if outcome.disturbance is not None:
        lines.append(("disturbed", disturbed(outcome.disturbance)))
    if outcome.trial is not None:
        lines += [("trial", str(outcome.trial)), ("log", str(outcome.log))]
    return lines


def _extremes(outcome: Outcome) -> list[tuple[str, str]]:
    """The cases that gained most and least, or without a baseline the fastest and the slowest ones."""
    compared, figures = outcome.judgement.cases if outcome.judgement else {}, outcome.figures
    if compared:
        told = [(one.point, f"{case} {wording.interval(one)}") for case, one in compared.items()]
        names = ("most_gained", "least_gained")
    else:
        told = [(-ns, f"{case} {wording.ns(ns)}") for case, ns in (figures.ns_per_op if figures else {}).items()]
        names = ("fastest", "slowest")
    has_hosts = outcome.judgement is not None and bool(outcome.judgement.hosts)
    best, worst = _ends(told, EXTREMES_OF_HOSTS if has_hosts else EXTREMES)
    return [*((names[0], text) for text in best), *((names[1], text) for text in reversed(worst))]


def _ends(told: Sequence[tuple[float, str]], most: int) -> tuple[list[str], list[str]]:
    """The texts with the largest numbers, and those with the least, so many of each at most."""
    ordered = [text for _, text in sorted(told, reverse=True)]
    best = ordered[: min(most, (len(ordered) + 1) // 2)]
    return best, ordered[len(best) :][-most:]


def _recall(judgement: Judgement | None) -> list[tuple[str, str]]:
    """How much of approximate answers is right, and on which case that changed for the worst."""
    measured = _measured_recalls(judgement)
    if not measured:
        return []
    case = min(measured, key=lambda name: measured[name].change)
    return [("recall", f"{_both_recalls(measured)}; {case} {_points(measured[case])}")]


def _measured_recalls(judgement: Judgement | None) -> dict[str, CaseRecall]:
    return {case: one for case, one in judgement.recalls.items() if one.calls} if judgement else {}


def _both_recalls(measured: Mapping[str, CaseRecall]) -> str:
    """The means over cases."""
    candidate, baseline = (
        math.fsum(values) / len(measured)
        for values in zip(*((one.candidate, one.baseline) for one in measured.values()), strict=True)
    )
    return f"{candidate:.4f} (baseline {baseline:.4f})"


def _points(one: CaseRecall) -> str:
    """The change of recall, in percentage points."""
    return f"{100 * one.change:+.2f} [{100 * one.change_low:+.2f}, {100 * one.change_high:+.2f}] points"


def recall_clause(judgement: Judgement | None) -> str:
    """Both kernels' recall, for a sentence about them; '' where answers are exact, or it was not measured."""
    measured = _measured_recalls(judgement)
    return f"; recall {_both_recalls(measured)}" if measured else ""


def _hosts(outcome: Outcome) -> list[tuple[str, str]]:
    """The hosts where the kernel gained most and least; no nanoseconds, which cannot be compared."""
    hosts = outcome.judgement.hosts if outcome.judgement else ()
    best, worst = _ends(
        [(one.speedup.point, f"{one.host} {wording.interval(one.speedup)}") for one in hosts], HOSTS_AT_EACH_END
    )
    return [("host", text) for text in (*best, *worst)]


def _build_ms(price: BuildPrice | None) -> str:
    """What building the kernels takes over all cases."""
    if price is None:
        return wording.NONE
    return f"{price.candidate_ns / 1e6:.1f} (baseline {price.baseline_ns / 1e6:.1f})"


def _peak_mb(figures: Figures | None) -> float | None:
    peak = figures.peak_rss_bytes if figures else None
    return None if peak is None else peak / wording.MB


def disturbed(found: Disturbance) -> str:
    """How much of the measuring others disturbed, and what was done about it."""
    share = "unknown" if found.waited is None else f"{found.waited * 100:.1f} %, taken off"
    return f"time spent waiting for a core: {share}; {found.set_aside} of {found.blocks} blocks set aside"


def correctness(outcome: Outcome) -> str:
    """'pass (49 of 49 items passed)', 'fail (...)', 'incomplete (...)' when items are missing, 'not run (...)'."""
    word = correctness_word(outcome)
    if word == NOT_RUN:
        return f"{word} (the kernel's code is its baseline's)"
    return f"{word} ({outcome.correct} of {outcome.items} items passed)"


def correctness_word(outcome: Outcome) -> str:
    """'pass', 'fail', 'incomplete', or 'not run' where there was no need.

    A failure that is not the kernel's leaves its items undone, such as the baseline's.
    """
    passed = outcome.correct == outcome.items
    is_to_blame = outcome.status is not Status.INVALID
    if outcome.failed and is_to_blame and (not passed or outcome.status in WRONG):
        return "fail"
    is_identical = outcome.judgement is not None and outcome.judgement.cause is Cause.IDENTICAL
    return "pass" if passed else NOT_RUN if is_identical else "incomplete"


def verdict_word(outcome: Outcome) -> str:
    """The verdict as the block says it: the row's status, 'keep (simpler)' for that kind, or 'none'."""
    if outcome.status is None:
        return wording.NONE
    return status_word(outcome.status, outcome.judgement.cause if outcome.judgement else None)


def status_word(status: Status, cause: Cause | None) -> str:
    """A status as a reader is told it: a keep for smaller code alone says so."""
    return "keep (simpler)" if status is Status.KEEP and cause is Cause.SIMPLER else status.value


def of_other_versions(versions: Sequence[str]) -> list[str]:
    """That verdicts by unknown thresholds were not computed again; `versions` has one for each."""
    if not versions:
        return []
    those = list(dict.fromkeys(versions))
    were, they = ("verdict was", "it was") if len(versions) == 1 else ("verdicts were", "they were")
    by = f"version{'s' if len(those) > 1 else ''} {wording.listed(those)}"
    return [f"{len(versions)} {were} not computed again: {they} judged by {by}, whose thresholds were others"]


def claim_not_known(trial: int | None) -> str:
    """Why a log's claim is not told: the trial is the first that cannot be relied on."""
    return f"not known: trial {trial} was changed or is missing; run verify"


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The block as plain JSON values; a number that does not exist is null."""
    figures, judgement = outcome.figures, outcome.judgement
    return {
        "schema": JSON_SCHEMA,
        "target": outcome.target,
        "correctness": {
            "word": correctness_word(outcome),
            "passed": outcome.correct,
            "items": outcome.items,
        },
        "unit": outcome.unit,
        "geomean_ns_per_op": figures.geomean_ns_per_op if figures else None,
        "slowest_case": figures.slowest_case if figures else None,
        "fastest_case": figures.fastest_case if figures else None,
        "cases_ns_per_op": figures.ns_per_op if figures else None,
        "peak_rss_mb": _peak_mb(figures),
        "build_ms": _build_json(judgement.building if judgement else None),
        "total_seconds": outcome.seconds,
        "waited_s": outcome.waited_s,
        "speedup": _interval_json(judgement.speedup if judgement else None),
        "cpu_speedup": _interval_json(judgement.cpu_speedup if judgement else None),
        "case_speedups": _cases_json(judgement.cases) if judgement else None,
        "recalls": {case: asdict(one) for case, one in _measured_recalls(judgement).items()} or None,
        "hosts": [_host_json(host) for host in judgement.hosts] if judgement and judgement.hosts else None,
        "verdict": outcome.status.value if outcome.status else None,
        "cause": judgement.cause.value if judgement else None,
        "reason": outcome.reason,
        "doubt": _doubt_json(judgement.doubt if judgement else None),
        "windows": outcome.windows,
        "disturbance": asdict(outcome.disturbance) if outcome.disturbance else None,
        "trial": outcome.trial,
        "baseline_trial": outcome.baseline_trial,
        "baseline_revision": outcome.baseline_revision or None,
        "log": str(outcome.log) if outcome.log else None,
        "exit_code": outcome.exit_code,
        "notes": [*outcome.notes, *outcome.asides],
    }


def properties(outcome: Outcome) -> dict[str, str]:
    """What junit's XML and other reports of the gate's item carry of its verdict, as text."""
    speedup = outcome.judgement.speedup if outcome.judgement else None
    bounds = asdict(speedup) if speedup else {}
    figures = {f"speedup_{name}": f"{value:.4f}" for name, value in bounds.items()}
    return {"verdict": verdict_word(outcome), "reason": outcome.reason, **figures}


def _build_json(price: BuildPrice | None) -> dict[str, Any] | None:
    if price is None:
        return None
    return {
        "candidate": price.candidate_ns / 1e6,
        "baseline": price.baseline_ns / 1e6,
        "case": price.case,
        "case_candidate": price.case_candidate_ns / 1e6,
        "case_baseline": price.case_baseline_ns / 1e6,
        "case_limit": price.budget_ns / 1e6,
    }


def _cases_json(cases: Mapping[str, Interval]) -> dict[str, Any]:
    return {case: _interval_json(one) for case, one in cases.items()}


def _host_json(one: HostSpeedup) -> dict[str, Any]:
    return {
        "host": one.host,
        "speedup": _interval_json(one.speedup),
        "case_speedups": _cases_json(one.cases),
        "pairs": one.pairs,
    }


def _doubt_json(doubt: Doubt | None) -> dict[str, Any] | None:
    if doubt is None:
        return None
    return {
        "case": doubt.case,
        "host": doubt.host or None,
        "speedup": _interval_json(doubt.speedup),
        "cpu_speedup": _interval_json(doubt.cpu_speedup),
        "is_unconfirmed": doubt.is_unconfirmed,
        "recall": asdict(doubt.recall) if doubt.recall else None,
        "seconds_to_settle": doubt.seconds,
    }


def judged_reason(judgement: Judgement, figures: Figures | None, rules: Rules) -> str:
    """One sentence for a verdict, with the numbers of both sides; no figures where nothing was timed."""
    if figures is None:
        return f"{judgement.verdict.value}: {_price(judgement, rules)}; nothing was timed"
    word = (
        "keep (simpler)"
        if judgement.verdict is Verdict.KEEP and judgement.cause is Cause.SIMPLER
        else judgement.verdict.value
    )
    change = _change_over_hosts(judgement) if judgement.hosts else _geomean_change(judgement, figures)
    return f"{word}: {change}{_explained(judgement, figures, rules)}{recall_clause(judgement)}"


def _explained(judgement: Judgement, figures: Figures, rules: Rules) -> str:
    effect, sure = wording.percent(rules.min_effect), wording.percent(1 - rules.miss)
    match judgement.cause:
        case Cause.FASTER:
            anywhere = " on any" if judgement.hosts else ""
            limit = wording.percent(rules.case_limit)
            return f", no case slower than {limit}{anywhere}, confirmed in fresh processes"
        case Cause.SIMPLER:
            sizes = f"{judgement.baseline_code_size} -> {judgement.candidate_code_size} AST nodes"
            return f", {_similar(judgement, rules)}, and the code is smaller ({sizes})"
        case Cause.SLOWER | Cause.NOT_SLOWER:
            return f", {_slowness(judgement, rules)}"
        case Cause.WITHIN_NOISE:
            return f", within noise (a gain of {effect} is ruled out with {sure} confidence)"
        case Cause.TOO_SMALL:
            return f", faster, but by less than the {effect} that is worth a change (with {sure} confidence)"
        case Cause.CASE_REGRESSED:
            change = _case_on_a_host if judgement.hosts else _case_change
            return f"{_joint(judgement)} {change(judgement, figures, rules)}"
        case Cause.HOST_REGRESSED | Cause.HOSTS_DIFFER:
            return _difference_of_hosts(judgement)
        case Cause.MEMORY | Cause.BUILDING:
            return f"{_joint(judgement)} {_price(judgement, rules)}"
        case Cause.CPU_DISAGREES:
            says = wording.change_of_time(judgement.cpu_speedup)
            return f"{_joint(judgement, says)} its CPU time says {says}; wall and CPU time must agree"
        case Cause.OUTRUN:
            return f", {_outrun(judgement)}"
        case Cause.WORKS_AHEAD | Cause.RECALL if judgement.verdict is not Verdict.INCONCLUSIVE:
            is_lossy = judgement.cause is Cause.RECALL
            fault = _low_recall(judgement, rules) if is_lossy else _works_ahead(judgement)
            return f"{_joint(judgement)} {fault}"
        case _:
            return f", {_end(judgement, rules)}: {_open_question(judgement, rules)}"


def _end(judgement: Judgement, rules: Rules) -> str:
    """How it ended undecided."""
    if judgement.cause is Cause.BUDGET:
        if not rules.max_seconds:
            return "undecided, since no time was left"
        return f"undecided when the time budget of {round(rules.max_seconds, 1):g} s ended"
    return "undecided after the last look"


def _low_recall(judgement: Judgement, rules: Rules) -> str:
    """By how much the recall of a case is too low, by the margin or by the floor."""
    case, wanted = judgement.low_recall, rules.recall
    one = judgement.recalls[case]
    assert wanted is not None, "answers may be approximate"
    if one.change_high < -wanted.margin:
        return _beyond_margin(case, one, wanted)
    return _below_floor(case, f"is {one.candidate:.4f}", wanted)


def _beyond_margin(case: str, one: CaseRecall, wanted: RecallRules) -> str:
    return f"the recall of {case} changes by {_points(one)} (limit {-100 * wanted.margin:+g})"


def _below_floor(case: str, found: str, wanted: RecallRules) -> str:
    return f"the recall of {case} {found} (expected at least {wanted.floors[case]:g})"


def _works_ahead(judgement: Judgement) -> str:
    """That its gain is not one for whoever asks one thing at a time."""
    found = judgement.ahead
    assert found is not None
    return (
        f"its calls take {100 * found.dearer:.0f} % longer where nothing can be known of later ones (at least "
        f"{100 * found.least:.0f} %, with 99.9 % confidence); a kernel works on the call that it was asked"
    )


def _difference_of_hosts(judgement: Judgement) -> str:
    """That one host shows it to be slower, or that they differ by so much that more measuring would not tell."""
    slowest, *_, fastest = sorted(judgement.hosts, key=lambda one: one.speedup.point)
    if judgement.cause is Cause.HOST_REGRESSED:
        worst = min(judgement.hosts, key=lambda one: one.speedup.high)
        return f"{_joint(judgement)} {wording.change_of_time(worst.speedup)} on {worst.host}"
    ends = " and ".join(f"{wording.change(one.speedup.point)} on {one.host}" for one in (slowest, fastest))
    return f", undecided: the hosts differ, {ends}; more measuring would not tell, more hosts would"


def _outrun(judgement: Judgement) -> str:
    """That other candidates of a tournament were faster."""
    found = judgement.race
    assert found is not None
    place = f"outrun in round {found.rounds} of a tournament of {found.candidates}"
    slower = f"{100 * found.slower:.1f} % slower than"
    if found.is_last:
        return f"{place}: {slower} another, which was judged in its place"
    return f"{place}: {slower} its leader (with 95 % confidence)"


def _slowness(judgement: Judgement, rules: Rules) -> str:
    """That a kernel is slower, or in the words of the regression gate, that it is not."""
    if not isinstance(rules, RegressionRules):
        return "slower"
    limit, sure = wording.percent(rules.slowdown_limit), wording.percent(rules.confidence)
    if judgement.cause is Cause.SLOWER:
        return f"slower than the limit of {limit} (with {sure} confidence)"
    case = wording.percent(rules.case_limit)
    return f"not slower than {limit} overall and {case} in any case (with {sure} confidence)"


def _price(judgement: Judgement, rules: Rules) -> str:
    return _build_change(judgement) if judgement.cause is Cause.BUILDING else _memory_change(judgement, rules)


def _build_change(judgement: Judgement) -> str:
    price = judgement.building
    assert price is not None
    before, after, limit = (ns / 1e6 for ns in (price.case_baseline_ns, price.case_candidate_ns, price.budget_ns))
    digits = max(wording.digits_apart(after, limit), wording.digits_apart(before, 0.0))
    return (
        f"building {price.case} takes {before:.{digits}f} -> {after:.{digits}f} ms of CPU "
        f"(limit {limit:.{digits}f} ms)"
    )


def refused_untimed(judgement: Judgement, rules: Rules) -> str:
    """Why the speed items of a candidate that is discarded already have no times."""
    return f"not timed: {_price(judgement, rules)}"


def not_timed(headline: str) -> str:
    """Why the speed items of a trial have no times once one of them failed."""
    return f"not timed: {headline}"


def _joint(judgement: Judgement, second: str = "") -> str:
    """What leads from the overall change to a second one, for the worse unless it has the sign of a gain."""
    assert judgement.speedup is not None
    is_gain = "-" in (wording.change(judgement.speedup.point)[0], second[:1])
    return ", but" if is_gain else ", and"


def _similar(judgement: Judgement, rules: Rules) -> str:
    """How far a kernel that is kept for its smaller code is known to be from the baseline's speed."""
    assert judgement.speedup is not None
    is_within = judgement.speedup.high < 1 + rules.noise_band
    return f"{'equal within +-' if is_within else 'not slower than '}{wording.percent(rules.noise_band)}"


def identical_reason(baseline: str, sha256: str, *, same_bytes: bool) -> str:
    """`baseline`: which trial or revision it is."""
    what = "the kernel is" if same_bytes else "only comments or layout differ; the code is"
    return f"{what} identical to the baseline, {baseline} (sha256 {sha256[:12]}); nothing was measured"


def twin_reason(other: str, sha256: str) -> str:
    """Why a candidate of a tournament is not measured that has the code of an earlier one."""
    return (
        f"the code is identical to that of another candidate, {other} (sha256 {sha256[:12]}); nothing was measured"
    )


def entered(name: str, candidates: int) -> str:
    """What a row says that it was tried: the candidate of a tournament."""
    return f"{name}, one of {candidates} in a tournament"


def no_baseline(log: Path, target: str) -> str:
    """Why there can be no tournament."""
    return (
        f"{log}: holds no baseline of target '{target}', and a tournament compares with one; "
        f"record it with pytest --autoresearch={target} --keep-gate"
    )


def checking_line(name: str) -> str:
    return f"checking {name}"


def round_line(number: int, most: int, left: int) -> str:
    """What a tournament does next."""
    return f"round {number} of at most {most}: {wording.many(left, 'candidate')}"


def tournament_broken_off(told: int, of: int) -> str:
    """What there is of a tournament that was interrupted."""
    again = "the same tournament tries all of them again"
    if told == 0:
        return f"no candidate has a row in the log yet; {again}"
    have = "has a row" if told == 1 else "have a row"
    return f"{told} of {wording.many(of, 'candidate')} {have} in the log; {again}"


def final_line(name: str) -> str:
    return f"final: {name} is judged"


def hosts(names: Sequence[str]) -> str:
    """Where a trial was measured, as its row says it; '' for this host alone."""
    if len(names) <= 1:
        return "".join(names)
    return f"{names[0]} and {wording.many(len(names) - 1, 'other host')}"


def lost(loss: str) -> str:
    """What is told of a host that is gone: `loss` says which, and what it worked on."""
    return f"{loss}; that is done again on another host"


def lost_again(loss: str, what: str) -> str:
    return f"{loss}; so was another host before it, over {what}: it is not tried a third time"


NO_HOST_LEFT = "no host is left of the cluster: all were lost; what has a row in the log is whole"


def waiting_for_host(name: str) -> str:
    return f"waiting for {name}, where another trial measures"


def measuring_on(names: Sequence[str]) -> str:
    return f"measuring on {wording.some(names)}"


MEASURING_AGAIN = "measuring again in fresh processes"
TWO_HOSTS = "two hosts tell little of how much hosts differ: a gain must be nearly the same on both; add a third"


def one_machine(same: int, of: int) -> str:
    """That what counts as several hosts is one."""
    return f"{same} of {of} hosts are nodes of one machine; each counts as a host all the same"


def given(path: Path) -> str:
    """What a baseline is called that the caller gave."""
    return f"{path.name} as it was given"


def harness_changed(files: str, trial: int) -> str:
    return (
        f"{files} changed since the baseline, trial {trial}; speeds before and after such a change cannot be "
        f"compared; undo it, or record a new baseline with --autoresearch-rebaseline"
    )


def overtaken(by: str) -> str:
    return f"invalid: {by}; this kernel was not compared with it; run it again"


def baseline_lost(trial: int, sha256: str, searched: str) -> str:
    """`searched`: what else was looked through, in the words of `git.searched`."""
    return (
        f"the source of the baseline, trial {trial} (sha256 {sha256[:12]}), is neither in .autoresearch/kernels "
        f"nor in {searched}; restore it, or record a new baseline with --autoresearch-rebaseline"
    )


def baseline_reason(figures: Figures, replaced: int | None = None, absent_at: str = "") -> str:
    """`replaced`: the trial whose kernel was the baseline before; `absent_at`: the revision that has none."""
    what = "first kernel of this target in the log"
    if absent_at:
        what = f"the target is not there at {absent_at}"
    elif replaced is not None:
        what = f"recorded in place of trial {replaced}"
    return f"baseline: {what}, geomean {wording.time(figures.geomean_ns_per_op)}/{figures.unit}"


def partial_reason(done: int, items: int) -> str:
    return f"no verdict: {done} of {items} items ran; a verdict needs all of them, run without -k, -m, --lf or ids"


def log_unusable(fault: str) -> str:
    return f"no verdict: {fault}; nothing was logged"


def baseline_missing(log: Path, target: str) -> str:
    return (
        f"no verdict: {log} holds no baseline of target '{target}', and --autoresearch-require-baseline asks "
        f"for one; record it without that option, or name the log that has it with --baseline; nothing was logged"
    )


def uncommitted(files: Sequence[str]) -> str:
    """Of the kernel and of what it is judged with: its modules, and the target's other files."""
    they_are = "are not committed as they are" if len(files) > 1 else "is not committed as it is"
    return f"{wording.some(files)} {they_are}; the verdict is about what is in the working tree"


def revision_unusable(fault: str) -> str:
    return f"no verdict: {fault}"


def new_at(revision: str, target: str) -> str:
    return f"target '{target}' is not there at {revision}, so that there is nothing that it could be slower than"


def moved(revision: str, place: str, target: str) -> str:
    return f"at {revision} target '{target}' was in {place}; the kernel there is the baseline"


def deleted(revision: str, target: str, place: str) -> str:
    return f"at {revision} target '{target}' was in {place}, and it is there no more; nothing of it was judged"


def imports_changed(revision: str, kernels: int) -> str:
    """`kernels`: how many of the two have run; 0 where there was no need."""
    ran = ("", "; the kernel ran with those of now", "; each kernel was measured with its own")[kernels]
    return f"modules that the kernel imports have changed since {revision}{ran}"


def changed_since(revision: str, files: Sequence[str], kernels: int) -> str:
    """`kernels`: how many of the two have run; 0 where there was no need."""
    ran = (
        "",
        "; the kernel was checked by the working tree's",
        "; the verdict rests on the working tree's, for both kernels",
    )[kernels]
    return f"{wording.listed(files)} {'have' if len(files) > 1 else 'has'} changed since {revision}{ran}"


def renamed(names: Sequence[str]) -> tuple[str, ...]:
    """What a first baseline says where the log knows the target's files under other names; none otherwise."""
    if not names:
        return ()
    listed = ", ".join(f"'{name}'" for name in names)
    return (
        f"the log holds trials of the same files as target {listed}; this baseline begins a history of its own, "
        f"and what was kept there is not compared with it",
    )


def waiting_line(number: int, seconds: float | None) -> str:
    """Where a trial stands among those that take turns; no time where none is known, or where it is over."""
    left = f", {wording.about(seconds)}" if seconds else ""
    return f"waiting for its turn to measure: {wording.ordinal(number)} in line{left}"


def waited(seconds: float) -> str:
    how_long = f"{seconds:.0f} s" if seconds >= 1 else "less than 1 s"
    return f"waited {how_long} for its turn to measure; that counts against no budget"


BROKEN_OFF = "no verdict: the run was broken off; nothing was logged"


def share_note(share: tuple[float, str], speedup: Interval) -> str:
    """What the speed-up means for a whole operation of which the kernel is only a part (Amdahl)."""
    fraction, source = share
    whole = 1 / (1 - fraction + fraction / speedup.point)
    return (
        f"the whole operation would change by {wording.change(whole)}: "
        f"the kernel is {wording.percent(fraction)} of it ({source})"
    )


def short_calls(calls_ns: Mapping[str, float]) -> str:
    """What is said of cases whose calls are too short, by case."""
    case = min(calls_ns, key=lambda name: calls_ns[name])
    others = f", the shortest of {len(calls_ns)} cases with short calls" if len(calls_ns) > 1 else ""
    return (
        f"a call of {case} takes {wording.time(calls_ns[case])}{others}; "
        f"below 50 us the runner's own cost weighs too much, so let a call of that shape do more"
    )


NOT_CONFINED = "this system does not confine a kernel's process; what that leaves open is in docs/threat-model.md"


def imported_here(module: str) -> str:
    return (
        f"pytest's own process has imported the kernel '{module}', which could change anything there; what that "
        f"leaves open is in docs/threat-model.md"
    )


NO_GATE = "no verdict without a gate; add --keep-gate"
IN_PROCESS = "no verdict: the kernel ran in pytest's own process, without being timed"
PARALLEL = "no verdict: the items ran in parallel, untimed; add -n0 for times"
RED_SESSION = "a test outside the targets failed; a session that fails records no keep and no baseline"


def calibrated(found: Calibration) -> str:
    """What a host can tell apart, for the block of a calibration and for the verdicts that come after it."""
    return (
        f"this host tells +-{found.resolution * 100:.1f} % on {found.target} in {found.seconds:.0f} s; "
        f"a slow-down of {wording.percent(found.injected)} was seen in {found.seen} of {found.runs} runs, "
        f"as {found.measured * 100:+.1f} %"
    )


def calibration_note(found: Calibration) -> str:
    """The newest calibration of this host."""
    return f"{calibrated(found)} (calibrated {found.time[:10]})"


def unmoved(target: str, case: str, moved: float, injected: float) -> str:
    return (
        f"target '{target}': the time of {case} moved by {moved * 100:+.1f} % when its kernel was slowed by "
        f"{wording.percent(injected)}; expected the timed call to spend its time in kernels.py"
    )


def live_line(progress: Progress) -> str:
    """The status line of long work."""
    so_far = f"  {wording.change_of_time(progress.speedup)}" if progress.speedup else ""
    place = f"  {progress.step.number}/{progress.step.of}" if progress.step else ""
    seconds = "" if progress.seconds is None else f"  {progress.seconds:.0f} s"
    left = "" if progress.left_s is None else f"  {progress.left_s:.0f} s left"
    return f"{progress.target}: {progress.what}{place}{so_far}{seconds}{left}"


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


def _geomean_change(judgement: Judgement, figures: Figures) -> str:
    assert judgement.speedup is not None
    after = figures.geomean_ns_per_op
    before = after * judgement.speedup.point
    return (
        f"geomean {wording.time_change(before, after)}/{figures.unit} ({wording.change(judgement.speedup.point)})"
    )


def _case_change(judgement: Judgement, figures: Figures, rules: Rules) -> str:
    case = judgement.worst_case
    assert case is not None
    ratio = judgement.cases[case].point
    after = figures.ns_per_op[case]
    times, limit = wording.time_change(after * ratio, after), wording.percent(rules.case_limit)
    digits = wording.digits_apart((1 / ratio - 1) * 100, rules.case_limit * 100)
    return f"{case} {times} ({wording.change(ratio, digits)}, limit +{limit})"


def _change_over_hosts(judgement: Judgement) -> str:
    """The nanoseconds of several hosts are never put together."""
    return f"{wording.change_of_time(judgement.speedup)} over {wording.many(len(judgement.hosts), 'host')}"


def _case_on_a_host(judgement: Judgement, _: Figures, rules: Rules) -> str:
    """Where a case is shown most clearly to be slower."""
    case = judgement.worst_case
    assert case is not None
    worst = min(judgement.hosts, key=lambda one: one.cases[case].high)
    percents = (1 / worst.cases[case].point - 1) * 100, rules.case_limit * 100
    change = wording.change(worst.cases[case].point, wording.digits_apart(*percents))
    return f"{case} {change} on {worst.host} (limit +{wording.percent(rules.case_limit)})"


def _memory_change(judgement: Judgement, rules: Rules) -> str:
    before, after = (
        peak / wording.MB for peak in (judgement.baseline_peak_rss_bytes, judgement.candidate_peak_rss_bytes)
    )
    limit = before + min(rules.memory_bytes / wording.MB, rules.memory_fraction * before)
    digits = wording.digits_apart(after, limit)
    return f"peak RSS {before:.{digits}f} -> {after:.{digits}f} MB (limit {limit:.{digits}f} MB)"


def _open_question(judgement: Judgement, rules: Rules) -> str:
    """What the windows could not show, that no case regressed or how large the gain is, and what would show it."""
    doubt = judgement.doubt
    assert doubt is not None, "an inconclusive verdict has one"
    if doubt.recall is not None:
        return _open_recall(doubt, rules)
    if doubt.is_unconfirmed:
        settling = "more time would do" if judgement.hosts else _settling(doubt, rules)
        return f"the second look was missing, which must confirm it over fresh inputs; {settling}"
    if doubt.cpu_speedup is not None:
        says = wording.change_of_time(doubt.cpu_speedup)
        return f"its CPU time says {says}; wall and CPU time must agree; {_settling(doubt, rules)}"
    if doubt.case is None:
        settling = "more hosts would tell" if judgement.hosts else _settling(doubt, rules)
        return f"the interval of the overall change is {_range(doubt.speedup)}; {settling}"
    on_host = f" on {doubt.host}" if doubt.host else ""
    measured = f"measured {wording.change(doubt.speedup.point)}, limit +{wording.percent(rules.case_limit)}"
    if doubt.speedup.low <= 0:
        seldom = f"{doubt.case} was measured too seldom{on_host} to say how much slower it may be ({measured})"
        more = "more time" if doubt.seconds is None else f"{wording.about(doubt.seconds)} more at this rate"
        return f"{seldom}; {more} or a quieter machine would tell"
    worst = (1 / doubt.speedup.low - 1) * 100
    slower = f"{worst:.{wording.digits_apart(worst, rules.case_limit * 100)}f} %"
    settling = "more time or a quieter host would tell" if on_host else _settling(doubt, rules)
    return f"{doubt.case} may be up to {slower} slower{on_host} ({measured}); {settling}"


def _open_recall(doubt: Doubt, rules: Rules) -> str:
    """Which recall the calls so far could not show to be high enough."""
    one, wanted = doubt.recall, rules.recall
    assert one is not None, "it is open"
    assert wanted is not None, "and asked for"
    assert doubt.case is not None, "of a case"
    if not one.calls:
        return f"the recall of {doubt.case} was not measured yet; more time would tell"
    if one.change_low <= -wanted.margin:
        found = _beyond_margin(doubt.case, one, wanted)
    else:
        found = _below_floor(doubt.case, f"may be {one.candidate_low:.4f}", wanted)
    return f"{found} in {wording.many(one.calls, 'call')}; more time would tell"


def _settling(doubt: Doubt, rules: Rules) -> str:
    """How much more measuring, or what else, would end the doubt."""
    if doubt.seconds is None:
        aim = Verdict.PASS if isinstance(rules, RegressionRules) else Verdict.KEEP
        return f"at these numbers, more measuring would not make it a {aim}"
    if doubt.seconds == 0:
        return "nothing in that is open, only the time was too short; raise --autoresearch-max-seconds"
    more = f"{wording.about(doubt.seconds)} more at this rate"
    if doubt.is_unconfirmed:
        return f"{more} would do"
    if doubt.case is None:
        return f"{more} or a quieter machine would settle it"
    return f"{more}, longer calls in that case, or a quieter machine would settle it"


def _range(value: Interval | None) -> str:
    return wording.NONE if value is None else f"{wording.change(value.high)} to {wording.change(value.low)}"


def _interval_json(value: Interval | None) -> dict[str, float | None] | None:
    if value is None:
        return None
    low, high = (value.low, value.high) if value.is_bounded else (None, None)
    return {"low": low, "point": value.point, "high": high}
