"""The bench's arithmetic and its requests; the measuring itself needs nginx, wrk and quiet cores."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from load_tests.bench import heartbeats, processes, report, servers, table, wrk
from load_tests.bench.__main__ import EXPERIMENTS, main
from load_tests.bench.heartbeats import Round, markdown, summarise
from load_tests.bench.spread import Spread, spread

ROUNDS = [
    Round("Turnout, one worker", 7.0, 90_000, 900, 400),
    Round("nginx, empty 204", 5.0, 120_000, 700, 500),
    Round("Turnout, one worker", 9.0, 80_000, 1_100, 300),
    Round("nginx, empty 204", 4.0, 140_000, 900, 600),
    Round("Turnout, one worker", 8.0, 85_000, 1_000, 300),
]


def test_the_summary_is_the_median_with_its_spread_cheapest_first() -> None:
    nginx, turnout = summarise(ROUNDS)
    assert nginx.server.startswith("nginx")
    assert (turnout.cpu_us, turnout.requests) == (Spread(8.0, 7.0, 9.0), 1000)
    assert turnout.requests_a_second.median == 85_000


def test_a_spread_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        spread([])


def test_a_row_that_does_not_fit_its_head_is_refused() -> None:
    with pytest.raises(ValueError, match="1 cells under 2 headings"):
        table.markdown(["a", "b"], [["c"]])


def test_every_experiment_is_a_command_and_none_is_the_heartbeats() -> None:
    for experiment in EXPERIMENTS:
        assert main.commands[experiment.command.name or ""] is experiment.command
        assert CliRunner().invoke(main, [experiment.command.name or "", "--help"]).exit_code == 0
    assert main.params == heartbeats.command.params


def test_what_was_found_is_printed_and_saved_with_machine_and_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    report.show("joins", "| a |", {"summary": [1]}, versions={"wrk": "4.1.0"}, notes=["nginx is missing"], save="x")
    saved = json.loads((tmp_path / "results" / "joins-x.json").read_text())
    assert (saved["experiment"], saved["summary"], saved["notes"]) == ("joins", [1], ["nginx is missing"])
    assert set(saved) >= {"machine", "versions", "command", "measured_at"}
    printed = capsys.readouterr().out
    assert printed.startswith("| a |\n")
    assert "wrk 4.1.0" in printed
    assert "Note: nginx is missing.\n" in printed


def test_a_failed_measurement_prints_no_table_and_fails() -> None:
    @click.command()
    def failing() -> None:
        with report.or_nothing():
            raise RuntimeError("no wrk")

    done = CliRunner().invoke(failing)
    assert (done.exit_code, done.output) == (1, "Error: Nothing was measured: no wrk\n")


def test_the_table_puts_every_server_beside_nginx() -> None:
    table = markdown(summarise(ROUNDS))
    assert "| Turnout, one worker | 8.00 µs (7.00 to 9.00) | 1.78 × | 85,000 | 1.00 ms | 1,000 |" in table
    assert "not measured" in markdown(summarise([turn for turn in ROUNDS if "nginx" not in turn.server]))


def test_the_request_is_whole_and_carries_what_a_browser_sends() -> None:
    request = wrk.browser_request("beat.example", "TOKEN")
    head, _, body = request.partition(b"\r\n\r\n")
    assert body == b"TOKEN"
    assert b"Content-Length: 5" in head
    assert b"Sec-Fetch-Mode: cors" in head
    assert head.startswith(b"POST /v1/beat HTTP/1.1\r\nHost: beat.example\r\n")


def test_a_run_with_any_other_answer_is_not_sound() -> None:
    good = {"requests": 10, "duration_us": 1, "received_bytes": 1, "status_errors": 0, "socket_errors": 0, "other": 0,
            "p99_us": 1}  # fmt: skip
    assert wrk.Run(**good).sound
    for field in ("status_errors", "socket_errors", "other"):
        assert not wrk.Run(**(good | {field: 1})).sound
    assert not wrk.Run(**(good | {"requests": 0})).sound


def test_cpu_time_and_descendants_are_those_of_the_process() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert child.pid in processes.descendants(os.getpid())
        assert 0 <= processes.cpu_s(child.pid) < 10
    finally:
        child.communicate(b"")
    with pytest.raises(OSError, match="No such file"):
        processes.cpu_s(child.pid)
    assert set(processes.machine()) == {"cpu", "cores", "memory", "kernel"}


def test_the_event_file_of_the_bench_has_a_session_that_is_on_now(tmp_path: Path) -> None:
    now = datetime(2026, 11, 20, 12, 34, 56, 789, tzinfo=UTC)
    event = tomllib.loads(servers.event_file(tmp_path, now).read_text())
    (session,) = event["session"]
    assert session["starts_at"] < now < session["ends_at"]
    assert event["event"]["late_until"] > session["ends_at"]
    assert "simulation" not in event


@pytest.mark.parametrize(("answer", "sound"), [("204", True), ("200", False)])
def test_wrk_counts_every_answer_that_is_no_204(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, sound: bool
) -> None:
    client, nginx = shutil.which("wrk"), shutil.which("nginx")
    if client is None or nginx is None:
        if os.environ.get("TURNOUT_REQUIRE_ALL") == "1":
            pytest.fail("wrk and nginx must be on the PATH")
        pytest.skip("wrk or nginx is not on the PATH")
    conf, script = tmp_path / "peer.conf", tmp_path / "check.lua"
    conf.write_text(servers.NGINX_CONF.read_text().replace("return 204", f"return {answer}"))
    monkeypatch.setattr(servers, "NGINX_CONF", conf)
    wrk.write_script(script, [wrk.browser_request("beat.example", token) for token in ("a", "b")], check=True)
    with servers.nginx(nginx, tmp_path) as server:
        found = wrk.run([client], script, f"http://127.0.0.1:{server.address.port}", 1)
    assert found.requests > 0
    assert found.sound is sound
    assert (found.other > 0) is not sound
