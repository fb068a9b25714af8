"""The event file: when the event is, and the keys of its issuers."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from counters.event import Event, Issuer
from counters.issuer_keys import algorithm_of
from gateway.doctor.finding import Finding, fail, ok, warn
from gateway.quantity import quantity

FAR_S: Final = 30 * 86_400
"""An event a month away is more often a slip in its dates than a plan."""
ROOMS: Final = 100
"""Sessions watched in one minute that its leaf bears for certain: an entry of the log has at most 65,535 bytes."""
DAY_S: Final = 86_400
HOUR_S: Final = 3_600


def times(event: Event, now: float) -> Finding:
    """Judge when the event is, at `now` (unix seconds)."""
    if event.simulated:
        return warn("event", f"{event.id} has a SIMULATED clock: nothing that it says is about real people",
                    "Take [simulation] out of the event file before the real event.")  # fmt: skip
    starts = min(session.starts_at for session in event.sessions)
    ends = max(session.ends_at for session in event.sessions)
    span = (
        f"{event.id}, {quantity(len(event.sessions), 'session')} from {_short(starts, event)} to {_short(ends, event)}"
    )
    until_s, since_s = starts.timestamp() - now, now - ends.timestamp()
    if now > event.late_until.timestamp():
        return warn("event", f"{span}: it is over, and late evidence is counted no more", "Certify it, if not done.")
    if since_s > 0:
        return warn(
            "event", f"{span}: it is over since {_long(since_s)}", "See that the dates are those of your event."
        )
    if until_s > FAR_S:
        return warn("event", f"{span}: it begins in {_long(until_s)}", "See that year and month are right.")
    if until_s > 0:
        return ok("event", f"{span}: it begins in {_long(until_s)}")
    return ok("event", f"{span}: it is on")


def rooms(event: Event) -> Iterator[Finding]:
    """Judge how many sessions are on in one minute, where they may be too many."""
    on = Counter(window for session in event.sessions for window in event.session_windows(session))
    if max(on.values()) > ROOMS:
        yield fail(
            "sessions at once",
            f"{max(on.values())} sessions are on in one minute; a leaf of the log has room for some {ROOMS}, and a "
            "minute without a leaf is not counted",
            "Let small sessions that are on together share one, or count them as an event of their own.",
        )


def rest_s(event: Event, now: float) -> float:
    """Return for how many seconds of the clock minutes to come a session is scheduled; of a simulated event, of all."""
    return 60.0 * sum(event.simulated or window + 60 > now for window in event.scheduled_windows())


def issuers(event: Event, *, for_players: bool) -> Iterator[Finding]:
    """Judge each issuer's keys; `for_players`: not on a machine where everything is only tried out."""
    for issuer in event.issuers:
        yield _issuer(issuer, for_players=for_players)


def _issuer(issuer: Issuer, *, for_players: bool) -> Finding:
    check = f"issuer {issuer.id}"
    used = [algorithm_of({name: str(value) for name, value in key.items()}) for key in issuer.keys]
    if not issuer.keys:
        return fail(check, "it has no key", "Save its JWK set to the file that `jwks` names (docs/event-file.md).")
    said = f"{quantity(len(used), 'key')}: {', '.join(used)}"
    if issuer.development and for_players:
        return warn(check, f"{said}. It is a development issuer, whose tickets vouch for nobody",
                    "Put the issuer of the real tickets into the event file.")  # fmt: skip
    unused = [algorithm for algorithm in issuer.algorithms if algorithm not in used]
    nameless = sum("kid" not in key for key in issuer.keys)
    if nameless and len(used) > 1:
        return warn(check, f"{said}, {nameless} of them without a kid: each join tries several",
                    "Ask the issuer for keys with a kid.")  # fmt: skip
    return ok(check, said + (f"; none for {', '.join(unused)}" if unused else ""))


def _short(time: datetime, event: Event) -> str:
    return time.astimezone(event.zone).strftime("%Y-%m-%d %H:%M")


def _long(seconds: float) -> str:
    if seconds >= 2 * DAY_S:
        return f"{seconds / DAY_S:.0f} days"
    return f"{seconds / HOUR_S:.0f} hours" if seconds >= 2 * HOUR_S else f"{seconds / 60:.0f} minutes"
