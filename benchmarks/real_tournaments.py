"""Whole tournaments of copies of one kernel, with or without a true winner: who is kept, and how long they take.

    python benchmarks/real_tournaments.py pq-l2                       200 tournaments of 16 identical kernels
    python benchmarks/real_tournaments.py pq-l2 --tournaments 5 --gain 0.03

The copies differ in a constant that nothing uses, so that none is taken for another. With a gain, the calls of all
kernels but the first candidate's are prolonged, the baseline's too. Each tournament has a log of its own, whose
baseline is recorded first, and which is verified afterwards. Prints a line for each (the winner, seconds without
waiting for turns, seconds waited, faults that the verification found), then how often which candidate was kept,
and the seconds beside those of single trials of the first candidate.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

from pytest_lance_autoresearch.bench.process import KernelProcess
from pytest_lance_autoresearch.interface import Target, Tournament, judge, load, tournament
from pytest_lance_autoresearch.log import archive, history, results

ROOT = Path(__file__).resolve().parent.parent
SINGLES = 5
"""Single trials that a tournament's seconds are compared with."""


def copies(target: Target, count: int) -> list[bytes]:
    """The target's kernel, with a constant that nothing uses."""
    return [target.kernel.text + f"\nCOPY = {number}\n".encode() for number in range(1, count + 1)]


@contextmanager
def slower(by: float, but: bytes) -> Iterator[None]:
    """Every kernel's calls are prolonged by that fraction, but for one's."""
    bind = KernelProcess.bind

    def bound(process: KernelProcess, key: str, state: bytes, _handicap: Any = None) -> int:
        return bind(process, key, state, 0.0 if process.source.text == but else by)

    with mock.patch.object(KernelProcess, "bind", bound):
        yield


def held(target: Target, candidates: list[bytes], log: Path) -> Tournament:
    """A tournament in a log of its own."""
    judge(target, log=log)
    return tournament(target, candidates, log=log)


def faults(log: Path) -> int:
    rows = results.read(log)
    return sum(len(one.faults) for one in history.check(rows, archive.root_of(log)))


def run(target: Target, candidates: list[bytes], gain: float, tournaments: int) -> list[Tournament]:
    found = []
    for _ in range(tournaments):
        with TemporaryDirectory() as folder, slower(gain, but=candidates[0]):
            log = Path(folder) / "results.tsv"
            found.append(held(target, candidates, log))
            one = found[-1]
            print(f"{one.winner}\t{one.seconds:.1f}\t{one.waited_s:.1f}\t{faults(log)}", flush=True)
    return found


def single_s(target: Target, candidate: bytes, gain: float) -> float:
    """Seconds of a single trial of the first candidate, the median of some."""
    with slower(gain, but=candidate):
        return statistics.median(
            judge(target, candidate, baseline=target.kernel.text).seconds for _ in range(SINGLES)
        )


def summary(found: list[Tournament], alone_s: float) -> str:
    winners = ", ".join(f"{winner} {count}" for winner, count in Counter(one.winner for one in found).items())
    seconds = statistics.median(one.seconds for one in found)
    return (
        f"{len(found)} tournaments: {winners}; {seconds:.1f} s, "
        f"{seconds / alone_s:.1f} single trials of {alone_s:.1f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", help="its name")
    parser.add_argument("--tournaments", type=int, default=200, help="how many (200)")
    parser.add_argument("--candidates", type=int, default=16, help="in each (16)")
    parser.add_argument("--gain", type=float, default=0.0, help="by how much the first candidate is faster (0)")
    chosen = parser.parse_args()
    target = load(ROOT / "targets" / chosen.target)
    candidates = copies(target, chosen.candidates)
    found = run(target, candidates, chosen.gain, chosen.tournaments)
    print(summary(found, single_s(target, candidates[0], chosen.gain)))


if __name__ == "__main__":
    main()
