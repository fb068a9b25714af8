"""Verifying a receipt: that its attendee is on the roll once, that the roll is in the log, and who says the rest.

Input is hostile until checked: whatever is wrong with it becomes a failed check, never an exception.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from counters import canonical_json
from counters.checks.verification import FailedError, OpenError
from counters.ledger.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from counters.ledger.note import NoteError, Verifier, decode_base64, open_note
from counters.ledger.proof import TlogProof
from counters.ledger.reader import LogReader
from counters.ledger.tile_files import LogCorruptError
from counters.log_entries import read_log
from counters.receipt import Receipt, read_receipt
from counters.roll_leaf import RollLeaf
from counters.trust_policy import NO_QUORUM, TrustPolicy
from counters.verify import Check, Report

_WRONG: Final = (
    FailedError, LogCorruptError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError,
)  # fmt: skip
"""What something that is not as it must be provokes."""


@dataclass(slots=True)
class _Verification:
    """Everything known so far. Owned by one `verify_receipt` call."""

    note: bytes
    policy: TrustPolicy | None
    ticket: bytes | None
    log_dir: Path | None
    receipt: Receipt | None = None
    signed: bool = False
    verifier: Verifier | None = None

    def the_document(self) -> dict[str, Any]:
        if self.receipt is None:
            raise OpenError("the receipt could not be read")
        return self.receipt.document

    def the_leaf(self) -> bytes:
        if self.receipt is None:
            raise OpenError("the receipt could not be read")
        return self.receipt.leaf

    def the_verifier(self) -> Verifier:
        if self.verifier is None:
            raise OpenError("the log's key could not be read")
        return self.verifier


def verify_receipt(
    note: bytes, *, policy: TrustPolicy | None = None, ticket: bytes | None = None, log_dir: Path | None = None
) -> Report:
    """Return the report on a receipt.

    Args:
        note: the file, byte for byte.
        policy: what the verifier trusts, or None.
        ticket: the compact JWT of whoever says that the receipt is theirs, or None.
        log_dir: the folder of the public log (checkpoint, tile/…), or None if it is not at hand.
    """
    state = _Verification(note, policy, ticket, log_dir)
    steps: tuple[tuple[str, Callable[[_Verification], str], bool], ...] = (
        ("form", _form, True),
        ("trusted key", _key, True),
        ("signature", _signature, True),
        ("roll in the log", _roll, True),
        ("quorum", _quorum, True),
        ("on the roll", _leaf, True),
        ("newest roll", _newest, log_dir is not None),
        ("whose it is", _whose, ticket is not None),
        ("minutes", _minutes, True),
    )
    return Report(tuple(_checked(state, name, step, asked=asked) for name, step, asked in steps))


def _checked(state: _Verification, name: str, step: Callable[[_Verification], str], *, asked: bool) -> Check:
    try:
        return Check(name, passed=True, detail=step(state), asked=asked)
    except OpenError as error:
        return Check(name, passed=None, detail=str(error), asked=asked)
    except _WRONG as error:
        return Check(name, passed=False, detail=str(error) or repr(error), asked=asked)


def _form(state: _Verification) -> str:
    state.receipt = read_receipt(state.note)
    document = state.receipt.document
    simulated = "SIMULATED: " if document["simulated"] else ""
    return f"{simulated}receipt of {document['event']['name']}, issued {document['issued_at']}"


def _key(state: _Verification) -> str:
    log = state.the_document()["log"]
    verifier = Verifier.decode(log["vkey"])
    if verifier.name != log["origin"]:
        raise FailedError(f"the key is named {verifier.name!r}, the log {log['origin']!r}")
    state.verifier = verifier
    if state.policy is None:
        raise OpenError(
            "no trust policy was given (--policy): the log's key was taken from the receipt itself, so anybody could "
            f"have made both. Compare it with one that you trust: {log['vkey']}"
        )
    if verifier not in state.policy.logs:
        raise FailedError(f"the trust policy does not name the log key {log['vkey']}")
    return f"the trust policy names {log['vkey']}"


def _signature(state: _Verification) -> str:
    try:
        open_note(state.note, [state.the_verifier()])
    except NoteError as error:
        raise FailedError(str(error)) from error
    state.signed = True
    return "signed by the log's key"


def _roll(state: _Verification) -> str:
    document = state.the_document()
    entry = document["roll_entry"]
    if entry["type"] != "roll" or entry["event_sha256"] != document["event_sha256"]:
        raise FailedError("the entry is no roll of this event")
    if entry["simulated"] is not document["simulated"]:
        raise FailedError("the receipt and the roll do not agree on whether the event was simulated")
    proof = TlogProof.decode(document["roll_proof"].encode())
    checkpoint = proof.verify(canonical_json.encode(entry), state.the_verifier())
    return f"entry {proof.index} of {checkpoint.origin} sealed a roll of {entry['size']:,} attendees at {entry['at']}"


def _quorum(state: _Verification) -> str:
    note = TlogProof.decode(state.the_document()["roll_proof"].encode()).checkpoint_note
    if state.policy is None:
        raise OpenError("no trust policy was given: it would say whose cosignatures must stand in the proof")
    names = state.policy.cosigned_by(note)
    who = ", ".join(sorted(names)) or "nobody"
    if not state.policy.is_met(names):
        raise FailedError(f"the trust policy demands the quorum {state.policy.quorum!r}; cosigned by {who}")
    demanded = "none" if state.policy.quorum == NO_QUORUM else repr(state.policy.quorum)
    return f"cosigned by {who}; the trust policy demands {demanded}"


def _leaf(state: _Verification) -> str:
    document = state.the_document()
    roll, entry = document["roll"], document["roll_entry"]
    hashes = [decode_base64(value) for value in roll["proof"]]
    root = decode_base64(entry["root"])
    if len(root) != HASH_BYTES or any(len(value) != HASH_BYTES for value in hashes):
        raise FailedError("a hash of the roll's proof has another length than a hash")
    verify_inclusion(leaf_hash(state.the_leaf()), roll["index"], entry["size"], hashes, root)
    return f"leaf {roll['index']} of {entry['size']:,}: on the roll, and once, since leaves ascend by pseudonym"


def _newest(state: _Verification) -> str:
    """The roll is the newest of the log: a corrected one would count in its place."""
    if state.log_dir is None:
        raise OpenError("not checked: whether the roll was corrected since, only the public log can show (--log)")
    proof = TlogProof.decode(state.the_document()["roll_proof"].encode())
    entries = list(_whole(LogReader(state.log_dir, state.the_verifier())))
    if proof.index >= len(entries):
        raise OpenError(f"this copy of the log has {len(entries)} entries, and not yet the roll's: fetch it anew")
    if entries[proof.index] != canonical_json.encode(state.the_document()["roll_entry"]):
        raise FailedError(f"entry {proof.index} of this log is another one: its key has signed two histories")
    newest = read_log(entries).audits.roll
    if newest is None or newest.index != proof.index:
        by = "" if newest is None else f" by the one of entry {newest.index}"
        raise FailedError(f"the roll of entry {proof.index} was superseded{by}: ask for a new receipt")
    return f"no later roll in this log of {len(entries)} entries takes its place"


def _whole(reader: LogReader) -> Iterable[bytes]:
    reader.full_check()
    return reader.entries()


def _whose(state: _Verification) -> str:
    leaf = RollLeaf.decode(state.the_leaf())
    if state.ticket is None:
        raise OpenError("not checked: this needs the ticket of whoever shows it (--ticket)")
    if hashlib.sha256(state.ticket.strip()).digest() != leaf.token_digest:
        raise FailedError(
            "it is another ticket than the one with which this attendee came first: a stranger's, or a renewed one; "
            "nobody can tell"
        )
    return "the ticket is the one with which this attendee came first"


def _minutes(state: _Verification) -> str:
    state.the_document()
    if not state.signed:
        raise OpenError("what nobody has signed says nothing")
    said = [
        f"{row['title']}, {row['channel']}: {_count(row['minutes_in_schedule'])} of "
        f"{_count(row['scheduled_minutes'])} scheduled minutes"
        for row in state.the_document()["sessions"]
    ]
    stated = "; ".join(said) or "no minute in any session"
    return f"{stated} (stated by the log's key; an auditor recomputes it from the evidence)"


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise FailedError(f"{value!r} is no number of minutes")
    return value
