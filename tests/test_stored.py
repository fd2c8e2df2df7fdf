"""States on disk: what is found again, what is made again, what is never stored, and what a file can do."""

from __future__ import annotations

import errno
import os
import pickle
import platform
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys

from pytest_lance_autoresearch.errors import TargetError
from pytest_lance_autoresearch.records import Case
from pytest_lance_autoresearch.target_files import discover, generate, load, seeds, stored
from pytest_lance_autoresearch.target_files.contract import cases_of
from pytest_lance_autoresearch.target_files.states import States

MAKING = "    return State(rng.random(shape.rows * shape.width))"
STATE_BYTES = 64 * 32 * 8


@dataclass
class Runs:
    """Runs of one target after each other, which share a folder of stored states."""

    target: load.Target
    folder: Path
    made: Counter[str]
    """How often each case's state was made."""

    def of(self, case: Case) -> Any:
        """The case's state in a run of its own."""

        def make(one: Case) -> Any:
            self.made[one.id] += 1
            return generate.make_state(self.target, one, seeds.PUBLISHED_SEED)

        return stored.StoredStates(self.target, self.folder).of(case, make)[0]

    def is_found(self, case: Case) -> bool:
        before = self.made[case.id]
        self.of(case)
        return self.made[case.id] == before

    @property
    def cases(self) -> tuple[Case, ...]:
        return cases_of(self.target)

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())


New = Callable[..., Runs]


@pytest.fixture
def new(tmp_path: Path) -> New:
    """Runs of the toy with other texts of inputs.py or another name, always in the same folder."""
    folder = tmp_path / "states"
    folder.mkdir()

    def make(name: str = "toy", **changed: str) -> Runs:
        target = load.load(discover.inspect(toys.write(tmp_path, name, **changed)))
        return Runs(target, folder, Counter())

    return make


@pytest.fixture
def runs(new: New) -> Runs:
    return new()


def making(body: str, before: str = "") -> str:
    """The toy's inputs.py, with another making and something before it."""
    head, tail = toys.INPUTS.replace(MAKING, body).split("def make_state")
    return f"{head}{before}\ndef make_state{tail}"


# Found again


def test_a_later_run_finds_the_same_state(runs: Runs) -> None:
    case = runs.cases[0]
    first, again = runs.of(case), runs.of(case)
    assert runs.made[case.id] == 1
    assert type(again) is runs.target.inputs.State
    assert again is not first
    assert again.weights.flags.writeable
    assert generate.pickled(runs.target, again) == generate.pickled(runs.target, first)


def test_the_size_is_what_a_worker_is_sent_found_or_made(runs: Runs) -> None:
    case = runs.cases[0]
    sizes = [stored.StoredStates(runs.target, runs.folder).of(case, runs.of)[1] for _ in range(2)]
    assert sizes == [len(generate.pickled(runs.target, runs.of(case)))] * 2


def test_each_case_has_its_own(runs: Runs) -> None:
    states = [runs.of(case) for case in runs.cases]
    assert len(runs.files) == len(runs.cases)
    for case, state in zip(runs.cases, states, strict=True):
        assert np.array_equal(runs.of(case).weights, state.weights)
    assert set(runs.made.values()) == {1}


def test_a_kernel_may_change_and_the_rest_of_the_target_too(runs: Runs, new: New) -> None:
    runs.of(runs.cases[0])
    assert new(text=toys.FASTER, target=toys.TARGET + "\n").is_found(runs.cases[0])


def test_a_state_may_be_none(new: New) -> None:
    runs = new(inputs=making("    return None"))
    assert runs.of(runs.cases[0]) is None
    assert runs.is_found(runs.cases[0])


def test_numbers_of_numpy_and_containers_come_back(new: New) -> None:
    runs = new(inputs=making("    return {'a': [np.float32(1), {2}], 'b': (rng.random(3), None, 'x', True)}"))
    first = runs.of(runs.cases[0])
    assert runs.is_found(runs.cases[0])
    assert str(runs.of(runs.cases[0])) == str(first)


# Every part of the name matters


def test_another_inputs_file_makes_its_own(runs: Runs, new: New) -> None:
    runs.of(runs.cases[0])
    assert not new(inputs=toys.INPUTS + "\n").is_found(runs.cases[0])


def test_another_target_makes_its_own(runs: Runs, new: New) -> None:
    runs.of(runs.cases[0])
    other = new("other")
    assert not other.is_found(replace(other.cases[0], target="other"))


