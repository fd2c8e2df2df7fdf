"""Whether a kernel that is measured beside itself comes out equal, and by how much pairs of processes differ.

    python benchmarks/bias.py                       every target, 20 pairs of processes each
    python benchmarks/bias.py bitpack --pairs 11    some targets

Prints for each target the mean of the overall change of time, its standard error and the standard deviation
between pairs, in percent, and the cases whose own mean is farthest from zero in standard errors.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import fresh_pair

from pytest_lance_autoresearch.machine import turns
from pytest_lance_autoresearch.records import Pair
from pytest_lance_autoresearch.target_files import contract, discover, generate, load
from pytest_lance_autoresearch.verdict import aggregate, stats

ROOT = Path(__file__).resolve().parent.parent


def measured(target: load.Target, count: int) -> list[Pair]:
    """Pairs of processes of the target's kernel against itself, each with states and calls of its own."""
    timed = [case for case in contract.cases_of(target) if case.timed]
    found = []
    for number in range(count):
        states = {case: generate.make_state(target, case, number) for case in timed}
        with turns.take(None):
            found.append(fresh_pair.measured(target, states))
    return found


def row(name: str, pairs: Sequence[Pair]) -> str:
    """One line of the table."""
    points = [-100 * stats.overall([aggregate.log_ratios(pair)]).point for pair in pairs]
    mean, sd = statistics.fmean(points), statistics.stdev(points)
    error = sd / math.sqrt(len(points))
    cases = {
        case: [-100 * statistics.median(aggregate.log_ratios(pair)[case]) for pair in pairs]
        for case in pairs[0].call_overhead_ns
    }
    farthest = sorted(cases, key=lambda case: -abs(_in_errors(cases[case])))[:3]
    named = ", ".join(
        f"{case} {statistics.fmean(cases[case]):+.2f} ({_in_errors(cases[case]):+.1f})" for case in farthest
    )
    return f"| {name} | {len(pairs)} | {mean:+.2f} | {error:.2f} | {mean / error:+.1f} | {sd:.2f} | {named} |"


def _in_errors(values: Sequence[float]) -> float:
    return statistics.fmean(values) / (statistics.stdev(values) / math.sqrt(len(values)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="names of targets (default: all)")
    parser.add_argument("--pairs", type=int, default=20, help="pairs of processes of each target (20)")
    chosen = parser.parse_args()
    layouts = [one for one in discover.discover(ROOT) if discover.is_judged_by_default(one)]
    print(
        "| target | pairs | mean, % | s.e. | in s.e. | s.d. of pairs | cases farthest from 0: mean, % (in s.e.) |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    for layout in layouts:
        if not chosen.targets or layout.name in chosen.targets:
            print(row(layout.name, measured(load.load(layout), chosen.pairs)), flush=True)


if __name__ == "__main__":
    main()
