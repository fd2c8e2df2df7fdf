"""Memory and processes of a plain run over all targets, in several orders of their items.

`python benchmarks/memory.py` prints, for each order, the largest sum over pytest and its workers of their resident
memory, the same of proportional memory (shared pages counted once), and the most workers alive at a time.
The budget is 1.2 GB of resident memory and 4 workers.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
BUDGET_BYTES, BUDGET_WORKERS = 1_200_000_000, 4
SAMPLE_S = 0.1
SHUFFLED = """
import random
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    random.Random(1).shuffle(items)
"""
ORDERS = {
    "as collected": ("-p", "no:randomly"),
    "modules and items shuffled": ("-p", "randomly", "--randomly-seed=1"),
    "all items shuffled": ("-p", "no:randomly", "-p", "shuffled"),
}


@dataclass
class Peak:
    """The largest values seen, in bytes and in processes."""

    resident: int = 0
    proportional: int = 0
    workers: int = 0

    def see(self, tree: list[psutil.Process]) -> None:
        resident = proportional = workers = 0
        for process in tree:
            try:
                memory = process.memory_full_info()
                workers += "worker.py" in " ".join(process.cmdline())
            except psutil.Error:
                continue  # it has ended
            resident, proportional = resident + memory.rss, proportional + memory.pss
        self.resident = max(self.resident, resident)
        self.proportional = max(self.proportional, proportional)
        self.workers = max(self.workers, workers)


def measure(options: tuple[str, ...], plugins: Path) -> tuple[Peak, float, int]:
    """The peak of one run, its seconds and its exit code."""
    command = [sys.executable, "-m", "pytest", "-q", "targets", "-p", "no:cacheprovider", *options]
    start_s = time.monotonic()
    run = psutil.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env={"PYTHONPATH": str(plugins)})
    peak = Peak()
    while run.poll() is None:
        try:
            peak.see([run, *run.children(recursive=True)])
        except psutil.Error:
            break
        time.sleep(SAMPLE_S)
    return peak, time.monotonic() - start_s, run.wait()


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    print("| order | resident | proportional | workers | seconds | exit |\n|---|---|---|---|---|---|")
    worst = Peak()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "shuffled.py").write_text(SHUFFLED)
        for name, options in ORDERS.items():
            peak, seconds, code = measure(options, Path(folder))
            sizes = f"{peak.resident / 1e6:.0f} MB | {peak.proportional / 1e6:.0f} MB"
            print(f"| {name} | {sizes} | {peak.workers} | {seconds:.0f} | {code} |", flush=True)
            worst = Peak(max(worst.resident, peak.resident), 0, max(worst.workers, peak.workers))
    return int(worst.resident > BUDGET_BYTES or worst.workers > BUDGET_WORKERS)


if __name__ == "__main__":
    sys.exit(main())
