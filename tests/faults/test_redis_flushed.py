"""FLUSHALL in the middle of an event: the live numbers come back by themselves, and the exact ones never knew."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import redis as redis_client

from counters.event import load_event
from counters.ledger.log import LogReader
from counters.ledger.note import Verifier
from counters.secrets import load_secrets
from deploy.embedded_redis import ServerProgram, socket_path
from gateway.development_issuer import DevelopmentIssuer
from tests.gateway.commands import FREE_PORTS, end, port_of, started
from tests.gateway.conftest import EVENT_FILE
from tests.gateway.serving import ask, until

WINDOW = int(datetime.fromisoformat("2023-11-19T09:00:00+08:00").timestamp())
PEOPLE = {"opening": 40, "forum": 20}
Scope = tuple[str, str]
"""(rule, session); the whole event is ""."""


def live(port: int) -> dict[Scope, int]:
    document = ask(port, "GET", "/v1/events/expo/live").json
    if document["stale"]:
        return {}
    return {(number["rule"], number["scope"].get("session", "")): number["value"] for number in document["numbers"]}


def all_are_seen(numbers: dict[Scope, int]) -> bool:
    """Of so few in 16,384 registers, more than five collisions have a chance of one in 10^7."""
    expected = PEOPLE | {"": sum(PEOPLE.values())}
    return all(
        people - 5 <= numbers.get((rule, session), 0) <= people + 5
        for rule in ("live-attendees", "live-views", "joined-attendees")
        for session, people in expected.items()
    )


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

        jump(WINDOW)
        for session, people in PEOPLE.items():
            for number in range(people):
                attend(session, number)
        until(lambda: all_are_seen(live(gateway)), "the live numbers show everybody")
        before = live(gateway)
        client: Any = redis_client.Redis.from_url(f"unix://{socket_path(data / 'redis')}")
        sketches = [key for key in client.keys("turnout:{expo:*}:[bd]:*") if b":tmp:" not in key]
        client.flushall()
        until(lambda: client.exists(*sketches) == len(sketches), "Redis has every sketch again")
        written_at = (data / "spool" / "live.json").stat().st_mtime_ns
        until(lambda: (data / "spool" / "live.json").stat().st_mtime_ns > written_at, "they are asked for again")
        until(lambda: live(gateway) == before, "and are what they were")
        client.close()
        jump(WINDOW + 60)
        jump(WINDOW + 120)
        assert end(process) == 0, (tmp_path / "said.log").read_text()

    log = LogReader(data / "log", Verifier.decode(up["log"]))
    (leaf,) = [leaf for leaf in map(json.loads, log.entries(1)) if leaf.get("window") == event.iso(WINDOW)]
    exact = {row["session"]: row["present"] for row in leaf["totals"]}
    assert exact == PEOPLE | {"": sum(PEOPLE.values())}
    for session, people in exact.items():
        assert abs(before["live-attendees", session] - people) <= 5
