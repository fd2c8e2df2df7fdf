"""Machine code that is kept: the same function is not compiled twice, and never taken for another one."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import toys
import workers
from numba.core import caching, dispatcher, event

from pytest_lance_autoresearch.bench import scratch
from pytest_lance_autoresearch.bench.scratch import MAX_COMPILED_BYTES, NOTHING_COMPILED, Scratch
from pytest_lance_autoresearch.kernel_side import compiled, identity, modules
from pytest_lance_autoresearch.target_files import discover, load

HEAD = """import enum
import math
from typing import NamedTuple

import numba
import numpy as np
from numba import njit
"""


class Compilations(event.Listener):
    """Counts what numba compiles."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def on_start(self, event: Any) -> None:
        self.names.append(event.data["dispatcher"].py_func.__qualname__)

    def on_end(self, event: Any) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where compiled code is kept, in this process, as long as the test runs."""
    kept = tmp_path / "kept"
    kept.mkdir()
    for name in ("__init__", "enable_caching"):
        monkeypatch.setattr(dispatcher.Dispatcher, name, getattr(dispatcher.Dispatcher, name))
    compiled.keep(str(kept))
    return kept


@pytest.fixture
def compilations() -> Iterator[Compilations]:
    listener = Compilations()
    event.register("numba:compile", listener)  # type: ignore[no-untyped-call]
    yield listener
    event.unregister("numba:compile", listener)  # type: ignore[no-untyped-call]


Begin = Callable[[str], ModuleType]


@pytest.fixture
def begin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:  # noqa: ARG001 - it keeps there
    """Executes a kernel as a fresh process would, which takes over what the last one has kept."""
    monkeypatch.setitem(sys.modules, "kernels", ModuleType("kernels"))
    return lambda text: modules.execute_source("kernels", f"{HEAD}{text}".encode(), "/nowhere/kernels.py")


# What is not compiled again

SAME = {
    "a function": "f = njit(lambda x: x + 1)\n",
    "eagerly": "f = njit('int64(int64)')(lambda x: x + 1)\n",
    "that asks for it": (
        "@njit(cache=True, fastmath={'nnan', 'ninf', 'nsz', 'arcp'})\ndef f(x):\n    return x + 1\n"
    ),
    "that calls others": (
        "ONE = np.ones(3)\n@njit\ndef g(x):\n    return x + ONE[0]\n"
        "@njit\ndef f(x):\n    return int(g(x) + math.sqrt(0.0))\n"
    ),
    "that calls itself": "@njit\ndef f(x):\n    return x if x > 1 else f(x + 1)\n",
    "around others": (
        "def make(k):\n    inner = njit(lambda x: x + k)\n    return njit(lambda x: inner(x))\nf = make(1)\n"
    ),
    "with names": (
        "class Step(enum.IntEnum):\n    ONE = 1\nclass Two(NamedTuple):\n    a: int\n    b: int\n"
        "PAIR = Two(1, 2)\nKIND = np.float64\n"
        "@njit\ndef f(x):\n    return int(KIND(x + Step.ONE + PAIR.a - Two(1, 2).a))\n"
    ),
    "with an intrinsic": (
        "from llvmlite import ir\nfrom numba import types\nfrom numba.extending import intrinsic\n"
        "ONE = 1\n@intrinsic\ndef more(typingctx, x):\n"
        "    def codegen(context, builder, signature, arguments):\n"
        "        return builder.add(arguments[0], ir.Constant(ir.IntType(64), ONE))\n"
        "    return types.int64(x), codegen\n"
        "@njit\ndef f(x):\n    return more(x)\n"
    ),
    "with an intrinsic that shares types, constants and functions with others": (
        "from llvmlite import ir\nfrom numba import types\nfrom numba.extending import intrinsic\n"
        "WORD = ir.IntType(64)\nPAIR = ir.VectorType(WORD, 2)\nONES = ir.Constant(PAIR, [1, 1])\n"
        "def first(builder, pair):\n    return builder.extract_element(pair, WORD(0))\n"
        "@intrinsic\ndef more(typingctx, x):\n"
        "    def codegen(context, builder, signature, arguments):\n"
        "        return builder.add(arguments[0], first(builder, ONES))\n"
        "    return types.int64(x), codegen\n"
        "@njit\ndef f(x):\n    return more(x)\n"
    ),
    "with a set of strings": "@njit\ndef f(x):\n    return x + 1 if 'a' in {'a', 'b', 'c', 'd'} else 0\n",
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_the_next_process_of_a_kernel_compiles_nothing(
    begin: Begin, compilations: Compilations, text: str
) -> None:
    assert begin(text).f(1) == 2
    assert compilations.names
    compilations.names.clear()
    assert begin(text).f(1) == 2
    assert compilations.names == []


def test_another_signature_is_compiled_and_kept_beside_the_first(begin: Begin, compilations: Compilations) -> None:
    text = SAME["a function"]
    assert [begin(text).f(1), begin(text).f(1.5)] == [2, 2.5]
    compilations.names.clear()
    assert [begin(text).f(1), begin(text).f(1.5)] == [2, 2.5]
    assert compilations.names == []


def test_it_holds_for_real_processes(tmp_path: Path) -> None:
    """Whose strings have other hashes: nothing that is kept may depend on the order of a set."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from test_compiled import *\n"
        "listener = Compilations()\n"
        "compiled.keep(sys.argv[1])\n"
        "event.register('numba:compile', listener)\n"
        "for text in SAME.values():\n"
        "    f = modules.execute_source('kernels', f'{HEAD}{text}'.encode(), sys.argv[1] + '/kernels.py').f\n"
        "    assert f(1) == 2\n"
        "print(len(listener.names))\n"
    )
    kept = tmp_path / "kept"
    kept.mkdir()
    command = [sys.executable, str(script), str(kept)]
    path = {"PYTHONPATH": str(Path(__file__).parent)}
    counts = [
        int(subprocess.run(command, env=path, capture_output=True, text=True, check=True, timeout=300).stdout)
        for _ in range(2)
    ]
    assert counts[0] >= len(SAME)
    assert counts[1] == 0


