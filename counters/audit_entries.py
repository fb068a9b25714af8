"""The log entries of the roll and of its audits, as bytes and as values; each stands on one before it.

    roll          {"type": "roll", "version": 1, "event_sha256", "size", "root" (base64), "through", "at",
                   "beacon": null or {"name", "round", "at"}, "simulated", "software"}
                  the roll made of the evidence of the log's first `through` entries; the beacon round, still to come,
                  that decides which of its leaves are opened: of an event with [audit], for the first roll, the one
                  that the event file named; a corrected roll is a new entry and names a later round
    audit-draw    {"type": "audit-draw", "version": 1, "event_sha256", "roll" (its entry), "k",
                   "beacon": {"name", "round", "value" (hex), "signature" (hex, where it was given)}, "at", …}
    audit-result  {"type": "audit-result", "version": 1, "event_sha256", "draw" (its entry), "auditor" (verifier key),
                   "note" (signed by it: counters.audit_result), "at", …}

What the draw opens follows from these entries (counters.audit_positions). An auditor states the result and signs it;
who runs the log only enters it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from counters import canonical_json
from counters.audit_positions import positions, seed_of
from counters.audit_result import SIZE_LIMIT, AuditResult, read_result
from counters.beacon import DRAND, BeaconValue, Round
from counters.bogus_bound import DRAWN_LIMIT
from counters.event import Event
from counters.ledger.merkle import HASH_BYTES
from counters.ledger.note import decode_base64, encode_base64
from counters.segment import is_count

TYPES: Final = ("roll", "audit-draw", "audit-result")
VERSION: Final = 1


class AuditEntryError(ValueError):
    """An entry about the roll is malformed, or does not fit those before it."""


@dataclass(frozen=True, slots=True)
class RollEntry:
    """A sealed roll."""

    index: int  # in the log
    size: int  # attendees
    root: bytes
    through: int  # entries of the log that it was made from
    at: int  # unix seconds, the ledger's clock
    round: Round | None  # None: it cannot be drawn from


@dataclass(frozen=True, slots=True)
class DrawEntry:
    """A draw from a roll."""

    index: int
    roll: RollEntry
    value: BeaconValue
    k: int
    at: int

    def positions(self) -> list[int]:
        """Return the positions of the leaves that are to be opened, in the order of drawing."""
        roll = self.roll
        if roll.round is None:
            return []
        return positions(seed_of(roll.root, roll.size, roll.round, self.value.value), roll.size, self.k)


@dataclass(frozen=True, slots=True)
class ResultEntry:
    """What an auditor found."""

    index: int
    draw: DrawEntry
    auditor: str  # verifier key
    note: str
    result: AuditResult
    at: int


@dataclass(slots=True)
class AuditTrail:
    """All rolls, draws and results of a log, in its order. Grown by whoever reads the log."""

    rolls: list[RollEntry] = field(default_factory=list)
    draws: list[DrawEntry] = field(default_factory=list)
    results: list[ResultEntry] = field(default_factory=list)

    @property
    def roll(self) -> RollEntry | None:
        """The roll that counts: the newest."""
        return self.rolls[-1] if self.rolls else None

    def check_next(self, event: Event, index: int, raw: bytes, time: Callable[[object], int]) -> None:
        """Check an entry before it is appended: one that does not fit would make the log unreadable for ever.

        Raises:
            AuditEntryError: `take` would not take it.
        """
        copy = AuditTrail([*self.rolls], [*self.draws], [*self.results])
        try:
            copy.take(event, index, canonical_json.decode(raw), time)
        except (ValueError, KeyError, TypeError) as error:
            raise AuditEntryError(str(error)) from error

    def take(self, event: Event, index: int, entry: Mapping[str, Any], time: Callable[[object], int]) -> None:
        """Read the next entry about the roll; `time` reads a time as the event writes it.

        Raises:
            ValueError (AuditEntryError, NoteError, BeaconError), KeyError, TypeError: it is malformed or does not fit.
        """
        if entry["simulated"] is not event.simulated:
            raise AuditEntryError("it does not say whether it is simulated")
        match entry["type"]:
            case "roll":
                self.rolls.append(_read_roll(event, self, index, entry, time))
            case "audit-draw":
                self.draws.append(_read_draw(event, self, index, entry, time))
            case _:
                self.results.append(_read_result(event, self, index, entry, time))


def _entry(event: Event, kind: str, at: float, software: str, members: Mapping[str, Any]) -> bytes:
    head = {"type": kind, "version": VERSION, "event_sha256": event.digest, "at": event.iso(at)}
    return canonical_json.encode(head | dict(members) | {"simulated": event.simulated, "software": software})


def roll_entry(event: Event, size: int, root: bytes, through: int, of: Round | None, at: float, software: str) -> bytes:
    """Return the entry that seals a roll."""
    beacon = None if of is None else {"name": of.beacon, "round": of.number, "at": event.iso(of.at)}
    members = {"size": size, "root": encode_base64(root), "through": through, "beacon": beacon}
    return _entry(event, "roll", at, software, members)


def draw_entry(event: Event, roll: RollEntry, value: BeaconValue, k: int, at: float, software: str) -> bytes:
    """Return the entry that publishes a draw from a roll that names a round."""
    if roll.round is None:
        raise AuditEntryError("this roll names no beacon round")
    beacon = {"name": roll.round.beacon, "round": roll.round.number} | value.as_json()
    return _entry(event, "audit-draw", at, software, {"roll": roll.index, "beacon": beacon, "k": k})


def result_entry(event: Event, draw: DrawEntry, auditor: str, note: str, at: float, software: str) -> bytes:
    """Return the entry that publishes an auditor's signed result."""
    return _entry(event, "audit-result", at, software, {"draw": draw.index, "auditor": auditor, "note": note})


