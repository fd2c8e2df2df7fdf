"""What CPU time a worker may use: simulated workers on a simulated clock that books time late."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lance_autoresearch.bench import cpu
from pytest_lance_autoresearch.errors import KernelRefused

US, MS = 1_000, 1_000_000
WINDOW = 1 * MS
TICK = 4 * MS
WINDOWS = 1000
"""What each process of a pair runs in a look, about."""


class Worker:
    """A process as its parent sees it: what it used, and what of that the system has booked."""

    def __init__(self, threads: int = 1) -> None:
        self.used_ns = self.unbooked_ns = 0
        with self._clock():
            self.account = cpu.CpuAccount(1, threads)

    def process_ns(self, _: int) -> int:
        return self.used_ns - self.unbooked_ns

    @contextmanager
    def _clock(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cpu, "_clock_id", lambda _: 1)
            patch.setattr(cpu, "clocks", self)
            yield

    def window(
        self, *, before: int = 100 * US, after: int = 0, late: int = 0, threads: int = 1, order_bytes: int = 200
    ) -> int | None:
        """One window of work, with work before and after it; `late` is booked after its answer.

        Returns the CPU time that a block records for it.
        """
        with self._clock():
            self.used_ns += before
            opened_ns = self.account.opens("key", 1, order_bytes)
            self.used_ns += threads * (WINDOW - after)
            self.unbooked_ns = min(late, self.used_ns)
            self.account.closes("key", opened_ns, WINDOW - after)
            self.unbooked_ns = 0
            self.used_ns += after
            return self.account.since(opened_ns)

    def windows(self, **parts: int) -> None:
        for _ in range(WINDOWS):
            self.window(**parts)

    def bind(self, used_ns: int, *, late: int = 0) -> None:
        """An order between windows; `late` of its work is booked after its answer."""
        with self._clock():
            self.used_ns += used_ns
            self.unbooked_ns = min(late, self.used_ns)
            self.account.skip()
            self.unbooked_ns = 0


@given(st.lists(st.integers(0, TICK), min_size=1, max_size=8))
def test_time_that_the_system_books_late_is_not_held_against_a_kernel(late: list[int]) -> None:
    worker = Worker()
    for number in range(WINDOWS):
        assert worker.window(late=late[number % len(late)]) == WINDOW


@given(after=st.integers(0, WINDOW), late=st.integers(0, TICK))
def test_what_is_done_after_an_answer_is_cpu_time_of_its_window(after: int, late: int) -> None:
    """So a kernel that answers early is faster by wall time only, and wall and CPU time must agree."""
    assert Worker().window(after=after, late=late) == WINDOW


def test_binding_takes_what_it_takes() -> None:
    worker = Worker()
    for _ in range(WINDOWS):
        worker.bind(10 * MS)
        worker.window()


def test_binding_that_the_system_books_late_is_not_held_against_a_kernel() -> None:
    worker = Worker()
    for _ in range(WINDOWS):
        worker.bind(10 * MS, late=2 * TICK)
        worker.window()


def test_unpacking_a_large_order_takes_what_it_takes() -> None:
    worker = Worker()
    for _ in range(WINDOWS):
        worker.window(before=40 * MS, order_bytes=1_000_000)


@pytest.mark.parametrize("parts", [{"before": 2 * MS}, {"before": MS, "after": WINDOW}], ids=["before", "after"])
def test_work_around_the_windows_is_refused(parts: dict[str, int]) -> None:
    with pytest.raises(KernelRefused, match=r"used \d+ ms of CPU, and its windows account for"):
        Worker().windows(**parts)


def test_a_second_thread_is_refused() -> None:
    with pytest.raises(KernelRefused, match=r"20\.0 ms of CPU in a window of 1\.0 ms; one thread is the rule"):
        Worker().window(threads=20)


def test_two_threads_may_use_twice_the_time_of_a_window_and_no_more() -> None:
    worker = Worker(threads=2)
    worker.windows(threads=2)
    with pytest.raises(KernelRefused, match=r"40\.0 ms of CPU in a window of 1\.0 ms; target\.THREADS is 2$"):
        worker.window(threads=40)


def test_work_around_the_windows_of_two_threads_is_refused() -> None:
    with pytest.raises(KernelRefused, match="work outside the timed window is refused"):
        Worker(threads=2).windows(before=4 * MS, threads=2)


def test_where_there_is_no_clock_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_clock_id", lambda _: None)
    account = cpu.CpuAccount(1)
    for _ in range(WINDOWS):
        opened_ns = account.opens("key", 1, 200)
        assert account.closes("key", opened_ns, 0) is None
        assert account.since(opened_ns) is None
