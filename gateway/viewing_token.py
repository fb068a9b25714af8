"""The viewing token: what a join grants and every heartbeat shows.

It carries all that a heartbeat needs, already computed, so that a worker keeps no state per viewer; and nothing about
the person. 48 bytes, little-endian, sent as 64 characters of base64url without padding:

    offset  size  field
    0       1     version      1
    1       1     key id       which of the event's token keys made the MAC: its generation (counters.secrets)
    2       2     event tag    first two bytes of BLAKE2b of the event id: another event's token is recognised as such
    4       4     seat         1 … 2^31 − 1
    8       2     session      session number
    10      2     reserved     0
    12      4     attendee     sketch position: register (bits 0–13), selector (14–23), rank (24–29)
    16      4     view         sketch position of the view
    20      8     view id      2^32 and above, so that it is no seat's number (revocation holds both in one set)
    28      4     expires_at   unix seconds
    32      16    MAC          BLAKE2b-128 of bytes 0–31, keyed with the token key

Seat, session and the reserved zeros read as one u64 are the low 48 bits of a spool record (counters.spool).

Token keys derive from the event secret by key id, so every host can check what any host issued, also after a restart.
"""

import binascii
import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

from counters.secrets import VIEWING_TOKEN, Secrets
from gateway.reasons import Reason

VERSION: Final = 1
LIFETIME_S: Final = 12 * 3600
"""Longer than a day of programme, independent of the ticket's own expiry."""
RENEWABLE_S: Final = 24 * 3600
"""How long after its expiry a token still lets its viewer join again without a ticket."""
TEXT_BYTES: Final = 64
SIGNED_BYTES: Final = 32
MAC_BYTES: Final = 16
FIELDS: Final = struct.Struct("<IQIIQI")

TO_STANDARD: Final = bytes.maketrans(b"-_+/", b"+/!!")
"""base64url to base64; what is not base64url becomes what strict decoding refuses."""
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")


class TokenRefused(Exception):  # noqa: N818 - named for what happened, as every refusal here
    """A text that is no good viewing token, and why."""

    def __init__(self, reason: Reason) -> None:
        """Refuse for `reason`."""
        super().__init__(reason.detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ViewingToken:
    """The fields of a viewing token."""

    seat: int
    session: int
    attendee: int  # sketch position
    view: int  # sketch position
    view_id: int
    expires_at: int  # unix seconds


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """An event's token keys, by the token's first four bytes (version, key id, event tag) as a little-endian u32."""

    event_tag: int
    by_prefix: Mapping[int, bytes]
    oldest: int = 1  # key id that is accepted
    newest: int = 1  # key id that new tokens have

    @classmethod
    def derive(cls, secrets: Secrets, event_id: str) -> "TokenKeys":
        """Derive the keys from the event secret."""
        tag = int.from_bytes(hashlib.blake2b(event_id.encode(), digest_size=2).digest(), "little")
        used = secrets.generations_of(VIEWING_TOKEN)
        keys = {
            VERSION | key_id << 8 | tag << 16: secrets.derive(f"viewing token key {key_id}") for key_id in used.accepted
        }
        return cls(tag, keys, used.oldest, used.newest)

    def refusal(self, prefix: int) -> Reason:
        """Why no key belongs to a token's first four bytes."""
        if prefix & 0xFF == VERSION and prefix >> 16 != self.event_tag:
            return Reason.TOKEN_OTHER_EVENT
        if prefix & 0xFF == VERSION and 0 < prefix >> 8 & 0xFF < self.oldest:
            return Reason.TOKEN_REVOKED
        return Reason.TOKEN_MALFORMED

    def seal(self, token: ViewingToken) -> str:
        """Return a token as its 64 characters."""
        prefix = VERSION | self.newest << 8 | self.event_tag << 16
        signed = FIELDS.pack(
            prefix, token.seat | token.session << 32, token.attendee, token.view, token.view_id, token.expires_at
        )
        mac = hashlib.blake2b(signed, key=self.by_prefix[prefix], digest_size=MAC_BYTES).digest()
        return binascii.b2a_base64(signed + mac, newline=False).translate(_TO_URL).decode()

    def open(self, text: bytes) -> ViewingToken:
        """Return what a token says, whether expired or not.

        Raises:
            TokenRefused: it is malformed, forged, or of another event.
        """
        if len(text) != TEXT_BYTES:
            raise TokenRefused(Reason.TOKEN_MALFORMED)
        try:
            raw = binascii.a2b_base64(text.translate(TO_STANDARD), strict_mode=True)
        except ValueError:
            raise TokenRefused(Reason.TOKEN_MALFORMED) from None
        prefix, place, attendee, view, view_id, expires_at = FIELDS.unpack_from(raw)
        key = self.by_prefix.get(prefix)
        if key is None:
            raise TokenRefused(self.refusal(prefix))
        mac = hashlib.blake2b(raw[:SIGNED_BYTES], key=key, digest_size=MAC_BYTES).digest()
        if not compare_digest(mac, raw[SIGNED_BYTES:]):
            raise TokenRefused(Reason.TOKEN_FORGED)
        return ViewingToken(place & 0xFFFFFFFF, place >> 32, attendee, view, view_id, expires_at)
