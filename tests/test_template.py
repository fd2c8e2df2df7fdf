"""The template target, and the two pages about targets, which must say what the program does.

The pages' own blocks are the test: files are written and edited, commands run and outputs compared, in the order
of the pages; the reference goes on where the tutorial ends. In a shown output `...` stands for anything, and a
number for any number.
"""

from __future__ import annotations

import functools
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

import pytest
import toys

from pytest_lance_autoresearch import records
from pytest_lance_autoresearch.bench import alone, check, cpu, measure, process
from pytest_lance_autoresearch.errors import AutoresearchError, KernelIncorrect, TargetError
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.plugin import options
from pytest_lance_autoresearch.runs import trial
from pytest_lance_autoresearch.target_files import discover, generate, load
from pytest_lance_autoresearch.target_files.contract import cases_of

ROOT = Path(__file__).parent.parent
TEMPLATE = ROOT / "targets" / "_template"
TUTORIAL = (ROOT / "docs" / "adding-a-target.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "target-reference.md").read_text(encoding="utf-8")
PLAIN = ("-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist")
OBVIOUS = "return (self._rows * weights).sum(axis=1)"


def copy_template(root: Path) -> Path:
    target = root / "targets" / "mine"
    shutil.copytree(TEMPLATE, target, ignore=shutil.ignore_patterns("__pycache__", "*.tsv", "lessons.md"))
    return target


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A copy of the template."""
    return copy_template(tmp_path)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path.name} has {text.count(old)} times: {old}"
    path.write_text(text.replace(old, new), encoding="utf-8")


# The kernels that a template must tell apart.


class Begun(NamedTuple):
    trial: trial.Trial
    cases: tuple[records.Case, ...]


def begin(directory: Path, settings: trial.Settings | None = None) -> Begun:
    loaded = load.load(discover.inspect(directory))
    cases = cases_of(loaded)
    return Begun(trial.Trial(loaded, cases, settings or trial.Settings(directory, timeout_s=1)), cases)


@pytest.mark.parametrize(
    "body",
    [
        "return np.zeros(len(self._rows), np.float32)",
        "return np.full(len(self._rows), np.nan, np.float32)",
        "return (self._rows.astype('f2').astype('f4') * weights.astype('f2')).sum(axis=1)",
        "return np.einsum('ij,j->i', self._rows.astype('f2'), weights.astype('f2')).astype('f4')",
    ],
    ids=["zeros", "NaN", "float16 inputs", "float16 throughout"],
)
def test_a_wrong_kernel_fails_on_every_case(target: Path, body: str) -> None:
    edit(target / "kernels.py", OBVIOUS, body)
    begun = begin(target)
    try:
        for case in begun.cases:
            with pytest.raises(
                KernelIncorrect, match=f"{case.id}, published call 1 of 3: sums: .* differ by more"
            ):
                begun.trial.check_case(case)
        with pytest.raises(KernelIncorrect, match="properties, on State"):
            begun.trial.check_properties()
    finally:
        begun.trial.close()


@pytest.mark.parametrize(
    "body",
    [
        "return self._rows @ weights",
        "return np.cumsum(self._rows * weights, axis=1)[:, -1].copy()",
        "return (self._rows.astype(np.float64) * weights).sum(axis=1).astype(np.float32)",
    ],
    ids=["BLAS", "one after the other", "float64"],
)
def test_an_honest_rewrite_passes(target: Path, body: str) -> None:
    edit(target / "kernels.py", OBVIOUS, body)
    begun = begin(target)
    try:
        for case in begun.cases:
            begun.trial.check_case(case)
        begun.trial.check_properties()
    finally:
        begun.trial.close()


def test_the_commands_of_its_program_md_are_understood(pytester: pytest.Pytester) -> None:
    text = (copy_template(pytester.path) / "program.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    (pytest .*?)(?:   |$)", text, re.M)
    assert len(commands) == 2
    for command in commands:
        arguments = shlex.split(command.replace("NAME", "mine"))[1:]
        assert pytester.runpytest(*PLAIN, "--collect-only", *arguments).ret == 0


# The walk.


class Block(NamedTuple):
    """A fenced block: 'console', or 'python' or 'diff' with the path of the file that it is or changes."""

    kind: str
    path: str
    text: str


def blocks(page: str) -> list[Block]:
    return [Block(*found) for found in re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", page, re.M | re.S)]


def steps(text: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with what it shows."""
    return re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.M)


