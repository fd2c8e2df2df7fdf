"""The parent's handle on a worker process, and the only place where a kernel's time is read.

Owns starting, ordering, timing, observing and ending one worker. The clock is this process's; the worker's
threads and memory are read from outside, as is its CPU time (see `cpu`).
"""

from __future__ import annotations

import fcntl
import os
import random
import re
import select
import signal
import site
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

import psutil

from pytest_lance_autoresearch.bench import scratch
from pytest_lance_autoresearch.bench.cpu import CpuAccount, threads_rule
from pytest_lance_autoresearch.bench.scratch import Scratch
from pytest_lance_autoresearch.bench.waiting import WaitCounter
from pytest_lance_autoresearch.errors import (
    AutoresearchError,
    KernelCrashed,
    KernelFailure,
    KernelRaised,
    KernelRefused,
    KernelReturnedMore,
    KernelTimeout,
    TargetError,
    TrialInvalid,
)
from pytest_lance_autoresearch.kernel_side import guard, sandbox, wire, worker
from pytest_lance_autoresearch.machine import baton, clocks, interrupt
from pytest_lance_autoresearch.records import Call, Source, Window
from pytest_lance_autoresearch.target_files import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_lance_autoresearch.target_files.load import Target

CONFINED = True
"""Whether workers lock themselves in, where the system lets them; what lies behind must hold without it."""
GRACE_S = 2.0
"""After how long a worker that was told that it is late has written where it is, and ended."""
ABANDONED_FACTOR = 10
"""How many of its deadlines a worker sees pass before it ends by itself: nobody is there to tell it."""
SHORT_S = 0.05
"""So little of it is not put on top."""
MOST_AGAIN = 20
"""How often at most a deadline is put off."""
LOG_TAIL_BYTES = 1500
_THREADED = ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM", "BLIS", "NUMEXPR")
_KEPT_ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
_ELSEWHERE = (
    "that was in the kernel's process: it works in an empty folder, without this environment, "
    "and may start no thread or process"
)
_AT_A_GUARD_PAGE = (-signal.SIGSEGV, -signal.SIGBUS)
_GUARDED = (
    "; it probably read or wrote past the end of an array, where a guard page lies while answers are checked"
)
_PIPE_BYTES = 2**20
"""As much as Linux grants every user, see pipe(7)."""
_CHOICE = random.SystemRandom()
_PROC_STATUS = "/proc/{pid}/status"


class Closed(Exception):
    """A process was closed by another thread while it was introduced: what it said then is nobody's fault."""


