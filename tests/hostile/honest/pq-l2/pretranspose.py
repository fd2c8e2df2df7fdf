"""The codebook stored by dimension, so that all centroids of a sub-space are computed side by side."""


@njit(fastmath=True)
def _table_by_dimension(by_dimension, query, out):
    sub_vectors, length, centroids = by_dimension.shape
    for m in range(sub_vectors):
        for c in range(centroids):
            out[m, c] = 0
        for d in range(length):
            q = query[m * length + d]
            row = by_dimension[m, d]
            for c in range(centroids):
                difference = q - row[c]
                out[m, c] += difference * difference


class PqKernel(Honest):
    def __init__(self, codebook, codes):
        Honest.__init__(self, codebook, codes)
        self._by_dimension = np.ascontiguousarray(codebook.transpose(0, 2, 1))

    def distance_table(self, query, out):
        _table_by_dimension(self._by_dimension, query, out)
