"""What a user of the wheel does first, in an empty project: new, trial, gate, restore.

Run by the interpreter that the wheel is installed for; the argument is the folder for the project. With `--keep`
a faster kernel is kept, too. Fails at the first step that does not end as it should, and shows what it said.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
PLAIN = "return (self._rows * weights).sum(axis=1)"
FASTER = 'return np.einsum("ij,j->i", self._rows, weights)'
LIBRARY = Path(__file__).parents[2] / "examples" / "outside"
WHO = ("-c", "user.name=A", "-c", "user.email=a@example.org")
PATTERNS = ("template", "float", "exact", "in-out", "simd")


def run(project: Path, command: str, code: int = 0) -> str:
    """Run a command of the environment; its output."""
    name, *rest = command.split()
    done = subprocess.run([BIN / name, *rest], check=False, cwd=project, capture_output=True, text=True)
    if done.returncode != code:
        sys.exit(f"$ {command}\n{done.stdout}{done.stderr}\nended with {done.returncode}, expected {code}")
    return done.stdout


def walk(project: Path, *, keeps: bool) -> None:
    """The whole way; a kernel that is faster takes half of it, so that one interpreter tries it for all."""
    kernel = project / "targets/mine/kernels.py"
    restore = "lance-autoresearch restore targets/mine/results.tsv"
    gate = "pytest -q -x --autoresearch=mine --keep-gate"

    run(project, "python -m pytest_lance_autoresearch harness HARNESS.md")
    run(project, "python -m pytest_lance_autoresearch new mine")
    run(project, "pytest -q --autoresearch=mine -k test_correctness")
    run(project, gate)
    first = kernel.read_text()
    kernel.write_text(first.replace(PLAIN, FASTER))
    faster = kernel.read_text() if keeps else first
    if keeps:
        run(project, gate)
    kernel.write_text(first.replace(PLAIN, "return self._rows.sum(axis=1)"))
    run(project, gate, code=1)
    run(project, restore)
    assert kernel.read_text() == faster, "the kernel that was kept last is not back"
    run(project, f"{restore} --trial 1")
    assert kernel.read_text() == first, "the baseline is not back"
    run(project, "lance-autoresearch verify targets/mine/results.tsv")
    run(project, "lance-autoresearch report", code=2)  # which says what to install
    assert (package() / "page/report.html.jinja").is_file(), "the page's template is not in the wheel"

    for pattern in PATTERNS[1:]:
        run(project, f"lance-autoresearch new {pattern} --like {pattern}")
        run(project, f"pytest -q --autoresearch={pattern} -k test_correctness")
    run(project, f"pytest -q --collect-only {package()}", code=5)


def pull_requests(folder: Path) -> None:
    """What becomes of two changes to a library that guards its kernel with the wheel alone."""
    library = folder / "library"
    shutil.copytree(LIBRARY, library, ignore=shutil.ignore_patterns("__pycache__", "results.tsv", ".*cache"))
    for arguments in (["init", "-q"], ["add", "-A"], [*WHO, "commit", "-q", "-m", "the library"]):
        subprocess.run(["git", *arguments], check=True, cwd=library)
    kernel = library / "src/profiles/_kernels.py"
    text = kernel.read_text()
    gate = "pytest -q targets --regression-gate --baseline=git:HEAD"
    kernel.write_text(f"{text}# a comment\n")
    assert "verdict: pass" in run(library, gate), "a comment makes no kernel slower"
    kernel.write_text(text.replace("np.sqrt(total)", "total"))
    assert "verdict: incorrect" in run(library, gate, code=1), "distances are no squares"


def package() -> Path:
    """Where the package is installed; found without importing it."""
    (found,) = BIN.parent.glob("lib/python3*/site-packages/pytest_lance_autoresearch")
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1]) / "project"
    folder.mkdir()
    walk(folder, keeps="--keep" in sys.argv)
    pull_requests(folder.parent)
