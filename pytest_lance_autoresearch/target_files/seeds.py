"""Random streams: which numbers a case sees, and who can know them beforehand.

Owns the derivation of every `numpy.random.Generator` from one seed and a path of names, so that streams with
different paths never overlap. The published seed is fixed; secret seeds come from the operating system.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

PUBLISHED_SEED = 20_251_115
"""The seed of the correctness battery: the same numbers on every machine."""


def secret_seed() -> int:
    """128 random bits that stay in this process until the trial is over."""
    return secrets.randbits(128)


def rng(seed: int, *path: str | int) -> np.random.Generator:
    """The generator of the stream `path` under `seed`, independent of every other stream."""
    import numpy as np

    digest = hashlib.sha256(repr((seed, *path)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