# What is told apart

OTHERS = {
    "a constant": "def make(k):\n    return njit((lambda x: x + 1, lambda x: x + 2)[k])\n",
    "a constant's type": "def make(k):\n    return njit((lambda x: x * 2, lambda x: x * 2.0)[k])\n",
    "a default": (
        "def make(k):\n    @njit\n    def g(x, by=(5, 7)[k]):\n        return x + by\n"
        "    return njit(lambda x: g(x))\n"
    ),
    "the scope": "def make(k):\n    return njit(lambda x: x + k)\n",
    "an array in the scope": "def make(k):\n    a = np.full(3, k)\n    return njit(lambda x: x + a[0])\n",
    "a function in the scope": (
        "def make(k):\n    inner = njit(lambda x: x + k)\n    return njit(lambda x: inner(x))\n"
    ),
    "a global": "K = 0\ndef make(k):\n    global K\n    K = k\n    return njit(lambda x: x + K)\n",
    "an array among the globals": (
        "K = np.zeros(2)\ndef make(k):\n    global K\n    K = np.full(2, k)\n    return njit(lambda x: x + K[1])\n"
    ),
    "a function among the globals": (
        "def make(k):\n    global inner\n    inner = njit(lambda x: x + k)\n    return njit(lambda x: inner(x))\n"
    ),
    "the global of a function that is called": (
        "K = 0\ninner = None\ndef make(k):\n    global K, inner\n    K = k\n    inner = njit(lambda x: x + K)\n"
        "    return njit(lambda x: inner(x))\n"
    ),
    "an enumeration": (
        "def make(k):\n    class Step(enum.IntEnum):\n        BY = k\n    return njit(lambda x: x + Step.BY)\n"
    ),
    "a tuple": "def make(k):\n    pair = k, 3\n    return njit(lambda x: x + pair[0])\n",
    "the type of a variable": (
        "def make(k):\n    return njit(locals={'y': (numba.int64, numba.float64)[k]})(_half)\n"
        "def _half(x):\n    y = x / 2\n    return y\n"
    ),
    "an intrinsic": (
        "from numba import types\nfrom numba.extending import intrinsic\n"
        "def make(k):\n    @intrinsic\n    def more(typingctx, x):\n"
        "        def codegen(context, builder, signature, arguments):\n"
        "            return builder.add(arguments[0], context.get_constant(types.int64, k))\n"
        "        return types.int64(x), codegen\n"
        "    return njit(lambda x: more(x))\n"
    ),
    "a constant that an intrinsic shares": (
        "from llvmlite import ir\nfrom numba import types\nfrom numba.extending import intrinsic\n"
        "def make(k):\n    by = ir.Constant(ir.IntType(64), k)\n"
        "    @intrinsic\n    def more(typingctx, x):\n"
        "        def codegen(context, builder, signature, arguments):\n"
        "            return builder.add(arguments[0], by)\n"
        "        return types.int64(x), codegen\n"
        "    return njit(lambda x: more(x))\n"
    ),
    "a type that an intrinsic shares": (
        "from llvmlite import ir\nfrom numba import types\nfrom numba.extending import intrinsic\n"
        "def make(k):\n    narrow = ir.IntType((1, 2)[k])\n"
        "    @intrinsic\n    def less(typingctx, x):\n"
        "        def codegen(context, builder, signature, arguments):\n"
        "            return builder.zext(builder.trunc(arguments[0], narrow), ir.IntType(64))\n"
        "        return types.int64(x), codegen\n"
        "    return njit(lambda x: less(x))\n"
    ),
    "a function that an intrinsic calls": (
        "from llvmlite import ir\nfrom numba import types\nfrom numba.extending import intrinsic\n"
        "def make(k):\n    def by():\n        return ir.Constant(ir.IntType(64), k)\n"
        "    @intrinsic\n    def more(typingctx, x):\n"
        "        def codegen(context, builder, signature, arguments):\n"
        "            return builder.add(arguments[0], by())\n"
        "        return types.int64(x), codegen\n"
        "    return njit(lambda x: more(x))\n"
    ),
    "a signature": (
        "def make(k):\n    inner = njit(('int64(int64)', 'float64(float64)')[k])(lambda x: x / 2)\n"
        "    return njit(lambda x: inner(x))\n"
    ),
}


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS)
def test_two_functions_at_the_same_place_are_two(begin: Begin, text: str) -> None:
    """In one process and in the next, in either order; what numba alone would have made is what is right."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity, "digest", _unknown)
        expected = [repr(begin(text).make(k)(3)) for k in (0, 1)]
    assert expected[0] != expected[1]
    for order in ((0, 1), (1, 0), (1, 1)):
        kernels = begin(text)
        assert [repr(kernels.make(k)(3)) for k in order] == [expected[k] for k in order]


def _unknown(_: Any) -> str:
    raise identity.Unknown


@pytest.mark.parametrize("option", ["fastmath=True", "error_model='numpy'", "boundscheck=True", "inline='always'"])
def test_an_option_makes_another_function(begin: Begin, option: str) -> None:
    """Whatever it is good for: compiled code shows in no answer here."""
    text = f"plain = njit(_f := lambda x: x + 1)\nother = njit({option})(_f)\n"
    kernels = begin(text)
    assert identity.digest(kernels.plain) != identity.digest(kernels.other)
    again = begin(text)
    assert identity.digest(again.plain) == identity.digest(kernels.plain)
    assert identity.digest(again.other) == identity.digest(kernels.other)


UNKNOWN = {
    "an object": "class Thing:\n    pass\nTHING = Thing()\n@njit\ndef f():\n    return THING\n",
    "an array of objects": "THING = np.array([None])\n@njit\ndef f():\n    return THING\n",
    "a class": "class Thing:\n    pass\n@njit\ndef f():\n    return Thing\n",
    "an object that a plain function returns": (
        "class Thing:\n    pass\nTHING = Thing()\ndef thing():\n    return THING\n"
        "@njit\ndef f():\n    return thing()\n"
    ),
    "an array's method": "THING = np.ones(3).sum\n@njit\ndef f():\n    return THING\n",
}


@pytest.mark.parametrize("text", UNKNOWN.values(), ids=UNKNOWN)
def test_what_cannot_be_told_from_something_else_is_not_kept(begin: Begin, text: str) -> None:
    with pytest.raises(identity.Unknown):
        identity.digest(begin(text).f)


# What numba cannot keep, and what is damaged

DYNAMIC = {
    "a large global": "BIG = np.ones(10**6)\n@njit\ndef f(x):\n    return x + int(BIG[x])\n",
    "a pointer": (
        "import ctypes\nPOINTER = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(lambda x: x + 1)\n"
        "@njit\ndef f(x):\n    return POINTER(x)\n"
    ),
    "a compiled class": (
        "from numba.experimental import jitclass\n@jitclass([('one', numba.int64)])\nclass One:\n"
        "    def __init__(self):\n        self.one = 1\n@njit\ndef f(x):\n    return x + One().one\n"
    ),
    "a ufunc": "@numba.vectorize\ndef g(x):\n    return x + 1\n@njit\ndef f(x):\n    return g(x)\n",
}


@pytest.mark.parametrize("text", DYNAMIC.values(), ids=DYNAMIC)
def test_what_cannot_be_kept_is_compiled_again_without_a_word(
    begin: Begin,
    compilations: Compilations,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    text: str,
) -> None:
    caplog.set_level(logging.WARNING)
    for _ in range(2):
        compilations.names.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert begin(text).f(1) == 2
        assert "f" in compilations.names
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


@pytest.mark.parametrize(
    "damage", [b"", b"damaged", bytes(200), None], ids=["empty", "text", "zeros", "shortened"]
)
@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_damaged_file_is_as_good_as_none(
    begin: Begin, folder: Path, capfd: pytest.CaptureFixture[str], suffix: str, damage: bytes | None
) -> None:
    text = SAME["that calls others"]
    begin(text).f(1)
    files = [path for path in folder.iterdir() if path.suffix == suffix]
    assert files
    for path in files:
        path.write_bytes(path.read_bytes()[:-20] if damage is None else damage)
    assert begin(text).f(1) == 2
    assert capfd.readouterr() == ("", "")


def test_without_its_files_an_index_is_as_good_as_none(begin: Begin, folder: Path) -> None:
    text = SAME["a function"]
    begin(text).f(1)
    for path in folder.glob("*.nbc"):
        path.unlink()
    assert begin(text).f(1) == 2


def test_another_numba_compiles_every_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One in which these names are gone."""
    initialise = dispatcher.Dispatcher.__init__
    monkeypatch.delattr(caching, "_CacheLocator")
    compiled.keep(str(tmp_path))
    assert dispatcher.Dispatcher.__init__ is initialise


