"""Hand-over: a bundle says what it said, and its segments are what the workers' spools hold."""

import contextlib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from counters import canonical_json, evidence
from counters.evidence import JournalSegment, PresenceSegment, SegmentHead
from counters.handover import HandOver, HandOverError, WorkerReport, coverage, window_segments
from counters.hyperloglog import merge
from counters.journal import Join, Scan, encode
from counters.spool import BUCKETS
from tests.counters.worker_at_hand import (
    CELLS,
    DIGEST,
    NINE,
    SESSIONS,
    HandClock,
    WorkerAtHand,
    a_join,
    a_scan,
    read_back,
    registers_of,
)

if TYPE_CHECKING:
    from counters.spooled_window import WindowSpool

counts = st.integers(0, 2**53 - 1)
text = st.text(st.characters(codec="utf-8"), max_size=12)
reports = st.builds(WorkerReport, text, counts, st.booleans())
bundles = st.builds(
    HandOver, st.just(DIGEST), text, counts, st.lists(reports, max_size=3).map(tuple),
    st.lists(st.binary(max_size=20), max_size=4).map(tuple),
)  # fmt: skip
PROMISE = HandOver(DIGEST, "g", 60, (WorkerReport("0" * 15 + "1", 120, ended=False),), ())
HEAD = SegmentHead(DIGEST, "gw-1", NINE, 30, ())


@given(bundles)
def test_a_bundle_is_read_as_it_was_written(bundle: HandOver) -> None:
    assert HandOver.decode(bundle.encode()) == bundle


@settings(max_examples=300)
@given(bundles, st.data())
def test_changed_bytes_are_another_bundle_or_a_hand_over_error(bundle: HandOver, data: st.DataObject) -> None:
    raw = bytearray(bundle.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2) | st.sampled_from((b"0", b'"')))
    with contextlib.suppress(HandOverError):
        assert HandOver.decode(bytes(raw)).encode() == bytes(raw)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2}, {"version": True}, {"more": 1}, {"event_sha256": "AB" * 32}, {"event_sha256": 7},
        {"gateway": 7}, {"window": -60}, {"window": "60"}, {"window": True}, {"window": 0.5}, {"segments": 1},
        {"segments": [-1, 1]}, {"segments": [True]}, {"segments": [1]}, {"segments": {}},
        {"workers": {}}, {"workers": 7}, {"workers": [7]},
        {"workers": None}, {"workers": [{"worker": "w", "through": 1}]},
        {"workers": [{"worker": "w", "through": 1, "ended": 0}]},
        {"workers": [{"worker": "w", "through": 1.5, "ended": False}]},
        {"workers": [{"worker": None, "through": 1, "ended": False}]},
        {"workers": [{"worker": "w", "through": 1, "ended": False, "more": 1}]},
    ],
)  # fmt: skip
def test_a_head_with_a_wrong_field_is_refused(changes: dict[str, object]) -> None:
    head = canonical_json.decode(PROMISE.encode().rstrip(b"\n"))
    with pytest.raises(HandOverError):
        HandOver.decode(canonical_json.encode(head | changes) + b"\n")


@pytest.mark.parametrize(
    "bundle", [b"", b"\n", b"{}\n", b"7\n", b"[]\n", b"null\n", PROMISE.encode()[:-1], b"[" * 9999]
)
def test_what_is_no_bundle_is_refused(bundle: bytes) -> None:
    with pytest.raises(HandOverError):
        HandOver.decode(bundle)


def test_bytes_after_the_segments_and_segments_cut_short_are_refused() -> None:
    whole = replace(PROMISE, segments=(b"abc", b"", b"d")).encode()
    assert HandOver.decode(whole).segments == (b"abc", b"", b"d")
    for wrong in (whole + b"x", whole[:-1]):
        with pytest.raises(HandOverError):
            HandOver.decode(wrong)


def test_the_hand_worked_promise_is_written_as_the_docstring_has_it() -> None:
    assert PROMISE.encode() == (
        b'{"event_sha256":"' + b"ab" * 32 + b'","gateway":"g","segments":[],"version":1,'
        b'"window":60,"workers":[{"ended":false,"through":120,"worker":"0000000000000001"}]}\n'
    )


# From spools to segments.

