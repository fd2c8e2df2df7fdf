"""The workload of fts-maxscore: shapes, distributions, and seeded generators of inverted indexes and queries.

Owns every number that is checked or timed, and the writer of Lance's blocks. Timed indexes are made as real ones
are: documents are drawn token by token, and the posting lists follow. Most edge cases are drawn as a matrix that
says which term is in which document.

The same seed gives the same bits on every machine: nothing is drawn through a logarithm or a power. The weights
of terms are logarithms in float64 rounded to float32, which leaves nothing to see of how a machine computes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]
    Integers = NDArray[np.int64]
    Part = tuple[Bytes, Integers]
    """The bytes of a part of each row, one row after the other, and how many each row has."""


class Shape(NamedTuple):
    """Documents, terms of the vocabulary, terms of a query, results asked for, postings of a block."""

    documents: int
    vocabulary: int
    terms: int
    k: int
    block: int


QUERIES: Final = {
    Shape(100_000, 30_000, 3, 10, 128): 4,
    Shape(200_000, 50_000, 5, 10, 256): 2,
    Shape(200_000, 50_000, 1, 100, 128): 8,
    Shape(200_000, 50_000, 10, 100, 128): 1,
    Shape(5_003, 3_001, 50, 10, 256): 1,  # a long query, as from a paragraph
}
"""Queries of one call, per shape: enough for 50 us and more, and for the rare and the frequent terms."""

SHAPES: Final = tuple(QUERIES)
DISTRIBUTIONS: Final = ("text", "topics", "titles")
EDGE_DISTRIBUTIONS: Final = (
    "identical_lists",
    "disjoint_lists",
    "everywhere",
    "block_lengths",
    "block_edges",
    "huge_counts",
    "few_matches",
    "repeated_words",
    "one_ulp",
)

STOP_WORDS: Final = 8
"""The most frequent terms, which no query has."""

K1: Final = np.float32(1.2)
B: Final = np.float32(0.75)
ONE: Final = np.float32(1)
HALF: Final = np.float32(0.5)
QUANTISED: Final = 256
"""Blocks of so many postings are of the format in which lengths of documents are quantised."""

MOST_PATCHES: Final = 31
"""A block of counts with more patches is never written."""
TOPICS: Final = 64
GRAIN: Final = 2**20
EDGE_DOCUMENTS: Final = 9_001
"""More than two windows of 4,096."""


class Postings(NamedTuple):
    """What an index holds: int64 (V + 1,), uint32 (nnz,) twice, and uint32 (N,).

    Term v is in the documents `doc_ids[indptr[v]:indptr[v + 1]]`, which ascend, `freqs` times each.
    """

    indptr: Integers
    doc_ids: Ids
    freqs: Ids
    doc_lengths: Ids


class Lists(NamedTuple):
    """The posting lists of all terms as Lance has them in memory; see `kernels.InvertedIndex`."""

    blocks: Bytes
    offsets: Integers
    first_blocks: Integers
    lengths: Integers
    weights: Floats
    first_docs: Ids
    last_docs: Ids
    bounds: Floats
    list_bounds: Floats


class State(NamedTuple):
    """An inverted index as it is before the first query, and what its queries are drawn from.

    `doc_lengths` is uint32 (N,), `block` the postings of a block, `k` the results asked for, `queries` the queries
    of a call. `frequent_first`, int32 (m,), are the terms that queries have, by their number of documents, and
    `cumulative`, int64 (m,), how often the first of them occur by Zipf's law; `planted`, int32 each, are terms of
    some documents, the first of them a term that must not be left out, or a whole query.
    """

    lists: Lists
    doc_lengths: Ids
    block: int
    k: int
    queries: int
    frequent_first: NDArray[np.int32]
    cumulative: Integers
    planted: tuple[NDArray[np.int32], ...]


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make an index with the published number of documents."""
    return _make_state(shape, distribution, _documents(shape, distribution), rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make an index whose number of documents is drawn, within 10 % of the published one."""
    documents = _documents(shape, distribution)
    return _make_state(shape, distribution, int(rng.integers(documents * 9 // 10, documents * 11 // 10 + 1)), rng)


def make_call(shape: Shape, distribution: str, state: State, rng: np.random.Generator) -> tuple[NDArray[np.int32]]:
    """Make the queries of a call, int32 (queries, terms).

    A query's terms are drawn from all ranges of frequency, as Zipf's law has them, one from each; they are
    different but in repeated_words. The first query has the terms of a planted document, as far as they go: that
    one is likely among the best, so that a kernel which forgets the last postings of a list, or those at the edges
    of blocks, is found out.
    """
    if distribution == "one_ulp":
        return (np.tile(state.planted[0], (state.queries, 1)),)
    ranges = state.queries * shape.terms
    depths = (np.arange(ranges) + rng.random(ranges)) / ranges
    queries = _terms_at(depths.reshape(shape.terms, state.queries).T, state)
    first, *others = state.planted[rng.integers(len(state.planted))].tolist()
    queries[0] = list(dict.fromkeys([first, *rng.permutation(others).tolist(), *queries[0].tolist()]))[
        : shape.terms
    ]
    if distribution == "repeated_words":
        queries = np.hstack((queries, queries[:, : 1 + shape.terms // 4]))
    return (rng.permuted(queries, axis=1),)


def bare_state(postings: Postings, k: int, block: int) -> State:
    """Return an index that holds these postings; queries for it come from elsewhere."""
    lists = lists_of(postings, weights_of(postings), block)
    return State(lists, postings.doc_lengths, block, k, 0, np.zeros(0, np.int32), np.zeros(0, np.int64), ())


def from_pairs(
    terms: NDArray[np.integer], documents: NDArray[np.integer], vocabulary: int, size: int
) -> tuple[Integers, Ids, Ids]:
    """Return indptr, doc_ids and freqs of the index with these (term, document) pairs, `size` documents in all."""
    pairs = terms.astype(np.int64)
    pairs *= size
    pairs += documents
    pairs.sort()
    is_first = np.ones(pairs.size, np.bool_)
    is_first[1:] = pairs[1:] != pairs[:-1]
    starts = np.flatnonzero(is_first)
    freqs = np.diff(starts, append=pairs.size).astype(np.uint32)
    different = pairs[starts]
    indptr = np.searchsorted(different, np.arange(vocabulary + 1) * size)
    different %= size
    return indptr, different.astype(np.uint32), freqs


def weights_of(postings: Postings) -> Floats:
    """Return each term's idf, float32 (V,), in Lance's float32 steps."""
    n, documents = np.diff(postings.indptr).astype(np.float32), np.float32(postings.doc_lengths.size)
    return np.log(((documents - n + HALF) / (n + HALF) + ONE).astype(np.float64)).astype(np.float32)


def lists_of(postings: Postings, weights: Floats, block: int) -> Lists:
    """Encode the lists, and bound what each block and each list adds to a score.

    The bounds are of quantised lengths in both formats. A block of 128 also begins with a maximum of exact ones.
    """
    indptr, doc_ids, freqs, doc_lengths = postings
    lengths = np.diff(indptr)
    first_blocks = _starts(-(-lengths // block))
    per_list = np.diff(first_blocks)
    starts = np.repeat(indptr[:-1] - block * first_blocks[:-1], per_list) + block * np.arange(first_blocks[-1])
    counted = freqs.astype(np.float32)
    norms = norms_of(quantised(doc_lengths), doc_lengths)[doc_ids]
    bounds = np.maximum.reduceat((K1 + ONE) * counted / (counted + norms), starts)
    list_bounds = np.zeros(lengths.size, np.float32)
    list_bounds[lengths > 0] = np.maximum.reduceat(bounds, first_blocks[:-1][lengths > 0])
    heads = np.empty((starts.size, 0), np.uint8)
    if block != QUANTISED:
        maxima = np.maximum.reduceat(counted / (counted + norms_of(doc_lengths, doc_lengths)[doc_ids]), starts)
        heads = _as_bytes(maxima * np.repeat(weights * (K1 + ONE), per_list))
    blocks, offsets = encode(indptr, doc_ids, freqs, heads, block)
    last_docs = doc_ids[np.append(starts[1:], doc_ids.size)[: starts.size] - 1]
    return Lists(blocks, offsets, first_blocks, lengths, weights, doc_ids[starts], last_docs, bounds, list_bounds)


def norms_of(lengths: Ids, doc_lengths: Ids) -> Floats:
    """Return what a score adds to a count in its denominator, by lengths; the mean is that of `doc_lengths`."""
    mean = np.float32(doc_lengths.sum(dtype=np.int64)) / np.float32(max(doc_lengths.size, 1))
    return K1 * (ONE - B + B * lengths.astype(np.float32) / mean)


def quantised(lengths: Ids) -> Ids:
    """Return the lengths with their four highest bits kept and the others 0."""
    dropped = np.maximum(_widths(lengths) - 4, 0).astype(np.uint32)
    return lengths >> dropped << dropped


def encode(indptr: Integers, doc_ids: Ids, freqs: Ids, heads: Bytes, block: int) -> tuple[Bytes, Integers]:
    """Write lists as Lance 14 does; return the blocks and where each begins.

    `heads`, (B, 4) or (B, 0), have the first bytes of each block. Whole blocks are packed, remainders are varints.
    """
    counts = np.diff(indptr)
    whole, left = np.divmod(counts, block)
    is_whole = np.arange(doc_ids.size) - np.repeat(indptr[:-1], counts) < np.repeat(whole * block, counts)
    is_rest = np.zeros(len(heads), np.bool_)
    is_rest[_starts(whole + (left > 0))[1:][left > 0] - 1] = True
    rows = (numbers[is_whole].reshape(-1, block) for numbers in (doc_ids, freqs))
    packed, packed_sizes = _whole_blocks(heads[~is_rest], *rows)
    rest, rest_sizes = _remainders(heads[is_rest], doc_ids[~is_whole], freqs[~is_whole], left[left > 0])
    sizes = np.empty(len(heads), np.int64)
    sizes[is_rest], sizes[~is_rest] = rest_sizes, packed_sizes
    is_rest_byte = np.repeat(is_rest, sizes)
    blocks = np.empty(is_rest_byte.size, np.uint8)
    blocks[is_rest_byte], blocks[~is_rest_byte] = rest, packed
    return blocks, _starts(sizes)


def _whole_blocks(heads: Bytes, ids: Ids, freqs: Ids) -> Part:
    """Write blocks of which each has a row: the first id, the width of the differences and they, then the counts.

    In blocks of 256 the width of the counts is the one that takes the fewest bytes; what is wider gives its higher
    bits as a patch behind them: a place, and a varint.
    """
    differences = np.diff(ids, axis=1, prepend=ids[:, :1])
    widths = _widths(differences.max(axis=1, initial=0))
    parts = [_fixed(heads), _fixed(_as_bytes(ids[:, 0])), _fixed(widths), _packed(differences, widths)]
    if ids.shape[1] != QUANTISED:
        widths = _widths(freqs.max(axis=1, initial=0))
        return _joined(*parts, _fixed(widths), _packed(freqs, widths))
    widths = _patched_widths(freqs)
    rows, places = np.nonzero(freqs >> widths[:, None])
    highs = freqs[rows, places] >> widths[rows]
    patches, sizes = _joined(_fixed(places), _varints(highs, np.ones_like(rows)))
    per_row = np.bincount(rows, minlength=len(ids))
    of_rows = np.bincount(rows, weights=sizes, minlength=len(ids)).astype(np.int64)
    return _joined(*parts, _fixed(widths), _fixed(per_row), _packed(freqs, widths), (patches, of_rows))


def _remainders(heads: Bytes, ids: Ids, freqs: Ids, counts: Integers) -> Part:
    """Write the last `counts` postings of lists as varints: an id, differences, and then counts."""
    begins = _starts(counts)[:-1]
    differences = np.diff(ids, prepend=ids[:1])
    differences[begins] = ids[begins]
    return _joined(_fixed(heads), _varints(differences, counts), _varints(freqs, counts))


def _fixed(values: NDArray[Any]) -> Part:
    """Return rows of bytes, or numbers below 256 of which each row has one, as a part."""
    rows = (
        values.astype(np.uint8).reshape(len(values), -1) if values.size else np.empty((len(values), 0), np.uint8)
    )
    return rows.ravel(), np.full(len(rows), rows.shape[1])


def _packed(rows: Ids, widths: Integers) -> Part:
    """Pack the lowest bits of each row's numbers.

    Numbers i, i + L, i + 2 L ... of a row of 32 L fill a lane of 32-bit words from the lowest bit; the words of
    the L lanes alternate.
    """
    sizes = widths * (rows.shape[1] // 8)
    begins = _starts(sizes)
    packed = np.empty(begins[-1], np.uint8)
    for width in np.unique(widths[widths > 0]).tolist():
        chosen = np.flatnonzero(widths == width)
        lanes = (rows[chosen] & np.uint32(2**width - 1)).reshape(len(chosen), 32, -1)
        words = np.zeros((len(chosen), width, lanes.shape[2]), "<u4")
        for number in range(32):
            word, shift = divmod(number * width, 32)
            words[:, word] |= lanes[:, number] << np.uint32(shift)
            if shift + width > 32:
                words[:, word + 1] |= lanes[:, number] >> np.uint32(32 - shift)
        of_rows = words.reshape(len(chosen), -1).view(np.uint8)
        packed[begins[chosen, None] + np.arange(of_rows.shape[1])] = of_rows
    return packed, sizes


def _patched_widths(rows: Ids) -> Integers:
    """Return the width of each row that takes the fewest bytes with its patches; of two the larger."""
    bits = _widths(rows)
    having = np.bincount((33 * np.arange(len(rows))[:, None] + bits).ravel(), minlength=33 * len(rows))
    having = having.reshape(-1, 33)  # how many numbers of each row have how many bits
    widths = bits.max(axis=1, initial=0)
    least = 32 * widths
    for width in range(31, -1, -1):
        too_wide = having[:, width + 1 :]
        sizes = 32 * width + too_wide @ (1 + -(-np.arange(1, 33 - width) // 7))
        better = (sizes < least) & (too_wide.sum(axis=1) <= MOST_PATCHES)
        widths[better], least[better] = width, sizes[better]
    return widths


def _varints(numbers: Ids, counts: Integers) -> Part:
    """Write numbers seven bits a byte, lowest first; each row has as many of them as `counts` says."""
    sizes = _varint_sizes(numbers)
    begins = _starts(sizes)
    written = np.empty(begins[-1], np.uint8)
    at = begins[:-1]
    while numbers.size:
        goes_on = numbers > 127
        written[at] = numbers & 127 | goes_on * np.uint32(128)
        at, numbers = at[goes_on] + 1, numbers[goes_on] >> np.uint32(7)
    return written, np.diff(begins[_starts(counts)])


def _varint_sizes(numbers: Ids) -> Integers:
    return sum((numbers >= 2**bits for bits in (7, 14, 21, 28)), np.ones(numbers.size, np.int64))


def _joined(*parts: Part) -> Part:
    """Put the bytes of each row's parts behind each other."""
    sizes = np.stack([of_rows for _, of_rows in parts], axis=1)
    owner = np.repeat(np.tile(np.arange(len(parts), dtype=np.uint8), len(sizes)), sizes.ravel())
    joined = np.empty(owner.size, np.uint8)
    for number, (written, _) in enumerate(parts):
        joined[owner == number] = written
    return joined, sizes.sum(axis=1)


def _as_bytes(values: NDArray[Any]) -> Bytes:
    """Return the bytes of each value of 4 bytes, as a row."""
    return values.astype(values.dtype.newbyteorder("<")).view(np.uint8).reshape(-1, 4)


def _widths(numbers: Ids) -> Integers:
    """Return how many bits each number has."""
    return np.frexp(numbers)[1].astype(np.int64)


def _starts(counts: Integers) -> Integers:
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))


