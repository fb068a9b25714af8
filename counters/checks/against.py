"""What else somebody was shown of the log: it must be of one history with this certificate.

Two signed checkpoints of one size with two roots are proof by themselves that the log's key has signed two histories.
Of two sizes, the leaf hashes of the larger one belong to the proof: they have its root, and the first of them do not
have the smaller one's. Whatever proves a contradiction is kept as files (`proof_of_two_histories`):

    checkpoint-<size>-<first 16 hex digits of the root>    a signed checkpoint
    leaf-hashes-<size>                                     32 bytes for each entry of the log's copy, if there is one

Two certificates over the same entries must also print the same numbers, and two logs must not certify one event.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from counters.certificate import certificate_entry, read_certificate
from counters.checks.alone import proven
from counters.checks.verification import FailedError, OpenError, Other, Verification
from counters.ledger.checkpoint import Checkpoint, open_checkpoint
from counters.ledger.merkle import ProofError
from counters.ledger.note import NoteError, Verifier, decode_base64, open_note, parse_note
from counters.ledger.proof import TlogProof
from counters.ledger.tile_files import CHECKPOINT


def no_contradiction(state: Verification) -> str:
    """None of the others contradicts the certificate or the log."""
    proven(state)
    said, unknown = list[str](), list[str]()
    for other in state.given.others:
        try:
            said.append(f"{other.name}: {_compare(state, other)}")
        except OpenError as reason:
            unknown.append(str(reason))
    if unknown:
        raise OpenError("; ".join([*unknown, *said]))
    return "; ".join(said)


def proof_of_two_histories(state: Verification, other: bytes) -> dict[str, bytes]:
    """Return the files that prove that the log's key has signed another history than this one, by their names."""
    files = {_name(note): note for note in (*(note for _, note in _our_notes(state)), other)}
    if state.leaf_hashes is not None:
        files[f"leaf-hashes-{len(state.leaf_hashes)}"] = b"".join(state.leaf_hashes)
    return files


def _compare(state: Verification, other: Other) -> str:
    verifier = state.the_verifier()
    document = None if other.certificate is None else read_certificate(other.certificate)
    try:
        theirs = open_checkpoint(other.note, verifier)
    except NoteError as error:
        raise _of_another_log(state, other, document, error) from error
    if other.proof is not None and other.certificate is not None:
        try:
            TlogProof.decode(other.proof).verify(certificate_entry(other.certificate), verifier)
        except ProofError as error:
            raise OpenError(f"{other.name} is not proven to be in this log: {error}") from error
    stated = [theirs] + ([_stated(document)] if document else [])
    open_sizes = [size for each in stated if (size := _one_history(state, other, each)) is not None]
    said = f"its {theirs.size} entries and the {proven(state).size} of this proof are of one history"
    if document is not None:
        said += f"; {_compare_certificates(state, other, document)}"
    if open_sizes:
        raise OpenError(_too_short(state, other, open_sizes[0]))
    return said


def _one_history(state: Verification, other: Other, theirs: Checkpoint) -> int | None:
    """Compare a state of the log with all that is known here; return its size if nothing here says enough."""
    ours = [("the proof", proven(state)), ("the certificate", state.stated_checkpoint())]
    ours += [("this copy of the log", state.published)] if state.published else []
    compared = False
    for name, known in ours:
        if known.size == theirs.size:
            compared = True
            if known.root != theirs.root:
                _two_histories(
                    state, other, f"{name} and {other.name} have two roots of the same {theirs.size} entries"
                )
    if state.leaf_hashes is not None and theirs.size <= len(state.leaf_hashes):
        compared = True
        if state.roots([theirs.size])[theirs.size] != theirs.root:
            _two_histories(state, other, f"this log does not begin with the {theirs.size} entries of {other.name}")
    return None if compared else theirs.size


