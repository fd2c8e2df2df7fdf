"""Accumulates in `out` itself and returns views of buffers that the next call writes again."""


@njit()
def _accumulate(by_dimension, query, out):
    sub_vectors, length, centroids = by_dimension.shape
    out[:] = 0
    for d in range(length):
        for m in range(sub_vectors):
            q = query[m * length + d]
            row = by_dimension[m, d]
            for c in range(centroids):
                out[m, c] += (q - row[c]) * (q - row[c])


class PqKernel(Honest):
    def __init__(self, codebook, codes):
        Honest.__init__(self, codebook, codes)
        self._by_dimension = np.ascontiguousarray(codebook.transpose(0, 2, 1))
        self._ids = np.zeros(codes.shape[1], np.uint32)
        self._distances = np.zeros(codes.shape[1], np.float32)

    def distance_table(self, query, out):
        _accumulate(self._by_dimension, query, out)

    def probe_top_k(self, table, k):
        ids, distances = Honest.probe_top_k(self, table, k)
        self._ids[: ids.size] = ids
        self._distances[: ids.size] = distances
        return self._ids[: ids.size], self._distances[: ids.size]
