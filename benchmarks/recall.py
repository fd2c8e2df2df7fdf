"""The recall of a lossy target on every case, beside its floor, and how many calls show that none was lost.

    python benchmarks/recall.py                 pq-l2-lossy, 60 calls of each case over published states
    python benchmarks/recall.py NAME --calls N

The calls are published too, so that the figures are the same everywhere but for rounding.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from pytest_lance_autoresearch.bench.oracles import Oracle
from pytest_lance_autoresearch.kernel_side import modules
from pytest_lance_autoresearch.records import Case, Rules
from pytest_lance_autoresearch.target_files import contract, discover, generate, load, seeds
from pytest_lance_autoresearch.verdict import stats

TARGETS = Path(__file__).resolve().parent.parent / "targets"


def recalls(target: load.Target, case: Case, calls: int) -> list[float]:
    """Of the kernel's answers to so many published calls."""
    state = generate.make_state(target, case, seeds.PUBLISHED_SEED)
    oracle = Oracle(target, state)
    answer = target.wiring.bind(modules.execute_kernel(target.name, target.kernel), state)
    drawn = generate.Feed(target, case, state, seeds.PUBLISHED_SEED, "check").draw(calls)
    found = [oracle.verify(answer(*call), call, case.id) for call in drawn]
    return [share for share in found if share is not None]


def fewest_calls(margin: float) -> int:
    """How many calls without any change of recall rule out, as a trial does, that more than the margin is lost."""
    alpha, calls = 1 - Rules().confidence, 1
    while 2 * stats.mean_bounds({0.5: calls}, alpha, alpha).low - 1 < -margin:
        calls += 1
    return calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", default="pq-l2-lossy")
    parser.add_argument("--calls", type=int, default=60)
    options = parser.parse_args()
    target = load.load(discover.inspect(TARGETS / options.target))
    if target.lossy is None:
        parser.error(f"target '{target.name}' is exact: its target.py has no LOSSY")
    print("| case | recall | least of a call | floor |\n|---|---|---|---|")
    for case in contract.cases_of(target):
        found = recalls(target, case, options.calls)
        floor = contract.recall_floor(target, case)
        print(f"| {case.id} | {statistics.fmean(found):.3f} | {min(found):.1f} | {floor:g} |", flush=True)
    print(
        f"{fewest_calls(target.lossy.margin)} calls without any change show that no more than the margin is lost"
    )


if __name__ == "__main__":
    main()
