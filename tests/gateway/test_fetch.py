"""`turnout fetch`: a whole log or a clear no, whatever the server does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from counters.event import Event, load_event
from counters.handover import HandOver, WorkerReport
from counters.ledger.checkpoint import Checkpoint, sign_checkpoint
from counters.ledger.edge import Edge
from counters.ledger.note import Signer, Verifier
from counters.ledger.reader import LogReader
from counters.ledger.tiles import encode_bundle
from gateway import log_fetch
from gateway.cli import main
from gateway.ledger_client import GRANT_PATH, HAND_OVER_PATH, signed_headers
from tests.gateway.serving import RunningLedger, ledger, until

SIGNER = Signer("log.test/fetch", bytes(range(32)))
STRANGER = Signer("log.test/fetch", bytes(32))
VKEY = ("--vkey", SIGNER.verifier.encode())
WORKER = "00000000000000a1"
Files = dict[str, bytes]


def fetch(url: str, folder: Path, *options: str | Path) -> Result:
    return CliRunner().invoke(main, ["fetch", url, "-o", str(folder), *map(str, options)])


def seal(running: RunningLedger, event: Event, window: int) -> None:
    """Hand over, for a worker that saw nobody, the window that is just over; return when it is in the log."""
    wish = {
        "worker": WORKER, "gateway": "g", "event_sha256": event.digest, "blocks": 1, "after": -1,
        "pseudonym_key_sha256": running.secrets.pseudonym_commitment,
    }  # fmt: skip
    promise = HandOver(event.digest, "g", window, (WorkerReport(WORKER, window + 60, ended=True),), ()).encode()
    running.jump(window)
    for path, body in ((GRANT_PATH, orjson.dumps(wish)), (HAND_OVER_PATH, promise)):
        assert running.ask("POST", path, body, signed_headers(running.secrets, "POST", path, body)).status == 200
        running.jump(window + 60)
    until(lambda: len(running.windows()) == 1, "the window is sealed")


def log_of(entries: list[bytes], signer: Signer = SIGNER) -> Files:
    """The files of a log, by path, with all that it lists."""
    files: Files = {}
    edge = Edge()
    for at in range(0, len(entries), 256):
        edge, changed = edge.extend(entries[at : at + 256])
        files |= {tile.path: data for tile, data in changed}
    note = sign_checkpoint(Checkpoint(signer.name, len(entries), edge.root()), signer)
    return files | {"checkpoint": note, "cosigned/": b"", "timestamps/": b""}


def numbered(count: int, text: str = "entry") -> list[bytes]:
    return [f"{text} {number}".encode() for number in range(count)]


@contextmanager
def served(files: Files) -> Iterator[str]:
    """Serve these files below /log, as they are at each moment; `status 302` and the like as such an answer."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            data = files.get(self.path.removeprefix("/log/"))
            status = 404 if data is None else 200
            if data is not None and data.startswith(b"status "):
                status = int(data.split()[1])
            self.send_response(status)
            self.send_header("Location", "https://else.test/\x1b[2J")
            missing = 5 if data is not None and data.startswith(b"broken ") else 0
            self.send_header("Content-Length", str(len(data or b"") + missing))
            self.end_headers()
            self.wfile.write(data or b"")
            self.close_connection = bool(missing)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_ledgers_log_is_fetched_and_fetched_again_when_it_has_grown(
    simulated_event_file: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    event = load_event(simulated_event_file)
    start = int(event.sessions[0].starts_at.timestamp())
    with ledger(simulated_event_file, tmp_path / "data") as running:
        vkey = json.loads((running.data / "ledger.json").read_text())["log"]
        policy = running.data / "trust-policy"
        first = fetch(running.url, copy, "--policy", policy)
        assert first.exit_code == 0, first.output
        assert "signed by a key of the policy" in first.output
        before = LogReader(copy, Verifier.decode(vkey)).full_check()
        seal(running, event, start)
        again = fetch(f"{running.url}/log/", copy, "--vkey", vkey)
        assert again.exit_code == 0, again.output
        after = LogReader(copy, Verifier.decode(vkey)).full_check()
        assert after.size == before.size + 1
        for path in (running.data / "log").rglob("*"):
            if path.is_file() and "tile" in path.parts:
                assert (copy / path.relative_to(running.data / "log")).read_bytes() == path.read_bytes()
        unchecked = fetch(running.url, tmp_path / "unchecked")
        assert unchecked.exit_code == 0
        assert "whose key signed it was not checked" in unchecked.output
        url = running.url
    gone = fetch(url, copy, "--vkey", vkey)
    assert gone.exit_code == 2
    assert "Connection refused" in gone.output
    LogReader(copy, Verifier.decode(vkey)).full_check()


def test_full_tiles_are_kept_and_what_others_signed_comes_along(tmp_path: Path) -> None:
    files = log_of(numbered(300)) | {
        "cosigned/": b"299\n300\n301\n", "cosigned/299": b"a", "cosigned/300": b"b",
        "timestamps/": b"300\n", "timestamps/300.tsr": b"c",
    }  # fmt: skip
    with served(files) as url:
        assert fetch(url, tmp_path, *VKEY).exit_code == 0
        assert sorted(path.name for path in (tmp_path / "cosigned").iterdir()) == ["299", "300"]
        assert (tmp_path / "timestamps" / "300.tsr").read_bytes() == b"c"
        files.update(log_of(numbered(700)))
        del files["tile/entries/000"], files["tile/0/000"], files["cosigned/"]
        again = fetch(url, tmp_path, *VKEY)
        assert again.exit_code == 0, again.output
        assert ", 2 kept" in again.output
    assert LogReader(tmp_path, SIGNER.verifier).full_check().size == 700


def test_a_run_that_broke_off_is_no_copy_and_is_repeated(tmp_path: Path) -> None:
    files = log_of(numbered(600))
    part = files.pop("tile/entries/001")
    with served(files) as url:
        broken = fetch(url, tmp_path, *VKEY)
        assert (broken.exit_code, (tmp_path / "checkpoint").exists()) == (2, False)
        assert "tile/entries/001: the server does not have this part" in broken.output
        files["tile/entries/001"] = part
        again = fetch(url, tmp_path, *VKEY)
        assert again.exit_code == 0
        assert ", 1 kept" in again.output


def test_a_partial_tile_that_has_become_full_meanwhile_is_cut(tmp_path: Path) -> None:
    early, late = log_of(numbered(200)), log_of(numbered(256))
    files = {**late, "checkpoint": early["checkpoint"]}
    with served(files) as url:
        assert fetch(url, tmp_path, *VKEY).exit_code == 0
    assert (tmp_path / "tile/entries/000.p/200").read_bytes() == early["tile/entries/000.p/200"]
    assert not (tmp_path / "tile/entries/000").exists()


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (log_of(numbered(290)), "290 entries and"),
        (log_of(numbered(300, "other")), "another root for the same 300 entries"),
        (log_of(numbered(400, "other")), "is not what the entries up to tile/entries"),
        (log_of([*numbered(299), *numbered(300, "other")[:1], *numbered(10)]), "it is not what"),
        (log_of(numbered(400), Signer("log.test/else", bytes(32))), "a copy of another log"),
    ],
)
def test_a_log_that_does_not_continue_the_copy_is_refused_and_the_copy_stays(
    tmp_path: Path, now: Files, words: str
) -> None:
    files = log_of(numbered(300))
    with served(files) as url:
        assert fetch(url, tmp_path).exit_code == 0
        files.clear()
        files.update(now)
        refused = fetch(url, tmp_path)
    assert refused.exit_code == 1, refused.output
    assert words in refused.output.replace("\n", " ")
    assert LogReader(tmp_path, SIGNER.verifier).full_check().size == 300


