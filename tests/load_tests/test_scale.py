"""Evidence of an event at any size: certified it says what the truth beside it says, whatever is counted."""

import json
from pathlib import Path

import numpy as np
import pytest

from counters import hyperloglog
from counters.event import load_event
from counters.verify import verify
from gateway.certify import certify_event
from load_tests.scale.comparing import differences
from load_tests.scale.crowd_in_windows import RankCounts
from load_tests.scale.generating import Place, generate
from load_tests.scale.people import People
from load_tests.scale.programme import Programme
from load_tests.scale.visits import stays_of, visits_of
from load_tests.sketching import places

PEOPLE = People.of(8_000, gateways=3, seed=5, programme=Programme(16))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("scale") / "event")
    generate(place, PEOPLE, 1)
    certify_event(load_event(place.event_file), place.data, certificate_of(place))
    return place


def certificate_of(place: Place) -> Path:
    return place.directory / "certificate.json"


def test_its_certificate_says_what_the_truth_says(place: Place) -> None:
    compared, wrong = differences(certificate_of(place), place.truth)
    assert wrong == []
    assert compared > 500


def test_a_certificate_that_is_wrong_by_one_is_found(place: Place, tmp_path: Path) -> None:
    truth = json.loads(place.truth.read_bytes())
    row = next(row for row in truth["numbers"] if row["rule"] == "views" and row["scope"] == {"day": "2026-05-20"})
    row["value"] += 1
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    _, wrong = differences(certificate_of(place), tmp_path / "truth.json")
    assert len(wrong) == 1
    assert "2026-05-20" in wrong[0]


def test_its_evidence_verifies(place: Place) -> None:
    certificate = certificate_of(place)
    report = verify(
        certificate.read_bytes(),
        certificate.with_suffix(".tlog-proof").read_bytes(),
        log_dir=place.data / "log",
        evidence_dir=place.evidence,
    )
    assert report.holds
    assert next(check for check in report.checks if check.name == "evidence").passed


def test_it_has_what_makes_counting_hard(place: Place) -> None:
    document = json.loads(certificate_of(place).read_bytes())
    assert document["event"]["format"] == "hybrid"
    assert document["aliases"]["count"] > 0
    assert document["exclusions"]["excluded"] > 0
    assert document["exclusions"]["guests"] > 0
    assert next(row for row in document["numbers"] if row["rule"] == "unique-attendees-both")["value"] > 0
    assert document["gaps"]["bounds"]["rows"] == []


def test_made_again_it_is_the_same(place: Place, tmp_path: Path) -> None:
    again = Place(tmp_path / "again")
    generate(again, PEOPLE, 1)
    made = {path.name for path in again.evidence.iterdir()}
    assert made == {path.name for path in place.evidence.iterdir()}


def test_nobody_is_in_one_session_twice_in_a_window_nor_in_windows_that_meet() -> None:
    people = People.of(100_000, gateways=2, seed=1)
    visits = visits_of(people, np.arange(50_000, 60_000))
    stays = stays_of(people, visits)
    assert (stays.end >= stays.start).all()
    assert stays.end.max() < people.programme.windows
    rooms = visits["person"].astype(np.int64)[stays.visit] * 100 + visits["session"][stays.visit]
    order = np.lexsort((stays.start, rooms))
    same = np.diff(rooms[order]) == 0
    between = stays.start[order][1:] - stays.end[order][:-1]
    assert (between[same] >= 2).all()
    assert len(visits) > 20_000


def test_a_sketch_that_people_come_to_and_leave_is_that_of_those_who_stayed() -> None:
    words = np.random.default_rng(3).integers(0, 1 << 64, (3_000, 2), np.uint64)
    place, rank = places(words)
    register = place & hyperloglog.REGISTER_MASK
    counts = RankCounts()
    counts.change(register, rank, 1)
    counts.change(register[:2_000], rank[:2_000], -1)
    expected = hyperloglog.empty()
    np.maximum.at(expected, register[2_000:], rank[2_000:])
    assert np.array_equal(counts.registers(), expected)
