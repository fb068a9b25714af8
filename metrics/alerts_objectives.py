"""Alerts on the objectives of an event (metrics/objectives.py): a page where its budget burns fast, a ticket else."""

from typing import Final

from metrics import catalogue as m
from metrics.case_series import CLOSED, GATEWAY, LEDGER, OPEN, flat, up_series
from metrics.catalogue import Process
from metrics.objectives import FAST, FRESHNESS, HEARTBEATS, JOINS, SEALING, SLOW, STEADY, Objective
from metrics.rule import Alert, Case, Fired, Severity


def _refused(
    metric: m.Metric, refused: str, outcome: str = "disk_full", accepted: str = "0+3000x200"
) -> dict[str, str]:
    first = "playing" if metric is m.HEARTBEATS else "accepted"
    return flat(metric, accepted, outcome=first, **GATEWAY) | flat(metric, refused, outcome=outcome, **GATEWAY)


def _fired(objective: Objective, value: str) -> tuple[Fired, ...]:
    return (Fired({"slo": objective.name}, value),)


HEARTBEATS_REFUSED: Final = Alert(
    "TurnoutHeartbeatsRefused",
    HEARTBEATS.burns(FAST, STEADY),
    "0s",
    Severity.PAGE,
    "Heartbeats are refused through a fault of ours",
    "{{ $value | humanizePercentage }} of the heartbeats are refused through a fault of ours; one in a thousand may "
    "be. Who is refused for a whole minute is not counted in it.",
    (
        Case(
            "fires when a full disk refuses one heartbeat in twenty, and is over with it",
            _refused(m.HEARTBEATS, "0x40 0+157.894736842x28 4421x40"),
            "17m",
            _fired(HEARTBEATS, "5%"),
            over_at="25m",
        ),
        Case(
            "fires when one in a hundred is refused for long",
            _refused(m.HEARTBEATS, "0+30x200"),
            "20m",
            _fired(HEARTBEATS, "0.9901%"),
        ),
        Case("stays quiet when one in two hundred is", _refused(m.HEARTBEATS, "0+15x200"), "15m"),
        Case("stays quiet when a burst of seconds is", _refused(m.HEARTBEATS, "0x80 600x200"), "25m"),
        Case("stays quiet when nobody sends any", _refused(m.HEARTBEATS, "0x200", accepted="0x200"), "15m"),
        Case(
            "stays quiet when half of the tokens have expired",
            _refused(m.HEARTBEATS, "0+3000x200", "token_expired"),
            "15m",
        ),
        Case(
            "stays quiet when one of the two viewers of a rehearsal is refused twice",
            _refused(m.HEARTBEATS, "0x40 1 2x100", accepted="0+1x200"),
            "15m",
        ),
        Case("stays quiet when a worker restarts", _refused(m.HEARTBEATS, "0x40 30 30x200"), "15m"),
    ),
)
HEARTBEATS_BUDGET: Final = Alert(
    "TurnoutHeartbeatsBudgetBurns",
    HEARTBEATS.burns(SLOW),
    "0s",
    Severity.TICKET,
    "The event's budget of refused heartbeats will not last",
    "Over the last hour {{ $value | humanizePercentage }} of the heartbeats have been refused through a fault of ours; "
    "at this pace the event's budget is spent before it ends.",
    (
        Case(
            "fires when one in three hundred is refused for an hour",
            _refused(m.HEARTBEATS, "0+20x200"),
            "20m",
            _fired(HEARTBEATS, "0.6623%"),
        ),
        Case("stays quiet when one in three thousand is", _refused(m.HEARTBEATS, "0+1x200"), "20m"),
        Case("stays quiet when nobody sends any", _refused(m.HEARTBEATS, "0x200", accepted="0x200"), "20m"),
    ),
)
JOINS_REFUSED: Final = Alert(
    "TurnoutJoinsRefused",
    JOINS.burns(FAST, STEADY),
    "0s",
    Severity.PAGE,
    "Joins are refused through a fault of ours",
    "{{ $value | humanizePercentage }} of the joins are refused through a fault of ours; one in a hundred may be. Who "
    "is refused is told to come back, and does.",
    (
        Case(
            "fires when half of the joins find no seat",
            _refused(m.JOINS, "0x40 0+3000x60", "seats_exhausted"),
            "17m",
            _fired(JOINS, "50%"),
        ),
        Case(
            "fires when one in ten is told to come back for half an hour",
            _refused(m.JOINS, "0+333.333333333x200", "too_many_joins"),
            "20m",
            _fired(JOINS, "10%"),
        ),
        Case(
            "stays quiet when every second ticket is forged",
            _refused(m.JOINS, "0+3000x200", "ticket_forged"),
            "15m",
        ),
        Case("stays quiet when nobody joins", _refused(m.JOINS, "0x200", accepted="0x200"), "17m"),
        Case("stays quiet when one in twenty waits in a rush", _refused(m.JOINS, "0+150x200", "too_many_joins"), "15m"),
    ),
)
JOINS_BUDGET: Final = Alert(
    "TurnoutJoinsBudgetBurns",
    JOINS.burns(SLOW),
    "0s",
    Severity.TICKET,
    "The event's budget of refused joins will not last",
    "Over the last hour {{ $value | humanizePercentage }} of the joins have been refused through a fault of ours; at "
    "this pace the event's budget is spent before it ends.",
    (
        Case(
            "fires when one in twenty is refused for an hour",
            _refused(m.JOINS, "0+157.894736842x200", "too_many_joins"),
            "20m",
            _fired(JOINS, "5%"),
        ),
        Case("stays quiet when one in a hundred is", _refused(m.JOINS, "0+30x200", "too_many_joins"), "20m"),
        Case("stays quiet when nobody joins", _refused(m.JOINS, "0x200", accepted="0x200"), "20m"),
    ),
)

