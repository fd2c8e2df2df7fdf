"""A target's files find in the kernel's process what they find in pytest's; what fails there is their fault."""

from __future__ import annotations

import site
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import toys
import workers

from pytest_lance_autoresearch.bench import oracles, process
from pytest_lance_autoresearch.bench.process import KernelProcess
from pytest_lance_autoresearch.errors import KernelRaised, TargetError, TrialInvalid
from pytest_lance_autoresearch.kernel_side import worker
from pytest_lance_autoresearch.target_files import discover, generate, load
from pytest_lance_autoresearch.target_files.contract import cases_of

THERE = (
    "; that was in the kernel's process: it works in an empty folder, without this environment, "
    "and may start no thread or process"
)
TIMEOUT_S = 20.0
IN_WORKER = "__import__('sys').argv[0].endswith('worker.py')"
NO_SHOP = "ModuleNotFoundError: No module named 'shop'"


@pytest.fixture(autouse=True)
def _imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave what can be imported, and what was, as it is."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def package(folder: Path, name: str = "shop", text: str = "") -> Path:
    """A folder that holds the package."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(text)
    return folder


def start(tmp_path: Path, kernel: str = toys.KERNEL, **files: str) -> KernelProcess:
    target = load.load(discover.inspect(toys.write(tmp_path, text=kernel, **files)))
    return workers.started(target, TIMEOUT_S)


def starts(tmp_path: Path, kernel: str = toys.KERNEL, **files: str) -> None:
    start(tmp_path, kernel, **files).close()


def binds(tmp_path: Path, kernel: str = toys.KERNEL, **files: str) -> None:
    runner = start(tmp_path, kernel, **files)
    target = runner._target
    try:
        state = generate.make_state(target, cases_of(target)[0], 0)
        oracles.Oracle(target, state)  # what comes first in a trial: it works in this process
        runner.bind("toy", generate.pickled(target, state))
    finally:
        runner.close()


# What is found


def test_what_is_on_the_path_of_pytest(tmp_path: Path) -> None:
    sys.path.insert(0, str(package(tmp_path / "src")))
    starts(tmp_path, inputs=f"import shop\n{toys.INPUTS}")


def test_what_shadows_an_installed_package_does_so_there(tmp_path: Path) -> None:
    sys.path.insert(0, str(package(tmp_path / "src", "iniconfig", "MINE = 1")))
    sys.modules.pop("iniconfig", None)
    starts(tmp_path, inputs=f"from iniconfig import MINE\n{toys.INPUTS}")


def test_nothing_shadows_the_standard_library_there(tmp_path: Path) -> None:
    for name in ("inspect", "json", "contextlib", "ast"):
        package(tmp_path / "src", name, "raise ImportError('shadowed')")
    sys.path.insert(0, str(tmp_path / "src"))
    starts(tmp_path)


@pytest.mark.parametrize("entry", ["", "src"])
def test_a_relative_entry_is_one_of_the_folder_where_pytest_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    package(tmp_path / entry)
    monkeypatch.chdir(tmp_path)
    sys.path.insert(0, entry)
    starts(tmp_path, inputs=f"import shop\n{toys.INPUTS}")


FINDER = """
import importlib.util
import sys


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return importlib.util.spec_from_file_location(name, {file!r}) if name == "shop" else None


sys.meta_path.append(Finder)
"""


def test_what_is_installed_for_the_user_and_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `pip install --user -e .` leaves it: a .pth file that installs a finder."""
    user_site = tmp_path / "user"
    user_site.mkdir()
    file = package(tmp_path / "elsewhere") / "shop" / "__init__.py"
    (user_site / "shop_finder.py").write_text(FINDER.format(file=str(file)))
    (user_site / "shop.pth").write_text("import shop_finder\n")
    monkeypatch.setattr(site, "ENABLE_USER_SITE", True)
    monkeypatch.setattr(site, "getusersitepackages", lambda: str(user_site))
    site.addsitedir(str(user_site))
    starts(tmp_path, inputs=f"import shop\n{toys.INPUTS}")


def test_a_users_packages_stay_out_where_python_leaves_them_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "ENABLE_USER_SITE", False)
    sys.path.append(site.getusersitepackages())
    assert process._importing(tmp_path) == ["", *(str(tmp_path / entry) for entry in sys.path)]


