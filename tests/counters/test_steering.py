"""Steering: every change is in the log once, whatever ends the ledger; which seats it names is for auditors alone."""

import hashlib
import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from counters import canonical_json, evidence
from counters.evidence import PresenceSegment, SegmentHead
from counters.evidence_store import EvidenceError, EvidenceStore
from counters.log_entries import LogEntryError, read_log
from counters.sealed_evidence import read_evidence_of
from counters.sealing import EvidenceRefusedError
from counters.steering import (
    FIRST_VIEW_ID,
    REVOKED_LIMIT,
    Change,
    RevokedLimitError,
    Steering,
    SteeringError,
    apply,
    read_interval,
    read_revocations,
    read_seat,
    read_view,
    replay,
    revocations_file,
    view_text,
)
from tests.counters.ledger_at_hand import EVENT, LedgerAtHand, bundle
from tests.counters.worker_at_hand import NINE

VIEW = 0x0123456789ABCDEF
PLAIN = Steering(0, 30, frozenset())


def revoked_files(ledger: LedgerAtHand) -> list[dict[str, Any]]:
    files = [path.read_bytes() for path in (ledger.data / "evidence").glob("[0-9a-f]*")]
    return [json.loads(data) for data in files if b'"revocations"' in data]


# A change.


def test_a_change_says_what_is_in_force_and_what_was_so_already() -> None:
    now, changed = apply(PLAIN, Change(45, frozenset({7, VIEW}), frozenset({9})))
    assert now == Steering(1, 45, frozenset({7, VIEW}))
    assert changed == Change(45, frozenset({7, VIEW}))
    then, changed = apply(now, Change(45, frozenset({7, 8}), frozenset({VIEW})))
    assert then == Steering(2, 45, frozenset({7, 8}))
    assert changed == Change(None, frozenset({8}), frozenset({VIEW}))
    assert apply(then, Change(45, frozenset({8}), frozenset({VIEW}))) == (then, Change())


@pytest.mark.parametrize("interval_s", [4, 55, 0, -30, 30.0, True, "30", None])
def test_an_interval_that_players_may_not_be_told_is_refused_with_the_reason(interval_s: object) -> None:
    with pytest.raises(SteeringError, match=r"use 5 to 54 seconds\. With a longer one a clock minute may pass"):
        read_interval(interval_s)
    assert [read_interval(good) for good in (5, 54)] == [5, 54]


def test_nobody_is_revoked_and_restored_at_once() -> None:
    with pytest.raises(SteeringError, match="7 is to be revoked and restored at once"):
        apply(PLAIN, Change(None, frozenset({7}), frozenset({7})))


def test_the_list_is_bounded_and_says_so_and_a_full_one_still_takes_restores() -> None:
    full, _ = apply(PLAIN, Change(revoke=frozenset(range(1, REVOKED_LIMIT + 1))))
    with pytest.raises(RevokedLimitError, match=f"{REVOKED_LIMIT + 1} seats and views .* room for {REVOKED_LIMIT}"):
        apply(full, Change(revoke=frozenset({VIEW})))
    assert apply(full, Change(45))[0].interval_s == 45
    swapped, _ = apply(full, Change(revoke=frozenset({VIEW}), restore=frozenset({1})))
    assert len(swapped.revoked) == REVOKED_LIMIT


def test_seats_and_views_never_meet() -> None:
    assert (read_seat(1), read_seat(FIRST_VIEW_ID - 1)) == (1, FIRST_VIEW_ID - 1)
    assert read_view(view_text(FIRST_VIEW_ID)) == FIRST_VIEW_ID
    for seat in (0, -1, FIRST_VIEW_ID, "7", 7.0, True, None):
        with pytest.raises(SteeringError, match="is no seat"):
            read_seat(seat)
    for view in (
        "00000000ffffffff",
        "0123456789ABCDEF",
        "123456789abcdef",
        VIEW,
        None,
        "0x23456789abcdef",
        "\u0661" * 16,
    ):
        with pytest.raises(SteeringError, match="is no view"):
            read_view(view)


# Its file of evidence.


def test_a_list_of_revocations_worked_by_hand() -> None:
    data = revocations_file("ab" * 32, bytes(16), Change(45, frozenset({VIEW, 7}), frozenset({9})))
    assert data == (
        b'{"event_sha256":"' + b"ab" * 32 + b'","restored":{"seats":[9],"views":[]},'
        b'"revoked":{"seats":[7],"views":["0123456789abcdef"]},"salt":"' + b"00" * 16 + b'",'
        b'"type":"revocations","version":1}'
    )
    assert read_revocations("ab" * 32, data) == Change(None, frozenset({VIEW, 7}), frozenset({9}))
    assert revocations_file("ab" * 32, bytes(16), Change(45)) is None


