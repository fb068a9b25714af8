"""The main job on real processes: from tickets to a certificate that verifies; and what tampering does to it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from counters.clock import SimulatedClock
from counters.event import load_event
from deploy.embedded_redis import ServerProgram
from gateway.cli import main

DEMO_S = 110
"""It takes some 20 seconds on a quiet machine."""


@pytest.fixture(scope="module")
def convention(redis_program: ServerProgram, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001 - it is there
    """The data directory of `turnout demo --small`."""
    data = tmp_path_factory.mktemp("convention") / "demo"
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "demo", "--small", "--data", str(data)],
        capture_output=True, text=True, timeout=DEMO_S, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "All held: certificate verified, 0 numbers differ. SIMULATED." in done.stdout
    return data


def test_a_folder_that_is_plainly_another_one_accuses_nobody(convention: Path) -> None:
    for option in ("--log", "--evidence"):
        given = ["verify", str(convention / "certificate.json"), option, str(convention / "redis")]
        result = CliRunner().invoke(main, given)
        assert result.exit_code == 2
        assert "is that the right folder?" in result.output


def verify(data: Path) -> tuple[int, str]:
    """Run `turnout verify` over everything that is published and everything that auditors get."""
    result = CliRunner().invoke(
        main, ["verify", str(data / "certificate.json"), "--log", str(data / "log"), "--evidence",
               str(data / "evidence"), "--policy", str(data / "trust-policy")],
    )  # fmt: skip
    return result.exit_code, result.output


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(bytes(raw))


def a_number(data: Path) -> Path:
    """Another digit in the certificate's first number."""
    path = data / "certificate.json"
    text = path.read_bytes()
    at = text.index(b'"value":') + len(b'"value":')
    flip(path, at)
    assert json.loads(path.read_bytes()), "still JSON, only untrue"
    return path


def the_proof(data: Path) -> Path:
    path = data / "certificate.tlog-proof"
    raw = path.read_bytes()
    at = raw.index(b"\n", raw.index(b"index ")) + 3
    flip(path, at)
    return path


def an_evidence_file(data: Path) -> Path:
    path = max((data / "evidence").iterdir(), key=lambda file: file.stat().st_size)
    flip(path, path.stat().st_size - 1)
    return path


def a_manifest(data: Path) -> Path:
    path = next(file for file in sorted((data / "evidence").iterdir()) if file.read_bytes().startswith(b"{"))
    flip(path, path.stat().st_size // 2)
    return path


def a_tile_of_hashes(data: Path) -> Path:
    path = max((data / "log" / "tile" / "0").rglob("*"), key=lambda file: file.is_file() and file.stat().st_size)
    flip(path, 40)
    return path


def an_entry_of_the_log(data: Path) -> Path:
    entries = [file for file in (data / "log" / "tile" / "entries").rglob("*") if file.is_file()]
    path = max(entries, key=lambda file: file.stat().st_size)
    flip(path, path.stat().st_size // 2)
    return path


def the_checkpoint(data: Path) -> Path:
    path = data / "log" / "checkpoint"
    flip(path, path.read_bytes().index(b"\n") + 1)
    return path


def test_the_demo_held_and_left_a_certificate_that_verifies(convention: Path) -> None:
    code, said = verify(convention)
    assert code == 0, said
    assert "Everything that was asked for holds; not checked: witness delay" in said
    assert "✗" not in said


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (a_number, "the evidence gives"),
        (the_proof, "proof"),
        (an_evidence_file, "evidence"),
        (a_manifest, "manifest"),
        (a_tile_of_hashes, "tile"),
        (an_entry_of_the_log, "log"),
        (the_checkpoint, "checkpoint"),
    ],
)
def test_one_changed_byte_is_found_and_named(
    convention: Path, tmp_path: Path, tamper: Callable[[Path], Path], words: str
) -> None:
    data = tmp_path / "copy"
    for name in ("log", "evidence"):
        shutil.copytree(convention / name, data / name)
    for name in ("certificate.json", "certificate.tlog-proof", "trust-policy"):
        shutil.copy(convention / name, data / name)
    path = tamper(data)
    code, said = verify(data)
    assert code == 1, said
    failed = "\n".join(line for line in said.splitlines() if line.startswith("✗"))
    assert words in failed.lower() or path.name in failed, failed
    assert "DOES NOT HOLD" in said


def test_the_roll_of_those_who_joined_over_http_is_audited_by_the_tickets_that_they_showed(
    convention: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the demo: its event is over, its roll sealed, drawn from, opened and checked."""
    data = tmp_path / "data"
    shutil.copytree(convention, data, ignore=shutil.ignore_patterns("redis", "*.sock"))
    monkeypatch.chdir(data)
    event = load_event("event.toml")
    SimulatedClock(data / "clock").jump(event.late_until.timestamp() + 60)

    def turnout(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, [*arguments])
        assert result.exit_code == code, result.output
        return result.stdout

    turnout("certify", "event.toml", "--data", ".", "-o", "over.json")
    roll = json.loads(Path("over.json").read_text())["roll"]
    assert roll["size"] > 100
    turnout("audit", "draw", "event.toml", "--data", ".", "--beacon-value", "5e" * 32)
    turnout("audit", "open", ".", "-o", "opening.json", "--pseudonym-key", "pseudonym.key")
    said = turnout(
        "audit", "check", "opening.json", "--log", "log", "--pseudonym-key", "pseudonym.key", "--json", code=3
    )
    judged = json.loads(said)["judged"]
    assert (judged["drawn"], judged["bogus"]) == (min(300, roll["size"]), 0)
    said = turnout("verify", "over.json", "--log", "log", "--evidence", "evidence", code=3)
    assert f"the {roll['size']} attendees of entry {roll['entry']} are those of the evidence" in said
