"""Many candidates of one target: all are checked, rounds choose few of them, and the gate judges these.

Owns the order of things, and that every candidate ends in a row of its own. Selection is no evidence: what is
kept, is kept by an ordinary trial over fresh pairs of processes.
"""

from __future__ import annotations

import functools
import math
import secrets
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.bench.memo import Memo
from pytest_lance_autoresearch.bench.rounds import Rounds
from pytest_lance_autoresearch.errors import HostLost, LogError
from pytest_lance_autoresearch.hosts import cluster
from pytest_lance_autoresearch.log import archive, gate
from pytest_lance_autoresearch.machine import turns
from pytest_lance_autoresearch.records import Heat, Outcome, Progress, Status, Step, Tournament, Verdict
from pytest_lance_autoresearch.runs import pace
from pytest_lance_autoresearch.runs.elsewhere import Elsewhere
from pytest_lance_autoresearch.runs.stopwatch import Stopwatch
from pytest_lance_autoresearch.runs.trial import Settings, Trial
from pytest_lance_autoresearch.runs.venues import Here, Venue
from pytest_lance_autoresearch.target_files import contract, seeds
from pytest_lance_autoresearch.target_files.parcels import Parcel
from pytest_lance_autoresearch.target_files.states import States
from pytest_lance_autoresearch.verdict import judge, selection
from pytest_lance_autoresearch.words import report

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_lance_autoresearch.records import Rules, Source
    from pytest_lance_autoresearch.runs.over_hosts import Gather
    from pytest_lance_autoresearch.target_files.load import Target

MAX_SECONDS = 3600.0
"""Of a whole tournament, unless the user says otherwise."""
ROUNDS_SHARE = 0.5
"""Of that, after which no further round begins: the rest is the final's."""


