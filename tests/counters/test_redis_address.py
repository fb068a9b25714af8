"""The forms of a Redis URL: what each means, and what is wrong with others."""

import asyncio

import pytest

from counters.redis_address import RedisAddress, open_link
from counters.redis_cluster import ClusterLink
from counters.redis_link import RedisLink, RestingLink
from counters.redis_sentinel import SentinelLink


class AwayError(Exception):
    """What failures are raised as here."""


@pytest.mark.parametrize(
    "url", ["redis://host", "redis://user:pw@host:1/2?socket_timeout=3", "rediss://host", "unix:///a/b.sock?db=3"]
)
def test_one_server_is_what_its_url_says_to_redis_py(url: str) -> None:
    assert RedisAddress.parse(url) == RedisAddress("single", (url,))


def test_sentinels_are_asked_with_their_own_password_and_the_master_with_its_own() -> None:
    address = RedisAddress.parse(
        "rediss+sentinel://me:s%40%2F@one,[::1]:5/main?db=2&sentinel_username=s&sentinel_password=%3A&ssl_ca_certs=/ca"
    )
    assert address.kind == "sentinel"
    assert address.service == "main"
    assert address.places == (
        "rediss://s:%3A@one:26379?ssl_ca_certs=%2Fca", "rediss://s:%3A@[::1]:5?ssl_ca_certs=%2Fca"
    )  # fmt: skip
    assert address.server("10.0.0.1", 7) == "rediss://me:s%40%2F@10.0.0.1:7?db=2&ssl_ca_certs=%2Fca"
    assert address.server("fe80::1", 7) == "rediss://me:s%40%2F@[fe80::1]:7?db=2&ssl_ca_certs=%2Fca"
    plain = RedisAddress.parse("redis+sentinel://one:1,two:2/main")
    assert plain.places == ("redis://one:1", "redis://two:2")
    assert plain.server("h", 3) == "redis://h:3"


def test_nodes_of_a_cluster_are_all_reached_the_same_way() -> None:
    address = RedisAddress.parse("redis+cluster://:pw@one,two:7001")
    assert address.places == ("redis://:pw@one:6379", "redis://:pw@two:7001")
    assert address.server("three", 7002) == "redis://:pw@three:7002"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "begins with"),
        ("redis:/host", "begins with"),
        ("http://host", "begins with"),
        ("redis+sentinel://host", "the service"),
        ("redis+sentinel://host/a/b", "the service"),
        ("redis+sentinel://host:x/a", "no HOST:PORT"),
        ("redis+sentinel://host:70000/a", "no HOST:PORT"),
        ("redis+sentinel://host,/a", "no HOST:PORT"),
        ("redis+cluster://host/0", "one database"),
        ("redis+cluster://host?db=1", "one database"),
        ("redis+cluster://:secret@", "no HOST:PORT"),
    ],
)
def test_what_is_wrong_with_a_url_is_said_without_its_password(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as error:
        RedisAddress.parse(url)
    assert "secret" not in str(error.value)


def test_each_form_has_its_link() -> None:
    async def run() -> None:
        links = {
            "redis://host": RedisLink, "redis+sentinel://host/main": SentinelLink, "redis+cluster://host": ClusterLink
        }  # fmt: skip
        for url, kind in links.items():
            assert type(open_link(url, 1.0, AwayError)) is kind
            # A node of a cluster rests for itself: the others go on.
            resting = open_link(url, 1.0, AwayError, resting=True)
            assert type(resting) is (ClusterLink if kind is ClusterLink else RestingLink)

    asyncio.run(run())
