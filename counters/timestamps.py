"""Timestamps of an outside authority (RFC 3161): a question about a checkpoint, its answer, and what that is worth.

An authority signs the SHA-256 of something with the time. Here it is the SHA-256 of a checkpoint's three lines, without
signatures: who has the log's entries computes that text for every size, whatever note was published. What it shows: the
log's entries up to that size, and so the windows that they seal, were there at that time, whatever the ledger's own
clock or its operator say. It says nothing of who wrote them, and does not rule out a second history: witnesses do.

This module needs the extra `timestamps` (rfc3161-client). An answer is believed only against certificates that the
verifier trusts; the ledger, which has none, checks that it is an answer to its question.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    PKIStatus,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

ANSWER_LIMIT_BYTES: Final = 64 * 1024
"""An answer with a chain of four RSA certificates is under 10 KB."""
QUERY_TYPE: Final = "application/timestamp-query"
_SHA256: Final = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")


class TimestampError(Exception):
    """An answer is no timestamp of what was asked, or of no authority that is trusted."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about one checkpoint."""

    text: bytes  # the checkpoint's three lines
    query: bytes  # TimeStampReq, DER
    nonce: int

    @classmethod
    def about(cls, text: bytes) -> Self:
        """Return a question with a new nonce, which asks for the authority's certificate as well."""
        request = TimestampRequestBuilder().data(text).hash_algorithm(HashAlgorithm.SHA256).build()
        if request.nonce is None:
            raise TimestampError("a question without a nonce")
        return cls(text, request.as_bytes(), request.nonce)

    def check(self, answer: bytes) -> None:
        """Check that an answer grants a timestamp of this text to this question. Its signature is not checked.

        Raises:
            TimestampError: it does not.
        """
        response = _decoded(answer)
        if response.tst_info.nonce != self.nonce:
            raise TimestampError("it answers another question: its nonce is not the one that was sent")
        _check_imprint(response, self.text)


@dataclass(frozen=True, slots=True)
class Authority:
    """Whom a verifier trusts to tell the time: certificates of a timestamp authority, roots and those between."""

    roots: tuple[x509.Certificate, ...]
    between: tuple[x509.Certificate, ...]

    @classmethod
    def decode(cls, pem: bytes) -> Self:
        """Return the authority of a PEM file: certificates that are their own issuer are roots.

        Raises:
            TimestampError: it holds no certificate, or none that is its own issuer.
        """
        try:
            found = x509.load_pem_x509_certificates(pem)
        except ValueError as error:
            raise TimestampError(f"these are no certificates in PEM: {error}") from error
        roots = tuple(each for each in found if each.issuer == each.subject)
        if not roots:
            raise TimestampError("none of these certificates is a root: add the one at the end of the chain")
        return cls(roots, tuple(each for each in found if each.issuer != each.subject))

    @property
    def name(self) -> str:
        """Whose certificates these are."""
        return self.roots[0].subject.rfc4514_string()

    def time_of(self, answer: bytes, text: bytes) -> int:
        """Return when (unix seconds, rounded up) this authority has seen a text.

        Raises:
            TimestampError: the answer is none of this authority, or about another text.
        """
        response = _decoded(answer)
        _check_imprint(response, text)
        builder = VerifierBuilder(roots=list(self.roots), intermediates=list(self.between))
        try:
            builder.build().verify(response, sha256(text).digest())
        except (VerificationError, ValueError) as error:
            raise TimestampError(f"it is not signed by that authority: {error}") from error
        made_at = response.tst_info.gen_time
        return int(made_at.timestamp()) + (made_at.microsecond > 0)


def _decoded(answer: bytes) -> TimeStampResponse:
    if len(answer) > ANSWER_LIMIT_BYTES:
        raise TimestampError(f"an answer has at most {ANSWER_LIMIT_BYTES} bytes")
    try:
        response = decode_timestamp_response(answer)
        status = response.status
        if status in (PKIStatus.GRANTED, PKIStatus.GRANTED_WITH_MODS):
            response.tst_info  # noqa: B018 - read here, where an answer that cannot be read is refused
    except ValueError as error:
        raise TimestampError(f"it is no RFC 3161 answer: {error}") from error
    if status not in (PKIStatus.GRANTED, PKIStatus.GRANTED_WITH_MODS):
        raise TimestampError(f"the authority refused: status {status} {' '.join(response.status_string)}".rstrip())
    return response


def _check_imprint(response: TimeStampResponse, text: bytes) -> None:
    imprint = response.tst_info.message_imprint
    if imprint.hash_algorithm != _SHA256 or imprint.message != sha256(text).digest():
        raise TimestampError("it is a timestamp of something else")
