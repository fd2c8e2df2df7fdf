"""Loading a target, and judging a kernel of it or many, in plain calls.

Owns what a trial needs that pytest's session gives otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_lance_autoresearch.errors import LogError, TargetError
from pytest_lance_autoresearch.interface import arguments
from pytest_lance_autoresearch.interface.arguments import Kernel
from pytest_lance_autoresearch.log import archive, gate
from pytest_lance_autoresearch.records import (
    ANSWER_TIMEOUT_S,
    Outcome,
    Progress,
    RegressionRules,
    Rules,
    Source,
    Tournament,
)
from pytest_lance_autoresearch.runs.over_hosts import Asked
from pytest_lance_autoresearch.runs.tournament import MAX_SECONDS, Contest
from pytest_lance_autoresearch.runs.trial import Settings, Trial
from pytest_lance_autoresearch.target_files import contract, discover, sources
from pytest_lance_autoresearch.target_files import load as loading
from pytest_lance_autoresearch.target_files.load import Target

_DEFAULT_RULES = Rules()


def load(folder: str | Path) -> Target:
    """The target in a folder, with the kernel that is there.

    Its `inputs.py` and `target.py` are executed in this process; its kernel never is. TargetError, with one
    sentence, where the folder holds no target, or one with a fault; TypeError and ValueError for no folder at all.
    """
    path = arguments.folder(folder)
    if not discover.has_code(path):
        raise TargetError(f"{path}: holds no target; expected {', '.join(discover.FILES)}")
    target = loading.load(discover.inspect(path))
    contract.cases_of(target)  # which says what is wrong with it
    return target


def judge(
    target: Target,
    candidate: Kernel | None = None,
    *,
    log: str | Path | None = None,
    baseline: Kernel | None = None,
    rules: Rules = _DEFAULT_RULES,
    description: str = "",
    seed: int | None = None,
    timeout_s: float = ANSWER_TIMEOUT_S,
    states: Path | None = None,
    watch: Callable[[Progress], None] = lambda _: None,
    ray: str = "",
) -> Outcome:
    """Check a kernel, measure it beside its baseline, and judge it as `pytest --keep-gate` does.

    `candidate` is the kernel to judge; None is the target's own file. Just one of `log` and `baseline` says what
    it is judged against: the best kept kernel of a log, to which a row is added (the first kernel of a log becomes
    its baseline), or a kernel of the caller's, and then nothing is logged. With `RegressionRules` the question is
    that of the regression gate.

    `seed` fixes the secret inputs, so that a failure can be shown again; a loop leaves it None. `timeout_s` is the
    longest time for one answer of a kernel, in seconds. `states` is a folder where states with published seeds are
    kept between calls. `watch` is told where the measuring stands. `ray` is the address of a cluster, such as
    '10.0.0.1:6379': the kernel is measured on every host of it, and judged over all of them.

    Takes its turn where another trial measures on this machine. A wrong kernel and a target that fails while it
    runs are outcomes, not errors: `status` says what it was, `reason` why. Raises LogError where the row cannot be
    written, before anything runs if that shows by then, and OSError for a kernel file that cannot be read;
    TypeError and ValueError for an argument that is none, or if not just one of `log` and `baseline` is given.
    """
    arguments.refuse_other_targets(target)
    arguments.refuse_other_rules(rules)
    arguments.refuse_other_seconds("timeout_s", timeout_s)
    if log is None and baseline is None:
        raise ValueError("judge() needs either log= or baseline=, to know what the kernel is judged against")
    if ray and isinstance(rules, RegressionRules):
        raise ValueError(
            "judge() on several hosts asks what is worth keeping; RegressionRules ask another question"
        )
    if log is not None and baseline is not None:
        raise ValueError(
            "judge() was given both log= and baseline=; expected one, which the kernel is judged against"
        )
    judged = target if candidate is None else replace(target, kernel=_source(target, candidate))
    log_path = None if log is None else Path(log)
    settings = Settings(
        root=Path.cwd(),
        gate=True,
        log=log_path,
        baseline=None if baseline is None else _source(target, baseline),
        seed=seed,
        timeout_s=timeout_s,
        states=states,
        description=description,
        gather=Asked(ray).gather if ray else None,
        rules=rules,
    )
    if log_path is not None:
        _prepare(log_path, settings.root)
    return Trial(judged, contract.cases_of(judged), settings, watch).run()


def tournament(
    target: Target,
    candidates: Sequence[Kernel],
    *,
    log: str | Path | None = None,
    rules: Rules = _DEFAULT_RULES,
    max_seconds: float = MAX_SECONDS,
    timeout_s: float = ANSWER_TIMEOUT_S,
    states: Path | None = None,
    watch: Callable[[Progress], None] = lambda _: None,
    ray: str = "",
) -> Tournament:
    """Check many kernels, choose the fastest in rounds beside the same baseline, and judge these as `judge` does.

    The baseline is the best kept kernel of `log`, which is the target's own where none is given; it must be
    there. Every candidate has a row. At most one is kept. `rules` are those of the final, whose confidence all
    finalists share; `max_seconds` bounds the whole, of which the rounds take half at most. A candidate is called
    by its path, or 'candidate 3' where it was given as bytes. `ray` is the address of a cluster whose hosts do the
    work, such as '10.0.0.1:6379'; this process writes the log.

    Raises LogError where there is no baseline or a row could not be written, HostsError for a cluster that cannot
    serve, OSError for a kernel file that cannot
    be read, TypeError and ValueError for an argument that is none, such as `RegressionRules`, which ask another
    question. Where it is interrupted, what was
    judged is logged, and the other candidates have no row.
    """
    arguments.refuse_other_targets(target)
    arguments.refuse_other_rules(rules)
    arguments.refuse_other_seconds("max_seconds", max_seconds)
    arguments.refuse_other_seconds("timeout_s", timeout_s)
    if isinstance(candidates, str | bytes | Path):
        raise TypeError("tournament() was given one kernel; expected a list of kernels")
    if isinstance(rules, RegressionRules):
        raise ValueError("tournament() looks for the fastest kernel; RegressionRules ask whether one is slower")
    named = {_name(one, number): _source(target, one) for number, one in enumerate(candidates, 1)}
    settings = Settings(
        root=Path.cwd(),
        gate=True,
        log=None if log is None else Path(log),
        timeout_s=timeout_s,
        states=states,
        rules=rules,
    )
    return Contest(target, named, settings, max_seconds, watch, ray).run()


def _prepare(log_path: Path, root: Path) -> None:
    """Take the room that a row needs; LogError where there is none, or the log cannot take the row."""
    if fault := archive.unwritable(log_path, root) or gate.unusable(log_path):
        raise LogError(fault)
    archive.hold_room(archive.home(log_path, root))


def _name(kernel: Kernel, number: int) -> str:
    """What a candidate of a tournament is called."""
    return f"candidate {number}" if isinstance(kernel, bytes) else str(kernel)


def _source(target: Target, kernel: Kernel) -> Source:
    """A kernel as if it lay where the target's own does."""
    return sources.make(arguments.source(kernel), target.layout.kernel_path, target.kernel.home)
