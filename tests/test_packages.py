"""Kernels that stay in a package: where they lie, what they run with, and what everybody gets of them."""

from __future__ import annotations

import ast
import importlib
import json
import random
import sys
from collections.abc import Iterator, Mapping
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import toys
import workers

from pytest_lance_autoresearch.bench import oracles, process
from pytest_lance_autoresearch.bench.inprocess import InProcessRunner
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.errors import KernelRaised, KernelRefused, TargetError
from pytest_lance_autoresearch.kernel_side import packages as finding
from pytest_lance_autoresearch.records import Declared, Home
from pytest_lance_autoresearch.target_files import discover, generate, load, packages, policy
from pytest_lance_autoresearch.target_files.contract import cases_of

MAY = ", ".join(policy.MODULES[1:])
PLAIN = "expected a plain string at the top of target.py, where it is read before anything is executed"


@pytest.fixture(autouse=True)
def _imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave what can be imported, and what was, as it is."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def loaded(root: Path, **changed: str) -> load.Target:
    return load.load(discover.inspect(toys.write_package(root, **changed)))


def written(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


# Where target.py says that the kernel lies


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('KERNEL = "../lib/a.py"', Declared("../lib/a.py", 0)),
        ('"""Says where."""\n\nKERNEL: str = "a.py"', Declared("a.py", 2)),
        ('KERNEL = "a.py"\nKERNEL = "b.py"', Declared("a.py", 0)),
        ("KERNEL = ''", Declared()),
        ("import inputs\nKERNEL = str(inputs.PLACE)", Declared("", 1, is_computed=True)),
        ("KERNEL = b'a.py'", Declared("", 0, is_computed=True)),
        ("KERNEL = f'{1}.py'", Declared("", 0, is_computed=True)),
        ("KERNEL: str", Declared()),
        ("def f():\n    KERNEL = 'a.py'", Declared()),
        ("KERNELS = 'a.py'", Declared()),
        ("KERNEL = 'a.py", Declared()),
        ("KERNEL = 'a.py'\n\0", Declared()),
        (f"x = {'-' * 100_000}1", Declared()),
    ],
)
def test_the_place_is_read_out_of_target_py_without_executing_it(
    tmp_path: Path, text: str, said: Declared
) -> None:
    (tmp_path / "target.py").write_text(text)
    assert packages.declared(tmp_path) == said


def test_where_there_is_no_target_py_nothing_is_said(tmp_path: Path) -> None:
    assert packages.declared(tmp_path) == Declared()
    (tmp_path / "target.py").mkdir()
    assert packages.declared(tmp_path) == Declared()


@pytest.mark.parametrize(
    ("files", "home"),
    [
        ((), ("_kernels", "src/lib/fast")),
        (("src/lib/fast/__init__.py",), ("fast._kernels", "src/lib")),
        (("src/lib/fast/__init__.py", "src/lib/__init__.py"), ("lib.fast._kernels", "src")),
        (("src/lib/__init__.py",), ("_kernels", "src/lib/fast")),  # between them lies a folder that is no package
    ],
)
def test_a_module_belongs_to_its_outermost_package(
    tmp_path: Path, files: tuple[str, ...], home: tuple[str, str]
) -> None:
    written(tmp_path, dict.fromkeys((*files, "src/lib/fast/_kernels.py"), ""))
    module, folder = home
    found = packages.home_of(tmp_path / "src/lib/fast/_kernels.py")
    assert found == Home(module, str(tmp_path / folder))
    assert packages.package_of(found) == module.rpartition(".")[0]


def test_a_folder_that_no_import_can_name_is_no_package(tmp_path: Path) -> None:
    written(tmp_path, dict.fromkeys(("v1.2/__init__.py", "v1.2/lib/__init__.py", "v1.2/lib/a.py"), ""))
    assert packages.home_of(tmp_path / "v1.2/lib/a.py") == Home("lib.a", str(tmp_path / "v1.2"))


# What it runs with

