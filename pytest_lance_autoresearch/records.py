"""The frozen records that one stage hands to the next.

Owns the shapes of the data, and nothing else: no input or output, no arithmetic, no text for people.
Every quantity's name ends in its unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

Call = tuple[Any, ...]
"""The arguments of one call, as `inputs.make_call` returns them."""


class Declared(NamedTuple):
    """What a target.py says of the kernel's place."""

    path: str = ""
    """As it is written, from the target's folder; '' where target.py says nothing that can be read."""
    line: int = 0
    """Zero-based, for IDEs."""
    is_computed: bool = False
    """Whether it is said in another way than as a plain string."""

    @property
    def is_said(self) -> bool:
        """Whether it is said at all, be it in a way that cannot be read."""
        return bool(self.path) or self.is_computed


NOTHING_DECLARED = Declared()


@dataclass(frozen=True)
class Layout:
    """A target's directory; `faults` are the sentences about what is wrong with its files."""

    name: str
    directory: Path
    faults: tuple[str, ...] = ()
    kernel: Path | None = None
    """The kernel's file where target.py names one; None is the directory's kernels.py."""
    declared: Declared = NOTHING_DECLARED
    """What target.py says of it, read once."""

    @property
    def kernel_path(self) -> Path:
        return self.kernel or self.directory / "kernels.py"

    @property
    def log_path(self) -> Path:
        """The log of its trials where no other one is named."""
        return self.directory / "results.tsv"


class Home(NamedTuple):
    """Where a kernel's module belongs."""

    module: str = "kernels"
    """Its name, with those of its packages."""
    folder: str = ""
    """The folder that its outermost package is imported from; '' for a target's kernels.py, which is in none."""


IN_NO_PACKAGE = Home()


@dataclass(frozen=True)
class Source:
    """The bytes of a kernel, read once: what is measured is what is hashed and archived."""

    text: bytes
    path: Path
    sha256: str
    code_sha256: str
    code_size: int
    """AST nodes and characters of strings, without docstrings; comments and layout do not count."""
    home: Home = IN_NO_PACKAGE
    package: Mapping[str, bytes] = field(default_factory=dict, compare=False)
    """The files that it is imported among, by their paths below the home's folder, where they are not those in
    that folder: its package as it was at a revision."""


@dataclass(frozen=True)
class Case:
    """One cell of shape x distribution."""

    target: str
    shape: Any
    shape_id: str
    distribution: str
    timed: bool

    @property
    def id(self) -> str:
        return f"{self.shape_id}-{self.distribution}"


class CostFraction(NamedTuple):
    """A kernel's share of a user's whole operation, 0 to 1; of which operation, and where the figure is from."""

    fraction: float
    source: str


class Lossy(NamedTuple):
    """What a target demands of its kernels' recall, where answers may be approximate; shares from 0 to 1."""

    margin: float
    """By how much a kernel's recall may be lower than its baseline's."""
    floors: Mapping[str, float]
    """By distribution, timed or not: the least recall of any kernel."""


@dataclass(frozen=True)
class RecallRules:
    """The same as a verdict asks for it."""

    margin: float
    floors: Mapping[str, float]
    """By timed case."""


@dataclass(frozen=True)
class Window:
    """A timed batch of calls in one worker; None where the system does not tell."""

    calls: int
    wall_ns: int
    cpu_ns: int | None
    """CPU time of the worker, read from outside; in a block with what it used after its answer."""
    waited_ns: int | None = None
    """Part of `wall_ns` in which the worker, or then this process, was ready to run and had no core."""
    stolen_ns: int | None = None
    """Time that the hypervisor took from this machine meanwhile; counted in ticks of 10 ms."""


@dataclass(frozen=True)
class Block:
    """Four windows of one case in the order `order`: 'ABAB' or 'BABA', A the baseline, B the candidate.

    The first two are one half block, the same calls on both sides; the last two are the other.
    """

    case: str
    order: str
    windows: tuple[Window, Window, Window, Window]

    def side(self, letter: str) -> tuple[Window, Window]:
        """The two windows of that side, in the order in which they ran."""
        places = _PLACES.get((self.order, letter))
        if places is None:
            raise ValueError(
                f"order '{self.order}', side '{letter}': expected 'ABAB' or 'BABA', and side 'A' or 'B'"
            )
        return self.windows[places[0]], self.windows[places[1]]


