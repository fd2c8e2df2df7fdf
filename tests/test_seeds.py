"""The same path gives the same numbers on every machine, and any other path gives others."""

from __future__ import annotations

import numpy as np

from pytest_lance_autoresearch.target_files import seeds

Path = tuple[str | int, ...]


def raw(seed: int, *path: str | int) -> list[int]:
    """The first bits of a stream, below any distribution."""
    return [int(word) for word in seeds.rng(seed, *path).bit_generator.random_raw(2)]


def test_the_published_numbers_never_change() -> None:
    assert seeds.PUBLISHED_SEED == 20_251_115
    assert raw(seeds.PUBLISHED_SEED, "pq-l2", "128x16x256-sparse", "check", 0) == [
        10868067755500723226,
        3449761781605825876,
    ]


def test_the_same_path_gives_the_same_numbers() -> None:
    first, second = seeds.rng(1, "demo", "2x3-flat", 0), seeds.rng(1, "demo", "2x3-flat", 0)
    assert first is not second
    assert np.array_equal(first.standard_normal(100), second.standard_normal(100))


def test_drawing_from_one_stream_does_not_move_another() -> None:
    before = raw(1, "demo", 1)
    seeds.rng(1, "demo", 0).random(1000)
    assert raw(1, "demo", 1) == before


PATHS: list[tuple[int, Path]] = [
    (1, ()),
    (2, ()),
    (12, ()),
    (1, (2,)),
    (1, ("2",)),
    (1, ("a", "b")),
    (1, ("b", "a")),
    (1, ("ab",)),
    (1, ("a, b",)),
    (1, ("a', 'b",)),
    (1, ("a", "b", 0)),
    (1, ("a", "b", 1)),
    (-1, ()),
    (2**127, ()),
    (2**127 + 1, ()),
]


def test_another_seed_or_path_gives_other_numbers() -> None:
    words = [word for seed, path in PATHS for word in raw(seed, *path)]
    assert len(set(words)) == len(words)


def test_secret_seeds_are_128_bits_and_never_the_same() -> None:
    drawn = [seeds.secret_seed() for _ in range(200)]
    assert len(set(drawn)) == 200
    assert all(0 <= seed < 2**128 for seed in drawn)
    assert max(drawn) > 2**120
    assert all(any(seed >> bit & 1 for seed in drawn) for bit in range(128))
