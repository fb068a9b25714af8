"""Ledger and witnesses: whether minutes become leaves, leaves are cosigned, and nobody is waited for."""

from typing import Final

from metrics import queries as q
from metrics import thresholds as t
from metrics.dashboards.event import REALITY
from metrics.dashboards.panel import (
    EVENT,
    IN_FIVE_MINUTES,
    NEUTRAL,
    PROCESSES,
    Colour,
    Dashboard,
    Panel,
    Row,
    Series,
    Shape,
    Unit,
    Variable,
    Word,
    high_is_bad,
    low_is_bad,
)
from metrics.promql import Scope

WITNESSES: Final = Variable("witness", "Witness process", "label_values(turnout_witness_logs, instance)", several=True)
"""Witnesses are outsiders and belong to no event: those that this Prometheus happens to scrape."""
_OF_WITNESSES: Final = Scope("5m", "$witness", "$__range")

_BRIEF: Final = Row(
    "In brief",
    (
        REALITY,
        Panel(
            title="Are minutes being sealed in time?",
            says="Minutes that ended more than ten seconds ago, on the event's clock, and have no leaf.",
            shape=Shape.NUMBER,
            series=(Series(q.WINDOWS_OVERDUE, "overdue"),),
            unit=Unit.EXACT,
            width=4,
            height=4,
            thresholds=high_is_bad(bad=1),
            loud=True,
        ),
        Panel(
            title="Do enough witnesses cosign?",
            says="LOST: too few answer, or one has seen more of the log than there is here. Sealing goes on, and "
            "nothing is published until they are back.",
            shape=Shape.NUMBER,
            series=(Series(q.QUORUM_HELD, "quorum"),),
            unit=Unit.EXACT,
            width=4,
            height=4,
            words=(Word(1, "HELD", Colour.GOOD), Word(0, "LOST", Colour.BAD)),
            loud=True,
        ),
        Panel(
            title="Does the ledger stand still?",
            says="STANDS STILL: gateways have seen more of the log than its data hold, as after an old backup was "
            "restored. Bring the newest data directory back; gateways keep their evidence meanwhile.",
            shape=Shape.NUMBER,
            series=(Series(q.SET_BACK, "set back"),),
            unit=Unit.EXACT,
            width=4,
            height=4,
            words=(Word(0, "RUNS", Colour.GOOD), Word(1, "STANDS STILL", Colour.BAD)),
            loud=True,
        ),
        Panel(
            title="Does the disk take what is written?",
            says="REFUSES: the disk of the data directory did not take what the ledger wrote last; it takes nothing "
            "until there is room.",
            shape=Shape.NUMBER,
            series=(Series(q.LEDGER_DISK_REFUSES, "disk"),),
            unit=Unit.EXACT,
            width=4,
            height=4,
            words=(Word(0, "TAKES", Colour.GOOD), Word(1, "REFUSES", Colour.BAD)),
            loud=True,
        ),
    ),
)

