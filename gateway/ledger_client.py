"""The gateway's way to the ledger: seats and hand-overs over HTTP, authenticated with a key of the event secret.

Every request carries `Turnout-Log`, what this gateway has seen of the ledger (gateway.remembered), `Content-Digest`
(RFC 9530, sha-256), and `Turnout-Mac`: the hex of BLAKE2b-256 over method, path, that claim and that digest, keyed with
the event secret's "hand-over" key. So the ledger knows who asks before it reads a body. An answer carries
`Turnout-Log`, what the ledger has now, and a MAC over that, the request's MAC and its own body: a spool is deleted, and
a seat given away, on the word of the ledger and of nobody else who answers at its address. Replaying a request is
harmless: hand-overs are idempotent by digest, and who asks for seats says which it got last.
"""

import base64
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hmac import compare_digest
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import orjson

from counters.clock import elapsed
from counters.keys_in_force import KeyChange
from counters.secrets import Secrets
from counters.steering import Steering, read_interval, read_seat, read_view
from gateway.remembered import Remembered
from gateway.tracing import OFF, Tracing

LOG_HEADER: Final = "Turnout-Log"
MAC_HEADER: Final = "Turnout-Mac"
DIGEST_HEADER: Final = "Content-Digest"
GRANT_PATH: Final = "/v1/ledger/seats"
HAND_OVER_PATH: Final = "/v1/ledger/evidence"
TOKENS_PATH: Final = "/v1/ledger/tokens"
STEERING_PATH: Final = "/v1/ledger/steering"
GREETING_PATH: Final = "/v1/ledger/greeting"
CONNECT_S: Final = 2.0
PATIENCE_S: Final = 30.0
"""A hand-over is a few fsyncs; a ledger that takes longer is down. The way there comes on top:"""
SLOWEST_BYTES_A_S: Final = 64 * 1024
"""A full window is about ten megabytes: it gets through a line of half a megabit a second in the end."""
PASSING: Final = frozenset((HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS))
"""Refusals that another try may not meet."""
OUTCOMES: Final = ("new", "known", "late", "promise")
TOKENS_OUTCOMES: Final = ("new", "known", "expired")


class LedgerUnavailableError(Exception):
    """The ledger did not answer, or not in a way that could be understood: try again."""


class LedgerRefusedError(Exception):
    """The ledger said no, and trying again will not change that."""

    def __init__(self, message: str, reason: str = "") -> None:
        """Keep what it said, and the label of its reason (gateway.reasons); "" if that is none of ours."""
        super().__init__(message)
        self.reason = reason


def content_digest(body: bytes) -> str:
    """Return the value of the `Content-Digest` header."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def request_mac(secrets: Secrets, method: str, path: str, digest: str, claim: str = "") -> str:
    """Return the value of the `Turnout-Mac` header of a request with this `Content-Digest` and `Turnout-Log`."""
    claimed = f"{LOG_HEADER}: {claim}\n" if claim else ""
    return _mac(secrets, f"{method}\n{path}\n{claimed}{digest}".encode(errors="replace"))


def signed_headers(secrets: Secrets, method: str, path: str, body: bytes, claim: str = "") -> dict[str, str]:
    """Return the headers with which a request says that it was made with this event's secret."""
    digest = content_digest(body)
    signed = {DIGEST_HEADER: digest, MAC_HEADER: request_mac(secrets, method, path, digest, claim)}
    return signed | ({LOG_HEADER: claim} if claim else {})


def mac_is_right(secrets: Secrets, method: str, path: str, headers: Mapping[str, str]) -> bool:
    """Whether a request with these headers was made with this event's secret."""
    digest, claim = headers.get(DIGEST_HEADER, ""), headers.get(LOG_HEADER, "")
    right = request_mac(secrets, method, path, digest, claim)
    return compare_digest(right.encode(), headers.get(MAC_HEADER, "").encode(errors="replace"))


def answer_mac(secrets: Secrets, asked_mac: str, shown: str, body: bytes) -> str:
    """Return the value of the `Turnout-Mac` header of the answer to a request with `asked_mac`."""
    return _mac(secrets, f"answer\n{asked_mac}\n{shown}\n{content_digest(body)}".encode(errors="replace"))


