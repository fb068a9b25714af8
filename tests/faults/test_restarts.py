"""Planned restarts leave no gap: nobody is refused a connection or hears an error, and nothing acknowledged is lost."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.embedded_redis import ServerProgram
from gateway.mendable import EXIT_CODE
from gateway.settings import GatewaySettings
from gateway.stopping import STOP_LIMIT_S
from gateway.worker import SEATS_PATIENCE_S
from tests.faults.crowd import Player
from tests.faults.parts import GatewayPart, Part
from tests.faults.reckoning import Held
from tests.faults.rig import WINDOW, Rig, minute
from tests.gateway.commands import CERTAIN_S, living, port_of
from tests.gateway.serving import Connection, ask, until


@pytest.fixture
def rig(redis_program: ServerProgram, tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path, redis_program) as rig:
        rig.jump(WINDOW)
        rig.crowd.join(24)
        yield rig


def nobody_noticed(rig: Rig) -> None:
    """No connection was refused, none broke under a heartbeat, and every heartbeat was answered 204."""
    truth = rig.crowd.truth
    assert (truth.refused_connections, truth.broken, set(truth.answers)) == (0, 0, {204})


def no_gap(held: Held) -> None:
    """Everything held, and no worker is named as missing in any leaf."""
    assert held.beats
    assert held.missing == 0


def silent_viewer(rig: Rig, player: Player) -> Connection:
    """A viewer between two heartbeats: a keep-alive connection that has brought one and is idle."""
    connection = Connection(rig.gateways[0].port)
    connection.send(player.request)
    assert connection.read_answers(1)[0].status == 204
    return connection


def says_farewell(connection: Connection, request: bytes) -> bool:
    """Whether a heartbeat on this connection is acknowledged with `Connection: close`, and the connection closed."""
    connection.send(request)
    (answer,) = connection.read_answers(1)
    closed = connection.read_to_end() == b""
    connection.close()
    return answer.status == 204 and answer.headers.get("connection") == "close" and closed


def replacement(rig: Rig, **fields: Any) -> GatewayPart:
    """A new gateway that is to take over from the rig's."""
    return GatewayPart(rig.folder, replace(rig.gateways[0].config, take_over=True, port=0, **fields))


def start(successor: GatewayPart) -> None:
    """Start it beside the one that it takes over from."""
    Part.start(successor)
    successor.port = port_of(json.loads(Path(successor.config.ready_file).read_text())["gateway"])


def test_a_rolling_restart_under_load_is_noticed_by_nobody(rig: Rig) -> None:
    gateway = rig.gateways[0]
    before = gateway.workers()
    viewers = [silent_viewer(rig, player) for player in rig.crowd.players[:8]]
    with rig.crowd.playing():
        rig.crowd.until_everybody_is_heard()
        gateway.send(signal.SIGHUP)
        until(lambda: len(set(gateway.serving()) - set(before)) == 2, "new workers serve at both places", CERTAIN_S)
        rig.jump(minute(1))  # the old ones still have viewers: they close their part of the window, as the new do
        rig.crowd.until_everybody_is_heard()
        # Between two heartbeats nobody is cut off: the next one is acknowledged, and says to come back elsewhere.
        assert all(
            says_farewell(viewer, player.request) for viewer, player in zip(viewers, rig.crowd.players, strict=False)
        )
        until(lambda: not living(before), "the old workers have ended", CERTAIN_S)
        rig.crowd.until_heard()
    nobody_noticed(rig)
    no_gap(rig.hold())


def test_a_take_over_under_load_is_noticed_by_nobody(rig: Rig) -> None:
    old = rig.gateways[0]
    port, metrics_port = old.port, old.metrics_port
    viewer = silent_viewer(rig, rig.crowd.players[0])
    new = replacement(rig)
    with rig.crowd.playing():
        rig.crowd.until_everybody_is_heard()
        try:
            start(new)
            assert (new.port, new.metrics_port) == (port, metrics_port)
            rig.jump(minute(1))
            rig.crowd.until_everybody_is_heard()
            assert old.running, "it keeps its silent viewers until they have beaten once more"
            assert says_farewell(viewer, rig.crowd.players[0].request)
            assert old.wait() == 0
            rig.gateways[0] = new
            rig.crowd.until_heard()
            nobody_noticed(rig)
        except BaseException:
            new.end()
            raise
    assert ask(metrics_port, "GET", "/readyz").body == b"ready\n"
    try:
        no_gap(rig.hold())
    finally:
        new.end()


