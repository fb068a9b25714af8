"""The viewers' HTTP interface on aiohttp: join, check-in, live numbers; and heartbeats that did not take the door.

What belongs to the ledger (the log, attendance, certificates) is passed on to it, so that an event has one address.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import web

from counters.cells import Cells
from counters.event import Event
from counters.secrets import SCANNER, Secrets
from gateway.announcement import Announcement
from gateway.bounded_body import read_at_most
from gateway.checkin import CheckIns, parse_batch
from gateway.door_keeper import PARTIAL_S
from gateway.heartbeats import BODY_BYTES, Heartbeats
from gateway.join_desk import JoinCall, JoinDesk, outlet_name
from gateway.openapi import DOCUMENT
from gateway.problems import CORS, Refused, bearer, json_response, problem_response, problems, read_json, reading
from gateway.reasons import Reason, retry_after_s
from gateway.relay import LedgerRelay
from gateway.relay_batches import BATCH_BYTES, RelayBatches
from gateway.request_ids import request_ids
from gateway.tracing import Tracing
from gateway.traffic import Player
from gateway.worker_measures import WorkerMeasures

BODY_LIMIT_BYTES: Final = 8 * 1024 * 1024
"""A full batch of 500 scans with 8 KiB tickets, and room."""
CELLS: Final = (
    "join.accepted",
    "checkin.accepted",
    "registry.away",
    "seats.leased",
    "seats.used",
    *(f"refused.join.{reason.label}" for reason in Reason),
    *(f"refused.checkin.{reason.label}" for reason in Reason),
)
"""The counters that this module raises (counters.cells)."""


@dataclass(frozen=True, slots=True)
class ViewerApi:
    """What the handlers of one worker need; each handler is a method."""

    event: Event
    secrets: Secrets
    heartbeats: Heartbeats
    batches: RelayBatches
    desk: JoinDesk
    checkins: CheckIns
    cells: Cells
    measures: WorkerMeasures
    relay: LedgerRelay
    read_live: Callable[[], dict[str, Any]]
    is_ready: Callable[[], str]  # "" or what is missing
    announcement: Announcement
    tracing: Tracing

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(
            middlewares=[request_ids(self.tracing), self.measures.routes.middleware, problems],
            client_max_size=BODY_LIMIT_BYTES,
        )
        event = "/v1/events/{event}"
        app.add_routes(
            [
                # The names are those of the metrics (gateway.route_metrics).
                web.post(event + "/sessions/{session}/join", self.join, name="join"),
                web.post(event + "/checkins", self.check_in, name="checkins"),
                web.get(event + "/live", self.live, name="live"),
                web.post("/v1/beat", self.beat, name="beat"),
                web.post("/v1/beats", self.beats, name="beats"),
                web.post("/v1/leave", self.leave, name="leave"),
                web.get("/v1/openapi.json", self.openapi, name="openapi"),
                web.get("/healthz", self.healthz, name="healthz"),
                web.get("/readyz", self.readyz, name="readyz"),
                web.get("/log/{path:.+}", self.relay.pass_on, name="log"),
                web.get("/verify", self.relay.pass_on, name="verify"),
                web.get(event + "/attendance", self.relay.pass_on, name="attendance"),
                web.get(event + "/receipt", self.relay.pass_on, name="receipt"),
                web.route("*", event + "/certificates", self.relay.pass_on, name="certificates"),
                web.route("*", event + "/steering", self.relay.pass_on, name="steering"),
                web.route("*", event + "/issuer-keys", self.relay.pass_on, name="issuer_keys"),
                web.get(event + "/certificates/{path:.+}", self.relay.pass_on, name="certificates.one"),
            ]
        )
        app.on_response_prepare.append(_send_back_to_the_door)
        return app

    async def join(self, request: web.Request) -> web.Response:
        """Open a view, for a request that the door did not take."""
        player = Player(
            address=request.remote or "",
            user_agent=request.headers.get("User-Agent", ""),
            outlet=outlet_name(request.query.get("outlet", "")),
            forwarded=",".join(request.headers.getall("X-Forwarded-For", ())),
        )
        # The bytes as they came, as at the door: what is not UTF-8 could not be said back.
        host = request.host.encode(errors="surrogateescape").decode("latin-1")
        origin = f"{request.scheme}://{host}"
        call = JoinCall(request.match_info["event"], request.match_info["session"], bearer(request), player, origin)
        began = time.perf_counter()
        try:
            return json_response(await self.desk.take(call), 201)
        finally:
            self.measures.joins.observe(time.perf_counter() - began)

    async def check_in(self, request: web.Request) -> web.Response:
        """Take a batch of scans."""
        try:
            return json_response({"outcomes": await self._check_in(request)})
        except Refused as refused:
            self.cells.add(f"refused.checkin.{refused.reason.label}")
            raise

    async def _check_in(self, request: web.Request) -> list[dict[str, str]]:
        self._check_event(request)
        credential = bearer(request)
        if not credential:
            raise Refused(Reason.KEY_MISSING)
        if not self.secrets.opens(credential, SCANNER):
            raise Refused(Reason.KEY_WRONG)
        outcomes: list[dict[str, str]] = []
        for scan in parse_batch(await read_json(request)):
            refusal = await self.checkins.check_in(scan)
            self.cells.add(f"refused.checkin.{refusal.label}" if refusal else "checkin.accepted")
            outcome = {"nonce": scan.nonce, "outcome": "refused" if refusal else "accepted"}
            if refusal:
                outcome |= {"reason": refusal.label, "detail": refusal.detail}
            outcomes.append(outcome)
        return outcomes

    async def live(self, request: web.Request) -> web.Response:
        """Return the live estimates."""
        self._check_event(request)
        return json_response(self.read_live())

    async def beat(self, request: web.Request) -> web.Response:
        """Take a heartbeat that did not come through the door."""
        self.cells.add("handed_over.heartbeats")
        return await self._take(request, self.heartbeats.beat, self.heartbeats.refuse)

    async def beats(self, request: web.Request) -> web.Response:
        """Take a relay's batch of heartbeats."""
        try:
            body = await _body(request, BATCH_BYTES)
            status, answer = self.batches.take(body)
            if status == HTTPStatus.OK:
                self.cells.add("handed_over.heartbeats", body.count(b"\n") + (not body.endswith(b"\n")))
        except Refused as refused:
            status, answer = self.batches.refuse(refused.reason)
        headers = CORS | ({"Retry-After": str(retry_after_s())} if status == HTTPStatus.SERVICE_UNAVAILABLE else {})
        content_type = "application/json" if status == HTTPStatus.OK else "application/problem+json"
        return self._announce(web.Response(body=answer, status=status, content_type=content_type, headers=headers))

    async def leave(self, request: web.Request) -> web.Response:
        """Take a leave that did not come through the door."""
        return await self._take(request, self.heartbeats.leave, self.heartbeats.refuse_leave)

    async def openapi(self, request: web.Request) -> web.Response:  # noqa: ARG002 - aiohttp's handler
        """Return the OpenAPI document."""
        return json_response(DOCUMENT)

    async def healthz(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """Say that the process lives."""
        return web.Response(text="ok\n")

    async def readyz(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """Say whether joins would be accepted now."""
        missing = self.is_ready()
        return web.Response(text=(missing or "ready") + "\n", status=503 if missing else 200)

    def _check_event(self, request: web.Request) -> None:
        if request.match_info["event"] != self.event.id:
            raise Refused(Reason.EVENT_UNKNOWN)

    async def _take(
        self, request: web.Request, take: Callable[[bytes], Reason | None], refuse: Callable[[Reason], Reason]
    ) -> web.Response:
        try:
            reason = take(await _body(request, BODY_BYTES[1]))
        except Refused as refused:
            reason = refuse(refused.reason)
        return self._announce(web.Response(status=204, headers=CORS) if reason is None else problem_response(reason))

    def _announce(self, answer: web.Response) -> web.Response:
        answer.headers["Turnout-Interval"] = str(self.announcement.interval_s)
        return answer


async def _body(request: web.Request, limit_bytes: int) -> bytes:
    """Return the body, or as much of it as shows that it is longer than `limit_bytes`."""
    async with reading(PARTIAL_S):
        return await read_at_most(request.content, limit_bytes)


async def _send_back_to_the_door(request: web.Request, response: web.StreamResponse) -> None:  # noqa: ARG001
    # A connection that was handed over does not see the door again: the next one does.
    response.force_close()
    response.headers["Connection"] = "close"


def read_live_file(text: bytes) -> dict[str, Any]:
    """Return the live document that the courier wrote."""
    document = orjson.loads(text)
    if not isinstance(document, dict):
        raise TypeError("the live document is no object")
    return document
