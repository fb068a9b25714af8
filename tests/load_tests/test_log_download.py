"""Downloading the log: the tiles that there are, and no others."""

import pytest

from counters.ledger.tiles import ENTRIES, TILE_WIDTH, Tile, row_length
from load_tests.log_download import tile_paths


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 65_535, 65_536, 70_000, 1_234_567])
def test_the_paths_are_those_of_the_ledgers_tiles(size: int) -> None:
    expected: set[str] = set()
    for level in (ENTRIES, *range(8)):
        count = row_length(level, size)
        expected |= {Tile.at(level, index, size).path for index in range(-(-count // TILE_WIDTH))}
    paths = tile_paths(size)
    assert set(paths) == expected
    assert len(paths) == len(expected)
