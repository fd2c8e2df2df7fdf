"""Whether a night is to be believed: what speaks for it and what speaks against it, by rule.

Owns the rules and their sentences. Reads nothing; docs/report.md lists them.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pytest_lance_autoresearch.log import results
from pytest_lance_autoresearch.log.night import Night, Trial
from pytest_lance_autoresearch.page.facts import Facts
from pytest_lance_autoresearch.records import Replay, Status
from pytest_lance_autoresearch.verdict import stats
from pytest_lance_autoresearch.words import report, wording

MUCH_WAITING = 0.05
"""Share of the windows' time; beyond it the machine was busy."""
MANY_OPEN = 1 / 3
"""Share of the measured trials; beyond it the machine or the time budget decided, and not the kernels."""
MANY_TRIALS = 10
"""A sentence names no more of them one by one."""


class Kind(StrEnum):
    """What a remark does to the claim."""

    GOOD = "good"
    LOOK = "look at this"
    KNOW = "to know"


@dataclass(frozen=True)
class Remark:
    """One thing that was looked at."""

    kind: Kind
    text: str
    details: tuple[str, ...] = ()


def typed(verb: str, facts: Facts, *more: str) -> str:
    """A command about the log, as a sentence tells what to type; with the archive's folder where it was named."""
    root = ["--root", str(facts.named_root)] if facts.named_root else []
    return f"'python -m pytest_lance_autoresearch {shlex.join([verb, str(facts.log), *more, *root])}'"


def audit_of(facts: Facts) -> Replay | None:
    """The newest measurement of the kernel that was kept last against the newest baseline; None without one."""
    chain = [trial.row for trial in facts.night.current if trial.is_kept]
    if len(chain) < 2:
        return None
    return audit_between(facts, chain[-1], chain[0])


def audit_between(facts: Facts, candidate: results.Row, baseline: results.Row) -> Replay | None:
    """The newest measurement of a row's kernel against another row's, with the target's files as they were."""
    wanted = (candidate.kernel, baseline.kernel, candidate.harness)
    found = (one for one in facts.audits if (one.candidate, one.baseline, one.harness) == wanted)
    return next(reversed(list(found)), None)


def remarks(facts: Facts) -> tuple[Remark, ...]:
    """All that bears on whether the night is to be believed, those to look at first."""
    found = [
        *_audited(facts),
        *_checked(facts),
        *_of_other_versions(facts.night),
        *_known(facts.night),
        *_torn(facts),
        *_hosts(facts.night),
        *_versions(facts),
        *_load(facts.night),
        *_open(facts.night),
        *_queued(facts.night),
        *_baselines(facts.night),
    ]
    return tuple(sorted(found, key=lambda remark: remark.kind is not Kind.LOOK))


def summary(found: tuple[Remark, ...]) -> str:
    """All remarks in one sentence."""
    against = sum(remark.kind is Kind.LOOK for remark in found)
    if not against:
        return "Nothing that was looked at speaks against it."
    return f"{wording.many(against, 'point')} to look at before you believe it."


def _audited(facts: Facts) -> Iterator[Remark]:
    night, audit = facts.night, audit_of(facts)
    if not night.keeps:
        return
    if night.current[0].row.status is not Status.BASELINE:
        yield Remark(
            Kind.LOOK,
            "The row of the baseline is missing, so nothing that was kept can be measured against it again.",
        )
        return
    if audit is None:
        newest = night.keeps[-1].row.trial
        yield Remark(
            Kind.LOOK,
            f"Nobody has measured the kernel of trial {newest} against the baseline again; "
            f"{typed('audit', facts)} does.",
        )
        return
    if night.claimed is None:
        yield Remark(
            Kind.LOOK,
            f"What is claimed is {report.claim_not_known(night.damaged)}. The kernel that was kept last was "
            f"measured again on {audit.time[:10]}: {wording.times(audit.speedup)}.",
        )
        return
    is_gain = not all(trial.is_simpler for trial in night.keeps)
    holds = stats.replicates(night.claimed, audit.speedup, is_gain=is_gain)
    word = "replicates" if holds else "does NOT replicate"
    yield Remark(
        Kind.GOOD if holds else Kind.LOOK,
        f"What is claimed {word}: measured again on {audit.time[:10]}, it was {wording.times(audit.speedup)}, "
        f"with {audit.confidence * 100:g} % confidence over {wording.many(audit.pairs, 'pair')} of processes.",
    )


def _checked(facts: Facts) -> Iterator[Remark]:
    rows = wording.many(len(facts.night.trials), "row")
    chain = f"The chain of {rows} is unbroken"
    again = _again(facts)
    if facts.faults:
        found = wording.many(len(facts.faults), "fault")
        yield Remark(Kind.LOOK, f"The check of {rows} found {found}.{again}", facts.faults)
    elif facts.root is None:
        yield Remark(
            Kind.LOOK,
            f"{chain}, but there is no archive beside the log: neither kernels nor records could be checked.",
        )
    else:
        yield Remark(
            Kind.GOOD,
            f"{chain}, and the archive holds the kernels and records that they name.{again}",
        )


