"""What a gateway knows of its metrics at one moment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from metrics import catalogue
from metrics.catalogue import Metric, Process
from metrics.readings import WHOLE_EVENT, Durations, Identity, Reading, of_sessions


@dataclass(frozen=True, slots=True)
class PlaceVitals:
    """How the worker at one place is; None where nobody has the place now, or nothing was said for too long."""

    starts: int  # of all that ever had the place
    cpu_s: float  # of all that ever had the place
    silence_s: float | None = None
    lag_s: float | None = None
    connections: int | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class GatewaySnapshot:
    """One gateway at one moment, summed over its workers.

    Counters never fall, not even when a worker is replaced. `requests` are by route and status, `request_durations` by
    route, `places` by the worker's place, `heartbeats`, `joins`, `checkins` and `handovers` by outcome. Mappings by
    session use the session's id, and "" for the whole event; `live_attendees` are by session and channel. None means
    not known yet; the metric then has no sample.
    """

    process: ClassVar[Process] = Process.GATEWAY

    identity: Identity
    requests: Mapping[tuple[str, str], float]
    request_durations: Mapping[str, Durations]
    workers: int
    workers_wanted: int
    places: Mapping[str, PlaceVitals]
    heartbeats: Mapping[str, int]
    heartbeat_durations: Durations
    joins: Mapping[str, int]
    join_durations: Durations
    joins_waiting: int
    checkins: Mapping[str, int]
    leaves: int
    handed_over_connections: int
    handed_over_heartbeats: int
    heads_read: int
    live_attendees: Mapping[tuple[str, str], int]
    live_views: Mapping[str, int]
    live_uniques: Mapping[str, int]
    interval_s: int
    revoked: int
    live_span_s: float
    live_age_s: float | None
    live_stale: bool
    redis_flush: Durations
    redis_flush_bytes: int
    sketches_sent: int
    redis_flush_failures: int
    registry_failures: int
    seats_leased: int
    seats_used: int
    clock_offset_s: float | None
    spool_bytes: int
    spool_oldest_s: float
    spool_disk_free_bytes: int | None
    handovers: Mapping[str, int]
    handover_durations: Durations

    def readings(self) -> Iterator[tuple[Metric, Reading]]:
        """Yield what is known of every metric of a gateway."""
        yield from self.identity.readings()
        yield catalogue.HTTP_REQUESTS, self.requests
        yield catalogue.HTTP_DURATION, self.request_durations
        yield catalogue.WORKERS, self.workers
        yield catalogue.WORKERS_WANTED, self.workers_wanted
        yield catalogue.WORKER_STARTS, {place: vitals.starts for place, vitals in self.places.items()}
        yield catalogue.WORKER_SILENCE, {place: vitals.silence_s for place, vitals in self.places.items()}
        yield catalogue.WORKER_LAG, {place: vitals.lag_s for place, vitals in self.places.items()}
        yield catalogue.WORKER_CONNECTIONS, {place: vitals.connections for place, vitals in self.places.items()}
        yield catalogue.WORKER_MEMORY, {place: vitals.memory_bytes for place, vitals in self.places.items()}
        yield catalogue.WORKER_CPU, {place: vitals.cpu_s for place, vitals in self.places.items()}
        yield catalogue.HEARTBEATS, self.heartbeats
        yield catalogue.HEARTBEAT_DURATION, self.heartbeat_durations
        yield catalogue.JOINS, self.joins
        yield catalogue.JOIN_DURATION, self.join_durations
        yield catalogue.JOINS_WAITING, self.joins_waiting
        yield catalogue.CHECKINS, self.checkins
        yield catalogue.LEAVES, self.leaves
        yield catalogue.DOOR_HANDED_OVER_CONNECTIONS, self.handed_over_connections
        yield catalogue.DOOR_HANDED_OVER_HEARTBEATS, self.handed_over_heartbeats
        yield catalogue.DOOR_HEADS_READ, self.heads_read
        yield (
            catalogue.LIVE_ATTENDEES,
            {of: people for of, people in self.live_attendees.items() if of[0] != WHOLE_EVENT},
        )
        yield catalogue.LIVE_VIEWS, _online(self.live_views)
        yield catalogue.LIVE_UNIQUE_ATTENDEES, of_sessions(self.live_uniques)
        yield catalogue.LIVE_EVENT_ATTENDEES, _of_event(self.live_attendees)
        yield catalogue.LIVE_EVENT_VIEWS, self.live_views.get(WHOLE_EVENT)
        yield catalogue.LIVE_EVENT_UNIQUE_ATTENDEES, self.live_uniques.get(WHOLE_EVENT)
        yield catalogue.LIVE_SPAN, self.live_span_s
        yield catalogue.HEARTBEAT_INTERVAL, self.interval_s
        yield catalogue.REVOKED, self.revoked
        yield catalogue.LIVE_AGE, self.live_age_s
        yield catalogue.LIVE_STALE, int(self.live_stale)
        yield catalogue.REDIS_FLUSH, self.redis_flush
        yield catalogue.REDIS_FLUSH_BYTES, self.redis_flush_bytes
        yield catalogue.SKETCHES_SENT, self.sketches_sent
        yield catalogue.REDIS_FLUSH_FAILURES, self.redis_flush_failures
        yield catalogue.REGISTRY_FAILURES, self.registry_failures
        yield catalogue.SEATS_LEASED, self.seats_leased
        yield catalogue.SEATS_USED, self.seats_used
        yield catalogue.CLOCK_OFFSET, self.clock_offset_s
        yield catalogue.SPOOL, self.spool_bytes
        yield catalogue.SPOOL_OLDEST, self.spool_oldest_s
        yield catalogue.SPOOL_DISK_FREE, self.spool_disk_free_bytes
        yield catalogue.HANDOVERS, self.handovers
        yield catalogue.HANDOVER_DURATION, self.handover_durations


def _of_event(by_session_and_channel: Mapping[tuple[str, str], int]) -> dict[str, float | None]:
    """Return the whole event's numbers by channel."""
    return {channel: people for (session, channel), people in by_session_and_channel.items() if session == WHOLE_EVENT}


def _online(by_session: Mapping[str, int]) -> dict[tuple[str, str], float]:
    """Return the sessions' numbers by session and channel: only players have views."""
    return {(session, "online"): number for session, number in by_session.items() if session != WHOLE_EVENT}
