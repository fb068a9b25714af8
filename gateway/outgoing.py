"""The bundle on its way: kept in the spool until the ledger has it, so that what is sent again is the same bytes.

A hand-over is idempotent by digest. Made anew after a crash, a bundle could be another: a worker that stood still has
closed the window meanwhile, the host lost power, the heartbeat interval or the ledger's clock is known better. Its
seats would count once all the same, its scans and refusals twice. So what is sent is first kept, and it names the files
that may go once it is acknowledged. One file an event, `SPOOL/outgoing-<first 16 hex digits of the event's digest>`:

    one line of JSON    {"version": 1, "bundle_sha256", "window", "delete": [paths], "aside": [paths],
                         "ended": [workers]}
    the bundle          to the end (counters.handover)

Paths are relative to the spool. The file is replaced whole (counters.durable_file); one whose digest does not fit is no
bundle that was ever sent.
"""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from counters.durable_file import write_durably

VERSION: Final = 1
_log = logging.getLogger("turnout.courier")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One bundle, and what becomes of the spool once the ledger has it."""

    window: int
    bundle: bytes
    delete: tuple[str, ...] = ()  # files whose contents are in it
    aside: tuple[str, ...] = ()  # files that could not be read, which it says
    ended: tuple[str, ...] = ()  # dead workers whose folders then hold nothing else

    def encode(self) -> bytes:
        """Return the file."""
        head = {
            "version": VERSION,
            "bundle_sha256": hashlib.sha256(self.bundle).hexdigest(),
            "window": self.window,
            "delete": self.delete,
            "aside": self.aside,
            "ended": self.ended,
        }
        return json.dumps(head).encode() + b"\n" + self.bundle

    @classmethod
    def decode(cls, data: bytes) -> "Outgoing":
        """Read the file.

        Raises:
            ValueError: it is damaged, or of another version.
        """
        line, _, bundle = data.partition(b"\n")
        try:
            head = json.loads(line)
            if (head["version"], head["bundle_sha256"]) != (VERSION, hashlib.sha256(bundle).hexdigest()):
                raise ValueError("it is of another version, or its digest is not that of its bytes")  # noqa: TRY301
            parts = (tuple(map(str, head[name])) for name in ("delete", "aside", "ended"))
            return cls(int(head["window"]), bundle, *parts)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is no bundle on its way: {error}") from error


class OutgoingFile:
    """Where the bundle is kept. Owned by the courier's thread."""

    def __init__(self, spool: Path, event_digest: str) -> None:
        """Keep it in `spool`."""
        self._path = spool / f"outgoing-{event_digest[:16]}"
        self.is_there = False
        """Whether a bundle was kept that may have been sent."""

    def read(self) -> Outgoing | None:
        """Return the bundle that an earlier run may have sent, if there is one."""
        try:
            outgoing = Outgoing.decode(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            # Only a broken disk leaves that. What it held is in the spool still, and is made into a bundle anew.
            _log.error("%s cannot be used and is replaced: %s", self._path, error)
            return None
        self.is_there = True
        return outgoing

    def keep(self, outgoing: Outgoing) -> None:
        """Keep it; when this returns, it may be sent.

        On a full disk it is sent all the same: only handing over makes room again. A crash before the acknowledgement
        may then count refusals twice.
        """
        self.is_there = True
        try:
            write_durably(self._path, outgoing.encode(), mode=0o600)
        except OSError as error:
            self._path.with_name(self._path.name + ".new").unlink(missing_ok=True)
            _log.warning("the bundle of window %d is sent without being kept: %s", outgoing.window, error)

    def forget(self) -> None:
        """Say that it is done, or was never taken."""
        if self.is_there:
            # A power cut may bring it back: it is then handed over once more, and names files that are gone.
            self._path.unlink(missing_ok=True)
            self.is_there = False
