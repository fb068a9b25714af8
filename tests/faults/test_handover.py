"""Handing over with real processes: who does not belong, who is gone for good, what takes long, what cannot be read."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from counters.expected_reports import GRACE_S
from counters.secrets import load_or_create_secrets
from deploy.embedded_redis import ServerProgram
from gateway.development_issuer import load_event_creating_keys
from gateway.mendable import EXIT_CODE
from gateway.settings import GatewaySettings
from tests.faults.loopback_line import CHUNK_BYTES
from tests.faults.parts import GatewayPart, LedgerPart
from tests.faults.rig import WINDOW, Rig, minute
from tests.gateway.commands import CERTAIN_S
from tests.gateway.conftest import EVENT_FILE
from tests.gateway.serving import NO_REDIS, ask, until

PEOPLE = 20
"""Debian's package `faketime`."""


def manifests(rig: Rig) -> dict[str, dict[str, Any]]:
    """The manifest of each window by its time in the event's zone."""
    return {
        leaf["window"]: json.loads((rig.data / "evidence" / leaf["manifest_sha256"]).read_bytes())
        for leaf in rig.leaves()
        if leaf["type"] == "window"
    }


# Who does not belong.


@contextmanager
def strangers(rig: Rig) -> Iterator[dict[str, "subprocess.Popen[bytes]"]]:
    """Gateways that do not belong to the rig's ledger, by what is wrong with them."""
    ours = json.loads((rig.data / "secrets.json").read_text())
    for name, changes in (
        ("secret", {"event_secret": "11" * 32}),
        ("pseudonym", {"pseudonym_key": "22" * 32}),
    ):
        (rig.folder / f"{name}.json").write_text(json.dumps(ours | changes))
    other = rig.folder / "other.toml"
    other.write_text(rig.event_file.read_text().replace('name = "Expo"', 'name = "Another"'))
    mine = rig.gateways[0].config
    configs = {
        "secret": replace(mine, secrets_file=str(rig.folder / "secret.json"), gateway="a"),
        "pseudonym": replace(mine, secrets_file=str(rig.folder / "pseudonym.json"), gateway="b"),
        "event": replace(mine, event_file=str(other), gateway="c"),
        "name": mine,
    }
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, config in configs.items():
            own = replace(
                config, port=0, spool=str(rig.folder / f"spool-{name}"), ready_file=str(rig.folder / f"{name}.ready"),
                workers=1,
            )  # fmt: skip
            running[name] = _supervisor(own, rig.folder / f"{name}.said")
        yield running
    finally:
        for process in running.values():
            process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()


def _supervisor(config: GatewaySettings, said: Path) -> "subprocess.Popen[bytes]":
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.supervisor"], stdin=subprocess.PIPE, stdout=output, stderr=output
        )
    assert process.stdin is not None
    process.stdin.write(config.start_line())
    process.stdin.flush()
    return process


def test_a_gateway_that_does_not_belong_ends_with_one_sentence_and_the_one_that_does_goes_on(
    redis_program: ServerProgram, tmp_path: Path
) -> None:
    sentences = {
        "secret": "not made with this event's secret",
        "pseudonym": "another pseudonym key",
        "event": "another event file",
        "name": "another spool, runs under the name 'g0'",
    }
    with Rig(tmp_path, redis_program) as rig:
        rig.jump(WINDOW)
        rig.crowd.join(PEOPLE)
        with strangers(rig) as running:
            for name, process in running.items():
                code = process.wait(CERTAIN_S)
                said = (tmp_path / f"{name}.said").read_text()
                assert code == EXIT_CODE, (name, said)
                assert sentences[name] in said.splitlines()[-1], (name, said)
                assert "Traceback" not in said
        assert rig.crowd.beat() == PEOPLE
        rig.next_window()
        held = rig.hold()
    assert held.exact
    assert held.acknowledged == PEOPLE


# Who is gone for good.


def test_a_host_that_is_gone_for_good_is_retired_and_may_come_back_all_the_same(
    redis_program: ServerProgram, tmp_path: Path
) -> None:
    with Rig(tmp_path, redis_program, gateways=2) as rig:
        rig.jump(WINDOW)
        rig.crowd.join(PEOPLE)
        rig.crowd.join(PEOPLE, gateway=1)
        assert rig.crowd.beat() == 2 * PEOPLE
        rig.gateways[1].kill()
        stay = [player for player in rig.crowd.players if player.gateway == 0]
        rig.next_window()
        assert rig.crowd.beat(stay) == PEOPLE
        rig.next_window()
        retired = rig.turnout("retire", rig.event_file, "--data", rig.data, "--gateway", "g1", "--force")
        assert retired.returncode == 0, retired.stderr
        assert "gateway g1 is retired as of 2023-11-19T09:02:00+08:00" in retired.stdout
        assert "2 workers" in retired.stdout
        again = rig.turnout("retire", rig.event_file, "--data", rig.data, "--gateway", "g1", "--force")
        assert "nothing to do" in again.stdout
        rig.ledger.kill()
        rig.ledger.start()
        for _ in range(2):
            assert rig.crowd.beat(stay) == PEOPLE
            rig.next_window()
        until(lambda: minute(3) in rig.sealed(), "the minutes after it are sealed")
        rig.gateways[1].start()
        assert rig.crowd.beat() == 2 * PEOPLE
        rig.next_window()
        held = rig.hold()
    assert held.exact
    assert held.acknowledged == 7 * PEOPLE
    assert {window: len(leaf["missing"]) for window, leaf in held.found.windows.items() if leaf["missing"]} == {
        minute(number): 2 for number in range(3)
    }, "up to the minute in which it was retired, and not after it, the new workers' included"
    assert sorted(held.found.late) == [minute(0)]


