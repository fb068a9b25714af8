"""The offline verifier: takes a certificate apart and says, check by check, what holds, what does not, what is open.

It needs no network, no ledger and no trust in who made the files. From the certificate and its proof alone it checks
signature and inclusion; with the log's public files, also every hash, all that the certificate repeats from the log
(rules, schedule, gaps that leaves show), that no number is left out or there twice, and every number that says
`checkable_by: log`; with the evidence, everything: each digest, each leaf from its segments, and the whole certificate,
byte for byte.

Input is hostile until checked: whatever is wrong with it becomes a failed check, never an exception.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from counters.certificate import (
    MEMBERS,
    CertificateError,
    as_of,
    assemble,
    certificate_entry,
    read_certificate,
)
from counters.certificate_statements import stated_by_log
from counters.evidence import SessionPresence
from counters.evidence_store import EvidenceError, EvidenceStore
from counters.gaps import windows_without_leaf
from counters.ledger.checkpoint import Checkpoint
from counters.ledger.cosignature import WitnessKey, cosignatures
from counters.ledger.merkle import leaf_hash, tree_root
from counters.ledger.note import NoteError, Verifier, decode_base64
from counters.ledger.proof import TlogProof
from counters.ledger.reader import LogReader
from counters.log_entries import SealedLog, WindowLeaf, read_log
from counters.numbers import are_bounds, printed_value, said_with_bounds, scopes
from counters.public_numbers import PublicNumbers
from counters.rules import RULES_BY_ID, Cell
from counters.sealed_evidence import LeafEvidence, read_evidence_of
from counters.segment import WINDOW_S
from counters.software import SOFTWARE
from counters.steering import replay
from counters.trust_policy import NO_QUORUM, TrustPolicy
from counters.window_leaf import ExclusionsSoFar, build_leaf

NEEDS_LOG: Final = "not checked: this needs the public log (its folder `log`)"
NEEDS_EVIDENCE: Final = "not checked: this needs the evidence (its folder `evidence`), which auditors get"
PARTLY_FROM_LOG: Final = ("event", "gaps")
"""Members of a certificate of which the log tells a part (`stated_by_log`)."""
PUBLIC_SCOPE: Final = frozenset(("session", "day", "channel"))
"""What public leaves can be asked for."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    name: str
    passed: bool | None  # None: could not be checked; `detail` says why
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was found."""

    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing failed. What could not be checked is in `unchecked`."""
        return bool(self.checks) and all(check.passed is not False for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.passed is False)

    @property
    def unchecked(self) -> tuple[Check, ...]:
        """The checks that could not be made."""
        return tuple(check for check in self.checks if check.passed is None)


class _CheckError(Exception):
    """What is wrong, in words for the report."""


class _OpenError(Exception):
    """Why it could not be checked."""


