"""The committed kernels beside others that do the same job, libraries mostly, on the same inputs, in one run.

    python benchmarks/peers.py               every target
    python benchmarks/peers.py pq-l2 take    some

A peer is a module in benchmarks/peer_kernels/<target>/ with the public names of the target's kernels.py; its
docstring says what it does otherwise. Where another kernel has taken the place of the port of Lance, the port is
a peer too: benchmarks/ports/<target>/kernels.py. A peer takes the baseline's place in the paired measurement of a
verdict: its own process, fresh inputs, interleaved windows, one thread, the runner's cost and the time spent
waiting for a core taken off. Its answers are checked as a kernel's are; a case that it answers differently (ties,
NaN) is left out. Beside one that is more than six times as slow, windows are shorter than in a trial: the kernel's
first calls, which are slower, count for more, so that such a ratio is told a little too small.

Needs the extra 'benchmarks'.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_lance_autoresearch.bench import measure, process
from pytest_lance_autoresearch.bench.comparison import Comparison
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.errors import AutoresearchError
from pytest_lance_autoresearch.machine import turns
from pytest_lance_autoresearch.records import Case, Interval, Rules, Source
from pytest_lance_autoresearch.target_files import contract, discover, generate, load, seeds, sources
from pytest_lance_autoresearch.target_files.load import Target
from pytest_lance_autoresearch.verdict import aggregate, judge, stats

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).resolve().parent / "peer_kernels"
PORTS = PEERS.with_name("ports")
ALPHA = 0.05
TIMEOUT_S = 60.0
SHORTEST = 0.05
"""As `measure.SHORTEST`: a peer may be hundreds of times as slow."""


@dataclass
class Found:
    """What is known of one peer."""

    pairs: Sequence[Mapping[str, Sequence[float]]] = ()
    """ln(peer's time / kernel's time) of each block, by case, of each pair of processes."""
    refused: dict[str, str] = field(default_factory=dict)
    """Cases that it answers differently, with the sentence that says so."""

    def overall(self) -> Interval:
        """The peer's time over the kernel's, the geomean over cases."""
        return stats.overall(self.pairs).interval(ALPHA).ratio()

    def by_case(self) -> dict[str, float]:
        blocks = {case: [ratio for pair in self.pairs for ratio in pair[case]] for case in self.pairs[0]}
        return {case: math.exp(statistics.median(ratios)) for case, ratios in blocks.items()}


def peers_of(target: str) -> dict[str, Path]:
    """The peers of a target's kernel by their names; first the port of Lance, where it is no longer the kernel."""
    port = PORTS / target / "kernels.py"
    ports = {"lance_port": port} if port.exists() else {}
    return ports | {path.stem: path for path in sorted(PEERS.glob(f"{target}/*.py"))}


def compare(target: Target, peer: Source) -> Found:
    """The kernel beside one peer, in one look at all timed cases but those that are refused."""
    found = Found()
    timed = [case for case in contract.cases_of(target) if case.timed]
    while timed:
        try:
            found.pairs = _look(target, peer, timed)
            break
        except AutoresearchError as failure:
            refused = [case for case in timed if case.id == failure.case] or timed
            found.refused |= dict.fromkeys((case.id for case in refused), failure.headline)
            timed = [case for case in timed if case not in refused]
    return found


def _look(target: Target, peer: Source, timed: Sequence[Case]) -> list[dict[str, list[float]]]:
    """The log-ratios of the pairs of one look."""
    processes = Processes(target, TIMEOUT_S, in_process=False)
    rules = judge.at_any_price(Rules())
    comparison = Comparison(target, peer, timed, rules, processes, lambda *_: None)
    try:
        comparison.measure_all(
            lambda case: generate.make_state(target, case, seeds.PUBLISHED_SEED), seeds.secret_seed()
        )
        return list(map(aggregate.log_ratios, comparison.pairs()))
    finally:
        processes.clear()


def row(target: str, peer: str, found: Found) -> str:
    """One line of the table."""
    if not found.pairs:
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
    measure.SHORTEST = SHORTEST
    print(
        "| target | peer | peer / kernel, 95 % | least (case) | most (case) | cases |\n|---|---|---|---|---|---|"
    )
    for name in chosen:
        target = load.load(discover.inspect(ROOT / "targets" / name))
        for peer, path in peers_of(name).items():
            with turns.take(None):
                found = compare(target, sources.make(path.read_bytes(), path))
            print(row(name, peer, found), flush=True)
            for case, sentence in found.refused.items():
                print(f"<!-- {peer}, {case}: {sentence} -->", flush=True)


if __name__ == "__main__":
    main()
