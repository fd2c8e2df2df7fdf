"""What the defences against kernels cost an honest trial.

    python benchmarks/defences.py             pairs of trials of pq-l2, with and without the defences, in turn
    python benchmarks/defences.py --pairs 10

Each trial is a gate run of a kernel that equals the baseline but for an unused name, so that both kinds do the
same work: a whole discard. What is switched off is in without_defences.py.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent
TARGET = BENCHMARKS.parent / "targets" / "pq-l2"
GATE = ("--autoresearch=pq-l2", "--keep-gate", "--autoresearch-json=block.json", "-p", "no:randomly")


def trial(project: Path, *options: str) -> float:
    """Seconds of one trial, as its block has them."""
    command = [sys.executable, "-m", "pytest", *GATE, *options]
    path = {"PYTHONPATH": str(BENCHMARKS)}
    subprocess.run(command, cwd=project, env=path, capture_output=True, check=False)
    (block,) = json.loads((project / "block.json").read_text())["trials"]
    if block["verdict"] not in ("baseline", "discard"):
        raise SystemExit(f"no trial of equal work: {block['verdict']}, {block['reason']}")
    return float(block["total_seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        shutil.copytree(
            TARGET, project / "targets" / "pq-l2", ignore=shutil.ignore_patterns("*.tsv", "__pycache__")
        )
        (project / "pytest.ini").touch()
        trial(project)
        kernel = project / "targets" / "pq-l2" / "kernels.py"
        kernel.write_text(kernel.read_text() + "\nUNUSED = 1\n")
        ratios = []
        for _ in range(pairs):
            with_all, without = trial(project), trial(project, "-p", "without_defences")
            ratios.append(with_all / without)
            print(f"{with_all:.1f} s with the defences, {without:.1f} s without: {ratios[-1]:.3f}", flush=True)
    print(f"median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}, {pairs} pairs")


if __name__ == "__main__":
    main()
