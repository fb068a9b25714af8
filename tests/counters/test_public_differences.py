"""A number that differs from the public leaves, without the evidence: passed only for a reason that the log shows."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from counters import canonical_json
from counters.event import Counting, Event
from counters.event_rules import rule_of
from counters.ledger.reader import LogReader
from counters.log_entries import read_log
from counters.measures import Cell
from counters.public_numbers import PublicNumbers
from counters.rule_ids import KNOWN_RULES
from counters.verify import Verdict
from tests.counters.forgeries import ADDED_UP, FORGERIES
from tests.counters.published import Files, detail, plain_world, publish, results, signed_anew, two_namespaces
from tests.counters.synthetic import SIGNER, START, World, world_of
from tests.counters.test_window_leaf import excluded_so_far

ALIASES = 11  # seats of attendees with several, in the plain world
VIEWS: Mapping[str, str] = {}
ONLINE = {"channel": "online"}


def row(said: dict[str, Any], rule: str, scope: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in said["numbers"] if (row["rule"], row["scope"]) == (rule, scope))
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Nothing came late, nobody is excluded, some attendees have several seats."""
    files = publish(plain_world(), tmp_path_factory.mktemp("plain"))
    assert json.loads(files.certificate)["aliases"]["count"] == ALIASES
    return files


def lied(files: Files, folder: Path, lie: Callable[[dict[str, Any]], object]) -> tuple[bool | None, str]:
    """Return what is found without evidence when the operator signs a lie: whether it passes, and in which words."""
    said = json.loads(files.certificate)
    lie(said)
    report = signed_anew(files, folder, canonical_json.encode(said)).report(evidence_dir=None)
    assert {check.name for check in report.failed} <= {"public numbers", "members"}
    return results(report)["public numbers"], detail(report, "public numbers")


def add(rule: str, scope: Mapping[str, str], more: float) -> Callable[[dict[str, Any]], object]:
    def lie(said: dict[str, Any]) -> None:
        number = row(said, rule, scope)
        number.update(value=number["value"] + more, checkable_by="evidence")

    return lie


PEAK, AVERAGE, HOURS = "peak-concurrent-attendees", "average-minute-audience", "hours-viewed"


@pytest.mark.parametrize(
    ("rule", "scope", "more"),
    [
        ("views", VIEWS, 1),
        ("views", {"session": "s1"}, 1),
        (PEAK, ONLINE, 1 + ALIASES),
        (AVERAGE, ONLINE, 100.0),
        (HOURS, ONLINE, 9.0),
    ],
)
def test_more_than_the_leaves_say_is_refused_where_nothing_in_the_log_can_make_it_more(
    plain: Files, tmp_path: Path, rule: str, scope: Mapping[str, str], more: float
) -> None:
    passed, said = lied(plain, tmp_path, add(rule, scope, more))
    assert passed is False
    assert rule in said
    assert "nothing in the log explains it" in said


def test_an_attendee_with_several_seats_explains_fewer_people_and_a_little_more_time(
    plain: Files, tmp_path: Path
) -> None:
    fewer = lied(plain, tmp_path / "fewer", add(PEAK, ONLINE, -1))
    assert fewer[0] is True
    assert f"{PEAK} (channel online)" in fewer[1]
    assert "several seats of one attendee" in fewer[1]
    assert lied(plain, tmp_path / "more", add(AVERAGE, ONLINE, 0.01))[0] is True
    assert lied(plain, tmp_path / "views", add("views", VIEWS, -1))[0] is True, "a view may stand in two journals"


def test_fewer_people_than_the_second_seats_can_explain_are_refused(plain: Files, tmp_path: Path) -> None:
    said = json.loads(plain.certificate)
    peak = row(said, PEAK, ONLINE)["value"]

    def one_seat(said: dict[str, Any]) -> None:
        said["aliases"]["count"] = 1
        row(said, PEAK, ONLINE).update(value=peak - 2, checkable_by="evidence")

    assert lied(plain, tmp_path, one_seat)[0] is False


