"""Identity: a good ticket names its attendee, and every bad one is refused for its own reason and never otherwise."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from counters.event import Counting, Event, Issuer, Session
from gateway.identity import LEEWAY_S, TICKET_LIMIT_BYTES, Identity, IdentityVerifier, TicketRefused
from gateway.reasons import Reason

NOW = 1_700_355_600.0
EC_1 = ECKey.generate_key("P-256", parameters={"kid": "ec-1"})
EC_2 = ECKey.generate_key("P-256", parameters={"kid": "ec-2"})
ED = OKPKey.generate_key("Ed25519", parameters={"kid": "ed"})
RSA = RSAKey.generate_key(2048)  # without a kid
STRANGER = ECKey.generate_key("P-256", parameters={"kid": "ec-1"})
KEYS: dict[str, ECKey | OKPKey | RSAKey] = {"ES256": EC_1, "Ed25519": ED, "EdDSA": ED, "RS256": RSA}

TICKETS = Issuer(
    id="tickets",
    issuer="https://tickets.example",
    audience="expo",
    namespace="visitors",
    subject_claim="sub",
    operated_by="Ticket Shop",
    algorithms=("ES256", "Ed25519"),
    attributes={"land": "country", "kind": "category", "site": "outlet"},
    development=False,
    keys=tuple(key.as_dict(private=False) for key in (EC_1, EC_2, ED)),
)
MEMBERS = Issuer(
    id="members",
    issuer="https://members.example",
    audience="expo-members",
    namespace="members",
    subject_claim="member_id",
    operated_by="The Society",
    algorithms=("RS256",),
    attributes={},
    development=False,
    keys=(RSA.as_dict(private=False),),
)
EVENT = Event(
    id="expo",
    name="Expo",
    organiser="",
    time_zone="UTC",
    late_until=datetime(2023, 11, 23, tzinfo=UTC),
    sessions=(
        Session(1, "opening", "Opening", datetime(2023, 11, 19, tzinfo=UTC), datetime(2023, 11, 20, tzinfo=UTC), ()),
    ),
    issuers=(TICKETS, MEMBERS),
    counting=Counting(("views",), ()),
)
VERIFIER = IdentityVerifier(EVENT, lambda: NOW)
ES256_HEAD = {"alg": "ES256", "kid": "ec-1", "typ": "JWT"}
CLAIMS: dict[str, Any] = {"iss": "https://tickets.example", "aud": "expo", "sub": "anna", "exp": NOW + 600}
MEMBER_CLAIMS: dict[str, Any] = {
    "iss": "https://members.example", "aud": "expo-members", "member_id": "m-7", "exp": NOW + 600,
}  # fmt: skip


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(head: dict[str, Any] | bytes, claims: dict[str, Any] | bytes, key: ECKey | OKPKey | RSAKey = EC_1) -> str:
    """A compact JWS over any head and payload, signed in the one way that the key can."""
    parts = (part if isinstance(part, bytes) else json.dumps(part).encode() for part in (head, claims))
    signing_input = ".".join(map(b64, parts))
    algorithm = {"EC": "ES256", "OKP": "Ed25519", "RSA": "RS256"}[key.key_type]
    signature = JWSRegistry(algorithms=[algorithm]).get_alg(algorithm).sign(signing_input.encode(), key)
    return f"{signing_input}.{b64(signature)}"


def ticket(**changes: Any) -> str:
    """A ticket of the first issuer with claims changed; None removes one."""
    return signed(ES256_HEAD, {name: value for name, value in (CLAIMS | changes).items() if value is not None})


def head(**changes: Any) -> str:
    """A ticket with members of its head changed; None removes one."""
    return signed({name: value for name, value in (ES256_HEAD | changes).items() if value is not None}, CLAIMS)


def hmac_with_public_key(secret: bytes) -> str:
    signing_input = f"{b64(json.dumps({'alg': 'HS256', 'kid': 'ec-1'}).encode())}.{b64(json.dumps(CLAIMS).encode())}"
    return f"{signing_input}.{b64(hmac.digest(secret, signing_input.encode(), 'sha256'))}"


def unsigned(algorithm: str) -> str:
    return f"{b64(json.dumps({'alg': algorithm}).encode())}.{b64(json.dumps(CLAIMS).encode())}."


def with_last_bits_changed() -> str:
    """The same signature in another spelling: of the last character of 64 bytes, 4 bits carry nothing."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    good = ticket()
    return good[:-1] + alphabet[alphabet.index(good[-1]) ^ 1]


