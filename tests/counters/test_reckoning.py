"""From the log to what is counted: in one process or in several, and once more for the table of attendees."""

import random
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counters.attendance_table import ROW, attendance_table
from counters.certificate import assemble
from counters.evidence import PresenceSegment, decode
from counters.evidence_store import EvidenceError, EvidenceStore
from counters.log_entries import read_log
from counters.reckoning import Reckoning, reckon
from counters.segment import MAGIC
from tests.counters.gappy_world import gappy_world
from tests.counters.synthetic import Sealed, fixed_world, seal, world_of
from tests.counters.test_certificate import ISSUED_AT


def reckoned(sealed: Sealed) -> Reckoning:
    return reckon(read_log(sealed.entries), sealed.files.__getitem__)


def stored(sealed: Sealed, folder: Path) -> EvidenceStore:
    store = EvidenceStore(folder)
    for data in sealed.files.values():
        store.put(data)
    return store


def test_windows_that_are_divided_among_processes_give_the_same_certificate(tmp_path: Path) -> None:
    world = gappy_world(random.Random(11), "late", "clock", "missing", people=12)
    sealed = world.sealed()
    log, read = read_log(sealed.entries), stored(sealed, tmp_path).read
    told: list[tuple[int, int]] = []
    certificates = []
    for processes in (1, 2):
        found = reckon(log, read, rebuild=True, processes=processes, progress=lambda *far: told.append(far))
        certificates.append(assemble(log, found, {}, ISSUED_AT, "test"))
        assert told[-1] == (len(log.leaves), len(log.leaves))
        assert told == sorted(told)
        told.clear()
    assert certificates[0] == certificates[1]


def test_what_another_process_finds_wrong_is_said_here(tmp_path: Path) -> None:
    sealed = seal(fixed_world())
    log, store = read_log(sealed.entries), stored(sealed, tmp_path)
    digest, data = next(
        (digest, data) for digest, data in sealed.files.items()
        if data.startswith(MAGIC) and isinstance(decode(data), PresenceSegment)
    )  # fmt: skip
    store.path(digest).write_bytes(data[:-1] + bytes((data[-1] ^ 1,)))
    with pytest.raises(EvidenceError, match="was changed"):
        reckon(log, store.read, processes=2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_table_says_for_how_long_and_from_when_to_when_everybody_attended(seed: int) -> None:
    world = world_of(random.Random(seed))
    found = reckoned(seal(world))
    truth: dict[tuple[str, int, int], list[int]] = defaultdict(list)
    for person, window, session, channel in world.net():
        truth[person, session, 1 if channel == "online" else 2].append(window)
    rows = [row for part in attendance_table(found) for row in part.tolist()]
    said = {(world.person_of_seat[seat], session, channel): rest for seat, session, channel, *rest in rows}
    assert len(said) == len(rows)
    scheduled = {session.number: world.event.session_windows(session) for session in world.event.sessions}
    assert said == {
        (person, session, channel): [
            len(windows), sum(window in scheduled[session] for window in windows), min(windows), max(windows)
        ]
        for (person, session, channel), windows in truth.items()
    }  # fmt: skip
    assert all(part.dtype == ROW and (part["seat"][1:] > part["seat"][:-1]).all() for part in attendance_table(found))
