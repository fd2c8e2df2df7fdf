"""What others' work takes from a window: read from the system, taken off both sides, too much of it set aside."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from builders import BASELINE_WALL_NS, CASES, block, each_window, pair, quick
from hypothesis import given
from hypothesis import strategies as st

from pytest_lance_autoresearch import records
from pytest_lance_autoresearch.bench import waiting
from pytest_lance_autoresearch.bench.waiting import Counter, WaitCounter
from pytest_lance_autoresearch.records import Block, Pair, Window
from pytest_lance_autoresearch.verdict import aggregate
from pytest_lance_autoresearch.words import report

WORKER = "4711/schedstat"
HERE = "thread-self/schedstat"
STAT = "stat"
TICK_NS = 10**7
needs_schedstat = pytest.mark.skipif(
    not Path("/proc/thread-self/schedstat").exists(), reason="the system counts no waiting"
)


def stat(steal: int, user: int = 1053856) -> str:
    """As /proc/stat of a machine with two cores begins."""
    return (
        f"cpu  {user} 6090 74834 1840191 3601 0 1577 {steal} 31 7\n"
        f"cpu0 {user // 2} 3045 37417 920095 1800 0 788 {steal // 2} 15 3\n"
        f"cpu1 {user // 2} 3045 37417 920096 1801 0 789 {steal // 2} 16 4\n"
        "intr 70394583 0 9 0 0 0 0 3 0 1 0 0 0 144 0 0 0 0 0\n"
    )


class System:
    """Stands for the operating system: /proc is a folder of the test's own, a tick is 10 ms."""

    O_RDONLY, O_CLOEXEC = os.O_RDONLY, os.O_CLOEXEC
    pread = staticmethod(os.pread)

    def __init__(self, proc: Path) -> None:
        self.proc = proc
        self.opened: list[int] = []
        self.closed: list[int] = []
        self.ticks_per_s = 100
        self.write(WORKER, "265765 23407 2\n")
        self.write(HERE, "88123456 555 90\n")
        self.write(STAT, stat(steal=176))

    def write(self, name: str, text: str) -> None:
        path = self.proc / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def open(self, path: str, flags: int) -> int:
        self.opened.append(os.open(path.replace("/proc", str(self.proc)), flags))
        return self.opened[-1]

    def close(self, fd: int) -> None:
        self.closed.append(fd)
        os.close(fd)

    def sysconf(self, name: str) -> int:
        assert name == "SC_CLK_TCK"
        return self.ticks_per_s


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    system = System(tmp_path / "proc")
    monkeypatch.setattr(waiting, "os", system)
    return system


@contextmanager
def counting(pid: int = 4711) -> Iterator[WaitCounter]:
    counts = WaitCounter(pid)
    try:
        yield counts
    finally:
        counts.close()


def window(counts: WaitCounter, *, working: Callable[[], None] = lambda: None) -> tuple[int | None, int | None]:
    """What is counted while a worker works."""
    counts.begin()
    counts.launched()
    working()
    return counts.end()


# The counts of the system


def test_waiting_is_the_worker_s_and_then_this_thread_s(system: System) -> None:
    def work() -> None:
        system.write(WORKER, "6265765 53407 5\n")
        system.write(HERE, "98123456 1555 91\n")

    with counting() as counts:
        assert window(counts, working=work) == (30_000 + 1000, 0)


def test_what_this_thread_waits_for_before_the_worker_is_launched_does_not_count(system: System) -> None:
    with counting() as counts:
        counts.begin()
        system.write(HERE, "98123456 1555 91\n")
        system.write(WORKER, "6265765 23507 5\n")
        counts.launched()
        assert counts.end() == (100, 0)


def test_every_window_counts_anew(system: System) -> None:
    with counting() as counts:
        assert window(counts, working=lambda: system.write(WORKER, "6265765 53407 5\n")) == (30_000, 0)
        assert window(counts) == (0, 0)
        assert window(counts, working=lambda: system.write(STAT, stat(steal=177))) == (0, TICK_NS)
        assert window(counts) == (0, 0)


def test_what_a_worker_waits_is_told_while_it_works(system: System) -> None:
    """A deadline is put off by it. Where the system counts nothing it is not."""
    with counting() as counts:
        assert counts.waited_s() == 0
        system.write(WORKER, "6265765 1500023407 5\n")
        assert counts.waited_s() == 1.5
        counts.ordered()
        assert counts.waited_s() == 0
    assert counts.waited_s() == 0


