"""The pytest plugin: hooks only.

Owns when things happen in a session. What happens is `suite`'s and `collect`'s, where it happens is `root`'s,
and what is said is `again`'s and `ending`'s. Importing this module costs next to nothing, and where there is no
target, no stage of the package is imported.
"""

from __future__ import annotations

import functools
import itertools
import os
from argparse import Namespace
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pytest_lance_autoresearch.errors import AutoresearchError
from pytest_lance_autoresearch.machine import interrupt
from pytest_lance_autoresearch.plugin import again, collect, ending, observers, options, reports, root
from pytest_lance_autoresearch.plugin.suite import SUITE, Suite

EXPLAINED = pytest.StashKey[str]()
"""The phase of an item, 'call' or 'teardown', whose failure its trial knows."""
_BEGUN = pytest.StashKey[bool]()
"""Whether pytest has read its command line."""
_SHARES = "autoresearch_shares"
"""Where xdist's workers put what they tell."""


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    options.declare(parser)
    pluginmanager.register(observers.Interrupts(), "autoresearch-interrupts")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Where pytest refuses its command line or a conftest.py, this is all that is heard of the run."""
    early_config.add_cleanup(functools.partial(_forget_unless_begun, early_config))


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | pytest.ExitCode | None:
    config.stash[_BEGUN] = True
    return root.restarted(config)


def pytest_configure(config: pytest.Config) -> None:
    _forget_reports(config, config.option)
    for name, meaning in collect.MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    chosen = options.Options.from_config(config)
    live_line = observers.LiveLine(config)
    config.pluginmanager.register(live_line, "autoresearch-live-line")
    suite = Suite(
        chosen,
        root.of(config),
        benchmarks=_has_benchmarks(config, chosen),
        distributed=_is_distributed(config),
        cache=getattr(config, "cache", None),
        watch=live_line,
    )
    config.stash[SUITE] = suite
    config.pluginmanager.register(observers.FailureCount(suite), "autoresearch-failure-count")
    given = config.args_source is pytest.Config.ArgsSource.ARGS
    if chosen.selects and not given:
        config.args = [str(layout.directory) for layout in suite.selected]


def pytest_report_header(config: pytest.Config) -> str | None:
    suite = config.stash[SUITE]
    if suite.options.selects and suite.distributed:
        return "autoresearch: correctness runs in parallel; speed items run once, untimed (-n0 times them)"
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    suite = parent.config.stash[SUITE]
    layout = suite.layout_of(path)
    return collect.TargetDirectory.make(parent, path, layout, suite) if layout else None


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """A fault is told even where the item that shows it was deselected; a run by name is refused later."""
    suite = config.stash[SUITE]
    is_refused = suite.options.selects and not config.option.collectonly
    return [] if is_refused else _unshown_faults(suite, items)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    module = collect.kernel_module(metafunc.definition)
    if module is not None:
        module.parametrize(metafunc)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each verdict comes right after the last item that it rests on, in whatever order the items are."""
    config.stash[SUITE].expect([(item.nodeid, place) for item in items if (place := collect.place(item))])
    gates: dict[collect.KernelModule | None, list[pytest.Item]] = {}
    for item in filter(collect.is_gate, items):
        gates.setdefault(collect.kernel_module(item), []).append(item)
    if not gates:
        return
    ordered: list[pytest.Item] = []
    for item in reversed([item for item in items if not collect.is_gate(item)]):
        ordered += [*reversed(gates.pop(collect.kernel_module(item), [])), item]
    items[:] = [*reversed(ordered), *itertools.chain(*gates.values())]


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Refuse what cannot be run; later than collection, so that IDEs can still discover the tests."""
    config = session.config
    suite = config.stash[SUITE]
    if config.option.collectonly or hasattr(config, "workerinput"):
        return
    if suite.options.gate and suite.distributed:
        raise pytest.UsageError(f"{suite.options.gate}: timing needs one process; add -n0")
    if suite.options.selects and _is_codspeed_on(config):
        raise pytest.UsageError(
            "pytest-codspeed runs benchmarks only and leaves the items of targets out; unset CODSPEED_ENV and "
            "remove --codspeed, or add -p no:codspeed"
        )
    if suite.options.gate and config.getoption("benchmark_only", False):
        raise pytest.UsageError(
            f"{suite.options.gate}: --benchmark-only leaves the correctness items out; remove it"
        )
    if suite.options.is_logged and (fault := suite.unwritable()):
        raise pytest.UsageError(f"{suite.options.gate}: {fault}")
    if fault := suite.unreachable():
        raise pytest.UsageError(f"--autoresearch-ray: {fault}")
    if unwritable := [fault for one in suite.options.reports.items() if (fault := reports.unwritable(*one))]:
        raise pytest.UsageError(*unwritable)
    if not suite.distributed:
        _refuse_missing(session, suite)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A fault with a sentence is shown as that sentence, and how to run just this item again."""
    if collect.kernel_module(pyfuncitem) is None:
        return (yield)
    try:
        return (yield)
    except AutoresearchError as fault:
        sentence = again.sentence(pyfuncitem, fault)
    pyfuncitem.stash[EXPLAINED] = "call"
    pytest.fail(sentence, pytrace=False)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """What no later item needs is given back.

    The row of a trial is written when its gate's item has been taken down, and nothing around it can fail. That is
    left to the end of the session while tests outside the targets are to come: these may fail.
    """
    try:
        result = yield
    finally:
        place = collect.place(item)
        if place is not None:
            item.config.stash[SUITE].done(place)
    if place is None or not collect.is_gate(item) or collect.is_followed_by_others(item):
        return result
    interrupt.obey()
    try:
        item.config.stash[SUITE].log(place.target)
        return result
    except AutoresearchError as fault:
        sentence = str(fault)
    item.stash[EXPLAINED] = "teardown"
    pytest.fail(sentence, pytrace=False)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What fails around an item (a fixture, another plugin) fails its trial: a row says no more than pytest."""
    report = yield
    if not report.failed or call.excinfo is None:
        return report
    module = collect.kernel_module(item)
    if module is not None and item.stash.get(EXPLAINED, "") != report.when:
        cause = call.excinfo.exconly(tryshort=True).splitlines()[0]
        item.config.stash[SUITE].fail(module.layout.name, f"{item.name} failed in its {report.when}: {cause}")
    return report


def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    """An item of a self-test is shown with what the target said of the stand-in."""
    if not isinstance(report, pytest.TestReport) or report.when != "call":
        return None
    finding = dict(report.user_properties).get(collect.SELFTEST)
    if finding is None:
        return None
    return report.outcome, "." if report.passed else "F", str(finding)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(
    session: pytest.Session, exitstatus: int | pytest.ExitCode
) -> Generator[None, object, object]:
    """Conclude the trials, set the exit status, and print the blocks after everything else.

    An interrupt that comes in the meantime, or came and was lost, ends the session as any other does.
    """
    suite = session.config.stash.get(SUITE, None)
    if suite is None or session.config.option.collectonly:
        return (yield)
    if hasattr(session.config, "workerinput"):
        session.config.workeroutput[_SHARES] = suite.told()  # type: ignore[attr-defined]  # made by xdist
        return (yield)
    broken_off = exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    try:
        interrupt.obey()
        outcomes, faults = suite.outcomes(session.testsfailed, broken_off=broken_off)
        notes = [] if broken_off else suite.deleted()
    except KeyboardInterrupt:
        broken_off, session.exitstatus = True, pytest.ExitCode.INTERRUPTED
        outcomes, faults = suite.outcomes(session.testsfailed, broken_off=True)
        notes = []
    if suite.options.gate and not broken_off:
        ending.set_status(session, suite, outcomes)
    try:
        return (yield)
    finally:
        is_reported = ending.print_end(session.config, outcomes, faults, notes)
        if not is_reported and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        suite.close()


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_benchmark_group_stats(config: pytest.Config) -> Generator[None, Any, Any]:
    """The rows of pytest-benchmark's table."""
    return ending.without_own_rows(config, (yield))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """An xdist worker has ended; one that crashed told nothing."""
    node.config.stash[SUITE].shares += getattr(node, "workeroutput", {}).get(_SHARES, [])