@pytest.mark.parametrize("part", ["shape", "distribution", "shape_id"])
def test_another_case_makes_its_own(runs: Runs, part: str) -> None:
    runs.of(runs.cases[0])
    shape = runs.cases[5].shape
    other = {"shape": shape, "distribution": "normal", "shape_id": "other"}[part]
    assert not runs.is_found(replace(runs.cases[0], **{part: other}))


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        (np, "__version__", "9.9"),
        (sys, "version", "9.9"),
        (metadata, "version", lambda _: "9.9"),
        (seeds, "PUBLISHED_SEED", 1),
        (stored, "FORMAT", 0),
        (platform, "platform", lambda: "another"),
    ],
    ids=["numpy", "Python", "numba", "seed", "format", "platform"],
)
def test_another_surrounding_makes_its_own(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, value: Any
) -> None:
    runs.of(runs.cases[0])
    assert runs.is_found(runs.cases[0])
    monkeypatch.setattr(where, name, value)
    assert not runs.is_found(runs.cases[0])


# Files that are not what was stored


@pytest.mark.parametrize(
    "harm",
    [
        lambda text: text[:-1],
        lambda text: text[:20],
        lambda _: b"",
        lambda text: text[:-9] + bytes([text[-9] ^ 1]) + text[-8:],
        lambda text: bytes([text[0] ^ 1]) + text[1:],
        lambda _: b"not a state",
    ],
    ids=["cut off", "cut off in the digest", "empty", "a bit changed", "the digest changed", "foreign"],
)
def test_a_damaged_file_is_made_again_and_replaced(runs: Runs, harm: Callable[[bytes], bytes]) -> None:
    case = runs.cases[0]
    state = runs.of(case)
    (path,) = runs.files
    path.write_bytes(harm(path.read_bytes()))
    assert np.array_equal(runs.of(case).weights, state.weights)
    assert runs.made[case.id] == 2
    assert runs.is_found(case)


def test_the_file_of_another_case_does_not_pass_for_this_one(runs: Runs) -> None:
    runs.of(runs.cases[1])
    (other,) = runs.files
    runs.of(runs.cases[0])
    (path,) = {*runs.files} - {other}
    path.write_bytes(other.read_bytes())
    assert not runs.is_found(runs.cases[0])


def test_the_file_of_another_user_is_not_read(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.of(runs.cases[0])
    monkeypatch.setattr(os, "geteuid", lambda: -1)
    assert not runs.is_found(runs.cases[0])


class Bomb:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("fits", [False, True], ids=["a digest that does not fit", "a digest that fits"])
def test_nothing_in_a_file_is_executed(runs: Runs, tmp_path: Path, *, fits: bool) -> None:
    runs.of(runs.cases[0])
    (path,) = runs.files
    bomb = pickle.dumps(Bomb(tmp_path / "struck"))
    digest = stored._digest(path, bomb) if fits else path.read_bytes()[: stored._DIGEST_BYTES]
    path.write_bytes(digest + bomb)
    assert not runs.is_found(runs.cases[0])
    assert not (tmp_path / "struck").exists()
    assert runs.is_found(runs.cases[0])
    pickle.loads(bomb)
    assert (tmp_path / "struck").exists(), "the bomb is a bomb"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "mkdir"),
        ("builtins", "eval"),
        ("numpy", "load"),
        ("autoresearch_inputs_toy", "make_state"),
        ("autoresearch_inputs_toy", "NamedTuple"),
        ("autoresearch_inputs_toy", "Path"),
        ("autoresearch_inputs_toy", "State.__new__"),
        ("autoresearch_inputs_toy", "np.load"),
    ],
)
def test_a_file_names_nothing_but_arrays_and_the_targets_own_classes(runs: Runs, module: str, name: str) -> None:
    vars(runs.target.inputs)["Path"] = Path
    reading = stored._Unpickler(b"", runs.target.inputs)
    with pytest.raises(pickle.UnpicklingError):
        reading.find_class(module, name)
    assert reading.find_class("autoresearch_inputs_toy", "State") is runs.target.inputs.State


# What is never stored


@pytest.mark.parametrize(
    ("before", "body"),
    [
        ("import os", MAKING),
        ("import json", MAKING),
        ("import project_of_the_user", MAKING),
        ("from . import sibling", MAKING),
        ("", "    return State(np.load('weights.npy'))"),
        ("", "    return State(np.fromfile('weights.bin'))"),
        ("", "    return State(np.frombuffer(open('weights.bin', 'rb').read()))"),
        ("", "    return State(np.full(3, len(__file__)))"),
        ("", "    return State(__import__('json').loads('[1]'))"),
    ],
)
def test_where_something_outside_could_matter_nothing_is_stored(runs: Runs, before: str, body: str) -> None:
    inputs = making(body, before).encode()
    assert not stored.is_possible(replace(runs.target, files={"inputs.py": inputs}))


