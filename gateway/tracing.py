"""What a process traces: requests, joins by ticket, hand-overs, sealing, certificates; nothing at all unless asked to.

A `Tracing` is made once by each process (`begin_tracing`) and given to the parts that do what is traced. The one here
traces nothing and costs a call; gateway.otlp_traces sends to a collector, and is imported only if there is one.

No span says anything about a viewer: names are routes' patterns and our own words, attributes those that the methods
here set, and nothing of an error but that there was one. A heartbeat is never traced.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final

MISSING_EXTRA: Final = "traces need the extra: pip install 'turnout[traces]'"
JOIN: Final = "join by ticket"
HAND_OVER: Final = "hand over"
SEAL: Final = "seal windows"
COMPUTE: Final = "compute a certificate"


class Span:
    """A request that is answered, told to nobody."""

    def answered(self, status: int) -> None:
        """Note the HTTP status; from 500 on something broke here."""


class Tracing:
    """Traces nothing."""

    def request(self, method: str, route: str, headers: Mapping[str, str]) -> AbstractContextManager[Span]:
        """Trace a request, one in so many.

        Args:
            method: as it came.
            route: its pattern, never its path.
            headers: of the request: a ledger goes on with the trace that its gateway names there.
        """
        del method, route, headers
        return NOWHERE

    def join(self) -> AbstractContextManager[Span]:
        """Trace a join by ticket, one in so many."""
        return NOWHERE

    def work(self, name: str, **about: int) -> AbstractContextManager[object]:
        """Trace work of our own, each time; one that raises is marked as failed, and not why."""
        del name, about
        return NOWHERE

    def done(self, name: str, began_ns: int, **about: int) -> None:
        """Trace work that is over, and began at a time (unix nanoseconds)."""

    def carried(self) -> dict[str, str]:
        """Return the headers with which a ledger goes on with the trace that is under way; none without one."""
        return {}

    def close(self) -> None:
        """Send what is left, for a second at most (gateway.stopping.TRACES_S); not from a loop that serves."""


NOWHERE: Final = nullcontext(Span())
OFF: Final = Tracing()


def why_not_available() -> str:
    """Return why nothing can be traced on this host, in a sentence; "" if it can."""
    try:
        import gateway.otlp_traces  # noqa: F401, PLC0415 - an extra
    except ImportError:
        return MISSING_EXTRA
    return ""


def begin_tracing(url: str, share: float, process: str) -> Tracing:
    """Return what a process traces with; close it in the end.

    Args:
        url: of the collector (OTLP over HTTP); "" = trace nothing.
        share: of requests and joins that are traced, 0 … 1.
        process: "gateway", "worker", "ledger", "witness".
    """
    if not url:
        return OFF
    from gateway.otlp_traces import OtlpTracing  # noqa: PLC0415 - an extra

    return OtlpTracing(url, share, process, goes_on=process == "ledger")
