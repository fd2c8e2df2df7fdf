"""Why a kernel takes the time that it takes, as far as one can see it from outside.

Owns the run: which case, in which order what is looked at, and the record of it. Judges nothing, keeps nothing.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pytest_lance_autoresearch.assembly import hotspots, instructions, listing, remarks
from pytest_lance_autoresearch.bench import explained, measure
from pytest_lance_autoresearch.bench.explained import PROFILED, ExplainedProcess
from pytest_lance_autoresearch.bench.probing import ProbeProcess
from pytest_lance_autoresearch.bench.process import KernelProcess
from pytest_lance_autoresearch.errors import KernelRefused, SelectionError
from pytest_lance_autoresearch.machine import clocks, environment, sampling, turns
from pytest_lance_autoresearch.records import ANSWER_TIMEOUT_S, CaseTimes, Progress
from pytest_lance_autoresearch.runs import limits
from pytest_lance_autoresearch.runs.pace import in_line
from pytest_lance_autoresearch.target_files import contract, discover, generate, policy, seeds, sources
from pytest_lance_autoresearch.verdict import aggregate

if TYPE_CHECKING:
    from pytest_lance_autoresearch.assembly.hotspots import Hotspots
    from pytest_lance_autoresearch.bench.measure import CasePlan
    from pytest_lance_autoresearch.records import Case
    from pytest_lance_autoresearch.runs.limits import Limits
    from pytest_lance_autoresearch.target_files.load import Target

SAMPLED_NS = 1_500_000_000
"""How much CPU time of windows is sampled, about."""
MOST_PATIENCE = 6
"""Times of that which may pass where other work has the core."""
BRIEF_WINDOWS = 6
"""Of each case while the slowest is looked for. The fastest counts: others' work makes none faster."""
WINDOWS = 24
"""Those that are timed, and again those that are counted."""
PROFILED_WINDOWS = 8
_EXPECTED_S = 30.0
ANSWER_S = 5 * ANSWER_TIMEOUT_S
"""The longest answer of a kernel that is looked at: compiling takes longer where all of it is listed."""
TOLD_EVERY_S = 5.0
"""How long it has lasted is told."""
Watch = Callable[[Progress], None]
"""Is told what happens now."""


class Moved(NamedTuple):
    """Bytes that a call must touch at least, and those that it may."""

    arguments: int
    results: int
    state: int


class PythonLine(NamedTuple):
    """A line of Python as tracing saw it, with what it called of others' code."""

    share: float
    times: int
    file: str
    line: int
    function: str


@dataclass(frozen=True)
class Explanation:
    """All that was seen of one kernel on one case."""

    target: Target
    case: Case
    others: dict[str, float]
    """Nanoseconds per operation of every timed case, measured briefly; empty where the case was named."""
    ns_per_op: float
    ops_per_call: float
    overhead_ns: float
    """What the runner itself costs per call: no part of the kernel's time, but sampled like it."""
    moved: Moved
    limits: Limits
    hotspots: Hotspots
    how: str
    """How the samples were taken, or why there are none."""
    machine_code: str
    """'' where it could be listed, or why not."""
    counters: dict[str, float]
    """What the core counted per operation."""
    no_counters: str
    profile: tuple[PythonLine, ...]
    waited: float
    """The share of the measured time in which others had the core."""
    in_system: float | None
    """The share of CPU time that no sample saw: the system's own, such as pages that are new."""

    @property
    def sampled_ns_per_op(self) -> float:
        """What the samples are shares of."""
        return self.ns_per_op + self.overhead_ns / self.ops_per_call


def explain(target: Target, case_id: str | None, watch: Watch, timeout_s: float | None = None) -> Explanation:
    """Look at the target's kernel on one case, or on its slowest; KernelFailure where it does not work.

    `timeout_s` is the longest time for one answer; None is a trial's while the slowest case is looked for, and
    `ANSWER_S` then.
    """
    if violation := policy.violation_of(target):
        raise KernelRefused(violation)
    named = None if case_id is None else _named(target, case_id)
    with turns.take(_EXPECTED_S, in_line(target.name, watch)):
        others = {} if named else _brief_times(target, watch, timeout_s or ANSWER_TIMEOUT_S)
        case, most_s = named or max(others, key=lambda one: others[one]), timeout_s or ANSWER_S
        with _telling(watch, target, f"{case.id}: compiling, listing and measuring the kernel", most_s):
            return _Look(target, case, most_s).explanation({one.id: ns for one, ns in others.items()})


