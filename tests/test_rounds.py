"""The rounds of a tournament, in processes that are none: who stands beside which baseline, and who fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fake_workers
import psutil
import pytest
import toys
from fake_workers import BASELINE, CALL_NS

from pytest_lance_autoresearch.bench import rounds as holding
from pytest_lance_autoresearch.bench.measurement import at_once
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.bench.rounds import Ground, Measured, OneGround, Rounds
from pytest_lance_autoresearch.errors import KernelCrashed, TrialInvalid
from pytest_lance_autoresearch.records import Case, Source
from pytest_lance_autoresearch.target_files import contract, discover, generate, load, sources
from pytest_lance_autoresearch.verdict import selection


def text(number: int) -> str:
    return f"{toys.KERNEL}NUMBER = {number}\n"


class Course:
    """Rounds of some candidates over two cases of a toy."""

    def __init__(self, root: Path, machine: fake_workers.Machine) -> None:
        self.machine = machine
        self.target = load.load(discover.inspect(toys.write(root)))
        self.cases = contract.cases_of(self.target)[:2]
        self.processes = Processes(self.target, 60.0, in_process=False)
        self.asked_s: list[float] = []

    def rounds(self, count: int) -> Rounds:
        self.sources = [self._source(text(number)) for number in range(count)]
        self.names = [source.sha256 for source in self.sources]
        candidates = dict(zip(self.names, self.sources, strict=True))
        baseline, run = self._source(BASELINE), (self.processes, lambda *_: None, self.turn)
        ground = Ground(self.target, baseline, self.cases, self.state_of, *run)
        return Rounds(self.target, baseline, candidates, self.cases, OneGround(ground))

    def turn(self, seconds: float) -> Any:
        self.asked_s.append(seconds)
        return at_once(seconds)

    def hold(self, rounds: Rounds, left: Sequence[str] | None = None) -> dict[str, Any]:
        return rounds.hold(self.names if left is None else left, 1)

    def state_of(self, case: Case) -> Any:
        return generate.make_state(self.target, case, 1)

    def started(self) -> list[str]:
        """The kernels of all processes, without those that show what the runner costs."""
        return [one for one in self.machine.texts() if one]

    def _source(self, kernel: str) -> Source:
        return sources.make(kernel.encode(), self.target.layout.kernel_path)


@pytest.fixture
def course(tmp_path: Path, machine: fake_workers.Machine) -> Iterator[Course]:
    made = Course(tmp_path, machine)
    yield made
    made.processes.clear()


def test_a_round_gives_every_candidate_a_pair_of_its_own_beside_one_baseline(course: Course) -> None:
    rounds = course.rounds(3)
    course.machine.call_ns[text(1)] = CALL_NS // 2
    assert course.hold(rounds) == {}
    assert sorted(course.started()) == sorted([*map(text, range(3)), BASELINE] * 2)  # once to compile
    fast, *others = sorted(course.names, key=lambda name: -selection.speed(rounds.pairs(name)))
    assert fast == course.names[1]
    assert selection.speed(rounds.pairs(fast)) == pytest.approx(0.6931, abs=1e-3)
    assert [selection.speed(rounds.pairs(name)) for name in others] == [0.0, 0.0]
    ((one,), (other,)) = (rounds.pairs(name) for name in course.names[:2])
    assert [block.case for block in one.blocks] == [case.id for case in course.cases]
    assert [block.side("A") for block in one.blocks] == [block.side("A") for block in other.blocks]
    assert one.seconds == other.seconds
    assert not any(course.machine.running()[:-1])


def test_a_round_is_a_turn_for_each_field(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "MOST_BESIDE", 2)
    course.hold(course.rounds(5))
    assert len(course.asked_s) == 3
    assert course.started().count(BASELINE) == 2 * 3


def test_kernels_are_compiled_once(course: Course) -> None:
    rounds = course.rounds(3)
    course.hold(rounds)
    before = len(course.started())
    course.hold(rounds, course.names[:2])
    assert sorted(course.started()[before:]) == sorted([text(0), text(1), BASELINE])
    assert [len(rounds.pairs(name)) for name in course.names] == [2, 2, 1]
    assert all(
        process.was_given
        for process in course.machine.started[before:]
        if process.text and process.text != text(2)
    )


def test_who_stands_together_is_left_to_chance(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "MOST_BESIDE", 2)
    rounds, seen = course.rounds(4), set()
    together: list[Sequence[str]] = []

    def noted(_: Ground, field: Mapping[str, Source], *__: int) -> Measured:
        together.append([*field])
        return Measured({}, {})

    monkeypatch.setattr(Ground, "measured", noted)
    for _ in range(30):
        together.clear()
        course.hold(rounds)
        assert sorted(name for names in together for name in names) == sorted(course.names)
        seen.add(frozenset(map(frozenset, together)))
    assert len(seen) == 3


def test_a_candidate_that_fails_leaves_and_the_others_are_measured_without_it(course: Course) -> None:
    rounds = course.rounds(3)
    failure = course.machine.failures[text(2)] = KernelCrashed(
        "kernels.py, while it was loaded: its process ended"
    )
    assert course.hold(rounds) == {course.names[2]: failure}
    assert [len(rounds.pairs(name)) for name in course.names] == [1, 1, 0]


def test_where_all_fail_nobody_is_left(course: Course) -> None:
    rounds = course.rounds(2)
    course.machine.failures = {text(n): KernelCrashed("its process ended") for n in range(2)}
    assert set(course.hold(rounds)) == set(course.names)


def test_a_baseline_that_fails_ends_it(course: Course) -> None:
    course.machine.failures[BASELINE] = KernelCrashed("its process ended")
    with pytest.raises(TrialInvalid, match=r"^the baseline kernel failed: its process ended$"):
        course.hold(course.rounds(2))


@pytest.mark.parametrize(("available_gib", "fields"), [(64, 1), (2.1, 2), (0.1, 4)])
def test_as_many_stand_beside_a_baseline_as_memory_bears(
    course: Course, monkeypatch: pytest.MonkeyPatch, available_gib: float, fields: int
) -> None:
    """Half of what is free: with 1 GiB for 250 MiB each, three candidates and their baseline."""
    free = SimpleNamespace(available=int(available_gib * 2**30))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    course.hold(course.rounds(4))
    assert len(course.asked_s) == fields


def test_the_first_round_is_over_published_states_and_the_others_over_hidden_ones(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams: list[str] = []
    make = generate.make_hidden_state

    def noted(target: load.Target, case: Case, seed: int, stream: str) -> Any:
        streams.append(stream)
        return make(target, case, seed, stream)

    monkeypatch.setattr(generate, "make_hidden_state", noted)
    rounds = course.rounds(2)
    course.hold(rounds)
    assert streams == []
    course.hold(rounds)
    assert streams == ["look 2"] * 2
