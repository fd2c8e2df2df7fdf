"""What a kernel's source may contain: honest kernels pass, and each rule is refused with its sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import toys
from builders import quick
from hypothesis import given
from hypothesis import strategies as st

from pytest_lance_autoresearch.target_files import intrinsics, policy

ROOT = Path(__file__).resolve().parent.parent

HONEST = {
    "a compiled loop": """
        import numpy as np
        from numba import njit, prange
        from numpy.typing import NDArray

        @njit('void(f4[:],f4[:,:])', fastmath=True, cache=True, parallel=False, nogil=True)
        def f(out, rows):
            for i in prange(len(rows)):
                out[i] = rows[i].sum()
    """,
    "a fallback import, a lookup table, a global, a word that sounds bad": '''
        """Keeps a cache of plans to save time; never skips; __dict__ is not used."""
        try:
            from numba import njit
        except ImportError:
            def njit(function): return function
        import numpy as np
        import functools, math
        from dataclasses import dataclass, field
        TABLE = ('''
    + "0, " * 256
    + '''1)
        _warm = False

        @functools.lru_cache(maxsize=8)
        def plan(n):
            """Once per size."""
            global _warm
            _warm = True
            return np.argsort(np.arange(n) % 8)
    ''',
    "a class with buffers": """
        import numpy as np
        class Kernel:
            __slots__ = ("base", "buffer")
            def __init__(self, base):
                super().__init__()
                self.base = base
                self.buffer = np.empty(self.base.shape, np.float32)
            def __call__(self, query):
                np.multiply(self.base, query, out=self.buffer)
                self.buffer[0] += 1
                return self.buffer[:4], getattr(self, "buffer")
    """,
    "types for readers": """
        from __future__ import annotations
        from typing import TYPE_CHECKING, NamedTuple
        from numba import typed, types
        from numba.experimental import jitclass
        class Pair(NamedTuple):
            a: int
            b: int
        if __name__ == "__main__":
            pass
    """,
    "signatures and aliases": """
        import collections.abc
        import numba as nb
        import numpy as np
        import numpy.typing as npt
        from numba import njit, types
        from numba.extending import register_jitable
        f4 = np.float32
        rows = types.Array(types.uint8, 2, "C", readonly=True)
        ONES = np.array([1], f4)
        @njit(["f4(Array(u1, 2, 'C', True, aligned=True))", types.float64(rows)], inline="always")
        def f(rows): return np.linalg.norm(rows) + nb.float32(np.random.random()) + np.nan
        getattr(np, "bitwise_count", None)
    """,
    "nothing": "",
    "no Python at all": "def f(:",
}


def source(text: str) -> bytes:
    lines = [line.removeprefix("        ") for line in text.strip("\n").split("\n")]
    return "\n".join(lines).encode()


@pytest.mark.parametrize("text", HONEST.values(), ids=HONEST)
def test_an_honest_kernel_passes(text: str) -> None:
    assert policy.violation(source(text)) == ""


KERNELS = sorted([*ROOT.glob("targets/*/kernels.py"), *ROOT.glob("[!.]*/**/targets/*/kernels.py")])
"""Those of the repository, not those that a virtual environment in it has installed."""


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.parent.name)
def test_every_kernel_of_this_repository_passes(path: Path) -> None:
    has_intrinsics = "\nINTRINSICS = True\n" in path.with_name("target.py").read_text()
    modules = (*policy.MODULES, *([intrinsics.MODULE] if has_intrinsics else []))
    assert policy.violation(path.read_bytes(), modules, has_intrinsics=has_intrinsics) == ""


NO_FILES = "a kernel reaches no files, threads or foreign memory"
NO_FRAMES = "a kernel reaches no files, frames or foreign memory"
MAY = ", ".join(policy.MODULES[1:])
OF_NUMBA = (
    "of 'numba' a kernel may use experimental, extending, from_dtype, get_parallel_chunksize, get_thread_id, "
    "guvectorize, jit, literal_unroll, literally, njit, parallel_chunksize, pndindex, prange, "
    "set_parallel_chunksize, stencil, typed, typeof, types, vectorize and its types"
)
OF_EXTENDING = "of 'numba.extending' a kernel may use register_jitable"
OF_TYPES = (
    "of 'numba.types' a kernel may use Array, CPointer, DictType, List, ListType, NamedTuple, NamedUniTuple, "
    "NestedArray, Optional, Record, Set, Tuple, UniTuple, float16, unicode_type, voidptr and its types"
)
EXTERNAL = "'numba.types.ExternalFunction'"
BY_NAME = "expected the names that are used"
ONE_THREAD = "asks for parallel code; one thread is the rule where target.THREADS allows no more"


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("import os", 1, f"imports 'os'; a kernel may import {MAY}"),
        ("import numpy as np, sys", 1, f"imports 'sys'; a kernel may import {MAY}"),
        ("\n\ndef f():\n    import threading", 4, f"imports 'threading'; a kernel may import {MAY}"),
        ("from ctypes import *", 1, f"imports 'ctypes'; a kernel may import {MAY}"),
        ("from . import config", 1, f"imports '.config'; a kernel may import {MAY}"),
        ("from .. import config as c", 1, f"imports '..config'; a kernel may import {MAY}"),
        ("from .numpy import load", 1, f"imports '.numpy.load'; a kernel may import {MAY}"),
        ("from . import *", 1, f"imports '.'; a kernel may import {MAY}"),
        (f"import {'a' * 100}", 1, f"imports '{'a' * 80}...'; a kernel may import {MAY}"),
        ("import numpy.ctypeslib", 1, f"imports 'numpy.ctypeslib'; {NO_FILES}"),
        ("from numba.core import cgutils", 1, f"imports 'numba.core'; {OF_NUMBA}"),
        ("from numba.extending import intrinsic", 1, f"imports 'numba.extending.intrinsic'; {OF_EXTENDING}"),
        (
            "import numba\nnumba.extending.lower_builtin",
            2,
            f"uses 'numba.extending.lower_builtin'; {OF_EXTENDING}",
        ),
        ("from numba.extending import *", 1, f"imports all of 'numba.extending'; {BY_NAME}"),
        ("from numpy import *", 1, f"imports all of 'numpy'; {BY_NAME}"),
        ("from numba import types as t\nt.ExternalFunction('clock', t.void())", 2, f"uses {EXTERNAL}; {OF_TYPES}"),
        ("from numba.types import ExternalFunctionPointer", 1, f"imports {EXTERNAL[:-1]}Pointer'; {OF_TYPES}"),
        ("import numba\nn = numba", 2, "hands 'numba' on; a module is used by its own name"),
        ("import numba\nf(a := numba.types)", 2, "hands 'numba.types' on; a module is used by its own name"),
        ("import math\ndef f(m=math): pass", 2, "hands 'math' on; a module is used by its own name"),
        ("import numba\ngetattr(numba.types, 'ExternalFunction')", 2, f"uses {EXTERNAL}; {OF_TYPES}"),
        (
            "import numba\ngetattr(numba, 'co' + 're')",
            2,
            "asks 'numba' for an attribute whose name is not written out",
        ),
        (
            "import dataclasses\ndataclasses.types",
            2,
            "uses 'dataclasses.types', which is no public name of 'dataclasses'",
        ),
        (
            "from numpy import polynomial\npolynomial._polybase.os",
            2,
            "uses 'numpy.polynomial._polybase', which is no public name of 'numpy.polynomial'",
        ),
        ("import typing\ntyping.get_type_hints(f)", 2, f"uses 'typing.get_type_hints'; {NO_FILES}"),
        (
            "import numba\n@numba.njit('void(f4[:])', locals={})\ndef f(x): f.targetctx",
            3,
            f"uses '.targetctx'; {NO_FRAMES}",
        ),
        (
            "from numba import njit\nnjit('ctypes.CDLL(None).abort()')",
            2,
            "names 'CDLL' in a signature; expected types of numba",
        ),
        (
            "from numba import jit\njit(signature_or_function=['f4(f4)', 'os.f4()'])",
            2,
            "names 'os' in a signature; expected types of numba",
        ),
        ("from numpy.lib.stride_tricks import as_strided", 1, f"imports 'numpy.lib'; {NO_FILES}"),
        ("from numba import objmode", 1, f"imports 'numba.objmode'; {OF_NUMBA}"),
        ("import numpy as np\nx = np.lib.stride_tricks", 2, f"uses 'numpy.lib'; {NO_FILES}"),
        ("import numpy as n\nn.load('/dev/shm/x')", 2, f"uses 'numpy.load'; {NO_FILES}"),
        ("import numba\nnumba.set_num_threads(2)", 2, f"uses 'numba.set_num_threads'; {OF_NUMBA}"),
        ("import numpy as np\nnp.allclose = print", 2, "changes 'numpy.allclose'; modules stay as they are"),
        ("import numpy as np\ndel np.allclose", 2, "changes 'numpy.allclose'; modules stay as they are"),
        ("import numpy as np\nnp.random.seed += 1", 2, "changes 'numpy.random.seed'; modules stay as they are"),
        ("exec('import os')", 1, "uses 'exec'; a kernel runs no code but its own"),
        ("f = eval", 1, "uses 'eval'; a kernel runs no code but its own"),
        ("open('x')", 1, "uses 'open'; a kernel runs no code but its own"),
        ("m = __import__('os')", 1, "uses '__import__'; a kernel runs no code but its own"),
        ("setattr(x, 'y', 1)", 1, "uses 'setattr'; a kernel runs no code but its own"),
        ("b = __builtins__", 1, "uses '__builtins__'; a kernel needs no such name"),
        ("x = ().__class__", 1, "uses '.__class__'; a kernel needs no such attribute"),
        ("getattr(x, '__globals__')", 1, "names '__globals__' in a string; a kernel needs no such attribute"),
        (
            "def f(e): return e.tb_frame",
            1,
            f"uses '.tb_frame'; {NO_FRAMES}",
        ),
        ("def f(q): return q.ctypes", 1, f"uses '.ctypes'; {NO_FRAMES}"),
        ("def f(q): return q.base", 1, "uses '.base'; a kernel sees the arguments of its own call only"),
        (
            "class A:\n    def __eq__(self, other): return True",
            2,
            "defines '__eq__'; a kernel's class may define " + ", ".join(sorted(policy.SPECIAL_METHODS)),
        ),
        (
            "import numpy as np\nclass A(np.ndarray): pass",
            2,
            "derives a class from 'numpy.ndarray'; results are plain arrays",
        ),
        (
            "@njit(parallel=True)\ndef f(): pass",
            1,
            "asks for parallel code; one thread is the rule where target.THREADS allows no more",
        ),
        (
            "@njit(parallel=on)\ndef f(): pass",
            1,
            "asks for parallel code; one thread is the rule where target.THREADS allows no more",
        ),
        (f"x = '{'a' * 5000}'", 1, "a string of 5000 characters; expected 4096 at most"),
        (
            f"x = [{'0, ' * 2000}]",
            1,
            "a literal of 2000 entries; expected 1024 at most",
        ),
        (
            f"x = {{{', '.join(f'{i}: 0' for i in range(1025))}}}",
            1,
            "a literal of 1025 entries; expected 1024 at most",
        ),
    ],
)
def test_what_a_kernel_may_not_contain(text: str, line: int, sentence: str) -> None:
    assert policy.violation(text.encode()) == f"kernels.py, line {line}: {sentence}"


def test_a_huge_file_is_refused() -> None:
    text = b"#" * (policy.MAX_BYTES + 1)
    assert (
        policy.violation(text) == f"kernels.py: {policy.MAX_BYTES + 1} bytes; expected {policy.MAX_BYTES} at most"
    )
    assert policy.violation(text[1:]) == ""


NESTED = {
    "a sum": "x = " + "+".join("1" * 30_000),
    "attributes": "import numpy as np\nx = np" + ".a" * 30_000,
    "calls": "x = f" + "()" * 30_000,
    "signs": "x = " + "-" * 60_000 + "1",
    "powers": "x = " + "**".join("1" * 20_000),
    "functions": "x = " + "lambda: " * 8000 + "1",
    "branches": "if 1: pass\n" + "elif 1: pass\n" * 5000,
}


@pytest.mark.parametrize("text", NESTED.values(), ids=NESTED)
def test_what_is_nested_too_deep_to_be_read_is_refused(text: str) -> None:
    assert policy.violation(text.encode()) == (
        "kernels.py: an expression or a chain of branches is nested too deep to be read; split it"
    )


@pytest.mark.parametrize(
    "text",
    [
        b"(" * policy.MAX_BYTES,
        b"x = 1\0",
        b"x = '\xff'",
        b"# coding: no-such\n",
        b"# coding: rot13\n",
        b"# coding: utf-16\nx = 1\n",
        b"x = '\xed\xa0\x80'",
        b"x = " + b"9" * 5000,
        b"if 1:\n\tx = 1\n        y = 2\n",
    ],
    ids=["parentheses", "null", "no UTF-8", "no coding", "no text", "UTF-16", "surrogate", "digits", "tabs"],
)
def test_what_python_cannot_read_is_left_to_the_loading(text: bytes) -> None:
    assert policy.violation(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        b"# coding: latin-1\nx = '\xff'\nimport os",
        b"\xef\xbb\xbfx = 1\n\nimport os",
        b"x = 0x" + b"f" * 50_000 + b"\n\nimport os",
        b"x = 1; " * 9000 + b"\n\nimport os",
        b"\x0cx = 1\n\x0c\nimport os",
        b"x = '\\ud800'\n\nimport os",
    ],
    ids=["coding", "mark", "digits", "long line", "form feed", "surrogate"],
)
def test_every_source_that_runs_is_read(text: bytes) -> None:
    assert policy.violation(text) == f"kernels.py, line 3: imports 'os'; a kernel may import {MAY}"


@pytest.mark.parametrize("text", ["'\\d'", "1 is 1", "1if 1 else 2", "1()"])
def test_a_warning_about_a_kernel_is_nobodys_fault(text: str) -> None:
    """Here warnings are errors, as they may be in any project; in the kernel's own process they are not."""
    said = policy.violation(f"x = {text}\nimport os".encode())
    assert said == f"kernels.py, line 2: imports 'os'; a kernel may import {MAY}"


