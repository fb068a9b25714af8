"""What a log and a witness say to each other (C2SP tlog-witness): the request, and the closed list of answers.

    POST <prefix>/add-checkpoint

    line            content
    first           "old " and the size up to which the witness has cosigned, as far as the log knows; decimal
    0–63 lines      base64 of the consistency proof's hashes from that size to the checkpoint's (RFC 6962 §2.1.2)
    an empty line
    the rest        the signed checkpoint

Worked example, the first checkpoint that a witness sees of a log of one entry:

    old 0

    example.com/log/testdata
    1
    0Nc2CrefWKseHj/mStd+LqC8B+NrX0btIiPt2SmN+ek=

    — example.com/log/testdata <base64>

Every answer is one `Verdict`; two carry a body: COSIGNED the witness's signature lines, CONFLICT the size up to which
it has cosigned, in decimal with a newline.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from counters.ledger.checkpoint import DECIMAL
from counters.ledger.merkle import HASH_BYTES
from counters.ledger.note import NoteError, decode_base64, encode_base64
from counters.ledger.proof import PROOF_LIMIT_HASHES

ADD_CHECKPOINT: Final = "/add-checkpoint"
SIZE_TYPE: Final = "text/x.tlog.size"
"""Content type of a conflict's body."""
REQUEST_LIMIT_BYTES: Final = 64 * 1024
"""63 lines of proof are 3 KB, a checkpoint with a hundred cosignatures 15 KB."""


class Verdict(Enum):
    """A witness's answer. The value is the HTTP status that the specification gives it."""

    COSIGNED = 200  # it continues what was cosigned before; the new state is on the witness's disk
    MALFORMED = 400  # the request cannot be read, or its old size is above the checkpoint's
    UNTRUSTED = 403  # no key that the witness trusts for this log has signed it
    UNKNOWN_LOG = 404  # the witness does not watch this log
    CONFLICT = 409  # the old size is not the one up to which the witness has cosigned
    INCONSISTENT = 422  # the proof does not hold, or the witness knows another root for the same size

    @property
    def label(self) -> str:
        """The name in metrics and in the log."""
        return self.name.lower()


class RequestError(ValueError):
    """A body that is not an add-checkpoint request."""


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """One request."""

    old: int  # entries
    proof: tuple[bytes, ...]  # hashes of 32 bytes
    note: bytes  # the signed checkpoint; nothing is known about it

    def encode(self) -> bytes:
        """Return the body."""
        lines = [f"old {self.old}", *map(encode_base64, self.proof)]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.note

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Return the request of a body.

        Raises:
            RequestError: it is not of this form.
        """
        head, separator, note = body.partition(b"\n\n")
        try:
            first, *lines = head.decode("ascii").split("\n")
            proof = tuple(decode_base64(line) for line in lines[: PROOF_LIMIT_HASHES + 1])
        except (UnicodeDecodeError, NoteError) as error:
            raise RequestError(f"the lines before the checkpoint cannot be read: {error}") from None
        old = first.removeprefix("old ")
        if not separator or not first.startswith("old ") or not DECIMAL.fullmatch(old):
            raise RequestError("a request is the line 'old <size>', a consistency proof, an empty line, a checkpoint")
        if len(lines) > PROOF_LIMIT_HASHES or any(len(value) != HASH_BYTES for value in proof):
            raise RequestError(f"a consistency proof is at most {PROOF_LIMIT_HASHES} hashes of {HASH_BYTES} bytes")
        return cls(int(old), proof, note)