def test_without_a_second_seat_nothing_may_differ(plain: Files, tmp_path: Path) -> None:
    for number, rule in enumerate((PEAK, AVERAGE)):

        def lie(said: dict[str, Any], rule: str = rule) -> None:
            said["aliases"]["count"] = 0
            add(rule, ONLINE, -0.01 if rule == AVERAGE else -1)(said)

        assert lied(plain, tmp_path / f"{number}", lie)[0] is False


def test_late_evidence_explains_a_number_of_its_day_and_of_no_other(tmp_path: Path) -> None:
    world = plain_world()
    late = min(world.segments())
    files = publish(world, tmp_path / "late", late=frozenset((late,)))
    days = sorted({world.event.day(window) for window in world.segments()})
    assert len(days) == 2
    assert world.event.day(late) == days[0]
    for number, (day, passes) in enumerate(zip(days, (True, False), strict=True)):
        passed, said = lied(files, tmp_path / f"{number}", add("views", {"day": day}, 5))
        assert passed is passes, said
        assert not passes or "late evidence" in said


def test_an_excluded_category_makes_nothing_more_where_nobody_has_two_seats(tmp_path: Path) -> None:
    world = plain_world()
    world.event = replace(world.event, counting=Counting(KNOWN_RULES, ("staff",), 1))

    def lie(said: dict[str, Any]) -> None:
        said["aliases"]["count"] = 0
        add("views", VIEWS, 40_000_000)(said)

    passed, said = lied(publish(world, tmp_path / "excluding"), tmp_path / "lie", lie)
    assert passed is False
    assert "nothing in the log explains it" in said


def test_an_excluded_category_explains_a_difference_that_only_evidence_can_judge(tmp_path: Path) -> None:
    world = plain_world()
    world.event = replace(world.event, counting=Counting(KNOWN_RULES, ("staff",), 1))
    files = publish(world, tmp_path / "excluding")
    passed, said = lied(files, tmp_path / "lie", add("views", VIEWS, 1))
    assert passed is True
    assert "excluded category" in said


@pytest.mark.parametrize(("rule", "more"), [(AVERAGE, 100.0), (HOURS, 9.0), (PEAK, 1 + 2 * ALIASES)])
@pytest.mark.parametrize(("aliases", "category"), [(ALIASES, "staff"), (40_000_000, "caterers")])
def test_nor_does_it_make_more_people_or_time_than_seats_and_sketches_allow(
    tmp_path: Path, rule: str, more: float, aliases: int, category: str
) -> None:
    world = plain_world()
    world.event = replace(world.event, counting=Counting(KNOWN_RULES, (category,), 1))

    def lie(said: dict[str, Any]) -> None:
        said["aliases"]["count"] = aliases
        add(rule, ONLINE, more)(said)

    passed, said = lied(publish(world, tmp_path / "excluding"), tmp_path / "lie", lie)
    assert passed is False, said


def excluding(below: int = 1) -> World:
    """Return the plain world, of which staff does not count; its joins are of both days, one every 17 seconds."""
    world = plain_world()
    world.joins = [replace(join, joined_at_ms=(START + 17 * at) * 1000) for at, join in enumerate(world.joins)]
    world.event = replace(world.event, counting=Counting(KNOWN_RULES, ("staff",), below))
    return world