_PLACES = {("ABAB", "A"): (0, 2), ("ABAB", "B"): (1, 3), ("BABA", "A"): (1, 3), ("BABA", "B"): (0, 2)}
"""Of a side's windows in a block, by order and side. The page of a night asks a million times."""


class Dealt(NamedTuple):
    """Two windows of the candidate on one case whose calls were started one by one, with as many calls in each."""

    case: str
    announced: Window
    """The arguments of all calls lay there from the start."""
    dealt: Window
    """Those of each call came when the call before it had been answered."""


class Recalled(NamedTuple):
    """Timed calls of one case in which both kernels' recall was the same two shares."""

    case: str
    baseline: float
    candidate: float
    calls: int


class Building(NamedTuple):
    """What it took to build both kernels over the state of a case."""

    baseline_ns: int
    candidate_ns: int
    """CPU time of the kernel's process, or elapsed time where the system counts none."""
    state_bytes: int


class BuildPrice(NamedTuple):
    """What building takes, medians over pairs."""

    baseline_ns: int
    candidate_ns: int
    """Over all cases."""
    case: str
    """The one nearest to its budget, or farthest beyond it."""
    case_baseline_ns: int
    case_candidate_ns: int
    budget_ns: float
    """Of that case."""

    @property
    def is_allowed(self) -> bool:
        return self.case_candidate_ns <= self.budget_ns


@dataclass(frozen=True)
class Pair:
    """All that was measured with one pair of worker processes, the baseline's and the candidate's."""

    blocks: tuple[Block, ...]
    call_overhead_ns: dict[str, float]
    """What the runner itself cost per call beside this pair, by case: those measured to their end."""
    baseline_peak_rss_bytes: int
    candidate_peak_rss_bytes: int
    seconds: float | None = None
    """From starting its processes until the end of its last block; None where it was not noted."""
    building: dict[str, Building] = field(default_factory=dict)
    """By case; empty where it was not noted."""
    dealt: tuple[Dealt, ...] = ()
    """Of cases whose windows hold several calls; empty where they were not measured."""
    recalled: tuple[Recalled, ...] = ()
    """Over states that nobody could know; empty where answers are exact."""


class Extent(NamedTuple):
    """How much a look measures."""

    pairs: int
    """Of fresh processes."""
    blocks: Mapping[str, int]
    """Of each case, in every pair."""


@dataclass(frozen=True)
class CaseTimes:
    """The windows of one kernel on one case."""

    case: str
    ops_per_call: float
    call_overhead_ns: float
    """What the runner itself costs per call, measured without a kernel; taken off every figure."""
    windows: tuple[Window, ...]


@dataclass(frozen=True)
class KernelTimes:
    """The windows of one kernel on every timed case."""

    cases: tuple[CaseTimes, ...]
    peak_rss_bytes: int | None = None
    """None where it was not noted."""


@dataclass(frozen=True)
class Heat:
    """What a candidate of a tournament is compared with when it is decided whether it goes on."""

    tournament: str
    """What the rows of one tournament have in common."""
    candidates: int
    """Of the tournament."""
    ahead: str
    """sha256 of the kernel that leads, or where `is_last`, of one that is judged in the candidate's place."""
    pairs: tuple[Pair, ...]
    """Of that kernel, each from the same round as the candidate's own."""
    is_last: bool
    """Whether there is no further round: whoever came out slower leaves, shown to be so or not."""


class OnHost(NamedTuple):
    """What of a trial was measured on one of several hosts."""

    host: str
    pairs: int
    """As many of the evidence's, which are in the order of their hosts."""


