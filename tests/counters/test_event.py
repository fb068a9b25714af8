"""The event: schedule and gates, times in its zone, and a canonical form that reads back to the same event."""

import json
import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey

from counters.event import Counting, Event, EventFileError, Issuer, Session, Simulation
from counters.event_values import ATTRIBUTES
from counters.rule_ids import KNOWN_RULES

EC = ECKey.generate_key("P-256", parameters={"kid": "ec"}).as_dict(private=False)
ED = OKPKey.generate_key("Ed25519").as_dict(private=False)
SHANGHAI = ZoneInfo("Asia/Shanghai")


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2023-11-{text}+08:00")


def unix(text: str) -> int:
    return int(at(text).timestamp())


OPENING = Session(1, "opening", "Opening", at("19T09:00:00"), at("19T10:30:00"), ("hall-a",))
FORUM = Session(2, "forum", "Forum", at("19T10:30:00"), at("19T12:00:00"), ("hall-a", "hall-b"))
TALK = Session(7, "talk", "Talk", at("19T14:00:30"), at("19T14:02:10"), ("hall-a",))
EVENT = Event(
    id="expo",
    name="Expo",
    organiser="",
    time_zone="Asia/Shanghai",
    late_until=at("21T00:00:00"),
    sessions=(OPENING, FORUM, TALK),
    issuers=(
        Issuer(
            id="tickets",
            issuer="https://tickets.example",
            audience="expo",
            namespace="tickets",
            subject_claim="sub",
            operated_by="Ticket Shop",
            algorithms=("ES256", "Ed25519"),
            attributes={"land": "country"},
            development=True,
            keys=(EC, ED),
        ),
    ),
    counting=Counting(("views",), ("staff",)),
)


def test_sessions_are_found_by_id_and_by_number() -> None:
    assert EVENT.session("forum") is FORUM
    assert EVENT.session("absent") is None
    assert EVENT.session_numbered(7) is TALK
    assert EVENT.session_numbered(3) is None


def test_times_are_printed_in_the_zone_of_the_event() -> None:
    assert EVENT.iso(unix("19T09:00:00")) == "2023-11-19T09:00:00+08:00"
    assert EVENT.iso(unix("19T09:00:00") + 0.9) == "2023-11-19T09:00:00+08:00"


def test_a_day_begins_at_midnight_in_the_zone_of_the_event() -> None:
    midnight = unix("20T00:00:00")
    assert (EVENT.day(midnight - 1), EVENT.day(midnight)) == ("2023-11-19", "2023-11-20")
    assert replace(EVENT, time_zone="UTC").day(midnight) == "2023-11-19"


def test_the_hour_that_comes_twice_in_autumn_has_two_offsets() -> None:
    event = replace(EVENT, time_zone="Europe/Paris")
    before = int(datetime(2023, 10, 29, 0, 30, tzinfo=UTC).timestamp())
    assert event.iso(before) == "2023-10-29T02:30:00+02:00"
    assert event.iso(before + 3600) == "2023-10-29T02:30:00+01:00"


def test_a_session_has_every_clock_minute_that_its_schedule_touches() -> None:
    assert list(EVENT.session_windows(TALK)) == [unix("19T14:00:00"), unix("19T14:01:00"), unix("19T14:02:00")]
    assert len(EVENT.session_windows(OPENING)) == 90
    assert EVENT.session_windows(OPENING)[-1] == unix("19T10:29:00")


def test_the_end_of_a_session_is_no_longer_part_of_it() -> None:
    assert EVENT.scheduled(unix("19T10:29:00")) == (OPENING,)
    assert EVENT.scheduled(unix("19T10:30:00")) == (FORUM,)
    assert EVENT.scheduled(unix("19T12:00:00")) == ()


def test_scheduled_windows_are_those_with_a_session_and_ascend() -> None:
    windows = EVENT.scheduled_windows()
    assert len(windows) == 90 + 90 + 3
    assert all(before < after for before, after in pairwise(windows))
    assert all(EVENT.scheduled(window) for window in windows)


def test_parallel_sessions_share_their_windows() -> None:
    parallel = replace(EVENT, sessions=(OPENING, replace(FORUM, starts_at=OPENING.starts_at, gates=())))
    assert len(parallel.scheduled_windows()) == 180
    assert len(parallel.scheduled(unix("19T09:30:00"))) == 2


