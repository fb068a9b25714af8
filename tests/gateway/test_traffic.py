"""Traffic: whose address a join has, and which flags it gets; nobody is refused for any of it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from counters.invalid_traffic import Flags
from counters.journal import Join
from deploy.embedded_redis import EmbeddedRedis
from gateway import traffic as traffic_module
from gateway.cli import main
from gateway.networks import Networks, packed_address
from gateway.traffic import (
    ADDRESS_JOINS_A_MINUTE,
    SEAT_JOINS_A_MINUTE,
    SLOTS,
    Player,
    Rates,
    Traffic,
    agent_class,
    client_address,
    trusted_proxies,
)
from tests.gateway.serving import NOW, Serving, request_bytes, serving

Mint = Callable[..., str]
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36"
PROXIES = trusted_proxies("10.0.0.0/8, 2001:db8:1::/48")


def player(address: str = "203.0.113.9", agent: str = BROWSER, forwarded: str = "") -> Player:
    return Player(address, agent, "", forwarded)


def looking(networks: Networks | None = None) -> Traffic:
    return Traffic(b"key", networks or Networks(), PROXIES)


# Whose address.


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),  # nobody believes a player
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),  # what the player itself wrote stands before
        ("10.0.0.1", "1.2.3.4, 203.0.113.9, 10.9.9.9", "203.0.113.9"),  # two proxies in a row
        ("10.0.0.1", "10.0.0.7,10.0.0.8", "10.0.0.7"),  # everybody is a proxy: whom the first one names
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("2001:db8:1::1", "[2001:db8:2::9]:4711", "2001:db8:2::9"),
        ("::ffff:10.0.0.1", "2001:db8:2::9", "2001:db8:2::9"),
        ("10.0.0.1", "203.0.113.9, unknown", ""),  # what cannot be read is not passed over
        ("10.0.0.1", "203.0.113.9,", ""),
        ("", "203.0.113.9", ""),
    ],
)
def test_a_forwarded_address_is_believed_from_trusted_proxies_only(peer: str, forwarded: str, client: str) -> None:
    assert client_address(player(peer, forwarded=forwarded), PROXIES) == packed_address(client)


def test_without_trusted_proxies_nothing_forwarded_is_believed() -> None:
    assert client_address(player("10.0.0.1", forwarded="203.0.113.9"), trusted_proxies("")) == packed_address(
        "10.0.0.1"
    )


# Flags.


def test_an_ordinary_join_has_no_flag() -> None:
    seen = looking().see(player(), 7, NOW)
    assert (seen.network, seen.agent, seen.filters) == ("", "browser", 0)
    assert any(seen.address)


def test_a_datacentre_is_flagged_and_another_listed_network_is_only_named() -> None:
    networks = Networks([("203.0.113.0/24", "datacentre"), ("198.51.100.0/24", "university")])
    listed = looking(networks)
    assert listed.see(player(), 7, NOW).filters == Flags.DATACENTRE
    assert listed.see(player(), 7, NOW).network == "datacentre"
    university = listed.see(player("198.51.100.1"), 7, NOW)
    assert (university.network, university.filters) == ("university", 0)


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (BROWSER, "browser"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot"),
        ("Mozilla/5.0 AppleWebKit/537.36 HeadlessChrome/120.0 Safari/537.36", "bot"),
        ("SomeSpider/1.0", "bot"),
        ("Mozilla/5.0 (Linux; Android 10; CUBOT X30) AppleWebKit/537.36 Mobile Safari/537.36", "mobile"),
        ("Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0)", "tv"),
        ("AppleCoreMedia/1.0.0", "other"),
        ("", "other"),
    ],
)
def test_robots_say_so_themselves(agent: str, name: str) -> None:
    assert agent_class(agent) == name
    assert looking().see(player(agent=agent), 7, NOW).filters == (Flags.DECLARED_BOT if name == "bot" else 0)


def test_an_attendee_who_joins_more_often_than_a_person_can_is_flagged_until_the_minute_is_over() -> None:
    traffic = looking()
    flags = [traffic.see(player(), 7, NOW).filters for _ in range(SEAT_JOINS_A_MINUTE + 2)]
    assert flags == [0] * SEAT_JOINS_A_MINUTE + [Flags.IMPOSSIBLE_RATE] * 2
    assert traffic.see(player(), 8, NOW).filters == 0
    assert traffic.see(player(), 7, NOW + 60).filters == 0


def test_a_crowd_behind_one_prefix_is_flagged_but_not_behind_a_private_address() -> None:
    traffic = looking()
    public = [traffic.see(player("8.8.8.8"), seat, NOW).filters for seat in range(1, ADDRESS_JOINS_A_MINUTE + 3)]
    assert public == [0] * ADDRESS_JOINS_A_MINUTE + [Flags.CROWDED_ADDRESS] * 2
    private = [traffic.see(player("127.0.0.1"), seat, NOW).filters for seat in range(1, ADDRESS_JOINS_A_MINUTE + 3)]
    assert set(private) == {0}
    unknown = [traffic.see(player(""), seat, NOW).filters for seat in range(1, ADDRESS_JOINS_A_MINUTE + 3)]
    assert set(unknown) == {0}


def test_who_shares_a_place_in_the_table_with_somebody_is_never_flagged_for_it() -> None:
    rates = Rates(3)
    for _ in range(50):
        assert not rates.over(7, 1)
        assert not rates.over(7 + SLOTS, 1)
    assert [rates.over(7, 1) for _ in range(4)] == [False, False, False, True]
    held = Rates(1)
    for _ in range(70_000):
        held.over(7, 1)
    assert held.over(7, 1), "the count stops at its limit and does not begin anew"


# At the join.


def last_join(served: Serving) -> Join:
    join = served.journal()[-1]
    assert isinstance(join, Join)
    return join


@pytest.mark.parametrize("with_door", [True, False], ids=["door", "aiohttp"])
def test_a_join_is_let_in_and_has_its_flags_in_the_journal_whichever_way_it_came(
    event_file: Path, tmp_path: Path, redis: EmbeddedRedis, mint: Mint, with_door: bool
) -> None:
    networks = tmp_path / "networks.txt"
    networks.write_text("203.0.113.0/24\n", encoding="utf-8")
    with serving(event_file, tmp_path, with_door=with_door, registry_url=redis.url, networks_file=str(networks),
                 trusted_proxies="127.0.0.0/8") as served:  # fmt: skip

        def join(credential: str, session: str, **headers: str) -> Join:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            path = f"/v1/events/expo/sessions/{session}/join"
            (answer,) = served.raw(request_bytes("POST", path, b"", {"Authorization": f"Bearer {credential}"} | named))
            assert answer.status == 201
            join.token = answer.json["token"]  # type: ignore[attr-defined]
            return last_join(served)

        ticket = mint("alice", now=NOW)
        flagged = join(ticket, "opening", X_Forwarded_For="1.2.3.4, 203.0.113.9", User_Agent="Examplebot/1.0")
        assert flagged.filters == Flags.DATACENTRE | Flags.DECLARED_BOT
        assert (flagged.network, flagged.agent) == ("datacentre", "bot")
        other = join(join.token, "forum", x_forwarded_for="8.8.8.8", User_Agent=BROWSER)  # type: ignore[attr-defined]
        assert (other.filters, other.network, other.agent) == (0, "", "browser")
        assert other.address != flagged.address


def test_two_headers_of_one_name_are_one_list(
    event_file: Path, tmp_path: Path, redis: EmbeddedRedis, mint: Mint
) -> None:
    networks = tmp_path / "networks.txt"
    networks.write_text("203.0.113.0/24\n", encoding="utf-8")
    with serving(event_file, tmp_path, registry_url=redis.url, networks_file=str(networks),
                 trusted_proxies="127.0.0.0/8") as served:  # fmt: skip
        twice = {"Authorization": f"Bearer {mint('bob', now=NOW)}", "X-Forwarded-For": "203.0.113.9",
                 "x-forwarded-for": "127.0.0.9"}  # fmt: skip
        (answer,) = served.raw(request_bytes("POST", "/v1/events/expo/sessions/opening/join", b"", twice))
        assert answer.status == 201
        assert last_join(served).network == "datacentre"


# Starting.


def test_a_list_that_cannot_be_used_is_said_at_the_start(event_file: Path, tmp_path: Path) -> None:
    networks, secrets = tmp_path / "networks.txt", tmp_path / "secrets.json"
    networks.write_text("203.0.113.0/240\n", encoding="utf-8")
    secrets.write_text("{}", encoding="utf-8")
    base = ["gateway", str(event_file), "--redis", "redis://127.0.0.1:1", "--ledger", "http://127.0.0.1:1",
            "--secrets", str(secrets), "--spool", str(tmp_path / "spool")]  # fmt: skip
    said = CliRunner().invoke(main, ["up", str(event_file), "--data", str(tmp_path), "--networks", str(networks)])
    assert said.exit_code == 2
    assert "line 1: '203.0.113.0/240' is no network" in said.output
    said = CliRunner().invoke(main, ["up", str(event_file), "--data", str(tmp_path), "--trusted-proxies", "lb.example"])
    assert said.exit_code == 2
    assert "'lb.example' is no network" in said.output
    assert CliRunner().invoke(main, [*base, "--networks", str(tmp_path / "none")]).exit_code == 2


def test_a_worker_that_finds_the_list_broken_serves_without_it(
    event_file: Path, tmp_path: Path, redis: EmbeddedRedis, mint: Mint
) -> None:
    networks = tmp_path / "networks.txt"
    networks.write_text("half a li", encoding="utf-8")
    with serving(event_file, tmp_path, registry_url=redis.url, networks_file=str(networks)) as served:
        assert served.join(mint("alice", now=NOW)).status == 201


def test_the_limits_are_what_the_page_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "invalid-traffic.md").read_text(encoding="utf-8")
    assert f"more than {traffic_module.SEAT_JOINS_A_MINUTE} joins" in page
    assert f"more than {traffic_module.ADDRESS_JOINS_A_MINUTE:,} joins" in page
