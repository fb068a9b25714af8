"""Sealing: every accepted hand-over is in the log once, whatever ends the ledger in between.

After each step the whole log is checked as an outsider would: hashes, entries, and the evidence behind every leaf.
"""

import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyroaring import BitMap

from counters import canonical_json, evidence, hyperloglog
from counters.disk import DISK, Disk
from counters.durable_lines import DurableLines
from counters.event import Counting, Event, Session, Simulation
from counters.evidence import Coverage, PresenceSegment, SegmentHead, SessionPresence, journal_segments
from counters.evidence_store import EvidenceStore
from counters.expected_reports import AT_WORK_S, GRACE_S
from counters.handover import HandOver, WorkerReport
from counters.journal import Join
from counters.ledger.log import Log
from counters.ledger.reader import LogReader
from counters.ledger.writer_folder import LogLockedError
from counters.log_entries import LogEntryError, SealedLog, certificate_entry, read_log
from counters.manifest import Granted, Manifest
from counters.retirement import WORKERS_A_LEAF, retired_entries
from counters.sealed_evidence import read_evidence_of
from counters.sealing import (
    GROUP,
    EvidenceRefusedError,
    OtherEventError,
    Sealer,
    UnknownGatewayError,
    event_entry,
)
from tests.counters.fragile_disk import FaultyDisk, full
from tests.counters.synthetic import SIGNER, event_of
from tests.counters.worker_at_hand import NINE, a_join

COMMITMENT = "c0" * 32
A, B = "00000000000000aa", "00000000000000bb"


def event_lasting(minutes: int) -> Event:
    """A session of some minutes from nine on, and a break and another of two minutes after it."""
    nine = datetime.fromtimestamp(NINE, UTC)
    sessions = (
        Session(1, "opening", "Opening", nine, nine + timedelta(minutes=minutes), ()),
        Session(2, "forum", "Forum", nine + timedelta(minutes=minutes + 3), nine + timedelta(minutes=minutes + 5), ()),
    )
    counting = Counting(event_of(random.Random(1)).counting.rules, ("staff",), 1)
    return replace(
        event_of(random.Random(1)),
        sessions=sessions,
        counting=counting,
        late_until=nine + timedelta(days=1),
        simulation=Simulation(nine - timedelta(hours=1)),
    )


EVENT = event_lasting(4)


def presence(window: int, seats: set[int], worker: str = A, gateway: str = "gw-1", event: Event = EVENT) -> bytes:
    """A presence segment: these seats in session 1."""
    row = Coverage(worker, gateway, window * 1000, window * 1000 + 60_000, window * 1000 + 60_000, False, len(seats))  # noqa: FBT003 - a record's field  # fmt: skip
    registers = hyperloglog.empty()
    for seat in seats:
        hyperloglog.add(registers, str(seat).encode())
    sessions = [SessionPresence(1, BitMap(seats), BitMap(), registers, registers)]
    return evidence.encode(
        PresenceSegment.of(SegmentHead(event.digest, gateway, window, 30, (row,)), {"token_forged": 1}, sessions)
    )


def journal(window: int, joins: list[Join], gateway: str = "gw-1") -> bytes:
    (segment,) = journal_segments(SegmentHead(EVENT.digest, gateway, window, 30, ()), joins)
    return evidence.encode(segment)


def bundle(
    window: int,
    segments: tuple[bytes, ...] = (),
    worker: str = A,
    *,
    through: int | None = None,
    ended: bool = False,
    gateway: str = "gw-1",
) -> HandOver:
    through = window + 60 if through is None else through
    return HandOver(EVENT.digest, gateway, window, (WorkerReport(worker, through, ended=ended),), segments)


