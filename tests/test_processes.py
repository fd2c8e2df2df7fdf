"""The processes of a trial: which are shared, what is started again, and what is given up for good."""

from __future__ import annotations

import inspect
from pathlib import Path

import fake_workers
import psutil
import pytest
import toys
from fake_workers import BASELINE, CANDIDATE

from pytest_lance_autoresearch.bench.inprocess import InProcessRunner
from pytest_lance_autoresearch.bench.process import Closed, KernelProcess
from pytest_lance_autoresearch.bench.processes import MAX_ENDS, Processes
from pytest_lance_autoresearch.errors import (
    AutoresearchError,
    KernelCrashed,
    KernelFailure,
    KernelIncorrect,
    KernelRaised,
    KernelRefused,
    KernelReturnedMore,
    KernelTimeout,
    MemoryLacking,
    TargetError,
    TrialInvalid,
)
from pytest_lance_autoresearch.machine import turns
from pytest_lance_autoresearch.records import Source
from pytest_lance_autoresearch.target_files import discover, load, sources

CRASH = "64x32-uniform: the kernel's process ended (exit code 3) instead of answering\nits last output:\nbye"
HANG = "64x32-uniform: the kernel did not answer within 60 s and was ended\nit was here:\nline 3"


@pytest.fixture
def target(tmp_path: Path) -> load.Target:
    return load.load(discover.inspect(toys.write(tmp_path, text=CANDIDATE)))


@pytest.fixture
def baseline(target: load.Target) -> Source:
    return sources.make(BASELINE.encode(), target.layout.kernel_path)


@pytest.fixture
def processes(target: load.Target, machine: fake_workers.Machine) -> Processes:  # noqa: ARG001 - they run on it
    return Processes(target, 60.0, in_process=False)


def refusal(processes: Processes, source: Source) -> AutoresearchError:
    """Why the kernel does not start."""
    with pytest.raises(AutoresearchError) as caught:
        processes.start(source)
    return caught.value


def test_a_fake_process_takes_what_a_real_one_takes() -> None:
    for name in (*fake_workers.surface(fake_workers.FakeProcess), "__init__"):
        real, fake = (inspect.signature(getattr(kind, name)) for kind in (KernelProcess, fake_workers.FakeProcess))
        assert list(real.parameters.values()) == list(fake.parameters.values()), name


# What is shared


def test_correctness_runs_in_one_process_that_is_started_when_it_is_needed(
    processes: Processes, machine: fake_workers.Machine
) -> None:
    assert machine.texts() == []
    assert processes.checker() is processes.checker()
    assert machine.texts() == [CANDIDATE]
    assert machine.started[0].timeout_s == 60.0


def test_a_sign_of_life_is_timed_where_correctness_runs(
    processes: Processes, machine: fake_workers.Machine
) -> None:
    measured = processes.timed_checker()
    assert processes.checker() is measured
    assert processes.timed_checker() is measured
    assert machine.texts() == [CANDIDATE]


def test_every_index_is_checked_where_correctness_runs_alone(
    target: load.Target, machine: fake_workers.Machine, baseline: Source
) -> None:
    """Everywhere else it would be timed."""
    processes = Processes(target, 60.0, in_process=False, checks_bounds=True)
    processes.checker()
    processes.start(baseline)
    processes.null()
    assert [process.checks_bounds for process in machine.started] == [True, False, False]


def test_what_the_runner_costs_is_seen_in_one_process_without_a_kernel(
    processes: Processes, machine: fake_workers.Machine
) -> None:
    assert processes.null() is processes.null()
    assert machine.texts() == [""]


def test_a_process_that_is_asked_for_by_its_kernel_is_a_new_one_each_time(
    processes: Processes, machine: fake_workers.Machine, target: load.Target, baseline: Source
) -> None:
    started = [processes.start(source) for source in (target.kernel, baseline, target.kernel)]
    assert len({process.pid for process in started}) == 3
    assert machine.texts() == [CANDIDATE, BASELINE, CANDIDATE]


def test_under_a_debugger_the_kernel_is_checked_here_and_timed_in_a_process(
    target: load.Target, machine: fake_workers.Machine
) -> None:
    processes = Processes(target, 60.0, in_process=True)
    checker = processes.checker()
    assert isinstance(checker, InProcessRunner)
    assert processes.checker() is checker
    assert machine.texts() == []
    processes.timed_checker()
    assert machine.texts() == [CANDIDATE]


# What is started again


def test_clearing_ends_every_process_and_what_is_asked_for_next_is_new(
    processes: Processes, machine: fake_workers.Machine, baseline: Source
) -> None:
    before = [processes.checker(), processes.null(), processes.start(baseline)]
    processes.clear()
    assert machine.running() == [False] * 3
    processes.clear()
    after = [processes.checker(), processes.null()]
    assert not any(new is old for new in after for old in before)
    assert machine.running() == [False] * 3 + [True] * 2


