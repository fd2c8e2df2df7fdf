"""Whether a kernel that is measured beside itself comes out equal, and by how much pairs of processes differ.

    python benchmarks/bias.py                      every target, 20 pairs of processes each: five looks of four
    python benchmarks/bias.py bitpack --looks 3    some targets
    python benchmarks/bias.py pq-l2 --second       in second looks, over secret states, where calls are also
                                                   started one by one

Prints for each target the mean of the overall change of time, its standard error and the standard deviation
between pairs, in percent; by how much single cases differ between pairs, the median of them and the most; and the
cases whose own mean is farthest from zero in standard errors.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import fresh_look

from pytest_lance_autoresearch.machine import turns
from pytest_lance_autoresearch.records import Pair
from pytest_lance_autoresearch.target_files import contract, discover, generate, load
from pytest_lance_autoresearch.verdict import aggregate, stats

ROOT = Path(__file__).resolve().parent.parent


def measured(target: load.Target, looks: int, *, second: bool) -> list[Pair]:
    """The pairs of looks at the target's kernel against itself, each look with states and calls of its own."""
    timed = [case for case in contract.cases_of(target) if case.timed]
    found: list[Pair] = []
    for number in range(looks):
        states = {} if second else {case: generate.make_state(target, case, number) for case in timed}
        with turns.take(None):
            found += fresh_look.measured(target, states) if states else fresh_look.measured_secretly(target, timed)
    return found


def row(name: str, pairs: Sequence[Pair]) -> str:
    """One line of the table."""
    ratios = list(map(aggregate.log_ratios, pairs))
    points = [-100 * stats.pair_point(one) for one in ratios]
    mean, sd = statistics.fmean(points), statistics.stdev(points)
    cases = {case: [-100 * statistics.median(one[case]) for one in ratios] for case in ratios[0]}
    case_sds = list(map(statistics.stdev, cases.values()))
    farthest = sorted(cases, key=lambda case: -abs(_in_errors(cases[case])))[:3]
    named = ", ".join(
        f"{case} {statistics.fmean(cases[case]):+.2f} ({_in_errors(cases[case]):+.1f})" for case in farthest
    )
    cells = (
        str(len(pairs)),
        f"{mean:+.2f}",
        f"{sd / math.sqrt(len(points)):.2f}",
        f"{_in_errors(points):+.1f}",
        f"{sd:.2f}",
        f"{statistics.median(case_sds):.2f}, {max(case_sds):.2f}",
        named,
    )
    return f"| {name} | {' | '.join(cells)} |"


def _in_errors(values: Sequence[float]) -> float:
    return statistics.fmean(values) / (statistics.stdev(values) / math.sqrt(len(values)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="names of targets (default: all)")
    parser.add_argument("--looks", type=int, default=5, help="looks at each target, of four pairs each (5)")
    parser.add_argument("--second", action="store_true", help="second looks instead of first ones")
    chosen = parser.parse_args()
    layouts = [one for one in discover.discover(ROOT) if discover.is_judged_by_default(one)]
    print(
        "| target | pairs | mean, % | s.e. | in s.e. | s.d. of pairs | of a case: median, most "
        "| cases farthest from 0: mean, % (in s.e.) |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for layout in layouts:
        if not chosen.targets or layout.name in chosen.targets:
            print(row(layout.name, measured(load.load(layout), chosen.looks, second=chosen.second)), flush=True)


if __name__ == "__main__":
    main()
