"""What becomes of honest kernels that look like cheats: whole trials, several times each.

    python benchmarks/honest.py              the ten of tests/hostile/honest, five times each (half an hour)
    python benchmarks/honest.py --times 1

None may be refused. Those that are faster than the port, which they stand behind, should be kept each time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "hostile")]

import corpus  # noqa: E402


def trial(project: Path, target: str) -> dict[str, Any]:
    """The block of one trial of what lies in the project."""
    gate = corpus.gate(target, project / ".pytest_cache")
    command = [sys.executable, "-m", "pytest", *gate, "--autoresearch-json=block.json"]
    subprocess.run(command, cwd=project, capture_output=True, check=False)
    (block,) = json.loads((project / "block.json").read_text())["trials"]
    return dict(block)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as folder:
        recorded = Path(folder, "recorded")
        recorded.mkdir()
        corpus.write_project(recorded)
        for target in {corpus.target_of(name) for name in corpus.HONEST}:
            trial(recorded, target)
        print("| kernel | speed-up, median | verdicts | seconds, median |\n|---|---|---|---|")
        for name in corpus.HONEST:
            target, blocks = corpus.target_of(name), []
            for number in range(times):
                project = shutil.copytree(recorded, Path(folder, f"{name}-{number}"))
                corpus.kernel(project, target).write_text(corpus.source("honest", name))
                blocks.append(trial(project, target))
            verdicts = Counter(block["verdict"] for block in blocks)
            said = ", ".join(f"{verdict} {count}" for verdict, count in verdicts.items())
            middle = sorted(blocks, key=lambda block: block["total_seconds"])[times // 2]
            gain = f"{middle['speedup']['point']:.3f}" if middle["speedup"] else "none"
            print(f"| {name} | {gain} | {said} | {middle['total_seconds']:.0f} |", flush=True)


if __name__ == "__main__":
    main()