@dataclass(frozen=True)
class Evidence:
    """All that was measured in a trial, as a look sees it and the archive keeps it."""

    candidate_code_size: int
    baseline_code_size: int | None = None
    """None where there was no baseline beside the candidate."""
    pairs: tuple[Pair, ...] = ()
    alone: KernelTimes | None = None
    """The candidate's times where there was no baseline."""
    looks: int = 0
    """Looks taken so far, the present one included; what the confidence was spent on."""
    seconds: float = 0.0
    """Of the trial, at the last look."""
    waited_s: float = 0.0
    """Beside those, for its turn to measure."""
    threads: int = 1
    """Of each kernel."""
    heat: Heat | None = None
    """Where it was measured in the rounds of a tournament, one look each: such looks keep nothing."""
    hosts: tuple[OnHost, ...] = ()
    """Where it was measured elsewhere than on the host of its record: which pairs on which host."""


@dataclass(frozen=True)
class Figures:
    """Times of one kernel over the timed cases, as medians over windows."""

    unit: str
    ns_per_op: dict[str, float]
    geomean_ns_per_op: float
    slowest_case: str
    fastest_case: str
    peak_rss_bytes: int | None


@dataclass(frozen=True)
class Interval:
    """An estimated ratio (baseline time / candidate time; above 1 is faster) and its bounds."""

    low: float
    point: float
    high: float

    @property
    def is_bounded(self) -> bool:
        """Whether it was measured often enough to have bounds."""
        return self.low > 0 and self.high < math.inf

    @property
    def is_possible(self) -> bool:
        """Whether a measurement can have given it: a log may hold anything."""
        return 0 < self.low <= self.point <= self.high


class Verdict(StrEnum):
    """What a look at the evidence says: keep or discard in the keep gate, pass or regressed in the other."""

    KEEP = "keep"
    DISCARD = "discard"
    PASS = "pass"
    REGRESSED = "regressed"
    REFUSED = "refused"
    """It broke a rule of the measurement, as the times themselves show."""
    INCONCLUSIVE = "inconclusive"
    UNDECIDED = "undecided"
    """Or not confirmed yet: measure again, with fresh processes and fresh inputs."""


class Cause(StrEnum):
    """Why; the sentence is made in `report`."""

    FASTER = "faster"
    SIMPLER = "simpler"
    NOT_SLOWER = "not slower"
    SLOWER = "slower"
    WITHIN_NOISE = "within noise"
    TOO_SMALL = "gain too small"
    CASE_REGRESSED = "case regressed"
    HOST_REGRESSED = "host regressed"
    HOSTS_DIFFER = "hosts differ"
    MEMORY = "memory"
    BUILDING = "building"
    CPU_DISAGREES = "cpu time disagrees"
    RECALL = "recall"
    OUTRUN = "outrun"
    WORKS_AHEAD = "works ahead"
    IDENTICAL = "identical"
    NEW = "new"
    UNDECIDED = "undecided"
    BUDGET = "time budget"


@dataclass(frozen=True)
class Rules:
    """The thresholds of the verdict; the defaults are the documented ones."""

    min_effect: float = 0.01
    """Smallest gain worth keeping, as a fraction."""
    case_limit: float = 0.05
    """Largest slow-down of any one case, as a fraction."""
    noise_band: float = 0.01
    """A speed within this fraction of the baseline's counts as equal."""
    confidence: float = 0.99
    """Of the whole trial; what remains is divided between its looks."""
    miss: float = 0.05
    """Chance, at each look, to give up a gain of just `min_effect`; what a quick discard costs."""
    blocks: int = 3
    """Blocks of each case that a pair of processes measures, where nothing is known to need more or less."""
    pairs: int = 4
    """Pairs of processes that a look adds, where nothing is known to need more."""
    max_looks: int = 100
    """More than fit into `max_seconds`, unless a clock stands still."""
    memory_fraction: float = 0.25
    memory_bytes: int = 32 * 2**20
    build_ms_per_mb: float | None = None
    """Longest building, in milliseconds per megabyte of state; None is five times the baseline's, or 1 where that
    is more. A millisecond in all is always allowed."""
    max_seconds: float = 600.0
    recall: RecallRules | None = None
    """None where answers are exact."""


