"""How the verdict does on hosts of any spread, from drawn numbers: nothing is measured.

    python benchmarks/simulate.py                   both tables of the keep gate (a quarter of an hour)
    python benchmarks/simulate.py --regression      that of the regression gate (as long)
    python benchmarks/simulate.py --trials 500      quicker and less exact

A host is its spread, the standard deviation of the overall speed-up from one pair of processes to the next, the
shape of it: normal, or heavy-tailed (Student's t with 4 degrees of freedom), and by how much the blocks of a case
differ: by little on a quiet host, by more on targets whose calls read and write much memory. Whole trials are
judged by the package's own rules. The second table of the keep gate is about an alternative that was rejected: to
pool a trial's spread with the one that earlier trials of the host showed, so that few pairs tell more.
"""

from __future__ import annotations

import argparse
import functools
import math
import statistics
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from unittest import mock

import numpy as np

from pytest_lance_autoresearch.records import (
    Block,
    Evidence,
    Extent,
    Judgement,
    Pair,
    RegressionRules,
    Rules,
    Verdict,
    Window,
)
from pytest_lance_autoresearch.verdict import aggregate, judge, stats

SPREADS = (0.0025, 0.004, 0.0075, 0.013)
CASES = tuple(f"case {number}" for number in range(9))
BLOCK_SDS = (0.005, 0.02, 0.04)
"""Of the blocks of a case in one pair: of a quiet host, of most targets, and of those whose calls differ most."""
START_S = 1.0
"""Seconds that a pair takes until its first block: starting, loading, building, first calls, warming up."""
BLOCK_S = 2.0 / 27
"""Of a block: a pair with those of a first look takes 3 s, a third of them to start, as one of pq-l2 did."""
LOOK_S = 1.5
"""That a look takes beside its pairs: compiling before the first, making states before the others."""
SLOW_DOWNS = (0.0, 0.02, 0.03, 0.05, 0.1)
LIMIT_PART = 5
"""Of the trials at the limit itself, which take all the time there is, only one in so many is made."""
SLOW_CASE = 0.08
"""How much slower a single case is, where it is one."""
NOT_SLOWER = RegressionRules()
SOON_S = 60.0
"""Within which a kernel that is no slower should pass."""
EARLIER = 0.004
"""The spread that earlier trials of a host showed, for the alternative ..."""
PRIOR_DF = 8
"""... and the degrees of freedom that they count for, the most that was considered."""
BUSIER = (0.5, 1.0, 2.0, 3.0)
"""The present spread over the earlier one."""

_WINDOW = Window(1, 1, None)


class Ratios(dict[str, list[float]]):
    """A pair's log-ratios by case; known by which pair's they are, so that nothing is computed of them twice."""

    __hash__ = object.__hash__  # type: ignore[assignment]


Combine = Callable[[Sequence[Ratios]], stats.Mean]
"""How an estimate is made of pairs: `stats.overall`, or another way."""
Allot = Callable[[Judgement, Rules], Extent]
"""What the next look measures: `judge.next_look`, or another way."""


@dataclass(frozen=True)
class Drawn(Pair):
    """A pair whose log-ratios were drawn; its blocks only say of which cases they are."""

    ratios: Ratios = field(default_factory=Ratios)


@dataclass(frozen=True)
class Host:
    """Draws pairs."""

    spread: float
    is_heavy: bool = False
    block_sd: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(CASES, BLOCK_SDS[0]))
    """By case."""

    @property
    def title(self) -> str:
        """What it is, as three cells of a table."""
        block_sd = next(iter(self.block_sd.values()))
        return f"{'t(4)' if self.is_heavy else 'normal'} | {100 * self.spread:g} % | {100 * block_sd:g} %"

    def random(self) -> np.random.Generator:
        """Its own luck, and the same for whatever is tried on it."""
        return np.random.default_rng(zlib.crc32(self.title.encode()))

    def pair(self, random: np.random.Generator, truth: Mapping[str, float], blocks: Mapping[str, int]) -> Drawn:
        """So many blocks of each case about the true log-ratios."""
        shift = self.spread * (random.standard_t(4) / math.sqrt(2) if self.is_heavy else random.normal())
        ratios = Ratios(
            (case, random.normal(truth[case] + shift, self.block_sd[case], count).tolist())
            for case, count in blocks.items()
        )
        seconds = START_S + BLOCK_S * sum(blocks.values())
        return Drawn(_blocks_of(tuple(blocks.items())), {}, 1, 1, seconds, ratios=ratios)


