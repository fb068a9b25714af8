"""Backups: taken while the ledger runs, restored after it was killed; and what happens if the backup is an old one."""

import json
import shutil
from pathlib import Path
from typing import Any

from counters.sighting import SEEN_FILE
from deploy.embedded_redis import ServerProgram
from tests.faults import reckoning
from tests.faults.rig import WINDOW, Rig, minute
from tests.gateway.serving import Answer, ask, until

LEDGERS = ("log", "log.writer", "evidence", "ledger", "certificates")
"""What of the rig's data directory a loss takes; clock and secrets are other parts' as well."""


NOT_COPIED = {"ledger.json", "log.writer/lock"}
"""Of a ledger's data; whoever adds a file to them decides here whether a backup needs it."""
SEEN_MORE = b"gateway g0 saw a log"


def readiness(rig: Rig) -> Answer:
    return rig.ledger.ask("GET", "/readyz")


def files_in(data: Path) -> set[str]:
    """The files of a data directory, but for tiles, of which older partial forms may still be there."""
    paths = {path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file()}
    return {path for path in paths if not path.startswith("log/tile/")}


def back_up(rig: Rig, copy: Path) -> str:
    done = rig.turnout("backup", rig.data, copy)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def lose_and_restore(rig: Rig, copy: Path) -> None:
    for name in LEDGERS:
        shutil.rmtree(rig.data / name, ignore_errors=True)
        if (copy / name).exists():
            shutil.copytree(copy / name, rig.data / name)


def certified(rig: Rig) -> dict[str, Any]:
    """A certificate that verifies, and whose verification says that the log was restored."""
    issued = rig.turnout("certify", rig.event_file, "--data", rig.data, "-o", "certificate.json")
    assert issued.returncode == 0, issued.stderr
    verified = rig.turnout(
        "verify", "certificate.json", "--evidence", rig.data / "evidence", "--policy", rig.data / "trust-policy"
    )
    assert verified.returncode == 0, verified.stdout
    assert "RESTORED FROM A BACKUP" in verified.stdout
    return dict(json.loads((rig.folder / "certificate.json").read_text()))


def refuses_everything(rig: Rig) -> None:
    """A ledger that stands still says so, and takes nothing into its log."""
    until(lambda: SEEN_MORE in readiness(rig).body, "the gateway has said what it saw")
    assert readiness(rig).status == 503
    assert b"turnout_ledger_set_back 1.0" in ask(rig.ledger.metrics_port, "GET", "/metrics").body
    assert rig.organise("POST", "/v1/events/expo/certificates").reason == "ledger_set_back"
    assert rig.organise("POST", "/v1/events/expo/steering", b'{"interval_s": 45}').reason == "ledger_set_back"


def play_minute(rig: Rig) -> int:
    """Let everybody send heartbeats in the window that is open; return it, over."""
    window = rig.crowd.window()
    with rig.crowd.playing():
        rig.crowd.until_heard()
    rig.next_window()
    return window


def test_a_backup_taken_under_load_and_at_rest_goes_on_as_if_nothing_had_happened(
    redis_program: ServerProgram, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with Rig(tmp_path, redis_program, gateways=2, workers=1) as rig:
        rig.jump(WINDOW)
        rig.crowd.join(20)
        rig.crowd.join(20, gateway=1)
        with rig.crowd.playing():
            for _ in range(4):
                rig.crowd.until_heard()
                rig.next_window()
                back_up(rig, copy)
            rig.crowd.until_heard()
        # What a backup holds that was taken in between is whole by itself.
        log = reckoning.read_log(copy, rig.log_key)
        assert log.full_check().size > 3
        rig.next_window()
        rig.settle()
        rig.ledger.kill()
        assert "; 0 files copied" not in back_up(rig, copy)
        assert "; 0 files copied" in back_up(rig, copy)
        assert files_in(rig.data) - files_in(copy) == NOT_COPIED
        lose_and_restore(rig, copy)
        rig.ledger.start()
        play_minute(rig)
        held = rig.hold()
    assert held.certificate["notice"].startswith("SIMULATED")
    assert "log_restored_from_backup" not in held.certificate["gaps"]


def test_an_old_backup_is_noticed_refused_and_gone_on_with_only_after_the_log_says_so(
    redis_program: ServerProgram, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with Rig(tmp_path, redis_program, workers=1) as rig:
        rig.jump(WINDOW)
        rig.crowd.join(20)
        play_minute(rig)
        rig.settle()
        back_up(rig, copy)
        kept = rig.leaves()
        lost = [play_minute(rig), play_minute(rig)]
        rig.settle()
        seen = len(rig.leaves())
        assert seen > len(kept)
        remembered = tmp_path / "spool-g0" / SEEN_FILE
        until(lambda: json.loads(remembered.read_text())["size"] == seen, "the gateway remembers it")
        rig.ledger.kill()
        lose_and_restore(rig, copy)

        # Loudly: it seals nothing, and takes nothing.
        rig.ledger.start()
        held_back = play_minute(rig)
        refuses_everything(rig)
        until(lambda: rig.gateways[0].waiting(before=rig.crowd.window()) != [], "the gateway keeps what nobody takes")
        assert rig.leaves() == kept

        # Not even if it is started again before any gateway speaks, nor at rest.
        rig.ledger_line[0].cut()
        assert rig.ledger.stop() == 0
        rig.ledger.start()
        assert SEEN_MORE in readiness(rig).body
        assert rig.ledger.stop() == 0
        refused = rig.turnout("certify", rig.event_file, "--data", rig.data)
        assert refused.returncode == 2
        assert "older than what it had shown" in refused.stderr
        assert rig.leaves() == kept

        declared = rig.turnout("restored", rig.data, "--yes")
        assert declared.returncode == 0, declared.stderr
        assert f"gateway g0 had seen {seen} entries" in declared.stdout
        rig.ledger.start()
        rig.ledger_line[0].heal()
        newcomers = rig.crowd.join(5)
        assert min(player.seat for player in newcomers) not in {player.seat for player in rig.crowd.players[:20]}
        after = play_minute(rig)
        rig.settle()
        assert rig.leaves()[: len(kept)] == kept
        assert [gateway.stop() for gateway in rig.gateways] == [0]
        assert rig.ledger.stop() == 0

        found, truth = rig.found(), rig.crowd.truth
        for window in (WINDOW, held_back, after):
            assert truth.acknowledged[1, window] == found.present[1, window], window
        assert not any((1, window) in found.present for window in lost)
        certificate = certified(rig)
        assert "RESTORED FROM A BACKUP" in certificate["notice"]
        (gap,) = certificate["gaps"]["log_restored_from_backup"]
        assert gap["log_seen_by"][0]["size"] == seen
        assert gap["evidence_may_be_lost_until"] == rig.event.iso(minute(4))
