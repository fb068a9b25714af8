"""Event: the audience, for organisers and the control room. Its first screen is to be read from three metres."""

from dataclasses import replace
from typing import Final

from metrics import queries as q
from metrics import thresholds as t
from metrics.dashboards.panel import (
    AUDIENCE,
    EVENT,
    NEUTRAL,
    PROCESSES,
    Colour,
    Dashboard,
    Panel,
    Row,
    Series,
    Shape,
    Unit,
    Word,
    high_is_bad,
)

REALITY: Final = Panel(
    title="Is what this shows real?",
    says="SIMULATED: the event runs on a simulated clock, a rehearsal or a demo, and no number here is about real "
    "people. REAL: on the clock of the world.",
    shape=Shape.NUMBER,
    series=(Series(q.SIMULATED, "{{event}}"),),
    unit=Unit.EXACT,
    width=8,
    height=4,
    words=(Word(0, "REAL", Colour.GOOD), Word(1, "SIMULATED", Colour.BAD)),
    loud=True,
)

_NOW: Final = Row(
    "Now",
    (
        replace(REALITY, width=6),
        Panel(
            title="How old are the live numbers?",
            says="Seconds since the live estimates were read from Redis. Above a few seconds the large numbers below "
            "are of the past; counting for the certificate goes on all the same.",
            shape=Shape.NUMBER,
            series=(Series(q.LIVE_AGE, "age"),),
            unit=Unit.SECONDS,
            width=6,
            height=4,
            thresholds=high_is_bad(t.LIVE_AGE_WARN_S, t.LIVE_AGE_BAD_S),
            loud=True,
        ),
        Panel(
            title="Are minutes being sealed in time?",
            says="Minutes that ended more than ten seconds ago and have no leaf in the log yet. None in a healthy "
            "event; otherwise see the dashboard Ledger and witnesses.",
            shape=Shape.NUMBER,
            series=(Series(q.WINDOWS_OVERDUE, "overdue"),),
            unit=Unit.EXACT,
            width=6,
            height=4,
            thresholds=high_is_bad(bad=1),
            loud=True,
        ),
        Panel(
            title="Does an alert fire?",
            says="Alerts that fire now, of all events that this Prometheus watches. Each has a section in the "
            "runbooks that says what to do in the next five minutes.",
            shape=Shape.NUMBER,
            series=(Series(q.ALERTS_FIRING, "firing"),),
            unit=Unit.EXACT,
            width=6,
            height=4,
            thresholds=high_is_bad(bad=1),
            loud=True,
        ),
        Panel(
            title="How many people are watching now?",
            says="Estimate of the attendees seen online in the last minute or so, each once however many sessions or "
            "devices (HyperLogLog, standard error about 0.8 %).",
            shape=Shape.NUMBER,
            series=(Series(q.LIVE_ATTENDEES, "watching"),),
            unit=Unit.EXACT,
            width=8,
            height=9,
            thresholds=AUDIENCE,
        ),
        Panel(
            title="How many were there in the last sealed minute, exactly?",
            says="Attendees, online and on site, in the newest minute that is in the log: counted, not estimated, and "
            "what a certificate is made of. Absent where so few came that the log withholds the number.",
            shape=Shape.NUMBER,
            series=(Series(q.WINDOW_ATTENDEES, "there"),),
            unit=Unit.EXACT,
            width=8,
            height=9,
            thresholds=AUDIENCE,
        ),
        Panel(
            title="How many have come today?",
            says="Estimate of the attendees who joined online on the event's present day, each once. It only grows.",
            shape=Shape.NUMBER,
            series=(Series(q.LIVE_UNIQUE, "today"),),
            unit=Unit.EXACT,
            width=8,
            height=9,
            thresholds=AUDIENCE,
        ),
    ),
)

_OVER_TIME: Final = Row(
    "Over time",
    (
        Panel(
            title="How has the audience moved?",
            says="People watching by the live estimate, playback sessions (views) of all devices, and the exact "
            "number of the newest sealed minute, which follows a minute behind.",
            shape=Shape.LINES,
            series=(
                Series(q.LIVE_ATTENDEES, "people, estimated"),
                Series(q.LIVE_VIEWS, "views, estimated"),
                Series(q.WINDOW_ATTENDEES, "people in the sealed minute, exact"),
            ),
            unit=Unit.COUNT,
            width=16,
            height=10,
        ),
        Panel(
            title="What was the most at once, in the time shown?",
            says="The largest live estimate and the largest exact minute within the time range at the top right.",
            shape=Shape.NUMBER,
            series=(
                Series(q.LIVE_ATTENDEES_PEAK, "estimated"),
                Series(q.WINDOW_ATTENDEES_PEAK, "exact"),
            ),
            unit=Unit.EXACT,
            width=8,
            height=5,
            thresholds=AUDIENCE,
        ),
        Panel(
            title="How many came online, how many on site?",
            says="By channel; `either` counts who was both only once. Live estimates (online: heard in the last minute "
            "or so; onsite: scanned in and not out, until the session ends), and the newest sealed minute, exact.",
            shape=Shape.LINES,
            series=(
                Series(q.LIVE_ATTENDEES_BY_CHANNEL, "{{channel}}, estimated"),
                Series(q.WINDOW_ATTENDEES_BY_CHANNEL, "{{channel}}, exact"),
            ),
            unit=Unit.COUNT,
            width=8,
            height=5,
        ),
    ),
)

