"""Gates on a kernel that stays in its package: what a revision holds of it, its items, its log, its verdicts."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import repositories
import toys
import workers

from pytest_lance_autoresearch.bench.process import KernelProcess
from pytest_lance_autoresearch.command.verbs import main
from pytest_lance_autoresearch.errors import KernelRaised, RevisionUnknown
from pytest_lance_autoresearch.log import gate, results, revision
from pytest_lance_autoresearch.log.revision import Revision
from pytest_lance_autoresearch.plugin import options
from pytest_lance_autoresearch.records import RegressionRules, Source
from pytest_lance_autoresearch.target_files import discover, generate, load
from pytest_lance_autoresearch.target_files.contract import cases_of
from pytest_lance_autoresearch.words.wording import shown

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

PLAIN = ("-p", "no:randomly", "-p", "no:cacheprovider", "-q")
KEEP = (*PLAIN, "--autoresearch=toy", "--keep-gate")
REGRESSION = (*PLAIN, "--autoresearch=toy", "--regression-gate", "--baseline=git:HEAD")
TELLS = toys.KERNEL.replace("REPEATS = 40", "from .config import NUMBER, REPEATS").replace(
    "return result", "return np.array([NUMBER])"
)
"""A kernel whose answer says which `config` it was given."""


@pytest.fixture(autouse=True)
def _imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave what can be imported, and what was, as it is."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def config(number: int) -> str:
    return f"NUMBER = {number}\nREPEATS = 40\n"


class House:
    """A repository that holds a package and its target below a folder of its own."""

    def __init__(self, top: Path, **texts: str) -> None:
        self.top, self.root = top, top / "libraries" / "first"
        self.write(**{"_kernels": TELLS, "config": config(1), **texts})
        (top / "README.md").touch()
        repositories.commit(top)

    def write(self, **texts: str) -> None:
        toys.write_package(self.root, **{"_kernels": TELLS, "config": config(1), **texts})

    @property
    def package(self) -> Path:
        return self.root / "src" / "lib"

    def target(self) -> load.Target:
        return load.load(discover.inspect(self.root / "targets" / "toy"))

    def found(self, name: str = "HEAD") -> Revision:
        return revision.find(self.target(), name)

    def delete(self, stem: str, *, is_committed: bool) -> str:
        """Delete a module of the package; returns the name of the revision that had it."""
        (self.package / f"{stem}.py").unlink()
        if is_committed:
            repositories.commit(self.top)
        return "HEAD^" if is_committed else "HEAD"


def baseline(found: Revision) -> Source:
    assert found.kernel is not None
    return found.kernel


def number_of(target: load.Target, source: Source) -> float:
    """What the kernel answers, in a process of its own."""
    process = KernelProcess(target, source, workers.TIMEOUT_S)
    try:
        process.introduce()
        state = generate.make_state(target, cases_of(target)[0], 0)
        process.bind("key", generate.pickled(target, state))
        return float(process.run("key", [(state.weights,)])[0][0])
    finally:
        process.close()


# What a revision holds


def test_the_baseline_finds_its_own_modules_and_the_candidate_those_of_now(tmp_path: Path) -> None:
    house = House(tmp_path)
    assert not house.found().imports_changed
    house.write(config=config(2))
    target, found = house.target(), house.found()
    assert found.imports_changed
    assert set(baseline(found).package) == {"lib/__init__.py", "lib/_kernels.py", "lib/config.py"}
    assert number_of(target, baseline(found)) == 1
    assert number_of(target, target.kernel) == 2
    opened = gate.against_revision(target, tmp_path, "HEAD")
    assert opened.identical(target.kernel) == ""
    assert opened.notes_on(2) == (
        f"modules that the kernel imports have changed since {found}; each kernel was measured with its own",
        "libraries/first/src/lib/config.py is not committed as it is; the verdict is about what is in the "
        "working tree",
    )
    assert opened.notes_on(1)[0] == (
        f"modules that the kernel imports have changed since {found}; the kernel ran with those of now"
    )


def test_what_the_candidate_imports_is_what_was_read_and_has_its_fingerprint(tmp_path: Path) -> None:
    """Whatever becomes of the files meanwhile."""
    house = House(tmp_path, __init__="from lib.config import NUMBER\n")
    target = house.target()
    house.write(config=config(2), __init__="raise ValueError('another package')\n")
    assert number_of(target, target.kernel) == 1
    house.write(config=config(2))
    assert number_of(house.target(), house.target().kernel) == 2


def test_what_a_module_of_the_baseline_raises_is_told_by_its_place_in_the_repository(tmp_path: Path) -> None:
    house = House(tmp_path, config="NUMBER = REPEATS\n")
    with pytest.raises(KernelRaised) as raised:
        number_of(house.target(), baseline(house.found()))
    assert str(raised.value).splitlines()[0] == (
        "_kernels.py, while it was loaded: the kernel raised NameError: name 'REPEATS' is not defined, "
        f"at {house.package}/config.py:1"
    )


def test_line_ends_are_no_change(tmp_path: Path) -> None:
    house = House(tmp_path)
    (house.package / "config.py").write_bytes(config(1).replace("\n", "\r\n").encode())
    assert not house.found().imports_changed


COMMENTED = f'"""What it says of itself."""\n# and a comment\n{config(1)}'


@pytest.mark.parametrize(
    ("before", "now", "is_changed"),
    [
        (config(1), COMMENTED, False),
        (COMMENTED, config(1), False),
        (config(1), config(1).replace("1", "1 + 0"), True),
        ("no Python\n", "no Python\r\n", False),
        ("no Python\n", "no Python  # at all\n", True),
        ("no Python\n", config(1), True),
    ],
)
def test_a_module_changes_with_its_code(tmp_path: Path, before: str, now: str, *, is_changed: bool) -> None:
    """As a kernel does; where there is no code, with its bytes."""
    house = House(tmp_path, config=before)
    (house.package / "config.py").write_bytes(now.encode())
    assert house.found().imports_changed == is_changed


def test_a_comment_in_one_kernel_of_a_package_leaves_the_others_alone(tmp_path: Path) -> None:
    """Its `__init__` imports both; the fingerprint, which a log holds, is that of the bytes."""
    house = House(tmp_path, __init__="from lib import _another, _kernels\n", _another="X = 1\n")
    before = house.target()
    house.write(_another="X = 1  # the first\n", __init__="from lib import _another, _kernels\n")
    opened = gate.against_revision(house.target(), tmp_path, "HEAD")
    assert opened.identical(house.target().kernel).startswith("the kernel is identical to the baseline, HEAD at ")
    assert opened.notes_on(0) == (
        "libraries/first/src/lib/_another.py is not committed as it is; the verdict is about what is in the "
        "working tree",
    )
    assert house.target().fingerprint != before.fingerprint


def test_a_module_that_is_new_is_not_there_at_the_revision(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.write(config="from lib.numbers import *\n", numbers=config(2))
    repositories.git(tmp_path, "add", "-A")
    found = house.found()
    assert found.imports_changed
    assert "lib/numbers.py" not in baseline(found).package
    assert number_of(house.target(), baseline(found)) == 1


def test_a_module_that_is_gone_is_there_at_the_revision(tmp_path: Path) -> None:
    house = House(tmp_path, config="from lib.numbers import *\n", numbers=config(1))
    (house.package / "numbers.py").unlink()
    house.write(config=config(2))
    found = house.found()
    assert found.imports_changed
    assert number_of(house.target(), baseline(found)) == 1


TRIES = "try:\n    from lib.numbers import *\nexcept ImportError:\n    NUMBER = 2\nREPEATS = 40\n"
"""A module that does without another one."""


@pytest.mark.parametrize("is_committed", [True, False])
@pytest.mark.parametrize("importer", ["__init__", "config"])
def test_a_module_that_is_only_gone_is_a_change(tmp_path: Path, importer: str, *, is_committed: bool) -> None:
    """Nothing that is still there differs: the package's own module needs it, the other one does without."""
    text = {"__init__": "from lib.numbers import NUMBER\n", "config": TRIES}[importer]
    house = House(tmp_path, **{importer: text}, numbers=config(1))
    assert not house.found().imports_changed
    name = house.delete("numbers", is_committed=is_committed)
    target, found = house.target(), house.found(name)
    opened = gate.against_revision(target, tmp_path, name)
    assert found.imports_changed
    assert opened.identical(target.kernel) == ""
    uncommitted = (
        "libraries/first/src/lib/numbers.py is not committed as it is; the verdict is about what is in the "
        "working tree"
    )
    assert opened.notes_on(1) == (
        f"modules that the kernel imports have changed since {found}; the kernel ran with those of now",
        *([] if is_committed else [uncommitted]),
    )
    assert number_of(target, baseline(found)) == 1
    if importer == "config":
        assert number_of(target, target.kernel) == 2
    else:
        with pytest.raises(KernelRaised) as raised:
            number_of(target, target.kernel)
        assert str(raised.value).splitlines()[0] == (
            "_kernels.py, while it was loaded: the kernel raised ModuleNotFoundError: No module named "
            f"'lib.numbers', at {house.package}/__init__.py:1"
        )


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_module_beside_the_package_that_is_gone_is_there_at_the_revision(
    tmp_path: Path, *, is_committed: bool
) -> None:
    """Though nothing of now leads to it."""
    house = House(tmp_path, config=TRIES.replace("lib.numbers", "beside"))
    (house.package.parent / "beside.py").write_text(config(1))
    repositories.commit(tmp_path)
    assert not house.found().imports_changed
    found = house.found(house.delete("../beside", is_committed=is_committed))
    assert found.imports_changed
    assert found.uncommitted == (() if is_committed else ("libraries/first/src/beside.py",))
    assert [number_of(house.target(), one) for one in (baseline(found), house.target().kernel)] == [1, 2]