def _mac(secrets: Secrets, data: bytes) -> str:
    return hashlib.blake2b(data, key=secrets.derive("hand-over"), digest_size=32).hexdigest()


@dataclass(frozen=True, slots=True)
class WorkerName:
    """Who asks for seats."""

    worker: str
    gateway: str
    event_digest: str
    instance: str = ""  # of the gateway's spool; "": a gateway of before there was this


@dataclass(frozen=True, slots=True)
class GatewayName:
    """Who asks what is in force."""

    gateway: str
    instance: str  # of its spool: two gateways with one name have two
    event_digest: str


@dataclass(frozen=True, slots=True)
class InForce:
    """What a gateway is told that it did not know."""

    steering: Steering | None = None  # None: what is known is still in force
    key_changes: tuple[KeyChange, ...] | None = None  # of issuers' keys, all there were; None: those that are known


class LedgerClient:
    """A session with one ledger. Use it as an async context manager."""

    def __init__(
        self, url: str, secrets: Secrets, remembered: Remembered | None = None, tracing: Tracing = OFF
    ) -> None:
        """Talk to the ledger at `url`; what it shows of itself is kept in `remembered`, and told to it."""
        self._url = url.rstrip("/")
        self._secrets = secrets
        self._remembered = remembered
        self._tracing = tracing
        self.heard: Callable[[float, float, float], None] = lambda _sent, _received, _now: None
        """Told with each answer when it was asked for and when it was here (counters.clock.elapsed), and what the
        ledger's clock said meanwhile (unix seconds)."""

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        self._session = aiohttp.ClientSession(auto_decompress=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection pool."""
        await self._session.close()

    async def grant(self, name: WorkerName, blocks: int, after: int) -> list[int]:
        """Ask for blocks of seats; `after` is the last one that this worker got, −1 if it got none.

        Raises:
            LedgerUnavailableError: try again.
            LedgerRefusedError: another event, secret or pseudonym key, or a gateway's name that another gateway has.
        """
        body = orjson.dumps(
            {
                "worker": name.worker,
                "gateway": name.gateway,
                "event_sha256": name.event_digest,
                "pseudonym_key_sha256": self._secrets.pseudonym_commitment,
                "blocks": blocks,
                "after": after,
            }
            | ({"instance": name.instance} if name.instance else {})
        )
        answer = await self._post(GRANT_PATH, body)
        with _understanding("seats"):
            return [int(block) for block in answer["blocks"]]

    async def hand_over(self, bundle: bytes) -> str:
        """Hand evidence over; when this returns, the ledger has it on disk.

        Returns:
            "new", "known", "late" or "promise".

        Raises:
            LedgerUnavailableError: try again with the same bytes.
            LedgerRefusedError: the ledger found the evidence unsound.
        """
        answer = await self._post(HAND_OVER_PATH, bundle)
        with _understanding("a hand-over"):
            # What is no acknowledgement word for word is none: the spool is deleted on it.
            return OUTCOMES[OUTCOMES.index(answer["outcome"])]

    async def hand_over_tokens(self, data: bytes) -> str:
        """Hand a tokens file over (counters.tokens_file); when this returns, the ledger has it on disk.

        Returns:
            "new", "known", or "expired": the event keeps none any more, and they are to be deleted here as well.

        Raises:
            LedgerUnavailableError: try again.
            LedgerRefusedError: the ledger takes no such file.
        """
        answer = await self._post(TOKENS_PATH, data)
        with _understanding("tokens"):
            return TOKENS_OUTCOMES[TOKENS_OUTCOMES.index(answer["outcome"])]

    async def steering(self, name: GatewayName, known: int, known_keys: str) -> InForce:
        """Ask what is in force; a gateway that runs asks again and again, and so holds its name.

        Args:
            name: who asks.
            known: the number of the change that brought what is known here.
            known_keys: digest of the keys of issuers that are known here (`IssuerKeys.digest`).

        Raises:
            LedgerUnavailableError: try again.
            LedgerRefusedError: another event, secret or pseudonym key, or a name that another gateway has.
        """
        body = orjson.dumps(
            {
                "event_sha256": name.event_digest,
                "pseudonym_key_sha256": self._secrets.pseudonym_commitment,
                "gateway": name.gateway,
                "instance": name.instance,
                "known": known,
                "known_keys": known_keys,
            }
        )
        answer = await self._post(STEERING_PATH, body)
        with _understanding("steering"):
            # A ledger of before there were changes of keys says nothing about them.
            rows = answer.get("issuer_keys")
            changes = None if rows is None else tuple(KeyChange.from_row(row) for row in rows)
            if answer["number"] == known:
                return InForce(None, changes)
            revoked = frozenset([*map(read_seat, answer["seats"]), *map(read_view, answer["views"])])
            return InForce(Steering(int(answer["number"]), read_interval(answer["interval_s"]), revoked), changes)

    async def greet(self, event_digest: str) -> "KeysThere":
        """Ask whether a gateway with this event and these secrets would be welcome; nothing is changed by it.

        Returns:
            Which keys hold there.

        Raises:
            LedgerUnavailableError: no answer.
            LedgerRefusedError: another event, secret or pseudonym key.
        """
        asked = {"event_sha256": event_digest, "pseudonym_key_sha256": self._secrets.pseudonym_commitment}
        answer = await self._post(GREETING_PATH, orjson.dumps(asked))
        if "generations" not in answer:
            return KeysThere(None, {})  # a ledger of before there were rotations
        with _understanding("keys"):
            return KeysThere(
                {str(name): (int(oldest), int(newest)) for name, (oldest, newest) in answer["generations"].items()},
                {str(issuer): frozenset(map(str, keys)) for issuer, keys in answer["retired_issuer_keys"].items()},
            )

    async def _post(self, path: str, body: bytes) -> Any:
        claim = self._remembered.claim() if self._remembered else ""
        headers = signed_headers(self._secrets, "POST", path, body, claim)
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S + len(body) / SLOWEST_BYTES_A_S, sock_connect=CONNECT_S)
        sent = elapsed()
        try:
            async with self._session.post(
                self._url + path, data=io.BytesIO(body), headers=headers | self._tracing.carried(), timeout=timeout
            ) as answer:
                text = await answer.read()
                if answer.status == HTTPStatus.OK:
                    shown = self._shown(headers[MAC_HEADER], answer.headers, text)
                    taken = self._take_in(orjson.loads(text), sent)
                    await self._note(shown)
                    return taken
                if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in PASSING:
                    raise LedgerUnavailableError(f"the ledger answered {answer.status}: {_said(text)}")
                raise LedgerRefusedError(f"the ledger refused ({answer.status}): {_said(text)}", _reason(text))
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
            raise LedgerUnavailableError(
                f"the ledger at {self._url} does not answer: {error or type(error).__name__}"
            ) from error

    def _take_in(self, answer: Any, sent: float) -> Any:
        received = elapsed()
        with _understanding("the time"):
            now = float(answer["now"])
        self.heard(sent, received, now)
        return answer

    def _shown(self, asked_mac: str, headers: Mapping[str, str], body: bytes) -> str:
        """Return what an answer shows of the ledger, once it is known that it is the ledger's."""
        shown, mac = headers.get(LOG_HEADER, ""), headers.get(MAC_HEADER, "")
        if not compare_digest(answer_mac(self._secrets, asked_mac, shown, body).encode(), mac.encode(errors="replace")):
            raise LedgerUnavailableError(
                f"what answers at {self._url} does not say with this event's secret that it is the ledger"
            )
        return shown

    async def _note(self, shown: str) -> None:
        if self._remembered is not None:
            with _understanding("how far its log is"):
                await self._remembered.note(shown)


@dataclass(frozen=True, slots=True)
class KeysThere:
    """Which keys hold where the ledger is."""

    generations: Mapping[str, tuple[int, int]] | None  # oldest and newest by counters.secrets.ROTATED; None = unsaid
    retired: Mapping[str, frozenset[str]]  # thumbprints of retired keys, by the id of their issuer


@contextmanager
def _understanding(what: str) -> Iterator[None]:
    """Read an answer; one that makes no sense, as of something else that listens there, is none."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise LedgerUnavailableError(f"the ledger's answer about {what} makes no sense: {error}") from error


def _problem(text: bytes) -> dict[str, Any]:
    try:
        problem = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _said(text: bytes) -> str:
    return str(_problem(text).get("detail") or text.decode(errors="replace")[:500])


def _reason(text: bytes) -> str:
    return str(_problem(text).get("reason", ""))
