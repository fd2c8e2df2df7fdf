"""The process that a kernel runs in: the measured party's side.

Owns the loop that takes orders, runs calls and answers with one byte each. Holds no clock, no oracle, no
generator and no verdict; everything it says is checked by the parent. Started by `bench.process`, by path, with
the file descriptors of the shared memory and of both pipes as arguments.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import pickle
import signal
import site
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

if __name__ == "__main__":
    # Run by path with `python -I`, which finds the standard library and what is installed for all users. The
    # parent hands over its user's packages, whose .pth files may install finders, and its path. First comes the
    # standard library, so that nothing shadows it, and last the folder that the package lies in, for where it is
    # not installed: nothing beside it shadows an installed module.
    if sys.argv[11]:
        site.addsitedir(sys.argv[11])
    library = Path(os.__file__).parent
    own_path = [*sys.argv[12:], *sys.path, str(Path(__file__).resolve().parents[2])]
    sys.path[:] = dict.fromkeys([str(library), str(library / "lib-dynload"), *own_path])

import numpy as np

from pytest_lance_autoresearch.errors import TargetError
from pytest_lance_autoresearch.kernel_side import compiled, guard, modules, packages, sandbox, wire
from pytest_lance_autoresearch.kernel_side.handicap import handicapped
from pytest_lance_autoresearch.records import Home, Layout

LENGTH = struct.Struct("<q")
LOCKS = ("confined", "confined, with threads")
"""What a worker is told to put on, without and with threads."""
GUARDS = "guards"
"""What one is told whose kernel's arrays are to end at guard pages."""


class _Next(NamedTuple):
    """What a kernel is about to be built with."""

    kernels: Any = None
    state: Any = None
    pickled: bytes = b""


