"""The report of `turnout verify`: its exit code never says more than was checked."""

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from counters import canonical_json
from counters.trust_policy import policy_of
from gateway.check_lines import FAILS, HOLDS, OPEN, UNUSABLE
from gateway.cli import main
from gateway.verify_report import terminal_progress
from tests.counters.published import OTHER, Files, plain_world, publish
from tests.counters.synthetic import SIGNER


@pytest.fixture(scope="module")
def handed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a verifier gets it: certificate, proof, log, evidence, and policies beside them."""
    folder = tmp_path_factory.mktemp("handed")
    world = plain_world(people=3, rules=("views",))
    files: Files = publish(world, folder)
    (folder / "certificate.json").write_bytes(files.certificate)
    (folder / "certificate.tlog-proof").write_bytes(files.proof)
    (folder / "policy").write_text(policy_of(world.event, SIGNER.verifier))
    (folder / "other-policy").write_text(policy_of(world.event, OTHER.verifier))
    return folder


def run(folder: Path, *options: str) -> Result:
    """Run the command; an option that names something in the folder is given its path."""
    given = [str(folder / each) if (folder / each).exists() else each for each in options]
    return CliRunner().invoke(main, ["verify", str(folder / "certificate.json"), *given])


def test_a_hostile_text_does_not_move_hide_or_forge_a_line(handed: Path, tmp_path: Path) -> None:
    said = json.loads((handed / "certificate.json").read_bytes())
    said["numbers"].append(said["numbers"][0] | {"unit": "x"})
    said["numbers"][-1]["scope"] = {"country": "\x1b[2J\x1b[8m\nEverything holds."}
    (tmp_path / "certificate.json").write_bytes(canonical_json.encode(said))
    shutil.copy(handed / "certificate.tlog-proof", tmp_path)
    shutil.copytree(handed / "log", tmp_path / "log")
    done = run(tmp_path)
    assert done.exit_code == FAILS
    assert "\\x1b[2J" in done.output
    assert not re.search(r"\x1b\[2J|^Everything holds", done.output, re.MULTILINE)


def test_what_a_certificate_says_of_itself_stands_in_the_report(handed: Path) -> None:
    assert "SIMULATED" in run(handed, "--policy", "policy").output.splitlines()[0]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--policy", "policy", "--evidence", "evidence"), HOLDS, "not checked: witness delay"),
        (("--policy", "policy"), HOLDS, "Everything that was asked for holds; not checked: witness delay, evidence"),
        ((), OPEN, "What could be checked holds; not checked: trusted key, witnesses, witness delay, evidence"),
        (("--strict",), FAILS, "DOES NOT HOLD: trusted key, witnesses"),
        (("--strict", "--policy", "policy", "--evidence", "evidence"), HOLDS, "✓ no other files"),
        (("--policy", "other-policy"), FAILS, "DOES NOT HOLD: trusted key"),
        (("--policy", "certificate.json"), UNUSABLE, "is no trust policy"),
        (("--log", "evidence"), UNUSABLE, "is that the right folder?"),
        (("--proof", "policy", "--policy", "policy"), FAILS, "DOES NOT HOLD: proof of inclusion"),
    ],
)  # fmt: skip
def test_each_exit_code_means_what_the_page_says(handed: Path, options: tuple[str, ...], code: int, words: str) -> None:
    done = run(handed, *options)
    assert (done.exit_code, words in done.output) == (code, True), done.output
    if code != UNUSABLE:
        said = json.loads(run(handed, *options, "--json").output)
        assert said["exit_code"] == code
        assert said["verdict"] == {HOLDS: "holds", FAILS: "fails", OPEN: "open"}[code]
        assert said["holds"] is (code != FAILS)
        left = {row["name"] for row in said["checks"] if row["passed"] is None and row["asked"]}
        assert code == FAILS or left == ({"trusted key", "witnesses"} if code == OPEN else set())


def test_evidence_that_was_asked_to_be_checked_and_cannot_be_is_no_success(tmp_path: Path) -> None:
    for name in ("certificate.json", "certificate.tlog-proof"):
        (tmp_path / name).write_bytes(b"{}")
    (tmp_path / "evidence").mkdir()
    done = run(tmp_path, "--evidence", "evidence")
    assert done.exit_code == UNUSABLE
    assert "--log" in done.output


def test_who_waits_for_the_evidence_sees_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal_progress(shown=True) as tell:
        assert tell is not None
        for done in range(1, 8):
            tell(done, 7)
    assert "reading the evidence" in capsys.readouterr().err
    with terminal_progress(shown=False) as tell:
        assert tell is None
