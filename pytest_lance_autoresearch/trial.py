"""One trial of one target: checks, measurements, the verdict and its row.

Owns the order of things, the states of the cases and what went wrong. Knows nothing of pytest: it runs in a
plain Python call, and can travel to another machine whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch import (
    aggregate,
    archive,
    calibration,
    cases,
    check,
    clocks,
    environment,
    gate,
    measure,
    report,
    seeds,
)
from pytest_lance_autoresearch.comparison import Comparison
from pytest_lance_autoresearch.errors import AutoresearchError, KernelFailure
from pytest_lance_autoresearch.records import (
    Case,
    CaseTimes,
    Cause,
    Figures,
    Interval,
    Judgement,
    Kind,
    Outcome,
    Progress,
    Rules,
    Status,
)
from pytest_lance_autoresearch.workbench import Workbench

if TYPE_CHECKING:
    from pytest_lance_autoresearch.load import Target

WINDOWS_ALONE = 24
"""Windows of each case when one kernel is measured without a baseline."""
WINDOWS_BRIEF = 2
"""The same in a plain test run, where a speed item is no more than a sign of life."""
PROPERTY_EXAMPLES = 100

Item = tuple[str, str]
"""One thing that must have run before there can be a verdict: its kind and its case."""


@dataclass(frozen=True)
class Settings:
    """How a trial is run; made from the command line by `session`."""

    root: Path
    gate: bool = False
    log: Path | None = None
    """None is `results.tsv` in the target's own directory."""
    brief: bool = False
    """A plain test run: speed items run once, briefly, without placing or locking."""
    in_process: bool = False
    rebaseline: bool = False
    calibrate: bool = False
    seed: int | None = None
    timeout_s: float = 60.0
    description: str = ""
    rules: Rules = field(default_factory=Rules)