TREE = {
    "lib/__init__.py": "from lib import api\n",
    "lib/api.py": "from ._kernels import scan\nfrom .deep.tables import TABLE\nimport json, away.there\n",
    "lib/_kernels.py": "from . import config\n",
    "lib/config.py": "import lib.api\n",
    "lib/alone.py": "",
    "lib/broken.py": "def f(:\n",
    "lib/deep/__init__.py": "",
    "lib/deep/tables.py": "from ..config import X\nfrom ... import beyond\n",
    "lib/deep/more.py": "",
    "other/__init__.py": "",
    "other/part.py": "import plain\n",
    "plain.py": "",
}
CLOSURE = {"lib", "lib.api", "lib.config", "lib.deep", "lib.deep.tables"}
"""What `import lib` leads to, though the modules import each other in a circle."""


@pytest.mark.parametrize(
    ("imports", "more"),
    [
        ((), set()),
        (("lib.config",), set()),
        (("lib.alone", "lib.nowhere", "scipy.special"), {"lib.alone"}),
        (("lib.broken",), {"lib.broken"}),
        (("lib.deep",), {"lib.deep.more"}),
        (("lib",), {"lib.alone", "lib.broken", "lib.deep.more"}),
        (("other.part",), {"other", "other.part", "plain"}),
        (("plain",), {"plain"}),
    ],
)
def test_a_kernel_runs_with_its_packages_and_what_it_may_import_and_what_they_import(
    tmp_path: Path, imports: tuple[str, ...], more: set[str]
) -> None:
    written(tmp_path, TREE)
    found = packages.own_modules(packages.OnDisk(tmp_path), "lib._kernels", imports)
    assert set(found) == CLOSURE | more
    assert found["lib.api"] == TREE["lib/api.py"].encode()


def test_a_module_in_no_package_runs_with_what_it_may_import(tmp_path: Path) -> None:
    written(tmp_path, TREE)
    files = packages.OnDisk(tmp_path)
    assert packages.own_modules(files, "kern", ()) == {}
    assert set(packages.own_modules(files, "kern", ("plain",))) == {"plain"}


@pytest.mark.parametrize(
    ("text", "package", "module"),
    [
        ("from a.b import c", "lib", "a.b"),
        ("from . import c", "lib", "lib"),
        ("from .x import c", "lib", "lib.x"),
        ("from .x.y import c", "lib.deep", "lib.deep.x.y"),
        ("from .. import c", "lib.deep", "lib"),
        ("from ..x import c", "lib.deep", "lib.x"),
        ("from .. import c", "lib", ".."),
        ("from ..x import c", "lib", "..x"),
        ("from . import c", "", "."),
        ("from .x import c", "", ".x"),
    ],
)
def test_a_relative_import_is_one_of_the_package_or_keeps_its_dots(text: str, package: str, module: str) -> None:
    (node,) = ast.parse(text).body
    assert isinstance(node, ast.ImportFrom)
    assert packages.absolute(node, package) == module


# The target


def test_three_files_and_the_place_of_the_kernel_are_a_target(tmp_path: Path) -> None:
    folder = toys.write_package(tmp_path)
    (found,) = discover.discover(tmp_path)
    assert found.faults == ()
    assert found.directory == folder
    assert found.kernel_path == (tmp_path / "src/lib/_kernels.py").resolve()
    assert discover.recognise(folder) == found


def fault(folder: Path) -> str:
    (sentence,) = discover.inspect(folder).faults
    return sentence


def test_a_kernel_in_both_places_is_refused(tmp_path: Path) -> None:
    folder = toys.write_package(tmp_path)
    (folder / "kernels.py").write_text(toys.KERNEL)
    assert fault(folder) == (
        "target 'toy': kernels.py is there, and target.KERNEL names '../../src/lib/_kernels.py'; "
        "expected one of them"
    )


