"""Retained tokens on their way: from the join through journal and token courier into the ledger, and out in time."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from click.testing import CliRunner, Result

from counters import journal
from counters.clock import SimulatedClock
from counters.event import Event, load_event
from counters.journal import encode_token
from counters.retained_tokens import RetainedTokens
from counters.sealed_token import TokenSeal
from counters.secrets import Secrets, load_or_create_secrets
from counters.spooled_window import window_chunks
from counters.tokens_file import pack
from deploy.embedded_redis import EmbeddedRedis
from gateway import token_courier
from gateway.cli import main
from gateway.ledger_client import LedgerClient, LedgerRefusedError, LedgerUnavailableError
from gateway.retaining import SLOTS, Retaining
from gateway.token_courier import TokenCourier
from gateway.token_keeper import TokenKeeper
from tests.counters.test_roll_tree import join, tree_of
from tests.gateway.conftest import EVENT_FILE
from tests.gateway.serving import NO_LEDGER, NOW, PATIENCE_S, RunningLedger, Serving, ledger, serving, until

Mint = Callable[..., str]
AUDIT = """
[audit]
beacon = "drand-quicknet"
round = 3000000
retain_tokens_until = 2024-06-01T00:00:00+08:00
[simulation]
starts_at = 2023-11-19T08:59:00+08:00
"""
JWT = "e30.e30.AAAA"
DIGEST = hashlib.sha256(JWT.encode()).digest()
SEAL = TokenSeal(bytes(32), hashlib.sha256(b"event").hexdigest())


@pytest.fixture(scope="module")
def retaining_event_file(event_file: Path) -> Path:
    path = event_file.with_name("retaining.toml")
    path.write_text(EVENT_FILE + AUDIT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def retaining_event(retaining_event_file: Path) -> Event:
    return load_event(retaining_event_file)


def sha256(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()


# Which tokens a worker keeps.


def test_the_first_token_of_an_attendee_is_kept_and_none_of_a_later_join() -> None:
    retaining = Retaining(SEAL, 1e9)
    assert retaining.record(7, 1000, JWT, DIGEST) == encode_token(DIGEST, SEAL.seal(JWT.encode(), DIGEST))
    retaining.note(7, 1000)
    assert retaining.record(7, 1001, JWT, DIGEST) == b""
    assert retaining.record(8, 1001, JWT, DIGEST)


def test_what_was_not_written_is_not_taken_as_kept() -> None:
    retaining = Retaining(SEAL, 1e9)
    assert retaining.record(7, 1000, JWT, DIGEST)
    assert retaining.record(7, 2000, JWT, DIGEST)


def test_of_two_joins_in_one_millisecond_both_tokens_are_kept_since_the_roll_may_name_either() -> None:
    retaining = Retaining(SEAL, 1e9)
    retaining.note(7, 1000)
    assert retaining.record(7, 1000, "e30.e30.BBBB", sha256("e30.e30.BBBB"))
    retaining.note(7, 1000)
    assert retaining.record(7, 1001, JWT, DIGEST) == b""


def test_whom_another_pushed_out_of_memory_is_kept_again() -> None:
    retaining = Retaining(SEAL, 1e9)
    retaining.note(7, 1000)
    retaining.note(7 + SLOTS, 1001)
    assert retaining.record(7, 1002, JWT, DIGEST)
    assert retaining.record(7 + SLOTS, 1002, JWT, DIGEST) == b""


def test_nothing_is_kept_after_the_date_or_without_one() -> None:
    retaining = Retaining(SEAL, 5.0)
    assert retaining.record(7, 4999, JWT, DIGEST)
    assert retaining.record(7, 5000, JWT, DIGEST) == b""
    none = Retaining(None)
    none.note(7, 1000)
    assert none.record(7, 1000, JWT, DIGEST) == b""


# From the join to the ledger.


@pytest.fixture
def running(retaining_event_file: Path, tmp_path: Path) -> Iterator[RunningLedger]:
    with ledger(retaining_event_file, tmp_path) as service:
        service.jump(NOW)
        yield service


def kept(running: RunningLedger) -> RetainedTokens:
    return RetainedTokens(running.data / "tokens", running.secrets.audit_key)


def raw_journal(served: Serving) -> Path:
    return served.worker.folder / f"w{served.worker.tally.window}.journal"


def carry(spool: Path, event: Event, url: str, secrets: Secrets, *journals: Path) -> int:
    """Take journals in and carry what waits; return how many tokens files went."""

    async def carried() -> int:
        async with LedgerClient(url, secrets) as client:
            courier = TokenCourier(spool, event, client)
            try:
                courier.take_in(journals)
                return await courier.carry()
            finally:
                courier.close()

    return uvloop.run(carried())


def test_a_join_puts_its_sealed_token_before_itself_into_the_journal_and_the_ledger_gets_it(
    running: RunningLedger, retaining_event_file: Path, redis: EmbeddedRedis, mint: Mint
) -> None:
    with serving(retaining_event_file, running.data, registry_url=redis.url) as served:
        tickets = [mint(name, now=NOW) for name in ("alice", "bob")]
        assert [served.join(ticket).status for ticket in tickets] == [201, 201]
        served.clock.jump(NOW + 1)
        assert served.join(mint("alice", now=NOW + 1), "forum").status == 201
        badge = {"nonce": "1", "badge": (onsite := mint("carol", now=NOW)), "gate": "hall-a", "direction": "in",
                 "scanned_at": served.event.iso(NOW)}  # fmt: skip
        key = {"Authorization": f"Bearer {served.secrets.scanner_key}"}
        scans = served.ask("POST", "/v1/events/expo/checkins", json.dumps({"scans": [badge]}).encode(), key)
        assert scans.json["outcomes"][0]["outcome"] == "accepted"
        raw = raw_journal(served).read_bytes()
        assert [digest for digest, _ in journal.tokens(raw)] == [sha256(each) for each in (*tickets, onsite)]
        assert len(served.journal()) == 5  # four joins, one scan
        first_join = raw.index(sha256(tickets[0])[:8])
        assert raw[first_join - 4 + 2] == 3, "the token stands first"
        spool, event = Path(served.worker.config.spool), served.event
        assert carry(spool, event, running.url, running.secrets, raw_journal(served)) == 1
    for ticket in (*tickets, onsite):
        assert kept(running).get(sha256(ticket)) == ticket.encode()
    assert all(ticket.encode() not in path.read_bytes() for path in (running.data / "tokens").iterdir())
    assert not list((spool / f"tokens-{event.digest[:16]}").iterdir())
    tokens, size = kept(running).size()
    assert (tokens, size) == (3, 48 + 3 * 40 + sum(len(sealed) for _, sealed in journal.tokens(raw)))


def test_an_event_without_retention_writes_and_carries_no_token(
    simulated_event_file: Path, tmp_path: Path, redis: EmbeddedRedis, mint: Mint
) -> None:
    with serving(simulated_event_file, tmp_path, registry_url=redis.url) as served:
        assert served.join(mint("alice", now=NOW)).status == 201
        assert list(journal.tokens(raw_journal(served).read_bytes())) == []
        assert carry(tmp_path / "spool", served.event, NO_LEDGER, served.secrets, raw_journal(served)) == 0
        assert window_chunks(served.worker.folder)


# The token courier.


def written(folder: Path, name: str, secrets: Secrets, event: Event, *tickets: str) -> Path:
    """A worker's journal with these tickets, deleted by the courier when it is taken in."""
    seal = TokenSeal(secrets.audit_key, event.digest)
    path = folder / name / "w60.journal"
    path.parent.mkdir(parents=True)
    path.write_bytes(
        b"".join(encode_token(sha256(each), seal.seal(each.encode(), sha256(each))) for each in tickets) + b"torn"
    )
    return path


