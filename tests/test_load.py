"""A target's files are read once: hashed, executed from those bytes, and blamed by file and line."""

from __future__ import annotations

import ast
import hashlib
import inspect
import linecache
import pickle
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import toys
from builders import SOURCES, quick, write_target
from hypothesis import given
from hypothesis import strategies as st

from pytest_lance_autoresearch.errors import TargetError
from pytest_lance_autoresearch.kernel_side import modules
from pytest_lance_autoresearch.records import Source
from pytest_lance_autoresearch.target_files import discover, generate, load, seeds, sources

KERNEL_PATH = Path("targets/demo/kernels.py")


@pytest.fixture(autouse=True)
def _modules() -> Iterator[None]:
    """Leave sys.modules as it was: a target's modules stay registered under their own names."""
    before = {name: module for name, module in sys.modules.items() if not name.startswith("autoresearch_")}
    for name in set(sys.modules) - set(before):  # of targets that other tests have loaded
        del sys.modules[name]
    yield
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    sys.modules.update(before)


def load_target(tmp_path: Path, changed: dict[str, str | None] | None = None) -> load.Target:
    return load.load(discover.inspect(write_target(tmp_path / "demo", changed)))


def source(text: str) -> Source:
    return sources.make(text.encode(), KERNEL_PATH)


def loading_fault(tmp_path: Path, name: str, text: str) -> str:
    with pytest.raises(TargetError) as raised:
        _ = load_target(tmp_path, {name: text}).reference
    return str(raised.value)


# A sound target


def test_a_target_is_loaded_with_its_modules_its_kernel_and_its_fingerprint(tmp_path: Path) -> None:
    target = load_target(tmp_path)
    assert target.name == "demo"
    assert target.inputs.SHAPES[0]._fields == ("rows", "columns")
    assert target.wiring.bind(target.reference, None)(21) == 42
    assert target.kernel.text == SOURCES["kernels.py"].encode()
    assert target.files == {name: SOURCES[name].encode() for name in ("inputs.py", "reference.py", "target.py")}
    assert not target.has_properties


def test_properties_are_seen_when_they_are_a_function(tmp_path: Path) -> None:
    assert load_target(tmp_path, {"target.py": SOURCES["target.py"] + "def properties(): ...\n"}).has_properties


def test_a_layout_with_faults_raises_the_first_and_executes_nothing(tmp_path: Path) -> None:
    directory = write_target(tmp_path / "demo", {"inputs.py": "1 / 0", "reference.py": None, "extra.py": ""})
    layout = discover.inspect(directory)
    assert len(layout.faults) == 2
    with pytest.raises(TargetError) as raised:
        load.load(layout)
    assert str(raised.value) == layout.faults[0]


def test_the_bytes_that_were_read_are_the_bytes_that_run(tmp_path: Path) -> None:
    target = load_target(tmp_path)
    (tmp_path / "demo" / "reference.py").write_text("def double(values):\n    return values\n")
    assert target.reference.double(21) == 42


def test_the_reference_is_executed_at_first_use_and_once(tmp_path: Path) -> None:
    target = load_target(tmp_path, {"reference.py": "import inputs\ninputs.TIMES = inputs.TIMES + 1\n"})
    target.inputs.TIMES = 0  # type: ignore[attr-defined]
    assert target.reference is target.reference
    assert target.inputs.TIMES == 1


def test_no_byte_code_is_written_beside_a_target(tmp_path: Path) -> None:
    _ = load_target(tmp_path).reference
    assert not (tmp_path / "demo" / "__pycache__").exists()


# Siblings


def test_a_target_imports_its_own_inputs_and_leaves_none_behind(tmp_path: Path) -> None:
    target = load_target(tmp_path)
    assert target.wiring.inputs is target.inputs
    assert "inputs" not in sys.modules


def test_each_target_imports_its_own_inputs(tmp_path: Path) -> None:
    first = load_target(tmp_path)
    second = load.load(discover.inspect(write_target(tmp_path / "other")))
    assert second.wiring.inputs is second.inputs
    assert second.inputs is not first.inputs


