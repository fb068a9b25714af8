"""What an operator reads who is in the wrong folder, has the wrong key, or asks a ledger that is not there."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from counters.secrets import load_or_create_secrets
from gateway.cli import main
from tests.gateway.serving import RunningLedger, ledger


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, event_file: Path) -> Iterator[RunningLedger]:
    with ledger(event_file, tmp_path_factory.mktemp("ledger")) as one:
        yield one


def refused(*arguments: object) -> str:
    result = CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 2, result.output
    return result.stderr


def test_outside_the_data_directory_one_is_told_to_name_it(
    event_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (
        ("steer", event_file, "--show"), ("retire", event_file, "--gateway", "a"),
        ("issuer-key", event_file, "--show"), ("certify", event_file),
    ):  # fmt: skip
        said = refused(*command)
        assert "--data" in said
        assert "copy" not in said
    said = refused("rotate-key", "scanner")
    assert "turnout-data/secrets.json is not there" in said
    assert "--secrets" in said


@pytest.mark.parametrize("command", [("steer", "--show"), ("issuer-key", "--show"), ("retire", "--gateway", "a")])
def test_a_ledger_that_is_not_there_is_a_sentence(event_file: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    load_or_create_secrets(tmp_path / "secrets.json")
    said = refused(command[0], event_file, *command[1:], "--data", tmp_path, "--ledger", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9/v1/events/expo" in said
    assert "nothing listens there. Is it running?" in said
    assert "rrno" not in said


def test_a_key_that_the_ledger_does_not_know_is_said_with_its_file(
    running: RunningLedger, event_file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "secrets.json"
    load_or_create_secrets(other)
    for command in (("steer", "--show"), ("issuer-key", "--show"), ("retire", "--gateway", "a")):
        said = refused(command[0], event_file, *command[1:], "--ledger", running.url, "--secrets", other)
        assert f"the organiser key of {other}" in said
        assert "withdrawn" in said
    own = running.data / "secrets.json"
    kept = own.read_bytes()
    own.write_text(json.dumps(json.loads(kept) | {"event_secret": "00" * 32}))
    try:
        said = refused("certify", event_file, "--data", running.data, "-o", tmp_path / "c.json")
    finally:
        own.write_bytes(kept)
    assert f"the organiser key of {own}" in said
