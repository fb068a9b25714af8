"""Gateway: rate, errors and duration of every route; utilisation, saturation and errors of every worker."""

from typing import Final

from metrics import queries as q
from metrics import thresholds as t
from metrics.dashboards.event import REALITY
from metrics.dashboards.panel import (
    EVENT,
    IN_FIVE_MINUTES,
    Dashboard,
    Panel,
    Row,
    Series,
    Shape,
    Unit,
    Variable,
    high_is_bad,
)

GATEWAYS: Final = Variable(
    "instance",
    "Gateway",
    'query_result(turnout_workers * on (instance) group_left (event) turnout_event_info{event="$event"})',
    several=True,
    regex='/instance="([^"]+)"/',
)

_BRIEF: Final = Row(
    "In brief",
    (
        REALITY,
        Panel(
            title="What share of requests fails here?",
            says="Answers with a status of 5xx among all, heartbeats included: what is the fault of this side.",
            shape=Shape.NUMBER,
            series=(Series(q.REQUESTS_FAILED_SHARE, "failed"),),
            unit=Unit.SHARE,
            width=4,
            height=4,
            thresholds=high_is_bad(t.REQUESTS_FAILED_WARN, t.REQUESTS_FAILED_BAD),
        ),
        Panel(
            title="Are all workers there?",
            says="Worker processes that are wanted and do not serve. One that ended is replaced within seconds.",
            shape=Shape.NUMBER,
            series=(Series(q.WORKERS_MISSING, "missing"),),
            unit=Unit.EXACT,
            width=4,
            height=4,
            thresholds=high_is_bad(bad=1),
            loud=True,
        ),
        Panel(
            title="How long does a join take at worst?",
            says="99 of 100 joins are answered within this time, waiting for their turn included.",
            shape=Shape.NUMBER,
            series=(Series(q.JOIN_P99, "99 %"),),
            unit=Unit.SECONDS,
            width=4,
            height=4,
            thresholds=high_is_bad(t.JOIN_SLOW_S / 2, t.JOIN_SLOW_S),
        ),
        Panel(
            title="How many joins are waiting?",
            says="Joins that wait for their turn or are under way, on all gateways.",
            shape=Shape.NUMBER,
            series=(Series(q.JOINS_WAITING, "waiting"),),
            unit=Unit.EXACT,
            width=4,
            height=4,
        ),
    ),
)

_HEARTBEATS: Final = Row(
    "Heartbeats",
    (
        Panel(
            title="How many heartbeats are accepted, in which state?",
            says="Per second, by the player's state. Playing and background make an attendee present.",
            shape=Shape.STACK,
            series=(Series(q.HEARTBEATS_BY_STATE, "{{outcome}}"),),
            unit=Unit.REQUESTS_PER_S,
            width=8,
        ),
        Panel(
            title="Why are heartbeats refused?",
            says="Per second, by reason. token_…: the player joins again by itself; disk_full, disk_fails: nothing is "
            "counted any more, act at once.",
            shape=Shape.STACK,
            series=(Series(q.HEARTBEATS_REFUSED_WHY, "{{outcome}}"),),
            unit=Unit.REQUESTS_PER_S,
            width=8,
        ),
        Panel(
            title="How long does the door take for a heartbeat?",
            says="From reading it to sending its answer, half and 99 of 100; one heartbeat in 64 is timed. A worker "
            "needs microseconds; milliseconds mean that it lacks CPU.",
            shape=Shape.LINES,
            series=(Series(q.HEARTBEAT_P50, "50 %"), Series(q.HEARTBEAT_P99, "99 %")),
            unit=Unit.SECONDS,
            width=8,
            thresholds=high_is_bad(bad=t.HEARTBEAT_SLOW_S),
        ),
        Panel(
            title="What share of heartbeats misses the door?",
            says="Heartbeats that aiohttp took, at several times the door's cost. Above one in a hundred a load "
            "balancer mixes them with other requests on the same connections: give heartbeats an upstream pool of "
            "their own.",
            shape=Shape.LINES,
            series=(Series(q.HEARTBEATS_BESIDE_THE_DOOR, "through aiohttp"),),
            unit=Unit.SHARE,
            width=12,
            thresholds=high_is_bad(bad=t.BESIDE_THE_DOOR_SHARE),
        ),
        Panel(
            title="How much does the door have to look at anew?",
            says="Connections that it gave to aiohttp and request heads that no memory knew, per second. Both are few "
            "beside the heartbeats, because players keep their connections.",
            shape=Shape.LINES,
            series=(
                Series(q.CONNECTIONS_BESIDE_THE_DOOR, "connections handed over"),
                Series(q.HEADS_READ, "heads read"),
            ),
            unit=Unit.PER_S,
            width=12,
        ),
    ),
)

_JOINS: Final = Row(
    "Joins",
    (
        Panel(
            title="How many joins are accepted and refused?",
            says="Per second; refused by reason. A rush at the start of a session is ordinary, too_many_joins spreads "
            "it.",
            shape=Shape.STACK,
            series=(Series(q.JOINS_ACCEPTED, "accepted"), Series(q.JOINS_REFUSED_WHY, "refused: {{outcome}}")),
            unit=Unit.REQUESTS_PER_S,
            width=8,
        ),
        Panel(
            title="How long do joins take?",
            says="From the whole request to its answer, waiting for its turn included: half, and 99 of 100.",
            shape=Shape.LINES,
            series=(Series(q.JOIN_P50, "50 %"), Series(q.JOIN_P99, "99 %")),
            unit=Unit.SECONDS,
            width=8,
            thresholds=high_is_bad(bad=t.JOIN_SLOW_S),
        ),
        Panel(
            title="How are the joins' durations spread?",
            says="How many joins a second took how long, darker where more. Two bands are two kinds of joins: with a "
            "ticket, and with a viewing token, which needs neither signature nor Redis.",
            shape=Shape.HEAT,
            series=(Series(q.JOIN_DURATIONS, "{{le}}"),),
            unit=Unit.SECONDS,
            width=8,
        ),
    ),
)