def test_a_module_called_inputs_that_was_there_before_is_there_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = ModuleType("inputs")
    monkeypatch.setitem(sys.modules, "inputs", ours)
    target = load_target(tmp_path)
    assert target.wiring.inputs is target.inputs
    assert sys.modules["inputs"] is ours


def test_a_target_that_fails_to_load_leaves_no_inputs_behind(tmp_path: Path) -> None:
    loading_fault(tmp_path, "target.py", "import inputs\n1 / 0\n")
    assert "inputs" not in sys.modules
    assert "autoresearch_target_demo" not in sys.modules


def test_inputs_cannot_import_the_kernel(tmp_path: Path) -> None:
    sentence = loading_fault(tmp_path, "inputs.py", "import kernels\n")
    assert sentence == (
        "target 'demo': inputs.py does not load: ModuleNotFoundError: No module named 'kernels' (line 1)"
    )


def test_a_failed_load_puts_the_module_before_it_back(tmp_path: Path) -> None:
    load_target(tmp_path)
    before = sys.modules["autoresearch_inputs_demo"]
    with pytest.raises(ZeroDivisionError):
        modules.execute_source("autoresearch_inputs_demo", b"1 / 0", "inputs.py")
    assert sys.modules["autoresearch_inputs_demo"] is before


# States travel to the worker


def test_a_state_of_the_targets_own_class_can_be_pickled(tmp_path: Path) -> None:
    target = load_target(tmp_path)
    state = target.inputs.make_state(target.inputs.SHAPES[0], "flat", np.random.default_rng(0))
    back = pickle.loads(pickle.dumps(state))
    assert back == state
    assert type(back) is target.inputs.State


def test_a_dataclass_of_a_target_with_future_annotations_can_be_pickled(tmp_path: Path) -> None:
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass(frozen=True)\nclass State:\n    offset: int\n"
    )
    target = load_target(tmp_path, {"inputs.py": text, "target.py": "import inputs\n"})
    assert pickle.loads(pickle.dumps(target.inputs.State(3))) == target.inputs.State(3)


# Faults name the file and the line


@pytest.mark.parametrize("name", ["inputs.py", "target.py", "reference.py"])
def test_an_exception_names_file_and_line(tmp_path: Path, name: str) -> None:
    assert loading_fault(tmp_path, name, "\n\nlimit = 1 / 0\n") == (
        f"target 'demo': {name} does not load: ZeroDivisionError: division by zero (line 3)"
    )


def test_the_line_is_the_innermost_one_of_that_file(tmp_path: Path) -> None:
    text = "def shape():\n    return int('x')\n\n\nSHAPES = (shape(),)\n"
    assert loading_fault(tmp_path, "inputs.py", text).endswith("int() with base 10: 'x' (line 2)")


def test_an_error_in_a_sibling_is_blamed_on_the_file_that_called_it_with_its_place(tmp_path: Path) -> None:
    text = "import inputs\n\ninputs.make_call(1, 2, 3, 4)\n"
    assert loading_fault(tmp_path, "target.py", text) == (
        f"target 'demo': target.py does not load: AttributeError: 'int' object has no attribute 'integers', "
        f"at {tmp_path}/demo/inputs.py:23"
    )


def test_a_syntax_error_names_file_and_line(tmp_path: Path) -> None:
    sentence = loading_fault(tmp_path, "inputs.py", "a = 1\nb = = 2\n")
    assert sentence.startswith("target 'demo': inputs.py does not load: SyntaxError: invalid syntax (")
    assert "line 2)" in sentence


def test_a_file_that_exits_is_a_fault_of_that_file(tmp_path: Path) -> None:
    assert loading_fault(tmp_path, "inputs.py", "raise SystemExit(0)\n") == (
        "target 'demo': inputs.py does not load: SystemExit: 0 (line 1)"
    )


