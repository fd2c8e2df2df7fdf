"""The kernels of a claim, measured again now: does the gain replicate?

Owns the fresh measurement, what of it is kept in the archive, and what was kept that need not be measured again.
Changes no log.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from pytest_lance_autoresearch.bench.comparison import Comparison
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.errors import AutoresearchError, LogError
from pytest_lance_autoresearch.log import archive, git
from pytest_lance_autoresearch.machine import clocks, environment, interrupt, turns
from pytest_lance_autoresearch.records import ANSWER_TIMEOUT_S, Case, Interval, Progress, Replay, Rules, Step
from pytest_lance_autoresearch.runs import claims
from pytest_lance_autoresearch.runs.pace import Blocks, Pace, in_line
from pytest_lance_autoresearch.runs.stopwatch import Stopwatch
from pytest_lance_autoresearch.target_files import contract, generate, load, seeds, sources
from pytest_lance_autoresearch.verdict import aggregate, judge, stats

if TYPE_CHECKING:
    from pytest_lance_autoresearch.bench.measurement import Show, Turn
    from pytest_lance_autoresearch.log.origins import Origins
    from pytest_lance_autoresearch.log.results import Row
    from pytest_lance_autoresearch.records import Pair, Source
    from pytest_lance_autoresearch.runs.claims import Claim

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
    time: str = ""
    """Of an earlier measurement, which was not made again; '' where it is one of now."""
    unkept: str = ""
    """Why the archive does not hold the measurement; '' where it does."""

    @property
    def replicates(self) -> bool:
        """Not below what was claimed, and where a gain was claimed, a gain."""
        now = self.measured
        return now is not None and stats.replicates(self.claimed, now, is_gain=self.is_gain)


class Planned(NamedTuple):
    """A claim of an audit, with the measurement of before that serves; None where it is to be made."""

    claim: Claim
    known: Replay | None

    @property
    def is_open(self) -> bool:
        """Whether something is to be measured."""
        return self.known is None and not self.claim.fault


class Measured(NamedTuple):
    """What came of a measurement, overall and by case; a case that was measured too seldom has no interval."""

    speedup: Interval
    cases: dict[str, Interval]


class Auditor:
    """Measures claims of one log again, each in `pairs` of processes, or one more where that is an odd number.

    `watch` is told where this stands.
    """

    def __init__(self, origins: Origins, pairs: int, watch: Callable[[Progress], None]) -> None:
        self._origins = origins
        self._per_look = math.ceil(pairs / _LOOKS)
        self._watch = watch
        self._stopwatch = Stopwatch()
        self.pairs = _LOOKS * self._per_look

    def replay(self, number: int) -> Replayed:
        """A row's kernel against the kernel that was its baseline; AutoresearchError when it cannot be had."""
        claim = claims.of_trial(self._origins, number)
        with self._stopwatch.running():
            return self._again(claim, self._pace([claim]))

    def plan(self, *, total_only: bool = False, again: bool = False) -> list[Planned]:
        """The claims of an audit, in its order; with `again`, nothing of before serves.

        LogError where none of its targets that are to be measured can be found.
        """
        kept = [] if again else archive.replays(self._origins.root)
        plan = [
            Planned(claim, self._known(claim, kept))
            for claim in claims.of_keeps(self._origins, total_only=total_only)
        ]
        missing = self._missing({one.claim.row.target for one in plan if one.is_open})
        if missing and set(missing) == {one.claim.row.target for one in plan}:
            raise next(iter(missing.values()))
        return [_unless_missing(one, missing) for one in plan]

    def _missing(self, targets: Iterable[str]) -> dict[str, LogError]:
        """Those that cannot be found, and why."""
        found = {}
        for target in sorted(targets):
            try:
                self._origins.layout(target)
            except LogError as fault:
                found[target] = fault
        return found

    def expected_s(self, plan: Sequence[Planned]) -> float | None:
        """How long carrying it out will take, by what its trials took; None where none says."""
        return self._pace([one.claim for one in plan if one.is_open]).left_s()

    def audit(self, plan: Sequence[Planned]) -> Iterator[Replayed]:
        """Carry the plan out; one fault in a log ends no audit."""
        pace = self._pace([one.claim for one in plan if one.is_open])
        for one in plan:
            interrupt.obey()
            claim, known = one
            if known is not None:
                yield _beside(claim, known.speedup, time=known.time)
            elif claim.fault:
                yield _beside(claim, None, fault=claim.fault)
            else:
                with self._stopwatch.running():
                    found = self._unless_faulty(claim, pace)
                    pace.step_is_done()
                yield found

    def _known(self, claim: Claim, kept: Sequence[Replay]) -> Replay | None:
        """The newest measurement of the same kernels, in as many pairs, on this host as it is now."""
        row = claim.row
        sought = (row.target, row.trial, row.kernel, claim.baseline, row.harness, self.pairs, *_surroundings())
        for one in reversed(kept):
            found = (one.target, one.trial, one.candidate, one.baseline, one.harness, one.pairs)
            if (*found, one.host, one.versions, one.confidence) == sought:
                return one
        return None

    def _pace(self, of: Sequence[Claim]) -> Pace:
        """By what a pair took in each claim's trial; one whose trial does not say takes as long as the others."""
        noted = [claim.pair_s for claim in of if claim.pair_s is not None]
        usual = statistics.fmean(noted) if noted else 1.0
        expected = [self.pairs * (usual if claim.pair_s is None else claim.pair_s) for claim in of]
        return Pace(expected, self._stopwatch.seconds, is_measured=bool(noted) or not of)

    def _unless_faulty(self, claim: Claim, pace: Pace) -> Replayed:
        try:
            return self._again(claim, pace)
        except AutoresearchError as fault:
            return _beside(claim, None, fault=fault.headline)

    def _again(self, claim: Claim, pace: Pace) -> Replayed:
        row = claim.row
        target = self._target(row)
        candidate, before = (self._source(sha256, row, target) for sha256 in (row.kernel, claim.baseline))
        what = f"measuring {claim.what} again, in {self.pairs} pairs of processes"
        self._watch(Progress(row.target, what, None, None, None, is_event=True, left_s=pace.left_s()))
        show, turn = self._shown(claim, target, pace), partial(self._turn, row.target)
        begun_s = self._stopwatch.seconds()
        try:
            measured = _measure(replace(target, kernel=candidate), before, self._per_look, show, turn)
        except AutoresearchError as failure:
            return _beside(claim, None, fault=failure.headline)
        unkept = self._keep(claim, measured, self._stopwatch.seconds() - begun_s)
        return _beside(claim, measured.speedup, unkept=unkept)

    def _keep(self, claim: Claim, measured: Measured, seconds: float) -> str:
        """Store the measurement; the sentence about why that cannot be, or ''."""
        row = claim.row
        host, versions, confidence = _surroundings()
        found = Replay(
            target=row.target,
            trial=row.trial,
            against=claim.against,
            candidate=row.kernel,
            baseline=claim.baseline,
            harness=row.harness,
            host=host,
            time=clocks.utc(),
            versions=versions,
            pairs=self.pairs,
            confidence=confidence,
            speedup=measured.speedup,
            cases=measured.cases,
            seconds=seconds,
        )
        try:
            archive.store_replay(self._origins.root, found)
        except LogError as fault:
            return str(fault)
        return ""

    def _shown(self, claim: Claim, target: load.Target, pace: Pace) -> Show:
        """Tells of every block which one it is, of all that the claim takes, and when the whole audit is over."""
        blocks = Blocks(self.pairs * _blocks_of_a_pair(target), self._stopwatch.seconds)

        def show(case: str, step: Step | None, _: Interval | None) -> None:
            assert step is not None, "a comparison that decides nothing has no events"
            place = blocks.begin(case, step)
            what, left_s = f"{claim.what}, {case}", pace.left_s(blocks.left_s())
            self._watch(Progress(target.name, what, place, None, pace.spent_s(), left_s=left_s))

        return show

    def _turn(self, target: str, seconds: float) -> turns.Turn:
        with self._stopwatch.waiting():
            return turns.take(seconds, in_line(target, self._watch))

    def _target(self, row: Row) -> load.Target:
        target = load.load(self._origins.layout(row.target))
        if target.fingerprint != row.harness:
            raise LogError(
                f"target '{row.target}': its files changed since trial {row.trial}; check out the commit of that "
                f"row ({row.commit.removesuffix(git.UNCOMMITTED) or 'none was noted'}) and run this again"
            )
        return target

    def _source(self, sha256: str, row: Row, target: load.Target) -> Source:
        """A kernel of the log, from the archive or from git."""
        text = self._origins.kernel(sha256, row, target.layout)
        return sources.make(text, target.layout.kernel_path, target.kernel.home)