@pytest.mark.parametrize("how", ["rolling", "take-over"])
def test_while_the_ledger_is_away_no_worker_with_seats_gives_way_to_one_without(rig: Rig, how: str) -> None:
    gateway = rig.gateways[0]
    before = gateway.workers()
    rig.ledger.kill()
    with ThreadPoolExecutor(1) as beside:
        if how == "rolling":
            gateway.send(signal.SIGHUP)
        else:
            succeeding = beside.submit(gateway.succeed)
        until(lambda: bool(new_folders(rig, before)), "a new worker is there", CERTAIN_S)
        time.sleep(SEATS_PATIENCE_S + 2)  # a worker that is started when there is no other would serve by now
        rig.crowd.join(12, at_once=True)
        rig.ledger.start()
        if how == "take-over":
            assert succeeding.result() == 0
    until(lambda: not living(before), "the old workers are replaced", CERTAIN_S)
    gateway.until_serving()
    rig.crowd.join(12)
    assert rig.crowd.beat() == len(rig.crowd.players)
    no_gap(rig.hold())


def test_a_take_over_that_comes_to_nothing_leaves_the_old_gateway_as_it_was(rig: Rig) -> None:
    """Killed on the way, of another event, with secrets that cannot be read: the old one goes on in each case."""
    old = rig.gateways[0]
    before = old.workers()
    other_event = rig.folder / "other.toml"
    other_event.write_text(rig.event_file.read_text().replace('name = "', 'name = "Another '))
    garbled = rig.folder / "garbled.json"
    garbled.write_text("{")
    with rig.crowd.playing():
        rig.crowd.until_everybody_is_heard()
        for fields, sentence in (
            ({"event_file": str(other_event)}, "runs another event"),
            ({"secrets_file": str(garbled)}, "garbled.json"),
        ):
            code, said = start_in_vain(replacement(rig, **fields))
            assert (code, sentence in said) == (EXIT_CODE, True), said
        new = replacement(rig)
        with spawned(SUPERVISOR, new.config, new.said):
            until(lambda: bool(new_folders(rig, before)), "its workers are there", CERTAIN_S)
        until(lambda: not new_folders(rig, before), "they have ended with it", CERTAIN_S)
        rig.crowd.until_heard()
        assert old.workers() == before
        nobody_noticed(rig)
    no_gap(rig.hold())


def test_without_being_asked_to_take_over_a_second_gateway_stays_away(rig: Rig) -> None:
    second = GatewayPart(rig.folder, replace(rig.gateways[0].config, port=0))
    code, said = start_in_vain(second)
    assert code == EXIT_CODE
    assert "take over from it with --take-over" in said
    assert rig.gateways[0].running


def test_sigterm_drains_and_hands_everything_over(rig: Rig) -> None:
    """Whoever was acknowledged before is in the evidence, and at the next start the spool holds nothing."""
    gateway = rig.gateways[0]
    with rig.crowd.playing():
        rig.crowd.until_everybody_is_heard()
        assert gateway.stop() == 0
        assert [path for path in gateway.spool.iterdir() if path.is_dir()] == []
        rig.jump(minute(1))
        gateway.start()
        rig.crowd.until_everybody_is_heard()
    assert set(rig.crowd.truth.answers) == {204}
    no_gap(rig.hold())


def test_stopping_has_a_limit_though_redis_and_ledger_hang(rig: Rig) -> None:
    """The budget of gateway.stopping: a join under way, a request in parts, a hand-over, all of them waiting."""
    gateway = rig.gateways[0]
    rig.crowd.beat()
    rig.ledger_line[0].hang()
    rig.redis_line[0].hang()
    half = Connection(gateway.port)
    half.send(rig.crowd.players[0].request[:-7])
    joining = Connection(gateway.port)
    joining.send(rig.crowd.join_request("somebody new"))
    started = time.monotonic()
    assert gateway.stop() == 0
    assert time.monotonic() - started < 2 * STOP_LIMIT_S, "the rest is for a machine that stands still"
    (answer,) = joining.read_answers(1)
    assert answer.status == 201
    assert answer.headers["connection"] == "close"
    rig.crowd.truth.joined.add(rig.crowd.seat_of(answer))
    half.close()
    joining.close()
    rig.ledger_line[0].heal()
    rig.redis_line[0].heal()
    gateway.start()
    no_gap(rig.hold())


