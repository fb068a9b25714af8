"""What a witness says."""

from typing import Final

from metrics.catalogue.ledger import WITNESS_VERDICTS
from metrics.catalogue.vocabulary import Kind, Metric, Process, metrics_in, outcome

_WITNESS: Final = (Process.WITNESS,)

WITNESS_REQUESTS: Final = Metric(
    "turnout_witness_requests_total",
    Kind.COUNTER,
    "Requests to cosign, by what the witness said; `failed` where its disk refused.",
    _WITNESS,
    outcome((*WITNESS_VERDICTS, "failed")),
)
WITNESS_LOGS: Final = Metric(
    "turnout_witness_logs", Kind.GAUGE, "Logs of which this witness has cosigned a checkpoint.", _WITNESS
)
WITNESS_COSIGNED: Final = Metric(
    "turnout_witness_cosigned_timestamp_seconds",
    Kind.GAUGE,
    "When this witness last cosigned, unix time.",
    _WITNESS,
    unit="seconds",
)

METRICS: Final = metrics_in(vars())
