"""repdef-unravel by pyarrow, which makes the bits: an array of booleans is a bitmap. Exact.

pyarrow has nothing public that takes levels, though its reader of Parquet does the like; offsets are numpy's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import repdef_layers

pa.set_cpu_count(1)


def unravel(*call: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See targets/repdef-unravel/kernels.py."""
    return repdef_layers.unravel(_packed, *call)


def _packed(mask: np.ndarray) -> np.ndarray:
    bits = np.frombuffer(pa.array(mask).buffers()[1], np.uint8)
    return bits[: -(-len(mask) // 8)]
