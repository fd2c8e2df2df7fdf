"""One trial of one target: checks, measurements, the verdict and its row.

Owns the worker processes, the states of the cases, and the order of things. Knows nothing of pytest: it runs
in a plain Python call, and can travel to another machine whole.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch import (
    aggregate,
    archive,
    check,
    environment,
    judge,
    load,
    log,
    measure,
    report,
    seeds,
    stats,
)
from pytest_lance_autoresearch.errors import (
    AutoresearchError,
    KernelCrashed,
    KernelFailure,
    KernelIncorrect,
    KernelRaised,
    LogError,
    TrialInvalid,
)
from pytest_lance_autoresearch.process import KernelProcess
from pytest_lance_autoresearch.records import (
    Block,
    Case,
    CaseTimes,
    Cause,
    Figures,
    Interval,
    Judgement,
    Kind,
    Outcome,
    PairRecord,
    Progress,
    Rules,
    Source,
    Status,
    Window,
)

if TYPE_CHECKING:
    from pytest_lance_autoresearch.load import Target

MAX_ENDS = 3
"""Worker processes that one kernel may bring to their end before the rest of the trial is given up."""
WINDOWS_ALONE = 24
"""Windows of each case when one kernel is measured without a baseline."""
WINDOWS_BRIEF = 2
"""The same in a plain test run, where a speed item is no more than a sign of life."""
PROPERTY_EXAMPLES = 100


@dataclass(frozen=True)
class Settings:
    """How a trial is run; made from the command line by `options`."""

    root: Path
    gate: bool = False
    log: Path | None = None
    """None is `results.tsv` in the target's own directory."""
    brief: bool = False
    """A plain test run: speed items run once, briefly, without placing or locking."""
    in_process: bool = False
    rebaseline: bool = False
    seed: int | None = None
    timeout_s: float = 60.0
    description: str = ""
    rules: Rules = field(default_factory=Rules)


Watcher = Callable[[Progress], None]


@dataclass
class _Sides:
    """A pair of processes under measurement: its benches and its blocks so far."""

    pair: measure.Pair
    benches: dict[str, measure.Bench] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    def processes(self) -> list[KernelProcess]:
        return [side for side in (self.pair.baseline, self.pair.candidate) if isinstance(side, KernelProcess)]

    def record(self) -> PairRecord:
        baseline, candidate = self.processes()
        return PairRecord(tuple(self.blocks), baseline.peak_rss_bytes(), candidate.peak_rss_bytes())


