"""The workload of fsst: shapes, distributions, and seeded generators of symbol tables and compressed strings.

Owns every number that is checked or timed. The symbol table is the state, as it is for a page; codes and offsets
of a batch of strings are the call. Timed strings are text, compressed by a trainer and an encoder of our own.

Each state also has a pool of compressed strings, for `make_call` only: a call is the strings of the pool, run by
run in random order, and one code of 32 is then drawn anew. No kernel is bound to the pool.

Of one shape a call is a page of mini-block chunks, laid out as in Lance's files, and has the symbol table with it:
another one each time, its symbols of equal length exchanged.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Ints = NDArray[np.int64]


class Shape(NamedTuple):
    """Strings of a call, the shortest and the longest of them in bytes, bits of an offset."""

    strings: int
    shortest: int
    longest: int
    offset_bits: int


class ChunkedShape(NamedTuple):
    """The same, cut into chunks of at most so many bytes: offsets and codes together."""

    strings: int
    shortest: int
    longest: int
    offset_bits: int
    chunk_bytes: int


SHAPES: Final = (
    Shape(8192, 20, 66, 32),
    Shape(16384, 8, 16, 32),
    Shape(256, 300, 2000, 32),
    ChunkedShape(16411, 12, 36, 32, 4096),
    Shape(9001, 0, 33, 64),  # empty strings, 64-bit offsets, odd
)
DISTRIBUTIONS: Final = ("urls", "english", "random")


class Codes(NamedTuple):
    """Codes drawn at random: symbols in the table, their least and largest length, shares of escapes and empties.

    No symbols: the strings are stored as they are.
    """

    symbols: int
    shortest: int = 1
    longest: int = 8
    escapes: float = 0.0
    empty: float = 0.0


EDGES: Final = {
    "all_escapes": Codes(255, escapes=1.0),
    "mixed_escapes": Codes(200, escapes=0.3),
    "longest_symbols": Codes(255, shortest=8),
    "single_bytes": Codes(255, longest=1),
    "one_symbol": Codes(1, shortest=5, longest=5, escapes=0.2),
    "mostly_empty": Codes(255, escapes=0.05, empty=0.9),
    "verbatim": Codes(0),
}
EDGE_DISTRIBUTIONS: Final = tuple(EDGES)

ESCAPE: Final = 255
TABLE_BYTES: Final = 2312
MAGIC: Final = 0x46535354
LONGEST_SYMBOL: Final = 8
SLACK: Final = 8
"""Bytes after the last code, and after the last byte of the output, that mean nothing."""

HEADER_BYTES: Final = 8
"""What a chunk begins with: numbers of levels and sizes, which mean nothing here."""

FULL_ZIP: Final = 256
"""Where a string is this long, Lance hands over a page's codes and offsets that begin in their middle."""

MOST_BEFORE: Final = 4096
SAMPLE_BYTES: Final = 16_384
ROUNDS: Final = 5
LEAST: Final = 5
RUNS: Final = 128
EDIT_EVERY: Final = 32
DRAWS: Final = 65_536

HOSTS: Final = ("www.example.org", "shop.example.com", "cdn.static-assets.net", "api.weather.example")
SECTIONS: Final = ("products", "articles", "images", "users", "search", "v2/forecast", "downloads", "reviews")
LANGUAGES: Final = ("de", "en", "en-GB", "es", "fr", "pt-BR")
ENGLISH: Final = (
    "the of and to in a is that it was for on with as be by at from are this which or had not but have his they "
    "one all their there been more when no her would about so other into has could time them than only these two "
    "may then first any my now such like our over me even most made after also did many before must through years "
    "where much your way well down should because each people little whether evening mountain government yesterday"
)
WORDS: Final = tuple(ENGLISH.split())
STOPS: Final = (" ", " ", " ", " ", " ", " ", " ", " ", ", ", ", ", "; ", ". ", ". ", "? ", "\n", ' "')
FOREIGN_SHARE: Final = 0.01
BASE64: Final = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"


class State(NamedTuple):
    """The symbol table of a page, uint8 (2312,), and the pool of compressed strings that calls are made of.

    String i of the pool is `codes[offsets[i] : offsets[i + 1]]`, int64 offsets; `sizes`, int64 (n,), are the bytes
    it decodes to, and `lengths`, int64 (256,), those of each code. `plain`, uint8 (65,536,), are the pool's codes
    that are no escapes, as often as they occur. `offset_bits` and the greatest number of bytes `before` the first
    string are those of a call. `chunk_bytes` is what a chunk of a page holds at most; 0, and a call is one batch.
    """

    table: Bytes
    codes: Bytes
    offsets: Ints
    sizes: Ints
    lengths: Ints
    plain: Bytes
    offset_bits: int
    before: int
    chunk_bytes: int = 0


