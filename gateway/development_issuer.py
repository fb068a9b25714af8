"""A development issuer: a key pair that signs tickets for demos, tests and load tests, and vouches for nobody.

`turnout up` and `turnout demo` create the keys of issuers that are marked `development = true`; `turnout token` mints
with them. Per issuer there are two files:

    DATA/development-issuer/<issuer id>.private.jwk.json   the private JWK (RFC 7517): mode 0600, with kid, alg and use
    the file that `jwks` in the event file names           the public JWK set

A load test may read the private JWK itself and sign as any issuer would.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey, import_key

from counters.durable_file import make_folder, read_or_create, write_durably
from counters.event import Event, Issuer, MissingDevelopmentKeys, MissingKeys, load_event
from counters.issuer_keys import IssuerKeyError, algorithm_of, read_jwks, thumbprint

FOLDER: Final = "development-issuer"
"""Below the data directory."""
LIFETIME_S: Final = 4 * 60 * 60
"""A development ticket lasts an afternoon: long enough to try things out, too short to be kept."""
RSA_BITS: Final = 2048
"""The shortest that issuers may use (counters.issuer_keys); generating a longer one delays every first start."""

_NO_CLAIMS: Final[Mapping[str, Any]] = MappingProxyType({})


class DevelopmentIssuerError(Exception):
    """The development keys cannot be used; the text says why and what to do."""


def private_key_path(directory: Path, issuer_id: str) -> Path:
    """Return where the private JWK of an issuer is kept; `directory` is DATA/development-issuer."""
    return directory / f"{issuer_id}.private.jwk.json"


class DevelopmentIssuer:
    """Signs with one private key, which it holds in memory."""

    def __init__(self, key: Key, algorithm: str) -> None:
        self._key = key
        self.algorithm = algorithm
        self.public_jwk: dict[str, Any] = dict(key.as_dict(private=False))
        self.thumbprint = thumbprint(self.public_jwk)

    @classmethod
    def create(cls, directory: Path, issuer_id: str, jwks: Path, algorithm: str = "ES256") -> "DevelopmentIssuer":
        """Return the issuer of `directory`, made if it is not there, and publish its key in the file `jwks`.

        A crash between the two files leaves a private key whose public half the next call publishes.

        Raises:
            DevelopmentIssuerError: a file that is already there is not what it should be, or cannot be written.
        """
        path = private_key_path(directory, issuer_id)
        try:
            make_folder(directory, mode=0o700)
            read_or_create(path, lambda: json.dumps(_generated(algorithm), indent=1).encode() + b"\n", mode=0o600)
            development_issuer = cls.load(directory, issuer_id)
            development_issuer.publish(jwks)
        except OSError as error:
            raise DevelopmentIssuerError(f"The development keys cannot be written: {error}.") from error
        return development_issuer

    @classmethod
    def load(cls, directory: Path, issuer_id: str) -> "DevelopmentIssuer":
        """Return the issuer whose private key is in `directory` (DATA/development-issuer).

        Raises:
            DevelopmentIssuerError: there is none, or it is unreadable.
        """
        path = private_key_path(directory, issuer_id)
        try:
            jwk = json.loads(path.read_bytes())
            algorithm = algorithm_of(jwk)  # first: it refuses symmetric keys, which importing would accept
            key = import_key(jwk)
        except FileNotFoundError as error:
            raise DevelopmentIssuerError(
                f"There is no private key {path.name} in {directory}. It was made with another data directory: name "
                "that one, or delete the issuer's jwks file and this data directory, and start `turnout up` again."
            ) from error
        except (OSError, ValueError, TypeError, AttributeError, RecursionError, JoseError, IssuerKeyError) as error:
            raise DevelopmentIssuerError(
                f"{path} is not a private key: {error}. Delete it and its jwks file."
            ) from error
        if not key.is_private:
            raise DevelopmentIssuerError(f"{path} is not a private key. Delete it and its jwks file.")
        return cls(key, algorithm)

    def mint(
        self,
        issuer: Issuer,
        subject: str,
        *,
        now: float,
        lifetime_s: float = LIFETIME_S,
        claims: Mapping[str, Any] = _NO_CLAIMS,
    ) -> str:
        """Return a signed ticket in compact form.

        Args:
            issuer: as in the event file; it gives `iss`, `aud` and the name of the subject claim.
            subject: the attendee.
            now: unix s, of the event's clock; becomes `iat`.
            lifetime_s: from `now` to `exp`.
            claims: further claims; they replace those above of the same name.

        Raises:
            DevelopmentIssuerError: the issuer is not a development issuer, or its jwks file has another key.
        """
        if not issuer.development:
            raise DevelopmentIssuerError(f"The issuer {issuer.id} is real: only it can sign its tickets.")
        if all(thumbprint(jwk) != self.thumbprint for jwk in issuer.keys):
            raise DevelopmentIssuerError(
                f"The jwks file of {issuer.id} does not have this key. Delete that file and start `turnout up` again."
            )
        payload = {
            "iss": issuer.issuer,
            "aud": issuer.audience,
            issuer.subject_claim: subject,
            "iat": int(now),
            "exp": int(now + lifetime_s),
            **claims,
        }
        header = {"alg": self.algorithm, "kid": self.public_jwk["kid"], "typ": "JWT"}
        return jwt.encode(header, payload, self._key, algorithms=[self.algorithm])

    def publish(self, jwks: Path) -> None:
        """Add the public key to a JWK set; other issuers may keep theirs in the same file."""
        make_folder(jwks.parent)
        try:
            keys = read_jwks(jwks.read_bytes()) if jwks.exists() else []
        except IssuerKeyError as error:
            raise DevelopmentIssuerError(f"{jwks}: {error}") from error
        if self.public_jwk not in keys:
            write_durably(jwks, json.dumps({"keys": [*keys, self.public_jwk]}, indent=1).encode() + b"\n")


def create_missing(directory: Path, missing: Iterable[MissingKeys]) -> None:
    """Create the keys that an event file's development issuers lack, each of the first algorithm that it allows.

    Raises:
        DevelopmentIssuerError: they cannot be written.
    """
    for keys in missing:
        algorithm = "ES256" if "ES256" in keys.algorithms else keys.algorithms[0]
        DevelopmentIssuer.create(directory, keys.issuer_id, keys.jwks, algorithm)


def load_event_creating_keys(path: Path, directory: Path) -> Event:
    """Return the event of an event file, its development issuers' missing keys created in `directory`.

    Raises:
        EventFileError: the event file has other problems.
        DevelopmentIssuerError: the keys cannot be written.
    """
    try:
        return load_event(path)
    except MissingDevelopmentKeys as error:
        create_missing(directory, error.missing)
        return load_event(path)


def _generated(algorithm: str) -> dict[str, Any]:
    """Return a new private JWK that says what it is for, its kid being its thumbprint."""
    key: Key
    match algorithm:
        case "ES256":
            key = ECKey.generate_key("P-256")
        case "Ed25519":
            key = OKPKey.generate_key("Ed25519")
        case "RS256":
            key = RSAKey.generate_key(RSA_BITS)
        case _:
            raise DevelopmentIssuerError(f"A development issuer cannot sign with {algorithm}.")
    return {**key.as_dict(private=True), "kid": key.thumbprint(), "alg": algorithm, "use": "sig"}
