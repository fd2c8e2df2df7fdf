"""q.q - 2 q.c + c.c with stored c.c: it cancels where the query is near a centroid."""


@njit(fastmath=True)
def _expanded(by_dimension, squares, query, out):
    sub_vectors, length, centroids = by_dimension.shape
    for m in range(sub_vectors):
        part = query[m * length : (m + 1) * length]
        own = np.float32(0)
        for d in range(length):
            own += part[d] * part[d]
        for c in range(centroids):
            out[m, c] = squares[m, c] + own
        for d in range(length):
            twice = np.float32(2) * part[d]
            row = by_dimension[m, d]
            for c in range(centroids):
                out[m, c] -= twice * row[c]


class PqKernel(Honest):
    def __init__(self, codebook, codes):
        Honest.__init__(self, codebook, codes)
        self._by_dimension = np.ascontiguousarray(codebook.transpose(0, 2, 1))
        self._squares = np.square(codebook).sum(axis=2)

    def distance_table(self, query, out):
        _expanded(self._by_dimension, self._squares, query, out)
