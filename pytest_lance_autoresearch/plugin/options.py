"""The command line and the ini file, turned into one frozen record.

Owns every option's name, meaning and check. `declare` declares and does nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_lance_autoresearch.machine.files import LOG, lost_by_writing
from pytest_lance_autoresearch.records import ANSWER_TIMEOUT_S, REVISION, RegressionRules, Rules
from pytest_lance_autoresearch.target_files.discover import DEFAULT_GLOBS

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping, Sequence

_DEFAULTS = RegressionRules()
HOSTS = ("every", "kinds")
"""The hosts of a cluster that a kernel is judged on."""
_GATES = KEEP_GATE, REGRESSION_GATE = "--keep-gate", "--regression-gate"


def _file(text: str) -> Path:
    if not text:
        raise ValueError
    return Path(text)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise ValueError
    return value


def _hosts(text: str) -> str:
    if text not in HOSTS:
        raise ValueError
    return text


class _Value(NamedTuple):
    """What an option's value is made of its text by, and what is expected where that fails."""

    convert: Callable[[str], Any]
    expected: str = "a value"


_TEXT = _Value(str)
_FILE = _Value(_file, "the name of a file")
_POSITIVE = _Value(_positive, "a number above 0")
_FRACTION = _Value(_fraction, "a fraction such as 0.01")
_WHOLE = _Value(int, "a whole number")
_HOSTS = _Value(_hosts, f"one of {', '.join(HOSTS)}")


@dataclass(frozen=True)
class _Option:
    """An option `--autoresearch-NAME` with its ini twin `autoresearch_NAME`."""

    name: str
    help: str
    metavar: str = ""
    value: _Value = _TEXT
    default: Any = None

    @property
    def flag(self) -> str:
        return f"--autoresearch-{self.name}"

    @property
    def ini(self) -> str:
        return f"autoresearch_{self.name.replace('-', '_')}"

    def is_typed(self, given: Namespace) -> bool:
        """Whether it is on the command line: what an ini file says for other runs contradicts nothing."""
        return getattr(given, self.ini) not in (None, False)


_LOG = _Option("log", f"write a row about each verdict of {REGRESSION_GATE} to FILE, a results.tsv", "FILE", _FILE)
_REPORTS = (
    _Option("json", "write the blocks of all targets to FILE as JSON", "FILE", _FILE),
    _Option("markdown", "write a table of all targets to FILE as Markdown", "FILE", _FILE),
)
_VALUED = (
    _Option("description", "what this trial tries, one line for the log", "TEXT", default=""),
    _LOG,
    *_REPORTS,
    _Option(
        "max-seconds",
        f"time budget of one trial, in seconds (default {_DEFAULTS.max_seconds:g})",
        "SECONDS",
        _POSITIVE,
        _DEFAULTS.max_seconds,
    ),
    _Option(
        "min-effect",
        f"smallest gain worth keeping, as a fraction (default {_DEFAULTS.min_effect:g})",
        "FRACTION",
        _FRACTION,
        _DEFAULTS.min_effect,
    ),
    _Option(
        "max-slowdown",
        f"largest slow-down that passes {REGRESSION_GATE}, as a fraction (default {_DEFAULTS.slowdown_limit:g})",
        "FRACTION",
        _FRACTION,
        _DEFAULTS.slowdown_limit,
    ),
    _Option(
        "memory-fraction",
        f"most peak memory over the baseline's, as a fraction (default {_DEFAULTS.memory_fraction:g})",
        "FRACTION",
        _POSITIVE,
        _DEFAULTS.memory_fraction,
    ),
    _Option(
        "memory-mb",
        f"most peak memory over the baseline's, in MiB (default {_DEFAULTS.memory_bytes / 2**20:g})",
        "MIB",
        _POSITIVE,
        _DEFAULTS.memory_bytes / 2**20,
    ),
    _Option(
        "ray",
        f"let {KEEP_GATE} measure on the hosts of the Ray cluster at ADDRESS (or 'auto'), and judge over all",
        "ADDRESS",
        default="",
    ),
    _Option(
        "ray-nodes",
        f"on which of them: {' or '.join(HOSTS)}, one with each kind of processor (default {HOSTS[0]})",
        "WHICH",
        _HOSTS,
        HOSTS[0],
    ),
    _Option("seed", "replay the secret inputs of an earlier trial", "N", _WHOLE),
    _Option(
        "timeout",
        f"longest time a kernel may take for one answer, in seconds (default {ANSWER_TIMEOUT_S:g})",
        "SECONDS",
        _POSITIVE,
        ANSWER_TIMEOUT_S,
    ),
)
_SELFTEST = _Option("selftest", "find out whether the targets catch wrong kernels and accept honest rewrites")
_SWITCHES = (
    _Option("in-process", "run the kernel in pytest's own process, for a debugger: correctness only"),
    _Option("no-cache", "make every state, and store none in pytest's cache"),
    _Option("rebaseline", "record the present kernel and target files as a new baseline"),
    _Option("require-baseline", "with the gate: without a baseline there is no verdict, and none is recorded"),
    _SELFTEST,
    _Option("calibrate", "find out what this host can tell apart: the kernel against itself, and slowed down"),
)
TARGETS_INI = "autoresearch_targets"
_OF_A_VERDICT = {
    **dict.fromkeys(("description", "memory-fraction", "memory-mb"), _GATES),
    **dict.fromkeys(("min-effect", "require-baseline", "ray", "ray-nodes"), (KEEP_GATE,)),
    "max-slowdown": (REGRESSION_GATE,),
}
"""The options that change nothing but a verdict, with the gates that give it."""