PATH = "expected a module, by its path from target.py"


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("../src/lib/_kernels.py", "{named}, and there is no '{root}/targets/src/lib/_kernels.py'; " + PATH),
        ("../../../src/lib/_kernels.py", "{named}, and there is no '{above}/src/lib/_kernels.py'; " + PATH),
        ("../" * 99 + "gone/a.py", "{named}, and there is no '/gone/a.py'; " + PATH),
        ("~/lib/_kernels.py", "{named}, and there is no '{folder}/~/lib/_kernels.py'; " + PATH),
        ("../../src/lib/gone.py", "{named}, and there is no '{house}/gone.py'; " + PATH),
        ("../../src/lib/a\\0.py", "{named}, and there is no '{folder}/../../src/lib/a\\x00.py'; " + PATH),
        (
            "../../src/lib/kernel.py",
            "{named}, and there is no '{house}/kernel.py'; did you mean '../../src/lib/_kernels.py'?",
        ),
        (
            "../../src/lib/_kernels",
            "{named}, and there is no '{house}/_kernels'; did you mean '../../src/lib/_kernels.py'?",
        ),
        ("../../src/lib/", "{named}, which is a folder; expected a module, such as '../../src/lib/_kernels.py'"),
        (
            "../../src/lib/__init__.py",
            "{named}, which stands for a whole package; expected one module of it, which it may import",
        ),
        ("../../src/lib/data.txt", "{named}; expected a module that Python can import, such as '_kernels.py'"),
        ("../../src/lib/my.data.py", "{named}; expected a module that Python can import, such as '_kernels.py'"),
        ("../../src/lib/broken.py", "{named}, and there is no '{house}/nowhere.py'; " + PATH),
        (
            "inputs.py",
            "{named} in the target's own folder; expected a file elsewhere, or kernels.py and no KERNEL",
        ),
        (
            "{house}/_kernels.py",
            "{named}, which other machines do not have; expected the path from target.py, "
            "'../../src/lib/_kernels.py'",
        ),
    ],
)
def test_what_is_no_module_is_refused(tmp_path: Path, named: str, said: str) -> None:
    house = tmp_path / "src/lib"
    named = named.format(house=house)
    folder = toys.write_package(tmp_path, target=f'KERNEL = "{named}"\n{toys.TARGET}')
    for name in ("data.txt", "my.data.py"):
        (house / name).touch()
    (house / "broken.py").symlink_to("nowhere.py")
    places = {"root": tmp_path, "above": tmp_path.parent, "folder": folder, "house": house}
    shown = named.replace("\\0", "\\x00")
    expected = said.format(named=f"target.KERNEL names '{shown}'", **places)
    assert fault(folder) == f"target 'toy': {expected}"


def test_a_file_outside_the_root_or_reached_through_a_link_is_a_kernel(tmp_path: Path) -> None:
    wiring = toys.HOUSED.replace("../../src/lib", "../../../link")
    toys.write_package(tmp_path / "root", target=wiring)
    (tmp_path / "root/src").rename(tmp_path / "away")
    (tmp_path / "link").symlink_to("away/lib", target_is_directory=True)
    (found,) = discover.discover(tmp_path / "root")
    assert (found.faults, found.kernel_path) == ((), tmp_path / "away/lib/_kernels.py")
    assert load.load(found).kernel.home == Home("lib._kernels", str(tmp_path / "away"))


def test_a_place_that_is_computed_is_refused_where_nothing_was_executed(tmp_path: Path) -> None:
    folder = toys.write_package(tmp_path, target=f'KERNEL = "../.." + "/src/lib/_kernels.py"\n{toys.TARGET}')
    (found,) = discover.discover(tmp_path)
    assert found.faults == (f"target 'toy': target.KERNEL is no plain string; {PLAIN}",)
    with pytest.raises(TargetError) as raised:
        load.load(discover.inspect(folder))
    assert str(raised.value) == found.faults[0]


def test_a_place_that_is_another_when_target_py_was_executed_is_refused(tmp_path: Path) -> None:
    text = f"{toys.HOUSED}\nKERNEL = 'another.py'\n"
    with pytest.raises(TargetError) as raised:
        loaded(tmp_path, target=text)
    assert str(raised.value) == f"target 'toy': target.KERNEL is 'another.py'; {PLAIN}"


