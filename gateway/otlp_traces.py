"""Traces for an OpenTelemetry collector, sent as OTLP over HTTP. The only module that knows OpenTelemetry, an extra.

Spans are put into a bounded queue, and a thread sends them: a collector that hangs or refuses holds up nothing, what
the queue has no room for is lost, and the log says so once. Whether a request is traced is drawn; what a process does
of its own accord is rare, and traced each time.
"""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from random import random
from typing import Final

from aiohttp import hdrs
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, StatusCode, TraceState, get_current_span, use_span
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes
from yarl import URL

from counters.software import VERSION
from gateway.settings import masked
from gateway.stopping import TRACES_S
from gateway.tracing import HAND_OVER, JOIN, NOWHERE, Span, Tracing

PATH: Final = "/v1/traces"
"""Where a collector takes them, if the URL names none."""
QUEUE: Final = 2048
BATCH: Final = 128
"""Sent at a time: making them ready holds the interpreter for a few milliseconds, and heartbeats wait meanwhile."""
EVERY_MS: Final = 1000
PATIENCE_S = 5.0
"""How long the thread tries to get rid of a batch."""
TRACEPARENT: Final = "traceparent"
_log = logging.getLogger("turnout.traces")


class OtlpTracing(Tracing):
    """Traces for one process."""

    def __init__(self, url: str, share: float, process: str, *, goes_on: bool) -> None:
        """Send to `url`; `goes_on`: whether who asks this process may say which trace a request belongs to."""
        # It says each batch that is lost, and each try; _Sender says it once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._goes_on = goes_on
        self._share = share
        self._names = TraceContextTextMapPropagator()
        self._provider = TracerProvider(
            sampler=ParentBased(_RequestsByShare(share)),
            resource=Resource.create({"service.name": f"turnout-{process}", "service.version": VERSION}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                _Sender(url), max_queue_size=QUEUE, schedule_delay_millis=EVERY_MS, max_export_batch_size=BATCH
            )
        )
        self._tracer = self._provider.get_tracer("turnout", VERSION)

    @contextmanager
    def request(self, method: str, route: str, headers: Mapping[str, str]) -> Iterator[Span]:
        """Trace a request, one in so many."""
        method = method if method in hdrs.METH_ALL else "_OTHER"  # a stranger may send any word
        context = Context()
        if self._goes_on and TRACEPARENT in headers:
            context = self._names.extract({TRACEPARENT: headers[TRACEPARENT]}, context)
        about = {"http.request.method": method, "http.route": route}
        span = self._tracer.start_span(f"{method} {route}", context, SpanKind.SERVER, about)
        with _under_way(span):
            yield _Answered(span)

    def join(self) -> AbstractContextManager[Span]:
        """Trace a join by ticket, one in so many."""
        # Drawn here: over a span that it then drops, OpenTelemetry takes a seventh of what a join costs.
        request = get_current_span()
        traced = request.is_recording() if request.get_span_context().is_valid else random() < self._share  # noqa: S311
        return self._join() if traced else NOWHERE

    @contextmanager
    def _join(self) -> Iterator[Span]:
        span = self._tracer.start_span(JOIN)
        with _under_way(span):
            yield _Answered(span)

    @contextmanager
    def work(self, name: str, **about: int) -> Iterator[object]:
        """Trace work of our own."""
        # For a request that is not traced it begins a trace of its own.
        context = None if get_current_span().is_recording() else Context()
        kind = SpanKind.CLIENT if name == HAND_OVER else SpanKind.INTERNAL
        span = self._tracer.start_span(name, context, kind, _named(about))
        with _under_way(span):
            try:
                yield span
            except Exception:
                span.set_status(StatusCode.ERROR)
                raise

    def done(self, name: str, began_ns: int, **about: int) -> None:
        """Trace work that is over."""
        self._tracer.start_span(name, Context(), SpanKind.INTERNAL, _named(about), start_time=began_ns).end()

    def carried(self) -> dict[str, str]:
        """Return the headers with which a ledger goes on."""
        headers: dict[str, str] = {}
        self._names.inject(headers)
        return headers

    def close(self) -> None:
        """Send what is left, for a second at most."""
        # Without an end of its own: the processor's waits for half a minute.
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(TRACES_S)


class _Answered(Span):
    def __init__(self, span: OtelSpan) -> None:
        self._span = span

    def answered(self, status: int) -> None:
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)


class _RequestsByShare(Sampler):
    """Draws which requests are traced; all else is."""

    def __init__(self, share: float) -> None:
        self._drawn = TraceIdRatioBased(share)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        sampler = self._drawn if kind is SpanKind.SERVER else ALWAYS_ON
        return sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"requests: {self._drawn.get_description()}"


class _Sender(SpanExporter):
    """Sends, in the processor's thread, and says when a collector takes no more, and when it does again."""

    def __init__(self, url: str) -> None:
        self._shown = masked(url)
        whole = url if URL(url).path.strip("/") else url.rstrip("/") + PATH
        self._otlp = OTLPSpanExporter(whole, timeout=PATIENCE_S)
        self._lost = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._otlp.export(spans)
        lost = result is not SpanExportResult.SUCCESS
        if lost and not self._lost:
            _log.warning("traces are lost for now: the collector at %s does not take them", self._shown)
        elif self._lost and not lost:
            _log.info("the collector at %s takes traces again", self._shown)
        self._lost = lost
        return result

    def shutdown(self) -> None:
        self._otlp.shutdown()  # type: ignore[no-untyped-call]


@contextmanager
def _under_way(span: OtelSpan) -> Iterator[None]:
    """Make it the parent of what is begun meanwhile, and end it; an error's text may quote a ticket, and stays out."""
    with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        yield


def _named(about: Mapping[str, int]) -> dict[str, int]:
    return {f"turnout.{name}": value for name, value in about.items()}