@pytest.mark.parametrize("ticks_per_s", [100, 250, 1000])
def test_stolen_time_is_the_ninth_word_of_the_first_line_in_ticks(system: System, ticks_per_s: int) -> None:
    system.ticks_per_s = ticks_per_s
    with counting() as counts:
        stolen_ns = 3 * 10**9 // ticks_per_s
        assert window(counts, working=lambda: system.write(STAT, stat(179, user=9**9))) == (0, stolen_ns)


def test_a_machine_that_ran_for_ages_has_a_longer_line(system: System) -> None:
    most = 2**64 - 1
    text = f"cpu  {' '.join([str(most)] * 7)} {{}} {most} {most}\n"
    system.write(STAT, text.format(most - 2))
    with counting() as counts:
        assert window(counts, working=lambda: system.write(STAT, text.format(most))) == (0, 2 * TICK_NS)


@pytest.mark.parametrize(
    ("lacking", "found"),
    [([WORKER], (None, 0)), ([HERE], (None, 0)), ([STAT], (0, None)), ([WORKER, HERE, STAT], (None, None))],
)
def test_a_file_that_is_not_there_counts_nothing(
    system: System, lacking: list[str], found: tuple[int | None, int | None]
) -> None:
    for name in lacking:
        (system.proc / name).unlink()
    with counting() as counts:
        assert window(counts) == found


@pytest.mark.parametrize("text", ["", "\n", "265765\n", "cpu\n", "no numbers here at all, not even one of them\n"])
@pytest.mark.parametrize(("name", "found"), [(WORKER, (None, 0)), (HERE, (None, 0)), (STAT, (0, None))])
def test_a_file_that_says_something_else_counts_nothing(
    system: System, name: str, text: str, found: tuple[int | None, int | None]
) -> None:
    with counting() as counts:
        assert window(counts, working=lambda: system.write(name, text)) == found


def test_a_window_that_never_began_counts_nothing(system: System) -> None:
    assert (system.proc / WORKER).exists()
    with counting() as counts:
        assert counts.end() == (None, None)


