"""The roll: what was sealed of the attendees is what the evidence has, so that an audit of it is one of the numbers."""

from counters import roll_sealing
from counters.checks.verification import NEEDS_EVIDENCE, FailedError, OpenError, Verification
from counters.evidence_store import EvidenceStore
from counters.ledger.note import encode_base64
from counters.scratch import scratch_folder


def roll(state: Verification) -> str:
    """The newest roll of the log follows from the evidence: nobody was put on it, or left out, for the audit."""
    entry = state.the_log().audits.roll
    if entry is None:
        return "none is sealed yet, and so none is audited"
    if state.given.evidence_dir is None:
        raise OpenError(NEEDS_EVIDENCE)
    store, entries = EvidenceStore(state.given.evidence_dir), state.the_entries()
    with scratch_folder("turnout-roll-") as scratch:
        made = roll_sealing.make(entries[: entry.through], store.get, scratch / "roll")
        found = (made.size, made.root)
    if found != (entry.size, entry.root):
        raise FailedError(
            f"entry {entry.index} seals a roll of {entry.size} attendees with the root {encode_base64(entry.root)}; "
            f"the evidence gives {found[0]} with the root {encode_base64(found[1])}: another list than is counted"
        )
    return f"the {entry.size} attendees of entry {entry.index} are those of the evidence, each once"
