"""repdef-unravel by numpy: masks of the levels, `cumsum` for offsets and `packbits` for bits. Exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import repdef_layers


def unravel(*call: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See targets/repdef-unravel/kernels.py."""
    return repdef_layers.unravel(lambda mask: np.packbits(mask, bitorder="little"), *call)
