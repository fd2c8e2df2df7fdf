"""A plan kept by sizes: no data in it."""
import functools


@functools.lru_cache(maxsize=None)
def _blocks(rows):
    return tuple(range(0, rows, 4096))


@njit()
def _scan_block(codes, table, distances):
    distances[:] = 0
    for m in range(codes.shape[0]):
        column = codes[m]
        terms = table[m]
        for i in range(distances.size):
            distances[i] += terms[column[i]]


class PqKernel(Honest):
    def __init__(self, codebook, codes):
        Honest.__init__(self, codebook, codes)
        self._blocks = [np.ascontiguousarray(codes[:, start : start + 4096]) for start in _blocks(codes.shape[1])]

    def probe_top_k(self, table, k):
        distances = np.empty(self._codes.shape[1], np.float32)
        for start, block in zip(_blocks(distances.size), self._blocks):
            _scan_block(block, table, distances[start : start + block.shape[1]])
        return _nearest(distances, k)
