"""A kernel against itself in the pairs of one look, for the benchmarks that need many.

Owns starting and ending the processes around one measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytest_lance_autoresearch.bench.measure import NO_HANDICAP, Handicap
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.records import ANSWER_TIMEOUT_S, Case
from pytest_lance_autoresearch.runs.calibration import Run, measure_run
from pytest_lance_autoresearch.target_files import seeds
from pytest_lance_autoresearch.target_files.load import Target


def measured(
    target: Target, states: Mapping[Case, Any], handicap: Callable[[Case], Handicap] = lambda _: NO_HANDICAP
) -> Run:
    """The target's kernel against itself over the cases of the states, on secret calls."""
    processes = Processes(target, ANSWER_TIMEOUT_S, in_process=False)
    try:
        return measure_run(target, processes, states, seeds.secret_seed(), handicap)
    finally:
        processes.clear()
