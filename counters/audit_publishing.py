"""Publishing draws and results: entered into the log, where every certificate from then on names them.

Only in the thread that owns the sealer. Each call may be repeated: what is in the log already is not entered twice.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from counters import roll_sealing
from counters.audit_entries import AuditEntryError, DrawEntry, RollEntry, draw_entry, result_entry
from counters.audit_order import OrderError, order_of
from counters.beacon import DRAND, BeaconError, Round, read_value
from counters.event import Event
from counters.kept_rolls import proof_of
from counters.ledger.note import Verifier
from counters.log_entries import read_time
from counters.sealing import Sealer
from counters.software import SOFTWARE

K: Final = 3000
"""Leaves that are opened where the event file names no audit: without a bogus one, under 0.1 % are bogus at 95 %."""


class AuditRefusedError(Exception):
    """Nothing was published, and why."""


@dataclass(frozen=True, slots=True)
class RoundAsked:
    """A beacon round as somebody names it for a corrected roll."""

    number: int
    beacon: str = ""  # "" = the event's
    at: int | None = None  # unix seconds; None for beacons whose rounds' times are known


def round_of(event: Event, asked: RoundAsked, now: float) -> Round:
    """Return the beacon round that a corrected roll is to name.

    Raises:
        AuditRefusedError: it is not known when it happens, or it happened already.
    """
    name = asked.beacon or (event.audit.beacon if event.audit else "")
    if not name:
        raise AuditRefusedError("the event file names no beacon: name one")
    drand = DRAND.get(name)
    if (drand is None) == (asked.at is None):
        wrong = "say when its round happens" if drand is None else "the time of its round follows from the round"
        raise AuditRefusedError(f"beacon {name}: {wrong}")
    at = drand.at(asked.number) if drand is not None else asked.at or 0
    if at <= now:
        raise AuditRefusedError(f"round {asked.number} of {name} happened at {event.iso(at)}: name one that is to come")
    return Round(name, asked.number, at)


def publish_draw(sealer: Sealer, verifier: Verifier, given: str, now: float, rolls: Path) -> dict[str, Any]:
    """Publish the draw from the newest roll that a beacon's value decides; return what to tell.

    Args:
        sealer: of the log.
        verifier: its key.
        given: the value, as hex or as drand answers it.
        now: unix seconds.
        rolls: DIR/roll.

    Raises:
        AuditRefusedError: there is no roll, it was not sealed before the round, or this is not the round's value.
        OSError: the disk refuses.
    """
    roll_sealing.complete(sealer, rolls)
    roll = sealer.audits.roll
    if roll is None:
        raise AuditRefusedError("there is no roll yet: it is sealed when late_until has passed")
    if roll.index >= sealer.log.published.size:
        raise AuditRefusedError("the roll waits for its witnesses: draw when its entry is published")
    if roll.round is None:
        raise AuditRefusedError("the roll names no beacon round: seal a corrected one that does (turnout audit roll)")
    entry, proof = sealer.log.entry(roll.index), proof_of(roll, rolls)
    try:
        order = order_of(sealer.event, roll, entry, proof, verifier, None)
        value = read_value(given, roll.round)
    except (OrderError, BeaconError) as error:
        raise AuditRefusedError(str(error)) from None
    told = {"order": order.said, "witnessed": order.witnessed, "look_up": roll.round.look_up()}
    for draw in sealer.audits.draws:
        if (draw.roll.index, draw.value.value) == (roll.index, value.value):
            return told | _told(draw, new=False)
    k = sealer.event.audit.k if sealer.event.audit else K
    _append(sealer, draw_entry(sealer.event, roll, value, k, now, SOFTWARE))
    return told | _told(sealer.audits.draws[-1], new=True)


def publish_result(sealer: Sealer, draw: int, auditor: str, note: str, now: float) -> dict[str, Any]:
    """Publish what an auditor signed about a draw; return what to tell.

    Raises:
        AuditRefusedError: there is no such draw, or the note is not one of this auditor about it.
        OSError: the disk refuses.
    """
    sealer.settle()
    of = next((each for each in sealer.audits.draws if each.index == draw), None)
    if of is None:
        raise AuditRefusedError(f"entry {draw} of the log is no draw")
    entry = result_entry(sealer.event, of, auditor, note, now, SOFTWARE)
    for known in sealer.audits.results:
        if (known.draw.index, known.auditor) == (draw, auditor) and known.note == note:
            return {"entry": known.index, "new": False}
    _append(sealer, entry)
    return {"entry": sealer.audits.results[-1].index, "new": True}


def _append(sealer: Sealer, entry: bytes) -> None:
    try:
        sealer.audits.check_next(sealer.event, sealer.log.size, entry, lambda text: read_time(sealer.event, text))
    except AuditEntryError as error:
        raise AuditRefusedError(str(error)) from None
    # A crash in here leaves the entry or none; asked for again, what is there is found.
    sealer.append(entry)


def _told(draw: DrawEntry, *, new: bool) -> dict[str, Any]:
    roll: RollEntry = draw.roll
    return {"entry": draw.index, "new": new, "roll": roll.index, "size": roll.size, "k": min(draw.k, roll.size)}
