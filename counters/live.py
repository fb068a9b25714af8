"""Live counts: sketches go to Redis, live estimates come back.

Keys; what stands in braces decides the slot in a Redis Cluster, so every command here stays within one slot:

    turnout:{<event>:<session>}:b:<bucket, unix s>:attendees   one 10 s bucket, expires after 15 minutes
    turnout:{<event>:<session>}:b:<bucket, unix s>:views
    turnout:{<event>:<session>:<shard>}:d:<day>:attendees      the day's uniques: 4 shards a session, 16 for the event
    turnout:{<same>}:tmp:<incarnation>:<rest of the key>       a sketch on its way, expires after 20 seconds
    turnout:{canary}:<incarnation>                             is gone when Redis has forgotten what it was sent
    turnout:{canary:<number>}:<incarnation>                    in a Redis Cluster one on each master

Session number 0 is the whole event. Every value but a canary is a dense HyperLogLog (counters.hyperloglog). Who is on
site has keys of its own (counters.shared_scans), of which a session's sketch is in the slot of its buckets.

A sketch is merged by SET of the temporary key, PFMERGE into the key, EXPIRE. Merging twice, late or in another order
gives the same result, so a pipeline that failed half-way is simply sent again.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Self

from counters import hyperloglog
from counters.announcements import Announcements
from counters.event import Event
from counters.hyperloglog import Registers
from counters.live_counts import WHOLE_EVENT, LiveCounts, LiveRow, live_buckets, seen_within_s
from counters.redis_address import open_link
from counters.redis_link import CANARY_TAG, Command, Refusal, ServerFacts, Shard, read_facts
from counters.uniques import EVENT_SHARDS, SESSION_SHARDS

TIMEOUT_S: Final = 1.0
"""Live numbers are made every second: an answer that takes longer has been overtaken."""
BUCKET_TTL_S: Final = 15 * 60
"""Real seconds. Far more than any interval needs; charts of the last minutes can still be drawn after a restart."""
UNIQUES_TTL_S: Final = 7 * 24 * 3600
"""Real seconds. A day's uniques stay for the rest of the event."""
KEEP_S: Final = 120.0
"""How long a sketch is kept after it was last handed in, to be sent again to a Redis that comes back empty."""
TEMPORARY_TTL_S: Final = 20
"""Longer than any pipeline that is still going to be waited for; short, because each takes 12 KB of Redis' memory."""
CHUNK_SKETCHES: Final = 64
"""Sketches in one pipeline: 0.8 MB and, at some 0.1 ms each, 6 to 12 ms of Redis' time: nobody else waits long."""

Sketch = Literal["attendees", "views"]


class LiveUnavailableError(Exception):
    """The live Redis did not do what it was asked; the text says why."""


class RegistryUnavailableError(Exception):
    """The seat registry did not do what it was asked; the text says why. Joins go on without it."""


# --- Names ------------------------------------------------------------------------------------------------------------


def bucket_key(event: str, session: int, bucket: int, sketch: Sketch) -> str:
    """Return the key of one 10 s bucket; `bucket` is its start in unix seconds."""
    return f"turnout:{{{event}:{session}}}:b:{bucket}:{sketch}"


def uniques_key(event: str, session: int, shard: int, day: str) -> str:
    """Return the key of one shard of a day's unique attendees."""
    return f"turnout:{{{event}:{session}:{shard}}}:d:{day}:attendees"


def room_key(event: str, session: int) -> str:
    """Return the key of the sketch of who is on site in a session now; session 0: at the event."""
    return f"turnout:{{{event}:{session}}}:onsite"


def canary_key(incarnation: str, tag: str = CANARY_TAG) -> str:
    """Return the key that a sender misses when Redis has lost its sketches. Each has its own: none sees another's."""
    return f"turnout:{{{tag}}}:{incarnation}"


def shards_of(session: int) -> int:
    """Return how many shards a session's uniques have (session 0: the event's)."""
    return EVENT_SHARDS if session == WHOLE_EVENT else SESSION_SHARDS


def _temporary_key(key: str, incarnation: str) -> str:
    # A name for each key: after a time-out two connections of ours may be at work, and must not share one.
    tag, _, rest = key.partition("}")
    return f"{tag}}}:tmp:{incarnation}{rest}"


# --- The server -------------------------------------------------------------------------------------------------------


async def server_facts(url: str, timeout_s: float = TIMEOUT_S) -> ServerFacts:
    """Return which server is behind a URL.

    Raises:
        LiveUnavailableError: nobody answers there.
    """
    link = open_link(url, timeout_s, LiveUnavailableError)
    try:
        return await link.server_facts()
    finally:
        await link.close()


# --- Sketches out -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Kept:
    """A sketch as it is in Redis, or should be. Owned by its SketchStore."""

    registers: Registers
    ttl_s: int
    until: float  # on the store's clock
    pending: bool  # not known to be in the present Redis


