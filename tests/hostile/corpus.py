"""Kernels that cheat and honest ones that look as if, and one trial of any of them.

Each file in `cheats/<target>` and `honest/<target>` opens with how it works. It stands behind the port of Lance of
that target, whose class is called `Honest` there, so that it holds only what is its own. The port is the baseline
too: a night changes neither what a cheat can use nor what it is compared with.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from battery import PORTS, TARGETS

from pytest_lance_autoresearch.bench import oracles, process, scratch
from pytest_lance_autoresearch.target_files import contract, discover, generate, load, seeds

HERE = Path(__file__).parent
CLASSES = {"bitpack": "Bitpack", "pq-l2": "PqKernel"}
"""The targets that are attacked, each with the class that its kernel is."""
COMPILES_S = 60.0
"""More than any of them takes."""


def _names(kind: str) -> tuple[str, ...]:
    found = (path.relative_to(HERE / kind).with_suffix("") for path in (HERE / kind).glob("*/*.py"))
    return tuple(sorted(path.as_posix() for path in found))


CHEATS = _names("cheats")
"""Each as 'target/name', as are the honest ones."""
HONEST = _names("honest")


def target_of(name: str) -> str:
    """The target that one of the corpus is a kernel of."""
    return name.partition("/")[0]


def port(target: str) -> str:
    """The port of Lance: the target's kernel, where no other has taken its place."""
    replaced = PORTS / target / "kernels.py"
    return (replaced if replaced.exists() else TARGETS / target / "kernels.py").read_text()


def source(kind: str, name: str) -> str:
    """The whole kernels.py of one of the corpus."""
    target = target_of(name)
    honest, head = port(target), f"class {CLASSES[target]}:"
    assert honest.count(head) == 1
    own = (HERE / kind / f"{name}.py").read_text()
    return f"{honest.replace(head, 'class Honest:')}\n\n{own}"


SMALLER = {
    "Shape(128, 16, 256): 20_000": "Shape(128, 16, 256): 5_000",
    "Shape(256, 16, 256): 20_000": "Shape(256, 16, 256): 5_000",
    "    Shape(768, 96, 256): 20_000,\n": "",
    "Shape(96, 8, 256): 20_011": "Shape(96, 8, 256): 5_003",
}
"""What pq-l2 has fewer of here: of its four shapes the largest takes as long as all others, of the rows a quarter
are more than any cheat looks for."""


def write_project(root: Path) -> None:
    """A project with these targets; each has the port as its kernel, which needs no intrinsics."""
    ignored = shutil.ignore_patterns("results.tsv", "lessons.md", "__pycache__")
    for target in CLASSES:
        shutil.copytree(TARGETS / target, root / "targets" / target, ignore=ignored)
        kernel(root, target).write_text(port(target))
        wiring = root / "targets" / target / "target.py"
        wiring.write_text(wiring.read_text().replace("INTRINSICS = True\n", ""))
    inputs = root / "targets" / "pq-l2" / "inputs.py"
    text = inputs.read_text()
    for published, smaller in SMALLER.items():
        assert text.count(published) == 1
        text = text.replace(published, smaller)
    inputs.write_text(text)
    (root / "pytest.ini").write_text("[pytest]\n")


def kernel(root: Path, target: str) -> Path:
    """The file of the project that the kernels are put into."""
    return root / "targets" / target / "kernels.py"


def compiled(root: Path, target: str, *, checks_bounds: bool) -> scratch.Compiled:
    """What numba makes of the project's kernel, which every cheat of it contains, for all shapes."""
    loaded = load.load(discover.inspect(root / "targets" / target))
    kernel = process.KernelProcess(loaded, loaded.kernel, COMPILES_S, checks_bounds=checks_bounds)
    kernel.introduce()
    try:
        for case in {case.shape_id: case for case in contract.cases_of(loaded)}.values():
            state = generate.make_state(loaded, case, seeds.PUBLISHED_SEED)
            calls = generate.Feed(loaded, case, state, seeds.PUBLISHED_SEED, "check").draw(1)
            kernel.bind(case.id, generate.pickled(loaded, state))
            kernel.run(case.id, calls, oracles.Oracle(loaded, state).room(calls).bytes)
        return kernel.compiled()
    finally:
        kernel.close()


def plain(shared_cache: Path) -> tuple[str, ...]:
    """The options of every run: in the usual order, with a cache where earlier ones left states."""
    return ("-q", "-p", "no:randomly", "-o", f"cache_dir={shared_cache}")


def gate(target: str, shared_cache: Path) -> tuple[str, ...]:
    """The options of one trial."""
    return (f"--autoresearch={target}", "--keep-gate", "-x", *plain(shared_cache))


def trial(pytester: pytest.Pytester, shared_cache: Path, target: str, text: str) -> dict[str, Any]:
    """One trial of a kernel in the pytester's project; returns its block, with the exit code."""
    kernel(pytester.path, target).write_text(text)
    result = pytester.runpytest_inprocess(*gate(target, shared_cache), "--autoresearch-json=block.json")
    block: dict[str, Any] = json.loads((pytester.path / "block.json").read_text())["trials"][0]
    return {**block, "exit": int(result.ret)}
