"""The targets of a session: whose trial is whose, what is given back when, and how a verdict becomes pytest's.

Trials are faked: they remember what they were asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import toys
from builders import quick
from fake_measuring import WINDOW
from fake_trials import A_CASE, GATE, NAMED, NAMES, PLAIN, faked, installed, suite_of
from hypothesis import given
from hypothesis import strategies as st

from pytest_lance_autoresearch.errors import KernelIncorrect
from pytest_lance_autoresearch.plugin.options import Options
from pytest_lance_autoresearch.plugin.suite import MOST_AWAKE, Place, ReplayClock
from pytest_lance_autoresearch.records import CaseTimes, Rules
from pytest_lance_autoresearch.runs import trial
from pytest_lance_autoresearch.runs.trial import Item, ItemKind
from pytest_lance_autoresearch.target_files.load import Target

TIMES = CaseTimes("c", 1.0, 0.0, (WINDOW,))


@pytest.fixture(scope="module", autouse=True)
def _faked_trials() -> Iterator[None]:
    with installed():
        yield


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nowhere")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    toys.write(tmp_path)
    return tmp_path


# What is given back, and when


def test_an_item_counts_for_its_target_and_for_its_case() -> None:
    assert Place("a", "x").levels() == {("a", ""), ("a", "x")}
    assert Place("a").levels() == {("a", "")}


WORK = ("check", "measure", "calibrate")
PLACES = [Place(name, of_case) for name in NAMES for of_case in ("", "x", "y")]


@quick
@given(st.lists(st.sampled_from(PLACES), max_size=25))
def test_what_none_of_those_to_come_needs_is_given_back_in_any_order(nowhere: Path, order: list[Place]) -> None:
    """A case's state after its last item, a trial's processes after the last item of its target; once each."""
    made = suite_of(nowhere)
    made.expect([(str(number), place) for number, place in enumerate(order)])
    assert made.own_items == {str(number) for number in range(len(order))}
    trials = {place.target: faked(made, place.target) for place in order}
    for number, place in enumerate(order):
        before = {name: list(one.calls) for name, one in trials.items()}
        made.done(place)
        to_come = order[number + 1 :]
        wanted = set()
        if place.case and place not in to_come:
            wanted.add(f"forget {place.case}")
        if place.target not in {other.target for other in to_come}:
            wanted.add("rest")
        for name, one in trials.items():
            new = one.calls[len(before[name]) :]
            assert sorted(new) == sorted(wanted if name == place.target else set())


def test_what_never_began_is_not_begun_to_be_given_back(nowhere: Path) -> None:
    """As where every item of the target was skipped."""
    made = suite_of(nowhere)
    made.expect([("1", Place("a", "x"))])
    made.done(Place("a", "x"))
    assert made.outcomes(0, broken_off=False) == ([], [])
    assert faked(made, "a").calls == []


@quick
@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(WORK)), max_size=25))
def test_few_trials_hold_processes_in_any_order(nowhere: Path, order: list[tuple[str, str]]) -> None:
    """And none of those used last is put to rest."""
    made = suite_of(nowhere)
    used: list[str] = []
    for name, what in order:
        used.insert(0, name)
        faked(made, name).answers = [TIMES]
        match what:
            case "check":
                made.check_case(name, A_CASE)
            case "measure":
                made.measure_case(name, A_CASE, None)
            case _:
                made.calibrate(name)
        awake = {other for other in used if faked(made, other).is_awake}
        assert awake == set(list(dict.fromkeys(used))[:MOST_AWAKE])


def test_closing_ends_every_trial_and_frees_the_room_of_a_gate(project: Path) -> None:
    made = suite_of(project, GATE, ["toy"])
    assert made.hold_room() == ""
    assert list(project.glob(".autoresearch/spare-*"))
    trial_of_it = faked(made)
    made.close()
    assert trial_of_it.calls == ["close"]
    assert not list(project.glob(".autoresearch/spare-*"))


# A trial of each target


def test_a_trial_is_begun_once_as_the_options_say(nowhere: Path) -> None:
    rules = Rules(min_effect=0.2)
    options = replace(
        PLAIN,
        log=nowhere / "log.tsv",
        description="what it tries",
        seed=3,
        timeout_s=5.0,
        in_process=True,
        rebaseline=True,
        require_baseline=True,
        calibrate=True,
        rules=rules,
    )
    made = suite_of(nowhere, options)
    begun = faked(made, "a")
    assert faked(made, "a") is begun is not faked(made, "b")
    assert (begun.target.name, begun.cases, begun.watch) == ("a", (A_CASE,), print)
    assert begun.settings == trial.Settings(
        root=nowhere,
        gate=False,
        log=nowhere / "log.tsv",
        brief=True,
        in_process=True,
        rebaseline=True,
        require_baseline=True,
        calibrate=True,
        seed=3,
        timeout_s=5.0,
        description="what it tries",
        rules=rules,
    )


def test_a_trial_is_told_which_of_its_items_are_going_to_run(nowhere: Path) -> None:
    """The gate's own is none of those that a verdict rests on."""
    made = suite_of(nowhere)
    checked, timed = Place("a", "x", "test_correctness"), Place("a", "y", "test_speed")
    places = [checked, timed, checked, Place("a", test="test_keep_gate"), Place("b", test="test_contract")]
    made.expect([(str(number), place) for number, place in enumerate(places)])
    assert faked(made, "a").settings.selected == frozenset(
        {Item(ItemKind.CORRECTNESS, "x"), Item(ItemKind.SPEED, "y")}
    )
    assert faked(made, "b").settings.selected == frozenset()
    assert faked(made, "c").settings.selected is None


