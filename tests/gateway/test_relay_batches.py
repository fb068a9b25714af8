"""Relay batches: whatever is in one, it has exactly the outcome that its lines have one by one."""

import hashlib
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counters import spool
from counters.cells import Cells
from counters.secrets import Secrets
from counters.spool_lock import create_worker_folder
from counters.spooled_window import WindowSpool
from counters.tally import Tally
from gateway import relay_batches
from gateway.heartbeats import CELLS, Heartbeats
from gateway.reasons import Reason
from gateway.relay_batches import BATCH_BYTES, FEW, LINES, RelayBatches
from gateway.viewing_token import TokenKeys, ViewingToken
from tests.counters.worker_at_hand import NINE, SESSIONS, Disk, HandClock, attendee, identity, read_back, view
from tests.gateway.serving import NOW, Connection, Serving, request_bytes, serving, until

EVENT = "expo"
PREFIX = min(TokenKeys.derive(Secrets(bytes(32), bytes(32)), EVENT).by_prefix)
KEYS = TokenKeys(PREFIX >> 16, {PREFIX: b"the key", PREFIX + 0x100: b"the key that a later version may add"})
FORGING_KEYS = TokenKeys(KEYS.event_tag, {PREFIX: b"a guess"})
OTHER_KEYS = TokenKeys.derive(Secrets(bytes(32), bytes(32)), "fair")
REVOKED_SEAT, REVOKED_VIEW = 5, 2**32 + 7
URL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class Gate:
    """What takes heartbeats, on a clock that is set by hand. A context manager, since it holds a lock."""

    def __init__(self, folder: Path, clock: HandClock) -> None:
        self.clock = clock
        self.folder, self._lock = create_worker_folder(folder, identity())
        self.cells = Cells(self.folder / "cells", CELLS)
        self.tally = Tally(self.folder, identity(), clock, SESSIONS, self.cells, lambda _: "2023-11-19")
        self.heartbeats = Heartbeats(KEYS, self.tally, self.cells, clock)
        self.batches = RelayBatches(KEYS, self.tally, self.cells, self.heartbeats)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._lock)

    def batch(self, lines: list[bytes], *, ends: bool) -> list[str] | None:
        """Take lines as one batch; returns for each the label of its refusal, "" if it was accepted; None if 503."""
        whole = b"\n".join(lines) + (b"\n" if ends or not lines[-1] else b"")
        status, answer = self.batches.take(whole)
        document = json.loads(answer)
        if status == 503:
            assert document == Reason.DISK_FULL.problem()
            return None
        assert status == 200
        refused = {refusal["line"]: refusal["reason"] for refusal in document["refused"]}
        assert list(refused) == sorted(refused)
        assert document["accepted"] == len(lines) - len(refused) == len(lines) - len(document["refused"])
        return [refused.get(line, "") for line in range(len(lines))]

    def one_by_one(self, lines: list[bytes]) -> list[str]:
        reasons = map(self.heartbeats.beat, lines)
        return [reason.label if reason else "" for reason in reasons]

    def windows(self) -> dict[int, WindowSpool]:
        self.tally.close(int(self.clock.now() * 1000))
        return read_back(self.folder)


def sealed(keys: TokenKeys, seat: int, session: int, view_id: int, expires_at: int) -> bytes:
    return keys.seal(
        ViewingToken(seat, session, attendee(seat), view(seat, session & 0xFFFF), view_id, expires_at)
    ).encode()


def resealed(token: bytes, prefix: int) -> bytes:
    """The same token under another prefix, its MAC made with that prefix's key."""
    signed = prefix.to_bytes(4, "little") + urlsafe_b64decode(token)[4:32]
    key = KEYS.by_prefix.get(prefix, b"none")
    return urlsafe_b64encode(signed + hashlib.blake2b(signed, key=key, digest_size=16).digest())


