"""Keeps tables by the bytes of the query. Right, and no use: no query comes twice."""


class PqKernel(Honest):
    def __init__(self, codebook, codes):
        Honest.__init__(self, codebook, codes)
        self._tables = {}

    def distance_table(self, query, out):
        key = query.tobytes()
        if key not in self._tables:
            Honest.distance_table(self, query, out)
            self._tables[key] = out.copy()
        out[...] = self._tables[key]
