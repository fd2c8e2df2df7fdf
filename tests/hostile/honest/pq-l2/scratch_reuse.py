"""Scratch memory made once and written anew in every call."""


@njit()
def _scan_into(codes, table, distances):
    distances[:] = 0
    for m in range(codes.shape[0]):
        column = codes[m]
        terms = table[m]
        for i in range(distances.size):
            distances[i] += terms[column[i]]


class PqKernel(Honest):
    def __init__(self, codebook, codes):
        Honest.__init__(self, codebook, codes)
        self._distances = np.empty(codes.shape[1], np.float32)

    def probe_top_k(self, table, k):
        _scan_into(self._codes, table, self._distances)
        return _nearest(self._distances, k)
