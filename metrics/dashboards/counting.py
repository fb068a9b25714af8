"""Counting: the live estimate beside the exact count, how far each lags behind, and what is missing."""

from typing import Final

from metrics import queries as q
from metrics import rule_queries
from metrics import thresholds as t
from metrics.dashboards.event import REALITY
from metrics.dashboards.panel import (
    EVENT,
    IN_FIVE_MINUTES,
    PROCESSES,
    Colour,
    Dashboard,
    Panel,
    Row,
    Series,
    Shape,
    Thresholds,
    Unit,
    Word,
    high_is_bad,
    low_is_bad,
)

_APART: Final = Thresholds(Colour.BAD, ((-t.PATHS_APART_ERRORS, Colour.GOOD), (t.PATHS_APART_ERRORS, Colour.BAD)))

_BRIEF: Final = Row(
    "In brief",
    (
        REALITY,
        Panel(
            title="Do the two paths agree?",
            says="Estimate minus exact count over the identical newest sealed window, in standard errors of the "
            "sketch. Two in three windows are within 1; more than 5 to either side in 3 windows running is an alarm.",
            shape=Shape.NUMBER,
            series=(Series(q.DIFFERENCE, "difference"),),
            unit=Unit.ERRORS,
            width=4,
            height=4,
            decimals=1,
            thresholds=_APART,
        ),
        Panel(
            title="Are the live numbers stale?",
            says="STALE while Redis cannot be reached. Heartbeats and joins go on, and nothing is lost.",
            shape=Shape.NUMBER,
            series=(Series(q.LIVE_STALE, "stale"),),
            unit=Unit.EXACT,
            width=4,
            height=4,
            words=(Word(0, "FRESH", Colour.GOOD), Word(1, "STALE", Colour.BAD)),
            loud=True,
        ),
        Panel(
            title="How many windows have a gap?",
            says="Sealed windows without some worker's evidence, or in whose schedule nobody was there to accept any. "
            "The certificate prints each with its bounds.",
            shape=Shape.NUMBER,
            series=(Series(q.WINDOWS_WITH_GAPS, "with gaps"),),
            unit=Unit.EXACT,
            width=4,
            height=4,
            thresholds=high_is_bad(warn=1),
        ),
        Panel(
            title="How old is waiting evidence?",
            says="Seconds since the end of the oldest window that a gateway has not handed over. Evidence that comes "
            "8 s after its window becomes a late leaf.",
            shape=Shape.NUMBER,
            series=(Series(q.SPOOL_OLDEST, "{{instance}}"),),
            unit=Unit.SECONDS,
            width=4,
            height=4,
            thresholds=high_is_bad(t.SPOOL_OLD_WARN_S, t.SPOOL_OLD_BAD_S),
        ),
    ),
)

_BOTH: Final = Row(
    "Sketch against exact",
    (
        Panel(
            title="How do estimate and exact count compare?",
            says="The live estimate looks back about a minute from now; the exact number is of the newest sealed "
            "clock minute. They mean different spans and need not be equal: the panel on the right compares like with "
            "like.",
            shape=Shape.LINES,
            series=(
                Series(q.LIVE_ATTENDEES, "estimate, online"),
                Series(q.WINDOW_ATTENDEES_BY_CHANNEL, "exact, {{channel}}"),
            ),
            unit=Unit.COUNT,
            width=12,
            height=9,
        ),
        Panel(
            title="How far apart are the two paths, like with like?",
            says="Estimate minus exact over the identical window, aliases applied, in standard errors, by session and "
            "for the event. Beyond the dashed lines in 3 windows running, read the runbook before the next "
            "certificate.",
            shape=Shape.LINES,
            series=(
                Series(q.DIFFERENCE, "event"),
                Series(q.DIFFERENCE_BY_SESSION, "{{session}}"),
            ),
            unit=Unit.ERRORS,
            width=12,
            height=9,
            decimals=1,
            thresholds=_APART,
            centred=True,
        ),
        Panel(
            title="How many windows were compared?",
            says="Windows whose two paths were compared within five minutes: five.",
            shape=Shape.LINES,
            series=(Series(q.WINDOWS_COMPARED, "compared", IN_FIVE_MINUTES),),
            unit=Unit.COUNT,
            width=8,
        ),
        Panel(
            title="What do the sessions' sketches say, what their bitmaps?",
            says="People online by session: live estimate and the exact number of the newest sealed window.",
            shape=Shape.LINES,
            series=(
                Series(q.LIVE_ATTENDEES_BY_SESSION, "estimate, {{session}}"),
                Series(q.WINDOW_ONLINE_BY_SESSION, "exact, {{session}}"),
            ),
            unit=Unit.COUNT,
            width=8,
        ),
        Panel(
            title="How many views are there in each session?",
            says="Live estimate of playback sessions by session; people with two devices have two.",
            shape=Shape.LINES,
            series=(Series(q.LIVE_VIEWS_BY_SESSION, "views, {{session}}"),),
            unit=Unit.COUNT,
            width=8,
        ),
    ),
)