@pytest.fixture(scope="module")
def staffed(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Staff opened views, of which leaves say how many they left out."""
    return publish(excluding(), tmp_path_factory.mktemp("staffed"))


@pytest.mark.parametrize("scope", [VIEWS, {"session": "s1"}, {"day": "2023-11-19"}, {"day": "2023-11-20"}])
def test_no_more_views_are_certified_than_leaves_counted_and_left_out(
    staffed: Files, tmp_path: Path, scope: Mapping[str, str]
) -> None:
    log = read_log(list(LogReader(staffed.log_dir, SIGNER.verifier).entries()))
    session = log.event.session(scope["session"]) if "session" in scope else None
    public, cell = PublicNumbers(log), Cell(session.number if session else None, scope.get("day"))
    leaves = public.measure(rule_of(log.event, "views"), cell)
    most = public.most_views(cell)
    assert leaves is not None
    assert most is not None
    assert most - leaves.value == left_out_of(excluding(), log.event, scope)
    assert most > leaves.value
    for number, (views, passes) in enumerate(((most, True), (most + 1, False), (40_000_000, False))):

        def lie(said: dict[str, Any], views: int = views) -> None:
            row(said, "views", scope).update(value=views, checkable_by="evidence")

        passed, said = lied(staffed, tmp_path / f"{number}", lie)
        assert passed is passes, said
        assert "NOT BOUNDED" not in said


def left_out_of(world: World, event: Event, scope: Mapping[str, str]) -> int:
    """Return how many views of a scope seats opened that were known to be staff's by the end of that minute."""
    out, excluded, found = set[int](), excluded_so_far(world), 0
    for window in sorted(world.segments()):
        out = excluded.get(window, out)
        found += len({(join.session, join.view) for join in world.joins
                      if join.view and join.seat in out and join.joined_at_ms // 60_000 * 60 == window
                      and scope.get("session", f"s{join.session}") == f"s{join.session}"
                      and scope.get("day", event.day(window)) == event.day(window)})  # fmt: skip
    return found


def test_a_threshold_lets_one_step_of_views_more_pass_and_no_other(tmp_path: Path) -> None:
    files = publish(excluding(below=2), tmp_path / "few")
    log = read_log(list(LogReader(files.log_dir, SIGNER.verifier).entries()))
    most = PublicNumbers(log).most_views(Cell())
    counts = [leaf.totals.get("", {"views": 0})["views"] for leaf in log.windows.values()]
    if None in counts:
        assert most is None
    else:
        assert most is not None
        assert 0 <= most - sum(counts) - left_out_of(excluding(), log.event, {}) <= 2 * len(log.event.sessions)


def test_leaves_of_version_1_bound_no_views_and_newer_ones_those_before_them_too(tmp_path: Path) -> None:
    lie = add("views", VIEWS, 40_000_000)
    windows = sorted(excluding().segments())
    for number, (since, passes) in enumerate(((windows[3], False), (windows[-1] + 9_999_960, True))):
        files = publish(excluding(), tmp_path / f"of-{number}", leaves_of_version_2_from=since)
        assert files.report().verdict is Verdict.HOLDS
        passed, said = lied(files, tmp_path / f"{number}", lie)
        assert passed is passes
        assert ("NOT BOUNDED BY THE LEAVES" in said) is passes


def test_what_the_leaves_do_not_bound_is_named(plain: Files, tmp_path: Path) -> None:
    files = publish(excluding(), tmp_path / "excluding", leaves_of_version_2_from=2**40)
    passed, said = lied(files, tmp_path / "lie", add("views", VIEWS, 40_000_000))
    assert passed is True
    assert "NOT BOUNDED BY THE LEAVES, only the evidence shows them: views (whole event)" in said
    passed, said = lied(plain, tmp_path / "other", add("unique-attendees", {"country": "FR"}, 1))
    assert passed is True
    assert "no leaf speaks, only the evidence shows them" in said
    assert "NOT BOUNDED" not in said


HIDDEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "an event-wide number": lambda said: row(said, "unique-attendees", {}).update(value=None, suppressed=True),
    "a session's views": lambda said: row(said, "views", {"session": "s1"}).update(value=None, suppressed=True),
    "behind an interval": lambda said: row(said, "unique-attendees", {}).update(value=None, bounds=[1, 40_000_000]),
}


@pytest.mark.parametrize("what", HIDDEN)
def test_a_number_that_must_be_printed_is_not_withheld(plain: Files, tmp_path: Path, what: str) -> None:
    def lie(said: dict[str, Any]) -> None:
        HIDDEN[what](said)
        for number in said["numbers"]:
            if number["value"] is None:
                number["checkable_by"] = "evidence"
                number.pop("at", None)
            if "suppressed" in number:
                number.pop("bounds", None)

    passed, said = lied(plain, tmp_path, lie)
    assert passed is False
    assert "withheld" in said or "interval" in said