@pytest.mark.parametrize(("module", "files"), [("json", 0), ("heapq", 1)])
def test_it_is_the_source_of_the_inputs_that_decides(new: New, module: str, files: int) -> None:
    runs = new(inputs=making(MAKING, f"import {module}"))
    States(runs.target, folder=runs.folder).of(runs.cases[0])
    assert len(runs.files) == files


TAKING_NOTE = {
    "a dict": ("SEEN = {}", "    SEEN[shape] = 1"),
    "a global": ("LAST = 0", "    global LAST\n    LAST += shape.rows"),
    "an array": ("TABLE = np.zeros(9)", "    TABLE[0] += 1"),
    "a default": ("def noted(x, memo=[]):\n    memo.append(x)\n", "    noted(shape)"),
    "a function": ("", "    make_state.last = shape"),
    "a class": ("class Memo:\n    last = None\n", "    Memo.last = shape"),
    "an object": ("class Memo:\n    pass\nMEMO = Memo()\n", "    MEMO.last = shape"),
    "a generator of numbers": ("RNG = np.random.default_rng(1)", "    RNG.random()"),
    "what cannot be told": ("STEPS = (i for i in range(9))", ""),
}


@pytest.mark.parametrize(("before", "noting"), TAKING_NOTE.values(), ids=TAKING_NOTE)
def test_a_making_that_leaves_something_behind_is_never_skipped(new: New, before: str, noting: str) -> None:
    """`make_call` may read it."""
    runs = new(inputs=making(f"{noting}\n{MAKING}", before))
    runs.of(runs.cases[0])
    assert not runs.files


@pytest.mark.parametrize("before", [before for before, noting in TAKING_NOTE.values() if noting])
def test_a_making_that_only_could_leave_something_behind_is_skipped(new: New, before: str) -> None:
    runs = new(inputs=making(MAKING, before))
    runs.of(runs.cases[0])
    assert runs.is_found(runs.cases[0])


def test_what_one_making_left_behind_later_ones_may_rest_on(new: New) -> None:
    """The table is made with the first state, whichever it is: without a making, `make_call` would lack it."""
    memo = "    if not TABLE:\n        TABLE.append(np.ones(3))\n"
    runs = new(inputs=making(f"{memo}{MAKING}", "TABLE = []"))
    one_run = stored.StoredStates(runs.target, runs.folder)
    for case in runs.cases:
        one_run.of(case, lambda one: generate.make_state(runs.target, one, seeds.PUBLISHED_SEED))
    assert not runs.files