def _documents(shape: Shape, distribution: str) -> int:
    return EDGE_DOCUMENTS if distribution in EDGE_DISTRIBUTIONS else shape.documents


def _make_state(shape: Shape, distribution: str, documents: int, rng: np.random.Generator) -> State:
    if distribution == "one_ulp":
        return _one_ulp_state(shape, documents, rng)
    if distribution in EDGE_DISTRIBUTIONS:
        postings = _edge_postings(distribution, 4 * shape.terms, documents, shape.block, rng)
        skipped = 0
    else:
        postings = _text_postings(distribution, shape.vocabulary, documents, rng)
        skipped = STOP_WORDS
    counts = np.diff(postings.indptr)
    frequent_first = np.argsort(-counts, kind="stable")[skipped : np.count_nonzero(counts)].astype(np.int32)
    cumulative = np.cumsum(2**40 // np.arange(1 + skipped, 1 + skipped + frequent_first.size))
    planted = _planted(postings, frequent_first, shape.block, rng)
    lists = lists_of(postings, weights_of(postings), shape.block)
    return State(
        lists,
        postings.doc_lengths,
        shape.block,
        shape.k,
        QUERIES[shape],
        frequent_first,
        cumulative,
        planted,
    )


def _text_postings(distribution: str, vocabulary: int, documents: int, rng: np.random.Generator) -> Postings:
    """Draw documents token by token; the ids of the terms tell nothing of their frequency."""
    titles = distribution == "titles"
    lengths = rng.integers(4, 11, documents) if titles else _lengths(documents, rng)
    owners = np.repeat(np.arange(documents, dtype=np.int32), lengths)
    terms = _zipf(vocabulary)[rng.integers(0, GRAIN, owners.size)]
    if distribution == "topics":
        own = _zipf(vocabulary // TOPICS - 2)[rng.integers(0, GRAIN, owners.size)]
        topic = owners * TOPICS // documents  # documents of a topic follow each other
        terms = np.where(rng.random(owners.size, dtype=np.float32) < 0.4, (own + 1) * TOPICS + topic, terms)
        del own, topic
    terms = rng.permutation(vocabulary).astype(np.int32)[terms]
    indptr, doc_ids, freqs = from_pairs(terms, owners, vocabulary, documents)
    if titles:
        freqs[:] = 1
    return Postings(indptr, doc_ids, freqs, _token_counts(doc_ids, freqs, documents))


def _edge_postings(
    distribution: str, vocabulary: int, documents: int, block: int, rng: np.random.Generator
) -> Postings:
    """Draw which of a few terms are in which documents, and how often."""
    size = (vocabulary, documents)
    if distribution == "identical_lists":
        present = np.broadcast_to(rng.random(documents) < 0.3, size)
    elif distribution == "disjoint_lists":
        present = rng.integers(0, vocabulary, documents) == np.arange(vocabulary)[:, None]
    elif distribution == "everywhere":
        present = np.ones(size, np.bool_)
    elif distribution in ("block_lengths", "block_edges"):
        around = np.array([1, block - 1, block, block + 1, 2 * block - 1, 2 * block, 2 * block + 1, 1000])
        lengths = (
            np.resize(around, vocabulary)
            if distribution == "block_lengths"
            else rng.integers(2, 5, vocabulary) * block
        )
        present = np.argsort(rng.random(size), axis=1) < lengths[:, None]
    elif distribution == "few_matches":
        present = np.zeros(size, np.bool_)
        present[np.arange(vocabulary)[:, None], rng.integers(0, documents, (vocabulary, 2))] = True
    else:
        present = rng.random(size) < np.minimum(3 / np.arange(2, vocabulary + 2), 0.5)[:, None]
    terms, doc_ids = np.nonzero(present)
    indptr = np.searchsorted(terms, np.arange(vocabulary + 1))
    freqs = np.ones(doc_ids.size, np.uint32)
    if distribution in ("everywhere", "block_lengths", "repeated_words"):
        freqs = rng.integers(1, 5, doc_ids.size, dtype=np.uint32)
    if distribution == "block_edges":
        places = np.arange(doc_ids.size) - indptr[terms]
        freqs += 400 * np.isin(places % block, (0, block - 1)).astype(np.uint32)
    if distribution == "huge_counts":
        largest = np.uint32(1) << rng.integers(0, 21, doc_ids.size, dtype=np.uint32)
        freqs = rng.integers(1, largest + 1, dtype=np.uint32)
    lengths = _token_counts(doc_ids, freqs, documents)
    if distribution in ("few_matches", "block_lengths", "disjoint_lists", "repeated_words"):
        lengths += rng.integers(0, 100, documents, dtype=np.uint32)
    if distribution == "block_edges":  # the documents there are the shorter ones
        lengths[lengths < 400] += 2000
    return Postings(indptr, doc_ids.astype(np.uint32), freqs, np.maximum(lengths, 1))


def _one_ulp_state(shape: Shape, documents: int, rng: np.random.Generator) -> State:
    """Make an index whose best documents are lost by a float32 sum of bounds, or a float64 one not widened.

    Where documents are equally long, a word that is in one once adds exactly its weight, which is its bound too.
    First come documents with the last word of the query alone, whose weight becomes the threshold. Then come those
    that have all the others, whose weights, added in the order of the query, give one float32 more than the
    threshold, and added exactly, or from the least on, do not exceed it. (Two weights cannot do that.)
    """
    others = max(shape.terms - 1, 1)
    drawn = (0.1 + 0.8 * rng.random((4096, others))).astype(np.float32)
    drawn[:, 0] += np.float32(4)
    scores, least_first = (np.cumsum(each, axis=1)[:, -1] for each in (drawn, np.sort(drawn, axis=1)))
    exact = drawn.sum(axis=1, dtype=np.float64)
    thresholds = exact.astype(np.float32)
    thresholds = np.where(thresholds < exact, np.nextafter(thresholds, np.float32(np.inf)), thresholds)
    chosen = np.argmax((scores > thresholds) & (least_first <= thresholds))
    weights = np.append(drawn[chosen], thresholds[chosen])[-shape.terms :]
    alone = np.sort(rng.permutation(documents // 2)[: 2 * shape.k])
    together = documents // 2 + np.sort(rng.permutation(documents // 2)[: 3 * shape.k])
    docs = [*[together] * (shape.terms - 1), alone]
    indptr = _starts(np.array(list(map(len, docs))))
    ones = np.ones(indptr[-1], np.uint32)
    postings = Postings(indptr, np.concatenate(docs).astype(np.uint32), ones, np.full(documents, 8, np.uint32))
    lists = lists_of(postings, weights, shape.block)
    query = np.arange(shape.terms, dtype=np.int32)
    return bare_state(postings, shape.k, shape.block)._replace(
        lists=lists, queries=QUERIES[shape], planted=(query,)
    )


def _lengths(documents: int, rng: np.random.Generator) -> Integers:
    """Draw lengths whose logarithms are near normal, as those of English texts are: products of whole numbers."""
    first, second, third = rng.integers([[2], [2], [1]], [[6], [6], [6]], (3, documents))
    return first * second * third


def _token_counts(doc_ids: NDArray[np.integer], freqs: Ids, documents: int) -> Ids:
    return np.bincount(doc_ids, weights=freqs, minlength=documents).astype(np.uint32)


def _zipf(vocabulary: int) -> NDArray[np.int32]:
    """Return a table of GRAIN ranks in which rank r stands as often as Zipf's law says, 1 / (r + 1)."""
    cumulative = np.cumsum(1 / np.arange(1, vocabulary + 1))
    return np.searchsorted(cumulative, (np.arange(GRAIN) + 0.5) * (cumulative[-1] / GRAIN)).astype(np.int32)


def _terms_at(depths: NDArray[np.float64], state: State) -> NDArray[np.int32]:
    """Return different terms at depths, 0 to 1 and ascending along the last axis, of all their occurrences."""
    offsets = np.arange(depths.shape[-1])
    ranks = np.searchsorted(state.cumulative, depths * state.cumulative[-1]) - offsets
    largest = state.cumulative.size - offsets.size
    return state.frequent_first[np.clip(np.maximum.accumulate(ranks, axis=-1), 0, largest) + offsets]


def _planted(
    postings: Postings, frequent_first: NDArray[np.int32], block: int, rng: np.random.Generator
) -> tuple[NDArray[np.int32], ...]:
    """Return, of the terms given, those of the last documents and of some at the ends of lists or edges of blocks.

    The first term of each is the one in whose list the document has that place.
    """
    indptr, doc_ids = postings.indptr, postings.doc_ids
    ends = indptr[frequent_first + 1] - 1
    places = [ends[np.argsort(doc_ids[ends], kind="stable")[-4:]], rng.choice(ends, 6)]
    with_blocks = frequent_first[np.diff(indptr)[frequent_first] > block]
    if with_blocks.size:
        terms = rng.choice(with_blocks, 6)
        edges = rng.integers(1, (indptr[terms + 1] - indptr[terms] - 1) // block + 1) * block
        places.append(indptr[terms] + edges - rng.integers(0, 2, edges.size))
    planted = []
    for place in np.concatenate(places):
        of_document = np.append(place, np.flatnonzero(doc_ids == doc_ids[place]))
        terms = np.searchsorted(indptr, of_document, side="right") - 1
        planted.append(terms[np.isin(terms, frequent_first)].astype(np.int32))
    return tuple(planted)
