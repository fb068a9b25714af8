"""Traces: one from gateway to ledger, nothing in them about a viewer, and a collector that is away costs a warning."""

import asyncio
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import uvloop
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from click.testing import CliRunner
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway import otlp_traces
from gateway.cli import main
from gateway.otlp_traces import QUEUE, OtlpTracing
from gateway.problems import problems
from gateway.request_ids import request_ids
from gateway.tracing import COMPUTE, HAND_OVER, JOIN, MISSING_EXTRA, SEAL
from tests.gateway.serving import NOW, PATIENCE_S, ledger, until
from tests.gateway.test_courier import courier_of, next_window, worker_of

ALLOWED = {"http.request.method", "http.route", "http.response.status_code", "turnout.bytes", "turnout.leaves"}
ABOUT_THE_PROCESS = {"service.name", "service.version", "service.instance.id", "telemetry.sdk.language",
                     "telemetry.sdk.name", "telemetry.sdk.version"}  # fmt: skip
STRANGERS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
"""A traceparent, as anybody may send one."""


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP, as any collector does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.bodies: list[bytes] = []

    def resources(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for body in self.bodies]

    def spans(self, service: str = "") -> list[Span]:
        """Return the spans, of one service or of all."""
        return [
            span
            for request in self.resources()
            for resource in request.resource_spans
            if service in {"", *(each.value.string_value for each in resource.resource.attributes)}
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def names(self) -> list[str]:
        return sorted(span.name for span in self.spans())


class _Take(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the interface's
        pass


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is traced is looked for at the collector: a machine that stands still must lose none of it."""
    monkeypatch.setattr(otlp_traces, "TRACES_S", PATIENCE_S)
    monkeypatch.setattr(otlp_traces, "PATIENCE_S", PATIENCE_S)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_hand_over_is_one_trace_from_gateway_to_ledger_and_no_span_says_anything_about_a_viewer(
    collector: Collector, simulated_event_file: Path, tmp_path: Path, mint: Callable[..., str]
) -> None:
    ticket = mint("alice-of-the-tickets", now=NOW)
    with (
        ledger(simulated_event_file, tmp_path, traces=collector.url, traces_share=1.0) as running,
        closing(OtlpTracing(collector.url, 1.0, "gateway", goes_on=False)) as tracing,
    ):
        running.jump(NOW)
        with worker_of(running, simulated_event_file, tracing) as served:
            token = served.join(ticket).json["token"]
            assert served.join(ticket[:-9] + "forgeries").status == 401
            beat = f"HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{token}\r\n0\r\n\r\n"
            for path in ("beat", "leave"):
                (answer,) = served.raw(f"POST /v1/{path} {beat}".encode())
                assert answer.status == 204
            assert served.ways()[1] == 1, "aiohttp took the heartbeat"
            assert served.ask("GET", f"/log/tile/{token}").status == 404, "passed on"

            async def carry() -> None:
                async with courier_of(served, running, tracing=tracing) as courier:
                    next_window(served)
                    assert await courier.carry() == 1

            uvloop.run(carry())
        assert running.organise("POST", "/v1/events/expo/certificates").status == 201
        # When it ends, it takes a second at most for what is left.
        awaited = {SEAL, COMPUTE, "POST /v1/ledger/evidence", "GET /log/{path}", "POST /v1/events/{event}/certificates"}
        until(
            lambda: awaited <= {span.name for span in collector.spans("turnout-ledger")}, "the ledger's traces are here"
        )

    ours, its = collector.spans("turnout-gateway"), collector.spans("turnout-ledger")
    (handing_over,) = [span for span in ours if span.name == HAND_OVER]
    (taking,) = [span for span in its if span.name == "POST /v1/ledger/evidence"]
    assert (taking.trace_id, taking.parent_span_id) == (handing_over.trace_id, handing_over.span_id)
    (passing_on,) = [span for span in ours if span.name == "GET /log/{path}"]
    (answering,) = [span for span in its if span.name == "GET /log/{path}"]
    assert answering.trace_id == passing_on.trace_id
    (computing,) = [span for span in its if span.name == COMPUTE]
    (issuing,) = [span for span in its if span.name == "POST /v1/events/{event}/certificates"]
    assert (computing.trace_id, computing.parent_span_id) == (issuing.trace_id, issuing.span_id)
    assert [span.name for span in ours if span.name == JOIN] == [JOIN, JOIN]
    assert SEAL in {span.name for span in its}
    assert not [name for name in collector.names() if "beat" in name or "leave" in name]

    for span in ours + its:
        assert {each.key for each in span.attributes} <= ALLOWED
        assert not span.events
        assert not span.status.message
    for request in collector.resources():
        for resource in request.resource_spans:
            assert {each.key for each in resource.resource.attributes} <= ABOUT_THE_PROCESS
    sent = b"".join(collector.bodies)
    for secret in (ticket, ticket[:40], token, "alice", "127.0.0.1", "gateway.test"):
        assert secret.encode() not in sent


def asked(tracing: OtlpTracing, method: str = "GET", path: str = "/things/secret", **headers: str) -> None:
    """Ask an application that traces."""

    async def thing(request: web.Request) -> web.Response:
        raise ValueError(request.path)

    async def ask() -> None:
        app = web.Application(middlewares=[request_ids(tracing), problems])
        app.add_routes([web.get("/things/{name}", thing)])
        async with TestClient(TestServer(app)) as client, client.request(method, path, headers=headers) as answer:
            await answer.read()

    asyncio.run(ask())


def test_who_asks_a_ledger_says_which_trace_it_is_and_a_gateway_believes_nobody(collector: Collector) -> None:
    for goes_on in (True, False):
        with closing(OtlpTracing(collector.url, 1.0, "any", goes_on=goes_on)) as tracing:
            asked(tracing, traceparent=STRANGERS)
    ledgers, gateways = collector.spans()
    assert ledgers.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert gateways.trace_id != ledgers.trace_id
    assert not gateways.parent_span_id


def test_what_a_stranger_makes_up_is_no_name_and_what_breaks_is_marked_without_its_text(collector: Collector) -> None:
    with closing(OtlpTracing(collector.url, 1.0, "any", goes_on=False)) as tracing:
        asked(tracing, "PROPFIND", "/alice")
        asked(tracing)
    assert collector.names() == ["GET /things/{name}", "_OTHER unknown"]
    broken, unknown = sorted(collector.spans(), key=lambda span: span.name)
    assert (broken.status.code, unknown.status.code) == (2, 0)
    assert b"secret" not in b"".join(collector.bodies)
    assert b"alice" not in b"".join(collector.bodies)


def test_requests_are_drawn_and_own_work_is_always_traced_as_a_trace_of_its_own(collector: Collector) -> None:
    with closing(OtlpTracing(collector.url, 0.0, "any", goes_on=False)) as tracing:
        with tracing.request("GET", "/certificates", {}):
            flags = int(tracing.carried()["traceparent"][-2:], 16)
            assert not flags & 1, "who is asked next does not trace it either"
            with tracing.work(COMPUTE):
                pass
        with tracing.join():
            pass
        with pytest.raises(OSError, match="alice"), tracing.work(HAND_OVER):
            raise OSError("alice")
    assert collector.names() == [COMPUTE, HAND_OVER]
    assert not any(span.parent_span_id for span in collector.spans())
    assert b"alice" not in b"".join(collector.bodies)


def test_a_collector_that_hangs_holds_up_neither_work_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_traces, "TRACES_S", 0.05)
    monkeypatch.setattr(otlp_traces, "PATIENCE_S", 3600.0)  # it would be waited for, if anybody waited
    senders: list[otlp_traces._Sender] = []

    class Kept(otlp_traces._Sender):
        def __init__(self, url: str) -> None:
            super().__init__(url)
            senders.append(self)

    monkeypatch.setattr(otlp_traces, "_Sender", Kept)
    before = {*threading.enumerate()}
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        tracing = OtlpTracing(f"http://127.0.0.1:{hanging.getsockname()[1]}", 1.0, "any", goes_on=False)
        for _ in range(QUEUE + 1000):
            tracing.done(SEAL, 1)
        tracing.close()
        left = {*threading.enumerate()} - before
        assert len(left) == 2, "who sends, and who waits for that"
    # Nor does it say something later, while another test looks at what is logged.
    senders[0].shutdown()
    for thread in left:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_a_collector_that_refuses_is_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp_traces, "PATIENCE_S", 0.1)
    with closing(OtlpTracing("http://eve:hunter2@127.0.0.1:9", 1.0, "any", goes_on=False)) as tracing:
        for _ in range(1000):
            tracing.done(SEAL, 1)
    (line,) = caplog.record_tuples
    assert line[:2] == ("turnout.traces", logging.WARNING)
    assert "http://eve:***@127.0.0.1:9" in line[2]


def test_whoever_does_not_ask_for_traces_imports_nothing_of_them() -> None:
    program = (
        "import sys, gateway.supervisor, gateway.worker, gateway.ledger_service, gateway.witness_service\n"
        "from gateway.tracing import OFF, begin_tracing\n"
        "assert begin_tracing('', 1.0, 'worker') is OFF\n"
        # redis-py imports OpenTelemetry's metrics, where it is installed.
        "ours = ('opentelemetry.sdk.trace', 'opentelemetry.exporter', 'google.protobuf', 'gateway.otlp')\n"
        "sys.exit(' '.join(name for name in sys.modules if name.startswith(ours)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_the_extra_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gateway.otlp_traces", None)
    result = CliRunner().invoke(main, ["witness", "--traces", "http://collector:4318"])
    assert result.exit_code == 2
    assert MISSING_EXTRA in " ".join(result.output.split())
