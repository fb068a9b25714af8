"""Where a Redis is: the forms of its URL, and the link that each of them means.

    redis://[user:password@]host[:port][/database]            one server
    rediss://…                                                one server, over TLS
    unix:///path/to/socket                                    one server on this machine
    redis+sentinel://[user:password@]host[:port],…/service    the master of a service that Sentinels watch
    redis+cluster://[user:password@]host[:port],…             a Redis Cluster, of which these nodes are known

`rediss+sentinel` and `rediss+cluster` are the same over TLS, to the Sentinels too. User and password are the servers';
`?sentinel_username=…&sentinel_password=…` are the Sentinels' own. Whatever else stands after the `?` is redis-py's and
goes for every connection (`ssl_ca_certs=…`, of a Sentinel's service also `db=…`). Everything is percent-encoded.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode

from counters.redis_cluster import ClusterLink
from counters.redis_link import Link, RedisLink, RestingLink
from counters.redis_sentinel import SentinelLink

SCHEMES: Final = (
    "redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"
)  # fmt: skip
SENTINEL_PORT: Final = 26379
REDIS_PORT: Final = 6379
_PLACE: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\[\]:/@,\s]+)(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A URL, taken apart."""

    kind: Literal["single", "sentinel", "cluster"]
    places: tuple[str, ...]  # URLs of what is asked first: the server, the Sentinels, or nodes of the cluster
    service: str = ""  # the Sentinels' name of the master
    prefix: str = ""  # a server's URL is this, host:port, and the suffix
    suffix: str = ""

    @classmethod
    def parse(cls, url: str) -> "RedisAddress":
        """Take a URL apart.

        Raises:
            ValueError: it is none of the forms above; the text says what is wrong with it, without its password.
        """
        scheme, separator, rest = url.partition("://")
        if not separator or not rest or scheme not in SCHEMES:
            raise ValueError(f"a Redis URL begins with {', '.join(f'{known}://' for known in SCHEMES)}")
        tls, _, kind = scheme.partition("+")
        if kind == "sentinel":
            return cls._of_sentinels(tls, rest)
        if kind == "cluster":
            return cls._of_cluster(tls, rest)
        return cls("single", (url,))

    @classmethod
    def _of_sentinels(cls, tls: str, rest: str) -> "RedisAddress":
        login, places, path, query = _parts(rest, SENTINEL_PORT)
        service = unquote(path)
        if not service or "/" in path:
            raise ValueError("behind the Sentinels stands the service that they watch: redis+sentinel://HOST,…/SERVICE")
        own = [query.pop(name, "") for name in ("sentinel_username", "sentinel_password")]
        of_sentinel = f"{quote(own[0], safe='')}:{quote(own[1], safe='')}@" if any(own) else ""
        shared = {name: value for name, value in query.items() if name != "db"}
        asked = tuple(f"{tls}://{of_sentinel}{place}{_query(shared)}" for place in places)
        return cls("sentinel", asked, service, f"{tls}://{login}", _query(query))

    @classmethod
    def _of_cluster(cls, tls: str, rest: str) -> "RedisAddress":
        login, places, path, query = _parts(rest, REDIS_PORT)
        if path or query.get("db", "0") != "0":
            raise ValueError("a Redis Cluster has one database: nothing stands behind its nodes")
        prefix, suffix = f"{tls}://{login}", _query(query)
        return cls("cluster", tuple(f"{prefix}{place}{suffix}" for place in places), "", prefix, suffix)

    def server(self, host: str, port: int) -> str:
        """Return the URL of one server that Sentinels or the cluster named."""
        return (
            f"{self.prefix}[{host}]:{port}{self.suffix}" if ":" in host else f"{self.prefix}{host}:{port}{self.suffix}"
        )


def _parts(rest: str, port: int) -> tuple[str, list[str], str, dict[str, str]]:
    """Return user and password with their @, each host:port, the path without its slash, and the query."""
    before, _, query = rest.partition("?")
    before, _, path = before.partition("/")
    login, at, hosts = before.rpartition("@")
    places = []
    for place in hosts.split(","):
        found = _PLACE.fullmatch(place)
        if not found or int(found["port"] or port) not in range(1, 65_536):
            raise ValueError(f"{place!r} is no HOST:PORT")
        places.append(f"{found['host']}:{found['port'] or port}")
    return login + at, places, path, dict(parse_qsl(query))


def _query(values: dict[str, str]) -> str:
    return f"?{urlencode(values)}" if values else ""


def with_password(url: str, password: str) -> str:
    """Return a URL with this password for the servers' log-in; the user stays as it is.

    Raises:
        ValueError: the URL is of no form above, or has a password already.
    """
    RedisAddress.parse(url)
    scheme, _, rest = url.partition("://")
    places, slash, path = rest.partition("/")
    login, _, places = places.rpartition("@")
    user, _, given = login.partition(":")
    if given or "password" in dict(parse_qsl(url.partition("?")[2])):
        raise ValueError("the Redis URL has a password already")
    return f"{scheme}://{user}:{quote(password, safe='')}@{places}{slash}{path}"


def open_link(url: str, timeout_s: float, unavailable: type[Exception], *, resting: bool = False) -> Link:
    """Return the link that a URL means; it connects when first used.

    Args:
        url: one of the forms above.
        timeout_s: for one pipeline.
        unavailable: what a failure is raised as.
        resting: whether a server that is away is left in peace, and callers told so at once (RestingLink).

    Raises:
        ValueError: the URL is of no such form.
    """
    address = RedisAddress.parse(url)

    def rest(link: Link) -> Link:
        return RestingLink(link, unavailable) if resting else link

    if address.kind == "sentinel":
        return rest(SentinelLink(address.places, address.service, address.server, timeout_s, unavailable))
    if address.kind == "cluster":
        # A node at a time: one that is away keeps nobody from the others.
        return ClusterLink(
            address.places, address.server, lambda node: rest(RedisLink(node, timeout_s, unavailable)),
            timeout_s, unavailable,
        )  # fmt: skip
    return rest(RedisLink(url, timeout_s, unavailable))