@dataclass(frozen=True)
class Options:
    """What the user asked for."""

    names: tuple[str, ...]
    gate: str
    """The option that asks for a verdict, `KEEP_GATE` or `REGRESSION_GATE`; '' for none."""
    log: Path | None
    """Where a verdict leaves its row; None is the target's own log, or no log against a revision."""
    revision: str
    """The name of the revision that is the baseline, instead of the log's best kernel; '' for none."""
    globs: tuple[str, ...]
    description: str
    reports: Mapping[str, Path]
    """Where the reports of trials go, by the option that asks for each."""
    seed: int | None
    timeout_s: float
    in_process: bool
    no_cache: bool
    rebaseline: bool
    require_baseline: bool
    calibrate: bool
    selftest: bool
    rules: Rules
    ray: str = ""
    """The address of the cluster on whose hosts is measured; '' is this host alone."""
    ray_nodes: str = HOSTS[0]

    @property
    def selects(self) -> bool:
        """Whether only targets are to be run."""
        return bool(self.names or self.gate or self.selftest)

    @property
    def is_logged(self) -> bool:
        """Whether a verdict leaves a row in a log."""
        return bool(self.gate and (self.log or not self.revision))

    @classmethod
    def from_config(cls, config: pytest.Config) -> Options:
        """Read and check everything; pytest.UsageError names the option at fault."""
        writes = reports(config, config.option)
        values = {option.name: _value(config, config.option, option) for option in _VALUED}
        typed = {option.name for option in (*_VALUED, *_SWITCHES) if option.is_typed(config.option)}
        switches = {option.name: _switch(config, config.option, option) for option in _SWITCHES}
        names = _names(config.getoption("autoresearch") or ())
        baseline = config.getoption("autoresearch_baseline")
        if baseline == "":
            raise pytest.UsageError(_empty("--baseline", f"a log, or {REVISION}REV"))
        here = config.invocation_params.dir
        gate, revision = _gate(config), ""
        if baseline and baseline.startswith(REVISION):
            revision, baseline = baseline.removeprefix(REVISION).strip(), None
            _refuse_revision(gate, revision, typed)
        elif gate:
            _refuse_no_baseline(gate, here, baseline or "")
        log = _log(gate, baseline, values["log"], is_typed="log" in typed)
        _refuse_without_effect(gate, typed, calibrates=switches["calibrate"])
        _refuse_contradictions(gate, baseline, writes, switches, names=bool(names))
        return cls(
            names=names,
            gate=gate,
            revision=revision,
            globs=tuple(config.getini(TARGETS_INI)),
            description=values["description"],
            log=Path(here, log) if log else None,
            reports=writes,
            seed=values["seed"],
            timeout_s=values["timeout"],
            in_process=switches["in-process"],
            no_cache=switches["no-cache"],
            rebaseline=switches["rebaseline"],
            require_baseline=switches["require-baseline"],
            calibrate=switches["calibrate"],
            selftest=switches["selftest"],
            rules=_rules(gate, values),
            ray=values["ray"] if gate == KEEP_GATE else "",
            ray_nodes=values["ray-nodes"],
        )


