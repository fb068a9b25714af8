"""Check-in: every scan of a batch has its outcome, and every scan that was read is in the journal, refused or not."""

import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counters.journal import Direction, Join, JoinKind, Scan
from deploy.embedded_redis import EmbeddedRedis, Role, ServerProgram
from gateway.checkin import BATCH_LIMIT, FUTURE_S, LIVE_S, parse_batch
from gateway.problems import Refused
from tests.gateway.serving import NOW, Answer, Serving, serving

Mint = Callable[..., str]
ZONE = timezone(timedelta(hours=8))


@pytest.fixture(scope="module")
def served(
    event_file: Path, redis_program: ServerProgram, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("checkin")
    with (
        EmbeddedRedis(folder / "redis", Role.REGISTRY, redis_program) as redis,
        serving(event_file, folder, registry_url=redis.url) as worker,
    ):
        yield worker


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, ZONE).isoformat()


def scan(badge: str, **fields: Any) -> dict[str, Any]:
    plain = {"nonce": "n-1", "badge": badge, "gate": "hall-a", "direction": "in", "scanned_at": iso(NOW)}
    return plain | fields


def check_in(served: Serving, document: Any, key: str | None = None, event: str = "expo") -> Answer:
    headers = {"Content-Type": "application/json"}
    if key != "":
        headers["Authorization"] = f"Bearer {key or served.secrets.scanner_key}"
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return served.ask("POST", f"/v1/events/{event}/checkins", body, headers)


def outcomes(answer: Answer) -> list[str]:
    assert answer.status == 200, answer
    return [outcome.get("reason", outcome["outcome"]) for outcome in answer.json["outcomes"]]


def journaled(served: Serving, nonce: str) -> list[Scan]:
    return [record for record in served.journal() if isinstance(record, Scan) and record.nonce == nonce]


def test_an_accepted_scan_is_journaled_with_its_attendee(served: Serving, mint: Mint) -> None:
    before = len(served.journal())
    badge = mint("alice", now=NOW, claims={"country": "JP"})
    answer = check_in(served, {"scans": [scan(badge, nonce="a1")]})
    assert answer.json == {"outcomes": [{"nonce": "a1", "outcome": "accepted"}]}
    join, scanned = served.journal()[before:]
    assert isinstance(join, Join)
    assert isinstance(scanned, Scan)
    assert (join.kind, join.view, join.session, join.country) == (JoinKind.BADGE, 0, 1, "JP")
    assert scanned == Scan(
        seat=join.seat, session=1, direction=Direction.IN, forced=False, scanned_at_ms=int(NOW * 1000),
        received_at_ms=int(NOW * 1000), gate="hall-a", nonce="a1", refusal="",
    )  # fmt: skip


def test_a_badge_and_a_player_of_one_attendee_share_the_seat(served: Serving, mint: Mint) -> None:
    token = served.join(mint("bob", now=NOW)).json["token"]
    check_in(served, {"scans": [scan(mint("bob", now=NOW), nonce="b1")]})
    last = served.journal()[-1]
    assert isinstance(last, Scan)
    assert last.seat == served.keys.open(token.encode()).seat


def test_each_scan_of_a_batch_has_its_own_outcome_and_its_own_cell(served: Serving, mint: Mint) -> None:
    good = mint("carol", now=NOW)
    scans = {
        "accepted": scan(good, nonce="c1"),
        "gate_unknown": scan(good, nonce="c2", gate="hall-z"),
        "scan_in_future": scan(good, nonce="c3", scanned_at=iso(NOW + FUTURE_S + 1)),
        "scan_too_old": scan(good, nonce="c4", scanned_at=iso(NOW - LIVE_S - 1)),
        "ticket_malformed": scan("no badge", nonce="c5"),
        "ticket_expired": scan(mint("carol", now=NOW - 9000, lifetime_s=60), nonce="c6"),
        "ticket_audience": scan(mint("carol", now=NOW, claims={"aud": "fair"}), nonce="c7"),
    }
    counts, journal = served.counts(), len(served.journal())
    answer = check_in(served, {"scans": list(scans.values())})
    assert outcomes(answer) == list(scans)
    assert all(outcome["detail"] for outcome in answer.json["outcomes"] if outcome["outcome"] == "refused")
    grown = {n: count - counts.get(n, 0) for n, count in served.counts().items() if count != counts.get(n, 0)}
    assert grown == {"checkin.accepted": 1} | {f"refused.checkin.{reason}": 1 for reason in scans if "_" in reason}
    journaled = [record for record in served.journal()[journal:] if isinstance(record, Scan)]
    assert [record.refusal for record in journaled] == ["", *list(scans)[1:]]
    assert all(record.seat == 0 for record in journaled[1:])
    assert len(served.journal()) - journal == len(scans) + 1  # one badge joined, the refused ones did not


