"""Rows of a log, measured again: does a claimed gain replicate?

Owns which of a log's kernels are compared, and the fresh measurement. Changes no log.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.bench.comparison import Comparison
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.errors import AutoresearchError, LogError
from pytest_lance_autoresearch.log import git, history, results
from pytest_lance_autoresearch.log.origins import Origins
from pytest_lance_autoresearch.machine import turns
from pytest_lance_autoresearch.records import ANSWER_TIMEOUT_S, Cause, Interval, Rules, Status
from pytest_lance_autoresearch.target_files import contract, generate, load, seeds, sources
from pytest_lance_autoresearch.verdict import aggregate, judge, stats
from pytest_lance_autoresearch.words import report

if TYPE_CHECKING:
    from pytest_lance_autoresearch.records import Source

CONFIDENCE = 0.95
_LOOKS = 2


@dataclass(frozen=True)
class Replayed:
    """A claim beside what was measured now; `fault` is the sentence about why nothing could be measured."""

    what: str
    claimed: Interval
    measured: Interval | None
    fault: str = ""
    is_gain: bool = True
    """False for a keep whose claim was equal speed with smaller code."""

    @property
    def replicates(self) -> bool:
        """Not below what was claimed, and where a gain was claimed, a gain."""
        now = self.measured
        is_gain = self.is_gain and self.claimed.low > 1
        return now is not None and now.high >= self.claimed.low and (now.low > 1 or not is_gain)


@dataclass(frozen=True)
class Auditor:
    """Measures claims of one log again, each in `pairs` of processes, or one more where that is an odd number.

    `watch` is told before it begins.
    """

    origins: Origins
    pairs: int
    watch: Callable[[str], None]

    def replay(self, number: int) -> Replayed:
        """A row's kernel against the kernel that was its baseline; AutoresearchError when it cannot be had."""
        row = self.origins.row(number)
        if row.interval is None or row.status not in _CLAIMS:
            raise LogError(
                f"trial {number} ended as '{row.status}' without a measurement; there is nothing to replay"
            )
        record = history.record_of(self.origins.root, row)
        if record.baseline is None:
            raise LogError(f"trial {number}: its record names no baseline; the row was changed")
        is_gain = record.cause is not Cause.SIMPLER
        return self._again(f"trial {number}", row, record.baseline, _claim(row), is_gain=is_gain)

    def audit(self) -> Iterator[Replayed]:
        """Every target's keeps since its newest baseline, one by one, and then all of them together."""
        rows = self.origins.rows
        for target in sorted({row.target for row in rows}):
            chain = [row for row in rows if row.target == target and row.status in results.KEPT]
            baselines = [i for i, row in enumerate(chain) if row.status == Status.BASELINE]
            if not baselines:
                continue
            first, keeps = chain[baselines[-1]], chain[baselines[-1] + 1 :]
            gains = []
            for row in keeps:
                again = self._unless_faulty(f"trial {row.trial}", _claim(row), partial(self.replay, row.trial))
                gains.append(again.is_gain)
                yield again
            if len(keeps) > 1:
                yield self._all_together(first, keeps, is_gain=any(gains))

    def _all_together(self, first: results.Row, keeps: Sequence[results.Row], *, is_gain: bool) -> Replayed:
        newest = keeps[-1]
        what = f"{newest.target}, trial {newest.trial} against trial {first.trial}"
        claimed = stats.product([_claim(row) for row in keeps])
        measure = partial(self._again, what, newest, first.kernel, claimed, is_gain=is_gain)
        return self._unless_faulty(what, claimed, measure)

    def _unless_faulty(self, what: str, claimed: Interval, measure: Callable[[], Replayed]) -> Replayed:
        """One fault in a log ends no audit."""
        try:
            return measure()
        except AutoresearchError as fault:
            return Replayed(what, claimed, None, fault.headline)

    def _again(self, what: str, row: results.Row, baseline: str, claimed: Interval, *, is_gain: bool) -> Replayed:
        target = self._target(row)
        candidate, before = self._source(row.kernel, row, target), self._source(baseline, row, target)
        per_look = math.ceil(self.pairs / _LOOKS)
        self.watch(f"{what}: measuring {_LOOKS * per_look} pairs of processes")
        try:
            measured = _measure(replace(target, kernel=candidate), before, per_look, self.watch)
        except AutoresearchError as failure:
            return Replayed(what, claimed, None, failure.headline, is_gain)
        return Replayed(what, claimed, measured, is_gain=is_gain)

    def _target(self, row: results.Row) -> load.Target:
        target = load.load(self.origins.layout(row.target))
        if target.fingerprint != row.harness:
            raise LogError(
                f"target '{row.target}': its files changed since trial {row.trial}; check out the commit of that "
                f"row ({row.commit.removesuffix(git.UNCOMMITTED) or 'none was noted'}) and run this again"
            )
        return target

    def _source(self, sha256: str, row: results.Row, target: load.Target) -> Source:
        """A kernel of the log, from the archive or from git."""
        text = self.origins.kernel(sha256, row, target.layout)
        return sources.make(text, target.layout.kernel_path, target.kernel.home)


_CLAIMS = (Status.KEEP, Status.DISCARD, Status.PASS, Status.REGRESSED, Status.INCONCLUSIVE)


def _claim(row: results.Row) -> Interval:
    """The speed-up that the row says, with its interval; LogError where it says none that could be."""
    claim = row.interval
    if claim is None or not claim.is_possible:
        raise LogError(f"trial {row.trial}: its speed-up does not lie in its interval; the row was changed")
    return claim


def _turn(watch: Callable[[str], None], seconds: float) -> turns.Turn:
    return turns.take(seconds, lambda position: watch(report.waiting_line(*position)))


def _measure(target: load.Target, baseline: Source, per_look: int, watch: Callable[[str], None]) -> Interval:
    """The overall speed-up over fresh pairs of processes, half of them at published sizes, half at hidden ones."""
    rules, seed = judge.at_any_price(Rules(pairs=per_look)), seeds.secret_seed()
    processes = Processes(target, ANSWER_TIMEOUT_S, in_process=False)
    timed = [case for case in contract.cases_of(target) if case.timed]
    turn = partial(_turn, watch)
    comparison = Comparison(target, baseline, timed, rules, processes, lambda *_: None, turn)
    try:
        comparison.measure_all(lambda case: generate.make_state(target, case, seeds.PUBLISHED_SEED), seed)
        for _ in range(_LOOKS - 1):
            comparison.measure_again(seed)
        ratios = list(map(aggregate.log_ratios, comparison.pairs()))
        return stats.overall(ratios).interval(1 - CONFIDENCE).ratio()
    finally:
        processes.clear()
