"""Tiles: paths and bytes as the specification writes them, and nothing else taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters.ledger.tiles import (
    ENTRIES,
    ENTRY_LIMIT_BYTES,
    MAX_LEVEL,
    Tile,
    TileError,
    decode_bundle,
    decode_hashes,
    encode_bundle,
    encode_hashes,
    tiles_of,
)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 1_234_067), "tile/0/x001/x234/067"),
        (Tile(0, 0), "tile/0/000"),
        (Tile(1, 0, 1), "tile/1/000.p/1"),
        (Tile(63, 999, 255), "tile/63/999.p/255"),
        (Tile(2, 1000), "tile/2/x001/000"),
        (Tile(ENTRIES, 0, 2), "tile/entries/000.p/2"),
        (Tile(ENTRIES, 70_000), "tile/entries/x070/000"),
    ],
)
def test_paths_are_those_of_the_specification(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert Tile.parse(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "checkpoint",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/001",  # 001 is written without the first group
        "tile/0/x001",
        "tile/0/001/002",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/999",
        "tile/0/\u0660\u0660\u0660",
        "tile/0/../0/000",
        "tile/0/000\n",
        "tile/0/x999" + "/x999" * 2000 + "/999",
    ],
)
def test_a_path_in_any_other_form_is_refused(path: str) -> None:
    with pytest.raises(TileError):
        Tile.parse(path)


@given(st.integers(ENTRIES, MAX_LEVEL), st.integers(0, 2**55 - 1), st.integers(1, 256))
def test_every_tile_comes_back_from_its_path(level: int, index: int, width: int) -> None:
    assert Tile.parse(Tile(level, index, width).path) == Tile(level, index, width)


def test_a_log_of_seventy_thousand_has_the_tiles_that_the_specification_counts() -> None:
    tiles = list(tiles_of(70_000))
    for level in (ENTRIES, 0):
        at_level = [tile for tile in tiles if tile.level == level]
        assert [tile.width for tile in at_level] == [256] * 273 + [112]
        assert [tile.index for tile in at_level] == list(range(274))
    assert [tile for tile in tiles if tile.level >= 1] == [Tile(1, 0), Tile(1, 1, 17), Tile(2, 0, 1)]


@pytest.mark.parametrize(
    ("size", "hash_tiles"),
    [
        (0, []),
        (1, ["tile/0/000.p/1"]),
        (255, ["tile/0/000.p/255"]),
        (256, ["tile/0/000", "tile/1/000.p/1"]),
        (257, ["tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1"]),
    ],
)
def test_the_tiles_around_a_full_one_are_never_empty(size: int, hash_tiles: list[str]) -> None:
    assert [tile.path for tile in tiles_of(size) if tile.level != ENTRIES] == hash_tiles


def test_the_first_full_tile_of_level_one_is_at_65536() -> None:
    for size, expected in (
        (65_535, [Tile(1, 0, 255)]),
        (65_536, [Tile(1, 0), Tile(2, 0, 1)]),
        (65_537, [Tile(1, 0), Tile(2, 0, 1)]),
    ):
        assert [tile for tile in tiles_of(size) if tile.level >= 1] == expected


def test_a_tree_has_no_tile_beyond_its_edge() -> None:
    for level, index, size in ((0, 0, 0), (0, 1, 256), (1, 0, 255), (ENTRIES, 3, 600), (63, 0, 2**62)):
        with pytest.raises(TileError):
            Tile.at(level, index, size)


def test_a_bundle_is_lengths_and_entries() -> None:
    assert encode_bundle([b"one", b"two"]) == bytes.fromhex("0003 6f6e65 0003 74776f")
    assert decode_bundle(bytes.fromhex("0003 6f6e65 0003 74776f"), 2) == (b"one", b"two")


def test_the_longest_entry_goes_in_and_one_byte_more_does_not() -> None:
    longest = bytes(ENTRY_LIMIT_BYTES)
    assert decode_bundle(encode_bundle([b"", longest]), 2) == (b"", longest)
    with pytest.raises(TileError, match="65536"):
        encode_bundle([longest + b"x"])


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(0, 10))
def test_a_bundle_comes_back_only_with_its_own_width(entries: list[bytes], width: int) -> None:
    if width == len(entries):
        assert decode_bundle(encode_bundle(entries), width) == tuple(entries)
    else:
        with pytest.raises(TileError):
            decode_bundle(encode_bundle(entries), width)


@given(st.binary(max_size=60), st.integers(0, 10))
def test_junk_is_no_bundle_or_the_canonical_one(data: bytes, width: int) -> None:
    try:
        entries = decode_bundle(data, width)
    except TileError:
        return
    assert len(entries) == width
    assert encode_bundle(entries) == data


def test_a_tile_has_exactly_its_hashes() -> None:
    hashes = tuple(bytes([number]) * 32 for number in range(3))
    assert decode_hashes(encode_hashes(hashes), 3) == hashes
    for data in (b"", encode_hashes(hashes)[:-1], encode_hashes(hashes) + b"x", encode_hashes(hashes[:2])):
        with pytest.raises(TileError):
            decode_hashes(data, 3)