seats = st.integers(1, 9)  # few, so that tokens repeat and a revoked one is among them
sessions = st.sampled_from(SESSIONS)
later = st.just(NINE + 7200)
about_now = st.sampled_from((NINE - 1, NINE + 30, NINE + 31, NINE + 32, NINE + 7200))
view_ids = st.sampled_from((9, 2**32 + 1, REVOKED_VIEW))
tokens = st.builds(sealed, st.just(KEYS), seats, sessions, view_ids, later)
states = st.sampled_from((b"", b" p", b" b", b" a", b" e"))
any_byte = st.binary(min_size=1, max_size=1).filter(lambda byte: byte != b"\n")
good_lines = st.builds(lambda token, state: token + state, tokens, states)
no_sessions = st.sampled_from((0, 2, 4, 701, 65_535, 1 | 5 << 16))
bad_tokens = st.one_of(
    st.builds(sealed, st.just(KEYS), seats, no_sessions, view_ids, about_now),
    st.builds(sealed, st.just(KEYS), seats, sessions, view_ids, about_now),
    st.builds(sealed, st.sampled_from((OTHER_KEYS, FORGING_KEYS)), seats, sessions, view_ids, about_now),
    st.builds(resealed, tokens, st.sampled_from((PREFIX ^ 1, PREFIX + 0x100, PREFIX + 0x200, PREFIX ^ 1 << 16))),
    st.builds(
        lambda token, at, byte: token[:at] + byte + token[at + 1 :],
        tokens, st.integers(0, 63), any_byte | st.sampled_from([bytes((byte,)) for byte in URL]),
    ),
    st.builds(lambda token, pads: token[: 64 - pads] + b"=" * pads, tokens, st.integers(1, 5)),
    st.binary(min_size=48, max_size=48).map(urlsafe_b64encode),
)  # fmt: skip
bad_lines = st.one_of(
    st.builds(lambda token, state: token + state, bad_tokens, states),
    st.builds(lambda token, byte: token + b" " + byte, tokens | bad_tokens, any_byte),
    st.builds(lambda token, byte: token + byte + b"p", tokens, any_byte),
    st.builds(lambda token, length: token[:length], tokens, st.integers(0, 63)),
    st.builds(lambda token, more: token + more, tokens, st.sampled_from((b" ", b"p", b"\r", b" p\r", b" pp"))),
    st.binary(max_size=140).map(lambda line: line.replace(b"\n", b"")),
)
batches = st.lists(good_lines | bad_lines, min_size=1, max_size=30)
chores = st.sampled_from(("", "advance", "prepare", "tick", "revoke", "pardon a seat", "fill", "free"))


@contextmanager
def small(patch: pytest.MonkeyPatch, few: int) -> Iterator[Disk]:
    """Chunks that are full soon, on a disk that may be full as well; batches over `few` lines are not taken singly."""
    patch.setattr(spool, "FIRST_CHUNK_RECORDS", 5)
    patch.setattr(spool, "CHUNK_RECORDS", 7)
    patch.setattr(relay_batches, "FEW", few)
    yield Disk(patch)


def do(chore: str, gate: Gate, disk: Disk) -> None:
    """What happens to a worker between two batches."""
    if chore in {"advance", "prepare"}:
        getattr(gate.tally, chore)()
    elif chore == "tick":
        gate.heartbeats.tick()
    elif chore in {"revoke", "pardon a seat"}:
        gate.heartbeats.revoked = frozenset({REVOKED_VIEW, *([REVOKED_SEAT] if chore == "revoke" else [])})
    elif chore:
        getattr(disk, chore)()


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    few=st.sampled_from((0, 0, 0, FEW)),
    steps=st.lists(st.tuples(st.integers(0, 30_000), chores, batches, st.booleans()), max_size=6),
)
def test_a_batch_has_the_outcome_of_its_lines_one_by_one(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    few: int,
    steps: list[tuple[int, str, list[bytes], bool]],
) -> None:
    clock, folder = HandClock(NINE + 31.5), tmp_path_factory.mktemp("batches")
    with (
        monkeypatch.context() as patch,
        small(patch, few) as disk,
        Gate(folder / "relay", clock) as relay,
        Gate(folder / "door", clock) as door,
    ):
        for after_ms, chore, lines, ends in steps:
            clock.at += after_ms / 1000
            for gate in (relay, door):
                do(chore, gate, disk)
            expected = door.one_by_one(lines)
            nothing_fits = "disk_full" in expected and "" not in expected
            assert relay.batch(lines, ends=ends) == (None if nothing_fits else expected)
            assert relay.cells.snapshot() == door.cells.snapshot()
        disk.free()
        windows, plain = relay.windows(), door.windows()
        assert windows.keys() == plain.keys()
        for window, read in windows.items():
            assert read.records.tolist() == plain[window].records.tolist()
            assert np.array_equal(read.registers, plain[window].registers)
            assert (read.opened_ms, read.closed_ms) == (plain[window].opened_ms, plain[window].closed_ms)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    with Gate(tmp_path / "spool", HandClock()) as gate:
        yield gate


def good(count: int) -> list[bytes]:
    return [sealed(KEYS, seat, 1, 2**32 + seat, NINE + 7200) for seat in range(1, count + 1)]


