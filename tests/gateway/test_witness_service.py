"""`turnout witness` over HTTP, as any log of the tlog-witness kind meets it; and its start and end."""

import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from counters.ledger.checkpoint import open_checkpoint, sign_checkpoint
from counters.ledger.cosignature import WitnessKey, cosignatures
from counters.ledger.merkle import consistency_proof, subtree_of
from counters.ledger.note import Signer, Verifier
from counters.ledger.witness_protocol import REQUEST_LIMIT_BYTES, AddCheckpoint
from gateway.witness_service import TrustedLogs
from tests.counters.ledger.test_witness import FORK, LOG, MAIN, Tree
from tests.faults.witness_part import WitnessPart
from tests.gateway.commands import CERTAIN_S, started, turnout
from tests.gateway.serving import ask, request_bytes, until

OTHER = Signer("log.example/unknown", bytes(32))


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WitnessPart]:
    part = WitnessPart(tmp_path_factory.mktemp("witness"), "news")
    part.watch(LOG.verifier.encode())
    part.start()
    yield part
    part.end()


def test_each_rule_has_the_status_that_the_specification_gives_it(witness: WitnessPart) -> None:
    first = witness.add(MAIN.request(0, 100).encode())
    assert first.status == 200
    note = MAIN.note(100) + first.body
    assert list(cosignatures(note, [WitnessKey.decode(witness.vkey)]))
    assert open_checkpoint(note, LOG.verifier) == MAIN.checkpoint(100)

    conflict = witness.add(MAIN.request(0, 200).encode())
    assert (conflict.status, conflict.headers["content-type"], conflict.body) == (409, "text/x.tlog.size", b"100\n")

    grown = MAIN.request(100, 200)
    said = {
        "no request": witness.add(b"old\n\n").status,
        "old above size": witness.add(AddCheckpoint(201, (), grown.note).encode()).status,
        "not signed by the log": witness.add(AddCheckpoint(100, grown.proof, _signed_by_another()).encode()).status,
        "unknown log": witness.add(Tree("a", signer=OTHER).request(0, 1).encode()).status,
        "wrong proof": witness.add(AddCheckpoint(100, grown.proof[1:], grown.note).encode()).status,
        "same size, another root": witness.add(AddCheckpoint(100, (), Tree(*"x" * 100).note(100)).encode()).status,
        "too long": witness.add(bytes(REQUEST_LIMIT_BYTES + 1)).status,
        "another method": ask(witness.port, "GET", "/add-checkpoint").status,
        "healthz": ask(witness.port, "GET", "/healthz").status,
    }
    assert said == {
        "no request": 400, "old above size": 400, "not signed by the log": 403, "unknown log": 404, "wrong proof": 422,
        "same size, another root": 422, "too long": 413, "another method": 405, "healthz": 200,
    }  # fmt: skip
    assert witness.add(grown.encode()).status == 200
    assert witness.add(MAIN.request(200, 200).encode()).status == 200, "the same checkpoint is cosigned again"
    metrics = witness.metrics()
    for line in (
        'requests_total{outcome="cosigned"} 3.0', 'requests_total{outcome="conflict"} 1.0',
        'requests_total{outcome="inconsistent"} 2.0', "logs 1.0",
    ):  # fmt: skip
        assert f"turnout_witness_{line}" in metrics
    for code, count in ((200, 3.0), (409, 1.0), (413, 1.0), (500, 0.0)):
        assert f'http_requests_total{{code="{code}",route="add_checkpoint"}} {count}' in metrics


def _signed_by_another() -> bytes:
    return sign_checkpoint(MAIN.checkpoint(200), Signer(LOG.name, bytes(32)))


def test_a_log_that_is_added_to_the_file_is_watched_at_once(witness: WitnessPart) -> None:
    later = Tree("a", "b", signer=Signer("log.example/later", bytes([7] * 32)))
    assert witness.add(later.request(0, 1).encode()).status == 404
    witness.watch(later.signer.verifier.encode())
    assert witness.add(later.request(0, 1).encode()).status == 200
    witness.logs.write_text(witness.logs.read_text() + "lgo typing error\n")
    assert witness.add(Tree("c", signer=OTHER).request(0, 1).encode()).status == 404
    assert witness.add(later.request(1, 2).encode()).status == 200, "a slip in the file takes nothing away"


def test_a_log_that_is_struck_off_the_file_or_gets_another_key_there_is_no_longer_believed(tmp_path: Path) -> None:
    one, other = (Signer("log.example/one", bytes([seed] * 32)) for seed in (1, 2))
    file = tmp_path / "logs.txt"
    file.write_text(f"log {one.verifier.encode()}\n")
    trusted = TrustedLogs((), (file,))
    assert list(trusted("log.example/one")) == [one.verifier]
    file.write_text(f"log {other.verifier.encode()} \n")
    assert list(trusted("log.example/one")) == [other.verifier]
    file.write_text("")
    assert list(trusted("log.example/one")) == []


def test_a_witness_that_was_killed_knows_what_it_has_cosigned_and_has_its_key(tmp_path: Path) -> None:
    part = WitnessPart(tmp_path, "town")
    part.watch(LOG.verifier.encode())
    try:
        part.start()
        vkey = part.vkey
        assert part.add(MAIN.request(0, 200).encode()).status == 200
        part.kill()
        part.start()
        assert part.vkey == vkey
        assert part.add(FORK.request(0, 250).encode()).body == b"200\n"
        assert part.add(FORK.request(200, 250).encode()).status == 200
        assert part.add(MAIN.request(250, 250).encode()).status == 422
        assert len(part.evidence()) == 2
        assert stat.S_IMODE((part.data / "witness.key").stat().st_mode) == 0o600
        assert part.stop() == 0
    finally:
        part.end()


