"""What opens a kernel's process to other code is refused by its source, and is a way that there is.

Each file in `doors` opens with how it works; its `reached` tells that it does. The reading is all that is in their
way: what they could reach then is what any code in the kernel's own process can.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from pytest_lance_autoresearch.target_files import intrinsics, policy

DOORS = Path(__file__).parent / "doors"
OF_TYPES: Final = "of 'numba.types' a kernel may use Array, CPointer, "
BY_ITS_SOURCE: Final = {
    "declared_symbol": "uses '.declare_intrinsic' for what is no intrinsic; expected a plain string, ",
    "external_function": f"uses 'numba.types.ExternalFunction'; {OF_TYPES}",
    "external_function_pointer": "imports 'numba.cfunc'; of 'numba' a kernel may use experimental, extending, ",
    "inline_assembly": "uses '.asm'; an intrinsic reaches no symbols, no code and no Python",
    "lower_builtin": "imports 'numba.extending.lower_builtin'; of 'numba.extending' a kernel may use intrinsic, ",
    "raw_text": "gives text to 'llvmlite.ir.Constant'; expected numbers, since text would be taken for code",
    "signature": "names 'None' in a signature; expected types of numba",
    "star_import": "imports all of 'numba.extending'; expected the names that are used",
}
RUN: Final = """
import importlib.util, sys
for path in sys.argv[1:]:
    spec = importlib.util.spec_from_file_location("door", path)
    door = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(door)
    assert door.reached() > 0, path
"""


def run(*names: str) -> subprocess.CompletedProcess[str]:
    paths = [str(DOORS / f"{name}.py") for name in names]
    return subprocess.run([sys.executable, "-c", RUN, *paths], capture_output=True, text=True, check=False)


def test_each_has_its_sentence() -> None:
    assert {path.stem for path in DOORS.glob("*.py")} == set(BY_ITS_SOURCE)


@pytest.mark.parametrize("name", BY_ITS_SOURCE)
def test_it_is_refused_by_its_line_whether_intrinsics_are_allowed_or_not(name: str) -> None:
    text, modules = (DOORS / f"{name}.py").read_bytes(), (*policy.MODULES, intrinsics.MODULE)
    assert policy.violation(text) != ""
    assert BY_ITS_SOURCE[name] in policy.violation(text, modules, has_intrinsics=True)


def test_each_is_a_way_that_there_is() -> None:
    done = run(*sorted(BY_ITS_SOURCE.keys() - {"inline_assembly"}))
    assert done.returncode == 0, done.stderr


def test_assembly_ends_the_process_of_a_numba_that_cannot_read_any() -> None:
    assert run("inline_assembly").returncode in (0, -signal.SIGABRT)
