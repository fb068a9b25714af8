"""A running ledger, asked over HTTP by a command as the organiser: steer, retire, issuer-key, certify, audit."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, Self

from counters.event import Event
from counters.secrets import SECRETS_FILE, load_secrets
from gateway.mendable import RunningLedgerError
from gateway.no_answer import why_no_answer
from gateway.reasons import Reason

ADDRESS_FILE: Final = "ledger.json"
"""In the ledger's data directory, while it runs."""
PATIENCE_S: Final = 30.0
LONG_PATIENCE_S: Final = 1800.0
"""For what reads all evidence: an event of 40 million attendees takes up to ten minutes to certify."""


class UnnamedLedgerError(RunningLedgerError):
    """The data directory does not say where its ledger is."""


class SilentLedgerError(RunningLedgerError):
    """Nobody answers there, or nobody who is a ledger."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"the ledger does not answer at {url}: {why}. Is it running?")
        self.url = url
        self.why = why


class LedgerRefusesError(RunningLedgerError):
    """The ledger answered that it will not."""

    def __init__(self, reason: str, detail: str) -> None:
        """Keep the label of its reason (gateway.reasons), "" if it gave none, and what it said."""
        super().__init__(f"the ledger refused: {detail}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RunningLedger:
    """Where one event is asked about, and with whose key."""

    url: str  # http://HOST:PORT/v1/events/EVENT
    key: str  # the organiser's
    key_file: Path

    @classmethod
    def of(cls, event: Event, data: Path, *, url: str = "", secrets_file: Path | None = None) -> Self:
        """Return the ledger at `url`, or else the one that serves a data directory.

        Args:
            event: of the event file.
            data: the ledger's data directory; the working directory of somebody who names both others may have none.
            url: the ledger's address, or a gateway's, http://…; "" = what the data directory says.
            secrets_file: secrets.json of the ledger; None = the one in the data directory.

        Raises:
            UnnamedLedgerError: the data directory does not say where it is.
            RunningLedgerError: there is no organiser key, or the ledger there has another event file.
            SecretsError: the key cannot be used.
        """
        key_file = secrets_file or data / SECRETS_FILE
        if not key_file.exists():
            raise RunningLedgerError(
                f"{key_file} is not there: name the ledger's data directory with --data; on another host its "
                "secrets.json with --secrets, and the ledger with --ledger http://…"
            )
        key = load_secrets(key_file).organiser_key
        return cls(f"{(url or _address(event, data)).rstrip('/')}/v1/events/{event.id}", key, key_file)

    def ask(self, path: str, posted: object = None, patience_s: float = PATIENCE_S) -> dict[str, Any]:
        """Return the answer to a GET, or to a POST of something, below the event's URL.

        Raises:
            LedgerRefusesError: it refuses.
            SilentLedgerError: it does not answer, or with something else than an object of JSON.
        """
        answer = self.fetch(path, posted, patience_s)
        try:
            return dict(json.loads(answer))
        except (TypeError, ValueError):
            raise SilentLedgerError(self.url + path, why_no_answer(ValueError())) from None

    def fetch(self, path: str, posted: object = None, patience_s: float = PATIENCE_S) -> bytes:
        """Return the answer as it is; otherwise as `ask`."""
        body = None if posted is None else json.dumps(posted).encode()
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked, or the ledger wrote it itself
            self.url + path, body, headers
        )
        try:
            return self._answer(request, patience_s)
        except (OSError, ValueError, HTTPException) as error:
            raise SilentLedgerError(self.url + path, why_no_answer(error)) from None

    def _answer(self, request: urllib.request.Request, patience_s: float) -> bytes:
        try:
            with urllib.request.urlopen(request, timeout=patience_s) as answer:  # noqa: S310
                return bytes(answer.read())
        except urllib.error.HTTPError as refusal:
            raise self._refusal(refusal.code, refusal.read()) from None

    def _refusal(self, status: int, body: bytes) -> LedgerRefusesError:
        try:
            problem = json.loads(body)
            reason, detail = str(problem.get("reason", "")), str(problem["detail"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return LedgerRefusesError("", f"{status} {body.decode(errors='replace')[:500]}")
        if reason == Reason.KEY_WRONG.label:
            detail = (
                f"it does not take the organiser key of {self.key_file}. That is another event's file, or its key was "
                "withdrawn (turnout rotate-key): take secrets.json from the ledger's data directory. If it is that "
                "one, restart the ledger, which reads it when it starts"
            )
        return LedgerRefusesError(reason, detail)


def _address(event: Event, data: Path) -> str:
    try:
        running = json.loads((data / ADDRESS_FILE).read_text())
        digest, address = running["event_sha256"], str(running["ledger"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UnnamedLedgerError(
            f"{data} does not say where its ledger is: name the ledger with --ledger http://…, or its data directory "
            "with --data"
        ) from None
    if digest != event.digest:
        raise RunningLedgerError("the ledger of this data directory has another event file: name that one")
    return address
