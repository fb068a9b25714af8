"""The organiser's API on the ledger: exact attendance by rule, and certificates."""

import asyncio
import json
import re
from collections.abc import Iterable
from typing import Any, Final

from aiohttp import web

from counters.corrections import CorrectionError, read_reason
from counters.event import Event
from counters.issuing import issued_numbers
from counters.scope_keys import SMALL_SCOPES
from counters.secrets import ORGANISER, Secrets
from gateway.certifying import Certifying
from gateway.problems import CORS, Refused, bearer, json_response, read_json
from gateway.reasons import Reason
from gateway.report import ReportError
from gateway.report.files import TYPES, render_issued

_NAME: Final = re.compile(r"([0-9]+)(\.tlog-proof|\.pdf|\.xlsx|\.zip|\.png)?")
SUPERSEDED_BY: Final = "Turnout-Superseded-By"
"""Header of the answer with a certificate that no longer stands: the id of the one that took its place."""


class Organiser:
    """Answers organisers for one event. Owned by the ledger's event loop."""

    def __init__(self, event: Event, secrets: Secrets, certifying: Certifying) -> None:
        """Prepare.

        Args:
            event: whose organiser.
            secrets: with the organiser's key.
            certifying: its certificates.
        """
        self._event = event
        self._secrets = secrets
        self._certifying = certifying
        self._one_at_a_time = asyncio.Lock()
        self._one_report_at_a_time = asyncio.Lock()
        self._computing: tuple[int, int] | None = None  # how many leaves have been read, of how many

    def routes(self) -> Iterable[web.RouteDef]:
        """The addresses that are answered here."""
        event = "/v1/events/{event}"
        return (
            web.get(event + "/attendance", self.attendance, name="attendance"),
            web.get(event + "/certificates", self.list, name="certificates"),
            web.post(event + "/certificates", self.issue, name="certificates"),
            web.get(event + "/certificates/{name}", self.certificate, name="certificates.one"),
        )

    def check_event(self, request: web.Request) -> None:
        """Refuse a request about another event.

        Raises:
            Refused: it is.
        """
        if request.match_info["event"] != self._event.id:
            raise Refused(Reason.EVENT_UNKNOWN)

    def check_key(self, request: web.Request) -> None:
        """Refuse a request without the organiser's key.

        Raises:
            Refused: the key is missing or wrong.
        """
        credential = bearer(request)
        if not credential:
            raise Refused(Reason.KEY_MISSING)
        if not self._secrets.opens(credential, ORGANISER):
            raise Refused(Reason.KEY_WRONG)

    async def attendance(self, request: web.Request) -> web.Response:
        """Return exact numbers, by rule, breakdown and session."""
        self.check_event(request)
        self.check_key(request)
        query = dict(request.query)
        if "session" in query and self._event.session(query["session"]) is None:
            raise Refused(Reason.SESSION_UNKNOWN)
        async with self._one_at_a_time:
            certificate = await self._compute()
        document = json.loads(certificate)
        try:
            numbers = select(document["numbers"], query)
        except ValueError as error:
            raise Refused(Reason.QUERY_MALFORMED, str(error)) from None
        answer = {"event": self._event.id, "as_of": document["issued_at"], "stale": False, "numbers": numbers}
        return json_response(answer)

    async def issue(self, request: web.Request) -> web.Response:
        """Issue a certificate, which may correct an older one."""
        self.check_event(request)
        self.check_key(request)
        corrects, reason = read_correction_asked(await read_json(request) if request.can_read_body else {})
        async with self._one_at_a_time:
            try:
                certificate = await self._compute(corrects, reason)
                issued = await self._certifying.enter(certificate)
            except CorrectionError as error:
                raise Refused(Reason.NOTHING_TO_CORRECT, f"{error}.") from None
        return json_response({"id": issued.id, "certificate_sha256": issued.sha256}, 201)

    async def _compute(self, corrects: int | None = None, reason: str = "") -> bytes:
        def progress(done: int, total: int) -> None:
            self._computing = (done, total)

        self._computing = (0, 0)
        try:
            return await self._certifying.compute(progress, corrects, reason)
        finally:
            self._computing = None

    async def list(self, request: web.Request) -> web.Response:
        """Return the ids of the certificates issued so far, and how far the one is that is being computed."""
        self.check_event(request)
        superseded = self._certifying.superseded()
        rows = [
            {"id": each, "superseded_by": superseded.get(each)} for each in issued_numbers(self._certifying.directory)
        ]
        done, total = self._computing or (0, 0)
        computing = {"leaves": done, "of": total} if self._computing else None
        return json_response({"event": self._event.id, "certificates": rows, "computing": computing})

    async def certificate(self, request: web.Request) -> web.StreamResponse:
        """Return a certificate, its proof, or one of the files made of it."""
        self.check_event(request)
        named = _NAME.fullmatch(request.match_info["name"])
        number, suffix = named.groups() if named else ("", None)
        path = self._certifying.directory / f"{number}.json"
        proof = path.with_suffix(".tlog-proof")
        # Without its proof it is not issued yet, and may never be.
        if not path.is_file() or not proof.is_file():
            raise Refused(Reason.NOT_FOUND)
        superseded_by = self._certifying.superseded().get(int(number))
        headers = CORS | ({} if superseded_by is None else {SUPERSEDED_BY: str(superseded_by)})
        if suffix in TYPES:
            async with self._one_report_at_a_time:
                try:
                    body = await asyncio.to_thread(render_issued, suffix, path)
                except ReportError as error:
                    raise Refused(Reason.REPORT_UNAVAILABLE, f"{error}.") from None
            shown_as = f'inline; filename="{self._event.id}-{number}{suffix}"'
            return web.Response(
                body=body, headers=headers | {"Content-Type": TYPES[suffix], "Content-Disposition": shown_as}
            )
        kind = "text/plain; charset=utf-8" if suffix else "application/json"
        return web.Response(body=(proof if suffix else path).read_bytes(), headers=headers | {"Content-Type": kind})


