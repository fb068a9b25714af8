"""Whether a roll was sealed before the beacon's round happened: what a draw from it stands on.

Had the organiser known the beacon's value while the roll could still be changed, the roll could have been made so that
the leaves to be opened are genuine. That it was not is as good as the witness that saw the roll's entry before the
round: outside witnesses, by the times of their cosignatures on a checkpoint that holds the entry; without them only the
operator, whose own clock dates the entry.

Witnesses sign the real time. Where the event's clock is simulated, so is the time of the round, and comparing the two
says nothing: nobody then has witnessed the order, whatever the times.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from counters.audit_entries import RollEntry
from counters.event import Event
from counters.ledger.cosignature import WitnessKey, cosignatures, cosigned_at
from counters.ledger.merkle import ProofError
from counters.ledger.note import NoteError, Verifier
from counters.ledger.proof import TlogProof
from counters.trust_policy import NO_QUORUM, TrustPolicy

OPERATORS_WORD = (
    "NO OUTSIDE WITNESS cosigned the roll before the beacon's round: that the roll was sealed first rests on the "
    "operator's word alone. Who knew the round's value could have made a roll whose drawn entries are genuine"
)
SIMULATED_ORDER: Final = (
    "SIMULATED: the event's clock, and so the time of the beacon's round, was made up. Witnesses sign the real time, "
    "and their times do not show that the roll was sealed before the round"
)


class OrderError(Exception):
    """The roll was not sealed before the round, or nobody can say that it was."""


@dataclass(frozen=True, slots=True)
class Order:
    """The roll came first."""

    witnessed: bool  # by outside witnesses; else by the operator's word
    said: str  # in words


def order_of(
    event: Event, roll: RollEntry, entry: bytes, proof: bytes | None, verifier: Verifier, policy: TrustPolicy | None
) -> Order:
    """Return who says that a roll was sealed before its beacon round.

    Args:
        event: of entry 0, which names witnesses, and how many are required.
        roll: what was sealed.
        entry: its entry in the log, as it stands there.
        proof: the tlog-proof of the entry as it was first shown; None if it is lost.
        verifier: the log's key.
        policy: whose cosignatures count, if not those of the event's own witnesses.

    Raises:
        OrderError: it was sealed later by its own account, or those that must have cosigned it had not.
    """
    if roll.round is None:
        raise OrderError("the roll names no beacon round: seal a corrected one that does")
    round_at = event.iso(roll.round.at)
    if roll.at >= roll.round.at:
        raise OrderError(f"the roll was sealed at {event.iso(roll.at)}, and its beacon round happened at {round_at}")
    keys, enough, demanded = _who_counts(event, policy)
    if not keys:
        mark = "SIMULATED: " if event.simulated else ""
        said = f"{mark}{OPERATORS_WORD}: neither the event nor a trust policy names a witness"
        return Order(witnessed=False, said=said)
    times = _cosigned(entry, proof, verifier, keys)
    if event.simulated:
        said = f"cosigned by {', '.join(sorted(times)) or 'nobody'}"
        if demanded and not enough(set(times)):
            raise OrderError(f"the roll was not cosigned by as many as must: {said}")
        return Order(witnessed=False, said=f"{SIMULATED_ORDER}: {said}")
    in_time = {name for name, at in times.items() if at < roll.round.at}
    late = sorted(times.keys() - in_time)
    said = f"cosigned before {round_at} by {', '.join(sorted(in_time)) or 'nobody'}"
    said += f"; after it by {', '.join(late)}" if late else ""
    if enough(in_time) and in_time:
        return Order(witnessed=True, said=said)
    if demanded:
        raise OrderError(f"the roll was not cosigned by as many as must before the beacon's round: {said}")
    return Order(witnessed=False, said=f"{OPERATORS_WORD}: {said}")


def _who_counts(
    event: Event, policy: TrustPolicy | None
) -> tuple[dict[WitnessKey, str], Callable[[set[str]], bool], bool]:
    """Return whose cosignatures count, by key, what is enough of them, and whether that is demanded."""
    if policy is not None and policy.quorum != NO_QUORUM:
        return {key: name for name, key in policy.witnesses.items()}, policy.is_met, True
    keys = {WitnessKey.decode(witness.vkey): witness.name for witness in event.witnesses}
    least = max(event.required_witnesses, 1)
    return keys, lambda names: len(names) >= least, event.required_witnesses > 0


def _cosigned(entry: bytes, proof: bytes | None, verifier: Verifier, keys: Mapping[WitnessKey, str]) -> dict[str, int]:
    """Return when each of these witnesses cosigned a checkpoint that holds the entry, unix seconds, by name."""
    if proof is None:
        return {}
    try:
        decoded = TlogProof.decode(proof)
        decoded.verify(entry, verifier)
        lines = cosignatures(decoded.checkpoint_note, keys)
    except (ProofError, NoteError) as error:
        raise OrderError(f"the proof of the roll's entry: {error}") from None
    return {keys[key]: cosigned_at(line.signature) for key, line in lines.items()}
