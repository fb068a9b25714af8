"""Alerts on what a gateway carries: live numbers to Redis, evidence to the ledger, seats from it, and its clock."""

from typing import Final

from metrics import catalogue as m
from metrics import queries
from metrics import rule_queries as q
from metrics import thresholds as t
from metrics.case_series import GATEWAY, flat
from metrics.promql import in_rules
from metrics.rule import Alert, Case, Fired, Severity, series

_NOW: Final = in_rules("5m")
_GB: Final = 1_000_000_000
_OTHER: Final = {"instance": "gateway-2"}

LIVE_STALE: Final = Alert(
    "TurnoutLiveStale",
    f"{q.LIVE_STALE(_NOW)} == 1",
    "1m",
    Severity.TICKET,
    "Live numbers are old",
    "Gateway {{ $labels.instance }} has shown the same live numbers for a minute, marked stale. Heartbeats go on; the "
    "certificate does not need Redis.",
    (
        Case(
            "fires when Redis is away for longer than a minute",
            flat(m.LIVE_STALE, "0x8 1x20", **GATEWAY) | flat(m.LIVE_STALE, "0x30", **_OTHER),
            "5m",
            (Fired(GATEWAY),),
        ),
        Case("stays quiet when Redis restarts", flat(m.LIVE_STALE, "0x8 1x3 0x20", **GATEWAY), "6m"),
    ),
)
FLUSH_FAILING: Final = Alert(
    "TurnoutRedisFlushFailing",
    f"{q.FLUSH_FAILURES(_NOW)} > {t.FLUSH_FAILURES_MANY}",
    "0s",
    Severity.TICKET,
    "Redis does not take the live sketches",
    "Redis refused {{ $value | humanize }} of some 300 flushes of {{ $labels.instance }} in five minutes. Live numbers "
    "stand still while it does.",
    (
        Case(
            "fires when every second flush fails",
            flat(m.REDIS_FLUSH_FAILURES, "0x20 0+7.5x40", **GATEWAY),
            "15m",
            (Fired(GATEWAY, "150"),),
        ),
        Case(
            "stays quiet when a replica takes over within half a minute",
            flat(m.REDIS_FLUSH_FAILURES, "0x20 15 30 30x40", **GATEWAY),
            "15m",
        ),
    ),
)
FLUSH_SLOW: Final = Alert(
    "TurnoutRedisFlushSlow",
    f"{queries.FLUSH_P99(in_rules('1m'))} > {t.FLUSH_SLOW_S:g}",
    "5m",
    Severity.TICKET,
    "Flushing to Redis takes longer than the second it has",
    "One flush in a hundred takes {{ $value | humanizeDuration }} or longer: live numbers lag behind.",
    (
        Case(
            "fires when flushes take two seconds",
            {
                series(m.REDIS_FLUSH, "_bucket", le="1.0", **GATEWAY): "0x80",
                series(m.REDIS_FLUSH, "_bucket", le="2.5", **GATEWAY): "0+5x80",
                series(m.REDIS_FLUSH, "_bucket", le="+Inf", **GATEWAY): "0+5x80",
            },
            "15m",
            (Fired(value="2.485s"),),
        ),
        Case(
            "stays quiet when a minute's are slow",
            {
                series(m.REDIS_FLUSH, "_bucket", le="1.0", **GATEWAY): "0+15x20 300x3 300+15x60",
                series(m.REDIS_FLUSH, "_bucket", le="2.5", **GATEWAY): "0+15x84",
                series(m.REDIS_FLUSH, "_bucket", le="+Inf", **GATEWAY): "0+15x84",
            },
            "15m",
        ),
        Case(
            "stays quiet when they take milliseconds",
            {
                series(m.REDIS_FLUSH, "_bucket", le="0.01", **GATEWAY): "0+15x80",
                series(m.REDIS_FLUSH, "_bucket", le="1.0", **GATEWAY): "0+15x80",
                series(m.REDIS_FLUSH, "_bucket", le="+Inf", **GATEWAY): "0+15x80",
            },
            "15m",
        ),
    ),
)
REGISTRY_FAILING: Final = Alert(
    "TurnoutRegistryFailing",
    f"{q.REGISTRY_FAILURES(in_rules('1m'))} > 0",
    "2m",
    Severity.TICKET,
    "Joins get their seats without the registry",
    "At {{ $labels.instance }} {{ $value | humanize }} joins and scans of the last minute got a seat without the "
    "registry. They are counted; who joins twice is made one person before any count.",
    (
        Case(
            "fires when the registry is away for minutes",
            flat(m.REGISTRY_FAILURES, "0x4 0+10x40", **GATEWAY),
            "6m",
            (Fired(GATEWAY, "40"),),
        ),
        Case(
            "stays quiet when it restarts",
            flat(m.REGISTRY_FAILURES, "0x4 10 20 20x40", **GATEWAY),
            "8m",
        ),
        Case("stays quiet when nobody joins", flat(m.REGISTRY_FAILURES, "70x40", **GATEWAY), "8m"),
    ),
)
SEATS: Final = Alert(
    "TurnoutSeatsRunningOut",
    f"{q.SEATS_A_WORKER(_NOW)} < {t.SEATS_A_WORKER_FEW}",
    "2m",
    Severity.PAGE,
    "A gateway runs out of seats",
    "Each worker of {{ $labels.instance }} has {{ $value | humanize }} seats left on average, and the ledger grants no "
    "more. When they are gone, newcomers are refused.",
    (
        Case(
            "fires when the ledger grants nothing while people join",
            flat(m.SEATS_LEASED, "150000-10000x14 10000x20", **GATEWAY) | flat(m.WORKERS, "2x30", **GATEWAY),
            "7m",
            (Fired(GATEWAY, "5k"),),
        ),
        Case(
            "stays quiet when a block is used up and another comes",
            flat(m.SEATS_LEASED, "393216-10000x13 393216-10000x13", **GATEWAY) | flat(m.WORKERS, "2x30", **GATEWAY),
            "7m",
        ),
        Case(
            "stays quiet when the gateway starts",
            flat(m.SEATS_LEASED, "0x2 393216x30", **GATEWAY) | flat(m.WORKERS, "2x30", **GATEWAY),
            "7m",
        ),
    ),
)
SPOOL_WAITS: Final = Alert(
    "TurnoutSpoolWaits",
    f"{queries.SPOOL_OLDEST(_NOW)} > {t.SPOOL_OLD_BAD_S:g}",
    "1m",
    Severity.PAGE,
    "Evidence is not handed over",
    "The oldest minute in the spool of {{ $labels.instance }} ended {{ $value | humanizeDuration }} ago. Nothing is "
    "lost, but the public log lacks it, and the disk fills.",
    (
        Case(
            "fires when the ledger has taken nothing for minutes",
            flat(m.SPOOL_OLDEST, "5x4 0+15x30", **GATEWAY),
            "6m",
            (Fired(GATEWAY, "4m 45s"),),
        ),
        Case(
            "stays quiet when the ledger was away for two minutes and a half",
            flat(m.SPOOL_OLDEST, "5x4 0+15x10 3x30", **GATEWAY),
            "8m",
        ),
    ),
)
SPOOL_FILLING: Final = Alert(
    "TurnoutSpoolDiskFilling",
    f"{queries.SPOOL_DISK_FREE(_NOW)}\nand\n{q.SPOOL_DISK_SOON(_NOW)} < {t.DISK_FREE_BAD_BYTES}",
    "15m",
    Severity.TICKET,
    "The disk of a spool fills",
    "The disk of the spool of {{ $labels.instance }} has {{ $value | humanize1024 }}B left, and as it has gone for the "
    "last minutes that will be gone within four hours.",
    (
        Case(
            "fires when it loses a gigabyte a minute of two hundred",
            flat(m.SPOOL_DISK_FREE, f"{165 * _GB}-{_GB // 4}x120", **GATEWAY),
            "20m",
            (Fired(GATEWAY, "135Gi"),),
        ),
        Case(
            "stays quiet when each minute takes room and gives it back",
            flat(m.SPOOL_DISK_FREE, " ".join(f"{50 * _GB}-{_GB // 4}x3" for _ in range(60)), **GATEWAY),
            "20m",
        ),
        Case(
            "stays quiet when a new gateway takes room for its first spools",
            flat(m.SPOOL_DISK_FREE, f"{50 * _GB}-{_GB}x4 {45 * _GB}x200", **GATEWAY),
            "25m",
        ),
    ),
)
SPOOL_LOW: Final = Alert(
    "TurnoutSpoolDiskLow",
    f"{queries.SPOOL_DISK_FREE(_NOW)} < {t.DISK_FREE_BAD_BYTES}",
    "30s",
    Severity.PAGE,
    "The disk of a spool is almost full",
    "The disk of the spool of {{ $labels.instance }} has {{ $value | humanize1024 }}B left. Newcomers are refused when "
    "256 MB are left, heartbeats when nothing is.",
    (
        Case(
            "fires when less than a gigabyte is left",
            flat(m.SPOOL_DISK_FREE, f"{2 * _GB}x8 {_GB // 2}x20", **GATEWAY),
            "4m",
            (Fired(GATEWAY, "476.8Mi"),),
        ),
        Case(
            "stays quiet when it is so for a moment",
            flat(m.SPOOL_DISK_FREE, f"{2 * _GB}x8 {_GB // 2} {2 * _GB}x20", **GATEWAY),
            "4m",
        ),
        Case("stays quiet when nobody knows", flat(m.SPOOL, "0x30", **GATEWAY), "4m"),
    ),
)
HANDOVERS_REFUSED: Final = Alert(
    "TurnoutHandoversRefused",
    f"{q.HANDOVERS_REFUSED(in_rules('2m'))} > 0",
    "3m",
    Severity.PAGE,
    "The ledger refuses evidence",
    "The ledger refused {{ $value | humanize }} hand-overs of {{ $labels.instance }} within two minutes. It does not "
    "take them later either, until somebody mends the cause.",
    (
        Case(
            "fires when the same bundle is refused again and again",
            flat(m.HANDOVERS, "0x8 0+3x30", outcome="refused", **GATEWAY),
            "7m",
            (Fired(GATEWAY, "24"),),
        ),
        Case(
            "stays quiet when a bundle is refused once and made again",
            flat(m.HANDOVERS, "0x8 1x40", outcome="refused", **GATEWAY),
            "9m",
        ),
        Case(
            "stays quiet when the ledger is away, which heals by itself",
            flat(m.HANDOVERS, "0x8 0+3x30", outcome="unreachable", **GATEWAY)
            | flat(m.HANDOVERS, "0x40", outcome="refused", **GATEWAY),
            "6m",
        ),
        Case(
            "stays quiet when a gateway that was refused before starts anew",
            flat(m.HANDOVERS, "70x10 _x2 0x30", outcome="refused", **GATEWAY),
            "8m",
        ),
    ),
)
CLOCK_OFF: Final = Alert(
    "TurnoutClockOff",
    f"{queries.CLOCK_OFFSET(_NOW)} > {t.CLOCK_OFFSET_REPORTED_S:g}",
    "1m",
    Severity.TICKET,
    "A gateway's clock is off",
    "The clock of {{ $labels.instance }} is {{ $value | humanizeDuration }} away from the ledger's. The evidence says "
    "so; above 30 s the gateway takes nobody in.",
    (
        Case(
            "fires when a gateway is three seconds behind",
            flat(m.CLOCK_OFFSET, "-3x20", **GATEWAY),
            "3m",
            (Fired(GATEWAY, "3s"),),
        ),
        Case("stays quiet within two seconds", flat(m.CLOCK_OFFSET, "-1.9x10 3x2 1.9x10", **GATEWAY), "5m"),
        Case("stays quiet while nobody has measured it", flat(m.WORKERS, "2x20", **GATEWAY), "4m"),
    ),
)
CLOCK_UNREADY: Final = Alert(
    "TurnoutClockUnready",
    f"{queries.CLOCK_OFFSET(_NOW)} > {t.CLOCK_OFFSET_UNREADY_S:g}",
    "30s",
    Severity.PAGE,
    "A gateway's clock is so far off that it is not ready",
    "The clock of {{ $labels.instance }} is {{ $value | humanizeDuration }} away from the ledger's: the gateway says "
    "that it is not ready, and the load balancer sends nobody there.",
    (
        Case(
            "fires when a gateway is a minute and a half ahead",
            flat(m.CLOCK_OFFSET, "90x20", **GATEWAY),
            "3m",
            (Fired(GATEWAY, "1m 30s"),),
        ),
        Case(
            "stays quiet when it is half a minute off, or more for a moment",
            flat(m.CLOCK_OFFSET, "-29x10 90 29x10", **GATEWAY),
            "5m",
        ),
    ),
)

OF_CARRYING: Final = (
    LIVE_STALE, FLUSH_FAILING, FLUSH_SLOW, REGISTRY_FAILING, SEATS, SPOOL_WAITS, SPOOL_FILLING, SPOOL_LOW,
    HANDOVERS_REFUSED, CLOCK_OFF, CLOCK_UNREADY,
)  # fmt: skip
