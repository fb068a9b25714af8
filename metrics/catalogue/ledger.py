"""What the ledger says: how far its log is, who vouches for it, and the exact numbers of the newest sealed window."""

from typing import Final

from metrics.catalogue.vocabulary import SESSION, Kind, Label, Metric, Open, Process, metrics_in, outcome

WITNESS_VERDICTS: Final = ("cosigned", "malformed", "untrusted", "unknown_log", "conflict", "inconsistent")
"""What a witness says to a log (counters.ledger.witness_protocol). `conflict` is no harm: it tells the log a size."""
COSIGNING_OUTCOMES: Final = (*WITNESS_VERDICTS, "unreachable", "not_understood")
"""The same as the ledger sees it; `not_understood` is an answer that is none of them, or no cosignature."""
TIMESTAMP_OUTCOMES: Final = ("kept", "unreachable", "refused", "disk")
"""What came of a question to a timestamp authority; `refused` is also an answer to another question, or none."""

_LEDGER: Final = (Process.LEDGER,)

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
LEDGER_COSIGNINGS: Final = Metric(
    "turnout_ledger_cosignings_total",
    Kind.COUNTER,
    "Requests for a cosignature since the ledger started, by witness and by what it said.",
    _LEDGER,
    (Label("witness", more=Open.WITNESSES), Label("outcome", COSIGNING_OUTCOMES)),
)
LEDGER_TIMESTAMPS: Final = Metric(
    "turnout_ledger_timestamps_total",
    Kind.COUNTER,
    "Questions to the timestamp authority since the ledger started, by what came of them.",
    _LEDGER,
    outcome(TIMESTAMP_OUTCOMES),
)
WINDOW_ATTENDEES: Final = Metric(
    "turnout_window_attendees_exact",
    Kind.GAUGE,
    "Attendees present online in the session in the newest sealed window, exact; absent where the leaf suppresses it.",
    _LEDGER,
    (SESSION,),
)
WINDOW_EVENT_ATTENDEES: Final = Metric(
    "turnout_window_event_attendees_exact",
    Kind.GAUGE,
    "The same exact number for the whole event, each attendee once; absent where the leaf suppresses it.",
    _LEDGER,
)

METRICS: Final = metrics_in(vars())