def pytest_unconfigure(config: pytest.Config) -> None:
    suite = config.stash.get(SUITE, None)
    if suite is not None:
        suite.close()


def _forget_unless_begun(config: pytest.Config) -> None:
    if _BEGUN not in config.stash:
        _forget_reports(config, config.known_args_namespace)


def _forget_reports(config: pytest.Config, given: Namespace) -> None:
    """A report of an earlier run is not to be taken for one of this, whatever keeps this run from measuring."""
    if given.collectonly or given.help or hasattr(config, "workerinput"):
        return
    with suppress(pytest.UsageError):  # which is raised where the options are read
        for path in options.reports(config, given).values():
            reports.forget(path)


def _has_benchmarks(config: pytest.Config, chosen: options.Options) -> bool:
    """Whether speed items are rows of pytest-benchmark.

    Not where pytest-codspeed takes its place, and not where `--benchmark-skip` would take items away that were
    asked for.
    """
    plugins = config.pluginmanager
    is_there = any(plugins.hasplugin(name) for name in ("benchmark", "pytest_benchmark.plugin"))
    is_skipped = chosen.selects and config.getoption("benchmark_skip", False)
    return is_there and not _is_codspeed_on(config) and not is_skipped


def _is_codspeed_on(config: pytest.Config) -> bool:
    """Whether pytest-codspeed deselects all but benchmarks, and measures those with an instrument of its own."""
    is_there = any(map(config.pluginmanager.hasplugin, ("codspeed", "pytest_codspeed.plugin")))
    return is_there and (config.getoption("codspeed", False) or "CODSPEED_ENV" in os.environ)


def _is_distributed(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput") or config.getoption("dist", "no") != "no"


def _refuse_missing(session: pytest.Session, suite: Suite) -> None:
    """Refuse a run in which a target that was asked for would not be heard of."""
    missing = [layout.name for layout in suite.selected if layout.directory not in suite.collected]
    if missing:
        names = ", ".join(f"'{name}'" for name in missing)
        paths = " ".join(session.config.args)
        given = session.config.args_source is pytest.Config.ArgsSource.ARGS
        advice = (
            "leave the paths away, or add the target's directory to them"
            if given
            else "remove what leaves it out, an option such as --ignore or a conftest.py"
        )
        raise pytest.UsageError(f"no item of {names} was collected from {paths}; {advice}")
    if suite.selected and (faults := _unshown_faults(suite, session.items)):
        raise pytest.UsageError(*faults)


def _unshown_faults(suite: Suite, items: Sequence[pytest.Item]) -> list[str]:
    """The faults of targets whose only item was deselected."""
    shown = {module.path for item in items if (module := collect.kernel_module(item))}
    return [fault for path, fault in suite.faults.items() if path not in shown]
