"""What watches a session from beside its items: interrupts, failures, and the line on the terminal.

Owns three objects with hooks of their own, each with a state that lives as long as the session.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TextIO

import pytest

from pytest_lance_autoresearch.machine import interrupt, live
from pytest_lance_autoresearch.plugin import collect
from pytest_lance_autoresearch.plugin.suite import SUITE

if TYPE_CHECKING:
    from pytest_lance_autoresearch.plugin.suite import Suite
    from pytest_lance_autoresearch.records import Progress


class Interrupts:
    """No item of a target begins or ends after an interrupt, and no session that had one ends as if it had not.

    What others' tests do with an interrupt is theirs.
    """

    def __init__(self) -> None:
        self._watch = interrupt.Watch()
        self._watch.start()

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self, early_config: pytest.Config) -> None:
        early_config.add_cleanup(self._watch.stop)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self) -> Generator[None, object, object]:
        code: object = pytest.ExitCode.INTERRUPTED
        try:
            code = yield
        except (Exception, KeyboardInterrupt):
            if not self._watch.came:
                raise  # else pytest may have failed to show where the interrupt came, or got another one meanwhile
        finally:
            self._watch.stop()
        return pytest.ExitCode.INTERRUPTED if self._watch.came else code

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if not session.config.stash[SUITE].own_items:
            self._watch.stop()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        if collect.kernel_module(item) is not None:
            interrupt.obey()
            result = yield
            interrupt.obey()
            return result
        with self._watch.suspended():
            return (yield)


class FailureCount:
    """Counts the failures that the session counts too, of targets' items only."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not hasattr(report, "wasxfail") and report.nodeid in self._suite.own_items:
            self._suite.own_failures += 1


class LiveLine:
    """Says where a trial stands, behind pytest's own progress, and takes it back before pytest goes on."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._line = live.LiveLine(_write, self._place)

    def __call__(self, progress: Progress) -> None:
        from pytest_lance_autoresearch.words import report

        if hasattr(self._config, "workerinput"):
            return  # one of xdist's workers; several would write into one line
        if reporter_of(self._config) is not None:
            self._config.get_terminal_writer().flush()
        with self._uncaptured():
            self._line.show(report.live_line(progress), is_event=progress.is_event)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self) -> None:
        self._take_back()

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        self._take_back()

    def _take_back(self) -> None:
        if self._line.is_shown:
            with self._uncaptured():
                self._line.take_back()

    def _place(self) -> live.Place:
        """Behind pytest's own progress where that is written to the same place."""
        columns = live.columns(sys.stderr)
        if reporter_of(self._config) is None or not _is_one_place(sys.stdout, sys.stderr):
            return live.Place(columns)
        writer = self._config.get_terminal_writer()
        begun = writer.width_of_current_line
        return live.Place(None if columns is None else writer.fullwidth - begun - 1, is_behind=begun > 0)

    def _uncaptured(self) -> AbstractContextManager[None]:
        """With the streams that were there before pytest captured them."""
        capture = self._config.pluginmanager.getplugin("capturemanager")
        return capture.global_and_fixture_disabled() if capture else nullcontext()


def _write(text: str) -> None:
    """To the terminal itself: the terminal writer would count it as progress."""
    sys.stderr.write(text)
    sys.stderr.flush()


def _is_one_place(*streams: TextIO) -> bool:
    """Whether what is written to both streams is read in one: on a terminal, or in a file."""
    try:
        return os.path.sameopenfile(*(stream.fileno() for stream in streams))
    except (OSError, ValueError):  # a stream without a file
        return False


def reporter_of(config: pytest.Config) -> Any:
    """pytest's own voice; None under `-p no:terminal`."""
    return config.pluginmanager.getplugin("terminalreporter")
