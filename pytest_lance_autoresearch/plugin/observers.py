"""What watches a session from beside its items: interrupts, failures, and the line on the terminal.

Owns three objects with hooks of their own, each with a state that lives as long as the session.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lance_autoresearch.machine import interrupt
from pytest_lance_autoresearch.plugin import collect
from pytest_lance_autoresearch.plugin.suite import SUITE

if TYPE_CHECKING:
    from pytest_lance_autoresearch.plugin.suite import Suite
    from pytest_lance_autoresearch.records import Progress

_ERASE = "\x1b[K"
"""Erases from the cursor to the end of the line."""


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
    """Says where a measurement stands, behind pytest's own progress, and takes it back before pytest goes on.

    Events are printed as lines everywhere; the rest only on a terminal.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._is_shown = False

    def __call__(self, progress: Progress) -> None:
        from pytest_lance_autoresearch.words import report

        line = report.live_line(progress)
        if progress.is_event:
            self._write(f"{_ERASE if self._is_shown else ''}\n{line}\n")
        elif self._on_terminal():
            writer = self._config.get_terminal_writer()
            shown = f"  {line}"[: max(0, writer.fullwidth - writer.width_of_current_line - 1)]
            self._write(f"{_ERASE}{shown}\x1b[{len(shown)}D" if shown else _ERASE)
            self._is_shown = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self) -> None:
        if self._is_shown:
            self._write(_ERASE)
            self._is_shown = False

    def _on_terminal(self) -> bool:
        reporter = reporter_of(self._config)
        return reporter is not None and reporter.isatty and os.environ.get("TERM") != "dumb"

    def _write(self, text: str) -> None:
        """To the terminal itself: the terminal writer would count it as progress."""
        capture = self._config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            if reporter_of(self._config) is not None:
                self._config.get_terminal_writer().flush()
            sys.stdout.write(text)
            sys.stdout.flush()


def reporter_of(config: pytest.Config) -> Any:
    """pytest's own voice; None under `-p no:terminal`."""
    return config.pluginmanager.getplugin("terminalreporter")