def test_links_lead_to_the_file_that_is_imported(tmp_path: Path) -> None:
    """Paths of a target that a link leads to begin where its target.py really lies."""
    folder = toys.write_package(tmp_path / "real", target=toys.HOUSED.replace("_kernels", "linked"))
    (tmp_path / "real/src/lib/linked.py").symlink_to("_kernels.py")
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets/mine").symlink_to(folder, target_is_directory=True)
    (found,) = discover.discover(tmp_path)
    assert (found.name, found.faults) == ("mine", ())
    assert found.kernel_path == (tmp_path / "real/src/lib/_kernels.py").resolve()
    assert load.load(found).kernel.home.module == "lib._kernels"


def test_a_folder_whose_target_py_cannot_be_read_is_not_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toys.write_package(tmp_path)
    read = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path.name == "target.py":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    assert discover.discover(tmp_path) == ()
    (found,) = discover.discover(tmp_path, least=discover.UNFINISHED)
    assert found.faults[0].startswith("target 'toy': missing kernels.py; ")


@pytest.mark.parametrize(
    "named", ["'scipy.special'", "['lib']", "('lib', 3)", "('',)", "None", "('.config',)", "('lib/config.py',)"]
)
def test_imports_that_are_no_tuple_of_names_are_refused(tmp_path: Path, named: str) -> None:
    with pytest.raises(TargetError) as raised:
        loaded(tmp_path, target=f"{toys.HOUSED}\nIMPORTS = {named}\n")
    assert str(raised.value) == (
        f"target 'toy': target.IMPORTS is {ast.literal_eval(named)!r}; expected a tuple of names of modules, such "
        f"as ('scipy.special',)"
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lib.confg", "and there is no such module in {src}; did you mean 'lib.config'?"),
        (
            "lib.gone.too",
            "and there is no such module in {src}; expected the name of one, as in 'import lib.config'",
        ),
        ("lib._native", "and there is only _native.c, _native.cpython-27.so; is it built, for this Python?"),
    ],
)
def test_a_module_that_the_package_does_not_have_is_refused(tmp_path: Path, name: str, said: str) -> None:
    house = written(tmp_path, {"src/lib/_native.c": "", "src/lib/_native.cpython-27.so": ""})
    with pytest.raises(TargetError) as raised:
        loaded(house, target=f"{toys.HOUSED}\nIMPORTS = ('lib.config', '{name}')\n")
    assert str(raised.value) == f"target 'toy': target.IMPORTS names '{name}', {said.format(src=tmp_path / 'src')}"


class Elsewhere:
    """Finds a compiled module outside its package, as editable installations do."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        return ModuleSpec(name, None) if name == "lib.elsewhere" else None


@pytest.mark.parametrize(
    "name",
    [
        "lib.spread",
        "lib.spread.part",
        "lib.built",
        "lib.config.REPEATS",
        "lib.Kernel",
        "lib.elsewhere",
        "gone.too",
    ],
)
def test_what_may_be_there_is_left_to_the_kernel_s_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Also a package without an __init__.py, a name in a module, and what is foreign."""
    monkeypatch.setattr(sys, "meta_path", [Elsewhere(), *sys.meta_path])
    written(tmp_path, {"src/lib/spread/part.py": "A = 1\n", f"src/lib/built{EXTENSION_SUFFIXES[0]}": ""})
    target = loaded(tmp_path, target=f"{toys.HOUSED}\nIMPORTS = ('lib.config', '{name}')\n")
    assert ("lib.spread.part" in target.beside) == name.startswith("lib.spread")


# The fingerprint


def test_the_fingerprint_holds_what_the_kernel_runs_with_and_not_the_kernel(tmp_path: Path) -> None:
    before = loaded(tmp_path / "a")
    assert set(before.beside) == {"lib", "lib.config"}
    assert before.fingerprint.split(",")[0].startswith("imports:")
    assert loaded(tmp_path / "b", _kernels="import math\n").fingerprint == before.fingerprint
    assert loaded(tmp_path / "c", unused="").fingerprint == before.fingerprint
    for number, changed in enumerate(({"config": "REPEATS = 1\n"}, {"__init__": ""})):
        now = loaded(tmp_path / str(number), **changed).fingerprint
        parts = zip(before.fingerprint.split(","), now.split(","), strict=True)
        assert [one.split(":")[0] for one, other in parts if one != other] == ["imports"]


