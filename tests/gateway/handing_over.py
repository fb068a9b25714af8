"""What a gateway asks of a ledger, signed with the event's secret: seats, and a promise that it has nothing more."""

import orjson

from counters.event import Event
from counters.handover import HandOver, WorkerReport
from counters.secrets import Secrets
from gateway.ledger_client import signed_headers
from tests.gateway.serving import Answer, RunningLedger

WORKER = "00000000000000a1"


def signed(running: RunningLedger, path: str, body: bytes, secrets: Secrets | None = None) -> Answer:
    return running.ask("POST", path, body, signed_headers(secrets or running.secrets, "POST", path, body))


def wish(event: Event, running: RunningLedger, **changes: object) -> bytes:
    plain = {
        "worker": WORKER,
        "gateway": "g",
        "event_sha256": event.digest,
        "pseudonym_key_sha256": running.secrets.pseudonym_commitment,
        "blocks": 1,
        "after": -1,
    }
    return orjson.dumps(plain | changes)


def promise(event: Event, window: int, worker: str = WORKER, *, ended: bool = True) -> bytes:
    return HandOver(event.digest, "g", window, (WorkerReport(worker, window + 60, ended),), ()).encode()
