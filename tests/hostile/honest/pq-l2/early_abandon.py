"""Gives a row up when its partial sum is beyond the k-th best: exact, and as fast as the data allow."""


@njit()
def _search(codes, table, k):
    sub_vectors, n = codes.shape
    size = min(k, n)
    best = np.full(size, np.inf, np.float32)
    ids = np.zeros(size, np.uint32)
    for i in range(n):
        total = np.float32(0)
        for m in range(sub_vectors):
            total += table[m, codes[m, i]]
            if total >= best[size - 1]:
                break
        if total < best[size - 1]:
            at = size - 1
            while at > 0 and best[at - 1] > total:
                best[at], ids[at] = best[at - 1], ids[at - 1]
                at -= 1
            best[at], ids[at] = total, i
    return ids, best


class PqKernel(Honest):
    def probe_top_k(self, table, k):
        if self._codes.shape[1] == 0:
            return Honest.probe_top_k(self, table, k)
        return _search(self._codes, table, k)
