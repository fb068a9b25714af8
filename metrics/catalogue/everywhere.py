"""What more than one process says: what runs there, how it answers HTTP requests, and what the process itself takes."""

from typing import Final

from metrics.catalogue.vocabulary import SESSION, Kind, Label, Metric, Open, Process, metrics_in

OF_EVENT: Final = (Process.GATEWAY, Process.LEDGER)
EVERYWHERE: Final = (*OF_EVENT, Process.WITNESS)

HTTP_ROUTES: Final = (
    "beat", "beats", "leave", "join", "preflight", "checkins", "live", "openapi", "healthz", "readyz",
    "log", "verify", "attendance", "receipt", "certificates", "steering", "issuer_keys",
    "roll", "audits", "retire", "clock",
    "seats", "evidence", "tokens", "gateway_steering", "greeting",
    "add_checkpoint",
    "other",
)  # fmt: skip
"""Short names of what can be asked for; `beats` is a relay's batch, `seats` to `greeting` are what gateways ask the
ledger, `other` is whatever has no name."""
HTTP_CODES: Final = (
    "200", "201", "204", "304",
    "400", "401", "403", "404", "405", "408", "409", "410", "413", "422",
    "500", "501", "503", "other",
)  # fmt: skip
"""The statuses that we answer with; `other` is one that none of our routes should give."""
HTTP_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""From a file that is in memory to a certificate that is issued while one waits."""

BUILD_INFO: Final = Metric(
    "turnout_build_info",
    Kind.GAUGE,
    "Always 1; the labels name the running software.",
    EVERYWHERE,
    (Label("version", more=Open.IDENTITY),),
)
EVENT_INFO: Final = Metric(
    "turnout_event_info",
    Kind.GAUGE,
    "Always 1; the labels name the event and say whether its clock, and so every number here, is SIMULATED.",
    OF_EVENT,
    (Label("event", more=Open.IDENTITY), Label("simulated", ("false", "true"))),
)
SESSION_STARTS: Final = Metric(
    "turnout_session_starts_timestamp_seconds",
    Kind.GAUGE,
    "When the session begins by the event file, unix time on the event's clock.",
    OF_EVENT,
    (SESSION,),
    unit="seconds",
)
SESSION_ENDS: Final = Metric(
    "turnout_session_ends_timestamp_seconds",
    Kind.GAUGE,
    "When it ends. Alerts that are about an audience are quiet while no session runs or is about to.",
    OF_EVENT,
    (SESSION,),
    unit="seconds",
)
HTTP_REQUESTS: Final = Metric(
    "turnout_http_requests_total",
    Kind.COUNTER,
    "Requests answered, by route and status; each is counted, heartbeats included.",
    EVERYWHERE,
    (Label("route", HTTP_ROUTES), Label("code", HTTP_CODES)),
    sparse=True,
)
HTTP_DURATION: Final = Metric(
    "turnout_http_request_duration_seconds",
    Kind.HISTOGRAM,
    "Time to answer a request, by route; beat and join have histograms of their own, the door's leave and preflight "
    "none.",
    EVERYWHERE,
    (Label("route", HTTP_ROUTES),),
    unit="seconds",
    buckets=HTTP_BUCKETS_S,
)

METRICS: Final = metrics_in(vars())

PROCESS_VIRTUAL_MEMORY: Final = Metric(
    "process_virtual_memory_bytes", Kind.GAUGE, "Virtual memory size in bytes.", EVERYWHERE, unit="bytes"
)
PROCESS_RESIDENT_MEMORY: Final = Metric(
    "process_resident_memory_bytes", Kind.GAUGE, "Resident memory size in bytes.", EVERYWHERE, unit="bytes"
)
PROCESS_START_TIME: Final = Metric(
    "process_start_time_seconds",
    Kind.GAUGE,
    "Start time of the process since unix epoch in seconds.",
    EVERYWHERE,
    unit="seconds",
)
PROCESS_CPU: Final = Metric(
    "process_cpu_seconds_total",
    Kind.COUNTER,
    "Total user and system CPU time spent in seconds.",
    EVERYWHERE,
    unit="seconds",
)
PROCESS_OPEN_FDS: Final = Metric("process_open_fds", Kind.GAUGE, "Number of open file descriptors.", EVERYWHERE)
PROCESS_MAX_FDS: Final = Metric("process_max_fds", Kind.GAUGE, "Maximum number of open file descriptors.", EVERYWHERE)

OF_PROCESS: Final = tuple(metric for metric in metrics_in(vars()) if metric not in METRICS)
"""What prometheus_client's ProcessCollector says of the process that serves /metrics, under the names that every client
library uses. A gateway's workers are not in it: they have metrics of their own."""