class KernelProcess:
    """A kernel in a process of its own: introduce it, then bind states, run windows, read answers.

    `checks_bounds` makes numba refuse every index outside its array, and puts a guard page behind every array,
    which costs time. `is_portable` makes numba compile for any processor. `compiled` is machine code that an
    earlier process of the same kernel has kept. `shared` is memory where it finds arguments once it is
    told to (`share`), as another kernel's process does; whoever made it gives it back.
    """

    def __init__(
        self,
        target: Target,
        source: Source,
        timeout_s: float,
        *,
        checks_bounds: bool = False,
        is_portable: bool = False,
        compiled: scratch.Compiled = scratch.NOTHING_COMPILED,
        shared: wire.Arena | None = None,
    ) -> None:
        self.source = source
        self._target = target
        self._timeout_s = timeout_s
        self._checks_bounds = checks_bounds
        self._told_numba = {"NUMBA_BOUNDSCHECK": "1"} if checks_bounds else {}
        if is_portable:
            self._told_numba |= {"NUMBA_CPU_NAME": "generic"}
        self._doing = "before a kernel was loaded"
        self._party: type[AutoresearchError] | None = TrialInvalid
        """What every failure is until kernels.py is loaded: before, nothing can be the kernel's fault."""
        self._answers: WindowAnswers | None = None
        """Those of the last window, which alone can be read."""
        self._peak_rss_bytes = 0
        self._is_given_up = self._is_ended = self._is_closed = False
        self._memory = wire.Memory.create()
        self._shared = shared
        self._mapped = self._memory.sizes()
        """As much of the memory as the worker has mapped."""
        self._scratch = Scratch(source.text, compiled, source.package)
        self._spawn(self._scratch.path)
        self._waits = WaitCounter(self._process.pid)

    def _spawn(self, folder: Path) -> None:
        self._log = (folder / scratch.LOG).open("w+b")
        order_read, self._order_fd = os.pipe()
        _widen(self._order_fd)
        self._answer_fd, answer_write = os.pipe()
        shared_fd = -1 if self._shared is None else self._shared.fd
        fds = (self._memory.arguments.fd, self._memory.results.fd, order_read, answer_write, shared_fd)
        locks = worker.LOCKS[self._target.threads > 1] if CONFINED else "free"
        guards = worker.GUARDS if self._checks_bounds else ""
        alone_s = ABANDONED_FACTOR * self._timeout_s
        arguments = (*fds, *self._mapped, alone_s, locks, guards, *_importing(self._target.working_directory))
        self._process = subprocess.Popen(
            [sys.executable, "-I", worker.__file__, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            cwd=folder / scratch.WORK,
            env={**_environment(folder, self._target.threads), **self._told_numba},
            pass_fds=[fd for fd in fds if fd >= 0],
            start_new_session=True,
        )
        os.close(order_read)
        os.close(answer_write)

    def introduce(self) -> None:
        """Wait until it has started, and let it load its target and its kernel; it is ended where that fails."""
        try:
            self._introduce()
        except BaseException:
            if self._is_given_up:
                raise Closed from None
            self.close()
            raise

    def _introduce(self) -> None:
        self._await(wire.READY)
        self._cpu = CpuAccount(self._process.pid, self._target.threads)
        self._observed = psutil.Process(self._process.pid)
        self._threads = self._observed.num_threads()
        self.is_confined = sandbox.is_confined(self._process.pid)
        if self.source.home.folder:  # what target.py and inputs.py import of the package may import the kernel
            self._load_kernel()
            self._load_target()
        else:
            self._load_target()
            self._load_kernel()
        if self._target.threads > 1:  # what is imported may have threads of its own, which wait
            self._threads = self._observed.num_threads()

    def _load_kernel(self) -> None:
        source, self._party = self.source, None
        home, beside = source.home, self._target.beside
        if source.package:
            home, beside = home._replace(folder=str(self._scratch.path / scratch.PACKAGE)), {}
        loading = f"{source.path.name}, while it was loaded"
        self._order(loading, "load_kernel", source.text, str(self._kernel_file), home, beside)
        if self._target.threads == 1:
            self._refuse_threads(loading)

    def _load_target(self) -> None:
        target, name, before = self._target, f"target '{self._target.name}'", self._observed.num_threads()
        self._party = TargetError
        loading = f"{name}: inputs.py and target.py, while they were loaded in the kernel's process"
        self._order(loading, "load_target", target.layout, target.files, target.working_directory)
        if self._target.threads == 1 and self._observed.num_threads() > before:
            raise TargetError(f"{name}: inputs.py or target.py started a thread when it was loaded; {_ELSEWHERE}")
        self._party = None

    @property
    def _kernel_file(self) -> Path:
        """What the kernel's file is called in its process: nothing there says where the real one lies."""
        return self._scratch.path / self.source.path.name

    @property
    def pid(self) -> int:
        return self._process.pid

    def compiled(self) -> scratch.Compiled:
        """The machine code that it has kept so far, for another process of the same kernel."""
        return self._scratch.compiled()

    def share(self) -> None:
        """Find arguments in the shared memory from now on."""
        assert self._shared is not None
        self._order("while it was given shared memory", "share", self._shared.size)
        self._memory.arguments.close()
        self._memory.arguments = self._shared
        self._mapped = self._memory.sizes()

    def bind(self, key: str, state: bytes, handicap: float | None = None) -> int:
        """Build the kernel for a pickled state; a `handicap` prolongs its calls by that fraction.

        Returns the nanoseconds that it took: CPU time, or elapsed time where the system counts none.
        """
        doing = f"{key}, while it was bound"
        self._order(doing, "take_state", state, handicap)
        before_ns, start_ns = self._cpu.now_ns(), clocks.now_ns()
        self._order(doing, "bind", key)
        after_ns = self._cpu.now_ns()
        return clocks.now_ns() - start_ns if before_ns is None or after_ns is None else after_ns - before_ns

    def imitate(self, key: str, echo: wire.Echo) -> None:
        """Take as `key` a kernel that does nothing but return `echo`."""
        self._order(f"{key}, while it was imitated", "imitate", key, echo)

    def release(self, key: str) -> None:
        """Forget a bound state, and the answers of a window of it, which keep the packed window."""
        if self._answers is not None and self._answers.is_of(key):
            self._forget_answers()
        self._order(f"{key}, while it was released", "release", key)

    def run(self, key: str, calls: Sequence[Call], result_bytes: int = 0) -> WindowAnswers:
        """Run the calls as one window; `result_bytes` is the room that a correct result needs at least."""
        return self.run_window(wire.Packer().pack(key, calls, result_bytes))

    def run_window(self, window: wire.PackedWindow, *, is_announced: bool = True) -> WindowAnswers:
        """Run a window, timed by this process's clock.

        All arguments lie there from the start, unless it is one whose calls are started one by one and it is not
        `is_announced`: then each call's are written when the call before it is answered.

        The answers can be read until the next window in the same memory, while this one is packed. KernelFailure
        when the kernel raises, ends, hangs, or works outside the window.
        """
        interrupt.obey()
        self._forget_answers()
        plan, data, key = window.plan, window.data, window.plan.key
        self._map_room(plan)
        for call in plan.calls:
            wire.clear_result(self._memory, call)
        self._doing = key
        order_bytes = self._send(window.order(self._pickled))
        self._await(wire.READY)
        self._refuse_threads(key)
        opened_ns = self._cpu.opens(key, len(plan.calls), order_bytes)
        answers = self._answers = self._memory.arguments.occupant = WindowAnswers(self, window, opened_ns)
        if plan.is_one_by_one:
            timed = self._one_by_one(window, answers, is_announced=is_announced)
        else:
            self._memory.fill(data)
            timed = self._timed(len(window))
        cpu_ns = self._cpu.closes(key, opened_ns, timed.wall_ns)
        self._refuse_threads(key)
        if self._target.threads > 1:  # waited for the core that one of its own threads had, it may be
            timed = replace(timed, waited_ns=None)
        answers.window = replace(timed, cpu_ns=cpu_ns)
        return answers

    def _one_by_one(self, window: wire.PackedWindow, answers: WindowAnswers, *, is_announced: bool) -> Window:
        """Start and time each call by itself, its arguments written just before it, whether they are known or not.

        One of the answers is read as soon as it is given, so that none can be put off.
        """
        data, timed = window.data, []
        first, _ = window.plan.span(0)
        self._memory.fill(data if is_announced else data[:first])
        early = _CHOICE.randrange(len(window))
        for index in range(len(window)):
            if index > 0:
                self._go_on()
            self._memory.deal(data, *window.plan.span(index))
            timed.append(self._timed(1))
            if index == early:
                answers.early = index, answers[index]
        return _summed(timed)

    def _timed(self, calls: int) -> Window:
        """Start what the worker is ready for, and wait for its answer."""
        start = clocks.now_ns()
        self._waits.begin()
        os.write(self._order_fd, wire.GO)
        self._waits.launched()
        self._await(wire.DONE)
        waited_ns, stolen_ns = self._waits.end()
        wall_ns = clocks.now_ns() - start
        self._pause()
        return Window(calls, wall_ns, None, waited_ns, stolen_ns)

    def _map_room(self, plan: wire.WindowPlan) -> None:
        """Have the memory mapped in both processes, with room for that window."""
        self._memory.fit(plan)
        if self._mapped != self._memory.sizes():
            self.peak_rss_bytes()  # what is shared is taken off it, as much as is mapped at present
            self._order(f"{plan.key}, while its memory was mapped", "remap", *self._memory.sizes())
            self._mapped = self._memory.sizes()
            self._begin_peak()

    def _forget_answers(self) -> None:
        self._answers = self._memory.arguments.occupant = None

    def cpu_ns_since(self, opened_ns: int | None, answers: WindowAnswers) -> int | None:
        """The CPU time since the last window was opened, whose answers are given."""
        self._refuse_outdated(answers)
        return self._cpu.since(opened_ns)

    def memory_of(self, answers: WindowAnswers) -> wire.Memory:
        """Where the answers of the last window lie, until a window is run in the same memory."""
        self._refuse_outdated(answers)
        if self._memory.arguments.occupant is not answers:
            raise RuntimeError("the answers of a window are gone when another is run in the same memory")
        return self._memory

    def _refuse_outdated(self, answers: WindowAnswers) -> None:
        if answers is not self._answers:
            raise RuntimeError("the answers of a window are gone when another is run or its state is released")

    def forget_warm_up(self) -> None:
        """Let the peak begin again: what compiling and warming up took is not the kernel's use of memory."""
        self._peak_rss_bytes = 0
        self._begin_peak()

    def _begin_peak(self) -> None:
        with suppress(OSError):
            Path(f"/proc/{self.pid}/clear_refs").write_text("5")  # resets VmHWM, see proc(5)

    def peak_rss_bytes(self) -> int:
        """The largest resident memory seen after warm-ups, without what is shared with this process.

        Where the system keeps no high-water mark, the present size.
        """
        self._peak_rss_bytes = max(self._peak_rss_bytes, self._private_peak_bytes())
        return self._peak_rss_bytes

    def _private_peak_bytes(self) -> int:
        with suppress(OSError, KeyError):
            lines = Path(_PROC_STATUS.format(pid=self.pid)).read_text().splitlines()
            fields = dict(line.split(":", 1) for line in lines)
            return (int(fields["VmHWM"].split()[0]) - int(fields["RssShmem"].split()[0])) * 1024
        with suppress(psutil.Error):
            return int(self._observed.memory_info().rss)
        return 0

    def end(self) -> None:
        """End the process and everything in its session; safe more than once."""
        if self._is_ended:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._is_ended = True

    def give_up(self) -> None:
        """End it, and close it soon: another thread that is introducing it hears that, and blames nobody."""
        self._is_given_up = True
        self.end()

    def close(self) -> None:
        """End the process and give everything back; nothing of it stays behind. Safe more than once."""
        if self._is_closed:
            return
        self._is_closed = True
        self._forget_answers()  # they refer to this process, and would keep its memory until the next collection
        self.give_up()
        os.close(self._order_fd)
        os.close(self._answer_fd)
        self._log.close()
        self._waits.close()
        self._memory.results.close()
        if self._memory.arguments is not self._shared:
            self._memory.arguments.close()
        self._scratch.close()

    def _order(self, doing: str, verb: str, *arguments: Any) -> None:
        self._doing = doing
        self._send(self._pickled((verb, *arguments)))
        self._await(wire.DONE)
        self._pause()
        self._cpu.skip()

    def _pause(self) -> None:
        """Stop one that may have threads until its next order: they could work on, or beside the other side."""
        if self._target.threads > 1:
            self._signal(signal.SIGSTOP)

    def _go_on(self) -> None:
        if self._target.threads > 1:
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(self._process.pid, number)

    def _pickled(self, order: object) -> bytes:
        return load.pickled(self._target, order, "inputs.make_call")

    def _send(self, data: bytes) -> int:
        """Send a pickled order; returns how many bytes it is."""
        self._go_on()
        self._waits.ordered()
        try:
            for part in (worker.LENGTH.pack(len(data)), data):  # put together, a large state would be copied
                view = memoryview(part)
                while view:
                    view = view[os.write(self._order_fd, view) :]
        except BrokenPipeError:
            raise self._ended() from None
        return len(data)

    def _await(self, expected: bytes) -> None:
        with baton.laid_down():
            has_answered = self._has_answered()
        if not has_answered:
            raise self._hung()
        answer = os.read(self._answer_fd, 1)
        if answer == expected:
            return
        if answer == wire.FAILED:
            raise self._failure(KernelRaised, f"{self._who} {self._memory.results.read_text()}")
        if answer == wire.NO_ROOM:
            raise self._failure(KernelReturnedMore, f"{self._who} {self._memory.results.read_text()}")
        if answer == wire.TARGET_FAILED:
            raise TargetError(f"{self._at_home(self._memory.results.read_text())}; {_ELSEWHERE}")
        raise self._ended()

    def _has_answered(self) -> bool:
        """Wait for an answer, until it is late and has been told so.

        What it waits for a core meanwhile is put on top of its time: a busy machine makes no kernel hang.
        """
        poll = select.poll()
        poll.register(self._answer_fd, select.POLLIN)
        left_s, counted_s = self._timeout_s, 0.0
        for _ in range(MOST_AGAIN):
            if poll.poll(left_s * 1000):
                return True
            waited_s = self._waits.waited_s()
            left_s, counted_s = waited_s - counted_s, waited_s
            if left_s < SHORT_S:
                break
        self._signal(signal.SIGALRM)
        return bool(poll.poll(GRACE_S * 1000))

    @property
    def _who(self) -> str:
        return "the kernel's process" if self._party else "the kernel"

    def _failure(self, kind: type[KernelFailure], what: str) -> AutoresearchError:
        """`what`, with the place it happened, as the fault of whoever is at work."""
        return (self._party or kind)(self._named(what))

    def _ended(self) -> AutoresearchError:
        code = self._exit_code()
        tail = self._log_tail()
        if code == -signal.SIGALRM:
            return self._hung()
        how = "without a word" if code is None else _exit_text(code)
        guarded = _GUARDED if self._checks_bounds and code in _AT_A_GUARD_PAGE else ""
        said = f"\nits last output:\n{tail}" if tail else ""
        what = f"the kernel's process ended ({how}) instead of answering{guarded}{said}"
        return self._failure(KernelCrashed, what)

    def _exit_code(self) -> int | None:
        """None when the process is still there after a second."""
        deadline_s = clocks.now_s() + 1.0  # Popen.wait would ask a clock that may be frozen
        while self._process.poll() is None and clocks.now_s() < deadline_s:
            sleep(0.005)
        return self._process.returncode

    def _hung(self) -> AutoresearchError:
        tail = self._log_tail()
        where = f"\nit was here:\n{tail}" if tail else ""
        return self._failure(
            KernelTimeout, f"{self._who} did not answer within {self._timeout_s:g} s and was ended{where}"
        )

    def _named(self, what: str) -> str:
        """`what` with the order that it happened in."""
        return self._at_home(f"{self._doing}: {what}")

    def _at_home(self, text: str) -> str:
        """The text with the user's files by their own paths, from the folder where pytest was started."""
        text = text.replace(str(self._kernel_file), str(self.source.path))
        text = text.replace(str(self._scratch.path / scratch.PACKAGE), self.source.home.folder)
        return re.sub(rf"(?<![^\s'\"(]){re.escape(str(self._target.working_directory))}/", "", text)

    def _log_tail(self) -> str:
        """The end of what the kernel printed; shown to a person, never read for its meaning."""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - LOG_TAIL_BYTES))
        text = self._log.read().decode("utf-8", "replace")
        lines = ("".join(filter(str.isprintable, line)) for line in text.splitlines())
        own = worker.__file__, guard.__file__
        return "\n".join(line for line in lines if not any(file in line for file in own)).strip()

    def _refuse_threads(self, doing: str) -> None:
        try:
            more = self._observed.num_threads() - self._threads
        except psutil.Error:
            raise self._ended() from None
        if more > (self._target.threads if self._target.threads > 1 else 0):
            who = "the kernel, or a module that it imports," if self.source.home.folder else "the kernel"
            started = "a thread" if more == 1 else f"{more} threads"
            raise KernelRefused(f"{doing}: {who} started {started}; {threads_rule(self._target.threads)}")