@functools.cache
def _blocks_of(counts: tuple[tuple[str, int], ...]) -> tuple[Block, ...]:
    return tuple(Block(case, "ABAB", (_WINDOW,) * 4) for case, count in counts for _ in range(count))


@dataclass(frozen=True)
class Ended:
    """How a trial ended."""

    judgement: Judgement
    evidence: Evidence

    def without_pairs(self) -> Ended:
        """The same, without what takes much memory where trials are many."""
        return Ended(self.judgement, replace(self.evidence, pairs=()))

    @property
    def is_keep(self) -> bool:
        return self.judgement.verdict is Verdict.KEEP

    @property
    def is_soon(self) -> bool:
        """Whether it is a pass within `SOON_S`."""
        return self.judgement.verdict is Verdict.PASS and self.evidence.seconds <= SOON_S


@contextmanager
def drawn_pairs(combine: Combine = stats.overall) -> Iterator[None]:
    """Let the judge read what was drawn, and combine pairs in this way."""
    with ExitStack() as patches:
        for owner, name, stand_in in (
            (aggregate, "log_ratios", lambda pair: pair.ratios),
            (aggregate, "cpu_log_ratios", lambda _: None),
            (stats, "overall", combine),
            (stats, "pair_point", functools.lru_cache(1024)(stats.pair_point)),
            (stats, "student_quantile", functools.cache(stats.student_quantile)),
            (stats, "_sign_rank", functools.cache(stats._sign_rank)),
        ):
            patches.enter_context(mock.patch.object(owner, name, stand_in))
        yield


def trial(
    host: Host,
    random: np.random.Generator,
    truth: Mapping[str, float],
    rules: Rules,
    allot: Allot = judge.next_look,
) -> Ended:
    """Looks until there is a verdict."""
    pairs: tuple[Pair, ...] = ()
    extent = Extent(rules.pairs, dict.fromkeys(truth, rules.blocks))
    for looks in range(1, rules.max_looks + 1):
        pairs += tuple(host.pair(random, truth, extent.blocks) for _ in range(extent.pairs))
        seconds = LOOK_S * looks + math.fsum(pair.seconds or 0.0 for pair in pairs)
        evidence = Evidence(1, 1, pairs, looks=looks, seconds=seconds)
        judgement = judge.look(evidence, rules)
        if judgement.verdict is not Verdict.UNDECIDED:
            break
        extent = allot(judgement, rules)
    return Ended(judgement, evidence)


def everywhere(gain: float) -> dict[str, float]:
    """The same true gain of every case, as log-ratios."""
    return dict.fromkeys(CASES, math.log1p(gain))


def slower(slow_down: float) -> dict[str, float]:
    """The same true slow-down of every case, as log-ratios."""
    return dict.fromkeys(CASES, -math.log1p(slow_down))


def kept(trials: Sequence[Ended]) -> str:
    """Share of keeps, and the seconds that a trial took on average."""
    return f"{kept_percent(trials):.2f} %, {mean_s(trials):.0f} s"


def kept_percent(trials: Sequence[Ended]) -> float:
    return 100 * statistics.fmean(one.is_keep for one in trials)


def mean_s(trials: Sequence[Ended]) -> float:
    return statistics.fmean(one.evidence.seconds for one in trials)


def coverage(host: Host, random: np.random.Generator, rules: Rules, looks: int, count: int) -> str:
    """How often the 95 % interval of so many looks holds the truth."""
    held, truth, blocks = 0, everywhere(0.0), dict.fromkeys(CASES, rules.blocks)
    for _ in range(count):
        pairs = [host.pair(random, truth, blocks).ratios for _ in range(looks * rules.pairs)]
        found = stats.overall(pairs).interval(0.05)
        held += found.low <= 0 <= found.high
    return f"{100 * held / count:.1f} %"


def cells(host: Host, count: int, combine: Combine = stats.overall) -> str:
    """What becomes of trials of no gain, 2 % and 5 %; then how intervals of one look and of two cover."""
    random, rules = host.random(), Rules()
    with drawn_pairs(combine):
        figures = [
            kept([trial(host, random, everywhere(gain), rules) for _ in range(count)])
            for gain in (0.0, 0.02, 0.05)
        ]
        covers = [coverage(host, random, rules, looks, count) for looks in (1, 2)]
    return " | ".join([*figures, *covers])


