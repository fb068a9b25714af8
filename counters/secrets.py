"""The event's two secrets and the keys derived from them.

The *event secret* authenticates: viewing tokens, hand-overs between gateway and ledger, and the bearer keys of
organiser and scanners all derive from it, so every host of an event needs just this one value. The *pseudonym key*
identifies: it is apart because auditors receive it in confidence, and must not be able to forge tokens with it.

File `secrets.json`, mode 0600: {"version": 1, "event_secret": hex 32 bytes, "pseudonym_key": hex 32 bytes,
"organiser_key": text, "scanner_key": text, "log": hex}. The keys are derived, written out for people to copy. `log` is
the SHA-256 of leaf 0 of the one log that these secrets belong to, once it has begun: viewing tokens and the registry
carry seats that this log's ledger has granted, and a second log would grant them to others.

Three of the derived keys can be changed while the event runs, because each has generations, 1 at first (`turnout
rotate-key`). `"generations": {"organiser": [1, 1], "scanner": [1, 2], "viewing-token": [2, 2]}` names of each the
oldest that is accepted, and the newest, which is given out; what is not there is [1, 1]. The one after the newest is
accepted as well: a host that has not got the new file yet takes what others give out already, and nobody without the
event secret can make it.
"""

import hashlib
import json
import secrets as _random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final

from counters.disk import DISK, Disk
from counters.durable_file import read_or_create, write_durably

SECRETS_FILE: Final = "secrets.json"
"""In the ledger's data directory."""
KEY_BYTES: Final = 32
GENERATIONS_LIMIT: Final = 200
"""The generation of a viewing token's key is one byte in the token: its key id."""
ORGANISER, SCANNER, VIEWING_TOKEN = "organiser", "scanner", "viewing-token"
ROTATED: Final = (ORGANISER, SCANNER, VIEWING_TOKEN)
"""What has generations."""


class SecretsError(Exception):
    """The secrets file cannot be used; says what to do."""


@dataclass(frozen=True, slots=True)
class Generations:
    """Which generations of a derived key are in use."""

    oldest: int = 1  # that is accepted
    newest: int = 1  # which is given out

    @property
    def accepted(self) -> range:
        """Those that are accepted."""
        return range(self.oldest, self.newest + 2)


@dataclass(frozen=True, slots=True)
class Secrets:
    """An event's secrets."""

    event_secret: bytes  # 32 bytes
    pseudonym_key: bytes  # 32 bytes
    generations: Mapping[str, Generations] = field(default_factory=dict)  # of `ROTATED`; those that are not the first

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

    def generations_of(self, name: str) -> Generations:
        """Return which generations of a key of `ROTATED` are in use."""
        return self.generations.get(name, Generations())

    def generations_in_use(self) -> dict[str, list[int]]:
        """Return the oldest and newest generation of every key that has some, as the file has them."""
        return {name: [used.oldest, used.newest] for name in ROTATED for used in [self.generations_of(name)]}

    @property
    def organiser_key(self) -> str:
        """The bearer key of the organiser's API."""
        return self._bearer(ORGANISER, self.generations_of(ORGANISER).newest)

    @property
    def scanner_key(self) -> str:
        """The bearer key of the badge scanners."""
        return self._bearer(SCANNER, self.generations_of(SCANNER).newest)

    def opens(self, credential: str, name: str) -> bool:
        """Whether this is a bearer key of the organiser (`ORGANISER`) or of scanners (`SCANNER`) that is accepted."""
        given = credential.encode()
        keys = [self._bearer(name, generation).encode() for generation in self.generations_of(name).accepted]
        return any([compare_digest(given, key) for key in keys])  # noqa: C419 - all of them, in whatever time that takes

    def _bearer(self, name: str, generation: int) -> str:
        return f"{name}-" + self.derive(name if generation == 1 else f"{name} {generation}").hex()[:40]


def load_secrets(path: Path) -> Secrets:
    """Read a secrets file.

    Raises:
        SecretsError: it is missing, unreadable or not what this version writes.
    """
    try:
        document = json.loads(path.read_bytes())
        values = Secrets(
            bytes.fromhex(document["event_secret"]),
            bytes.fromhex(document["pseudonym_key"]),
            _generations(document.get("generations", {})),
        )
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


def _generations(rows: Any) -> dict[str, Generations]:
    if not isinstance(rows, dict):
        raise TypeError("its generations are no table")
    found = {}
    for name, (oldest, newest) in rows.items():
        sound = type(oldest) is type(newest) is int and 1 <= oldest <= newest <= GENERATIONS_LIMIT
        if name not in ROTATED or not sound:
            raise ValueError(f"its generations of {name!r} are none")
        found[name] = Generations(oldest, newest)
    return found


def rotate(path: Path, name: str, *, withdraw: bool, disk: Disk = DISK) -> Secrets:
    """Take a new generation of a key into use; or, to `withdraw`, accept none but the newest from now on.

    Nothing that runs learns of it: each process reads the file when it starts.

    Raises:
        SecretsError: the file cannot be used, or there were too many generations.
        OSError: the disk refuses; the file is as it was.
    """
    now = load_secrets(path).generations_of(name)
    then = Generations(now.newest, now.newest) if withdraw else Generations(now.oldest, now.newest + 1)
    if then.newest > GENERATIONS_LIMIT:
        raise SecretsError(f"{path}: there were {now.newest} generations of this key, and there are no more")
    document = json.loads(path.read_bytes())
    generations = document.get("generations", {}) | {name: [then.oldest, then.newest]}
    secrets = replace(load_secrets(path), generations=_generations(generations))
    document |= {
        "generations": generations, "organiser_key": secrets.organiser_key, "scanner_key": secrets.scanner_key,
    }  # fmt: skip
    write_durably(path, json.dumps(document, indent=1).encode(), mode=0o600, disk=disk)
    return secrets


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
