"""Evidence of an event at any size: certified it says what the truth beside it says, whatever is counted."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from counters import hyperloglog
from load_tests.scale.comparing import compare
from load_tests.scale.crowd_in_windows import RankCounts
from load_tests.scale.generating import Place, generate
from load_tests.scale.people import People
from load_tests.scale.programme import Programme
from load_tests.scale.visits import stays_of, visits_of
from load_tests.sketching import places

SIZE = {"attendees": 8_000, "gateways": 3, "minutes": 16, "seed": 5}


@dataclass(frozen=True, slots=True)
class Ran:
    place: Place
    printed: list[str]

    @property
    def certificate(self) -> Path:
        return self.place.directory / "certificate" / "certificate.json"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The whole command, run once."""
    place = Place(tmp_path_factory.mktemp("scale") / "event")
    size = [word for name, value in SIZE.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "load_tests.scale", "run", "--data", str(place.directory), *size]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Ran(place, done.stdout.splitlines())


def test_every_stage_says_what_it_cost_and_the_certificate_holds(ran: Ran) -> None:
    stages = ["generate", "certify", "verify, the certificate alone", "verify, with all evidence"]
    assert [line.split(":")[0] for line in ran.printed if " CPU " in line] == stages
    assert next(line for line in ran.printed if "of the truth" in line).endswith(" 0 differ")


def test_its_certificate_says_what_the_truth_says(ran: Ran) -> None:
    compared = compare(ran.certificate, ran.place.truth)
    assert compared.wrong == ()
    assert compared.same > 500
    assert compared.withheld < compared.same


def test_a_certificate_that_is_wrong_by_one_is_found(ran: Ran, tmp_path: Path) -> None:
    truth = json.loads(ran.place.truth.read_bytes())
    row = next(row for row in truth["numbers"] if row["rule"] == "views" and row["scope"] == {"day": "2026-05-20"})
    row["value"] += 1
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (wrong,) = compare(ran.certificate, tmp_path / "truth.json").wrong
    assert "2026-05-20" in wrong


def test_it_has_what_makes_counting_hard(ran: Ran) -> None:
    document = json.loads(ran.certificate.read_bytes())
    assert document["event"]["format"] == "hybrid"
    assert document["aliases"]["count"] > 0
    assert document["exclusions"]["excluded"] > 0
    assert document["exclusions"]["guests"] > 0
    assert next(row for row in document["numbers"] if row["rule"] == "unique-attendees-both")["value"] > 0
    assert document["gaps"]["bounds"]["rows"] == []


def test_made_again_it_is_the_same(ran: Ran, tmp_path: Path) -> None:
    again = Place(tmp_path / "again")
    people = People.of(SIZE["attendees"], SIZE["gateways"], SIZE["seed"], Programme(SIZE["minutes"]))
    generate(again, people, 1)
    made = {path.name for path in again.evidence.iterdir()}
    assert made == {path.name for path in ran.place.evidence.iterdir()}


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
