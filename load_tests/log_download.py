"""The public log, downloaded: checkpoint, tiles and entry bundles (C2SP tlog-tiles), as any outsider can have them."""

from pathlib import Path
from typing import Final

from load_tests.http_client import Address, call_for

TILE_WIDTH: Final = 256


def tile_paths(size: int) -> list[str]:
    """Return the path of every tile and entry bundle of a log of `size` entries."""
    paths: list[str] = []
    level, count = 0, size
    while count:
        for index in range(-(-count // TILE_WIDTH)):
            width = min(TILE_WIDTH, count - index * TILE_WIDTH)
            partial = "" if width == TILE_WIDTH else f".p/{width}"
            paths += [f"tile/{name}/{_name(index)}{partial}" for name in (["0", "entries"] if not level else [level])]
        level, count = level + 1, count // TILE_WIDTH
    return paths


def _name(index: int) -> str:
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    *higher, last = (digits[at : at + 3] for at in range(0, len(digits), 3))
    return "/".join([*(f"x{group}" for group in higher), last])


async def download_log(address: Address, folder: Path) -> None:
    """Write the log that is served at `address` below /log/ to a folder, the checkpoint last.

    Raises UnexpectedAnswerError for anything but 200, OSError, and ValueError for a checkpoint that is none.
    """
    checkpoint = await _get(address, "checkpoint")
    for path in tile_paths(int(checkpoint.split(b"\n")[1])):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(await _get(address, path))
    (folder / "checkpoint").write_bytes(checkpoint)


async def _get(address: Address, path: str) -> bytes:
    return (await call_for(200, address, "GET", f"/log/{path}")).body