def _again(facts: Facts) -> str:
    """What 'verify' does beyond this check, as a sentence; '' where it can do no more."""
    judged = [_is_by_others(trial) for trial in facts.night.trials if trial.row.interval]
    if judged and all(judged):
        return ""
    known = " where their thresholds are known" if any(judged) else ""
    return f" Their verdicts were not computed again from raw windows; {typed('verify', facts)} does that{known}."


def _is_by_others(trial: Trial) -> bool:
    """Whether its verdict rests on thresholds of another version, which are not known here."""
    return bool(trial.row.interval and trial.digest and trial.digest.min_effect is None)


def _of_other_versions(night: Night) -> Iterator[Remark]:
    versions = [trial.digest.version for trial in night.trials if trial.digest and _is_by_others(trial)]
    for sentence in report.of_other_versions(versions):
        yield Remark(Kind.KNOW, f"{sentence}.")


def _known(night: Night) -> Iterator[Remark]:
    missing = [trial for trial in night.trials if trial.digest is None]
    if missing and len(missing) < len(night.trials):
        yield Remark(
            Kind.LOOK,
            f"{len(missing)} of the {len(night.trials)} trials {'has' if len(missing) == 1 else 'have'} no record "
            f"that can be read; nothing but the row is known there.",
        )


def _torn(facts: Facts) -> Iterator[Remark]:
    if facts.torn:
        yield Remark(Kind.LOOK, f"{facts.torn}.")


def _hosts(night: Night) -> Iterator[Remark]:
    by_host: dict[str, list[int]] = {}
    for trial in night.current:
        by_host.setdefault(trial.row.host, []).append(trial.row.trial)
    if len(by_host) > 1:
        found = tuple(f"{host or 'unknown'}: {_numbers(trials)}" for host, trials in by_host.items())
        yield Remark(
            Kind.LOOK,
            f"The trials since the newest baseline ran on {len(by_host)} hosts; what is claimed is a product of "
            f"gains that were measured on different machines.",
            found,
        )


def _versions(facts: Facts) -> Iterator[Remark]:
    first, newest = facts.versions[:1], facts.versions[-1:]
    for before, after in zip(first, newest, strict=True):
        names = [name for name in after.found if before.found.get(name) != after.found[name]]
        if names:
            yield Remark(
                Kind.LOOK,
                f"Trial {before.trial} and trial {after.trial} ran with different versions of "
                f"{wording.listed(names)}.",
            )


def _numbers(trials: list[int]) -> str:
    return f"trial{'s' if len(trials) > 1 else ''} {wording.some(list(map(str, trials)), MANY_TRIALS)}"


def _load(night: Night) -> Iterator[Remark]:
    seen = [(trial, trial.digest) for trial in night.trials if trial.digest and trial.digest.windows_s]
    told = [(trial, digest.waited, digest.windows_s) for trial, digest in seen if digest.waited is not None]
    if not told:
        return
    share = math.fsum(waited * seconds for _, waited, seconds in told) / math.fsum(of for _, _, of in told)
    worst, most, _ = max(told, key=lambda one: one[1])
    blocks = sum(case.blocks for _, digest in seen for case in digest.cases.values())
    aside = sum(case.set_aside for _, digest in seen for case in digest.cases.values())
    yield Remark(
        Kind.LOOK if share > MUCH_WAITING else Kind.GOOD,
        f"{share * 100:.1f} % of the windows' time was spent waiting for a core, and was taken off; the most was "
        f"{most * 100:.1f} %, in trial {worst.row.trial}. {aside} of {blocks} blocks were disturbed too much, and "
        f"were set aside.",
    )


def _open(night: Night) -> Iterator[Remark]:
    measured = [trial for trial in night.trials if trial.row.interval]
    still = [trial for trial in measured if trial.row.status is Status.INCONCLUSIVE]
    if still:
        yield Remark(
            Kind.LOOK if len(still) > MANY_OPEN * len(measured) else Kind.KNOW,
            f"{len(still)} of {wording.many(len(measured), 'measured trial')} ended inconclusive: "
            f"{_numbers([trial.row.trial for trial in still])}.",
        )


def _queued(night: Night) -> Iterator[Remark]:
    waited = [trial.digest.waited_s for trial in night.trials if trial.digest and trial.digest.waited_s >= 1]
    if waited:
        yield Remark(
            Kind.KNOW,
            f"{wording.many(len(waited), 'trial')} waited for a turn to measure, "
            f"{wording.span(math.fsum(waited))} in all.",
        )


def _baselines(night: Night) -> Iterator[Remark]:
    starts = [trial for trial in night.trials if trial.row.status is Status.BASELINE]
    if len(starts) > 1:
        yield Remark(
            Kind.KNOW,
            f"The target has {len(starts)} baselines in this log; what is claimed counts from the newest, "
            f"{of_trial(starts[-1])}.",
        )


def of_trial(trial: Trial) -> str:
    return f"trial {trial.row.trial}"
