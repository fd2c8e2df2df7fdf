"""A handicapped kernel: slower by exactly what was asked for, and the same in everything else."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from builders import quick
from hypothesis import given
from hypothesis import strategies as st

from pytest_lance_autoresearch.kernel_side import handicap

CALLS = 1000
WORK_NS = 100_000
STEP_NS = 700
KERNELS = """
import math
from decimal import Decimal

REPEATS = 3
TABLE = [1, 2]


def product(ns):
    _work(ns)
    return ns


def chosen(ns, *, doubled=False):
    return 2 * ns if doubled else ns


def failing(ns):
    _work(ns)
    raise ZeroDivisionError("its own fault")


class _Base:
    def inherited(self, ns):
        _work(ns)


class Kernel(_Base):
    def __init__(self, ns=0):
        _work(ns)

    def product(self, ns):
        _work(ns)

    def product_in_halves(self, ns):
        self.product(ns // 2)
        self.product(ns // 2)

    def product_of_another(self, ns):
        Kernel.product(self, ns)

    def _product(self, ns):
        _work(ns)

    def __call__(self, ns):
        _work(ns)

    def __getitem__(self, ns):
        _work(ns)


class Heir(Kernel):
    def product(self, ns):
        super().product(ns)


def through(inner, ns):
    inner(ns)
"""
NO_PARENTS = {
    "refusing": """
class Kernel:
    def __init_subclass__(cls):
        raise TypeError("the last of its kind")
""",
    "enumeration": """
import enum

class Kernel(enum.Enum):
    PRODUCT = 1
""",
    "compiled": """
import numba
from numba.experimental import jitclass

@jitclass([("weight", numba.float64)])
class Kernel:
    def __init__(self, weight):
        self.weight = weight
""",
}
WAYS: dict[str, Callable[[Any], Callable[[int], object]]] = {
    "function": lambda impl: impl.product,
    "method": lambda impl: impl.Kernel().product,
    "inherited method": lambda impl: impl.Kernel().inherited,
    "overridden method": lambda impl: impl.Heir().product,
    "instance": lambda impl: impl.Kernel(),
}


class Clock:
    """Moves on by what a kernel works, and by `step_ns` whenever it is read."""

    def __init__(self, step_ns: int = STEP_NS) -> None:
        self.now_ns = self.readings = 0
        self.step_ns = step_ns

    def __call__(self) -> int:
        self.readings += 1
        self.now_ns += self.step_ns
        return self.now_ns

    def work(self, ns: int) -> None:
        self.now_ns += ns

    def during(self, call: Callable[..., object], *arguments: Any, times: int = 1) -> int:
        """Nanoseconds that pass in so many calls."""
        start_ns = self.now_ns
        for _ in range(times):
            call(*arguments)
        return self.now_ns - start_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the handicap takes for the time."""
    clock = Clock()
    monkeypatch.setattr(handicap, "_clock_ns", clock)
    return clock


@pytest.fixture
def kernels(clock: Clock) -> ModuleType:
    """A kernel's module, whose work moves the clock."""
    return module(KERNELS, clock)


def module(text: str, clock: Clock) -> ModuleType:
    made = ModuleType("kernels")
    vars(made)["_work"] = clock.work
    exec(text, vars(made))
    return made


# How much


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fraction", [0.001, 0.02, 1.0])
def test_every_way_to_call_a_kernel_is_prolonged_by_the_fraction_in_the_mean(
    kernels: ModuleType, clock: Clock, way: str, fraction: float
) -> None:
    usual, slowed = (WAYS[way](handicap.handicapped(kernels, each)) for each in (0.0, fraction))
    usual_ns = clock.during(usual, WORK_NS, times=CALLS)
    slowed_ns = clock.during(slowed, WORK_NS, times=CALLS)
    assert slowed_ns / usual_ns - 1 == pytest.approx(fraction, rel=0.01)


@quick
@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=30), st.floats(0, 2), st.integers(50, 5000))
def test_what_one_call_is_prolonged_too_much_the_next_ones_are_prolonged_less(
    works_ns: list[int], fraction: float, step_ns: int
) -> None:
    clock = Clock(step_ns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handicap, "_clock_ns", clock)
        patch.setattr(handicap, "_TRIALS", 100)
        product = handicap.handicapped(module(KERNELS, clock), fraction).product
        spun_ns = 0
        owed_ns = [0.0, 0.0]
        for ns in works_ns:
            whole_ns = ns + 2 * step_ns  # the wrapper itself reads the clock twice
            spun_ns += clock.during(product, ns) - whole_ns
            owed_ns[0] += fraction * whole_ns
            owed_ns[1] += fraction * (whole_ns + 1.1 * step_ns)
            assert owed_ns[0] - 1e-3 <= spun_ns <= owed_ns[1] + step_ns


