"""The targets of one pytest session and their trials.

Owns which targets are selected, the trial of each, what is given back when, and how an item's work ends in
pytest's terms (pass, fail, skip). Knows items by target and case only; the trials know nothing of pytest.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_lance_autoresearch.errors import AutoresearchError, LogError, SelectionError
from pytest_lance_autoresearch.target_files import discover
from pytest_lance_autoresearch.words import report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pytest_lance_autoresearch.plugin.options import Options
    from pytest_lance_autoresearch.plugin.parallel import Share
    from pytest_lance_autoresearch.records import Case, Layout, Outcome, Progress
    from pytest_lance_autoresearch.runs.selftest import Finding, Selftest
    from pytest_lance_autoresearch.runs.trial import Item, Trial
    from pytest_lance_autoresearch.target_files.load import Target


MOST_AWAKE = 2
"""Trials that may hold processes at a time, in whatever order the items come."""


class GateClosed(AutoresearchError):
    """The gate item's failure: anything but a keep or a first baseline."""


class ItemFailed(AutoresearchError):
    """A failure of something around an item; its trial is invalid."""


class ReplayClock:
    """A clock that pytest-benchmark reads: it shows a duration that was measured elsewhere."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def __call__(self) -> float:
        return self._now_s

    def replay(self, benchmark: Any, durations_s: list[float]) -> None:
        """Give the fixture one round per duration, exactly as it was measured."""
        rest = iter(durations_s)

        def setup() -> None:
            self._now_s = 0.0

        def target() -> None:
            self._now_s = next(rest, durations_s[-1])  # --benchmark-cprofile calls once more

        benchmark.pedantic(target, setup=setup, rounds=len(durations_s))


class Place(NamedTuple):
    """Where an item belongs: its target, the id of its case, if it is about a single one, and its test's name."""

    target: str
    case: str = ""
    test: str = ""

    def levels(self) -> set[tuple[str, str]]:
        """What it is counted under: its target, and its case."""
        return {(self.target, ""), (self.target, self.case)}


