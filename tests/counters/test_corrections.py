"""Corrections: a new certificate supersedes an older one, both stay as they are, and the log says which one stands."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from counters import canonical_json, issuing
from counters.certificate import certificate_entries
from counters.corrections import REASON_LIMIT_CHARS, CorrectionError, read_reason, superseded_by
from counters.log_entries import LogEntryError, read_log
from counters.verify import Report, verify
from tests.counters.ledger_at_hand import A, LedgerAtHand
from tests.counters.synthetic import SIGNER
from tests.counters.test_issuing import minute
from tests.counters.worker_at_hand import NINE

REASON = "a scanner of gate B handed in its scans of the second day"


@pytest.fixture
def ledger(tmp_path: Path) -> LedgerAtHand:
    ledger = LedgerAtHand(tmp_path / "data")
    ledger.sealer.grant(A, "gw-1", 1, NINE)
    minute(ledger, 0)
    return ledger


def issue(ledger: LedgerAtHand, corrects: int | None = None, reason: str = REASON) -> issuing.Issued:
    directory = ledger.data / "certificates"
    ledger.now += 1
    computed = issuing.compute(ledger.sealer, SIGNER.verifier, ledger.now, corrects=corrects, reason=reason)
    return issuing.issued(ledger.sealer, issuing.enter(ledger.sealer, computed, directory), directory)


def said(issued: issuing.Issued) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(issued.certificate)
    return document


def checked(ledger: LedgerAtHand, issued: issuing.Issued) -> Report:
    data = ledger.data
    return verify(issued.certificate, issued.proof, log_dir=data / "log", evidence_dir=data / "evidence")


def test_the_new_certificate_names_the_old_one_and_both_stay_in_the_log(ledger: LedgerAtHand) -> None:
    old = issue(ledger)
    before = list(ledger.entries())
    minute(ledger, 1)
    new = issue(ledger, old.id)
    assert said(new)["corrections"] == [{"entry": old.id, "supersedes": old.sha256, "by": None, "reason": REASON}]
    assert ledger.entries()[: len(before)] == before
    (correction,) = read_log(ledger.entries()).corrections
    assert (correction.index, correction.supersedes, correction.certificate) == (new.id + 1, old.sha256, new.sha256)
    assert correction.reason == REASON
    assert (ledger.data / "certificates" / f"{old.id}.json").read_bytes() == old.certificate
    assert checked(ledger, new).holds, checked(ledger, new).failed


def test_who_verifies_the_old_one_with_the_newer_log_is_told_and_with_the_older_log_it_holds(
    ledger: LedgerAtHand, tmp_path: Path
) -> None:
    old = issue(ledger)
    older = tmp_path / "older"
    for path in (ledger.data / "log").rglob("*"):
        if path.is_file():
            copy = older / path.relative_to(ledger.data / "log")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    new = issue(ledger, old.id)
    (failed,) = checked(ledger, old).failed
    assert failed.name == "not superseded"
    assert failed.detail == f"superseded by entry {new.id + 1}: {REASON} (certificate {new.sha256})"
    assert verify(old.certificate, old.proof, log_dir=older).holds
    superseding = superseded_by(old.sha256, ledger.entries())
    assert superseding is not None
    assert superseded_by(new.sha256, ledger.entries()) is None


def test_a_correction_is_corrected_in_turn_and_later_certificates_tell_of_all(ledger: LedgerAtHand) -> None:
    first = issue(ledger)
    second = issue(ledger, first.id)
    third = issue(ledger, second.id, "and those of gate C")
    minute(ledger, 1)
    fourth = issue(ledger)
    rows = [
        {"entry": first.id, "supersedes": first.sha256, "by": second.sha256, "reason": REASON},
        {"entry": second.id, "supersedes": second.sha256, "by": third.sha256, "reason": "and those of gate C"},
    ]
    assert said(third)["corrections"] == [rows[0], rows[1] | {"by": None}]
    assert said(fourth)["corrections"] == rows
    assert len(certificate_entries(fourth.certificate)) == 1
    for issued in (third, fourth):
        assert checked(ledger, issued).holds, checked(ledger, issued).failed
    assert [one.name for one in checked(ledger, second).failed] == ["not superseded"]


def test_what_is_superseded_or_was_never_issued_cannot_be_corrected(ledger: LedgerAtHand) -> None:
    with pytest.raises(CorrectionError, match="no certificate 1 to correct; those that were issued: none"):
        issue(ledger, 1)
    old = issue(ledger)
    new = issue(ledger, old.id)
    with pytest.raises(CorrectionError, match=f"superseded already, by certificate {new.id}"):
        issue(ledger, old.id)
    with pytest.raises(
        CorrectionError, match=f"no certificate 0 to correct; those that were issued: {old.id}, {new.id}"
    ):
        issue(ledger, 0)


def test_of_two_corrections_that_were_computed_side_by_side_only_the_first_is_entered(ledger: LedgerAtHand) -> None:
    old = issue(ledger)
    rival = issuing.compute(ledger.sealer, SIGNER.verifier, ledger.now + 9, corrects=old.id, reason="mine")
    issue(ledger, old.id)
    size = ledger.sealer.log.size
    with pytest.raises(CorrectionError, match="superseded already"):
        issuing.enter(ledger.sealer, rival, ledger.data / "certificates")
    assert ledger.sealer.log.size == size
    assert len(issuing.issued_numbers(ledger.data / "certificates")) == 2


@pytest.mark.parametrize("reason", ["", "  ", " a", "two\nlines", "\x1b[2J", "x" * (REASON_LIMIT_CHARS + 1), None, 7])
def test_a_reason_is_one_printable_line(reason: object) -> None:
    with pytest.raises(CorrectionError):
        read_reason(reason)


def _other_certificate(entries: list[bytes]) -> bytes:
    return canonical_json.encode(json.loads(entries[-2]) | {"certificate_sha256": "cd" * 32})


def _once_more(entries: list[bytes]) -> None:
    again = json.loads(entries[-1]) | {"certificate": "cd" * 32}
    entries.extend((_other_certificate(entries), canonical_json.encode(again)))


def _change(entries: list[bytes], **changes: Any) -> None:
    entries[-1] = canonical_json.encode(json.loads(entries[-1]) | changes)


SPOILED: dict[str, Callable[[list[bytes]], object]] = {
    "before its certificate": lambda entries: entries.append(entries.pop(-2)),
    "twice": lambda entries: entries.append(entries[-1]),
    "of a certificate that is not there": lambda entries: _change(entries, supersedes="ab" * 32),
    "not right after its certificate": lambda entries: entries.insert(-1, _other_certificate(entries)),
    "of what is superseded": _once_more,
    "of itself": lambda entries: _change(entries, supersedes=json.loads(entries[-1])["certificate"]),
    "of no digest": lambda entries: _change(entries, supersedes="AB" * 32),
    "for no reason": lambda entries: _change(entries, reason=""),
    "of a simulated event, unsaid": lambda entries: _change(
        entries, simulated=not json.loads(entries[-1])["simulated"]
    ),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_correction_that_does_not_fit_the_log_is_an_error(ledger: LedgerAtHand, how: str) -> None:
    old = issue(ledger)
    issue(ledger, old.id)
    entries = list(ledger.entries())
    assert read_log(entries).corrections
    SPOILED[how](entries)
    with pytest.raises(LogEntryError, match="entry"):
        read_log(entries)


def test_a_certificate_that_claims_a_correction_which_the_log_does_not_have_fails(ledger: LedgerAtHand) -> None:
    old = issue(ledger)
    row = {"entry": old.id, "supersedes": old.sha256, "by": None, "reason": REASON}
    computed = issuing.compute(ledger.sealer, SIGNER.verifier, ledger.now + 1)
    claims = canonical_json.encode(json.loads(computed) | {"corrections": [row]})
    entry, _ = certificate_entries(claims)
    number = ledger.sealer.log.size
    ledger.sealer.append(entry)
    proof = ledger.sealer.log.published.tlog_proof(number).encode()
    report = verify(claims, proof, log_dir=ledger.data / "log", evidence_dir=ledger.data / "evidence")
    assert [one.name for one in report.failed] == ["not superseded"]
    other = canonical_json.encode(json.loads(computed) | {"corrections": [row | {"entry": old.id + 1}]})
    ledger.sealer.append(certificate_entries(other)[0])
    proof = ledger.sealer.log.published.tlog_proof(ledger.sealer.log.size - 1).encode()
    report = verify(other, proof, log_dir=ledger.data / "log")
    assert [one.name for one in report.failed] == ["not superseded", "public statements"]