class KernelHost:
    """One kernel, bound to the states of its cases."""

    def __init__(self, memory: wire.Memory, shared_fd: int = -1, *, guards: bool = False) -> None:
        self._memory = memory
        self._shared_fd = shared_fd
        """Of the memory for arguments that another kernel's process uses too."""
        self._guards = guards
        """Whether states and arguments are handed over as copies that end at guard pages."""
        self._layout = Layout("", Path())
        self._files: dict[str, bytes] = {}
        self._home = Path()
        self._inputs: Any = None
        self._wiring: Any = None
        self._kernels: Any = None
        self._next = _Next()
        self._bound: dict[str, Any] = {}
        self._buffers: dict[str, np.ndarray[Any, Any]] = {}
        self._window: Any = None
        self._listing: Any = None

    def obey(self, order: bytes) -> bytes:
        """Carry out one order and return its answer.

        What the order held, and what it replaced, is given back before it is answered: the CPU time that this
        takes is then the order's, and not found beside the next window.
        """
        self._window = None
        with modules.blaming(self._layout, "inputs.py"):
            verb, *arguments = pickle.loads(order)
        getattr(self, verb)(*arguments)
        return wire.READY if verb == "prepare" else wire.DONE

    def load_target(self, layout: Layout, files: dict[str, bytes], home: Path) -> None:
        """Execute inputs.py and target.py from the bytes that the parent read, in the folder where it did."""
        self._layout, self._files, self._home = layout, files, home
        self._inputs = self._execute("inputs")
        self._wiring = self._execute("target", inputs=self._inputs)

    def load_kernel(self, text: bytes, filename: str, home: Home, beside: Mapping[str, bytes]) -> None:
        """One of a package is imported with what it imports, which may be compiled as it is."""
        if b"numba" in text or home.folder:
            compiled.keep(os.environ["NUMBA_CACHE_DIR"])
        self._kernels = packages.load(text, filename, home, beside)
        _tidy()

    def take_state(self, state: bytes, handicap: float | None = None) -> None:
        """What the next order builds the kernel with, so that building alone is what that order takes."""
        kernels = self._kernels if handicap is None else handicapped(self._kernels, handicap)
        self._next = _Next(kernels, self._unpickled(state), state)

    def bind(self, key: str) -> None:
        kernels, own_state, state = self._next
        try:
            function = self._wiring.bind(kernels, own_state)
            self._bound[key] = guard.Guarded(function) if self._guards else function
        except Exception as error:
            self._refuse_wiring(state, error)
            raise
        finally:
            self._next = _Next()
        _tidy()

    def _execute(self, stem: str, **siblings: Any) -> Any:
        with _working_in(self._home):
            return modules.execute(self._layout, stem, self._files[f"{stem}.py"], siblings)

    def _unpickled(self, state: bytes) -> Any:
        with modules.blaming(self._layout, "inputs.py"), _working_in(self._home):
            value = pickle.loads(state)
            return guard.guarded(value) if self._guards else value

    def _refuse_wiring(self, state: bytes, error: Exception) -> None:
        """TargetError where target.bind fails with the reference just as it failed with the kernel.

        The parent could bind the reference, so it is this process in which target.bind cannot work.
        """
        own_state = self._unpickled(state)
        try:
            reference = self._execute("reference", inputs=self._inputs)
            self._wiring.bind(reference, own_state)
        except Exception as another:
            if describe(another) == describe(error):
                with modules.blaming(self._layout, "target.py"):
                    raise

    def imitate(self, key: str, echo: wire.Echo) -> None:
        """Take as `key` a kernel that does nothing: it shows what the runner costs."""
        self._bound[key] = echo.function()

    def listen(self) -> None:
        """Keep the machine code of what is compiled from now on."""
        from pytest_lance_autoresearch.kernel_side import listing

        self._listing = listing.Listing()

    def bind_listing(self, key: str) -> None:
        """Take as `key` a function that returns it."""
        self._bound[key] = self._listing.text

    def bind_profiled(self, key: str, of: str, text_key: str) -> None:
        """Take as `key` the kernel that is bound as `of`, traced, and as `text_key` what tells its lines."""
        from pytest_lance_autoresearch.kernel_side import profiling

        profiled = profiling.Profiled(self._bound[of])
        self._bound |= {key: profiled, text_key: profiled.text}

    def bind_probe(self, key: str, name: str, size: int) -> None:
        """Take as `key` one of the loops that find out what this host can do."""
        from pytest_lance_autoresearch.kernel_side import probes

        self._bound[key] = probes.PROBES[name](size)

    def release(self, key: str) -> None:
        del self._bound[key]
        self._buffers.pop(key, None)

    def remap(self, arguments_bytes: int, results_bytes: int) -> None:
        """Follow the parent, who has mapped that much of the memory."""
        self._memory.arguments.follow(arguments_bytes)
        self._memory.results.follow(results_bytes)

    def share(self, size: int) -> None:
        """Find arguments from now on where the other kernel's process finds its own."""
        self._memory.arguments.move(self._shared_fd, size)

    def prepare(self, plan: wire.WindowPlan) -> None:
        """Everything that a window needs besides the argument bytes, made before the clock starts."""
        private = self._private(plan.key, max(end - start for start, end in (call.small for call in plan.calls)))
        calls = [self._prepare_call(call, private) for call in plan.calls]
        self._window = self._bound[plan.key], [[call] for call in calls] if plan.is_one_by_one else [calls]

    def portions(self) -> Iterator[Callable[[], bytes]]:
        """The window that was prepared, in the parts that are started one by one.

        It is given back with the next order, when the clock has stopped.
        """
        function, parts = self._window
        return (partial(self._run, function, calls) for calls in parts)

    def _run(self, function: Any, calls: Any) -> bytes:
        run_calls(function, calls)
        return wire.DONE

    def _prepare_call(self, plan: wire.CallPlan, private: np.ndarray[Any, Any]) -> Any:
        start, end = plan.small
        arguments: list[Any] = []
        for argument in plan.arguments:
            if isinstance(argument, wire.PlainArgument):
                arguments.append(argument.value)
            elif argument.direct:
                dtype = np.dtype(argument.dtype)
                arguments.append(self._memory.arguments.view(argument.offset, dtype, argument.shape))
            else:
                arguments.append(np.ndarray(argument.shape, argument.dtype, private, argument.offset - start))
        copy = private.data[: end - start], self._memory.arguments.span(start, end)
        return *copy, tuple(arguments), wire.ResultSlot(self._memory.results, plan)

    def _private(self, key: str, size: int) -> np.ndarray[Any, Any]:
        """One buffer for the small arguments of every call: an address tells a kernel nothing."""
        buffer = self._buffers.get(key)
        if buffer is None or buffer.size < size:
            wider = np.empty(size + wire.ALIGNMENT, np.uint8)
            gap = -wider.ctypes.data % wire.ALIGNMENT
            self._buffers[key] = buffer = wider[gap : gap + size]
        return buffer


