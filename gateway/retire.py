"""`turnout retire`: tell the running ledger that a gateway's host is gone for good."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from counters.event import Event
from gateway.quantity import quantity
from gateway.running_ledger import RunningLedger


def retire_gateway(
    event: Event, data: Path, *, gateway: str, force: bool, ledger_url: str, secrets_file: Path | None
) -> Iterator[str]:
    """Retire a gateway; return lines that say what that means.

    Raises:
        RunningLedgerError: the ledger cannot be found or does not answer, or it refuses.
        SecretsError: the organiser key cannot be read.
    """
    ledger = RunningLedger.of(event, data, url=ledger_url, secrets_file=secrets_file)
    answer = ledger.ask(f"/gateways/{quote(gateway, safe='')}/retire", {"force": force})
    if not answer["retired"]:
        yield f"nothing to do: every worker of gateway {gateway} has ended or was retired before"
        return
    workers = quantity(len(answer["retired"]), "worker")
    yield f"gateway {gateway} is retired as of {answer['at']}, which is in the log: {workers}"
    yield "windows after that neither wait for them nor name them; what they had not reported stays missing"
    yield "should the host come back, start its gateway: what is in its spool becomes late evidence"
