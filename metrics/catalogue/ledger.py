"""What the ledger says of itself: how far its log is, which gateways it hears, who vouches for it, and its disk."""

from typing import Final

from metrics.catalogue.vocabulary import Kind, Label, Metric, Open, Process, metrics_in, outcome

WITNESS_VERDICTS: Final = ("cosigned", "malformed", "untrusted", "unknown_log", "conflict", "inconsistent")
"""What a witness says to a log (counters.ledger.witness_protocol). `conflict` is no harm: it tells the log a size."""
COSIGNING_OUTCOMES: Final = (*WITNESS_VERDICTS, "unreachable", "not_understood")
"""The same as the ledger sees it; `not_understood` is an answer that is none of them, or no cosignature."""
TIMESTAMP_OUTCOMES: Final = ("kept", "unreachable", "refused", "disk")
"""What came of a question to a timestamp authority; `refused` is also an answer to another question, or none."""

SEAL_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From a window in which nobody was there to a full one; within a minute the next one is due."""

_LEDGER: Final = (Process.LEDGER,)
_WITNESS: Final = Label("witness", more=Open.WITNESSES)

LEDGER_SIZE: Final = Metric("turnout_ledger_size", Kind.GAUGE, "Leaves in the published log.", _LEDGER)
LEDGER_SEALED_WINDOW: Final = Metric(
    "turnout_ledger_sealed_window_timestamp_seconds",
    Kind.GAUGE,
    "Start of the newest sealed window, unix time on the event's clock.",
    _LEDGER,
    unit="seconds",
)
LEDGER_SEAL_LAG: Final = Metric(
    "turnout_ledger_seal_lag_seconds",
    Kind.GAUGE,
    "Seconds from the end of the newest sealed window to its leaf.",
    _LEDGER,
    unit="seconds",
)
LEDGER_WINDOWS_OVERDUE: Final = Metric(
    "turnout_ledger_windows_overdue",
    Kind.GAUGE,
    "Windows that ended more than 10 s ago, on the event's clock, and have no leaf: workers are waited for 8 s.",
    _LEDGER,
)
LEDGER_WINDOWS_SEALED: Final = Metric(
    "turnout_ledger_windows_sealed_total", Kind.COUNTER, "Windows in the log, sealed by whatever process.", _LEDGER
)
LEDGER_WINDOWS_WITH_GAPS: Final = Metric(
    "turnout_ledger_windows_with_gaps_total",
    Kind.COUNTER,
    "Those of them that were sealed without a worker's evidence or a part of it, or in whose schedule nobody was there "
    "to accept any; what came later changes nothing here.",
    _LEDGER,
)
LEDGER_LATE_LEAVES: Final = Metric(
    "turnout_ledger_late_leaves_total", Kind.COUNTER, "Leaves for evidence that came after its window's.", _LEDGER
)
LEDGER_SEAL_DURATION: Final = Metric(
    "turnout_ledger_seal_duration_seconds",
    Kind.HISTOGRAM,
    "Time that sealing took the ledger's thread, from looking at what is due to a durable leaf; several windows that "
    "are due at once are one.",
    _LEDGER,
    unit="seconds",
    buckets=SEAL_BUCKETS_S,
)
LEDGER_GATEWAYS: Final = Metric(
    "turnout_ledger_gateways", Kind.GAUGE, "Gateways that were heard within the last 10 s.", _LEDGER
)
LEDGER_GATEWAYS_SILENT: Final = Metric(
    "turnout_ledger_gateways_silent",
    Kind.GAUGE,
    "Gateways that hold seats, have not ended and were not retired, and were not heard for 10 s: each window waits for "
    "them in vain.",
    _LEDGER,
)
LEDGER_CHECKPOINT: Final = Metric(
    "turnout_ledger_checkpoint_timestamp_seconds",
    Kind.GAUGE,
    "When the newest checkpoint was signed, unix time on the event's clock.",
    _LEDGER,
    unit="seconds",
)
LEDGER_SET_BACK: Final = Metric(
    "turnout_ledger_set_back",
    Kind.GAUGE,
    "1 while the ledger stands still because gateways have seen more of it than its data hold.",
    _LEDGER,
)
LEDGER_MISSING_WORKERS: Final = Metric(
    "turnout_ledger_missing_workers_total",
    Kind.COUNTER,
    "Workers that had not reported when a window was sealed, added up over all windows.",
    _LEDGER,
)
LEDGER_WITHHELD: Final = Metric(
    "turnout_ledger_withheld",
    Kind.GAUGE,
    "Leaves that are in the log and not published yet, because too few witnesses have cosigned them.",
    _LEDGER,
)
LEDGER_WITNESSES: Final = Metric(
    "turnout_ledger_witnesses",
    Kind.GAUGE,
    "Witnesses in the event file. With none, a log restored from an old backup cannot be told from the newest.",
    _LEDGER,
)
LEDGER_QUORUM: Final = Metric(
    "turnout_ledger_quorum", Kind.GAUGE, "Witnesses that must cosign before anything is published.", _LEDGER
)
LEDGER_QUORUM_HELD: Final = Metric(
    "turnout_ledger_quorum_held",
    Kind.GAUGE,
    "0 while nothing is published because too few witnesses cosign, or one has seen more than there is here; else 1.",
    _LEDGER,
)
LEDGER_COSIGNED: Final = Metric(
    "turnout_ledger_cosigned_timestamp_seconds",
    Kind.GAUGE,
    "When the last cosignature was made that the newest checkpoint with a quorum needs, unix time on its witness's "
    "clock; where none is required, the first that there is.",
    _LEDGER,
    unit="seconds",
)
LEDGER_WITNESS_COSIGNED: Final = Metric(
    "turnout_ledger_witness_cosigned_timestamp_seconds",
    Kind.GAUGE,
    "When a witness cosigned last, unix time on its clock.",
    _LEDGER,
    (_WITNESS,),
    unit="seconds",
)
LEDGER_COSIGNINGS: Final = Metric(
    "turnout_ledger_cosignings_total",
    Kind.COUNTER,
    "Requests for a cosignature since the ledger started, by witness and by what it said.",
    _LEDGER,
    (_WITNESS, Label("outcome", COSIGNING_OUTCOMES)),
)
LEDGER_TIMESTAMPS: Final = Metric(
    "turnout_ledger_timestamps_total",
    Kind.COUNTER,
    "Questions to the timestamp authority since the ledger started, by what came of them.",
    _LEDGER,
    outcome(TIMESTAMP_OUTCOMES),
)
LEDGER_EVIDENCE: Final = Metric(
    "turnout_ledger_evidence_bytes",
    Kind.GAUGE,
    "Evidence that leaves name, or that waits for its leaf; manifests included.",
    _LEDGER,
    unit="bytes",
)
LEDGER_DISK_FREE: Final = Metric(
    "turnout_ledger_disk_free_bytes",
    Kind.GAUGE,
    "Room that the ledger has on the disk of its data directory; absent while the disk does not answer.",
    _LEDGER,
    unit="bytes",
)
LEDGER_DISK_REFUSES: Final = Metric(
    "turnout_ledger_disk_refuses",
    Kind.GAUGE,
    "1 while the ledger takes nothing because its disk did not take what it wrote last, else 0.",
    _LEDGER,
)

METRICS: Final = metrics_in(vars())
