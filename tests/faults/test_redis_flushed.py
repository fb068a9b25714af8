"""FLUSHALL in the middle of an event: the live numbers come back by themselves, and the exact ones never knew."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import redis as redis_client

from counters import hyperloglog
from counters.attendee import pseudonym
from counters.event import load_event
from counters.ledger.log import LogReader
from counters.ledger.note import Verifier
from counters.live import room_key
from counters.secrets import Secrets, load_secrets
from deploy.embedded_redis import ServerProgram, socket_path
from gateway.development_issuer import DevelopmentIssuer
from tests.gateway.commands import FREE_PORTS, end, port_of, started
from tests.gateway.conftest import EVENT_FILE
from tests.gateway.serving import ask, until

WINDOW = int(datetime.fromisoformat("2023-11-19T09:00:00+08:00").timestamp())
PEOPLE = {"opening": 40, "forum": 20}
VISITORS = 12
"""At the gate of the opening, the first six of them also online; the last three leave again."""
Scope = tuple[str, str, str]
"""(rule, session, channel); the whole event is "", and so are both channels."""


def live(port: int) -> dict[Scope, int]:
    document = ask(port, "GET", "/v1/events/expo/live").json
    if document["stale"]:
        return {}
    return {
        (number["rule"], number["scope"].get("session", ""), number["scope"].get("channel", "")): number["value"]
        for number in document["numbers"]
    }


def expected(secrets: Secrets, visitors: range) -> dict[Scope, int]:
    """The numbers of attendees, to the last of them, when these visitors are on site."""

    def estimate(*subjects: str) -> int:
        registers = hyperloglog.empty()
        for subject in subjects:
            hyperloglog.add(registers, pseudonym(secrets.pseudonym_key, "tickets", subject))
        return hyperloglog.estimate(registers)

    online = {session: [f"{session} {number}" for number in range(people)] for session, people in PEOPLE.items()}
    online[""] = [subject for subjects in online.values() for subject in subjects]
    onsite = {"forum": list[str](), "opening": [visitor(number) for number in visitors]}
    onsite[""] = onsite["opening"]
    found: dict[Scope, int] = {}
    for session, watching in online.items():
        found["live-attendees", session, "online"] = estimate(*watching)
        found["live-attendees", session, "onsite"] = estimate(*onsite[session])
        found["live-attendees", session, ""] = estimate(*watching, *onsite[session])
    return found


def visitor(number: int) -> str:
    return f"opening {PEOPLE['opening'] - VISITORS // 2 + number}"


def all_are_seen(numbers: dict[Scope, int], attendees: dict[Scope, int]) -> bool:
    """Of so few in 16,384 registers, more than five collisions have a chance of one in 10^7."""
    rest = {
        (rule, session, ""): people
        for rule in ("live-views", "joined-attendees")
        for session, people in (PEOPLE | {"": sum(PEOPLE.values())}).items()
    }
    seen = all(people - 5 <= numbers.get(scope, 0) <= people + 5 for scope, people in rest.items())
    return seen and numbers.keys() == {*rest, *attendees} and numbers.items() >= attendees.items()


def test_live_and_exact_agree_again_after_everything_was_flushed(redis_program: ServerProgram, tmp_path: Path) -> None:  # noqa: ARG001 - it is there
    event_file = tmp_path / "expo.toml"
    event_file.write_text(EVENT_FILE + "[simulation]\nstarts_at = 2023-11-19T08:59:00+08:00\n", encoding="utf-8")
    data = tmp_path / "turnout-data"
    with started("up", event_file, *FREE_PORTS, ready=data / "up.json", cwd=tmp_path) as (process, up):
        event, secrets = load_event(event_file), load_secrets(data / "secrets.json")
        minter = DevelopmentIssuer.load(data / "development-issuer", "tickets")
        gateway, key = port_of(up["gateway"]), {"Authorization": f"Bearer {secrets.organiser_key}"}

        def jump(now: int) -> None:
            body = json.dumps({"now": event.iso(now)}).encode()
            assert ask(port_of(up["ledger"]), "POST", "/v1/simulation/clock", body, key).status == 200

        def attend(session: str, number: int) -> None:
            ticket = minter.mint(event.issuers[0], f"{session} {number}", now=WINDOW)
            path = f"/v1/events/expo/sessions/{session}/join"
            joined = ask(gateway, "POST", path, b"", {"Authorization": f"Bearer {ticket}"})
            assert ask(gateway, "POST", "/v1/beat", joined.json["token"].encode()).status == 204

        def pass_the_gate(direction: str, visitors: range) -> None:
            badges = [minter.mint(event.issuers[0], visitor(number), now=WINDOW) for number in visitors]
            scans = [
                {"nonce": f"{direction} {number}", "badge": badge, "gate": "hall-a", "direction": direction,
                 "scanned_at": event.iso(WINDOW)}
                for number, badge in enumerate(badges)
            ]  # fmt: skip
            scanner = {"Authorization": f"Bearer {secrets.scanner_key}", "Content-Type": "application/json"}
            answer = ask(gateway, "POST", "/v1/events/expo/checkins", json.dumps({"scans": scans}).encode(), scanner)
            assert [outcome["outcome"] for outcome in answer.json["outcomes"]] == ["accepted"] * len(scans)

        jump(WINDOW)
        for session, people in PEOPLE.items():
            for number in range(people):
                attend(session, number)
        pass_the_gate("in", range(VISITORS))
        everybody, stayed = expected(secrets, range(VISITORS)), expected(secrets, range(VISITORS - 3))
        until(lambda: all_are_seen(live(gateway), everybody), "the live numbers show everybody")
        pass_the_gate("out", range(VISITORS - 3, VISITORS))
        until(lambda: all_are_seen(live(gateway), stayed), "and that three have left")
        before = live(gateway)
        metrics = ask(port_of(up["metrics"]), "GET", "/metrics").body.decode()
        for session, inside in {"opening": before["live-attendees", "opening", "onsite"], "forum": 0}.items():
            assert f'turnout_live_attendees{{channel="onsite",session="{session}"}} {inside:.1f}' in metrics
        assert f'turnout_live_event_attendees{{channel="either"}} {before["live-attendees", "", ""]:.1f}' in metrics
        client: Any = redis_client.Redis.from_url(f"unix://{socket_path(data / 'redis')}")
        sketches = [key for key in client.keys("turnout:{expo:*}:[bd]:*") if b":tmp:" not in key]
        client.flushall()
        until(lambda: client.exists(*sketches) == len(sketches), "Redis has every sketch again")
        written_at = (data / "spool" / "live.json").stat().st_mtime_ns
        until(lambda: (data / "spool" / "live.json").stat().st_mtime_ns > written_at, "they are asked for again")
        until(lambda: live(gateway) == before, "and are what they were")
        jump(WINDOW + 60)
        assert client.exists(room_key("expo", 1)) == 1, "they are inside until they leave"
        jump(WINDOW + 120)
        client.close()
        assert end(process) == 0, (tmp_path / "said.log").read_text()

    log = LogReader(data / "log", Verifier.decode(up["log"]))
    (leaf,) = [leaf for leaf in map(json.loads, log.entries(1)) if leaf.get("window") == event.iso(WINDOW)]
    exact = {row["session"]: row["present"] for row in leaf["totals"]}
    assert exact == PEOPLE | {"": sum(PEOPLE.values())}
    for session, people in exact.items():
        assert abs(before["live-attendees", session, "online"] - people) <= 5