class Trial:
    """One run over one edit of one target's kernel."""

    def __init__(
        self, target: Target, cases: tuple[Case, ...], settings: Settings, watch: Watcher | None = None
    ) -> None:
        self.target = target
        self.cases = cases
        self.settings = settings
        self.failures: list[AutoresearchError] = []
        self._watch = watch or (lambda _: None)
        self._started_s = time.monotonic()
        self._secret = seeds.secret_seed() if settings.seed is None else settings.seed
        self._done: set[tuple[str, str]] = set()
        self._states: dict[str, Any] = {}
        self._resources = ExitStack()
        self._checker: check.Runner | None = None
        self._alone: KernelProcess | None = None
        self._sides: _Sides | None = None
        self._closed_pairs: list[PairRecord] = []
        self._times: dict[str, CaseTimes] = {}
        self._overhead_ns: dict[str, float] = {}
        self._alone_peak_bytes = 0
        self._ends = 0
        self._quiet = False
        self.outcome: Outcome | None = None
        self.baseline_row: log.Row | None = None
        self._baseline: Source | None = None
        self._gate_fault: TrialInvalid | None = None
        if settings.gate:
            self._open_gate()

    # The items of a target's suite.

    def expected(self) -> frozenset[tuple[str, str]]:
        """Everything that must have run before there can be a verdict."""
        checks = {("correctness", case.id) for case in self.cases}
        speeds = {("speed", case.id) for case in self.cases if case.timed}
        properties = {("properties", "")} if self.target.has_properties else set()
        return frozenset(checks | speeds | properties)

    def nothing_to_measure(self) -> str | None:
        """Why no item need run under this gate: the kernel is the baseline's, or no verdict is possible."""
        if self._gate_fault is not None:
            return str(self._gate_fault)
        if self._baseline is not None and self._baseline.code_sha256 == self.target.kernel.code_sha256:
            assert self.baseline_row is not None
            same = self._baseline.sha256 == self.target.kernel.sha256
            return report.identical_reason(self.baseline_row.trial, self._baseline.sha256, same_bytes=same)
        return None

    def check_case(self, case: Case) -> None:
        """The correctness of one case: published calls, and secret ones when the trial is judged or seeded."""
        with self._recording("correctness", case.id):
            runner = self._runner()
            oracle = check.Oracle(self.target, self._state(case))
            runner.bind(case.id, pickle.dumps(self._state(case)))
            published = self._feed(case, seeds.PUBLISHED_SEED, "check").draw(check.CALLS_PER_CHECK)
            check.check_calls(runner, oracle, case.id, published, "published")
            if self.settings.gate or self.settings.seed is not None:
                secret = self._feed(case, self._secret, "secret check").draw(check.CALLS_PER_CHECK)
                check.check_calls(runner, oracle, case.id, secret, "secret", self._secret)
            runner.release(case.id)

    def check_properties(self) -> None:
        """Shapes and values beyond the battery; published examples, or secret ones when judged or seeded."""
        with self._recording("properties", ""):
            secret = self.settings.gate or self.settings.seed is not None
            check.check_properties(
                self.target, self._runner(), self._secret if secret else None, PROPERTY_EXAMPLES
            )

    def measure_case(self, case: Case) -> CaseTimes:
        """The speed of one case: alone, or under a gate in blocks beside the baseline."""
        with self._recording("speed", case.id):
            if self._baseline is not None:
                return self._measure_paired(case)
            return self._measure_alone(case)

    def check_speed_once(self, case: Case) -> None:
        """The speed item where timing is impossible: its calls run once and are verified."""
        with self._recording("speed check", case.id):
            runner = self._runner()
            oracle = check.Oracle(self.target, self._state(case))
            runner.bind(case.id, pickle.dumps(self._state(case)))
            check.check_calls(
                runner, oracle, case.id, self._feed(case, self._secret, "timed").draw(1), "timed"
            )
            runner.release(case.id)

    def conclude(self) -> Outcome:
        """Judge and log the trial, or say why there is no verdict; the second call returns the first's."""
        if self.outcome is None:
            with self._resources:
                self.outcome = self._judged() if self.settings.gate else self._unjudged(report.NO_GATE)
        return self.outcome

    def abandon(self, reason: str) -> Outcome:
        """End without a verdict and without a row."""
        if self.outcome is None:
            with self._resources:
                self.outcome = self._unjudged(reason)
        return self.outcome

    def close(self) -> None:
        """End every process of the trial; safe at any moment and more than once."""
        self._resources.close()

    # Before measuring.

    @property
    def log_path(self) -> Path:
        return self.settings.log or self.target.layout.directory / "results.tsv"

    def _open_gate(self) -> None:
        """Find the baseline and its source, or the reason why nothing can be judged."""
        rows = log.read(self.log_path)
        row = log.baseline(rows, self.target.name)
        if row is None or self.settings.rebaseline:
            return
        self.baseline_row = row
        if row.harness != self.target.fingerprint:
            changed = _changed_files(row.harness, self.target.fingerprint)
            self._gate_fault = TrialInvalid(
                f"invalid: {changed} changed since the baseline, trial {row.trial}; speeds before and after such "
                f"a change cannot be compared; undo it, or record a new baseline with --autoresearch-rebaseline"
            )
            return
        text = archive.find_kernel(self.settings.root, row, self.target.layout.kernel_path)
        if text is None:
            self._gate_fault = TrialInvalid(
                f"invalid: the source of the baseline, trial {row.trial} (sha256 {row.kernel[:12]}), is neither in "
                f"{archive.FOLDER}/kernels nor in git; restore it, or record a new baseline with "
                f"--autoresearch-rebaseline"
            )
            return
        self._baseline = load.make_source(text, self.target.layout.kernel_path)

    def _state(self, case: Case) -> Any:
        if case.id not in self._states:
            self._states[case.id] = check.make_state(self.target, case, seeds.PUBLISHED_SEED)
        return self._states[case.id]

    def _feed(self, case: Case, seed: int, stream: str, state: Any = None) -> check.Feed:
        return check.Feed(self.target, case, self._state(case) if state is None else state, seed, stream)

    # Processes.

    def _runner(self) -> check.Runner:
        """Where correctness runs; a new process when the last one ended."""
        if self._checker is None:
            if self.settings.in_process:
                from pytest_lance_autoresearch.inprocess import InProcessRunner

                self._checker = InProcessRunner(self.target)
            else:
                self._checker = self._process(self.target.kernel)
        return self._checker

    def _process(self, source: Source) -> KernelProcess:
        if self._ends >= MAX_ENDS:
            first = next(f for f in self.failures if isinstance(f, KernelFailure))
            raise KernelCrashed(
                f"not run: the kernel's process already ended {self._ends} times; first: {first}"
            )
        process = KernelProcess(self.target, source, self.settings.timeout_s)
        self._resources.callback(process.close)
        return process

    def _recording(self, kind: str, case_id: str) -> _Recording:
        return _Recording(self, kind, case_id)

    def note_failure(self, failure: AutoresearchError) -> None:
        """Remember a failure; a process that is no longer in step is not used again."""
        self.failures.append(failure)
        if isinstance(failure, KernelFailure) and not isinstance(failure, KernelIncorrect | KernelRaised):
            self._ends += 1
        self.drop_processes()

    def drop_processes(self) -> None:
        """End every process; the next item starts a new one."""
        self._resources.close()
        self._resources = ExitStack()
        self._checker = self._alone = self._sides = None
        self._quiet = False

    def note_done(self, kind: str, case_id: str) -> None:
        self._done.add((kind, case_id))

    # Measuring.

    def _prepare_to_time(self) -> None:
        """Wait for other trials on this machine, once: timing is never shared."""
        if not self._quiet and not self.settings.brief:
            self._resources.enter_context(
                environment.timing_lock(lambda: self._show("waiting for another trial", 0, 0))
            )
            self._quiet = True

    def _measure_alone(self, case: Case) -> CaseTimes:
        self._prepare_to_time()
        if self._alone is None:
            self._alone = self._process(self.target.kernel)
        runner = self._alone
        state = self._state(case)
        runner.bind(case.id, pickle.dumps(state))
        feed = self._feed(case, self._secret, "timed")
        with environment.placed([] if self.settings.brief else [runner.pid]):
            bench = measure.plan_bench(case.id, check.Oracle(self.target, state), feed, [runner])
            self._show(case.id, 0, 1)
            count = WINDOWS_BRIEF if self.settings.brief else WINDOWS_ALONE
            windows = measure.measure_alone(bench, runner, count)
        self._alone_peak_bytes = max(self._alone_peak_bytes, runner.peak_rss_bytes())
        return self._remember(case, bench, windows)

    def _measure_paired(self, case: Case) -> CaseTimes:
        self._prepare_to_time()
        if self._sides is None:
            self._sides = self._new_sides()
        blocks = self._rules.first_blocks
        with self._placed(self._sides):
            bench = self._add_bench(self._sides, case, self._state(case), self._secret, "timed")
            for done in range(blocks):
                self._show(case.id, done, blocks)
                self._sides.blocks.append(measure.measure_block(bench, self._sides.pair))
        windows = tuple(w for b in self._sides.blocks if b.case == case.id for w in b.side("B"))
        return self._remember(case, bench, windows)

    def _new_sides(self) -> _Sides:
        assert self._baseline is not None
        try:
            baseline = self._process(self._baseline)
        except KernelFailure as failure:
            raise TrialInvalid(f"invalid: the baseline kernel does not run: {failure}") from failure
        return _Sides(measure.Pair(baseline, self._process(self.target.kernel)))

    def _add_bench(self, sides: _Sides, case: Case, state: Any, seed: int, stream: str) -> measure.Bench:
        text = pickle.dumps(state)
        for side in sides.processes():
            side.bind(case.id, text)
        feed = self._feed(case, seed, stream, state)
        bench = measure.plan_bench(case.id, check.Oracle(self.target, state), feed, sides.processes())
        sides.benches[case.id] = bench
        return bench

    def _remember(self, case: Case, bench: measure.Bench, windows: tuple[Window, ...]) -> CaseTimes:
        self._overhead_ns[case.id] = bench.call_overhead_ns
        times = CaseTimes(case.id, self.target.wiring.ops(case.shape), bench.call_overhead_ns, windows)
        self._times[case.id] = times
        return times

    def _placed(self, sides: _Sides) -> Any:
        return environment.placed([process.pid for process in sides.processes()])

    def _show(self, what: str, done: int, total: int, speedup: Interval | None = None) -> None:
        seconds = time.monotonic() - self._started_s
        self._watch(Progress(self.target.name, what, done, total, speedup, seconds))

    # The verdict.

    @property
    def _rules(self) -> Rules:
        return self.settings.rules

    def _judged(self) -> Outcome:
        """The end of a trial under a gate; a row is written for every end but a partial run."""
        refused = self.nothing_to_measure()
        if self._gate_fault is not None:
            return self._logged(self._ended(Status.INVALID, str(refused)))
        if refused is not None:
            judgement = Judgement(Kind.DISCARD, Cause.IDENTICAL)
            return self._logged(replace(self._ended(Status.DISCARD, refused), judgement=judgement))
        failure = next((f for f in self.failures if isinstance(f, KernelFailure)), None)
        if failure is not None:
            return self._logged(self._ended(failure.status, f"{failure.status}: {failure}"))
        if self.failures:
            return self._logged(self._ended(Status.INVALID, f"invalid: {self.failures[0]}"))
        if not self._complete():
            return self._unjudged(
                report.partial_reason(len(self._done & self.expected()), len(self.expected()))
            )
        if self._baseline is None:
            figures = self._alone_figures()
            return self._logged(
                replace(self._ended(Status.BASELINE, report.baseline_reason(figures)), figures=figures)
            )
        return self._logged(self._measured_verdict())

    def _measured_verdict(self) -> Outcome:
        try:
            judgement = self._look_until_decided()
        except KernelFailure as failure:
            self.failures.append(failure)
            return self._ended(failure.status, f"{failure.status}: {failure}")
        except AutoresearchError as fault:
            self.failures.append(fault)
            return self._ended(Status.INVALID, f"invalid: {fault}")
        figures = self._paired_figures(judgement.candidate_peak_rss_bytes)
        reason = report.judged_reason(judgement, figures, self._rules)
        return replace(self._ended(Status(judgement.kind), reason), figures=figures, judgement=judgement)

    def _look_until_decided(self) -> Judgement:
        looks = 1
        while True:
            judgement = judge.look(self._evidence(looks), self._rules)
            if judgement.kind is Kind.RENEW:
                self._renew()
            elif judgement.kind is Kind.MORE:
                self._more_blocks(judgement.speedup)
            else:
                return judgement
            looks += 1

    def _evidence(self, looks: int) -> judge.Evidence:
        assert self._baseline is not None
        return judge.Evidence(
            self._pairs(),
            self._overhead_ns,
            self._baseline.code_size,
            self.target.kernel.code_size,
            looks,
            time.monotonic() - self._started_s,
        )

    def _pairs(self) -> list[PairRecord]:
        return [*self._closed_pairs, *([self._sides.record()] if self._sides else [])]

    def _more_blocks(self, speedup: Interval | None) -> None:
        """One more round over all cases in the newest pair, case by case in turn."""
        assert self._sides is not None
        sides, total = self._sides, self._rules.first_blocks
        with self._placed(sides):
            for done in range(total):
                for bench in sides.benches.values():
                    self._show(bench.key, done, total, speedup)
                    sides.blocks.append(measure.measure_block(bench, sides.pair))

    def _renew(self) -> None:
        """Confirm in fresh processes, with states and calls of a new seed, sizes a little off, all answers verified."""
        assert self._sides is not None
        self._closed_pairs.append(self._sides.record())
        for process in self._sides.processes():
            process.end()
        self._sides = sides = self._new_sides()
        seed = seeds.secret_seed() if self.settings.seed is None else self.settings.seed + 1
        timed = [case for case in self.cases if case.timed]
        with self._placed(sides):
            for number, case in enumerate(timed):
                state = check.make_state(self.target, case, seed, hidden=True)
                bench = self._add_bench(sides, case, state, seed, "confirm")
                for _ in range(self._rules.first_blocks):
                    self._show(f"confirming {case.id}", number, len(timed))
                    sides.blocks.append(measure.measure_block(bench, sides.pair, every=True))

    # The outcome.

    def _complete(self) -> bool:
        return self._done >= self.expected()

    def _unjudged(self, reason: str) -> Outcome:
        alone = [t for t in self._times.values()]
        timed = sum(case.timed for case in self.cases)
        figures = self._alone_figures() if len(alone) == timed and not self.settings.brief else None
        return replace(self._ended(None, reason), figures=figures)

    def _ended(self, status: Status | None, reason: str) -> Outcome:
        """The outcome without figures: a trial that failed has no time."""
        return Outcome(
            target=self.target.name,
            unit=self.target.wiring.UNIT,
            correct=len(self._done & self.expected()),
            items=len(self.expected()),
            seconds=time.monotonic() - self._started_s,
            status=status,
            reason=reason,
            windows=self._count_windows(),
            baseline_trial=self.baseline_row.trial if self.baseline_row else None,
            notes=tuple(filter(None, [environment.missing()])),
        )

    def _count_windows(self) -> int:
        paired = sum(4 * len(pair.blocks) for pair in self._pairs())
        return paired or sum(len(times.windows) for times in self._times.values())

    def _alone_figures(self) -> Figures:
        peak = self._alone_peak_bytes
        if self._sides is not None:
            peak = self._sides.record().candidate_peak_rss_bytes
        return aggregate.figures(self.target.wiring.UNIT, list(self._times.values()), peak)

    def _paired_figures(self, peak_rss_bytes: int) -> Figures:
        blocks = [block for pair in self._pairs() for block in pair.blocks]
        times = [
            replace(t, windows=tuple(w for b in blocks if b.case == t.case for w in b.side("B")))
            for t in self._times.values()
        ]
        return aggregate.figures(self.target.wiring.UNIT, times, peak_rss_bytes)

    def _logged(self, outcome: Outcome) -> Outcome:
        """Archive the kernel and the raw windows, then write the row."""
        root, target = self.settings.root, self.target
        try:
            kernel = archive.store_kernel(root, target.kernel.text)
            record = archive.store_trial(root, target.name, self._record(outcome))
            row = log.append(self.log_path, _row(outcome, self, kernel, record))
        except LogError as error:
            raise LogError(f"{error}; what it would have said: {outcome.reason}") from error
        return replace(outcome, trial=row.trial, log=self.log_path)

    def _record(self, outcome: Outcome) -> dict[str, Any]:
        """What the verdict can be computed again from."""
        return {
            "target": self.target.name,
            "status": outcome.status,
            "reason": outcome.reason,
            "rules": self._rules,
            "seed": str(self._secret),
            "candidate": self.target.kernel.sha256,
            "baseline": self._baseline.sha256 if self._baseline else None,
            "baseline_trial": outcome.baseline_trial,
            "code_sizes": [
                self._baseline.code_size if self._baseline else None,
                self.target.kernel.code_size,
            ],
            "overhead_ns": self._overhead_ns,
            "alone": list(self._times.values()) if self._baseline is None else [],
            "pairs": self._pairs(),
            "host": environment.host(),
            "versions": environment.versions(),
        }


