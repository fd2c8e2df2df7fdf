"""Targets as pytest nodes: a directory, one module whose path is kernels.py, and plain functions.

Owns what the test tree looks like and what each item runs. kernels.py itself is never imported here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lance_autoresearch.errors import AutoresearchError, TargetError
from pytest_lance_autoresearch.plugin.options import KEEP_GATE, REGRESSION_GATE
from pytest_lance_autoresearch.plugin.suite import Place, Suite
from pytest_lance_autoresearch.target_files import discover, load, sources
from pytest_lance_autoresearch.target_files.contract import cases_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_lance_autoresearch.records import Case, Layout

CONTRACT = "test_contract"
GATES = {KEEP_GATE: "test_keep_gate", REGRESSION_GATE: "test_regression_gate"}
"""The item that asks for a verdict, by the option that does."""
CALIBRATION = "test_calibration"
SELFTEST = "test_selftest"
MARKERS = {
    "autoresearch": "an item of a kernel target",
    "autoresearch_correctness": "the kernel against its oracle",
    "autoresearch_speed": "the kernel's time",
    "autoresearch_gate": "the verdict about the kernel",
    "autoresearch_selftest": "the target against wrong kernels and honest rewrites",
}
_BY_MEANING = ("target.py", *discover.CODE_FILES)
"""Which file stands for a target whose kernel lies elsewhere or is missing, the likeliest first."""
_MARKER_OF = {
    CONTRACT: "autoresearch_correctness",
    "test_correctness": "autoresearch_correctness",
    "test_properties": "autoresearch_correctness",
    "test_speed": "autoresearch_speed",
    **dict.fromkeys(GATES.values(), "autoresearch_gate"),
    CALIBRATION: "autoresearch_speed",
    SELFTEST: "autoresearch_selftest",
}


class TargetDirectory(pytest.Directory):
    """A target's directory; its only child is the module of its kernel."""

    layout: Layout
    suite: Suite

    @classmethod
    def make(cls, parent: pytest.Collector, path: Path, layout: Layout, suite: Suite) -> TargetDirectory:
        node: TargetDirectory = cls.from_parent(parent, path=path)
        node.layout, node.suite = layout, suite
        return node

    def collect(self) -> Iterable[pytest.Collector]:
        if not self.suite.selects(self.layout):
            return
        module = KernelModule.make(self, self.layout, self.suite)
        first = self.suite.collected.setdefault(self.layout.directory, module.path)
        if first == module.path:  # else a link has led to the same target before
            yield module


class KernelModule(pytest.Module):
    """Stands for kernels.py in the tree without importing it."""

    layout: Layout
    suite: Suite
    kernel_cases: tuple[Case, ...] = ()

    @classmethod
    def make(cls, parent: TargetDirectory, layout: Layout, suite: Suite) -> KernelModule:
        node: KernelModule = cls.from_parent(parent, path=_shown_path(parent.path))
        node.layout, node.suite = layout, suite
        return node

    @property
    def fault(self) -> str:
        """What is wrong with the target, so that it has no other item than test_contract; '' for a sound one."""
        return self.suite.faults.get(self.path, "")

    def __repr__(self) -> str:
        """With the fault, since pytest shows this where it does not find the item that was asked for."""
        return f"<{type(self).__name__} {self.name}{self.fault and f': {self.fault}'}>"

    def _getobj(self) -> ModuleType:
        """The synthetic module that pytest looks into, instead of importing the file."""
        try:
            target = load.load(self.layout)
            self.kernel_cases = cases_of(target)
        except AutoresearchError as fault:
            return self._module_at_fault(str(fault))
        except OSError as error:
            return self._module_at_fault(
                f"target '{self.layout.name}': {error.filename} cannot be read: {error.strerror}"
            )
        self.suite.add(target, self.kernel_cases)
        return _module(self, _line(target), self._functions(target))

    def _module_at_fault(self, sentence: str) -> ModuleType:
        """A module with the one item that shows the fault; it is selected where correctness is."""
        self.suite.faults[self.path] = sentence
        self.extra_keyword_matches.add("test_correctness")

        def test_contract() -> None:
            raise TargetError(sentence)

        return _module(self, 0, {CONTRACT: _marked(test_contract, _MARKER_OF[CONTRACT])})

    def case(self, shape: Any, distribution: Any) -> Case | None:
        """The case of a shape and a distribution, if it is one of the target's."""
        return self._case_of.get((shape, distribution))

    @functools.cached_property
    def _case_of(self) -> dict[tuple[Any, str], Case]:
        return {(case.shape, case.distribution): case for case in self.kernel_cases}

    def _functions(self, target: load.Target) -> dict[str, Callable[..., None]]:
        """The target's tests; the order is the order in which they run."""
        by_id, name, suite = self._case_of, target.name, self.suite

        def test_correctness(shape: Any, distribution: str) -> None:
            suite.check_case(name, by_id[shape, distribution])

        def test_properties() -> None:
            suite.check_properties(name)

        def test_speed(shape: Any, distribution: str) -> None:
            suite.measure_case(name, by_id[shape, distribution], None)

        def test_speed_benchmarked(shape: Any, distribution: str, benchmark: Any) -> None:
            suite.measure_case(name, by_id[shape, distribution], benchmark)

        def test_gate(request: pytest.FixtureRequest) -> None:
            if any(kernel_module(other) is self for other in _later(request.node)):
                pytest.skip("it runs before other items of its target; the end of the session decides")
            try:
                suite.gate(name, request.session.testsfailed)
            finally:
                request.node.user_properties.extend(suite.figures(name).items())

        def test_calibration() -> None:
            suite.calibrate(name)

        def test_selftest(stand_in: str, request: pytest.FixtureRequest) -> None:
            finding = suite.selftest(name, stand_in)
            request.node.user_properties.append((SELFTEST, str(finding)))
            if not finding.is_right:
                raise TargetError(f"target '{name}': {stand_in} is {finding}")

        if suite.options.selftest:
            return {SELFTEST: _marked(test_selftest, _MARKER_OF[SELFTEST])}
        functions: dict[str, Callable[..., None]] = {"test_correctness": test_correctness}
        if target.has_properties:
            functions["test_properties"] = test_properties
        if suite.options.calibrate:
            functions[CALIBRATION] = test_calibration
        elif suite.benchmarks:
            mark = pytest.mark.benchmark(group=name, timer=suite.clock)
            functions["test_speed"] = mark(test_speed_benchmarked)
        else:
            functions["test_speed"] = test_speed
        if suite.options.gate:
            functions[GATES[suite.options.gate]] = test_gate
        return {test: _marked(function, _MARKER_OF[test]) for test, function in functions.items()}

    def parametrize(self, metafunc: pytest.Metafunc) -> None:
        """Give the function its cases: every shape x distribution, only the timed ones for speed."""
        if "stand_in" in metafunc.fixturenames:
            from pytest_lance_autoresearch.runs.selftest import NAMES

            metafunc.parametrize("stand_in", NAMES)
        if "distribution" not in metafunc.fixturenames:
            return
        timed_only = metafunc.function.__name__ == "test_speed"
        wanted = [case for case in self.kernel_cases if case.timed or not timed_only]
        shapes = {case.shape_id: case.shape for case in wanted}
        metafunc.parametrize("shape", list(shapes.values()), ids=list(shapes))
        metafunc.parametrize("distribution", list(dict.fromkeys(case.distribution for case in wanted)))


