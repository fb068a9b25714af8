"""The offline verifier: takes a certificate apart and says, check by check, what holds, what does not, what is open.

It needs no network, no ledger and no trust in who made the files. From the certificate and its proof alone it checks
signature and inclusion; with the log's public files, also every hash, all that the certificate repeats from the log
(rules, schedule, gaps that leaves show), that no number is left out or there twice, and every number that says
`checkable_by: log`; with the evidence, everything: each digest, each leaf from its segments, and the whole certificate,
byte for byte.

Input is hostile until checked: whatever is wrong with it becomes a failed check, never an exception.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from counters.certificate import CertificateError
from counters.checks import (
    against,
    alone,
    history,
    issuer_keys,
    joins_vouched,
    leaves,
    members,
    rebuilt,
    rolls,
    standing,
    statements,
    timed,
    witnesses,
)
from counters.checks.verification import FailedError, Given, OpenError, Other, Verification
from counters.evidence_store import EvidenceError
from counters.ledger.note import NoteError
from counters.trust_policy import TrustPolicy

Step = Callable[[Verification], str]


class Verdict(Enum):
    """What a report comes to."""

    HOLDS = "holds"  # everything that was asked for, under a key that the verifier trusts
    OPEN = "open"  # nothing failed, but something that was asked for could not be checked: above all, whose key it is
    FAILS = "fails"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    name: str
    passed: bool | None  # None: could not be checked; `detail` says why
    detail: str
    asked: bool = True  # whether what was given asks for this check; what it was not asked for may stay open


@dataclass(frozen=True, slots=True)
class Report:
    """What was found."""

    checks: tuple[Check, ...]
    contradiction: Mapping[str, bytes] = field(default_factory=dict)
    """Files, by name, that prove to anybody that the log's key has signed two things that cannot both be true."""

    @property
    def holds(self) -> bool:
        """Whether nothing failed. What could not be checked is in `unchecked`."""
        return bool(self.checks) and not self.failed

    @property
    def verdict(self) -> Verdict:
        """What the report comes to."""
        if not self.holds:
            return Verdict.FAILS
        return Verdict.OPEN if any(check.asked for check in self.unchecked) else Verdict.HOLDS

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.passed is False)

    @property
    def unchecked(self) -> tuple[Check, ...]:
        """The checks that could not be made."""
        return tuple(check for check in self.checks if check.passed is None)


def verify(
    certificate: bytes,
    proof: bytes,
    *,
    log_dir: Path | None = None,
    evidence_dir: Path | None = None,
    policy: TrustPolicy | None = None,
    strict: bool = False,
    others: Sequence[Other] = (),
    authority: bytes | None = None,
    timestamps_dir: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Return the report on a certificate.

    Args:
        certificate: the file, byte for byte.
        proof: its tlog-proof.
        log_dir: the folder of the public log (checkpoint, tile/…), or None if it is not at hand.
        evidence_dir: the folder of the evidence, or None.
        policy: what the verifier trusts, or None.
        strict: refuse also what means nothing but could mislead, and what was asked for and cannot be checked.
        others: what else was shown of the log: none of it may contradict the certificate.
        authority: certificates of a timestamp authority (PEM), to check timestamps by; None if they are not asked for.
        timestamps_dir: their folder; None = the log's.
        progress: is told after each leaf rebuilt from evidence: how many, of how many.
    """
    given = Given(
        certificate, proof, log_dir, evidence_dir, policy, strict, others, timestamps_dir, authority, progress
    )
    state = Verification(given)
    checks = [_made(name, step, state, asked=asked) for name, step, asked in _steps(given)]
    return Report(tuple(checks), state.contradiction)


def _steps(given: Given) -> Iterator[tuple[str, Step, bool]]:
    """Yield the checks in their order, and whether what was given asks for them."""
    has_log, has_evidence = given.log_dir is not None, given.evidence_dir is not None
    yield "canonical form", alone.canonical_form, True
    yield "trusted key", alone.key, True
    yield "proof of inclusion", alone.inclusion, True
    if given.strict:
        yield "signature lines", alone.signature_lines, True
    yield "whole log", history.whole_log, has_log
    yield "event and windows", history.sealed_event, has_log
    yield "issuer keys", issuer_keys.issuer_keys, has_log
    yield "not superseded", standing.not_superseded, has_log
    yield "witnesses", witnesses.quorum, True
    yield "witness delay", witnesses.delay, False
    if given.authority is not None:
        yield "timestamps", timed.timestamps, True
    if given.others:
        yield "no contradiction", against.no_contradiction, True
    yield "public statements", statements.public_statements, has_log
    yield "public numbers", leaves.public_numbers, has_log
    yield "members", members.members_agree, has_log
    yield "evidence", rebuilt.evidence, has_evidence
    yield "keys of joins", joins_vouched.keys_of_joins, has_evidence
    yield "roll", rolls.roll, has_evidence
    if given.strict:
        yield "no other files", history.no_other_files, has_log


def _made(name: str, step: Step, state: Verification, *, asked: bool) -> Check:
    passed: bool | None
    try:
        passed, detail = True, step(state)
    except OpenError as reason:
        passed, detail = (False if state.given.strict and asked else None), str(reason)
    except (FailedError, CertificateError, EvidenceError, NoteError) as error:
        passed, detail = False, str(error)
    except Exception as error:  # noqa: BLE001 - hostile input: whatever it provokes is a failed check, never a traceback
        passed, detail = False, str(error) or type(error).__name__
    return Check(name, passed, detail, asked)