class _Recording:
    """Notes how one item ended: done, or failed with a fault that the verdict must know of."""

    def __init__(self, trial: Trial, kind: str, case_id: str) -> None:
        self._trial, self._kind, self._case_id = trial, kind, case_id

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        if error is None:
            self._trial.note_done(self._kind, self._case_id)
        elif isinstance(error, AutoresearchError):
            self._trial.note_failure(error)
        else:
            self._trial.drop_processes()


def _changed_files(before: str, now: str) -> str:
    old = dict(part.split(":") for part in before.split(",") if ":" in part)
    new = dict(part.split(":") for part in now.split(","))
    return ", ".join(f"{stem}.py" for stem in new if old.get(stem) != new[stem])


def _row(outcome: Outcome, trial: Trial, kernel: str, record: str) -> log.Row:
    judgement, figures = outcome.judgement, outcome.figures
    speedup = judgement.speedup if judgement else None
    worst = judgement.worst_case if judgement and judgement.speedup else None
    return log.Row(
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        target=outcome.target,
        status=outcome.status or "",
        speedup=f"{speedup.point:.5f}" if speedup else "",
        ci_low=f"{speedup.low:.5f}" if speedup else "",
        ci_high=f"{speedup.high:.5f}" if speedup else "",
        worst_case=worst or "",
        worst_speedup=f"{judgement.cases[worst].point:.5f}" if judgement and worst else "",
        geomean_ns=f"{figures.geomean_ns_per_op:.1f}" if figures else "",
        unit=outcome.unit,
        peak_rss_mb=f"{figures.peak_rss_bytes / report.MB:.1f}" if figures else "",
        windows=str(outcome.windows),
        seconds=f"{outcome.seconds:.1f}",
        kernel=kernel,
        commit=environment.commit(trial.target.layout.directory),
        harness=trial.target.fingerprint,
        host=environment.host(),
        description=trial.settings.description or outcome.reason,
        record=record,
    )
