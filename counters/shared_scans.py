"""Scans shared through Redis: each gateway keeps a log of its own there, and reads the others'.

Keys; all logs of an event are in one slot, a room's sketch is in that of its session's buckets (counters.live):

    turnout:{<event>:onsite}:logs              set: the names of the logs
    turnout:{<event>:onsite}:log:<name>        hash: page number, decimal → scans, 24 bytes each, 256 a page
    turnout:{<event>:<session>}:onsite         who is in the session's room now: a dense HyperLogLog; 0 = everybody

A scan is the attendee's pseudonym (16 bytes) and its number in the order of counters.rooms (u64-le). An exit from
session 3 at 1,700,355,600,000 ms under the pseudonym 01…10 is `0102030405060708090a0b0c0d0e0f10`, `030002ba5d942f06`.

A log has one writer, and only grows. So how long it is says whether Redis still has all that was sent, a page sent
again changes nothing, and a reader goes on where it stopped. A gateway that finds its log shorter than it was, or
others' gone, begins a new log with the newest scan of everybody whom it knows: a Redis that came back empty, or a
replica that took over without the last second, is whole again, and has what gateways knew that are no more.

Sketches are written over, not merged: a room empties as well. All gateways write what they know, and know the same a
second or two after a scan; one that has not read all logs yet writes none.
"""

import struct
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from counters import hyperloglog
from counters.hyperloglog import Registers
from counters.live import TIMEOUT_S, LiveUnavailableError, room_key
from counters.redis_address import open_link
from counters.redis_link import Command
from counters.rooms import Passage

SCAN: Final = struct.Struct("<16sQ")
PAGE_BYTES: Final = 256 * SCAN.size
"""6 KB: what is sent again, and read again by each gateway, while a page fills."""
PAGES_AT_ONCE: Final = 64
"""Of one log in one round, 16,384 scans: well under a millisecond of Redis' time. 200,000 people are 13 rounds."""
PAGES_OF_A_LOG_THAT_IS_READ: Final = 2
"""A second's scans, of a log that was read to its end a second ago."""
LOG_TTL_S: Final = 24 * 3600
"""Real seconds after the last scan. Whoever is alive writes it again; of those who are not, the others know."""
ROOM_TTL_S: Final = 60
"""Real seconds. If no gateway is left, a room is shown as long as its viewers are."""
SHOW_AGAIN_S: Final = 10.0
"""After this long a room is written again: Redis may have lost it, or another gateway written what was older."""


def logs_key(event: str) -> str:
    """Return the key of the set of logs."""
    return f"turnout:{{{event}:onsite}}:logs"


def log_key(event: str, name: str) -> str:
    """Return the key of a log."""
    return f"turnout:{{{event}:onsite}}:log:{name}"


