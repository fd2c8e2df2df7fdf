"""The table and the plot of recorded pairs of processes: how often each rule is wrong.

Owns how trials are made of the pairs, and what is counted. Measures nothing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from rules_of_others import RULES, Rule, at_gain, times

from pytest_lance_autoresearch.records import Evidence, Judgement, Pair, Rules, Verdict
from pytest_lance_autoresearch.verdict import aggregate, judge, stats

GAINS = (0.0, 0.01, 0.015, 0.02, 0.03, 0.05)
OURS = Rules()


@dataclass(frozen=True)
class Trial:
    """How one trial ended, and what it took."""

    judgement: Judgement
    seconds: float
    pairs: int

    @property
    def is_keep(self) -> bool:
        return self.judgement.verdict is Verdict.KEEP


def show(recorded: Mapping[str, Sequence[Pair]], plot: Path) -> None:
    """Print every table and draw the plot."""
    itself = {name.removesuffix("-none"): pairs for name, pairs in recorded.items() if name.endswith("-none")}
    injected = {name: pairs for name, pairs in recorded.items() if not name.endswith("-none")}
    print("\n".join([*intervals_table(itself), "", *rules_table(itself), "", *gains_table(itself), ""]))
    print("\n".join(injected_table(injected)))
    draw(itself, plot)


def trials(pairs: Sequence[Pair]) -> Iterator[Trial]:
    """One trial after the other, each with as many of the pairs as its looks ask for; the last may lack some."""
    start = 0
    while start < len(pairs):
        for looks in range(1, OURS.max_looks + 1):
            used = pairs[start : start + looks]
            if len(used) < looks:
                return
            evidence = Evidence(1, 1, tuple(used), looks=looks)
            judgement = judge.look(evidence, OURS)
            if judgement.verdict is not Verdict.UNDECIDED:
                yield Trial(judgement, sum(one.seconds or 0.0 for one in used), looks)
                break
        start += looks


def faster(pairs: Sequence[Pair], gain: float, worse: float = 0.0) -> list[Pair]:
    """The pairs as if the candidate were faster by `gain`, but for its first case, slower by `worse`."""
    gains = dict.fromkeys(pairs[0].call_overhead_ns, gain)
    if worse:
        gains[next(iter(gains))] = 1 / (1 + worse) - 1
    return [at_gain(one, gains) for one in pairs]


def other_verdicts(pairs: Sequence[Pair], gain: float, rule: Rule) -> list[bool]:
    """What a rule says that compares each run with the one before: the earlier pair's times, and this pair's."""
    slower = [times(one, "A") for one in faster(pairs, gain)]
    return [rule(before, times(after, "B")) for before, after in zip(slower, pairs[1:], strict=False)]


def intervals_table(itself: Mapping[str, Sequence[Pair]]) -> list[str]:
    """Coverage and width of the nominal 95 % interval of one pair of processes."""
    lines = [
        "| a kernel against itself | pairs | 95 % interval covers | cases' 95 % intervals cover | mean "
        "| s.d. wall | s.d. without waiting | s.d. CPU | window waited | blocks set aside | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, pairs in itself.items():
        ratios = [aggregate.log_ratios(one) for one in pairs]
        overall = [stats.overall([of_pair], OURS.process_sd).interval(0.05) for of_pair in ratios]
        covered = sum(i.low <= 0 <= i.high for i in overall)
        of_cases = [stats.median_interval(v, 0.05) for of_pair in ratios for v in of_pair.values()]
        cases_covered = sum(i.low <= 0 <= i.high for i in of_cases)
        points = [i.point for i in overall]
        disturbed = aggregate.disturbance(pairs)
        cells = (
            len(pairs),
            f"{covered} ({100 * covered / len(pairs):.1f} %)",
            f"{100 * cases_covered / len(of_cases):.1f} %",
            _percent(statistics.mean(points)),
            _percent(statistics.pstdev(_wall_points(pairs))),
            _percent(statistics.pstdev(points)),
            _percent(statistics.pstdev(_cpu_points(pairs))),
            f"{100 * (disturbed.waited or 0):.1f} %",
            disturbed.set_aside,
            f"{statistics.median(one.seconds or 0.0 for one in pairs):.1f}",
        )
        lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    return lines


def rules_table(itself: Mapping[str, Sequence[Pair]]) -> list[str]:
    """Every rule's false keeps and missed gains of 2 %."""
    lines = [
        "| machine | rule | kept a kernel that is the same | missed a true gain of 2 % | seconds per verdict |",
        "|---|---|---|---|---|",
    ]
    for name, pairs in itself.items():
        same, better = list(trials(pairs)), list(trials(faster(pairs, 0.02)))
        seconds = f"{_seconds(same)} same, {_seconds(better)} better"
        kept, missed = sum(v.is_keep for v in same), sum(not v.is_keep for v in better)
        lines.append(
            f"| {name} | **this plugin** | {_share(kept, len(same))} | {_share(missed, len(better))} | {seconds} |"
        )
        for title, rule in RULES.items():
            wrong, right = other_verdicts(pairs, 0.0, rule), other_verdicts(pairs, 0.02, rule)
            missed = len(right) - sum(right)
            alone = f"{statistics.median(one.seconds or 0.0 for one in pairs) / 2:.0f}"
            lines.append(
                f"| {name} | {title} | {_share(sum(wrong), len(wrong))} | {_share(missed, len(right))} | {alone} |"
            )
    return lines


