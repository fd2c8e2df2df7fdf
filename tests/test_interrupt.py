"""Ctrl-C always wins: lost or not, at any moment, the session ends with pytest's code for it, and logs nothing."""

from __future__ import annotations

import ast
import io
import os
import signal
import subprocess
import sys

import pytest
import toys

from pytest_lance_autoresearch.log import results
from pytest_lance_autoresearch.machine import interrupt

PATIENCE_S = 600.0


def test_what_came_and_was_lost_is_raised_at_the_next_look() -> None:
    watch = interrupt.Watch()
    watch.start()
    try:
        interrupt.obey()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupt.obey()
    finally:
        watch.stop()
    interrupt.obey()
    assert watch.came
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_ignores_interrupts_goes_on_doing_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        watch = interrupt.Watch()
        watch.start()
        os.kill(os.getpid(), signal.SIGINT)
        watch.stop()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert not watch.came


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_is_told_to_end_closes_what_is_open(number: signal.Signals) -> None:
    before, closed = signal.signal(number, signal.SIG_DFL), io.StringIO()
    try:
        with pytest.raises(SystemExit) as raised, interrupt.orderly_end(), closed:
            os.kill(os.getpid(), number)
        assert (raised.value.code, closed.closed) == (128 + number, True)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_who_ignores_a_hang_up_goes_on_doing_so() -> None:
    """As a command behind nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupt.orderly_end():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


LOSING = """
import ctypes, os, pytest, signal

@ctypes.CFUNCTYPE(None)
def callback():
    os.kill(os.getpid(), signal.SIGINT)

def {hook}:
    if {condition}:
        callback()  # prints its exception, at most
"""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("hook", "condition"),
    [
        ("pytest_collection_finish(session)", "True"),
        ("pytest_runtest_setup(item)", "item.name == 'test_correctness[64x32-zeros]'"),
        ("pytest_runtest_call(item)", "item.name == 'test_speed[129x31-sparse]'"),
        ("pytest_runtest_teardown(item)", "item.name == 'test_keep_gate'"),
        ("pytest_sessionfinish(session)", "True"),
    ],
)
def test_an_interrupt_whose_exception_is_lost_ends_the_session(
    pytester: pytest.Pytester, hook: str, condition: str
) -> None:
    toys.write(pytester.path)
    pytester.makeconftest(LOSING.format(hook=hook, condition=condition))
    result = pytester.runpytest_subprocess(*toys.GATE, "-p", "no:unraisableexception")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    if "sessionfinish" not in hook:
        assert not results.read(pytester.path / "targets/toy/results.tsv")


def test_a_test_of_others_may_catch_its_own_interrupt(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path)
    pytester.makepyfile(
        """
        import os, pytest, signal
        def test_mine():
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
        """
    )
    result = pytester.runpytest_subprocess("-q", "-p", "no:randomly")
    result.assert_outcomes(passed=toys.ITEMS + 1)
    assert result.ret == 0


MANY = """
import ctypes, gc, os, random, signal, sys, threading, time
import pytest

@ctypes.CFUNCTYPE(None)
def callback():
    sum(range(1000))

def collected(phase, info):
    callback()  # as Hypothesis does at every collection, so that there are moments at which an exception is lost

class Losing:
    # what comes during a collection of garbage, from the session's start to its end
    def __init__(self):
        self.begun = threading.Event()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_cmdline_main(self):
        self.begun.set()
        gc.callbacks.append(collected)
        try:
            return (yield)
        finally:
            gc.callbacks.remove(collected)

gc.set_threshold(300)
options = [*sys.argv[2:], "-p", "no:unraisableexception", "--no-summary", "--no-header"]
for _ in range(2):  # the first one imports
    start = time.perf_counter()
    assert pytest.main(options, plugins=[Losing()]) == 0
    usual_s = time.perf_counter() - start
draw = random.Random(1)
ends = []

def interrupted():
    # The end of a run, and whether it was interrupted; -2 where pytest was not there to catch it, or no more.
    over, came, losing = threading.Event(), [], Losing()

    def interrupt(delay_s):
        losing.begun.wait()
        if not over.wait(delay_s):
            came.append(True)
            os.kill(os.getpid(), signal.SIGINT)

    later = threading.Thread(target=interrupt, args=(draw.uniform(0, usual_s),))
    try:
        later.start()
        end = int(pytest.main(options, plugins=[losing]))
        over.set()
        later.join()
    except KeyboardInterrupt:
        end = -2
    over.set()
    later.join()
    return end, bool(came)

for _ in range(int(sys.argv[1])):
    ends.append(interrupted())
print()
print(ends)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("runs", "options"), [(20, []), (60, ["--autoresearch-in-process"])])
def test_interrupts_at_random_moments_are_never_swallowed(
    pytester: pytest.Pytester, runs: int, options: list[str]
) -> None:
    """A run, of one shape for it to be short, ends as interrupted, unless it was over before."""
    toys.write(pytester.path)
    script = pytester.path / "many.py"
    script.write_text(MANY)
    command = [
        sys.executable,
        str(script),
        str(runs),
        "-k",
        "64x32",
        *options,
        "-q",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        command, cwd=pytester.path, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    ends = ast.literal_eval(done.stdout.splitlines()[-1])
    assert len(ends) == runs
    swallowed = [end for end, came in ends if came and end not in (pytest.ExitCode.INTERRUPTED, -signal.SIGINT)]
    assert not swallowed
    assert sum(came for _, came in ends) > runs / 4
