"""Alerts on processes: gone, silent, restarting, broken, or on a clock that is none."""

from typing import Final

from metrics import catalogue as m
from metrics import queries
from metrics import rule_queries as q
from metrics.case_series import CLOSED, GATEWAY, LEDGER, OPEN, OVER, flat, up_series
from metrics.catalogue import Process
from metrics.promql import in_rules
from metrics.rule import Alert, Case, Fired, Severity, series
from metrics.scraping import up
from metrics.thresholds import WORKER_SILENT_S, WORKER_STARTS_MANY
from metrics.two_events import BURNING, WELL, of_event

_NOW: Final = in_rules("5m")
_OPEN: Final = f"and on (event) {q.DOORS_OPEN} == 1"
_OPEN_SOMEWHERE: Final = f"and on () {q.DOORS_OPEN} == 1"
"""For witnesses, which belong to no event."""
_WORKER: Final = GATEWAY | {"worker": "3"}


def _nobody_answers(process: Process) -> str:
    """Return the expression of an event whose doors are open and that no such process answers for, scraped or not."""
    return f"{q.DOORS_OPEN} == 1\nunless on (event)\n{up(process)} == 1"


NO_GATEWAY: Final = Alert(
    "TurnoutNoGateway",
    _nobody_answers(Process.GATEWAY),
    "1m",
    Severity.PAGE,
    "No gateway answers: nobody is counted",
    "Prometheus reaches no gateway, and the doors are open. No player can join, and no heartbeat is taken.",
    (
        Case(
            "fires when no gateway has answered for a minute while the doors are open",
            OPEN
            | {up_series(Process.GATEWAY, "gateway-1"): "1x4 0x20", up_series(Process.GATEWAY, "gateway-2"): "0x24"},
            "4m",
            (Fired(),),
        ),
        Case(
            "stays quiet when one of two answers",
            OPEN | {up_series(Process.GATEWAY, "gateway-1"): "1x24", up_series(Process.GATEWAY, "gateway-2"): "0x24"},
            "4m",
        ),
        Case(
            "stays quiet when all restart at once",
            OPEN | {up_series(Process.GATEWAY, "gateway-1"): "1x10 0x2 1x12"},
            "4m",
        ),
        Case(
            "stays quiet when it is gone before the doors open",
            CLOSED | {up_series(Process.GATEWAY, "gateway-1"): "0x24"},
            "4m",
        ),
        Case(
            "stays quiet when it was stopped after the event",
            OVER | {up_series(Process.GATEWAY, "gateway-1"): "1x76 0x100"},
            "22m",
        ),
    ),
)
GATEWAY_DOWN: Final = Alert(
    "TurnoutGatewayDown",
    f"{up(Process.GATEWAY)} == 0\n{_OPEN}",
    "1m",
    Severity.PAGE,
    "A gateway does not answer",
    "Gateway {{ $labels.instance }} has not answered Prometheus for a minute, and the doors are open. The others take "
    "its players; what it had accepted is on its disk.",
    (
        Case(
            "fires when one of two gateways has not answered for a minute",
            OPEN | {up_series(Process.GATEWAY, "gateway-1"): "1x24", up_series(Process.GATEWAY, "gateway-2"): "0x24"},
            "4m",
            (Fired({"job": "turnout-gateway", "instance": "gateway-2"}),),
        ),
        Case(
            "fires where the Prometheus operator names the jobs",
            OPEN | {'up{job="show/turnout-gateway",instance="gateway-2"}': "0x24"},
            "4m",
            (Fired({"job": "show/turnout-gateway", "instance": "gateway-2"}),),
        ),
        Case(
            "stays quiet when it restarts",
            OPEN | {up_series(Process.GATEWAY, "gateway-1"): "1x10 0x2 1x12"},
            "3m15s",
        ),
        Case(
            "stays quiet when the doors are closed",
            CLOSED | {up_series(Process.GATEWAY, "gateway-1"): "0x24"},
            "4m",
        ),
    ),
)
LEDGER_DOWN: Final = Alert(
    "TurnoutLedgerDown",
    _nobody_answers(Process.LEDGER),
    "1m",
    Severity.PAGE,
    "The ledger does not answer",
    "The ledger has not answered Prometheus for a minute, and the doors are open. Everybody is counted on, into the "
    "gateways' spools; no minute is sealed.",
    (
        Case(
            "fires when the ledger has not answered for a minute",
            OPEN | {up_series(Process.LEDGER, "ledger"): "1x4 0x20"},
            "4m",
            (Fired(),),
        ),
        Case("stays quiet when it restarts", OPEN | {up_series(Process.LEDGER, "ledger"): "1x10 0x2 1x12"}, "3m15s"),
        Case("stays quiet when the doors are closed", CLOSED | {up_series(Process.LEDGER, "ledger"): "0x24"}, "4m"),
    ),
)
WITNESS_DOWN: Final = Alert(
    "TurnoutWitnessDown",
    f"{up(Process.WITNESS)} == 0\n{_OPEN_SOMEWHERE}",
    "5m",
    Severity.TICKET,
    "A witness of our own does not answer",
    "Witness {{ $labels.instance }} has not answered Prometheus for five minutes. While enough others cosign, nothing "
    "waits for it.",
    (
        Case(
            "fires when a witness has not answered for five minutes",
            OPEN | {up_series(Process.WITNESS, "witness"): "0x40"},
            "7m",
            (Fired({"job": "turnout-witness", "instance": "witness"}),),
        ),
        Case(
            "fires when the doors of one event of two are open",
            of_event(OPEN, BURNING) | of_event(CLOSED, WELL) | {up_series(Process.WITNESS, "witness"): "0x40"},
            "7m",
            (Fired({"job": "turnout-witness", "instance": "witness"}),),
        ),
        Case("stays quiet when it restarts", OPEN | {up_series(Process.WITNESS, "witness"): "1x4 0x8 1x30"}, "5m"),
        Case("stays quiet when the doors are closed", CLOSED | {up_series(Process.WITNESS, "witness"): "0x40"}, "7m"),
    ),
)
SIMULATED: Final = Alert(
    "TurnoutSimulated",
    f"{q.SIMULATED(_NOW)} == 1",
    "0s",
    Severity.PAGE,
    "The event runs on a simulated clock",
    "Event {{ $labels.event }} runs on a simulated clock: no number is real, and every certificate will say SIMULATED.",
    (
        Case(
            "fires when ledger and gateway are simulated",
            flat(m.EVENT_INFO, "1x20", event="expo", simulated="true", **GATEWAY)
            | flat(m.EVENT_INFO, "1x20", event="expo", simulated="true", **LEDGER),
            "3m",
            (Fired({"event": "expo"}),),
        ),
        Case(
            "stays quiet when the clock is the wall's",
            flat(m.EVENT_INFO, "1x20", event="expo", simulated="false", **GATEWAY),
            "3m",
        ),
    ),
)
WORKER_SILENT: Final = Alert(
    "TurnoutWorkerSilent",
    f"{queries.WORKER_SILENCE(_NOW)} > {WORKER_SILENT_S:g}",
    "30s",
    Severity.PAGE,
    "A worker has stopped answering",
    "Worker {{ $labels.worker }} of {{ $labels.instance }} has said nothing for {{ $value | humanizeDuration }}. The "
    "players on its connections wait, and those who connect to it do as well.",
    (
        Case(
            "fires when one of two workers hangs",
            flat(m.WORKER_SILENCE, "1x8 15+15x12", **_WORKER) | flat(m.WORKER_SILENCE, "9x20", **GATEWAY, worker="4"),
            "4m",
            (Fired({"instance": "gateway-1", "worker": "3"}, "2m 0s"),),
        ),
        Case(
            "stays quiet when a worker is replaced",
            flat(m.WORKER_SILENCE, "9x8 12 9x12", **_WORKER),
            "4m",
        ),
    ),
)
WORKERS_DIE: Final = Alert(
    "TurnoutWorkersDie",
    f"{q.WORKER_STARTS(in_rules('15m'))} > {WORKER_STARTS_MANY}",
    "0s",
    Severity.PAGE,
    "A worker dies again and again",
    "Worker {{ $labels.worker }} of {{ $labels.instance }} was started {{ $value | humanize }} times in a quarter of "
    "an hour. Each end of it cuts its players' connections.",
    (
        Case(
            "fires when a worker is started every minute",
            flat(m.WORKER_STARTS, "1x3 2x3 3x3 4x3 5x3 6x3 7x40", **_WORKER),
            "15m",
            (Fired({"instance": "gateway-1", "worker": "3"}, "6"),),
        ),
        Case(
            "stays quiet when two rolling restarts replace it",
            flat(m.WORKER_STARTS, "1x12 2x12 3x40", **_WORKER),
            "15m",
        ),
        Case(
            "stays quiet when the whole gateway is started anew",
            flat(m.WORKER_STARTS, "1x12 _x2 1x40", **_WORKER),
            "10m",
        ),
    ),
)
ERRORS: Final = Alert(
    "TurnoutErrors",
    f"{q.ERRORS(in_rules('10m'))} > 0",
    "0s",
    Severity.TICKET,
    "Requests end in an error of the software",
    "{{ $value | humanize }} requests to {{ $labels.route }} were answered with 500 in ten minutes. The log of the "
    "process says where it broke.",
    (
        Case(
            "fires when joins are answered with 500",
            {series(m.HTTP_REQUESTS, route="join", code="500", **GATEWAY): "0x10 3x40"},
            "10m",
            (Fired({"route": "join"}, "3"),),
        ),
        Case(
            "stays quiet when they are refused for what is no fault of ours",
            {
                series(m.HTTP_REQUESTS, route="join", code="500", **GATEWAY): "3x40",
                series(m.HTTP_REQUESTS, route="join", code="401", **GATEWAY): "0+5x40",
                series(m.HTTP_REQUESTS, route="join", code="503", **GATEWAY): "0+5x40",
            },
            "10m",
        ),
    ),
)

OF_PROCESSES: Final = (
    NO_GATEWAY, GATEWAY_DOWN, LEDGER_DOWN, WITNESS_DOWN, SIMULATED, WORKER_SILENT, WORKERS_DIE, ERRORS,
)  # fmt: skip
