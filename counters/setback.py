"""A setback: a ledger whose data was restored from an older copy than what others have seen of it.

Such a ledger must not go on by itself. It would sign another history under sizes that are already signed, and grant
seats that people have. It holds every claim of a gateway (counters.sighting) against what it has; one that it does not
bear out stops sealing, granting and accepting until somebody restores newer data or declares that there is none:

    restored  a leaf that says how far the ledger had been seen and by whom, and since when evidence may be lost

What was claimed is kept in `ledger/setback.json`, so that no restart forgets it:

    {"version": 1, "claims": [{"gateway": "hall-a", "restored": 0, "size": 812, "root": "…", "blocks": 12,
     "reports": 4711}]}

After the leaf, claims of before it are settled: gateways take over the new count of `restored` with the next answer.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from counters import canonical_json
from counters.attendee import HIGHEST_BLOCK
from counters.disk import DISK, Disk
from counters.durable_file import sync_folder, write_durably
from counters.event import Event
from counters.ledger.log import LogCorruptError
from counters.sealing import Sealer
from counters.sighting import Claim, Sighting
from counters.software import SOFTWARE

VERSION: Final = 1
SETBACK_FILE: Final = Path("ledger", "setback.json")
SKIPPED_BLOCKS: Final = 256
"""Blocks of seats passed over when a ledger goes on: more than gateways get that have not said what they have seen."""
_KNOWN_ROOTS: Final = 4096
"""Roots that were compared before and are remembered; a gateway claims a new one each minute."""


class Setback:
    """What gateways have seen of this ledger and it does not have. Owned by the ledger's event loop."""

    def __init__(self, data: Path, sealer: Sealer, disk: Disk = DISK) -> None:
        """Read what was claimed before; what the data bears out by now is dropped.

        Raises:
            LogCorruptError: `setback.json` cannot be read.
        """
        self._path = data / SETBACK_FILE
        self._sealer = sealer
        self._disk = disk
        self._borne_out: set[tuple[int, bytes]] = set()
        self.heard: set[str] = set()
        """Gateways that, when they were first heard, said what they had seen."""
        self._forgetful: set[str] = set()  # gateways that at first knew nothing: they repeat what they were shown since
        self._claims: dict[str, Claim] = {}
        self._read()

    @property
    def claims(self) -> list[Claim]:
        """What the data does not bear out, by gateway."""
        return [self._claims[gateway] for gateway in sorted(self._claims)]

    def _read(self) -> None:
        if not self._path.exists():
            return
        try:
            document = json.loads(self._path.read_bytes())
            kept = [Claim(str(row["gateway"]), Sighting.from_json(row)) for row in document["claims"]]
        except (KeyError, TypeError, ValueError) as error:
            raise LogCorruptError(str(self._path), f"it cannot be read: {error!r}") from None
        self._claims = {claim.gateway: claim for claim in kept if claim.seen and self._objection(claim.seen)}
        if not self._claims:
            self.settle()

    def hear(self, claim: Claim) -> bool:
        """Hold a claim against the data; whether it is news that stops the ledger, which `keep` then writes down."""
        if claim.seen is None:
            self._forgetful |= {claim.gateway} - self.heard
            return False
        self.heard |= {claim.gateway} - self._forgetful
        if not self._objection(claim.seen):
            return False
        before = self._claims.get(claim.gateway)
        worst = claim.seen if before is None or before.seen is None else before.seen.and_later(claim.seen)
        self._claims[claim.gateway] = Claim(claim.gateway, worst)
        return before is None or before.seen != worst

    def keep(self) -> None:
        """Write down what was claimed, durably.

        Raises:
            OSError: the disk refused; the ledger stands still all the same, until it is started again.
        """
        rows = [{"gateway": claim.gateway} | claim.seen.as_json() for claim in self.claims if claim.seen]
        document = {"version": VERSION, "claims": rows}
        # A crash before this: the gateway says it again.
        write_durably(self._path, json.dumps(document, indent=1).encode(), mode=0o600, disk=self._disk)

    def settle(self) -> None:
        """Forget the claims: the log says that it was restored, or newer data bear them out."""
        self._claims.clear()
        self._disk.remove(self._path)
        sync_folder(self._path.parent, self._disk)

    def why(self) -> str:
        """Return why this ledger must not go on, in one sentence; "" if nothing is known against it."""
        for claim in self.claims:
            if claim.seen and (objection := self._objection(claim.seen)):
                return (
                    f"the data of this ledger are older than what it had shown: gateway {claim.gateway} {objection}; "
                    "restore the newest copy, or stop it and let `turnout restored` say in the log what is lost"
                )
        return ""

    def _objection(self, seen: Sighting) -> str:
        """How a sighting is at odds with the data; "" if it is not."""
        own = self._sealer.sighting()
        if seen.restored < own.restored:
            return ""  # of before the leaf that says what was lost
        for more, what, has in (
            (seen.restored > own.restored, f"saw a log that was restored {seen.restored} times", own.restored),
            (seen.size > own.size, f"saw a log of {seen.size} entries", own.size),
            (seen.blocks > own.blocks, f"saw {seen.blocks} blocks of seats granted", own.blocks),
            (seen.reports > own.reports, f"saw {seen.reports} hand-overs accepted", own.reports),
        ):
            if more:
                return f"{what}, here are {has}"
        if not self._is_ours(seen.size, seen.root):
            return f"saw another log of {seen.size} entries"
        return ""

    def _is_ours(self, size: int, root: bytes) -> bool:
        if (size, root) in self._borne_out:
            return True
        if self._sealer.log.root_at(size) != root:
            return False
        if len(self._borne_out) >= _KNOWN_ROOTS:
            self._borne_out.clear()
        self._borne_out.add((size, root))
        return True


