"""The development issuer: keys created once, kept private, published where the event file says; its tickets verify."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, import_key

from counters.event import EventFileError, MissingDevelopmentKeys, load_event
from gateway.development_issuer import (
    LIFETIME_S,
    DevelopmentIssuer,
    DevelopmentIssuerError,
    load_event_creating_keys,
    private_key_path,
)
from gateway.identity import IdentityVerifier, TicketRefused
from gateway.reasons import Reason

NOW = 1_700_355_600.0


@pytest.fixture
def fresh(tmp_path: Path, event_file: Path) -> Path:
    """A copy of the event file whose issuer has no keys yet."""
    path = tmp_path / "expo.toml"
    path.write_bytes(event_file.read_bytes())
    return path


def keys_of(jwks: Path) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = json.loads(jwks.read_bytes())["keys"]
    return keys


def test_missing_keys_are_created_and_their_tickets_verify(fresh: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingDevelopmentKeys):
        load_event(fresh)
    event = load_event_creating_keys(fresh, tmp_path / "data")
    development_issuer = DevelopmentIssuer.load(tmp_path / "data", "tickets")
    ticket = development_issuer.mint(event.issuers[0], "anna", now=NOW, claims={"country": "CN"})
    identity = IdentityVerifier(event, lambda: NOW).verify(ticket)
    assert (identity.subject, identity.country) == ("anna", "CN")
    assert identity.expires_at == int(NOW) + LIFETIME_S
    assert identity.key_thumbprint == development_issuer.thumbprint


def test_keys_that_are_there_are_kept(fresh: Path, tmp_path: Path) -> None:
    first = load_event_creating_keys(fresh, tmp_path / "data")
    assert load_event_creating_keys(fresh, tmp_path / "data").digest == first.digest


def test_a_crash_between_the_two_files_costs_no_key(fresh: Path, tmp_path: Path) -> None:
    first = load_event_creating_keys(fresh, tmp_path / "data")
    (tmp_path / "jwks.json").unlink()
    assert load_event_creating_keys(fresh, tmp_path / "data").digest == first.digest


def test_other_problems_of_the_event_file_are_told_and_create_nothing(fresh: Path, tmp_path: Path) -> None:
    fresh.write_text(fresh.read_text(encoding="utf-8").replace('name = "Expo"', ""), encoding="utf-8")
    with pytest.raises(EventFileError, match=r"event\.name"):
        load_event_creating_keys(fresh, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_the_private_key_is_for_its_owner_only_and_the_public_set_holds_nothing_private(tmp_path: Path) -> None:
    DevelopmentIssuer.create(tmp_path / "data", "tickets", tmp_path / "public" / "jwks.json")
    private = tmp_path / "data" / "tickets.private.jwk.json"
    assert private == private_key_path(tmp_path / "data", "tickets")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700
    (key,) = keys_of(tmp_path / "public" / "jwks.json")
    assert "d" not in key
    assert sorted(path.name for path in tmp_path.rglob("*.json")) == ["jwks.json", "tickets.private.jwk.json"]


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519", "RS256"])
def test_an_outsider_can_sign_with_the_private_jwk_alone(fresh: Path, tmp_path: Path, algorithm: str) -> None:
    fresh.write_text(fresh.read_text(encoding="utf-8").replace('["ES256"]', f'["{algorithm}"]'), encoding="utf-8")
    event = load_event_creating_keys(fresh, tmp_path / "data")
    private = json.loads((tmp_path / "data" / "tickets.private.jwk.json").read_bytes())
    assert private["alg"] == algorithm
    claims = {"iss": "https://tickets.example", "aud": "expo", "sub": "anna", "exp": int(NOW) + 60}
    head = {"alg": private["alg"], "kid": private["kid"]}
    ticket = jwt.encode(head, claims, import_key(private), algorithms=[algorithm])
    assert IdentityVerifier(event, lambda: NOW).verify(ticket).subject == "anna"


def test_two_issuers_may_publish_in_one_file(tmp_path: Path) -> None:
    for issuer_id in ("tickets", "members", "tickets"):
        DevelopmentIssuer.create(tmp_path, issuer_id, tmp_path / "jwks.json")
    kids = [key["kid"] for key in keys_of(tmp_path / "jwks.json")]
    assert kids == [DevelopmentIssuer.load(tmp_path, name).thumbprint for name in ("tickets", "members")]


def test_claims_can_be_added_and_replaced_and_the_lifetime_chosen(fresh: Path, tmp_path: Path) -> None:
    event = load_event_creating_keys(fresh, tmp_path / "data")
    development_issuer = DevelopmentIssuer.load(tmp_path / "data", "tickets")
    verifier = IdentityVerifier(event, lambda: NOW)
    ticket = development_issuer.mint(event.issuers[0], "anna", now=NOW, lifetime_s=5, claims={"aud": ["x", "expo"]})
    assert verifier.verify(ticket).expires_at == int(NOW) + 5
    with pytest.raises(TicketRefused) as refused:
        verifier.verify(development_issuer.mint(event.issuers[0], "anna", now=NOW, claims={"aud": "x"}))
    assert refused.value.reason is Reason.TICKET_AUDIENCE


def test_the_keys_of_another_data_directory_are_not_passed_off(fresh: Path, tmp_path: Path) -> None:
    event = load_event_creating_keys(fresh, tmp_path / "data")
    with pytest.raises(DevelopmentIssuerError, match="made with another data directory"):
        DevelopmentIssuer.load(tmp_path / "other", "tickets")
    other = DevelopmentIssuer.create(tmp_path / "other", "tickets", tmp_path / "other.json")
    with pytest.raises(DevelopmentIssuerError, match="does not have this key"):
        other.mint(event.issuers[0], "anna", now=NOW)


def test_a_real_issuer_signs_its_own_tickets(fresh: Path, tmp_path: Path) -> None:
    load_event_creating_keys(fresh, tmp_path / "data")
    fresh.write_text(fresh.read_text(encoding="utf-8").replace("development = true", ""), encoding="utf-8")
    with pytest.raises(DevelopmentIssuerError, match="The issuer tickets is real"):
        DevelopmentIssuer.load(tmp_path / "data", "tickets").mint(load_event(fresh).issuers[0], "anna", now=NOW)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "[" * 50_000,
        '{"kty": "oct", "k": "AAAA"}',
        '{"kty": "EC", "crv": "P-256"}',
        json.dumps(ECKey.generate_key("P-256").as_dict(private=False)),
    ],
    ids=["empty", "torn", "a list", "nested", "symmetric", "half a key", "public"],
)
def test_a_damaged_private_key_is_one_clear_error(tmp_path: Path, content: str) -> None:
    private_key_path(tmp_path, "tickets").write_text(content)
    with pytest.raises(DevelopmentIssuerError, match="is not a private key"):
        DevelopmentIssuer.load(tmp_path, "tickets")


def test_a_key_set_that_is_none_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_text("precious")
    with pytest.raises(DevelopmentIssuerError, match="not JSON"):
        DevelopmentIssuer.create(tmp_path / "data", "tickets", tmp_path / "jwks.json")
    assert (tmp_path / "jwks.json").read_text() == "precious"


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(DevelopmentIssuerError, match="cannot be written"):
        DevelopmentIssuer.create(tmp_path / "data", "tickets", tmp_path / "jwks.json")


def test_only_the_three_algorithms_can_be_had(tmp_path: Path) -> None:
    with pytest.raises(DevelopmentIssuerError, match="cannot sign with HS256"):
        DevelopmentIssuer.create(tmp_path, "tickets", tmp_path / "jwks.json", "HS256")