_WHERE: Final = Row(
    "Where they are",
    (
        Panel(
            title="Which session has how many people now?",
            says="Live estimates: who is online by session, and who is in its room. Who watches two sessions is in "
            "both bars: they do not add up to people.",
            shape=Shape.BARS,
            series=(
                Series(q.LIVE_ATTENDEES_BY_SESSION, "{{session}}, online"),
                Series(q.LIVE_ONSITE_BY_SESSION, "{{session}}, on site"),
            ),
            unit=Unit.EXACT,
            width=8,
            height=10,
            thresholds=AUDIENCE,
        ),
        Panel(
            title="How did the sessions' audiences move?",
            says="Live estimate of people online, by session.",
            shape=Shape.LINES,
            series=(Series(q.LIVE_ATTENDEES_BY_SESSION, "{{session}}"),),
            unit=Unit.COUNT,
            width=8,
            height=10,
        ),
        Panel(
            title="Which countries are people in?",
            says="Exact attendees of the newest sealed minute by the country on their ticket, the largest first. "
            "Cells of fewer than ten are withheld, and one more where a difference would tell.",
            shape=Shape.BARS,
            series=(Series(q.COUNTRIES, "{{country}}"),),
            unit=Unit.EXACT,
            width=8,
            height=10,
            thresholds=AUDIENCE,
        ),
        Panel(
            title="How many were in each session, exactly?",
            says="Exact attendees of the newest sealed minute, by session, online or on site.",
            shape=Shape.BARS,
            series=(Series(q.WINDOW_ATTENDEES_BY_SESSION, "{{session}}"),),
            unit=Unit.EXACT,
            width=12,
            height=8,
            thresholds=AUDIENCE,
        ),
        Panel(
            title="How many joined each session today?",
            says="Estimate of the attendees who joined the session on the event's present day, each once.",
            shape=Shape.BARS,
            series=(Series(q.LIVE_UNIQUE_BY_SESSION, "{{session}}"),),
            unit=Unit.EXACT,
            width=12,
            height=8,
            thresholds=AUDIENCE,
        ),
    ),
)

_DOOR: Final = Row(
    "Coming and going",
    (
        Panel(
            title="How fast do viewers come and go?",
            says="Joins accepted and views ended by their player, per second. Most viewers leave without a word: they "
            "fall silent and are missing from the audience a minute later.",
            shape=Shape.LINES,
            series=(Series(q.JOINS_ACCEPTED, "joins"), Series(q.LEAVES, "leaves")),
            unit=Unit.PER_S,
            width=8,
        ),
        Panel(
            title="Why are viewers turned away?",
            says="Joins refused per second, by reason. ticket_…: the ticket or its issuer's keys; too_many_joins: the "
            "gateway protects itself, viewers come again by themselves; ledger_unavailable, seats_exhausted: call "
            "ops.",
            shape=Shape.STACK,
            series=(Series(q.JOINS_REFUSED_WHY, "{{outcome}}"),),
            unit=Unit.PER_S,
            width=8,
        ),
        Panel(
            title="Are badges being scanned?",
            says="Badge scans per second: accepted, and refused by reason.",
            shape=Shape.STACK,
            series=(Series(q.CHECKINS_ACCEPTED, "accepted"), Series(q.CHECKINS_REFUSED_WHY, "refused: {{outcome}}")),
            unit=Unit.PER_S,
            width=8,
        ),
        Panel(
            title="How often do players report, and how far back do live numbers look?",
            says="The heartbeat interval that players are asked for, which ops lengthen to lighten the load (turnout "
            "steer), and the seconds within which somebody counts as watching now.",
            shape=Shape.NUMBER,
            series=(Series(q.HEARTBEAT_INTERVAL, "heartbeat every"), Series(q.LIVE_SPAN, "seen within")),
            unit=Unit.SECONDS,
            width=12,
            height=4,
            thresholds=NEUTRAL,
        ),
        Panel(
            title="How many viewers were turned away by the organiser?",
            says="Seats and views that are revoked now (turnout steer --revoke).",
            shape=Shape.NUMBER,
            series=(Series(q.REVOKED, "revoked"),),
            unit=Unit.EXACT,
            width=12,
            height=4,
            thresholds=NEUTRAL,
        ),
    ),
)

EVENT_DASHBOARD: Final = Dashboard(
    uid="turnout-event",
    title="Turnout: Event",
    says="Who is there now, where, and how it has been: for organisers and the control room.",
    rows=(_NOW, _OVER_TIME, _WHERE, _DOOR),
    variables=(EVENT, PROCESSES),
    refresh="5s",
    reach="now-3h",
)
