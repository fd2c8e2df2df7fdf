"""`explain`: what it finds in a kernel that is known, and what it makes of wrong names and of hostile kernels."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import toys
from command_line import Said, Say
from workers import TIMEOUT_S

from pytest_lance_autoresearch.assembly import listing, remarks
from pytest_lance_autoresearch.bench import explained, measure, scratch
from pytest_lance_autoresearch.bench.explained import ExplainedProcess
from pytest_lance_autoresearch.bench.probing import ProbeProcess
from pytest_lance_autoresearch.command import terminal
from pytest_lance_autoresearch.errors import KernelCrashed, KernelRaised
from pytest_lance_autoresearch.kernel_side import probes
from pytest_lance_autoresearch.machine import clocks, sampling
from pytest_lance_autoresearch.records import Call, Progress, Window
from pytest_lance_autoresearch.runs import explanation, limits
from pytest_lance_autoresearch.runs.explanation import PythonLine
from pytest_lance_autoresearch.target_files import contract, discover, load, sources
from pytest_lance_autoresearch.target_files.load import Target

KNOWN = """import numba
import numpy as np


@numba.njit
def _sum(values):
    total = 0.0
    for i in range(len(values)):
        total += values[i] * values[i]
    return total


@numba.njit
def _scale(weights, x, out):
    for i in range(len(weights)):
        out[i] = weights[i] * x[i]


class Kernel:
    def __init__(self, weights):
        self.weights = weights

    def product(self, x):
        for _ in range(200):
            total = _sum(x)
        out = np.empty_like(x)
        _scale(self.weights, x, out)
        return out if total >= 0 else x