_SECOND: Final = {"instance": "gateway-2"}
_BOTH_STALE: Final = flat(m.LIVE_STALE, "0x40 1x200", **GATEWAY)
LIVE_OLD: Final = Alert(
    "TurnoutLiveNumbersOld",
    FRESHNESS.burns(FAST, STEADY),
    "0s",
    Severity.PAGE,
    "The control room looks at old numbers",
    "{{ $value | humanizePercentage }} of the time live numbers were old, and marked so, while the doors are open; one "
    "hundredth may be.",
    (
        Case("fires when Redis is away", OPEN | _BOTH_STALE, "16m", _fired(FRESHNESS, "100%")),
        Case(
            "fires when it is away for three quarters of a minute every ten",
            OPEN | flat(m.LIVE_STALE, "1x2 0x35 1x2 0x35 1x2 0x10", **GATEWAY),
            "21m15s",
            _fired(FRESHNESS, "7.5%"),
        ),
        Case(
            "fires when the only gateway is gone",
            OPEN | flat(m.LIVE_STALE, "0x40 stale", **GATEWAY) | {up_series(Process.GATEWAY, "gateway-1"): "1x40 0x60"},
            "16m",
            _fired(FRESHNESS, "100%"),
        ),
        Case(
            "fires when both gateways are gone",
            OPEN
            | flat(m.LIVE_STALE, "0x40 stale", **GATEWAY)
            | flat(m.LIVE_STALE, "0x30 stale", **_SECOND)
            | {
                up_series(Process.GATEWAY, "gateway-1"): "1x40 0x60",
                up_series(Process.GATEWAY, "gateway-2"): "1x30 0x70",
            },
            "16m",
            _fired(FRESHNESS, "100%"),
        ),
        Case(
            "stays quiet when one of two gateways is gone",
            OPEN
            | flat(m.LIVE_STALE, "0x200", **GATEWAY)
            | flat(m.LIVE_STALE, "0x40 stale", **_SECOND)
            | {up_series(Process.GATEWAY, "gateway-1"): "1x200", up_series(Process.GATEWAY, "gateway-2"): "1x40 0x160"},
            "40m",
        ),
        Case("stays quiet when Redis restarts", OPEN | flat(m.LIVE_STALE, "0x40 1x2 0x200", **GATEWAY), "15m"),
        Case("stays quiet when Redis is away and the doors are closed", CLOSED | _BOTH_STALE, "15m"),
    ),
)
LIVE_BUDGET: Final = Alert(
    "TurnoutLiveBudgetBurns",
    FRESHNESS.burns(SLOW),
    "0s",
    Severity.TICKET,
    "Live numbers are old again and again",
    "Over the last hour live numbers were old {{ $value | humanizePercentage }} of the time; at this pace the event's "
    "budget of 18 minutes is spent before it ends.",
    (
        Case(
            "fires when they are old one minute in ten for an hour",
            OPEN | flat(m.LIVE_STALE, " ".join(["1x3 0x35"] * 4), **GATEWAY),
            "32m",
            _fired(FRESHNESS, "6.667%"),
        ),
        Case(
            "stays quiet when they are old one minute in an hour",
            OPEN | flat(m.LIVE_STALE, "1x3 0x200", **GATEWAY),
            "20m",
        ),
    ),
)

_LATE: Final = flat(m.LEDGER_WINDOWS_OVERDUE, "0x40 1x200", **LEDGER)
SEALING_LATE: Final = Alert(
    "TurnoutSealingLate",
    SEALING.burns(FAST, STEADY),
    "0s",
    Severity.PAGE,
    "Minutes are sealed late",
    "{{ $value | humanizePercentage }} of the time a minute that was over stood in no leaf, while the doors are open; "
    "one hundredth may be. It is sealed later.",
    (
        Case("fires when windows wait", OPEN | _LATE, "16m", _fired(SEALING, "100%")),
        Case(
            "fires when the ledger is gone",
            OPEN
            | flat(m.LEDGER_WINDOWS_OVERDUE, "0x40 stale", **LEDGER)
            | {up_series(Process.LEDGER, "ledger"): "1x40 0x60"},
            "16m",
            _fired(SEALING, "100%"),
        ),
        Case(
            "stays quiet when the ledger restarts",
            OPEN | flat(m.LEDGER_WINDOWS_OVERDUE, "0x40 1x2 0x200", **LEDGER),
            "16m",
        ),
        Case("stays quiet when the doors are closed", CLOSED | _LATE, "15m"),
    ),
)
SEALING_BUDGET: Final = Alert(
    "TurnoutSealingBudgetBurns",
    SEALING.burns(SLOW),
    "0s",
    Severity.TICKET,
    "Minutes are sealed late again and again",
    "Over the last hour a minute was late {{ $value | humanizePercentage }} of the time; at this pace the event's "
    "budget of 18 minutes is spent before it ends.",
    (
        Case(
            "fires when it is so one minute in ten for an hour",
            OPEN | flat(m.LEDGER_WINDOWS_OVERDUE, " ".join(["1x3 0x35"] * 4), **LEDGER),
            "32m",
            _fired(SEALING, "6.667%"),
        ),
        Case(
            "stays quiet when it is so one minute in an hour",
            OPEN | flat(m.LEDGER_WINDOWS_OVERDUE, "1x3 0x200", **LEDGER),
            "20m",
        ),
    ),
)

OF_OBJECTIVES: Final = (
    HEARTBEATS_REFUSED, HEARTBEATS_BUDGET, JOINS_REFUSED, JOINS_BUDGET, LIVE_OLD, LIVE_BUDGET, SEALING_LATE,
    SEALING_BUDGET,
)  # fmt: skip
