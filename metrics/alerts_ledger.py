"""Alerts on the ledger: it does not seal, its disk, gateways that it does not hear, witnesses, and the two paths."""

from typing import Final

from metrics import catalogue as m
from metrics import queries
from metrics import rule_queries as q
from metrics import thresholds as t
from metrics.case_series import CLOSED, LEDGER, OPEN, OVER, flat
from metrics.promql import in_rules
from metrics.rule import Alert, Case, Fired, Severity

_NOW: Final = in_rules("5m")
_OPEN: Final = f"and on (event) {q.DOORS_OPEN} == 1"
_GB: Final = 1_000_000_000
_NEWS: Final = LEDGER | {"witness": "newspaper"}

NOT_SEALING: Final = Alert(
    "TurnoutLedgerNotSealing",
    f"{queries.WINDOWS_OVERDUE(_NOW)} >= {t.WINDOWS_OVERDUE_MANY}",
    "1m",
    Severity.PAGE,
    "The ledger does not seal",
    "{{ $value }} minutes that are over have no leaf in the log. Nothing is lost; nobody can check what is not in it.",
    (
        Case(
            "fires when more and more minutes wait",
            flat(m.LEDGER_WINDOWS_OVERDUE, "0x4 1x3 2x3 3x3 4x3 5x20", **LEDGER),
            "6m",
            (Fired(value="5"),),
        ),
        Case(
            "stays quiet when the ledger restarts and seals what waited",
            flat(m.LEDGER_WINDOWS_OVERDUE, "0x4 stale _x3 4x2 2x20", **LEDGER),
            "6m",
        ),
        Case("stays quiet when no session is on", CLOSED | flat(m.LEDGER_WINDOWS_OVERDUE, "0x30", **LEDGER), "6m"),
    ),
)
GATEWAY_SILENT: Final = Alert(
    "TurnoutGatewaySilent",
    f"{queries.GATEWAYS_SILENT(_NOW)} > 0\n{_OPEN}",
    "1m",
    Severity.PAGE,
    "The ledger does not hear a gateway",
    "{{ $value }} gateways that hold seats have not been heard by the ledger for a minute. Every window waits 8 s for "
    "them and names them as missing.",
    (
        Case(
            "fires when a gateway is cut off",
            OPEN | flat(m.LEDGER_GATEWAYS_SILENT, "0x4 1x30", **LEDGER),
            "6m",
            (Fired(value="1"),),
        ),
        Case(
            "stays quiet when it is back within half a minute",
            OPEN | flat(m.LEDGER_GATEWAYS_SILENT, "0x4 1x2 0x30", **LEDGER),
            "6m",
        ),
        Case(
            "stays quiet when its host is switched off after the event",
            OVER | flat(m.LEDGER_GATEWAYS_SILENT, "0x70 1x30", **LEDGER),
            "20m",
        ),
    ),
)
GAPS: Final = Alert(
    "TurnoutWindowsWithGaps",
    f"{q.WINDOWS_WITH_GAPS(in_rules('15m'))} > 0",
    "0s",
    Severity.TICKET,
    "Minutes were sealed without all of their evidence",
    "{{ $value }} minutes of the last quarter of an hour were sealed with a gap. Evidence that is still in "
    "a spool comes as a late leaf; what does not come is printed with its bounds.",
    (
        Case(
            "fires when minutes are sealed without a worker",
            flat(m.LEDGER_WINDOWS_WITH_GAPS, "0x20 1x3 2x40", **LEDGER),
            "15m",
            (Fired(value="2"),),
        ),
        Case(
            "fires with whole minutes when Prometheus has watched for little more than a minute",
            flat(m.LEDGER_WINDOWS_WITH_GAPS, "1x2 3x60", **LEDGER),
            "1m15s",
            (Fired(value="2"),),
        ),
        Case(
            "stays quiet when the gaps are yesterday's and the ledger restarts",
            flat(m.LEDGER_WINDOWS_WITH_GAPS, "7x20 _x4 7x40", **LEDGER),
            "15m",
        ),
    ),
)
SET_BACK: Final = Alert(
    "TurnoutLedgerSetBack",
    f"{queries.SET_BACK(_NOW)} == 1",
    "15s",
    Severity.PAGE,
    "The ledger runs on older data than it has shown",
    "Gateways have seen more of the log than the ledger's data hold, so it stands still: it seals, signs and grants "
    "nothing until somebody brings the newest data or says in the log that they are lost.",
    (
        Case("fires when an old backup was started", flat(m.LEDGER_SET_BACK, "0x2 1x20", **LEDGER), "3m", (Fired(),)),
        Case(
            "stays quiet when a start has just asked the gateways",
            flat(m.LEDGER_SET_BACK, "0x2 1 0x20", **LEDGER),
            "3m",
        ),
    ),
)
DISK_REFUSES: Final = Alert(
    "TurnoutLedgerDiskRefuses",
    f"{queries.LEDGER_DISK_REFUSES(_NOW)} == 1",
    "15s",
    Severity.PAGE,
    "The ledger's disk refuses",
    "The ledger takes nothing because its disk did not take what it wrote last. Gateways keep everything meanwhile; it "
    "goes on by itself when the disk does.",
    (
        Case("fires when the disk is full", flat(m.LEDGER_DISK_REFUSES, "0x4 1x20", **LEDGER), "3m", (Fired(),)),
        Case("stays quiet when one write failed", flat(m.LEDGER_DISK_REFUSES, "0x4 1 0x20", **LEDGER), "3m"),
    ),
)
DISK_FILLING: Final = Alert(
    "TurnoutLedgerDiskFilling",
    f"{q.LEDGER_DISK_FREE(_NOW)}\nand\n{q.LEDGER_DISK_SOON(_NOW)} < {t.DISK_FREE_BAD_BYTES}",
    "15m",
    Severity.TICKET,
    "The ledger's disk fills",
    "The ledger's disk at {{ $labels.instance }} has {{ $value | humanize1024 }}B left, and as it has gone for the "
    "last minutes that will be gone within four hours.",
    (
        Case(
            "fires when it loses a gigabyte a minute of two hundred",
            flat(m.LEDGER_DISK_FREE, f"{165 * _GB}-{_GB // 4}x120", **LEDGER),
            "20m",
            (Fired(LEDGER, "135Gi"),),
        ),
        Case(
            "stays quiet when a file of forty gigabytes is put there",
            flat(m.LEDGER_DISK_FREE, f"{100 * _GB}x40 {60 * _GB}x100", **LEDGER),
            "30m",
        ),
        Case(
            "stays quiet when it loses a hundredth of that",
            flat(m.LEDGER_DISK_FREE, f"{165 * _GB}-{_GB // 400}x120", **LEDGER),
            "20m",
        ),
    ),
)
DISK_LOW: Final = Alert(
    "TurnoutLedgerDiskLow",
    f"{q.LEDGER_DISK_FREE(_NOW)} < {t.DISK_FREE_BAD_BYTES}",
    "30s",
    Severity.PAGE,
    "The ledger's disk is almost full",
    "The ledger's disk at {{ $labels.instance }} has {{ $value | humanize1024 }}B left. When nothing fits any more, no "
    "window is sealed.",
    (
        Case(
            "fires when less than a gigabyte is left",
            flat(m.LEDGER_DISK_FREE, f"{2 * _GB}x8 {_GB // 2}x20", **LEDGER),
            "4m",
            (Fired(LEDGER, "476.8Mi"),),
        ),
        Case(
            "stays quiet when it is so for a moment",
            flat(m.LEDGER_DISK_FREE, f"{2 * _GB}x8 {_GB // 2} {2 * _GB}x20", **LEDGER),
            "4m",
        ),
    ),
)
QUORUM_LOST: Final = Alert(
    "TurnoutQuorumLost",
    f"{queries.QUORUM_HELD(_NOW)} == 0",
    "1m",
    Severity.PAGE,
    "Too few witnesses cosign: nothing is published",
    "For a minute too few witnesses have cosigned the log, or one has seen more of it than there is here. Sealing may "
    "go on; nothing new is published, and no certificate is issued.",
    (
        Case("fires when too few answer", flat(m.LEDGER_QUORUM_HELD, "1x4 0x20", **LEDGER), "4m", (Fired(),)),
        Case("stays quiet when they come back at once", flat(m.LEDGER_QUORUM_HELD, "1x4 0x2 1x20", **LEDGER), "4m"),
    ),
)
WITNESS_AWAY: Final = Alert(
    "TurnoutWitnessAway",
    f"{q.WITNESS_COSIGNED(in_rules('10m'))} == 0\nand\n{q.WITNESS_ASKED(in_rules('10m'))} > 0",
    "5m",
    Severity.TICKET,
    "A witness does not cosign",
    "Witness {{ $labels.witness }} was asked for ten minutes and has cosigned nothing.",
    (
        Case(
            "fires when a witness cannot be reached",
            flat(m.LEDGER_COSIGNINGS, "0+3x100", outcome="unreachable", **_NEWS)
            | flat(m.LEDGER_COSIGNINGS, "4x100", outcome="cosigned", **_NEWS)
            | flat(m.LEDGER_COSIGNINGS, "0+1x100", outcome="cosigned", witness="university", **LEDGER),
            "20m",
            (Fired({"witness": "newspaper"}),),
        ),
        Case(
            "stays quiet when it was started minutes after the ledger",
            flat(m.LEDGER_COSIGNINGS, "0+3x12 36x100", outcome="unreachable", **_NEWS)
            | flat(m.LEDGER_COSIGNINGS, "0x14 0+1x100", outcome="cosigned", **_NEWS),
            "20m",
        ),
        Case(
            "stays quiet when the log does not grow and nobody is asked",
            flat(m.LEDGER_COSIGNINGS, "4x100", outcome="cosigned", **_NEWS),
            "20m",
        ),
        Case(
            "stays quiet when it was told another size and cosigns then",
            flat(m.LEDGER_COSIGNINGS, "0+0.25x100", outcome="cosigned", **_NEWS)
            | flat(m.LEDGER_COSIGNINGS, "0+0.25x100", outcome="conflict", **_NEWS),
            "20m",
        ),
    ),
)
WITNESS_CONTRADICTS: Final = Alert(
    "TurnoutWitnessContradicts",
    f"{q.WITNESS_CONTRADICTS(in_rules('15m'))} > 0",
    "0s",
    Severity.PAGE,
    "A witness says that the log is not the one it knows",
    "Witness {{ $labels.witness }} has refused the log as inconsistent with what it cosigned before. Either the "
    "ledger's data are not the newest, or the log has two histories.",
    (
        Case(
            "fires when the log was set back",
            flat(m.LEDGER_COSIGNINGS, "0x10 1x30", outcome="inconsistent", **_NEWS),
            "5m",
            (Fired({"witness": "newspaper"}),),
        ),
        Case(
            "stays quiet when it cosigns or is away",
            flat(m.LEDGER_COSIGNINGS, "0x30", outcome="inconsistent", **_NEWS)
            | flat(m.LEDGER_COSIGNINGS, "0+1x30", outcome="unreachable", **_NEWS)
            | flat(m.LEDGER_COSIGNINGS, "0+1x30", outcome="conflict", **_NEWS),
            "5m",
        ),
    ),
)
_EACH_MINUTE: Final = flat(m.LEDGER_SEALED_WINDOW, "0x3 60x3 120x3 180x3 240x3 300x3 360x3 420x3", **LEDGER)
PATHS_DISAGREE: Final = Alert(
    "TurnoutPathsDisagree",
    f"(\n{q.PATHS_APART(_NOW)}\n) > {t.PATHS_APART_ERRORS:g}\n"
    f"and on (event) {q.WINDOWS_SEEN(in_rules('3m'))} >= {t.PATHS_APART_WINDOWS}",
    f"{t.PATHS_APART_WINDOWS - 1}m",
    Severity.PAGE,
    "The two ways of counting disagree",
    "In {{ $labels.session }} sketches and seats have been more than 5 standard errors apart in three minutes running, "
    "now {{ $value | humanize }}. They count the same people: one of them is wrong.",
    (
        Case(
            "fires when a session is far apart in three windows running",
            _EACH_MINUTE | flat(m.WINDOW_DIFFERENCE, "0.5x7 -9x24", session="opening", **LEDGER)
            | flat(m.WINDOW_DIFFERENCE, "0.5x30", session="forum-7", **LEDGER),
            "5m",
            (Fired({"session": "opening"}, "9"),),
        ),
        Case(
            "fires when the event as a whole is",
            _EACH_MINUTE | flat(m.WINDOW_EVENT_DIFFERENCE, "0.5x7 7.25x24", **LEDGER),
            "5m",
            (Fired({"session": q.WHOLE_EVENT}, "7.25"),),
        ),
        Case(
            "stays quiet when two windows running are apart and the third is not",
            _EACH_MINUTE | flat(m.WINDOW_DIFFERENCE, "0x3 9x7 1x3 9x7 1x20", session="opening", **LEDGER),
            "7m",
        ),
        Case(
            "stays quiet when one window is apart and none follows",
            flat(m.LEDGER_SEALED_WINDOW, "0x3 60x30", **LEDGER)
            | flat(m.WINDOW_DIFFERENCE, "0x3 9x30", session="opening", **LEDGER),
            "8m",
        ),
        Case(
            "stays quiet when nothing can be compared",
            _EACH_MINUTE,
            "7m",
        ),
    ),
)  # fmt: skip

OF_LEDGER: Final = (
    NOT_SEALING, GATEWAY_SILENT, GAPS, SET_BACK, DISK_REFUSES, DISK_FILLING, DISK_LOW, QUORUM_LOST, WITNESS_AWAY,
    WITNESS_CONTRADICTS, PATHS_DISAGREE,
)  # fmt: skip
