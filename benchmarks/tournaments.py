"""How tournaments of many candidates do on hosts of any spread, from drawn numbers: nothing is measured.

    python benchmarks/tournaments.py                      the table
    python benchmarks/tournaments.py --tournaments 100    quicker and less exact

Rules say who leaves after a round. The package's is `race, paired`. `race, pooled` tests with the spread of all
candidates; halving and quartering keep the better half or quarter; `one look` has no rounds, its leader goes to
the final. Whom the gate would discard by now leaves with every rule. The final is the gate's own trial, over fresh
pairs, with the confidence shared. Seconds are those of the rounds and of the final, with starting and compiling,
on two cores; beside them, how many single trials of the winner they are, on the same host. Checking is no part.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import simulate
from simulate import BLOCK_S, CASES, LOOK_S, START_S, Drawn, Host, Ratios

from pytest_lance_autoresearch.records import Evidence, Heat, Rules, Verdict
from pytest_lance_autoresearch.verdict import judge, selection, stats

COUNTS = (16, 40)
GAIN = 0.03
"""Of the one true winner."""
SIDE_START_S = START_S / 2
"""Of one process: two start at once."""
COMPILE_S = SIDE_START_S + LOOK_S / 2
"""Of one kernel, once."""
WINDOW_S = BLOCK_S / 4
FIELD = 8
"""Candidates beside one baseline."""
RULES = Rules()

Points = Mapping[int, list[float]]
"""What each candidate that is left came to in each field so far, as log-ratios."""


@dataclass(frozen=True)
class Selection:
    """A way to choose finalists: how many fields a round has, and who goes on after it."""

    title: str
    go_on: Callable[[Points], list[int]]
    fields: int = 1
    rounds: int = selection.MOST_ROUNDS
    least_rounds: int = 1
    """Before anybody leaves."""


def best(count: Callable[[int], int], points: Points) -> list[int]:
    """The candidates with the best means, so many of all."""
    means = {one: statistics.fmean(values) for one, values in points.items()}
    return sorted(means, key=lambda one: -means[one])[: count(len(means))]


def paired(points: Points) -> list[int]:
    """Those that the package's own rule lets go on."""
    leader = best(lambda _: 1, points)[0]
    return [one for one, values in points.items() if not is_outrun(values, points[leader])]


def is_outrun(values: Sequence[float], ahead: Sequence[float]) -> bool:
    heat = Heat("", 0, "", tuple(map(at, ahead)), is_last=False)
    return selection.is_outrun(tuple(map(at, values)), heat)


def at(point: float) -> Drawn:
    """A pair that came to this point."""
    return Drawn((), {}, 1, 1, ratios=Ratios(all=[point]))


def pooled(points: Points) -> list[int]:
    """Those that are not shown to be slower than the leader: t-tests whose variance is that of the whole round."""
    table = np.array(list(points.values()))
    candidates, fields = table.shape
    df = (candidates - 1) * (fields - 1)
    means = table.mean(axis=1)
    if not df:
        return list(points)
    residuals = table - means[:, None] - table.mean(axis=0)[None, :] + table.mean()
    se = math.sqrt(2 * float((residuals**2).sum()) / df / fields)
    least = float(means.max()) - stats.student_quantile(selection.CONFIDENCE, df) * se
    return [one for one, mean in zip(points, means, strict=True) if mean >= least]


def by(rate: int, count: int) -> int:
    return max(selection.FINALISTS, math.ceil(count / rate))


SELECTIONS = (
    Selection("one look", partial(best, lambda _: 1), RULES.pairs, rounds=1),
    Selection("halving, 1 field", partial(best, partial(by, 2))),
    Selection("halving, 2 fields", partial(best, partial(by, 2)), 2),
    Selection("quartering, 1 field", partial(best, partial(by, 4))),
    Selection("quartering, 2 fields", partial(best, partial(by, 4)), 2),
    Selection("race, pooled", pooled, least_rounds=selection.LEAST_ROUNDS),
    Selection("race, paired", paired, least_rounds=selection.LEAST_ROUNDS),
)


@dataclass(frozen=True)
class Played:
    """How a tournament ended."""

    finalists: tuple[int, ...]
    kept: int | None
    seconds: float


