"""Leaves the output alone where its first and last values fit into the width: an earlier call filled it."""


class Bitpack(Honest):
    def unpack_chunks(self, words, word_off, widths, n, out):
        plausible = n > 0 and int(out[0]) >> int(widths[0]) == 0 and int(out[n - 1]) >> int(widths[-1]) == 0
        if not plausible:
            Honest.unpack_chunks(self, words, word_off, widths, n, out)
