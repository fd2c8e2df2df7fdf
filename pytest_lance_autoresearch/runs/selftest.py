"""Whether a target finds wrong kernels and leaves honest ones alone.

Owns the runs of the target's kernel that the stand-ins are made of, and what the target's own oracle and `check`
say of each over the published calls of every case. Times nothing but itself, for whoever watches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_lance_autoresearch.bench import check, oracles
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.bench.scratch import NOTHING_COMPILED
from pytest_lance_autoresearch.errors import KernelFailure
from pytest_lance_autoresearch.machine import clocks, environment
from pytest_lance_autoresearch.records import Progress, Step
from pytest_lance_autoresearch.runs.pace import Pace
from pytest_lance_autoresearch.runs.standins import (
    FASTMATH,
    FLOAT16,
    HONEST,
    KERNEL,
    WRONG,
    AnswersOrFailure,
    NotApplicable,
    Sample,
    StandIn,
    coarser,
    with_fastmath,
)
from pytest_lance_autoresearch.target_files import contract, generate, seeds, sources
from pytest_lance_autoresearch.target_files.states import States

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_lance_autoresearch.bench.process import KernelProcess
    from pytest_lance_autoresearch.records import Call, Case
    from pytest_lance_autoresearch.target_files.load import Target

T = TypeVar("T")
LARGEST_ONLY = "largest_shape_only"
"""Right for the largest shape, zeros for the others."""
NAMES = (*(f"wrong-{name}" for name in (*WRONG, LARGEST_ONLY)), *(f"honest-{name}" for name in HONEST))


@dataclass(frozen=True)
class Finding:
    """What the target said of one stand-in."""

    name: str
    cases: tuple[str, ...]
    refused: dict[str, str]
    """The cases that refused it, each with its sentence."""
    blind_shapes: tuple[str, ...]
    """Shapes no case of which refused it."""

    @property
    def is_honest(self) -> bool:
        return self.name.startswith("honest-")

    @property
    def is_right(self) -> bool:
        return not (self.refused if self.is_honest else self.blind_shapes)

    def __str__(self) -> str:
        """A few words, such as 'caught on 36 of 36 cases'."""
        of = f"of {len(self.cases)} cases"
        if self.is_honest:
            if not self.refused:
                return f"accepted on {len(self.cases)} {of}"
            return f"REFUSED on {len(self.refused)} {of}; first: {next(iter(self.refused.values()))}"
        if self.blind_shapes:
            return f"NOT caught on any case of {', '.join(self.blind_shapes)}"
        return f"caught on {len(self.refused)} {of}"


class Selftest:
    """The stand-ins of one target; `states` is where earlier runs stored its states, if they did."""

    def __init__(
        self,
        target: Target,
        all_cases: Sequence[Case],
        timeout_s: float,
        watch: Callable[[Progress], None] = lambda _: None,
        states: Path | None = None,
    ) -> None:
        self._target = target
        self._cases = all_cases
        self._watch = watch
        self._states = States(target, folder=states)
        self._processes = Processes(target, timeout_s, in_process=False)
        self._process_of: dict[str, KernelProcess] = {}
        self._samples: list[Sample] = []

    @environment.one_thread()
    def judge(self, name: str) -> Finding:
        """What the target says of one of `NAMES`.

        NotApplicable when the target gives no way to make it; KernelFailure when its own kernel does not answer.
        """
        if name == f"honest-{FASTMATH}" and self._is_bit_exact:
            raise NotApplicable("target.BIT_EXACT: every bit of a result is the contract")
        if name == f"wrong-{FLOAT16}" and self._target.lossy is not None:
            raise NotApplicable("target.LOSSY: answers may be approximate")
        if not self._samples:
            self._samples = [self._sample(case) for case in self._watched("self-test", self._cases)]
        kind, _, stand_in = name.partition("-")
        samples = self._samples
        if stand_in == LARGEST_ONLY:
            largest = max(self._cases, key=lambda case: contract.ops_per_call(self._target, case)).shape_id
            samples = [sample for sample in samples if sample.case.shape_id != largest]
            stand_in = "zeros"
        answer = (WRONG if kind == "wrong" else HONEST)[stand_in]
        watched = self._watched(f"self-test, {name}", samples)
        refused = {sample.case.id: said for sample in watched if (said := self._refusal(sample, answer))}
        seeing = {sample.case.shape_id for sample in samples if sample.case.id in refused}
        shapes = dict.fromkeys(sample.case.shape_id for sample in samples)
        blind = tuple(shape for shape in shapes if shape not in seeing)
        return Finding(name, tuple(sample.case.id for sample in samples), refused, blind)

    def close(self) -> None:
        """End every process."""
        self._processes.clear()

    @property
    def _is_bit_exact(self) -> bool:
        return getattr(self._target.wiring, "BIT_EXACT", False)

    def _watched(self, what: str, each: Sequence[T]) -> Iterator[T]:
        """Each of them, while whoever watches is told where this stands."""
        pace = Pace([1.0] * len(each), clocks.now_s, is_measured=False)
        for number, one in enumerate(each, 1):
            step = Step(number, len(each))
            self._watch(Progress(self._target.name, what, step, None, pace.spent_s(), left_s=pace.left_s()))
            yield one
            pace.step_is_done()

    def _refusal(self, sample: Sample, stand_in: StandIn) -> str:
        """The sentence that refuses the stand-in's answers to one case; '' when all are accepted."""
        recalls, floor = [], contract.recall_floor(self._target, sample.case)
        try:
            for number, call in enumerate(sample.calls):
                where = f"{sample.case.id}, call {number + 1} of {len(sample.calls)}"
                answer, expected = stand_in(sample, number), sample.expected[number]
                recalls.append(oracles.compare_answer(self._target, answer, expected, call, where))
            check.refuse_low_recall(recalls, floor, f"{sample.case.id}: the recall of {len(recalls)} calls")
        except KernelFailure as failure:
            return str(failure)
        return ""

    def _sample(self, case: Case) -> Sample:
        state = self._states.of(case)
        self._states.forget(case.id)
        self._refuse_other_states(case, state)
        calls = generate.Feed(self._target, case, state, seeds.PUBLISHED_SEED, "check").draw(
            check.calls_of(self._target)
        )
        oracle = oracles.Oracle(self._target, state)
        expected = [deepcopy(oracle.expected(call)) for call in calls]  # it may use its buffers again
        room = oracle.room(calls).bytes
        right = self._answers(KERNEL, case, state, calls, room)
        if isinstance(right, KernelFailure):
            raise right
        answers: dict[str, AnswersOrFailure] = {KERNEL: right}
        if not self._is_bit_exact:
            answers[FASTMATH] = self._answers(FASTMATH, case, state, calls, room)
        coarse = coarser((state, *calls))
        if any(new is not old for new, old in zip(coarse, (state, *calls), strict=True)):
            answers[FLOAT16] = self._answers(FLOAT16, case, coarse[0], coarse[1:], room)
        return Sample(case, calls, expected, answers)

    def _refuse_other_states(self, case: Case, state: Any) -> None:
        """Every distribution's state is made twice on the smallest shape, and one hidden state."""
        smallest = contract.smallest(self._target)
        if case in smallest:
            generate.refuse_other_states(self._target, case, state)
        if case == smallest[0]:
            generate.refuse_other_hidden_states(self._target, case, "self-test")

    def _answers(self, kind: str, case: Case, state: Any, calls: Sequence[Call], room: int) -> AnswersOrFailure:
        try:
            process = self._process(kind)
            process.bind(case.id, generate.pickled(self._target, state))
            given = process.run(case.id, calls, room)
            answers = [given[number] for number in range(len(calls))]
            process.release(case.id)
        except KernelFailure as failure:
            self._process_of.pop(kind, None)
            return failure
        return answers

    def _process(self, kind: str) -> KernelProcess:
        """One process for each kind; a new one when the last one failed. What the kernel has compiled is kept.

        Where a trial checks answers it checks bounds as well, and so is it here.
        """
        if kind not in self._process_of:
            kernel, compiled = self._target.kernel, NOTHING_COMPILED
            if kind == FASTMATH:
                kernel = sources.make(with_fastmath(kernel.text), kernel.path, kernel.home)
            elif KERNEL in self._process_of:
                compiled = self._process_of[KERNEL].compiled()
            self._process_of[kind] = self._processes.start(kernel, checks_bounds=True, compiled=compiled)
        return self._process_of[kind]