def test_workers_that_cannot_be_replaced_serve_on(rig: Rig) -> None:
    gateway = rig.gateways[0]
    before = gateway.workers()
    secrets = rig.data / "secrets.json"
    kept = secrets.read_bytes()
    with rig.crowd.playing():
        rig.crowd.until_everybody_is_heard()
        secrets.write_text("{")
        gateway.send(signal.SIGHUP)
        until(lambda: "the old ones go on" in gateway.last_words(), "the restart is given up", CERTAIN_S)
        assert gateway.workers() == before
        secrets.write_bytes(kept)
        gateway.send(signal.SIGHUP)
        until(lambda: not living(before), "others have their places", CERTAIN_S)
        rig.crowd.until_heard()
    nobody_noticed(rig)
    no_gap(rig.hold())


def test_readyz_of_the_gateway_says_what_its_workers_miss(rig: Rig) -> None:
    gateway = rig.gateways[0]
    assert ask(gateway.metrics_port, "GET", "/readyz").status == 200
    gateway.stop()
    rig.ledger_line[0].hang()
    gateway.start()
    try:
        answer = ask(gateway.metrics_port, "GET", "/readyz")
        assert (answer.status, answer.body) == (503, b"no seats from the ledger yet\n")
    finally:
        rig.ledger_line[0].heal()
    until(lambda: ask(gateway.metrics_port, "GET", "/readyz").status == 200, "seats are here", CERTAIN_S)


def test_a_gateway_with_other_secrets_than_the_ledgers_ends_with_one_sentence(rig: Rig, tmp_path: Path) -> None:
    secrets = json.loads((rig.data / "secrets.json").read_text())
    secrets["event_secret"] = secrets["event_secret"][::-1]
    (tmp_path / "other.json").write_text(json.dumps(secrets))
    config = replace(
        rig.gateways[0].config, secrets_file=str(tmp_path / "other.json"), spool=str(tmp_path / "spool"), port=0
    )
    code, said = start_in_vain(GatewayPart(tmp_path, config))
    assert code == EXIT_CODE, said
    assert "ERROR turnout: the ledger refused" in said
    assert "Traceback" not in said


def test_a_socket_that_systemd_holds_refuses_nobody_while_the_gateway_is_away(rig: Rig, tmp_path: Path) -> None:
    """LISTEN_FDS: who connects between a stop and the next start waits in the queue, and is answered then."""
    rig.gateways[0].stop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        config = replace(rig.gateways[0].config, port=1, ready_file=str(tmp_path / "activated.json"))
        for _ in range(2):
            waiting = Connection(port)
            waiting.socket.settimeout(CERTAIN_S)
            waiting.send(rig.crowd.players[0].request)
            with activated(config, listener, tmp_path / "activated.said") as process:
                (answer,) = waiting.read_answers(1)
                assert answer.status == 204
                waiting.close()
                process.terminate()
                assert process.wait(CERTAIN_S) == 0


ACTIVATED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.executable, [sys.executable, "-m", "gateway.supervisor"])
"""


@contextmanager
def activated(config: GatewaySettings, listener: socket.socket, said: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a gateway as systemd does: the socket is descriptor 3, and the environment names this very process."""
    program = [sys.executable, "-c", ACTIVATED, str(listener.fileno())]
    with spawned(program, config, said, (listener.fileno(),)) as process:
        yield process


@contextmanager
def spawned(
    program: list[str], config: GatewaySettings, said: Path, descriptors: tuple[int, ...] = ()
) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a gateway and do not wait for it; it is ended at the end, if it has not."""
    with said.open("ab") as output, subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=output, stderr=output, pass_fds=descriptors
    ) as process:  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(config.start_line())
        process.stdin.flush()
        try:
            yield process
        finally:
            process.kill()


SUPERVISOR = [sys.executable, "-m", "gateway.supervisor"]


def start_in_vain(part: GatewayPart) -> tuple[int, str]:
    """Start a gateway that ends by itself; return its exit code and what was said meanwhile."""
    before = len(part.last_words(1 << 20))
    with spawned(SUPERVISOR, part.config, part.said) as process:
        code = process.wait(CERTAIN_S)
    return code, part.last_words(1 << 20)[before:]


def new_folders(rig: Rig, known: list[int]) -> list[Path]:
    """The spool folders of workers that are none of these."""
    folders = [path for path in rig.gateways[0].spool.iterdir() if (path / "lock").exists()]
    pids = {path: json.loads((path / "lock").read_text())["pid"] for path in folders}
    return [path for path, pid in pids.items() if pid not in known and Path(f"/proc/{pid}").exists()]
