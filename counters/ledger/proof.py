"""The offline envelope (C2SP tlog-proof): that one entry is in the log, in one text file.

    line            content
    first           c2sp.org/tlog-proof@v1
    optional        "extra " and base64 of data that nobody has signed; at least 1 byte
    next            "index " and the entry's number from 0, decimal without leading zeros
    0–63 lines      base64 of the inclusion proof's hashes, the leaf's sibling first
    an empty line
    the rest        the signed checkpoint, verbatim, with whatever cosignatures it carries

Worked example, entry 0 of a log of the two entries "one", "two" (the proof is the leaf hash of "two"):

    c2sp.org/tlog-proof@v1
    index 0
    <base64 of SHA-256(0x00 ‖ "two")>

    example.com/log/testdata
    2
    <base64 of the root>

    — example.com/log/testdata <base64>

Decoding and verifying are total: a value or `ProofError`.
"""

from dataclasses import dataclass
from typing import Final, Self

from counters.ledger.checkpoint import DECIMAL, Checkpoint, open_checkpoint
from counters.ledger.merkle import HASH_BYTES, MAX_SIZE, ProofError, leaf_hash, verify_inclusion
from counters.ledger.note import NoteError, Verifier, decode_base64, encode_base64

MAGIC: Final = "c2sp.org/tlog-proof@v1"
PROOF_LIMIT_HASHES: Final = 63
"""Longest inclusion proof: a tree of at most 2^63 − 1 leaves is 63 levels high."""


@dataclass(frozen=True, slots=True)
class TlogProof:
    """An entry's place in the log, its inclusion proof, and the checkpoint that it leads to; believed by nobody yet."""

    index: int  # from 0
    hashes: tuple[bytes, ...]  # 32 bytes each, the leaf's sibling first
    checkpoint_note: bytes  # the signed note
    extra: bytes | None = None  # not authenticated by anything

    def __post_init__(self) -> None:
        if not 0 <= self.index < MAX_SIZE:
            raise ProofError(f"there is no entry {self.index}")
        if len(self.hashes) > PROOF_LIMIT_HASHES:
            raise ProofError(f"an inclusion proof has at most {PROOF_LIMIT_HASHES} hashes, not {len(self.hashes)}")
        if any(len(value) != HASH_BYTES for value in self.hashes):
            raise ProofError(f"a hash of an inclusion proof has {HASH_BYTES} bytes")
        if self.extra == b"":
            raise ProofError("extra data of no bytes is left out instead")

    def encode(self) -> bytes:
        """Return the text, as UTF-8."""
        lines = [MAGIC]
        if self.extra is not None:
            lines.append(f"extra {encode_base64(self.extra)}")
        lines.append(f"index {self.index}")
        lines += [encode_base64(value) for value in self.hashes]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.checkpoint_note

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the proof in a text. Nothing in it is verified yet, and the checkpoint is not looked into.

        Raises:
            ProofError: The text is malformed.
        """
        head, separator, note = data.partition(b"\n\n")
        if not separator:
            raise ProofError("a tlog-proof is a head, an empty line and a checkpoint")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            raise ProofError("the head of a tlog-proof is ASCII") from None
        if lines.pop(0) != MAGIC:
            raise ProofError(f"a tlog-proof begins with the line {MAGIC}")
        try:
            extra = None
            if lines and lines[0].startswith("extra "):
                extra = decode_base64(lines.pop(0).removeprefix("extra "))
            index = lines.pop(0) if lines else ""
            hashes = tuple(decode_base64(line) for line in lines[: PROOF_LIMIT_HASHES + 1])
        except NoteError as error:
            raise ProofError(str(error)) from None
        number = index.removeprefix("index ")
        if not index.startswith("index ") or not DECIMAL.fullmatch(number):
            raise ProofError(f"the line 'index <decimal number>' of the tlog-proof is {index[:80]!r}")
        return cls(int(number), hashes, note, extra)

    def verify(self, entry: bytes, verifier: Verifier) -> Checkpoint:
        """Return the checkpoint that `verifier` has signed and in whose log `entry` is number `index`.

        Raises:
            ProofError: The checkpoint is malformed or not signed by that key, or the entry is not proven to be in it.
        """
        try:
            checkpoint = open_checkpoint(self.checkpoint_note, verifier)
        except NoteError as error:
            raise ProofError(f"the checkpoint of the proof: {error}") from None
        verify_inclusion(leaf_hash(entry), self.index, checkpoint.size, self.hashes, checkpoint.root)
        return checkpoint