def read_correction_asked(body: object) -> tuple[int | None, str]:
    """Return which certificate a new one is to correct, and why; (None, "") if it is to correct none.

    Raises:
        Refused: the body says something else.
    """
    if body == {}:
        return None, ""
    if not isinstance(body, dict) or body.keys() != {"corrects", "reason"} or type(body["corrects"]) is not int:
        raise Refused(Reason.BODY_MALFORMED, '{"corrects": the id of a certificate, "reason": why}, or nothing.')
    try:
        return body["corrects"], read_reason(body["reason"])
    except CorrectionError as error:
        raise Refused(Reason.BODY_MALFORMED, f"{error}.") from None


def select(numbers: list[dict[str, Any]], query: dict[str, str]) -> list[dict[str, Any]]:
    """Return the numbers that a query asks for: by rule, by a breakdown, of one session.

    Raises:
        ValueError: the query names something that there is not.
    """
    if unknown := query.keys() - {"rule", "by", "session"}:
        raise ValueError(f"unknown parameters {sorted(unknown)}: there are rule, by and session")
    by, rule, session = query.get("by"), query.get("rule"), query.get("session")
    if by is not None and by not in SMALL_SCOPES:
        raise ValueError(f"by={by}: numbers are broken down by {', '.join(sorted(SMALL_SCOPES))}")
    if rule is not None and rule not in {number["rule"] for number in numbers}:
        raise ValueError(f"rule={rule}: this event counts {sorted({number['rule'] for number in numbers})}")

    def wanted(number: dict[str, Any]) -> bool:
        scope = number["scope"]
        return (
            (rule is None or number["rule"] == rule)
            and (by is None or by in scope)
            and (session is None or scope.get("session") == session)
        )

    return [number for number in numbers if wanted(number)]
