"""The answers of a window, as a real worker leaves them: whose they are, how long, and what must not change."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import toys
import workers

from pytest_lance_autoresearch.bench import process
from pytest_lance_autoresearch.bench.process import KernelProcess
from pytest_lance_autoresearch.errors import KernelRaised, KernelRefused
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.target_files import discover, load

KEY = "64x32-uniform"
BIG = 2**27
OUTDATED = "the answers of a window are gone when another is run or its state is released"
KERNEL = f"""
import numpy as np


def answer(what, *arguments):
    return globals()[what](*arguments)


def double(x):
    return 2 * x


def spoil(position, *arrays):
    arrays[position].flat[-1] *= -1
    return np.zeros(1)


def fill(value, out):
    out[:] = value
    return np.ones(2), out


def fill_and_spoil(x, out):
    x[0] += 1
    out[:] = 1
    return out


def seen(x):
    everything = np.frombuffer(x.base, np.float64)
    return np.array([np.count_nonzero(everything == 1.5) // x.size])


held = []


def late(out):
    for earlier in held:
        earlier[:] = -1
    held[:] = [out]
    return out


def hold():
    return np.ones({BIG // 8})[:1]
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelProcess]:
    """One real worker, for whatever leaves it alive."""
    folder = tmp_path_factory.mktemp("kernel")
    wiring = "UNIT = 'x'\ndef ops(shape): return 1\ndef bind(impl, state): return impl.answer\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        target = load.load(discover.inspect(toys.write(folder, text=KERNEL, target=wiring)))
        started = workers.started(target)
        started.bind(KEY, load.pickled(target, None, "inputs.make_state"))
        yield started
        started.close()


@pytest.fixture
def pair(kernel: KernelProcess) -> Iterator[tuple[KernelProcess, KernelProcess]]:
    """Two processes that share the memory of their arguments."""
    target, memory = kernel._target, wire.Arena.create(wire.LEAST_BYTES)
    pair = workers.started(target, shared=memory), workers.started(target, shared=memory)
    for side in pair:
        side.bind(KEY, load.pickled(target, None, "inputs.make_state"))
        side.share()
    yield pair
    for side in pair:
        side.close()
    memory.close()


def direct(size: int = wire.DIRECT_BYTES // 8) -> np.ndarray[Any, Any]:
    """An argument that lies in the memory that is shared."""
    return np.arange(float(size))


def test_an_answer_is_a_private_copy(kernel: KernelProcess) -> None:
    answers = kernel.run(KEY, [("double", np.arange(3))])
    answers[0][:] = 9
    assert answers[0].tolist() == [0, 2, 4]


def test_answers_can_be_read_until_the_next_window(kernel: KernelProcess) -> None:
    answers = kernel.run(KEY, [("double", np.arange(3))])
    kernel.bind("another", b"\x80\x05N.")
    kernel.release("another")
    assert answers[0].tolist() == [0, 2, 4]
    later = kernel.run(KEY, [("double", np.arange(4))])
    reads: list[Callable[[], Any]] = [lambda: answers[0], lambda: answers.echo(0), answers.settled]
    for read in reads:
        with pytest.raises(RuntimeError) as raised:
            read()
        assert str(raised.value) == OUTDATED
    assert later[0].tolist() == [0, 2, 4, 6]


def test_two_kernels_that_share_memory_find_the_arguments_of_their_own_window_there(
    pair: tuple[KernelProcess, KernelProcess],
) -> None:
    one, other = pair
    calls = [[("double", direct() + n)] for n in range(4)]
    for number, side in enumerate((one, other, other, one)):
        answers = side.run(KEY, calls[number], 2**17)
        assert np.array_equal(answers[0], 2 * calls[number][0][1])


def test_answers_can_be_read_until_another_kernel_is_run_in_the_same_memory(
    pair: tuple[KernelProcess, KernelProcess],
) -> None:
    one, other = pair
    answers = one.run(KEY, [("double", np.arange(3))])
    assert answers[0].tolist() == [0, 2, 4]
    other.run(KEY, [("double", np.arange(4))])
    with pytest.raises(RuntimeError, match="gone when another is run in the same memory"):
        answers[0]
    assert answers.settled().calls == 1


@pytest.mark.parametrize(
    ("is_announced", "seen"), [(True, [4, 4, 4, 4]), (False, [1, 2, 3, 4])], ids=["announced", "not announced"]
)
def test_calls_that_are_started_one_by_one_see_what_is_announced(
    kernel: KernelProcess, seen: list[int], *, is_announced: bool
) -> None:
    ones = np.full(wire.DIRECT_BYTES // 8, 1.5)
    window = wire.Packer().pack(KEY, [("seen", ones)] * 4, 0, is_one_by_one=True)
    answers = kernel.run_window(window, is_announced=is_announced)
    assert [int(answers[index][0]) for index in range(4)] == seen
    index, early = answers.early
    assert early.tolist() == [seen[index]]
    assert answers.window.calls == 4
    assert answers.window.wall_ns > 0


@pytest.mark.parametrize(("is_announced", "seen"), [(True, [5, 5]), (False, [4, 5])], ids=["announced", "not"])
def test_what_lay_before_calls_that_are_started_one_by_one_lies_there_as_before_any_other(
    kernel: KernelProcess, seen: list[int], *, is_announced: bool
) -> None:
    """An earlier window's arguments: a kernel finds no beginning where the others have none."""
    packer, call = wire.Packer(), ("seen", np.full(wire.DIRECT_BYTES // 8, 1.5))
    three = packer.pack(KEY, [call] * 3, 0).plan.arguments_bytes
    window = packer.pack(KEY, [call] * 2, 0, is_one_by_one=True, before=three)
    assert window.plan.span(0)[0] == three
    answers = kernel.run_window(window, is_announced=is_announced)
    assert [int(answers[index][0]) for index in range(2)] == seen


def test_where_calls_are_started_one_by_one_the_first_that_fails_is_the_last(kernel: KernelProcess) -> None:
    window = wire.Packer().pack(KEY, [("double", direct()), ("nothing",), ("hold",)], 2**17, is_one_by_one=True)
    with pytest.raises(KernelRaised, match="the kernel raised KeyError: 'nothing'"):
        kernel.run_window(window)
    assert kernel.run(KEY, [("double", np.arange(3))])[0].tolist() == [0, 2, 4]


def test_an_answer_is_read_before_the_next_call_begins(
    kernel: KernelProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is put off until then is none."""
    monkeypatch.setattr(process, "_CHOICE", SimpleNamespace(randrange=lambda _: 0))
    window = wire.Packer().pack(KEY, [("late", direct() + call) for call in range(2)], 2**17, is_one_by_one=True)
    answers = kernel.run_window(window)
    index, early = answers.early
    assert (index, early[0], answers[0][0]) == (0, 0.0, -1.0)


def test_with_a_state_the_answers_of_its_window_are_released_and_the_packed_window(kernel: KernelProcess) -> None:
    kernel.bind("another", b"\x80\x05N.")
    window = wire.Packer().pack("another", [("double", np.arange(3))], 0)
    packed = weakref.ref(window)
    answers = kernel.run_window(window)
    kernel.release("another")
    with pytest.raises(RuntimeError, match=OUTDATED):
        answers.settled()
    del window, answers
    assert packed() is None


def test_a_window_that_failed_outdates_the_answers_before_it_too(kernel: KernelProcess) -> None:
    answers = kernel.run(KEY, [("double", np.arange(3))])
    with pytest.raises(
        KernelRaised, match=rf"^{KEY}: the kernel raised KeyError: 'nothing', at \S+/kernels\.py:6\n"
    ):
        kernel.run(KEY, [("nothing",)])
    with pytest.raises(RuntimeError, match=OUTDATED):
        answers.settled()


def test_a_window_is_run_as_often_as_wanted_until_the_next_one_is_packed(kernel: KernelProcess) -> None:
    packer = wire.Packer()
    window = packer.pack(KEY, [("double", direct())], 2**17)
    for _ in range(2):
        answers = kernel.run_window(window)
        assert (answers[0] == 2 * direct()).all()
    packer.pack(KEY, [()], 0)
    reads: list[Callable[[], Any]] = [lambda: answers[0], lambda: kernel.run_window(window)]
    for read in reads:
        with pytest.raises(RuntimeError) as raised:
            read()
        assert str(raised.value) == "another window was packed since; the bytes of a window are gone then"


def test_a_window_may_need_more_memory_than_there_was(kernel: KernelProcess) -> None:
    calls = [("double", direct(2**18) + i) for i in range(4)]
    answers = kernel.run(KEY, calls, 2**21)
    assert all((answers[i] == 2 * x).all() for i, (_, x) in enumerate(calls))


@pytest.mark.parametrize("position", [0, 1])
def test_a_changed_argument_is_found_when_its_answer_is_read(kernel: KernelProcess, position: int) -> None:
    """However small the change: the zero becomes a negative one."""
    zeros = np.zeros(wire.DIRECT_BYTES // 8)
    answers = kernel.run(KEY, [("double", direct()), ("spoil", position, zeros, zeros)], 2**17)
    answers[0]
    with pytest.raises(KernelRefused) as raised:
        answers[1]
    assert str(raised.value) == f"{KEY}: the kernel changed its argument {position + 2}"


def test_what_reaches_nobody_may_be_changed(kernel: KernelProcess) -> None:
    """A small argument is the worker's own copy."""
    assert kernel.run(KEY, [("spoil", 0, np.ones(3))])[0].tolist() == [0]


def test_an_argument_that_is_returned_may_be_changed_and_no_other(kernel: KernelProcess) -> None:
    filled = kernel.run(KEY, [("fill", 5.0, direct())])[0]
    assert [filled[0].tolist(), {*filled[1]}] == [[1, 1], {5.0}]
    with pytest.raises(KernelRefused, match=r"changed its argument 1$"):
        kernel.run(KEY, [("fill_and_spoil", direct(), direct())])[0]


def test_an_argument_with_gaps_is_compared_as_its_values(kernel: KernelProcess) -> None:
    table = direct(2**14).reshape(128, 128).T
    assert (kernel.run(KEY, [("double", table)], table.nbytes)[0] == 2 * table).all()


def test_a_kernel_is_imitated_with_its_own_answer(kernel: KernelProcess) -> None:
    call = ("fill", 5.0, direct())
    echo = kernel.run(KEY, [call]).echo(0)
    kernel.imitate("null", echo)
    numbers, out = kernel.run("null", [call])[0]
    assert numbers.tolist() == [1, 1]
    assert out.tolist() == direct().tolist()  # its own argument, as it came
    kernel.release("null")


needs_a_mark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no high-water mark here")


@needs_a_mark
def test_what_the_warm_up_took_is_forgotten(kernel: KernelProcess) -> None:
    kernel.run(KEY, [("hold",)])
    kernel.forget_warm_up()
    assert 0 < kernel.peak_rss_bytes() < BIG
    kernel.run(KEY, [("hold",)])
    assert kernel.peak_rss_bytes() >= BIG


@needs_a_mark
def test_what_is_mapped_is_no_part_of_the_peak_once_less_is_mapped(kernel: KernelProcess) -> None:
    """And what was seen before stays seen."""
    kernel.run(KEY, [("double", np.arange(3))])
    kernel.forget_warm_up()
    kernel.run(KEY, [("double", np.zeros(BIG // 8))], 2 * BIG)
    kernel.run(KEY, [("double", np.arange(3))])
    peak = kernel.peak_rss_bytes()
    kernel.run(KEY, [("hold",)])
    kernel.run(KEY, [("double", np.zeros(BIG // 8))], 2 * BIG)
    assert kernel.peak_rss_bytes() >= max(peak, BIG)