def apply(root: Path, block: Block) -> None:
    if block.kind == "python":
        (root / block.path).write_text(block.text, encoding="utf-8")
        return
    sides = {"-": "", "+": ""}
    for line in block.text.splitlines(keepends=True):
        sides[line[0]] += line[1:]
    edit(root / block.path, sides["-"], sides["+"])


def normal(output: str) -> str:
    """Without what differs from run to run: numbers, widths, and which case was the slowest."""
    output = re.sub(r"\bsha256 \w+", "sha256 #", output)
    output = re.sub(r"^((?:slowest|fastest)(?:_case)?): .*", r"\1: #", output, flags=re.M)
    output = re.sub(r"\d+(?:[.,]\d+)*(?:e[+-]\d+)?", "#", output)
    output = re.sub(r"([-=_!])\1{2,}", r"\1\1\1", output)
    return re.sub(r"[ \t]+$", "", re.sub(r"[ \t]+", " ", output), flags=re.M).strip("\n") + "\n"


def shows(shown: str, output: str) -> bool:
    lines = (
        "(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*?") + "\n"
        for line in normal(shown).splitlines()
    )
    return re.fullmatch("".join(lines), normal(output)) is not None


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Kernels run and are checked as always, but take the same time on every machine: one with einsum less."""
    run = process.KernelProcess.run_window

    def timed(
        self: process.KernelProcess, window: wire.PackedWindow, *, is_announced: bool = True
    ) -> process.WindowAnswers:
        each = 100_000 if b"einsum" in self.source.text else 200_000
        ns = len(window) * (each if self.source.text else 0)  # a process without a kernel costs nothing
        answers = run(self, window, is_announced=is_announced)
        answers.window = replace(answers.window, wall_ns=ns, cpu_ns=ns, waited_ns=0, stolen_ns=0)
        return answers

    monkeypatch.setattr(process.KernelProcess, "run_window", timed)
    monkeypatch.setattr(process.WindowAnswers, "settled", lambda answers: answers.window)
    monkeypatch.setattr(cpu, "_AROUND_NS", 10**12)
    monkeypatch.setattr(measure, "WINDOW_NS", 100_000)
    monkeypatch.setattr(alone, "WINDOWS", 2)
    monkeypatch.setattr(trial, "PROPERTY_EXAMPLES", 20)
    monkeypatch.setattr(options, "Rules", functools.partial(records.Rules, pairs=2, blocks=8))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # its own lock: nobody waits for these times


@pytest.mark.usefixtures("steady")
def test_the_walk_gives_what_the_pages_show(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    status = 0
    for block in [*blocks(TUTORIAL), *blocks(REFERENCE)]:
        if block.kind == "python" and not block.path:
            continue  # part of the example, which has a test of its own
        if block.kind != "console":
            apply(pytester.path, block)
            continue
        for command, shown in steps(block.text):
            if command == "echo $?":
                output = f"{status}\n"
            elif command.startswith("pytest "):
                result = pytester.runpytest(*PLAIN, *shlex.split(command)[1:])
                status, output = int(result.ret), f"{result.stderr}\n{result.stdout}"
            else:
                typed = re.sub("^python ", f"{shlex.quote(sys.executable)} ", command)
                done = subprocess.run(typed, shell=True, capture_output=True, text=True, check=True)
                output = done.stdout
            assert shows(shown, output), f"$ {command}\n{normal(output)}\n--- the page shows:\n{normal(shown)}"


def test_no_block_of_the_pages_is_only_shown() -> None:
    for page, examples in ((TUTORIAL, 0), (REFERENCE, len(blocks_of(EXAMPLE)) + len(blocks_of(BATCH)))):
        found = blocks(page)
        assert 2 * len(found) == len(re.findall("^```", page, re.M))
        assert {block.kind for block in found} <= {"console", "python", "diff"}
        assert sum(block.kind == "python" and not block.path for block in found) == examples


def test_a_shown_output_is_compared_line_by_line() -> None:
    output = "first\nspeed:   12.5 ms\n---\nlast line\n"
    assert shows("first\nspeed: 9 ms\n------\nlast line\n", output)
    assert shows("...\nspeed: 9 ms\n...\n", output)
    assert shows("first\n...\nlast ...\n", output)
    assert not shows("first\n---\nlast line\n", output)
    assert not shows("first\nspeed: 9 us\n...\n", output)


# The reference.

Change = Callable[[Path], object]


def change(file: str, old: str, new: str) -> Change:
    return lambda directory: edit(directory / file, old, new)


def kernel(body: str) -> Change:
    return change("kernels.py", OBVIOUS, body)


def wired(line: str) -> Change:
    return change("target.py", 'UNIT = "row"', f'UNIT = "row"\n{line}')


def all_of(*changes: Change) -> Change:
    return lambda directory: [one(directory) for one in changes]


def with_output_argument(body: str) -> Change:
    """A second argument of 80,000 bytes, which is passed without copying."""
    weights = "weights: NDArray[np.float32])"
    return all_of(
        change("inputs.py", "return (weights,)", "return weights, np.zeros(20_000, np.float32)"),
        change("kernels.py", weights, "weights, out)"),
        change("reference.py", weights, "weights, out)"),
        kernel(body),
    )


MISTAKES: dict[str, Change] = {
    "a sixth file, `helpers.py`": lambda directory: (directory / "helpers.py").touch(),
    "`program.md` not written yet": lambda directory: (directory / "program.md").unlink(),
    "a list: `DISTRIBUTIONS = [...]`": change(
        "inputs.py", '("normal", "uniform", "sparse")', '["normal", "uniform", "sparse"]'
    ),
    'a missing comma: `("cancelling")`': change(
        "inputs.py", '("large_dynamic_range", "cancelling")', '("cancelling")'
    ),
    "one edge distribution only": change("inputs.py", '("large_dynamic_range", "cancelling")', '("cancelling",)'),
    "two shapes": change("inputs.py", ", Shape(1001, 301)", ""),
    "a plain tuple as a shape": change("inputs.py", "Shape(1001, 301)", "(1001, 301)"),
    "a fraction in a shape": change("inputs.py", "Shape(1001, 301)", "Shape(1001, 0.5)"),
    "a space in a name": change("inputs.py", '"sparse")', '"very sparse")'),
    '`UNIT = "ns/row"`': change("target.py", 'UNIT = "row"', 'UNIT = "ns/row"'),
    "`bind` renamed": change("target.py", "def bind", "def build"),
    "an import of another file": change("inputs.py", "import numpy", "import helpers\nimport numpy"),
    "one argument, no tuple: `return weights`": change("inputs.py", "return (weights,)", "return weights"),
    "a class renamed in `kernels.py` only": change("kernels.py", "class WeightedSums", "class Sums"),
    "a class renamed in `reference.py` only": change("reference.py", "class WeightedSums", "class Sums"),
    "the kernel returns nothing": kernel("(self._rows * weights).sum(axis=1)"),
    "the kernel returns a number": kernel("return (self._rows * weights).sum()"),
    "the kernel returns float64": kernel("return (self._rows * weights.astype(np.float64)).sum(axis=1)"),
    "an answer kept for the next call": kernel(
        "self.kept = getattr(self, 'kept', None)\n"
        "        if self.kept is None:\n"
        "            self.kept = (self._rows * weights).sum(axis=1)\n"
        "        return self.kept"
    ),
    "`KERNEL` beside `kernels.py`": wired('KERNEL = "../../src/lib/_kernels.py"'),
    "`KERNEL` names no file": all_of(
        wired('KERNEL = "../../src/lib/gone.py"'), lambda directory: (directory / "kernels.py").unlink()
    ),
    "`KERNEL` is computed": wired('KERNEL = "/".join(["..", "lib", "_kernels.py"])'),
    'a missing comma: `IMPORTS = ("scipy.special")`': wired('IMPORTS = ("scipy.special")'),
    "`INTRINSICS = 1`": wired("INTRINSICS = 1"),
    '`THREADS = "2"`': wired('THREADS = "2"'),
    "`parallel=True` without `THREADS`": kernel(f"import numba; numba.njit(parallel=True); {OBVIOUS}"),
    "a thread": kernel(
        "import threading, time\n"
        "        threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n"
        f"        {OBVIOUS}"
    ),
    "an endless loop": kernel("while True: pass"),
    "a large argument changed": with_output_argument(f"out[0] = 1; {OBVIOUS}"),
    "a slice of an output argument returned": with_output_argument(
        "n = len(self._rows); out[:n] = (self._rows * weights).sum(axis=1); return out[:n]"
    ),
    "`assert` without a message in `check`": change(
        "target.py",
        'compare.max_abs_err(actual, sums, limit, dtype=np.float32, what="sums")',
        "assert np.abs(actual - sums).max() < 1e-9",
    ),
}


def said_of(directory: Path) -> str:
    """The sentence about the first fault of a target, whatever its kind."""
    begun = None
    try:
        begun = begin(directory)
        for case in begun.cases[:2]:
            begun.trial.check_case(case)
    except AutoresearchError as fault:
        return str(fault)
    finally:
        if begun is not None:
            begun.trial.close()
    return "nothing"


def rows_of(heading: str) -> list[list[str]]:
    """The body of the table under a heading."""
    section = REFERENCE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[2:]]


PROTOCOL = {row[0].strip("`"): row[1] for heading in ("inputs.py", "target.py") for row in rows_of(heading)}


NOT_IN_THE_TEMPLATE = {
    *("target.KERNEL", "target.IMPORTS", "target.THREADS"),
    *("target.COST_FRACTION", "target.BUILD_BUDGET", "target.BIT_EXACT", "target.INTRINSICS", "target.LOSSY"),
}


class Recorder:
    """Stands for a target's module and remembers what is asked of it."""

    def __init__(self, stem: str, module: ModuleType, asked: set[str]) -> None:
        self._stem, self._module, self._asked = stem, module, asked

    def __getattr__(self, name: str) -> Any:
        self._asked.add(f"{self._stem}.{name}")
        return getattr(self._module, name)