@dataclass(frozen=True)
class RegressionRules(Rules):
    """Those of the regression gate, which asks whether a kernel is slower, and not whether it is worth keeping."""

    slowdown_limit: float = 0.02
    """Largest slow-down overall, as a fraction."""


@dataclass(frozen=True)
class CaseRecall:
    """A kernel's recall on one case, and how it differs from its baseline's on the same calls; shares."""

    baseline: float
    candidate: float
    candidate_low: float
    candidate_high: float
    change_low: float
    """Of candidate less baseline, ..."""
    change_high: float
    calls: int

    @property
    def change(self) -> float:
        return self.candidate - self.baseline


@dataclass(frozen=True)
class Doubt:
    """What keeps a verdict open, and what would settle it."""

    case: str | None
    """The case that may be slower than its limit; None where it is the overall speed-up."""
    speedup: Interval
    """Of that case, or overall."""
    seconds: float | None
    """Further measuring, at the rate of this trial, after which it would be settled if its point stays where it
    is; None where no measuring would."""
    is_unconfirmed: bool = False
    """Whether all is shown, and only the second look is missing that must confirm it."""
    cpu_speedup: Interval | None = None
    """Of CPU time, where it is open whether that agrees."""
    host: str = ""
    """Where the case is open; '' where there was one host."""
    recall: CaseRecall | None = None
    """Of the case, where its recall is what is open."""


class Ahead(NamedTuple):
    """By how much a candidate's calls are dearer where nothing is known of later ones."""

    dearer: float
    """As a fraction of a call's time, ..."""
    least: float
    """... and what it is at least, with the confidence that it takes to say so."""


class Race(NamedTuple):
    """Where a candidate of a tournament stood after its last round."""

    candidates: int
    """Of the tournament."""
    rounds: int
    """That it was measured in."""
    slower: float
    """Than the one ahead of it, as a fraction of time."""
    is_last: bool
    """Whether there was no further round."""


@dataclass(frozen=True)
class HostSpeedup:
    """What a kernel came to on one of several hosts, each interval as sure as a verdict over all of them needs."""

    host: str
    speedup: Interval
    cases: dict[str, Interval]
    pairs: int
    """Of processes."""


@dataclass(frozen=True)
class Judgement:
    """The outcome of a look: verdict, cause and the numbers behind both."""

    verdict: Verdict
    cause: Cause
    speedup: Interval | None = None
    cases: dict[str, Interval] = field(default_factory=dict)
    cpu_speedup: Interval | None = None
    worst_case: str | None = None
    """The case with the least speed-up."""
    baseline_peak_rss_bytes: int = 0
    candidate_peak_rss_bytes: int = 0
    baseline_code_size: int | None = None
    candidate_code_size: int | None = None
    building: BuildPrice | None = None
    doubt: Doubt | None = None
    """Where it is inconclusive, what kept it open."""
    race: Race | None = None
    """Where only a tournament's rounds were looked at, so that no speed-up is claimed."""
    hosts: tuple[HostSpeedup, ...] = ()
    """Where it is about several hosts. Then `speedup` is about hosts like these, and the interval of a case
    reaches from the lowest bound on any of them to the highest."""
    ahead: Ahead | None = None
    """Where it is refused for working ahead."""
    recalls: dict[str, CaseRecall] = field(default_factory=dict)
    """By case, where answers may be approximate, as far as they were measured."""
    low_recall: str = ""
    """The case whose recall is too low; '' where none is."""


@dataclass(frozen=True)
class Disturbance:
    """What others' work took from the measuring of one trial."""

    blocks: int
    set_aside: int
    """Blocks that do not count."""
    waited: float | None
    """Share of the windows' time that was spent waiting for a core; None where the system does not tell."""


