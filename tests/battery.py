"""A target's published cases, judged with stand-in kernels as a trial judges them, in this process."""

from __future__ import annotations

from copy import deepcopy
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pytest_lance_autoresearch.bench import oracles
from pytest_lance_autoresearch.kernel_side import modules
from pytest_lance_autoresearch.records import Call, Case, Source
from pytest_lance_autoresearch.target_files import contract, discover, generate, load, seeds
from pytest_lance_autoresearch.target_files.states import States

TARGETS = Path(__file__).parent.parent / "targets"
PORTS = TARGETS.parent / "benchmarks" / "ports"
NAMES = sorted(path.name for path in TARGETS.iterdir() if path.is_dir())
"""Of all targets, the examples and the template too."""
CALLS = 3


class Battery:
    """The cases of one target; states and expected results are computed once."""

    stored: Path | None = None
    """Where the states of all targets are found again, as those of a plain run are; None is nowhere."""

    def __init__(self, name: str) -> None:
        self.target = load.load(discover.inspect(TARGETS / name))
        self.cases: dict[str, Case] = {case.id: case for case in contract.cases_of(self.target)}
        self.states = States(self.target, folder=self.stored)
        self.prepared = lru_cache(maxsize=None)(self._prepared)
        self.expected = lru_cache(maxsize=None)(self._expected)

    @cached_property
    def kernels(self) -> Any:
        """The target's own kernels.py."""
        return loaded(self.target, self.target.kernel)

    def _prepared(self, case_id: str) -> tuple[Any, oracles.Oracle, list[Call]]:
        case = self.cases[case_id]
        state = self.states.of(case)
        feed = generate.Feed(self.target, case, state, seeds.PUBLISHED_SEED, "check")
        return state, oracles.Oracle(self.target, state), feed.draw(CALLS)

    def _expected(self, case_id: str) -> list[Any]:
        """The oracle may use its buffers again."""
        _, oracle, calls = self.prepared(case_id)
        return [deepcopy(oracle.expected(call)) for call in calls]

    def verify(self, kernels: Any, case_id: str) -> None:
        """What a trial does with the published calls of a case; KernelIncorrect at the first wrong answer.

        `kernels` is a module, or a namespace with the same names. It gets copies of the arguments.
        """
        state, oracle, calls = self.prepared(case_id)
        answer = self.target.wiring.bind(kernels, state)
        with np.errstate(all="ignore"):
            for call, expected in zip(calls, self.expected(case_id), strict=True):
                own = tuple(value.copy() if isinstance(value, np.ndarray) else value for value in call)
                oracle.compare(answer(*own), expected, call, case_id)


def loaded(target: load.Target, kernel: Source) -> Any:
    """A kernel of the target as a module of this process."""
    return modules.execute_kernel(target.name, kernel)
