"""The rounds of a tournament: every candidate that is left, measured beside the same baseline windows as others.

Owns how many candidates stand in a field, which of them stand together, and who fails there. Decides nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import psutil

from pytest_lance_autoresearch.bench import measure
from pytest_lance_autoresearch.bench.comparison import kernel_times, times_of
from pytest_lance_autoresearch.bench.looks import Looks
from pytest_lance_autoresearch.bench.measurement import Measurement
from pytest_lance_autoresearch.errors import KernelFailure
from pytest_lance_autoresearch.records import (
    Case,
    CaseTimes,
    Evidence,
    Extent,
    Heat,
    Judgement,
    KernelTimes,
    Pair,
    Rules,
    Source,
    Step,
)
from pytest_lance_autoresearch.target_files import generate
from pytest_lance_autoresearch.verdict import judge

if TYPE_CHECKING:
    from pytest_lance_autoresearch.bench.measurement import Turn
    from pytest_lance_autoresearch.bench.processes import Processes
    from pytest_lance_autoresearch.target_files.load import Target

BLOCKS = 1
"""Of each case in a round: what a round lacks are fields, and each round is another."""
MOST_BESIDE = 8
"""Candidates beside one baseline, where there is memory for them."""
PROCESS_BYTES = 250 * 2**20
"""Of a process with numba in it, and nothing else."""
STATES_PER_PROCESS = 3
"""The state as it was sent, as the process has it, and what the kernel derives from it."""
MEMORY_SHARE = 0.5
"""Of the memory that is free now, the most that a field may take."""
_CHOICE = random.SystemRandom()


class Measured(NamedTuple):
    """What came of the candidates that stood together in a round."""

    pairs: dict[str, Pair]
    failures: dict[str, KernelFailure]
    """Of those that failed."""


class Ground:
    """Where rounds are measured on one host: candidates together beside the baseline."""

    def __init__(
        self,
        target: Target,
        baseline: Source,
        cases: Sequence[Case],
        state_of: Callable[[Case], Any],
        processes: Processes,
        show: Callable[[str, Step], None],
        turn: Turn,
    ) -> None:
        self._target = target
        self._cases = cases
        self._state_of = state_of
        self._looks = Looks(target, {measure.BASELINE: baseline}, cases, processes, show, turn)

    def measured(self, together: Mapping[str, Source], number: int, seed: int) -> Measured:
        """Measure a field; where a candidate fails, that counts for nothing, and there is another without it."""
        self._looks.admit(together)
        failures: dict[str, KernelFailure] = {}
        while left := [one for one in together if one not in failures]:
            try:
                self._measure(left, number, seed)
                break
            except KernelFailure as failure:
                if failure.side not in left:
                    raise
                failures[failure.side] = failure
        return Measured({one: self._looks.pairs(one)[-1] for one in left}, failures)

    def _measure(self, together: Sequence[str], number: int, seed: int) -> None:
        """As in a trial, the first round is over published states, every other over hidden ones."""
        looks, extent = self._looks, Extent(1, {case.id: BLOCKS for case in self._cases})
        plans = looks.published(self._state_of, seed) if number == 1 else looks.hidden(number, seed)
        with looks.first_field(plans, together) as field:
            looks.measure(plans, field, together, extent)

    def most_beside(self) -> int:
        """Candidates that may stand beside one baseline: as many as the memory that is free bears."""
        states_bytes = sum(len(generate.pickled(self._target, self._state_of(case))) for case in self._cases)
        free_bytes = MEMORY_SHARE * psutil.virtual_memory().available
        processes = int(free_bytes / (PROCESS_BYTES + STATES_PER_PROCESS * states_bytes))
        return max(1, min(MOST_BESIDE, processes - 1))


class Grounds(Protocol):
    """One ground or several, on as many hosts."""

    def most_beside(self, left: int) -> int:
        """How many of those that are left may stand beside one baseline."""

    def measured(self, fields: Sequence[Mapping[str, Source]], number: int, seed: int) -> Iterator[Measured]:
        """What came of each field, in any order."""


class OneGround:
    """This host's."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def most_beside(self, _left: int) -> int:
        return self._ground.most_beside()

    def measured(self, fields: Sequence[Mapping[str, Source]], number: int, seed: int) -> Iterator[Measured]:
        for together in fields:
            yield self._ground.measured(together, number, seed)


class Rounds:
    """The rounds of one tournament, and all that was measured in them; `candidates` are by sha256."""

    def __init__(
        self,
        target: Target,
        baseline: Source,
        candidates: Mapping[str, Source],
        cases: Sequence[Case],
        grounds: Grounds,
    ) -> None:
        self._target = target
        self._baseline = baseline
        self._candidates = candidates
        self._cases = cases
        self._grounds = grounds
        self._pairs: dict[str, list[Pair]] = {one: [] for one in candidates}
        self.number = 0
        """Of the latest round."""

    def hold(self, left: Sequence[str], seed: int) -> dict[str, KernelFailure]:
        """Another round of the candidates that are left; the failures of those that failed in it.

        Who stands together is left to chance each time, so that nobody has a lucky baseline for long.
        """
        self.number += 1
        order = _CHOICE.sample(left, len(left))
        most = self._grounds.most_beside(len(left))
        fields = [order[start : start + most] for start in range(0, len(order), most)]
        failures: dict[str, KernelFailure] = {}
        sources = [{one: self._candidates[one] for one in together} for together in fields]
        for found in self._grounds.measured(sources, self.number, seed):
            self.add(found.pairs)
            failures |= found.failures
        return failures

    def add(self, pairs: Mapping[str, Pair]) -> None:
        """Of one field, by candidate."""
        for one, pair in pairs.items():
            self._pairs[one].append(pair)

    def pairs(self, candidate: str) -> tuple[Pair, ...]:
        """One of each round."""
        return tuple(self._pairs[candidate])

    def evidence(self, candidate: str, heat: Heat | None = None) -> Evidence:
        """What a look sees of a candidate."""
        sizes = self._candidates[candidate].code_size, self._baseline.code_size
        pairs = self.pairs(candidate)
        return Evidence(*sizes, pairs, looks=len(pairs), threads=self._target.threads, heat=heat)

    def entrant(self, candidate: str, rules: Rules, heat: Heat | None) -> Entrant:
        """What the rounds say of a candidate, for its trial."""
        return Entrant(self._target, self._cases, self.evidence(candidate, heat), rules)


class Entrant(Measurement):
    """What the rounds of a tournament measured of one candidate, as its trial takes it over."""

    def __init__(self, target: Target, cases: Sequence[Case], evidence: Evidence, rules: Rules) -> None:
        self._target = target
        self._cases = cases
        self._evidence = evidence
        self._rules = rules

    def measure_all(self, state_of: Callable[[Case], Any], seed: int) -> None:
        """Nothing: it is measured."""

    def times(self, case: Case) -> CaseTimes:
        """In the first round, whose sizes are published."""
        return times_of(self._target, case, self._evidence.pairs[:1])

    def decide(self, _seconds: Callable[[], float], _seed: int) -> Judgement:
        """Whether it was good enough to go on."""
        return judge.look(self._evidence, self._rules)

    def candidate(self) -> KernelTimes:
        return kernel_times(self._evidence.pairs, self._cases, self.times)

    def evidence(self) -> Evidence:
        return self._evidence