def refusal(compact_jwt: str, verifier: IdentityVerifier = VERIFIER) -> TicketRefused:
    with pytest.raises(TicketRefused) as refused:
        verifier.verify(compact_jwt)
    return refused.value


def test_a_good_ticket_names_its_attendee() -> None:
    good = ticket(land="cn", kind="press", site="Daily News")
    assert VERIFIER.verify(good) == Identity(
        issuer="tickets",
        namespace="visitors",
        subject="anna",
        key_thumbprint=EC_1.thumbprint(),
        token_digest=hashlib.sha256(good.encode()).digest(),
        expires_at=int(NOW) + 600,
        country="CN",
        category="press",
        outlet="Daily News",
    )


@pytest.mark.parametrize(
    ("compact_jwt", "key"),
    [
        (signed({"alg": "ES256", "kid": "ec-2"}, CLAIMS, EC_2), EC_2),
        (signed({"alg": "Ed25519", "kid": "ed"}, CLAIMS, ED), ED),
        (signed({"alg": "EdDSA", "kid": "ed"}, CLAIMS, ED), ED),
        (signed({"alg": "Ed25519"}, CLAIMS, ED), ED),  # one key fits
        (signed({"alg": "RS256"}, MEMBER_CLAIMS, RSA), RSA),
        (signed({"alg": "RS256", "kid": RSA.thumbprint()}, MEMBER_CLAIMS, RSA), RSA),
    ],
    ids=["ES256", "Ed25519", "EdDSA", "Ed25519 without kid", "RS256 without kid", "RS256 by thumbprint"],
)
def test_each_algorithm_and_each_way_of_naming_a_key_works(compact_jwt: str, key: ECKey | OKPKey | RSAKey) -> None:
    assert VERIFIER.verify(compact_jwt).key_thumbprint == key.thumbprint()


def test_each_issuer_has_its_own_subject_claim_and_namespace() -> None:
    identity = VERIFIER.verify(signed({"alg": "RS256"}, MEMBER_CLAIMS, RSA))
    assert (identity.issuer, identity.namespace, identity.subject) == ("members", "members", "m-7")


@pytest.mark.parametrize(
    "compact_jwt",
    [
        ticket(aud=["press", "expo"]),
        ticket(exp=NOW - LEEWAY_S + 1),
        ticket(nbf=NOW + LEEWAY_S, iat=NOW + LEEWAY_S),
        ticket(nbf=0, iat=0.5),
        ticket(sub="o" * 1024),
        ticket(sub="王小明"),
        ticket(unknown={"nested": [1, 2, {"deep": None}]}),
        head(typ=None),
        head(x5t="abc", unknown=[1]),
    ],
)
def test_what_is_unusual_but_right_is_accepted(compact_jwt: str) -> None:
    assert VERIFIER.verify(compact_jwt).issuer == "tickets"


PEM = EC_1.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
GOOD = ticket()
HEAD_PART, CLAIMS_PART, SIGNATURE_PART = GOOD.split(".")