def test_a_batch_may_be_as_long_as_the_limit_and_no_longer(gate: Gate) -> None:
    lines = [token + b" b" for token in good(LINES)]
    assert gate.batch(lines, ends=True) == [""] * LINES
    assert len(gate.windows()[NINE].records) == LINES
    for body in (b"\n".join([*lines, b""]) + b"x", b"\n" * (LINES + 1), b"x" * (BATCH_BYTES + 1)):
        status, answer = gate.batches.take(body)
        assert (status, json.loads(answer)["reason"]) == (413, "body_too_large")
    assert gate.cells.values[gate.cells.index("refused.beat.body_too_large")] == 3


def test_what_is_revoked_or_restored_is_so_from_the_next_batch_on(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_batches, "FEW", 0)
    first, second, none = ["token_revoked", ""], ["", "token_revoked"], ["", ""]
    for revoked, outcome in (({1}, first), ({2}, second), ({2**32 + 1}, first), (set[int](), none)):
        gate.heartbeats.revoked = frozenset(revoked)
        assert gate.batch(good(2), ends=False) == outcome


def test_a_batch_of_nothing_is_refused_and_an_empty_line_is_a_line(gate: Gate) -> None:
    status, answer = gate.batches.take(b"")
    assert (status, json.loads(answer)["reason"]) == (400, "body_malformed")
    status, answer = gate.batches.take(b"\n")
    refused = [{"line": 0, "reason": "token_malformed"}]
    assert (status, json.loads(answer)) == (200, {"accepted": 0, "refused": refused})


@pytest.mark.parametrize("few", [0, FEW])
def test_when_the_disk_fills_within_a_batch_the_rest_is_refused_line_by_line_for_another_try(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    disk = Disk(monkeypatch)
    monkeypatch.setattr(relay_batches, "FEW", few)
    monkeypatch.setattr(spool, "FIRST_CHUNK_RECORDS", 3)
    gate.clock.at = NINE + 60
    disk.fill()
    gate.tally.prepare()
    disk.free()
    lines = [good(1)[0] + b" a", *good(5), b"no token"]
    gate.tally.advance()
    disk.fill()
    assert gate.batch(lines, ends=False) == ["", "", "", "", "disk_full", "disk_full", "token_malformed"]
    status, answer = gate.batches.take(b"\n".join(lines[4:]))
    assert (status, json.loads(answer)) == (503, Reason.DISK_FULL.problem())
    disk.free()
    gate.tally.advance()
    assert gate.batch(lines[4:6], ends=False) == ["", ""]
    assert [int(record) & 0xFFFFFFFF for record in gate.windows()[NINE + 60].records] == [1, 2, 3, 4, 5]


# Over HTTP.


@pytest.fixture(scope="module")
def served(event_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(event_file, tmp_path_factory.mktemp("batches")) as worker:
        yield worker


def counted(served: Serving, before: dict[str, int]) -> dict[str, int]:
    return {name: n for name, count in served.counts().items() if (n := count - before.get(name, 0))}


def test_a_relay_is_told_what_became_of_each_line(served: Serving) -> None:
    before, records = served.counts(), len(served.records())
    seats = range(1, 51)
    lines = [served.token(seat).encode() + (b" b" if seat % 2 else b"") for seat in seats]
    lines[7:9] = [served.token(expires_at=NOW - 1).encode(), b"nonsense"]
    answer = served.ask("POST", "/v1/beats", b"\n".join(lines), {"Content-Type": "text/plain"})
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert int(answer.headers["turnout-interval"]) == 30
    assert answer.headers["access-control-allow-origin"] == "*"
    refused = [{"line": 7, "reason": "token_expired"}, {"line": 8, "reason": "token_malformed"}]
    assert answer.json == {"accepted": 48, "refused": refused}
    recorded = [(record & 0xFFFFFFFF, record >> 48 & 0xFF) for record in served.records()[records:]]
    assert recorded == [(seat, seat % 2) for seat in seats if seat not in {8, 9}]
    expected = {"beat.playing": 24, "beat.background": 24, "refused.beat.token_expired": 1,
                "refused.beat.token_malformed": 1}  # fmt: skip
    assert {name: n for name, n in counted(served, before).items() if "beat." in name} == expected


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [(b"", 400, "body_malformed"), (b"\n" * (LINES + 1), 413, "body_too_large"),
     (b"x" * (BATCH_BYTES + 1), 413, "body_too_large")],
)  # fmt: skip
def test_what_is_no_batch_is_refused_and_counted(served: Serving, body: bytes, status: int, reason: str) -> None:
    before = served.counts()
    answer = served.ask("POST", "/v1/beats", body)
    assert (answer.status, answer.reason) == (status, reason)
    assert answer.headers["turnout-interval"] == "30"
    assert counted(served, before)[f"refused.beat.{reason}"] == 1


def test_a_batch_that_does_not_become_whole_is_answered_408_and_nothing_of_it_is_taken(
    served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.viewer_api.PARTIAL_S", 0.05)
    before = served.counts()
    connection = Connection(served.port)
    lines = {"Content-Length": "130", "Content-Type": "application/json"}  # aiohttp takes it; the door has its own time
    connection.send(request_bytes("POST", "/v1/beats", served.token().encode() + b"\n", lines))
    (answer,) = connection.read_answers(1)
    connection.send(b"x" * 65)  # aiohttp would wait for it for ten seconds more
    connection.close()
    assert (answer.status, answer.reason) == (408, "request_timeout")
    taken: dict[str, Any] = {name: n for name, n in counted(served, before).items() if "beat." in name}
    assert taken == {"refused.beat.request_timeout": 1}


def test_the_longest_batch_comes_in_many_parts_and_is_taken_whole(served: Serving) -> None:
    body = b"".join(served.token(seat).encode() + b" b\n" for seat in range(1, LINES + 1))
    assert len(body) == BATCH_BYTES
    records = len(served.records())
    parts = [b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:1000], body[1000:70_000], body[70_000:], b"")]
    connection = Connection(served.port)
    for sent in (b"POST /v1/beats HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", *parts):
        connection.send(sent)
    (answer,) = connection.read_answers(1)
    connection.close()
    assert answer.json == {"accepted": LINES, "refused": []}
    assert [record & 0xFFFFFFFF for record in served.records()[records:]] == list(range(1, LINES + 1))


