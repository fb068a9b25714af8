"""A receipt: what the organiser's log says to one attendee: on the roll once, and so many minutes in each session.

A file of text, a C2SP signed note under the log's key, which one keeps, shows to a professional body, or verifies:

    turnout-receipt/v1
    <canonical JSON, one line>

    — <the log's name> <signature>

Its first line is no log's origin, so that nobody can take it for a checkpoint. The JSON has these members:

    type, version      "receipt", 1
    event              id, name, organiser, time_zone of the event; event_sha256 beside it
    simulated          whether the event's clock and attendees were made up
    log                origin and vkey
    roll               index, position of the attendee's leaf, `leaf` and `proof` (base64): the inclusion in the roll
    roll_entry         the log's entry that sealed the roll, as it stands there
    roll_proof         its tlog-proof as it was first shown, with the cosignatures of then
    sessions           by number: session, title, channel, minutes, minutes_in_schedule, scheduled_minutes, first, last
    issued_at, software

The inclusion is proven to anybody; the minutes are what the log's key states, and what evidence gives to an auditor. A
leaf holds a pseudonym and the digest of a ticket: whoever has the ticket shows with it that the receipt is theirs.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from counters import canonical_json
from counters.event import Event
from counters.ledger.note import Signer, decode_base64, encode_base64, parse_note, sign_note
from counters.roll_leaf import RollLeaf
from counters.roll_tree import SealedRoll
from counters.software import SOFTWARE

FIRST_LINE: Final = "turnout-receipt/v1"
VERSION: Final = 1
MEMBERS: Final = frozenset(
    ("type", "version", "event", "event_sha256", "simulated", "log", "roll", "roll_entry", "roll_proof", "sessions",
     "issued_at", "software")
)  # fmt: skip


class ReceiptError(ValueError):
    """A file is no receipt."""


@dataclass(frozen=True, slots=True)
class SessionMinutes:
    """How long an attendee was in one session on one channel."""

    session: str  # id
    title: str
    channel: str
    minutes: int  # clock minutes present, in or out of schedule
    minutes_in_schedule: int
    scheduled_minutes: int  # of the session
    first: str  # the first minute present, ISO 8601
    last: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt as it was read; believed by nobody yet."""

    document: dict[str, Any]
    note: bytes

    @property
    def leaf(self) -> bytes:
        """The leaf of the roll, 88 bytes."""
        return decode_base64(self.document["roll"]["leaf"])


def issue(
    event: Event, signer: Signer, roll: SealedRoll, who: int | bytes, sessions: Iterable[SessionMinutes], now: float
) -> bytes:
    """Return the receipt of an attendee.

    Args:
        event: of entry 0.
        signer: the log's key.
        roll: that is in the log.
        who: any seat of the attendee, or the pseudonym.
        sessions: where they were.
        now: unix seconds on the event's clock.

    Raises:
        KeyError: they are not on the roll.
    """
    position, leaf, proof = roll.tree.proof_of(who)
    document = {
        "type": "receipt",
        "version": VERSION,
        "event": {"id": event.id, "name": event.name, "organiser": event.organiser, "time_zone": event.time_zone},
        "event_sha256": event.digest,
        "simulated": event.simulated,
        "log": {"origin": signer.verifier.name, "vkey": signer.verifier.encode()},
        "roll": {
            "index": position,
            "leaf": encode_base64(leaf),
            "proof": [encode_base64(value) for value in proof],
        },
        "roll_entry": canonical_json.decode(roll.entry),
        "roll_proof": roll.proof.decode(),
        "sessions": [asdict(session) for session in sessions],
        "issued_at": event.iso(now),
        "software": SOFTWARE,
    }
    return sign_note(f"{FIRST_LINE}\n{canonical_json.encode(document).decode()}\n", [signer])


def is_receipt(data: bytes) -> bool:
    """Whether a file begins as a receipt does."""
    return data.startswith(FIRST_LINE.encode() + b"\n")


def read_receipt(note: bytes) -> Receipt:
    """Return what a receipt says; nothing of it is verified yet.

    Raises:
        ReceiptError, NoteError: it is none.
    """
    text, _ = parse_note(note)
    first, _, rest = text.partition("\n")
    if first != FIRST_LINE:
        raise ReceiptError(f"a receipt begins with the line {FIRST_LINE}")
    try:
        document = canonical_json.decode(rest.removesuffix("\n").encode())
    except canonical_json.CanonicalJsonError as error:
        raise ReceiptError(str(error)) from error
    if not isinstance(document, dict) or set(document) != MEMBERS:
        raise ReceiptError("a receipt has other members than this one")
    if (document["type"], document["version"]) != ("receipt", VERSION):
        raise ReceiptError("this is a receipt of a version that this software does not know")
    receipt = Receipt(document, note)
    RollLeaf.decode(receipt.leaf)
    return receipt