@pytest.mark.parametrize(
    ("gate", "time", "entering", "leaving"),
    [
        ("hall-a", "19T07:59:59", None, None),  # more than an hour early
        ("hall-a", "19T08:00:00", "opening", None),
        ("hall-a", "19T09:00:00", "opening", "opening"),
        ("hall-a", "19T10:29:59", "opening", "opening"),
        ("hall-a", "19T10:30:00", "forum", "forum"),  # the session that is on, whichever way
        ("hall-b", "19T09:29:59", None, None),
        ("hall-b", "19T10:00:00", "forum", None),
        ("hall-a", "19T12:00:00", None, "forum"),  # people leave after the end
        ("hall-a", "19T13:00:00", None, "forum"),
        ("hall-a", "19T13:00:29", None, None),
        ("hall-a", "19T13:00:30", "talk", None),
        ("hall-a", "19T15:30:00", None, None),
        ("hall-c", "19T09:30:00", None, None),
    ],
)
def test_a_scan_counts_for_the_session_at_its_gate(
    gate: str, time: str, entering: str | None, leaving: str | None
) -> None:
    found = EVENT.session_at_gate(gate, unix(time)), EVENT.session_at_gate(gate, unix(time), leaving=True)
    assert tuple(session and session.id for session in found) == (entering, leaving)


def test_the_canonical_form_is_the_documented_json() -> None:
    canonical = json.loads(EVENT.canonical())
    assert rfc8785.dumps(canonical) == EVENT.canonical()
    assert canonical["sessions"][0] == {
        "number": 1,
        "id": "opening",
        "title": "Opening",
        "starts_at": "2023-11-19T09:00:00+08:00",
        "ends_at": "2023-11-19T10:30:00+08:00",
        "gates": ["hall-a"],
    }
    assert canonical["issuers"][0]["keys"] == [EC, ED]
    assert canonical["counting"] == {"rules": ["views"], "exclude_categories": ["staff"], "suppress_below": 10}
    assert canonical["simulation"] is None
    assert set(canonical) == {
        "id", "name", "organiser", "time_zone", "interval_s", "window_s", "late_until", "sessions", "issuers",
        "counting", "simulation",
    }  # fmt: skip


def test_the_offset_in_which_a_time_was_written_does_not_change_the_digest() -> None:
    utc = replace(OPENING, starts_at=OPENING.starts_at.astimezone(UTC))
    assert replace(EVENT, sessions=(utc, FORUM, TALK)).digest == EVENT.digest


@pytest.mark.parametrize(
    "change",
    [
        {"interval_s": 31},
        {"late_until": EVENT.late_until + timedelta(seconds=1)},
        {"sessions": (OPENING, FORUM)},
        {"counting": Counting(("views",), ("staff",), 9)},
        {"issuers": (replace(EVENT.issuers[0], keys=(EC,)),)},
        {"simulation": Simulation(at("19T08:00:00"))},
    ],
    ids=["interval", "late_until", "schedule", "threshold", "keys", "simulation"],
)
def test_whatever_matters_changes_the_digest(change: dict[str, Any]) -> None:
    assert replace(EVENT, **change).digest != EVENT.digest


def test_an_event_can_be_handed_to_another_process() -> None:
    received = pickle.loads(pickle.dumps(EVENT))  # noqa: S301 - our own bytes
    assert received == EVENT
    assert received.digest == EVENT.digest


IDS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12).filter(str.strip)
ZONES = st.sampled_from(["UTC", "Asia/Shanghai", "Europe/Paris", "America/St_Johns", "Pacific/Chatham"])
MOMENTS = st.integers(946_684_800, 4_000_000_000)  # unix s, from the year 2000 on
DAY_S = 86_400