CRASHING = """
import os, signal, sys
from pathlib import Path
from gateway import witness_service
from gateway.settings import WitnessSettings
from tests.counters.fragile_disk import FaultyDisk

def kill(): os.kill(os.getpid(), signal.SIGKILL)

at, after, data, logs, port = int(sys.argv[1]), sys.argv[2] == "True", *sys.argv[3:]
faulty = FaultyDisk(fail_at=at, after=after, fault=kill)
real = witness_service.Witness
witness_service.Witness = lambda *given: real(*given, disk=faulty)
sys.exit(witness_service.run_witness(
    WitnessSettings(data=data, log_files=(logs,), port=int(port), metrics_port=0)))
"""


class CrashingWitness(WitnessPart):
    """Killed (SIGKILL, by itself) at a step of its disk."""

    at, after = 0, False

    def _command(self) -> list[str | Path]:
        return [sys.executable, "-c", CRASHING, str(self.at), str(self.after), self.data, self.logs, str(self.port)]

    def _first_line(self) -> bytes:
        return b""


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_step_of_persisting_it_never_cosigns_two_roots_for_one_size(
    tmp_path: Path, *, after: bool
) -> None:
    """Real processes and SIGKILL. Both histories are offered before and after; one of them is cosigned."""
    begun = WitnessPart(tmp_path, "news")
    begun.watch(LOG.verifier.encode())
    try:
        begun.start()
        assert begun.add(MAIN.request(0, 200).encode()).status == 200
        assert begun.stop() == 0
        killed = []
        for step in range(5):
            part = CrashingWitness(tmp_path, "news")
            part.at, part.after = step, after
            said: dict[int, set[bytes]] = {}
            try:
                part.start()
                for tree in (MAIN, FORK):
                    _offer(part, tree, 201 + 4 * step, said)
            except (AssertionError, OSError, ValueError):
                assert part.wait() == -signal.SIGKILL
                killed.append(step)
            finally:
                part.end()
            begun.start()
            for tree in (FORK, MAIN):
                _offer(begun, tree, 201 + 4 * step, said)
            assert begun.stop() == 0
            assert [len(roots) for roots in said.values()] == [1]
        assert killed == [0, 1, 2, 3, 4], "opening syncs once; keeping a checkpoint is four steps"
    finally:
        begun.end()


def _offer(part: WitnessPart, tree: Tree, size: int, said: dict[int, set[bytes]]) -> None:
    """Ask until it says yes or no for good, and note the root of a yes."""
    body = tree.request(0, size)
    answer = part.add(body.encode())
    if answer.status == 409 and int(answer.body) <= size:
        old = int(answer.body)
        proof = consistency_proof(old, size, subtree_of(tree.leaves))
        answer = part.add(AddCheckpoint(old, proof, body.note).encode())
    if answer.status == 200:
        said.setdefault(size, set()).add(tree.checkpoint(size).root)


def test_the_command_teaches_starts_and_ends(tmp_path: Path) -> None:
    said = turnout("witness", "--help", cwd=tmp_path)
    assert said.returncode == 0
    for word in ("cosign what only grows", "[[witness]]", "--logs", "misbehaviour"):
        assert word in said.stdout
    for options, what in (
        ((), "name it with --name"),
        (("--name", "two words"), "no space"),
        (("--name", "w.example/1", "--log", "junk"), "the logs to watch"),
    ):
        done = turnout("witness", "--port", "0", "--metrics-port", "0", *options, cwd=tmp_path)
        assert done.returncode == 2
        assert what in done.stderr
        assert "Traceback" not in done.stderr
    given = ("--data", tmp_path / "w", "--name", "w.example/1", "--port", "0", "--metrics-port", "0")
    with started("witness", *given, ready=tmp_path / "w" / "witness.json", cwd=tmp_path) as (process, up):
        assert WitnessKey.decode(up["vkey"]).name == "w.example/1"
        second = turnout("witness", *given, cwd=tmp_path)
        assert second.returncode == 2
        assert "stop that one first" in second.stderr
        process.terminate()
        assert process.wait(CERTAIN_S) == 0


def test_a_request_that_stops_on_the_way_does_not_keep_others_waiting(witness: WitnessPart) -> None:
    with socket.create_connection(("127.0.0.1", witness.port)) as slow:
        slow.sendall(request_bytes("POST", "/add-checkpoint", bytes(100))[:-50])
        assert ask(witness.port, "GET", "/healthz").status == 200
        until(lambda: witness.add(b"junk").status == 400, "another request is answered")


def test_trusted_logs_come_from_keys_files_and_folders(tmp_path: Path) -> None:
    keys = [Signer(f"log.example/{number}", bytes([number] * 32)).verifier for number in range(4)]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_text(f"# one\nlog {keys[1].encode()}\n")
    (tmp_path / "file").write_text(f"log {keys[2].encode()} https://log.example/\nquorum none\n")
    logs = TrustedLogs([keys[0].encode()], [tmp_path / "folder", tmp_path / "file"])
    assert [list(logs(key.name)) for key in keys] == [[keys[0]], [keys[1]], [keys[2]], []]
    second = Verifier("log.example/0", keys[3].public_key)
    (tmp_path / "folder" / "b").write_text(f"log {keys[3].encode()}\nlog {second.encode().replace('+', '+', 1)}\n")
    assert list(logs(keys[3].name)) == [], "one key under two names: the folder is not taken"