def reports(config: pytest.Config, given: Namespace) -> dict[str, Path]:
    """Where the reports of trials go, by the option that asks for each; UsageError where they overwrite anything.

    `given` is the command line, or as much of it as was read: pytest may refuse the rest.
    """
    has_trials = bool(given.autoresearch or any(getattr(given, _dest(gate)) for gate in _GATES))
    is_asked = has_trials and not _switch(config, given, _SELFTEST)
    here, found = config.invocation_params.dir, {}
    for option in _REPORTS:
        path = _value(config, given, option) if is_asked or option.is_typed(given) else None
        if path:
            found[option.name] = Path(here, path)
    named = given.autoresearch_baseline or ""
    logs = [_value(config, given, _LOG), "" if named.startswith(REVISION) else named]
    _refuse_overwriting(found, [Path(here, log) for log in logs if log])
    return found


def _names(texts: Sequence[str]) -> tuple[str, ...]:
    """The targets that are named."""
    found = [[name.strip() for name in text.split(",") if name.strip()] for text in texts]
    if not all(found):
        raise pytest.UsageError(_empty("--autoresearch", "the names of targets, separated by commas"))
    return tuple(name for names in found for name in names)


def _is_only_a_revision(here: Path, name: str) -> bool:
    """Whether what is meant to be a log is none, and is the name of a revision."""
    from pytest_lance_autoresearch.log import git

    return not Path(here, name).exists() and bool(git.resolve(here, name))


def _refuse_no_baseline(gate: str, here: Path, named: str) -> None:
    """UsageError where what is named, if anything, is neither a log nor typed as a revision."""
    if named and _is_only_a_revision(here, named):
        new_log = f", or --baseline=./{named} for a new log" if gate == KEEP_GATE else ""
        raise pytest.UsageError(
            f"--baseline={named}: there is no such file, and git knows a revision of that name; "
            f"type --baseline={REVISION}{named}{new_log}"
        )
    if gate == REGRESSION_GATE:
        raise pytest.UsageError(
            f"{REGRESSION_GATE} compares with a revision; add --baseline={REVISION}REV, such as "
            f"--baseline={REVISION}origin/main"
        )
    if named.endswith(".py"):
        raise pytest.UsageError(
            f"--baseline={named}: a baseline is a log of trials, such as results.tsv, or a revision, "
            f"{REVISION}REV; a kernel becomes one when it is judged in its target first"
        )


def _gate(config: pytest.Config) -> str:
    asked = [flag for flag in _GATES if config.getoption(_dest(flag))]
    if len(asked) > 1:
        raise pytest.UsageError(f"{' and '.join(asked)} ask two questions; remove one")
    return "".join(asked)


def _log(gate: str, baseline: str | None, log: Path | None, *, is_typed: bool) -> str | Path | None:
    """The log that is named: by `--baseline` where it holds that, or else by itself."""
    if gate == REGRESSION_GATE:
        return log
    if is_typed:
        raise pytest.UsageError(
            f"--autoresearch-log is the log of {REGRESSION_GATE}; {KEEP_GATE} names its own with --baseline=FILE"
        )
    return baseline


def _dest(flag: str) -> str:
    return f"autoresearch_{flag.strip('-').replace('-', '_')}"


def _rules(gate: str, values: dict[str, Any]) -> Rules:
    rules = Rules(
        max_seconds=values["max-seconds"],
        min_effect=values["min-effect"],
        memory_fraction=values["memory-fraction"],
        memory_bytes=int(values["memory-mb"] * 2**20),
    )
    if gate != REGRESSION_GATE:
        return rules
    return RegressionRules(**vars(rules), slowdown_limit=values["max-slowdown"])


def declare(parser: pytest.Parser) -> None:
    """Declare the options and their ini twins."""
    group = parser.getgroup("autoresearch", "kernel targets: correctness, speed and a verdict")
    group.addoption(
        "--autoresearch",
        action="append",
        metavar="TARGETS",
        help="run a trial of these targets only (names, separated by commas)",
    )
    group.addoption(
        KEEP_GATE,
        action="store_true",
        dest=_dest(KEEP_GATE),
        help="judge the kernel against the best kept one, and log the verdict; exit 0 means kept",
    )
    group.addoption(
        REGRESSION_GATE,
        action="store_true",
        dest=_dest(REGRESSION_GATE),
        help=f"is the kernel slower than at a revision (--baseline={REVISION}REV)? exit 0 means that it is not",
    )
    group.addoption(
        "--baseline",
        metavar="FILE",
        dest="autoresearch_baseline",
        help=f"the log with the baseline (default: targets/<name>/results.tsv), or a revision, {REVISION}REV",
    )
    parser.addini(TARGETS_INI, "globs of target directories, from the root", "args", default=list(DEFAULT_GLOBS))
    for option in _VALUED:
        group.addoption(option.flag, metavar=option.metavar, dest=option.ini, help=option.help)
        parser.addini(option.ini, option.help, "string", default=None)
    for option in _SWITCHES:
        group.addoption(option.flag, action="store_true", dest=option.ini, help=option.help)
        parser.addini(option.ini, option.help, "bool", default=False)


