"""Join: a ticket or a viewing token opens a view that is on record before the player knows of it."""

import base64
import hashlib
import ipaddress
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters.attendee import SEATS_PER_BLOCK, pseudonym
from counters.event import load_event
from counters.journal import Join, JoinKind
from deploy.embedded_redis import EmbeddedRedis, Role, ServerProgram
from gateway.networks import packed_address
from gateway.traffic import address_digest
from gateway.viewing_token import LIFETIME_S, RENEWABLE_S, TokenKeys, ViewingToken
from tests.gateway.serving import NOW, Connection, Serving, request_bytes, serving

Mint = Callable[..., str]


@pytest.fixture(scope="module")
def served(
    event_file: Path, redis_program: ServerProgram, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("join")
    with (
        EmbeddedRedis(folder / "redis", Role.REGISTRY, redis_program) as redis,
        serving(event_file, folder, registry_url=redis.url) as worker,
    ):
        yield worker


def opened(served: Serving, token: str) -> ViewingToken:
    return served.keys.open(token.encode())


def with_part(ticket: str, part: int, **changes: object) -> str:
    """The ticket with another head or payload under the old signature."""
    parts = ticket.split(".")
    fields = json.loads(base64.urlsafe_b64decode(parts[part] + "=="))
    parts[part] = base64.urlsafe_b64encode(json.dumps(fields | changes).encode()).rstrip(b"=").decode()
    return ".".join(parts)


# A good ticket.


def test_a_ticket_opens_a_view_and_the_join_is_in_the_journal(served: Serving, mint: Mint) -> None:
    ticket = mint("alice", now=NOW, claims={"country": "FR", "category": "press"})
    before = len(served.journal())
    answer = served.join(ticket, query="?outlet=" + quote("Le Journal"))
    assert answer.status == 201
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["access-control-allow-origin"] == "*"
    granted = answer.json
    assert granted.keys() == {"token", "beat_url", "interval_s", "expires_at"}
    assert granted["beat_url"] == "http://gateway.test/v1/beat"
    assert granted["interval_s"] == 30
    assert granted["expires_at"] == served.event.iso(NOW + LIFETIME_S)
    token = opened(served, granted["token"])
    assert (token.session, token.expires_at) == (1, NOW + LIFETIME_S)
    (join,) = served.journal()[before:]
    assert isinstance(join, Join)
    assert join.pseudonym == pseudonym(served.secrets.pseudonym_key, "tickets", "alice")
    assert (join.seat, join.view, join.session, join.kind) == (token.seat, token.view_id, 1, JoinKind.TICKET)
    assert (join.country, join.category, join.outlet, join.issuer) == ("FR", "press", "Le Journal", "tickets")
    assert join.joined_at_ms == NOW * 1000
    assert any(join.address)
    assert any(join.token_digest)


def test_one_attendee_keeps_the_seat_on_every_device_and_session_and_gets_a_view_for_each(
    served: Serving, mint: Mint
) -> None:
    tokens = [
        opened(served, served.join(mint("bob", now=NOW), session).json["token"])
        for session in ("opening", "opening", "forum")
    ]
    assert len({token.seat for token in tokens}) == 1
    assert len({token.attendee for token in tokens}) == 1
    assert len({token.view_id for token in tokens}) == 3


def test_the_token_of_a_join_beats(served: Serving, mint: Mint) -> None:
    token = served.join(mint("carol", now=NOW), "forum").json["token"]
    records = len(served.records())
    assert served.ask("POST", "/v1/beat", token.encode()).status == 204
    (record,) = served.records()[records:]
    assert record == opened(served, token).seat | 2 << 32


@pytest.mark.parametrize("outlet", ["x" * 1000, "%00%0A", "%FF%FE", "%ED%A0%80", "日本" * 200, ""])
def test_an_outlet_that_is_no_name_turns_nobody_away(served: Serving, mint: Mint, outlet: str) -> None:
    answer = served.join(mint("dora", now=NOW), query="?outlet=" + (outlet if "%" in outlet else quote(outlet)))
    assert answer.status == 201
    join = served.journal()[-1]
    assert isinstance(join, Join)
    assert len(join.outlet) <= 64
    assert join.outlet.isprintable()


# Bad credentials.


def bad_tickets(mint: Mint) -> dict[str, tuple[str, int]]:
    """For each reason, a credential that is refused for it, and its status."""
    good = mint("mallory", now=NOW)
    head, payload, signature = good.split(".")
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return {
        "ticket_missing": ("", 401),
        "ticket_malformed": ("not.a-ticket", 401),
        "ticket_unknown_issuer": (mint("m", now=NOW, claims={"iss": "https://elsewhere.example"}), 401),
        "ticket_algorithm": (f"{none}.{payload}.", 401),
        "ticket_unknown_key": (with_part(good, 0, kid="another"), 401),
        "ticket_forged": (f"{head}.{payload}.{flipped}", 401),
        "ticket_audience": (mint("m", now=NOW, claims={"aud": "another event"}), 403),
        "ticket_expired": (mint("m", now=NOW - 7200, lifetime_s=3600), 401),
        "ticket_not_yet_valid": (mint("m", now=NOW, claims={"nbf": NOW + 600}), 401),
        "ticket_without_subject": (mint(" ", now=NOW), 401),
        "ticket_claims": (mint("m", now=NOW, claims={"exp": "tomorrow"}), 401),
        "token_malformed": ("x" * 64, 401),
    }


@pytest.mark.parametrize("reason", sorted(bad_tickets(lambda *_, **__: "e30.e30.c")))
def test_a_bad_ticket_has_one_reason_one_status_and_is_counted(served: Serving, mint: Mint, reason: str) -> None:
    credential, status = bad_tickets(mint)[reason]
    counts, journal = served.counts(), len(served.journal())
    answer = served.join(credential)
    assert (answer.status, answer.reason) == (status, reason)
    assert answer.headers["access-control-allow-origin"] == "*"
    grown = {name: count - counts.get(name, 0) for name, count in served.counts().items()}
    assert {name: count for name, count in grown.items() if count} == {f"refused.join.{reason}": 1}
    assert len(served.journal()) == journal


@pytest.mark.parametrize(
    ("event_id", "session", "reason"),
    [("fair", "opening", "event_unknown"), ("expo", "closing", "session_unknown"), ("expo", "%00", "session_unknown")],
)
def test_an_unknown_event_or_session_is_404(
    served: Serving, mint: Mint, event_id: str, session: str, reason: str
) -> None:
    counts = served.counts()
    answer = served.join(mint("alice", now=NOW), session, event_id)
    assert (answer.status, answer.reason) == (404, reason)
    assert served.counts()[f"refused.join.{reason}"] == counts.get(f"refused.join.{reason}", 0) + 1


@pytest.mark.parametrize(
    "header", ["Basic YTpi", "Bearer", "Bearer ", "bearer\t", "", "Bearer \xff" + "é" * 63, "Bearer " + "\xff" * 64]
)
def test_an_authorization_that_bears_nothing_usable_is_refused(served: Serving, header: str) -> None:
    connection = Connection(served.port)
    raw = request_bytes("POST", "/v1/events/expo/sessions/opening/join", b"", {"Authorization": header})
    connection.send(raw)
    (answer,) = connection.read_answers(1)
    connection.close()
    assert answer.status == 401
    assert answer.reason in {"ticket_missing", "ticket_malformed", "token_malformed"}


# A viewing token instead of a ticket.


def test_a_viewing_token_of_the_same_session_keeps_its_view_and_is_not_journaled(served: Serving, mint: Mint) -> None:
    first = served.join(mint("erin", now=NOW)).json["token"]
    journal = len(served.journal())
    again = served.join(first)
    assert again.status == 201
    assert opened(served, again.json["token"]).view_id == opened(served, first).view_id
    assert opened(served, again.json["token"]).view == opened(served, first).view
    assert len(served.journal()) == journal


def test_a_viewing_token_opens_a_view_of_another_session_without_redis(
    event_file: Path, redis: EmbeddedRedis, mint: Mint, tmp_path: Path
) -> None:
    with serving(event_file, tmp_path, registry_url=redis.url) as served:
        first = opened(served, served.join(mint("frank", now=NOW)).json["token"])
        redis.stop()
        answer = served.join(served.keys.seal(first), "forum")
        assert answer.status == 201
        second = opened(served, answer.json["token"])
        assert (second.seat, second.attendee, second.session) == (first.seat, first.attendee, 2)
        assert second.view_id != first.view_id
        join = served.journal()[-1]
        assert isinstance(join, Join)
        assert (join.kind, join.seat, join.session) == (JoinKind.VIEWING_TOKEN, first.seat, 2)
        assert join.pseudonym == bytes(16)
        assert "registry.away" not in served.counts()


def test_a_token_that_expired_up_to_a_day_ago_still_lets_its_viewer_join(served: Serving) -> None:
    for ago, status in ((1, 201), (RENEWABLE_S, 201), (RENEWABLE_S + 1, 410)):
        for session in ("opening", "forum"):
            answer = served.join(served.token(expires_at=NOW - ago), session)
            assert answer.status == status, (ago, session)
            if status == 201:
                assert opened(served, answer.json["token"]).expires_at == NOW + LIFETIME_S
            else:
                assert answer.reason == "token_expired"


def test_a_viewing_token_of_another_event_or_secret_opens_nothing(served: Serving) -> None:
    fields = ViewingToken(seat=7, session=1, attendee=1, view=1, view_id=1, expires_at=int(NOW) + 60)
    other_event = TokenKeys.derive(served.secrets, "fair").seal(fields)
    answer = served.join(other_event)
    assert (answer.status, answer.reason) == (410, "token_other_event")
    forged = served.token()
    forged = forged[:40] + ("A" if forged[40] != "A" else "B") + forged[41:]
    answer = served.join(forged)
    assert (answer.status, answer.reason) == (401, "token_forged")


def test_no_viewing_token_is_renewed_after_the_event(event_file: Path, tmp_path: Path) -> None:
    late_until = load_event(event_file).late_until.timestamp()
    with serving(event_file, tmp_path, now=late_until) as served:
        token = served.token(expires_at=late_until + 60)
        assert [served.join(token, session).status for session in ("opening", "forum")] == [201, 201]
        served.clock.jump(late_until + 1)
        for session in ("opening", "forum"):
            answer = served.join(token, session)
            assert (answer.status, answer.reason) == (410, "token_expired")


# Whom the organiser has barred.


def test_a_revoked_view_is_not_renewed_nor_switched_and_its_attendee_may_join_again(
    served: Serving, mint: Mint
) -> None:
    token = served.join(mint("kim", now=NOW)).json["token"]
    with revoked(served, opened(served, token).view_id):
        for session in ("opening", "forum"):
            answer = served.join(token, session)
            assert (answer.status, answer.reason) == (410, "token_revoked")
        again = served.join(mint("kim", now=NOW))
        assert again.status == 201
        assert served.join(again.json["token"], "forum").status == 201
    assert served.join(token).status == 201


def test_a_barred_attendee_joins_neither_by_ticket_nor_by_token_and_others_do(served: Serving, mint: Mint) -> None:
    token = served.join(mint("leo", now=NOW)).json["token"]
    with revoked(served, opened(served, token).seat):
        journal = len(served.journal())
        answers = [served.join(mint("leo", now=NOW), "forum"), served.join(token), served.join(token, "forum")]
        assert [(answer.status, answer.reason) for answer in answers] == [
            (403, "attendee_barred"), (410, "token_revoked"), (410, "token_revoked"),
        ]  # fmt: skip
        assert len(served.journal()) == journal
        assert served.join(mint("mia", now=NOW)).status == 201


@contextmanager
def revoked(served: Serving, *ids: int) -> Iterator[None]:
    served.worker.joins.revoked = frozenset(ids)
    yield
    served.worker.joins.revoked = frozenset()


# Where from.


@given(st.ip_addresses())
def test_an_address_is_digested_down_to_its_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    address = getattr(address, "ipv4_mapped", None) or address  # the same address in other clothes
    network = ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False)
    expected = hashlib.blake2b(network.network_address.packed, key=b"key", digest_size=8).digest()
    assert address_digest(b"key", packed_address(str(address))) == expected