def kernel_module(node: pytest.Item | pytest.Collector) -> KernelModule | None:
    """The kernel's module that a node belongs to, if it belongs to one."""
    return node.getparent(KernelModule)


def is_gate(item: pytest.Item) -> bool:
    return function_name(item) in GATES.values() and kernel_module(item) is not None


def function_name(item: pytest.Item) -> str:
    """The item's name without parameters."""
    return item.name.partition("[")[0]


def own_name(item: pytest.Item) -> str:
    """The item's name with its case alone: an option of one run, such as --count, may have added to it."""
    case = case_of(item)
    return f"{function_name(item)}[{case.id}]" if case else function_name(item)


def place(item: pytest.Item) -> Place | None:
    """Where an item of a target belongs; None for others' items."""
    module, case = kernel_module(item), case_of(item)
    return Place(module.layout.name, case.id if case else "", function_name(item)) if module else None


def is_followed_by_others(item: pytest.Item) -> bool:
    """Whether items of no target are to come after this one."""
    return any(kernel_module(other) is None for other in _later(item))


def _later(item: pytest.Item) -> list[pytest.Item]:
    return item.session.items[item.session.items.index(item) + 1 :]


def case_of(item: pytest.Item) -> Case | None:
    """The case that an item of a target is about."""
    module, callspec = kernel_module(item), getattr(item, "callspec", None)
    if module is None or callspec is None:
        return None
    return module.case(callspec.params.get("shape"), callspec.params.get("distribution"))


def _module(node: KernelModule, line: int, functions: dict[str, Callable[..., None]]) -> ModuleType:
    """A module with the functions, each of which an IDE finds at the kernel's own definition."""
    module = ModuleType(f"autoresearch_tests_{node.layout.name}")
    module.__file__ = str(node.path)
    for name, function in functions.items():
        assert isinstance(function, FunctionType)
        function.__name__ = function.__qualname__ = name
        function.__module__ = module.__name__
        function.__test__ = True  # type: ignore[attr-defined]
        function.__code__ = function.__code__.replace(co_filename=str(node.path), co_firstlineno=line + 1)
        setattr(module, name, function)
    return module


def _line(target: load.Target) -> int:
    """Where an IDE finds the kernel, or what says where it lies."""
    layout = target.layout
    return layout.declared.line if layout.kernel else sources.definition_line(target.kernel)


def _marked(function: Callable[..., None], marker: str) -> Callable[..., None]:
    marked: Callable[..., None] = pytest.mark.autoresearch(getattr(pytest.mark, marker)(function))
    return marked


def _shown_path(directory: Path) -> Path:
    """kernels.py, or where that is not there target.py, which may say where it is, or any file that is there."""
    names = (name for name in (discover.KERNEL, *_BY_MEANING) if (directory / name).is_file())
    return directory / next(names, discover.KERNEL)