@pytest.mark.usefixtures("steady")
def test_the_protocol_is_what_the_package_asks_for(target: Path) -> None:
    asked: set[str] = set()
    loaded = load.load(discover.inspect(target))
    loaded = replace(
        loaded,
        inputs=cast("Any", Recorder("inputs", loaded.inputs, asked)),
        wiring=cast("Any", Recorder("target", loaded.wiring, asked)),
    )
    cases = cases_of(loaded)
    run = trial.Trial(loaded, cases, trial.Settings(target))
    run.check_case(cases[0])
    run.check_properties()
    run.measure_case(cases[0])
    run.conclude()
    generate.make_hidden_state(loaded, cases[0], 1, "look 2")
    by_pickle = {"inputs.__spec__", "inputs.State"}  # it finds the state's class by the name of its module
    assert asked - by_pickle | NOT_IN_THE_TEMPLATE == set(PROTOCOL)


@pytest.mark.parametrize("name", [name for name in PROTOCOL if name not in NOT_IN_THE_TEMPLATE])
def test_only_an_optional_name_may_be_missing(target: Path, name: str) -> None:
    module, function = name.split(".")
    path = target / f"{module}.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(f"{text}\ndel {function}\n", encoding="utf-8")
    loaded = load.load(discover.inspect(target))
    if PROTOCOL[name].startswith("optional"):
        assert len(cases_of(loaded)) == 15
    else:
        with pytest.raises(TargetError, match=function):
            cases_of(loaded)


