"""The targets of one pytest session and their trials.

Owns which targets are selected, the trial of each, and how an item's work ends in pytest's terms (pass, fail,
skip). The trials themselves know nothing of pytest.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lance_autoresearch import collect, discover
from pytest_lance_autoresearch.errors import AutoresearchError, LogError, SelectionError, TargetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_lance_autoresearch.load import Target
    from pytest_lance_autoresearch.options import Options
    from pytest_lance_autoresearch.records import Case, Layout, Outcome, Progress
    from pytest_lance_autoresearch.selftest import Selftest
    from pytest_lance_autoresearch.trial import Trial


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


class Suite:
    """All targets of a session."""

    def __init__(
        self,
        options: Options,
        root: Path,
        *,
        benchmarks: bool,
        distributed: bool,
        watch: Callable[[Progress], None],
    ) -> None:
        self.options = options
        self.root = root
        self.benchmarks = benchmarks
        self.distributed = distributed
        self.clock = ReplayClock()
        self.watch = watch
        try:
            self._layouts = discover.discover(root, options.globs)
            self.selected = self._select()
        except SelectionError as error:
            raise pytest.UsageError(str(error)) from None
        self.collected: set[str] = set()
        """Names of the targets that gave at least one item."""
        self.closed_gates = 0
        self._targets: dict[str, tuple[Target, tuple[Case, ...]]] = {}
        self._trials: dict[str, Trial] = {}
        self._selftests: dict[str, Selftest] = {}

    def layout_of(self, path: Path) -> Layout | None:
        """The target in a directory, wherever it lies."""
        found = next((layout for layout in self._layouts if layout.directory == path), None)
        return found or discover.recognise(path)

    def selects(self, layout: Layout) -> bool:
        return not self.selected or layout.directory in {chosen.directory for chosen in self.selected}

    def unwritable(self) -> str:
        """Why a judged trial could not be logged, found out before anything is measured; '' when it could.

        Takes the room that it will need on the disk.
        """
        logs = (
            [self.options.baseline.parent] if self.options.baseline else [one.directory for one in self.selected]
        )
        for folder in (*logs, *self._homes()):
            if not folder.is_dir():
                return f"{folder}: there is no such folder; a judged trial leaves its row there"
            if not os.access(folder, os.W_OK):
                return f"{folder}: cannot be written; a judged trial leaves its row or its archive there"
        return self.hold_room()

    def hold_room(self) -> str:
        """Take room on the disk for the end of a trial; why there is none, '' when there is."""
        from pytest_lance_autoresearch import archive

        try:
            for home in self._homes():
                archive.hold_room(home)
        except LogError as error:
            return str(error)
        return ""

    def _homes(self) -> list[Path]:
        """The folders that hold the archives of the logs."""
        from pytest_lance_autoresearch import archive

        logs = [self.options.baseline] if self.options.baseline else [one.log_path for one in self.selected]
        return list(dict.fromkeys(archive.home(path, self.root) for path in logs))

    def add(self, target: Target, cases: tuple[Case, ...]) -> None:
        self._targets[target.name] = (target, cases)

    def trial(self, name: str) -> Trial:
        """The target's trial, begun at its first item."""
        if name not in self._trials:
            from pytest_lance_autoresearch.trial import Settings, Trial

            options = self.options
            settings = Settings(
                root=self.root,
                gate=options.gate,
                log=options.baseline,
                brief=not options.selects,
                in_process=options.in_process,
                rebaseline=options.rebaseline,
                calibrate=options.calibrate,
                seed=options.seed,
                timeout_s=options.timeout_s,
                description=options.description,
                rules=options.rules,
            )
            self._trials[name] = Trial(*self._targets[name], settings, self.watch)
        return self._trials[name]

    def fail(self, name: str, what: str) -> None:
        """An item of the target failed, and neither its kernel nor the target is to blame."""
        if name in self._trials:
            self._trials[name].failures.append(ItemFailed(f"{what}; that is no fault of the kernel"))

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
        except AutoresearchError as failure:
            if benchmark is not None:
                benchmark.pedantic(_raise, args=(failure,))  # or the fixture would warn that it was not used
            raise
        if benchmark is not None:
            self.clock.replay(benchmark, durations_s)

    def _cannot_time(self, benchmark: Any) -> bool:
        return self.distributed or self.options.in_process or (benchmark is not None and not benchmark.enabled)

    def _timed(self, trial: Trial, case: Case, benchmark: Any) -> list[float]:
        """Seconds per call of each window, and the row's further columns."""
        from pytest_lance_autoresearch import aggregate, report

        times = trial.measure_case(case)
        if benchmark is not None:
            ns_per_op = aggregate.case_ns_per_op(times)
            benchmark.extra_info.update(report.speed_row(times, ns_per_op, trial.target.wiring.UNIT))
        return [aggregate.kernel_ns(w, times.call_overhead_ns) / w.calls / 1e9 for w in times.windows]

    def calibrate(self, name: str) -> None:
        if self.distributed:
            pytest.skip("timing needs one process; add -n0")
        self.trial(name).calibrate()

    def selftest(self, name: str, stand_in: str, item: pytest.Item) -> None:
        """Pass when the target refuses a wrong kernel, or accepts an honest one; `item` shows the finding."""
        from pytest_lance_autoresearch.selftest import Selftest
        from pytest_lance_autoresearch.standins import NotApplicable

        if name not in self._selftests:
            self._selftests[name] = Selftest(*self._targets[name], self.options.timeout_s)
        try:
            finding = self._selftests[name].judge(stand_in)
        except NotApplicable as why:
            pytest.skip(str(why))
        item.user_properties.append((collect.SELFTEST, str(finding)))
        if not finding.is_right:
            raise TargetError(f"target '{name}': {stand_in} is {finding}")

    def gate(self, name: str, item: pytest.Item) -> None:
        """Pass for a keep or a first baseline; otherwise fail with the reason."""
        later = item.session.items[item.session.items.index(item) + 1 :]
        module = collect.kernel_module(item)
        if any(collect.kernel_module(other) is module for other in later):
            pytest.skip("it runs before other items of its target; the end of the session decides")
        outcome = self.trial(name).conclude()
        self.hold_room()  # for the next target's
        if outcome.status is None or outcome.exit_code != 0:
            self.closed_gates += 1
            raise GateClosed(outcome.reason)

    # The end.

    def outcomes(self, *, broken_off: bool) -> tuple[list[Outcome], list[str]]:
        """Every trial's outcome, and the faults of those that could not be concluded (their log, mostly)."""
        outcomes, faults = [], []
        for trial in self._trials.values() if self.options.selects else ():
            try:
                outcomes.append(trial.abandon() if broken_off else trial.conclude())
            except AutoresearchError as fault:
                faults.append(str(fault))
        return outcomes, faults

    def close(self) -> None:
        for trial in self._trials.values():
            trial.close()
        if self.options.gate:
            from pytest_lance_autoresearch import archive

            for home in self._homes():
                archive.give_room_back(home)
        for selftest in self._selftests.values():
            selftest.close()

    def _started(self, name: str) -> Trial:
        trial = self.trial(name)
        reason = trial.nothing_to_measure()
        if reason:
            pytest.skip(reason)
        return trial

    def _select(self) -> tuple[Layout, ...]:
        if self.options.names:
            return discover.select(self._layouts, self.options.names, self.root)
        if self.options.selftest:
            return self._layouts
        if not self.options.gate:
            return ()
        judged = tuple(layout for layout in self._layouts if discover.is_judged_by_default(layout))
        if not judged:
            raise pytest.UsageError(
                f"--keep-gate: there is no target below {self.root}; expected targets/<name>/kernels.py"
            )
        return judged


def _raise(failure: AutoresearchError) -> None:
    raise failure