def _value(config: pytest.Config, given: Namespace, option: _Option) -> Any:
    text, where = getattr(given, option.ini), option.flag
    if text is None:
        text, where = config.getini(option.ini), f"{option.ini} (ini)"
        if not text:
            return option.default
    try:
        return option.value.convert(text)
    except ValueError:
        expected = option.value.expected
        raise pytest.UsageError(
            f"{where}={text}: expected {expected}" if text else _empty(where, expected)
        ) from None


def _empty(where: str, expected: str) -> str:
    return f"{where}= has nothing behind its '='; expected {expected}; see whether a variable is unset"


def _switch(config: pytest.Config, given: Namespace, option: _Option) -> bool:
    return bool(getattr(given, option.ini) or config.getini(option.ini))


def _refuse_revision(gate: str, revision: str, typed: set[str]) -> None:
    if not revision:
        raise pytest.UsageError(
            f"--baseline={REVISION} names no revision; expected one such as {REVISION}origin/main"
        )
    if not gate:
        raise pytest.UsageError(f"--baseline={REVISION}{revision}: add {KEEP_GATE} or {REGRESSION_GATE}")
    for name in ("rebaseline", "require-baseline"):
        if name in typed:
            raise pytest.UsageError(
                f"--autoresearch-{name} is about a log, and a verdict against a revision has none; remove one"
            )


def _refuse_without_effect(gate: str, typed: set[str], *, calibrates: bool) -> None:
    """What is about a verdict, where none is asked for, or another one."""
    for name, gates in _OF_A_VERDICT.items():
        if name in typed and gate not in gates:
            wanted = " or ".join(gates)
            todo = "remove one" if gate else f"add {wanted}"
            raise pytest.UsageError(f"--autoresearch-{name} is about a verdict of {wanted}; {todo}")
    if "max-seconds" in typed and not (gate or calibrates):
        raise pytest.UsageError(
            "--autoresearch-max-seconds bounds what is measured for a verdict; "
            f"add {' or '.join(_GATES)}, or --autoresearch-calibrate"
        )


def _refuse_overwriting(files: Mapping[str, Path], logs: Sequence[Path]) -> None:
    """What is written whole must not be written over a log, a source or another report."""
    taken = dict.fromkeys((log.resolve() for log in logs), LOG)
    for name, path in files.items():
        if other := lost_by_writing(path, taken):
            raise pytest.UsageError(f"--autoresearch-{name}={path} would overwrite {other}; name another file")
        taken[path.resolve()] = f"what --autoresearch-{name} writes"


def _refuse_contradictions(
    gate: str, baseline: str | None, files: Mapping[str, Path], switches: dict[str, bool], *, names: bool
) -> None:
    if switches["calibrate"] and (gate or not names):
        raise pytest.UsageError(
            "--autoresearch-calibrate is a run of its own; "
            "name its targets with --autoresearch=NAME, without a gate"
        )
    if switches["selftest"] and (gate or switches["calibrate"] or switches["in-process"]):
        raise pytest.UsageError(
            "--autoresearch-selftest judges the target and not the kernel; "
            f"remove {gate or KEEP_GATE}, --autoresearch-calibrate and --autoresearch-in-process"
        )
    if switches["calibrate"] and switches["in-process"]:
        raise pytest.UsageError("--autoresearch-calibrate measures, --autoresearch-in-process cannot; remove one")
    for name in files:
        if switches["selftest"] or not (names or gate):
            raise pytest.UsageError(
                f"--autoresearch-{name} writes what trials came to; name their targets with --autoresearch=NAME"
            )
    if baseline and not gate:
        raise pytest.UsageError("--baseline names the log of a verdict; add --keep-gate")
    if switches["rebaseline"] and not gate:
        raise pytest.UsageError("--autoresearch-rebaseline records a row in the log; add --keep-gate")
    if switches["rebaseline"] and switches["require-baseline"]:
        raise pytest.UsageError(
            "--autoresearch-rebaseline records a baseline, --autoresearch-require-baseline forbids it; remove one"
        )
    if switches["in-process"] and gate:
        raise pytest.UsageError(
            "--autoresearch-in-process is for debugging and never gives a verdict; remove " + gate
        )