EXAMPLE = "An example: a kernel that adds to its argument, in float64"
BATCH = "An example: a kernel that returns a number, batched"


def blocks_of(title: str) -> dict[str, str]:
    """The files that a section of the reference shows, by name."""
    section = re.split("\n##+ ", REFERENCE.split(f"\n### {title}\n")[1])[0]
    return dict(re.findall(r"```python\n# (\w+)\.py[^\n]*\n(.*?)```", section, re.DOTALL))


@pytest.mark.parametrize(("old", "new", "failed"), [("", "", 0), ("return sums ", "return sums[:-1] ", 1)])
def test_the_kernel_that_fills_its_argument_is_a_target(
    pytester: pytest.Pytester, old: str, new: str, failed: int
) -> None:
    shown = blocks_of(EXAMPLE)
    rows = toys.INPUTS.replace("Shape(64, 32)", "Shape(8192, 1)").replace("Shape(128, 32)", "Shape(9000, 1)")
    inputs = rows.replace("Shape(129, 31)", "Shape(65537, 1)").split("def make_call")[0] + shown["inputs"]
    wiring = toys.TARGET.replace("Kernel(state.weights).product", "Weighted(state.weights).add")
    toys.write(
        pytester.path,
        text=shown["kernels"].replace(old, new),
        inputs=inputs,
        reference=shown["reference"],
        target=shown["target"] + wiring,
    )
    result = pytester.runpytest(*PLAIN, "--autoresearch=toy", *(["-x"] if failed else []))
    assert result.parseoutcomes().get("failed", 0) == failed
    assert bool(failed) == ("the kernel changed its argument 1" in result.stdout.str())


