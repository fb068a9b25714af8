"""The organiser's words about issuers' keys, `…/issuer-keys` on the ledger: which there are; one more, or one less.

    {"issuer": "tickets", "add": {"kty": "EC", …}, "reason": "…"}         the public JWK (RFC 7517)
    {"issuer": "tickets", "retire": "RFC 7638 thumbprint", "reason": "…"}

Answered once it is in the log, for everybody to read; gateways follow within two seconds (gateway.steering).
"""

from collections.abc import Iterable
from typing import Any, Final

from aiohttp import web

from counters.event import Event
from counters.issuer_keys import algorithm_of
from counters.key_changes import change_key
from counters.keys_in_force import IssuerKeys, KeyChange, KeyChangeError, adding, retiring
from gateway.ledger_parts import LedgerParts
from gateway.organiser import Organiser
from gateway.problems import Refused, json_response, read_json
from gateway.reasons import Reason

SHAPE: Final = 'Send {"issuer": id, "reason": text} and one of "add": the public JWK, and "retire": a thumbprint.'


class IssuerKeysApi:
    """Answers for one event. Owned by the ledger's event loop."""

    def __init__(self, parts: LedgerParts, organiser: Organiser) -> None:
        """Prepare; `organiser` knows who may ask."""
        self._event = parts.event
        self._sealer = parts.sealer
        self._clock = parts.clock
        self._organiser = organiser
        self._thread = parts.thread
        self._before_writing = parts.lookout.before_writing

    def routes(self) -> Iterable[web.RouteDef]:
        """The addresses that are answered here."""
        path = "/v1/events/{event}/issuer-keys"
        return (web.get(path, self.show, name="issuer_keys"), web.post(path, self.change, name="issuer_keys"))

    async def show(self, request: web.Request) -> web.Response:
        """Return all keys, retired ones too."""
        self._organiser.check_event(request)
        self._organiser.check_key(request)
        return json_response(listed(self._event, self._sealer.so_far.issuer_keys))

    async def change(self, request: web.Request) -> web.Response:
        """Add or retire a key."""
        self._organiser.check_event(request)
        self._organiser.check_key(request)
        try:
            asked = read_change(self._event, await read_json(request), self._clock.now())
            await self._before_writing()
            changed = await self._thread.write(lambda: change_key(self._sealer, asked))
        except KeyChangeError as error:
            raise Refused(Reason.ISSUER_KEY_REFUSED, f"{str(error).rstrip('.')}.") from None
        told = asked if changed is None else changed
        row = {"issuer": told.issuer, "action": told.action, "thumbprint": told.thumbprint,
               "at": None if changed is None else self._event.iso(changed.at)}  # fmt: skip
        return json_response(listed(self._event, self._sealer.so_far.issuer_keys) | {"changed": row})


def read_change(event: Event, asked: Any, now: float) -> KeyChange:
    """Return what is asked for.

    Raises:
        Refused: it is none of the two shapes.
        KeyChangeError: it is no key that the issuer may have.
    """
    actions = {"add", "retire"} & asked.keys() if isinstance(asked, dict) else set()
    if len(actions) != 1 or asked.keys() != {"issuer", "reason"} | actions:
        raise Refused(Reason.BODY_MALFORMED, SHAPE)
    issuer, reason = asked["issuer"], asked["reason"]
    if not isinstance(issuer, str) or not isinstance(reason, str):
        raise Refused(Reason.BODY_MALFORMED, SHAPE)
    if "add" in actions:
        return adding(event, issuer, asked["add"], reason, now)
    if not isinstance(asked["retire"], str):
        raise Refused(Reason.BODY_MALFORMED, SHAPE)
    return retiring(issuer, asked["retire"], reason, now)


def listed(event: Event, keys: IssuerKeys) -> dict[str, Any]:
    """Return the keys as the organiser gets them; `added_at` is null for those of entry 0."""

    def time(at: int | None) -> str | None:
        return None if at is None else event.iso(at)

    return {
        "event": event.id,
        "number": len(keys.changes),
        "issuers": [
            {
                "id": issuer,
                "keys": [
                    {
                        "thumbprint": key.thumbprint,
                        "kid": key.jwk.get("kid"),
                        "algorithm": algorithm_of(key.jwk),
                        "added_at": time(key.added_at),
                        "retired_at": time(key.retired_at),
                    }
                    for key in of
                ],
            }
            for issuer, of in keys.by_issuer.items()
        ],
    }
