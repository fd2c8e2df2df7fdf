"""How often the verdict is wrong, and how often other rules would be, from the same recorded windows.

    python benchmarks/false_verdicts.py               record until there are 60 looks of everything, then report
    python benchmarks/false_verdicts.py --looks 10    fewer
    python benchmarks/false_verdicts.py --report      only the tables and the plot, from what is recorded

Records looks, each of several pairs of processes in which a kernel runs against itself, or against itself with a
known slow-down, on two targets, on the machine as it is and with a second process that burns CPU. One line of JSON
per look goes to .benchmarks/false_verdicts/, so that an interrupted run goes on where it stopped. A trial takes as
many of the looks, in the order in which they were recorded, as it asks for, each with as many blocks of a case as
a first look has. Trials of gains and slow-downs that were not recorded are made from the kernel against itself,
its baseline's times prolonged or shortened; those of a host whose pairs differ more, by a factor of its own for
every pair. The keep gate judges the gains, and the regression gate the slow-downs.

Needs the extra 'benchmarks' (scipy, matplotlib).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import busy
import fresh_look
import verdict_report

from pytest_lance_autoresearch.bench.measure import NO_HANDICAP, Handicap
from pytest_lance_autoresearch.log import codec
from pytest_lance_autoresearch.machine import turns
from pytest_lance_autoresearch.records import Case, Pair
from pytest_lance_autoresearch.runs.calibration import Run
from pytest_lance_autoresearch.target_files import contract, discover, generate, load

ROOT = Path(__file__).resolve().parent.parent
TARGETS = (ROOT / "targets" / "pq-l2", ROOT / "benchmarks" / "targets" / "scores")
RECORDS = ROOT / ".benchmarks" / "false_verdicts"
STATE_SETS = 4
"""Sets of states that the looks use in turn; a real trial makes new ones for each look."""
WORSE = 0.08
"""How much slower the one worse case is, inside a gain of `GAIN_AROUND`."""
GAIN_AROUND = 0.05


@dataclass(frozen=True)
class Setting:
    """What is recorded, and where: a target, with or without load, with or without a known slow-down."""

    folder: Path
    loaded: bool
    injected: str = "none"
    """'none'; '2 %': the baseline is slower; 'worse case': it is 5 % slower, and one case of the candidate 8 %."""

    @property
    def name(self) -> str:
        return f"{self.folder.name}-{'loaded' if self.loaded else 'quiet'}-{self.injected.replace(' ', '')}"

    @property
    def file(self) -> Path:
        return RECORDS / f"{self.name}.jsonl"


def settings() -> list[Setting]:
    itself = [Setting(folder, loaded) for folder in TARGETS for loaded in (False, True)]
    injected = [Setting(folder, False, what) for folder in TARGETS for what in ("2 %", "worse case")]
    return itself + injected


class Recorder:
    """Measures looks at one target."""

    def __init__(self, folder: Path) -> None:
        self._target = load.load(discover.inspect(folder))
        self._timed = [case for case in contract.cases_of(self._target) if case.timed]
        self._states = [
            {case: generate.make_state(self._target, case, seed) for case in self._timed}
            for seed in range(STATE_SETS)
        ]

    def look(self, number: int, injected: str) -> Run:
        """The pairs of one look over every timed case."""
        states = self._states[number % STATE_SETS]
        return fresh_look.measured(self._target, states, lambda case: self._handicap(case, injected))

    def _handicap(self, case: Case, injected: str) -> Handicap:
        if injected == "2 %":
            return Handicap(baseline=0.02, candidate=0.0)
        if injected == "worse case":
            slower = (1 + GAIN_AROUND) * (1 + WORSE) - 1 if case == self._timed[0] else 0.0
            return Handicap(baseline=GAIN_AROUND, candidate=slower)
        return NO_HANDICAP


def read(setting: Setting) -> list[Run]:
    """What was recorded so far; a last line that was cut off is left out."""
    if not setting.file.exists():
        return []
    lines = setting.file.read_text().split("\n")[:-1]
    return [codec.from_json(line.encode(), list[Pair]) for line in lines]


def record(wanted: int) -> None:
    """Add to every setting in turn until each has as many looks as are wanted; an injected one a fifth of them."""
    RECORDS.mkdir(parents=True, exist_ok=True)
    recorders = {folder: Recorder(folder) for folder in TARGETS}
    for number in range(wanted):
        for setting in settings():
            every = 1 if setting.injected == "none" else 5
            have = _whole_lines(setting.file)
            if have > number // every or have >= wanted // every:
                continue
            with busy.beside(int(setting.loaded)), turns.take(None):
                look = recorders[setting.folder].look(number, setting.injected)
            with setting.file.open("a") as file:
                file.write(codec.to_json(look, indent=-1).decode() + "\n")
            seconds = sum(pair.seconds or 0.0 for pair in look)
            print(f"{setting.name}: {have + 1} of {wanted // every}, {seconds:.1f} s", flush=True)


def _whole_lines(path: Path) -> int:
    """How many looks a file holds; what an interruption left of a line is cut off."""
    if not path.exists():
        return 0
    text = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(text.rfind(b"\n") + 1)
    return text.count(b"\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--looks", type=int, default=60, help="looks of each setting (60)")
    parser.add_argument("--report", action="store_true", help="record nothing")
    chosen = parser.parse_args()
    if not chosen.report:
        record(chosen.looks)
    found = {setting.name: read(setting) for setting in settings()}
    verdict_report.show(
        {name: looks for name, looks in found.items() if looks}, ROOT / "docs" / "false-verdicts.svg"
    )


if __name__ == "__main__":
    main()