# What a certificate prints beside its numbers.


def _curve(said: dict[str, Any], more: int | None) -> None:
    online = said["curve"]["online"]
    at = max(range(len(online)), key=lambda number: online[number] or 0)
    online[at] = None if more is None else online[at] + more


def _forget_a_minute(said: dict[str, Any]) -> None:
    for column in said["curve"].values():
        column.pop(2)


MEMBERS: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "more gross": ("do not add up", lambda said: said["waterfall"]["rows"][0].update(people=40_000_000)),
    "more views at both ends": (
        "leaves 40000000 views",
        lambda said: [row.update(views=40_000_000) for row in said["waterfall"]["rows"] if row["step"] != "minus"],
    ),
    "nobody refused": ("'refused' is not what", lambda said: said["waterfall"].update(refused=[])),
    "somebody revoked": ("'revoked' is not what", lambda said: said["waterfall"]["revoked"].update(attendees=7)),
    "longer minutes": ("is not one of its bands", lambda said: said["minutes"][0]["bands"][0].update(people=1_000)),
    "a higher curve": ("online in the window", lambda said: _curve(said, ALIASES)),
    "a much lower curve": ("online in the window", lambda said: _curve(said, -ALIASES - 1)),
    "a curve with a hole": ("the curve lacks the window", _forget_a_minute),
    "a torn curve": ("not of one length", lambda said: said["curve"]["onsite"].pop()),
    "a lower curve than the peak": ("largest number online", lambda said: _curve(said, -1)),
}


@pytest.mark.parametrize("what", MEMBERS)
def test_what_stands_beside_the_numbers_agrees_with_them_and_with_the_leaves(
    plain: Files, tmp_path: Path, what: str
) -> None:
    words, lie = MEMBERS[what]
    said = json.loads(plain.certificate)
    lie(said)
    report = signed_anew(plain, tmp_path, canonical_json.encode(said)).report(evidence_dir=None)
    assert [check.name for check in report.failed] == ["members"]
    assert words in detail(report, "members"), detail(report, "members")


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The same of two namespaces."""
    return publish(two_namespaces(plain_world()), tmp_path_factory.mktemp("several"))


@pytest.mark.parametrize("what", [*FORGERIES, *ADDED_UP])
def test_what_only_a_forger_prints_beside_the_numbers_is_refused_by_the_log_alone(
    plain: Files, several: Files, tmp_path: Path, what: str
) -> None:
    files, (words, lie) = (plain, FORGERIES[what]) if what in FORGERIES else (several, ADDED_UP[what])
    said = json.loads(files.certificate)
    lie(said)
    report = signed_anew(files, tmp_path, canonical_json.encode(said)).report(evidence_dir=None)
    assert "members" in {check.name for check in report.failed}
    assert words in detail(report, "members"), detail(report, "members")


def test_what_the_log_cannot_show_beside_the_numbers_is_named(plain: Files, tmp_path: Path) -> None:
    """Who was in the foreground, within what leaves allow, they do not tell: nobody may take it for checked."""
    said = json.loads(plain.certificate)
    part = said["waterfall"]["flagged"][0]
    part["joins"] += 7
    report = signed_anew(plain, tmp_path, canonical_json.encode(said)).report(evidence_dir=None)
    assert results(report)["members"] is True
    assert "Only the evidence shows" in detail(report, "members")
    for what in (
        "how many joins are flagged",
        "foreground and the background",
        "the aliases",
        "what each gap may hide",
    ):
        assert what in detail(report, "members")


@pytest.mark.parametrize("seed", range(8))
def test_any_certificate_tells_one_story_without_its_evidence(tmp_path: Path, seed: int) -> None:
    world = world_of(random.Random(seed + 100))
    report = publish(world, tmp_path, late=frozenset(list(world.segments())[:: 1 + seed % 3])).report(evidence_dir=None)
    assert report.verdict is Verdict.HOLDS, report.failed
