"""Every way in which Turnout says no: one `Reason`, one status, one sentence, one metric label.

The list is closed: a refusal that has no `Reason` cannot be written. The label goes to Prometheus and into the window's
leaf of the ledger, so that what was refused at the door is on record; the sentence goes to whoever was refused and says
what to do. Errors are JSON problem details (RFC 9457).
"""

import random
from enum import Enum
from http import HTTPStatus
from typing import Final

RETRY_AFTER_S: Final = (2, 8)
"""Overload answers send the herd back spread over these seconds."""


class Reason(Enum):
    """Why a request was refused: (HTTP status, what to do about it). The name in lower case is the metric label."""

    # The viewing token: the player joins again.
    TOKEN_MALFORMED = (401, "This is not a viewing token. Join the session again.")
    TOKEN_FORGED = (401, "The viewing token was not issued by this event. Join the session again.")
    TOKEN_EXPIRED = (410, "The viewing token has expired. Join the session again.")
    TOKEN_OTHER_EVENT = (410, "The viewing token is for another event. Join the session again.")
    TOKEN_REVOKED = (410, "The viewing token was revoked by the organiser. Join again with the ticket.")
    STATE_UNKNOWN = (400, "The state after the token is not one of p, b, a, e.")
    # The issuer's JWT, at join and at check-in.
    TICKET_MISSING = (401, "Send 'Authorization: Bearer' with the issuer's JWT or a viewing token of this event.")
    TICKET_MALFORMED = (401, "The ticket is not a JWT in compact form.")
    TICKET_UNKNOWN_ISSUER = (401, "The ticket's 'iss' is no issuer of this event.")
    TICKET_ALGORITHM = (401, "The ticket is signed with an algorithm that its issuer does not allow.")
    TICKET_UNKNOWN_KEY = (401, "The ticket's 'kid' names no key of its issuer.")
    TICKET_KEY_RETIRED = (401, "The key that signed the ticket was retired. Ask the ticket's issuer for a new one.")
    TICKET_FORGED = (401, "The ticket's signature does not verify.")
    TICKET_AUDIENCE = (403, "The ticket's 'aud' is for something else than this event.")
    TICKET_EXPIRED = (401, "The ticket has expired ('exp'). Ask its issuer for a new one.")
    TICKET_NOT_YET_VALID = (401, "The ticket is not valid yet ('nbf' or 'iat' lies in the future).")
    TICKET_WITHOUT_SUBJECT = (401, "The ticket names nobody: its subject claim is missing or empty.")
    TICKET_CLAIMS = (401, "The ticket's claims are not what a JWT of this event carries.")
    ATTENDEE_BARRED = (403, "The organiser has barred this attendee from the event.")
    # The request.
    EVENT_UNKNOWN = (404, "No such event here.")
    SESSION_UNKNOWN = (404, "No such session in this event.")
    NOT_FOUND = (404, "No such page.")
    METHOD_NOT_ALLOWED = (405, "This address does not take that method.")
    BODY_TOO_LARGE = (413, "The body is larger than this address takes.")
    BODY_MALFORMED = (400, "The body is not what this address takes.")
    QUERY_MALFORMED = (400, "The query asks for something that this address does not know.")
    NOTHING_TO_CORRECT = (409, "There is no certificate of that id that still stands.")
    REQUEST_TIMEOUT = (408, "The request took too long to arrive.")
    # Check-in: outcomes of one scan within a batch.
    GATE_UNKNOWN = (422, "No session of this event has that gate.")
    SCAN_IN_FUTURE = (422, "The scan is dated in the future. Set the scanner's clock.")
    SCAN_TOO_OLD = (422, "The scan is not of the last minutes: upload offline scans of the event with 'force'.")
    NONCE_TAKEN = (422, "Another badge or direction was accepted at that gate with that nonce: give each scan its own.")
    # Who may ask.
    KEY_MISSING = (401, "Send 'Authorization: Bearer' with the key for this address.")
    KEY_WRONG = (403, "That key does not open this address.")
    REVOCATIONS_FULL = (409, "The list of revocations is full: restore some, or have the issuer withdraw its tickets.")
    ISSUER_KEY_REFUSED = (422, "That cannot be a key of the issuer, or is not one that can be retired.")
    AUDIT_REFUSED = (409, "The roll cannot be drawn from, or this is no result of its audit.")
    # Not now.
    TOO_MANY_JOINS = (503, "More players join at the moment than can be taken in. Try again as Retry-After says.")
    SEATS_EXHAUSTED = (503, "No seats are leased at the moment. Try again shortly.")
    DISK_FULL = (503, "The disk for evidence is full: nothing more is accepted until there is room.")
    DISK_FAILS = (503, "The disk for evidence cannot be written: nothing more is accepted until it can.")
    LOG_SUPERSEDED = (503, "A witness has seen a longer or another log than this one: nothing more is taken here.")
    WITNESSES_SILENT = (503, "The witnesses that this event requires have not said yet what they have seen of the log.")
    QUORUM_LOST = (503, "Too few witnesses have cosigned the log: what it says now is not published. Try again later.")
    LEDGER_UNAVAILABLE = (503, "The ledger does not answer. Try again shortly.")
    LEDGER_SET_BACK = (503, "The ledger's data are older than what it had shown: it stands still until that is mended.")
    ROLL_NOT_SEALED = (409, "Receipts are given when the event is over and its roll is sealed. Ask again later.")
    NOT_ON_ROLL = (404, "Nobody on the roll of this event has this ticket or token.")
    REPORT_UNAVAILABLE = (501, "This ledger lacks what sets reports: pip install 'turnout[report]' where it runs.")
    INTERNAL = (500, "Something broke here; it was logged.")
    # Between gateway and ledger.
    MAC_WRONG = (403, "The request was not made with this event's secret: a gateway needs the ledger's secrets.json.")
    OTHER_EVENT = (409, "The gateway was started with another event file than the ledger.")
    OTHER_PSEUDONYM_KEY = (
        409,
        "The gateway holds the ledger's event secret and another pseudonym key: give it the ledger's secrets.json.",
    )
    GATEWAY_NAME_TAKEN = (409, "Another gateway runs under that name: give this one its own with --name.")
    GATEWAY_AT_WORK = (409, "It is not gone: stop it first, or force it (turnout retire --force).")
    GATEWAY_UNKNOWN = (404, "No gateway of that name ever had seats of this event.")
    EVIDENCE_MALFORMED = (422, "The hand-over is not sound evidence.")

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.value[0]

    @property
    def detail(self) -> str:
        """What happened and what to do, in one or two sentences."""
        return self.value[1]

    @property
    def label(self) -> str:
        """The name in metrics, in problem details and in the ledger."""
        return self.name.lower()

    def problem(self, detail: str = "") -> dict[str, object]:
        """The RFC 9457 problem details; `detail` replaces the general sentence where more is known."""
        return {
            "type": f"urn:turnout:{self.label}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": detail or self.detail,
            "reason": self.label,
        }


def retry_after_s() -> int:
    """Return the seconds that a 503 names in `Retry-After`, another number each time."""
    return random.randint(*RETRY_AFTER_S)  # noqa: S311 - jitter
