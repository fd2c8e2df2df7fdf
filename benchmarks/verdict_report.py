"""The tables and the plot of recorded looks: how often each rule is wrong.

Owns how trials are made of the looks, and what is counted. Measures nothing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from rules_of_others import RULES, Rule, at_gain, times

from pytest_lance_autoresearch.records import Evidence, Judgement, Pair, RegressionRules, Rules, Verdict
from pytest_lance_autoresearch.runs.calibration import Run
from pytest_lance_autoresearch.verdict import aggregate, judge, stats

GAINS = (0.0, 0.01, 0.015, 0.02, 0.03, 0.05)
SLOW_DOWNS = (0.0, 0.02, 0.03, 0.05, 0.1)
SLOW_CASE = 0.08
"""How much slower a single case is, where it is one."""
OURS = Rules()
NOT_SLOWER = RegressionRules()
KEEPING = (Verdict.KEEP, Verdict.DISCARD, Verdict.INCONCLUSIVE)
PASSING = (Verdict.PASS, Verdict.REGRESSED, Verdict.INCONCLUSIVE)
WIDER = 0.0065
"""The standard deviation between pairs of a busier host: 0.64 to 0.66 % was measured on an AMD Zen 4."""


@dataclass(frozen=True)
class Trial:
    """How one trial ended, and what it took."""

    judgement: Judgement
    seconds: float

    @property
    def is_keep(self) -> bool:
        return self.judgement.verdict is Verdict.KEEP


def show(recorded: Mapping[str, Sequence[Run]], plot: Path) -> None:
    """Print every table and draw the plot."""
    itself = {name.removesuffix("-none"): looks for name, looks in recorded.items() if name.endswith("-none")}
    injected = {name: looks for name, looks in recorded.items() if not name.endswith("-none")}
    hosts = itself | {f"{name}, pairs {_percent(WIDER)} apart": wider(looks) for name, looks in itself.items()}
    print("\n".join([*intervals_table(hosts), "", *rules_table(hosts), "", *gains_table(hosts), ""]))
    print("\n".join([*injected_table(injected), "", *regression_table(hosts, injected)]))
    draw(itself, plot)


def trials(looks: Sequence[Run], rules: Rules = OURS) -> Iterator[Trial]:
    """One trial after the other, each with as many of the looks as it asks for; the last may lack some."""
    rest = list(looks)
    while rest:
        for number in range(1, rules.max_looks + 1):
            if number > len(rest):
                return
            pairs = [pair for look in rest[:number] for pair in look]
            judgement = judge.look(Evidence(1, 1, tuple(pairs), looks=number), rules)
            if judgement.verdict is not Verdict.UNDECIDED:
                yield Trial(judgement, seconds_of(pairs))
                break
        del rest[:number]


def seconds_of(pairs: Sequence[Pair]) -> float:
    return math.fsum(pair.seconds or 0.0 for pair in pairs)


def faster(looks: Sequence[Run], gain: float, worse: float = 0.0) -> list[Run]:
    """The looks as if the candidate were faster by `gain`, but for its first case, slower by `worse`."""
    gains = dict.fromkeys(looks[0][0].call_overhead_ns, gain)
    if worse:
        gains[next(iter(gains))] = 1 / (1 + worse) - 1
    return [[at_gain(pair, gains) for pair in look] for look in looks]


def wider(looks: Sequence[Run]) -> list[Run]:
    """The looks as on a host whose pairs differ by `WIDER` in all: a factor of its own for all of a pair."""
    own = stats.pooled_sd([list(map(aggregate.log_ratios, look)) for look in looks])
    random, more = np.random.default_rng(1), math.sqrt(max(0.0, WIDER**2 - own**2))
    return [
        [at_gain(pair, dict.fromkeys(pair.call_overhead_ns, math.expm1(random.normal(0, more)))) for pair in look]
        for look in looks
    ]


def other_verdicts(looks: Sequence[Run], gain: float, rule: Rule) -> list[bool]:
    """What a rule says that compares each run with the one before: the earlier look's times, and this look's."""
    slower = [times(look, "A") for look in faster(looks, gain)]
    return [rule(before, times(after, "B")) for before, after in zip(slower, looks[1:], strict=False)]


def covers(looks: Sequence[Run], count: int) -> str:
    """How often the 95 % interval of so many looks, one after the other, holds the truth, which is 0."""
    starts = range(0, len(looks) - count + 1, count)
    groups = [[pair for look in looks[start : start + count] for pair in look] for start in starts]
    found = [stats.overall(list(map(aggregate.log_ratios, pairs))).interval(0.05) for pairs in groups]
    return _share(sum(i.low <= 0 <= i.high for i in found), len(found))


def cases_cover(looks: Sequence[Run]) -> str:
    """The same of single cases after one look."""
    found = []
    for look in looks:
        ratios = list(map(aggregate.log_ratios, look))
        pooled = ([value for of_pair in ratios for value in of_pair[case]] for case in ratios[0])
        found += [stats.median_interval(values, 0.05) for values in pooled]
    return f"{100 * statistics.fmean(i.low <= 0 <= i.high for i in found):.1f} %"


def intervals_table(itself: Mapping[str, Sequence[Run]]) -> list[str]:
    """Coverage of the nominal 95 % intervals, and by how much pairs differ."""
    lines = [
        "| a kernel against itself | looks | 95 % interval covers: look 1 | look 2 | cases' cover: look 1 | mean "
        "| s.d. of pairs | of wall time | of CPU time | window waited | blocks set aside | seconds of a look |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, looks in itself.items():
        pairs = [pair for look in looks for pair in look]
        points = [stats.pair_point(aggregate.log_ratios(pair)) for pair in pairs]
        disturbed = aggregate.disturbance(pairs)
        cells = (
            len(looks),
            covers(looks, 1),
            covers(looks, 2),
            cases_cover(looks),
            _percent(statistics.mean(points)),
            _percent(statistics.stdev(points)),
            _percent(statistics.stdev(_wall_points(pairs))),
            _percent(statistics.stdev(_cpu_points(pairs))),
            f"{100 * (disturbed.waited or 0):.1f} %",
            disturbed.set_aside,
            f"{statistics.median(map(seconds_of, looks)):.1f}",
        )
        lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    return lines


def rules_table(itself: Mapping[str, Sequence[Run]]) -> list[str]:
    """Every rule's false keeps and missed gains of 2 %."""
    lines = [
        "| machine | rule | kept a kernel that is the same | missed a true gain of 2 % | seconds per verdict |",
        "|---|---|---|---|---|",
    ]
    for name, looks in itself.items():
        same, better = list(trials(looks)), list(trials(faster(looks, 0.02)))
        seconds = f"{_seconds(same)} same, {_seconds(better)} better"
        kept, missed = sum(v.is_keep for v in same), sum(not v.is_keep for v in better)
        lines.append(
            f"| {name} | **this plugin** | {_share(kept, len(same))} | {_share(missed, len(better))} | {seconds} |"
        )
        for title, rule in RULES.items():
            wrong, right = other_verdicts(looks, 0.0, rule), other_verdicts(looks, 0.02, rule)
            missed = len(right) - sum(right)
            alone = f"{statistics.median(map(seconds_of, looks)) / 2:.0f}"
            lines.append(
                f"| {name} | {title} | {_share(sum(wrong), len(wrong))} | {_share(missed, len(right))} | {alone} |"
            )
    return lines


