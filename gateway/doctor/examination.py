"""Which checks are made for which command, in the order in which a person would mend what they find."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from counters.event import Event
from counters.secrets import SECRETS_FILE, SecretsError, load_secrets
from deploy.sizing import EVIDENCE_BYTES, SPOOL_RECORD_BYTES, TICKET_BYTES, Audience, Needs, needs_of
from gateway.doctor import greeting, host, keeping, others, programme, redis_server
from gateway.doctor.finding import Finding, ok, unknown
from gateway.doctor.ports import port
from gateway.doctor.redis_server import Role
from gateway.quantity import quantity
from gateway.settings import GatewaySettings, LedgerSettings, Settings, UpSettings, WitnessSettings

INTERVAL_S: Final = 30
"""Of an event that cannot be read yet."""
MEASURED_HOURS: Final = 24
"""Of the event whose evidence deploy.sizing.EVIDENCE_BYTES is."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Who is expected on this host."""

    viewers: int  # at the same time
    attendees: int  # in the whole event, everywhere


class Examination:
    """Looks at everything that one command's settings ask for."""

    def __init__(self, settings: Settings, event: Event | None, expected: Expected) -> None:
        """Prepare.

        Args:
            settings: completed.
            event: None = `turnout up` has yet to make its keys, or the command needs none.
            expected: who comes.
        """
        self._settings = settings
        self._event = event
        self._expected = expected
        self._interval_s = event.interval_s if event else INTERVAL_S

    def findings(self) -> list[Finding]:
        """Look at everything; takes seconds where somebody does not answer."""
        return [*self._here(), *asyncio.run(self._elsewhere())]

    @property
    def _needs(self) -> Needs:
        sessions = len(self._event.sessions) if self._event else 1
        return needs_of(Audience(self._expected.viewers, self._expected.attendees, sessions, self._interval_s))

    # Here.

    def _here(self) -> Iterator[Finding]:
        settings, event = self._settings, self._event
        if event is not None:
            yield programme.times(event, time.time())
            yield from programme.rooms(event)
            yield from programme.issuers(event, for_players=not isinstance(settings, UpSettings))
        elif getattr(settings, "event_file", None) == "":
            yield unknown("event", "no event file was named", "Name it behind the command: EVENT.toml")
        elif not isinstance(settings, WitnessSettings):
            yield ok("event", "development issuers' keys will be made at the first start")
        match settings:
            case UpSettings():
                data = Path(settings.data)
                yield from keeping.secrets(data / SECRETS_FILE)
                yield from keeping.log(data, event, settings.log_origin)
                yield keeping.embedded_redis()
                yield self._spool(data / "spool")
                yield self._evidence(data)
                yield from self._crowd(settings.workers, settings.trusted_proxies)
                yield from keeping.extras()
            case GatewaySettings():
                yield from keeping.secrets(Path(settings.secrets_file))
                yield self._spool(Path(settings.spool))
                yield from self._crowd(settings.workers, settings.trusted_proxies)
            case LedgerSettings():
                data = Path(settings.data)
                yield from keeping.secrets(data / SECRETS_FILE)
                yield from keeping.log(data, event, settings.log_origin)
                yield self._evidence(data)
                yield from keeping.extras()
            case WitnessSettings():
                yield host.judge_disk("data", host.look_at_disk(Path(settings.data)), 0, 0, "")
        yield host.kernel_clock()
        yield from self._ports()

    def _spool(self, folder: Path) -> Finding:
        rate = self._expected.viewers / self._interval_s * SPOOL_RECORD_BYTES
        rest_s = programme.rest_s(self._event, time.time()) if self._event else 0.0
        why = f"while the ledger is away, at {quantity(self._expected.viewers, 'viewer')}"
        return host.judge_disk("spool", host.look_at_disk(folder), self._needs.spool_bytes, round(rate * rest_s), why)

    def _evidence(self, folder: Path) -> Finding:
        event = self._event
        hours = len(event.scheduled_windows()) / 60 if event else 0.0
        kept = TICKET_BYTES if event and event.tokens_until else 0
        needed = round(self._expected.attendees * (EVIDENCE_BYTES * hours / MEASURED_HOURS + kept))
        why = f"for {quantity(self._expected.attendees, 'attendee')} in {quantity(round(hours), 'hour')}"
        return host.judge_disk("data", host.look_at_disk(folder), needed, 2 * needed, f"{why}, and a backup")

    def _crowd(self, workers: int, proxies: str) -> Iterator[Finding]:
        viewers = self._expected.viewers
        yield host.open_files(viewers, workers)
        yield host.cores(viewers, workers, self._interval_s)
        yield host.accept_queue()
        if proxies:
            yield host.proxy_ports(viewers)

    def _ports(self) -> Iterator[Finding]:
        settings = self._settings
        own = getattr(settings, "host", "")
        for declared in settings.declared():
            flag = declared.setting.flag
            if flag.endswith("port"):
                address = getattr(settings, "metrics_host", own) if flag == "--metrics-port" else own
                yield port(flag.removeprefix("--").replace("-", " "), address, getattr(settings, declared.field))

    # Elsewhere.

    async def _elsewhere(self) -> list[Finding]:
        settings, event, needs = self._settings, self._event, self._needs
        asked = []
        if isinstance(settings, GatewaySettings):
            apart = settings.live_url != settings.registry_url
            both = Role.of(registry=True, live=not apart, needs=needs)
            asked.append(redis_server.examine(settings.registry_url, both))
            if apart:
                role = Role.of(registry=False, live=True, needs=needs)
                asked.append(redis_server.examine(settings.live_url, role))
            if event is not None:
                with contextlib.suppress(SecretsError):  # said above
                    asked.append(greeting.ledger(settings.ledger_url, load_secrets(Path(settings.secrets_file)), event))
        if isinstance(settings, LedgerSettings):
            asked.append(redis_server.examine(settings.live_url, Role.of(registry=False, live=False, needs=needs)))
        if event is not None and not isinstance(settings, GatewaySettings):
            asked.append(others.witnesses(event))
        if event is not None:
            asked.append(others.issuers(event))
        return [finding for findings in await asyncio.gather(*asked) for finding in findings]
