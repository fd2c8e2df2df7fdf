"""The ports of Lance whose places other kernels have taken: unchanged, still right, and no targets themselves.

And the nights that began with them, whose verdicts are computed again.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from battery import PORTS, TARGETS, Battery, loaded

from pytest_lance_autoresearch.command.verbs import main
from pytest_lance_autoresearch.log import results
from pytest_lance_autoresearch.target_files import discover, load, policy, sources

NIGHTS = TARGETS.parent / "docs" / "nights"
FOUND = sorted(PORTS.glob("*/*.py"))
ARCHIVES = sorted(NIGHTS.glob("*.tar.xz"))
of_every_port = pytest.mark.parametrize("path", FOUND, ids=[path.parent.name for path in FOUND])


def test_every_port_is_the_file_whose_fingerprint_is_stated() -> None:
    stated = re.findall(r"^([0-9a-f]{64})  (\S+)$", (PORTS / "SHA256SUMS").read_text(), re.MULTILINE)
    assert stated == [
        (hashlib.sha256(path.read_bytes()).hexdigest(), path.relative_to(PORTS).as_posix()) for path in FOUND
    ]


@of_every_port
def test_a_port_lies_where_git_is_searched_for_it_and_nothing_is_collected(path: Path) -> None:
    assert path.name == "kernels.py"
    assert discover.recognise(path.parent) is None


@of_every_port
def test_a_port_may_run_as_a_kernel_and_is_another_than_the_target_s(path: Path) -> None:
    target = load.load(discover.inspect(TARGETS / path.parent.name))
    port = sources.read(path)
    assert policy.violation_of(replace(target, kernel=port)) == ""
    assert port.code_sha256 != target.kernel.code_sha256


@of_every_port
def test_a_night_began_with_the_port(path: Path) -> None:
    first, *_ = results.read(NIGHTS / f"{path.parent.name}-results.tsv")
    assert (first.status, first.kernel) == ("baseline", sources.read(path).sha256)


@of_every_port
def test_a_port_is_right_on_every_case_of_its_target(path: Path) -> None:
    battery = Battery(path.parent.name)
    port = loaded(battery.target, sources.read(path))
    for case_id in battery.cases:
        battery.verify(port, case_id)


@pytest.mark.parametrize("path", ARCHIVES, ids=[path.name for path in ARCHIVES])
def test_a_night_s_log_is_what_its_archive_says(path: Path, tmp_path: Path) -> None:
    """Every verdict is computed again from the windows that were measured then."""
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    log = NIGHTS / path.name.replace(".tar.xz", "-results.tsv")
    assert main(["verify", str(log), "--root", str(tmp_path)]) == 0