def gains_table(itself: Mapping[str, Sequence[Pair]]) -> list[str]:
    """This plugin's verdicts at known gains."""
    lines = [
        "| machine | true gain | trials | keep | discard | inconclusive | seconds, median | seconds, 90 % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, pairs in itself.items():
        arms = {f"{100 * gain:g} %": faster(pairs, gain) for gain in GAINS}
        arms["5 %, one case 8 % worse"] = faster(pairs, 0.05, 0.08)
        arms["20 % slower"] = faster(pairs, 1 / 1.2 - 1)
        lines += [_verdict_line(f"| {name} | {title}", list(trials(arm))) for title, arm in arms.items()]
    return lines


def injected_table(injected: Mapping[str, Sequence[Pair]]) -> list[str]:
    """Verdicts where the slow-down was really run, and what was measured."""
    lines = [
        "| injected | trials | keep | discard | inconclusive | seconds, median | seconds, 90 % | measured |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, pairs in injected.items():
        points = [stats.overall([aggregate.log_ratios(one)]).point for one in pairs]
        measured = f"{_percent(math.expm1(statistics.mean(points)))}, s.d. {_percent(statistics.pstdev(points))}"
        lines.append(f"{_verdict_line(f'| {name}', list(trials(pairs)))} {measured} |")
    return lines


def draw(itself: Mapping[str, Sequence[Pair]], path: Path) -> None:
    """Share of trials that keep, over the true gain, for every rule; one panel for each machine and target."""
    mpl.rcParams["svg.hashsalt"] = "false-verdicts"
    figure, panels = plt.subplots(1, len(itself), figsize=(4 * len(itself), 4.2), sharey=True, squeeze=False)
    percents = [100 * gain for gain in GAINS]
    for panel, (name, pairs) in zip(panels[0], itself.items(), strict=True):
        for title, rule in RULES.items():
            panel.plot(percents, [_kept(other_verdicts(pairs, g, rule)) for g in GAINS], "--", label=title)
        ours = [_kept([verdict.is_keep for verdict in trials(faster(pairs, g))]) for g in GAINS]
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


def _verdict_line(head: str, verdicts: Sequence[Trial]) -> str:
    kinds = [verdict.judgement.verdict for verdict in verdicts]
    counts = [
        _share(kinds.count(kind), len(kinds)) for kind in (Verdict.KEEP, Verdict.DISCARD, Verdict.INCONCLUSIVE)
    ]
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