def _beside(
    claim: Claim, measured: Interval | None, *, fault: str = "", time: str = "", unkept: str = ""
) -> Replayed:
    return Replayed(claim.whole_name, claim.claimed, measured, fault, claim.is_gain, time, unkept)


def _unless_missing(planned: Planned, missing: Mapping[str, LogError]) -> Planned:
    """With the fault of its target, where it was to be measured."""
    fault = missing.get(planned.claim.row.target)
    if fault is None or not planned.is_open:
        return planned
    return planned._replace(claim=replace(planned.claim, fault=fault.headline))


def _surroundings() -> tuple[str, dict[str, str], float]:
    """What a measurement depends on besides the kernels, and how sure its intervals are."""
    return environment.host(), environment.versions(), CONFIDENCE


def _timed(target: load.Target) -> list[Case]:
    return [case for case in contract.cases_of(target) if case.timed]


def _blocks_of_a_pair(target: load.Target) -> int:
    return Rules().blocks * len(_timed(target))


def _measure(target: load.Target, baseline: Source, per_look: int, show: Show, turn: Turn) -> Measured:
    """The speed-up over fresh pairs of processes, half of them at published sizes, half at hidden ones."""
    rules, seed = judge.at_any_price(Rules(pairs=per_look)), seeds.secret_seed()
    processes = Processes(target, ANSWER_TIMEOUT_S, in_process=False)
    comparison = Comparison(target, baseline, _timed(target), rules, processes, show, turn)
    try:
        comparison.measure_all(lambda case: generate.make_state(target, case, seeds.PUBLISHED_SEED), seed)
        for _ in range(_LOOKS - 1):
            comparison.measure_again(seed)
        return _figures(comparison.pairs())
    finally:
        processes.clear()


def _figures(pairs: Sequence[Pair]) -> Measured:
    by_pair = list(map(aggregate.log_ratios, pairs))
    values = {case: [value for of_pair in by_pair for value in of_pair[case]] for case in by_pair[0]}
    cases = {case: stats.median_interval(of_case, 1 - CONFIDENCE) for case, of_case in values.items()}
    bounded = {case: one.ratio() for case, one in cases.items() if math.isfinite(one.low)}
    return Measured(stats.overall(by_pair).interval(1 - CONFIDENCE).ratio(), bounded)