_REDIS: Final = Row(
    "Towards Redis: the live path",
    (
        Panel(
            title="How long does a flush to Redis take?",
            says="Merging the changed sketches into Redis, once a second: half, and 99 of 100. Longer than a second, "
            "and the next one is missed.",
            shape=Shape.LINES,
            series=(Series(q.FLUSH_P50, "50 %"), Series(q.FLUSH_P99, "99 %")),
            unit=Unit.SECONDS,
            width=8,
            thresholds=high_is_bad(bad=t.FLUSH_SLOW_S),
        ),
        Panel(
            title="How much is sent to Redis?",
            says="Bytes of sketches per second, all gateways. It grows with workers and watched sessions, not viewers.",
            shape=Shape.LINES,
            series=(Series(q.FLUSH_BYTES, "bytes"),),
            unit=Unit.BYTES_PER_S,
            width=4,
        ),
        Panel(
            title="How many sketches are sent?",
            says="Sketches per second, all gateways: only those that changed.",
            shape=Shape.LINES,
            series=(Series(q.SKETCHES_SENT, "sketches"),),
            unit=Unit.PER_S,
            width=4,
        ),
        Panel(
            title="Does Redis refuse anything?",
            says="Flushes that Redis did not take (the next one carries their sketches again), and attendees who "
            "could not be looked up in the registry and got a new seat, which an alias joins later. Both zero in "
            "health.",
            shape=Shape.LINES,
            series=(Series(q.FLUSH_FAILURES, "flushes failed"), Series(q.REGISTRY_FAILURES, "look-ups failed")),
            unit=Unit.PER_S,
            width=8,
        ),
    ),
)

_LEDGERWARDS: Final = Row(
    "Towards the ledger: the exact path",
    (
        Panel(
            title="What happens to the evidence that is handed over?",
            says="Segments within five minutes, by what the ledger said. repeated: it had it already; unreachable: "
            "gateways keep their spool and try again.",
            shape=Shape.STACK,
            series=(Series(q.HANDOVERS, "{{outcome}}", IN_FIVE_MINUTES),),
            unit=Unit.COUNT,
            width=8,
        ),
        Panel(
            title="How long does a hand-over take?",
            says="99 of 100 segments are on the ledger's disk within this time.",
            shape=Shape.LINES,
            series=(Series(q.HANDOVER_P99, "99 %", IN_FIVE_MINUTES),),
            unit=Unit.SECONDS,
            width=8,
            thresholds=high_is_bad(bad=t.HANDOVER_SLOW_S),
        ),
        Panel(
            title="How has the age of waiting evidence changed?",
            says="Seconds since the end of the oldest closed window that is not handed over, by gateway.",
            shape=Shape.LINES,
            series=(Series(q.SPOOL_OLDEST, "{{instance}}"),),
            unit=Unit.SECONDS,
            width=8,
            thresholds=high_is_bad(t.SPOOL_OLD_WARN_S, t.SPOOL_OLD_BAD_S),
        ),
        Panel(
            title="How much disk does waiting evidence take?",
            says="Spools by gateway. It grows while the ledger is away and shrinks when it is back.",
            shape=Shape.LINES,
            series=(Series(q.SPOOL, "{{instance}}"),),
            unit=Unit.BYTES,
            width=8,
        ),
        Panel(
            title="How much room is left for evidence?",
            says="On the disk of the spool, by gateway. A full disk refuses joins and heartbeats.",
            shape=Shape.LINES,
            series=(Series(q.SPOOL_DISK_FREE, "{{instance}}"),),
            unit=Unit.BYTES,
            width=8,
            thresholds=low_is_bad(t.DISK_FREE_BAD_BYTES, t.DISK_FREE_WARN_BYTES),
        ),
        Panel(
            title="How far is a gateway's clock from the ledger's?",
            says="Either way, by gateway. Above 2 s it is reported, above 30 s the gateway is not ready: its "
            "heartbeats would be in other minutes.",
            shape=Shape.LINES,
            series=(Series(q.CLOCK_OFFSET, "{{instance}}"),),
            unit=Unit.SECONDS,
            width=8,
            thresholds=high_is_bad(t.CLOCK_OFFSET_REPORTED_S, t.CLOCK_OFFSET_UNREADY_S),
            only_when="a simulated clock is one for all processes, so that no offset is measured",
        ),
    ),
)

_GAPS: Final = Row(
    "Seats and gaps",
    (
        Panel(
            title="How many seats has each worker left?",
            says="Seats that the ledger granted to the gateway and no attendee holds, per worker. New attendees are "
            "refused when none are left, those who were here before are not.",
            shape=Shape.LINES,
            series=(Series(rule_queries.SEATS_A_WORKER, "{{instance}}"),),
            unit=Unit.COUNT,
            width=8,
            thresholds=low_is_bad(t.SEATS_A_WORKER_FEW),
        ),
        Panel(
            title="How many attendees come for the first time?",
            says="Seats given per second to attendees who had none.",
            shape=Shape.LINES,
            series=(Series(q.SEATS_USED, "new seats"),),
            unit=Unit.PER_S,
            width=8,
        ),
        Panel(
            title="What is missing, what came late?",
            says="Windows with a gap and leaves for late evidence so far, and workers missing when a window was "
            "sealed, within five minutes.",
            shape=Shape.LINES,
            series=(
                Series(q.WINDOWS_WITH_GAPS, "windows with gaps"),
                Series(q.LATE_LEAVES, "late leaves"),
                Series(q.MISSING_WORKERS, "workers missing", IN_FIVE_MINUTES),
            ),
            unit=Unit.COUNT,
            width=8,
        ),
    ),
)

COUNTING_DASHBOARD: Final = Dashboard(
    uid="turnout-counting",
    title="Turnout: Counting",
    says="Whether what is counted is right: sketch against exact, how far each lags behind, and what is missing.",
    rows=(_BRIEF, _BOTH, _REDIS, _LEDGERWARDS, _GAPS),
    variables=(EVENT, PROCESSES),
)
