"""What a host can tell apart: the figures of simulated runs, where they are kept, and a calibration whole."""

from __future__ import annotations

import functools
import json
import math
import re
import shlex
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import toys
from builders import (
    CASES,
    SPEEDUP,
    block,
    each_window,
    everywhere,
    evidence,
    measured,
    outcome,
    pair,
    pairs_of_a_look,
    quick,
    spread,
)
from hypothesis import given
from hypothesis import strategies as st

from pytest_lance_autoresearch.bench import alone, cpu, measure
from pytest_lance_autoresearch.bench.measure import NO_HANDICAP, Handicap
from pytest_lance_autoresearch.errors import TargetError
from pytest_lance_autoresearch.log import archive, gate, results
from pytest_lance_autoresearch.machine import environment
from pytest_lance_autoresearch.plugin import options
from pytest_lance_autoresearch.records import (
    BUDGET_EXIT_CODE,
    Calibration,
    Case,
    CaseTimes,
    Cause,
    Doubt,
    Evidence,
    Judgement,
    KernelTimes,
    Outcome,
    Pair,
    Progress,
    Rules,
    Status,
    Step,
    Verdict,
    Window,
)
from pytest_lance_autoresearch.runs import calibration, trial
from pytest_lance_autoresearch.target_files import discover, load
from pytest_lance_autoresearch.target_files.contract import cases_of
from pytest_lance_autoresearch.words import report

SLOWER = -math.log1p(calibration.INJECTED)
"""The log-ratio of a candidate that takes as much longer as is injected."""
NORMAL_95 = statistics.NormalDist().inv_cdf(0.975)
OTHER_HOST = "another (Some Processor @ 3/4 GHz)"
FOUND = Calibration(
    target="toy",
    host=environment.host(),
    time="2026-11-22T20:05:01+00:00",
    runs=20,
    seconds=12.4,
    resolution=0.0061,
    pair_sd=0.0025,
    injected=0.02,
    seen=19,
    measured=0.0214,
)


def run(point: float, width: float = 0.0, seconds: float = 1.0, apart: float = 0.0) -> list[Pair]:
    """The pairs of a look in which every case has this median; they lie `apart` to each side of it."""
    pairs = pairs_of_a_look(everywhere(spread(point, width)), apart)
    return [replace(one, seconds=seconds / len(pairs)) for one in pairs]


def summarised(itself: Sequence[Sequence[Pair]], slowed: Sequence[Sequence[Pair]]) -> Calibration:
    return calibration.summarise("demo", "here", itself, slowed)


# The figures


@pytest.mark.parametrize(
    ("points", "square"),
    [((0.0, 0.0), 0.0), ((0.01, -0.01), 1e-4), ((0.01, -0.01, 0.02, -0.02), 2.5e-4), ((0.01, 0.01), 1e-4)],
)
def test_the_resolution_is_how_far_a_kernel_seems_to_be_from_itself_in_one_look(
    points: Sequence[float], square: float
) -> None:
    found = summarised([run(point) for point in points], [run(SLOWER)] * len(points))
    assert found.resolution == pytest.approx(NORMAL_95 * math.sqrt(square), abs=1e-8)


def test_the_spread_is_that_of_the_pairs_of_a_run_about_its_mean() -> None:
    found = summarised([run(0.03, apart=0.003), run(-0.01, apart=0.006)], [run(SLOWER, apart=0.5)] * 2)
    squares = [statistics.variance(spread(0.0, apart, 4)) for apart in (0.003, 0.006)]
    assert found.pair_sd == pytest.approx(math.sqrt(statistics.fmean(squares)), abs=1e-8)


def test_a_simulated_host_is_told_its_spread() -> None:
    random, sd = np.random.default_rng(1), 0.006
    itself = [
        [pair(everywhere(list(random.normal(offset, 0.002, 3)))) for offset in random.normal(0, sd, 4)]
        for _ in range(40)
    ]
    found = summarised(itself, itself)
    assert found.pair_sd == pytest.approx(sd, rel=0.2)
    assert found.resolution == pytest.approx(NORMAL_95 * sd / 2, rel=0.3)


def test_a_slow_down_is_seen_where_the_interval_of_a_look_excludes_equality_on_its_own_side() -> None:
    """With four pairs: 3.182446 standard errors."""
    reach = 3.182446 * statistics.stdev(spread(0.0, 0.01, 4)) / 2
    seen = [run(SLOWER, width=0.5), run(-reach - 1e-6, apart=0.01)]
    unseen = [run(-reach + 1e-6, apart=0.01), run(0.0, apart=0.01), run(-SLOWER, apart=0.001)]
    assert summarised([run(0.0)] * 5, [*seen, *unseen]).seen == 2


def test_what_was_measured_is_the_mean_slow_down() -> None:
    slowed = [run(-math.log(1.01)), run(-math.log(1.04))]
    found = summarised([run(0.0)] * 2, slowed)
    assert found.measured == pytest.approx(math.sqrt(1.01 * 1.04) - 1, abs=1e-8)
    assert found.injected == 0.02


def test_a_slow_down_of_the_measure_is_no_part_of_the_resolution() -> None:
    assert summarised([run(0.0)] * 3, [run(-0.5)] * 3).resolution == pytest.approx(0.0, abs=1e-8)


def test_a_run_lasts_as_long_as_the_median_one_of_the_kernel_against_itself() -> None:
    itself = [run(0.0, seconds=seconds) for seconds in (3.0, 90.0, 4.0)]
    found = summarised(itself, [run(SLOWER, seconds=1000.0)] * 3)
    assert (found.seconds, found.runs) == (4.0, 3)


def test_a_calibration_says_of_what_and_when() -> None:
    found = summarised([run(0.0)] * 3, [run(SLOWER)] * 3)
    assert (found.target, found.host) == ("demo", "here")
    time = datetime.fromisoformat(found.time)
    assert time.tzinfo == UTC
    assert time.microsecond == 0


def test_disturbed_blocks_do_not_count() -> None:
    quiet = run(0.01)
    loud = each_window(block(CASES[0], 5.0, None), lambda window: replace(window, stolen_ns=10**7))
    disturbed = [replace(one, blocks=(loud, *one.blocks)) for one in quiet]
    found, expected = (summarised([one] * 2, [one] * 2) for one in (disturbed, quiet))
    assert replace(found, time="") == replace(expected, time="")


def test_what_the_runner_costs_is_taken_off() -> None:
    """100 calls of 10 s against 5 s, half a second of which is the runner's."""
    overhead_ns = dict.fromkeys(CASES, 5e6)
    halved = [replace(one, call_overhead_ns=overhead_ns) for one in run(math.log(2))]
    found = summarised([halved], [halved])
    assert found.resolution == pytest.approx(NORMAL_95 * math.log(9.5 / 4.5))
    assert found.measured == pytest.approx(4.5 / 9.5 - 1)


@quick
@given(st.lists(st.floats(-0.05, 0.05), min_size=1, max_size=4), st.floats(0, 0.05), st.floats(0, 0.05))
def test_which_of_two_equal_sides_is_called_the_baseline_changes_nothing(
    points: list[float], width: float, apart: float
) -> None:
    found, mirrored = (
        summarised([run(sign * point, width, apart=apart) for point in points], [run(SLOWER)]) for sign in (1, -1)
    )
    assert mirrored.resolution == pytest.approx(found.resolution, abs=1e-8)
    assert mirrored.pair_sd == pytest.approx(found.pair_sd, abs=1e-8)


# The runs


class Simulation:
    """Stands for the measuring: `slowed` is what a run with a handicap gives, by case."""

    def __init__(self, slowed: Mapping[str, Sequence[float]]) -> None:
        self.itself = run(0.0)
        self.slowed = pairs_of_a_look(slowed, apart=0.0)
        self.calls: list[tuple[int, Handicap]] = []
        self.shown: list[Progress] = []

    def measure_run(
        self,
        _target: object,
        _workbench: object,
        _states: object,
        seed: int,
        handicap: Callable[[Case], Handicap] = lambda _: NO_HANDICAP,
        show: Callable[..., None] = lambda *_: None,
    ) -> list[Pair]:
        show("2x3-flat", Step(0, 3), None)
        self.calls.append((seed, handicap(Case("demo", None, "2x3", "flat", timed=True))))
        return self.itself if self.calls[-1][1] == NO_HANDICAP else self.slowed

    def watch(self, progress: Progress) -> None:
        self.shown.append(progress)


Simulate = Callable[..., Simulation]


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch) -> Simulate:
    def simulated(slowed: Mapping[str, Sequence[float]] | None = None) -> Simulation:
        simulation = Simulation(slowed or everywhere([SLOWER]))
        monkeypatch.setattr(calibration, "measure_run", simulation.measure_run)
        return simulation

    return simulated


RUN_S = 20.0
"""Of either kind."""


def calibrate(simulation: Simulation, over_after: int = 0) -> Calibration:
    """With time for so many runs."""
    target = cast("Any", SimpleNamespace(name="demo"))
    budget = calibration.Budget(lambda: RUN_S * len(simulation.calls), RUN_S * over_after)
    return calibration.calibrate(target, cast("Any", None), {}, 100, budget, simulation.watch)


@pytest.mark.parametrize(
    ("over_after", "runs"),
    [
        (0, calibration.LEAST_RUNS),
        (2 * calibration.LEAST_RUNS + 4, calibration.LEAST_RUNS + 2),
        (999, calibration.RUNS),
    ],
)
def test_runs_of_both_kinds_take_turns_until_the_time_or_the_runs_are_over(
    simulate: Simulate, over_after: int, runs: int
) -> None:
    simulation = simulate()
    found = calibrate(simulation, over_after)
    assert found.runs == runs
    assert [handicap for _, handicap in simulation.calls] == [NO_HANDICAP, Handicap(0.0, 0.02)] * runs
    assert len({seed for seed, _ in simulation.calls}) == 2 * runs
    shown = [(one.what, one.step, one.is_event) for one in simulation.shown]
    each = [("calibrating", Step(number + 1, calibration.RUNS), False) for number in range(runs) for _ in range(3)]
    assert shown == each


@pytest.mark.parametrize(
    ("over_after", "left"),
    [
        (999, [None, 38 * RUN_S, 36 * RUN_S]),  # until all runs are done
        (11, [None, 9 * RUN_S, 7 * RUN_S]),  # until the time is over
        (0, [None, 4 * RUN_S, 2 * RUN_S]),  # until there are as many as tell something
    ],
)
def test_it_says_how_long_it_will_go_on_at_the_pace_so_far(
    simulate: Simulate, over_after: int, left: list[float | None]
) -> None:
    simulation = simulate()
    calibrate(simulation, over_after)
    begun = simulation.shown[::3]
    assert [one.left_s for one in begun[: calibration.LEAST_RUNS]] == left
    assert [one.seconds for one in begun[: calibration.LEAST_RUNS]] == [0.0, 2 * RUN_S, 4 * RUN_S]
    assert report.live_line(begun[1]) == f"demo: calibrating  2/20  40 s  {left[1]:.0f} s left"


def test_the_slowed_runs_are_not_taken_for_the_others(simulate: Simulate) -> None:
    found = calibrate(simulate())
    assert found.resolution == pytest.approx(0.0, abs=1e-8)
    assert (found.target, found.host) == ("demo", environment.host())
    assert found.seen == found.runs
    assert found.measured == pytest.approx(calibration.INJECTED)


@pytest.mark.parametrize(("moved", "said"), [(0.0001, "+0.0"), (0.0099, "+1.0"), (-0.05, "-4.9")])
def test_a_case_whose_time_does_not_move_is_refused_by_name(simulate: Simulate, moved: float, said: str) -> None:
    simulation = simulate({**everywhere([SLOWER]), CASES[1]: [-moved]})
    with pytest.raises(TargetError) as raised:
        calibrate(simulation)
    assert str(raised.value) == (
        f"target 'demo': the time of 2x3-sorted moved by {said} % when its kernel was slowed by 2 %; "
        f"expected the timed call to spend its time in kernels.py"
    )