"""
"""A float sum, which has no vectors, and a product, which has; 200 times as much of the sum."""


PATIENCE_S = 60.0
"""With a machine that does other things too."""


def target(tmp_path: Path, text: str, **changed: str) -> Target:
    return load.load(discover.inspect(toys.write(tmp_path, text=text, **changed)))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Names


@pytest.mark.parametrize("name", ["toi", "TOY", "Toi"])
def test_a_target_that_is_not_there_is_answered_with_the_nearest(project: Path, say: Say, name: str) -> None:
    toys.write(project)
    assert say("explain", name) == Said(2, [], [f"ERROR: no target '{name}'; did you mean 'toy'?"])


@pytest.mark.parametrize(
    ("case", "hint"),
    [
        ("64x32-unifrom", "did you mean '64x32-uniform'?"),
        ("64X32-UNIFORM", "did you mean '64x32-uniform'?"),
        ("?", "expected one such as '64x32-uniform'"),
    ],
)
def test_a_case_that_is_not_there_is_answered_with_the_nearest(
    project: Path, say: Say, case: str, hint: str
) -> None:
    toys.write(project)
    assert say("explain", "toy", case) == Said(2, [], [f"ERROR: target 'toy': no case '{case}'; {hint}"])


def test_a_kernel_that_breaks_the_rules_is_not_run(project: Path, say: Say) -> None:
    toys.write(project, text="import os\n" + toys.KERNEL)
    answer = say("explain", "toy", "64x32-uniform")
    assert answer.code == 2
    assert "'os'" in answer.err[-1]


# Kernels that fail


def test_a_kernel_that_raises_is_told_with_its_places_below(project: Path, say: Say) -> None:
    toys.write(project, text=toys.kernel("def inner():\n    return [][0]\nreturn inner()"))
    answer = say("explain", "toy", "64x32-uniform")
    assert (answer.code, answer.out) == (2, [])
    assert answer.err[-3:] == [
        "ERROR: 64x32-uniform: the kernel raised IndexError: list index out of range, at "
        "targets/toy/kernels.py:15",
        "    targets/toy/kernels.py:16, in product: return inner()",
        "    targets/toy/kernels.py:15, in inner: return [][0]",
    ]


HANGS = "while True:\n    pass"


def test_a_kernel_that_hangs_is_told_after_the_time_that_was_set(project: Path, say: Say) -> None:
    toys.write(project, text=toys.kernel("return x", HANGS))
    answer = say("explain", "toy", "64x32-uniform", "--timeout", "0.5")
    assert answer.code == 2
    assert answer.err[0] == "toy: 64x32-uniform: compiling, listing and measuring the kernel"
    assert re.fullmatch(  # where the machine is busy, what comes before may take as long
        "ERROR: (kernels.py, while it|before its kernel) was loaded: the kernel did not answer within 0.5 s and "
        "was ended",
        answer.err[1],
    )
    assert answer.err[2] == "  it was here:"


def test_how_long_it_has_lasted_is_told_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy, told, has_told = target(tmp_path, toys.KERNEL), list[str](), threading.Event()

    def watch(progress: Progress) -> None:
        told.append(progress.what)
        if len(told) == 2:
            has_told.set()

    monkeypatch.setattr(explanation, "TOLD_EVERY_S", 0.001)
    monkeypatch.setattr(clocks, "now_s", lambda: 40.0 * len(told))
    with explanation._telling(watch, toy, "compiling the kernel", 300.0):
        assert has_told.wait(TIMEOUT_S)
    assert told[:2] == ["compiling the kernel", "compiling the kernel, 40 s so far, at most 300 s for an answer"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a parent's death is told by Linux alone")
@pytest.mark.parametrize("stopped", [False, True], ids=["looping", "stopped"])
def test_an_explanation_that_is_terminated_leaves_nothing_behind(project: Path, stopped: bool) -> None:
    toys.write(project, text=toys.kernel("return x", f"print('it loops', flush=True)\n{HANGS}"))
    command = [sys.executable, "-m", "pytest_lance_autoresearch", "explain", "toy", "64x32-uniform"]
    surroundings = os.environ | {"TMPDIR": str(project)}
    with subprocess.Popen(command, cwd=project, env=surroundings, stderr=subprocess.DEVNULL) as run:
        try:
            deadline_s = time.monotonic() + PATIENCE_S
            while not (has_begun := _loops(project)) and time.monotonic() < deadline_s:
                time.sleep(0.02)
            kernels = psutil.Process(run.pid).children()
            for kernel in kernels if stopped else []:
                kernel.suspend()
        finally:
            run.terminate()
    assert has_begun
    assert len(kernels) == 2
    assert psutil.wait_procs(kernels, PATIENCE_S)[1] == []
    assert run.returncode == 128 + signal.SIGTERM
    assert list(project.glob("kernel-*")) == []


def _loops(temporary: Path) -> bool:
    """Whether a kernel has said so, whose process has its folder there."""
    return any("it loops" in log.read_text() for log in temporary.glob(f"*/{scratch.LOG}"))


def test_a_fault_has_ten_lines_at_most() -> None:
    lines = terminal._fault_lines(KernelRaised("a: the kernel raised X\n" + "\n".join(map(str, range(20)))))
    assert lines == [
        "ERROR: a: the kernel raised X",
        *(f"  {number}" for number in range(8)),
        "  ... and 12 more lines",
    ]
    whole = terminal._fault_lines(KernelRaised("a: the kernel raised X\n" + "\n".join(map(str, range(9)))))
    assert whole == ["ERROR: a: the kernel raised X", *(f"  {number}" for number in range(9))]


def test_what_a_kernel_said_before_its_end_is_without_what_llvm_remarked(tmp_path: Path) -> None:
    said = "print('remark: kernels.py:9:1: vectorized loop', 'so it ends', sep='\\n', flush=True)"
    ending = target(tmp_path, toys.kernel("return x", f"import os\n{said}\nos._exit(3)"))
    process = ExplainedProcess(ending, ending.kernel, TIMEOUT_S)
    with pytest.raises(KernelCrashed) as raised:
        process.introduce()
    assert str(raised.value) == (
        "kernels.py, while it was loaded: the kernel's process ended (exit code 3) instead of answering\n"
        "its last output:\nso it ends"
    )


# Which case


class Timed:
    """A process whose windows take what they are told to, and which does nothing else."""

    def __init__(self, windows: dict[str, tuple[Window, ...]]) -> None:
        self.windows = windows
        self.released: list[str] = []

    def release(self, key: str) -> None:
        self.released.append(key)


def test_the_slowest_case_is_the_one_whose_fastest_window_without_waiting_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = target(tmp_path, toys.KERNEL)
    case = contract.cases_of(toy)[0]
    busy, quiet = Window(10, 900_000, None, 100_000, 0), Window(10, 500_000, None, 300_000, 0)
    process: Any = Timed({case.id: (busy, quiet)})
    monkeypatch.setattr(measure, "make_ready", lambda *_: None)
    monkeypatch.setattr(measure, "measure_alone", lambda plan, process, _: process.windows[plan.key])
    ops = contract.ops_per_call(toy, case)
    assert explanation._brief_time(toy, case, process, process) == 20_000 / ops
    assert process.released == [case.id]


# What is compiled


@pytest.mark.slow
def test_what_numba_made_is_listed_with_its_lines_and_what_llvm_said(tmp_path: Path) -> None:
    known = target(tmp_path, KNOWN)
    process = ExplainedProcess(known, known.kernel, TIMEOUT_S)
    process.introduce()
    try:
        call: Call = (np.ones(64 * 32),)
        process.bind("a", load.pickled(known, known.inputs.State(np.ones(64 * 32)), "inputs.make_state"))
        process.run("a", [call], 2**16)
        process.bind_profiled("a")
        assert process.run(explained.PROFILED, [call, call], 2**16)[1].tolist() == [1.0] * 64 * 32
        functions = {one.name: one for one in listing.read(process.listing())}
        told, profile = process.remarks(), process.profile()
    finally:
        process.close()
    assert {"_sum", "_scale"} <= set(functions)
    lines = {one.place.line for one in functions["_sum"].instructions if one.place.file == "kernels.py"}
    assert {8, 9, 10} <= lines
    said_of = {
        remark.place.line: remark for remark in remarks.read(told) if remark.meaning or remark.is_vectorized
    }
    assert "fastmath=True" in said_of[9].meaning
    assert said_of[15].is_vectorized
    hottest = explanation._python_lines(profile)[0]
    assert (hottest.file, hottest.line, hottest.function) == ("kernels.py", 25, "Kernel.product")
    assert hottest.times == 2 * 200


COMPILING = """
import re, sys
from numba.core.registry import cpu_target

