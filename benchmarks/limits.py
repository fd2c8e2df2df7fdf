"""What one core of this host can do at best: bytes read and copied per nanosecond, look-ups, look-ups in a chain.

Prints the lines that `explain` shows, measured in a worker of a target that is there for its form alone, on the
measuring core; `pytest_lance_autoresearch.runs.limits` says what the figures are.

    python benchmarks/limits.py            10 seconds
"""

from __future__ import annotations

from contextlib import closing

from pytest_lance_autoresearch.bench.probing import ProbeProcess
from pytest_lance_autoresearch.command import explain_report
from pytest_lance_autoresearch.machine import environment, turns
from pytest_lance_autoresearch.records import ANSWER_TIMEOUT_S
from pytest_lance_autoresearch.runs import limits
from pytest_lance_autoresearch.target_files import discover, load, shipped, sources

EXPECTED_S = 10.0


def measured() -> limits.Limits:
    """Those of this host, now."""
    target = load.load(discover.inspect(shipped.pattern("float")))
    nothing = sources.make(b"", target.kernel.path)
    with turns.take(EXPECTED_S), closing(ProbeProcess(target, nothing, ANSWER_TIMEOUT_S)) as process:
        process.introduce()
        with environment.placed([process.pid]):
            return limits.measure(process)


if __name__ == "__main__":
    print(*explain_report.limit_lines(measured()), sep="\n")
