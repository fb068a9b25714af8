"""The organiser's words about steering, `…/steering` on the ledger: what is asked for, and what is in force.

    {"interval_s": 45, "revoke": [{"token": "…"}, {"seat": 7}, {"view": "0123456789abcdef"}], "restore": […]}

every member may be absent. A viewing token names its view: whoever holds it is turned away, and its owner joins again
with the ticket. A seat names the attendee, with all tickets and devices.

Likewise `…/gateways/NAME/retire`, about a gateway that is gone for good. Either is answered once it is in the log.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from counters.announcements import Announcements
from counters.event import Event
from counters.sealing import UnknownGatewayError
from counters.steering import (
    REVOKED_LIMIT,
    Change,
    Revoked,
    RevokedLimitError,
    Steering,
    SteeringError,
    SteeringLeaf,
    listed,
    read_interval,
    read_seat,
    read_view,
    view_text,
)
from gateway.gateway_api import NAME_HELD_S, GatewayNames
from gateway.ledger_parts import LedgerParts
from gateway.organiser import Organiser
from gateway.problems import Refused, json_response, read_json
from gateway.reasons import Reason
from gateway.steering import SETTLED_S
from gateway.viewing_token import TokenKeys, TokenRefused, ViewingToken

MEMBERS: Final = ("interval_s", "revoke", "restore")
NAMES: Final = ("token", "seat", "view")


class SteeringApi:
    """Answers for one event. Owned by the ledger's event loop."""

    def __init__(self, parts: LedgerParts, organiser: Organiser, names: GatewayNames) -> None:
        """Prepare; `organiser` knows who may ask, `names` which gateways were heard."""
        self._event = parts.event
        self._sealer = parts.sealer
        self._clock = parts.clock
        self._organiser = organiser
        self._names = names
        self._thread = parts.thread
        self._before_writing = parts.lookout.before_writing
        self._token_keys = TokenKeys.derive(parts.secrets, parts.event.id)

    def routes(self) -> Iterable[web.RouteDef]:
        """The addresses that are answered here."""
        event = "/v1/events/{event}"
        return (
            web.get(event + "/steering", self.show, name="steering"),
            web.post(event + "/steering", self.steer, name="steering"),
            web.post(event + "/gateways/{gateway}/retire", self.retire, name="retire"),
        )

    async def show(self, request: web.Request) -> web.Response:
        """Return what is in force."""
        self._check(request)
        return json_response(in_force(self._event, self._sealer.steering))

    async def steer(self, request: web.Request) -> web.Response:
        """Change what is in force."""
        self._check(request)
        asked = read_change(await read_json(request), self._token_keys)
        await self._before_writing()
        now = self._clock.now()
        try:
            changed = await self._thread.write(lambda: self._sealer.steer(asked.change, now))
        except SteeringError as error:
            raise Refused(Reason.BODY_MALFORMED, f"{error}.") from None
        except RevokedLimitError as error:
            raise Refused(Reason.REVOCATIONS_FULL, f"{error}. {Reason.REVOCATIONS_FULL.detail}") from None
        return json_response(in_force(self._event, self._sealer.steering) | asked.as_json(changed))

    async def retire(self, request: web.Request) -> web.Response:
        """Wait no more for a gateway."""
        self._check(request)
        await self._before_writing()
        gateway, now = request.match_info["gateway"], self._clock.now()
        silent_s = self._names.silent_s(gateway, time.monotonic())
        if silent_s < NAME_HELD_S and (await read_json(request)).get("force") is not True:
            detail = f"Gateway {gateway!r} was heard {silent_s:.1f} s ago. {Reason.GATEWAY_AT_WORK.detail}"
            raise Refused(Reason.GATEWAY_AT_WORK, detail)
        try:
            workers = await self._thread.write(lambda: self._sealer.retire(gateway, now))
        except UnknownGatewayError as error:
            raise Refused(Reason.GATEWAY_UNKNOWN, f"{error}.") from None
        return json_response({"gateway": gateway, "retired": workers, "at": self._event.iso(now)})

    def _check(self, request: web.Request) -> None:
        self._organiser.check_event(request)
        self._organiser.check_key(request)


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
                "revoked": listed(changed.revoke),
                "restored": listed(changed.restore),
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
        "revoked": listed(steering.revoked),
        "revoked_limit": REVOKED_LIMIT,
    }


def announced(event: Event, changes: Iterable[SteeringLeaf]) -> Announcements:
    """Return what players were told, as the log has it: a change is everywhere some seconds after its leaf."""
    told = Announcements.of(event.interval_s)
    for change in changes:
        told = told.announce(change.interval_s, change.at).settle(change.at + SETTLED_S)
    return told