seats = st.integers(1, 12) | st.integers(1, 2**32 - 1)
beats = st.tuples(st.integers(0, 5), seats, st.sampled_from(SESSIONS), st.booleans())
refusals = st.dictionaries(st.sampled_from(CELLS), st.integers(1, 9))
workers = st.lists(st.tuples(st.lists(beats, max_size=30).map(sorted), refusals, st.booleans()), max_size=3)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(workers)
def test_segments_hold_the_sets_registers_and_refusals_that_plain_python_finds(
    tmp_path_factory: pytest.TempPathFactory, workers: list[tuple[list[tuple[int, int, int, bool]], Counter[str], bool]]
) -> None:
    spools: list[WindowSpool] = []
    for number, (accepted, refused, stops) in enumerate(workers):
        clock = HandClock()
        with WorkerAtHand(tmp_path_factory.mktemp("spool"), clock, worker=f"{number:016x}") as worker:
            for bucket, seat, session, background in accepted:
                clock.at = NINE + 10 * bucket
                worker.beat(seat, session, background=background)
            for name, count in refused.items():
                worker.cells.add(name, count)
            if stops:
                worker.stop()
            spools.append(read_back(worker.folder)[NINE])
    (presence,) = (evidence.decode(data) for data in window_segments(HEAD, spools, SESSIONS))
    assert isinstance(presence, PresenceSegment)
    everything = [beat for accepted, _, _ in workers for beat in accepted]
    assert {session.session for session in presence.sessions} == {session for _, _, session, _ in everything}
    for found in presence.sessions:
        playing = {seat for _, seat, number, _ in everything if number == found.session}
        seen = {seat for _, seat, number, background in everything if number == found.session and not background}
        assert found.playing == BitMap(playing)
        assert found.background == BitMap(playing - seen)
        registers = registers_of(everything)
        for sketch, merged in enumerate((found.attendees, found.views)):
            row = SESSIONS.index(found.session)
            assert np.array_equal(merged, merge(registers[bucket, row, sketch] for bucket in range(BUCKETS)))
    total = Counter[str]()
    for _, refused, _ in workers:
        for name, count in refused.items():
            if name != "beat.playing":
                total[name.split(".")[2]] += count
    assert presence.refusals == dict(total)


def test_the_journals_of_all_workers_become_one_segment(tmp_path_factory: pytest.TempPathFactory) -> None:
    spools = []
    written: list[Join | Scan] = [a_join(1), a_scan("a"), a_join(2), a_scan("b", seat=0, refusal="ticket_forged")]
    for number in range(2):
        with WorkerAtHand(tmp_path_factory.mktemp("spool"), worker=f"{number:016x}") as worker:
            for record in written[2 * number : 2 * number + 2]:
                worker.tally.write_journal(encode(record))
            spools.append(read_back(worker.folder)[NINE])
    presence, journal = (evidence.decode(data) for data in window_segments(HEAD, spools, SESSIONS))
    assert isinstance(presence, PresenceSegment)
    assert presence.sessions == ()
    assert isinstance(journal, JournalSegment)
    assert list(journal.records()) == [a_join(1), a_join(2), a_scan("a"), written[3]]
    assert len(window_segments(HEAD, [], SESSIONS)) == 1


def test_workers_of_two_versions_may_count_different_outcomes(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A gateway that was upgraded hands over the window in which its old worker died together with its new one's."""
    with WorkerAtHand(tmp_path_factory.mktemp("spool")) as worker:
        worker.cells.add("refused.beat.token_forged")
        old = read_back(worker.folder)[NINE]
    new = replace(old, counters={"refused.beat.token_wrong_colour": 2, "refused.beat.token_forged": 3})
    (presence,) = (evidence.decode(data) for data in window_segments(HEAD, [old, new], SESSIONS))
    assert isinstance(presence, PresenceSegment)
    assert presence.refusals == {"token_forged": 4, "token_wrong_colour": 2}


def test_the_same_spool_gives_the_same_bytes_each_time(tmp_path_factory: pytest.TempPathFactory) -> None:
    clock = HandClock()
    with WorkerAtHand(tmp_path_factory.mktemp("spool"), clock) as worker:
        worker.beat(1)
        clock.at = NINE + 3
        worker.tally.sync()
        clock.at = NINE + 60
        worker.tally.advance()
        made = []
        for _ in range(2):
            spool = read_back(worker.folder)[NINE]
            made.append(window_segments(replace(HEAD, workers=(coverage(spool, "gw-1"),)), [spool], SESSIONS))
            worker.tally.sync()
    assert made[0] == made[1]


def test_coverage_says_from_when_to_when_a_worker_recorded(tmp_path_factory: pytest.TempPathFactory) -> None:
    clock = HandClock(NINE + 5)
    with WorkerAtHand(tmp_path_factory.mktemp("spool"), clock) as worker:
        worker.beat(1)
        worker.tally.write_journal(encode(a_join(1)))
        clock.at = NINE + 7
        worker.tally.sync()
        dead = [coverage(read_back(worker.folder)[NINE], "gw-1", power_lost=lost) for lost in (False, True)]
        clock.at = NINE + 33
        worker.stop()
        stopped = [coverage(read_back(worker.folder)[NINE], "gw-1", power_lost=lost) for lost in (False, True)]
    # One that was killed was last seen when it synced last: nobody says that it was there after that. What it had
    # accepted by then and since is here all the same; only a power cut can have taken what was not synced.
    start, rows = NINE * 1000, dead + stopped
    times = [(row.from_ms - start, row.synced_until_ms - start, row.until_ms - start) for row in rows]
    assert times == [(5000, 7000, 7000), (5000, 7000, 60_000), (5000, 33_000, 33_000), (5000, 7000, 33_000)]
    assert [row.crashed for row in rows] == [True, True, False, True]
    assert {row.records for row in rows} == {2}


def test_a_worker_that_died_before_its_first_sync_vouches_for_nothing_and_not_since_1970(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with WorkerAtHand(tmp_path_factory.mktemp("spool"), HandClock(NINE + 5)) as worker:
        row = coverage(read_back(worker.folder)[NINE], "gw-1", power_lost=True)
    assert (row.from_ms, row.synced_until_ms, row.until_ms) == (
        (NINE + 5) * 1000,
        (NINE + 5) * 1000,
        (NINE + 60) * 1000,
    )