HEADS = "kept, seconds: no gain | 2 % | 5 % | 95 % interval covers: look 1 | look 2 |"


def hosts() -> list[Host]:
    """Every spread of blocks and of pairs, normal and heavy-tailed."""
    return [
        Host(spread, is_heavy, dict.fromkeys(CASES, block_sd))
        for block_sd in BLOCK_SDS
        for is_heavy in (False, True)
        for spread in SPREADS
    ]


def spreads_table(count: int) -> Iterator[str]:
    """What the keep gate says on every host."""
    yield f"| pairs are | spread of pairs | of blocks | {HEADS}"
    yield "|---" * 8 + "|"
    for host in hosts():
        yield f"| {host.title} | {cells(host, count)} |"


def pooled(pairs: Sequence[Ratios]) -> stats.Mean:
    """The alternative: the pairs' spread is averaged with the earlier one."""
    points = list(map(stats.pair_point, pairs))
    df = PRIOR_DF + len(points) - 1
    variance = (PRIOR_DF * EARLIER**2 + (len(points) - 1) * statistics.variance(points)) / df
    return stats.Mean(statistics.fmean(points), math.sqrt(variance / len(points)), df)


def pooling_table(count: int) -> Iterator[str]:
    """The trial's own spread beside the alternative, on a host that became quieter or busier."""
    yield f"| present over earlier spread ({100 * EARLIER:g} %) | spread is | {HEADS}"
    yield "|---|---|---|---|---|---|---|"
    for busier in BUSIER:
        for title, combine in (("the trial's own", stats.overall), ("pooled with earlier", pooled)):
            yield f"| {busier:g} | {title} | {cells(Host(busier * EARLIER), count, combine)} |"


def regression_table(count: int) -> Iterator[str]:
    """Every spread, of pairs and of blocks: what becomes of kernels that are slower by so much."""
    kinds = {f"{100 * one:g} %" if one else "equal": slower(one) for one in SLOW_DOWNS}
    counts = {f"{100 * NOT_SLOWER.slowdown_limit:g} %": max(1, count // LIMIT_PART)}
    kinds[f"one case {100 * SLOW_CASE:g} %"] = {**slower(0.0), CASES[0]: -math.log1p(SLOW_CASE)}
    yield f"| pairs are | spread of pairs | of blocks | equal passes within {SOON_S:g} s | {' | '.join(kinds)} |"
    yield "|---" * (4 + len(kinds)) + "|"
    for host in hosts():
        found = [judged(host, truth, counts.get(kind, count)) for kind, truth in kinds.items()]
        yield f"| {host.title} | {soon(found[0]):.1f} % | {' | '.join(map(ends, found))} |"


def judged(
    host: Host,
    truth: Mapping[str, float],
    count: int,
    rules: Rules = NOT_SLOWER,
    allot: Allot = judge.next_look,
) -> list[Ended]:
    """Trials of the regression gate, unless the rules are the other's."""
    random = host.random()
    with drawn_pairs():
        return [trial(host, random, truth, rules, allot).without_pairs() for _ in range(count)]


def soon(trials: Sequence[Ended]) -> float:
    """Per cent that passed within `SOON_S`."""
    return 100 * statistics.fmean(one.is_soon for one in trials)


def ends(trials: Sequence[Ended]) -> str:
    """Per cent that passed, had regressed, and were inconclusive; and the median and 95 % quantile of seconds."""
    verdicts = Counter(one.judgement.verdict for one in trials)
    order = (Verdict.PASS, Verdict.REGRESSED, Verdict.INCONCLUSIVE)
    shares = " / ".join(f"{100 * verdicts[verdict] / len(trials):.3g}" for verdict in order)
    middle, most = np.quantile([one.evidence.seconds for one in trials], (0.5, 0.95))
    return f"{shares}, {middle:.0f} s, {most:.0f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, help="of each kind (2000, or 1000 of the regression gate)")
    parser.add_argument("--regression", action="store_true", help="the table of the regression gate")
    chosen = parser.parse_args()
    count = chosen.trials or (1000 if chosen.regression else 2000)
    for table in (regression_table,) if chosen.regression else (spreads_table, pooling_table):
        for line in table(count):
            print(line, flush=True)
        print()


if __name__ == "__main__":
    main()
