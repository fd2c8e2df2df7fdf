"""The committed kernels beside libraries that do the same job, on the same inputs, in one run.

    python benchmarks/peers.py               every target
    python benchmarks/peers.py pq-l2 take    some

A peer is a module in benchmarks/peer_kernels/<target>/ with the public names of the target's kernels.py; its
docstring says what it does otherwise. It takes the baseline's place in the paired measurement of a verdict: its
own process, fresh inputs, interleaved windows, one thread, the runner's cost and the time spent waiting for a core
taken off. Its answers are checked as a kernel's are; a case that it answers differently (ties, NaN) is left out.

Needs the extra 'benchmarks'.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_lance_autoresearch.bench import process
from pytest_lance_autoresearch.bench.comparison import Comparison
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.errors import AutoresearchError
from pytest_lance_autoresearch.machine import turns
from pytest_lance_autoresearch.records import Case, Interval, Rules, Source
from pytest_lance_autoresearch.target_files import contract, discover, generate, load, seeds, sources
from pytest_lance_autoresearch.target_files.load import Target
from pytest_lance_autoresearch.verdict import aggregate, stats

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).resolve().parent / "peer_kernels"
ALPHA = 0.05
TIMEOUT_S = 60.0
BLOCKS = 8
"""Of each case: a ratio of two programs needs no more."""


@dataclass
class Found:
    """What is known of one peer."""

    ratios: dict[str, list[float]] = field(default_factory=dict)
    """ln(peer's time / kernel's time) of each block, by case."""
    refused: dict[str, str] = field(default_factory=dict)
    """Cases that it answers differently, with the sentence that says so."""

    def overall(self) -> Interval:
        """The peer's time over the kernel's, the geomean over cases."""
        found = stats.overall([self.ratios], Rules().process_sd).interval(ALPHA)
        return Interval(*map(math.exp, (found.low, found.point, found.high)))

    def by_case(self) -> dict[str, float]:
        return {case: math.exp(stats.median_interval(found, ALPHA).point) for case, found in self.ratios.items()}


def compare(target: Target, peer: Source) -> Found:
    """The kernel beside one peer, over all timed cases; a case that is refused ends its pair of processes."""
    found = Found()
    timed = [case for case in contract.cases_of(target) if case.timed]
    while timed:
        done, refused = _one_pair(target, peer, timed, found)
        timed = timed[done:]
        if refused:
            found.refused[timed.pop(0).id] = refused
    return found


def _one_pair(target: Target, peer: Source, timed: Sequence[Case], found: Found) -> tuple[int, str]:
    """Measure cases in one pair of processes; returns how many, and why it ended before the last."""
    processes = Processes(target, TIMEOUT_S, in_process=False)
    comparison = Comparison(target, peer, Rules(blocks=BLOCKS), processes, lambda *_: None)
    done = 0
    try:
        for case in timed:
            state = generate.make_state(target, case, seeds.PUBLISHED_SEED)
            comparison.measure_case(case, state, seeds.secret_seed())
            found.ratios[case.id] = aggregate.log_ratios(comparison.pairs()[0])[case.id]
            done += 1
    except AutoresearchError as failure:
        return done, str(failure).splitlines()[0]
    finally:
        processes.clear()
    return done, ""


def row(target: str, peer: str, found: Found) -> str:
    """One line of the table."""
    if not found.ratios:
        return f"| {target} | {peer} | none | | | 0 of {len(found.refused)} |"
    overall, by_case = found.overall(), found.by_case()
    least, most = min(by_case, key=lambda case: by_case[case]), max(by_case, key=lambda case: by_case[case])
    number = len(by_case)
    return (
        f"| {target} | {peer} | {overall.point:.2f} [{overall.low:.2f}, {overall.high:.2f}] "
        f"| {by_case[least]:.2f} ({least}) | {by_case[most]:.2f} ({most}) "
        f"| {number} of {number + len(found.refused)} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = sorted(folder.name for folder in PEERS.iterdir())
    parser.add_argument("targets", nargs="*", choices=[[], *known], metavar="target", help=", ".join(known))
    chosen = parser.parse_args().targets or known
    # Libraries lock in nothing and start threads of their own; that no more than one works is still watched.
    process.CONFINED = False
    process.KernelProcess._refuse_threads = lambda *_: None  # type: ignore[method-assign]
    print(
        "| target | peer | peer / kernel, 95 % | least (case) | most (case) | cases |\n|---|---|---|---|---|---|"
    )
    for name in chosen:
        target = load.load(discover.inspect(ROOT / "targets" / name))
        for path in sorted((PEERS / name).glob("*.py")):
            with turns.take(None):
                found = compare(target, sources.make(path.read_bytes(), path))
            print(row(name, path.stem, found), flush=True)
            for case, sentence in found.refused.items():
                print(f"<!-- {path.stem}, {case}: {sentence} -->", flush=True)


if __name__ == "__main__":
    main()
