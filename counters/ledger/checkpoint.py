"""Checkpoints (C2SP tlog-checkpoint): origin, size and root of a log, the text that the log's key signs.

Exactly three lines, each ended by a newline:

    line  content  form
    1     origin   the log's URL prefix without scheme and trailing slash; equals the name of the key that signs
    2     size     number of entries, decimal without leading zeros, 0 … 2^63 − 1
    3     root     base64 of the 32-byte root of the RFC 6962 tree of that size

Extension lines are refused: witnesses do not cosign them, so nothing may ever hide there. Worked example, the log of
the one entry "one" (its leaf hash d0 d7 36 0a… = SHA-256(0x00 ‖ "one") is also the root):

    example.com/log/testdata
    1
    0Nc2CrefWKseHj/mStd+LqC8B+NrX0btIiPt2SmN+ek=
"""

import re
from dataclasses import dataclass
from typing import Final, Self

from counters.ledger.merkle import EMPTY_ROOT, HASH_BYTES, MAX_SIZE
from counters.ledger.note import NoteError, Signer, Verifier, decode_base64, encode_base64, open_note, sign_note

# 19 digits hold 2^63 − 1; the bound keeps a hostile text from becoming a huge integer.
DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")


class CheckpointError(NoteError):
    """A text that is not a checkpoint, or the checkpoint of another log."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One state of one log."""

    origin: str
    size: int  # entries
    root: bytes  # 32 bytes

    def __post_init__(self) -> None:
        if not self.origin or "\n" in self.origin:
            raise CheckpointError("the origin of a checkpoint is one non-empty line")
        if not 0 <= self.size <= MAX_SIZE:
            raise CheckpointError(f"the size of a checkpoint is from 0 to {MAX_SIZE}, not {self.size}")
        if len(self.root) != HASH_BYTES:
            raise CheckpointError(f"the root of a checkpoint has {HASH_BYTES} bytes, not {len(self.root)}")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise CheckpointError("a checkpoint of size 0 with a root that is not the empty tree's")

    def encode(self) -> str:
        """Return the three lines."""
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n"

    @classmethod
    def decode(cls, text: str) -> Self:
        """Return the checkpoint of exactly these three lines.

        Raises:
            CheckpointError: The text is anything else.
        """
        lines = text.split("\n")
        if len(lines) != 4 or lines[3]:
            raise CheckpointError("a checkpoint has exactly three lines: origin, size, root (no extension lines)")
        origin, size, root, _ = lines
        if not DECIMAL.fullmatch(size):
            raise CheckpointError(f"the size of a checkpoint is a decimal number without leading zeros: {size[:40]!r}")
        try:
            return cls(origin, int(size), decode_base64(root))
        except NoteError as error:
            raise CheckpointError(str(error)) from None


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> bytes:
    """Return the signed note of a checkpoint.

    Raises:
        CheckpointError: The signer's name is not the checkpoint's origin.
    """
    if signer.name != checkpoint.origin:
        raise CheckpointError(f"the key {signer.name!r} cannot sign for the log {checkpoint.origin!r}")
    return sign_note(checkpoint.encode(), [signer])


def open_checkpoint(note: bytes, verifier: Verifier) -> Checkpoint:
    """Return the checkpoint in a note that the log's key has signed.

    Raises:
        NoteError: The note is malformed or not signed by `verifier`; CheckpointError (a NoteError): it holds no
            checkpoint, or one whose origin is not the key's name.
    """
    checkpoint = Checkpoint.decode(open_note(note, [verifier]).text)
    if checkpoint.origin != verifier.name:
        raise CheckpointError(f"this is a checkpoint of the log {checkpoint.origin!r}, not of {verifier.name!r}")
    return checkpoint
