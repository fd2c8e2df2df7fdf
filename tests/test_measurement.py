"""Both ways to measure keep one protocol, so that a trial need not know which one it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fake_workers
import pytest
import toys
from fake_workers import BASELINE, CANDIDATE

from pytest_lance_autoresearch.bench.alone import Alone
from pytest_lance_autoresearch.bench.comparison import Comparison
from pytest_lance_autoresearch.bench.measurement import Measurement, Show
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.records import Rules
from pytest_lance_autoresearch.target_files import contract, discover, generate, load, sources
from pytest_lance_autoresearch.verdict import aggregate


def watched(*_: object) -> None:
    """Nobody watches."""


SHOW: Show = watched


def alone(target: load.Target, processes: Processes) -> Measurement:
    return Alone(target, processes, len(toys.TIMED), SHOW)


def brief(target: load.Target, processes: Processes) -> Measurement:
    return Alone(target, processes, len(toys.TIMED), SHOW, brief=True)


def compared(target: load.Target, processes: Processes) -> Measurement:
    baseline = sources.make(BASELINE.encode(), target.kernel.path)
    return Comparison(target, baseline, Rules(blocks=1, max_looks=1), processes, SHOW)


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
    timed = [case for case in contract.cases_of(target) if case.timed]
    found = [measurement.measure_case(case, generate.make_state(target, case, 1), 1) for case in timed]
    judgement = measurement.decide(timed, lambda: 1.0, 1)
    assert (judgement is None) == (not measurement.goes_on())
    processes.clear()
    assert measurement.candidate().cases == tuple(found)
    assert list(aggregate.figures("product", measurement.candidate()).ns_per_op) == list(toys.TIMED)
    evidence = measurement.evidence()
    assert evidence.candidate_code_size == target.kernel.code_size
    assert aggregate.count_windows(evidence) >= sum(len(times.windows) for times in found) > 0