@dataclass
class LedgerAtHand:
    """A ledger whose clocks are set by hand, and that can end and begin again at any point."""

    data: Path
    event: Event = EVENT
    now: float = NINE - 600.0
    tick: float = 1000.0
    disk: Disk = DISK
    sealer: Sealer = field(init=False)

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        self.sealer = Sealer(self.data, self.event, COMMITMENT, SIGNER, self.now, self.disk)

    def restart(self) -> None:
        self.sealer.close()
        self.open()

    def crash(self) -> None:
        """Go on from a copy of what is on the disk now: nothing is closed, and memory is lost."""
        copy = self.data.with_name(self.data.name + "+")
        shutil.copytree(self.data, copy)
        self.sealer.close()
        self.data = copy
        self.open()

    def accept(self, what: HandOver) -> str:
        return self.sealer.accept(what, self.now, self.tick)

    def seal(self) -> int:
        return self.sealer.seal(self.now, self.tick)

    def settle(self) -> int:
        """Let the grace pass and seal all that there is."""
        leaves = self.seal()
        self.tick += GRACE_S + 1
        while more := self.seal():
            leaves += more
        return leaves

    def checked(self) -> SealedLog:
        """The log as an outsider reads it, with every hash and every file of evidence checked."""
        reader = LogReader(self.data / "log", SIGNER.verifier)
        reader.full_check()
        log = read_log(list(reader.entries()))
        for _ in read_evidence_of(log, EvidenceStore(self.data / "evidence").get):
            pass
        return log

    def entries(self) -> list[bytes]:
        self.checked()
        return list(LogReader(self.data / "log", SIGNER.verifier).entries())

    def present(self) -> dict[int, int | None]:
        """Event-wide present by minute after nine."""
        windows = self.checked().windows
        return {(w - NINE) // 60: leaf.totals[""]["present"] if leaf.totals else 0 for w, leaf in windows.items()}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerAtHand]:
    ledger = LedgerAtHand(tmp_path / "data")
    yield ledger
    ledger.sealer.close()


# The beginning.


def test_leaf_0_is_the_event_locked_when_the_log_began(ledger: LedgerAtHand) -> None:
    (entry,) = ledger.entries()
    assert entry == event_entry(EVENT, COMMITMENT, EVENT.iso(NINE - 600))
    log = ledger.checked()
    assert log.event == EVENT
    assert log.locked_at == "2023-11-19T08:50:00+08:00"
    ledger.now += 3600
    ledger.restart()
    assert ledger.entries() == [entry]


def test_another_event_file_or_pseudonym_key_is_refused_and_changes_nothing(ledger: LedgerAtHand) -> None:
    before = ledger.entries()
    ledger.sealer.close()
    for event, commitment in ((event_lasting(5), COMMITMENT), (EVENT, "d0" * 32)):
        with pytest.raises(OtherEventError, match="rules are locked"):
            Sealer(ledger.data, event, commitment, SIGNER, ledger.now)
    ledger.open()  # and what was refused holds no lock
    assert ledger.entries() == before


def test_a_second_ledger_on_the_same_directory_is_refused_and_the_first_goes_on(ledger: LedgerAtHand) -> None:
    with pytest.raises(LogLockedError):
        Sealer(ledger.data, EVENT, COMMITMENT, SIGNER, ledger.now)
    ledger.now = NINE + 61
    assert ledger.settle() == 1


# When a window is sealed.


def test_a_window_waits_for_every_worker_that_holds_seats_and_then_seals_at_once(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 5
    for worker in (A, B):
        ledger.sealer.grant(worker, f"gw-{worker[-1]}", 2, ledger.now)
    ledger.now = NINE + 60.1
    assert ledger.seal() == 0
    assert ledger.accept(bundle(NINE, (presence(NINE, {1, 2}),), A)) == "new"
    assert ledger.seal() == 0
    assert ledger.accept(bundle(NINE, (presence(NINE, {2, 3}, B, "gw-b"),), B, gateway="gw-b")) == "new"
    assert ledger.seal() == 1
    leaf = ledger.checked().windows[NINE]
    assert (leaf.missing, leaf.totals[""]["present"]) == ((), 3)
    assert ledger.seal() == 0


def test_a_window_is_not_sealed_before_its_end(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 30
    ledger.accept(bundle(NINE, (presence(NINE, {1}),)))  # its only worker has ended early
    ledger.now = NINE + 59.9
    assert ledger.settle() == 0
    ledger.now = NINE + 60
    assert ledger.seal() == 1


def test_after_the_grace_a_window_is_sealed_and_names_who_is_missing(ledger: LedgerAtHand) -> None:
    ledger.now = NINE
    for worker in (B, A):
        ledger.sealer.grant(worker, f"gw-{worker}", 1, ledger.now)
    ledger.now = NINE + 60
    assert ledger.seal() == 0
    ledger.tick += GRACE_S - 0.01
    assert ledger.seal() == 0
    ledger.tick += 0.02
    assert ledger.seal() == 1
    assert ledger.checked().windows[NINE].missing == (A, B)
    assert ledger.sealer.state(ledger.now).counts.missing_workers == 2
    ledger.restart()
    assert ledger.sealer.state(ledger.now).counts.missing_workers == 2


def test_the_manifest_of_a_window_names_the_seats_of_whoever_is_missing_and_of_nobody_else(
    ledger: LedgerAtHand,
) -> None:
    ledger.now = NINE
    for worker, blocks in ((A, 2), (B, 1), (A, 1)):
        ledger.sealer.grant(worker, f"gw-{worker}", blocks, ledger.now)
    ledger.restart()
    ledger.accept(bundle(NINE, (presence(NINE, {1}, B),), B))
    ledger.now = NINE + 60
    ledger.settle()
    leaf = ledger.checked().windows[NINE]
    assert leaf.missing == (A,)
    manifest = Manifest.decode(ledger.sealer.evidence.get(leaf.manifest_sha256))
    assert manifest.granted == (Granted(A, NINE, (0, 1, 3)),)


def test_a_gateway_whose_hand_over_the_disk_refused_is_waited_for(tmp_path: Path) -> None:
    opening_the_reports = 1
    disk = FaultyDisk(opening_the_reports, fault=full, only="append */reports.jsonl")
    ledger = LedgerAtHand(tmp_path / "data", disk=disk)
    ledger.now = NINE
    ledger.sealer.grant(A, "gw-1", 1, ledger.now)
    ledger.now = NINE + 60
    assert ledger.seal() == 0
    ledger.tick += GRACE_S - 0.01
    with pytest.raises(OSError, match="No space"):
        ledger.accept(bundle(NINE, (presence(NINE, {1}),)))
    ledger.tick += GRACE_S - 0.01
    assert ledger.seal() == 0
    assert ledger.accept(bundle(NINE, (presence(NINE, {1}),))) == "new"
    assert ledger.seal() == 1
    leaf = ledger.checked().windows[NINE]
    assert (leaf.missing, leaf.totals[""]["present"]) == ((), 1)


def test_a_gateway_that_works_off_a_backlog_is_waited_for(ledger: LedgerAtHand) -> None:
    ledger.now = NINE
    for worker in (A, B):
        ledger.sealer.grant(worker, "gw-1", 1, ledger.now)
    ledger.now = NINE + 180
    ledger.seal()
    for number in range(3):  # each hand-over takes it seven seconds
        ledger.tick += 7
        ledger.accept(bundle(NINE + 60 * number, (presence(NINE + 60 * number, {number + 1}),), A))
        ledger.accept(bundle(NINE + 60 * number, (), B))
        assert ledger.seal() == 1
    assert all(leaf.missing == () for leaf in ledger.checked().windows.values())


def test_a_window_is_not_late_while_its_gateway_says_that_it_is_at_work_on_it(ledger: LedgerAtHand) -> None:
    ledger.now = NINE
    ledger.sealer.grant(A, "gw-1", 1, ledger.now)
    ledger.now = NINE + 60
    ledger.seal()
    sign = HandOver(EVENT.digest, "gw-1", NINE, (), ())
    for _ in range(10):
        ledger.tick += 5
        assert ledger.accept(sign) == "promise"
        assert ledger.seal() == 0
    reports = ledger.data / "ledger" / "reports.jsonl"
    assert reports.read_bytes() == b"", "a sign of life is nothing to keep"
    assert ledger.accept(bundle(NINE, (presence(NINE, {1, 2}),), A)) == "new"
    assert ledger.seal() == 1
    assert ledger.checked().windows[NINE].missing == ()


def test_a_gateway_that_never_gets_done_with_a_window_holds_up_the_log_for_a_minute_and_no_longer(
    ledger: LedgerAtHand,
) -> None:
    ledger.now = NINE
    ledger.sealer.grant(A, "gw-1", 1, ledger.now)
    ledger.now = NINE + 60
    ledger.seal()
    began = ledger.tick
    while not ledger.seal():
        ledger.tick += 1
        ledger.accept(HandOver(EVENT.digest, "gw-1", NINE, (), ()))
        assert ledger.tick < began + 100
    assert ledger.tick - began == pytest.approx(1 + AT_WORK_S + GRACE_S, abs=1.01)
    assert ledger.checked().windows[NINE].missing == (A,)


def test_signs_of_life_over_a_later_window_do_not_keep_an_older_one_waiting(ledger: LedgerAtHand) -> None:
    ledger.now = NINE
    ledger.sealer.grant(A, "gw-1", 1, ledger.now)
    ledger.now = NINE + 120
    ledger.seal()
    ledger.tick += GRACE_S + 1
    ledger.accept(HandOver(EVENT.digest, "gw-1", NINE + 60, (), ()))
    assert ledger.seal() == 1
    assert ledger.checked().windows[NINE].missing == (A,)


@pytest.mark.parametrize(
    "ahead", [bundle(NINE, through=NINE + 3600), HandOver(EVENT.digest, "gw-1", NINE + 120, (), ())]
)
def test_what_is_of_a_time_that_has_not_come_is_refused_a_promise_too(ledger: LedgerAtHand, ahead: HandOver) -> None:
    """Believed, a gateway whose clock is an hour ahead would not be missing for an hour."""
    ledger.now = NINE
    with pytest.raises(EvidenceRefusedError, match="has not begun"):
        ledger.accept(ahead)


def test_a_retired_gateway_stays_missing_where_it_was_and_is_waited_for_no_more(ledger: LedgerAtHand) -> None:
    ledger.now = NINE
    ledger.sealer.grant(A, "gone", 1, ledger.now)
    ledger.sealer.grant(B, "gw-1", 1, ledger.now)
    ledger.now = NINE + 130
    ledger.accept(bundle(NINE, (), B))
    ledger.accept(bundle(NINE + 60, (), B))
    assert ledger.seal() == 0
    assert ledger.sealer.retire("gone", ledger.now) == [A]
    assert ledger.sealer.retire("gone", ledger.now) == []
    ledger.crash()
    assert ledger.seal() == 2
    for number in (2, 3):
        ledger.now = NINE + 60 * (number + 1)
        ledger.accept(bundle(NINE + 60 * number, (), B))
        assert ledger.seal() == 1, "at once"
    log = ledger.checked()
    missing = [log.windows[NINE + 60 * number].missing for number in range(4)]
    assert missing == [(A,), (A,), (A,), ()], "up to the minute in which it was retired"
    assert [(leaf.gateway, leaf.workers, leaf.window) for leaf in log.retired] == [("gone", (A,), NINE + 120)]


def test_a_retired_gateway_that_comes_back_hands_over_late_and_its_new_workers_count(ledger: LedgerAtHand) -> None:
    ledger.now = NINE
    ledger.sealer.grant(A, "gone", 1, ledger.now)
    ledger.now = NINE + 60
    ledger.sealer.retire("gone", ledger.now)
    assert ledger.settle() == 1
    assert ledger.accept(bundle(NINE, (presence(NINE, {1, 2}, A, "gone"),), A, ended=True, gateway="gone")) == "late"
    ledger.now = NINE + 70
    ledger.sealer.grant(B, "gone", 1, ledger.now)
    ledger.now = NINE + 120
    assert ledger.seal() == 1, "the late leaf, while the window waits for the new worker"
    assert ledger.accept(bundle(NINE + 60, (presence(NINE + 60, {3}, B, "gone"),), B, gateway="gone")) == "new"
    assert ledger.seal() == 1
    log = ledger.checked()
    assert (len(log.late), log.windows[NINE].missing, log.windows[NINE + 60].missing) == (1, (A,), ())
    assert ledger.sealer.retire("gone", ledger.now) == [B]


def test_a_worker_that_was_retired_and_lives_is_expected_again(ledger: LedgerAtHand) -> None:
    """Cut off and given up, not dead: its silence later on is a gap like any other's."""
    ledger.now = NINE
    ledger.sealer.grant(A, "gw-1", 1, ledger.now)
    ledger.sealer.retire("gw-1", ledger.now)
    ledger.now = NINE + 120
    ledger.accept(bundle(NINE, (), A))
    ledger.accept(bundle(NINE + 60, (), A))
    assert ledger.seal() == 2
    ledger.now = NINE + 180
    ledger.crash()
    assert ledger.seal() == 0
    assert ledger.settle() == 1
    assert ledger.checked().windows[NINE + 120].missing == (A,)


def test_who_never_had_seats_cannot_be_retired(ledger: LedgerAtHand) -> None:
    with pytest.raises(UnknownGatewayError, match="'nobody'"):
        ledger.sealer.retire("nobody", ledger.now)
    assert ledger.checked().retired == ()


def test_more_workers_than_an_entry_of_the_log_holds_are_retired_in_several() -> None:
    workers = [f"{number:016x}" for number in range(WORKERS_A_LEAF + 1)]
    entries = retired_entries(EVENT, "g", workers, NINE, "turnout test")
    assert [len(json.loads(entry)["workers"]) for entry in entries] == [WORKERS_A_LEAF, 1]
    assert max(map(len, entries)) < 65_535


@pytest.mark.parametrize(
    "changes",
    [
        {"gateway": 7}, {"workers": []}, {"workers": "ab"}, {"workers": [7]}, {"workers": [B, A]},
        {"workers": [A, A]}, {"at": 7}, {"at": "2023-11-19"}, {"simulated": not EVENT.simulated}, {"version": 2},
    ],
)  # fmt: skip
def test_a_retirement_that_is_malformed_is_refused_by_every_reader(
    ledger: LedgerAtHand, changes: dict[str, object]
) -> None:
    (entry,) = retired_entries(EVENT, "g", [A, B], NINE, "turnout test")
    begun = ledger.sealer.log.entry(0)
    assert read_log([begun, entry]).retired[0].workers == (A, B)
    with pytest.raises(LogEntryError, match="entry 1"):
        read_log([begun, canonical_json.encode(json.loads(entry) | changes)])


def test_a_gateway_that_goes_on_without_one_of_its_workers_does_not_hold_up_the_log(ledger: LedgerAtHand) -> None:
    """On a fast clock a gateway is heard of all the time; of this window it has no more once it reports a later one."""
    ledger.now = NINE
    for worker in (A, B):
        ledger.sealer.grant(worker, "gw-1", 1, ledger.now)
    sealed = 0
    for number in range(4):
        ledger.now = NINE + 60 * (number + 1)
        ledger.accept(bundle(NINE + 60 * number, (), A))
        sealed += ledger.seal()
        ledger.tick += 3
    assert sealed >= 1
    assert ledger.checked().windows[NINE].missing == (B,)


def test_a_worker_is_expected_from_the_window_of_its_first_seats_until_it_has_ended(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 70
    ledger.sealer.grant(A, "gw-1", 1, ledger.now)
    assert ledger.seal() == 1  # nine o'clock was before its time
    ledger.now = NINE + 120
    assert ledger.seal() == 0
    ledger.accept(bundle(NINE + 60, (presence(NINE + 60, {1}),), ended=True))
    ledger.now = NINE + 240
    assert ledger.seal() == 3
    assert all(leaf.missing == () for leaf in ledger.checked().windows.values())


def test_windows_that_the_clock_jumped_over_get_leaves_and_unscheduled_ones_only_with_evidence(
    ledger: LedgerAtHand,
) -> None:
    ledger.now = NINE + 60 * 20
    ledger.accept(bundle(NINE + 60 * 5, (presence(NINE + 60 * 5, {1}),)))  # in the break
    assert ledger.settle() == 7
    assert ledger.present() == {0: 0, 1: 0, 2: 0, 3: 0, 5: 1, 7: 0, 8: 0}


def test_a_backlog_is_sealed_in_groups(tmp_path: Path) -> None:
    ledger = LedgerAtHand(tmp_path / "data", event_lasting(2 * GROUP))
    ledger.now = NINE + 60 * 1000
    assert [ledger.seal() for _ in range(4)] == [GROUP, GROUP, 2, 0]
    ledger.checked()
    ledger.sealer.close()


def test_arrived_counts_against_the_minute_before_also_across_a_restart(ledger: LedgerAtHand) -> None:
    for number, seats in enumerate(({1, 2}, {2, 3}, {3, 4, 5})):
        ledger.now = NINE + 60 * (number + 1)
        ledger.accept(bundle(NINE + 60 * number, (presence(NINE + 60 * number, seats),)))
        ledger.settle()
        ledger.restart()
    assert [leaf.totals[""]["arrived"] for leaf in ledger.checked().windows.values()] == [2, 1, 2]


def test_excluded_attendees_stay_excluded_across_a_restart(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 60
    staff = journal(NINE, [a_join(1, category="staff"), a_join(2)])
    ledger.accept(bundle(NINE, (presence(NINE, {1, 2}), staff)))
    ledger.settle()
    ledger.crash()
    ledger.now = NINE + 120
    ledger.accept(bundle(NINE + 60, (presence(NINE + 60, {1, 2, 3}),)))
    ledger.settle()
    assert ledger.present() == {0: 1, 1: 2}


# What is accepted.


def test_a_hand_over_is_accepted_once_however_often_it_comes(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 60
    same = bundle(NINE, (presence(NINE, {1}),))
    assert ledger.accept(same) == "new"
    reports = (ledger.data / "ledger" / "reports.jsonl").read_bytes()
    assert ledger.accept(same) == "known"
    ledger.crash()
    assert ledger.accept(same) == "known"
    ledger.settle()
    assert ledger.accept(same) == "known"
    ledger.restart()
    assert ledger.accept(same) == "known"
    assert (ledger.data / "ledger" / "reports.jsonl").read_bytes() == reports
    assert ledger.settle() == 0
    assert ledger.present() == {0: 1}


def test_a_segment_twice_in_one_bundle_counts_once(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 60
    assert ledger.accept(bundle(NINE, (presence(NINE, {1}),) * 2)) == "new"
    ledger.crash()
    ledger.settle()
    (leaf,) = read_evidence_of(ledger.checked(), EvidenceStore(ledger.data / "evidence").get)
    assert len(leaf.manifest.evidence) == 1


def test_a_promise_is_remembered_and_written_once(ledger: LedgerAtHand) -> None:
    ledger.now = NINE
    ledger.sealer.grant(A, "gw-1", 1, ledger.now)
    ledger.now = NINE + 60
    for _ in range(3):
        assert ledger.accept(bundle(NINE)) == "promise"
    assert len((ledger.data / "ledger" / "reports.jsonl").read_bytes().splitlines()) == 1
    ledger.crash()
    assert ledger.seal() == 1
    assert ledger.checked().windows[NINE].missing == ()


def test_evidence_for_a_sealed_window_becomes_a_late_leaf_and_the_sealed_one_stays(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 120
    ledger.accept(bundle(NINE, (presence(NINE, {1}),)))
    ledger.settle()
    before = ledger.entries()
    ledger.now = NINE + 200
    late = bundle(NINE, (presence(NINE, {1, 2}, B, "gw-b"),), B, gateway="gw-b")
    assert ledger.accept(late) == "late"
    assert ledger.accept(late) == "known"
    assert ledger.sealer.unsealed(ledger.now) == 2  # it, and the third minute
    ledger.crash()
    assert ledger.accept(late) == "known"
    ledger.settle()
    after = ledger.entries()
    assert after[: len(before)] == before
    (leaf,) = ledger.checked().late
    assert (leaf.window, leaf.received_at, leaf.counted) == (NINE, NINE + 200, True)
    assert ledger.settle() == 0


def test_what_comes_for_a_window_that_was_passed_over_without_a_leaf_is_late(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 60 * 20
    ledger.settle()
    assert ledger.accept(bundle(NINE + 300, (presence(NINE + 300, {1}),))) == "late"
    ledger.restart()
    assert ledger.settle() == 1
    assert [leaf.window for leaf in ledger.checked().late] == [NINE + 300]


def test_late_evidence_after_late_until_is_entered_and_not_counted(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 60
    ledger.settle()
    ledger.now = EVENT.late_until.timestamp() + 1
    ledger.accept(bundle(NINE, (presence(NINE, {1}),)))
    ledger.settle()
    assert [leaf.counted for leaf in ledger.checked().late] == [False]


OTHER = presence(NINE, {1}, event=event_lasting(5))


@pytest.mark.parametrize(
    "segments",
    [(b"",), (b"TURNSEG\0",), (presence(NINE, {1})[:-1],), (presence(NINE, {1}) + b"x",), (presence(NINE + 60, {1}),),
     (OTHER,), (presence(NINE, {1}), OTHER)],
)  # fmt: skip
def test_unsound_or_foreign_evidence_is_refused_and_nothing_of_its_bundle_is_taken(
    ledger: LedgerAtHand, segments: tuple[bytes, ...]
) -> None:
    ledger.now = NINE + 60
    with pytest.raises(EvidenceRefusedError):
        ledger.accept(bundle(NINE, segments))
    assert not (ledger.data / "evidence").exists()
    assert ledger.accept(bundle(NINE, (presence(NINE, {1}),))) == "new"


def test_evidence_of_a_window_that_has_not_begun_is_refused(ledger: LedgerAtHand) -> None:
    """It would be sealed only then, or, dated beyond the calendar, stop the ledger for good."""
    ledger.now = NINE
    for window in (NINE + 120, 9_000_000_000_000 // 60 * 60):
        with pytest.raises(EvidenceRefusedError, match="clock"):
            ledger.accept(bundle(window, (presence(window, {1}),)))
    ledger.restart()
    assert ledger.settle() == 0


# Whatever ends it.

Step = Callable[[LedgerAtHand], object]


def _at(minute: float) -> Step:
    return lambda ledger: setattr(ledger, "now", NINE + 60 * minute)


def _accept(minute: int, seats: set[int], worker: str, joins: tuple[Join, ...] = (), *, ended: bool = False) -> Step:
    window, gateway = NINE + 60 * minute, f"gw-{worker[-1]}"
    segments = [presence(window, seats, worker, gateway)]
    if joins:
        segments.append(journal(window, list(joins), gateway))
    return lambda ledger: ledger.accept(bundle(window, tuple(segments), worker, ended=ended, gateway=gateway))


STEPS: tuple[Step, ...] = (
    _at(0),
    lambda ledger: ledger.sealer.grant(A, "gw-a", 2, ledger.now),
    lambda ledger: ledger.sealer.grant(B, "gw-b", 2, ledger.now),
    _at(1.1),
    _accept(0, {1, 2, 3}, A, (a_join(1), a_join(2, category="staff"), a_join(3))),
    LedgerAtHand.seal,
    _accept(0, {3, 4}, B, (a_join(4),)),
    LedgerAtHand.seal,
    _at(2.5),
    _accept(1, {1, 2}, A),
    LedgerAtHand.settle,
    lambda ledger: ledger.sealer.append(certificate_entry("ee" * 32, EVENT.digest, EVENT.iso(ledger.now))),
    _accept(1, {5}, B, (a_join(5, category="staff"),)),  # late
    _accept(2, {1, 5}, A, ended=True),
    LedgerAtHand.seal,
    _at(30),
    _accept(5, {1}, B),
    _accept(3, {2, 4}, B),
    LedgerAtHand.settle,
    _accept(4, {4}, B, ended=True),  # passed over
    LedgerAtHand.settle,
)


def run(ledger: LedgerAtHand, steps: tuple[Step, ...] = STEPS) -> None:
    for step in steps:
        step(ledger)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The log of all steps in one life."""
    ledger = LedgerAtHand(tmp_path_factory.mktemp("undisturbed") / "data")
    run(ledger)
    ledger.sealer.close()
    entries = ledger.entries()
    assert [canonical_json.decode(entry)["type"] for entry in entries].count("late") == 2
    assert ledger.present() == {0: 3, 1: 1, 2: 1, 3: 1, 5: 1, 7: 0, 8: 0}
    return entries


@pytest.mark.parametrize("end", [LedgerAtHand.restart, LedgerAtHand.crash])
@pytest.mark.parametrize("after", range(1, len(STEPS), 2))
def test_ended_at_any_point_the_ledger_comes_to_the_same_log(
    tmp_path: Path, undisturbed: list[bytes], end: Step, after: int
) -> None:
    ledger = LedgerAtHand(tmp_path / "data")
    run(ledger, STEPS[:after])
    end(ledger)
    ledger.checked()
    run(ledger, STEPS[after:])
    ledger.sealer.close()
    assert ledger.entries() == undisturbed


class PowerCutError(OSError):
    """What ends the process in these tests."""


def failing(owner: type, name: str, at: int, *, before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the call number `at` of a method fail before it begins or after it is done."""
    real, calls = getattr(owner, name), iter(range(10_000))

    def call(*args: Any, **named: Any) -> Any:
        fails = next(calls) == at
        if fails and before:
            raise PowerCutError(5, "before")
        done = real(*args, **named)
        if fails:
            raise PowerCutError(5, "after")
        return done

    monkeypatch.setattr(owner, name, call)


def _without_manifest(entry: bytes) -> bytes:
    return re.sub(rb'"manifest_sha256":"[0-9a-f]+"', b"", entry)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    ("owner", "name", "calls"),
    [(EvidenceStore, "put", range(0, 18, 3)), (DurableLines, "add", range(9)), (Log, "append", range(1, 7))],
)
def test_a_failure_at_any_write_loses_nothing_and_enters_nothing_twice(
    tmp_path: Path,
    undisturbed: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    name: str,
    calls: range,
    *,
    before: bool,
) -> None:
    """Who got no answer asks again: a step that failed is done once more by the next life."""
    for at in calls:
        ledger = LedgerAtHand(tmp_path / f"data-{at}")
        failures = 0
        with monkeypatch.context() as patch:
            failing(owner, name, at - (owner is Log), before=before, monkeypatch=patch)
            for step in STEPS:
                try:
                    step(ledger)
                except PowerCutError:
                    failures += 1
                    ledger.sealer.close()
                    ledger.open()
                    ledger.checked()
                    step(ledger)
        ledger.sealer.close()
        entries = ledger.entries()
        assert failures == 1
        kinds = [canonical_json.decode(entry)["type"] for entry in entries]
        # Who appends a certificate and hears nothing enters another; and a grant without an answer wastes a block,
        # which the manifest of a window that misses its worker names as well.
        repeated = kinds.count("certificate") - 1
        assert repeated in {0, int(owner is Log and not before)}
        wasted = sum(len(one.blocks) for one in ledger.sealer.grants.holders.values()) - 4
        assert wasted in {0, 2 * int(owner is DurableLines and not before)}
        shown = _without_manifest if wasted else bytes
        assert sorted(set(map(shown, entries))) == sorted(map(shown, undisturbed))
        assert len(entries) == len(undisturbed) + repeated


# Seats and the rest.


def test_seats_are_never_granted_twice_whatever_ends_the_ledger(ledger: LedgerAtHand) -> None:
    granted = list[int]()
    for end in (LedgerAtHand.restart, LedgerAtHand.crash, LedgerAtHand.restart):
        for worker in (A, B):
            granted += ledger.sealer.grant(worker, "gw-1", 3, ledger.now)
        end(ledger)
    assert granted == list(range(18))


def test_the_state_shows_what_waits_and_what_was_sealed_last(ledger: LedgerAtHand) -> None:
    ledger.now = NINE + 130.5
    state = ledger.sealer.state(ledger.now)
    assert (state.unsealed, state.overdue) == (2, 2)
    # The second window ended ten seconds ago.
    assert ledger.sealer.state(NINE + 129).overdue == 1
    ledger.accept(bundle(NINE + 60, (presence(NINE + 60, {1, 2}),)))
    ledger.settle()
    state = ledger.sealer.state(ledger.now)
    assert (state.size, state.sealed_window, state.unsealed) == (3, NINE + 60, 0)
    assert (state.seal_lag_s, state.checkpoint_s) == (10.5, NINE + 130.5)
    assert state.attendees == {"": 2, "opening": 2}
    ledger.restart()
    again = ledger.sealer.state(ledger.now)
    assert (again.sealed_window, again.attendees, again.seal_lag_s) == (NINE + 60, state.attendees, None)
    assert again.overdue == 0
    assert again.counts == state.counts


def test_the_state_counts_what_is_in_the_log_and_how_much_evidence_it_stands_on(ledger: LedgerAtHand) -> None:
    ledger.now = NINE
    ledger.sealer.grant(A, "gw-1", 1, ledger.now)
    ledger.sealer.grant(B, "gw-2", 1, ledger.now)
    ledger.now = NINE + 125
    ledger.accept(bundle(NINE, (presence(NINE, {1, 2}), journal(NINE, [a_join(1)]))))
    ledger.accept(bundle(NINE, worker=B, gateway="gw-2"))
    ledger.accept(bundle(NINE + 60, (presence(NINE + 60, {1, 2}),)))
    ledger.settle()
    # Of the second window a worker is missing; another was there all the time.
    state = ledger.sealer.state(ledger.now)
    assert (state.counts.windows, state.counts.with_gaps, state.counts.late) == (2, 1, 0)
    assert (state.counts.missing_workers, state.gateways) == (1, frozenset({"gw-1", "gw-2"}))
    on_disk = sum(path.stat().st_size for path in (ledger.data / "evidence").iterdir())
    assert (state.counts.evidence_bytes, state.waiting_bytes) == (on_disk, 0)
    late = presence(NINE + 60, {1}, B, "gw-2")
    ledger.accept(bundle(NINE + 60, (late,), B, ended=True, gateway="gw-2"))
    assert ledger.sealer.state(ledger.now).waiting_bytes == len(late)
    ledger.settle()
    state = ledger.sealer.state(ledger.now)
    assert (state.counts.windows, state.counts.with_gaps, state.counts.late) == (2, 1, 1)
    assert (state.waiting_bytes, state.gateways) == (0, frozenset({"gw-1"}))
    assert state.counts.evidence_bytes == sum(path.stat().st_size for path in (ledger.data / "evidence").iterdir())
    ledger.restart()
    assert ledger.sealer.state(ledger.now).counts == state.counts


@pytest.mark.parametrize(
    ("changes", "gap"),
    [
        ({}, False),
        ({"until_ms": NINE * 1000 + 30_000}, True),  # from then on nobody was there
        ({"crashed": True}, False),
        ({"crashed": True, "synced_until_ms": NINE * 1000}, True),
        ({"unreadable": True, "records": 0}, True),
    ],
)
def test_a_window_has_a_gap_where_evidence_is_wanting(ledger: LedgerAtHand, changes: dict[str, Any], gap: bool) -> None:
    segment = evidence.decode(presence(NINE, {1}))
    head = replace(segment.head, workers=(replace(segment.head.workers[0], **changes),))
    ledger.now = NINE + 60
    ledger.accept(bundle(NINE, (evidence.encode(replace(segment, head=head)),)))
    ledger.settle()
    assert ledger.sealer.state(ledger.now).counts.with_gaps == gap


def test_a_certificate_does_not_stand_in_the_way_of_opening_again(ledger: LedgerAtHand) -> None:
    ledger.sealer.append(certificate_entry("ee" * 32, EVENT.digest, EVENT.iso(ledger.now)))
    ledger.restart()
    ledger.now = NINE + 60
    assert ledger.settle() == 1
    assert GRACE_S == 8.0


def test_a_worker_that_was_said_to_have_ended_and_reports_on_lives(tmp_path: Path) -> None:
    """A copy of its spool, started elsewhere, takes it for dead."""
    ledger = LedgerAtHand(tmp_path / "data")
    ledger.sealer.grant(A, "gw-1", 1, NINE)
    expected = ledger.sealer._expected
    said = {"worker": A, "through": NINE + 60}
    ended, again, lives = said | {"ended": True}, said | {"ended": False}, {"worker": A, "through": NINE + 120}
    expected.notice(NINE + 120, 0.0)
    expected.take([ended])
    assert expected.missing(NINE + 120, 100.0) == []
    expected.take([again])  # the network repeats what was sent before
    assert expected.missing(NINE + 120, 100.0) == []
    expected.take([lives | {"ended": False}])
    assert expected.missing(NINE + 120, 100.0) == [A]
    ledger.sealer.close()