def test_a_warning_is_said_in_every_run(new: New) -> None:
    runs = new(inputs=making(f"    np.log(np.zeros(1))\n{MAKING}"))
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="divide by zero"):
            runs.of(runs.cases[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TargetError, match=r"inputs.py, line \d+, raised RuntimeWarning"):
            runs.of(runs.cases[0])


@pytest.mark.parametrize(
    "state",
    [
        "State(rng.random((9, 9))[:, ::2])",
        "State(complex(1))",
        "State(np.array([1, 'x'], dtype=object)[0].__class__)",
        "np.random.default_rng",
    ],
    ids=["another layout", "a class that is not known", "a type", "a function"],
)
def test_what_would_not_come_back_as_it_was_is_not_stored(new: New, state: str) -> None:
    runs = new(inputs=making(f"    return {state}"))
    runs.of(runs.cases[0])
    assert not runs.files


def test_what_cannot_be_sent_is_refused_as_ever(new: New) -> None:
    runs = new(inputs=making("    return lambda: 1"))
    with pytest.raises(TargetError) as raised:
        runs.of(runs.cases[0])
    assert str(raised.value).startswith("target 'toy': inputs.make_state returned what cannot be sent to another ")
    assert not runs.files


def test_a_state_that_cannot_be_made_again_is_refused_before_it_is_stored(new: New) -> None:
    runs = new(inputs=making("    return State(np.random.rand(3))"))
    for _ in range(2):
        with pytest.raises(TargetError) as raised:
            States(runs.target, folder=runs.folder).of(runs.cases[0])
        assert str(raised.value) == (
            "target 'toy': inputs.make_state gave another state for the same rng on 64x32-uniform; "
            "expected every random number to come from its argument rng"
        )
    assert not runs.files


def test_another_case_that_was_stored_does_not_hide_it(new: New) -> None:
    runs = new(inputs=making("    return State(np.random.rand(3))"))
    States(runs.target, folder=runs.folder).of(runs.cases[1])
    assert len(runs.files) == 1
    with pytest.raises(TargetError, match="gave another state for the same rng on 64x32-uniform"):
        States(runs.target, folder=runs.folder).of(runs.cases[0])


# Room


def holds(count: float) -> int:
    """Bytes of that many files: a state, and less than 500 bytes around it."""
    return int(count * (STATE_BYTES + 500))


def touched(path: Path, seconds: int) -> None:
    os.utime(path, (seconds, seconds))


def test_what_was_used_longest_ago_goes_first(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MOST_BYTES", holds(3))
    paths: list[Path] = []
    for case in runs.cases[:3]:
        runs.of(case)
        paths += {*runs.files} - {*paths}
    for seconds, path in enumerate(paths):
        touched(path, seconds)
    assert runs.is_found(runs.cases[0])  # and used now
    runs.of(runs.cases[3])
    assert [path.exists() for path in paths] == [True, False, True]
    assert len(runs.files) == 3
    assert sum(path.stat().st_size for path in runs.files) <= stored.MOST_BYTES


def test_a_file_that_was_never_finished_counts_and_goes(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    left = Path(tempfile.mkstemp(".state", dir=runs.folder)[1])
    left.write_bytes(bytes(STATE_BYTES))
    touched(left, 1)
    monkeypatch.setattr(stored, "MOST_BYTES", holds(1))
    runs.of(runs.cases[0])
    assert not left.exists()
    assert len(runs.files) == 1


def test_other_files_in_the_folder_are_left_alone(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    (runs.folder / "notes.txt").write_bytes(bytes(STATE_BYTES))
    monkeypatch.setattr(stored, "MOST_BYTES", holds(1))
    runs.of(runs.cases[0])
    runs.of(runs.cases[1])
    assert [path.suffix == ".state" for path in runs.files].count(True) == 1
    assert (runs.folder / "notes.txt").exists()


def test_a_state_that_would_take_the_place_of_many_is_not_stored(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stored.LARGEST_BYTES == stored.MOST_BYTES / 4
    monkeypatch.setattr(stored, "LARGEST_BYTES", STATE_BYTES)
    runs.of(runs.cases[0])
    assert not runs.files


def test_a_file_that_another_process_removed_meanwhile_is_no_fault(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    (runs.folder / "gone.state").symlink_to("nowhere")
    monkeypatch.setattr(stored, "MOST_BYTES", holds(1))
    runs.of(runs.cases[0])
    assert runs.is_found(runs.cases[0])


def test_two_processes_may_store_the_same_state_at_once(runs: Runs) -> None:
    case = runs.cases[0]

    def make(one: Case) -> Any:
        return runs.of(one)  # the other process is faster

    first, _ = stored.StoredStates(runs.target, runs.folder).of(case, make)
    assert len(runs.files) == 1
    assert np.array_equal(runs.of(case).weights, first.weights)
    assert runs.made[case.id] == 1


# A folder that does not work


def test_what_can_be_read_and_not_written_is_found(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.of(runs.cases[0])

    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "utime", refused)
    assert runs.is_found(runs.cases[0])


def test_a_folder_that_is_not_there_or_is_a_file_is_no_fault(runs: Runs, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in ("nowhere", "file"):
        broken = replace(runs, folder=tmp_path / place)
        assert not broken.is_found(runs.cases[0])
        assert not broken.is_found(runs.cases[0])


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("when", ["mkstemp", "digest", "replace"])
def test_what_cannot_be_written_leaves_nothing(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, fault: int, when: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(fault, os.strerror(fault))

    where = {"mkstemp": (tempfile, "mkstemp"), "digest": (stored, "_digest"), "replace": (Path, "replace")}[when]
    with monkeypatch.context() as patched:
        patched.setattr(*where, fails)
        assert runs.of(runs.cases[0]).weights.size
        assert not runs.files
    assert not runs.is_found(runs.cases[0])
    assert runs.is_found(runs.cases[0])


# Whole runs

PLAIN = ("-q", "-p", "no:randomly", "--autoresearch=toy", "-k", "correctness and 64x32", "-p", "no:xdist")


def stored_by(pytester: pytest.Pytester, *options: str) -> dict[str, int]:
    """Files in pytest's cache after a run, each with the number that tells whether it was written anew."""
    pytester.runpytest_inprocess(*PLAIN, *options).assert_outcomes(passed=5, deselected=19)
    return {path.name: path.stat().st_ino for path in pytester.path.glob(".pytest_cache/d/autoresearch/*.state")}


def test_a_run_stores_its_states_and_the_next_one_finds_them(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path)
    assert not stored_by(pytester, "--autoresearch-no-cache")
    assert not stored_by(pytester, "-o", "autoresearch_no_cache=true")
    first = stored_by(pytester)
    assert len(first) == 5
    assert stored_by(pytester) == first
    assert not stored_by(pytester, "--autoresearch-no-cache", "--cache-clear")
