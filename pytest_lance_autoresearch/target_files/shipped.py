"""What the package brings along for projects: the patterns that targets are copied from, and the loop's contract.

Owns where they lie: in an installed package inside of it, in a checkout beside it.
"""

from __future__ import annotations

from pathlib import Path

from pytest_lance_autoresearch.errors import AutoresearchError

PATTERNS = {
    "template": "float32 sums with an error limit, commented line by line",
    "float": "a float64 result with an error limit",
    "exact": "whole numbers, every bit of which must be right",
    "in-out": "an array argument that the kernel fills and returns",
    "simd": "instructions that not every processor has, and a branch for processors without them",
}
"""By what `new --like` calls them: what each is an example of."""
PACKAGE = Path(__file__).resolve().parents[1]
_INSIDE = PACKAGE / "shipped"


def pattern(name: str) -> Path:
    """The folder of one of `PATTERNS`."""
    return _there(Path("targets", f"_{name}"))


def contract() -> Path:
    """The file of the loop's contract, HARNESS.md."""
    return _there(Path("HARNESS.md"))


def is_inside(directory: Path) -> bool:
    """Whether the directory is the package's own: a pattern that is shipped is no target of the project."""
    return directory.resolve().is_relative_to(PACKAGE)


def _there(name: Path) -> Path:
    home = _INSIDE if _INSIDE.is_dir() else PACKAGE.parent
    if not (home / name).exists():
        raise AutoresearchError(f"{home / name}: is missing; install the package again")
    return home / name
