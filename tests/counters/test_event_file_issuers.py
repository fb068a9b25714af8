"""The event file's issuers: their names, and the keys in their files, each mistake named."""

import re
from pathlib import Path

import pytest
from joserfc.jwk import RSAKey

from counters.event import EventFileError, MissingDevelopmentKeys, load_event
from tests.counters.event_files import EC, ED, GOOD, problems, write


def test_two_issuers_cannot_have_the_same_name(tmp_path: Path) -> None:
    issuer = GOOD[GOOD.index("[[issuer]]") : GOOD.index("[counting]")]
    found = problems(write(tmp_path, GOOD.replace(issuer, issuer + issuer)))
    assert [line.split(" ", 1)[0] for line in found] == ["issuer[2].id", "issuer[2].issuer"]


def test_one_bad_key_is_named_by_its_number_and_hides_no_other(tmp_path: Path) -> None:
    good = EC.as_dict(private=False)
    keys = [good, {**good, "kid": "b", "y": "AAAA"}, ED.as_dict(private=True), {"kty": "oct", "k": "AA"}, good]
    found = problems(write(tmp_path, keys=keys))
    assert [re.search(r"key \d", line)[0] for line in found] == ["key 2", "key 3", "key 4", "key 5"]  # type: ignore[index]
    assert "private key" in found[1]
    assert "symmetric" in found[2]
    assert "stands twice" in found[3]


def test_two_keys_cannot_share_a_kid(tmp_path: Path) -> None:
    (found,) = problems(write(tmp_path, keys=[EC.as_dict(private=False), {**ED.as_dict(private=False), "kid": "ec"}]))
    assert "key 2: its kid ec stands twice" in found


def test_a_key_must_be_for_an_algorithm_of_its_issuer(tmp_path: Path) -> None:
    (found,) = problems(write(tmp_path, keys=[RSAKey.generate_key(2048).as_dict(private=False)]))
    assert "key 1: it is a key for RS256, which the issuer's algorithms do not list" in found


def test_encryption_keys_of_a_provider_are_passed_over(tmp_path: Path) -> None:
    encryption = {**RSAKey.generate_key(2048).as_dict(private=False), "use": "enc", "alg": "RSA-OAEP"}
    event = load_event(write(tmp_path, keys=[encryption, EC.as_dict(private=False)]))
    assert [key["kid"] for key in event.issuers[0].keys] == ["ec"]
    (found,) = problems(write(tmp_path, keys=[encryption]))
    assert "there is no key for signatures" in found


def test_an_empty_key_set_is_named_beside_other_problems(tmp_path: Path) -> None:
    found = problems(write(tmp_path, GOOD.replace('"views"', '"veiws"'), keys=[]))
    assert [line.split(" ", 1)[0] for line in found] == ["counting.rules", "issuer[1].jwks"]


def test_an_unreadable_key_set_is_one_problem(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "jwks.json").write_text("{")
    (found,) = problems(path)
    assert "issuer[1].jwks" in found
    assert "it is not JSON" in found


def test_missing_development_keys_are_a_problem_that_up_can_mend(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "jwks.json").unlink()
    with pytest.raises(MissingDevelopmentKeys, match="`turnout up` creates it") as missing:
        load_event(path)
    (keys,) = missing.value.missing
    assert (keys.issuer_id, keys.jwks, keys.algorithms) == ("tickets", tmp_path / "jwks.json", ("ES256", "Ed25519"))


def test_missing_keys_beside_other_problems_are_mended_by_nobody(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace('"views"', '"veiws"'))
    (tmp_path / "jwks.json").unlink()
    with pytest.raises(EventFileError) as found:
        load_event(path)
    assert not isinstance(found.value, MissingDevelopmentKeys)
    assert len(found.value.problems) == 2


def test_missing_keys_of_a_real_issuer_are_asked_for(tmp_path: Path) -> None:
    text = GOOD.replace("development = true", "")[: GOOD.index("[simulation]") - len("development = true")]
    path = write(tmp_path, text)
    (tmp_path / "jwks.json").unlink()
    (found,) = problems(path)
    assert "there is no file jwks.json" in found
    assert "Save the issuer's public keys" in found
