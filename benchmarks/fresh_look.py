"""A kernel against itself in the pairs of one look, for the benchmarks that need many.

Owns starting and ending the processes around one measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pytest_lance_autoresearch.bench.comparison import Comparison
from pytest_lance_autoresearch.bench.measure import NO_HANDICAP, Handicap
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.records import ANSWER_TIMEOUT_S, Case, Rules
from pytest_lance_autoresearch.runs.calibration import Run, measure_run
from pytest_lance_autoresearch.target_files import seeds
from pytest_lance_autoresearch.target_files.load import Target


def measured(
    target: Target, states: Mapping[Case, Any], handicap: Callable[[Case], Handicap] = lambda _: NO_HANDICAP
) -> Run:
    """The target's kernel against itself over the cases of the states, on secret calls."""
    with _processes(target) as processes:
        return measure_run(target, processes, states, seeds.secret_seed(), handicap)


def measured_secretly(target: Target, cases: Sequence[Case]) -> Run:
    """The same over states that nobody knows, as in a second look: with calls that are started one by one."""
    with _processes(target) as processes:
        comparison = Comparison(target, target.kernel, cases, Rules(), processes, lambda *_: None)
        comparison.measure_again(seeds.secret_seed())
        return comparison.pairs()


@contextmanager
def _processes(target: Target) -> Iterator[Processes]:
    processes = Processes(target, ANSWER_TIMEOUT_S, in_process=False)
    try:
        yield processes
    finally:
        processes.clear()
