"""Sealed tokens: an attendee's issuer-signed JWT, encrypted at the join under the event's audit key.

    plain     u16 bytes of the head, u16 bytes of the payload (little-endian), then head, payload and signature of the
              compact JWT, each decoded from base64url: a quarter less than the text
    sealed    AES-256-SIV (RFC 5297) of it: 16 bytes of synthetic IV, then the ciphertext, as long as the plain form
    with it   two associated strings: the event's SHA-256 (32 bytes), the SHA-256 of the compact JWT (32 bytes)
    key       64 bytes: BLAKE2b-512 of "retained token", keyed with the audit key

AES-SIV is deterministic: a token sealed twice, by two gateways or again after a crash, is the same bytes, and there is
no nonce that could be used twice or has to be kept. That the same token was shown twice is no secret, since its digest
stands beside it. A sealed token opens only under its own event and digest.

Hand-worked: the compact JWT `e30.e30.AAAA` has the plain form `0200 0200 7b7d 7b7d 000000`, 11 bytes; sealed it has 27.
"""

import hashlib
import struct
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

OVERHEAD_BYTES: Final = 16
_LENGTHS: Final = struct.Struct("<HH")
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")


class TokenSeal:
    """Seals and opens the tokens of one event."""

    def __init__(self, audit_key: bytes, event_sha256: str) -> None:
        """Use the event's audit key (counters.secrets); `event_sha256` is the digest of its canonical file, in hex."""
        self._cipher = AESSIV(hashlib.blake2b(b"retained token", key=audit_key, digest_size=64).digest())
        self._event = bytes.fromhex(event_sha256)

    def seal(self, compact_jwt: bytes, token_digest: bytes) -> bytes:
        """Return the sealed form of a JWT that was verified (gateway.identity: base64url in its canonical spelling).

        Raises:
            ValueError: it is no compact JWT.
        """
        return self._cipher.encrypt(_plain(compact_jwt), [self._event, token_digest])

    def open(self, sealed: bytes, token_digest: bytes) -> bytes | None:
        """Return the compact JWT, byte for byte; None if this is not the sealed token of that digest and event."""
        try:
            plain = self._cipher.decrypt(sealed, [self._event, token_digest])
        except (InvalidTag, ValueError):
            return None
        compact = _compact(plain)
        return compact if hashlib.sha256(compact).digest() == token_digest else None


def _plain(compact_jwt: bytes) -> bytes:
    try:
        # Padding that is too much is passed over, and two characters are the most that can be missing.
        head, payload, signature = (
            a2b_base64(part + b"==") for part in compact_jwt.translate(_FROM_URL).split(b".")
        )  # fmt: skip
        return _LENGTHS.pack(len(head), len(payload)) + head + payload + signature
    except (Base64Error, ValueError, struct.error) as error:
        raise ValueError(f"no compact JWT: {error}") from error


def _compact(plain: bytes) -> bytes:
    head, payload = _LENGTHS.unpack_from(plain)
    at, end = _LENGTHS.size + head, _LENGTHS.size + head + payload
    return b".".join(
        b2a_base64(part, newline=False).rstrip(b"=").translate(_TO_URL)
        for part in (plain[_LENGTHS.size : at], plain[at:end], plain[end:])
    )
