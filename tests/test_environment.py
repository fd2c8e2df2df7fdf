"""What is told of the machine, on machines that are not this one."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from pytest_lance_autoresearch.machine import environment

GUEST = "processor\t: {}\nvendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n\n"
ARM = "processor\t: 0\nBogoMIPS\t: 2100.00\nCPU implementer\t: 0x41\n\n"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (GUEST.format(0) + GUEST.format(1), "AMD EPYC, family 26, model 2"),
        ("model name: Some Core\n", "Some Core"),
        (ARM, "aarch64"),
        (None, "aarch64"),
    ],
)
def test_processors_that_a_hypervisor_calls_the_same_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str | None, expected: str
) -> None:
    path = tmp_path / "cpuinfo"
    if said is not None:
        path.write_text(said)
    monkeypatch.setattr(environment, "_PROCESSORS", path)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert environment.processor() == expected