def test_a_package_that_is_none_any_more_is_one_at_the_revision(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.write(target=toys.HOUSED.replace("lib.config", "config"), _kernels=TELLS.replace(".config", "config"))
    name = house.delete("__init__", is_committed=False)
    found = house.found(name)
    assert found.imports_changed
    assert found.uncommitted == ("libraries/first/src/lib/__init__.py", "libraries/first/targets/toy/target.py")
    assert (baseline(found).home.module, house.target().kernel.home.module) == ("lib._kernels", "_kernels")
    assert [number_of(house.target(), one) for one in (baseline(found), house.target().kernel)] == [1, 1]


def test_a_module_that_the_checkout_has_and_the_revision_had_not_yet_is_named_when_it_is_gone(
    tmp_path: Path,
) -> None:
    house = House(tmp_path)
    house.write(config="from lib.numbers import *\n", numbers=config(1))
    repositories.commit(tmp_path)
    house.delete("numbers", is_committed=False)
    assert house.found("HEAD^").uncommitted == ("libraries/first/src/lib/numbers.py",)


def test_what_a_build_leaves_and_no_repository_holds_is_as_it_is_now(tmp_path: Path) -> None:
    """And what is only not committed yet is left out, unless git knows nothing of it."""
    version = "from lib._version import NUMBER\nfrom lib._kernels import Kernel\n"
    (tmp_path / ".gitignore").write_text("_version.py\n*.so\n*.so.1\n")
    house = House(tmp_path, config="from lib._version import NUMBER\nREPEATS = 40\n", __init__=version)
    for name in ("_fast.cpython-311-x86_64-linux-gnu.so", "deep/libdeep.so.1", "notes.txt", "__pycache__/a.pyc"):
        path = house.package / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"built")
    (house.package / "_version.py").write_text("NUMBER = 7\n")
    (house.package / "added.py").touch()
    repositories.git(tmp_path, "add", "libraries/first/src/lib/added.py")
    target, found = house.target(), house.found()
    plain = {"lib/__init__.py", "lib/_kernels.py", "lib/config.py"}
    built = {"lib/_fast.cpython-311-x86_64-linux-gnu.so", "lib/deep/libdeep.so.1", "lib/_version.py"}
    assert set(baseline(found).package) == plain | built
    assert number_of(target, baseline(found)) == 7