def gains_table(itself: Mapping[str, Sequence[Run]]) -> list[str]:
    """This plugin's verdicts at known gains."""
    lines = [
        "| machine | true gain | trials | keep | discard | inconclusive | seconds, median | seconds, 90 % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, looks in itself.items():
        arms = {f"{100 * gain:g} %": faster(looks, gain) for gain in GAINS}
        arms["5 %, one case 8 % worse"] = faster(looks, 0.05, 0.08)
        arms["20 % slower"] = faster(looks, 1 / 1.2 - 1)
        lines += [_verdict_line(f"| {name} | {title}", list(trials(arm))) for title, arm in arms.items()]
    return lines


def injected_table(injected: Mapping[str, Sequence[Run]]) -> list[str]:
    """Verdicts where the slow-down was really run, and what was measured."""
    lines = [
        "| injected | trials | keep | discard | inconclusive | seconds, median | seconds, 90 % | measured |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, looks in injected.items():
        points = [stats.pair_point(aggregate.log_ratios(pair)) for look in looks for pair in look]
        measured = f"{_percent(math.expm1(statistics.mean(points)))}, s.d. {_percent(statistics.stdev(points))}"
        lines.append(f"{_verdict_line(f'| {name}', list(trials(looks)))} {measured} |")
    return lines


def regression_table(itself: Mapping[str, Sequence[Run]], injected: Mapping[str, Sequence[Run]]) -> list[str]:
    """The regression gate's verdicts at known slow-downs, made from the times and really run."""
    lines = [
        "| machine | slow-down | trials | pass | regressed | inconclusive | seconds, median | seconds, 90 % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    arms = {f"| {name} | as injected": looks for name, looks in injected.items()}
    for name, looks in itself.items():
        arms |= {f"| {name} | {100 * one:g} %": faster(looks, 1 / (1 + one) - 1) for one in SLOW_DOWNS}
        arms[f"| {name} | one case {100 * SLOW_CASE:g} %"] = faster(looks, 0.0, SLOW_CASE)
    return lines + [_verdict_line(head, list(trials(looks, NOT_SLOWER)), PASSING) for head, looks in arms.items()]


def draw(itself: Mapping[str, Sequence[Run]], path: Path) -> None:
    """Share of trials that keep, over the true gain, for every rule; one panel for each machine and target."""
    mpl.rcParams["svg.hashsalt"] = "false-verdicts"
    figure, panels = plt.subplots(1, len(itself), figsize=(4 * len(itself), 4.2), sharey=True, squeeze=False)
    percents = [100 * gain for gain in GAINS]
    for panel, (name, looks) in zip(panels[0], itself.items(), strict=True):
        for title, rule in RULES.items():
            panel.plot(percents, [_kept(other_verdicts(looks, g, rule)) for g in GAINS], "--", label=title)
        ours = [_kept([verdict.is_keep for verdict in trials(faster(looks, g))]) for g in GAINS]
        panel.plot(percents, ours, "k-o", linewidth=2, label="this plugin")
        panel.axvline(100 * OURS.min_effect, color="grey", linewidth=0.8, linestyle=":")
        panel.set_title(name)
        panel.set_xlabel("true gain, %")
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("share of trials that keep, %")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0.14, 1, 1))
    figure.savefig(path, metadata={"Date": None})


def _kept(keeps: Sequence[bool]) -> float:
    return 100 * statistics.fmean(keeps) if keeps else math.nan


def _verdict_line(head: str, verdicts: Sequence[Trial], which: Sequence[Verdict] = KEEPING) -> str:
    kinds = [verdict.judgement.verdict for verdict in verdicts]
    counts = [_share(kinds.count(kind), len(kinds)) for kind in which]
    seconds = sorted(verdict.seconds for verdict in verdicts)
    slow = seconds[math.ceil(0.9 * len(seconds)) - 1] if seconds else math.nan
    cells = [str(len(kinds)), *counts, _seconds(verdicts), f"{slow:.0f}"]
    return f"{head} | " + " | ".join(cells) + " |"


def _wall_points(pairs: Sequence[Pair]) -> list[float]:
    """Estimates from wall time as it is, waiting included."""
    found = []
    for one in pairs:
        by_case: dict[str, list[float]] = {}
        for block in one.blocks:
            a, b = (math.fsum(math.log(w.wall_ns) for w in block.side(letter)) / 2 for letter in "AB")
            by_case.setdefault(block.case, []).append(a - b)
        found.append(statistics.mean(map(statistics.median, by_case.values())))
    return found


def _cpu_points(pairs: Sequence[Pair]) -> list[float]:
    ratios = (aggregate.cpu_log_ratios(one) for one in pairs)
    return [statistics.mean(map(statistics.median, of_pair.values())) for of_pair in ratios if of_pair]


def _share(count: int, total: int) -> str:
    return f"{count} of {total}"


def _seconds(verdicts: Sequence[Trial]) -> str:
    return f"{statistics.median(v.seconds for v in verdicts):.0f}" if verdicts else "none"


def _percent(log_ratio: float) -> str:
    return f"{100 * log_ratio:.2f} %"