def test_the_first_of_several_is_named() -> None:
    assert policy.violation(b"x = 1\nexec('')\nimport os").startswith("kernels.py, line 2: uses 'exec'")


@quick
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_give_a_sentence_or_nothing(text: bytes) -> None:
    assert policy.violation(text) == "" or policy.violation(text).startswith("kernels.py")


def test_a_kernel_with_such_a_source_is_never_run(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path, "toy", toys.kernel("return result", "import os; os.abort()"))
    result = pytester.runpytest("-q", "-p", "no:randomly", "--autoresearch=toy", "--keep-gate")
    assert result.ret == 1
    line = toys.kernel("", "import os").splitlines().index("import os") + 1
    sentence = f"kernels.py, line {line}: imports 'os'; a kernel may import {MAY}"
    result.stdout.fnmatch_lines([f"reason: refused: {sentence}"])
    assert "not run" not in str(result.stdout)


def test_a_kernel_under_a_debugger_may_contain_anything(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path, "toy", toys.kernel("return result", "import os"))
    command = ("-q", "-p", "no:randomly", "--autoresearch=toy", "--autoresearch-in-process", "-k", "correctness")
    assert pytester.runpytest(*command).ret == 0


@pytest.mark.parametrize("asked", ["parallel=True", "parallel=on", "'void()', parallel={'fusion': True}"])
def test_parallel_code_is_for_targets_that_allow_threads(asked: str) -> None:
    text = f"from numba import njit\n@njit({asked})\ndef f(): pass\n".encode()
    assert policy.violation(text) == f"kernels.py, line 2: {ONE_THREAD}"
    assert policy.violation(text, is_parallel=True) == ""
    text += b"import numba\nnumba.set_num_threads(2)\n"
    assert policy.violation(text, is_parallel=True).startswith(
        "kernels.py, line 5: uses 'numba.set_num_threads'; "
    )