def test_no_changed_byte_of_a_list_is_read() -> None:
    data = revocations_file("ab" * 32, bytes(16), Change(None, frozenset({VIEW, 70}), frozenset({9})))
    assert data is not None
    rng = random.Random(20231119)
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]
        try:
            # A digit may become another digit: that is another list, which its digest tells from this one.
            assert read_revocations("ab" * 32, changed) is not None
            assert hashlib.sha256(changed).digest() != hashlib.sha256(data).digest()
        except SteeringError:
            pass
    for junk in (b"", b"null", b"[]", b"{}", data + b" ", data[:-1], data.replace(b"[9]", b"[9,9]"), b"\xff"):
        with pytest.raises(SteeringError):
            read_revocations("ab" * 32, junk)
    with pytest.raises(SteeringError, match="of this event"):
        read_revocations("cd" * 32, data)


# In the log.


def test_a_change_is_a_leaf_that_anybody_can_read_and_names_nobody(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 30
    assert ledger.sealer.steer(Change(45, frozenset({4711, VIEW})), ledger.now) == Change(45, frozenset({4711, VIEW}))
    entry = ledger.entries()[1]
    (leaf,) = ledger.checked().steering
    assert (leaf.number, leaf.at, leaf.interval_s, leaf.revoked_seats, leaf.revoked_views) == (1, NINE + 30, 45, 1, 1)
    shown = re.sub(rb"[0-9a-f]{64}", b"", entry)  # in a digest any four digits may stand
    assert b"4711" not in shown
    assert b"cdef" not in shown
    (document,) = revoked_files(ledger)
    assert document["revoked"] == {"seats": [4711], "views": ["0123456789abcdef"]}
    assert leaf.revocations_sha256 == hashlib.sha256(canonical_json.encode(document)).hexdigest()


def test_two_lists_of_one_seat_have_two_digests_so_that_nobody_finds_a_seat_by_trying(ledger: LedgerAtHand) -> None:
    for change in (Change(revoke=frozenset({7})), Change(restore=frozenset({7})), Change(revoke=frozenset({7}))):
        ledger.sealer.steer(change, ledger.now)
    first, _, third = ledger.checked().steering
    assert first.revocations_sha256 != third.revocations_sha256


def test_a_change_that_changes_nothing_is_not_logged(ledger: LedgerAtHand) -> None:
    ledger.sealer.steer(Change(45, frozenset({7})), ledger.now)
    size = len(ledger.entries())
    assert ledger.sealer.steer(Change(45, frozenset({7}), frozenset({8})), ledger.now) == Change()
    assert len(ledger.entries()) == size


def test_a_change_that_is_refused_changes_nothing(ledger: LedgerAtHand) -> None:
    with pytest.raises(SteeringError):
        ledger.sealer.steer(Change(55, frozenset({7})), ledger.now)
    assert (ledger.sealer.steering, len(ledger.entries()), revoked_files(ledger)) == (Steering.of(EVENT), 1, [])


@pytest.mark.parametrize("begin_again", [LedgerAtHand.restart, LedgerAtHand.crash])
def test_what_is_in_force_survives_the_ledger(
    ledger: LedgerAtHand, begin_again: Callable[[LedgerAtHand], None]
) -> None:
    ledger.sealer.steer(Change(45, frozenset({7, 8, VIEW})), ledger.now)
    ledger.sealer.steer(Change(restore=frozenset({8})), ledger.now)
    ledger.sealer.steer(Change(20), ledger.now)
    begin_again(ledger)
    assert ledger.sealer.steering == Steering(3, 20, frozenset({7, VIEW}))
    assert [change.interval_s for change in ledger.sealer.changes] == [45, 45, 20]
    ledger.sealer.steer(Change(21), ledger.now)
    assert ledger.checked().steering[-1].number == 4


def test_a_crash_between_list_and_leaf_leaves_things_as_they_were(
    ledger: LedgerAtHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def power_cut(_: object) -> None:
        raise OSError("power cut")

    with monkeypatch.context() as patched:
        patched.setattr(ledger.sealer.log, "append", power_cut)
        with pytest.raises(OSError, match="power cut"):
            ledger.sealer.steer(Change(45, frozenset({7})), ledger.now)
    ledger.crash()
    assert ledger.sealer.steering == Steering.of(EVENT)
    assert len(ledger.entries()) == 1
    ledger.sealer.steer(Change(45, frozenset({7})), ledger.now)
    ledger.restart()
    assert ledger.sealer.steering == Steering(1, 45, frozenset({7}))


# Windows and their interval.


def with_interval(window: int, interval_s: int) -> bytes:
    return evidence.encode(PresenceSegment.of(SegmentHead(EVENT.digest, "gw-1", window, interval_s, ()), {}, []))


def test_a_windows_leaf_has_the_longest_interval_of_its_gateways(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 5
    ledger.sealer.steer(Change(45), ledger.now)
    ledger.now = NINE + 61
    assert ledger.accept(bundle(NINE, (with_interval(NINE, 30),))) == "new"
    assert ledger.accept(bundle(NINE, (with_interval(NINE, 45),))) == "new"
    ledger.settle()
    assert ledger.checked().windows[NINE].interval_s == 45


def test_evidence_of_an_interval_that_never_was_is_refused(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 61
    with pytest.raises(EvidenceRefusedError, match="interval that never was: 45 s"):
        ledger.accept(bundle(NINE, (with_interval(NINE, 45),)))
    ledger.sealer.steer(Change(45), ledger.now)
    assert ledger.accept(bundle(NINE, (with_interval(NINE, 45),))) == "new"


def test_late_evidence_of_an_interval_that_never_was_is_refused_by_who_reads_evidence(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 61
    ledger.settle()
    ledger.sealer.steer(Change(45), ledger.now)
    assert ledger.accept(bundle(NINE, (with_interval(NINE, 45),))) == "late"
    ledger.settle()
    log = ledger.checked()
    assert [leaf.index for leaf in log.late] == [3]
    store = EvidenceStore(ledger.data / "evidence")
    with pytest.raises(EvidenceError, match="no entry before it announces its interval"):
        list(read_evidence_of(replace(log, steering=()), store.get))


# What a reader of the log accepts.


def changed(entry: bytes, **members: object) -> bytes:
    return canonical_json.encode(json.loads(entry) | members)


def steered(ledger: LedgerAtHand) -> list[bytes]:
    """Event, interval 45, a window under it, one seat revoked."""
    ledger.now = NINE + 5
    ledger.sealer.steer(Change(45), ledger.now)
    ledger.now = NINE + 61
    ledger.accept(bundle(NINE, (with_interval(NINE, 45),)))
    ledger.settle()
    ledger.sealer.steer(Change(revoke=frozenset({7})), ledger.now)
    entries = ledger.entries()
    assert [json.loads(entry)["type"] for entry in entries] == ["event", "steering", "window", "steering"]
    return entries


TAMPERED: dict[str, tuple[int, dict[str, object], str]] = {
    "an interval too long": (1, {"interval_s": 60}, "60 is no heartbeat interval"),
    "another interval than the windows have": (
        1,
        {"interval_s": 44},
        "no entry before it announces its interval of 45",
    ),
    "a window of an interval never announced": (
        2,
        {"interval_s": 54},
        "no entry before it announces its interval of 54",
    ),
    "a change out of turn": (3, {"number": 3}, "change 3 of steering, after 1"),
    "a change twice": (3, {"number": 1}, "change 1 of steering, after 1"),
    "a number that is none": (3, {"number": True}, "no whole number"),
    "no list for those revoked": (3, {"revocations_sha256": None}, "names no list of revocations"),
    "a digest that is none": (3, {"revocations_sha256": "00"}, "no digest"),
    "no change at all": (1, {"interval_s": 30}, "names no list of revocations"),
    "a time in another zone": (1, {"at": "2023-11-19T01:00:00Z"}, "no time in the event's zone"),
    "not simulated": (1, {"simulated": False}, "whether it is simulated"),
    "revoked that is no count": (1, {"revoked": {"seats": -1, "views": 0}}, "no whole number"),
    "revoked that is nothing": (1, {"revoked": None}, "entry 1"),
}


@pytest.mark.parametrize(("index", "members", "what"), TAMPERED.values(), ids=TAMPERED.keys())
def test_a_tampered_change_is_refused_by_every_reader(
    ledger: LedgerAtHand, index: int, members: dict[str, object], what: str
) -> None:
    entries = steered(ledger)
    assert len(read_log(entries).steering) == 2
    entries[index] = changed(entries[index], **members)
    with pytest.raises(LogEntryError, match=what):
        read_log(entries)


def test_a_change_put_behind_the_window_that_it_explains_is_refused(ledger: LedgerAtHand) -> None:
    event, interval, window, revoked = steered(ledger)
    with pytest.raises(LogEntryError, match="no entry before it announces"):
        read_log([event, window, interval, revoked])


def test_lists_that_give_other_counts_than_their_leaves_are_refused(ledger: LedgerAtHand) -> None:
    entries = steered(ledger)
    store = EvidenceStore(ledger.data / "evidence")
    log = read_log(entries)
    assert replay(log.event, log.steering, store.get).revoked == {7}
    wrong = (log.steering[0], replace(log.steering[1], revoked_seats=2))
    with pytest.raises(SteeringError, match="other numbers of revoked seats"):
        replay(log.event, wrong, store.get)
    twice = (*log.steering, replace(log.steering[1], number=3))
    with pytest.raises(SteeringError, match="revokes what was revoked"):
        replay(log.event, twice, store.get)
    with pytest.raises(SteeringError, match="was changed"):
        replay(log.event, log.steering, lambda digest: store.get(digest) + b" ")
    absent = (log.steering[0], replace(log.steering[1], revocations_sha256="00" * 32))
    with pytest.raises(EvidenceError):
        replay(log.event, absent, store.get)