def test_a_checkpoint_alone_is_a_copy_enough_to_refuse_another_history(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_bytes(log_of(numbered(300))["checkpoint"])
    with served(log_of(numbered(400, "other"))) as url:
        refused = fetch(url, tmp_path, *VKEY)
    assert refused.exit_code == 1
    assert "the 300 entries of the earlier copy are not its beginning" in refused.output
    assert (tmp_path / "checkpoint").read_bytes() == log_of(numbered(300))["checkpoint"]


def test_a_key_that_did_not_sign_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with served(log_of(numbered(3))) as url:
        for signer in (STRANGER, Signer("log.test/else", bytes(32))):
            refused = fetch(url, tmp_path / "copy", "--vkey", signer.verifier.encode())
            assert refused.exit_code == 1, refused.output
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"checkpoint": b"<html>\x1b[2J"}, 2, "what the server gives out as checkpoint is none"),
        ({"checkpoint": b"status 302"}, 2, "answers 302 and points to 'https://else.test/\\x1b[2J'"),
        ({"checkpoint": b"status 503"}, 2, "answers 503"),
        ({"checkpoint": b"x" * 1_000_001}, 2, "more than the 1,000,000 bytes"),
        ({"cosigned/": b"../../secret\n"}, 2, "not a list of sizes"),
        ({"cosigned/": b"3"}, 2, "not a list of sizes"),
        ({"cosigned/": b"3\n"}, 2, "lists this file and does not have it"),
        ({"tile/0/000.p/3": b"x" * 95}, 2, "not a tile of 3"),
        ({"tile/0/000.p/3": b"broken "}, 2, "broke off after 7 bytes"),
        ({"tile/0/000.p/3": bytes(96)}, 1, "tile/0/000.p/3: it is not what the entries"),
        ({"tile/entries/000.p/3": encode_bundle([b"a", b"b", b"c"])}, 1, "it is not what the entries"),
    ],
)
def test_what_is_not_the_log_is_refused(tmp_path: Path, changes: Files, code: int, words: str) -> None:
    with served(log_of(numbered(3)) | changes) as url:
        refused = fetch(url, tmp_path / "copy", *VKEY)
    assert (refused.exit_code, words in refused.output, "\x1b" in refused.output) == (code, True, False), refused.output
    assert not (tmp_path / "copy" / "checkpoint").exists()


def test_a_server_without_a_log_says_so(tmp_path: Path) -> None:
    with served({}) as url:
        refused = fetch(f"{url}/elsewhere", tmp_path / "copy")
    assert refused.exit_code == 2
    assert f"{url}/elsewhere: there is no log" in refused.output


def test_a_server_cannot_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(log_of(numbered(300))) as url:
        monkeypatch.setattr(log_fetch, "TOTAL_LIMIT_BYTES", 300 * 34)
        assert "sends more than" in fetch(url, tmp_path / "copy").output
        monkeypatch.setattr(log_fetch, "TOTAL_LIMIT_BYTES", 300 * 34 - 1)
        assert "larger than this command fetches" in fetch(url, tmp_path / "other").output


@pytest.mark.parametrize("url", ["http://", "http://me:secret@host/log", "http://host/log?x", "http://host:99999/"])
def test_what_is_no_address_of_a_log_is_refused(tmp_path: Path, url: str) -> None:
    assert fetch(url, tmp_path / "copy").exit_code == 2
