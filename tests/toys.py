"""A tiny target whose kernel needs numpy only, written into a test's own project.

Its kernel multiplies two vectors `REPEATS` times; its speed and its faults are set by what the test writes.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from pytest_lance_autoresearch.target_files import discover, load
from pytest_lance_autoresearch.target_files.load import Target

GATE = ("-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--autoresearch=toy", "--keep-gate")
"""Arguments of pytest that have the toy's kernel judged."""
INPUTS = """
from typing import NamedTuple
import numpy as np

class Shape(NamedTuple):
    rows: int
    width: int

class State(NamedTuple):
    weights: np.ndarray

SHAPES = (Shape(64, 32), Shape(128, 32), Shape(129, 31))
DISTRIBUTIONS = ("uniform", "normal", "sparse")
EDGE_DISTRIBUTIONS = ("zeros", "large")

def make_state(shape, distribution, rng):
    return State(rng.random(shape.rows * shape.width))

def make_call(shape, distribution, state, rng):
    scale = {"zeros": 0.0, "large": 1e12}.get(distribution, 1.0)
    return (scale * rng.random(state.weights.size),)
"""

TARGET = """
UNIT = "product"

def ops(shape):
    return 1

def bind(impl, state):
    return impl.Kernel(state.weights).product
"""

REFERENCE = """
class Kernel:
    def __init__(self, weights):
        self.weights = weights

    def product(self, x):
        return self.weights * x
"""

KERNEL = """import numpy as np

REPEATS = 40


class Kernel:
    def __init__(self, weights):
        self.weights = weights

    def product(self, x):
        for _ in range(REPEATS):
            result = np.multiply(self.weights, x)
        return result
"""

FASTER = KERNEL.replace("REPEATS = 40", "REPEATS = 10")
SLOWER = KERNEL.replace("REPEATS = 40", "REPEATS = 120")
CASES = tuple(
    f"{shape}-{distribution}"
    for shape in ("64x32", "128x32", "129x31")
    for distribution in ("uniform", "normal", "sparse", "zeros", "large")
)
TIMED = tuple(case for case in CASES if not case.endswith(("zeros", "large")))
ITEMS = len(CASES) + len(TIMED)


def kernel(body: str, setup: str = "") -> str:
    """A kernel whose call runs `body` (indented by the caller to nothing), after `setup` at import."""
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    return KERNEL.replace("        return result", lines).replace("REPEATS = 40", f"REPEATS = 1\n{setup}")


def write(root: Path, name: str = "toy", text: str = KERNEL, **changed: str) -> Path:
    """Write the target `name` below `root`; `changed` gives other texts, by stem. Returns its folder."""
    folder = root / "targets" / name
    folder.mkdir(parents=True, exist_ok=True)
    files = {"inputs": INPUTS, "target": TARGET, "reference": REFERENCE, **changed}
    for stem, content in files.items():
        (folder / f"{stem}.py").write_text(content)
    (folder / "kernels.py").write_text(text)
    (folder / "program.md").write_text("# toy\n")
    return folder


@cache
def loaded() -> Target:
    """The target, loaded once for all tests that change nothing about it; its folder is gone."""
    with TemporaryDirectory() as root:
        return load.load(discover.inspect(write(Path(root))))


IN_PACKAGE = KERNEL.replace("REPEATS = 40", "from .config import REPEATS")
"""The kernel as a module of a package, which finds a number in another."""
HOUSE = {
    "__init__": "from lib._kernels import Kernel\n",
    "config": "import os\n\nREPEATS = 40\n",
    "_kernels": IN_PACKAGE,
}
"""The package `lib`, by stem."""
HOUSED = f'KERNEL = "../../src/lib/_kernels.py"\nIMPORTS = ("lib.config",)\n{TARGET}'
"""The target's wiring, which says where the kernel lies."""


def write_package(root: Path, **changed: str) -> Path:
    """Write a target whose kernel lies in the package `lib` below `root`'s src; `changed` gives texts by stem.

    Those of the target's own files go there, all others are the package's. Returns the target's folder.
    """
    own = {stem: changed.pop(stem) for stem in ("inputs", "target", "reference") if stem in changed}
    folder = write(root, **{"target": HOUSED, **own})
    (folder / "kernels.py").unlink()
    house = root / "src" / "lib"
    house.mkdir(parents=True, exist_ok=True)
    for stem, text in {**HOUSE, **changed}.items():
        (house / f"{stem}.py").write_text(text)
    return folder