@contextmanager
def _telling(watch: Watch, target: Target, what: str, most_s: float) -> Iterator[None]:
    """Say what begins, and again and again how long it has lasted: this thread waits for answers meanwhile."""
    is_over, begun_s = threading.Event(), clocks.now_s()

    def tell() -> None:
        while not is_over.wait(TOLD_EVERY_S):
            so_far = f"{clocks.now_s() - begun_s:.0f} s so far, at most {most_s:g} s for an answer"
            watch(Progress(target.name, f"{what}, {so_far}", None, None, None))

    watch(Progress(target.name, what, None, None, None, is_event=True))
    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        is_over.set()
        teller.join()


def _named(target: Target, case_id: str) -> Case:
    cases = {case.id: case for case in contract.cases_of(target)}
    if case_id in cases:
        return cases[case_id]
    near = discover.nearest(case_id, cases)
    hint = f"did you mean '{near}'?" if near else f"expected one such as '{next(iter(cases))}'"
    raise SelectionError(f"target '{target.name}': no case '{case_id}'; {hint}")


def _brief_times(target: Target, watch: Watch, most_s: float) -> dict[Case, float]:
    """Nanoseconds per operation of every timed case, from a few windows."""
    timed = [case for case in contract.cases_of(target) if case.timed]
    with (
        _telling(watch, target, f"looking for the slowest of {len(timed)} cases", most_s),
        closing(KernelProcess(target, target.kernel, most_s)) as process,
        closing(_idle(target, most_s)) as null,
    ):
        process.introduce()
        null.introduce()
        with environment.placed([null.pid, process.pid], target.threads):
            return {case: _brief_time(target, case, process, null) for case in timed}


def _idle(target: Target, most_s: float) -> ProbeProcess:
    """A process without a kernel, to be introduced."""
    kernel = target.kernel
    return ProbeProcess(target, sources.make(b"", kernel.path, kernel.home), most_s)


def _brief_time(target: Target, case: Case, process: KernelProcess, null: KernelProcess) -> float:
    plan = explained.new_plan(target, case, _state(target, case), seeds.secret_seed())
    measure.make_ready(plan, process, null)
    windows = measure.measure_alone(plan, process, BRIEF_WINDOWS)
    process.release(plan.key)
    return min(aggregate.ns_per_call(windows, plan.call_overhead_ns)) / contract.ops_per_call(target, case)


def _state(target: Target, case: Case) -> Any:
    return generate.make_state(target, case, seeds.PUBLISHED_SEED)


class _Look:
    """Everything that is asked about one case, each in windows of its own: none disturbs another."""

    def __init__(self, target: Target, case: Case, most_s: float) -> None:
        self._target = target
        self._most_s = most_s
        self._case = case
        self._plan = explained.new_plan(target, case, _state(target, case), seeds.secret_seed())
        self._ops = contract.ops_per_call(target, case)

    def explanation(self, others: dict[str, float]) -> Explanation:
        target, plan, kernel = self._target, self._plan, self._target.kernel
        with (
            closing(_idle(target, self._most_s)) as probe,
            closing(ExplainedProcess(target, kernel, self._most_s)) as process,
        ):
            probe.introduce()
            process.introduce()
            with environment.placed([probe.pid, process.pid], target.threads):
                answer = measure.make_ready(plan, process, probe)
                windows = measure.measure_alone(plan, process, WINDOWS)
                samples = _sampled(plan, process)
                counters, no_counters = self._counted(process)
                profile = _profiled(plan, process)
                text, remarked, maps = process.listing(), process.remarks(), _maps(process.pid)
                best = limits.measure(probe)
        times = CaseTimes(self._case.id, self._ops, plan.call_overhead_ns, windows)
        functions = listing.read(text)
        reader = instructions.READERS.get(platform.machine().lower())
        return Explanation(
            target=target,
            case=self._case,
            others=others,
            ns_per_op=aggregate.case_ns_per_op(times),
            ops_per_call=self._ops,
            overhead_ns=plan.call_overhead_ns,
            moved=_moved(plan, answer),
            limits=best,
            hotspots=hotspots.Sources(
                functions,
                reader or (lambda _: instructions.NOTHING),
                remarks.read(remarked),
                hotspots.names_of_lines(kernel.text, kernel.path.name),
            ).hotspots(samples.addresses, lambda address: _mapped(maps, address)),
            how=samples.how,
            machine_code=_code_fault(functions, is_known=reader is not None),
            counters=counters,
            no_counters=no_counters,
            profile=profile,
            waited=sum(window.waited_ns or 0 for window in windows) / sum(window.wall_ns for window in windows),
            in_system=samples.in_system,
        )

    def _counted(self, process: ExplainedProcess) -> tuple[dict[str, float], str]:
        """What the core counts per operation, and why it does not."""
        with closing(sampling.HardwareCounters(process.pid)) as counters:
            with process.observed(counters):
                windows = measure.measure_alone(self._plan, process, WINDOWS)
            operations = sum(window.calls for window in windows) * self._ops
            return {name: count / operations for name, count in counters.counted().items()}, counters.refusal


