"""Whose turn it is to measure: first come, first served, whatever becomes of the others."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from errno import ENOLCK
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lance_autoresearch.machine import clocks, interrupt, turns
from pytest_lance_autoresearch.machine.turns import Position, Turn

GUARD_S = 120.0
"""After so long a process that should have gone on is killed, so that a test fails instead of hanging."""


def folder() -> Path:
    return Path(tempfile.gettempdir()) / f"pytest-lance-autoresearch-{os.getuid()}"


def tickets() -> list[str]:
    return sorted(path.name for path in folder().iterdir())


def drawn(expected_s: float | None = None) -> Turn:
    """One that stands in the line, or has the turn."""
    turn = Turn(expected_s)
    turn.position()
    return turn


class Time:
    """A clock that goes on while somebody sleeps, and what happens when."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.events: list[tuple[float, Callable[[], object]]] = []

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        while self.events and self.events[0][0] <= self.now_s:
            self.events.pop(0)[1]()

    def after(self, seconds: float, what: Callable[[], object]) -> None:
        self.events.append((self.now_s + seconds, what))


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(clocks, "now_s", lambda: made.now_s)
    monkeypatch.setattr(turns, "sleep", made.sleep)
    return made


# The line


def test_who_is_alone_has_the_turn_at_once_and_leaves_nothing() -> None:
    with turns.take(3.0, lambda _: pytest.fail("nobody is ahead")) as turn:
        assert (turn.waited_s, turn.fault, tickets()) == (0.0, "", ["1"])
    turn.give_back()
    assert tickets() == []


def test_the_folder_is_its_owners_alone() -> None:
    turns.take(3.0).give_back()
    assert folder().stat().st_mode & 0o777 == 0o700


@given(
    st.lists(st.tuples(st.sampled_from(["come", "come", "go", "die"]), st.integers(0, 5)), min_size=5, max_size=20)
)
def test_the_line_keeps_its_order_whoever_comes_goes_or_dies(happens: list[tuple[str, int]]) -> None:
    line: list[Turn] = []
    for what, who in happens:
        if what == "come":
            line.append(drawn())
        elif line:
            turn = line.pop(who % len(line))
            turn.give_back() if what == "go" else turn.forget()  # all that is left of a killed one is its file
        numbers = [position.number if (position := turn.position()) else 1 for turn in line]
        assert numbers == [*range(1, len(line) + 1)]
    for turn in line:
        turn.give_back()
    assert not turns.others_measure()
    assert tickets() == []