BAD: dict[str, tuple[str, Reason]] = {
    "nothing": ("", Reason.TICKET_MALFORMED),
    "one part": ("abc", Reason.TICKET_MALFORMED),
    "a JWE": ("a.b.c.d.e", Reason.TICKET_MALFORMED),
    "three empty parts": ("..", Reason.TICKET_MALFORMED),
    "larger than 8 KiB": (ticket(pad="x" * TICKET_LIMIT_BYTES), Reason.TICKET_MALFORMED),
    "characters outside ASCII": (GOOD + "é", Reason.TICKET_MALFORMED),
    "a space at the end": (GOOD + " ", Reason.TICKET_MALFORMED),
    "a padded part": (GOOD + "==", Reason.TICKET_MALFORMED),
    "base64 of the other alphabet": (f"{HEAD_PART}.{CLAIMS_PART}.{'+/' * 43}", Reason.TICKET_MALFORMED),
    "another spelling of the signature": (with_last_bits_changed(), Reason.TICKET_MALFORMED),
    "a head that is no JSON": (signed(b"{", CLAIMS), Reason.TICKET_MALFORMED),
    "a head that is no object": (signed(b'"ES256"', CLAIMS), Reason.TICKET_MALFORMED),
    "a head in UTF-16": (signed(json.dumps(ES256_HEAD).encode("utf-16"), CLAIMS), Reason.TICKET_MALFORMED),
    "a payload that is no object": (signed(ES256_HEAD, b"[1]"), Reason.TICKET_MALFORMED),
    "a payload nested without end": (signed(ES256_HEAD, b'{"iss":' + b"[" * 5000), Reason.TICKET_MALFORMED),
    "a number without end": (signed(ES256_HEAD, b'{"exp":' + b"9" * 5000 + b"}"), Reason.TICKET_MALFORMED),
    "a claim twice": (signed(ES256_HEAD, b'{"iss":"a","iss":"b"}'), Reason.TICKET_MALFORMED),
    "a number that is none": (signed(ES256_HEAD, b'{"exp":NaN}'), Reason.TICKET_MALFORMED),
    "crit": (head(crit=["exp"]), Reason.TICKET_MALFORMED),
    "an unencoded payload": (head(b64=False), Reason.TICKET_MALFORMED),
    "no iss": (ticket(iss=None), Reason.TICKET_UNKNOWN_ISSUER),
    "another iss": (ticket(iss="https://forger.example"), Reason.TICKET_UNKNOWN_ISSUER),
    "an iss with a slash more": (ticket(iss="https://tickets.example/"), Reason.TICKET_UNKNOWN_ISSUER),
    "a list of iss": (ticket(iss=["https://tickets.example"]), Reason.TICKET_UNKNOWN_ISSUER),
    "alg none": (unsigned("none"), Reason.TICKET_ALGORITHM),
    "alg nOnE": (unsigned("nOnE"), Reason.TICKET_ALGORITHM),
    "no alg": (head(alg=None), Reason.TICKET_ALGORITHM),
    "alg that is no text": (head(alg=["ES256"]), Reason.TICKET_ALGORITHM),
    "HS256 with the public PEM as secret": (hmac_with_public_key(PEM), Reason.TICKET_ALGORITHM),
    "HS256 with the public JWK as secret": (
        hmac_with_public_key(json.dumps(EC_1.as_dict(private=False)).encode()), Reason.TICKET_ALGORITHM,
    ),
    "an ES256 ticket of an issuer that signs RS256": (signed(ES256_HEAD, MEMBER_CLAIMS), Reason.TICKET_ALGORITHM),
    "an RS256 ticket of an issuer that does not": (signed({"alg": "RS256"}, CLAIMS, RSA), Reason.TICKET_ALGORITHM),
    "alg Ed25519 with the kid of an EC key": (head(alg="Ed25519"), Reason.TICKET_ALGORITHM),
    "ES512, which nobody uses here": (head(alg="ES512"), Reason.TICKET_ALGORITHM),
    "an unknown kid": (head(kid="ec-3"), Reason.TICKET_UNKNOWN_KEY),
    "a kid that is no text": (head(kid=["ec-1"]), Reason.TICKET_UNKNOWN_KEY),
    "an empty kid": (head(kid=""), Reason.TICKET_UNKNOWN_KEY),
    "no kid, and a signature of none of the keys": (signed({"alg": "ES256"}, CLAIMS, STRANGER), Reason.TICKET_FORGED),
    "the kid of another issuer": (head(kid=RSA.thumbprint()), Reason.TICKET_UNKNOWN_KEY),
    "a stranger's key under a known kid": (signed(ES256_HEAD, CLAIMS, STRANGER), Reason.TICKET_FORGED),
    "a stranger's key brought along": (
        signed({"alg": "ES256", "jwk": STRANGER.as_dict(private=False), "kid": "ec-1"}, CLAIMS, STRANGER),
        Reason.TICKET_FORGED,
    ),
    "another key of the same issuer": (signed(ES256_HEAD, CLAIMS, EC_2), Reason.TICKET_FORGED),
    "other claims under the same signature": (
        f"{HEAD_PART}.{b64(json.dumps(CLAIMS | {'sub': 'bert'}).encode())}.{SIGNATURE_PART}", Reason.TICKET_FORGED,
    ),
    "no signature": (f"{HEAD_PART}.{CLAIMS_PART}.", Reason.TICKET_FORGED),
    "a short signature": (f"{HEAD_PART}.{CLAIMS_PART}.{b64(bytes(63))}", Reason.TICKET_FORGED),
    "a signature of zeros (CVE-2022-21449)": (f"{HEAD_PART}.{CLAIMS_PART}.{b64(bytes(64))}", Reason.TICKET_FORGED),
    "a signature out of range": (f"{HEAD_PART}.{CLAIMS_PART}.{b64(bytes([255]) * 64)}", Reason.TICKET_FORGED),
    "a signature in DER": (f"{HEAD_PART}.{CLAIMS_PART}.{b64(b'0' * 70)}", Reason.TICKET_FORGED),
    "no aud": (ticket(aud=None), Reason.TICKET_AUDIENCE),
    "another aud": (ticket(aud="other"), Reason.TICKET_AUDIENCE),
    "a list without our aud": (ticket(aud=["other", ["expo"], 7]), Reason.TICKET_AUDIENCE),
    "an aud that is a table": (ticket(aud={"expo": True}), Reason.TICKET_AUDIENCE),
    "an aud that only contains ours": (ticket(aud="expo2"), Reason.TICKET_AUDIENCE),
    "the aud of another issuer": (ticket(aud="expo-members"), Reason.TICKET_AUDIENCE),
    "expired": (ticket(exp=NOW - LEEWAY_S), Reason.TICKET_EXPIRED),
    "expired long ago": (ticket(exp=0), Reason.TICKET_EXPIRED),
    "no exp": (ticket(exp=None), Reason.TICKET_CLAIMS),
    "exp in quotes": (ticket(exp=str(NOW + 600)), Reason.TICKET_CLAIMS),
    "exp that is a flag": (ticket(exp=True), Reason.TICKET_CLAIMS),
    "exp before 1970": (ticket(exp=-1), Reason.TICKET_CLAIMS),
    "exp beyond all time": (ticket(exp=2**60), Reason.TICKET_CLAIMS),
    "exp that overflows": (signed(ES256_HEAD, json.dumps(CLAIMS)[:-1].encode() + b', "nbf": 1e999}'),
                           Reason.TICKET_CLAIMS),
    "nbf that is no time": (ticket(nbf="now"), Reason.TICKET_CLAIMS),
    "iat that is no time": (ticket(iat=[]), Reason.TICKET_CLAIMS),
    "not valid yet": (ticket(nbf=NOW + LEEWAY_S + 1), Reason.TICKET_NOT_YET_VALID),
    "issued in the future": (ticket(iat=NOW + LEEWAY_S + 1), Reason.TICKET_NOT_YET_VALID),
    "no subject": (ticket(sub=None), Reason.TICKET_WITHOUT_SUBJECT),
    "an empty subject": (ticket(sub=""), Reason.TICKET_WITHOUT_SUBJECT),
    "a blank subject": (ticket(sub=" \t"), Reason.TICKET_WITHOUT_SUBJECT),
    "a subject that is a number": (ticket(sub=7), Reason.TICKET_WITHOUT_SUBJECT),
    "a subject in another claim": (signed({"alg": "RS256"}, MEMBER_CLAIMS | {"member_id": "", "sub": "m-7"}, RSA),
                                   Reason.TICKET_WITHOUT_SUBJECT),
    "a subject without end": (ticket(sub="o" * 1025), Reason.TICKET_CLAIMS),
    "a subject that is no Unicode": (ticket(sub="\ud800"), Reason.TICKET_CLAIMS),
}  # fmt: skip