class WindowAnswers:
    """The answers of one window, each read from shared memory when it is asked for."""

    window: Window
    """As it was timed, once it was."""
    early: tuple[int, Any]
    """Of a window whose calls were started one by one: an index, and the answer as soon as that call gave it."""

    def __init__(self, process: KernelProcess, packed: wire.PackedWindow, opened_ns: int | None) -> None:
        self._process = process
        self._packed = packed
        self._plan = packed.plan
        self._opened_ns = opened_ns

    def __getitem__(self, index: int) -> Any:
        """A private copy of the result of call `index`; KernelFailure if it is not a result."""
        memory, plan = self._process.memory_of(self), self._plan.calls[index]
        try:
            result = wire.read_result(memory, plan)
        except wire.ResultError as error:
            raise KernelRaised(f"{self._plan.key}: the kernel {error}") from None
        self._refuse_changed_inputs(memory, plan, self._packed.call(index))
        return result

    def is_of(self, key: str) -> bool:
        """Whether the bound state of that name answered."""
        return self._plan.key == key

    def echo(self, index: int) -> wire.Echo:
        """What a kernel that does nothing must return in place of the result of call `index`."""
        return wire.read_echo(self._process.memory_of(self), self._plan.calls[index])

    def settled(self) -> Window:
        """The window with all CPU time that its process has used since it was opened, after its answer too."""
        return replace(self.window, cpu_ns=self._process.cpu_ns_since(self._opened_ns, self))

    def _refuse_changed_inputs(self, memory: wire.Memory, plan: wire.CallPlan, call: Call) -> None:
        """Only arguments that lie in shared memory can have changed; an output argument may."""
        outputs = wire.aliased_arguments(memory, plan)
        for position, (argument, sent) in enumerate(zip(plan.arguments, call, strict=True)):
            if not isinstance(argument, wire.ArrayArgument) or not argument.direct or position in outputs:
                continue
            now = memory.arguments.view(argument.offset, sent.dtype, sent.shape)
            if now.tobytes() != sent.tobytes():
                raise KernelRefused(f"{self._plan.key}: the kernel changed its argument {position}")