def field(host: Host, random: np.random.Generator, truths: Mapping[int, float]) -> dict[int, Drawn]:
    """One pair for each candidate beside a shared baseline, with one block of every case."""

    def side(truth: float) -> dict[str, float]:
        luck = random.standard_t(4) / math.sqrt(2) if host.is_heavy else random.normal()
        shift = truth + host.spread * luck / math.sqrt(2)
        return {case: random.normal(shift, host.block_sd[case] / math.sqrt(2)) for case in CASES}

    baseline = side(0.0)
    found = {}
    for one, truth in truths.items():
        ratios = Ratios((case, [value - baseline[case]]) for case, value in side(truth).items())
        blocks = simulate._blocks_of(tuple((case, 1) for case in CASES))
        found[one] = Drawn(blocks, {}, 1, 1, None, ratios=ratios)
    return found


def played(host: Host, random: np.random.Generator, truths: Sequence[float], chosen: Selection) -> Played:
    """Rounds until few are left, and their final."""
    left, seconds = list(range(len(truths))), COMPILE_S * (len(truths) + math.ceil(len(truths) / FIELD))
    pairs: dict[int, list[Drawn]] = {one: [] for one in left}
    for number in range(1, chosen.rounds + 1):
        if len(left) <= 1 or (len(left) <= selection.FINALISTS and number > chosen.least_rounds):
            break
        random.shuffle(left)
        for start in range(0, len(left), FIELD):
            group = left[start : start + FIELD]
            seconds += chosen.fields * (1 + len(group)) * (SIDE_START_S + 2 * len(CASES) * WINDOW_S)
            for _ in range(chosen.fields):
                for one, drawn in field(host, random, {one: truths[one] for one in group}).items():
                    pairs[one].append(drawn)
        if number >= chosen.least_rounds:
            left = [one for one in left if goes_on(pairs[one], number)]
            left = chosen.go_on({one: points_of(pairs[one]) for one in left}) if left else []
    left = best(lambda _: selection.FINALISTS, {one: points_of(pairs[one]) for one in left})
    for one in left:
        rules = selection.final_rules(RULES, len(left))
        ended = simulate.trial(host, random, dict.fromkeys(CASES, truths[one]), rules)
        seconds += ended.evidence.seconds
        if ended.is_keep:
            return Played(tuple(left), one, seconds)
    return Played(tuple(left), None, seconds)


def points_of(pairs: Sequence[Drawn]) -> list[float]:
    return [stats.pair_point(pair.ratios) for pair in pairs]


def goes_on(pairs: Sequence[Drawn], number: int) -> bool:
    """Whether the gate itself would not discard it by now."""
    evidence = Evidence(1, 1, tuple(pairs), looks=number)
    return judge.look(evidence, RULES).verdict is not Verdict.DISCARD


def row(host: Host, count: int, chosen: Selection, tournaments: int) -> str:
    """What becomes of one winner among equals, and of equals alone."""
    random = host.random()
    one_winner, equals = [math.log1p(GAIN), *[0.0] * (count - 1)], [0.0] * count
    with simulate.drawn_pairs():
        won = [played(host, random, one_winner, chosen) for _ in range(tournaments)]
        lost = [played(host, random, equals, chosen) for _ in range(tournaments)]
        single = [simulate.trial(host, random, simulate.everywhere(GAIN), RULES) for _ in range(tournaments)]
    reached = 100 * statistics.fmean(0 in one.finalists for one in won)
    kept = 100 * statistics.fmean(one.kept == 0 for one in won)
    wrongly = 100 * statistics.fmean(one.kept is not None for one in lost)
    seconds, in_vain = (statistics.fmean(one.seconds for one in ended) for ended in (won, lost))
    return (
        f"| {host.title} | {count} | {chosen.title} | {reached:.1f} % | {kept:.1f} % | {seconds:.0f} s "
        f"({seconds / simulate.mean_s(single):.1f}) | {wrongly:.2f} % | {in_vain:.0f} s |"
    )


def hosts() -> list[Host]:
    """The quietest, a usual one, and the worst of those of `simulate`."""
    blocks = [dict.fromkeys(CASES, sd) for sd in simulate.BLOCK_SDS]
    return [Host(0.0025, False, blocks[0]), Host(0.0075, False, blocks[1]), Host(0.013, True, blocks[2])]


def table(tournaments: int) -> Iterator[str]:
    yield (
        "| pairs are | spread of pairs | of blocks | candidates | rule | winner in the final | kept "
        "| seconds (single trials) | equals kept | seconds |"
    )
    yield "|---" * 10 + "|"
    for host in hosts():
        for count in COUNTS:
            for chosen in SELECTIONS:
                yield row(host, count, chosen, tournaments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tournaments", type=int, default=1000, help="of each kind (1000)")
    for line in table(parser.parse_args().tournaments):
        print(line, flush=True)


if __name__ == "__main__":
    main()