def test_nobody_draws_or_looks_while_another_does(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, looks = turns._numbers, []

    def looking(path: Path) -> list[int]:
        fd = os.open(path, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(fd)
        looks.append(path)
        return numbers(path)

    monkeypatch.setattr(turns, "_numbers", looking)
    with turns.take(3.0):
        assert not turns.others_measure()
    assert looks == [folder()] * 3


def test_what_else_lies_in_the_folder_is_nobodys_ticket() -> None:
    turns.take(None).give_back()
    for name in (".DS_Store", "007", "1.bak", "\u0663"):
        (folder() / name).touch()
    before = tickets()
    with turns.take(None) as turn:
        assert turn.number == 8
        assert not turns.others_measure()
    assert tickets() == before


def test_a_ticket_that_is_no_more_takes_nobody_elses_along() -> None:
    """Somebody tidied up the temporary directory."""
    first = drawn()
    shutil.rmtree(folder())
    second = drawn()
    assert first.number == second.number == 1
    first.give_back()
    assert tickets() == ["1"]
    second.give_back()


# Estimates


@pytest.mark.parametrize(
    ("ticket", "seconds"),
    [
        (b"90.0\n", 90.0),  # it waits
        (b"90.0\n970.0\n", 60.0),  # it has measured for 30 s
        (b"90.0\n900.0\n", 0.0),  # longer than it thought
        (b"90.0\n1200.0\n", 90.0),  # of another clock
        (b"90.0\n97", 90.0),
        (b"", None),
        (b"90.", None),
        (b"None\n", None),
        (b"None\n970.0\n", None),
        (b"nan\n", None),
        (b"inf\n", None),
        (b"1e300\n", None),
        (b"-1.0\n", None),
        (b"90.0\nnan\n", None),
        (b"90.0\nx\n", None),
        (b"\xff\x00\n", None),
    ],
)
def test_a_ticket_says_how_long_its_owner_needs_or_nothing(ticket: bytes, seconds: float | None) -> None:
    assert turns._needed_s(ticket, 1000.0) == seconds
    expected = None if seconds is None else seconds + 5.0
    assert turns._behind([b"5.0\n", ticket], 1000.0) == Position(3, expected)


def test_the_estimate_is_what_is_left_of_those_ahead(time: Time) -> None:
    first, second, third = drawn(90.0), drawn(20.0), drawn(5.0)
    time.now_s += 30.0
    assert (second.position(), third.position()) == (Position(2, 60.0), Position(3, 80.0))
    time.now_s += 100.0
    assert (second.position(), third.position()) == (Position(2, 0.0), Position(3, 20.0))
    first.give_back()
    assert second.position() is None
    time.now_s += 15.0
    assert third.position() == Position(2, 5.0)
    second.give_back()
    third.give_back()


def test_a_position_is_shown_when_it_changes_once_a_second(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_LOOK_S", 0.25)
    first, second = drawn(60.0), drawn(2.0)
    time.after(2.5, first.give_back)
    time.after(2.5, second.position)  # it looks, and begins
    time.after(4.0, second.give_back)
    shown: list[tuple[float, Position]] = []
    with turns.take(None, lambda position: shown.append((time.now_s - 1000.0, position))) as turn:
        assert turn.waited_s == 4.0
    assert shown == [
        (0.0, Position(3, 62.0)),
        (1.0, Position(3, 61.0)),
        (2.0, Position(3, 60.0)),
        (3.0, Position(2, 1.5)),
    ]


def test_without_an_estimate_only_another_place_is_shown(time: Time) -> None:
    first, second = drawn(), drawn()
    time.after(20.0, first.give_back)
    time.after(40.0, second.give_back)
    shown: list[Position] = []
    turns.take(None, shown.append).give_back()
    assert shown == [Position(3, None), Position(2, None)]


# What goes wrong


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["sleep", "show", "lost"])
def test_an_interrupt_while_waiting_leaves_no_ticket(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setattr(turns, "sleep", interrupted if where == "sleep" else pytest.fail)
    if where == "lost":
        monkeypatch.setattr(interrupt, "obey", interrupted)
    with drawn():
        with pytest.raises(KeyboardInterrupt):
            turns.take(3.0, interrupted if where == "show" else lambda _: None)
        assert tickets() == ["1"]


def test_an_interrupt_while_measuring_leaves_no_ticket() -> None:
    with pytest.raises(KeyboardInterrupt), turns.take(3.0):
        raise KeyboardInterrupt
    assert tickets() == []


def sentence(found: str) -> str:
    return (
        f"{folder()}: {found}; expected a folder of your own in which trials take turns; another trial may have "
        f"measured at the same time; set TMPDIR to a folder that you can write to"
    )


def test_where_no_folder_can_be_made_everyone_measures_and_says_so() -> None:
    folder().touch()
    with turns.take(3.0) as turn:
        assert turn.fault == sentence("Not a directory")
        with turns.take(3.0) as other:
            assert other.waited_s == 0.0
        assert not turns.others_measure()


def test_a_folder_of_another_user_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    turns.take(3.0).give_back()
    own = os.getuid()
    before = folder()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    before.rename(folder())
    with turns.take(3.0) as turn:
        assert turn.fault == sentence("belongs to another user")
        assert tickets() == []


def test_a_link_to_another_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder().symlink_to(tmp_path / "elsewhere")
    with turns.take(3.0) as turn:
        assert turn.fault.startswith(f"{folder()}: ")
        assert tickets() == []


def test_a_file_system_without_locks_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with turns.take(3.0) as turn:
        assert turn.fault == sentence("No locks available")


# Several processes

TAKING = """
import sys
from pathlib import Path
from pytest_lance_autoresearch.machine import turns

name, log = sys.argv[1], Path(sys.argv[2]).open("a", buffering=1)
with turns.take(None, lambda position: print("number", position.number, flush=True)):
    print("measures", flush=True)
    print(name, "begins", file=log)
    sys.stdin.read()
    print(name, "ends", file=log)
"""
LEAVING_CHILDREN = """
import os, subprocess, sys
from pytest_lance_autoresearch.machine import turns

with turns.take(None) as turn:
    subprocess.Popen(["cat"])
    if not os.fork():
        turn.give_back()
        print("forked", flush=True)
        sys.stdin.read()
        os._exit(0)
    sys.stdin.read()
"""
ON_A_FULL_DISK = """
import resource, tempfile
from pytest_lance_autoresearch.machine import turns

tempfile.gettempdir()  # tries to write
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
with turns.take(90.0) as turn:
    print(repr(turn.fault), flush=True)
    waits = turns.Turn(90.0)
    print(waits.position(), flush=True)
"""


@contextmanager
def running(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    guard = threading.Timer(GUARD_S, process.kill)
    guard.start()
    try:
        with process:
            yield process
            process.kill()
    finally:
        guard.cancel()
        guard.join()


def said(process: subprocess.Popen[str], line: str) -> bool:
    """Whether it says this line, sooner or later."""
    assert process.stdout is not None
    return f"{line}\n" in process.stdout


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_turns_come_in_the_order_of_coming_and_the_dead_are_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    with ExitStack() as stack:
        start = partial(running, TAKING)
        line = [stack.enter_context(start("first", log))]
        assert said(line[0], "measures")
        for number, name in enumerate(("second", "third", "fourth", "fifth"), 2):
            line.append(stack.enter_context(start(name, log)))
            assert said(line[-1], f"number {number}")
        assert turns.others_measure()
        end(line[2])  # while it waits
        end(line[0])  # while it measures
        assert said(line[1], "measures")
        for process in (line[4], line[3], line[1]):  # none holds on to its turn, the last one least
            assert process.stdin is not None
            process.stdin.close()
        for process in (line[1], line[3], line[4]):
            assert process.wait(GUARD_S) == 0
    assert log.read_text().splitlines() == [
        "first begins",
        *(f"{name} {what}" for name in ("second", "fourth", "fifth") for what in ("begins", "ends")),
    ]
    assert not turns.others_measure()
    assert tickets() == []


def test_an_interrupted_process_leaves_the_line(tmp_path: Path) -> None:
    with drawn(), running(TAKING, "second", tmp_path / "log") as waits:
        assert said(waits, "number 2")
        waits.send_signal(signal.SIGINT)
        waits.wait(GUARD_S)
        assert tickets() == ["1"]


def test_children_keep_no_ticket_of_a_killed_parent_and_give_none_back() -> None:
    with running(LEAVING_CHILDREN) as parent:
        assert said(parent, "forked")
        assert turns.others_measure()
        end(parent)
        assert not turns.others_measure()  # although the children live, until there is nothing more to read


def test_a_full_disk_costs_an_estimate_and_no_turn() -> None:
    with running(ON_A_FULL_DISK) as process:
        assert process.stdout is not None
        assert process.stdout.read().splitlines() == ["''", "Position(number=2, seconds=None)"]
