"""docs/relays.md: its command does what the page says, its limits are the worker's, it names every refusal."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.door_keeper import PARTIAL_S
from gateway.heartbeats import BODY_BYTES, REFUSALS
from gateway.reasons import Reason
from gateway.relay_batches import BATCH_BYTES, LINES
from tests.gateway.serving import serving

PAGE = (Path(__file__).parents[2] / "docs" / "relays.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_command_of_the_page_gets_the_answer_of_the_page(
    event_file: Path, tmp_path: Path, needed: Callable[[str], str]
) -> None:
    bash = needed("bash")
    needed("curl")
    with serving(event_file, tmp_path / "gateway") as served:
        given = {"ONE": served.token(1), "ANOTHER": served.token(2), "GATEWAY": f"http://127.0.0.1:{served.port}"}
        done = subprocess.run(
            [bash, "-euc", block("sh")], cwd=tmp_path, env=os.environ | given, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        assert json.loads(done.stdout) == json.loads(block("json"))
        assert [record & 0xFFFFFFFF for record in served.records()] == [1, 2]


def test_the_limits_of_the_page_are_the_workers() -> None:
    limits = dict(re.findall(r"^\| (lines|bytes|time) [^|]*\| ([^|]*?) \|", PAGE, re.MULTILINE))
    assert limits == {
        "lines": f"{LINES:,}",
        "bytes": f"{BATCH_BYTES:,}, that is {LINES:,} lines of {BODY_BYTES[1]} characters",
        "time": f"{PARTIAL_S:g} s",
    }


@pytest.mark.parametrize("reason", REFUSALS)
def test_the_page_says_what_to_do_about_every_refusal(reason: Reason) -> None:
    assert f"`{reason.label}`" in PAGE