def test_what_a_kernel_begins_to_import_changes_no_fingerprint(tmp_path: Path) -> None:
    """Or an edit that keeps to the rules would end as a change of the harness."""
    everything = toys.HOUSED.replace('"lib.config"', '"lib"')
    one = loaded(tmp_path / "a", target=everything, more="")
    other = loaded(tmp_path / "b", target=everything, more="", _kernels=f"from .more import *\n{toys.IN_PACKAGE}")
    assert policy.violation_of(other) == ""
    assert one.fingerprint == other.fingerprint


def test_the_texts_of_two_modules_cannot_be_taken_for_each_other_s(tmp_path: Path) -> None:
    both = toys.HOUSED.replace('"lib.config",', '"lib.config", "lib.more"')
    one = loaded(tmp_path / "a", target=both, config="a = 1\n", more="b = 1\n")
    other = loaded(tmp_path / "b", target=both, config="a = 1\nb = 1\n", more="")
    assert one.fingerprint != other.fingerprint


# The reading of the source


MAY_HERE = f"a kernel may import {MAY}, lib.config, scipy.special"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("from .config import REPEATS", ""),
        ("from . import config", ""),
        ("from lib.config import REPEATS", ""),
        ("import lib.config as c\nx = c.REPEATS", ""),
        ("import scipy.special", ""),
        ("from scipy import special", ""),
        ("from .other import x", f"line 1: imports 'lib.other.x'; {MAY_HERE}"),
        ("from . import other", f"line 1: imports 'lib.other'; {MAY_HERE}"),
        ("from .. import other", f"line 1: imports '..other'; {MAY_HERE}"),
        ("import lib", f"line 1: imports 'lib'; {MAY_HERE}"),
        ("import lib.configs", f"line 1: imports 'lib.configs'; {MAY_HERE}"),
        ("import scipy", f"line 1: imports 'scipy'; {MAY_HERE}"),
        ("from .config import os", f"line 1: imports 'os'; {MAY_HERE}"),
        ("from lib.config import os as o", f"line 1: imports 'os'; {MAY_HERE}"),
        ("from lib.config import path", f"line 1: imports 'os.path'; {MAY_HERE}"),
        ("import lib.config\n\nlib.config.os.getpid()", f"line 3: uses 'os'; {MAY_HERE}"),
        ("from . import config as c\nc.path.join", f"line 2: uses 'os.path'; {MAY_HERE}"),
        ("from lib.config import np\nx = np.zeros(3)", ""),
        (
            "from lib.config import np\nx = np.load('x')",
            "line 2: uses 'numpy.load'; a kernel reaches no files, threads or foreign memory",
        ),
        ("from lib.config import LIMIT", ""),  # of a module of the user's own, wherever it comes from
        (
            "import lib.config\nlib.config.REPEATS = 1",
            "line 2: changes 'lib.config.REPEATS'; modules stay as they are",
        ),
        ("from . import config\ndel config.np", "line 2: changes 'lib.config.np'; modules stay as they are"),
    ],
)
def test_a_kernel_imports_what_target_py_says(tmp_path: Path, text: str, said: str) -> None:
    """And of a module of the user's not what that has imported from elsewhere."""
    config = "import os, os.path\nfrom os import path\nimport numpy as np\nfrom .base import LIMIT\nREPEATS = 1\n"
    wiring = toys.HOUSED.replace('"lib.config",', '"lib.config", "scipy.special"')
    target = loaded(tmp_path, target=wiring, _kernels=text, config=config, base="LIMIT = 1\n", __init__="")
    assert policy.violation_of(target) == (said and f"_kernels.py, {said}")


# What everybody gets of it


def found(folder: Path, text: str, name: str = "lib._kernels") -> ModuleType:
    kernel = finding.load(text.encode(), "kernel.py", Home(name, str(folder)))
    assert kernel is not None
    return kernel