codegen = cpu_target.target_context.codegen()
library, made = type(codegen)._library_class, []
if sys.argv[2] == "listed":
    from pytest_lance_autoresearch.kernel_side import listing
    modules = listing.Listing()._modules
    read = lambda: [line for module in modules for line in module._lines]
else:
    def asked_for(module):
        made.extend(codegen._tm.emit_assembly(module).splitlines())
    codegen._engine.set_object_cache(library._object_compiled_hook, asked_for)
    read = lambda: made

import numpy as np
kernels = {}
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), kernels)
kernels["Kernel"](np.ones(99)).product(np.ones(99))
for line in read():
    if re.match("\\t[a-z]", line):
        print(re.sub(r'_ZN[\\w$.]+|\\d{9,}|"[^"]*"|\\.L\\w+', "", line))
"""
"""Prints the instructions that numba makes of a kernel, without names: those of labels and symbols may differ."""


@pytest.mark.slow
def test_the_lines_beside_it_do_not_change_the_code(tmp_path: Path) -> None:
    kernel = tmp_path / "kernels.py"
    kernel.write_text(KNOWN)
    runs = [[sys.executable, "-c", COMPILING, str(kernel), how] for how in ("listed", "plain")]
    listed, plain = (subprocess.run(run, capture_output=True, text=True, check=True).stdout for run in runs)
    assert "addsd" in plain or platform.machine() != "x86_64"
    assert listed == plain


@pytest.mark.slow
def test_a_kernel_is_explained_by_what_it_is(project: Path, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explanation, "SAMPLED_NS", 200_000_000)
    monkeypatch.setattr(limits, "STREAMED", (32 * limits.KIB,))
    monkeypatch.setattr(limits, "TABLES", (32 * limits.KIB,))
    toys.write(project, text=KNOWN)
    answer = say("explain", "toy", "--asm")
    assert answer.code == 0
    report = "\n".join(answer.out)
    beginnings = [line for line in answer.err if " s so far, " not in line]  # a busy machine is slow
    assert beginnings == [
        "toy: looking for the slowest of 9 cases",
        f"toy: {_case(report)}: compiling, listing and measuring the kernel",
    ]
    assert "in _sum; innermost" in report
    assert "total += values[i] * values[i]" in report
    assert "a float sum keeps its order" in report
    assert "limits of one core here, measured just now:" in report
    listed = report[report.rindex("loop 1, in _sum:") :]
    assert platform.machine() != "x86_64" or "addsd" in listed


def _case(report: str) -> str:
    return report.splitlines()[0].split(", case ")[1].split(":")[0]


# Kernels that are not to be believed

GARBAGE = """
print("remark: kernels.py:9:1: \\x1b[31m loop not vectorized: " + "x" * 10_000, flush=True)
print("remark: kernels.py:1e9:1: no line\\nfunction 1 evil\\n" * 1000, flush=True)
"""
LYING = """
import sys
import numpy as np

