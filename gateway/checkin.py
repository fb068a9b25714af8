"""Check-in: badges scanned at the gates, in batches, also late and more than once.

A badge is the attendee's ticket, the issuer's JWT, usually printed as a QR code. Every scan goes to the journal before
it is answered, refused ones with their reason. The pair (gate, nonce) names a scan once and for all: a scanner that got
no answer sends the same scan again and is told the same. The registry remembers what was accepted; while it is away a
scan may be journaled twice, and counting takes it once (counters.onsite).
"""

import contextlib
import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from counters.attendee import pseudonym
from counters.clock import Clock
from counters.event import Event
from counters.journal import Assurance, Direction, Join, JoinKind, Scan, encode
from counters.live import RegistryUnavailableError
from counters.registry import scan_outcome
from counters.secrets import Secrets
from counters.tally import Accepted, Tally
from gateway.identity import Identity
from gateway.join import Joins
from gateway.problems import Refused
from gateway.reasons import Reason
from gateway.retaining import Retaining
from gateway.seats import Seats

BATCH_LIMIT: Final = 500
"""Scans in one request: what a scanner gathers in ten minutes without a network."""
FUTURE_S: Final = 60
"""A scanner's clock may be this far ahead."""
LIVE_S: Final = 15 * 60
"""An older scan happened offline and says so with `force`."""
EARLY_S: Final = 24 * 3600
"""Nobody is scanned more than a day before the first session (counters.onsite has the same margin)."""
NONCE_LIMIT: Final = 128
"""Bytes of a nonce or a gate's name; the journal counts a text in one byte."""
_KEYS: Final = {"nonce", "badge", "gate", "direction", "scanned_at", "force"}


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """One scan as a scanner reports it."""

    nonce: str
    badge: str
    gate: str
    direction: Direction
    scanned_at: float  # unix seconds, the scanner's clock
    force: bool


def parse_batch(document: Any) -> list[ScanRequest]:
    """Read a batch: {"scans": [{nonce, badge, gate, direction, scanned_at, force}]}.

    Raises:
        Refused: the batch is not of that shape; nothing of it is taken, and the detail says which scan and why.
    """
    scans = document.get("scans") if isinstance(document, dict) else None
    if not isinstance(scans, list) or not scans:
        raise Refused(Reason.BODY_MALFORMED, 'A batch is {"scans": [...]} with at least one scan.')
    if len(scans) > BATCH_LIMIT:
        raise Refused(Reason.BODY_TOO_LARGE, f"A batch holds at most {BATCH_LIMIT} scans.")
    return [_parse_scan(i, scan) for i, scan in enumerate(scans)]


def _parse_scan(place: int, scan: Any) -> ScanRequest:
    wrong = _wrong_with(scan)
    if wrong:
        raise Refused(Reason.BODY_MALFORMED, f"scans[{place}]: {wrong}")
    return ScanRequest(
        nonce=scan["nonce"],
        badge=scan["badge"],
        gate=scan["gate"],
        direction=Direction.IN if scan["direction"] == "in" else Direction.OUT,
        scanned_at=datetime.fromisoformat(scan["scanned_at"]).timestamp(),
        force=scan.get("force", False),
    )


def _wrong_with(scan: Any) -> str:
    """What keeps a scan from being read; "" if nothing does."""
    if not isinstance(scan, dict):
        return "is not an object"
    texts = {key: scan.get(key) for key in ("nonce", "badge", "gate", "direction", "scanned_at")}
    checks = (
        (sorted(scan.keys() - _KEYS) == [], f"has unknown keys {sorted(scan.keys() - _KEYS)}"),
        (all(isinstance(text, str) and text for text in texts.values()), f"{', '.join(texts)} must be texts"),
        (isinstance(scan.get("force", False), bool), "'force' is true or false"),
        (texts["direction"] in ("in", "out"), '\'direction\' is "in" or "out"'),
        (_is_short(texts["nonce"], texts["gate"]), f"'nonce' and 'gate' have at most {NONCE_LIMIT} bytes"),
        (_is_time(texts["scanned_at"]), "'scanned_at' is a time with its offset, as in 2023-11-19T09:00:00+08:00"),
    )
    return next((what for sound, what in checks if not sound), "")


def _is_short(*texts: Any) -> bool:
    return all(isinstance(text, str) and len(text.encode(errors="replace")) <= NONCE_LIMIT for text in texts)


def _is_time(text: Any) -> bool:
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return False
    # The journal counts milliseconds from 1970 on.
    return time.tzinfo is not None and time.timestamp() >= 0


