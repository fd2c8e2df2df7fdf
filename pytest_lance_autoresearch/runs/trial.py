"""One trial of one target: checks, measurements, the verdict and its row.

Owns the order of things, the states of the cases and what went wrong. Knows nothing of pytest: it runs in a
plain Python call, and can travel to another machine whole.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_lance_autoresearch.bench import check, memo, properties
from pytest_lance_autoresearch.bench.alone import Alone
from pytest_lance_autoresearch.bench.comparison import Comparison
from pytest_lance_autoresearch.bench.oracles import Oracle
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.errors import AutoresearchError, KernelFailure, LogError, TargetError
from pytest_lance_autoresearch.log import archive, gate
from pytest_lance_autoresearch.machine import environment, turns
from pytest_lance_autoresearch.records import (
    ANSWER_TIMEOUT_S,
    Calibration,
    Case,
    CaseTimes,
    Cause,
    Evidence,
    Interval,
    Judgement,
    Outcome,
    Progress,
    RegressionRules,
    Rules,
    Status,
    Step,
)
from pytest_lance_autoresearch.runs import calibration, pace
from pytest_lance_autoresearch.runs.conclusion import Facts
from pytest_lance_autoresearch.runs.over_hosts import Gather, OverHosts
from pytest_lance_autoresearch.runs.stopwatch import Stopwatch
from pytest_lance_autoresearch.target_files import contract, generate, seeds
from pytest_lance_autoresearch.target_files.states import States
from pytest_lance_autoresearch.verdict import judge
from pytest_lance_autoresearch.words import report

if TYPE_CHECKING:
    from pytest_lance_autoresearch.bench.measurement import Measurement
    from pytest_lance_autoresearch.bench.runner import Answers, Runner
    from pytest_lance_autoresearch.records import Source
    from pytest_lance_autoresearch.target_files.load import Target

STATES_BRIEF_BYTES = 60_000_000
"""Most states that a plain test run keeps of one target; a judged trial keeps them all."""
PROPERTY_EXAMPLES = 100


class ItemKind(StrEnum):
    """What an item of a trial does."""

    CORRECTNESS = "correctness"
    PROPERTIES = "properties"
    SPEED = "speed"
    UNTIMED = "untimed"
    """A speed item where timing is impossible."""
    CALIBRATION = "calibration"


class Item(NamedTuple):
    """One thing that must have run before there can be a verdict; `case` is empty where there is not just one."""

    kind: ItemKind
    case: str = ""


class Checked(NamedTuple):
    """What is known of a kernel's correctness."""

    done: frozenset[Item]
    failures: tuple[AutoresearchError, ...]
    seconds: float
    is_confined: bool


@dataclass(frozen=True)
class Settings:
    """How a trial is run; made from the command line by `plugin.suite`."""

    root: Path
    gate: bool = False
    log: Path | None = None
    """None is the target's own, or no log against a revision."""
    revision: str = ""
    """The name of the revision that is the baseline, instead of the log's best kernel; '' is none."""
    baseline: Source | None = None
    """The kernel that is the baseline, instead of both; then there is no log."""
    selected: frozenset[Item] | None = None
    """The items that are going to run; what case none of them is about is not measured. None is all."""
    brief: bool = False
    """A plain test run: speed items run once, briefly, without placing or locking."""
    is_entry: bool = False
    """One that a tournament chooses from: it is checked once more before it can be kept, for any processor too."""
    states: Path | None = None
    """The folder where states with the published seed are stored; None is nowhere."""
    in_process: bool = False
    rebaseline: bool = False
    require_baseline: bool = False
    calibrate: bool = False
    seed: int | None = None
    timeout_s: float = ANSWER_TIMEOUT_S
    description: str = ""
    gather: Gather | None = None
    """The hosts that a kernel is measured on beside its baseline; None is this one."""
    rules: Rules = field(default_factory=Rules)