class Trial:
    """One run over one edit of one target's kernel."""

    def __init__(
        self,
        target: Target,
        cases: tuple[Case, ...],
        settings: Settings,
        watch: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self.target = target
        self.cases = cases
        self.settings = settings
        self.failures: list[AutoresearchError] = []
        self.outcome: Outcome | None = None
        self._watch = watch
        self._started_s = clocks.now_s()
        self._seed = seeds.secret_seed() if settings.seed is None else settings.seed
        self._done: set[Item] = set()
        self._states: dict[str, Any] = {}
        self._times: dict[str, CaseTimes] = {}
        self._peak_rss_bytes = 0
        self._workbench = Workbench(
            target,
            settings.timeout_s,
            in_process=settings.in_process,
            checks_bounds=not settings.brief,
        )
        self._comparison: Comparison | None = None
        self._has_waited = False
        self._gate = self._open_gate() if settings.gate else None
        self._calibration = archive.find_calibration(settings.root, environment.host(), target.name)

    # What the items run.

    def expected(self) -> frozenset[Item]:
        """Everything that must have run before there can be a verdict."""
        checks = {("correctness", case.id) for case in self.cases}
        speeds = {("speed", case.id) for case in self._timed}
        if self.settings.calibrate:
            speeds = {("calibration", "")}
        properties = {("properties", "")} if self.target.has_properties else set()
        return frozenset(checks | speeds | properties)

    def nothing_to_measure(self) -> str:
        """Why no item need run under this gate: no verdict is possible, or it is clear already; '' otherwise."""
        if self._gate is None:
            return ""
        return self._gate.invalid or self._gate.identical(self.target.kernel)

    def check_case(self, case: Case) -> None:
        """The correctness of one case: published calls, and secret ones when the trial is judged or seeded."""
        with self._recorded(("correctness", case.id)), self._bound(case) as (runner, oracle):
            feed = self._feed(case, seeds.PUBLISHED_SEED, "check")
            check.refuse_other_randomness(feed)
            check.check_calls(runner, oracle, case.id, feed.draw(check.CALLS_PER_CHECK), "published")
            if self._checks_secretly:
                calls = self._feed(case, self._seed, "secret check").draw(check.CALLS_PER_CHECK)
                check.check_calls(runner, oracle, case.id, calls, "secret", self._seed)

    def check_properties(self) -> None:
        """Shapes and values beyond the battery; published examples, or secret ones when judged or seeded."""
        with self._recorded(("properties", "")):
            seed = self._seed if self._checks_secretly else None
            check.check_properties(self.target, self._workbench.checker(), seed, PROPERTY_EXAMPLES)

    def measure_case(self, case: Case) -> CaseTimes:
        """The speed of one case: alone, or under a gate in blocks beside the baseline."""
        with self._recorded(("speed", case.id)), self._timing():
            times = self._compared(case) if self._gate and self._gate.baseline else self._alone(case)
            self._times[case.id] = times
            return times

    def check_speed_once(self, case: Case) -> None:
        """The speed item where timing is impossible: one of its calls runs and is verified."""
        with self._recorded(("untimed", case.id)), self._bound(case) as (runner, oracle):
            calls = self._feed(case, self._seed, "timed").draw(1)
            check.check_calls(runner, oracle, case.id, calls, "timed", self._seed)

    def calibrate(self) -> None:
        """Find out what this host can tell apart, and keep it for the verdicts to come."""
        with self._recorded(("calibration", "")), self._timing():
            states = {case: self._state(case) for case in self._timed}
            is_over = self._is_over_budget
            found = calibration.calibrate(self.target, self._workbench, states, self._seed, is_over, self._show)
            archive.store_calibration(self.settings.root, found)
            self._calibration = found

    def conclude(self) -> Outcome:
        """Judge and log the trial, or say why there is no verdict; a second call returns the first's outcome."""
        if self.outcome is None:
            try:
                self.outcome = self._judged(self._gate) if self._gate else self._unjudged(self._why_no_verdict())
            finally:
                self.close()
        return self.outcome

    def abandon(self) -> Outcome:
        """End without a verdict and without a row."""
        if self.outcome is None:
            self.outcome = self._ended(None, report.BROKEN_OFF)
            self.close()
        return self.outcome

    def close(self) -> None:
        """End every process of the trial; safe at any moment and more than once."""
        self._workbench.clear()

    # States and failures.

    @property
    def _timed(self) -> list[Case]:
        return [case for case in self.cases if case.timed]

    @property
    def _rules(self) -> Rules:
        """Those of the command line, with the intervals that this host needs."""
        return calibration.widened(self.settings.rules, self._calibration, self.target.name)

    @property
    def _checks_secretly(self) -> bool:
        return self.settings.gate or self.settings.seed is not None

    def _state(self, case: Case) -> Any:
        if case.id not in self._states:
            self._states[case.id] = check.make_state(self.target, case, seeds.PUBLISHED_SEED)
        return self._states[case.id]

    def _oracle(self, case: Case) -> check.Oracle:
        return check.Oracle(self.target, self._state(case))

    def _feed(self, case: Case, seed: int, stream: str) -> check.Feed:
        return check.Feed(self.target, case, self._state(case), seed, stream)

    @contextmanager
    def _bound(self, case: Case) -> Iterator[tuple[check.Runner, check.Oracle]]:
        """The kernel where correctness runs, and the oracle, both bound to the case's published state."""
        runner, oracle = self._workbench.checker(), self._oracle(case)
        runner.bind(case.id, check.pickled(self.target, self._state(case)))
        yield runner, oracle
        runner.release(case.id)

    @contextmanager
    def _recorded(self, item: Item) -> Iterator[None]:
        """Note that the item is done, or what went wrong; processes out of step are not used again."""
        try:
            with environment.one_thread():
                yield
        except AutoresearchError as failure:
            if isinstance(failure, KernelFailure) and item[0] in ("speed", "untimed", "calibration"):
                failure.seed = self._seed
            self.failures.append(failure)
            if self._workbench.lost_a_process(failure):
                self._start_over()
            raise
        except BaseException:
            self._start_over()
            raise
        self._done.add(item)

    def _start_over(self) -> None:
        """Give up processes that may be out of step, and with them what they measured."""
        self._workbench.clear()
        self._comparison = None
        self._times.clear()
        self._done = {item for item in self._done if item[0] != "speed"}

    # Measuring.

    @contextmanager
    def _timing(self) -> Iterator[None]:
        """Measure while no other trial on this machine does: timing is never shared."""
        if self.settings.brief:
            yield
            return
        with environment.timing_lock(self._say_that_it_waits):
            yield

    def _say_that_it_waits(self) -> None:
        if not self._has_waited:
            self._show("waiting while another trial on this machine measures", 0, 0)
        self._has_waited = True

    def _alone(self, case: Case) -> CaseTimes:
        brief = self.settings.brief
        process = self._workbench.measured(shared=brief)
        state = check.pickled(self.target, self._state(case))
        feed = self._feed(case, self._seed, "timed")
        null = self._workbench.null()
        with environment.placed([] if brief else [null.pid, process.pid]):
            bench = measure.plan_bench(case.id, state, self._oracle(case), feed, null, process)
            self._show(case.id, len(self._times) + 1, len(self._timed))
            windows = measure.measure_alone(bench, process, WINDOWS_BRIEF if brief else WINDOWS_ALONE)
        self._peak_rss_bytes = max(self._peak_rss_bytes, process.peak_rss_bytes())
        ops = cases.ops_per_call(self.target, case)
        return CaseTimes(case.id, ops, bench.call_overhead_ns, windows)

    def _compared(self, case: Case) -> CaseTimes:
        if self._comparison is None:
            assert self._gate is not None
            assert self._gate.baseline is not None
            self._comparison = Comparison(
                self.target, self._gate.baseline, self._rules, self._workbench, self._show
            )
        return self._comparison.measure_case(case, self._state(case), self._seed)

    def _show(self, what: str, done: int, total: int, speedup: Interval | None = None) -> None:
        self._watch(Progress(self.target.name, what, done, total, speedup, self._seconds()))

    def _is_over_budget(self) -> bool:
        return self._seconds() >= self.settings.rules.max_seconds

    def _seconds(self) -> float:
        return clocks.now_s() - self._started_s

    # The end.

    def _open_gate(self) -> gate.Gate:
        path = self.settings.log or self.target.layout.directory / "results.tsv"
        return gate.open_gate(self.target, self.settings.root, path, rebaseline=self.settings.rebaseline)

    def _judged(self, opened: gate.Gate) -> Outcome:
        """The end of a trial under a gate; a row is written for every end but a partial run."""
        outcome = self._verdict(opened)
        if outcome.status is None:
            return outcome
        return gate.write(opened, self.target, outcome, self._evidence(), self.settings.description)

    def _verdict(self, opened: gate.Gate) -> Outcome:
        if opened.invalid:
            return self._ended(Status.INVALID, f"invalid: {opened.invalid}")
        if identical := opened.identical(self.target.kernel):
            ended = self._ended(Status.DISCARD, identical)
            return replace(ended, judgement=Judgement(Kind.DISCARD, Cause.IDENTICAL))
        if self.failures:
            return self._failed(self._first_failure())
        if not self._done >= self.expected():
            return self._unjudged(report.partial_reason(len(self._done & self.expected()), len(self.expected())))
        if opened.baseline is None:
            figures = self._figures_alone()
            return replace(self._ended(Status.BASELINE, report.baseline_reason(figures)), figures=figures)
        try:
            return self._compared_verdict()
        except AutoresearchError as failure:
            self.failures.append(failure)
            return self._failed(failure)

    def _compared_verdict(self) -> Outcome:
        comparison = self._comparison
        assert comparison is not None, "every speed item is done, and each measures in the comparison"
        with self._timing():
            judgement = comparison.decide(self._timed, self._seconds, self._seed)
        figures = comparison.candidate_figures()
        reason = report.judged_reason(judgement, figures, self._rules)
        ended = self._ended(Status(judgement.kind), reason)
        calibrated = report.calibration_note(self._calibration, self.target.name)
        notes = (*ended.notes, calibrated, *self._share_note(judgement))
        disturbance = aggregate.disturbance(comparison.pairs())
        return replace(ended, figures=figures, judgement=judgement, disturbance=disturbance, notes=notes)

    def _share_note(self, judgement: Judgement) -> tuple[str, ...]:
        share = getattr(self.target.wiring, "COST_FRACTION", None)
        if share is None or judgement.speedup is None:
            return ()
        return (report.share_note(share, judgement.speedup),)

    def _confinement_note(self) -> str:
        return "" if self._workbench.is_confined else report.NOT_CONFINED

    def _why_no_verdict(self) -> str:
        if not self.settings.calibrate:
            return report.NO_GATE
        if self._calibration is None or ("calibration", "") not in self._done:
            return report.partial_reason(len(self._done & self.expected()), len(self.expected()))
        return report.calibrated(self._calibration)

    def _failed(self, failure: AutoresearchError) -> Outcome:
        status = failure.status if isinstance(failure, KernelFailure) else Status.INVALID
        return self._ended(status, f"{status}: {report.headline(failure)}")

    def _unjudged(self, reason: str) -> Outcome:
        """Figures only for a kernel whose every item passed: a wrong one has no time."""
        complete = not self.failures and self._done >= self.expected()
        is_alone = bool(self._times) and self._comparison is None
        figures = self._figures_alone() if complete and is_alone else None
        if self.failures:
            reason = self._failed(self._first_failure()).reason
        return replace(self._ended(None, reason), figures=figures)

    def _first_failure(self) -> AutoresearchError:
        """The kernel's first failure, or else the first fault of its target."""
        kernels = (failure for failure in self.failures if isinstance(failure, KernelFailure))
        return next(kernels, self.failures[0])

    def _ended(self, status: Status | None, reason: str) -> Outcome:
        row = self._gate.row if self._gate else None
        return Outcome(
            target=self.target.name,
            unit=self.target.wiring.UNIT,
            correct=len(self._done & self.expected()),
            failed=len(self.failures),
            items=len(self.expected()),
            seconds=self._seconds(),
            status=status,
            reason=reason,
            windows=self._count_windows(),
            baseline_trial=row.trial if row else None,
            gated=self._gate is not None,
            notes=tuple(filter(None, [environment.missing(), self._confinement_note()])),
        )

    def _count_windows(self) -> int:
        if self._comparison is not None:
            return sum(4 * len(pair.blocks) for pair in self._comparison.pairs())
        return sum(len(times.windows) for times in self._times.values())

    def _figures_alone(self) -> Figures:
        return aggregate.figures(self.target.wiring.UNIT, list(self._times.values()), self._peak_rss_bytes)

    def _evidence(self) -> dict[str, Any]:
        """What the verdict can be computed again from, and the inputs drawn again."""
        comparison = self._comparison
        return {
            "rules": self._rules,
            "looks": comparison.looks if comparison else 0,
            "seed": str(self._seed),
            "alone": list(self._times.values()) if comparison is None else [],
            "overhead_ns": comparison.overhead_ns() if comparison else {},
            "pairs": comparison.pairs() if comparison else [],
        }
