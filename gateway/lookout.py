"""The ledger's lookout: whether gateways have seen more of this ledger than it has, asked before it goes on.

A ledger that begins its log goes on at once. One that finds a log listens first, for two seconds: gateways ask it for
steering every second, so whoever is up and reaches it has then said what it has seen. Until then nothing is sealed,
granted, accepted or appended; what gateways ask for waits, and is answered after it.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from counters.secrets import Secrets
from counters.setback import Setback
from counters.sighting import Claim, Sighting
from gateway.ledger_client import LOG_HEADER, MAC_HEADER, answer_mac, mac_is_right
from gateway.problems import Refused, json_response
from gateway.reasons import Reason

LISTEN_S: Final = 2.0
WARN_AFTER_S: Final = 15.0
"""Gateways that start beside their ledger are heard of within this: later, nobody has remembered anything."""
_log = logging.getLogger("turnout.ledger")

InThread = Callable[[Callable[[], None]], Awaitable[None]]


class Lookout:
    """What gateways have seen of one ledger. Owned by its event loop."""

    def __init__(
        self, setback: Setback, secrets: Secrets, sighting: Callable[[], Sighting], in_thread: InThread, *, begun: bool
    ) -> None:
        """Look out.

        Args:
            setback: what is known against the data.
            secrets: of the event.
            sighting: tells what this ledger shows of itself.
            in_thread: runs disk work in the ledger's thread.
            begun: whether this process has just begun the log: then nobody can have seen more of it.
        """
        self._setback = setback
        self._secrets = secrets
        self._sighting = sighting
        self._in_thread = in_thread
        self._listened = asyncio.Event()
        if begun:
            self._listened.set()

    async def listen(self) -> None:
        """Listen for what gateways have seen, if that is still to be done; warn if none that was here has seen it."""
        if self._listened.is_set():
            return
        had_gateways = self._sighting().blocks > 0
        await asyncio.sleep(LISTEN_S)
        if why := self._setback.why():
            _log.error("this ledger stands still: %s", why)
        self._listened.set()
        await asyncio.sleep(WARN_AFTER_S - LISTEN_S)
        if had_gateways and not self._setback.heard and not self.set_back:
            _log.warning(
                "no gateway has told this ledger how far its log had been seen: if its data come from a backup that is "
                "not the newest, stop it now and see docs/backup.md"
            )

    def why_not(self) -> str:
        """Return why the ledger must not go on, in one sentence; "" if it may."""
        if why := self._setback.why():
            return why
        return "" if self._listened.is_set() else "it listens for what gateways have seen of it"

    @property
    def set_back(self) -> bool:
        """Whether gateways have seen more of this ledger than it has."""
        return bool(self._setback.claims)

    def may_go_on(self) -> bool:
        """Whether this ledger may seal."""
        return self._listened.is_set() and not self.set_back

    async def hear(self, request: web.Request) -> None:
        """Check that a request comes from a gateway of this event, and hear what it has seen; its body is not read.

        Raises:
            Refused: it was not made with this event's secret, or this ledger must not go on.
        """
        if not mac_is_right(self._secrets, request.method, request.path, request.headers):
            raise Refused(Reason.MAC_WRONG)
        if claim := request.headers.get(LOG_HEADER, ""):
            try:
                news = self._setback.hear(Claim.decode(claim))
            except ValueError as error:
                raise Refused(Reason.BODY_MALFORMED, f"The header {LOG_HEADER}: {error}.") from None
            if news:
                _log.error("this ledger stands still: %s", self._setback.why())
                await self._in_thread(self._setback.keep)
        self._check()

    def _check(self) -> None:
        if why := self._setback.why():
            raise Refused(Reason.LEDGER_SET_BACK, f"{why[0].upper()}{why[1:]}.")

    async def before_writing(self) -> None:
        """Wait until it is known whether this ledger may go on.

        Raises:
            Refused: it must not.
        """
        await self._listened.wait()
        self._check()

    def answer(self, request: web.Request, document: Any) -> web.Response:
        """Return the answer to a gateway, with what this ledger shows of itself."""
        shown = json.dumps(self._sighting().as_json())
        answer = json_response(document, headers={LOG_HEADER: shown})
        assert isinstance(answer.body, bytes)  # noqa: S101 - json_response made it of them
        answer.headers[MAC_HEADER] = answer_mac(self._secrets, request.headers.get(MAC_HEADER, ""), shown, answer.body)
        return answer
