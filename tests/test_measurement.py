"""Both ways to measure keep one protocol, so that a trial need not know which one it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_workers
import pytest
import toys
from fake_workers import BASELINE, CANDIDATE

from pytest_lance_autoresearch.bench.alone import Alone
from pytest_lance_autoresearch.bench.comparison import Comparison
from pytest_lance_autoresearch.bench.measurement import Measurement, Show
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.errors import KernelCrashed
from pytest_lance_autoresearch.records import Case, Rules
from pytest_lance_autoresearch.target_files import contract, discover, generate, load, sources
from pytest_lance_autoresearch.verdict import aggregate


def watched(*_: object) -> None:
    """Nobody watches."""


SHOW: Show = watched


def timed(target: load.Target) -> list[Case]:
    return [case for case in contract.cases_of(target) if case.timed]


def alone(target: load.Target, processes: Processes) -> Measurement:
    return Alone(target, timed(target), processes, SHOW)


def brief(target: load.Target, processes: Processes) -> Measurement:
    return Alone(target, timed(target), processes, SHOW, brief=True)


def compared(target: load.Target, processes: Processes) -> Measurement:
    baseline = sources.make(BASELINE.encode(), target.kernel.path)
    rules = Rules(pairs=2, blocks=1, max_looks=1)
    return Comparison(target, baseline, timed(target), rules, processes, SHOW)


@pytest.mark.parametrize("begin", [alone, brief, compared])
def test_a_trial_goes_through_it_without_knowing_which_it_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    begin: Callable[[load.Target, Processes], Measurement],
) -> None:
    """mypy checks that each is a `Measurement`; here the same is asked of all."""
    fake_workers.install(monkeypatch)
    target = load.load(discover.inspect(toys.write(tmp_path, text=CANDIDATE)))
    processes = Processes(target, 60.0, in_process=False)
    measurement = begin(target, processes)
    found = [measurement.measure_case(case, state_of(target), 1) for case in timed(target)]
    assert (measurement.failure, measurement.refusal) == (None, None)
    judgement = measurement.decide(lambda: 1.0, 1)
    assert (judgement is None) == (begin is not compared)
    processes.clear()
    assert measurement.candidate().cases == tuple(found)
    assert list(aggregate.figures("product", measurement.candidate()).ns_per_op) == list(toys.TIMED)
    evidence = measurement.evidence()
    assert evidence.candidate_code_size == target.kernel.code_size
    counted = [len(times.windows) for times in measurement.candidate().cases]
    assert aggregate.count_windows(evidence) >= sum(counted) > 0


@pytest.mark.parametrize("begin", [alone, compared])
def test_what_ends_all_of_it_is_each_items_failure_and_is_met_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    begin: Callable[[load.Target, Processes], Measurement],
) -> None:
    """A failure that is about no case; nothing is measured again for the next item."""
    machine = fake_workers.install(monkeypatch)
    target = load.load(discover.inspect(toys.write(tmp_path, text=CANDIDATE)))
    machine.failures[CANDIDATE] = KernelCrashed("kernels.py, while it was loaded: its process ended")
    measurement = begin(target, Processes(target, 60.0, in_process=False))
    for case in timed(target):
        with pytest.raises(KernelCrashed):
            measurement.measure_case(case, state_of(target), 1)
    assert machine.texts().count(CANDIDATE) == 1
    assert measurement.failure is machine.failures[CANDIDATE]


def state_of(target: load.Target) -> Callable[[Case], Any]:
    return lambda case: generate.make_state(target, case, 1)
