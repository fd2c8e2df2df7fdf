"""Projects whose logs hold a baseline, recorded once and copied by all who judge another kernel beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory


def baseline(root: Path, *gate: str) -> None:
    """Run the gate on a project of which nothing was judged, in a process with surroundings of its own."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    with TemporaryDirectory() as temporary:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *gate],
            cwd=root,
            env={**own, "TMPDIR": temporary},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout
