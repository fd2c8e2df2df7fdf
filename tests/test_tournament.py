"""A tournament: who is checked, chosen and judged, and the row of everybody."""

from __future__ import annotations

import _thread
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fake_measuring
import pytest
import toys
from builders import everywhere, pair
from fake_measuring import DISCARD, Lab

from pytest_lance_autoresearch import interface
from pytest_lance_autoresearch.bench.process import KernelProcess, WindowAnswers
from pytest_lance_autoresearch.bench.rounds import Rounds
from pytest_lance_autoresearch.errors import KernelCrashed, KernelFailure, LogError
from pytest_lance_autoresearch.interface import RegressionRules, Status, Tournament
from pytest_lance_autoresearch.kernel_side.wire import PackedWindow
from pytest_lance_autoresearch.log import archive, history, night, results
from pytest_lance_autoresearch.records import Rules
from pytest_lance_autoresearch.runs import tournament as contests
from pytest_lance_autoresearch.runs.tournament import Contest
from pytest_lance_autoresearch.runs.trial import Settings
from pytest_lance_autoresearch.target_files import sources
from pytest_lance_autoresearch.verdict import selection

EVEN = [0.0, 0.001, 0.0, 0.001, 0.0, 0.001]
"""What a kernel comes to that is as fast as the baseline, round by round, as log-ratios."""
UNEVEN = [0.0, 0.05, -0.03, 0.06, -0.05, 0.03]
"""One of which nothing can be told."""


QUICK = Rules(pairs=3, blocks=2)
"""What a kernel that is three times as fast needs to be kept."""


def kernel(number: int) -> bytes:
    """A kernel of other code than any other number's."""
    return f"{toys.KERNEL}NUMBER = {number}\n".encode()


class Script:
    """What the rounds come to, by the kernel's bytes."""

    def __init__(self) -> None:
        self.log_ratios: dict[bytes, Sequence[float]] = {}
        self.failures: dict[bytes, KernelFailure] = {}
        """Of kernels that fail in the second round."""
        self.held: list[int] = []
        """How many were in each round."""
        self.before_a_round: Callable[[], None] = lambda: None


class Scripted(Rounds):
    """Rounds in which nothing is measured."""

    script = Script()

    def hold(
        self,
        left: Sequence[str],
        seed: int,  # noqa: ARG002
    ) -> dict[str, KernelFailure]:
        self.script.before_a_round()
        self.number += 1
        self.script.held.append(len(left))
        failures = {}
        for one in left:
            text = self._candidates[one].text
            if self.number > 1 and text in self.script.failures:
                failures[one] = self.script.failures[text]
            else:
                ratio = self.script.log_ratios[text][self.number - 1]
                self.add({one: pair(everywhere([ratio], toys.TIMED))})
        return failures


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Its log holds a baseline; it works where targets are found."""
    monkeypatch.chdir(tmp_path)
    return fake_measuring.installed(tmp_path, monkeypatch).with_baseline()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    monkeypatch.setattr(contests, "Rounds", Scripted)
    monkeypatch.setattr(Scripted, "script", Script())
    return Scripted.script


def hold(lab: Lab, *candidates: bytes, **options: Any) -> Tournament:
    target = interface.load(lab.root / "targets" / "toy")
    return interface.tournament(target, candidates, log=lab.log_path, watch=lab.shown.append, **options)


def ends(found: Tournament) -> list[tuple[str, Status | None]]:
    return [(name, outcome.status) for name, outcome in found.outcomes.items()]


def faults(lab: Lab) -> list[str]:
    """What `verify` says of the rows of the rounds: a trial here has measured nothing that it could look at."""
    root = archive.root_of(lab.log_path)
    rows = lab.rows()
    found = [fault for one in history.check(rows, root) for fault in one.faults]
    finals = [row.trial for row in rows if row.interval is not None]
    return [fault for fault in found if not fault.startswith(tuple(f"trial {number}:" for number in finals))]


def test_the_fastest_is_judged_and_kept_and_everybody_has_a_row(lab: Lab, script: Script) -> None:
    script.log_ratios = {kernel(1): EVEN, kernel(2): [0.1, 0.101], kernel(3): [-0.2, -0.2]}
    found = hold(lab, kernel(1), kernel(2), kernel(3))
    assert found.winner == "candidate 2"
    assert found.exit_code == 0
    assert ends(found) == [
        ("candidate 2", Status.KEEP),
        ("candidate 1", Status.DISCARD),
        ("candidate 3", Status.DISCARD),
    ]
    assert [row.status for row in lab.rows()] == ["baseline", "discard", "discard", "keep"]
    assert [row.trial for row in lab.rows()] == [1, 2, 3, 4]
    assert lab.rows()[1].description == "candidate 3, one of 3 in a tournament"
    assert faults(lab) == []
    assert not lab.open_processes()
    (judged,) = lab.measurements[1:]
    assert judged.rules is not None
    assert judged.rules.confidence == 0.99


def test_a_row_of_the_rounds_says_why_and_claims_no_speedup(lab: Lab, script: Script) -> None:
    script.log_ratios = {kernel(1): [0.03, 0.031], kernel(2): [0.1, 0.1011]}
    found = hold(lab, kernel(1), kernel(2))
    outrun = found.outcomes["candidate 1"]
    assert outrun.reason == (
        "discard: geomean 100 -> 97.0 ms/product (-3.0 %), outrun in round 2 of a tournament of 2: "
        "7.3 % slower than its leader (with 95 % confidence)"
    )
    row = lab.rows()[1]
    assert (row.status, row.speedup, row.interval, row.worst_case) == ("discard", None, None, "")
    assert night.nights(lab.rows(), None)[0].noise == pytest.approx(0.0096, abs=1e-3)
    checked = list(history.check(lab.rows(), archive.root_of(lab.log_path)))[1]
    assert (checked.faults, checked.is_judged_again) == ((), True)


def test_verify_finds_a_loser_that_was_none(lab: Lab, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where whoever wrote the log took the rule for another."""
    script.log_ratios = {kernel(1): EVEN, kernel(2): UNEVEN, kernel(3): EVEN[::-1]}
    with monkeypatch.context() as patch:
        patch.setattr(selection, "is_outrun", lambda *_: True)
        hold(lab, kernel(1), kernel(2), kernel(3))
    said = "says 'discard', its windows say 'undecided' (undecided)"
    assert [fault.partition(": ")[2] for fault in faults(lab)].count(said) >= 1


def test_after_the_last_round_the_two_fastest_are_judged_with_the_confidence_shared(
    lab: Lab, script: Script
) -> None:
    lab.judgement = DISCARD
    script.log_ratios = {kernel(n): [value + n / 1000 for value in UNEVEN[n:] + UNEVEN[:n]] for n in range(4)}
    found = hold(lab, *map(kernel, range(4)))
    assert script.held == [4] * selection.MOST_ROUNDS
    assert (found.winner, found.exit_code) == (None, 10)
    judged = lab.measurements[1:]
    assert [one.target.kernel.text for one in judged] == [kernel(3), kernel(2)]
    assert [one.rules.confidence for one in judged if one.rules] == [pytest.approx(0.995)] * 2
    assert len(set.union(*(one.seeds for one in judged))) == 2
    assert list(found.outcomes) == ["candidate 3", "candidate 4", "candidate 2", "candidate 1"]
    assert found.outcomes["candidate 2"].reason.endswith(
        "outrun in round 6 of a tournament of 4: 0.1 % slower than another, which was judged in its place"
    )
    assert faults(lab) == []


def test_once_one_is_kept_no_other_is_judged(lab: Lab, script: Script) -> None:
    script.log_ratios = {kernel(1): [0.1, 0.1], kernel(2): [0.2, -0.1]}
    found = hold(lab, kernel(1), kernel(2))
    assert ends(found) == [("candidate 1", Status.KEEP), ("candidate 2", Status.DISCARD)]
    assert len(lab.measurements[1:]) == 1
    assert [row.status for row in lab.rows()] == ["baseline", "keep", "discard"]
    assert faults(lab) == []


def test_a_single_candidate_is_judged_as_in_a_trial(lab: Lab, script: Script) -> None:
    assert hold(lab, kernel(1)).winner == "candidate 1"
    assert script.held == []


def test_what_is_wrong_or_known_is_not_measured(lab: Lab, script: Script) -> None:
    wrong = toys.kernel("return result + 1").encode()
    twin, refused = b"# another comment\n" + kernel(1), b"import os\n" + kernel(2)
    found = hold(lab, wrong, kernel(1), twin, refused, toys.KERNEL.encode())
    assert {name: outcome.status for name, outcome in found.outcomes.items()} == {
        "candidate 1": Status.INCORRECT,
        "candidate 2": Status.KEEP,
        "candidate 3": Status.DISCARD,
        "candidate 4": Status.REFUSED,
        "candidate 5": Status.DISCARD,
    }
    twin_sha256 = lab.rows()[2].kernel[:12]
    assert found.outcomes["candidate 3"].reason == (
        f"discard: the code is identical to that of another candidate, candidate 2 (sha256 {twin_sha256}); "
        f"nothing was measured"
    )
    assert "identical to the baseline, trial 1" in found.outcomes["candidate 5"].reason
    assert script.held == []
    assert len(lab.rows()) == 6


def test_a_copy_byte_for_byte_leaves_its_original_in(lab: Lab, script: Script) -> None:
    """Either may be named first; the others of the tournament are not touched."""
    script.log_ratios = {kernel(1): EVEN, kernel(2): [0.1, 0.101]}
    found = hold(lab, kernel(1), kernel(2), kernel(2), kernel(1))
    copies = [found.outcomes[f"candidate {number}"] for number in (3, 4)]
    assert [one.status for one in copies] == [Status.DISCARD] * 2
    assert ["candidate 2 (sha256" in copies[0].reason, "candidate 1 (sha256" in copies[1].reason] == [True] * 2
    assert (found.winner, len(found.outcomes)) == ("candidate 2", 4)
    assert len(lab.rows()) == 5


def test_who_fails_in_a_round_leaves_with_its_own_sentence(lab: Lab, script: Script) -> None:
    script.log_ratios = {kernel(n): [n / 10, n / 10] for n in (1, 2, 3)}
    script.failures = {kernel(3): KernelCrashed("64x32-uniform: the kernel's process ended")}
    found = hold(lab, kernel(1), kernel(2), kernel(3))
    assert found.winner == "candidate 2"
    assert found.outcomes["candidate 3"].status is Status.CRASH
    assert found.outcomes["candidate 3"].reason == "crash: 64x32-uniform: the kernel's process ended"
    assert faults(lab) == []


def test_an_interrupt_leaves_the_rows_of_those_that_were_judged(lab: Lab, script: Script) -> None:
    wrong = toys.kernel("return result + 1").encode()

    def interrupt() -> None:
        raise KeyboardInterrupt

    script.before_a_round = interrupt
    with pytest.raises(
        KeyboardInterrupt,
        match=r"^1 of 3 candidates has a row in the log; the same tournament tries all of them again$",
    ):
        hold(lab, wrong, kernel(1), kernel(2))
    assert [row.status for row in lab.rows()] == ["baseline", "incorrect"]
    assert not lab.open_processes()


def test_once_half_of_the_time_is_over_the_fastest_so_far_are_judged(lab: Lab, script: Script) -> None:
    script.log_ratios = {kernel(n): [n / 1000, -n / 1000] for n in (1, 2, 3)}
    found = hold(lab, kernel(1), kernel(2), kernel(3), max_seconds=1e-9)
    assert script.held == [3]
    assert [one.target.kernel.text for one in lab.measurements[1:]] == [kernel(3)]
    assert found.outcomes["candidate 1"].reason.endswith(
        "outrun in round 1 of a tournament of 3: 0.1 % slower than another, which was judged in its place"
    )
    assert {one.rules.max_seconds for one in lab.measurements[1:] if one.rules} == {0.0}


def test_without_a_baseline_there_is_no_tournament_and_no_row(tmp_path: Path, lab: Lab) -> None:
    target, log = interface.load(lab.root / "targets" / "toy"), tmp_path / "other.tsv"
    with pytest.raises(LogError) as raised:
        interface.tournament(target, [kernel(1)], log=log)
    assert str(raised.value) == (
        f"{log}: holds no baseline of target 'toy', and a tournament compares with one; "
        f"record it with pytest --autoresearch=toy --keep-gate"
    )
    assert not log.exists()


def test_a_tournament_asks_who_is_fastest(lab: Lab) -> None:
    said = r"tournament\(\) looks for the fastest kernel; RegressionRules ask whether one is slower"
    with pytest.raises(ValueError, match=said):
        hold(lab, kernel(1), rules=RegressionRules())


def test_it_tells_what_it_does(lab: Lab, script: Script) -> None:
    script.log_ratios = {kernel(1): EVEN, kernel(2): [0.1, 0.101]}
    hold(lab, kernel(1), kernel(2))
    events = [one.what for one in lab.shown if one.is_event]
    assert sorted(events[:2]) == ["checking candidate 1", "checking candidate 2"]
    assert events[2:] == [
        "round 1 of at most 6: 2 candidates",
        "round 2 of at most 6: 2 candidates",
        "final: candidate 2 is judged",
    ]


PROPERTIES = """
import inputs

def properties():
    import numpy as np
    from hypothesis import strategies as st

    def example(size):
        return inputs.State(np.ones(size)), (np.ones(size),)

    return st.integers(1, 9).map(example)
"""
"""Of the toy, beyond its cases, whose sizes are larger."""


def test_an_interrupt_while_candidates_are_checked_ends_all_checks(lab: Lab) -> None:
    lab.windows.clear()
    lab.failing[(toys.CASES[0], 2)] = KeyboardInterrupt()
    said = r"^no candidate has a row in the log yet; the same tournament tries all of them again$"
    with pytest.raises(KeyboardInterrupt, match=said):
        hold(lab, *map(kernel, range(5)))
    assert len(lab.rows()) == 1
    assert not lab.open_processes()


def test_an_interrupt_does_not_wait_for_a_kernel_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_window = KernelProcess.run_window

    def interrupted(process: KernelProcess, window: PackedWindow) -> WindowAnswers:
        _thread.interrupt_main()
        return run_window(process, window)

    with pytest.MonkeyPatch.context() as patch:
        log = fake_measuring.installed(tmp_path, patch).with_baseline().log_path
    target = interface.load(tmp_path / "targets" / "toy")
    monkeypatch.setattr(KernelProcess, "run_window", interrupted)
    hanging = sources.make(toys.kernel("while True: pass").encode(), target.layout.kernel_path)
    contest = Contest(target, {"hanging": hanging}, Settings(tmp_path, gate=True, log=log, timeout_s=20.0))
    with pytest.raises(KeyboardInterrupt, match=r"^no candidate has a row"):
        contest.run()
    assert [type(failure) for failure in contest._trials["hanging"].failures] == [KernelCrashed]


def test_whoever_is_wrong_beyond_the_cases_is_not_measured(lab: Lab, script: Script) -> None:
    lab.log_path.unlink()
    toys.write(lab.root, target=f"{toys.TARGET}\n{PROPERTIES}")
    small = toys.kernel("return result if x.size > 9 else -result").encode()
    target = interface.load(lab.root / "targets" / "toy")
    assert interface.judge(target, log=lab.log_path).status is Status.BASELINE
    found = hold(lab, small, kernel(1))
    assert found.outcomes["candidate 1"].reason.startswith("incorrect: properties, on ")
    assert (found.winner, script.held) == ("candidate 2", [])


@pytest.mark.slow
def test_a_real_tournament(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal, faster, wrong and crashing."""
    monkeypatch.chdir(tmp_path)
    target = interface.load(toys.write(tmp_path))
    log = target.layout.log_path
    assert interface.judge(target, log=log).status is Status.BASELINE
    crashing = toys.kernel("raise ZeroDivisionError").encode()
    wrong = toys.kernel("return result + 1").encode()
    found = interface.tournament(target, [kernel(1), toys.FASTER.encode(), wrong, crashing], log=log, rules=QUICK)
    assert found.winner == "candidate 2"
    assert {name: one.status for name, one in found.outcomes.items()} == {
        "candidate 1": Status.DISCARD,
        "candidate 2": Status.KEEP,
        "candidate 3": Status.INCORRECT,
        "candidate 4": Status.INCORRECT,
    }
    rows = results.read(log)
    assert len(rows) == 5
    assert [one.faults for one in history.check(rows, archive.root_of(log))] == [()] * 5