def test_a_relay_keeps_its_connection_and_the_door_has_the_outcome_of_aiohttp(served: Serving) -> None:
    body = b"".join(served.token(seat).encode() + b"\n" for seat in range(1, 2001)) + b"nonsense"
    ways, records = served.ways(), len(served.records())
    connection = Connection(served.port)
    answers = []
    for sent in (request_bytes("POST", "/v1/beats", body), request_bytes("POST", "/v1/beats", b"\n" * (LINES + 1))):
        connection.send(sent[:700])
        connection.send(sent[700:])
        answers += connection.read_answers(1)
    connection.send(request_bytes("POST", "/v1/beats", body, {"Content-Type": "application/json"}))  # aiohttp's
    (by_aiohttp,) = connection.read_answers(1)
    connection.close()
    assert [answer.status for answer in answers] == [200, 413]
    assert (
        answers[0].json
        == by_aiohttp.json
        == {"accepted": 2000, "refused": [{"line": 2000, "reason": "token_malformed"}]}
    )
    assert answers[0].headers["content-type"] == by_aiohttp.headers["content-type"]
    assert len(served.records()) - records == 4000
    assert served.ways()[:2] == (ways[0] + 1, ways[1] + len(body.splitlines()))


def test_a_batch_in_very_many_parts_is_looked_at_when_it_is_whole_and_its_head_is_not_remembered(
    served: Serving,
) -> None:
    lines = b"".join(served.token(seat).encode() + b"\n" for seat in range(1, 301))
    sent = request_bytes("POST", "/v1/beats", lines)
    connection = Connection(served.port)
    until(lambda: len(served.doors.doors) == 1, "the connection is open")
    (door,) = served.doors.doors
    before, ways = served.counts(), served.ways()
    for start in range(0, len(sent), 100):
        served.call(lambda part=sent[start : start + 100]: door.data_received(part))  # type: ignore[misc]
    (answer,) = connection.read_answers(1)
    connection.close()
    assert answer.json == {"accepted": 300, "refused": []}
    assert counted(served, before) == {"beat.playing": 300}
    assert served.ways() == (ways[0], ways[1], ways[2] + 2)  # read when it came, and when all was there
    assert not any(b"/v1/beats" in head for head in served.doors.heads)


def test_a_full_disk_is_answered_503_with_a_time_to_wait(
    event_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(event_file, tmp_path) as served:
        Disk(monkeypatch).fill()
        served.clock.jump(NOW + 60)
        answer = served.ask("POST", "/v1/beats", served.token().encode())
        assert (answer.status, answer.reason) == (503, "disk_full")
        assert 2 <= int(answer.headers["retry-after"]) <= 8