@pytest.mark.parametrize("way", ["product_in_halves", "product_of_another"])
def test_a_method_that_calls_another_one_is_prolonged_once(kernels: ModuleType, clock: Clock, way: str) -> None:
    flat, nested = (handicap.handicapped(kernels, 0.5).Kernel() for _ in range(2))
    flat_ns = clock.during(flat.product, WORK_NS, times=CALLS)
    assert clock.during(getattr(nested, way), WORK_NS, times=CALLS) == flat_ns


def test_a_kernel_that_is_given_a_handicapped_one_is_prolonged_once(kernels: ModuleType, clock: Clock) -> None:
    flat, nested = (handicap.handicapped(kernels, 0.5) for _ in range(2))
    flat_ns = clock.during(flat.product, WORK_NS, times=CALLS)
    assert clock.during(nested.through, nested.product, WORK_NS, times=CALLS) == flat_ns


def test_a_fraction_of_nothing_never_waits(kernels: ModuleType, clock: Clock) -> None:
    product = handicap.handicapped(kernels, 0.0).product
    before = clock.readings
    assert clock.during(product, WORK_NS, times=CALLS) == CALLS * (WORK_NS + 2 * STEP_NS)
    assert clock.readings - before == 2 * CALLS


def test_learning_its_own_cost_leaves_nothing_owed(kernels: ModuleType, clock: Clock) -> None:
    product = handicap.handicapped(kernels, 0.5).product
    assert clock.during(product, WORK_NS) == pytest.approx(1.5 * WORK_NS, abs=4 * STEP_NS)


def test_one_binding_does_not_pay_for_another(kernels: ModuleType, clock: Clock) -> None:
    first, second = (handicap.handicapped(kernels, 0.5).product for _ in range(2))
    alone_ns = clock.during(first, 10)
    assert clock.during(second, 10) == alone_ns


# What stays


def test_building_and_private_and_special_methods_are_not_prolonged(kernels: ModuleType, clock: Clock) -> None:
    impl = handicap.handicapped(kernels, 0.5)
    assert clock.during(impl.Kernel, WORK_NS) == WORK_NS
    assert clock.during(impl.Kernel()._product, WORK_NS) == WORK_NS
    assert clock.during(lambda: impl.Kernel()[WORK_NS]) == WORK_NS


@pytest.mark.parametrize("name", ["math", "Decimal", "REPEATS", "TABLE"])
def test_what_is_no_kernel_stays_as_it_is(kernels: ModuleType, name: str) -> None:
    assert getattr(handicap.handicapped(kernels, 0.5), name) is getattr(kernels, name)


@pytest.mark.parametrize("text", NO_PARENTS.values(), ids=NO_PARENTS)
def test_a_class_that_cannot_be_subclassed_stays_as_it_is(clock: Clock, text: str) -> None:
    made = module(text, clock)
    assert handicap.handicapped(made, 0.5).Kernel is made.Kernel


def test_an_instance_is_one_of_the_kernels_own_class(kernels: ModuleType) -> None:
    impl = handicap.handicapped(kernels, 0.5)
    assert isinstance(impl.Heir(), kernels.Heir)
    assert isinstance(impl.Heir(), kernels.Kernel)
    assert impl.Heir.__name__ == "Heir"


def test_arguments_and_results_are_passed_on(kernels: ModuleType) -> None:
    chosen = handicap.handicapped(kernels, 0.5).chosen
    assert chosen(3, doubled=True) == 6
    assert chosen.__name__ == "chosen"


def test_the_module_itself_is_left_alone(kernels: ModuleType, clock: Clock) -> None:
    before = dict(vars(kernels))
    handicap.handicapped(kernels, 0.5)
    assert vars(kernels) == before
    assert clock.during(kernels.Kernel().product, WORK_NS) == WORK_NS


def test_a_kernels_exception_passes_through_and_the_next_call_is_prolonged_again(
    kernels: ModuleType, clock: Clock
) -> None:
    def fail() -> None:
        with pytest.raises(ZeroDivisionError, match="its own fault"):
            impl.failing(WORK_NS)

    usual_ns = clock.during(handicap.handicapped(kernels, 0.5).product, WORK_NS, times=2)
    impl = handicap.handicapped(kernels, 0.5)
    assert clock.during(fail) + clock.during(impl.product, WORK_NS) == usual_ns
