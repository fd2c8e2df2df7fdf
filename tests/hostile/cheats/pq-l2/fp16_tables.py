"""Half precision: a codebook and a query of float16, results of float32."""


class PqKernel(Honest):
    def __init__(self, codebook, codes):
        Honest.__init__(self, codebook.astype(np.float16).astype(np.float32), codes)

    def distance_table(self, query, out):
        Honest.distance_table(self, query.astype(np.float16).astype(np.float32), out)
