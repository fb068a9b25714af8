"""A worker's report that never comes: the window is marked, bounds hold the truth, and tighter ones are found out."""

import json
from pathlib import Path
from typing import Any

from deploy.embedded_redis import ServerProgram
from tests.faults.reckoning import unix_s
from tests.faults.rig import WINDOW, Rig, minute


def certified(rig: Rig, name: str) -> dict[str, Any]:
    """Return a certificate of the running ledger that its verifier has passed with the evidence."""
    issued = rig.turnout("certify", rig.event_file, "--data", rig.data, "-o", name)
    assert issued.returncode == 0, issued.stderr
    verified = rig.turnout("verify", name, "--evidence", rig.data / "evidence", "--policy", rig.data / "trust-policy")
    assert verified.returncode == 0, verified.stdout
    document: dict[str, Any] = json.loads((rig.folder / name).read_text())
    assert ("gaps touch" in verified.stdout) == bool(document["gaps"]["bounds"]["rows"])
    return document


def number(document: dict[str, Any], rule: str, **scope: str) -> dict[str, Any]:
    row: dict[str, Any] = next(row for row in document["numbers"] if (row["rule"], row["scope"]) == (rule, scope))
    return row


def test_a_report_that_is_withheld_is_a_gap_with_bounds_until_it_comes(
    redis_program: ServerProgram, tmp_path: Path
) -> None:
    with Rig(tmp_path, redis_program, gateways=2, workers=1) as rig:
        rig.jump(WINDOW)
        stay = rig.crowd.join(20) + rig.crowd.join(12, gateway=1)
        assert rig.crowd.beat(stay) == 32
        rig.jump(minute(1))
        rig.settle()
        come = rig.crowd.join(11, gateway=1)
        assert rig.crowd.beat(stay + come) == 43
        rig.gateways[1].kill()
        rig.jump(minute(2))
        rig.settle()

        withheld = certified(rig, "withheld.json")
        (marked,) = withheld["gaps"]["windows_with_missing_workers"]
        (gap,) = withheld["gaps"]["bounds"]["rows"]
        assert unix_s(marked["window"]) == unix_s(gap["window"]) == minute(1)
        assert marked["missing"] == [gap["worker"]]
        assert (gap["gap"], gap["seconds"]) == ("worker-missing", 60)
        assert gap["more_people_at_most"] >= 23, "the eleven that came and the twelve that stayed were there"
        unique = number(withheld, "unique-attendees-online")
        assert (unique["value"], unique["bounds"][0]) == (32, 32)
        assert unique["bounds"][1] >= 43
        peak = number(withheld, "peak-concurrent-attendees", channel="online")
        assert peak["value"] == 32
        assert peak["bounds"][1] >= 43
        views = number(withheld, "views")
        assert (views["value"], views["bounds"]) == (32, [32, None])

        rig.gateways[1].start()
        rig.gateways[1].until_serving()
        rig.settle()
        come_late = certified(rig, "late.json")
        assert come_late["gaps"]["windows_with_missing_workers"] == [marked], "a sealed leaf never changes"
        assert come_late["gaps"]["late_evidence"]
        assert come_late["gaps"]["bounds"]["rows"] == []
        unique = number(come_late, "unique-attendees-online")
        assert unique["value"] == 43
        assert "bounds" not in unique
