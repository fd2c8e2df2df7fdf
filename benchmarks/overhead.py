"""What the plugin costs: start-up, collection of 12 targets, whole trials, states, growth with cases.

Prints one table. Every comparison is a ratio or a difference of runs that alternate within this one command, so
that a machine whose speed drifts does not decide; absolute seconds are there for reading.

    python benchmarks/overhead.py            everything, about 10 minutes
    python benchmarks/overhead.py startup collect
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pytest_lance_autoresearch.target_files import generate

ROOT = Path(__file__).resolve().parent.parent
PORT = ROOT / "benchmarks" / "ports" / "pq-l2" / "kernels.py"
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
WITHOUT = ["-p", "no:lance-autoresearch"]
PAIRS = 15


def run(command: list[str], folder: Path, ok: tuple[int, ...] = (0,)) -> float:
    """Seconds of one whole process; the command must end with one of the exit codes."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode not in ok:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return seconds


def differences(one: list[str], other: list[str], folders: tuple[Path, Path], ok: tuple[int, ...]) -> list[float]:
    """Seconds of `one` minus seconds of `other`, pair by pair, after a warm-up of both."""
    run(one, folders[0], ok)
    run(other, folders[1], ok)
    return [run(one, folders[0], ok) - run(other, folders[1], ok) for _ in range(PAIRS)]


def startup(scratch: Path) -> None:
    """The installed plugin in a project without targets, over the same run without the plugin."""
    (scratch / "test_one.py").write_text("def test_one(): pass\n")
    (scratch / "pytest.ini").write_text("[pytest]\n")
    cost = differences(PYTEST, [*PYTEST, *WITHOUT], (scratch, scratch), (0,))
    report("start-up over bare pytest, no targets", [1000 * s for s in cost], "ms", "budget 30 ms")


def collect(scratch: Path) -> None:
    """Collecting 12 targets, over an empty run of the same project without targets."""
    full, empty = scratch / "full", scratch / "empty"
    for folder in (full, empty):
        (folder / "targets").mkdir(parents=True)
        (folder / "pytest.ini").write_text("[pytest]\n")
    copy_targets(full, 12)
    command = [*PYTEST, "--collect-only"]
    cost = differences(command, command, (full, empty), (0, 5))
    report("collecting 12 targets over an empty run", cost, "s", "budget 1 s")


def copy_targets(folder: Path, count: int) -> None:
    for number in range(count):
        name = folder / "targets" / f"pq-l2-{number}"
        shutil.copytree(ROOT / "targets" / "pq-l2", name, ignore=shutil.ignore_patterns("results.tsv*", "__*"))


def trials(scratch: Path) -> None:
    """Whole trials of pq-l2, with the port of Lance as its kernel, each from a cold start.

    Alone, the first gate, a discard (one constant more), a keep (the kernel that a night found).
    """
    (scratch / "pytest.ini").write_text("[pytest]\n")
    shutil.copytree(ROOT / "targets" / "pq-l2", scratch / "targets" / "pq-l2")
    kernel = scratch / "targets" / "pq-l2" / "kernels.py"
    found, port = kernel.read_text(), PORT.read_text()
    kernel.write_text(port)
    alone = [*PYTEST, "--autoresearch=pq-l2"]
    gate = [*alone, "--keep-gate"]
    report("trial of pq-l2 without the gate", [run(alone, scratch) for _ in range(3)], "s", "aim 30 s")
    report("its first gate run (baseline)", [run(gate, scratch)], "s", "aim 60 s")
    kernel.write_text(port + "\nUNUSED = 1\n")
    report("a gate run of an equal kernel (discard)", [run(gate, scratch, (10, 11))], "s", "aim 60 s")
    kernel.write_text(found)
    report("a gate run of a faster kernel (keep)", [run(gate, scratch, (0, 11))], "s", "aim 60 s")


