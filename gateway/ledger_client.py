"""The gateway's way to the ledger: seats and hand-overs over HTTP, authenticated with a key of the event secret.

Every request carries `Turnout-Mac`: the hex of BLAKE2b-256 over method, path and body, keyed with the event secret's
"hand-over" key. Replaying one is harmless: hand-overs are idempotent by digest, and a replayed grant wastes a block.
"""

import hashlib
import io
from dataclasses import dataclass
from hmac import compare_digest
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import orjson

from counters.secrets import Secrets
from counters.steering import Steering, read_interval, read_seat, read_view

MAC_HEADER: Final = "Turnout-Mac"
GRANT_PATH: Final = "/v1/ledger/seats"
HAND_OVER_PATH: Final = "/v1/ledger/evidence"
STEERING_PATH: Final = "/v1/ledger/steering"
TIMEOUT: Final = aiohttp.ClientTimeout(total=30, sock_connect=2)
"""A hand-over of a full window is a few megabytes and three fsyncs; a ledger that takes longer is down."""


class LedgerUnavailableError(Exception):
    """The ledger did not answer, or not in a way that could be understood: try again."""


class LedgerRefusedError(Exception):
    """The ledger said no, and trying again will not change that."""


def request_mac(secrets: Secrets, method: str, path: str, body: bytes) -> str:
    """Return the value of the `Turnout-Mac` header."""
    key = secrets.derive("hand-over")
    return hashlib.blake2b(f"{method}\n{path}\n".encode() + body, key=key, digest_size=32).hexdigest()


def mac_is_right(secrets: Secrets, method: str, path: str, body: bytes, claimed: str) -> bool:
    """Whether a request was made with this event's secret."""
    return compare_digest(request_mac(secrets, method, path, body).encode(), claimed.encode(errors="replace"))


@dataclass(frozen=True, slots=True)
class WorkerName:
    """Who asks for seats."""

    worker: str
    gateway: str
    event_digest: str


class LedgerClient:
    """A session with one ledger. Use it as an async context manager."""

    def __init__(self, url: str, secrets: Secrets) -> None:
        """Talk to the ledger at `url`."""
        self._url = url.rstrip("/")
        self._secrets = secrets

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        self._session = aiohttp.ClientSession(timeout=TIMEOUT, auto_decompress=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection pool."""
        await self._session.close()

    async def grant(self, name: WorkerName, blocks: int) -> list[int]:
        """Ask for blocks of seats.

        Raises:
            LedgerUnavailableError: try again.
            LedgerRefusedError: another event, another secret or another pseudonym key.
        """
        body = orjson.dumps(
            {
                "worker": name.worker,
                "gateway": name.gateway,
                "event_sha256": name.event_digest,
                "pseudonym_key_sha256": self._secrets.pseudonym_commitment,
                "blocks": blocks,
            }
        )
        answer = await self._post(GRANT_PATH, body)
        return [int(block) for block in answer["blocks"]]

    async def hand_over(self, bundle: bytes) -> str:
        """Hand evidence over; when this returns, the ledger has it on disk.

        Returns:
            "new", "known" or "late".

        Raises:
            LedgerUnavailableError: try again with the same bytes.
            LedgerRefusedError: the ledger found the evidence unsound.
        """
        return str((await self._post(HAND_OVER_PATH, bundle))["outcome"])

    async def steering(self, event_digest: str, known: int) -> Steering | None:
        """Ask what is in force.

        Args:
            event_digest: of the event file.
            known: the number of the change that brought what is known here.

        Returns:
            None if that is still in force.

        Raises:
            LedgerUnavailableError: try again.
            LedgerRefusedError: another event or another secret.
        """
        answer = await self._post(STEERING_PATH, orjson.dumps({"event_sha256": event_digest, "known": known}))
        try:
            if answer["number"] == known:
                return None
            revoked = frozenset([*map(read_seat, answer["seats"]), *map(read_view, answer["views"])])
            return Steering(int(answer["number"]), read_interval(answer["interval_s"]), revoked)
        except (KeyError, TypeError, ValueError) as error:
            raise LedgerUnavailableError(f"the ledger's answer about steering makes no sense: {error}") from error

    async def _post(self, path: str, body: bytes) -> Any:
        headers = {MAC_HEADER: request_mac(self._secrets, "POST", path, body)}
        try:
            async with self._session.post(self._url + path, data=io.BytesIO(body), headers=headers) as answer:
                text = await answer.read()
                if answer.status == HTTPStatus.OK:
                    return orjson.loads(text)
                detail = text.decode(errors="replace")[:500]
                if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise LedgerUnavailableError(f"the ledger answered {answer.status}: {detail}")
                raise LedgerRefusedError(f"the ledger refused ({answer.status}): {detail}")
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
            raise LedgerUnavailableError(
                f"the ledger at {self._url} does not answer: {error or type(error).__name__}"
            ) from error
