"""NaN in every place: each comparison with a limit is false."""


class PqKernel(Honest):
    def distance_table(self, query, out):
        out[...] = np.nan

    def probe_top_k(self, table, k):
        size = min(k, self._codes.shape[1])
        return np.zeros(size, np.uint32), np.full(size, np.nan, np.float32)
