"""A field of processes until its first window: what happens to one side happens to the others; any may fail."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ALL_COMPLETED
from pathlib import Path
from threading import Barrier, Event, Lock, Thread
from types import ModuleType
from typing import Any

import fake_workers
import psutil
import pytest
import toys
from fake_workers import BASELINE, BUILD_NS, CANDIDATE, FakeProcess

from pytest_lance_autoresearch.bench import fields, measure
from pytest_lance_autoresearch.bench.fields import Field
from pytest_lance_autoresearch.bench.measure import CasePlan
from pytest_lance_autoresearch.bench.oracles import Oracle
from pytest_lance_autoresearch.bench.process import Closed, KernelProcess
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.errors import (
    AutoresearchError,
    KernelCrashed,
    KernelIncorrect,
    KernelTimeout,
    TargetError,
    TrialInvalid,
)
from pytest_lance_autoresearch.kernel_side import modules, wire
from pytest_lance_autoresearch.records import Building, Source
from pytest_lance_autoresearch.target_files import contract, discover, generate, load, sources

PATIENCE_S = 60.0
FAILURE = "kernels.py, while it was loaded: its process ended"
Start = Callable[[], Field]


@pytest.fixture
def target(tmp_path: Path) -> load.Target:
    return load.load(discover.inspect(toys.write(tmp_path, text=CANDIDATE)))


@pytest.fixture
def processes(target: load.Target) -> Iterator[Processes]:
    made = Processes(target, PATIENCE_S, in_process=False)
    yield made
    made.clear()


@pytest.fixture
def start(target: load.Target, machine: fake_workers.Machine, processes: Processes) -> Start:  # noqa: ARG001
    return lambda: start_with(target, processes)


def start_with(target: load.Target, processes: Processes, baseline: str = BASELINE) -> Field:
    beside = sources.make(baseline.encode(), target.layout.kernel_path)
    return started(processes, {"A": beside, "B": target.kernel}, plans(target))


def started(processes: Processes, sides: dict[str, Source], made: list[CasePlan]) -> Field:
    field = Field.launch(processes, sides, made, {})
    field.join(made)
    return field


def plans(target: load.Target) -> list[CasePlan]:
    return [plan(target, case) for case in contract.cases_of(target)[:2]]


def plan(target: load.Target, case: Any) -> CasePlan:
    state = generate.make_state(target, case, 1)
    feed = generate.Feed(target, case, state, 1, "timed")
    return measure.new_plan(case.id, Oracle(target, state), feed, wire.Packer())


def happened(machine: fake_workers.Machine, text: str) -> list[str]:
    return [what for each, what in machine.events if each == text]


# Both sides


def test_both_sides_are_built_and_called_once_on_every_case(start: Start, machine: fake_workers.Machine) -> None:
    start()
    for text in (BASELINE, CANDIDATE):
        assert happened(machine, text) == ["spawn", "introduce", *["bind", "run"] * 2, "share", "forget"]


def test_both_sides_find_their_arguments_in_the_same_memory_which_is_given_back(
    start: Start, machine: fake_workers.Machine
) -> None:
    pair = start()
    one, other = (process.shared for process in machine.started)
    assert one is not None
    assert one is other
    pair.close()
    assert one.fd < 0


def test_neither_side_waits_until_the_other_has_loaded(
    start: Start, monkeypatch: pytest.MonkeyPatch, machine: fake_workers.Machine
) -> None:
    """Both are started before either is waited for, and each waits here until the other loads as well."""
    meeting, introduce = Barrier(2, timeout=PATIENCE_S), FakeProcess.introduce

    def met(process: FakeProcess) -> None:
        assert len(machine.started) == 2
        meeting.wait()
        introduce(process)

    monkeypatch.setattr(FakeProcess, "introduce", met)
    start()


def test_memory_is_counted_from_when_both_have_answered(start: Start, machine: fake_workers.Machine) -> None:
    """What compiling took is forgotten before any peak is read."""
    start().price_building([])
    forgotten = machine.events.index((BASELINE, "forget")), machine.events.index((CANDIDATE, "forget"))
    last_run = max(i for i, (_, what) in enumerate(machine.events) if what == "run")
    first_peak = min(i for i, (_, what) in enumerate(machine.events) if what == "peak")
    assert last_run < min(forgotten)
    assert max(forgotten) < first_peak


@pytest.mark.parametrize(("compile_ns", "build_ns"), [(10**9, BUILD_NS), (10**9, 10**9), (0, 3)])
def test_building_is_priced_without_what_compiling_takes(
    target: load.Target, machine: fake_workers.Machine, processes: Processes, compile_ns: int, build_ns: int
) -> None:
    """As of a jitted constructor, which compiles when it is first built; a slow one is slow each time."""
    machine.compile_ns = {CANDIDATE: compile_ns}
    machine.build_ns = {CANDIDATE: build_ns}
    made = plans(target)
    beside = sources.make(BASELINE.encode(), target.layout.kernel_path)
    pair = started(processes, {"A": beside, "B": target.kernel}, made)
    pair.price_building(made)
    assert pair.record()["B"].building == {one.key: Building(BUILD_NS, build_ns, len(one.state())) for one in made}


# Several candidates


def test_every_candidate_has_a_pair_of_its_own_beside_the_same_baseline(
    target: load.Target, machine: fake_workers.Machine, processes: Processes
) -> None:
    """With what building takes itself, its own memory, and its share of the field's time."""
    third = f"{toys.KERNEL}NUMBER = 3\n"
    machine.build_ns, machine.peak_bytes = {third: 5}, {third: 7}
    path, made = target.layout.kernel_path, plans(target)
    sides = {"A": BASELINE, "B": CANDIDATE, "C": third}
    started_s = machine.seconds()
    field = started(processes, {letter: sources.make(text.encode(), path) for letter, text in sides.items()}, made)
    field.price_building(made)
    for one in made:
        field.warm_up(one, processes.null())
        assert field.measure_block(one, thorough=False)
        field.note(one)
    took_s = machine.seconds() - started_s
    pairs = field.record()
    assert {letter: pair.building[made[0].key].candidate_ns for letter, pair in pairs.items()} == {
        "B": BUILD_NS,
        "C": 5,
    }
    assert {letter: pair.candidate_peak_rss_bytes for letter, pair in pairs.items()} == {
        "B": fake_workers.PEAK_BYTES,
        "C": 7,
    }
    assert [pair.seconds for pair in pairs.values()] == [pytest.approx(took_s / 2)] * 2
    assert [len(pair.blocks) for pair in pairs.values()] == [len(made)] * 2
    field.close()