class FakedCache:
    """Stands for pytest's, whose folder is there or cannot be made."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def mkdir(self, name: str) -> Path:
        if self.folder is None:
            raise PermissionError
        return self.folder / name


@pytest.mark.parametrize("options", [PLAIN, GATE])
def test_states_are_stored_in_the_cache_of_pytest(project: Path, options: Options) -> None:
    made = suite_of(project, options, ["toy"], cache=FakedCache(project))
    assert faked(made).settings.states == project / "autoresearch"


@pytest.mark.parametrize(
    ("options", "cache"),
    [
        (NAMED, None),
        (NAMED, FakedCache(None)),
        (replace(NAMED, no_cache=True), FakedCache(Path("there"))),
        (replace(NAMED, in_process=True), FakedCache(Path("there"))),
    ],
    ids=["without the cache provider", "where it cannot be written", "with --autoresearch-no-cache", "in process"],
)
def test_states_are_not_stored(project: Path, options: Options, cache: FakedCache | None) -> None:
    assert faked(suite_of(project, options, ["toy"], cache=cache)).settings.states is None


@pytest.mark.parametrize(("options", "gate"), [(NAMED, False), (GATE, True)])
def test_only_a_plain_run_is_brief(project: Path, options: Options, *, gate: bool) -> None:
    settings = faked(suite_of(project, options, ["toy"])).settings
    assert (settings.brief, settings.gate, settings.log) == (False, gate, None)


def test_what_need_not_run_is_skipped_with_the_reason(nowhere: Path) -> None:
    made = suite_of(nowhere)
    faked(made, "a").why_not = "the kernel is the baseline's"
    runs: tuple[Callable[[], None], ...] = (
        lambda: made.check_case("a", A_CASE),
        lambda: made.check_properties("a"),
        lambda: made.measure_case("a", A_CASE, None),
    )
    for run in runs:
        with pytest.raises(pytest.skip.Exception) as skipped:
            run()
        assert str(skipped.value) == "the kernel is the baseline's"
    assert faked(made, "a").calls == []


@pytest.mark.parametrize("has_benchmark", [False, True])
def test_a_case_that_is_not_timed_is_skipped_with_the_reason(nowhere: Path, *, has_benchmark: bool) -> None:
    """Inside the fixture where there is one, which would warn that it was not used; it has no row."""
    made = suite_of(nowhere)
    faked(made, "a").answers = [None]
    benchmark = Benchmark(made.clock) if has_benchmark else None
    with pytest.raises(pytest.skip.Exception) as skipped:
        made.measure_case("a", A_CASE, benchmark)
    assert str(skipped.value) == "not timed: another case failed"
    if benchmark is not None:
        assert (benchmark.was_used, benchmark.rounds_s, benchmark.extra_info) == (True, [], {})


def test_nothing_is_calibrated_in_parallel(nowhere: Path) -> None:
    with pytest.raises(pytest.skip.Exception) as skipped:
        suite_of(nowhere, distributed=True).calibrate("a")
    assert str(skipped.value) == "timing needs one process; add -n0"


# A row of pytest-benchmark


class Benchmark:
    """Stands for pytest-benchmark's fixture: it reads the suite's clock around each round."""

    def __init__(self, clock: ReplayClock, *, enabled: bool = True, is_profiled: bool = False) -> None:
        self.clock, self.enabled, self.is_profiled = clock, enabled, is_profiled
        self.rounds_s: list[float] = []
        self.extra_info: dict[str, Any] = {}
        self.was_used = False

    def pedantic(
        self,
        target: Callable[..., None],
        args: tuple[Any, ...] = (),
        setup: Callable[[], None] = lambda: None,
        rounds: int = 1,
    ) -> None:
        self.was_used = True
        for _ in range(rounds):
            setup()
            start_s = self.clock()
            target(*args)
            self.rounds_s.append(self.clock() - start_s)
        if self.is_profiled:
            target(*args)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20), st.booleans())
@quick
def test_a_row_has_each_duration_as_it_was_measured(durations_s: list[float], is_profiled: bool) -> None:
    """To the last bit, whatever was shown before; a profiler's further call changes nothing."""
    clock = ReplayClock()
    for _ in range(2):
        benchmark = Benchmark(clock, is_profiled=is_profiled)
        clock.replay(benchmark, durations_s)
        assert benchmark.rounds_s == durations_s


