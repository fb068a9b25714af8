"""The event's two secrets and the keys derived from them.

The *event secret* authenticates: viewing tokens, hand-overs between gateway and ledger, and the bearer keys of
organiser and scanners all derive from it, so every host of an event needs just this one value. The *pseudonym key*
identifies: it is apart because auditors receive it in confidence, and must not be able to forge tokens with it.

File `secrets.json`, mode 0600: {"version": 1, "event_secret": hex 32 bytes, "pseudonym_key": hex 32 bytes,
"organiser_key": text, "scanner_key": text, "log": hex}. The keys are derived, written out for people to copy. `log` is
the SHA-256 of leaf 0 of the one log that these secrets belong to, once it has begun: viewing tokens and the registry
carry seats that this log's ledger has granted, and a second log would grant them to others.
"""

import hashlib
import json
import secrets as _random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from counters.disk import DISK, Disk
from counters.durable_file import read_or_create, write_durably

KEY_BYTES: Final = 32


class SecretsError(Exception):
    """The secrets file cannot be used; says what to do."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """An event's secrets."""

    event_secret: bytes  # 32 bytes
    pseudonym_key: bytes  # 32 bytes

    @classmethod
    def generate(cls) -> "Secrets":
        """Return fresh secrets from the operating system's randomness."""
        return cls(_random.token_bytes(KEY_BYTES), _random.token_bytes(KEY_BYTES))

    def derive(self, purpose: str) -> bytes:
        """Return the 32-byte key for a purpose, the same on all hosts and after restarts."""
        return hashlib.blake2b(purpose.encode(), key=self.event_secret, digest_size=KEY_BYTES).digest()

    @property
    def pseudonym_commitment(self) -> str:
        """SHA-256 (hex) that binds the event to its pseudonym key and reveals nothing of it."""
        return hashlib.sha256(b"turnout pseudonym key\0" + self.pseudonym_key).hexdigest()

    @property
    def audit_key(self) -> bytes:
        """32 bytes: under it the attendees' tokens are kept (counters.sealed_token).

        Derived from the event secret, so that every host has it, old secrets files too, and that the pseudonym key,
        which auditors receive, opens none of them.
        """
        return self.derive("audit")

    @property
    def organiser_key(self) -> str:
        """The bearer key of the organiser's API."""
        return "organiser-" + self.derive("organiser").hex()[:40]

    @property
    def scanner_key(self) -> str:
        """The bearer key of the badge scanners."""
        return "scanner-" + self.derive("scanner").hex()[:40]


def load_secrets(path: Path) -> Secrets:
    """Read a secrets file.

    Raises:
        SecretsError: it is missing, unreadable or not what this version writes.
    """
    try:
        document = json.loads(path.read_bytes())
        values = Secrets(bytes.fromhex(document["event_secret"]), bytes.fromhex(document["pseudonym_key"]))
    except FileNotFoundError:
        raise SecretsError(f"{path} is missing: copy it from the ledger's data directory") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SecretsError(f"{path} cannot be read as secrets ({error}): copy it again from the ledger") from error
    if document.get("version") != 1 or {len(values.event_secret), len(values.pseudonym_key)} != {KEY_BYTES}:
        raise SecretsError(f"{path} was written by another version of Turnout, or is cut short")
    return values


def load_or_create_secrets(path: Path, disk: Disk = DISK) -> Secrets:
    """Read the secrets file, or write a fresh one (mode 0600, durable before it is used).

    Raises:
        SecretsError: the file that is there cannot be used.
        OSError: the disk refuses.
    """
    read_or_create(path, _fresh, mode=0o600, disk=disk)
    return load_secrets(path)


def _fresh() -> bytes:
    secrets = Secrets.generate()
    document = {
        "version": 1,
        "event_secret": secrets.event_secret.hex(),
        "pseudonym_key": secrets.pseudonym_key.hex(),
        "organiser_key": secrets.organiser_key,
        "scanner_key": secrets.scanner_key,
    }
    return json.dumps(document, indent=1).encode()


def bind_to_log(path: Path, leaf: bytes, disk: Disk = DISK) -> None:
    """Note in the secrets file which log (its leaf 0) the secrets belong to.

    Raises:
        SecretsError: they belong to another one.
    """
    digest = hashlib.sha256(leaf).hexdigest()
    if (bound := bound_log(path)) == digest:
        return
    if bound:
        raise _another_log(path)
    # A crash before it is noted: the log is there, so the next start gets here again.
    document = json.loads(path.read_bytes()) | {"log": digest}
    write_durably(path, json.dumps(document, indent=1).encode(), mode=0o600, disk=disk)


def require_log(path: Path, *, begun: bool) -> None:
    """Refuse to begin a log with secrets that another one has used.

    Raises:
        SecretsError: the secrets belong to a log that is not here.
    """
    if not begun and path.exists() and bound_log(path):
        raise _another_log(path)


def bound_log(path: Path) -> str:
    """Return the digest of leaf 0 that the secrets belong to; "" if their log has not begun."""
    return str(json.loads(path.read_bytes()).get("log", ""))


def _another_log(path: Path) -> SecretsError:
    return SecretsError(
        f"{path} belongs to a log that is not here: its seats are given to people, and a new log would give them to "
        "others. Restore the data directory with its log; or, for another event, begin in an empty one"
    )
