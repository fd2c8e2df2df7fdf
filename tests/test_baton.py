"""The baton: one thread works, and lets another work while it waits."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import mkdtemp
from threading import Lock, Thread

import pytest
from scripted import READY, Start

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


def test_it_is_laid_down_while_a_worker_is_waited_for(start: Start) -> None:
    """The worker waits too, for a file that another thread makes once it has the baton."""
    lock, tried = Lock(), Path(mkdtemp()) / "tried"
    script = f"{READY}taken()\nwhile not os.path.exists({str(tried)!r}): time.sleep(0.001)\nsay(b'd')\n"
    worker = start(script)

    def other() -> None:
        with baton.held(lock):
            tried.touch()

    thread = Thread(target=other)
    with baton.held(lock):
        thread.start()
        worker.release("a case")
    thread.join()
    shutil.rmtree(tried.parent)
