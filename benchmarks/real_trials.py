"""Whole trials of a kernel against itself, with or without a known difference: verdicts, and how long they take.

    python benchmarks/real_trials.py pq-l2 --trials 20                    equal kernels
    python benchmarks/real_trials.py take --gain 0.1 --busy 2             a gain of 10 %, beside two busy processes
    python benchmarks/real_trials.py bitpack --gates 4                    four trials at a time, which take turns
    python benchmarks/real_trials.py pq-l2 --gain -0.05 --regression      a slow-down, in the regression gate

A trial is what a gate does once the correctness items have passed: it compiles both kernels, refuses what costs
too much, and looks until there is a verdict. A gain is made by prolonging the baseline's calls, a loss by
prolonging the candidate's, since both are the target's kernel. Prints a line for each trial (verdict, speed-up,
looks, seconds without waiting for its turn, seconds waited), and a summary.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import busy

from pytest_lance_autoresearch.bench.comparison import Comparison
from pytest_lance_autoresearch.bench.measure import NO_HANDICAP, Handicap
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.machine import environment, turns
from pytest_lance_autoresearch.records import ANSWER_TIMEOUT_S, RegressionRules, Rules
from pytest_lance_autoresearch.runs.stopwatch import Stopwatch
from pytest_lance_autoresearch.target_files import contract, discover, generate, load, seeds
from pytest_lance_autoresearch.target_files.load import Target

ROOT = Path(__file__).resolve().parent.parent


class Ended(NamedTuple):
    """What one trial came to."""

    verdict: str
    speedup: float | None
    looks: int
    seconds: float
    waited_s: float

    def __str__(self) -> str:
        speedup = "" if self.speedup is None else f"{self.speedup:.4f}"
        return f"{self.verdict}\t{speedup}\t{self.looks}\t{self.seconds:.1f}\t{self.waited_s:.1f}"


def trial(target: Target, rules: Rules, handicap: Handicap) -> Ended:
    """One trial of the kernel against itself."""
    watch = Stopwatch()
    processes = Processes(target, ANSWER_TIMEOUT_S, in_process=False)
    timed = [case for case in contract.cases_of(target) if case.timed]
    rules = contract.rules_of(target, rules)
    comparison = Comparison(
        target,
        replace(target.kernel),
        timed,
        rules,
        processes,
        lambda *_: None,
        lambda seconds: _turn(watch, seconds),
        lambda _: handicap,
    )
    try:
        with watch.running(), environment.one_thread():
            comparison.measure_all(
                lambda case: generate.make_state(target, case, seeds.PUBLISHED_SEED), seeds.secret_seed()
            )
            judgement = comparison.decide(watch.seconds, seeds.secret_seed())
        speedup = judgement.speedup.point if judgement.speedup else None
        return Ended(judgement.verdict, speedup, comparison.evidence().looks, watch.seconds(), watch.waited_s)
    finally:
        processes.clear()


@contextmanager
def _turn(watch: Stopwatch, seconds: float) -> Iterator[None]:
    with watch.waiting():
        turn = turns.take(seconds)
    with turn:
        yield


def summary(found: list[Ended]) -> str:
    """How often which verdict, and the middle and nearly the longest time."""
    counts = ", ".join(f"{verdict} {count}" for verdict, count in Counter(one.verdict for one in found).items())
    seconds = sorted(one.seconds for one in found)
    late = seconds[math.ceil(0.95 * len(seconds)) - 1]
    logs = [math.log(one.speedup) for one in found if one.speedup]
    spread = f", speed-up {math.exp(statistics.fmean(logs)):.4f}" if logs else ""
    return f"{len(found)} trials: {counts}; {statistics.median(seconds):.1f} s, 95 % within {late:.1f} s{spread}"


def several(gates: int, arguments: list[str]) -> int:
    """The same in so many processes at once."""
    command = [sys.executable, __file__, *arguments, "--gates", "1"]
    running = [subprocess.Popen(command) for _ in range(gates)]
    return max(process.wait() for process in running)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", help="its name")
    parser.add_argument("--trials", type=int, default=5, help="how many (5)")
    parser.add_argument("--gain", type=float, default=0.0, help="by how much the candidate is faster (0)")
    parser.add_argument("--busy", type=int, default=0, help="other processes that want a core (0)")
    parser.add_argument("--gates", type=int, default=1, help="so many of this at once (1)")
    parser.add_argument("--regression", action="store_true", help="as the regression gate asks")
    chosen = parser.parse_args()
    if chosen.gates > 1:
        sys.exit(several(chosen.gates, sys.argv[1:]))
    target = load.load(discover.inspect(ROOT / "targets" / chosen.target))
    rules: Rules = RegressionRules() if chosen.regression else Rules()
    handicap = NO_HANDICAP
    if chosen.gain:
        handicap = Handicap(baseline=max(0.0, chosen.gain), candidate=max(0.0, -chosen.gain))
    found = []
    with busy.beside(chosen.busy):
        for _ in range(chosen.trials):
            found.append(trial(target, rules, handicap))
            print(found[-1], flush=True)
    print(summary(found))


if __name__ == "__main__":
    main()
