"""`turnout verify`: the verifier's checks, a line each, for people or as JSON."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from counters.checks.verification import Other
from counters.ledger.merkle import ProofError
from counters.ledger.proof import MAGIC, TlogProof
from counters.receipt import is_receipt
from counters.segment import is_digest
from counters.trust_policy import TrustPolicy, TrustPolicyError
from counters.verify import Check, Report, Verdict, verify
from counters.verify_receipt import verify_receipt
from gateway.check_lines import FAILS, HOLDS, OPEN, UNUSABLE, say, say_check

_CODES: Final = {Verdict.HOLDS: HOLDS, Verdict.FAILS: FAILS, Verdict.OPEN: OPEN}
PROOF_SUFFIX: Final = ".tlog-proof"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for."""

    certificate: Path
    proof: Path | None  # None = beside the certificate
    log_dir: Path | None  # None = beside certificate or evidence, if one is there
    evidence_dir: Path | None
    policy: Path | None
    against: Sequence[Path]
    keep: Path  # where to put what proves a contradiction
    timestamps_dir: Path | None
    authority: Path | None
    ticket: Path | None  # of whoever shows a receipt
    strict: bool
    as_json: bool


class UnusableError(Exception):
    """The files cannot be used, and why: a slip of whoever verifies, and nobody else's fault."""


def verify_files(asked: Asked) -> int:
    """Verify the files, print the report, and return the exit code."""
    try:
        report = _verified(asked)
        kept = _kept(report.contradiction, asked.keep)
    except (UnusableError, OSError) as error:
        say(str(error), err=True)
        return UNUSABLE
    if asked.as_json:
        json.dump(_as_json(report, kept), sys.stdout, indent=1)
        click.echo()
    else:
        _print(report, kept)
    return _CODES[report.verdict]


def _verified(asked: Asked) -> Report:
    data = asked.certificate.read_bytes()
    if is_receipt(data):
        ticket = asked.ticket.read_bytes() if asked.ticket else None
        log_dir = asked.log_dir or _nearest_log(asked.certificate, None)
        return verify_receipt(data, policy=_policy(asked.policy), ticket=ticket, log_dir=log_dir)
    proof = asked.proof or asked.certificate.with_suffix(PROOF_SUFFIX)
    if not proof.exists():
        raise UnusableError(f"{proof} is missing: a certificate comes with its proof; name it with --proof")
    log_dir = asked.log_dir or _nearest_log(asked.certificate, asked.evidence_dir)
    if asked.evidence_dir and not log_dir:
        raise UnusableError("evidence is checked against the public log, which is not beside it: name it with --log")
    _check_folders(log_dir, asked.evidence_dir)
    if asked.timestamps_dir and not asked.authority:
        raise UnusableError("timestamps are checked against an authority's certificates: name them with --authority")
    with terminal_progress(shown=bool(asked.evidence_dir) and sys.stderr.isatty()) as progress:
        return verify(
            data,
            proof.read_bytes(),
            log_dir=log_dir,
            evidence_dir=asked.evidence_dir,
            policy=_policy(asked.policy),
            strict=asked.strict,
            others=[_other(path) for path in asked.against],
            authority=_authority(asked.authority),
            timestamps_dir=asked.timestamps_dir,
            progress=progress,
        )


def _policy(path: Path | None) -> TrustPolicy | None:
    try:
        return TrustPolicy.decode(path.read_text()) if path else None
    except (TrustPolicyError, UnicodeDecodeError) as error:
        raise UnusableError(f"{path} is no trust policy: {error}") from error


def _authority(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        from counters.timestamps import Authority, TimestampError  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UnusableError("timestamps need the extra: pip install 'turnout[timestamps]'") from error
    pem = path.read_bytes()
    try:
        Authority.decode(pem)
    except TimestampError as error:
        raise UnusableError(f"{path}: {error}") from error
    return pem


def _other(path: Path) -> Other:
    """Read what else was shown of the log: a certificate with its proof beside it, a proof, or a checkpoint."""
    data = path.read_bytes()
    if data.startswith(b"{"):
        beside = path.with_suffix(PROOF_SUFFIX)
        if not beside.exists():
            raise UnusableError(f"{beside} is missing: without its proof {path} says nothing that anybody has signed")
        proof = beside.read_bytes()
        return Other(str(path), _note_in(proof, beside), data, proof)
    if data.startswith(MAGIC.encode()):
        return Other(str(path), _note_in(data, path), None, data)
    return Other(str(path), data)


def _note_in(proof: bytes, path: Path) -> bytes:
    try:
        return TlogProof.decode(proof).checkpoint_note
    except ProofError as error:
        raise UnusableError(f"{path} is no proof: {error}") from error


def _check_folders(log_dir: Path | None, evidence_dir: Path | None) -> None:
    """Refuse what is plainly not the folder that it was given as."""
    if log_dir and not (log_dir / "checkpoint").exists():
        raise UnusableError(f"{log_dir} holds no log (no file `checkpoint`): is that the right folder?")
    if evidence_dir and not any(is_digest(path.name) for path in evidence_dir.iterdir()):
        raise UnusableError(f"{evidence_dir} holds no evidence (no file named by a SHA-256): is that the right folder?")


def _nearest_log(certificate: Path, evidence_dir: Path | None) -> Path | None:
    """The log that came with the files, if one did."""
    places = [certificate.parent / "log"] + ([evidence_dir.parent / "log"] if evidence_dir else [])
    return next((place for place in places if (place / "checkpoint").exists()), None)


@contextmanager
def terminal_progress(*, shown: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Show on the terminal how much of the evidence has been read."""
    if not shown:
        yield None
        return
    with click.progressbar(length=1, label="reading the evidence", file=sys.stderr) as bar:

        def tell(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield tell


def _kept(contradiction: Mapping[str, bytes], folder: Path) -> Path | None:
    """Write what proves a contradiction into a folder of its own; return it, None if there is nothing to keep."""
    if not contradiction:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contradiction.items():
        (folder / name).write_bytes(data)
    return folder


def _as_json(report: Report, kept: Path | None) -> dict[str, object]:
    return {
        "verdict": report.verdict.value,
        "holds": report.holds,
        "exit_code": _CODES[report.verdict],
        "checks": [
            {"name": check.name, "passed": check.passed, "asked": check.asked, "detail": check.detail}
            for check in report.checks
        ],
        "contradiction": str(kept) if kept else None,
    }


def _print(report: Report, kept: Path | None) -> None:
    for check in report.checks:
        say_check(check.passed, check.name, check.detail)
    if kept:
        say(f"What was signed here cannot all be true. The proof is in {kept}: publish it.", fg="red")
    left = [check for check in report.unchecked if check.asked]
    unasked = [check for check in report.unchecked if not check.asked]
    if report.verdict is Verdict.FAILS:
        say(f"DOES NOT HOLD: {_names(report.failed)}", fg="red", bold=True)
    elif report.verdict is Verdict.OPEN:
        say(f"What could be checked holds; not checked: {_names([*left, *unasked])}", fg="yellow")
    elif unasked:
        say(f"Everything that was asked for holds; not checked: {_names(unasked)}", fg="green", bold=True)
    else:
        say("Everything holds.", fg="green", bold=True)


def _names(checks: Sequence[Check]) -> str:
    return ", ".join(check.name for check in checks)
