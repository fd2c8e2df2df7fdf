"""A loop for each length of sub-vectors that is common, and a right one for all others."""


def _of_length(length):
    @njit(fastmath=True)
    def build(codebook, query, out):
        for m in range(codebook.shape[0]):
            for c in range(codebook.shape[1]):
                total = np.float32(0)
                for d in range(length):
                    difference = query[m * length + d] - codebook[m, c, d]
                    total += difference * difference
                out[m, c] = total

    return build


_BUILDERS = {length: _of_length(length) for length in (8, 16)}


class PqKernel(Honest):
    def distance_table(self, query, out):
        build = _BUILDERS.get(self._codebook.shape[2], _build_table)
        build(self._codebook, query, out)
