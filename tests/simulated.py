"""Workers without a process, on a clock that only they move: what is measured with them is exact.

`Worker` and `Answers` inherit from what they stand for, so that mypy sees when they differ.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import toys

from pytest_lance_autoresearch.bench import measure
from pytest_lance_autoresearch.bench.measure import CasePlan, Handicap
from pytest_lance_autoresearch.bench.oracles import Oracle
from pytest_lance_autoresearch.bench.process import KernelProcess, WindowAnswers
from pytest_lance_autoresearch.errors import KernelRaised
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.records import Block, Call, Window
from pytest_lance_autoresearch.target_files import contract
from pytest_lance_autoresearch.target_files.generate import Feed

KEY, SEED = "64x32-uniform", 7
WEIGHTS = np.arange(1.0, 5.0)
ROOM = wire.Packer().pack(KEY, [()], 2 * WEIGHTS.nbytes).plan.calls[0].result_bytes
"""What is kept for the result of a call."""
READ_NS = 30_000
"""What reading an answer takes."""
US = 1_000


@dataclass
class Lab:
    """Three simulated workers, their clock, and what happened in them and between them, in order."""

    now_ns: int = 10**12
    events: list[tuple[str, str, Any]] = field(default_factory=list)
    """Who did what, with which detail."""
    luck: float = 1.0
    """The next fraction that chance gives."""

    def __post_init__(self) -> None:
        self.null, self.baseline, self.candidate = (Worker(self, name) for name in ("null", "A", "B"))
        self.null.call_ns = 0
        self.oracle = Oracle(toys.loaded(), toys.loaded().inputs.State(WEIGHTS))
        self.feed = Numbered(toys.loaded(), contract.cases_of(toys.loaded())[0], None, SEED, "timed")

    def now_s(self) -> float:
        return self.now_ns / 1e9

    def plan(self, *, alone: bool = False, handicap: Handicap = measure.NO_HANDICAP) -> CasePlan:
        """A case whose kernels are built, verified, and warm."""
        sides: dict[str, KernelProcess] = {"B": self.candidate} if alone else self.sides()
        plan = self.introduced(sides, handicap)
        measure.size(plan, sides, self.null)
        return plan

    def introduced(self, sides: dict[str, KernelProcess], handicap: Handicap = measure.NO_HANDICAP) -> CasePlan:
        """A case whose windows have no size yet."""
        plan = measure.new_plan(KEY, self.oracle, self.feed, wire.Packer(), handicap)
        measure.bind(plan, sides)
        measure.verify_first(plan, measure.call_once(plan, sides))
        return plan

    def sides(self) -> dict[str, KernelProcess]:
        return {"A": self.baseline, "B": self.candidate}

    def block(self, plan: CasePlan, *, thorough: bool = False) -> Block:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(measure, "_CHOICE", Chance(self))
            return measure.measure_blocks(plan, self.sides(), thorough=thorough).blocks["B"]

    def alone(self, plan: CasePlan, count: int) -> tuple[Window, ...]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(measure, "_CHOICE", Chance(self))
            return measure.measure_alone(plan, self.candidate, count)

    def did(self, who: str, *what: str) -> list[Any]:
        """The details of what one did, of these kinds."""
        return [detail for name, verb, detail in self.events if name == who and verb in what]


class Numbered(Feed):
    """Calls that carry their number."""

    def one_by_one(self, count: int) -> Iterator[Call]:
        first, self.drawn = self.drawn, self.drawn + count
        return ((np.full(WEIGHTS.size, float(n)),) for n in range(first, first + count))


class Chance(random.Random):
    """Chance that a test can repeat, and that notes when it was asked."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(len(lab.events))
        self._lab = lab

    def random(self) -> float:
        return self._lab.luck

    def getrandbits(self, k: int) -> int:
        self._lab.events.append(("chance", "chose", None))
        return super().getrandbits(k)


class Worker(KernelProcess):
    """A worker without a process: its times are what a test says, its answers those of the toy's kernel.

    It uses a core all the time, also after it has answered.
    """

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab, self.name = lab, name
        self.call_ns, self.bind_ns = 100 * US, 0
        self.extra_ns: dict[int, int] = {}
        """What single windows take longer, by number."""
        self.waited_ns: int | None = 0
        self.fails = ""
        """What raises an exception: a verb, 'window' for a run of several calls; 'right' makes answers wrong."""
        self.runs = 0

    def note(self, verb: str, detail: Any = None) -> None:
        self.lab.events.append((self.name, verb, detail))
        self.fail_at(verb)

    def fail_at(self, what: str) -> None:
        if what == self.fails:
            raise KernelRaised(f"{KEY}: the kernel raised ZeroDivisionError")

    def bind(self, key: str, state: bytes, handicap: float | None = None) -> int:
        self.lab.now_ns += self.bind_ns
        self.note("bind", (key, pickle.loads(state), handicap))
        return self.bind_ns

    def imitate(self, key: str, echo: wire.Echo) -> None:
        self.note("imitate", (key, echo))

    def release(self, key: str) -> None:
        self.note("release", key)

    def run_window(self, window: wire.PackedWindow, *, is_announced: bool = True) -> WindowAnswers:
        calls = deepcopy(window.calls())
        assert window.plan.key == KEY
        assert {plan.result_bytes for plan in window.plan.calls} == {ROOM}
        opened_ns = self.lab.now_ns
        wall_ns = len(calls) * self.call_ns + self.extra_ns.get(self.runs, 0) + (self.waited_ns or 0)
        self.runs += 1
        self.lab.now_ns += wall_ns
        self.note("run" if is_announced else "run unannounced", [int(call[0][0]) for call in calls])
        if len(calls) > 1:
            self.fail_at("window")
        answers = Answers(self, calls, Window(len(calls), wall_ns, wall_ns, self.waited_ns), opened_ns)
        if window.plan.is_one_by_one:
            answers.early = len(calls) - 1, answers[len(calls) - 1]
        return answers


class Answers(WindowAnswers):
    def __init__(self, worker: Worker, calls: Sequence[Call], window: Window, opened_ns: int) -> None:
        self.window = window
        self._worker, self._given, self._opened = worker, calls, opened_ns

    def __getitem__(self, index: int) -> Any:
        self._worker.lab.now_ns += READ_NS
        self._worker.note("read", index)
        return WEIGHTS * self._given[index][0] + (self._worker.fails == "right")

    def echo(self, index: int) -> wire.Echo:
        return wire.Echo((WEIGHTS * self._given[index][0],), is_tuple=False)

    def settled(self) -> Window:
        return replace(self.window, cpu_ns=self._worker.lab.now_ns - self._opened)