@st.composite
def events(draw: st.DrawFn) -> Event:
    zone = ZoneInfo(draw(ZONES))
    numbers = sorted(draw(st.sets(st.integers(1, 65535), min_size=1, max_size=4)))
    names = draw(st.lists(IDS, min_size=len(numbers), max_size=len(numbers), unique=True))
    sessions = []
    for number, name in zip(numbers, names, strict=True):
        starts = draw(MOMENTS)
        ends = starts + draw(st.integers(1, DAY_S))
        starts_at, ends_at = datetime.fromtimestamp(starts, zone), datetime.fromtimestamp(ends, zone)
        # Gates of its own, as overlapping sessions need.
        gates = tuple(f"{gate}-{number}" for gate in draw(st.lists(IDS, max_size=2, unique=True)))
        sessions.append(Session(number, name, draw(TEXTS), starts_at, ends_at, gates))
    issuers = tuple(
        Issuer(
            id=name,
            issuer=f"https://{name}.example/{draw(TEXTS)}",
            audience=draw(TEXTS),
            namespace=draw(TEXTS),
            subject_claim=draw(TEXTS),
            operated_by=draw(TEXTS),
            algorithms=("Ed25519", "ES256"),
            attributes=dict(
                zip(draw(st.lists(TEXTS, max_size=3, unique=True)), draw(st.permutations(ATTRIBUTES)), strict=False)
            ),
            development=True,
            keys=tuple(draw(st.permutations([EC, ED]))[: draw(st.integers(1, 2))]),
        )
        for name in draw(st.lists(IDS, min_size=1, max_size=2, unique=True))
    )
    first = min(sessions, key=lambda session: session.starts_at).starts_at
    speeds = st.floats(0, 100_000) | st.just(0.0)
    return Event(
        id=draw(IDS),
        name=draw(TEXTS),
        organiser=draw(TEXTS | st.just("")),
        time_zone=zone.key,
        interval_s=draw(st.integers(5, 54)),
        late_until=max(session.ends_at for session in sessions) + timedelta(seconds=draw(st.integers(1, DAY_S))),
        sessions=tuple(sessions),
        issuers=issuers,
        counting=Counting(
            tuple(draw(st.permutations(KNOWN_RULES))[: draw(st.integers(1, 10))]),
            tuple(draw(st.lists(TEXTS, max_size=2, unique=True))),
            draw(st.integers(1, 1000)),
        ),
        simulation=draw(st.none() | st.builds(Simulation, st.just(first), speeds)),
    )


@given(events())
@settings(max_examples=60, deadline=None)
def test_the_canonical_form_reads_back_to_the_same_event(event: Event) -> None:
    read = Event.from_canonical(event.canonical())
    assert read == event
    assert read.digest == event.digest


@given(events(), st.integers(-2 * DAY_S, 2 * DAY_S))
@settings(max_examples=60, deadline=None)
def test_a_window_is_scheduled_exactly_if_a_second_of_it_is_in_a_session(event: Event, offset_s: int) -> None:
    session = event.sessions[0]
    window = (int(session.starts_at.timestamp()) + offset_s) // 60 * 60
    starts, ends = session.starts_at.timestamp(), session.ends_at.timestamp()
    assert (session in event.scheduled(window)) == any(starts <= window + second < ends for second in range(60))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


def refused(raw: bytes) -> str:
    with pytest.raises(EventFileError) as found:
        Event.from_canonical(raw)
    return str(found.value)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_is_no_event_is_one_named_error(raw: bytes) -> None:
    assert refused(raw)


PATHS = [
    *([member] for member in json.loads(EVENT.canonical())),
    *(["sessions", 0, member] for member in json.loads(EVENT.canonical())["sessions"][0]),
    *(["issuers", 0, member] for member in json.loads(EVENT.canonical())["issuers"][0]),
    *(["counting", member] for member in json.loads(EVENT.canonical())["counting"]),
    ["sessions", 0],
    ["issuers", 0, "keys", 0],
    ["issuers", 0, "keys", 1, "x"],
]


@given(st.sampled_from(PATHS), JSON)
def test_any_change_inside_gives_an_event_of_its_own_or_one_named_error(path: list[Any], value: object) -> None:
    canonical = json.loads(EVENT.canonical())
    table = canonical
    for step in path[:-1]:
        table = table[step]
    table[path[-1]] = value
    try:
        raw = rfc8785.dumps(canonical)
    except rfc8785.CanonicalizationError:
        return
    try:
        event = Event.from_canonical(raw)
    except EventFileError:
        return
    assert event.canonical() == raw


@pytest.mark.parametrize(
    ("raw", "wrong"),
    [
        (b"", "not JSON"),
        (b"[" * 50_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "session: there is none"),
        (b"{" + b" " * 60_000 + b"}", "more than 60000"),
        (json.dumps(json.loads(EVENT.canonical()), indent=1).encode(), "not in canonical form"),
        (EVENT.canonical().replace(b"10:30:00+08:00", b"02:30:00+00:00", 1), "not in canonical form"),
        (EVENT.canonical().replace(b'"id":"expo"', b'"id":"expo","id":"expo"'), "not in canonical form"),
        (EVENT.canonical().replace(b'"y":"', b'"d":"AA","y":"'), "private key"),
        (EVENT.canonical().replace(b"2023-11-21", b"2023-11-18"), "is not after the last session's end"),
        (EVENT.canonical().replace(b'"views"', b'"veiws"'), "Did you mean views?"),
        (EVENT.canonical().replace(b'"number":7', b'"number":2'), "session[3].number"),
    ],
)
def test_a_sealed_event_is_checked_like_a_file(raw: bytes, wrong: str) -> None:
    assert raw != EVENT.canonical()
    assert wrong in refused(raw)