def restored_entry(event: Event, number: int, since: str, claims: Iterable[Claim], now: float) -> bytes:
    """Return the leaf that says that the log was restored.

    Args:
        event: of the log.
        number: which restoration this is, from 1.
        since: until when the restored data are known to be whole.
        claims: how far the ledger had been seen, and by whom.
        now: unix seconds on the event's clock.
    """
    seen = [
        {"gateway": claim.gateway} | {key: value for key, value in claim.seen.as_json().items() if key != "restored"}
        for claim in claims
        if claim.seen
    ]
    return canonical_json.encode(
        {
            "type": "restored",
            "version": VERSION,
            "event_sha256": event.digest,
            "number": number,
            "since": since,
            "at": event.iso(now),
            "seen": seen,
            "simulated": event.simulated,
            "software": SOFTWARE,
        }
    )


@dataclass(frozen=True, slots=True)
class Restored:
    """What was declared."""

    number: int  # of the restoration, from 1
    since: str
    claims: tuple[Claim, ...]
    next_block: int


def declare_restored(sealer: Sealer, setback: Setback, now: float) -> Restored:
    """Let the log say that it was restored, and pass over seats that the ledger may have granted since.

    Raises:
        OSError: the disk refused; declare it again.
    """
    claims = setback.claims
    seen = [claim.seen.blocks for claim in claims if claim.seen]
    next_block = min(max([sealer.sighting().blocks, *seen]) + SKIPPED_BLOCKS, HIGHEST_BLOCK + 1)
    sealer.grants.skip_to(next_block)
    # A crash here leaves seats that nobody gets, and a ledger that still stands still.
    number, newest_s = sealer.sighting().restored + 1, sealer.newest_evidence_s
    begun_at: str = json.loads(sealer.log.entry(0))["locked_at"]
    since = begun_at if newest_s is None else sealer.event.iso(newest_s)
    sealer.append(restored_entry(sealer.event, number, since, claims, now))
    # A crash here leaves claims of before the leaf, which the next start drops.
    setback.settle()
    return Restored(number, since, tuple(claims), next_block)
