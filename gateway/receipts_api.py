"""Receipts over HTTP: an attendee shows ticket or viewing token, and gets the proof of having been counted, once."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from counters.attendee import pseudonym
from counters.event import Event
from counters.evidence_store import EvidenceError
from counters.kept_rolls import newest_folder, newest_sealed
from counters.ledger.note import Signer
from counters.minutes_files import MINUTES, has_minutes, make_minutes, minutes_of
from counters.receipt import issue
from counters.roll_leaf import RollLeaf
from counters.roll_tree import SealedRoll
from counters.sealed_evidence import ReadEvidence
from gateway.identity import IdentityVerifier, TicketRefused
from gateway.ledger_parts import LedgerParts
from gateway.problems import CORS, Refused, bearer
from gateway.reasons import Reason
from gateway.viewing_token import TokenKeys, TokenRefused

FILE_NAME: Final = "receipt.txt"
LOOK_EVERY_S: Final = 2.0
TRY_AGAIN_S: Final = 60.0
_log = logging.getLogger("turnout.receipts")


class Receipts:
    """Issues receipts of one event. Owned by the ledger's event loop."""

    def __init__(self, parts: LedgerParts, signer: Signer, rolls: Path) -> None:
        """Prepare; `signer` has the log's key, `rolls` is `DIR/roll`."""
        self._event = parts.event
        self._pseudonym_key = parts.secrets.pseudonym_key
        self._keys = TokenKeys.derive(parts.secrets, parts.event.id)
        self._sealer = parts.sealer
        self._now = parts.clock.now
        self._identities = IdentityVerifier(parts.event, self._now)
        self._signer = signer
        self._rolls = rolls

    async def keep_ready(self, entries: Callable[[], Awaitable[Sequence[bytes]]], read: ReadEvidence) -> None:
        """Make what receipts are read from as soon as a roll is sealed, for as long as the ledger runs.

        Args:
            entries: returns the entries of the log.
            read: from a digest to the file of evidence.
        """
        ending = threading.Event()

        def go_on(done: int, total: int) -> None:  # noqa: ARG001 - a progress callback
            if ending.is_set():
                raise EvidenceError("the ledger stops")

        try:
            while True:
                try:
                    folder = await asyncio.to_thread(newest_folder, self._rolls)
                    made = folder is None or has_minutes(folder)
                    roll = None if made else await asyncio.to_thread(newest_sealed, self._rolls)
                    if roll is not None:
                        await asyncio.to_thread(make_minutes, await entries(), read, roll, go_on)
                        _log.info("receipts can be given: %d attendees", roll.tree.size)
                except (EvidenceError, OSError, ValueError) as error:  # ValueError: a file of the roll is damaged
                    _log.error("no receipts yet, tried again in a minute: %s", error)
                    await asyncio.sleep(TRY_AGAIN_S)
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            # The thread cannot be cancelled; a ledger that stops must not wait for minutes of reading.
            ending.set()

    def routes(self) -> Iterable[web.RouteDef]:
        """The addresses that are answered here."""
        return (web.get("/v1/events/{event}/receipt", self.receipt, name="receipt"),)

    async def receipt(self, request: web.Request) -> web.Response:
        """Return the receipt of whoever shows a ticket or a viewing token."""
        if request.match_info["event"] != self._event.id:
            raise Refused(Reason.EVENT_UNKNOWN)
        who = self._who(bearer(request))
        note = await asyncio.to_thread(self._issue, who)
        headers = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store",
                   "Content-Disposition": f'attachment; filename="{self._event.id}-{FILE_NAME}"'}  # fmt: skip
        return web.Response(body=note, headers=CORS | headers)

    def _who(self, credential: str) -> int | bytes:
        """Return the seat that a viewing token names, or the pseudonym of a ticket's attendee.

        A viewing token does not expire here: it opens nothing any more, and says to its owner what the log says anyway.
        """
        if not credential:
            raise Refused(Reason.TICKET_MISSING)
        try:
            if "." not in credential:
                return self._keys.open(credential.encode()).seat
            # Who holds a retired key may sign a ticket of anybody, and learns nothing by it.
            self._identities.follow(self._sealer.so_far.issuer_keys)
            identity = self._identities.verify(credential)
        except TokenRefused as refused:
            raise Refused(refused.reason) from None
        except TicketRefused as refused:
            raise Refused(refused.reason, refused.detail) from None
        return pseudonym(self._pseudonym_key, identity.namespace, identity.subject)

    def _issue(self, who: int | bytes) -> bytes:
        roll = newest_sealed(self._rolls)
        if roll is None or not has_minutes(roll.folder):
            raise Refused(Reason.ROLL_NOT_SEALED)
        return issue_receipt(self._event, self._signer, roll, who, self._now())


def issue_receipt(event: Event, signer: Signer, roll: SealedRoll, who: int | bytes, now: float) -> bytes:
    """Return the receipt of an attendee of a roll.

    Raises:
        Refused: they are not on it.
    """
    try:
        _, leaf, _ = roll.tree.proof_of(who)
    except KeyError:
        raise Refused(Reason.NOT_ON_ROLL) from None
    sessions = minutes_of(event, roll.folder / MINUTES, RollLeaf.decode(leaf).seat)
    return issue(event, signer, roll, who, sessions, now)
