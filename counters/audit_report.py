"""The auditor's report on a draw, check by check: what holds, what does not, and what only the auditor can look up."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from counters import canonical_json
from counters.audit_check import AuditError, Identify, Judged, check_key, judge
from counters.audit_entries import DrawEntry
from counters.audit_order import Order, OrderError, order_of
from counters.audit_result import AuditResult
from counters.beacon import BeaconError, read_value
from counters.bogus_bound import CONFIDENCE_PERCENT
from counters.certificate_statements import vouching
from counters.event import Event
from counters.ledger.note import NoteError, Verifier
from counters.ledger.reader import LogReader
from counters.ledger.tile_files import LogError
from counters.log_entries import LogEntryError, SealedLog, read_log
from counters.roll_opening import Opening, OpeningError
from counters.trust_policy import TrustPolicy

LISTED: Final = 20
"""Bogus leaves that the report for people lists; the JSON has all."""


_LEAVES: Final = "drawn leaves"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the report."""

    name: str
    passed: bool | None  # None: open; `detail` says why
    detail: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What the auditor found."""

    lines: tuple[Line, ...]
    judged: Judged | None = None  # None: nothing could be judged
    result: AuditResult | None = None  # to be signed

    @property
    def failed(self) -> bool:
        """Whether anything does not hold."""
        return any(line.passed is False for line in self.lines)

    @property
    def may_be_signed(self) -> bool:
        """Whether the result is one: bogus leaves are what an audit finds, any other failure is none of a draw."""
        return self.result is not None and all(line.passed is not False or line.name == _LEAVES for line in self.lines)

    @property
    def open(self) -> bool:
        """Whether something could not be checked."""
        return any(line.passed is None for line in self.lines)

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        checks = [{"name": line.name, "passed": line.passed, "detail": line.detail} for line in self.lines]
        if self.judged is None or self.result is None:
            return {"checks": checks, "judged": None}
        judged, result = self.judged, self.result
        return {
            "checks": checks,
            "judged": {
                "draw": result.draw,
                "size": result.size,
                "drawn": result.drawn,
                "bogus": result.bogus,
                "bogus_at_most": result.bogus_at_most,
                "confidence_percent": CONFIDENCE_PERCENT,
                "order_witnessed": result.order_witnessed,
                "sentence": judged.in_words(),
                "causes": dict(judged.causes),
                "bogus_leaves": [
                    {"position": leaf.position, "cause": leaf.cause, "detail": leaf.detail} for leaf in judged.bogus
                ],
            },
        }


def check_draw(
    raw: bytes,
    log_dir: Path,
    pseudonym_key: bytes,
    identify_for: Callable[[SealedLog], Identify],
    *,
    policy: TrustPolicy | None = None,
    beacon_value: str = "",
) -> AuditReport:
    """Check an opening against the public log.

    Args:
        raw: the file that the organiser opened.
        log_dir: the public log, or a copy of it.
        pseudonym_key: given to the auditor in confidence.
        identify_for: makes the verification of tickets (`Identify`) by the keys of a log.
        policy: which log key and whose cosignatures the auditor trusts.
        beacon_value: what the auditor found as the round's value, hex or JSON; "" = the auditor did not look.
    """
    lines: list[Line] = []
    try:
        opening = Opening.decode(raw)
        verifier = Verifier.decode(opening.vkey)
        lines.append(_key(verifier, opening, policy))
        entries, log, draw = _log(log_dir, verifier, opening)
        said = f"{len(entries)} entries, every hash recomputed; the draw is entry {draw.index}"
        lines.append(Line("log", passed=True, detail=said))
        check_key(pseudonym_key, canonical_json.decode(entries[0]))
        order, line = _order(log.event, draw, entries, opening, verifier, policy)
        lines += [line, _beacon(draw, beacon_value)]
        judged = judge(log.event, draw, opening, pseudonym_key, identify_for(log))
    except (OpeningError, AuditError, NoteError, LogError, LogEntryError, OSError) as error:
        lines.append(Line("opening", passed=False, detail=str(error)))
        return AuditReport(tuple(lines))
    lines += [_leaves(judged), _issuers(log)]
    result = judged.result(log.event, order_witnessed=order is not None and order.witnessed)
    return AuditReport(tuple(lines), judged, result)


def _key(verifier: Verifier, opening: Opening, policy: TrustPolicy | None) -> Line:
    if verifier.name != opening.origin:
        raise AuditError(f"the key is named {verifier.name!r}, the log {opening.origin!r}")
    if policy is None:
        said = "no trust policy was given (--policy): the log's key was taken from the opening itself. Compare it with "
        return Line("trusted key", passed=None, detail=f"{said}one that you trust: {opening.vkey}")
    if verifier not in policy.logs:
        raise AuditError(f"the trust policy does not name the log key {opening.vkey}")
    return Line("trusted key", passed=True, detail=f"the trust policy names {opening.vkey}")


def _log(log_dir: Path, verifier: Verifier, opening: Opening) -> tuple[list[bytes], SealedLog, DrawEntry]:
    reader = LogReader(log_dir, verifier)
    reader.full_check()
    entries = list(reader.entries())
    log = read_log(entries)
    draw = next((draw for draw in log.audits.draws if draw.index == opening.draw), None)
    if draw is None:
        raise AuditError(f"entry {opening.draw} of this log is no draw")
    return entries, log, draw


def _order(
    event: Event,
    draw: DrawEntry,
    entries: list[bytes],
    opening: Opening,
    verifier: Verifier,
    policy: TrustPolicy | None,
) -> tuple[Order | None, Line]:
    name = "roll before beacon"
    try:
        order = order_of(event, draw.roll, entries[draw.roll.index], opening.roll_proof, verifier, policy)
    except OrderError as error:
        return None, Line(name, passed=False, detail=str(error))
    return order, Line(name, passed=True if order.witnessed else None, detail=order.said)


def _beacon(draw: DrawEntry, found: str) -> Line:
    of = draw.roll.round
    if of is None:
        raise AuditError("the roll names no beacon round")
    if not found:
        said = f"the log says that its value is {draw.value.value.hex()}: look it up, {of.look_up()}, and give it with "
        return Line("beacon", passed=None, detail=f"{said}--beacon-value; its BLS signature is not verified here")
    try:
        same = read_value(found, of).value == draw.value.value
    except BeaconError as error:
        return Line("beacon", passed=False, detail=f"what you found is no value of round {of.number}: {error}")
    said = (
        f"round {of.number} of {of.beacon} is what you found" if same else "you found another value than the log says"
    )
    return Line("beacon", passed=same, detail=said)


def _leaves(judged: Judged) -> Line:
    drawn, bogus = len(judged.positions), judged.bogus
    if not bogus:
        return Line(
            "drawn leaves", passed=True, detail=f"all {drawn} are proven, in their places, and have genuine tickets"
        )
    causes = ", ".join(f"{count} {cause}" for cause, count in sorted(judged.causes.items()))
    return Line(_LEAVES, passed=False, detail=f"{len(bogus)} of {drawn} are bogus: {causes}")


def _issuers(log: SealedLog) -> Line:
    event = log.event
    who = "; ".join(f"{issuer.id} is operated by {issuer.operated_by}" for issuer in event.issuers)
    said = f"{who}. Who operates an issuer can sign tickets for people who do not exist; no audit of tickets finds them"
    if log.key_changes:
        said += f". {vouching(log)}"
    if any(issuer.development for issuer in event.issuers):
        return Line("issuers", passed=None, detail=f"{said}. A DEVELOPMENT ISSUER vouches for nobody")
    return Line("issuers", passed=True, detail=said)
