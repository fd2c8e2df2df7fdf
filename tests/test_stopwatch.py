"""A trial's seconds, under a clock that the test sets."""

from __future__ import annotations

from pytest_lance_autoresearch.runs.stopwatch import Stopwatch


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_it_counts_what_is_done_inside_and_nothing_in_between() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    clock.now_s += 50
    with watch.running():
        clock.now_s += 2
        assert watch.seconds() == 2
        with watch.running():
            clock.now_s += 3
        assert watch.seconds() == 5
    clock.now_s += 50
    with watch.running():
        clock.now_s += 1
    assert watch.seconds() == 6
    assert watch.waited_s == 0


def test_waiting_is_counted_apart() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    with watch.running():
        clock.now_s += 2
        with watch.waiting():
            clock.now_s += 40
            assert watch.seconds() == 2
        clock.now_s += 1
    assert (watch.seconds(), watch.waited_s) == (3, 40)
    with watch.waiting():
        clock.now_s += 5
    assert (watch.seconds(), watch.waited_s) == (3, 45)


def test_what_breaks_off_is_counted_up_to_then() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    try:
        with watch.running(), watch.waiting():
            clock.now_s += 4
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        clock.now_s += 9
    assert (watch.seconds(), watch.waited_s) == (0, 4)
