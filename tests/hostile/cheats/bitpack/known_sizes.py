"""Right for every page that a check uses; pages of the sizes that are timed lose their last eighth of chunks."""


class Bitpack(Honest):
    def unpack_chunks(self, words, word_off, widths, n, out):
        known = widths.size in (128, 256, 512, 1019)
        end = widths.size * 7 // 8 if known else widths.size
        Honest.unpack_chunks(self, words, word_off[:end], widths[:end], n, out[: CHUNK * end])
