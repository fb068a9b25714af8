"""`turnout verify`: the verifier's checks, a line each, for people or as JSON."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click

from counters.segment import is_digest
from counters.trust_policy import TrustPolicy, TrustPolicyError
from counters.verify import Check, Report, verify

HELD, FAILED, UNUSABLE = 0, 1, 2
"""Exit codes: nothing failed; a check failed; the files could not be used."""
_MARKS: Final = {True: ("✓", "green"), False: ("✗", "red"), None: ("–", "yellow")}


def verify_files(
    certificate: Path,
    proof: Path | None,
    *,
    log_dir: Path | None,
    evidence_dir: Path | None,
    policy: Path | None,
    as_json: bool,
) -> int:
    """Verify the files, print the report, and return the exit code."""
    proof = proof or certificate.with_suffix(".tlog-proof")
    if not proof.exists():
        click.echo(f"{proof} is missing: a certificate comes with its proof; name it with --proof", err=True)
        return UNUSABLE
    log_dir = log_dir or _nearest_log(certificate, evidence_dir)
    if evidence_dir and not log_dir:
        click.echo("evidence is checked against the public log, which is not beside it: name it with --log", err=True)
        return UNUSABLE
    if wrong := _wrong_folder(log_dir, evidence_dir):
        click.echo(wrong, err=True)
        return UNUSABLE
    try:
        trust = TrustPolicy.decode(policy.read_text()) if policy else None
    except (TrustPolicyError, UnicodeDecodeError) as error:
        click.echo(f"{policy} is no trust policy: {error}", err=True)
        return UNUSABLE
    report = verify(
        certificate.read_bytes(), proof.read_bytes(), log_dir=log_dir, evidence_dir=evidence_dir, policy=trust
    )
    if as_json:
        json.dump({"holds": report.holds, "checks": [_row(check) for check in report.checks]}, sys.stdout, indent=1)
        click.echo()
    else:
        _print(report)
    return HELD if report.holds else FAILED


def _wrong_folder(log_dir: Path | None, evidence_dir: Path | None) -> str:
    """What is plainly not the folder that it was given as: a slip of whoever verifies, and nobody else's fault."""
    if log_dir and not (log_dir / "checkpoint").exists():
        return f"{log_dir} holds no log (no file `checkpoint`): is that the right folder?"
    if evidence_dir and not any(is_digest(path.name) for path in evidence_dir.iterdir()):
        return f"{evidence_dir} holds no evidence (no file named by a SHA-256): is that the right folder?"
    return ""


def _nearest_log(certificate: Path, evidence_dir: Path | None) -> Path | None:
    """The log that came with the files, if one did."""
    places = [certificate.parent / "log"] + ([evidence_dir.parent / "log"] if evidence_dir else [])
    return next((place for place in places if (place / "checkpoint").exists()), None)


def _row(check: Check) -> dict[str, object]:
    return {"name": check.name, "passed": check.passed, "detail": check.detail}


def _print(report: Report) -> None:
    for check in report.checks:
        mark, colour = _MARKS[check.passed]
        click.echo(f"{click.style(mark, fg=colour)} {check.name}: {check.detail}")
    if not report.holds:
        click.secho(f"DOES NOT HOLD: {_names(report.failed)}", fg="red", bold=True)
    elif report.unchecked:
        click.secho(f"What could be checked holds; not checked: {_names(report.unchecked)}", fg="yellow")
    else:
        click.secho("Everything holds.", fg="green", bold=True)


def _names(checks: Iterable[Check]) -> str:
    return ", ".join(check.name for check in checks)
