"""Take-over: a new gateway on the same spool gets the port from the old one, without one refused connection.

For upgrades of everything, the supervisor included. Both run for a moment, and at each moment exactly one of them owns
the spool (the lock of `owner.lock`) and carries what is in it:

    1. The new one connects to SPOOL/take-over.sock and says which event it runs.
    2. The old one answers with its two listening sockets, the players' and the operators' (SCM_RIGHTS).
       A crash of the new one here: the connection closes, and the old one goes on as if nothing had been.
    3. The new one starts its workers, which accept beside the old one's, and says "serving".
    4. The old one stops carrying, frees the spool's lock, and tells its workers to move on.
       A crash of either here: what is accepted is in the spool, which whoever has the lock carries.
    5. The new one takes the lock, and carries; from a dead old one as well.

Both lines are JSON: `{"version": 1, "event_sha256": hex}`, and `{"version": 1, "refusal": text}` with the sockets if
the refusal is empty. The socket is for the user that runs the gateway, and nobody else.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from gateway.listening import adopt

VERSION: Final = 1
SOCKET: Final = "take-over.sock"
OWNER: Final = "owner.lock"
SERVING: Final = b"serving\n"
ANSWER_S: Final = 5.0
"""An old gateway that does not answer for so long stands still."""
LET_GO_S: Final = 60.0
"""It lets go of the spool when a hand-over under way has ended; this is twice what that may take."""
START_S: Final = 60.0
"""How long the old one waits for the new one's workers."""
LOOK_S: Final = 0.01
LINE_BYTES: Final = 4096
_log = logging.getLogger("turnout.supervisor")


class TakeOverError(Exception):
    """The spool cannot be taken over; the sentence says why."""


def own_spool(spool: Path) -> int:
    """Return a descriptor that keeps other gateways off a spool for as long as it is open: two would carry it at once.

    Raises:
        BlockingIOError: another gateway runs on it.
    """
    owned = os.open(spool / OWNER, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(owned, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(owned)
        raise BlockingIOError(
            f"another gateway runs with the spool {spool}: take over from it with --take-over, stop it, or give this "
            "one a spool of its own"
        ) from None
    return owned


@dataclass(frozen=True, slots=True)
class Predecessor:
    """A gateway that runs and has handed its listening sockets to this process."""

    players: socket.socket
    operators: socket.socket
    line: socket.socket

    def say_serving(self) -> None:
        """Tell it that this gateway's workers serve: it lets go of the spool.

        Raises:
            OSError: it is gone, and its workers with it; the spool is free.
        """
        self.line.sendall(SERVING)

    async def spool_is_free(self, spool: Path) -> int:
        """Wait until it has let go of the spool; return what `own_spool` does.

        Raises:
            TakeOverError: it does not.
        """
        until = time.monotonic() + LET_GO_S
        while time.monotonic() < until:
            with contextlib.suppress(BlockingIOError):
                return own_spool(spool)
            await asyncio.sleep(LOOK_S)
        raise TakeOverError(f"the gateway that runs does not let go of the spool {spool}: stop it, then start this one")


def ask(spool: Path, event_sha256: str) -> Predecessor:
    """Ask the gateway that runs on a spool for its sockets.

    Raises:
        TakeOverError: it does not answer, or refuses.
    """
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(ANSWER_S)
    try:
        with _reachable(spool) as address:
            line.connect(address)
        line.sendall(orjson.dumps({"version": VERSION, "event_sha256": event_sha256}) + b"\n")
        answer, descriptors, _, _ = socket.recv_fds(line, LINE_BYTES, 2)
        refusal = str(orjson.loads(answer)["refusal"])
        players, operators = map(adopt, descriptors) if not refusal else (line, line)
    except (OSError, ValueError, KeyError, TypeError) as error:
        line.close()
        raise TakeOverError(
            f"the gateway that runs with the spool {spool} does not hand its port on ({error}): stop it first"
        ) from None
    if refusal:
        line.close()
        raise TakeOverError(refusal)
    return Predecessor(players, operators, line)


class Successors:
    """The old gateway's side. Owned by the supervisor's event loop."""

    def __init__(self, spool: Path, event_sha256: str, players: socket.socket, operators: socket.socket) -> None:
        """Hand these two sockets to who asks. The spool must be owned: what another left at the address is replaced."""
        self._event_sha256 = event_sha256
        self._sockets = [players.fileno(), operators.fileno()]
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._door.settimeout(0.0)
        (spool / SOCKET).unlink(missing_ok=True)
        with _reachable(spool) as address:
            self._door.bind(address)
        (spool / SOCKET).chmod(0o600)
        self._door.listen(1)

    async def until_one_serves(self) -> None:
        """Wait until a new gateway serves: from then on this one has nothing to carry."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                line, _ = await loop.sock_accept(self._door)
                with line:
                    try:
                        async with asyncio.timeout(START_S):
                            if await self._talk(line):
                                return
                    except (OSError, TimeoutError, ValueError, KeyError, TypeError) as error:
                        _log.error("a take-over was given up, this gateway goes on: %r", error)
        finally:
            self._door.close()

    async def _talk(self, line: socket.socket) -> bool:
        loop = asyncio.get_running_loop()
        line.settimeout(0.0)
        _, user, _ = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        asked = orjson.loads(await loop.sock_recv(line, LINE_BYTES))
        refusal = ""
        if user not in {0, os.geteuid()}:
            refusal = "only the user that runs the gateway may take over from it"
        elif asked["version"] != VERSION:
            refusal = "the gateway that runs hands on in another way: stop it first"
        elif asked["event_sha256"] != self._event_sha256:
            refusal = "the gateway that runs with this spool runs another event"
        answer = orjson.dumps({"version": VERSION, "refusal": refusal}) + b"\n"
        socket.send_fds(line, [answer], [] if refusal else self._sockets)
        if refusal:
            _log.error("a take-over was refused: %s", refusal)
            return False
        _log.info("a new gateway starts on this one's port")
        if await loop.sock_recv(line, LINE_BYTES) == SERVING:
            return True
        _log.error("the new gateway went away before it served; this one goes on")
        return False


@contextlib.contextmanager
def _reachable(spool: Path) -> Iterator[str]:
    """The address of the socket by way of the open folder: one has room for 107 bytes, and paths are longer."""
    folder = os.open(spool, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)
