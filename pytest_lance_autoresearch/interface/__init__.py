"""The public Python interface: load a target, judge a kernel of it, or many. No pytest is needed.

    from pytest_lance_autoresearch.interface import judge, load

    target = load("targets/pq-l2")
    outcome = judge(target, "candidate.py", baseline="targets/pq-l2/kernels.py")
    print(outcome.status, outcome.reason)

Names that are not exported here may change with any version.
"""

from pytest_lance_autoresearch.errors import AutoresearchError, HostsError, LogError, TargetError
from pytest_lance_autoresearch.interface.trials import judge, load, tournament
from pytest_lance_autoresearch.records import (
    Cause,
    Figures,
    Interval,
    Judgement,
    Outcome,
    Progress,
    RegressionRules,
    Rules,
    Status,
    Tournament,
    Verdict,
)
from pytest_lance_autoresearch.target_files.load import Target
from pytest_lance_autoresearch.words.report import as_json

__all__ = [
    "AutoresearchError",
    "Cause",
    "Figures",
    "HostsError",
    "Interval",
    "Judgement",
    "LogError",
    "Outcome",
    "Progress",
    "RegressionRules",
    "Rules",
    "Status",
    "Target",
    "TargetError",
    "Tournament",
    "Verdict",
    "as_json",
    "judge",
    "load",
    "tournament",
]