def text(self):
    return {answer}

sys.modules["pytest_lance_autoresearch.kernel_side.listing"].Listing.text = text
"""


def listed(tmp_path: Path, setup: str) -> tuple[str, str]:
    """The listing and the remarks of a kernel that does this when it is loaded, whatever the rules say."""
    hostile = target(tmp_path, toys.kernel("return self.weights * x", setup))
    process = ExplainedProcess(hostile, hostile.kernel, TIMEOUT_S)
    process.introduce()
    try:
        return process.listing(), process.remarks()
    finally:
        process.close()


def test_what_a_kernel_prints_is_no_remark_but_in_form(tmp_path: Path) -> None:
    text, told = listed(tmp_path, GARBAGE)
    assert [function.name for function in listing.read(text)] == []
    (remark,) = remarks.read(told)
    assert remark.text.startswith("[31m loop not vectorized: xxx")
    assert len(remark.text) < 400


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("np.zeros(64 * 2**20, np.uint8)", "its listing: the kernel returned 67108864 bytes; there is room for "),
        ("'function 1 evil'", "its listing: the kernel returned a str; expected a numpy.ndarray, a number, or a "),
    ],
    ids=["huge", "no array"],
)
def test_a_process_that_lies_about_its_code_is_found_out(tmp_path: Path, answer: str, fault: str) -> None:
    with pytest.raises(KernelRaised) as raised:
        listed(tmp_path, LYING.format(answer=answer))
    assert str(raised.value).startswith(fault)


@pytest.mark.parametrize("answer", ["np.frombuffer(b'\\xff\\x1b[2J' * 99, np.uint8)", "7", "(np.ones(3), 2)"])
def test_one_that_answers_with_garbage_has_no_code(tmp_path: Path, answer: str) -> None:
    text, _ = listed(tmp_path, LYING.format(answer=answer))
    assert listing.read(text) == []
    assert all(character.isprintable() for character in text)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x1b[2Jred\x07\n\xff\xfe\n\tok", "[2Jred\n\ufffd\ufffd\n\tok"),
        (b"", ""),
        ("\u202eabc".encode(), "abc"),
    ],
)
def test_a_text_of_a_kernel_s_process_is_printable_once_it_is_read(data: bytes, expected: str) -> None:
    assert explained._printable(data) == expected


ENDS = """import os
for _ in range(10**6):
    pass
