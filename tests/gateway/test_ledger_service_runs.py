"""A ledger's life: it seals as time goes on, stops without waiting, and starts again with the same log."""

import json
import os
import signal
from pathlib import Path

import pytest

from counters.clock import SimulatedClock
from counters.event import Event
from counters.log_key import load_or_create_signer
from gateway.ledger_client import GRANT_PATH, HAND_OVER_PATH
from tests.gateway.handing_over import promise, signed, wish
from tests.gateway.serving import NOW, Connection, ledger, request_bytes, until


def test_a_real_events_clock_cannot_be_set(event_file: Path, tmp_path: Path) -> None:
    with ledger(event_file, tmp_path) as service:
        answer = service.jump(NOW)
        assert (answer.status, answer.reason) == (404, "not_found")


def test_windows_are_sealed_as_time_goes_on_and_a_certificate_is_issued(
    simulated_event_file: Path, simulated: Event, tmp_path: Path
) -> None:
    with ledger(simulated_event_file, tmp_path) as service:
        assert [leaf["type"] for leaf in service.leaves()] == ["event"]
        assert service.leaves()[0]["simulated"] is True
        assert service.jump(NOW).json == {"now": simulated.iso(NOW)}
        # Nobody holds seats, so nobody is waited for: ten scheduled minutes have passed.
        until(lambda: len(service.windows()) == 10, "ten windows are sealed")
        issued = service.organise("POST", "/v1/events/expo/certificates")
        assert issued.status == 201
        name = issued.json["id"]
        certificate = service.ask("GET", f"/v1/events/expo/certificates/{name}")
        assert certificate.headers["content-type"].startswith("application/json")
        assert json.loads(certificate.body)["simulated"] is True
        proof = service.ask("GET", f"/v1/events/expo/certificates/{name}.tlog-proof")
        assert proof.headers["content-type"].startswith("text/plain")
        for suffix, begins in ((".pdf", b"%PDF-"), (".xlsx", b"PK"), (".zip", b"PK")):
            file = service.ask("GET", f"/v1/events/expo/certificates/{name}{suffix}")
            assert (file.status, file.body[: len(begins)]) == (200, begins)
            assert f'filename="expo-{name}{suffix}"' in file.headers["content-disposition"]
        listed = service.ask("GET", "/v1/events/expo/certificates").json["certificates"]
        assert listed == [{"id": name, "superseded_by": None}]
        assert service.leaves()[name]["certificate_sha256"] == issued.json["certificate_sha256"]


def test_a_worker_that_holds_seats_is_waited_for(simulated_event_file: Path, simulated: Event, tmp_path: Path) -> None:
    with ledger(simulated_event_file, tmp_path) as service:
        start = int(simulated.sessions[0].starts_at.timestamp())
        assert service.jump(start).status == 200
        signed(service, GRANT_PATH, wish(simulated, service))
        assert service.jump(start + 60).status == 200
        assert service.windows() == {}
        signed(service, HAND_OVER_PATH, promise(simulated, start, ended=False))
        until(lambda: len(service.windows()) == 1, "the window is sealed once its worker has reported")
        assert service.windows()[simulated.iso(start)]["missing"] == []


def test_a_stop_does_not_wait_for_a_clock_that_waits(
    simulated_event_file: Path, simulated: Event, tmp_path: Path
) -> None:
    with ledger(simulated_event_file, tmp_path) as service:
        start = int(simulated.sessions[0].starts_at.timestamp())
        service.jump(start)
        signed(service, GRANT_PATH, wish(simulated, service))
        waiting = Connection(service.port)
        body = json.dumps({"now": simulated.iso(start + 7200)}).encode()
        key = {"Authorization": f"Bearer {service.secrets.organiser_key}"}
        waiting.send(request_bytes("POST", "/v1/simulation/clock", body, key))
        clock = SimulatedClock(tmp_path / "clock")
        until(lambda: clock.now() == start + 7200, "the clock has jumped and its answer waits for 120 windows")
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0, service.said.read_text()
        waiting.close()


def test_a_restart_goes_on_with_the_same_log_and_one_ledger_at_a_time_has_it(
    simulated_event_file: Path, tmp_path: Path
) -> None:
    with ledger(simulated_event_file, tmp_path) as service:
        service.jump(NOW)
        until(lambda: len(service.windows()) == 10, "ten windows are sealed")
        before = service.leaves()
        vkey = json.loads((tmp_path / "ledger.json").read_text())["log"]
        with pytest.raises(AssertionError, match="is being written by process"), ledger(simulated_event_file, tmp_path):
            pass
    with ledger(simulated_event_file, tmp_path) as service:
        assert service.leaves()[: len(before)] == before
        assert json.loads((tmp_path / "ledger.json").read_text())["log"] == vkey


def test_another_event_file_does_not_get_the_log(event_file: Path, simulated_event_file: Path, tmp_path: Path) -> None:
    with ledger(simulated_event_file, tmp_path):
        pass
    with pytest.raises(AssertionError, match="another event file"), ledger(event_file, tmp_path):
        pass


def test_the_logs_key_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger" / "log.key"
    before = os.umask(0)
    try:
        signer = load_or_create_signer(path, "log.example/expo")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_signer(path, "log.example/another") == signer
