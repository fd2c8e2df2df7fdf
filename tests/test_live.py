"""The line that says where long work stands: rewritten on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from pytest_lance_autoresearch.machine import live
from pytest_lance_autoresearch.machine.live import LiveLine, Place
from pytest_lance_autoresearch.records import Progress, Step
from pytest_lance_autoresearch.runs.pace import Blocks, Pace
from pytest_lance_autoresearch.words import report


@dataclass
class Reader:
    """Who reads the line, wherever it is written."""

    place: Place
    text: str = ""
    now_s: float = 0.0
    line: LiveLine = field(init=False)

    def __post_init__(self) -> None:
        self.line = LiveLine(self.write, lambda: self.place, lambda: self.now_s)

    def write(self, text: str) -> None:
        self.text += text

    def read(self) -> str:
        text, self.text = self.text, ""
        return text


OWN = Place(79)
BEHIND = Place(40, is_behind=True)
FILE = Place(None)
FILE_BEHIND = Place(None, is_behind=True)


def test_on_a_terminal_the_line_is_rewritten_at_once_and_taken_back() -> None:
    reader = Reader(OWN)
    reader.line.show("toy: 1/3")
    assert reader.read() == "\r\x1b[Ktoy: 1/3\x1b[8D"
    reader.line.show("toy: 2/3")
    assert reader.read() == "\r\x1b[Ktoy: 2/3\x1b[8D"
    reader.line.take_back()
    assert reader.read() == "\r\x1b[K"
    reader.line.take_back()
    assert reader.read() == ""


def test_behind_others_progress_that_stays() -> None:
    reader = Reader(BEHIND)
    reader.line.show("toy: 1/3")
    assert reader.read() == "\x1b[K  toy: 1/3\x1b[10D"
    reader.line.take_back()
    assert reader.read() == "\x1b[K"


@pytest.mark.parametrize(("room", "shown"), [(6, "  toy:\x1b[6D"), (0, ""), (-3, "")])
def test_it_never_wraps(room: int, shown: str) -> None:
    reader = Reader(Place(room, is_behind=True))
    reader.line.show("toy: 1/3")
    assert reader.read() == f"\x1b[K{shown}"


@pytest.mark.parametrize(
    ("room", "shown"),
    [
        (41, "  toy: flat  1/3  -9.4 % [-9.7 %, -9.1 %]"),
        (40, "  toy: flat  1/3"),
        (12, "  toy: flat"),
        (7, "  toy: "),
    ],
)
def test_what_has_no_room_is_left_out_and_no_figure_is_cut(room: int, shown: str) -> None:
    reader = Reader(Place(room, is_behind=True))
    reader.line.show("toy: flat  1/3  -9.4 % [-9.7 %, -9.1 %]  31 s")
    assert reader.read() == f"\x1b[K{shown}\x1b[{len(shown)}D"


@pytest.mark.parametrize(
    ("place", "written"),
    [
        (OWN, "\r\x1b[Ktoy: waiting\n"),
        (BEHIND, "\x1b[K\ntoy: waiting\n"),
        (FILE, "toy: waiting\n"),
        (FILE_BEHIND, "\ntoy: waiting\n"),
    ],
)
def test_an_event_stays_in_a_line_of_its_own(place: Place, written: str) -> None:
    reader = Reader(place)
    reader.line.show("toy: 1/3")
    reader.read()
    reader.line.show("toy: waiting", is_event=True)
    assert reader.read() == written
    reader.line.take_back()
    assert reader.read() == ""


def test_elsewhere_a_line_is_written_every_30_seconds_at_most() -> None:
    reader, written = Reader(FILE), []
    for second in range(100):
        reader.now_s = second
        reader.line.show(f"toy: {second}/100")
        written.append(reader.read())
    assert list(filter(None, written)) == ["toy: 30/100\n", "toy: 60/100\n", "toy: 90/100\n"]


def test_an_event_counts_as_a_line() -> None:
    reader = Reader(FILE)
    for reader.now_s, is_event in [(0.0, False), (29.0, True), (58.0, False), (59.0, False)]:
        reader.line.show(f"{reader.now_s:g}", is_event=is_event)
    assert reader.read() == "29\n59\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "columns"),
    [
        (Terminal, {}, 99),
        (Terminal, {"NO_COLOR": ""}, 99),
        (Terminal, {"NO_COLOR": "1"}, None),
        (Terminal, {"TERM": "dumb"}, None),
        (io.StringIO, {}, None),
    ],
)
def test_a_line_is_rewritten_only_where_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
    stream: Callable[[], io.StringIO],
    environment: dict[str, str],
    columns: int | None,
) -> None:
    for name, value in {"TERM": "xterm", "COLUMNS": "100", "NO_COLOR": "", **environment}.items():
        monkeypatch.setenv(name, value)
    assert live.columns(stream()) == columns


# What is left.


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_steps_of_known_length_count_down_and_the_pace_of_the_done_ones_corrects_the_others() -> None:
    clock = Clock()
    pace = Pace([10.0, 20.0, 40.0], clock)
    assert pace.left_s() == 70.0
    clock.now_s += 5
    assert (pace.spent_s(), pace.left_s()) == (5.0, 65.0)
    clock.now_s += 10
    assert pace.left_s() == 60.0  # the first takes longer than expected
    pace.step_is_done()
    assert pace.left_s() == 1.5 * 60.0
    assert pace.left_s(7.0) == 7.0 + 1.5 * 40.0
    pace.step_is_done()
    pace.step_is_done()
    assert pace.left_s() == 0.0


def test_of_equal_steps_nothing_is_known_before_the_first_is_done() -> None:
    clock = Clock()
    pace = Pace([1.0] * 4, clock, is_measured=False)
    clock.now_s += 30
    assert pace.left_s() is None
    pace.step_is_done()
    assert pace.left_s() == 90.0
    clock.now_s += 10
    assert pace.left_s() == 80.0


def test_blocks_that_are_disturbed_and_measured_again_count_once() -> None:
    clock = Clock()
    blocks = Blocks(8, clock)  # two pairs of two cases with two blocks each
    found = []
    for case, number in [("a", 0), ("a", 0), ("a", 1), ("b", 0), ("b", 0), ("a", 0), ("a", 1), ("b", 0), ("b", 1)]:
        found.append((blocks.begin(case, Step(number, 2)).number, blocks.left_s()))
        clock.now_s += 1
    assert found == [
        (1, None),
        (1, None),
        (2, 2.0 * 7),
        (3, 3.0 / 2 * 6),
        (3, 4.0 / 2 * 6),
        (5, 5.0 / 4 * 4),
        (6, 6.0 / 5 * 3),
        (7, 7.0 / 6 * 2),
        (8, 8.0 / 7 * 1),
    ]


def test_of_a_single_case_the_next_pair_begins_where_the_count_begins_again() -> None:
    blocks = Blocks(4, Clock())
    assert [blocks.begin("a", Step(number, 2)) for number in (0, 1, 0, 1)] == [
        Step(number, 4) for number in (1, 2, 3, 4)
    ]


def test_the_line_says_what_is_left() -> None:
    assert report.live_line(Progress("toy", "calibrating", None, None, 31.4, left_s=170.2)) == (
        "toy: calibrating  31 s  170 s left"
    )
