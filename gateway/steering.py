"""Steering on a gateway: what the ledger has in force reaches every worker within two seconds, and survives restarts.

So do the keys that issuers took into use or gave up since the event began (counters.keys_in_force).

The supervisor asks the ledger once a second and keeps what it was last told if there is no answer. It writes what is in
force into `steering.json` in the spool, durably and before any worker can announce it, together with what was announced
when: from that file a gateway started anew knows which interval players had in a window that is still to be carried.
Workers look at that file once a second (one `stat`); nothing of this touches the path of a heartbeat.

    {"version": 1, "event_sha256": hex, "number": 3, "seats": [7], "views": ["0123456789abcdef"],
     "announced": [[30, 0.0, 1700355612.5], [45, 1700355607.2, null]],
     "issuer_keys": [{"issuer": "tickets", "action": "retire", "jwk": null, "thumbprint": "…", "reason": "…", "at": …}]}

`number` is that of the change in the log, 0 before the first. `announced` has [interval_s, since, until] in unix
seconds of the event's clock; the last row is what players are told now; an `until` of null means perhaps still.
`issuer_keys`, the changes of issuers' keys in the order of the log, is there only if there were any.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import orjson

from counters.announcements import Announcements
from counters.clock import Clock
from counters.durable_file import write_durably
from counters.event import Event
from counters.keys_in_force import IssuerKeys, KeyChange, KeyChangeError
from counters.steering import Steering, read_interval, read_seat, read_view
from gateway.gateway_name import NAME_PATIENCE_S, NAME_TAKEN, spool_id
from gateway.ledger_client import GatewayName, LedgerClient, LedgerRefusedError, LedgerUnavailableError
from gateway.mendable import CannotServeError

STEERING_FILE: Final = "steering.json"
VERSION: Final = 1
ASK_EVERY_S: Final = 1.0
SETTLED_S: Final = 5.0
"""So long after a change no worker announces the interval before it: they look once a second, and one that was too busy
to look was too busy to answer. Until then both intervals count as announced."""
_log = logging.getLogger("turnout.steering")


@dataclass(frozen=True, slots=True)
class Told:
    """What a gateway knows: what is in force, what its players were told, and which keys issuers have."""

    steering: Steering
    announcements: Announcements
    keys: IssuerKeys

    @classmethod
    def of(cls, event: Event) -> "Told":
        """Return what holds before anything was changed."""
        return cls(Steering.of(event), Announcements.of(event.interval_s), IssuerKeys.of(event))

    def encode(self) -> bytes:
        """Return the file."""
        changes = [change.as_row() for change in self.keys.changes]
        return orjson.dumps(
            {
                "version": VERSION,
                "event_sha256": self.keys.event.digest,
                "number": self.steering.number,
                "seats": self.steering.seats,
                "views": self.steering.views,
                "announced": self.announcements.as_json(),
            }
            | ({"issuer_keys": changes} if changes else {})
        )


def decode(data: bytes, event: Event) -> Told:
    """Read the file.

    Raises:
        ValueError: it is none of this event.
    """
    try:
        document = orjson.loads(data)
        if (document["version"], document["event_sha256"]) != (VERSION, event.digest):
            raise ValueError("it is of another version or event")  # noqa: TRY301 - one answer to all that is wrong with it
        announcements = Announcements.from_json(document["announced"])
        revoked = frozenset([*map(read_seat, document["seats"]), *map(read_view, document["views"])])
        interval_s = read_interval(announcements.current_s)
        keys = IssuerKeys.of(event, map(KeyChange.from_row, document.get("issuer_keys", ())))
        return Told(Steering(int(document["number"]), interval_s, revoked), announcements, keys)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"this is no {STEERING_FILE} of this event: {error}") from error


class SteeringKeeper:
    """Keeps one gateway's `steering.json` to what the ledger says. Owned by the supervisor's event loop."""

    def __init__(
        self,
        spool: Path,
        event: Event,
        gateway: str,
        clock: Clock,
        ledger: LedgerClient,
        apply: Callable[[Announcements], None],
    ) -> None:
        """Begin with what the file says; `apply` gets what players are told, now and after each change."""
        self._path = spool / STEERING_FILE
        self._name = GatewayName(gateway, spool_id(spool), event.digest)
        self._event = event
        self._clock = clock
        self._ledger = ledger
        self._apply = apply
        self._began_at = self._changed_at = time.monotonic()
        self.told = self._read()
        apply(self.told.announcements)

    def _read(self) -> Told:
        try:
            return decode(self._path.read_bytes(), self._event)
        except FileNotFoundError:
            return Told.of(self._event)
        except (OSError, ValueError) as error:
            # Written durably, so this is another event's spool, or somebody's hand: the ledger says what is in force.
            _log.error("%s cannot be used and is replaced: %s", self._path, error)
            return Told.of(self._event)

    async def ask(self) -> None:
        """Ask the ledger, and put what it says into force.

        Raises:
            LedgerUnavailableError: it does not answer; what was told last stays.
            LedgerRefusedError: it refuses this gateway.
            OSError: the disk does not take the change; it is not in force.
        """
        told = self.told
        if not told.announcements.settled and time.monotonic() >= self._changed_at + SETTLED_S:
            await self._put(replace(told, announcements=told.announcements.settle(self._clock.now())))
        said = await self._ledger.steering(self._name, self.told.steering.number, self.told.keys.digest)
        if said.steering is not None and said.steering != self.told.steering:
            await self._steer(said.steering)
        if said.key_changes is not None and said.key_changes != self.told.keys.changes:
            await self._change_keys(said.key_changes)

    async def _change_keys(self, changes: Sequence[KeyChange]) -> None:
        try:
            keys = IssuerKeys.of(self._event, changes)
        except KeyChangeError as error:
            raise LedgerUnavailableError(f"what the ledger says of issuers' keys makes no sense: {error}") from error
        if len(changes) < len(self.told.keys.changes):
            _log.warning("the ledger has another log than before: it says less about issuers' keys, and is believed")
        await self._put(replace(self.told, keys=keys))
        for change in changes[-1:]:
            _log.info("issuers' keys, change %d: %s %s of %s", len(changes), change.action, change.thumbprint,
                      change.issuer)  # fmt: skip

    async def _steer(self, steering: Steering) -> None:
        announcements = self.told.announcements
        if steering.number < self.told.steering.number:
            # Changes only ever become more: this is another log, which refuses evidence of intervals that it never had.
            _log.warning("the ledger has another log than before: what players were told begins anew")
            announcements = Announcements.of(self._event.interval_s)
        announcements = announcements.announce(steering.interval_s, self._clock.now())
        await self._put(replace(self.told, steering=steering, announcements=announcements))
        self._changed_at = time.monotonic()
        _log.info(
            "change %d of steering: interval %d s, %d seats and views revoked",
            steering.number, steering.interval_s, len(steering.revoked),
        )  # fmt: skip

    async def _put(self, told: Told) -> None:
        # First for the courier, which then takes the interval for announced a moment too early, never too late; a crash
        # before the file is there leaves workers that were never told.
        self._apply(told.announcements)
        await asyncio.to_thread(write_durably, self._path, told.encode())
        self.told = told

    async def keep(self) -> None:
        """Ask for as long as the gateway runs; only the beginning and the end of an outage are logged.

        Raises:
            CannotServeError: the ledger refuses this gateway and never took it since it was started. Later it is the
                ledger that has changed, and the gateway goes on: what it accepts is in its spool.
        """
        away = taken = False
        while True:
            # Looked at before asking: who stood still meanwhile asks once more.
            patient = time.monotonic() <= self._began_at + NAME_PATIENCE_S
            try:
                await self.ask()
                taken = True
                if away:
                    _log.info("steering follows the ledger again")
                away = False
            except (LedgerUnavailableError, LedgerRefusedError, OSError) as error:
                held = isinstance(error, LedgerRefusedError) and error.reason == NAME_TAKEN and patient
                if isinstance(error, LedgerRefusedError) and not taken and not held:
                    raise CannotServeError(str(error)) from None
                if not away:
                    _log.warning("steering stays as it is, interval %d s: %s", self.told.steering.interval_s, error)
                away = True
            await asyncio.sleep(ASK_EVERY_S)


class SteeringFollower:
    """Tells one worker what `steering.json` says. Owned by the worker's event loop."""

    def __init__(self, spool: Path, event: Event, follow: Callable[[Told], None]) -> None:
        """Call `follow` with what the gateway knows, now and whenever it changes."""
        self._path = spool / STEERING_FILE
        self._event = event
        self._follow = follow
        self._seen: tuple[int, int, int] | None = None
        self.look()

    def look(self) -> None:
        """See whether the file has changed: one `stat`, once a second."""
        try:
            stat = self._path.stat()
            seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if seen == self._seen:
                return
            self._seen = seen
            told = decode(self._path.read_bytes(), self._event)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            # What was in force stays; the supervisor writes the file again with the next change.
            _log.warning("%s cannot be used: %s", self._path, error)
            return
        self._follow(told)