def test_a_built_module_changes_with_nothing_that_git_knows(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("_version.py\n")
    house = House(tmp_path, __init__="from lib._version import X\n")
    (house.package / "_version.py").write_text("X = 1\n")
    assert not house.found().imports_changed


def test_a_module_in_no_package_and_one_of_another_come_from_the_revision_too(tmp_path: Path) -> None:
    wiring = toys.HOUSED.replace("lib/_kernels", "kern").replace("lib.config", "other.config")
    kern = TELLS.replace(".config", "other.config")
    house = House(tmp_path, target=wiring)
    (house.root / "src" / "kern.py").write_text(kern)
    (house.root / "src" / "other").mkdir()
    for stem, text in {"__init__": "", "config": config(1)}.items():
        (house.root / "src" / "other" / f"{stem}.py").write_text(text)
    repositories.commit(tmp_path)
    assert not house.found().imports_changed
    (house.root / "src" / "other" / "config.py").write_text(config(2))
    target, found = house.target(), house.found()
    assert found.imports_changed
    assert [number_of(target, source) for source in (baseline(found), target.kernel)] == [1, 2]


def test_a_kernel_in_another_file_than_then_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    """It may be slower than the one that the target had."""
    house = House(tmp_path)
    house.write(target=toys.HOUSED.replace("_kernels", "_another"), _another=TELLS)
    with pytest.raises(RevisionUnknown) as raised:
        house.found()
    package = "libraries/first/src/lib"
    assert str(raised.value) == (
        f"git:HEAD: the kernel of target 'toy' was {package}/_kernels.py there and is {package}/_another.py now; "
        f"a move has no verdict: make it a change of its own, and compare what is edited later with a revision "
        f"since then"
    )


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("HEAD", "in the repository {theirs}"),
        ("ours", "in the repository {theirs}, where there is no such revision"),
        ("ours", "in no git repository"),
    ],
)
def test_a_kernel_that_is_not_in_the_targets_repository_has_no_revision(
    tmp_path: Path, name: str, where: str
) -> None:
    house, theirs = House(tmp_path / "ours"), tmp_path / "theirs"
    shutil.copytree(house.package, theirs / "lib")
    house.write(target=toys.HOUSED.replace("../../src/", "../../../../../theirs/"))
    repositories.git(house.top, "tag", "ours")
    if "{theirs}" in where:
        repositories.commit(theirs)
    with pytest.raises(RevisionUnknown) as raised:
        house.found(name)
    assert str(raised.value) == (
        f"git:{name}: the kernel of target 'toy', {shown(theirs / 'lib/_kernels.py')}, is "
        f"{where.format(theirs=shown(theirs))}, and the target itself is in {shown(house.top)}; expected both in "
        f"one repository; else compare with a log, --baseline=FILE"
    )


