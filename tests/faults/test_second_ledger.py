"""A second ledger on the same data: real processes, the first one at work, stopped, or starting at the same moment."""

import json
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from counters.clock import SimulatedClock
from counters.ledger.log import LogReader
from counters.ledger.note import Verifier
from gateway.development_issuer import load_event_creating_keys
from tests.faults.parts import LedgerPart
from tests.faults.rig import STARTS_AT, WINDOW
from tests.gateway.commands import CERTAIN_S
from tests.gateway.conftest import EVENT_FILE
from tests.gateway.serving import NO_REDIS, until


@pytest.fixture
def part(tmp_path: Path) -> LedgerPart:
    """A ledger that is not started."""
    event_file = tmp_path / "expo.toml"
    event_file.write_text(EVENT_FILE + f"[simulation]\nstarts_at = {STARTS_AT}\n", encoding="utf-8")
    load_event_creating_keys(event_file, tmp_path / "development-issuer")
    return LedgerPart(tmp_path, event_file, tmp_path / "data", NO_REDIS)


def start(part: LedgerPart) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.ledger_service"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(part.config.start_line())
    process.stdin.flush()
    return process


def is_refused(part: LedgerPart) -> None:
    with start(part) as second:
        _, said = second.communicate(timeout=CERTAIN_S)
    assert second.returncode == 2
    assert f"is being written by process {part.pid}: stop that ledger first" in said.decode()
    assert b"Traceback" not in said


def one_ended(both: list["subprocess.Popen[bytes]"]) -> bool:
    return any(process.poll() is not None for process in both)


def size(part: LedgerPart) -> int:
    return LogReader(part.data / "log", Verifier.decode(part.log_key)).full_check().size


def test_a_second_ledger_is_refused_though_the_first_is_stopped_and_the_first_goes_on(part: LedgerPart) -> None:
    try:
        part.start()
        before = {path: path.read_bytes() for path in part.data.rglob("*") if path.is_file() and path.stat().st_size}
        is_refused(part)
        part.pause()
        is_refused(part)
        part.resume()
        assert {path: path.read_bytes() for path in before} == before, "the refused one has changed something"
        SimulatedClock(part.data / "clock").jump(WINDOW + 60)
        until(lambda: size(part) == 2, "the first seals")
        part.kill()
        part.start()  # and one that is gone holds nothing
        assert part.stop() == 0
    finally:
        part.end()


def test_of_two_ledgers_that_begin_together_one_begins_the_log_with_secrets_that_stay(part: LedgerPart) -> None:
    for _ in range(2):  # the second time the data is there
        both = [start(part), start(part)]
        try:
            until(partial(one_ended, both), "one is refused", CERTAIN_S)
            refused, living = sorted(both, key=lambda process: process.poll() is None)
            assert refused.returncode == 2
            until(part.ready_file.exists, "the other serves", CERTAIN_S)
            secrets = (part.data / "secrets.json").read_bytes()
            assert json.loads(secrets)["log"]
            living.send_signal(signal.SIGTERM)
            assert living.wait(CERTAIN_S) == 0
        finally:
            for process in both:
                process.kill()
                process.communicate()
        part.ready_file.unlink()
    part.start()
    assert part.stop() == 0
    assert (part.data / "secrets.json").read_bytes() == secrets
