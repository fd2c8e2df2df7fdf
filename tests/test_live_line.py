"""What a person sees on a terminal while a kernel is measured."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest
import toys

from pytest_lance_autoresearch.machine import live
from pytest_lance_autoresearch.plugin import observers
from pytest_lance_autoresearch.records import Progress, Step


def on_a_terminal(project: pytest.Pytester, *options: str) -> str:
    """Everything that a run writes to a terminal of 100 columns."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", "-q", "--autoresearch=toy", *options]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "NO_COLOR": ""}
    run = subprocess.Popen(command, cwd=project.path, stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux's way to say that the other end was closed
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    assert run.wait() == 0
    return b"".join(parts).decode()


def shown(text: str) -> str:
    """The text as it stands at the end: what was taken back is gone."""
    return re.sub(r"\x1b\[K  toy: [^\x1b]*\x1b\[\d+D", "", text).replace("\x1b[K", "")


def test_the_status_line_is_taken_back_and_the_progress_stays(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path)
    text = on_a_terminal(pytester, "--color=no")
    assert re.search(r"\x1b\[K  toy: 64x32-uniform  1/9  \d+ s\x1b\[\d+D", text)
    assert f"{'.' * toys.ITEMS} " in shown(text)
    assert "\x1b" not in shown(text)
    assert "test_speed[64x32-uniform]" in text, "pytest-benchmark's table, for a person who asks for no verdict"


def test_the_verdict_is_coloured_and_the_other_lines_are_plain(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path)
    lines = on_a_terminal(pytester, "--color=yes", "--keep-gate").splitlines()
    assert not [line for line in lines if "test_speed[" in line]
    assert "\x1b[32mverdict: baseline\x1b[0m" in lines
    assert any(line.startswith("geomean_ns_per_product: ") for line in lines)


MEASURING = Progress("toy", "64x32-uniform", Step(1, 9), None, 3.0)


@pytest.fixture
def line(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> observers.LiveLine:
    """Of a session whose stderr is a terminal."""
    monkeypatch.setattr(live, "columns", lambda _: 79)
    return observers.LiveLine(pytester.parseconfig())


def test_it_is_taken_back_when_the_session_is_interrupted(
    line: observers.LiveLine, capsys: pytest.CaptureFixture[str]
) -> None:
    line(MEASURING)
    line.pytest_keyboard_interrupt()
    line.pytest_runtest_logreport()
    assert capsys.readouterr() == ("", "\r\x1b[Ktoy: 64x32-uniform  1/9  3 s\x1b[28D\r\x1b[K")


def test_the_workers_of_xdist_write_none(line: observers.LiveLine, capsys: pytest.CaptureFixture[str]) -> None:
    line._config.workerinput = {}  # type: ignore[attr-defined]
    line(MEASURING)
    assert capsys.readouterr() == ("", "")
