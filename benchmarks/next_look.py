"""What the next look should measure: the least that must be, and what becomes of trials if it is something else.

    python benchmarks/next_look.py                  five minutes
    python benchmarks/next_look.py --trials 50      quicker and less exact

The first table is computed: how many pairs of processes, and blocks of every case, an equal kernel needs to pass
the regression gate in all but a few trials, on the hosts of `simulate`. The second is drawn: whole trials in both
gates, over all these hosts, if a look that is taken while the whole is open (the overall speed-up) measured that.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

from simulate import (
    BLOCK_S,
    BLOCK_SDS,
    CASES,
    LOOK_S,
    NOT_SLOWER,
    SOON_S,
    SPREADS,
    START_S,
    Allot,
    Ended,
    everywhere,
    hosts,
    judged,
    kept_percent,
    mean_s,
    slower,
    soon,
)

from pytest_lance_autoresearch.records import Extent, Judgement, Rules
from pytest_lance_autoresearch.verdict import judge, stats, view

SHARE = 0.98
"""Of equal kernels that should pass within `SOON_S`."""
LOOK = 3
"""The look by which they should: the third ends in time where two take more pairs."""


def least_pairs(sd: float) -> int:
    """The fewest pairs that show an equal kernel not to be slower by the limit, if they differ so much.

    n >= ((t + z) sd / ln(1 + limit))^2, t being what a pass asks for, and z what all but so few means stay within.
    """
    limit, z = math.log1p(NOT_SLOWER.slowdown_limit), statistics.NormalDist().inv_cdf(SHARE)

    def reach(pairs: int) -> float:
        return (stats.student_quantile(1 - may_be_wrong(), pairs - 1) + z) * sd

    return next(n for n in itertools.count(2 * NOT_SLOWER.pairs) if math.sqrt(n) * limit >= reach(n))


def least_blocks(sd: float) -> int:
    """The fewest blocks that show every case of an equal kernel to be within its limit, if blocks differ so much.

    A block lies beyond the limit with a chance p. The bound is the r-th lowest of n, and fewer than r lie beyond.
    """
    p = statistics.NormalDist(0, sd).cdf(-math.log1p(NOT_SLOWER.case_limit))

    def shown(n: int) -> float:
        beyond = range(stats._sign_rank(n, 2 * may_be_wrong()))
        return math.fsum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in beyond)

    return next(n for n in itertools.count(1) if shown(n) >= 1 - (1 - SHARE) / len(CASES))


def may_be_wrong() -> float:
    """The chance of a wrong pass that the look may spend."""
    return (1 - NOT_SLOWER.confidence) * view.share(LOOK)


def least_table() -> Iterator[str]:
    """Every spread: the least pairs and blocks, and the seconds of a trial of just these."""
    yield "| spread of pairs | of blocks | of a pair's mean | least pairs | least blocks of a case | seconds |"
    yield "|---" * 6 + "|"
    for block_sd, spread in itertools.product(BLOCK_SDS, SPREADS):
        of_mean = math.hypot(spread, block_sd / math.sqrt(judge.SETTLED_BLOCKS * len(CASES)))
        pairs, blocks = least_pairs(of_mean), least_blocks(math.hypot(spread, block_sd))
        seconds = LOOK * LOOK_S + START_S * pairs + BLOCK_S * len(CASES) * blocks
        spreads = f"{100 * spread:g} % | {100 * block_sd:g} % | {100 * of_mean:.2f} %"
        yield f"| {spreads} | {pairs} | {blocks} | {seconds:.0f} |"


def more_blocks(judgement: Judgement, rules: Rules) -> Extent:
    """As many pairs in every look, and open cases get more blocks whatever else is open."""
    is_open = judge.open_cases(judgement, rules)
    return Extent(rules.pairs, {case: rules.blocks * (1 + (case in is_open)) for case in judgement.cases})


def the_same(judgement: Judgement, rules: Rules) -> Extent:
    """What the first look measures."""
    return Extent(rules.pairs, dict.fromkeys(judgement.cases, rules.blocks))


def more_pairs(judgement: Judgement, rules: Rules) -> Extent:
    """More pairs, and none of them shorter."""
    return Extent(judge.TIMES_PAIRS * rules.pairs, dict.fromkeys(judgement.cases, rules.blocks))


def while_open(allot: Allot) -> Allot:
    """This way while the whole is open, and the judge's own afterwards."""

    def allotted(judgement: Judgement, rules: Rules) -> Extent:
        own = judge.next_look(judgement, rules)
        return own if own.pairs == rules.pairs else allot(judgement, rules)

    return allotted


ALLOTS: Mapping[str, Allot] = {
    "as many pairs, more blocks of open cases": while_open(more_blocks),
    "as many pairs, as many blocks": while_open(the_same),
    "more pairs, as many blocks": while_open(more_pairs),
    "more pairs, fewer blocks of shown cases": judge.next_look,
}
"""What a look may measure while the whole is open; the last is what it does."""


def rules_table(count: int) -> Iterator[str]:
    """What each of these costs in both gates, over all hosts."""
    yield (
        "| while the whole is open, a look takes | keep gate: no gain | gain of 2 % "
        f"| regression gate: equal | hosts with 98 % in {SOON_S:g} s | the worst | 3 % slower |"
    )
    yield "|---" * 7 + "|"
    for title, allot in ALLOTS.items():
        same, better, equal, slow = (
            [judged(host, truth, count, rules, allot) for host in hosts()]
            for rules, truth in (
                (Rules(), everywhere(0.0)),
                (Rules(), everywhere(0.02)),
                (NOT_SLOWER, slower(0.0)),
                (NOT_SLOWER, slower(0.03)),
            )
        )
        keeps = [f"{kept_percent(found):.2f} %, {mean_s(found):.1f} s" for found in map(of_all, (same, better))]
        in_time = list(map(soon, equal))
        yield (
            f"| {title} | {' | '.join(keeps)} | {mean_s(of_all(equal)):.1f} s "
            f"| {sum(share >= 98 for share in in_time)} of {len(in_time)} | {min(in_time):.1f} % "
            f"| {mean_s(of_all(slow)):.1f} s |"
        )


def of_all(by_host: Iterable[Sequence[Ended]]) -> list[Ended]:
    return list(itertools.chain.from_iterable(by_host))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=300, help="of each kind on each host (300)")
    for table in (least_table(), rules_table(parser.parse_args().trials)):
        for line in table:
            print(line, flush=True)
        print()


if __name__ == "__main__":
    main()
