"""Live counts as values: which buckets are "now", what the poller found, and how it is printed.

Live now is the union of the current 10 s bucket and the k = ⌈1.1·I/10⌉ before it, I being the longest heartbeat
interval announced within the last 2·I seconds (counters.announcements): 30 s → k = 4 → "seen in the last 50 seconds".
The last bucket alone would hold a third of the players at best.
"""

from dataclasses import dataclass
from typing import Any, Final

from counters.event import Event
from counters.hyperloglog import standard_error
from counters.tally import BUCKET_S

WHOLE_EVENT: Final = 0
"""The session number that stands for the whole event."""
ONLINE: Final = "online"
ONSITE: Final = "onsite"
EITHER: Final = "either"
"""Online, on site or both."""
STALE_AFTER_S: Final = 5.0
"""An answer older than this is marked stale even if no failure is known: the poller itself may be stuck."""


def buckets_before(interval_s: int) -> int:
    """Return k = ⌈1.1·I/10⌉: how many buckets before the current one surely hold a player's last heartbeat."""
    return -(-11 * interval_s // (10 * BUCKET_S))


def live_buckets(now_unix: float, interval_s: int) -> range:
    """Return the starts (unix s) of the buckets whose union is live now, ascending; the last is the current one."""
    current = int(now_unix) // BUCKET_S * BUCKET_S
    return range(current - buckets_before(interval_s) * BUCKET_S, current + 1, BUCKET_S)


def seen_within_s(interval_s: int) -> int:
    """Return how far back live now looks at most, in seconds: it is labelled "seen in the last so many seconds"."""
    return (buckets_before(interval_s) + 1) * BUCKET_S


@dataclass(frozen=True, slots=True)
class LiveRow:
    """The estimates of one session."""

    session: int  # number; 0 = the whole event
    attendees: int  # live now, online
    views: int  # live now
    today: tuple[int, ...]  # attendees who joined on this day so far, one estimate a shard
    onsite: int | None = None  # attendees in the room now; None = the session has no gates
    either: int | None = None  # attendees online or on site, each once; None = nobody is on site

    def by_channel(self) -> dict[str, int]:
        """Return attendees now: either, each once; online; and on site, where there are gates."""
        either = self.attendees if self.either is None else self.either
        return {EITHER: either, ONLINE: self.attendees} | ({} if self.onsite is None else {ONSITE: self.onsite})


@dataclass(frozen=True, slots=True)
class LiveCounts:
    """One answer of the poller."""

    as_of: float | None  # unix s on the event's clock; None = there has been no answer yet
    day: str  # the local date that `today` is about
    seen_within_s: int  # "seen in the last so many seconds"
    rows: tuple[LiveRow, ...]  # the whole event, then the sessions by number; empty before the first answer
    failure: str = ""  # why there is no newer one; "" = this is the newest

    def age_s(self, now_unix: float) -> float | None:
        """Return how old the answer is, in seconds of the event's clock; None if there is none."""
        return None if self.as_of is None else max(0.0, now_unix - self.as_of)

    def stale(self, now_unix: float) -> bool:
        """Return whether this is not how things are now."""
        age_s = self.age_s(now_unix)
        return bool(self.failure) or age_s is None or age_s > STALE_AFTER_S


def live_document(event: Event, counts: LiveCounts, now_unix: float) -> dict[str, Any]:
    """Return the answer of `GET …/live`: DESIGN.md §7's numbers, with their age and how far back they look.

    `as_of` and `age_s` are null, and `numbers` is empty, as long as Redis has never answered. `age_s` is in seconds of
    the event's clock. Standard errors are relative.
    """
    as_of = None if counts.as_of is None else event.iso(counts.as_of)
    titles = {session.number: session.id for session in event.sessions}
    numbers = []
    for row in counts.rows:
        scope = {} if row.session == WHOLE_EVENT else {"session": titles[row.session]}
        for channel, people in row.by_channel().items():
            # Without a channel a number is of both.
            where = {} if channel == EITHER else {"channel": channel}
            numbers.append(_number("live-attendees", scope | where, "people", (people,), as_of))
        numbers += [
            _number("live-views", scope, "views", (row.views,), as_of),
            _number("joined-attendees", scope | {"day": counts.day}, "people", row.today, as_of),
        ]
    age_s = counts.age_s(now_unix)
    return {
        "event": event.id,
        "as_of": as_of,
        "stale": counts.stale(now_unix),
        "age_s": None if age_s is None else round(age_s, 3),
        "seen_within_s": counts.seen_within_s,
        "numbers": numbers,
    }


def _number(
    rule: str, scope: dict[str, str], unit: str, estimates: tuple[int, ...], as_of: str | None
) -> dict[str, Any]:
    value = sum(estimates)
    error = standard_error(estimates)
    return {
        "rule": rule,
        "rule_version": 1,
        "scope": scope,
        "value": value,
        "unit": unit,
        "kind": "estimate",
        "standard_error": round(error.relative, 6),
        "interval95": error.interval95(value),
        "checkable_by": "asserted",
        "as_of": as_of,
    }