@dataclass(frozen=True)
class Calibration:
    """What a host can tell apart on one target."""

    target: str
    host: str
    time: str
    runs: int
    """Looks at the kernel against itself, and as many with a known slow-down."""
    seconds: float
    """Median length of a run."""
    resolution: float
    """Half width of the range that holds 95 % of the looks at the kernel against itself, as a log-ratio."""
    pair_sd: float
    """Standard deviation of the overall log-ratio from one pair of processes to the next."""
    injected: float
    """The known slow-down, as a fraction, ..."""
    seen: int
    """... in how many runs the 95 % interval showed it, ..."""
    measured: float
    """... and what was measured on average."""


@dataclass(frozen=True)
class Replay:
    """A claim of a log that was measured again: the kernel of a row against a baseline."""

    target: str
    trial: int
    """Whose kernel is the candidate."""
    against: int | None
    """The trial whose kernel is the baseline; None where that is unknown."""
    candidate: str
    """sha256 of its kernel."""
    baseline: str
    """sha256 of the kernel that it was measured against."""
    harness: str
    """Fingerprint of the target's other files."""
    host: str
    time: str
    versions: dict[str, str]
    pairs: int
    """Of processes."""
    confidence: float
    """Of every interval."""
    speedup: Interval
    cases: dict[str, Interval]
    """By case, without those that were measured too seldom to have an interval."""
    seconds: float
    """That measuring took, without waiting for its turn."""


class Status(StrEnum):
    """The end of a judged trial, as the log writes it."""

    BASELINE = "baseline"
    KEEP = "keep"
    DISCARD = "discard"
    PASS = "pass"
    REGRESSED = "regressed"
    INCONCLUSIVE = "inconclusive"
    INCORRECT = "incorrect"
    CRASH = "crash"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    """The kernel broke a rule of the measurement."""
    INVALID = "invalid"
    """No verdict is possible, and the kernel is not to blame."""


@dataclass(frozen=True)
class TrialRecord:
    """A judged trial as the archive keeps it: its verdict can be computed again, and its inputs made again."""

    target: str
    status: Status
    reason: str
    cause: Cause | None
    candidate: str
    """sha256 of the kernel that was judged."""
    baseline: str | None
    """sha256 of the kernel that it was judged against."""
    baseline_trial: int | None
    harness: str
    """Fingerprint of the target's other files."""
    host: str
    versions: dict[str, str]
    seed: str
    """Of the secret inputs, in decimal: JSON's numbers are not that long everywhere."""
    rules: Rules | None
    """None where another version of the plugin had other thresholds: they are not guessed."""
    evidence: Evidence

    @property
    def judged_by(self) -> str:
        """The version of the plugin."""
        return self.versions.get("pytest-lance-autoresearch", "unknown")


@dataclass(frozen=True)
class CaseDigest:
    """One case of a judged trial."""

    speedup: float | None
    """Baseline time / candidate time; None where there was no baseline beside it."""
    low: float | None
    high: float | None
    """Bounds of its interval; None where there were too few blocks for any."""
    ns_per_call: float
    """Of the candidate; the median over windows, without what the runner costs."""
    blocks: int
    set_aside: int
    """Of those, the ones that others' work disturbed too much."""


@dataclass(frozen=True)
class DoubtDigest:
    """What kept an inconclusive verdict open."""

    case: str | None
    """The case that may be slower than its limit; None where it is the overall speed-up."""
    speedup: float
    """Of that case, or overall."""
    low: float | None
    high: float | None
    """Bounds of its interval; None where there were too few blocks for any."""
    seconds: float | None
    """Further measuring that would settle it; None where none would."""