_ROUTES: Final = Row(
    "Every route",
    (
        Panel(
            title="What is asked for, and how often?",
            says="Requests answered per second, by route.",
            shape=Shape.LINES,
            series=(Series(q.REQUESTS, "{{route}}"),),
            unit=Unit.REQUESTS_PER_S,
            width=8,
        ),
        Panel(
            title="What is answered?",
            says="Requests per second, by status. 4xx is the asker's doing, 5xx is ours.",
            shape=Shape.STACK,
            series=(Series(q.REQUESTS_BY_CODE, "{{code}}"),),
            unit=Unit.REQUESTS_PER_S,
            width=8,
        ),
        Panel(
            title="How long does each route take?",
            says="99 of 100 requests are answered within this time. Heartbeats and joins have panels of their own.",
            shape=Shape.LINES,
            series=(Series(q.REQUEST_P99, "{{route}}"),),
            unit=Unit.SECONDS,
            width=8,
        ),
    ),
)

_WORKERS: Final = Row(
    "Workers",
    (
        Panel(
            title="Is a worker's loop held up?",
            says="The longest that a timer of the worker's event loop came late in the last fifteen seconds. All that "
            "a worker does waits as long.",
            shape=Shape.LINES,
            series=(Series(q.WORKER_LAG, "{{instance}} worker {{worker}}"),),
            unit=Unit.SECONDS,
            width=8,
            thresholds=high_is_bad(t.LOOP_LAG_WARN_S, t.LOOP_LAG_BAD_S),
        ),
        Panel(
            title="How busy is each worker?",
            says="CPU time per second: 1 is a whole core, and a worker cannot use more.",
            shape=Shape.LINES,
            series=(Series(q.WORKER_CPU, "{{instance}} worker {{worker}}"),),
            unit=Unit.SHARE,
            width=8,
            thresholds=high_is_bad(t.WORKER_CPU_WARN, t.WORKER_CPU_BAD),
        ),
        Panel(
            title="How many connections does each worker hold?",
            says="The door's and aiohttp's. The kernel deals new connections out; a lasting imbalance comes from a "
            "load balancer with few, long connections.",
            shape=Shape.LINES,
            series=(Series(q.WORKER_CONNECTIONS, "{{instance}} worker {{worker}}"),),
            unit=Unit.COUNT,
            width=8,
        ),
        Panel(
            title="How much memory does each worker take?",
            says="Resident, with the parts of its spool that are mapped. It grows with connections and sessions, "
            "never with viewers who have left.",
            shape=Shape.LINES,
            series=(Series(q.WORKER_MEMORY, "{{instance}} worker {{worker}}"),),
            unit=Unit.BYTES,
            width=8,
        ),
        Panel(
            title="Is a worker silent?",
            says="Seconds since the worker last said that its loop turns, which it does each second.",
            shape=Shape.LINES,
            series=(Series(q.WORKER_SILENCE, "{{instance}} worker {{worker}}"),),
            unit=Unit.SECONDS,
            width=8,
            thresholds=high_is_bad(bad=t.WORKER_SILENT_S),
        ),
        Panel(
            title="How often was a worker started anew?",
            says="Starts within five minutes, by the worker's place. Flat at zero unless one ended, a SIGHUP replaced "
            "them, or another gateway took over.",
            shape=Shape.LINES,
            series=(Series(q.WORKER_STARTS, "{{instance}} worker {{worker}}", IN_FIVE_MINUTES),),
            unit=Unit.COUNT,
            width=8,
        ),
    ),
)

_PARENT: Final = Row(
    "The process above the workers",
    (
        Panel(
            title="How busy is the parent?",
            says="CPU time per second of the process that flushes sketches, carries evidence and serves /metrics.",
            shape=Shape.LINES,
            series=(Series(q.PROCESS_CPU, "{{instance}}"),),
            unit=Unit.SHARE,
            width=8,
            thresholds=high_is_bad(t.WORKER_CPU_WARN, t.WORKER_CPU_BAD),
        ),
        Panel(
            title="How much memory does the parent take?",
            says="Resident memory of the process above the workers; a worker's is in the row above.",
            shape=Shape.LINES,
            series=(Series(q.PROCESS_MEMORY, "{{instance}}"),),
            unit=Unit.BYTES,
            width=8,
        ),
        Panel(
            title="How near is the parent to its limit of open files?",
            says="Open files and sockets as a share of what the process may have (ulimit -n).",
            shape=Shape.LINES,
            series=(Series(q.PROCESS_FILES, "{{instance}}"),),
            unit=Unit.SHARE,
            width=8,
            thresholds=high_is_bad(t.FILES_WARN, t.FILES_BAD),
        ),
    ),
)

GATEWAY_DASHBOARD: Final = Dashboard(
    uid="turnout-gateway",
    title="Turnout: Gateway",
    says="Rate, errors and duration of what is asked; use, saturation and errors of the workers that answer.",
    rows=(_BRIEF, _HEARTBEATS, _JOINS, _ROUTES, _WORKERS, _PARENT),
    variables=(EVENT, GATEWAYS),
)
