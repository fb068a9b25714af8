"""The ledger, asked as a gateway asks it: whether it knows this event, these secrets, and the same keys."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Final

from counters.event import Event
from counters.issuer_keys import thumbprint
from counters.secrets import ORGANISER, SCANNER, VIEWING_TOKEN, Secrets
from gateway.doctor.finding import Finding, fail, ok, unknown, warn
from gateway.ledger_client import KeysThere, LedgerClient, LedgerRefusedError, LedgerUnavailableError
from gateway.quantity import quantity

TIMEOUT_S: Final = 5.0
OFFSET_S: Final = 2.0
"""Of a gateway's clock to the ledger's: from here on the evidence says so,"""
OFFSET_LIMIT_S: Final = 30.0
"""and from here on a gateway is not ready (DESIGN.md §5)."""
_SHOWN: Final = {ORGANISER: "organiser", SCANNER: "scanners", VIEWING_TOKEN: "viewing tokens"}


async def ledger(url: str, secrets: Secrets, event: Event) -> list[Finding]:
    """Ask the ledger whether a gateway with this event file and these secrets would be welcome."""
    offsets: list[float] = []

    def heard(sent: float, received: float, now: float) -> None:
        offsets.append(time.time() - (received - sent) / 2 - now)

    try:
        async with LedgerClient(url, secrets) as client:
            client.heard = heard
            there = await asyncio.wait_for(client.greet(event.digest), TIMEOUT_S)
    except LedgerRefusedError as error:
        if not error.reason or error.reason == "not_found":
            return [unknown("ledger", f"{url} answers, and does not know the question: {error}",
                            "Run one version of Turnout everywhere.")]  # fmt: skip
        return [fail("ledger", str(error), "Take event file and secrets.json from the ledger's host.")]
    except (LedgerUnavailableError, TimeoutError) as error:
        said = str(error) or f"the ledger at {url} does not answer"
        return [fail("ledger", said, "Start it, or correct --ledger: without it no new seats, and spools grow."),
                judge_generations(secrets, None)]  # fmt: skip
    found = [ok("ledger", f"{url} has this event and these secrets")]
    if not event.simulated:
        found.append(judge_offset(offsets[0]))
    return [*found, judge_generations(secrets, there.generations), *judge_retired(event, there)]


def judge_offset(offset_s: float) -> Finding:
    """Judge this host's clock by the ledger's."""
    said = f"this host's is {offset_s:+.2f} s off the ledger's"
    if abs(offset_s) > OFFSET_LIMIT_S:
        return fail("ledger's clock", said, "Set it (chrony): a gateway would not be ready.")
    if abs(offset_s) > OFFSET_S:
        return warn("ledger's clock", said, "Set it (chrony), then start the gateway: it reads the clock once.")
    return ok("ledger's clock", said)


def judge_generations(secrets: Secrets, there: Mapping[str, tuple[int, int]] | None) -> Finding:
    """Judge the generations of this host's keys by those with which the ledger runs; None: it does not say."""
    here = {name: (oldest, newest) for name, (oldest, newest) in secrets.generations_in_use().items()}
    said = "; ".join(f"{_SHOWN[name]}: {_generation(used)}" for name, used in here.items())
    if there is None:
        return unknown("keys", f"{said}; which the ledger has, nobody says",
                       "Have it answer, and run one version of Turnout everywhere; or compare the files.")  # fmt: skip
    other = [
        f"{_SHOWN[name]}: {_generation(there[name])}" for name in here if there.get(name, here[name]) != here[name]
    ]
    if other:
        return warn("keys", f"{said}; the ledger runs with {', '.join(other)}",
                    "Copy secrets.json from the ledger's data directory to every gateway's host and send each gateway "
                    "SIGHUP; restart the ledger if its own file is newer than its start (docs/keys.md).")  # fmt: skip
    return ok("keys", f"{said}, as the ledger has them")


def _generation(used: tuple[int, int]) -> str:
    oldest, newest = used
    return f"generation {newest}" if oldest == newest else f"generations {oldest} to {newest}"


def judge_retired(event: Event, there: KeysThere) -> Iterator[Finding]:
    """Judge the event file's issuer keys by those that the log says are retired."""
    for issuer in event.issuers:
        of_file = {thumbprint(key) for key in issuer.keys}
        if retired := sorted(of_file & there.retired.get(issuer.id, frozenset())):
            yield warn(f"issuer {issuer.id}: keys in force",
                       f"{quantity(len(retired), 'key')} of the event file retired in the log: {', '.join(retired)}",
                       "If that was meant, see that the issuer signs with another one (turnout issuer-key "
                       "--show).")  # fmt: skip
