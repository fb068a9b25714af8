"""A gateway follows the ledger's steering: what it was told is on its disk, and stays while the ledger is away."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from counters.announcements import Announcements
from counters.event import Event
from counters.keys_in_force import IssuerKeys
from counters.steering import Steering
from gateway import steering as steering_module
from gateway.ledger_client import GatewayName, InForce, LedgerRefusedError, LedgerUnavailableError
from gateway.mendable import CannotServeError
from gateway.steering import STEERING_FILE, SteeringFollower, SteeringKeeper, Told, decode
from tests.gateway.serving import NOW

VIEW = 0x0123456789ABCDEF


class Hand:
    """A clock set by hand."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time


class LedgerAtHand:
    """What a ledger would say."""

    def __init__(self) -> None:
        self.says: Steering | Exception | None = None
        self.script: list[Steering | Exception | None] = []
        self.asked = 0

    async def steering(self, name: GatewayName, known: int, known_keys: str) -> InForce:
        assert len(name.event_digest) == len(known_keys) == 64
        assert known >= 0
        self.asked += 1
        if self.script:
            self.says = self.script.pop(0)
        if isinstance(self.says, Exception):
            raise self.says
        return InForce(self.says)


class Gateway:
    """A keeper and what it has announced so far."""

    def __init__(self, spool: Path, event: Event) -> None:
        self.clock, self.ledger = Hand(), LedgerAtHand()
        self.spool, self.event = spool, event
        self.announcements: Announcements | None = None
        self.begin()

    def begin(self) -> None:
        def applied(announcements: Announcements) -> None:
            self.announcements = announcements

        self.keeper = SteeringKeeper(self.spool, self.event, "g", self.clock, self.ledger, applied)  # type: ignore[arg-type]

    def ask(self) -> None:
        asyncio.run(self.keeper.ask())

    def interval_of(self, window: float) -> int:
        assert self.announcements is not None
        return self.announcements.longest_s(window, window + 60)


@pytest.fixture
def gateway(tmp_path: Path, event: Event) -> Gateway:
    return Gateway(tmp_path, event)


def followed(spool: Path, event: Event) -> list[Steering]:
    told: list[Steering] = []
    SteeringFollower(spool, event, lambda now: told.append(now.steering))
    return told


def test_before_any_change_there_is_no_file_and_the_event_files_interval_holds(gateway: Gateway, event: Event) -> None:
    gateway.ask()
    assert gateway.interval_of(NOW) == event.interval_s
    assert not (gateway.spool / STEERING_FILE).exists()
    assert followed(gateway.spool, event) == []


def test_what_the_ledger_says_is_on_disk_when_a_worker_can_read_it(gateway: Gateway, event: Event) -> None:
    gateway.ledger.says = Steering(1, 45, frozenset({7, VIEW}))
    gateway.ask()
    assert followed(gateway.spool, event) == [Steering(1, 45, frozenset({7, VIEW}))]
    assert gateway.interval_of(NOW) == 45


def test_a_ledger_that_is_away_leaves_what_was_told_last(gateway: Gateway, event: Event) -> None:
    gateway.ledger.says = Steering(1, 45, frozenset({7}))
    gateway.ask()
    gateway.ledger.says = LedgerUnavailableError("away")
    with pytest.raises(LedgerUnavailableError):
        gateway.ask()
    gateway.begin()
    with pytest.raises(LedgerUnavailableError):
        gateway.ask()
    assert gateway.keeper.told.steering == Steering(1, 45, frozenset({7}))
    assert followed(gateway.spool, event) == [Steering(1, 45, frozenset({7}))]


@pytest.mark.parametrize("reason", ["mac_wrong", "other_event", "other_pseudonym_key", "body_malformed"])
def test_a_gateway_that_the_ledger_refuses_from_the_start_ends_with_its_sentence(gateway: Gateway, reason: str) -> None:
    gateway.ledger.says = LedgerRefusedError("the ledger refused (409): why", reason)
    with pytest.raises(CannotServeError, match="why"):
        asyncio.run(gateway.keeper.keep())


def test_a_name_that_is_held_is_asked_for_again_for_some_seconds(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering_module, "ASK_EVERY_S", 0.001)
    monkeypatch.setattr(steering_module, "NAME_PATIENCE_S", 0.05)
    gateway.ledger.says = LedgerRefusedError("the name is taken", "gateway_name_taken")
    with pytest.raises(CannotServeError, match="taken"):
        asyncio.run(gateway.keeper.keep())
    assert gateway.ledger.asked > 1


