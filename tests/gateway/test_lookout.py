"""The lookout over HTTP: what a gateway has seen is believed only under the event's secret, and so is the ledger."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from aiohttp import web

from counters.event import Event, load_event
from counters.keys_in_force import IssuerKeys
from counters.secrets import Secrets
from counters.sighting import SEEN_FILE, Claim, Sighting
from gateway import lookout
from gateway.ledger_client import (
    GRANT_PATH,
    LOG_HEADER,
    MAC_HEADER,
    STEERING_PATH,
    GatewayName,
    InForce,
    LedgerClient,
    LedgerUnavailableError,
    WorkerName,
    signed_headers,
)
from gateway.lookout import Lookout
from gateway.remembered import Remembered
from tests.gateway.serving import RunningLedger, ledger, until

NAME = "hall-a"
INSTANCE = "1" * 16


@pytest.fixture(scope="module")
def running(simulated_event_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with ledger(simulated_event_file, tmp_path_factory.mktemp("ledger")) as service:
        yield service


def claimed(running: RunningLedger, event: Event, claim: str, mac_of: str | None = None) -> tuple[int, str]:
    """Ask for steering with a claim, under the MAC of another one; return status and reason."""
    asked = {"event_sha256": event.digest, "pseudonym_key_sha256": running.secrets.pseudonym_commitment}
    body = orjson.dumps(asked | {"gateway": NAME, "instance": INSTANCE, "known": 0})
    headers = signed_headers(running.secrets, "POST", STEERING_PATH, body, claim if mac_of is None else mac_of)
    headers = {name: value for name, value in headers.items() if name != LOG_HEADER}
    answer = running.ask("POST", STEERING_PATH, body, headers | ({LOG_HEADER: claim} if claim else {}))
    return answer.status, "" if answer.status == 200 else answer.reason


def test_a_claim_is_heard_only_under_the_mac_that_covers_it(running: RunningLedger, simulated: Event) -> None:
    far = Claim(NAME, Sighting(0, 1000, bytes(32), 0, 0)).encode()
    near = Claim(NAME, None).encode()
    assert claimed(running, simulated, near) == (200, "")
    assert claimed(running, simulated, "") == (200, ""), "a gateway that has seen nothing"
    for claim, mac_of in ((far, near), (far, ""), ("", near)):
        assert claimed(running, simulated, claim, mac_of) == (403, "mac_wrong")
    for nonsense in ("{", "[]", '{"gateway": "g", "size": 1}'):
        assert claimed(running, simulated, nonsense) == (400, "body_malformed")
    assert running.ask("GET", "/readyz").body == b"ready\n"


def test_what_the_ledger_shows_is_on_disk_before_its_answer_is_acted_on(
    running: RunningLedger, simulated: Event, tmp_path: Path
) -> None:
    name = WorkerName("00000000000000a1", NAME, simulated.digest)

    async def grant() -> list[int]:
        async with LedgerClient(running.url, running.secrets, Remembered(tmp_path, running.secrets, NAME)) as client:
            return await client.grant(name, 3, -1)

    blocks = asyncio.run(grant())
    seen = json.loads((tmp_path / SEEN_FILE).read_text())
    assert seen["blocks"] == max(blocks) + 1
    assert seen["size"] == len(running.leaves())


def test_a_disk_that_does_not_take_it_holds_up_nothing_and_the_process_remembers(
    running: RunningLedger, simulated: Event, tmp_path: Path
) -> None:
    nowhere = tmp_path / "gone"  # no such folder: it can be neither read nor written

    async def ask() -> str:
        remembered = Remembered(nowhere, running.secrets, NAME)
        async with LedgerClient(running.url, running.secrets, remembered) as client:
            known = IssuerKeys.of(simulated).digest
            assert await client.steering(GatewayName(NAME, INSTANCE, simulated.digest), 0, known) == InForce()
        return remembered.claim()

    seen = Claim.decode(asyncio.run(ask())).seen
    assert seen is not None
    assert seen.size == len(running.leaves())


@pytest.mark.parametrize(
    ("shown", "mac"),
    [
        (None, None),
        (Sighting(0, 10**9, bytes(32), 0, 0), ""),
        (Sighting(0, 10**9, bytes(32), 0, 0), "ü" * 64),
    ],
)
def test_a_stranger_on_the_way_cannot_make_a_gateway_believe_in_a_longer_log(
    running: RunningLedger, simulated: Event, tmp_path: Path, shown: Sighting | None, mac: str | None
) -> None:
    async def stranger(_: web.Request) -> web.Response:
        headers = {} if shown is None else {LOG_HEADER: json.dumps(shown.as_json()), MAC_HEADER: mac or ""}
        return web.json_response({"number": 0, "now": 0.0}, headers=headers)

    async def ask() -> None:
        app = web.Application()
        app.add_routes([web.post(STEERING_PATH, stranger), web.post(GRANT_PATH, stranger)])
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = "http://{}:{}".format(*runner.addresses[0][:2])
        try:
            async with LedgerClient(url, running.secrets, Remembered(tmp_path, running.secrets, NAME)) as client:
                await client.steering(GatewayName(NAME, INSTANCE, simulated.digest), 0, "")
        finally:
            await runner.cleanup()

    with pytest.raises(LedgerUnavailableError, match="does not say with this event's secret"):
        asyncio.run(ask())
    assert not (tmp_path / SEEN_FILE).exists()


def test_a_ledger_that_nobody_tells_anything_listens_and_goes_on(simulated_event_file: Path, tmp_path: Path) -> None:
    with ledger(simulated_event_file, tmp_path) as first:
        assert first.ask("GET", "/readyz").status == 200, "it has just begun its log: there is nothing to listen for"
    with ledger(simulated_event_file, tmp_path) as second:
        until(lambda: second.ask("GET", "/readyz").status == 200, "it has listened")
        assert second.organise("POST", "/v1/events/expo/certificates").status == 201


class Told:
    """A setback that has heard some gateways."""

    claims = ()

    def __init__(self, heard: set[str]) -> None:
        self.heard = heard

    def why(self) -> str:
        return ""


@pytest.mark.parametrize(
    ("blocks", "heard", "warns"),
    [(0, set[str](), False), (3, {NAME}, False), (3, set[str](), True)],
    ids=["no gateway was ever here", "one has told", "none has told"],
)
def test_whoever_may_have_restored_an_old_backup_is_warned(
    blocks: int, heard: set[str], warns: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lookout, "LISTEN_S", 0.0)
    monkeypatch.setattr(lookout, "WARN_AFTER_S", 0.0)
    sighting = Sighting(0, 1, bytes(32), blocks, 0)
    there = Lookout(
        cast("Any", Told(heard)), Secrets.generate(), lambda: sighting, asyncio.to_thread,
        begun=False,
    )  # fmt: skip
    asyncio.run(there.listen())
    assert there.may_go_on()
    assert ("no gateway has told this ledger" in caplog.text) is warns


def test_a_ledger_that_was_set_back_seals_no_window_that_ends(simulated_event_file: Path, tmp_path: Path) -> None:
    event = load_event(simulated_event_file)
    nine = event.sessions[0].starts_at.timestamp()
    with ledger(simulated_event_file, tmp_path) as newer:
        newer.jump(nine + 60)
        until(lambda: len(newer.windows()) == 1, "the first window is sealed")
        far = Sighting(0, 50, bytes(32), 0, 0)
    with ledger(simulated_event_file, tmp_path) as older:
        # Heard while it listens, so before anything could be sealed; and again, as each gateway says it each second.
        for _ in range(2):
            assert claimed(older, event, Claim(NAME, far).encode()) == (503, "ledger_set_back")
        older.jump(nine + 300)
        # Each asks the thread that seals, between whose turns windows without workers are sealed at once.
        for _ in range(200):
            assert older.ask("GET", "/readyz").status == 503
            older.organise("GET", "/v1/events/expo/attendance")
        assert len(older.windows()) == 1


def test_a_ledger_that_is_stopped_while_it_listens_does_not_wait_for_who_waits_for_that(
    simulated_event_file: Path, simulated: Event, tmp_path: Path
) -> None:
    with ledger(simulated_event_file, tmp_path):
        pass
    name = WorkerName("00000000000000a1", NAME, simulated.digest)

    async def ask(running: RunningLedger) -> None:
        async with LedgerClient(running.url, running.secrets, Remembered(tmp_path, running.secrets, NAME)) as client:
            await client.grant(name, 1, -1)

    with ledger(simulated_event_file, tmp_path) as again, ThreadPoolExecutor(1) as thread:
        asked = thread.submit(asyncio.run, ask(again))
        until(lambda: again.ask("GET", "/readyz").status == 503, "it listens")
        again.process.terminate()
        # aiohttp by itself would wait for a minute.
        assert again.process.wait(30) == 0
        with suppress(LedgerUnavailableError):
            asked.result(30)