def test_closing_gives_every_file_back_once(system: System) -> None:
    with counting() as counts:
        counts.close()
        counts.close()
        assert window(counts) == (None, None)
    assert len(system.opened) == 3
    assert sorted(system.closed) == sorted(system.opened)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that answers each line with one, after some work."""
    code = "import sys\nfor line in sys.stdin: sum(range(10_000)); print(flush=True)"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        yield process
        process.kill()


@needs_schedstat
def test_a_real_process_gives_counts_that_never_fall(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    found = []
    with counting(child.pid) as counts:
        for _ in range(5):
            counts.begin()
            child.stdin.write(b"\n")
            child.stdin.flush()
            counts.launched()
            child.stdout.readline()
            found.append(counts.end())
    for waited_ns, stolen_ns in found:
        assert isinstance(waited_ns, int)
        assert isinstance(stolen_ns, int)
        assert waited_ns >= 0
        assert stolen_ns >= 0


@needs_schedstat
def test_the_counts_of_a_process_that_ended_are_none(child: subprocess.Popen[bytes]) -> None:
    with counting(child.pid) as counts:
        counts.begin()
        counts.launched()
        child.kill()
        child.wait()
        waited_ns, stolen_ns = counts.end()
        assert waited_ns is None
        assert stolen_ns is not None


def test_a_counter_reads_the_file_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_text("1")
    counter = Counter(str(path), int)
    assert counter.ns() == 1
    path.write_text("22")
    assert (counter.ns(), counter.ns()) == (22, 22)
    counter.close()
    assert counter.ns() is None


# What is taken off


def test_waiting_and_the_runner_s_cost_are_taken_off_a_window() -> None:
    assert aggregate.kernel_ns(Window(10, 1000, None, waited_ns=300), 20.0) == 500.0


def test_a_window_whose_waiting_nobody_knows_is_not_corrected() -> None:
    assert aggregate.kernel_ns(Window(10, 1000, None, waited_ns=None), 20.0) == 800.0


def test_a_window_keeps_a_share_of_its_time_however_long_it_waited() -> None:
    left = aggregate.MIN_KERNEL_SHARE * 1000
    assert aggregate.kernel_ns(Window(10, 1000, None, waited_ns=990), 0.0) == left
    assert aggregate.kernel_ns(Window(10, 1000, None, waited_ns=5000), 0.0) == left


Four = tuple[Window, Window, Window, Window]
orders = st.sampled_from(["ABAB", "BABA"])


@quick
@given(orders, st.lists(st.tuples(st.integers(10**6, 10**9), st.floats(0, 2)), min_size=4, max_size=4))
def test_waiting_is_taken_off_both_sides(order: str, drawn: list[tuple[int, float]]) -> None:
    quiet = [Window(5, own_ns, None, 0) for own_ns, _ in drawn]
    waiting = [
        Window(5, own_ns + waited_ns, None, waited_ns)
        for own_ns, waited_ns in ((own_ns, int(share * own_ns)) for own_ns, share in drawn)
    ]
    expected = aggregate.log_ratio(Block("case", order, cast("Four", tuple(quiet))), 0.0)
    found = aggregate.log_ratio(Block("case", order, cast("Four", tuple(waiting))), 0.0)
    assert found == pytest.approx(expected, abs=1e-9)


# What is set aside


def one_window(record: Block, position: int, **changes: Any) -> Block:
    """The block with one of its windows changed."""
    windows = list(record.windows)
    windows[position] = replace(windows[position], **changes)
    return replace(record, windows=cast("Four", tuple(windows)))


def stolen_from(record: Block) -> Block:
    return one_window(record, 2, stolen_ns=TICK_NS)


@pytest.mark.parametrize("position", range(4))
def test_a_block_with_one_window_that_was_stolen_from_is_disturbed(position: int) -> None:
    assert aggregate.is_disturbed(one_window(block("case", 0.1, None), position, stolen_ns=TICK_NS))


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize(("share", "disturbed"), [(0.66, False), (0.67, False), (0.68, True), (2.0, True)])
def test_a_block_with_one_window_that_waited_too_long_is_disturbed(
    position: int, share: float, disturbed: bool
) -> None:
    waited_ns = round(share * BASELINE_WALL_NS)
    assert aggregate.is_disturbed(one_window(block("case", 0.0, None), position, waited_ns=waited_ns)) == disturbed


def test_a_block_that_nobody_is_known_to_have_disturbed_is_not() -> None:
    assert not aggregate.is_disturbed(block("case", 0.1, None))
    assert not aggregate.is_disturbed(one_window(block("case", 0.1, None), 0, waited_ns=0, stolen_ns=0))


@pytest.mark.parametrize(("disturbed", "counted"), [(0, 4), (1, 3), (2, 2), (3, 4), (4, 4)])
def test_where_most_blocks_of_a_case_are_disturbed_all_of_them_count(disturbed: int, counted: int) -> None:
    blocks = [block("case", 0.1 * i, None) for i in range(4)]
    blocks[:disturbed] = map(stolen_from, blocks[:disturbed])
    found = aggregate.undisturbed(Pair(tuple(blocks), {}, 1, 1))
    assert found == blocks[4 - counted :]


def test_each_case_is_looked_at_by_itself() -> None:
    first, second = ([block(case, 0.1 * i, None) for i in range(3)] for case in CASES[:2])
    first[0] = stolen_from(first[0])
    second[:2] = map(stolen_from, second[:2])
    mixed = [one for both in zip(first, second, strict=True) for one in both]
    assert aggregate.undisturbed(Pair(tuple(mixed), {}, 1, 1)) == [*first[1:], *second]


def test_a_disturbed_block_is_in_no_log_ratio() -> None:
    quiet = pair({case: [0.1, 0.2, 0.3] for case in CASES}, {case: [0.4, 0.5, 0.6] for case in CASES})
    loud = [stolen_from(block(case, 9.0, 9.0)) for case in CASES]
    record = replace(quiet, blocks=(*loud, *quiet.blocks))
    cpu = aggregate.cpu_log_ratios(record)
    assert cpu is not None
    assert aggregate.log_ratios(record) == dict.fromkeys(CASES, pytest.approx([0.1, 0.2, 0.3]))
    assert cpu == dict.fromkeys(CASES, pytest.approx([0.4, 0.5, 0.6]))


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    """Blocks of two cases, each with as much disturbance as comes up."""
    waited = st.floats(0, 1.0) if draw(st.booleans()) else st.floats(0, 0.7)
    stolen = st.sampled_from([0, 0, 0, 0, 0, 0, 0, 0, 0, TICK_NS])

    def one() -> Window:
        wall_ns = draw(st.integers(10**6, 10**9))
        waited_ns = int(draw(waited) * wall_ns) if draw(st.booleans()) else None
        return Window(draw(st.integers(1, 1024)), wall_ns, wall_ns, waited_ns, draw(stolen))

    count = draw(st.integers(0, 9))
    drawn = [Block(draw(st.sampled_from("ab")), draw(orders), (one(), one(), one(), one())) for _ in range(count)]
    return Pair(tuple(drawn), {}, 1, 1)


def each_block(record: Pair, change: Callable[[Block], Block]) -> Pair:
    return replace(record, blocks=tuple(map(change, record.blocks)))


@quick
@given(pairs(), st.sampled_from("AB"), st.integers(1, 20))
def test_which_blocks_count_does_not_depend_on_which_side_is_faster(
    record: Pair, letter: str, doublings: int
) -> None:
    """A side that takes so many times as long, and waits as large a share of it."""

    def slower(one: Window) -> Window:
        waited_ns = None if one.waited_ns is None else one.waited_ns << doublings
        return replace(one, wall_ns=one.wall_ns << doublings, waited_ns=waited_ns)

    def change(whole: Block) -> Block:
        windows = (slower(w) if s == letter else w for w, s in zip(whole.windows, whole.order, strict=True))
        return replace(whole, windows=cast("Four", tuple(windows)))

    assert aggregate.undisturbed(each_block(record, change)) == list(map(change, aggregate.undisturbed(record)))


@quick
@given(pairs())
def test_which_blocks_count_does_not_depend_on_which_side_is_the_candidate(record: Pair) -> None:
    def swapped(whole: Block) -> Block:
        return replace(whole, order=whole.order.translate(str.maketrans("AB", "BA")))

    assert aggregate.undisturbed(each_block(record, swapped)) == list(map(swapped, aggregate.undisturbed(record)))


@quick
@given(pairs())
def test_at_least_half_of_a_case_and_all_that_was_quiet_counts(record: Pair) -> None:
    counted = list(map(id, aggregate.undisturbed(record)))
    assert len(set(counted)) == len(counted)
    for case in "ab":
        of_case = [one for one in record.blocks if one.case == case]
        kept = [one for one in of_case if id(one) in counted]
        assert 2 * len(kept) >= len(of_case)
        assert all(id(one) in counted for one in of_case if not aggregate.is_disturbed(one))
    aside = aggregate.disturbance([record]).set_aside
    assert aside == len(record.blocks) - len(counted)


# What is said about it


def with_waits(record: Pair, waited_ns: int | None) -> Pair:
    return each_block(record, lambda one: each_window(one, lambda w: replace(w, waited_ns=waited_ns)))


def test_blocks_set_aside_are_counted_pair_by_pair() -> None:
    first = pair({"a": [0.0] * 3, "b": [0.0] * 3})
    second = replace(first, blocks=(*map(stolen_from, first.blocks[:2]), *first.blocks[2:]))
    third = replace(first, blocks=(*first.blocks[:5], stolen_from(first.blocks[5])))
    found = aggregate.disturbance([first, second, third])
    assert (found.blocks, found.set_aside) == (18, 1)


def test_the_waiting_is_a_share_of_all_windows() -> None:
    long, short = pair({"a": [0.0] * 3}), pair({"a": [math.log(2)]})
    waits = [with_waits(long, BASELINE_WALL_NS // 10), with_waits(short, 0)]
    walls_ns = (12 + 3) * BASELINE_WALL_NS
    assert aggregate.disturbance(waits).waited == pytest.approx(1.2 * BASELINE_WALL_NS / walls_ns)


def test_one_window_whose_waiting_nobody_knows_leaves_the_share_unknown() -> None:
    known = with_waits(pair({"a": [0.0] * 3}), 5)
    lacking = replace(known, blocks=(*known.blocks[1:], one_window(known.blocks[0], 3, waited_ns=None)))
    assert aggregate.disturbance([known]).waited is not None
    assert aggregate.disturbance([known, lacking]).waited is None


def test_nothing_measured_is_nothing_disturbed() -> None:
    assert aggregate.disturbance([]) == records.Disturbance(blocks=0, set_aside=0, waited=None)


def test_unknown_waiting_is_said_to_be_unknown() -> None:
    assert report.disturbed(records.Disturbance(144, 3, None)) == (
        "time spent waiting for a core: unknown; 3 of 144 blocks set aside"
    )