@pytest.mark.parametrize(("compact_jwt", "reason"), BAD.values(), ids=BAD)
def test_a_bad_ticket_is_refused_for_its_reason(compact_jwt: str, reason: Reason) -> None:
    refused = refusal(compact_jwt)
    assert refused.reason is reason, refused.detail
    assert refused.detail.isascii()
    assert refused.detail.isprintable()
    assert len(refused.detail) < 250


def test_every_reason_to_refuse_a_ticket_is_tried() -> None:
    reasons = {reason for reason in Reason if reason.name.startswith("TICKET_")}
    # No header: join says that. A retired key: tests/gateway/test_issuer_keys.py.
    assert {reason for _, reason in BAD.values()} == reasons - {Reason.TICKET_MISSING, Reason.TICKET_KEY_RETIRED}


def test_a_ticket_of_exactly_8_kib_is_still_read() -> None:
    longest = max((ticket(pad="x" * size) for size in range(5800, 6000)), key=lambda t: len(t) * (len(t) <= 8192))
    assert 8180 <= len(longest) <= TICKET_LIMIT_BYTES
    assert VERIFIER.verify(longest).subject == "anna"


@pytest.mark.parametrize(
    ("claimed", "country"),
    [("FR", "FR"), ("fr", "FR"), ("FRA", ""), ("", ""), ("F1", ""), ("ßß", ""), (33, ""), (None, ""), (["FR"], "")],
)
def test_a_country_is_two_capital_letters_or_unknown(claimed: object, country: str) -> None:
    assert VERIFIER.verify(ticket(land=claimed)).country == country