def test_a_file_beside_where_pytest_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sizes.txt").write_text("64")
    monkeypatch.chdir(tmp_path)
    folder = toys.write(tmp_path, inputs=f"open('sizes.txt').close()\n{toys.INPUTS}")
    target = load.load(discover.inspect(folder))
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")  # as a fixture of the project may do
    workers.started(target, TIMEOUT_S).close()


def test_the_kernel_works_in_an_empty_folder(tmp_path: Path) -> None:
    setup = "from pathlib import Path\nassert list(Path.cwd().iterdir()) == []"
    binds(tmp_path, toys.kernel("return result", setup))
    body = "from pathlib import Path; assert list(Path.cwd().iterdir()) == []"
    kernel = toys.KERNEL.replace("self.weights = weights", f"{body}; self.weights = weights")
    binds(tmp_path / "bound", kernel)


# Whose fault it is


@pytest.mark.parametrize("stem", ["inputs", "target"])
def test_what_does_not_load_there_is_the_targets_fault(tmp_path: Path, stem: str) -> None:
    text = f"if {IN_WORKER}:\n    import shop\n" + (toys.INPUTS if stem == "inputs" else toys.TARGET)
    with pytest.raises(TargetError) as raised:
        starts(tmp_path, **{stem: text})
    assert str(raised.value) == f"target 'toy': {stem}.py does not load: {NO_SHOP} (line 2){THERE}"


def test_a_thread_of_the_target_is_not_the_kernels(tmp_path: Path) -> None:
    text = f"import threading\nif {IN_WORKER}:\n    threading.Thread(target=print).start()\n{toys.TARGET}"
    with pytest.raises(TargetError) as raised:
        starts(tmp_path, target=text)
    assert str(raised.value) in {
        f"target 'toy': target.py does not load: RuntimeError: can't start new thread (line 3){THERE}",
        f"target 'toy': inputs.py or target.py started a thread when it was loaded{THERE}",  # without the locks
    }


def test_without_the_locks_a_thread_of_the_target_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "CONFINED", False)
    waiting = "threading.Thread(target=threading.Event().wait, daemon=True).start()"
    text = f"import threading\nif {IN_WORKER}:\n    {waiting}\n{toys.TARGET}"
    with pytest.raises(TargetError) as raised:
        starts(tmp_path, target=text)
    assert str(raised.value) == f"target 'toy': inputs.py or target.py started a thread when it was loaded{THERE}"


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("__import__('os')._exit(3)", "ended (exit code 3) instead of answering"),
        ("raise KeyboardInterrupt", "raised KeyboardInterrupt, at {inputs}:2"),
    ],
)
def test_the_end_of_the_process_before_there_is_a_kernel_is_the_targets_fault(
    tmp_path: Path, code: str, how: str
) -> None:
    with pytest.raises(TargetError) as raised:
        starts(tmp_path, inputs=f"if {IN_WORKER}:\n    {code}\n{toys.INPUTS}")
    place = "target 'toy': inputs.py and target.py, while they were loaded in the kernel's process"
    inputs = tmp_path / "targets/toy/inputs.py"
    assert str(raised.value).splitlines()[0] == f"{place}: the kernel's process {how.format(inputs=inputs)}"


def test_a_target_that_hangs_there_is_at_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "TIMEOUT_S", 1.0)
    text = f"while {IN_WORKER}:\n    pass\n{toys.INPUTS}"
    with pytest.raises(TargetError) as raised:
        start(tmp_path, inputs=text)
    place = "target 'toy': inputs.py and target.py, while they were loaded in the kernel's process"
    said = str(raised.value).splitlines()
    assert said[0] == f"{place}: the kernel's process did not answer within 1 s and was ended"


def test_a_process_that_cannot_start_is_nobodys_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "__file__", str(tmp_path / "nowhere.py"))
    with pytest.raises(TrialInvalid) as raised:
        starts(tmp_path)
    said = str(raised.value).splitlines()
    assert said[0] == ("before a kernel was loaded: the kernel's process ended (exit code 2) instead of answering")