def _summed(timed: Sequence[Window]) -> Window:
    """Windows of one process as one; its CPU time is not among what they hold."""
    waits, stolen = [one.waited_ns for one in timed], [one.stolen_ns for one in timed]
    return Window(
        sum(one.calls for one in timed),
        sum(one.wall_ns for one in timed),
        None,
        None if None in waits else sum(one or 0 for one in waits),
        None if None in stolen else sum(one or 0 for one in stolen),
    )


def _widen(pipe: int) -> None:
    """Let large states through in fewer pieces, where the system can (Linux); it takes half the time."""
    with suppress(AttributeError, OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _environment(folder: Path, threads: int) -> dict[str, str]:
    """The worker's whole environment: its threads, its own caches, nothing that tells it where it runs.

    Threads that wait for work must not spin: that would be work outside the windows.
    """
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    counts = {f"{name}_NUM_THREADS": str(threads) for name in _THREADED}
    folders = {
        "TMPDIR": str(folder / scratch.WORK),
        "HOME": str(folder / scratch.WORK),
        "NUMBA_CACHE_DIR": str(folder / scratch.CACHE),
    }
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "OMP_WAIT_POLICY": "PASSIVE",
        **folders,
        **counts,
        **kept,
    }


def _importing(working_directory: Path) -> list[str]:
    """What lets a worker import what this process can: the user's site-packages ('' if unused), and the path."""
    user_site = site.getusersitepackages() if site.ENABLE_USER_SITE else ""
    path = [str(working_directory / entry) for entry in sys.path if isinstance(entry, str)]
    return [user_site if user_site in path else "", *path]


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"
