"""Traffic: what a join shows about where it comes from, and which invalid-traffic flags it gets for that.

Nothing here refuses anybody (counters.invalid_traffic). The address itself is kept nowhere: the journal gets a keyed
digest of its network prefix, the class of its network, the class of the player, and the flags.

Which address: that of the connection, unless it belongs to a trusted proxy. Then it is the last address in
`X-Forwarded-For` that is no trusted proxy's: each proxy adds at the end whom it got the request from, and what stands
before the first one that is not trusted, anybody may have written.

Rates are counted by one worker in a clock minute, in tables of fixed size. Who is pushed out of a place in the table
begins again at one, so that a flag may be missed and is never wrong.
"""

import hashlib
import ipaddress
import logging
import re
from array import array
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from counters.invalid_traffic import Flags
from gateway.networks import DATACENTRE, Networks, packed_address, read_networks

ADDRESS_PREFIX: Final = {4: 24, 16: 48}
"""Bits of a client's address that the journal keeps, keyed, by its bytes: enough to see a farm, too little to see a
person."""
SEAT_JOINS_A_MINUTE: Final = 30
"""One attendee who opens a new view every two seconds for a whole minute, at one worker, is no person that watches."""
ADDRESS_JOINS_A_MINUTE: Final = 1000
"""A prefix of 256 addresses behind which a lecture hall or a carrier's customers are brings hundreds to one worker."""
SLOTS: Final = 1 << 16
"""Places in a table of rates: half a megabyte."""
_log = logging.getLogger("turnout.traffic")
_COUNT_LIMIT: Final = 0xFFFF
_BOTS: Final = re.compile(r"(?<!cu)bot|crawl|spider|slurp|headless|phantomjs")  # Cubot makes telephones
_DATACENTRE, _DECLARED_BOT, _IMPOSSIBLE_RATE, _CROWDED_ADDRESS = map(int, Flags)  # adding flags costs a microsecond
AGENT_CHARS: Final = 512
"""Of a User-Agent that are looked at: browsers say less than half of that."""
_AGENTS: Final = (("tv", "tv"), ("mobile", "mobile"), ("mozilla", "browser"))


@dataclass(frozen=True, slots=True)
class Player:
    """What a join says about the player that asks."""

    address: str  # of the connection
    user_agent: str
    outlet: str  # media outlet that embeds the stream, as the player names it; "" if it does not
    forwarded: str = ""  # X-Forwarded-For, as it came


@dataclass(slots=True)
class Seen:
    """What the journal keeps of it. It never changes, but a frozen one would cost three times as much to make."""

    address: bytes  # 8 bytes
    network: str
    agent: str
    filters: int  # counters.invalid_traffic.Flags


class Rates:
    """How often each key came within a clock minute. Owned by its worker."""

    def __init__(self, limit: int) -> None:
        """Count to `limit` a minute."""
        self._limit = limit
        self._slots = array("Q", bytes(8 * SLOTS))  # key (32 bits), minute (16), count (16)

    def over(self, key: int, minute: int) -> bool:
        """Count one more of a key (64 bits); return whether that is above the limit."""
        place = (key ^ key >> 32) % SLOTS
        tag = (key & 0xFFFFFFFF) << 16 | minute & 0xFFFF
        held = self._slots[place]
        if held >> 16 != tag:
            self._slots[place] = tag << 16 | 1
            return False
        count = held & _COUNT_LIMIT
        if count < _COUNT_LIMIT:
            self._slots[place] = held + 1
        return count >= self._limit


class Traffic:
    """Looks at the joins of one worker."""

    def __init__(self, address_key: bytes, networks: Networks, proxies: Networks) -> None:
        """Know these networks by class; believe these proxies."""
        self._key = address_key
        self._networks = networks
        self._proxies = proxies
        self._seats = Rates(SEAT_JOINS_A_MINUTE)
        self._addresses = Rates(ADDRESS_JOINS_A_MINUTE)

    def see(self, player: Player, seat: int, now: float) -> Seen:
        """Return what a join of an attendee is on record with (`now`: unix seconds on the event's clock)."""
        packed = client_address(player, self._proxies)
        digest = address_digest(self._key, packed)
        network, agent = self._networks.class_of(packed), agent_class(player.user_agent)
        flags = _DATACENTRE if network == DATACENTRE else 0
        if agent == "bot":
            flags |= _DECLARED_BOT
        minute = int(now) // 60
        if self._seats.over(seat, minute):
            flags |= _IMPOSSIBLE_RATE
        if packed and self._addresses.over(int.from_bytes(digest), minute) and _is_public(packed):
            flags |= _CROWDED_ADDRESS
        return Seen(digest, network, agent, flags)


def client_address(player: Player, proxies: Networks) -> bytes:
    """Return the address of the player itself (`packed_address`); nothing if it is not known."""
    packed = packed_address(player.address)
    if not player.forwarded or not proxies.class_of(packed):
        return packed
    for hop in reversed(player.forwarded.split(",")):
        packed = packed_address(_without_port(hop.strip()))
        if not proxies.class_of(packed):
            break
    return packed


def _without_port(hop: str) -> str:
    """Some proxies write 192.0.2.1:4711 and [2001:db8::1]:4711."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _is_public(packed: bytes) -> bool:
    """Whether an address is one of the internet: behind a private one there may be a proxy, and everybody."""
    return ipaddress.ip_address(packed).is_global


def address_digest(key: bytes, packed: bytes) -> bytes:
    """Return 8 bytes that are equal for addresses of one network prefix and tell nothing without the key."""
    if len(packed) not in ADDRESS_PREFIX:
        return bytes(8)
    network = packed[: ADDRESS_PREFIX[len(packed)] // 8].ljust(len(packed), b"\0")
    return hashlib.blake2b(network, key=key, digest_size=8).digest()


def agent_class(user_agent: str) -> str:
    """Return a coarse class of player: bot, tv, mobile, browser or other."""
    return _agent_class(user_agent[:AGENT_CHARS])


@lru_cache(1024)  # half a megabyte; of an audience nearly all say the same few hundred
def _agent_class(user_agent: str) -> str:
    lower = user_agent.lower()
    if _BOTS.search(lower):
        return "bot"
    return next((name for mark, name in _AGENTS if mark in lower), "other")


def trusted_proxies(text: str) -> Networks:
    """Return the networks of a list with commas; empty for none.

    Raises:
        NetworksError: one is no network.
    """
    return Networks((part.strip(), "proxy") for part in text.split(",") if part.strip())


def check_traffic(networks_file: str, proxies: str) -> None:
    """See to it before anything is started that both lists can be used, and say what was read.

    Raises:
        NetworksError: one cannot.
        OSError: the file cannot be read.
    """
    trusted_proxies(proxies)
    if networks_file:
        path = Path(networks_file)
        networks = read_networks(path)
        _log.info("%s: %d networks, sha256 %s", path, len(networks), hashlib.sha256(path.read_bytes()).hexdigest())
