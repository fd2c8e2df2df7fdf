"""What a trial's record comes to, in few numbers.

Owns how a digest is made of a record. Measures nothing.
"""

from __future__ import annotations

import gc
import math
import multiprocessing
import signal
import statistics
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.log import archive, history, results
from pytest_lance_autoresearch.records import (
    CaseDigest,
    Digest,
    Doubt,
    DoubtDigest,
    Evidence,
    Interval,
    Judgement,
    Rules,
    TrialRecord,
)
from pytest_lance_autoresearch.verdict import aggregate, hosts, judge, price
from pytest_lance_autoresearch.words import wording

MANY = 50
"""Missing digests, which are worth processes of their own."""
_NS = 1e9


def of_row(root: Path, row: results.Row) -> Digest:
    """The digest of a row's record: the one that was kept, or made now and kept for the next reader.

    LogError where the record is missing, unreadable, or not the one that the row names, whatever was kept of it.
    """
    text = history.record_text(root, row)
    kept = archive.find_digest(root, row.target, row.record)
    if kept is not None:
        return kept
    made = of(history.record_in(text, root, row))
    archive.store_digest(root, row.target, row.record, made)
    return made


def disagreement(row: results.Row, digest: Digest) -> str:
    """What the row says otherwise than its record, as a sentence; '' where both agree.

    The speed-up of a record whose rules are not known is not compared.
    """
    if digest.status != row.status:
        return f"trial {row.trial}: says '{row.status}', its record says '{digest.status}'; the row was changed"
    known = None if digest.speedup is None else round(digest.speedup, results.SPEEDUP_DECIMALS)
    if digest.min_effect is not None and known != row.speedup:
        said, found = (wording.NONE if one is None else one for one in (row.speedup, known))
        return f"trial {row.trial}: says speedup {said}, its record says {found}; the row was changed"
    return ""


def make_missing(root: Path, rows: Sequence[results.Row]) -> None:
    """Make and keep the digests that the archive lacks, on all cores where they are many, as of an old log.

    What cannot be made is left out.
    """
    missing = [row for row in rows if archive.find_digest(root, row.target, row.record) is None]
    if len(missing) < MANY:
        return
    fresh = multiprocessing.get_context("spawn")  # forking is not safe beside the threads of other libraries
    with ProcessPoolExecutor(mp_context=fresh, initializer=_begin) as pool:
        list(pool.map(partial(_keep, root), missing, chunksize=8))


def _begin() -> None:
    """Interrupts are the parent's. Records hold no cycles, and looking for some takes a tenth of the time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()


def _keep(root: Path, row: results.Row) -> None:
    with suppress(LogError):
        of_row(root, row)


def of(record: TrialRecord) -> Digest:
    """What the record comes to, by the rules it was judged by; by today's where those are not known.

    Which look was the last is known all the same.
    """
    evidence = record.evidence
    rules = record.rules or Rules(max_looks=evidence.looks)
    is_judged = record.cause is not None and any(pair.blocks for pair in evidence.pairs)
    judgement = judge.look(evidence, rules) if is_judged else None
    claims = judgement is not None and record.rules is not None and judgement.race is None
    return Digest(
        record.status,
        record.reason,
        record.cause,
        record.baseline_trial,
        evidence.looks,
        len(evidence.pairs),
        _compared(evidence, judgement) if judgement else _alone(evidence),
        judgement.cpu_speedup.point if judgement and judgement.cpu_speedup else None,
        aggregate.waited(evidence.pairs),
        aggregate.windows_ns(evidence) / _NS,
        math.fsum(pair.seconds or 0.0 for pair in evidence.pairs),
        evidence.waited_s,
        price.build_price(evidence.pairs, rules),
        *(price.peaks(evidence.pairs) if evidence.pairs else (0, 0)),
        judgement.speedup.point if claims and judgement and judgement.speedup else None,
        record.judged_by,
        _open(judgement.doubt) if judgement and judgement.doubt else None,
        *((rules.min_effect, rules.case_limit, rules.max_seconds) if record.rules else (None, None, None)),
    )


def _open(doubt: Doubt) -> DoubtDigest:
    return DoubtDigest(doubt.case, doubt.speedup.point, _low(doubt.speedup), _high(doubt.speedup), doubt.seconds)


def _low(one: Interval) -> float | None:
    return one.low if one.is_bounded else None


def _high(one: Interval) -> float | None:
    return one.high if one.is_bounded else None


def _compared(evidence: Evidence, judgement: Judgement) -> dict[str, CaseDigest]:
    """Every case of a trial with a baseline beside it."""
    blocks = Counter(block.case for pair in evidence.pairs for block in pair.blocks)
    ns_per_call: dict[str, list[float]] = {case: [] for case in judgement.cases}
    counted: Counter[str] = Counter()
    of_first = len(hosts.first(evidence))
    for at, pair in enumerate(evidence.pairs):
        for block in aggregate.undisturbed(pair):
            counted[block.case] += 1
            if at < of_first:
                overhead_ns = pair.call_overhead_ns[block.case]
                ns_per_call[block.case] += aggregate.ns_per_call(block.side("B"), overhead_ns)
    return {
        case: CaseDigest(
            one.point,
            _low(one),
            _high(one),
            statistics.median(ns_per_call[case]),
            blocks[case],
            blocks[case] - counted[case],
        )
        for case, one in judgement.cases.items()
    }


def _alone(evidence: Evidence) -> dict[str, CaseDigest]:
    """Every case of a first baseline."""
    cases = evidence.alone.cases if evidence.alone else ()
    return {
        one.case: CaseDigest(
            None, None, None, statistics.median(aggregate.ns_per_call(one.windows, one.call_overhead_ns)), 0, 0
        )
        for one in cases
    }
