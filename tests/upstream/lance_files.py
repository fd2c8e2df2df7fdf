"""Lance's vector indexes: made from vectors, searched through Lance, and their files read into numpy.

Owns the layout of `index.idx` and `auxiliary.idx` as Lance 14.0.2 writes them. An index is a folder with these two
files: the first has the centroids of the partitions, the second the rows, one partition after the other, and
what their quantiser learned. `read_ivf` and `read_storage` are for every kind of index, `read_pq` and
`read_ivf_pq` for product quantisation.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import lance_wheel
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

COLUMN: Final = "vector"


class Storage(NamedTuple):
    """The rows of an index, one partition after the other, and what its quantiser learned.

    `columns` is a pyarrow.Table with `_rowid` and the codes, `lengths`, int64 (P,), the rows of each partition,
    `metadata` the quantiser's own description, and `buffers` the tensors that it names, by position.
    """

    columns: Any
    lengths: NDArray[np.int64]
    metadata: dict[str, Any]
    buffers: dict[int, NDArray[Any]]


class PqPartition(NamedTuple):
    """The rows of one partition: `row_ids` uint64 (n,); `codes` uint8 (M, n), or (M / 2, n) with 4 bits."""

    row_ids: NDArray[np.uint64]
    codes: NDArray[np.uint8]


class IvfPq(NamedTuple):
    """An IVF_PQ index: `centroids` float32 (P, D), `codebook` float32 (M, 2**bits, sd), P partitions.

    The codes stand for residuals, vectors less the centroid of their partition; by cosine the vectors are
    normalised first. By inner product ("dot") they stand for the vectors themselves.
    """

    centroids: Floats
    codebook: Floats
    partitions: tuple[PqPartition, ...]


def create_ivf_pq(
    folder: Path,
    vectors: Floats,
    sub_vectors: int,
    partitions: int,
    given: tuple[Floats, Floats] | None = None,
    metric: str = "L2",
    bits: int = 8,
    others: Mapping[str, NDArray[Any]] | None = None,
) -> Any:
    """Write `vectors`, (n, D), to a Lance dataset in `folder`, index them and return the dataset.

    A code has 4 or 8 `bits`. Lance trains, by random numbers of its own, unless `given` has the centroids, (P, D),
    and the codebook, (M, 2**bits, sd). The dataset has the columns `others` too, each (n,).
    """
    dataset = write(folder, vectors, others)
    learned = {"ivf_centroids": given[0], "pq_codebook": given[1]} if given else {}
    return dataset.create_index(
        COLUMN,
        "IVF_PQ",
        metric=metric,
        num_partitions=partitions,
        num_sub_vectors=sub_vectors,
        num_bits=bits,
        **learned,
    )


def write(folder: Path, vectors: Floats, others: Mapping[str, NDArray[Any]] | None = None, **options: Any) -> Any:
    """Write `vectors`, (n, D), to a Lance dataset in `folder`, with options of `lance.write_dataset`.

    Columns `others`, each (n,), are written beside them. Returns the dataset; skips the test without Lance.
    """
    lance, pa = lance_wheel.lance(), lance_wheel.pyarrow()
    values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    return lance.write_dataset(pa.table({COLUMN: values, **(others or {})}), folder, **options)


def find(dataset: Any, query: Floats, k: int, *steps: str, **options: Any) -> tuple[NDArray[np.uint64], Floats]:
    """Return the row ids and the distances that a search finds, whose plan must have these steps."""
    scanner = _scanner(dataset, query, k, **options)
    plan = scanner.explain_plan()
    assert all(step in plan for step in steps), plan
    return _found(scanner)


def search(
    dataset: Any, query: Floats, k: int, probes: int, prefilter: str | None = None
) -> tuple[NDArray[np.uint64], Floats]:
    """Return the row ids and the distances that Lance's index gives, ascending by (distance, row id).

    `prefilter` is a condition, in SQL, for the rows that may be found.
    """
    scanner = _scanner(dataset, query, k, prefilter, nprobes=probes)
    plan = scanner.explain_plan()
    assert "ANNSubIndex" in plan, f"not a search in the index:\n{plan}"
    assert "KNNVectorDistance" not in plan, f"not a search in the index alone:\n{plan}"
    return _found(scanner)


def _scanner(dataset: Any, query: Floats, k: int, prefilter: str | None = None, **options: Any) -> Any:
    nearest = {"column": COLUMN, "q": query, "k": k, **options}
    return dataset.scanner(
        nearest=nearest,
        columns=["_distance"],
        filter=prefilter,
        prefilter=prefilter is not None,
        with_row_id=True,
    )


def _found(scanner: Any) -> tuple[NDArray[np.uint64], Floats]:
    found = scanner.to_table()
    return found["_rowid"].to_numpy(), found["_distance"].to_numpy()


def index_folder(dataset: Any) -> Path:
    """Return the folder of a local dataset's only index."""
    (folder,) = Path(dataset.uri, "_indices").iterdir()
    return folder


