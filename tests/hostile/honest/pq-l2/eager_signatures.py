"""Compiled for stated types before the first call; arrays that may not be written to would be refused."""


@njit("void(f4[::1], f4[:, :, ::1], f4[:, ::1])", fastmath=True)
def _table_eagerly(query, codebook, out):
    sub_vectors, centroids, length = codebook.shape
    for m in range(sub_vectors):
        for c in range(centroids):
            total = np.float32(0)
            for d in range(length):
                difference = query[m * length + d] - codebook[m, c, d]
                total += difference * difference
            out[m, c] = total


class PqKernel(Honest):
    def distance_table(self, query, out):
        _table_eagerly(query, self._codebook, out)