def test_the_text_and_not_the_file_is_what_the_whole_package_gets(tmp_path: Path) -> None:
    house = {"lib/__init__.py": "from lib._kernels import WHICH\n", "lib/_kernels.py": "WHICH = 'the file'\n"}
    kernel = found(written(tmp_path, house), "WHICH = 'the text'\n")
    assert kernel.WHICH == "the text"
    assert (sys.modules["lib"].WHICH, sys.modules["lib"]._kernels) == ("the text", kernel)
    assert (kernel.__name__, kernel.__package__, kernel.__file__) == ("lib._kernels", "lib", "kernel.py")


@pytest.mark.parametrize(
    ("name", "file"), [("json._kernels", json.__file__), ("random", random.__file__), ("sys", "Python itself")]
)
def test_a_kernel_by_a_name_that_is_taken_is_refused(tmp_path: Path, name: str, file: str) -> None:
    """Or what has that name would be measured in its place."""
    with pytest.raises(TargetError) as raised:
        found(tmp_path, "", name)
    assert str(raised.value) == (
        f"target.KERNEL: the kernel would be imported as '{name}', and '{name.partition('.')[0]}' is taken by "
        f"{file}; expected a package, or a module in none, with a name of its own"
    )


def test_a_package_that_is_there_already_and_leads_to_the_kernel_is_no_other(tmp_path: Path) -> None:
    """As one whose parts are installed in several places may be, when Python starts."""
    house = ModuleType("lib")
    house.__path__ = [str(tmp_path / "lib")]
    sys.modules["lib"] = house
    assert found(tmp_path, "A = 1\n").A == 1
    with pytest.raises(TargetError, match="'lib' is taken by Python itself"):
        found(tmp_path, "A = 2\n")


def test_a_module_in_no_package_is_found_with_those_beside_it(tmp_path: Path) -> None:
    written(tmp_path, {"beside.py": "A = 1\n"})
    assert found(tmp_path, "from beside import A\n", "kern").A == 1


def test_a_kernel_that_raises_while_it_is_loaded_raises_that(tmp_path: Path) -> None:
    written(tmp_path, {"lib/__init__.py": "from . import _kernels\n"})
    with pytest.raises(ZeroDivisionError):
        found(tmp_path, "1 / 0\n")
    assert "lib" not in sys.modules


def test_without_a_kernel_a_package_finds_every_name_in_its_place(tmp_path: Path) -> None:
    house = {
        "lib/__init__.py": "from lib._kernels import Kernel, table\nTABLE = table(256).rows\n",
        "lib/_kernels.py": "raise SystemExit('the kernel ran')\n",
    }
    assert finding.load(b"", "kernel.py", Home("lib._kernels", str(written(tmp_path, house)))) is None
    assert "lib" not in sys.modules
    import lib  # type: ignore[import-not-found]

    assert callable(lib.Kernel)
    assert not hasattr(sys.modules["lib._kernels"], "__all__")


# In its process


def answers(target: load.Target) -> None:
    """One call of the kernel in a worker, compared with the oracle."""
    worker = workers.started(target)
    try:
        case = cases_of(target)[0]
        state = generate.make_state(target, case, 0)
        call = generate.Feed(target, case, state, 0, "check").draw(1)[0]
        worker.bind(case.id, generate.pickled(target, state))
        oracle = oracles.Oracle(target, state)
        oracle.verify(oracle.run(worker, case.id, [call])[0], call, "here")
    finally:
        worker.close()


def test_a_kernel_of_a_package_that_is_not_installed_answers(tmp_path: Path) -> None:
    target = loaded(tmp_path)
    answers(target)
    assert "lib" not in sys.modules
    assert not target.is_imported_here


@pytest.mark.parametrize("through", ["src/lib", "link/lib"])
def test_a_kernel_that_this_process_imports_by_another_name_or_a_link_is_found(
    tmp_path: Path, through: str
) -> None:
    target = loaded(tmp_path, _kernels="", __init__="")
    (tmp_path / "link").symlink_to("src", target_is_directory=True)
    sys.path.insert(0, str(tmp_path / through))
    assert not target.is_imported_here
    importlib.import_module("_kernels")
    assert target.is_imported_here


