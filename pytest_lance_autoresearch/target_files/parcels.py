"""A target as it travels to another host: its files, which are loaded again there.

Owns what is in it, and where it lies there. What target.py, inputs.py and reference.py import must be installed
there, and what they open by a path be there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.errors import TargetError
from pytest_lance_autoresearch.records import Source
from pytest_lance_autoresearch.target_files import discover, load, packages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_lance_autoresearch.target_files.load import Target


@dataclass(frozen=True)
class Parcel:
    """The files of one target, and of a kernel in a package the modules that it runs with."""

    place: str
    """The target's folder, below the folder that all is laid out in."""
    files: dict[str, bytes]
    kernel: Source
    package_place: str = ""
    """Of a kernel in a package, the folder that its outermost package is imported from, ..."""
    modules: dict[str, bytes] = field(default_factory=dict)
    """... and the modules in it, by their places below that."""

    @classmethod
    def of(cls, target: Target) -> Parcel:
        """TargetError for a target whose kernel runs with what cannot travel."""
        if not target.kernel.home.folder:
            return cls(target.name, target.files, target.kernel)
        folder, directory = Path(target.kernel.home.folder), target.layout.directory.resolve()
        common = os.path.commonpath([folder, directory])
        place, package_place = (os.path.relpath(path, common) for path in (directory, folder))
        return cls(place, target.files, target.kernel, package_place, dict(_modules(target)))

    def unpacked(self, folder: Path) -> Target:
        """The target, loaded from its files, which are written below the folder."""
        place, package = folder / self.place, folder / self.package_place
        if self.kernel.home.folder:
            in_package = {**self.modules, packages.places_of(self.kernel.home.module)[1]: self.kernel.text}
            own = self.files
        else:
            in_package, own = {}, {**self.files, discover.KERNEL: self.kernel.text}
        _write(package, in_package)
        _write(place, {**own, "program.md": b""})
        target = load.load(discover.inspect(place))
        return replace(target, kernel=settled(self.kernel, target))


def settled(source: Source, target: Target) -> Source:
    """A kernel from another host, as one of that target as it lies here."""
    home = source.home._replace(folder=target.kernel.home.folder)
    return replace(source, path=target.layout.kernel_path, home=home)


def _modules(target: Target) -> Iterator[tuple[str, bytes]]:
    """What the kernel runs with, by place; TargetError where some of it is compiled."""
    kernel = target.kernel
    files = packages.OnDisk(Path(kernel.home.folder))
    compiled = packages.compiled(Path(kernel.home.folder), kernel.home.module, kernel.text, target.beside)
    if compiled:
        raise TargetError(
            f"target '{target.name}': its kernel runs with '{compiled}', which is compiled and does not travel to "
            f"other hosts; judge it on each host by itself"
        )
    for name, text in target.beside.items():
        yield next(place for place in packages.places_of(name) if files.has(place)), text


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