def test_the_edges_of_a_scanners_clock(served: Serving, mint: Mint) -> None:
    badge = mint("dave", now=NOW)
    times = [NOW + FUTURE_S, NOW + FUTURE_S + 1, NOW - LIVE_S, NOW - LIVE_S - 1]
    batch = [scan(badge, nonce=f"d{i}", scanned_at=iso(at)) for i, at in enumerate(times)]
    assert outcomes(check_in(served, {"scans": batch})) == ["accepted", "scan_in_future", "accepted", "scan_too_old"]


def test_a_scan_made_offline_is_taken_with_force_and_says_so(served: Serving, mint: Mint) -> None:
    old = scan(mint("erin", now=NOW), nonce="e1", scanned_at=iso(NOW - 6 * 3600), force=True)
    assert outcomes(check_in(served, {"scans": [old]})) == ["accepted"]
    last = served.journal()[-1]
    assert isinstance(last, Scan)
    assert (last.forced, last.scanned_at_ms, last.session) == (True, (NOW - 6 * 3600) * 1000, 0)
    future = scan(mint("erin", now=NOW), nonce="e2", scanned_at=iso(NOW + 3600), force=True)
    assert outcomes(check_in(served, {"scans": [future]})) == ["scan_in_future"]


def test_a_scan_from_before_the_event_is_refused_even_with_force_and_a_badge_is_dated_by_the_server(
    served: Serving, mint: Mint
) -> None:
    ancient = scan(mint("ada", now=NOW), nonce="ancient", scanned_at="1970-01-02T00:00:00+00:00", force=True)
    assert outcomes(check_in(served, {"scans": [ancient]})) == ["scan_too_old"]
    old = scan(mint("ada", now=NOW), nonce="ancient too", scanned_at=iso(NOW - 6 * 3600), force=True)
    assert outcomes(check_in(served, {"scans": [old]})) == ["accepted"]
    join, _ = served.journal()[-2:]
    assert isinstance(join, Join)
    assert join.joined_at_ms == int(NOW * 1000)


def test_after_the_events_late_until_nothing_is_taken(event_file: Path, tmp_path: Path, mint: Mint) -> None:
    end = datetime.fromisoformat("2023-11-23T00:00:00+08:00").timestamp()
    with serving(event_file, tmp_path, now=end + 1) as served:
        late = scan(mint("frank", now=end), scanned_at=iso(end - 3600), force=True)
        assert outcomes(check_in(served, {"scans": [late]})) == ["scan_too_old"]


def test_a_scan_sent_again_is_answered_the_same_and_keeps_its_seat(served: Serving, mint: Mint) -> None:
    batch = {"scans": [scan(mint("grace", now=NOW), nonce="g1")]}
    first, again = check_in(served, batch), check_in(served, batch)
    assert first.json == again.json
    assert len(journaled(served, "g1")) == 1


def test_a_scan_sent_again_too_late_for_a_new_one_is_still_the_same(
    event_file: Path, tmp_path: Path, redis: EmbeddedRedis, mint: Mint
) -> None:
    batch = {"scans": [scan(mint("grace", now=NOW), nonce="g2")]}
    with serving(event_file, tmp_path, registry_url=redis.url) as served:
        assert outcomes(check_in(served, batch)) == ["accepted"]
        served.clock.jump(NOW + LIVE_S + 60)
        assert outcomes(check_in(served, batch)) == ["accepted"]