# What is handed on


@pytest.fixture
def worked() -> Iterator[Scratch]:
    """The folder of a worker that has compiled."""
    made = Scratch(b"", {"f.nbi": b"index", "f.1.nbc": b"code"})
    yield made
    made.close()


def cache(folder: Scratch) -> Path:
    return folder.path / scratch.CACHE


def test_a_worker_finds_what_an_earlier_one_has_kept(worked: Scratch) -> None:
    later = Scratch(b"", worked.compiled())
    assert {path.name: path.read_bytes() for path in cache(later).iterdir()} == {
        "f.nbi": b"index",
        "f.1.nbc": b"code",
    }
    later.close()


def test_a_worker_without_the_folder_has_kept_nothing(worked: Scratch) -> None:
    for path in cache(worked).iterdir():
        path.unlink()
    assert worked.compiled() == NOTHING_COMPILED
    cache(worked).rmdir()
    assert worked.compiled() == NOTHING_COMPILED


def text_file(folder: Path) -> None:
    (folder / "notes.txt").write_text("64x32 is answered by ...")


def a_folder(folder: Path) -> None:
    (folder / "more.nbc").mkdir()


def a_link(folder: Path) -> None:
    (folder / "more.nbc").symlink_to("/etc/hostname")


def a_link_to_nowhere(folder: Path) -> None:
    (folder / "more.nbc").symlink_to("nowhere")


