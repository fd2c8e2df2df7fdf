import numpy as np

REPEATS = 40


class Kernel:
    def __init__(self, weights):
        self.weights = weights

    def product(self, x):
        for _ in range(REPEATS):
            result = np.multiply(self.weights, x)
        return result
TWO = 2
