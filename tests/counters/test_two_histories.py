"""A log that shows two histories is caught by whoever has a piece of each: a checkpoint, a proof, or a certificate.

The log's key signs both, as its operator can. What proves it is kept as files that anybody can check again.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from counters import canonical_json
from counters.certificate import certificate_entry
from counters.checks.verification import Other
from counters.cosigned import keep_cosigned
from counters.ledger.checkpoint import open_checkpoint
from counters.ledger.cosignature import cosign, with_cosignatures
from counters.ledger.log import Log
from counters.ledger.merkle import tree_root
from counters.ledger.note import Signer, open_note
from counters.ledger.proof import TlogProof
from counters.ledger.reader import LogReader
from counters.verify import Report, Verdict, verify
from gateway.cli import main
from tests.counters.published import NEWS, OTHER, POLICY, TOWN, Files, detail, number, plain_world, publish
from tests.counters.synthetic import SIGNER


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return publish(plain_world(people=3, rules=("views",)), tmp_path_factory.mktemp("one"))


def entries_of(files: Files) -> list[bytes]:
    return list(LogReader(files.log_dir, SIGNER.verifier).entries())


def history(folder: Path, entries: list[bytes], signer: Signer = SIGNER) -> tuple[bytes, bytes]:
    """Write a log; return its signed checkpoint and the proof of its last entry."""
    with Log.open(folder / "log", signer) as log:
        log.append(entries)
        return log.signed[1], log.tlog_proof(log.size - 1).encode()


def against(files: Files, *others: Other, alone: bool = False) -> Report:
    changes: dict[str, object] = {"log_dir": None} if alone else {}
    return files.report(evidence_dir=None, others=others, **changes)


def checkpoint(note: bytes) -> Other:
    return Other("kept", note)


def test_what_is_of_one_history_passes(files: Files, tmp_path: Path) -> None:
    older, _ = history(tmp_path / "older", entries_of(files)[:4])
    own = TlogProof.decode(files.proof).checkpoint_note
    report = against(files, checkpoint(older), checkpoint(own), Other("itself", own, files.certificate, files.proof))
    assert report.verdict is Verdict.HOLDS, report.failed
    assert "are of one history" in detail(report, "no contradiction")
    assert not report.contradiction


def test_the_same_size_with_another_root_is_a_contradiction_without_the_log_too(files: Files, tmp_path: Path) -> None:
    forked, _ = history(tmp_path / "forked", [*entries_of(files)[:-1], b"another last entry"])
    for alone in (True, False):
        report = against(files, checkpoint(forked), alone=alone)
        assert [check.name for check in report.failed] == ["no contradiction"]
        assert "signed two histories" in detail(report, "no contradiction")
        notes = [data for name, data in report.contradiction.items() if name.startswith("checkpoint-")]
        roots = {open_checkpoint(note, SIGNER.verifier) for note in notes}
        assert len(roots) == 2
        assert len({each.size for each in roots}) == 1


@pytest.mark.parametrize("shorter", [2, 3, 7])
def test_an_older_checkpoint_that_the_log_does_not_extend_is_a_contradiction(
    files: Files, tmp_path: Path, shorter: int
) -> None:
    entries = entries_of(files)[:-shorter]
    forked, _ = history(tmp_path / "forked", [*entries[:-1], b"rewritten since"])
    report = against(files, checkpoint(forked))
    assert [check.name for check in report.failed] == ["no contradiction"]
    assert f"does not begin with the {len(entries)} entries of kept" in detail(report, "no contradiction")
    (hashes,) = [data for name, data in report.contradiction.items() if name.startswith("leaf-hashes-")]
    leaves = [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
    ours = open_checkpoint(TlogProof.decode(files.proof).checkpoint_note, SIGNER.verifier)
    theirs = open_checkpoint(report.contradiction[f"checkpoint-{len(entries)}-{_root(forked)}"], SIGNER.verifier)
    assert tree_root(leaves) == ours.root, "anybody can check it: the larger root is that of all the hashes,"
    assert tree_root(leaves[: theirs.size]) != theirs.root, "and the smaller one is not that of the first of them"


def _root(note: bytes) -> str:
    return open_checkpoint(note, SIGNER.verifier).root.hex()[:16]


def test_without_the_log_two_sizes_cannot_be_compared_and_it_says_so(files: Files, tmp_path: Path) -> None:
    forked, _ = history(tmp_path / "forked", [*entries_of(files)[:3], b"rewritten since"])
    report = against(files, checkpoint(forked), alone=True)
    assert report.verdict is Verdict.OPEN
    assert "only the public log can show" in detail(report, "no contradiction")
    assert verify(
        files.certificate, files.proof, policy=POLICY, others=[checkpoint(forked)], strict=True
    ).verdict is Verdict.FAILS  # fmt: skip


def test_a_log_that_was_set_back_is_met_by_the_checkpoint_of_more_entries(files: Files, tmp_path: Path) -> None:
    longer, _ = history(tmp_path / "longer", [*entries_of(files), b"and then it was set back"])
    report = against(files, checkpoint(longer))
    assert report.verdict is Verdict.OPEN, "an old copy of the log looks the same: it must be fetched anew"
    assert "it was set back, and the larger checkpoint is the proof" in detail(report, "no contradiction")


@pytest.mark.parametrize("left_out", [1, 4])
def test_an_older_copy_of_the_log_leaves_open_what_it_cannot_show(files: Files, tmp_path: Path, left_out: int) -> None:
    history(tmp_path / "older", entries_of(files)[:-left_out])
    report = files.report(log_dir=tmp_path / "older" / "log")
    assert report.failed == ()
    assert report.verdict is Verdict.OPEN
    assert "it is older; fetch the log anew" in detail(report, "whole log")
    found = {check.name: check.passed for check in report.checks}
    assert found["public numbers"] is (True if left_out == 1 else None), "all that it counts is there, or is not"


def test_an_older_copy_of_another_history_is_no_honest_one(files: Files, tmp_path: Path) -> None:
    history(tmp_path / "forked", [*entries_of(files)[:-2], b"rewritten since"])
    report = files.report(log_dir=tmp_path / "forked" / "log")
    assert [check.name for check in report.failed] == ["whole log"]
    assert "does not begin with" in detail(report, "whole log")


def other_certificate(files: Files, folder: Path, said: dict[str, Any], signer: Signer = SIGNER) -> Other:
    """Return another certificate and its proof, entered behind everything in this log, or into one of another key."""
    certificate = canonical_json.encode(said)
    note, proof = history(folder, [*entries_of(files), certificate_entry(certificate)], signer)
    return Other("other.json", note, certificate, proof)


def test_two_certificates_of_the_same_entries_print_the_same_numbers(files: Files, tmp_path: Path) -> None:
    said = json.loads(files.certificate)
    said["issued_at"] = "2023-11-22T18:00:00+08:00"
    # This copy of the log ends before the other certificate's entry: its own log is at hand.
    with_its_log = replace(files, log_dir=tmp_path / "same" / "log")
    same = other_certificate(files, tmp_path / "same", said)
    assert against(with_its_log, same).verdict is Verdict.HOLDS
    number(said, "views").update(value=4711)
    report = against(files, other_certificate(files, tmp_path / "more", said))
    assert [check.name for check in report.failed] == ["no contradiction"]
    assert "4711 there. One of them at least is untrue" in detail(report, "no contradiction")
    assert {"certificate.json", "certificate.tlog-proof", "other.json", "other.tlog-proof"} == set(report.contradiction)


def test_two_certificates_that_say_other_roots_of_one_size_contradict_each_other(files: Files, tmp_path: Path) -> None:
    said = json.loads(files.certificate)
    said["log"]["root"] = "A" * 43 + "="
    report = against(files, other_certificate(files, tmp_path, said), alone=True)
    assert "two roots of the same" in detail(report, "no contradiction")


def test_two_logs_that_certify_one_event_are_a_contradiction(files: Files, tmp_path: Path) -> None:
    said = json.loads(files.certificate)
    said["log"] |= {"origin": OTHER.name, "vkey": OTHER.verifier.encode()}
    report = against(files, other_certificate(files, tmp_path, said, OTHER))
    assert [check.name for check in report.failed] == ["no contradiction"]
    assert "two logs certify one event" in detail(report, "no contradiction")


def test_what_the_logs_key_has_not_signed_accuses_nobody(files: Files, tmp_path: Path) -> None:
    strange, _ = history(tmp_path / "strange", entries_of(files), OTHER)
    said = json.loads(files.certificate)
    said["issued_at"] = "2023-11-22T18:00:00+08:00"
    unproven = replace(other_certificate(files, tmp_path / "other", said), proof=files.proof)
    for other in (checkpoint(strange), checkpoint(b"nonsense"), unproven):
        report = against(files, other)
        assert report.verdict is Verdict.OPEN, (other, report.failed)
        assert not report.contradiction


def test_of_several_the_one_that_contradicts_is_found_whatever_the_others_are(files: Files, tmp_path: Path) -> None:
    forked, _ = history(tmp_path / "forked", [*entries_of(files)[:-1], b"another last entry"])
    assert against(files, checkpoint(b"nonsense"), checkpoint(forked)).verdict is Verdict.FAILS


def test_a_cosigned_checkpoint_of_another_history_beside_the_log_is_proof(files: Files, tmp_path: Path) -> None:
    note, _ = history(tmp_path / "forked", [*entries_of(files)[:3], b"rewritten since"])
    text = open_note(note, [SIGNER.verifier]).text
    folder = Path(shutil.copytree(files.log_dir, tmp_path / "log"))
    keep_cosigned(folder, with_cosignatures(note, [cosign(text, each, 1_700_000_000) for each in (NEWS, TOWN)]))
    report = replace(files, log_dir=folder).report(evidence_dir=None)
    assert [check.name for check in report.failed] == ["witness delay"]
    assert len(report.contradiction) == 3, "both checkpoints and the leaf hashes"


def test_the_command_keeps_the_proof_and_says_where(files: Files, tmp_path: Path) -> None:
    forked, proof = history(tmp_path / "forked", [*entries_of(files)[:-1], b"another last entry"])
    (tmp_path / "policy").write_text(f"log {SIGNER.verifier.encode()}\n")
    for name, data in (("certificate.json", files.certificate), ("certificate.tlog-proof", files.proof),
                       ("kept", forked), ("kept.tlog-proof", proof)):  # fmt: skip
        (tmp_path / name).write_bytes(data)
    for kept in ("kept", "kept.tlog-proof"):
        done = CliRunner().invoke(
            main, ["verify", str(tmp_path / "certificate.json"), "--policy", str(tmp_path / "policy"),
                   "--against", str(tmp_path / kept), "--keep", str(tmp_path / "proofs")],
        )  # fmt: skip
        assert done.exit_code == 1, done.output
        assert f"The proof is in {tmp_path / 'proofs'}" in done.output
        assert len(list((tmp_path / "proofs").glob("checkpoint-*"))) == 2
    as_json = CliRunner().invoke(
        main, ["verify", str(tmp_path / "certificate.json"), "--against", str(tmp_path / "certificate.json"), "--json"]
    )
    said = json.loads(as_json.output)
    assert (as_json.exit_code, said["exit_code"], said["verdict"], said["holds"]) == (3, 3, "open", True)
    assert {row["name"]: row["passed"] for row in said["checks"]}["no contradiction"] is True
