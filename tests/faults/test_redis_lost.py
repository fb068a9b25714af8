"""A Redis that comes back empty, with no gateway left that remembers: `turnout recover` fills it from the evidence."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import redis as redis_client
from click.testing import CliRunner, Result

from deploy.embedded_redis import ServerProgram
from gateway.cli import main
from gateway.development_issuer import DevelopmentIssuer
from tests.faults.live_numbers import document, expected, numbers, until_live_is
from tests.faults.rig import WINDOW, Rig
from tests.gateway.serving import ask, until

BOTH = (0, 1)


def check_in(rig: Rig, scans: list[dict[str, Any]], gateway: int = 0) -> list[str]:
    key = {"Authorization": f"Bearer {rig.secrets.scanner_key}"}
    body = json.dumps({"scans": scans}).encode()
    answer = ask(rig.gateways[gateway].port, "POST", "/v1/events/expo/checkins", body, key)
    return [row["outcome"] for row in answer.json["outcomes"]]


def asked(rig: Rig, url: str, data: Path | None = None, *more: str) -> Result:
    """The command, in this process."""
    arguments = ["recover", str(rig.event_file), "--data", str(data or rig.data), "--redis", url, *more]
    return CliRunner().invoke(main, arguments)


def recover(rig: Rig, *more: str) -> list[str]:
    done = asked(rig, rig.redis.url, None, *more)
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def told(what: str, written: int = 0, same: int = 0, kept: int = 0) -> str:
    return f"  {what:<8}{written} set, {same} as they were, {kept} held otherwise"


def scans_in_spools(rig: Rig) -> int:
    """How many scans were journaled by now, in the spools that are not handed over."""
    return sum(path.read_bytes().count(b"nonce-") for gateway in rig.gateways for path in gateway.spool.glob("*/w*"))


def test_everything_is_recovered_from_the_evidence(redis_program: ServerProgram, tmp_path: Path) -> None:
    with Rig(tmp_path, redis_program, gateways=2, workers=1) as rig:
        crowd = rig.crowd
        rig.jump(WINDOW)
        crowd.join(20)
        visitors = crowd.join(10, "forum", gateway=1)
        # Alice has two seats, because the registry was away.
        rig.redis.kill()
        alice = [crowd.join(["alice"], gateway=gateway)[0].seat for gateway in BOTH]
        rig.redis.start()
        until(lambda: len({crowd.join(["alice"], gateway=place)[0].seat for place in BOTH}) == 1, "all is claimed")
        issuer = DevelopmentIssuer.load(rig.data / "development-issuer", "tickets")
        badges = [issuer.mint(rig.event.issuers[0], player.name, now=WINDOW) for player in visitors[:3]]
        scans = [
            {"nonce": f"nonce-{n}", "badge": badge, "gate": "hall-b", "direction": "in",
             "scanned_at": rig.event.iso(WINDOW)}
            for n, badge in enumerate(badges)
        ]  # fmt: skip
        assert check_in(rig, scans) == ["accepted"] * 3
        assert crowd.beat() == len(crowd.players)
        until_live_is(rig, expected(rig, crowd.players), BOTH)
        rig.next_window()
        rig.settle()

        # The registry and every gateway start anew: nobody remembers who joined today.
        for gateway in rig.gateways:
            assert gateway.stop() == 0
        rig.redis.kill()
        rig.redis.empty()
        rig.redis.start()
        for gateway in rig.gateways:
            gateway.start()
        assert crowd.beat() == len(crowd.players)
        playing = expected(rig, crowd.players)
        forgotten = {place: 0 if place[0] == "joined-attendees" else value for place, value in playing.items()}
        until_live_is(rig, forgotten, BOTH)

        with redis_client.Redis.from_url(rig.redis.url) as client:
            dry = recover(rig, "--dry-run")
            assert not list(client.scan_iter("turnout:{expo:seat:*")), "a dry run writes nothing"
            assert numbers(document(rig)) == forgotten
            run = rig.turnout("recover", rig.event_file, "--data", rig.data, "--redis", rig.redis.url)
            assert run.returncode == 0, run.stderr
            done = run.stdout.splitlines()
            assert len(list(client.scan_iter("turnout:{expo:seat:*"))) == 31
        people = len(set(crowd.truth.people.values()))
        # Alice has two; a registry that does not answer in time, on a busy machine, gives more of them further ones.
        assert re.match(rf"evidence: {people} attendees, [1-9]\d* further seats of theirs, 3 accepted scans", done[1])
        assert done[2:4] == [told("seats", written=people), told("scans", written=3)]
        assert [line.replace("would be set", "set") for line in dry[2:4]] == done[2:4]
        # It may run again, beside an event that goes on.
        assert recover(rig)[2:4] == [told("seats", same=people), told("scans", same=3)]
        until_live_is(rig, playing, BOTH)

        before = {player.name: player.seat for player in crowd.players} | {"alice": alice[0]}
        for place in BOTH:
            again = crowd.join(sorted(before), gateway=place)
            assert {player.name: player.seat for player in again} == before, "everybody has the canonical seat"
        journaled = scans_in_spools(rig)
        assert check_in(rig, scans, gateway=1) == ["accepted"] * 3, "a scanner that tries again is told the same"
        assert scans_in_spools(rig) == journaled, "and nothing is journaled again"
        held = rig.hold()
    assert held.exact


def test_what_a_running_event_has_written_since_stays(redis_program: ServerProgram, tmp_path: Path) -> None:
    with Rig(tmp_path, redis_program, gateways=1, workers=1) as rig:
        rig.jump(WINDOW)
        known = rig.crowd.join(5)
        assert rig.crowd.beat() == 5
        rig.next_window()
        rig.settle()
        rig.redis.kill()
        rig.redis.empty()
        rig.redis.start()
        until(lambda: not document(rig)["stale"], "Redis is back")
        # Before anybody recovers, one of them comes again: she has another seat now, and keeps it.
        (newer,) = rig.crowd.join([known[0].name])
        assert newer.seat != known[0].seat
        done = recover(rig)
        assert done[2] == told("seats", written=4, kept=1)
        again = rig.crowd.join([player.name for player in known])
        assert [player.seat for player in again] == [newer.seat, *(player.seat for player in known[1:])]
        assert rig.crowd.beat() == len(rig.crowd.players)
        assert why_not(rig, tmp_path / "elsewhere", rig.redis.url) == "holds no log: name the ledger's data directory"
        assert why_not(rig, rig.data, "redis://127.0.0.1:1") == "Run this again once that is mended"
        assert why_not(rig, rig.data, "redis+sentinel://127.0.0.1:1") == "the service that they watch"
        changed = tmp_path / "changed"
        shutil.copytree(rig.data, changed)
        for path in (changed / "evidence").iterdir():
            path.write_bytes(path.read_bytes()[:-1])
        assert why_not(rig, changed, rig.redis.url) == "its bytes have another digest. Nothing was written."
        held = rig.hold()
    (unique,) = [
        row["value"] for row in held.certificate["numbers"]
        if (row["rule"], row["scope"]) == ("unique-attendees-online", {})
    ]  # fmt: skip
    assert unique == 5


def why_not(rig: Rig, data: Path, url: str) -> str:
    """Which of the sentences that a person can act upon is printed."""
    done = asked(rig, url, data)
    assert (done.exit_code, type(done.exception)) == (2, SystemExit), done
    sentences = (
        "holds no log: name the ledger's data directory", "Run this again once that is mended",
        "the service that they watch", "its bytes have another digest. Nothing was written.",
    )  # fmt: skip
    return next((sentence for sentence in sentences if sentence in done.output), done.output)