def test_another_badge_or_direction_with_the_nonce_of_an_accepted_scan_is_refused(served: Serving, mint: Mint) -> None:
    first = scan(mint("grace", now=NOW), nonce="g3")
    assert outcomes(check_in(served, {"scans": [first]})) == ["accepted"]
    another, out = scan(mint("heidi", now=NOW), nonce="g3"), first | {"direction": "out"}
    assert outcomes(check_in(served, {"scans": [another, out]})) == ["nonce_taken", "nonce_taken"]
    assert [record.refusal for record in journaled(served, "g3")] == ["", "nonce_taken", "nonce_taken"]
    elsewhere = another | {"gate": "hall-b"}
    assert outcomes(check_in(served, {"scans": [elsewhere]})) == ["accepted"]


def test_a_refused_scan_may_be_mended_and_sent_again(served: Serving, mint: Mint) -> None:
    assert outcomes(check_in(served, {"scans": [scan("torn", nonce="g4")]})) == ["ticket_malformed"]
    assert outcomes(check_in(served, {"scans": [scan(mint("ivan", now=NOW), nonce="g4")]})) == ["accepted"]


def test_without_the_registry_a_scan_sent_again_is_journaled_twice_and_keeps_its_answer(
    event_file: Path, tmp_path: Path, mint: Mint
) -> None:
    batch = {"scans": [scan(mint("grace", now=NOW), nonce="g5")]}
    with serving(event_file, tmp_path) as served:
        assert [outcomes(check_in(served, batch)) for _ in range(2)] == [["accepted"], ["accepted"]]
        assert len(journaled(served, "g5")) == 2


# What is no batch.


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"scans": [{"nonce": "\\ud800"}]}', "not JSON"),
        ([], "scans"),
        ({}, "scans"),
        ({"scans": {}}, "scans"),
        ({"scans": []}, "at least one"),
        ({"scans": [1]}, "scans[0]: is not an object"),
        ({"scans": [{}]}, "scans[0]"),
        ({"scans": [scan("b"), scan("b", nonce="")]}, "scans[1]"),
        ({"scans": [scan("b", nonce=7)]}, "must be texts"),
        ({"scans": [scan("b", nonce="é" * 65)]}, "128 bytes"),
        ({"scans": [scan("b", gate="g" * 129)]}, "128 bytes"),
        ({"scans": [scan("b", direction="through")]}, "direction"),
        ({"scans": [scan("b", force="yes")]}, "force"),
        ({"scans": [scan("b", colour="red")]}, "colour"),
        ({"scans": [scan("b", scanned_at="2023-11-19T09:00:00")]}, "scanned_at"),
        ({"scans": [scan("b", scanned_at="yesterday")]}, "scanned_at"),
        ({"scans": [scan("b", scanned_at="0001-01-01T00:00:00+00:00")]}, "scanned_at"),
        ({"scans": [scan("b", scanned_at="1969-12-31T23:59:59+00:00", force=True)]}, "scanned_at"),
    ],
)
def test_a_body_that_is_no_batch_is_refused_whole_and_says_why(served: Serving, document: Any, words: str) -> None:
    counts, journal = served.counts(), len(served.journal())
    answer = check_in(served, document)
    assert (answer.status, answer.reason) == (400, "body_malformed")
    assert words in answer.json["detail"]
    assert len(served.journal()) == journal
    name = "refused.checkin.body_malformed"
    assert served.counts()[name] == counts.get(name, 0) + 1


def test_the_largest_batch_is_taken_and_one_more_scan_is_not(served: Serving, mint: Mint) -> None:
    badge = mint("heidi", now=NOW)
    batch = [scan(badge, nonce=f"h{i}") for i in range(BATCH_LIMIT + 1)]
    answer = check_in(served, {"scans": batch})
    assert (answer.status, answer.reason) == (413, "body_too_large")
    assert outcomes(check_in(served, {"scans": batch[:BATCH_LIMIT]})) == ["accepted"] * BATCH_LIMIT


