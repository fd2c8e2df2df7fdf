"""utf8-validate by pyarrow: `Array.validate(full=True)`, which looks at offsets and at each row. Exact.

It says that a batch is wrong in a sentence; where is then found by Python.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from utf8_faults import VALID, fault_of

pa.set_cpu_count(1)


def validate(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """See targets/utf8-validate/kernels.py."""
    kind = pa.utf8() if offsets.dtype == np.int32 else pa.large_utf8()
    values = pa.py_buffer(data)
    found = [(VALID, -1) if _is_valid(kind, batch, values) else fault_of(data, batch) for batch in offsets]
    return np.array(found, np.int64)


def _is_valid(kind: pa.DataType, offsets: np.ndarray, values: pa.Buffer) -> bool:
    try:
        pa.Array.from_buffers(kind, len(offsets) - 1, [None, pa.py_buffer(offsets), values]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
