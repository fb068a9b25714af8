"""What others wrote moves, hides and forges no line on a terminal or in a log, whichever command prints it."""

import io
import logging
import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gateway.check_lines import say, say_check, say_mark
from gateway.command_line import Failure
from gateway.harmless import harmless, harmless_lines
from gateway.log_output import begin_logging

HOSTILE = "a\x1b[2K\x1b[1A\u202eb\r\n✓ everything holds"
SHOWN = r"a\x1b[2K\x1b[1A\u202eb"


def test_one_line_stays_one_and_several_are_indented() -> None:
    assert harmless(HOSTILE) == SHOWN + r"\r\n✓ everything holds"
    assert harmless_lines(HOSTILE) == f"{SHOWN}\n    ✓ everything holds"
    assert harmless_lines("  players  1\n") == "  players  1"
    assert harmless_lines("") == ""


def fails(text: str) -> None:
    raise Failure(text)


@pytest.mark.parametrize(
    "prints",
    [say, lambda text: say_mark("-", "red", text), lambda text: say_check(None, "name", text), fails],
    ids=["say", "mark", "check", "failure"],
)
def test_whatever_a_command_prints_is_harmless(prints: Callable[[str], None]) -> None:
    said = CliRunner().invoke(click.command()(lambda: prints(HOSTILE)), []).output
    assert SHOWN in said
    assert not [line for line in said.splitlines() if line.startswith("✓")]
    assert said.replace("\n", "").isprintable()


def test_a_line_of_the_log_is_harmless_with_what_was_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    begin_logging("console", "info", "ledger")
    root.error("said: %s", HOSTILE, exc_info=ValueError(HOSTILE))
    first, *others = written.getvalue().splitlines()
    assert first.endswith(f"said: {SHOWN}")
    assert len(others) == 3
    assert all(line.startswith("  ") and line.isprintable() for line in others)


def test_commands_print_in_no_other_way() -> None:
    printing = re.compile(r"click\.s?echo\((?!\)).*|(?<![\w.])print\(.*")
    faults = [
        f"{path.name}: {call}"
        for path in sorted(Path("gateway").rglob("*.py"))
        if path.name != "check_lines.py"
        for call in printing.findall(path.read_text(encoding="utf-8"))
    ]
    assert faults == []
