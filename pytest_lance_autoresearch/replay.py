"""Rows of a log, measured again: does a claimed gain replicate?

Owns finding a row's two kernels and the target that they belong to, and the fresh measurement. Changes no log.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_lance_autoresearch import (
    aggregate,
    archive,
    cases,
    check,
    discover,
    environment,
    history,
    load,
    log,
    report,
    seeds,
    stats,
)
from pytest_lance_autoresearch.comparison import Comparison
from pytest_lance_autoresearch.errors import AutoresearchError, LogError
from pytest_lance_autoresearch.records import Interval, Rules, Status
from pytest_lance_autoresearch.workbench import Workbench

if TYPE_CHECKING:
    from pytest_lance_autoresearch.records import Layout, Source

CONFIDENCE = 0.95
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Replayed:
    """A claim beside what was measured now; `fault` is the sentence about why nothing could be measured."""

    what: str
    claimed: Interval
    measured: Interval | None
    fault: str = ""

    @property
    def replicates(self) -> bool:
        """Not below what was claimed, and where a gain was claimed, a gain."""
        now, then = self.measured, self.claimed
        return now is not None and now.high >= then.low and (then.low <= 1 or now.low > 1)


def replay(rows: Sequence[log.Row], number: int, root: Path, pairs: int, watch: Callable[[str], None]) -> Replayed:
    """The row's kernel against the kernel that was its baseline; LogError when there is no such measured row."""
    row = next((row for row in rows if row.trial == number), None)
    if row is None:
        raise LogError(f"there is no trial {number}; the log holds trials 1 to {len(rows)}")
    if not history.is_measured(row):
        raise LogError(f"trial {number} ended as '{row.status}' without a measurement; there is nothing to replay")
    baseline = history.record_of(root, row)["baseline"]
    return _measured_again(f"trial {number}", row, baseline, _claim(row), root, pairs, watch)


def audit(rows: Sequence[log.Row], root: Path, pairs: int, watch: Callable[[str], None]) -> Iterator[Replayed]:
    """Every target's keeps since its newest baseline, one by one, and then all of them together."""
    for target in sorted({row.target for row in rows}):
        chain = [row for row in rows if row.target == target and row.status in history.KEPT]
        first = max(i for i, row in enumerate(chain) if row.status == Status.BASELINE)
        keeps = chain[first + 1 :]
        for row in keeps:
            yield replay(rows, row.trial, root, pairs, watch)
        if len(keeps) > 1:
            what = f"{target}, trial {keeps[-1].trial} against trial {chain[first].trial}"
            claimed = _product([_claim(row) for row in keeps])
            yield _measured_again(what, keeps[-1], chain[first].kernel, claimed, root, pairs, watch)


def _claim(row: log.Row) -> Interval:
    return Interval(float(row.ci_low), float(row.speedup), float(row.ci_high))


def _product(claims: Sequence[Interval]) -> Interval:
    """Of independent claims; their half widths add up as errors do."""
    point = math.fsum(math.log(claim.point) for claim in claims)
    half = math.sqrt(math.fsum((math.log(claim.high / claim.low) / 2) ** 2 for claim in claims))
    return stats.LogEstimate(point - half, point, point + half).ratio()


def _measured_again(
    what: str,
    row: log.Row,
    baseline_sha256: str,
    claimed: Interval,
    root: Path,
    pairs: int,
    watch: Callable[[str], None],
) -> Replayed:
    target = load.load(_layout(row, root))
    if target.fingerprint != row.harness:
        raise LogError(
            f"target '{row.target}': its files changed since trial {row.trial}; check out the commit of that row "
            f"({row.commit or 'none was noted'}) and run this again"
        )
    candidate, baseline = (_source(root, sha256, row, target) for sha256 in (row.kernel, baseline_sha256))
    watch(f"{what}: measuring {pairs} pairs of processes")
    try:
        measured = _measure(replace(target, kernel=candidate), baseline, pairs)
    except AutoresearchError as failure:
        return Replayed(what, claimed, None, report.headline(failure))
    return Replayed(what, claimed, measured)


def _layout(row: log.Row, root: Path) -> Layout:
    layouts = discover.discover(root, discover.DEFAULT_GLOBS)
    found = next((layout for layout in layouts if layout.name == row.target), None)
    if found is None:
        raise LogError(f"there is no target '{row.target}' below {root}; expected targets/{row.target}/kernels.py")
    return found


def _source(root: Path, sha256: str, row: log.Row, target: load.Target) -> Source:
    text = archive.kernel(root, sha256)
    if text is None:
        raise LogError(f"trial {row.trial}: the kernel with sha256 {sha256[:12]} is not in the archive of {root}")
    return load.make_source(text, target.layout.kernel_path)


def _measure(target: load.Target, baseline: Source, pairs: int) -> Interval:
    """The overall speed-up over fresh pairs of processes, at published sizes first, then at hidden ones."""
    workbench = Workbench(target, TIMEOUT_S, in_process=False)
    rules, seed = Rules(), seeds.secret_seed()
    comparison = Comparison(target, baseline, rules, workbench, lambda *_: None)
    timed = [case for case in cases.cases(target) if case.timed]
    try:
        with environment.timing_lock(lambda: None):
            for case in timed:
                comparison.measure_case(case, check.make_state(target, case, seeds.PUBLISHED_SEED), seed)
            for _ in range(pairs - 1):
                comparison.measure_again(timed, seed)
        ratios = [aggregate.log_ratios(pair, comparison.overhead_ns()) for pair in comparison.pairs()]
        return stats.overall(ratios, rules.process_sd).interval(1 - CONFIDENCE).ratio()
    finally:
        workbench.clear()