def first_round(event: Event) -> Round | None:
    """Return the round that the event file named, for the first roll."""
    audit = event.audit
    return None if audit is None else Round(audit.beacon, audit.round, audit.at())


def _read_roll(
    event: Event, before: AuditTrail, index: int, entry: Mapping[str, Any], time: Callable[[object], int]
) -> RollEntry:
    root = decode_base64(str(entry["root"]))
    if not is_count(entry["size"]) or entry["size"] > SIZE_LIMIT or len(root) != HASH_BYTES:
        raise AuditEntryError("its size is no whole number, or its root no hash")
    if not is_count(entry["through"]) or not 0 < entry["through"] <= index:
        raise AuditEntryError("it does not say from which entries before it it was made")
    of = None
    if entry["beacon"] is not None:
        beacon = entry["beacon"]
        if not isinstance(beacon["name"], str) or not is_count(beacon["round"]):
            raise AuditEntryError("it names no round of a beacon")
        of = Round(beacon["name"], beacon["round"], time(beacon["at"]))
        if of.beacon in DRAND and of.at != DRAND[of.beacon].at(of.number):
            raise AuditEntryError("the round of its beacon happens at another time")
    named = first_round(event)
    if not before.rolls and named is not None and of != named:
        raise AuditEntryError("it names another beacon round than the event file")
    earlier = before.rolls[-1].round if before.rolls else None
    if earlier is not None and (of is None or of.at <= earlier.at):
        raise AuditEntryError("a corrected roll names a later round than the one before it")
    return RollEntry(index, entry["size"], root, entry["through"], time(entry["at"]), of)


def _read_draw(
    event: Event, before: AuditTrail, index: int, entry: Mapping[str, Any], time: Callable[[object], int]
) -> DrawEntry:
    roll = next((roll for roll in before.rolls if roll.index == entry["roll"]), None)
    if roll is None or roll.round is None:
        raise AuditEntryError("it draws from no roll before it that names a beacon round")
    beacon = entry["beacon"]
    if (beacon["name"], beacon["round"]) != (roll.round.beacon, roll.round.number):
        raise AuditEntryError("its beacon round is not the one that its roll names")
    value = BeaconValue.from_json(beacon)
    value.check(roll.round)
    if (
        not is_count(entry["k"])
        or not 0 < entry["k"] <= DRAWN_LIMIT
        or (event.audit is not None and entry["k"] != event.audit.k)
    ):
        raise AuditEntryError("it does not open as many leaves as the event file says")
    return DrawEntry(index, roll, value, entry["k"], time(entry["at"]))


def _read_result(
    event: Event, before: AuditTrail, index: int, entry: Mapping[str, Any], time: Callable[[object], int]
) -> ResultEntry:
    draw = next((draw for draw in before.draws if draw.index == entry["draw"]), None)
    if draw is None:
        raise AuditEntryError("it is of no draw before it")
    result = read_result(str(entry["note"]).encode(), str(entry["auditor"]))
    stated = (result.event_sha256, result.draw, result.root, result.size, result.drawn)
    if stated != (event.digest, draw.index, draw.roll.root, draw.roll.size, min(draw.k, draw.roll.size)):
        raise AuditEntryError("the auditor's note is about another draw")
    return ResultEntry(index, draw, str(entry["auditor"]), str(entry["note"]), result, time(entry["at"]))