def test_a_copy_of_a_target_is_new_though_its_kernel_is_there(tmp_path: Path) -> None:
    """The folder that it was copied from is still there, so that it was not renamed."""
    house = House(tmp_path)
    folder = house.root / "targets"
    shutil.copytree(folder / "toy", folder / "third")
    third = load.load(discover.inspect(folder / "third"))
    found = revision.find(third, "HEAD")
    assert (found.kernel, found.moved_from, found.changed, found.imports_changed) == (None, "", (), False)
    shutil.rmtree(folder / "toy")
    assert baseline(revision.find(third, "HEAD")).text == third.kernel.text
    (folder / "third" / "reference.py").write_text(f"{toys.REFERENCE}# rewritten\n")
    assert revision.find(load.load(discover.inspect(folder / "third")), "HEAD").kernel is None


def test_modules_that_nobody_committed_are_named_and_what_a_build_leaves_is_not(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("_version.py\n")
    house = House(tmp_path, __init__="from lib import _version, added, config\n")
    (house.package / "_version.py").write_text("NUMBER = 7\n")
    (house.package / "added.py").touch()
    (house.package / "nobody_imports_it.py").touch()
    (house.package / "config.py").write_text(f"{config(1)}\n")
    assert house.found().uncommitted == tuple(f"libraries/first/src/lib/{name}.py" for name in ("config", "added"))
    repositories.commit(tmp_path)
    assert house.found().uncommitted == ()


def test_an_uncommitted_kernel_is_said_to_be_one(tmp_path: Path) -> None:
    house = House(tmp_path)
    assert house.found().is_committed
    house.write(_kernels=f"{TELLS}\n")
    assert not house.found().is_committed


# Items and their commands


@pytest.fixture
def house(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with the package in src, which is not installed."""
    toys.write_package(pytester.path)
    return pytester


def write(project: pytest.Pytester, text: str) -> None:
    toys.write_package(project.path, _kernels=text)


FASTER = "from .config import REPEATS\n" + toys.FASTER
WRONG = toys.IN_PACKAGE.replace("return result", "return result + 1")


def test_the_items_stand_below_target_py_and_run_by_their_ids(house: pytest.Pytester) -> None:
    result = house.runpytest(*PLAIN, "--collect-only")
    assert result.outlines[0] == "targets/toy/target.py::test_correctness[64x32-uniform]"
    assert len([line for line in result.outlines if line.startswith("targets/toy/target.py::")]) == toys.ITEMS
    for chosen in ("targets/toy/target.py::test_correctness[64x32-uniform]", "targets/toy/target.py"):
        result = house.runpytest(*PLAIN, chosen)
        result.assert_outcomes(passed=toys.ITEMS if chosen.endswith(".py") else 1)


def test_a_failure_is_shown_again_by_the_command_that_it_names(house: pytest.Pytester) -> None:
    write(house, WRONG)
    result = house.runpytest(*PLAIN, "--autoresearch=toy", "-k", "correctness and 64x32-normal")
    (command,) = {line.partition(": ")[2] for line in result.outlines if line.startswith("run again: ")}
    assert command.startswith("pytest 'targets/toy/target.py::test_correctness[64x32-normal]' --autoresearch=toy")
    again = house.runpytest(*PLAIN, *shlex.split(command)[1:])
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["64x32-normal, published call 1 of 3: result: 2048 of 2048 values differ *"])


def test_in_pytest_s_own_process_the_file_is_imported(house: pytest.Pytester) -> None:
    result = house.runpytest_subprocess(*PLAIN, "--autoresearch=toy", "--autoresearch-in-process")
    result.assert_outcomes(passed=toys.ITEMS)


def test_a_kernel_that_breaks_a_rule_is_refused_by_its_own_name(house: pytest.Pytester) -> None:
    write(house, f"from .config import os\n{toys.IN_PACKAGE}")
    result = house.runpytest(*KEEP, "-x")
    (reason,) = (line for line in result.outlines if line.startswith("reason: "))
    assert reason.startswith(
        "reason: refused: _kernels.py, line 1: imports 'os'; a kernel may import collections, "
    )
    assert reason.endswith(", typing, lib.config")
    assert result.ret == 1


# The keep gate


def rows(project: pytest.Pytester) -> tuple[results.Row, ...]:
    return results.read(project.path / "targets/toy/results.tsv")


@pytest.fixture
def judged(house: pytest.Pytester) -> pytest.Pytester:
    """The same with a baseline in its log and everything committed."""
    repositories.commit(house.path)
    assert house.runpytest(*KEEP).ret == 0
    return house


def test_a_kernel_in_a_package_becomes_the_baseline_of_its_target(judged: pytest.Pytester) -> None:
    """And is found in git where the archive is not there."""
    (row,) = rows(judged)
    assert row.status == "baseline"
    assert not row.commit.endswith("+")
    assert row.harness.startswith("imports:")
    shutil.rmtree(judged.path / ".autoresearch" / "kernels")
    write(judged, f"{toys.IN_PACKAGE}# a comment\n")
    result = judged.runpytest(*KEEP)
    assert result.ret == 10
    result.stdout.fnmatch_lines(["reason: discard: only comments or layout differ; *"])


def test_a_change_of_what_the_kernel_imports_is_one_of_the_harness(judged: pytest.Pytester) -> None:
    toys.write_package(judged.path, config="import os\n\nREPEATS = 10\n")
    result = judged.runpytest(*KEEP)
    assert result.ret == 13
    result.stdout.fnmatch_lines(
        [
            "reason: invalid: what the kernel imports changed since the baseline, trial 1; speeds before and "
            "after such a change cannot be compared; undo it, or record a new baseline with "
            "--autoresearch-rebaseline"
        ]
    )


@pytest.mark.slow
def test_a_faster_kernel_in_a_package_is_kept_and_its_log_is_measured_again(
    judged: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    write(judged, FASTER)
    assert judged.runpytest(*KEEP).ret == 0
    assert rows(judged)[-1].status == "keep"
    log = str(judged.path / "targets/toy/results.tsv")
    assert main(["verify", log]) == 0
    capsys.readouterr()
    main(["audit", log, "--pairs=2"])  # how sure it is of two pairs depends on the machine
    assert re.search(r"^trial 2: claimed \S+ \[.*\], measured ", capsys.readouterr().out, re.MULTILINE)


NOTE = (
    "note: pytest's own process has imported the kernel 'lib._kernels', which could change anything there; what "
    "that leaves open is in docs/threat-model.md"
)


@pytest.mark.parametrize("place", ["conftest", "inputs"])
def test_a_kernel_that_pytest_s_process_has_imported_is_told(house: pytest.Pytester, place: str) -> None:
    house.makeini("[pytest]\npythonpath = src\n")
    if place == "conftest":
        house.makeconftest("import lib\n")
    else:
        toys.write_package(house.path, inputs=f"import lib\n{toys.INPUTS}")
    result = house.runpytest(*KEEP)
    assert result.ret == 0
    result.stdout.fnmatch_lines([NOTE])


@pytest.mark.parametrize("gate", [["--keep-gate"], ["--regression-gate"]])
def test_so_it_is_in_a_gate_without_a_log(house: pytest.Pytester, gate: list[str]) -> None:
    """Who proposes the change may be an agent."""
    repositories.commit(house.path)
    house.makeini("[pytest]\npythonpath = src\n")
    house.makeconftest("import lib\n")
    result = house.runpytest(*PLAIN, "--autoresearch=toy", *gate, "--baseline=git:HEAD")
    result.stdout.fnmatch_lines([NOTE])


# The regression gate


@pytest.fixture
def committed(house: pytest.Pytester) -> pytest.Pytester:
    repositories.commit(house.path)
    return house


def test_nothing_is_measured_where_neither_the_kernel_nor_what_it_imports_has_changed(
    committed: pytest.Pytester,
) -> None:
    write(committed, f"{toys.IN_PACKAGE}# a comment\n")
    result = committed.runpytest(*REGRESSION)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["verdict: pass", "reason: pass: only comments or layout differ; *"])


@pytest.mark.parametrize("log", [(), ("--autoresearch-log=log.tsv",)])
def test_a_kernel_that_pytest_s_process_has_imported_is_told_in_every_gate(
    committed: pytest.Pytester, log: tuple[str, ...]
) -> None:
    committed.makeini("[pytest]\npythonpath = src\n")
    committed.makeconftest("import lib\n")
    result = committed.runpytest(*REGRESSION, *log)
    assert result.ret == 0
    assert NOTE in result.outlines


def test_a_copy_of_a_target_passes_as_a_new_one(committed: pytest.Pytester) -> None:
    shutil.copytree(committed.path / "targets/toy", committed.path / "targets/third")
    result = committed.runpytest(*PLAIN, "--autoresearch=third", "--regression-gate", "--baseline=git:HEAD")
    assert result.ret == 0
    (reason,) = (line for line in result.outlines if line.startswith("reason: "))
    head = repositories.git(committed.path, "rev-parse", "--short=12", "HEAD").strip()
    assert reason == (
        f"reason: pass: target 'third' is not there at HEAD at {head}, so that there is nothing that it could be "
        f"slower than"
    )
    assert not [line for line in result.outlines if "changed since" in line]


def test_a_module_that_is_gone_fails_the_package_that_imports_it(house: pytest.Pytester) -> None:
    toys.write_package(house.path, __init__="from ._util import X\n", _util="X = 1\n")
    repositories.commit(house.path)
    (house.path / "src/lib/_util.py").unlink()
    repositories.commit(house.path)
    result = house.runpytest(*PLAIN, "--autoresearch=toy", "--regression-gate", "--baseline=git:HEAD^", "-x")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "verdict: incorrect",
            "reason: incorrect: _kernels.py, while it was loaded: the kernel raised ModuleNotFoundError: "
            "No module named 'lib._util', at src/lib/__init__.py:1",
            "note: modules that the kernel imports have changed since HEAD^ at ????????????; the kernel ran with "
            "those of now",
        ]
    )


def test_a_change_of_what_the_kernel_imports_is_measured(
    committed: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel itself is the same: what it imports makes it ten times as slow."""
    monkeypatch.setattr(options, "RegressionRules", partial(RegressionRules, pairs=1, blocks=1))
    toys.write_package(committed.path, config="import os\n\nREPEATS = 400\n")
    result = committed.runpytest(*REGRESSION, "--autoresearch-max-seconds=60")
    result.stdout.fnmatch_lines(["note: modules that the kernel imports have changed since HEAD at *"])
    result.stdout.re_match_lines([r"verdict: (regressed|inconclusive)"])
