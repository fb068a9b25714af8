"""The report of `turnout verify`: its exit code never says more than was checked."""

from pathlib import Path

from click.testing import CliRunner

from gateway.cli import main
from gateway.verify_report import UNUSABLE


def test_evidence_that_was_asked_to_be_checked_and_cannot_be_is_no_success(tmp_path: Path) -> None:
    for name in ("certificate.json", "certificate.tlog-proof"):
        (tmp_path / name).write_bytes(b"{}")
    (tmp_path / "evidence").mkdir()
    done = CliRunner().invoke(
        main, ["verify", str(tmp_path / "certificate.json"), "--evidence", str(tmp_path / "evidence")]
    )
    assert done.exit_code == UNUSABLE
    assert "--log" in done.output