class _Samples(NamedTuple):
    addresses: dict[int, int]
    how: str
    in_system: float | None


def _sampled(plan: CasePlan, process: ExplainedProcess) -> _Samples:
    found = sampling.sampler(process.pid)
    if isinstance(found, sampling.Refusal):
        return _Samples({}, found.why, None)
    wall_ns = cpu_ns = 0
    with closing(found), process.observed(found):
        while cpu_ns < SAMPLED_NS and wall_ns < MOST_PATIENCE * SAMPLED_NS:
            (window,) = measure.measure_alone(plan, process, 1)
            wall_ns += window.wall_ns
            cpu_ns += window.wall_ns if window.cpu_ns is None else window.cpu_ns
    seen = found.addresses.total()
    is_told = found.period_ns is not None
    in_system = max(0.0, 1 - seen * (found.period_ns or 0) / cpu_ns) if is_told else None
    return _Samples(dict(found.addresses), found.how, in_system)


def _profiled(plan: CasePlan, process: ExplainedProcess) -> tuple[PythonLine, ...]:
    """Which line of Python took how long, in calls that are slower while they are traced."""
    process.bind_profiled(plan.key)
    for _ in range(PROFILED_WINDOWS):
        calls = plan.feed.draw(plan.calls)
        process.run(PROFILED, calls, plan.room.bytes)
    return _python_lines(process.profile())


def _python_lines(text: str) -> tuple[PythonLine, ...]:
    """What a profile says; a line that is not understood is passed over."""
    found = []
    for line in text.splitlines():
        parts = line.split(" ", 4)
        if len(parts) == 5 and all(part.isdecimal() and len(part) < 19 for part in (*parts[:2], parts[3])):
            found.append(PythonLine(float(parts[0]), int(parts[1]), parts[2], int(parts[3]), parts[4]))
    total = sum(entry.share for entry in found) or 1.0
    return tuple(entry._replace(share=entry.share / total) for entry in found)


def _moved(plan: CasePlan, answer: Any) -> Moved:
    return Moved(_bytes(plan.first), _bytes(answer), _bytes(plan.feed.state))


def _bytes(value: Any) -> int:
    """Of all arrays in it, as far as tuples, lists and mappings hold them."""
    if isinstance(value, np.ndarray | np.generic):
        return int(value.nbytes)
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return sum(map(_bytes, value))
    return _bytes(list(vars(value).values())) if hasattr(value, "__dict__") and not callable(value) else 0


def _code_fault(functions: Sequence[object], *, is_known: bool) -> str:
    if not is_known:
        return f"machine code of {platform.machine()} is not read here: x86-64 and AArch64 are"
    return "" if functions else "numba compiled nothing"


class _Mapping(NamedTuple):
    start: int
    end: int
    path: str


def _maps(pid: int) -> list[_Mapping]:
    """What of which file lies where in a process, see proc_pid_maps(5)."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    return list(_parsed(lines))


def _parsed(lines: Sequence[str]) -> Iterator[_Mapping]:
    for line in lines:
        span, access, _, _, _, *path = line.split(maxsplit=5)
        start, _, end = span.partition("-")
        if "x" in access:
            yield _Mapping(int(start, 16), int(end, 16), path[0] if path else "")


def _mapped(maps: Sequence[_Mapping], address: int) -> str:
    """What is not compiled by numba: the file that the address is of."""
    found = next((one for one in maps if one.start <= address < one.end), None)
    if found is None or not found.path:
        return "code without a listing"
    path = Path(found.path)
    if path.name.startswith(("python", "libpython")):
        return "Python"
    package = next((name for name in ("numpy", "numba") if name in path.parts), None)
    return package or path.name.partition(".")[0]