@pytest.mark.parametrize(
    "ratios",
    [[-0.01], [-0.05], [0.0, 0.0, -0.0101]],
    ids=["half", "more", "a wide interval"],
)
def test_a_case_is_not_refused_while_its_time_may_have_moved(simulate: Simulate, ratios: list[float]) -> None:
    simulation = simulate({**everywhere([SLOWER]), CASES[1]: ratios})
    assert calibrate(simulation).runs == calibration.LEAST_RUNS


def test_all_slowed_runs_together_say_whether_the_time_moved(
    simulate: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has too few blocks, a block of each pair, to refuse anything by itself."""
    monkeypatch.setattr(calibration, "LEAST_RUNS", 1)
    simulation = simulate(everywhere([0.0]))
    assert calibrate(simulation).seen == 0
    with pytest.raises(TargetError, match="moved by"):
        calibrate(simulation, 11)


# Where it is kept


def test_a_calibration_is_found_as_it_was_stored(tmp_path: Path) -> None:
    assert archive.find_calibration(tmp_path, FOUND.host, "toy") is None
    archive.store_calibration(tmp_path, FOUND)
    assert archive.find_calibration(tmp_path, FOUND.host, "toy") == FOUND


def test_a_new_calibration_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    newer = replace(FOUND, time="2026-11-23T09:00:00+00:00", seen=3)
    for each in (FOUND, newer):
        archive.store_calibration(tmp_path, each)
    assert archive.find_calibration(tmp_path, FOUND.host, "toy") == newer
    assert len(list((tmp_path / archive.FOLDER / "calibrations").iterdir())) == 1


@pytest.mark.parametrize("newest", ["a", "toy-2", "z"])
def test_the_newest_of_another_target_serves_a_target_without_its_own(tmp_path: Path, newest: str) -> None:
    for name in ("a", "toy-2", "z"):
        day = 22 if name == newest else 21
        archive.store_calibration(tmp_path, replace(FOUND, target=name, time=f"2026-11-{day}T09:00:00+00:00"))
    found = archive.find_calibration(tmp_path, FOUND.host, "toy")
    assert found is not None
    assert found.target == newest


def test_an_old_calibration_of_the_target_itself_goes_before_a_new_one_of_another(tmp_path: Path) -> None:
    own = replace(FOUND, time="2025-01-01T00:00:00+00:00")
    for each in (replace(FOUND, target="a"), own, replace(FOUND, target="z")):
        archive.store_calibration(tmp_path, each)
    assert archive.find_calibration(tmp_path, FOUND.host, "toy") == own


def test_the_calibration_of_another_host_is_never_found(tmp_path: Path) -> None:
    archive.store_calibration(tmp_path, replace(FOUND, host=OTHER_HOST))
    assert archive.find_calibration(tmp_path, FOUND.host, "toy") is None
    archive.store_calibration(tmp_path, FOUND)
    assert archive.find_calibration(tmp_path, FOUND.host, "toy") == FOUND
    assert archive.find_calibration(tmp_path, OTHER_HOST, "toy") == replace(FOUND, host=OTHER_HOST)


def test_a_calibration_lies_in_the_archive_of_its_targets_log_wherever_it_is_looked_for(tmp_path: Path) -> None:
    loaded = load.load(discover.inspect(toys.write(tmp_path)))
    archive.store_calibration(tmp_path, FOUND)
    for root in (tmp_path / "targets", tmp_path / "elsewhere"):
        begun = trial.Trial(loaded, cases_of(loaded), trial.Settings(root))
        assert begun.conclude().reason == report.NO_GATE
        assert begun._calibration == FOUND
        assert not (root / archive.FOLDER).exists()


def test_a_calibration_in_an_archive_further_up_is_found_too(tmp_path: Path) -> None:
    archive.store_calibration(tmp_path, FOUND)
    archive.store_calibration(tmp_path / "nearer", replace(FOUND, target="other"))
    assert archive.find_calibration(tmp_path / "nearer", FOUND.host, "toy") == FOUND


@pytest.mark.parametrize(
    "text", [b"", b"\xff\xfe", b"{", b"[]", b"3", b"null", b"{}", b'{"target": "toy"}', b'{"unknown": 1}']
)
def test_a_file_that_cannot_be_read_counts_as_none(tmp_path: Path, text: bytes) -> None:
    archive.store_calibration(tmp_path, FOUND)
    (file,) = (tmp_path / archive.FOLDER / "calibrations").iterdir()
    file.write_bytes(text)
    assert archive.find_calibration(tmp_path, FOUND.host, "toy") is None
    other = replace(FOUND, target="other")
    archive.store_calibration(tmp_path, other)
    assert archive.find_calibration(tmp_path, FOUND.host, "toy") == other


def test_a_folder_in_its_place_counts_as_none(tmp_path: Path) -> None:
    archive.store_calibration(tmp_path, FOUND)
    (file,) = (tmp_path / archive.FOLDER / "calibrations").iterdir()
    file.unlink()
    file.mkdir()
    assert archive.find_calibration(tmp_path, FOUND.host, "toy") is None


# What a verdict makes of it


class Measured:
    """Stands for a comparison that measured something; keeps the rules that it was given."""

    verdict = Verdict.DISCARD
    rules: Rules
    failure = refusal = None

    def __init__(self, _target: object, _baseline: object, _cases: object, rules: Rules, *_: object) -> None:
        Measured.rules = rules

    def prepare(self, _state_of: object, _seed: int) -> None:
        """Nothing has to compile."""

    def measure_case(self, case: Case, _state_of: object, _seed: int) -> CaseTimes:
        return self._times(case.id)

    def _times(self, case: str) -> CaseTimes:
        return CaseTimes(case, 1.0, 0.0, (Window(1, 1000, None),))

    def decide(self, _seconds: object, _seed: int) -> Judgement:
        doubt = Doubt(None, SPEEDUP, 20.0) if self.verdict is Verdict.INCONCLUSIVE else None
        return Judgement(self.verdict, Cause.UNDECIDED if doubt else Cause.SLOWER, SPEEDUP, doubt=doubt)

    def candidate(self) -> KernelTimes:
        return KernelTimes(tuple(map(self._times, CASES)), 1)

    def evidence(self) -> Evidence:
        return evidence(looks=1)


Judged = Callable[[], Outcome]


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judged:
    """Judges a kernel beside another one."""

    def begun(text: str) -> trial.Trial:
        loaded = load.load(discover.inspect(toys.write(tmp_path, text=text)))
        return trial.Trial(loaded, cases_of(loaded), trial.Settings(tmp_path, gate=True))

    def judge() -> Outcome:
        now = begun(toys.SLOWER)
        for case in now.cases:
            now.check_case(case)
            if case.timed:
                now.measure_case(case)
        return now.log()

    monkeypatch.setattr(trial, "Comparison", Measured)
    first = begun(toys.KERNEL).target
    log_path = first.layout.directory / "results.tsv"
    opened = gate.open_gate(first, tmp_path, log_path, rebaseline=False)
    gate.write(opened, first, replace(outcome(Status.BASELINE), target="toy"), measured(), "")
    return judge


def test_a_verdict_quotes_the_calibration_of_its_host(tmp_path: Path, judged: Judged) -> None:
    archive.store_calibration(tmp_path, FOUND)
    assert judged().notes[-1] == (
        "this host tells +-0.6 % on toy in 12 s; a slow-down of 2 % was seen in 19 of 20 runs, as +2.1 % "
        "(calibrated 2026-11-22)"
    )


def test_a_verdict_quotes_another_target_s_calibration_under_that_target_s_name(
    tmp_path: Path, judged: Judged
) -> None:
    archive.store_calibration(tmp_path, replace(FOUND, target="other"))
    assert judged().notes[-1].startswith("this host tells +-0.6 % on other in 12 s;")


@pytest.mark.parametrize("verdict", [Verdict.DISCARD, Verdict.INCONCLUSIVE])
def test_a_verdict_needs_no_calibration(
    tmp_path: Path, judged: Judged, monkeypatch: pytest.MonkeyPatch, verdict: Verdict
) -> None:
    """Its own pairs say how far it may be off: nothing about the host is missing, and nothing is said to be."""
    archive.store_calibration(tmp_path, replace(FOUND, host=OTHER_HOST))
    monkeypatch.setattr(Measured, "verdict", verdict)
    ended = judged()
    assert not any("calibrat" in note for note in (*ended.notes, *ended.asides))


@pytest.mark.parametrize("pair_sd", [0.0001, 0.01, 0.5])
def test_a_calibration_widens_and_narrows_no_verdict(tmp_path: Path, judged: Judged, pair_sd: float) -> None:
    archive.store_calibration(tmp_path, replace(FOUND, pair_sd=pair_sd))
    ended = judged()
    assert Measured.rules == Rules()
    row = results.read(ended.log or tmp_path)[-1]
    rules = json.loads(archive.trial_path(tmp_path, "toy", row.record).read_text())["rules"]
    assert rules == asdict(Rules())


# The option, whole

PLAIN = ("-p", "no:randomly", "-p", "no:cacheprovider", "-q", "--autoresearch-json=out.json")
CALIBRATE = (*PLAIN, "--autoresearch=toy", "--autoresearch-calibrate")
CHECKS = len(toys.CASES)
WORK_IN_TARGET = """
import numpy as np

UNIT = "product"

def ops(shape):
    return 1

def bind(impl, state):
    kernel = impl.Kernel(state.weights)

    def product(x):
        for _ in range(100):
            np.multiply(state.weights, x)
        return kernel.product(x)

    return product
"""


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few and short windows, and a slow-down that no machine hides: every call takes twice as long."""
    monkeypatch.setattr(calibration, "RUNS", 2)
    monkeypatch.setattr(calibration, "LEAST_RUNS", 2)
    monkeypatch.setattr(calibration, "INJECTED", 1.0)
    monkeypatch.setattr(calibration, "Rules", functools.partial(Rules, pairs=2, blocks=3))
    monkeypatch.setattr(options, "Rules", functools.partial(Rules, pairs=2, blocks=1))
    monkeypatch.setattr(measure, "WINDOW_NS", 500_000)
    monkeypatch.setattr(alone, "WINDOWS", 2)
    monkeypatch.setattr(cpu, "_AROUND_NS", 10**12)


def told(root: Path) -> dict[str, Any]:
    """The JSON twin of the run's only block."""
    (found,) = json.loads((root / "out.json").read_text())["trials"]
    return cast("dict[str, Any]", found)


def kept(root: Path) -> Calibration | None:
    return archive.find_calibration(root, environment.host(), "toy")


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_a_calibration_is_said_and_kept_and_quoted_by_the_next_verdict(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path)
    result = pytester.runpytest_inprocess(*CALIBRATE)
    result.assert_outcomes(passed=CHECKS + 1)
    assert result.ret == 0
    found = kept(pytester.path)
    assert found is not None
    assert (found.runs, found.injected, found.target) == (2, 1.0, "toy")
    assert found.measured > 0.0
    assert f"reason: {report.calibrated(found)}" in result.outlines
    assert f"correctness: pass ({CHECKS + 1} of {CHECKS + 1} items passed)" in result.outlines
    assert (told(pytester.path)["verdict"], told(pytester.path)["geomean_ns_per_op"]) == (None, None)
    assert not (pytester.path / "targets/toy/results.tsv").exists()

    gate_options = (*PLAIN, "--autoresearch=toy", "--keep-gate", "--autoresearch-max-seconds=0.001")
    assert pytester.runpytest_inprocess(*gate_options).ret == 0
    toys.write(pytester.path, text=toys.FASTER)
    result = pytester.runpytest_inprocess(*gate_options)
    assert result.ret == BUDGET_EXIT_CODE
    assert f"note: {report.calibration_note(found)}" in result.outlines
    assert told(pytester.path)["notes"][-1].startswith(report.calibrated(found))


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_a_target_that_works_outside_its_kernel_is_refused(pytester: pytest.Pytester) -> None:
    text = toys.KERNEL.replace("REPEATS = 40", "REPEATS = 1")
    toys.write(pytester.path, text=text, target=WORK_IN_TARGET)
    result = pytester.runpytest_inprocess(*CALIBRATE)
    result.assert_outcomes(passed=CHECKS, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    sentence = (
        r"target 'toy': the time of \d+x\d+-\w+ moved by [+-]\d+\.\d % when its kernel was slowed by 100 %; "
        r"expected the timed call to spend its time in kernels\.py"
    )
    shown = next(i for i, line in enumerate(result.outlines) if re.fullmatch(sentence, line))
    assert "test_calibration" in result.outlines[shown - 1]
    assert re.fullmatch(f"invalid: {sentence}", told(pytester.path)["reason"])
    assert kept(pytester.path) is None


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_a_kernel_that_fails_while_it_is_calibrated_can_be_run_again(pytester: pytest.Pytester) -> None:
    body = "self.calls = getattr(self, 'calls', 0) + 1\nreturn result + (self.calls > 4)"
    toys.write(pytester.path, text=toys.kernel(body))
    result = pytester.runpytest_inprocess(*CALIBRATE)
    result.assert_outcomes(passed=CHECKS, failed=1)
    assert kept(pytester.path) is None
    assert told(pytester.path)["reason"].startswith("incorrect: 64x32-uniform, timed call ")
    prefix = "run again: pytest "
    command = next(line.removeprefix(prefix) for line in result.outlines if line.startswith(prefix))
    again = pytester.runpytest_inprocess(*PLAIN, *shlex.split(command))
    assert again.parseoutcomes()["failed"] >= 1  # with the seed, the checks before it fail too


@pytest.mark.slow
def test_a_calibration_needs_one_process(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path)
    result = pytester.runpytest_subprocess(*CALIBRATE, "-n1", "-rs", "--autoresearch-max-seconds=1")
    result.assert_outcomes(passed=CHECKS, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*: timing needs one process; add -n0"])
    assert kept(pytester.path) is None


@pytest.mark.parametrize("how", ["option", "ini"])
def test_a_calibration_takes_the_place_of_the_speed_items(pytester: pytest.Pytester, how: str) -> None:
    toys.write(pytester.path)
    if how == "ini":
        pytester.makeini("[pytest]\nautoresearch_calibrate = true")
    switch = ["--autoresearch-calibrate"] if how == "option" else []
    result = pytester.runpytest_inprocess(*PLAIN, "--autoresearch=toy", "--collect-only", *switch)
    items = [line.split("::")[1] for line in result.outlines if "::" in line]
    assert [item.split("[")[0] for item in items] == ["test_correctness"] * CHECKS + ["test_calibration"]


@pytest.mark.parametrize("arguments", [["--autoresearch=toy", "--keep-gate"], ["--keep-gate"], []])
def test_a_calibration_beside_a_gate_or_of_no_target_is_refused(
    pytester: pytest.Pytester, arguments: list[str]
) -> None:
    toys.write(pytester.path)
    result = pytester.runpytest_inprocess(*PLAIN, "--autoresearch-calibrate", "--collect-only", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.errlines[0] == (
        "ERROR: --autoresearch-calibrate is a run of its own; name its targets with --autoresearch=NAME, "
        "without a gate"
    )


def test_a_calibration_in_pytest_s_own_process_is_refused(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path)
    result = pytester.runpytest_inprocess(*CALIBRATE, "--autoresearch-in-process", "--collect-only")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.errlines[0] == (
        "ERROR: --autoresearch-calibrate measures, --autoresearch-in-process cannot; remove one"
    )
