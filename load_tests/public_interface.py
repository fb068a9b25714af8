"""The requests of the public HTTP interface that load tests make: a player's, a badge scanner's, an organiser's."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from load_tests.http_client import Address, UnexpectedAnswerError, call_for

CERTIFY_S: Final = 180.0
"""A certificate waits for windows that have ended, and is computed over everything that is sealed."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The requests of a player and of a badge scanner at one gateway, for one event."""

    address: Address
    event: str

    def beat_request(self, token: str, state: str = "p") -> bytes:
        """Return the bytes of a heartbeat, as short as HTTP allows. State p, the default, is not written."""
        return self._beacon("/v1/beat", token if state == "p" else f"{token} {state}")

    def leave_request(self, token: str) -> bytes:
        """Return the bytes of a leave."""
        return self._beacon("/v1/leave", token)

    def _beacon(self, path: str, body: str) -> bytes:
        return (
            f"POST {path} HTTP/1.1\r\nHost: {self.address.host}:{self.address.port}\r\n"
            f"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    async def join(self, session: str, bearer: str, outlet: str = "") -> str:
        """Join a session with a JWT or a viewing token; returns the viewing token.

        Raises UnexpectedAnswerError for anything but 201.
        """
        path = f"/v1/events/{self.event}/sessions/{session}/join" + (f"?outlet={quote(outlet)}" if outlet else "")
        answer = await call_for(201, self.address, "POST", path, bearer=bearer)
        token = answer.json()["token"]
        if not isinstance(token, str):
            raise UnexpectedAnswerError(f"POST {path}".encode(), answer.status, answer.body)
        return token

    async def check_in(self, scans: Sequence[Mapping[str, Any]], scanner_key: str) -> list[dict[str, Any]]:
        """Upload a batch of scans; returns the outcomes in their order. Raises UnexpectedAnswerError unless 200."""
        path = f"/v1/events/{self.event}/checkins"
        body = json.dumps({"scans": list(scans)}).encode()
        answer = await call_for(200, self.address, "POST", path, bearer=scanner_key, body=body)
        outcomes: list[dict[str, Any]] = answer.json()["outcomes"]
        if [outcome["nonce"] for outcome in outcomes] != [scan["nonce"] for scan in scans]:
            raise UnexpectedAnswerError(f"POST {path}".encode(), answer.status, answer.body)
        return outcomes

    async def live(self) -> dict[str, Any]:
        """Return the live answer. Raises UnexpectedAnswerError unless 200."""
        answer = await call_for(200, self.address, "GET", f"/v1/events/{self.event}/live")
        found: dict[str, Any] = answer.json()
        return found


@dataclass(frozen=True, slots=True)
class Ledger:
    """The requests of the organiser at the ledger."""

    address: Address
    event: str
    organiser_key: str

    async def set_clock(self, now: str) -> None:
        """Set the simulated clock; returns when every process shows it. Raises UnexpectedAnswerError unless 200."""
        body = json.dumps({"now": now}).encode()
        await call_for(200, self.address, "POST", "/v1/simulation/clock", bearer=self.organiser_key, body=body)

    async def certify(self) -> dict[str, Any]:
        """Issue a certificate; returns what the ledger says of it. Raises UnexpectedAnswerError unless 201."""
        path = f"/v1/events/{self.event}/certificates"
        answer = await call_for(201, self.address, "POST", path, bearer=self.organiser_key, timeout_s=CERTIFY_S)
        issued: dict[str, Any] = answer.json()
        return issued

    async def certificate(self, name: str) -> bytes:
        """Return a certificate (`<id>`) or its proof (`<id>.tlog-proof`). Raises UnexpectedAnswerError unless 200."""
        path = f"/v1/events/{self.event}/certificates/{name}"
        return (await call_for(200, self.address, "GET", path, bearer=self.organiser_key)).body
