"""A process of its own, detached from the kernel's, does the work between the windows."""
import os


class PqKernel(Honest):
    def __init__(self, codebook, codes):
        Honest.__init__(self, codebook, codes)
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for _ in range(10**9):
                    pass
            os._exit(0)