def breakdown(scratch: Path) -> None:
    """Where a trial of pq-l2 without the gate spends its time, step by step in this process."""
    from pytest_lance_autoresearch.bench import process
    from pytest_lance_autoresearch.runs import trial
    from pytest_lance_autoresearch.target_files import contract, discover, load, seeds

    target = load.load(discover.inspect(ROOT / "targets" / "pq-l2"))
    found = contract.cases_of(target)
    run_of = trial.Trial(target, found, trial.Settings(scratch))

    def state_of_every_case() -> None:
        for case in found:
            generate.make_state(target, case, seeds.PUBLISHED_SEED)

    def first_case() -> None:
        run_of.check_case(found[0])

    def other_cases() -> None:
        for case in found[1:]:
            run_of.check_case(case)

    def speeds() -> None:
        for case in found:
            if case.timed:
                run_of.measure_case(case)

    def start_process() -> None:
        started = process.KernelProcess(target, target.kernel, 60.0)
        started.introduce()
        started.close()

    steps = {
        "starting a process and loading the kernel": start_process,
        "making the states of 36 cases": state_of_every_case,
        "the first case: state, process, compiling, checks": first_case,
        "the other 35 cases: states, checks": other_cases,
        "the property test": run_of.check_properties,
        "12 cases of speed: process, compiling, warm-up, 24 windows each": speeds,
    }
    for what, step in steps.items():
        start = time.perf_counter()
        step()
        report(what, [time.perf_counter() - start], "s", "")
    run_of.close()


def states(scratch: Path) -> None:
    """The states of every judged target: what storing costs a first run, and what finding spares a later one."""
    from pytest_lance_autoresearch.machine import environment
    from pytest_lance_autoresearch.target_files import contract, discover, load
    from pytest_lance_autoresearch.target_files.states import States

    for layout in filter(discover.is_judged_by_default, discover.discover(ROOT)):
        target = load.load(layout)
        found = contract.cases_of(target)
        folder = scratch / layout.name
        folder.mkdir()

        def seconds_of(folder: Path | None, target: load.Target = target) -> float:
            of_a_run = States(target, folder=folder)
            start = time.perf_counter()
            for case in contract.cases_of(target):
                of_a_run.of(case)
            return time.perf_counter() - start

        with environment.one_thread():
            pairs = [(seconds_of(None), seconds_of(folder)) for _ in range(4)]
        megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        what = f"{len(found)} states of {layout.name}, {megabytes:.0f} MB"
        report(f"{what}: storing / making", [pairs[0][1] / pairs[0][0]], "", "")
        report(f"{what}: making / finding", [made / again for made, again in pairs[1:]], "", "above 1")


def growth(scratch: Path) -> None:
    """Seconds of a trial of the template with 1, 2 and 4 times its timed distributions."""
    (scratch / "pytest.ini").write_text("[pytest]\n")
    folder = scratch / "targets" / "grown"
    shutil.copytree(ROOT / "targets" / "_template", folder)
    text = (folder / "inputs.py").read_text()
    for factor in (1, 2, 4):
        extra = "" if factor == 1 else EXTRA.format(factor=factor)
        (folder / "inputs.py").write_text(text + extra)
        seconds = [run([*PYTEST, "--autoresearch=grown"], scratch) for _ in range(3)]
        report(f"trial of the template, {factor}x its timed distributions", seconds, "s", "")


EXTRA = """

_published_state, _published_call = make_state, make_call
_NAMES = DISTRIBUTIONS
DISTRIBUTIONS = tuple(f"{{name}}{{i}}" for i in range({factor}) for name in _NAMES)


def _plain(name):
    return next((n for n in _NAMES if name.rstrip("0123456789") == n), name)


def make_state(shape, distribution, rng):
    return _published_state(shape, _plain(distribution), rng)


def make_call(shape, distribution, state, rng):
    return _published_call(shape, _plain(distribution), state, rng)
"""


def report(what: str, values: list[float], unit: str, wanted: str) -> None:
    low, middle, high = min(values), statistics.median(values), max(values)
    print(f"| {what} | {middle:.1f} {unit} | {low:.1f} to {high:.1f} | {len(values)} | {wanted} |", flush=True)


def main() -> None:
    parts: dict[str, Callable[[Path], None]] = {
        "startup": startup,
        "collect": collect,
        "trials": trials,
        "breakdown": breakdown,
        "states": states,
        "growth": growth,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*parts, []], help="which parts to run (default: all)")
    chosen = parser.parse_args().parts or list(parts)
    os.environ.pop("PYTEST_ADDOPTS", None)
    print("| what | median | min to max | runs | wanted |\n|---|---|---|---|---|", flush=True)
    for name in chosen:
        with tempfile.TemporaryDirectory() as scratch:
            parts[name](Path(scratch))


if __name__ == "__main__":
    main()