def test_an_interface_makes_no_other_address_and_what_is_no_address_has_no_digest() -> None:
    scoped, plain = (address_digest(b"key", packed_address(text)) for text in ("fe80::1%eth0", "fe80::1"))
    assert scoped == plain != bytes(8)
    for text in ("", "unix:", "1.2.3", "1.2.3.4.5", "::1::", "\0", "\ud800", "1.2.3.4\0"):
        assert address_digest(b"key", packed_address(text)) == bytes(8), text


# When something is away or breaks.


@pytest.mark.parametrize("by_ticket", [True, False])
def test_a_join_that_breaks_is_answered_500_counted_and_logged(
    served: Serving, mint: Mint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, by_ticket: bool
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("broken")

    monkeypatch.setattr(served.worker.joins, "_open", broken)
    before = served.counts().get("refused.join.internal", 0)
    answer = served.join(mint("kim", now=NOW) if by_ticket else served.token(), "forum")
    assert (answer.status, answer.reason) == (500, "internal")
    assert served.counts()["refused.join.internal"] == before + 1
    assert "ZeroDivisionError" in caplog.text


def test_joins_go_on_while_redis_is_away(event_file: Path, redis: EmbeddedRedis, mint: Mint, tmp_path: Path) -> None:
    with serving(event_file, tmp_path, registry_url=redis.url) as served:
        known = opened(served, served.join(mint("grace", now=NOW)).json["token"]).seat
        redis.stop()
        answers = [served.join(mint("grace", now=NOW)), served.join(mint("heidi", now=NOW))]
        assert [answer.status for answer in answers] == [201, 201]
        seats = {opened(served, answer.json["token"]).seat for answer in answers}
        assert len(seats | {known}) == 3
        assert served.counts()["registry.away"] == 2
        # The second seat of the same person is in the journal under the same pseudonym, for the alias table.
        by_seat = {join.seat: join.pseudonym for join in served.journal() if isinstance(join, Join)}
        assert by_seat[known] in {by_seat[seat] for seat in seats}


def test_without_seats_a_join_is_503_with_retry_after_and_a_viewing_token_still_joins(
    event_file: Path, mint: Mint, tmp_path: Path
) -> None:
    with serving(event_file, tmp_path, seats=False) as served:
        answer = served.join(mint("ivan", now=NOW))
        assert (answer.status, answer.reason) == (503, "seats_exhausted")
        assert 2 <= int(answer.headers["retry-after"]) <= 8
        assert served.counts() == {"refused.join.seats_exhausted": 1}
        assert served.ask("GET", "/readyz").status == 503
        assert served.join(served.token(), "forum").status == 201
        served.call(lambda: served.worker.lease.add(1))
        assert opened(served, served.join(mint("ivan", now=NOW)).json["token"]).seat == SEATS_PER_BLOCK
        assert served.ask("GET", "/readyz").status == 200


@pytest.mark.parametrize(("drawn", "view_id"), [(0, 1 << 32), (-1, (1 << 64) - 1)])
def test_no_view_id_is_small_enough_to_be_a_seat(
    served: Serving, mint: Mint, monkeypatch: pytest.MonkeyPatch, drawn: int, view_id: int
) -> None:
    monkeypatch.setattr("secrets.randbelow", lambda limit: drawn % limit)
    assert opened(served, served.join(mint("judy", now=NOW)).json["token"]).view_id == view_id
