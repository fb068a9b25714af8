"""Cosignatures (C2SP tlog-cosignature, Ed25519): a witness's word that a checkpoint continues all that it saw before.

A cosignature is one more signature line on the checkpoint's note, of a key of type 0x04:

    — <witness name> <base64(key id, 4 bytes ‖ time, u64 big-endian, unix seconds ‖ Ed25519 signature, 64 bytes)>

What is signed, for a checkpoint of the log example.com/behind-the-sofa cosigned at 1679315147:

    cosignature/v1
    time 1679315147
    example.com/behind-the-sofa
    20852163
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    key id       = first 4 bytes of SHA-256(name ‖ 0x0A ‖ 0x04 ‖ public key)
    verifier key = name + "+" + hex8(key id) + "+" + base64(0x04 ‖ public key)

Worked example: 1679315147 is 64 18 50 cb, so the eight bytes after the key id are 00 00 00 00 64 18 50 cb. A key is
for one witness: the message does not hold its name. The secret half is kept as an ordinary signer key (type 0x01), as
other implementations of witnesses keep theirs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

from counters.ledger.note import NoteError, Signature, Signer, Verifier, parse_note

TYPE_COSIGNATURE: Final = 0x04
TIME_BYTES: Final = 8
MAX_TIME_S: Final = 2**63 - 1


def _message(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def cosigned_at(signature: bytes) -> int:
    """Return the time (unix seconds) in a cosignature: what follows the key id."""
    return int.from_bytes(signature[:TIME_BYTES], "big")


@dataclass(frozen=True, slots=True)
class WitnessKey(Verifier):
    """A witness's key: name and Ed25519 public key (32 bytes)."""

    KEY_TYPE: ClassVar[int] = TYPE_COSIGNATURE

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Return whether `signature` (time and 64 bytes) is this witness's over the checkpoint's text `message`."""
        time_s = cosigned_at(signature)
        if len(signature) <= TIME_BYTES or time_s > MAX_TIME_S:
            return False
        # slots=True makes a new class, which a bare super() does not know.
        return Verifier.verify(self, _message(message.decode(), time_s), signature[TIME_BYTES:])


def witness_key(signer: Signer) -> WitnessKey:
    """Return the public half of a witness's secret key."""
    return WitnessKey(signer.name, signer.verifier.public_key)


def cosign(text: str, signer: Signer, time_s: int) -> Signature:
    """Return the cosignature of a checkpoint's three lines.

    Args:
        text: the checkpoint, as `Checkpoint.encode` gives it.
        signer: the witness's secret key.
        time_s: unix seconds.
    """
    signature = time_s.to_bytes(TIME_BYTES, "big") + signer.sign(_message(text, time_s))
    return Signature(signer.name, witness_key(signer).key_id, signature)


def cosignatures(note: bytes, witnesses: Iterable[WitnessKey]) -> dict[WitnessKey, Signature]:
    """Return who of these witnesses has cosigned a note, and their line; of several, the first.

    Raises:
        NoteError: The note is malformed, or the line of one of them does not verify.
    """
    text, signatures = parse_note(note)
    by_key = {(witness.name, witness.key_id): witness for witness in witnesses}
    found: dict[WitnessKey, Signature] = {}
    for signature in signatures:
        witness = by_key.get((signature.name, signature.key_id))
        if witness is None:
            continue
        if not witness.verify(text.encode(), signature.signature):
            raise NoteError(f"the cosignature of {witness.name!r} does not verify")
        found.setdefault(witness, signature)
    return found


def with_cosignatures(note: bytes, lines: Iterable[Signature]) -> bytes:
    """Return the note with these signature lines after those that it has."""
    return note + "".join(line.line for line in lines).encode()