_SEALING: Final = Row(
    "Sealing",
    (
        Panel(
            title="Which minute was sealed last, and when was the log last signed?",
            says="On the event's clock: the start of the newest sealed minute, and the time of the newest checkpoint.",
            shape=Shape.NUMBER,
            series=(Series(q.NEWEST_WINDOW_MS, "minute sealed"), Series(q.NEWEST_CHECKPOINT_MS, "log signed")),
            unit=Unit.TIME,
            width=24,
            height=3,
            thresholds=NEUTRAL,
        ),
        Panel(
            title="How many leaves has the published log?",
            says="It grows by one leaf a minute while the event runs, and by certificates and late evidence.",
            shape=Shape.LINES,
            series=(Series(q.LEAVES_OF_THE_LOG, "leaves"), Series(q.WITHHELD, "withheld")),
            unit=Unit.COUNT,
            width=8,
        ),
        Panel(
            title="How many windows are sealed, how many are overdue?",
            says="Windows sealed within five minutes, and those that ended more than ten seconds ago and are not.",
            shape=Shape.LINES,
            series=(Series(q.WINDOWS_SEALED, "sealed", IN_FIVE_MINUTES), Series(q.WINDOWS_OVERDUE, "overdue")),
            unit=Unit.COUNT,
            width=8,
        ),
        Panel(
            title="How long after its end is a window sealed?",
            says="Newest window: from its end to its leaf. Up to 8 s a window waits for a gateway that is silent.",
            shape=Shape.LINES,
            series=(Series(q.SEAL_LAG, "after its end"),),
            unit=Unit.SECONDS,
            width=8,
            thresholds=high_is_bad(bad=t.SEAL_LATE_S),
        ),
        Panel(
            title="How long does sealing take the ledger?",
            says="From looking at what is due to a durable leaf: half, and 99 of 100.",
            shape=Shape.LINES,
            series=(Series(q.SEAL_P50, "50 %", IN_FIVE_MINUTES), Series(q.SEAL_P99, "99 %", IN_FIVE_MINUTES)),
            unit=Unit.SECONDS,
            width=8,
            thresholds=high_is_bad(bad=t.SEAL_LATE_S),
        ),
        Panel(
            title="Which gateways does the ledger hear?",
            says="Gateways heard within ten seconds, and those that hold seats and were not: each window waits for "
            "them. If one is gone for good, turnout retire ends that.",
            shape=Shape.LINES,
            series=(Series(q.GATEWAYS_HEARD, "heard"), Series(q.GATEWAYS_SILENT, "silent")),
            unit=Unit.COUNT,
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

_WITNESSED: Final = Row(
    "Witnesses, as the ledger sees them",
    (
        Panel(
            title="How old is the newest cosigned checkpoint?",
            says="Seconds since the last cosignature that it needed was made. An outsider sees the log as it was "
            "then. It grows between events, when nothing is sealed.",
            shape=Shape.LINES,
            series=(Series(q.COSIGNED_AGE, "with a quorum"), Series(q.COSIGNED_AGE_BY_WITNESS, "{{witness}}")),
            unit=Unit.SECONDS,
            width=8,
            thresholds=high_is_bad(t.COSIGNED_OLD_WARN_S, t.COSIGNED_OLD_BAD_S),
        ),
        Panel(
            title="What do the witnesses say?",
            says="Answers within five minutes, by witness. conflict only tells the log a size; inconsistent means "
            "that a witness has seen another history: stop, and read the runbook.",
            shape=Shape.STACK,
            series=(Series(q.COSIGNINGS, "{{outcome}} {{witness}}", IN_FIVE_MINUTES),),
            unit=Unit.COUNT,
            width=8,
        ),
        Panel(
            title="How many witnesses are there, how many must cosign?",
            says="As the event file names them. With none, an operator could rewrite the whole log afterwards.",
            shape=Shape.NUMBER,
            series=(Series(q.WITNESSES, "named"), Series(q.QUORUM, "must cosign")),
            unit=Unit.EXACT,
            width=8,
            height=4,
            thresholds=NEUTRAL,
        ),
        Panel(
            title="How many leaves wait to be published?",
            says="Leaves that are in the log and not shown, because too few witnesses have cosigned them.",
            shape=Shape.NUMBER,
            series=(Series(q.WITHHELD, "withheld"),),
            unit=Unit.EXACT,
            width=8,
            height=4,
            thresholds=high_is_bad(warn=2, bad=5),
        ),
        Panel(
            title="What does the timestamp authority say?",
            says="Questions within five minutes, by what came of them (RFC 3161). Flat at zero where none is "
            "configured.",
            shape=Shape.LINES,
            series=(Series(q.TIMESTAMPS, "{{outcome}}", IN_FIVE_MINUTES),),
            unit=Unit.COUNT,
            width=24,
            height=5,
        ),
    ),
)

_THEMSELVES: Final = Row(
    "Witnesses, as they see themselves",
    (
        Panel(
            title="What does each witness answer?",
            says="Requests to cosign within five minutes, by what it said. Only witnesses that this Prometheus "
            "scrapes: most are outsiders and it does not.",
            shape=Shape.STACK,
            series=(Series(q.WITNESS_REQUESTS, "{{outcome}} {{instance}}", _OF_WITNESSES),),
            unit=Unit.COUNT,
            width=8,
        ),
        Panel(
            title="How many logs does each witness watch?",
            says="Logs of which it has cosigned a checkpoint.",
            shape=Shape.NUMBER,
            series=(Series(q.WITNESS_LOGS, "{{instance}}", _OF_WITNESSES),),
            unit=Unit.EXACT,
            width=8,
            thresholds=NEUTRAL,
        ),
        Panel(
            title="When did each witness last cosign?",
            says="Seconds since, on its clock. It grows between events.",
            shape=Shape.LINES,
            series=(Series(q.WITNESS_COSIGNED_AGE, "{{instance}}", _OF_WITNESSES),),
            unit=Unit.SECONDS,
            width=8,
            thresholds=high_is_bad(t.COSIGNED_OLD_WARN_S, t.COSIGNED_OLD_BAD_S),
        ),
    ),
)

_PROCESS: Final = Row(
    "Disk and processes",
    (
        Panel(
            title="How much evidence is kept?",
            says="Evidence that leaves name or that waits for its leaf. It only grows.",
            shape=Shape.LINES,
            series=(Series(q.EVIDENCE, "evidence"),),
            unit=Unit.BYTES,
            width=8,
        ),
        Panel(
            title="How much room has the ledger's disk?",
            says="On the disk of the data directory. Full: nothing is sealed, and gateways keep their evidence.",
            shape=Shape.LINES,
            series=(Series(q.LEDGER_DISK_FREE, "free"),),
            unit=Unit.BYTES,
            width=8,
            thresholds=low_is_bad(t.DISK_FREE_BAD_BYTES, t.DISK_FREE_WARN_BYTES),
        ),
        Panel(
            title="Which versions run?",
            says="Processes of the event by version of the software. More than one while an upgrade is under way.",
            shape=Shape.NUMBER,
            series=(Series(q.VERSIONS, "{{version}}"),),
            unit=Unit.EXACT,
            width=8,
            thresholds=NEUTRAL,
        ),
        Panel(
            title="How busy is each process?",
            says="CPU time per second of the ledger and of each gateway's parent: 1 is a whole core.",
            shape=Shape.LINES,
            series=(Series(q.PROCESS_CPU, "{{job}} {{instance}}"),),
            unit=Unit.SHARE,
            width=8,
            thresholds=high_is_bad(t.WORKER_CPU_WARN, t.WORKER_CPU_BAD),
        ),
        Panel(
            title="How much memory does each process take?",
            says="Resident memory of the ledger and of each gateway's parent. Certificates of large events need the "
            "most.",
            shape=Shape.LINES,
            series=(Series(q.PROCESS_MEMORY, "{{job}} {{instance}}"),),
            unit=Unit.BYTES,
            width=8,
        ),
        Panel(
            title="How long has each process been running?",
            says="Since its start. A fall is a restart.",
            shape=Shape.LINES,
            series=(Series(q.STARTED, "{{job}} {{instance}}"),),
            unit=Unit.SECONDS,
            width=8,
        ),
    ),
)

LEDGER_DASHBOARD: Final = Dashboard(
    uid="turnout-ledger",
    title="Turnout: Ledger and witnesses",
    says="Whether minutes become leaves, leaves are cosigned, and nobody is waited for.",
    rows=(_BRIEF, _SEALING, _WITNESSED, _THEMSELVES, _PROCESS),
    variables=(EVENT, PROCESSES, WITNESSES),
)