class Scans(Protocol):
    """Where accepted scans are remembered (counters.registry.SeatRegistry)."""

    async def known_scan(self, gate: str, nonce: str) -> str | None:
        """Return what was remembered of a scan."""
        ...

    async def remember_scan(self, gate: str, nonce: str, what: str) -> None:
        """Remember a scan, unless one of that gate and nonce is known."""
        ...


class CheckIns:
    """Takes the scans of one worker."""

    def __init__(
        self,
        event: Event,
        secrets: Secrets,
        joins: Joins,
        seats: Seats,
        scans: Scans,
        tally: Tally,
        clock: Clock,
        retaining: Retaining,
    ) -> None:
        """Answer for one event."""
        self._retaining = retaining
        self._scans = scans
        self._event = event
        self._secrets = secrets
        self._joins = joins
        self._seats = seats
        self._tally = tally
        self._clock = clock
        self._doors_open = min(session.starts_at.timestamp() for session in event.sessions) - EARLY_S
        self._gates = {gate for session in event.sessions for gate in session.gates}

    async def check_in(self, request: ScanRequest) -> Reason | None:
        """Journal one scan, unless it is one that was accepted before; None means that it is accepted.

        Raises:
            Refused: it could not even be journaled.
        """
        records = b""
        seat = 0
        known, what = await self._known(request), _what(request)
        if known == what:
            return None
        try:
            self._check(request, taken=known is not None)
            identity = self._joins.identify(request.badge)
            name = pseudonym(self._secrets.pseudonym_key, identity.namespace, identity.subject)
            seat = await self._seats.seat_of(name)
            refusal = None
        except Refused as refused:
            if refused.reason.status == 503:
                raise
            refusal = refused.reason
        now_ms = int(self._clock.now() * 1000)
        leaving = request.direction is Direction.OUT
        session = self._event.session_at_gate(request.gate, request.scanned_at, leaving=leaving)
        number = session.number if session else 0
        if refusal is None:
            records = self._retaining.record(seat, now_ms, request.badge, identity.token_digest)
            records += encode(_badge_join(seat, number, now_ms, name, identity))
        records += encode(
            Scan(
                seat=seat,
                session=number,
                direction=request.direction,
                forced=request.force,
                scanned_at_ms=int(request.scanned_at * 1000),
                received_at_ms=now_ms,
                gate=request.gate,
                nonce=request.nonce,
                refusal=refusal.label if refusal else "",
            )
        )
        # One write for all: a scan is never on record without its attendee, nor a badge without its token.
        if self._tally.write_journal(records) is not Accepted.YES:
            raise Refused(Reason.DISK_FULL)
        # A crash here leaves a scan on record that a retry puts there again: counting takes the first.
        if refusal is None:
            self._retaining.note(seat, now_ms)
            await self._remember(request, what)
        return refusal

    async def _known(self, request: ScanRequest) -> str | None:
        try:
            return await self._scans.known_scan(request.gate, request.nonce)
        except RegistryUnavailableError:
            return None

    async def _remember(self, request: ScanRequest, what: str) -> None:
        with contextlib.suppress(RegistryUnavailableError):
            await self._scans.remember_scan(request.gate, request.nonce, what)

    def _check(self, request: ScanRequest, *, taken: bool) -> None:
        now = self._clock.now()
        if taken:
            raise Refused(Reason.NONCE_TAKEN)
        if request.gate not in self._gates:
            raise Refused(Reason.GATE_UNKNOWN)
        if request.scanned_at > now + FUTURE_S:
            raise Refused(Reason.SCAN_IN_FUTURE)
        too_old = now - request.scanned_at > LIVE_S and not request.force
        before = request.scanned_at < self._doors_open
        if too_old or before or now > self._event.late_until.timestamp():
            raise Refused(Reason.SCAN_TOO_OLD)


def _badge_join(seat: int, session: int, now_ms: int, name: bytes, identity: Identity) -> Join:
    """Return the journal's record of who stands behind a badge, dated by the server's clock like every join."""
    return Join(
        seat=seat,
        session=session,
        kind=JoinKind.BADGE,
        assurance=Assurance.TICKETED,
        filters=0,
        view=0,
        joined_at_ms=now_ms,
        pseudonym=name,
        token_digest=identity.token_digest,
        address=bytes(8),
        issuer=identity.issuer,
        key_thumbprint=identity.key_thumbprint,
        country=identity.country,
        category=identity.category,
        outlet=identity.outlet,
        network="",
        agent="",
    )


def _what(request: ScanRequest) -> str:
    """Return what makes a scan the same scan when its gate and nonce come again: the badge and the direction."""
    return scan_outcome(hashlib.sha256(request.badge.encode()).digest(), request.direction)