@pytest.mark.parametrize(
    ("claimed", "category"),
    [("press", "press"), (" press ", "press"), ("x" * 65, "x" * 64), ("a\nb", ""), ("\ud800", ""), (7, ""), (None, "")],
)
def test_an_attribute_is_short_printable_text_or_unknown(claimed: object, category: str) -> None:
    assert VERIFIER.verify(ticket(kind=claimed)).category == category


def test_the_clock_is_that_of_the_event() -> None:
    times: Iterator[float] = iter([NOW, NOW + 3600])
    verifier = IdentityVerifier(EVENT, lambda: next(times))
    good = ticket()
    assert verifier.verify(good).subject == "anna"
    assert refusal(good, verifier).reason is Reason.TICKET_EXPIRED


def test_one_issuers_key_vouches_for_no_other_issuer() -> None:
    assert refusal(signed({"alg": "RS256"}, MEMBER_CLAIMS | {"iss": TICKETS.issuer}, RSA)).reason in {
        Reason.TICKET_ALGORITHM, Reason.TICKET_UNKNOWN_KEY,
    }  # fmt: skip


def test_tickets_of_the_development_issuer_verify(event: Event, mint: Callable[..., str]) -> None:
    identity = IdentityVerifier(event, lambda: NOW).verify(mint("carla", now=NOW, claims={"country": "fr"}))
    assert (identity.subject, identity.country) == ("carla", "FR")


def outcome(compact_jwt: str) -> Identity | Reason:
    """What the verifier says; any exception but TicketRefused fails the test."""
    try:
        return VERIFIER.verify(compact_jwt)
    except TicketRefused as refused:
        return refused.reason


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_arbitrary_text_names_nobody(text: str) -> None:
    assert isinstance(outcome(text), Reason)


@given(st.data())
def test_a_ticket_with_any_character_changed_names_nobody(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(GOOD) - 1))
    other = data.draw(st.characters(max_codepoint=0x17F).filter(lambda character: character != GOOD[at]))
    assert isinstance(outcome(GOOD[:at] + other + GOOD[at + 1 :]), Reason)


@given(st.integers(0, len(GOOD) - 1), st.text(min_size=1, max_size=3))
def test_a_ticket_cut_short_or_with_something_behind_it_names_nobody(length: int, behind: str) -> None:
    assert isinstance(outcome(GOOD[:length]), Reason)
    assert isinstance(outcome(GOOD + behind), Reason)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)
HEADS = st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64", "typ", "jwk", "zip"]), JSON, max_size=2)
CHANGES = st.dictionaries(st.sampled_from([*CLAIMS, "nbf", "iat", "land", "kind", "site", "x"]), JSON, max_size=3)


@given(HEADS, CHANGES)
def test_a_well_signed_ticket_with_any_claims_names_its_subject_or_nobody(
    head_changes: dict[str, Any], changes: dict[str, Any]
) -> None:
    claims = CLAIMS | changes
    found = outcome(signed(ES256_HEAD | head_changes, claims))
    if isinstance(found, Identity):
        assert found.subject == claims["sub"]
        assert claims["iss"] == TICKETS.issuer
        assert claims["exp"] > NOW - LEEWAY_S
        assert all(len(text) <= 64 for text in (found.country, found.category, found.outlet))


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=80))
def test_arbitrary_parts_name_nobody(first: bytes, second: bytes, third: bytes) -> None:
    assert isinstance(outcome(".".join(map(b64, (first, second, third)))), Reason)
    assert isinstance(outcome(f"{HEAD_PART}.{b64(second)}.{b64(third)}"), Reason)
    assert isinstance(outcome(f"{HEAD_PART}.{CLAIMS_PART}.{b64(third)}"), Reason)
