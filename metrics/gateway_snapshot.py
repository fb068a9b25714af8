"""What a gateway knows of its metrics at one moment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from metrics import catalogue
from metrics.catalogue import Metric, Process
from metrics.readings import WHOLE_EVENT, Durations, Identity, Reading


@dataclass(frozen=True, slots=True)
class GatewaySnapshot:
    """One gateway at one moment, summed over its workers.

    The counters (`heartbeats`, `joins`, `checkins` and `handovers` by outcome, `leaves`, what the door handed over or
    had to read, `redis_flush`, `redis_flush_failures`, `registry_failures`) never fall, not even when a worker is
    replaced. Mappings by session use the session's id, and "" for the whole event. None means not known yet; the
    metric then has no sample.
    """

    process: ClassVar[Process] = Process.GATEWAY

    identity: Identity
    workers: int
    heartbeats: Mapping[str, int]
    joins: Mapping[str, int]
    checkins: Mapping[str, int]
    leaves: int
    handed_over_connections: int
    handed_over_heartbeats: int
    heads_read: int
    live_attendees: Mapping[str, int]
    live_views: Mapping[str, int]
    interval_s: int
    revoked: int
    live_span_s: float
    live_age_s: float | None
    live_stale: bool
    redis_flush: Durations
    redis_flush_failures: int
    registry_failures: int
    seats_leased: int
    clock_offset_s: float | None
    spool_bytes: int
    spool_oldest_s: float
    handovers: Mapping[str, int]

    def readings(self) -> Iterator[tuple[Metric, Reading]]:
        """Yield what is known of every metric of a gateway."""
        yield from self.identity.readings()
        yield catalogue.HTTP_REQUESTS, None
        yield catalogue.HTTP_DURATION, None
        yield catalogue.WORKERS, self.workers
        yield catalogue.WORKERS_WANTED, None
        yield catalogue.WORKER_STARTS, None
        yield catalogue.WORKER_SILENCE, None
        yield catalogue.WORKER_LAG, None
        yield catalogue.WORKER_CONNECTIONS, None
        yield catalogue.WORKER_MEMORY, None
        yield catalogue.WORKER_CPU, None
        yield catalogue.HEARTBEATS, self.heartbeats
        yield catalogue.HEARTBEAT_DURATION, None
        yield catalogue.JOINS, self.joins
        yield catalogue.JOIN_DURATION, None
        yield catalogue.JOINS_WAITING, None
        yield catalogue.CHECKINS, self.checkins
        yield catalogue.LEAVES, self.leaves
        yield catalogue.DOOR_HANDED_OVER_CONNECTIONS, self.handed_over_connections
        yield catalogue.DOOR_HANDED_OVER_HEARTBEATS, self.handed_over_heartbeats
        yield catalogue.DOOR_HEADS_READ, self.heads_read
        yield catalogue.LIVE_ATTENDEES, _online(self.live_attendees)
        yield catalogue.LIVE_VIEWS, _online(self.live_views)
        yield catalogue.LIVE_UNIQUE_ATTENDEES, None
        yield catalogue.LIVE_EVENT_ATTENDEES, self.live_attendees.get(WHOLE_EVENT)
        yield catalogue.LIVE_EVENT_VIEWS, self.live_views.get(WHOLE_EVENT)
        yield catalogue.LIVE_EVENT_UNIQUE_ATTENDEES, None
        yield catalogue.LIVE_SPAN, self.live_span_s
        yield catalogue.HEARTBEAT_INTERVAL, self.interval_s
        yield catalogue.REVOKED, self.revoked
        yield catalogue.LIVE_AGE, self.live_age_s
        yield catalogue.LIVE_STALE, int(self.live_stale)
        yield catalogue.REDIS_FLUSH, self.redis_flush
        yield catalogue.REDIS_FLUSH_BYTES, None
        yield catalogue.SKETCHES_SENT, None
        yield catalogue.REDIS_FLUSH_FAILURES, self.redis_flush_failures
        yield catalogue.REGISTRY_FAILURES, self.registry_failures
        yield catalogue.SEATS_LEASED, self.seats_leased
        yield catalogue.SEATS_USED, None
        yield catalogue.CLOCK_OFFSET, self.clock_offset_s
        yield catalogue.SPOOL, self.spool_bytes
        yield catalogue.SPOOL_OLDEST, self.spool_oldest_s
        yield catalogue.SPOOL_DISK_FREE, None
        yield catalogue.HANDOVERS, self.handovers
        yield catalogue.HANDOVER_DURATION, None


def _online(by_session: Mapping[str, int]) -> dict[tuple[str, str], float]:
    """Return the sessions' numbers by session and channel: only players have sketches."""
    return {(session, "online"): number for session, number in by_session.items() if session != WHOLE_EVENT}
