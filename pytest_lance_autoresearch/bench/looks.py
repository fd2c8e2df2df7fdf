"""Looks at candidates beside one baseline, over the timed cases of one target.

Owns what a look is measured over, the fields of worker processes that it takes, and what comes before the first of
its windows. Each field is short; it is the fields that tell how far a result may be trusted. Judges nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.bench import measure
from pytest_lance_autoresearch.bench.compiling import Compiling
from pytest_lance_autoresearch.bench.measurement import about, at_once, refuse_lacking_cores
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.machine import environment
from pytest_lance_autoresearch.records import Case, Pair, Source, Step
from pytest_lance_autoresearch.target_files import generate

if TYPE_CHECKING:
    from pytest_lance_autoresearch.bench.fields import Field
    from pytest_lance_autoresearch.bench.measure import CasePlan, Handicap
    from pytest_lance_autoresearch.bench.measurement import Turn
    from pytest_lance_autoresearch.bench.processes import Processes
    from pytest_lance_autoresearch.records import Extent
    from pytest_lance_autoresearch.target_files.load import Target


_CHOICE = random.SystemRandom()
_DEALT = 48
"""How often a thorough look starts calls one by one: often enough to tell who works ahead (`verdict.ahead`)."""


class Looks:
    """The looks at some candidates, and all that was measured in them; `sources` are by side."""

    def __init__(
        self,
        target: Target,
        sources: Mapping[str, Source],
        cases: Sequence[Case],
        processes: Processes,
        show: Callable[[str, Step], None],
        turn: Turn = at_once,
        handicap: Callable[[Case], Handicap] = lambda _: measure.NO_HANDICAP,
    ) -> None:
        refuse_lacking_cores(target)
        self._target = target
        self._sources = dict(sources)
        self._cases = cases
        self._processes = processes
        self._show = show
        self._turn = turn
        self._handicap = handicap
        self._packer = wire.Packer()
        self._known = {case: measure.CallTimes() for case in cases}
        self._compiling = Compiling(processes)
        self._pairs: dict[str, list[Pair]] = {letter: [] for letter in measure.candidates_of(sources)}

    def admit(self, sources: Mapping[str, Source]) -> None:
        """Further candidates, where they are not known yet."""
        for letter, source in sources.items():
            if letter not in self._pairs:
                self._sources[letter], self._pairs[letter] = source, []

    def pairs(self, letter: str) -> tuple[Pair, ...]:
        """Everything measured so far of a candidate beside the baseline."""
        return tuple(self._pairs[letter])

    def add(self, pairs: Mapping[str, Pair]) -> None:
        """Of one field, by candidate."""
        for letter, pair in pairs.items():
            self._pairs[letter].append(pair)

    def published(self, state_of: Callable[[Case], Any], seed: int) -> list[CasePlan]:
        """The plans of the first look."""
        return self._plans({case: state_of(case) for case in self._cases}, seed, "timed")

    def hidden(self, number: int, seed: int) -> list[CasePlan]:
        """The plans of a later look: states and calls that no process has seen, at hidden sizes."""
        stream = f"look {number}"
        states = {case: generate.make_hidden_state(self._target, case, seed, stream) for case in self._cases}
        counts_recall = self._target.lossy is not None
        return [replace(plan, counts_recall=counts_recall) for plan in self._plans(states, seed, stream)]

    def _plans(self, states: Mapping[Case, Any], seed: int, stream: str) -> list[CasePlan]:
        return [self._plan(case, state, seed, stream) for case, state in states.items()]

    def _plan(self, case: Case, state: Any, seed: int, stream: str) -> CasePlan:
        """One that takes over what earlier looks found out about its windows."""
        plan = measure.plan_of(self._target, case, state, seed, stream, self._packer, self._handicap(case))
        return replace(plan, known=self._known[case])

    def compile_ahead(self, plans: Sequence[CasePlan], letters: Collection[str]) -> None:
        """Begin what the first field for these candidates would wait for."""
        self._compiling.begin(self._of(letters), plans)

    @contextmanager
    def first_field(self, plans: Sequence[CasePlan], letters: Collection[str]) -> Iterator[Field]:
        """The first field of a look at these candidates, with what building takes."""
        with self._field(plans, letters) as field:
            self._processes.null()
            field.price_building(plans)
            yield field

    def measure(
        self,
        plans: Sequence[CasePlan],
        first: Field,
        letters: Collection[str],
        extent: Extent,
        is_over: Callable[[], bool] = lambda: False,
        *,
        thorough: bool = False,
        narrowed: Callable[[Mapping[str, int], Collection[Pair]], Mapping[str, int]] = lambda blocks, _: blocks,
    ) -> None:
        """The look's fields, one after the other, in one turn; the first of them is ready, and ends as they do.

        One that is over before its end counts for nothing. `narrowed` says, by what the first came to, how many
        blocks of each case the others have.
        """
        count, blocks = extent
        dealt = _dealt_places(count, plans) if thorough else frozenset[tuple[int, str]]()
        windows = 2 * (1 + len(letters)) * sum(blocks.values()) * count
        with self._turn(measure.expected_s(windows)):
            first.begin()
            for number in range(count):
                with closing(first) if number == 0 else self._field(plans, letters) as field:
                    for plan in plans:
                        if is_over():
                            return
                        is_dealt = (number, plan.key) in dealt
                        self._measure(field, plan, blocks[plan.key], thorough=thorough, is_dealt=is_dealt)
                    pairs = field.record()
                self.add(pairs)
                if number == 0:
                    blocks = narrowed(blocks, pairs.values())

    def _field(self, plans: Sequence[CasePlan], letters: Collection[str]) -> closing[Field]:
        """A fresh field of the baseline and these candidates, ended afterwards."""
        return closing(self._compiling.field(self._of(letters), plans))

    def _of(self, letters: Collection[str]) -> dict[str, Source]:
        """The baseline and these candidates."""
        return {letter: self._sources[letter] for letter in (measure.BASELINE, *letters)}

    def _measure(self, field: Field, plan: CasePlan, wanted: int, *, thorough: bool, is_dealt: bool) -> None:
        """Blocks of one case until enough are undisturbed; at most as many again are set aside.

        Where calls are started one by one as well, that comes before, between or behind the blocks: a kernel that
        counts its calls does not know when.
        """
        null, undisturbed = self._processes.null(), 0
        place = _CHOICE.randrange(wanted + 1) if is_dealt else None
        with environment.placed([null.pid, *field.pids()], self._target.threads), about(plan.key):
            field.warm_up(plan, null)
            for tried in range(2 * wanted):
                if tried == place:
                    field.measure_dealt(plan)
                    field.warm_up(plan, null)
                self._show(plan.key, Step(undisturbed, wanted))
                undisturbed += field.measure_block(plan, thorough=thorough)
                if undisturbed == wanted:
                    break
            if place == wanted:
                field.measure_dealt(plan)
        field.note(plan)


def _dealt_places(fields: int, plans: Sequence[CasePlan]) -> frozenset[tuple[int, str]]:
    """In which fields of a look, and on which of their cases, calls are started one by one: left to chance."""
    places = [(field, plan.key) for field in range(fields) for plan in plans]
    return frozenset(_CHOICE.sample(places, min(len(places), _DEALT)))
