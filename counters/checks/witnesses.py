"""Who has cosigned the log: the quorum on the proof's checkpoint, and how soon each window was cosigned."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from counters.checks.against import proof_of_two_histories
from counters.checks.alone import proven
from counters.checks.soonest import soonest
from counters.checks.verification import FailedError, OpenError, Verification
from counters.cosigned import cosigned_sizes, read_cosigned
from counters.event import Event
from counters.ledger.checkpoint import open_checkpoint
from counters.ledger.cosignature import WitnessKey, cosignatures, cosigned_at
from counters.ledger.note import NoteError
from counters.ledger.proof import TlogProof
from counters.trust_policy import NO_QUORUM


def quorum(state: Verification) -> str:
    """The proof's checkpoint has the cosignatures that entry 0 and the trust policy demand."""
    checkpoint, policy = proven(state), state.given.policy
    note, said = TlogProof.decode(state.given.proof).checkpoint_note, list[str]()
    if state.log is not None and state.log.event.witnesses:
        event = state.log.event
        keys = _keys(event)
        who = sorted(keys[key] for key in cosignatures(note, keys))
        said.append(f"of the event's witnesses {_cosigned(who)}, {event.required_witnesses} must")
        if len(who) < event.required_witnesses:
            raise FailedError(f"{said[0]}: so nobody should have been shown this")
    if policy is None:
        said.append("no trust policy was given: it would say whose cosignatures must stand in the proof")
        raise OpenError("; ".join(said))
    names = policy.cosigned_by(note)
    said.append(f"of the trust policy's witnesses {_cosigned(sorted(names))}")
    if not policy.is_met(names):
        raise FailedError(f"the trust policy demands the quorum {policy.quorum!r}; {said[-1]}")
    demanded = "none" if policy.quorum == NO_QUORUM else repr(policy.quorum)
    return f"at size {checkpoint.size} {'; '.join(said)}; it demands {demanded}"


def delay(state: Verification) -> str:
    """Say how long after its end a window was cosigned at the latest, from the times that the witnesses have signed.

    Every cosigned checkpoint is checked first. One that is of another history is proof that the log has signed two.
    """
    log = state.the_log()
    keys, is_met = _who_counts(state, log.event)
    times = _checked_times(state, keys, is_met)
    if not keys:
        raise OpenError("neither the event nor a trust policy names a witness: nobody outside says when it was written")
    if not times:
        raise OpenError("no checkpoint at hand has the cosignatures that the trust policy, or else entry 0, asks for")
    if log.event.simulated:
        raise OpenError(f"the event's clock was SIMULATED: the times of {len(times)} cosignatures say nothing of it")
    found = soonest(log, times)
    if found is None:
        raise OpenError("no window of the log is in a cosigned checkpoint that is at hand")
    return (
        f"largest delay from a window's end to its cosignature: {found.said(log)}; {len(times)} cosigned checkpoints, "
        "all of this history"
    )


def _checked_times(
    state: Verification, keys: Mapping[WitnessKey, str], is_met: Callable[[set[str]], bool]
) -> dict[int, int]:
    """Return when each cosigned checkpoint at hand had enough cosignatures (unix seconds), by size."""
    notes, times = _notes(state, keys), dict[int, int]()
    roots = state.roots(list(notes))
    for size, note in notes.items():
        try:
            checkpoint = open_checkpoint(note, state.the_verifier())
            lines = cosignatures(note, keys)
        except NoteError as error:
            raise FailedError(f"the cosigned checkpoint {size}: {error}") from error
        if checkpoint.size != size:
            raise FailedError(f"the cosigned checkpoint {size} is one of size {checkpoint.size}")
        if size not in roots:
            raise FailedError(f"there is a cosigned checkpoint of size {size}, and this copy of the log is shorter")
        if checkpoint.root != roots[size]:
            state.contradiction = proof_of_two_histories(state, note)
            raise FailedError(
                f"the cosigned checkpoint {size} is of another history than this log: its key has signed both"
            )
        cosigned = {keys[key]: cosigned_at(line.signature) for key, line in lines.items()}
        if (at := _met_at(cosigned, is_met)) is not None:
            times[size] = at
    return times


def _notes(state: Verification, keys: Mapping[WitnessKey, str]) -> dict[int, bytes]:
    """Return by size the cosigned checkpoints at hand: what is kept beside the log, and the proof's."""
    log_dir, notes = state.given.log_dir, dict[int, bytes]()
    if log_dir is not None:
        notes = {size: read_cosigned(log_dir, size) for size in cosigned_sizes(log_dir)}
    if state.proven is not None and state.proven.size <= len(state.leaf_hashes or ()):
        note = TlogProof.decode(state.given.proof).checkpoint_note
        with suppress(NoteError):  # one that does not hold was reported with the quorum
            cosignatures(note, keys)
            notes.setdefault(state.proven.size, note)
    return notes


def _who_counts(state: Verification, event: Event) -> tuple[dict[WitnessKey, str], Callable[[set[str]], bool]]:
    """Return whose cosignatures count, and when there are enough: by the policy if it demands any, else by entry 0."""
    policy = state.given.policy
    if policy is not None and (policy.quorum != NO_QUORUM or not event.witnesses):
        demands = policy.quorum != NO_QUORUM
        return {key: name for name, key in policy.witnesses.items()}, policy.is_met if demands else bool
    least = max(event.required_witnesses, 1)
    return _keys(event), lambda names: len(names) >= least


def _met_at(cosigned: dict[str, int], is_met: Callable[[set[str]], bool]) -> int | None:
    """Return when (unix s) enough witnesses had cosigned; None if too few have."""
    for at in sorted(set(cosigned.values())):
        if is_met({name for name, time_s in cosigned.items() if time_s <= at}):
            return at
    return None


def _keys(event: Event) -> dict[WitnessKey, str]:
    return {WitnessKey.decode(witness.vkey): witness.name for witness in event.witnesses}


def _cosigned(names: Sequence[str]) -> str:
    return f"{', '.join(names) or 'nobody'} {'has' if len(names) < 2 else 'have'} cosigned"
