"""The ledger's answers to the organiser about the roll and its audits: POST only, since the log shows the rest."""

from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web

from counters import roll_sealing
from counters.audit_entries import AuditEntryError
from counters.audit_publishing import AuditRefusedError, RoundAsked, publish_draw, publish_result, round_of
from counters.segment import is_count
from gateway.ledger_parts import LedgerParts
from gateway.organiser import Organiser
from gateway.problems import Refused, json_response, read_json
from gateway.reasons import Reason
from gateway.roll_keeper import RollKeeper


class AuditApi:
    """Answers for one event. Owned by the ledger's event loop."""

    def __init__(self, parts: LedgerParts, organiser: Organiser, rolls: RollKeeper) -> None:
        """Prepare; `organiser` knows who may ask."""
        self._rolls_folder = parts.data / roll_sealing.FOLDER
        self._sealer = parts.sealer
        self._verifier = parts.verifier
        self._clock = parts.clock
        self._organiser = organiser
        self._thread = parts.thread
        self._rolls = rolls
        self._before_writing = parts.lookout.before_writing

    def routes(self) -> Iterable[web.RouteDef]:
        """The addresses that are answered here."""
        event = "/v1/events/{event}"
        return (
            web.post(event + "/roll", self.correct, name="roll"),
            web.post(event + "/audits", self.draw, name="audits"),
            web.post(event + "/audits/{draw}/results", self.result, name="audits.results"),
        )

    async def correct(self, request: web.Request) -> web.Response:
        """Seal a corrected roll that names a later beacon round."""
        asked = await self._asked(request)
        number, beacon, at = asked.get("round"), asked.get("beacon", ""), asked.get("at")
        if not is_count(number) or not isinstance(beacon, str) or not (at is None or is_count(at)):
            raise Refused(Reason.BODY_MALFORMED, '{"round": number}, perhaps "beacon": text and "at": unix seconds.')
        try:
            of = round_of(self._sealer.event, RoundAsked(int(str(number)), beacon, at), self._clock.now())
            entry = await self._rolls.correct(of)
        except (AuditRefusedError, AuditEntryError) as error:
            raise Refused(Reason.AUDIT_REFUSED, f"{error}.") from None
        return json_response({"entry": entry, "look_up": of.look_up()}, 201)

    async def draw(self, request: web.Request) -> web.Response:
        """Publish the draw that a beacon's value decides."""
        asked = await self._asked(request)
        given = asked.get("value")
        if not isinstance(given, str):
            raise Refused(Reason.BODY_MALFORMED, '{"value": "…"}: what the beacon says, hex or JSON as text.')
        now = self._clock.now()
        return await self._published(lambda: publish_draw(self._sealer, self._verifier, given, now, self._rolls_folder))

    async def result(self, request: web.Request) -> web.Response:
        """Publish what an auditor signed about a draw."""
        asked = await self._asked(request)
        auditor, note, draw = asked.get("auditor"), asked.get("note"), request.match_info["draw"]
        if not isinstance(auditor, str) or not isinstance(note, str) or not draw.isdecimal() or len(draw) > 15:
            raise Refused(Reason.BODY_MALFORMED, '{"auditor": "verifier key", "note": "the signed result"}.')
        now = self._clock.now()
        return await self._published(lambda: publish_result(self._sealer, int(draw), auditor, note, now))

    async def _asked(self, request: web.Request) -> dict[str, Any]:
        self._organiser.check_event(request)
        self._organiser.check_key(request)
        asked = await read_json(request)
        if not isinstance(asked, dict):
            raise Refused(Reason.BODY_MALFORMED, "The body is a JSON object.")
        await self._before_writing()
        return asked

    async def _published(self, work: Callable[[], dict[str, Any]]) -> web.Response:
        try:
            told = await self._thread.write(work)
        except AuditRefusedError as error:
            raise Refused(Reason.AUDIT_REFUSED, f"{error}.") from None
        return json_response(told, 201 if told["new"] else 200)
