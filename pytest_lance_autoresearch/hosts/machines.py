"""What a host says of itself, and whether it can stand beside others.

Owns which hosts a candidate is judged on, and the sentences about those that cannot serve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_lance_autoresearch.errors import HostsError
from pytest_lance_autoresearch.machine import environment

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Machine:
    """A host as it describes itself."""

    name: str
    """With its processor, as in the log."""
    processor: str
    versions: dict[str, str]
    boot: str
    """The same for all that is one machine, containers included; '' where the system does not tell."""
    cores: int
    """That it may use."""


def survey() -> Machine:
    """This host."""
    boot = ""
    with suppress(OSError):
        boot = _BOOT_ID.read_text().strip()
    return Machine(
        environment.host(), environment.processor(), environment.versions(), boot, environment.count_cores()
    )


def refuse_other_versions(name: str, found: Machine) -> None:
    """HostsError for a host that does not run what this one runs: it would judge something else."""
    here = environment.versions()
    for package, wanted in here.items():
        there = found.versions.get(package, "none")
        if there != wanted:
            raise HostsError(
                f"{name}: has {package} {there}, and this host has {wanted}; verdicts of several versions are not "
                f"put together; install {package} {wanted} there, or take the host out of the cluster"
            )


def every(machines: Sequence[Machine]) -> list[int]:
    """All hosts, as places among them."""
    return list(range(len(machines)))


def of_every_kind(machines: Sequence[Machine]) -> list[int]:
    """One host with each kind of processor, the first of it."""
    kinds: dict[str, int] = {}
    for place, machine in enumerate(machines):
        kinds.setdefault(machine.processor, place)
    return list(kinds.values())


Choice = Callable[[Sequence[Machine]], list[int]]
CHOICES: dict[str, Choice] = {"every": every, "kinds": of_every_kind}
"""How the hosts of a verdict are chosen, by the name of each way."""


def told_apart(machines: Sequence[Machine], nodes: Sequence[str]) -> list[str]:
    """The names of the hosts, those of one name with the node's own beside it."""
    names = [machine.name for machine in machines]
    return [
        f"{name}, node {node}" if names.count(name) > 1 else name for name, node in zip(names, nodes, strict=True)
    ]


def shared(machines: Sequence[Machine], names: Sequence[str]) -> list[str]:
    """The names of the hosts that are one machine with another one of them."""
    boots = [machine.boot for machine in machines]
    return [name for name, boot in zip(names, boots, strict=True) if boot and boots.count(boot) > 1]
