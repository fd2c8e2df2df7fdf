"""How the verdict over several hosts does, from drawn numbers: nothing is measured.

    python benchmarks/hosts.py                  the table
    python benchmarks/hosts.py --trials 100     quicker and less exact

A gain is the mean over all hosts that there are; those of a trial are drawn from them, and differ by a known
standard deviation. On each of them, pairs of processes and blocks differ as on a usual host of `simulate`. Seconds
are those of the host that takes longest: hosts work side by side.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import simulate
from simulate import CASES, LOOK_S, Drawn, Ended, Host

from pytest_lance_autoresearch.records import Cause, Evidence, Extent, OnHost, Rules, Verdict
from pytest_lance_autoresearch.verdict import judge

COUNTS = (1, 2, 3, 5, 8)
BETWEEN = (0.0, 0.005, 0.02)
GAINS = (0.0, 0.02, 0.05)
USUAL = Host(0.0075, False, dict.fromkeys(CASES, simulate.BLOCK_SDS[1]))


def trial(random: np.random.Generator, count: int, gain: float, between: float, rules: Rules) -> Ended:
    """Looks on that many hosts until there is a verdict."""
    truths = [math.log1p(gain) + between * random.normal() for _ in range(count)]
    pairs: list[list[Drawn]] = [[] for _ in truths]
    extents = [Extent(rules.pairs, dict.fromkeys(CASES, rules.blocks))] * count
    for looks in range(1, rules.max_looks + 1):
        for own, truth, extent in zip(pairs, truths, extents, strict=True):
            everywhere = dict.fromkeys(CASES, truth)
            own += [USUAL.pair(random, everywhere, extent.blocks) for _ in range(extent.pairs)]
        longest_s = max(math.fsum(pair.seconds or 0.0 for pair in own) for own in pairs)
        evidence = Evidence(
            1,
            1,
            tuple(pair for own in pairs for pair in own),
            looks=looks,
            seconds=LOOK_S * looks + longest_s,
            hosts=tuple(OnHost(f"host {number}", len(own)) for number, own in enumerate(pairs)),
        )
        judgement = judge.look(evidence, rules)
        if judgement.verdict is not Verdict.UNDECIDED:
            break
        extents = judge.next_looks(judgement, rules)
    return Ended(judgement, evidence).without_pairs()


def cell(trials: Sequence[Ended]) -> str:
    """Per cent that were kept, that were discarded, and where hosts differ by too much; and the median seconds."""
    verdicts = Counter(one.judgement.verdict for one in trials)
    differ = sum(one.judgement.cause is Cause.HOSTS_DIFFER for one in trials)
    counts = (verdicts[Verdict.KEEP], verdicts[Verdict.DISCARD], differ)
    shares = " / ".join(f"{100 * count / len(trials):.3g}" for count in counts)
    return f"{shares}, {statistics.median(one.evidence.seconds for one in trials):.0f} s"


def table(count: int) -> Iterator[str]:
    yield f"| hosts | they differ by | {' | '.join(f'{100 * gain:g} %' for gain in GAINS)} |"
    yield "|---" * (2 + len(GAINS)) + "|"
    for hosts in COUNTS:
        for between in BETWEEN if hosts > 1 else BETWEEN[:1]:
            random = np.random.default_rng([hosts, round(1000 * between)])
            with simulate.drawn_pairs():
                cells = [
                    cell([trial(random, hosts, gain, between, Rules()) for _ in range(count)]) for gain in GAINS
                ]
            yield f"| {hosts} | {100 * between:g} % | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000, help="of each kind (1000)")
    for line in table(parser.parse_args().trials):
        print(line, flush=True)


if __name__ == "__main__":
    main()