def test_what_is_given_back_first_finds_the_processes_running(
    processes: Processes, machine: fake_workers.Machine, baseline: Source
) -> None:
    processes.start(baseline)
    found: list[list[bool]] = []
    processes.give_back_first(lambda: found.append(machine.running()))
    processes.clear()
    processes.clear()
    assert found == [[True]]
    assert machine.running() == [False]


def test_a_process_may_be_spawned_long_before_it_is_introduced(
    processes: Processes, machine: fake_workers.Machine, baseline: Source
) -> None:
    """And is ended with the others, whether it was introduced or not."""
    processes.spawn(baseline)
    process = processes.spawn(baseline)
    assert machine.events == [(BASELINE, "spawn")] * 2
    processes.introduce(process)
    assert machine.events[2:] == [(BASELINE, "introduce")]
    processes.clear()
    assert machine.running() == [False, False]


def test_what_starts_while_another_trial_measures_stays_off_the_core_that_measures(
    processes: Processes, machine: fake_workers.Machine, baseline: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = iter([False, True])
    monkeypatch.setattr(turns, "others_measure", lambda: next(measure))
    processes.spawn(baseline)
    assert machine.put_aside == []
    process = processes.spawn(baseline)
    assert machine.put_aside == [process.pid]


def test_compiled_code_is_given_to_the_process_it_is_meant_for(
    processes: Processes, machine: fake_workers.Machine, baseline: Source
) -> None:
    processes.spawn(baseline, compiled={"f.nbc": b"code"})
    processes.start(baseline)
    assert [process.was_given for process in machine.started] == [{"f.nbc": b"code"}, {}]


def test_clearing_before_anything_was_started_does_nothing(
    processes: Processes, machine: fake_workers.Machine
) -> None:
    processes.clear()
    processes.clear()
    assert machine.texts() == []


def test_clearing_ends_what_really_runs(target: load.Target, baseline: Source) -> None:
    processes = Processes(target, 60.0, in_process=False)
    pids = [processes.null().pid, processes.start(baseline).pid]
    assert [psutil.pid_exists(pid) for pid in pids] == [True, True]
    processes.clear()
    processes.clear()
    assert [psutil.pid_exists(pid) for pid in pids] == [False, False]


# What is not tried again


@pytest.mark.parametrize(
    "kind", [KernelRaised, KernelCrashed, KernelTimeout, KernelRefused, TargetError, TrialInvalid]
)
def test_a_candidate_that_fails_to_load_is_not_tried_twice(
    processes: Processes,
    machine: fake_workers.Machine,
    target: load.Target,
    baseline: Source,
    kind: type[AutoresearchError],
) -> None:
    """Every item that needs it says the same, with its kind; other kernels go on."""
    failure = machine.failures[CANDIDATE] = kind("kernels.py, while it was loaded: it is no kernel")
    first = refusal(processes, target.kernel)
    assert first is failure
    again = refusal(processes, target.kernel)
    assert (type(again), str(again)) == (kind, str(failure))
    assert again is not failure  # the seed that is noted with one item's failure is not another's
    with pytest.raises(kind, match="it is no kernel"):
        processes.checker()
    processes.clear()
    with pytest.raises(kind, match="it is no kernel"):
        processes.timed_checker()
    assert machine.texts() == [CANDIDATE]
    processes.start(baseline)
    processes.null()


@pytest.mark.parametrize("failure", [MemoryLacking("no memory to share"), OSError("no file"), KeyboardInterrupt()])
def test_what_is_no_fault_of_the_kernel_may_be_over_at_the_next_try(
    processes: Processes, machine: fake_workers.Machine, target: load.Target, failure: BaseException
) -> None:
    machine.failures[CANDIDATE] = failure
    with pytest.raises(type(failure)):
        processes.start(target.kernel)
    del machine.failures[CANDIDATE]
    processes.start(target.kernel)
    assert machine.texts() == [CANDIDATE] * 2


def test_a_candidate_that_was_closed_while_it_loaded_has_not_failed(
    target: load.Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the baseline beside it fails: it may be started again, by the next item for example."""
    processes = Processes(target, 60.0, in_process=False)
    process = processes.spawn(target.kernel)
    load_target = process._load_target

    def closed_meanwhile() -> None:
        process.close()
        load_target()

    monkeypatch.setattr(process, "_load_target", closed_meanwhile)
    with pytest.raises(Closed):
        processes.introduce(process)
    processes.start(target.kernel)
    processes.clear()


def test_a_baseline_that_fails_to_load_is_not_the_candidates_fault(
    processes: Processes, machine: fake_workers.Machine, target: load.Target, baseline: Source
) -> None:
    machine.failures[BASELINE] = KernelCrashed("kernels.py, while it was loaded: its process ended")
    for _ in range(MAX_ENDS):
        assert refusal(processes, baseline) is machine.failures[BASELINE]
    processes.start(target.kernel)
    assert machine.texts() == [BASELINE] * MAX_ENDS + [CANDIDATE]


def test_a_baseline_with_the_candidates_text_is_still_the_baseline(
    processes: Processes, machine: fake_workers.Machine, target: load.Target
) -> None:
    twin = sources.make(target.kernel.text, target.kernel.path)
    processes.lost_a_process(KernelTimeout(HANG))
    processes.start(twin)
    assert machine.texts() == [CANDIDATE]
    assert isinstance(refusal(processes, target.kernel), KernelTimeout)


def test_a_kernel_that_breaks_a_rule_of_the_house_is_never_started(
    tmp_path: Path, machine: fake_workers.Machine, baseline: Source
) -> None:
    refused = load.load(discover.inspect(toys.write(tmp_path, "refused", "import os\n")))
    processes = Processes(refused, 60.0, in_process=False)
    found = [refusal(processes, refused.kernel) for _ in range(2)]
    assert {type(failure) for failure in found} == {KernelRefused}
    assert {str(failure) for failure in found} == {
        "kernels.py, line 1: imports 'os'; a kernel may import collections, dataclasses, enum, functools, "
        "itertools, math, numba, numpy, typing"
    }
    processes.start(baseline)
    assert machine.texts() == [BASELINE]


def test_under_a_debugger_a_kernel_may_contain_anything(tmp_path: Path, machine: fake_workers.Machine) -> None:
    text = f"import os\n{CANDIDATE}"
    debugged = load.load(discover.inspect(toys.write(tmp_path, "debugged", text)))
    processes = Processes(debugged, 60.0, in_process=True)
    assert isinstance(processes.checker(), InProcessRunner)
    processes.timed_checker()
    assert machine.texts() == [text]


# What ends too often


@pytest.mark.parametrize("kind", [KernelIncorrect, KernelRaised, KernelReturnedMore])
def test_a_wrong_answer_or_an_exception_costs_no_process(
    processes: Processes, target: load.Target, kind: type[KernelFailure]
) -> None:
    assert not any(processes.lost_a_process(kind("64x32-uniform: wrong")) for _ in range(MAX_ENDS))
    processes.start(target.kernel)


@pytest.mark.parametrize("kind", [TrialInvalid, TargetError, MemoryLacking])
def test_what_is_no_failure_of_the_kernel_costs_it_no_process(
    processes: Processes, target: load.Target, kind: type[AutoresearchError]
) -> None:
    """A baseline's crash comes as TrialInvalid."""
    assert not any(processes.lost_a_process(kind("something else")) for _ in range(MAX_ENDS))
    processes.start(target.kernel)


def test_after_three_ended_processes_the_rest_is_not_run(
    processes: Processes, machine: fake_workers.Machine, target: load.Target, baseline: Source
) -> None:
    ends = [KernelCrashed(CRASH), KernelRefused("64x32-normal: a thread"), KernelCrashed("64x32-sparse: ended")]
    for end in ends:
        processes.start(target.kernel)
        assert processes.lost_a_process(end)
        processes.clear()
    refused = refusal(processes, target.kernel)
    assert type(refused) is KernelCrashed
    assert str(refused) == (
        "not run: the kernel's process ended 3 times already; first: 64x32-uniform: the kernel's process ended "
        "(exit code 3) instead of answering"
    )
    assert machine.texts() == [CANDIDATE] * 3
    processes.start(baseline)
    processes.null()


def test_a_kernel_that_hangs_gets_no_second_chance(
    processes: Processes, machine: fake_workers.Machine, target: load.Target, baseline: Source
) -> None:
    processes.start(target.kernel)
    processes.lost_a_process(KernelCrashed(CRASH))
    processes.start(target.kernel)
    assert processes.lost_a_process(KernelTimeout(HANG))
    refused = refusal(processes, target.kernel)
    assert type(refused) is KernelTimeout
    assert str(refused) == (
        "not run: the kernel ran out of time already: 64x32-uniform: the kernel did not answer within 60 s and "
        "was ended"
    )
    assert machine.texts() == [CANDIDATE] * 2
    processes.start(baseline)
    processes.null()


# Locks


def test_it_is_noted_when_one_process_had_no_locks(
    processes: Processes, machine: fake_workers.Machine, target: load.Target
) -> None:
    """Whichever it was, and for good: what it measured counts in the trial."""
    assert processes.is_confined
    processes.start(target.kernel)
    assert processes.is_confined
    machine.is_confined = False
    processes.null()
    assert not processes.is_confined
    machine.is_confined = True
    processes.clear()
    processes.null()
    assert not processes.is_confined
