"""Signed notes (C2SP signed-note): text with Ed25519 signatures that a person can read and a program can check.

    <text, one or more lines, each ended by a newline>
    <an empty line>
    — <key name> <base64(key id, 4 bytes ‖ signature)>      one line per signature; the dash is U+2014

The text is split from the signatures at the *last* empty line; what is signed is the text with its final newline.

    key id       = first 4 bytes of SHA-256(name ‖ 0x0A ‖ type ‖ public key);  type 0x01 is Ed25519
    verifier key = name + "+" + hex8(key id) + "+" + base64(0x01 ‖ public key, 32 bytes)
    signer key   = "PRIVATE+KEY+" + name + "+" + hex8(key id) + "+" + base64(0x01 ‖ seed, 32 bytes)

Base64 may itself contain "+", so keys are split from the left. Worked example (from the specification):

    verifier key  example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k
    SHA-256("example.com/foo" ‖ 0x0A ‖ 01 e932791a…) begins 53 0d 90 3a, the key id
    note          This is an example message.⏎
                  ⏎
                  — example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72
                  IneyaQM=⏎     (one line in truth)
    "Uw2QOkn8" is base64 of 53 0d 90 3a 49 fc: the key id and the first two bytes of the signature.

Lines of unknown keys are ignored, whatever their type (witness cosignatures, post-quantum, private): a key is known by
its name and id together. Every line of a known key must verify. Decoding is total: a value or `NoteError`.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import ClassVar, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

TYPE_ED25519: Final = 0x01
KEY_BYTES: Final = 32
KEY_ID_BYTES: Final = 4
NOTE_LIMIT_BYTES: Final = 1_000_000
"""Longest note that is read: as in Go's reference implementation; ours are under 1 KB without witnesses."""
SIGNATURES_LIMIT: Final = 100
"""Most signature lines that are read. The specification asks for at least 16; each may cost a verification."""

_SIGNATURE_MARK: Final = "— "
_SIGNER_MARK: Final = "PRIVATE+KEY+"
# The specification's words: below U+0020. DEL and the C1 range are odd but allowed in text; in names U+0085 is a space.
_CONTROL_CHARACTER: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")


class NoteError(ValueError):
    """A note or a key that is malformed, or a note that no trusted key has signed."""