def test_tokens_wait_for_a_ledger_that_is_away_and_outlive_their_gateway(
    running: RunningLedger, retaining_event: Event, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    one = written(spool, "worker1", running.secrets, retaining_event, JWT)
    two = written(spool, "worker2", running.secrets, retaining_event, "e30.e30.BBBB")
    with pytest.raises(LedgerUnavailableError):
        carry(spool, retaining_event, NO_LEDGER, running.secrets, one, two)
    one.unlink()
    two.unlink()
    assert carry(spool, retaining_event, running.url, running.secrets) == 1
    assert kept(running).get(DIGEST) == JWT.encode()
    assert kept(running).get(sha256("e30.e30.BBBB")) == b"e30.e30.BBBB"
    assert carry(spool, retaining_event, running.url, running.secrets) == 0


def test_a_journal_is_taken_in_again_after_a_crash_and_its_tokens_are_kept_once(
    running: RunningLedger, retaining_event: Event, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    path = written(spool, "worker1", running.secrets, retaining_event, JWT)
    for _ in range(2):
        assert carry(spool, retaining_event, running.url, running.secrets, path, path, path.with_name("gone")) == 1
    assert kept(running).size()[0] == 1


def test_many_tokens_go_in_several_parts(
    running: RunningLedger, retaining_event: Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_courier, "PART_BYTES", 300)
    tickets = [f"e30.e30.{'A' * 4 * n}" for n in range(1, 30)]
    path = written(tmp_path / "spool", "worker1", running.secrets, retaining_event, *tickets)
    more = written(tmp_path / "spool", "worker2", running.secrets, retaining_event, JWT, "e30.e30.CCCC")
    assert carry(tmp_path / "spool", retaining_event, running.url, running.secrets, path, more) > 3
    assert all(kept(running).get(sha256(ticket)) == ticket.encode() for ticket in [*tickets, JWT, "e30.e30.CCCC"])


def test_tokens_of_another_event_or_of_no_shape_are_refused(running: RunningLedger, tmp_path: Path) -> None:
    async def hand_over(data: bytes) -> str:
        async with LedgerClient(running.url, running.secrets) as client:
            return await client.hand_over_tokens(data)

    elsewhere = pack(hashlib.sha256(b"another event").hexdigest(), {DIGEST: SEAL.seal(JWT.encode(), DIGEST)})
    for data in (b"", b"TURNTOK\0" + bytes(60), elsewhere):
        with pytest.raises(LedgerRefusedError) as refused:
            uvloop.run(hand_over(data))
        assert refused.value.reason == "evidence_malformed"
    other = load_or_create_secrets(tmp_path / "other.json")

    async def stranger() -> str:
        async with LedgerClient(running.url, other) as client:
            return await client.hand_over_tokens(b"")

    with pytest.raises(LedgerRefusedError):
        uvloop.run(stranger())
    assert not (running.data / "tokens").exists()


# The roll.


def test_when_the_roll_is_sealed_what_it_does_not_name_is_deleted(retaining_event: Event, tmp_path: Path) -> None:
    secrets = Secrets.generate()
    clock = SimulatedClock.create(tmp_path / "clock", NOW, 0.0)
    tickets = [f"e30.e30.{'A' * 4 * n}" for n in range(1, 6)]
    seal = TokenSeal(secrets.audit_key, retaining_event.digest)
    sealed = {sha256(each): seal.seal(each.encode(), sha256(each)) for each in tickets}
    first, again = (
        join(1, token_digest=sha256(tickets[0])),
        join(1, token_digest=sha256(tickets[1]), joined_at_ms=9000),
    )
    roll = tree_of(tmp_path, [first, again, join(2, token_digest=sha256(tickets[2]))])

    async def run() -> None:
        keeper = TokenKeeper(tmp_path, retaining_event, secrets, clock)
        assert await keeper.take(pack(retaining_event.digest, sealed)) == "new"
        keeping = asyncio.create_task(keeper.keep())
        keeper.note_roll(roll)
        kept = RetainedTokens(tmp_path / "tokens", secrets.audit_key)
        async with asyncio.timeout(PATIENCE_S):
            while kept.size()[0] > 2:  # noqa: ASYNC110 - it happens in a thread
                await asyncio.sleep(0.01)
        keeping.cancel()
        keeper.close()
        assert [kept.get(sha256(each)) is not None for each in tickets] == [True, False, True, False, False]

    uvloop.run(run())


# The date.


def test_the_command_tells_what_is_kept_and_deletes_it_when_its_time_is_over(
    running: RunningLedger, retaining_event_file: Path, simulated_event_file: Path
) -> None:
    event = load_event(retaining_event_file)
    seal = TokenSeal(running.secrets.audit_key, event.digest)
    running.process.kill()
    running.process.wait()
    kept(running).add(pack(event.digest, {DIGEST: seal.seal(JWT.encode(), DIGEST)}), event.digest)

    def turnout(event_file: Path) -> Result:
        return CliRunner().invoke(main, ["retention", str(event_file), "--data", str(running.data)])

    told = turnout(retaining_event_file)
    assert told.exit_code == 0, told.output
    assert "until 2024-06-01T00:00:00+08:00" in told.output
    assert "holds 1 (" in told.output
    assert turnout(simulated_event_file).exit_code == 2, "another event's file would delete them"
    assert kept(running).get(DIGEST) == JWT.encode()
    assert event.tokens_until is not None
    SimulatedClock.create(running.data / "clock", NOW, 0.0).jump(event.tokens_until.timestamp())
    assert "1 tokens deleted" in turnout(retaining_event_file).output
    assert "nothing to delete" in turnout(retaining_event_file).output
    assert kept(running).get(DIGEST) is None


def test_after_the_retention_date_the_ledger_deletes_what_it_has_and_takes_nothing_more(
    running: RunningLedger, retaining_event: Event, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    carry(spool, retaining_event, running.url, running.secrets,
          written(spool, "worker1", running.secrets, retaining_event, JWT))  # fmt: skip
    assert kept(running).get(DIGEST) == JWT.encode()
    assert retaining_event.tokens_until is not None
    assert running.jump(retaining_event.tokens_until.timestamp()).status == 200
    until(lambda: kept(running).size() == (0, 0), "they are deleted")
    late = written(spool, "worker2", running.secrets, retaining_event, "e30.e30.BBBB")
    assert carry(spool, retaining_event, running.url, running.secrets, late) == 1
    assert kept(running).size() == (0, 0)
    assert not list((spool / f"tokens-{retaining_event.digest[:16]}").iterdir()), "nor does the gateway keep them"
