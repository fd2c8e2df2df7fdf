"""How often the verdict keeps a kernel that is no better: pq-l2's kernel against itself, many times.

Each trial is a whole comparison (fresh processes, fresh inputs, looks until a verdict) of the kernel with itself.
One line of JSON per trial goes to a file, so that an interrupted run goes on where it stopped.

    python benchmarks/false_keeps.py --trials 30 quiet.jsonl
    python benchmarks/false_keeps.py --trials 30 --load loaded.jsonl     a second process burns CPU meanwhile
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_lance_autoresearch import aggregate, cases, check, discover, environment, load, seeds, stats
from pytest_lance_autoresearch.comparison import Comparison
from pytest_lance_autoresearch.records import Case, Rules
from pytest_lance_autoresearch.workbench import Workbench

TARGET = Path(__file__).resolve().parent.parent / "targets" / "pq-l2"
RULES = Rules()
BURN = "while True: sum(range(1_000_000))"


def one_trial(target: load.Target, timed: list[Case], states: dict[str, Any]) -> dict[str, Any]:
    """The outcome of one comparison of the kernel with itself."""
    workbench = Workbench(target, 60.0, in_process=False)
    itself = load.make_source(target.kernel.text, target.kernel.path)
    comparison = Comparison(target, itself, RULES, workbench.start, lambda *_: None)
    start = time.monotonic()
    try:
        for case in timed:
            comparison.measure_case(case, states[case.id], seeds.secret_seed())
        first = first_look(comparison)
        judgement = comparison.decide(timed, lambda: time.monotonic() - start, None)
    finally:
        workbench.clear()
    assert judgement.speedup is not None
    return {
        "verdict": judgement.kind.value,
        "cause": judgement.cause.value,
        "looks": comparison.looks,
        "pairs": len(comparison.pairs()),
        "speedup": judgement.speedup.point,
        "seconds": time.monotonic() - start,
        **first,
    }


def first_look(comparison: Comparison) -> dict[str, Any]:
    """After the first blocks: the overall interval at 95 %, and the cases' at the confidence that they get."""
    ratios = aggregate.log_ratios(comparison.pairs(), comparison.overhead_ns())
    overall = stats.overall(ratios, 0.05)
    alpha = (1 - RULES.confidence) / RULES.max_looks / len(ratios)
    of_cases = [stats.median_interval(values, alpha) for values in ratios.values()]
    return {
        "first_log_ratio": overall.point,
        "covers_at_95": overall.low <= 0 <= overall.high,
        "cases_that_cover": sum(interval.low <= 0 <= interval.high for interval in of_cases),
        "cases": len(of_cases),
    }


@contextmanager
def load_on_the_machine(wanted: bool) -> Iterator[None]:
    burning = subprocess.Popen([sys.executable, "-c", BURN]) if wanted else None
    try:
        yield
    finally:
        if burning is not None:
            burning.kill()
            burning.wait()


def show(trials: list[dict[str, Any]]) -> None:
    """The table of what the trials came to."""
    verdicts = Counter(trial["verdict"] for trial in trials)
    covered = sum(trial["covers_at_95"] for trial in trials)
    spread = statistics.pstdev([trial["first_log_ratio"] for trial in trials]) * 100
    seconds = statistics.median(trial["seconds"] for trial in trials)
    cases_covered = sum(trial["cases_that_cover"] for trial in trials)
    cells = (
        len(trials),
        verdicts["keep"],
        verdicts["discard"],
        verdicts["inconclusive"],
        f"{covered} of {len(trials)}",
        f"{cases_covered} of {sum(trial['cases'] for trial in trials)}",
        f"{spread:.2f} %",
        f"{seconds:.1f} s",
    )
    print(
        "| trials | keep | discard | inconclusive | 95 % interval covers | case intervals cover | s.d. | seconds |"
    )
    print("|---|---|---|---|---|---|---|---|")
    print("| " + " | ".join(map(str, cells)) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="one line per trial; an existing file is continued")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--load", action="store_true", help="burn CPU in a second process meanwhile")
    chosen = parser.parse_args()
    target = load.load(discover.inspect(TARGET))
    timed = [case for case in cases.cases(target) if case.timed]
    states = {case.id: check.make_state(target, case, seeds.PUBLISHED_SEED) for case in timed}
    done = chosen.file.read_text().splitlines() if chosen.file.exists() else []
    with load_on_the_machine(chosen.load), environment.timing_lock(lambda: None), chosen.file.open("a") as file:
        for _ in range(len(done), chosen.trials):
            done.append(json.dumps(one_trial(target, timed, states)))
            file.write(done[-1] + "\n")
            file.flush()
    show([json.loads(line) for line in done])


if __name__ == "__main__":
    main()
