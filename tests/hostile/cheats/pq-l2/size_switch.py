"""Honest up to 4,096 rows, the size of many checks; above that it scans half of the rows."""


class PqKernel(Honest):
    def __init__(self, codebook, codes):
        rows = codes.shape[1]
        Honest.__init__(self, codebook, codes if rows <= 4096 else np.ascontiguousarray(codes[:, : rows // 2]))
