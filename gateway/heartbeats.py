"""Heartbeats: a token and a state letter in, recorded or refused.

The same object answers for the door (gateway.door) and for aiohttp's route, so a heartbeat has the same outcome on
both. No await, no Redis, no JSON, nothing kept per viewer.
"""

import hashlib
from binascii import a2b_base64
from hmac import compare_digest
from typing import Final

from counters.cells import Cells
from counters.clock import Clock
from counters.tally import Accepted, Tally
from gateway.reasons import Reason
from gateway.viewing_token import (
    FIELDS,
    MAC_BYTES,
    SIGNED_BYTES,
    TEXT_BYTES,
    TO_STANDARD,
    TokenKeys,
    TokenRefused,
)

STATES: Final = {"p": "playing", "b": "background", "a": "paused", "e": "ended"}
"""State letters as CMCD has them, and `b` for playing in a background tab. No letter means playing."""
BODY_BYTES: Final = (TEXT_BYTES, TEXT_BYTES + 2)
"""A body is a token, or a token, a space and a letter."""
REFUSALS: Final = (
    Reason.TOKEN_MALFORMED,
    Reason.TOKEN_FORGED,
    Reason.TOKEN_EXPIRED,
    Reason.TOKEN_OTHER_EVENT,
    Reason.TOKEN_REVOKED,
    Reason.STATE_UNKNOWN,
    Reason.SESSION_UNKNOWN,
    Reason.DISK_FULL,
    Reason.BODY_MALFORMED,
    Reason.BODY_TOO_LARGE,
    Reason.REQUEST_TIMEOUT,
)
"""Every way in which a heartbeat is refused, or a batch of them (gateway.relay_batches); and a leave."""
CELLS: Final = (
    *(f"beat.{state}" for state in STATES.values()),
    *(f"refused.beat.{reason.label}" for reason in REFUSALS),
    "leave.left",
    *(f"refused.leave.{reason.label}" for reason in REFUSALS),
)
"""The counters that this module raises (counters.cells)."""

_NOT_ACCEPTED: Final = {Accepted.NO_SUCH_SESSION: Reason.SESSION_UNKNOWN, Accepted.DISK_FULL: Reason.DISK_FULL}
_BACKGROUND_OF: Final = {"playing": False, "background": True}
_YES: Final = Accepted.YES
_fields_of: Final = FIELDS.unpack_from


class Heartbeats:
    """Takes the heartbeats of one worker."""

    def __init__(self, keys: TokenKeys, tally: Tally, cells: Cells, clock: Clock) -> None:
        """Answer for one event."""
        self._keys = keys
        # Keyed once: a copy of a keyed hash costs two thirds of keying a new one.
        self._new_mac_of = {
            prefix: hashlib.blake2b(key=key, digest_size=MAC_BYTES).copy for prefix, key in keys.by_prefix.items()
        }.get
        self._record = tally.beat
        self._clock = clock
        self._cells = cells
        self._counts = cells.values
        self._said_by = {
            ord(letter): (cells.index(f"beat.{state}"), _BACKGROUND_OF.get(state)) for letter, state in STATES.items()
        }
        """By state letter: the cell that counts it, and whether it is in the background; None: it is not presence."""
        self._playing = self._said_by[ord("p")]
        self._cell_of_reason = {reason: cells.index(f"refused.beat.{reason.label}") for reason in REFUSALS}
        self._cell_of_refused_leave = {reason: cells.index(f"refused.leave.{reason.label}") for reason in REFUSALS}
        self._left = cells.index("leave.left")
        self.revoked: frozenset[int] = frozenset()
        """Seats, and ids of views (2^32 and above), whose heartbeats are refused."""
        self.tick()

    def tick(self) -> None:
        """Read the clock for expiries: a few times a second is exact enough for a 12-hour token."""
        self.now_s = int(self._clock.now())
        """Tokens that expired before this are refused."""

    def refuse(self, reason: Reason) -> Reason:
        """Count a refusal."""
        self._counts[self._cell_of_reason[reason]] += 1
        return reason

    def refuse_leave(self, reason: Reason) -> Reason:
        """Count the refusal of a leave."""
        self._counts[self._cell_of_refused_leave[reason]] += 1
        return reason

    def beat(self, body: bytes) -> Reason | None:  # noqa: C901, PLR0911 - a line a refusal, in order
        """Take one heartbeat; None means that it is recorded (or, paused and ended, noted) and is answered 204."""
        said: tuple[int, bool | None] | None = self._playing
        if len(body) != TEXT_BYTES:
            if len(body) != BODY_BYTES[1] or body[TEXT_BYTES] != 32:
                return self.refuse(Reason.TOKEN_MALFORMED)
            said = self._said_by.get(body[-1])
            body = body[:TEXT_BYTES]
        try:
            raw = a2b_base64(body.translate(TO_STANDARD), strict_mode=True)
        except ValueError:
            return self.refuse(Reason.TOKEN_MALFORMED)
        prefix, place, attendee, view, view_id, expires_at = _fields_of(raw)
        new_mac = self._new_mac_of(prefix)
        if new_mac is None:
            return self.refuse(self._keys.refusal(prefix))
        mac = new_mac()
        mac.update(raw[:SIGNED_BYTES])
        if not compare_digest(mac.digest(), raw[SIGNED_BYTES:]):
            return self.refuse(Reason.TOKEN_FORGED)
        if expires_at < self.now_s:
            return self.refuse(Reason.TOKEN_EXPIRED)
        if self.revoked and (place & 0xFFFFFFFF in self.revoked or view_id in self.revoked):
            return self.refuse(Reason.TOKEN_REVOKED)
        if said is None:
            return self.refuse(Reason.STATE_UNKNOWN)
        cell, background = said
        if background is not None:
            accepted = self._record(place, attendee, view, background)
            if accepted is not _YES:
                return self.refuse(_NOT_ACCEPTED[accepted])
        self._counts[cell] += 1
        return None

    def leave(self, body: bytes) -> Reason | None:
        """Take a leave: a courtesy, since silence ends a view as well; presence already recorded stays."""
        try:
            self._keys.open(body)
        except TokenRefused as refused:
            return self.refuse_leave(refused.reason)
        self._counts[self._left] += 1
        return None