def make_state(shape: Shape | ChunkedShape, distribution: str, rng: np.random.Generator) -> State:
    """Make a symbol table and a pool with as many strings as a call has; what is never timed has a quarter."""
    if isinstance(shape, ChunkedShape):
        return make_state(Shape(*shape[:4]), distribution, rng)._replace(chunk_bytes=shape.chunk_bytes)
    if distribution in EDGES:
        quarter = Shape(*(size // 4 for size in shape[:3]), shape.offset_bits)
        return drawn_state(quarter, EDGES[distribution], rng, before=MOST_BEFORE)
    sizes = rng.integers(shape.shortest, shape.longest + 1, shape.strings)
    text = _text(distribution, int(sizes.sum()), rng)
    offsets = _offsets(sizes)
    symbols = _train(text, offsets[offsets <= SAMPLE_BYTES])
    values, escaped, places = _encode(text, offsets, symbols)
    item_offsets = np.searchsorted(places, offsets)
    before = MOST_BEFORE if shape.longest >= FULL_ZIP else 0
    return _state(symbols, (values, escaped, item_offsets), shape.offset_bits, before, rng)


def make_hidden_state(shape: Shape | ChunkedShape, distribution: str, rng: np.random.Generator) -> State:
    """Make a state whose number of strings is drawn, within 10 % of the published one."""
    strings = int(rng.integers(shape.strings * 9 // 10, shape.strings * 11 // 10 + 1))
    return make_state(shape._replace(strings=strings), distribution, rng)


def make_call(
    _shape: Shape | ChunkedShape, _distribution: str, state: State, rng: np.random.Generator
) -> tuple[NDArray[Any], ...]:
    """Put the strings of the pool together, run by run in random order, and draw one code of 32 anew."""
    strings = len(state.sizes)
    run = max(1, strings // RUNS)
    starts = run * rng.permutation(-(-strings // run))
    ends = np.minimum(starts + run, strings)
    places = zip(state.offsets[starts].tolist(), state.offsets[ends].tolist(), strict=True)
    codes = np.concatenate([state.codes[start:end] for start, end in places])
    chosen = (starts[:, None] + np.arange(run)).ravel()
    chosen = chosen[chosen < strings]
    total = int(state.sizes.sum()) + _edit(codes, state, rng)
    return arguments(codes, _offsets(np.diff(state.offsets)[chosen]), total, state, rng)


def arguments(
    codes: Bytes, offsets: Ints, total: int, state: State, rng: np.random.Generator
) -> tuple[NDArray[Any], ...]:
    """Return the arguments of a call: codes and offsets as a page has them, and outputs full of noise.

    In chunks these are a symbol table, a page, where its chunks begin and how many strings they have, and outputs.
    """
    if state.chunk_bytes:
        return (
            exchanged(state.table, rng),
            *pages(codes, offsets, state, rng),
            *_outputs(offsets, total, state, rng),
        )
    before = int(rng.integers(state.before)) + 1 if state.before else 0
    around = rng.integers(0, 256, before + SLACK, dtype=np.uint8)
    all_codes = np.concatenate((around[:before], codes, around[before:]))
    return all_codes, (offsets + before).astype(_offset(state)), *_outputs(offsets, total, state, rng)


def exchanged(table: Bytes, rng: np.random.Generator) -> Bytes:
    """Return a copy of the table in which symbols of equal length have changed places."""
    table, count = table.copy(), int(table[0])
    symbols, lengths = table[8 : 8 + 8 * count].view(np.uint64), table[8 + 8 * count : 8 + 9 * count]
    symbols[np.argsort(lengths, kind="stable")] = symbols[np.lexsort((rng.random(count), lengths))]
    return table


def pages(codes: Bytes, offsets: Ints, state: State, rng: np.random.Generator) -> tuple[Bytes, Ints, Ints]:
    """Lay a page out as Lance does, and return it with the places of its chunks' values and their strings.

    A chunk is a header, offsets that count from their own beginning, and the codes; the next one begins at a
    multiple of 8 bytes. What is between is noise.
    """
    word = state.offset_bits // 8
    counts = chunk_counts(offsets, word, state.chunk_bytes)
    firsts = _offsets(counts)
    heads = (counts + 1) * word
    sizes = HEADER_BYTES + -(-(heads + np.diff(offsets[firsts])) // 8) * 8
    starts = _offsets(sizes)[:-1] + HEADER_BYTES
    page = rng.integers(0, 256, int(sizes.sum()) + SLACK, dtype=np.uint8)
    for start, head, first, last in zip(
        starts.tolist(), heads.tolist(), firsts[:-1].tolist(), firsts[1:].tolist(), strict=True
    ):
        own = codes[offsets[first] : offsets[last]]
        page[start + head : start + head + len(own)] = own
        page[start : start + head].view(_offset(state))[:] = offsets[first : last + 1] - (offsets[first] - head)
    return page, starts, counts


def chunk_counts(offsets: Ints, word: int, chunk_bytes: int) -> Ints:
    """Return how many strings each chunk has: Lance doubles from two on while they fit; the last has the rest."""
    ends, last = offsets.tolist(), len(offsets) - 1
    counts: list[int] = []
    start = 0

    def fit(end: int) -> bool:
        return bool(ends[end] - ends[start] + (end - start + 1) * word <= chunk_bytes)

    while start < last:
        count = 2
        while start + 2 * count <= last and fit(start + 2 * count):
            count *= 2
        if start + 2 * count > last and fit(last):
            count = last
        counts.append(min(count, last - start))
        start += counts[-1]
    return np.array(counts, np.int64)


def drawn_state(shape: Shape, codes: Codes, rng: np.random.Generator, before: int) -> State:
    """Make a state of codes that were drawn at random; `shape` says how many, least and most, a string has."""
    symbols = [rng.bytes(rng.integers(codes.shortest, codes.longest + 1)) for _ in range(codes.symbols)]
    counts = rng.integers(shape.shortest, shape.longest + 1, shape.strings)
    counts[rng.permutation(shape.strings)[: int(codes.empty * shape.strings)]] = 0
    size = int(counts.sum())
    escaped = rng.random(size) < codes.escapes
    literals = np.where(rng.random(size) < 0.25, ESCAPE, rng.integers(0, 256, size))
    values = np.where(escaped, literals, rng.integers(0, codes.symbols or 256, size)).astype(np.uint8)
    return _state(symbols, (values, escaped, _offsets(counts)), shape.offset_bits, before, rng)


def symbol_table(symbols: list[bytes], rng: np.random.Generator) -> Bytes:
    """Return a table of at most 255 symbols as Lance stores it, uint8 (2312,); what means nothing is noise.

    Without symbols the switch is off: strings are stored as they are.
    """
    table = rng.integers(0, 256, TABLE_BYTES, dtype=np.uint8)
    count = len(symbols)
    header = MAGIC << 32 | bool(symbols) << 24 | int(rng.integers(1 << 16)) << 8 | count
    table[:8] = np.frombuffer(header.to_bytes(8, "little"), np.uint8)
    for code, symbol in enumerate(symbols):
        table[8 + 8 * code : 8 + 8 * code + len(symbol)] = np.frombuffer(symbol, np.uint8)
        table[8 + 8 * count + code] = len(symbol)
    return table


def _state(
    symbols: list[bytes],
    items: tuple[Bytes, NDArray[np.bool_], Ints],
    bits: int,
    before: int,
    rng: np.random.Generator,
) -> State:
    """Write the items of each string, symbols' codes and escaped bytes, as codes."""
    values, escaped, item_offsets = items
    lengths = np.ones(256, np.int64)
    lengths[: len(symbols)] = [len(symbol) for symbol in symbols]
    ends = np.cumsum(1 + escaped)
    codes = np.full(int(ends[-1]) if len(ends) else 0, ESCAPE, np.uint8)
    codes[ends - 1] = values
    sizes = np.diff(_offsets(np.where(escaped, 1, lengths[values]))[item_offsets])
    plain = np.resize(values[~escaped], DRAWS)
    offsets = np.append(0, ends)[item_offsets]
    return State(symbol_table(symbols, rng), codes, offsets, sizes, lengths, plain, bits, before)


def _edit(codes: Bytes, state: State, rng: np.random.Generator) -> int:
    """Draw a code in each block of 32 anew, unless it is part of an escape; return what that adds to the total."""
    blocks = len(codes) // EDIT_EVERY
    places = EDIT_EVERY * np.arange(blocks) + rng.integers(0, EDIT_EVERY, blocks, dtype=np.uint8)
    places = places[(codes[places] != ESCAPE) & (codes[places - 1] != ESCAPE)]
    new = state.plain[rng.integers(0, DRAWS, len(places), dtype=np.uint16)]
    added = int(state.lengths[new].sum() - state.lengths[codes[places]].sum())
    codes[places] = new
    return added


def _outputs(offsets: Ints, total: int, state: State, rng: np.random.Generator) -> tuple[Bytes, NDArray[Any]]:
    noise = rng.integers(1, 256)
    return np.full(total + SLACK, noise, np.uint8), np.full(len(offsets), -noise, _offset(state))


def _offset(state: State) -> str:
    """Return the type of an offset."""
    return f"i{state.offset_bits // 8}"


def _offsets(sizes: Ints) -> Ints:
    return np.append(0, np.cumsum(sizes))


def _text(distribution: str, size: int, rng: np.random.Generator) -> Bytes:
    """Return `size` bytes of text; strings are consecutive pieces of it."""
    if distribution == "random":  # half of it hexadecimal, half base64, in blocks of 32
        base64 = rng.integers(0, 2, size // 32 + 1, dtype=np.uint8) * np.uint8(48) + np.uint8(15)
        digits = rng.integers(0, 64, size, dtype=np.uint8) & np.repeat(base64, 32)[:size]
        return np.frombuffer(BASE64, np.uint8)[digits]
    pieces = _urls(size // 40 + 1, rng) if distribution == "urls" else _english(size // 4 + 1, rng)
    return np.frombuffer("".join(pieces).encode()[:size], np.uint8)


def _urls(count: int, rng: np.random.Generator) -> list[str]:
    """Return URLs, made of a host, a section, a word, a number and a language."""
    return [
        f"https://{HOSTS[a % len(HOSTS)]}/{SECTIONS[b % len(SECTIONS)]}/{WORDS[c % len(WORDS)]}-{d % 10_000}"
        f"?lang={LANGUAGES[e % len(LANGUAGES)]}"
        for a, b, c, d, e in rng.integers(0, 2**31, (count, 5)).tolist()
    ]


def _english(count: int, rng: np.random.Generator) -> list[str]:
    """Return words, the first of the list most often, a foreign name in a hundred, and what stands between."""
    ranks = (len(WORDS) ** rng.random(count)).astype(np.int64) - 1
    words = [WORDS[rank] for rank in ranks.tolist()]
    foreign = np.flatnonzero(rng.random(count) < FOREIGN_SHARE).tolist()
    for place, letters in zip(foreign, rng.integers(0xC0, 0x250, (len(foreign), 6)).tolist(), strict=True):
        words[place] = "".join(map(chr, letters))
    stops = [STOPS[stop] for stop in rng.integers(0, len(STOPS), count).tolist()]
    return [piece for pair in zip(words, stops, strict=True) for piece in pair]


def _train(text: Bytes, offsets: Ints) -> list[bytes]:
    """Return at most 255 symbols that shorten these strings of `text`, in the order in which Lance numbers them.

    After Boncz, Neumann, Leis, "FSST: Fast Random Access String Compression" (VLDB 2020), algorithm 3: encode
    with the symbols found so far, and take those that save most, among them the joins of neighbours.
    """
    symbols: list[bytes] = []
    sample = text[: offsets[-1]]
    data, ends = sample.tobytes(), set(offsets.tolist())
    for _ in range(ROUNDS):
        _, _, places = _encode(sample, offsets, symbols)
        spans = list(pairwise([*places.tolist(), len(data)]))
        counts = Counter(data[start:end] for start, end in spans)
        for (start, middle), (_, end) in pairwise(spans):
            if middle not in ends:
                counts[data[start : min(end, start + LONGEST_SYMBOL)]] += 1
        gains = {
            token: n * len(token) * (8 if len(token) == 1 else 1) for token, n in counts.items() if n >= LEAST
        }
        symbols = sorted(gains, key=lambda token: (-gains[token], token))[:ESCAPE]
    return sorted(symbols, key=lambda symbol: (len(symbol) == 1, len(symbol), symbol))


def _encode(text: Bytes, offsets: Ints, symbols: list[bytes]) -> tuple[Bytes, NDArray[np.bool_], Ints]:
    """Cover every string with the longest symbols that match, or escaped bytes where none does.

    Returns the code or the byte of each item, whether it is escaped, and where in `text` it starts.
    """
    size = len(text)
    padded = np.append(text, np.zeros(LONGEST_SYMBOL, np.uint8)).astype(np.uint64)
    left = np.repeat(offsets[1:], np.diff(offsets)) - np.arange(size)
    ahead = np.zeros(size, np.uint64)
    codes, steps = np.full(size, -1), np.ones(size, np.int64)
    for length in range(1, LONGEST_SYMBOL + 1):
        ahead |= padded[length - 1 : length - 1 + size] << np.uint64(8 * (length - 1))
        pairs = sorted((int.from_bytes(s, "little"), c) for c, s in enumerate(symbols) if len(s) == length)
        if not pairs:
            continue
        known = np.array([value for value, _ in pairs], np.uint64)
        nearest = np.searchsorted(known, ahead).clip(max=len(known) - 1)
        match = (known[nearest] == ahead) & (left >= length)
        codes[match] = np.array([code for _, code in pairs])[nearest[match]]
        steps[match] = length
    places = _walk(steps.tolist())
    escaped = codes[places] < 0
    return np.where(escaped, text[places], codes[places]).astype(np.uint8), escaped, places


def _walk(steps: list[int]) -> Ints:
    """Return the places that are visited from the first, going on by the step of each."""
    places = []
    at = 0
    while at < len(steps):
        places.append(at)
        at += steps[at]
    return np.array(places, np.int64)
