"""Targets that travel to another host: what is in the parcel, and how they are laid out there."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
import toys
import workers

from pytest_lance_autoresearch.errors import TargetError
from pytest_lance_autoresearch.target_files import discover, generate, load, parcels, sources
from pytest_lance_autoresearch.target_files.contract import cases_of
from pytest_lance_autoresearch.target_files.load import Target
from pytest_lance_autoresearch.target_files.parcels import Parcel


def sent(target: Target, there: Path) -> Target:
    """The target on another host, where nothing is left of what lies here."""
    parcel: Parcel = pickle.loads(pickle.dumps(Parcel.of(target)))
    shutil.rmtree(target.layout.directory.parent.parent)
    there.mkdir()
    return parcel.unpacked(there)


def products(target: Target) -> int:
    """How many numbers the kernel answers with, in a process of its own."""
    process = workers.started(target)
    try:
        state = generate.make_state(target, cases_of(target)[0], 0)
        process.bind("key", generate.pickled(target, state))
        return len(process.run("key", [(state.weights,)], 10**6)[0])
    finally:
        process.close()


@pytest.mark.parametrize("write", [toys.write, toys.write_package], ids=["alone", "in a package"])
def test_a_target_is_the_same_where_it_arrives(tmp_path: Path, write: object) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    assert callable(write)
    target = load.load(discover.inspect(write(here)))
    found = sent(target, there)
    assert (found.name, found.fingerprint, found.kernel.text) == (
        target.name,
        target.fingerprint,
        target.kernel.text,
    )
    assert found.kernel.home.module == target.kernel.home.module
    assert there in found.kernel.path.parents
    assert there in found.layout.directory.parents
    assert products(found) == len(generate.make_state(found, cases_of(found)[0], 0).weights)


def test_another_kernel_of_a_package_finds_the_modules_where_it_arrives(tmp_path: Path) -> None:
    """As a baseline and a tournament's candidates do, which are sent by themselves."""
    target = load.load(discover.inspect(toys.write_package(tmp_path / "here")))
    other = sources.make(target.kernel.text + b"\n# other\n", target.kernel.path, target.kernel.home)
    found = sent(target, tmp_path / "there")
    settled = parcels.settled(other, found)
    assert settled.home == found.kernel.home
    assert products(replace(found, kernel=settled)) > 0


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"_kernels": toys.IN_PACKAGE + "\nfrom . import _speed\n"}, "lib._speed"),
        ({"config": "from lib._speed import fast\nREPEATS = 40\n"}, "lib._speed"),
        ({"__init__": "from ._speed import fast\n"}, "lib._speed"),
    ],
)
def test_what_is_compiled_does_not_travel(tmp_path: Path, changed: dict[str, str], name: str) -> None:
    target = load.load(discover.inspect(toys.write_package(tmp_path, **changed)))
    (tmp_path / "src" / "lib" / f"_speed{EXTENSION_SUFFIXES[0]}").touch()
    with pytest.raises(TargetError) as raised:
        Parcel.of(target)
    assert str(raised.value) == (
        f"target 'toy': its kernel runs with '{name}', which is compiled and does not travel to other hosts; "
        f"judge it on each host by itself"
    )