def _two_histories(state: Verification, other: Other, what: str) -> None:
    state.contradiction = proof_of_two_histories(state, other.note) | _certificates(state, other)
    raise FailedError(f"{what}: the log's key has signed two histories")


def _too_short(state: Verification, other: Other, size: int) -> str:
    if state.leaf_hashes is None:
        return f"{other.name} has {size} entries: whether they are of one history, only the public log can show"
    return (
        f"{other.name} has {size} entries, this copy of the log {len(state.leaf_hashes)}: fetch the log anew. If it "
        "has no more entries now, it was set back, and the larger checkpoint is the proof: keep it"
    )


def _of_another_log(
    state: Verification, other: Other, document: Mapping[str, Any] | None, error: NoteError
) -> FailedError | OpenError:
    """Return what is to be said of something that the log's key has not signed."""
    ours = state.the_document()
    if document is None or document["log"]["vkey"] == ours["log"]["vkey"]:
        return OpenError(f"{other.name} says nothing of this log: {error}")
    open_note(other.note, [Verifier.decode(document["log"]["vkey"])])
    if document["event_sha256"] == ours["event_sha256"]:
        state.contradiction = proof_of_two_histories(state, other.note) | _certificates(state, other)
        return FailedError(
            f"{other.name} is of the same event in another log, {document['log']['vkey']}: two logs certify one event"
        )
    return OpenError(f"{other.name} is of another event and another log: they cannot contradict each other")


def _compare_certificates(state: Verification, other: Other, theirs: dict[str, Any]) -> str:
    ours = state.the_document()
    if theirs["event_sha256"] != ours["event_sha256"]:
        state.contradiction = _certificates(state, other)
        raise FailedError(f"{other.name} names another event in entry 0 of the same log")
    (here, mine), (there, others) = _numbers(ours), _numbers(theirs)
    differing = sorted(key for key in here.keys() & there.keys() if here[key] != there[key])
    if theirs["log"]["size"] == ours["log"]["size"] and differing:
        state.contradiction = _certificates(state, other)
        raise FailedError(
            f"{other.name} counts the same {ours['log']['size']} entries and prints other numbers, such as "
            f"{differing[0]}: {mine[differing[0]]} here, {others[differing[0]]} there. One of them at least is untrue"
        )
    newer = "older" if theirs["log"]["size"] < ours["log"]["size"] else "newer"
    age = "over the same entries" if theirs["log"]["size"] == ours["log"]["size"] else newer
    return f"that certificate is {age}, and {len(differing)} of its numbers are other ones"


def _numbers(document: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Return by rule and scope what is printed of a number, and its value."""
    rows = {
        f"{row['rule']} {row['rule_version']} {json.dumps(row['scope'], sort_keys=True)}": row
        for row in document["numbers"]
    }
    printed = ("value", "unit", "at", "suppressed")
    stated = {key: json.dumps([row.get(name) for name in printed]) for key, row in rows.items()}
    return stated, {key: row["value"] for key, row in rows.items()}


def _stated(document: Mapping[str, Any]) -> Checkpoint:
    log = document["log"]
    return Checkpoint(log["origin"], log["size"], decode_base64(log["root"]))


def _our_notes(state: Verification) -> Iterator[tuple[str, bytes]]:
    yield "proof", TlogProof.decode(state.given.proof).checkpoint_note
    if state.given.log_dir is not None and state.published is not None:
        yield "log", (state.given.log_dir / CHECKPOINT).read_bytes()


def _certificates(state: Verification, other: Other) -> dict[str, bytes]:
    files = {"certificate.json": state.given.certificate, "certificate.tlog-proof": state.given.proof}
    if other.certificate is not None and other.proof is not None:
        files |= {"other.json": other.certificate, "other.tlog-proof": other.proof}
    return files


def _name(note: bytes) -> str:
    checkpoint = Checkpoint.decode(parse_note(note)[0])
    return f"checkpoint-{checkpoint.size}-{checkpoint.root.hex()[:16]}"