@dataclass(slots=True)
class _Verification:
    """Everything known so far; each check may add to it and later ones use it. Owned by one `verify` call."""

    certificate: bytes
    proof: bytes
    log_dir: Path | None
    evidence_dir: Path | None
    policy: TrustPolicy | None
    progress: Callable[[int, int], None] | None
    document: dict[str, Any] | None = None
    verifier: Verifier | None = None
    proven: Checkpoint | None = None  # the checkpoint that the proof leads to
    entries: list[bytes] | None = None  # those that the certificate counts from
    log: SealedLog | None = None

    # --- from the certificate and its proof alone ---------------------------------------------------------------------

    def canonical_form(self) -> str:
        document = read_certificate(self.certificate)
        self.document = document
        return f"certificate of {document['event_sha256'][:16]}…, issued {document['issued_at']}"

    def key(self) -> str:
        log = self._document()["log"]
        verifier = Verifier.decode(log["vkey"])
        if verifier.name != log["origin"]:
            raise _CheckError(f"the key is named {verifier.name!r}, the log {log['origin']!r}")
        self.verifier = verifier
        if self.policy is None:
            raise _OpenError(
                "no trust policy was given: the log's key was taken from the certificate itself, so anybody could have "
                f"made both. Compare it with one that you trust: {log['vkey']}"
            )
        if verifier not in self.policy.logs:
            raise _CheckError(f"the trust policy does not name the log key {log['vkey']}")
        return f"the trust policy names {log['vkey']}"

    def inclusion(self) -> str:
        document = self._document()
        if self.verifier is None:
            raise _OpenError("the log's key could not be read")
        proof = TlogProof.decode(self.proof)
        if proof.extra is not None:
            raise _CheckError("the proof carries extra data, which nobody has signed")
        checkpoint = proof.verify(certificate_entry(self.certificate), self.verifier)
        if proof.index < document["log"]["size"]:
            raise _CheckError("the certificate stands in the log before the entries that it counts")
        self.proven = checkpoint
        return f"entry {proof.index} of {checkpoint.origin}, signed at size {checkpoint.size}"

    # --- with the public log ------------------------------------------------------------------------------------------

    def whole_log(self) -> str:
        if self.log_dir is None:
            raise _OpenError(NEEDS_LOG)
        if self.verifier is None:
            raise _OpenError("the log's key could not be read")
        reader = LogReader(self.log_dir, self.verifier)
        checkpoint = reader.full_check()
        entries = list(reader.entries())
        stated = self._stated_checkpoint()
        for name, earlier in (("certificate", stated), ("proof", self.proven)):
            if earlier is None:
                continue
            if earlier.size > checkpoint.size:
                raise _CheckError(
                    f"this copy of the log has {checkpoint.size} entries, fewer than the {earlier.size} of the {name}"
                )
            if tree_root([leaf_hash(entry) for entry in entries[: earlier.size]]) != earlier.root:
                raise _CheckError(f"the log does not begin with the {earlier.size} entries that the {name} speaks of")
        self.entries = entries[: stated.size]
        return f"{checkpoint.size} entries, every tile recomputed; it extends what certificate and proof speak of"

    def sealed_event(self) -> str:
        entries, document = self._entries(), self._document()
        log = read_log(entries)
        if log.event.digest != document["event_sha256"]:
            raise _CheckError("entry 0 locks another event than the certificate names")
        self.log = log
        detail = f"entry 0 locked {log.event.id} at {log.locked_at}; {len(log.windows)} windows in order, each once"
        for leaf in log.restored:
            detail += (
                f"; entry {leaf.index} says that the log was RESTORED FROM A BACKUP: evidence accepted from "
                f"{log.event.iso(leaf.since)} to {log.event.iso(leaf.at)} may be lost"
            )
        return detail

    def quorum(self) -> str:
        if self.proven is None:
            raise _OpenError("the checkpoint of the proof could not be checked")
        note, said = TlogProof.decode(self.proof).checkpoint_note, list[str]()
        if self.log is not None and self.log.event.witnesses:
            event = self.log.event
            keys = {WitnessKey.decode(witness.vkey): witness.name for witness in event.witnesses}
            who = sorted(keys[key] for key in cosignatures(note, keys))
            said.append(f"of the event's witnesses {_cosigned(who)}, {event.required_witnesses} must")
            if len(who) < event.required_witnesses:
                raise _CheckError(f"{said[0]}: so nobody should have been shown this")
        if self.policy is None:
            said.append("no trust policy was given: it would say whose cosignatures must stand in the proof")
            raise _OpenError("; ".join(said))
        names = self.policy.cosigned_by(note)
        said.append(f"of the trust policy's witnesses {_cosigned(sorted(names))}")
        if not self.policy.is_met(names):
            raise _CheckError(f"the trust policy demands the quorum {self.policy.quorum!r}; {said[-1]}")
        demanded = "none" if self.policy.quorum == NO_QUORUM else repr(self.policy.quorum)
        return f"at size {self.proven.size} {'; '.join(said)}; it demands {demanded}"

    def public_statements(self) -> str:
        log, document = self._log(), self._document()
        stated = stated_by_log(log, document["version"])
        for name, value in stated.items():
            said = document.get(name)
            if name in PARTLY_FROM_LOG and isinstance(said, dict):
                said = {key: said[key] for key in value if key in said}
            if said != value:
                made_by = (
                    "" if document["software"] == SOFTWARE else f" (made by {document['software']}, read by {SOFTWARE})"
                )
                raise _CheckError(f"the certificate's {name!r} is not what the log gives{made_by}")
        members = MEMBERS[document["version"]]
        if set(document) != members:
            raise _CheckError(f"a certificate has no members {sorted(set(document) - members)}, or one is missing")
        return f"{len(stated)} members say what the log says: event, rules, settings, identity, gaps that leaves show"

    def public_numbers(self) -> str:
        log, document = self._log(), self._document()
        public, by_log, otherwise = PublicNumbers(log), 0, list[str]()
        seen = self._well_formed_numbers(log, document)
        for row in document["numbers"]:
            if row["value"] is None or not row["scope"].keys() <= PUBLIC_SCOPE:
                if row["checkable_by"] == "log":
                    raise _CheckError(f"{_named(row)}: no public leaf speaks of it")
                continue
            measure = public.measure(RULES_BY_ID[row["rule"]], _cell(log, row["scope"]))
            at = None if measure is None or measure.at is None else log.event.iso(measure.at)
            same = measure is not None and (printed_value(measure.value), at) == (row["value"], row.get("at"))
            public_value = "nothing" if measure is None else printed_value(measure.value)
            if same != (row["checkable_by"] == "log"):
                raise _CheckError(
                    f"{_named(row)}: the certificate says {row['value']} and checkable_by {row['checkable_by']}, "
                    f"the leaves {public_value}"
                )
            by_log += same
            if measure is not None and not same:
                otherwise.append(f"{_named(row)} {row['value']}, in the leaves {public_value}")
        detail = f"{by_log} of {len(seen)} numbers recomputed from the public leaves"
        bounded = [row for row in document["numbers"] if row["value"] is not None and "bounds" in row]
        if bounded:
            detail += f"; gaps touch {len(bounded)}: {_named(bounded[0])} is {said_with_bounds(bounded[0])}"
        if otherwise:
            detail += (
                f"; {len(otherwise)} differ from the leaves, which only evidence can justify (late evidence, several "
                f"seats of one attendee), as {otherwise[0]}"
            )
        return detail

    def _well_formed_numbers(self, log: SealedLog, document: dict[str, Any]) -> set[tuple[str, str]]:
        """Return (rule, scope) of every number: each once, as its rule has it, none left out that must be there."""
        seen: set[tuple[str, str]] = set()
        known_at = as_of(log, document["issued_at"])
        boundless = document["version"] > 1 and bool(windows_without_leaf(log) or log.restored)
        for row in document["numbers"]:
            rule, key = RULES_BY_ID[row["rule"]], (row["rule"], _scope_key(row["scope"]))
            stated = (row["rule_version"], row["unit"], row["kind"], row["as_of"])
            if stated != (rule.version, rule.unit, "exact", known_at) or row["checkable_by"] not in ("log", "evidence"):
                raise _CheckError(f"{_named(row)}: version, unit, kind, as_of or checkable_by are not the rule's")
            if not are_bounds(row, boundless=boundless, version=document["version"]):
                raise _CheckError(f"{_named(row)}: its bounds are none, or not those of an event with such gaps")
            if key in seen or rule.id not in log.event.counting.rules:
                raise _CheckError(f"{_named(row)}: it is there twice, or the event does not count by this rule")
            seen.add(key)
        days = sorted({log.event.day(window) for window in log.event.scheduled_windows()})
        for name in log.event.counting.rules:
            for scope in scopes(log.event, RULES_BY_ID[name], days, {}):
                if (name, _scope_key(scope.printed)) not in seen:
                    raise _CheckError(f"{_named({'rule': name, 'scope': scope.printed})}: the number is left out")
        return seen

    # --- with the evidence --------------------------------------------------------------------------------------------

    def evidence(self) -> str:
        if self.evidence_dir is None:
            raise _OpenError(NEEDS_EVIDENCE)
        log, document = self._log(), self._document()
        store = EvidenceStore(self.evidence_dir)
        replay(log.event, log.steering, store.get)
        rebuilt = assemble(
            log, self._leaf_by_leaf(read_evidence_of(log, store.get)), document["log"], document["issued_at"],
            document["software"], document["version"],
        )  # fmt: skip
        if rebuilt != self.certificate:
            raise _CheckError(_first_difference(document, read_certificate(rebuilt)))
        return (
            f"{len(log.leaves)} leaves rebuilt from their segments; all {len(document['numbers'])} numbers and the "
            "rest of the certificate come out the same"
        )

    def _leaf_by_leaf(self, evidence: Iterator[LeafEvidence]) -> Iterator[LeafEvidence]:
        """Pass on the evidence of each leaf, having rebuilt the leaf from it."""
        log = self._log()
        exclusions = ExclusionsSoFar(log.event)
        before_window, before = -1, dict[int, SessionPresence]()
        for done, item in enumerate(evidence, start=1):
            exclusions.add(item.journals)
            if isinstance(item.leaf, WindowLeaf):
                window = item.leaf.window
                rebuilt = build_leaf(
                    log.event,
                    window,
                    [*item.presence, *item.journals],
                    before if before_window == window - WINDOW_S else {},
                    exclusions.excluded,
                    item.manifest,
                    merged=item.merged,
                )
                if rebuilt != item.leaf.raw:
                    raise _CheckError(
                        f"entry {item.leaf.index}, {log.event.iso(window)}: its evidence gives another leaf"
                    )
                before_window, before = window, dict(item.merged)
            yield item
            if self.progress is not None:
                self.progress(done, len(log.leaves))

    # --- what earlier checks have found -------------------------------------------------------------------------------

    def _document(self) -> dict[str, Any]:
        if self.document is None:
            raise _OpenError("the certificate could not be read")
        return self.document

    def _stated_checkpoint(self) -> Checkpoint:
        log = self._document()["log"]
        return Checkpoint(log["origin"], log["size"], decode_base64(log["root"]))

    def _entries(self) -> list[bytes]:
        if self.entries is None:
            raise _OpenError(NEEDS_LOG if self.log_dir is None else "the log did not pass")
        return self.entries

    def _log(self) -> SealedLog:
        if self.log is None:
            raise _OpenError(NEEDS_LOG if self.log_dir is None else "the log did not pass")
        return self.log


