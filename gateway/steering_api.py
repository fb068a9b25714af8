"""The organiser's words about steering, `…/steering` on the ledger: what is asked for, and what is in force.

    {"interval_s": 45, "revoke": [{"token": "…"}, {"seat": 7}, {"view": "0123456789abcdef"}], "restore": […]}

every member may be absent. A viewing token names its view: whoever holds it is turned away, and its owner joins again
with the ticket. A seat names the attendee, with all tickets and devices.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from counters.announcements import Announcements
from counters.event import Event
from counters.steering import (
    REVOKED_LIMIT,
    Change,
    Revoked,
    Steering,
    SteeringError,
    SteeringLeaf,
    read_interval,
    read_seat,
    read_view,
    view_text,
)
from gateway.problems import Refused
from gateway.reasons import Reason
from gateway.steering import SETTLED_S
from gateway.viewing_token import TokenKeys, TokenRefused, ViewingToken

MEMBERS: Final = ("interval_s", "revoke", "restore")
NAMES: Final = ("token", "seat", "view")


@dataclass(frozen=True, slots=True)
class Asked:
    """What an organiser asks for."""

    change: Change
    tokens: tuple[ViewingToken, ...]  # those that it names, in its order

    def as_json(self, changed: Change) -> dict[str, Any]:
        """Return what the answer says besides what is in force: what the change was, and whose the tokens are."""
        return {
            "changed": {
                "interval_s": changed.interval_s,
                "revoked": _listed(changed.revoke),
                "restored": _listed(changed.restore),
            },
            "tokens": [{"seat": token.seat, "view": view_text(token.view_id)} for token in self.tokens],
        }


def read_change(asked: Any, keys: TokenKeys) -> Asked:
    """Return what is asked for.

    Raises:
        Refused: it makes no sense; the text says where.
    """
    tokens: list[ViewingToken] = []
    try:
        change = _read_members(asked, keys, tokens)
    except SteeringError as error:
        raise Refused(Reason.BODY_MALFORMED, f"{error}.") from None
    return Asked(change, tuple(tokens))


def _read_members(asked: Any, keys: TokenKeys, tokens: list[ViewingToken]) -> Change:
    if not isinstance(asked, dict) or not asked or asked.keys() - set(MEMBERS):
        raise SteeringError(f"Send an object with some of {', '.join(MEMBERS)}")
    interval_s = read_interval(asked["interval_s"]) if "interval_s" in asked else None
    revoke, restore = (_read_names(asked.get(name, []), name, keys, tokens) for name in ("revoke", "restore"))
    return Change(interval_s, revoke, restore)


def _read_names(rows: Any, name: str, keys: TokenKeys, tokens: list[ViewingToken]) -> Revoked:
    if not isinstance(rows, list):
        raise SteeringError(f"'{name}' is no list")
    named = []
    for place, row in enumerate(rows):
        if not isinstance(row, dict) or len(row) != 1 or not row.keys() <= set(NAMES):
            raise SteeringError(f"{name}[{place}] is not one of {{token}}, {{seat}} and {{view}}")
        try:
            named.append(_read_name(*next(iter(row.items())), keys, tokens))
        except SteeringError as error:
            raise SteeringError(f"{name}[{place}]: {error}") from None
    return frozenset(named)


def _read_name(kind: str, value: Any, keys: TokenKeys, tokens: list[ViewingToken]) -> int:
    if kind == "seat":
        return read_seat(value)
    if kind == "view":
        return read_view(value)
    try:
        token = keys.open(str(value).encode())
    except TokenRefused as refused:
        raise SteeringError(f"it is no viewing token of this event ({refused.reason.label})") from None
    tokens.append(token)
    return read_view(view_text(token.view_id))


def in_force(event: Event, steering: Steering) -> dict[str, Any]:
    """Return what is in force, as the organiser gets it."""
    return {
        "event": event.id,
        "number": steering.number,
        "interval_s": steering.interval_s,
        "revoked": _listed(steering.revoked),
        "revoked_limit": REVOKED_LIMIT,
    }


def _listed(ids: Revoked) -> dict[str, list[Any]]:
    listed = Steering(0, 0, ids)
    return {"seats": listed.seats, "views": listed.views}


def announced(event: Event, changes: Iterable[SteeringLeaf]) -> Announcements:
    """Return what players were told, as the log has it: a change is everywhere some seconds after its leaf."""
    told = Announcements.of(event.interval_s)
    for change in changes:
        told = told.announce(change.interval_s, change.at).settle(change.at + SETTLED_S)
    return told
