"""Heartbeats: recorded with their state and second, or refused for one reason that is counted."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counters.spool import FIRST_CHUNK_RECORDS
from gateway.heartbeats import CELLS, REFUSALS
from gateway.reasons import Reason
from tests.gateway.serving import NOW, Serving, request_bytes, serving


@pytest.fixture(scope="module")
def served(event_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(event_file, tmp_path_factory.mktemp("heartbeats")) as worker:
        yield worker


def take(served: Serving, body: bytes) -> Reason | None:
    return served.call(lambda: served.worker.heartbeats.beat(body))


@contextmanager
def a_disk_without_room() -> Iterator[None]:
    """No file of this process may grow beyond 64 KB: allocating a chunk fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_record_holds_seat_session_flag_and_bucket(event_file: Path, tmp_path: Path) -> None:
    with serving(event_file, tmp_path, now=NOW + 25) as served:
        assert take(served, served.token(seat=70_000, session=2).encode()) is None
        assert take(served, served.token(seat=2**31 - 1).encode() + b" b") is None
        assert served.records() == [2 << 56 | 2 << 32 | 70_000, 2 << 56 | 1 << 48 | 1 << 32 | 2**31 - 1]


def test_a_heartbeat_after_the_minute_goes_into_the_next_window(event_file: Path, tmp_path: Path) -> None:
    with serving(event_file, tmp_path) as served:
        token = served.token().encode()
        assert take(served, token) is None
        served.clock.jump(NOW + 60)
        assert take(served, token) is None
        assert served.worker.tally.window == NOW + 60
        assert len(served.records()) == 1


def test_a_token_lives_to_the_last_second_of_its_time(served: Serving) -> None:
    served.call(served.worker.heartbeats.tick)
    assert take(served, served.token(expires_at=NOW).encode()) is None
    assert take(served, served.token(expires_at=NOW - 1).encode()) is Reason.TOKEN_EXPIRED


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.TOKEN_MALFORMED),
        (b"{token}x", Reason.TOKEN_MALFORMED),
        (b"{token}\tp", Reason.TOKEN_MALFORMED),
        (b" {token}", Reason.TOKEN_MALFORMED),
        (b"{token}p ", Reason.TOKEN_MALFORMED),
        (b"{token} P", Reason.STATE_UNKNOWN),
        (b"{token} \x00", Reason.STATE_UNKNOWN),
    ],
)
def test_a_body_that_is_no_token_with_a_state_is_refused(served: Serving, body: bytes, reason: Reason) -> None:
    before = served.counts().get(f"refused.beat.{reason.label}", 0)
    assert take(served, body.replace(b"{token}", served.token().encode())) is reason
    assert served.counts()[f"refused.beat.{reason.label}"] == before + 1


def test_a_session_that_the_event_does_not_have_is_refused(served: Serving) -> None:
    assert take(served, served.token(session=9).encode()) is Reason.SESSION_UNKNOWN


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 63), character=st.sampled_from("ABCabc019-_=+/ .\x00\xff"))
def test_a_changed_token_records_nothing(served: Serving, place: int, character: str) -> None:
    token = served.token()
    changed = (token[:place] + character + token[place + 1 :]).encode("latin-1")
    records = len(served.records())
    reason = take(served, changed)
    assert (reason is None) == (changed == token.encode())
    assert len(served.records()) - records == (reason is None)


def test_every_refusal_has_its_cell() -> None:
    assert set(CELLS) >= {f"refused.beat.{reason.label}" for reason in REFUSALS}


def test_a_full_disk_is_answered_503_and_what_was_accepted_stays(event_file: Path, tmp_path: Path) -> None:
    with serving(event_file, tmp_path) as served:
        beat = served.worker.heartbeats.beat
        token = served.token().encode()
        served.call(lambda: [beat(token) for _ in range(FIRST_CHUNK_RECORDS)])
        with a_disk_without_room():
            assert take(served, token) is Reason.DISK_FULL
            (answer,) = served.raw(request_bytes("POST", "/v1/beat", token))
            assert (answer.status, answer.reason) == (503, "disk_full")
            assert 2 <= int(answer.headers["retry-after"]) <= 8
            assert served.ask("GET", "/readyz").status == 503
        assert len(served.records()) == FIRST_CHUNK_RECORDS
        served.call(served.worker.tally.advance)
        assert take(served, token) is None
        assert len(served.records()) == FIRST_CHUNK_RECORDS + 1
        counts = served.counts()
        assert (counts["beat.playing"], counts["refused.beat.disk_full"]) == (FIRST_CHUNK_RECORDS + 1, 2)


def test_a_revoked_seat_or_view_is_refused_and_another_is_not(served: Serving) -> None:
    beats = served.worker.heartbeats
    mine, other = (served.token(seat=seat, view_id=view).encode() for seat, view in ((5, 1 << 40), (6, 1 << 41)))
    try:
        for revoked in (5, 1 << 40):
            beats.revoked = frozenset({revoked})
            assert (take(served, mine), take(served, other)) == (Reason.TOKEN_REVOKED, None)
    finally:
        beats.revoked = frozenset()
    assert take(served, mine) is None
