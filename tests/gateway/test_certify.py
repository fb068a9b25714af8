"""`turnout certify` and the organiser's certificates: issued, corrected, and refused in words that say what to do."""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from counters.event import Event, WitnessOfEvent, load_event
from counters.ledger.log import Log
from counters.log_key import LOG_KEY, load_or_create_signer
from counters.secrets import load_or_create_secrets
from gateway.certify import CertifyError, CorrectionAsked, certify_event
from gateway.cli import main
from gateway.progress_line import ProgressLine
from gateway.reasons import Reason
from tests.gateway.serving import NOW, Answer, RunningLedger, ledger, until

CERTIFICATES = "/v1/events/expo/certificates"
REASON = "the scans of gate B came in after it"
WITNESS = WitnessOfEvent("news", "news.example+0+AA==", "The news", "http://127.0.0.1:1")


@pytest.fixture
def running(simulated_event_file: Path, tmp_path: Path) -> Iterator[RunningLedger]:
    with ledger(simulated_event_file, tmp_path / "data") as service:
        assert service.jump(NOW).status == 200
        until(lambda: len(service.windows()) == 10, "ten windows are sealed")
        yield service


def correct(running: RunningLedger, asked: object) -> Answer:
    return running.organise("POST", CERTIFICATES, json.dumps(asked).encode())


def test_a_certificate_is_corrected_over_http_and_who_asks_for_the_old_one_is_told(running: RunningLedger) -> None:
    old = running.organise("POST", CERTIFICATES).json["id"]
    assert "turnout-superseded-by" not in running.ask("GET", f"{CERTIFICATES}/{old}").headers
    right = {"corrects": old, "reason": REASON}
    malformed = [right | {"corrects": str(old)}, right | {"reason": "  "}, right | {"reason": "two\nlines"}]
    for asked in ({"corrects": old}, {"reason": REASON}, {"more": 1}, [], *malformed):
        answer = correct(running, asked)
        assert (answer.status, answer.reason) == (400, "body_malformed"), asked
    answer = correct(running, right | {"corrects": old + 1})
    assert (answer.status, answer.reason) == (409, "nothing_to_correct")
    issued = correct(running, right)
    assert issued.status == 201
    new = issued.json["id"]
    listed = running.ask("GET", CERTIFICATES).json
    assert listed["certificates"] == [{"id": old, "superseded_by": new}, {"id": new, "superseded_by": None}]
    assert listed["computing"] is None
    for name in (f"{old}", f"{old}.tlog-proof"):
        answer = running.ask("GET", f"{CERTIFICATES}/{name}")
        assert (answer.status, answer.headers["turnout-superseded-by"]) == (200, str(new))
    assert "turnout-superseded-by" not in running.ask("GET", f"{CERTIFICATES}/{new}").headers
    again = correct(running, right)
    assert (again.status, again.reason) == (409, "nothing_to_correct")
    assert f"superseded already, by certificate {new}" in again.json["detail"]
    leaves = running.leaves()
    assert [leaf["type"] for leaf in leaves[-3:]] == ["certificate", "certificate", "correction"]
    assert leaves[-1]["reason"] == REASON


def test_certify_asks_a_running_ledger_and_works_from_the_directory_of_a_stopped_one(
    simulated_event_file: Path, simulated: Event, tmp_path: Path
) -> None:
    data, told = tmp_path / "data", list[tuple[int, int]]()
    with ledger(simulated_event_file, data) as service:
        assert service.jump(NOW).status == 200
        first = certify_event(simulated, data, tmp_path / "first.json", progress=lambda *_: None)
        asked = CorrectionAsked(first.id, REASON)
        second = certify_event(simulated, data, tmp_path / "second.json", asked)
        with pytest.raises(CertifyError, match=f"refused: .* superseded already, by certificate {second.id}"):
            certify_event(simulated, data, tmp_path / "third.json", asked)
    asked = CorrectionAsked(second.id, "and those of gate C")
    third = certify_event(simulated, data, tmp_path / "third.json", asked, lambda *done: told.append(done))
    assert told[-1] == (10, 10)
    corrections = json.loads((tmp_path / "third.json").read_bytes())["corrections"]
    assert [(row["entry"], row["reason"]) for row in corrections] == [
        (first.id, REASON), (second.id, "and those of gate C"),
    ]  # fmt: skip
    assert third.notice.startswith("SIMULATED")
    with pytest.raises(CertifyError, match="superseded already"):
        certify_event(simulated, data, tmp_path / "fourth.json", asked)
    with pytest.raises(CertifyError, match="needs its reason"):
        certify_event(simulated, data, tmp_path / "fourth.json", CorrectionAsked(third.id, "a\nb"))
    assert not (tmp_path / "fourth.json").exists()

    witnessed = replace(simulated, witnesses=(WITNESS,), required_witnesses=1)
    address = json.loads((data / "ledger.json").read_text()) | {"event_sha256": witnessed.digest}
    (data / "ledger.json").write_text(json.dumps(address))
    with pytest.raises(CertifyError, match=r"cosignatures of 1 witnesses.*none runs here: start it"):
        certify_event(witnessed, data, tmp_path / "fourth.json")
    with answering(503, Reason.QUORUM_LOST.problem()) as url:
        (data / "ledger.json").write_text(json.dumps(address | {"ledger": url}))
        with pytest.raises(CertifyError, match=r"^too few of the event's witnesses.*run this again"):
            certify_event(witnessed, data, tmp_path / "fourth.json")


@contextmanager
def answering(status: int, problem: dict[str, object]) -> Iterator[str]:
    """A ledger that answers everything with one problem; yields its address."""

    class Refuser(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(problem).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refuser) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("given", [["--corrects", "7"], ["--reason", REASON]])
def test_a_correction_needs_both_its_certificate_and_its_reason(event_file: Path, given: list[str]) -> None:
    done = CliRunner().invoke(main, ["certify", str(event_file), *given])
    assert done.exit_code != 0
    assert "needs both: --corrects ID and --reason TEXT" in done.output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_data_directory_that_somebody_else_works_on_is_said_to_be(event_file: Path, tmp_path: Path) -> None:
    load_or_create_secrets(tmp_path / "secrets.json")
    with Log.open(tmp_path / "log", load_or_create_signer(tmp_path / LOG_KEY, "expo.example")) as log:
        log.append([b"leaf 0"])
        with pytest.raises(CertifyError, match="another `turnout certify`, or a ledger that is starting"):
            certify_event(load_event(event_file), tmp_path, tmp_path / "certificate.json")


def test_progress_is_one_line_on_a_terminal_and_nothing_elsewhere() -> None:
    terminal, elsewhere = Terminal(), io.StringIO()
    for where in (terminal, elsewhere):
        with ProgressLine("reading", where) as progress:
            for done in range(1, 1001):
                progress(done, 1000)
    assert elsewhere.getvalue() == ""
    assert "reading: 1,000 of 1,000" in terminal.getvalue()
    assert "\n" not in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K"), "it is gone at the end"
    assert terminal.getvalue().count("reading") < 1000
