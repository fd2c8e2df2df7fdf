"""The baton: one thread works, and lets another work while it waits."""

from __future__ import annotations

from threading import Lock, Thread

import pytest

from pytest_lance_autoresearch.machine import baton


def test_another_thread_works_while_who_has_the_baton_waits() -> None:
    lock, worked = Lock(), []

    def other() -> None:
        with baton.held(lock):
            worked.append("other")

    thread = Thread(target=other)
    with baton.held(lock):
        thread.start()
        worked.append("own")
        with baton.laid_down():
            thread.join()
        worked.append("own again")
        assert lock.locked()
    assert worked == ["own", "other", "own again"]


def test_it_is_taken_up_again_where_waiting_fails() -> None:
    lock = Lock()
    with baton.held(lock):
        with pytest.raises(ValueError, match="waited"), baton.laid_down():
            raise ValueError("waited")
        assert lock.locked()
    assert not lock.locked()


def test_who_has_none_waits_as_always() -> None:
    with baton.laid_down():
        pass