class SketchStore:
    """Merges sketches into Redis. It owns what it sent lately, and sends it again when the server is another one."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Prepare a store; `timeout_s` is for one pipeline of 64 sketches.

        Raises:
            ValueError: no URL of a Redis (counters.redis_address).
        """
        self._link = open_link(url, timeout_s, LiveUnavailableError)
        self._monotonic = monotonic
        self._kept: dict[str, _Kept] = {}
        self._run_ids: dict[str, str] = {}  # by name of the shard; only of those that answered last
        self._lock = asyncio.Lock()
        self.sent, self.sent_bytes = 0, 0
        """How many sketches were sent so far, and what they were in bytes; those that were refused are in it."""

    async def merge(
        self, batch: Mapping[str, Registers | bytes], ttl_s: int, incarnation: str, keep_s: float = KEEP_S
    ) -> int:
        """Merge sketches into their keys, and whatever earlier calls could not; return how many were sent.

        Sketches that hold nothing new are not sent. An empty batch is worth a call each second: it notices a Redis
        that has been replaced or flushed (`INFO server` and one GET), and sends again what was handed in within the
        last `keep_s`.

        Args:
            batch: key → registers, or the bytes of a Redis key. They are copied.
            ttl_s: how long Redis keeps these keys after the last change, in seconds.
            incarnation: names the sender in temporary keys.
            keep_s: how long to remember these sketches. For those that grow all day, the rest of the day.

        Raises:
            LiveUnavailableError: something was not stored; it is remembered and sent with the next call.
            SketchError: a value is no sketch; nothing of the batch was taken in.
        """
        async with self._lock:
            self._take_in(batch, ttl_s, self._monotonic() + keep_s)
            away = await self._notice_loss(incarnation)
            pending = [key for key, kept in self._kept.items() if kept.pending]
            # What a shard that is away would hold is not tried: each pipeline would wait for it.
            sent = [key for key in pending if self._link.shard_of(key) in self._run_ids]
            refused: list[Refusal] = []
            for start in range(0, len(sent), CHUNK_SKETCHES):
                refused += await self._send(sent[start : start + CHUNK_SKETCHES], incarnation)
            if refused:
                raise LiveUnavailableError(
                    f"Redis refused {len(refused)} of {len(pending)} sketches: {refused[0].text}"
                )
            if away:
                raise LiveUnavailableError(f"{len(away)} of the cluster's masters are away: {away[0]}")
            if len(sent) < len(pending):
                raise LiveUnavailableError("no master of the cluster holds some of the slots")
            return len(pending)

    async def keep(self, batch: Mapping[str, Registers | bytes], ttl_s: int, keep_s: float = KEEP_S) -> None:
        """Take sketches in, to be sent with the next `merge`, whose arguments these are.

        Raises:
            SketchError: a value is no sketch; nothing of the batch was taken in.
        """
        async with self._lock:
            self._take_in(batch, ttl_s, self._monotonic() + keep_s)

    async def server_facts(self) -> ServerFacts:
        """Return which server answers.

        Raises:
            LiveUnavailableError: none does.
        """
        return await self._link.server_facts()

    async def close(self) -> None:
        """Close the connections."""
        await self._link.close()

    def _take_in(self, batch: Mapping[str, Registers | bytes], ttl_s: int, until: float) -> None:
        now = self._monotonic()
        self._kept = {key: kept for key, kept in self._kept.items() if kept.until >= now}
        unions = {}
        for key, sketch in batch.items():
            registers = hyperloglog.from_redis(sketch) if isinstance(sketch, bytes) else sketch
            known = self._kept.get(key)
            unions[key] = hyperloglog.merge([registers] if known is None else [known.registers, registers])
        for key, union in unions.items():
            known = self._kept.get(key)
            if known is None:
                self._kept[key] = _Kept(union, ttl_s, until, pending=bool(union.any()))
            else:
                known.pending |= not (union == known.registers).all()
                known.registers, known.ttl_s, known.until = union, ttl_s, max(until, known.until)

    async def _notice_loss(self, incarnation: str) -> list[str]:
        """Find out whether every shard still has what it was sent; what one has lost is to be sent again.

        The run id tells a restart, and a replica that took over without the last second; in a cluster the replica has
        another name as well. A FLUSHALL neither tells: that takes the canary.

        Returns:
            why shards did not answer, if not all of them failed to.
        """
        shards = await self._link.shards()
        found = await asyncio.gather(*(self._ask_shard(shard, incarnation) for shard in shards), return_exceptions=True)
        away = [str(answer) for answer in found if isinstance(answer, BaseException)]
        for answer in found:
            if isinstance(answer, BaseException) and (not isinstance(answer, LiveUnavailableError) or len(shards) == 1):
                raise answer
        # One that does not answer is forgotten: it may come back with less than it had.
        self._run_ids = {
            shard.name: answer for shard, answer in zip(shards, found, strict=True) if isinstance(answer, str)
        }
        return away

    async def _ask_shard(self, shard: Shard, incarnation: str) -> str:
        """Return the run id of a shard; if it is another than it was, all that it holds is to be sent again."""
        canary = canary_key(incarnation, shard.tag)
        info, sings = await shard.link.send([("INFO", "server"), ("GET", canary)])
        run_id = read_facts(info).run_id
        if run_id != self._run_ids.get(shard.name) or sings is None:
            # Before the sketches: should these be lost while they are being sent, so is the canary.
            await shard.link.send([("SET", canary, run_id, "EX", UNIQUES_TTL_S)])
            for key, kept in self._kept.items():
                if self._link.shard_of(key) == shard.name:
                    kept.pending = bool(kept.registers.any())
        return run_id

    async def _send(self, keys: Sequence[str], incarnation: str) -> list[Refusal]:
        commands: list[Command] = []
        for key in keys:
            temporary = _temporary_key(key, incarnation)
            dense = hyperloglog.to_dense(self._kept[key].registers)
            self.sent_bytes += len(dense)
            commands += [
                ("SET", temporary, dense, "EX", TEMPORARY_TTL_S),
                ("PFMERGE", key, temporary),
                ("EXPIRE", key, self._kept[key].ttl_s),
            ]
        self.sent += len(keys)
        replies = await self._link.run(commands)
        refused = []
        for key, *of_key in zip(keys, replies[0::3], replies[1::3], replies[2::3], strict=True):
            errors = [reply for reply in of_key if isinstance(reply, Refusal)]
            refused += errors[:1]
            self._kept[key].pending = bool(errors)
        return refused


