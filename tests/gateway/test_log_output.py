"""Lines of the log: for people or as JSON, with what was raised, and without anybody's credentials."""

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.log_output import BLOTTED, without_credentials
from tests.gateway.commands import turnout

LOGS = """
import logging, sys
from structlog.contextvars import bound_contextvars
from gateway.log_output import begin_logging
begin_logging(sys.argv[1], "info", "worker", worker="ab12")
log = logging.getLogger("turnout.test")
log.info("window %d is sealed", 7)
log.debug("not shown")
with bound_contextvars(request="0123456789abcdef"):
    try:
        raise ValueError("no Authorization: Bearer tTtTtT123 here")
    except ValueError:
        log.exception("a request failed at redis://user:hunter2@host/0")
"""


def lines(log_format: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", LOGS, log_format], capture_output=True, text=True, check=True)
    return done.stderr.splitlines()


def test_json_lines_have_time_level_process_logger_message_and_what_was_raised() -> None:
    sealed, failed = (json.loads(line) for line in lines("json"))
    assert list(sealed)[:5] == ["time", "level", "process", "logger", "message"]
    assert (sealed["level"], sealed["process"], sealed["worker"]) == ("info", "worker", "ab12")
    assert (sealed["logger"], sealed["message"]) == ("turnout.test", "window 7 is sealed")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", sealed["time"]), (
        "milliseconds, as docs/logging.md has them"
    )
    assert failed["request"] == "0123456789abcdef"
    assert failed["exception"].startswith("Traceback")


def test_lines_for_people_are_one_line_each_and_the_traceback_below() -> None:
    sealed, failed, *traceback = lines("console")
    assert sealed.endswith("INFO turnout.test: window 7 is sealed")
    assert failed.endswith(f"redis://{BLOTTED}@host/0 request=0123456789abcdef")
    assert traceback[0].startswith("  Traceback")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_credentials_are_in_no_line_not_even_in_a_traceback(log_format: str) -> None:
    said = "\n".join(lines(log_format))
    assert "hunter2" not in said
    # The source line of a traceback is our own code; what was raised with it is not.
    assert "Bearer tTtTtT123" not in said


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln of somebody", f"{BLOTTED} of somebody"),
        ("GET /v1/cmcd?token=abc-_123&x=1", f"GET /v1/cmcd?token={BLOTTED}&x=1"),
        ("authorization: BEARER abc", f"authorization: BEARER {BLOTTED}"),
        ("http://127.0.0.1:8081 does not answer", "http://127.0.0.1:8081 does not answer"),
        ("PRIVATE+KEY+log+abc+def leaked", f"{BLOTTED} leaked"),
    ],
)
def test_what_is_blotted_out_and_what_is_not(text: str, left: str) -> None:
    assert without_credentials(text) == left


def test_the_root_logger_is_left_alone_until_a_process_begins() -> None:
    assert not any(type(handler.formatter).__name__ == "ProcessorFormatter" for handler in logging.getLogger().handlers)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_the_sentence_that_ends_a_process_is_a_line_of_its_log(
    log_format: str, event_file: Path, simulated_event_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "secrets.json").write_text("{}")
    given = (
        "--redis", "redis://127.0.0.1:9", "--ledger", "http://127.0.0.1:9", "--secrets", tmp_path / "secrets.json",
        "--log-format", log_format,
    )  # fmt: skip
    for event, sentence in (
        (simulated_event_file, "this event has a [simulation] clock"),
        (event_file, f"{tmp_path / 'secrets.json'} cannot be read as secrets"),
    ):
        ended = turnout("gateway", event, *given, cwd=tmp_path)
        assert ended.returncode == 2, ended.stderr
        if log_format == "console":
            assert ended.stderr.startswith(f"Error: {sentence}")
            continue
        (line,) = ended.stderr.splitlines()
        said = json.loads(line)
        assert (said["level"], said["process"]) == ("error", "gateway")
        assert said["message"].startswith(sentence)