@dataclass(frozen=True)
class Digest:
    """What a trial's record comes to: the few numbers that a report of many trials needs."""

    status: Status
    reason: str
    cause: Cause | None
    baseline_trial: int | None
    looks: int
    pairs: int
    cases: dict[str, CaseDigest]
    """Empty where nothing was timed."""
    cpu_speedup: float | None
    waited: float | None
    """Share of the windows' time that was spent waiting for a core; None where the system does not tell."""
    windows_s: float
    """Time spent in windows, ..."""
    pairs_s: float
    """... and in all of the pairs: the windows, and what lies around and between them."""
    waited_s: float
    """For its turn to measure; no part of the trial's seconds."""
    building: BuildPrice | None
    baseline_peak_rss_bytes: int
    candidate_peak_rss_bytes: int
    """0 where nothing was measured."""
    speedup: float | None
    """Overall, as its row should say it; None where it claims none, or by which rules is not known."""
    version: str
    """That of the plugin that judged it."""
    doubt: DoubtDigest | None = None
    """None unless it is inconclusive, by today's rules too where its own are not known."""
    min_effect: float | None = None
    """Of the rules that it was judged by, as the two below; None where they are not known."""
    case_limit: float | None = None
    max_seconds: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What one trial of one target came to; everything the report and the log need.

    `status` is None when nothing was judged (no gate, or a partial run).
    """

    target: str
    unit: str
    correct: int
    failed: int
    items: int
    seconds: float
    waited_s: float = 0.0
    """For its turn to measure; not part of `seconds`."""
    status: Status | None = None
    reason: str = ""
    figures: Figures | None = None
    judgement: Judgement | None = None
    windows: int = 0
    trial: int | None = None
    baseline_trial: int | None = None
    baseline_revision: str = ""
    """The revision that it was compared with, with its commit; '' where it was none."""
    disturbance: Disturbance | None = None
    log: Path | None = None
    gated: bool = False
    notes: tuple[str, ...] = ()
    asides: tuple[str, ...] = ()
    """Notes about the host that this verdict does not turn on: for the JSON only."""

    def __post_init__(self) -> None:
        if self.figures is not None and self.failed:
            raise ValueError("a kernel that failed has no time")

    @property
    def is_passed(self) -> bool:
        """Whether its gate is: a keep, a first baseline, or a kernel that is not slower."""
        return self.status is not None and self.exit_code == 0

    @property
    def exit_code(self) -> int:
        """0 for what passes its gate, or without one; 1 for a wrong kernel; 10 to 13 as documented."""
        if self.judgement is not None and self.judgement.cause is Cause.BUDGET:
            return BUDGET_EXIT_CODE
        if self.status is None:
            return NO_VERDICT_EXIT_CODE if self.gated else 0
        return EXIT_CODES[self.status]


@dataclass(frozen=True)
class Tournament:
    """What many candidates of one target came to."""

    outcomes: Mapping[str, Outcome]
    """By candidate: the kept one first, then in the reverse of the order in which they left."""
    winner: str | None
    """The candidate that was kept."""
    seconds: float
    waited_s: float
    """For its turns to measure; not part of `seconds`."""

    @property
    def exit_code(self) -> int:
        """0 where one was kept, as of a gate; 10 where none was."""
        return 10 if self.winner is None else 0


REVISION = "git:"
"""Begins the name of a baseline that is a revision."""
ANSWER_TIMEOUT_S = 60.0
"""Longest time that a kernel may take for one answer, unless the user says otherwise."""
EXIT_CODES = {
    Status.BASELINE: 0,
    Status.KEEP: 0,
    Status.PASS: 0,
    Status.INCORRECT: 1,
    Status.CRASH: 1,
    Status.TIMEOUT: 1,
    Status.REFUSED: 1,
    Status.DISCARD: 10,
    Status.REGRESSED: 10,
    Status.INCONCLUSIVE: 11,
    Status.INVALID: 13,
}
"""The session's exit status for each end of a judged trial."""
BUDGET_EXIT_CODE = 12
"""Of an inconclusive one whose time ran out."""
NO_VERDICT_EXIT_CODE = 13
"""Of a gate without a verdict and without a row: a partial run, a log that cannot serve."""


class Step(NamedTuple):
    """One of several steps that are counted."""

    number: int
    of: int


@dataclass(frozen=True)
class Progress:
    """Where long work stands, for the status line."""

    target: str
    what: str
    step: Step | None
    speedup: Interval | None
    """At the last look."""
    seconds: float | None
    """Spent so far; None while it waits, which is no part of them."""
    is_event: bool = False
    """Whether it is worth a line of its own."""
    left_s: float | None = None
    """Until it is done, about; None where that is open."""