def _tidy() -> None:
    """Collect garbage, which the worker never does by itself, and leave what remains out of later collections."""
    gc.collect()
    gc.freeze()


def run_calls(function: Any, calls: Any) -> None:
    """The timed loop: fresh arguments in, one call, its result out at once."""
    for private, shared, arguments, slot in calls:
        private[:] = shared
        slot.store(function(*arguments), arguments)


def serve(
    memory: wire.Memory,
    orders: BinaryIO,
    answer_fd: int,
    timeout_s: float,
    shared_fd: int = -1,
    *,
    guards: bool = False,
) -> None:
    """Take orders until the parent closes its end of the pipe."""
    host = KernelHost(memory, shared_fd, guards=guards)
    os.write(answer_fd, wire.READY)
    while len(head := orders.read(LENGTH.size)) == LENGTH.size:
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        answer = attempt(memory.results, lambda size: host.obey(orders.read(size)), *LENGTH.unpack(head))
        if answer == wire.READY and not (answer := run_portions(host, memory.results, orders, answer_fd)):
            return
        signal.setitimer(signal.ITIMER_REAL, 0)  # before the answer, after which the process may be stopped
        os.write(answer_fd, answer)


def run_portions(host: KernelHost, results: wire.Arena, orders: BinaryIO, answer_fd: int) -> bytes:
    """Run a window that is prepared, each portion when it is asked for; the last answer, or b'' if none is."""
    answer = wire.READY
    for portion in host.portions():
        os.write(answer_fd, answer)
        if orders.read(1) != wire.GO:
            return b""
        answer = attempt(results, portion)
        if answer != wire.DONE:
            break
    return answer


def attempt(results: wire.Arena, action: Callable[..., bytes], *arguments: Any) -> bytes:
    """The answer of `action`; or who failed, with what was raised in the memory."""
    try:
        return action(*arguments)
    except TargetError as error:
        results.write_text(str(error))
        return wire.TARGET_FAILED
    except BaseException as error:
        results.write_text(describe(error))
        return wire.NO_ROOM if isinstance(error, wire.RoomError) else wire.FAILED


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    """As `contextlib.chdir`, and where the folder is gone, stay."""
    before = Path.cwd()
    with suppress(OSError):
        os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def describe(error: BaseException) -> str:
    """What the kernel did; of an exception where, in the files that are the user's."""
    return str(error) if isinstance(error, wire.ResultError) else modules.raised(error)


def main() -> None:
    arguments_fd, results_fd, order_fd, answer_fd, shared_fd = map(int, sys.argv[1:6])
    arguments_bytes, results_bytes = map(int, sys.argv[6:8])
    timeout_s = float(sys.argv[8])
    if sys.argv[9] in LOCKS:
        sandbox.confine([str(Path.cwd()), os.environ["NUMBA_CACHE_DIR"]], threads=sys.argv[9] == LOCKS[True])
    faulthandler.enable()
    # The watchdog: a traceback, then the signal's default, the end. It works inside compiled loops and needs no
    # thread. The parent sends the signal to a kernel that is late; the timer, when the parent is gone.
    faulthandler.register(signal.SIGALRM, all_threads=False, chain=True)
    gc.disable()
    sys.dont_write_bytecode = True
    with os.fdopen(order_fd, "rb") as orders:
        memory = wire.Memory(wire.Arena(arguments_fd, arguments_bytes), wire.Arena(results_fd, results_bytes))
        serve(memory, orders, answer_fd, timeout_s, shared_fd, guards=sys.argv[10] == GUARDS)
    os._exit(0)


if __name__ == "__main__":
    main()