def test_a_body_over_the_limit_is_413_and_counted(served: Serving) -> None:
    counts = served.counts()
    answer = check_in(served, b" " * (8 * 1024 * 1024 + 1))
    assert (answer.status, answer.reason) == (413, "body_too_large")
    name = "refused.checkin.body_too_large"
    assert served.counts()[name] == counts.get(name, 0) + 1


@pytest.mark.parametrize(
    ("key", "event_id", "status", "reason"),
    [
        ("", "expo", 401, "key_missing"),
        ("scanner-0000", "expo", 403, "key_wrong"),
        ("é\xff", "expo", 403, "key_wrong"),
        (None, "fair", 404, "event_unknown"),
    ],
)
def test_only_the_events_scanners_check_in(
    served: Serving, mint: Mint, key: str | None, event_id: str, status: int, reason: str
) -> None:
    counts, journal = served.counts(), len(served.journal())
    answer = check_in(served, {"scans": [scan(mint("ivan", now=NOW))]}, key, event_id)
    assert (answer.status, answer.reason) == (status, reason)
    assert len(served.journal()) == journal
    assert served.counts()[f"refused.checkin.{reason}"] == counts.get(f"refused.checkin.{reason}", 0) + 1


def test_the_organisers_key_is_no_scanners_key(served: Serving, mint: Mint) -> None:
    answer = check_in(served, {"scans": [scan(mint("ivan", now=NOW))]}, served.secrets.organiser_key)
    assert (answer.status, answer.reason) == (403, "key_wrong")


# When something is away.


def test_scans_are_taken_while_redis_is_away(event_file: Path, tmp_path: Path, mint: Mint) -> None:
    with serving(event_file, tmp_path) as served:
        assert outcomes(check_in(served, {"scans": [scan(mint("judy", now=NOW))]})) == ["accepted"]
        assert served.counts()["registry.away"] == 1


def test_without_seats_the_batch_is_503_and_comes_again(event_file: Path, tmp_path: Path, mint: Mint) -> None:
    with serving(event_file, tmp_path, seats=False) as served:
        batch = {"scans": [scan("no badge", nonce="1"), scan(mint("kim", now=NOW), nonce="2")]}
        answer = check_in(served, batch)
        assert (answer.status, answer.reason) == (503, "seats_exhausted")
        assert "retry-after" in answer.headers
        served.call(lambda: served.worker.lease.add(1))
        assert outcomes(check_in(served, batch)) == ["ticket_malformed", "accepted"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["scans", "nonce", "badge", "gate", "direction", "scanned_at", "force", "x"]),
            inner,
            max_size=7,
        )
    ),
    max_leaves=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSON | st.fixed_dictionaries({"scans": st.lists(JSON, max_size=2)}))
def test_no_json_breaks_the_reader(document: Any) -> None:
    with contextlib.suppress(Refused):
        parse_batch(document)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    nonce=st.text(min_size=1, max_size=32).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text)),
    gate=st.sampled_from(["hall-a", "hall-b", "\x00", "門"]),
    scanned_at=st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30), timezones=st.just(ZONE)),  # noqa: DTZ001
    force=st.booleans(),
    badge=st.text(min_size=1, max_size=40).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text)),
)
def test_whatever_a_scanner_says_is_journaled(
    served: Serving, nonce: str, gate: str, scanned_at: datetime, force: bool, badge: str
) -> None:
    (outcome,) = outcomes(
        check_in(
            served,
            {"scans": [scan(badge, nonce=nonce, gate=gate, scanned_at=scanned_at.isoformat(), force=force)]},
        )
    )
    last = served.journal()[-1]
    assert isinstance(last, Scan)
    assert (last.nonce, last.gate, last.refusal) == (nonce, gate, outcome)