# Failures


def fails_while_the_other_compiles(
    monkeypatch: pytest.MonkeyPatch, text: str, verb: str, failure: BaseException
) -> None:
    """Let the kernel fail when that is asked of it; the other side loads until it is given up."""
    introduce = FakeProcess.introduce
    asked, given_up = getattr(FakeProcess, verb), Event()

    def introduced(process: FakeProcess) -> None:
        if process.text != text:
            assert given_up.wait(PATIENCE_S), "it would be waited for"
            raise Closed
        introduce(process)

    def failing(process: FakeProcess, *arguments: Any, **named: Any) -> Any:
        if process.text == text:
            raise failure
        return asked(process, *arguments, **named)

    def giving_up(process: FakeProcess) -> None:
        if process.text != text:
            given_up.set()

    monkeypatch.setattr(FakeProcess, "introduce", introduced)
    monkeypatch.setattr(FakeProcess, verb, failing)
    monkeypatch.setattr(FakeProcess, "give_up", giving_up)


@pytest.mark.parametrize("verb", ["introduce", "bind", "run_window"])
@pytest.mark.parametrize("text", [BASELINE, CANDIDATE], ids=["baseline", "candidate"])
@pytest.mark.parametrize("kind", [KernelCrashed, KernelTimeout, TargetError, KeyboardInterrupt])
def test_a_failure_ends_both_while_the_other_still_compiles(
    start: Start,
    machine: fake_workers.Machine,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    text: str,
    kind: type[BaseException],
) -> None:
    failure = kind(FAILURE)
    fails_while_the_other_compiles(monkeypatch, text, verb, failure)
    is_blamed = text == BASELINE and kind in (KernelCrashed, KernelTimeout)
    with pytest.raises(TrialInvalid if is_blamed else kind) as raised:
        start()
    assert (raised.value.__cause__ if is_blamed else raised.value) is failure
    assert str(raised.value) == ("the baseline kernel failed: " if is_blamed else "") + FAILURE
    assert machine.running() == [False, False]
    if verb != "introduce" and isinstance(raised.value, AutoresearchError):
        assert raised.value.case == "64x32-uniform"