class Contest:
    """One tournament; `candidates` are by name, `settings` those of every trial."""

    def __init__(
        self,
        target: Target,
        candidates: Mapping[str, Source],
        settings: Settings,
        max_seconds: float = MAX_SECONDS,
        watch: Callable[[Progress], None] = lambda _: None,
        address: str = "",
    ) -> None:
        """`address` is that of the cluster where it takes place; '' is this host."""
        self._address = address
        self._target = target
        self._candidates = candidates
        self._settings = settings
        self._max_seconds = max_seconds
        self._watch = watch
        self._stopwatch = Stopwatch()
        self._seed = seeds.secret_seed() if settings.seed is None else settings.seed
        self._states = States(target, folder=settings.states)
        self._memo = Memo()
        self._cases = contract.cases_of(target)
        self._trials: dict[str, Trial] = {}
        """Of all candidates, by name."""
        self._left: dict[str, str] = {}
        """The names of those that no row tells of, by the sha256 of their kernels."""
        self._id = secrets.token_hex(8)
        self.outcomes: dict[str, Outcome] = {}
        """Of all others, in the order of their rows."""

    def run(self) -> Tournament:
        """Check, choose, judge; a row for every candidate.

        LogError, and no row, where there is no baseline to compare with.
        """
        baseline = self._baseline()
        home = archive.home(self._log, self._settings.root)
        archive.hold_room(home)
        try:
            with self._stopwatch.running(), self._at(baseline) as venue:
                self._check(venue)
                if self._left:
                    self._race(baseline, venue)
        except KeyboardInterrupt:
            told = report.tournament_broken_off(len(self.outcomes), len(self._candidates))
            raise KeyboardInterrupt(told) from None
        finally:
            archive.give_room_back(home)
        return self._ended()

    @contextmanager
    def _at(self, baseline: Source) -> Iterator[Venue]:
        """Where it takes place."""
        timeout_s = self._settings.timeout_s
        if not self._address:
            yield Here(self._target, baseline, self._cases, self._states.of, timeout_s, self._show, self._turn)
            return
        parcel = Parcel.of(self._target)
        with cluster.connected(self._address) as found:
            told = self._show, self._stopwatch.was_waiting
            yield Elsewhere(found, parcel, timeout_s, baseline, self._seed, *told)

    @property
    def _log(self) -> Path:
        return self._settings.log or self._target.layout.log_path

    @functools.cached_property
    def _opened(self) -> gate.Gate:
        """The gate of all that are not finalists: they are compared with the baseline that is there at first."""
        return gate.open_gate(self._target, self._settings.root, self._log)

    def _baseline(self) -> Source:
        opened = self._opened
        if opened.baseline is None:
            missing = report.no_baseline(self._log, self._target.name)
            raise LogError(opened.unlogged or opened.invalid or missing)
        return opened.baseline

    # What is right, and what is new.

    def _check(self, venue: Venue) -> None:
        """Every candidate's correctness; who fails has a row, as a twin has.

        The rows come in the order in which the candidates were named.
        """
        originals: dict[str, str] = {}
        open_ends: dict[str, Trial] = {}
        for name, source in self._candidates.items():
            trial = self._trials[name] = self._new_trial(name, source)
            original = originals.setdefault(source.code_sha256, name)
            if original != name:
                trial.stand(report.twin_reason(original, source.sha256))
            elif not trial.nothing_to_measure():
                open_ends[name] = trial
        waiting = deque(self._trials)
        for name in venue.checked(open_ends, lambda name: self._show(report.checking_line(name))):
            del open_ends[name]
            self._tell_checked(waiting, open_ends)
        self._tell_checked(waiting, open_ends)

    def _tell_checked(self, waiting: deque[str], open_ends: Collection[str]) -> None:
        """Who is next in line and known to be right is left, and anybody else has a row."""
        while waiting and waiting[0] not in open_ends:
            name = waiting.popleft()
            trial = self._trials[name]
            if trial.outcome is None and not trial.failures and not trial.nothing_to_measure():
                self._left[trial.target.kernel.sha256] = name
            else:
                self._tell(name)

    def _new_trial(self, name: str, source: Source) -> Trial:
        description = report.entered(name, len(self._candidates))
        settings = replace(self._settings, seed=self._seed, description=description, is_entry=True)
        target = replace(self._target, kernel=source)
        return Trial(target, self._cases, settings, states=self._states, shared=self._memo, opened=self._opened)

    # Who goes on.

    def _race(self, baseline: Source, venue: Venue) -> None:
        """Rounds until few are left, and their final."""
        left = {sha256: self._candidates[name] for sha256, name in self._left.items()}
        timed = [case for case in self._cases if case.timed]
        with venue.grounds() as grounds:
            rounds = Rounds(self._target, baseline, left, timed, grounds)
            while not (selection.is_over(rounds.number, len(self._left)) or self._is_late(rounds)):
                self._hold(rounds)
        self._judge(rounds, venue.gather())

    def _is_late(self, rounds: Rounds) -> bool:
        return rounds.number > 0 and self.seconds() >= ROUNDS_SHARE * self._max_seconds

    def _hold(self, rounds: Rounds) -> None:
        """A round; who fails in it leaves, and who is discarded or outrun, the slowest first."""
        self._show(report.round_line(rounds.number + 1, selection.MOST_ROUNDS, len(self._left)))
        failures = rounds.hold(list(self._left), self._seed)
        for sha256, failure in failures.items():
            failure.seed = self._seed
            self._trials[self._left[sha256]].failures.append(failure)
            self._leave(rounds, sha256)
        ranked = self._ranked(rounds)
        for sha256 in reversed(ranked):
            heat = self._heat(rounds, ranked[0])
            if rounds.number >= selection.LEAST_ROUNDS and self._is_behind(rounds, sha256, heat):
                self._leave(rounds, sha256, heat)

    def _is_behind(self, rounds: Rounds, sha256: str, heat: Heat) -> bool:
        return judge.look(rounds.evidence(sha256, heat), self._rules).verdict is Verdict.DISCARD

    def _ranked(self, rounds: Rounds) -> list[str]:
        """Those that are left, the fastest first."""
        return selection.ranking({sha256: selection.speed(rounds.pairs(sha256)) for sha256 in self._left})

    def _heat(self, rounds: Rounds, ahead: str, *, is_last: bool = False) -> Heat:
        return Heat(self._id, len(self._candidates), ahead, rounds.pairs(ahead), is_last)

    def _leave(self, rounds: Rounds, sha256: str, heat: Heat | None = None) -> None:
        """A candidate ends in its row, with what the rounds measured of it."""
        name = self._left[sha256]
        seconds = math.fsum(pair.seconds or 0.0 for pair in rounds.pairs(sha256))
        self._trials[name].adopt(rounds.entrant(sha256, self._rules, heat), seconds)
        del self._left[sha256]
        self._tell(name)

    # Who is judged.

    def _judge(self, rounds: Rounds, gather: Gather | None) -> None:
        """The finalists before the gate, the fastest first, until one is kept; a row for everybody else."""
        ranked = self._ranked(rounds) if len(self._left) > 1 else list(self._left)
        finalists, others = ranked[: selection.FINALISTS], ranked[selection.FINALISTS :]
        for sha256 in reversed(others):
            self._leave(rounds, sha256, self._heat(rounds, finalists[-1], is_last=True))
        for place, sha256 in enumerate(finalists):
            if self._is_kept(sha256, len(finalists), gather):
                for other in reversed(finalists[place + 1 :]):
                    self._leave(rounds, other, self._heat(rounds, sha256, is_last=True))
                return

    def _is_kept(self, sha256: str, finalists: int, gather: Gather | None) -> bool:
        """An ordinary trial, but for the confidence that all finalists share; once more where its host is lost."""
        name = self._left.pop(sha256)
        self._show(report.final_line(name))
        rules = selection.final_rules(self._settings.rules, finalists)
        left_s = max(0.0, self._max_seconds - self.seconds())
        settings = replace(
            self._settings,
            rules=replace(rules, max_seconds=min(rules.max_seconds, left_s)),
            description=report.entered(name, len(self._candidates)),
            gather=gather,
        )
        for _ in range(2):
            trial = Trial(self._trials[name].target, self._cases, settings, self._watch, self._states)
            trial.work()
            losses = [failure for failure in trial.failures if isinstance(failure, HostLost)]
            if not losses:
                break
            self._show(report.lost(str(losses[0])))
        outcome = trial.log()
        self._stopwatch.was_waiting(outcome.waited_s)
        self.outcomes[name] = outcome
        return outcome.status is Status.KEEP

    # What becomes of it.

    def _tell(self, name: str) -> None:
        """The row of a candidate that goes no further."""
        self.outcomes[name] = self._trials[name].log()

    def _ended(self) -> Tournament:
        winner = next((name for name, one in self.outcomes.items() if one.status is Status.KEEP), None)
        last_first = dict(reversed(self.outcomes.items()))
        outcomes = {winner: self.outcomes[winner], **last_first} if winner else last_first
        return Tournament(outcomes, winner, self.seconds(), self._stopwatch.waited_s)

    def seconds(self) -> float:
        """Of work on the tournament, up to now."""
        return self._stopwatch.seconds()

    @functools.cached_property
    def _rules(self) -> Rules:
        """Those of every trial, with what its target says."""
        return contract.rules_of(self._target, self._settings.rules)

    def _turn(self, seconds: float) -> turns.Turn:
        with self._stopwatch.waiting():
            return turns.take(seconds, pace.in_line(self._target.name, self._watch))

    def _show(self, what: str, step: Step | None = None) -> None:
        """Tell where it stands; without a step, that something begins."""
        self._watch(Progress(self._target.name, what, step, None, self.seconds(), is_event=step is None))
