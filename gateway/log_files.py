"""The public log over HTTP: its checkpoint and tiles, and what others have signed of it. All of it static files."""

from pathlib import Path
from typing import Final

from aiohttp import web

from counters.cosigned import COSIGNED, cosigned_sizes
from counters.ledger.checkpoint import DECIMAL
from counters.ledger.log import Log
from counters.ledger.tile_files import CHECKPOINT
from counters.ledger.tiles import is_within
from counters.timestamp_files import SUFFIX, TIMESTAMPS, timestamped_sizes
from gateway.problems import CORS, Refused
from gateway.reasons import Reason

_TEXT: Final = CORS | {"Content-Type": "text/plain; charset=utf-8"}
_BYTES: Final = CORS | {"Content-Type": "application/octet-stream"}
_FOREVER: Final = _BYTES | {"Cache-Control": "max-age=31536000, immutable"}


class LogFiles:
    """Serves the folder of one log."""

    def __init__(self, folder: Path, log: Log) -> None:
        """Serve what lies in `folder` as far as `log` has published it."""
        self._folder = folder
        self._log = log

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer `/log/{path}`.

        Raises:
            Refused: there is no such file, or it is not published.
        """
        name = request.match_info["path"]
        path, size = self._folder / name, self._log.published.size
        if name == CHECKPOINT:
            if not path.exists():
                raise Refused(Reason.QUORUM_LOST, "Nothing of this log is published yet: its witnesses must cosign it.")
            return web.Response(body=path.read_bytes(), headers=_TEXT)
        if name in (f"{COSIGNED}/", f"{TIMESTAMPS}/"):
            sizes = cosigned_sizes(self._folder) if name[:-1] == COSIGNED else timestamped_sizes(path)
            return web.Response(text="".join(f"{each}\n" for each in sizes if each <= size), headers=_TEXT)
        # A staged tile may yet be another: only what the checkpoint covers is `immutable`.
        headers = _FOREVER if is_within(name, size) else self._of_a_size(name, size)
        if not headers or not path.is_file():
            raise Refused(Reason.NOT_FOUND)
        return web.FileResponse(path, headers=headers)

    def _of_a_size(self, name: str, size: int) -> dict[str, str]:
        """Return the headers of what others have signed of a published state; nothing, if this is no such file."""
        folder, _, file = name.partition("/")
        number = file.removesuffix(SUFFIX) if folder == TIMESTAMPS else file
        wanted = f"{number}{SUFFIX}" if folder == TIMESTAMPS else number
        known = folder in (COSIGNED, TIMESTAMPS) and file == wanted and DECIMAL.fullmatch(number)
        if not known or int(number) > size:
            return {}
        return _TEXT if folder == COSIGNED else _BYTES
