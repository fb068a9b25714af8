"""The join desk: answers a join, whichever way it came in; the door and aiohttp's route both ask here."""

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from structlog.contextvars import bound_contextvars

from counters.cells import Cells
from counters.event import Event, Session
from gateway.admission import Admission
from gateway.announcement import Announcement
from gateway.identity import ATTRIBUTE_LIMIT_CHARS
from gateway.join import Joins, View
from gateway.problems import Refused
from gateway.reasons import Reason
from gateway.request_ids import broken, new_request_id
from gateway.tracing import OFF, Tracing
from gateway.traffic import Player
from gateway.viewing_token import TEXT_BYTES

_log = logging.getLogger("turnout.join")


@dataclass(frozen=True, slots=True)
class JoinCall:
    """A join as it was asked for; nothing of it is checked yet."""

    event: str
    session: str
    credential: str  # what stands after "Bearer", "" if nothing does
    player: Player
    origin: str  # scheme and host by which the player reached us

    @property
    def needs_no_waiting(self) -> bool:
        """Whether the credential looks like a viewing token, which is checked without asking anybody."""
        return len(self.credential) == TEXT_BYTES and "." not in self.credential


class JoinDesk:
    """Answers the joins of one worker."""

    def __init__(
        self,
        event: Event,
        joins: Joins,
        admission: Admission,
        cells: Cells,
        announcement: Announcement,
        public_url: str,
        tracing: Tracing = OFF,
    ) -> None:
        """Answer for one event; `public_url` is what players are told to beat at, "" = as they reached us."""
        self._event = event
        self._joins = joins
        self._admission = admission
        self._cells = cells
        self._announcement = announcement
        self._public_url = public_url
        self._tracing = tracing

    async def take(self, call: JoinCall) -> dict[str, Any]:
        """Return the document that grants a view.

        Raises:
            Refused: it is not granted; that is counted.
        """
        if call.needs_no_waiting:
            return self.take_now(call)

        async def join() -> View:
            return await self._joins.by_ticket(self._session(call), call.credential, call.player)

        with self._tracing.join() as span:
            try:
                granted = self._granted(call, await self._admission.admit(join))
            except Exception as error:  # noqa: BLE001 - see _refused
                refused = self._refused(error)
                span.answered(refused.reason.status)
                raise refused from None
            span.answered(HTTPStatus.CREATED)
            return granted

    def refuse_if_full(self) -> None:
        """Say no at once to a join by ticket, as `take` would.

        Raises:
            Refused: too many are waiting; that is counted.
        """
        try:
            self._admission.refuse_if_full()
        except Refused as refused:
            raise self._refused(refused) from None

    def take_now(self, call: JoinCall) -> dict[str, Any]:
        """Return the document that grants a view to the holder of a viewing token.

        Raises:
            Refused: it is not granted; that is counted.
        """
        try:
            view = self._joins.by_viewing_token(self._session(call), call.credential, call.player)
        except Exception as error:  # noqa: BLE001 - see _refused
            raise self._refused(error) from None
        return self._granted(call, view)

    def _session(self, call: JoinCall) -> Session:
        if call.event != self._event.id:
            raise Refused(Reason.EVENT_UNKNOWN)
        session = self._event.session(call.session)
        if session is None:
            raise Refused(Reason.SESSION_UNKNOWN)
        return session

    def _granted(self, call: JoinCall, view: View) -> dict[str, Any]:
        self._cells.add("join.accepted")
        return {
            "token": view.token,
            "beat_url": f"{self._public_url or call.origin}/v1/beat",
            "interval_s": self._announcement.interval_s,
            "expires_at": self._event.iso(view.expires_at),
        }

    def _refused(self, error: Exception) -> Refused:
        """Count a refusal; whatever else broke is one too, and the log has its traceback."""
        if not isinstance(error, Refused):
            number = new_request_id()
            with bound_contextvars(request=number):
                _log.error("a join failed", exc_info=error)
            error = Refused(Reason.INTERNAL, broken(number, Reason.INTERNAL.detail))
        self._cells.add(f"refused.join.{error.reason.label}")
        return error


def outlet_name(named: str) -> str:
    """Return an outlet's name as a player gives it, "" if it is not one: as with a ticket's attributes."""
    return named.strip()[:ATTRIBUTE_LIMIT_CHARS] if named.isprintable() else ""