# What takes long.


def test_a_hand_over_that_takes_longer_than_the_grace_is_waited_for(
    redis_program: ServerProgram, tmp_path: Path
) -> None:
    rig = Rig(tmp_path, redis_program)
    held_up: list[bytes] = []

    async def slow(asker: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await asker.read(CHUNK_BYTES):
            if b'"segments":[' in data and b'"segments":[]' not in data and not held_up:
                held_up.append(data)
                await asyncio.sleep(GRACE_S + 4)
            to.write(data)
            await to.drain()

    rig.ledger_line[0]._ask = slow  # type: ignore[method-assign]
    with rig:
        rig.jump(WINDOW)
        rig.crowd.join(PEOPLE)
        assert rig.crowd.beat() == PEOPLE
        rig.next_window()
        held = rig.hold()
    assert held_up
    assert held.exact
    assert (held.missing, sorted(held.found.late)) == (0, [])


# What cannot be read.


def test_a_window_that_cannot_be_read_is_a_gap_in_the_evidence_and_holds_up_no_other(
    redis_program: ServerProgram, tmp_path: Path
) -> None:
    with Rig(tmp_path, redis_program, gateways=2, workers=1) as rig:
        rig.jump(WINDOW)
        rig.crowd.join(PEOPLE)
        rig.gateways[1].kill()
        (broken,) = rig.gateways[1].spool.glob(f"*/w{WINDOW}-000")
        broken.write_bytes(bytes(broken.stat().st_size))
        rig.gateways[1].start()
        assert rig.crowd.beat() == PEOPLE
        rig.next_window()
        rig.settle()
        assert rig.crowd.beat() == PEOPLE
        rig.next_window()
        held = rig.hold()
        nine = manifests(rig)["2023-11-19T09:00:00+08:00"]
        worker = broken.parent.name
        assert [row["worker"] for row in nine["coverage"] if row["unreadable"]] == [worker]
        assert [row["worker"] for row in nine["granted"]] == [worker]
        assert nine["missing"] == []
        aside = rig.gateways[1].spool / "unreadable" / f"{worker}-{broken.name}"
        assert aside.exists()
    assert held.exact
    assert "unreadable" in json.dumps(held.certificate["gaps"])


# A clock that is off.


def test_a_gateway_whose_clock_is_off_says_so_and_by_more_than_half_a_minute_it_is_not_ready(
    tmp_path: Path, libfaketime: Path
) -> None:
    event_file, data = tmp_path / "expo.toml", tmp_path / "data"
    event_file.write_text(EVENT_FILE)
    load_event_creating_keys(event_file, data / "development-issuer")
    load_or_create_secrets(data / "secrets.json")
    ledger = LedgerPart(tmp_path, event_file, data, NO_REDIS)
    gateways: list[GatewayPart] = []

    def started(name: str, offset: str) -> GatewayPart:
        gateway = GatewayPart(
            tmp_path,
            GatewaySettings(
                event_file=str(event_file), secrets_file=str(data / "secrets.json"), spool=str(tmp_path / name),
                registry_url=NO_REDIS, live_url=NO_REDIS, ledger_url=f"http://127.0.0.1:{ledger.port}",
                host="127.0.0.1", port=0, metrics_host="127.0.0.1", metrics_port=0, workers=1, gateway=name,
                ready_file=str(tmp_path / f"{name}.json"),
            ),
        )  # fmt: skip
        # What elapses since boot stays as it is, as when a host's clock is set wrong.
        environment = ["env", f"LD_PRELOAD={libfaketime}", f"FAKETIME={offset}", "DONT_FAKE_MONOTONIC=1"]
        gateway._command = lambda: [*environment, sys.executable, "-m", "gateway.supervisor"]  # type: ignore[method-assign]
        gateways.append(gateway)
        gateway.start()
        return gateway

    def offset_s(gateway: GatewayPart) -> float:
        text = ask(gateway.metrics_port, "GET", "/metrics").body.decode()
        values = [line for line in text.splitlines() if line.startswith("turnout_clock_offset_seconds ")]
        return float(values[0].split()[1]) if values else 0.0

    def ready(gateway: GatewayPart) -> tuple[int, str]:
        answer = ask(gateway.metrics_port, "GET", "/readyz")
        return answer.status, answer.body.decode()

    try:
        ledger.start()
        right, ahead, behind = started("right", "+0s"), started("ahead", "+5s"), started("behind", "-45s")
        until(lambda: abs(offset_s(behind) + 45) < 1, "the ledger's clock is known", CERTAIN_S)
        until(lambda: ready(behind)[0] == 503 and "the clock is 45 s behind" in ready(behind)[1], "it says why")
        until(lambda: abs(offset_s(ahead) - 5) < 1, "the ledger's clock is known", CERTAIN_S)
        until(lambda: ready(ahead)[0] == 200 and ready(right)[0] == 200, "both serve")
        assert abs(offset_s(right)) < 1
        for gateway, which in ((ahead, "s AHEAD OF THE LEDGER'S"), (behind, "s BEHIND THE LEDGER'S")):
            # With the ledger's next answer: the metrics may know of a worker that was not there at the one before.
            until(lambda: which in gateway.said.read_text(), "it says so")  # noqa: B023 - called before the next turn
            assert gateway.said.read_text().count(which) == 1
        assert "THE LEDGER'S" not in right.said.read_text()
    finally:
        for part in (*gateways, ledger):
            part.end()
            print(f"--- {part.name}:\n{part.last_words()}")  # noqa: T201 - pytest shows it if the test fails