def test_a_ledger_that_changed_does_not_end_a_gateway_that_it_once_took(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Started with other secrets by mistake, it would take every player off the air."""
    monkeypatch.setattr(steering_module, "ASK_EVERY_S", 0.001)

    class OverError(Exception):
        """The test has seen enough."""

    refusal = LedgerRefusedError("another secret", "mac_wrong")
    gateway.ledger.script = [None, refusal, refusal, OverError()]
    with pytest.raises(OverError):
        asyncio.run(gateway.keeper.keep())
    assert "another secret" in caplog.text


def test_a_gateway_started_anew_knows_what_players_of_an_old_window_were_told(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering_module, "SETTLED_S", 0.0)
    gateway.clock.time = NOW + 30
    gateway.ledger.says = Steering(1, 54, frozenset())
    gateway.ask()
    gateway.clock.time = NOW + 400
    gateway.ledger.says = Steering(2, 20, frozenset())
    gateway.ask()
    gateway.begin()
    gateway.ledger.says = None
    gateway.ask()
    by_window = [gateway.interval_of(NOW + start) for start in range(-60, 600, 60)]
    assert by_window == [30, 54, 54, 54, 54, 54, 54, 54, 54, 54, 20], "until 400, and for 108 s more"


def test_another_log_is_never_handed_an_interval_that_it_did_not_have(gateway: Gateway) -> None:
    gateway.ledger.says = Steering(2, 54, frozenset({7}))
    gateway.ask()
    gateway.ledger.says = Steering(0, 30, frozenset())
    gateway.ask()
    assert gateway.interval_of(NOW) == 30
    gateway.begin()
    assert (gateway.interval_of(NOW), gateway.keeper.told.steering.revoked) == (30, frozenset())


def test_the_earlier_interval_counts_as_announced_until_every_worker_has_surely_looked(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.ledger.says = Steering(1, 20, frozenset())
    gateway.ask()
    gateway.ledger.says = None
    gateway.clock.time = NOW + 3600
    gateway.ask()
    assert gateway.interval_of(NOW + 3540) == 30
    later = time.monotonic() + steering_module.SETTLED_S
    monkeypatch.setattr(time, "monotonic", lambda: later)
    gateway.ask()
    assert gateway.interval_of(NOW + 3540) == 30
    assert gateway.interval_of(NOW + 3720) == 20


def test_a_disk_that_does_not_take_the_change_leaves_it_out_of_force_and_it_is_tried_again(
    gateway: Gateway, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    gateway.ledger.says = Steering(1, 45, frozenset({7}))
    with monkeypatch.context() as patched:
        patched.setattr(steering_module, "write_durably", full)
        with pytest.raises(OSError, match="no space"):
            gateway.ask()
    assert (gateway.keeper.told.steering.number, followed(gateway.spool, event)) == (0, [])
    gateway.ask()
    assert followed(gateway.spool, event) == [Steering(1, 45, frozenset({7}))]


@pytest.mark.parametrize("junk", [b"", b"null", b"[]", b"{}", b"\xff", b'{"version": 2}'])
def test_a_file_that_is_none_is_replaced_and_never_followed(gateway: Gateway, event: Event, junk: bytes) -> None:
    (gateway.spool / STEERING_FILE).write_bytes(junk)
    assert followed(gateway.spool, event) == []
    gateway.begin()
    gateway.ledger.says = Steering(1, 45, frozenset())
    gateway.ask()
    assert followed(gateway.spool, event) == [Steering(1, 45, frozenset())]


def test_another_events_file_is_not_followed(gateway: Gateway, event: Event) -> None:
    (gateway.spool / STEERING_FILE).write_bytes(Told.of(replace(event, id="another")).encode())
    assert followed(gateway.spool, event) == []
    steering = Steering(3, 45, frozenset({7, VIEW}))
    told = Told(steering, Announcements.of(30).announce(45, NOW), IssuerKeys.of(event))
    assert decode(told.encode(), event) == told


def test_a_worker_reads_the_file_when_it_changes_and_only_then(gateway: Gateway, event: Event) -> None:
    told: list[Steering] = []
    follower = SteeringFollower(gateway.spool, event, lambda now: told.append(now.steering))
    for number in (1, 2, 2):
        gateway.ledger.says = Steering(number, 40 + number, frozenset())
        gateway.ask()
        follower.look()
        follower.look()
    assert [steering.interval_s for steering in told] == [41, 42]
    (gateway.spool / STEERING_FILE).unlink()
    follower.look()
    assert len(told) == 2