def test_a_plain_kernel_that_leads_into_a_package_is_found_where_this_process_imports_that(tmp_path: Path) -> None:
    folder = toys.write_package(tmp_path, target=toys.TARGET, _kernels="", __init__="")
    (folder / "kernels.py").symlink_to("../../src/lib/_kernels.py")
    target = load.load(discover.inspect(folder))
    assert not target.is_imported_here
    sys.path.insert(0, str(tmp_path / "src"))
    importlib.import_module("lib._kernels")
    assert target.is_imported_here


def test_a_kernel_in_no_package_answers(tmp_path: Path) -> None:
    wiring = toys.HOUSED.replace("lib/_kernels", "lib/kern").replace("lib.config", "config")
    kern = toys.KERNEL.replace("REPEATS = 40", "from config import REPEATS")
    folder = toys.write_package(tmp_path, target=wiring, kern=kern)
    (tmp_path / "src/lib/__init__.py").unlink()
    target = load.load(discover.inspect(folder))
    assert (target.kernel.home.module, set(target.beside)) == ("kern", {"config"})
    answers(target)


def test_inputs_that_import_the_package_get_the_kernel_that_is_tried(tmp_path: Path) -> None:
    sys.path.insert(0, str(tmp_path / "src"))
    which = "import lib\nIN_WORKER = __import__('sys').argv[0].endswith('worker.py')\n"
    asks = f"{which}assert lib._kernels.WHICH == ('text' if IN_WORKER else 'file')\n{toys.INPUTS}"
    target = loaded(tmp_path, inputs=asks, _kernels=f"{toys.IN_PACKAGE}\nWHICH = 'file'\n")
    assert target.is_imported_here
    text = target.kernel.text.replace(b"'file'", b"'text'")
    object.__setattr__(target.kernel, "text", text)
    answers(target)


def test_what_a_kernel_raises_while_it_is_loaded_is_told_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    target = loaded(tmp_path, _kernels="def f():\n    return 1 / 0\nf()\n")
    with pytest.raises(KernelRaised) as raised:
        workers.started(target)
    assert str(raised.value) == (
        "_kernels.py, while it was loaded: the kernel raised ZeroDivisionError: division by zero, "
        "at src/lib/_kernels.py:2\n"
        "  src/lib/__init__.py:1, in <module>: from lib._kernels import Kernel\n"
        "  src/lib/_kernels.py:3, in <module>: f()\n"
        "  src/lib/_kernels.py:2, in f: return 1 / 0"
    )


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("REPEATS = 1 / 0\n", "ZeroDivisionError: division by zero, at src/lib/config.py:1"),
        ("\nREPEATS = (\n", "SyntaxError: '(' was never closed, at src/lib/config.py:2"),
        ("from .gone import x\n", "ModuleNotFoundError: No module named 'lib.gone', at src/lib/config.py:1"),
        ("import os\nREPEATS = os.environ['X']\n", "KeyError: 'X', at src/lib/config.py:2"),
        (
            "import threading\nthreading.Thread(target=print).start()\n",
            "RuntimeError: can't start new thread, at src/lib/config.py:2",
        ),
        (
            "from ._kernels import Kernel\n",
            "ImportError: cannot import name 'Kernel' from partially initialized module 'lib._kernels' (most "
            "likely due to a circular import) (src/lib/_kernels.py), at src/lib/config.py:1",
        ),
    ],
)
def test_what_a_module_raises_that_the_kernel_imports_is_told_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KernelRaised) as raised:
        workers.started(loaded(tmp_path, config=config))
    first, *places = str(raised.value).splitlines()
    assert first == f"_kernels.py, while it was loaded: the kernel raised {said}"
    assert places[:2] == [
        "  src/lib/__init__.py:1, in <module>: from lib._kernels import Kernel",
        "  src/lib/_kernels.py:3, in <module>: from .config import REPEATS",
    ]
    assert places[2].startswith("  src/lib/config.py:")


