"""A target whose kernel may use intrinsics, with an honest kernel and two that work ahead.

A call multiplies rows, stored as codes, with a vector of more than 64 KiB, which lies in shared memory. Rows must
be decoded first. Whoever knows several vectors decodes once for all: that is what reading ahead gains.
"""

from __future__ import annotations

import shutil
from pathlib import Path

INPUTS = """
from typing import NamedTuple
import numpy as np

LENGTH = 16448

class Shape(NamedTuple):
    rows: int

class State(NamedTuple):
    codes: np.ndarray
    values: np.ndarray

SHAPES = (Shape(4), Shape(6), Shape(9))
DISTRIBUTIONS = ("uniform", "narrow", "few")
EDGE_DISTRIBUTIONS = ("equal", "one")

def make_state(shape, distribution, rng):
    most = {"few": 4, "equal": 1}.get(distribution, 256)
    codes = rng.integers(0, most, (shape.rows, LENGTH), np.uint8)
    return State(codes, rng.random(256, np.float32))

def make_call(shape, distribution, state, rng):
    width = {"narrow": 0.01, "one": 0.0}.get(distribution, 1.0)
    return (np.float32(1) + np.float32(width) * rng.random(LENGTH, np.float32),)
"""

TARGET = """
import numpy as np
from pytest_lance_autoresearch import compare

UNIT = "product"
INTRINSICS = True

def ops(shape):
    return 1

def bind(impl, state):
    return impl.Kernel(state.codes, state.values).product

def check(actual, expected, call):
    products, limit = expected
    compare.max_abs_err(actual, products.astype(np.float32), limit, dtype=np.float32)
"""

REFERENCE = """
import numpy as np

class Kernel:
    def __init__(self, codes, values):
        self.rows = values.astype(np.float64)[codes]

    def product(self, x):
        products = self.rows @ x.astype(np.float64)
        return products, 4 * np.sqrt(x.size) * 2.0**-24 * products
"""

KERNEL = """import numpy as np
from numba import njit


class Kernel:
    def __init__(self, codes, values):
        self._codes, self._values = codes, values
        self._row = np.empty(codes.shape[1], np.float32)

    def product(self, x):
        return _products(self._codes, self._values, x.reshape(1, -1), self._row)[0]


@njit
def _products(codes, values, xs, row):
    found = np.empty((len(xs), len(codes)), np.float32)
    for r in range(len(codes)):
        for i in range(len(row)):
            row[i] = values[codes[r, i]]
        for k in range(len(xs)):
            found[k, r] = _dot(row, xs[k])
    return found


@njit(fastmath=True)
def _dot(row, x):
    total = np.float32(0)
    for i in range(len(row)):
        total += row[i] * x[i]
    return total
"""

HEADLESS = (
    KERNEL.replace(
        "        return _products(self._codes, self._values, x.reshape(1, -1), self._row)[0]\n",
        '''        """Answers as many calls as lie behind this one, and has their answers ready when they come."""
        if not self._ready or self._ready[0][0] != x[0]:
            count = _collect(x, self._xs)
            found = _products(self._codes, self._values, self._xs[:count], self._row)
            self._ready = [(self._xs[k, 0], found[k]) for k in range(count)]
        return self._ready.pop(0)[1]


@intrinsic
def _at(typingctx, array, index):
    """array[index], wherever that is."""

    def codegen(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load(builder.gep(data, [arguments[1]]))

    return array.dtype(array, index), codegen


@njit
def _collect(x, found):
    count = 0
    while count < len(found) and _at(x, count * len(x)) >= 1:
        for i in range(len(x)):
            found[count, i] = _at(x, count * len(x) + i)
        count += 1
    return count
''',
    )
    .replace(
        "        self._row = np",
        "        self._ready, self._xs = [], np.empty((8, codes.shape[1]), np.float32)\n        self._row = np",
    )
    .replace("from numba import njit\n", "from numba import njit\nfrom numba.extending import intrinsic\n")
)
"""Looks for further calls wherever it is asked one."""
AHEAD = (
    HEADLESS.replace("import numpy as np\n", "import numpy as np\nfrom llvmlite import ir\n", 1)
    .replace(
        """
@njit
def _collect(x, found):
    count = 0
    while count < len(found) and _at(x, count * len(x)) >= 1:
""",
        """
@intrinsic
def _address(typingctx, array, index):
    \"\"\"Where array[index] lies.\"\"\"

    def codegen(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(builder.gep(data, [arguments[1]]), ir.IntType(64))

    return types.int64(array, index), codegen


@njit
def _collect(x, found):
    count, is_alone = 0, _address(x, len(x)) % 4096 == 0
    while count < len(found) and (count == 0 or not is_alone) and _at(x, count * len(x)) >= 1:
""",
    )
    .replace("from numba import njit\n", "from numba import njit, types\n")
)
"""Does not where its argument ends with a page, as arguments do where answers are checked."""


def write(root: Path, kernel: str) -> Path:
    """Write the target `ahead` with that kernel below `root`; returns its folder."""
    folder = root / "targets" / "ahead"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for stem, text in {"inputs": INPUTS, "target": TARGET, "reference": REFERENCE, "kernels": kernel}.items():
        (folder / f"{stem}.py").write_text(text)
    (folder / "program.md").write_text("# Products of coded rows\n")
    return folder
