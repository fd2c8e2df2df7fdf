"""How much of an injected slow-down arrives: calls in this process, without any harness around them.

    python benchmarks/injected.py

Wall time per call of a prolonged kernel over that of one that is prolonged by nothing; medians of rounds. Each
round binds anew and runs the fractions in a drawn order, so that neither buffers nor caches decide.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytest_lance_autoresearch.kernel_side import modules
from pytest_lance_autoresearch.kernel_side.handicap import handicapped
from pytest_lance_autoresearch.target_files import contract, discover, generate, load, seeds

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (ROOT / "targets" / "pq-l2", ROOT / "benchmarks" / "targets" / "scores")
FRACTIONS = (0.0, 0.01, 0.02, 0.05, 0.2)
CALLS = 200
ROUNDS = 150


def nanoseconds(function: Callable[..., Any], calls: Sequence[Any]) -> float:
    """Per call, over one window."""
    start = time.perf_counter_ns()
    for call in calls:
        function(*call)
    return (time.perf_counter_ns() - start) / len(calls)


def main() -> None:
    print("| case | us per call | injected | arrived | missing per call |\n|---|---|---|---|---|")
    for folder in FOLDERS:
        target = load.load(discover.inspect(folder))
        kernel = modules.execute_source("kernels", target.kernel.text, str(target.kernel.path))
        case = next(case for case in contract.cases_of(target) if case.timed)
        state = generate.make_state(target, case, seeds.PUBLISHED_SEED)
        calls = generate.Feed(target, case, state, seeds.PUBLISHED_SEED, "timed").draw(CALLS)
        times: dict[float, list[float]] = {fraction: [] for fraction in FRACTIONS}
        for _ in range(ROUNDS):
            for fraction in random.sample(FRACTIONS, len(FRACTIONS)):
                function = target.wiring.bind(handicapped(kernel, fraction), state)
                function(*calls[0])
                times[fraction].append(nanoseconds(function, calls))
        plain, *prolonged = map(statistics.median, times.values())
        for fraction, ns in zip(FRACTIONS[1:], prolonged, strict=True):
            arrived = ns / plain - 1
            missing = fraction * plain - (ns - plain)
            cells = (f"{plain / 1000:.1f}", f"{100 * fraction:g} %", f"{100 * arrived:.2f} %", f"{missing:.0f} ns")
            print(f"| {target.name}, {case.id} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