def test_without_the_locks_a_thread_of_a_module_is_found_when_the_kernel_was_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "CONFINED", False)
    waiting = "threading.Thread(target=threading.Event().wait, daemon=True).start()"
    with pytest.raises(KernelRefused) as raised:
        workers.started(loaded(tmp_path, config=f"import threading\n{waiting}\nREPEATS = 1\n"))
    assert str(raised.value) == (
        "_kernels.py, while it was loaded: the kernel, or a module that it imports, started a thread; "
        "one thread is the rule"
    )


def test_what_a_function_raises_that_the_kernel_calls_is_told_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = "import numpy as np\n\ndef scaled(x):\n    return np.reshape(x, (3, 5))\n"
    text = toys.kernel("return scaled(x)", "from .config import scaled")
    target = loaded(tmp_path, _kernels=text, config=config)
    worker = workers.started(target)
    worker.bind("key", generate.pickled(target, generate.make_state(target, cases_of(target)[0], 0)))
    with pytest.raises(KernelRaised) as raised:
        worker.run("key", [(np.zeros(2048),)])
    worker.close()
    assert str(raised.value).splitlines() == [
        "key: the kernel raised ValueError: cannot reshape array of size 2048 into shape (3,5), "
        "at src/lib/config.py:4",
        "  src/lib/_kernels.py:14, in product: return scaled(x)",
        "  src/lib/config.py:4, in scaled: return np.reshape(x, (3, 5))",
    ]


def test_what_a_module_raises_that_inputs_import_is_told_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sys.path.insert(0, str(tmp_path / "src"))
    with pytest.raises(TargetError) as raised:
        loaded(tmp_path, config="def f(:\n", inputs=f"import lib.config\n{toys.INPUTS}")
    assert str(raised.value) == (
        "target 'toy': inputs.py does not load: SyntaxError: invalid syntax, at src/lib/config.py:1"
    )


def test_what_a_function_raises_that_inputs_call_is_told_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sys.path.insert(0, str(tmp_path / "src"))
    asks = toys.INPUTS.replace("scale = {", "return (weights(),)\n    scale = {")
    helper = "def weights():\n    return 1 / 0\n"
    target = loaded(tmp_path, __init__="", weighing=helper, inputs=f"from lib.weighing import weights\n{asks}")
    case = cases_of(target)[0]
    with pytest.raises(TargetError) as raised:
        generate.Feed(target, case, generate.make_state(target, case, 0), 0, "check").draw(1)
    assert str(raised.value) == (
        "target 'toy': inputs.py, line 21, raised ZeroDivisionError: division by zero, at src/lib/weighing.py:2"
    )


def test_the_process_without_a_kernel_runs_none_where_inputs_import_the_package(tmp_path: Path) -> None:
    """It shows what the runner itself costs, which is taken off both sides' times: no kernel has a say in it."""
    sys.path.insert(0, str(tmp_path / "src"))
    guard = "import sys\nassert not sys.argv[0].endswith('worker.py'), 'the kernel ran'\n"
    target = loaded(tmp_path, inputs=f"import lib\n{toys.INPUTS}", _kernels=guard + toys.IN_PACKAGE)
    with pytest.raises(KernelRaised, match="the kernel ran"):
        workers.started(target)
    processes = Processes(target, workers.TIMEOUT_S, in_process=False)
    try:
        processes.null()
    finally:
        processes.clear()


def test_under_a_debugger_what_a_module_raises_is_told_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KernelRaised) as raised:
        InProcessRunner(loaded(tmp_path, config="REPEATS = (\n"))
    assert str(raised.value).splitlines()[0] == (
        "_kernels.py, while it was loaded: the kernel raised SyntaxError: '(' was never closed, "
        "at src/lib/config.py:1"
    )


def test_under_a_debugger_the_package_s_own_module_is_the_kernel(tmp_path: Path) -> None:
    target = loaded(tmp_path)
    runner = InProcessRunner(target)
    state = generate.make_state(target, cases_of(target)[0], 0)
    runner.bind("key", generate.pickled(target, state))
    answers = runner.run("key", [(state.weights,)])
    assert (answers[0] == state.weights**2).all()
    assert sys.modules["lib._kernels"].__file__ == str(target.layout.kernel_path)
    assert target.is_imported_here
