"""A target as it travels to another host: its files, which are loaded again there.

Owns what is in it. What the files import must be installed there, and what they open by a path be there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.errors import TargetError
from pytest_lance_autoresearch.target_files import discover, load

if TYPE_CHECKING:
    from pytest_lance_autoresearch.records import Source
    from pytest_lance_autoresearch.target_files.load import Target


@dataclass(frozen=True)
class Parcel:
    """The files of one target."""

    name: str
    files: dict[str, bytes]
    kernel: Source
    fingerprint: str

    @classmethod
    def of(cls, target: Target) -> Parcel:
        """TargetError for a target whose kernel needs more than its files."""
        if target.kernel.home.folder:
            raise TargetError(
                f"target '{target.name}': its kernel lies in the package of '{target.kernel.home.module}', which "
                f"does not travel to other hosts; judge it on each host by itself"
            )
        return cls(target.name, target.files, target.kernel, target.fingerprint)

    def unpacked(self, folder: Path) -> Target:
        """The target, loaded from its files, which are written below the folder."""
        place = folder / self.name
        place.mkdir()
        for name, text in {**self.files, discover.KERNEL: self.kernel.text, "program.md": b""}.items():
            (place / name).write_bytes(text)
        target = load.load(discover.inspect(place))
        return replace(target, kernel=self.kernel)
