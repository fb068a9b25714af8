"""An issuer's public keys: a JWKS file read key by key, down to the members that a verifier needs.

The keys are part of leaf 0, which anyone may read: a private or a symmetric key is refused, never stripped in silence.
One malformed key does not hide the others: every problem is reported with the number of its key, counted from 1.

Sources: RFC 7517 (JWK), RFC 7518 §6 (EC, RSA), RFC 8037 (OKP), RFC 9864 (Ed25519 by name), RFC 7638 (thumbprint).
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ALGORITHMS: Final = ("ES256", "Ed25519", "RS256")
"""What an issuer may sign with: asymmetric, widely implemented, and measured (joserfc: 32 to 106 µs a verification)."""

ALIASES: Final = {"EdDSA": "Ed25519"}
"""RFC 9864 retired the name that fits two curves; Turnout says the curve."""

RSA_BITS_MIN: Final = 2048
"""NIST SP 800-131A: shorter moduli are no longer acceptable for signatures."""
RSA_BITS_MAX: Final = 8192
"""Verification time grows with the square of the modulus, and every join pays it."""
RSA_EXPONENT_BITS_MAX: Final = 32
"""Every key in use has e = 65537; a long exponent only makes each join slower."""
KID_LIMIT_CHARS: Final = 255
"""A key id travels in the head of every ticket."""
JWKS_LIMIT_BYTES: Final = 256 * 1024
"""Far above any real set of public keys; all keys together must fit leaf 0 (60,000 bytes) anyway."""

_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_KEPT_MEMBERS: Final = ("kty", "crv", "x", "y", "n", "e", "kid", "alg", "use")
_REQUIRED_BY_TYPE: Final = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}
_COORDINATE_BYTES: Final = 32


class IssuerKeyError(Exception):
    """A key or a key set that cannot be used. `wrong` says what is the matter, `fix` what to do about it."""

    def __init__(self, wrong: str, fix: str) -> None:
        super().__init__(f"{wrong}. {fix}")
        self.wrong = wrong
        self.fix = fix


def read_jwks(raw: bytes) -> list[Any]:
    """Return the still unchecked keys of a JWK set (RFC 7517 §5).

    Raises:
        IssuerKeyError: it is too large, no JSON, or not a set with at least one key.
    """
    if len(raw) > JWKS_LIMIT_BYTES:
        raise IssuerKeyError(f"it has {len(raw)} bytes, more than {JWKS_LIMIT_BYTES}", "Keep only the keys in use.")
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise IssuerKeyError(f"it is not JSON ({error})", 'Save the JWK set itself: {"keys": [...]}.') from error
    if isinstance(parsed, dict) and "keys" not in parsed and "kty" in parsed:
        raise IssuerKeyError("it is one key, not a set", 'Wrap it: {"keys": [ … ]}.')
    if not isinstance(parsed, dict) or not isinstance(parsed.get("keys"), list):
        raise IssuerKeyError("it is not a JWK set", 'It must be a JSON object {"keys": [ … ]}.')
    keys: list[Any] = parsed["keys"]
    return keys


def public_key(jwk: object, allowed: tuple[str, ...]) -> dict[str, str]:
    """Return the public members of one JWK, its algorithm checked against those that its issuer allows.

    Raises:
        IssuerKeyError: it is private, symmetric, malformed, not on its curve, too short, or of another algorithm.
    """
    if not isinstance(jwk, dict):
        raise IssuerKeyError("it is not a JSON object", "Export the public key as a JWK.")
    if jwk.get("kty") == "oct":
        raise IssuerKeyError(
            "it is a symmetric key: who can check a ticket with it can also forge one",
            "Let the issuer sign with ES256, Ed25519 or RS256 and save its public key. Replace the leaked secret.",
        )
    private = sorted(_PRIVATE_MEMBERS & jwk.keys())
    if private:
        raise IssuerKeyError(
            f"it is a private key (member {', '.join(private)}), and this file is published",
            "Save only the public key, and replace this one: it has left its owner's hands.",
        )
    key = {name: jwk[name] for name in _KEPT_MEMBERS if name in jwk}
    if not all(isinstance(value, str) for value in key.values()):
        raise IssuerKeyError("a member is not text", "Export the key again.")
    if key.get("use", "sig") != "sig":
        raise IssuerKeyError(f"its use is {key['use']!r}", 'Keep only the signing keys ("use": "sig").')
    if not 1 <= len(key.get("kid", "-")) <= KID_LIMIT_CHARS or not key.get("kid", "-").isprintable():
        raise IssuerKeyError("its kid is empty, too long or unprintable", f"Use at most {KID_LIMIT_CHARS} characters.")
    algorithm = algorithm_of(key)
    named = key.get("alg")
    if named is not None:
        key["alg"] = ALIASES.get(named, named)
        if key["alg"] != algorithm:
            raise IssuerKeyError(f"it says alg {named} but is a key for {algorithm}", "Correct alg, or leave it out.")
    if algorithm not in allowed:
        raise IssuerKeyError(
            f"it is a key for {algorithm}, which the issuer's algorithms do not list",
            f"Add {algorithm} to algorithms, or remove the key from the file.",
        )
    return key


def algorithm_of(jwk: Mapping[str, str]) -> str:
    """Return the one algorithm that a public key serves, having checked that the key is sound.

    Raises:
        IssuerKeyError: the key is of a type or curve that is not used here, or its numbers make no key.
    """
    kind = jwk.get("kty", ""), jwk.get("crv", "")
    try:
        match kind:
            case ("EC", "P-256"):
                x, y = (int.from_bytes(_coordinate(jwk, name)) for name in ("x", "y"))
                ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
                return "ES256"
            case ("OKP", "Ed25519"):
                ed25519.Ed25519PublicKey.from_public_bytes(_coordinate(jwk, "x"))
                return "Ed25519"
            case ("RSA", ""):
                _check_rsa(jwk)
                return "RS256"
    except ValueError as error:
        raise IssuerKeyError(f"it is no key ({error})", "Export the public key again from the issuer.") from error
    named = " ".join(part for part in kind if part) or "none"
    raise IssuerKeyError(f"its type {named} is not used here", "Use EC P-256, OKP Ed25519 or RSA.")


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """Return the RFC 7638 thumbprint of a public key: base64url of SHA-256, 43 characters.

    Raises:
        IssuerKeyError: its type is unknown or a required member is missing.
    """
    try:
        members = {name: jwk[name] for name in _REQUIRED_BY_TYPE[jwk["kty"]]}
    except KeyError as error:
        raise IssuerKeyError(f"it has no {error}", "Export the public key again from the issuer.") from error
    # RFC 7638 §3.3 asks for sorted members and no spaces: what RFC 8785 gives.
    digest = hashlib.sha256(rfc8785.dumps(members)).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _check_rsa(jwk: Mapping[str, str]) -> None:
    modulus, exponent = (int.from_bytes(_unpadded(jwk, name)) for name in ("n", "e"))
    bits = modulus.bit_length()
    if not RSA_BITS_MIN <= bits <= RSA_BITS_MAX:
        raise ValueError(f"{bits} bits, not {RSA_BITS_MIN} to {RSA_BITS_MAX}")
    if exponent.bit_length() > RSA_EXPONENT_BITS_MAX:
        raise ValueError(f"its exponent has more than {RSA_EXPONENT_BITS_MAX} bits")
    rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _coordinate(jwk: Mapping[str, str], name: str) -> bytes:
    raw = _unpadded(jwk, name)
    if len(raw) != _COORDINATE_BYTES:
        raise ValueError(f"{name} has {len(raw)} bytes, not {_COORDINATE_BYTES}")
    return raw


def _unpadded(jwk: Mapping[str, str], name: str) -> bytes:
    """Decode base64url without padding, the one spelling that a number has: a thumbprint must not depend on taste."""
    if name not in jwk:
        raise ValueError(f"{name} is missing")
    text = jwk[name]
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != text.encode():
        raise ValueError(f"{name} is not base64url without padding")
    return raw