@pytest.mark.parametrize(("old", "new", "failed"), [("", "", 0), ("@ difference", "@ one", 1)])
def test_the_kernel_that_returns_a_number_is_a_target(
    pytester: pytest.Pytester, old: str, new: str, failed: int
) -> None:
    shown = blocks_of(BATCH)
    toys.write(
        pytester.path,
        text=shown["kernels"].replace(old, new),
        inputs=toys.INPUTS.split("def make_call")[0] + shown["inputs"],
        reference=shown["reference"],
        target=shown["target"],
    )
    result = pytester.runpytest(*PLAIN, "--autoresearch=toy", *(["-x"] if failed else []))
    assert result.parseoutcomes().get("failed", 0) == failed
    assert bool(failed) == ("64 of 64 values differ" in result.stdout.str())


MISTAKE_ROWS = dict(rows_of("Common mistakes"))


def test_every_mistake_that_is_made_is_on_the_page() -> None:
    assert list(MISTAKES) == list(MISTAKE_ROWS)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gives_the_sentence_of_the_page(target: Path, mistake: str) -> None:
    MISTAKES[mistake](target)
    assert shows(MISTAKE_ROWS[mistake].strip("`"), said_of(target).splitlines()[0])


def test_a_fault_of_the_files_is_one_red_item(pytester: pytest.Pytester) -> None:
    mistake = "two shapes"
    MISTAKES[mistake](copy_template(pytester.path))
    result = pytester.runpytest(*PLAIN, "--autoresearch=mine")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*_ test_contract _*", MISTAKE_ROWS[mistake].strip("`")])


@pytest.mark.parametrize(
    "said",
    [
        f"{check.CALLS_PER_CHECK} published calls",
        f"Hypothesis draws {trial.PROPERTY_EXAMPLES} pairs",
        f"array argument of {wire.DIRECT_BYTES // 1024} KiB or more is passed where it lies",
        f"at most {records.Rules().memory_fraction * 100:g} % and "
        f"at most {records.Rules().memory_bytes >> 20} MiB",
    ],
)
def test_the_numbers_of_the_reference_are_the_package_s(said: str) -> None:
    assert said in " ".join(REFERENCE.split())
