"""The bench's arithmetic and its requests; the measuring itself needs nginx, wrk and quiet cores."""

import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import click
import pytest
from click.testing import CliRunner

from load_tests.bench import contenders, heartbeats, peers, plot, processes, report, servers, table, wrk
from load_tests.bench.__main__ import EXPERIMENTS, main
from load_tests.bench.heartbeats import idle_servers, markdown, verdicts
from load_tests.bench.spread import Spread, spread
from load_tests.bench.turns import Round, summarise

ROUNDS = [
    Round("Turnout, one worker", 7.0, 1.0, 90_000, 0.99, 900, 400),
    Round("nginx, empty 204", 5.0, 0.0, 120_000, 0.98, 700, 500),
    Round("Turnout, one worker", 9.0, 3.0, 80_000, 0.97, 1_100, 300),
    Round("nginx, empty 204", 4.0, 0.0, 140_000, 0.99, 900, 600),
    Round("Turnout, one worker", 8.0, 2.0, 85_000, 0.98, 1_000, 300),
    Round("nginx + Lua + PFADD", 20.0, 8.0, 40_000, 0.7, 1_000, 300),
]


def test_the_summary_is_the_median_with_its_spread_cheapest_first() -> None:
    nginx, turnout, lua = summarise(ROUNDS)
    assert (nginx.server, lua.server) == (peers.NGINX_204, peers.NGINX_LUA)
    assert (turnout.cpu_us, turnout.requests) == (Spread(8.0, 7.0, 9.0), 1000)
    assert (turnout.requests_a_second.median, turnout.beside_us.median) == (85_000, 2.0)


def test_the_table_puts_every_server_beside_nginx_and_turnout_beside_every_server() -> None:
    lines = markdown(summarise(ROUNDS)).splitlines()
    assert lines[3] == (
        "| Turnout, one worker | 8.00 µs (7.00 to 9.00) | 1.78 × | 2.00 µs | 85,000 (80,000 to 90,000) |  | 98% "
        "| 1.00 ms | 1,000 |"
    )
    assert "| 4.44 × | 8.00 µs | 40,000 (40,000 to 40,000) | 2.12 × | 70% |" in lines[4]
    without_nginx = markdown(summarise([turn for turn in ROUNDS if turn.server != peers.NGINX_204]))
    assert "| 8.00 µs (7.00 to 9.00) | – | 2.00 µs |" in without_nginx


def test_each_target_is_said_to_be_reached_or_not() -> None:
    assert verdicts(summarise(ROUNDS)) == [
        "CPU at most 1.3 × that of nginx, empty 204: 1.78 ×, NOT REACHED",
        "Throughput at least 2.5 × that of nginx + Lua + PFADD: 2.12 ×, NOT REACHED (by CPU alone 2.50 ×)",
    ]
    faster = [Round(turn.server, 5.0, 0, 100_000, 1, 1, 1) if "Turnout" in turn.server else turn for turn in ROUNDS]
    assert all("NOT" not in verdict for verdict in verdicts(summarise(faster)))
    assert verdicts([]) == []
    idle = [replace(turn, busy=0.3) for turn in ROUNDS]
    assert verdicts(summarise(idle))[1].startswith(
        "Throughput at least 2.5 × that of nginx + Lua + PFADD: 2.12 ×, not decided, Turnout's core was not its own"
    )


def test_a_server_that_waited_is_named() -> None:
    (only,) = idle_servers(summarise(ROUNDS))
    assert only.startswith("nginx + Lua + PFADD had its core for 70% only")


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


def test_an_option_before_an_experiment_is_not_silently_dropped() -> None:
    for option, value in (("--rounds", "2"), ("--plot", "x.svg")):
        done = CliRunner().invoke(main, [option, value, "heads", "--help"])
        assert done.exit_code == 2
        assert f"{option} stands before heads" in done.output


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


def test_turnout_is_believed_only_what_its_metrics_say(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = iter([100.0, 150.0, 200.0, *[200.0] * 10_000])
    key = ("turnout_heartbeats_total", frozenset({("outcome", "playing")}))
    monkeypatch.setattr(contenders, "scrape", lambda _: {key: next(counted)})
    monkeypatch.setattr(contenders, "COUNTED_S", 0.2)
    counting = contenders.InTurnout("http://127.0.0.1:1/metrics")
    counting.begin()
    assert counting.fault(100, 1) == ""
    assert counting.fault(101, 1) == "101 heartbeats answered, but only 100 counted"


def test_the_plot_is_well_formed_and_names_every_contender() -> None:
    measured = [
        plot.Bar("nginx, empty 204", Spread(5.0, 4.5, 6.0)),
        plot.Bar("Turnout, <one> worker", Spread(6.0, 5.5, 6.5), emphasised=True),
        plot.Bar("FastAPI & PFADD", Spread(100.0, 90.0, 120.0)),
    ]
    tree = ET.fromstring(plot.bars("CPU per heartbeat", "µs", measured))  # noqa: S314 - our own text
    name = "{http://www.w3.org/2000/svg}"
    texts = [text.text for text in tree.iter(f"{name}text")]
    for bar in measured:
        assert bar.name in texts
    assert {"5.0 µs", "6.0 µs, 1.2 ×", "100.0 µs, 20.0 ×"} <= set(texts)
    widths = [float(rect.attrib["width"]) for rect in tree.iter(f"{name}rect")]
    assert widths == pytest.approx([widths[0], widths[0] * 1.2, widths[0] * 20], abs=0.1)
    width = float(tree.attrib["width"])
    for rect, path in zip(tree.iter(f"{name}rect"), tree.iter(f"{name}path"), strict=True):
        assert float(rect.attrib["x"]) + float(rect.attrib["width"]) < width
        low, high = (float(edge) for edge in re.findall(r"[MH]([\d.]+)", path.attrib["d"])[:2])
        assert low < float(rect.attrib["x"]) + float(rect.attrib["width"]) < high < width


def test_a_plot_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        plot.bars("CPU", "µs", [])