def test_a_timed_case_is_a_row_of_seconds_per_call(nowhere: Path) -> None:
    """Without what the runner costs, 100 ns of each call here."""
    made = suite_of(nowhere)
    faked(made, "a").target = cast("Target", SimpleNamespace(wiring=SimpleNamespace(UNIT="row")))
    faked(made, "a").answers = [CaseTimes("c", 7.0, 100.0, (WINDOW, WINDOW))]
    benchmark = Benchmark(made.clock)
    made.measure_case("a", A_CASE, benchmark)
    assert benchmark.rounds_s == [7e-7, 7e-7]
    assert benchmark.extra_info == {
        "unit": "row",
        "ops_per_call": 7.0,
        "ns_per_row": 100.0,
        "calls_per_window": 10,
        "windows": 2,
        "runner_ns_per_call": 100.0,
    }


@pytest.mark.parametrize(
    ("options", "distributed", "enabled", "does"),
    [
        (PLAIN, False, True, "measure"),
        (PLAIN, False, False, "once"),
        (PLAIN, False, None, "measure"),
        (PLAIN, True, None, "once"),
        (replace(PLAIN, in_process=True), False, True, "once"),
        (NAMED, False, False, "measure"),
    ],
)
def test_where_timing_is_impossible_or_switched_off_a_call_is_checked(
    project: Path, options: Options, does: str, *, distributed: bool, enabled: bool | None
) -> None:
    """A run of selected targets times them, whatever a switch says of benchmarks."""
    made = suite_of(project, options, ["toy"], distributed=distributed)
    benchmark = None if enabled is None else Benchmark(made.clock, enabled=enabled)
    faked(made).target = cast("Target", SimpleNamespace(wiring=SimpleNamespace(UNIT="row")))
    faked(made).answers = [TIMES]
    made.measure_case("toy", A_CASE, benchmark)
    assert faked(made).calls == [f"{does} c"]
    if benchmark and does == "once":
        assert benchmark.rounds_s == [0.0]


@pytest.mark.parametrize("failure", [KernelIncorrect("wrong"), KeyboardInterrupt()], ids=repr)
def test_a_failure_is_raised_inside_the_fixture_which_would_warn_that_it_was_not_used(
    nowhere: Path, failure: BaseException
) -> None:
    """Under `filterwarnings = error` the warning would end the session's summary."""
    made = suite_of(nowhere)
    benchmark = Benchmark(made.clock)
    for given_one in (benchmark, None):
        faked(made, "a").answers = [failure]
        with pytest.raises(type(failure)) as raised:
            made.measure_case("a", A_CASE, given_one)
        assert raised.value is failure
    assert benchmark.was_used