def test_a_syntax_error_names_its_line_once(tmp_path: Path) -> None:
    assert loading_fault(tmp_path, "inputs.py", "a = 1\nb = = 2\n").count("line 2") == 1


def test_a_traceback_shows_the_line_of_the_file(tmp_path: Path) -> None:
    target = load_target(tmp_path)
    (tmp_path / "demo" / "reference.py").write_text("# changed since\n")
    try:
        target.reference.double(None)
    except TypeError as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
    assert (frame.filename, frame.lineno) == (str(tmp_path / "demo" / "reference.py"), 2)
    assert linecache.getline(frame.filename, 2) == "    return 2 * values\n"
    assert inspect.getsource(target.reference.double) == SOURCES["reference.py"]


def test_a_form_feed_ends_no_line() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        modules.execute_source("formed", b"\x0c\nlimit = '\x0c'\r\n1 / 0  # here\n", "formed.py")
    assert traceback.extract_tb(raised.tb)[-1].line == "1 / 0  # here"


# The kernel's source


def test_the_kernel_is_not_executed(tmp_path: Path) -> None:
    target = load_target(tmp_path, {"kernels.py": "raise SystemExit(3)\n"})
    assert target.kernel.sha256 == hashlib.sha256(b"raise SystemExit(3)\n").hexdigest()
    assert not any("kernels" in name and "demo" in name for name in sys.modules)


@pytest.mark.parametrize("text", ["def f(:\n", "\x00", "return = 3", "# coding: no-such\n", "\xff"])
def test_a_kernel_that_does_not_parse_is_no_fault_of_the_target(tmp_path: Path, text: str) -> None:
    directory = write_target(tmp_path / "demo")
    (directory / "kernels.py").write_bytes(text.encode("latin-1"))
    kernel = load.load(discover.inspect(directory)).kernel
    assert kernel.code_size == len(kernel.text)  # and so never the smaller code
    assert kernel.code_sha256 == kernel.sha256 == hashlib.sha256(text.encode("latin-1")).hexdigest()


def test_a_long_unrolled_kernel_loads() -> None:
    unrolled = "def total(v):\n    return " + " + ".join(f"v[{i}]" for i in range(1500)) + "\n"
    compile(unrolled, "kernels.py", "exec")
    assert source(unrolled).code_size > 1500


def test_a_kernel_too_deep_for_the_parser_is_no_fault_of_the_target() -> None:
    assert source("x = " + "-" * 100_000 + "1\n").code_size > 100_000


def test_a_number_longer_than_python_writes_in_decimals_is_code() -> None:
    long = f"x = 0x{'f' * 5000}\n"
    assert source(long).code_sha256 not in (source(long).sha256, source(long.replace("ff", "fe", 1)).code_sha256)
    assert source("x = 1\n").code_sha256 != source("x = True\n").code_sha256


def test_a_warning_about_a_kernel_leaves_it_code() -> None:
    """Here warnings are errors, as they may be in any project."""
    assert source("x = '\\d'\n").code_sha256 == source("x = '\\d'  # a comment\n").code_sha256
    assert sources.definition_line(source("x = '\\d'\ndef f(): ...\n")) == 1


CODE = '''\
"""Doubles."""
import math


class Kernel:
    """Doubles."""

    def double(self, v):
        """Doubles."""
        return v + v
'''


@pytest.mark.parametrize(
    "same",
    [
        CODE.replace('"""Doubles."""', '"""Twice as much."""'),
        CODE.replace('        """Doubles."""\n', ""),
        CODE.replace("import math", "import math  # unused"),
        CODE.replace("v + v", "(v +\n            v)"),
        CODE.replace("\n", "\r\n"),
        "# A comment\n" + CODE,
    ],
)
def test_comments_docstrings_and_layout_are_no_code(same: str) -> None:
    assert source(same).code_sha256 == source(CODE).code_sha256
    assert source(same).code_size == source(CODE).code_size
    assert source(same).sha256 != source(CODE).sha256


