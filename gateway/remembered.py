"""What a gateway remembers of its ledger and tells it with every request, so that an older copy of it notices.

The state that the ledger shows with an answer is on this host's disk before anything is done that relies on the answer:
before a spool is deleted, before a granted seat is given away.
"""

import asyncio
import json
import logging
from pathlib import Path

from counters.secrets import Secrets
from counters.sighting import Claim, Sighting, SightingFile

_log = logging.getLogger("turnout.ledger_client")


class Remembered:
    """One process' view of what its gateway has seen of the ledger. Owned by the process' event loop."""

    def __init__(self, spool: Path, secrets: Secrets, gateway: str) -> None:
        """Begin with what the spool's file says."""
        self._file = SightingFile(spool, secrets.pseudonym_commitment)
        self._gateway = gateway
        self._latest: Sighting | None = None  # of this process; the file may be ahead, by another one of this gateway

    def claim(self) -> str:
        """Return the value of the header `Turnout-Log` of a request."""
        known = self._known()
        return Claim(self._gateway, known).encode()

    def _known(self) -> Sighting | None:
        try:
            on_disk = self._file.read()
        except OSError as error:
            _log.warning("what was seen of the ledger cannot be read: %s", error)
            on_disk = None
        if on_disk is None or self._latest is None:
            return on_disk or self._latest
        return on_disk.and_later(self._latest)

    async def note(self, shown: str) -> None:
        """Take in what an answer shows, durably.

        A disk that does not take it holds up nothing: a hand-over that was acknowledged is what makes room on it. The
        process itself remembers all the same.

        Raises:
            ValueError: it is no state of a ledger.
        """
        seen = Sighting.from_json(json.loads(shown))
        if seen == self._latest:
            return
        self._latest = self._latest.and_later(seen) if self._latest else seen
        try:
            await asyncio.to_thread(self._file.note, seen)
        except OSError as error:
            _log.warning("what was seen of the ledger cannot be written down: %s", error)
