"""Compiled code kept on disk by numba, and fastmath."""


@njit(cache=True, fastmath=True)
def _scan_pairs(codes, table):
    sub_vectors, n = codes.shape
    distances = np.zeros(n, np.float32)
    for m in range(0, sub_vectors - 1, 2):
        one, other = codes[m], codes[m + 1]
        of_one, of_other = table[m], table[m + 1]
        for i in range(n):
            distances[i] += of_one[one[i]] + of_other[other[i]]
    if sub_vectors % 2:
        last, of_last = codes[sub_vectors - 1], table[sub_vectors - 1]
        for i in range(n):
            distances[i] += of_last[last[i]]
    return distances


class PqKernel(Honest):
    def probe_top_k(self, table, k):
        return _nearest(_scan_pairs(self._codes, table), k)
