"""`turnout restored`: let the log of a restored ledger say that it was restored, so that it may go on."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from counters.backup import BackupError, read_committed
from counters.event import Event
from counters.ledger.log import LogError
from counters.ledger.note import NoteError
from counters.ledger.reader import LogAt
from counters.ledger.writer_folder import LogLockedError, require_rest
from counters.log_entries import LogEntryError, read_event
from counters.log_key import load_signer
from counters.sealing import OtherEventError, Sealer
from counters.secrets import SECRETS_FILE, load_secrets
from counters.setback import Restored, Setback, declare_restored
from gateway.ledger_service import open_event_clock
from gateway.witness_addresses import WitnessesError, with_addresses
from gateway.witness_quorum import FIRST_ANSWER_S, WitnessQuorum


class RestoredError(Exception):
    """Nothing was declared, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger at rest, in its data directory."""

    data: Path
    event: Event

    @classmethod
    def at(cls, data: Path) -> "Ledger":
        """Find the ledger of a data directory; its event is the one that leaf 0 locked.

        Raises:
            RestoredError: there is none, or it runs.
        """
        try:
            log = LogAt(data / "log", read_committed(data))
            require_rest(data / "log")
            return cls(data, read_event(log.entry(0)))
        except LogLockedError as error:
            raise RestoredError(f"{error}. Stop it, then declare this again") from None
        except (BackupError, LogError, LogEntryError) as error:
            raise RestoredError(str(error)) from None

    def declare(self) -> Restored:
        """Declare that the data were restored, and that nothing newer is left.

        Raises:
            RestoredError: a ledger runs on them, or they are damaged.
        """
        now = open_event_clock(self.event, self.data).now()
        commitment = load_secrets(self.data / SECRETS_FILE).pseudonym_commitment
        try:
            sealer = Sealer(self.data, self.event, commitment, load_signer(self.data), now)
        except LogLockedError as error:
            raise RestoredError(f"{error}. Stop it, then declare this again") from None
        except (OtherEventError, LogError, NoteError) as error:
            raise RestoredError(str(error)) from None
        try:
            self._ask_witnesses(sealer)
            return declare_restored(sealer, Setback(self.data, sealer), now)
        except (LogError, WitnessesError) as error:
            raise RestoredError(str(error)) from None
        finally:
            sealer.close()

    def _ask_witnesses(self, sealer: Sealer) -> None:
        """Nothing is added to a log that its required witnesses may have seen more of.

        Raises:
            WitnessesError: they have, or do not answer.
        """
        if self.event.required_witnesses:
            event, verifier = with_addresses(self.event, self.data), load_signer(self.data).verifier
            quorum = WitnessQuorum(
                event, sealer.log, verifier, lambda note: asyncio.to_thread(sealer.log.publish, note), asyncio.to_thread
            )
            asyncio.run(quorum.confirm(FIRST_ANSWER_S))


def described(restored: Restored) -> list[str]:
    """Return what was declared, in lines for a terminal."""
    seen = [
        f"  gateway {claim.gateway} had seen {claim.seen.size} entries and {claim.seen.reports} hand-overs"
        for claim in restored.claims
        if claim.seen
    ]
    return [
        f"The log now says that it was restored (number {restored.number}).",
        f"Evidence that was accepted after {restored.since} and before now may be lost; certificates will say so.",
        *(seen or ["  no gateway had said that it had seen more than there is"]),
        f"Seats below block {restored.next_block} are passed over.",
        "Start the ledger; then set interval and revocations again (`turnout steer`) if they had been changed since.",
    ]
