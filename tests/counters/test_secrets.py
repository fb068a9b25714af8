"""The event's secrets: made once, the same everywhere, refused when anything is wrong with their file."""

import json
from pathlib import Path

import pytest

from counters.secrets import (
    SCANNER,
    Secrets,
    SecretsError,
    bind_to_log,
    load_or_create_secrets,
    load_secrets,
    require_log,
    rotate,
)

ALICE = Secrets(bytes(range(32)), bytes(range(32, 64)))


def test_secrets_are_made_once_and_then_read() -> None:
    assert Secrets.generate() != Secrets.generate()
    assert len(Secrets.generate().event_secret) == len(Secrets.generate().pseudonym_key) == 32


def test_the_file_is_written_once_for_its_owner_only_and_read_ever_after(tmp_path: Path) -> None:
    path = tmp_path / "data" / "secrets.json"
    first = load_or_create_secrets(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_secrets(path) == load_secrets(path) == first
    assert [each.name for each in path.parent.iterdir()] == ["secrets.json"]
    document = json.loads(path.read_bytes())
    assert (document["organiser_key"], document["scanner_key"]) == (first.organiser_key, first.scanner_key)


def test_what_a_crash_left_half_written_is_neither_used_nor_readable_by_others(tmp_path: Path) -> None:
    (tmp_path / "secrets.json.new").write_text('{"version": 1')
    (tmp_path / "secrets.json.new").chmod(0o644)
    load_or_create_secrets(tmp_path / "secrets.json")
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_every_purpose_has_a_key_of_its_own_and_none_tells_of_the_pseudonym_key() -> None:
    keys = {ALICE.derive(purpose) for purpose in ("token 0", "token 1", "hand-over", "organiser", "scanner")}
    assert len(keys) == 5
    assert {len(key) for key in keys} == {32}
    other = Secrets(ALICE.event_secret, bytes(32))
    assert other.derive("token 0") == ALICE.derive("token 0")
    assert other.pseudonym_commitment != ALICE.pseudonym_commitment
    assert ALICE.organiser_key != ALICE.scanner_key


def test_a_missing_file_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(SecretsError, match="copy it from the ledger"):
        load_secrets(tmp_path / "secrets.json")


GOOD = {"version": 1, "event_secret": "00" * 32, "pseudonym_key": "11" * 32}


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b'"event_secret"', b"7", b"\xff\xfe",
        json.dumps(GOOD | {"version": 2}).encode(), json.dumps(GOOD | {"event_secret": "00" * 31}).encode(),
        json.dumps(GOOD | {"pseudonym_key": "x"}).encode(), json.dumps(GOOD | {"pseudonym_key": 7}).encode(),
        json.dumps({"version": 1, "event_secret": "00" * 32}).encode(),
    ],
)  # fmt: skip
def test_a_file_that_is_no_secrets_file_is_refused_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secrets.json").write_bytes(content)
    with pytest.raises(SecretsError, match=r"copy it again|another version"):
        load_secrets(tmp_path / "secrets.json")


def test_secrets_belong_to_one_log_and_begin_no_second_one(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    require_log(path, begun=False)
    secrets = load_or_create_secrets(path)
    require_log(path, begun=False)
    bind_to_log(path, b"leaf 0")
    bind_to_log(path, b"leaf 0")
    assert load_secrets(path) == secrets
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(SecretsError, match="belongs to a log that is not here"):
        bind_to_log(path, b"another leaf 0")
    with pytest.raises(SecretsError, match="belongs to a log that is not here"):
        require_log(path, begun=False)
    require_log(path, begun=True)


def test_a_key_is_rotated_beside_the_earlier_one_and_then_that_is_withdrawn(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = load_or_create_secrets(path)
    bind_to_log(path, b"leaf 0")
    assert rotate(path, SCANNER, withdraw=False) == load_secrets(path)
    both = load_secrets(path)
    assert both.scanner_key not in {first.scanner_key, first.organiser_key}
    assert json.loads(path.read_bytes())["scanner_key"] == both.scanner_key
    assert json.loads(path.read_bytes())["log"], "what else is in the file stays"
    assert path.stat().st_mode & 0o777 == 0o600
    new = rotate(path, SCANNER, withdraw=True)

    def opened_by(secrets: Secrets) -> list[bool]:
        return [secrets.opens(key, SCANNER) for key in (first.scanner_key, both.scanner_key, first.organiser_key, "")]

    # A host with the old file takes the new key already; one with the newest takes the old key no more.
    assert [opened_by(each)[:2] for each in (first, both, new)] == [[True, True], [True, True], [False, True]]
    assert not any(opened_by(each)[2] or opened_by(each)[3] for each in (first, both, new))
    assert (new.organiser_key, new.audit_key, new.pseudonym_key) == (
        first.organiser_key, first.audit_key, first.pseudonym_key,
    )  # fmt: skip
    assert rotate(path, SCANNER, withdraw=True) == new, "what was withdrawn can be withdrawn again"


@pytest.mark.parametrize(
    "rows", [{"scanner": [2, 1]}, {"scanner": [0, 1]}, {"scanner": [1, 201]}, {"scanner": [1]}, {"audit": [1, 2]},
             {"scanner": [True, True]}, {"scanner": 2}, []],
)  # fmt: skip
def test_generations_that_are_none_are_refused(tmp_path: Path, rows: object) -> None:
    (tmp_path / "secrets.json").write_text(json.dumps(GOOD | {"generations": rows}))
    with pytest.raises(SecretsError, match="cannot be read as secrets"):
        load_secrets(tmp_path / "secrets.json")


def test_there_is_an_end_to_generations(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(json.dumps(GOOD | {"generations": {"viewing-token": [200, 200]}}))
    with pytest.raises(SecretsError, match="there are no more"):
        rotate(path, "viewing-token", withdraw=False)
