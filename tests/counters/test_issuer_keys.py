"""Issuer keys: what is a usable public key, what is refused and why, and the RFC 7638 thumbprint."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from counters.issuer_keys import ALGORITHMS, IssuerKeyError, public_key, read_jwks, thumbprint

EC = ECKey.generate_key("P-256", parameters={"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", parameters={"kid": "ed"})
RSA = RSAKey.generate_key(2048, parameters={"kid": "rsa"})

# RFC 7638 §3.1 and RFC 8037 appendix A.3.
RFC_7638_RSA = {
    "kty": "RSA",
    "n": (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
        "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
        "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
        "nqDKgw"
    ),
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
RFC_8037_ED25519 = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


def public(key: ECKey | OKPKey | RSAKey, **changes: Any) -> dict[str, Any]:
    """The public JWK with members changed; None removes one."""
    members = {**key.as_dict(private=False), **changes}
    return {name: value for name, value in members.items() if value is not None}


def test_the_thumbprints_are_those_of_the_rfcs() -> None:
    assert thumbprint(RFC_7638_RSA) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert thumbprint(RFC_8037_ED25519) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("key", [EC, ED, RSA], ids=["EC", "OKP", "RSA"])
def test_the_thumbprint_is_the_one_that_joserfc_computes(key: ECKey | OKPKey | RSAKey) -> None:
    assert thumbprint(public(key)) == key.thumbprint()


@pytest.mark.parametrize("key", [EC, ED, RSA], ids=["EC", "OKP", "RSA"])
def test_a_public_key_keeps_what_a_verifier_needs_and_nothing_else(key: ECKey | OKPKey | RSAKey) -> None:
    assert public_key(public(key, x5c=["MII"], key_ops=["verify"], iat=1), ALGORITHMS) == public(key)


def test_eddsa_is_named_ed25519() -> None:
    assert public_key(public(ED, alg="EdDSA"), ALGORITHMS)["alg"] == "Ed25519"


def test_a_thumbprint_needs_a_known_type_and_its_members() -> None:
    for jwk in ({}, {"kty": "oct", "k": "AA"}, {"kty": "RSA", "e": "AQAB"}):
        with pytest.raises(IssuerKeyError):
            thumbprint(jwk)


OFF_CURVE = base64.urlsafe_b64encode(bytes(31) + b"\x07").rstrip(b"=").decode()

UNUSABLE: dict[str, tuple[Any, str]] = {
    "not an object": ("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE", "not a JSON object"),
    "private EC": (EC.as_dict(private=True), "private key (member d)"),
    "private Ed25519": (ED.as_dict(private=True), "private key (member d)"),
    "private RSA": (RSA.as_dict(private=True), "private key (member d, dp, dq, p, q, qi)"),
    "symmetric": (OctKey.generate_key(256).as_dict(private=True), "symmetric key"),
    "symmetric without its secret": ({"kty": "oct"}, "symmetric key"),
    "public with a secret beside it": (public(EC, k="AAAA"), "private key (member k)"),
    "member that is a number": (public(EC, kid=7), "a member is not text"),
    "for encryption": (public(EC, use="enc"), "its use is 'enc'"),
    "empty kid": (public(EC, kid=""), "its kid is empty"),
    "kid with a line break": (public(EC, kid="a\nb"), "unprintable"),
    "long kid": (public(EC, kid="k" * 256), "too long"),
    "no type": ({}, "its type none"),
    "another curve": (ECKey.generate_key("P-384").as_dict(private=False), "its type EC P-384"),
    "X25519, which signs nothing": (OKPKey.generate_key("X25519").as_dict(private=False), "its type OKP X25519"),
    "no y": (public(EC, y=None), "y is missing"),
    "a point off the curve": (public(EC, y=OFF_CURVE), "it is no key"),
    "a short coordinate": (public(ED, x="AAAA"), "x has 3 bytes, not 32"),
    "padded base64": (public(ED, x=str(ED.as_dict()["x"]) + "="), "it is no key"),
    "base64 of the other alphabet": (public(RSA, e="+/+/"), "not base64url"),
    "base64 outside ASCII": (public(ED, x="ä" * 43), "it is no key"),
    "short RSA": (public(RSA, n="AQAB"), "17 bits, not 2048 to 8192"),
    "slow RSA": (public(RSA, n="_" * 1368), "8208 bits, not 2048 to 8192"),
    "RSA with a long exponent": (public(RSA, e="_" * 8), "its exponent has more than 32 bits"),
    "RSA with an even exponent": (public(RSA, e="BA"), "it is no key"),
    "alg of another type": (public(EC, alg="RS256"), "it says alg RS256 but is a key for ES256"),
    "alg HS256 on a public key": (public(RSA, alg="HS256"), "it says alg HS256 but is a key for RS256"),
}


@pytest.mark.parametrize(("jwk", "wrong"), UNUSABLE.values(), ids=UNUSABLE)
def test_an_unusable_key_is_refused_with_its_reason(jwk: object, wrong: str) -> None:
    with pytest.raises(IssuerKeyError) as refused:
        public_key(jwk, ALGORITHMS)
    assert wrong in refused.value.wrong
    assert refused.value.fix


def test_a_key_for_an_algorithm_that_the_issuer_does_not_use_is_refused() -> None:
    with pytest.raises(IssuerKeyError, match="key for RS256, which the issuer's algorithms do not list"):
        public_key(public(RSA), ("ES256",))


@pytest.mark.parametrize(
    ("raw", "wrong"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a JWK set"),
        (b'{"keys": {}}', "not a JWK set"),
        (json.dumps(public(EC)).encode(), "one key, not a set"),
        (b" " * (256 * 1024 + 1), "it has 262145 bytes"),
    ],
)
def test_what_is_no_key_set_is_refused(raw: bytes, wrong: str) -> None:
    with pytest.raises(IssuerKeyError, match=wrong):
        read_jwks(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "d", "k"])
VALUES = st.sampled_from(["EC", "RSA", "OKP", "P-256", "Ed25519", "ES256", "sig", "AQAB"]) | st.text() | JSON


@given(st.sampled_from([EC, ED, RSA]), st.dictionaries(MEMBERS, VALUES, max_size=4))
def test_any_change_of_a_key_gives_a_usable_key_or_a_named_error(
    key: ECKey | OKPKey | RSAKey, changes: dict[str, Any]
) -> None:
    try:
        kept = public_key(public(key, **changes), ALGORITHMS)
    except IssuerKeyError:
        return
    assert len(thumbprint(kept)) == 43
    assert not {"d", "p", "k"} & kept.keys()


@given(JSON)
def test_any_json_is_a_usable_key_or_a_named_error(jwk: object) -> None:
    with pytest.raises(IssuerKeyError):
        public_key(jwk, ALGORITHMS)
