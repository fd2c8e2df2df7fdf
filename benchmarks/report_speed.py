"""How long the page of a long night takes, and how large it is: 500 trials of 12 cases, with records of real size.

    python benchmarks/report_speed.py

Makes a log with its archive in a temporary folder: two looks of four pairs of processes with three blocks of every
case, one trial in ten kept. The page is written twice, by processes of their own: without the digests of the
records, as of a log that an earlier version wrote, and with them. Prints seconds and megabytes.

Needs the extra 'report'.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_lance_autoresearch.log import archive, results
from pytest_lance_autoresearch.records import (
    Block,
    CaseTimes,
    Cause,
    Evidence,
    KernelTimes,
    Pair,
    Rules,
    Status,
    TrialRecord,
    Window,
)
from pytest_lance_autoresearch.verdict import judge

LOOKS, CALLS, WALL_NS = 2, 1000, 2_000_000
FUNCTIONS, LINES = 20, 20
"""Of a kernel, and of each of its functions. Each trial's kernel has another text in one of them."""


def window(rng: random.Random, gain: float) -> Window:
    wall_ns = round(WALL_NS / (1 + gain) * rng.gauss(1, 0.01))
    return Window(CALLS, wall_ns, wall_ns - rng.randrange(1000), rng.randrange(5000), 0)


def pair(rng: random.Random, cases: list[str], gain: float) -> Pair:
    """One pair of processes, whose speed differs a little from that of others."""
    gain += rng.gauss(0, 0.003)
    blocks = []
    for case in cases:
        for number in range(Rules.blocks):
            order = ("ABAB", "BABA")[number % 2]
            first, second, third, fourth = (window(rng, gain if side == "B" else 0.0) for side in order)
            blocks.append(Block(case, order, (first, second, third, fourth)))
    return Pair(tuple(blocks), dict.fromkeys(cases, 150.0), 150 * 2**20, 151 * 2**20, 3.0)


def function(rng: random.Random, number: int) -> str:
    lines = (f"    x{n} = values[{rng.randrange(99)}] * {rng.random():.3f}  # step {n}" for n in range(LINES))
    return "\n".join([f"def step_{number}(values):", *lines, "    return x0", ""])


def kernel(rng: random.Random, functions: list[str]) -> bytes:
    """The kernel of a trial: what was tried before, with one function changed."""
    changed = rng.randrange(FUNCTIONS)
    functions[changed] = function(rng, changed)
    return "\n\n".join(['"""A kernel."""\n', *functions]).encode()


def write_trial(
    root: Path,
    log: Path,
    rng: random.Random,
    cases: list[str],
    functions: list[str],
    baseline: results.Row | None,
) -> results.Row:
    """Log one more trial: a baseline where there is none, else one in ten kept."""
    gain = rng.uniform(-0.05, 0.009) if rng.random() > 0.1 else rng.uniform(0.012, 0.03)
    status = Status.BASELINE if baseline is None else Status.KEEP if gain > 0.01 else Status.DISCARD
    windows = tuple(window(rng, 0.0) for _ in range(24))
    alone = KernelTimes(tuple(CaseTimes(case, 1.0, 150.0, windows) for case in cases))
    pairs = tuple(pair(rng, cases, gain) for _ in range(LOOKS * Rules.pairs))
    seen = Evidence(900, 900, pairs, None, LOOKS, 40.0) if baseline else Evidence(900, alone=alone)
    judgement = judge.look(seen, Rules()) if baseline else None
    text = kernel(rng, functions)
    record = TrialRecord(
        "synthetic",
        status,
        f"{status}: geomean 160 -> 144 us/query, one sentence of the usual length with the numbers of both sides",
        (Cause.FASTER if status is Status.KEEP else Cause.WITHIN_NOISE) if judgement else None,
        hashlib.sha256(text).hexdigest(),
        baseline.kernel if baseline else None,
        baseline.trial if baseline else None,
        "inputs:0",
        "synthetic host",
        {"numpy": "2.0"},
        "1",
        Rules(),
        seen,
    )
    archive.store_kernel(root, text)
    speedup = judgement.speedup if judgement else None
    return results.append(
        log,
        results.Row(
            time="2026-11-26T03:00:00+00:00",
            target=record.target,
            status=status,
            speedup=speedup.point if speedup else None,
            ci_low=speedup.low if speedup else None,
            ci_high=speedup.high if speedup else None,
            worst_case=judgement.worst_case or "" if judgement else "",
            worst_speedup=1.01 if judgement else None,
            seconds=45.0,
            kernel=record.candidate,
            harness=record.harness,
            host=record.host,
            description="what was tried in this trial, in about as many words as an agent uses for that " * 2,
            record=archive.store_trial(root, record),
        ),
    )


def write_log(root: Path, trials: int, cases: int) -> Path:
    log, rng = root / "results.tsv", random.Random(1)
    names = [f"{64 << number % 4}x{number}-{('flat', 'sparse', 'mixed')[number % 3]}" for number in range(cases)]
    functions = [function(rng, number) for number in range(FUNCTIONS)]
    baseline = None
    for _ in range(trials):
        row = write_trial(root, log, rng, names, functions, baseline)
        baseline = row if row.status in results.KEPT else baseline
    return log


def measured(log: Path) -> tuple[float, float, int]:
    """Seconds of wall and of CPU time that the command takes, and the bytes of its page."""
    page = log.with_name("report.html")
    before, began = os.times(), time.perf_counter()
    command = [sys.executable, "-m", "pytest_lance_autoresearch", "report", str(log), "-o", str(page)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, cpu_s, page.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--keep", type=Path, help="a folder for the log and its page, instead of a temporary one")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = chosen.keep or Path(folder)
        root.mkdir(parents=True, exist_ok=True)
        log = write_log(root, chosen.trials, chosen.cases)
        kept_mb = sum(path.stat().st_size for path in (root / archive.FOLDER / "trials").iterdir()) / 1e6
        print(f"{chosen.trials} trials of {chosen.cases} cases, {kept_mb:.0f} MB of records")
        for what in ("without digests", "with digests"):
            wall_s, cpu_s, size = measured(log)
            print(f"{what}: {wall_s:.1f} s ({cpu_s:.1f} s of CPU), {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