# --- Live counts in ---------------------------------------------------------------------------------------------------


class LivePoller:
    """Reads live counts from Redis. It owns the last answer, which it keeps giving, marked, while Redis is away."""

    def __init__(self, url: str, event: Event, timeout_s: float = TIMEOUT_S) -> None:
        """Prepare a poller for all sessions of `event`.

        Raises:
            ValueError: no URL of a Redis (counters.redis_address).
        """
        self._link = open_link(url, timeout_s, LiveUnavailableError)
        self._event = event
        self._sessions = (WHOLE_EVENT, *(session.number for session in event.sessions))
        gates = tuple(session.number for session in event.sessions if session.gates)
        self._rooms = (WHOLE_EVENT, *gates) if gates else ()
        self.announcements = Announcements.of(event.interval_s)
        """What players are told; whoever steers puts the newer one here."""
        self.last = LiveCounts(None, "", seen_within_s(event.interval_s), (), "not polled yet")

    async def poll(self, now_unix: float, withheld: str = "") -> LiveCounts:
        """Return the counts at `now_unix` (the event's clock), or the last ones with the failure that keeps them.

        `withheld` says why Redis has not been sent what is newest: what it holds would be an old count under a new
        date, as with a Redis that is full and still answers.
        """
        if withheld:
            self.last = replace(self.last, failure=withheld)
            return self.last
        interval_s = self.announcements.longest_s(now_unix)
        day = self._event.day(now_unix)
        buckets = live_buckets(now_unix, interval_s)
        try:
            replies = iter(await self._link.send(self._questions(buckets, day)))
            rows = [
                LiveRow(session, next(replies), next(replies), tuple(next(replies) for _ in range(shards_of(session))))
                for session in self._sessions
            ]
            if self._rooms:
                rows = await self._with_rooms(rows, buckets)
            self.last = LiveCounts(now_unix, day, seen_within_s(interval_s), tuple(rows))
        except LiveUnavailableError as unavailable:
            self.last = replace(self.last, failure=str(unavailable))
        return self.last

    async def _with_rooms(self, rows: Sequence[LiveRow], buckets: Sequence[int]) -> list[LiveRow]:
        """Return the rows with who is on site; together with who is online only where somebody is."""
        event = self._event.id
        people = await self._link.send([("PFCOUNT", room_key(event, session)) for session in self._rooms])
        onsite = dict(zip(self._rooms, people, strict=True))
        occupied = [session for session, inside in onsite.items() if inside]
        unions: list[Command] = []
        for session in occupied:
            online = (bucket_key(event, session, bucket, "attendees") for bucket in buckets)
            unions.append(("PFCOUNT", room_key(event, session), *online))
        either = dict(zip(occupied, await self._link.send(unions) if unions else (), strict=True))
        return [replace(row, onsite=onsite.get(row.session), either=either.get(row.session)) for row in rows]

    async def close(self) -> None:
        """Close the connections."""
        await self._link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _questions(self, buckets: Sequence[int], day: str) -> list[Command]:
        event, questions = self._event.id, list[Command]()
        sketches: tuple[Sketch, ...] = ("attendees", "views")
        for session in self._sessions:
            for sketch in sketches:
                questions.append(("PFCOUNT", *(bucket_key(event, session, bucket, sketch) for bucket in buckets)))
            for shard in range(shards_of(session)):
                questions.append(("PFCOUNT", uniques_key(event, session, shard, day)))
        return questions
