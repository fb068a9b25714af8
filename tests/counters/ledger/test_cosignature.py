"""Cosignatures: made as the specification writes them, and none verifies that is not."""

from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from counters.ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from counters.ledger.cosignature import WitnessKey, cosign, cosignatures, cosigned_at, with_cosignatures, witness_key
from counters.ledger.note import NoteError, Signature, Signer, Verifier, encode_base64, open_note

LOG = Signer("example.com/behind-the-sofa", bytes(range(32)))
NEWS = Signer("witness.example/news", bytes(range(32, 64)))
TOWN = Signer("witness.example/town", bytes(range(64, 96)))
CHECKPOINT = Checkpoint(LOG.name, 20852163, bytes(range(32)))
NOTE = sign_checkpoint(CHECKPOINT, LOG)
TIME_S = 1679315147


def cosigned(*signers: Signer) -> bytes:
    return with_cosignatures(NOTE, [cosign(CHECKPOINT.encode(), signer, TIME_S) for signer in signers])


def test_a_cosignature_has_the_specifications_bytes() -> None:
    """Made here by hand from the specification's words, with nothing of ours but the checkpoint's text."""
    private = Ed25519PrivateKey.from_private_bytes(NEWS.seed)
    public = private.public_key().public_bytes_raw()
    message = b"cosignature/v1\ntime 1679315147\n" + CHECKPOINT.encode().encode()
    key_id = sha256(b"witness.example/news\n\x04" + public).digest()[:4]
    data = key_id + bytes.fromhex("00000000641850cb") + private.sign(message)
    assert cosigned(NEWS) == NOTE + f"— witness.example/news {encode_base64(data)}\n".encode()
    vkey = f"witness.example/news+{key_id.hex()}+{encode_base64(bytes([4]) + public)}"
    assert witness_key(NEWS).encode() == vkey
    assert WitnessKey.decode(vkey) == witness_key(NEWS)


def test_a_cosigned_note_still_opens_with_the_logs_key_and_with_both() -> None:
    note = cosigned(NEWS, TOWN)
    assert open_checkpoint(note, LOG.verifier) == CHECKPOINT
    opened = open_note(note, [LOG.verifier, witness_key(NEWS)])
    assert [signature.name for signature in opened.verified] == [LOG.name, NEWS.name]


def test_who_has_cosigned_is_found_with_the_time() -> None:
    found = cosignatures(cosigned(NEWS, TOWN), [witness_key(TOWN)])
    assert [(key.name, cosigned_at(line.signature)) for key, line in found.items()] == [(TOWN.name, TIME_S)]
    assert cosignatures(NOTE, [witness_key(NEWS)]) == {}


@pytest.mark.parametrize("at", range(4, 76))
def test_no_changed_byte_of_a_cosignature_verifies(at: int) -> None:
    good = cosign(CHECKPOINT.encode(), NEWS, TIME_S)
    data = bytearray(good.signature)
    data[at - 4] ^= 1
    with pytest.raises(NoteError, match="does not verify"):
        cosignatures(with_cosignatures(NOTE, [Signature(good.name, good.key_id, bytes(data))]), [witness_key(NEWS)])


@pytest.mark.parametrize("signature", [b"\0", bytes(8), bytes(71), bytes(73), b"\xff" * 72])
def test_a_cosignature_of_another_length_or_time_is_none(signature: bytes) -> None:
    assert not witness_key(NEWS).verify(CHECKPOINT.encode().encode(), signature)


def test_a_cosignature_of_another_checkpoint_is_none() -> None:
    other = Checkpoint(LOG.name, CHECKPOINT.size, bytes(32))
    line = cosign(other.encode(), NEWS, TIME_S)
    with pytest.raises(NoteError, match="does not verify"):
        cosignatures(with_cosignatures(NOTE, [line]), [witness_key(NEWS)])


def test_a_logs_key_is_no_witness_and_a_witness_no_log() -> None:
    with pytest.raises(NoteError, match="type 4"):
        WitnessKey.decode(LOG.verifier.encode())
    with pytest.raises(NoteError, match="type 1"):
        Verifier.decode(witness_key(NEWS).encode())
    plain = Signature(NEWS.name, witness_key(NEWS).key_id, NEWS.sign(CHECKPOINT.encode().encode()))
    with pytest.raises(NoteError, match="does not verify"):
        cosignatures(with_cosignatures(NOTE, [plain]), [witness_key(NEWS)])