def decode_base64(text: str) -> bytes:
    """Return the bytes of standard base64, accepting only the one text that encodes them.

    Raises:
        NoteError: It is not base64, or not canonical (stray characters, wrong padding, non-zero spare bits).
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise NoteError(f"this is not base64: {text[:80]!r}") from None
    if encode_base64(data) != text:
        raise NoteError(f"this is base64, but not in its one canonical form: {text[:80]!r}")
    return data


def encode_base64(data: bytes) -> str:
    """Return standard base64 with padding (RFC 4648 §4)."""
    return base64.b64encode(data).decode("ascii")


def check_key_name(name: str) -> None:
    """See to it that a key may have this name.

    Raises:
        NoteError: it is empty, not valid UTF-8, or has a space, control character or '+'.
    """
    if not name or "+" in name or any(character.isspace() for character in name) or _CONTROL_CHARACTER.search(name):
        raise NoteError(f"a key name is non-empty and has no space, control character or '+': {name[:80]!r}")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise NoteError(f"a key name is valid UTF-8: {name[:80]!r}") from None


def _decode_key(name: str, id_hex: str, encoded: str, what: str, key_type: int) -> tuple[bytes, bytes]:
    """Return the key id that is claimed and the 32 bytes after the type byte."""
    if not re.fullmatch(r"[0-9a-f]{8}", id_hex):
        raise NoteError(f"the key id in the {what} of {name[:80]!r} is not 8 hexadecimal digits in lower case")
    data = decode_base64(encoded)
    if not data or data[0] != key_type:
        raise NoteError(f"the {what} of {name[:80]!r} is not of type {key_type}, the only type that can be used here")
    if len(data) != 1 + KEY_BYTES:
        raise NoteError(f"the {what} of {name[:80]!r} has {len(data) - 1} bytes of key instead of {KEY_BYTES}")
    return bytes.fromhex(id_hex), data[1:]


@dataclass(frozen=True, slots=True)
class Verifier:
    """A key that is trusted to sign: name and Ed25519 public key (32 bytes)."""

    KEY_TYPE: ClassVar[int] = TYPE_ED25519

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.public_key) != KEY_BYTES:
            raise NoteError(f"an Ed25519 public key has {KEY_BYTES} bytes, not {len(self.public_key)}")

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that, with the name, say whose signature a line is."""
        typed_key = bytes([self.KEY_TYPE]) + self.public_key
        return sha256(self.name.encode() + b"\n" + typed_key).digest()[:KEY_ID_BYTES]

    def encode(self) -> str:
        """Return the verifier key ("vkey") to hand to others."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(bytes([self.KEY_TYPE]) + self.public_key)}"

    @classmethod
    def decode(cls, vkey: str) -> Self:
        """Return the verifier of a vkey.

        Raises:
            NoteError: It is malformed, of another type, or its key id is not that of its key.
        """
        parts = vkey.split("+", 2)
        if len(parts) != 3:
            raise NoteError("a verifier key has the form name+keyid+base64")
        name, id_hex, encoded = parts
        key_id, public_key = _decode_key(name, id_hex, encoded, "verifier key", cls.KEY_TYPE)
        verifier = cls(name, public_key)
        if verifier.key_id != key_id:
            raise NoteError(f"the key id in the verifier key of {name!r} is not that of its key")
        return verifier

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Return whether `signature` (what follows the key id; 64 bytes) is this key's over `message`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that signs: name and Ed25519 seed (32 bytes, secret, never printed)."""

    name: str
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.seed) != KEY_BYTES:
            raise NoteError(f"an Ed25519 seed has {KEY_BYTES} bytes, not {len(self.seed)}")

    @classmethod
    def generate(cls, name: str) -> Self:
        """Return a new random key under `name`.

        Raises:
            NoteError: The name is empty or has a space, control character or '+'.
        """
        return cls(name, secrets.token_bytes(KEY_BYTES))

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(self.name, Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())

    def encode(self) -> str:
        """Return the signer key ("skey"). It is the secret itself."""
        encoded = encode_base64(bytes([TYPE_ED25519]) + self.seed)
        return f"{_SIGNER_MARK}{self.name}+{self.verifier.key_id.hex()}+{encoded}"

    @classmethod
    def decode(cls, skey: str) -> Self:
        """Return the signer of an skey.

        Raises:
            NoteError: It is malformed, of another type, or its key id is not that of its key. The text never quotes it.
        """
        parts = skey.removeprefix(_SIGNER_MARK).split("+", 2)
        if not skey.startswith(_SIGNER_MARK) or len(parts) != 3:
            raise NoteError("a signer key has the form PRIVATE+KEY+name+keyid+base64")
        name, id_hex, encoded = parts
        try:
            key_id, seed = _decode_key(name, id_hex, encoded, "signer key", TYPE_ED25519)
        except NoteError:
            raise NoteError(f"the signer key of {name[:80]!r} is malformed") from None
        signer = cls(name, seed)
        if signer.verifier.key_id != key_id:
            raise NoteError(f"the key id in the signer key of {name!r} is not that of its key")
        return signer

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature. Ed25519 is deterministic: the same message gives the same bytes."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(message)


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line."""

    name: str
    key_id: bytes  # 4 bytes
    signature: bytes  # what follows the key id; at least 1 byte, 64 for Ed25519

    @property
    def line(self) -> str:
        """The line as it stands in a note, with its newline."""
        return f"{_SIGNATURE_MARK}{self.name} {encode_base64(self.key_id + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """An opened note: its text, and who signed it."""

    text: str  # with its final newline
    verified: tuple[Signature, ...]  # of known keys; at least one; all good
    ignored: tuple[Signature, ...]  # of keys that were not asked for; nothing is known about them


def _check_text(text: str) -> None:
    if not text.endswith("\n"):
        raise NoteError("the text of a note ends with a newline")
    if _CONTROL_CHARACTER.search(text):
        raise NoteError("a note has no control character but the newline")


def sign_note(text: str, signers: Sequence[Signer]) -> bytes:
    """Return the note of `text` (ending in a newline), signed by every signer in order.

    Raises:
        NoteError: The text does not end in a newline, has control characters or lone surrogates; or nobody signs.
    """
    _check_text(text)
    if not signers:
        raise NoteError("a note without a signature is no note")
    try:
        message = text.encode()
    except UnicodeEncodeError:
        raise NoteError("the text of a note is valid UTF-8") from None
    lines = (Signature(signer.name, signer.verifier.key_id, signer.sign(message)).line for signer in signers)
    return message + b"\n" + "".join(lines).encode()


def _parse_line(line: str) -> Signature:
    # One cut: a further space ends up in the base64, which refuses it.
    parts = line.removeprefix(_SIGNATURE_MARK).split(" ", 1)
    if not line.startswith(_SIGNATURE_MARK) or len(parts) != 2:
        raise NoteError(f"this is not a signature line: {line[:80]!r}")
    name, encoded = parts
    check_key_name(name)
    data = decode_base64(encoded)
    if len(data) <= KEY_ID_BYTES:
        raise NoteError(f"the signature line of {name[:80]!r} holds no signature")
    return Signature(name, data[:KEY_ID_BYTES], data[KEY_ID_BYTES:])


def parse_note(message: bytes) -> tuple[str, tuple[Signature, ...]]:
    """Return the text of a note and its signature lines, none of them verified.

    Raises:
        NoteError: The note is malformed.
    """
    if len(message) > NOTE_LIMIT_BYTES:
        raise NoteError(f"a note has at most {NOTE_LIMIT_BYTES} bytes, this one has {len(message)}")
    try:
        whole = message.decode()
    except UnicodeDecodeError:
        raise NoteError("a note is valid UTF-8") from None
    text, separator, lines = whole.rpartition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise NoteError("a note is text, an empty line, and signature lines ended by a newline")
    text += "\n"
    _check_text(text)
    # Not splitlines(): it also cuts at U+2028 and its like.
    split = lines.removesuffix("\n").split("\n")
    if len(split) > SIGNATURES_LIMIT:
        raise NoteError(f"a note has at most {SIGNATURES_LIMIT} signatures, this one has {len(split)}")
    return text, tuple(_parse_line(line) for line in split)


def open_note(message: bytes, verifiers: Iterable[Verifier]) -> Note:
    """Return the note if at least one of the verifiers has signed it, and none of their signatures is bad.

    Raises:
        NoteError: The note is malformed, a known key's signature does not verify, or no known key has signed; or two
            verifiers share name and key id.
    """
    known: dict[tuple[str, bytes], Verifier] = {}
    for verifier in verifiers:
        if known.setdefault((verifier.name, verifier.key_id), verifier) != verifier:
            raise NoteError(f"two trusted keys share the name {verifier.name!r} and the id {verifier.key_id.hex()}")
    text, signatures = parse_note(message)
    verified, ignored = [], []
    signed = text.encode()
    for signature in signatures:
        signed_by = known.get((signature.name, signature.key_id))
        if signed_by is None:
            ignored.append(signature)
        elif signed_by.verify(signed, signature.signature):
            verified.append(signature)
        else:
            raise NoteError(f"the signature of {signature.name!r} does not verify")
    if not verified:
        trusted = ", ".join(sorted(name for name, _ in known)) or "nobody"
        raise NoteError(f"no trusted key has signed the note (trusted: {trusted})")
    return Note(text, tuple(verified), tuple(ignored))