BIND = "    return impl.Kernel(state.weights).product"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (f"if {IN_WORKER}: import shop", f"raised {NO_SHOP}"),
        (
            "open('pytest.ini').close()",
            "raised FileNotFoundError: [Errno 2] No such file or directory: 'pytest.ini'",
        ),
    ],
)
def test_what_fails_in_bind_with_the_reference_as_well_is_the_targets_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, what: str
) -> None:
    (tmp_path / "pytest.ini").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetError) as raised:
        binds(tmp_path, target=toys.TARGET.replace(BIND, f"    {line}\n{BIND}"))
    assert str(raised.value) == f"target 'toy': target.py, line 8, {what}{THERE}"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("class Kernel", "class Other", "AttributeError: module 'kernels' has no attribute 'Kernel'"),
        ("(self, weights)", "(self)", "TypeError: Kernel.__init__() takes 1 positional argument but 2 were given"),
        ("def product", "def other", "AttributeError: 'Kernel' object has no attribute 'product'"),
        ("self.weights = weights", "1 / 0", "ZeroDivisionError: division by zero"),
        ("self.weights = weights", "open('pytest.ini')", "FileNotFoundError: [Errno 2] No such file or directory"),
    ],
)
def test_what_fails_in_bind_with_the_kernel_only_is_the_kernels_fault(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    with pytest.raises(KernelRaised) as raised:
        binds(tmp_path, toys.KERNEL.replace(old, new))
    assert str(raised.value).startswith(f"toy, while it was bound: the kernel raised {said}")


def test_a_state_that_cannot_be_unpickled_there_is_the_targets_fault(tmp_path: Path) -> None:
    fails = f"    def __setstate__(self, state):\n        if {IN_WORKER}:\n            import shop\n"
    text = toys.INPUTS.replace("class State(NamedTuple):\n    weights: np.ndarray\n", f"class State:\n{fails}")
    text = text.replace("return State(", "s = State(); s.weights = (").replace(
        "shape.width))", "shape.width)); return s"
    )
    with pytest.raises(TargetError) as raised:
        binds(tmp_path, inputs=text)
    assert str(raised.value) == f"target 'toy': inputs.py, line 12, raised {NO_SHOP}{THERE}"


ARGUMENT = "class Half:\n    def __reduce__(self):\n        return {}\n"


@pytest.mark.parametrize(
    ("reduced", "said"),
    [
        (
            "open, ('nowhere',)",
            "inputs.py raised FileNotFoundError: [Errno 2] No such file or directory: 'nowhere'",
        ),
        (
            "(lambda: 1), ()",
            "inputs.make_call returned what cannot be sent to another process: ...; expected arrays, numbers and "
            "tuples of them, or a class at the top of inputs.py",
        ),
    ],
)
def test_an_argument_that_cannot_travel_is_the_targets_fault(tmp_path: Path, reduced: str, said: str) -> None:
    runner = start(tmp_path, inputs=f"{toys.INPUTS}\n{ARGUMENT.format(reduced)}")
    try:
        with pytest.raises(TargetError) as raised:
            runner.run("toy", [(runner._target.inputs.Half(),)])
    finally:
        runner.close()
    begin, _, end = said.partition("...")
    sentence = str(raised.value)
    assert sentence.startswith(f"target 'toy': {begin}")
    assert sentence.endswith(end or THERE)


def test_a_failure_of_the_target_is_logged_as_invalid(pytester: pytest.Pytester) -> None:
    """And is found out once, not by every item."""
    toys.write(pytester.path, inputs=f"if {IN_WORKER}:\n    import shop\n{toys.INPUTS}")
    result = pytester.runpytest("-q", "-p", "no:randomly", "--autoresearch=toy", "--keep-gate")
    said = f"target 'toy': inputs.py does not load: {NO_SHOP} (line 2){THERE}"
    result.stdout.fnmatch_lines(["verdict: invalid", f"reason: invalid: {said}"])
    assert result.ret == 1


def test_pythonpath_of_the_ini_file_is_found(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\npythonpath = src\n")
    package(pytester.path / "src")
    toys.write(pytester.path, inputs=f"import shop\n{toys.INPUTS}")
    result = pytester.runpytest("-q", "-p", "no:randomly", "--autoresearch=toy", "-k", "correctness and uniform")
    result.assert_outcomes(passed=3, deselected=toys.ITEMS - 3)


@pytest.mark.usefixtures("any_source")
def test_a_kernel_that_says_that_its_target_failed_is_never_kept(pytester: pytest.Pytester) -> None:
    liar = "from pytest_lance_autoresearch.errors import TargetError\nraise TargetError('it was not me')"
    toys.write(pytester.path, text=toys.kernel("return result", liar))
    result = pytester.runpytest("-q", "-p", "no:randomly", "--autoresearch=toy", "--keep-gate", "-x")
    result.stdout.fnmatch_lines(["verdict: invalid", f"reason: invalid: it was not me{THERE}"])
    assert result.ret == 1
