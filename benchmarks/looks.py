"""Where the wall time of a look goes: its pairs of fresh processes, all timed cases, a kernel against itself.

    python benchmarks/looks.py                every target, about 5 minutes
    python benchmarks/looks.py bitpack pq-l2

Prints one line for each target. First the shares of the look: compiling in a pair of its own, starting the other
pairs (load, build, first calls), pricing the building, finding the size of windows, warm-up, measuring what the
runner costs, the blocks, the rest. Then the shares of the blocks. Then what the runner costs per call, from the
least to the most of all cases, beside what a call takes, and the most that it is of one; the shortest of the
cases' windows; and the memory of this process before the look and at most, with what it shares with the workers.
The functions of the package are timed from here: it knows nothing of it.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import fresh_look

from pytest_lance_autoresearch.bench import measure
from pytest_lance_autoresearch.bench.compiling import Compiling
from pytest_lance_autoresearch.bench.fields import Field
from pytest_lance_autoresearch.bench.oracles import Oracle
from pytest_lance_autoresearch.bench.process import KernelProcess, WindowAnswers
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.machine import clocks
from pytest_lance_autoresearch.records import Pair
from pytest_lance_autoresearch.target_files import contract, discover, generate, load, seeds

ROOT = Path(__file__).resolve().parent.parent
STEPS: Mapping[str, list[tuple[Any, str]]] = {
    "compiling": [(Compiling, "_compile")],
    "starting": [(Field, "launch"), (Field, "join")],
    "pricing": [(Field, "price_building")],
    "sizing": [(measure, "size")],
    "warm-up": [(measure, "warm_up")],
    "runner": [(measure, "_call_overhead_ns")],
    "blocks": [(measure, "measure_blocks")],
}
"""Of a look, each with the functions that make it up."""
PARTS: Mapping[str, list[tuple[Any, str]]] = {
    "windows": [],
    "making calls": [(generate.Feed, "_one")],
    "packing": [(wire.Packer, "pack"), (KernelProcess, "run_window")],
    "oracle": [(Oracle, "expected"), (Oracle, "compare"), (WindowAnswers, "__getitem__")],
}
"""Of the blocks. A window's own time is taken out of what `KernelProcess.run_window` takes."""
WHOLE = {"compiling", "starting", "pricing", "sizing", "warm-up", "runner"}
"""What is one thing, whatever happens in it."""


class Stopwatch:
    """Seconds by name: every moment counts for the innermost step or part that is going on."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._going_on = ["rest"]
        self._since_s = clocks.now_s()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return function(*arguments, **options)  # it is part of what the main thread waits for
            with self._counting(name):
                result = function(*arguments, **options)
                if self._going_on[-1] == "packing" and function.__name__ == "run_window":
                    self._move("packing", "windows", result.window.wall_ns / 1e9)
            return result

        return timed

    @contextmanager
    def _counting(self, name: str) -> Iterator[None]:
        around = self._going_on[-1]
        stays = around in WHOLE or (name in PARTS and "blocks" not in self._going_on)
        self._book()
        self._going_on.append(around if stays else name)
        try:
            yield
        finally:
            self._book()
            self._going_on.pop()

    def _book(self) -> None:
        now_s = clocks.now_s()
        self.seconds[self._going_on[-1]] += now_s - self._since_s
        self._since_s = now_s

    def _move(self, source: str, goal: str, seconds: float) -> None:
        self.seconds[source] -= seconds
        self.seconds[goal] += seconds


@contextmanager
def watching(watch: Stopwatch) -> Iterator[None]:
    """All functions of the tables, timed while this is open."""
    with ExitStack() as patches:
        for name, functions in {**STEPS, **PARTS}.items():
            for owner, function in functions:
                timed = watch.timed(name, getattr(owner, function))
                patches.enter_context(mock.patch.object(owner, function, timed))
        yield


def look(name: str) -> str:
    """The line of one target."""
    target = load.load(discover.inspect(ROOT / "targets" / name))
    timed = [case for case in contract.cases_of(target) if case.timed]
    states = {case: generate.make_state(target, case, seeds.PUBLISHED_SEED) for case in timed}
    before = memory_mb()["VmRSS"]
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, see proc(5)
    watch = Stopwatch()
    with watching(watch):
        pairs = fresh_look.measured(target, states)
    memory = f"{before:.0f} | {memory_mb()['VmHWM']:.0f}"
    return f"| {name} | {' | '.join(shares(watch.seconds))} | {' | '.join(times(pairs))} | {memory} |"


def shares(seconds: Mapping[str, float]) -> Iterator[str]:
    """Shares of the look, then those of its blocks."""
    of_blocks = {name: seconds[name] for name in PARTS} | {"checking": seconds["blocks"]}
    blocks_s = sum(of_blocks.values())
    of_look = {name: seconds[name] for name in STEPS} | {"blocks": blocks_s, "rest": seconds["rest"]}
    look_s = sum(of_look.values())
    yield f"{look_s:.1f}"
    yield from (f"{100 * part_s / look_s:.0f} %" for part_s in of_look.values())
    yield f"{blocks_s:.1f}"
    yield from (f"{100 * part_s / blocks_s:.0f} %" for part_s in of_blocks.values())


def times(pairs: Sequence[Pair]) -> Iterator[str]:
    """The runner's cost per call, the call's time and the shortest window: the least of the cases' medians."""
    windows = {
        case: [w for pair in pairs for block in pair.blocks if block.case == case for w in block.windows]
        for case in pairs[0].call_overhead_ns
    }
    wall_us = {case: statistics.median(w.wall_ns / 1e3 for w in found) for case, found in windows.items()}
    call_us = {case: wall_us[case] / windows[case][0].calls for case in windows}
    runner = {case: ns / 1e3 for case, ns in pairs[0].call_overhead_ns.items()}
    yield f"{min(runner.values()):.1f} to {max(runner.values()):.1f}"
    yield f"{min(call_us.values()):.0f} to {max(call_us.values()):.0f}"
    yield f"{100 * max(runner[case] / call_us[case] for case in windows):.0f} %"
    yield f"{min(wall_us.values()) / 1e3:.1f}"


def memory_mb() -> dict[str, float]:
    """What the system says of this process's memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {
        key: int(value.split()[0]) / 1024 for key, value in (line.split(":", 1) for line in lines if "kB" in line)
    }


def main() -> None:
    names = sorted(path.name for path in (ROOT / "targets").iterdir() if not path.name.startswith("_"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="which (default: all)")
    chosen = parser.parse_args().targets or names
    heads = ["target", "look, s", *STEPS, "rest", "blocks, s", *PARTS, "other"]
    heads += ["runner, us per call", "call, us", "runner's most", "shortest window, ms", "MB before", "MB at most"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    for name in chosen:
        print(look(name), flush=True)


if __name__ == "__main__":
    main()