@pytest.mark.parametrize(
    "other",
    [
        CODE.replace("v + v", "2 * v"),
        CODE.replace("v + v", "v - v"),
        CODE.replace("double", "twice"),
        CODE.replace("return v + v", "return 'Doubles.'"),
        CODE.replace("import math\n", ""),
        CODE + "LIMIT = 1\n",
        CODE + "'Doubles.'\n",
    ],
)
def test_a_change_of_code_changes_its_hash(other: str) -> None:
    assert source(other).code_sha256 != source(CODE).code_sha256


def test_less_code_is_smaller_and_shorter_names_are_not() -> None:
    assert source(CODE.replace("import math\n", "")).code_size < source(CODE).code_size
    assert source(CODE.replace("double", "d")).code_size == source(CODE).code_size
    assert source("").code_size == 1


def test_a_function_of_nothing_but_a_docstring_counts_without_it() -> None:
    assert source("def f():\n    'a'\n").code_sha256 == source("def f():\n    'b'\n").code_sha256


def test_the_tree_that_is_counted_is_not_shared() -> None:
    text = CODE.encode()
    sources.make(text, KERNEL_PATH)
    assert ast.get_docstring(ast.parse(text)) == "Doubles."


# The line that an IDE shows


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (CODE, 4),
        ("import math\n\n\ndef _private(): ...\n\n\ndef public(): ...\n", 6),
        ("def helper(): ...\n\n\nclass Kernel: ...\n", 3),
        ("@njit\ndef kernel(): ...\n", 1),
        ("LIMIT = 3\n", 0),
        ("", 0),
        ("def f(:\n", 0),
    ],
)
def test_the_definition_is_the_first_public_class_or_else_function(text: str, line: int) -> None:
    assert sources.definition_line(source(text)) == line


# The fingerprint


def test_the_fingerprint_names_each_file_and_not_the_kernel(tmp_path: Path) -> None:
    digests = {name: hashlib.sha256(SOURCES[name].encode()).hexdigest() for name in SOURCES}
    parts = load_target(tmp_path).fingerprint.split(",")
    assert [part.split(":")[0] for part in parts] == ["inputs", "reference", "target"]
    assert all(digests[f"{stem}.py"].startswith(digest) for stem, digest in (part.split(":") for part in parts))


@quick
@given(st.sampled_from(["inputs.py", "reference.py", "target.py"]), st.data())
def test_any_byte_changes_the_fingerprint_of_its_file_alone(name: str, data: st.DataObject) -> None:
    files = {file: SOURCES[file].encode() for file in ("inputs.py", "reference.py", "target.py")}
    text = bytearray(files[name])
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] ^= data.draw(st.integers(1, 255))
    before = load.fingerprint(files).split(",")
    after = load.fingerprint({**files, name: bytes(text)}).split(",")
    changed = [old.split(":")[0] for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [name.removesuffix(".py")]


def test_the_fingerprint_does_not_depend_on_the_order_of_the_files() -> None:
    assert load.fingerprint({"a.py": b"1", "b.py": b"2"}) == load.fingerprint({"b.py": b"2", "a.py": b"1"})


def test_a_fingerprint_is_too_long_to_be_met_by_trying() -> None:
    (part,) = load.fingerprint({"target.py": b""}).split(",")
    assert len(part.split(":")[1]) >= 16


def test_a_target_that_is_loaded_twice_still_pickles_its_own_states(tmp_path: Path) -> None:
    """As when a test suite loads a target that the plugin collected in the same process."""
    layout = discover.inspect(toys.write(tmp_path))
    for target in (load.load(layout), load.load(layout)):
        state = target.inputs.make_state(target.inputs.SHAPES[0], "uniform", seeds.rng(1))
        assert generate.pickled(target, state)
    first, _ = load.load(layout), load.load(layout)
    assert generate.pickled(first, first.inputs.make_state(first.inputs.SHAPES[0], "uniform", seeds.rng(1)))