def verify(
    certificate: bytes,
    proof: bytes,
    *,
    log_dir: Path | None = None,
    evidence_dir: Path | None = None,
    policy: TrustPolicy | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Return the report on a certificate.

    Args:
        certificate: the file, byte for byte.
        proof: its tlog-proof.
        log_dir: the folder of the public log (checkpoint, tile/…), or None if it is not at hand.
        evidence_dir: the folder of the evidence, or None.
        policy: what the verifier trusts, or None.
        progress: is told after each leaf rebuilt from evidence: how many, of how many.
    """
    state = _Verification(certificate, proof, log_dir, evidence_dir, policy, progress)
    steps = (
        ("canonical form", state.canonical_form),
        ("trusted key", state.key),
        ("proof of inclusion", state.inclusion),
        ("whole log", state.whole_log),
        ("event and windows", state.sealed_event),
        ("witnesses", state.quorum),
        ("public statements", state.public_statements),
        ("public numbers", state.public_numbers),
        ("evidence", state.evidence),
    )
    return Report(tuple(_made(name, step) for name, step in steps))


def _made(name: str, step: Callable[[], str]) -> Check:
    try:
        return Check(name, passed=True, detail=step())
    except _OpenError as reason:
        return Check(name, passed=None, detail=str(reason))
    except (_CheckError, CertificateError, EvidenceError, NoteError) as error:
        return Check(name, passed=False, detail=str(error))
    except Exception as error:  # noqa: BLE001 - hostile input: whatever it provokes is a failed check, never a traceback
        return Check(name, passed=False, detail=str(error) or type(error).__name__)


def _cell(log: SealedLog, scope: dict[str, str]) -> Cell:
    """Return the cell of a scope that public leaves can speak of (`PUBLIC_SCOPE`)."""
    session = log.event.session(scope["session"]) if "session" in scope else None
    if "session" in scope and session is None:
        raise _CheckError(f"the event has no session {scope['session']!r}")
    return Cell(session.number if session else None, scope.get("day"), scope.get("channel"))


def _cosigned(names: Sequence[str]) -> str:
    return f"{', '.join(names) or 'nobody'} {'has' if len(names) < 2 else 'have'} cosigned"


def _scope_key(scope: Mapping[str, str]) -> str:
    return json.dumps(dict(scope), sort_keys=True)


def _named(row: Mapping[str, Any]) -> str:
    scope = ", ".join(f"{key} {value}" for key, value in row["scope"].items()) or "whole event"
    return f"{row['rule']} ({scope})"


def _first_difference(ours: dict[str, Any], rebuilt: dict[str, Any]) -> str:
    """Name the first number, else the first member, that differs between a certificate and its rebuilding."""
    if isinstance(ours.get("numbers"), list):
        for stated, expected in zip(ours["numbers"], rebuilt["numbers"], strict=False):
            if stated != expected:
                row = stated if isinstance(stated, dict) else {}
                differing = sorted(key for key in expected.keys() | row.keys() if row.get(key) != expected.get(key))
                key = "value" if "value" in differing else differing[0]
                return f"{_named(expected)}: {key} is {row.get(key)!r}, the evidence gives {expected.get(key)!r}"
    for name in sorted(ours.keys() | rebuilt.keys()):
        if ours.get(name) != rebuilt.get(name):
            return f"the certificate's {name!r} is not what the evidence gives"
    return "the certificate is not what the evidence gives"