class SharedScans:
    """One gateway's side of it. Owns its own log, and how far it has read the others'."""

    def __init__(
        self,
        url: str,
        event: str,
        incarnation: str,
        timeout_s: float = TIMEOUT_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare for the event with the id `event`.

        Args:
            url: of the live Redis.
            event: the event's id.
            incarnation: names this gateway's logs; nobody else's begin with it.
            timeout_s: for one pipeline.
            monotonic: tells when sketches are due again.

        Raises:
            ValueError: no URL of a Redis (counters.redis_address).
        """
        self._link = open_link(url, timeout_s, LiveUnavailableError)
        self._event = event
        self._incarnation = incarnation
        self._monotonic = monotonic
        self._generation = 0
        self._log = bytearray()
        self._sent = 0  # bytes of it that Redis has taken
        self._read: dict[str, int] = {}  # bytes, by name of another's log
        self._shown: dict[int, tuple[bytes, float]] = {}  # what a room's sketch was when
        self.behind = True
        """Whether there is more in the others' logs than was read by now."""

    def add(self, passages: Iterable[Passage]) -> None:
        """Put scans into this gateway's log, to be sent with the next `exchange`."""
        self._log += b"".join(SCAN.pack(*passage) for passage in passages)

    async def exchange(self, everybody: Callable[[], Iterable[Passage]]) -> list[Passage]:
        """Send what is new in this gateway's log; return what is new in the others'.

        Args:
            everybody: yields the newest scan of every attendee: what is sent to a Redis that has lost something.

        Raises:
            LiveUnavailableError: Redis did not take or tell all of it; the next call goes on from there.
        """
        names = list(self._read)
        pages = PAGES_AT_ONCE if self.behind else PAGES_OF_A_LOG_THAT_IS_READ
        mine = log_key(self._event, self._name)
        (members, held_pages, held_bytes), others = await self._ask(mine, names, pages)
        self._notice_loss({member.decode() for member in members}, held_pages, held_bytes, everybody)
        # Before anything of what was told counts as read: should this fail, it is asked for again.
        await self._send()
        heard = [passage for name, page in zip(names, others, strict=True) for passage in self._read_on(name, page)]
        self.behind = any(None not in page and len(page[-1]) == PAGE_BYTES for page in others)
        for name in sorted(member.decode() for member in members):
            if name not in self._read and not name.startswith(self._incarnation):
                self._read[name] = 0
                self.behind = True
        return heard

    async def show(self, sketches: Mapping[int, Registers]) -> None:
        """Write who is in the rooms, by session number, where that has changed or was not said for ten seconds.

        Raises:
            LiveUnavailableError: Redis did not take all of it; the next call writes it again.
        """
        now = self._monotonic()
        due: dict[int, bytes] = {}
        for session, registers in sketches.items():
            dense = hyperloglog.to_dense(registers) if registers.any() else b""
            before, at = self._shown.get(session, (b"", now))
            if dense != before or (dense and now - at >= SHOW_AGAIN_S):
                due[session] = dense
        commands = list[Command]()
        for session, dense in due.items():
            key = room_key(self._event, session)
            commands.append(("SET", key, dense, "EX", ROOM_TTL_S) if dense else ("DEL", key))
        if commands:
            await self._link.send(commands)
        self._shown |= {session: (dense, now) for session, dense in due.items()}

    async def close(self) -> None:
        """Close the connections."""
        await self._link.close()

    @property
    def _name(self) -> str:
        return f"{self._incarnation}-{self._generation}"

    async def _ask(self, mine: str, names: list[str], pages: int) -> tuple[list[Any], list[list[Any]]]:
        """Return what there is: the names of logs, pages and bytes of the last one of this one's; pages of others'."""
        last = max(self._sent - 1, 0) // PAGE_BYTES
        commands: list[Command] = [("SMEMBERS", logs_key(self._event)), ("HLEN", mine), ("HSTRLEN", mine, last)]
        for name in names:
            first = self._read[name] // PAGE_BYTES
            commands.append(("HMGET", log_key(self._event, name), *range(first, first + pages)))
        replies = await self._link.send(commands)
        return replies[:3], replies[3:]

    def _notice_loss(
        self, members: set[str], held_pages: int, held_bytes: int, everybody: Callable[[], Iterable[Passage]]
    ) -> None:
        """Begin a new log if Redis has lost something."""
        sent_pages = -(-self._sent // PAGE_BYTES)
        whole = held_pages >= sent_pages and (sent_pages - 1) * PAGE_BYTES + held_bytes >= self._sent
        mine = not self._sent or (self._name in members and whole)
        # Who begins a new log takes the old one away: it is not lost.
        alive = {incarnation_of(member) for member in members}
        gone = [name for name in self._read if name not in members]
        for name in gone:
            del self._read[name]
        if mine and all(incarnation_of(name) in alive for name in gone):
            return
        self._generation += 1
        self._log, self._sent = bytearray(), 0
        self._shown = {}
        self.add(everybody())

    def _read_on(self, name: str, pages: list[bytes | None]) -> list[Passage]:
        """Return the scans in pages that were not read yet; the first page is the one that was being read."""
        heard: list[Passage] = []
        for page in pages:
            if page is None or name not in self._read:
                break
            fresh = page[self._read[name] % PAGE_BYTES :]
            whole = len(fresh) - len(fresh) % SCAN.size
            heard += SCAN.iter_unpack(fresh[:whole])
            self._read[name] += whole
            if len(page) < PAGE_BYTES:
                break
        return heard

    async def _send(self) -> None:
        if self._sent == len(self._log):
            return
        first = self._sent // PAGE_BYTES
        until = min(len(self._log), (first + PAGES_AT_ONCE) * PAGE_BYTES)
        fields: list[str | bytes | int] = []
        for number in range(first, -(-until // PAGE_BYTES)):
            fields += [number, bytes(self._log[number * PAGE_BYTES : min((number + 1) * PAGE_BYTES, until)])]
        mine, logs = log_key(self._event, self._name), logs_key(self._event)
        commands: list[Command] = [
            ("HSET", mine, *fields),
            ("EXPIRE", mine, LOG_TTL_S),
            ("SADD", logs, self._name),
            ("EXPIRE", logs, LOG_TTL_S),
        ]
        if self._generation:
            before = f"{self._incarnation}-{self._generation - 1}"
            commands += [("SREM", logs, before), ("DEL", log_key(self._event, before))]
        # A crash here, or an answer that is not waited for: the same pages are sent again.
        await self._link.send(commands)
        self._sent = until


def incarnation_of(name: str) -> str:
    """Return whose log has a name."""
    return name.rpartition("-")[0]