def read_ivf_pq(folder: Path) -> IvfPq:
    """Read an IVF_PQ index whole."""
    storage = read_storage(folder)
    return IvfPq(read_ivf(folder), *read_pq(storage))


def read_ivf(folder: Path) -> Floats:
    """Read the centroids of the partitions of any IVF index, float32 (P, D)."""
    reader = _open(folder / "index.idx")
    (tensor,) = _values(_ivf(reader), number=4)
    return _tensor(tensor)


def read_storage(folder: Path) -> Storage:
    """Read the rows of any IVF index, with the quantiser's description."""
    reader = _open(folder / "auxiliary.idx")
    (text,) = json.loads(_header(reader)[b"storage_metadata"])
    metadata: dict[str, Any] = json.loads(text)
    positions = [at for name, at in metadata.items() if name.endswith("_position") and at is not None]
    buffers = {position: _tensor(bytes(reader.read_global_buffer(position))) for position in positions}
    (packed,) = _values(_ivf(reader), number=3)
    return Storage(reader.read_all().to_table(), np.array(list(_varints(packed))), metadata, buffers)


def read_pq(storage: Storage) -> tuple[Floats, tuple[PqPartition, ...]]:
    """Return the codebook, float32 (M, 2**bits, sd), and the partitions of a product-quantised index.

    The file calls the codebook (2**bits, D), but it is laid out sub-space by sub-space; and it calls the codes
    one list per row, but each partition's are laid out column by column.
    """
    metadata = storage.metadata
    assert metadata["transposed"], "codes of an older layout, row by row"
    codebook = storage.buffers[metadata["codebook_position"]]
    codes = storage.columns["__pq_code"].combine_chunks()
    width = codes.type.list_size
    flat = codes.flatten().to_numpy()
    row_ids = storage.columns["_rowid"].to_numpy()
    ends = np.cumsum(storage.lengths)
    partitions = (
        PqPartition(row_ids[start:end], flat[start * width : end * width].reshape(width, end - start))
        for start, end in zip(ends - storage.lengths, ends, strict=True)
    )
    return codebook.reshape(metadata["num_sub_vectors"], 2 ** metadata["nbits"], -1), tuple(partitions)


def _open(path: Path) -> Any:
    from lance.file import LanceFileReader

    return LanceFileReader(str(path))


def _header(reader: Any) -> dict[bytes, bytes]:
    header: dict[bytes, bytes] = reader.metadata().schema.metadata
    return header


def _ivf(reader: Any) -> bytes:
    """Return the message `IVF` of Lance's protos/index.proto: 3 are lengths, 4 is the tensor of centroids."""
    return bytes(reader.read_global_buffer(int(_header(reader)[b"lance:ivf"])))


def _tensor(message: bytes) -> NDArray[Any]:
    """Return the array of a message `Tensor`: 1 is the type, 2 the shape, 3 the bytes."""
    dtypes = {1: np.float16, 2: np.float32, 3: np.float64, 4: np.uint8}
    (kind,), (shape,), (data,) = (_values(message, number) for number in (1, 2, 3))
    return np.frombuffer(data, np.dtype(dtypes[kind]).newbyteorder("<")).reshape(*_varints(shape))


def _values(message: bytes, number: int) -> list[Any]:
    """Return the values of one field of a protocol buffer: whole numbers, or bytes."""
    return [value for field, value in _fields(message) if field == number]


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        size, at = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        yield key >> 3, message[at : at + size]
        at += size


def _varints(packed: bytes) -> Iterator[int]:
    at = 0
    while at < len(packed):
        value, at = _varint(packed, at)
        yield value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the number that starts at `at`, seven bits a byte, lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