os._exit(3)"""


def test_a_kernel_that_ends_while_it_is_stopped_and_looked_at_is_told_with_its_own_end(tmp_path: Path) -> None:
    """Whoever stops it gets to know of each stop, which must not be taken for the end."""
    ending = target(tmp_path, toys.kernel(ENDS))
    process = ExplainedProcess(ending, ending.kernel, TIMEOUT_S)
    process.introduce()
    try:
        state = load.pickled(ending, ending.inputs.State(np.ones(9)), "inputs.make_state")
        process.bind("a", state)
        sampler = sampling.StoppingSampler(process.pid)
        with process.observed(sampler), pytest.raises(KernelCrashed) as raised:
            process.run("a", [(np.ones(9),)])
    finally:
        process.close()
    assert raised.value.headline == "a: the kernel's process ended (exit code 3) instead of answering"


def test_a_profile_that_is_none_says_nothing() -> None:
    assert explanation._python_lines("x y\n1 2\n-1 2 a 3 b\n" + f"{'9' * 400} 1 a 1 b\n") == ()
    assert explanation._python_lines("30 2 kernels.py 7 Kernel.product\n10 4 target.py 9 a function") == (
        PythonLine(0.75, 2, "kernels.py", 7, "Kernel.product"),
        PythonLine(0.25, 4, "target.py", 9, "a function"),
    )


# What the rest of a process is, and how much there is to move


def test_what_is_not_compiled_is_told_by_its_file() -> None:
    maps = list(
        explanation._parsed(
            [
                "1000-2000 r-xp 00000000 fe:00 1    /usr/bin/python3.11",
                "2000-3000 rw-p 00000000 fe:00 1    /usr/lib/data.so",
                "3000-4000 r-xp 00000000 fe:00 1    /site-packages/numpy/_core/_multiarray_umath.so",
                "4000-5000 r-xp 00000000 fe:00 1    /usr/lib/libc.so.6",
                "5000-6000 r-xp 00000000 00:00 0 ",
            ]
        )
    )
    named = [explanation._mapped(maps, address) for address in (0x1800, 0x2800, 0x3800, 0x4800, 0x5800)]
    assert named == ["Python", "code without a listing", "numpy", "libc", "code without a listing"]


def test_the_bytes_of_a_state_are_those_of_all_its_arrays() -> None:
    class Built:
        def __init__(self) -> None:
            self.table, self.name = np.zeros(10, np.uint8), "x"

    assert explanation._bytes((np.zeros(4), [np.float32(1)], {"a": np.zeros(2, np.int16)}, 7, None)) == 40
    assert explanation._bytes(Built()) == 10


# Limits


@pytest.mark.parametrize(
    ("name", "units"), [("read", 32 * 2**20), ("copy", 2**24), ("look up", 2**20), ("follow", 2**20)]
)
def test_the_loops_that_measure_this_host_do_what_they_are_counted_for(name: str, units: int) -> None:
    assert probes.units(name, 2**16) == units
    assert probes.units("read", 64 * 2**20) == 64 * 2**20


@pytest.mark.slow
def test_a_core_has_limits(tmp_path: Path) -> None:
    """They run at all; what comes out depends on the machine."""
    toy = target(tmp_path, "")
    process = ProbeProcess(toy, sources.make(b"", toy.kernel.path, toy.kernel.home), TIMEOUT_S)
    process.introduce()
    try:
        assert all(process.ns_per_unit(name, 2**12) > 0 for name in probes.PROBES)
    finally:
        process.close()


def test_the_figure_of_a_size_is_that_of_the_next_larger_one() -> None:
    assert [limits.next_size({10: 1.0, 20: 2.0}, size) for size in (5, 10, 11, 99)] == [10, 10, 20, 20]