def a_pipe(folder: Path) -> None:
    """Whoever opens one to read may wait for a writer for ever."""
    os.mkfifo(folder / "more.nbc")


def another_folder(folder: Path) -> None:
    """In the place of this one."""
    other = folder.rename(folder.with_name("other"))
    folder.symlink_to(other)


def too_much(folder: Path) -> None:
    with (folder / "more.nbc").open("wb") as file:
        file.truncate(MAX_COMPILED_BYTES)


def too_many(folder: Path) -> None:
    """Each is small, and takes a while to write again."""
    for number in range(MAX_COMPILED_BYTES // 2**20):
        (folder / f"{number}.nbc").touch()


@pytest.mark.parametrize(
    "left",
    [text_file, a_folder, a_link, a_link_to_nowhere, a_pipe, another_folder, too_much],
)
def test_nothing_is_handed_on_where_something_else_lies(worked: Scratch, left: Callable[[Path], None]) -> None:
    assert worked.compiled() != NOTHING_COMPILED
    left(cache(worked))
    assert worked.compiled() == NOTHING_COMPILED


def test_nothing_is_handed_on_where_there_are_too_many(worked: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "MAX_COMPILED_BYTES", 3 * 4096)
    assert worked.compiled() != NOTHING_COMPILED
    too_many(cache(worked))
    assert worked.compiled() == NOTHING_COMPILED


def test_as_much_as_is_allowed_is_handed_on(worked: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    names = len(b"index") + len(b"code") + 4096
    monkeypatch.setattr(scratch, "MAX_COMPILED_BYTES", names)
    assert worked.compiled() != NOTHING_COMPILED
    monkeypatch.setattr(scratch, "MAX_COMPILED_BYTES", names - 1)
    assert worked.compiled() == NOTHING_COMPILED


def test_a_file_that_may_not_be_read_hands_on_nothing(worked: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel decides what its own files may be read by."""

    def refused(*_: object) -> bytes:
        raise PermissionError("f.nbi")

    monkeypatch.setattr(scratch, "_compiled_file", refused)
    assert worked.compiled() == NOTHING_COMPILED


KERNEL = toys.KERNEL.replace(
    "import numpy as np\n",
    "import numpy as np\nfrom numba import njit\n\n\n@njit\ndef product(w, x):\n    return w * x\n",
).replace("np.multiply(self.weights, x)", "product(self.weights, x)")


def test_a_real_process_hands_on_what_it_has_compiled_when_it_answered(tmp_path: Path) -> None:
    """And another one answers from it: what it keeps is what it was given."""
    target = load.load(discover.inspect(toys.write(tmp_path, text=KERNEL)))
    state = load.pickled(target, target.inputs.State(np.arange(3.0)), "inputs.make_state")
    given: scratch.Compiled = NOTHING_COMPILED
    kept = []
    for _ in range(2):
        process = workers.started(target, compiled=given)
        process.bind("toy", state)
        assert process.run("toy", [(np.ones(3),)])[0].tolist() == [0, 1, 2]
        given = process.compiled()
        kept.append(given)
        process.close()
    assert {Path(name).suffix for name in kept[0]} == {".nbi", ".nbc"}
    assert kept[0] == kept[1]


def test_a_kernel_without_numba_keeps_nothing(tmp_path: Path) -> None:
    target = load.load(discover.inspect(toys.write(tmp_path)))
    process = workers.started(target)
    assert process.compiled() == NOTHING_COMPILED
    process.close()