class Trial:
    """One run over one edit of one target's kernel."""

    def __init__(
        self,
        target: Target,
        cases: tuple[Case, ...],
        settings: Settings,
        watch: Callable[[Progress], None] = lambda _: None,
        states: States | None = None,
        shared: memo.Memo | None = None,
        opened: gate.Gate | None = None,
    ) -> None:
        """`states` are those that several trials of a target have in common; None makes the trial's own.

        `shared` is what they have in common of the reference's answers; None keeps none. `opened` is the gate of
        all of them; None opens the trial's own.
        """
        self.target = target
        self.cases = cases
        self.settings = settings
        self.failures: list[AutoresearchError] = []
        self.outcome: Outcome | None = None
        self._is_told = False
        """Whether the verdict is in its log, or has no log to be in."""
        self._unwritten: LogError | None = None
        self._watch = watch
        self._stopwatch = Stopwatch()
        self._turn_fault = ""
        self._seed = seeds.secret_seed() if settings.seed is None else settings.seed
        self._done: set[Item] = set()
        most_bytes = STATES_BRIEF_BYTES if settings.brief else math.inf
        self._states = states or States(target, most_bytes, settings.states)
        self._processes = Processes(
            target,
            settings.timeout_s,
            in_process=settings.in_process,
            checks_bounds=not settings.brief,
            checks_portably=not settings.is_entry,
        )
        self._memo = shared
        self._opened = opened
        self._measurement: Measurement | None = None
        self._prepared: Measurement | None = None
        """The same until the first case is timed."""
        self._is_prepared = False
        self._over_hosts: OverHosts | None = None

    # What the items run.

    def expected(self) -> frozenset[Item]:
        """Everything that must have run before there can be a verdict.

        A candidate that is refused or needs no timing is not timed, which spares no one who left items out.
        """
        is_refused = self._measurement is not None and self._measurement.refusal is not None
        is_untimed = not self._is_partial and (is_refused or self._is_checked_only)
        return frozenset(item for item in self._items if not (is_untimed and item.kind is ItemKind.SPEED))

    def count_untimed(self) -> int:
        """How many items are done in a run that times nothing, where a speed item is one verified call."""
        return sum(item.kind is not ItemKind.SPEED for item in self._done)

    def nothing_to_measure(self) -> str:
        """Why no item need run under this gate: no verdict is possible, or it is clear already; '' otherwise."""
        if self._gate is None or self._is_checked_only:
            return ""
        return self._gate.unlogged or self._gate.invalid or self._verdict_at_once()

    def check_case(self, case: Case) -> None:
        """The correctness of one case: published calls, and secret ones when the trial is judged or seeded."""
        with self._recorded(Item(ItemKind.CORRECTNESS, case.id)):
            generate.refuse_other_randomness(self._feed(case, seeds.PUBLISHED_SEED, "check"))
            for runner, telling in self._processes.checkers():
                self._prepare()
                with telling, self._bound(case, runner) as oracle:
                    self._check_calls(case, runner, oracle)

    def _prepare(self) -> None:
        """Let the kernels that are going to be timed compile while this one is checked.

        What fails there is not told: it fails again when they are timed. The candidates of a tournament share the
        cores while they are checked, and those that are timed compile later, as kernels do on other hosts.
        """
        is_timed_here = self._opened is None and self.settings.gather is None
        if self._is_prepared or not is_timed_here or not self._is_to_be_timed:
            return
        self._is_prepared = True
        with suppress(AutoresearchError):
            self._prepared = self._new_measurement()
            self._prepared.prepare(self._states.of, self._seed)

    @property
    def _is_to_be_timed(self) -> bool:
        """Whether a verdict is possible, and needs times."""
        if self._gate is None or self._is_partial:
            return False
        return not (self._is_checked_only or self.nothing_to_measure())

    def _check_calls(self, case: Case, runner: Runner[Answers], oracle: Oracle) -> None:
        count, floor = check.calls_of(self.target), contract.recall_floor(self.target, case)
        published = self._feed(case, seeds.PUBLISHED_SEED, "check").draw(count)
        check.check_calls(runner, oracle, case.id, published, "published", floor=floor)
        if not self._checks_secretly:
            return
        with self._on_secret_inputs():
            calls = self._feed(case, self._seed, "secret check").draw(count)
            check.check_calls(runner, oracle, case.id, calls, "secret", self._seed, floor)

    def check_properties(self) -> None:
        """Shapes and values beyond the battery; published examples, or secret ones when judged or seeded."""
        seed = self._seed if self._checks_secretly else None
        with self._recorded(Item(ItemKind.PROPERTIES)):
            for runner, telling in self._processes.checkers():
                with telling, nullcontext() if seed is None else self._on_secret_inputs():
                    properties.check_properties(self.target, runner, seed, PROPERTY_EXAMPLES, self._memo)

    def measure_case(self, case: Case) -> CaseTimes | None:
        """The speed of one case: alone, or under a gate in blocks beside the baseline.

        None where it has none, which `untimed` explains.
        """
        item = Item(ItemKind.SPEED, case.id)
        if self._is_checked_only:
            return None
        with self._recorded(item), self._on_secret_inputs():
            if self._measurement is None:
                self._measurement = self._prepared or self._new_measurement()
            times = self._measurement.measure_case(case, self._states.of, self._seed)
        if times is None:
            self._done.discard(item)
        return times

    def untimed(self) -> str:
        """Why a case has no times."""
        if self._is_checked_only:
            return report.not_timed(self._standing())
        assert self._measurement is not None, "it was asked for them"
        if self._measurement.failure is not None:
            return report.not_timed(self._measurement.failure.headline)
        assert self._measurement.refusal is not None, "or it has"
        return report.refused_untimed(self._measurement.refusal, self._rules)

    def check_speed_once(self, case: Case) -> None:
        """The speed item where timing is impossible: one of its calls runs and is verified."""
        with self._recorded(Item(ItemKind.UNTIMED, case.id)), self._on_secret_inputs():
            runner = self._processes.checker()
            with self._bound(case, runner) as oracle:
                calls = self._feed(case, self._seed, "timed").draw(1)
                check.check_calls(runner, oracle, case.id, calls, "timed", self._seed)

    def calibrate(self) -> None:
        """Find out what this host can tell apart, and keep it for the verdicts to come."""
        with self._recorded(Item(ItemKind.CALIBRATION)), self._on_secret_inputs(), self._turn(None):
            states = {case: self._states.of(case) for case in self._timed}
            budget = calibration.Budget(self.seconds, self.settings.rules.max_seconds)
            found = calibration.calibrate(self.target, self._processes, states, self._seed, budget, self._watch)
            archive.store_calibration(self._home, found)
            self._calibration = found

    def conclude(self) -> Outcome:
        """Judge the trial, or say why there is no verdict; a second call returns the first's outcome."""
        if self.outcome is None:
            try:
                with self._stopwatch.running():
                    self.outcome = self._verdict(self._gate) if self._gate else self._no_verdict()
            finally:
                self.close()
        return self.outcome

    def log(self) -> Outcome:
        """Write the row of a judged trial, once; what failed since the verdict takes a passed gate back.

        A row that could not be written is not tried again: what was said to be lost does not appear later.
        """
        outcome = self.conclude()
        if self._gate is None or outcome.status is None or self._is_told:
            return outcome
        if self._unwritten is not None:
            raise self._unwritten
        facts = self._facts()
        if self.failures and outcome.is_passed:
            outcome = facts.failed()
        if self._gate.log_path is not None:
            measured = gate.Measured(facts.evidence, self._rules, self._seed)
            try:
                outcome = gate.write(self._gate, self.target, outcome, measured, self.settings.description)
            except LogError as fault:
                self._unwritten = fault
                raise
        self.outcome, self._is_told = outcome, True
        return outcome

    def abandon(self) -> Outcome:
        """End without a verdict and without a row, unless there was a verdict before."""
        if self.outcome is None or (self.outcome.status is not None and not self._is_told):
            self.outcome = self._facts().ended(None, report.BROKEN_OFF)
            self.close()
        return self.outcome

    def run(self) -> Outcome:
        """Every item in order, up to the first that fails; then the verdict, and its row."""
        self.work()
        return self.log()

    def work(self) -> Outcome:
        """The same without the row, which `log` writes."""
        try:
            if not self.nothing_to_measure():
                with suppress(AutoresearchError):  # which is noted, and is the verdict's reason
                    self._run_items()
            return self.conclude()
        finally:
            self.close()

    def adopt(self, measurement: Measurement, seconds: float) -> None:
        """Take over what was measured of the kernel elsewhere, and what that took: its speed items are done."""
        self._measurement = measurement
        self._stopwatch.add(seconds)
        self._done |= {Item(ItemKind.SPEED, case.id) for case in self._timed}

    def checked(self) -> Checked:
        """What was found out of the kernel's correctness, for its trial on another host."""
        return Checked(frozenset(self._done), tuple(self.failures), self.seconds(), self._processes.is_confined)

    def take_over(self, checked: Checked) -> None:
        """Take over what was found out on another host."""
        self._done |= checked.done
        self.failures += checked.failures
        self._stopwatch.add(checked.seconds)
        self._processes.is_confined = self._processes.is_confined and checked.is_confined

    def stand(self, why: str) -> None:
        """End as a kernel of which nothing need be measured."""
        self.outcome = self._facts().standing(why, Cause.IDENTICAL, self._rules)

    def check_cases(self, is_over: Callable[[], bool] = lambda: False) -> None:
        """The correctness of every case, up to the first that fails, and until this is over."""
        for case in self.cases:
            if is_over():
                return
            self.check_case(case)

    def check_beyond(self, is_over: Callable[[], bool] = lambda: False) -> None:
        """What is right beyond the cases, where the target says."""
        if self.target.has_properties and not is_over():
            self.check_properties()

    def _run_items(self) -> None:
        self.check_cases()
        self.check_beyond()
        for case in self._timed:
            self.measure_case(case)
            self.forget(case.id)

    def close(self) -> None:
        """End every process of the trial, here and elsewhere; safe at any moment and more than once."""
        self._processes.clear()
        if self._over_hosts is not None:
            self._over_hosts.close()

    def break_off(self) -> None:
        """End what another thread does with its processes; that one gives them back."""
        self._processes.break_off()

    def forget(self, case_id: str) -> None:
        """Give the state of a case back; it is made again if it is needed after all."""
        self._states.forget(case_id)

    def rest(self) -> None:
        """Give states and processes back between items; what was measured stays."""
        self._states.clear()
        self._processes.clear()

    # States and failures.

    @property
    def _timed(self) -> list[Case]:
        return [case for case in self.cases if case.timed]

    @functools.cached_property
    def _items(self) -> frozenset[Item]:
        """All that the target's verdict, or its calibration, rests on."""
        checks = {Item(ItemKind.CORRECTNESS, case.id) for case in self.cases}
        speeds = {Item(ItemKind.SPEED, case.id) for case in self._timed}
        if self.settings.calibrate:
            speeds = {Item(ItemKind.CALIBRATION)}
        properties = {Item(ItemKind.PROPERTIES)} if self.target.has_properties else set()
        return frozenset(checks | speeds | properties)

    @property
    def _is_partial(self) -> bool:
        """Whether some of them were left out, by `-k` or the like, so that there can be no verdict."""
        return self.settings.selected is not None and not self._items <= self.settings.selected

    @functools.cached_property
    def _gate(self) -> gate.Gate | None:
        """Opened when it is first needed, which reads the log; None without a gate."""
        if not self.settings.gate or self._opened is not None:
            return self._opened
        if self.settings.baseline is not None:
            return gate.against_source(self.settings.root, self.settings.baseline)
        if self.settings.revision:
            return gate.against_revision(
                self.target, self.settings.root, self.settings.revision, self.settings.log
            )
        return gate.open_gate(
            self.target,
            self.settings.root,
            self.settings.log or self.target.layout.log_path,
            rebaseline=self.settings.rebaseline,
            require_baseline=self.settings.require_baseline,
        )

    @functools.cached_property
    def _home(self) -> Path:
        return archive.home(self.target.layout.log_path, self.settings.root)

    @functools.cached_property
    def _calibration(self) -> Calibration | None:
        """This host's newest, from the archive or of this run."""
        return archive.find_calibration(self._home, environment.host(), self.target.name)

    def _identical(self) -> str:
        """What makes the kernel its baseline's code; '' where it is not, and without a gate."""
        return self._gate.identical(self.target.kernel) if self._gate else ""

    def _verdict_at_once(self) -> str:
        """The verdict about a kernel that is its baseline's code, if it may come without an item; '' otherwise."""
        identical = self._identical()
        return f"{judge.unchanged(self._rules)}: {identical}" if identical and not self._is_partial else ""

    @property
    def _is_checked_only(self) -> bool:
        """Whether a change can have made the kernel wrong, and cannot have made it slower."""
        if not isinstance(self.settings.rules, RegressionRules) or self._gate is None:
            return False
        found = self._gate.revision
        return self._gate.is_new or (found is not None and bool(found.changed and self._identical()))

    def _standing(self) -> str:
        """Why a kernel that is only checked cannot have become slower."""
        assert self._gate is not None, "there is a gate"
        assert self._gate.revision is not None, "against a revision"
        return self._identical() or report.new_at(str(self._gate.revision), self.target.name)

    @property
    def _rules(self) -> Rules:
        """Those of the command line and of the target."""
        return contract.rules_of(self.target, self.settings.rules)

    @property
    def _checks_secretly(self) -> bool:
        return self.settings.gate or self.settings.seed is not None

    def _feed(self, case: Case, seed: int, stream: str) -> generate.Feed:
        return generate.Feed(self.target, case, self._states.of(case), seed, stream)

    @contextmanager
    def _bound(self, case: Case, runner: Runner[Answers]) -> Iterator[Oracle]:
        """The oracle, bound to the case's published state as the kernel is where it runs."""
        state = self._states.of(case)
        sent = generate.pickled(self.target, state)
        oracle = Oracle(self.target, state, memo.known(self._memo, sent))
        runner.bind(case.id, sent)
        yield oracle
        runner.release(case.id)

    @contextmanager
    def _recorded(self, item: Item) -> Iterator[None]:
        """Note that the item is done, or what went wrong; processes out of step are not used again."""
        try:
            with (
                environment.aside(self.target.threads) if turns.others_measure() else nullcontext(),
                environment.one_thread(),
                self._stopwatch.running(),
            ):
                yield
        except AutoresearchError as failure:
            self.failures.append(failure)
            if self._processes.lost_a_process(failure):
                self._processes.clear()
            raise
        except BaseException:
            self._processes.clear()
            raise
        self._done.add(item)

    @contextmanager
    def _on_secret_inputs(self) -> Iterator[None]:
        """Note the seed with a failure, so that it can be shown again."""
        try:
            yield
        except (KernelFailure, TargetError) as failure:
            failure.seed = self._seed
            raise

    # Measuring.

    @contextmanager
    def _turn(self, seconds: float | None) -> Iterator[None]:
        """Measure while no other trial on this machine does: timing is never shared."""
        if self.settings.brief:
            yield
            return
        with self._stopwatch.waiting():
            turn = turns.take(seconds, pace.in_line(self.target.name, self._watch))
        with turn:
            self._turn_fault = turn.fault
            yield

    def _new_measurement(self) -> Measurement:
        run, selected = (self._processes, self._show, self._turn), self.settings.selected
        asked = {item.case for item in (self._items if selected is None else selected)}
        cases = [case for case in self._timed if case.id in asked]
        if self._gate is None or self._gate.baseline is None:
            return Alone(self.target, cases, *run, brief=self.settings.brief)
        if self.settings.gather is None:
            return Comparison(self.target, self._gate.baseline, cases, self._rules, *run)
        self._over_hosts = OverHosts(
            self.target,
            self._gate.baseline,
            cases,
            self._rules,
            self.settings.gather,
            self.settings.timeout_s,
            self._show,
            self._stopwatch.waiting,
            self._stopwatch.was_waiting,
        )
        return self._over_hosts

    def _show(self, what: str, step: Step | None, speedup: Interval | None) -> None:
        self._watch(Progress(self.target.name, what, step, speedup, self.seconds(), is_event=step is None))

    def seconds(self) -> float:
        """Of work on this trial, up to now."""
        return self._stopwatch.seconds()

    # The end.

    def _verdict(self, opened: gate.Gate) -> Outcome:
        """The end of a trial under a gate; no status and no row if it is partial or the log is unusable."""
        facts = self._facts()
        if opened.unlogged:
            return facts.ended(None, opened.unlogged)
        if opened.invalid:
            return facts.ended(Status.INVALID, f"invalid: {opened.invalid}")
        if self._verdict_at_once() and not self._is_checked_only:
            return facts.standing(self._identical(), Cause.IDENTICAL, self._rules)
        if self.failures:
            return facts.failed()
        if not facts.is_complete:
            return facts.partial()
        if self._is_checked_only:
            return facts.standing(self._standing(), Cause.NEW if opened.is_new else Cause.IDENTICAL, self._rules)
        try:
            judgement = self._decided()
        except AutoresearchError as failure:
            self.failures.append(failure)
            return self._facts().failed()
        return self._facts().judged(judgement, self._rules, self._calibration)

    def _decided(self) -> Judgement | None:
        assert self._measurement is not None, "every speed item is done"
        return self._measurement.decide(self.seconds, self._seed)

    def _no_verdict(self) -> Outcome:
        """The end of a trial without a gate."""
        facts = self._facts()
        if self.settings.in_process:
            return facts.unjudged(report.IN_PROCESS)
        if not self.settings.calibrate:
            return facts.unjudged(report.NO_GATE)
        if self._calibration is None or Item(ItemKind.CALIBRATION) not in self._done:
            return facts.partial()
        return facts.unjudged(report.calibrated(self._calibration))

    def _evidence(self) -> Evidence:
        if self._measurement is None:
            return Evidence(self.target.kernel.code_size)
        return replace(self._measurement.evidence(), waited_s=self._stopwatch.waited_s)

    def _facts(self) -> Facts:
        measurement, over, expected = self._measurement, self._over_hosts, self.expected()
        return Facts(
            target=self.target,
            gate=self._gate,
            failures=self.failures,
            correct=len(self._done & expected),
            items=len(expected),
            seconds=self.seconds(),
            waited_s=self._stopwatch.waited_s,
            turn_fault=self._turn_fault,
            evidence=self._evidence(),
            times=measurement.candidate() if measurement else None,
            is_confined=self._processes.is_confined and (over is None or over.is_confined),
            of_hosts=() if over is None else over.notes,
        )