class Suite:
    """All targets of a session."""

    def __init__(
        self,
        options: Options,
        root: Path,
        *,
        benchmarks: bool,
        distributed: bool,
        cache: pytest.Cache | None,
        watch: Callable[[Progress], None],
    ) -> None:
        self.options = options
        self.root = root
        self.benchmarks = benchmarks
        self.distributed = distributed
        self.cache = cache
        """pytest's own; None where it is switched off."""
        self.clock = ReplayClock()
        self.watch = watch
        try:
            found = discover.discover(root, options.globs)
            self.selected = self._select()
        except SelectionError as error:
            raise pytest.UsageError(str(error)) from None
        self._layouts = {layout.directory.resolve(): layout for layout in (*found, *self.selected)}
        """The targets that are known so far, by the place where they really lie."""
        self.collected: dict[Path, Path] = {}
        """The file under which each target's items are shown, by the target's directory."""
        self.faults: dict[Path, str] = {}
        """What keeps targets from having a trial at all, by that file."""
        self.closed_gates = 0
        self.own_failures = 0
        """Failures of targets' items; what the session counts beyond these failed elsewhere."""
        self.own_items: frozenset[str] = frozenset()
        """Ids of the targets' items."""
        self._to_run: dict[str, frozenset[Place]] = {}
        """The places of the items that are going to run, by target."""
        self._to_come: Counter[tuple[str, str]] = Counter()
        """Items that have not ended, by target and case, and by target alone (case '')."""
        self._awake: list[str] = []
        """Targets whose trials may hold processes, the latest used last."""
        self.shares: list[Share] = []
        """What xdist's workers told of the targets."""
        self._targets: dict[str, tuple[Target, tuple[Case, ...]]] = {}
        self._trials: dict[str, Trial] = {}
        self._selftests: dict[str, Selftest] = {}

    def layout_of(self, path: Path) -> Layout | None:
        """The target in a directory, wherever it lies and by whatever path it is reached."""
        if not discover.has_code(path):
            return None
        place = path.resolve()
        if place not in self._layouts and (found := discover.recognise(path)):
            self._layouts[place] = discover.refuse_twins(found, self._layouts.values())
        return self._layouts.get(place)

    def layouts(self) -> dict[str, Layout]:
        """The targets that have trials, by name."""
        return {name: target.layout for name, (target, _) in self._targets.items()}

    def selects(self, layout: Layout) -> bool:
        return not self.selected or layout in self.selected

    def unwritable(self) -> str:
        """Why a judged trial could not be logged, found out before anything is measured; '' when it could.

        Takes the room that it will need on the disk, unless it may be that nothing at all is to be written.
        """
        from pytest_lance_autoresearch.log import archive

        faults = (archive.unwritable(log, self.root) for log in self._logs())
        if fault := next(filter(None, faults), ""):
            return fault
        return "" if self.options.require_baseline else self.hold_room()

    def unreachable(self) -> str:
        """Why nothing can be measured on the hosts that were asked for; '' where it may be, and for this host."""
        if not self.options.ray:
            return ""
        from pytest_lance_autoresearch.hosts import cluster

        return cluster.unusable(self.options.ray)

    def hold_room(self) -> str:
        """Take room on the disk for the end of a trial; why there is none, '' when there is."""
        from pytest_lance_autoresearch.log import archive

        try:
            for home in self._homes():
                archive.hold_room(home)
        except LogError as error:
            return str(error)
        return ""

    def _homes(self) -> list[Path]:
        """The folders that hold the archives of the logs."""
        from pytest_lance_autoresearch.log import archive

        return list(dict.fromkeys(archive.home(path, self.root) for path in self._logs()))

    def _logs(self) -> list[Path]:
        """The logs that the session's trials leave their rows in."""
        return [self.options.log] if self.options.log else [one.log_path for one in self.selected]

    def add(self, target: Target, cases: tuple[Case, ...]) -> None:
        self._targets[target.name] = (target, cases)

    def trial(self, name: str) -> Trial:
        """The target's trial, begun at its first item."""
        if name not in self._trials:
            from pytest_lance_autoresearch.runs.over_hosts import Asked
            from pytest_lance_autoresearch.runs.trial import Settings, Trial

            options = self.options
            settings = Settings(
                root=self.root,
                gate=bool(options.gate),
                log=options.log,
                revision=options.revision,
                selected=self._selected(name),
                brief=not options.selects,
                states=self._states_folder(),
                in_process=options.in_process,
                rebaseline=options.rebaseline,
                require_baseline=options.require_baseline,
                calibrate=options.calibrate,
                seed=options.seed,
                timeout_s=options.timeout_s,
                description=options.description,
                gather=Asked(options.ray, options.ray_nodes).gather if options.ray else None,
                rules=options.rules,
            )
            self._trials[name] = Trial(*self._targets[name], settings, self.watch)
        return self._trials[name]

    def _selected(self, name: str) -> frozenset[Item] | None:
        """The items of the target that are going to run, without the gate's own; None where nobody said."""
        from pytest_lance_autoresearch.runs.trial import Item, ItemKind

        if name not in self._to_run:
            return None
        kinds = {f"test_{kind}": kind for kind in ItemKind}
        return frozenset(Item(kinds[one.test], one.case) for one in self._to_run[name] if one.test in kinds)

    def _states_folder(self) -> Path | None:
        """In pytest's cache, where that can be written; under a debugger, breakpoints in inputs.py are reached."""
        if self.cache is None or self.options.no_cache or self.options.in_process:
            return None
        try:
            return self.cache.mkdir("autoresearch")
        except OSError:
            return None

    def fail(self, name: str, what: str) -> None:
        """An item of the target failed, and neither its kernel nor the target is to blame."""
        if name in self._trials:
            self._trials[name].failures.append(ItemFailed(f"{what}; the kernel is not to blame"))

    def _fail_if_red(self, trial: Trial, failed: int) -> None:
        """What failed outside the targets takes every keep from its log; `failed` is what the session counts."""
        if self.options.is_logged and failed > self.own_failures:
            trial.failures.append(ItemFailed(report.RED_SESSION))

    def expect(self, items: Sequence[tuple[str, Place]]) -> None:
        """These are going to run, unless something stops the session: each item's id and its place."""
        self.own_items = frozenset(item for item, _ in items)
        self._to_come = Counter(level for _, place in items for level in place.levels())
        self._to_run = {
            target: frozenset(place for _, place in items if place.target == target)
            for target in {place.target for _, place in items}
        }

    def done(self, place: Place) -> None:
        """An item has ended: give back what none of those to come needs."""
        for level in place.levels():
            self._to_come[level] -= 1
            if self._to_come[level] <= 0:
                self._give_back(*level)

    def _give_back(self, name: str, case_id: str) -> None:
        trial = self._trials.get(name)
        if trial is not None:
            trial.forget(case_id) if case_id else trial.rest()
        if not case_id and name in self._selftests:
            self._selftests.pop(name).close()

    # What the items run.

    def check_case(self, name: str, case: Case) -> None:
        self._started(name).check_case(case)

    def check_properties(self, name: str) -> None:
        self._started(name).check_properties()

    def measure_case(self, name: str, case: Case, benchmark: Any) -> None:
        """Time the case and show the row, or check it once where timing is impossible."""
        trial = self._started(name)
        try:
            if self._cannot_time(benchmark):
                trial.check_speed_once(case)
                durations_s = [0.0]
            else:
                durations_s = self._timed(trial, case, benchmark)
        except BaseException as failure:
            if benchmark is not None:
                benchmark.pedantic(_raise, args=(failure,))  # or the fixture would warn that it was not used
            raise
        if benchmark is not None:
            self.clock.replay(benchmark, durations_s)

    def _cannot_time(self, benchmark: Any) -> bool:
        """A run of selected targets times them itself, whatever `--benchmark-disable` says of benchmarks."""
        if self.distributed or self.options.in_process:
            return True
        return not self.options.selects and benchmark is not None and not benchmark.enabled

    def _timed(self, trial: Trial, case: Case, benchmark: Any) -> list[float]:
        """Seconds per call of each window, and the row's further columns."""
        from pytest_lance_autoresearch.verdict import aggregate

        times = trial.measure_case(case)
        if times is None:
            pytest.skip(trial.untimed())
        if benchmark is not None:
            ns_per_op = aggregate.case_ns_per_op(times)
            benchmark.extra_info.update(report.speed_row(times, ns_per_op, trial.target.wiring.UNIT))
        return [aggregate.kernel_ns(w, times.call_overhead_ns) / w.calls / 1e9 for w in times.windows]

    def calibrate(self, name: str) -> None:
        if self.distributed:
            pytest.skip("timing needs one process; add -n0")
        self._started(name).calibrate()

    def selftest(self, name: str, stand_in: str) -> Finding:
        """What the target says of a wrong kernel, which it must refuse, or an honest one, which it must accept."""
        from pytest_lance_autoresearch.runs.selftest import Selftest
        from pytest_lance_autoresearch.runs.standins import NotApplicable

        if name not in self._selftests:
            options, states = self.options, self._states_folder()
            self._selftests[name] = Selftest(*self._targets[name], options.timeout_s, self.watch, states)
        try:
            return self._selftests[name].judge(stand_in)
        except NotApplicable as why:
            pytest.skip(str(why))

    def gate(self, name: str, failed: int) -> None:
        """Pass where the gate is passed; otherwise fail with the reason. Logs nothing yet.

        `failed` is how many failures the session counts so far.
        """
        trial = self.trial(name)
        self._fail_if_red(trial, failed)
        self._pass_gate(trial.conclude())

    def figures(self, name: str) -> dict[str, str]:
        """Of the target's verdict, for reports of its gate; none where there is no verdict."""
        outcome = self.trial(name).outcome
        return report.properties(outcome) if outcome else {}

    def log(self, name: str) -> None:
        """Write the row, where there is a verdict; raises where a gate that was passed is closed after all."""
        trial = self.trial(name)
        if trial.outcome is None:
            return
        was_passed = trial.outcome.is_passed
        try:
            outcome = trial.log()
        except LogError:
            self.closed_gates += 1
            raise
        if outcome.trial is not None:
            self.hold_room()  # for the next target's
        if was_passed:
            self._pass_gate(outcome)

    def _pass_gate(self, outcome: Outcome) -> None:
        if not outcome.is_passed:
            self.closed_gates += 1
            raise GateClosed(outcome.reason)

    # The end.

    def outcomes(self, failed: int, *, broken_off: bool) -> tuple[list[Outcome], list[str]]:
        """Every trial's outcome, and the faults of those that could not be concluded (their log, mostly).

        `failed` is how many failures the session counts.
        """
        if not self.options.selects:
            return [], []
        if self.shares:
            from pytest_lance_autoresearch.plugin import parallel

            return parallel.outcomes(self.shares), []
        outcomes, faults = [], []
        for trial in self._trials.values():
            self._fail_if_red(trial, failed)
            try:
                outcomes.append(trial.abandon() if broken_off else trial.log())
            except AutoresearchError as fault:
                faults.append(str(fault))
        return outcomes, faults

    def deleted(self) -> list[str]:
        """A sentence for each target that the revision has and this session lacks, where all are judged."""
        if not self.options.revision or self.options.names:
            return []
        from pytest_lance_autoresearch.log import deletions

        targets = [target for target, _ in self._targets.values()]
        return deletions.notes(self.options.revision, self.root, self.options.globs, self.selected, targets)

    def told(self) -> list[Share]:
        """What this process, one of xdist's workers, has to tell of its trials."""
        if not (self.options.selects and self._trials):
            return []
        from pytest_lance_autoresearch.plugin import parallel

        return [parallel.share(trial) for trial in self._trials.values()]

    def close(self) -> None:
        for trial in self._trials.values():
            trial.close()
        if self.options.is_logged:
            from pytest_lance_autoresearch.log import archive

            for home in self._homes():
                archive.give_room_back(home)
        for selftest in self._selftests.values():
            selftest.close()

    def _started(self, name: str) -> Trial:
        trial = self.trial(name)
        reason = trial.nothing_to_measure()
        if reason:
            pytest.skip(reason)
        self._awake = [*(other for other in self._awake if other != name), name]
        for other in self._awake[:-MOST_AWAKE]:
            self._trials[other].rest()
        self._awake = self._awake[-MOST_AWAKE:]
        return trial

    def _select(self) -> tuple[Layout, ...]:
        if self.options.names:
            return discover.select(self.options.names, self.root, self.options.globs)
        if not self.options.selects:
            return ()
        found = discover.discover(self.root, self.options.globs, discover.UNFINISHED)
        if self.options.selftest:
            return found
        judged = tuple(layout for layout in found if discover.is_judged_by_default(layout))
        if not judged:
            raise pytest.UsageError(f"{self.options.gate}: {discover.none_below(self.root, self.options.globs)}")
        return judged


SUITE = pytest.StashKey[Suite]()
"""Where a session's config holds its suite."""


def _raise(failure: BaseException) -> None:
    raise failure
