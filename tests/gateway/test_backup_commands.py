"""`turnout backup` and `turnout restored` as a person at a terminal meets them."""

import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from counters.backup import read_committed
from counters.ledger.log import Log
from counters.ledger.reader import LogReader
from counters.log_entries import read_log
from counters.log_key import load_signer
from gateway.cli import main

OLD_EVENT = Path(__file__).parents[1] / "vectors" / "v1" / "data.tar.gz"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory of a small event, at rest."""
    with tarfile.open(OLD_EVENT) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "turnout-data"


def turnout(*arguments: str | Path, say: str = "") -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=say)


def test_a_backup_says_what_it_did(data: Path, tmp_path: Path) -> None:
    first = turnout("backup", data, tmp_path / "copy")
    assert first.exit_code == 0, first.output
    assert "log of 9 entries" in first.output
    assert first.stderr == "", "progress is for terminals"
    again = turnout("backup", data, tmp_path / "copy", "--check")
    assert (again.exit_code, "0 files copied (0 bytes)" in again.output) == (0, True), again.output


def test_damage_is_exit_code_1_and_nonsense_2(data: Path, tmp_path: Path) -> None:
    assert turnout("backup", data, data / "copy").exit_code == 2
    assert turnout("backup", tmp_path / "nothing", tmp_path / "copy").exit_code == 2
    assert turnout("backup", data / "log", tmp_path / "copy").exit_code == 2
    assert not (tmp_path / "copy").exists()
    damaged = max((data / "evidence").iterdir())
    damaged.write_bytes(b"?")
    result = turnout("backup", data, tmp_path / "copy")
    assert result.exit_code == 1
    assert f"DAMAGED: {damaged} is damaged" in result.output


def test_a_restoration_is_declared_only_when_it_is_meant(data: Path) -> None:
    refused = turnout("restored", data, say="n\n")
    assert refused.exit_code == 1
    assert "Is there no newer copy?" in refused.output
    assert read_committed(data).size == 9
    declared = turnout("restored", data, say="y\n")
    assert declared.exit_code == 0, declared.output
    assert "The log now says that it was restored (number 1)." in declared.output
    reader = LogReader(data / "log", load_signer(data).verifier)
    reader.full_check()
    (leaf,) = read_log(list(reader.entries())).restored
    assert (leaf.index, leaf.number, leaf.seen) == (9, 1, ())


def test_nothing_is_declared_while_a_ledger_runs_or_where_none_is(data: Path, tmp_path: Path) -> None:
    with Log.open(data / "log", load_signer(data)):
        result = turnout("restored", data)
        assert (result.exit_code, "stop" in result.output.lower(), "?" in result.output) == (2, True, False)
    (tmp_path / "empty").mkdir()
    result = turnout("restored", tmp_path / "empty", "--yes")
    assert (result.exit_code, "cannot be read" in result.output) == (2, True), result.output
    assert read_committed(data).size == 9


@pytest.mark.parametrize(
    ("command", "words"), [("backup", "the key that signs"), ("restored", "restored from a backup")]
)
def test_help_teaches_what_is_at_stake(command: str, words: str) -> None:
    assert words in " ".join(turnout(command, "--help").output.split())