def test_where_both_have_failed_it_is_the_candidates_failure(
    start: Start, machine: fake_workers.Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a calibration, where both are the same kernel; whichever failed first."""
    meeting = Barrier(2, timeout=PATIENCE_S)

    def failing(process: FakeProcess) -> None:
        meeting.wait()
        raise machine.failures[process.text]

    machine.failures = {text: KernelCrashed(FAILURE) for text in (BASELINE, CANDIDATE)}
    monkeypatch.setattr(FakeProcess, "introduce", failing)
    monkeypatch.setattr(fields, "FIRST_EXCEPTION", ALL_COMPLETED)
    monkeypatch.setattr(fields, "_INTERRUPT_S", None)
    with pytest.raises(KernelCrashed) as raised:
        start()
    assert raised.value is machine.failures[CANDIDATE]


def test_a_wrong_first_answer_ends_both(tmp_path: Path, machine: fake_workers.Machine) -> None:
    wrong = load.load(discover.inspect(toys.write(tmp_path, "wrong", toys.kernel("return result + 1"))))
    with pytest.raises(KernelIncorrect, match=r"^64x32-uniform, warm-up call: ") as raised:
        start_with(wrong, Processes(wrong, PATIENCE_S, in_process=False))
    assert raised.value.case == "64x32-uniform"
    assert machine.running() == [False, False]


class Watched(Processes):
    """Says when both sides of a pair are being introduced."""

    def __init__(self, target: load.Target) -> None:
        super().__init__(target, PATIENCE_S, in_process=False)
        self.pids: list[int] = []
        self.both = Event()
        self._lock = Lock()

    def introduce(self, process: KernelProcess) -> None:
        with self._lock:
            self.pids.append(process.pid)
            if len(self.pids) == 2:
                self.both.set()
        super().introduce(process)


ENDLESS = "while True:\n    pass\n"


def test_ctrl_c_while_both_compile_leaves_no_process_behind(tmp_path: Path) -> None:
    """In real processes, which are in the middle of loading a kernel that never ends to."""
    target = load.load(discover.inspect(toys.write(tmp_path, text=ENDLESS)))
    watched = Watched(target)
    interrupter = interrupting(watched.both)
    try:
        with pytest.raises(KeyboardInterrupt):
            start_with(target, watched, f"# the baseline\n{ENDLESS}")
    finally:
        interrupter.join()
        watched.clear()  # as whoever is interrupted does
    assert len(watched.pids) == 2
    assert not any(map(psutil.pid_exists, watched.pids))
    assert [*tmp_path.glob("kernel-*")] == []


def interrupting(event: Event) -> Thread:
    """A thread that sends Ctrl-C once the event has come."""

    def interrupt() -> None:
        if event.wait(PATIENCE_S):
            os.kill(os.getpid(), signal.SIGINT)

    thread = Thread(target=interrupt)
    thread.start()
    return thread


@pytest.mark.usefixtures("any_source")
@pytest.mark.parametrize("failing", ["baseline", "candidate"])
def test_a_real_failure_ends_the_real_process_beside_it_which_still_loads(tmp_path: Path, failing: str) -> None:
    """And is not taken for that one's own: it may be started again."""
    exiting = "import os\nos._exit(3)\n"
    baseline, candidate = (exiting, ENDLESS) if failing == "baseline" else (ENDLESS, exiting)
    target = load.load(discover.inspect(toys.write(tmp_path, text=candidate)))
    watched = Watched(target)
    with pytest.raises(TrialInvalid if failing == "baseline" else KernelCrashed) as raised:
        start_with(target, watched, baseline)
    said = "kernels.py, while it was loaded: the kernel's process ended (exit code 3) instead of answering"
    assert str(raised.value) == ("the baseline kernel failed: " if failing == "baseline" else "") + said
    assert not any(map(psutil.pid_exists, watched.pids))
    if failing == "baseline":
        watched.spawn(target.kernel).close()
    else:
        with pytest.raises(KernelCrashed, match=r"exit code 3"):
            watched.spawn(target.kernel)


def test_what_one_side_makes_importable_stays_so_until_it_has_been_used() -> None:
    """Both states are pickled at the same time, which finds their classes among the modules."""
    name, entered, left, found = "autoresearch_inputs_pair", Event(), Event(), []

    def other_side() -> None:
        with modules.importable({name: ModuleType(name)}):
            entered.set()
            left.wait(PATIENCE_S)
            found.append(name in sys.modules)

    thread = Thread(target=other_side)
    with modules.importable({name: ModuleType(name)}):
        thread.start()
        entered.wait(0.05)  # in vain, while this side uses it
    left.set()
    thread.join()
    assert found == [True]
    assert name not in sys.modules
